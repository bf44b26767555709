//! W3C trace context, level 2, from a request to the service through its remote backend to the next server: every case
//! of the public suite, with and without an OpenTelemetry layer.

use async_trait::async_trait;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use krins_backend::http::{Http, HttpConfig};
use krins_backend::keys::Keys;
use krins_backend::remote::{Remote, RemoteConfig};
use krins_backend::service::{Server, ServiceConfig};
use krins_backend::store::Sqlite;
use krins_backend::{Ask, Backend, BackendError, ProgressSink, Proposal, propagation};
use krins_protocol::http::{Answer, RemoteState, RemoteTask};
use krins_protocol::lsp::Usage;
use krins_tests::raw_http;
use opentelemetry::trace::{SpanId, SpanKind, TracerProvider as _};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::sync::mpsc;
use tracing_subscriber::layer::SubscriberExt as _;

const TRACE: &str = "12345678901234567890123456789012";
const PARENT: &str = "1234567890123456";

/// Asks the next server a number of times, each under its own task.
struct Fan {
    next: Remote,
    times: u32,
}

#[async_trait]
impl Backend for Fan {
    async fn ask(&self, ask: Ask, progress: ProgressSink) -> Result<Proposal, BackendError> {
        for n in 1..self.times {
            let ask = Ask { task: format!("{}-{n}", ask.task), ..ask.clone() };
            self.next.ask(ask, Arc::clone(&progress)).await?;
        }
        self.next.ask(ask, progress).await
    }

    fn route(&self) -> String {
        self.next.route()
    }

    fn is_builtin(&self) -> bool {
        false
    }

    fn forget(&self, _: &Ask) {}

    fn cache_counts(&self) -> (u64, u64) {
        (0, 0)
    }
}

/// A service in front of a server that notes what it was sent.
struct Chain {
    address: SocketAddr,
    seen: mpsc::UnboundedReceiver<HeaderMap>,
    count: AtomicU32,
}

impl Chain {
    async fn start(times: u32) -> Self {
        LazyLock::force(&OTHERS);
        let (note, seen) = mpsc::unbounded_channel();
        let app = axum::Router::new().fallback(answer).with_state(note);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(axum::serve(listener, app).into_future());

        let config = RemoteConfig { url, builtin: false, provider: None };
        let keys = Keys::new(|_| None, |_, _| Ok(None));
        let next = Remote::new(config, Http::new(HttpConfig::default()), keys).unwrap();
        let backend = Arc::new(Fan { next, times });
        let any = "127.0.0.1:0".parse().unwrap();
        let config = ServiceConfig { queue: 1000, ..ServiceConfig::default() };
        let server = Server::bind(any, backend, Sqlite::in_memory().unwrap(), config).await.unwrap();
        let address = server.address().unwrap();
        tokio::spawn(server.run(std::future::pending()));
        Self { address, seen, count: AtomicU32::new(0) }
    }

    /// Sends a task with these headers; answers the (traceparent, tracestate) of the request that it caused.
    async fn send(&mut self, headers: &[(&str, &str)]) -> Seen {
        let n = self.count.fetch_add(1, Ordering::Relaxed);
        let body = json!({
            "prompt": {"version": 1, "intent": format!("task {n}"), "items": []},
            "max_output_tokens": 1,
        });
        let answer = raw_http::post_json(self.address, "/tasks", headers, &body).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        self.next().await
    }

    async fn next(&mut self) -> Seen {
        let next = tokio::time::timeout(Duration::from_secs(10), self.seen.recv());
        Seen::of(&next.await.expect("a request in time").expect("the server notes it"))
    }
}

async fn answer(State(note): State<mpsc::UnboundedSender<HeaderMap>>, headers: HeaderMap) -> Json<RemoteTask> {
    note.send(headers).unwrap();
    Json(RemoteTask {
        id: "next".into(),
        state: RemoteState::Done,
        seq: 9,
        answer: Some(Answer {
            text: "done".into(),
            provider: "stub".into(),
            model: "one".into(),
            usage: Usage::default(),
            cost: None,
            cached: false,
            why: Vec::new(),
            degraded: None,
        }),
        error: None,
        spent: None,
    })
}

/// What a request carried, checked to be one well-formed version 00 header.
#[derive(Debug)]
struct Seen {
    trace: String,
    parent: String,
    flags: u8,
    state: Vec<String>,
}

