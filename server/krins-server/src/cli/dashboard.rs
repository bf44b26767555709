//! `krins dashboard`: the figures as a page on this machine, or as a file.

use super::args::{Dashboard, Global};
use super::output::{DIM, Output, PLACE, paint};
use super::{Done, engine};
use crate::dashboard::{Home, document};
use crate::to_proto;
use async_trait::async_trait;
use krins_backend::board::{Board, Document, Server};
use krins_backend::service::stop_signal;
use krins_engine::{Engine, Error, ErrorKind};
use krins_protocol::error::ErrorReport;
use krins_protocol::report::{Period, Report};
use serde_json::json;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

pub async fn run(global: &Global, args: Dashboard, out: &mut Output) -> Done {
    let engine = engine(global)?;
    let period = args.period.into();
    if let Some(path) = args.html {
        return write(&engine, period, &path, out).await;
    }
    let server = Server::bind(args.port, Arc::new(Figures { engine })).await.map_err(|error| {
        Error::new(ErrorKind::BadParams, error.to_string())
            .hint("another program may have the port; without --port one that is free is taken")
    })?;
    let url = match period {
        Period::Week => server.url(),
        period => format!("{}?period={}", server.url(), period.name()),
    };
    out.document(&json!({"url": url}));
    out.line(format!("{}  {}", paint(PLACE, &url), paint(DIM, "Ctrl-C ends it")));
    if !args.no_open && !open(&server.ticket()) {
        out.line("no browser could be started: open the address yourself");
    }
    let stop = CancellationToken::new();
    let signal = stop.clone();
    tokio::spawn(async move {
        stop_signal().await;
        signal.cancel();
    });
    server.run(stop).await;
    Ok(ExitCode::SUCCESS)
}

async fn write(engine: &Engine, period: Period, path: &Path, out: &mut Output) -> Done {
    let report = engine.report(period).await?;
    let (html, _) = document(&report, Home::File)?;
    std::fs::write(path, &html)
        .map_err(|error| Error::new(ErrorKind::BadParams, format!("write {}: {error}", path.display())))?;
    out.document(&json!({"file": path, "bytes": html.len()}));
    out.line(format!("wrote {}", paint(PLACE, path.display())));
    Ok(ExitCode::SUCCESS)
}

/// The figures of one workspace.
struct Figures {
    engine: Engine,
}

#[async_trait]
impl Board for Figures {
    async fn page(&self, period: Period) -> Result<Document, ErrorReport> {
        let report = self.report(period).await?;
        let (html, policy) = document(&report, Home::Server).map_err(|error| to_proto::error(&error))?;
        Ok(Document { html, policy })
    }

    async fn report(&self, period: Period) -> Result<Report, ErrorReport> {
        self.engine.report(period).await.map_err(|error| to_proto::error(&error))
    }
}

/// Starts a browser, and says whether that seems to have worked. The person's `BROWSER` comes first.
fn open(url: &str) -> bool {
    let chosen = std::env::var("BROWSER").ok().filter(|browser| !browser.is_empty());
    let mut commands: Vec<Vec<String>> = Vec::new();
    for browser in chosen.iter().flat_map(|browsers| browsers.split(':')) {
        // `BROWSER` is a list of programs, some with words of their own, and %s where the address goes.
        let mut words: Vec<String> = browser.split_whitespace().map(|word| word.replace("%s", url)).collect();
        if !browser.contains("%s") {
            words.push(url.to_owned());
        }
        commands.push(words);
    }
    if cfg!(target_os = "macos") {
        commands.push(vec!["open".to_owned(), url.to_owned()]);
    } else if cfg!(windows) {
        commands.push(["rundll32", "url.dll,FileProtocolHandler", url].map(str::to_owned).into());
    } else if ["DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME"].iter().any(|name| std::env::var_os(name).is_some()) {
        // Without a display it would start a browser in this terminal, or none.
        commands.push(vec!["xdg-open".to_owned(), url.to_owned()]);
        commands.push(vec!["wslview".to_owned(), url.to_owned()]);
    }
    commands.iter().any(|words| start(words))
}

fn start(words: &[String]) -> bool {
    let Some((program, args)) = words.split_first() else { return false };
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return false };
    // It ends when it likes; somebody has to take its end.
    drop(std::thread::Builder::new().name("krins-browser".into()).spawn(move || child.wait()));
    true
}
