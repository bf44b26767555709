//! The journey with a model behind it, over the real sidecar: the answer placed, gated, applied; a cancel that reaches the
//! provider's connection; a cut stream that becomes an error; secrets that never leave; the trace's ids that do.

use std::time::{Duration, Instant};

use krins_tests::client::Client;
use krins_tests::editor::Person;
use krins_tests::fakes::{Behaviour, Dialect, FakeProvider, Scenario};
use krins_tests::personas::Persona;
use krins_tests::workspace::Workspace;
use serde_json::{Value, json};

const KEY: &str = "sk-canary-51f7a0c2e94b8d36-canary";

/// A GitHub token's shape, put together here so that nobody's scanner takes it for one.
fn secret() -> String {
    format!("ghp_{}", "q7Rf2ZkP9vXw3LmT8sNbH5cYdJ1gUa4eKo6B")
}

fn source() -> String {
    format!(
        "const token = \"{}\";\r\nexport const greet = (name: string) => `hi ${{name}}`;\r\nexport const auth = () => token;\r\n",
        secret()
    )
}

fn answer() -> String {
    // The model copies the placeholder it was shown, as it was told to.
    "Sure.\n\nsrc/greet.ts\n<<<<<<< SEARCH\nexport const greet = (name: string) => `hi ${name}`;\nexport const auth = () => token;\n=======\nexport const greet = (name: string) => `hello ${name}`;\nexport const auth = () => token || \"KRINS_SECRET_1\";\n>>>>>>> REPLACE\n".to_owned()
}

struct Stage {
    runtime: tokio::runtime::Runtime,
    fake: FakeProvider,
    workspace: Workspace,
}

fn stage(dialect: Dialect, kind: &str, behaviour: Behaviour) -> Stage {
    stage_in(Workspace::from_fixture("//- /package.json\n{\"name\": \"app\"}\n"), dialect, kind, behaviour)
}

fn stage_in(workspace: Workspace, dialect: Dialect, kind: &str, behaviour: Behaviour) -> Stage {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let fake = runtime.block_on(FakeProvider::behaving(dialect, behaviour)).unwrap();
    workspace.write("src/greet.ts", source());
    let config = workspace.home().join(".config/krins");
    std::fs::create_dir_all(&config).unwrap();
    let text = format!(
        "provider = \"fake\"\n[providers.fake]\nkind = \"{kind}\"\nbase_url = \"{}\"\nmodel = \"fake-model\"\nkey_env = \"FAKE_KEY\"\n",
        fake.base_url()
    );
    std::fs::write(config.join("config.toml"), text).unwrap();
    Stage { runtime, fake, workspace }
}

fn client(stage: &Stage) -> Client {
    let mut client = Client::builder(&stage.workspace).persona(Persona::VSCODE).env("FAKE_KEY", KEY).start();
    client.initialize();
    for method in ["window/showMessage", "textDocument/publishDiagnostics", "krins/task/didChange", "$/progress"] {
        client.ignore(method);
    }
    client.ignore("window/workDoneProgress/create");
    client
}

fn assign(client: &mut Client, task: &str) {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let params = json!({"intent": "greet politely", "task": task, "textDocument": {"uri": client.uri("src/greet.ts")}, "_meta": {"traceparent": parent, "tracestate": "vendor=1"}});
    client.request("krins/assign", params).unwrap();
}

fn answered(dialect: Dialect, kind: &str) {
    let stage = stage(dialect, kind, Behaviour { answer: answer(), ..Behaviour::new(Scenario::Ok) });
    let mut client = client(&stage);
    assign(&mut client, "t");
    let diff = client.request("krins/diff", json!({"task": "t", "wait": true})).unwrap();
    assert!(diff["model"].as_str().unwrap().starts_with("fake/"), "{kind}: {}", diff["model"]);
    let applied = client.request("krins/apply", json!({"task": "t"}));
    // The secret that the answer repeats is the base's own, so it is new in a second place: the gate says so.
    assert_eq!(diff["state"], "blocked", "{diff}");
    assert_eq!(diff["gate"]["findings"][0]["rule"], "secrets/github-token");
    assert_eq!(applied.unwrap_err().kind(), Some("GateFailed"));
    let attempt = stage.fake.attempts().remove(0);
    let sent = attempt.body.to_string();
    assert!(!sent.contains(&secret()), "{kind}: the secret left the machine");
    assert!(sent.contains("KRINS_SECRET_1"), "{kind}");
    let traceparent = attempt.header("traceparent").unwrap();
    assert!(
        traceparent.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && !traceparent.contains("b7ad6b7169203331"),
        "{traceparent}"
    );
    assert_eq!(attempt.header("tracestate"), None);
    assert!(!diff.to_string().contains(KEY));
    assert_eq!(stage.fake.violations(), [] as [String; 0]);
}

