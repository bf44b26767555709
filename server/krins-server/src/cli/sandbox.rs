//! `krins sandbox`: one command, run as the gate runs it.

use super::args::{Global, Sandbox};
use super::output::{DIM, Output, paint};
use super::{Done, engine};
use krins_engine::runner::{Ran, Stop, StopOnDrop};
use krins_engine::sandbox::End;
use krins_engine::{Error, ErrorKind};
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;

pub async fn run(global: &Global, args: Sandbox, out: &mut Output) -> Done {
    let engine = engine(global)?;
    let stop = Stop::default();
    let guard = StopOnDrop(stop.clone());
    let timeout = args.timeout.map(|seconds| Duration::from_secs(seconds.clamp(1, 24 * 3600)));
    let mut work = tokio::task::spawn_blocking(move || {
        engine.run_in_sandbox(&args.command, timeout, !args.without_namespaces, stop)
    });
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    let done = tokio::select! {
        done = &mut work => done,
        _ = &mut interrupted => {
            drop(guard);
            work.await
        }
    };
    let ran = done.map_err(|error| Error::new(ErrorKind::Internal, format!("run the command: {error}")))??;
    show(&ran, out);
    Ok(match ran.end {
        End::Code(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        End::Signal(_) | End::TimedOut | End::Stopped => ExitCode::from(1),
    })
}

fn show(ran: &Ran, out: &mut Output) {
    out.document(&json!({
        "end": ran.end,
        "sandbox": ran.enforced,
        "stdout": ran.stdout.text(),
        "stderr": ran.stderr.text(),
        "dropped": [ran.stdout.dropped(), ran.stderr.dropped()],
        "millis": ran.millis,
    }));
    out.line(ran.stdout.text().trim_end());
    out.line(ran.stderr.text().trim_end());
    out.line(paint(DIM, format!("{} in {:.0} ms; {}", ran.end.describe(), ran.millis, ran.enforced.describe())));
}
