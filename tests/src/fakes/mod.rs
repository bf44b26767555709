//! Fake model providers: servers that speak each provider's wire format to the byte, with every fault that a real one
//! has shown. Raw TCP, because half of the faults are below what an HTTP library lets one do. Knows nothing of Krins.

mod dialect;
mod http;
mod scenario;
pub mod wall;

pub use dialect::{Dialect, RETRY_INFO_SECONDS};
pub use scenario::Scenario;

use http::Request;
use scenario::Act;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// One request as it came in.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub at: Instant,
    pub method: String,
    /// With the query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: serde_json::Value,
    /// When the client went away before the response was whole.
    pub left: Option<Instant>,
}

impl Attempt {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// How a fake behaves.
#[derive(Clone, Debug)]
pub struct Behaviour {
    pub scenario: Scenario,
    /// What it answers when it answers.
    pub answer: String,
    /// What it answers from the second request on, the last of it for good; without any, the same again.
    pub then: Vec<String>,
    /// Between two events.
    pub pace: Duration,
    /// For [`Scenario::SlowFirstToken`].
    pub slow: Duration,
    /// Bytes of an HTTP chunk: small and odd, so that events and characters are cut anywhere.
    pub chunk: usize,
}

impl Behaviour {
    pub fn new(scenario: Scenario) -> Self {
        Self {
            scenario,
            answer: ANSWER.to_owned(),
            then: Vec::new(),
            pace: Duration::ZERO,
            slow: Duration::from_secs(5),
            chunk: 23,
        }
    }

    fn answer_to(&self, number: usize) -> &str {
        let later = number.checked_sub(1).and_then(|at| self.then.get(at).or(self.then.last()));
        later.unwrap_or(&self.answer)
    }
}

/// A change in unified form, with characters of two, three and four bytes.
pub const ANSWER: &str = "```diff\n--- a/src/total.ts\n+++ b/src/total.ts\n@@ -1,3 +1,3 @@\n-export const total = 1;\n+export const sum = 1; // é ≠ 𝄞\n const a = \"x\\ty\";\n const b = 2;\n```\n";

/// A running fake. Dropping it closes it.
pub struct FakeProvider {
    address: SocketAddr,
    dialect: Dialect,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    dialect: Dialect,
    behaviour: Mutex<Behaviour>,
    attempts: Mutex<Vec<Attempt>>,
    connections: AtomicUsize,
}

impl FakeProvider {
    /// Listens on a free port of the loopback interface.
    pub async fn start(dialect: Dialect, scenario: Scenario) -> std::io::Result<Self> {
        Self::behaving(dialect, Behaviour::new(scenario)).await
    }

    pub async fn behaving(dialect: Dialect, behaviour: Behaviour) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            dialect,
            behaviour: Mutex::new(behaviour),
            attempts: Mutex::default(),
            connections: AtomicUsize::new(0),
        });
        Ok(Self { address, dialect, server: tokio::spawn(accept(listener, shared.clone())), shared })
    }

    /// What to give a client as its base URL.
    pub fn base_url(&self) -> String {
        format!("http://{}{}", self.address, self.dialect.base_path())
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn behave(&self, behaviour: Behaviour) {
        *lock(&self.shared.behaviour) = behaviour;
    }

    /// Every request so far, in order.
    pub fn attempts(&self) -> Vec<Attempt> {
        lock(&self.shared.attempts).clone()
    }

    /// How many connections were made so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// What the requests so far have wrong, by this provider's rules.
    pub fn violations(&self) -> Vec<String> {
        self.attempts().iter().filter_map(|attempt| self.dialect.violation(attempt)).collect()
    }

    /// Waits until a client has left some request before its response was whole.
    pub async fn someone_left(&self, within: Duration) -> bool {
        let until = Instant::now() + within;
        while Instant::now() < until {
            if self.attempts().iter().any(|attempt| attempt.left.is_some()) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        false
    }
}

impl Drop for FakeProvider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connections live in a set that ends with the server.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        shared.connections.fetch_add(1, Ordering::Relaxed);
        connections.spawn(connection(stream, shared.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(mut stream: TcpStream, shared: Arc<Shared>) {
    // A connection that cannot be set so is served with Nagle's delay.
    let _ = stream.set_nodelay(true);
    while let Some(request) = http::read_request(&mut stream).await {
        let (number, behaviour) = shared.log(&request);
        if serve(&mut stream, &shared, number, &behaviour).await.is_err() {
            if let Some(attempt) = lock(&shared.attempts).get_mut(number) {
                attempt.left = Some(Instant::now());
            }
            return;
        }
        if behaviour.scenario.act(number).closes() {
            return;
        }
    }
}

impl Shared {
    fn log(&self, request: &Request) -> (usize, Behaviour) {
        let mut attempts = lock(&self.attempts);
        attempts.push(Attempt {
            at: Instant::now(),
            method: request.method.clone(),
            path: request.path.clone(),
            headers: request.headers.clone(),
            body: serde_json::from_slice(&request.body).unwrap_or_default(),
            left: None,
        });
        (attempts.len() - 1, lock(&self.behaviour).clone())
    }
}

/// `Err` when the client left.
async fn serve(stream: &mut TcpStream, shared: &Shared, number: usize, behaviour: &Behaviour) -> std::io::Result<()> {
    let dialect = shared.dialect;
    match behaviour.scenario.act(number) {
        Act::Reset => http::reset(stream),
        Act::Silent => http::wait_for_leave(stream).await,
        Act::Refuse(refusal) => {
            let response = dialect.refusal(refusal);
            http::respond(stream, response.status, &response.headers, &response.body).await
        }
        Act::Page => {
            let page = b"<!doctype html><title>Gateway</title><p>Sign in</p>";
            http::respond(stream, 200, &[("content-type", "text/html".into())], page).await
        }
        Act::Redirect => http::respond(stream, 307, &[("location", "/elsewhere".into())], b"").await,
        Act::Garbage => {
            let headers = [("content-type", dialect.content_type().into())];
            http::respond(stream, 200, &headers, b"\x00\xff\xfe not a stream \r\r\n{{{{\n\n").await
        }
        Act::Stream(ending) => {
            let script = dialect.script(behaviour.answer_to(number), &ending);
            http::stream(stream, dialect, &script, &ending, behaviour).await
        }
    }
}
