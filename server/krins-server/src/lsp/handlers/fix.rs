//! `krins/fix`: answers at once; the rounds go on behind it.

use crate::lsp::handlers::failure;
use crate::lsp::session::Session;
use krins_protocol::lsp::{Assigned, FixParams};
use std::sync::Arc;
use tower_lsp::jsonrpc::Result as Reply;

pub async fn run(session: &Arc<Session>, params: FixParams) -> Reply<Assigned> {
    let task = params.task.as_deref();
    let started = session.engine_of_task(task).and_then(|engine| engine.fix(task, params.rounds));
    let assigned = started.map_err(|error| failure(&error))?;
    Ok(Assigned { task: assigned.task, state: assigned.state, deduplicated: assigned.deduplicated })
}