impl Seen {
    fn of(headers: &HeaderMap) -> Self {
        let all: Vec<&str> = headers.get_all("traceparent").iter().map(|value| value.to_str().unwrap()).collect();
        let [one] = all[..] else { panic!("not one traceparent: {all:?}") };
        let parts: Vec<&str> = one.split('-').collect();
        let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
        assert!(lengths == [2, 32, 16, 2] && parts[0] == "00" && parts.iter().all(|part| is_hex(part)), "{one}");
        assert!(parts[1] != "0".repeat(32) && parts[2] != "0".repeat(16), "{one}");
        Self {
            trace: parts[1].to_owned(),
            parent: parts[2].to_owned(),
            flags: u8::from_str_radix(parts[3], 16).unwrap(),
            state: headers.get_all("tracestate").iter().map(|value| value.to_str().unwrap().to_owned()).collect(),
        }
    }

    fn state(&self) -> String {
        self.state.join(",")
    }
}

/// While one subscriber alone is known, `tracing` asks the thread that meets a place in the code first whether anybody wants
/// it, and a thread of a test without one would answer for all. So there are always more.
static OTHERS: LazyLock<[tracing::Dispatch; 2]> =
    LazyLock::new(|| [(); 2].map(|()| tracing::Dispatch::new(tracing_subscriber::registry())));

/// A provider as with a collector configured, its spans kept here, and the subscriber that feeds it.
fn layer() -> (InMemorySpanExporter, SdkTracerProvider, tracing::subscriber::DefaultGuard) {
    LazyLock::force(&OTHERS);
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let own = tracing_subscriber::filter::Targets::new().with_target("krins", tracing::Level::INFO);
    let subscriber = tracing_subscriber::registry().with(tracing_subscriber::Layer::with_filter(spans, own));
    (exporter, provider, tracing::subscriber::set_default(subscriber))
}

/// `traceparent` values, and whether the trace goes on.
const PARENTS: &[(&[&str], bool)] = &[
    (&[], false),
    (&["00-12345678901234567890123456789012-1234567890123456-01"], true),
    (
        &[
            "00-12345678901234567890123456789012-1234567890123456-01",
            "00-12345678901234567890123456789012-1234567890123456-01",
        ],
        false,
    ),
    (&["00-12345678901234567890123456789012-1234567890123456-01."], false),
    (&["00-12345678901234567890123456789012-1234567890123456-01-what-the-future-will-be-like"], false),
    (&["cc-12345678901234567890123456789012-1234567890123456-01"], true),
    (&["cc-12345678901234567890123456789012-1234567890123456-01-what-the-future-will-be-like"], true),
    (&["cc-12345678901234567890123456789012-1234567890123456-01.what-the-future-will-be-like"], false),
    (&["ff-12345678901234567890123456789012-1234567890123456-01"], false),
    (&[".0-12345678901234567890123456789012-1234567890123456-01"], false),
    (&["0.-12345678901234567890123456789012-1234567890123456-01"], false),
    (&["000-12345678901234567890123456789012-1234567890123456-01"], false),
    (&["0000-12345678901234567890123456789012-1234567890123456-01"], false),
    (&["0-12345678901234567890123456789012-1234567890123456-01"], false),
    (&["00-00000000000000000000000000000000-1234567890123456-01"], false),
    (&["00-.2345678901234567890123456789012-1234567890123456-01"], false),
    (&["00-1234567890123456789012345678901.-1234567890123456-01"], false),
    (&["00-123456789012345678901234567890123-1234567890123456-01"], false),
    (&["00-1234567890123456789012345678901-1234567890123456-01"], false),
    (&["00-12345678901234567890123456789012-0000000000000000-01"], false),
    (&["00-12345678901234567890123456789012-.234567890123456-01"], false),
    (&["00-12345678901234567890123456789012-123456789012345.-01"], false),
    (&["00-12345678901234567890123456789012-12345678901234567-01"], false),
    (&["00-12345678901234567890123456789012-123456789012345-01"], false),
    (&["00-12345678901234567890123456789012-1234567890123456-.0"], false),
    (&["00-12345678901234567890123456789012-1234567890123456-0."], false),
    (&["00-12345678901234567890123456789012-1234567890123456-001"], false),
    (&["00-12345678901234567890123456789012-1234567890123456-1"], false),
    (&[" 00-12345678901234567890123456789012-1234567890123456-01"], true),
    (&["\t00-12345678901234567890123456789012-1234567890123456-01"], true),
    (&["00-12345678901234567890123456789012-1234567890123456-01 "], true),
    (&["00-12345678901234567890123456789012-1234567890123456-01\t"], true),
    (&["\t 00-12345678901234567890123456789012-1234567890123456-01 \t"], true),
];

