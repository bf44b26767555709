//! The task table: what was assigned, how far it is, and what came of it. It survives a restart.
//!
//! The table owns the truth; the pipeline only reports to it. It must not know how a step is carried out.

use crate::error::{Error, Result};
use crate::fix::Round;
use crate::state::{Lease, Limits, StateDir};
use krins_backend::Usage;
use krins_backend::money::{Entry, Total};
use krins_core::Digest;
use krins_core::RelPath;
use krins_core::gate::{CheckRun, Finding, Report, Verdict};
use krins_core::patch::{Change, ChangeKind, Patch, Placement};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use krins_protocol::lsp::{HunkVerdict, TaskState};

/// How many finished tasks are kept.
const KEEP: usize = 200;
/// Parts of a change whose judgement is kept.
const MOST_HEARD: usize = 8;

/// Between two looks at a task that another process runs.
const ELSEWHERE_PAUSE: Duration = Duration::from_millis(200);

/// A file the task read, as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    pub path: RelPath,
    /// The open document's version; `None` for a file read from disk.
    pub version: Option<i32>,
    /// `None` for a file that was not there.
    pub digest: Option<Digest>,
}

/// A changed file; the texts are blobs of the state directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    pub path: RelPath,
    pub from: Option<RelPath>,
    pub kind: ChangeKind,
    pub before: Option<Digest>,
    pub after: Option<Digest>,
    pub executable: bool,
    pub placements: Vec<Placement>,
}

/// What the model side said, without its text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// `provider/model`.
    pub route: String,
    pub usage: Usage,
    pub cached: bool,
    /// Why this is not what was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded: Option<String>,
    /// (reason, `path:line` places), at most three.
    pub why: Vec<(String, Vec<String>)>,
}

/// What a judge said of a part of a change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heard {
    /// That part, and the policy that the word was weighed by then.
    pub patch: Digest,
    pub policy: Digest,
    pub run: CheckRun,
    /// As it was said: the policy of now weighs it.
    pub found: Vec<Finding>,
}

/// How long one pipeline step took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub name: String,
    pub millis: f64,
}

/// One task, as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    pub id: String,
    pub intent: String,
    pub state: TaskState,
    /// Strictly rising.
    pub seq: u64,
    /// Milliseconds since the Unix epoch.
    pub created: u64,
    pub progress: Option<String>,
    pub error: Option<Error>,
    pub base: Vec<Pin>,
    pub files: Vec<StoredFile>,
    pub report: Option<Report>,
    /// The report of the change as it was answered, while edits stand in it: what was said of it by running things and by
    /// asking is not lost by an edit that is taken back.
    #[serde(default)]
    pub unedited: Option<Report>,
    /// What a judge said of parts of the change when they were to be applied, the newest last.
    #[serde(default)]
    pub heard: Vec<Heard>,
    pub answered: Option<Answered>,
    /// By hunk id; a hunk that is not in it is open.
    pub verdicts: BTreeMap<String, HunkVerdict>,
    /// What a person wrote in place of a hunk's new lines, by hunk id; the texts are blobs of the state directory.
    #[serde(default)]
    pub edits: BTreeMap<String, Digest>,
    /// The apply's undo id.
    pub undo: Option<String>,
    /// Of an applied task: the hunks that no apply has brought.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub left: BTreeSet<String>,
    pub traceparent: Option<String>,
    pub steps: Vec<Step>,
    /// Answers that were asked for because of what the gate found, in order.
    #[serde(default)]
    pub rounds: Vec<Round>,
    /// Tests that were written first, by content: nothing may change them.
    #[serde(default)]
    pub locked: BTreeMap<RelPath, Digest>,
    /// (path, tokens) of the items that were sent, and their sum.
    pub sent: Vec<(RelPath, u32)>,
    pub tokens: u32,
    /// Files that were considered and not sent, best first; not all of them.
    #[serde(default)]
    pub pruned: Vec<RelPath>,
    /// Every call to a model that was made for it, with what it cost.
    #[serde(default)]
    pub calls: Vec<Entry>,
    /// Which of several answers it is.
    #[serde(default)]
    pub variant: u32,
    /// How it was chosen who answers, for each variant.
    #[serde(default)]
    pub choices: Vec<Choice>,
    /// The answers that are not shown, and those that came to nothing.
    #[serde(default)]
    pub others: Vec<Other>,
    /// Where the checks of the gate are, while it is at work here.
    #[serde(skip)]
    pub live: Vec<LiveCheck>,
}

