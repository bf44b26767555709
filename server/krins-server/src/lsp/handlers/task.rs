//! `krins/task`: where a task is; also how a client finds its way again after a restart.

use crate::lsp::handlers::failure;
use crate::lsp::session::Session;
use crate::to_proto;
use krins_protocol::lsp::{TaskParams, TaskStatus};
use std::sync::Arc;
use tower_lsp::jsonrpc::Result as Reply;

pub async fn run(session: &Arc<Session>, params: TaskParams) -> Reply<TaskStatus> {
    let task = params.task.as_deref();
    let found = session.engine_of_task(task).and_then(|engine| engine.tasks().find(task));
    found.map(|task| to_proto::status(&task)).map_err(|error| failure(&error))
}
