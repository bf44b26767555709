//! Locks on paths of a project: leases that end by themselves, so that a holder who is gone locks nobody out.

use super::auth::Scope;
use super::limits::Place;
use super::problem::Problem;
use super::routes::{Asker, read_json};
use super::tasks::{Tasks, unavailable};
use crate::store::{Hint, LockRow, Locking, NewLock};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use krins_protocol::error::ErrorKind;
use krins_protocol::http::{Lock, LockEvent, LockRequest, Locks};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;

/// Locks of one tenant.
const MOST: usize = 10_000;
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Characters of a project's, a holder's, a token's name; of a path.
const NAME: usize = 128;
const PATH: usize = 1024;
/// How often followers are told of locks that ended by themselves.
const LOOK: Duration = Duration::from_secs(1);
const TOKEN: &str = "lock-token";

/// `PUT /locks/{path}?project=P`: takes the lock, or renews it under the same token.
pub async fn put(
    State(tasks): State<Arc<Tasks>>,
    Extension(Asker(caller)): Extension<Asker>,
    Path(path): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let (path, query) = (sane_path(&path)?, Query::read(query.as_deref().unwrap_or_default())?);
    let wanted: LockRequest = read_json(&headers, body, "lock")?;
    let lock = NewLock {
        tenant: caller.tenant.clone(),
        project: query.project.clone(),
        path: path.clone(),
        holder: sane_name(&wanted.holder, "holder")?,
        token: sane_name(&wanted.token, "token")?,
        ttl: Duration::from_millis(wanted.ttl_ms).clamp(SHORTEST, LONGEST),
    };
    let taken = tasks.store().lock(lock, MOST).await.map_err(|error| unavailable("take the lock", &error))?;
    match taken {
        Locking::Held(row) => {
            tasks.fan().tell(Hint::Locks(caller.tenant, query.project));
            Ok(Json(shown(row)).into_response())
        }
        Locking::Refused(row) => {
            let seconds = row.left.as_secs() + 1;
            let who = &row.holder;
            Err(Problem::new(ErrorKind::LockHeld, format!("lock {path}: {who} holds it for {seconds} s more"))
                .retry_after(seconds))
        }
        Locking::TooMany => {
            Err(Problem::new(ErrorKind::Overloaded, format!("lock {path}: there are {MOST} locks")).retry_after(60))
        }
    }
}

