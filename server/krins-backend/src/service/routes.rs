//! The service's routes, and what every request passes through: trace, time, headers, access, rates.

use super::auth::{Caller, Scope};
use super::chat;
use super::limits::Place;
use super::listen::Peer;
use super::problem::{Problem, chain};
use super::router;
use super::tasks::{Tasks, View};
use super::{admin, audit, dead, graph, locks, reports};
use crate::exposition;
use crate::metrics;
use crate::propagation;
use crate::resilience::Level;
use crate::spans;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Extension, MatchedPath, Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use futures::stream::Stream;
use futures::{FutureExt, stream};
use krins_protocol::error::ErrorKind;
use krins_protocol::http::{Health, HealthCheck, NewTask, RemoteEvent};
use serde::de::DeserializeOwned;
use std::convert::Infallible;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long a client that lost the stream should wait before it comes back.
const RECONNECT: Duration = Duration::from_secs(1);
/// Characters of a task's id, and fewer than any key of a provider has.
const PATH_PART: usize = 36;
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Ours, so that a key is an index entry and not a document.
const KEY_LENGTH: usize = 255;

/// Whose request it is.
#[derive(Clone)]
pub(super) struct Tenant(pub String);

/// The same with what the caller may do.
#[derive(Clone)]
pub(super) struct Asker(pub Caller);

type Shared = State<Arc<Tasks>>;

pub fn router(tasks: Arc<Tasks>) -> Router {
    let guarded = Router::new()
        .route("/tasks", post(submit))
        .route("/tasks/{id}", get(show).delete(cancel))
        .route("/tasks/{id}/events", get(events))
        .route("/dead", get(dead::list))
        .route("/dead/{id}/requeue", post(dead::requeue))
        .route("/queue/stats", get(dead::stats))
        .route("/reports/weekly", get(reports::weekly))
        .route("/locks", get(locks::list))
        .route("/locks/events", get(locks::events))
        .route("/locks/{path}", put(locks::put).delete(locks::delete))
        .route("/graph/{question}", get(graph::ask).post(graph::ask_at_length))
        .route("/v1/chat/completions", post(chat::completions))
        .route("/v1/models", get(chat::models))
        .route("/router/select", post(router::select))
        .route("/router/record", post(router::record))
        .route("/audit", post(audit::append).get(audit::head))
        .route("/audit/about", get(audit::about).delete(audit::forget))
        .layer(from_fn_with_state((Arc::clone(&tasks), Scope::Tasks), admit));
    let administered = Router::new()
        .route("/admin/switch", get(admin::switch_state).post(admin::switch))
        .route("/reports/open", get(reports::open))
        .route("/reports/open/{id}", post(reports::reconcile))
        .layer(from_fn_with_state((Arc::clone(&tasks), Scope::Admin), admit));
    let figures = Router::new()
        .route("/metrics", get(figures))
        .layer(from_fn_with_state((Arc::clone(&tasks), Scope::Metrics), admit));
    Router::new()
        .route("/health", get(health))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/openapi.json", get(openapi))
        .merge(guarded)
        .merge(administered)
        .merge(figures)
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(tasks.config.body_limit))
        .layer(from_fn_with_state(Arc::clone(&tasks), bounded))
        .layer(from_fn(chat::in_openai_words))
        .layer(from_fn_with_state(Arc::clone(&tasks), observed))
        .layer(from_fn(hardened))
        .with_state(tasks)
}

async fn submit(
    State(tasks): Shared,
    Extension(Asker(caller)): Extension<Asker>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let key = idempotency_key(&headers)?;
    let task: NewTask = read_json(&headers, body, "task")?;
    let submitted = tasks.submit(caller, key, task).await?;
    let status = if submitted.task.state.is_terminal() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let location = format!("/tasks/{}", submitted.task.id);
    let mut response = (status, [(header::LOCATION, location)], Json(submitted.task)).into_response();
    if submitted.replayed {
        response.headers_mut().insert(HeaderName::from_static("idempotent-replayed"), HeaderValue::from_static("true"));
    }
    Ok(response)
}

