//! The code graph of a root, kept fresh. What the disk holds is read once per content and kept between runs; what an
//! open document says wins over the disk. A graph that is given is of the files as they are at that moment.
//!
//! It must not know what the graph is used for.

mod background;
mod early;
mod list;
mod parallel;
mod run;
mod stamp;
mod store;
mod survey;
mod watch;

pub use background::Long;
pub use early::Wish;
pub use store::StoreInfo;

use crate::base::Snapshot;
use crate::exclude::Exclusions;
use crate::state::StateDir;
use crate::workspace::Root;
use krins_core::graph::{Graph, Indexed, LiveFile, ResolveConfig, Resolved, Stats};
use krins_core::syntax::Language;
use krins_core::{Digest, RelPath, Tree as _};
use run::{Job, Run, Until};
use stamp::Stamp;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use store::{Row, Save, Store};
use survey::Survey;
use watch::{News, Watch};

/// Larger files are data or generated; they are listed but not parsed.
const LARGEST: u64 = 2 << 20;
/// So many saved files leave enough behind to look for what is too old.
const MANY: usize = 500;
/// More changed files than this are cheaper to put into a new graph.
const MOST_ONE_BY_ONE: usize = 16;

/// The graph at one moment.
#[derive(Clone, Default)]
pub struct View {
    pub graph: Graph,
    /// Code that is not in the graph: too large to parse, unreadable, or not UTF-8. Sorted.
    pub unread: Vec<RelPath>,
    /// There while files are not read yet. Never of [`Index::view`].
    pub partial: Option<Partial>,
}

/// How much of the code an early answer is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partial {
    /// Files.
    pub read: usize,
    pub total: usize,
}

/// The index of one root.
#[derive(Default)]
pub struct Index {
    store: Store,
    state: Mutex<State>,
    /// Of the graph as it was last; to be had while a refresh goes on.
    figures: Mutex<(Stats, bool)>,
    /// Some thread keeps the index up to date, and saves.
    kept: AtomicBool,
    paused: AtomicBool,
    /// Told when it is resumed, or ends.
    resumed: Condvar,
    /// What the background's long readings are at.
    long: tokio::sync::watch::Sender<Long>,
}

/// What was made of a file on disk.
#[derive(Clone)]
struct Held {
    stamp: Stamp,
    /// The stamp was old enough when the file was read: a second write would show.
    settled: bool,
    /// The watch under which it was read: a second write would be told.
    watched: Option<u64>,
    file: Arc<Indexed>,
}

/// A text that decides how specifiers resolve.
#[derive(Clone)]
struct Config {
    stamp: Stamp,
    settled: bool,
    digest: Digest,
    text: Arc<str>,
}

/// An open document.
struct Buffer {
    text: Arc<str>,
    file: Arc<Indexed>,
    /// Since it was first edited.
    live: Option<LiveFile>,
}

#[derive(Default)]
struct State {
    loaded: bool,
    survey: Survey,
    watch: Option<Watch>,
    /// Somebody stays to ask again: what changes shall be watched.
    watching: bool,
    /// As on a system, or a file system, that gives no watches.
    #[cfg(test)]
    unwatchable: bool,
    /// Counts the watches; `Some` while one is on.
    epoch: u64,
    /// What the watch told of since the last plan.
    touched: BTreeSet<RelPath>,
    /// The last plan was that there is nothing to read.
    at_rest: bool,
    held: BTreeMap<RelPath, Held>,
    /// Code that could not be read when it looked so.
    unreadable: BTreeMap<RelPath, Option<Stamp>>,
    config: BTreeMap<RelPath, Config>,
    buffers: BTreeMap<RelPath, Buffer>,
    /// Open ones among the texts that decide how specifiers resolve; `None`: out of step with the editor.
    open_config: BTreeMap<RelPath, Option<(Digest, Arc<str>)>>,
    /// Documents that are out of step with the editor.
    lost: BTreeSet<RelPath>,
    /// What is being read.
    run: Option<Arc<Run>>,
    shown: Shown,
    /// Made of texts with these digests.
    resolver: Option<(BTreeMap<RelPath, Digest>, Arc<ResolveConfig>)>,
    /// Paths whose content changed since the graph was made.
    dirty: BTreeSet<RelPath>,
    /// Paths whose rows are not what the store holds.
    unsaved: BTreeSet<RelPath>,
    /// What the store's edges hold for, and those edges.
    stored: (Option<Digest>, BTreeMap<RelPath, Resolved>),
}

