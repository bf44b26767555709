//! `textDocument/codeAction`: the review UI that works in every client. Commands only, nothing to resolve.

use crate::from_proto;
use crate::lsp::comment;
use crate::lsp::handlers::initialize::KIND;
use crate::lsp::handlers::short;
use crate::lsp::session::Session;
use crate::lsp::waiting::{self, Moved, Waiting, open_review};
use krins_core::gate::{Finding, Verdict};
use krins_core::syntax::Language;
use krins_core::{RelPath, Tree as _};
use krins_engine::Engine;
use krins_engine::engine::Review;
use krins_engine::tasks::{Task, TaskState};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use tower_lsp::ls_types::{CodeAction, CodeActionKind, CodeActionOrCommand, CodeActionParams, Command, Range};

/// Lines behind a comment that may belong to what it is about.
const MOST_MEANT: usize = 60;
/// Lines of a selection in which a comment is looked for.
const MOST_LOOKED_AT: usize = 200;

pub fn run(session: &Arc<Session>, params: &CodeActionParams) -> Vec<CodeActionOrCommand> {
    let uri = params.text_document.uri.as_str();
    let wanted = params.context.only.as_ref().is_none_or(|only| only.iter().any(|kind| covers(kind.as_str())));
    let Ok(engine) = session.engine(Some(uri)) else { return Vec::new() };
    let Some(path) = engine.root().relative_uri(uri) else { return Vec::new() };
    hear(&engine, &path, uri, params);
    if !wanted {
        return Vec::new();
    }
    let lines = [params.range.start.line, params.range.end.line];
    let mut actions = asks(&engine, &path, uri, &params.range);
    actions.extend(running(&engine));
    if let Some(review) = open_review(&engine) {
        actions.extend(reviews(session, &engine, &review, &path, lines));
    }
    actions.extend(turns(&engine));
    actions.into_iter().map(Action::into_lsp).collect()
}

/// Other servers' diagnostics come to us in no other way.
fn hear(engine: &Engine, path: &RelPath, uri: &str, params: &CodeActionParams) {
    let Some(document) = engine.documents().get(uri) else { return };
    let found = params.context.diagnostics.iter().filter_map(|found| from_proto::diagnostic(path, found));
    engine.findings().note(path, document.version, from_proto::lines(&params.range), found);
}

/// `refactor` covers `refactor.krins`.
fn covers(kind: &str) -> bool {
    kind.is_empty() || KIND == kind || KIND.strip_prefix(kind).is_some_and(|rest| rest.starts_with('.'))
}

/// A title, a command and its one argument.
struct Action {
    title: String,
    command: &'static str,
    argument: Value,
}

impl Action {
    fn new(title: impl Into<String>, command: &'static str, argument: Value) -> Self {
        Self { title: title.into(), command, argument }
    }

    fn into_lsp(self) -> CodeActionOrCommand {
        let command = Command {
            title: self.title.clone(),
            command: self.command.to_owned(),
            arguments: Some(vec![self.argument]),
        };
        CodeActionOrCommand::CodeAction(CodeAction {
            title: self.title,
            kind: Some(CodeActionKind::from(KIND)),
            command: Some(command),
            ..CodeAction::default()
        })
    }
}

