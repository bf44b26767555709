//! Whatever happened to the files, and however the index came to know, it says what one says that is made from scratch.

use super::*;
use crate::documents::Documents;
use krins_core::text::Encoding;
use proptest::prelude::*;
use std::fs;
use std::time::Duration;

/// A workspace, and the indexes that follow it.
struct Place {
    dir: tempfile::TempDir,
    root: Arc<Root>,
    documents: Documents,
    state: tempfile::TempDir,
    comparing: Index,
    watching: Index,
    /// Would watch, where it could: as on macOS.
    refused: Index,
}

const FILES: [&str; 9] = [
    "types/amb.d.ts",
    "a.ts",
    "src/a.ts",
    "src/b.tsx",
    "src/deep/c.js",
    "src/deep/index.ts",
    "lib/a.ts",
    "lib/d.mjs",
    "new/e.ts",
];
const DIRS: [&str; 4] = ["src", "src/deep", "lib", "new"];
const TEXTS: [&str; 7] = [
    "declare module 'amb' { export const one: number; }\n",
    "import { one } from 'amb';\nexport const four = one;\n",
    "export const one = 1;\n",
    "import { one } from './a';\nexport const two = one;\n",
    "export * from '../src/deep';\nimport x from '@lib/a';\n",
    "import './deep/c';\nimport { two } from './b';\nexport function f() { return two; }\n",
    "let broken = (;\n",
];
const CONFIGS: [(&str, &str); 6] = [
    ("tsconfig.json", r#"{"compilerOptions":{"paths":{"@lib/*":["./lib/*"]}}}"#),
    ("tsconfig.json", r#"{"compilerOptions":{"paths":{"@lib/*":["./src/*"]}}}"#),
    (".gitignore", "lib/\n"),
    (".gitignore", "*.tsx\n.gitignore\n"),
    ("src/.krinsignore", "deep\n"),
    ("lib/package.json", r#"{"name":"@lib/a","main":"d.mjs"}"#),
];

#[derive(Clone, Debug)]
enum Step {
    Write(usize, usize),
    Remove(usize),
    Rename(usize, usize),
    RemoveDir(usize),
    RenameDir(usize, usize),
    Configure(usize),
    Unconfigure(usize),
    Open(usize, usize),
    Close(usize),
    Lose(usize),
    Wait,
    /// Nobody asks, so that several steps come at once.
    Nothing,
}

fn steps() -> impl Strategy<Value = Vec<(Step, bool)>> {
    let (file, dir, text, config) = (0..FILES.len(), 0..DIRS.len(), 0..TEXTS.len(), 0..CONFIGS.len());
    let step = prop_oneof![
        6 => (file.clone(), text.clone()).prop_map(|(file, text)| Step::Write(file, text)),
        2 => file.clone().prop_map(Step::Remove),
        2 => (file.clone(), file.clone()).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => dir.clone().prop_map(Step::RemoveDir),
        2 => (dir.clone(), dir).prop_map(|(from, to)| Step::RenameDir(from, to)),
        2 => config.clone().prop_map(Step::Configure),
        1 => config.prop_map(Step::Unconfigure),
        2 => (file.clone(), text).prop_map(|(file, text)| Step::Open(file, text)),
        1 => file.clone().prop_map(Step::Close),
        1 => file.prop_map(Step::Lose),
        2 => Just(Step::Wait),
        1 => Just(Step::Nothing),
    ];
    proptest::collection::vec((step, prop::bool::weighted(0.7)), 1..24)
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = tempfile::tempdir().unwrap();
        let root = Arc::new(Root::open(dir.path()).unwrap());
        let documents = Documents::new(root.clone(), Encoding::Utf8);
        let watching = Index::default();
        watching.watch();
        let comparing = Index::at(state.path());
        let refused = unwatchable();
        refused.watch();
        Self { dir, root, documents, state, comparing, watching, refused }
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.dir.path().join(path);
        // A file may be where a directory was.
        let _ = fs::create_dir_all(path.parent().unwrap()).and_then(|()| fs::write(path, text));
    }

    fn uri(&self, file: usize) -> String {
        self.root.uri(&RelPath::new(FILES[file]).unwrap())
    }

    fn apply(&self, step: &Step) {
        let at = |path: &str| self.dir.path().join(path);
        // What does not fit (a rename of nothing) is no step.
        match step {
            Step::Write(file, text) => self.write(FILES[*file], TEXTS[*text]),
            Step::Remove(file) => drop(fs::remove_file(at(FILES[*file]))),
            Step::Rename(from, to) => {
                let _ = fs::create_dir_all(at(FILES[*to]).parent().unwrap());
                let _ = fs::rename(at(FILES[*from]), at(FILES[*to]));
            }
            Step::RemoveDir(dir) => drop(fs::remove_dir_all(at(DIRS[*dir]))),
            Step::RenameDir(from, to) => drop(fs::rename(at(DIRS[*from]), at(DIRS[*to]))),
            Step::Configure(config) => self.write(CONFIGS[*config].0, CONFIGS[*config].1),
            Step::Unconfigure(config) => drop(fs::remove_file(at(CONFIGS[*config].0))),
            Step::Open(file, text) => self.documents.open(&self.uri(*file), 1, TEXTS[*text].to_owned()),
            Step::Close(file) => self.documents.close(&self.uri(*file)),
            Step::Lose(file) => self.documents.desynchronise(&self.uri(*file)),
            Step::Wait => std::thread::sleep(Duration::from_millis(45)),
            Step::Nothing => {}
        }
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot::take(&self.root, &self.documents)
    }

    fn check(&self) {
        let expect = said(&Index::default().view(&self.snapshot()));
        let exclusions = crate::exclude::Exclusions::of(&self.root);
        assert_eq!(expect.0.keys().find(|path| exclusions.hold(path)), None, "kept out, on disk or in a buffer");
        assert_eq!(said(&self.comparing.view(&self.snapshot())), expect, "by comparing stamps");
        assert_eq!(said(&self.watching.view(&self.snapshot())), expect, "by watching");
        assert_eq!(said(&self.refused.view(&self.snapshot())), expect, "where nothing can be watched");
        let later = Index::at(self.state.path());
        assert_eq!(said(&later.view(&self.snapshot())), expect, "from the store, as a new process");
    }
}

/// An index that gets no watches.
fn unwatchable() -> Index {
    let index = Index::default();
    index.lock().unwatchable = true;
    index
}

/// An editor's sidecar there: it reads everything once in the background, and from then on looks when it is asked.
#[test]
fn without_watches_the_background_ends_and_every_answer_is_fresh() {
    let place = Place::new();
    two_branches(place.dir.path(), 200);
    let index = Arc::new(unwatchable());
    index.keep_fresh(&place.root, &Arc::new(Documents::new(place.root.clone(), Encoding::Utf8)));
    until("everything was read", || index.stats().1 && !index.is_kept());
    for text in TEXTS {
        place.write("pkg1/src/fresh.ts", text);
        let expect = said(&Index::default().view(&place.snapshot()));
        let soon = index.answer(&place.snapshot(), &Wish::default(), Duration::ZERO);
        assert_eq!(said(&soon), expect, "{text}");
    }
}

const CHILD: &str = "KRINS_INDEX_TEST_CHILD";

/// Another process that works on the same root and store, until it is killed or its input ends.
fn child(place: &Place, edits: bool) -> std::process::Child {
    let roots = [place.dir.path(), place.state.path()].map(|path| path.to_str().unwrap().to_owned());
    std::process::Command::new(std::env::current_exe().unwrap())
        .args(["index::tests::as_a_child", "--exact", "--nocapture"])
        .env(CHILD, format!("{}:{}:{edits}", roots[0], roots[1]))
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

/// What [`child`] runs; by itself it does nothing.
#[test]
fn as_a_child() {
    let Ok(places) = std::env::var(CHILD) else { return };
    let [dir, state, edits] = places.split(':').collect::<Vec<_>>().try_into().unwrap();
    let root = Arc::new(Root::open(Path::new(dir)).unwrap());
    for round in 0.. {
        if edits == "true" {
            for at in 0..40 {
                fs::write(root.path().join(format!("many{at}.ts")), format!("export const m{round} = {at};\n"))
                    .unwrap();
            }
        }
        Index::at(Path::new(state)).view(&Snapshot::of_disk(&root));
    }
}

#[test]
fn a_process_that_is_killed_while_it_writes_leaves_nothing_wrong() {
    for round in 0..8 {
        let place = Place::new();
        let mut child = child(&place, true);
        std::thread::sleep(Duration::from_millis(60 + 47 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        place.check();
    }
}

#[test]
fn two_processes_on_one_root_while_files_change() {
    let place = Place::new();
    let mut child = child(&place, false);
    for round in 0..30 {
        place.write(FILES[round % 9], TEXTS[round * 3 % 7]);
        if round % 4 == 3 {
            place.apply(&Step::RenameDir(round % 3, (round + 1) % 4));
        }
        place.check();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    place.check();
}

fn git(dir: &Path, args: &[&str]) {
    let config = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "init.defaultBranch=main"];
    let git = std::process::Command::new("git").current_dir(dir).args(config).args(args).output().unwrap();
    assert!(git.status.success(), "{args:?}: {}", String::from_utf8_lossy(&git.stderr));
}

/// A repository with two branches that differ in most of their files.
fn two_branches(dir: &Path, files: usize) {
    let write = |branch: usize, at: usize| {
        let path = dir.join(format!("pkg{}/src/file{at}.ts", (at + branch * at) % 37));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let next = (at + 37) % files;
        fs::write(path, format!("import './file{next}';\nexport const of{branch} = {at};\n")).unwrap();
    };
    git(dir, &["init", "-q"]);
    (0..files).for_each(|at| write(0, at));
    git(dir, &["add", "-A"]);
    git(dir, &["commit", "-qm", "one"]);
    git(dir, &["checkout", "-qb", "other"]);
    git(dir, &["rm", "-rq", "."]);
    (0..files).filter(|at| at % 5 > 0).for_each(|at| write(1, at));
    git(dir, &["add", "-A"]);
    git(dir, &["commit", "-qm", "two"]);
}

#[test]
fn branch_switches_of_thousands_of_files() {
    let place = Place::new();
    two_branches(place.dir.path(), 2_000);
    place.check();
    git(place.dir.path(), &["checkout", "-q", "main"]);
    place.check();
    let contents = || {
        let view = Index::at(place.state.path()).view(&place.snapshot());
        view.graph.files().len()
    };
    assert_eq!(contents(), 2_000);
    git(place.dir.path(), &["checkout", "-q", "other"]);
    place.check();
    assert_eq!(contents(), 1_600);
}

#[test]
fn a_switch_back_reads_what_was_made_before() {
    let place = Place::new();
    two_branches(place.dir.path(), 200);
    place.comparing.view(&place.snapshot());
    git(place.dir.path(), &["checkout", "-q", "main"]);
    place.comparing.view(&place.snapshot());
    git(place.dir.path(), &["checkout", "-q", "other"]);
    let view = place.comparing.view(&place.snapshot());
    for (path, file) in view.graph.files().iter() {
        assert!(place.comparing.store.content(path, *file.digest()).is_some());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn events_that_were_lost_are_made_up_for() {
    let place = Place::new();
    place.write("a.ts", TEXTS[2]);
    place.write("src/a.ts", TEXTS[2]);
    place.check();
    // More than the kernel's queue holds; it joins equal neighbours only.
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    for at in 0..limit.trim().parse::<usize>().unwrap() + 100 {
        fs::write(place.dir.path().join(["x1", "x2"][at % 2]), "").unwrap();
    }
    place.apply(&Step::RenameDir(0, 2));
    place.write("new/e.ts", TEXTS[1]);
    place.check();
    place.write("new/e.ts", TEXTS[3]);
    place.check();
    assert!(place.watching.watch_now().is_some(), "it watches again");
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(std::time::Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_background_reads_everything_saves_it_and_follows_the_disk() {
    let place = Place::new();
    two_branches(place.dir.path(), 300);
    let documents = Arc::new(Documents::new(place.root.clone(), Encoding::Utf8));
    let index = Arc::new(Index::at(place.state.path()));
    index.pause(true);
    index.keep_fresh(&place.root, &documents);
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(index.stats(), (Stats::default(), false), "it is paused");
    index.pause(false);
    until("it reads", || index.stats().1);
    let stored = || Store::at(place.state.path()).load().rows;
    until("it saves", || stored().len() == 240);
    place.write("pkg1/src/fresh.ts", "export const fresh = 1;\n");
    let fresh = RelPath::new("pkg1/src/fresh.ts").unwrap();
    until("it follows", || stored().contains_key(&fresh));
    let expect = said(&Index::default().view(&place.snapshot()));
    assert_eq!(said(&index.view(&place.snapshot())), expect);
    let alive = Arc::downgrade(&index);
    drop(index);
    until("its thread ends with it", || alive.strong_count() == 0);
}

#[test]
fn an_early_answer_is_partial_and_has_what_matters_first() {
    let place = Place::new();
    two_branches(place.dir.path(), 1_500);
    place.write("src/focus.ts", "import { needle } from '../lib/needle';\nexport const focus = needle;\n");
    place.write("lib/needle.ts", "export const needle = 1;\n");
    place.write("zoo/with_the_word.ts", "export const wonderfulThing = 1;\n");
    let focus = RelPath::new("src/focus.ts").unwrap();
    let wish = Wish { focus: Some(&focus), words: "make wonderfulThing faster" };
    let index = Index::default();
    let view = index.soon(&place.snapshot(), &wish, Duration::from_millis(1));
    let read = view.graph.files().len();
    assert!(read < 1_202, "{read}");
    assert_eq!(view.partial, Some(Partial { read, total: 1_203 }));
    let index = Index::default();
    let view = index.soon(&place.snapshot(), &wish, Duration::from_millis(400));
    for path in ["src/focus.ts", "lib/needle.ts", "zoo/with_the_word.ts"] {
        assert!(view.graph.contains(&RelPath::new(path).unwrap()), "{path}");
    }
    assert_eq!(view.graph.imports(&focus), [RelPath::new("lib/needle.ts").unwrap()]);
    let expect = said(&Index::default().view(&place.snapshot()));
    assert_eq!(said(&index.view(&place.snapshot())), expect);
    let view = index.soon(&place.snapshot(), &wish, Duration::ZERO);
    assert_eq!(said(&view), expect, "what is complete stays so");
}

type Said = (BTreeMap<RelPath, (Digest, Vec<Option<RelPath>>, Vec<RelPath>, Vec<String>)>, Vec<RelPath>);

/// Everything that a view says.
fn said(view: &View) -> Said {
    assert_eq!(view.partial, None);
    let graph = &view.graph;
    let file = |(path, file): (&RelPath, &Arc<Indexed>)| {
        // What a text in error is understood as may depend on what it was before.
        let facts = file.facts();
        let symbols = facts.symbols.iter().filter(|_| !facts.broken).map(|symbol| symbol.name.clone()).collect();
        (path.clone(), (*file.digest(), graph.resolved(path).to_vec(), graph.importers(path).to_vec(), symbols))
    };
    (graph.files().iter().map(file).collect(), view.unread.clone())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn after_any_steps_every_index_equals_a_new_one(steps in steps()) {
        let place = Place::new();
        for (step, ask) in &steps {
            place.apply(step);
            if *ask {
                place.check();
            }
        }
        place.check();
    }
}
