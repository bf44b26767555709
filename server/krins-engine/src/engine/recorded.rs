//! What the engine puts on record, and when: an intention before the change it is about, an answer before it is shown.

use super::{Engine, Judgement};
use crate::apply::{Applied, Applier, Intended, Kind, Witness};
use crate::audit::{About, Audit, Event};
use crate::error::{Error, ErrorKind, Result};
use crate::fix::{Part, Round, Stop};
use crate::gate::Rulebook;
use crate::pipeline::Proposed;
use crate::state::StateDir;
use crate::tasks::{Task, Tasks};
use krins_core::Digest;
use krins_core::gate::{Report, Verdict};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Names beyond these say nothing more.
const MOST_NAMES: usize = 50;

impl Engine {
    /// Records an event about a task.
    pub(super) fn note(&self, kind: &'static str, task: &Task, mut fields: Value) -> Result<()> {
        fields["task"] = task.id.clone().into();
        let who = self.inner.settings.approvals.identity.as_deref();
        self.inner.audit.record(Event::of(kind, fields).by(who).traced(task.traceparent.as_deref()))?;
        Ok(())
    }

    pub(super) fn note_assigned(&self, task: &Task) -> Result<()> {
        // How long the words are, and never what they say.
        let noted = self.note("task.assigned", task, json!({"bytes": task.intent.len()}));
        if let Err(error) = &noted {
            self.inner.tasks.fail_unstored(&task.id, error.clone());
        }
        noted
    }

    pub(super) fn note_answered(&self, id: &str, proposed: &Proposed) -> Result<()> {
        let task = self.inner.tasks.get(id)?;
        let report = match &proposed.verdict {
            Ok(gated) => gated.report(),
            Err(report) => report,
        };
        let route = format!("{}/{}", proposed.proposal.provider, proposed.proposal.model);
        let answered = json!({
            "route": route,
            "cached": proposed.proposal.cached,
            "patch": proposed.patch.digest().to_string(),
            "sent": proposed.pack.tokens,
        });
        self.note("task.answered", &task, answered)?;
        self.note("task.gated", &task, described(report))
    }

    pub(super) fn note_ended(&self, id: &str, error: &Error) -> Result<()> {
        let task = self.inner.tasks.get(id)?;
        let kind = if error.kind == ErrorKind::Cancelled { "task.cancelled" } else { "task.failed" };
        self.note(kind, &task, json!({"why": format!("{:?}", error.kind)}))
    }

    pub(super) fn note_judged(
        &self,
        task: &Task,
        hunk: &str,
        judgement: &Judgement,
        report: Option<&Report>,
    ) -> Result<()> {
        let verdict = match judgement {
            Judgement::Open => "open",
            Judgement::Accept => "accept",
            Judgement::Reject => "reject",
            Judgement::Edit(_) => "edit",
        };
        self.note("hunk.judged", task, json!({"hunk": hunk, "verdict": verdict, "gate": report.map(described)}))
    }

    /// A round is on record before the next answer is asked for.
    pub(super) fn note_round(&self, id: &str, part: Part, round: &Round) -> Result<()> {
        let task = self.inner.tasks.get(id)?;
        let fields = json!({
            "part": part.name(),
            "round": round.number,
            "sent": round.sent.iter().map(Digest::to_string).collect::<Vec<_>>(),
            "route": round.route,
            "patch": round.patch.to_string(),
            "verdict": verdict_name(round.verdict),
            "blocking": round.blocking,
            "rules": round.rules.iter().take(MOST_NAMES).collect::<Vec<_>>(),
        });
        self.note("fix.round", &task, fields)
    }

    pub(super) fn note_rounds_ended(&self, id: &str, part: Part, stop: Stop, kept: Option<Digest>) -> Result<()> {
        let task = self.inner.tasks.get(id)?;
        let kept = kept.map(|kept| kept.to_string());
        self.note("fix.ended", &task, json!({"part": part.name(), "why": stop.name(), "kept": kept}))
    }

    pub(super) fn note_denied(&self, task: &Task, report: &Report) -> Result<()> {
        self.note("change.denied", task, described(report))
    }

