//! What was said of a task's change by running things and by asking, and what of it holds for the change as it is now: the
//! whole of it, a part that somebody takes, or what a person's edits made of it. It is kept as it was found; what it counts
//! for is the gate's to say, by the policy of now.

use super::{Engine, Review};
use crate::fix;
use crate::gate::{self, Gated, commands::Found};
use crate::judging;
use crate::spec;
use crate::tasks::{Heard, Task, TaskState};
use krins_core::Tree;
use krins_core::gate::{CheckRun, Report, Verdict};
use krins_core::patch::Patch;
use std::collections::BTreeSet;

/// The checks that run the commands of the settings, by the first part of their rules.
const RUN: [&str; 3] = ["build", "types", "tests"];
/// Checks that say something of this very change which cannot be found out again without asking a model.
const SAID: [&str; 2] = ["spec", fix::CHECK];

/// What is known of a patch, and whether everything was run for it.
pub(super) struct Known {
    pub found: Found,
    pub is_run: bool,
}

/// Whose word on a patch is still to be had.
pub(super) enum Word {
    /// Nobody's: there is no judge, or it has judged the change.
    None,
    Heard(Heard),
    Open,
}

/// A task's change, of which a part is looked at.
pub(super) struct Change {
    pub task: Task,
    /// With the edits.
    pub whole: Patch,
    /// Whether tests are run before the gate lets anything through.
    pub runs_tests: bool,
}

impl Change {
    /// What running and asking said of `patch`: for another patch than that it was said of, what still holds.
    pub fn known(&self, patch: &Patch, base: &(dyn Tree + Sync)) -> Known {
        match self.report_of(patch) {
            Some(report) if has_run(report) => Known { found: gate::known(report, is_known), is_run: true },
            Some(report) => Known { found: gate::known(report, is_said), is_run: false },
            None => Known { found: self.still_said(patch, base), is_run: false },
        }
    }

    /// What only asking can find out, of the change or of this part of it.
    pub fn said(&self, patch: &Patch, base: &(dyn Tree + Sync)) -> Found {
        self.report_of(patch).map_or_else(|| self.still_said(patch, base), |report| gate::known(report, is_said))
    }

    /// The same for what is shown of the change: the judge's word on what it was before is the word on what is left of it.
    pub fn recalled(&self, patch: &Patch, base: &(dyn Tree + Sync)) -> Found {
        if let Some(report) = self.report_of(patch) {
            return gate::known(report, |_| true);
        }
        let mut found = self.still_said(patch, base);
        if let Some(report) = &self.task.report {
            let of_judge = gate::known(report, judging::is_judge);
            found.checks.extend(of_judge.checks);
            found.findings.extend(of_judge.findings);
        }
        found
    }

    fn report_of(&self, patch: &Patch) -> Option<&Report> {
        let (digest, task) = (patch.digest(), &self.task);
        [&task.unedited, &task.report].into_iter().flatten().find(|report| report.patch == digest)
    }

    /// What was held against the answer is held against every part of it that does the same.
    fn still_said(&self, patch: &Patch, base: &(dyn Tree + Sync)) -> Found {
        let task = &self.task;
        let Some(before) = task.unedited.as_ref().or(task.report.as_ref()) else { return Found::default() };
        let (locked, words) = (&task.locked, &task.intent);
        let mut findings = spec::still_said(before, patch, &self.whole, locked, words, self.runs_tests);
        findings.extend(fix::still_weakened(before, || gate::honesty_of(patch, base)));
        let mut seen = BTreeSet::new();
        let is_first = |run: &&CheckRun| is_said(&run.check) && seen.insert(run.check.clone());
        let checks = before.checks.iter().filter(is_first).cloned().collect();
        Found { checks, findings, runs: Vec::new() }
    }
}

impl Engine {
    pub(super) fn change(&self, review: &Review) -> Change {
        let runs_tests = self.settings().commands.tests;
        Change { task: review.task.clone(), whole: review.patch.clone(), runs_tests }
    }

    /// Whether somebody's word on the patch is still to be had before it is shown or applied.
    pub(super) fn word_on(&self, task: &Task, patch: &Patch, author: &str) -> Word {
        let has_judged = |report: &Report| report.checks.iter().any(|run| judging::is_judge(&run.check));
        let wants = self.settings().judge.is_some() && !self.inner.backend.is_builtin_for(Some(author));
        if !wants || task.report.as_ref().is_some_and(has_judged) {
            return Word::None;
        }
        let digest = patch.digest();
        match task.heard.iter().find(|heard| heard.patch == digest) {
            Some(heard) => Word::Heard(heard.clone()),
            None => Word::Open,
        }
    }

    /// What a judge said some time ago of this very patch, in its verdict.
    pub(super) fn with_word(&self, gated: Gated<Patch>, heard: Heard) -> Result<Gated<Patch>, Box<Report>> {
        gate::extend(gated, &self.inner.rules, (judging::CHECK, heard.run.millis), heard.found)
    }
}

/// Keeps what a judge said when it was asked about what somebody was about to apply. Of the change as it is, everything that
/// was found then is its verdict from now on.
pub(super) fn hear(task: &mut Task, report: &Report) {
    let Some((run, found)) = judging::word(report) else { return };
    if task.report.as_ref().is_some_and(|known| known.patch == report.patch) {
        return follow(task, report.clone());
    }
    task.hear(Heard { patch: report.patch, policy: report.policy, run: run.clone(), found });
}

/// The new verdict, and the state that it means for a change that waits for one.
pub(super) fn follow(task: &mut Task, report: Report) {
    if matches!(task.state, TaskState::Ready | TaskState::Blocked) {
        task.state = if report.verdict == Verdict::Block { TaskState::Blocked } else { TaskState::Ready };
    }
    task.report = Some(report);
}

/// Whether everything was run that the settings name. A build that is broken ends it before the tests: where somebody waives
/// that, they are still to be run.
fn has_run(report: &Report) -> bool {
    let ran = || report.checks.iter().filter(|run| RUN.contains(&run.check.as_str()));
    ran().any(|run| run.check == "tests") || ran().next().is_some() && ran().all(|run| run.verdict != Verdict::Block)
}

fn is_said(check: &str) -> bool {
    SAID.contains(&check)
}

fn is_known(check: &str) -> bool {
    RUN.contains(&check) || is_said(check)
}
