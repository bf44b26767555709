//! One root's engine: what the edges call. It keeps the rooms together and starts the pipeline; every decision is
//! taken elsewhere.

mod git;
#[cfg(test)]
mod model;
mod preview;
mod recorded;
mod review;
mod running;
mod said;
mod sharing;
mod turns;

pub use preview::{Preview, Promoted};
pub use review::Judgement;

use self::turns::{hunks_of, missing, turned, whole_where_the_file_itself_changes, written_again};
use crate::affected::Known;
use crate::apply::{Applied, Applier, Editor, Kind, NotPlanned, Plan, Planned, Turn};
use crate::audit::Audit;
use crate::base::{Current, Snapshot};
use crate::documents::Documents;
use crate::error::{Error, ErrorKind, Result};
use crate::findings::Findings;
use crate::fix;
use crate::gate::{self, Gated, Rulebook};
use crate::history::Past;
use crate::index::{Index, View, Wish};
use crate::judging;
use crate::pipeline::{self, Chosen, Intent, Proposed, Reporter, Stage, Workshop};
use crate::settings::Settings;
use crate::state::StateDir;
use crate::tasks::{Answered, Choice, HunkVerdict, Other, Pin, StoredFile, Task, TaskState, Tasks};
use crate::variants::Tried;
use crate::workspace::Root;
use crate::worktree;
use krins_backend::money::Bill;
use krins_backend::router::Outcome as RouterOutcome;
use krins_backend::{Ask, Backend, Proposal, spans};
use krins_core::gate::{Author, Finding, Report, Verdict};
use krins_core::graph::Graph;
use krins_core::patch::{self, Change, Conflict, FilePatch, MarkerStyle, Patch};
use krins_core::redact::Vault;
use krins_core::text::Encoding;
use krins_core::{Digest, Entry, RelPath, Tree as _};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{OwnedMutexGuard, watch};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// How long a look at the context, and a task, wait for an index that is not complete.
const LOOK: Duration = Duration::from_millis(80);
const ASK: Duration = Duration::from_millis(1500);
/// For the ledger, or the server, to take down what a task has to tell.
const FLUSH: Duration = Duration::from_secs(3);
/// Running tasks beyond this are refused, not queued: a person waits for one.
const MOST_RUNNING: usize = 8;
/// Bytes of words beyond this are no task that a person says: they are kept with the task and shown with it.
const LONGEST_WORDS: usize = 64 << 10;
/// Asks that are kept, so that a discarded answer can be taken out of the cache.
const ASKS: usize = 16;
/// Texts that were written for a person to look at and are kept.
const MOST_VIEWS: usize = 100;
/// Files that were not sent and are remembered to be shown.
const MOST_PRUNED: usize = 50;

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
    vault: Arc<Mutex<Vault>>,
    rules: Arc<Rulebook>,
    audit: Arc<Audit>,
    index: Arc<Index>,
    past: Arc<Past>,
    findings: Arc<Findings>,
    known: Arc<Known>,
    tasks: Tasks,
    /// Tasks that a process was at when it died, found when the root was opened.
    stopped: Vec<String>,
    applier: Applier,
    /// One apply, undo or redo at a time in this process; the state directory's lock holds the others off.
    applying: Arc<tokio::sync::Mutex<()>>,
    /// What was asked for the last tasks, by id, oldest first.
    asks: Mutex<VecDeque<(String, Ask)>>,
    /// The patch that was put together last, and its task: editors ask for it at every move of the cursor.
    shown: Mutex<Option<(Shown, Patch)>>,
    /// One hand-over of the audit at a time.
    sharing: tokio::sync::Mutex<()>,
    /// One verdict on a hunk at a time: an edit is judged before it is noted.
    reviewing: tokio::sync::Mutex<()>,
}

