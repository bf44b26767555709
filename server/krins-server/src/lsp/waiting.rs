//! What waits for a person's word: which change is shown, which of its hunks, and where they are now.

use crate::lsp::session::Session;
use crate::words::counted;
use krins_core::patch::{FilePatch, Hunk};
use krins_engine::Engine;
use krins_engine::engine::Review;
use krins_engine::tasks::{HunkVerdict, Task, TaskState};
use std::collections::BTreeSet;

/// The change that is shown. A task that failed or was cancelled, or whose change was thrown away, hides none that waits; one
/// that was applied closes what is older.
pub fn open_review(engine: &Engine) -> Option<Review> {
    let newest = engine.tasks().newest(|task| came_to_a_change(task) && !task.state.is_running())?;
    is_open(&newest).then(|| engine.review(Some(&newest.id)).ok()).flatten()
}

/// The task that a command without one is about: the change that is shown, in whichever root is the newest. `None` while a newer
/// one is at work, which then is the one that is meant.
pub fn meant(session: &Session) -> Option<Task> {
    let newest = |engine: &Engine| engine.tasks().newest(came_to_a_change);
    let newest =
        session.engines_here().iter().filter_map(newest).max_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
    newest.filter(is_open)
}

/// Or may still come to one.
fn came_to_a_change(task: &Task) -> bool {
    !matches!(task.state, TaskState::Failed | TaskState::Cancelled | TaskState::Discarded)
}

fn is_open(task: &Task) -> bool {
    match task.state {
        TaskState::Ready | TaskState::Blocked => true,
        TaskState::Applied => task.left_open().next().is_some(),
        _ => false,
    }
}

/// A hunk that waits.
pub struct Waiting<'a> {
    pub file: &'a FilePatch,
    pub hunk: &'a Hunk,
    pub verdict: HunkVerdict,
    pub edited: bool,
    /// Lines that the hunks before it in its file, which are applied, have brought more than they took.
    shift: i64,
}

impl Waiting<'_> {
    /// The lines that it changes, half-open, as the file is once the other hunks are what they are.
    pub fn changes(&self) -> [u32; 2] {
        changed(self.hunk).map(|line| self.moved(line))
    }

    /// Whether the lines from `first` to `last` touch it, context included.
    pub fn touches(&self, [first, last]: [u32; 2]) -> bool {
        let [from, end] = self.hunk.before.map(|line| self.moved(line));
        from <= last && first < end.max(from + 1)
    }

    pub fn is_rejected(&self) -> bool {
        self.verdict == HunkVerdict::Reject
    }

    /// Its name, and what was said of it.
    pub fn label(&self) -> String {
        let said = match (self.verdict, self.edited) {
            (HunkVerdict::Reject, _) => ", rejected",
            (_, true) => ", with your own text",
            (HunkVerdict::Accept, _) => ", accepted",
            (HunkVerdict::Open, _) => "",
        };
        format!("{}{said}", self.hunk.id)
    }

    fn moved(&self, line: u32) -> u32 {
        u32::try_from((i64::from(line) + self.shift).max(0)).unwrap_or(u32::MAX)
    }
}

/// The hunks of the change that is shown, in its order: all of them, or those that an apply of some left out.
pub fn hunks(review: &Review) -> Vec<Waiting<'_>> {
    let task = &review.task;
    let mut waiting = Vec::new();
    for file in review.patch.files() {
        let mut shift = 0;
        for hunk in &file.hunks {
            if task.state == TaskState::Applied && !task.left.contains(&hunk.id) {
                let lines = |[first, end]: [u32; 2]| i64::from(end) - i64::from(first);
                shift += lines(hunk.after) - lines(hunk.before);
                continue;
            }
            let verdict = task.verdicts.get(&hunk.id).copied().unwrap_or_default();
            waiting.push(Waiting { file, hunk, verdict, edited: task.edits.contains_key(&hunk.id), shift });
        }
    }
    waiting
}

/// "3 hunks in 2 files".
pub fn size<'a>(hunks: impl Iterator<Item = &'a Waiting<'a>>) -> String {
    let mut files = BTreeSet::new();
    let mut count = 0;
    for one in hunks {
        files.insert(&one.file.path);
        count += 1;
    }
    format!("{} in {}", counted(count, "hunk"), counted(files.len(), "file"))
}

/// The lines of the base, half-open, that a hunk itself changes: its context stays. Where it only inserts, the line it stands before.
pub fn changed(hunk: &Hunk) -> [u32; 2] {
    let mut at = hunk.before[0];
    let mut found: Option<[u32; 2]> = None;
    for line in &hunk.lines {
        let removed = u32::from(line.starts_with('-'));
        if removed == 1 || line.starts_with('+') {
            let first = found.map_or(at, |[first, _]| first);
            found = Some([first, at + removed]);
        }
        at += removed + u32::from(line.starts_with(' '));
    }
    found.unwrap_or(hunk.before)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hunk(lines: &[&str]) -> Hunk {
        Hunk {
            id: "h1".into(),
            header: String::new(),
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
            before: [10, 14],
            after: [10, 14],
        }
    }

    #[test]
    fn what_a_hunk_changes_is_without_its_context() {
        assert_eq!(changed(&hunk(&[" a", "-b", "+B", " c", " d"])), [11, 12]);
        assert_eq!(changed(&hunk(&[" a", "-b", "+B", " c", "-d", "+D"])), [11, 14]);
        assert_eq!(changed(&hunk(&[" a", " b", "+new", " c", " d"])), [12, 12]);
        assert_eq!(changed(&hunk(&["+new"])), [10, 10]);
        assert_eq!(changed(&hunk(&[])), [10, 14]);
    }
}
