//! Domain values → wire values. The only way out.

pub mod graph;

use krins_backend::resilience::times::Times;
use krins_backend::resilience::{RouteState, Status};
use krins_backend::wire::usage_to_wire;
use krins_core::RelPath;
use krins_core::gate::{Finding, Report, Verdict, Waived};
use krins_core::patch::{ChangeKind, Conflict, FilePatch, Hunk, Placement};
use krins_engine::apply::Route;
use krins_engine::audit::Verification;
use krins_engine::engine::{Outcome, Review};
use krins_engine::index::{Index, Partial};
use krins_engine::pipeline::Chosen;
use krins_engine::tasks::{LiveCheck, Other, Pin, Task, TaskState};
use krins_engine::workspace::Root;
use krins_engine::{Engine, Error};
use krins_protocol::error::{ErrorData, ErrorReport};
use krins_protocol::{cli, lsp};
use std::collections::BTreeMap;

/// An error as every door reports it.
pub fn error(error: &Error) -> ErrorReport {
    ErrorReport {
        message: format!("failed to {}", error.message),
        data: ErrorData { kind: error.kind, retryable: error.kind.retryable(), detail: None, hint: error.hint.clone() },
    }
}

pub fn verdict(verdict: Verdict) -> lsp::Verdict {
    match verdict {
        Verdict::Pass => lsp::Verdict::Pass,
        Verdict::Warn => lsp::Verdict::Warn,
        Verdict::Block => lsp::Verdict::Block,
    }
}

pub fn gate(report: &Report) -> lsp::GateReport {
    let check = |run: &krins_core::gate::CheckRun| lsp::CheckRun {
        check: run.check.clone(),
        verdict: verdict(run.verdict),
        millis: run.millis,
    };
    lsp::GateReport {
        verdict: verdict(report.verdict),
        patch: report.patch.to_string(),
        policy: report.policy.to_string(),
        checks: report.checks.iter().map(check).collect(),
        findings: report.findings.iter().map(finding).collect(),
        waived: report.waived.iter().map(waived).collect(),
        runs: report.runs.iter().map(command_run).collect(),
    }
}

fn command_run(run: &krins_core::gate::CommandRun) -> lsp::CommandRun {
    lsp::CommandRun {
        check: run.check.clone(),
        command: run.command.clone(),
        end: run.end.clone(),
        sandbox: run.sandbox.clone(),
        held: run.held.clone(),
        missing: run.missing.clone(),
        by: run.by.clone(),
        millis: run.millis,
        note: run.note.clone(),
    }
}

pub fn round(round: &krins_engine::fix::Round) -> lsp::FixRound {
    lsp::FixRound {
        number: round.number,
        patch: round.patch.to_string(),
        verdict: verdict(round.verdict),
        blocking: round.blocking,
        rules: round.rules.clone(),
        sent: round.sent.iter().map(ToString::to_string).collect(),
        route: round.route.clone(),
        stopped: round.stopped.clone(),
    }
}

fn waived(waived: &Waived) -> lsp::Waived {
    lsp::Waived {
        finding: finding(&waived.finding),
        reason: waived.reason.clone(),
        expires: waived.expires.to_string(),
    }
}

/// `krins/audit/verify`.
pub fn audit(found: &Verification) -> lsp::AuditResult {
    let Verification { sound, records, checkpoints, covered, kept, erased, torn, epochs, .. } = *found;
    let finding = |finding: &krins_engine::audit::Finding| lsp::AuditFinding {
        file: finding.file.clone(),
        line: finding.line,
        what: finding.what.clone(),
    };
    let findings = found.findings.iter().map(finding).collect();
    let key = found.key.clone();
    lsp::AuditResult { sound, records, checkpoints, covered, kept, erased, torn, epochs, key, findings }
}

pub fn finding(finding: &Finding) -> lsp::Finding {
    lsp::Finding {
        rule: finding.rule.clone(),
        verdict: verdict(finding.verdict),
        path: finding.path.to_string(),
        lines: finding.lines,
        message: finding.message.clone(),
        fix: finding.fix.clone(),
        link: finding.link.clone(),
    }
}

