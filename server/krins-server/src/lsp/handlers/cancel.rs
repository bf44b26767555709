//! `krins/cancel`, `krins/discard`, and the progress bar's cancel. After the answer nothing more is written.

use crate::lsp::handlers::failure;
use crate::lsp::session::Session;
use krins_engine::tasks::Task;
use krins_engine::{Engine, Error, ErrorKind};
use krins_protocol::lsp::{StateResult, TaskParams};
use std::sync::Arc;
use tower_lsp::jsonrpc::Result as Reply;
use tower_lsp::ls_types::ProgressToken;

pub async fn run(session: &Arc<Session>, params: TaskParams) -> Reply<StateResult> {
    let engine = match params.task.as_deref() {
        Some(task) => session.engine_of_task(Some(task)),
        None => running(session),
    };
    let engine = engine.map_err(|error| failure(&error))?;
    let cancelled = engine.cancel(params.task.as_deref()).await;
    cancelled.map(state).map_err(|error| failure(&error))
}

pub async fn discard(session: &Arc<Session>, params: TaskParams) -> Reply<StateResult> {
    let task = params.task;
    let engine = session.engine_of_task(task.as_deref()).map_err(|error| failure(&error))?;
    // Git is asked about the task's preview.
    let discarded = tokio::task::spawn_blocking(move || engine.discard(task.as_deref())).await;
    let discarded = discarded.unwrap_or_else(|error| Err(Error::new(ErrorKind::Internal, format!("discard: {error}"))));
    discarded.map(state).map_err(|error| failure(&error))
}

pub fn by_token(session: &Arc<Session>, token: &ProgressToken) {
    let task = session.task_of_token(token).or_else(|| match token {
        ProgressToken::String(text) => text.strip_prefix("krins-").map(str::to_owned),
        ProgressToken::Number(_) => None,
    });
    let Some(task) = task else { return };
    // On the reader, which waits for no folder to open: what runs is open.
    let Some(engine) = session.open_engine_of(&task) else { return };
    if let Err(error) = engine.tasks().cancel(&task) {
        tracing::debug!(%error, "nothing to cancel");
    }
}

/// The engine with the newest task that runs.
fn running(session: &Arc<Session>) -> Result<Engine, Error> {
    let newest = |engine: &Engine| engine.tasks().running_here().into_iter().map(|task| (task.created, task.id)).max();
    let running = session.engines().into_iter().filter_map(|engine| Some((newest(&engine)?, engine)));
    match running.max_by(|(one, _), (other, _)| one.cmp(other)) {
        Some((_, engine)) => Ok(engine),
        None => session.engine(None),
    }
}

fn state(task: Task) -> StateResult {
    StateResult { task: task.id, state: task.state }
}
