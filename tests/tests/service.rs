//! `krins serve` and the remote backend, over real connections with a backend that does what its prompt says.

use async_trait::async_trait;
use krins_backend::http::{Http, HttpConfig};
use krins_backend::keys::Keys;
use krins_backend::money::Limits;
use krins_backend::provider::Stopped;
use krins_backend::remote::{Remote, RemoteConfig};
use krins_backend::resilience::policy::Unanswered;
use krins_backend::service::{GraphQueries, ServeError, Server, ServiceConfig, Tokens};
use krins_backend::store::{NewCall, Sqlite, Store, StoreError};
use krins_backend::{Ask, Backend, BackendError, Chat, ChatReply, Progress, ProgressSink, Proposal, Usage};
use krins_core::prompt::{Item, Prompt};
use krins_core::{Digest, RelPath, redact};
use krins_protocol::error::{ErrorKind, ErrorReport};
use krins_protocol::graph::{GraphParams, Question};
use krins_tests::raw_http::{self, Answer};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, oneshot};

/// Answers with what it was asked; the intent's first word says how.
struct Stub {
    asks: Mutex<Vec<Prompt>>,
    fresh: Mutex<Vec<bool>>,
    /// `wait` asks go on when a permit is added.
    go: Semaphore,
    chatting: AtomicUsize,
    /// Asks whose future was dropped before the end.
    dropped: AtomicUsize,
}

impl Default for Stub {
    fn default() -> Self {
        Self {
            asks: Mutex::default(),
            fresh: Mutex::default(),
            go: Semaphore::new(0),
            chatting: AtomicUsize::new(0),
            dropped: AtomicUsize::new(0),
        }
    }
}

struct Unfinished<'a>(Option<&'a Stub>);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(stub) = self.0 {
            stub.dropped.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[async_trait]
impl Backend for Stub {
    async fn ask(&self, ask: Ask, progress: ProgressSink) -> Result<Proposal, BackendError> {
        let prompt = ask.prompt.get().clone();
        self.fresh.lock().unwrap().push(ask.fresh);
        let intent = prompt.intent.clone();
        let text: String = prompt.items.iter().map(|item| item.text.as_str()).collect();
        self.asks.lock().unwrap().push(prompt);
        let mut unfinished = Unfinished(Some(self));
        progress(Progress::Sent { route: "stub/one".into() });
        match intent.split(' ').next().unwrap_or_default() {
            "wait" => self.go.acquire().await.unwrap().forget(),
            "hang" => std::future::pending().await,
            "count" => {
                for characters in 1..=5 {
                    progress(Progress::Received { characters });
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            "panic" => panic!("as asked"),
            "busy" => {
                unfinished.0 = None;
                // `busy N`: as often as this, then it answers.
                let times = intent.split(' ').nth(1).and_then(|n| n.parse().ok()).unwrap_or(usize::MAX);
                if self.asked() <= times {
                    let why = "reach any provider: each one cools down";
                    return Err(BackendError::new(ErrorKind::BackendUnavailable, why));
                }
            }
            "refuse" => {
                unfinished.0 = None;
                return Err(BackendError {
                    kind: ErrorKind::ProviderRefused,
                    message: "get an answer: it would rather not".into(),
                    hint: Some("ask nicely".into()),
                    elsewhere: false,
                });
            }
            _ => {}
        }
        unfinished.0 = None;
        Ok(Proposal {
            text: format!("{intent}: {text}"),
            provider: "stub".into(),
            model: "one".into(),
            usage: Usage { input_tokens: 7, output_tokens: 3, ..Usage::default() },
            cached: false,
            why: vec![("it was asked".into(), vec!["a.ts:1".into()])],
            degraded: None,
        })
    }

    async fn chat(&self, chat: Chat, _: ProgressSink) -> Result<ChatReply, Unanswered> {
        let text = chat.words.get().turns.last().map_or(String::new(), |turn| turn.text.clone());
        self.chatting.fetch_add(1, Ordering::SeqCst);
        if text.starts_with("wait") {
            self.go.acquire().await.unwrap().forget();
        }
        let (route, model) = (self.route(), "one".to_owned());
        Ok(ChatReply { text, route, model, usage: Usage::default(), stopped: Stopped::Whole })
    }

    fn route(&self) -> String {
        "stub/one".into()
    }

    fn is_builtin(&self) -> bool {
        false
    }

    fn forget(&self, _: &Ask) {}

    fn cache_counts(&self) -> (u64, u64) {
        (41, 42)
    }
}

impl Stub {
    fn asked(&self) -> usize {
        self.asks.lock().unwrap().len()
    }
}

/// A server on its own runtime, so that it can die like a process does.
struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    ended: Option<oneshot::Receiver<()>>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Running {
    fn start(stub: &Arc<Stub>, store: Sqlite, config: ServiceConfig) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), Arc::clone(stub) as Arc<dyn Backend>, store, config)
    }

