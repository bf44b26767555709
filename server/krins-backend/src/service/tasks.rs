//! The life of a task in the service: admitted, on the disk, claimed, run, followed, cancelled, drained.
//!
//! The store owns the truth; what runs here is what this replica holds a lease for, and the map of live tasks is what its
//! followers watch. Both change in the order of the task's sequence number, so whoever loses a race (a run against a
//! cancel, a replica against its successor) changes nothing.

use super::ServiceConfig;
use super::auth::{Caller, Door};
use super::fan::Fan;
use super::limits::{Limiter, Place, Places};
use super::problem::{Problem, chain};
use super::reports;
use crate::calls::Run;
use crate::metrics::Metrics;
use crate::money::Account;
use crate::resilience::switch::Turn;
use crate::store::{
    Burial, DeadRow, End, Fence, Happened, Hint, Leased, NewRow, PAYLOAD_VERSION, Room, Stats, Store, StoreError,
    Submission, TaskRow,
};
use crate::{Ask, Backend, BackendError, ProgressSink, propagation, wire};
use axum::http::StatusCode;
use futures::FutureExt;
use krins_core::patch::{self, Form};
use krins_core::{Digest, redact};
use krins_protocol::error::{ErrorData, ErrorKind, ErrorReport};
use krins_protocol::http::{Answer, AskStep, NewTask, RemoteState, RemoteTask, Spent};
use lru::LruCache;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// How long the end of a run is tried to be written. While the database is away nobody else can take the task over, and an
/// answer that was paid for is worth waiting.
const FINISH_PATIENCE: Duration = Duration::from_secs(60);
const FINISH_PAUSE: Duration = Duration::from_millis(200);
/// Before a store in trouble is asked again for work.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// Tasks whose answers can still be kept for others.
const ASKED: NonZeroUsize = NonZeroUsize::new(256).expect("256 is not zero");
/// What a cancelled run may still need to let go.
const LET_GO: Duration = Duration::from_secs(2);
/// Before a task runs again whose worker is gone.
const CRASH_PAUSE: Duration = Duration::from_millis(100);
/// Before a failed run is repeated: doubled each time, with full jitter.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
const RETRY_LONGEST: Duration = Duration::from_secs(30);
/// The longest this replica sleeps while nothing is to be done and nobody else can make work.
const IDLE: Duration = Duration::from_secs(30);
/// More than any task's id has.
const ID_LENGTH: usize = 128;
/// Characters of the name under which asks share a budget.
const BUDGET_NAME: usize = 200;
/// Steps of one run that its followers can still be told of: a task makes a few calls and waits a few times.
const STEPS: usize = 32;
/// Anybody may ask how the service is, as often as the store stands it.
const LOOKED: Duration = Duration::from_millis(500);
/// One person's event streams are at most one in so many of the connections.
const STREAM_SHARE: usize = 4;
/// Questions to the code graph that are worked on at the same time: each takes a thread until it is answered, also when
/// nobody waits for it any more.
const QUESTIONS: usize = 8;
/// Between two progress events that are told to other replicas.
const PROGRESS_PACE: Duration = Duration::from_millis(250);

pub struct Tasks {
    pub config: ServiceConfig,
    pub metrics: Metrics,
    pub door: Door,
    pub limiter: Limiter,
    backend: Arc<dyn Backend>,
    store: Arc<dyn Store>,
    fan: Fan,
    /// Tasks that somebody follows here, or that run here, by id and tenant: whoever asks for another's task by its id
    /// must not push the real one out.
    live: Mutex<BTreeMap<(String, String), Arc<Live>>>,
    held: Mutex<BTreeMap<String, Held>>,
    /// What was asked for the last tasks, for the gate's word on their answers.
    asked: Mutex<LruCache<String, Ask>>,
    /// There may be work.
    work: Notify,
    /// As last counted.
    waiting: AtomicUsize,
    /// Smoothed, for telling a refused caller when to come again.
    average_ms: AtomicU64,
    /// How long the first in line had waited, as last counted.
    oldest_ms: AtomicU64,
    draining: CancellationToken,
    abort: CancellationToken,
    closing: CancellationToken,
    runs: TaskTracker,
    /// Room for conversations, all callers' and each one's.
    chats: (Arc<Semaphore>, Places),
    /// Room for questions to the code graph.
    pub questions: Arc<Semaphore>,
    streams: Places,
    seen: tokio::sync::Mutex<Option<(Instant, Look)>>,
}

/// How the dependencies are.
#[derive(Clone, Debug)]
pub struct Look {
    /// Or what is wrong with it.
    pub store: Result<(), String>,
    /// Tasks in the queue; as last counted, where the store does not say.
    pub waiting: u64,
    /// Where there is one, whether it answers.
    pub redis: Option<bool>,
}

/// Held for as long as a conversation runs.
#[derive(Debug)]
pub struct ChatRoom {
    _permit: OwnedSemaphorePermit,
    _place: Option<Place>,
}

/// A task as its followers see it.
struct Live {
    view: watch::Sender<View>,
}

/// A lease of this replica.
#[derive(Clone)]
struct Held {
    fence: Fence,
    /// The run was overtaken: cancelled, or its lease is somebody else's.
    overtaken: CancellationToken,
}