#[test]
fn every_dialects_answer_is_placed_and_no_secret_leaves() {
    for (dialect, kind) in [
        (Dialect::Anthropic, "anthropic"),
        (Dialect::OpenAiResponses, "openai"),
        (Dialect::OpenAiChat, "openai-chat"),
        (Dialect::Gemini, "gemini"),
        (Dialect::Ollama, "ollama"),
    ] {
        answered(dialect, kind);
    }
}

/// Without a plugin, and without a place to type: every way on from what the gate blocks is a code action.
#[test]
fn a_change_that_the_gate_blocks_has_ways_on_in_every_client() {
    for persona in [Persona::PLAIN, Persona::HELIX_NEXT] {
        let asks = persona.handles("window/showMessageRequest");
        let behaviour = Behaviour { answer: answer(), ..Behaviour::new(Scenario::Ok) };
        let stage = stage(Dialect::Anthropic, "anthropic", behaviour);
        let mut client = Client::builder(&stage.workspace).persona(persona).env("FAKE_KEY", KEY).start();
        client.initialize();
        for method in ["textDocument/publishDiagnostics", "$/progress", "window/workDoneProgress/create"] {
            client.ignore(method);
        }
        let says = |client: &mut Client, words: &str| {
            client
                .await_notification_where("window/showMessage", |params| params["message"].to_string().contains(words));
        };
        client.open("src/greet.ts");
        client
            .execute(
                "krins.assign",
                json!({"intent": "greet politely", "textDocument": {"uri": client.uri("src/greet.ts")}}),
            )
            .unwrap();
        says(&mut client, "the gate blocks");
        let whole = json!({"start": {"line": 0, "character": 0}, "end": {"line": 3, "character": 0}});
        let find = |client: &mut Client, title: &str| {
            let actions = client.code_actions("src/greet.ts", whole.clone());
            let found = actions.iter().find(|action| action["title"].as_str().unwrap().starts_with(title));
            found.cloned().unwrap_or_else(|| panic!("no {title:?} in {actions:?}"))
        };
        find(&mut client, "Krins: ask again with what the gate found");
        let show = find(&mut client, "Krins: show what the gate found");
        client.run_action(&show).unwrap();
        says(&mut client, "is blocked");
        let waive = find(&mut client, "Krins: put up with secrets/github-token here");
        client.run_action(&waive).unwrap();
        if !asks {
            says(&mut client, "this editor asks no questions");
        } else {
            says(&mut client, "nothing was put up with");
            client.person(Person::Chooses("Test or sample data".into()));
            client.run_action(&waive).unwrap();
            says(&mut client, "the finding is put up with, on record");
            let apply = find(&mut client, "Krins: apply the change");
            client.run_action(&apply).unwrap();
            says(&mut client, "1 file changed");
        }
        for method in ["window/showMessage", "workspace/applyEdit", "window/showMessageRequest", "window/showDocument"]
        {
            client.ignore(method);
        }
    }
}

