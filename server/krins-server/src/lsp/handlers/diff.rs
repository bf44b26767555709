//! `krins/diff`.

use crate::lsp::handlers::failure;
use crate::lsp::session::Session;
use crate::to_proto;
use krins_engine::Error;
use krins_protocol::lsp::{DiffParams, DiffResult};
use std::sync::Arc;
use tower_lsp::jsonrpc::Result as Reply;

pub async fn run(session: &Arc<Session>, params: DiffParams) -> Reply<DiffResult> {
    find(session, params).await.map_err(|error| failure(&error))
}

async fn find(session: &Arc<Session>, params: DiffParams) -> Result<DiffResult, Error> {
    let task = params.task.as_deref();
    let engine = session.engine_of_task(task)?;
    let id = engine.tasks().find(task)?.id;
    if params.wait {
        engine.tasks().settled(&id).await?;
    }
    let review = engine.review(Some(&id))?;
    to_proto::diff(&engine, &review)
}