/// The graph that was given last.
#[derive(Default)]
struct Shown {
    graph: Graph,
    ready: bool,
    config: BTreeMap<RelPath, Digest>,
    /// Of the disk's files alone; `None` when open documents add or hide files.
    world: Option<Digest>,
}

impl Index {
    /// The index that a root's state directory keeps.
    pub fn in_state(state: &StateDir) -> Self {
        Self::at(&state.path().join("index"))
    }

    /// An index that remembers in a directory.
    fn at(dir: &Path) -> Self {
        let mut index = Self::default();
        index.store = Store::at(dir);
        index
    }

    /// Brings the graph up to date and gives it. Blocking: call it off the runtime's threads.
    pub fn refresh(&self, snapshot: &Snapshot) -> Graph {
        self.view(snapshot).graph
    }

    /// The same, with what could not be taken into the graph. Always complete.
    pub fn view(&self, snapshot: &Snapshot) -> View {
        loop {
            let (run, own) = match self.join(snapshot.root()) {
                Ok(joined) => joined,
                Err(state) => return self.conclude(state, snapshot),
            };
            run.help(snapshot.root(), &self.store, parallel::workers(), Until::Empty);
            let mut state = self.lock();
            state.take(&run);
            // What another began may have been planned before this call.
            if own {
                return self.conclude(state, snapshot);
            }
        }
    }

    /// The graph as it was made last, without a look at the disk: what has changed since is not in it.
    pub fn known(&self) -> Graph {
        self.lock().shown.graph.clone()
    }

    /// Gives what is known, which is everything, and sees to it that it is saved.
    fn conclude(&self, mut state: MutexGuard<'_, State>, snapshot: &Snapshot) -> View {
        let view = self.finish(&mut state, snapshot);
        drop(state);
        self.save_or_tell();
        view
    }

