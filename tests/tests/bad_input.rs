//! Everything that is wrong around Krins and none of its making: each a clear error with a hint, the process alive, nothing lost.

use krins_tests::client::{Client, RpcError};
use krins_tests::command::{Ran, command, krins, krins_reading, run};
use krins_tests::figures::say;
use krins_tests::personas::Persona;
use krins_tests::workspace::Workspace;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const PAIR: &str = "\
//- /src/a.ts
export const alpha = 1;
//- /src/b.ts
import { alpha } from './a';
export const beta = alpha;
";
const RENAME: &str = "rename alpha to first";

fn pair() -> Workspace {
    Workspace::from_fixture(PAIR)
}

fn settings(workspace: &Workspace, text: &str) -> PathBuf {
    let file = workspace.home().join(".config/krins/config.toml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, text).unwrap();
    file
}

fn session(workspace: &Workspace) -> Client {
    let mut client = Client::start(workspace, Persona::VSCODE);
    for method in ["window/showMessage", "krins/task/didChange"] {
        client.ignore(method);
    }
    client
}

/// The error of a command: its kind, what it says, and a hint that is not empty.
#[track_caller]
fn fails(ran: Ran, code: i32, kind: &str) -> (String, String) {
    let error = ran.expect(code).json()["error"].take();
    assert_eq!(error["kind"], kind, "{error:#}");
    let (message, hint) = (error["message"].as_str().unwrap_or_default(), error["hint"].as_str().unwrap_or_default());
    assert!(message.starts_with("failed to ") && !hint.is_empty(), "{error:#}");
    (message.to_owned(), hint.to_owned())
}

#[track_caller]
fn refuses(error: &RpcError, kind: &str) {
    assert_eq!(error.kind(), Some(kind), "{error:?}");
    assert!(error.data["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{error:?}");
}

/// Assigns and waits; gives the diff, or why there is none.
fn ask(client: &mut Client, params: Value) -> Result<Value, RpcError> {
    let task = client.request("krins/assign", params)?["task"].take();
    client.request("krins/diff", json!({"task": task, "wait": true}))
}

/// The whole journey still works in this session.
fn still_works(workspace: &Workspace, client: &mut Client) {
    let before = workspace.snapshot();
    ask(client, json!({"intent": RENAME})).unwrap();
    client.request("krins/apply", json!({})).unwrap();
    assert!(workspace.read("src/b.ts").contains("first"));
    client.request("krins/undo", json!({})).unwrap();
    assert!(workspace.snapshot() == before, "undo restores every byte");
}

#[test]
fn an_unknown_setting_is_named_with_its_place_and_the_nearest_name() {
    let workspace = pair();
    let file = settings(&workspace, "# mine\nmodle = \"x\"\n\n[budget]\n  tokns = 3\n");
    let (message, hint) = fails(krins(&workspace, &["assign", RENAME, "--json"]), 2, "BadParams");
    let place = file.display().to_string();
    assert!(message.contains(&format!("{place}:2:1")) && message.contains("`modle`"), "{message}");
    assert!(message.contains(&format!("{place}:5:3")) && message.contains("`budget.tokns`"), "{message}");
    assert!(hint.contains("`model`") && hint.contains("`budget.tokens`"), "{hint}");
    // Doctor says it too, and goes on.
    let checks = krins(&workspace, &["doctor", "--json"]).expect(2).json();
    let check = |name: &str| checks.as_array().unwrap().iter().find(|check| check["name"] == name).cloned().unwrap();
    assert!(check("settings")["hint"].as_str().unwrap().contains("`model`"), "{checks:#}");
    assert_eq!(check("workspace")["ok"], true);
    // The same by the environment.
    settings(&workspace, "");
    let mut wrong = command(&workspace, &["assign", RENAME, "--json"]);
    wrong.env("KRINS_BUDGET_TOKENS", "many");
    let (message, _) = fails(run(wrong, b""), 2, "BadParams");
    assert!(message.contains("KRINS_BUDGET_TOKENS"), "{message}");
}

#[test]
fn a_session_outlives_bad_settings_and_heals_with_them() {
    let workspace = pair();
    settings(&workspace, "modle = \"x\"\n");
    let mut client = session(&workspace);
    let error = ask(&mut client, json!({"intent": RENAME})).unwrap_err();
    refuses(&error, "BadParams");
    assert!(error.data["hint"].as_str().unwrap().contains("`model`") && error.message.contains(":1:1"), "{error:?}");
    settings(&workspace, "");
    still_works(&workspace, &mut client);
}

#[test]
fn a_workspace_file_that_cannot_be_read_is_an_error_and_no_silence() {
    let bad: [(&[u8], &str); 3] =
        [(b"provider = \"\xff\"", "UTF-8"), (b"[budget\n", "config.toml:1"), (b"tokens = 1\n", "`tokens`")];
    for (content, words) in bad {
        let workspace = pair();
        workspace.write(".krins/config.toml", content);
        let ran = krins(&workspace, &["assign", RENAME, "--json"]).expect(2);
        let error = ran.json()["error"].take();
        assert_eq!(error["kind"], "BadParams");
        assert!(error["message"].as_str().unwrap().contains(words), "{error:#}");
    }
}

/// Names that no index should stumble over, and one that is on the way of the rename.
#[test]
fn files_that_are_not_text_are_left_out_and_never_touched() {
    let workspace = pair();
    workspace.write("src/latin1.ts", b"import { alpha } from './a'; // caf\xe9\n");
    workspace.write("src/utf16.ts", b"\xff\xfei\0m\0p\0o\0r\0t\0");
    workspace.write("src/nul.ts", b"export const nul = '\0';\n");
    workspace.write("src/huge.ts", "import { alpha } from './a';\n".repeat(800_000));
    workspace.write("src/oneline.ts", format!("export const line = [{}];\n", "1,".repeat(400_000)));
    let made = Command::new("mkfifo").arg(workspace.path("src/pipe.ts")).status();
    fs::create_dir(workspace.path("src/folder.ts")).unwrap();
    let mut client = session(&workspace);
    let started = Instant::now();
    match ask(&mut client, json!({"intent": RENAME})) {
        Ok(diff) => {
            let patch = diff["patch"].as_str().unwrap();
            assert!(!patch.contains("latin1") && !patch.contains("huge"), "{}", &patch[..2000.min(patch.len())]);
        }
        // What uses the symbol and cannot be read may be a reason to refuse.
        Err(error) => refuses(&error, "BadParams"),
    }
    for name in ["src/latin1.ts", "src/utf16.ts", "src/huge.ts", "src/folder.ts", "src/pipe.ts"] {
        if name == "src/pipe.ts" && !made.as_ref().is_ok_and(std::process::ExitStatus::success) {
            continue;
        }
        let error = ask(
            &mut client,
            json!({"intent": "remove unused imports in this file", "textDocument": {"uri": workspace.uri(name)}}),
        );
        if let Ok(diff) = &error {
            assert!(!diff["patch"].as_str().unwrap().contains(name), "{diff}");
        }
    }
    fs::remove_file(workspace.path("src/pipe.ts")).unwrap();
    for name in ["src/latin1.ts", "src/huge.ts"] {
        fs::remove_file(workspace.path(name)).unwrap();
    }
    still_works(&workspace, &mut client);
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

#[test]
fn a_file_that_may_not_be_read_is_left_out() {
    use std::os::unix::fs::PermissionsExt as _;
    let workspace = pair();
    workspace.write("src/closed.ts", "import { alpha } from './a';\n");
    let closed = workspace.path("src/closed.ts");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(&closed).is_ok() {
        say("skipped: this user may read everything");
        return;
    }
    let mut client = session(&workspace);
    match ask(&mut client, json!({"intent": RENAME})) {
        Ok(diff) => assert!(!diff["patch"].as_str().unwrap().contains("closed")),
        Err(error) => refuses(&error, "ProviderRefused"),
    }
    client.request("krins/status", json!({})).unwrap();
}

#[test]
fn a_file_deleted_between_assign_and_apply_is_a_conflict() {
    let workspace = pair();
    krins(&workspace, &["assign", RENAME]).expect(0);
    fs::remove_file(workspace.path("src/b.ts")).unwrap();
    let before = workspace.snapshot();
    let ran = krins(&workspace, &["apply", "--json"]);
    assert_eq!(ran.code, Some(1), "{}", ran.describe());
    assert!(ran.text().contains("src/b.ts"), "{}", ran.text());
    assert!(workspace.snapshot() == before, "nothing is written");

    let workspace = pair();
    let mut client = session(&workspace);
    ask(&mut client, json!({"intent": RENAME})).unwrap();
    let text = workspace.read("src/b.ts");
    fs::remove_file(workspace.path("src/b.ts")).unwrap();
    let before = workspace.snapshot();
    match client.request("krins/apply", json!({})) {
        Ok(outcome) => assert!(!outcome["conflicts"].as_array().unwrap().is_empty(), "{outcome}"),
        Err(error) => refuses(&error, "Conflict"),
    }
    assert!(workspace.snapshot() == before, "nothing is written");
    // It comes back, and nothing is lost.
    workspace.write("src/b.ts", text);
    client.request("krins/apply", json!({})).unwrap();
    assert!(workspace.read("src/b.ts").contains("first"));
    // Deleted before the undo.
    fs::remove_file(workspace.path("src/b.ts")).unwrap();
    let before = workspace.snapshot();
    match client.request("krins/undo", json!({})) {
        Ok(outcome) => assert!(!outcome["conflicts"].as_array().unwrap().is_empty(), "{outcome}"),
        Err(error) => refuses(&error, "Conflict"),
    }
    assert!(workspace.snapshot() == before, "nothing is written");
}

#[test]
fn a_link_out_of_the_root_is_neither_read_nor_written() {
    let workspace = pair();
    let outside = workspace.home().join("outside");
    fs::create_dir(&outside).unwrap();
    let theirs = "import { alpha } from '../ws/src/a';\nexport const theirs = alpha;\n";
    fs::write(outside.join("theirs.ts"), theirs).unwrap();
    let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, workspace.path(name)).unwrap();
    link(&outside.join("theirs.ts"), "src/link.ts");
    link(&outside, "src/linked");
    let patch = |name: &str, old: &str, new: &str| format!("--- a/{name}\n+++ b/{name}\n@@ -1 +1 @@\n-{old}\n+{new}\n");
    let line = "import { alpha } from '../ws/src/a';";
    for text in [
        patch("src/link.ts", line, "owned"),
        patch("src/linked/theirs.ts", line, "owned"),
        "--- /dev/null\n+++ b/src/linked/new.ts\n@@ -0,0 +1 @@\n+owned\n".to_owned(),
        "--- a/src/link.ts\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-import { alpha } from '../ws/src/a';\n-export const theirs = alpha;\n".to_owned(),
    ] {
        let report = krins_reading(&workspace, &["patch", "apply", "--json"], &text);
        assert!(matches!(report.code, Some(1 | 2)), "{text}{}", report.describe());
    }
    let context = krins(&workspace, &["context", "theirs alpha", "--json"]).expect(0).text();
    assert!(!context.contains("theirs = alpha"), "{context}");
    fails(krins(&workspace, &["context", "alpha", "--file", "src/link.ts", "--json"]), 2, "BadParams");
    krins(&workspace, &["assign", RENAME, "--apply"]).expect(0);

    // A file that became a link after the diff was made.
    krins(&workspace, &["undo"]).expect(0);
    krins(&workspace, &["assign", RENAME]).expect(0);
    fs::remove_file(workspace.path("src/b.ts")).unwrap();
    fs::write(outside.join("b.ts"), "import { alpha } from './a';\nexport const beta = alpha;\n").unwrap();
    link(&outside.join("b.ts"), "src/b.ts");
    let ran = krins(&workspace, &["apply", "--json"]);
    assert!(matches!(ran.code, Some(1 | 2)), "{}", ran.describe());
    assert!(workspace.read("src/a.ts").contains("alpha"), "all or nothing");
    assert!(fs::read_to_string(outside.join("b.ts")).unwrap().contains("alpha"));
    assert_eq!(fs::read_to_string(outside.join("theirs.ts")).unwrap(), theirs);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 2, "nothing was made outside");
}

#[test]
fn positions_past_the_end_are_taken_for_the_end() {
    let workspace = pair();
    let mut client = session(&workspace);
    client.open("src/b.ts");
    let far = json!({"start": {"line": 4_000_000_000_u32, "character": 9}, "end": {"line": 4_000_000_000_u32, "character": 4_000_000_000_u32}});
    client.code_actions("src/b.ts", far.clone());
    let uri = workspace.uri("src/b.ts");
    let selected = ask(&mut client, json!({"intent": RENAME, "textDocument": {"uri": uri}, "selection": far}));
    assert!(selected.is_ok() || selected.is_err_and(|error| error.kind() == Some("BadParams")));
    // Backwards, and of a file that is not there.
    let backwards = json!({"start": {"line": 9, "character": 0}, "end": {"line": 1, "character": 0}});
    let _ = ask(&mut client, json!({"intent": RENAME, "textDocument": {"uri": uri}, "selection": backwards}));
    for uri in [
        workspace.uri("src/nothing.ts"),
        "file:///etc/passwd".to_owned(),
        "untitled:Untitled-1".to_owned(),
        "no uri".to_owned(),
    ] {
        let outcome =
            ask(&mut client, json!({"intent": "remove unused imports in this file", "textDocument": {"uri": uri}}));
        let error = outcome.expect_err(&uri);
        assert!(error.kind().is_some(), "{error:?}");
    }
    // An edit past the end is an edit at the end.
    client.notify(
        "textDocument/didChange",
        json!({"textDocument": {"uri": uri, "version": 50}, "contentChanges": [{"range": far, "text": "// more\n"}]}),
    );
    client.request("krins/status", json!({})).unwrap();
    client.close_document("src/b.ts");
    still_works(&workspace, &mut client);
    for place in ["src/a.ts:999999", "src/a.ts:0", "src/a.ts:7-3"] {
        let ran = krins(&workspace, &["context", "alpha", "--file", place, "--json"]);
        assert!(matches!(ran.code, Some(0 | 2)), "{place}: {}", ran.describe());
        ran.json();
    }
}

#[test]
fn a_missing_key_is_said_with_where_to_put_it() {
    let workspace = pair();
    settings(&workspace, "provider = \"anthropic\"\nmodel = \"any\"\n");
    let (message, hint) = fails(krins(&workspace, &["assign", RENAME, "--json"]), 2, "AuthFailed");
    assert!(hint.contains("ANTHROPIC_API_KEY") && message.contains("anthropic"), "{message}: {hint}");
    let checks = krins(&workspace, &["doctor", "--json"]).expect(2).text();
    assert!(checks.contains("ANTHROPIC_API_KEY"), "{checks}");
    let mut client = session(&workspace);
    refuses(&ask(&mut client, json!({"intent": RENAME})).unwrap_err(), "AuthFailed");
    // The keyless provider is there for the asking.
    ask(&mut client, json!({"intent": RENAME, "agent": "builtin"})).unwrap();
}

/// A port of this machine that nobody listens on.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[test]
fn a_backend_that_is_not_there_is_code_3() {
    let workspace = pair();
    settings(&workspace, &format!("backend.url = \"{}\"\n", nobody()));
    // The binary may have to be built first.
    krins_tests::binary::krins();
    let started = Instant::now();
    let (_, hint) = fails(krins(&workspace, &["assign", RENAME, "--json"]), 3, "BackendUnavailable");
    assert!(hint.contains("krins serve"), "{hint}");
    let mut client = session(&workspace);
    let error = ask(&mut client, json!({"intent": RENAME})).unwrap_err();
    refuses(&error, "BackendUnavailable");
    assert_eq!(error.data["retryable"], true);
    client.request("krins/status", json!({})).unwrap();
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());

    let key = "sk-ant-test-0123456789abcdef0123456789";
    settings(
        &workspace,
        &format!(
            "provider = \"mine\"\n[providers.mine]\nkind = \"anthropic\"\nmodel = \"m\"\nbase_url = \"{}\"\nkey_env = \"MY_KEY\"\n",
            nobody()
        ),
    );
    let mut keyed = command(&workspace, &["assign", RENAME, "--json"]);
    keyed.env("MY_KEY", key);
    let ran = run(keyed, b"");
    assert!(!ran.text().contains(key) && !ran.errors().contains(key), "a key reaches no error");
    fails(ran, 3, "BackendUnavailable");
}

