//! The service's memory behind one trait: tasks, their leases and history, model calls, locks and tokens. Two forms, one
//! behaviour: [`Sqlite`] (one file, one process) and [`Postgres`] (several replicas over one database). What a call here
//! answered `Ok` to survives `kill -9` and power loss.
//!
//! A task runs under a lease: a random token and an end. Every change of a running task is fenced by its token, so a run
//! that was overtaken (cancelled, expired, begun anew) changes nothing, however late it wakes up. The database's clock
//! decides all times: none is ever sent to it. This module must not know HTTP, backends or what a payload means.

mod audit;
mod hint;
mod migrations;
mod postgres;
mod sqlite;

pub use audit::{AboutPage, AboutRow, Appended, AuditBook, AuditEntry};
pub use hint::Hint;
pub(crate) use hint::{of_message, to_messages};
pub use postgres::Postgres;
pub use sqlite::Sqlite;

use crate::money::{Limits, Purpose, Refusal, Scope};
use crate::resilience::switch::Turn;
use async_trait::async_trait;
use krins_core::Digest;
use krins_protocol::http::RemoteState;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// Sequence numbers per run. A task's number is strictly rising over restarts without a write for every progress
/// event, because each run has its own block: first the start, then progress, last the requeueing or the end.
const BLOCK: i64 = 1 << 20;
/// The newest form of a payload that this program reads. Replicas claim no newer one, so old and new ones can share a queue.
pub const PAYLOAD_VERSION: i32 = 1;
/// Entries of one list that leaves the store.
pub const LIST_LIMIT: usize = 1000;
/// Characters of a reason that is kept.
const REASON_LENGTH: usize = 500;
/// The longest that a call can be under way: what the settings let a whole ask take at most (`total_seconds`).
const CALL_MS: i64 = 3600 * 1000;
/// How long calls, and what was done to the service, are kept.
const YEAR_MS: i64 = 366 * 24 * 3600 * 1000;
/// How long an ended token is still listed.
const TOKEN_MS: i64 = 30 * 24 * 3600 * 1000;

// What both forms say in the same words.

const TASK: &str = "id, tenant, state, seq, answer, error";
const NO_LEASE: &str = "lease_owner = NULL, lease_token = NULL, lease_until_ms = NULL";
const CALL: &str = "id, tenant, task, run, variant, n, route, model, reserved_micros, state, first_token_ms, \
    input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, usage_source, cost_micros, price_version, \
    error_kind, request_id, started_ms, ended_ms, cache_write_long_tokens, person, budget, purpose";
/// What a call counts for: what it cost, and as long as nobody knows, what it reserved.
const COUNTS: &str = "coalesce(cost_micros, CASE WHEN state IN ('started', 'unknown') THEN reserved_micros END, 0)";
/// A call whose cost nobody said.
const OPEN: &str = "cost_micros IS NULL AND state IN ('started', 'unknown')";

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("open the database {path}")]
    Open {
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
    #[error("open the database {path}: another service uses it")]
    InUse { path: PathBuf },
    #[error("create {path}")]
    Create {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("use the database: it was made by a newer version (schema {found}, this one reads up to {known})")]
    Newer { found: i64, known: i64 },
    #[error("use the database")]
    Sqlite(#[from] rusqlite::Error),
    #[error("use the database: {0}")]
    Commit(String),
    /// Never holds the address: it may hold a password.
    #[error("use the database's address: {0}")]
    Address(&'static str),
    #[error("use PostgreSQL: {0}")]
    Postgres(String),
    #[error("use the database: it is closed")]
    Closed,
}

/// Where a task is. On the wire `Dead` is `failed`: whoever waits is told the error either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Queued,
    Running,
    Done,
    /// The answer is no.
    Failed,
    /// Given up: it took its worker down too often, or what it needs was not there too often.
    Dead,
    Cancelled,
}

impl State {
    pub const ALL: [Self; 6] = [Self::Queued, Self::Running, Self::Done, Self::Failed, Self::Dead, Self::Cancelled];

    /// The word in the database, in metrics and in logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    pub const fn wire(self) -> RemoteState {
        match self {
            Self::Queued => RemoteState::Queued,
            Self::Running => RemoteState::Running,
            Self::Done => RemoteState::Done,
            Self::Failed | Self::Dead => RemoteState::Failed,
            Self::Cancelled => RemoteState::Cancelled,
        }
    }

    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }

    /// The table's CHECK admits these words only.
    fn of(name: &str) -> Self {
        Self::ALL.into_iter().find(|state| state.name() == name).unwrap_or(Self::Failed)
    }
}