/// A task's id, its birth, which of its answers, and the edits of its hunks.
type Shown = (String, u64, u32, BTreeMap<String, Digest>);

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
        let applier =
            Applier::open(Current::new(root.clone(), documents.clone()), state.clone())?.keeping(settings.history);
        let audit = Arc::new(Audit::open(&state, settings.audit_days)?);
        let rules = Arc::new(Rulebook::new(root.clone(), state.clone(), settings.clone()));
        let who = settings.approvals.identity.clone();
        let applier = applier.witnessed(recorded::witness(audit.clone(), rules.clone(), who));
        if let Some(recovered) = applier.recover_at_start()? {
            tracing::warn!(?recovered, "an interrupted apply was ended");
        }
        let tasks = Tasks::load(state.clone());
        turns::agree(&applier, &tasks, &state);
        recorded::end_what_was_begun(&audit, &applier, &state);
        let stopped = recorded::end_rounds_that_were_begun(&audit, &tasks, settings.approvals.identity.as_deref());
        worktree::sweep(&state);
        let past = Past::new(root.clone(), state.clone());
        let index = Arc::new(Index::in_state(&state));
        let inner = Inner {
            root,
            documents,
            state,
            settings,
            backend,
            vault: Arc::default(),
            rules,
            audit,
            past,
            findings: Arc::default(),
            known: Arc::default(),
            index,
            tasks,
            stopped,
            applier,
            applying: Arc::default(),
            asks: Mutex::default(),
            shown: Mutex::default(),
            sharing: tokio::sync::Mutex::default(),
            reviewing: tokio::sync::Mutex::default(),
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

    /// The policy as it stands, read anew for each verdict.
    pub fn rules(&self) -> &Arc<Rulebook> {
        &self.inner.rules
    }

    /// What was decided here.
    pub fn audit(&self) -> &Arc<Audit> {
        &self.inner.audit
    }

    pub fn index(&self) -> &Index {
        &self.inner.index
    }

    /// What the person's other servers mark in the open documents.
    pub fn findings(&self) -> &Findings {
        &self.inner.findings
    }

    pub fn tasks(&self) -> &Tasks {
        &self.inner.tasks
    }

    /// The tasks that failed because Krins was stopped while it ran, and whose end this process put on record: each is named to
    /// one process, once.
    pub fn stopped(&self) -> &[String] {
        &self.inner.stopped
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot::take(&self.inner.root, &self.inner.documents)
    }

    /// Reads the files in the background and watches them, for as long as the engine is there.
    pub fn keep_index_fresh(&self) {
        self.inner.index.keep_fresh(&self.inner.root, &self.inner.documents);
    }

    /// The graph that is known after about so long; what the wish is about comes first. Blocking.
    pub fn graph_soon(&self, snapshot: &Snapshot, wish: &Wish<'_>, patience: Duration) -> View {
        self.inner.index.soon(snapshot, wish, patience)
    }

    /// The graph of the files as they are now. Blocking.
    pub fn graph(&self) -> Graph {
        self.inner.index.refresh(&self.snapshot())
    }

    /// Registers the task durably, starts its pipeline behind the answer, and returns. Must run inside a tokio runtime.
    pub fn assign(&self, intent: Intent, id: Option<String>, traceparent: Option<String>) -> Result<Assigned> {
        warm_gate();
        let words = task_words(&intent.words)?;
        if id.as_deref().is_none_or(|id| self.inner.tasks.get(id).is_err()) && self.running() >= MOST_RUNNING {
            return Err(Error::new(ErrorKind::Overloaded, format!("start another task: {MOST_RUNNING} are running"))
                .hint("wait for one to finish, or cancel one"));
        }
        // The snapshot is taken before the first await: the task is about the code the person sees now.
        let base = Arc::new(self.snapshot().base());
        let registered = self.inner.tasks.assign(id, words, now(), traceparent)?;
        let task = registered.task;
        if let Some(cancel) = registered.cancel {
            self.note_assigned(&task)?;
            let engine = self.clone();
            let id = task.id.clone();
            let span = tracing::info_span!(
                "krins.task",
                task = %id,
                "error.type" = tracing::field::Empty,
                otel.status_code = tracing::field::Empty,
            );
            tokio::spawn(krins_backend::propagation::carry(
                async move { engine.run(id, intent, base, cancel, span).await },
            ));
            return Ok(Assigned { task: task.id, state: task.state, deduplicated: false });
        }
        Ok(Assigned { task: task.id, state: task.state, deduplicated: true })
    }

    /// How many tasks the pipeline is at work on.
    pub fn running(&self) -> usize {
        self.inner.tasks.running_here().len()
    }

    async fn run(
        &self,
        id: String,
        intent: Intent,
        base: Arc<crate::base::Base>,
        cancel: CancellationToken,
        span: tracing::Span,
    ) {
        let teller = Arc::new(TaskReporter::new(self, &id));
        let reporter: Arc<dyn Reporter> = teller.clone();
        let shop = self.workshop(&id);
        let work = async {
            let outcome = tokio::select! {
                // Looked at first, so that an answer that arrives with the cancel loses.
                biased;
                () = cancel.cancelled() => Err(Error::cancelled()),
                outcome = catch_panic(pipeline::propose(&shop, &intent, base, &reporter)) => outcome,
            };
            if let Err(error) = &outcome {
                spans::failed(&tracing::Span::current(), &format!("{:?}", error.kind));
            }
            // Whoever waits for the task may be gone the moment it is settled.
            if tokio::time::timeout(FLUSH, shop.backend.flush()).await.is_err() {
                tracing::warn!(task = %id, "what was spent and kept is not written yet");
            }
            outcome
        };
        // The span has ended before anybody hears that the task has: a session may end at that moment.
        let outcome = work.instrument(span).await;
        teller.leave(&outcome);
        // For the same reason how the routes are is on disk before that.
        self.note_routes();
        if let Err(error) = self.settle(&id, outcome, &shop.bill) {
            tracing::error!(task = %id, %error, "the task's outcome could not be stored");
            self.inner.tasks.fail_unstored(&id, error);
        }
        self.share_behind();
        let engine = self.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = engine.inner.tasks.sweep() {
                tracing::warn!(%error, "old contents could not be removed");
            }
            engine.leave_forgotten_previews();
        });
    }

    fn workshop(&self, task: &str) -> Workshop {
        Workshop {
            task: task.to_owned(),
            // A person looks at a pack while they type; a model takes its time anyway.
            patience: if task.is_empty() { LOOK } else { ASK },
            root: self.inner.root.clone(),
            index: self.inner.index.clone(),
            past: self.inner.past.clone(),
            findings: self.inner.findings.clone(),
            backend: self.inner.backend.clone(),
            settings: self.inner.settings.clone(),
            vault: self.inner.vault.clone(),
            rules: self.inner.rules.clone(),
            bill: Bill::default(),
            state: self.inner.state.clone(),
            known: self.inner.known.clone(),
        }
    }

    fn settle(&self, id: &str, outcome: Result<Proposed>, bill: &Bill) -> Result<()> {
        let outcome = outcome.and_then(|proposed| {
            let files = self.store_files(&proposed.patch)?;
            let others = proposed.others.iter().map(|tried| self.store_other(tried)).collect::<Result<Vec<_>>>()?;
            Ok((files, others, proposed))
        });
        // On record before anybody sees it: an answer that cannot be recorded is not one.
        let noted = match &outcome {
            Ok((_, _, proposed)) => self.note_answered(id, proposed),
            Err(error) => self.note_ended(id, error),
        };
        let outcome = outcome.and_then(|outcome| noted.map(|()| outcome));
        if let Ok((_, _, proposed)) = &outcome {
            self.keep_ask(id, &proposed.ask);
        }
        self.inner.tasks.update(id, |task| {
            task.calls = bill.entries();
            match outcome {
                Ok((files, others, proposed)) => {
                    task.others = others;
                    record(task, files, proposed);
                }
                Err(error) => {
                    let cancelled = error.kind == ErrorKind::Cancelled;
                    task.state = if cancelled { TaskState::Cancelled } else { TaskState::Failed };
                    task.error = Some(error);
                    task.progress = None;
                }
            }
        })?;
        Ok(())
    }

    fn keep_ask(&self, id: &str, ask: &Ask) {
        // The same words give the same refactoring; there is nothing to forget.
        if self.inner.backend.is_builtin_for(ask.provider.as_deref()) {
            return;
        }
        let mut asks = self.inner.asks.lock().unwrap_or_else(PoisonError::into_inner);
        if asks.len() >= ASKS {
            asks.pop_front();
        }
        asks.push_back((id.to_owned(), ask.clone()));
    }

    fn store_other(&self, tried: &Tried) -> Result<Other> {
        let (placed, error) = match &tried.outcome {
            Ok(placed) => (Some(placed), None),
            Err(error) => (None, Some(error.clone())),
        };
        Ok(Other {
            variant: tried.variant,
            files: placed.map(|placed| self.store_files(&placed.patch)).transpose()?.unwrap_or_default(),
            report: placed.map(|placed| placed.report().clone()),
            answered: placed.map(|placed| answered(&placed.proposal)),
            error,
        })
    }

    /// Shows another of a task's answers.
    pub fn select(&self, task: Option<&str>, variant: u32) -> Result<Review> {
        let task = self.inner.tasks.find(task)?;
        match task.state {
            TaskState::Ready | TaskState::Blocked | TaskState::Undone | TaskState::Discarded => {}
            _ => {
                return Err(Error::new(
                    ErrorKind::BadParams,
                    format!("show another variant of task {}: it is {}", task.id, state_name(task.state)),
                )
                .hint("undo an applied one first"));
            }
        }
        task.clone().select(variant)?;
        let task = self.inner.tasks.update(&task.id, |task| {
            // It was tried a moment ago, and only a finished task gets here.
            let _ = task.select(variant);
        })?;
        let patch = self.patch_of(&task)?;
        Ok(Review { task, patch })
    }

    /// Tells the router what a person made of a task's answer.
    fn heard(&self, task: &Task) {
        let Some(choice) = task.choices.iter().find(|choice| choice.variant == task.variant) else { return };
        let accepted = match task.state {
            TaskState::Applied => true,
            TaskState::Discarded | TaskState::Undone => false,
            _ => return,
        };
        self.inner.backend.note("", &choice.decision, RouterOutcome::Person { accepted });
        let hunks = self.patch_of(task).map_or(0, |patch| patch.files().iter().map(|file| file.hunks.len()).sum());
        let rejected = task.verdicts.values().filter(|verdict| **verdict == HunkVerdict::Reject).count();
        if accepted && hunks > 0 {
            let share = (rejected + task.edits.len()) as f64 / hunks as f64;
            self.inner.backend.note("", &choice.decision, RouterOutcome::Edits { share });
        }
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
    pub async fn context(&self, intent: &Intent) -> Result<Chosen> {
        let base = Arc::new(self.snapshot().base());
        pipeline::look(&self.workshop(""), intent, base).await
    }

    /// What an apply without a wish for some hunks would be of: all that was not rejected.
    pub fn wanted(&self, task: Option<&str>) -> Result<Patch> {
        chosen(&self.review(task)?, None)
    }

    /// The named task's patch, or the newest's.
    pub fn review(&self, task: Option<&str>) -> Result<Review> {
        let task = self.inner.tasks.find(task)?;
        if task.files.is_empty() {
            return Err(no_diff(&task));
        }
        let patch = self.patch_of(&task)?;
        Ok(Review { task, patch })
    }

    fn patch_of(&self, task: &Task) -> Result<Patch> {
        let shown = || self.inner.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (task.id.clone(), task.created, task.variant, task.edits.clone());
        if let Some((_, patch)) = shown().as_ref().filter(|(of, _)| *of == key) {
            return Ok(patch.clone());
        }
        let patch = task.patch(&self.inner.state)?;
        *shown() = Some((key, patch.clone()));
        Ok(patch)
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
            .running_here()
            .into_iter()
            .max_by_key(|task| task.created)
            .ok_or_else(|| Error::new(ErrorKind::UnknownTask, "find a running task"))
    }

    /// Drops a task's diff, tells the backend not to give that answer again, and takes its preview away; of a task that is applied
    /// in part, rejects the rest. Blocking.
    pub fn discard(&self, task: Option<&str>) -> Result<Task> {
        let task = self.inner.tasks.find(task)?;
        match task.state {
            TaskState::Ready
            | TaskState::Blocked
            | TaskState::Failed
            | TaskState::Cancelled
            | TaskState::Discarded
            | TaskState::Undone => {
                self.forget(&task.id);
                self.note("task.discarded", &task, serde_json::json!({}))?;
                let task = self.inner.tasks.update(&task.id, |task| task.state = TaskState::Discarded)?;
                self.heard(&task);
                self.leave_preview(&task.id);
                Ok(task)
            }
            // What an apply of some hunks left out stays out, and what was applied stays in.
            TaskState::Applied if task.left_open().next().is_some() => {
                let left: Vec<String> = task.left_open().cloned().collect();
                for hunk in &left {
                    self.note_judged(&task, hunk, &Judgement::Reject, None)?;
                }
                self.inner.tasks.update(&task.id, |task| {
                    task.verdicts.extend(left.into_iter().map(|hunk| (hunk, HunkVerdict::Reject)));
                })
            }
            _ => Err(Error::new(
                ErrorKind::BadParams,
                format!("discard task {}: it is {}", task.id, state_name(task.state)),
            )
            .hint("cancel a running task; undo an applied one")),
        }
    }

    fn forget(&self, task: &str) {
        let asks = self.inner.asks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, ask)) = asks.iter().find(|(id, _)| id == task) {
            self.inner.backend.forget(ask);
        }
    }

    /// Merges the task's patch onto what the files are now and writes it, all or nothing.
    pub async fn apply(&self, task: Option<&str>, wish: ApplyWish, editor: Option<Arc<dyn Editor>>) -> Result<Outcome> {
        let turn = self.inner.applying.clone().lock_owned().await;
        // What a person has said of a hunk before counts, also while that is still being judged.
        drop(self.inner.reviewing.lock().await);
        let review = self.review(task)?;
        match review.task.state {
            // After some hunks the others may follow: what is there already merges to nothing.
            // Of a change that the gate blocks, the hunks that it does not mind may be applied: they pass it themselves.
            TaskState::Ready | TaskState::Undone | TaskState::Applied | TaskState::Blocked => {}
            _ => return Err(not_ready(&review.task)),
        }
        let id = review.task.id.clone();
        self.no_objection(&review)?;
        // The subset is another patch: it has to pass the gate itself.
        let part = chosen(&review, wish.hunks.as_deref())?;
        let wanted = part.clone();
        let (brings, missing) = (hunks_of(&wanted), missing(&review.task, &hunks_of(&review.patch)));
        let gated = self.gated(part).await?;
        let gated = self.tried(gated, &review).await?;
        let gated = self.seen_by_judge(gated, &review.task).await?;
        let gated = match gated {
            Ok(gated) => gated,
            Err(report) => {
                self.note_denied(&review.task, &report)?;
                return Err(blocked(&id, Some(&report)));
            }
        };
        let plan = match self.plan(gated.clone(), Some(id.clone())).await? {
            Err(NotPlanned { conflicts, refusals }) if wish.markers && refusals.is_empty() => {
                let marked = self.with_markers(gated.value(), &conflicts);
                // Markers are no code: the patch was judged without them, and its paths are judged again.
                let gated = gate::admit(marked, &self.inner.rules, Author::Model);
                let gated = gated.map_err(|report| blocked(&id, Some(&report)))?;
                self.plan(gated, Some(id.clone())).await?
            }
            plan => plan,
        };
        let plan = plan.map(|plan| {
            let again = written_again(&wanted, &plan, &missing);
            plan.of_hunks(Some(brings), |hunk| missing.contains(hunk) || again.contains(hunk))
        });
        self.carry_out(plan, wish.dry_run, editor, turn).await
    }

    /// A judge's objection is to the change as a whole: a part of it is not judged by itself. What the objection counts for
    /// is the policy's of now to say.
    pub fn no_objection(&self, review: &Review) -> Result<()> {
        let Some(report) = &review.task.report else { return Ok(()) };
        let policy = self.inner.rules.standing()?.policy;
        let objections = judging::objections(report, &review.patch, &policy);
        match krins_core::gate::worst(&objections) {
            Verdict::Block => Err(blocked_by(&review.task.id, &objections)),
            Verdict::Pass | Verdict::Warn => Ok(()),
        }
    }

    /// The same for a patch that belongs to no task.
    pub async fn apply_patch(&self, gated: Gated<Patch>) -> Result<Outcome> {
        let turn = self.inner.applying.clone().lock_owned().await;
        let plan = self.plan(gated, None).await?;
        self.carry_out(plan, false, None, turn).await
    }

    async fn gated(&self, patch: Patch) -> Result<Result<Gated<Patch>, Box<Report>>> {
        let rules = self.inner.rules.clone();
        let current = Current::new(self.inner.root.clone(), self.inner.documents.clone());
        let judged = tokio::task::spawn_blocking(move || gate::run(patch, &rules, &current)).await;
        judged.map_err(|error| Error::new(ErrorKind::Internal, format!("judge the change: {error}")))
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

    /// Step 6 of the pipeline. The apply runs as a task of its own: once begun it ends and is noted, whoever goes away,
    /// and the next one waits for it.
    async fn carry_out(
        &self,
        plan: Result<Plan, NotPlanned>,
        dry_run: bool,
        editor: Option<Arc<dyn Editor>>,
        turn: OwnedMutexGuard<()>,
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
        let engine = self.clone();
        let work = async move {
            let made = plan.turn();
            let stays = |made: &Turn| engine.stays_applied(made);
            let plan = plan.leaving_rest(made.as_ref().is_some_and(stays));
            let applied = pipeline::apply(&engine.inner.applier, plan, editor.as_deref()).await;
            engine.note_change(&applied);
            if let (Ok(Applied { id: Some(_), .. }), Some(made)) = (&applied, made) {
                // The files are changed, so this is no failure: the task may be gone from the table, or the disk be full.
                if let Err(error) = engine.note_turn(&made) {
                    tracing::warn!(task = made.task, %error, "what was done could not be noted in the task");
                }
            }
            drop(turn);
            engine.share_behind();
            applied
        };
        let work = work.instrument(tracing::info_span!("krins.apply"));
        match tokio::spawn(krins_backend::propagation::carry(work)).await {
            Ok(applied) => Ok(Outcome { applied: applied?, ..Outcome::default() }),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    /// Takes an apply back: by undo id, by task id, or the last.
    pub async fn undo(&self, which: Option<&str>, dry_run: bool, editor: Option<Arc<dyn Editor>>) -> Result<Outcome> {
        let turn = self.inner.applying.clone().lock_owned().await;
        let plan = self.inner.applier.plan_undo(which).await?.map(|plan| {
            // What was taken back before is not taken back by this, and comes back by no redo of it.
            let task = plan.turn().and_then(|turn| self.inner.tasks.get(&turn.task).ok());
            let left = task.map(|task| task.left).unwrap_or_default();
            plan.of_hunks(None, |hunk| !left.contains(hunk))
        });
        self.carry_out(plan, dry_run, editor, turn).await
    }

    /// Whether an undo leaves some of its task in the files.
    fn stays_applied(&self, made: &Turn) -> bool {
        let Ok(mut task) = self.inner.tasks.get(&made.task) else { return made.part };
        let all = self.patch_of(&task).map(|patch| hunks_of(&patch)).ok();
        turned(&mut task, made, all.as_ref());
        matches!(made.kind, Kind::Undo { .. }) && task.state == TaskState::Applied
    }

    fn note_turn(&self, made: &Turn) -> Result<()> {
        let all = self.patch_of(&self.inner.tasks.get(&made.task)?).map(|patch| hunks_of(&patch)).ok();
        let mut decided = made.kind == Kind::Apply;
        let task = self.inner.tasks.update(&made.task, |task| {
            let before = task.state;
            turned(task, made, all.as_ref());
            decided |= task.state != before;
        })?;
        if decided {
            self.heard(&task);
        }
        Ok(())
    }

    /// Takes some hunks of a task's change back. The rest of it stays as it is.
    pub async fn undo_hunks(
        &self,
        task: Option<&str>,
        hunks: &[String],
        dry_run: bool,
        editor: Option<Arc<dyn Editor>>,
    ) -> Result<Outcome> {
        let turn = self.inner.applying.clone().lock_owned().await;
        let review = self.review(task)?;
        known_hunks(&review.patch, hunks)?;
        let part = review.patch.subset(&|hunk| hunks.contains(&hunk.id));
        whole_where_the_file_itself_changes(&part, &review)?;
        let part = part.inverse();
        let plan = self.inner.applier.plan_undo_part(&review.task.id, part).await?;
        let hunks = Some(hunks.iter().cloned().collect());
        let plan = plan.map(|plan| plan.of_hunks(hunks, |hunk| !review.task.left.contains(hunk)));
        self.carry_out(plan, dry_run, editor, turn).await
    }

    /// Does again what was undone last, or the named one.
    pub async fn redo(&self, which: Option<&str>, dry_run: bool, editor: Option<Arc<dyn Editor>>) -> Result<Outcome> {
        let turn = self.inner.applying.clone().lock_owned().await;
        let plan = self.inner.applier.plan_redo(which).await?.map(|plan| {
            // Nor does it bring what has been brought since.
            let task = plan.turn().and_then(|turn| self.inner.tasks.get(&turn.task).ok());
            let left = task.filter(|task| task.state == TaskState::Applied).map(|task| task.left);
            plan.of_hunks(None, |hunk| left.as_ref().is_none_or(|left| left.contains(hunk)))
        });
        self.carry_out(plan, dry_run, editor, turn).await
    }

    /// Waits for the apply, undo or redo that is under way.
    pub async fn settled(&self) {
        drop(self.inner.applying.lock().await);
    }

    pub fn applier(&self) -> &Applier {
        &self.inner.applier
    }

    /// Whether the file is there now, open or on disk.
    pub fn has(&self, path: &RelPath) -> bool {
        matches!(self.snapshot().entry(path), Entry::File { .. })
    }

    /// Keeps a text for the person to look at, in the state directory; answers its path. Another text has another name: an
    /// editor that has the file open would go on showing what it read before.
    pub fn write_view(&self, name: &str, extension: &str, text: &str) -> Result<std::path::PathBuf> {
        let digest = Digest::of(text).to_string();
        let views = self.inner.state.subdir("views")?;
        let path = views.join(format!("{name}-{}.{extension}", digest.get(..8).unwrap_or(&digest)));
        std::fs::write(&path, text)
            .map_err(|error| Error::new(ErrorKind::Internal, format!("write {}: {error}", path.display())))?;
        sweep_views(&views);
        Ok(path)
    }

    /// Ticks with the task that changed last.
    pub fn watch(&self) -> watch::Receiver<Option<Task>> {
        self.inner.tasks.watch()
    }
}

/// Removes the oldest beyond [`MOST_VIEWS`]. What cannot be removed is looked at again with the next one.
fn sweep_views(views: &std::path::Path) {
    let entries = std::fs::read_dir(views).into_iter().flatten().flatten();
    let mut found: Vec<_> =
        entries.filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()))).collect();
    found.sort();
    for (_, path) in found.iter().take(found.len().saturating_sub(MOST_VIEWS)) {
        let _ = std::fs::remove_file(path);
    }
}

