//! An answer before everything is read: the file that the person is in, what it imports, the files whose names or texts
//! hold the task's words, then whatever there is time for.

use super::survey::file_stamp;
use super::{Index, LARGEST, Partial, Run, State, Until, View, parallel};
use crate::base::Snapshot;
use crate::workspace::Root;
use krins_core::graph::{Graph, Resolver};
use krins_core::syntax::Language;
use krins_core::{Entry, RelPath, Tree as _};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// So few files are read at once.
const FEW: usize = 64;
/// Files whose names or texts hold a word.
const MOST_HITS: usize = 256;
/// Words that are looked for; the longest say the most.
const MOST_WORDS: usize = 8;
/// Shorter words are in every text.
const SHORTEST_WORD: usize = 4;

/// What a question is about.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish<'a> {
    pub focus: Option<&'a RelPath>,
    pub words: &'a str,
}

impl Index {
    /// The graph for a question that cannot wait long: what is known after `limit` where a thread keeps reading, else
    /// everything.
    pub fn answer(&self, snapshot: &Snapshot, wish: &Wish<'_>, limit: Duration) -> View {
        if self.is_kept() { self.soon(snapshot, wish, limit) } else { self.view(snapshot) }
    }

    /// The graph after at most about `limit`: complete if it is, else of what matters most for the wish, and
    /// marked as partial. No file in it is stale.
    pub fn soon(&self, snapshot: &Snapshot, wish: &Wish<'_>, limit: Duration) -> View {
        let root = snapshot.root();
        let run = match self.join(root) {
            Err(state) => return self.conclude(state, snapshot),
            Ok((run, _)) if run.waiting().len() > FEW => run,
            // Which looks again: what another began may be older than this question.
            Ok(_) => return self.view(snapshot),
        };
        // From here on: before anything can be read, it has to be known what there is.
        let deadline = Instant::now() + limit;
        let step = |part: u32| Until::Deadline((Instant::now() + limit * part / 10).min(deadline));
        self.help_first(&run, root, wish.focus.cloned().into_iter().collect(), step(5));
        let near = self.near(snapshot, wish);
        self.help_first(&run, root, near, step(3));
        let hits = holding(root, run.waiting(), &words(wish.words), Instant::now() + limit * 2 / 10);
        self.help_first(&run, root, hits, Until::Deadline(deadline));
        run.help(root, &self.store, parallel::workers(), Until::Deadline(deadline));
        let mut state = self.lock();
        state.take(&run);
        if run.is_over() {
            drop(state);
            return self.view(snapshot);
        }
        // What waits for its reading may have changed; in a first run it is not there.
        let waiting: BTreeSet<RelPath> = run.waiting().into_iter().collect();
        state.partial(snapshot, &waiting)
    }

    /// Reads these before all others; returns when they are read, or it is time.
    fn help_first(&self, run: &Run, root: &Root, paths: Vec<RelPath>, until: Until<'_>) {
        run.want(paths.into_iter());
        run.help_first(root, &self.store, parallel::workers(), until);
    }

    /// What the focus imports, its directory, open documents, and files whose paths hold a word.
    fn near(&self, snapshot: &Snapshot, wish: &Wish<'_>) -> Vec<RelPath> {
        let mut state = self.lock();
        if let Some(run) = state.run.clone() {
            state.take(&run);
        }
        let mut near = Vec::new();
        let config = state.config_in_force();
        let resolver = state.resolver(&config);
        if let Some((focus, held)) = wish.focus.and_then(|focus| Some((focus, state.held.get(focus)?))) {
            let resolver = Resolver::new(resolver, state.survey.files().keys());
            let facts = held.file.facts();
            near.extend(facts.imports.iter().filter_map(|import| resolver.resolve(focus, &import.specifier)));
        }
        near.extend(snapshot.documents().iter().filter_map(|document| document.path.clone()));
        let words: Vec<String> = words(wish.words).iter().map(|word| word.to_lowercase()).collect();
        let hits = |path: &RelPath| {
            let path = path.as_str().to_lowercase();
            words.iter().filter(|word| path.contains(*word)).count()
        };
        let mut named: Vec<(usize, &RelPath)> =
            state.survey.files().keys().map(|path| (hits(path), path)).filter(|(hits, _)| *hits > 0).collect();
        named.sort_by_key(|(hits, path)| (std::cmp::Reverse(*hits), *path));
        near.extend(named.into_iter().take(MOST_HITS).map(|(_, path)| path.clone()));
        if let Some(focus) = wish.focus {
            near.extend(state.survey.files().keys().filter(|path| path.dir() == focus.dir()).take(FEW).cloned());
        }
        near
    }
}

impl State {
    /// How many files of code there are to be read.
    fn readable(&self) -> usize {
        let on_disk = self.survey.files().iter().filter(|(path, stamp)| {
            stamp.size <= LARGEST && Language::of(path).is_some() && !self.unreadable.contains_key(*path)
        });
        let new = self.buffers.keys().filter(|path| !self.survey.files().contains_key(*path));
        on_disk.count() + new.count()
    }

    /// A graph of what is known, without what may have changed. It is not kept.
    fn partial(&mut self, snapshot: &Snapshot, waiting: &BTreeSet<RelPath>) -> View {
        self.take_documents(snapshot);
        let config = self.config_in_force();
        let resolver = self.resolver(&config);
        let paths = self.held.keys().chain(self.buffers.keys());
        let read: Vec<&RelPath> =
            paths.filter(|path| !waiting.contains(*path) || self.buffers.contains_key(*path)).collect();
        // A run that was begun before this question may have read what changed since.
        let root = snapshot.root().path();
        let as_read = |path: &RelPath| {
            let now = file_stamp(&root.join(path));
            self.held.get(path).is_some_and(|held| now == Some(held.stamp))
        };
        let files = parallel::filter_map(&read, |path| {
            let fresh = self.buffers.contains_key(*path) || as_read(path);
            fresh.then(|| Some(((*path).clone(), self.file(path)?.clone()))).flatten()
        });
        let files: BTreeMap<_, _> = files.into_iter().collect();
        let partial = Some(Partial { read: files.len(), total: self.readable().max(files.len()) });
        View { graph: Graph::build(files, resolver), unread: self.unread(), partial }
    }
}

/// The words of a task that may be names, the longest first.
fn words(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '$');
    let mut words: Vec<&str> = words.filter(|word| word.len() >= SHORTEST_WORD).collect();
    words.sort_by_key(|word| (std::cmp::Reverse(word.len()), *word));
    words.dedup();
    words.truncate(MOST_WORDS);
    words
}

/// Those of the files whose texts hold a word, those with most first, as far as there is time to look.
fn holding(root: &Arc<Root>, paths: Vec<RelPath>, words: &[&str], deadline: Instant) -> Vec<RelPath> {
    let finders: Vec<memchr::memmem::Finder<'_>> = words.iter().map(memchr::memmem::Finder::new).collect();
    if finders.is_empty() {
        return Vec::new();
    }
    let mut found = parallel::filter_map(&paths, |path| {
        if Instant::now() >= deadline {
            return None;
        }
        let Entry::File { bytes, .. } = root.entry(path) else { return None };
        let hits = finders.iter().filter(|finder| finder.find(&bytes).is_some()).count();
        (hits > 0).then(|| (std::cmp::Reverse(hits), path.clone()))
    });
    found.sort();
    found.truncate(MOST_HITS);
    found.into_iter().map(|(_, path)| path).collect()
}
