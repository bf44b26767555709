//! The gate's pure checks and its report: what a patch brings, judged before anybody sees it.
//!
//! Only what the patch adds counts: an error or a secret that was there before is not this change's fault.

use crate::digest::Digest;
use crate::patch::{ChangeKind, FilePatch, Patch, text_of};
use crate::path::RelPath;
use crate::{secrets, syntax};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Pass,
    Warn,
    Block,
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
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckRun {
    pub check: String,
    pub verdict: Verdict,
    pub millis: f64,
}

/// Bound to one patch and one policy: a changed patch has no verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub verdict: Verdict,
    pub patch: Digest,
    pub policy: Digest,
    pub checks: Vec<CheckRun>,
    pub findings: Vec<Finding>,
}

impl Report {
    /// The worst verdict of its findings decides.
    pub fn new(patch: &Patch, policy: &Policy, checks: Vec<CheckRun>, findings: Vec<Finding>) -> Self {
        Self { verdict: worst(&findings), patch: patch.digest(), policy: policy.digest(), checks, findings }
    }
}

/// The worst verdict among findings; pass when there are none.
pub fn worst(findings: &[Finding]) -> Verdict {
    findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Pass)
}

/// What a patch may touch. Read from user scope only; a repository cannot loosen it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// Paths no patch may touch, as patterns: a trailing `/` means the directory, or a file in its place, and everything
    /// below; `*` anything within a component; no `/` the file name in any directory. Compared without regard to case.
    pub protected: Vec<String>,
    /// The same for what runs elsewhere, or decides there who must approve: no answer of a model may touch it. A person
    /// who hands over a patch of their own may, and is told.
    pub reviewed: Vec<String>,
}

/// Whose change it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    /// A model's answer to a task.
    Model,
    /// A person hands it over to be applied as it is.
    Person,
}

/// What runs after a push, where others look at it first, or decides who must.
pub const REVIEWED: &[&str] = &[
    ".github/workflows/",
    ".github/actions/",
    ".gitlab-ci.yml",
    ".circleci/",
    ".buildkite/",
    ".travis.yml",
    ".drone.yml",
    "Jenkinsfile",
    "azure-pipelines.yml",
    "bitbucket-pipelines.yml",
    "CODEOWNERS",
];

/// What runs on this machine without being asked, holds secrets, or decides how Krins and git behave.
pub const PROTECTED: &[&str] = &[
    ".git/",
    ".krins/",
    ".krinsignore",
    ".husky/",
    ".githooks/",
    ".pre-commit-config.yaml",
    "lefthook.yml",
    ".vscode/tasks.json",
    ".vscode/settings.json",
    ".vscode/launch.json",
    ".idea/",
    ".zed/",
    ".helix/",
    ".devcontainer/",
    ".exrc",
    ".nvim.lua",
    ".dir-locals.el",
    ".envrc",
    ".npmrc",
    ".yarnrc.yml",
    ".gitmodules",
    ".gitattributes",
    ".env",
    ".env.*",
];

impl Default for Policy {
    fn default() -> Self {
        let owned = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
        Self { protected: owned(PROTECTED), reviewed: owned(REVIEWED) }
    }
}

impl Policy {
    pub fn digest(&self) -> Digest {
        Digest::of([self.protected.join("\n"), self.reviewed.join("\n")].join("\n\n"))
    }

    /// The pattern that keeps a change of the path away from the author's hands, or makes it worth a second look.
    pub fn protects(&self, path: &RelPath, author: Author) -> Option<(Verdict, &str)> {
        let path = fold(path.as_str());
        let of = |patterns: &[String]| patterns.iter().position(|pattern| matches(&fold(pattern), &path));
        let reviewed = if author == Author::Person { Verdict::Warn } else { Verdict::Block };
        match (of(&self.protected), of(&self.reviewed)) {
            (Some(at), _) => Some((Verdict::Block, &self.protected[at])),
            (None, Some(at)) => Some((reviewed, &self.reviewed[at])),
            (None, None) => None,
        }
    }
}