/// `krins/gateStatus`.
pub fn gate_status(task: &Task) -> lsp::GateStatus {
    let check = |live: &LiveCheck| lsp::CheckStatus {
        check: live.check.clone(),
        state: match live.ended {
            None => lsp::CheckState::Running,
            Some((Verdict::Pass, _)) => lsp::CheckState::Passed,
            Some((Verdict::Warn, _)) => lsp::CheckState::Warned,
            Some((Verdict::Block, _)) => lsp::CheckState::Blocked,
        },
        millis: live.ended.map_or(0.0, |(_, millis)| millis),
    };
    lsp::GateStatus { task: task.id.clone(), seq: task.seq, checks: task.live.iter().map(check).collect() }
}

pub fn status(task: &Task) -> lsp::TaskStatus {
    lsp::TaskStatus {
        task: task.id.clone(),
        state: task.state,
        seq: task.seq,
        intent: task.intent.clone(),
        progress: task.progress.clone(),
        gate: task.report.as_ref().map(gate),
        usage: task.answered.as_ref().map(|answered| usage_to_wire(answered.usage)),
        cost: if task.calls.is_empty() { None } else { task.cost() },
        variants: variants(task),
        choices: task.choices.iter().map(|choice| choice.explanation.clone()).collect(),
        rounds: task.rounds.iter().map(round).collect(),
        error: task.error.as_ref().map(error),
    }
}

fn variants(task: &Task) -> Vec<lsp::VariantStatus> {
    if task.others.is_empty() {
        return Vec::new();
    }
    let shown = lsp::VariantStatus {
        variant: task.variant,
        shown: true,
        model: task.answered.as_ref().map(|answered| answered.route.clone()),
        verdict: task.report.as_ref().map(|report| verdict(report.verdict)),
        error: None,
    };
    let other = |other: &Other| lsp::VariantStatus {
        variant: other.variant,
        shown: false,
        model: other.answered.as_ref().map(|answered| answered.route.clone()),
        verdict: other.report.as_ref().map(|report| verdict(report.verdict)),
        error: other.error.as_ref().map(|why| error(why).message),
    };
    let mut all: Vec<lsp::VariantStatus> = task.others.iter().map(other).chain([shown]).collect();
    all.sort_by_key(|variant| variant.variant);
    all
}

pub fn kind(kind: ChangeKind) -> lsp::FileKind {
    match kind {
        ChangeKind::Create => lsp::FileKind::Create,
        ChangeKind::Modify => lsp::FileKind::Modify,
        ChangeKind::Delete => lsp::FileKind::Delete,
        ChangeKind::Rename => lsp::FileKind::Rename,
    }
}

/// `krins/diff`.
pub fn diff(engine: &Engine, review: &Review) -> Result<lsp::DiffResult, Error> {
    let Review { task, patch } = review;
    let report = task.report.as_ref().ok_or_else(|| Error::unknown_task(&task.id))?;
    let answered = task.answered.clone().unwrap_or_default();
    let root = engine.root();
    Ok(lsp::DiffResult {
        task: task.id.clone(),
        state: task.state,
        base: task.base.iter().map(|pin| base(root, pin)).collect(),
        patch: patch.unified().to_owned(),
        files: patch.files().iter().map(|file| file_diff(root, file, task)).collect(),
        gate: gate(report),
        why: answered.why.into_iter().map(|(reason, lines)| lsp::Why { reason, lines }).collect(),
        usage: usage_to_wire(answered.usage),
        cost: task.cost(),
        model: answered.route,
        cached: answered.cached,
        degraded: answered.degraded,
        trace: task.traceparent.clone(),
        sent: task.sent.iter().map(|(path, tokens)| lsp::SentFile { uri: root.uri(path), tokens: *tokens }).collect(),
        pruned: task.pruned.iter().map(|path| root.uri(path)).collect(),
        left: left(task).cloned().collect(),
    })
}

