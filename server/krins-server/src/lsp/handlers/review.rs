//! `krins/review`: accept, reject or edit one hunk.

use crate::lsp::handlers::apply::{place, queued};
use crate::lsp::handlers::failure;
use crate::lsp::session::Session;
use crate::{from_proto, to_proto};
use krins_engine::Error;
use krins_protocol::lsp::{DiffResult, ReviewParams};
use std::sync::Arc;
use tower_lsp::jsonrpc::Result as Reply;

pub async fn run(session: &Arc<Session>, params: ReviewParams) -> Reply<DiffResult> {
    review(session, params).await.map_err(|error| failure(&error))
}

async fn review(session: &Arc<Session>, params: ReviewParams) -> Result<DiffResult, Error> {
    // An apply that came before takes the hunks as they were then.
    let turn = place(session).await;
    let task = params.task.as_deref();
    let judgement = from_proto::judgement(params.verdict, params.text)?;
    let engine = session.engine_of_task(task)?;
    to_proto::diff(&engine, &queued(turn, engine.judge_hunk(task, &params.hunk, judgement)).await?)
}
