//! A provider whose fault is chosen by the model's name: the sixteen scenarios of the public failover catalogue
//! (`fb-s01-429-retry-after` to `fb-s16-503-persistent`), and `fb-ok` and `fb-ok-noprefill` for fallbacks. In every wire
//! format, at any speed.

use super::dialect::{Dialect, Script};
use super::http;
use super::scenario::{Ending, Refusal};
use crate::failover::SCENARIOS;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Words of the healthy answer. Each is a piece of its own.
pub const WORDS: usize = 60;

/// The healthy answer.
pub fn answer() -> String {
    (0..WORDS).map(|n| format!("word{n:04} ")).collect()
}

/// One request to one of the models.
#[derive(Clone, Debug)]
pub struct Hit {
    pub at: Instant,
    pub model: String,
}

/// A running wall. Dropping it closes it.
pub struct Wall {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    dialect: Dialect,
    /// Every time of the catalogue is divided by this.
    speed: u32,
    /// Between two words.
    pace: Duration,
    hits: Mutex<Vec<Hit>>,
    /// Whether an Ollama says that its models are in memory.
    loaded: AtomicBool,
}

impl Wall {
    pub async fn start(dialect: Dialect, speed: u32) -> io::Result<Self> {
        Self::paced(dialect, speed, Duration::from_millis(15) / speed).await
    }

    /// With another time between words than the catalogue's.
    pub async fn paced(dialect: Dialect, speed: u32, pace: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { dialect, speed, pace, hits: Mutex::default(), loaded: AtomicBool::new(true) });
        Ok(Self { address, server: tokio::spawn(accept(listener, Arc::clone(&shared))), shared })
    }

    pub fn base_url(&self) -> String {
        format!("http://{}{}", self.address, self.shared.dialect.base_path())
    }

    /// From now on an Ollama says that it has to load its models first.
    pub fn unload(&self) {
        self.shared.loaded.store(false, Ordering::Relaxed);
    }

    /// Every request so far, in order.
    pub fn hits(&self) -> Vec<Hit> {
        lock(&self.shared.hits).clone()
    }
}

