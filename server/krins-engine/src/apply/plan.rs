//! What an apply will do, decided before anything is written: which files, from which exact content to which, and by
//! whom. A plan comes from a patch that the gate let through, or from a record of the history. There is no third way.

use super::record::{Image, Kind, Record, Route, Step, Turn};
use crate::base::Current;
use crate::gate::Gated;
use krins_core::patch::{self, Change, ChangeKind, Conflict, Patch, Refusal, Write};
use krins_core::syntax::{SyntaxError, new_errors};
use krins_core::{Digest, Entry, RelPath, Tree};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Ready to be applied, for exactly what the files were when it was made.
#[derive(Clone, Debug)]
#[must_use = "a plan that is dropped changes nothing"]
pub struct Plan {
    pub(super) record: Record,
    /// The policy that the change was judged by; what the history takes back was judged when it was made.
    pub(super) policy: Option<Digest>,
    /// Of an undo: hunks of the task's change stay in the files.
    pub(super) leaves_rest: bool,
}

/// One file of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    pub path: RelPath,
    pub kind: ChangeKind,
    pub route: Route,
}

/// Why there is no plan. Nothing was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("merge the change: {} conflict(s), {} refusal(s)", conflicts.len(), refusals.len())]
pub struct NotPlanned {
    pub conflicts: Vec<Conflict>,
    pub refusals: Vec<Refusal>,
}

impl NotPlanned {
    fn refuse(path: &RelPath, why: impl Into<String>) -> Self {
        Self { conflicts: Vec::new(), refusals: vec![refusal(path, why)] }
    }

    fn is_empty(&self) -> bool {
        self.conflicts.is_empty() && self.refusals.is_empty()
    }
}

fn refusal(path: &RelPath, why: impl Into<String>) -> Refusal {
    Refusal { path: path.to_string(), hunk: None, why: why.into(), candidates: Vec::new() }
}

impl Plan {
    /// Merges the patch onto what the files are now.
    pub fn new(gated: &Gated<Patch>, current: &Current, task: Option<String>) -> Result<Self, NotPlanned> {
        let merge = patch::merge(gated.value(), current);
        let mut blocked = NotPlanned { conflicts: merge.conflicts, refusals: merge.refusals };
        blocked.refusals.extend(merge.writes.iter().filter_map(|write| broken_by_merging(write, gated.value())));
        if !blocked.is_empty() {
            return Err(blocked);
        }
        let mut plan = Self::of_writes(merge.writes, current, Kind::Apply, task, &[])?;
        plan.record.patch = Some(gated.report().patch);
        plan.policy = Some(gated.report().policy);
        Ok(plan)
    }

    /// Takes a record back, merged onto what the files are now: an apply or a redo is undone, an undo is redone.
    pub fn revert(record: &Record, current: &Current) -> Result<Self, NotPlanned> {
        let of = record.about().to_owned();
        let kind = match record.kind {
            Kind::Apply | Kind::Redo { .. } => Kind::Undo { of },
            Kind::Undo { .. } => Kind::Redo { of },
        };
        let mut writes = Vec::new();
        let mut moved = Vec::new();
        let mut blocked = NotPlanned::default();
        for step in &record.steps {
            match take_back(step, current) {
                Reversal::Nothing => {}
                Reversal::Exact(write) => writes.push(write),
                Reversal::Merge(change) => moved.push(change),
                Reversal::Refused(why) => blocked.refusals.push(refusal(&step.path, why)),
            }
        }
        if !moved.is_empty() {
            let merge = patch::merge(&Patch::between(moved), current);
            writes.extend(merge.writes);
            // The hunks here are those of the history's texts, which nobody was shown.
            let unnamed = |conflict| Conflict { hunks: Vec::new(), ..conflict };
            blocked.conflicts.extend(merge.conflicts.into_iter().map(unnamed));
            blocked.refusals.extend(merge.refusals);
        }
        if !blocked.is_empty() {
            return Err(blocked);
        }
        writes.sort_by(|a, b| a.path.cmp(&b.path));
        let mut plan = Self::of_writes(writes, current, kind, record.task.clone(), &record.make_dirs)?;
        (plan.record.patch, plan.record.part) = (record.patch, record.part);
        plan.record.hunks = record.hunks.clone();
        Ok(plan)
    }

    /// Takes a part of a record back: `part` is the inverse of some hunks of its change. The rest of the change stays, and
    /// what is taken back can be done again, like any undo.
    pub fn take_back_part(record: &Record, part: &Patch, current: &Current) -> Result<Self, NotPlanned> {
        let known = |path: &RelPath| record.steps.iter().any(|step| step.path == *path);
        let paths = part.files().iter().flat_map(|file| [Some(&file.path), file.from.as_ref()]).flatten();
        if let Some(path) = paths.into_iter().find(|path| !known(path)) {
            return Err(NotPlanned::refuse(path, "the change did not touch it"));
        }
        let merge = patch::merge(part, current);
        let blocked = NotPlanned { conflicts: merge.conflicts, refusals: merge.refusals };
        if !blocked.is_empty() {
            return Err(blocked);
        }
        let kind = Kind::Undo { of: uuid::Uuid::now_v7().simple().to_string() };
        let mut plan = Self::of_writes(merge.writes, current, kind, record.task.clone(), &record.make_dirs)?;
        (plan.record.patch, plan.record.part) = (Some(part.digest()), true);
        Ok(plan)
    }

