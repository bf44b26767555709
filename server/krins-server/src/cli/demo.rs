//! `krins demo`: the whole journey on a copy, with proof at both ends and the time of each step.

use super::args::{Demo, Global};
use super::output::{BAD, DIM, GOOD, Output, PLACE, STRONG, paint};
use super::{Done, assign, changes, context, engine_with};
use crate::setup::{Overrides, Setup};
use crate::to_proto;
use include_dir::{Dir, include_dir};
use krins_core::graph::{Graph, Stats, SymbolKind};
use krins_core::{Digest, RelPath, refactor};
use krins_engine::pipeline::Intent;
use krins_engine::tasks::TaskState;
use krins_engine::workspace::Root;
use krins_engine::{Engine, Error, ErrorKind};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

static SAMPLE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../fixtures/todo-app");
const SAMPLE_INTENT: &str = "rename calculateProgress to completionRate";

/// Tokens of context that the demo shows: tight, so that pruning shows.
const CONTEXT: u32 = 2048;

/// Digests of every file, by path: what "byte for byte" is checked against.
type Fingerprint = BTreeMap<RelPath, Digest>;

pub async fn run(global: &Global, args: Demo, out: &mut Output) -> Done {
    let mut clock = Clock::default();
    let copy = tempfile::Builder::new()
        .prefix("krins-demo-")
        .tempdir()
        .map_err(|error| failed("make a directory for the copy", &error))?;
    let (files, state) = (copy.path().join("project"), copy.path().join("state"));
    clock.step("copy", || lay_out(global, &files))?;
    let setup = Setup::load(Overrides {
        provider: global.provider.clone().or(Some("builtin".into())),
        model: global.model.clone(),
        embedded: true,
        remote: None,
    })?
    .with_state(state);
    let engine = clock.step("open", || engine_with(&setup, &files))?;
    let before = fingerprint(engine.root());

    out.line(heading("1", "code graph"));
    let graph = clock.step("graph", || Ok(engine.graph()))?;
    show_graph(&graph.stats(), out);
    let words = match args.intent {
        Some(words) => words,
        None if global.root.is_none() => SAMPLE_INTENT.to_owned(),
        None => likely_rename(&engine, &graph)?,
    };

    out.line(heading("2", &format!("task: {words}")));
    let intent = Intent { words: words.clone(), ..Intent::default() };
    let pack = clock.wait("context", engine.context(&Intent { budget: Some(CONTEXT), ..intent.clone() })).await?;
    let whole = whole_tokens(&engine, &graph);
    out.line(format!(
        "With a budget of {CONTEXT} tokens a model would be sent this, of the {whole} tokens in the project:"
    ));
    context::show(&pack, out);

    out.line(heading("3", "change"));
    let task = clock.wait("change", assign::finish(&engine, intent, out)).await?;
    let review = engine.review(Some(&task.id))?;
    assign::show(&review, out);
    if task.state == TaskState::Blocked {
        out.document(&to_proto::diff(&engine, &review)?);
        return Ok(ExitCode::from(1));
    }

    out.line(heading("4", "apply"));
    let applied = clock.wait("apply", engine.apply(Some(&task.id), Default::default(), None)).await?;
    changes::show(&applied, "changed", "undo", out);
    let proof = clock.step("prove", || Ok(prove(&engine, &graph, &review.patch)))?;
    show_proof(&proof, out);

    out.line(heading("5", "undo"));
    let undone = clock.wait("undo", engine.undo(None, false, None)).await?;
    changes::show(&undone, "restored", "redo", out);
    let same = fingerprint(engine.root()) == before;
    out.line(check(same, &format!("all {} files are byte for byte what they were", before.len())));

    out.line(heading("6", "where the time went"));
    clock.show(out);
    out.document(&json!({
        "intent": words,
        "graph": engine.graph().stats(),
        "context": to_proto::cli_context(&pack),
        "diff": to_proto::diff(&engine, &review)?,
        "applied": to_proto::applied(engine.root(), &applied),
        "proof": proof,
        "undone": to_proto::applied(engine.root(), &undone),
        "restored": same,
        "millis": clock.steps.iter().cloned().collect::<BTreeMap<_, _>>(),
    }));
    keep(copy, args.keep, out);
    Ok(ExitCode::from(u8::from(!(same && proof.iter().all(|(_, held)| *held)))))
}

fn keep(copy: tempfile::TempDir, keep: bool, out: &mut Output) {
    if keep {
        out.line(format!("The copy is kept in {}", paint(PLACE, copy.keep().display())));
    } else {
        out.line(format!("\nTry it on your own project: {}", paint(STRONG, "krins demo --root DIR")));
    }
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Internal, format!("{what}: {error}"))
}