    /// The files are as they are by now: what cannot be recorded of it is said in the log, and found out at the next start.
    pub(super) fn note_change(&self, applied: &Result<Applied>) {
        let event = match applied {
            Ok(Applied { id: None, .. }) => return,
            Ok(Applied { id: Some(id), left_alone, pending, .. }) => Event::of(
                "change.done",
                json!({"change": id, "left_alone": left_alone.len(), "pending": pending.is_some()}),
            ),
            Err(error) => Event::of("change.failed", json!({"why": format!("{:?}", error.kind)})),
        };
        if let Err(error) = self.inner.audit.record(event) {
            tracing::error!(%error, "the end of a change was not recorded");
        }
    }
}

fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Warn => "warn",
        Verdict::Block => "block",
    }
}

/// A report without anybody's words.
fn described(report: &Report) -> Value {
    let rules = report.findings.iter().map(|finding| finding.rule.as_str());
    let blocking = report.findings.iter().filter(|finding| finding.verdict == Verdict::Block);
    let blocking: BTreeSet<&str> = blocking.map(|finding| finding.rule.as_str()).collect();
    let waived = report.waived.iter().map(|waived| waived.finding.rule.as_str());
    json!({
        "verdict": verdict_name(report.verdict),
        "patch": report.patch.to_string(),
        "policy": report.policy.to_string(),
        "rules": rules.take(MOST_NAMES).collect::<Vec<_>>(),
        "blocking": blocking.into_iter().take(MOST_NAMES).collect::<Vec<_>>(),
        "waived": waived.take(MOST_NAMES).collect::<Vec<_>>(),
    })
}

/// Records every change before it is made, and lets none through that was judged by another policy than that of now.
pub(super) fn witness(audit: Arc<Audit>, rules: Arc<Rulebook>, who: Option<String>) -> Witness {
    Arc::new(move |intended: &Intended| {
        if let Some(judged_by) = intended.policy
            && rules.standing()?.policy.digest() != judged_by
        {
            return Err(Error::new(
                ErrorKind::StaleBase,
                "take the verdict: the policy changed since the change was judged",
            )
            .hint("apply it again: it is judged anew"));
        }
        let (action, of) = match &intended.kind {
            Kind::Apply => ("apply", None),
            Kind::Undo { of } => ("undo", Some(of)),
            Kind::Redo { of } => ("redo", Some(of)),
        };
        let digest = |digest: &Option<Digest>| digest.map(|digest| digest.to_string());
        let files = intended.files.iter().take(MOST_NAMES);
        let files: Vec<Value> =
            files.map(|(path, before, after)| json!([path.as_str(), digest(before), digest(after)])).collect();
        let fields = json!({
            "change": intended.id,
            "action": action,
            "of": of,
            "task": intended.task,
            "part": intended.part.then_some(true),
            "patch": digest(&intended.patch),
            "policy": digest(&intended.policy),
            "count": intended.files.len(),
            "files": files,
        });
        audit.record(Event::of("change.intended", fields).by(who.as_deref()))?;
        Ok(())
    })
}

/// A process that died in the middle of a change left an intention without an end. The journal knows what became of it.
pub(super) fn end_what_was_begun(audit: &Audit, applier: &Applier, state: &StateDir) {
    let last = audit.recent_kinds().into_iter().find(|kind| kind.starts_with("change.") && kind != "change.denied");
    // Where another process applies right now, the end is its to write.
    if last.as_deref() != Some("change.intended") || state.is_held("apply") {
        return;
    }
    let ended = || -> Result<()> {
        let records = audit.tail(200)?;
        let intended = records.iter().rev().find(|(record, _)| record.kind == "change.intended");
        let change = intended.and_then(|(_, about)| Some(about.as_ref()?.get("change")?.as_str()?.to_owned()));
        let made = applier.newest_at_start()?.is_some_and(|record| change.as_deref() == Some(record.id()));
        let event = match made {
            true => Event::of("change.done", json!({"change": change, "found": "at the next start"})),
            false => Event::of("change.failed", json!({"change": change, "why": "Interrupted"})),
        };
        audit.record(event)?;
        Ok(())
    };
    if let Err(error) = ended() {
        tracing::warn!(%error, "how an interrupted change ended was not recorded");
    }
}

