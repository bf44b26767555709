//! The ledger and the router's log, in one SQLite file that every process of a person (or a service) shares. A thread owns
//! the connection and commits what has come in the meantime in one transaction; each takes the write lock first, so
//! whoever reserves sees everything that others have reserved.

use super::{Charge, Ledger, LedgerError, Limits, Purpose, Refusal, Reserve, Scope, prices::Day};
use crate::Usage;
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long to wait for another process that is writing.
const BUSY: Duration = Duration::from_secs(10);
/// Jobs in one transaction.
const BATCH: usize = 256;
/// Days that settled calls and decisions are kept.
const KEPT_DAYS: i64 = 400;

/// What is run inside the transaction, or told why there is none; what it gives back is told of the commit.
type Job = Box<dyn FnOnce(Result<&Connection, &str>) -> Ack + Send>;
type Ack = Box<dyn FnOnce(Result<(), &str>) + Send>;

/// A handle; the thread starts with the first job and ends, its jobs done, with the handle.
#[derive(Debug)]
pub struct Books {
    path: Option<PathBuf>,
    thread: OnceLock<Option<Thread>>,
}

#[derive(Debug)]
struct Thread {
    jobs: Mutex<Option<Sender<Job>>>,
    handle: Mutex<Option<JoinHandle<()>>>,
}

/// One call as it stands in the books.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attempt {
    pub id: String,
    pub task: String,
    pub purpose: String,
    pub variant: u32,
    pub route: String,
    pub started_ms: i64,
    pub usage: Usage,
    /// Reserved before the call.
    pub reserved: Option<u64>,
    /// Charged after it; `None` while it is open, or when the price is not known.
    pub charged: Option<u64>,
    /// `None` while nobody said how the call ended.
    pub outcome: Option<String>,
}

impl Books {
    /// The books in that file, or in memory. Nothing is opened before there is need.
    pub fn at(path: Option<PathBuf>) -> Self {
        Self { path, thread: OnceLock::new() }
    }

    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    fn send(&self, job: Job) {
        let thread = self.thread.get_or_init(|| {
            start(self.path.clone())
                .inspect_err(|error| tracing::warn!(%error, "the ledger's thread did not start"))
                .ok()
        });
        let jobs =
            thread.as_ref().and_then(|thread| thread.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone());
        let rest = match jobs {
            None => Some(job),
            Some(jobs) => jobs.send(job).err().map(|unsent| unsent.0),
        };
        if let Some(job) = rest {
            job(Err("its thread is gone"))(Err("its thread is gone"));
        }
    }

