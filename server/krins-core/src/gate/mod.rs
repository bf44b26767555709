//! The gate's pure checks and its report: what a patch brings, judged before anybody sees it.
//!
//! Only what the patch adds counts: an error or a secret that was there before is not this change's fault. One file a
//! check; each takes the [`Scene`] and gives findings with its own verdict.

mod approval;
mod day;
mod hidden;
mod honesty;
pub mod licences;
pub mod lock;
mod owners;
pub mod packages;
mod parts;
mod pattern;
mod policy;
mod reading;
mod rules;
mod sarif;
mod sast;
pub mod sbom;
mod secrets;
mod syntax;
mod table;
mod taint;
mod weigh;

pub use approval::{Approvals, Approved, Document, NotCounted, Wanted, base_digest};
pub use day::{Day, NotADay};
pub use hidden::check_hidden_unicode;
pub use honesty::check_honesty;
pub use licences::{LicenceRules, check_licences};
pub use owners::check_owners;
pub use packages::check_packages;
pub use policy::{ASKED, Guard, PROTECTED, Policy, REVIEWED, check_policy};
pub use reading::Reading;
pub use rules::{is_rule, nearest_rule};
pub use sarif::sarif;
pub use sast::{check_sast, warm};
pub use secrets::check_secrets;
pub use syntax::check_syntax;
pub use table::{RuleRow, rule_page, rule_table};
pub use weigh::{Level, LevelRule, Waived, Waiver, Weighed, fingerprint};

use crate::digest::Digest;
use crate::patch::{Patch, text_of};
use crate::path::RelPath;
use crate::tree::Tree;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Pass,
    Warn,
    Block,
}

impl Verdict {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Block => "block",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// `check/rule`.
    pub rule: String,
    pub verdict: Verdict,
    pub path: RelPath,
    /// 1-based inclusive lines of the patched text.
    pub lines: Option<[u32; 2]>,
    pub message: String,
    pub fix: Option<String>,
    /// Where more about the rule is to be read.
    pub link: Option<String>,
}

impl Finding {
    /// Names it: without the lines, so that a finding that moved is the same one.
    pub fn id(&self) -> Digest {
        Digest::of(format!("{}\n{}\n{}", self.rule, self.path, self.message))
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckRun {
    pub check: String,
    pub verdict: Verdict,
    pub millis: f64,
}

/// A command that a check ran, and what the sandbox held.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CommandRun {
    pub check: String,
    pub command: String,
    /// How it ended, for a person.
    pub end: String,
    /// `full`, `partial` or `none`.
    pub sandbox: String,
    pub held: Vec<String>,
    pub missing: Vec<String>,
    pub by: Vec<String>,
    pub millis: f64,
    pub note: Option<String>,
}

/// Bound to one patch and one policy: a changed patch has no verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub verdict: Verdict,
    pub patch: Digest,
    pub policy: Digest,
    pub checks: Vec<CheckRun>,
    pub findings: Vec<Finding>,
    /// What was found and is kept out of the verdict, with the reason that somebody gave.
    #[serde(default)]
    pub waived: Vec<Waived>,
    /// What was run for it.
    #[serde(default)]
    pub runs: Vec<CommandRun>,
    /// What was found by running or asking, before the policy weighed it: it can be weighed again without finding it again.
    #[serde(default)]
    pub later: Vec<Finding>,
}

impl Report {
    /// The worst verdict of its findings decides. The findings are as the policy weighs them.
    pub fn new(patch: &Patch, policy: &Policy, checks: Vec<CheckRun>, weighed: Weighed) -> Self {
        let Weighed { findings, waived } = weighed;
        Self {
            verdict: worst(&findings),
            patch: patch.digest(),
            policy: policy.digest(),
            checks,
            findings,
            waived,
            runs: Vec::new(),
            later: Vec::new(),
        }
    }

    /// Whether it speaks of this patch under this policy.
    pub fn is_of(&self, patch: &Patch, policy: &Policy) -> bool {
        self.patch == patch.digest() && self.policy == policy.digest()
    }
}

/// Where the rule's check is described.
pub fn link_of(rule: &str) -> String {
    let check = rule.split('/').next().unwrap_or(rule);
    format!("https://github.com/krins-dev/krins/blob/main/docs/gate.md#{check}")
}

/// The worst verdict among findings; pass when there are none.
pub fn worst(findings: &[Finding]) -> Verdict {
    findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Pass)
}

/// Whose change it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    /// A model's answer to a task.
    Model,
    /// A person hands it over to be applied as it is.
    Person,
}

/// What a check may look at.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    pub patch: &'a Patch,
    pub policy: &'a Policy,
    pub author: Author,
    /// The files as they are without the patch: manifests, lock files, owners.
    pub base: &'a (dyn Tree + Sync),
    /// Who approved the patch.
    pub approvals: &'a Approvals,
    /// What the checks read of the patch, each thing once for all of them.
    pub reading: &'a Reading<'a>,
}

/// The text of a side of a change; empty where there is none.
fn text(bytes: Option<&[u8]>) -> Cow<'_, str> {
    bytes.and_then(text_of).unwrap_or_default()
}

