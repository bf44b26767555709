//! The one function that writes to the workspace: the journalled apply, and undo and redo through the same path.
//!
//! A [`Plan`] is made from a patch that the gate let through, or from a [`Record`] of the history. [`Applier::apply`]
//! stages the disk part, has the editor change the open documents, and only then passes the commit point; whatever
//! fails before takes everything back. See [`journal`] for the disk part and [`buffers`] for the editor's.
//!
//! Shortcomings: documents in an editor cannot be changed atomically with files on disk. If the process dies between
//! the two, the disk is as it was and the open documents may hold the change, unsaved; the next start says which.

mod buffers;
#[cfg(any(test, feature = "drivers"))]
pub mod driver;
mod journal;
mod plan;
mod record;
#[cfg(test)]
mod tests;
mod vfs;

pub use buffers::{BufferEdit, Editor, EditorRefused, TextEdit};
pub use journal::{Fate, JournalError, Recovered};
pub use plan::{NotPlanned, Plan, Planned};
pub use record::{BadRecord, Kind, Record, Route, Turn};

use crate::base::Current;
use crate::documents::{Document, Documents};
use crate::error::{Error, ErrorKind};
use crate::state::{Lease, Limits, StateDir, StateError};
use crate::workspace::Root;
use buffers::BufferChange;
use journal::{Installed, Journal};
use krins_core::patch::Patch;
use krins_core::{Digest, Entry, RelPath, Tree};
use record::Step;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use vfs::disk::Disk;

/// How long one editor may take over one document.
const EDITOR_LIMIT: Duration = Duration::from_secs(10);
/// How long another apply in the same root is waited for.
const LOCK_LIMIT: Duration = Duration::from_secs(10);
/// What the undo history may hold where the settings say nothing else.
pub const HISTORY: Limits = Limits { count: 200, age: Duration::from_secs(30 * 24 * 3600), bytes: 256 << 20 };

/// Applies plans to one root.
#[derive(Clone)]
pub struct Applier {
    current: Current,
    state: StateDir,
    journal: Journal,
    editor_limit: Duration,
    history: Limits,
    witness: Option<Witness>,
}

/// Hears of every change before it is made, and can refuse it: what it writes down is there whatever becomes of the change.
pub type Witness = Arc<dyn Fn(&Intended) -> crate::error::Result<()> + Send + Sync>;

/// A change that is about to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intended {
    /// What undo will take.
    pub id: String,
    pub kind: Kind,
    pub task: Option<String>,
    /// Of an undo: hunks of the task's change stay in the files.
    pub part: bool,
    /// sha256 of the canonical diff.
    pub patch: Option<Digest>,
    /// sha256 of the policy that it was judged by.
    pub policy: Option<Digest>,
    /// Each path with the sha256 of what is there before and after.
    pub files: Vec<(RelPath, Option<Digest>, Option<Digest>)>,
}

/// Why nothing was applied. The files on disk are as they were.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error("apply the change: another apply is at work in this workspace")]
    Locked,
    #[error("change {path} in the editor: {why}")]
    Editor {
        path: RelPath,
        why: String,
        /// Open documents that hold their part of the change all the same, because taking it back did not work.
        left: Vec<RelPath>,
    },
    #[error("change {0} in the editor: no editor is connected")]
    NoEditor(RelPath),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("find {0:?} in the history")]
    NoSuchRecord(String),
    #[error("find something to {0}: the history holds nothing")]
    NothingTo(&'static str),
    #[error("end an earlier apply: {0}")]
    EarlierPending(String),
    #[error("apply the change: the worker ended early")]
    Worker,
    #[error("apply the change: failed to {}", .0.message)]
    Witness(Error),
}