#[derive(Clone, Debug)]
pub struct View {
    pub task: Arc<RemoteTask>,
    /// (sequence number, characters) of the newest progress.
    pub received: Option<(u64, u64)>,
    /// The run's last steps with their sequence numbers, which rise.
    pub steps: Arc<Vec<(u64, AskStep)>>,
}

pub struct Submitted {
    pub task: RemoteTask,
    pub replayed: bool,
}

enum Outcome {
    Ended(Result<Answer, BackendError>),
    TooSlow,
    Overtaken,
    Aborted,
}

impl Tasks {
    pub async fn start(
        backend: Arc<dyn Backend>,
        store: Arc<dyn Store>,
        config: ServiceConfig,
    ) -> Result<Arc<Self>, StoreError> {
        let fan = Fan::start(Arc::clone(&store), config.redis.clone());
        let heard = fan.hear();
        // Nobody takes the last quarter along.
        let chats = (Arc::new(Semaphore::new(config.chats)), Places::new(config.chats - config.chats / 4));
        let door = Door::open(config.tokens.clone(), Arc::clone(&store)).await?;
        let tasks = Arc::new(Self {
            metrics: Metrics::new(Arc::clone(&backend)),
            door,
            limiter: Limiter::new(config.redis.clone()),
            questions: Arc::new(Semaphore::new(QUESTIONS)),
            streams: Places::new((config.connections / STREAM_SHARE).max(1)),
            config,
            backend,
            store,
            fan,
            live: Mutex::default(),
            held: Mutex::default(),
            asked: Mutex::new(LruCache::new(ASKED)),
            chats,
            seen: tokio::sync::Mutex::default(),
            oldest_ms: AtomicU64::new(0),
            work: Notify::new(),
            waiting: AtomicUsize::new(0),
            average_ms: AtomicU64::new(5_000),
            draining: CancellationToken::new(),
            abort: CancellationToken::new(),
            closing: CancellationToken::new(),
            runs: TaskTracker::new(),
        });
        tasks.sweep().await?;
        tasks.count().await?;
        tasks.look_at_switch().await?;
        tokio::spawn(Arc::clone(&tasks).dispatch());
        tokio::spawn(Arc::clone(&tasks).keep_leases());
        tokio::spawn(Arc::clone(&tasks).hear(heard));
        if tasks.store.is_shared() {
            tokio::spawn(Arc::clone(&tasks).look_regularly());
        }
        Ok(tasks)
    }

    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub fn fan(&self) -> &Fan {
        &self.fan
    }

    /// Remembers and queues a task, or finds the one its key already names. Not cancelled with its caller: what is on the
    /// disk must be told of.
    pub async fn submit(
        self: &Arc<Self>,
        caller: Caller,
        key: Option<String>,
        task: NewTask,
    ) -> Result<Submitted, Problem> {
        let row = new_row(caller, key, task)?;
        let tasks = Arc::clone(self);
        tokio::spawn(propagation::carry(async move { tasks.admit(row).await }))
            .await
            .map_err(|error| Problem::internal("accept the task", &error))?
    }

    async fn admit(&self, row: NewRow) -> Result<Submitted, Problem> {
        if self.is_draining() {
            return Err(Problem::new(ErrorKind::BackendUnavailable, "accept the task: the server is shutting down")
                .retry_after(1));
        }
        let room = Room { all: self.config.queue, tenant: self.config.tenant_queue.unwrap_or(usize::MAX) };
        match self.store.submit(row, room).await {
            Ok(Submission::Accepted(row)) => {
                self.waiting.fetch_add(1, Ordering::Relaxed);
                self.work.notify_one();
                self.fan.tell(Hint::Work);
                Ok(Submitted { task: readable(row)?, replayed: false })
            }
            Ok(Submission::Replayed(row)) => {
                self.metrics.replayed();
                Ok(Submitted { task: readable(row)?, replayed: true })
            }
            Ok(Submission::KeyConflict) => Err(Problem::new(
                ErrorKind::BadParams,
                "accept the task: its idempotency key was used for another payload",
            )
            .status(StatusCode::UNPROCESSABLE_ENTITY)
            .hint("use a new key for a new task")),
            Ok(Submission::Full) => Err(self.refuse("the queue is full")),
            Ok(Submission::TenantFull) => Err(self.refuse("as many of your tasks as may be are not finished")),
            Err(error) => Err(unavailable("remember the task", &error)),
        }
    }

    fn refuse(&self, why: &str) -> Problem {
        self.metrics.refused();
        Problem::new(ErrorKind::Overloaded, format!("accept the task: {why}")).retry_after(self.seconds_to_wait())
    }

    pub async fn get(&self, tenant: &str, id: &str) -> Result<RemoteTask, Problem> {
        known_form(id)?;
        let row = self.store.get(tenant, id).await.map_err(|error| unavailable("look the task up", &error))?;
        let mut task = readable(row.ok_or_else(|| Problem::unknown_task(id))?)?;
        // Progress has numbers, too, and is not in the store.
        if let (RemoteState::Running, Some(live)) = (task.state, self.find_live(tenant, id)) {
            let view = live.view.borrow();
            let numbers = view.received.iter().map(|(seq, _)| *seq).chain(view.steps.last().map(|(seq, _)| *seq));
            task.seq = numbers.fold(task.seq, u64::max);
        }
        Ok(task)
    }

