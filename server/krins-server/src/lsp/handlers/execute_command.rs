//! `workspace/executeCommand`: every `krins/x` request as `krins.x`, with one JSON object or `null`.
//!
//! What may take long or needs the client answers at once and goes on behind: some clients do not read while they wait.

use crate::lsp::handlers;
use crate::lsp::session::Session;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;
use tower_lsp::jsonrpc::{Error, Result as Reply};
use tower_lsp::ls_types::{ExecuteCommandParams, LSPAny, MessageType};

/// Every command. Those that are meant for a person come first: some clients list them as they are.
pub const COMMANDS: &[&str] = &[
    "krins.assign",
    "krins.apply",
    "krins.undo",
    "krins.redo",
    "krins.cancel",
    "krins.discard",
    "krins.diff",
    "krins.showDiff",
    "krins.review",
    "krins.context",
    "krins.task",
    "krins.status",
];

pub async fn run(session: &Arc<Session>, params: ExecuteCommandParams) -> Reply<Option<LSPAny>> {
    let argument = params.arguments.into_iter().next();
    let name = params.command.as_str();
    match name {
        "krins.assign" => answer(handlers::assign::run(session, read(name, argument)?).await),
        "krins.task" => answer(handlers::task::run(session, read(name, argument)?).await),
        "krins.diff" => answer(handlers::diff::run(session, read(name, argument)?).await),
        "krins.cancel" => answer(handlers::cancel::run(session, read(name, argument)?).await),
        "krins.discard" => answer(handlers::cancel::discard(session, read(name, argument)?).await),
        "krins.review" => answer(handlers::review::run(session, read(name, argument)?).await),
        "krins.context" => answer(handlers::context::run(session, read(name, argument)?).await),
        "krins.status" => answer(handlers::status::run(session).await),
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
        _ => Err(Error { code: (-32601).into(), message: format!("unknown command {name:?}").into(), data: None }),
    }
}

/// The command's one argument; nothing and `null` mean an empty object.
fn read<P: DeserializeOwned>(command: &str, argument: Option<Value>) -> Reply<P> {
    let argument = argument.filter(|argument| !argument.is_null()).unwrap_or_else(|| json!({}));
    serde_json::from_value(argument).map_err(|error| {
        let hint = match command {
            "krins.assign" => "pass one JSON object, such as {\"intent\": \"rename calculateTotal to orderTotal\"}",
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
    F: Future<Output = Reply<krins_protocol::lsp::ApplyResult>> + Send + 'static,
{
    let future = work(session.clone());
    let session = session.clone();
    tokio::spawn(async move {
        match future.await {
            Ok(result) => session.client.show_message(MessageType::INFO, summary(&result)).await,
            Err(error) => session.client.show_message(MessageType::ERROR, message(&error)).await,
        }
    });
    Ok(Some(json!({"started": true})))
}

fn summary(result: &krins_protocol::lsp::ApplyResult) -> String {
    let files = result.applied.len();
    let conflicts = result.conflicts.len();
    if conflicts > 0 {
        return format!("Krins: {conflicts} conflicts, nothing was written; the files moved on in the same places");
    }
    let unsaved = match result.unsaved.len() {
        0 => String::new(),
        1 => "; 1 buffer is unsaved".to_owned(),
        many => format!("; {many} buffers are unsaved"),
    };
    match files {
        0 => "Krins: nothing to change".to_owned(),
        1 => format!("Krins: 1 file changed{unsaved}"),
        many => format!("Krins: {many} files changed{unsaved}"),
    }
}

/// An error as a person reads it, hint included.
pub fn message(error: &Error) -> String {
    let hint = error.data.as_ref().and_then(|data| data.get("hint")).and_then(Value::as_str);
    match hint {
        Some(hint) => format!("Krins {}. Hint: {hint}", error.message),
        None => format!("Krins {}", error.message),
    }
}
