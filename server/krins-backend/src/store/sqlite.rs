//! The store in one SQLite file (WAL, `synchronous=FULL`). One thread owns the connection, so writes are in one order and
//! nothing waits on a lock; writes that wait together are committed together, each within its own savepoint.
//!
//! One service uses the file at a time, which a lock on a file beside it says; commands may use it at the same time.

use super::{
    BLOCK, Burial, CALL, COUNTS, CallBegun, CallEnd, CallRow, CallState, Claimed, DeadRow, Deed, End, Fence, Happened,
    LIST_LIMIT, Leased, LockRow, Locking, NO_LEASE, NewCall, NewLock, NewRow, NewToken, OPEN, PAYLOAD_VERSION, Person,
    Reconciled, Room, Spending, State, Stats, Store, StoreError, Submission, Swept, TASK, TOKEN_MS, TaskRow, TokenRow,
    YEAR_MS, amount, count, duration, limits_of, migrations, millis, off_words, reason, refusal, token_digest,
    under_way,
};
use crate::Usage;
use crate::money::{Limits, Purpose, Scope};
use crate::resilience::switch::Turn;
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, named_params, params};
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How long to wait for a command that is writing.
const BUSY: Duration = Duration::from_secs(2);
/// Calls waiting for the thread.
const BACKLOG: usize = 1024;
/// Writes that are committed together at most.
const BATCH: usize = 64;
/// Bytes of journal that are kept between checkpoints.
const JOURNAL_BYTES: u32 = 16 << 20;

pub(super) const NOW: &str = "CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER)";
/// The first moment of the day, in UTC.
const TODAY: &str = "(unixepoch('now') / 86400 * 86400000)";

/// A handle on the thread that owns the database; clones share it. The thread ends with the last handle.
#[derive(Clone, Debug)]
pub struct Sqlite {
    calls: mpsc::Sender<Call>,
}

/// Told whether what was written is on the disk.
type Commit = Box<dyn FnOnce(Result<(), String>) + Send>;

enum Call {
    Read(Box<dyn FnOnce(&Connection) + Send>),
    Write(Box<dyn FnOnce(&Connection) -> Commit + Send>),
}

impl Sqlite {
    /// Opens or creates the database for a service; on Unix only its owner can read it. Whatever ran when the last service
    /// ended has lost its lease. Errors: not a database, made by a newer version, or in use by another service.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let guard = only_service(path)?;
        let connection = connect(path)?;
        abandon(&connection)?;
        Self::start(connection, Some(guard), path)
    }

    /// The same for a command beside a service: whatever runs goes on.
    pub fn open_beside(path: &Path) -> Result<Self, StoreError> {
        Self::start(connect(path)?, None, path)
    }

    /// A store that forgets, for a service that nobody asked to remember.
    pub fn in_memory() -> Result<Self, StoreError> {
        let path = Path::new(":memory:");
        let mut connection = Connection::open_in_memory().map_err(|source| open_error(path, source))?;
        prepare(&mut connection, path)?;
        Self::start(connection, None, path)
    }

    fn start(connection: Connection, guard: Option<File>, path: &Path) -> Result<Self, StoreError> {
        let (calls, queue) = mpsc::channel(BACKLOG);
        std::thread::Builder::new()
            .name("krins-store".into())
            .spawn(move || {
                serve(connection, queue);
                // Nobody else may open the file before the connection is closed.
                drop(guard);
            })
            .map_err(|source| StoreError::Create { path: path.to_owned(), source })?;
        Ok(Self { calls })
    }

    /// Runs `work` in a transaction on the thread; `Ok` after the commit.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let call = move |connection: &Connection| -> Commit {
            let done = savepoint(connection, work);
            Box::new(move |committed| {
                let result = match (done, committed) {
                    (Err(error), _) => Err(StoreError::Sqlite(error)),
                    (Ok(_), Err(why)) => Err(StoreError::Commit(why)),
                    (Ok(value), Ok(())) => Ok(value),
                };
                // Nobody waits for the answer of a dropped call.
                let _ = reply.send(result);
            })
        };
        self.calls.send(Call::Write(Box::new(call))).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Runs `work` on the thread, outside of what is not committed.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let call = move |connection: &Connection| {
            let _ = reply.send(work(connection));
        };
        self.calls.send(Call::Read(Box::new(call))).await.map_err(|_| StoreError::Closed)?;
        Ok(answer.await.map_err(|_| StoreError::Closed)??)
    }
}

/// Until the last handle is gone.
fn serve(mut connection: Connection, mut queue: mpsc::Receiver<Call>) {
    while let Some(call) = queue.blocking_recv() {
        match call {
            Call::Read(read) => read(&connection),
            Call::Write(write) => batch(&mut connection, write, &mut queue),
        }
    }
}

/// One transaction for the writes that wait; reads among them come after, because they must not see what may yet be lost.
fn batch(
    connection: &mut Connection,
    first: Box<dyn FnOnce(&Connection) -> Commit + Send>,
    queue: &mut mpsc::Receiver<Call>,
) {
    let mut reads = Vec::new();
    let mut commits = Vec::new();
    let committed = connection.transaction_with_behavior(TransactionBehavior::Immediate).and_then(|transaction| {
        commits.push(first(&transaction));
        while commits.len() + reads.len() < BATCH {
            match queue.try_recv() {
                Ok(Call::Write(write)) => commits.push(write(&transaction)),
                Ok(Call::Read(read)) => reads.push(read),
                Err(_) => break,
            }
        }
        transaction.commit()
    });
    let committed = committed.map_err(|error| error.to_string());
    for commit in commits {
        commit(committed.clone());
    }
    for read in reads {
        read(connection);
    }
}

fn savepoint<T>(connection: &Connection, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    connection.execute_batch("SAVEPOINT call")?;
    let done = work(connection);
    let end = if done.is_ok() { "RELEASE call" } else { "ROLLBACK TO call; RELEASE call" };
    connection.execute_batch(end).and(done)
}

/// Kept as long as the service lives; the kernel lets go of it when the process dies.
fn only_service(path: &Path) -> Result<File, StoreError> {
    let beside = beside(path);
    let file = private(&beside)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::InUse { path: path.to_owned() }),
        Err(std::fs::TryLockError::Error(source)) => Err(StoreError::Create { path: beside, source }),
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".service");
    path.with_file_name(name)
}

