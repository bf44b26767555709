//! `workspace/executeCommand`: every `krins/x` request as `krins.x`, with one JSON object or `null`.
//!
//! What may take long or needs the client answers at once and goes on behind: some clients do not read while they wait.

use crate::lsp::handlers;
use crate::lsp::session::Session;
use krins_backend::propagation;
use krins_protocol::graph::Question;
use krins_protocol::lsp::ApplyResult;
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

pub async fn run(session: &Arc<Session>, params: ExecuteCommandParams) -> Reply<Option<LSPAny>> {
    // Many clients can say nothing else, so the request's own span tells little.
    let known = COMMANDS.iter().find(|known| **known == params.command);
    let span = tracing::info_span!("krins.command", otel.name = known.copied().unwrap_or("unknown command"));
    carry_out(session, params).instrument(span).await
}

async fn carry_out(session: &Arc<Session>, params: ExecuteCommandParams) -> Reply<Option<LSPAny>> {
    let argument = params.arguments.into_iter().next();
    let name = params.command.as_str();
    match name {
        "krins.assign" => answer(handlers::assign::run(session, read(name, argument)?).await),
        "krins.task" => answer(handlers::task::run(session, read(name, argument)?).await),
        "krins.tasks" => answer(handlers::tasks::run(session, read(name, argument)?).await),
        "krins.waive" => answer(handlers::waive::run(session, read(name, argument)?).await),
        "krins.diff" => answer(handlers::diff::run(session, read(name, argument)?).await),
        "krins.gate" => answer(handlers::gate::run(session, read(name, argument)?).await),
        "krins.cancel" => answer(handlers::cancel::run(session, read(name, argument)?).await),
        "krins.discard" => answer(handlers::cancel::discard(session, read(name, argument)?).await),
        "krins.variant" => answer(handlers::variant::run(session, read(name, argument)?).await),
        "krins.fix" => answer(handlers::fix::run(session, read(name, argument)?).await),
        "krins.preview" => answer(handlers::preview::run(session, read(name, argument)?).await),
        "krins.promote" => answer(handlers::preview::promote(session, read(name, argument)?).await),
        "krins.review" => answer(handlers::review::run(session, read(name, argument)?).await),
        "krins.context" => answer(handlers::context::run(session, read(name, argument)?).await),
        "krins.graph.pause" => answer(handlers::pause::run(session, true, &read(name, argument)?)),
        "krins.graph.resume" => answer(handlers::pause::run(session, false, &read(name, argument)?)),
        "krins.lock" => answer(handlers::lock::lock(session, read(name, argument)?).await),
        "krins.unlock" => answer(handlers::lock::unlock(session, read(name, argument)?).await),
        "krins.locks" => answer(handlers::lock::list(session, read(name, argument)?).await),
        "krins.audit.verify" => answer(handlers::audit::verify(session).await),
        "krins.status" => answer(handlers::status::run(session).await),
        "krins.report" => answer(handlers::report::run(session, read(name, argument)?).await),
        "krins.dashboard" => answer(handlers::report::page(session, read(name, argument)?).await),
        "krins.apply" => {
            let params = read(name, argument)?;
            behind(session, |session| async move { handlers::apply::run(&session, params).await })
        }
        "krins.undo" => {
            let params = read(name, argument)?;
            behind(session, |session| async move { handlers::apply::undo(&session, params).await })
        }
        "krins.redo" => {
            let params = read(name, argument)?;
            behind(session, |session| async move { handlers::apply::redo(&session, params).await })
        }
        "krins.showDiff" => {
            let params = read(name, argument)?;
            let session = session.clone();
            tokio::spawn(async move { crate::lsp::reporter::show_diff(&session, params).await });
            Ok(Some(json!({"started": true})))
        }
        _ if let Some(question) = name.strip_prefix("krins.graph.").and_then(Question::of) => {
            answer(handlers::graph::command(session, question, read(name, argument)?).await)
        }
        _ => Err(Error { code: (-32601).into(), message: format!("unknown command {name:?}").into(), data: None }),
    }
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

/// Runs an apply, undo or redo behind the answer, and says in a message how it ended.
fn behind<F>(session: &Arc<Session>, work: impl FnOnce(Arc<Session>) -> F) -> Reply<Option<LSPAny>>
where
    F: Future<Output = Reply<ApplyResult>> + Send + 'static,
{
    let future = work(session.clone());
    let session = session.clone();
    tokio::spawn(propagation::carry(async move {
        let ended = future.await;
        session.behind_reply().await;
        match ended {
            Ok(result) => session.client.show_message(weight(&result), summary(&result)).await,
            Err(error) => session.client.show_message(MessageType::ERROR, message(&error)).await,
        }
    }));
    Ok(Some(json!({"started": true})))
}

fn weight(result: &ApplyResult) -> MessageType {
    if result.conflicts.is_empty() && result.left_alone.is_empty() { MessageType::INFO } else { MessageType::WARNING }
}

fn summary(result: &ApplyResult) -> String {
    if !result.conflicts.is_empty() {
        let conflicts = counted(result.conflicts.len(), "conflict");
        return format!("Krins: {conflicts}, nothing was written; the files moved on in the same places");
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
        let files: Vec<&str> = result.left_alone.iter().map(|left| left.uri.as_str()).collect();
        said.push_str(&format!("; left alone, because somebody else changed them: {}", files.join(", ")));
    }
    said
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// An error as a person reads it, hint included.
pub fn message(error: &Error) -> String {
    let hint = error.data.as_ref().and_then(|data| data.get("hint")).and_then(Value::as_str);
    match hint {
        Some(hint) => format!("Krins {}. Hint: {hint}", error.message),
        None => format!("Krins {}", error.message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use krins_protocol::lsp::{AppliedFile, LeftAlone, Route};

    #[test]
    fn a_person_is_told_what_was_not_done() {
        let file = AppliedFile { uri: "file:///a".into(), route: Route::Disk, sha256: None };
        let planned = ApplyResult { applied: vec![file.clone(), file], ..ApplyResult::default() };
        assert_eq!(summary(&planned), "Krins: 2 files would change");
        let done = ApplyResult { undo: Some("u".into()), unsaved: vec!["file:///a".into()], ..planned };
        assert_eq!(summary(&done), "Krins: 2 files changed; 1 buffer is unsaved");
        let left = LeftAlone { uri: "file:///b".into(), kept: None };
        let partly = ApplyResult { left_alone: vec![left], ..done };
        assert!(summary(&partly).contains("file:///b") && weight(&partly) == MessageType::WARNING);
        assert_eq!(summary(&ApplyResult::default()), "Krins: nothing to change");
    }
}
