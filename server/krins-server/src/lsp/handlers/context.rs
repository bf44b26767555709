//! `krins/context`: what an assign would send, without sending it.

use crate::from_proto;
use crate::lsp::handlers::failure;
use crate::lsp::session::Session;
use crate::to_proto;
use krins_engine::Error;
use krins_protocol::lsp::{AssignParams, ContextResult};
use std::sync::Arc;
use tower_lsp::jsonrpc::Result as Reply;

pub async fn run(session: &Arc<Session>, params: AssignParams) -> Reply<ContextResult> {
    choose(session, params).await.map_err(|error| failure(&error))
}

async fn choose(session: &Arc<Session>, params: AssignParams) -> Result<ContextResult, Error> {
    let engine = session.engine(params.text_document.as_ref().map(|document| document.uri.as_str()))?;
    let intent = from_proto::intent(&engine, &params)?;
    let chosen = engine.context(&intent).await?;
    Ok(to_proto::context(engine.root(), &chosen))
}
