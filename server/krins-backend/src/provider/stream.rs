//! Drives one streaming HTTP call: finds the key, sends through the egress, cuts the stream into events, hands them to the
//! wire format, and watches the first-token and idle timeouts. Knows no provider.

use super::wire::{Answer, Complaint, Framing, Json, Reader, Step, Wire, Written, at, is_truthy};
use super::{DeltaSink, Finished, Kind, ModelRequest, Provider, ProviderConfig, Timing};
use super::{anthropic, gemini, ollama, openai_chat, openai_responses};
use crate::error::{Fault, ProviderError};
use crate::http::{Http, egress, is_loopback, look, retry_after, should_retry};
use crate::keys::{KeyPlace, KeySource, Keys, Wanted};
use crate::ndjson::Lines;
use crate::propagation;
use crate::resilience::KeyId;
use crate::spans::{self, ModelCall};
use crate::sse::{Parser, TooLong};
use async_trait::async_trait;
use futures::FutureExt as _;
use krins_core::Digest;
use reqwest::Response;
use secrecy::{ExposeSecret, SecretString};
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::Instrument as _;
use url::Url;

/// One event, or one line, holds at most this many bytes; the terminal event of Responses holds the answer twice.
const EVENT_LIMIT: usize = 16 << 20;
/// An answer holds at most this many bytes: far above any model's output limit.
const ANSWER_LIMIT: usize = 8 << 20;
/// What follows the reason for stopping gets this share of the idle time.
const TAIL_SHARE: u32 = 8;
/// How long a server may take to say what it has loaded.
const LOADED: Duration = Duration::from_millis(500);
/// Of an error's body no more than this is read.
const ERROR_LIMIT: usize = 64 << 10;

/// A provider behind HTTP.
pub(crate) struct HttpProvider {
    name: String,
    kind: Kind,
    wire: Box<dyn Wire>,
    base: Url,
    key: KeySource,
    variables: &'static [&'static str],
    key_optional: bool,
    timing: Timing,
    http: Http,
    keys: Keys,
}

impl HttpProvider {
    /// `None` for providers of our own.
    pub fn new(name: &str, config: &ProviderConfig, http: Http, keys: Keys) -> Option<Result<Self, ProviderError>> {
        let official = config.kind.official_url()?;
        let base = match &config.base_url {
            Some(url) => url.clone(),
            None => official.parse().expect("official addresses are URLs, which a test holds"),
        };
        let at_home = base.host() == Url::parse(official).ok()?.host();
        let wire = wire(config, at_home)?;
        Some(check_base(&base).map(|()| Self {
            name: name.to_owned(),
            kind: config.kind,
            wire,
            key: config.key.clone(),
            variables: if at_home { config.kind.key_variables() } else { &[] },
            key_optional: config.kind == Kind::Ollama
                || config.kind == Kind::OpenAiChat && !at_home && config.key == KeySource::Standard,
            timing: config.timing,
            base,
            http,
            keys,
        }))
    }

    /// Where its key is.
    pub async fn place(&self) -> Result<Option<KeyPlace>, ProviderError> {
        self.keys.place(&self.wanted()).await
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted { provider: &self.name, source: &self.key, variables: self.variables, optional: self.key_optional }
    }

    /// A key is not sent over the network in the clear.
    fn check_transport(&self, key: Option<&SecretString>) -> Result<(), ProviderError> {
        if key.is_none() || self.base.scheme() == "https" || is_loopback(&self.base) {
            return Ok(());
        }
        Err(ProviderError::new(Fault::Misconfigured, "the key would go over the network unencrypted")
            .with_hint("use an https base_url, or key = \"none\" for a server that needs no key"))
    }

