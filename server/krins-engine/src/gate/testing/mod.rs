//! `tests/*`: the tests that the change can make fail, run with it. A test that fails without the change, too, is not the
//! change's fault; one that passes the second time is said to be unsteady.

mod reports;
mod runners;

pub(crate) use reports::path_in;
pub use reports::{Case, Outcome};
pub use runners::{Runner, Suite, suite_of};

use super::commands::{Found, note, quoted};
use crate::affected::Affected;
use crate::commands::Bench;
use crate::error::Result;
use crate::runner::Ran;
use crate::worktree::Side;
use krins_core::RelPath;
use krins_core::gate::{Finding, Verdict};
use krins_core::patch::Patch;
use runners::LARGEST_REPORT;
use std::collections::{BTreeMap, BTreeSet};

/// Findings that are shown; the rest are counted.
const MOST_FINDINGS: usize = 20;
/// Files in one command: an argument list has an end.
const MOST_AT_ONCE: usize = 500;

/// What running some test files showed.
#[derive(Clone, Debug, Default)]
pub struct Outcomes {
    pub cases: Vec<Case>,
    /// Commands that said nothing that can be read, or were not run, and why.
    pub silent: Vec<(Suite, String)>,
    /// Files of which no test ran.
    pub not_run: BTreeSet<RelPath>,
}

impl Outcomes {
    /// By (file, name): tests can be told apart by that before and after.
    pub fn bad(&self) -> BTreeMap<(RelPath, String), &Case> {
        let bad = self.cases.iter().filter(|case| case.outcome.is_bad());
        bad.map(|case| ((case.file.clone(), case.name.clone()), case)).collect()
    }

    pub fn passed(&self, file: &RelPath, name: &str) -> bool {
        self.cases.iter().any(|case| case.file == *file && case.name == name && case.outcome == Outcome::Passed)
    }
}

/// Runs test files as the tree is now. The runs are added to `found`.
pub fn run_files(
    bench: &Bench,
    suites: &BTreeMap<RelPath, Suite>,
    files: &BTreeSet<RelPath>,
    found: &mut Found,
) -> Outcomes {
    let mut by_suite: BTreeMap<&Suite, Vec<RelPath>> = BTreeMap::new();
    for file in files {
        if let Some(suite) = suites.get(file) {
            by_suite.entry(suite).or_default().push(file.clone());
        }
    }
    let mut outcomes = Outcomes::default();
    for (suite, files) in by_suite {
        for files in files.chunks(MOST_AT_ONCE) {
            if bench.stop().is_stopped() {
                return outcomes;
            }
            run_suite(bench, suite, files, &mut outcomes, found);
        }
    }
    outcomes
}

fn run_suite(bench: &Bench, suite: &Suite, files: &[RelPath], outcomes: &mut Outcomes, found: &mut Found) {
    let inside =
        |file: &RelPath| file.as_str().strip_prefix(&format!("{}/", suite.dir)).unwrap_or(file.as_str()).to_owned();
    let names: Vec<String> = files.iter().map(|file| format!("./{}", inside(file))).collect();
    let dir = bench.tree().tree().join(&suite.dir);
    let Some(argv) = suite.runner.command(&dir, &names, &bench.tree().tmp()) else {
        let why = format!("{} is not installed in node_modules", suite.runner.name());
        return outcomes.silent.push((suite.clone(), why));
    };
    let _ = std::fs::remove_file(bench.tree().tmp().join(runners::report_name()));
    let ran = bench.run(&argv, &suite.dir);
    found.runs.push(note("tests", &shown(suite, files.len()), &ran));
    let ran = match ran {
        Ok(ran) => ran,
        Err(not_run) => return outcomes.silent.push((suite.clone(), not_run.to_string())),
    };
    let report = bench.tree().read_tmp(runners::report_name(), LARGEST_REPORT);
    let stdout = ran.stdout.text();
    let cases = suite.runner.read(report.as_deref(), &stdout, &bench.root(), &suite.dir, files);
    match cases {
        Some(cases) => {
            let bad = cases.iter().any(|case| case.outcome.is_bad());
            let seen: BTreeSet<&RelPath> = cases.iter().map(|case| &case.file).collect();
            outcomes.not_run.extend(files.iter().filter(|file| !seen.contains(file)).cloned());
            // An error outside of every test: the runner says so with its code alone.
            if !ran.end.is_success() && !bad {
                outcomes.silent.push((
                    suite.clone(),
                    format!("{} {}: {}", suite.runner.name(), ran.end.describe(), last_words(&ran)),
                ));
            }
            outcomes.cases.extend(cases);
        }
        None if ran.end.is_success() && matches!(suite.runner, Runner::Plain(_)) => {}
        None => {
            let why = format!("{} {}: {}", suite.runner.name(), ran.end.describe(), last_words(&ran));
            outcomes.silent.push((suite.clone(), why));
        }
    }
}

