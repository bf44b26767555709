//! Traces out of the real binary: every step of the pipeline is a span of the caller's trace, flushed at the exit; a
//! collector that is dead or silent stops nothing.

use krins_tests::binary::krins;
use krins_tests::client::Client;
use krins_tests::collector::{Collector, Kind, Span, Value};
use krins_tests::fakes::{Dialect, FakeProvider, Scenario};
use krins_tests::personas::Persona;
use krins_tests::serve::{Service, write_settings};
use krins_tests::workspace::Workspace;
use serde_json::json;
use std::process::Command;
use std::time::{Duration, Instant};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const EDITOR: &str = "b7ad6b7169203331";
const KEY: &str = "sk-ant-test-0123456789abcdef0123456789";

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn traceparent() -> String {
    format!("00-{TRACE}-{EDITOR}-01")
}

fn workspace() -> Workspace {
    Workspace::from_fixture(
        "//- /src/a.ts\nexport const total = 1;\n//- /src/b.ts\nimport { total } from './a';\nexport const b = total;\n",
    )
}

fn assign(workspace: &Workspace, endpoint: &str) -> (bool, Duration) {
    let started = Instant::now();
    let output = Command::new(krins())
        .args(["assign", "rename total to sum", "--apply", "--root"])
        .arg(workspace.root())
        .env_clear()
        .envs(workspace.env())
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .env("TRACEPARENT", traceparent())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (workspace.read("src/b.ts").contains("sum"), started.elapsed())
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn every_step_is_a_span_of_the_callers_trace_and_is_flushed_at_exit() {
    let runtime = runtime();
    let collector = runtime.block_on(Collector::start());
    let (applied, _) = assign(&workspace(), &collector.endpoint());
    assert!(applied);
    let spans = collector.spans();
    for name in ["krins assign", "krins.task", "krins.context", "krins.ask", "krins.diff", "krins.gate", "krins.apply"]
    {
        let span =
            spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no span {name} in {spans:#?}"));
        assert_eq!((span.trace.as_str(), span.failed), (TRACE, false), "{span:?}");
        assert_eq!(span.schema, "https://opentelemetry.io/schemas/1.41.1");
    }
    assert!(!holds(&collector.bytes(), b"export const total"), "source text has no place in a trace");
}

fn session(workspace: &Workspace, collector: &Collector) -> Client {
    let mut client = Client::builder(workspace)
        .persona(Persona::VSCODE)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())
        .start();
    client.initialize();
    for method in ["window/showMessage", "textDocument/publishDiagnostics", "krins/task/didChange", "$/progress"] {
        client.ignore(method);
    }
    client.ignore("window/workDoneProgress/create");
    client.ignore("window/showDocument");
    client
}

fn only<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
    let [one] = found[..] else { panic!("not one span {name} in {spans:#?}") };
    one
}

#[test]
fn a_request_of_the_editor_is_a_span_of_its_own_callers_trace_that_says_how_it_ended() {
    let runtime = runtime();
    let collector = runtime.block_on(Collector::start());
    let workspace = workspace();
    let mut client = session(&workspace, &collector);
    let meta = json!({"traceparent": traceparent()});
    client.request("krins/assign", json!({"intent": "rename total to sum", "task": "t"})).unwrap();
    client.request("krins/diff", json!({"task": "t", "wait": true})).unwrap();
    client.request("krins/apply", json!({"task": "t", "_meta": meta})).unwrap();
    client.request("krins/diff", json!({"task": "nobody"})).unwrap_err();
    client.request("krins/noSuchThing", json!({"task": "t"})).unwrap_err();
    let arguments = json!({"command": "krins.status", "arguments": [{"_meta": meta}]});
    client.request("workspace/executeCommand", arguments).unwrap();
    client.close();
    let spans = collector.spans();
    let apply = only(&spans, "krins/apply");
    assert_eq!(
        (apply.trace.as_str(), apply.parent.as_str(), apply.kind, apply.failed),
        (TRACE, EDITOR, Kind::Server, false)
    );
    assert_eq!((apply.text("rpc.system.name"), apply.text("rpc.method")), (Some("jsonrpc"), Some("krins/apply")));
    assert_eq!(apply.text("jsonrpc.protocol.version"), Some("2.0"));
    assert!(apply.text("jsonrpc.request.id").is_some(), "{apply:?}");
    let assign = only(&spans, "krins/assign");
    assert!(assign.trace != TRACE && assign.parent.is_empty(), "without a caller it is a trace of its own: {assign:?}");
    assert_eq!(only(&spans, "krins.context").trace, assign.trace, "the work behind the answer is part of it");
    let refused = spans.iter().find(|span| span.failed && span.name == "krins/diff").expect("the one that failed");
    assert_eq!(refused.text("rpc.response.status_code"), Some("-32803"), "{refused:?}");
    assert_eq!(refused.text("error.type"), Some("-32803"));
    let unknown = only(&spans, "_OTHER");
    assert_eq!((unknown.text("rpc.method"), unknown.text("error.type")), (Some("_OTHER"), Some("-32601")));
    let command = only(&spans, "krins.status");
    let request = only(&spans, "workspace/executeCommand");
    assert_eq!((&command.parent, request.trace.as_str()), (&request.id, TRACE));
    let bytes = collector.bytes();
    for word in [b"noSuchThing".as_slice(), b"rename total", b"export const"] {
        assert!(!holds(&bytes, word), "{}", String::from_utf8_lossy(word));
    }
}

