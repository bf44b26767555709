//! `krins serve`: the remote backend.

use super::args::Global;
use super::output::{CARE, Output, PLACE, STRONG, paint};
use super::{Done, engine_with, setup};
use crate::questions::{self, Door};
use crate::to_proto;
use krins_backend::service::{GraphQueries, Server, ServiceConfig, stop_signal};
use krins_backend::store::Store;
use krins_engine::{Engine, Error, ErrorKind};
use krins_protocol::error::ErrorReport;
use krins_protocol::graph::{GraphParams, Question};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

pub async fn run(global: &Global, addr: &str, database: Option<PathBuf>, out: &mut Output) -> Done {
    let address: SocketAddr = addr.parse().map_err(|_| {
        Error::new(ErrorKind::BadParams, format!("use {addr:?} as an address"))
            .hint("HOST:PORT with a numeric host, such as 127.0.0.1:7117 or [::1]:7117")
    })?;
    let database = match database {
        Some(path) => path,
        None => default_database()?,
    };
    let backend = setup(global)?.embedded_backend(database.with_file_name(crate::setup::BOOKS))?;
    let store = Store::open(&database).map_err(|error| failed(&format!("open {}", database.display()), &error))?;
    let mut config = ServiceConfig { graph: graph(global)?, ..ServiceConfig::default() };
    if let Ok(token) = std::env::var("KRINS_SERVE_TOKEN") {
        config.tokens.add_clear(&token).map_err(|error| failed("take KRINS_SERVE_TOKEN", &error))?;
    }
    let open = config.tokens.is_empty();
    let route = backend.route();
    let server = Server::bind(address, backend, store, config).await.map_err(|error| {
        failed("start the service", &error).hint("another program may use the port; choose one with --addr")
    })?;
    let address = server.address().map_err(|error| failed("start the service", &error))?;
    out.document(&json!({"address": address.to_string(), "database": database, "route": route}));
    out.line(format!(
        "{} on {}  tasks in {}  default {route}",
        paint(STRONG, "krins serve"),
        paint(PLACE, format!("http://{address}")),
        database.display()
    ));
    if open {
        out.line(format!("{} no token is set: only this machine can use it", paint(CARE, "note")));
    }
    server.run(stop_signal()).await.map_err(|error| failed("serve", &error))?;
    Ok(ExitCode::SUCCESS)
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
