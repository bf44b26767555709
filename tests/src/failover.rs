//! The failover catalogue: sixteen faults, put to a gateway as an OpenAI client would, and what has to come out. Knows a
//! gateway's address and the wall behind it, and nothing of what is between.

use crate::fakes::wall::{Hit, Wall, answer};
use crate::raw_http;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The scenarios by their models' names, in order.
pub const SCENARIOS: [&str; 16] = [
    "fb-s01-429-retry-after",
    "fb-s02-429-persistent",
    "fb-s03-500-then-200",
    "fb-s04-503-persistent",
    "fb-s05-reset",
    "fb-s06-no-response",
    "fb-s07-slow-ttft",
    "fb-s08-stream-cut",
    "fb-s09-stream-stall",
    "fb-s10-malformed-chunk",
    "fb-s11-no-done",
    "fb-s12-context-length",
    "fb-s13-content-filter",
    "fb-s14-stream-cut",
    "fb-s15-flap",
    "fb-s16-503-persistent",
];

/// A gateway in front of a wall.
pub struct Bench<'a> {
    pub gateway: SocketAddr,
    pub wall: &'a Wall,
    /// The catalogue's times are divided by this.
    pub speed: u32,
    pub stream: bool,
}

/// What an OpenAI client got.
#[derive(Clone, Debug, Default)]
pub struct Got {
    pub status: u16,
    pub text: String,
    pub finish: Option<String>,
    pub error: Option<Value>,
    pub usage: Option<Value>,
    pub model: String,
    pub took: Duration,
}

impl Got {
    /// All of the healthy answer, said to be all of it.
    pub fn is_whole(&self) -> bool {
        self.status == 200 && self.error.is_none() && self.finish.as_deref() == Some("stop") && self.text == answer()
    }

    /// Something else that looks like a success.
    pub fn is_false_success(&self) -> bool {
        self.status == 200 && self.error.is_none() && !self.is_whole()
    }
}

/// One scenario's checks: what, and whether it held.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub scenario: &'static str,
    pub checks: Vec<(&'static str, bool)>,
    pub detail: String,
}

impl Verdict {
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|(_, held)| *held)
    }
}

impl Bench<'_> {
    /// Runs one scenario.
    ///
    /// # Panics
    /// When the gateway cannot be reached at all.
    pub async fn run(&self, scenario: &'static str) -> Verdict {
        let slack = self.slack().await;
        let before = self.wall.hits().len();
        let began = Instant::now();
        let number = &scenario[3..6];
        let mut served = Vec::new();
        match number {
            "s15" => {
                for turn in 0..20u32 {
                    let due = self.time(4000) * turn;
                    tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
                    served.push((began.elapsed(), self.ask(scenario).await));
                }
            }
            _ => served.push((Duration::ZERO, self.ask(scenario).await)),
        }
        let hits = self.wall.hits().split_off(before);
        let own: Vec<&Hit> = hits.iter().filter(|hit| hit.model == scenario).collect();
        let others = hits.len() - own.len();
        let got = served[0].1.clone();
        let alive = self.ask("fb-ok").await.is_whole();
        let checks = self.checks(number, &own, others, &served, slack);
        let mut detail = format!(
            "{} in {:.2} s, {} calls to it and {others} to the fallback",
            if got.is_whole() { "whole" } else { "not whole" },
            got.took.as_secs_f64(),
            own.len()
        );
        if let Some(error) = &got.error {
            detail.push_str(&format!(", {} {error}", got.status));
        }
        let checks = checks.into_iter().chain([("alive after", alive)]).collect();
        Verdict { scenario, checks, detail }
    }

    fn checks(
        &self,
        number: &str,
        own: &[&Hit],
        others: usize,
        served: &[(Duration, Got)],
        slack: Duration,
    ) -> Vec<(&'static str, bool)> {
        let got = &served[0].1;
        let within = |millis: u64| {
            let first = own.first().map(|hit| hit.at);
            own.iter().filter(|hit| first.is_some_and(|first| hit.at - first < self.time(millis))).count()
        };
        let whole = ("a whole answer", got.is_whole());
        let honest = ("no truncated success", served.iter().all(|(_, got)| !got.is_false_success()));
        let sooner = |millis: u64| got.took < self.time(millis) + slack;
        let error = |code: &str| {
            got.status == 400
                && got.error.as_ref().is_some_and(|error| error["code"] == code && error["message"].is_string())
        };
        match number {
            "s01" => vec![
                whole,
                ("at most 2 calls in 1.5 s", within(1500) <= 2),
                ("the wait is kept", own.len() < 2 || own[1].at - own[0].at >= self.time(1800)),
            ],
            "s02" => vec![
                whole,
                ("at most 4 calls in 3 s", within(3000) <= 4),
                ("at most 6 calls", own.len() <= 6),
                ("under 40 s", sooner(40_000)),
            ],
            "s03" => vec![whole, ("the same provider again", own.len() == 2 && others == 0)],
            "s04" => vec![whole, ("at most 6 calls", own.len() <= 6)],
            "s05" => vec![whole],
            "s06" => vec![whole, ("under 100 s", sooner(100_000)), ("one call to the silent one", own.len() == 1)],
            "s07" => vec![whole, ("the fallback under 15 s", sooner(15_000) && others == 1)],
            "s08" => vec![honest, whole],
            "s09" => vec![honest, whole, ("under 45 s", sooner(45_000))],
            "s10" => vec![honest, whole],
            "s11" => vec![honest, whole, ("under 8 s", sooner(8000)), ("usage", got.usage.is_some())],
            "s12" => {
                vec![("one call", own.len() == 1 && others == 0), ("a clean error", error("context_length_exceeded"))]
            }
            "s13" => vec![
                ("one call", own.len() == 1 && others == 0),
                ("a clean error", got.status == 400 && got.error.is_some()),
            ],
            "s14" => vec![honest, whole],
            "s15" => {
                let back = self.time(60_000)..self.time(90_000);
                let by_itself = |got: &Got| got.model == SCENARIOS[14];
                vec![
                    ("all served", served.iter().all(|(_, got)| got.is_whole())),
                    ("back within 30 s", served.iter().any(|(at, got)| back.contains(at) && by_itself(got))),
                    ("few calls while it is down", own.len() < 20),
                ]
            }
            _ => vec![whole, ("the fallback's name", got.model == "fb-ok"), ("usage", got.usage.is_some())],
        }
    }

    /// What this machine may add to a time that was divided: what a healthy answer takes just now, twice, and some. The
    /// catalogue's own times get nothing.
    async fn slack(&self) -> Duration {
        match self.speed {
            1 => Duration::ZERO,
            _ => Duration::from_millis(300) + self.ask("fb-ok").await.took * 2,
        }
    }

    fn time(&self, millis: u64) -> Duration {
        Duration::from_millis(millis) / self.speed
    }

    async fn ask(&self, model: &str) -> Got {
        // The provider whose fallback refuses a prefill is a second one in front of the same wall.
        let model = if model.starts_with("fb-s14") { format!("strict/{model}") } else { model.to_owned() };
        ask(self.gateway, &model, self.stream).await
    }
}

