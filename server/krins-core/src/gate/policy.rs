//! `policy/*`: which paths a patch may touch, and who may.

use super::pattern::{fold, matches, matches_folded};
use super::weigh::{LevelRule, Waiver};
use super::{Author, Finding, LicenceRules, Scene, Verdict};
use crate::digest::Digest;
use crate::path::RelPath;
use crate::secrets::FingerprintKey;
use serde::Serialize;

/// What a patch may touch, what each rule counts for, and what somebody waived. Read from user scope and trusted files; a
/// repository that nobody trusts can only make it stricter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// Paths no patch may touch, as patterns: a trailing `/` means the directory, or a file in its place, and everything
    /// below; `*` anything within a component, `**` any number of them; no `/` the name in any directory. Compared without
    /// regard to case.
    pub protected: Vec<String>,
    /// The same for what runs elsewhere, decides there who must approve, or tells other programs what to do: no answer of a
    /// model may touch it. A person who hands over a patch of their own may, and is told.
    pub reviewed: Vec<String>,
    /// The same for what a build or a test run executes: a model may change it, and the person is told.
    pub asked: Vec<String>,
    /// What the person says that rules count for.
    pub levels: Vec<LevelRule>,
    /// The least that rules count for, by those who can only make things stricter.
    pub tightened: Vec<LevelRule>,
    pub waivers: Vec<Waiver>,
    /// Waivers whose day is over. They waive nothing; that they did is said.
    pub expired: Vec<Waiver>,
    /// Secrets that are none, or are known: a finding of `secrets/*` that one of these means is not made.
    pub allow: Vec<Waiver>,
    /// What secrets are called in findings and in `allow`. Written as a hash of it.
    pub fingerprints: FingerprintKey,
    /// Whether an owner may approve what they asked for themselves.
    pub self_approval: bool,
    /// Licences that are allowed and denied besides the built-in ones.
    pub licences: LicenceRules,
    /// The versions of the rules that are built in.
    pub rule_sets: Vec<String>,
}

/// What a build or a test run executes.
pub const ASKED: &[&str] = &[
    "Makefile",
    "GNUmakefile",
    "*.mk",
    "justfile",
    "Taskfile.yml",
    "Dockerfile",
    "Dockerfile.*",
    "docker-compose*.yml",
    "compose.yaml",
    "*.config.js",
    "*.config.cjs",
    "*.config.mjs",
    "*.config.ts",
    "*.config.cts",
    "*.config.mts",
    "gulpfile.*",
    "Gruntfile.*",
    ".eslintrc.*",
    ".babelrc.*",
    "build.rs",
    "setup.py",
    "conftest.py",
    "noxfile.py",
    "build.gradle",
    "build.gradle.kts",
    "CMakeLists.txt",
];

/// What runs after a push, where others look at it first, decides who must, or is read by other agents as orders.
pub const REVIEWED: &[&str] = &[
    ".github/workflows/",
    ".github/actions/",
    ".gitlab-ci.yml",
    ".circleci/",
    ".buildkite/",
    ".travis.yml",
    ".drone.yml",
    ".woodpecker/",
    ".woodpecker.yml",
    "Jenkinsfile",
    "azure-pipelines.yml",
    "bitbucket-pipelines.yml",
    "CODEOWNERS",
    "AGENTS.md",
    "CLAUDE.md",
    "GEMINI.md",
    ".github/copilot-instructions.md",
    ".github/instructions/",
    ".github/prompts/",
    ".github/dependabot.yml",
];