/// The end of a chain that the settings let end so.
#[test]
fn where_no_model_answers_the_refactorings_do_what_they_understand_and_say_so() {
    let stage = stage(Dialect::Anthropic, "anthropic", Behaviour::new(Scenario::ServerErrorNoRetry));
    let config = stage.workspace.home().join(".config/krins/config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("fallback = [\"builtin\"]\n{text}")).unwrap();
    let mut client = client(&stage);
    client.request("krins/assign", json!({"intent": "rename greet to welcome", "task": "rename"})).unwrap();
    let diff = client.request("krins/diff", json!({"task": "rename", "wait": true})).unwrap();
    assert_eq!((&diff["model"], &diff["state"]), (&json!("builtin/refactorings"), &json!("ready")), "{diff}");
    let degraded = diff["degraded"].as_str().unwrap();
    assert!(degraded.starts_with("no model answered: get an answer from fake/fake-model: HTTP 500"), "{degraded}");
    assert!(diff["patch"].as_str().unwrap().contains("+export const welcome = "), "{diff}");
    assign(&mut client, "other");
    let error = client.request("krins/diff", json!({"task": "other", "wait": true})).unwrap_err();
    assert_eq!(error.kind(), Some("BackendUnavailable"), "what is no refactoring fails as it did: {error:?}");
    let status = client.request("krins/status", json!({})).unwrap();
    let routes: Vec<&str> =
        status["routes"].as_array().unwrap().iter().map(|route| route["route"].as_str().unwrap()).collect();
    assert_eq!(
        (&status["level"], routes),
        (&json!("normal"), vec!["builtin/refactorings", "fake/fake-model"]),
        "{status}"
    );
    assert_eq!(stage.fake.attempts().len(), 2);
}

/// The key and the person of the canary: neither may be anywhere but in the workspace's own texts.
#[test]
fn a_key_and_a_persons_data_are_in_no_prompt_log_audit_or_state() {
    let person = ["jane.canary@acme.io", "Jane Q. Canary"];
    let answer = answer().replace(" || \"KRINS_SECRET_1\"", "; // by krins_email_1@redacted.invalid");
    let answer = answer.replace("};", "}").replace("krins_email_1@redacted.invalid;", "krins_email_1@redacted.invalid");
    let stage = stage(Dialect::Anthropic, "anthropic", Behaviour { answer, ..Behaviour::new(Scenario::Ok) });
    stage.workspace.write("src/greet.ts", format!("// @author {}\r\n// {}\r\n{}", person[1], person[0], source()));
    let mut client = Client::builder(&stage.workspace)
        .persona(Persona::VSCODE)
        .env("FAKE_KEY", KEY)
        .env("KRINS_LOG", "trace")
        .env("KRINS_LOG_FORMAT", "json")
        .start();
    client.initialize();
    for method in ["window/showMessage", "textDocument/publishDiagnostics", "krins/task/didChange", "$/progress"] {
        client.ignore(method);
    }
    client.ignore("window/workDoneProgress/create");
    assign(&mut client, "t");
    let diff = client.request("krins/diff", json!({"task": "t", "wait": true})).unwrap();
    assert_eq!(diff["state"], "ready", "{diff}");
    client.request("krins/apply", json!({"task": "t"})).unwrap();
    // The answer's placeholder is the person's address again, where the answer put it.
    assert_eq!(stage.workspace.read("src/greet.ts").matches(person[0]).count(), 2);
    let sent = stage.fake.attempts().remove(0).body.to_string();
    let canaries = [secret(), person[0].to_owned(), person[1].to_owned()];
    for canary in &canaries {
        assert!(!sent.contains(canary.as_str()), "{canary} left the machine");
        assert!(!client.stderr().contains(canary.as_str()), "{canary} is in the log");
        // What the workspace itself holds is kept for the undo, for the review and in the index, for nobody else to read.
        let own = ["blobs", "apply", "index", "kept"];
        let mut places = vec![stage.workspace.home()];
        while let Some(place) = places.pop() {
            if place.is_dir() {
                let entries = std::fs::read_dir(&place).unwrap().map(|entry| entry.unwrap());
                places
                    .extend(entries.filter(|entry| own.iter().all(|own| entry.file_name() != *own)).map(|e| e.path()));
            } else {
                let bytes = std::fs::read(&place).unwrap_or_default();
                let found = bytes.windows(canary.len()).any(|part| part == canary.as_bytes());
                assert!(!found, "{canary} is in {}", place.display());
            }
        }
    }
    assert!(!client.stderr().contains(KEY) && client.stderr().contains("krins.task"), "{}", client.stderr());
}

