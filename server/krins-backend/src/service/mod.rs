//! `krins serve`: a [`Backend`] as a service. Tasks come in over HTTP, are on the disk before they are acknowledged, run by
//! a fixed number of workers, and are followed as server-sent events.
//!
//! Guarantees: an acknowledged task survives `kill -9` and ends exactly once; a run is at least once (a crash in the
//! middle of a model call repeats the call), and a task that was running in two crashes is dead, not run again. Cancelling drops the
//! ask, which closes the provider's connection. Over PostgreSQL all of this holds for any number of replicas: what one
//! accepted another may run, and a third be asked about.

mod admin;
mod audit;
mod auth;
mod chat;
mod dead;
mod fan;
mod graph;
mod limits;
pub(crate) mod listen;
mod locks;
mod problem;
mod reports;
mod router;
mod routes;
mod tasks;

pub use auth::{Fresh, Scope, TokenError, Tokens, Wanted, add_token, rotate_token, scopes};
pub use listen::{TlsError, tls};

use crate::Backend;
use crate::sealed::Sealed;
use crate::shared::Redis;
use crate::store::{Store, StoreError};
use axum::Router;
use krins_protocol::error::ErrorReport;
use krins_protocol::graph::{GraphParams, Question};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tasks::Tasks;
use tokio::net::TcpListener;

/// Connections get this long to read what is left after the last task is done.
const LAST_BYTES: Duration = Duration::from_secs(2);
const HOUR: Duration = Duration::from_secs(3600);
/// Between two looks at the queue.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// What this replica calls itself in leases and in a task's history.
    pub name: String,
    /// Tasks that run at the same time; without any, this replica only takes tasks in.
    pub workers: usize,
    /// Tasks that may wait; one more is answered 429.
    pub queue: usize,
    /// Tasks of one tenant that may be unfinished; one more is answered 429. Without it, what the queue allows.
    pub tenant_queue: Option<usize>,
    /// How long a worker may be silent before its tasks are somebody else's. It says so three times in that time.
    pub lease: Duration,
    /// How often replicas look for what no hint told them.
    pub poll: Duration,
    /// Runs of a task that fails for passing reasons without having made a model call.
    pub runs: u32,
    /// Crashes after which a task is dead.
    pub crashes: u32,
    /// The longest a task may run.
    pub task_timeout: Duration,
    /// The longest a request may take up to its answer's head.
    pub request_timeout: Duration,
    /// Bytes of a request's body.
    pub body_limit: usize,
    /// Silence on an event stream before a comment is sent.
    pub heartbeat: Duration,
    /// How long running tasks may go on after the signal to stop; then they are put back into the queue.
    pub grace: Duration,
    /// How long ended tasks, and with them their idempotency keys, are kept.
    pub retention: Duration,
    /// How long is kept what the records of sidecars' audits are about; the records stay.
    pub audit_retention: Duration,
    /// Who may use the service, beside the tokens of the store. Without any only this machine can.
    pub tokens: Tokens,
    /// Conversations that are answered at the same time.
    pub chats: usize,
    /// Requests per minute of one token; 0 is no limit. Where no token is needed there is none either.
    pub rate: u32,
    /// Requests per minute that come from one address without a good token; 0 is no limit.
    pub stranger_rate: u32,
    /// Whose `X-Forwarded-For` is believed.
    pub proxies: Vec<IpAddr>,
    /// Connections at the same time.
    pub connections: usize,
    /// How long a request's head may take, and a handshake.
    pub head_timeout: Duration,
    /// A certificate, for a listener that speaks TLS.
    pub tls: Option<Tls>,
    /// Carries hints and counts between replicas.
    pub redis: Option<Redis>,
    /// Who answers questions to a code graph; without one nobody does.
    pub graph: Option<Arc<dyn GraphQueries>>,
}

/// A TLS acceptor that says no more than that it is one.
#[derive(Clone)]
pub struct Tls(pub tokio_rustls::TlsAcceptor);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

/// Answers questions to a code graph. What it is the graph of is not known here.
pub trait GraphQueries: std::fmt::Debug + Send + Sync {
    /// The document that belongs to the question. Blocking.
    ///
    /// # Errors
    /// The message is a lowercase fragment that reads after "failed to".
    fn answer(&self, question: Question, params: &GraphParams) -> Result<serde_json::Value, ErrorReport>;
}

