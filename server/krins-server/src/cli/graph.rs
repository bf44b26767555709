//! `krins graph`.

use super::args::{Global, GraphCommand};
use super::output::{DIM, Output, PLACE, STRONG, paint};
use super::{Done, engine, focus};
use krins_core::graph::Graph;
use krins_core::{RelPath, Tree as _};
use krins_engine::{Error, ErrorKind};
use serde_json::json;
use std::process::ExitCode;
use std::time::Instant;

pub fn run(global: &Global, command: GraphCommand, out: &mut Output) -> Done {
    let engine = engine(global)?;
    let started = Instant::now();
    let graph = engine.graph();
    let millis = started.elapsed().as_secs_f64() * 1000.0;
    match command {
        GraphCommand::Build | GraphCommand::Stats => stats(&graph, millis, out),
        GraphCommand::Module { file } => {
            let path = focus(&engine, &file)?.path;
            let text = engine.snapshot().text(&path).unwrap_or_default();
            module(&graph, &path, &text, out)?;
        }
        GraphCommand::Impact { file } => impact(&graph, &focus(&engine, &file)?.path, out),
    }
    Ok(ExitCode::SUCCESS)
}

fn stats(graph: &Graph, millis: f64, out: &mut Output) {
    let stats = graph.stats();
    out.document(&json!({
        "files": stats.files, "symbols": stats.symbols, "exports": stats.exports, "edges": stats.edges,
        "unresolved": stats.unresolved, "broken": stats.broken, "lines": stats.lines, "millis": millis,
    }));
    out.line(format!(
        "{} files, {} lines, {} symbols, {} exports, {} edges, {} unresolved, {} with parse errors, in {millis:.0} ms",
        stats.files, stats.lines, stats.symbols, stats.exports, stats.edges, stats.unresolved, stats.broken
    ));
}

fn module(graph: &Graph, path: &RelPath, text: &str, out: &mut Output) -> Result<(), Error> {
    let facts = graph.facts(path).ok_or_else(|| {
        Error::new(ErrorKind::BadParams, format!("find {path} in the graph"))
            .hint("the graph holds TypeScript and JavaScript files that no ignore rule leaves out")
    })?;
    let symbols: Vec<_> = facts
        .symbols
        .iter()
        .map(|symbol| json!({"name": symbol.name, "kind": format!("{:?}", symbol.kind), "lines": symbol.lines, "signature": symbol.signature(text), "exported": symbol.exported}))
        .collect();
    out.document(
        &json!({"path": path, "symbols": symbols, "imports": graph.imports(path), "importers": graph.importers(path)}),
    );
    for symbol in &facts.symbols {
        let indent = if symbol.parent.is_some() { "    " } else { "  " };
        out.line(format!(
            "{indent}{} {}",
            paint(PLACE, format!("{}:{}", path, symbol.lines[0])),
            symbol.signature(text)
        ));
    }
    for (title, paths) in [("imports", graph.imports(path)), ("imported by", graph.importers(path))] {
        out.line(paint(STRONG, title));
        for path in paths {
            out.line(format!("  {path}"));
        }
    }
    Ok(())
}

fn impact(graph: &Graph, path: &RelPath, out: &mut Output) {
    let impact = graph.impact(path);
    out.document(&json!({"path": path, "impact": impact.iter().map(|(path, distance)| json!({"path": path, "distance": distance})).collect::<Vec<_>>()}));
    for (path, distance) in &impact {
        out.line(format!("{} {path}", paint(DIM, distance)));
    }
    out.line(format!("{} files depend on {path}", impact.len()));
}