    /// What the task's calls to models took; `None` where none was made.
    pub async fn spent(&self, tenant: &str, id: &str) -> Result<Option<Spent>, Problem> {
        let calls = self.store.calls(tenant, id).await.map_err(|error| unavailable("look the calls up", &error))?;
        Ok((!calls.is_empty()).then(|| reports::spent_by(&calls)))
    }

    /// Turns the kill switch of every replica; answers what is off then.
    pub async fn switch(&self, turn: Turn, who: &str) -> Result<BTreeSet<String>, Problem> {
        let off = self.store.switch(turn, who).await.map_err(|error| unavailable("turn the kill switch", &error))?;
        tracing::warn!(who, ?off, "the kill switch was turned");
        if let Some(switch) = self.backend.kill_switch() {
            switch.share(off.clone());
        }
        self.fan.tell(Hint::Switch);
        Ok(off)
    }

    /// Does what the switch of all replicas says; while the store is in trouble, what it said last.
    async fn look_at_switch(&self) -> Result<(), StoreError> {
        if let Some(switch) = self.backend.kill_switch() {
            switch.share(self.store.switched_off().await?);
        }
        Ok(())
    }

    /// A place for one more event stream of this caller; without a token nobody is told apart, so nobody is counted.
    pub fn stream(&self, caller: &Caller) -> Result<Option<Place>, Problem> {
        if !self.door.is_guarded() {
            return Ok(None);
        }
        self.streams.take(&caller.counted()).map(Some).ok_or_else(|| {
            Problem::new(ErrorKind::Overloaded, "follow: as many of your event streams as may be are open")
                .retry_after(1)
        })
    }

    /// Room for one more conversation of this caller.
    pub fn chat(&self, caller: &Caller) -> Result<ChatRoom, Problem> {
        let (room, places) = &self.chats;
        let full = |whose: &str| {
            Problem::new(ErrorKind::Overloaded, format!("answer: too many requests{whose} run already")).retry_after(1)
        };
        let place = match self.door.is_guarded() {
            true => Some(places.take(&caller.counted()).ok_or_else(|| full(" of yours"))?),
            false => None,
        };
        let permit = Arc::clone(room).try_acquire_owned().map_err(|_| full(""))?;
        Ok(ChatRoom { _permit: permit, _place: place })
    }

    /// A view that changes with the task; of an ended task it is the end.
    pub async fn follow(&self, tenant: &str, id: &str) -> Result<watch::Receiver<View>, Problem> {
        known_form(id)?;
        // Watched before it is read, so that no change falls between.
        let known = self.find_live(tenant, id);
        let live = known.unwrap_or_else(|| self.watch(tenant, unknown_task(id)));
        let view = live.view.subscribe();
        let row = self.store.get(tenant, id).await.map_err(|error| unavailable("look the task up", &error))?;
        let Some(row) = row else {
            drop(view);
            self.forget_unwatched();
            return Err(Problem::unknown_task(id));
        };
        self.settle(row);
        Ok(view)
    }

    /// Cancels the task if it has not ended; answers what it is now.
    pub async fn cancel(self: &Arc<Self>, tenant: String, id: String) -> Result<RemoteTask, Problem> {
        known_form(&id)?;
        let tasks = Arc::clone(self);
        let cancelling = async move {
            let row = tasks.store.cancel(&tenant, &id).await.map_err(|error| unavailable("cancel the task", &error))?;
            let Some(row) = row else {
                return tasks.get(&tenant, &id).await;
            };
            tasks.metrics.ended(row.state);
            tasks.fan.tell(Hint::Task(id.clone()));
            tasks.settle(row.clone());
            readable(row)
        };
        tokio::spawn(propagation::carry(cancelling))
            .await
            .map_err(|error| Problem::internal("cancel the task", &error))?
    }

    pub async fn dead(&self, tenant: Option<&str>, limit: usize) -> Result<Vec<DeadRow>, Problem> {
        self.store.dead(tenant, limit).await.map_err(|error| unavailable("list the dead letters", &error))
    }

    pub async fn history(&self, tenant: &str, id: &str) -> Result<Vec<Happened>, Problem> {
        self.store.history(tenant, id).await.map_err(|error| unavailable("read the task's history", &error))
    }

    /// Whose task it is, for those who may know.
    pub async fn tenant_of(&self, id: &str) -> Result<Option<String>, Problem> {
        known_form(id)?;
        let rows = self.store.look(&[id.to_owned()]).await.map_err(|error| unavailable("look the task up", &error))?;
        Ok(rows.into_iter().next().map(|row| row.tenant))
    }

    /// Puts a dead task back into the queue.
    pub async fn requeue(&self, tenant: &str, id: &str) -> Result<RemoteTask, Problem> {
        known_form(id)?;
        let row = self.store.requeue(tenant, id).await.map_err(|error| unavailable("put the task back", &error))?;
        let Some(row) = row else {
            let task = self.get(tenant, id).await?;
            return Err(Problem::new(
                ErrorKind::Conflict,
                format!("put the task back: it is not dead but {}", crate::store::state_name(task.state)),
            ));
        };
        self.work.notify_one();
        self.fan.tell(Hint::Work);
        self.fan.tell(Hint::Task(id.to_owned()));
        self.settle(row.clone());
        readable(row)
    }

