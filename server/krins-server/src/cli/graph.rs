//! `krins graph`: questions to the code graph, for people as lines, for programs as the documents of the protocol.

use super::args::{Global, GraphArgs, GraphCommand};
use super::output::{CARE, DIM, Output, PLACE, STRONG, paint};
use super::{Done, engine};
use crate::questions::{self, Door};
use crate::words::counted;
use krins_core::graph::export::{self, Format, Options};
use krins_engine::{Engine, Error, ErrorKind};
use krins_protocol::graph as wire;
use krins_protocol::graph::{GraphParams, Question};
use krins_protocol::lsp::Partial;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Larger than any patch a person looks at.
const LARGEST: u64 = 64 << 20;

pub fn run(global: &Global, args: GraphArgs, out: &mut Output) -> Done {
    let engine = engine(global)?;
    let (question, params) = match args.command {
        GraphCommand::Export { format, focus, depth, dirs, output } => {
            let format = if global.json { Format::Json } else { format.into() };
            return export(&engine, Picture { format, focus, depth, dirs, output }, out);
        }
        GraphCommand::Build | GraphCommand::Stats => (Question::Stats, GraphParams::default()),
        GraphCommand::Module { file } => (Question::Module, of(vec![file])),
        GraphCommand::Impact { targets, patch, depth } => {
            let patch = patch.map(|path| read_patch(&path)).transpose()?;
            (Question::Impact, GraphParams { patch, depth, ..of(targets) })
        }
        GraphCommand::Refs { symbol } => (Question::References, of(vec![symbol])),
        GraphCommand::Owners { files } => (Question::Owners, of(files)),
        GraphCommand::Tests { patch: Some(patch), .. } => return affected(&engine, &read_patch(&patch)?, out),
        GraphCommand::Tests { target, patch: None } => (Question::Tests, of(target.into_iter().collect())),
        GraphCommand::Path { from, to } => {
            (Question::Path, GraphParams { from: Some(from), to: Some(to), ..GraphParams::default() })
        }
        GraphCommand::Unused { files } => (Question::Unused, of(files)),
        GraphCommand::Cycles => (Question::Cycles, GraphParams::default()),
    };
    let params = GraphParams { limit: args.limit, patience: args.patience, ..params };
    let answer = with_progress(&engine, out, || questions::answer(&engine, question, &params, Door::CommandLine))?;
    out.document(&answer);
    for line in lines(question, answer)? {
        out.line(line);
    }
    Ok(ExitCode::SUCCESS)
}

/// The tests that a patch can make fail: what the gate would run.
fn affected(engine: &Engine, patch: &str, out: &mut Output) -> Done {
    let patch = super::patch::of_now(engine, patch)?;
    let found = with_progress(engine, out, || engine.affected(&patch));
    let tests: Vec<Value> = (found.chosen.tests.iter())
        .map(|(path, reason)| json!({"path": path.as_str(), "reason": reason.describe()}))
        .collect();
    out.document(&json!({
        "tests": tests,
        "of": found.chosen.of,
        "everything": found.chosen.everything,
        "millis": found.millis,
    }));
    for (path, reason) in &found.chosen.tests {
        out.line(format!("{} {}", paint(PLACE, path), paint(DIM, reason.describe())));
    }
    if let Some(why) = &found.chosen.everything {
        out.line(format!("{} all tests, because {why}", paint(CARE, "note")));
    }
    out.line(format!("{} of {}", found.chosen.tests.len(), counted(found.chosen.of as u64, "test file")));
    Ok(ExitCode::SUCCESS)
}

/// The answer, and while files are read for it, how far that is.
fn with_progress<T: Send>(engine: &Engine, out: &mut Output, answer: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let answer = scope.spawn(answer);
        // Short at first: mostly there is nothing to wait for.
        let mut pause = Duration::from_millis(1);
        while !answer.is_finished() {
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(100));
            if let Some((done, total)) = engine.index().progress() {
                out.progress(&format!("reading {done} of {total} files"));
            }
        }
        answer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn of(targets: Vec<String>) -> GraphParams {
    GraphParams { targets, ..GraphParams::default() }
}

