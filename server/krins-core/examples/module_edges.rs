//! Which file imports which, below a directory, and how that compares with the TypeScript compiler's word
//! (`tests/scripts/module_truth.mjs`).
//!
//! `cargo run --release -p krins-core --example module_edges -- DIR [TRUTH.json]`: without a truth the edges are printed, one
//! JSON pair a line; with it recall and precision, without and with what is inferred, then the edges that differ: `-` is
//! missing, `+` too much, `?` too much and inferred. Times go to stderr.

use krins_core::RelPath;
use krins_core::graph::{FileFacts, Import, ImportKind, ResolveConfig, Resolver, analyse};
use krins_core::syntax::Language;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

type Edges = BTreeSet<(String, String)>;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().ok_or("name a directory")?;
    let truth = arguments.next();
    let mut files = BTreeMap::new();
    read(Path::new(&dir), "", &mut files)?;
    let (plain, all) = edges(&files)?;
    let mut out = io::stdout().lock();
    let Some(truth) = truth else {
        for edge in &all {
            writeln!(out, "{}", serde_json::to_string(edge)?)?;
        }
        return Ok(());
    };
    let truth: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(truth)?)?;
    let truth: Edges = serde_json::from_value(truth["edges"].clone())?;
    for (name, edges) in [("as it is", &plain), ("with what is inferred", &all)] {
        let both = truth.intersection(edges).count() as f64;
        let (recall, precision) = (both / truth.len() as f64, both / edges.len() as f64);
        writeln!(out, "{name}: recall {recall:.4} of {}, precision {precision:.4} of {}", truth.len(), edges.len())?;
    }
    for (from, to) in truth.difference(&all) {
        writeln!(out, "- {from} -> {to}")?;
    }
    for edge in all.difference(&truth) {
        let sign = if plain.contains(edge) { "+" } else { "?" };
        writeln!(out, "{sign} {} -> {}", edge.0, edge.1)?;
    }
    Ok(())
}

/// Without and with what is inferred.
fn edges(files: &BTreeMap<RelPath, Arc<str>>) -> Result<(Edges, Edges), Box<dyn Error>> {
    let started = Instant::now();
    let code = files.iter().filter(|(path, _)| Language::of(path).is_some());
    let facts: Vec<(&RelPath, FileFacts)> = code.map(|(path, text)| (path, analyse(path, text).facts)).collect();
    let read = started.elapsed();
    let started = Instant::now();
    let config = Arc::new(ResolveConfig::from_files(files));
    let resolver = Resolver::new(config, facts.iter().map(|(path, _)| *path));
    let (mut plain, mut all, mut count) = (Edges::new(), Edges::new(), 0);
    for (path, facts) in &facts {
        for import in facts.imports.iter().filter(|import| is_of_compiler(path, facts, import)) {
            count += 1;
            let Some(found) = resolver.resolution(path, &import.specifier).filter(|found| found.path != **path) else {
                continue;
            };
            let edge = (path.to_string(), found.path.to_string());
            if !found.inferred {
                plain.insert(edge.clone());
            }
            all.insert(edge);
        }
    }
    writeln!(
        io::stderr(),
        "{} files analysed in {read:.1?} by one thread; {count} specifiers resolved in {:.1?}, their configuration read included",
        facts.len(),
        started.elapsed()
    )?;
    Ok((plain, all))
}

/// The compiler knows no `require` outside of JavaScript, and in a script `declare module` imports nothing.
fn is_of_compiler(path: &RelPath, facts: &FileFacts, import: &Import) -> bool {
    match import.kind {
        ImportKind::Require => path.extension().contains("js"),
        ImportKind::Augment => facts.is_module(),
        _ => true,
    }
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
