//! The public W3C trace-context suite against the service: `POST /test` with `[{"url", "arguments"}, …]` becomes one task of
//! a real service under the very headers that came, its backend asks the next service once for each action by the code that
//! a sidecar asks with, and what that is sent is passed on to the action's `url` with the headers as they are.
//!
//! `cargo run -p krins-tests --example trace_service -- 127.0.0.1:5000 [layer]`, then, in the suite's `test` directory,
//! `SPEC_LEVEL=2 STRICT_LEVEL=2 python test.py http://127.0.0.1:5000/test`.

use async_trait::async_trait;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use krins_backend::http::{Http, HttpConfig};
use krins_backend::keys::Keys;
use krins_backend::remote::{Remote, RemoteConfig};
use krins_backend::service::{Server, ServiceConfig};
use krins_backend::store::Sqlite;
use krins_backend::{Ask, Backend, BackendError, ProgressSink, Proposal};
use krins_core::redact;
use krins_protocol::http::{Answer, NewTask, RemoteState, RemoteTask};
use krins_protocol::lsp::Usage;
use krins_tests::raw_http;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

#[derive(Clone, Deserialize)]
struct Action {
    url: String,
    arguments: serde_json::Value,
}

/// What the tasks mean, by number: a prompt would be looked at for secrets.
#[derive(Clone, Default)]
struct Actions(Arc<Mutex<BTreeMap<usize, Action>>>);

impl Actions {
    fn add(&self, action: Action) -> usize {
        let mut actions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = actions.len();
        actions.insert(number, action);
        number
    }

    fn get(&self, number: &str) -> Option<Action> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&number.parse().ok()?).cloned()
    }
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:5000".into());
    let provider = SdkTracerProvider::builder().build();
    if arguments.next().as_deref() == Some("layer") {
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("suite"));
        tracing_subscriber::registry().with(layer).init();
    }
    let actions = Actions::default();
    let next = listen("127.0.0.1:0", Router::new().route("/tasks", post(pass_on)).with_state(actions.clone())).await;
    let service = serve(next).await;
    let front = Router::new().route("/test", post(test)).with_state((service, actions));
    listen(&address, front).await;
    std::future::pending::<()>().await;
}

async fn listen(address: &str, router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind(address).await.expect("the address is free");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(axum::serve(listener, router).into_future());
    address
}

/// The service, whose backend asks the next one.
async fn serve(next: SocketAddr) -> SocketAddr {
    let url = format!("http://{next}").parse().expect("an address is a URL's");
    let config = RemoteConfig { url, builtin: false, provider: None };
    let keys = Keys::new(|_| None, |_, _| Ok(None));
    let next = Remote::new(config, Http::new(HttpConfig::default()), keys).expect("the address will do");
    let any = "127.0.0.1:0".parse().expect("an address");
    let store = Sqlite::in_memory().expect("memory");
    let config = ServiceConfig { queue: 1000, ..ServiceConfig::default() };
    let server = Server::bind(any, Arc::new(Fan { next }), store, config).await.expect("the service starts");
    let address = server.address().expect("it is bound");
    tokio::spawn(server.run(std::future::pending()));
    address
}

/// The suite's request: the same headers on a task, and an answer when the task has ended.
async fn test(
    State((service, actions)): State<(SocketAddr, Actions)>,
    headers: HeaderMap,
    Json(wanted): Json<Vec<Action>>,
) -> StatusCode {
    let numbers: Vec<String> = wanted.into_iter().map(|action| actions.add(action).to_string()).collect();
    let task = json!({"prompt": {"version": 1, "intent": numbers.join(" "), "items": []}, "max_output_tokens": 1});
    let traced = traced(&headers);
    let traced: Vec<(&str, &str)> = traced.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let accepted = raw_http::post_json(service, "/tasks", &traced, &task).await;
    let id = accepted.json()["id"].as_str().unwrap_or_default().to_owned();
    // The stream ends with the task.
    raw_http::send(service, "GET", &format!("/tasks/{id}/events"), &[], b"").await;
    StatusCode::from_u16(accepted.status).unwrap_or(StatusCode::BAD_GATEWAY)
}

/// Every header of the two names, as it is.
fn traced(headers: &HeaderMap) -> Vec<(String, String)> {
    let two = headers.iter().filter(|(name, _)| ["traceparent", "tracestate"].contains(&name.as_str()));
    two.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())).collect()
}

/// Asks the next service once for each action of a task.
struct Fan {
    next: Remote,
}

#[async_trait]
impl Backend for Fan {
    async fn ask(&self, ask: Ask, progress: ProgressSink) -> Result<Proposal, BackendError> {
        let prompt = ask.prompt.get().clone();
        let mut last = None;
        for number in prompt.intent.split_whitespace() {
            let mut one = prompt.clone();
            number.clone_into(&mut one.intent);
            let ask = Ask { task: format!("{}-{number}", ask.task), prompt: redact::redact(one).0, ..ask.clone() };
            last = Some(self.next.ask(ask, Arc::clone(&progress)).await?);
        }
        let nothing = || BackendError::new(krins_protocol::error::ErrorKind::BadParams, "find an action in the task");
        last.ok_or_else(nothing)
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

/// The next service: what it is sent goes to the action's address, headers as they came.
async fn pass_on(State(actions): State<Actions>, headers: HeaderMap, Json(task): Json<NewTask>) -> Json<RemoteTask> {
    let action = actions.get(&task.prompt.intent).expect("the task is a number of an action");
    let url = url::Url::parse(&action.url).expect("the suite sends URLs");
    let to = url.socket_addrs(|| None).expect("the suite runs on this machine")[0];
    let traced = traced(&headers);
    let traced: Vec<(&str, &str)> = traced.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    raw_http::post_json(to, url.path(), &traced, &action.arguments).await;
    Json(RemoteTask {
        id: format!("next-{}", task.prompt.intent),
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