    /// What is being read, and whether it was begun here, after a look at the disk; or that there is nothing to read.
    fn join(&self, root: &Root) -> std::result::Result<(Arc<Run>, bool), MutexGuard<'_, State>> {
        let mut state = self.lock();
        if let Some(run) = state.run.clone() {
            return Ok((run, false));
        }
        match self.begin(&mut state, root) {
            Some(run) => Ok((run, true)),
            None => Err(state),
        }
    }

    /// Watches the disk from the next question on, instead of comparing stamps at each.
    pub fn watch(&self) {
        self.lock().watching = true;
    }

    /// Figures of the graph as it was built last, and whether it ever was: before, only how many files were read.
    /// Never waits for a refresh.
    pub fn stats(&self) -> (Stats, bool) {
        let (mut stats, ready) = *self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        if !ready {
            stats.files = self.progress().map_or(0, |(done, _)| done);
        }
        (stats, ready)
    }

    /// How many of the files that are being read are done; `None` when none is being read.
    pub fn progress(&self) -> Option<(usize, usize)> {
        let run = self.state.try_lock().ok()?.run.clone()?;
        Some(run.progress())
    }

    /// Where the store is, if there is one.
    pub fn store_info(&self) -> Option<StoreInfo> {
        self.store.info()
    }

    /// The watch that keeps it fresh, if one does.
    fn watch_now(&self) -> Option<Watch> {
        self.lock().watch.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks what changed on disk; `None` when no file has to be read.
    fn begin(&self, state: &mut State, root: &Root) -> Option<Arc<Run>> {
        if !state.loaded {
            self.load(state);
        }
        // Where nothing happened, there is nothing to do that there was not before.
        if !state.look(root) && state.at_rest {
            return None;
        }
        let jobs = state.plan(root);
        state.at_rest = jobs.is_empty();
        if jobs.is_empty() {
            return None;
        }
        let run = Arc::new(Run::new(jobs));
        state.run = Some(run.clone());
        Some(run)
    }

    fn load(&self, state: &mut State) {
        state.loaded = true;
        let loaded = self.store.load();
        let mut edges = BTreeMap::new();
        for (path, row) in loaded.rows {
            let stamp = row.stamp.unwrap_or(Stamp::NEVER);
            state
                .held
                .insert(path.clone(), Held { stamp, settled: row.stamp.is_some(), watched: None, file: row.file });
            edges.extend(row.edges.map(|edges| (path, edges)));
        }
        state.stored = (loaded.world, edges);
        state.survey = loaded.survey.as_deref().and_then(Survey::from_bytes).unwrap_or_default();
    }

    /// Puts together what is known: nothing is being read.
    fn finish(&self, state: &mut State, snapshot: &Snapshot) -> View {
        state.take_documents(snapshot);
        let changed = state.show();
        if changed {
            *self.figures.lock().unwrap_or_else(PoisonError::into_inner) = (state.shown.graph.stats(), true);
        }
        View { graph: state.shown.graph.clone(), unread: state.unread(), partial: None }
    }

    /// Saves here, or has it saved by whoever keeps the index.
    fn save_or_tell(&self) {
        if !self.kept.load(Ordering::Relaxed) {
            self.save();
            return;
        }
        let state = self.lock();
        if let Some(watch) = state.watch.as_ref().filter(|_| state.is_unsaved()) {
            watch.wake();
        }
    }

    /// Saves what the store does not hold yet. Nobody waits for it but the caller.
    fn save(&self) {
        let (rows, unsaved, world, survey) = {
            let mut state = self.lock();
            // Half of what was read is not worth the writing.
            if !state.is_unsaved() || state.run.is_some() || !state.shown.ready {
                return;
            }
            let survey = state.survey.is_changed().then(|| state.survey.to_bytes());
            state.survey.saved();
            (state.rows(), std::mem::take(&mut state.unsaved), state.shown.world, survey)
        };
        let paths: BTreeSet<RelPath> = rows.keys().cloned().collect();
        let row = |path: &RelPath| rows.get(path).cloned();
        let save = Save { paths: &paths, dirty: &unsaved, row: &row, world, survey: survey.as_deref() };
        if self.store.save(&save) {
            if unsaved.len() >= MANY {
                self.store.sweep();
            }
        } else {
            let mut state = self.lock();
            state.unsaved.extend(unsaved);
            if survey.is_some() {
                state.survey.keep();
            }
        }
    }
}

impl State {
    fn is_unsaved(&self) -> bool {
        !self.unsaved.is_empty() || self.survey.is_changed()
    }

    /// What the store shall hold.
    fn rows(&self) -> BTreeMap<RelPath, Row> {
        let row = |(path, held): (&RelPath, &Held)| {
            let plain = self.shown.world.is_some() && !self.buffers.contains_key(path);
            let edges = plain.then(|| Resolved {
                targets: self.shown.graph.resolved(path).to_vec(),
                unresolved: u32::try_from(self.shown.graph.unresolved(path)).unwrap_or(u32::MAX),
            });
            (path.clone(), Row { stamp: held.settled.then_some(held.stamp), file: held.file.clone(), edges })
        };
        self.held.iter().map(row).collect()
    }

    /// Finds out which files there are and how they look; whether anything may have changed since the last look.
    fn look(&mut self, root: &Root) -> bool {
        match self.watch.as_ref().map(|watch| (watch.clone(), watch.drain())) {
            Some((watch, News::Touched(touched))) => {
                if self.survey.outer_rules_changed(root) {
                    self.survey = Survey::walk(root, Some(&watch));
                } else if touched.is_empty() {
                    return false;
                } else {
                    self.survey.touch(root, &touched, Some(&watch));
                }
                // Read again whatever the stamp says: two writes may share one.
                self.touched.extend(touched.files);
            }
            Some((watch, News::Lost)) => {
                self.look_everywhere(root);
                // Whoever waits for it takes the new one.
                watch.wake();
            }
            None if self.watching => self.look_everywhere(root),
            None => self.survey.compare(root, None),
        }
        true
    }