impl From<ApplyError> for Error {
    fn from(error: ApplyError) -> Self {
        let (kind, hint) = match &error {
            ApplyError::Locked => (ErrorKind::LockHeld, "wait for it to end, and try again".to_owned()),
            ApplyError::Editor { left, .. } if left.is_empty() => (ErrorKind::StaleBase, "nothing was changed".into()),
            ApplyError::Editor { left, .. } => {
                let left: Vec<&str> = left.iter().map(RelPath::as_str).collect();
                (ErrorKind::StaleBase, format!("nothing was written; undo in the editor: {}", left.join(", ")))
            }
            ApplyError::NoEditor(_) => (ErrorKind::StaleBase, "close the file, or apply from the editor".into()),
            ApplyError::Journal(JournalError::Moved(_)) => {
                (ErrorKind::StaleBase, "nothing was changed; try again".into())
            }
            ApplyError::Journal(error) => (ErrorKind::Internal, error.hint().to_owned()),
            ApplyError::State(StateError::Io { source, .. }) => {
                (ErrorKind::Internal, crate::state::io_hint(source).into())
            }
            ApplyError::Witness(why) => (why.kind, why.hint.clone().unwrap_or_default()),
            ApplyError::State(_) | ApplyError::Worker => (ErrorKind::Internal, String::new()),
            ApplyError::NoSuchRecord(_) | ApplyError::NothingTo(_) => {
                (ErrorKind::BadParams, "the history has limits: `history.*` in the settings".into())
            }
            ApplyError::EarlierPending(_) => (
                ErrorKind::Internal,
                "mend what is named, then start Krins again: it ends the earlier apply first".into(),
            ),
        };
        Self::new(kind, error.to_string()).hint(hint)
    }
}

/// One file as it is after the apply, read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedFile {
    pub path: RelPath,
    /// The document's spelling, or that of the root.
    pub uri: String,
    pub route: Route,
    /// `None`: nothing is there.
    pub digest: Option<Digest>,
}

/// A file that somebody else changed between the plan and the write. It was left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftAlone {
    pub path: RelPath,
    /// Where the content that it would have got is kept; `None` for a deletion.
    pub kept: Option<PathBuf>,
}

/// The change is applied, and survives a crash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// What undo takes; `None` when there was nothing to do.
    pub id: Option<String>,
    pub files: Vec<AppliedFile>,
    pub left_alone: Vec<LeftAlone>,
    /// URIs of documents that hold the change and are not saved.
    pub unsaved: Vec<String>,
    /// Applied, clean-up pending: what could not be ended now. The next start ends it.
    pub pending: Option<String>,
}

/// One entry of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    pub id: String,
    pub task: Option<String>,
    /// sha256 of the canonical diff that was applied.
    pub patch: Option<Digest>,
    /// Milliseconds since the Unix epoch.
    pub time: u64,
    pub paths: Vec<RelPath>,
    /// True when it was undone last, and not done again.
    pub undone: bool,
}

impl Applier {
    pub fn open(current: Current, state: StateDir) -> Result<Self, ApplyError> {
        let apply = state.subdir("apply")?;
        let open = |dir: &std::path::Path, limit| {
            Disk::open(dir, limit).map(Arc::new).map_err(|source| StateError::Io {
                action: "open",
                path: dir.to_owned(),
                source,
            })
        };
        let workspace = open(current.root().path(), crate::beneath::MAX_FILE)?;
        // The header and the framing of a record are far below a tenth of what it may hold.
        let records = open(&apply, record::MAX_BYTES + record::MAX_BYTES / 10)?;
        let journal = Journal::new(workspace, records);
        Ok(Self { current, state, journal, editor_limit: EDITOR_LIMIT, history: HISTORY, witness: None })
    }

    /// The same with a history of another size.
    #[must_use]
    pub fn keeping(self, history: Limits) -> Self {
        Self { history, ..self }
    }

    /// The same, and somebody hears of each change first.
    #[must_use]
    pub fn witnessed(self, witness: Witness) -> Self {
        Self { witness: Some(witness), ..self }
    }

    /// Ends or takes back what a killed process left, unless another process is at work here, which does it then.
    /// Blocking, for the start; every apply recovers too.
    pub fn recover_at_start(&self) -> Result<Option<Recovered>, ApplyError> {
        match self.state.hold("apply")? {
            Some(_lock) => Ok(self.journal.recover()?),
            None => Ok(None),
        }
    }

    /// The same, and waits for another process.
    pub async fn recover(&self) -> Result<Option<Recovered>, ApplyError> {
        let lock = self.lock().await?;
        let recovered = self.blocking(|journal| journal.recover()).await??;
        drop(lock);
        Ok(recovered)
    }

    /// The last word of the history: the newest record, unless another process is at work here. Blocking, for the start.
    pub fn newest_at_start(&self) -> Result<Option<Record>, ApplyError> {
        match self.state.hold("apply")? {
            Some(_lock) => Ok(self.journal.newest()?),
            None => Ok(None),
        }
    }

