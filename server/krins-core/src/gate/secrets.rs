//! `secrets/*`: what a patch brings that must not be in a repository.
//!
//! Only what the patch adds counts, and only where it adds: a secret that is there as often before as after, in all files
//! of the patch together, was moved and is not new. A finding names the rule and a keyed fingerprint, never the secret.

use super::reading::Both;
use super::{Finding, Scene, Verdict};
use crate::patch::FilePatch;
use crate::secrets::{self, Veiled};
use memchr::memmem;
use std::collections::BTreeMap;
use std::ops::Range;

/// Lines around what is added that a match may begin and end in.
const CONTEXT: usize = 12;

/// What stands in a comment that allows a secret on its line or the next, with the reason behind it. It counts where it
/// stood before the patch.
const ALLOW: &str = "krins:allow-secret";

/// `secrets/*`: secrets that the patched texts hold more often than the base does.
pub fn check_secrets(scene: &Scene<'_>) -> Vec<Finding> {
    let sides: Vec<Sides<'_>> = scene.reading.files().iter().map(Sides::of).collect();
    let mut counts = Counts::default();
    let mut findings = Vec::new();
    for side in &sides {
        for secret in side.added() {
            if side.is_allowed(&secret) || !counts.is_new(&secret, &sides) {
                continue;
            }
            let finding = finding(side, &secret, scene);
            let fingerprint = scene.policy.fingerprints.fingerprint(&secret.secret);
            let means = |allow: &super::Waiver| allow.means(&finding.rule, &finding.path, fingerprint.as_deref());
            if !scene.policy.allow.iter().any(means) {
                findings.push(finding);
            }
        }
    }
    findings
}

/// A file's text on both sides of the patch.
struct Sides<'a> {
    file: &'a FilePatch,
    before: &'a str,
    after: &'a str,
}

impl<'a> Sides<'a> {
    fn of(both: &'a Both<'_>) -> Self {
        Self { file: both.file, before: &both.before.text, after: &both.after.text }
    }

    /// The secrets in what the patch adds, in the order of the text: those that stand there, then those that are veiled.
    fn added(&self) -> Vec<Veiled> {
        let added = self.added_lines();
        if added.is_empty() {
            return Vec::new();
        }
        let (text, path) = (self.after, Some(self.file.path.as_str()));
        let around = widened(text, &added);
        let is_added = |range: &Range<usize>| {
            added.iter().any(|added| range.start < added.end && added.start < range.end.max(range.start + 1))
        };
        let mut found: Vec<Veiled> = secrets::scan_file(text, path, &around)
            .into_iter()
            .map(|hit| Veiled { rule: hit.rule, secret: text[hit.range.clone()].to_owned(), range: hit.range })
            .collect();
        let plain = found.len();
        for veiled in secrets::scan_veiled(text, path, &around) {
            let is_plain = |hit: &Veiled| hit.range.start < veiled.range.end && veiled.range.start < hit.range.end;
            if !found[..plain].iter().any(is_plain) {
                found.push(veiled);
            }
        }
        found.retain(|secret| is_added(&secret.range));
        found
    }

    /// The bytes of the lines that the patch adds.
    fn added_lines(&self) -> Vec<Range<usize>> {
        let text = self.after;
        let mut starts = vec![0];
        starts.extend(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1));
        let start_of = |line: usize| starts.get(line).copied().unwrap_or(text.len());
        let mut added: Vec<Range<usize>> = Vec::new();
        for hunk in &self.file.hunks {
            let mut line = hunk.after[0] as usize;
            for body in &hunk.lines {
                match body.as_bytes().first() {
                    Some(b'+') => {
                        let range = start_of(line)..start_of(line + 1);
                        match added.last_mut().filter(|last| last.end == range.start) {
                            Some(last) => last.end = range.end,
                            None => added.push(range),
                        }
                        line += 1;
                    }
                    Some(b'-' | b'\\') => {}
                    Some(_) | None => line += 1,
                }
            }
        }
        added
    }

    /// Whether a comment on the secret's line or the one before allows it, and stood there before the patch.
    fn is_allowed(&self, secret: &Veiled) -> bool {
        let from = secrets::lines_around(self.after, secret.range.start, 0).start;
        let above = from.checked_sub(1).map_or(0..0, |end| secrets::lines_around(self.after, end, 0));
        let own = secrets::lines_around(self.after, secret.range.start, 0);
        [own, above].into_iter().any(|line| {
            let line = self.after[line].trim();
            has_reason(line) && self.before.lines().any(|before| before.trim() == line)
        })
    }
}

