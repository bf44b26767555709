//! `krins serve`: the remote backend.

use super::args::{Global, Serve, ServeCommand, TokenCommand};
use super::output::{CARE, Output, PLACE, STRONG, paint};
use super::{Done, engine_with, setup};
use crate::questions::{self, Door};
use crate::to_proto;
use krins_backend::calls::Calls;
use krins_backend::chaos::ChaosConfig;
use krins_backend::money::dollars;
use krins_backend::service::{self, GraphQueries, Server, ServiceConfig, stop_signal};
use krins_backend::shared::Redis;
use krins_backend::store::{Hint, Person, Postgres, Sqlite, Store, StoreError, TokenRow};
use krins_engine::{Engine, Error, ErrorKind};
use krins_protocol::error::ErrorReport;
use krins_protocol::graph::{GraphParams, Question};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);

pub async fn run(global: &Global, args: Serve, out: &mut Output) -> Done {
    match &args.command {
        Some(ServeCommand::Token { command }) => token(global, command, args.database.as_deref(), out).await,
        None => serve(global, args, out).await,
    }
}

async fn serve(global: &Global, args: Serve, out: &mut Output) -> Done {
    let address: SocketAddr = args.addr.parse().map_err(|_| {
        Error::new(ErrorKind::BadParams, format!("use {:?} as an address", args.addr))
            .hint("HOST:PORT with a numeric host, such as 127.0.0.1:7117 or [::1]:7117")
    })?;
    let place = place(args.database.as_deref())?;
    let books = match &place {
        Place::File(path) => path.with_file_name(crate::setup::BOOKS),
        Place::Postgres(_) => default_database()?.with_file_name(crate::setup::BOOKS),
    };
    let chaos = args.chaos.as_deref().map(|words| drill(words, &address)).transpose()?;
    let drilled = chaos.as_ref().map(|chaos| chaos.words().to_owned());
    let config = config(global, &args)?;
    let store = open(global, &place, false).await?;
    let shared = match &config.redis {
        Some(redis) => {
            let shared = service::shared_answers(store.as_ref(), redis).await;
            Some(shared.map_err(|error| failed("share answers", &error))?)
        }
        None => None,
    };
    let ledger = Arc::new(Calls::new(Arc::clone(&store)));
    let backend = setup(global)?.embedded_backend(books, ledger, shared, chaos)?;
    let open = config.tokens.is_empty();
    let tls = config.tls.is_some();
    let route = backend.route();
    let server = Server::bind(address, backend, store, config).await.map_err(|error| {
        failed("start the service", &error).hint("another program may use the port; choose one with --addr")
    })?;
    let address = server.address().map_err(|error| failed("start the service", &error))?;
    let open = open && !server.is_guarded();
    out.document(&json!({"address": address.to_string(), "database": place.shown(), "route": route, "tls": tls}));
    let scheme = if tls { "https" } else { "http" };
    out.line(format!(
        "{} on {}  tasks in {}  default {route}",
        paint(STRONG, "krins serve"),
        paint(PLACE, format!("{scheme}://{address}")),
        place.shown()
    ));
    if let Some(words) = drilled {
        tracing::warn!(faults = %words, "a drill: calls to providers fail on purpose");
        out.line(format!("{} a drill: calls to providers fail on purpose ({words})", paint(CARE, "note")));
    }
    if open {
        out.line(format!("{} there is no token: only this machine can use it", paint(CARE, "note")));
    }
    if !open && !tls && !address.ip().is_loopback() {
        out.line(format!(
            "{} tokens and code go over the network unencrypted unless a proxy in front speaks TLS",
            paint(CARE, "note")
        ));
    }
    server.run(stop_signal()).await.map_err(|error| failed("serve", &error))?;
    Ok(ExitCode::SUCCESS)
}

/// Faults on purpose are for those who asked for them.
fn drill(words: &str, address: &SocketAddr) -> Result<ChaosConfig, Error> {
    let chaos: ChaosConfig = words.parse().map_err(|error: krins_backend::chaos::BadChaos| {
        Error::new(ErrorKind::BadParams, error.to_string()).hint("such as 429=0.1,reset=0.02,latency=0.2:800ms,seed=7")
    })?;
    if !address.ip().is_loopback() {
        return Err(Error::new(
            ErrorKind::BadParams,
            format!("make calls fail on purpose on {address}: others can reach it"),
        )
        .hint("drills are for a loopback address"));
    }
    Ok(chaos)
}