/// A task to be remembered.
#[derive(Clone, Debug)]
pub struct NewRow {
    pub id: String,
    /// Whose it is; keys of different tenants never meet.
    pub tenant: String,
    /// Who of them pays.
    pub person: Person,
    /// The idempotency key.
    pub key: String,
    /// Hex digest of the canonical payload.
    pub payload_sha256: String,
    pub payload: String,
    pub payload_version: i32,
    pub traceparent: String,
    pub tracestate: Option<String>,
}

/// Who pays for a call, of a tenant's persons.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    pub name: String,
    /// What calls may cost this person a day, in millionths of a US dollar, instead of what the settings say of everybody.
    pub micros_per_day: Option<u64>,
}

/// How many tasks may wait. Replicas that submit at the very same moment may pass it by one each.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Of everybody.
    pub all: usize,
    /// Of one tenant, those that run included.
    pub tenant: usize,
}

impl Room {
    pub const UNLIMITED: Self = Self { all: i64::MAX as usize, tenant: i64::MAX as usize };
}

/// A task as remembered. `answer` and `error` are JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRow {
    pub id: String,
    pub tenant: String,
    pub state: State,
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
    /// The key was new, and there was no room for it.
    Full,
    /// The same, for this tenant only.
    TenantFull,
}

/// What a run's writes are fenced by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fence {
    pub id: String,
    /// Random, made by the database.
    pub token: String,
}

/// A task that is this worker's until its lease ends, and what its run needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leased {
    pub fence: Fence,
    pub tenant: String,
    pub person: Person,
    /// From 1, since it was submitted or put back by hand.
    pub run: u32,
    pub seq: u64,
    pub payload: String,
    pub traceparent: String,
    pub tracestate: Option<String>,
    /// Since it was submitted.
    pub age: Duration,
}

impl Leased {
    /// The sequence number of the `n`-th progress event of this run, from 1; saturates before the end's.
    pub fn progress_seq(&self, n: u64) -> u64 {
        self.seq + n.min(BLOCK as u64 - 3)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claimed {
    pub tasks: Vec<Leased>,
    /// Until the next task that waits for its time; `None` when none does.
    pub next: Option<Duration>,
}

/// How a run ended. The texts are JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    Done(String),
    Failed(String),
    /// Given up, with a reason for a person beside the error.
    Dead {
        error: String,
        reason: String,
    },
}

/// What happens to tasks whose worker let the lease end.
#[derive(Clone, Debug)]
pub struct Burial {
    /// Crashes after which a task is dead.
    pub crashes: u32,
    /// The error (JSON) that it then has.
    pub error: String,
    /// Before it runs again.
    pub pause: Duration,
}

/// What [`Store::sweep`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// To be run again.
    pub requeued: Vec<TaskRow>,
    /// Dead now.
    pub buried: Vec<TaskRow>,
}

/// A dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadRow {
    pub task: TaskRow,
    pub reason: String,
    pub runs: u32,
    pub crashes: u32,
    pub submitted_ms: i64,
    pub died_ms: i64,
}

/// One thing that happened to a task. Committed with the change itself, so there is one `end` word per end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happened {
    pub seq: u64,
    pub at_ms: i64,
    /// `accepted`, `started`, `retried`, `released`, `crashed`, `requeued`, or the name of a terminal [`State`].
    pub what: String,
    pub detail: Option<String>,
}

/// The queue in figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub queued: u64,
    /// Of those, how many wait for their time.
    pub delayed: u64,
    pub running: u64,
    pub dead: u64,
    /// How long the first in line has waited.
    pub oldest: Duration,
}

