//! The service's memory: tasks in one SQLite file. What a call here answered `Ok` to survives `kill -9` and power loss
//! (WAL, `synchronous=FULL`). One thread owns the connection, so writes are in one order and nothing waits on a lock.
//!
//! Every change of a running task is fenced by its attempt number: a run that was overtaken by a cancel or a restart
//! changes nothing. This module must not know HTTP, backends or what a payload means.

use krins_protocol::http::RemoteState;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use std::path::{Path, PathBuf};
use tokio::sync::{mpsc, oneshot};

/// Sequence numbers per attempt. A task's number is strictly rising over restarts without a write for every progress
/// event, because each attempt has its own block: first the start, then progress, last the requeueing or the end.
const BLOCK: u64 = 1 << 20;
/// How many restarts a task may take down with it before it is buried.
const MAX_CRASHES: i64 = 2;
/// How long to wait for a predecessor that is letting go of the file.
const BUSY: std::time::Duration = std::time::Duration::from_millis(500);
/// Calls waiting for the thread.
const BACKLOG: usize = 1024;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("open the task database {path}")]
    Open {
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
    #[error("open the task database {path}: another process uses it")]
    InUse { path: PathBuf },
    #[error("create {path}")]
    Create {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("use the task database {path}: it was made by a newer version (schema {found})")]
    Newer { path: PathBuf, found: i64 },
    #[error("use the task database")]
    Sqlite(#[from] rusqlite::Error),
    #[error("use the task database: it is closed")]
    Closed,
}

/// A task to be remembered.
#[derive(Clone, Debug)]
pub struct NewRow {
    pub id: String,
    /// Whose it is; keys of different tenants never meet.
    pub tenant: String,
    /// The idempotency key.
    pub key: String,
    /// Hex digest of the canonical payload.
    pub payload_sha256: String,
    pub payload: String,
    pub traceparent: String,
    pub tracestate: Option<String>,
}

/// A task as remembered. `answer` and `error` are JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRow {
    pub id: String,
    pub state: RemoteState,
    pub seq: u64,
    pub answer: Option<String>,
    pub error: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submission {
    Accepted(TaskRow),
    /// The key was known, with the same payload.
    Replayed(TaskRow),
    /// The key was known, with another payload.
    KeyConflict,
    /// The key was new, and the caller had no room for it.
    Full,
}

/// What a run needs, and the fence it writes behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    pub attempt: u64,
    pub seq: u64,
    pub payload: String,
    pub traceparent: String,
    pub tracestate: Option<String>,
    pub created_ms: i64,
}

impl Started {
    /// The sequence number of the `n`-th progress event of this attempt, from 1; saturates before the end's.
    pub fn progress_seq(&self, n: u64) -> u64 {
        self.attempt * BLOCK + n.min(BLOCK - 3)
    }
}

/// A task that was not finished when the last process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    pub tenant: String,
    pub task: TaskRow,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// To be run, oldest first.
    pub queued: Vec<Unfinished>,
    /// Failed now, because they took the process down too often.
    pub buried: Vec<String>,
}

/// A handle on the thread that owns the database; clones share it. The thread ends with the last handle.
#[derive(Clone)]
pub struct Store {
    calls: mpsc::Sender<Call>,
}

type Call = Box<dyn FnOnce(&mut Connection) + Send>;

