//! The thread that keeps an index up to date while an editor is open: it reads everything once, at low priority, then
//! sleeps until the disk changes. Bursts (a branch switch, a pull) are taken as one. Nobody needs it for a right answer.

use super::{Index, Run, Until, parallel};
use crate::base::Snapshot;
use crate::documents::Documents;
use crate::workspace::Root;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How long the disk has to be quiet.
const QUIET: Duration = Duration::from_millis(60);
/// A burst that goes on for longer is taken in parts; so is what happens while Git holds its lock.
const LONGEST: Duration = Duration::from_secs(5);
/// As `nice` does: the person's own work goes first.
const NICE: i32 = 10;

/// Reading fewer files is over before anybody could look at how far it is.
const LONG: usize = 500;

/// The background's readings of many files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Long {
    /// How many have begun or were taken up again after a pause.
    pub begun: u64,
    /// The last of them goes on.
    pub reading: bool,
}

/// Starts the thread. It ends with the index.
pub(super) fn start(index: &Arc<Index>, root: Arc<Root>, documents: Arc<Documents>) {
    index.kept.store(true, Ordering::Relaxed);
    index.watch();
    let weak = Arc::downgrade(index);
    let spawned = std::thread::Builder::new().name("krins-index".into()).spawn(move || {
        // Refused where there are no priorities; then it works like any other.
        let _ = rustix::process::setpriority_process(None, NICE);
        keep(&weak, &root, &documents);
        if let Some(index) = weak.upgrade() {
            index.kept.store(false, Ordering::Relaxed);
        }
    });
    if let Err(error) = spawned {
        tracing::warn!(%error, "no thread could be started for the index: it is read when it is needed");
        index.kept.store(false, Ordering::Relaxed);
    }
}

fn keep(weak: &Weak<Index>, root: &Arc<Root>, documents: &Documents) {
    loop {
        let Some(index) = weak.upgrade() else { return };
        let snapshot = Snapshot::take(root, documents);
        if !index.work_on(&snapshot) {
            drop(index);
            continue;
        }
        // Without a watch, what changes is found when somebody asks.
        let Some(watch) = index.watch_now() else { return };
        drop(index);
        watch.wait();
        let give_up = Instant::now() + LONGEST;
        while Instant::now() < give_up {
            let before = watch.pending();
            std::thread::sleep(QUIET);
            if watch.pending() == before && !git_is_at_work(root.path()) {
                break;
            }
        }
    }
}

/// Git holds this while it writes the work tree.
fn git_is_at_work(root: &Path) -> bool {
    std::fs::symlink_metadata(root.join(".git/index.lock")).is_ok()
}

impl Index {
    /// Keeps the index up to date from now on, in the background.
    pub fn keep_fresh(self: &Arc<Self>, root: &Arc<Root>, documents: &Arc<Documents>) {
        start(self, root.clone(), documents.clone());
    }

    /// Holds the background work, or lets it go on. Questions are answered all the same, and read what they need.
    pub fn pause(&self, pause: bool) {
        self.paused.store(pause, Ordering::Relaxed);
        // Taken, so that nobody is between its look at the flag and its wait.
        drop(self.lock());
        self.resumed.notify_all();
    }

    /// Whether a thread keeps it fresh.
    pub fn is_kept(&self) -> bool {
        self.kept.load(Ordering::Relaxed)
    }

    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// Tells when many files begin to be read in the background, and when that ends or is paused.
    pub fn long_readings(&self) -> tokio::sync::watch::Receiver<Long> {
        self.long.subscribe()
    }

    /// One round of the background's work; false when it was interrupted by a pause.
    fn work_on(&self, snapshot: &Snapshot) -> bool {
        {
            let state = self.lock();
            let resumed = self.resumed.wait_while(state, |_| self.is_paused());
            drop(resumed.unwrap_or_else(PoisonError::into_inner));
        }
        match self.join(snapshot.root()) {
            Err(mut state) => drop(self.finish(&mut state, snapshot)),
            Ok((run, _)) => {
                let long = run.progress().1 >= LONG;
                if long {
                    self.long.send_modify(|long| *long = Long { begun: long.begun + 1, reading: true });
                }
                let over = self.read_all(&run, snapshot);
                if long {
                    self.long.send_modify(|long| long.reading = false);
                }
                if !over {
                    return false;
                }
            }
        }
        self.save();
        true
    }

    /// Whether the run came to its end.
    fn read_all(&self, run: &Arc<Run>, snapshot: &Snapshot) -> bool {
        run.help(snapshot.root(), &self.store, parallel::workers(), Until::Paused(&self.paused));
        let mut state = self.lock();
        state.take(run);
        let over = run.is_over();
        if over && state.run.is_none() {
            drop(self.finish(&mut state, snapshot));
        }
        over
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        // The thread holds nothing but a weak reference while it waits.
        if let Some(watch) = self.watch_now() {
            watch.wake();
        }
    }
}
