//! The harness itself: it must see what it promises to see.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use krins_tests::client::Client;
use krins_tests::editor::Person;
use krins_tests::personas::Persona;
use krins_tests::workspace::Workspace;
use serde_json::{Value, json};

fn workspace() -> Workspace {
    Workspace::from_fixture("//- /a.ts\none\ntwo\n")
}

fn probe(workspace: &Workspace, persona: Persona) -> Client {
    let mut client =
        Client::builder(workspace).program(env!("CARGO_BIN_EXE_krins-probe"), &[]).persona(persona).start();
    client.initialize();
    client
}

/// The message of the panic that `test` ends with.
fn failure(test: impl FnOnce(&mut Client)) -> String {
    let workspace = workspace();
    let failed = catch_unwind(AssertUnwindSafe(|| {
        let mut client = probe(&workspace, Persona::VSCODE);
        test(&mut client);
        client.close();
    }));
    let payload = failed.expect_err("it should fail");
    payload.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[test]
fn a_clean_session_passes() {
    for persona in Persona::ALL {
        let workspace = workspace();
        let mut client = probe(&workspace, persona);
        client.open("a.ts");
        client.replace("a.ts", "two", "three");
        client.save("a.ts");
        assert_eq!(client.request("probe/any", json!({})), Ok(Value::Null));
        assert_eq!(client.close().code(), Some(0));
        assert_eq!(workspace.read("a.ts"), "one\nthree\n");
    }
}

#[test]
fn stray_bytes_fail() {
    for bytes in ["hello\n", "content-length: 2\r\n\r\n{}", "\n"] {
        let text = failure(|client| {
            client.notify("probe/print", json!(bytes));
        });
        assert!(text.contains("belong to no frame") || text.contains("ended its output"), "{bytes:?}: {text}");
        assert!(text.contains("stray"), "{text}");
    }
}

#[test]
fn an_unread_message_fails() {
    let say = |client: &mut Client| client.notify("probe/say", json!({"method": "window/showMessage", "params": {}}));
    assert!(failure(say).contains("unread messages: [\"window/showMessage\"]"));
    let text = failure(|client| {
        let _ = client.send_request("probe/any", json!({}));
    });
    assert!(text.contains("unread messages: [\"(a reply)\"]"), "{text}");
    // Read, or declared to be of no interest.
    let workspace = workspace();
    let mut client = probe(&workspace, Persona::VSCODE);
    say(&mut client);
    client.await_notification("window/showMessage");
    client.ignore("window/showMessage");
    say(&mut client);
    client.close();
}

#[test]
fn a_wrong_exit_code_fails() {
    assert!(failure(|client| client.notify("probe/exit", json!(3))).contains("exit code"));
}

#[test]
fn silence_is_checked() {
    let text = failure(|client| {
        client.notify("probe/say", json!({"method": "x", "params": {}}));
        client.expect_no_message(Duration::from_millis(200));
    });
    assert!(text.contains("a message came"), "{text}");
}

fn question() -> Value {
    let params = json!({"type": 3, "message": "?", "actions": [{"title": "Apply"}, {"title": "Discard"}]});
    json!({"method": "window/showMessageRequest", "params": params})
}

#[test]
fn questions_are_answered_as_each_editor_does() {
    for persona in Persona::ALL {
        let (name, handles) = (persona.name, persona.handles("window/showMessageRequest"));
        let workspace = workspace();
        let mut client = probe(&workspace, persona);
        let dismissed = client.request("probe/ask", question()).unwrap()["reply"].take();
        client.person(Person::Chooses("Apply".to_owned()));
        let chosen = client.request("probe/ask", question()).unwrap()["reply"].take();
        match (handles, name.starts_with("eglot")) {
            (false, _) => assert_eq!(chosen["error"]["code"], -32601, "{name}"),
            (true, true) => assert_eq!(dismissed["error"]["code"], -32800, "{name}"),
            (true, false) => assert_eq!(dismissed["result"], Value::Null, "{name}"),
        }
        if handles {
            assert_eq!(chosen["result"], json!({"title": "Apply"}), "{name}");
        }
        assert_eq!(client.take_requests("window/showMessageRequest").len(), 2);
    }
}

#[test]
fn an_edit_reaches_the_buffer_and_the_server_hears_of_it() {
    for persona in Persona::ALL {
        let name = persona.name;
        let at_once = persona.edits.changes == krins_tests::personas::Changes::BeforeReply;
        let workspace = workspace();
        let mut client = probe(&workspace, persona);
        client.open("a.ts");
        let edit = json!({"range": client.range_of("a.ts", "two"), "newText": "2"});
        let document = json!({"uri": client.uri("a.ts"), "version": client.version("a.ts")});
        let edit = match client.persona().edits.document_changes {
            true => json!({"documentChanges": [{"textDocument": document, "edits": [edit]}]}),
            false => json!({"changes": {client.uri("a.ts"): [edit]}}),
        };
        let asked = json!({"method": "workspace/applyEdit", "params": {"edit": edit}});
        let told = client.request("probe/ask", asked).unwrap();
        assert_eq!(told["reply"]["result"]["applied"], true, "{name}");
        assert_eq!(
            told["before"].as_array().unwrap().len(),
            usize::from(at_once && !client.persona().shuffles),
            "{name}"
        );
        assert_eq!(client.text("a.ts"), "one\n2\n", "{name}");
        assert_eq!(client.unsaved(), [workspace.path("a.ts")]);
        assert_eq!(workspace.read("a.ts"), "one\ntwo\n");
        assert!(client.await_request("workspace/applyEdit").answer.is_some());
    }
}