impl Store {
    /// Opens or creates the database; on Unix only its owner can read it. Errors: not a database, made by a newer
    /// version, or in use by another process.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        create_private(path)?;
        let connection = Connection::open(path).map_err(|source| open_error(path, source))?;
        Self::start(connection, path)
    }

    /// A store that forgets, for a service that nobody asked to remember.
    pub fn in_memory() -> Result<Self, StoreError> {
        let path = Path::new(":memory:");
        let connection = Connection::open_in_memory().map_err(|source| open_error(path, source))?;
        Self::start(connection, path)
    }

    fn start(mut connection: Connection, path: &Path) -> Result<Self, StoreError> {
        prepare(&mut connection, path)?;
        let (calls, mut queue) = mpsc::channel::<Call>(BACKLOG);
        std::thread::Builder::new()
            .name("krins-store".into())
            .spawn(move || {
                while let Some(call) = queue.blocking_recv() {
                    call(&mut connection);
                }
            })
            .map_err(|source| StoreError::Create { path: path.to_owned(), source })?;
        Ok(Self { calls })
    }

    /// Remembers the task unless its key is known. `Accepted` means that it is on the disk.
    pub async fn submit(&self, row: NewRow, has_room: bool, now_ms: i64) -> Result<Submission, StoreError> {
        self.write(move |transaction| submit(transaction, &row, has_room, now_ms)).await
    }

    pub async fn get(&self, tenant: &str, id: &str) -> Result<Option<TaskRow>, StoreError> {
        let (tenant, id) = (tenant.to_owned(), id.to_owned());
        self.write(move |transaction| {
            transaction
                .prepare_cached(&format!("{SELECT} WHERE tenant = ?1 AND id = ?2"))?
                .query_row(params![tenant, id], task_row)
                .optional()
        })
        .await
    }

    /// Begins a run; `None` when the task is not queued (any more).
    pub async fn begin(&self, id: &str, now_ms: i64) -> Result<Option<Started>, StoreError> {
        let id = id.to_owned();
        self.write(move |transaction| {
            transaction
                .prepare_cached(
                    "UPDATE task SET state = 'running', attempts = attempts + 1, \
                     seq = (attempts + 1) * ?2, updated_ms = ?3 \
                     WHERE id = ?1 AND state = 'queued' \
                     RETURNING attempts, seq, payload, traceparent, tracestate, created_ms",
                )?
                .query_row(params![id, BLOCK as i64, now_ms], |row| {
                    Ok(Started {
                        attempt: unsigned(row, 0)?,
                        seq: unsigned(row, 1)?,
                        payload: row.get(2)?,
                        traceparent: row.get(3)?,
                        tracestate: row.get(4)?,
                        created_ms: row.get(5)?,
                    })
                })
                .optional()
        })
        .await
    }

    /// Ends a run as done (`Ok`, the answer) or failed (`Err`, the error), in JSON; `None` when the run was overtaken.
    pub async fn finish(
        &self,
        id: &str,
        attempt: u64,
        outcome: Result<String, String>,
        now_ms: i64,
    ) -> Result<Option<TaskRow>, StoreError> {
        let id = id.to_owned();
        let (state, answer, error) = match outcome {
            Ok(answer) => (RemoteState::Done, Some(answer), None),
            Err(error) => (RemoteState::Failed, None, Some(error)),
        };
        self.write(move |transaction| {
            transaction
                .prepare_cached(&format!(
                    "UPDATE task SET state = ?3, answer = ?4, error = ?5, updated_ms = ?6, \
                     seq = attempts * {BLOCK} + {BLOCK} - 1 \
                     WHERE id = ?1 AND attempts = ?2 AND state = 'running' {RETURNING}"
                ))?
                .query_row(params![id, attempt as i64, state_name(state), answer, error, now_ms], task_row)
                .optional()
        })
        .await
    }

    /// Puts an unfinished run back, without blame.
    pub async fn requeue(&self, id: &str, attempt: u64, now_ms: i64) -> Result<Option<TaskRow>, StoreError> {
        let id = id.to_owned();
        self.write(move |transaction| {
            transaction
                .prepare_cached(&format!(
                    "UPDATE task SET state = 'queued', updated_ms = ?3, \
                     seq = attempts * {BLOCK} + {BLOCK} - 2 \
                     WHERE id = ?1 AND attempts = ?2 AND state = 'running' {RETURNING}"
                ))?
                .query_row(params![id, attempt as i64, now_ms], task_row)
                .optional()
        })
        .await
    }

    /// Cancels a queued or running task; `None` when it is neither.
    pub async fn cancel(&self, tenant: &str, id: &str, now_ms: i64) -> Result<Option<TaskRow>, StoreError> {
        let (tenant, id) = (tenant.to_owned(), id.to_owned());
        self.write(move |transaction| {
            transaction
                .prepare_cached(&format!(
                    "UPDATE task SET state = 'cancelled', updated_ms = ?3, \
                     seq = attempts * {BLOCK} + {BLOCK} - 1 \
                     WHERE tenant = ?1 AND id = ?2 AND state IN ('queued', 'running') {RETURNING}"
                ))?
                .query_row(params![tenant, id, now_ms], task_row)
                .optional()
        })
        .await
    }

    /// Called once at start: whatever was running when the last process ended counts a crash and is queued again, or
    /// is failed with `buried_error` (JSON) when it was there too often.
    pub async fn recover(&self, buried_error: String, now_ms: i64) -> Result<Recovered, StoreError> {
        self.write(move |transaction| recover(transaction, &buried_error, now_ms)).await
    }

    /// Forgets tasks that ended before `before_ms`; answers how many.
    pub async fn purge(&self, before_ms: i64) -> Result<usize, StoreError> {
        self.write(move |transaction| {
            transaction.execute(
                "DELETE FROM task WHERE updated_ms < ?1 \
                 AND state IN ('done', 'failed', 'cancelled')",
                [before_ms],
            )
        })
        .await
    }

    /// Whether the database answers and can be written.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.write(|transaction| transaction.query_row("SELECT 1", [], |_| Ok(()))).await
    }

    /// Runs `work` in one immediate transaction on the thread; `Ok` after the commit.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let call: Call = Box::new(move |connection| {
            let result = connection.transaction_with_behavior(TransactionBehavior::Immediate).and_then(|transaction| {
                let value = work(&transaction)?;
                transaction.commit()?;
                Ok(value)
            });
            // Nobody waits for the answer of a dropped call.
            let _ = reply.send(result);
        });
        self.calls.send(call).await.map_err(|_| StoreError::Closed)?;
        Ok(answer.await.map_err(|_| StoreError::Closed)??)
    }
}