async fn every_case() {
    let mut chain = Chain::start(1).await;
    for (parents, goes_on) in PARENTS {
        let headers: Vec<_> = parents.iter().map(|value| ("traceparent", *value)).collect();
        let seen = chain.send(&headers).await;
        assert_eq!(seen.trace == TRACE, *goes_on, "{parents:?} gave {seen:?}");
        assert_ne!(seen.parent, PARENT, "each hop has its own id");
        assert_eq!(seen.flags, if *goes_on { 1 } else { 3 }, "a new trace is sampled and random: {seen:?}");
        assert!(seen.state.is_empty());
    }
    for name in ["trace-parent", "trace.parent"] {
        assert_ne!(chain.send(&[(name, PARENTS[1].0[0])]).await.trace, TRACE, "{name}");
    }
    for name in ["TraceParent", "TrAcEpArEnT", "TRACEPARENT"] {
        assert_eq!(chain.send(&[(name, PARENTS[1].0[0])]).await.trace, TRACE, "{name}");
    }
    for flags in [0, 1, 2, 3] {
        let parent = format!("00-{TRACE}-{PARENT}-{flags:02x}");
        let seen = chain.send(&[("traceparent", &parent)]).await;
        assert_eq!((seen.trace.as_str(), seen.flags), (TRACE, flags), "flags stay as they are");
    }
    every_state(&mut chain).await;
}

async fn every_state(chain: &mut Chain) {
    let key = |n: usize| format!("{}=1", "z".repeat(n));
    let row = |range: std::ops::RangeInclusive<u32>| {
        let entries: Vec<String> = range.map(|n| format!("bar{n:02}={n:02}")).collect();
        entries.join(",")
    };
    let value: String = (' '..='~').filter(|c| !",=".contains(*c)).collect();
    let all = format!("abcdefghijklmnopqrstuvwxyz0123456789_-*/@a-z0-9_-*/={value}");
    let (longest, too_long) = (key(256), key(257));
    let (first, second, third) = (row(1..=10), row(11..=32), row(33..=33));
    let thirty_two = row(1..=32);
    let cases: &[(&[&str], &str)] = &[
        (&["foo=1,bar=2"], "foo=1,bar=2"),
        (&[""], ""),
        (&["foo=1", ""], "foo=1"),
        (&["", "foo=1"], "foo=1"),
        (&["foo=1,bar=2", "rojo=1,congo=2", "baz=3"], "foo=1,bar=2,rojo=1,congo=2,baz=3"),
        (&["foo=1,foo=1"], "foo=1"),
        (&["foo=1", "foo=2"], "foo=1"),
        (&[&all], &all),
        (&["foo=1 \t , \t bar=2, \t baz=3"], "foo=1,bar=2,baz=3"),
        (&["foo=1\t \t,\t \tbar=2,\t \tbaz=3"], "foo=1,bar=2,baz=3"),
        (&["\t foo=1 \t"], "foo=1"),
        (&["foo =1"], ""),
        (&["FOO=1"], ""),
        (&["foo.bar=1"], ""),
        (&["foo@=1,bar=2"], "foo@=1,bar=2"),
        (&["@foo=1,bar=2"], ""),
        (&["foo@@bar=1,bar=2"], "foo@@bar=1,bar=2"),
        (&["foo@bar@baz=1,bar=2"], "foo@bar@baz=1,bar=2"),
        (&[&first, &second], &thirty_two),
        (&[&first, &second, &third], ""),
        (&["foo=1", &longest], &format!("foo=1,{longest}")),
        (&["foo=1", &too_long], ""),
        (&["foo=bar=baz"], ""),
        (&["foo=,bar=3"], ""),
    ];
    let parent = format!("00-{TRACE}-{PARENT}-00");
    for (states, expected) in cases {
        let states: Vec<_> = states.iter().map(|value| ("tracestate", *value)).collect();
        let headers: Vec<_> = [("traceparent", parent.as_str())].into_iter().chain(states.clone()).collect();
        let seen = chain.send(&headers).await;
        assert_eq!(seen.trace, TRACE, "tracestate never costs the trace: {states:?}");
        assert_eq!(seen.state(), *expected, "{states:?}");
        let orphan = chain.send(&states).await;
        assert!(orphan.state.is_empty(), "no tracestate without a traceparent: {states:?}");
    }
    for name in ["trace-state", "trace.state"] {
        assert!(chain.send(&[("traceparent", &parent), (name, "foo=1")]).await.state.is_empty());
    }
    for name in ["TraceState", "TrAcEsTaTe", "TRACESTATE"] {
        assert_eq!(chain.send(&[("traceparent", &parent), (name, "foo=1")]).await.state(), "foo=1");
    }
}