/// A check of a gate that is at work.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveCheck {
    pub check: String,
    /// Verdict and milliseconds of one that has ended.
    pub ended: Option<(Verdict, f64)>,
}

/// How it was chosen who answers a variant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    pub variant: u32,
    /// By which the outcome is told.
    pub decision: String,
    pub explanation: String,
}

/// An answer that is not shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Other {
    pub variant: u32,
    pub files: Vec<StoredFile>,
    pub report: Option<Report>,
    pub answered: Option<Answered>,
    /// Why there is none.
    pub error: Option<Error>,
}

impl Task {
    /// The hunks of an applied task that no apply has brought and nobody has rejected.
    pub fn left_open(&self) -> impl Iterator<Item = &String> {
        let open = |hunk: &&String| self.verdicts.get(*hunk) != Some(&HunkVerdict::Reject);
        self.left.iter().filter(move |hunk| self.state == TaskState::Applied && open(hunk))
    }

    pub(crate) fn new(id: String, intent: String, created: u64, traceparent: Option<String>) -> Self {
        Self {
            id,
            intent,
            state: TaskState::Queued,
            seq: 1,
            created,
            progress: None,
            error: None,
            base: Vec::new(),
            files: Vec::new(),
            report: None,
            unedited: None,
            heard: Vec::new(),
            answered: None,
            verdicts: BTreeMap::new(),
            edits: BTreeMap::new(),
            undo: None,
            left: BTreeSet::new(),
            traceparent,
            steps: Vec::new(),
            rounds: Vec::new(),
            locked: BTreeMap::new(),
            sent: Vec::new(),
            pruned: Vec::new(),
            tokens: 0,
            calls: Vec::new(),
            variant: 0,
            choices: Vec::new(),
            others: Vec::new(),
            live: Vec::new(),
        }
    }

    /// Shows another of its answers; what was said of the hunks of the present one is forgotten.
    pub fn select(&mut self, variant: u32) -> Result<()> {
        if variant == self.variant {
            return Ok(());
        }
        let known = |other: &Other| other.variant == variant && !other.files.is_empty();
        let (Some(at), false) = (self.others.iter().position(known), self.files.is_empty()) else {
            let others = self.others.iter().filter(|other| !other.files.is_empty());
            let names: Vec<String> = others.map(|other| other.variant.to_string()).collect();
            return Err(Error::new(crate::ErrorKind::BadParams, format!("show variant {variant} of task {}", self.id))
                .hint(if names.is_empty() {
                    "it has one answer".to_owned()
                } else {
                    format!("it has {}", names.join(", "))
                }));
        };
        // The edits go, and with them the report of what they made.
        self.forget_words();
        let Some(other) = self.others.get_mut(at) else { return Ok(()) };
        std::mem::swap(&mut self.files, &mut other.files);
        std::mem::swap(&mut self.report, &mut other.report);
        std::mem::swap(&mut self.answered, &mut other.answered);
        std::mem::swap(&mut self.variant, &mut other.variant);
        let blocked = self.report.as_ref().is_none_or(|report| report.verdict == krins_core::gate::Verdict::Block);
        self.state = if blocked { TaskState::Blocked } else { TaskState::Ready };
        Ok(())
    }

    /// Forgets what a person said of the hunks, and what was found of their edits alone.
    pub fn forget_words(&mut self) {
        self.verdicts.clear();
        self.edits.clear();
        if let Some(report) = self.unedited.take() {
            self.report = Some(report);
        }
    }

    /// Keeps a judge's word on a part of the change.
    pub fn hear(&mut self, heard: Heard) {
        self.heard.retain(|known| known.patch != heard.patch);
        if self.heard.len() >= MOST_HEARD {
            self.heard.remove(0);
        }
        self.heard.push(heard);
    }

    /// What it cost in millionths of a US dollar, every call counted; `None` when the price of one is not known.
    pub fn cost(&self) -> Option<u64> {
        Total::of(&self.calls).cost()
    }

    /// The patch as a person left it: what was proposed, with their own text in the hunks that they edited.
    pub fn patch(&self, state: &StateDir) -> Result<Patch> {
        let mut patch = self.proposed(state)?;
        for (hunk, text) in &self.edits {
            let text = String::from_utf8_lossy(&state.blob(text)?).into_owned();
            patch = patch.with_hunk(hunk, &text).map_err(|refusal| Error::from(vec![refusal]))?;
        }
        Ok(patch)
    }

