//! `gate_lab [--checks syntax,sast,honesty] [--times N] < CHANGES`: what the checks of a patch's content say about changes,
//! one JSON object a line in, one a line out, in the same order.
//!
//! In: `{"id", "files": [{"path", "from"?, "before"?, "after"?}], "base"?: {path: text}}`. Out: `{"id", "findings": [{"rule",
//! "verdict", "path", "lines", "message"}], "micros": {check: [of each time]}}`.
//!
//! `--whole` runs all checks that only look at values, side by side as the gate does; `micros` then has how long all of them
//! took as `whole`, and what each took of the processor, where Linux says it, with the sum as `processor`. `--root DIR` is the workspace around the changes. With `--sarif` an answer has the report
//! as SARIF, too (`sarif`). `gate_lab --rules` prints the table of the rules
//! as `docs/gate.md` has it, `gate_lab --warm` says how long the rules take to be made ready, `gate_lab --owners` how long
//! 10,000 lines of CODEOWNERS take to be read and asked for 10,000 paths. The scripts in `tests/scripts/gate/`
//! make the changes out of the histories of public repositories.

use krins_core::gate::lock::Ecosystem;
use krins_core::gate::{self, Approvals, Author, Finding, Policy, Reading, Report, Scene};
use krins_core::patch::{Change, Patch};
use krins_core::{Entry, Installed, RelPath, Surroundings, Tree, secrets};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{BufRead as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

#[derive(Deserialize)]
struct Case {
    id: String,
    files: Vec<File>,
    #[serde(default)]
    base: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct File {
    path: String,
    from: Option<String>,
    before: Option<String>,
    after: Option<String>,
}

type Check = fn(&Scene<'_>) -> Vec<Finding>;

/// In the order of the gate.
const CHECKS: [(&str, Check); 8] = [
    ("policy", gate::check_policy),
    ("secrets", gate::check_secrets),
    ("licences", gate::check_licences),
    ("packages", gate::check_packages),
    ("owners", gate::check_owners),
    ("syntax", gate::check_syntax),
    ("sast", gate::check_sast),
    ("honesty", gate::check_honesty),
];

/// A workspace in memory, where nothing is installed.
#[derive(Default)]
struct Workspace(BTreeMap<RelPath, Arc<[u8]>>);

impl Tree for Workspace {
    fn entry(&self, path: &RelPath) -> Entry {
        Tree::entry(&self.0, path)
    }

    fn surroundings(&self) -> Option<&dyn Surroundings> {
        (!self.0.is_empty()).then_some(self)
    }
}

impl Surroundings for Workspace {
    fn files(&self) -> Vec<RelPath> {
        self.0.keys().cloned().collect()
    }

    fn on_disk(&self, path: &RelPath) -> Option<Arc<str>> {
        self.0.text(path)
    }

    fn is_installed(&self, _: &str, _: &str) -> bool {
        false
    }

    fn installed(&self, _: Ecosystem, _: &str, _: &str, _: &str) -> Option<Installed> {
        None
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "failed to {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), String> {
    let args: Vec<String> = std::env::args().collect();
    let value = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1));
    let has = |name: &str| args.iter().any(|arg| arg == name);
    let mut out = std::io::stdout().lock();
    let mut say = |line: String| out.write_all(line.as_bytes()).map_err(|error| format!("write: {error}"));
    if has("--rules") {
        return say(gate::rule_page());
    }
    if has("--owners") {
        return say(owners());
    }
    let began = Instant::now();
    secrets::warm();
    let with_secrets = began.elapsed();
    gate::warm();
    if has("--warm") {
        let all = began.elapsed();
        return say(format!("secrets {with_secrets:.1?}, the others {:.1?}\n", all - with_secrets));
    }
    let workspace = value("--root").map_or_else(Workspace::default, |root| Workspace(read(Path::new(root))));
    let wanted = value("--checks").map_or("syntax,sast,honesty", String::as_str);
    let whole = has("--whole");
    let is_wanted = |name: &str| whole || wanted.split(',').any(|wanted| wanted == name);
    let checks: Vec<(&str, Check)> = CHECKS.iter().filter(|(name, _)| is_wanted(name)).copied().collect();
    let times: usize = value("--times").and_then(|times| times.parse().ok()).unwrap_or(1);
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| format!("read: {error}"))?;
        let case: Case = serde_json::from_str(&line).map_err(|error| format!("read a change: {error}"))?;
        say(format!("{}\n", judge(&case, &workspace, &checks, times, whole, has("--sarif"))))?;
    }
    Ok(())
}