fn private(path: &Path) -> Result<File, StoreError> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|source| StoreError::Create { path: path.to_owned(), source })
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    private(path)?;
    let mut connection = Connection::open(path).map_err(|source| open_error(path, source))?;
    prepare(&mut connection, path)?;
    Ok(connection)
}

fn prepare(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let wrap = |source| open_error(path, source);
    connection.busy_timeout(BUSY).map_err(wrap)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
             PRAGMA journal_size_limit = {JOURNAL_BYTES};"
        ))
        .map_err(wrap)?;
    migrate(connection, path)
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let wrap = |source| open_error(path, source);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(wrap)?;
    // The first program wrote `user_version` only.
    let mut version: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(wrap)?;
    transaction
        .execute_batch(
            "CREATE TABLE IF NOT EXISTS krins_schema (version INTEGER NOT NULL, oldest INTEGER NOT NULL) STRICT",
        )
        .map_err(wrap)?;
    let oldest: Option<i64> =
        transaction.query_row("SELECT max(oldest) FROM krins_schema", [], |row| row.get(0)).map_err(wrap)?;
    if oldest.unwrap_or(version.min(1)) > migrations::KNOWN {
        return Err(StoreError::Newer { found: version, known: migrations::KNOWN });
    }
    for step in migrations::STEPS.iter().filter(|step| step.version > version) {
        transaction.execute_batch(step.sqlite).map_err(wrap)?;
        (step.sqlite_too)(&transaction).map_err(wrap)?;
        transaction
            .execute("INSERT INTO krins_schema (version, oldest) VALUES (?1, ?2)", [step.version, step.oldest])
            .map_err(wrap)?;
    }
    version = version.max(migrations::KNOWN);
    transaction.execute_batch(&format!("PRAGMA user_version = {version}")).map_err(wrap)?;
    transaction.commit().map_err(wrap)
}

/// Nobody else serves this file, so no lease is anybody's, and no call is under way.
fn abandon(connection: &Connection) -> Result<(), StoreError> {
    connection.execute("UPDATE task SET lease_until_ms = 0 WHERE state = 'running'", [])?;
    connection.execute("UPDATE attempt SET state = 'unknown' WHERE state = 'started'", [])?;
    Ok(())
}

fn open_error(path: &Path, source: rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => StoreError::InUse { path },
        _ => StoreError::Open { path, source },
    }
}