/// What runs on this machine without being asked, holds secrets, or decides how Krins, git, an editor or another agent
/// behaves.
pub const PROTECTED: &[&str] = &[
    ".git/",
    ".krins/",
    ".krinsignore",
    ".husky/",
    ".githooks/",
    ".pre-commit-config.yaml",
    ".pre-commit-hooks.yaml",
    "lefthook.yml",
    "lefthook-local.yml",
    ".lefthook.yml",
    ".lefthook/",
    "**/.vscode/tasks.json",
    "**/.vscode/settings.json",
    "**/.vscode/launch.json",
    "**/.vscode/mcp.json",
    "*.code-workspace",
    "*.sublime-project",
    ".idea/",
    ".vs/",
    ".fleet/",
    ".zed/",
    ".helix/",
    ".devcontainer/",
    ".devcontainer.json",
    ".exrc",
    ".nvimrc",
    ".nvim.lua",
    ".dir-locals.el",
    ".cursor/",
    ".cursorrules",
    ".claude/",
    ".codex/",
    ".gemini/",
    ".windsurf/",
    ".windsurfrules",
    ".continue/",
    ".clinerules",
    ".kiro/",
    ".roo/",
    ".aider.conf.yml",
    ".mcp.json",
    ".envrc",
    ".npmrc",
    ".yarnrc",
    ".yarnrc.yml",
    ".yarn/plugins/",
    ".yarn/releases/",
    ".pnpmfile.cjs",
    ".pnpmfile.mjs",
    "bunfig.toml",
    ".cargo/",
    ".bazelrc",
    "mise.toml",
    ".mise.toml",
    ".gitmodules",
    ".gitattributes",
    ".gitconfig",
    ".bashrc",
    ".bash_profile",
    ".profile",
    ".zshrc",
    ".zshenv",
    ".zprofile",
    ".ssh/",
    ".netrc",
    ".pypirc",
    ".env",
    ".env.*",
    ".env-*",
];

/// What decides about the gate itself: no level and no waiver opens these.
const OWN: &[&str] = &[".git/", ".krins/", ".krinsignore"];

/// A lock file, and the manifests of which one has to change with it.
const LOCKS: &[(&str, &[&str])] = &[
    ("package-lock.json", &["package.json"]),
    ("npm-shrinkwrap.json", &["package.json"]),
    ("yarn.lock", &["package.json"]),
    ("pnpm-lock.yaml", &["package.json", "pnpm-workspace.yaml"]),
    ("bun.lock", &["package.json"]),
    ("Cargo.lock", &["Cargo.toml"]),
    ("poetry.lock", &["pyproject.toml"]),
    ("uv.lock", &["pyproject.toml"]),
    ("go.sum", &["go.mod"]),
    ("Gemfile.lock", &["Gemfile"]),
    ("composer.lock", &["composer.json"]),
];

impl Default for Policy {
    fn default() -> Self {
        let owned = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
        Self {
            protected: owned(PROTECTED),
            reviewed: owned(REVIEWED),
            asked: owned(ASKED),
            levels: Vec::new(),
            tightened: Vec::new(),
            waivers: Vec::new(),
            expired: Vec::new(),
            allow: Vec::new(),
            self_approval: false,
            licences: LicenceRules::default(),
            fingerprints: FingerprintKey::default(),
            rule_sets: vec![concat!("krins ", env!("CARGO_PKG_VERSION")).to_owned()],
        }
    }
}

/// A pattern that a path is under, and what that means for the author.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard<'p> {
    pub rule: &'static str,
    pub verdict: Verdict,
    pub pattern: &'p str,
}

impl Policy {
    /// Covers all that can change a verdict.
    pub fn digest(&self) -> Digest {
        // Fields are written in the order of the type, and a value of these types can always be written.
        Digest::of(serde_json::to_vec(self).unwrap_or_default())
    }

    /// The pattern that keeps a change of the path away from the author's hands, or makes it worth a second look.
    pub fn protects(&self, path: &RelPath, author: Author) -> Option<(Verdict, &str)> {
        self.guards(path, author).map(|guard| (guard.verdict, guard.pattern))
    }

    /// The same, with the rule that it is.
    pub fn guards(&self, path: &RelPath, author: Author) -> Option<Guard<'_>> {
        let path = fold(path.as_str());
        let of = |patterns: &'_ [String]| patterns.iter().position(|pattern| matches(&fold(pattern), &path));
        let person = author == Author::Person;
        if let Some(at) = of(&self.protected) {
            return Some(Guard {
                rule: "policy/protected-path",
                verdict: Verdict::Block,
                pattern: &self.protected[at],
            });
        }
        if let Some(at) = of(&self.reviewed) {
            let verdict = if person { Verdict::Warn } else { Verdict::Block };
            return Some(Guard { rule: "policy/protected-path", verdict, pattern: &self.reviewed[at] });
        }
        let at = of(&self.asked).filter(|_| !person)?;
        Some(Guard { rule: "policy/executed-path", verdict: Verdict::Warn, pattern: &self.asked[at] })
    }
}

