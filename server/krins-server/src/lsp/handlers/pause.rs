//! `krins/graph/pause` and `krins/graph/resume`: whether the code graph is kept up to date in the background. Questions
//! are answered all the same, and read what they need.

use crate::lsp::handlers::failure;
use crate::lsp::session::Session;
use crate::to_proto;
use krins_protocol::lsp::{IndexParams, IndexResult};
use std::sync::Arc;
use tower_lsp::jsonrpc::Result as Reply;

pub fn run(session: &Arc<Session>, pause: bool, params: &IndexParams) -> Reply<IndexResult> {
    let engines = match &params.uri {
        None => session.pause(pause),
        Some(uri) => {
            let engine = session.engine(Some(uri)).map_err(|error| failure(&error))?;
            engine.index().pause(pause);
            vec![engine]
        }
    };
    Ok(IndexResult { index: engines.iter().map(|engine| to_proto::index(engine.index())).collect() })
}
