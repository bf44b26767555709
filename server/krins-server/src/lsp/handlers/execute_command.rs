//! `workspace/executeCommand`: every `krins/x` request as `krins.x`, with one JSON object or `null`.
//!
//! What may take long or needs the client answers at once and goes on behind: some clients do not read while they wait.

use crate::lsp::handlers::waive::Pointed;
use crate::lsp::readable::{Name, Readable};
use crate::lsp::session::Session;
use crate::lsp::{handlers, readable, shown, waiting};
use crate::words::counted;
use futures::future::poll_immediate;
use krins_backend::propagation;
use krins_engine::engine::state_name;
use krins_protocol::graph::Question;
use krins_protocol::lsp::{
    ApplyParams, ApplyResult, Assigned, ConflictReport, ReviewParams, StateResult, TaskParams, TaskState, UnlockParams,
    VariantParams,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;
use tower_lsp::jsonrpc::{Error, Result as Reply};
use tower_lsp::ls_types::{ExecuteCommandParams, LSPAny, MessageType};
use tracing::Instrument as _;

/// Every command. Those that are meant for a person come first: some clients list them as they are.
pub const COMMANDS: &[&str] = &[
    "krins.assign",
    "krins.apply",
    "krins.undo",
    "krins.redo",
    "krins.cancel",
    "krins.discard",
    "krins.fix",
    "krins.preview",
    "krins.promote",
    "krins.diff",
    "krins.showDiff",
    "krins.review",
    "krins.variant",
    "krins.gate",
    "krins.context",
    "krins.graph.impact",
    "krins.graph.references",
    "krins.graph.tests",
    "krins.graph.owners",
    "krins.graph.module",
    "krins.graph.path",
    "krins.graph.unused",
    "krins.graph.cycles",
    "krins.graph.stats",
    "krins.lock",
    "krins.unlock",
    "krins.locks",
    "krins.graph.pause",
    "krins.graph.resume",
    "krins.task",
    "krins.tasks",
    "krins.waive",
    "krins.audit.verify",
    "krins.status",
    "krins.report",
    "krins.dashboard",
];

/// Commands that are about the change that is shown, where no task is named.
const OF_THE_SHOWN: &[&str] = &[
    "krins.apply",
    "krins.diff",
    "krins.discard",
    "krins.fix",
    "krins.gate",
    "krins.preview",
    "krins.promote",
    "krins.review",
    "krins.showDiff",
    "krins.variant",
    "krins.waive",
];

pub async fn run(session: &Arc<Session>, mut params: ExecuteCommandParams) -> Reply<Option<LSPAny>> {
    // Many clients can say nothing else, so the request's own span tells little.
    let known = COMMANDS.iter().find(|known| **known == params.command);
    let span = tracing::info_span!("krins.command", otel.name = known.copied().unwrap_or("unknown command"));
    let plain = !session.agreed().plugin;
    if plain && OF_THE_SHOWN.contains(&params.command.as_str()) {
        name_the_shown(session, &mut params.arguments);
    }
    let reply = carry_out(session, params).instrument(span).await;
    if let Some(error) = reply.as_ref().err().filter(|_| plain) {
        shown::failed(session, error);
    }
    reply
}

/// Without a plugin a person decides over what the editor shows. A newer task that came to nothing is not it.
fn name_the_shown(session: &Session, arguments: &mut Vec<Value>) {
    let open = match arguments.first() {
        None | Some(Value::Null) => true,
        Some(Value::Object(argument)) => !argument.contains_key("task") && !argument.contains_key("patch"),
        Some(_) => false,
    };
    let Some(task) = waiting::meant(session).filter(|_| open) else { return };
    let mut argument = arguments.drain(..).next().filter(Value::is_object).unwrap_or_else(|| json!({}));
    argument["task"] = json!(task.id);
    arguments.push(argument);
}

async fn carry_out(session: &Arc<Session>, params: ExecuteCommandParams) -> Reply<Option<LSPAny>> {
    let argument = params.arguments.into_iter().next();
    let name = params.command.as_str();
    match name {
        "krins.assign" => {
            let assigned = handlers::assign::run(session, read(name, argument)?).await;
            told(session, name, assigned, |found, _| known_already(found))
        }
        "krins.task" => {
            let found = handlers::task::run(session, read(name, argument)?).await;
            told(session, name, found, |found, _| Some(readable::task(found)))
        }
        "krins.tasks" => {
            let found = handlers::tasks::run(session, read(name, argument)?).await;
            told(session, name, found, |found, _| Some(readable::tasks(found)))
        }
        "krins.waive" if is_pointed_at(session, argument.as_ref()) => {
            let pointed = read(name, argument)?;
            Ok(behind(session, |session| ask_why(session, pointed)))
        }
        "krins.waive" => {
            let judged = handlers::waive::run(session, read(name, argument)?).await;
            told(session, name, judged, |diff, _| Some(readable::shown(diff, WAIVED)))
        }
        "krins.diff" => {
            let diff = handlers::diff::run(session, read(name, argument)?).await;
            if let Some(diff) = diff.as_ref().ok().filter(|_| !session.agreed().plugin) {
                show_diff(session, TaskParams { task: Some(diff.task.clone()) });
            }
            answer(diff)
        }
        "krins.gate" => {
            let judged = handlers::gate::run(session, read(name, argument)?).await;
            told(session, name, judged, |found, _| Some(readable::gate(&found.report)))
        }
        "krins.cancel" => {
            let ended = handlers::cancel::run(session, read(name, argument)?).await;
            // That a task was cancelled is said by who follows it.
            let late = |found: &StateResult| found.state != TaskState::Cancelled;
            told(session, name, ended, |found, _| {
                late(found).then(|| readable::state(found, "there was nothing to cancel"))
            })
        }
        "krins.discard" => {
            let dropped = handlers::cancel::discard(session, read(name, argument)?).await;
            told(session, name, dropped, |found, _| Some(dropped_as(found)))
        }
        "krins.variant" => {
            let params: VariantParams = read(name, argument)?;
            let said = format!("answer {} is shown", params.variant);
            let diff = handlers::variant::run(session, params).await;
            told(session, name, diff, |diff, _| Some(readable::shown(diff, &said)))
        }
        "krins.fix" => {
            let assigned = handlers::fix::run(session, read(name, argument)?).await;
            told(session, name, assigned, |found, _| known_already(found))
        }
        "krins.preview" => {
            let made = handlers::preview::run(session, read(name, argument)?).await;
            told(session, name, made, |made, _| Some(readable::preview(made)))
        }
        "krins.promote" => {
            let made = handlers::preview::promote(session, read(name, argument)?).await;
            told(session, name, made, |made, _| Some(readable::promoted(made)))
        }
        "krins.review" => {
            let params: ReviewParams = read(name, argument)?;
            let hunk = params.hunk.clone();
            let judged = handlers::review::run(session, params).await;
            told(session, name, judged, |diff, _| Some(readable::reviewed(diff, &hunk)))
        }
        "krins.context" => {
            let found = handlers::context::run(session, read(name, argument)?).await;
            told(session, name, found, |found, place| Some(readable::context(found, place)))
        }
        "krins.graph.pause" | "krins.graph.resume" => {
            let pause = name == "krins.graph.pause";
            let found = handlers::pause::run(session, pause, &read(name, argument)?);
            told(session, name, found, |found, _| Some(readable::paused(found, pause)))
        }
        "krins.lock" => {
            let lock = handlers::lock::lock(session, read(name, argument)?).await;
            told(session, name, lock, |lock, place| Some(readable::lock(lock, place)))
        }
        "krins.unlock" => {
            let params: UnlockParams = read(name, argument)?;
            let said = format!("{} is nobody's", shown::name(session, &params.uri));
            let locks = handlers::lock::unlock(session, params).await;
            told(session, name, locks, |_, _| Some(Readable { said, ..Readable::default() }))
        }
        "krins.locks" => {
            let locks = handlers::lock::list(session, read(name, argument)?).await;
            told(session, name, locks, |locks, place| Some(readable::locks(locks, place)))
        }
        "krins.audit.verify" => {
            let found = handlers::audit::verify(session).await;
            told(session, name, found, |found, _| Some(readable::audit(found)))
        }
        "krins.status" => {
            let found = handlers::status::run(session).await;
            told(session, name, found, |found, _| Some(readable::status(found)))
        }
        "krins.report" => {
            let report = handlers::report::run(session, read(name, argument)?).await;
            told(session, name, report, |report, _| Some(readable::report(report)))
        }
        "krins.dashboard" => {
            let (page, file) =
                handlers::report::pages(session, read(name, argument)?, !session.agreed().plugin).await?;
            if let Some(html) = file {
                shown::page(session, html);
            }
            answer(Ok(page))
        }
        "krins.apply" => {
            let params = read(name, argument)?;
            Ok(begun(apply(session.clone(), params)).await)
        }
        "krins.undo" => {
            let params = read(name, argument)?;
            let session = session.clone();
            let work = async move { tell(&session, handlers::apply::undo(&session, params).await, "").await };
            Ok(begun(work).await)
        }
        "krins.redo" => {
            let params = read(name, argument)?;
            let session = session.clone();
            let work = async move { tell(&session, handlers::apply::redo(&session, params).await, "").await };
            Ok(begun(work).await)
        }
        "krins.showDiff" => {
            show_diff(session, read(name, argument)?);
            Ok(started())
        }
        _ if let Some(question) = name.strip_prefix("krins.graph.").and_then(Question::of) => {
            answer(handlers::graph::command(session, question, read(name, argument)?).await)
        }
        _ => Err(Error { code: (-32601).into(), message: format!("unknown command {name:?}").into(), data: None }),
    }
}

const WAIVED: &str = "the finding is put up with, on record";

/// Whether somebody points at a finding, and can be asked why they put up with it.
fn is_pointed_at(session: &Session, argument: Option<&Value>) -> bool {
    !session.agreed().plugin && argument.is_some_and(|argument| argument.get("reason").is_none())
}

async fn ask_why(session: Arc<Session>, pointed: Pointed) {
    match handlers::waive::ask(&session, pointed).await {
        Ok(Some(diff)) => shown::answer(&session, "waive", readable::shown(&diff, WAIVED)),
        Ok(None) => {
            shown::say(&session, MessageType::INFO, "Krins: no reason was given, and nothing was put up with").await
        }
        Err(error) => shown::failed(&session, &error),
    }
}

/// A task that is new is told of by who follows it.
fn known_already(found: &Assigned) -> Option<Readable> {
    let said = || format!("that task is known already; it is {}", state_name(found.state));
    found.deduplicated.then(|| Readable { said: said(), ..Readable::default() })
}

fn dropped_as(found: &StateResult) -> Readable {
    let said = match found.state {
        TaskState::Applied => "what was left stays out; what was applied stays in",
        _ => "the change was thrown away; nothing was written",
    };
    Readable { said: said.to_owned(), ..Readable::default() }
}

fn show_diff(session: &Arc<Session>, params: TaskParams) {
    let session = session.clone();
    tokio::spawn(async move { shown::diff(&session, params).await });
}

/// A client without a plugin does nothing with an answer, so that it is shown, too.
fn told<T: serde::Serialize>(
    session: &Arc<Session>,
    command: &str,
    result: Reply<T>,
    read: impl FnOnce(&T, Name<'_>) -> Option<Readable>,
) -> Reply<Option<LSPAny>> {
    if let Some(found) = result.as_ref().ok().filter(|_| !session.agreed().plugin) {
        let place = |uri: &str| shown::name(session, uri);
        if let Some(read) = read(found, &place) {
            let stem = command.strip_prefix("krins.").unwrap_or(command).replace('.', "-");
            shown::answer(session, &stem, read);
        }
    }
    answer(result)
}

/// The command's one argument; nothing and `null` mean an empty object.
fn read<P: DeserializeOwned>(command: &str, argument: Option<Value>) -> Reply<P> {
    let argument = argument.filter(|argument| !argument.is_null()).unwrap_or_else(|| json!({}));
    serde_json::from_value(argument).map_err(|error| {
        let hint = match command {
            "krins.assign" => "pass one JSON object, such as {\"intent\": \"rename calculateTotal to orderTotal\"}",
            "krins.report" | "krins.dashboard" => "pass one JSON object, such as {\"period\": \"week\"}, or nothing",
            _ if command.starts_with("krins.graph.") => {
                "pass one JSON object, such as {\"targets\": [\"src/a.ts#name\"]}, or nothing"
            }
            _ => "pass one JSON object, such as {\"task\": \"…\"}, or nothing",
        };
        let error = krins_engine::Error::new(
            krins_engine::ErrorKind::BadParams,
            format!("read the argument of {command}: {error}"),
        )
        .hint(hint);
        handlers::failure(&error)
    })
}

fn answer(result: Reply<impl serde::Serialize>) -> Reply<Option<LSPAny>> {
    let value = serde_json::to_value(result?).map_err(|_| Error::internal_error())?;
    Ok(Some(value))
}

/// Runs what may take long, or needs the client, behind the answer.
fn behind<F>(session: &Arc<Session>, work: impl FnOnce(Arc<Session>) -> F) -> Option<LSPAny>
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(propagation::carry(work(session.clone())));
    started()
}

/// The same, and it has begun before the answer, so that it stands in its queue where it came.
async fn begun(work: impl Future<Output = ()> + Send + 'static) -> Option<LSPAny> {
    let mut work = Box::pin(propagation::carry(work));
    if poll_immediate(&mut work).await.is_none() {
        tokio::spawn(work);
    }
    started()
}

fn started() -> Option<LSPAny> {
    Some(json!({"started": true}))
}

/// Applies, and says in a message what came of it and what is left.
async fn apply(session: Arc<Session>, params: ApplyParams) {
    let (task, dry_run) = (params.task.clone(), params.dry_run);
    let ended = handlers::apply::run(&session, params).await;
    let result = ended.as_ref().ok().filter(|_| !dry_run && !session.agreed().plugin);
    let more = result.map_or(String::new(), |result| what_is_left(&session, task.as_deref(), result));
    tell(&session, ended, &more).await;
}

/// Notes where the files had gone on. Says how it goes on from there, and which change it was, where a newer task came to nothing.
fn what_is_left(session: &Arc<Session>, task: Option<&str>, result: &ApplyResult) -> String {
    let Ok(engine) = session.engine_of_task(task) else { return String::new() };
    let Ok(found) = engine.tasks().find(task) else { return String::new() };
    session.conflicts.note(&found.id, &result.conflicts);
    if !result.conflicts.is_empty() {
        return ". Code actions write markers there, or apply the rest".to_owned();
    }
    let mut said = match found.left_open().count() {
        0 => String::new(),
        left => format!("; {} left, which code actions apply or leave out", counted(left, "hunk")),
    };
    if engine.tasks().newest(|_| true).is_some_and(|newest| newest.id != found.id) {
        said.push_str(&format!(" (“{}”)", handlers::short(&found.intent)));
    }
    said
}

async fn tell(session: &Session, ended: Reply<ApplyResult>, more: &str) {
    let place = |uri: &str| shown::name(session, uri);
    let (kind, text) = match &ended {
        Ok(result) => (weight(result), summary(result, &place) + more),
        Err(error) => (MessageType::ERROR, message(error)),
    };
    shown::say(session, kind, &text).await;
}

fn weight(result: &ApplyResult) -> MessageType {
    let whole = result.conflicts.is_empty() && result.left_alone.is_empty() && result.pending.is_none();
    if whole { MessageType::INFO } else { MessageType::WARNING }
}

/// Places of conflicts that a message names; the rest is counted.
const MOST_NAMED: usize = 3;

fn summary(result: &ApplyResult, place: Name<'_>) -> String {
    if !result.conflicts.is_empty() {
        let conflicts = counted(result.conflicts.len(), "conflict");
        let named = |found: &ConflictReport| {
            let hunks = if found.hunks.is_empty() { String::new() } else { format!(" ({})", found.hunks.join(", ")) };
            format!("{}:{}{hunks}", place(&found.uri), found.range.start.line + 1)
        };
        let named: Vec<String> = result.conflicts.iter().take(MOST_NAMED).map(named).collect();
        let more = if result.conflicts.len() > MOST_NAMED { ", …" } else { "" };
        return format!("Krins: {conflicts}, nothing was written; the files moved on at {}{more}", named.join(", "));
    }
    let mut said = match (result.applied.len(), &result.undo) {
        (0, None) => "Krins: nothing to change".to_owned(),
        // Only a dry run names files and has no undo.
        (files, None) => format!("Krins: {} would change", counted(files, "file")),
        (files, Some(_)) => format!("Krins: {} changed", counted(files, "file")),
    };
    match result.unsaved.len() {
        0 => {}
        1 => said.push_str("; 1 buffer is unsaved"),
        many => said.push_str(&format!("; {many} buffers are unsaved")),
    }
    if !result.left_alone.is_empty() {
        let files: Vec<String> = result.left_alone.iter().map(|left| place(&left.uri)).collect();
        said.push_str(&format!("; left alone, because somebody else changed them: {}", files.join(", ")));
    }
    if let Some(pending) = &result.pending {
        said.push_str(&format!("; the clean-up is pending: {pending}"));
    }
    said
}

/// An error as a person reads it, hint included.
pub fn message(error: &Error) -> String {
    let hint = error.data.as_ref().and_then(|data| data.get("hint")).and_then(Value::as_str);
    let colon = if error.message.starts_with("failed to ") { "" } else { ":" };
    match hint {
        Some(hint) => format!("Krins{colon} {}. Hint: {hint}", error.message),
        None => format!("Krins{colon} {}", error.message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use krins_protocol::lsp::{AppliedFile, LeftAlone, Position, Range, Route};

    #[test]
    fn a_person_is_told_what_was_not_done() {
        let place = |uri: &str| uri.trim_start_matches("file:///").to_owned();
        let summary = |result: &ApplyResult| summary(result, &place);
        let file = AppliedFile { uri: "file:///a".into(), route: Route::Disk, sha256: None };
        let planned = ApplyResult { applied: vec![file.clone(), file], ..ApplyResult::default() };
        assert_eq!(summary(&planned), "Krins: 2 files would change");
        let done = ApplyResult { undo: Some("u".into()), unsaved: vec!["file:///a".into()], ..planned };
        assert_eq!(summary(&done), "Krins: 2 files changed; 1 buffer is unsaved");
        let left = LeftAlone { uri: "file:///b".into(), kept: None };
        let partly = ApplyResult { left_alone: vec![left], ..done };
        assert!(summary(&partly).ends_with("changed them: b") && weight(&partly) == MessageType::WARNING);
        let pending = ApplyResult { pending: Some("the log".into()), left_alone: vec![], ..partly };
        assert!(summary(&pending).ends_with("the clean-up is pending: the log"));
        assert_eq!(weight(&pending), MessageType::WARNING);
        assert_eq!(summary(&ApplyResult::default()), "Krins: nothing to change");
    }

    #[test]
    fn conflicts_are_named_by_place_and_hunk() {
        let at = |line| Position { line, character: 0 };
        let found = |line, hunk: &str| ConflictReport {
            uri: "file:///src/a.ts".into(),
            range: Range { start: at(line), end: at(line + 1) },
            hunks: vec![hunk.into()],
            ours: String::new(),
            theirs: String::new(),
            base: String::new(),
        };
        let place = |uri: &str| uri.trim_start_matches("file:///").to_owned();
        let conflicts = vec![found(3, "h1"), found(9, "h2"), found(11, "h3"), found(20, "h4")];
        let said = summary(&ApplyResult { conflicts, ..ApplyResult::default() }, &place);
        assert!(said.starts_with("Krins: 4 conflicts, nothing was written;"), "{said}");
        assert!(said.ends_with("src/a.ts:4 (h1), src/a.ts:10 (h2), src/a.ts:12 (h3), …"), "{said}");
    }
}
