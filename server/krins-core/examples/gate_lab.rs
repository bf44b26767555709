//! `gate_lab [--checks syntax,sast,honesty] [--times N] < CHANGES`: what the checks of a patch's content say about changes,
//! one JSON object a line in, one a line out, in the same order.
//!
//! In: `{"id", "files": [{"path", "from"?, "before"?, "after"?}], "base"?: {path: text}}`. Out: `{"id", "findings": [{"rule",
//! "verdict", "path", "lines", "message"}], "micros": {check: [of each time]}}`. `gate_lab --rules` prints the table of the rules
//! as `docs/gate.md` has it. The scripts in `tests/scripts/gate/` make
//! the changes out of the histories of public repositories.

use krins_core::RelPath;
use krins_core::gate::{self, Approvals, Author, Finding, Policy, Scene};
use krins_core::patch::{Change, Patch};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{BufRead as _, Write as _};
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

const CHECKS: [(&str, Check); 3] =
    [("syntax", gate::check_syntax), ("sast", gate::check_sast), ("honesty", gate::check_honesty)];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let value = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1));
    let wanted = value("--checks").map_or("syntax,sast,honesty", String::as_str);
    let times: usize = value("--times").and_then(|times| times.parse().ok()).unwrap_or(1);
    if args.iter().any(|arg| arg == "--rules") {
        return match std::io::stdout().write_all(gate::rule_page().as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::from(2),
        };
    }
    let checks: Vec<_> = CHECKS.iter().filter(|(name, _)| wanted.split(',').any(|wanted| wanted == *name)).collect();
    gate::warm();
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return ExitCode::from(2) };
        let case: Case = match serde_json::from_str(&line) {
            Ok(case) => case,
            Err(error) => {
                let _ = writeln!(std::io::stderr(), "failed to read a change: {error}");
                return ExitCode::from(2);
            }
        };
        let answer = judge(&case, &checks, times);
        if writeln!(out, "{answer}").is_err() {
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn judge(case: &Case, checks: &[&(&str, Check)], times: usize) -> serde_json::Value {
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
    let (policy, approvals) = (Policy::default(), Approvals::default());
    let scene = Scene { patch: &patch, policy: &policy, author: Author::Model, base: &base, approvals: &approvals };
    let (mut findings, mut micros) = (Vec::new(), serde_json::Map::new());
    for (name, check) in checks {
        let mut taken = Vec::new();
        let mut found = Vec::new();
        for _ in 0..times {
            let started = Instant::now();
            found = check(&scene);
            taken.push(started.elapsed().as_micros() as u64);
        }
        findings.extend(found);
        micros.insert((*name).to_owned(), taken.into());
    }
    let shown: Vec<_> = findings.iter().map(shown).collect();
    serde_json::json!({ "id": case.id, "findings": shown, "micros": micros })
}

fn shown(finding: &Finding) -> serde_json::Value {
    serde_json::json!({
        "rule": finding.rule, "verdict": finding.verdict, "path": finding.path.as_str(), "lines": finding.lines,
        "message": finding.message,
    })
}
