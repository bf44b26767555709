//! What a person says of one hunk: taken, left, or taken with a text of their own, which is the truth from then on. An
//! edited patch is another patch, so hash and verdict are its own.

use super::said::follow;
use super::{Engine, Review, known_hunks, no_diff};
use crate::base::Current;
use crate::error::{Error, ErrorKind, Result};
use crate::gate;
use crate::tasks::{HunkVerdict, Task, TaskState};
use krins_core::Digest;
use krins_core::gate::Report;
use krins_core::patch::Refusal;
use std::collections::BTreeMap;

/// A person's word on one hunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Nothing is said of it; an edit is taken back, too.
    Open,
    /// As it is now: an edit stays.
    Accept,
    Reject,
    /// Accepted with this in place of its new lines, context lines included.
    Edit(String),
}

impl Judgement {
    fn verdict(&self) -> HunkVerdict {
        match self {
            Self::Open => HunkVerdict::Open,
            Self::Reject => HunkVerdict::Reject,
            Self::Accept | Self::Edit(_) => HunkVerdict::Accept,
        }
    }
}

impl Engine {
    /// Notes what a person says of one hunk. With an edit the whole patch is judged anew, before it is noted.
    pub async fn judge_hunk(&self, task: Option<&str>, hunk: &str, judgement: Judgement) -> Result<Review> {
        // An apply under way writes the text that it began with.
        let _still = match judgement {
            Judgement::Edit(_) | Judgement::Open => Some(self.inner.applying.lock().await),
            Judgement::Accept | Judgement::Reject => None,
        };
        let _turn = self.inner.reviewing.lock().await;
        let task = self.inner.tasks.find(task)?;
        if task.files.is_empty() {
            return Err(no_diff(&task));
        }
        let edits = self.edits(&task, hunk, &judgement)?;
        if edits != task.edits && task.state == TaskState::Applied && !task.left.contains(hunk) {
            return Err(Error::new(ErrorKind::BadParams, format!("edit hunk {hunk}: it is applied"))
                .hint("edit the file itself, or take the hunk back first"));
        }
        let report = if edits == task.edits { None } else { Some(self.judged(&task, &edits).await?) };
        self.note_judged(&task, hunk, &judgement, report.as_ref())?;
        let task = self.inner.tasks.update(&task.id, |task| {
            task.verdicts.insert(hunk.to_owned(), judgement.verdict());
            if let Some(report) = report {
                // What was said of the answer is kept for the day that its last edit is taken back.
                let before = if task.edits.is_empty() { task.report.take() } else { task.unedited.take() };
                task.unedited = before.filter(|_| !edits.is_empty());
                task.edits = edits;
                follow(task, report);
            }
        })?;
        let patch = self.patch_of(&task)?;
        // A text that changes nothing is no hunk any more.
        let there = super::turns::hunks_of(&patch);
        let task = match task.left.is_subset(&there) {
            true => task,
            false => self.inner.tasks.update(&task.id, |task| task.left.retain(|hunk| there.contains(hunk)))?,
        };
        Ok(Review { task, patch })
    }

    /// Judges the task's change anew, by the policy of now: after a waiver its verdict may be another.
    pub async fn judge_again(&self, task: Option<&str>) -> Result<Review> {
        let _turn = self.inner.reviewing.lock().await;
        let task = self.inner.tasks.find(task)?;
        if task.files.is_empty() {
            return Err(no_diff(&task));
        }
        let report = self.judged(&task, &task.edits).await?;
        let task = self.inner.tasks.update(&task.id, |task| follow(task, report))?;
        let patch = self.patch_of(&task)?;
        Ok(Review { task, patch })
    }

    /// The task's edits with this judgement. An edit is tried first, alone.
    fn edits(&self, task: &Task, hunk: &str, judgement: &Judgement) -> Result<BTreeMap<String, Digest>> {
        let proposed = match task.edits.is_empty() {
            true => self.patch_of(task)?,
            false => task.proposed(&self.inner.state)?,
        };
        known_hunks(&proposed, std::slice::from_ref(&hunk.to_owned()))?;
        let mut edits = task.edits.clone();
        match judgement {
            Judgement::Open => drop(edits.remove(hunk)),
            Judgement::Accept | Judgement::Reject => {}
            Judgement::Edit(text) => {
                proposed.with_hunk(hunk, text).map_err(|refusal| not_taken(hunk, &refusal))?;
                edits.insert(hunk.to_owned(), self.inner.state.put_blob(text.as_bytes())?);
            }
        }
        Ok(edits)
    }

    async fn judged(&self, task: &Task, edits: &BTreeMap<String, Digest>) -> Result<Report> {
        let patch = Task { edits: edits.clone(), ..task.clone() }.patch(&self.inner.state)?;
        let rules = self.inner.rules.clone();
        let current = Current::new(self.inner.root.clone(), self.inner.documents.clone());
        let change = self.change(&Review { task: task.clone(), patch: patch.clone() });
        let judged = tokio::task::spawn_blocking(move || {
            let report = gate::judge(&patch, &rules, &current);
            gate::recall(report, &patch, &rules, change.recalled(&patch, &current))
        })
        .await;
        judged.map_err(|error| Error::new(ErrorKind::Internal, format!("judge the edit: {error}")))
    }
}

fn not_taken(hunk: &str, refusal: &Refusal) -> Error {
    let path = if refusal.path.is_empty() { String::new() } else { format!(" of {}", refusal.path) };
    Error::new(ErrorKind::BadParams, format!("edit hunk {hunk}{path}: {}", refusal.why))
}