/// Whether a path is that of a test, or of what only tests use.
fn is_test_path(path: &RelPath) -> bool {
    let path = path.as_str();
    let name = path.rsplit('/').next().unwrap_or(path);
    let stem = name.split('.').next().unwrap_or(name);
    let is_dir = |part: &str| {
        matches!(
            part,
            "test"
                | "tests"
                | "__tests__"
                | "__test__"
                | "spec"
                | "specs"
                | "e2e"
                | "__mocks__"
                | "__fixtures__"
                | "fixtures"
                | "testdata"
                | "cypress"
                | "integration-tests"
                | "test-utils"
        )
    };
    let marked = [".test.", ".spec.", ".e2e.", ".cy.", "-test.", "_test.", ".test-d.", ".bench."];
    path.split('/').rev().skip(1).any(is_dir)
        || marked.iter().any(|mark| name.contains(mark))
        || stem.starts_with("test_")
        || stem == "conftest"
}

#[cfg(test)]
mod testing {
    use super::lock::Ecosystem;
    use super::{Approvals, Author, Finding, Policy, Reading, Scene};
    use crate::RelPath;
    use crate::patch::{Change, Patch};
    use crate::tree::{Entry, Installed, Surroundings, Tree};
    use std::collections::BTreeMap;
    use std::sync::Arc;

    /// What a check finds in a model's change where there is nothing else.
    pub(super) fn judge(patch: &Patch, check: impl Fn(&Scene<'_>) -> Vec<Finding>) -> Vec<Finding> {
        let (policy, base, approvals) = (Policy::default(), BTreeMap::new(), Approvals::default());
        let (author, reading) = (Author::Model, Reading::of(patch));
        check(&Scene { patch, policy: &policy, author, base: &base, approvals: &approvals, reading: &reading })
    }

    /// A change of one file.
    pub(super) fn patch(path: &str, before: Option<&str>, after: Option<&str>) -> Patch {
        Patch::between(vec![change(path, before, after)])
    }

    pub(super) fn change(path: &str, before: Option<&str>, after: Option<&str>) -> Change {
        let bytes = |text: &str| text.as_bytes().into();
        let path = RelPath::new(path).unwrap();
        Change { path, from: None, before: before.map(bytes), after: after.map(bytes), executable: false }
    }

    /// A workspace in memory, with what is installed in it.
    #[derive(Default)]
    pub(super) struct Around {
        files: BTreeMap<RelPath, Arc<[u8]>>,
        installed: BTreeMap<String, (String, Installed)>,
    }

    impl Around {
        pub fn write(&mut self, path: &str, text: &str) {
            self.files.insert(RelPath::new(path).unwrap(), text.as_bytes().into());
        }

        pub fn install(&mut self, name: &str, version: &str, manifest: &str, licence: Option<&str>) {
            let package = Installed { manifest: manifest.into(), licence: licence.map(Into::into) };
            self.installed.insert(name.to_owned(), (version.to_owned(), package));
        }
    }

    impl Tree for Around {
        fn entry(&self, path: &RelPath) -> Entry {
            Tree::entry(&self.files, path)
        }

        fn surroundings(&self) -> Option<&dyn Surroundings> {
            Some(self)
        }
    }

    impl Surroundings for Around {
        fn files(&self) -> Vec<RelPath> {
            self.files.keys().cloned().collect()
        }

        fn on_disk(&self, path: &RelPath) -> Option<Arc<str>> {
            self.files.text(path)
        }

        fn is_installed(&self, _: &str, name: &str) -> bool {
            self.installed.contains_key(name)
        }

        fn installed(&self, _: Ecosystem, _: &str, name: &str, version: &str) -> Option<Installed> {
            let (has, package) = self.installed.get(name)?;
            (version.is_empty() || has == version).then(|| package.clone())
        }
    }

    pub(super) fn judge_around(
        patch: &Patch,
        around: &Around,
        policy: &Policy,
        check: impl Fn(&Scene<'_>) -> Vec<Finding>,
    ) -> Vec<Finding> {
        let (approvals, reading) = (Approvals::default(), Reading::of(patch));
        let (author, base) = (Author::Model, around);
        check(&Scene { patch, policy, author, base, approvals: &approvals, reading: &reading })
    }

    /// A lock file of npm with the entries.
    pub(super) fn lock_of(entries: &str) -> String {
        format!(
            r#"{{"lockfileVersion": 3, "packages": {{"": {{}}{}{entries}}}}}"#,
            if entries.is_empty() { "" } else { ", " }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::testing::judge;
    use super::*;
    use crate::patch::Change;

    #[test]
    fn what_is_utf_16_is_read_too() {
        let wide = |text: &str| -> std::sync::Arc<[u8]> {
            std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
        };
        let change = |after: &str| {
            let path = RelPath::new("src/a.ts").unwrap();
            let (before, after) = (Some(wide("export const a = 1\n")), Some(wide(after)));
            Patch::between(vec![Change { path, from: None, before, after, executable: false }])
        };
        let key = format!("export const a = 'ghp_{}'\n", "q7Rf2ZkP9vXw3LmT8sNbH5cYdJ1gUa4eKo6B");
        assert_eq!(judge(&change(&key), check_secrets).len(), 1);
        assert_eq!(judge(&change("export const = 1\n"), check_syntax).len(), 1);
        assert_eq!(judge(&change("export const a = 1 // \u{202e}\n"), check_hidden_unicode).len(), 1);
        assert!(judge(&change("export const a = 2\n"), check_secrets).is_empty());
    }
}
