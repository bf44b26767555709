//! The whole journey on packages that none of us wrote. The TypeScript compiler says whether a change kept their meaning.
//!
//! A spread of symbols is renamed one after the other, checked all together, and undone one by one. With
//! `KRINS_TEST_FULL=1` many more are taken, and then some are renamed, checked and undone each on its own.

use krins_core::graph::{Graph, Indexed, ResolveConfig};
use krins_core::syntax::Language;
use krins_core::{Digest, RelPath};
use krins_tests::client::{Client, RpcError};
use krins_tests::command::{krins, krins_reading};
use krins_tests::figures::{is_full, note};
use krins_tests::npm;
use krins_tests::personas::Persona;
use krins_tests::workspace::Workspace;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a renamed symbol's name gets: found nowhere in the packages.
const SUFFIX: &str = "Krins";

/// A package at a version, and a change that touches much of it.
struct Pinned {
    name: &'static str,
    version: &'static str,
    /// Instead of the package's own, which is not shipped or not for its sources.
    tsconfig: Option<&'static str>,
    /// An exported symbol that many files use, and its file.
    symbol: (&'static str, &'static str),
    /// How many files its rename changes at least.
    reach: usize,
    /// Where it can be moved.
    room: &'static str,
}

const RXJS: Pinned = Pinned {
    name: "rxjs",
    version: "7.8.2",
    tsconfig: None,
    symbol: ("operate", "src/internal/util/lift.ts"),
    reach: 70,
    room: "src/internal/util/operate.ts",
};

const ZOD: Pinned = Pinned {
    name: "zod",
    version: "4.6.7",
    tsconfig: Some(
        r#"{"compilerOptions": {"strict": true, "target": "es2022", "module": "nodenext", "moduleResolution": "nodenext",
            "customConditions": ["@zod/source"], "noEmit": true, "skipLibCheck": true, "types": [], "lib": ["es2022", "dom"],
            "verbatimModuleSyntax": true, "isolatedModules": true, "exactOptionalPropertyTypes": true},
            "include": ["src"], "exclude": ["src/**/tests", "src/**/benchmarks"]}"#,
    ),
    symbol: ("util", "src/v3/helpers/util.ts"),
    reach: 3,
    room: "src/v3/helpers/namespace.ts",
};

const EFFECT: Pinned = Pinned {
    name: "effect",
    version: "3.22.4",
    tsconfig: Some(
        r#"{"compilerOptions": {"strict": true, "target": "es2022", "module": "nodenext", "moduleResolution": "nodenext",
            "noEmit": true, "skipLibCheck": true, "types": [], "lib": ["es2022", "dom"], "isolatedModules": true,
            "exactOptionalPropertyTypes": true}, "include": ["src"]}"#,
    ),
    symbol: ("pipeArguments", "src/Pipeable.ts"),
    reach: 69,
    room: "src/internal/pipeArguments.ts",
};

impl Pinned {
    fn workspace(&self) -> Workspace {
        let workspace = Workspace::empty();
        npm::sources(self.name, self.version, &workspace);
        if let Some(text) = self.tsconfig {
            workspace.write("tsconfig.json", text);
        }
        workspace
    }

    fn rename(&self) -> String {
        let (symbol, file) = self.symbol;
        format!("rename {symbol} in {file} to {symbol}{SUFFIX}")
    }
}

type Digests = BTreeMap<PathBuf, Digest>;

fn digests(workspace: &Workspace) -> Digests {
    workspace.snapshot().into_iter().map(|(path, bytes)| (path, Digest::of(&bytes))).collect()
}

/// The files that `krins apply` says it changed, with the digests it read back.
fn applied(workspace: &Workspace, outcome: &Value) -> BTreeMap<PathBuf, String> {
    let files = outcome["applied"].as_array().unwrap_or_else(|| panic!("{outcome}"));
    for key in ["conflicts", "leftAlone", "unsaved"] {
        assert!(outcome[key].as_array().is_none_or(Vec::is_empty), "{key}: {outcome}");
    }
    files
        .iter()
        .map(|file| {
            let path = krins_tests::workspace::path_of(file["uri"].as_str().unwrap()).unwrap();
            (
                path.strip_prefix(workspace.root()).unwrap().to_owned(),
                file["sha256"].as_str().unwrap_or_default().to_owned(),
            )
        })
        .collect()
}

/// Exactly the files that were named are different, and they are as was said.
fn assert_only(before: &Digests, after: &Digests, named: &BTreeMap<PathBuf, String>) {
    let paths: BTreeSet<&PathBuf> = before.keys().chain(after.keys()).collect();
    let changed: BTreeSet<&PathBuf> = paths.into_iter().filter(|path| before.get(*path) != after.get(*path)).collect();
    assert_eq!(changed, named.keys().collect(), "the files that changed are those that were named");
    for (path, digest) in named {
        let there = after.get(path).map(ToString::to_string).unwrap_or_default();
        assert_eq!(&there, digest, "{}", path.display());
    }
}

