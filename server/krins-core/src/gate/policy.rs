//! `policy/*`: which paths a patch may touch, and who may.

use super::{Author, Finding, Scene, Verdict};
use crate::digest::Digest;
use crate::path::RelPath;
use serde::Serialize;

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
pub fn check_policy(scene: &Scene<'_>) -> Vec<Finding> {
    let Scene { patch, policy, author, .. } = *scene;
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
                    link: None,
                });
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
