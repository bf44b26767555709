//! What an apply, an undo and a redo make of their task: which of its hunks are in the files, and which are left.

use super::Review;
use crate::apply::{Applier, Kind, Plan, Turn};
use crate::error::{Error, ErrorKind, Result};
use crate::state::StateDir;
use crate::tasks::{Task, TaskState, Tasks};
use krins_core::RelPath;
use krins_core::patch::{FilePatch, Patch};
use std::collections::BTreeSet;

pub(super) fn hunks_of(patch: &Patch) -> BTreeSet<String> {
    patch.files().iter().flat_map(|file| &file.hunks).map(|hunk| hunk.id.clone()).collect()
}

/// Of all hunks of a task's change, those that are not in the files by it.
pub(super) fn missing(task: &Task, all: &BTreeSet<String>) -> BTreeSet<String> {
    if task.state == TaskState::Applied { task.left.clone() } else { all.clone() }
}

/// What an apply, an undo or a redo makes of a task that has all these hunks, or whose hunks cannot be read. Said once more, it
/// makes the same of it.
pub(super) fn turned(task: &mut Task, made: &Turn, all: Option<&BTreeSet<String>>) {
    let follows = match task.state {
        TaskState::Applied | TaskState::Undone => true,
        // Nothing is taken back of what was never applied: another answer was chosen since.
        TaskState::Ready | TaskState::Blocked | TaskState::Discarded => made.kind == Kind::Apply,
        _ => false,
    };
    if !follows {
        return;
    }
    let nothing = BTreeSet::new();
    let hunks = match &made.hunks {
        Some(hunks) => hunks,
        // An older record does not say which they are.
        None if made.part => return,
        None => all.unwrap_or(&nothing),
    };
    let mut left = missing(task, all.unwrap_or(&nothing));
    let undone = match made.kind {
        Kind::Undo { .. } => {
            left.extend(hunks.iter().cloned());
            all.map_or(!made.part, |all| all.is_subset(&left))
        }
        Kind::Apply | Kind::Redo { .. } => {
            left.retain(|hunk| !hunks.contains(hunk));
            false
        }
    };
    (task.state, task.left) = if undone { (TaskState::Undone, BTreeSet::new()) } else { (TaskState::Applied, left) };
    if made.kind == Kind::Apply {
        task.undo = Some(made.id.clone());
    }
}

/// Hunks that were applied before and are written once more: their file is written, and nothing of it was missing.
pub(super) fn written_again(part: &Patch, plan: &Plan, missing: &BTreeSet<String>) -> BTreeSet<String> {
    let written: BTreeSet<RelPath> = plan.files().map(|file| file.path).collect();
    let whole =
        |file: &&FilePatch| written.contains(&file.path) && !file.hunks.iter().any(|hunk| missing.contains(&hunk.id));
    part.files().iter().filter(whole).flat_map(|file| &file.hunks).map(|hunk| hunk.id.clone()).collect()
}

/// A file's name and mode go with each of its hunks: taken back with one of them, the others would be left in the old file.
pub(super) fn whole_where_the_file_itself_changes(part: &Patch, review: &Review) -> Result<()> {
    for file in part.files().iter().filter(|file| file.from.is_some() || file.executable != file.was_executable) {
        let all =
            review.patch.files().iter().find(|whole| whole.path == file.path).map_or(&[][..], |whole| &whole.hunks);
        let applied: Vec<&str> =
            all.iter().map(|hunk| hunk.id.as_str()).filter(|hunk| !review.task.left.contains(*hunk)).collect();
        if applied.iter().any(|id| !file.hunks.iter().any(|hunk| hunk.id == *id)) {
            let why = format!("take a part of {} back: its name or mode was changed, too", file.path);
            return Err(Error::new(ErrorKind::BadParams, why)
                .hint(format!("take all of it back together: {}", applied.join(","))));
        }
    }
    Ok(())
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
    let all = task.patch(state).map(|patch| hunks_of(&patch)).ok();
    let mut now = task.clone();
    turned(&mut now, &made, all.as_ref());
    // A record that does not name its hunks knows less of them than the task.
    if now.state == task.state && (made.hunks.is_none() || now.left == task.left) {
        return;
    }
    let noted = tasks.update(&task.id, |task| turned(task, &made, all.as_ref()));
    if let Err(error) = noted {
        tracing::warn!(task = %task.id, %error, "the task's state could not be stored");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use krins_core::patch::Change;
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
        turns.iter().for_each(|made| turned(&mut task, made, Some(&set(&["h1", "h2", "h3"]))));
        (task.state, task.left)
    }

    #[test]
    fn a_task_is_undone_with_its_last_hunk_and_applied_until_then() {
        let (one, rest) = (made(Kind::Apply, false, Some(&["h1"])), made(Kind::Apply, false, Some(&["h2", "h3"])));
        assert_eq!(after(std::slice::from_ref(&one)), (TaskState::Applied, set(&["h2", "h3"])));
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

    #[test]
    fn a_part_of_a_renamed_file_is_not_taken_back_alone() {
        let text = |first: &str, last: &str| Some(format!("{first}\n{}{last}\n", "x\n".repeat(20)).into_bytes().into());
        let path = |name: &str| RelPath::new(name).unwrap();
        let change = |from: Option<&str>| {
            let (before, after) = (text("a", "y"), text("b", "z"));
            Change { path: path("new.ts"), from: from.map(path), before, after, executable: false }
        };
        let may = |from: Option<&str>, left: &[&str], hunks: &[&str]| {
            let mut task = Task::new("t".into(), String::new(), 0, None);
            (task.state, task.left) = (TaskState::Applied, set(left));
            let review = Review { task, patch: Patch::between(vec![change(from)]) };
            let part = review.patch.subset(&|hunk| hunks.contains(&hunk.id.as_str()));
            whole_where_the_file_itself_changes(&part, &review).is_ok()
        };
        assert!(!may(Some("old.ts"), &[], &["h1"]) && may(Some("old.ts"), &[], &["h1", "h2"]));
        assert!(may(Some("old.ts"), &["h2"], &["h1"]), "nothing else of it is there");
        assert!(may(None, &[], &["h1"]));
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