    /// Carries the plan out: all of it, or nothing on disk. Runs to its end even if the caller goes away, when it is
    /// spawned as a task of its own.
    pub async fn apply(&self, plan: Plan, editor: Option<&dyn Editor>) -> Result<Applied, ApplyError> {
        if plan.is_empty() {
            return Ok(Applied::default());
        }
        let (policy, leaves_rest) = (plan.policy, plan.leaves_rest);
        let record = Arc::new(plan.record);
        let lock = self.at_rest().await?;
        let staged = record.clone();
        self.blocking(move |journal| journal.stage(&staged)).await??;
        if let Some(witness) = self.witness.clone() {
            let intended = Intended { part: leaves_rest, ..intended(&record, policy) };
            let heard = self.blocking(move |_| witness(&intended)).await?;
            if let Err(why) = heard {
                self.blocking(move |journal| journal.take_back(&record)).await?;
                return Err(ApplyError::Witness(why));
            }
        }
        let changed = match self.change_buffers(&record, editor).await {
            Ok(changed) => changed,
            Err(error) => {
                self.blocking(move |journal| journal.take_back(&record)).await?;
                return Err(error);
            }
        };
        let committed = record.clone();
        let committed = match self.opened_meanwhile(&record) {
            None => self.blocking(move |journal| journal.commit(&committed)).await?,
            Some(path) => {
                self.blocking(move |journal| journal.take_back(&committed)).await?;
                Err(JournalError::Moved(vec![path]))
            }
        };
        let installed = match committed {
            Ok(()) => {
                let installing = record.clone();
                self.blocking(move |journal| journal.install(&installing)).await
            }
            Err(undecided @ JournalError::Undecided(_)) => Err(undecided.into()),
            Err(error) => {
                let left = self.revert_buffers(&changed, editor).await;
                return Err(not_committed(error, left));
            }
        };
        // The change is made, or will be at the next start, whatever happens from here on.
        let installed =
            installed.unwrap_or_else(|error| Installed { fates: Vec::new(), pending: Some(error.to_string()) });
        let limits = self.history;
        if let Err(error) = self.blocking(move |journal| journal.sweep(limits)).await.and_then(|swept| Ok(swept?)) {
            tracing::warn!(%error, "the undo history was not swept");
        }
        drop(lock);
        Ok(self.report(&record, installed))
    }

    /// A file that was closed when the apply was planned, and whose text is now the editor's.
    fn opened_meanwhile(&self, record: &Record) -> Option<RelPath> {
        let open = self.documents().snapshot();
        let taken = |(_, step): &(usize, &Step)| {
            open.path(&step.path).is_some_and(|document| {
                let same = step.before.as_ref().is_some_and(|before| *before.bytes == *document.text.as_bytes());
                // Only a file that goes away is taken from under an editor that shows nothing else.
                step.after.is_some() || !same
            })
        };
        record.disk_steps().find(taken).map(|(_, step)| step.path.clone())
    }

    /// The plan that takes the apply with that id, or of that task, back; without one, the last that is not undone.
    pub async fn plan_undo(&self, id: Option<&str>) -> Result<Result<Plan, NotPlanned>, ApplyError> {
        self.plan_back(id, false).await
    }

    /// The plan that does again what was undone; without an id, what was undone last.
    pub async fn plan_redo(&self, id: Option<&str>) -> Result<Result<Plan, NotPlanned>, ApplyError> {
        self.plan_back(id, true).await
    }

    /// The plan that takes some hunks of a task's change back: `part` is their inverse.
    pub async fn plan_undo_part(&self, task: &str, part: Patch) -> Result<Result<Plan, NotPlanned>, ApplyError> {
        let wanted = task.to_owned();
        let touched: Vec<RelPath> = part.files().iter().map(|file| file.path.clone()).collect();
        let fits = move |record: &Record| {
            let holds = |path: &RelPath| record.steps.iter().any(|step| step.path == *path);
            is_done(record) && !record.part && record.task() == Some(&wanted) && touched.iter().all(holds)
        };
        let _lock = self.at_rest().await?;
        let found = self.blocking(move |journal| journal.find(fits)).await??;
        let record = found.ok_or_else(|| ApplyError::NoSuchRecord(task.chars().take(100).collect()))?;
        self.planned(move |current| Plan::take_back_part(&record, &part, current)).await
    }

    /// When the change was made that an undo would take back, or (`undone`) a redo would make again, so that those of several
    /// workspaces can be put in order: milliseconds since the Unix epoch, and the record's id. `None` where there is none.
    pub async fn last_turn(&self, id: Option<&str>, undone: bool) -> Result<Option<(u64, String)>, ApplyError> {
        let _lock = self.at_rest().await?;
        let record = self.last(id, undone).await?;
        Ok(record.map(|record| (record.time, record.id)))
    }