async fn show(
    State(tasks): Shared,
    Extension(Tenant(tenant)): Extension<Tenant>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let mut task = tasks.get(&tenant, &id).await?;
    task.spent = tasks.spent(&tenant, &id).await?;
    Ok(Json(task).into_response())
}

async fn cancel(
    State(tasks): Shared,
    Extension(Tenant(tenant)): Extension<Tenant>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    Ok(Json(tasks.cancel(tenant, id).await?).into_response())
}

/// Events after `Last-Event-ID`, to the end. 204 tells a client that saw the end not to come back.
async fn events(
    State(tasks): Shared,
    Extension(Asker(caller)): Extension<Asker>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let after = headers
        .get("last-event-id")
        .map(|value| value.to_str().ok().and_then(|text| text.trim().parse().ok()))
        .map(|parsed: Option<u64>| {
            parsed.ok_or_else(|| Problem::new(ErrorKind::BadParams, "read Last-Event-ID: it is not a number"))
        })
        .transpose()?
        .unwrap_or(0);
    let place = tasks.stream(&caller)?;
    let view = tasks.follow(&caller.tenant, &id).await?;
    let ended = {
        let view = view.borrow();
        view.task.state.is_terminal() && view.task.seq <= after
    };
    if ended {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let keep_alive = KeepAlive::new().interval(tasks.config.heartbeat);
    let follower = Follower { view, after, closing: tasks.closing(), ended: false, _place: place };
    Ok(Sse::new(follower.stream()).keep_alive(keep_alive).into_response())
}

/// One client on a task's event stream. Slow clients see fewer progress events, never a longer queue.
struct Follower {
    view: watch::Receiver<View>,
    after: u64,
    closing: CancellationToken,
    ended: bool,
    _place: Option<Place>,
}

impl Follower {
    fn stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, |mut follower| async move {
            let event = follower.next().await?;
            Some((Ok(event), follower))
        })
    }

    async fn next(&mut self) -> Option<Event> {
        while !self.ended {
            let view = self.view.borrow_and_update().clone();
            if let Some(event) = self.unseen(&view) {
                return Some(sse(&event));
            }
            tokio::select! {
                biased;
                changed = self.view.changed() => changed.ok()?,
                () = self.closing.cancelled() => return None,
            }
        }
        None
    }

    fn unseen(&mut self, view: &View) -> Option<RemoteEvent> {
        let task = &view.task;
        self.ended = task.state.is_terminal();
        if self.ended {
            let task = krins_protocol::http::RemoteTask::clone(task);
            return Some(RemoteEvent::End { seq: task.seq, task: Box::new(task) });
        }
        if task.seq > self.after {
            self.after = task.seq;
            return Some(RemoteEvent::State { seq: task.seq, state: task.state });
        }
        let received = view.received.filter(|(seq, _)| *seq > self.after);
        let step = view.steps.iter().find(|(seq, _)| *seq > self.after);
        let event = match (received, step) {
            (Some((seq, received)), step) if step.is_none_or(|(next, _)| seq < *next) => {
                RemoteEvent::Progress { seq, received }
            }
            (_, Some((seq, step))) => RemoteEvent::Step { seq: *seq, step: step.clone() },
            (_, None) => return None,
        };
        self.after = event.seq();
        Some(event)
    }
}

fn sse(event: &RemoteEvent) -> Event {
    let (seq, name) = (event.seq(), event.name());
    let data = serde_json::to_string(event).expect("plain structs always serialize");
    Event::default().id(seq.to_string()).event(name).retry(RECONNECT).data(data)
}

async fn figures(State(tasks): Shared, headers: HeaderMap) -> Result<Response, Problem> {
    // Without the store, the figures of before.
    if let Err(error) = tasks.count().await {
        tracing::warn!(error = %chain(&error), "failed to count the tasks");
    }
    let text = tasks.metrics.render().map_err(|error| Problem::internal("render the metrics", &error))?;
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let (form, text) = match exposition::is_wanted(accept) {
        true => (exposition::CONTENT_TYPE, exposition::plain(&text)),
        false => (metrics::CONTENT_TYPE, text),
    };
    Ok(([(header::CONTENT_TYPE, form)], text).into_response())
}

async fn live() -> Json<Health> {
    Json(health_of("ok", Vec::new()))
}