    /// `made` are directories that the reverted apply made.
    fn of_writes(
        writes: Vec<Write>,
        current: &Current,
        kind: Kind,
        task: Option<String>,
        made: &[String],
    ) -> Result<Self, NotPlanned> {
        let mut steps = Vec::new();
        let mut blocked = NotPlanned::default();
        for write in writes {
            match steps_of(&write, current) {
                Ok(more) => steps.extend(more),
                Err(error) => blocked.refusals.extend(error.refusals),
            }
        }
        let mut seen = BTreeSet::new();
        for step in &steps {
            if !seen.insert(&step.path) {
                blocked.refusals.push(refusal(&step.path, "the change touches it twice"));
            }
        }
        if !blocked.is_empty() {
            return Err(blocked);
        }
        let make_dirs = missing_dirs(&steps, current);
        // Innermost first; a directory that something was put into meanwhile is not empty, and stays.
        let remove_dirs = made.iter().rev().filter(|dir| !make_dirs.contains(dir)).cloned().collect();
        let record = Record {
            id: uuid::Uuid::now_v7().simple().to_string(),
            kind,
            task,
            patch: None,
            part: false,
            hunks: None,
            time: now_millis(),
            steps,
            make_dirs,
            remove_dirs,
        };
        Ok(Self { record, policy: None, leaves_rest: false })
    }

    /// The id that the apply will have in the history.
    pub fn id(&self) -> &str {
        &self.record.id
    }

    /// What it will be to its task.
    pub fn turn(&self) -> Option<Turn> {
        self.record.turn()
    }

    pub fn leaving_rest(self, leaves_rest: bool) -> Self {
        Self { leaves_rest, ..self }
    }

    /// Of its hunks, or of these where it has none yet, only those that hold: what it brings into the files, or takes out of them.
    /// Where none does, the files say something else than their task, and all of them are meant.
    pub fn of_hunks(mut self, named: Option<BTreeSet<String>>, holds: impl Fn(&String) -> bool) -> Self {
        let hunks = named.or_else(|| self.record.hunks.take());
        let held = hunks.iter().flatten().filter(|hunk| holds(hunk)).cloned().collect::<BTreeSet<_>>();
        self.record.hunks = if held.is_empty() { hunks } else { Some(held) };
        self
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.record.steps.is_empty()
    }

    /// Every file that it will change, for a dry run.
    pub fn files(&self) -> impl Iterator<Item = Planned> {
        self.record.steps.iter().map(|step| {
            let kind = match (&step.before, &step.after) {
                (None, _) => ChangeKind::Create,
                (_, None) => ChangeKind::Delete,
                _ => ChangeKind::Modify,
            };
            Planned { path: step.path.clone(), kind, route: step.route }
        })
    }

    #[cfg(any(test, feature = "drivers"))]
    pub(crate) fn for_driver(writes: Vec<Write>, current: &Current) -> Result<Self, NotPlanned> {
        Self::of_writes(writes, current, Kind::Apply, None, &[])
    }
}

/// What was judged is the patched base. Where the file has moved on, the merged text is another one, and may be sound on
/// both sides and broken together. What one side breaks alone is not of the merge: the patch was the gate's to judge, and
/// in a text that somebody is typing errors move about.
fn broken_by_merging(write: &Write, patch: &Patch) -> Option<Refusal> {
    let file = patch.files().iter().find(|file| file.path == write.path);
    if file.is_some_and(|file| file.after == write.after) {
        return None;
    }
    let error = first_error(&write.path, &write.current, &write.after)?;
    let is_sound = |before, after| first_error(&write.path, before, after).is_none();
    if !is_sound(&None, &write.current) || !file.is_none_or(|file| is_sound(&file.before, &file.after)) {
        return None;
    }
    Some(refusal(
        &write.path,
        format!("merged with what the file is now, line {} would not parse: {}", error.lines[0], error.message),
    ))
}

/// The first error that `after` brings.
fn first_error(path: &RelPath, before: &Option<Arc<[u8]>>, after: &Option<Arc<[u8]>>) -> Option<SyntaxError> {
    let text = |bytes: &Option<Arc<[u8]>>| {
        bytes.as_deref().and_then(|bytes| patch::text_of(bytes).map(std::borrow::Cow::into_owned))
    };
    new_errors(path, text(before).as_deref(), &text(after)?).into_iter().next()
}

