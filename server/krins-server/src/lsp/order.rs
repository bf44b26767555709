//! Changes of documents in the order in which they were made, for clients that send them in another.
//!
//! Helix up to 25.01 sends each notification by a task of its own, so that what is typed quickly arrives shuffled. Its versions go up by
//! one, which tells the order: a change that comes too early is held until those before it are there.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is shuffled arrives within milliseconds; a change that has not come by then is lost.
const LOST: Duration = Duration::from_secs(10);
/// The most changes of one document that are held.
const HELD: usize = 4096;

/// By document. `T` is a change.
#[derive(Debug)]
pub struct Order<T> {
    documents: Mutex<BTreeMap<String, Line<T>>>,
}

#[derive(Debug)]
struct Line<T> {
    /// The version that comes next; `None` before the document is opened.
    next: Option<i32>,
    held: BTreeMap<i32, T>,
    /// When the oldest of those held came.
    since: Instant,
    /// It was saved while changes were missing.
    saved: bool,
    /// It was closed: what still comes belongs to nothing.
    closed: bool,
}

/// What can be done now.
#[derive(Debug, PartialEq, Eq)]
pub struct Ready<T> {
    pub changes: Vec<T>,
    /// A save that waited for these changes.
    pub saved: bool,
    /// A change is lost: what the document holds is not known.
    pub lost: bool,
}

impl<T> Ready<T> {
    fn nothing() -> Self {
        Self { changes: Vec::new(), saved: false, lost: false }
    }
}

impl<T> Default for Order<T> {
    fn default() -> Self {
        Self { documents: Mutex::default() }
    }
}

impl<T> Order<T> {
    /// A document was opened at a version; changes that came before that are ready.
    pub fn open(&self, uri: &str, version: i32) -> Ready<T> {
        let mut documents = self.lock();
        let line = documents.entry(uri.to_owned()).or_insert_with(Line::new);
        line.closed = false;
        line.next = Some(version.saturating_add(1));
        line.held = line.held.split_off(&version.saturating_add(1));
        line.take()
    }

    /// A change came that leads to a version.
    pub fn change(&self, uri: &str, version: i32, change: T) -> Ready<T> {
        let mut documents = self.lock();
        let line = documents.entry(uri.to_owned()).or_insert_with(Line::new);
        if line.closed {
            return Ready::nothing();
        }
        if line.held.is_empty() {
            line.since = Instant::now();
        }
        if line.next.is_some_and(|next| version < next) {
            // Made before what is there: it cannot be put back in its place.
            return Ready { lost: true, ..Ready::nothing() };
        }
        line.held.insert(version, change);
        if line.held.len() > HELD
            || line.since.elapsed() > LOST && line.next.is_none_or(|next| !line.held.contains_key(&next))
        {
            line.next = line.held.keys().next_back().map(|last| last.saturating_add(1));
            line.held.clear();
            return Ready { lost: true, ..Ready::nothing() };
        }
        line.take()
    }

    /// A document was saved; false when changes of it are missing, which will tell.
    pub fn save(&self, uri: &str) -> bool {
        match self.lock().get_mut(uri) {
            Some(line) if !line.held.is_empty() => {
                line.saved = true;
                false
            }
            _ => true,
        }
    }

    pub fn close(&self, uri: &str) {
        if let Some(line) = self.lock().get_mut(uri) {
            *line = Line { closed: true, ..Line::new() };
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Line<T>>> {
        self.documents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Line<T> {
    fn new() -> Self {
        Self { next: None, held: BTreeMap::new(), since: Instant::now(), saved: false, closed: false }
    }

    /// Takes what follows without a gap.
    fn take(&mut self) -> Ready<T> {
        let mut changes = Vec::new();
        while let Some(change) = self.next.and_then(|next| self.held.remove(&next)) {
            changes.push(change);
            self.next = self.next.map(|next| next.saturating_add(1));
        }
        if !changes.is_empty() {
            self.since = Instant::now();
        }
        let saved = self.held.is_empty() && mem::take(&mut self.saved);
        Ready { changes, saved, lost: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_order_they_come_in_they_leave_in_their_own(
            mut versions in Just((1..40).collect::<Vec<i32>>()).prop_shuffle(),
            opened in 0..40_usize,
        ) {
            let order = Order::default();
            // The opening itself may be overtaken.
            versions.insert(opened.min(versions.len()), 0);
            let mut taken = Vec::new();
            for version in versions {
                let ready = if version == 0 { order.open("a", 0) } else { order.change("a", version, version) };
                prop_assert!(!ready.lost);
                taken.extend(ready.changes);
            }
            prop_assert_eq!(taken, (1..40).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_save_waits_for_the_changes_before_it() {
        let order = Order::default();
        order.open("a", 0);
        assert!(order.save("a"));
        assert_eq!(order.change("a", 2, 2), Ready::nothing());
        assert!(!order.save("a"));
        assert_eq!(order.change("a", 1, 1), Ready { changes: vec![1, 2], saved: true, lost: false });
        assert!(order.save("a"));
    }

    #[test]
    fn what_comes_after_its_time_is_lost_and_documents_are_apart() {
        let order = Order::default();
        order.open("a", 5);
        order.open("b", 0);
        assert!(order.change("a", 5, 5).lost);
        assert_eq!(order.change("b", 1, 1).changes, [1]);
        order.close("a");
        assert_eq!(order.change("a", 1, 7), Ready::nothing(), "late, of what was closed");
        order.open("a", 0);
        assert_eq!(order.change("a", 1, 1).changes, [1]);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let order = Order::default();
        order.open("a", 0);
        let lost = (2..).take(HELD + 1).map(|version| order.change("a", version, version)).filter(|ready| ready.lost);
        assert_eq!(lost.count(), 1);
        assert_eq!(order.change("a", HELD as i32 + 3, 0).changes, [0], "it goes on behind the gap");
    }
}