#[test]
fn an_answer_is_applied_with_the_files_own_line_ends_and_undone() {
    let answer = answer().replace(" || \"KRINS_SECRET_1\"", " // kept");
    let stage = stage(Dialect::Anthropic, "anthropic", Behaviour { answer, ..Behaviour::new(Scenario::Ok) });
    let before = stage.workspace.snapshot();
    let mut client = client(&stage);
    assign(&mut client, "t");
    let diff = client.request("krins/diff", json!({"task": "t", "wait": true})).unwrap();
    assert_eq!(diff["state"], "ready", "{diff}");
    client.request("krins/apply", json!({"task": "t"})).unwrap();
    let expected = source()
        .replace("`hi $", "`hello $")
        .replace("=> token;", "=> token; // kept")
        .replace("token; // kept;", "token;");
    let now = stage.workspace.read("src/greet.ts");
    assert!(
        now.contains("`hello ${name}`;\r\n") && now.ends_with("\r\n") && now.contains(&secret()),
        "{now:?} {expected:?}"
    );
    assert_eq!(now.matches('\n').count(), now.matches("\r\n").count(), "every line end stays");
    client.request("krins/undo", json!({})).unwrap();
    assert_eq!(stage.workspace.snapshot(), before);
}

#[test]
fn a_path_from_the_root_of_the_disk_is_the_file_below_the_workspace() {
    let workspace = Workspace::empty();
    let absolute = workspace.path("src/greet.ts");
    let answer =
        answer().replace(" || \"KRINS_SECRET_1\"", " // kept").replace("src/greet.ts", absolute.to_str().unwrap());
    let behaviour = Behaviour { answer, ..Behaviour::new(Scenario::Ok) };
    let stage = stage_in(workspace, Dialect::Anthropic, "anthropic", behaviour);
    let mut client = client(&stage);
    assign(&mut client, "t");
    let diff = client.request("krins/diff", json!({"task": "t", "wait": true})).unwrap();
    assert_eq!(diff["state"], "ready", "{diff}");
    assert_eq!(diff["files"][0]["uri"], client.uri("src/greet.ts"));
}

#[test]
fn a_budget_in_money_is_refused_where_nobody_could_keep_it() {
    let stage = stage(Dialect::Anthropic, "anthropic", Behaviour::new(Scenario::Ok));
    let mut client = client(&stage);
    let params = json!({"intent": "greet politely", "task": "t", "budget": {"micros": 1_000_000}});
    client.request("krins/assign", params).unwrap();
    let error = client.request("krins/diff", json!({"task": "t", "wait": true})).unwrap_err();
    assert_eq!(error.kind(), Some("BudgetExceeded"), "{error:?}");
    assert!(error.message.contains("is not known"), "{error:?}");
    assert!(stage.fake.attempts().is_empty(), "nothing was spent");
}

#[test]
fn a_stream_that_is_cut_is_an_error_and_never_a_shorter_diff() {
    for scenario in [Scenario::Cut, Scenario::CutCleanly, Scenario::NoFinish] {
        let stage =
            stage(Dialect::OpenAiChat, "openai-chat", Behaviour { answer: answer(), ..Behaviour::new(scenario) });
        let mut client = client(&stage);
        assign(&mut client, "t");
        let error = client.request("krins/diff", json!({"task": "t", "wait": true})).unwrap_err();
        assert_eq!(error.kind(), Some("BackendUnavailable"), "{scenario:?} {error:?}");
        assert!(!error.data.to_string().contains(KEY) && !error.message.contains(KEY));
    }
}

#[test]
fn cancelling_a_task_closes_the_providers_connection() {
    let stage = stage(Dialect::Anthropic, "anthropic", Behaviour::new(Scenario::Silent));
    let mut client = client(&stage);
    assign(&mut client, "t");
    wait_for(|| !stage.fake.attempts().is_empty());
    let started = Instant::now();
    let state = client.request("krins/cancel", json!({"task": "t"})).unwrap();
    assert_eq!(state["state"], "cancelled");
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert!(stage.runtime.block_on(stage.fake.someone_left(Duration::from_secs(1))), "the connection stayed open");
}