    fn start_at(address: SocketAddr, backend: Arc<dyn Backend>, store: Sqlite, config: ServiceConfig) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (ready, listening) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let (end, ended) = oneshot::channel();
        runtime.spawn(async move {
            let server = Server::bind(address, backend, store, config).await.unwrap();
            ready.send(server.address().unwrap()).unwrap();
            server.run(async { drop(stopped.await) }).await.unwrap();
            let _ = end.send(());
        });
        let address = listening.recv_timeout(Duration::from_secs(20)).expect("the server listens");
        Self { address, stop: Some(stop), ended: Some(ended), runtime: Some(runtime) }
    }

    /// As SIGTERM would.
    fn terminate(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
    }

    async fn ended(&mut self) {
        let ended = self.ended.take().unwrap();
        tokio::time::timeout(Duration::from_secs(20), ended).await.expect("it ends in time").unwrap();
    }

    /// As `kill -9` would: whatever runs is gone between two awaits.
    fn kill(mut self) {
        let runtime = self.runtime.take().unwrap();
        // Waits until nothing of it runs any more, which must not be done inside another runtime.
        std::thread::spawn(move || runtime.shutdown_timeout(Duration::from_secs(5))).join().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn quick() -> ServiceConfig {
    ServiceConfig { workers: 2, queue: 2, heartbeat: Duration::from_millis(100), ..ServiceConfig::default() }
}

fn server(stub: &Arc<Stub>) -> Running {
    Running::start(stub, Sqlite::in_memory().unwrap(), quick())
}

fn payload(intent: &str) -> Value {
    json!({
        "prompt": {"version": 1, "intent": intent, "items": [{
            "path": "src/a.ts", "sha256": Digest::of("let a = 1;").to_string(),
            "ranges": [[1, 1]], "verbatim": true, "text": "let a = 1;",
        }]},
        "max_output_tokens": 1000,
    })
}

async fn submit(to: SocketAddr, intent: &str, headers: &[(&str, &str)]) -> Answer {
    raw_http::post_json(to, "/tasks", headers, &payload(intent)).await
}

async fn get(to: SocketAddr, path: &str) -> Answer {
    raw_http::send(to, "GET", path, &[], b"").await
}

fn id_of(answer: &Answer) -> String {
    answer.json()["id"].as_str().unwrap_or_else(|| panic!("no task in {answer:?}")).to_owned()
}

/// The task when it is in `state`.
async fn until(to: SocketAddr, id: &str, state: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        let task = get(to, &format!("/tasks/{id}")).await.json();
        if task["state"] == state {
            return task;
        }
        assert!(Instant::now() < deadline, "still {task}, not {state}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn assert_problem(answer: &Answer, status: u16, kind: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    let problem = answer.json();
    assert_eq!(problem["kind"], kind, "{problem}");
    assert_eq!(problem["status"], status);
    assert_eq!(problem["trace_id"].as_str().map(str::len), Some(32), "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.starts_with(char::is_lowercase), "reads after `failed to`: {detail}");
}

#[tokio::test]
async fn a_task_is_accepted_done_and_replayed() {
    let stub = Arc::new(Stub::default());
    let server = server(&stub);
    let first = submit(server.address, "echo", &[("idempotency-key", "one")]).await;
    assert_eq!(first.status, 202);
    let id = id_of(&first);
    assert_eq!(first.header("location"), Some(format!("/tasks/{id}").as_str()));
    assert_eq!(first.header("idempotent-replayed"), None);
    assert_eq!(first.header("x-content-type-options"), Some("nosniff"));
    let done = until(server.address, &id, "done").await;
    assert_eq!(done["answer"]["text"], "echo: let a = 1;");
    assert_eq!(done["answer"]["why"][0]["reason"], "it was asked");

    let again = submit(server.address, "echo", &[("idempotency-key", "one")]).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (200, Some("true")));
    assert_eq!(again.json(), done);
    let other = submit(server.address, "echo other", &[("idempotency-key", "one")]).await;
    assert_problem(&other, 422, "BadParams");

    let without = submit(server.address, "echo", &[]).await;
    assert_ne!(id_of(&without), id, "a key of one's own is no payload's");
    assert_eq!(id_of(&submit(server.address, "echo", &[]).await), id_of(&without), "the payload is the key");
    assert_ne!(id_of(&submit(server.address, "echo more", &[]).await), id_of(&without));
    eventually("three tasks ran, once each", || stub.asked() == 3).await;
}

#[tokio::test]
async fn the_same_payload_in_other_words_is_the_same_task() {
    let stub = Arc::new(Stub::default());
    let server = server(&stub);
    let first = submit(server.address, "echo", &[]).await;
    let text = payload("echo").to_string();
    let prompt = payload("echo")["prompt"].to_string();
    let reordered = format!(" {{ \"fresh\": false, \"max_output_tokens\":1000, \"prompt\" : {prompt} }}");
    assert_ne!(text, reordered);
    let json = [("content-type", "application/json; charset=utf-8")];
    let second = raw_http::send(server.address, "POST", "/tasks", &json, reordered.as_bytes()).await;
    assert_eq!(id_of(&first), id_of(&second));
}

#[tokio::test]
async fn a_hundred_racing_replays_are_one_task() {
    let stub = Arc::new(Stub::default());
    let server = server(&stub);
    let racing = (0..100).map(|_| submit(server.address, "echo", &[("idempotency-key", "race")]));
    let answers = futures::future::join_all(racing).await;
    let ids: std::collections::BTreeSet<String> = answers.iter().map(id_of).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(answers.iter().filter(|a| a.header("idempotent-replayed").is_none()).count(), 1);
    until(server.address, ids.first().unwrap(), "done").await;
    assert_eq!(stub.asked(), 1);
}

#[tokio::test]
async fn a_full_queue_refuses_the_new_but_not_the_known() {
    let stub = Arc::new(Stub::default());
    let server = server(&stub);
    for n in 0..2 {
        let id = id_of(&submit(server.address, &format!("wait {n}"), &[]).await);
        until(server.address, &id, "running").await;
    }
    let queued = [submit(server.address, "wait 2", &[]).await, submit(server.address, "wait 3", &[]).await];
    assert!(queued.iter().all(|answer| answer.status == 202));
    let refused = submit(server.address, "wait 4", &[]).await;
    assert_problem(&refused, 429, "Overloaded");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait));
    let known = submit(server.address, "wait 3", &[]).await;
    assert_eq!((known.status, known.header("idempotent-replayed")), (202, Some("true")));

    stub.go.add_permits(5);
    for answer in &queued {
        until(server.address, &id_of(answer), "done").await;
    }
    let now = submit(server.address, "wait 4", &[]).await;
    assert_eq!(now.status, 202, "there is room again, and the refusal left nothing behind");
    until(server.address, &id_of(&now), "done").await;
}

/// (id, event, data) of each event of a stream to its end; comments are left out.
async fn events(to: SocketAddr, id: &str, last: Option<u64>) -> (u16, Vec<(u64, String, Value)>) {
    let last = last.map(|last| last.to_string());
    let headers: Vec<_> = last.iter().map(|last| ("last-event-id", last.as_str())).collect();
    let (answer, mut body) = raw_http::open(to, "GET", &format!("/tasks/{id}/events"), &headers, b"").await;
    let mut events = Vec::new();
    while let Some(text) = body.event().await {
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        if let (Some(id), Some(name), Some(data)) = (field("id:"), field("event:"), field("data:")) {
            events.push((id.parse().unwrap(), name.to_owned(), serde_json::from_str(data).unwrap()));
        }
    }
    (answer.status, events)
}

#[tokio::test]
async fn events_rise_end_and_resume_where_a_client_was() {
    let stub = Arc::new(Stub::default());
    let server = server(&stub);
    let id = id_of(&submit(server.address, "count", &[]).await);
    let (status, all) = events(server.address, &id, None).await;
    assert_eq!(status, 200);
    assert!(all.is_sorted_by(|a, b| a.0 < b.0), "{all:?}");
    let (seq, name, data) = all.last().unwrap();
    assert_eq!((name.as_str(), &data["task"]["state"]), ("end", &json!("done")));
    assert_eq!(data["seq"], *seq);
    assert!(all.iter().any(|(_, name, data)| name == "progress" && data["received"].as_u64() >= Some(1)), "{all:?}");

    let (_, late) = events(server.address, &id, Some(all[0].0)).await;
    assert_eq!(late.len(), 1, "only the end is left to say: {late:?}");
    assert_eq!(late[0], *all.last().unwrap());
    let (status, none) = events(server.address, &id, Some(*seq)).await;
    assert_eq!((status, none.len()), (204, 0), "whoever saw the end is told not to come back");
}

#[tokio::test]
async fn a_silent_stream_beats() {
    let stub = Arc::new(Stub::default());
    let server = server(&stub);
    let id = id_of(&submit(server.address, "hang", &[]).await);
    until(server.address, &id, "running").await;
    let (answer, mut body) = raw_http::open(server.address, "GET", &format!("/tasks/{id}/events"), &[], b"").await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert!(body.event().await.unwrap().contains("running"));
    // Where the ask is, and then nothing more.
    assert!(body.event().await.unwrap().contains("\"kind\":\"sent\",\"route\":\"stub/one\""));
    for _ in 0..3 {
        let beat = body.event().await.unwrap();
        assert!(beat.starts_with(':'), "{beat:?}");
    }
}

#[tokio::test]
async fn cancelling_reaches_the_backend_and_the_followers() {
    let stub = Arc::new(Stub::default());
    let server = server(&stub);
    let id = id_of(&submit(server.address, "hang", &[]).await);
    eventually("the backend is asked", || stub.asked() == 1).await;
    let (_, mut body) = raw_http::open(server.address, "GET", &format!("/tasks/{id}/events"), &[], b"").await;
    let path = format!("/tasks/{id}");
    let cancelled = raw_http::send(server.address, "DELETE", &path, &[], b"").await;
    assert_eq!((cancelled.status, &cancelled.json()["state"]), (200, &json!("cancelled")));
    eventually("the ask is dropped", || stub.dropped.load(Ordering::SeqCst) == 1).await;
    let mut last = String::new();
    while let Some(event) = body.event().await {
        last = event;
    }
    assert!(last.contains("event:") && last.contains("cancelled"), "{last}");
    let again = raw_http::send(server.address, "DELETE", &path, &[], b"").await;
    assert_eq!(again.json(), cancelled.json(), "once is enough");
    assert_problem(&raw_http::send(server.address, "DELETE", "/tasks/nobody", &[], b"").await, 404, "UnknownTask");
}