    /// Runs `work` in a transaction; `Ok` after the commit.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (reply, answer) = oneshot::channel();
        self.send(Box::new(move |connection| {
            let done = match connection {
                Ok(connection) => work(connection).map_err(|error| error.to_string()),
                Err(why) => Err(why.to_owned()),
            };
            Box::new(move |committed| {
                // Nobody waits for the answer of a dropped call.
                let _ = reply.send(committed.map_err(str::to_owned).and(done));
            })
        }));
        let answer = answer.await.unwrap_or_else(|_| Err("its thread is gone".to_owned()));
        answer.map_err(LedgerError::Store)
    }

    /// The same, without waiting: what fails is logged.
    pub fn run_behind(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<()> + Send + 'static) {
        self.send(Box::new(move |connection| {
            let done = match connection {
                Ok(connection) => work(connection).map_err(|error| error.to_string()),
                Err(why) => Err(why.to_owned()),
            };
            Box::new(move |committed| {
                if let Err(error) = committed.map_err(str::to_owned).and(done) {
                    tracing::warn!(%error, "the ledger could not be written");
                }
            })
        }));
    }

    /// Waits until everything is written that was sent before.
    pub async fn flush(&self) {
        if self.thread.get().is_some() {
            let _ = self.run(|_| Ok(())).await;
        }
    }

    /// The calls of one task, or all since a day, oldest first; at most `most`.
    pub async fn attempts(&self, filter: Which, most: usize) -> Result<Vec<Attempt>, LedgerError> {
        self.run(move |connection| {
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            match filter {
                Which::Task(task) => rows(connection, "task = ?1", &task, most),
                Which::Since(day) => rows(connection, "day >= ?1", &day.0, most),
                Which::Open => rows(connection, "outcome IS NULL AND day >= ?1", &i64::MIN, most),
            }
        })
        .await
    }

    /// What the calls of a day cost, and what is reserved for those that are not over: as the budget counts it. No books are
    /// begun for the question.
    pub async fn spent_on(&self, day: Day) -> Result<u64, LedgerError> {
        if self.thread.get().is_none() && self.path.as_ref().is_some_and(|path| !path.exists()) {
            return Ok(0);
        }
        self.run(move |connection| {
            connection.query_row(
                "SELECT COALESCE(SUM(CASE WHEN outcome IS NULL THEN reserved ELSE charged END), 0) FROM attempt WHERE day = ?1",
                [day.0],
                |row| row.get::<_, i64>(0),
            )
        })
        .await
        .map(|sum| u64::try_from(sum).unwrap_or(0))
    }

    /// Says what a call cost that nobody charged, because its process died. Whether there was one.
    pub async fn reconcile(&self, id: &str, micros: u64) -> Result<bool, LedgerError> {
        let id = id.to_owned();
        self.run(move |connection| {
            let changed = connection.execute(
                "UPDATE attempt SET charged = ?2, outcome = 'reconciled' WHERE id = ?1 AND outcome IS NULL",
                params![id, signed(micros)],
            )?;
            Ok(changed > 0)
        })
        .await
    }
}

/// Which calls are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    Task(String),
    Since(Day),
    /// Reserved, and nobody said what became of them.
    Open,
}

#[async_trait]
impl Ledger for Books {
    async fn reserve(&self, call: Reserve) -> Result<(), LedgerError> {
        if call.limits.is_none() {
            self.run_behind(move |connection| insert(connection, &call));
            return Ok(());
        }
        let refused = self.run(move |connection| match refuse(connection, &call)? {
            Some(refusal) => Ok(Some(refusal)),
            None => insert(connection, &call).map(|()| None),
        });
        match refused.await? {
            None => Ok(()),
            Some(refusal) => Err(LedgerError::Refused(refusal)),
        }
    }

    fn charge(&self, id: &str, charge: Charge) {
        let id = id.to_owned();
        self.run_behind(move |connection| {
            let Charge { usage, micros, price, outcome, now_ms, .. } = &charge;
            connection
                .prepare_cached(
                    "UPDATE attempt SET charged = ?2, price_from = ?3, outcome = ?4, ended_ms = ?5, input = ?6, output = ?7, \
                     cache_read = ?8, cache_write = ?9, cache_write_long = ?10, estimated = ?11 WHERE id = ?1 AND outcome IS NULL",
                )?
                .execute(params![
                    id,
                    micros.map(signed),
                    price.map(|day| day.0),
                    outcome,
                    now_ms,
                    signed(usage.input_tokens),
                    signed(usage.output_tokens),
                    signed(usage.cache_read_tokens),
                    signed(usage.cache_write_tokens),
                    signed(usage.cache_write_long_tokens),
                    usage.estimated,
                ])?;
            Ok(())
        });
    }

    async fn flush(&self) {
        Self::flush(self).await;
    }
}