/// From this span up to the first whose caller is not among the spans.
fn ancestors<'a>(spans: &'a [Span], from: &'a Span) -> Vec<&'a Span> {
    let mut line = vec![from];
    while let Some(parent) = spans.iter().find(|span| span.id == line[line.len() - 1].parent) {
        line.push(parent);
    }
    line
}

#[test]
fn one_trace_leads_from_the_editor_through_sidecar_and_service_to_the_provider() {
    let runtime = runtime();
    let collector = runtime.block_on(Collector::start());
    let fake = runtime.block_on(FakeProvider::start(Dialect::Anthropic, Scenario::Ok)).unwrap();
    let settings = format!(
        "provider = \"mine\"\n[providers.mine]\nkind = \"anthropic\"\nmodel = \"m\"\nbase_url = \"{}\"\nkey_env = \"MY_KEY\"\n",
        fake.base_url()
    );
    let endpoint = collector.endpoint();
    let service = Service::start(&settings, &[], &[("MY_KEY", KEY), ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]);
    let workspace =
        Workspace::from_fixture("//- /src/total.ts\nexport const total = 1;\nconst a = \"x\\ty\";\nconst b = 2;\n");
    write_settings(&workspace, &format!("backend.url = \"{}\"\n", service.url()));
    let mut client = session(&workspace, &collector);
    let meta = json!({"traceparent": traceparent(), "tracestate": "vendor=1"});
    let params = json!({"intent": "call it sum, and say so", "task": "t", "_meta": meta});
    client.request("krins/assign", params).unwrap();
    let diff = client.request("krins/diff", json!({"task": "t", "wait": true})).unwrap();
    assert_eq!(diff["state"], "ready", "{diff}");
    client.close();
    service.end();

    let spans = collector.spans();
    let sent = fake.attempts().remove(0);
    let [_, trace, parent, _] = sent.header("traceparent").unwrap().split('-').collect::<Vec<_>>()[..] else {
        panic!()
    };
    assert_eq!(trace, TRACE);
    let http = spans.iter().find(|span| span.id == parent).expect("what the provider was told is a span");
    let line = ancestors(&spans, http);
    let names: Vec<&str> = line.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(line[line.len() - 1].parent, EDITOR, "{names:?}");
    let milestones = [
        ("POST", "krins-serve", Kind::Client),
        ("chat m", "krins-serve", Kind::Client),
        ("krins.task", "krins-serve", Kind::Consumer),
        ("POST /tasks", "krins-serve", Kind::Server),
        ("POST", "krins", Kind::Client),
        ("krins.task", "krins", Kind::Internal),
        ("krins/assign", "krins", Kind::Server),
    ];
    let mut way = line.iter();
    for (name, service, kind) in milestones {
        let found = way.find(|span| (span.name.as_str(), span.service.as_str(), span.kind) == (name, service, kind));
        assert!(found.is_some(), "no {name} of {service} in its place among {names:?}");
    }
    assert!(line.iter().all(|span| span.trace == TRACE && !span.failed), "{line:#?}");

    assert_eq!((http.int("http.response.status_code"), http.text("http.request.method")), (Some(200), Some("POST")));
    assert_eq!(http.int("http.request.resend_count"), None, "it was sent once");
    assert_eq!(http.text("url.full"), Some(format!("{}/v1/messages", fake.base_url()).as_str()));
    let chat = line[1];
    let port = i64::from(fake.address().port());
    assert_eq!((chat.text("server.address"), chat.int("server.port")), (Some("127.0.0.1"), Some(port)));
    for (name, value) in [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "anthropic"),
        ("gen_ai.request.model", "m"),
        ("gen_ai.response.model", "fake-model-20261101"),
        ("gen_ai.response.id", "msg_01XFDUDYJgAACzvnptvVoYEL"),
    ] {
        assert_eq!(chat.text(name), Some(value), "{name}");
    }
    let reasons = Value::List(vec![Value::Text("stop".into())]);
    assert_eq!(chat.attributes.get("gen_ai.response.finish_reasons"), Some(&reasons));
    // 25 uncached, 11 read, 7 written: the convention counts all of them as input.
    for (name, tokens) in [
        ("gen_ai.usage.input_tokens", 43),
        ("gen_ai.usage.output_tokens", 42),
        ("gen_ai.usage.cache_read.input_tokens", 11),
        ("gen_ai.usage.cache_creation.input_tokens", 7),
    ] {
        assert_eq!(chat.int(name), Some(tokens), "{name}");
    }
    let first = chat.double("gen_ai.response.time_to_first_chunk").expect("the answer began");
    assert!(first > 0.0 && first * 1000.0 <= chat.took, "{first}");
    let server = only(&spans, "POST /tasks");
    assert_eq!((server.text("http.route"), server.int("http.response.status_code")), (Some("/tasks"), Some(202)));
    let bytes = collector.bytes();
    for word in ["export const", "call it sum", KEY, "KRINS_SECRET"] {
        assert!(!holds(&bytes, word.as_bytes()), "{word} has no place in a trace");
    }
}