async fn openapi() -> Json<serde_json::Value> {
    Json(krins_protocol::openapi::document(env!("CARGO_PKG_VERSION")))
}

/// Whether new tasks should be sent here.
async fn ready(State(tasks): Shared) -> Response {
    let checks = own_checks(&tasks).await;
    let ok = checks.iter().all(|check| check.ok);
    let status = match ok {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let word = if ok { "ok" } else { "unavailable" };
    (status, Json(health_of(word, checks))).into_response()
}

/// The state of everything, for a person; 200 as long as the process answers.
async fn health(State(tasks): Shared) -> Json<Health> {
    let checks = checks(&tasks).await;
    let word = match checks.iter().all(|check| check.ok) {
        true => "ok",
        false => "degraded",
    };
    Json(health_of(word, checks))
}

/// The routes to the models are not ours: a request is still answered while one of them rests.
async fn checks(tasks: &Tasks) -> Vec<HealthCheck> {
    let status = tasks.backend().status();
    let mut checks = own_checks(tasks).await;
    let routes = status.routes.iter().filter(|route| !route.label.ends_with("/other"));
    checks.extend(routes.map(|route| check(&format!("route {}", route.label), route.is_well(), route.describe())));
    let level = status.level;
    checks.push(check("brownout", level == Level::Normal, level.name().to_owned()));
    let off = Vec::from_iter(status.off).join(", ");
    checks.push(check("switch", off.is_empty(), if off.is_empty() { "on".to_owned() } else { format!("off: {off}") }));
    checks
}

fn check(name: &str, ok: bool, detail: String) -> HealthCheck {
    HealthCheck { name: name.to_owned(), ok, detail: Some(detail) }
}

async fn own_checks(tasks: &Tasks) -> Vec<HealthCheck> {
    let look = tasks.look().await;
    let store_detail = look.store.as_ref().map_or_else(String::clone, |()| tasks.store().name().into());
    let accepting = if tasks.is_draining() { "draining" } else { "accepting" };
    let mut checks = vec![
        check("store", look.store.is_ok(), store_detail),
        check("queue", true, format!("{} of {} waiting", look.waiting, tasks.config.queue)),
        check("server", !tasks.is_draining(), accepting.to_owned()),
        check("backend", true, tasks.route()),
    ];
    if let Some(connected) = look.redis {
        // Without it everything is right, only slower to be seen.
        let detail = if connected { "connected" } else { "not reachable; done without" };
        checks.push(check("redis", true, detail.to_owned()));
    }
    checks
}

fn health_of(status: &str, checks: Vec<HealthCheck>) -> Health {
    Health { status: status.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned(), checks }
}

async fn no_such_route() -> Problem {
    Problem::new(ErrorKind::BadParams, "find the page: there is no such route").status(StatusCode::NOT_FOUND)
}

async fn no_such_method() -> Problem {
    Problem::new(ErrorKind::BadParams, "do that: the route has no such method").status(StatusCode::METHOD_NOT_ALLOWED)
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let key = value.to_str().ok().filter(|key| {
        let visible = key.bytes().all(|byte| byte.is_ascii_graphic());
        visible && (1..=KEY_LENGTH).contains(&key.len())
    });
    match (key, values.next()) {
        (Some(key), None) => Ok(Some(key.to_owned())),
        _ => Err(Problem::new(
            ErrorKind::BadParams,
            format!("read Idempotency-Key: it must be one value of 1 to {KEY_LENGTH} visible characters"),
        )),
    }
}

/// A JSON body that is to be a `what`.
pub(super) fn read_json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
    what: &str,
) -> Result<T, Problem> {
    // Anything but JSON could be sent by a form on a web page, without the browser asking first.
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|value| value.trim().eq_ignore_ascii_case("application/json"));
    if !is_json {
        return Err(Problem::new(ErrorKind::BadParams, "read the body: it must be application/json")
            .status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let body = body.map_err(|rejection| {
        Problem::new(ErrorKind::BadParams, "read the body: it is too long or was cut off").status(rejection.status())
    })?;
    serde_json::from_slice(&body).map_err(|error| {
        Problem::new(
            ErrorKind::BadParams,
            format!("read the {what}: line {}, column {}: {}", error.line(), error.column(), reason(&error)),
        )
    })
}

/// The parser's sentence may quote the body; its class does not.
fn reason(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Eof => "the document ends too early",
        serde_json::error::Category::Syntax => "this is not JSON",
        serde_json::error::Category::Data => "a field is missing or has another type",
        serde_json::error::Category::Io => "it can not be read",
    }
}