/// The first limit that the call would exceed.
fn refuse(connection: &Connection, call: &Reserve) -> rusqlite::Result<Option<Refusal>> {
    let wanted = call.micros.unwrap_or(u64::MAX);
    let day = Day::of_millis(call.now_ms).0;
    let Limits { task, day: daily, person_day } = call.limits;
    let used = |scope: Scope| -> rusqlite::Result<u64> {
        let (condition, key): (&str, &dyn rusqlite::ToSql) = match scope {
            Scope::Task => ("tenant = ?1 AND task = ?2", &call.task),
            Scope::Day => ("tenant = ?1 AND day = ?2", &day),
            Scope::PersonDay => ("tenant = ?1 AND day = ?2 AND person = ?3", &day),
        };
        // What was reserved counts until somebody says what it really was.
        let sum = format!(
            "SELECT COALESCE(SUM(CASE WHEN outcome IS NULL THEN reserved ELSE charged END), 0) FROM attempt WHERE {condition}"
        );
        let mut statement = connection.prepare_cached(&sum)?;
        let found: i64 = match scope {
            Scope::PersonDay => statement.query_row(params![call.tenant, key, call.person], |row| row.get(0))?,
            Scope::Task | Scope::Day => statement.query_row(params![call.tenant, key], |row| row.get(0))?,
        };
        Ok(u64::try_from(found).unwrap_or(0))
    };
    for (scope, limit) in [(Scope::Task, task), (Scope::PersonDay, person_day), (Scope::Day, daily)] {
        let Some(limit) = limit else { continue };
        let used = used(scope)?;
        if used.saturating_add(wanted) > limit {
            return Ok(Some(Refusal { scope, limit, used, wanted }));
        }
    }
    Ok(None)
}

fn insert(connection: &Connection, call: &Reserve) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO attempt (id, tenant, person, task, purpose, variant, route, day, started_ms, reserved) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            call.id,
            call.tenant,
            call.person,
            call.task,
            call.purpose.name(),
            call.variant,
            call.route,
            Day::of_millis(call.now_ms).0,
            call.now_ms,
            call.micros.map(signed),
        ])?;
    Ok(())
}

fn rows(
    connection: &Connection,
    condition: &str,
    key: &dyn rusqlite::ToSql,
    most: i64,
) -> rusqlite::Result<Vec<Attempt>> {
    let select = format!(
        "SELECT id, task, purpose, variant, route, started_ms, input, output, cache_read, cache_write, cache_write_long, estimated, \
         reserved, charged, outcome FROM attempt WHERE {condition} ORDER BY started_ms, id LIMIT ?2"
    );
    let mut statement = connection.prepare_cached(&select)?;
    let found = statement.query_map(params![key, most], attempt)?;
    found.collect()
}

fn attempt(row: &Row<'_>) -> rusqlite::Result<Attempt> {
    let count = |at: usize| -> rusqlite::Result<u64> { Ok(u64::try_from(row.get::<_, i64>(at)?).unwrap_or(0)) };
    let micros = |at: usize| -> rusqlite::Result<Option<u64>> {
        Ok(row.get::<_, Option<i64>>(at)?.map(|micros| u64::try_from(micros).unwrap_or(0)))
    };
    Ok(Attempt {
        id: row.get(0)?,
        task: row.get(1)?,
        purpose: row.get(2)?,
        variant: row.get(3)?,
        route: row.get(4)?,
        started_ms: row.get(5)?,
        usage: Usage {
            input_tokens: count(6)?,
            output_tokens: count(7)?,
            cache_read_tokens: count(8)?,
            cache_write_tokens: count(9)?,
            cache_write_long_tokens: count(10)?,
            estimated: row.get(11)?,
        },
        reserved: micros(12)?,
        charged: micros(13)?,
        outcome: row.get(14)?,
    })
}

/// SQLite's numbers are signed, and a sum of them must not overflow: no amount is near this.
fn signed(number: u64) -> i64 {
    number.min(1 << 53).cast_signed()
}

impl Drop for Books {
    fn drop(&mut self) {
        let Some(Some(thread)) = self.thread.take() else { return };
        drop(thread.jobs.into_inner().unwrap_or_else(PoisonError::into_inner));
        if let Some(handle) = thread.handle.into_inner().unwrap_or_else(PoisonError::into_inner) {
            // What was charged last is worth the milliseconds.
            let _ = handle.join();
        }
    }
}

