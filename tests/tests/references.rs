//! References against the TypeScript language service, on a package that none of us wrote.
//!
//! `KRINS_REFERENCES=DIR` measures a checkout instead, on `KRINS_REFERENCES_COUNT` symbols (400) of the seed
//! `KRINS_REFERENCES_SEED` (7), and prints where the two disagree.

use krins_core::RelPath;
use krins_core::graph::queries::{SymbolRef, references_as_declared};
use krins_core::graph::{Graph, Indexed, ResolveConfig};
use krins_core::syntax::Language;
use krins_tests::figures::{note, say};
use krins_tests::npm;
use krins_tests::workspace::Workspace;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What both have to reach.
const WANTED: f64 = 0.99;

fn read(root: &Path, dir: &Path, texts: &mut BTreeMap<RelPath, Arc<str>>) {
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name());
        if name == "node_modules" || name == ".git" || entry.file_type().unwrap().is_symlink() {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            read(root, &path, texts);
        } else if let Ok(relative) = RelPath::new(path.strip_prefix(root).unwrap().to_str().unwrap())
            && (Language::of(&relative).is_some() || ResolveConfig::wants(&relative))
            && let Ok(text) = std::fs::read_to_string(&path)
        {
            texts.insert(relative, text.into());
        }
    }
}

fn graph(root: &Path) -> Graph {
    let mut texts = BTreeMap::new();
    read(root, root, &mut texts);
    let code = texts.iter().filter(|(path, _)| Language::of(path).is_some());
    let files = code.map(|(path, text)| (path.clone(), Arc::new(Indexed::of(path, text)))).collect();
    Graph::build(files, Arc::new(ResolveConfig::from_files(&texts)))
}

fn truth(root: &Path, count: usize, seed: usize) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/references.mjs");
    let (count, seed) = (count.to_string(), seed.to_string());
    let output = npm::node().arg(script).arg(npm::typescript()).arg(root).args([count, seed]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[derive(Default)]
struct Score {
    both: usize,
    missing: Vec<String>,
    wrong: Vec<String>,
    symbols: usize,
    /// Symbols on which the two agree wholly.
    equal: usize,
    times: Vec<Duration>,
}

impl Score {
    fn recall(&self) -> f64 {
        self.both as f64 / (self.both + self.missing.len()).max(1) as f64
    }

    fn precision(&self) -> f64 {
        self.both as f64 / (self.both + self.wrong.len()).max(1) as f64
    }

    /// `files` are those that the compiler knows.
    fn compare(&mut self, graph: &Graph, symbol: &Value, files: &BTreeSet<&str>) {
        let path = RelPath::new(symbol["file"].as_str().unwrap()).unwrap();
        let (name, at) = (symbol["name"].as_str().unwrap(), symbol["at"].as_u64().unwrap() as usize);
        let mut expected = BTreeSet::new();
        let mut aliases = BTreeSet::new();
        for reference in symbol["references"].as_array().unwrap() {
            let place = (reference["file"].as_str().unwrap().to_owned(), reference["at"].as_u64().unwrap());
            if reference["alias"] == true {
                aliases.insert(place)
            } else {
                expected.insert(place)
            };
        }
        let facts = graph.facts(&path).unwrap();
        let index = facts.symbols.iter().position(|symbol| symbol.name_range.start == at);
        let began = Instant::now();
        let found: BTreeSet<(String, u64)> = index
            .map(|index| references_as_declared(graph, &SymbolRef { path: path.clone(), index }).found)
            .unwrap_or_default()
            .into_iter()
            .map(|found| (found.path.to_string(), u64::from(found.range.start)))
            // A default import's own name is all that it says.
            .filter(|place| !aliases.contains(place) && files.contains(place.0.as_str()))
            .collect();
        self.times.push(began.elapsed());
        let show = |(file, at): &(String, u64)| format!("{path}#{name}: {file} at {at}");
        self.missing.extend(expected.difference(&found).map(show));
        self.wrong.extend(found.difference(&expected).map(show));
        self.both += found.intersection(&expected).count();
        self.symbols += 1;
        self.equal += usize::from(found == expected);
    }
}

fn score(root: &Path, count: usize, seed: usize) -> Score {
    let graph = graph(root);
    let truth = truth(root, count, seed);
    let mut score = Score::default();
    let files = truth["files"].as_array().unwrap().iter().map(|file| file.as_str().unwrap()).collect();
    for symbol in truth["symbols"].as_array().unwrap() {
        score.compare(&graph, symbol, &files);
    }
    score
}

fn told(name: &str, score: &mut Score) -> String {
    score.times.sort();
    let at = |share: f64| score.times[((score.times.len() - 1) as f64 * share) as usize];
    format!(
        "{name}: references of {} symbols, precision {:.4}, recall {:.4}, {} wholly equal, median {:?}, p95 {:?}",
        score.symbols,
        score.precision(),
        score.recall(),
        score.equal,
        at(0.5),
        at(0.95)
    )
}

#[test]
fn references_are_those_that_typescript_finds() {
    if let Some(root) = std::env::var_os("KRINS_REFERENCES") {
        return measure(Path::new(&root));
    }
    let workspace = Workspace::empty();
    npm::sources("rxjs", "7.8.2", &workspace);
    let mut score = score(workspace.root(), 300, 7);
    note(&told("rxjs", &mut score));
    assert_eq!(score.symbols, 300);
    let (precision, recall) = (score.precision(), score.recall());
    assert!(
        precision >= WANTED && recall >= WANTED,
        "precision {precision:.4}, recall {recall:.4}\nmissing {:#?}\nwrong {:#?}",
        score.missing,
        score.wrong
    );
}

const GLOBALS: &str = "
//- /env.d.ts
interface Env { a: 1 }
//- /module.ts
export interface Settings { own: 1 }
export declare namespace Kit { interface Part {} }
declare global {
  interface Env { b: Settings; c: Kit.Tool }
  interface Settings { theirs: 1 }
  namespace Kit { interface Tool {} }
  var __SEEN__: Env;
  function later(of: Env): Settings;
}
export const seen = __SEEN__;
export let own: Settings;
export const again = later(__SEEN__);
//- /other.ts
import { Settings as Own } from './module';
declare global {
  interface Env { d: Own }
  type Alias = Settings;
}
export let a: Own;
export let b: Settings;
export const c: Env = __SEEN__;
export const d: Alias = later(c);
//- /local.ts
interface Settings {}
export let b: Settings;
export function later(of: Alias) { return later(of); }
";

#[test]
fn what_modules_declare_globally_is_found_as_typescript_finds_it() {
    let workspace = Workspace::from_fixture(GLOBALS.trim_start());
    let score = score(workspace.root(), 300, 7);
    assert!(score.symbols >= 18, "{}", score.symbols);
    let none: Vec<String> = Vec::new();
    assert_eq!((&score.missing, &score.wrong), (&none, &none));
}

fn number(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn measure(root: &Path) {
    let (count, seed) = (number("KRINS_REFERENCES_COUNT", 400), number("KRINS_REFERENCES_SEED", 7));
    let mut score = score(root, count, seed);
    for (title, places) in [("missing", &score.missing), ("wrong", &score.wrong)] {
        for place in places {
            say(&format!("{title} {place}"));
        }
    }
    say(&told(&root.display().to_string(), &mut score));
}