impl Drop for Wall {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(connection(stream, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(mut stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    while let Some(request) = http::read_request(&mut stream).await {
        if request.method == "GET" && request.path == "/api/ps" && shared.dialect == Dialect::Ollama {
            // What the wall is slow or silent about is in its memory all the same.
            let models = SCENARIOS.iter().chain(&["fb-ok", "fb-ok-noprefill"]);
            let models = models.filter(|_| shared.loaded.load(Ordering::Relaxed));
            let models: Vec<Value> = models.map(|name| json!({"name": name, "model": name})).collect();
            let (headers, body) = ([("content-type", "application/json".to_owned())], json!({"models": models}));
            match http::respond(&mut stream, 200, &headers, body.to_string().as_bytes()).await {
                Ok(()) => continue,
                Err(_) => return,
            }
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let model = model_of(&request.path, &body);
        let act = shared.act(&model, &body);
        match shared.carry_out(&mut stream, &model, act).await {
            Ok(true) => {}
            Ok(false) | Err(_) => return,
        }
    }
}

fn model_of(path: &str, body: &Value) -> String {
    let in_path = || path.rsplit('/').next()?.split(':').next();
    body["model"].as_str().or_else(in_path).unwrap_or_default().to_owned()
}

/// Whether the last word is the assistant's own.
fn is_prefilled(body: &Value) -> bool {
    let last = ["messages", "contents", "input"].iter().find_map(|name| body[*name].as_array()?.last());
    last.is_some_and(|last| matches!(last["role"].as_str(), Some("assistant" | "model")))
}

enum Act {
    Refuse(Refusal),
    Reset,
    Silent(Duration),
    Stream(Flow),
}

/// How a stream departs from a healthy one.
#[derive(Default)]
struct Flow {
    late: Option<Duration>,
    /// Words after which the connection is closed, and how long it is silent before.
    stop: Option<(usize, Duration)>,
    /// The event that is not JSON.
    spoilt: Option<usize>,
    /// The terminal marker is missing and the connection stays open so long.
    endless: Option<Duration>,
}

impl Shared {
    fn time(&self, seconds: u64) -> Duration {
        Duration::from_secs(seconds) / self.speed
    }

    /// What this request of the model gets.
    fn act(&self, model: &str, body: &Value) -> Act {
        let now = Instant::now();
        let (number, first) = {
            let mut hits = lock(&self.hits);
            let mut own = hits.iter().filter(|hit| hit.model == model);
            let first = own.next().map_or(now, |hit| hit.at);
            let number = hits.iter().filter(|hit| hit.model == model).count();
            hits.push(Hit { at: now, model: model.to_owned() });
            (number, first)
        };
        let once = |act: Act| if number == 0 { act } else { Act::Stream(Flow::default()) };
        let cut = || Act::Stream(Flow { stop: Some((40, Duration::ZERO)), ..Flow::default() });
        let scenario = model.strip_prefix("fb-").and_then(|name| name.split('-').next()).unwrap_or_default();
        match scenario {
            "s01" => {
                let wait = self.time(2).as_millis() as u64;
                once(Act::Refuse(Refusal::RateLimit(Some(wait))))
            }
            "s02" => Act::Refuse(Refusal::RateLimit(None)),
            "s03" => once(Act::Refuse(Refusal::Server)),
            "s04" | "s16" => Act::Refuse(Refusal::Unavailable),
            "s05" => once(Act::Reset),
            "s06" => Act::Silent(self.time(120)),
            "s07" => Act::Stream(Flow { late: Some(self.time(20)), ..Flow::default() }),
            "s08" | "s14" => cut(),
            "s09" => Act::Stream(Flow { stop: Some((20, self.time(30))), ..Flow::default() }),
            "s10" => Act::Stream(Flow { spoilt: Some(9), ..Flow::default() }),
            "s11" => Act::Stream(Flow { endless: Some(self.time(60)), ..Flow::default() }),
            "s12" => Act::Refuse(Refusal::ContextLength),
            "s13" => Act::Refuse(Refusal::ContentFilter),
            "s15" if now.duration_since(first) < self.time(60) => Act::Refuse(Refusal::Unavailable),
            _ if model.ends_with("noprefill") && is_prefilled(body) => Act::Refuse(Refusal::ContentFilter),
            _ => Act::Stream(Flow::default()),
        }
    }

    /// Whether the connection can be used again.
    async fn carry_out(&self, stream: &mut TcpStream, model: &str, act: Act) -> io::Result<bool> {
        match act {
            Act::Reset => {
                http::reset(stream)?;
                Ok(false)
            }
            Act::Silent(time) => {
                http::pause(stream, time).await?;
                Ok(false)
            }
            Act::Refuse(refusal) => {
                let response = self.dialect.refusal(refusal);
                http::respond(stream, response.status, &response.headers, &response.body).await?;
                Ok(true)
            }
            Act::Stream(flow) => self.stream(stream, model, &flow).await,
        }
    }

    async fn stream(&self, stream: &mut TcpStream, model: &str, flow: &Flow) -> io::Result<bool> {
        let ending = match (flow.endless, flow.late) {
            // Of the others the last event is itself what says that the answer is whole.
            (Some(_), _) if matches!(self.dialect, Dialect::OpenAiChat | Dialect::Anthropic) => Ending::NoDone,
            (_, Some(_)) => Ending::Late,
            _ => Ending::Whole,
        };
        let script = self.dialect.script(&answer(), &ending);
        http::begin_stream(stream, self.dialect).await?;
        for (at, event) in script.events.iter().enumerate() {
            if at == script.first_text
                && let Some(late) = flow.late
            {
                http::pause(stream, late).await?;
            }
            if let Some((words, silence)) = flow.stop
                && at == script.first_text + words
            {
                http::pause(stream, silence).await?;
                stream.shutdown().await?;
                return Ok(false);
            }
            let mut event = named(event, model);
            if flow.spoilt == Some(at) {
                let end = event.trim_end().len();
                event.replace_range(end - 2..end, "");
            }
            http::chunk(stream, event.as_bytes()).await?;
            if is_word(&script, at) {
                http::pause(stream, self.pace).await?;
            }
        }
        if let Some(time) = flow.endless {
            http::pause(stream, time).await?;
            return Ok(false);
        }
        http::end_stream(stream).await?;
        Ok(true)
    }
}

fn is_word(script: &Script, at: usize) -> bool {
    (script.first_text..script.after_text).contains(&at)
}

/// The event as it comes from this model.
fn named(event: &str, model: &str) -> String {
    let dated = ["fake-model-2026-11-01", "fake-model-20261101", "fake-model-001", "fake-model"];
    dated.iter().fold(event.to_owned(), |event, name| event.replace(name, model))
}

/// How often each model was asked.
pub fn counts(hits: &[Hit]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for hit in hits {
        *counts.entry(hit.model.as_str()).or_default() += 1;
    }
    counts
}
