//! The answers of commands as a person reads them, for clients that do nothing with an answer: a sentence for a message, and the rest
//! as lines. Values in, text out; what is foreign in it is made visible where it is shown.

use crate::cli::report::{overview, price};
use crate::words::{counted, short};
use krins_backend::money::dollars;
use krins_engine::engine::state_name;
use krins_protocol::lsp::{
    AuditResult, ContextResult, DiffResult, FileLock, Finding, GateReport, HunkVerdict, IndexResult, LocksResult,
    PreviewResult, PromoteResult, StateResult, StatusResult, TaskEntry, TaskStatus, TasksResult, Verdict,
};
use krins_protocol::report::Report;

/// Characters of an intent in a list.
const LONGEST: usize = 100;

/// What is said of an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Readable {
    /// Fits a status line: what matters comes first.
    pub said: String,
    /// Something is not as the person would want it.
    pub care: bool,
    /// For a document; none where the sentence is all.
    pub lines: Vec<String>,
}

impl Readable {
    fn sentence(said: impl Into<String>) -> Self {
        Self { said: said.into(), ..Self::default() }
    }
}

/// A URI as the path in its workspace.
pub type Name<'a> = &'a dyn Fn(&str) -> String;

pub fn context(found: &ContextResult, name: Name<'_>) -> Readable {
    let item = |item: &krins_protocol::lsp::ContextItem| {
        let ranges: Vec<String> = item.ranges.iter().map(|[first, last]| format!("{first}-{last}")).collect();
        format!("{:>7} tokens  {}:{}  {}", item.tokens, name(&item.uri), ranges.join(","), item.reason)
    };
    let mut lines: Vec<String> = found.items.iter().map(item).collect();
    lines.extend(found.pruned.iter().map(|uri| format!("   not sent  {}", name(uri))));
    let early = found.partial.map(|partial| format!(" (chosen from {} of {} files)", partial.read, partial.total));
    let said = format!(
        "{} of {} would be sent, at most {}{}",
        counted(found.tokens as usize, "token"),
        counted(found.items.len(), "piece"),
        price(found.estimate.micros),
        early.unwrap_or_default()
    );
    Readable { said, lines, ..Readable::default() }
}

pub fn gate(report: &GateReport) -> Readable {
    let (word, care) = match report.verdict {
        Verdict::Pass => ("passes", false),
        Verdict::Warn => ("passes with warnings", true),
        Verdict::Block => ("blocks", true),
    };
    let first = report.findings.iter().find(|finding| finding.verdict == report.verdict);
    let first = first.map_or(String::new(), |finding| format!(": {} ({})", finding.message, finding.rule));
    let said = format!("the gate {word}, {}{first}", counted(report.findings.len(), "finding"));
    Readable { said, care, lines: gate_lines(report) }
}

fn gate_lines(report: &GateReport) -> Vec<String> {
    let mut lines = vec![format!("gate: {}", verdict(report.verdict))];
    for finding in &report.findings {
        lines.push(finding_line(finding));
        lines.extend(finding.fix.iter().map(|fix| format!("      mend it: {fix}")));
        let link = finding.link.clone().unwrap_or_else(|| krins_core::gate::link_of(&finding.rule));
        lines.push(format!("      more: {link}"));
    }
    for waived in &report.waived {
        lines.push(format!(
            "waived until {}: {} ({})",
            waived.expires,
            finding_line(&waived.finding).trim(),
            waived.reason
        ));
    }
    for run in &report.checks {
        lines.push(format!("  {:5}  {}  {:.1} ms", verdict(run.verdict), run.check, run.millis));
    }
    for run in &report.runs {
        let note = run.note.as_ref().map_or(String::new(), |note| format!("; {note}"));
        let missing =
            if run.missing.is_empty() { String::new() } else { format!(" without {}", run.missing.join(", ")) };
        lines.push(format!(
            "  ran    {} {} in {:.0} ms, sandbox {}{missing}{note}",
            run.command, run.end, run.millis, run.sandbox
        ));
    }
    lines
}

fn finding_line(finding: &Finding) -> String {
    let line = finding.lines.map_or(String::new(), |[first, _]| format!(":{first}"));
    format!("  {:5}  {}{line}  {}  [{}]", verdict(finding.verdict), finding.path, finding.message, finding.rule)
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Warn => "warn",
        Verdict::Block => "block",
    }
}

