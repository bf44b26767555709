//! Whatever happens to the file, the store gives what was put in, less, or nothing; never anything else, never an error.

use super::*;
use proptest::prelude::*;

/// What is done to a store's file.
type Harm<'h> = &'h dyn Fn(&Path);

fn path(path: &str) -> RelPath {
    RelPath::new(path).unwrap()
}

/// Rows that differ in everything.
fn rows(count: usize) -> BTreeMap<RelPath, Row> {
    let name = |at: usize| path(&format!("src/file{at:03}.ts"));
    let row = |at: usize| {
        let text = format!("import {{ a }} from './file{:03}';\nexport const name{at} = a + {at};\n", (at + 1) % count);
        let targets = vec![if at % 5 == 4 { None } else { Some(name((at + 1) % count)) }];
        let edges = Resolved { targets, unresolved: at as u32 % 3 };
        let stamp = Stamp::from_bytes(&[at as u8 + 1; 32]).filter(|_| !at.is_multiple_of(3));
        (
            name(at),
            Row {
                stamp,
                file: Arc::new(Indexed::of(&name(at), &text)),
                edges: (!at.is_multiple_of(7)).then_some(edges),
            },
        )
    };
    (0..count).map(row).collect()
}

fn world_of(rows: &BTreeMap<RelPath, Row>) -> Digest {
    Digest::of(format!("{:?}", rows.keys().collect::<Vec<_>>()))
}

fn save(store: &Store, rows: &BTreeMap<RelPath, Row>, dirty: &BTreeSet<RelPath>) -> bool {
    let paths = rows.keys().cloned().collect();
    store.save(&Save {
        paths: &paths,
        dirty,
        row: &|path| rows.get(path).cloned(),
        world: Some(world_of(rows)),
        survey: Some(b"survey"),
    })
}

fn save_all(store: &Store, rows: &BTreeMap<RelPath, Row>) -> bool {
    save(store, rows, &rows.keys().cloned().collect())
}

fn same(a: &Row, b: &Row) -> bool {
    (a.stamp, &a.edges, a.file.digest(), a.file.facts()) == (b.stamp, &b.edges, b.file.digest(), b.file.facts())
        && a.file.to_bytes() == b.file.to_bytes()
}

fn holds(store: &Store, rows: &BTreeMap<RelPath, Row>) {
    let loaded = store.load();
    assert_eq!(loaded.rows.keys().collect::<Vec<_>>(), rows.keys().collect::<Vec<_>>());
    assert!(loaded.rows.iter().all(|(path, row)| same(row, &rows[path])));
    assert_eq!((loaded.world, loaded.survey.as_deref()), (Some(world_of(rows)), Some(&b"survey"[..])));
}

#[test]
fn it_gives_back_what_was_put_in_and_then_changed() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = rows(40);
    assert!(save_all(&Store::at(dir.path()), &all));
    let store = Store::at(dir.path());
    holds(&store, &all);
    let other = rows(41);
    let mut dirty = BTreeSet::new();
    for at in [0, 7, 39, 40] {
        let name = path(&format!("src/file{at:03}.ts"));
        all.insert(name.clone(), other[&name].clone());
        dirty.insert(name);
    }
    let gone = path("src/file011.ts");
    all.remove(&gone);
    dirty.insert(gone.clone());
    // What led there leads nowhere now.
    let name = path("src/file010.ts");
    all.get_mut(&name).unwrap().edges = Some(Resolved { targets: vec![None], unresolved: 1 });
    dirty.insert(name);
    assert!(save(&store, &all, &dirty));
    holds(&store, &all);
    holds(&Store::at(dir.path()), &all);
    // The text that is gone is still known, by its path alone.
    let before = &other[&gone];
    assert_eq!(
        store.content(&gone, *rows(40)[&gone].file.digest()).unwrap().to_bytes(),
        rows(40)[&gone].file.to_bytes()
    );
    assert!(store.content(&path("src/else.ts"), *before.file.digest()).is_none());
}

