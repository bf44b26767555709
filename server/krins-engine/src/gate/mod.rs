//! The quality gate: the only maker of [`Gated`], which is what the apply takes.
//!
//! Cheap checks first; a report is bound to the hash of the patch and of the policy, so a changed patch, also a subset
//! of its hunks, has to pass again.

use krins_core::Tree;
use krins_core::gate::{self, Author, CheckRun, Finding, Policy, Report, Scene, Verdict};
use krins_core::patch::Patch;
use std::collections::BTreeMap;
use std::time::Instant;

/// Proof that the gate did not block the value.
#[derive(Clone, Debug)]
#[must_use = "a gated patch that is dropped was checked for nothing"]
pub struct Gated<T> {
    value: T,
    report: Report,
}

impl<T> Gated<T> {
    pub fn value(&self) -> &T {
        &self.value
    }

    pub fn report(&self) -> &Report {
        &self.report
    }
}

/// Judges a patch of `base`. `Err` carries the report of a patch that is blocked.
pub fn run(patch: Patch, policy: &Policy, base: &dyn Tree) -> Result<Gated<Patch>, Box<Report>> {
    let report = judge(&patch, policy, base);
    match report.verdict {
        Verdict::Block => Err(Box::new(report)),
        Verdict::Pass | Verdict::Warn => Ok(Gated { value: patch, report }),
    }
}

/// Admits a patch by its paths alone: for a patch that a person hands over as it is, to be applied and not judged, and
/// for conflict markers around a patch that was judged.
pub fn admit(patch: Patch, policy: &Policy, author: Author) -> Result<Gated<Patch>, Box<Report>> {
    let started = Instant::now();
    let nothing = BTreeMap::new();
    let findings = gate::check_policy(&Scene { patch: &patch, policy, author, base: &nothing });
    let millis = started.elapsed().as_secs_f64() * 1000.0;
    let checks = vec![CheckRun { check: "policy".to_owned(), verdict: gate::worst(&findings), millis }];
    let report = Report::new(&patch, policy, checks, findings);
    match report.verdict {
        Verdict::Block => Err(Box::new(report)),
        Verdict::Pass | Verdict::Warn => Ok(Gated { value: patch, report }),
    }
}

/// The report alone, in the order policy → secrets → honesty → syntax.
pub fn judge(patch: &Patch, policy: &Policy, base: &dyn Tree) -> Report {
    let scene = Scene { patch, policy, author: Author::Model, base };
    let mut checks = Vec::new();
    let mut findings = Vec::new();
    let mut check = |name: &str, run: fn(&Scene<'_>) -> Vec<Finding>| {
        let started = Instant::now();
        let found = run(&scene);
        let millis = started.elapsed().as_secs_f64() * 1000.0;
        checks.push(CheckRun { check: name.to_owned(), verdict: gate::worst(&found), millis });
        findings.extend(found);
    };
    check("policy", gate::check_policy);
    check("secrets", gate::check_secrets);
    check("honesty", gate::check_hidden_unicode);
    check("syntax", gate::check_syntax);
    Report::new(patch, policy, checks, findings)
}
