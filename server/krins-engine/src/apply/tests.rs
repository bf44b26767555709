//! Tests of the apply as a whole: all files or none, whatever fails, whoever interferes, and back again.

use super::journal::Journal;
use super::record::{Image, Step};
use super::vfs::disk::Disk;
use super::vfs::faulty::{Fault, Faulty};
use super::vfs::simulated::Simulated;
use super::vfs::{Permissions, Vfs};
use super::*;
use crate::documents::Change;
use async_trait::async_trait;
use krins_core::patch::{ChangeKind, Write};
use krins_core::text::Encoding;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

fn rel(path: &str) -> RelPath {
    RelPath::new(path).unwrap()
}

struct Room {
    dir: tempfile::TempDir,
    current: Current,
    applier: Applier,
}

/// A root with files, its state directory beside it.
fn room(files: &[(&str, &str)]) -> Room {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        put(dir.path(), path, text.as_bytes());
    }
    fs::create_dir_all(dir.path().join("root")).unwrap();
    let root = Arc::new(Root::open(&dir.path().join("root")).unwrap());
    let documents = Arc::new(Documents::new(root.clone(), Encoding::Utf16));
    let current = Current::new(root.clone(), documents);
    let state = StateDir::open_at(&dir.path().join("state"), &root).unwrap();
    let mut applier = Applier::open(current.clone(), state).unwrap();
    applier.editor_limit = Duration::from_millis(300);
    Room { dir, current, applier }
}

fn put(dir: &Path, path: &str, bytes: &[u8]) {
    let path = dir.join("root").join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

impl Room {
    fn root(&self) -> std::path::PathBuf {
        self.dir.path().join("root")
    }

    /// Every file with its bytes and permission bits; directories end with `/`.
    fn tree(&self) -> BTreeMap<String, (Vec<u8>, u32)> {
        tree(&self.root())
    }

    fn write(&self, path: &str, after: Option<&str>) -> Write {
        let path = rel(path);
        let (current, executable) = match self.current.entry(&path) {
            Entry::File { bytes, executable } => (Some(bytes), executable),
            _ => (None, false),
        };
        Write {
            path,
            kind: ChangeKind::Modify,
            from: None,
            current,
            after: after.map(|text| text.as_bytes().into()),
            executable,
        }
    }

    fn plan(&self, writes: &[(&str, Option<&str>)]) -> Plan {
        let writes = writes.iter().map(|(path, after)| self.write(path, *after)).collect();
        Plan::for_driver(writes, &self.current).unwrap()
    }

    fn open(&self, path: &str, text: &str) -> String {
        let uri = self.current.root().uri(&rel(path));
        self.current.documents().open(&uri, 1, text.into());
        uri
    }

    fn records(&self) -> std::path::PathBuf {
        self.applier.state.path().join("apply")
    }
}

fn tree(root: &Path) -> BTreeMap<String, (Vec<u8>, u32)> {
    fn walk(root: &Path, dir: &Path, into: &mut BTreeMap<String, (Vec<u8>, u32)>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            let meta = fs::symlink_metadata(&path).unwrap();
            if meta.is_dir() {
                into.insert(format!("{name}/"), (Vec::new(), 0));
                walk(root, &path, into);
            } else {
                into.insert(name, (fs::read(&path).unwrap_or_default(), meta.permissions().mode() & 0o7777));
            }
        }
    }
    let mut into = BTreeMap::new();
    walk(root, root, &mut into);
    into
}

const FILES: [(&str, &str); 4] =
    [("a.ts", "a1\r\na2\r\n"), ("src/b.ts", "b\n"), ("src/old.ts", "gone\n"), ("run.sh", "#!/bin/sh\n")];
const WRITES: [(&str, Option<&str>); 5] = [
    ("a.ts", Some("a1\r\nA2\r\n")),
    ("src/b.ts", Some("")),
    ("src/old.ts", None),
    ("src/new/deep/c.ts", Some("c")),
    ("run.sh", Some("#!/bin/sh\necho\n")),
];

#[tokio::test]
async fn everything_is_applied_undone_and_redone_to_the_byte_and_the_bit() {
    let room = room(&FILES);
    fs::set_permissions(room.root().join("run.sh"), fs::Permissions::from_mode(0o750)).unwrap();
    fs::set_permissions(room.root().join("a.ts"), fs::Permissions::from_mode(0o640)).unwrap();
    let before = room.tree();
    let applied = room.applier.apply(room.plan(&WRITES), None).await.unwrap();
    assert_eq!((applied.files.len(), applied.left_alone.len(), &applied.pending), (5, 0, &None));
    let after = room.tree();
    assert_eq!(after["a.ts"], (b"a1\r\nA2\r\n".to_vec(), 0o640));
    assert_eq!(after["run.sh"], (b"#!/bin/sh\necho\n".to_vec(), 0o750));
    assert_eq!(after["src/new/deep/c.ts"].0, b"c");
    assert!(!after.contains_key("src/old.ts"));
    assert!(after.keys().all(|path| !path.contains(".krins")), "{:?}", after.keys());

    let undo = room.applier.plan_undo(None).await.unwrap().unwrap();
    room.applier.apply(undo, None).await.unwrap();
    assert_eq!(room.tree(), before);
    let redo = room.applier.plan_redo(applied.id.as_deref()).await.unwrap().unwrap();
    room.applier.apply(redo, None).await.unwrap();
    assert_eq!(room.tree(), after);
    let history = room.applier.history().await.unwrap();
    assert_eq!((history.len(), history[0].undone, Some(&history[0].id)), (1, false, applied.id.as_ref()));
}

