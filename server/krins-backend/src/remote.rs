//! A [`Backend`] that is somewhere else: `krins serve`, over HTTP. Submits a task under an idempotency key, follows its
//! events through lost connections and restarts of the server, and cancels it when the asker goes away.
//!
//! What comes back is untrusted like any model's answer. The token comes from the environment or the keyring, never from
//! a workspace.

use crate::error::{Fault, ProviderError, sanitise};
use crate::handover::Handover;
use crate::http::{Http, egress, is_loopback, retry_after};
use crate::keys::{KeySource, Keys, Wanted};
use crate::money::{Account, Entry};
use crate::resilience::Status;
use crate::resilience::status::Counts;
use crate::spans;
use crate::sse::Parser;
use crate::{Ask, Backend, BackendError, Progress, ProgressSink, Proposal, Usage, propagation, wire};
use async_trait::async_trait;
use krins_core::Digest;
use krins_protocol::error::ErrorKind;
use krins_protocol::http::{
    AuditHead, CheckVerdict, Health, HealthCheck, Lock, LockRequest, Locks, NewTask, OutcomeSource, Problem,
    RemoteEvent, RemoteState, RemoteTask, RouterRecord,
};
use lru::LruCache;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::{OnceCell, oneshot};
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span};
use url::Url;

mod audit;

/// The token's environment variable; in the keyring its user is the server's host.
pub const TOKEN_VARIABLE: &str = "KRINS_TOKEN";

/// Tries to submit before the server counts as unreachable.
const SUBMIT_TRIES: u32 = 3;
/// Connections lost in a row, without an event between, before a followed task counts as lost: about 25 s, which a
/// server needs to be replaced.
const FOLLOW_TRIES: u32 = 9;
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Three of the server's heartbeats.
const SILENCE: Duration = Duration::from_secs(45);
/// Until the head of an answer.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);
/// Runs under one content that failed before, whose keys are passed over.
const KEY_TRIES: u32 = 16;
const BODY_LIMIT: usize = 32 << 20;
const PROBLEM_LIMIT: usize = 64 << 10;
const FORGOTTEN: NonZeroUsize = NonZeroUsize::new(256).expect("256 is not zero");

#[derive(Clone, Debug)]
pub struct RemoteConfig {
    /// Where `krins serve` is; a path is kept as a prefix.
    pub url: Url,
    /// Whether the server's default provider is the keyless one, as the settings say.
    pub builtin: bool,
    /// Sent with every ask that names no provider; without one, the server's default.
    pub provider: Option<String>,
}

/// The remote form of a [`Backend`]; clones share their counters.
#[derive(Clone)]
pub struct Remote {
    inner: Arc<Inner>,
}

struct Inner {
    config: RemoteConfig,
    host: String,
    http: Http,
    keys: Keys,
    token: OnceCell<Option<SecretString>>,
    hits: AtomicU64,
    misses: AtomicU64,
    /// How often an answer to this content was no good: each time the content gets a new key and a fresh answer.
    forgotten: Mutex<LruCache<Digest, u32>>,
    /// The server's ids of the last tasks, by the asker's id and variant.
    served: Mutex<LruCache<(String, u32), String>>,
    /// What the gate said of answers whose end the server is not told yet, by the same.
    weighed: Mutex<LruCache<(String, u32), Vec<CheckVerdict>>>,
    counts: Mutex<Counts>,
    /// What is still on the way to the server.
    telling: TaskTracker,
}

/// Why a call gave no usable answer.
enum Failure {
    /// Worth another try, not before the pause that the server asks for.
    Again(BackendError, Option<Duration>),
    Final(BackendError),
}

