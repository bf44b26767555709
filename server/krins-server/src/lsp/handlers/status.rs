//! `krins/status`.

use crate::lsp::handlers::failure;
use crate::lsp::session::Session;
use crate::to_proto;
use krins_backend::money::Day;
use krins_engine::Engine;
use krins_protocol::lsp::{BudgetUse, StatusResult};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
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
        figures: to_proto::figures(&status),
        level: status.level.name().to_owned(),
        switched_off: status.off.into_iter().collect(),
        spent: spent(&engine).await,
    })
}

/// A remote backend keeps its own books; books that cannot be read are no reason to keep the rest back.
async fn spent(engine: &Engine) -> Option<BudgetUse> {
    let books = engine.backend().books()?;
    let limits = &engine.settings().money.limits;
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let day = Day::of_millis(i64::try_from(millis).unwrap_or(i64::MAX));
    let today =
        books.spent_on(day).await.inspect_err(|error| tracing::debug!(%error, "the ledger could not be read")).ok()?;
    Some(BudgetUse { today, per_day: limits.day, per_task: limits.task })
}