#[test]
fn processes_share_it_and_the_one_that_is_behind_writes_everything() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (Store::at(dir.path()), Store::at(dir.path()));
    let (few, more) = (rows(10), rows(12));
    assert!(save_all(&one, &few));
    holds(&two, &few);
    assert!(save_all(&two, &more));
    // `one` thinks that the store holds its own rows; the world says otherwise.
    let changed = BTreeSet::from([path("src/file003.ts")]);
    assert!(save(&one, &few, &changed));
    holds(&two, &few);
    // The same world: only what changed is written.
    assert!(save(&two, &few, &changed));
    holds(&one, &few);
}

#[test]
fn a_lock_that_never_ends_keeps_nobody_from_reading_or_from_going_on() {
    let dir = tempfile::tempdir().unwrap();
    let all = rows(5);
    assert!(save_all(&Store::at(dir.path()), &all));
    let holder = Connection::open(dir.path().join(file_name())).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE; DELETE FROM file").unwrap();
    let store = Store::at(dir.path());
    holds(&store, &all);
    assert!(!save_all(&store, &all));
    holds(&store, &all);
    holder.execute_batch("ROLLBACK").unwrap();
    assert!(save_all(&store, &all), "it is tried again");
}

#[test]
fn what_is_no_index_is_made_again() {
    let all = rows(5);
    let foreign = |path: &Path| {
        let connection = Connection::open(path).unwrap();
        connection.execute_batch("CREATE TABLE file (id); CREATE TABLE meta (key, value, sum)").unwrap();
    };
    let right_numbers = |path: &Path| {
        foreign(path);
        let connection = Connection::open(path).unwrap();
        connection.pragma_update(None, "application_id", APPLICATION).unwrap();
        connection.pragma_update(None, "user_version", LAYOUT).unwrap();
    };
    let cases: [(&str, Harm<'_>); 5] = [
        ("empty", &|path| fs::write(path, "").unwrap()),
        ("text", &|path| fs::write(path, "no database".repeat(1000)).unwrap()),
        ("foreign", &foreign),
        ("foreign with our numbers", &right_numbers),
        ("a journal alone", &|path| fs::write(with(path, "-wal"), "x".repeat(5000)).unwrap()),
    ];
    for (name, make) in cases {
        let dir = tempfile::tempdir().unwrap();
        make(&dir.path().join(file_name()));
        let store = Store::at(dir.path());
        assert!(store.load().rows.is_empty(), "{name}");
        assert!(save_all(&store, &all), "{name}");
        holds(&Store::at(dir.path()), &all);
    }
}

#[test]
fn where_nothing_can_be_written_it_goes_on_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    for place in [dir.path().join("file/index"), PathBuf::from("/proc/nowhere"), PathBuf::from("/dev/null/x")] {
        let store = Store::at(&place);
        assert!(store.load().rows.is_empty());
        assert!(!save_all(&store, &rows(3)));
        assert!(store.load().rows.is_empty());
        assert_eq!(store.info(), None);
    }
    // A directory in its place.
    fs::create_dir(dir.path().join(file_name())).unwrap();
    assert!(!save_all(&Store::at(dir.path()), &rows(3)));
}

#[test]
fn contents_of_long_ago_are_swept_and_those_in_use_stay() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (rows(8), rows(4));
    assert!(save_all(&Store::at(dir.path()), &old));
    let store = Store::at(dir.path());
    assert!(save_all(&store, &new));
    let gone = path("src/file006.ts");
    let digest = *old[&gone].file.digest();
    store.sweep();
    assert!(store.content(&gone, digest).is_some(), "another branch may have it");
    store.lock().open.as_mut().unwrap().sweep(0).unwrap();
    assert!(store.content(&gone, digest).is_none(), "there was no room");
    holds(&store, &new);
    assert!(save_all(&store, &old));
    assert!(save(&store, &new, &old.keys().cloned().collect()));
    let connection = Connection::open(dir.path().join(file_name())).unwrap();
    connection.execute("UPDATE content SET seen = seen - ?1", [KEEP_DAYS + 1]).unwrap();
    store.sweep();
    assert!(store.content(&gone, digest).is_none(), "it is long ago");
    holds(&store, &new);
}

