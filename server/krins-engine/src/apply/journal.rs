//! All files or none: a redo log with one commit point.
//!
//! ```text
//! prepare   write the record as `prepared`, synced
//! stage     make directories, write every new content as a temporary file beside its target, sync them
//! commit    rename `prepared` to `pending`, sync the directory        <- the commit point
//! install   swap each temporary file with its target, if the target is what it was
//! finish    sync the directories, look again at what was swapped out and remove it, rename `pending` to
//!           `<number>-<about>.record`, sync
//! ```
//!
//! `<about>` is the apply that a record is about: itself, or the one that it takes back or does again. Of the records about
//! one apply only the newest is of use.
//!
//! Before the commit point any error takes everything back, the failed sync of the commit itself too: going on with a
//! log that a power cut may lose would risk half a change. After it nothing is taken back: an error leaves `pending`
//! in place, and the next start ends the work. A target that somebody else changed is never overwritten: where the
//! file system can swap, that holds without a gap between look and write, else the gap is one system call wide.
//!
//! A program that had opened a target before the swap writes into what was swapped out. The sync gives it the time to, and
//! the look after the sync finds it. Not covered: a program that only writes later than that; and hard links to a target,
//! which keep the old content.
//!
//! The removal of what was swapped out is not synced. What a power cut brings back of it, the next start finds by the
//! newest record.

use super::record::{BadRecord, Image, Record, Step};
use super::vfs::{NewFile, Node, Permissions, Vfs};
use crate::state::{Limits, io_hint};
use krins_core::RelPath;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::sync::Arc;

const PREPARED: &str = "prepared";
const PENDING: &str = "pending";
const DAMAGED: &str = "damaged";
const RECORD: &str = ".record";
const ASIDE: &str = ".aside";

/// The journal of one root. Calls that change anything need the root's apply lock, which the caller holds.
#[derive(Clone)]
pub(crate) struct Journal {
    workspace: Arc<dyn Vfs>,
    state: Arc<dyn Vfs>,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("{action} {path}: {source}")]
    Io { action: &'static str, path: String, source: io::Error },
    /// The commit point was passed and could be neither made durable nor taken back.
    #[error("commit the journal: {0}; the next start ends the change")]
    Undecided(io::Error),
    #[error("write {}: changed meanwhile", list(.0))]
    Moved(Vec<RelPath>),
    #[error("write {path}: it is {why}")]
    Refused { path: RelPath, why: String },
    #[error(transparent)]
    Record(#[from] BadRecord),
}

impl JournalError {
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Io { source, .. } if io_hint(source).is_empty() => "nothing was changed",
            Self::Io { source, .. } => io_hint(source),
            Self::Undecided(_) => "see to the disk that Krins keeps its state on, then start Krins again",
            Self::Moved(_) => "nothing was changed; ask for the diff again",
            Self::Refused { .. } | Self::Record(_) => "nothing was changed",
        }
    }
}

fn list(paths: &[RelPath]) -> String {
    paths.iter().map(RelPath::as_str).collect::<Vec<_>>().join(", ")
}

fn failed(action: &'static str, path: &str) -> impl FnOnce(io::Error) -> JournalError {
    move |source| JournalError::Io { action, path: path.to_owned(), source }
}

/// What became of one step on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The file is as it shall be.
    Written,
    /// It is not what it was when the apply was planned, and was left alone.
    Foreign,
    /// An error; the next start tries again.
    Failed(String),
}

/// What an installation did.
#[derive(Debug, Default)]
pub(crate) struct Installed {
    /// By disk step, in order.
    pub fates: Vec<(RelPath, Fate)>,
    /// The first thing that is left to do at the next start.
    pub pending: Option<String>,
}

impl Installed {
    pub(crate) fn foreign(&self) -> impl Iterator<Item = &RelPath> {
        self.fates.iter().filter(|(_, fate)| *fate == Fate::Foreign).map(|(path, _)| path)
    }
}

/// What a recovery found.
#[derive(Debug)]
pub enum Recovered {
    /// An apply had passed its commit point and was brought to its end.
    Finished { id: String, task: Option<String>, fates: Vec<(RelPath, Fate)>, pending: Option<String> },
    /// An apply had not passed its commit point; nothing of it is on disk. Open documents may hold a part of it.
    TakenBack { id: String, task: Option<String>, buffers: Vec<RelPath> },
    /// The journal was not readable; it was moved aside.
    Damaged(String),
}

