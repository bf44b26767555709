//! `krins/preview`, `krins/promote`: a task's change in a worktree, and as a branch of its own.

use crate::lsp::handlers::failure;
use crate::lsp::session::Session;
use krins_engine::{Engine, Error, ErrorKind};
use krins_protocol::lsp::{PreviewResult, PromoteResult, TaskParams};
use std::sync::Arc;
use tower_lsp::jsonrpc::Result as Reply;

pub async fn run(session: &Arc<Session>, params: TaskParams) -> Reply<PreviewResult> {
    let made = behind(session, params, |engine, task| engine.preview(task)).await?;
    Ok(PreviewResult { branch: made.branch, worktree: made.worktree.display().to_string(), url: None })
}

pub async fn promote(session: &Arc<Session>, params: TaskParams) -> Reply<PromoteResult> {
    let promoted = behind(session, params, |engine, task| engine.promote(task)).await?;
    let kept = promoted.kept.map(|dir| dir.display().to_string());
    Ok(PromoteResult { branch: promoted.branch, commit: promoted.commit, kept })
}

/// Git is waited for on the blocking pool.
async fn behind<T: Send + 'static>(
    session: &Arc<Session>,
    params: TaskParams,
    work: impl FnOnce(&Engine, Option<&str>) -> Result<T, Error> + Send + 'static,
) -> Reply<T> {
    let engine = session.engine_of_task(params.task.as_deref()).map_err(|error| failure(&error))?;
    let done = tokio::task::spawn_blocking(move || work(&engine, params.task.as_deref())).await;
    let done = done.unwrap_or_else(|error| Err(Error::new(ErrorKind::Internal, format!("run git: {error}"))));
    done.map_err(|error| failure(&error))
}