#[tokio::test]
async fn a_cancelled_task_in_the_queue_never_runs() {
    let stub = Arc::new(Stub::default());
    let server = server(&stub);
    for n in 0..2 {
        let id = id_of(&submit(server.address, &format!("wait {n}"), &[]).await);
        until(server.address, &id, "running").await;
    }
    let id = id_of(&submit(server.address, "echo never", &[]).await);
    raw_http::send(server.address, "DELETE", &format!("/tasks/{id}"), &[], b"").await;
    stub.go.add_permits(2);
    let next = id_of(&submit(server.address, "echo next", &[]).await);
    until(server.address, &next, "done").await;
    assert!(stub.asks.lock().unwrap().iter().all(|prompt| prompt.intent != "echo never"));
}

#[tokio::test]
async fn failures_keep_their_kind_and_a_panic_is_one_failed_task() {
    let stub = Arc::new(Stub::default());
    let server = server(&stub);
    let refused = id_of(&submit(server.address, "refuse", &[]).await);
    let task = until(server.address, &refused, "failed").await;
    assert_eq!(task["error"]["kind"], "ProviderRefused");
    assert_eq!(task["error"]["hint"], "ask nicely");
    let panicked = id_of(&submit(server.address, "panic", &[]).await);
    assert_eq!(until(server.address, &panicked, "failed").await["error"]["kind"], "Internal");
    let after = id_of(&submit(server.address, "echo", &[]).await);
    until(server.address, &after, "done").await;
}

#[tokio::test]
async fn a_task_that_takes_too_long_is_failed_and_let_go() {
    let stub = Arc::new(Stub::default());
    let config = ServiceConfig { task_timeout: Duration::from_millis(500), ..quick() };
    let server = Running::start(&stub, Sqlite::in_memory().unwrap(), config);
    let id = id_of(&submit(server.address, "hang", &[]).await);
    assert_eq!(until(server.address, &id, "failed").await["error"]["kind"], "BackendUnavailable");
    assert_eq!(stub.dropped.load(Ordering::SeqCst), 1);
}

/// Waits for a dead predecessor's thread to let go of the file.
async fn reopen(path: &Path) -> Sqlite {
    loop {
        match Sqlite::open(path) {
            Err(StoreError::InUse { .. }) => tokio::time::sleep(Duration::from_millis(10)).await,
            opened => return opened.unwrap(),
        }
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tasks.db");
    let stub = Arc::new(Stub::default());
    let first = Running::start(&stub, Sqlite::open(&path).unwrap(), ServiceConfig { queue: 50, ..quick() });
    let done = id_of(&submit(first.address, "echo done", &[]).await);
    let kept = until(first.address, &done, "done").await;
    let mut ids = Vec::new();
    for n in 0..10 {
        ids.push(id_of(&submit(first.address, &format!("wait {n}"), &[]).await));
    }
    until(first.address, &ids[1], "running").await;
    let (_, mut body) = raw_http::open(first.address, "GET", &format!("/tasks/{}/events", ids[0]), &[], b"").await;
    let seen = body.event().await.unwrap();
    let seen: u64 = seen.lines().find_map(|line| line.strip_prefix("id:")).unwrap().trim().parse().unwrap();
    first.kill();

    let stub = Arc::new(Stub::default());
    stub.go.add_permits(10);
    let second = Running::start(&stub, reopen(&path).await, ServiceConfig { queue: 50, ..quick() });
    assert_eq!(get(second.address, &format!("/tasks/{done}")).await.json(), kept);
    for id in &ids {
        let task = until(second.address, id, "done").await;
        assert!(task["seq"].as_u64() > Some(seen));
    }
    assert_eq!(stub.asked(), 10, "each ran once more, the finished one did not");
    let (_, resumed) = events(second.address, &ids[0], Some(seen)).await;
    assert_eq!(resumed.last().unwrap().1, "end", "a follower finds its task again");
    let again = submit(second.address, "wait 3", &[]).await;
    assert_eq!(id_of(&again), ids[3], "keys survive, too");
}

#[tokio::test]
async fn a_task_that_kills_its_server_twice_is_buried() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tasks.db");
    let stub = Arc::new(Stub::default());
    let mut id = String::new();
    for life in 0..2 {
        let server = Running::start(&stub, reopen(&path).await, quick());
        if life == 0 {
            id = id_of(&submit(server.address, "hang", &[]).await);
        }
        until(server.address, &id, "running").await;
        eventually("it runs", || stub.asked() == life + 1).await;
        server.kill();
    }
    let server = Running::start(&stub, reopen(&path).await, quick());
    let buried = until(server.address, &id, "failed").await;
    assert_eq!(buried["error"]["kind"], "Internal");
    assert!(buried["error"]["message"].as_str().unwrap().contains("died"), "{buried}");
    assert_eq!(stub.asked(), 2, "not a third time");
}

#[tokio::test]
async fn terminating_finishes_what_runs_and_leaves_the_rest_to_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tasks.db");
    let stub = Arc::new(Stub::default());
    let mut first = Running::start(&stub, Sqlite::open(&path).unwrap(), ServiceConfig { workers: 1, ..quick() });
    let running = id_of(&submit(first.address, "wait 1", &[]).await);
    until(first.address, &running, "running").await;
    let queued = id_of(&submit(first.address, "echo later", &[]).await);
    assert_eq!(get(first.address, "/health/ready").await.status, 200);
    first.terminate();
    let deadline = Instant::now() + Duration::from_secs(10);
    while get(first.address, "/health/ready").await.status != 503 {
        assert!(Instant::now() < deadline, "readiness turns while the listener is open");
    }
    assert_eq!(get(first.address, "/health/live").await.status, 200);
    assert_problem(&submit(first.address, "echo new", &[]).await, 503, "BackendUnavailable");
    stub.go.add_permits(1);
    first.ended().await;
    drop(first);

    let second = Running::start(&stub, reopen(&path).await, quick());
    assert_eq!(get(second.address, &format!("/tasks/{running}")).await.json()["state"], "done");
    until(second.address, &queued, "done").await;
    assert_eq!(stub.asked(), 2, "nothing ran twice");
}

#[tokio::test]
async fn the_grace_ends_and_an_unfinished_run_goes_back_without_blame() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tasks.db");
    let stub = Arc::new(Stub::default());
    let mut id = String::new();
    for life in 0..4 {
        let config = ServiceConfig { grace: Duration::from_millis(50), ..quick() };
        let mut server = Running::start(&stub, reopen(&path).await, config);
        if life == 0 {
            id = id_of(&submit(server.address, "wait", &[]).await);
        }
        if life == 3 {
            stub.go.add_permits(1);
            until(server.address, &id, "done").await;
            return;
        }
        eventually("the backend is asked", || stub.asked() == life + 1).await;
        let (_, mut body) = raw_http::open(server.address, "GET", &format!("/tasks/{id}/events"), &[], b"").await;
        server.terminate();
        server.ended().await;
        while body.event().await.is_some() {}
        assert_eq!(stub.dropped.load(Ordering::SeqCst), life + 1);
    }
}