fn config(global: &Global, args: &Serve) -> Result<ServiceConfig, Error> {
    let mut config = ServiceConfig {
        name: args.name.clone().unwrap_or_else(own_name),
        workers: usize::from(args.workers),
        queue: args.queue as usize,
        tenant_queue: args.tenant_queue.map(|limit| limit as usize),
        lease: Duration::from_secs(args.lease),
        grace: Duration::from_secs(u64::from(args.grace)),
        retention: DAY * args.keep.max(1),
        audit_retention: DAY * args.audit_days,
        rate: args.rate,
        proxies: args.proxy.clone(),
        graph: graph(global)?,
        ..ServiceConfig::default()
    };
    if let Ok(token) = std::env::var("KRINS_SERVE_TOKEN") {
        config.tokens.add_clear(&token).map_err(|error| failed("take KRINS_SERVE_TOKEN", &error))?;
    }
    if let Some(address) = &args.redis {
        config.redis = Some(Redis::new(address).map_err(|error| {
            Error::new(ErrorKind::BadParams, error.to_string()).hint("such as redis://127.0.0.1:6379/0")
        })?);
    }
    if let (Some(certificate), Some(key)) = (&args.tls_cert, &args.tls_key) {
        let acceptor = service::tls(certificate, key).map_err(|error| failed("set up TLS", &error))?;
        config.tls = Some(service::Tls(acceptor));
    }
    Ok(config)
}

/// Where tasks are kept.
enum Place {
    File(PathBuf),
    Postgres(String),
}

impl Place {
    /// Never an address: it may hold a password.
    fn shown(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Postgres(_) => "postgresql".to_owned(),
        }
    }
}

fn place(database: Option<&str>) -> Result<Place, Error> {
    Ok(match database {
        Some(address) if Postgres::is_address(address) => Place::Postgres(address.to_owned()),
        Some(path) => Place::File(PathBuf::from(path)),
        None => Place::File(default_database()?),
    })
}

/// For a service, or for a command beside one.
async fn open(global: &Global, place: &Place, beside: bool) -> Result<Arc<dyn Store>, Error> {
    match place {
        Place::File(path) => {
            let opened = if beside { Sqlite::open_beside(path) } else { Sqlite::open(path) };
            let store = opened.map_err(|error| failed(&format!("open {}", path.display()), &error))?;
            Ok(store.into())
        }
        Place::Postgres(address) => {
            let settings = setup(global)?.settings(None, None)?;
            let password = std::env::var("PGPASSWORD").ok();
            let opened = Postgres::open(address, password.as_deref(), settings.http.extra_ca.as_deref()).await;
            let store = opened.map_err(|error| {
                let kind = match error {
                    StoreError::Address(_) => ErrorKind::BadParams,
                    _ => ErrorKind::BackendUnavailable,
                };
                Error { kind, ..failed("open the database", &error) }
                    .hint("such as postgres://USER@HOST/NAME, with the password in PGPASSWORD")
            })?;
            Ok(store.into())
        }
    }
}