struct TaskReporter {
    engine: Engine,
    id: String,
    /// What a round of is on record whose end is not.
    begun: Mutex<Option<fix::Part>>,
}

impl TaskReporter {
    fn new(engine: &Engine, id: &str) -> Self {
        Self { engine: engine.clone(), id: id.to_owned(), begun: Mutex::default() }
    }

    fn begun(&self) -> std::sync::MutexGuard<'_, Option<fix::Part>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The work has left the task. Rounds that it did not come to the end of have ended all the same.
    fn leave<T>(&self, outcome: &Result<T>) {
        let begun = *self.begun();
        let (Err(error), Some(part)) = (outcome, begun) else { return };
        let stop = if error.kind == ErrorKind::Cancelled { fix::Stop::Cancelled } else { fix::Stop::Failed };
        if let Err(error) = self.rounds_ended(part, stop, None) {
            tracing::error!(task = %self.id, %error, "the end of the rounds was not recorded");
        }
    }
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

    fn check(&self, check: &str, ended: Option<(Verdict, f64)>) {
        self.engine.inner.tasks.check(&self.id, check, ended);
    }

    fn round(&self, part: fix::Part, round: fix::Round) -> Result<()> {
        self.engine.note_round(&self.id, part, &round)?;
        *self.begun() = Some(part);
        self.engine.inner.tasks.update(&self.id, |task| task.rounds.push(round)).map(drop)
    }

