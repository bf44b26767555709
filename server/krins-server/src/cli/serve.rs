//! `krins serve`: the remote backend.

use super::args::Global;
use super::output::{CARE, Output, PLACE, STRONG, paint};
use super::{Done, setup};
use krins_backend::service::{Server, ServiceConfig, stop_signal};
use krins_backend::store::Store;
use krins_engine::{Error, ErrorKind};
use serde_json::json;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

pub async fn run(global: &Global, addr: &str, database: Option<PathBuf>, out: &mut Output) -> Done {
    let address: SocketAddr = addr.parse().map_err(|_| {
        Error::new(ErrorKind::BadParams, format!("use {addr:?} as an address"))
            .hint("HOST:PORT with a numeric host, such as 127.0.0.1:7117 or [::1]:7117")
    })?;
    let backend = setup(global)?.embedded_backend()?;
    let database = match database {
        Some(path) => path,
        None => default_database()?,
    };
    let store = Store::open(&database).map_err(|error| failed(&format!("open {}", database.display()), &error))?;
    let mut config = ServiceConfig::default();
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