/// As a large monorepo has them: a tenth of the lines are of endings, a hundredth begin with `**`, the others are directories.
fn owners() -> String {
    const MANY: usize = 10_000;
    let place = |at: usize| format!("packages/p{}/src/d{}/m{}", at % 400, at % 37, at % 7);
    let line = |at: usize| match at % 100 {
        0 => format!("**/d{}/*.ts @team{at}\n", at % 37),
        1..=10 => format!("*.e{} @team{at}\n", at % 300),
        _ => format!("/{}/ @team{at} @org/all\n", place(at)),
    };
    let text: String = (0..MANY).map(line).collect();
    let paths: Vec<RelPath> =
        (0..MANY).filter_map(|at| RelPath::new(&format!("{}/f{at}.e{}", place(at * 7), at % 900)).ok()).collect();
    let (began, before) = (Instant::now(), on_processor());
    let texts = RelPath::new("CODEOWNERS").map(|path| BTreeMap::from([(path, Arc::from(text.as_str()))]));
    let owners = texts.ok().and_then(|texts| krins_core::graph::queries::Owners::choose(&texts));
    let read = began.elapsed();
    let owned = paths.iter().filter(|path| owners.as_ref().is_some_and(|all| !all.of(path).owners.is_empty())).count();
    let used = before.and_then(|before| Some(on_processor()?.saturating_sub(before) / 1_000_000));
    let used = used.map_or(String::new(), |millis| format!(", {millis} ms of the processor"));
    format!("read {read:.1?}, with {} paths {:.1?}{used}; {owned} have an owner\n", paths.len(), began.elapsed())
}

fn read(dir: &Path) -> BTreeMap<RelPath, Arc<[u8]>> {
    let (mut files, mut dirs) = (BTreeMap::new(), vec![dir.to_owned()]);
    while let Some(next) = dirs.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && entry.file_name() != ".git" && entry.file_name() != "node_modules" {
                dirs.push(path);
            } else if kind.is_file()
                && let Ok(inside) = path.strip_prefix(dir)
                && let Ok(rel) = RelPath::new(&inside.to_string_lossy())
                && let Ok(bytes) = std::fs::read(&path)
                && bytes.len() < 4 << 20
            {
                files.insert(rel, bytes.into());
            }
        }
    }
    files
}

fn judge(
    case: &Case,
    around: &Workspace,
    checks: &[(&str, Check)],
    times: usize,
    side_by_side: bool,
    with_sarif: bool,
) -> serde_json::Value {
    let bytes = |text: &String| -> Arc<[u8]> { text.as_bytes().into() };
    let change = |file: &File| {
        let path = RelPath::new(&file.path).ok()?;
        let from = file.from.as_ref().and_then(|from| RelPath::new(from).ok());
        let (before, after) = (file.before.as_ref().map(bytes), file.after.as_ref().map(bytes));
        Some(Change { path, from, before, after, executable: false })
    };
    let patch = Patch::between(case.files.iter().filter_map(change).collect());
    let base: BTreeMap<RelPath, Arc<[u8]>> =
        case.base.iter().filter_map(|(path, text)| Some((RelPath::new(path).ok()?, bytes(text)))).collect();
    let base: &(dyn Tree + Sync) = if around.0.is_empty() { &base } else { around };
    let (policy, approvals) = (Policy::default(), Approvals::default());
    let mut micros: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    let mut findings = Vec::new();
    for _ in 0..times {
        let (author, began) = (Author::Model, Instant::now());
        let reading = Reading::of(&patch);
        let scene = Scene { patch: &patch, policy: &policy, author, base, approvals: &approvals, reading: &reading };
        let look = |check: Check| {
            let (began, before) = (Instant::now(), on_processor());
            let found = check(&scene);
            let used = before.and_then(|before| Some(on_processor()?.saturating_sub(before) / 1000));
            (used.unwrap_or(began.elapsed().as_micros() as u64), found)
        };
        let looks: Vec<(u64, Vec<Finding>)> = match side_by_side {
            true => std::thread::scope(|scope| {
                let threads: Vec<_> = checks.iter().map(|(_, check)| scope.spawn(|| look(*check))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap_or_default()).collect()
            }),
            false => checks.iter().map(|(_, check)| look(*check)).collect(),
        };
        if side_by_side {
            micros.entry("whole").or_default().push(began.elapsed().as_micros() as u64);
            micros.entry("processor").or_default().push(looks.iter().map(|(used, _)| used).sum());
        }
        findings.clear();
        for ((name, _), (taken, found)) in checks.iter().zip(looks) {
            micros.entry(name).or_default().push(taken);
            findings.extend(found);
        }
    }
    let shown: Vec<_> = findings.iter().map(shown).collect();
    let mut answer = serde_json::json!({ "id": case.id, "findings": shown, "micros": micros });
    if with_sarif {
        let report = Report::new(&patch, &policy, Vec::new(), policy.weigh(&patch, findings));
        answer["sarif"] = gate::sarif(&report, env!("CARGO_PKG_VERSION"));
    }
    answer
}

/// Nanoseconds that this thread has had of the processor.
fn on_processor() -> Option<u64> {
    // Giving way has the kernel write down what the thread used so far.
    std::thread::yield_now();
    std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
}

fn shown(finding: &Finding) -> serde_json::Value {
    serde_json::json!({
        "rule": finding.rule, "verdict": finding.verdict, "path": finding.path.as_str(), "lines": finding.lines,
        "message": finding.message,
    })
}