/// A model call that is about to be made. Its row is on the disk before the call where a task makes it or a limit holds for
/// it, so that a crash leaves a trace of what may have been billed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewCall {
    pub id: String,
    pub tenant: String,
    /// Who of the tenant pays.
    pub person: String,
    pub task: String,
    /// What shares one budget with it: the asker's own name for the task.
    pub budget: String,
    pub purpose: Purpose,
    pub run: u32,
    pub variant: u32,
    /// Of the run's calls, from 1.
    pub n: u32,
    /// The provider's name in the settings.
    pub route: String,
    pub model: String,
    /// What it may cost at most, in millionths of a US dollar; `None` when the price is not known.
    pub reserved_micros: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallBegun {
    Yes,
    /// The run was overtaken: nothing was written, and the call must not be made.
    Overtaken,
    /// The reservation does not fit: nothing was written.
    OverBudget(Refusal),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallState {
    Started,
    Ok,
    Failed,
    /// Its worker is gone: what it reserved stays charged until somebody knows better.
    #[default]
    Unknown,
}

impl CallState {
    const ALL: [Self; 4] = [Self::Started, Self::Ok, Self::Failed, Self::Unknown];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }

    fn of(name: &str) -> Self {
        Self::ALL.into_iter().find(|state| state.name() == name).unwrap_or_default()
    }
}

/// What is known after a model call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallEnd {
    pub state: CallState,
    pub first_token: Option<Duration>,
    pub usage: Option<crate::Usage>,
    /// `None` when the price is not known.
    pub cost_micros: Option<i64>,
    pub price_version: Option<String>,
    pub error_kind: Option<String>,
    pub request_id: Option<String>,
}

/// A model call as remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRow {
    pub call: NewCall,
    pub end: CallEnd,
    pub started_ms: i64,
    pub ended_ms: Option<i64>,
}

/// What came of saying by hand what a call cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconciled {
    Yes,
    /// It is still being made, or nobody can tell that it is not: its own end says what it cost.
    UnderWay,
    /// There is no open one of that name.
    NotOpen,
}

/// What the calls of one person over one route came to on one day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spending {
    /// Since 1970, in UTC.
    pub day: i64,
    pub tenant: String,
    pub person: String,
    pub route: String,
    pub model: String,
    pub calls: u64,
    /// Of those, the ones that gave no answer.
    pub failed: u64,
    /// Of those, the ones whose end is not known.
    pub open: u64,
    /// Tasks that they were made for.
    pub tasks: u64,
    pub usage: crate::Usage,
    /// Charged, or reserved by what is open.
    pub micros: u64,
    /// Calls that ended and whose price is not known.
    pub unpriced: u64,
}

/// Something that somebody with the right to it did to the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    pub at_ms: i64,
    /// The token's name; never the token.
    pub who: String,
    pub what: String,
    pub detail: String,
}

/// A lease on a path of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockRow {
    pub project: String,
    pub path: String,
    pub holder: String,
    /// Rises with every lock that is given: who writes with a lower one is late.
    pub fence: u64,
    pub left: Duration,
}

#[derive(Clone, Debug)]
pub struct NewLock {
    pub tenant: String,
    pub project: String,
    pub path: String,
    pub holder: String,
    /// The secret that renews and releases; chosen by the holder. Only its digest is written down.
    pub token: String,
    pub ttl: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Locking {
    Held(LockRow),
    /// Somebody else has it.
    Refused(LockRow),
    /// The tenant has as many as it may have.
    TooMany,
}

/// A bearer token as kept: its digest, never itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    pub id: String,
    pub tenant: String,
    /// Hex sha256.
    pub sha256: String,
    /// Words, apart by spaces.
    pub scopes: String,
    /// Who uses it; of whoever is not named it is the token's own id.
    pub person: Person,
    /// Requests per minute of this person, instead of what the service allows everybody.
    pub rate: Option<u32>,
    pub created_ms: i64,
    /// Until it ends; `None` never.
    pub left: Option<Duration>,
    pub expired: bool,
}

#[derive(Clone, Debug)]
pub struct NewToken {
    pub id: String,
    pub tenant: String,
    pub sha256: String,
    pub scopes: String,
    pub person: Person,
    pub rate: Option<u32>,
    /// `None` never ends.
    pub lifetime: Option<Duration>,
}

/// See the module's words. Futures may be dropped: a write then is done whole or not at all.
#[async_trait]
pub trait Store: AuditBook + Send + Sync + std::fmt::Debug {
    /// `sqlite` or `postgresql`.
    fn name(&self) -> &'static str;

    /// Whether other processes change it too.
    fn is_shared(&self) -> bool;

