//! Traces out of the real binary: every step of the pipeline is a span of the caller's trace, flushed at the exit; a
//! collector that is dead or silent stops nothing.

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use krins_tests::binary::krins;
use krins_tests::client::Client;
use krins_tests::personas::Persona;
use krins_tests::workspace::Workspace;
use serde_json::json;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const TRACE_BYTES: [u8; 16] =
    [0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c];

type Received = Arc<Mutex<Vec<u8>>>;

async fn collect(State(received): State<Received>, body: Bytes) -> &'static [u8] {
    received.lock().unwrap().extend_from_slice(&body);
    // An empty ExportTraceServiceResponse.
    b""
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
        .env("TRACEPARENT", format!("00-{TRACE}-b7ad6b7169203331-01"))
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
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let received = Received::default();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/v1/traces", post(collect)).with_state(received.clone());
    runtime.spawn(async move { axum::serve(listener, router).await });
    let (applied, _) = assign(&workspace(), &endpoint);
    assert!(applied);
    let bytes = received.lock().unwrap().clone();
    for span in ["krins assign", "krins.task", "krins.context", "krins.ask", "krins.diff", "krins.gate", "krins.apply"]
    {
        assert!(holds(&bytes, span.as_bytes()), "no span {span} in {}", String::from_utf8_lossy(&bytes));
    }
    assert!(holds(&bytes, &TRACE_BYTES), "another trace");
    assert!(!holds(&bytes, b"export const total"), "source text has no place in a trace");
}

#[test]
fn an_apply_over_lsp_is_part_of_its_own_callers_trace() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let received = Received::default();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/v1/traces", post(collect)).with_state(received.clone());
    runtime.spawn(async move { axum::serve(listener, router).await });
    let workspace = workspace();
    let mut client =
        Client::builder(&workspace).persona(Persona::VSCODE).env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint).start();
    client.initialize();
    for method in ["window/showMessage", "textDocument/publishDiagnostics", "krins/task/didChange", "$/progress"] {
        client.ignore(method);
    }
    client.ignore("window/workDoneProgress/create");
    client.request("krins/assign", json!({"intent": "rename total to sum", "task": "t"})).unwrap();
    client.request("krins/diff", json!({"task": "t", "wait": true})).unwrap();
    let meta = json!({"traceparent": format!("00-{TRACE}-b7ad6b7169203331-01")});
    client.request("krins/apply", json!({"task": "t", "_meta": meta})).unwrap();
    client.close();
    let bytes = received.lock().unwrap().clone();
    assert!(holds(&bytes, b"krins/apply") && holds(&bytes, &TRACE_BYTES), "{}", String::from_utf8_lossy(&bytes));
}

#[test]
fn a_dead_or_silent_collector_stops_nothing() {
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
