//! `textDocument/codeAction`: the review UI that works in every client. Commands only, nothing to resolve.

use crate::from_proto;
use crate::lsp::comment;
use crate::lsp::handlers::initialize::KIND;
use crate::lsp::handlers::short;
use crate::lsp::session::Session;
use krins_core::syntax::Language;
use krins_core::{RelPath, Tree as _};
use krins_engine::Engine;
use krins_engine::engine::Review;
use krins_engine::tasks::{HunkVerdict, Task, TaskState};
use serde_json::{Value, json};
use std::sync::Arc;
use tower_lsp::ls_types::{CodeAction, CodeActionKind, CodeActionOrCommand, CodeActionParams, Command};

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
    let mut actions = asks(&engine, &path, uri, lines);
    actions.extend(running(&engine));
    if let Some(review) = open_review(&engine) {
        actions.extend(reviews(&review, &path, lines));
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

/// A task in a comment on the lines, and what needs no words.
fn asks(engine: &Engine, path: &RelPath, uri: &str, [first, last]: [u32; 2]) -> Vec<Action> {
    let text = engine.snapshot().text(path).unwrap_or_default();
    let lines = text.lines().skip(first as usize).take((last.saturating_sub(first) as usize).min(200) + 1);
    let mut actions: Vec<Action> = lines
        .filter_map(comment::intent)
        .map(|intent| Action::new(format!("Krins: {}", short(intent)), "krins.assign", ask(intent, uri)))
        .collect();
    if engine.backend().is_builtin() && Language::of(path).is_some() {
        actions.push(Action::new(
            "Krins: remove unused imports",
            "krins.assign",
            ask("remove unused imports in this file", uri),
        ));
    }
    actions
}

fn ask(intent: &str, uri: &str) -> Value {
    json!({"intent": intent, "textDocument": {"uri": uri}})
}

fn running(engine: &Engine) -> Vec<Action> {
    let running = engine.tasks().running_here();
    running
        .iter()
        .map(|task| Action::new(format!("Krins: cancel “{}”", short(&task.intent)), "krins.cancel", named(task)))
        .collect()
}

/// The newest task, when it waits for a verdict.
pub fn open_review(engine: &Engine) -> Option<Review> {
    let newest = engine.tasks().newest(|task| !task.state.is_running())?;
    matches!(newest.state, TaskState::Ready | TaskState::Blocked)
        .then(|| engine.review(Some(&newest.id)).ok())
        .flatten()
}

fn reviews(review: &Review, path: &RelPath, [first, last]: [u32; 2]) -> Vec<Action> {
    let (task, patch) = (&review.task, &review.patch);
    let mut actions = Vec::new();
    let ready = task.state == TaskState::Ready;
    let here = patch.files().iter().filter(|file| file.path == *path).flat_map(|file| &file.hunks);
    let touched = here.filter(|hunk| ready && hunk.before[0] <= last && first < hunk.before[1].max(hunk.before[0] + 1));
    for hunk in touched {
        let one = json!({"task": task.id, "hunks": [hunk.id]});
        actions.push(Action::new(format!("Krins: apply only this hunk ({})", hunk.id), "krins.apply", one));
        let (title, verdict) = match task.verdicts.get(&hunk.id) {
            Some(HunkVerdict::Reject) => ("take back the rejection of", "open"),
            _ => ("reject", "reject"),
        };
        let argument = json!({"task": task.id, "hunk": hunk.id, "verdict": verdict});
        actions.push(Action::new(format!("Krins: {title} this hunk ({})", hunk.id), "krins.review", argument));
    }
    if ready {
        let (hunks, files) = (patch.files().iter().map(|file| file.hunks.len()).sum::<usize>(), patch.files().len());
        actions.push(Action::new(
            format!("Krins: apply the change ({hunks} hunks in {files} files)"),
            "krins.apply",
            named(task),
        ));
    }
    actions.push(Action::new("Krins: show the diff", "krins.showDiff", named(task)));
    actions.push(Action::new("Krins: discard the change", "krins.discard", named(task)));
    actions
}

/// Undo of the newest applied task, redo of the newest undone one.
fn turns(engine: &Engine) -> Vec<Action> {
    let newest = engine.tasks().newest(|task| matches!(task.state, TaskState::Applied | TaskState::Undone));
    let Some(task) = newest else { return Vec::new() };
    let (title, command) = match task.state {
        TaskState::Applied => ("undo", "krins.undo"),
        _ => ("redo", "krins.redo"),
    };
    vec![Action::new(format!("Krins: {title} “{}”", short(&task.intent)), command, json!({"undo": task.undo}))]
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
}