impl Journal {
    pub(crate) fn new(workspace: Arc<dyn Vfs>, state: Arc<dyn Vfs>) -> Self {
        Self { workspace, state }
    }

    /// Everything up to the commit point. On an error nothing is left behind.
    pub(crate) fn stage(&self, record: &Record) -> Result<(), JournalError> {
        self.prepare(record)?;
        self.stage_files(record).inspect_err(|_| self.take_back(record))
    }

    fn prepare(&self, record: &Record) -> Result<(), JournalError> {
        let bytes = record.encode()?;
        let _ = self.state.remove(PREPARED);
        let written = self
            .state
            .create(PREPARED, &bytes, Permissions::Exactly(0o600))
            // The name too: what is staged is only found again through it.
            .and_then(|()| self.state.sync(&[PREPARED], &[""]));
        written.map_err(|source| {
            let _ = self.state.remove(PREPARED);
            failed("write the journal", PREPARED)(source)
        })
    }

    fn stage_files(&self, record: &Record) -> Result<(), JournalError> {
        for dir in &record.make_dirs {
            self.make_dir(dir).map_err(failed("make", dir))?;
        }
        let (mut temps, mut steps) = (Vec::new(), Vec::new());
        for (number, step) in record.disk_steps() {
            let mode = self.check(step)?;
            if let Some(after) = &step.after {
                let permissions = permissions(after, mode);
                temps.push(NewFile { path: temp_name(record, number), bytes: &after.bytes, permissions });
                steps.push(step);
            }
        }
        for (step, written) in steps.iter().zip(self.workspace.create_all(&temps)) {
            written.map_err(failed("write", step.path.as_str()))?;
        }
        let temps: Vec<&str> = temps.iter().map(|temp| temp.path.as_str()).collect();
        self.workspace.sync(&temps, &[]).map_err(failed("write", "the new files"))
    }

    /// Makes sure that the target is what it was, and gives the bits of the file that is there.
    fn check(&self, step: &Step) -> Result<Option<u32>, JournalError> {
        let node = self.workspace.read(step.path.as_str()).map_err(failed("read", step.path.as_str()))?;
        match node {
            Node::Other(why) => Err(JournalError::Refused { path: step.path.clone(), why }),
            node if is(&node, &step.before) => Ok(mode_of(&node)),
            _ => Err(JournalError::Moved(vec![step.path.clone()])),
        }
    }

    /// Takes a staged apply back. What cannot be removed now is removed at the next start.
    pub(crate) fn take_back(&self, record: &Record) {
        let mut clean = true;
        for (number, step) in record.disk_steps().filter(|(_, step)| step.after.is_some()) {
            clean &=
                gone(self.workspace.remove(&temp_name(record, number))) || below_nothing(&*self.workspace, &step.path);
        }
        for dir in record.make_dirs.iter().rev() {
            let _ = self.workspace.remove_dir(dir);
        }
        // What comes back after a power cut is found only while the log is there.
        if clean && self.sync_dirs(record).is_ok() {
            let _ = self.state.remove(PREPARED);
        }
    }

    /// Passes the commit point. On an error it was not passed, and nothing is left behind.
    pub(crate) fn commit(&self, record: &Record) -> Result<(), JournalError> {
        let moved: Vec<RelPath> = record
            .disk_steps()
            .filter(|(_, step)| self.check(step).is_err())
            .map(|(_, step)| step.path.clone())
            .collect();
        if !moved.is_empty() {
            self.take_back(record);
            return Err(JournalError::Moved(moved));
        }
        if let Err(source) = self.state.rename(PREPARED, PENDING) {
            self.take_back(record);
            return Err(failed("commit", "the journal")(source));
        }
        let Err(source) = self.state.sync(&[], &[""]) else { return Ok(()) };
        if self.state.rename(PENDING, PREPARED).is_err() {
            return Err(JournalError::Undecided(source));
        }
        self.take_back(record);
        Err(failed("commit", "the journal")(source))
    }

    /// Brings a committed apply to its end.
    pub(crate) fn install(&self, record: &Record) -> Installed {
        self.install_and_finish(record, false)
    }