    /// Remembers the task unless its key is known. `Accepted` means that it is on the disk.
    async fn submit(&self, row: NewRow, room: Room) -> Result<Submission, StoreError>;

    async fn get(&self, tenant: &str, id: &str) -> Result<Option<TaskRow>, StoreError>;

    /// These tasks, of any tenant; unknown ones are left out.
    async fn look(&self, ids: &[String]) -> Result<Vec<TaskRow>, StoreError>;

    /// Takes up to `wanted` tasks whose time has come, first come first served, under leases.
    async fn claim(&self, worker: &str, wanted: usize, lease: Duration) -> Result<Claimed, StoreError>;

    /// Prolongs leases; answers the ids of those that are lost.
    async fn renew(&self, fences: &[Fence], lease: Duration) -> Result<Vec<String>, StoreError>;

    /// Ends a run; `None` when it was overtaken.
    async fn finish(&self, fence: &Fence, end: End) -> Result<Option<TaskRow>, StoreError>;

    /// Puts a failed run back, to be run after a pause; `None` when it was overtaken.
    async fn retry(&self, fence: &Fence, pause: Duration, reason: &str) -> Result<Option<TaskRow>, StoreError>;

    /// Puts an unfinished run back at once, without blame and without counting it.
    async fn release(&self, fence: &Fence) -> Result<Option<TaskRow>, StoreError>;

    /// Cancels a queued or running task; `None` when it is neither.
    async fn cancel(&self, tenant: &str, id: &str) -> Result<Option<TaskRow>, StoreError>;

    /// Takes tasks back whose lease has ended: each counts a crash.
    async fn sweep(&self, burial: &Burial) -> Result<Swept, StoreError>;

    /// Dead letters, the newest first; of one tenant or of all.
    async fn dead(&self, tenant: Option<&str>, limit: usize) -> Result<Vec<DeadRow>, StoreError>;

    /// Puts a dead task back with its counters at zero; `None` when it is not dead.
    async fn requeue(&self, tenant: &str, id: &str) -> Result<Option<TaskRow>, StoreError>;

    /// What happened to a task, oldest first.
    async fn history(&self, tenant: &str, id: &str) -> Result<Vec<Happened>, StoreError>;

    /// Of one tenant or of all.
    async fn stats(&self, tenant: Option<&str>) -> Result<Stats, StoreError>;

    /// Writes down that a call is about to be made. With a fence only if that run still has its lease; with limits only if
    /// its reservation fits what is left of each, which holds under any number of callers at once.
    async fn start_call(&self, call: NewCall, fence: Option<Fence>, limits: Limits) -> Result<CallBegun, StoreError>;

    /// Writes down how a call ended; a second time changes nothing.
    async fn finish_call(&self, id: &str, end: CallEnd) -> Result<(), StoreError>;

    /// Writes down calls on which nothing hangs, begun ones before ended ones, all or none.
    async fn note_calls(&self, begun: &[NewCall], ended: &[(String, CallEnd)]) -> Result<(), StoreError>;

    async fn calls(&self, tenant: &str, task: &str) -> Result<Vec<CallRow>, StoreError>;

    /// What calls came to on the last so many days, today included, by day, tenant, person and route; of one tenant or of
    /// all, of one person or of all, the newest first.
    async fn spending(
        &self,
        tenant: Option<&str>,
        person: Option<&str>,
        days: u32,
    ) -> Result<Vec<Spending>, StoreError>;

    /// Calls that were reserved and whose end nobody knows, the oldest first; those of runs under way are among them.
    async fn open_calls(&self) -> Result<Vec<CallRow>, StoreError>;

    /// Says what an open call really cost that is over.
    async fn reconcile(&self, id: &str, micros: u64) -> Result<Reconciled, StoreError>;

    /// Remembers the gate's word on a task's answer; whether there is such a task.
    async fn judge(&self, tenant: &str, id: &str, passed: bool) -> Result<bool, StoreError>;

    /// The gate's word, where there was one.
    async fn verdict(&self, id: &str) -> Result<Option<bool>, StoreError>;

    /// The providers that are switched off for every replica.
    async fn switched_off(&self) -> Result<BTreeSet<String>, StoreError>;

    /// Turns the switch, and writes down who did; answers what is off then.
    async fn switch(&self, turn: Turn, who: &str) -> Result<BTreeSet<String>, StoreError>;