    pub async fn stats(&self, tenant: Option<&str>) -> Result<Stats, Problem> {
        self.store.stats(tenant).await.map_err(|error| unavailable("count the tasks", &error))
    }

    pub async fn purge(&self) {
        if let Err(error) = self.store.purge(self.config.retention).await {
            tracing::warn!(error = %chain(&error), "failed to forget old tasks");
        }
        if let Err(error) = self.store.audit_expire(self.config.audit_retention).await {
            tracing::warn!(error = %chain(&error), "failed to erase what old records of audits are about");
        }
    }

    pub async fn drain(&self) {
        self.draining.cancel();
        self.runs.close();
        if tokio::time::timeout(self.config.grace, self.runs.wait()).await.is_err() {
            self.abort.cancel();
            let _ = tokio::time::timeout(LET_GO, self.runs.wait()).await;
        }
        // What was charged last is worth the moment.
        self.backend.flush().await;
        // Others may take up what was put back.
        self.fan.flush().await;
        self.closing.cancel();
    }

    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    pub async fn drain_began(&self) {
        self.draining.cancelled().await;
    }

    /// Resolves when event streams must end.
    pub fn closing(&self) -> CancellationToken {
        self.closing.clone()
    }

    /// How everything is that this service depends on. Whoever asks while another looks gets what that one sees.
    pub async fn look(&self) -> Look {
        let mut seen = self.seen.lock().await;
        if let Some((_, look)) = seen.as_ref().filter(|(at, _)| at.elapsed() < LOOKED) {
            return look.clone();
        }
        let look = Look {
            store: self.store.ping().await.map_err(|error| chain(&error)),
            waiting: self.count().await.map_or(self.waiting() as u64, |stats| stats.queued),
            redis: match &self.config.redis {
                Some(redis) => Some(redis.ping().await),
                None => None,
            },
        };
        *seen = Some((Instant::now(), look.clone()));
        look
    }

    /// The gate's word on a task's answer, from whoever placed it: kept with the task, so that the replica that asked hears
    /// of it, too.
    pub async fn judged(&self, tenant: &str, id: &str, checks: &[(&str, &'static str)], passed: bool) {
        match self.store.judge(tenant, id, passed).await {
            Ok(false) => return,
            Ok(true) => self.fan.tell(Hint::Judged(id.to_owned())),
            Err(error) => tracing::warn!(error = %chain(&error), "failed to remember the gate's word on an answer"),
        }
        self.backend.weighed(None, checks);
        self.heed(Some(tenant), id, passed);
    }

    /// Keeps or forgets the answer, where it was this replica that asked.
    fn heed(&self, tenant: Option<&str>, id: &str, passed: bool) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = |ask: &&Ask| tenant.is_none_or(|tenant| ask.account.tenant == tenant);
        let Some(ask) = asked.get(id).filter(mine).cloned() else { return };
        drop(asked);
        match passed {
            true => self.backend.keep(&ask),
            false => self.backend.forget(&ask),
        }
    }

    /// Another replica was told what the gate said.
    async fn hear_judged(&self, id: &str) {
        if !self.asked.lock().unwrap_or_else(PoisonError::into_inner).contains(id) {
            return;
        }
        match self.store.verdict(id).await {
            Ok(Some(passed)) => self.heed(None, id, passed),
            Ok(None) => {}
            Err(error) => tracing::debug!(error = %chain(&error), "failed to look the gate's word up"),
        }
    }

    pub fn backend(&self) -> Arc<dyn Backend> {
        Arc::clone(&self.backend)
    }

    /// How long the oldest waiting task of any replica had waited, as last counted.
    pub fn queue_age(&self) -> Duration {
        Duration::from_millis(self.oldest_ms.load(Ordering::Relaxed))
    }

    pub fn route(&self) -> String {
        self.backend.route()
    }

    /// Tasks that wait, as last counted.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Counts what is not finished, for the metrics and for health.
    pub async fn count(&self) -> Result<Stats, StoreError> {
        let stats = self.store.stats(None).await?;
        self.waiting.store(usize::try_from(stats.queued).unwrap_or(usize::MAX), Ordering::Relaxed);
        self.oldest_ms.store(u64::try_from(stats.oldest.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.metrics.unfinished(&stats);
        Ok(stats)
    }

    async fn dispatch(self: Arc<Self>) {
        let workers = Arc::new(Semaphore::new(self.config.workers));
        while !self.is_draining() {
            let Some(permits) = self.free(&workers).await else { return };
            match self.store.claim(&self.config.name, permits.len(), self.config.lease).await {
                Ok(claimed) if claimed.tasks.is_empty() => {
                    drop(permits);
                    self.rest(claimed.next).await;
                }
                Ok(claimed) => claimed.tasks.into_iter().zip(permits).for_each(|(leased, permit)| {
                    self.begin(leased, permit);
                }),
                Err(error) => {
                    tracing::error!(error = %chain(&error), "failed to ask for work; it is tried again");
                    drop(permits);
                    self.pause(STORE_PAUSE).await;
                }
            }
        }
    }

    /// Every worker that has nothing to do, at least one; `None` when draining.
    async fn free(&self, workers: &Arc<Semaphore>) -> Option<Vec<OwnedSemaphorePermit>> {
        let first = tokio::select! {
            biased;
            () = self.draining.cancelled() => return None,
            first = Arc::clone(workers).acquire_owned() => first.ok()?,
        };
        let mut permits = vec![first];
        while let Ok(permit) = Arc::clone(workers).try_acquire_owned() {
            permits.push(permit);
        }
        Some(permits)
    }

    /// Until there may be work: somebody says so, a task's time comes, or it is time to look.
    async fn rest(&self, next: Option<Duration>) {
        let look = if self.store.is_shared() { self.config.poll } else { IDLE };
        // A task's time must have come when it is claimed.
        let longest = next.map_or(look, |next| look.min(next + Duration::from_millis(1)));
        tokio::select! {
            () = self.work.notified() => {}
            () = tokio::time::sleep(longest) => {}
            () = self.draining.cancelled() => {}
        }
    }

    async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.draining.cancelled() => {}
        }
    }

    fn begin(self: &Arc<Self>, leased: Leased, permit: OwnedSemaphorePermit) {
        let held = Held { fence: leased.fence.clone(), overtaken: CancellationToken::new() };
        self.held().insert(leased.fence.id.clone(), held.clone());
        self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).ok();
        let tasks = Arc::clone(self);
        self.runs.spawn(async move {
            tasks.run(leased, &held).await;
            let mut all = tasks.held();
            // A successor's lease of the same task is not ours to forget.
            if all.get(&held.fence.id).is_some_and(|known| known.fence == held.fence) {
                all.remove(&held.fence.id);
            }
            drop(all);
            drop(permit);
        });
    }