async fn several_requests_of_one_trace() {
    for headers in [&[("traceparent", PARENTS[1].0[0])][..], &[], &[("traceparent", PARENTS[14].0[0])]] {
        let mut chain = Chain::start(3).await;
        let seen = [chain.send(headers).await, chain.next().await, chain.next().await];
        assert!(seen.iter().all(|one| one.trace == seen[0].trace), "{seen:?}");
        let parents: std::collections::BTreeSet<&str> = seen.iter().map(|one| one.parent.as_str()).collect();
        assert_eq!(parents.len(), 3, "{seen:?}");
    }
}

#[tokio::test]
async fn every_case_of_the_suite_without_a_layer() {
    every_case().await;
    several_requests_of_one_trace().await;
}

#[tokio::test]
async fn every_case_of_the_suite_with_a_layer() {
    let (_exporter, _provider, _guard) = layer();
    every_case().await;
    several_requests_of_one_trace().await;
}

#[tokio::test]
async fn spans_lead_from_the_request_to_the_next_server() {
    let (exporter, provider, _guard) = layer();
    let mut chain = Chain::start(1).await;
    let seen = chain.send(&[("traceparent", PARENTS[1].0[0])]).await;
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    let spans = loop {
        provider.force_flush().unwrap();
        let spans = exporter.get_finished_spans().unwrap();
        if spans.iter().any(|span| span.name == "krins.task") {
            break spans;
        }
        assert!(std::time::Instant::now() < deadline, "{spans:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(spans.iter().all(|span| span.span_context.trace_id().to_string() == TRACE), "one trace: {spans:?}");
    let span = |name: &str| -> &SpanData {
        let found = spans.iter().find(|span| span.name == name);
        found.unwrap_or_else(|| panic!("no {name} in {spans:?}"))
    };
    let server = span("POST /tasks");
    assert_eq!(server.span_kind, SpanKind::Server);
    assert_eq!(server.parent_span_id, SpanId::from_hex(PARENT).unwrap());
    let path = ["POST /tasks", "krins.task", "krins.ask", "krins.remote", "POST"];
    for pair in path.windows(2) {
        assert_eq!(span(pair[1]).parent_span_id, span(pair[0]).span_context.span_id(), "{pair:?}");
    }
    let client = span("POST");
    assert_eq!(client.span_kind, SpanKind::Client);
    assert_eq!(
        client.span_context.span_id().to_string(),
        seen.parent,
        "the next server continues from the client's span"
    );
    let text = format!("{spans:?}");
    assert!(!text.contains("task 0"), "no prompt in a span");
}

#[tokio::test]
async fn an_error_names_the_trace_it_happened_in() {
    let chain = Chain::start(1).await;
    let headers = [("traceparent", PARENTS[1].0[0])];
    let answer = raw_http::send(chain.address, "GET", "/tasks/nobody", &headers, b"").await;
    assert_eq!(answer.json()["trace_id"], TRACE);
}

#[tokio::test]
async fn words_from_an_editor_or_the_environment_are_continued_the_same_way() {
    for with_layer in [false, true] {
        let _kept = with_layer.then(layer);
        for (parents, goes_on) in PARENTS.iter().filter(|(parents, _)| parents.len() < 2) {
            let span = tracing::info_span!(target: "krins", parent: None, "krins/assign");
            let context = propagation::continue_or_start(&span, parents.first().copied(), Some("foo=1"));
            assert_eq!(context.parent.trace_id.to_string() == TRACE, *goes_on, "{parents:?}");
            assert_ne!(context.parent.parent_id.to_string(), PARENT);
            assert_eq!(context.tracestate().is_some(), *goes_on);
            let inside = propagation::in_trace(span, context.clone(), async { propagation::current() }).await;
            assert_eq!(inside, Some(context));
        }
    }
}