/// Assign, apply, undo by the command line, and git's own opinion of the diff.
fn journey(pinned: &Pinned) {
    let workspace = pinned.workspace();
    let before = workspace.snapshot();
    let old = digests(&workspace);
    let started = Instant::now();
    let run = krins(&workspace, &["assign", &pinned.rename(), "--apply", "--json"]).expect(0);
    let took = started.elapsed();
    let named = applied(&workspace, &run.json());
    assert!(named.len() >= pinned.reach, "{} files of {}", named.len(), pinned.reach);
    assert_only(&old, &digests(&workspace), &named);
    note(&format!(
        "{}@{}: {:?} from start to applied, {} files of {}",
        pinned.name,
        pinned.version,
        took,
        named.len(),
        before.len()
    ));
    if !cfg!(debug_assertions) {
        assert!(took < Duration::from_secs(2), "{}: {took:?}", pinned.name);
    }

    let after = workspace.snapshot();
    let diff = krins(&workspace, &["diff", "--json"]).expect(0).json();
    let patch = diff["patch"].as_str().unwrap();
    krins(&workspace, &["undo", "--json"]).expect(0);
    assert!(workspace.snapshot() == before, "undo restores every byte");
    git_apply(&workspace, patch, &[]);
    assert!(workspace.snapshot() == after, "git makes the same of the patch");
    krins_reading(&workspace, &["patch", "apply", "--json"], patch).expect(0);
    assert!(workspace.snapshot() == after, "there was nothing to do");
    git_apply(&workspace, patch, &["--reverse"]);
    krins(&workspace, &["redo", "--json"]).expect(0);
    assert!(workspace.snapshot() == after, "redo does it again");
    krins(&workspace, &["undo", "--json"]).expect(0);
    assert!(workspace.snapshot() == before, "undo restores every byte");
}

fn git_apply(workspace: &Workspace, patch: &str, how: &[&str]) {
    let mut git = Command::new("git");
    git.arg("apply")
        .args(how)
        .arg("-")
        .current_dir(workspace.root())
        .envs(workspace.env())
        .env("GIT_CEILING_DIRECTORIES", workspace.root());
    let mut git = git.stdin(Stdio::piped()).spawn().expect("git is installed");
    git.stdin.take().unwrap().write_all(patch.as_bytes()).unwrap();
    assert!(git.wait().unwrap().success(), "git does not take the patch");
}

#[test]
fn the_journey_on_rxjs() {
    journey(&RXJS);
}

#[test]
fn the_journey_on_zod() {
    journey(&ZOD);
}

#[test]
fn the_journey_on_effect() {
    journey(&EFFECT);
}

/// An import that nobody uses, put at the top of files: taken out again, and nothing else.
#[test]
fn unused_imports_are_all_that_is_removed() {
    for pinned in [&RXJS, &ZOD, &EFFECT] {
        let workspace = pinned.workspace();
        // What the package itself has too many of, if anything.
        let first = krins(&workspace, &["assign", "remove unused imports", "--apply", "--json"]);
        let own = if first.code == Some(0) { applied(&workspace, &first.json()).len() } else { 0 };
        assert!(own > 0 || first.json()["error"]["kind"] == "ProviderRefused", "{}", first.describe());
        let clean = workspace.snapshot();
        let sources: Vec<&PathBuf> = clean
            .keys()
            .filter(|path| path.starts_with("src") && path.extension().is_some_and(|it| it == "ts"))
            .collect();
        let mut planted = 0;
        for path in sources.iter().step_by(sources.len() / 20) {
            let text =
                [b"import { nobodyUsesThis, type NorThat as Either_ } from './nowhere';\n", clean[*path].as_slice()]
                    .concat();
            // A first line such as a directive or a shebang stays the first.
            if clean[*path].starts_with(b"import ")
                || clean[*path].starts_with(b"export ")
                || clean[*path].starts_with(b"/**")
            {
                workspace.write(path.to_str().unwrap(), text);
                planted += 1;
            }
        }
        assert!(planted >= 10, "{planted} in {}", pinned.name);
        let run = krins(&workspace, &["assign", "remove all unused imports", "--apply", "--json"]).expect(0);
        let named = applied(&workspace, &run.json());
        note(&format!(
            "{}: {own} files had unused imports of their own; {} of {planted} planted ones removed",
            pinned.name,
            named.len()
        ));
        assert_eq!(named.len(), planted);
        for (path, text) in workspace.snapshot() {
            assert!(text == clean[&path], "{} is not what it was:\n{}", path.display(), head(&text));
        }
    }
}