    async fn run(&self, leased: Leased, held: &Held) {
        let id = &leased.fence.id;
        let running = RemoteTask { state: RemoteState::Running, seq: leased.seq, ..unknown_task(id) };
        let known = self.find_live(&leased.tenant, id);
        let live = known.unwrap_or_else(|| self.watch(&leased.tenant, unknown_task(id)));
        self.publish(&live, running);
        self.fan.tell(Hint::Task(id.clone()));
        let span = tracing::info_span!(
            parent: None,
            "krins.task",
            otel.kind = "consumer",
            krins.task = %id,
            krins.attempt = i64::from(leased.run),
            "error.type" = tracing::field::Empty,
            otel.status_code = tracing::field::Empty,
        );
        let context = propagation::continue_or_start(&span, Some(&leased.traceparent), leased.tracestate.as_deref());
        propagation::in_trace(span, context, self.run_leased(&leased, held, &live)).await;
    }

    async fn run_leased(&self, leased: &Leased, held: &Held, live: &Arc<Live>) {
        let began = Instant::now();
        let run = Arc::new(Run::new(leased));
        let ask = AssertUnwindSafe(self.ask(leased, live, &run)).catch_unwind();
        let outcome = tokio::select! {
            biased;
            () = held.overtaken.cancelled() => Outcome::Overtaken,
            () = self.abort.cancelled() => Outcome::Aborted,
            answer = tokio::time::timeout(self.config.task_timeout, ask) => match answer {
                Ok(answer) => Outcome::Ended(answer.unwrap_or_else(|_| Err(panicked()))),
                Err(_) => Outcome::TooSlow,
            },
        };
        let took = leased.age + began.elapsed();
        // Who sees the end can ask what it cost.
        run.settled().await;
        let row = match outcome {
            Outcome::Overtaken => return self.see(&leased.fence.id).await,
            Outcome::Aborted => self.store.release(&leased.fence).await,
            Outcome::TooSlow => self.fail(leased, self.too_slow(), false).await,
            Outcome::Ended(Ok(answer)) => {
                let row = self.finish(&leased.fence, End::Done(json(&answer))).await;
                if matches!(row, Ok(Some(_))) {
                    self.metrics.answered(&answer, took);
                    self.learn(took);
                }
                row
            }
            Outcome::Ended(Err(error)) => {
                let again = run.made() == 0 && leased.run < self.config.runs && took < self.config.task_timeout;
                self.fail(leased, error, again).await
            }
        };
        match row {
            Ok(Some(row)) => {
                if row.state.is_terminal() {
                    self.metrics.ended(row.state);
                }
                self.fan.tell(Hint::Task(row.id.clone()));
                self.settle(row);
            }
            Ok(None) => self.see(&leased.fence.id).await,
            Err(error) => {
                tracing::error!(error = %chain(&error), "failed to write the task's end; it is repeated when its lease ends");
            }
        }
    }