#[async_trait]
impl Store for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn submit(&self, row: NewRow, room: Room) -> Result<Submission, StoreError> {
        self.write(move |db| submit(db, &row, room)).await
    }

    async fn get(&self, tenant: &str, id: &str) -> Result<Option<TaskRow>, StoreError> {
        let (tenant, id) = (tenant.to_owned(), id.to_owned());
        self.read(move |db| {
            db.prepare_cached(&format!("SELECT {TASK} FROM task WHERE tenant = ?1 AND id = ?2"))?
                .query_row(params![tenant, id], task_row)
                .optional()
        })
        .await
    }

    async fn look(&self, ids: &[String]) -> Result<Vec<TaskRow>, StoreError> {
        let ids = ids.to_vec();
        self.read(move |db| {
            let mut statement = db.prepare_cached(&format!("SELECT {TASK} FROM task WHERE id = ?1"))?;
            let mut rows = Vec::new();
            for id in ids {
                rows.extend(statement.query_row([id], task_row).optional()?);
            }
            Ok(rows)
        })
        .await
    }

    async fn claim(&self, worker: &str, wanted: usize, lease: Duration) -> Result<Claimed, StoreError> {
        let worker = worker.to_owned();
        self.write(move |db| claim(db, &worker, wanted, lease)).await
    }

    async fn renew(&self, fences: &[Fence], lease: Duration) -> Result<Vec<String>, StoreError> {
        let fences = fences.to_vec();
        self.write(move |db| {
            let mut statement = db.prepare_cached(&format!(
                "UPDATE task SET lease_until_ms = {NOW} + ?3 WHERE id = ?1 AND lease_token = ?2 AND state = 'running'"
            ))?;
            let mut lost = Vec::new();
            for fence in fences {
                if statement.execute(params![fence.id, fence.token, millis(lease)])? == 0 {
                    lost.push(fence.id);
                }
            }
            Ok(lost)
        })
        .await
    }

    async fn finish(&self, fence: &Fence, end: End) -> Result<Option<TaskRow>, StoreError> {
        let fence = fence.clone();
        let (state, answer, error, why) = match end {
            End::Done(answer) => (State::Done, Some(answer), None, None),
            End::Failed(error) => (State::Failed, None, Some(error), None),
            End::Dead { error, reason: why } => (State::Dead, None, Some(error), Some(reason(&why))),
        };
        self.write(move |db| {
            let row = db
                .prepare_cached(&format!(
                    "UPDATE task SET state = ?3, answer = ?4, error = ?5, reason = ?6, updated_ms = {NOW}, {NO_LEASE}, \
                     seq = epoch * {BLOCK} + {BLOCK} - 1 \
                     WHERE id = ?1 AND lease_token = ?2 AND state = 'running' RETURNING {TASK}"
                ))?
                .query_row(params![fence.id, fence.token, state.name(), answer, error, why], task_row)
                .optional()?;
            happened(db, row.as_ref(), state.name(), why.as_deref())?;
            Ok(row)
        })
        .await
    }

    async fn retry(&self, fence: &Fence, pause: Duration, why: &str) -> Result<Option<TaskRow>, StoreError> {
        let (fence, why) = (fence.clone(), reason(why));
        self.write(move |db| {
            let row = db
                .prepare_cached(&format!(
                    "UPDATE task SET state = 'queued', run_at_ms = {NOW} + ?3, reason = ?4, updated_ms = {NOW}, {NO_LEASE}, \
                     seq = epoch * {BLOCK} + {BLOCK} - 2 \
                     WHERE id = ?1 AND lease_token = ?2 AND state = 'running' RETURNING {TASK}"
                ))?
                .query_row(params![fence.id, fence.token, millis(pause), why], task_row)
                .optional()?;
            happened(db, row.as_ref(), "retried", Some(&why))?;
            Ok(row)
        })
        .await
    }

    async fn release(&self, fence: &Fence) -> Result<Option<TaskRow>, StoreError> {
        let fence = fence.clone();
        self.write(move |db| {
            let row = db
                .prepare_cached(&format!(
                    "UPDATE task SET state = 'queued', runs = runs - 1, updated_ms = {NOW}, {NO_LEASE}, \
                     seq = epoch * {BLOCK} + {BLOCK} - 2 \
                     WHERE id = ?1 AND lease_token = ?2 AND state = 'running' RETURNING {TASK}"
                ))?
                .query_row(params![fence.id, fence.token], task_row)
                .optional()?;
            happened(db, row.as_ref(), "released", None)?;
            Ok(row)
        })
        .await
    }

    async fn cancel(&self, tenant: &str, id: &str) -> Result<Option<TaskRow>, StoreError> {
        let (tenant, id) = (tenant.to_owned(), id.to_owned());
        self.write(move |db| {
            let row = db
                .prepare_cached(&format!(
                    "UPDATE task SET state = 'cancelled', updated_ms = {NOW}, {NO_LEASE}, \
                     seq = epoch * {BLOCK} + {BLOCK} - 1 \
                     WHERE tenant = ?1 AND id = ?2 AND state IN ('queued', 'running') RETURNING {TASK}"
                ))?
                .query_row(params![tenant, id], task_row)
                .optional()?;
            happened(db, row.as_ref(), "cancelled", None)?;
            Ok(row)
        })
        .await
    }

    async fn sweep(&self, burial: &Burial) -> Result<Swept, StoreError> {
        let burial = burial.clone();
        self.write(move |db| sweep(db, &burial)).await
    }

    async fn dead(&self, tenant: Option<&str>, limit: usize) -> Result<Vec<DeadRow>, StoreError> {
        let tenant = tenant.map(str::to_owned);
        self.read(move |db| {
            db.prepare_cached(&format!(
                "SELECT {TASK}, reason, runs, crashes, created_ms, updated_ms FROM task \
                 WHERE state = 'dead' AND (?1 IS NULL OR tenant = ?1) ORDER BY updated_ms DESC, id LIMIT ?2"
            ))?
            .query_map(params![tenant, count(limit)], |row| {
                Ok(DeadRow {
                    task: task_row(row)?,
                    reason: row.get::<_, Option<String>>(6)?.unwrap_or_default(),
                    runs: row.get(7)?,
                    crashes: row.get(8)?,
                    submitted_ms: row.get(9)?,
                    died_ms: row.get(10)?,
                })
            })?
            .collect()
        })
        .await
    }

    async fn requeue(&self, tenant: &str, id: &str) -> Result<Option<TaskRow>, StoreError> {
        let (tenant, id) = (tenant.to_owned(), id.to_owned());
        self.write(move |db| {
            let row = db
                .prepare_cached(&format!(
                    "UPDATE task SET state = 'queued', run_at_ms = {NOW}, runs = 0, crashes = 0, error = NULL, \
                     updated_ms = {NOW}, epoch = epoch + 1, seq = (epoch + 1) * {BLOCK} \
                     WHERE tenant = ?1 AND id = ?2 AND state = 'dead' RETURNING {TASK}"
                ))?
                .query_row(params![tenant, id], task_row)
                .optional()?;
            happened(db, row.as_ref(), "requeued", None)?;
            Ok(row)
        })
        .await
    }

    async fn history(&self, tenant: &str, id: &str) -> Result<Vec<Happened>, StoreError> {
        let (tenant, id) = (tenant.to_owned(), id.to_owned());
        self.read(move |db| {
            db.prepare_cached(
                "SELECT e.seq, e.at_ms, e.what, e.detail FROM task_event e JOIN task t ON t.id = e.task \
                 WHERE t.tenant = ?1 AND t.id = ?2 ORDER BY e.seq",
            )?
            .query_map(params![tenant, id], |row| {
                Ok(Happened { seq: unsigned(row, 0)?, at_ms: row.get(1)?, what: row.get(2)?, detail: row.get(3)? })
            })?
            .collect()
        })
        .await
    }

    async fn stats(&self, tenant: Option<&str>) -> Result<Stats, StoreError> {
        let tenant = tenant.map(str::to_owned);
        self.read(move |db| {
            let unfinished = format!(
                "SELECT coalesce(sum(state = 'queued'), 0), coalesce(sum(state = 'queued' AND run_at_ms > {NOW}), 0), \
                 coalesce(sum(state = 'running'), 0), coalesce(max(CASE WHEN state = 'queued' THEN {NOW} - run_at_ms END), 0) \
                 FROM task WHERE state IN ('queued', 'running') AND (?1 IS NULL OR tenant = ?1)"
            );
            let mut stats = db.prepare_cached(&unfinished)?.query_row([&tenant], |row| {
                Ok(Stats {
                    queued: unsigned(row, 0)?,
                    delayed: unsigned(row, 1)?,
                    running: unsigned(row, 2)?,
                    dead: 0,
                    oldest: duration(row.get(3)?),
                })
            })?;
            stats.dead = db
                .prepare_cached("SELECT count(*) FROM task WHERE state = 'dead' AND (?1 IS NULL OR tenant = ?1)")?
                .query_row([&tenant], |row| unsigned(row, 0))?;
            Ok(stats)
        })
        .await
    }

    async fn start_call(&self, call: NewCall, fence: Option<Fence>, limits: Limits) -> Result<CallBegun, StoreError> {
        self.write(move |db| start_call(db, &call, fence.as_ref(), limits)).await
    }

    async fn finish_call(&self, id: &str, end: CallEnd) -> Result<(), StoreError> {
        let id = id.to_owned();
        self.write(move |db| finish_call(db, &id, &end)).await
    }

    async fn note_calls(&self, begun: &[NewCall], ended: &[(String, CallEnd)]) -> Result<(), StoreError> {
        let (begun, ended) = (begun.to_vec(), ended.to_vec());
        self.write(move |db| {
            for call in &begun {
                start_call(db, call, None, Limits::default())?;
            }
            ended.iter().try_for_each(|(id, end)| finish_call(db, id, end))
        })
        .await
    }

    async fn calls(&self, tenant: &str, task: &str) -> Result<Vec<CallRow>, StoreError> {
        let (tenant, task) = (tenant.to_owned(), task.to_owned());
        self.read(move |db| {
            db.prepare_cached(&format!(
                "SELECT {CALL} FROM attempt WHERE tenant = ?1 AND task = ?2 ORDER BY started_ms, id LIMIT {LIST_LIMIT}"
            ))?
            .query_map(params![tenant, task], call_row)?
            .collect()
        })
        .await
    }

    async fn spending(
        &self,
        tenant: Option<&str>,
        person: Option<&str>,
        days: u32,
    ) -> Result<Vec<Spending>, StoreError> {
        let (tenant, person) = (tenant.map(str::to_owned), person.map(str::to_owned));
        self.read(move |db| {
            db.prepare_cached(&format!(
                "SELECT started_ms / 86400000 AS day, tenant, person, route, model, count(*), sum(state = 'failed'), \
                 sum({OPEN}), count(DISTINCT task), coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0), \
                 coalesce(sum(cache_read_tokens), 0), coalesce(sum(cache_write_tokens), 0), \
                 coalesce(sum(cache_write_long_tokens), 0), coalesce(max(usage_source = 'estimated'), 0), sum({COUNTS}), \
                 sum(cost_micros IS NULL AND state IN ('ok', 'failed')) \
                 FROM attempt WHERE started_ms >= {TODAY} - (?3 - 1) * 86400000 AND (?1 IS NULL OR tenant = ?1) \
                 AND (?2 IS NULL OR person = ?2) \
                 GROUP BY day, tenant, person, route, model ORDER BY day DESC, tenant, person, route, model \
                 LIMIT {LIST_LIMIT}"
            ))?
            .query_map(params![tenant, person, days.max(1)], spending_row)?
            .collect()
        })
        .await
    }

    async fn open_calls(&self) -> Result<Vec<CallRow>, StoreError> {
        self.read(move |db| {
            db.prepare_cached(&format!(
                "SELECT {CALL} FROM attempt WHERE {OPEN} ORDER BY started_ms, id LIMIT {LIST_LIMIT}"
            ))?
            .query_map([], call_row)?
            .collect()
        })
        .await
    }

    async fn reconcile(&self, id: &str, micros: u64) -> Result<Reconciled, StoreError> {
        let id = id.to_owned();
        self.write(move |db| {
            let under_way = under_way(NOW);
            let changed = db.execute(
                &format!(
                    "UPDATE attempt SET cost_micros = ?2, state = 'failed', error_kind = 'reconciled', ended_ms = {NOW} \
                     WHERE id = ?1 AND {OPEN} AND NOT ({under_way})"
                ),
                params![id, amount(micros)],
            )?;
            if changed > 0 {
                return Ok(Reconciled::Yes);
            }
            let is_open = db.prepare(&format!("SELECT 1 FROM attempt WHERE id = ?1 AND {OPEN}"))?.exists([id])?;
            Ok(if is_open { Reconciled::UnderWay } else { Reconciled::NotOpen })
        })
        .await
    }

    async fn judge(&self, tenant: &str, id: &str, passed: bool) -> Result<bool, StoreError> {
        let (tenant, id) = (tenant.to_owned(), id.to_owned());
        self.write(move |db| {
            let sql = "UPDATE task SET passed = ?3 WHERE tenant = ?1 AND id = ?2 AND state = 'done'";
            Ok(db.execute(sql, params![tenant, id, passed])? > 0)
        })
        .await
    }

    async fn verdict(&self, id: &str) -> Result<Option<bool>, StoreError> {
        let id = id.to_owned();
        self.read(move |db| {
            let row = db.prepare_cached("SELECT passed FROM task WHERE id = ?1")?.query_row([id], |row| row.get(0));
            Ok(row.optional()?.flatten())
        })
        .await
    }

    async fn switched_off(&self) -> Result<BTreeSet<String>, StoreError> {
        self.read(|db| {
            db.prepare_cached("SELECT provider FROM switched_off")?.query_map([], |row| row.get(0))?.collect()
        })
        .await
    }

    async fn switch(&self, turn: Turn, who: &str) -> Result<BTreeSet<String>, StoreError> {
        let who = who.to_owned();
        self.write(move |db| {
            let before: rusqlite::Result<BTreeSet<String>> =
                db.prepare_cached("SELECT provider FROM switched_off")?.query_map([], |row| row.get(0))?.collect();
            let off = turn.of(before?);
            db.execute("DELETE FROM switched_off", [])?;
            for provider in &off {
                db.execute("INSERT INTO switched_off (provider) VALUES (?1)", [provider])?;
            }
            db.execute(
                &format!("INSERT INTO deed (id, at_ms, who, what, detail) VALUES (?1, {NOW}, ?2, 'switch', ?3)"),
                params![uuid::Uuid::now_v7().to_string(), who, reason(&off_words(&off))],
            )?;
            Ok(off)
        })
        .await
    }

    async fn deeds(&self, limit: usize) -> Result<Vec<Deed>, StoreError> {
        self.read(move |db| {
            db.prepare_cached("SELECT at_ms, who, what, detail FROM deed ORDER BY at_ms DESC, id DESC LIMIT ?1")?
                .query_map([count(limit)], |row| {
                    Ok(Deed { at_ms: row.get(0)?, who: row.get(1)?, what: row.get(2)?, detail: row.get(3)? })
                })?
                .collect()
        })
        .await
    }

    async fn secret(&self, name: &str, fresh: &str) -> Result<String, StoreError> {
        let (name, fresh) = (name.to_owned(), fresh.to_owned());
        self.write(move |db| {
            db.execute("INSERT INTO secret (name, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING", [&name, &fresh])?;
            db.query_row("SELECT value FROM secret WHERE name = ?1", [&name], |row| row.get(0))
        })
        .await
    }

    async fn purge(&self, ended: Duration) -> Result<usize, StoreError> {
        self.write(move |db| {
            db.execute(&format!("DELETE FROM attempt WHERE started_ms < {NOW} - {YEAR_MS}"), [])?;
            db.execute(&format!("DELETE FROM deed WHERE at_ms < {NOW} - {YEAR_MS}"), [])?;
            db.execute(&format!("DELETE FROM path_lock WHERE until_ms < {NOW}"), [])?;
            db.execute(&format!("DELETE FROM access_token WHERE ends_ms < {NOW} - {TOKEN_MS}"), [])?;
            db.execute(
                &format!(
                    "DELETE FROM task WHERE updated_ms < {NOW} - ?1 AND state IN ('done', 'failed', 'dead', 'cancelled')"
                ),
                [millis(ended)],
            )
        })
        .await
    }

    async fn lock(&self, lock: NewLock, most: usize) -> Result<Locking, StoreError> {
        self.write(move |db| take_lock(db, &lock, most)).await
    }

    async fn unlock(&self, tenant: &str, project: &str, path: &str, token: Option<&str>) -> Result<bool, StoreError> {
        let words = [tenant, project, path].map(str::to_owned);
        let token = token.map(token_digest);
        self.write(move |db| {
            let [tenant, project, path] = words;
            let gone = db.execute(
                "DELETE FROM path_lock \
                 WHERE tenant = ?1 AND project = ?2 AND path = ?3 AND (?4 IS NULL OR token = ?4)",
                params![tenant, project, path, token],
            )?;
            Ok(gone > 0)
        })
        .await
    }

    async fn locks(&self, tenant: &str, project: &str) -> Result<Vec<LockRow>, StoreError> {
        let (tenant, project) = (tenant.to_owned(), project.to_owned());
        self.read(move |db| {
            db.prepare_cached(&format!(
                "SELECT project, path, holder, fence, until_ms - {NOW} FROM path_lock \
                 WHERE tenant = ?1 AND project = ?2 AND until_ms > {NOW} ORDER BY path"
            ))?
            .query_map(params![tenant, project], lock_row)?
            .collect()
        })
        .await
    }

    async fn add_token(&self, token: NewToken) -> Result<(), StoreError> {
        self.write(move |db| {
            db.execute(
                &format!(
                    "INSERT INTO access_token (id, tenant, sha256, scopes, created_ms, ends_ms, person, person_micros, rate) \
                     VALUES (?1, ?2, ?3, ?4, {NOW}, {NOW} + ?5, ?6, ?7, ?8)"
                ),
                params![
                    token.id,
                    token.tenant,
                    token.sha256,
                    token.scopes,
                    token.lifetime.map(millis),
                    token.person.name,
                    token.person.micros_per_day.map(amount),
                    token.rate
                ],
            )?;
            Ok(())
        })
        .await
    }

    async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        self.read(|db| {
            db.prepare_cached(&format!(
                "SELECT id, tenant, sha256, scopes, created_ms, ends_ms - {NOW}, person, person_micros, rate \
                 FROM access_token ORDER BY created_ms, id"
            ))?
            .query_map([], |row| {
                let left: Option<i64> = row.get(5)?;
                Ok(TokenRow {
                    id: row.get(0)?,
                    tenant: row.get(1)?,
                    sha256: row.get(2)?,
                    scopes: row.get(3)?,
                    person: person(row, 6)?,
                    rate: row.get(8)?,
                    created_ms: row.get(4)?,
                    left: left.map(duration),
                    expired: left.is_some_and(|left| left <= 0),
                })
            })?
            .collect()
        })
        .await
    }

    async fn end_token(&self, id: &str, after: Duration) -> Result<bool, StoreError> {
        let id = id.to_owned();
        self.write(move |db| {
            let changed = db.execute(
                &format!(
                    "UPDATE access_token SET ends_ms = min(coalesce(ends_ms, {NOW} + ?2), {NOW} + ?2) WHERE id = ?1"
                ),
                params![id, millis(after)],
            )?;
            Ok(changed > 0)
        })
        .await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.write(|db| db.query_row("SELECT 1", [], |_| Ok(()))).await
    }
}

