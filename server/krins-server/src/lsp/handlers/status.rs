//! `krins/status`.

use crate::lsp::handlers::failure;
use crate::lsp::session::Session;
use crate::to_proto;
use krins_protocol::lsp::StatusResult;
use std::sync::Arc;
use tower_lsp::jsonrpc::Result as Reply;

pub async fn run(session: &Arc<Session>) -> Reply<StatusResult> {
    let engine = session.engine(None).map_err(|error| failure(&error))?;
    let route = engine.backend().route();
    let (provider, model) = route.split_once('/').unwrap_or((&route, ""));
    let (cache_hits, cache_misses) = engine.backend().cache_counts();
    let status = engine.backend().status();
    Ok(StatusResult {
        version: env!("CARGO_PKG_VERSION").into(),
        provider: provider.to_owned(),
        model: model.to_owned(),
        running: engine.running() as u32,
        cache_hits,
        cache_misses,
        index: to_proto::index(engine.index()),
        routes: status.routes.iter().map(to_proto::model_route).collect(),
        level: status.level.name().to_owned(),
        switched_off: status.off.into_iter().collect(),
    })
}