/// Asks a gateway as an OpenAI client does.
///
/// # Panics
/// When it does not answer at all within three minutes.
pub async fn ask(gateway: SocketAddr, model: &str, stream: bool) -> Got {
    let mut body = json!({"model": model, "messages": [{"role": "user", "content": "say your words"}]});
    if stream {
        body["stream"] = json!(true);
        body["stream_options"] = json!({"include_usage": true});
    }
    let began = Instant::now();
    let asking = async {
        let headers = [("content-type", "application/json"), ("authorization", "Bearer none")];
        let bytes = body.to_string();
        let (head, mut rest) =
            raw_http::open(gateway, "POST", "/v1/chat/completions", &headers, bytes.as_bytes()).await;
        let mut text = Vec::new();
        while let Some(piece) = rest.piece().await {
            text.extend(piece);
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        match head.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")) {
            true => of_events(head.status, &text),
            false => of_object(head.status, &text),
        }
    };
    let got = tokio::time::timeout(Duration::from_secs(180), asking).await.expect("an answer in three minutes");
    Got { took: began.elapsed(), ..got }
}

fn of_object(status: u16, text: &str) -> Got {
    let body: Value = serde_json::from_str(text).unwrap_or_default();
    let word = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    Got {
        status,
        text: word("/choices/0/message/content").unwrap_or_default(),
        finish: word("/choices/0/finish_reason"),
        error: body.get("error").filter(|error| !error.is_null()).cloned(),
        usage: body.get("usage").filter(|usage| usage["total_tokens"].is_u64()).cloned(),
        model: word("/model").unwrap_or_default(),
        took: Duration::ZERO,
    }
}

fn of_events(status: u16, text: &str) -> Got {
    let mut got = Got { status, ..Got::default() };
    let mut done = false;
    for data in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
        if data == "[DONE]" {
            done = true;
            continue;
        }
        let chunk: Value = serde_json::from_str(data).unwrap_or_default();
        let word = |pointer: &str| chunk.pointer(pointer).and_then(Value::as_str);
        got.text.push_str(word("/choices/0/delta/content").unwrap_or_default());
        got.finish = word("/choices/0/finish_reason").map(str::to_owned).or(got.finish);
        got.model = word("/model").map_or(got.model, str::to_owned);
        got.error = chunk.get("error").filter(|error| !error.is_null()).cloned().or(got.error);
        got.usage = chunk.get("usage").filter(|usage| usage["total_tokens"].is_u64()).cloned().or(got.usage);
    }
    // A stream that ends without its marker was cut.
    if !done && got.error.is_none() {
        got.finish = None;
    }
    got
}
