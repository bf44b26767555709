//! Reading and analysing many files: a queue that any number of threads empty together, what is asked for first.

use super::stamp::Stamp;
use super::store::Store;
use crate::workspace::Root;
use krins_core::graph::Indexed;
use krins_core::{Digest, Entry, RelPath, Tree as _};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

/// A file to be read.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// As it looked before it is read.
    pub stamp: Stamp,
    /// What is known of it; still true when the text is the same.
    pub known: Option<Arc<Indexed>>,
}

/// What came of reading a file.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub stamp: Stamp,
    /// A later write would show in the stamp.
    pub settled: bool,
    /// `None` when it is gone, unreadable or no text.
    pub file: Option<Arc<Indexed>>,
}

#[derive(Default)]
struct Queue {
    jobs: BTreeMap<RelPath, Job>,
    /// Taken before the others, in this order; a path may be done already.
    first: VecDeque<RelPath>,
    working: usize,
    done: Vec<(RelPath, Reading)>,
}

/// One pass over files that are new or changed.
pub(super) struct Run {
    total: usize,
    queue: Mutex<Queue>,
    /// A job is done.
    ticked: Condvar,
}

/// When a thread leaves a run that is not empty.
#[derive(Clone, Copy)]
pub(super) enum Until<'a> {
    Empty,
    Deadline(Instant),
    /// Somebody says so.
    Paused(&'a AtomicBool),
}

impl Until<'_> {
    fn is_reached(&self) -> bool {
        match self {
            Self::Empty => false,
            Self::Deadline(at) => Instant::now() >= *at,
            Self::Paused(paused) => paused.load(Ordering::Relaxed),
        }
    }
}

impl Run {
    pub fn new(jobs: BTreeMap<RelPath, Job>) -> Self {
        Self { total: jobs.len(), queue: Mutex::new(Queue { jobs, ..Queue::default() }), ticked: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// (done, of how many).
    pub fn progress(&self) -> (usize, usize) {
        let queue = self.lock();
        (self.total - queue.jobs.len() - queue.working, self.total)
    }

    /// Puts paths before all others, the first of them first.
    pub fn want(&self, paths: impl DoubleEndedIterator<Item = RelPath>) {
        let mut queue = self.lock();
        for path in paths.rev() {
            if queue.jobs.contains_key(&path) {
                queue.first.push_front(path);
            }
        }
    }

    /// The paths nobody has taken yet.
    pub fn waiting(&self) -> Vec<RelPath> {
        self.lock().jobs.keys().cloned().collect()
    }

    pub fn is_over(&self) -> bool {
        let queue = self.lock();
        queue.working == 0 && queue.jobs.is_empty()
    }

    /// What was done since the last call.
    pub fn take_done(&self) -> Vec<(RelPath, Reading)> {
        std::mem::take(&mut self.lock().done)
    }

    /// Works with `threads` threads, this one among them, and returns when nothing is left, also with nobody else.
    pub fn help(&self, root: &Root, store: &Store, threads: usize, until: Until<'_>) {
        let few = self.lock().jobs.len() / 4;
        std::thread::scope(|scope| {
            for _ in 1..threads.min(few.max(1)) {
                scope.spawn(|| self.work(root, store, until));
            }
            self.work(root, store, until);
        });
        let mut queue = self.lock();
        while queue.working > 0 {
            queue = match until {
                Until::Empty | Until::Paused(_) => self.ticked.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Until::Deadline(at) => {
                    let left = at.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return;
                    }
                    self.ticked.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Works until what was wanted is taken; what others took of it may be at work still.
    pub fn help_first(&self, root: &Root, store: &Store, threads: usize, until: Until<'_>) {
        let few = self.lock().first.len() / 4;
        let work = || self.work_while(root, store, || !until.is_reached() && !self.lock().first.is_empty());
        std::thread::scope(|scope| {
            for _ in 1..threads.min(few.max(1)) {
                scope.spawn(work);
            }
            work();
        });
    }

    fn work(&self, root: &Root, store: &Store, until: Until<'_>) {
        self.work_while(root, store, || !until.is_reached());
    }

    fn work_while(&self, root: &Root, store: &Store, go_on: impl Fn() -> bool) {
        while go_on()
            && let Some((path, job)) = self.next()
        {
            let reading = guarded(root, store, &path, &job);
            let mut queue = self.lock();
            queue.working -= 1;
            queue.done.push((path, reading));
            drop(queue);
            self.ticked.notify_all();
        }
    }

    fn next(&self) -> Option<(RelPath, Job)> {
        let mut queue = self.lock();
        let mut next = None;
        while next.is_none()
            && let Some(path) = queue.first.pop_front()
        {
            next = queue.jobs.remove_entry(&path);
        }
        let next = next.or_else(|| queue.jobs.pop_first())?;
        queue.working += 1;
        Some(next)
    }
}

/// A text that the analysis cannot take is one file less, not one index.
fn guarded(root: &Root, store: &Store, path: &RelPath, job: &Job) -> Reading {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| read(root, store, path, job))).unwrap_or_else(|_| {
        tracing::error!(%path, "the file could not be analysed: Krins has a defect here");
        Reading { stamp: job.stamp, settled: true, file: None }
    })
}

fn read(root: &Root, store: &Store, path: &RelPath, job: &Job) -> Reading {
    let settled = job.stamp.is_settled(SystemTime::now());
    let file = match root.entry(path) {
        Entry::File { bytes, .. } => std::str::from_utf8(&bytes).ok().map(|text| made_of(store, path, text, job)),
        Entry::Missing | Entry::Refused(_) => None,
    };
    Reading { stamp: job.stamp, settled, file }
}

fn made_of(store: &Store, path: &RelPath, text: &str, job: &Job) -> Arc<Indexed> {
    let digest = Digest::of(text);
    match &job.known {
        Some(known) if *known.digest() == digest => known.clone(),
        _ => Arc::new(store.content(path, digest).unwrap_or_else(|| Indexed::of(path, text))),
    }
}
