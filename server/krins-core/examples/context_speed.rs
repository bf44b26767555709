//! How long it takes to choose a context, warm, and what is chosen: a digest of all packs, to see that a faster way gives
//! the same bytes.
//!
//!     cargo run --release -p krins-core --example context_speed -- DIR [TASKS [ROUNDS]]
//!
//! TASKS is a file of JSON lines with `task` and `active`, each asked with and without its active file. Without it (or as
//! `-`), declarations spread over the directory are asked for by their names and comments.

use krins_core::context::{Query, select};
use krins_core::graph::{Graph, Indexed, ResolveConfig};
use krins_core::prompt::Focus;
use krins_core::syntax::Language;
use krins_core::{Digest, RelPath};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Declarations that are asked for.
const ASKED: usize = 40;
const BUDGET: u32 = 8192;
/// Characters of a comment that make a task.
const LONGEST: usize = 300;

#[derive(Deserialize)]
struct Task {
    task: String,
    active: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let root = arguments.first().ok_or("a directory")?;
    let rounds = arguments.get(2).map_or(Ok(3), |text| text.parse())?;
    let mut tree: BTreeMap<RelPath, Arc<[u8]>> = BTreeMap::new();
    read(Path::new(root), Path::new(root), &mut tree);
    let texts: BTreeMap<RelPath, Arc<str>> =
        tree.iter().filter_map(|(path, bytes)| Some((path.clone(), std::str::from_utf8(bytes).ok()?.into()))).collect();
    let code = texts.iter().filter(|(path, _)| Language::of(path).is_some());
    let files = code.map(|(path, text)| (path.clone(), Arc::new(Indexed::of(path, text)))).collect();
    let graph = Graph::build(files, Arc::new(ResolveConfig::from_files(&texts)));
    let tasks = match arguments.get(1).filter(|name| *name != "-") {
        Some(name) => std::fs::read_to_string(name)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?,
        None => spread(&graph, &texts),
    };
    let queries: Vec<Query> = tasks.iter().flat_map(queries).collect();
    let mut packs = String::new();
    let (mut walls, mut busy) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        for query in &queries {
            let began = (Instant::now(), on_processor());
            let pack = select(query, &graph, &tree);
            // The first round builds the tables that are built once.
            if round == 0 {
                packs.push_str(&format!("{pack:?}\n"));
                continue;
            }
            walls.push(began.0.elapsed().as_secs_f64());
            busy.push(on_processor() - began.1);
        }
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{} files, {} queries, {rounds} rounds", graph.files().len(), queries.len())?;
    for (what, mut seconds) in [("wall", walls), ("on the processor", busy)] {
        seconds.sort_by(f64::total_cmp);
        let at =
            |share: f64| seconds.get(((seconds.len().max(1) - 1) as f64 * share) as usize).map_or(0.0, |s| s * 1e3);
        writeln!(out, "{what:<18} p50 {:.1} ms, p95 {:.1} ms, most {:.1} ms", at(0.5), at(0.95), at(1.0))?;
    }
    writeln!(out, "packs {:?}", Digest::of(&packs))?;
    Ok(())
}

fn queries(task: &Task) -> Vec<Query> {
    let focus = RelPath::new(&task.active).ok().map(|path| Focus { path, lines: None });
    let query = |focus| Query { intent: task.task.clone(), focus, budget: BUDGET, ..Query::default() };
    vec![query(None), query(focus)]
}

/// Tasks from what the code says of itself.
fn spread(graph: &Graph, texts: &BTreeMap<RelPath, Arc<str>>) -> Vec<Task> {
    let mut all = Vec::new();
    for (path, file) in graph.files() {
        let (facts, Some(text)) = (file.facts(), texts.get(path)) else { continue };
        all.extend(facts.symbols.iter().filter(|symbol| symbol.parent.is_none()).map(|symbol| {
            let doc = symbol.doc.clone().and_then(|doc| text.get(doc)).unwrap_or_default();
            let doc: String = doc.chars().filter(|c| !matches!(c, '*' | '/')).take(LONGEST).collect();
            let words = doc.split_whitespace().collect::<Vec<_>>().join(" ");
            Task { task: format!("fix {}: {words}", symbol.name), active: path.as_str().to_owned() }
        }));
    }
    let step = (all.len() / ASKED).max(1);
    all.into_iter().step_by(step).take(ASKED).collect()
}

fn read(root: &Path, dir: &Path, tree: &mut BTreeMap<RelPath, Arc<[u8]>>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let Ok(kind) = entry.file_type() else { continue };
        if name == "node_modules" || name == ".git" || kind.is_symlink() {
            continue;
        }
        if kind.is_dir() {
            read(root, &path, tree);
            continue;
        }
        let relative = path.strip_prefix(root).ok().and_then(|path| RelPath::new(path.to_str()?).ok());
        let wanted = relative.filter(|path| Language::of(path).is_some() || ResolveConfig::wants(path));
        if let (Some(relative), Ok(bytes)) = (wanted, std::fs::read(&path)) {
            tree.insert(relative, bytes.into());
        }
    }
}

/// Seconds that this process has run, where Linux says so: a busy machine does not count.
fn on_processor() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|nanoseconds| nanoseconds.parse::<f64>().ok()).unwrap_or_default() / 1e9
}
