//! How much time a gateway adds. Requests leave at a constant rate whatever comes back (open loop), and a latency counts
//! from the moment at which its request was due. Everything is on the loopback interface and ends by itself.
//!
//! `cargo run --release -p krins-tests --example load -- [--rates 200,500] [--seconds 8] [--rounds 3] [--upstream 127.0.0.1:9101]
//! [NAME=HOST:PORT[,HEADER: VALUE]…]`: the fake upstream answers at once; it is measured directly, through `krins serve`, and through every
//! gateway that is named, one after the other in each round. `tests/scripts/load_peers.sh` starts two of them.

use axum::body::Bytes;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use krins_tests::binary;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader as AsyncReader};
use tokio::net::TcpStream;

const BODY: &str = r#"{"model":"fake","messages":[{"role":"user","content":"hello"}]}"#;
/// A request that takes longer is an error.
const PATIENCE: Duration = Duration::from_secs(10);

struct Options {
    rates: Vec<u32>,
    seconds: u32,
    rounds: u32,
    upstream: SocketAddr,
    peers: Vec<Target>,
}

#[derive(Clone)]
struct Target {
    name: String,
    address: SocketAddr,
    headers: String,
}

fn main() {
    let options = options();
    // The upstream has a thread of its own, so that its work is the same for everybody.
    let upstream = options.upstream;
    std::thread::spawn(move || single(async move { axum::serve(bind(upstream).await, fake()).await }));
    let home = tempfile::tempdir().expect("a directory");
    let mut krins = Gateway::start(home.path(), upstream);
    let mut targets = vec![
        Target { name: "direct".into(), address: upstream, headers: String::new() },
        Target { name: "krins".into(), address: krins.address(), headers: String::new() },
    ];
    targets.extend(options.peers.iter().cloned());
    let mut out = std::io::stdout();
    let _ = writeln!(
        out,
        "{:<10} {:>6} {:>9} {:>9} {:>9} {:>9} {:>7} {:>7}",
        "system", "rate/s", "p50 ms", "p90 ms", "p99 ms", "max ms", "ok", "errors"
    );
    for rate in &options.rates {
        let mut all: Vec<Vec<Result<Duration, ()>>> = targets.iter().map(|_| Vec::new()).collect();
        for _ in 0..options.rounds {
            for (target, results) in targets.iter().zip(&mut all) {
                results.extend(single(load(target.clone(), *rate, options.seconds)));
            }
        }
        let medians: Vec<f64> =
            targets.iter().zip(&all).map(|(target, results)| row(&mut out, target, *rate, results)).collect();
        for (target, median) in targets.iter().zip(&medians).skip(1) {
            let _ = writeln!(out, "{:<10} {:>6} added median {:.2} ms", target.name, rate, median - medians[0]);
        }
    }
    let _ = writeln!(out, "load average {}", std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim());
}

fn row(out: &mut impl std::io::Write, target: &Target, rate: u32, results: &[Result<Duration, ()>]) -> f64 {
    let mut good: Vec<f64> = results.iter().flatten().map(|took| took.as_secs_f64() * 1000.0).collect();
    good.sort_by(f64::total_cmp);
    let at =
        |percent: usize| good.get((good.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or(f64::NAN);
    let errors = results.len() - good.len();
    let _ = writeln!(
        out,
        "{:<10} {:>6} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>7} {:>7}",
        target.name,
        rate,
        at(50),
        at(90),
        at(99),
        at(100),
        good.len(),
        errors
    );
    at(50)
}

fn options() -> Options {
    let mut options = Options {
        rates: vec![200, 500],
        seconds: 8,
        rounds: 3,
        upstream: "127.0.0.1:9101".parse().expect("an address"),
        peers: Vec::new(),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().expect("an option has a value");
        match argument.as_str() {
            "--rates" => options.rates = value().split(',').map(|rate| rate.parse().expect("a rate")).collect(),
            "--seconds" => options.seconds = value().parse().expect("seconds"),
            "--rounds" => options.rounds = value().parse().expect("rounds"),
            "--upstream" => options.upstream = value().parse().expect("HOST:PORT"),
            peer => {
                let (name, rest) = peer.split_once('=').expect("NAME=HOST:PORT[,HEADER: VALUE]");
                let mut parts = rest.split(',');
                let address: SocketAddr = parts.next().and_then(|address| address.parse().ok()).expect("HOST:PORT");
                assert!(address.ip().is_loopback(), "only this machine is loaded");
                let headers = parts.map(|header| format!("{header}\r\n")).collect();
                options.peers.push(Target { name: name.to_owned(), address, headers });
            }
        }
    }
    options
}

fn single<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

async fn bind(address: SocketAddr) -> tokio::net::TcpListener {
    tokio::net::TcpListener::bind(address).await.expect("the upstream's port is free")
}

fn fake() -> Router {
    Router::new().route("/v1/chat/completions", post(completion))
}

async fn completion(body: Bytes) -> Response {
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let usage = json!({"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12});
    if !asked["stream"].as_bool().unwrap_or(false) {
        let message = json!({"role": "assistant", "content": "one two three"});
        return Json(json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "fake",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}))
        .into_response();
    }
    let chunk = |choices: Value, usage: Value| {
        let chunk = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "fake",
            "choices": choices, "usage": usage});
        format!("data: {chunk}\n\n")
    };
    let choice = |delta: Value, reason: Value| json!([{"index": 0, "delta": delta, "finish_reason": reason}]);
    let text = [
        chunk(choice(json!({"role": "assistant", "content": "one two three"}), Value::Null), Value::Null),
        chunk(choice(json!({}), json!("stop")), Value::Null),
        chunk(json!([]), usage),
        "data: [DONE]\n\n".to_owned(),
    ];
    ([(header::CONTENT_TYPE, "text/event-stream")], text.concat()).into_response()
}