    /// How the answer's hunks for a file found their places.
    pub fn placements(&self, path: &RelPath) -> &[Placement] {
        self.files.iter().find(|file| file.path == *path).map_or(&[], |file| &file.placements)
    }

    /// Puts the patch as it was answered together again from the blobs. Its hunks have the ids that the task knows.
    pub fn proposed(&self, state: &StateDir) -> Result<Patch> {
        let blob = |digest: Option<Digest>| -> Result<Option<Arc<[u8]>>> {
            digest.map(|digest| state.blob(&digest).map(Arc::from)).transpose()
        };
        let mut changes = Vec::new();
        for file in &self.files {
            changes.push(Change {
                path: file.path.clone(),
                from: file.from.clone(),
                before: blob(file.before)?,
                after: blob(file.after)?,
                executable: file.executable,
            });
        }
        Ok(Patch::between(changes))
    }
}

struct Running {
    task: watch::Sender<Task>,
    cancel: CancellationToken,
    /// Held while this process runs the task, so that no other takes it for dead.
    lease: Option<Lease>,
    /// Another process runs it: here it is only looked at.
    elsewhere: bool,
}

impl Running {
    /// A task that this process does not run.
    fn stored(task: Task, elsewhere: bool) -> Self {
        Self { task: watch::channel(task).0, cancel: CancellationToken::new(), lease: None, elsewhere }
    }
}

/// All tasks of one root.
pub struct Tasks {
    state: StateDir,
    table: Mutex<BTreeMap<String, Running>>,
    /// The task that changed last; every change makes it tick.
    changed: watch::Sender<Option<Task>>,
}

/// What [`Tasks::assign`] found or made.
pub struct Registered {
    pub task: Task,
    /// `None` when the id was known already.
    pub cancel: Option<CancellationToken>,
}

impl Tasks {
    /// Loads what is stored. A task that was running when the process died has failed, and says so.
    pub fn load(state: StateDir) -> Self {
        let mut table = BTreeMap::new();
        for name in state.documents("tasks") {
            if let Some((task, elsewhere)) = stored(&state, &name) {
                table.insert(name, Running::stored(task, elsewhere));
            }
        }
        Self { state, table: Mutex::new(table), changed: watch::channel(None).0 }
    }

    /// The tasks that a process was at when it died, as they are stored: what it left begun has no end to come.
    pub fn interrupted(&self) -> Vec<Task> {
        let table = self.table();
        let failed = |running: &&Running| running.lease.is_none() && running.task.borrow().state == TaskState::Failed;
        let is_stored_so = |task: &Task| {
            self.state.document::<Task>("tasks", &task.id).is_some_and(|stored| stored.state.is_running())
        };
        table.values().filter(failed).map(|running| running.task.borrow().clone()).filter(is_stored_so).collect()
    }