    fn install_and_finish(&self, record: &Record, recovering: bool) -> Installed {
        let mut installed = Installed::default();
        let (mut foreign, mut old) = (BTreeSet::new(), BTreeMap::new());
        for dir in record.make_dirs.iter().filter(|_| recovering) {
            if let Err(error) = self.make_dir(dir) {
                installed.pending.get_or_insert(format!("make {dir}: {error}"));
            }
        }
        let (deletions, writes): (Vec<_>, Vec<_>) = record.disk_steps().partition(|(_, step)| step.after.is_none());
        for (number, step) in writes.into_iter().chain(deletions) {
            let blocked = step.waits_for.as_ref().is_some_and(|path| foreign.contains(path));
            let done = if blocked {
                self.leave(record, number, step, recovering).map(|()| false)
            } else {
                self.step(record, number, step, recovering, &mut old)
            };
            let fate = match done {
                Ok(true) => Fate::Written,
                Ok(false) => Fate::Foreign,
                Err(error) => {
                    installed.pending.get_or_insert(format!("write {}: {error}", step.path));
                    Fate::Failed(error.to_string())
                }
            };
            if fate != Fate::Written {
                foreign.insert(step.path.clone());
            }
            installed.fates.push((step.path.clone(), fate));
        }
        if let Err(error) = self.sync_dirs(record) {
            installed.pending.get_or_insert(format!("sync the directories: {error}"));
        }
        let given_back = self.remove_old(&old, &mut installed);
        for dir in &record.remove_dirs {
            let _ = self.workspace.remove_dir(dir);
        }
        if installed.pending.is_none() {
            let synced = if given_back || !record.remove_dirs.is_empty() { self.sync_dirs(record) } else { Ok(()) };
            let synced = synced.map_err(failed("sync", "the directories"));
            installed.pending = synced.and_then(|()| self.finish(record)).err().map(|error| error.to_string());
        }
        installed
    }

    /// Removes what was swapped out, unless somebody wrote into it meanwhile: then it goes back, which gives `true`.
    fn remove_old(&self, old: &BTreeMap<String, &Step>, installed: &mut Installed) -> bool {
        let (mut unchanged, mut given_back) = (Vec::new(), false);
        let now = self.workspace.read_all(&old.keys().map(String::as_str).collect::<Vec<_>>());
        for ((temp, step), now) in old.iter().zip(now) {
            let back = match now {
                Ok(now) if expected(&now, step) => {
                    unchanged.push(temp.as_str());
                    continue;
                }
                Ok(_) => self.give_back(temp, step),
                Err(error) => Err(error),
            };
            given_back |= back.is_ok();
            if let Err(error) = &back {
                installed.pending.get_or_insert(format!("look at what {} was: {error}", step.path));
            }
            if let Some((_, fate)) = installed.fates.iter_mut().find(|(path, _)| *path == step.path) {
                *fate = back.map_or_else(|error| Fate::Failed(error.to_string()), |()| Fate::Foreign);
            }
        }
        for (path, removed) in unchanged.iter().zip(self.workspace.remove_all(&unchanged)) {
            if let Err(error) = removed {
                installed.pending.get_or_insert(format!("remove {path}: {error}"));
            }
        }
        given_back
    }

