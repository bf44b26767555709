//! What a policy makes of findings: the level of each rule, and what somebody waived.

use super::pattern::{matches, matches_folded};
use super::policy::is_own;
use super::rules::FIRM;
use super::{Day, Finding, Policy, Verdict, text};
use crate::digest::Digest;
use crate::patch::Patch;
use crate::path::RelPath;
use serde::{Deserialize, Serialize};

/// What a rule's findings count for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Off,
    Warn,
    Block,
}

/// A level for a rule, or for all whose names begin with these components.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LevelRule {
    /// `sast`, `sast/eval`.
    pub rule: String,
    /// Only below these; everywhere without any.
    pub paths: Vec<String>,
    pub level: Level,
}

/// Somebody's word that a finding is to be lived with for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiver {
    /// A rule, or a check for all of its rules.
    pub rule: String,
    /// A path pattern.
    pub path: String,
    /// Only while the lines that were found read as they did ([`fingerprint`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    pub reason: String,
    /// The last day on which it counts.
    pub expires: Day,
}

/// A finding that a waiver keeps out of the verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waived {
    pub finding: Finding,
    pub reason: String,
    pub expires: Day,
}

/// Findings as the policy sees them.
#[derive(Clone, Debug, Default)]
pub struct Weighed {
    pub findings: Vec<Finding>,
    pub waived: Vec<Waived>,
}

impl Policy {
    /// The policy as it is on a day: what has expired waives nothing.
    #[must_use]
    pub fn on(mut self, today: Day) -> Self {
        let all = self.waivers.drain(..).chain(self.expired.drain(..)).collect::<Vec<_>>();
        (self.waivers, self.expired) = all.into_iter().partition(|waiver| today <= waiver.expires);
        self.allow.retain(|allow| today <= allow.expires);
        self
    }

    /// Gives each finding its level, and takes out what is waived.
    pub fn weigh(&self, patch: &Patch, found: Vec<Finding>) -> Weighed {
        let mut weighed = Weighed::default();
        let mut said: Vec<&Waiver> = Vec::new();
        for mut finding in found {
            if self.is_firm(&finding) {
                weighed.findings.push(finding);
                continue;
            }
            match self.level(&finding.rule, &finding.path) {
                Some(Level::Off) => finding.verdict = Verdict::Pass,
                Some(Level::Warn) => finding.verdict = Verdict::Warn,
                Some(Level::Block) => finding.verdict = Verdict::Block,
                None => {}
            }
            if let Some(least) = self.least(&finding.rule, &finding.path) {
                finding.verdict = finding.verdict.max(least);
            }
            if finding.verdict == Verdict::Pass {
                // A note that nobody turned off is shown; it weighs nothing.
                if self.level(&finding.rule, &finding.path) != Some(Level::Off) {
                    weighed.findings.push(finding);
                }
                continue;
            }
            let covers = |waiver: &&Waiver| waiver.covers(&finding, patch);
            if let Some(waiver) = self.waivers.iter().find(covers) {
                let (reason, expires) = (waiver.reason.clone(), waiver.expires);
                weighed.waived.push(Waived { finding, reason, expires });
                continue;
            }
            if let Some(waiver) = self.expired.iter().find(covers).filter(|waiver| !said.contains(waiver)) {
                said.push(waiver);
                weighed.findings.push(expired(waiver, &finding));
            }
            weighed.findings.push(finding);
        }
        weighed
    }

    /// What nobody softens: the gate's own state, and the files that decide about the gate.
    fn is_firm(&self, finding: &Finding) -> bool {
        FIRM.contains(&finding.rule.as_str()) || finding.rule == "policy/protected-path" && is_own(&finding.path)
    }

    /// The level that the policy has for a rule at a path: the longest name wins, then the one with paths, then the last.
    pub fn level(&self, rule: &str, path: &RelPath) -> Option<Level> {
        let fitting = self.levels.iter().filter(|level| level.fits(rule, path));
        fitting.max_by_key(|level| (level.rule.len(), !level.paths.is_empty())).map(|level| level.level)
    }

    /// The least that those may ask for who can only make things stricter.
    fn least(&self, rule: &str, path: &RelPath) -> Option<Verdict> {
        let of = |level: Level| match level {
            Level::Off => Verdict::Pass,
            Level::Warn => Verdict::Warn,
            Level::Block => Verdict::Block,
        };
        self.tightened.iter().filter(|level| level.fits(rule, path)).map(|level| of(level.level)).max()
    }
}