/// One spelling for all that a case-insensitive or normalising file system takes for the same name (APFS, NTFS):
/// compatibility decomposition, ignorable characters dropped, lower case, no trailing dots and spaces.
fn fold(path: &str) -> String {
    use unicode_normalization::UnicodeNormalization as _;
    let ignorable = |c: &char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{ad}');
    let folded: String = path.nfkd().filter(|c| !ignorable(c)).flat_map(char::to_lowercase).collect();
    folded.split('/').map(|part| part.trim_end_matches(['.', ' '])).collect::<Vec<_>>().join("/")
}

fn matches(pattern: &str, path: &str) -> bool {
    if let Some(dir) = pattern.strip_suffix('/') {
        // A file in the directory's place counts: a `.git` file leads git to a directory of its writer's choice.
        return !dir.contains('/') && path.split('/').any(|part| part == dir)
            || path.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    }
    if !pattern.contains('/') {
        return glob(pattern, path.rsplit('/').next().unwrap_or(path));
    }
    let (pattern, path): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), path.split('/').collect());
    pattern.len() == path.len() && pattern.iter().zip(path).all(|(pattern, part)| glob(pattern, part))
}

/// `*` stands for any run of characters.
fn glob(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

/// `policy/*`: protected paths, both ends of a rename.
pub fn check_policy(patch: &Patch, policy: &Policy, author: Author) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in patch.files() {
        for path in [Some(&file.path), file.from.as_ref()].into_iter().flatten() {
            if let Some((verdict, pattern)) = policy.protects(path, author) {
                findings.push(Finding {
                    rule: "policy/protected-path".into(),
                    verdict,
                    path: path.clone(),
                    lines: None,
                    message: format!("{path} is protected by `{pattern}`"),
                    fix: Some(match verdict {
                        Verdict::Block => "make this change by hand".into(),
                        Verdict::Pass | Verdict::Warn => "have somebody look at it before it is pushed".into(),
                    }),
                });
            }
        }
    }
    findings
}

/// `secrets/*`: secrets that the patched text holds more often than the base does.
pub fn check_secrets(patch: &Patch) -> Vec<Finding> {
    patch.files().iter().flat_map(new_secrets).collect()
}

fn new_secrets(file: &FilePatch) -> Vec<Finding> {
    let (before, after) = (text(file.before.as_deref()), text(file.after.as_deref()));
    let (before, after) = (&*before, &*after);
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    for hit in secrets::scan(before) {
        *known.entry(&before[hit.range]).or_default() += 1;
    }
    let mut findings = Vec::new();
    for hit in secrets::scan(after) {
        if let Some(count) = known.get_mut(&after[hit.range.clone()]).filter(|count| **count > 0) {
            *count -= 1;
            continue;
        }
        let line = |at: usize| after[..at].matches('\n').count() as u32 + 1;
        findings.push(Finding {
            rule: format!("secrets/{}", hit.rule),
            verdict: Verdict::Block,
            path: file.path.clone(),
            lines: Some([line(hit.range.start), line(hit.range.end)]),
            message: format!("the change adds what looks like a secret ({})", hit.rule),
            fix: Some("read it from the environment or a secret store instead".into()),
        });
    }
    findings
}

/// `syntax/*`: errors that the patch brings.
pub fn check_syntax(patch: &Patch) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in patch.files().iter().filter(|file| file.kind != ChangeKind::Delete) {
        let before = file.before.as_deref().map(|bytes| text(Some(bytes)));
        for error in syntax::new_errors(&file.path, before.as_deref(), &text(file.after.as_deref())) {
            findings.push(Finding {
                rule: "syntax/new-error".into(),
                verdict: Verdict::Block,
                path: file.path.clone(),
                lines: Some(error.lines),
                message: error.message,
                fix: None,
            });
        }
    }
    findings
}

/// `honesty/hidden-unicode`: bidirectional controls and invisible characters that the patch adds (CVE-2021-42574).
pub fn check_hidden_unicode(patch: &Patch) -> Vec<Finding> {
    let hidden = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}' | '\u{2060}' | '\u{e0000}'..='\u{e007f}');
    let mut findings = Vec::new();
    for file in patch.files() {
        let count = |text: &str| text.chars().filter(|c| hidden(*c)).count();
        let after = text(file.after.as_deref());
        if count(&after) <= count(&text(file.before.as_deref())) {
            continue;
        }
        let line = after.lines().position(|line| line.chars().any(hidden)).map_or(1, |at| at as u32 + 1);
        findings.push(Finding {
            rule: "honesty/hidden-unicode".into(),
            verdict: Verdict::Block,
            path: file.path.clone(),
            lines: Some([line, line]),
            message: "the change adds invisible or direction-changing characters".into(),
            fix: Some("write them as escapes such as \\u202e".into()),
        });
    }
    findings
}