/// A task in the list of `krins/tasks`.
pub fn entry(task: &Task, audit: Option<lsp::AuditLine>) -> lsp::TaskEntry {
    lsp::TaskEntry {
        task: task.id.clone(),
        intent: task.intent.clone(),
        state: task.state,
        created: task.created,
        files: u32::try_from(task.files.len()).unwrap_or(u32::MAX),
        left: u32::try_from(left(task).count()).unwrap_or(u32::MAX),
        verdict: task.report.as_ref().map(|report| verdict(report.verdict)),
        model: task.answered.as_ref().map(|answered| answered.route.clone()),
        cost: if task.calls.is_empty() { None } else { task.cost() },
        error: task.error.as_ref().map(|why| error(why).message),
        // Of several applies, the id of one says nothing of the others.
        undo: task.undo.as_ref().map(|_| task.id.clone()),
        audit,
    }
}

/// Of an applied task, the hunks that no apply has brought, rejected ones too.
fn left(task: &Task) -> impl Iterator<Item = &String> {
    task.left.iter().filter(|_| task.state == TaskState::Applied)
}

fn base(root: &Root, pin: &Pin) -> lsp::BaseFile {
    lsp::BaseFile {
        uri: root.uri(&pin.path),
        version: pin.version,
        sha256: pin.digest.map(|digest| digest.to_string()),
    }
}

fn file_diff(root: &Root, file: &FilePatch, task: &Task) -> lsp::FileDiff {
    let hunk = |hunk: &Hunk| lsp::Hunk {
        id: hunk.id.clone(),
        range: lines(hunk.before),
        header: hunk.header.clone(),
        lines: hunk.lines.clone(),
        verdict: task.verdicts.get(&hunk.id).copied().unwrap_or_default(),
        edited: task.edits.contains_key(&hunk.id),
    };
    lsp::FileDiff {
        uri: root.uri(&file.path),
        kind: kind(file.kind),
        from: file.from.as_ref().map(|path| root.uri(path)),
        hunks: file.hunks.iter().map(hunk).collect(),
        placed: task.placements(&file.path).iter().map(placed).collect(),
    }
}

fn placed(placement: &Placement) -> lsp::Placed {
    let Placement { level, repairs, line } = placement.clone();
    lsp::Placed { level, repairs, line }
}

/// Zero-based half-open lines as a range; whole lines need no encoding.
fn lines([first, end]: [u32; 2]) -> lsp::Range {
    lsp::Range { start: lsp::Position { line: first, character: 0 }, end: lsp::Position { line: end, character: 0 } }
}

/// `krins/apply`, `krins/undo`, `krins/redo`. A dry run lists what would be written, with no digest and no undo.
pub fn applied(root: &Root, outcome: &Outcome) -> lsp::ApplyResult {
    let written = outcome.applied.files.iter().map(|file| lsp::AppliedFile {
        uri: file.uri.clone(),
        route: route(file.route),
        sha256: file.digest.map(|digest| digest.to_string()),
    });
    let planned = outcome.planned.iter().map(|file| lsp::AppliedFile {
        uri: root.uri(&file.path),
        route: route(file.route),
        sha256: None,
    });
    let left_alone = outcome.applied.left_alone.iter().map(|left| lsp::LeftAlone {
        uri: root.uri(&left.path),
        kept: left.kept.as_ref().map(|path| path.display().to_string()),
    });
    lsp::ApplyResult {
        applied: written.chain(planned).collect(),
        conflicts: outcome.conflicts.iter().map(|conflict| conflict_report(root, conflict)).collect(),
        unsaved: outcome.applied.unsaved.clone(),
        left_alone: left_alone.collect(),
        pending: outcome.applied.pending.clone(),
        undo: outcome.applied.id.clone(),
    }
}

fn route(route: Route) -> lsp::Route {
    match route {
        Route::Buffer => lsp::Route::Buffer,
        Route::Disk => lsp::Route::Disk,
    }
}

fn conflict_report(root: &Root, conflict: &Conflict) -> lsp::ConflictReport {
    lsp::ConflictReport {
        uri: root.uri(&conflict.path),
        range: lines([conflict.lines[0].saturating_sub(1), conflict.lines[1]]),
        hunks: conflict.hunks.clone(),
        ours: conflict.ours.clone(),
        theirs: conflict.theirs.clone(),
        base: conflict.base.clone(),
    }
}