/// Whether a line allows a secret and says why.
fn has_reason(line: &str) -> bool {
    line.split_once(ALLOW).is_some_and(|(_, reason)| reason.chars().filter(|c| c.is_alphanumeric()).count() >= 3)
}

/// The ranges with some lines around them, merged.
fn widened(text: &str, ranges: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut wide: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        let start = secrets::lines_around(text, range.start, CONTEXT).start;
        let end = secrets::lines_around(text, range.end, CONTEXT).end;
        match wide.last_mut().filter(|last| start <= last.end) {
            Some(last) => last.end = last.end.max(end),
            None => wide.push(start..end),
        }
    }
    wide
}

/// How often each secret may still be found before it is new.
#[derive(Default)]
struct Counts {
    left: BTreeMap<String, usize>,
    /// What was veiled in the base, once it is asked for.
    veiled: Option<Vec<Veiled>>,
}

impl Counts {
    fn is_new(&mut self, secret: &Veiled, sides: &[Sides<'_>]) -> bool {
        if !self.left.contains_key(&secret.secret) {
            let known = self.known(secret, sides);
            self.left.insert(secret.secret.clone(), known);
        }
        let left = self.left.get_mut(&secret.secret);
        match left {
            Some(0) | None => true,
            Some(left) => {
                *left -= 1;
                false
            }
        }
    }

    /// How often the patch may say the secret and add none: as often as it takes one away, in whichever of its files.
    fn known(&mut self, secret: &Veiled, sides: &[Sides<'_>]) -> usize {
        let of = |text: &str| memmem::find_iter(text.as_bytes(), secret.secret.as_bytes()).count();
        let before: usize = sides.iter().map(|side| of(side.before)).sum();
        let after: usize = sides.iter().map(|side| of(side.after)).sum();
        let added: usize = sides
            .iter()
            .map(|side| side.added_lines().iter().map(|range| of(&side.after[range.clone()])).sum::<usize>())
            .sum();
        let veiled = self.veiled.get_or_insert_with(|| {
            let all = |side: &Sides<'_>| {
                let whole = 0..side.before.len();
                secrets::scan_veiled(side.before, Some(side.file.path.as_str()), std::slice::from_ref(&whole))
            };
            sides.iter().flat_map(all).collect()
        });
        let veiled = veiled.iter().filter(|known| known.secret == secret.secret).count();
        // What stays where it is is not among the added: only what the base has beyond that was moved.
        (before + veiled).saturating_sub(after.saturating_sub(added))
    }
}

fn finding(side: &Sides<'_>, secret: &Veiled, scene: &Scene<'_>) -> Finding {
    let line = |at: usize| memchr::memchr_iter(b'\n', &side.after.as_bytes()[..at]).count() as u32 + 1;
    let last = secret.range.end.max(secret.range.start + 1) - 1;
    Finding {
        rule: format!("secrets/{}", secret.rule),
        verdict: if secrets::is_guess(secret.rule) { Verdict::Warn } else { Verdict::Block },
        path: side.file.path.clone(),
        lines: Some([line(secret.range.start), line(last)]),
        message: match scene.policy.fingerprints.fingerprint(&secret.secret) {
            Some(print) => format!("the change adds what looks like a secret ({}, fingerprint {print})", secret.rule),
            None => format!("the change adds what looks like a secret ({})", secret.rule),
        },
        fix: Some("read it from the environment or a secret store instead".into()),
        link: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RelPath;
    use crate::gate::testing::{judge, patch};
    use crate::patch::{Change, Patch};

    fn secret(tail: &str) -> String {
        format!("ghp_q7Rf2ZkP9vXw3LmT8sNbH5cYdJ1gUa4eKo{tail}")
    }

    fn rules(before: Option<&str>, after: &str) -> Vec<String> {
        judge(&patch("a.ts", before, Some(after)), check_secrets).into_iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn only_an_added_secret_blocks() {
        let secret = format!("const k = '{}';\n", secret("6B"));
        assert!(judge(&patch("a.ts", Some(&secret), Some(&format!("{secret}x();\n"))), check_secrets).is_empty());
        let found = judge(&patch("a.ts", Some("x();\n"), Some(&format!("x();\n{secret}"))), check_secrets);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].lines, Some([2, 2]));
        assert!(!format!("{found:?}").contains("ghp_"), "a finding never repeats the secret");
    }

    #[test]
    fn a_moved_secret_is_not_new_and_a_copied_one_is() {
        let line = format!("export const k = '{}';\n", secret("6B"));
        let change = |path: &str, before: Option<&str>, after: Option<&str>| Change {
            path: RelPath::new(path).unwrap(),
            from: None,
            before: before.map(|text| text.as_bytes().into()),
            after: after.map(|text| text.as_bytes().into()),
            executable: false,
        };
        let found = |changes: Vec<Change>| judge(&Patch::between(changes), check_secrets).len();
        assert_eq!(found(vec![change("a.ts", Some(&line), Some("\n")), change("b.ts", None, Some(&line))]), 0);
        assert_eq!(found(vec![change("a.ts", Some(&line), None), change("b.ts", None, Some(&line))]), 0);
        let both = format!("{line}{line}");
        assert_eq!(found(vec![change("a.ts", Some(&line), Some("\n")), change("b.ts", None, Some(&both))]), 1);
        let more = format!("x();\n{line}");
        assert_eq!(found(vec![change("a.ts", Some(&line), Some(&more)), change("b.ts", None, Some(&line))]), 1);
        assert_eq!(found(vec![change("a.ts", Some(&line), Some(&line.replace("6B", "7C")))]), 1);
        assert_eq!(found(vec![change("a.ts", Some(&line), Some(&line.replace("export ", "")))]), 0);
    }

    #[test]
    fn pieces_and_other_spellings_are_found_where_they_are_added() {
        use base64::Engine as _;
        let key = secret("6B");
        let base = base64::engine::general_purpose::STANDARD.encode(&key);
        for text in [
            format!("const k = '{}' + '{}';\n", &key[..9], &key[9..]),
            format!("const k = ['{}', '{}'].join('');\n", &key[..3], &key[3..]),
            format!("const k = atob('{base}');\n"),
            format!("const a = '{}';\nconst k = a + '{}';\n", &key[..9], &key[9..]),
        ] {
            assert_eq!(rules(Some("x();\n"), &format!("x();\n{text}")), ["secrets/github-token"], "{text}");
            assert_eq!(rules(Some(&text), &format!("x();\n{text}")), [] as [&str; 0], "{text}");
            let found = judge(&patch("a.ts", None, Some(&text)), check_secrets);
            assert!(!format!("{found:?}").contains("q7Rf2Zk"), "{found:?}");
        }
    }

    #[test]
    fn the_policy_allows_by_fingerprint_or_path_until_its_day() {
        use crate::gate::{Approvals, Author, Policy, Waiver};
        use crate::secrets::FingerprintKey;
        let change = patch("test/a.ts", None, Some(&format!("const k = '{}';\n", secret("6B"))));
        let key = FingerprintKey::new([7; 32]);
        let print = key.fingerprint(&secret("6B"));
        let found = |path: &str, fingerprint: Option<String>, today: &str| {
            let allow = Waiver {
                rule: "secrets".into(),
                path: path.into(),
                fingerprint,
                reason: "a key of the sandbox".into(),
                expires: "2027-01-31".parse().unwrap(),
            };
            let policy = Policy { allow: vec![allow], fingerprints: key.clone(), ..Policy::default() };
            let policy = policy.on(today.parse().unwrap());
            let (base, approvals) = (BTreeMap::new(), Approvals::default());
            check_secrets(&Scene {
                patch: &change,
                policy: &policy,
                author: Author::Model,
                base: &base,
                approvals: &approvals,
                reading: &super::super::Reading::of(&change),
            })
        };
        assert!(found("test/", None, "2027-01-31").is_empty());
        assert!(found("**", print.clone(), "2027-01-31").is_empty());
        assert_eq!(found("test/", None, "2027-02-01").len(), 1);
        assert_eq!(found("src/", print.clone(), "2027-01-31").len(), 1);
        let [finding] = found("**", Some("0".repeat(24)), "2027-01-31").try_into().unwrap();
        assert!(finding.message.contains(&print.unwrap()), "{}", finding.message);
    }

    #[test]
    fn a_comment_allows_only_where_it_stood_before() {
        let comment = "// krins:allow-secret a key of the sandbox, revoked\n";
        let line = format!("const k = '{}';\n", secret("6B"));
        assert_eq!(rules(Some("x();\n"), &format!("x();\n{comment}{line}")), ["secrets/github-token"]);
        let before = format!("{comment}const k = '';\n");
        assert_eq!(rules(Some(&before), &format!("{comment}{line}")), [] as [&str; 0]);
        let bare = "// krins:allow-secret\n";
        assert_eq!(rules(Some(&format!("{bare}const k = '';\n")), &format!("{bare}{line}")), ["secrets/github-token"]);
    }
}
