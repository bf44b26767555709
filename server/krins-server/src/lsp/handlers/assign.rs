//! `krins/assign`: answers at once; the work goes on behind it.

use crate::from_proto;
use crate::lsp::handlers::failure;
use crate::lsp::session::Session;
use krins_backend::propagation;
use krins_protocol::lsp::{AssignParams, Assigned, Meta};
use std::sync::Arc;
use tower_lsp::jsonrpc::Result as Reply;
use tower_lsp::ls_types::ProgressToken;

pub async fn run(session: &Arc<Session>, params: AssignParams) -> Reply<Assigned> {
    let engine = session
        .engine(params.text_document.as_ref().map(|document| document.uri.as_str()))
        .map_err(|error| failure(&error))?;
    let intent = from_proto::intent(&engine, &params).map_err(|error| failure(&error))?;
    let token: Option<ProgressToken> = params.work_done_token.and_then(|token| serde_json::from_value(token).ok());
    let span = tracing::info_span!("krins/assign", otel.kind = "server");
    let (traceparent, tracestate) = incoming(params.meta.as_ref());
    let context = propagation::continue_or_start(&span, traceparent.as_deref(), tracestate.as_deref());
    let shown = context.traceparent();
    let assigned =
        propagation::in_trace(span, context, async { engine.assign(intent, params.task, Some(shown)) }).await;
    let assigned = assigned.map_err(|error| failure(&error))?;
    if let Some(token) = token {
        session.remember_token(&assigned.task, token);
    }
    Ok(Assigned { task: assigned.task, state: assigned.state, deduplicated: assigned.deduplicated })
}

/// The caller's trace: the request's own, else the environment's.
fn incoming(meta: Option<&Meta>) -> (Option<String>, Option<String>) {
    match meta {
        Some(Meta { traceparent: Some(parent), tracestate }) => (Some(parent.clone()), tracestate.clone()),
        _ => (std::env::var("TRACEPARENT").ok(), std::env::var("TRACESTATE").ok()),
    }
}