/// A process that died between two rounds left them without an end on record. Nobody comes to it any more. Gives the tasks that
/// were ended here.
pub(super) fn end_rounds_that_were_begun(audit: &Audit, tasks: &Tasks, who: Option<&str>) -> Vec<String> {
    let mut here = Vec::new();
    for task in tasks.interrupted() {
        let ended = tasks.end_interrupted(&task.id, || {
            let about = About { task: Some(&task.id), kind: Some("fix") };
            let last = audit.tail_of(1, &about)?.pop().filter(|(record, _)| record.kind == "fix.round");
            let Some((_, Some(round))) = last else { return Ok(None) };
            let fields = json!({
                "task": task.id,
                "part": round["part"],
                "why": Stop::Interrupted.name(),
                "kept": null,
                "found": "at the next start",
            });
            audit.record(Event::of("fix.ended", fields).by(who).traced(task.traceparent.as_deref()))?;
            Ok(Some(Stop::Interrupted.words().to_owned()))
        });
        match ended {
            Ok(true) => here.push(task.id),
            Ok(false) => {}
            Err(error) => tracing::warn!(task = %task.id, %error, "how interrupted rounds ended was not recorded"),
        }
    }
    here
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::TaskState;
    use crate::workspace::Root;

    /// What is left when a process dies between two rounds, and what the next two starts make of it.
    #[test]
    fn rounds_of_a_dead_process_end_on_record_at_the_next_start_and_once() {
        let dir = tempfile::tempdir().unwrap();
        let (root, state) = (dir.path().join("root"), dir.path().join("state"));
        std::fs::create_dir_all(&root).unwrap();
        let state = StateDir::open_at(&state, &Root::open(&root).unwrap()).unwrap();
        let audit = Audit::open(&state, 30).unwrap();
        let tasks = Tasks::load(state.clone());
        for id in ["begun", "ended", "quiet", "alive"] {
            tasks.assign(Some(id.into()), "x", 1, None).unwrap();
        }
        let round = Round {
            number: 0,
            patch: Digest::of("a"),
            verdict: Verdict::Block,
            blocking: 1,
            rules: Vec::new(),
            sent: Vec::new(),
            route: "fake/m".into(),
            usage: krins_backend::Usage::default(),
            stopped: None,
        };
        for (id, kinds) in
            [("begun", &["fix.round"][..]), ("ended", &["fix.round", "fix.ended"]), ("alive", &["fix.round"])]
        {
            tasks.update(id, |task| task.rounds.push(round.clone())).unwrap();
            for kind in kinds {
                audit.record(Event::of(kind, json!({"task": id, "part": "tests"}))).unwrap();
            }
        }
        drop(tasks);
        let _alive = state.hold("task-alive").unwrap().unwrap();
        for told in [&["begun", "ended", "quiet"][..], &[]] {
            let tasks = Tasks::load(state.clone());
            let mut here = end_rounds_that_were_begun(&audit, &tasks, None);
            here.sort();
            assert_eq!(here, told, "once, and not what another process is at");
            let about = About { task: None, kind: Some("fix.ended") };
            let ends: Vec<Value> =
                audit.tail_of(9, &about).unwrap().into_iter().map(|(_, about)| about.unwrap()).collect();
            assert_eq!(ends.len(), 2, "that of before, and one more: {ends:?}");
            assert_eq!(
                (&ends[1]["task"], &ends[1]["part"], &ends[1]["why"]),
                (&"begun".into(), &"tests".into(), &"interrupted".into())
            );
            let begun = tasks.get("begun").unwrap();
            assert_eq!(
                (begun.state, begun.rounds[0].stopped.as_deref()),
                (TaskState::Failed, Some("Krins was stopped"))
            );
            assert!(tasks.interrupted().is_empty(), "the next start need not look again");
            assert!(tasks.get("alive").unwrap().rounds[0].stopped.is_none());
        }
    }
}