#[tokio::test]
async fn bad_requests_are_problems_that_name_what_is_wrong() {
    let stub = Arc::new(Stub::default());
    let config = ServiceConfig { body_limit: 10_000, ..quick() };
    let server = Running::start(&stub, Sqlite::in_memory().unwrap(), config);
    let json = [("content-type", "application/json")];
    let outside = |path: &str| {
        let mut body = payload("echo");
        body["prompt"]["items"][0]["path"] = path.into();
        body.to_string()
    };
    let long = "x".repeat(20_000);
    /// Method, path, headers, body, and the status and kind that must come back.
    type Row<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str, u16, &'a str);
    let rows: &[Row<'_>] = &[
        ("GET", "/nowhere", &[], "", 404, "BadParams"),
        ("PUT", "/tasks", &json, "{}", 405, "BadParams"),
        ("POST", "/tasks", &[("content-type", "text/plain")], "{}", 415, "BadParams"),
        ("POST", "/tasks", &[], "{}", 415, "BadParams"),
        ("POST", "/tasks", &json, "{", 400, "BadParams"),
        ("POST", "/tasks", &json, "{\"prompt\": 1}", 400, "BadParams"),
        ("POST", "/tasks", &json, &long, 413, "BadParams"),
        ("POST", "/tasks", &json, &outside("../../etc/passwd"), 400, "BadParams"),
        ("POST", "/tasks", &json, &outside("/etc/passwd"), 400, "BadParams"),
        ("POST", "/tasks", &[json[0], ("idempotency-key", "")], "{}", 400, "BadParams"),
        ("GET", "/tasks/nobody", &[], "", 404, "UnknownTask"),
        ("GET", "/tasks/nobody/events", &[], "", 404, "UnknownTask"),
        ("GET", "/tasks/nobody/events", &[("last-event-id", "seven")], "", 400, "BadParams"),
        ("GET", "/tasks/nobody", &[("host", "evil.example")], "", 403, "Untrusted"),
        ("POST", "/tasks", &[json[0], ("origin", "http://evil.example")], "{}", 403, "Untrusted"),
    ];
    for (method, path, headers, body, status, kind) in rows {
        let answer = raw_http::send(server.address, method, path, headers, body.as_bytes()).await;
        assert_problem(&answer, *status, kind);
    }
    assert_eq!(stub.asked(), 0);
}

#[tokio::test]
async fn without_a_token_only_loopback_is_served() {
    let stub: Arc<dyn Backend> = Arc::new(Stub::default());
    let open = Server::bind("0.0.0.0:0".parse().unwrap(), stub, Sqlite::in_memory().unwrap(), quick()).await;
    let Err(error) = open else { panic!("bound to every address without a token") };
    assert!(matches!(error, ServeError::Unguarded(_)));
    assert!(error.to_string().contains("krins serve token add"), "{error}");
}

#[tokio::test]
async fn tokens_open_the_door_and_keep_tenants_apart() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens");
    std::fs::write(
        &file,
        format!("blue {}\nred {}\n", Digest::of("blue-secret-token"), Digest::of("red-secret-token")),
    )
    .unwrap();
    let mut tokens = Tokens::default();
    tokens.add_file(&file).unwrap();
    let stub = Arc::new(Stub::default());
    let server = Running::start(&stub, Sqlite::in_memory().unwrap(), ServiceConfig { tokens, ..quick() });
    let blue = ("authorization", "Bearer blue-secret-token");
    let red = ("authorization", "Bearer red-secret-token");

    for headers in [&[][..], &[("authorization", "Bearer nonsense")]] {
        let refused = submit(server.address, "echo", headers).await;
        assert_problem(&refused, 401, "AuthFailed");
        assert!(refused.header("www-authenticate").is_some());
    }
    assert_eq!(get(server.address, "/metrics").await.status, 401);
    assert_eq!(get(server.address, "/health/ready").await.status, 200, "a load balancer has no token");
    let mine = id_of(&submit(server.address, "echo", &[blue, ("idempotency-key", "k")]).await);
    let theirs = id_of(&submit(server.address, "echo", &[red, ("idempotency-key", "k")]).await);
    assert_ne!(mine, theirs, "keys of tenants never meet");
    for path in [format!("/tasks/{mine}"), format!("/tasks/{mine}/events")] {
        assert_problem(&raw_http::send(server.address, "GET", &path, &[red], b"").await, 404, "UnknownTask");
    }
    let path = format!("/tasks/{mine}");
    assert_problem(&raw_http::send(server.address, "DELETE", &path, &[red], b"").await, 404, "UnknownTask");
    let seen = raw_http::send(server.address, "GET", &path, &[blue], b"").await;
    assert_eq!(seen.status, 200);
}

#[tokio::test]
async fn metrics_and_health_tell_the_state() {
    let stub = Arc::new(Stub::default());
    let server = server(&stub);
    let id = id_of(&submit(server.address, "echo", &[]).await);
    until(server.address, &id, "done").await;
    submit(server.address, "echo", &[]).await;
    let hanging = id_of(&submit(server.address, "hang", &[]).await);
    until(server.address, &hanging, "running").await;
    get(server.address, "/made/up/by/a/client").await;
    let text = get(server.address, "/metrics").await.text();
    for line in [
        "krins_cache_hits_total 41",
        "krins_cache_misses_total 42",
        "krins_tasks{state=\"running\"} 1",
        "krins_tasks{state=\"queued\"} 0",
        "krins_tasks_ended_total{state=\"done\"} 1",
        "krins_tasks_replayed_total 1",
        "krins_tokens_total{provider=\"stub\",direction=\"input\"} 7",
        "krins_assign_to_diff_seconds_bucket{le=\"45.0\"} 1",
        "krins_http_request_duration_seconds_bucket{le=\"0.3\",method=\"POST\",route=\"/tasks\",status=\"202\"} 2",
        "krins_http_request_duration_seconds_count{method=\"GET\",route=\"other\",status=\"404\"} 1",
        "# EOF",
    ] {
        assert!(text.lines().any(|known| known == line), "no `{line}` in\n{text}");
    }
    assert!(!text.contains("made"), "no label that a client chose");
    let health = get(server.address, "/health").await.json();
    assert_eq!(health["status"], "ok");
    let names: Vec<_> = health["checks"].as_array().unwrap().iter().map(|check| check["name"].clone()).collect();
    assert_eq!(names, ["store", "queue", "server", "backend", "brownout", "switch"]);
}

/// Anybody may ask how the service is: it looks at the store twice a second at most.
#[tokio::test]
async fn how_it_is_is_looked_at_now_and_then_however_often_somebody_asks() {
    let stub = Arc::new(Stub::default());
    let config = ServiceConfig { workers: 0, queue: 50, ..quick() };
    let server = Running::start(&stub, Sqlite::in_memory().unwrap(), config);
    let address = server.address;
    let queue = || async {
        let health = get(address, "/health").await.json();
        let checks = health["checks"].as_array().unwrap().clone();
        checks.iter().find(|check| check["name"] == "queue").unwrap()["detail"].clone()
    };
    // A machine that stands still between two questions has not shown anything.
    for round in 0..20 {
        tokio::time::sleep(Duration::from_millis(600)).await;
        let begun = Instant::now();
        let before = queue().await;
        assert_eq!(submit(address, &format!("echo {round}"), &[]).await.status, 202);
        let at_once = queue().await;
        if begun.elapsed() < Duration::from_millis(400) {
            assert_eq!(at_once, before, "the store was asked again");
            tokio::time::sleep(Duration::from_millis(600)).await;
            assert_ne!(queue().await, before, "what was seen is told for too long");
            return;
        }
    }
    panic!("no two questions came soon after one another");
}

