//! How long questions to the code graph take, and how far a change reaches by symbol against by module.
//!
//!     cargo run --release -p krins-core --example graph_questions -- DIR [SYMBOLS]

use krins_core::RelPath;
use krins_core::graph::queries::{self, Change, Entries, Named, SymbolRef};
use krins_core::graph::{Graph, Indexed, ResolveConfig};
use krins_core::syntax::Language;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Symbols that are asked about, when nobody says how many.
const SYMBOLS: usize = 400;

fn main() {
    let mut args = std::env::args().skip(1);
    let root = args.next().expect("a directory");
    let count = args.next().and_then(|text| text.parse().ok()).unwrap_or(SYMBOLS);
    let mut texts = BTreeMap::new();
    read(Path::new(&root), Path::new(&root), &mut texts);
    let code = texts.iter().filter(|(path, _)| Language::of(path).is_some());
    let files = code.map(|(path, text)| (path.clone(), Arc::new(Indexed::of(path, text)))).collect();
    let graph = Graph::build(files, Arc::new(ResolveConfig::from_files(&texts)));
    say(&format!("{root}: {} files", graph.files().len()));
    let symbols = spread(&graph, count);
    reach(&graph, &symbols);
    each("references", &symbols, |symbol| queries::references(&graph, symbol).found.len());
    each("impact, depth 3", &symbols, |symbol| {
        queries::impact(&graph, &[Change::Symbol(symbol.clone())], 3).files.len()
    });
    let text = |path: &RelPath| texts.get(path).cloned();
    each("tests", &symbols, |symbol| queries::tests_of(&graph, &Named::Symbol(symbol.clone()), &text).len());
    let name = |symbol: &SymbolRef| graph.facts(&symbol.path).map(|facts| facts.symbols[symbol.index].name.clone());
    each("bare name", &symbols, |symbol| usize::from(queries::find(&graph, &name(symbol).unwrap_or_default()).is_ok()));
    let pairs: Vec<(SymbolRef, SymbolRef)> = symbols.iter().cloned().zip(symbols.iter().skip(1).cloned()).collect();
    each("path", &pairs, |(from, to)| {
        let way = queries::shortest_path(&graph, &Named::Symbol(from.clone()), &Named::Symbol(to.clone()));
        way.map_or(0, |steps| steps.len())
    });
    let paths: Vec<&RelPath> = graph.files().keys().collect();
    let step = (paths.len() / count).max(1);
    let files: Vec<&RelPath> = paths.into_iter().step_by(step).collect();
    each("impact of a file, depth 3", &files, |path| {
        queries::impact(&graph, &[Change::File((*path).clone())], 3).files.len()
    });
    each("unused", &[()], |()| queries::unused(&graph, &Entries::of(&graph, &texts)).len());
    each("cycles", &[()], |()| queries::cycles(&graph).len());
}

fn say(line: &str) {
    // Nobody may be reading any more.
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn read(root: &Path, dir: &Path, texts: &mut BTreeMap<RelPath, Arc<str>>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let kind = entry.file_type().expect("an entry has a type");
        if name == "node_modules" || name == ".git" || kind.is_symlink() {
            continue;
        }
        if kind.is_dir() {
            read(root, &path, texts);
            continue;
        }
        let relative = path.strip_prefix(root).ok().and_then(|path| RelPath::new(path.to_str()?).ok());
        let wanted = relative.filter(|path| Language::of(path).is_some() || ResolveConfig::wants(path));
        if let (Some(relative), Ok(text)) = (wanted, std::fs::read_to_string(&path)) {
            texts.insert(relative, text.into());
        }
    }
}

/// Declarations at the top level of files that are no tests, spread evenly.
fn spread(graph: &Graph, count: usize) -> Vec<SymbolRef> {
    let mut all = Vec::new();
    for path in graph.files().keys().filter(|path| !queries::is_test(path)) {
        let facts = graph.facts(path).unwrap_or_default();
        let top = facts.symbols.iter().enumerate().filter(|(_, symbol)| symbol.parent.is_none());
        all.extend(top.map(|(index, _)| SymbolRef { path: path.clone(), index }));
    }
    let step = (all.len() / count.max(1)).max(1);
    all.into_iter().step_by(step).take(count).collect()
}

/// Files and tests that a change of one symbol reaches, by depth, beside those that the module graph reaches.
fn reach(graph: &Graph, symbols: &[SymbolRef]) {
    for depth in [1, 2, 3, 64] {
        let sizes = symbols.iter().map(|symbol| {
            let impact = queries::impact(graph, &[Change::Symbol(symbol.clone())], depth);
            impact.files.len() + impact.tests.len()
        });
        say(&format!("  reached by symbol, depth {depth}: {}", quantiles(sizes.collect())));
    }
    let sizes = symbols.iter().map(|symbol| graph.impact(&symbol.path).len()).collect();
    say(&format!("  reached by module: {}", quantiles(sizes)));
}

fn quantiles<T: Ord + std::fmt::Debug>(mut all: Vec<T>) -> String {
    all.sort();
    let at = |share: f64| &all[((all.len() - 1) as f64 * share) as usize];
    format!("median {:?}, p90 {:?}, most {:?}", at(0.5), at(0.9), at(1.0))
}

fn each<T>(what: &str, all: &[T], ask: impl Fn(&T) -> usize) {
    let timed = |one: &T| {
        let began = Instant::now();
        let size = ask(one);
        (began.elapsed(), size)
    };
    let (times, sizes): (Vec<Duration>, Vec<usize>) = all.iter().map(timed).unzip();
    say(&format!("  {what}: {} (answers: {})", quantiles(times), quantiles(sizes)));
}