#[tokio::test]
async fn undo_works_in_a_new_process_and_in_the_order_of_a_stack() {
    let room = room(&[("a.ts", "0")]);
    for text in ["1", "2"] {
        room.applier.apply(room.plan(&[("a.ts", Some(text))]), None).await.unwrap();
    }
    let again = Applier::open(room.current.clone(), room.applier.state.clone()).unwrap();
    for text in ["1", "0"] {
        let plan = again.plan_undo(None).await.unwrap().unwrap();
        again.apply(plan, None).await.unwrap();
        assert_eq!(fs::read_to_string(room.root().join("a.ts")).unwrap(), text);
    }
    assert!(matches!(again.plan_undo(None).await, Err(ApplyError::NothingTo("undo"))));
    assert!(matches!(again.plan_undo(Some("nope")).await, Err(ApplyError::NoSuchRecord(_))));
    for text in ["1", "2"] {
        let plan = again.plan_redo(None).await.unwrap().unwrap();
        again.apply(plan, None).await.unwrap();
        assert_eq!(fs::read_to_string(room.root().join("a.ts")).unwrap(), text);
    }
}

/// An undo takes the place of what it takes back, so that undoing does not use the history up.
#[tokio::test]
async fn what_the_history_holds_can_be_undone_to_its_beginning() {
    let room = room(&[("a.ts", "0")]);
    let limits = |count| Limits { count, ..HISTORY };
    let applier = room.applier.clone().keeping(limits(9));
    for n in 1..=9 {
        applier.apply(room.plan(&[("a.ts", Some(&n.to_string()))]), None).await.unwrap();
    }
    for n in (0..9).rev() {
        applier.apply(applier.plan_undo(None).await.unwrap().unwrap(), None).await.unwrap();
        assert_eq!(fs::read_to_string(room.root().join("a.ts")).unwrap(), n.to_string());
    }
    for _ in 1..=9 {
        applier.apply(applier.plan_redo(None).await.unwrap().unwrap(), None).await.unwrap();
    }
    assert_eq!(fs::read_to_string(room.root().join("a.ts")).unwrap(), "9");
    assert_eq!(fs::read_dir(room.records()).unwrap().count(), 9);
    // Less is kept from now on, and the oldest goes first.
    let applier = applier.keeping(limits(3));
    applier.apply(room.plan(&[("a.ts", Some("10"))]), None).await.unwrap();
    for n in (7..10).rev() {
        applier.apply(applier.plan_undo(None).await.unwrap().unwrap(), None).await.unwrap();
        assert_eq!(fs::read_to_string(room.root().join("a.ts")).unwrap(), n.to_string());
    }
    assert!(matches!(applier.plan_undo(None).await, Err(ApplyError::NothingTo("undo"))));
}

#[tokio::test]
async fn the_history_has_a_size_and_an_age_and_keeps_the_newest_change() {
    let room = room(&[("a.ts", "0")]);
    let texts: Vec<String> = (1..=4).map(|n| n.to_string().repeat(1_000)).collect();
    let left = |applier: &Applier| {
        let applier = applier.clone();
        async move { applier.history().await.unwrap().len() }
    };
    let applier = room.applier.clone().keeping(Limits { bytes: 5_000, ..HISTORY });
    for text in &texts[..3] {
        applier.apply(room.plan(&[("a.ts", Some(text))]), None).await.unwrap();
    }
    assert_eq!(left(&applier).await, 2, "three of 1,300 and more than 2,300 bytes are too many");
    for record in fs::read_dir(room.records()).unwrap() {
        let long_ago = std::time::SystemTime::now() - HISTORY.age * 2;
        fs::File::options().append(true).open(record.unwrap().path()).unwrap().set_modified(long_ago).unwrap();
    }
    let applier = applier.keeping(HISTORY);
    applier.apply(room.plan(&[("a.ts", Some(&texts[3]))]), None).await.unwrap();
    assert_eq!(left(&applier).await, 1, "what is past its age is gone");
    let applier = applier.keeping(Limits { bytes: 1, ..HISTORY });
    applier.apply(room.plan(&[("a.ts", Some("5"))]), None).await.unwrap();
    applier.apply(applier.plan_undo(None).await.unwrap().unwrap(), None).await.unwrap();
    assert_eq!(fs::read_to_string(room.root().join("a.ts")).unwrap(), texts[3], "the last change can be taken back");
}

#[tokio::test]
async fn a_record_names_the_diff_that_was_shown() {
    let room = room(&[("a.ts", "0\n")]);
    let side = |text: &str| Some(std::sync::Arc::from(text.as_bytes()));
    let patch = krins_core::patch::Patch::between(vec![krins_core::patch::Change {
        path: rel("a.ts"),
        from: None,
        before: side("0\n"),
        after: side("1\n"),
        executable: false,
    }]);
    let gated = crate::gate::run(patch.clone(), &krins_core::gate::Policy::default().into(), &room.current).unwrap();
    let plan = Plan::new(&gated, &room.current, Some("t".into())).unwrap();
    room.applier.apply(plan, None).await.unwrap();
    room.applier.apply(room.applier.plan_undo(None).await.unwrap().unwrap(), None).await.unwrap();
    let history = room.applier.history().await.unwrap();
    assert_eq!((history[0].patch, history[0].undone), (Some(patch.digest()), true));
}