    /// Ends an interrupted task for good, with what is done before its end is stored. Nothing is done, which is told, where
    /// another process is at it.
    pub fn end_interrupted(&self, id: &str, before: impl FnOnce() -> Result<Option<String>>) -> Result<bool> {
        let Some(_lease) = self.state.hold(&lease(id))? else { return Ok(false) };
        let stopped = before()?;
        let end = |task: &mut Task| {
            if let Some(round) = task.rounds.last_mut().filter(|round| round.stopped.is_none()) {
                round.stopped = stopped;
            }
        };
        self.update(id, end).map(|_| true)
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        // A panic while the lock was held left at worst one task half reported; the table itself stays whole.
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, running) in table.iter_mut().filter(|(_, running)| running.elsewhere) {
            let Some((task, elsewhere)) = stored(&self.state, id) else { continue };
            running.elsewhere = elsewhere;
            if *running.task.borrow() != task {
                running.task.send_replace(task);
            }
        }
        table
    }

    /// Registers a task, or finds the one with the client's id. What this returns survives `kill -9`.
    pub fn assign(
        &self,
        id: Option<String>,
        intent: &str,
        created: u64,
        traceparent: Option<String>,
    ) -> Result<Registered> {
        let id = match id {
            Some(id) => checked_id(id)?,
            None => format!("t-{}", uuid::Uuid::now_v7().simple()),
        };
        let mut table = self.table();
        if let Some(known) = table.get(&id) {
            return Ok(Registered { task: known.task.borrow().clone(), cancel: None });
        }
        // Another process may have taken the id since this table was loaded.
        if let Some((task, elsewhere)) = stored(&self.state, &id) {
            table.insert(id, Running::stored(task.clone(), elsewhere));
            return Ok(Registered { task, cancel: None });
        }
        let task = Task::new(id.clone(), intent.to_owned(), created, traceparent);
        let lease = self.state.hold(&lease(&id))?.ok_or_else(|| elsewhere("assign", &id))?;
        self.state.put_document("tasks", &id, &task)?;
        let cancel = CancellationToken::new();
        let running = Running { cancel: cancel.clone(), lease: Some(lease), ..Running::stored(task.clone(), false) };
        table.insert(id, running);
        let stale = stale(&table);
        for id in stale {
            table.remove(&id);
            self.state.remove_document("tasks", &id);
        }
        Ok(Registered { task, cancel: Some(cancel) })
    }

    /// Takes a task that has ended up again: it runs in this process from now on. `None` when it runs already.
    pub fn resume(&self, id: &str) -> Result<Option<CancellationToken>> {
        let mut table = self.table();
        let running = table.get_mut(id).ok_or_else(|| Error::unknown_task(id))?;
        if running.elsewhere {
            return Err(elsewhere("resume", id));
        }
        let mut task = running.task.borrow().clone();
        if task.state.is_running() {
            return Ok(None);
        }
        let lease = self.state.hold(&lease(id))?.ok_or_else(|| elsewhere("resume", id))?;
        task.state = TaskState::Queued;
        task.error = None;
        task.seq += 1;
        self.state.put_document("tasks", id, &task)?;
        running.task.send_replace(task.clone());
        running.lease = Some(lease);
        running.cancel = CancellationToken::new();
        self.changed.send_replace(Some(task));
        Ok(Some(running.cancel.clone()))
    }

    /// Changes a task, stores it, and tells the watchers.
    pub fn update(&self, id: &str, change: impl FnOnce(&mut Task)) -> Result<Task> {
        let mut table = self.table();
        let running = table.get_mut(id).ok_or_else(|| Error::unknown_task(id))?;
        let mut task = running.task.borrow().clone();
        change(&mut task);
        task.seq += 1;
        // Stored before it is shown: what was acknowledged must survive.
        self.state.put_document("tasks", id, &task)?;
        running.task.send_replace(task.clone());
        if !task.state.is_running() {
            running.lease = None;
        }
        self.changed.send_replace(Some(task.clone()));
        Ok(task)
    }

    /// Fails a running task in memory alone, because its outcome cannot be stored: whoever waits for it has to hear of
    /// it. The next start finds it unfinished, and fails it too.
    pub fn fail_unstored(&self, id: &str, error: Error) {
        let mut table = self.table();
        let Some(running) = table.get_mut(id).filter(|running| running.task.borrow().state.is_running()) else {
            return;
        };
        running.task.send_modify(|task| {
            task.state = TaskState::Failed;
            task.error = Some(error);
            task.progress = None;
            task.seq += 1;
        });
        running.lease = None;
        self.changed.send_replace(Some(running.task.borrow().clone()));
    }

    /// Reports progress without storing it. A task that has ended makes none.
    pub fn report(&self, id: &str, progress: String) {
        let table = self.table();
        let Some(running) = table.get(id).filter(|running| running.task.borrow().state.is_running()) else { return };
        running.task.send_modify(|task| {
            task.progress = Some(progress);
            task.seq += 1;
        });
        self.changed.send_replace(Some(running.task.borrow().clone()));
    }

    /// A check of the gate began, or has ended; the first one again begins a new verdict.
    pub fn check(&self, id: &str, check: &str, ended: Option<(Verdict, f64)>) {
        let table = self.table();
        let Some(running) = table.get(id).filter(|running| running.task.borrow().state.is_running()) else { return };
        running.task.send_modify(|task| {
            let known = task.live.iter().position(|live| live.check == check);
            match (known, ended) {
                (Some(0), None) => task.live.truncate(1),
                (None, _) => task.live.push(LiveCheck { check: check.to_owned(), ended: None }),
                (Some(_), _) => {}
            }
            if let Some(live) = task.live.iter_mut().find(|live| live.check == check) {
                live.ended = ended;
            }
            task.seq += 1;
        });
        self.changed.send_replace(Some(running.task.borrow().clone()));
    }

    pub fn get(&self, id: &str) -> Result<Task> {
        self.table().get(id).map(|running| running.task.borrow().clone()).ok_or_else(|| Error::unknown_task(id))
    }

    /// The named task, or the newest.
    pub fn find(&self, id: Option<&str>) -> Result<Task> {
        match id {
            Some(id) => self.get(id),
            None => self.newest(|_| true).ok_or_else(|| {
                Error::new(crate::ErrorKind::UnknownTask, "find a task: none was assigned here")
                    .hint("`krins assign \"…\"` makes one")
            }),
        }
    }

    /// Newest first.
    pub fn list(&self) -> Vec<Task> {
        let mut tasks: Vec<Task> = self.table().values().map(|running| running.task.borrow().clone()).collect();
        tasks.sort_by(|a, b| (b.created, &b.id).cmp(&(a.created, &a.id)));
        tasks
    }

    /// The newest task that fits, without a copy of the others.
    pub fn newest(&self, fits: impl Fn(&Task) -> bool) -> Option<Task> {
        let table = self.table();
        let fitting = table.values().filter(|running| fits(&running.task.borrow()));
        let newest = fitting.max_by(|a, b| {
            let (a, b) = (a.task.borrow(), b.task.borrow());
            (a.created, &a.id).cmp(&(b.created, &b.id))
        });
        newest.map(|running| running.task.borrow().clone())
    }

    /// The tasks that this process is at work on, oldest id first.
    pub fn running_here(&self) -> Vec<Task> {
        let table = self.table();
        let here = table.values().filter(|running| !running.elsewhere && running.task.borrow().state.is_running());
        here.map(|running| running.task.borrow().clone()).collect()
    }

    /// Every task's id, `seq` and state, for a watcher that wants to know what changed.
    pub fn heads(&self) -> Vec<(String, u64, TaskState)> {
        let head = |task: &Task| (task.id.clone(), task.seq, task.state);
        self.table().values().map(|running| head(&running.task.borrow())).collect()
    }

    /// Waits until the pipeline, here or in another process, has left the task.
    pub async fn settled(&self, id: &str) -> Result<Task> {
        loop {
            let found = self.table().get(id).map(|running| (running.task.subscribe(), running.elsewhere));
            let (mut watcher, elsewhere) = found.ok_or_else(|| Error::unknown_task(id))?;
            let settled = watcher.wait_for(|task| !task.state.is_running());
            if !elsewhere {
                return Ok(settled.await.map_err(|_| Error::unknown_task(id))?.clone());
            }
            // Nothing ticks for what another process does: it is looked at.
            if let Ok(task) = tokio::time::timeout(ELSEWHERE_PAUSE, settled).await {
                return Ok(task.map_err(|_| Error::unknown_task(id))?.clone());
            }
        }
    }

    /// Fires the task's token. The pipeline reports the state. `LockHeld` for a task that another process runs.
    pub fn cancel(&self, id: &str) -> Result<()> {
        let table = self.table();
        let running = table.get(id).ok_or_else(|| Error::unknown_task(id))?;
        if running.elsewhere {
            return Err(elsewhere("cancel", id));
        }
        running.cancel.cancel();
        Ok(())
    }

    /// Removes contents that no stored task needs and that are past the limits. Blocking.
    pub fn sweep(&self) -> Result<usize> {
        let names = self.state.documents("tasks");
        let tasks = names.iter().filter_map(|name| self.state.document::<Task>("tasks", name));
        let texts = |task: Task| {
            let others = task.others.into_iter().flat_map(|other| other.files);
            let files = task.files.into_iter().chain(others).flat_map(|file| [file.before, file.after]).flatten();
            files.chain(task.edits.into_values()).collect::<Vec<_>>()
        };
        let keep = tasks.flat_map(texts).collect();
        Ok(self.state.sweep_blobs(&keep, Limits::default())?)
    }

    /// Ticks with the task that changed last. Changes between two looks are conflated, never queued.
    pub fn watch(&self) -> watch::Receiver<Option<Task>> {
        self.changed.subscribe()
    }
}