/// `DELETE /locks/{path}?project=P` under the `Lock-Token`; with `force=true` and the scope admin, whoever holds it.
pub async fn delete(
    State(tasks): State<Arc<Tasks>>,
    Extension(Asker(caller)): Extension<Asker>,
    Path(path): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (path, query) = (sane_path(&path)?, Query::read(query.as_deref().unwrap_or_default())?);
    let token = headers.get(TOKEN).and_then(|value| value.to_str().ok());
    let token = match (query.force, token) {
        (true, _) if !caller.may(Scope::Admin) => {
            return Err(Problem::new(ErrorKind::Untrusted, format!("break the lock of {path}"))
                .hint("that takes a token with the scope admin"));
        }
        (true, _) => None,
        (false, Some(token)) => Some(token),
        (false, None) => {
            return Err(Problem::new(ErrorKind::BadParams, format!("unlock {path}: there is no Lock-Token header")));
        }
    };
    let store = tasks.store();
    let gone = store.unlock(&caller.tenant, &query.project, &path, token).await;
    if !gone.map_err(|error| unavailable("give the lock back", &error))? {
        let why = format!("unlock {path}: it is not locked under this token");
        return Err(Problem::new(ErrorKind::Conflict, why));
    }
    tasks.fan().tell(Hint::Locks(caller.tenant, query.project));
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `GET /locks?project=P`.
pub async fn list(
    State(tasks): State<Arc<Tasks>>,
    Extension(Asker(caller)): Extension<Asker>,
    RawQuery(query): RawQuery,
) -> Result<Json<Locks>, Problem> {
    let query = Query::read(query.as_deref().unwrap_or_default())?;
    let rows = tasks.store().locks(&caller.tenant, &query.project).await;
    let rows = rows.map_err(|error| unavailable("list the locks", &error))?;
    Ok(Json(Locks { locks: rows.into_iter().map(shown).collect() }))
}

/// `GET /locks/events?project=P`: first every lock as it is, then what changes.
pub async fn events(
    State(tasks): State<Arc<Tasks>>,
    Extension(Asker(caller)): Extension<Asker>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = Query::read(query.as_deref().unwrap_or_default())?;
    let keep_alive = KeepAlive::new().interval(tasks.config.heartbeat);
    let follower = Follower {
        _place: tasks.stream(&caller)?,
        heard: tasks.fan().hear(),
        tasks,
        tenant: caller.tenant,
        project: query.project,
        known: BTreeMap::new(),
        waiting: Vec::new(),
        looked: false,
    };
    let events = stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    Ok(Sse::new(events).keep_alive(keep_alive).into_response())
}

struct Follower {
    tasks: Arc<Tasks>,
    heard: broadcast::Receiver<Hint>,
    tenant: String,
    project: String,
    /// By path, what was told.
    known: BTreeMap<String, Lock>,
    waiting: Vec<LockEvent>,
    looked: bool,
    _place: Option<Place>,
}

impl Follower {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop() {
                let name = if matches!(event, LockEvent::Locked { .. }) { "locked" } else { "unlocked" };
                let data = serde_json::to_string(&event).expect("plain structs always serialize");
                return Some(Event::default().event(name).data(data));
            }
            if self.looked {
                let closing = self.tasks.closing();
                tokio::select! {
                    () = self.told() => {}
                    () = tokio::time::sleep(LOOK) => {}
                    () = closing.cancelled() => return None,
                }
            }
            self.looked = true;
            self.look().await;
        }
    }

    /// Somebody says that these locks changed.
    async fn told(&mut self) {
        loop {
            match self.heard.recv().await {
                Ok(Hint::Locks(tenant, project)) if tenant == self.tenant && project == self.project => return,
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    async fn look(&mut self) {
        let Ok(rows) = self.tasks.store().locks(&self.tenant, &self.project).await else { return };
        let now: BTreeMap<String, Lock> = rows.into_iter().map(|row| (row.path.clone(), shown(row))).collect();
        let gone = self.known.iter().filter(|(path, _)| !now.contains_key(*path));
        self.waiting.extend(gone.map(|(path, _)| LockEvent::Unlocked { path: path.clone() }));
        let came =
            now.iter().filter(|(path, lock)| self.known.get(*path).is_none_or(|known| known.fence != lock.fence));
        self.waiting.extend(came.map(|(_, lock)| LockEvent::Locked { lock: lock.clone() }));
        // They are told from the end.
        self.waiting.reverse();
        self.known = now;
    }
}

fn shown(row: LockRow) -> Lock {
    Lock {
        path: row.path,
        holder: row.holder,
        fence: row.fence,
        left_ms: u64::try_from(row.left.as_millis()).unwrap_or(u64::MAX),
    }
}

struct Query {
    project: String,
    force: bool,
}

impl Query {
    fn read(text: &str) -> Result<Self, Problem> {
        let mut query = Self { project: String::new(), force: false };
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
            match (&*name, &*value) {
                ("project", "") => {}
                ("project", value) => query.project = sane_name(value, "project")?,
                ("force", "true") => query.force = true,
                ("force", "false") => {}
                _ => {
                    return Err(Problem::new(ErrorKind::BadParams, format!("read the query: {name:.40} is not known"))
                        .hint("it takes project, and where a lock is given back force=true"));
                }
            }
        }
        Ok(query)
    }
}

/// As it is below the project's root; `./` in front is for paths that are also words of ours.
fn sane_path(path: &str) -> Result<String, Problem> {
    let path = path.strip_prefix("./").unwrap_or(path);
    let sane = krins_core::RelPath::new(path).ok().filter(|_| path.len() <= PATH);
    sane.map(|path| path.to_string())
        .ok_or_else(|| Problem::new(ErrorKind::BadParams, "read the lock's path: it is not a path below the root"))
}

fn sane_name(name: &str, what: &str) -> Result<String, Problem> {
    let sane = !name.is_empty() && name.len() <= NAME && !name.chars().any(char::is_control);
    sane.then(|| name.to_owned())
        .ok_or_else(|| Problem::new(ErrorKind::BadParams, format!("read the {what}: it is 1 to {NAME} characters")))
}