/// What another process is at work on is waited for, and what one that died has left is ended, before the history is read.
#[tokio::test]
async fn the_history_is_read_when_nothing_is_under_way() {
    let room = room(&[("a.ts", "0")]);
    room.applier.apply(room.plan(&[("a.ts", Some("1"))]), None).await.unwrap();
    let at_work = room.applier.state.hold("apply").unwrap().unwrap();
    // The log is whole, no file is changed, and the process ends.
    let plan = room.plan(&[("a.ts", Some("2"))]);
    room.applier.journal.stage(&plan.record).unwrap();
    room.applier.journal.commit(&plan.record).unwrap();
    let nothing = Patch::between(Vec::new());
    let [whole, part] = [room.applier.clone(), room.applier.clone()];
    let whole = tokio::spawn(async move { whole.plan_undo(None).await });
    let part = tokio::spawn(async move { part.plan_undo_part("t", nothing).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!whole.is_finished() && !part.is_finished(), "they look at what is under way");
    drop(at_work);
    assert!(matches!(part.await.unwrap(), Err(ApplyError::NoSuchRecord(_))));
    room.applier.apply(whole.await.unwrap().unwrap().unwrap(), None).await.unwrap();
    assert_eq!(fs::read_to_string(room.root().join("a.ts")).unwrap(), "1", "the last change is taken back");
}

#[tokio::test]
async fn undo_refuses_what_would_lose_later_work() {
    let room = room(&[("a.ts", "0")]);
    room.applier.apply(room.plan(&[("a.ts", None), ("new.ts", Some("new"))]), None).await.unwrap();
    put(room.dir.path(), "a.ts", b"somebody else's");
    put(room.dir.path(), "new.ts", b"new, edited");
    let before = room.tree();
    let blocked = room.applier.plan_undo(None).await.unwrap().unwrap_err();
    let paths: Vec<&str> = blocked.refusals.iter().map(|refusal| refusal.path.as_str()).collect();
    assert_eq!(paths, ["a.ts", "new.ts"]);
    assert_eq!(room.tree(), before);
}

#[tokio::test]
async fn undo_is_merged_into_a_file_that_moved_on() {
    let lines = |first: &str, last: &str| format!("{first}\n{}{last}\n", "same\n".repeat(12));
    let room = room(&[("a.ts", &lines("first", "last"))]);
    room.applier.apply(room.plan(&[("a.ts", Some(&lines("FIRST", "last")))]), None).await.unwrap();
    put(room.dir.path(), "a.ts", lines("FIRST", "mine").as_bytes());
    let undo = room.applier.plan_undo(None).await.unwrap().unwrap();
    room.applier.apply(undo, None).await.unwrap();
    assert_eq!(fs::read_to_string(room.root().join("a.ts")).unwrap(), lines("first", "mine"));
    let redo = room.applier.plan_redo(None).await.unwrap().unwrap();
    room.applier.apply(redo, None).await.unwrap();
    put(room.dir.path(), "a.ts", lines("mine too", "mine").as_bytes());
    let blocked = room.applier.plan_undo(None).await.unwrap().unwrap_err();
    assert!(!blocked.conflicts.is_empty(), "{blocked:?}");
}

/// The journal under a file system that fails at operation `at`; gives the outcome and the operations that were done.
fn under_fault(room: &Room, plan: &Plan, at: u64, fault: Fault) -> (Result<Installed, JournalError>, u64) {
    let count = Arc::new(AtomicU64::new(0));
    let faulty = |dir: &Path| -> Arc<dyn Vfs> {
        Arc::new(Faulty::new(Arc::new(Disk::open(dir, 1 << 30).unwrap()), count.clone(), at, fault))
    };
    let journal = Journal::new(faulty(&room.root()), faulty(&room.records()));
    let outcome =
        journal.stage(&plan.record).and_then(|()| journal.commit(&plan.record)).map(|()| journal.install(&plan.record));
    (outcome, count.load(std::sync::atomic::Ordering::SeqCst))
}

#[tokio::test]
async fn every_error_at_every_operation_leaves_all_old_or_ends_all_new() {
    const ENOSPC: i32 = 28;
    const EIO: i32 = 5;
    const EACCES: i32 = 13;
    let (mut old, mut pending, mut undecided) = (0, 0, 0);
    for fault in [Fault::Once(EIO), Fault::Once(ENOSPC), Fault::From(ENOSPC), Fault::Once(EACCES)] {
        for at in 0.. {
            assert!(at < 500, "{fault:?}: it never ends well");
            let room = room(&FILES);
            let before = room.tree();
            let plan = room.plan(&WRITES);
            let (outcome, operations) = under_fault(&room, &plan, at, fault);
            if let Ok(Installed { pending: None, .. }) = &outcome
                && at >= operations
            {
                break;
            }
            let recovered = room.applier.recover().await.unwrap();
            let after = room.tree();
            match outcome {
                Err(JournalError::Undecided(_)) => {
                    undecided += 1;
                    assert_eq!(after["a.ts"].0, b"a1\r\nA2\r\n", "the next start ends it: {recovered:?}");
                    assert_eq!(after["src/new/deep/c.ts"].0, b"c");
                }
                Err(_) => {
                    old += 1;
                    assert_eq!(after, before, "{fault:?} at {at}: {recovered:?}");
                }
                Ok(installed) => {
                    pending += usize::from(installed.pending.is_some());
                    let whole = |(path, wanted): &(&str, Option<&str>)| {
                        after.get(*path).map(|(bytes, _)| bytes.as_slice()) == wanted.map(str::as_bytes)
                    };
                    assert!(WRITES.iter().all(whole), "{fault:?} at {at}: {installed:?} {recovered:?} {after:?}");
                    assert!(after.keys().all(|path| !path.contains(".krins")), "{fault:?} at {at}: {:?}", after.keys());
                }
            }
        }
    }
    assert!(old > 40 && pending > 10 && undecided == 1, "{old} {pending} {undecided}");
}

/// xorshift64, for what the disk forgets.
fn forgetting(seed: u64) -> impl FnMut(usize) -> usize {
    let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move |n| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % n as u64) as usize
    }
}

/// The journal on the simulated disk, with faults over one another: each counts the operations that reach it.
fn simulated_journal(disk: &Simulated, faults: &[(u64, Fault)]) -> Journal {
    let counted: Vec<_> = faults.iter().map(|fault| (Arc::new(AtomicU64::new(0)), fault)).collect();
    let under = |prefix| {
        let disk: Arc<dyn Vfs> = Arc::new(disk.below(prefix));
        counted.iter().fold(disk, |inner, (count, (at, fault))| -> Arc<dyn Vfs> {
            Arc::new(Faulty::new(inner, count.clone(), *at, *fault))
        })
    };
    Journal::new(under("w/"), under("s/"))
}

