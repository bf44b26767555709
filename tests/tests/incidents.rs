//! What went wrong elsewhere, and must not here: incidents of other tools that were about paths, trust and configuration, by
//! their numbers. And what a person sees of policy, waivers, owners, approvals and the audit, through the program.

use krins_core::RelPath;
use krins_core::gate::{Author, Policy, Verdict};
use krins_tests::command::{Ran, command, krins, run};
use krins_tests::workspace::Workspace;
use serde_json::Value;

const FIXTURE: &str = "\
//- /src/total.ts
export const total = 1;
//- /package.json
{\"name\": \"shop\"}
";

fn shop() -> Workspace {
    Workspace::from_fixture(FIXTURE)
}

/// A unified diff that makes a file.
fn creating(path: &str, line: &str) -> String {
    format!("--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+{line}\n")
}

fn gate(workspace: &Workspace, patch: &str) -> Ran {
    run(command(workspace, &["gate", "--json"]), patch.as_bytes())
}

fn rules(ran: &Ran) -> Vec<String> {
    let findings = ran.json()["findings"].as_array().cloned().unwrap_or_default();
    findings.iter().map(|finding| finding["rule"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Whether a model's change of the path cannot be made: the path is none, or the policy blocks it.
fn is_shut(path: &str) -> bool {
    let policy = Policy::default();
    RelPath::new(path).map_or(true, |path| {
        policy.protects(&path, Author::Model).is_some_and(|(verdict, _)| verdict == Verdict::Block)
    })
}

#[track_caller]
fn all_shut<'p>(paths: impl IntoIterator<Item = &'p str>) {
    let open: Vec<&str> = paths.into_iter().filter(|path| !is_shut(path)).collect();
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn cve_2025_54135_a_protected_file_that_is_made_counts_as_one_that_is_changed() {
    let workspace = shop();
    for path in [".cursor/mcp.json", ".vscode/mcp.json", ".mcp.json", ".claude/settings.json", ".husky/pre-commit"] {
        let ran = gate(&workspace, &creating(path, "{}")).expect(1);
        assert_eq!(rules(&ran), ["policy/protected-path"], "{path}");
        assert!(!workspace.path(path).exists());
    }
}

#[test]
fn cve_2025_54136_trust_is_in_content_and_not_in_a_name() {
    let workspace = shop();
    let off = "[levels]\npolicy = \"off\"\n";
    workspace.write(".krins/policy.toml", off);
    let patch = creating(".npmrc", "registry=x");
    gate(&workspace, &patch).expect(1);
    krins(&workspace, &["trust"]).expect(0);
    gate(&workspace, &patch).expect(0);
    workspace.write(".krins/policy.toml", format!("{off}sast = \"off\"\n"));
    gate(&workspace, &patch).expect(1);
    krins(&workspace, &["trust", "--revoke"]).expect(0);
    workspace.write(".krins/policy.toml", off);
    gate(&workspace, &patch).expect(1);
}

#[test]
fn cve_2025_54130_editors_own_files_are_shut() {
    all_shut([
        ".vscode/settings.json",
        ".vscode/tasks.json",
        ".vscode/launch.json",
        "x.code-workspace",
        "a/.idea/workspace.xml",
        ".zed/settings.json",
    ]);
}

#[test]
fn cve_2025_59944_case_is_no_way_around() {
    all_shut([
        ".CURSOR/mcp.json",
        ".Cursor/MCP.json",
        ".Git/hooks/pre-commit",
        ".GIT/config",
        ".Krins/policy.toml",
        "CodeOwners",
    ]);
}

#[test]
fn cve_2025_53773_no_answer_writes_what_approves_answers() {
    all_shut([
        ".vscode/settings.json",
        ".krins/policy.toml",
        ".krins/config.toml",
        ".krins/allowed_signers",
        ".krins/teams.toml",
        ".krins/approvals/x.json",
    ]);
    // Not even where the policy opens everything.
    let workspace = shop();
    workspace.write(".krins/policy.toml", "[levels]\npolicy = \"off\"\n");
    krins(&workspace, &["trust"]).expect(0);
    let patch = "--- a/.krins/policy.toml\n+++ b/.krins/policy.toml\n@@ -1,2 +1,2 @@\n [levels]\n-policy = \"off\"\n+secrets = \"off\"\n";
    assert_eq!(rules(&gate(&workspace, patch).expect(1)), ["policy/protected-path"]);
}

#[test]
fn cve_2025_54794_a_directory_that_begins_the_same_is_another() {
    for path in ["../shop-evil/a.ts", "/etc/passwd", "..", "a/../../b", "C:/x"] {
        assert!(RelPath::new(path).is_err(), "{path}");
    }
    for path in [".github-actions/x.yml", ".krinsx/a", "x.git/config", ".gitignore", "src/.envoy.ts"] {
        assert!(!is_shut(path), "{path}");
    }
}

#[test]
fn cve_2025_59041_git_is_not_asked_and_its_configuration_is_shut() {
    all_shut([
        ".git/config",
        ".gitmodules",
        ".gitattributes",
        ".gitconfig",
        "vendored/.git",
        "a/.git/hooks/post-checkout",
    ]);
    let workspace = shop();
    workspace.write(".git/HEAD", "ref: refs/heads/main\n");
    let mark = workspace.path("ran");
    let line = format!("touch {}", mark.display());
    workspace.write(".git/config", format!("[core]\n\tfsmonitor = {line}\n\thooksPath = hooks\n[user]\n\temail = \"$({line})\"\n[diff]\n\texternal = {line}\n"));
    gate(&workspace, &creating("src/b.ts", "export {};")).expect(0);
    krins(&workspace, &["doctor"]);
    assert!(!mark.exists());
}

#[test]
fn cve_2025_65099_59536_2026_21852_33068_a_hostile_workspace_decides_nothing() {
    let workspace = shop();
    workspace.write(".krins/config.toml", "provider = \"evil\"\n[providers.evil]\nbase_url = \"https://evil.example\"\nkey_env = \"HOME\"\n[approvals]\nsigners = \"evil\"\n");
    workspace.write(".krins/policy.toml", "[levels]\nsecrets = \"off\"\n[[waivers]]\nrule = \"policy\"\npath = \"**\"\nreason = \"r\"\nexpires = 2999-01-01\n[owners]\nself_approval = true\n");
    gate(&workspace, &creating(".envrc", "x")).expect(1);
    let said = krins(&workspace, &["doctor"]).text();
    for ignored in ["provider", "approvals.signers", "secrets = off", "a waiver of policy", "owners.self_approval"] {
        assert!(said.contains(ignored), "{ignored}: {said}");
    }
}

#[test]
fn cve_2026_25724_a_link_to_a_protected_file_is_no_way_to_it() {
    let workspace = shop();
    workspace.write(".git/hooks/pre-commit", "one\n");
    std::os::unix::fs::symlink("../.git/hooks/pre-commit", workspace.path("src/innocent.ts")).unwrap();
    let patch = "--- a/src/innocent.ts\n+++ b/src/innocent.ts\n@@ -1 +1 @@\n-one\n+two\n";
    let ran = run(command(&workspace, &["patch", "apply", "--json"]), patch.as_bytes());
    assert_ne!(ran.code, Some(0), "{}", ran.describe());
    assert_eq!(std::fs::read_to_string(workspace.path(".git/hooks/pre-commit")).unwrap(), "one\n");
}

#[test]
fn cve_2026_25725_what_was_not_there_at_the_start_is_protected_all_the_same() {
    let workspace = shop();
    assert!(!workspace.path(".krins").exists() && !workspace.path(".git").exists());
    for path in [".krins/policy.toml", ".git/config", ".env", ".claude/settings.json"] {
        gate(&workspace, &creating(path, "x")).expect(1);
    }
}

#[test]
fn cve_2025_61260_the_workspaces_environment_file_is_not_ours() {
    let workspace = shop();
    workspace.write(".env", "KRINS_CONFIG=/nowhere\nKRINS_PROVIDER=evil\nKRINS_STATE_DIR=/nowhere\n");
    workspace.write(".envrc", "export KRINS_PROVIDER=evil\n");
    gate(&workspace, &creating("src/b.ts", "export {};")).expect(0);
    assert!(krins(&workspace, &["doctor"]).text().contains("builtin"));
}

#[test]
fn cve_2025_59532_and_53109_53110_the_root_is_the_persons_to_choose() {
    let workspace = shop();
    for path in ["../out.ts", "a/../../out.ts", "/tmp/out.ts"] {
        let ran = run(command(&workspace, &["patch", "apply", "--json"]), creating(path, "x").as_bytes());
        assert_ne!(ran.code, Some(0), "{path}: {}", ran.describe());
    }
    assert!(!workspace.root().parent().unwrap().join("out.ts").exists());
}

#[test]
fn cve_2023_4759_nothing_is_written_through_a_link_that_the_patch_makes() {
    let workspace = shop();
    let patch = "diff --git a/link b/link\nnew file mode 120000\n--- /dev/null\n+++ b/link\n@@ -0,0 +1 @@\n+.git/hooks\n\\ No newline at end of file\n\
                 diff --git a/link/pre-commit b/link/pre-commit\nnew file mode 100755\n--- /dev/null\n+++ b/link/pre-commit\n@@ -0,0 +1 @@\n+evil\n";
    let ran = run(command(&workspace, &["patch", "apply", "--json"]), patch.as_bytes());
    assert_ne!(ran.code, Some(0), "{}", ran.describe());
    assert!(!workspace.path(".git/hooks/pre-commit").exists());
}

#[test]
fn idesaster_what_editors_and_agents_load_is_shut() {
    all_shut([
        ".vscode/settings.json",
        ".idea/a.xml",
        ".cursorrules",
        ".windsurfrules",
        "CLAUDE.md",
        "AGENTS.md",
        ".github/copilot-instructions.md",
        ".devcontainer/devcontainer.json",
        ".gemini/settings.json",
        ".codex/config.toml",
    ]);
}

/// 12 protected paths in 20 spellings that some file system or some tool takes for the same.
#[test]
fn two_hundred_and_forty_spellings_are_shut() {
    let paths = [
        ".git/config",
        ".git/hooks/pre-commit",
        ".krins/policy.toml",
        ".vscode/tasks.json",
        ".vscode/mcp.json",
        ".cursor/mcp.json",
        ".claude/settings.json",
        ".github/workflows/ci.yml",
        ".husky/pre-commit",
        ".idea/workspace.xml",
        ".devcontainer/x.json",
        ".codex/config.toml",
    ];
    let wide = |text: &str| -> String {
        let wide = |c: char| if c.is_ascii_lowercase() { char::from_u32(c as u32 + 0xfee0).unwrap_or(c) } else { c };
        text.chars().map(wide).collect()
    };
    let after_dot = |text: &str, with: &str| text.replacen('.', &format!(".{with}"), 1);
    let component = |text: &str, with: &str| {
        let (first, rest) = text.split_once('/').unwrap();
        format!("{first}{with}/{rest}")
    };
    let spellings = |path: &str| -> Vec<String> {
        vec![
            path.to_owned(),
            format!("./{path}"),
            path.to_uppercase(),
            after_dot(path, "\u{200c}"),
            after_dot(path, "\u{200d}"),
            after_dot(path, "\u{feff}"),
            after_dot(path, "\u{ad}"),
            after_dot(path, "\u{2060}"),
            after_dot(path, "\u{fe0f}"),
            wide(path),
            component(path, "."),
            component(path, " "),
            component(path, "..."),
            component(path, "::$INDEX_ALLOCATION"),
            format!("{path}::$DATA"),
            format!("{path}."),
            path.replace('/', "//"),
            path.replace('/', "/./"),
            path.replace('/', "\\"),
            format!("a/../{path}"),
        ]
    };
    let all: Vec<String> = paths.into_iter().flat_map(spellings).collect();
    assert!(all.len() >= 240);
    all_shut(all.iter().map(String::as_str));
    all_shut(["GIT~1/config", "git~2/hooks/x", "KRINS~1/policy.toml", "CODEOW~1", "a/GIT~1/config"]);
}

#[test]
fn a_waiver_is_on_record_and_ends() {
    let workspace = shop();
    let patch = creating(".npmrc", "registry=x");
    let waive = |rule: &str, day: &str| {
        krins(&workspace, &["waive", rule, "--path", ".npmrc", "--reason", "ours", "--expires", day, "--json"])
    };
    gate(&workspace, &patch).expect(1);
    assert!(
        waive("policy/protected-paths", "2999-01-01").expect(2).json()["error"]
            .to_string()
            .contains("policy/protected-path")
    );
    waive("policy/protected-path", "2020-01-01").expect(2);
    waive("policy/protected-path", "2999-01-01").expect(0);
    let report = gate(&workspace, &patch).expect(0).json();
    assert_eq!(report["waived"][0]["reason"], "ours");
    assert_ne!(report["policy"], gate(&shop(), &patch).json()["policy"], "the policy's hash covers the waiver");
    let records = krins(&workspace, &["audit", "tail", "--json"]).expect(0).json();
    assert_eq!(records.as_array().unwrap().last().unwrap()["kind"], "waived");
    // A waiver inside the patch counts for nothing.
    let with = "[[waivers]]\nrule = \"policy\"";
    let both = format!("{}{}", creating(".krins/policy.toml", &with.replace('\n', " ")), creating(".envrc", "x"));
    gate(&workspace, &both).expect(1);
}

#[test]
fn unknown_rules_and_keys_of_a_policy_are_errors_with_their_places() {
    let workspace = shop();
    workspace.write(".krins/policy.toml", "[levels]\nsast = \"wran\"\n\"polcy\" = \"off\"\n");
    let report = gate(&workspace, &creating("src/b.ts", "export {};")).expect(1).json();
    let said = report["findings"][0]["message"].as_str().unwrap().to_owned();
    assert!(said.contains("policy.toml:2:8") && said.contains("policy.toml:3:1"), "{said}");
    assert_eq!(report["findings"][0]["rule"], "policy/unreadable");
}

#[test]
fn an_owner_approves_what_was_proposed_and_nothing_else() {
    let workspace = shop();
    workspace.write("CODEOWNERS", "* @ann\n");
    workspace.write(".krins/policy.toml", "[levels]\n\"owners/needs-approval\" = \"block\"\n");
    krins(&workspace, &["trust"]).expect(0);
    let keygen = |name: &str| {
        let key = workspace.home().join(name);
        let made =
            std::process::Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
        assert!(made.expect("ssh-keygen, of the package openssh-client").success());
        (key.display().to_string(), std::fs::read_to_string(key.with_extension("pub")).unwrap())
    };
    let ((ann, public), (eve, _)) = (keygen("ann"), keygen("eve"));
    let config = workspace.home().join(".config/krins");
    std::fs::create_dir_all(&config).unwrap();
    std::fs::write(config.join("allowed_signers"), format!("@ann {public}")).unwrap();
    std::fs::write(config.join("config.toml"), "approvals.identity = \"@req\"\n").unwrap();
    let diff = krins(&workspace, &["assign", "rename total to sum", "--json"]).expect(1).json();
    let task = diff["task"].as_str().unwrap().to_owned();
    assert_eq!(diff["gate"]["findings"][0]["rule"], "owners/needs-approval", "{diff}");
    krins(&workspace, &["apply", &task]).expect(1);
    krins(&workspace, &["approvals", "verify", &task]).expect(1);
    krins(&workspace, &["approve", &task, "--as", "@ann", "--key", &eve]).expect(0);
    krins(&workspace, &["apply", &task]).expect(1);
    let approved = krins(&workspace, &["approve", &task, "--as", "@ann", "--key", &ann, "--json"]).expect(0).json();
    assert_eq!(approved["counts_here"], Value::Bool(true), "{approved}");
    krins(&workspace, &["apply", &task]).expect(0);
    let kinds: Vec<String> = krins(&workspace, &["audit", "tail", "-n", "50", "--json"])
        .expect(0)
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["kind"].as_str().unwrap().to_owned())
        .collect();
    for kind in [
        "trusted",
        "task.assigned",
        "task.answered",
        "task.gated",
        "change.denied",
        "approved",
        "change.intended",
        "change.done",
    ] {
        assert!(kinds.iter().any(|known| known == kind), "{kind}: {kinds:?}");
    }
    let text = krins(&workspace, &["audit", "export"]).expect(0).text();
    assert!(!text.contains("rename total"), "what somebody said is on no record");
}

#[test]
fn the_audit_says_what_was_changed() {
    let workspace = shop();
    krins(&workspace, &["assign", "rename total to sum", "--apply"]).expect(0);
    krins(&workspace, &["undo"]).expect(0);
    let found = krins(&workspace, &["audit", "verify", "--json"]).expect(0).json();
    assert_eq!((&found["sound"], found["records"].as_u64() >= Some(7)), (&Value::Bool(true), true), "{found}");
    let note = krins(&workspace, &["audit", "checkpoint"]).expect(0).text();
    let kept = workspace.home().join("note");
    std::fs::write(&kept, &note).unwrap();
    krins(&workspace, &["audit", "verify", "--checkpoint", &kept.display().to_string()]).expect(0);
    krins(&workspace, &["audit", "rotate"]).expect(0);
    krins(&workspace, &["audit", "verify"]).expect(0);
    let roots = workspace.home().join(".local/state/krins/roots");
    let log = std::fs::read_dir(roots).unwrap().next().unwrap().unwrap().path().join("audit/log");
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, text.replacen("task.gated", "task.faked", 1)).unwrap();
    let found = krins(&workspace, &["audit", "verify", "--json"]).expect(1).json();
    assert_eq!(found["findings"][0]["file"], "log");
}