/// The name of the lock that a process holds while it runs the task.
fn lease(id: &str) -> String {
    format!("task-{id}")
}

/// The task as it is stored, and whether another process is at work on it. What nobody is at work on any more has failed.
fn stored(state: &StateDir, id: &str) -> Option<(Task, bool)> {
    // Asked before the task is read: an outcome is stored before the lock is given up.
    let held = state.is_held(&lease(id));
    let mut task = state.document::<Task>("tasks", id)?;
    if task.state.is_running() && !held {
        task.state = TaskState::Failed;
        task.seq += 1;
        task.error = Some(
            Error::new(crate::ErrorKind::Internal, "finish the task: Krins was stopped while it ran")
                .hint("assign it again; nothing was written"),
        );
    }
    let elsewhere = task.state.is_running();
    Some((task, elsewhere))
}

fn elsewhere(what: &str, id: &str) -> Error {
    Error::new(crate::ErrorKind::LockHeld, format!("{what} task {id}: another process runs it"))
        .hint("go on where it was assigned, or wait for it to end")
}

/// A client's id becomes a file name.
fn checked_id(id: String) -> Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if id.is_empty() || id.len() > 100 || id.starts_with('.') || !id.chars().all(plain) {
        return Err(Error::new(
            crate::ErrorKind::BadParams,
            format!("use {:?} as a task id", id.chars().take(100).collect::<String>()),
        )
        .hint("1 to 100 of A-Z a-z 0-9 - _ . and no leading dot"));
    }
    Ok(id)
}

