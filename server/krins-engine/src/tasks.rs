//! The task table: what was assigned, how far it is, and what came of it. It survives a restart.
//!
//! The table owns the truth; the pipeline only reports to it. It must not know how a step is carried out.

use crate::error::{Error, Result};
use crate::state::{Lease, StateDir};
use krins_backend::Usage;
use krins_core::Digest;
use krins_core::RelPath;
use krins_core::gate::Report;
use krins_core::patch::{Change, ChangeKind, Patch, Placement};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use krins_protocol::lsp::{HunkVerdict, TaskState};

/// How many finished tasks are kept.
const KEEP: usize = 200;

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
    /// (reason, `path:line` places), at most three.
    pub why: Vec<(String, Vec<String>)>,
}

/// The seconds of one pipeline step.
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
    pub answered: Option<Answered>,
    /// By hunk id; a hunk that is not in it is open.
    pub verdicts: BTreeMap<String, HunkVerdict>,
    /// The apply's undo id.
    pub undo: Option<String>,
    pub traceparent: Option<String>,
    pub steps: Vec<Step>,
    /// (path, tokens) of the items that were sent, and their sum.
    pub sent: Vec<(RelPath, u32)>,
    pub tokens: u32,
}

impl Task {
    fn new(id: String, intent: String, created: u64, traceparent: Option<String>) -> Self {
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
            answered: None,
            verdicts: BTreeMap::new(),
            undo: None,
            traceparent,
            steps: Vec::new(),
            sent: Vec::new(),
            tokens: 0,
        }
    }

    /// Puts the patch together again from the blobs.
    pub fn patch(&self, state: &StateDir) -> Result<Patch> {
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
            let Some(mut task) = state.document::<Task>("tasks", &name) else { continue };
            if task.state.is_running() && !state.is_held(&lease(&task.id)) {
                task.state = TaskState::Failed;
                task.seq += 1;
                task.error = Some(
                    Error::new(crate::ErrorKind::Internal, "finish the task: Krins was stopped while it ran")
                        .hint("assign it again; nothing was written"),
                );
            }
            let (task_sender, _) = watch::channel(task);
            table.insert(name, Running { task: task_sender, cancel: CancellationToken::new(), lease: None });
        }
        Self { state, table: Mutex::new(table), changed: watch::channel(None).0 }
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        // A panic while the lock was held left at worst one task half reported; the table itself stays whole.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
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
        let task = Task::new(id.clone(), intent.to_owned(), created, traceparent);
        let lease = self.state.hold(&lease(&id))?;
        self.state.put_document("tasks", &id, &task)?;
        let cancel = CancellationToken::new();
        table.insert(id, Running { task: watch::channel(task.clone()).0, cancel: cancel.clone(), lease });
        let stale = stale(&table);
        for id in stale {
            table.remove(&id);
            self.state.remove_document("tasks", &id);
        }
        Ok(Registered { task, cancel: Some(cancel) })
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

    /// Reports progress without storing it.
    pub fn report(&self, id: &str, progress: String) {
        let table = self.table();
        let Some(running) = table.get(id) else { return };
        running.task.send_modify(|task| {
            task.progress = Some(progress);
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
            None => self.list().into_iter().next().ok_or_else(|| {
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

    /// Every task's id and `seq`, for a watcher that wants to know what changed.
    pub fn heads(&self) -> Vec<(String, u64)> {
        self.table().iter().map(|(id, running)| (id.clone(), running.task.borrow().seq)).collect()
    }

    /// Waits until the pipeline has left the task.
    pub async fn settled(&self, id: &str) -> Result<Task> {
        let mut watcher =
            self.table().get(id).map(|running| running.task.subscribe()).ok_or_else(|| Error::unknown_task(id))?;
        let task = watcher.wait_for(|task| !task.state.is_running()).await.map_err(|_| Error::unknown_task(id))?;
        Ok(task.clone())
    }

    /// Fires the task's token. The pipeline reports the state.
    pub fn cancel(&self, id: &str) -> Result<()> {
        let table = self.table();
        let running = table.get(id).ok_or_else(|| Error::unknown_task(id))?;
        running.cancel.cancel();
        Ok(())
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
