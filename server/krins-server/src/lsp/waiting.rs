//! What waits for a person's word: which change is shown, which of its hunks, and where they are now.

use crate::lsp::session::Session;
use crate::words::counted;
use krins_core::patch::{Change, FilePatch, Hunk, Patch};
use krins_core::{Entry, RelPath, Tree as _};
use krins_engine::Engine;
use krins_engine::engine::Review;
use krins_engine::tasks::{HunkVerdict, Task, TaskState};
use std::collections::BTreeSet;
use std::sync::Arc;

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
}

impl Waiting<'_> {
    /// The lines that it changes, half-open.
    pub fn changes(&self, moved: &Moved) -> [u32; 2] {
        moved.lines(changed(self.hunk))
    }

    /// Whether the lines from `first` to `last` touch it, context included.
    pub fn touches(&self, moved: &Moved, [first, last]: [u32; 2]) -> bool {
        let [from, end] = moved.lines(self.hunk.before);
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
}

/// Where the lines of a file's base are in the file as it is now: what was applied and what was typed has moved them.
pub struct Moved(Vec<Hunk>);

impl Moved {
    pub fn of(engine: &Engine, file: &FilePatch) -> Self {
        let (Some(before), Entry::File { bytes: now, .. }) = (&file.before, engine.snapshot().entry(&file.path)) else {
            return Self(Vec::new());
        };
        Self::between(&file.path, before, now)
    }

    fn between(path: &RelPath, before: &Arc<[u8]>, now: Arc<[u8]>) -> Self {
        if *before == now {
            return Self(Vec::new());
        }
        let (path, before) = (path.clone(), Some(before.clone()));
        let since = Patch::between(vec![Change { path, from: None, before, after: Some(now), executable: false }]);
        Self(since.files().iter().flat_map(|file| &file.hunks).cloned().collect())
    }

    /// Half-open lines.
    fn lines(&self, [first, end]: [u32; 2]) -> [u32; 2] {
        let from = self.line(first);
        [from, if end > first { self.line(end - 1) + 1 } else { from }]
    }

    /// Of a line that is gone, where it was.
    fn line(&self, line: u32) -> u32 {
        let mut shift = 0;
        for hunk in self.0.iter().take_while(|hunk| hunk.before[0] <= line) {
            if line < hunk.before[1] {
                return within(hunk, line);
            }
            shift = i64::from(hunk.after[1]) - i64::from(hunk.before[1]);
        }
        u32::try_from((i64::from(line) + shift).max(0)).unwrap_or(u32::MAX)
    }
}

/// Lines that were replaced by others are each where its place among them is.
fn within(hunk: &Hunk, line: u32) -> u32 {
    let (mut at, mut now, mut gone) = (hunk.before[0], hunk.after[0], 0);
    for (index, marked) in hunk.lines.iter().enumerate() {
        let (old, new) = (!marked.starts_with('+'), !marked.starts_with('-'));
        if old && at == line {
            let rest = hunk.lines[index..].iter().skip_while(|marked| marked.starts_with('-'));
            let brought = rest.take_while(|marked| marked.starts_with('+')).count();
            return now + if new { 0 } else { gone.min(brought as u32) };
        }
        gone = if new { 0 } else { gone + 1 };
        at += u32::from(old);
        now += u32::from(new);
    }
    now
}

/// The hunks of the change that is shown, in its order: all of them, or those that an apply of some left out.
pub fn hunks(review: &Review) -> Vec<Waiting<'_>> {
    let task = &review.task;
    let mut waiting = Vec::new();
    for file in review.patch.files() {
        for hunk in file.hunks.iter().filter(|hunk| task.state != TaskState::Applied || task.left.contains(&hunk.id)) {
            let verdict = task.verdicts.get(&hunk.id).copied().unwrap_or_default();
            waiting.push(Waiting { file, hunk, verdict, edited: task.edits.contains_key(&hunk.id) });
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

    proptest::proptest! {
        /// Every line that is still there is where it is, and a line that is gone is between its neighbours.
        #[test]
        fn a_line_is_found_where_it_is_now(
            edits in proptest::collection::vec((0..3_u8, 0..4_usize), 30),
        ) {
            let text = |lines: &[String]| -> Arc<[u8]> {
                lines.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes().into()
            };
            let base: Vec<String> = (0..30).map(|at| format!("line {at}")).collect();
            let mut now = Vec::new();
            for (at, (kind, typed)) in edits.into_iter().enumerate() {
                now.extend((0..typed).filter(|_| kind == 0).map(|nth| format!("typed {at} {nth}")));
                now.extend((kind != 1).then(|| base[at].clone()));
            }
            let path = RelPath::new("a.ts").unwrap();
            let moved = Moved::between(&path, &text(&base), text(&now));
            let mut least = 0;
            for (at, line) in base.iter().enumerate() {
                let found = moved.line(at as u32);
                if let Some(there) = now.iter().position(|other| other == line) {
                    proptest::prop_assert_eq!(found, there as u32);
                }
                proptest::prop_assert!(least <= found && found as usize <= now.len());
                least = found;
            }
        }
    }
}
