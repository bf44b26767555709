//! `krins/report` and `krins/dashboard`: the figures, and the page that shows them.

use crate::dashboard::{Home, document};
use crate::lsp::handlers::failure;
use crate::lsp::session::Session;
use krins_protocol::report::{DashboardParams, DashboardResult, Report, ReportParams};
use std::sync::Arc;
use tower_lsp::jsonrpc::Result as Reply;

pub async fn run(session: &Arc<Session>, params: ReportParams) -> Reply<Report> {
    let engine = session.engine(params.uri.as_deref()).map_err(|error| failure(&error))?;
    engine.report(params.period).await.map_err(|error| failure(&error))
}

pub async fn page(session: &Arc<Session>, params: DashboardParams) -> Reply<DashboardResult> {
    pages(session, params, false).await.map(|(page, _)| page)
}

/// The page, and where it is wanted the same figures as a file of its own, which asks nobody for them.
pub async fn pages(
    session: &Arc<Session>,
    params: DashboardParams,
    file: bool,
) -> Reply<(DashboardResult, Option<String>)> {
    let report = run(session, ReportParams { period: params.period, uri: params.uri }).await?;
    let page = |home| document(&report, home).map(|(html, _)| html).map_err(|error| failure(&error));
    Ok((DashboardResult { html: page(Home::Editor)? }, file.then(|| page(Home::File)).transpose()?))
}