pub fn task(task: &TaskStatus) -> Readable {
    let mut said = format!("“{}” is {}", short(&task.intent, LONGEST), state_name(task.state));
    if let Some(progress) = task.progress.as_ref().filter(|_| task.state.is_running()) {
        said.push_str(&format!(": {progress}"));
    }
    let mut lines = vec![format!("{}  {}", task.task, state_name(task.state)), task.intent.clone()];
    if let Some(error) = &task.error {
        said.push_str(&format!(": {}", error.message));
        lines.push(error.message.clone());
        lines.extend(error.data.hint.iter().map(|hint| format!("hint: {hint}")));
    }
    lines.extend(task.cost.map(|micros| format!("cost: {}", dollars(micros))));
    lines.extend(task.choices.iter().map(|choice| format!("route: {choice}")));
    for variant in &task.variants {
        let model = variant.model.as_deref().unwrap_or("no model");
        let came = variant.error.clone().or(variant.verdict.map(|is| format!("gate {}", verdict(is))));
        let shown = if variant.shown { ", shown" } else { "" };
        lines.push(format!("variant {}: {model}, {}{shown}", variant.variant, came.unwrap_or_default()));
    }
    for round in &task.rounds {
        let rules = round.rules.join(", ");
        let stopped = round.stopped.as_ref().map_or(String::new(), |why| format!("; {why}"));
        lines.push(format!("round {}: {} {rules}{stopped}", round.number, verdict(round.verdict)));
    }
    lines.extend(task.gate.iter().flat_map(gate_lines));
    Readable { said, lines, care: task.error.is_some() }
}

pub fn tasks(found: &TasksResult) -> Readable {
    let line = |task: &TaskEntry| {
        let gate = task.verdict.map_or(String::new(), |is| format!(", gate {}", verdict(is)));
        let cost = task.cost.map_or(String::new(), |micros| format!(", {}", dollars(micros)));
        let files = counted(task.files as usize, "file");
        let error = task.error.as_ref().map_or(String::new(), |error| format!("\n    {error}"));
        let state = state_name(task.state);
        format!("{}  {state:9}  {}\n    {files}{gate}{cost}{error}", task.task, short(&task.intent, LONGEST))
    };
    let newest = found.tasks.first().map(|task| format!("; the newest is {}", state_name(task.state)));
    let said = format!("{}{}", counted(found.tasks.len(), "task"), newest.unwrap_or_default());
    Readable { said, lines: found.tasks.iter().map(line).collect(), ..Readable::default() }
}

/// What became of a hunk by somebody's word.
pub fn reviewed(diff: &DiffResult, hunk: &str) -> Readable {
    let hunks = || diff.files.iter().flat_map(|file| &file.hunks);
    let said = match hunks().find(|one| one.id == hunk) {
        None => "changes nothing any more",
        Some(one) => match (one.verdict, one.edited) {
            (HunkVerdict::Reject, _) => "is rejected",
            (HunkVerdict::Open, _) => "is open again",
            (_, true) => "is taken with your own text",
            (HunkVerdict::Accept, _) => "is accepted",
        },
    };
    let taken = hunks().filter(|one| one.verdict != HunkVerdict::Reject).count();
    let blocked = diff.gate.verdict == Verdict::Block;
    let then = match (blocked, taken) {
        (true, _) => "the gate blocks the change as it is now".to_owned(),
        (false, 0) => "nothing is left to apply".to_owned(),
        (false, _) => format!("apply takes {taken} of {}", counted(hunks().count(), "hunk")),
    };
    Readable { care: blocked, ..Readable::sentence(format!("{hunk} {said}; {then}")) }
}

/// The change that is shown now, after another was chosen or a finding was waived.
pub fn shown(diff: &DiffResult, before: &str) -> Readable {
    let hunks: usize = diff.files.iter().map(|file| file.hunks.len()).sum();
    let found = gate(&diff.gate);
    let size = format!("{} in {}", counted(hunks, "hunk"), counted(diff.files.len(), "file"));
    Readable { care: found.care, ..Readable::sentence(format!("{before}; {size}; {}", found.said)) }
}