async fn token(global: &Global, command: &TokenCommand, database: Option<&str>, out: &mut Output) -> Done {
    let store = open(global, &place(database)?, true).await?;
    let wrong = |error: service::TokenError| {
        let kind = match error {
            service::TokenError::Tenant | service::TokenError::Person | service::TokenError::Unknown(_) => {
                ErrorKind::BadParams
            }
            _ => ErrorKind::Internal,
        };
        Error { kind, ..failed("change the tokens", &error) }
    };
    match command {
        TokenCommand::Add { tenant, scopes, days, person, rate, micros_per_day } => {
            let scopes = service::scopes(&scopes.join(",")).ok_or_else(|| {
                Error::new(ErrorKind::BadParams, "use the scopes".to_owned()).hint("they are tasks, metrics and admin")
            })?;
            let wanted = service::Wanted {
                tenant: tenant.clone(),
                scopes,
                person: Person { name: person.clone().unwrap_or_default(), micros_per_day: *micros_per_day },
                rate: *rate,
                lifetime: days.map(|days| DAY * days),
            };
            let fresh = service::add_token(store.as_ref(), wanted).await.map_err(wrong)?;
            show(&fresh, out);
        }
        TokenCommand::Rotate { id, overlap, days } => {
            let (overlap, lifetime) = (Duration::from_secs(3600) * *overlap, days.map(|days| DAY * days));
            let fresh = service::rotate_token(store.as_ref(), id, overlap, lifetime).await.map_err(wrong)?;
            show(&fresh, out);
        }
        TokenCommand::Revoke { id } => {
            let ended = store.end_token(id, Duration::ZERO).await.map_err(|error| failed("end the token", &error))?;
            if !ended {
                return Err(wrong(service::TokenError::Unknown(id.clone())));
            }
            out.document(&json!({"id": id, "revoked": true}));
            out.line(format!("{id} opens nothing any more"));
        }
        TokenCommand::List => {
            let rows = store.tokens().await.map_err(|error| failed("list the tokens", &error))?;
            let seconds = |row: &TokenRow| row.left.map(|left| left.as_secs());
            let documents: Vec<Value> = rows
                .iter()
                .map(|row| {
                    json!({"id": row.id, "tenant": row.tenant, "scopes": row.scopes, "created_ms": row.created_ms,
                           "left_seconds": seconds(row), "ended": row.expired, "person": person_of(row),
                           "rate": row.rate, "micros_per_day": row.person.micros_per_day})
                })
                .collect();
            out.document(&json!({"tokens": documents}));
            for row in &rows {
                let end = match (row.expired, row.left) {
                    (true, _) => "ended".to_owned(),
                    (false, None) => "does not end".to_owned(),
                    (false, Some(left)) => format!("ends in {} h", left.as_secs() / 3600),
                };
                let limits = [
                    row.rate.map(|rate| format!("  {rate} requests a minute")),
                    row.person.micros_per_day.map(|micros| format!("  {} a day", dollars(micros))),
                ];
                let limits: String = limits.into_iter().flatten().collect();
                out.line(format!(
                    "{}  {}/{}  {}  {end}{limits}",
                    paint(STRONG, &row.id),
                    row.tenant,
                    person_of(row),
                    row.scopes
                ));
            }
        }
    }
    // Replicas that listen know at once; others within seconds.
    if let Err(error) = store.publish(&[Hint::Tokens]).await {
        tracing::debug!(%error, "failed to tell the replicas");
    }
    Ok(ExitCode::SUCCESS)
}

/// Whoever is not named is somebody of their own.
fn person_of(row: &TokenRow) -> &str {
    if row.person.name.is_empty() { &row.id } else { &row.person.name }
}

/// The only time that the secret is seen.
fn show(fresh: &service::Fresh, out: &mut Output) {
    out.document(&json!({"id": fresh.id, "token": fresh.secret}));
    out.line(&fresh.secret);
    out.line(format!("{} this is {}; it is not shown again", paint(CARE, "note"), fresh.id));
}

/// The host's name and the process, so that a history says who it was.
fn own_name() -> String {
    let name = rustix::system::uname();
    format!("{}/{}", name.nodename().to_string_lossy(), std::process::id())
}

/// The engine of `--root`, when one is named: `krins serve` is about no workspace by itself.
fn graph(global: &Global) -> Result<Option<Arc<dyn GraphQueries>>, Error> {
    let Some(root) = &global.root else { return Ok(None) };
    let engine = engine_with(&setup(global)?, root)?;
    // The first question should not have to wait for the index.
    let warm = engine.clone();
    tokio::task::spawn_blocking(move || drop(warm.graph()));
    Ok(Some(Arc::new(Graph { engine })))
}

/// The code graph of one root, as the service asks it.
struct Graph {
    engine: Engine,
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graph").field("root", &self.engine.root().path()).finish()
    }
}

impl GraphQueries for Graph {
    fn answer(&self, question: Question, params: &GraphParams) -> Result<Value, ErrorReport> {
        questions::answer(&self.engine, question, params, Door::Http).map_err(|error| {
            // A problem's detail is the bare fragment.
            ErrorReport { message: error.message.clone(), ..to_proto::error(&error) }
        })
    }
}

fn default_database() -> Result<PathBuf, Error> {
    let base = krins_engine::state::base_dir(&|name| std::env::var_os(name))?;
    let dir = base.join("serve");
    // Private: the database holds what is asked, which is source code.
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)
        .map_err(|error| Error::new(ErrorKind::Internal, format!("make {}: {error}", dir.display())))?;
    Ok(dir.join("tasks.sqlite"))
}

fn failed(what: &str, error: &dyn std::error::Error) -> Error {
    let mut message = format!("{what}: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        message.push_str(&format!(": {error}"));
        cause = error.source();
    }
    Error::new(ErrorKind::Internal, message)
}