/// Whether the path decides about the gate itself, in whatever spelling.
pub(super) fn is_own(path: &RelPath) -> bool {
    OWN.iter().any(|pattern| matches_folded(pattern, path.as_str()))
}

/// `policy/*`: protected paths, both ends of a rename, files that are made as much as those that are changed; lock files
/// whose manifest stays as it was.
pub fn check_policy(scene: &Scene<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in scene.patch.files() {
        for path in [Some(&file.path), file.from.as_ref()].into_iter().flatten() {
            findings.extend(scene.policy.guards(path, scene.author).map(|guard| guarded(path, guard)));
        }
    }
    if scene.author == Author::Model {
        findings.extend(locks_alone(scene));
    }
    findings
}

fn guarded(path: &RelPath, guard: Guard<'_>) -> Finding {
    let (message, fix) = match (guard.rule, guard.verdict) {
        ("policy/executed-path", _) => {
            (format!("{path} is run by builds or tests (`{}`)", guard.pattern), "look at it before you run anything")
        }
        (_, Verdict::Block) => (format!("{path} is protected by `{}`", guard.pattern), "make this change by hand"),
        _ => (format!("{path} is protected by `{}`", guard.pattern), "have somebody look at it before it is pushed"),
    };
    Finding {
        rule: guard.rule.into(),
        verdict: guard.verdict,
        path: path.clone(),
        lines: None,
        message,
        fix: Some(fix.into()),
        link: None,
    }
}

/// A lock file that changes without a manifest was edited by hand: it can name any place for a known package.
fn locks_alone(scene: &Scene<'_>) -> Vec<Finding> {
    let files = scene.patch.files();
    let names: Vec<String> = files.iter().map(|file| fold(file.path.file_name())).collect();
    let alone = files.iter().zip(&names).filter_map(|(file, name)| {
        let (_, manifests) = LOCKS.iter().find(|(lock, _)| fold(lock) == *name)?;
        let with = manifests.iter().any(|manifest| names.contains(&fold(manifest)));
        (!with).then(|| (file, manifests[0]))
    });
    let finding = |(file, manifest): (&crate::patch::FilePatch, &str)| Finding {
        rule: "policy/lock-alone".into(),
        verdict: Verdict::Warn,
        path: file.path.clone(),
        lines: None,
        message: format!("{} changes, and no {manifest} does", file.path),
        fix: Some("let the package manager write it".into()),
        link: None,
    };
    alone.map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::{judge, patch};

    #[test]
    fn protected_paths_hold_in_every_spelling() {
        let policy = Policy::default();
        let verdict =
            |path: &str, author| policy.protects(&RelPath::new(path).unwrap(), author).map(|(verdict, _)| verdict);
        for path in [
            ".git/hooks/pre-commit",
            "GIT~1/config",
            ".git::$INDEX_ALLOCATION/config",
            "sub/.vscode/mcp.json",
            ".cursor/mcp.json",
            ".CURSOR/rules/a.mdc",
            "team.code-workspace",
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
    fn what_builds_run_is_said_and_a_lock_file_alone_too() {
        let policy = Policy::default();
        let guard = |path: &str, author| policy.guards(&RelPath::new(path).unwrap(), author).map(|guard| guard.rule);
        for path in ["Makefile", "packages/a/vite.config.ts", "Dockerfile", "build.rs", "test/conftest.py"] {
            assert_eq!(guard(path, Author::Model), Some("policy/executed-path"), "{path}");
            assert_eq!(guard(path, Author::Person), None, "{path}");
        }
        let rules = |path: &str| -> Vec<String> {
            let found = judge(&patch(path, Some("a\n"), Some("b\n")), check_policy);
            found.into_iter().map(|finding| finding.rule).collect()
        };
        assert_eq!(rules("packages/a/Yarn.lock"), ["policy/lock-alone"]);
        assert_eq!(rules("src/lock.ts"), [] as [&str; 0]);
    }
}