    /// A run that failed for a passing reason is repeated only if it made no model call: calls are repeated by whoever
    /// makes them, and by nobody else.
    async fn fail(&self, leased: &Leased, error: BackendError, again: bool) -> Result<Option<TaskRow>, StoreError> {
        tracing::warn!(kind = ?error.kind, "failed to {error}");
        crate::spans::failed(&tracing::Span::current(), &format!("{:?}", error.kind));
        let told = json(&wire::error_to_wire(&error));
        if !error.kind.retryable() {
            return self.finish(&leased.fence, End::Failed(told)).await;
        }
        if again {
            let longest = RETRY_PAUSE.saturating_mul(1 << leased.run.min(8)).min(RETRY_LONGEST);
            let pause = longest.mul_f64(fastrand::f64()).max(Duration::from_millis(50));
            self.metrics.retried();
            let row = self.store.retry(&leased.fence, pause, &error.message).await;
            self.work.notify_one();
            return row;
        }
        let reason = format!("failed to {} (run {})", error.message, leased.run);
        self.finish(&leased.fence, End::Dead { error: told, reason }).await
    }

    async fn ask(&self, leased: &Leased, live: &Arc<Live>, run: &Arc<Run>) -> Result<Answer, BackendError> {
        let task: NewTask = serde_json::from_str(&leased.payload).map_err(unreadable)?;
        let prompt = wire::prompt_from_wire(task.prompt)?;
        // A sidecar redacts before it sends; this is for whoever did not.
        let (prompt, restorer) =
            tokio::task::spawn_blocking(move || redact::redact(prompt)).await.map_err(|_| panicked())?;
        let ask = Ask {
            task: leased.fence.id.clone(),
            prompt,
            provider: task.provider,
            model: task.model,
            max_output_tokens: task.max_output_tokens,
            fresh: task.fresh,
            account: Account {
                tenant: leased.tenant.clone(),
                person: leased.person.name.clone(),
                person_micros: leased.person.micros_per_day,
                micros: task.micros,
                budget: task.task,
                variant: task.variant,
                run: Some(Arc::clone(run)),
                ..Account::default()
            },
        };
        let bill = ask.account.bill.clone();
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).put(ask.task.clone(), ask.clone());
        let asking = tracing::info_span!("krins.ask", otel.kind = "internal");
        let sink = self.progress_sink(live, leased);
        let mut proposal = self.backend.ask(ask, sink).instrument(asking).await?;
        // What stands in a JSON string has to be a JSON string's part again.
        let in_json = patch::parse(&proposal.text).is_ok_and(|parsed| parsed.form() == Form::StrReplace);
        let restored = if in_json { restorer.restore_json(&proposal.text) } else { restorer.restore(&proposal.text) };
        proposal.text = restored.map_err(|error| BackendError {
            kind: ErrorKind::ProviderRefused,
            message: error.to_string(),
            hint: None,
            elsewhere: false,
        })?;
        Ok(wire::answer_to_wire(proposal, bill.total().cost()))
    }

    /// The end of a run is worth several tries.
    async fn finish(&self, fence: &Fence, end: End) -> Result<Option<TaskRow>, StoreError> {
        let began = Instant::now();
        loop {
            let written = self.store.finish(fence, end.clone()).await;
            if written.is_ok() || began.elapsed() > FINISH_PATIENCE {
                return written;
            }
            tokio::time::sleep(FINISH_PAUSE).await;
        }
    }

    /// Prolongs what this replica holds, and takes back what others let go.
    async fn keep_leases(self: Arc<Self>) {
        let every = self.config.lease / 3;
        let mut renewed = Instant::now();
        loop {
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = self.closing.cancelled() => return,
            }
            let held: Vec<Held> = self.held().values().cloned().collect();
            let fences: Vec<Fence> = held.iter().map(|held| held.fence.clone()).collect();
            let lost = match fences.is_empty() {
                true => Ok(Vec::new()),
                false => self.store.renew(&fences, self.config.lease).await,
            };
            match lost {
                Ok(lost) => {
                    renewed = Instant::now();
                    held.iter().filter(|held| lost.contains(&held.fence.id)).for_each(|held| held.overtaken.cancel());
                }
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "failed to prolong the leases");
                    // Somebody else may run these tasks by now, and what they write would be refused.
                    if renewed.elapsed() > self.config.lease {
                        held.iter().for_each(|held| held.overtaken.cancel());
                    }
                }
            }
            if let Err(error) = self.sweep().await {
                tracing::warn!(error = %chain(&error), "failed to look for tasks whose worker is gone");
            }
        }
    }

    async fn sweep(&self) -> Result<(), StoreError> {
        let burial = Burial { crashes: self.config.crashes.max(1), error: buried(), pause: CRASH_PAUSE };
        let swept = self.store.sweep(&burial).await?;
        if !swept.requeued.is_empty() {
            self.work.notify_one();
        }
        self.metrics.crashed((swept.requeued.len() + swept.buried.len()) as u64);
        for row in swept.buried.iter() {
            tracing::error!(krins.task = %row.id, "task buried: its server died too often while it ran");
            self.metrics.ended(row.state);
        }
        for row in swept.requeued.into_iter().chain(swept.buried) {
            self.fan.tell(Hint::Task(row.id.clone()));
            self.settle(row);
        }
        Ok(())
    }

    /// What other replicas say.
    async fn hear(self: Arc<Self>, mut heard: broadcast::Receiver<Hint>) {
        loop {
            let hint = tokio::select! {
                hint = heard.recv() => hint,
                () = self.closing.cancelled() => return,
            };
            match hint {
                Ok(Hint::Work) => self.work.notify_one(),
                Ok(Hint::Task(id)) => self.see(&id).await,
                Ok(Hint::Progress(id, seq, received)) => self.see_progress(&id, seq, received),
                Ok(Hint::Step(id, seq, step)) => {
                    self.live_of(&id).iter().for_each(|live| live.step(seq, step.clone()));
                }
                Ok(Hint::Judged(id)) => self.hear_judged(&id).await,
                Ok(Hint::Switch) => self.look_again_at_switch().await,
                Ok(Hint::Tokens) => self.door.refresh().await,
                Ok(Hint::Locks(..)) => {}
                // What was missed is looked at regularly.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }

    /// Hints may be lost, so whatever is followed or held here is looked at.
    async fn look_regularly(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.config.poll) => {}
                () = self.closing.cancelled() => return,
            }
            self.forget_unwatched();
            self.look_again_at_switch().await;
            let mut ids: Vec<String> = self.live().keys().map(|(id, _)| id.clone()).collect();
            ids.extend(self.held().keys().cloned());
            ids.sort();
            ids.dedup();
            for some in ids.chunks(crate::store::LIST_LIMIT) {
                match self.store.look(some).await {
                    Ok(rows) => rows.into_iter().for_each(|row| self.settle(row)),
                    Err(error) => tracing::debug!(error = %chain(&error), "failed to look at the tasks"),
                }
            }
        }
    }

    async fn look_again_at_switch(&self) {
        if let Err(error) = self.look_at_switch().await {
            tracing::debug!(error = %chain(&error), "failed to look at the kill switch");
        }
    }

    /// Looks at one task, if anybody here wants to know.
    async fn see(&self, id: &str) {
        let wanted = !self.live_of(id).is_empty() || self.held().contains_key(id);
        if !wanted {
            return;
        }
        match self.store.look(&[id.to_owned()]).await {
            Ok(rows) => rows.into_iter().for_each(|row| self.settle(row)),
            Err(error) => tracing::debug!(error = %chain(&error), "failed to look at a task"),
        }
    }

    fn see_progress(&self, id: &str, seq: u64, received: u64) {
        for live in self.live_of(id) {
            live.view.send_if_modified(|view| {
                let newer = view.task.state == RemoteState::Running
                    && seq > view.task.seq
                    && view.received.is_none_or(|(known, _)| seq > known);
                if newer {
                    view.received = Some((seq, received));
                }
                newer
            });
        }
    }

    /// Shows followers what the store says, and stops a run that the store says is nobody's.
    fn settle(&self, row: TaskRow) {
        if row.state.is_terminal() {
            let held = self.held().get(&row.id).cloned();
            held.inspect(|held| held.overtaken.cancel());
        }
        let Some(live) = self.find_live(&row.tenant, &row.id) else { return };
        let (key, ended) = ((row.id.clone(), row.tenant.clone()), row.state.is_terminal());
        match remote_task(row) {
            Ok(task) => self.publish(&live, task),
            Err(error) => tracing::error!(%error, "failed to read back what was written"),
        }
        if ended {
            self.live().remove(&key);
        }
    }

    fn publish(&self, live: &Live, task: RemoteTask) {
        live.view.send_if_modified(|view| {
            let newer = task.seq > view.task.seq;
            if newer {
                *view = View::of(task);
            }
            newer
        });
    }

    fn watch(&self, tenant: &str, task: RemoteTask) -> Arc<Live> {
        let key = (task.id.clone(), tenant.to_owned());
        let new = || Arc::new(Live { view: watch::channel(View::of(task)).0 });
        Arc::clone(self.live().entry(key).or_insert_with(new))
    }

    fn forget_unwatched(&self) {
        let held: Vec<String> = self.held().keys().cloned().collect();
        self.live().retain(|(id, _), live| live.view.receiver_count() > 0 || held.binary_search(id).is_ok());
    }

    fn find_live(&self, tenant: &str, id: &str) -> Option<Arc<Live>> {
        self.live().get(&(id.to_owned(), tenant.to_owned())).cloned()
    }

    /// Whoever's it is: an id is one task's, and what else is asked for under it does not exist.
    fn live_of(&self, id: &str) -> Vec<Arc<Live>> {
        let from = (id.to_owned(), String::new());
        self.live().range(from..).take_while(|((known, _), _)| known == id).map(|(_, live)| Arc::clone(live)).collect()
    }

    fn live(&self) -> MutexGuard<'_, BTreeMap<(String, String), Arc<Live>>> {
        // No code that holds the lock can leave the map half changed.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<String, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn(&self, took: Duration) {
        let average = self.average_ms.load(Ordering::Relaxed);
        let next = (average * 7 + took.as_millis() as u64) / 8;
        self.average_ms.store(next, Ordering::Relaxed);
    }

    /// Until one place in the queue is free, at the pace of the last tasks.
    fn seconds_to_wait(&self) -> u64 {
        let average = self.average_ms.load(Ordering::Relaxed);
        (average / 1000 / self.config.workers.max(1) as u64).clamp(1, 60)
    }

    fn too_slow(&self) -> BackendError {
        BackendError {
            kind: ErrorKind::BackendUnavailable,
            message: format!("answer within {} s", self.config.task_timeout.as_secs()),
            hint: None,
            elsewhere: true,
        }
    }

    fn progress_sink(&self, live: &Arc<Live>, leased: &Leased) -> ProgressSink {
        let (live, leased, fan) = (Arc::clone(live), leased.clone(), self.fan.clone());
        let count = AtomicU64::new(0);
        let told = Mutex::new(None::<Instant>);
        Arc::new(move |progress| {
            let seq = leased.progress_seq(count.fetch_add(1, Ordering::Relaxed) + 1);
            let characters = match wire::step_to_wire(progress) {
                Ok(step) => {
                    live.step(seq, step.clone());
                    return fan.tell(Hint::Step(leased.fence.id.clone(), seq, step));
                }
                Err(characters) => characters,
            };
            live.view.send_if_modified(|view| {
                let running = view.task.state == RemoteState::Running;
                if running {
                    view.received = Some((seq, characters));
                }
                running
            });
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.is_none_or(|told| told.elapsed() >= PROGRESS_PACE) {
                *told = Some(Instant::now());
                fan.tell(Hint::Progress(leased.fence.id.clone(), seq, characters));
            }
        })
    }
}

