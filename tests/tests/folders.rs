//! Several folders in one connection: whose change an undo takes back, whose task is known after a restart, and folders that
//! come and go.

use krins_tests::client::{Builder, Client};
use krins_tests::model::{self, Silent};
use krins_tests::personas::Persona;
use krins_tests::workspace::Workspace;
use serde_json::{Value, json};

const FIXTURE: &str = "\
//- /a/package.json
{\"name\": \"a\"}
//- /a/total.ts
export const total = 1;
export const unused = 2;
//- /b/package.json
{\"name\": \"b\"}
//- /b/sum.ts
export const sum = 1;
//- /b/use.ts
import { sum } from \"./sum\";
export const use = sum;
";

fn folders(workspace: &Workspace, names: &[&str]) -> Value {
    names.iter().map(|name| json!({"uri": workspace.uri(name), "name": name})).collect()
}

fn start(workspace: &Workspace, names: &[&str]) -> Client {
    with_folders(Client::builder(workspace).persona(Persona::VSCODE), workspace, names)
}

fn with_folders(builder: Builder, workspace: &Workspace, names: &[&str]) -> Client {
    let mut client = builder.start();
    let mut params = client.persona().initialize_params(workspace.root());
    params["workspaceFolders"] = folders(workspace, names);
    client.initialize_with(params);
    for method in ["window/showMessage", "textDocument/publishDiagnostics", "krins/task/didChange", "$/progress"] {
        client.ignore(method);
    }
    client.ignore("window/workDoneProgress/create");
    client
}

/// Assigns a rename in the folder of the file, and waits for its diff.
fn assign(client: &mut Client, task: &str, file: &str, [from, to]: [&str; 2]) -> Value {
    let document = json!({"uri": client.uri(file)});
    let params = json!({"intent": format!("rename {from} to {to}"), "task": task, "textDocument": document});
    client.request("krins/assign", params).unwrap();
    let diff = client.request("krins/diff", json!({"task": task, "wait": true})).unwrap();
    assert_eq!(diff["state"], "ready", "{diff}");
    diff
}

fn apply(client: &mut Client, task: &str) {
    client.request("krins/apply", json!({"task": task})).unwrap();
}

#[test]
fn the_last_change_is_taken_back_and_done_again_whichever_folder_has_the_newest_task() {
    let workspace = Workspace::from_fixture(FIXTURE);
    let mut client = start(&workspace, &["a", "b"]);
    let holds = |file: &str, word: &str| workspace.read(file).contains(word);
    assign(&mut client, "b1", "b/sum.ts", ["sum", "whole"]);
    apply(&mut client, "b1");
    assign(&mut client, "a1", "a/total.ts", ["total", "amount"]);
    apply(&mut client, "a1");
    assign(&mut client, "b2", "b/sum.ts", ["whole", "other"]);
    client.request("krins/undo", json!({})).unwrap();
    assert!(holds("a/total.ts", "total") && holds("b/sum.ts", "whole"), "the last change was in a");
    client.request("krins/undo", json!({})).unwrap();
    assert!(holds("b/sum.ts", "sum"), "the one before was in b");
    // What was undone last was in b; then there is only a's.
    client.request("krins/redo", json!({})).unwrap();
    assert!(holds("b/sum.ts", "whole") && holds("a/total.ts", "total"));
    client.request("krins/redo", json!({})).unwrap();
    assert!(holds("a/total.ts", "amount"));
    let error = client.request("krins/redo", json!({})).unwrap_err();
    assert_eq!(error.kind(), Some("BadParams"), "{error:?}");
    client.close();

    // The same after a restart, before anybody has opened the second folder; and by name.
    let mut client = start(&workspace, &["b", "a"]);
    client.request("krins/undo", json!({})).unwrap();
    assert!(holds("a/total.ts", "total") && holds("b/sum.ts", "whole"));
    client.close();
    let mut client = start(&workspace, &["a", "b"]);
    client.request("krins/undo", json!({"undo": "b1"})).unwrap();
    assert!(holds("b/sum.ts", "sum"));
}

/// One that comes while another is at work waits, and nothing that came later goes before it. As requests, and as the commands of
/// an editor that has nothing else.
#[test]
fn apply_undo_and_redo_are_done_in_the_order_in_which_they_came() {
    for (names, again) in [(&["a"][..], "redo"), (&["a", "b"], "redo"), (&["a", "b"], "apply")] {
        let workspace = Workspace::from_fixture(FIXTURE);
        let mut client = start(&workspace, names);
        assign(&mut client, "a1", "a/total.ts", ["total", "amount"]);
        apply(&mut client, "a1");
        let params = |what: &str| if what == "apply" { json!({"task": "a1"}) } else { json!({}) };
        for round in 0..20 {
            let sent = ["undo", again, "undo", again, "undo"];
            let tickets = sent.map(|what| match round % 2 {
                0 => client.send_request(&format!("krins/{what}"), params(what)),
                _ => client.send_request(
                    "workspace/executeCommand",
                    json!({"command": format!("krins.{what}"), "arguments": [params(what)]}),
                ),
            });
            // A command has answered before it has ended; what comes next waits for it.
            let redone = client.request("krins/redo", json!({}));
            let answers = tickets.map(|ticket| client.await_reply(ticket));
            assert!(answers.iter().all(Result::is_ok), "{names:?} {again} {round}: {answers:?}");
            assert!(redone.is_ok(), "{names:?} {again} {round}: the last was no undo: {redone:?}");
            assert!(workspace.read("a/total.ts").contains("amount"), "{names:?} {again} {round}: {redone:?}");
        }
    }
}

#[test]
fn what_is_cancelled_without_a_name_is_the_newest_that_runs() {
    let workspace = Workspace::from_fixture(FIXTURE);
    let _silent = Silent::behind(&workspace);
    let builder = Client::builder(&workspace).persona(Persona::VSCODE).env(model::KEY.0, model::KEY.1);
    let mut client = with_folders(builder, &workspace, &["a", "b"]);
    for (task, file) in [("a1", "a/total.ts"), ("b1", "b/sum.ts")] {
        let params = json!({"intent": "make it fast", "task": task, "textDocument": {"uri": client.uri(file)}});
        client.request("krins/assign", params).unwrap();
        // Two of one millisecond are as old as each other.
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    for task in ["b1", "a1"] {
        let cancelled = client.request("krins/cancel", json!({})).unwrap();
        assert_eq!((&cancelled["task"], &cancelled["state"]), (&json!(task), &json!("cancelled")));
    }
}

#[test]
fn a_task_of_any_folder_is_known_at_once_after_a_restart() {
    let workspace = Workspace::from_fixture(FIXTURE);
    let mut client = start(&workspace, &["a", "b"]);
    assign(&mut client, "b1", "b/sum.ts", ["sum", "whole"]);
    client.close();
    for round in 0..4 {
        let mut client = start(&workspace, &["a", "b"]);
        let task = client.request("krins/task", json!({"task": "b1"}));
        assert_eq!(task.expect("it is known")["state"], "ready", "start {round}");
        let newest = client.request("krins/task", json!({})).unwrap();
        assert_eq!(newest["task"], "b1");
        let error = client.request("krins/task", json!({"task": "nobody"})).unwrap_err();
        assert_eq!(error.kind(), Some("UnknownTask"));
        client.close();
    }
    let mut client = start(&workspace, &["a", "b"]);
    let tasks = client.request("krins/tasks", json!({})).unwrap();
    assert_eq!(tasks["tasks"][0]["task"], "b1", "{tasks}");
}

#[test]
fn folders_come_and_go_while_the_connection_lasts() {
    let workspace = Workspace::from_fixture(FIXTURE);
    let mut client = start(&workspace, &["a"]);
    let says = &client.server()["capabilities"]["workspace"]["workspaceFolders"];
    assert_eq!(says["changeNotifications"], true, "{says}");
    let change = |client: &mut Client, added: &[&str], removed: &[&str]| {
        let event = json!({"added": folders(&workspace, added), "removed": folders(&workspace, removed)});
        client.notify("workspace/didChangeWorkspaceFolders", json!({"event": event}));
    };
    let stats = |client: &mut Client, file: &str| {
        let uri = client.uri(file);
        client.request("krins/graph/stats", json!({"uri": uri})).unwrap()["files"].clone()
    };
    assign(&mut client, "a1", "a/total.ts", ["total", "amount"]);
    apply(&mut client, "a1");

    change(&mut client, &["b"], &[]);
    assert_eq!(stats(&mut client, "b/sum.ts"), 2, "a folder of its own");
    assign(&mut client, "b1", "b/sum.ts", ["sum", "whole"]);
    apply(&mut client, "b1");
    // Of the task's folder, not of the first.
    let impact = json!({"targets": ["use.ts"], "task": "b1"});
    let impact = client.request("krins/graph/impact", impact).unwrap();
    assert_eq!(impact["changed"][0]["path"], "use.ts", "{impact}");
    let elsewhere = client.request("krins/graph/impact", json!({"targets": ["use.ts"]})).unwrap_err();
    assert_eq!(elsewhere.kind(), Some("BadParams"), "{elsewhere:?}");

    change(&mut client, &[], &["b"]);
    let task = client.request("krins/task", json!({"task": "b1"})).unwrap();
    assert_eq!(task["state"], "applied", "what is there can be asked for");
    let newest = client.request("krins/task", json!({})).unwrap();
    assert_eq!(newest["task"], "a1", "{newest}");
    let document = json!({"uri": client.uri("b/sum.ts")});
    let rename = json!({"intent": "rename whole to sum", "task": "b2", "textDocument": document});
    let error = client.request("krins/assign", rename).unwrap_err();
    assert_eq!(error.kind(), Some("BadParams"), "{error:?}");
    client.request("krins/undo", json!({})).unwrap();
    assert!(workspace.read("a/total.ts").contains("total") && workspace.read("b/sum.ts").contains("whole"));
    client.request("krins/undo", json!({"undo": "b1"})).unwrap();
    assert!(workspace.read("b/sum.ts").contains("sum"), "by name it can be taken back");

    change(&mut client, &["b"], &["a"]);
    assign(&mut client, "b3", "b/sum.ts", ["sum", "all"]);
    change(&mut client, &[], &["b"]);
    let error = client.request("krins/status", json!({})).unwrap_err();
    assert_eq!(error.kind(), Some("BadParams"), "no folder is open: {error:?}");
}