    async fn send(
        &self,
        request: &ModelRequest<'_>,
        url: Url,
        key: Option<&SecretString>,
        patience: Duration,
    ) -> Result<(Response, Instant), ProviderError> {
        let client = self.http.client(&self.base)?;
        let headers = self.wire.headers(key)?;
        let span = spans::http_client("POST", &url, request.resend);
        // The ids alone: they are random. What else travels with a trace (`tracestate`, baggage) is the team's own.
        let trace = span.in_scope(propagation::outgoing).traceparent();
        let sent = egress(request.words, |words| {
            let body = self.wire.body(&Written {
                words,
                model: request.model,
                max_output_tokens: request.max_output_tokens,
                sampling: request.sampling,
            });
            client.post(url).headers(headers).header(propagation::TRACEPARENT, trace).json(&body)
        });
        // The request is written: what is still to come is the provider's time.
        let first = Instant::now() + patience;
        let sent = timeout_at(first, sent.instrument(span.clone())).await.unwrap_or_else(|_| Err(silent(patience)));
        match &sent {
            Ok(response) => spans::answered(&span, response.status().as_u16()),
            Err(error) => spans::failed(&span, &format!("{:?}", error.fault)),
        }
        Ok((sent?, first))
    }

    /// How long the first sign of an answer may take. A model that has to be loaded gets its time; one that is loaded, or of
    /// which the server does not say, gets no more than any other while somebody else can answer.
    async fn patience(&self, request: &ModelRequest<'_>, key: Option<&SecretString>) -> Duration {
        match self.timing.hurried.filter(|_| request.elsewhere) {
            Some(hurried) if !self.has_to_be_loaded(request.model, key).await => hurried.min(self.timing.first_token),
            _ => self.timing.first_token,
        }
    }

    async fn has_to_be_loaded(&self, model: &str, key: Option<&SecretString>) -> bool {
        let looking = async {
            let url = self.wire.loaded(&self.base)?;
            let client = self.http.client(&self.base).ok()?;
            let mut response = look(client, url, self.wire.headers(key).ok()?).await.ok()?;
            let mut body = Vec::new();
            while let Some(bytes) = response.chunk().await.ok()?.filter(|_| body.len() <= ERROR_LIMIT) {
                body.extend_from_slice(&bytes);
            }
            ollama::is_loaded(&serde_json::from_slice(&body).ok()?, model)
        };
        timeout(LOADED, looking).await.ok().flatten() == Some(false)
    }

    fn stalled(&self, characters: usize) -> ProviderError {
        let seconds = self.timing.idle.as_secs_f64();
        ProviderError::new(
            Fault::IdleTimeout,
            format!("the answer stalled for {seconds} s after {characters} characters"),
        )
    }

    /// A response that is no success.
    async fn refused(&self, mut response: Response, secrets: &[&str]) -> ProviderError {
        let status = response.status().as_u16();
        let (wait, word) = (retry_after(response.headers(), SystemTime::now()), should_retry(response.headers()));
        let mut body = Vec::new();
        let read = async {
            while let Ok(Some(bytes)) = response.chunk().await {
                body.extend_from_slice(&bytes);
                if body.len() > ERROR_LIMIT {
                    break;
                }
            }
        };
        // An error's body that does not come is no reason to lose the status.
        let _ = timeout(self.timing.idle, read).await;
        let complaint = serde_json::from_slice::<Json<'_>>(&body).ok().and_then(|body| Complaint::read(&body));
        let mut error = match complaint {
            Some(complaint) => complaint.into_error(Some(status), secrets),
            None => ProviderError::new(
                Fault::classify(Some(status), &[], ""),
                format!("HTTP {status} without an error object of this provider"),
            ),
        };
        error.retry_after = wait.or(error.retry_after);
        error.should_retry = word;
        error
    }

    async fn receive(
        &self,
        mut response: Response,
        (first, patience): (Instant, Duration),
        secrets: &[&str],
        sink: &mut dyn DeltaSink,
    ) -> Result<Answer, ProviderError> {
        let mut reading = Reading::new(self.wire.as_ref(), secrets, sink);
        let (mut until, mut end) = (first, None);
        loop {
            let chunk = match timeout_at(until, response.chunk()).await {
                Ok(Ok(Some(bytes))) => reading.take(&bytes)?,
                Ok(Ok(None)) => return reading.end(None),
                Ok(Err(error)) => return reading.end(Some(crate::http::root_cause(&error))),
                // All of the answer is here; only the stream's own end is missing.
                Err(_) if reading.answer.stop.is_some() => return reading.end(None),
                Err(_) if reading.answer.began => return Err(self.stalled(reading.characters())),
                Err(_) => return Err(silent(patience)),
            };
            if chunk == Step::Last {
                // The rest of the body is mostly here already; reading it keeps the connection for the next call.
                while let Some(Ok(Some(_))) = response.chunk().now_or_never() {}
                return Ok(reading.answer);
            }
            if reading.answer.stop.is_some() {
                // Usage may still come, and what says that the stream is over; some servers keep it open instead.
                let last = *end.get_or_insert_with(|| Instant::now() + self.timing.idle / TAIL_SHARE);
                until = last;
            } else if reading.answer.began {
                until = Instant::now() + self.timing.idle;
            }
        }
    }
}