fn start(path: Option<PathBuf>) -> std::io::Result<Thread> {
    let (jobs, queue) = channel::<Job>();
    let handle =
        std::thread::Builder::new().name("krins-books".into()).spawn(move || serve(path.as_deref(), &queue))?;
    Ok(Thread { jobs: Mutex::new(Some(jobs)), handle: Mutex::new(Some(handle)) })
}

fn serve(path: Option<&Path>, queue: &Receiver<Job>) {
    let mut opened: Option<Connection> = None;
    while let Ok(first) = queue.recv() {
        let mut batch = vec![first];
        batch.extend(queue.try_iter().take(BATCH - 1));
        if opened.is_none() {
            match open_patiently(path) {
                Ok(connection) => opened = Some(connection),
                Err(error) => {
                    fail(batch, &error.to_string());
                    continue;
                }
            }
        }
        if let Some(connection) = &mut opened {
            carry_out(connection, batch);
        }
    }
}

fn carry_out(connection: &mut Connection, batch: Vec<Job>) {
    let transaction = match connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate) {
        Ok(transaction) => transaction,
        Err(error) => return fail(batch, &error.to_string()),
    };
    let acks: Vec<Ack> = batch.into_iter().map(|job| job(Ok(&transaction))).collect();
    let committed = transaction.commit().map_err(|error| error.to_string());
    for ack in acks {
        ack(committed.as_ref().copied().map_err(String::as_str));
    }
}

fn fail(batch: Vec<Job>, why: &str) {
    for job in batch {
        job(Err(why))(Err(why));
    }
}

const SCHEMA_VERSION: i64 = 1;
const SCHEMA: &str = "
CREATE TABLE attempt (
    id               TEXT PRIMARY KEY,
    tenant           TEXT NOT NULL,
    person           TEXT NOT NULL,
    task             TEXT NOT NULL,
    purpose          TEXT NOT NULL,
    variant          INTEGER NOT NULL,
    route            TEXT NOT NULL,
    day              INTEGER NOT NULL,
    started_ms       INTEGER NOT NULL,
    ended_ms         INTEGER,
    reserved         INTEGER,
    charged          INTEGER,
    price_from       INTEGER,
    outcome          TEXT,
    input            INTEGER NOT NULL DEFAULT 0,
    output           INTEGER NOT NULL DEFAULT 0,
    cache_read       INTEGER NOT NULL DEFAULT 0,
    cache_write      INTEGER NOT NULL DEFAULT 0,
    cache_write_long INTEGER NOT NULL DEFAULT 0,
    estimated        INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX attempt_by_task ON attempt (tenant, task);
CREATE INDEX attempt_by_day ON attempt (tenant, day);
CREATE INDEX attempt_open ON attempt (day) WHERE outcome IS NULL;
CREATE TABLE decision (
    id           TEXT PRIMARY KEY,
    tenant       TEXT NOT NULL,
    task         TEXT NOT NULL,
    day          INTEGER NOT NULL,
    decided_ms   INTEGER NOT NULL,
    policy       TEXT NOT NULL,
    class        TEXT NOT NULL,
    arms         TEXT NOT NULL,
    chosen       TEXT NOT NULL,
    propensity   REAL NOT NULL,
    seed         INTEGER NOT NULL,
    explanation  TEXT NOT NULL
) STRICT;
CREATE INDEX decision_by_task ON decision (tenant, task);
CREATE TABLE outcome (
    decision     TEXT NOT NULL REFERENCES decision (id) ON DELETE CASCADE,
    source       TEXT NOT NULL,
    reward       REAL NOT NULL,
    noted_ms     INTEGER NOT NULL,
    PRIMARY KEY (decision, source)
) STRICT;
";

/// Processes that make the file at the same moment get in each other's way where SQLite does not wait.
fn open_patiently(path: Option<&Path>) -> rusqlite::Result<Connection> {
    let mut tries = 0;
    loop {
        tries += 1;
        match open(path) {
            Err(error) if tries < 20 && error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => {
                std::thread::sleep(Duration::from_millis(25));
            }
            opened => return opened,
        }
    }
}

fn open(path: Option<&Path>) -> rusqlite::Result<Connection> {
    let mut connection = match path {
        None => Connection::open_in_memory()?,
        Some(path) => {
            make_private(path);
            Connection::open(path)?
        }
    };
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match version {
        0 => {
            transaction.execute_batch(SCHEMA)?;
            transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        }
        SCHEMA_VERSION => {}
        newer => {
            return Err(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN),
                Some(format!("the books were written by a newer version (schema {newer})")),
            ));
        }
    }
    forget(&transaction)?;
    transaction.commit()?;
    Ok(connection)
}