fn head(text: &[u8]) -> String {
    String::from_utf8_lossy(text).lines().take(8).collect::<Vec<_>>().join("\n")
}

/// A move to a new file: the program means what it meant, and undo takes the new file away.
#[test]
fn a_move_keeps_the_diagnostics() {
    for pinned in [&RXJS, &ZOD] {
        let workspace = pinned.workspace();
        let before = workspace.snapshot();
        let mut compiler = Compiler::start(&workspace);
        let ((symbol, file), room) = (pinned.symbol, pinned.room);
        let run = krins(&workspace, &["assign", &format!("move {symbol} in {file} to {room}"), "--apply", "--json"])
            .expect(0);
        let named = applied(&workspace, &run.json());
        assert!(named.contains_key(Path::new(room)) && named.len() > 2, "{named:?}");
        assert_eq!(compiler.differences(named.keys()), Vec::<String>::new(), "{}", pinned.name);
        krins(&workspace, &["undo", "--json"]).expect(0);
        assert!(workspace.snapshot() == before, "undo restores every byte");
        // It does notice: an edit that a rename would miss.
        workspace.write(file, workspace.read(file).replacen(symbol, "missed", 1));
        assert!(!compiler.differences([PathBuf::from(file)].iter()).is_empty(), "{}", pinned.name);
    }
}

/// A long-lived TypeScript compiler over a workspace.
struct Compiler {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// What there was to begin with.
    diagnostics: u64,
}

impl Compiler {
    fn start(workspace: &Workspace) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/diagnostics.mjs");
        let mut node = npm::node();
        node.arg(script).arg(workspace.root()).arg("tsconfig.json").arg(npm::typescript());
        let mut child = node.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("node runs");
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut compiler = Self { child, input, output, diagnostics: 0 };
        compiler.diagnostics = compiler.answer()["diagnostics"].as_u64().unwrap();
        compiler
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("the compiler says {line:?}: {error}"))
    }

    /// What is new and what is gone since the beginning, now that these files changed.
    fn differences<'a>(&mut self, changed: impl Iterator<Item = &'a PathBuf>) -> Vec<String> {
        let changed: Vec<&Path> = changed.map(PathBuf::as_path).collect();
        writeln!(self.input, "{}", json!({"changed": changed, "suffix": SUFFIX})).unwrap();
        let answer = self.answer();
        let lines = |key: &str, sign: &str| -> Vec<String> {
            answer[key].as_array().unwrap().iter().map(|line| format!("{sign} {}", line.as_str().unwrap())).collect()
        };
        [lines("added", "+"), lines("gone", "-")].concat()
    }
}

impl Drop for Compiler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Exported declarations, spread evenly over the package.
fn exported(workspace: &Workspace, count: usize) -> Vec<(String, RelPath)> {
    let mut files: BTreeMap<RelPath, Arc<str>> = BTreeMap::new();
    for (path, bytes) in workspace.snapshot() {
        let path = RelPath::new(path.to_str().unwrap()).unwrap();
        if let Ok(text) = String::from_utf8(bytes) {
            files.insert(path, text.into());
        }
    }
    let code = files.iter().filter(|(path, _)| Language::of(path).is_some());
    let facts = code.map(|(path, text)| (path.clone(), Arc::new(Indexed::of(path, text)))).collect();
    let graph = Graph::build(facts, Arc::new(ResolveConfig::from_files(&files)));
    let mut symbols = BTreeSet::new();
    for (path, file) in graph.files() {
        for export in &file.facts().exports {
            if export.from.is_none() && export.local.is_some() && export.name != "default" {
                symbols.insert((export.name.clone(), path.clone()));
            }
        }
    }
    let step = (symbols.len() / count).max(1);
    symbols.into_iter().step_by(step).take(count).collect()
}

struct Session {
    workspace: Workspace,
    client: Client,
    refused: Vec<String>,
    times: Vec<Duration>,
}

impl Session {
    fn start(pinned: &Pinned) -> Self {
        let workspace = pinned.workspace();
        let mut client = Client::start(&workspace, Persona::VSCODE);
        for method in ["window/showMessage", "krins/task/didChange", "workspace/applyEdit"] {
            client.ignore(method);
        }
        Self { workspace, client, refused: Vec::new(), times: Vec::new() }
    }