impl HttpProvider {
    async fn converse(
        &self,
        request: &ModelRequest<'_>,
        url: Url,
        call: &mut ModelCall<'_>,
    ) -> Result<Finished, ProviderError> {
        let key = self.keys.find(&self.wanted()).await?;
        self.check_transport(key.as_ref())?;
        let patience = self.patience(request, key.as_ref()).await;
        let (response, first) = self.send(request, url, key.as_ref(), patience).await?;
        let secrets = key.as_ref().map(|key| key.expose_secret()).into_iter().collect::<Vec<_>>();
        if !response.status().is_success() {
            return Err(self.refused(response, &secrets).await);
        }
        let answer = self.receive(response, (first, patience), &secrets, call).await?;
        answer.stop.iter().for_each(|stop| ModelCall::stopped(&call.span(), stop));
        answer.finish(request)
    }
}

#[async_trait]
impl Provider for HttpProvider {
    async fn call(&self, request: &ModelRequest<'_>, sink: &mut dyn DeltaSink) -> Result<Finished, ProviderError> {
        if let Some(lacking) = request.sampling.and_then(|sampling| self.wire.lacks(sampling)) {
            return Err(ProviderError::new(
                Fault::BadRequest,
                format!("this kind of provider does not take `{lacking}`"),
            )
            .with_hint("leave it out, or ask a provider of kind openai-chat"));
        }
        let url = self.wire.url(&self.base, request.model);
        let mut call = ModelCall::begin(&self.name, self.kind, &url, request, sink);
        let span = call.span();
        let result = self.converse(request, url, &mut call).instrument(span).await;
        call.end(&result);
        result
    }

    async fn key_id(&self) -> Result<KeyId, ProviderError> {
        let key = self.keys.find(&self.wanted()).await?;
        Ok(key.map_or(KeyId::default(), |key| {
            let digest = Digest::of(key.expose_secret());
            let [a, b, c, d, e, f, g, h, ..] = *digest.as_bytes();
            KeyId(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
        }))
    }
}

fn silent(patience: Duration) -> ProviderError {
    let seconds = patience.as_secs_f64();
    ProviderError::new(Fault::FirstTokenTimeout, format!("no sign of an answer within {seconds} s"))
}

fn wire(config: &ProviderConfig, official: bool) -> Option<Box<dyn Wire>> {
    Some(match config.kind {
        Kind::Anthropic => Box::new(anthropic::Anthropic {
            version: config.api_version.clone().unwrap_or_else(|| anthropic::DEFAULT_VERSION.to_owned()),
            prompt_cache: config.prompt_cache,
        }),
        Kind::OpenAi => Box::new(openai_responses::OpenAiResponses { official }),
        Kind::OpenAiChat => Box::new(openai_chat::OpenAiChat { official }),
        Kind::Gemini => Box::new(gemini::Gemini),
        Kind::Ollama => Box::new(ollama::Ollama { keep_alive: config.keep_alive.clone() }),
        Kind::Builtin | Kind::Replay => return None,
    })
}

fn check_base(base: &Url) -> Result<(), ProviderError> {
    let refuse = |why: &str| {
        ProviderError::new(Fault::Misconfigured, format!("base_url {why}"))
            .with_hint("give an address like https://api.example.com/v1, and the key through key_env or the keyring")
    };
    if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
        return Err(refuse("is no http or https address"));
    }
    if !base.username().is_empty() || base.password().is_some() || base.query().is_some() {
        return Err(refuse("holds a user, a password or a query"));
    }
    Ok(())
}

enum Frames {
    Sse(Parser),
    Ndjson(Lines),
}

impl Frames {
    fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, TooLong> {
        match self {
            Self::Sse(parser) => Ok(parser.push(bytes)?.into_iter().map(|event| event.data).collect()),
            Self::Ndjson(lines) => lines.push(bytes),
        }
    }
}