/// Applies under the faults, with a power cut after it and one in the recovery, and looks at what a last recovery
/// leaves. True when the apply was acknowledged.
fn applied_and_cut(scene: Scene, faults: &[(u64, Fault)], in_recovery: u64, seed: u64) -> bool {
    let mut pick = forgetting(seed);
    let (disk, record) = scene();
    let before = disk.below("w/").files();
    let journal = simulated_journal(&disk, faults);
    let outcome = journal.stage(&record).and_then(|()| journal.commit(&record)).map(|()| journal.install(&record));
    let acknowledged = matches!(&outcome, Ok(installed) if installed.pending.is_none());
    disk.power_cut(&mut pick);
    let _ = simulated_journal(&disk, &[(in_recovery, Fault::Dead)]).recover();
    disk.power_cut(&mut pick);
    let recovered = simulated_journal(&disk, &[]).recover();
    let (after, new) = (disk.below("w/").files(), after_of(&record, &before));
    assert!(after == new || after == before && !acknowledged, "{faults:?}, seed {seed}: {recovered:?} {after:?}");
    let left = disk.below("w/").temporary();
    assert!(left.is_empty(), "{faults:?}, seed {seed}: {recovered:?} leaves {left:?}");
    acknowledged
}

#[test]
fn a_power_cut_at_every_operation_leaves_all_old_or_all_new() {
    let mut cuts = 0;
    for scene in SCENES {
        for seed in 0..40u64 {
            for at in 0.. {
                cuts += 1;
                if applied_and_cut(scene, &[(at, Fault::Dead)], at % 13, seed) {
                    break;
                }
            }
        }
    }
    assert!(cuts > 3000, "{cuts}");
}

/// What fails is not on the disk, whatever was done about it, and the power may go at any time after.
#[test]
fn an_error_at_every_operation_and_then_a_power_cut_leaves_all_old_or_all_new() {
    const EIO: i32 = 5;
    let mut cuts = 0;
    for scene in SCENES {
        for failing in 0..60 {
            for later in 0..60 {
                cuts += 1;
                let seed = failing * 64 + later;
                let faults = [(failing + later, Fault::Dead), (failing, Fault::Once(EIO))];
                if applied_and_cut(scene, &faults, later % 13, seed) {
                    break;
                }
            }
        }
    }
    assert!(cuts > 3000, "{cuts}");
}

/// A disk, and what is applied to it.
type Scene = fn() -> (Simulated, Record);

const SCENES: [Scene; 3] = [simulated, || taken_back(false), || taken_back(true)];

fn disk_with(dirs: &[&str], files: &[(&str, &str)]) -> (Simulated, BTreeMap<String, Vec<u8>>) {
    let disk = Simulated::new();
    let (workspace, _) = (disk.below("w/"), disk.below("s/"));
    dirs.iter().for_each(|dir| workspace.make_dir(dir).unwrap());
    for (path, text) in files {
        workspace.create(path, text.as_bytes(), Permissions::Fresh { executable: false }).unwrap();
    }
    disk.settle();
    (disk, workspace.files())
}

fn record_of(writes: &[(&str, Option<&str>)], before: &BTreeMap<String, Vec<u8>>) -> Record {
    let image = |bytes: &[u8]| Image { bytes: bytes.into(), executable: false };
    let step = |(path, after): &(&str, Option<&str>)| Step {
        path: rel(path),
        before: before.get(*path).map(|bytes| image(bytes)),
        after: after.map(|text| image(text.as_bytes())),
        route: Route::Disk,
        waits_for: None,
    };
    Record {
        id: "0123456789abcdef".into(),
        kind: Kind::Apply,
        task: None,
        patch: None,
        part: false,
        hunks: None,
        time: 0,
        steps: writes.iter().map(step).collect(),
        make_dirs: Vec::new(),
        remove_dirs: Vec::new(),
    }
}

fn simulated() -> (Simulated, Record) {
    let (disk, before) = disk_with(&["src"], &FILES);
    let make_dirs = vec!["src/new".into(), "src/new/deep".into()];
    (disk, Record { make_dirs, ..record_of(&WRITES, &before) })
}

/// Files go, and the directories that were made for them, unless somebody else put something into one.
fn taken_back(visited: bool) -> (Simulated, Record) {
    let files = [("a.ts", "A\n"), ("new/b.ts", "b\n"), ("new/deep/c.ts", "c\n"), ("new/deep/theirs.ts", "theirs\n")];
    let (disk, before) = disk_with(&["new", "new/deep"], &files[..if visited { 4 } else { 3 }]);
    let writes = [("a.ts", Some("a\n")), ("new/b.ts", None), ("new/deep/c.ts", None)];
    let remove_dirs = vec!["new/deep".into(), "new".into()];
    (disk, Record { remove_dirs, ..record_of(&writes, &before) })
}

fn after_of(record: &Record, before: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    let mut files = before.clone();
    for step in &record.steps {
        match &step.after {
            Some(after) => files.insert(step.path.to_string(), after.bytes.to_vec()),
            None => files.remove(step.path.as_str()),
        };
    }
    files
}

