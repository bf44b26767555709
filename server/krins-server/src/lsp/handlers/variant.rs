//! `krins/variant`: shows another of a task's answers.

use crate::lsp::handlers::failure;
use crate::lsp::session::Session;
use crate::to_proto;
use krins_engine::Error;
use krins_protocol::lsp::{DiffResult, VariantParams};
use std::sync::Arc;
use tower_lsp::jsonrpc::Result as Reply;

pub async fn run(session: &Arc<Session>, params: VariantParams) -> Reply<DiffResult> {
    select(session, &params).map_err(|error| failure(&error))
}

fn select(session: &Arc<Session>, params: &VariantParams) -> Result<DiffResult, Error> {
    let task = params.task.as_deref();
    let engine = session.engine_of_task(task)?;
    to_proto::diff(&engine, &engine.select(task, params.variant)?)
}
