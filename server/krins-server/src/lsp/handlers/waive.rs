//! `krins/waive`: a person puts up with a finding; then the task is judged anew.

use crate::lsp::handlers::failure;
use crate::lsp::session::Session;
use crate::to_proto;
use krins_core::gate::{Day, Waiver};
use krins_engine::gate::waivers;
use krins_engine::{Error, ErrorKind};
use krins_protocol::lsp::{DiffResult, WaiveParams};
use std::sync::Arc;
use tower_lsp::jsonrpc::Result as Reply;

pub async fn run(session: &Arc<Session>, params: WaiveParams) -> Reply<DiffResult> {
    waive(session, params).await.map_err(|error| failure(&error))
}

async fn waive(session: &Arc<Session>, params: WaiveParams) -> Result<DiffResult, Error> {
    let WaiveParams { task, rule, path, reason, expires, exact } = params;
    let engine = session.engine_of_task(task.as_deref())?;
    let review = engine.review(task.as_deref())?;
    let expires: Day = expires.parse().map_err(|_| {
        Error::new(ErrorKind::BadParams, format!("waive until {expires:?}: it is no day"))
            .hint("write it as 2027-01-31")
    })?;
    let fingerprint = if exact { Some(waivers::fingerprint_of(&review, &rule, &path)?) } else { None };
    let who = engine.settings().approvals.identity.as_deref();
    waivers::keep(Waiver { rule, path, fingerprint, reason, expires }, engine.audit(), engine.state(), who)?;
    to_proto::diff(&engine, &engine.judge_again(Some(&review.task.id)).await?)
}
