//! `krins/tasks`: what there is to come back to, with the last line that the audit has of each.

use crate::lsp::handlers::failure;
use crate::lsp::session::Session;
use crate::to_proto;
use krins_engine::{Engine, Error, ErrorKind};
use krins_protocol::lsp::{AuditLine, TaskEntry, TasksParams, TasksResult};
use std::collections::BTreeMap;
use std::sync::Arc;
use tower_lsp::jsonrpc::Result as Reply;

const USUAL: u32 = 50;
const MOST: u32 = 500;
/// Records of the audit that are looked through: a task leaves some ten.
const RECORDS: usize = 1000;

pub async fn run(session: &Arc<Session>, params: TasksParams) -> Reply<TasksResult> {
    let limit = params.limit.unwrap_or(USUAL).clamp(1, MOST) as usize;
    let session = session.clone();
    // The audit is a file: it is read beside the requests.
    let listed = tokio::task::spawn_blocking(move || {
        // The tasks of a folder that is not open yet are there, too.
        session.open_those_there_are();
        session.engines().iter().flat_map(|engine| list(engine, limit)).collect()
    });
    let listed: Result<Vec<TaskEntry>, _> = listed.await;
    let mut tasks =
        listed.map_err(|error| failure(&Error::new(ErrorKind::Internal, format!("list tasks: {error}"))))?;
    tasks.sort_by(|a, b| (b.created, &b.task).cmp(&(a.created, &a.task)));
    tasks.truncate(limit);
    Ok(TasksResult { tasks })
}

fn list(engine: &Engine, limit: usize) -> Vec<TaskEntry> {
    let mut lines = lines(engine);
    engine.tasks().list().iter().take(limit).map(|task| to_proto::entry(task, lines.remove(&task.id))).collect()
}

/// The newest record about each task. An audit that cannot be read is `krins/audit/verify`'s to tell.
fn lines(engine: &Engine) -> BTreeMap<String, AuditLine> {
    let records = engine.audit().tail(RECORDS).unwrap_or_default();
    let line = |(record, about): (krins_core::audit::Record, Option<serde_json::Value>)| {
        let task = about?.get("task")?.as_str()?.to_owned();
        Some((task, AuditLine { seq: record.seq, kind: record.kind, hash: record.hash.to_string() }))
    };
    records.into_iter().filter_map(line).collect()
}