/// One run at one rate.
async fn load(target: Target, rate: u32, seconds: u32) -> Vec<Result<Duration, ()>> {
    let idle: Arc<Mutex<Vec<AsyncReader<TcpStream>>>> = Arc::default();
    let target = Arc::new(target);
    // Connections and code are warm before anything counts.
    for _ in 0..20 {
        let _ = call(&target, &idle).await;
    }
    // A thread of its own keeps the time: the runtime's timer counts whole milliseconds, and its rounding would be another
    // one in each run.
    let (beats, mut beat) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let start = Instant::now();
        for number in 0..rate * seconds {
            let due = start + Duration::from_secs(1) * number / rate;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if beats.send(due).is_err() {
                return;
            }
        }
    });
    let mut running = tokio::task::JoinSet::new();
    while let Some(due) = beat.recv().await {
        let (target, idle) = (Arc::clone(&target), Arc::clone(&idle));
        running.spawn(async move {
            let called = tokio::time::timeout(PATIENCE, call(&target, &idle)).await;
            called.ok().flatten().map(|()| due.elapsed()).ok_or(())
        });
    }
    running.join_all().await
}

/// One request on a connection that is kept.
async fn call(target: &Target, idle: &Mutex<Vec<AsyncReader<TcpStream>>>) -> Option<()> {
    let kept = idle.lock().expect("no holder panics").pop();
    let mut connection = match kept {
        Some(connection) => connection,
        None => {
            let stream = TcpStream::connect(target.address).await.ok()?;
            stream.set_nodelay(true).ok()?;
            AsyncReader::new(stream)
        }
    };
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{}\r\n{BODY}",
        target.address,
        BODY.len(),
        target.headers
    );
    connection.write_all(request.as_bytes()).await.ok()?;
    let answer = answer(&mut connection).await?;
    idle.lock().expect("no holder panics").push(connection);
    answer.contains("one two three").then_some(())
}

/// The body of a good answer.
async fn answer(connection: &mut AsyncReader<TcpStream>) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if connection.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let lower = head.to_ascii_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    let mut body = Vec::new();
    match length {
        Some(length) => {
            body.resize(length, 0);
            connection.read_exact(&mut body).await.ok()?;
        }
        None => loop {
            let mut size = String::new();
            connection.read_line(&mut size).await.ok()?;
            let size = usize::from_str_radix(size.trim(), 16).ok()?;
            let mut piece = vec![0; size + 2];
            connection.read_exact(&mut piece).await.ok()?;
            if size == 0 {
                break;
            }
            body.extend_from_slice(&piece[..size]);
        },
    }
    lower.starts_with("http/1.1 200").then(|| String::from_utf8_lossy(&body).into_owned())
}

/// A real `krins serve` in front of the upstream, ended when dropped.
struct Gateway {
    child: Child,
}

impl Gateway {
    fn start(home: &std::path::Path, upstream: SocketAddr) -> Self {
        let config = home.join("config.toml");
        let text = format!(
            "provider = \"fake\"\n[providers.fake]\nkind = \"openai-chat\"\nbase_url = \"http://{upstream}/v1\"\nkey = \"none\"\nmodel = \"fake\"\n"
        );
        std::fs::write(&config, text).expect("the settings are written");
        let child = Command::new(binary::krins())
            .args(["serve", "--addr", "127.0.0.1:0"])
            .env_clear()
            .env("HOME", home)
            .env("KRINS_STATE_DIR", home.join("state"))
            .env("KRINS_CONFIG", config)
            .env("KRINS_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("krins starts");
        Self { child }
    }

    fn address(&mut self) -> SocketAddr {
        let stdout = self.child.stdout.take().expect("it is piped");
        let line = BufReader::new(stdout).lines().find_map(|line| line.ok().filter(|line| line.contains("http://")));
        let line = line.expect("it says where it listens");
        let address = line.split("http://").nth(1).and_then(|rest| rest.split_whitespace().next());
        address.and_then(|address| address.parse().ok()).expect("an address")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