impl Remote {
    /// Refuses an address that is not `http` or `https`, or that holds a password.
    pub fn new(config: RemoteConfig, http: Http, keys: Keys) -> Result<Self, BackendError> {
        let refuse = |why: &str| BackendError {
            kind: ErrorKind::BadParams,
            message: format!("use the remote backend: {why}"),
            hint: Some("give its address as https://HOST, in the user settings".into()),
            elsewhere: false,
        };
        let host = match (config.url.scheme(), config.url.host_str()) {
            ("http" | "https", Some(host)) => host.to_owned(),
            _ => return Err(refuse("its address is not http or https")),
        };
        if !config.url.username().is_empty() || config.url.password().is_some() {
            return Err(refuse("its address holds a user or a password"));
        }
        Ok(Self {
            inner: Arc::new(Inner {
                config,
                host,
                http,
                keys,
                token: OnceCell::new(),
                hits: AtomicU64::new(0),
                misses: AtomicU64::new(0),
                forgotten: Mutex::new(LruCache::new(FORGOTTEN)),
                served: Mutex::new(LruCache::new(FORGOTTEN)),
                weighed: Mutex::new(LruCache::new(FORGOTTEN)),
                counts: Mutex::default(),
                telling: TaskTracker::new(),
            }),
        })
    }
}

impl Remote {
    /// What the service says of itself and of its routes to the models.
    pub async fn health(&self) -> Result<Health, BackendError> {
        let asked = tokio::time::timeout(CANCEL_TIMEOUT, self.inner.call(Method::GET, &["health"], None)).await;
        let response = match asked {
            Ok(Ok(response)) => response,
            Ok(Err(Failure::Again(error, _) | Failure::Final(error))) => return Err(error),
            Err(_) => return Err(self.inner.lost()),
        };
        response.json().await.map_err(|_| self.inner.unusable("it does not say how it is"))
    }
}

/// Locks on the paths of a project.
impl Remote {
    /// Takes the lock, or renews it under the same token.
    pub async fn lock(&self, project: &str, path: &str, wanted: &LockRequest) -> Result<Lock, BackendError> {
        let body = serde_json::to_vec(wanted).expect("plain structs always serialize");
        let json = HeaderValue::from_static("application/json");
        let request = (Method::PUT, self.inner.lock_url(project, Some(path)), Some(("content-type", json)), body);
        let response = self.inner.send(request).await.map_err(Failure::into_error)?;
        self.inner.json(response).await.map_err(Failure::into_error)
    }

    /// Gives the lock back; without a token by force, which takes the scope `admin`.
    pub async fn unlock(&self, project: &str, path: &str, token: Option<&str>) -> Result<(), BackendError> {
        let mut url = self.inner.lock_url(project, Some(path));
        let header = match token {
            Some(token) => Some(("lock-token", HeaderValue::from_str(token).map_err(|_| self.inner.bad_token())?)),
            None => {
                url.query_pairs_mut().append_pair("force", "true");
                None
            }
        };
        let request = (Method::DELETE, url, header, Vec::new());
        self.inner.send(request).await.map(drop).map_err(Failure::into_error)
    }

    pub async fn locks(&self, project: &str) -> Result<Vec<Lock>, BackendError> {
        let request = (Method::GET, self.inner.lock_url(project, None), None, Vec::new());
        let response = self.inner.send(request).await.map_err(Failure::into_error)?;
        let locks: Locks = self.inner.json(response).await.map_err(Failure::into_error)?;
        Ok(locks.locks)
    }
}

impl Failure {
    /// For whoever does not try again.
    fn into_error(self) -> BackendError {
        match self {
            Self::Again(error, _) | Self::Final(error) => error,
        }
    }
}