    fn rounds_ended(&self, part: fix::Part, stop: fix::Stop, kept: Option<Digest>) -> Result<()> {
        self.engine.note_rounds_ended(&self.id, part, stop, kept)?;
        *self.begun() = None;
        let say = |task: &mut Task| {
            if let Some(round) = task.rounds.last_mut() {
                round.stopped = Some(stop.words().to_owned());
            }
        };
        self.engine.inner.tasks.update(&self.id, say).map(drop)
    }
}

/// The words of a task, trimmed: some, and no more than a person says.
pub fn task_words(words: &str) -> Result<&str> {
    let words = words.trim();
    if words.is_empty() {
        return Err(Error::new(ErrorKind::BadParams, "assign a task without words").hint("say what to change"));
    }
    if words.len() > LONGEST_WORDS {
        return Err(Error::new(ErrorKind::BadParams, format!("assign a task of {} bytes of words", words.len()))
            .hint(format!("say it in at most {LONGEST_WORDS} bytes; name files instead of quoting them")));
    }
    Ok(words)
}

/// Makes the gate's rules ready while the first task chooses its context. Not before there is a task: an idle sidecar is
/// small.
fn warm_gate() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let warm = || {
            krins_core::secrets::warm();
            krins_core::gate::warm();
        };
        // Where no thread can be had the first verdict takes a little longer.
        drop(std::thread::Builder::new().name("krins-warm".into()).spawn(warm));
    });
}