/// Finished tasks beyond [`KEEP`], oldest first.
fn stale(table: &BTreeMap<String, Running>) -> Vec<String> {
    let mut finished: Vec<(u64, String)> = table
        .values()
        .map(|running| running.task.borrow())
        .filter(|task| !task.state.is_running())
        .map(|task| (task.created, task.id.clone()))
        .collect();
    finished.sort();
    let surplus = finished.len().saturating_sub(KEEP);
    finished.into_iter().take(surplus).map(|(_, id)| id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::workspace::Root;

    fn state() -> (tempfile::TempDir, StateDir) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("root")).unwrap();
        let root = Root::open(&dir.path().join("root")).unwrap();
        let state = StateDir::open_at(&dir.path().join("state"), &root).unwrap();
        (dir, state)
    }

    fn assign(tasks: &Tasks, id: &str) -> Registered {
        tasks.assign(Some(id.into()), "x", 1, None).unwrap()
    }

    /// Two tables over one directory are two processes on one root.
    #[tokio::test]
    async fn a_task_of_another_process_is_watched_not_cancelled_and_not_run_twice() {
        let (_dir, state) = state();
        let here = Tasks::load(state.clone());
        let early = Tasks::load(state.clone());
        assert!(assign(&here, "one").cancel.is_some());
        let there = Tasks::load(state);
        assert_eq!(there.get("one").unwrap().state, TaskState::Queued);
        assert_eq!(there.cancel("one").unwrap_err().kind, ErrorKind::LockHeld);
        assert!(there.running_here().is_empty() && here.running_here().len() == 1);
        assert!(assign(&early, "one").cancel.is_none(), "it would run twice");
        let ended = async { here.update("one", |task| task.state = TaskState::Ready).unwrap() };
        let (seen, _) = tokio::join!(there.settled("one"), ended);
        assert_eq!(seen.unwrap().state, TaskState::Ready);
        there.cancel("one").unwrap();
    }

    #[tokio::test]
    async fn a_task_of_a_dead_process_has_failed() {
        let (_dir, state) = state();
        drop(assign(&Tasks::load(state.clone()), "one"));
        let task = Tasks::load(state).settled("one").await.unwrap();
        assert_eq!((task.state, task.error.unwrap().kind), (TaskState::Failed, ErrorKind::Internal));
    }

    /// Whoever waits for a task hears of its end, also when the disk is full.
    #[tokio::test]
    async fn an_outcome_that_cannot_be_stored_still_ends_the_task() {
        let (_dir, state) = state();
        let tasks = Tasks::load(state);
        assign(&tasks, "one");
        tasks.fail_unstored("one", Error::new(ErrorKind::Internal, "write it"));
        let ended = tasks.settled("one").await.unwrap();
        assert_eq!(ended.state, TaskState::Failed);
        tasks.report("one", "late".into());
        assert_eq!(tasks.get("one").unwrap(), ended, "nothing is said of a task that has ended");
    }

    #[test]
    fn the_newest_that_fits_is_found() {
        let (_dir, state) = state();
        let tasks = Tasks::load(state);
        for (id, created) in [("a", 3), ("b", 2), ("c", 3)] {
            tasks.assign(Some(id.into()), "x", created, None).unwrap();
        }
        assert_eq!(tasks.newest(|_| true).unwrap().id, "c");
        assert_eq!(tasks.newest(|task| task.id != "c").unwrap().id, "a");
        assert!(tasks.newest(|task| !task.state.is_running()).is_none());
    }
}
