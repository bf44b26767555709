//! Answers before everything is read say so, at every door; and the reading in the background can be held.

use krins_tests::client::Client;
use krins_tests::command::krins;
use krins_tests::personas::Persona;
use krins_tests::workspace::Workspace;
use serde_json::{Value, json};

/// More than are read without a word.
const FILES: usize = 600;

fn many() -> Workspace {
    let workspace = Workspace::empty();
    for at in 0..FILES {
        workspace.write(&format!("src/file{at}.ts"), format!("export const value{at} = {at};\n"));
    }
    workspace.write("src/user.ts", "import { value7 } from './file7';\nexport const used = value7;\n");
    workspace
}

fn whole() -> Value {
    json!({"read": FILES + 1, "total": FILES + 1})
}

fn nothing() -> Value {
    json!({"read": 0, "total": FILES + 1})
}

/// A client without a folder, whose workspace is paused before it opens.
fn paused(workspace: &Workspace) -> Client {
    let mut client = Client::builder(workspace).persona(Persona::VSCODE).start();
    workspace.write(".krins/config.toml", "");
    client.initialize_without_folder();
    client.ignore("window/showMessage");
    assert_eq!(client.request("krins/graph/pause", json!({})).unwrap(), json!({"index": []}));
    client
}

#[test]
fn over_lsp_an_early_answer_says_how_much_is_read() {
    let workspace = many();
    let mut client = paused(&workspace);
    let uri = client.uri("src/user.ts");
    let hurried = json!({"uri": uri, "patience": 0});
    for question in ["owners", "stats", "cycles", "unused"] {
        let method = format!("krins/graph/{question}");
        // Of a file that is not read only its owners can be told.
        let params = if question == "owners" { hurried.clone() } else { json!({"patience": 0}) };
        assert_eq!(client.request(&method, params).unwrap()["partial"], nothing(), "{question}");
    }
    let unknown = client.request("krins/graph/references", json!({"targets": ["value7"], "patience": 0})).unwrap_err();
    assert!(unknown.data["hint"].as_str().unwrap().contains("0 of 601 files are read"), "{unknown:?}");
    let intent = json!({"intent": "rename value7", "textDocument": {"uri": uri}, "patience": 0});
    assert_eq!(client.request("krins/context", intent.clone()).unwrap()["partial"], nothing());

    // Who does not hurry waits, paused or not.
    let stats = client.request("krins/graph/stats", json!({"uri": uri})).unwrap();
    assert_eq!((&stats["files"], stats.get("partial")), (&json!(FILES + 1), None));
    for question in ["module", "impact", "tests", "owners"] {
        let answer = client.request(&format!("krins/graph/{question}"), json!({"uri": uri})).unwrap();
        assert_eq!(answer.get("partial"), None, "{question}");
    }
    let mut patient = intent;
    patient["patience"] = json!(600_000);
    assert_eq!(client.request("krins/context", patient).unwrap().get("partial"), None);
}

#[test]
fn a_long_reading_is_told_and_a_paused_one_does_not_begin() {
    let workspace = many();
    let mut client = paused(&workspace);
    let uri = client.uri("src/user.ts");
    client.request("krins/graph/stats", json!({"uri": uri, "patience": 0})).unwrap();
    let status = client.execute("krins.graph.pause", json!({"uri": uri})).unwrap();
    let held = json!({"files": 0, "symbols": 0, "ready": false, "paused": true, "reading": nothing()});
    assert_eq!(status, json!({"index": [held]}));
    assert_eq!(client.progress(), [] as [Value; 0]);

    let resumed = client.request("krins/graph/resume", json!({})).unwrap();
    assert_eq!(resumed["index"][0]["paused"], false);
    let asked = client.await_request("window/workDoneProgress/create");
    let of_it = |value: &Value| value["token"] == asked.params["token"];
    let begin = client.await_progress(|value| of_it(value) && value["value"]["kind"] == "begin");
    assert_eq!(begin["value"]["title"], "Krins: reading the workspace");
    let end = client.await_progress(|value| of_it(value) && value["value"]["kind"] == "end");
    assert_eq!(end["value"]["message"], format!("{} files", whole()["read"]));
    let status = client.request("krins/status", json!({})).unwrap();
    assert_eq!((&status["index"]["ready"], status["index"].get("reading")), (&json!(true), None));
}

#[test]
fn on_the_command_line_an_answer_is_early_only_when_that_is_asked_for() {
    let workspace = many();
    let json = |args: &[&str]| krins(&workspace, &[args, &["--json"]].concat()).expect(0).json();
    assert_eq!(json(&["graph", "stats", "--patience", "0"])["partial"], nothing());
    assert_eq!(json(&["context", "rename value7", "--patience", "0"])["partial"], nothing());
    let said = krins(&workspace, &["graph", "cycles", "--patience", "0"]).expect(0);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("from 0 of 601 files"), "{said}");
    for args in [["graph", "stats"], ["context", "rename value7"]] {
        assert_eq!(json(&args).get("partial"), None, "{args:?}");
    }
    assert_eq!(json(&["graph", "stats"])["files"], FILES + 1);
}