async fn admit(
    State((tasks, scope)): State<(Arc<Tasks>, Scope)>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let address = address_of(&request, &tasks.config.proxies);
    let caller = caller_of(&tasks, request.headers(), address).await?;
    if !caller.may(scope) {
        let why = format!("admit the request: its token does not have the scope {}", scope.name());
        return Err(Problem::new(ErrorKind::Untrusted, why));
    }
    if tasks.door.is_guarded() {
        tasks.limiter.take(&caller.counted(), caller.rate.unwrap_or(tasks.config.rate)).await.map_err(too_often)?;
    }
    request.extensions_mut().insert(Tenant(caller.tenant.clone()));
    request.extensions_mut().insert(Asker(caller));
    Ok(next.run(request).await)
}

/// A token names the tenant. Where there is none only this machine's own programs get in: not a web page (`Origin`), and
/// not a name that was made to point here (`Host`).
async fn caller_of(tasks: &Tasks, headers: &HeaderMap, address: Option<IpAddr>) -> Result<Caller, Problem> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    // Also while nobody needs a token: the first one may have been made a moment ago.
    tasks.door.look().await;
    if !tasks.door.is_guarded() {
        let foreign = headers.contains_key(header::ORIGIN);
        let local = text(header::HOST).is_none_or(is_this_machine);
        return (local && !foreign).then(Caller::local).ok_or_else(|| {
            let why = "admit the request: without a token only programs on this machine may ask";
            Problem::new(ErrorKind::Untrusted, why)
        });
    }
    let stranger = address.map(|address| format!("address:{address}"));
    // Whoever guesses is not even compared.
    if let Some(wait) = stranger.as_ref().and_then(|name| tasks.limiter.is_spent(name, tasks.config.stranger_rate)) {
        return Err(too_often(wait));
    }
    if let Some(caller) = tasks.door.caller(text(header::AUTHORIZATION)).await {
        return Ok(caller);
    }
    if let Some(name) = stranger {
        tasks.limiter.take(&name, tasks.config.stranger_rate).await.map_err(too_often)?;
    }
    Err(Problem::new(ErrorKind::AuthFailed, "admit the request: its token is missing or not known").challenge())
}

fn too_often(wait: Duration) -> Problem {
    Problem::new(ErrorKind::Overloaded, "admit the request: there are too many").retry_after(wait.as_secs() + 1)
}

/// The peer's address, or what a trusted proxy says of it: the last one, which the proxy itself wrote.
fn address_of(request: &Request, proxies: &[IpAddr]) -> Option<IpAddr> {
    let peer = request.extensions().get::<Peer>()?.0.ip().to_canonical();
    if !proxies.contains(&peer) {
        return Some(peer);
    }
    let told = request.headers().get_all("x-forwarded-for").iter().next_back();
    let last = told.and_then(|value| value.to_str().ok()).and_then(|text| text.rsplit(',').next());
    last.and_then(|text| text.trim().parse().ok()).or(Some(peer))
}

fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let name = name.trim_end_matches('.');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A request that panics or takes too long is one failed request.
async fn bounded(State(tasks): Shared, request: Request, next: Next) -> Response {
    // A conversation's head comes with its whole answer, which has a deadline of its own.
    let limit = match request.uri().path() {
        "/v1/chat/completions" => tasks.config.task_timeout.max(tasks.config.request_timeout),
        _ => tasks.config.request_timeout,
    };
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(limit, answer).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            tracing::error!("a request panicked");
            Problem::new(ErrorKind::Internal, "answer the request").into_response()
        }
        Err(_) => {
            Problem::new(ErrorKind::BackendUnavailable, format!("answer the request within {} s", limit.as_secs()))
                .into_response()
        }
    }
}