    /// Renames a symbol; gives the task's id and the changed files, or `None` for a refusal that says why.
    fn rename(&mut self, symbol: &str, file: &RelPath) -> Option<(String, BTreeMap<PathBuf, String>)> {
        let started = Instant::now();
        let intent = format!("rename {symbol} in {file} to {symbol}{SUFFIX}");
        let assigned = self.client.request("krins/assign", json!({"intent": intent})).unwrap();
        let task = assigned["task"].as_str().unwrap().to_owned();
        match self.client.request("krins/diff", json!({"task": task, "wait": true})) {
            Ok(diff) => assert_eq!(
                (&diff["state"], &diff["gate"]["verdict"]),
                (&json!("ready"), &json!("pass")),
                "{intent}: {}",
                diff["gate"]
            ),
            Err(error) => {
                self.refuse(&intent, &error);
                return None;
            }
        }
        let outcome = self.client.request("krins/apply", json!({"task": task})).unwrap();
        self.times.push(started.elapsed());
        Some((task, applied(&self.workspace, &outcome)))
    }

    fn refuse(&mut self, intent: &str, error: &RpcError) {
        assert_eq!(error.kind(), Some("ProviderRefused"), "{intent}: {error:?}");
        let hint = error.data["hint"].as_str().unwrap_or_default();
        assert!(!hint.is_empty(), "a refusal says what to do: {error:?}");
        self.refused.push(format!("{intent}: {} ({hint})", error.message));
    }

    fn undo(&mut self, task: &str) {
        let undone = self.client.request("krins/undo", json!({"undo": task})).unwrap();
        assert_eq!(undone["conflicts"], json!([]));
    }

    fn figures(&mut self, pinned: &Pinned, compiler: &Compiler, wrong: usize, checks: &str) {
        self.times.sort_unstable();
        let at = |percent: usize| self.times[(self.times.len() * percent / 100).min(self.times.len() - 1)];
        note(&format!(
            "{}@{}: {} renamed ({checks}), {} refused, {wrong} wrong; {} diagnostics before and after; assign to applied p50 {:?}, p95 {:?}",
            pinned.name,
            pinned.version,
            self.times.len(),
            self.refused.len(),
            compiler.diagnostics,
            at(50),
            at(95)
        ));
        for refused in &self.refused {
            note(&format!("  refused: {refused}"));
        }
    }
}

/// Renames on top of each other, one check, undone from the last to the first.
fn renames_stack(pinned: &Pinned, count: usize) {
    let mut session = Session::start(pinned);
    let before = session.workspace.snapshot();
    let mut compiler = Compiler::start(&session.workspace);
    let mut stack = vec![(String::new(), digests(&session.workspace))];
    let mut changed = BTreeSet::new();
    for (symbol, file) in exported(&session.workspace, count) {
        let Some((task, named)) = session.rename(&symbol, &file) else { continue };
        let now = digests(&session.workspace);
        assert_only(&stack[stack.len() - 1].1, &now, &named);
        stack.push((task, now));
        changed.extend(named.into_keys());
    }
    let differences = compiler.differences(changed.iter());
    session.figures(pinned, &compiler, differences.len(), "one after the other, checked together");
    assert!(differences.is_empty(), "{}: the diagnostics changed:\n{}", pinned.name, differences.join("\n"));
    assert!(session.times.len() * 6 >= count * 5, "too many refusals: {:#?}", session.refused);
    while let [.., (_, below), (task, _)] = stack.as_slice() {
        session.undo(task);
        assert_eq!(&digests(&session.workspace), below, "undo of {task}");
        stack.pop();
    }
    assert!(session.workspace.snapshot() == before, "undo restores every byte");
}

/// Each rename on its own: checked, and undone.
fn renames_in_turn(pinned: &Pinned, count: usize) {
    let mut session = Session::start(pinned);
    let before = digests(&session.workspace);
    let mut compiler = Compiler::start(&session.workspace);
    let mut wrong = Vec::new();
    for (symbol, file) in exported(&session.workspace, count) {
        let Some((task, named)) = session.rename(&symbol, &file) else { continue };
        assert_only(&before, &digests(&session.workspace), &named);
        let differences = compiler.differences(named.keys());
        if !differences.is_empty() {
            wrong.push(format!("{symbol} of {file}:\n{}", differences.join("\n")));
        }
        session.undo(&task);
        assert_eq!(digests(&session.workspace), before, "undo of {symbol}");
    }
    session.figures(pinned, &compiler, wrong.len(), "each in turn");
    assert!(
        wrong.is_empty(),
        "{}: {} renames changed the diagnostics:\n{}",
        pinned.name,
        wrong.len(),
        wrong.join("\n")
    );
    assert!(session.times.len() >= 50.min(count * 5 / 6), "too many refusals: {:#?}", session.refused);
}

/// The history holds 200 records, and each rename that is taken back has two.
fn renames(pinned: &Pinned) {
    renames_stack(pinned, if is_full() { 95 } else { 30 });
    if is_full() {
        renames_in_turn(pinned, 66);
    }
}

#[test]
fn renames_keep_the_diagnostics_of_rxjs() {
    renames(&RXJS);
}

#[test]
fn renames_keep_the_diagnostics_of_zod() {
    renames(&ZOD);
}