/// What a command came to, with the state that the task is in.
pub fn state(found: &StateResult, what: &str) -> Readable {
    Readable::sentence(format!("{what}; the task is {}", state_name(found.state)))
}

pub fn preview(made: &PreviewResult) -> Readable {
    let PreviewResult { worktree, branch, .. } = made;
    Readable::sentence(format!("the change is in {worktree}, not committed; promoting it makes the branch {branch}"))
}

pub fn promoted(made: &PromoteResult) -> Readable {
    let commit = made.commit.get(..12).unwrap_or(&made.commit);
    let kept = made
        .kept
        .as_ref()
        .map_or(String::new(), |kept| format!("; what was changed in {kept} is not in it, and stays"));
    let said = format!("the change is commit {commit} on branch {}{kept}", made.branch);
    Readable { care: made.kept.is_some(), ..Readable::sentence(said) }
}

pub fn lock(lock: &FileLock, name: Name<'_>) -> Readable {
    Readable::sentence(lock_line(lock, name))
}

pub fn locks(found: &LocksResult, name: Name<'_>) -> Readable {
    match found.locks.as_slice() {
        [] => Readable::sentence("nothing is locked"),
        [one] => lock(one, name),
        many => Readable {
            lines: many.iter().map(|lock| lock_line(lock, name)).collect(),
            ..Readable::sentence(format!("{} are locked", counted(many.len(), "file")))
        },
    }
}

fn lock_line(lock: &FileLock, name: Name<'_>) -> String {
    let whose = if lock.mine { " (you)" } else { "" };
    format!("{} is locked by {}{whose} for {} min", name(&lock.uri), lock.holder, lock.left_ms.div_ceil(60_000))
}

pub fn report(report: &Report) -> Readable {
    let lines: Vec<String> = overview(report).lines().map(str::to_owned).collect();
    Readable { said: lines.first().cloned().unwrap_or_default(), lines, ..Readable::default() }
}

pub fn audit(found: &AuditResult) -> Readable {
    let finding = |finding: &krins_protocol::lsp::AuditFinding| {
        let line = finding.line.map_or(String::new(), |line| format!(":{line}"));
        format!("{}{line}  {}", finding.file, finding.what)
    };
    let records = counted(usize::try_from(found.records).unwrap_or(usize::MAX), "record");
    let said = match found.sound {
        true => format!("the audit is sound: {records}"),
        false => format!("the audit was changed: {} in {records}", counted(found.findings.len(), "finding")),
    };
    Readable { said, care: !found.sound, lines: found.findings.iter().map(finding).collect() }
}

pub fn paused(found: &IndexResult, pause: bool) -> Readable {
    let workspaces = counted(found.index.len(), "workspace");
    Readable::sentence(match pause {
        true => format!("reading in the background is held in {workspaces}"),
        false => format!("reading in the background goes on in {workspaces}"),
    })
}

pub fn status(found: &StatusResult) -> Readable {
    let limit =
        |limit: Option<u64>, of: &str| limit.map_or(String::new(), |most| format!(" of {} {of}", dollars(most)));
    let spent = found.spent.map(|spent| format!("{}{}", dollars(spent.today), limit(spent.per_day, "a day")));
    let mut lines = vec![
        format!("Krins {}", found.version),
        format!("asks: {}/{}", found.provider, found.model),
        format!("at work: {}", counted(found.running as usize, "task")),
        format!("level: {}", found.level),
        format!("cache: {} hits, {} misses", found.cache_hits, found.cache_misses),
        format!("index: {} files, {} symbols{}", found.index.files, found.index.symbols, reading(&found.index)),
    ];
    lines.extend(spent.iter().map(|spent| format!("spent today (UTC): {spent}")));
    lines
        .extend(found.spent.and_then(|spent| spent.per_task).map(|most| format!("a task may cost: {}", dollars(most))));
    for route in &found.routes {
        let cause = route.cause.as_ref().map_or(String::new(), |cause| format!(", {cause}"));
        let seconds = route.seconds.map_or(String::new(), |seconds| format!(", asked again in {seconds} s"));
        lines.push(format!("route {}: {}{cause}{seconds}", route.route, route.state));
    }
    if !found.switched_off.is_empty() {
        lines.push(format!("switched off: {}", found.switched_off.join(", ")));
    }
    let off = if found.switched_off.is_empty() { "" } else { ", switched off in part" };
    let spent = spent.map_or(String::new(), |spent| format!(", {spent} spent today"));
    let at_work = counted(found.running as usize, "task");
    let said = format!("{}/{}, {at_work} at work{spent}{off}", found.provider, found.model);
    Readable { said, lines, care: !found.switched_off.is_empty() }
}

