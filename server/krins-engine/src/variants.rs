//! Several answers to one task, side by side under one budget: each is placed and judged by itself, the best is shown, and
//! the others stay where they can be looked at and taken. It must not know how an answer is asked for.

use crate::error::Error;
use crate::gate::Gated;
use crate::tasks::Step;
use krins_backend::router::Decision;
use krins_backend::{Ask, BackendError, Proposal};
use krins_core::gate::{Report, Verdict};
use krins_core::patch::Patch;

/// The most answers that are asked for at once.
pub const MOST: u8 = 5;

/// One answer, or why there is none.
pub struct Tried {
    pub variant: u32,
    pub ask: Ask,
    /// How it was chosen who answers.
    pub choice: Option<Decision>,
    pub outcome: Result<Placed, Error>,
    /// The backend's own word, where it gave no answer.
    pub failed: Option<BackendError>,
    pub steps: Vec<Step>,
}

/// An answer in the one normal form, with the gate's verdict.
pub struct Placed {
    pub proposal: Proposal,
    pub patch: Patch,
    pub verdict: Result<Gated<Patch>, Box<Report>>,
}

impl Placed {
    pub fn report(&self) -> &Report {
        match &self.verdict {
            Ok(gated) => gated.report(),
            Err(report) => report,
        }
    }
}

/// Less is better: the gate's verdict, then the judge's objections, then what it left open, then the lines that change.
fn rank(report: &Report, patch: &Patch) -> (Verdict, usize, usize, usize) {
    let judge = |unjudged: bool| {
        let rules = report.findings.iter().map(|finding| finding.rule.as_str());
        rules.filter(|rule| rule.starts_with("judge/") && (*rule == crate::judging::UNJUDGED) == unjudged).count()
    };
    (report.verdict, judge(false), judge(true), size(patch))
}

/// Lines that a patch takes away or adds.
fn size(patch: &Patch) -> usize {
    let lines = patch.files().iter().flat_map(|file| &file.hunks).flat_map(|hunk| &hunk.lines);
    lines.filter(|line| line.starts_with(['+', '-'])).count()
}

/// Takes the best answer out; of equals the one that was asked for first. `None` when there is no answer at all.
pub fn take_best(tried: &mut Vec<Tried>) -> Option<Tried> {
    let ranked = tried.iter().enumerate().filter_map(|(at, one)| {
        let placed = one.outcome.as_ref().ok()?;
        Some((rank(placed.report(), &placed.patch), one.variant, at))
    });
    let (_, _, at) = ranked.min()?;
    Some(tried.remove(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::gate;
    use krins_backend::Usage;
    use krins_core::RelPath;
    use krins_core::gate::{Finding, Policy};
    use krins_core::patch::Change;
    use krins_core::prompt::{PROMPT_VERSION, Prompt};
    use krins_core::redact::redact;
    use std::collections::BTreeMap;

    fn ask() -> Ask {
        let prompt = Prompt { version: PROMPT_VERSION, intent: "x".into(), focus: None, items: Vec::new() };
        Ask {
            task: "t".into(),
            prompt: redact(prompt).0,
            provider: None,
            model: None,
            max_output_tokens: 1,
            fresh: false,
            account: Default::default(),
        }
    }

    fn tried(variant: u32, text: &str, objections: &[&str], level: Verdict) -> Tried {
        let path = RelPath::new("src/a.ts").unwrap();
        let change = Change {
            path: path.clone(),
            from: None,
            before: Some(b"export const a = 1;\n".as_slice().into()),
            after: Some(text.as_bytes().into()),
            executable: false,
        };
        let patch = Patch::between(vec![change]);
        let rules = gate::Rulebook::from(Policy::default());
        let verdict = gate::run(patch.clone(), &rules, &BTreeMap::new()).unwrap();
        let findings = objections
            .iter()
            .map(|rule| Finding {
                rule: (*rule).to_owned(),
                verdict: level,
                path: path.clone(),
                lines: None,
                message: "x".into(),
                fix: None,
                link: None,
            })
            .collect();
        let verdict = gate::extend(verdict, &rules, ("judge", 1.0), findings);
        let proposal = Proposal {
            text: String::new(),
            provider: "p".into(),
            model: "m".into(),
            usage: Usage::default(),
            cached: false,
            why: Vec::new(),
            degraded: None,
        };
        Tried {
            variant,
            ask: ask(),
            choice: None,
            outcome: Ok(Placed { proposal, patch, verdict }),
            failed: None,
            steps: Vec::new(),
        }
    }

    #[test]
    fn the_best_is_that_of_the_gate_then_of_the_judge_then_the_smallest() {
        let failed =
            Tried { outcome: Err(Error::new(ErrorKind::BudgetExceeded, "x")), ..tried(0, "", &[], Verdict::Pass) };
        let long = "export const a = 2;\nexport const b = 3;\nexport const c = 4;\n";
        let mut all = vec![
            failed,
            tried(1, "export const a = 2;\n", &["judge/tests"], Verdict::Block),
            tried(2, "export const a = 2;\n", &["judge/tests", "judge/scope"], Verdict::Warn),
            tried(3, "export const a = 2;\n", &["judge/unjudged"], Verdict::Warn),
            tried(4, long, &[], Verdict::Pass),
            tried(5, "export const a = 2;\n", &[], Verdict::Pass),
            tried(6, "export const a = 2;\n", &[], Verdict::Pass),
        ];
        let order: Vec<u32> = std::iter::from_fn(|| take_best(&mut all)).map(|one| one.variant).collect();
        assert_eq!(order, [5, 6, 4, 3, 2, 1]);
        assert_eq!(all.len(), 1, "what failed is still there to be told");
    }
}