#[tokio::test]
async fn somebody_elses_edit_is_never_overwritten() {
    // Before the commit point: nothing happens.
    let room_a = room(&FILES);
    let plan = room_a.plan(&WRITES);
    put(room_a.dir.path(), "a.ts", b"theirs");
    let before = room_a.tree();
    let error = room_a.applier.apply(plan, None).await.unwrap_err();
    assert!(matches!(error, ApplyError::Journal(JournalError::Moved(_))), "{error}");
    assert_eq!(room_a.tree(), before);

    // After it: the file is left, the rest is done, the new text is kept.
    let room_b = room(&FILES);
    let plan = room_b.plan(&WRITES);
    let journal = room_b.applier.journal.clone();
    journal.stage(&plan.record).unwrap();
    journal.commit(&plan.record).unwrap();
    put(room_b.dir.path(), "a.ts", b"theirs");
    put(room_b.dir.path(), "src/new/deep/c.ts", b"theirs too");
    put(room_b.dir.path(), "src/old.ts", b"revived");
    let installed = journal.install(&plan.record);
    let applied = room_b.applier.report(&plan.record, installed);
    let left: Vec<&str> = applied.left_alone.iter().map(|left| left.path.as_str()).collect();
    assert_eq!(left, ["a.ts", "src/old.ts", "src/new/deep/c.ts"]);
    let kept = applied.left_alone[0].kept.as_ref().unwrap();
    assert_eq!(fs::read(kept).unwrap(), b"a1\r\nA2\r\n");
    let after = room_b.tree();
    assert_eq!(after["a.ts"].0, b"theirs");
    assert_eq!(after["src/new/deep/c.ts"].0, b"theirs too");
    assert_eq!(after["src/old.ts"].0, b"revived");
    assert_eq!(after["run.sh"].0, b"#!/bin/sh\necho\n");
    assert!(after.keys().all(|path| !path.contains(".krins")), "{:?}", after.keys());
}

#[test]
fn an_edit_just_before_any_operation_is_never_lost() {
    let mut left = 0;
    for path in ["a.ts", "src/old.ts"] {
        for at in 0.. {
            let room = room(&FILES);
            let plan = room.plan(&WRITES[..3]);
            let count = Arc::new(AtomicU64::new(0));
            let disk = |dir: &Path| Arc::new(Disk::open(dir, 1 << 30).unwrap());
            let meddling = Faulty::new(disk(&room.root()), count.clone(), at, Fault::Meddle(path));
            let journal = Journal::new(Arc::new(meddling), disk(&room.records()));
            let outcome = journal.stage(&plan.record).and_then(|()| journal.commit(&plan.record));
            let installed = outcome.map(|()| journal.install(&plan.record));
            if at >= count.load(std::sync::atomic::Ordering::SeqCst) {
                break;
            }
            let tree = room.tree();
            left += usize::from(matches!(&installed, Ok(installed) if installed.foreign().count() == 1));
            assert_eq!(tree[path].0, b"theirs", "{path} at {at}: {installed:?} {tree:?}");
            assert!(tree.keys().all(|path| !path.contains(".krins")), "{path} at {at}: {:?}", tree.keys());
        }
    }
    assert!(left > 2, "{left}");
}

/// Its text would be nowhere: the old name is only given up for a new one that has it.
#[test]
fn a_renamed_file_keeps_its_old_name_where_somebody_else_has_taken_the_new_one() {
    let mut left = 0;
    for at in 0.. {
        let room = room(&[("old.ts", "text\n")]);
        let renamed = Write { from: Some(rel("old.ts")), path: rel("new.ts"), ..room.write("old.ts", Some("text\n")) };
        let plan = Plan::for_driver(vec![renamed], &room.current).unwrap();
        let count = Arc::new(AtomicU64::new(0));
        let disk = |dir: &Path| Arc::new(Disk::open(dir, 1 << 30).unwrap());
        let meddling = Faulty::new(disk(&room.root()), count.clone(), at, Fault::Meddle("new.ts"));
        let journal = Journal::new(Arc::new(meddling), disk(&room.records()));
        let outcome = journal.stage(&plan.record).and_then(|()| journal.commit(&plan.record));
        let installed = outcome.map(|()| journal.install(&plan.record));
        if at >= count.load(std::sync::atomic::Ordering::SeqCst) {
            break;
        }
        let tree = room.tree();
        let in_place = installed.as_ref().is_ok_and(|installed| installed.foreign().count() == 0);
        assert_eq!(tree["new.ts"].0, b"theirs", "at {at}: {installed:?} {tree:?}");
        assert_eq!(tree.get("old.ts").map(|(text, _)| &**text), (!in_place).then_some(&b"text\n"[..]), "at {at}");
        left += usize::from(installed.is_ok() && !in_place);
    }
    assert!(left > 0);
}

#[test]
fn an_editor_racing_with_the_renames_never_loses_what_it_wrote() {
    let mut raced = 0;
    for round in 0..60u32 {
        let room = room(&[("a.ts", "old"), ("b.ts", "old")]);
        let plan = room.plan(&[("a.ts", Some("new")), ("b.ts", Some("new"))]);
        let journal = room.applier.journal.clone();
        journal.stage(&plan.record).unwrap();
        journal.commit(&plan.record).unwrap();
        let target = room.root().join("b.ts");
        let installed = std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..round * 40 {
                    std::hint::spin_loop();
                }
                // As editors save: a new file over the old name.
                let temp = target.with_extension("swp");
                fs::write(&temp, "theirs").unwrap();
                fs::rename(&temp, &target).unwrap();
            });
            journal.install(&plan.record)
        });
        raced += installed.foreign().count();
        let tree = room.tree();
        let theirs = tree.values().filter(|(bytes, _)| bytes == b"theirs").count();
        assert_eq!(theirs, 1, "round {round}: {tree:?} {installed:?}");
        assert_eq!(tree["a.ts"].0, b"new");
    }
    // Both orders must have happened, else the race was not run.
    assert!(raced < 60, "{raced}");
}

/// As other editors save: the file is emptied and written in place. Whatever the order, their text is what stays.
#[test]
fn an_editor_that_writes_in_place_never_loses_what_it_wrote() {
    for round in 0..60u32 {
        let room = room(&[("a.ts", "old"), ("b.ts", "old")]);
        let plan = room.plan(&[("a.ts", Some("new")), ("b.ts", Some("new"))]);
        let journal = room.applier.journal.clone();
        journal.stage(&plan.record).unwrap();
        journal.commit(&plan.record).unwrap();
        let target = room.root().join("b.ts");
        let installed = std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..round * 40 {
                    std::hint::spin_loop();
                }
                let saving =
                    || fs::File::create(&target).and_then(|mut file| std::io::Write::write_all(&mut file, b"theirs"));
                // Between being moved away and put back it has no name for an instant.
                while saving().is_err() {}
            });
            journal.install(&plan.record)
        });
        let tree = room.tree();
        assert_eq!(tree["b.ts"].0, b"theirs", "round {round}: {tree:?} {installed:?}");
        assert_eq!(tree["a.ts"].0, b"new");
        assert!(tree.keys().all(|path| !path.contains(".krins")), "round {round}: {tree:?}");
    }
}