    /// A file whose new name did not come about stays under its old one; what a killed process moved away comes back.
    fn leave(&self, record: &Record, number: usize, step: &Step, recovering: bool) -> io::Result<()> {
        let temp = temp_name(record, number);
        if !recovering || self.workspace.read(&temp)? == Node::Missing {
            return Ok(());
        }
        match self.workspace.rename_new(&temp, step.path.as_str()) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => self.settle_temp(&temp, step),
            result => result,
        }
    }

    /// One file; `false` when somebody else changed it. What it replaced, and is no longer needed, is added to `old`.
    fn step<'r>(
        &self,
        record: &Record,
        number: usize,
        step: &'r Step,
        recovering: bool,
        old: &mut BTreeMap<String, &'r Step>,
    ) -> io::Result<bool> {
        let temp = temp_name(record, number);
        let target = step.path.as_str();
        if !recovering && step.before.is_some() && step.after.is_some() {
            // The look before the commit point was a moment ago, and what is swapped out is looked at.
            match self.workspace.exchange(&temp, target) {
                Ok(()) => return self.look_at_what_was_swapped_out(temp, step, old),
                Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        if recovering {
            self.settle_temp(&temp, step)?;
        }
        let now = self.workspace.read(target)?;
        if is(&now, &step.after) {
            gone(self.workspace.remove(&temp));
            return Ok(true);
        }
        if !is(&now, &step.before) {
            gone(self.workspace.remove(&temp));
            return Ok(false);
        }
        let Some(after) = &step.after else {
            self.workspace.rename_new(target, &temp)?;
            return self.look_at_what_was_swapped_out(temp, step, old);
        };
        if recovering && self.workspace.read(&temp)? == Node::Missing {
            self.workspace.create(&temp, &after.bytes, permissions(after, mode_of(&now)))?;
            self.workspace.sync(&[&temp], &[])?;
        }
        if step.before.is_none() {
            return match self.workspace.rename_new(&temp, target) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    self.workspace.remove(&temp)?;
                    Ok(false)
                }
                result => result.map(|()| true),
            };
        }
        match self.workspace.exchange(&temp, target) {
            Err(error) if error.kind() == ErrorKind::Unsupported => self.workspace.rename(&temp, target).map(|()| true),
            Err(error) => Err(error),
            Ok(()) => self.look_at_what_was_swapped_out(temp, step, old),
        }
    }

    /// The old file is at `temp`, after a swap or a move. If it is not what it was, it goes back.
    fn look_at_what_was_swapped_out<'r>(
        &self,
        temp: String,
        step: &'r Step,
        old: &mut BTreeMap<String, &'r Step>,
    ) -> io::Result<bool> {
        if expected(&self.workspace.read(&temp)?, step) {
            old.insert(temp, step);
            return Ok(true);
        }
        self.give_back(&temp, step).map(|()| false)
    }

    /// Somebody else's file goes from `temp` to its name again.
    fn give_back(&self, temp: &str, step: &Step) -> io::Result<()> {
        if step.after.is_none() {
            return match self.workspace.rename_new(temp, step.path.as_str()) {
                // Somebody made a third file meanwhile; what was moved away stays beside it.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
                result => result,
            };
        }
        self.workspace.exchange(temp, step.path.as_str())?;
        if is(&self.workspace.read(temp)?, &step.after) {
            self.workspace.remove(temp)?;
        }
        Ok(())
    }

    /// A killed process may have left a temporary file: a new content that is torn or whole, an old one that was
    /// swapped out, or somebody else's that was swapped out and not yet put back.
    fn settle_temp(&self, temp: &str, step: &Step) -> io::Result<()> {
        let left = self.workspace.read(temp)?;
        let Node::File { bytes, .. } = &left else { return Ok(()) };
        if is(&left, &step.after) {
            return Ok(());
        }
        if is(&left, &step.before) {
            return self.workspace.remove(temp);
        }
        let torn = step.after.as_ref().is_some_and(|after| after.bytes.starts_with(bytes));
        // Only a whole new content is ever swapped in, so a target that has it has given its own away.
        let swapped = is(&self.workspace.read(step.path.as_str())?, &step.after);
        match (swapped, torn) {
            (false, true) => self.workspace.remove(temp),
            (true, false) => self.put_back(temp, step),
            // Two of them, or a start of our own text that may be ours or theirs.
            (false, false) | (true, true) => self.put_aside(temp, step, bytes),
        }
    }

    fn put_back(&self, temp: &str, step: &Step) -> io::Result<()> {
        match step.after {
            Some(_) => self.workspace.exchange(temp, step.path.as_str()).and_then(|()| self.workspace.remove(temp)),
            None => self.workspace.rename_new(temp, step.path.as_str()),
        }
    }

    /// Keeps what somebody else wrote beside the journal, where it is not lost and not in the way.
    fn put_aside(&self, temp: &str, step: &Step, bytes: &[u8]) -> io::Result<()> {
        let name = format!("{}{ASIDE}", temp.rsplit('/').next().unwrap_or(temp).trim_start_matches('.'));
        match self.state.create(&name, bytes, Permissions::Exactly(0o600)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            result => result?,
        }
        self.state.sync(&[&name], &[""])?;
        tracing::warn!(path = %step.path, kept = name, "a version of this file was found and kept beside the journal");
        self.workspace.remove(temp)
    }

    fn finish(&self, record: &Record) -> Result<(), JournalError> {
        let number = self.names()?.last().and_then(|name| name.split('-').next()?.parse::<u64>().ok()).unwrap_or(0) + 1;
        let name = format!("{number:012}-{}{RECORD}", record.about());
        self.state.rename(PENDING, &name).map_err(failed("close", "the journal"))?;
        self.state.sync(&[], &[""]).map_err(failed("sync", "the journal"))
    }

    /// Makes every name that the record's steps change durable. A directory that is gone was in another one, down to one
    /// that is there.
    fn sync_dirs(&self, record: &Record) -> io::Result<()> {
        let touched = record.disk_steps().map(|(_, step)| step.path.dir());
        let changed = record.make_dirs.iter().chain(&record.remove_dirs).map(|dir| parent(dir));
        let mut dirs = BTreeSet::new();
        for mut dir in touched.chain(changed) {
            while !dir.is_empty() && !dirs.contains(dir) && self.workspace.read(dir)? == Node::Missing {
                dir = parent(dir);
            }
            dirs.insert(dir);
        }
        self.workspace.sync(&[], &dirs.into_iter().collect::<Vec<_>>())
    }

    fn make_dir(&self, dir: &str) -> io::Result<()> {
        match self.workspace.make_dir(dir) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            result => result,
        }
    }

    /// Ends or takes back what a killed process left. Safe to be killed in, and to be called again.
    pub(crate) fn recover(&self) -> Result<Option<Recovered>, JournalError> {
        match self.read(PENDING)? {
            Some(Ok(record)) => {
                let installed = self.install_and_finish(&record, true);
                let Installed { fates, pending } = installed;
                return Ok(Some(Recovered::Finished { id: record.id, task: record.task, fates, pending }));
            }
            Some(Err(error)) => {
                self.state.rename(PENDING, DAMAGED).map_err(failed("move aside", PENDING))?;
                return Ok(Some(Recovered::Damaged(error.to_string())));
            }
            None => {}
        }
        match self.read(PREPARED)? {
            Some(Ok(record)) => {
                self.take_back(&record);
                let buffers = record.steps.iter().filter(|step| step.route == super::Route::Buffer);
                let buffers = buffers.map(|step| step.path.clone()).collect();
                Ok(Some(Recovered::TakenBack { id: record.id, task: record.task, buffers }))
            }
            // The log was not whole, so nothing was staged.
            Some(Err(_)) => self.state.remove(PREPARED).map(|()| None).map_err(failed("remove", PREPARED)),
            None => {
                // No reason to refuse work: it is in nobody's way.
                if let Err(error) = self.remove_what_came_back() {
                    tracing::warn!(%error, "what an earlier change replaced is still there");
                }
                Ok(None)
            }
        }
    }

    /// What the newest record swapped out is gone, unless a power cut came between its removal and the next sync.
    fn remove_what_came_back(&self) -> Result<(), JournalError> {
        let Some(record) = self.newest()? else { return Ok(()) };
        let temps: Vec<_> = record.disk_steps().map(|(number, step)| (temp_name(&record, number), step)).collect();
        let left = self.workspace.read_all(&temps.iter().map(|(temp, _)| temp.as_str()).collect::<Vec<_>>());
        for ((temp, step), left) in temps.iter().zip(left) {
            let removed = match left {
                Ok(Node::Missing | Node::Other(_)) => Ok(()),
                Ok(left) if expected(&left, step) => self.workspace.remove(temp),
                Ok(Node::File { bytes, .. }) => self.put_aside(temp, step, &bytes),
                Err(error) => Err(error),
            };
            removed.map_err(failed("remove", temp))?;
        }
        Ok(())
    }

    fn read(&self, name: &str) -> Result<Option<Result<Record, BadRecord>>, JournalError> {
        match self.state.read(name).map_err(failed("read", name))? {
            Node::File { bytes, .. } => Ok(Some(Record::decode(&bytes))),
            Node::Missing => Ok(None),
            Node::Other(why) => Err(failed("read", name)(io::Error::other(why))),
        }
    }

    /// Names of the finished records, oldest first.
    fn names(&self) -> Result<Vec<String>, JournalError> {
        let names = self.state.list("").map_err(failed("list", "the history"))?;
        Ok(names.into_iter().filter(|name| name.ends_with(RECORD)).collect())
    }

    /// The last record about each apply, newest first, one after the other. Damaged records are left out.
    fn last_words(&self) -> Result<impl Iterator<Item = Result<Record, JournalError>>, JournalError> {
        let mut names = self.names()?;
        names.reverse();
        let mut seen = BTreeSet::new();
        let mut heard = BTreeSet::new();
        let read = move |name: String| match self.read(&name) {
            Ok(Some(Ok(record))) => heard.insert(record.about().to_owned()).then_some(Ok(record)),
            Ok(Some(Err(error))) => {
                tracing::warn!(name, %error, "a record of the history is damaged");
                None
            }
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        };
        Ok(names.into_iter().filter(move |name| seen.insert(about(name).to_owned())).filter_map(read))
    }

    /// The last record about each apply, newest first.
    pub(crate) fn history(&self) -> Result<Vec<Record>, JournalError> {
        self.last_words()?.collect()
    }

    /// The newest of these that fits. Those behind it are not read.
    pub(crate) fn find(&self, fits: impl Fn(&Record) -> bool) -> Result<Option<Record>, JournalError> {
        self.last_words()?.find(|record| record.as_ref().map_or(true, &fits)).transpose()
    }

    /// The newest record that is not damaged.
    pub(crate) fn newest(&self) -> Result<Option<Record>, JournalError> {
        for name in self.names()?.into_iter().rev() {
            if let Some(Ok(record)) = self.read(&name)? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// Removes the records that a newer one about the same apply has taken the place of, and the oldest beyond the limits.
    /// The newest stays whatever the limits say: the last change can be taken back.
    pub(crate) fn sweep(&self, limits: Limits) -> Result<(), JournalError> {
        let mut names = self.names()?;
        names.reverse();
        let mut seen = BTreeSet::new();
        let (mut kept, mut bytes) = (0, 0_u64);
        for name in names {
            let superseded = !seen.insert(about(&name).to_owned());
            if !superseded && kept < limits.count {
                let Some((size, written)) = self.state.stat(&name).map_err(failed("look at", &name))? else { continue };
                let old = written.elapsed().is_ok_and(|age| age > limits.age);
                if kept == 0 || !old && bytes.saturating_add(size) <= limits.bytes {
                    kept += 1;
                    bytes = bytes.saturating_add(size);
                    continue;
                }
            }
            let _ = self.state.remove(&name);
        }
        Ok(())
    }
}

/// The apply that a record is about, as its name says.
fn about(name: &str) -> &str {
    name.strip_suffix(RECORD).and_then(|name| name.split_once('-')).map_or(name, |(_, about)| about)
}

/// Beside the target, so that a rename does not cross file systems; found again by recovery.
fn temp_name(record: &Record, number: usize) -> String {
    let Some((_, step)) = record.disk_steps().find(|(at, _)| *at == number) else { return String::new() };
    let tail = record.id.len().saturating_sub(12);
    let id = record.id.get(tail..).unwrap_or(&record.id);
    let name = format!(".krins-{id}-{number}.tmp");
    match step.path.dir() {
        "" => name,
        dir => format!("{dir}/{name}"),
    }
}

fn permissions(image: &Image, mode: Option<u32>) -> Permissions {
    match mode {
        Some(mode) => Permissions::Exactly(with_execute(mode, image.executable)),
        None => Permissions::Fresh { executable: image.executable },
    }
}

/// Whether the node is exactly that image.
fn is(node: &Node, image: &Option<Image>) -> bool {
    match (node, image) {
        (Node::Missing, None) => true,
        (Node::File { bytes, mode }, Some(image)) => **bytes == *image.bytes && (mode & 0o111 != 0) == image.executable,
        _ => false,
    }
}

/// Whether what was swapped out is what the step knows: its old content, or its new one where it was there before.
fn expected(out: &Node, step: &Step) -> bool {
    is(out, &step.before) || is(out, &step.after)
}

fn mode_of(node: &Node) -> Option<u32> {
    match node {
        Node::File { mode, .. } => Some(*mode),
        Node::Missing | Node::Other(_) => None,
    }
}

/// Whoever may read it may execute it, as `chmod +x` under a usual umask does.
fn with_execute(mode: u32, executable: bool) -> u32 {
    match (executable, mode & 0o111 != 0) {
        (true, false) => mode | (mode & 0o444) >> 2 | 0o100,
        (false, true) => mode & !0o111,
        _ => mode,
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn gone(result: io::Result<()>) -> bool {
    match result {
        Ok(()) => true,
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

/// Whether there is no directory that a temporary file of `path` could be in.
fn below_nothing(vfs: &dyn Vfs, path: &RelPath) -> bool {
    matches!(vfs.read(path.dir()), Ok(Node::Missing))
}