    /// Looks at everything and watches from then on, if it can.
    fn look_everywhere(&mut self, root: &Root) {
        let watch = self.new_watch(root);
        self.survey.compare(root, watch.as_ref());
        self.watch = watch.filter(Watch::is_complete);
        // What could not be watched once is not tried at every question.
        self.watching = self.watch.is_some();
        self.epoch += 1;
    }

    fn new_watch(&self, root: &Root) -> Option<Watch> {
        #[cfg(test)]
        if self.unwatchable {
            return None;
        }
        Watch::new(root.path())
    }

    /// What has to be read. What is gone is forgotten.
    fn plan(&mut self, root: &Root) -> BTreeMap<RelPath, Job> {
        let files = self.survey.files();
        let gone: Vec<RelPath> = self.held.keys().filter(|path| !files.contains_key(*path)).cloned().collect();
        for path in gone {
            self.held.remove(&path);
            self.dirty.insert(path.clone());
            self.unsaved.insert(path);
        }
        self.unreadable.retain(|path, _| files.contains_key(path));
        let epoch = self.watch.is_some().then_some(self.epoch);
        let mut jobs = BTreeMap::new();
        for (path, stamp) in files.iter().filter(|(path, _)| Language::of(path).is_some()) {
            let held = self.held.get(path);
            let same = held.is_some_and(|held| held.stamp == *stamp && (held.settled || held.watched == epoch))
                && !self.touched.contains(path);
            let tried = self.unreadable.get(path).is_some_and(|known| *known == Some(*stamp));
            if stamp.size <= LARGEST && !same && !tried {
                jobs.insert(path.clone(), Job { stamp: *stamp, known: held.map(|held| held.file.clone()) });
            }
        }
        let too_large = files.iter().filter(|(_, stamp)| stamp.size > LARGEST).map(|(path, _)| path);
        for path in too_large {
            if self.held.remove(path).is_some() {
                self.dirty.insert(path.clone());
                self.unsaved.insert(path.clone());
            }
        }
        self.read_config(root);
        self.touched.clear();
        jobs
    }

    fn read_config(&mut self, root: &Root) {
        let wanted =
            self.survey.files().iter().filter(|(path, stamp)| ResolveConfig::wants(path) && stamp.size <= LARGEST);
        let wanted: Vec<(&RelPath, &Stamp)> = wanted.collect();
        let now = SystemTime::now();
        let known = std::mem::take(&mut self.config);
        let touched = &self.touched;
        let config = parallel::filter_map(&wanted, |(path, stamp)| {
            let same = |known: &&Config| known.settled && known.stamp == **stamp && !touched.contains(*path);
            if let Some(known) = known.get(*path).filter(same) {
                return Some(((*path).clone(), known.clone()));
            }
            let text = root.text(path)?;
            let digest = Digest::of(&*text);
            Some(((*path).clone(), Config { stamp: **stamp, settled: stamp.is_settled(now), digest, text }))
        });
        self.config = config.into_iter().collect();
    }

    /// Takes what a run has done.
    fn take(&mut self, run: &Arc<Run>) {
        for (path, reading) in run.take_done() {
            let before = self.held.get(&path);
            let Some(file) = reading.file else {
                self.unreadable.insert(path.clone(), reading.settled.then_some(reading.stamp));
                if self.held.remove(&path).is_some() {
                    self.dirty.insert(path.clone());
                    self.unsaved.insert(path);
                }
                continue;
            };
            self.unreadable.remove(&path);
            if before.is_none_or(|before| !Arc::ptr_eq(&before.file, &file)) {
                self.dirty.insert(path.clone());
            }
            self.unsaved.insert(path.clone());
            let watched = self.watch.is_some().then_some(self.epoch);
            self.held.insert(path, Held { stamp: reading.stamp, settled: reading.settled, watched, file });
        }
        if run.is_over() && self.run.as_ref().is_some_and(|own| Arc::ptr_eq(own, run)) {
            self.run = None;
        }
    }

