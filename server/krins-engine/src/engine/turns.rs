//! What an apply, an undo and a redo make of their task: which of its hunks are in the files, and which are left.

use crate::apply::{Applier, Kind, Turn};
use crate::state::StateDir;
use crate::tasks::{Task, TaskState, Tasks};
use krins_core::patch::Patch;
use std::collections::BTreeSet;

pub(super) fn hunks_of(patch: &Patch) -> BTreeSet<String> {
    patch.files().iter().flat_map(|file| &file.hunks).map(|hunk| hunk.id.clone()).collect()
}

/// Of all hunks of a task's change, those that are not in the files by it.
pub(super) fn missing(task: &Task, all: &BTreeSet<String>) -> BTreeSet<String> {
    if task.state == TaskState::Applied { task.left.clone() } else { all.clone() }
}

/// What an apply, an undo or a redo makes of a task that has all these hunks. Said once more, it makes the same of it.
pub(super) fn turned(task: &mut Task, made: &Turn, all: &BTreeSet<String>) {
    let hunks = match &made.hunks {
        Some(hunks) => hunks,
        // An older record does not say which they are.
        None if made.part => return,
        None => all,
    };
    let mut left = missing(task, all);
    let nothing = match made.kind {
        Kind::Undo { .. } => {
            left.extend(hunks.iter().cloned());
            all.is_subset(&left)
        }
        Kind::Apply | Kind::Redo { .. } => {
            left.retain(|hunk| !hunks.contains(hunk));
            false
        }
    };
    (task.state, task.left) = if nothing { (TaskState::Undone, BTreeSet::new()) } else { (TaskState::Applied, left) };
    if made.kind == Kind::Apply {
        task.undo = Some(made.id.clone());
    }
}

/// A process that died between an apply, an undo or a redo and its note of it left a task that says something else than
/// the files. Only the newest record can be ahead of its task: each start ends here before it begins another.
pub(super) fn agree(applier: &Applier, tasks: &Tasks, state: &StateDir) {
    let newest = applier.newest_at_start().unwrap_or_else(|error| {
        tracing::warn!(%error, "the newest record of the history cannot be read");
        None
    });
    let made = newest.and_then(|record| record.turn());
    let Some((made, task)) = made.and_then(|made| tasks.get(&made.task).ok().map(|task| (made, task))) else { return };
    let may_follow = match task.state {
        TaskState::Applied | TaskState::Undone => true,
        // Nothing was taken back of what was never applied: another answer was chosen since.
        TaskState::Ready | TaskState::Blocked => made.kind == Kind::Apply,
        _ => false,
    };
    let all = task.patch(state).map(|patch| hunks_of(&patch)).unwrap_or_default();
    let mut now = task.clone();
    turned(&mut now, &made, &all);
    if !may_follow || (now.state, &now.left) == (task.state, &task.left) {
        return;
    }
    let noted = tasks.update(&task.id, |task| turned(task, &made, &all));
    if let Err(error) = noted {
        tracing::warn!(task = %task.id, %error, "the task's state could not be stored");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(hunks: &[&str]) -> BTreeSet<String> {
        hunks.iter().map(|hunk| (*hunk).to_owned()).collect()
    }

    fn made(kind: Kind, part: bool, hunks: Option<&[&str]>) -> Turn {
        Turn { task: "t".into(), id: "id".into(), kind, part, hunks: hunks.map(set) }
    }

    fn undo() -> Kind {
        Kind::Undo { of: "id".into() }
    }

    fn redo() -> Kind {
        Kind::Redo { of: "id".into() }
    }

    /// A task with three hunks, after these.
    fn after(turns: &[Turn]) -> (TaskState, BTreeSet<String>) {
        let mut task = Task::new("t".into(), String::new(), 0, None);
        task.state = TaskState::Ready;
        turns.iter().for_each(|made| turned(&mut task, made, &set(&["h1", "h2", "h3"])));
        (task.state, task.left)
    }

    #[test]
    fn a_task_is_undone_with_its_last_hunk_and_applied_until_then() {
        let (one, rest) = (made(Kind::Apply, false, Some(&["h1"])), made(Kind::Apply, false, Some(&["h2", "h3"])));
        assert_eq!(after(&[one.clone()]), (TaskState::Applied, set(&["h2", "h3"])));
        assert_eq!(after(&[one.clone(), rest.clone()]), (TaskState::Applied, set(&[])));
        let back = made(undo(), false, Some(&["h2", "h3"]));
        assert_eq!(after(&[one.clone(), rest.clone(), back.clone()]), (TaskState::Applied, set(&["h2", "h3"])));
        let all_back = made(undo(), false, Some(&["h1"]));
        assert_eq!(after(&[one.clone(), rest.clone(), back, all_back]), (TaskState::Undone, set(&[])));
        let part = made(undo(), true, Some(&["h2"]));
        assert_eq!(after(&[one.clone(), rest.clone(), part.clone()]), (TaskState::Applied, set(&["h2"])));
        let again = made(redo(), true, Some(&["h2"]));
        assert_eq!(after(&[one, rest, part, again]), (TaskState::Applied, set(&[])));
    }

    #[test]
    fn a_record_that_knows_no_hunks_is_about_all_of_them_or_about_some_that_nobody_knows() {
        let apply = made(Kind::Apply, false, Some(&["h1", "h2"]));
        assert_eq!(after(&[apply.clone(), made(undo(), false, None)]), (TaskState::Undone, set(&[])));
        assert_eq!(after(&[apply.clone(), made(undo(), true, None)]), (TaskState::Applied, set(&["h3"])));
        assert_eq!(after(&[apply, made(redo(), false, None)]), (TaskState::Applied, set(&[])));
    }

    proptest! {
        /// A start after a crash says the last one once more, and does not know whether it was said.
        #[test]
        fn said_once_more_it_makes_the_same(turns in proptest::collection::vec(
            (0..3, proptest::collection::btree_set(0..3, 1..3)), 1..8,
        )) {
            let turns: Vec<Turn> = turns.into_iter().map(|(kind, hunks)| Turn {
                hunks: Some(hunks.into_iter().map(|hunk| format!("h{}", hunk + 1)).collect()),
                ..made([Kind::Apply, undo(), redo()][kind as usize].clone(), false, None)
            }).collect();
            let twice: Vec<Turn> = turns.iter().chain(turns.last()).cloned().collect();
            prop_assert_eq!(after(&turns), after(&twice));
        }
    }
}