/// A program that opened the file before it was swapped out has until the directories are synced.
#[test]
fn what_is_written_into_a_file_that_was_swapped_out_comes_back() {
    for after in [Some("new"), None] {
        let (mut lost, mut foreign) = (0, 0);
        for at in 0.. {
            let room = room(&[("a.ts", "old")]);
            // The same file by another name stands for a descriptor that was opened before.
            let held = room.dir.path().join("held");
            fs::hard_link(room.root().join("a.ts"), &held).unwrap();
            let plan = room.plan(&[("a.ts", after)]);
            let count = Arc::new(AtomicU64::new(0));
            let disk = |dir: &Path| Arc::new(Disk::open(dir, 1 << 30).unwrap());
            let held: &'static Path = Box::leak(held.into_boxed_path());
            let under = |dir: &Path| Arc::new(Faulty::new(disk(dir), count.clone(), at, Fault::MeddleInPlace(held)));
            let journal = Journal::new(under(&room.root()), under(&room.records()));
            let outcome = journal.stage(&plan.record).and_then(|()| journal.commit(&plan.record));
            let installed = outcome.map(|()| journal.install(&plan.record));
            if at >= count.load(std::sync::atomic::Ordering::SeqCst) {
                break;
            }
            let tree = room.tree();
            let kept = tree.get("a.ts").is_some_and(|(bytes, _)| bytes == b"theirs");
            lost += usize::from(!kept);
            foreign += usize::from(installed.is_ok_and(|installed| kept && installed.foreign().count() == 1));
            assert!(tree.keys().all(|path| !path.contains(".krins")), "{after:?} at {at}: {:?}", tree.keys());
        }
        // Before its removal, and before the list, the renaming and the sync that close the journal.
        assert!(lost <= 4 && foreign >= 3, "{after:?}: lost at {lost} places, foreign at {foreign}");
    }
}

/// What another program had written, found by the recovery in a place that only a kill between two calls leaves it in.
#[tokio::test]
async fn what_a_recovery_finds_and_does_not_know_is_kept() {
    // (the target, the temporary file, the target after the recovery, what is kept)
    let cases = [
        ("new text", "theirs", "theirs", None),
        ("new text", "new", "new text", Some("new")),
        ("somebody else's", "theirs", "somebody else's", Some("theirs")),
        ("old", "new", "new text", None),
        ("new text", "old", "new text", None),
    ];
    for (target, temp, after, kept) in cases {
        let room = room(&[("a.ts", "old")]);
        let plan = room.plan(&[("a.ts", Some("new text"))]);
        room.applier.journal.stage(&plan.record).unwrap();
        room.applier.journal.commit(&plan.record).unwrap();
        let name = room.tree().into_keys().find(|path| path.contains(".krins")).unwrap();
        put(room.dir.path(), "a.ts", target.as_bytes());
        put(room.dir.path(), &name, temp.as_bytes());
        let recovered = room.applier.recover().await.unwrap();
        let tree: Vec<_> = room.tree().into_iter().map(|(path, (bytes, _))| (path, bytes)).collect();
        assert_eq!(tree, [("a.ts".to_owned(), after.as_bytes().to_vec())], "{target}, {temp}: {recovered:?}");
        let aside = tree_of_aside(&room.records());
        assert_eq!(aside, kept.map(|text| text.as_bytes().to_vec()), "{target}, {temp}");
    }
}

fn tree_of_aside(records: &Path) -> Option<Vec<u8>> {
    tree(records).into_iter().find(|(name, _)| name.ends_with(".aside")).map(|(_, (bytes, _))| bytes)
}

#[tokio::test]
async fn links_are_refused_and_nothing_is_written_outside() {
    let room = room(&FILES);
    let outside = room.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("b.ts"), "b\n").unwrap();
    std::os::unix::fs::symlink(&outside, room.root().join("out")).unwrap();
    std::os::unix::fs::symlink(outside.join("b.ts"), room.root().join("link.ts")).unwrap();
    for path in ["out/b.ts", "out/new.ts", "out/new/deep.ts", "link.ts"] {
        let write = Write { current: None, ..room.write(path, Some("evil")) };
        let plan = Plan::for_driver(vec![write], &room.current);
        assert!(plan.is_err(), "{path}");
    }
    // The directory becomes a link after the plan was made.
    let plan = room.plan(&[("src/b.ts", Some("evil")), ("src/x/new.ts", Some("evil"))]);
    fs::rename(room.root().join("src"), room.root().join("moved")).unwrap();
    std::os::unix::fs::symlink(&outside, room.root().join("src")).unwrap();
    assert!(room.applier.apply(plan, None).await.is_err());
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(outside.join("b.ts")).unwrap(), "b\n");
}

#[tokio::test]
async fn a_rename_moves_the_file_and_back() {
    let room = room(&FILES);
    let before = room.tree();
    let write = Write {
        kind: ChangeKind::Rename,
        from: Some(rel("src/old.ts")),
        current: Some(b"gone\n"[..].into()),
        ..room.write("lib/new.ts", Some("gone, edited\n"))
    };
    let plan = Plan::for_driver(vec![write], &room.current).unwrap();
    room.applier.apply(plan, None).await.unwrap();
    let after = room.tree();
    assert!(!after.contains_key("src/old.ts") && after["lib/new.ts"].0 == b"gone, edited\n");
    let undo = room.applier.plan_undo(None).await.unwrap().unwrap();
    room.applier.apply(undo, None).await.unwrap();
    assert_eq!(room.tree(), before);
}