    /// Takes the open documents of a snapshot in place of those of the last one.
    fn take_documents(&mut self, snapshot: &Snapshot) {
        let mut known = std::mem::take(&mut self.buffers);
        let files: BTreeMap<RelPath, Arc<Indexed>> =
            known.iter().map(|(path, buffer)| (path.clone(), buffer.file.clone())).collect();
        let mut buffers: BTreeMap<RelPath, Buffer> = BTreeMap::new();
        let mut lost = BTreeSet::new();
        self.open_config.clear();
        let exclusions = Exclusions::of(snapshot.root());
        for document in snapshot.documents().iter() {
            let Some(path) = document.path.as_ref().filter(|path| survey::is_wanted(path)) else { continue };
            // An ignored file stays ignored while it is open, so only new files are added, and of those none that a
            // rule would leave out.
            let on_disk = || std::fs::symlink_metadata(snapshot.root().path().join(path)).is_ok();
            if !self.survey.files().contains_key(path) && (on_disk() || exclusions.hold(path)) {
                continue;
            }
            let text = snapshot.documents().text(path).filter(|text| text.len() as u64 <= LARGEST);
            if ResolveConfig::wants(path) {
                self.open_config.insert(path.clone(), text.map(|text| (Digest::of(&*text), text)));
                continue;
            }
            match text {
                Some(text) => drop(buffers.insert(path.clone(), self.buffer(path, text, known.remove(path)))),
                None => drop(lost.insert(path.clone())),
            }
        }
        let same = |path: &RelPath| match (files.get(path), buffers.get(path)) {
            (Some(before), Some(now)) => Arc::ptr_eq(before, &now.file),
            (None, None) => self.lost.contains(path) == lost.contains(path),
            _ => false,
        };
        let touched = files.keys().chain(buffers.keys()).chain(&self.lost).chain(&lost);
        let changed: Vec<RelPath> = touched.filter(|path| !same(path)).cloned().collect();
        self.dirty.extend(changed);
        (self.buffers, self.lost) = (buffers, lost);
    }

    fn buffer(&self, path: &RelPath, text: Arc<str>, known: Option<Buffer>) -> Buffer {
        if let Some(known) = known {
            if Arc::ptr_eq(&known.text, &text) || known.text == text {
                return Buffer { text, ..known };
            }
            // What it was before the first edit is what an unfinished edit is understood by.
            let mut live = known.live.unwrap_or_else(|| LiveFile::new(path.clone(), known.text));
            let file = live.update(text.clone()).clone();
            return Buffer { text, file, live: Some(live) };
        }
        let digest = Digest::of(&*text);
        if let Some(held) = self.held.get(path).filter(|held| *held.file.digest() == digest) {
            return Buffer { text, file: held.file.clone(), live: None };
        }
        let live = LiveFile::new(path.clone(), text.clone());
        Buffer { text, file: live.indexed().clone(), live: Some(live) }
    }

    /// The file as the graph shall show it.
    fn file(&self, path: &RelPath) -> Option<&Arc<Indexed>> {
        if self.lost.contains(path) {
            return None;
        }
        self.buffers.get(path).map(|buffer| &buffer.file).or_else(|| self.held.get(path).map(|held| &held.file))
    }

    fn unread(&self) -> Vec<RelPath> {
        let code = self.survey.files().keys().chain(&self.lost).filter(|path| Language::of(path).is_some());
        let unread: BTreeSet<&RelPath> = code.filter(|path| self.file(path).is_none()).collect();
        unread.into_iter().cloned().collect()
    }

