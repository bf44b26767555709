//! The code graph of a root, kept fresh: what the files are is compared by size and time, what an open document says
//! wins over the disk. Facts are made in parallel, once per content.

use crate::base::Snapshot;
use crate::workspace::Walked;
use krins_core::graph::{Graph, Indexed, ResolveConfig, Stats};
use krins_core::syntax::Language;
use krins_core::{Digest, RelPath, Tree as _};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Threads that read and parse; an editor needs the rest of the machine.
const WORKERS: usize = 2;
/// Larger files are data or generated; they are listed but not parsed.
const LARGEST: u64 = 2 << 20;
/// The coarsest file times in use (FAT counts in 2 s).
const GRANULARITY: Duration = Duration::from_secs(2);

/// What tells that a file on disk is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    size: u64,
    modified: Option<SystemTime>,
}

#[derive(Clone)]
enum Content {
    /// `settled` says that the stamp was old enough when the file was read: a second write within the clock's
    /// granularity would not show.
    Disk {
        stamp: Stamp,
        settled: bool,
    },
    Buffer(Digest),
}

#[derive(Clone)]
struct Entry {
    content: Content,
    file: Arc<Indexed>,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<RelPath, Entry>,
    config: BTreeMap<RelPath, (Digest, Arc<str>)>,
    graph: Graph,
    ready: bool,
    /// Code that is not in the graph: too large to parse, unreadable, or not UTF-8.
    unread: Vec<RelPath>,
}

/// The index of one root.
#[derive(Default)]
pub struct Index {
    /// Locked for as long as a refresh takes.
    state: Mutex<State>,
    /// Of the graph as it was last; to be had while a refresh goes on.
    figures: Mutex<(Stats, bool)>,
}

impl Index {
    /// Brings the graph up to date and gives it. Blocking: call it off the runtime's threads.
    pub fn refresh(&self, snapshot: &Snapshot) -> Graph {
        let files = snapshot.walk().files;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let config = read_config(&files, snapshot);
        let known = std::mem::take(&mut state.entries);
        let code = || files.iter().filter(|file| Language::of(&file.path).is_some());
        let wanted: Vec<&RelPath> = code().filter(|file| file.size <= LARGEST).map(|file| &file.path).collect();
        let stamps: BTreeMap<&RelPath, Stamp> =
            files.iter().map(|file| (&file.path, Stamp { size: file.size, modified: file.modified })).collect();
        let fresh = in_parallel(&wanted, |path| {
            let stamp = *stamps.get(*path)?;
            let entry = entry(path, stamp, known.get(*path), snapshot)?;
            let same = known.get(*path).is_some_and(|old| Arc::ptr_eq(&old.file, &entry.file));
            Some(((*path).clone(), entry, same))
        });
        let unchanged = state.ready
            && fresh.len() == known.len()
            && fresh.iter().all(|(_, _, same)| *same)
            && same_config(&state.config, &config);
        state.entries = fresh.into_iter().map(|(path, entry, _)| (path, entry)).collect();
        state.unread =
            code().map(|file| &file.path).filter(|path| !state.entries.contains_key(*path)).cloned().collect();
        if !unchanged {
            let facts = state.entries.iter().map(|(path, entry)| (path.clone(), entry.file.clone())).collect();
            let texts: BTreeMap<RelPath, Arc<str>> =
                config.iter().map(|(path, (_, text))| (path.clone(), text.clone())).collect();
            state.graph = Graph::build(facts, Arc::new(ResolveConfig::from_files(&texts)));
            state.config = config;
            state.ready = true;
            *self.figures.lock().unwrap_or_else(PoisonError::into_inner) = (state.graph.stats(), true);
        }
        state.graph.clone()
    }

    /// Code that the last refresh could not take into the graph, sorted.
    pub fn unread(&self) -> Vec<RelPath> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).unread.clone()
    }

    /// Figures of the graph as it was built last, and whether it ever was. Never waits for a refresh.
    pub fn stats(&self) -> (Stats, bool) {
        *self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn same_config(old: &BTreeMap<RelPath, (Digest, Arc<str>)>, new: &BTreeMap<RelPath, (Digest, Arc<str>)>) -> bool {
    old.len() == new.len() && old.iter().zip(new).all(|((a, (x, _)), (b, (y, _)))| a == b && x == y)
}

/// The texts that decide how specifiers resolve.
fn read_config(files: &[Walked], snapshot: &Snapshot) -> BTreeMap<RelPath, (Digest, Arc<str>)> {
    let decides = |name: &str| {
        name == "package.json"
            || (name.starts_with("tsconfig") || name.starts_with("jsconfig")) && name.ends_with(".json")
    };
    let mut config = BTreeMap::new();
    for file in files.iter().filter(|file| decides(file.path.file_name()) && file.size <= LARGEST) {
        if let Some(text) = snapshot.text(&file.path) {
            config.insert(file.path.clone(), (Digest::of(&*text), text));
        }
    }
    config
}

fn entry(path: &RelPath, stamp: Stamp, known: Option<&Entry>, snapshot: &Snapshot) -> Option<Entry> {
    if snapshot.documents().path(path).is_some() {
        let text = snapshot.text(path)?;
        let digest = Digest::of(&*text);
        return match known {
            Some(entry @ Entry { content: Content::Buffer(same), .. }) if *same == digest => Some(entry.clone()),
            _ => Some(Entry { content: Content::Buffer(digest), file: Arc::new(Indexed::of(path, &text)) }),
        };
    }
    match known {
        Some(entry @ Entry { content: Content::Disk { stamp: same, settled: true }, .. }) if *same == stamp => {
            Some(entry.clone())
        }
        _ => {
            let settled = stamp.modified.and_then(|at| at.elapsed().ok()).is_some_and(|age| age > GRANULARITY);
            let text = snapshot.text(path)?;
            Some(Entry { content: Content::Disk { stamp, settled }, file: Arc::new(Indexed::of(path, &text)) })
        }
    }
}

/// Maps in order with [`WORKERS`] threads; `None` answers are left out.
fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> Option<R> + Sync) -> Vec<R> {
    if items.len() < 32 {
        return items.iter().filter_map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let run = || {
            let mut done = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(at) else { return done };
                if let Some(answer) = work(item) {
                    done.push((at, answer));
                }
            }
        };
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(run)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, answer)| answer).collect()
}
