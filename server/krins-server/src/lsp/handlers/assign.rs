//! `krins/assign`: answers at once; the work goes on behind it.

use crate::from_proto;
use crate::lsp::handlers::failure;
use crate::lsp::session::Session;
use krins_backend::propagation;
use krins_protocol::lsp::{AssignParams, Assigned};
use std::sync::Arc;
use tower_lsp::jsonrpc::Result as Reply;
use tower_lsp::ls_types::ProgressToken;

pub async fn run(session: &Arc<Session>, params: AssignParams) -> Reply<Assigned> {
    let engine = session
        .engine(params.text_document.as_ref().map(|document| document.uri.as_str()))
        .map_err(|error| failure(&error))?;
    session.refuse_gone(&engine).map_err(|error| failure(&error))?;
    let intent = from_proto::intent(&engine, &params).map_err(|error| failure(&error))?;
    let token: Option<ProgressToken> = params.work_done_token.and_then(|token| serde_json::from_value(token).ok());
    // Before the task begins, else it may be over before its progress has a token.
    let given = params.task.clone().filter(|_| token.is_some());
    if let (Some(token), Some(task)) = (&token, &given) {
        session.remember_token(task, token.clone());
    }
    let trace = propagation::current().map(|context| context.traceparent());
    let assigned = engine.assign(intent, params.task, trace);
    let running = assigned.as_ref().is_ok_and(|assigned| assigned.state.is_running());
    match (&given, &assigned, token) {
        (Some(task), _, _) if !running => session.forget_token(task),
        (None, Ok(assigned), Some(token)) => session.remember_token(&assigned.task, token),
        _ => {}
    }
    let assigned = assigned.map_err(|error| failure(&error))?;
    Ok(Assigned { task: assigned.task, state: assigned.state, deduplicated: assigned.deduplicated })
}