/// A patch from a file, or from standard input for `-`.
fn read_patch(path: &Path) -> Result<String, Error> {
    let failed = |why: String| Error::new(ErrorKind::BadParams, format!("read the patch {}: {why}", path.display()));
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(LARGEST + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| failed(error.to_string()))?;
    if bytes.len() as u64 > LARGEST {
        return Err(failed("it is larger than 64 MiB".to_owned()));
    }
    // A diff may show a file that is not UTF-8; its lines are compared, not kept.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

struct Picture {
    format: Format,
    focus: Option<String>,
    depth: u32,
    dirs: bool,
    output: Option<PathBuf>,
}

fn export(engine: &Engine, picture: Picture, out: &mut Output) -> Done {
    let graph = engine.graph();
    let focus = match &picture.focus {
        Some(file) => Some(super::focus(engine, file)?.path),
        None => None,
    };
    // A picture around a file that the graph does not hold would be empty.
    if let Some(path) = focus.as_ref().filter(|path| !graph.contains(path)) {
        return Err(Error::new(ErrorKind::BadParams, format!("find {path} in the graph"))
            .hint("the graph holds TypeScript and JavaScript files that no ignore rule leaves out"));
    }
    let title = engine.root().path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let options = Options { format: picture.format, focus, depth: picture.depth, dirs: picture.dirs, title };
    let text = export::export(&graph, &options);
    match &picture.output {
        Some(path) => {
            std::fs::write(path, text)
                .map_err(|error| Error::new(ErrorKind::BadParams, format!("write {}: {error}", path.display())))?;
            out.document(&json!({"path": path, "format": picture.format.as_str()}));
            out.line(format!("{} {}", paint(STRONG, "written"), paint(PLACE, path.display())));
        }
        None => out.raw(text.as_bytes()),
    }
    Ok(ExitCode::SUCCESS)
}

/// The answer as a person reads it, with colours.
pub fn lines(question: Question, answer: Value) -> Result<Vec<String>, Error> {
    let partial = answer.get("partial").map(|partial| read(partial.clone())).transpose()?;
    let mut lines = match question {
        Question::Stats => stats(&read(answer)?),
        Question::Module => module(&read(answer)?),
        Question::Impact => impact(&read(answer)?),
        Question::References => references(&read(answer)?),
        Question::Owners => owners(&read(answer)?),
        Question::Tests => tests(&read(answer)?),
        Question::Path => path(&read(answer)?),
        Question::Unused => unused(&read(answer)?),
        Question::Cycles => cycles(&read(answer)?),
    };
    lines.extend(partial.as_ref().map(early));
    Ok(lines)
}

/// The note that an answer came before everything was read.
pub fn early(Partial { read, total }: &Partial) -> String {
    format!("{} from {read} of {total} files: the rest is not read yet", paint(CARE, "note"))
}

fn read<T: DeserializeOwned>(answer: Value) -> Result<T, Error> {
    serde_json::from_value(answer).map_err(|error| Error::new(ErrorKind::Internal, format!("tell the answer: {error}")))
}

fn cut(truncated: bool) -> Option<String> {
    truncated.then(|| paint(DIM, "… there is more: raise --limit"))
}

fn place(path: &str, line: u32) -> String {
    paint(PLACE, format!("{path}:{line}"))
}

fn stats(stats: &wire::GraphStats) -> Vec<String> {
    vec![format!(
        "{} files, {} lines, {} symbols, {} exports, {} edges, {} unresolved, {} with parse errors, in {:.0} ms",
        stats.files,
        stats.lines,
        stats.symbols,
        stats.exports,
        stats.edges,
        stats.unresolved,
        stats.broken,
        stats.millis
    )]
}

fn module(module: &wire::ModuleResult) -> Vec<String> {
    let mut lines = Vec::new();
    for symbol in &module.symbols {
        let depth = 1 + symbol.name.matches('.').count();
        let signature = symbol.signature.as_deref().unwrap_or(&symbol.name);
        lines.push(format!("{}{} {signature}", "  ".repeat(depth), place(&module.file.path, symbol.lines[0])));
    }
    for (title, imports) in [("imports", &module.imports), ("imported by", &module.importers)] {
        lines.push(paint(STRONG, title));
        for import in imports {
            let types = if import.type_only { "type " } else { "" };
            lines.push(format!("  {} {}", import.file.path, paint(DIM, format!("{types}{}", import.names.join(", ")))));
        }
    }
    if !module.external.is_empty() {
        lines.push(format!("{} {}", paint(STRONG, "from outside"), module.external.join(", ")));
    }
    if !module.owners.is_empty() {
        lines.push(format!("{} {}", paint(STRONG, "owners"), module.owners.join(" ")));
    }
    lines.extend(cut(module.truncated));
    lines
}

fn impact(impact: &wire::ImpactResult) -> Vec<String> {
    let mut lines = Vec::new();
    let changed: Vec<&str> = impact.changed.iter().map(|symbol| symbol.symbol.as_str()).collect();
    lines.push(format!("{} {}", paint(STRONG, "changes"), changed.join(", ")));
    for (title, files) in [("files", &impact.files), ("tests", &impact.tests)] {
        for file in files.iter() {
            let names = paint(DIM, file.symbols.join(", "));
            lines.push(format!("{} {:.2} {} {names}", file.distance, file.weight, paint(PLACE, &file.file.path)));
        }
        if files.is_empty() {
            lines.push(paint(DIM, format!("no {title}")));
        } else if title == "files" {
            lines.push(paint(STRONG, "tests"));
        }
    }
    if !impact.stale.is_empty() {
        lines.push(format!("{} {} went on since the patch was made", paint(CARE, "note"), impact.stale.join(", ")));
    }
    if !impact.owners.is_empty() {
        let owners: Vec<String> =
            impact.owners.iter().map(|owner| format!("{} ({})", owner.owner, owner.files)).collect();
        lines.push(format!("{} {}", paint(STRONG, "owners"), owners.join(", ")));
    }
    let [symbols, files, tests] = impact.total;
    let more = if impact.more { ", and more past --depth" } else { "" };
    lines.push(format!(
        "reaches {}, {} and {}{more}",
        counted(symbols, "declaration"),
        counted(files, "file"),
        counted(tests, "test")
    ));
    lines.extend(cut(impact.truncated));
    lines
}

fn references(references: &wire::ReferencesResult) -> Vec<String> {
    let mut lines: Vec<String> = references
        .references
        .iter()
        .map(|found| {
            let at = paint(PLACE, format!("{}:{}:{}", found.file.path, found.line, found.column));
            format!("{at} {} {}", paint(DIM, &found.kind), found.text)
        })
        .collect();
    lines.push(format!(
        "{} of {} in {}",
        counted(references.total, "reference"),
        references.symbol.symbol,
        counted(references.files, "file")
    ));
    if references.approximate {
        lines.push(format!("{} of what it is a member of: only types could tell its own", paint(CARE, "note")));
    }
    lines.extend(cut(references.truncated));
    lines
}

fn owners(owners: &wire::OwnersResult) -> Vec<String> {
    let mut lines = Vec::new();
    for file in &owners.files {
        let rules: Vec<String> =
            file.rules.iter().map(|rule| format!("line {}: {}", rule.line, rule.pattern)).collect();
        let names = if file.owners.is_empty() { "nobody".to_owned() } else { file.owners.join(" ") };
        lines.push(format!("{} {names} {}", paint(PLACE, &file.file.path), paint(DIM, rules.join("; "))));
    }
    if owners.files.is_empty() {
        lines.extend(owners.owners.iter().map(|owner| format!("{:>6} {}", owner.files, paint(PLACE, &owner.owner))));
        lines.push(format!("{:>6} {}", owners.unowned, paint(DIM, "owned by nobody")));
    }
    match &owners.source {
        Some(source) => lines.push(format!("by {source}")),
        None => lines.push(paint(DIM, "there is no CODEOWNERS file")),
    }
    for line in &owners.ignored {
        lines.push(format!("{} line {}: {}", paint(CARE, "passed over"), line.line, line.why));
    }
    lines.extend(cut(owners.truncated));
    lines
}

fn tests(tests: &wire::TestsResult) -> Vec<String> {
    let mut lines = Vec::new();
    for test in &tests.tests {
        let mut why = Vec::new();
        why.extend(test.same_stem.then(|| "same name".to_owned()));
        why.extend(test.imports.then(|| "imports it".to_owned()));
        why.extend(test.distance.map(|distance| format!("{} at distance {distance}", counted(test.uses, "use"))));
        why.extend(test.mocks.then(|| "mocks it".to_owned()));
        lines.push(format!("{:.2} {} {}", test.weight, paint(PLACE, &test.file.path), paint(DIM, why.join(", "))));
    }
    for file in &tests.covers {
        lines.push(format!(
            "{} {} {}",
            paint(STRONG, "is about"),
            file.file.path,
            paint(DIM, counted(file.uses, "use"))
        ));
    }
    lines.push(format!("{} of {}", counted(tests.total, "test"), tests.of));
    lines.extend(cut(tests.truncated));
    lines
}

fn path(path: &wire::PathResult) -> Vec<String> {
    if !path.found {
        return vec!["nothing leads from one to the other".to_owned()];
    }
    let mut lines: Vec<String> = path
        .steps
        .iter()
        .map(|step| {
            format!(
                "{} {} {} {}",
                step.from,
                paint(STRONG, &step.kind),
                step.to,
                paint(DIM, format!("{}:{} {}", step.file.path, step.line, step.text))
            )
        })
        .collect();
    let steps = counted(path.steps.len() as u64, "step");
    let there = if path.reversed { " from the second to the first; none the other way" } else { "" };
    lines.push(format!("{steps}{there}"));
    lines
}

fn unused(unused: &wire::UnusedResult) -> Vec<String> {
    let mut lines: Vec<String> = unused
        .unused
        .iter()
        .map(|unused| {
            let why = match unused.why.as_str() {
                "onlyItsFile" => "only its file uses it",
                "onlyTests" => "only tests use it",
                "fileNotImported" => "nothing imports the file",
                _ => "nobody uses it",
            };
            let at = place(&unused.symbol.path, unused.symbol.lines[0]);
            format!("{:.2} {at} {} {}", unused.confidence, unused.exported_as, paint(DIM, why))
        })
        .collect();
    lines.push(counted(unused.total, "unused export"));
    lines.extend(cut(unused.truncated));
    lines
}

fn cycles(cycles: &wire::CyclesResult) -> Vec<String> {
    let mut lines = Vec::new();
    for cycle in &cycles.cycles {
        lines.push(format!("{} of {}", paint(STRONG, &cycle.kind), counted(cycle.size, "file")));
        for link in &cycle.shortest {
            let how = if link.kind == "static" { String::new() } else { format!(" ({})", link.kind) };
            lines.push(format!("  {} → {}{}", place(&link.from, link.line), link.to, paint(DIM, how)));
        }
    }
    lines.push(counted(cycles.total, "cycle"));
    lines.extend(cut(cycles.truncated));
    lines
}