/// A file system of a few hundred KiB, mounted where a test wants it.
struct Tiny(PathBuf);

impl Tiny {
    fn mount(at: &Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=600k", "tmpfs"]).arg(at);
        match mount.output() {
            Ok(output) if output.status.success() => Some(Self(at.to_owned())),
            _ => {
                say("skipped: this user may not mount a file system, so no disk can be filled");
                None
            }
        }
    }

    /// Leaves so many bytes.
    fn fill(&self, leave: usize) {
        let filler = self.0.join("filler");
        let mut file = fs::File::create(&filler).unwrap();
        let mut written = 0;
        while std::io::Write::write_all(&mut file, &[b'#'; 4096]).is_ok() {
            written += 4096;
        }
        file.set_len((written - leave.min(written)) as u64).unwrap();
    }

    fn free(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Two files whose new texts do not fit on what is left.
fn large_pair(workspace: &Workspace) {
    let padding = "// padding padding padding padding\n".repeat(600);
    workspace.write("src/a.ts", format!("export const alpha = 1;\n{padding}"));
    workspace.write("src/b.ts", format!("import {{ alpha }} from './a';\nexport const beta = alpha;\n{padding}"));
}

#[test]
fn a_full_disk_under_the_workspace_loses_nothing() {
    let workspace = Workspace::empty();
    let Some(disk) = Tiny::mount(workspace.root()) else { return };
    large_pair(&workspace);
    let mut client = session(&workspace);
    for leave in [0, 8 << 10, 24 << 10] {
        ask(&mut client, json!({"intent": RENAME})).unwrap();
        disk.fill(leave);
        let before = workspace.snapshot();
        let error = client.request("krins/apply", json!({})).unwrap_err();
        refuses(&error, "Internal");
        assert!(error.data["hint"].as_str().unwrap().contains("disk is full"), "{error:?}");
        let said = krins(&workspace, &["apply"]).expect(2);
        assert!(said.errors().contains("the disk is full"), "{}", said.describe());
        assert!(workspace.snapshot() == before, "nothing changed, and nothing was left behind");
        disk.free();
    }
    still_works(&workspace, &mut client);
}

#[test]
fn a_full_disk_under_the_state_loses_nothing() {
    let workspace = Workspace::empty();
    large_pair(&workspace);
    let state = workspace.home().join("state");
    let Some(disk) = Tiny::mount(&state) else { return };
    let krins = |args: &[&str]| {
        let mut command = command(&workspace, args);
        command.env("KRINS_STATE_DIR", &state);
        run(command, b"")
    };
    krins(&["assign", RENAME]).expect(0);
    let before = workspace.snapshot();
    for leave in [0, 8 << 10, 40 << 10] {
        disk.fill(leave);
        for args in [["apply", "--json"], ["assign", RENAME]] {
            let ran = krins(&args);
            assert!(ran.code != Some(0) || args[0] == "assign", "{leave}: {}", ran.describe());
            assert!(!ran.errors().contains("panicked"), "{}", ran.errors());
        }
        assert!(workspace.snapshot() == before, "nothing is written that could not be undone");
        disk.free();
    }
    krins(&["task", "list", "--json"]).expect(0).json();
    krins(&["assign", RENAME, "--apply"]).expect(0);
    krins(&["undo"]).expect(0);
    assert!(workspace.snapshot() == before, "undo restores every byte");
}