fn now_millis() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The steps of one write: one, or for a rename the new name and the old one.
fn steps_of(write: &Write, current: &Current) -> Result<Vec<Step>, NotPlanned> {
    let after = write.after.clone().map(|bytes| Image { bytes, executable: write.executable });
    let Some(from) = write.from.as_ref().filter(|from| **from != write.path) else {
        return Ok(vec![step(&write.path, Some(&write.current), after, None, current)?]);
    };
    Ok(vec![
        step(&write.path, None, after, None, current)?,
        step(from, Some(&write.current), None, Some(write.path.clone()), current)?,
    ])
}

/// `expected` is what the write is valid for, when that is about this path.
fn step(
    path: &RelPath,
    expected: Option<&Option<Arc<[u8]>>>,
    after: Option<Image>,
    waits_for: Option<RelPath>,
    current: &Current,
) -> Result<Step, NotPlanned> {
    let before = image(current.entry(path)).map_err(|why| NotPlanned::refuse(path, why))?;
    if expected.is_some_and(|expected| before.as_ref().map(|image| &image.bytes) != expected.as_ref()) {
        return Err(NotPlanned::refuse(path, "it changed while the change was planned"));
    }
    let route = route(path, before.as_ref(), after.as_ref(), current).map_err(|why| NotPlanned::refuse(path, why))?;
    Ok(Step { path: path.clone(), before, after, route, waits_for })
}

fn image(entry: Entry) -> Result<Option<Image>, String> {
    match entry {
        Entry::Missing => Ok(None),
        Entry::File { bytes, executable } => Ok(Some(Image { bytes, executable })),
        Entry::Refused(why) => Err(format!("it is {why}")),
    }
}

/// An open document is the editor's. Only a file that goes away is taken from under it, and only if nothing is unsaved.
fn route(
    path: &RelPath,
    before: Option<&Image>,
    after: Option<&Image>,
    current: &Current,
) -> Result<Route, &'static str> {
    if current.documents().snapshot().path(path).is_none() {
        return Ok(Route::Disk);
    }
    match after {
        Some(after) if std::str::from_utf8(&after.bytes).is_ok() => Ok(Route::Buffer),
        Some(_) => Err("it is open in the editor, and the new content is not text"),
        None if image(current.root().entry(path)).ok().flatten().as_ref() == before => Ok(Route::Disk),
        None => Err("it has unsaved changes in the editor: save or close it first"),
    }
}

/// Directories that have to be made, outermost first.
fn missing_dirs(steps: &[Step], current: &Current) -> Vec<String> {
    let mut dirs = BTreeSet::new();
    for step in steps.iter().filter(|step| step.route == Route::Disk && step.before.is_none()) {
        let dir = step.path.dir();
        let ends = dir.char_indices().filter(|(_, c)| *c == '/').map(|(at, _)| at).chain([dir.len()]);
        dirs.extend(ends.map(|end| &dir[..end]).filter(|dir| !dir.is_empty()));
    }
    let missing = |dir: &&str| RelPath::new(dir).is_ok_and(|dir| current.root().entry(&dir) == Entry::Missing);
    // Sorted names have a directory before what is in it.
    dirs.into_iter().filter(missing).map(str::to_owned).collect()
}

/// What taking one step back means now.
enum Reversal {
    /// It is back already.
    Nothing,
    /// The file has not moved on.
    Exact(Write),
    /// It has; the inverse has to be merged.
    Merge(Change),
    Refused(String),
}

fn take_back(step: &Step, current: &Current) -> Reversal {
    let now = match image(current.entry(&step.path)) {
        Ok(now) => now,
        Err(why) => return Reversal::Refused(why),
    };
    let bytes = |image: &Option<Image>| image.as_ref().map(|image| image.bytes.clone());
    let (before, after, here) = (bytes(&step.before), bytes(&step.after), bytes(&now));
    // The executable bit goes back only if the step changed it; else the file keeps what it has now.
    let bit = |image: &Option<Image>| image.as_ref().is_some_and(|image| image.executable);
    let changed_bit = before.is_some() && after.is_some() && bit(&step.before) != bit(&step.after);
    let executable = if changed_bit || here.is_none() { bit(&step.before) } else { bit(&now) };
    if here == before && (here.is_none() || executable == bit(&now)) {
        return Reversal::Nothing;
    }
    if here == after {
        let kind = match (&here, &before) {
            (None, _) => ChangeKind::Create,
            (_, None) => ChangeKind::Delete,
            _ => ChangeKind::Modify,
        };
        return Reversal::Exact(Write {
            path: step.path.clone(),
            kind,
            from: None,
            current: here,
            after: before,
            executable,
        });
    }
    match (&before, &after, &here) {
        (Some(_), Some(_), Some(_)) => {
            Reversal::Merge(Change { path: step.path.clone(), from: None, before: after, after: before, executable })
        }
        (None, _, _) => Reversal::Refused("it was created by the change and edited since".into()),
        (_, None, _) => Reversal::Refused("it was deleted by the change, and something else is there now".into()),
        (_, _, None) => Reversal::Refused("it was deleted since".into()),
    }
}