#[derive(Clone, Debug)]
enum Damage {
    Cut(prop::sample::Index),
    Byte(prop::sample::Index, u8),
    Block(prop::sample::Index, usize, u8),
    Swap(prop::sample::Index, prop::sample::Index),
}

fn damages() -> impl Strategy<Value = Vec<Damage>> {
    let damage = prop_oneof![
        any::<prop::sample::Index>().prop_map(Damage::Cut),
        (any::<prop::sample::Index>(), 1u8..).prop_map(|(at, flip)| Damage::Byte(at, flip)),
        (any::<prop::sample::Index>(), 1usize..9000, any::<u8>())
            .prop_map(|(at, length, byte)| Damage::Block(at, length, byte)),
        (any::<prop::sample::Index>(), any::<prop::sample::Index>()).prop_map(|(a, b)| Damage::Swap(a, b)),
    ];
    proptest::collection::vec(damage, 1..4)
}

fn damage(bytes: &mut Vec<u8>, damage: &Damage) {
    if bytes.is_empty() {
        return;
    }
    match damage {
        Damage::Cut(at) => bytes.truncate(at.index(bytes.len())),
        Damage::Byte(at, flip) => {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        }
        Damage::Block(at, length, byte) => {
            let from = at.index(bytes.len());
            let to = (from + length).min(bytes.len());
            bytes[from..to].fill(*byte);
        }
        Damage::Swap(a, b) => {
            // Pages that a controller confused.
            let page = 8192;
            let pages = bytes.len() / page;
            if pages > 1 {
                let (a, b) = (a.index(pages), b.index(pages));
                for at in 0..page {
                    bytes.swap(a * page + at, b * page + at);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn damage_never_makes_a_wrong_fact(damages in damages(), in_journal in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        let all = rows(30);
        prop_assert!(save_all(&Store::at(dir.path()), &all));
        if in_journal {
            // Everything again, through the journal, which stays.
            let connection = Connection::open(dir.path().join(file_name())).unwrap();
            connection.execute_batch("DELETE FROM file").unwrap();
            connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
            drop(connection);
            let mut store = Store::at(dir.path());
            store.load();
            store.lock().open.as_mut().unwrap().damaged = true;
            prop_assert!(save_all(&store, &all));
            store.path = None;
        }
        let name = if in_journal { with(Path::new(&file_name()), "-wal") } else { file_name().into() };
        let file = dir.path().join(name);
        let mut bytes = fs::read(&file).unwrap();
        for one in &damages {
            damage(&mut bytes, one);
        }
        fs::write(&file, &bytes).unwrap();
        let store = Store::at(dir.path());
        let loaded = store.load();
        for (path, row) in &loaded.rows {
            let known = &all[path];
            prop_assert_eq!(row.stamp, known.stamp);
            prop_assert!(row.edges.is_none() || row.edges == known.edges, "{:?} {:?}", row.edges, known.edges);
            prop_assert!(row.file.to_bytes() == known.file.to_bytes());
        }
        prop_assert!(loaded.world.is_none() || loaded.world == Some(world_of(&all)));
        prop_assert!(loaded.survey.is_none() || loaded.survey.as_deref() == Some(b"survey"));
        for (path, row) in &all {
            if let Some(content) = store.content(path, *row.file.digest()) {
                prop_assert!(content.to_bytes() == row.file.to_bytes());
            }
        }
        // And it is whole again, for this process or at the latest for the next.
        let _ = save_all(&store, &all);
        drop(store);
        let next = Store::at(dir.path());
        next.load();
        prop_assert!(save_all(&next, &all));
        holds(&Store::at(dir.path()), &all);
    }
}