const SCHEMA_VERSION: i64 = 1;
const SCHEMA: &str = "
CREATE TABLE task (
    id             TEXT PRIMARY KEY,
    tenant         TEXT NOT NULL,
    key            TEXT NOT NULL,
    payload_sha256 TEXT NOT NULL,
    payload        TEXT NOT NULL,
    state          TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    seq            INTEGER NOT NULL,
    attempts       INTEGER NOT NULL DEFAULT 0,
    crash_count    INTEGER NOT NULL DEFAULT 0,
    traceparent    TEXT NOT NULL,
    tracestate     TEXT,
    answer         TEXT,
    error          TEXT,
    created_ms     INTEGER NOT NULL,
    updated_ms     INTEGER NOT NULL,
    UNIQUE (tenant, key)
) STRICT;
CREATE INDEX unfinished ON task (created_ms, id) WHERE state IN ('queued', 'running');
CREATE INDEX ended ON task (updated_ms) WHERE state IN ('done', 'failed', 'cancelled');
";
const SELECT: &str = "SELECT id, state, seq, answer, error FROM task";
const RETURNING: &str = "RETURNING id, state, seq, answer, error";

fn create_private(path: &Path) -> Result<(), StoreError> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|source| StoreError::Create { path: path.to_owned(), source })?;
    Ok(())
}

fn prepare(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let wrap = |source| open_error(path, source);
    connection.busy_timeout(BUSY).map_err(wrap)?;
    // Exclusive locking keeps a second service off the file: two would run each other's tasks.
    connection
        .execute_batch(
            "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; \
             PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;",
        )
        .map_err(wrap)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(wrap)?;
    let found: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(wrap)?;
    match found {
        0 => transaction.execute_batch(&format!("{SCHEMA} PRAGMA user_version = {SCHEMA_VERSION};")).map_err(wrap)?,
        SCHEMA_VERSION => {}
        found => {
            return Err(StoreError::Newer { path: path.to_owned(), found });
        }
    }
    transaction.commit().map_err(wrap)
}

fn open_error(path: &Path, source: rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => StoreError::InUse { path },
        _ => StoreError::Open { path, source },
    }
}

fn submit(transaction: &Transaction<'_>, row: &NewRow, has_room: bool, now_ms: i64) -> rusqlite::Result<Submission> {
    let known = transaction
        .prepare_cached(
            "SELECT id, state, seq, answer, error, payload_sha256 FROM task \
             WHERE tenant = ?1 AND key = ?2",
        )?
        .query_row(params![row.tenant, row.key], |known| Ok((task_row(known)?, known.get::<_, String>(5)?)))
        .optional()?;
    match known {
        Some((task, payload)) if payload == row.payload_sha256 => Ok(Submission::Replayed(task)),
        Some(_) => Ok(Submission::KeyConflict),
        None if !has_room => Ok(Submission::Full),
        None => insert(transaction, row, now_ms).map(Submission::Accepted),
    }
}

fn insert(transaction: &Transaction<'_>, row: &NewRow, now_ms: i64) -> rusqlite::Result<TaskRow> {
    transaction
        .prepare_cached(&format!(
            "INSERT INTO task (id, tenant, key, payload_sha256, payload, state, seq, \
             traceparent, tracestate, created_ms, updated_ms) \
             VALUES (?1, ?2, ?3, ?4, ?5, 'queued', 1, ?6, ?7, ?8, ?8) {RETURNING}"
        ))?
        .query_row(
            params![
                row.id,
                row.tenant,
                row.key,
                row.payload_sha256,
                row.payload,
                row.traceparent,
                row.tracestate,
                now_ms
            ],
            task_row,
        )
}