/// A conflict of `krins patch apply`.
pub fn patch_conflict(conflict: &Conflict) -> cli::PatchConflict {
    cli::PatchConflict {
        path: conflict.path.to_string(),
        lines: conflict.lines,
        base: conflict.base.clone(),
        ours: conflict.ours.clone(),
        theirs: conflict.theirs.clone(),
    }
}

pub fn partial(partial: Partial) -> lsp::Partial {
    let count = |files: usize| u32::try_from(files).unwrap_or(u32::MAX);
    lsp::Partial { read: count(partial.read), total: count(partial.total) }
}

/// What was counted since the start, of every route together where one figure is enough.
pub fn figures(status: &Status) -> lsp::Figures {
    let (counts, spending) = (&status.counts, &status.spending);
    let calls = counts.calls.iter().map(|((route, outcome), count)| lsp::CallCount {
        route: route.clone(),
        outcome: (*outcome).to_owned(),
        count: *count,
    });
    let mut first_words = Times::default();
    counts.first_words.values().for_each(|times| first_words.merge(times));
    let millis = |share| first_words.within(share).map(|seconds| (seconds * 1000.0).round() as u64);
    let mut gate: BTreeMap<&str, lsp::CheckCount> = BTreeMap::new();
    for ((check, verdict), count) in &counts.verdicts {
        let known = gate.entry(check).or_insert_with(|| lsp::CheckCount { check: check.clone(), ..Default::default() });
        let place = match *verdict {
            "pass" => &mut known.pass,
            "warn" => &mut known.warn,
            _ => &mut known.block,
        };
        *place += count;
    }
    lsp::Figures {
        calls: calls.collect(),
        repeats: counts.repeats.values().sum(),
        detours: counts.detours,
        first_words_p50_ms: millis(0.5),
        first_words_p95_ms: millis(0.95),
        cost: spending.micros.values().sum(),
        unpriced: spending.unpriced.values().sum(),
        budget_stops: spending.stops.values().sum(),
        gate: gate.into_values().collect(),
    }
}

/// How a way to a model is.
pub fn model_route(state: &RouteState) -> lsp::RouteStatus {
    krins_engine::figures::route(state)
}

/// `krins/status`, and what a pause and its end answer.
pub fn index(index: &Index) -> lsp::IndexStatus {
    let count = |items: usize| u32::try_from(items).unwrap_or(u32::MAX);
    let (stats, ready) = index.stats();
    let reading = index.progress().map(|(read, total)| partial(Partial { read, total }));
    lsp::IndexStatus {
        files: count(stats.files),
        symbols: count(stats.symbols),
        ready,
        paused: index.is_paused(),
        reading,
    }
}

/// `krins/context`.
pub fn context(root: &Root, Chosen { pack, micros, partial: early }: &Chosen) -> lsp::ContextResult {
    let item = |item: &krins_core::prompt::Item| lsp::ContextItem {
        uri: root.uri(&item.path),
        ranges: item.ranges.clone(),
        reason: item.reason.clone(),
        tokens: item.tokens,
    };
    lsp::ContextResult {
        items: pack.items.iter().map(item).collect(),
        pruned: pack.pruned.iter().map(|path| root.uri(path)).collect(),
        tokens: pack.tokens,
        estimate: lsp::Estimate { micros: *micros },
        partial: early.map(partial),
    }
}

/// `krins context --json`.
pub fn cli_context(Chosen { pack, micros, partial: early }: &Chosen) -> cli::Context {
    let names = |paths: &[RelPath]| paths.iter().map(RelPath::to_string).collect();
    let item = |item: &krins_core::prompt::Item| cli::ContextItem {
        path: item.path.to_string(),
        ranges: item.ranges.clone(),
        text: (!item.verbatim).then(|| item.text.clone()),
        tokens: item.tokens,
        reason: item.reason.clone(),
    };
    cli::Context {
        items: pack.items.iter().map(item).collect(),
        files: names(&pack.files),
        pruned: names(&pack.pruned),
        tokens: pack.tokens,
        estimate: lsp::Estimate { micros: *micros },
        partial: early.map(partial),
    }
}