/// The request's span, continued from its headers, and its place in the metrics.
async fn observed(State(tasks): Shared, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = metrics::known_method(request.method());
    let matched = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let name = matched.as_ref().map_or_else(|| method.to_owned(), |route| format!("{method} {route}"));
    let scheme = if tasks.config.tls.is_some() { "https" } else { "http" };
    let span = tracing::info_span!(
        parent: None,
        "http.request",
        otel.name = name,
        otel.kind = "server",
        otel.status_code = tracing::field::Empty,
        http.request.method = method,
        http.route = matched,
        url.path = matched.as_deref().map(|route| shown(request.uri().path(), route)),
        url.scheme = scheme,
        network.protocol.version = version(request.version()),
        http.response.status_code = tracing::field::Empty,
        "error.type" = tracing::field::Empty,
    );
    let context = propagation::continue_or_start_http(&span, request.headers());
    let response = propagation::in_trace(span.clone(), context, next.run(request)).await;
    let status = response.status();
    span.record("http.response.status_code", i64::from(status.as_u16()));
    // A client's mistake is no failure of this side.
    if status.is_server_error() {
        spans::failed(&span, status.as_str());
    }
    tasks.metrics.request(method, matched.as_deref().unwrap_or("other"), status.as_u16(), began.elapsed());
    response
}

/// The path as traces and logs may have it: where a part of it may be more than a name or an id, because somebody put a
/// file or a token there, the route stands for it. What is no page of ours has none.
fn shown<'a>(path: &'a str, route: &'a str) -> &'a str {
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
    let is_name = |part: &str| part.len() <= PATH_PART && part.bytes().all(plain);
    if path.split('/').all(is_name) { path } else { route }
}

fn version(version: axum::http::Version) -> &'static str {
    match version {
        axum::http::Version::HTTP_10 => "1.0",
        axum::http::Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

/// No answer of this service is a page, may be kept, or may be put into a frame.
async fn hardened(request: Request, next: Next) -> Response {
    const HEADERS: [(&str, &str); 5] = [
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ("referrer-policy", "no-referrer"),
        ("x-frame-options", "DENY"),
    ];
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_pass_without_a_token() {
        for host in ["localhost", "LOCALHOST:80", "127.0.0.1:4400", "127.9.9.9", "[::1]:4400", "localhost."] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example", "10.0.0.1:80", "[::2]", "", "localhost.evil"] {
            assert!(!is_this_machine(host), "{host}");
        }
    }

    #[test]
    fn what_may_be_a_secret_is_in_no_path_that_is_shown() {
        let task = "/tasks/01938a5e-5f1c-7c1e-9d3a-0b1c2d3e4f50/events";
        for (path, seen) in [
            (task, task),
            ("/tasks/krins_0123456789abcdef0123456789abcdef01234567", "/r"),
            ("/locks/src%2Fa.ts", "/r"),
            ("/tasks/a+b", "/r"),
        ] {
            assert_eq!(shown(path, "/r"), seen);
        }
    }

    #[test]
    fn every_route_is_in_the_openapi_document() {
        let mut served = std::collections::BTreeSet::new();
        for route in include_str!("routes.rs").lines().filter_map(|line| line.trim().strip_prefix(".route(\"")) {
            let (path, methods) = route.split_once("\", ").expect("a path, then its methods");
            for method in ["get", "post", "put", "patch", "delete"] {
                let is_served = methods.split('.').any(|served| served.starts_with(&format!("{method}(")));
                served.extend(is_served.then(|| (method.to_owned(), path.to_owned())));
            }
        }
        let told = krins_protocol::openapi::ROUTES.iter();
        assert_eq!(served, told.map(|route| (route.method.to_owned(), route.path.to_owned())).collect());
    }

    #[test]
    fn a_key_is_one_short_visible_word() {
        let headers = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            headers
        };
        assert!(matches!(idempotency_key(&headers(&[])), Ok(None)));
        assert!(matches!(idempotency_key(&headers(&["a-1"])), Ok(Some(key)) if key == "a-1"));
        for bad in [&[""][..], &["a b"], &["é"], &["a", "a"], &[&"k".repeat(256)]] {
            assert!(idempotency_key(&headers(bad)).is_err(), "{bad:?}");
        }
    }
}