/// Old entries go; an open one stays until somebody says what it was.
fn forget(connection: &Connection) -> rusqlite::Result<()> {
    let newest: Option<i64> =
        connection.query_row("SELECT MAX(day) FROM attempt", [], |row| row.get(0)).optional()?.flatten();
    if let Some(newest) = newest {
        connection.execute("DELETE FROM attempt WHERE day < ?1 AND outcome IS NOT NULL", [newest - KEPT_DAYS])?;
        connection.execute("DELETE FROM decision WHERE day < ?1", [newest - KEPT_DAYS])?;
    }
    Ok(())
}

/// What is spent on is the person's own business. SQLite gives its other files the same rights.
fn make_private(path: &Path) {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    if let Some(dir) = path.parent() {
        let _ = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    }
    // What goes wrong here goes wrong at the open, too, and is told there.
    let _ = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path);
}

impl Purpose {
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Author, Self::Judge].into_iter().find(|purpose| purpose.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    const NOON: i64 = 20_000 * 86_400_000 + 43_200_000;

    fn call(id: &str, task: &str, micros: u64, limits: Limits) -> Reserve {
        Reserve {
            id: id.into(),
            tenant: String::new(),
            person: "me".into(),
            task: task.into(),
            budget: task.into(),
            purpose: Purpose::Author,
            variant: 0,
            route: "p/m".into(),
            run: None,
            now_ms: NOON,
            micros: Some(micros),
            limits,
        }
    }

    fn charge(micros: u64) -> Charge {
        Charge {
            usage: Usage::default(),
            micros: Some(micros),
            price: None,
            outcome: "ok".into(),
            now_ms: NOON + 5,
            first_token: None,
            response: None,
        }
    }

    fn daily(micros: u64) -> Limits {
        Limits { day: Some(micros), ..Limits::default() }
    }

    #[tokio::test]
    async fn each_limit_holds_for_its_own_and_charging_gives_back_what_was_not_needed() {
        let books = Books::at(None);
        let limits = Limits { task: Some(100), day: Some(250), person_day: Some(180) };
        books.reserve(call("1", "a", 100, limits)).await.unwrap();
        let refused = books.reserve(call("2", "a", 1, limits)).await.unwrap_err();
        assert_eq!(refused, LedgerError::Refused(Refusal { scope: Scope::Task, limit: 100, used: 100, wanted: 1 }));
        books.charge("1", charge(30));
        books.reserve(call("3", "a", 70, limits)).await.unwrap();
        let refused = books.reserve(call("4", "b", 81, limits)).await.unwrap_err();
        assert_eq!(
            refused,
            LedgerError::Refused(Refusal { scope: Scope::PersonDay, limit: 180, used: 100, wanted: 81 })
        );
        let other = Reserve { person: "you".into(), ..call("5", "b", 100, limits) };
        books.reserve(other).await.unwrap();
        let third = Reserve { person: "they".into(), ..call("6", "c", 51, limits) };
        let refused = books.reserve(third.clone()).await.unwrap_err();
        assert_eq!(refused, LedgerError::Refused(Refusal { scope: Scope::Day, limit: 250, used: 200, wanted: 51 }));
        // Another tenant, and another day, have their own money.
        books.reserve(Reserve { tenant: "t".into(), id: "7".into(), ..third.clone() }).await.unwrap();
        books.reserve(Reserve { now_ms: NOON + 86_400_000, ..third }).await.unwrap();
        // A price that nobody knows does not fit any limit.
        let unknown = Reserve { micros: None, ..call("8", "z", 0, limits) };
        assert!(matches!(books.reserve(unknown).await, Err(LedgerError::Refused(_))));
    }

    #[tokio::test]
    async fn what_a_crash_left_open_stays_charged_until_somebody_says_what_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/books.sqlite");
        let books = Books::at(Some(path.clone()));
        books.reserve(call("1", "a", 100, daily(150))).await.unwrap();
        drop(books);
        let books = Books::at(Some(path.clone()));
        assert!(matches!(books.reserve(call("2", "b", 51, daily(150))).await, Err(LedgerError::Refused(_))));
        let open = books.attempts(Which::Open, 10).await.unwrap();
        assert_eq!((open.len(), open[0].reserved, open[0].charged), (1, Some(100), None));
        assert!(books.reconcile("1", 20).await.unwrap() && !books.reconcile("1", 0).await.unwrap());
        books.reserve(call("2", "b", 51, daily(150))).await.unwrap();
        // A late charge changes nothing any more.
        books.charge("1", charge(0));
        let all = books.attempts(Which::Since(Day(0)), 10).await.unwrap();
        assert_eq!(all.iter().map(|attempt| attempt.charged).collect::<Vec<_>>(), [Some(20), None]);
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_an_error_and_without_limits_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("books.sqlite");
        std::fs::write(&path, "this is no database at all, and long enough to be seen as something else").unwrap();
        let books = Books::at(Some(path));
        assert!(matches!(books.reserve(call("1", "a", 1, daily(5))).await, Err(LedgerError::Store(_))));
        books.reserve(call("2", "a", 1, Limits::default())).await.unwrap();
        books.flush().await;
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        /// Several processes, each with its own connection: whatever they reserve and charge, in whatever order, the sum of what
        /// is charged and still reserved is never above the limit.
        #[test]
        fn nobody_overspends_together(
            limit in 0u64..2_000,
            plans in proptest::collection::vec(proptest::collection::vec((1u64..400, 0u64..=100, any::<bool>()), 1..12), 2..5)
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("books.sqlite");
            let granted = Arc::new(AtomicU64::new(0));
            std::thread::scope(|scope| {
                for (process, plan) in plans.iter().enumerate() {
                    let (path, granted) = (path.clone(), granted.clone());
                    scope.spawn(move || {
                        let books = Books::at(Some(path));
                        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                        for (number, (micros, percent, crash)) in plan.iter().enumerate() {
                            let id = format!("{process}-{number}");
                            let reserved = runtime.block_on(books.reserve(call(&id, "a", *micros, daily(limit))));
                            if reserved.is_ok() && *crash {
                                granted.fetch_add(*micros, Ordering::SeqCst);
                            } else if reserved.is_ok() {
                                books.charge(&id, charge(micros * percent / 100));
                                granted.fetch_add(micros * percent / 100, Ordering::SeqCst);
                            }
                        }
                    });
                }
            });
            let books = Books::at(Some(path));
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let all = runtime.block_on(books.attempts(Which::Since(Day(0)), 1000)).unwrap();
            let sum: u64 = all.iter().filter_map(|attempt| attempt.charged.or(attempt.reserved)).sum();
            prop_assert_eq!(sum, granted.load(Ordering::SeqCst));
            prop_assert!(sum <= limit, "{} of {}", sum, limit);
        }
    }
}
