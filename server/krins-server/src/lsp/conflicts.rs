//! The places in which the last apply found that the files had gone on. They are shown until the change is applied or thrown
//! away; nothing of them is kept, because the next apply finds them again.

use krins_protocol::lsp::ConflictReport;
use std::sync::Arc;
use tokio::sync::watch;

/// More places than a person goes through by hand.
const MOST: usize = 200;

/// Of one task.
#[derive(Debug, PartialEq, Eq)]
pub struct Conflicts {
    pub task: String,
    pub places: Vec<Place>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    pub uri: String,
    /// Half-open, as the file is now.
    pub lines: [u32; 2],
    /// The hunks that are in the way.
    pub hunks: Vec<String>,
}

/// Those of the last apply of a connection.
pub struct LastConflicts {
    last: watch::Sender<Option<Arc<Conflicts>>>,
}

impl Default for LastConflicts {
    fn default() -> Self {
        Self { last: watch::channel(None).0 }
    }
}

impl LastConflicts {
    /// An apply of the task ended: with these conflicts, or with none.
    pub fn note(&self, task: &str, conflicts: &[ConflictReport]) {
        let place = |found: &ConflictReport| Place {
            uri: found.uri.clone(),
            lines: [found.range.start.line, found.range.end.line],
            hunks: found.hunks.clone(),
        };
        let places: Vec<Place> = conflicts.iter().take(MOST).map(place).collect();
        let now = (!places.is_empty()).then(|| Arc::new(Conflicts { task: task.to_owned(), places }));
        self.last.send_if_modified(|last| {
            // Those of another task are as they were.
            let changed = *last != now && (now.is_some() || last.as_ref().is_some_and(|last| last.task == task));
            if changed {
                *last = now;
            }
            changed
        });
    }

    pub fn of(&self, task: &str) -> Option<Arc<Conflicts>> {
        self.last.borrow().clone().filter(|last| last.task == task)
    }

    pub fn watch(&self) -> watch::Receiver<Option<Arc<Conflicts>>> {
        self.last.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tasks_conflicts_stay_until_it_is_applied() {
        let last = LastConflicts::default();
        let found = ConflictReport {
            uri: "file:///a".into(),
            range: krins_protocol::lsp::Range::default(),
            hunks: vec!["h1".into()],
            ours: String::new(),
            theirs: String::new(),
            base: String::new(),
        };
        last.note("one", &vec![found; MOST + 1]);
        assert_eq!(last.of("one").map(|known| known.places.len()), Some(MOST));
        last.note("two", &[]);
        assert!(last.of("one").is_some() && last.of("two").is_none(), "another task's end is not its");
        last.note("one", &[]);
        assert!(last.of("one").is_none());
    }
}
