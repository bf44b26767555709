//! The quality gate: the only maker of [`Gated`], which is what the apply takes.
//!
//! [`CHECKS`] is the order: policy → secrets → licences → packages → owners → syntax → sast → honesty, then what runs commands or asks
//! a model ([`extend`]). What only looks at values runs side by side; the results stand in the order of the table. A report
//! is bound to the hash of the patch and of the policy, so a changed patch, also a subset of its hunks, has to pass again.

pub mod approvals;
pub mod build;
pub mod commands;
mod policy_file;
mod rulebook;
pub mod testing;
pub mod waivers;

pub use policy_file::{POLICY_FILE, Said};
pub use rulebook::{Rulebook, Standing, StoredWaiver};

pub(crate) use testing::path_in as testing_path;

use krins_core::Tree;
use krins_core::gate::{
    self, Approvals, Author, CheckRun, CommandRun, Finding, Policy, Reading, Report, Scene, Verdict, Weighed,
};
use krins_core::patch::Patch;
use std::collections::BTreeMap;
use std::time::Instant;

/// A check that only looks at values.
type Look = fn(&Scene<'_>) -> Vec<Finding>;

/// The order of the gate. Whatever a check finds is weighed by the policy before it counts.
const CHECKS: &[(&str, Look)] = &[
    ("policy", gate::check_policy),
    ("secrets", gate::check_secrets),
    ("licences", gate::check_licences),
    ("packages", gate::check_packages),
    ("owners", gate::check_owners),
    ("syntax", gate::check_syntax),
    ("sast", gate::check_sast),
    ("honesty", gate::check_honesty),
];

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

/// Hears where a check is: `None` when it begins, its verdict and its time when it has ended.
pub type Watch<'w> = &'w (dyn Fn(&str, Option<(Verdict, f64)>) + Sync);

/// Judges a patch of `base`. `Err` carries the report of a patch that is blocked.
pub fn run(patch: Patch, rules: &Rulebook, base: &(dyn Tree + Sync)) -> Result<Gated<Patch>, Box<Report>> {
    run_watched(patch, rules, base, &|_, _| ())
}

/// The same, and somebody hears of each check.
pub fn run_watched(
    patch: Patch,
    rules: &Rulebook,
    base: &(dyn Tree + Sync),
    watch: Watch<'_>,
) -> Result<Gated<Patch>, Box<Report>> {
    let report = judge_watched(&patch, rules, base, watch);
    settle(patch, report)
}

/// Admits a patch by its paths alone: for a patch that a person hands over as it is, to be applied and not judged, and
/// for conflict markers around a patch that was judged.
pub fn admit(patch: Patch, rules: &Rulebook, author: Author) -> Result<Gated<Patch>, Box<Report>> {
    let report = match rules.standing() {
        Err(error) => unreadable(&patch, &error),
        Ok(Standing { policy, .. }) => {
            let (nothing, nobody) = (BTreeMap::new(), Approvals::default());
            let reading = Reading::of(&patch);
            let (patch, policy) = (&patch, &policy);
            let scene = Scene { patch, policy, author, base: &nothing, approvals: &nobody, reading: &reading };
            let (run, weighed) = look(&scene, ("policy", gate::check_policy));
            Report::new(patch, policy, vec![run], weighed)
        }
    };
    settle(patch, report)
}

/// The report alone.
pub fn judge(patch: &Patch, rules: &Rulebook, base: &(dyn Tree + Sync)) -> Report {
    judge_watched(patch, rules, base, &|_, _| ())
}

fn judge_watched(patch: &Patch, rules: &Rulebook, base: &(dyn Tree + Sync), watch: Watch<'_>) -> Report {
    let Standing { policy, .. } = match rules.standing() {
        Ok(standing) => standing,
        Err(error) => return unreadable(patch, &error),
    };
    let approvals = rules.approvals(patch, &policy);
    let (author, reading) = (Author::Model, Reading::of(patch));
    let scene = Scene { patch, policy: &policy, author, base, approvals: &approvals, reading: &reading };
    let looks: Vec<(CheckRun, Weighed)> = std::thread::scope(|scope| {
        let threads: Vec<_> = CHECKS
            .iter()
            .map(|check| {
                watch(check.0, None);
                let looking = move || {
                    let looked = look(&scene, *check);
                    watch(check.0, Some((looked.0.verdict, looked.0.millis)));
                    looked
                };
                (check.0, scope.spawn(looking))
            })
            .collect();
        let ended = |(name, thread): (&'static str, std::thread::ScopedJoinHandle<'_, (CheckRun, Weighed)>)| {
            thread.join().unwrap_or_else(|_| failed(name, patch))
        };
        threads.into_iter().map(ended).collect()
    });
    let mut all = Weighed::default();
    let mut checks = Vec::new();
    for (run, weighed) in looks {
        checks.push(run);
        all.findings.extend(weighed.findings);
        all.waived.extend(weighed.waived);
    }
    Report::new(patch, &policy, checks, all)
}

/// Adds the findings of a check that came later, because it runs commands or asks a model. They are weighed like the others.
pub fn extend(
    gated: Gated<Patch>,
    rules: &Rulebook,
    (check, millis): (&str, f64),
    found: Vec<Finding>,
) -> Result<Gated<Patch>, Box<Report>> {
    let Gated { value: patch, report } = gated;
    let policy = match rules.standing() {
        Ok(standing) if standing.policy.digest() == report.policy => standing.policy,
        Ok(_) => return Err(Box::new(unreadable(&patch, &"judge the change: the policy changed meanwhile"))),
        Err(error) => return Err(Box::new(unreadable(&patch, &error))),
    };
    let Report { mut checks, findings: mut all, waived: mut all_waived, runs, mut later, .. } = report;
    later.extend(found.iter().cloned());
    let Weighed { findings, waived } = policy.weigh(&patch, found);
    checks.push(CheckRun { check: check.to_owned(), verdict: gate::worst(&findings), millis });
    all.extend(findings);
    all_waived.extend(waived);
    let mut report = Report::new(&patch, &policy, checks, Weighed { findings: all, waived: all_waived });
    (report.runs, report.later) = (runs, later);
    settle(patch, report)
}

/// Adds what running commands found, check by check.
pub fn with_runs(
    judged: Result<Gated<Patch>, Box<Report>>,
    rules: &Rulebook,
    found: commands::Found,
) -> Result<Gated<Patch>, Box<Report>> {
    let commands::Found { checks, findings, runs } = found;
    let mut gated = judged?;
    let mut left = findings;
    for check in checks {
        let (found, rest) = left.into_iter().partition(|finding| is_of(&check.check, finding));
        left = rest;
        gated = extend(gated, rules, (&check.check, check.millis), found).map_err(|report| ran(*report, &runs))?;
    }
    if !left.is_empty() {
        gated = extend(gated, rules, ("commands", 0.0), left).map_err(|report| ran(*report, &runs))?;
    }
    gated.report.runs.extend(runs);
    Ok(gated)
}

fn ran(mut report: Report, runs: &[CommandRun]) -> Box<Report> {
    report.runs.extend_from_slice(runs);
    Box::new(report)
}

/// Whether the finding is one of the check's; the build's check has those of types, too.
fn is_of(check: &str, finding: &Finding) -> bool {
    let of = finding.rule.split('/').next().unwrap_or_default();
    check == of || check == "build" && of == "types"
}

/// Whether a check comes after those that only look at values.
pub fn is_later(check: &str) -> bool {
    check != "gate" && CHECKS.iter().all(|(name, _)| *name != check)
}

/// What the checks of these names found that come later, before any policy weighed it.
pub fn as_found(report: &Report, is_meant: impl Fn(&str) -> bool) -> Vec<Finding> {
    let meant = |finding: &&Finding| finding.rule.split('/').next().is_some_and(|of| is_later(of) && is_meant(of));
    let as_found = report.later.iter().filter(meant);
    // A report of a version that kept them only as they were weighed.
    let weighed = report.findings.iter().chain(report.waived.iter().map(|waived| &waived.finding)).filter(meant);
    match as_found.clone().count() < weighed.clone().count() {
        true => weighed.cloned().collect(),
        false => as_found.cloned().collect(),
    }
}

/// The checks of these names that come later, with what they ran and found.
pub fn known(report: &Report, is_meant: impl Fn(&str) -> bool) -> commands::Found {
    let meant = |run: &&CheckRun| is_later(&run.check) && is_meant(&run.check);
    let checks: Vec<CheckRun> = report.checks.iter().filter(meant).cloned().collect();
    let runs = if checks.is_empty() { Vec::new() } else { report.runs.clone() };
    commands::Found { checks, findings: as_found(report, is_meant), runs }
}

/// What is known of a change by running commands or asking somebody stays found when the change is judged again: it is
/// weighed by the policy of now.
pub fn recall(mut report: Report, patch: &Patch, rules: &Rulebook, known: commands::Found) -> Report {
    // Where the policy cannot be read the change is blocked already, and what is known is kept all the same.
    let policy = rules.standing().map(|standing| standing.policy).unwrap_or_default();
    let commands::Found { mut checks, findings, runs } = known;
    let at = report.findings.len();
    add(&mut report, &policy, patch, findings);
    let weighed = report.findings.get(at..).unwrap_or_default();
    for run in &mut checks {
        let mine: Vec<Finding> = weighed.iter().filter(|finding| is_of(&run.check, finding)).cloned().collect();
        run.verdict = gate::worst(&mine);
    }
    report.checks.extend(checks);
    report.runs.extend(runs);
    report
}

/// What the honesty rules find in a patch, before any policy weighs it.
pub fn honesty_of(patch: &Patch, base: &(dyn Tree + Sync)) -> Vec<Finding> {
    let (policy, approvals, reading) = (Policy::default(), Approvals::default(), Reading::of(patch));
    let author = Author::Model;
    gate::check_honesty(&Scene { patch, policy: &policy, author, base, approvals: &approvals, reading: &reading })
}

/// Adds what was found later to the report of a change that is blocked already.
pub fn accuse(mut report: Report, patch: &Patch, rules: &Rulebook, check: &str, found: Vec<Finding>) -> Report {
    // A policy that cannot be read, or is another one now, judges the change anew before anything comes of it.
    if let Ok(standing) = rules.standing() {
        let verdict = add(&mut report, &standing.policy, patch, found);
        report.checks.push(CheckRun { check: check.to_owned(), verdict, millis: 0.0 });
    }
    report
}

/// Weighs what was found later into a report; the worst of it.
fn add(report: &mut Report, policy: &Policy, patch: &Patch, found: Vec<Finding>) -> Verdict {
    let Weighed { findings, waived } = policy.weigh(patch, found.clone());
    let worst = gate::worst(&findings);
    report.verdict = report.verdict.max(worst);
    report.findings.extend(findings);
    report.waived.extend(waived);
    report.later.extend(found);
    worst
}

/// The one place where a verdict becomes a proof.
fn settle(patch: Patch, report: Report) -> Result<Gated<Patch>, Box<Report>> {
    match report.verdict {
        Verdict::Pass | Verdict::Warn if report.patch == patch.digest() => Ok(Gated { value: patch, report }),
        _ => Err(Box::new(report)),
    }
}

fn look(scene: &Scene<'_>, (name, check): (&str, Look)) -> (CheckRun, Weighed) {
    let started = Instant::now();
    let weighed = scene.policy.weigh(scene.patch, check(scene));
    let millis = started.elapsed().as_secs_f64() * 1000.0;
    (CheckRun { check: name.to_owned(), verdict: gate::worst(&weighed.findings), millis }, weighed)
}

/// A check with a defect must not let anything through.
fn failed(name: &str, patch: &Patch) -> (CheckRun, Weighed) {
    let findings = firm(patch, "gate/check-failed", format!("the check {name} could not be carried out"));
    let run = CheckRun { check: name.to_owned(), verdict: Verdict::Block, millis: 0.0 };
    (run, Weighed { findings, waived: Vec::new() })
}

fn unreadable(patch: &Patch, why: &dyn std::fmt::Display) -> Report {
    let findings = firm(patch, "policy/unreadable", format!("the policy is not known: failed to {why}"));
    let run = CheckRun { check: "policy".to_owned(), verdict: Verdict::Block, millis: 0.0 };
    Report::new(patch, &Policy::default(), vec![run], Weighed { findings, waived: Vec::new() })
}

/// What no level and no waiver softens.
fn firm(patch: &Patch, rule: &str, message: String) -> Vec<Finding> {
    let path = patch.files().first().map(|file| file.path.clone()).or_else(|| krins_core::RelPath::new("patch").ok());
    let finding = |path| Finding {
        rule: rule.to_owned(),
        verdict: Verdict::Block,
        path,
        lines: None,
        message,
        fix: None,
        link: None,
    };
    path.map(finding).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use krins_core::RelPath;
    use krins_core::gate::{Level, LevelRule, Waiver};
    use krins_core::patch::Change;

    fn patch(path: &str, after: &str) -> Patch {
        let path = RelPath::new(path).unwrap();
        let (before, after) = (Some(b"a\n".as_slice().into()), Some(after.as_bytes().into()));
        Patch::between(vec![Change { path, from: None, before, after, executable: false }])
    }

    fn level(rule: &str, level: Level) -> LevelRule {
        LevelRule { rule: rule.into(), paths: Vec::new(), level }
    }

    #[test]
    fn results_stand_in_the_order_of_the_table_and_are_bound_to_patch_and_policy() {
        let (change, nothing) = (patch("src/a.ts", "b\n"), BTreeMap::new());
        let rules = Rulebook::from(Policy::default());
        let report = judge(&change, &rules, &nothing);
        let names: Vec<&str> = report.checks.iter().map(|run| run.check.as_str()).collect();
        assert_eq!(names, CHECKS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        let order = ["policy", "secrets", "licences", "packages", "owners", "syntax", "sast", "honesty"];
        let place = |name: &&str| order.iter().position(|known| known == name);
        assert!(names.iter().map(place).collect::<Vec<_>>().is_sorted(), "{names:?}");
        let policy = Policy::default();
        assert!(report.is_of(&change, &policy) && !report.is_of(&patch("src/a.ts", "c\n"), &policy));
        let other = Policy { levels: vec![level("syntax", Level::Off)], ..Policy::default() };
        assert!(!report.is_of(&change, &other));
    }

    #[test]
    fn a_blocked_patch_is_no_proof_and_a_level_or_a_waiver_is_what_opens_it() {
        let (change, nothing) = (patch(".npmrc", "b\n"), BTreeMap::new());
        let verdict =
            |policy: Policy| run(change.clone(), &Rulebook::from(policy), &nothing).map(|gated| gated.report.verdict);
        assert!(verdict(Policy::default()).is_err());
        let warned = Policy { levels: vec![level("policy/protected-path", Level::Warn)], ..Policy::default() };
        assert_eq!(verdict(warned), Ok(Verdict::Warn));
        let expires = "2999-01-01".parse().unwrap();
        let waiver = Waiver {
            rule: "policy/protected-path".into(),
            path: ".npmrc".into(),
            fingerprint: None,
            reason: "r".into(),
            expires,
        };
        let waived =
            run(change.clone(), &Rulebook::from(Policy { waivers: vec![waiver], ..Policy::default() }), &nothing);
        let report = waived.unwrap().report;
        assert_eq!((report.verdict, report.waived.len()), (Verdict::Pass, 1));
    }

    #[test]
    fn what_comes_later_is_weighed_and_can_still_block() {
        let (change, nothing) = (patch("src/a.ts", "b\n"), BTreeMap::new());
        let finding = Finding {
            rule: "tests/failed".into(),
            verdict: Verdict::Block,
            path: RelPath::new("src/a.ts").unwrap(),
            lines: None,
            message: "m".into(),
            fix: None,
            link: None,
        };
        let rules = Rulebook::from(Policy::default());
        let gated = || run(change.clone(), &rules, &nothing).unwrap();
        assert!(extend(gated(), &rules, ("tests", 1.0), vec![finding.clone()]).is_err());
        let later = extend(gated(), &rules, ("tests", 1.0), Vec::new()).unwrap();
        assert_eq!(later.report().checks.last().map(|run| run.check.as_str()), Some("tests"));
        let off = Rulebook::from(Policy { levels: vec![level("tests", Level::Off)], ..Policy::default() });
        let gated = run(change.clone(), &off, &nothing).unwrap();
        assert!(extend(gated.clone(), &off, ("tests", 1.0), vec![finding]).is_ok());
        assert!(extend(gated, &rules, ("tests", 1.0), Vec::new()).is_err(), "another policy than it was judged by");
    }

    #[test]
    fn a_check_that_breaks_blocks() {
        let change = patch("src/a.ts", "b\n");
        let (run, weighed) = failed("syntax", &change);
        assert_eq!((run.verdict, weighed.findings[0].rule.as_str()), (Verdict::Block, "gate/check-failed"));
        assert_eq!(unreadable(&change, &"read x").verdict, Verdict::Block);
    }
}