    async fn last(&self, id: Option<&str>, undone: bool) -> Result<Option<Record>, ApplyError> {
        let wanted = id.map(str::to_owned);
        // Hunks by task that were taken back, or brought again, since.
        let since = RefCell::new(BTreeMap::<String, BTreeSet<String>>::new());
        let fits = move |record: &Record| {
            // A task's undo is about the whole of it, whatever came and went of its hunks since.
            let of_task = |id: &String| record.task() == Some(id) && (undone || !record.part);
            let named = |id: &String| record.about() == id || record.id() == id || of_task(id);
            let (Some(task), Some(hunks)) = (record.task(), &record.hunks) else {
                return is_done(record) != undone && wanted.as_ref().is_none_or(named);
            };
            let mut since = since.borrow_mut();
            let since = since.entry(task.to_owned()).or_default();
            if is_done(record) == undone {
                since.extend(hunks.iter().cloned());
                return false;
            }
            // Nothing is left of it to turn.
            let is_over = !hunks.is_empty() && hunks.is_subset(since);
            wanted.as_ref().map_or(!is_over, named)
        };
        Ok(self.blocking(move |journal| journal.find(fits)).await??)
    }

    async fn plan_back(&self, id: Option<&str>, undone: bool) -> Result<Result<Plan, NotPlanned>, ApplyError> {
        let _lock = self.at_rest().await?;
        let found = self.last(id, undone).await?;
        let what = if undone { "redo" } else { "undo" };
        let record = match (found, id) {
            (Some(record), _) => record,
            (None, Some(id)) => return Err(ApplyError::NoSuchRecord(id.chars().take(100).collect())),
            (None, None) => return Err(ApplyError::NothingTo(what)),
        };
        self.planned(move |current| Plan::revert(&record, current)).await
    }

    async fn planned(
        &self,
        plan: impl FnOnce(&Current) -> Result<Plan, NotPlanned> + Send + 'static,
    ) -> Result<Result<Plan, NotPlanned>, ApplyError> {
        let current = self.current.clone();
        tokio::task::spawn_blocking(move || plan(&current)).await.map_err(|_| ApplyError::Worker)
    }

    /// Every apply that can be undone or redone, newest first.
    pub async fn history(&self) -> Result<Vec<Past>, ApplyError> {
        let _lock = self.at_rest().await?;
        let records = self.blocking(|journal| journal.history()).await??;
        let past = |record: &Record| Past {
            id: record.about().to_owned(),
            task: record.task.clone(),
            patch: record.patch,
            time: record.time,
            paths: record.files().map(|(path, _, _)| path.clone()).collect(),
            undone: !is_done(record),
        };
        Ok(records.iter().map(past).collect())
    }