impl Default for ServiceConfig {
    fn default() -> Self {
        Self {
            name: "server".into(),
            workers: 4,
            queue: 64,
            tenant_queue: None,
            lease: Duration::from_secs(15),
            poll: Duration::from_secs(1),
            runs: 3,
            crashes: 2,
            task_timeout: Duration::from_secs(120),
            request_timeout: Duration::from_secs(30),
            body_limit: 32 << 20,
            heartbeat: Duration::from_secs(15),
            grace: Duration::from_secs(25),
            retention: 7 * 24 * HOUR,
            audit_retention: 90 * 24 * HOUR,
            tokens: Tokens::default(),
            chats: 512,
            rate: 1200,
            stranger_rate: 120,
            proxies: Vec::new(),
            connections: 1024,
            head_timeout: Duration::from_secs(10),
            tls: None,
            redis: None,
            graph: None,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(
        "listen on {0}: without a token only a loopback address is allowed; add one with `krins serve token add`, or set KRINS_SERVE_TOKEN"
    )]
    Unguarded(SocketAddr),
    #[error("listen on {address}")]
    Bind {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("take up the unfinished tasks")]
    Store(#[from] StoreError),
    #[error("serve")]
    Serve(#[source] std::io::Error),
}

/// The running service without a listener: workers, queue and router.
#[derive(Clone)]
pub struct Service {
    tasks: Arc<Tasks>,
}

impl Service {
    /// Takes up what the last process left, and starts the workers. Needs a Tokio runtime.
    pub async fn start(
        backend: Arc<dyn Backend>,
        store: Arc<dyn Store>,
        config: ServiceConfig,
    ) -> Result<Self, StoreError> {
        let tasks = Tasks::start(backend, store, config).await?;
        tokio::spawn(forget_old_tasks(Arc::clone(&tasks)));
        tokio::spawn(press(Arc::clone(&tasks)));
        Ok(Self { tasks })
    }

    pub fn router(&self) -> Router {
        routes::router(Arc::clone(&self.tasks))
    }

    /// Accepts and starts no more tasks, waits for the running ones as long as the grace allows, and puts the rest
    /// back into the queue for the next process.
    pub async fn drain(&self) {
        self.tasks.drain().await;
    }
}

/// The service bound to an address.
pub struct Server {
    listener: TcpListener,
    service: Service,
}

impl Server {
    /// Refuses an address that others can reach when nobody needs a token.
    pub async fn bind(
        address: SocketAddr,
        backend: Arc<dyn Backend>,
        store: impl Into<Arc<dyn Store>>,
        config: ServiceConfig,
    ) -> Result<Self, ServeError> {
        let store = store.into();
        let open = config.tokens.is_empty() && store.tokens().await?.iter().all(|token| token.expired);
        if open && !address.ip().is_loopback() {
            return Err(ServeError::Unguarded(address));
        }
        let listener = TcpListener::bind(address).await.map_err(|source| ServeError::Bind { address, source })?;
        let service = Service::start(backend, store, config).await?;
        Ok(Self { listener, service })
    }

    /// Where it listens; the port is real even when 0 was asked for.
    pub fn address(&self) -> Result<SocketAddr, ServeError> {
        self.listener.local_addr().map_err(ServeError::Serve)
    }

    /// Whether a token is asked for.
    pub fn is_guarded(&self) -> bool {
        self.service.tasks.door.is_guarded()
    }

    /// Serves until `stop`, then drains: readiness turns to 503 while followers are still served.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), ServeError> {
        let Self { listener, service } = self;
        let config = &service.tasks.config;
        let listening = listen::Listening {
            connections: config.connections,
            head: config.head_timeout,
            tls: config.tls.clone().map(|tls| tls.0),
        };
        let drained = tokio_util::sync::CancellationToken::new();
        let serving = listen::serve(listener, service.router(), listening, drained.clone());
        let draining = async {
            stop.await;
            service.drain().await;
            drained.cancel();
            tokio::time::sleep(LAST_BYTES).await;
        };
        tokio::select! {
            () = serving => {}
            () = draining => {}
        }
        Ok(())
    }
}

/// Binds and serves until `stop`.
pub async fn serve(
    address: SocketAddr,
    backend: Arc<dyn Backend>,
    store: impl Into<Arc<dyn Store>>,
    config: ServiceConfig,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    Server::bind(address, backend, store, config).await?.run(stop).await
}

/// What replicas keep answers in together: Redis, under a secret that is made once and that only the database knows.
pub async fn shared_answers(store: &dyn Store, redis: &Redis) -> Result<Sealed, TokenError> {
    let secret = store.secret("answers", &auth::random_hex()?).await?;
    Sealed::new(Arc::new(redis.clone()), secret.as_bytes()).map_err(|error| TokenError::Random(error.to_string()))
}

/// Resolves when the process is asked to end: SIGTERM, SIGINT or Ctrl-C.
pub async fn stop_signal() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending::<()>().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}

/// Tells the backend how long the oldest task has waited, which moves its brownout level.
async fn press(tasks: Arc<Tasks>) {
    while !tasks.is_draining() {
        // Without the store, the age of before.
        let _ = tasks.count().await;
        tasks.backend().press(tasks.queue_age());
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = tasks.drain_began() => {}
        }
    }
}

async fn forget_old_tasks(tasks: Arc<Tasks>) {
    while !tasks.is_draining() {
        tasks.purge().await;
        tokio::select! {
            () = tokio::time::sleep(HOUR) => {}
            () = tasks.drain_began() => {}
        }
    }
}
