//! Dead letters and the queue's figures. A tenant sees its own; who may administer sees all.

use super::auth::{Caller, Scope};
use super::problem::Problem;
use super::routes::Asker;
use super::tasks::Tasks;
use axum::Json;
use axum::extract::{Extension, Path, RawQuery, State};
use krins_protocol::error::ErrorKind;
use krins_protocol::http::{DeadLetter, DeadLetters, QueueStats, RemoteTask, TaskEvent};
use std::sync::Arc;

/// Letters of one list.
const LETTERS: usize = 100;

/// `GET /dead?all=true&limit=N`.
pub async fn list(
    State(tasks): State<Arc<Tasks>>,
    Extension(Asker(caller)): Extension<Asker>,
    RawQuery(query): RawQuery,
) -> Result<Json<DeadLetters>, Problem> {
    let query = Query::read(query.as_deref().unwrap_or_default())?;
    let rows = tasks.dead(query.whose(&caller)?, query.limit.min(LETTERS)).await?;
    let mut dead = Vec::new();
    for row in rows {
        let tenant = &row.task.tenant;
        let happened = tasks.history(tenant, &row.task.id).await?;
        dead.push(DeadLetter {
            id: row.task.id,
            tenant: query.all.then(|| row.task.tenant.clone()),
            reason: row.reason,
            runs: row.runs,
            crashes: row.crashes,
            submitted_ms: row.submitted_ms,
            died_ms: row.died_ms,
            error: row.task.error.as_deref().and_then(|error| serde_json::from_str(error).ok()),
            history: happened
                .into_iter()
                .map(|event| TaskEvent { seq: event.seq, at_ms: event.at_ms, what: event.what, detail: event.detail })
                .collect(),
        });
    }
    Ok(Json(DeadLetters { dead }))
}

/// `POST /dead/{id}/requeue`.
pub async fn requeue(
    State(tasks): State<Arc<Tasks>>,
    Extension(Asker(caller)): Extension<Asker>,
    Path(id): Path<String>,
) -> Result<Json<RemoteTask>, Problem> {
    let tenant = match caller.may(Scope::Admin) {
        true => tasks.tenant_of(&id).await?.unwrap_or_else(|| caller.tenant.clone()),
        false => caller.tenant.clone(),
    };
    Ok(Json(tasks.requeue(&tenant, &id).await?))
}

/// `GET /queue/stats?all=true`.
pub async fn stats(
    State(tasks): State<Arc<Tasks>>,
    Extension(Asker(caller)): Extension<Asker>,
    RawQuery(query): RawQuery,
) -> Result<Json<QueueStats>, Problem> {
    let query = Query::read(query.as_deref().unwrap_or_default())?;
    let stats = tasks.stats(query.whose(&caller)?).await?;
    Ok(Json(QueueStats {
        queued: stats.queued,
        delayed: stats.delayed,
        running: stats.running,
        dead: stats.dead,
        oldest_ms: u64::try_from(stats.oldest.as_millis()).unwrap_or(u64::MAX),
        limit: tasks.config.queue as u64,
        workers: tasks.config.workers as u64,
    }))
}

struct Query {
    all: bool,
    limit: usize,
}

impl Query {
    fn read(text: &str) -> Result<Self, Problem> {
        let mut query = Self { all: false, limit: LETTERS };
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
            let wrong = || Problem::new(ErrorKind::BadParams, format!("read the query: {name:.40} has another value"));
            match &*name {
                "all" => query.all = value.parse().map_err(|_| wrong())?,
                "limit" => query.limit = value.parse().map_err(|_| wrong())?,
                _ => {
                    return Err(Problem::new(ErrorKind::BadParams, format!("read the query: {name:.40} is not known"))
                        .hint("it takes all and limit"));
                }
            }
        }
        Ok(query)
    }

    /// `None` is everybody.
    fn whose<'a>(&self, caller: &'a Caller) -> Result<Option<&'a str>, Problem> {
        match (self.all, caller.may(Scope::Admin)) {
            (false, _) => Ok(Some(&caller.tenant)),
            (true, true) => Ok(None),
            (true, false) => Err(Problem::new(ErrorKind::Untrusted, "show the tasks of every tenant")
                .hint("that takes a token with the scope admin")),
        }
    }
}