fn recover(transaction: &Transaction<'_>, buried_error: &str, now_ms: i64) -> rusqlite::Result<Recovered> {
    transaction.execute("UPDATE task SET crash_count = crash_count + 1 WHERE state = 'running'", [])?;
    let buried = transaction
        .prepare(&format!(
            "UPDATE task SET state = 'failed', error = ?1, updated_ms = ?2, \
             seq = attempts * {BLOCK} + {BLOCK} - 1 \
             WHERE state = 'running' AND crash_count >= {MAX_CRASHES} RETURNING id"
        ))?
        .query_map(params![buried_error, now_ms], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    transaction.execute(
        &format!(
            "UPDATE task SET state = 'queued', updated_ms = ?1, \
             seq = attempts * {BLOCK} + {BLOCK} - 2 WHERE state = 'running'"
        ),
        [now_ms],
    )?;
    let queued = transaction
        .prepare(
            "SELECT id, state, seq, answer, error, tenant FROM task \
             WHERE state = 'queued' ORDER BY created_ms, id",
        )?
        .query_map([], |row| Ok(Unfinished { task: task_row(row)?, tenant: row.get(5)? }))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Recovered { queued, buried })
}

fn task_row(row: &Row<'_>) -> rusqlite::Result<TaskRow> {
    Ok(TaskRow {
        id: row.get(0)?,
        state: state_of(&row.get::<_, String>(1)?),
        seq: unsigned(row, 2)?,
        answer: row.get(3)?,
        error: row.get(4)?,
    })
}

fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.max(0) as u64)
}

const STATES: [(RemoteState, &str); 5] = [
    (RemoteState::Queued, "queued"),
    (RemoteState::Running, "running"),
    (RemoteState::Done, "done"),
    (RemoteState::Failed, "failed"),
    (RemoteState::Cancelled, "cancelled"),
];

/// The word for a state in the database, in metrics and in logs.
pub fn state_name(state: RemoteState) -> &'static str {
    match state {
        RemoteState::Queued => "queued",
        RemoteState::Running => "running",
        RemoteState::Done => "done",
        RemoteState::Failed => "failed",
        RemoteState::Cancelled => "cancelled",
    }
}

