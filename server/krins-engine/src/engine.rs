//! One root's engine: what the edges call. It keeps the rooms together and starts the pipeline; every decision is
//! taken elsewhere.

use crate::apply::{Applied, Applier, Editor, Kind, NotPlanned, Plan, Planned};
use crate::base::{Current, Snapshot};
use crate::documents::Documents;
use crate::error::{Error, ErrorKind, Result};
use crate::gate::{self, Gated};
use crate::index::Index;
use crate::pipeline::{self, Intent, Proposed, Reporter, Stage, Workshop};
use crate::settings::Settings;
use crate::state::StateDir;
use crate::tasks::{Answered, HunkVerdict, Pin, StoredFile, Task, TaskState, Tasks};
use crate::workspace::Root;
use krins_backend::Backend;
use krins_core::gate::Policy;
use krins_core::graph::Graph;
use krins_core::patch::{self, Change, Conflict, FilePatch, MarkerStyle, Patch};
use krins_core::prompt::ContextPack;
use krins_core::text::Encoding;
use krins_core::{Entry, Tree as _};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// Running tasks beyond this are refused, not queued: a person waits for one.
const MOST_RUNNING: usize = 8;

/// One root, opened. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    root: Arc<Root>,
    documents: Arc<Documents>,
    state: StateDir,
    settings: Arc<Settings>,
    backend: Arc<dyn Backend>,
    policy: Arc<Policy>,
    index: Arc<Index>,
    tasks: Tasks,
    applier: Applier,
    /// One apply, undo or redo at a time in this process; the state directory's lock holds the others off.
    applying: tokio::sync::Mutex<()>,
}

/// What [`Engine::assign`] answers at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    pub task: String,
    pub state: TaskState,
    pub deduplicated: bool,
}

/// A task with its patch: what is shown for review.
pub struct Review {
    pub task: Task,
    pub patch: Patch,
}

/// Which part of a task to apply, and how.
#[derive(Clone, Debug, Default)]
pub struct ApplyWish {
    /// Only these hunks; without it every hunk that was not rejected.
    pub hunks: Option<Vec<String>>,
    /// Write conflict markers instead of refusing.
    pub markers: bool,
    pub dry_run: bool,
}

/// What came of an apply, an undo or a redo. Conflicts mean that nothing was written.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub applied: Applied,
    /// Of a dry run: what would be written.
    pub planned: Vec<Planned>,
    pub conflicts: Vec<Conflict>,
}