#[tokio::test]
async fn two_applies_at_once_wait_for_each_other() {
    let room = room(&[("a.ts", "0"), ("b.ts", "0")]);
    let (a, b) = (room.plan(&[("a.ts", Some("1"))]), room.plan(&[("b.ts", Some("1"))]));
    let second = Applier::open(room.current.clone(), room.applier.state.clone()).unwrap();
    let (a, b) = tokio::join!(room.applier.apply(a, None), second.apply(b, None));
    assert!(a.is_ok() && b.is_ok());
    assert_eq!(room.applier.history().await.unwrap().len(), 2);
}

/// How a fake editor behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Obeys,
    /// Says yes and does nothing (Eglot 30 after a refused prompt).
    SaysYes,
    /// Says no and does it (Helix on a later failure).
    DoesButSaysNo,
    SaysNo,
    Silent,
    /// Converts to the document's line ends (VS Code).
    Crlf,
    /// Somebody types while the edit is under way.
    TypedMeanwhile,
    /// Asks the person, who thinks about it for longer than the limit, and says yes (Eglot).
    Asks,
}

struct FakeEditor {
    documents: Arc<Documents>,
    /// By the end of the URI; others obey.
    manners: Vec<(&'static str, Manner)>,
    seen: Mutex<Vec<String>>,
}

impl FakeEditor {
    fn new(room: &Room, manners: &[(&'static str, Manner)]) -> Self {
        Self { documents: room.current.documents().clone(), manners: manners.to_vec(), seen: Mutex::default() }
    }

    fn carry_out(&self, edit: &BufferEdit, manner: Manner) {
        // All ranges are for the old text, so the last comes first.
        let mut changes: Vec<Change> = edit
            .edits
            .iter()
            .rev()
            .map(|edit| Change { range: Some(edit.range.clone()), text: edit.text.clone() })
            .collect();
        if manner == Manner::Crlf {
            changes.iter_mut().for_each(|change| change.text = change.text.replace('\n', "\r\n"));
        }
        if manner == Manner::TypedMeanwhile {
            changes = vec![Change { range: Some(Default::default()..Default::default()), text: "typed".into() }];
        }
        self.documents.change(&edit.uri, edit.version + 1, &changes).unwrap();
    }
}

#[async_trait]
impl Editor for FakeEditor {
    async fn apply_edit(&self, edit: BufferEdit) -> Result<(), EditorRefused> {
        self.seen.lock().unwrap().push(edit.uri.to_string());
        let manner =
            self.manners.iter().find(|(end, _)| edit.uri.ends_with(end)).map_or(Manner::Obeys, |(_, manner)| *manner);
        let no = Err(EditorRefused::new("applied: false"));
        match manner {
            Manner::SaysYes => Ok(()),
            Manner::SaysNo => no,
            Manner::Silent => std::future::pending().await,
            Manner::Asks => {
                tokio::time::sleep(Duration::from_millis(700)).await;
                self.carry_out(&edit, manner);
                Ok(())
            }
            Manner::DoesButSaysNo => {
                self.carry_out(&edit, manner);
                no
            }
            Manner::Obeys | Manner::Crlf | Manner::TypedMeanwhile => {
                self.carry_out(&edit, manner);
                Ok(())
            }
        }
    }

    fn patience(&self) -> Option<Duration> {
        self.manners.iter().any(|(_, manner)| *manner == Manner::Asks).then_some(Duration::from_secs(60))
    }
}

#[tokio::test]
async fn open_documents_go_through_the_editor_and_are_never_written() {
    for manner in [Manner::Obeys, Manner::DoesButSaysNo, Manner::Crlf, Manner::Asks] {
        let room = room(&[("a.ts", "disk\n"), ("b.ts", "b\n")]);
        let uri = room.open("a.ts", "unsaved\nx\n");
        let editor = FakeEditor::new(&room, &[("a.ts", manner)]);
        let plan = room.plan(&[("a.ts", Some("UNSAVED\nx\n")), ("b.ts", Some("B\n"))]);
        let applied = room.applier.apply(plan, Some(&editor)).await.unwrap();
        assert_eq!(applied.unsaved, [uri.as_str()], "{manner:?}");
        assert_eq!(fs::read_to_string(room.root().join("a.ts")).unwrap(), "disk\n");
        assert_eq!(fs::read_to_string(room.root().join("b.ts")).unwrap(), "B\n");
        let text = room.current.documents().get(&uri).unwrap().text;
        assert_eq!(text.replace('\r', ""), "UNSAVED\nx\n");
        assert_eq!(applied.files[0].digest, Some(Digest::of(&*text)), "read back, not believed");
    }
}

#[tokio::test]
async fn an_editor_that_does_not_do_it_stops_everything_and_the_rest_is_taken_back() {
    for manner in [Manner::SaysYes, Manner::SaysNo, Manner::Silent, Manner::TypedMeanwhile] {
        let room = room(&[("a.ts", "a\n"), ("b.ts", "b\n"), ("c.ts", "c\n")]);
        let (a, _) = (room.open("a.ts", "a\n"), room.open("b.ts", "b\n"));
        let editor = FakeEditor::new(&room, &[("b.ts", manner)]);
        let before = room.tree();
        let plan = room.plan(&[("a.ts", Some("A\n")), ("b.ts", Some("B\n")), ("c.ts", Some("C\n"))]);
        let error = room.applier.apply(plan, Some(&editor)).await.unwrap_err();
        // Where somebody typed it holds neither text, and is named.
        let another: &[RelPath] = if manner == Manner::TypedMeanwhile { &[rel("b.ts")] } else { &[] };
        assert!(
            matches!(&error, ApplyError::Editor { path, left, .. } if *path == rel("b.ts") && left == another),
            "{error:?}"
        );
        assert_eq!(room.tree(), before, "{manner:?}");
        assert_eq!(&*room.current.documents().get(&a).unwrap().text, "a\n");
        assert_eq!(editor.seen.lock().unwrap().iter().filter(|uri| **uri == a).count(), 2);
        assert!(room.applier.recover().await.unwrap().is_none());
    }
}

#[tokio::test]
async fn what_is_unsaved_is_not_deleted_and_without_an_editor_nothing_open_is_changed() {
    let room = room(&[("a.ts", "a\n")]);
    let uri = room.open("a.ts", "a, unsaved\n");
    assert!(Plan::for_driver(vec![room.write("a.ts", None)], &room.current).is_err());
    let error = room.applier.apply(room.plan(&[("a.ts", Some("A\n"))]), None).await.unwrap_err();
    assert!(matches!(error, ApplyError::NoEditor(_)), "{error:?}");
    room.current.documents().open(&uri, 2, "a\n".into());
    room.applier.apply(room.plan(&[("a.ts", None)]), None).await.unwrap();
    assert!(!room.root().join("a.ts").exists());
}

/// The plan was made when the file was closed; by the time it is carried out the text is the editor's.
#[tokio::test]
async fn a_file_that_was_opened_since_the_plan_is_not_written_under_the_editor() {
    for (after, unsaved) in [(Some("A\n"), "a\n"), (Some("A\n"), "a, unsaved\n"), (None, "a, unsaved\n")] {
        let room = room(&[("a.ts", "a\n"), ("b.ts", "b\n"), ("open.ts", "o\n")]);
        let uri = room.open("open.ts", "o\n");
        let editor = FakeEditor::new(&room, &[]);
        let plan = room.plan(&[("a.ts", after), ("b.ts", Some("B\n")), ("open.ts", Some("O\n"))]);
        let before = room.tree();
        room.open("a.ts", unsaved);
        let error = room.applier.apply(plan, Some(&editor)).await.unwrap_err();
        let moved = matches!(&error, ApplyError::Journal(JournalError::Moved(paths)) if *paths == [rel("a.ts")]);
        assert!(moved, "{error:?}");
        assert_eq!(room.tree(), before);
        assert_eq!(&*room.current.documents().get(&uri).unwrap().text, "o\n", "taken back");
        assert!(room.applier.recover().await.unwrap().is_none());
    }
}

#[tokio::test]
async fn undo_goes_through_the_editor_while_it_is_open_and_to_disk_when_it_was_saved_and_closed() {
    let room = room(&[("a.ts", "a\n")]);
    let uri = room.open("a.ts", "a\n");
    let editor = FakeEditor::new(&room, &[]);
    room.applier.apply(room.plan(&[("a.ts", Some("A\n"))]), Some(&editor)).await.unwrap();
    let undo = room.applier.plan_undo(None).await.unwrap().unwrap();
    room.applier.apply(undo, Some(&editor)).await.unwrap();
    assert_eq!(&*room.current.documents().get(&uri).unwrap().text, "a\n");
    let redo = room.applier.plan_redo(None).await.unwrap().unwrap();
    room.applier.apply(redo, Some(&editor)).await.unwrap();
    put(room.dir.path(), "a.ts", b"A\n");
    room.current.documents().close(&uri);
    let undo = room.applier.plan_undo(None).await.unwrap().unwrap();
    room.applier.apply(undo, None).await.unwrap();
    assert_eq!(fs::read_to_string(room.root().join("a.ts")).unwrap(), "a\n");
}

#[tokio::test]
async fn a_full_disk_is_a_clear_error_and_changes_nothing() {
    let room = room(&FILES);
    let mount = room.root().join("src/full");
    fs::create_dir_all(&mount).unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "krins-test"])
        .arg(&mount)
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        // Not root: the injected errors above cover the same promise.
        return;
    }
    fs::write(mount.join("x.ts"), "x").unwrap();
    let big = "y".repeat(200_000);
    let before = room.tree();
    let plan = room.plan(&[("a.ts", Some("A")), ("src/full/x.ts", Some(&big))]);
    let error = room.applier.apply(plan, None).await;
    let after = room.tree();
    assert!(std::process::Command::new("umount").arg(&mount).status().unwrap().success());
    let error = Error::from(error.unwrap_err());
    assert!(error.message.contains("src/full/x.ts"), "{error:?}");
    assert!(error.hint.as_deref().is_some_and(|hint| hint.contains("full")), "{error:?}");
    assert_eq!(after, before);
}

