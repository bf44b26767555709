//! `krins/review`: accept or reject one hunk.

use crate::lsp::handlers::failure;
use crate::lsp::session::Session;
use crate::to_proto;
use krins_protocol::lsp::{DiffResult, ReviewParams};
use std::sync::Arc;
use tower_lsp::jsonrpc::Result as Reply;

pub async fn run(session: &Arc<Session>, params: ReviewParams) -> Reply<DiffResult> {
    let task = params.task.as_deref();
    let reviewed = session.engine_of_task(task).and_then(|engine| {
        let review = engine.judge_hunk(task, &params.hunk, params.verdict)?;
        to_proto::diff(&engine, &review)
    });
    reviewed.map_err(|error| failure(&error))
}