fn submit(db: &Connection, row: &NewRow, room: Room) -> rusqlite::Result<Submission> {
    let known = db
        .prepare_cached(&format!("SELECT {TASK}, payload_sha256 FROM task WHERE tenant = ?1 AND key = ?2"))?
        .query_row(params![row.tenant, row.key], |known| Ok((task_row(known)?, known.get::<_, String>(6)?)))
        .optional()?;
    match known {
        Some((task, payload)) if payload == row.payload_sha256 => return Ok(Submission::Replayed(task)),
        Some(_) => return Ok(Submission::KeyConflict),
        None => {}
    }
    let (queued, mine): (i64, i64) = db
        .prepare_cached(
            "SELECT coalesce(sum(state = 'queued'), 0), coalesce(sum(tenant = ?1), 0) FROM task \
             WHERE state IN ('queued', 'running')",
        )?
        .query_row([&row.tenant], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if queued >= count(room.all) {
        return Ok(Submission::Full);
    }
    if mine >= count(room.tenant) {
        return Ok(Submission::TenantFull);
    }
    let task = db
        .prepare_cached(&format!(
            "INSERT INTO task (id, tenant, key, payload_sha256, payload, payload_version, state, run_at_ms, seq, \
             traceparent, tracestate, person, person_micros, created_ms, updated_ms) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'queued', {NOW}, 1, ?7, ?8, ?9, ?10, {NOW}, {NOW}) RETURNING {TASK}"
        ))?
        .query_row(
            params![
                row.id,
                row.tenant,
                row.key,
                row.payload_sha256,
                row.payload,
                row.payload_version,
                row.traceparent,
                row.tracestate,
                row.person.name,
                row.person.micros_per_day.map(amount)
            ],
            task_row,
        )?;
    happened(db, Some(&task), "accepted", None)?;
    Ok(Submission::Accepted(task))
}

fn claim(db: &Connection, worker: &str, wanted: usize, lease: Duration) -> rusqlite::Result<Claimed> {
    let ids: Vec<String> = db
        .prepare_cached(&format!(
            "SELECT id FROM task WHERE state = 'queued' AND run_at_ms <= {NOW} AND payload_version <= {PAYLOAD_VERSION} \
             ORDER BY priority DESC, run_at_ms, id LIMIT ?1"
        ))?
        .query_map([count(wanted)], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut tasks = Vec::new();
    for id in ids {
        let leased = db
            .prepare_cached(&format!(
                "UPDATE task SET state = 'running', epoch = epoch + 1, runs = runs + 1, seq = (epoch + 1) * {BLOCK}, \
                 lease_owner = ?2, lease_token = lower(hex(randomblob(16))), lease_until_ms = {NOW} + ?3, updated_ms = {NOW} \
                 WHERE id = ?1 AND state = 'queued' \
                 RETURNING id, lease_token, tenant, runs, seq, payload, traceparent, tracestate, updated_ms - created_ms, \
                 person, person_micros"
            ))?
            .query_row(params![id, worker, millis(lease)], |row| {
                Ok(Leased {
                    fence: Fence { id: row.get(0)?, token: row.get(1)? },
                    tenant: row.get(2)?,
                    run: row.get(3)?,
                    seq: unsigned(row, 4)?,
                    payload: row.get(5)?,
                    traceparent: row.get(6)?,
                    tracestate: row.get(7)?,
                    age: duration(row.get(8)?),
                    person: person(row, 9)?,
                })
            })?;
        record(db, &leased.fence.id, leased.seq, "started", Some(worker))?;
        tasks.push(leased);
    }
    let next: Option<i64> = db
        .prepare_cached(&format!("SELECT min(run_at_ms) - {NOW} FROM task WHERE state = 'queued'"))?
        .query_row([], |row| row.get(0))?;
    Ok(Claimed { tasks, next: next.map(duration) })
}

fn sweep(db: &Connection, burial: &Burial) -> rusqlite::Result<Swept> {
    let late: Vec<String> = db
        .prepare_cached(&format!(
            "SELECT id FROM task WHERE state = 'running' AND lease_until_ms < {NOW} ORDER BY lease_until_ms, id LIMIT 1000"
        ))?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut swept = Swept::default();
    for id in late {
        let (row, crashes): (TaskRow, u32) = db
            .prepare_cached(&format!(
                "UPDATE task SET crashes = crashes + 1, updated_ms = {NOW}, {NO_LEASE}, run_at_ms = {NOW} + ?4, \
                 state = CASE WHEN crashes + 1 >= ?2 THEN 'dead' ELSE 'queued' END, \
                 error = CASE WHEN crashes + 1 >= ?2 THEN ?3 END, \
                 seq = epoch * {BLOCK} + {BLOCK} - CASE WHEN crashes + 1 >= ?2 THEN 1 ELSE 2 END, \
                 reason = 'the server died ' || (crashes + 1) || ' times while it ran, last ' || coalesce(lease_owner, '?') \
                 WHERE id = ?1 RETURNING {TASK}, crashes"
            ))?
            .query_row(params![id, burial.crashes, burial.error, millis(burial.pause)], |row| {
                Ok((task_row(row)?, row.get(6)?))
            })?;
        db.execute("UPDATE attempt SET state = 'unknown' WHERE state = 'started' AND task = ?1", [&id])?;
        let what = if row.state == State::Dead { "dead" } else { "crashed" };
        happened(db, Some(&row), what, Some(&format!("crash {crashes}")))?;
        if row.state == State::Dead { swept.buried.push(row) } else { swept.requeued.push(row) }
    }
    Ok(swept)
}

fn start_call(db: &Connection, call: &NewCall, fence: Option<&Fence>, limits: Limits) -> rusqlite::Result<CallBegun> {
    if let Some(fence) = fence {
        let held = db
            .prepare_cached("SELECT 1 FROM task WHERE id = ?1 AND lease_token = ?2 AND state = 'running'")?
            .exists(params![fence.id, fence.token])?;
        if !held {
            return Ok(CallBegun::Overtaken);
        }
    }
    for (scope, limit) in limits_of(limits) {
        let whose = match scope {
            Scope::Task => "tenant = ?1 AND person = ?2 AND budget = ?3",
            Scope::PersonDay => &format!("tenant = ?1 AND person = ?2 AND ?3 = ?3 AND started_ms >= {TODAY}"),
            Scope::Day => &format!("tenant = ?1 AND ?2 = ?2 AND ?3 = ?3 AND started_ms >= {TODAY}"),
        };
        let used: i64 = db
            .prepare_cached(&format!("SELECT coalesce(sum({COUNTS}), 0) FROM attempt WHERE {whose}"))?
            .query_row(params![call.tenant, call.person, call.budget], |row| row.get(0))?;
        if let Some(refusal) = refusal(scope, limit, used, call.reserved_micros) {
            return Ok(CallBegun::OverBudget(refusal));
        }
    }
    db.prepare_cached(&format!(
        "INSERT INTO attempt (id, tenant, task, run, variant, n, route, model, state, reserved_micros, started_ms, \
         person, budget, purpose) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'started', ?9, {NOW}, ?10, ?11, ?12)"
    ))?
    .execute(params![
        call.id,
        call.tenant,
        call.task,
        call.run,
        call.variant,
        call.n,
        call.route,
        call.model,
        call.reserved_micros,
        call.person,
        call.budget,
        call.purpose.name()
    ])?;
    Ok(CallBegun::Yes)
}

fn finish_call(db: &Connection, id: &str, end: &CallEnd) -> rusqlite::Result<()> {
    let usage = end.usage;
    let tokens = |pick: fn(&Usage) -> u64| usage.as_ref().map(|usage| pick(usage) as i64);
    db.prepare_cached(&format!(
        "UPDATE attempt SET state = :state, ended_ms = {NOW}, first_token_ms = :first, input_tokens = :input, \
         output_tokens = :output, cache_read_tokens = :read, cache_write_tokens = :write, cache_write_long_tokens = :long, usage_source = :source, \
         cost_micros = :cost, price_version = :price, error_kind = :error, request_id = :request \
         WHERE id = :id AND state IN ('started', 'unknown') AND ended_ms IS NULL"
    ))?
    .execute(named_params! {
        ":id": id,
        ":state": end.state.name(),
        ":first": end.first_token.map(millis),
        ":input": tokens(|usage| usage.input_tokens),
        ":output": tokens(|usage| usage.output_tokens),
        ":read": tokens(|usage| usage.cache_read_tokens),
        ":write": tokens(|usage| usage.cache_write_tokens),
        ":long": tokens(|usage| usage.cache_write_long_tokens),
        ":source": usage_source(usage.as_ref()),
        ":cost": end.cost_micros,
        ":price": end.price_version,
        ":error": end.error_kind,
        ":request": end.request_id,
    })?;
    Ok(())
}

fn take_lock(db: &Connection, lock: &NewLock, most: usize) -> rusqlite::Result<Locking> {
    let others: i64 = db
        .prepare_cached(&format!(
            "SELECT count(*) FROM path_lock WHERE tenant = ?1 AND until_ms > {NOW} AND NOT (project = ?2 AND path = ?3)"
        ))?
        .query_row(params![lock.tenant, lock.project, lock.path], |row| row.get(0))?;
    if others >= count(most) {
        return Ok(Locking::TooMany);
    }
    let fence: i64 = db
        .prepare_cached(
            "INSERT INTO lock_fence (tenant, fence) VALUES (?1, 1) \
             ON CONFLICT (tenant) DO UPDATE SET fence = fence + 1 RETURNING fence",
        )?
        .query_row([&lock.tenant], |row| row.get(0))?;
    let held = db
        .prepare_cached(&format!(
            "INSERT INTO path_lock (tenant, project, path, holder, token, fence, until_ms) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, {NOW} + ?7) \
             ON CONFLICT (tenant, project, path) DO UPDATE SET holder = excluded.holder, token = excluded.token, \
             until_ms = excluded.until_ms, \
             fence = CASE WHEN path_lock.token = excluded.token AND path_lock.until_ms > {NOW} \
                     THEN path_lock.fence ELSE excluded.fence END \
             WHERE path_lock.until_ms <= {NOW} OR path_lock.token = excluded.token \
             RETURNING project, path, holder, fence, until_ms - {NOW}"
        ))?
        .query_row(
            params![
                lock.tenant,
                lock.project,
                lock.path,
                lock.holder,
                token_digest(&lock.token),
                fence,
                millis(lock.ttl)
            ],
            lock_row,
        )
        .optional()?;
    if let Some(held) = held {
        return Ok(Locking::Held(held));
    }
    let other = db
        .prepare_cached(&format!(
            "SELECT project, path, holder, fence, until_ms - {NOW} FROM path_lock \
             WHERE tenant = ?1 AND project = ?2 AND path = ?3"
        ))?
        .query_row(params![lock.tenant, lock.project, lock.path], lock_row)?;
    Ok(Locking::Refused(other))
}

/// Within the transaction of the change itself.
fn happened(db: &Connection, row: Option<&TaskRow>, what: &str, detail: Option<&str>) -> rusqlite::Result<()> {
    row.map_or(Ok(()), |row| record(db, &row.id, row.seq, what, detail))
}

fn record(db: &Connection, task: &str, seq: u64, what: &str, detail: Option<&str>) -> rusqlite::Result<()> {
    db.prepare_cached(&format!(
        "INSERT INTO task_event (task, seq, at_ms, what, detail) VALUES (?1, ?2, {NOW}, ?3, ?4)"
    ))?
    .execute(params![task, seq as i64, what, detail])?;
    Ok(())
}

fn task_row(row: &Row<'_>) -> rusqlite::Result<TaskRow> {
    Ok(TaskRow {
        id: row.get(0)?,
        tenant: row.get(1)?,
        state: State::of(&row.get::<_, String>(2)?),
        seq: unsigned(row, 3)?,
        answer: row.get(4)?,
        error: row.get(5)?,
    })
}

fn lock_row(row: &Row<'_>) -> rusqlite::Result<LockRow> {
    Ok(LockRow {
        project: row.get(0)?,
        path: row.get(1)?,
        holder: row.get(2)?,
        fence: unsigned(row, 3)?,
        left: duration(row.get(4)?),
    })
}

fn call_row(row: &Row<'_>) -> rusqlite::Result<CallRow> {
    let tokens = |column| Ok::<u64, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.unwrap_or(0).max(0) as u64);
    let source: Option<String> = row.get(15)?;
    let usage = Usage {
        input_tokens: tokens(11)?,
        output_tokens: tokens(12)?,
        cache_read_tokens: tokens(13)?,
        cache_write_tokens: tokens(14)?,
        cache_write_long_tokens: tokens(22)?,
        estimated: source.as_deref() == Some("estimated"),
    };
    Ok(CallRow {
        call: NewCall {
            id: row.get(0)?,
            tenant: row.get(1)?,
            person: row.get(23)?,
            task: row.get(2)?,
            budget: row.get(24)?,
            purpose: Purpose::of_name(&row.get::<_, String>(25)?).unwrap_or_default(),
            run: row.get(3)?,
            variant: row.get(4)?,
            n: row.get(5)?,
            route: row.get(6)?,
            model: row.get(7)?,
            reserved_micros: row.get(8)?,
        },
        end: CallEnd {
            state: CallState::of(&row.get::<_, String>(9)?),
            first_token: row.get::<_, Option<i64>>(10)?.map(duration),
            usage: source.is_some().then_some(usage),
            cost_micros: row.get(16)?,
            price_version: row.get(17)?,
            error_kind: row.get(18)?,
            request_id: row.get(19)?,
        },
        started_ms: row.get(20)?,
        ended_ms: row.get(21)?,
    })
}

fn spending_row(row: &Row<'_>) -> rusqlite::Result<Spending> {
    Ok(Spending {
        day: row.get(0)?,
        tenant: row.get(1)?,
        person: row.get(2)?,
        route: row.get(3)?,
        model: row.get(4)?,
        calls: unsigned(row, 5)?,
        failed: unsigned(row, 6)?,
        open: unsigned(row, 7)?,
        tasks: unsigned(row, 8)?,
        usage: Usage {
            input_tokens: unsigned(row, 9)?,
            output_tokens: unsigned(row, 10)?,
            cache_read_tokens: unsigned(row, 11)?,
            cache_write_tokens: unsigned(row, 12)?,
            cache_write_long_tokens: unsigned(row, 13)?,
            estimated: row.get(14)?,
        },
        micros: unsigned(row, 15)?,
        unpriced: unsigned(row, 16)?,
    })
}

/// Name and limit, from this column on.
fn person(row: &Row<'_>, column: usize) -> rusqlite::Result<Person> {
    let micros: Option<i64> = row.get(column + 1)?;
    Ok(Person { name: row.get(column)?, micros_per_day: micros.map(|micros| micros.max(0).cast_unsigned()) })
}

fn usage_source(usage: Option<&Usage>) -> Option<&'static str> {
    usage.map(|usage| if usage.estimated { "estimated" } else { "provider" })
}

fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.max(0) as u64)
}

/// For those who share the store by its trait.
impl From<Sqlite> for Arc<dyn Store> {
    fn from(store: Sqlite) -> Self {
        Arc::new(store)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_service_is_kept_off_the_file_and_a_command_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tasks.db");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let store = Sqlite::open(&path).unwrap();
        runtime.block_on(store.ping()).unwrap();
        assert!(matches!(Sqlite::open(&path), Err(StoreError::InUse { .. })));
        let beside = Sqlite::open_beside(&path).unwrap();
        runtime.block_on(beside.ping()).unwrap();
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
            assert_eq!(mode & 0o777, 0o600, "prompts are nobody else's business");
        }
    }

    #[test]
    fn something_else_than_a_database_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tasks.db");
        std::fs::write(&path, "not a database at all, but long enough to be read as one".repeat(40)).unwrap();
        assert!(matches!(Sqlite::open(&path), Err(StoreError::Open { .. })));
        assert!(matches!(Sqlite::open(directory.path()), Err(StoreError::Create { .. })));
    }

    #[tokio::test]
    async fn a_file_of_the_first_version_is_taken_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tasks.db");
        {
            let old = Connection::open(&path).unwrap();
            old.execute_batch(migrations::STEPS[0].sqlite).unwrap();
            old.execute_batch("PRAGMA user_version = 1").unwrap();
            for (id, state, answer) in [("a", "done", Some("{}")), ("b", "running", None), ("c", "queued", None)] {
                old.execute(
                    "INSERT INTO task (id, tenant, key, payload_sha256, payload, state, seq, attempts, traceparent, answer, \
                     created_ms, updated_ms) VALUES (?1, 't', ?1, 's', 'p', ?2, 1048576, 1, '00', ?3, 1, 1)",
                    params![id, state, answer],
                )
                .unwrap();
            }
        }
        let store = Sqlite::open(&path).unwrap();
        assert_eq!(store.get("t", "a").await.unwrap().unwrap().answer.as_deref(), Some("{}"));
        let burial = Burial { crashes: 2, error: "{}".into(), pause: Duration::ZERO };
        let swept = store.sweep(&burial).await.unwrap();
        assert_eq!(swept.requeued.len(), 1, "what ran was left by a process that is gone");
        let claimed = store.claim("w", 9, Duration::from_secs(9)).await.unwrap();
        assert_eq!(claimed.tasks.len(), 2);
        assert!(claimed.tasks.iter().all(|task| task.seq >= 2 * BLOCK as u64 || task.fence.id == "c"));
    }

    #[tokio::test]
    async fn locks_of_before_are_given_back_after_an_upgrade_and_their_tokens_are_digests_then() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tasks.db");
        {
            let old = connect(&path).unwrap();
            old.execute_batch("DELETE FROM krins_schema WHERE version > 4; PRAGMA user_version = 4").unwrap();
            for (file, left) in [("held", 60_000), ("given", 60_000), ("ended", -1)] {
                let sql = format!("INSERT INTO path_lock VALUES ('t', 'p', ?1, 'ann', 'secret', 7, {NOW} + ?2)");
                old.execute(&sql, params![file, left]).unwrap();
            }
        }
        let store = Sqlite::open(&path).unwrap();
        assert!(!store.unlock("t", "p", "given", Some("secret of bob")).await.unwrap());
        assert!(store.unlock("t", "p", "given", Some("secret")).await.unwrap());
        let rows: Vec<(String, String)> = store
            .read(|db| {
                let mut select = db.prepare("SELECT path, token FROM path_lock")?;
                select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
            })
            .await
            .unwrap();
        assert_eq!(rows, [("held".to_owned(), token_digest("secret"))]);
        let lock = NewLock {
            tenant: "t".into(),
            project: "p".into(),
            path: "held".into(),
            holder: "ann".into(),
            token: "secret".into(),
            ttl: Duration::from_secs(60),
        };
        let renewed = store.lock(lock, 9).await.unwrap();
        assert!(matches!(&renewed, Locking::Held(row) if row.fence == 7), "it is the same lock: {renewed:?}");
    }

    #[tokio::test]
    async fn a_conversation_of_a_process_that_is_gone_can_be_charged_at_once_after_a_new_start() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tasks.db");
        let store = Sqlite::open(&path).unwrap();
        let call = NewCall { id: "a".into(), reserved_micros: Some(5), ..NewCall::default() };
        assert_eq!(store.start_call(call, None, Limits::default()).await.unwrap(), CallBegun::Yes);
        assert_eq!(store.reconcile("a", 1).await.unwrap(), Reconciled::UnderWay);
        drop(store);
        let store = loop {
            match Sqlite::open(&path) {
                Ok(store) => break store,
                // The thread of before is still closing it.
                Err(StoreError::InUse { .. }) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(store.reconcile("a", 1).await.unwrap(), Reconciled::Yes);
    }

    #[test]
    fn a_newer_file_is_refused_only_when_it_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tasks.db");
        drop(connect(&path).unwrap());
        let newer = |oldest: i64| {
            let connection = Connection::open(&path).unwrap();
            connection.execute("INSERT INTO krins_schema VALUES (99, ?1)", [oldest]).unwrap();
            connection.execute_batch("PRAGMA user_version = 99").unwrap();
        };
        newer(migrations::KNOWN);
        assert!(connect(&path).is_ok(), "it only has more than we know");
        newer(migrations::KNOWN + 1);
        assert!(matches!(connect(&path), Err(StoreError::Newer { found: 99, .. })));
    }
}
