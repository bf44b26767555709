//! The life of a task in the service: admitted, on the disk, queued, run, followed, cancelled, drained.
//!
//! The store owns the truth; the map of live tasks is what followers watch. Both change in the order of the task's
//! sequence number, so whoever loses a race (a run against a cancel) changes nothing.

use super::ServiceConfig;
use super::problem::{Problem, chain};
use crate::metrics::Metrics;
use crate::money::Account;
use crate::store::{NewRow, Started, Store, StoreError, Submission, TaskRow};
use crate::{Ask, Backend, BackendError, Progress, ProgressSink, propagation, wire};
use axum::http::StatusCode;
use futures::FutureExt;
use krins_core::patch::{self, Form};
use krins_core::{Digest, redact};
use krins_protocol::error::{ErrorData, ErrorKind, ErrorReport};
use krins_protocol::http::{Answer, NewTask, RemoteState, RemoteTask};
use lru::LruCache;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// Tries to write the end of a run before the next start must repeat it.
const FINISH_TRIES: u32 = 5;
const FINISH_PAUSE: Duration = Duration::from_millis(200);
/// Before a task that the store could not begin is tried again.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// Tasks whose answers can still be kept for others.
const ASKED: NonZeroUsize = NonZeroUsize::new(256).expect("256 is not zero");
/// What a cancelled run may still need to let go.
const LET_GO: Duration = Duration::from_secs(2);

pub struct Tasks {
    pub config: ServiceConfig,
    pub metrics: Metrics,
    backend: Arc<dyn Backend>,
    store: Store,
    live: Mutex<BTreeMap<String, Arc<Live>>>,
    /// What was asked for the last tasks, for the gate's word on their answers.
    asked: Mutex<LruCache<String, Ask>>,
    queue: mpsc::UnboundedSender<String>,
    /// Tasks in `queue`; admission keeps it at `config.queue`.
    waiting: AtomicUsize,
    /// Smoothed, for telling a refused caller when to come again.
    average_ms: AtomicU64,
    draining: CancellationToken,
    abort: CancellationToken,
    closing: CancellationToken,
    runs: TaskTracker,
    /// Room for conversations.
    pub chats: Arc<Semaphore>,
}

/// A task that has not ended, as its followers see it.
struct Live {
    tenant: String,
    since: Instant,
    view: watch::Sender<View>,
    cancel: CancellationToken,
}

#[derive(Clone, Debug)]
pub struct View {
    pub task: Arc<RemoteTask>,
    /// (sequence number, characters) of the newest progress.
    pub received: Option<(u64, u64)>,
}

pub struct Submitted {
    pub task: RemoteTask,
    pub replayed: bool,
}

enum Outcome {
    Ended(Result<Answer, BackendError>),
    Cancelled,
    Aborted,
}

impl Tasks {
    pub async fn start(
        backend: Arc<dyn Backend>,
        store: Store,
        config: ServiceConfig,
    ) -> Result<Arc<Self>, StoreError> {
        let recovered = store.recover(buried(), now_ms()).await?;
        let (queue, order) = mpsc::unbounded_channel();
        let chats = Arc::new(Semaphore::new(config.chats));
        let tasks = Arc::new(Self {
            metrics: Metrics::new(Arc::clone(&backend)),
            config,
            backend,
            store,
            live: Mutex::default(),
            asked: Mutex::new(LruCache::new(ASKED)),
            queue,
            waiting: AtomicUsize::new(recovered.queued.len()),
            average_ms: AtomicU64::new(5_000),
            draining: CancellationToken::new(),
            abort: CancellationToken::new(),
            closing: CancellationToken::new(),
            runs: TaskTracker::new(),
            chats,
        });
        tasks.metrics.crashed(recovered.buried.len() as u64);
        for id in &recovered.buried {
            tracing::error!(krins.task = %id, "task buried: the process died twice while it ran");
        }
        for unfinished in recovered.queued {
            tasks.metrics.moved(None, RemoteState::Queued);
            let id = unfinished.task.id.clone();
            if let Ok(task) = remote_task(unfinished.task) {
                tasks.insert_live(&id, unfinished.tenant, task);
            }
            // The receiver is alive: it is handed to the dispatcher below.
            let _ = tasks.queue.send(id);
        }
        tokio::spawn(Arc::clone(&tasks).dispatch(order));
        Ok(tasks)
    }

