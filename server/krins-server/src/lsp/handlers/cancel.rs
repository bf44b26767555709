//! `krins/cancel`, `krins/discard`, and the progress bar's cancel. After the answer nothing more is written.

use crate::lsp::handlers::failure;
use crate::lsp::session::Session;
use crate::lsp::waiting;
use krins_engine::engine::Judgement;
use krins_engine::tasks::{Task, TaskState};
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
    let discarded = drop_change(session, params.task.as_deref()).await;
    discarded.map(state).map_err(|error| failure(&error))
}

/// What an apply of some hunks left out is rejected, and what was applied stays.
async fn drop_change(session: &Arc<Session>, task: Option<&str>) -> Result<Task, Error> {
    let engine = session.engine_of_task(task)?;
    let found = engine.tasks().find(task)?;
    let left: Vec<String> = waiting::left(&found).cloned().collect();
    if found.state != TaskState::Applied || left.is_empty() {
        // Git is asked about the task's preview.
        let discarded = tokio::task::spawn_blocking(move || engine.discard(Some(&found.id))).await;
        return discarded.unwrap_or_else(|error| Err(Error::new(ErrorKind::Internal, format!("discard: {error}"))));
    }
    for hunk in &left {
        engine.judge_hunk(Some(&found.id), hunk, Judgement::Reject).await?;
    }
    engine.tasks().get(&found.id)
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

fn running(session: &Arc<Session>) -> Result<Engine, Error> {
    match session.engines().into_iter().find(|engine| engine.running() > 0) {
        Some(engine) => Ok(engine),
        None => session.engine(None),
    }
}

fn state(task: Task) -> StateResult {
    StateResult { task: task.id, state: task.state }
}
