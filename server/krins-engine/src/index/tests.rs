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
}

const FILES: [&str; 8] =
    ["a.ts", "src/a.ts", "src/b.tsx", "src/deep/c.js", "src/deep/index.ts", "lib/a.ts", "lib/d.mjs", "new/e.ts"];
const DIRS: [&str; 4] = ["src", "src/deep", "lib", "new"];
const TEXTS: [&str; 5] = [
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
        Self { dir, root, documents, state, comparing, watching }
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
        let later = Index::at(self.state.path());
        assert_eq!(said(&later.view(&self.snapshot())), expect, "from the store, as a new process");
    }
}

type Said = (BTreeMap<RelPath, (Digest, Vec<Option<RelPath>>, Vec<RelPath>, Vec<String>)>, Vec<RelPath>);

/// Everything that a view says.
fn said(view: &View) -> Said {
    assert!(!view.partial);
    let graph = &view.graph;
    let file = |(path, file): (&RelPath, &Arc<Indexed>)| {
        let symbols = file.facts().symbols.iter().map(|symbol| symbol.name.clone()).collect();
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