fn reading(index: &krins_protocol::lsp::IndexStatus) -> String {
    match (index.paused, index.reading) {
        (true, _) => ", held".to_owned(),
        (false, Some(partial)) => format!(", {} of {} files read", partial.read, partial.total),
        (false, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use krins_protocol::lsp::{CheckRun, ContextItem, Estimate};

    fn report(verdict: Verdict) -> GateReport {
        let finding = Finding {
            rule: "secrets/github-token".into(),
            verdict,
            path: "src/a.ts".into(),
            lines: Some([3, 3]),
            message: "a token".into(),
            fix: Some("take it out".into()),
            link: None,
        };
        GateReport {
            verdict,
            patch: String::new(),
            policy: String::new(),
            checks: vec![CheckRun { check: "secrets".into(), verdict, millis: 1.0 }],
            findings: vec![finding],
            waived: Vec::new(),
            runs: Vec::new(),
        }
    }

    #[test]
    fn a_verdict_is_said_with_what_it_is_about() {
        let read = gate(&report(Verdict::Block));
        assert_eq!(read.said, "the gate blocks, 1 finding: a token (secrets/github-token)");
        assert!(read.care && read.lines.iter().any(|line| line.contains("src/a.ts:3")), "{read:?}");
        assert!(read.lines.iter().any(|line| line.contains("mend it: take it out")), "{read:?}");
    }

    #[test]
    fn what_would_be_sent_is_said_with_its_price() {
        let item =
            ContextItem { uri: "file:///r/a.ts".into(), ranges: vec![[1, 4]], reason: "named".into(), tokens: 30 };
        let found = ContextResult {
            items: vec![item],
            pruned: vec!["file:///r/b.ts".into()],
            tokens: 30,
            estimate: Estimate { micros: Some(1_200) },
            partial: None,
        };
        let read = context(&found, &|uri| uri.trim_start_matches("file:///r/").to_owned());
        assert!(read.said.starts_with("30 tokens of 1 piece would be sent, at most $"), "{}", read.said);
        assert!(read.lines[0].contains("a.ts:1-4") && read.lines[1].contains("not sent  b.ts"), "{read:?}");
    }

    #[test]
    fn a_preview_is_on_no_branch_and_what_was_kept_is_said() {
        let made = PreviewResult { branch: "krins/t".into(), worktree: "/w/t".into(), url: None };
        assert_eq!(preview(&made).said, "the change is in /w/t, not committed; promoting it makes the branch krins/t");
        let mut made = PromoteResult { branch: "krins/t".into(), commit: "0123456789abcdef".into(), kept: None };
        let read = promoted(&made);
        assert_eq!((read.said.as_str(), read.care), ("the change is commit 0123456789ab on branch krins/t", false));
        made.kept = Some("/w/t".into());
        let read = promoted(&made);
        assert!(read.care && read.said.ends_with("; what was changed in /w/t is not in it, and stays"), "{read:?}");
    }

    #[test]
    fn locks_are_said_one_by_one_and_counted() {
        let lock =
            |uri: &str, mine| FileLock { uri: uri.into(), holder: "ann".into(), mine, fence: 1, left_ms: 61_000 };
        let name = |uri: &str| uri.to_owned();
        assert_eq!(locks(&LocksResult { locks: vec![] }, &name).said, "nothing is locked");
        let one = locks(&LocksResult { locks: vec![lock("a", true)] }, &name);
        assert_eq!(one.said, "a is locked by ann (you) for 2 min");
        let two = locks(&LocksResult { locks: vec![lock("a", true), lock("b", false)] }, &name);
        assert_eq!((two.said.as_str(), two.lines.len()), ("2 files are locked", 2));
    }
}
