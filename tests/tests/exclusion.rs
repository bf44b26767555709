//! What the person keeps out never leaves: a marker planted in files that ignore rules name is looked for in everything
//! that the sidecar sends to a provider or shows as what it would send.

use krins_tests::client::Client;
use krins_tests::fakes::{Behaviour, Dialect, FakeProvider, Scenario};
use krins_tests::personas::Persona;
use krins_tests::workspace::Workspace;
use serde_json::{Value, json};
use std::process::Command;

/// A word of its own, so that no secret scanner takes it out before the exclusion does.
const MARKER: &str = "zanzibarMarker";
/// Stands in a file that may be seen: a test that finds nothing because nothing is sent would be worth nothing.
const SEEN: &str = "visibleRule";

const ANSWER: &str = "src/greet.ts\n<<<<<<< SEARCH\nexport const greet = (name: string) => `hi ${name} ${vault}`;\n=======\nexport const greet = (name: string) => `hello ${name} ${vault}`;\n>>>>>>> REPLACE\n";

fn workspace() -> Workspace {
    let workspace = Workspace::from_fixture("//- /package.json\n{\"name\": \"app\"}\n");
    let code =
        format!("export const vault = \"{MARKER}\";\nexport function {MARKER}Greet(name: string) {{ return name; }}\n");
    for (path, text) in [
        (".krinsignore", "private/\n*.local.ts\nCLAUDE.md\n0002-*.md\n"),
        (".gitignore", "generated/\n"),
        (".ignore", "scratch.ts\n"),
        ("private/vault.ts", code.as_str()),
        ("src/greet.local.ts", code.as_str()),
        ("generated/greet.ts", code.as_str()),
        ("scratch.ts", code.as_str()),
        ("AGENTS.md", &format!("{SEEN}: greet politely.\n")),
        ("CLAUDE.md", &format!("{MARKER}: greet.\n")),
        ("private/AGENTS.md", &format!("{MARKER}: greet.\n")),
        (
            "docs/adr/0001-greet.md",
            &format!("# Greet politely\n\n## Status\n\nAccepted\n\n## Decision\n\n{SEEN}Decision in src/greet.ts.\n"),
        ),
        (
            "docs/adr/0002-greet.md",
            &format!("# Greet\n\n## Status\n\nAccepted\n\n## Decision\n\n{MARKER} in src/greet.ts.\n"),
        ),
        (
            "src/greet.ts",
            "import { vault } from \"../private/vault\";\nexport const greet = (name: string) => `hi ${name} ${vault}`;\n",
        ),
    ] {
        workspace.write(path, text);
    }
    // The past names the files too.
    for arguments in
        [&["init", "-q"][..], &["add", "-Af", "."], &["commit", "-q", "-m", "greet politely from the vault"]]
    {
        let mut git = Command::new("git");
        git.current_dir(workspace.root()).args(["-c", "user.name=x", "-c", "user.email=x@example.com"]);
        git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        assert!(git.args(arguments).status().unwrap().success());
    }
    workspace
}

fn configure(workspace: &Workspace, fake: &FakeProvider) {
    let config = workspace.home().join(".config/krins");
    std::fs::create_dir_all(&config).unwrap();
    let text = format!(
        "provider = \"fake\"\n[providers.fake]\nkind = \"openai-chat\"\nbase_url = \"{}\"\nmodel = \"fake-model\"\nkey_env = \"FAKE_KEY\"\n",
        fake.base_url()
    );
    std::fs::write(config.join("config.toml"), text).unwrap();
}

fn client(workspace: &Workspace) -> Client {
    let mut client = Client::builder(workspace).persona(Persona::VSCODE).env("FAKE_KEY", "key-of-the-fake").start();
    client.initialize();
    for method in ["window/showMessage", "textDocument/publishDiagnostics", "krins/task/didChange", "$/progress"] {
        client.ignore(method);
    }
    client.ignore("window/workDoneProgress/create");
    client
}

/// Asks for the file's code actions as an editor does that has a finding of another server in it.
fn mark(client: &mut Client, path: &str) {
    let range = json!({"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 5}});
    let found = json!({"range": range, "message": format!("{MARKER} is not used"), "source": "ts"});
    let params =
        json!({"textDocument": {"uri": client.uri(path)}, "range": range, "context": {"diagnostics": [found]}});
    client.request("textDocument/codeAction", params).unwrap();
}

fn about(client: &Client, path: &str) -> Value {
    let all = json!({"start": {"line": 0, "character": 0}, "end": {"line": 1, "character": 0}});
    json!({"intent": "greet politely from the vault in private/vault.ts", "textDocument": {"uri": client.uri(path)}, "selection": all})
}

#[test]
fn a_marker_in_what_is_kept_out_is_in_nothing_that_leaves() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let behaviour = Behaviour { answer: ANSWER.to_owned(), ..Behaviour::new(Scenario::Ok) };
    let fake = runtime.block_on(FakeProvider::behaving(Dialect::OpenAiChat, behaviour)).unwrap();
    let workspace = workspace();
    configure(&workspace, &fake);
    let mut client = client(&workspace);
    let kept_out = ["private/vault.ts", "src/greet.local.ts", "generated/greet.ts", "scratch.ts"];
    for path in kept_out {
        client.open(path);
        mark(&mut client, path);
    }
    for path in ["private/new.ts", "src/new.local.ts"] {
        client.open_with(path, format!("export const greetNew = \"{MARKER}\"; // greet politely\n"));
    }
    client.open("src/greet.ts");

    let shown = client.request("krins/context", about(&client, "src/greet.ts")).unwrap().to_string();
    let mut params = about(&client, "src/greet.ts");
    params["task"] = json!("t");
    client.request("krins/assign", params).unwrap();
    let diff = client.request("krins/diff", json!({"task": "t", "wait": true})).unwrap();
    assert!(diff["patch"].as_str().unwrap().contains("hello"), "{diff}");
    let sent: String = fake.attempts().iter().map(|attempt| attempt.body.to_string()).collect();
    assert!(sent.contains(SEEN) && sent.contains("visibleRuleDecision"), "{sent}");
    assert!(!sent.contains(MARKER), "{sent}");
    for path in kept_out.iter().chain(&["private/new.ts", "src/new.local.ts", "CLAUDE.md", "0002-greet.md"]) {
        assert!(!shown.contains(path), "{path} is named: {shown}");
    }

    let asked = fake.attempts().len();
    for (number, path) in kept_out.iter().chain(&["private/new.ts", "src/new.local.ts"]).enumerate() {
        let error = client.request("krins/context", about(&client, path)).unwrap_err();
        assert_eq!(error.kind(), Some("PolicyBlocked"), "{path}: {error:?}");
        let task = format!("refused-{number}");
        let mut params = about(&client, path);
        params["task"] = json!(task);
        client.request("krins/assign", params).unwrap();
        let error = client.request("krins/diff", json!({"task": task, "wait": true})).unwrap_err();
        assert_eq!(error.kind(), Some("PolicyBlocked"), "{path}: {error:?}");
        assert!(!format!("{error:?}").contains(MARKER));
    }
    assert_eq!(fake.attempts().len(), asked, "nothing was asked about them");
}