#[test]
fn a_call_that_fails_says_why_and_the_next_one_that_it_is_the_second() {
    let runtime = runtime();
    let collector = runtime.block_on(Collector::start());
    let fake = runtime.block_on(FakeProvider::start(Dialect::OpenAiChat, Scenario::ServerErrorThenOk)).unwrap();
    let workspace =
        Workspace::from_fixture("//- /src/total.ts\nexport const total = 1;\nconst a = \"x\\ty\";\nconst b = 2;\n");
    let settings = format!(
        "provider = \"mine\"\n[providers.mine]\nkind = \"openai-chat\"\nmodel = \"m\"\nbase_url = \"{}\"\nkey_env = \"MY_KEY\"\n",
        fake.base_url()
    );
    write_settings(&workspace, &settings);
    let output = Command::new(krins())
        .args(["assign", "call it sum", "--root"])
        .arg(workspace.root())
        .env_clear()
        .envs(workspace.env())
        .env("MY_KEY", KEY)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let spans = collector.spans();
    let mut calls: Vec<&Span> = spans.iter().filter(|span| span.name == "chat m").collect();
    calls.sort_by_key(|span| !span.failed);
    let [failed, good] = calls[..] else { panic!("{calls:#?}") };
    assert_eq!((failed.failed, failed.text("error.type")), (true, Some("Server")));
    assert_eq!((good.failed, good.text("gen_ai.provider.name")), (false, Some("openai")));
    let request =
        |call: &Span| spans.iter().find(|span| span.parent == call.id && span.name == "POST").unwrap().clone();
    let (first, second) = (request(failed), request(good));
    assert_eq!((first.int("http.response.status_code"), first.text("error.type")), (Some(500), Some("500")));
    assert_eq!((first.int("http.request.resend_count"), second.int("http.request.resend_count")), (None, Some(1)));
}

#[test]
fn a_dead_or_silent_collector_stops_nothing() {
    // Whether it has to be built first is nobody's fault here.
    krins();
    // Nobody listens on the one; the other accepts and never says anything.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = {
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        gone.local_addr().unwrap()
    };
    for address in [dead, silent.local_addr().unwrap()] {
        let (applied, took) = assign(&workspace(), &format!("http://{address}"));
        assert!(applied);
        assert!(took < Duration::from_secs(5), "{address}: {took:?}");
    }
}