#[test]
fn sixty_four_requests_in_flight_are_cancelled_at_once() {
    let stage = stage(Dialect::Anthropic, "anthropic", Behaviour::new(Scenario::Silent));
    let mut client = client(&stage);
    assign(&mut client, "t");
    wait_for(|| !stage.fake.attempts().is_empty());
    let mut took = Vec::new();
    for _ in 0..4 {
        let tickets: Vec<_> =
            (0..64).map(|_| client.send_request("krins/diff", json!({"task": "t", "wait": true}))).collect();
        for ticket in tickets {
            let started = Instant::now();
            client.cancel(ticket);
            let error = client.await_reply(ticket).unwrap_err();
            took.push(started.elapsed());
            assert_eq!(error.code, -32800, "{error:?}");
        }
    }
    client.request("krins/cancel", json!({"task": "t"})).unwrap();
    took.sort();
    let (p50, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    note(&format!("cancel with 64 in flight over stdio: p50 {p50:?}, p99 {p99:?}, n {}", took.len()));
    let limit = Duration::from_millis(if cfg!(debug_assertions) { 200 } else { 20 });
    assert!(p99 < limit, "p50 {p50:?}, p99 {p99:?}");
}

fn wait_for(done: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < until, "it never came");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Figures go where a person who asks for them finds them.
fn note(line: &str) {
    if let Some(path) = std::env::var_os("KRINS_TEST_FIGURES") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        std::io::Write::write_all(&mut file, format!("{line}\n").as_bytes()).unwrap();
    }
}

/// Who asked about one file is told why the others are in the answer, and what the model says itself.
#[test]
fn a_models_answer_has_reasons_with_lines_and_its_own_words() {
    let block =
        |path: &str, old: &str, new: &str| format!("{path}\n<<<<<<< SEARCH\n{old}=======\n{new}>>>>>>> REPLACE\n");
    let answer = |words: &str| {
        words.to_owned()
            + &block("src/greet.ts", "  return name;\n", "  return name.trim();\n")
            + &block(
                "src/page.ts",
                "export const page = () => greet(\"a\");\n",
                "export const page = () => greet(\" a\");\n",
            )
            + &block(
                "src/polite.ts",
                "",
                "import { greet } from \"./greet\";\nexport const polite = () => greet(\"you\");\n",
            )
    };
    let workspace = || {
        let workspace = Workspace::from_fixture("//- /package.json\n{\"name\": \"app\"}\n");
        workspace
            .write("src/page.ts", "import { greet } from \"./greet\";\n\nexport const page = () => greet(\"a\");\n");
        workspace
    };
    let why = |words: &str| {
        let behaviour = Behaviour { answer: answer(words), ..Behaviour::new(Scenario::Ok) };
        let stage = stage_in(workspace(), Dialect::Anthropic, "anthropic", behaviour);
        let source = format!("export function greet(name: string): string {{\n  return name;\n}}\n// {}\n", secret());
        stage.workspace.write("src/greet.ts", source);
        let mut client = client(&stage);
        assign(&mut client, "t");
        let diff = client.request("krins/diff", json!({"task": "t", "wait": true})).unwrap();
        assert_eq!(diff["state"], "ready", "{diff}");
        diff["why"].clone()
    };
    let known = [
        json!({"reason": "src/page.ts and src/polite.ts use greet of src/greet.ts", "lines": ["src/page.ts:3", "src/polite.ts:2"]}),
    ];
    let own = json!({"reason": "in the model's own words: Names are trimmed before they are shown.", "lines": []});
    assert_eq!(why("Sure.\n\nNames are trimmed\nbefore\u{202e} they are shown. More.\n\n"), json!([known[0], own]));
    // What was taken out of the prompt is in no reason, nor what stands for it.
    assert_eq!(why("The token KRINS_SECRET_1 stays as it is.\n\n"), json!(known));
    assert_eq!(why(&format!("The token {} stays as it is.\n\n", secret())), json!(known));
    assert_eq!(why(""), json!(known));
}

#[test]
fn without_a_key_the_error_says_where_to_put_it() {
    let stage = stage(Dialect::Anthropic, "anthropic", Behaviour::new(Scenario::Ok));
    let mut client = Client::start(&stage.workspace, Persona::VSCODE);
    for method in ["window/showMessage", "textDocument/publishDiagnostics", "krins/task/didChange"] {
        client.ignore(method);
    }
    client.request("krins/assign", json!({"intent": "greet politely", "task": "t"})).unwrap();
    let error = client.request("krins/diff", json!({"task": "t", "wait": true})).unwrap_err();
    assert_eq!(error.kind(), Some("AuthFailed"));
    assert!(error.data["hint"].as_str().unwrap_or_default().contains("FAKE_KEY"), "{error:?}");
    assert_eq!(error.data["retryable"], Value::Bool(false));
    assert!(stage.fake.attempts().is_empty());
}