impl LevelRule {
    fn fits(&self, rule: &str, path: &RelPath) -> bool {
        // What makes stricter holds in every spelling, what softens only in the one that was written.
        let fits = if self.level == Level::Block { matches_folded } else { matches };
        names(&self.rule, rule) && (self.paths.is_empty() || self.paths.iter().any(|of| fits(of, path.as_str())))
    }
}

impl Waiver {
    /// Whether it means this secret, for the list of those that are allowed.
    pub(super) fn means(&self, rule: &str, path: &RelPath, fingerprint: Option<&str>) -> bool {
        names(&self.rule, rule)
            && matches(&self.path, path.as_str())
            && self.fingerprint.as_ref().is_none_or(|of| fingerprint == Some(of))
    }

    fn covers(&self, finding: &Finding, patch: &Patch) -> bool {
        names(&self.rule, &finding.rule)
            && matches(&self.path, finding.path.as_str())
            && self.fingerprint.as_ref().is_none_or(|of| fingerprint(finding, patch).as_ref() == Some(of))
    }
}

/// Whether the name is the rule's, or its check's.
fn names(name: &str, rule: &str) -> bool {
    rule.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn expired(waiver: &Waiver, finding: &Finding) -> Finding {
    Finding {
        rule: "policy/expired-waiver".into(),
        verdict: Verdict::Warn,
        path: finding.path.clone(),
        lines: finding.lines,
        message: format!("the waiver of {} for {} ended on {}", waiver.rule, waiver.path, waiver.expires),
        fix: Some("mend what is found, or waive it again with a new reason and day".into()),
        link: None,
    }
}

/// What a finding is about, whatever line it moves to: the rule, the path, and what stands in the lines. `None` for a
/// secret, whose text no waiver may hold even hashed.
pub fn fingerprint(finding: &Finding, patch: &Patch) -> Option<String> {
    if finding.rule.starts_with("secrets/") {
        return None;
    }
    let file = patch.files().iter().find(|file| file.path == finding.path);
    let after = text(file.and_then(|file| file.after.as_deref()));
    let lines: Vec<&str> = match finding.lines {
        Some([first, last]) => {
            let skip = first.saturating_sub(1) as usize;
            after.lines().skip(skip).take((last.saturating_sub(first) as usize).min(1000) + 1).map(str::trim).collect()
        }
        None => Vec::new(),
    };
    let whole = format!("{}\n{}\n{}", finding.rule, finding.path, lines.join("\n"));
    Some(Digest::of(whole).to_string().chars().take(16).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::patch;

    fn finding(rule: &str, path: &str, verdict: Verdict) -> Finding {
        let (path, lines) = (RelPath::new(path).unwrap(), Some([2, 2]));
        Finding { rule: rule.into(), verdict, path, lines, message: "m".into(), fix: None, link: None }
    }

    fn level(rule: &str, paths: &[&str], level: Level) -> LevelRule {
        LevelRule { rule: rule.into(), paths: paths.iter().map(|path| (*path).to_owned()).collect(), level }
    }

    fn waiver(rule: &str, path: &str, expires: &str) -> Waiver {
        let expires = expires.parse().unwrap();
        Waiver { rule: rule.into(), path: path.into(), fingerprint: None, reason: "because".into(), expires }
    }

    fn verdicts(policy: &Policy, found: &[Finding]) -> Vec<(String, Verdict)> {
        let weighed = policy.weigh(&patch("src/a.ts", Some("1\n"), Some("1\n2\n")), found.to_vec());
        weighed.findings.into_iter().map(|finding| (finding.rule, finding.verdict)).collect()
    }

    #[test]
    fn the_longest_name_wins_then_paths_then_the_last() {
        let policy = Policy {
            levels: vec![
                level("sast", &[], Level::Block),
                level("sast/eval", &[], Level::Warn),
                level("sast/eval", &["legacy/**"], Level::Off),
                level("honesty", &[], Level::Off),
                level("honesty", &[], Level::Warn),
            ],
            ..Policy::default()
        };
        let found = [
            finding("sast/eval", "src/a.ts", Verdict::Block),
            finding("sast/eval", "legacy/a.ts", Verdict::Block),
            finding("sast/evaluate", "src/a.ts", Verdict::Warn),
            finding("honesty/any", "src/a.ts", Verdict::Block),
            finding("syntax/new-error", "src/a.ts", Verdict::Block),
        ];
        let expect = [
            ("sast/eval", Verdict::Warn),
            ("sast/evaluate", Verdict::Block),
            ("honesty/any", Verdict::Warn),
            ("syntax/new-error", Verdict::Block),
        ];
        assert_eq!(verdicts(&policy, &found), expect.map(|(rule, verdict)| (rule.to_owned(), verdict)));
    }

    #[test]
    fn who_is_not_trusted_can_only_tighten() {
        let policy = Policy {
            levels: vec![level("honesty", &[], Level::Off)],
            tightened: vec![level("honesty", &[], Level::Warn), level("sast", &[], Level::Off)],
            ..Policy::default()
        };
        let found =
            [finding("honesty/any", "src/a.ts", Verdict::Warn), finding("sast/eval", "src/a.ts", Verdict::Block)];
        let expect = [("honesty/any".to_owned(), Verdict::Warn), ("sast/eval".to_owned(), Verdict::Block)];
        assert_eq!(verdicts(&policy, &found), expect);
    }

    #[test]
    fn a_waiver_covers_its_rule_path_text_and_days() {
        let today =
            |day: &str, waiver: Waiver| Policy { waivers: vec![waiver], ..Policy::default() }.on(day.parse().unwrap());
        let found = [finding("sast/eval", "src/a.ts", Verdict::Block)];
        let change = patch("src/a.ts", Some("1\n"), Some("1\n2\n"));
        let left = |policy: &Policy| verdicts(policy, &found).len();
        assert_eq!(left(&today("2027-01-31", waiver("sast/eval", "src/a.ts", "2027-01-31"))), 0);
        assert_eq!(left(&today("2027-01-31", waiver("sast", "src/", "2027-01-31"))), 0);
        assert_eq!(left(&today("2027-01-31", waiver("sast/eva", "src/a.ts", "2027-01-31"))), 1);
        assert_eq!(left(&today("2027-01-31", waiver("sast/eval", "src/A.ts", "2027-01-31"))), 1);
        let gone = today("2027-02-01", waiver("sast/eval", "src/a.ts", "2027-01-31"));
        assert_eq!(verdicts(&gone, &found)[0].0, "policy/expired-waiver");
        assert_eq!(verdicts(&gone, &found)[1].0, "sast/eval");
        let print = fingerprint(&found[0], &change);
        let pinned = Waiver { fingerprint: print, ..waiver("sast/eval", "src/a.ts", "2027-01-31") };
        assert_eq!(left(&today("2027-01-31", pinned.clone())), 0);
        let other = Waiver { fingerprint: Some("0000000000000000".into()), ..pinned };
        assert_eq!(left(&today("2027-01-31", other)), 1);
        assert_eq!(fingerprint(&finding("secrets/x", "src/a.ts", Verdict::Block), &change), None);
    }

    #[test]
    fn nothing_softens_what_guards_the_gate() {
        let policy = Policy {
            levels: vec![level("policy", &[], Level::Off)],
            waivers: vec![waiver("policy", "**", "2999-01-01"), waiver("gate", "**", "2999-01-01")],
            ..Policy::default()
        };
        let found = [
            finding("policy/protected-path", ".krins/policy.toml", Verdict::Block),
            finding("policy/protected-path", ".GIT/config", Verdict::Block),
            finding("gate/check-failed", "src/a.ts", Verdict::Block),
            finding("policy/protected-path", ".npmrc", Verdict::Block),
        ];
        assert_eq!(verdicts(&policy, &found).len(), 3);
    }

    #[test]
    fn the_hash_covers_what_changes_a_verdict() {
        let plain = Policy::default();
        let changed = [
            Policy { levels: vec![level("sast", &[], Level::Off)], ..Policy::default() },
            Policy { tightened: vec![level("sast", &[], Level::Off)], ..Policy::default() },
            Policy { waivers: vec![waiver("sast", "a", "2027-01-31")], ..Policy::default() },
            Policy { expired: vec![waiver("sast", "a", "2027-01-31")], ..Policy::default() },
            Policy { allow: vec![waiver("secrets", "a", "2027-01-31")], ..Policy::default() },
            Policy { protected: vec!["a".into()], ..Policy::default() },
            Policy { reviewed: vec!["a".into()], ..Policy::default() },
            Policy { asked: vec!["a".into()], ..Policy::default() },
            Policy { self_approval: !plain.self_approval, ..Policy::default() },
            Policy { rule_sets: vec!["other".into()], ..Policy::default() },
        ];
        let mut seen = std::collections::BTreeSet::from([plain.digest()]);
        assert!(changed.iter().all(|policy| seen.insert(policy.digest())));
    }
}