/// A task in a comment on the lines, what needs no words, and what came to nothing.
fn asks(engine: &Engine, path: &RelPath, uri: &str, range: &Range) -> Vec<Action> {
    let text = engine.snapshot().text(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let (first, last) = (range.start.line as usize, range.end.line as usize);
    let looked_at = lines.iter().enumerate().skip(first).take(last.saturating_sub(first).min(MOST_LOOKED_AT) + 1);
    let mut actions: Vec<Action> = looked_at
        .filter_map(|(at, line)| Some((at, comment::intent(line)?)))
        .map(|(at, intent)| {
            let mut argument = ask(intent, uri);
            argument["selection"] = if is_of_one_line(range) { about(&lines, at) } else { json!(range) };
            Action::new(format!("Krins: {}", short(intent)), "krins.assign", argument)
        })
        .collect();
    if engine.backend().is_builtin() && Language::of(path).is_some() {
        actions.push(Action::new(
            "Krins: remove unused imports",
            "krins.assign",
            ask("remove unused imports in this file", uri),
        ));
    }
    if let Some(task) = engine.tasks().newest(|_| true).filter(|task| task.state == TaskState::Failed) {
        let title = format!("Krins: ask again “{}”", short(&task.intent));
        actions.push(Action::new(title, "krins.assign", ask(&task.intent, uri)));
    }
    actions
}

fn ask(intent: &str, uri: &str) -> Value {
    json!({"intent": intent, "textDocument": {"uri": uri}})
}

/// A cursor, or the comment itself: there is an editor whose cursor is one character wide, and a selected line ends where the next
/// one begins.
fn is_of_one_line(range: &Range) -> bool {
    let end = range.end.line.saturating_sub(u32::from(range.end.character == 0));
    end <= range.start.line
}

/// Whole lines: the comment at a line, and what follows it up to the next empty line.
fn about(lines: &[&str], at: usize) -> Value {
    let behind = lines.iter().skip(at + 1).take(MOST_MEANT).take_while(|line| !line.trim().is_empty()).count();
    json!({"start": {"line": at, "character": 0}, "end": {"line": at + 1 + behind, "character": 0}})
}

fn running(engine: &Engine) -> Vec<Action> {
    let running = engine.tasks().running_here();
    running
        .iter()
        .map(|task| Action::new(format!("Krins: cancel “{}”", short(&task.intent)), "krins.cancel", named(task)))
        .collect()
}

fn reviews(session: &Session, engine: &Engine, review: &Review, path: &RelPath, lines: [u32; 2]) -> Vec<Action> {
    let task = &review.task;
    let hunks = waiting::hunks(review);
    let mut actions = match task.state {
        TaskState::Blocked => blocked(engine, review, &hunks, path, lines),
        _ => decisions(session, engine, task, &hunks, path, lines),
    };
    actions.push(Action::new("Krins: show the diff", "krins.showDiff", named(task)));
    let discard = if task.state == TaskState::Applied { "leave the rest out" } else { "discard the change" };
    actions.push(Action::new(format!("Krins: {discard}"), "krins.discard", named(task)));
    actions
}

/// What can be done with hunks that the gate lets pass.
fn decisions(
    session: &Session,
    engine: &Engine,
    task: &Task,
    hunks: &[Waiting<'_>],
    path: &RelPath,
    lines: [u32; 2],
) -> Vec<Action> {
    let mut actions = Vec::new();
    let here = || hunks.iter().filter(|one| one.file.path == *path);
    let moved = here().next().map(|one| Moved::of(engine, one.file));
    for one in here().filter(|one| moved.as_ref().is_some_and(|moved| one.touches(moved, lines))) {
        let id = &one.hunk.id;
        actions.push(Action::new(format!("Krins: apply only this hunk ({id})"), "krins.apply", part(task, [id])));
        let (title, verdict) =
            if one.is_rejected() { ("take back the rejection of", "open") } else { ("reject", "reject") };
        let argument = json!({"task": task.id, "hunk": id, "verdict": verdict});
        actions.push(Action::new(format!("Krins: {title} this hunk ({id})"), "krins.review", argument));
    }
    let taken = || hunks.iter().filter(|one| !one.is_rejected());
    if taken().next().is_some() {
        let what = if task.state == TaskState::Applied { "the rest" } else { "the change" };
        let argument = match task.state {
            TaskState::Applied => part(task, taken().map(|one| &one.hunk.id)),
            _ => named(task),
        };
        actions.push(Action::new(format!("Krins: apply {what} ({})", waiting::size(taken())), "krins.apply", argument));
    }
    let Some(conflicts) = session.conflicts.of(&task.id) else { return actions };
    let in_the_way: BTreeSet<&String> = conflicts.places.iter().flat_map(|place| &place.hunks).collect();
    let others = || taken().filter(|one| !in_the_way.contains(&one.hunk.id));
    if others().next().is_some() {
        let title = format!("Krins: apply what has no conflict ({})", waiting::size(others()));
        actions.push(Action::new(title, "krins.apply", part(task, others().map(|one| &one.hunk.id))));
    }
    let mut markers = part(task, taken().map(|one| &one.hunk.id));
    markers["onConflict"] = json!("markers");
    actions.push(Action::new("Krins: apply with conflict markers", "krins.apply", markers));
    actions
}

/// The ways on from a change that the gate blocks.
fn blocked(
    engine: &Engine,
    review: &Review,
    hunks: &[Waiting<'_>],
    path: &RelPath,
    [first, last]: [u32; 2],
) -> Vec<Action> {
    let task = &review.task;
    let findings = || task.report.iter().flat_map(|report| &report.findings);
    let blocks = || findings().filter(|finding| finding.verdict == Verdict::Block);
    let mut actions = Vec::new();
    let model = task.answered.as_ref().is_some_and(|answered| !answered.route.starts_with("builtin/"));
    if model && task.locked.is_empty() {
        actions.push(Action::new("Krins: ask again with what the gate found", "krins.fix", named(task)));
    }
    actions.push(Action::new("Krins: show what the gate found", "krins.task", named(task)));
    // A guess by the files: the part is judged by itself before it is applied.
    let held: BTreeSet<&RelPath> = blocks().map(|finding| &finding.path).collect();
    let free = || hunks.iter().filter(|one| !one.is_rejected() && !held.contains(&one.file.path));
    if free().next().is_some() && engine.no_objection(review).is_ok() {
        let title = format!("Krins: apply what nothing is held against ({})", waiting::size(free()));
        actions.push(Action::new(title, "krins.apply", part(task, free().map(|one| &one.hunk.id))));
    }
    let here = |finding: &&Finding| {
        let [from, to] = finding.lines.unwrap_or([1, 1]).map(|line| line.saturating_sub(1));
        finding.path == *path && from <= last && first <= to
    };
    let rules: BTreeSet<&String> = blocks().filter(here).map(|finding| &finding.rule).collect();
    for rule in rules {
        let argument = json!({"task": task.id, "rule": rule, "path": path.as_str()});
        actions.push(Action::new(format!("Krins: put up with {} here …", short(rule)), "krins.waive", argument));
    }
    actions
}

/// Some hunks of a task.
fn part<'a>(task: &Task, hunks: impl IntoIterator<Item = &'a String>) -> Value {
    json!({"task": task.id, "hunks": hunks.into_iter().collect::<Vec<_>>()})
}

/// Undo of the newest applied task, and redo of one that is undone where that is newer still.
fn turns(engine: &Engine) -> Vec<Action> {
    let newest = engine.tasks().newest(|task| matches!(task.state, TaskState::Applied | TaskState::Undone));
    let applied = engine.tasks().newest(|task| task.state == TaskState::Applied);
    let turn = |task: &Task, title: &str, command: &'static str| {
        Action::new(format!("Krins: {title} “{}”", short(&task.intent)), command, json!({"undo": task.id}))
    };
    let redo = newest.filter(|task| task.state == TaskState::Undone).map(|task| turn(&task, "redo", "krins.redo"));
    let undo = applied.map(|task| turn(&task, "undo", "krins.undo"));
    redo.into_iter().chain(undo).collect()
}

fn named(task: &Task) -> Value {
    json!({"task": task.id})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_by_kind_is_a_prefix_by_parts() {
        assert!(covers("") && covers("refactor") && covers("refactor.krins"));
        assert!(!covers("refactor.kr") && !covers("quickfix") && !covers("refactor.krins.x"));
    }

    #[test]
    fn a_comment_is_about_what_follows_it_up_to_the_next_empty_line() {
        let lines = ["// krins: x", "function a() {", "}", "", "other"];
        let line = |at: usize, edge: &str| about(&lines, at)[edge]["line"].clone();
        assert_eq!((line(0, "start"), line(0, "end")), (json!(0), json!(3)));
        assert_eq!((line(4, "start"), line(4, "end")), (json!(4), json!(5)), "the last line");
        assert_eq!(about(&["x"; 500], 0)["end"]["line"], MOST_MEANT + 1, "a file without an empty line");
    }
}