    /// Brings the shown graph up to what is known; whether it changed.
    fn show(&mut self) -> bool {
        let config = self.config_in_force();
        let digests: BTreeMap<RelPath, Digest> =
            config.iter().map(|(path, (digest, _))| (path.clone(), *digest)).collect();
        let same_config = self.shown.ready && digests == self.shown.config;
        let dirty = std::mem::take(&mut self.dirty);
        if same_config && dirty.is_empty() {
            return false;
        }
        let before = self.shown.graph.clone();
        if same_config && dirty.len() <= MOST_ONE_BY_ONE {
            for path in &dirty {
                self.shown.graph = self.shown.graph.with_file(path, self.file(path).cloned());
            }
            let moved = |path: &RelPath| before.contains(path) != self.shown.graph.contains(path) || declares(path);
            if dirty.iter().any(moved) {
                self.shown.world = self.world(&digests);
            }
        } else {
            self.shown.world = self.world(&digests);
            self.build(&config);
        }
        self.note_moved_edges(&before, &dirty);
        (self.shown.config, self.shown.ready) = (digests, true);
        true
    }

    fn build(&mut self, config: &BTreeMap<RelPath, (Digest, Arc<str>)>) {
        let paths = self.held.keys().chain(self.buffers.keys());
        let files = paths.filter_map(|path| Some((path.clone(), self.file(path)?.clone()))).collect();
        let config = self.resolver(config);
        // They are of the first graph only: what comes later has its own.
        let (world, mut edges) = std::mem::take(&mut self.stored);
        if self.shown.world.is_none() || world != self.shown.world {
            edges.clear();
        }
        edges.retain(|path, _| !self.unsaved.contains(path) && !self.buffers.contains_key(path));
        self.shown.graph = Graph::restore(files, config, edges);
    }

    fn resolver(&mut self, config: &BTreeMap<RelPath, (Digest, Arc<str>)>) -> Arc<ResolveConfig> {
        let digests = config.iter().map(|(path, (digest, _))| (path.clone(), *digest)).collect();
        if self.resolver.as_ref().is_none_or(|(of, _)| *of != digests) {
            let texts = config.iter().map(|(path, (_, text))| (path.clone(), text.clone())).collect();
            self.resolver = Some((digests, Arc::new(ResolveConfig::from_files(&texts))));
        }
        self.resolver.as_ref().map(|(_, resolver)| resolver.clone()).unwrap_or_default()
    }

    /// Rows whose edges lead elsewhere now have to be stored again.
    fn note_moved_edges(&mut self, before: &Graph, dirty: &BTreeSet<RelPath>) {
        self.unsaved.extend(dirty.iter().filter(|path| self.held.contains_key(*path)).cloned());
        if !self.shown.ready && self.unsaved.is_empty() && self.shown.graph.files().len() == self.held.len() {
            return;
        }
        let now = &self.shown.graph;
        let moved = self.held.keys().filter(|path| before.resolved(path) != now.resolved(path));
        self.unsaved.extend(moved.cloned());
    }

    /// The texts that decide how specifiers resolve, open documents included.
    fn config_in_force(&self) -> BTreeMap<RelPath, (Digest, Arc<str>)> {
        let on_disk = self.config.iter().map(|(path, config)| (path.clone(), (config.digest, config.text.clone())));
        let mut config: BTreeMap<RelPath, (Digest, Arc<str>)> = on_disk.collect();
        for (path, open) in &self.open_config {
            match open {
                Some(open) => drop(config.insert(path.clone(), open.clone())),
                None => drop(config.remove(path)),
            }
        }
        config
    }

    /// What the edges of the disk's files hold for; `None` when open documents add or hide files.
    fn world(&self, config: &BTreeMap<RelPath, Digest>) -> Option<Digest> {
        let added = self.buffers.keys().any(|path| !self.held.contains_key(path));
        if added || !self.lost.is_empty() {
            return None;
        }
        let mut text = Vec::new();
        for path in self.held.keys() {
            text.extend(path.as_str().as_bytes());
            text.push(0);
            if let Some(file) = self.file(path).filter(|_| declares(path)) {
                text.extend(file.digest().as_bytes());
            }
        }
        for (path, digest) in config {
            text.push(1);
            text.extend(path.as_str().as_bytes());
            text.extend(digest.as_bytes());
        }
        Some(Digest::of(&text))
    }
}

/// Whether what the file says may decide where imports of other files lead: `declare module "x"`.
fn declares(path: &RelPath) -> bool {
    path.file_name().contains(".d.")
}

#[cfg(test)]
mod tests;