#[tokio::test]
async fn secrets_of_a_careless_client_stop_at_the_service() {
    let stub = Arc::new(Stub::default());
    let server = server(&stub);
    let secret = format!("AKIA{}", "IOSFODNN7QUARTZZ");
    let mut body = payload("echo");
    body["prompt"]["items"][0]["text"] = format!("const key = \"{secret}\";").into();
    let id = id_of(&raw_http::post_json(server.address, "/tasks", &[], &body).await);
    let task = until(server.address, &id, "done").await;
    let seen = stub.asks.lock().unwrap()[0].items[0].text.clone();
    assert!(!seen.contains(&secret), "the backend saw {seen}");
    assert!(task["answer"]["text"].as_str().unwrap().contains(&secret), "restored for the asker: {task}");
}

// The remote backend.

fn remote(address: SocketAddr) -> Remote {
    remote_with(address, None)
}

fn remote_with(address: SocketAddr, token: Option<&'static str>) -> Remote {
    let url = format!("http://{address}").parse().unwrap();
    let keys = Keys::new(
        move |name| token.filter(|_| name == "KRINS_TOKEN").map(str::to_owned),
        |_, _| panic!("the keyring is not asked for a server on this machine"),
    );
    let config = RemoteConfig { url, builtin: false, provider: None };
    Remote::new(config, Http::new(HttpConfig::default()), keys).unwrap()
}

fn ask(task: &str, intent: &str) -> Ask {
    let prompt = Prompt {
        version: 1,
        intent: intent.into(),
        focus: None,
        items: vec![Item {
            path: RelPath::new("src/a.ts").unwrap(),
            digest: Digest::of("let a = 1;"),
            ranges: vec![[1, 1]],
            verbatim: true,
            text: "let a = 1;".into(),
            tokens: 5,
            reason: "the active file".into(),
        }],
    };
    Ask {
        task: task.into(),
        prompt: redact::redact(prompt).0,
        provider: None,
        model: None,
        max_output_tokens: 1000,
        fresh: false,
        account: Default::default(),
    }
}

fn silent() -> ProgressSink {
    Arc::new(|_| {})
}

#[tokio::test]
async fn remote_gives_what_embedded_gives() {
    let stub = Arc::new(Stub::default());
    let server = server(&stub);
    let remote = remote(server.address);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let progress: ProgressSink = Arc::new(move |step| sink.lock().unwrap().push(step));
    let far = remote.ask(ask("t1", "count"), progress).await.unwrap();
    let near = stub.ask(ask("t2", "count"), silent()).await.unwrap();
    assert_eq!(far, near);
    let asks = stub.asks.lock().unwrap();
    assert_eq!(asks[0], asks[1], "and the backend saw the same prompt");
    let seen = seen.lock().unwrap();
    assert_eq!(seen[0], Progress::Sent { route: "remote:127.0.0.1".into() });
    assert!(seen.iter().any(|step| matches!(step, Progress::Received { .. })), "{seen:?}");
    assert_eq!(remote.cache_counts(), (0, 1));
}

#[tokio::test]
async fn an_error_far_away_is_the_same_error_here() {
    let stub = Arc::new(Stub::default());
    let server = server(&stub);
    let far = remote(server.address).ask(ask("t1", "refuse"), silent()).await.unwrap_err();
    let near = stub.ask(ask("t2", "refuse"), silent()).await.unwrap_err();
    assert_eq!((far.kind, far.message, far.hint), (near.kind, near.message, near.hint));
    let again = remote(server.address).ask(ask("t1", "refuse"), silent()).await.unwrap_err();
    assert_eq!(again.kind, ErrorKind::ProviderRefused);
    assert_eq!(stub.asked(), 3, "a failed task is asked anew, not replayed");
}

