//! A page for the one person of this machine: served on the loopback address, behind a random token in its address. What
//! the page shows is the caller's to say.
//!
//! Others on the machine, and pages of other origins in the same browser, get nothing: the token is in the path, the host
//! that a request names has to be this one, nothing but GET is answered, and no answer may be read by another origin, kept
//! or framed. The address that a browser is started with can be read by others, for it stands on a command line: it holds a
//! ticket that is good once and not for long.

use crate::service::listen::{Listening, serve};
use async_trait::async_trait;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use krins_core::Digest;
use krins_protocol::error::ErrorReport;
use krins_protocol::report::{Period, Report};
use serde::Deserialize;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A person has a few tabs.
const CONNECTIONS: usize = 32;
const HEAD: Duration = Duration::from_secs(5);
/// How long a started browser may take to come.
const TICKET: Duration = Duration::from_secs(120);

/// A page as it is served.
#[derive(Clone, Debug)]
pub struct Document {
    pub html: String,
    /// Its content security policy.
    pub policy: String,
}

/// What is shown.
#[async_trait]
pub trait Board: Send + Sync {
    async fn page(&self, period: Period) -> Result<Document, ErrorReport>;

    async fn report(&self, period: Period) -> Result<Report, ErrorReport>;
}

#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    #[error("listen on 127.0.0.1:{port}: {source}")]
    Bind { port: u16, source: std::io::Error },
}

/// The page, bound to a port.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    desk: Arc<Desk>,
}

struct Desk {
    board: Arc<dyn Board>,
    token: String,
    ticket: Mutex<Option<(String, Instant)>>,
    hosts: [String; 2],
}

impl Server {
    /// Port 0 is any that is free.
    pub async fn bind(port: u16, board: Arc<dyn Board>) -> Result<Self, BoardError> {
        let failed = |source| BoardError::Bind { port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let hosts = ["127.0.0.1", "localhost"].map(|name| format!("{name}:{}", address.port()));
        let desk = Arc::new(Desk { board, token: secret(), ticket: Mutex::default(), hosts });
        Ok(Self { listener, address, desk })
    }

    /// Where the page is; whoever knows it can read the page.
    pub fn url(&self) -> String {
        format!("http://{}/{}/", self.address, self.desk.token)
    }

    /// An address that leads there once.
    pub fn ticket(&self) -> String {
        let ticket = secret();
        let url = format!("http://{}/open/{ticket}", self.address);
        *self.desk.ticket() = Some((ticket, Instant::now()));
        url
    }

    /// Serves until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let listening = Listening { connections: CONNECTIONS, head: HEAD, tls: None };
        serve(self.listener, router(self.desk), listening, stop).await;
    }
}

impl Desk {
    fn ticket(&self) -> std::sync::MutexGuard<'_, Option<(String, Instant)>> {
        self.ticket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_ours(&self, headers: &HeaderMap) -> bool {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        host.is_some_and(|host| self.hosts.iter().any(|ours| ours.eq_ignore_ascii_case(host)))
    }
}

/// 244 random bits.
fn secret() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

/// Takes the same time whatever is in them.
fn same(one: &str, other: &str) -> bool {
    Digest::of(one) == Digest::of(other)
}

fn router(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/open/{ticket}", get(open))
        // Browsers ask for it, and say so when there is none.
        .route("/favicon.ico", get(|| async { StatusCode::NO_CONTENT }))
        .route("/{token}/", get(page))
        .route("/{token}/report", get(report))
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(from_fn_with_state(Arc::clone(&desk), guarded))
        .with_state(desk)
}

async fn guarded(State(desk): State<Arc<Desk>>, request: axum::extract::Request, next: Next) -> Response {
    let refused = match request.method() {
        &Method::GET | &Method::HEAD => (!desk.is_ours(request.headers())).then_some(StatusCode::MISDIRECTED_REQUEST),
        _ => Some(StatusCode::METHOD_NOT_ALLOWED),
    };
    let mut response = match refused {
        Some(status) => status.into_response(),
        None => next.run(request).await,
    };
    let fixed = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn open(State(desk): State<Arc<Desk>>, Path(ticket): Path<String>) -> Response {
    // Taken away whatever comes: who guesses wrong once has spoilt it, and the person has the address in the terminal.
    let good = desk.ticket().take().filter(|(good, since)| since.elapsed() < TICKET && same(good, &ticket));
    match good {
        Some(_) => (StatusCode::SEE_OTHER, [(header::LOCATION, format!("/{}/", desk.token))]).into_response(),
        None => (StatusCode::GONE, "This address was good once. The one in the terminal still is.").into_response(),
    }
}

#[derive(Debug, Default, Deserialize)]
struct Asked {
    #[serde(default)]
    period: Period,
}

async fn page(State(desk): State<Arc<Desk>>, Path(token): Path<String>, asked: Query<Asked>) -> Response {
    if !same(&desk.token, &token) {
        return StatusCode::NOT_FOUND.into_response();
    }
    match desk.board.page(asked.period).await {
        Ok(Document { html, policy }) => {
            let kind = HeaderValue::from_static("text/html; charset=utf-8");
            let policy = HeaderValue::from_str(&format!("{policy}; frame-ancestors 'none'"));
            let Ok(policy) = policy else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
            ([(header::CONTENT_TYPE, kind), (header::CONTENT_SECURITY_POLICY, policy)], html).into_response()
        }
        Err(error) => failed(&error),
    }
}

async fn report(State(desk): State<Arc<Desk>>, Path(token): Path<String>, asked: Query<Asked>) -> Response {
    if !same(&desk.token, &token) {
        return StatusCode::NOT_FOUND.into_response();
    }
    match desk.board.report(asked.period).await {
        Ok(report) => axum::Json(report).into_response(),
        Err(error) => failed(&error),
    }
}

fn failed(error: &ErrorReport) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, axum::Json(error)).into_response()
}
