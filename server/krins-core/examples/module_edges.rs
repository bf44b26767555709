//! Which file imports which, below a directory, and how that compares with the TypeScript compiler's word
//! (`tests/scripts/module_truth.mjs`).
//!
//! `cargo run --release -p krins-core --example module_edges -- DIR [TRUTH.json]`: without a truth the edges are printed, one
//! JSON pair a line; with it recall and precision, and the edges that differ.

use krins_core::RelPath;
use krins_core::graph::{FileFacts, ImportKind, ResolveConfig, Resolver, analyse};
use krins_core::syntax::Language;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().ok_or("name a directory")?;
    let truth = arguments.next();
    let mut files = BTreeMap::new();
    read(Path::new(&dir), "", &mut files)?;
    let t = Instant::now();
    let facts: BTreeMap<RelPath, FileFacts> = files
        .iter()
        .filter(|(path, _)| Language::of(path).is_some())
        .map(|(path, text)| (path.clone(), analyse(path, text).facts))
        .collect();
    let parsed = t.elapsed();
    let t = Instant::now();
    let resolver = Resolver::new(Arc::new(ResolveConfig::from_files(&files)), facts.keys());
    let configured = t.elapsed();
    let t = Instant::now();
    let mut edges = BTreeSet::new();
    let mut count = 0;
    let mut exact = BTreeSet::new();
    for (path, facts) in &facts {
        let javascript = matches!(path.extension(), "js" | "jsx" | "mjs" | "cjs");
        for import in &facts.imports {
            if import.kind == ImportKind::Require && !javascript {
                continue;
            }
            count += 1;
            if let Some(found) = resolver.resolution(path, &import.specifier)
                && found.path != *path
            {
                if !found.inferred {
                    exact.insert((path.to_string(), found.path.to_string()));
                }
                edges.insert((path.to_string(), found.path.to_string()));
            }
        }
    }
    let resolved = t.elapsed();
    eprintln!(
        "{} files, {count} specifiers, {} edges; parse {parsed:?} config {configured:?} resolve {resolved:?}",
        facts.len(),
        edges.len()
    );
    let mut out = std::io::stdout().lock();
    if let Some(truth) = truth {
        let truth: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(truth)?)?;
        let truth: BTreeSet<(String, String)> = serde_json::from_value(truth["edges"].clone())?;
        for (name, edges) in [("all", &edges), ("as it is", &exact)] {
            let both = truth.intersection(edges).count();
            writeln!(
                out,
                "{name}: recall {:.4} ({} missing)  precision {:.4} ({} extra)",
                both as f64 / truth.len() as f64,
                truth.len() - both,
                both as f64 / edges.len() as f64,
                edges.len() - both
            )?;
        }
        for (from, to) in truth.difference(&edges) {
            writeln!(out, "- {from} -> {to}")?;
        }
        for edge @ (from, to) in edges.difference(&truth) {
            writeln!(out, "{} {from} -> {to}", if exact.contains(edge) { "+" } else { "?" })?;
        }
    }
    Ok(())
}

fn read(dir: &Path, prefix: &str, files: &mut BTreeMap<RelPath, Arc<str>>) -> Result<(), Box<dyn Error>> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_dir = entry.file_type()?.is_dir();
        if name == "node_modules" || is_dir && name.starts_with('.') {
            continue;
        }
        let path = format!("{prefix}{name}");
        if is_dir {
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
