//! Carries refactorings out on a real package, each on its own, and prints what changes: one JSON document a line,
//! `{"symbol", "file", "to", "changed": {path: text}, "milliseconds"}` or `{…, "error"}`.
//! `tests/scripts/check-renames.mjs` feeds it to the TypeScript compiler.
//!
//! `cargo run -p krins-core --example rename_real -- DIR COUNT [rename|move|default|unused]`; a move goes to a new file one folder
//! down.

use krins_core::RelPath;
use krins_core::graph::{Graph, Indexed, ResolveConfig};
use krins_core::refactor::{Refactoring, affected, perform};
use krins_core::syntax::Language;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().ok_or("name a directory")?;
    let count: usize = arguments.next().map_or(Ok(50), |count| count.parse())?;
    let mode = arguments.next().unwrap_or_else(|| "rename".to_owned());
    let mut files = BTreeMap::new();
    read(Path::new(&dir), "", &mut files)?;
    let graph = Graph::build(
        files
            .iter()
            .filter(|(path, _)| Language::of(path).is_some())
            .map(|(path, text)| (path.clone(), Arc::new(Indexed::of(path, text))))
            .collect(),
        Arc::new(ResolveConfig::from_files(&files)),
    );
    let tree: BTreeMap<RelPath, Arc<[u8]>> =
        files.iter().map(|(path, text)| (path.clone(), Arc::from(text.as_bytes()))).collect();
    let asked = asked(&graph, &mode, count)?;
    let mut out = std::io::stdout().lock();
    for (name, file, to, refactoring) in &asked {
        let started = Instant::now();
        let result = affected(refactoring, &graph, &tree).and_then(|paths| {
            let some = files
                .iter()
                .filter(|(path, _)| paths.binary_search(path).is_ok())
                .map(|(path, text)| (path.clone(), text.clone()))
                .collect();
            perform(refactoring, &some).map(|outcome| (outcome, paths.len()))
        });
        let milliseconds = started.elapsed().as_millis();
        let line = match result {
            Ok((outcome, read)) => json!({
                "symbol": name, "file": file, "to": to, "changed": outcome.files, "why": outcome.why, "read": read,
                "milliseconds": milliseconds,
            }),
            Err(error) => json!({
                "symbol": name, "file": file, "to": to, "error": error.to_string(), "milliseconds": milliseconds,
            }),
        };
        writeln!(out, "{line}")?;
    }
    Ok(())
}

type Asked = (String, RelPath, String, Refactoring);

/// What to ask for: symbols spread evenly over the package.
fn asked(graph: &Graph, mode: &str, count: usize) -> Result<Vec<Asked>, Box<dyn Error>> {
    let wants_default = mode == "default";
    let symbols: BTreeSet<(String, RelPath)> = graph
        .files()
        .iter()
        .flat_map(|(path, file)| {
            let facts = file.facts();
            let found: Vec<_> = facts
                .exports
                .iter()
                .filter(|export| {
                    export.from.is_none()
                        && (wants_default || export.local.is_some())
                        && (export.name == "default") == wants_default
                })
                .map(|export| (export.name.clone(), path.clone()))
                .collect();
            found
        })
        .collect();
    let step = (symbols.len() / count.max(1)).max(1);
    symbols
        .into_iter()
        .step_by(step)
        .take(count)
        .map(|(name, file)| {
            let refactoring = match mode {
                "rename" => {
                    Refactoring::Rename { from: name.clone(), to: format!("{name}Krins"), file: Some(file.clone()) }
                }
                "move" => Refactoring::Move {
                    symbol: name.clone(),
                    file: Some(file.clone()),
                    to: RelPath::new(&format!("{}/krins/moved.ts", file.dir()))?,
                },
                "default" => Refactoring::DefaultToNamed { file: file.clone(), name: Some("namedKrins".to_owned()) },
                "unused" => Refactoring::RemoveUnusedImports { files: Vec::new() },
                other => return Err(format!("rename, move, default or unused, not {other}").into()),
            };
            let to = match mode {
                "rename" => format!("{name}Krins"),
                _ => name.clone(),
            };
            Ok((name, file, to, refactoring))
        })
        .collect()
}

fn read(dir: &Path, prefix: &str, files: &mut BTreeMap<RelPath, Arc<str>>) -> Result<(), Box<dyn Error>> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == "node_modules" || name.starts_with('.') {
            continue;
        }
        let path = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            read(&entry.path(), &format!("{path}/"), files)?;
            continue;
        }
        let path = RelPath::new(&path)?;
        if (Language::of(&path).is_some() || ResolveConfig::wants(&path))
            && let Ok(text) = std::fs::read_to_string(entry.path())
        {
            files.insert(path, text.into());
        }
    }
    Ok(())
}