    /// Remembers and queues a task, or finds the one its key already names. Not cancelled with its caller: what is on the disk must be queued.
    pub async fn submit(
        self: &Arc<Self>,
        tenant: String,
        key: Option<String>,
        task: NewTask,
    ) -> Result<Submitted, Problem> {
        let row = new_row(tenant, key, task)?;
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
        let has_room = self.take_room();
        let id = row.id.clone();
        // Known to followers before the commit, so that a replay of the same key never names a task nobody knows.
        self.insert_live(&id, row.tenant.clone(), queued_task(&id));
        let submission = self.store.submit(row, has_room, now_ms()).await;
        if let Ok(Submission::Accepted(task)) = submission {
            self.metrics.moved(None, RemoteState::Queued);
            // After the dispatcher ended, the row waits for the next process.
            let _ = self.queue.send(id);
            return Ok(Submitted { task: readable(task)?, replayed: false });
        }
        self.live().remove(&id);
        if has_room {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        match submission {
            Ok(Submission::Replayed(row)) => {
                self.metrics.replayed();
                let task = self.newest(row)?;
                Ok(Submitted { task, replayed: true })
            }
            Ok(Submission::KeyConflict) => Err(Problem::new(
                ErrorKind::BadParams,
                "accept the task: its idempotency key was used for another payload",
            )
            .status(StatusCode::UNPROCESSABLE_ENTITY)
            .hint("use a new key for a new task")),
            Ok(Submission::Full | Submission::Accepted(_)) => {
                self.metrics.refused();
                Err(Problem::new(ErrorKind::Overloaded, "accept the task: the queue is full")
                    .retry_after(self.seconds_to_wait()))
            }
            Err(error) => Err(Problem::internal("remember the task", &error)),
        }
    }

    pub async fn get(&self, tenant: &str, id: &str) -> Result<RemoteTask, Problem> {
        if let Some(live) = self.find_live(tenant, id) {
            return Ok(shown(&live.view.borrow()));
        }
        let row = self.store.get(tenant, id).await.map_err(|error| Problem::internal("look the task up", &error))?;
        readable(row.ok_or_else(|| Problem::unknown_task(id))?)
    }

    /// A view that changes with the task; of an ended task it is the end.
    pub async fn follow(&self, tenant: &str, id: &str) -> Result<watch::Receiver<View>, Problem> {
        if let Some(live) = self.find_live(tenant, id) {
            return Ok(live.view.subscribe());
        }
        let task = self.get(tenant, id).await?;
        Ok(watch::channel(View::of(task)).1)
    }

    /// Cancels the task if it has not ended; answers what it is now.
    pub async fn cancel(self: &Arc<Self>, tenant: String, id: String) -> Result<RemoteTask, Problem> {
        let tasks = Arc::clone(self);
        let cancelling = async move {
            let live = tasks.find_live(&tenant, &id);
            let row = tasks
                .store
                .cancel(&tenant, &id, now_ms())
                .await
                .map_err(|error| Problem::internal("cancel the task", &error))?;
            let Some(row) = row else {
                return tasks.get(&tenant, &id).await;
            };
            let task = readable(row)?;
            if let Some(live) = live {
                tasks.publish(&live, task.clone());
                live.cancel.cancel();
            }
            tasks.live().remove(&id);
            Ok(task)
        };
        tokio::spawn(propagation::carry(cancelling))
            .await
            .map_err(|error| Problem::internal("cancel the task", &error))?
    }

    pub async fn purge(&self) {
        let before = now_ms() - self.config.retention.as_millis() as i64;
        if let Err(error) = self.store.purge(before).await {
            tracing::warn!(error = %chain(&error), "failed to forget old tasks");
        }
    }

    pub async fn drain(&self) {
        self.draining.cancel();
        self.runs.close();
        if tokio::time::timeout(self.config.grace, self.runs.wait()).await.is_err() {
            self.abort.cancel();
            let _ = tokio::time::timeout(LET_GO, self.runs.wait()).await;
        }
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

    pub async fn ping_store(&self) -> Result<(), StoreError> {
        self.store.ping().await
    }

    /// The gate's word on a task's answer, from whoever placed it. What nobody remembers is passed over.
    pub fn judged(&self, tenant: &str, id: &str, passed: bool) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(ask) = asked.get(id).filter(|ask| ask.account.tenant == tenant).cloned() else { return };
        drop(asked);
        match passed {
            true => self.backend.keep(&ask),
            false => self.backend.forget(&ask),
        }
    }

    pub fn backend(&self) -> Arc<dyn Backend> {
        Arc::clone(&self.backend)
    }

    pub fn route(&self) -> String {
        self.backend.route()
    }

    /// How long the oldest waiting task has waited in this process.
    pub fn queue_age(&self) -> Duration {
        let live = self.live();
        let waiting = live.values().filter(|live| live.view.borrow().task.state == RemoteState::Queued);
        waiting.map(|live| live.since.elapsed()).max().unwrap_or_default()
    }

    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    async fn dispatch(self: Arc<Self>, mut order: mpsc::UnboundedReceiver<String>) {
        let workers = Arc::new(Semaphore::new(self.config.workers.max(1)));
        loop {
            let next = async {
                let worker = Arc::clone(&workers).acquire_owned().await.ok()?;
                Some((worker, order.recv().await?))
            };
            let (worker, id) = tokio::select! {
                biased;
                () = self.draining.cancelled() => return,
                next = next => match next {
                    Some(next) => next,
                    None => return,
                },
            };
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            let tasks = Arc::clone(&self);
            self.runs.spawn(async move {
                tasks.run(&id).await;
                drop(worker);
            });
        }
    }

    async fn run(&self, id: &str) {
        let Some(live) = self.live().get(id).cloned() else {
            return;
        };
        let started = match self.store.begin(id, now_ms()).await {
            Ok(Some(started)) => started,
            Ok(None) => return,
            Err(error) => return self.put_back(id, &error).await,
        };
        self.publish(&live, running_task(id, started.seq));
        let span = tracing::info_span!(
            parent: None,
            "krins.task",
            otel.kind = "consumer",
            krins.task = %id,
            krins.attempt = started.attempt,
        );
        let context = propagation::continue_or_start(&span, Some(&started.traceparent), started.tracestate.as_deref());
        propagation::in_trace(span, context, self.run_attempt(id, &live, &started)).await;
    }

    /// The row is still queued, so it stays in line; the pause, with the worker held, is for a store that is in trouble.
    async fn put_back(&self, id: &str, error: &StoreError) {
        tracing::error!(krins.task = %id, error = %chain(error), "failed to begin the task; it is tried again");
        tokio::select! {
            () = tokio::time::sleep(STORE_PAUSE) => {}
            () = self.drain_began() => return,
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // After the dispatcher ended, the row waits for the next process.
        let _ = self.queue.send(id.to_owned());
    }

    async fn run_attempt(&self, id: &str, live: &Arc<Live>, started: &Started) {
        let ask = AssertUnwindSafe(self.ask(id, live, started)).catch_unwind();
        let outcome = tokio::select! {
            biased;
            () = live.cancel.cancelled() => Outcome::Cancelled,
            () = self.abort.cancelled() => Outcome::Aborted,
            answer = tokio::time::timeout(self.config.task_timeout, ask) => Outcome::Ended(
                answer
                    .unwrap_or_else(|_| Ok(Err(self.too_slow())))
                    .unwrap_or_else(|_| Err(panicked())),
            ),
        };
        let row = match outcome {
            Outcome::Cancelled => return,
            Outcome::Aborted => self.store.requeue(id, started.attempt, now_ms()).await,
            Outcome::Ended(result) => self.finish(id, started, result).await,
        };
        match row {
            Ok(Some(row)) => self.settle(live, row),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(error = %chain(&error), "failed to write the task's end; it is repeated after a restart");
            }
        }
    }

    async fn ask(&self, id: &str, live: &Arc<Live>, started: &Started) -> Result<Answer, BackendError> {
        let task: NewTask = serde_json::from_str(&started.payload).map_err(unreadable)?;
        let prompt = wire::prompt_from_wire(task.prompt)?;
        // A sidecar redacts before it sends; this is for whoever did not.
        let (prompt, restorer) =
            tokio::task::spawn_blocking(move || redact::redact(prompt)).await.map_err(|_| panicked())?;
        let ask = Ask {
            task: id.to_owned(),
            prompt,
            provider: task.provider,
            model: task.model,
            max_output_tokens: task.max_output_tokens,
            fresh: task.fresh,
            account: Account {
                tenant: live.tenant.clone(),
                micros: task.micros,
                variant: task.variant,
                ..Account::default()
            },
        };
        let bill = ask.account.bill.clone();
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).put(id.to_owned(), ask.clone());
        let asking = tracing::info_span!("krins.ask", otel.kind = "internal");
        let sink = progress_sink(live, started);
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

    async fn finish(
        &self,
        id: &str,
        started: &Started,
        result: Result<Answer, BackendError>,
    ) -> Result<Option<TaskRow>, StoreError> {
        let took = Duration::from_millis((now_ms() - started.created_ms).max(0) as u64);
        match &result {
            Ok(answer) => {
                self.metrics.answered(answer, took);
                self.learn(took);
            }
            Err(error) => tracing::warn!(kind = ?error.kind, "failed to {error}"),
        }
        let outcome = result.map(|answer| json(&answer)).map_err(|error| json(&wire::error_to_wire(&error)));
        let mut tries = 1;
        loop {
            let written = self.store.finish(id, started.attempt, outcome.clone(), now_ms()).await;
            if written.is_ok() || tries == FINISH_TRIES {
                return written;
            }
            tries += 1;
            tokio::time::sleep(FINISH_PAUSE).await;
        }
    }

    /// Shows followers what was written.
    fn settle(&self, live: &Live, row: TaskRow) {
        let id = row.id.clone();
        let ended = row.state.is_terminal();
        match remote_task(row) {
            Ok(task) => self.publish(live, task),
            Err(error) => tracing::error!(%error, "failed to read back what was written"),
        }
        if ended {
            self.live().remove(&id);
        }
    }

    fn publish(&self, live: &Live, task: RemoteTask) {
        live.view.send_if_modified(|view| {
            let newer = task.seq > view.task.seq;
            if newer {
                self.metrics.moved(Some(view.task.state), task.state);
                *view = View::of(task);
            }
            newer
        });
    }

    fn insert_live(&self, id: &str, tenant: String, task: RemoteTask) {
        let live = Live {
            tenant,
            since: Instant::now(),
            view: watch::channel(View::of(task)).0,
            cancel: CancellationToken::new(),
        };
        self.live().insert(id.to_owned(), Arc::new(live));
    }

    fn find_live(&self, tenant: &str, id: &str) -> Option<Arc<Live>> {
        self.live().get(id).filter(|live| live.tenant == tenant).cloned()
    }

    /// A live view is newer than the row a replay was read from.
    fn newest(&self, row: TaskRow) -> Result<RemoteTask, Problem> {
        let live = self.live().get(&row.id).cloned();
        let task = readable(row)?;
        let live = live.map(|live| shown(&live.view.borrow()));
        Ok(live.filter(|live| live.seq > task.seq).unwrap_or(task))
    }

    fn live(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Live>>> {
        // No code that holds the lock can leave the map half changed.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_room(&self) -> bool {
        self.waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
                (waiting < self.config.queue).then_some(waiting + 1)
            })
            .is_ok()
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
}

impl View {
    fn of(task: RemoteTask) -> Self {
        Self { task: Arc::new(task), received: None }
    }
}

fn progress_sink(live: &Arc<Live>, started: &Started) -> ProgressSink {
    let (live, started) = (Arc::clone(live), started.clone());
    let count = AtomicU64::new(0);
    Arc::new(move |progress| {
        let Progress::Received { characters } = progress else {
            return;
        };
        let seq = started.progress_seq(count.fetch_add(1, Ordering::Relaxed) + 1);
        live.view.send_if_modified(|view| {
            let running = view.task.state == RemoteState::Running;
            if running {
                view.received = Some((seq, characters));
            }
            running
        });
    })
}

/// The row of a task as it came in. The key is the caller's, else the digest of what is asked; the two kinds never meet.
fn new_row(tenant: String, key: Option<String>, task: NewTask) -> Result<NewRow, Problem> {
    let canonical = serde_json_canonicalizer::to_string(&task)
        .map_err(|error| Problem::internal("put the task into canonical form", &error))?;
    let payload_sha256 = Digest::of(&canonical).to_string();
    // Refused now and not when it runs.
    wire::prompt_from_wire(task.prompt)?;
    let key = key.map_or_else(|| format!("payload:{payload_sha256}"), |key| format!("key:{key}"));
    let trace = propagation::outgoing();
    Ok(NewRow {
        id: uuid::Uuid::now_v7().to_string(),
        tenant,
        key,
        payload_sha256,
        payload: canonical,
        traceparent: trace.traceparent(),
        tracestate: trace.tracestate(),
    })
}

fn shown(view: &View) -> RemoteTask {
    let seq = view.received.map_or(0, |(seq, _)| seq);
    RemoteTask { seq: view.task.seq.max(seq), ..RemoteTask::clone(&view.task) }
}

fn queued_task(id: &str) -> RemoteTask {
    RemoteTask { id: id.to_owned(), state: RemoteState::Queued, seq: 1, answer: None, error: None }
}

fn running_task(id: &str, seq: u64) -> RemoteTask {
    RemoteTask { state: RemoteState::Running, seq, ..queued_task(id) }
}

fn readable(row: TaskRow) -> Result<RemoteTask, Problem> {
    remote_task(row).map_err(|error| Problem::internal("read the task", &error))
}

fn remote_task(row: TaskRow) -> serde_json::Result<RemoteTask> {
    Ok(RemoteTask {
        id: row.id,
        state: row.state,
        seq: row.seq,
        answer: row.answer.as_deref().map(serde_json::from_str).transpose()?,
        error: row.error.as_deref().map(serde_json::from_str).transpose()?,
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

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