impl Engine {
    /// Opens a root, and finishes what an interrupted apply left behind.
    pub fn open(
        root: Root,
        state: StateDir,
        settings: Arc<Settings>,
        backend: Arc<dyn Backend>,
        encoding: Encoding,
    ) -> Result<Self> {
        let root = Arc::new(root);
        let documents = Arc::new(Documents::new(root.clone(), encoding));
        let applier = Applier::open(Current::new(root.clone(), documents.clone()), state.clone())?;
        if let Some(recovered) = applier.recover_at_start()? {
            tracing::warn!(?recovered, "an interrupted apply was ended");
        }
        let tasks = Tasks::load(state.clone());
        agree(&applier, &tasks);
        let policy = Arc::new(settings.policy());
        let inner = Inner {
            root,
            documents,
            state,
            settings,
            backend,
            policy,
            index: Arc::default(),
            tasks,
            applier,
            applying: tokio::sync::Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    pub fn root(&self) -> &Arc<Root> {
        &self.inner.root
    }

    pub fn documents(&self) -> &Arc<Documents> {
        &self.inner.documents
    }

    pub fn settings(&self) -> &Arc<Settings> {
        &self.inner.settings
    }

    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.inner.backend
    }

    pub fn state(&self) -> &StateDir {
        &self.inner.state
    }

    pub fn policy(&self) -> &Policy {
        &self.inner.policy
    }

    pub fn index(&self) -> &Index {
        &self.inner.index
    }

    pub fn tasks(&self) -> &Tasks {
        &self.inner.tasks
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot::take(&self.inner.root, &self.inner.documents)
    }

    /// The graph of the files as they are now. Blocking.
    pub fn graph(&self) -> Graph {
        self.inner.index.refresh(&self.snapshot())
    }

    /// Registers the task durably, starts its pipeline behind the answer, and returns. Must run inside a tokio runtime.
    pub fn assign(&self, intent: Intent, id: Option<String>, traceparent: Option<String>) -> Result<Assigned> {
        let words = intent.words.trim();
        if words.is_empty() {
            return Err(Error::new(ErrorKind::BadParams, "assign a task without words").hint("say what to change"));
        }
        if id.as_deref().is_none_or(|id| self.inner.tasks.get(id).is_err()) && self.running() >= MOST_RUNNING {
            return Err(Error::new(ErrorKind::Overloaded, format!("start another task: {MOST_RUNNING} are running"))
                .hint("wait for one to finish, or cancel one"));
        }
        // The snapshot is taken before the first await: the task is about the code the person sees now.
        let base = Arc::new(self.snapshot().base());
        let registered = self.inner.tasks.assign(id, words, now(), traceparent)?;
        let task = registered.task;
        if let Some(cancel) = registered.cancel {
            let engine = self.clone();
            let id = task.id.clone();
            let span = tracing::info_span!("krins.task", task = %id);
            tokio::spawn(krins_backend::propagation::carry(
                async move { engine.run(id, intent, base, cancel).await }.instrument(span),
            ));
            return Ok(Assigned { task: task.id, state: task.state, deduplicated: false });
        }
        Ok(Assigned { task: task.id, state: task.state, deduplicated: true })
    }

    /// How many tasks the pipeline is at work on.
    pub fn running(&self) -> usize {
        self.inner.tasks.list().iter().filter(|task| task.state.is_running()).count()
    }

    async fn run(&self, id: String, intent: Intent, base: Arc<crate::base::Base>, cancel: CancellationToken) {
        let reporter: Arc<dyn Reporter> = Arc::new(TaskReporter { engine: self.clone(), id: id.clone() });
        let shop = self.workshop(&id);
        let outcome = tokio::select! {
            // Looked at first, so that an answer that arrives with the cancel loses.
            biased;
            () = cancel.cancelled() => Err(Error::cancelled()),
            outcome = catch_panic(pipeline::propose(&shop, &intent, base, &reporter)) => outcome,
        };
        if let Err(error) = self.settle(&id, outcome) {
            tracing::error!(task = %id, %error, "the task's outcome could not be stored");
        }
    }

    fn workshop(&self, task: &str) -> Workshop {
        Workshop {
            task: task.to_owned(),
            root: self.inner.root.clone(),
            index: self.inner.index.clone(),
            backend: self.inner.backend.clone(),
            settings: self.inner.settings.clone(),
            policy: self.inner.policy.clone(),
        }
    }

    fn settle(&self, id: &str, outcome: Result<Proposed>) -> Result<()> {
        let outcome = outcome.and_then(|proposed| Ok((self.store_files(&proposed.patch)?, proposed)));
        self.inner.tasks.update(id, |task| match outcome {
            Ok((files, proposed)) => record(task, files, proposed),
            Err(error) => {
                task.state = if error.kind == ErrorKind::Cancelled { TaskState::Cancelled } else { TaskState::Failed };
                task.error = Some(error);
                task.progress = None;
            }
        })?;
        Ok(())
    }

    fn store_files(&self, patch: &Patch) -> Result<Vec<StoredFile>> {
        let blob =
            |bytes: &Option<Arc<[u8]>>| bytes.as_deref().map(|bytes| self.inner.state.put_blob(bytes)).transpose();
        let mut files = Vec::new();
        for file in patch.files() {
            files.push(StoredFile {
                path: file.path.clone(),
                from: file.from.clone(),
                kind: file.kind,
                before: blob(&file.before)?,
                after: blob(&file.after)?,
                executable: file.executable,
                placements: file.placements.clone(),
            });
        }
        Ok(files)
    }

    /// What a model would be sent, without sending it.
    pub async fn context(&self, intent: &Intent) -> Result<ContextPack> {
        let base = Arc::new(self.snapshot().base());
        pipeline::select(&self.workshop(""), intent, base).await
    }

    /// The named task's patch, or the newest's.
    pub fn review(&self, task: Option<&str>) -> Result<Review> {
        let task = self.inner.tasks.find(task)?;
        if task.files.is_empty() {
            return Err(no_diff(&task));
        }
        let patch = task.patch(&self.inner.state)?;
        Ok(Review { task, patch })
    }

    /// Accepts or rejects one hunk.
    pub fn judge_hunk(&self, task: Option<&str>, hunk: &str, verdict: HunkVerdict) -> Result<Review> {
        let review = self.review(task)?;
        known_hunks(&review.patch, std::slice::from_ref(&hunk.to_owned()))?;
        let task = self.inner.tasks.update(&review.task.id, |task| {
            task.verdicts.insert(hunk.to_owned(), verdict);
        })?;
        Ok(Review { task, patch: review.patch })
    }

    /// Stops a running task; nothing is written after this returned. A task that has ended keeps its state.
    pub async fn cancel(&self, task: Option<&str>) -> Result<Task> {
        let task = match task {
            Some(id) => self.inner.tasks.get(id)?,
            None => self.newest_running()?,
        };
        self.inner.tasks.cancel(&task.id)?;
        self.inner.tasks.settled(&task.id).await
    }

    fn newest_running(&self) -> Result<Task> {
        self.inner
            .tasks
            .list()
            .into_iter()
            .find(|task| task.state.is_running())
            .ok_or_else(|| Error::new(ErrorKind::UnknownTask, "find a running task"))
    }

    /// Drops a task's diff, and tells the backend not to give that answer again.
    pub fn discard(&self, task: Option<&str>) -> Result<Task> {
        let task = self.inner.tasks.find(task)?;
        match task.state {
            TaskState::Ready
            | TaskState::Blocked
            | TaskState::Failed
            | TaskState::Cancelled
            | TaskState::Discarded
            | TaskState::Undone => self.inner.tasks.update(&task.id, |task| task.state = TaskState::Discarded),
            _ => Err(Error::new(
                ErrorKind::BadParams,
                format!("discard task {}: it is {}", task.id, state_name(task.state)),
            )
            .hint("cancel a running task; undo an applied one")),
        }
    }

    /// Merges the task's patch onto what the files are now and writes it, all or nothing.
    pub async fn apply(&self, task: Option<&str>, wish: ApplyWish, editor: Option<Arc<dyn Editor>>) -> Result<Outcome> {
        let _one_at_a_time = self.inner.applying.lock().await;
        let review = self.review(task)?;
        match review.task.state {
            TaskState::Ready | TaskState::Undone => {}
            TaskState::Blocked => return Err(blocked(&review.task)),
            _ => return Err(not_ready(&review.task)),
        }
        let patch = chosen(&review, wish.hunks.as_deref())?;
        // The subset is another patch: it has to pass the gate itself.
        let gated = gate::run(patch, &self.inner.policy).map_err(|_| blocked(&review.task))?;
        let id = review.task.id.clone();
        let plan = match self.plan(gated.clone(), Some(id.clone())).await? {
            Err(NotPlanned { conflicts, refusals }) if wish.markers && refusals.is_empty() => {
                let marked = self.with_markers(gated.value(), &conflicts);
                // Markers are no code: the patch was judged without them, and its paths are judged again.
                let gated = gate::admit(marked, &self.inner.policy).map_err(|_| blocked(&review.task))?;
                self.plan(gated, Some(id.clone())).await?
            }
            plan => plan,
        };
        let outcome = self.carry_out(plan, wish.dry_run, editor).await?;
        if let Some(undo) = &outcome.applied.id {
            self.inner.tasks.update(&id, |task| {
                task.state = TaskState::Applied;
                task.undo = Some(undo.clone());
            })?;
        }
        Ok(outcome)
    }

    /// The same for a patch that belongs to no task.
    pub async fn apply_patch(&self, gated: Gated<Patch>) -> Result<Outcome> {
        let _one_at_a_time = self.inner.applying.lock().await;
        let plan = self.plan(gated, None).await?;
        self.carry_out(plan, false, None).await
    }

    /// The patch with conflict markers in the files that moved on in the same places.
    fn with_markers(&self, patch: &Patch, conflicts: &[Conflict]) -> Patch {
        let current = Current::new(self.inner.root.clone(), self.inner.documents.clone());
        let change = |file: &FilePatch| {
            let plain = Change {
                path: file.path.clone(),
                from: file.from.clone(),
                before: file.before.clone(),
                after: file.after.clone(),
                executable: file.executable,
            };
            if !conflicts.iter().any(|conflict| conflict.path == file.path) {
                return plain;
            }
            match (&file.before, current.entry(&file.path), &file.after) {
                (Some(base), Entry::File { bytes: ours, .. }, Some(theirs)) => {
                    let marked =
                        patch::render_conflicts(base, &ours, theirs, ["base", "yours", "krins"], MarkerStyle::Merge);
                    Change { from: None, before: Some(ours), after: Some(marked.into()), ..plain }
                }
                _ => plain,
            }
        };
        Patch::between(patch.files().iter().map(change).collect())
    }

    async fn plan(&self, gated: Gated<Patch>, task: Option<String>) -> Result<Result<Plan, NotPlanned>> {
        let current = Current::new(self.inner.root.clone(), self.inner.documents.clone());
        let planned = tokio::task::spawn_blocking(move || Plan::new(&gated, &current, task)).await;
        planned.map_err(|error| Error::new(ErrorKind::Internal, format!("plan the apply: {error}")))
    }

    /// Step 6 of the pipeline. The apply runs as a task of its own: once begun it ends, whoever goes away.
    async fn carry_out(
        &self,
        plan: Result<Plan, NotPlanned>,
        dry_run: bool,
        editor: Option<Arc<dyn Editor>>,
    ) -> Result<Outcome> {
        let plan = match plan {
            Ok(plan) => plan,
            Err(NotPlanned { conflicts, refusals }) if refusals.is_empty() => {
                return Ok(Outcome { conflicts, ..Outcome::default() });
            }
            Err(NotPlanned { refusals, .. }) => {
                return Err(Error { kind: ErrorKind::Conflict, ..Error::from(refusals) });
            }
        };
        if dry_run {
            return Ok(Outcome { planned: plan.files().collect(), ..Outcome::default() });
        }
        let applier = self.inner.applier.clone();
        let span = tracing::info_span!("krins.apply");
        let work = async move { pipeline::apply(&applier, plan, editor.as_deref()).await }.instrument(span);
        match tokio::spawn(krins_backend::propagation::carry(work)).await {
            Ok(applied) => Ok(Outcome { applied: applied?, ..Outcome::default() }),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    /// Takes an apply back: by undo id, by task id, or the last.
    pub async fn undo(&self, which: Option<&str>, dry_run: bool, editor: Option<Arc<dyn Editor>>) -> Result<Outcome> {
        let _one_at_a_time = self.inner.applying.lock().await;
        let plan = self.inner.applier.plan_undo(which).await?;
        self.turn(plan, dry_run, editor, TaskState::Undone).await
    }

    /// Does again what was undone last, or the named one.
    pub async fn redo(&self, which: Option<&str>, dry_run: bool, editor: Option<Arc<dyn Editor>>) -> Result<Outcome> {
        let _one_at_a_time = self.inner.applying.lock().await;
        let plan = self.inner.applier.plan_redo(which).await?;
        self.turn(plan, dry_run, editor, TaskState::Applied).await
    }

    async fn turn(
        &self,
        plan: Result<Plan, NotPlanned>,
        dry_run: bool,
        editor: Option<Arc<dyn Editor>>,
        state: TaskState,
    ) -> Result<Outcome> {
        let task = plan.as_ref().ok().and_then(|plan| plan.task().map(str::to_owned));
        let outcome = self.carry_out(plan, dry_run, editor).await?;
        if let Some(task) = task.filter(|_| outcome.applied.id.is_some()) {
            // The task may have been dropped from the table since; the undo stands without it.
            let _ = self.inner.tasks.update(&task, |task| task.state = state);
        }
        Ok(outcome)
    }

    pub fn applier(&self) -> &Applier {
        &self.inner.applier
    }

    /// Whether the file is there now, open or on disk.
    pub fn has(&self, path: &krins_core::RelPath) -> bool {
        matches!(self.snapshot().entry(path), Entry::File { .. })
    }

    /// Whether what the backend does costs nothing.
    pub fn is_free(&self) -> bool {
        self.inner.backend.is_builtin() || self.inner.backend.route().starts_with("ollama/")
    }

    /// Keeps a file for the person to look at, in the state directory; answers its path.
    pub fn write_view(&self, name: &str, bytes: &[u8]) -> Result<std::path::PathBuf> {
        let path = self.inner.state.subdir("views")?.join(name);
        std::fs::write(&path, bytes)
            .map_err(|error| Error::new(ErrorKind::Internal, format!("write {}: {error}", path.display())))?;
        Ok(path)
    }

    /// Ticks with the task that changed last.
    pub fn watch(&self) -> watch::Receiver<Option<Task>> {
        self.inner.tasks.watch()
    }
}

struct TaskReporter {
    engine: Engine,
    id: String,
}

impl Reporter for TaskReporter {
    fn stage(&self, stage: Stage) {
        let (state, progress) = match stage {
            Stage::Context => (TaskState::Context, "choosing the code that matters"),
            Stage::Asking => (TaskState::Asking, "asking"),
            Stage::Gating => (TaskState::Gating, "checking the change"),
        };
        let stored = self.engine.inner.tasks.update(&self.id, |task| {
            task.state = state;
            task.progress = Some(progress.to_owned());
        });
        if let Err(error) = stored {
            tracing::warn!(task = %self.id, %error, "the task's state could not be stored");
        }
    }

    fn progress(&self, text: String) {
        self.engine.inner.tasks.report(&self.id, text);
    }
}

fn record(task: &mut Task, files: Vec<StoredFile>, proposed: Proposed) {
    task.progress = None;
    task.base = proposed
        .base
        .pins()
        .into_iter()
        .map(|pin| Pin { path: pin.path, version: pin.version, digest: pin.sha256 })
        .collect();
    task.files = files;
    task.steps = proposed.steps;
    task.sent = proposed.pack.items.iter().map(|item| (item.path.clone(), item.tokens)).collect();
    task.tokens = proposed.pack.tokens;
    task.answered = Some(Answered {
        route: format!("{}/{}", proposed.proposal.provider, proposed.proposal.model),
        usage: proposed.proposal.usage,
        cached: proposed.proposal.cached,
        why: proposed.proposal.why,
    });
    (task.state, task.report) = match proposed.verdict {
        Ok(gated) => (TaskState::Ready, Some(gated.report().clone())),
        Err(report) => (TaskState::Blocked, Some(*report)),
    };
}

/// The hunks that are to be applied.
fn chosen(review: &Review, hunks: Option<&[String]>) -> Result<Patch> {
    let patch = match hunks {
        Some(wanted) => {
            known_hunks(&review.patch, wanted)?;
            review.patch.subset(&|hunk| wanted.contains(&hunk.id))
        }
        None => {
            let verdicts: &BTreeMap<String, HunkVerdict> = &review.task.verdicts;
            review.patch.subset(&|hunk| verdicts.get(&hunk.id) != Some(&HunkVerdict::Reject))
        }
    };
    if patch.is_empty() {
        return Err(Error::new(ErrorKind::BadParams, "apply a change without hunks: all of them are rejected")
            .hint("accept at least one"));
    }
    Ok(patch)
}

fn known_hunks(patch: &Patch, wanted: &[String]) -> Result<()> {
    let known: Vec<&str> = patch.files().iter().flat_map(|file| &file.hunks).map(|hunk| hunk.id.as_str()).collect();
    match wanted.iter().find(|id| !known.contains(&id.as_str())) {
        Some(id) => {
            Err(Error::new(ErrorKind::BadParams, format!("find hunk {:?}", id.chars().take(40).collect::<String>()))
                .hint(format!("the task has {}", known.join(", "))))
        }
        None => Ok(()),
    }
}

fn no_diff(task: &Task) -> Error {
    match &task.error {
        Some(error) => error.clone(),
        None => not_ready(task),
    }
}

/// A process that died between an apply, an undo or a redo and its note of it left a task that says something else than
/// the files. Only the newest record can be ahead of its task: each start ends here before it begins another.
fn agree(applier: &Applier, tasks: &Tasks) {
    let newest = applier.newest_at_start().unwrap_or_else(|error| {
        tracing::warn!(%error, "the newest record of the history cannot be read");
        None
    });
    let Some((record, task)) = newest.and_then(|record| tasks.get(record.task()?).ok().map(|task| (record, task)))
    else {
        return;
    };
    let state = match record.kind() {
        Kind::Apply | Kind::Redo { .. } => TaskState::Applied,
        Kind::Undo { .. } => TaskState::Undone,
    };
    let behind = matches!(task.state, TaskState::Ready | TaskState::Applied | TaskState::Undone) && task.state != state;
    if !behind {
        return;
    }
    let noted = tasks.update(&task.id, |task| {
        task.state = state;
        task.undo = Some(record.about().to_owned());
    });
    if let Err(error) = noted {
        tracing::warn!(task = %task.id, %error, "the task's state could not be stored");
    }
}

fn not_ready(task: &Task) -> Error {
    Error::new(ErrorKind::BadParams, format!("use the diff of task {}: it is {}", task.id, state_name(task.state)))
        .hint("only a task that is ready or undone can be applied")
}

fn blocked(task: &Task) -> Error {
    let findings: Vec<String> = task
        .report
        .iter()
        .flat_map(|report| &report.findings)
        .filter(|finding| finding.verdict == krins_core::gate::Verdict::Block)
        .take(3)
        .map(|finding| format!("{} ({})", finding.message, finding.rule))
        .collect();
    Error::new(ErrorKind::GateFailed, format!("apply task {}: the gate blocks it: {}", task.id, findings.join("; ")))
        .hint("`krins diff` shows the findings with their places and fixes")
}

/// The state as the protocol spells it.
pub fn state_name(state: TaskState) -> &'static str {
    match state {
        TaskState::Queued => "queued",
        TaskState::Context => "context",
        TaskState::Asking => "asking",
        TaskState::Gating => "gating",
        TaskState::Ready => "ready",
        TaskState::Blocked => "blocked",
        TaskState::Failed => "failed",
        TaskState::Cancelled => "cancelled",
        TaskState::Discarded => "discarded",
        TaskState::Applied => "applied",
        TaskState::Undone => "undone",
    }
}

/// A panic in the pipeline is one failed task.
async fn catch_panic<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    use futures::FutureExt as _;
    match std::panic::AssertUnwindSafe(work).catch_unwind().await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::new(ErrorKind::Internal, "finish the task: Krins has a defect here")
            .hint("the log has the details; nothing was written")),
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