fn shown(suite: &Suite, files: usize) -> String {
    let at = if suite.dir.is_empty() { String::new() } else { format!(" in {}", suite.dir) };
    format!("{}{at}, {files} test files", suite.runner.name())
}

fn last_words(ran: &Ran) -> String {
    let text = format!("{}\n{}", ran.stderr.text(), ran.stdout.text());
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    quoted(&lines.iter().take(6).copied().collect::<Vec<_>>().join(" | "), 400)
}

/// The check: the patch is in the tree, and is there again afterwards.
pub fn check(bench: &Bench, patch: &Patch, affected: &Affected, found: &mut Found) -> Result<()> {
    let files: BTreeSet<RelPath> = affected.chosen.tests.iter().map(|(test, _)| test.clone()).collect();
    if files.is_empty() {
        return Ok(());
    }
    let after = run_files(bench, &affected.suites, &files, found);
    let failing: BTreeSet<RelPath> = after.bad().into_keys().map(|(file, _)| file).collect();
    if failing.is_empty() && after.silent.is_empty() || bench.stop().is_stopped() {
        return Ok(());
    }
    // Once more: what passes now does not say what it said.
    let again =
        if failing.is_empty() { Outcomes::default() } else { run_files(bench, &affected.suites, &failing, found) };
    bench.tree().put(patch, Side::Before)?;
    let existed = |file: &&RelPath| patch.files().iter().all(|change| change.path != **file || change.before.is_some());
    let mut earlier: BTreeSet<RelPath> = failing.iter().filter(existed).cloned().collect();
    // Where a command said nothing, only the whole of it can be compared.
    for (suite, _) in &after.silent {
        earlier.extend(files.iter().filter(existed).filter(|file| affected.suites.get(*file) == Some(suite)).cloned());
    }
    let before = run_files(bench, &affected.suites, &earlier, found);
    bench.tree().put(patch, Side::After)?;
    let mut findings = judge(patch, &after, &again, &before);
    let left = findings.len().saturating_sub(MOST_FINDINGS);
    findings.truncate(MOST_FINDINGS);
    if let (true, Some(last)) = (left > 0, findings.last_mut()) {
        last.message.push_str(&format!(" (and {left} more tests)"));
    }
    found.findings.extend(findings);
    Ok(())
}

fn judge(patch: &Patch, after: &Outcomes, again: &Outcomes, before: &Outcomes) -> Vec<Finding> {
    let was_bad = before.bad();
    let mut findings = Vec::new();
    for ((file, name), case) in after.bad() {
        let broken_file_before = was_bad.contains_key(&(file.clone(), String::new()));
        if was_bad.contains_key(&(file.clone(), name.clone())) || broken_file_before {
            continue;
        }
        let unsteady = again.passed(&file, &name);
        let title = if name.is_empty() {
            "the file cannot be run".to_owned()
        } else {
            format!("`{}` fails", quoted(&name, 160))
        };
        let (rule, verdict, tail) = match unsteady {
            true => ("tests/unsteady", Verdict::Warn, " (it passed the second time)"),
            false => ("tests/failing", Verdict::Block, ""),
        };
        findings.push(Finding {
            rule: rule.to_owned(),
            verdict,
            lines: case.line.map(|line| [line, line]),
            message: format!("{title}{tail}: {}", quoted(&case.message, 500)),
            fix: Some(match unsteady {
                true => "make the test say the same every time".to_owned(),
                false => "change the code so that the test passes; it passes without the change".to_owned(),
            }),
            path: file,
            link: None,
        });
    }
    for (suite, why) in &after.silent {
        let also_before = before.silent.iter().any(|(other, _)| other == suite);
        let path = RelPath::join_dir(&suite.dir, "package.json")
            .or_else(|| patch.files().first().map(|file| file.path.clone()));
        let Some(path) = path else { continue };
        let (rule, verdict) =
            if also_before { ("tests/not-run", Verdict::Warn) } else { ("tests/failing", Verdict::Block) };
        findings.push(Finding {
            rule: rule.to_owned(),
            verdict,
            path,
            lines: None,
            message: format!("the tests said nothing that can be read: {}", quoted(why, 400)),
            fix: Some("run them by hand with `krins sandbox`, and see what is missing".to_owned()),
            link: None,
        });
    }
    findings.sort_by(|a, b| (b.verdict, &a.path, a.lines).cmp(&(a.verdict, &b.path, b.lines)));
    findings
}