/// A request that is no task: method, address, one header, body.
type Plain = (Method, Url, Option<(&'static str, HeaderValue)>, Vec<u8>);

#[async_trait]
impl Backend for Remote {
    async fn ask(&self, ask: Ask, progress: ProgressSink) -> Result<Proposal, BackendError> {
        let span = tracing::info_span!("krins.remote", server.address = %self.inner.host, krins.task = %ask.task);
        self.inner.clone().ask(ask, progress).instrument(span).await
    }

    fn route(&self) -> String {
        format!("remote:{}", self.inner.host)
    }

    fn is_builtin(&self) -> bool {
        self.inner.config.builtin
    }

    fn decides_elsewhere(&self) -> bool {
        self.inner.config.provider.is_none() && !self.inner.config.builtin
    }

    fn forget(&self, ask: &Ask) {
        let content = self.inner.content(ask);
        let mut forgotten = self.inner.forgotten.lock().unwrap_or_else(PoisonError::into_inner);
        let times = forgotten.get(&content).copied().unwrap_or(0);
        forgotten.put(content, times.saturating_add(1));
        drop(forgotten);
        self.inner.tell(ask, false);
    }

    fn weighed(&self, ask: Option<&Ask>, verdicts: &[(&str, &'static str)]) {
        let mut counts = self.inner.counts.lock().unwrap_or_else(PoisonError::into_inner);
        verdicts.iter().for_each(|(check, verdict)| counts.verdict(check, verdict));
        drop(counts);
        let Some(ask) = ask else { return };
        let told = verdicts.iter().map(|(check, verdict)| wire::verdict_to_wire(check, verdict)).collect();
        let asked = (ask.task.clone(), ask.account.variant);
        self.inner.weighed.lock().unwrap_or_else(PoisonError::into_inner).put(asked, told);
    }

    fn keep(&self, ask: &Ask) {
        self.inner.tell(ask, true);
    }

    fn status(&self) -> Status {
        let counts = self.inner.counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Status { counts, ..Status::default() }
    }

    async fn flush(&self) {
        let telling = &self.inner.telling;
        telling.close();
        let _ = tokio::time::timeout(CANCEL_TIMEOUT, telling.wait()).await;
        telling.reopen();
    }

    async fn remote_health(&self) -> Option<Health> {
        Some(self.health().await.unwrap_or_else(|error| {
            let check = HealthCheck { name: "remote".to_owned(), ok: false, detail: Some(error.message) };
            Health { status: "unreachable".to_owned(), version: String::new(), checks: vec![check] }
        }))
    }

    async fn append_audit(&self, next: &Handover) -> Result<Option<AuditHead>, BackendError> {
        self.inner.append_audit(next).await.map(Some)
    }

    fn cache_counts(&self) -> (u64, u64) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (count(&self.inner.hits), count(&self.inner.misses))
    }
}

impl Inner {
    async fn ask(self: Arc<Self>, ask: Ask, progress: ProgressSink) -> Result<Proposal, BackendError> {
        let task = self.submit(&ask).await?;
        progress(Progress::Sent { route: format!("remote:{}", self.host) });
        let guard = CancelOnDrop { inner: Some(Arc::clone(&self)), task: task.id.clone() };
        let asked = (ask.task.clone(), ask.account.variant);
        self.served.lock().unwrap_or_else(PoisonError::into_inner).put(asked, task.id.clone());
        let ended = match task.state.is_terminal() {
            true => Ok(task),
            false => self.follow(&task.id, &progress).await,
        };
        if ended.is_ok() {
            guard.disarm();
        }
        let ended = ended?;
        if ended.error.is_some() {
            self.bill_failure(&ask.account, &ended).await;
        }
        self.proposal(&ask.account, ended)
    }

    /// What was paid for no answer is on the bill, as far as the server says it.
    async fn bill_failure(&self, account: &Account, task: &RemoteTask) {
        let looking = async {
            let response = self.call(Method::GET, &["tasks", &task.id], None).await?;
            self.json::<RemoteTask>(self.accepted(response).await?).await
        };
        let Ok(Ok(RemoteTask { spent: Some(spent), .. })) = tokio::time::timeout(CANCEL_TIMEOUT, looking).await else {
            return;
        };
        let outcome = task.error.as_ref().map_or_else(String::new, |error| format!("{:?}", error.data.kind));
        account.bill.add(Entry {
            route: format!("remote:{}", self.host),
            purpose: account.purpose,
            variant: account.variant,
            usage: wire::usage_from_wire(spent.usage),
            micros: spent.cost,
            outcome,
        });
    }

    fn proposal(&self, account: &Account, task: RemoteTask) -> Result<Proposal, BackendError> {
        if let Some(error) = task.error {
            return Err(wire::error_from_wire(error));
        }
        match (task.state, task.answer) {
            (RemoteState::Done, Some(answer)) => {
                let counter = if answer.cached { &self.hits } else { &self.misses };
                counter.fetch_add(1, Ordering::Relaxed);
                account.bill.add(Entry {
                    route: format!("{}/{}", answer.provider, answer.model),
                    purpose: account.purpose,
                    variant: account.variant,
                    usage: if answer.cached { Usage::default() } else { wire::usage_from_wire(answer.usage) },
                    micros: answer.cost,
                    outcome: "ok".to_owned(),
                });
                Ok(wire::answer_from_wire(answer))
            }
            (RemoteState::Cancelled, _) => Err(BackendError {
                kind: ErrorKind::Cancelled,
                message: "get an answer: the task was cancelled on the server".into(),
                hint: None,
                elsewhere: false,
            }),
            _ => Err(self.unusable("the task ended without an answer")),
        }
    }

    /// A task for this ask that is running or done. A replay of one that failed or was cancelled is an earlier ask's
    /// end, and this is a new one: it goes on to the next key.
    async fn submit(self: &Arc<Self>, ask: &Ask) -> Result<RemoteTask, BackendError> {
        for run in 0..KEY_TRIES {
            let (task, replayed) = self.submit_run(ask, run).await?;
            let spent = matches!(task.state, RemoteState::Failed | RemoteState::Cancelled);
            if !(replayed && spent) {
                return Ok(task);
            }
        }
        Err(self.unusable("every earlier try of this task failed"))
    }

    /// Runs apart from the asker: whoever goes away between the request and its answer must not leave a task behind.
    async fn submit_run(self: &Arc<Self>, ask: &Ask, run: u32) -> Result<(RemoteTask, bool), BackendError> {
        let (mut reply, answer) = oneshot::channel();
        let (inner, ask) = (Arc::clone(self), ask.clone());
        let submitting = async move {
            let submitted = tokio::select! {
                biased;
                submitted = inner.submit_patiently(&ask, run) => submitted,
                // Nothing is sent again for an asker who left, but what was sent is waited for.
                () = left_and_waited(&mut reply) => return,
            };
            if let Err(Ok((task, _))) = reply.send(submitted) {
                inner.cancel(&task.id).await;
            }
        };
        tokio::spawn(propagation::carry(submitting));
        answer.await.unwrap_or_else(|_| Err(self.unusable("the request was abandoned")))
    }

    async fn submit_patiently(&self, ask: &Ask, run: u32) -> Result<(RemoteTask, bool), BackendError> {
        let mut tries = 1;
        loop {
            match self.submit_once(ask, run, tries - 1).await {
                Ok(submitted) => return Ok(submitted),
                Err(Failure::Again(_, wait)) if tries < SUBMIT_TRIES && wait.is_none_or(|w| w <= LONGEST_PAUSE) => {
                    tokio::time::sleep(wait.unwrap_or_else(|| pause(tries))).await;
                    tries += 1;
                }
                Err(Failure::Again(error, _) | Failure::Final(error)) => return Err(error),
            }
        }
    }

    async fn submit_once(&self, ask: &Ask, run: u32, resend: u32) -> Result<(RemoteTask, bool), Failure> {
        let url = self.url(&["tasks"]);
        let (span, headers) = self.prepare(&Method::POST, &url, resend).await?;
        let client = self.http.client(&url).map_err(|error| Failure::Final(self.unreachable(error)))?;
        let times_forgotten = self.times_forgotten(ask);
        let sending = egress(&ask.prompt, |_| {
            let body = self.body(ask, Some(ask.task.clone()), times_forgotten > 0);
            let key = Digest::of(format!("{}\n{times_forgotten}\n{run}\n{}", ask.task, Digest::of(&body)));
            client
                .post(url.clone())
                .headers(headers)
                .header("idempotency-key", key.to_string())
                .header("content-type", "application/json")
                .body(body)
        });
        let response = self.head(sending.instrument(span.clone()), &span).await?;
        let replayed = response.headers().contains_key("idempotent-replayed");
        let task = self.json(self.accepted(response).await?).await?;
        Ok((task, replayed))
    }

    /// Until the task's end, through as many connections as it takes.
    async fn follow(&self, id: &str, progress: &ProgressSink) -> Result<RemoteTask, BackendError> {
        let mut seen = 0;
        let mut losses = 0;
        loop {
            let before = seen;
            let failure = match self.follow_once(id, &mut seen, progress).await {
                Ok(task) => return Ok(task),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Again(error, wait)) => (error, wait),
            };
            losses = if seen > before { 1 } else { losses + 1 };
            if losses >= FOLLOW_TRIES {
                return Err(failure.0);
            }
            let wait = failure.1.map_or_else(|| pause(losses), |wait| wait.min(LONGEST_PAUSE));
            tokio::time::sleep(wait).await;
        }
    }

    async fn follow_once(&self, id: &str, seen: &mut u64, progress: &ProgressSink) -> Result<RemoteTask, Failure> {
        let last = (*seen > 0).then(|| ("last-event-id", HeaderValue::from(*seen)));
        let response = self.call(Method::GET, &["tasks", id, "events"], last).await?;
        if response.status() == StatusCode::NO_CONTENT {
            let response = self.call(Method::GET, &["tasks", id], None).await?;
            return self.json(self.accepted(response).await?).await;
        }
        let mut response = self.accepted(response).await?;
        let mut parser = Parser::new(BODY_LIMIT);
        loop {
            let chunk = tokio::time::timeout(SILENCE, response.chunk()).await;
            let Ok(Ok(Some(bytes))) = chunk else {
                return Err(Failure::Again(self.lost(), None));
            };
            let events = parser.push(&bytes).map_err(|_| Failure::Final(self.unusable("an event is too long")))?;
            for event in events {
                let Ok(event) = serde_json::from_str(&event.data) else {
                    // An event of a newer server.
                    continue;
                };
                match event {
                    RemoteEvent::State { seq, .. } => *seen = seq.max(*seen),
                    RemoteEvent::Progress { seq, received } => {
                        *seen = seq.max(*seen);
                        progress(Progress::Received { characters: received });
                    }
                    RemoteEvent::Step { seq, step } => {
                        *seen = seq.max(*seen);
                        progress(wire::step_from_wire(step));
                    }
                    RemoteEvent::End { task, .. } => return Ok(*task),
                }
            }
        }
    }

    /// Tells the server what the gate said of an answer, behind the caller and as well as it goes: the server keeps for others
    /// only what passed.
    fn tell(self: &Arc<Self>, ask: &Ask, passed: bool) {
        let asked = (ask.task.clone(), ask.account.variant);
        let task = self.served.lock().unwrap_or_else(PoisonError::into_inner).get(&asked).cloned();
        let checks = self.weighed.lock().unwrap_or_else(PoisonError::into_inner).pop(&asked).unwrap_or_default();
        let (Some(task), Ok(runtime)) = (task, tokio::runtime::Handle::try_current()) else { return };
        let record = RouterRecord {
            decision: None,
            task: Some(task),
            source: OutcomeSource::Gate,
            value: f64::from(u8::from(passed)),
            checks,
        };
        let inner = Arc::clone(self);
        let telling = async move {
            let body = serde_json::to_vec(&record).expect("plain structs always serialize");
            let call = inner.call_with(Method::POST, &["router", "record"], None, Some(body));
            if !matches!(tokio::time::timeout(CANCEL_TIMEOUT, call).await, Ok(Ok(_))) {
                tracing::debug!("failed to tell the server what the gate said");
            }
        };
        self.telling.spawn_on(propagation::carry(telling), &runtime);
    }

    /// Best effort: a task that cannot be cancelled runs to its end on the server.
    async fn cancel(&self, id: &str) {
        let path = ["tasks", id];
        let call = self.call(Method::DELETE, &path, None);
        if !matches!(tokio::time::timeout(CANCEL_TIMEOUT, call).await, Ok(Ok(_))) {
            tracing::debug!(task = %id, "failed to cancel the task on the server");
        }
    }

    /// Where the lock on a path is, or all of a project are.
    fn lock_url(&self, project: &str, path: Option<&str>) -> Url {
        // A path that is also a word of the service's own.
        let path = path.map(|path| if path == "events" { "./events" } else { path });
        let parts: Vec<&str> = std::iter::once("locks").chain(path).collect();
        let mut url = self.url(&parts);
        url.query_pairs_mut().append_pair("project", project);
        url
    }

    fn bad_token(&self) -> BackendError {
        self.unusable("the lock's token holds characters that no header can carry")
    }

    /// What was accepted of a request that is no task.
    async fn send(&self, (method, url, extra, body): Plain) -> Result<Response, Failure> {
        let (span, mut headers) = self.prepare(&method, &url, 0).await?;
        headers.extend(extra.map(|(name, value)| (reqwest::header::HeaderName::from_static(name), value)));
        let client = self.http.client(&url).map_err(|error| Failure::Final(self.unreachable(error)))?;
        let request = client.request(method, url).headers(headers).body(body);
        let sending = async { request.send().await.map_err(|error| crate::http::unreachable_host(&error)) };
        let response = self.head(sending.instrument(span.clone()), &span).await?;
        self.accepted(response).await
    }

    async fn call(
        &self,
        method: Method,
        path: &[&str],
        extra: Option<(&'static str, HeaderValue)>,
    ) -> Result<Response, Failure> {
        self.call_with(method, path, extra, None).await
    }

    /// With a JSON body, which holds nothing of a prompt: those leave by the egress.
    async fn call_with(
        &self,
        method: Method,
        path: &[&str],
        extra: Option<(&'static str, HeaderValue)>,
        body: Option<Vec<u8>>,
    ) -> Result<Response, Failure> {
        let url = self.url(path);
        let (span, mut headers) = self.prepare(&method, &url, 0).await?;
        headers.extend(extra.map(|(name, value)| (reqwest::header::HeaderName::from_static(name), value)));
        let client = self.http.client(&url).map_err(|error| Failure::Final(self.unreachable(error)))?;
        let mut request = client.request(method, url).headers(headers);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let sending = async { request.send().await.map_err(|error| crate::http::unreachable_host(&error)) };
        self.head(sending.instrument(span.clone()), &span).await
    }

    /// The span of one request, and the headers that every request carries.
    async fn prepare(&self, method: &Method, url: &Url, resend: u32) -> Result<(Span, HeaderMap), Failure> {
        let span = spans::http_client(method.as_str(), &shown(url), resend);
        let mut headers = HeaderMap::new();
        span.in_scope(|| propagation::inject(&mut headers));
        if let Some(token) = self.token().await.map_err(Failure::Final)? {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
                .map_err(|_| Failure::Final(self.auth("the token holds characters that no header can carry")))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok((span, headers))
    }

    async fn head(
        &self,
        sending: impl Future<Output = Result<Response, ProviderError>>,
        span: &Span,
    ) -> Result<Response, Failure> {
        match tokio::time::timeout(HEAD_TIMEOUT, sending).await {
            Ok(Ok(response)) => {
                spans::answered(span, response.status().as_u16());
                Ok(response)
            }
            Ok(Err(error)) => {
                spans::failed(span, &format!("{:?}", error.fault));
                let passing = error.fault == Fault::Connect;
                let error = self.unreachable(error);
                Err(if passing { Failure::Again(error, None) } else { Failure::Final(error) })
            }
            Err(_) => {
                spans::failed(span, "timeout");
                Err(Failure::Again(self.lost(), None))
            }
        }
    }

    /// A success, or the server's problem as the error it stands for.
    async fn accepted(&self, response: Response) -> Result<Response, Failure> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let wait = retry_after(response.headers(), SystemTime::now());
        let body = read(response, PROBLEM_LIMIT).await.unwrap_or_default();
        let error = match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => self.told(problem),
            Err(_) => self.unusable(&format!("it answered {status} without a reason")),
        };
        let passing = matches!(error.kind, ErrorKind::Overloaded | ErrorKind::BackendUnavailable);
        match passing && (wait.is_some() || status.is_server_error()) {
            true => Err(Failure::Again(error, wait)),
            false => Err(Failure::Final(error)),
        }
    }

    async fn json<T: serde::de::DeserializeOwned>(&self, response: Response) -> Result<T, Failure> {
        let body = read(response, BODY_LIMIT).await.ok_or_else(|| Failure::Again(self.lost(), None))?;
        serde_json::from_slice(&body).map_err(|_| Failure::Final(self.unusable("it does not speak the protocol")))
    }

    async fn token(&self) -> Result<Option<&SecretString>, BackendError> {
        let token = self.token.get_or_try_init(|| self.find_token()).await?;
        Ok(token.as_ref())
    }

    async fn find_token(&self) -> Result<Option<SecretString>, BackendError> {
        let local = is_loopback(&self.config.url);
        // A server on this machine mostly needs none, and the keyring may ask the person to unlock it.
        let source = match local {
            true => KeySource::Environment(TOKEN_VARIABLE.into()),
            false => KeySource::Standard,
        };
        let wanted = Wanted { provider: &self.host, source: &source, variables: &[TOKEN_VARIABLE], optional: true };
        let token = self.keys.find(&wanted).await.map_err(|error| self.auth(&error.detail))?;
        if token.is_some() && !local && self.config.url.scheme() != "https" {
            return Err(self.auth("the token would go over the network unencrypted; use an https address"));
        }
        Ok(token)
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.config.url.clone();
        url.set_query(None);
        url.set_fragment(None);
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// The body of `POST /tasks`; the same ask gives the same bytes.
    fn body(&self, ask: &Ask, task: Option<String>, fresh: bool) -> Vec<u8> {
        let task = NewTask {
            prompt: wire::prompt_to_wire(ask.prompt.get()),
            provider: ask.provider.clone().or_else(|| self.config.provider.clone()),
            model: ask.model.clone(),
            max_output_tokens: ask.max_output_tokens,
            fresh: ask.fresh || fresh,
            variant: ask.account.variant,
            task,
            micros: ask.account.micros,
        };
        serde_json::to_vec(&task).expect("plain structs always serialize")
    }

    fn content(&self, ask: &Ask) -> Digest {
        Digest::of(self.body(ask, None, false))
    }

    fn times_forgotten(&self, ask: &Ask) -> u32 {
        let content = self.content(ask);
        let mut forgotten = self.forgotten.lock().unwrap_or_else(PoisonError::into_inner);
        forgotten.get(&content).copied().unwrap_or(0)
    }

    fn told(&self, problem: Problem) -> BackendError {
        let mut error = wire::problem_to_error(problem);
        error.message = sanitise(&error.message, &[]);
        if error.kind == ErrorKind::AuthFailed {
            error.hint = Some(self.token_hint());
        }
        error
    }

    fn unreachable(&self, error: ProviderError) -> BackendError {
        let kind = match error.fault {
            Fault::Connect => ErrorKind::BackendUnavailable,
            other => other.rule().kind,
        };
        let hint = format!(
            "check that `krins serve` runs on {}, or remove the remote backend from the user settings",
            self.host
        );
        BackendError {
            kind,
            message: format!("reach the remote backend on {}: {}", self.host, error.detail),
            hint: Some(error.hint.unwrap_or(hint)),
            elsewhere: true,
        }
    }

    fn lost(&self) -> BackendError {
        self.unreachable(ProviderError::new(Fault::Connect, "the connection was lost"))
    }

    fn unusable(&self, why: &str) -> BackendError {
        BackendError {
            kind: ErrorKind::BackendUnavailable,
            message: format!("get an answer from the remote backend on {}: {why}", self.host),
            hint: Some("check that the address is a `krins serve` of this version".into()),
            elsewhere: true,
        }
    }

    fn auth(&self, why: &str) -> BackendError {
        BackendError {
            kind: ErrorKind::AuthFailed,
            message: format!("log in to the remote backend on {}: {why}", self.host),
            hint: Some(self.token_hint()),
            elsewhere: true,
        }
    }

    fn token_hint(&self) -> String {
        format!("set {TOKEN_VARIABLE}, or store the token in the keyring under krins / {}", self.host)
    }
}

/// Cancels the task on the server unless it is known to have ended.
struct CancelOnDrop {
    inner: Option<Arc<Inner>>,
    task: String,
}

impl CancelOnDrop {
    fn disarm(mut self) {
        self.inner = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        let (Some(inner), Ok(runtime)) = (self.inner.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        let task = std::mem::take(&mut self.task);
        runtime.spawn(propagation::carry(async move { inner.cancel(&task).await }));
    }
}

/// The asker left, and the request that was under way had its time to be answered.
async fn left_and_waited<T>(reply: &mut oneshot::Sender<T>) {
    reply.closed().await;
    tokio::time::sleep(CANCEL_TIMEOUT).await;
}

/// The body, unless it is longer than `limit` or breaks off.
async fn read(mut response: Response, limit: usize) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > limit {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body)
}

/// 0.2 s, doubling, at most 5 s.
fn pause(losses: u32) -> Duration {
    PAUSE.saturating_mul(1 << losses.saturating_sub(1).min(8)).min(LONGEST_PAUSE)
}

/// What of an address may stand in a trace: not the file that a lock is for.
fn shown(url: &Url) -> Url {
    let mut shown = url.clone();
    if let Some(at) = url.path().find("/locks/") {
        shown.set_path(&url.path()[..at + "/locks/".len()]);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(url: &str) -> Result<Remote, BackendError> {
        let config = RemoteConfig { url: Url::parse(url).unwrap(), builtin: true, provider: None };
        let keys = Keys::new(|name| (name == TOKEN_VARIABLE).then(|| "a-token".to_owned()), |_, _| Ok(None));
        Remote::new(config, Http::new(crate::http::HttpConfig::default()), keys)
    }

    #[test]
    fn no_file_of_a_lock_is_in_a_trace() {
        let shown = |url: &str| super::shown(&url.parse().unwrap()).to_string();
        assert_eq!(
            shown("https://krins.example/a/locks/src%2Fsecret.ts?project=p"),
            "https://krins.example/a/locks/?project=p"
        );
        assert_eq!(shown("https://krins.example/tasks/x"), "https://krins.example/tasks/x");
    }

    #[test]
    fn the_address_is_http_without_secrets_and_keeps_its_path() {
        for bad in ["ftp://host/", "https://user:secret@host/", "file:///etc", "https://user@host"] {
            let error = remote(bad).err().unwrap();
            assert_eq!(error.kind, ErrorKind::BadParams, "{bad}");
            assert!(!error.to_string().contains("secret"));
        }
        let remote = remote("https://team.example/krins/?x=1#y").ok().unwrap();
        assert_eq!(remote.inner.url(&["tasks", "a/b"]).as_str(), "https://team.example/krins/tasks/a%2Fb");
        assert_eq!(remote.route(), "remote:team.example");
        assert!(remote.is_builtin());
    }

    #[tokio::test]
    async fn a_token_does_not_travel_in_the_clear() {
        for (url, sent) in
            [("https://team.example", true), ("http://127.0.0.1:1", true), ("http://team.example", false)]
        {
            let remote = remote(url).ok().unwrap();
            let token = remote.inner.token().await;
            assert_eq!(token.is_ok(), sent, "{url}");
            if let Err(error) = token {
                assert_eq!(error.kind, ErrorKind::AuthFailed);
                assert!(!error.to_string().contains("a-token"));
            }
        }
    }

    #[test]
    fn pauses_grow_to_a_limit() {
        let pauses: Vec<u128> = (1..8).map(|n| pause(n).as_millis()).collect();
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }
}