fn texts() -> impl Strategy<Value = Option<Vec<u8>>> {
    proptest::option::weighted(0.8, proptest::collection::vec(any::<u8>(), 0..40))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn undo_restores_every_byte_and_redo_every_byte_again(
        files in proptest::collection::btree_map("[ab]{1,2}(/[cd]){0,2}\\.ts", (texts(), texts()), 1..8)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let room = room(&[]);
        for (path, (before, _)) in &files {
            if let Some(bytes) = before {
                put(room.dir.path(), path, bytes);
            }
        }
        let writes = files
            .iter()
            .filter(|(_, (before, after))| before != after)
            .map(|(path, (_, after))| Write { after: after.clone().map(Into::into), ..room.write(path, None) })
            .collect();
        let before = room.tree();
        let plan = Plan::for_driver(writes, &room.current).unwrap();
        let nothing = plan.is_empty();
        runtime.block_on(room.applier.apply(plan, None)).unwrap();
        let after = room.tree();
        for (path, (_, wanted)) in &files {
            prop_assert_eq!(after.get(path).map(|(bytes, _)| bytes), wanted.as_ref());
        }
        if !nothing {
            let undo = runtime.block_on(room.applier.plan_undo(None)).unwrap().unwrap();
            runtime.block_on(room.applier.apply(undo, None)).unwrap();
            prop_assert_eq!(room.tree(), before);
            let redo = runtime.block_on(room.applier.plan_redo(None)).unwrap().unwrap();
            runtime.block_on(room.applier.apply(redo, None)).unwrap();
            prop_assert_eq!(room.tree(), after);
        }
    }
}