/// The table's CHECK admits these five words only.
fn state_of(name: &str) -> RemoteState {
    STATES.iter().find_map(|(state, known)| (*known == name).then_some(*state)).unwrap_or(RemoteState::Failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, key: &str, payload: &str) -> NewRow {
        NewRow {
            id: id.into(),
            tenant: "t".into(),
            key: key.into(),
            payload_sha256: format!("sha of {payload}"),
            payload: payload.into(),
            traceparent: "00-12345678901234567890123456789012-1234567890123456-01".into(),
            tracestate: Some("foo=1".into()),
        }
    }

    async fn accept(store: &Store, id: &str) {
        let submission = store.submit(row(id, id, "p"), true, 1).await.unwrap();
        assert!(matches!(submission, Submission::Accepted(_)), "{submission:?}");
    }

    #[tokio::test]
    async fn a_key_is_one_task_per_tenant() {
        let store = Store::in_memory().unwrap();
        accept(&store, "a").await;
        let replayed = store.submit(row("b", "a", "p"), false, 2).await.unwrap();
        assert!(matches!(replayed, Submission::Replayed(task) if task.id == "a"));
        let conflict = store.submit(row("c", "a", "other"), true, 3).await.unwrap();
        assert_eq!(conflict, Submission::KeyConflict);
        let full = store.submit(row("d", "d", "p"), false, 4).await.unwrap();
        assert_eq!(full, Submission::Full);
        let foreign = NewRow { tenant: "other".into(), ..row("e", "a", "other") };
        let accepted = store.submit(foreign, true, 5).await.unwrap();
        assert!(matches!(accepted, Submission::Accepted(task) if task.id == "e"));
        assert_eq!(store.get("t", "e").await.unwrap(), None, "not this tenant's");
    }

    #[tokio::test]
    async fn a_cancelled_run_can_not_finish_and_a_finished_one_can_not_be_cancelled() {
        let store = Store::in_memory().unwrap();
        accept(&store, "a").await;
        let run = store.begin("a", 2).await.unwrap().unwrap();
        assert_eq!(store.begin("a", 2).await.unwrap(), None, "runs once");
        let cancelled = store.cancel("t", "a", 3).await.unwrap().unwrap();
        assert_eq!(cancelled.state, RemoteState::Cancelled);
        let late = store.finish("a", run.attempt, Ok("{}".into()), 4).await;
        assert_eq!(late.unwrap(), None);

        accept(&store, "b").await;
        let run = store.begin("b", 2).await.unwrap().unwrap();
        let done = store.finish("b", run.attempt, Ok("{}".into()), 3).await;
        assert_eq!(done.unwrap().unwrap().state, RemoteState::Done);
        assert_eq!(store.cancel("t", "b", 4).await.unwrap(), None);
    }

    #[tokio::test]
    async fn an_overtaken_attempt_is_fenced_off() {
        let store = Store::in_memory().unwrap();
        accept(&store, "a").await;
        let first = store.begin("a", 2).await.unwrap().unwrap();
        store.requeue("a", first.attempt, 3).await.unwrap().unwrap();
        let second = store.begin("a", 4).await.unwrap().unwrap();
        let late = store.finish("a", first.attempt, Ok("old".into()), 5).await;
        assert_eq!(late.unwrap(), None);
        let done = store.finish("a", second.attempt, Ok("new".into()), 6).await;
        assert_eq!(done.unwrap().unwrap().answer.as_deref(), Some("new"));
    }

    #[tokio::test]
    async fn numbers_rise_through_progress_requeueing_and_the_end() {
        let store = Store::in_memory().unwrap();
        accept(&store, "a").await;
        let mut seen = vec![1];
        for _ in 0..3 {
            let run = store.begin("a", 2).await.unwrap().unwrap();
            seen.extend([run.seq, run.progress_seq(1), run.progress_seq(u64::MAX)]);
            let back = store.requeue("a", run.attempt, 3).await.unwrap().unwrap();
            seen.push(back.seq);
        }
        seen.push(store.cancel("t", "a", 4).await.unwrap().unwrap().seq);
        assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    }

    #[tokio::test]
    async fn a_restart_requeues_once_and_buries_the_second_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tasks.db");
        let mut previous = 0;
        for restart in 0..3 {
            let store = reopen(&path).await;
            let recovered = store.recover("{\"buried\":1}".into(), 9).await.unwrap();
            match restart {
                0 => {
                    accept(&store, "poison").await;
                    accept(&store, "waiting").await;
                }
                1 => {
                    let ids: Vec<_> = recovered.queued.iter().map(|u| u.task.id.as_str()).collect();
                    assert_eq!(ids, ["poison", "waiting"]);
                }
                _ => {
                    assert_eq!(recovered.buried, ["poison"]);
                    assert_eq!(recovered.queued.len(), 1);
                    let task = store.get("t", "poison").await.unwrap().unwrap();
                    assert_eq!(task.state, RemoteState::Failed);
                    assert_eq!(task.error.as_deref(), Some("{\"buried\":1}"));
                    assert!(task.seq > previous);
                    return;
                }
            }
            let run = store.begin("poison", 2).await.unwrap().unwrap();
            assert!(run.seq > previous);
            previous = run.progress_seq(7);
        }
    }

    #[tokio::test]
    async fn a_second_process_is_kept_off_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tasks.db");
        let store = Store::open(&path).unwrap();
        store.ping().await.unwrap();
        assert!(matches!(Store::open(&path), Err(StoreError::InUse { .. })));
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
            assert_eq!(mode & 0o777, 0o600, "prompts are nobody else's business");
        }
    }

    #[tokio::test]
    async fn only_ended_tasks_are_purged() {
        let store = Store::in_memory().unwrap();
        for id in ["ended", "waiting"] {
            accept(&store, id).await;
        }
        store.cancel("t", "ended", 2).await.unwrap();
        assert_eq!(store.purge(100).await.unwrap(), 1);
        assert!(store.get("t", "waiting").await.unwrap().is_some());
    }

    #[test]
    fn something_else_than_a_database_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tasks.db");
        std::fs::write(&path, "not a database at all, but long enough to be read as one".repeat(40)).unwrap();
        assert!(matches!(Store::open(&path), Err(StoreError::Open { .. })));
        assert!(matches!(Store::open(directory.path()), Err(StoreError::Create { .. })));
    }

    /// The thread of a dropped store closes the file a moment later.
    async fn reopen(path: &Path) -> Store {
        for _ in 0..200 {
            match Store::open(path) {
                Err(StoreError::InUse { .. }) => {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
                opened => return opened.unwrap(),
            }
        }
        panic!("the database was not released");
    }
}