impl View {
    fn of(task: RemoteTask) -> Self {
        Self { task: Arc::new(task), received: None, steps: Arc::default() }
    }
}

impl Live {
    /// A step of the run that is under way; one that is known already changes nothing.
    fn step(&self, seq: u64, step: AskStep) {
        self.view.send_if_modified(|view| {
            let last = view.steps.last().map_or(view.task.seq, |(last, _)| *last);
            let newer = view.task.state == RemoteState::Running && seq > last;
            if newer {
                let steps = Arc::make_mut(&mut view.steps);
                if steps.len() >= STEPS {
                    steps.remove(0);
                }
                steps.push((seq, step));
            }
            newer
        });
    }
}

/// The row of a task as it came in. The key is the caller's, else the digest of what is asked; the two kinds never meet.
fn new_row(caller: Caller, key: Option<String>, task: NewTask) -> Result<NewRow, Problem> {
    let is_name = |name: &String| (1..=BUDGET_NAME).contains(&name.len()) && !name.contains('\0');
    if !task.task.as_ref().is_none_or(is_name) {
        let why = format!("read the task: its own name is not 1 to {BUDGET_NAME} bytes, none of them zero");
        return Err(Problem::new(ErrorKind::BadParams, why));
    }
    let canonical = serde_json_canonicalizer::to_string(&task)
        .map_err(|error| Problem::internal("put the task into canonical form", &error))?;
    let payload_sha256 = Digest::of(&canonical).to_string();
    // Refused now and not when it runs.
    wire::prompt_from_wire(task.prompt)?;
    let key = key.map_or_else(|| format!("payload:{payload_sha256}"), |key| format!("key:{key}"));
    let trace = propagation::outgoing();
    Ok(NewRow {
        id: uuid::Uuid::now_v7().to_string(),
        tenant: caller.tenant,
        person: caller.person,
        key,
        payload_sha256,
        payload: canonical,
        payload_version: PAYLOAD_VERSION,
        traceparent: trace.traceparent(),
        tracestate: trace.tracestate(),
    })
}