    /// What was done to the service, the newest first.
    async fn deeds(&self, limit: usize) -> Result<Vec<Deed>, StoreError>;

    /// The secret of this name that every replica knows; `fresh` becomes it where there is none.
    async fn secret(&self, name: &str, fresh: &str) -> Result<String, StoreError>;

    /// Forgets tasks that ended longer ago than this, and calls of before the last year; answers how many tasks.
    async fn purge(&self, ended: Duration) -> Result<usize, StoreError>;

    /// Takes or renews a lock; `most` is how many a tenant may have.
    async fn lock(&self, lock: NewLock, most: usize) -> Result<Locking, StoreError>;

    /// Whether there was such a lock under this token. Without a token it is broken whoever holds it.
    async fn unlock(&self, tenant: &str, project: &str, path: &str, token: Option<&str>) -> Result<bool, StoreError>;

    async fn locks(&self, tenant: &str, project: &str) -> Result<Vec<LockRow>, StoreError>;

    async fn add_token(&self, token: NewToken) -> Result<(), StoreError>;

    /// Every token that was not revoked, oldest first.
    async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError>;

    /// Ends a token after this long, if that is sooner than its end; answers whether there was one.
    async fn end_token(&self, id: &str, after: Duration) -> Result<bool, StoreError>;

    /// Whether the database answers and can be written.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Tells other processes; best effort. Nothing depends on a hint's arrival but how soon things are seen.
    async fn publish(&self, _hints: &[Hint]) -> Result<(), StoreError> {
        Ok(())
    }

    /// What others publish; `None` when there are no others.
    fn hints(&self) -> Option<tokio::sync::mpsc::Receiver<Hint>> {
        None
    }
}

/// The word for a state on the wire, in metrics and in logs.
pub fn state_name(state: RemoteState) -> &'static str {
    match state {
        RemoteState::Queued => "queued",
        RemoteState::Running => "running",
        RemoteState::Done => "done",
        RemoteState::Failed => "failed",
        RemoteState::Cancelled => "cancelled",
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4).min(i64::MAX / 4)
}

fn duration(millis: i64) -> Duration {
    Duration::from_millis(millis.max(0) as u64)
}

fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Numbers of a database are signed, and a sum of them must not overflow: no amount is near this.
fn amount(micros: u64) -> i64 {
    micros.min(1 << 53).cast_signed()
}

/// What is written down of a lock's token: it opens the lock, so whoever reads the database must not have it.
fn token_digest(token: &str) -> String {
    Digest::of(token).to_string()
}

/// The condition that a call is under way, or that nobody can tell that it is not. A run's call is until the run's lease
/// ends; a conversation has no lease, so its call is as long as a call can be.
fn under_way(now: &str) -> String {
    let of = "FROM task WHERE task.id = attempt.task AND task.tenant = attempt.tenant";
    format!(
        "state = 'started' AND CASE WHEN EXISTS (SELECT 1 {of}) \
         THEN EXISTS (SELECT 1 {of} AND task.state = 'running' AND task.lease_until_ms > {now}) \
         ELSE started_ms > {now} - {CALL_MS} END"
    )
}

/// The limits that a call must fit, each with what it is of, in the order in which they are told.
fn limits_of(limits: Limits) -> impl Iterator<Item = (Scope, u64)> {
    let all = [(Scope::Task, limits.task), (Scope::PersonDay, limits.person_day), (Scope::Day, limits.day)];
    all.into_iter().filter_map(|(scope, limit)| Some((scope, limit?)))
}

/// The refusal, where the call does not fit what is left. A price that nobody knows fits no limit.
fn refusal(scope: Scope, limit: u64, used: i64, reserved: Option<i64>) -> Option<Refusal> {
    let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
    let (used, wanted) = (unsigned(used), reserved.map_or(u64::MAX, unsigned));
    (used.saturating_add(wanted) > limit).then_some(Refusal { scope, limit, used, wanted })
}

/// What is written down of a switch.
fn off_words(off: &BTreeSet<String>) -> String {
    match off.is_empty() {
        true => "everything on".to_owned(),
        false => format!("off: {}", Vec::from_iter(off.iter().map(String::as_str)).join(", ")),
    }
}

/// What is kept of a reason: one line of bounded length.
fn reason(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(REASON_LENGTH).collect()
}