/// The sample, or the person's project: only files that no ignore rule leaves out.
fn lay_out(global: &Global, to: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(to).map_err(|error| failed("make the copy", &error))?;
    let Some(root) = &global.root else {
        return SAMPLE.extract(to).map_err(|error| failed("write the sample", &error));
    };
    let root = Root::open(root)?;
    for file in root.walk().files {
        let (from, to) = (root.path().join(&file.path), to.join(&file.path));
        let copy = || {
            std::fs::create_dir_all(to.parent().unwrap_or(&to))?;
            std::fs::copy(&from, &to)
        };
        copy().map_err(|error| failed(&format!("copy {}", file.path), &error))?;
    }
    Ok(())
}

fn fingerprint(root: &Root) -> Fingerprint {
    let digest = |path: &RelPath| std::fs::read(root.path().join(path)).ok().map(Digest::of);
    root.walk().files.into_iter().filter_map(|file| digest(&file.path).map(|digest| (file.path, digest))).collect()
}

fn heading(number: &str, title: &str) -> String {
    format!("\n{} {}", paint(DIM, number), paint(STRONG, title))
}

fn show_graph(stats: &Stats, out: &mut Output) {
    out.line(format!(
        "{} files, {} lines, {} symbols ({} exported names), {} import edges",
        stats.files, stats.lines, stats.symbols, stats.exports, stats.edges
    ));
}

fn whole_tokens(engine: &Engine, graph: &Graph) -> u32 {
    use krins_core::Tree as _;
    let snapshot = engine.snapshot();
    graph.files().keys().filter_map(|path| snapshot.text(path)).map(|text| krins_core::tokens::count(&text)).sum()
}

/// The exported function or class that most files use, and a new name for it: a task that shows something.
fn likely_rename(engine: &Engine, graph: &Graph) -> Result<String, Error> {
    let mut uses: BTreeMap<String, usize> = BTreeMap::new();
    for file in graph.files().values() {
        for (name, _) in file.facts().imports.iter().flat_map(|import| &import.names) {
            *uses.entry(name.clone()).or_default() += 1;
        }
    }
    let mut names: Vec<(usize, String)> = uses.into_iter().map(|(name, count)| (count, name)).collect();
    names.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let snapshot = engine.snapshot();
    for (_, name) in names.into_iter().filter(|(_, name)| name.len() > 3).take(40) {
        let exported = graph.exported(&name);
        let [(path, index)] = exported.as_slice() else { continue };
        let kind = graph.facts(path).and_then(|facts| facts.symbols.get(*index).map(|symbol| symbol.kind));
        if !matches!(kind, Some(SymbolKind::Function | SymbolKind::Class)) {
            continue;
        }
        let words = format!("rename {name} to {name}Renamed");
        let fits = refactor::understand(&words, None).and_then(|wanted| refactor::affected(&wanted, graph, &snapshot));
        if fits.is_ok() {
            return Ok(words);
        }
    }
    Err(Error::new(ErrorKind::BadParams, "find an exported function that several files import")
        .hint("name a task: krins demo --root DIR \"rename a to b\""))
}

/// What the files hold after the apply, looked at again from disk.
fn prove(engine: &Engine, before: &Graph, patch: &krins_core::patch::Patch) -> Vec<(String, bool)> {
    let now = engine.graph();
    let landed = patch.files().iter().all(|file| {
        let there = std::fs::read(engine.root().path().join(&file.path)).ok();
        there.as_deref() == file.after.as_deref()
    });
    let (old, new) = (before.stats(), now.stats());
    vec![
        (format!("{} files hold exactly the bytes of the diff", patch.files().len()), landed),
        ("no new syntax error".to_owned(), new.broken <= old.broken),
        ("no import leads nowhere that led somewhere".to_owned(), new.unresolved <= old.unresolved),
    ]
}

fn show_proof(proof: &[(String, bool)], out: &mut Output) {
    for (what, held) in proof {
        out.line(check(*held, what));
    }
}

fn check(held: bool, what: &str) -> String {
    if held { format!("{} {what}", paint(GOOD, "✓")) } else { format!("{} {what}", paint(BAD, "✗")) }
}

/// Milliseconds by step, in order.
#[derive(Default)]
struct Clock {
    steps: Vec<(&'static str, f64)>,
}

impl Clock {
    fn step<T>(&mut self, name: &'static str, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let started = Instant::now();
        let done = work();
        self.note(name, started);
        done
    }

    async fn wait<T>(&mut self, name: &'static str, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let started = Instant::now();
        let done = work.await;
        self.note(name, started);
        done
    }

    fn note(&mut self, name: &'static str, started: Instant) {
        self.steps.push((name, started.elapsed().as_secs_f64() * 1000.0));
    }

    fn show(&self, out: &mut Output) {
        for (name, millis) in &self.steps {
            out.line(format!("{name:8} {millis:8.1} ms"));
        }
        out.line(paint(
            STRONG,
            format!("{:8} {:8.1} ms", "total", self.steps.iter().map(|(_, millis)| millis).sum::<f64>()),
        ));
    }
}