#[tokio::test]
async fn nobody_there_is_said_with_a_hint_and_soon() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let began = Instant::now();
    let error = remote(address).ask(ask("t", "echo"), silent()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::BackendUnavailable);
    assert!(error.hint.as_deref().unwrap().contains("krins serve"), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_asker_who_leaves_takes_the_task_along() {
    let stub = Arc::new(Stub::default());
    let server = server(&stub);
    let remote = remote(server.address);
    for (n, patience) in [300, 0, 1, 2, 5].into_iter().enumerate() {
        let task = format!("t{n}");
        let asking = remote.ask(ask(&task, "hang"), silent());
        let left = tokio::time::timeout(Duration::from_millis(patience), asking).await;
        assert!(left.is_err());
    }
    // Whoever left before the answer to the submission was known is cleaned up after, too.
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        let text = get(server.address, "/metrics").await.text();
        let gone = |state: &str| {
            let line = format!("krins_tasks{{state=\"{state}\"}}");
            !text.lines().any(|known| known.starts_with(&line) && !known.ends_with(" 0"))
        };
        if gone("queued") && gone("running") && text.contains("krins_tasks_ended_total{state=\"cancelled\"}") {
            break;
        }
        assert!(Instant::now() < deadline, "{text}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(stub.dropped.load(Ordering::SeqCst) >= 1);
}

#[tokio::test]
async fn a_server_that_dies_and_comes_back_still_answers() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tasks.db");
    let stub = Arc::new(Stub::default());
    let first = Running::start(&stub, Sqlite::open(&path).unwrap(), quick());
    let address = first.address;
    let remote = remote(address);
    let asking = tokio::spawn(async move { remote.ask(ask("t", "wait"), silent()).await });
    eventually("it runs", || stub.asked() == 1).await;
    first.kill();
    stub.go.add_permits(1);
    let _second = Running::start_at(address, Arc::clone(&stub) as Arc<dyn Backend>, reopen(&path).await, quick());
    let answer = asking.await.unwrap().unwrap();
    assert_eq!(answer.text, "wait: let a = 1;");
}

#[tokio::test]
async fn the_token_is_sent_and_a_wrong_one_is_explained_without_being_shown() {
    let mut tokens = Tokens::default();
    tokens.add_clear("the-one-right-token").unwrap();
    let stub = Arc::new(Stub::default());
    let server = Running::start(&stub, Sqlite::in_memory().unwrap(), ServiceConfig { tokens, ..quick() });
    remote_with(server.address, Some("the-one-right-token")).ask(ask("t", "echo"), silent()).await.unwrap();
    for token in [None, Some("some-other-token")] {
        let error = remote_with(server.address, token).ask(ask("t", "echo"), silent()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::AuthFailed);
        assert!(error.hint.as_deref().unwrap().contains("KRINS_TOKEN"), "{error:?}");
        assert!(!format!("{error:?}").contains("some-other"), "{error:?}");
    }
}

#[tokio::test]
async fn a_forgotten_answer_is_asked_for_anew_and_fresh() {
    let stub = Arc::new(Stub::default());
    let server = server(&stub);
    let remote = remote(server.address);
    for _ in 0..2 {
        remote.ask(ask("t", "echo"), silent()).await.unwrap();
    }
    assert_eq!(stub.asked(), 1, "the same ask is one task");
    for times in 2..4 {
        remote.forget(&ask("t", "echo"));
        remote.ask(ask("t", "echo"), silent()).await.unwrap();
        assert_eq!(stub.asked(), times);
    }
    assert_eq!(*stub.fresh.lock().unwrap(), [false, true, true], "nor may the server's cache answer");
}

#[tokio::test]
async fn an_overloaded_server_is_reported_as_such() {
    let stub = Arc::new(Stub::default());
    let config = ServiceConfig { workers: 8, queue: 0, ..quick() };
    let server = Running::start(&stub, Sqlite::in_memory().unwrap(), config);
    let error = remote(server.address).ask(ask("t", "echo"), silent()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Overloaded, "{error:?}");
}

/// `cargo test -p krins-tests --test service --release -- --ignored --nocapture figures`
#[tokio::test]
#[ignore = "a measurement, for a quiet machine"]
async fn figures_of_a_durable_submission() {
    use std::io::Write as _;
    let directory = tempfile::tempdir().unwrap();
    let stub = Arc::new(Stub::default());
    let store = Sqlite::open(&directory.path().join("tasks.db")).unwrap();
    let server = Running::start(&stub, store, ServiceConfig { queue: 10_000, ..quick() });
    let mut took = Vec::new();
    for n in 0..500 {
        let began = Instant::now();
        assert_eq!(submit(server.address, &format!("echo {n}"), &[]).await.status, 202);
        took.push(began.elapsed());
    }
    took.sort_unstable();
    let at = |percent: usize| took[took.len() * percent / 100];
    writeln!(std::io::stderr(), "POST /tasks: p50 {:?}, p95 {:?}, p99 {:?}", at(50), at(95), at(99)).unwrap();
    assert!(at(95) <= Duration::from_millis(20), "p95 {:?}", at(95));
}

#[tokio::test]
async fn the_openapi_document_says_what_is_answered() {
    let server = server(&Arc::new(Stub::default()));
    let document = get(server.address, "/openapi.json").await;
    assert_eq!((document.status, document.header("content-type")), (200, Some("application/json")));
    let document = document.json();
    assert_eq!(document["openapi"], "3.1.0");
    for (path, item) in document["paths"].as_object().unwrap() {
        let address = path.replace("{id}", "t-1").replace("{path}", "a.ts").replace("{question}", "stats");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let told = item.get(method.to_lowercase());
            // A stream of events need not end.
            let answer = match method == "GET" && address.ends_with("/events") {
                true => raw_http::open(server.address, method, &address, &[], b"").await.0,
                false => raw_http::send(server.address, method, &address, &[], b"").await,
            };
            assert_eq!(answer.status == 405, told.is_none(), "{method} {path}: {answer:?}");
            let Some(told) = told else { continue };
            // What is answered, a refusal too, has a form that the document tells.
            let status = answer.status.to_string();
            let form = told["responses"].get(&status).unwrap_or(&told["responses"]["default"]);
            let media = answer.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default();
            assert!(form["content"].get(media).is_some(), "{method} {path}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_run_without_a_model_call_is_repeated_after_a_pause_and_given_up_in_the_end() {
    let stub = Arc::new(Stub::default());
    let server = server(&stub);
    let id = id_of(&submit(server.address, "busy 2", &[]).await);
    until(server.address, &id, "done").await;
    assert_eq!(stub.asked(), 3);
    let text = get(server.address, "/metrics").await.text();
    assert!(text.contains("krins_tasks_retried_total 2"), "{text}");

    let id = id_of(&submit(server.address, "busy", &[]).await);
    let task = until(server.address, &id, "failed").await;
    assert_eq!((&task["error"]["kind"], stub.asked()), (&json!("BackendUnavailable"), 6), "three runs");
    let letters = get(server.address, "/dead").await.json();
    let letter = &letters["dead"][0];
    assert_eq!((&letter["id"], &letter["runs"], &letter["crashes"]), (&json!(id), &json!(3), &json!(0)));
    assert!(letter["reason"].as_str().unwrap().contains("each one cools down"), "{letter}");
    let words: Vec<&str> =
        letter["history"].as_array().unwrap().iter().map(|event| event["what"].as_str().unwrap()).collect();
    assert_eq!(words, ["accepted", "started", "retried", "started", "retried", "started", "dead"]);
    let again = raw_http::send(server.address, "POST", &format!("/dead/{id}/requeue"), &[], b"").await;
    assert_eq!((again.status, &again.json()["state"]), (200, &json!("queued")));
    until(server.address, &id, "failed").await;
    assert_eq!(stub.asked(), 9);
    let refused = raw_http::send(server.address, "POST", "/dead/nobody/requeue", &[], b"").await;
    assert_problem(&refused, 404, "UnknownTask");
    assert_problem(&get(server.address, "/dead?everything=1").await, 400, "BadParams");
}

#[tokio::test]
async fn one_tenant_cannot_fill_the_queue_of_all() {
    let stub = Arc::new(Stub::default());
    let config = ServiceConfig { workers: 0, queue: 10, tenant_queue: Some(1), tokens: two_tenants(), ..quick() };
    let server = Running::start(&stub, Sqlite::in_memory().unwrap(), config);
    assert_eq!(submit(server.address, "echo 1", &[BLUE]).await.status, 202);
    let refused = submit(server.address, "echo 2", &[BLUE]).await;
    assert_problem(&refused, 429, "Overloaded");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(submit(server.address, "echo 1", &[RED]).await.status, 202);
    let mine = raw_http::send(server.address, "GET", "/queue/stats", &[BLUE], b"").await.json();
    assert_eq!(mine["queued"], 1);
    let all = raw_http::send(server.address, "GET", "/queue/stats?all=true", &[BLUE], b"").await;
    assert_problem(&all, 403, "Untrusted");
    let all = raw_http::send(server.address, "GET", "/queue/stats?all=true", &[RED], b"").await.json();
    assert_eq!((&all["queued"], &all["limit"]), (&json!(2), &json!(10)));
}

#[tokio::test]
async fn one_person_cannot_take_the_room_for_all_conversations() {
    let stub = Arc::new(Stub::default());
    let config = ServiceConfig { chats: 4, tokens: two_tenants(), ..quick() };
    let server = Running::start(&stub, Sqlite::in_memory().unwrap(), config);
    let address = server.address;
    let chat = |words: &'static str, whose| async move {
        let body = json!({"model": "stub", "messages": [{"role": "user", "content": words}]});
        raw_http::post_json(address, "/v1/chat/completions", &[whose], &body).await
    };
    let mut waiting: Vec<_> = (0..3).map(|_| tokio::spawn(chat("wait", BLUE))).collect();
    eventually("three conversations run", || stub.chatting.load(Ordering::SeqCst) == 3).await;
    let refused = chat("hello", BLUE).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")), "{refused:?}");
    assert!(refused.json()["error"]["message"].as_str().unwrap().contains("of yours"), "{refused:?}");
    waiting.push(tokio::spawn(chat("wait", RED)));
    eventually("another's runs", || stub.chatting.load(Ordering::SeqCst) == 4).await;
    assert_eq!(chat("hello", RED).await.status, 429, "all of it is taken");
    stub.go.add_permits(4);
    for each in waiting {
        assert_eq!(each.await.unwrap().status, 200);
    }
    assert_eq!(chat("hello", BLUE).await.status, 200, "places are given back");
}

const BLUE: (&str, &str) = ("authorization", "Bearer blue-secret-token");
const RED: (&str, &str) = ("authorization", "Bearer red-secret-token");

/// `blue` may do what a sidecar does, `red` everything.
fn two_tenants() -> Tokens {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens");
    let (blue, red) = (Digest::of("blue-secret-token"), Digest::of("red-secret-token"));
    std::fs::write(&file, format!("blue {blue} tasks\nred {red}\n")).unwrap();
    let mut tokens = Tokens::default();
    tokens.add_file(&file).unwrap();
    tokens
}

#[tokio::test]
async fn a_token_is_good_for_its_scopes_only_and_for_so_many_requests() {
    let stub = Arc::new(Stub::default());
    let config = ServiceConfig { tokens: two_tenants(), rate: 20, stranger_rate: 5, ..quick() };
    let server = Running::start(&stub, Sqlite::in_memory().unwrap(), config);
    let send =
        |path: &'static str, header| raw_http::send(server.address, "GET", path, std::slice::from_ref(header), b"");
    assert_problem(&send("/metrics", &BLUE).await, 403, "Untrusted");
    assert_eq!(send("/metrics", &RED).await.status, 200);
    for _ in 0..19 {
        assert_eq!(send("/queue/stats", &RED).await.status, 200);
    }
    let refused = send("/queue/stats", &RED).await;
    assert_problem(&refused, 429, "Overloaded");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(send("/queue/stats", &BLUE).await.status, 200, "another token's requests are its own");
    for _ in 0..5 {
        assert_eq!(send("/queue/stats", &("authorization", "Bearer guess")).await.status, 401);
    }
    assert_problem(&send("/queue/stats", &("authorization", "Bearer guess")).await, 429, "Overloaded");
    assert_problem(&send("/queue/stats", &BLUE).await, 429, "Overloaded");
    assert_eq!(send("/health/ready", &BLUE).await.status, 200, "a load balancer is not counted");
}

#[tokio::test]
async fn a_proxy_that_is_named_says_who_asks_and_no_other() {
    let stub = Arc::new(Stub::default());
    for proxies in [vec!["127.0.0.1".parse().unwrap()], Vec::new()] {
        let named = !proxies.is_empty();
        let config = ServiceConfig { tokens: two_tenants(), stranger_rate: 2, proxies, ..quick() };
        let server = Running::start(&stub, Sqlite::in_memory().unwrap(), config);
        let mut refused = 0;
        for n in 0..6 {
            let address = format!("192.0.2.9, 198.51.100.{n}");
            let headers = [("x-forwarded-for", address.as_str()), ("authorization", "Bearer guess")];
            let answer = raw_http::send(server.address, "GET", "/queue/stats", &headers, b"").await;
            refused += usize::from(answer.status == 429);
        }
        assert_eq!(refused, if named { 0 } else { 4 }, "named: {named}");
    }
}

/// Sends the first bytes and then nothing; how long until the server hangs up.
async fn dribble(to: SocketAddr, first: &[u8]) -> Duration {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let began = Instant::now();
    let mut stream = tokio::net::TcpStream::connect(to).await.unwrap();
    stream.write_all(first).await.unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(15), stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the connection was held open");
    began.elapsed()
}

#[tokio::test]
async fn whoever_dribbles_holds_nothing() {
    let stub = Arc::new(Stub::default());
    let config = ServiceConfig {
        head_timeout: Duration::from_millis(500),
        request_timeout: Duration::from_millis(700),
        connections: 4,
        ..quick()
    };
    let server = Running::start(&stub, Sqlite::in_memory().unwrap(), config);
    let head = b"GET /health HTTP/1.1\r\nhost: localhost\r\nx-slow: ".as_slice();
    let body = b"POST /tasks HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{".as_slice();
    let idle = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n".as_slice();
    let slow =
        futures::future::join_all([b"".as_slice(), head, body, idle].map(|first| dribble(server.address, first)));
    let live = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let began = Instant::now();
        assert_eq!(get(server.address, "/health/live").await.status, 200);
        began.elapsed()
    };
    let (slow, live) = futures::future::join(slow, live).await;
    assert!(slow.iter().all(|took| *took < Duration::from_secs(5)), "{slow:?}");
    assert!(live < Duration::from_secs(3), "all four places were taken, and then free: {live:?}");
}

#[tokio::test]
async fn over_tls_it_is_trusted_through_its_authority_only() {
    let directory = tempfile::tempdir().unwrap();
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let names = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = names.signed_by(&key, &issuer).unwrap();
    let file = |name: &str, text: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (chain, secret) = (file("chain.pem", certificate.pem()), file("key.pem", key.serialize_pem()));
    let extra_ca = file("authority.pem", authority_pem);
    let tls = krins_backend::service::tls(&chain, &secret).unwrap();
    let error = krins_backend::service::tls(&secret, &chain).err().unwrap().to_string();
    assert!(error.contains("key.pem") && !error.contains("PRIVATE"), "{error}");

    let mut tokens = Tokens::default();
    tokens.add_clear("the-one-right-token").unwrap();
    let stub = Arc::new(Stub::default());
    let config = ServiceConfig { tokens, tls: Some(krins_backend::service::Tls(tls)), ..quick() };
    let server = Running::start(&stub, Sqlite::in_memory().unwrap(), config);
    let ask_over = async |extra_ca: Option<std::path::PathBuf>| {
        let url = format!("https://localhost:{}", server.address.port()).parse().unwrap();
        let keys = Keys::new(|name| (name == "KRINS_TOKEN").then(|| "the-one-right-token".to_owned()), |_, _| Ok(None));
        let http = Http::new(HttpConfig { extra_ca, ..HttpConfig::default() });
        let config = RemoteConfig { url, builtin: false, provider: None };
        Remote::new(config, http, keys).unwrap().ask(ask("t", "echo"), silent()).await
    };
    assert_eq!(ask_over(Some(extra_ca)).await.unwrap().text, "echo: let a = 1;");
    let error = ask_over(None).await.unwrap_err();
    assert!(error.message.contains("trust"), "{error:?}");
    assert!(dribble(server.address, b"GET / HTTP/1.1\r\n\r\n").await < Duration::from_secs(12), "not TLS");
}

#[tokio::test]
async fn one_persons_streams_leave_connections_for_the_others() {
    let stub = Arc::new(Stub::default());
    let config = ServiceConfig { tokens: two_tenants(), connections: 9, ..quick() };
    let server = Running::start(&stub, Sqlite::in_memory().unwrap(), config);
    let follow = async |who: (&str, &str)| raw_http::open(server.address, "GET", "/locks/events", &[who], b"").await;
    let (first, second) = (follow(BLUE).await, follow(BLUE).await);
    assert_eq!((first.0.status, second.0.status), (200, 200));
    let id = id_of(&submit(server.address, "hang", &[BLUE]).await);
    let task = format!("/tasks/{id}/events");
    for path in ["/locks/events", &task] {
        let refused = raw_http::send(server.address, "GET", path, &[BLUE], b"").await;
        assert_problem(&refused, 429, "Overloaded");
    }
    assert_eq!(follow(RED).await.0.status, 200, "another's are another's");
    drop(first);
    let until = Instant::now() + Duration::from_secs(20);
    while raw_http::open(server.address, "GET", &task, &[BLUE], b"").await.0.status != 200 {
        assert!(Instant::now() < until, "who closes one may open another");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(second);
}

/// Holds on to every question until it is let go.
#[derive(Debug, Default)]
struct SlowGraph {
    asked: AtomicUsize,
    go: std::sync::atomic::AtomicBool,
}

impl GraphQueries for SlowGraph {
    fn answer(&self, _: Question, _: &GraphParams) -> Result<Value, ErrorReport> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        while !self.go.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(json!({}))
    }
}

#[tokio::test]
async fn questions_that_nobody_waits_for_take_no_thread_from_what_else_is_done() {
    let (stub, graph) = (Arc::new(Stub::default()), Arc::new(SlowGraph::default()));
    let config = ServiceConfig {
        graph: Some(Arc::clone(&graph) as Arc<dyn GraphQueries>),
        request_timeout: Duration::from_millis(200),
        ..quick()
    };
    let server = Running::start(&stub, Sqlite::in_memory().unwrap(), config);
    for _ in 0..3 {
        let asking = (0..8).map(|_| get(server.address, "/graph/stats"));
        for answer in futures::future::join_all(asking).await {
            assert_problem(&answer, 503, "BackendUnavailable");
        }
    }
    assert_eq!(graph.asked.load(Ordering::SeqCst), 8, "as many threads, and no more");
    graph.go.store(true, Ordering::SeqCst);
    let until = Instant::now() + Duration::from_secs(20);
    while get(server.address, "/graph/stats").await.status != 200 {
        assert!(Instant::now() < until, "the threads are free again");
    }
}

#[tokio::test]
async fn a_person_is_shown_what_is_theirs_and_an_admin_everybodys() {
    let store = Sqlite::in_memory().unwrap();
    for (id, tenant, person) in [("a", "blue", "blue"), ("b", "blue", "ann"), ("c", "red", "red")] {
        let call = NewCall { id: id.into(), tenant: tenant.into(), person: person.into(), ..NewCall::default() };
        store.start_call(call, None, Limits::default()).await.unwrap();
    }
    let stub = Arc::new(Stub::default());
    let server = Running::start(&stub, store, ServiceConfig { tokens: two_tenants(), ..quick() });
    let shown = async |who: (&str, &str), path: &str| -> Vec<String> {
        let report = raw_http::send(server.address, "GET", path, &[who], b"").await.json();
        let rows = report["rows"].as_array().unwrap();
        rows.iter().map(|row| row["person"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(shown(BLUE, "/reports/weekly").await, ["blue"]);
    assert_eq!(shown(RED, "/reports/weekly").await, ["red"]);
    assert_eq!(shown(RED, "/reports/weekly?all=true").await, ["ann", "blue", "red"]);
    let all = raw_http::send(server.address, "GET", "/reports/weekly?all=true", &[BLUE], b"").await;
    assert_problem(&all, 403, "Untrusted");
    assert_problem(&raw_http::send(server.address, "GET", "/reports/open", &[BLUE], b"").await, 403, "Untrusted");
}

#[tokio::test]
async fn locks_are_taken_renewed_told_of_and_given_back() {
    let stub = Arc::new(Stub::default());
    let server =
        Running::start(&stub, Sqlite::in_memory().unwrap(), ServiceConfig { tokens: two_tenants(), ..quick() });
    let lock = async |who: (&str, &str), holder: &str, path: &str| {
        let body = json!({"holder": holder, "token": format!("secret-{holder}"), "ttl_ms": 60_000});
        let headers = [who, ("content-type", "application/json")];
        let path = format!("/locks/{path}?project=shop");
        raw_http::send(server.address, "PUT", &path, &headers, body.to_string().as_bytes()).await
    };
    let events = "/locks/events?project=shop";
    let (_, mut told) = raw_http::open(server.address, "GET", events, &[BLUE], b"").await;
    let taken = lock(BLUE, "ann", "src%2Fa.ts").await;
    assert_eq!((taken.status, &taken.json()["path"]), (200, &json!("src/a.ts")));
    let event = told.event().await.unwrap();
    assert!(event.contains("event: locked") && event.contains("ann") && !event.contains("secret"), "{event}");
    assert_eq!(lock(BLUE, "ann", "src%2Fa.ts").await.json()["fence"], taken.json()["fence"]);
    let refused = lock(BLUE, "bob", "src%2Fa.ts").await;
    assert_problem(&refused, 423, "LockHeld");
    assert!(refused.json()["detail"].as_str().unwrap().contains("ann"));
    assert_eq!(lock(RED, "bob", "src%2Fa.ts").await.status, 200, "another tenant's project");
    assert_eq!(lock(BLUE, "bob", "events").await.status, 405);
    assert_eq!(lock(BLUE, "bob", ".%2Fevents").await.json()["path"], "events");
    for bad in ["..%2Fa", "%2Fetc%2Fpasswd", "a%00b"] {
        assert_problem(&lock(BLUE, "bob", bad).await, 400, "BadParams");
    }
    let list = raw_http::send(server.address, "GET", "/locks?project=shop", &[BLUE], b"").await.json();
    let paths: Vec<_> = list["locks"].as_array().unwrap().iter().map(|lock| lock["path"].clone()).collect();
    assert_eq!(paths, ["events", "src/a.ts"]);

    let path = "/locks/src%2Fa.ts?project=shop";
    let give =
        async |headers: &[(&str, &str)], path: &str| raw_http::send(server.address, "DELETE", path, headers, b"").await;
    assert_problem(&give(&[BLUE], path).await, 400, "BadParams");
    assert_problem(&give(&[BLUE, ("lock-token", "secret-bob")], path).await, 409, "Conflict");
    assert_problem(&give(&[BLUE], &format!("{path}&force=true")).await, 403, "Untrusted");
    assert_eq!(give(&[BLUE, ("lock-token", "secret-ann")], path).await.status, 204);
    loop {
        let event = told.event().await.unwrap();
        if event.contains("event: unlocked") {
            assert!(event.contains("src/a.ts"), "{event}");
            break;
        }
    }
    assert_eq!(give(&[RED], &format!("{path}&force=true")).await.status, 204, "by force");
}

#[tokio::test]
async fn an_audit_is_taken_in_its_one_form_under_its_tenant_and_shown_to_an_admin_only() {
    let stub = Arc::new(Stub::default());
    let server =
        Running::start(&stub, Sqlite::in_memory().unwrap(), ServiceConfig { tokens: two_tenants(), ..quick() });
    let body = "{\"who\":\"@ann\"}";
    let commit = krins_core::audit::commitment(&[7; 32], body.as_bytes());
    let record = krins_core::audit::Record::next(&Default::default(), 5, "approved", "i1", commit).unwrap();
    let (line, salt) = (record.line().trim_end().to_owned(), Digest::from_bytes([7; 32]).to_string());
    let append = async |who: (&str, &str), body: Value| {
        let headers = [who, ("content-type", "application/json")];
        raw_http::send(server.address, "POST", "/audit", &headers, body.to_string().as_bytes()).await
    };
    let with = |record: &str, about: Value| json!({"log": "shop/1", "records": [{"record": record, "about": about}]});
    let about = |salt: &str, body: &str| json!({"salt": salt, "body": body});
    for bad in [
        with(&format!("{line} "), Value::Null),
        with(&line.replace("approved", "waived"), Value::Null),
        with(&line, about(&salt, "{\"who\":\"@eve\"}")),
        with(&line, about("no salt", body)),
        json!({"log": "../etc", "records": []}),
        json!({"log": "", "records": []}),
        json!({"log": "x y", "records": []}),
        json!({"records": []}),
    ] {
        assert_problem(&append(BLUE, bad.clone()).await, 400, "BadParams");
    }
    let taken = append(BLUE, with(&line, about(&salt, body))).await;
    assert_eq!((taken.status, &taken.json()["records"]), (200, &json!(1)));
    let again = append(BLUE, with(&line, Value::Null)).await;
    assert_eq!((again.status, again.json()), (200, taken.json()), "the same again changes nothing");
    let other = krins_core::audit::Record::next(&Default::default(), 6, "approved", "i1", commit).unwrap();
    assert_problem(&append(BLUE, with(other.line().trim_end(), Value::Null)).await, 409, "Conflict");
    let get = async |who: (&str, &str), path: &str| raw_http::send(server.address, "GET", path, &[who], b"").await;
    assert_eq!(get(BLUE, "/audit?log=shop/1").await.json()["head"], record.hash.to_string());
    assert_eq!(get(RED, "/audit?log=shop/1").await.json()["records"], 0, "another tenant's");
    assert_problem(&get(BLUE, "/audit/about?subject=%40ann").await, 403, "Untrusted");
    assert_eq!(get(RED, "/audit/about?subject=%40ann").await.json()["records"], json!([]), "admin of its own tenant");
    assert_problem(&raw_http::send(server.address, "DELETE", "/audit/about", &[RED], b"").await, 400, "BadParams");
    let gone = raw_http::send(server.address, "DELETE", "/audit/about?subject=%40ann", &[BLUE], b"").await;
    assert_problem(&gone, 403, "Untrusted");
    assert_problem(&get(BLUE, "/audit?what=1").await, 400, "BadParams");
}