/// One stream being read.
struct Reading<'a> {
    frames: Frames,
    reader: Box<dyn Reader>,
    restates: bool,
    secrets: &'a [&'a str],
    sink: &'a mut dyn DeltaSink,
    answer: Answer,
    events: usize,
}

impl<'a> Reading<'a> {
    fn new(wire: &dyn Wire, secrets: &'a [&'a str], sink: &'a mut dyn DeltaSink) -> Self {
        Self {
            frames: match wire.framing() {
                Framing::Sse => Frames::Sse(Parser::new(EVENT_LIMIT)),
                Framing::Ndjson => Frames::Ndjson(Lines::new(EVENT_LIMIT)),
            },
            reader: wire.reader(),
            restates: wire.restates_answer(),
            secrets,
            sink,
            answer: Answer::default(),
            events: 0,
        }
    }

    fn characters(&self) -> usize {
        self.answer.text.chars().count()
    }

    fn take(&mut self, bytes: &[u8]) -> Result<Step, ProviderError> {
        let events =
            self.frames.push(bytes).map_err(|error| ProviderError::new(Fault::Malformed, error.to_string()))?;
        for event in &events {
            if self.read(event)? == Step::Last {
                return Ok(Step::Last);
            }
        }
        self.look_for_stray_error()?;
        Ok(Step::More)
    }

    fn read(&mut self, event: &str) -> Result<Step, ProviderError> {
        self.events += 1;
        if event.trim() == "[DONE]" {
            return Ok(Step::Last);
        }
        let Ok(value) = serde_json::from_str::<Json<'_>>(event) else {
            return if self.restates { Ok(Step::More) } else { Err(self.garbled()) };
        };
        if at(&value, "/error").is_some_and(is_truthy) {
            return Err(self.complaint(&value));
        }
        let (before, figures) = (self.answer.text.len(), self.answer.usage);
        let step = self.reader.read(&value, &mut self.answer)?;
        if self.answer.usage != figures {
            self.sink.usage(&self.answer.usage);
        }
        if let Some(delta) = self.answer.text.get(before..).filter(|delta| !delta.is_empty()) {
            self.sink.delta(delta);
        }
        if self.answer.text.len() > ANSWER_LIMIT {
            return Err(ProviderError::new(Fault::Malformed, format!("the answer has more than {ANSWER_LIMIT} bytes")));
        }
        Ok(step)
    }

    /// A skipped event may have held a piece of the answer, and an answer with a hole would be a wrong change.
    fn garbled(&self) -> ProviderError {
        ProviderError::new(Fault::Malformed, format!("event {} of the stream is not JSON", self.events))
            .with_hint("nothing of the answer was used: ask again")
    }

    fn complaint(&self, value: &Json<'_>) -> ProviderError {
        Complaint::read(value).unwrap_or_default().into_error(None, self.secrets)
    }

    /// Some providers break off with an error object that is no event.
    fn look_for_stray_error(&self) -> Result<(), ProviderError> {
        let Frames::Sse(parser) = &self.frames else {
            return Ok(());
        };
        let stray = parser.stray();
        let stray = stray.trim();
        if !stray.starts_with(['{', '[']) || !stray.ends_with(['}', ']']) {
            return Ok(());
        }
        match serde_json::from_str::<Json<'_>>(stray).ok().filter(|value| Complaint::read(value).is_some()) {
            Some(value) => Err(self.complaint(value.as_array().and_then(<[_]>::first).unwrap_or(&value))),
            None => Ok(()),
        }
    }

    /// The stream is over; `broken` says how, when not properly.
    fn end(mut self, broken: Option<String>) -> Result<Answer, ProviderError> {
        if let Frames::Ndjson(lines) = &mut self.frames
            && let Some(line) = lines.finish()
            && serde_json::from_str::<Json<'_>>(&line).is_ok()
        {
            self.read(&line)?;
        }
        if self.answer.stop.is_some() {
            return Ok(self.answer);
        }
        if let Some(cause) = broken {
            let characters = self.characters();
            return Err(ProviderError::new(
                Fault::Truncated,
                format!("the connection broke after {characters} characters (truncated): {cause}"),
            ));
        }
        if self.events == 0 {
            return Err(ProviderError::new(Fault::Malformed, "the response is not a stream of this provider's kind"));
        }
        Ok(self.answer)
    }
}