    async fn lock(&self) -> Result<Lease, ApplyError> {
        let started = Instant::now();
        loop {
            if let Some(lease) = self.state.hold("apply")? {
                return Ok(lease);
            }
            if started.elapsed() > LOCK_LIMIT {
                return Err(ApplyError::Locked);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The lock, when nothing is under way in the root: the history says then what the files are.
    async fn at_rest(&self) -> Result<Lease, ApplyError> {
        let lock = self.lock().await?;
        self.end_earlier().await?;
        Ok(lock)
    }

    async fn end_earlier(&self) -> Result<(), ApplyError> {
        match self.blocking(|journal| journal.recover()).await?? {
            Some(Recovered::Finished { pending: Some(why), .. }) => Err(ApplyError::EarlierPending(why)),
            _ => Ok(()),
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Journal) -> T + Send + 'static,
    ) -> Result<T, ApplyError> {
        let journal = self.journal.clone();
        tokio::task::spawn_blocking(move || work(&journal)).await.map_err(|_| ApplyError::Worker)
    }

    /// Changes all open documents of the plan, or takes back those that were changed.
    async fn change_buffers(&self, record: &Record, editor: Option<&dyn Editor>) -> Result<Vec<Changed>, ApplyError> {
        let mut changed = Vec::new();
        for step in record.steps.iter().filter(|step| step.route == Route::Buffer) {
            let editor_here = editor.ok_or_else(|| ApplyError::NoEditor(step.path.clone()))?;
            match self.change_buffer(editor_here, step).await {
                Ok(done) => changed.push(done),
                Err(EditorRefused { why, holds_another }) => {
                    let mut left = self.revert_buffers(&changed, editor).await;
                    left.extend(holds_another.then(|| step.path.clone()));
                    return Err(ApplyError::Editor { path: step.path.clone(), why, left });
                }
            }
        }
        Ok(changed)
    }

    async fn change_buffer(&self, editor: &dyn Editor, step: &Step) -> Result<Changed, EditorRefused> {
        let uri = self.documents().snapshot().path(&step.path).map(|document| document.uri.clone());
        let uri = uri.ok_or_else(|| EditorRefused::new("it was closed"))?;
        let (before, after) = texts(step).ok_or_else(|| EditorRefused::new("it is not text"))?;
        let change = BufferChange { uri: &uri, before, after };
        let document = buffers::change(editor, self.documents(), &change, self.editor_limit).await?;
        Ok(Changed { path: step.path.clone(), before: before.to_owned(), document })
    }

    /// The paths of documents that could not be taken back.
    async fn revert_buffers(&self, changed: &[Changed], editor: Option<&dyn Editor>) -> Vec<RelPath> {
        let mut left = Vec::new();
        for done in changed.iter().rev() {
            let Some(editor) = editor else { continue };
            let change = BufferChange { uri: &done.document.uri, before: &done.document.text, after: &done.before };
            if let Err(error) = buffers::change(editor, self.documents(), &change, self.editor_limit).await {
                tracing::warn!(path = %done.path, %error, "an open document was not taken back");
                left.push(done.path.clone());
            }
        }
        left
    }

    fn documents(&self) -> &Arc<Documents> {
        self.current.documents()
    }

    fn root(&self) -> &Arc<Root> {
        self.current.root()
    }

    /// What every file is now, read back.
    fn report(&self, record: &Record, installed: Installed) -> Applied {
        let open = self.documents().snapshot();
        let left: Vec<&RelPath> = installed.foreign().collect();
        let mut applied = Applied { id: Some(record.id.clone()), ..Applied::default() };
        for step in &record.steps {
            if left.contains(&&step.path) {
                applied.left_alone.push(LeftAlone { path: step.path.clone(), kept: self.keep(step) });
                continue;
            }
            let document = open.path(&step.path);
            let uri = document.map_or_else(|| self.root().uri(&step.path), |document| document.uri.to_string());
            if step.route == Route::Buffer && document.is_some_and(|document| !document.saved) {
                applied.unsaved.push(uri.clone());
            }
            let entry = match step.route {
                Route::Buffer => self.current.entry(&step.path),
                Route::Disk => self.root().entry(&step.path),
            };
            let digest = match entry {
                Entry::File { bytes, .. } => Some(Digest::of(&bytes)),
                Entry::Missing | Entry::Refused(_) => None,
            };
            applied.files.push(AppliedFile { path: step.path.clone(), uri, route: step.route, digest });
        }
        applied.pending = installed.pending;
        applied
    }

    fn keep(&self, step: &Step) -> Option<PathBuf> {
        let after = step.after.as_ref()?;
        match self.state.keep(step.path.file_name(), &after.bytes) {
            Ok(path) => Some(path),
            Err(error) => {
                tracing::warn!(path = %step.path, %error, "the new content was not kept beside");
                None
            }
        }
    }
}

fn intended(record: &Record, policy: Option<Digest>) -> Intended {
    let digest = |image: &Option<record::Image>| image.as_ref().map(|image| Digest::of(&image.bytes));
    let file = |step: &Step| (step.path.clone(), digest(&step.before), digest(&step.after));
    Intended {
        id: record.id.clone(),
        kind: record.kind.clone(),
        task: record.task.clone(),
        part: false,
        patch: record.patch,
        policy,
        files: record.steps.iter().map(file).collect(),
    }
}

/// Why nothing was written, and which documents hold their part all the same.
fn not_committed(error: JournalError, left: Vec<RelPath>) -> ApplyError {
    match left.first() {
        None => error.into(),
        Some(path) => ApplyError::Editor { path: path.clone(), why: error.to_string(), left },
    }
}

/// A document that the editor changed.
struct Changed {
    path: RelPath,
    before: String,
    document: Document,
}

/// Both texts of a buffer step; a document that is not on disk begins empty.
fn texts(step: &Step) -> Option<(&str, &str)> {
    let before = step.before.as_ref().map_or(Ok(""), |image| std::str::from_utf8(&image.bytes)).ok()?;
    let after = step.after.as_ref().map_or(Ok(""), |image| std::str::from_utf8(&image.bytes)).ok()?;
    Some((before, after))
}

/// Whether what the record is about is there, as far as the history knows.
fn is_done(record: &Record) -> bool {
    !matches!(record.kind, Kind::Undo { .. })
}