fn text(bytes: Option<&[u8]>) -> Cow<'_, str> {
    bytes.and_then(text_of).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::Change;

    fn patch(path: &str, before: Option<&str>, after: Option<&str>) -> Patch {
        let bytes = |text: &str| text.as_bytes().into();
        let path = RelPath::new(path).unwrap();
        Patch::between(vec![Change {
            path,
            from: None,
            before: before.map(bytes),
            after: after.map(bytes),
            executable: false,
        }])
    }

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
        assert_eq!(check_secrets(&change(&key)).len(), 1);
        assert_eq!(check_syntax(&change("export const = 1\n")).len(), 1);
        assert_eq!(check_hidden_unicode(&change("export const a = 1 // \u{202e}\n")).len(), 1);
        assert!(check_secrets(&change("export const a = 2\n")).is_empty());
    }

    #[test]
    fn protected_paths_hold_in_every_spelling() {
        let policy = Policy::default();
        let verdict =
            |path: &str, author| policy.protects(&RelPath::new(path).unwrap(), author).map(|(verdict, _)| verdict);
        for path in [
            ".git/hooks/pre-commit",
            "a/.git/config",
            ".GIT/config",
            ".g\u{200c}it/config",
            ".git./config",
            "CODEOWNERS",
            ".github/CODEOWNERS",
            "docs/codeowners",
            ".github/workflows/ci.yml",
            ".krins/config.toml",
            ".env",
            "app/.env.local",
            ".ｇit/config",
            "vendored/.git",
            ".github/workflows",
            "tools/.envrc",
        ] {
            assert_eq!(verdict(path, Author::Model), Some(Verdict::Block), "{path}");
        }
        for path in [
            "src/git/config.ts",
            "src/env.ts",
            ".github/ISSUE_TEMPLATE.md",
            "environment.ts",
            ".gitignore",
            "x.git/config",
        ] {
            assert_eq!(verdict(path, Author::Model), None, "{path}");
        }
    }

    #[test]
    fn a_person_may_change_what_others_look_at_and_never_what_runs_here() {
        let mut policy = Policy::default();
        let verdict = |policy: &Policy, path: &str| {
            policy.protects(&RelPath::new(path).unwrap(), Author::Person).map(|(verdict, _)| verdict)
        };
        for path in [".github/workflows/ci.yml", ".GitHub/Workflows/ci.yml", "docs/CODEOWNERS", "Jenkinsfile"] {
            assert_eq!(verdict(&policy, path), Some(Verdict::Warn), "{path}");
        }
        for path in
            [".git/hooks/pre-commit", ".g\u{200c}it/config", ".husky/pre-commit", ".envrc", ".krins/config.toml"]
        {
            assert_eq!(verdict(&policy, path), Some(Verdict::Block), "{path}");
        }
        policy.protected.push(".github/workflows/".into());
        assert_eq!(verdict(&policy, ".github/workflows/ci.yml"), Some(Verdict::Block), "the settings say no");
    }

    #[test]
    fn only_an_added_secret_blocks() {
        let secret = format!("const k = 'ghp_{}';\n", "q7Rf2ZkP9vXw3LmT8sNbH5cYdJ1gUa4eKo6B");
        assert!(check_secrets(&patch("a.ts", Some(&secret), Some(&format!("{secret}x();\n")))).is_empty());
        let found = check_secrets(&patch("a.ts", Some("x();\n"), Some(&format!("x();\n{secret}"))));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].lines, Some([2, 2]));
        assert!(!format!("{found:?}").contains("ghp_"), "a finding never repeats the secret");
    }

    #[test]
    fn hidden_characters_block_when_added() {
        assert_eq!(check_hidden_unicode(&patch("a.ts", Some("a\n"), Some("a\nb\u{202e}c\n")))[0].lines, Some([2, 2]));
        assert!(check_hidden_unicode(&patch("a.ts", Some("\u{202e}\n"), Some("\u{202e}x\n"))).is_empty());
    }
}