/// A store in trouble is a passing trouble: the caller may come again.
pub(super) fn unavailable(what: &str, error: &StoreError) -> Problem {
    tracing::error!(error = %chain(error), "failed to {what}");
    Problem::new(ErrorKind::BackendUnavailable, format!("{what}: the database can not be used now")).retry_after(1)
}

/// Ids are ours. What can be none is no task, and is not a database's to refuse, which for some is a failure of its own.
fn known_form(id: &str) -> Result<(), Problem> {
    let is_id = (1..=ID_LENGTH).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    if is_id { Ok(()) } else { Err(Problem::unknown_task(id)) }
}

/// What is known of a task before the store is asked.
fn unknown_task(id: &str) -> RemoteTask {
    RemoteTask { id: id.to_owned(), state: RemoteState::Queued, seq: 0, answer: None, error: None, spent: None }
}

fn readable(row: TaskRow) -> Result<RemoteTask, Problem> {
    remote_task(row).map_err(|error| Problem::internal("read the task", &error))
}

fn remote_task(row: TaskRow) -> serde_json::Result<RemoteTask> {
    Ok(RemoteTask {
        id: row.id,
        state: row.state.wire(),
        seq: row.seq,
        answer: row.answer.as_deref().map(serde_json::from_str).transpose()?,
        error: row.error.as_deref().map(serde_json::from_str).transpose()?,
        spent: None,
    })
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("plain structs with string keys always serialize")
}

fn buried() -> String {
    json(&ErrorReport {
        message: "answer the task: the server died each time while it ran".into(),
        data: ErrorData {
            kind: ErrorKind::Internal,
            retryable: false,
            detail: None,
            hint: Some("ask again with a narrower scope".into()),
        },
    })
}

fn unreadable(error: serde_json::Error) -> BackendError {
    tracing::error!(%error, "failed to read a stored payload");
    BackendError::new(ErrorKind::Internal, "read the stored task")
}

fn panicked() -> BackendError {
    BackendError::new(ErrorKind::Internal, "answer the task: the backend panicked")
}