fn record(task: &mut Task, files: Vec<StoredFile>, proposed: Proposed) {
    task.progress = None;
    task.base = proposed
        .base
        .pins()
        .into_iter()
        .map(|pin| Pin { path: pin.path, version: pin.version, digest: pin.sha256 })
        .collect();
    // What was said of the hunks of another answer is not said of these.
    if task.report.as_ref().is_none_or(|known| known.patch != proposed.patch.digest()) {
        task.files = files;
        task.forget_words();
        task.heard.clear();
    }
    task.steps.extend(proposed.steps);
    task.locked = proposed.locked;
    task.sent = proposed.pack.items.iter().map(|item| (item.path.clone(), item.tokens)).collect();
    task.pruned = proposed.pack.pruned.iter().take(MOST_PRUNED).cloned().collect();
    task.tokens = proposed.pack.tokens;
    task.answered = Some(answered(&proposed.proposal));
    task.variant = proposed.ask.account.variant;
    let mut choices: Vec<Choice> = proposed
        .others
        .iter()
        .map(|tried| (tried.variant, tried.choice.as_ref()))
        .chain([(task.variant, proposed.choice.as_ref())])
        .filter_map(|(variant, choice)| {
            let choice = choice?;
            Some(Choice { variant, decision: choice.id.clone(), explanation: choice.explanation.clone() })
        })
        .collect();
    choices.sort_by_key(|choice| choice.variant);
    task.choices = choices;
    (task.state, task.report) = match proposed.verdict {
        Ok(gated) => (TaskState::Ready, Some(gated.report().clone())),
        Err(report) => (TaskState::Blocked, Some(*report)),
    };
}

fn answered(proposal: &Proposal) -> Answered {
    Answered {
        route: format!("{}/{}", proposal.provider, proposal.model),
        usage: proposal.usage,
        cached: proposal.cached,
        degraded: proposal.degraded.clone(),
        why: proposal.why.clone(),
    }
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
        return Err(Error::new(ErrorKind::BadParams, "apply a change without hunks: none is left of them")
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

fn not_ready(task: &Task) -> Error {
    let hint = match task.state {
        state if state.is_running() => "wait for it to end",
        _ => "assign it again",
    };
    Error::new(ErrorKind::BadParams, format!("use the diff of task {}: it is {}", task.id, state_name(task.state)))
        .hint(hint)
}

fn blocked(task: &str, report: Option<&Report>) -> Error {
    blocked_by(task, report.map_or(&[], |report| &report.findings))
}

fn blocked_by(task: &str, findings: &[Finding]) -> Error {
    let findings: Vec<String> = findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Block)
        .take(3)
        .map(|finding| format!("{} ({})", finding.message, finding.rule))
        .collect();
    Error::new(ErrorKind::GateFailed, format!("apply task {task}: the gate blocks it: {}", findings.join("; ")))
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
