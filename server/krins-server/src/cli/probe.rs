//! `krins probe`: a task of its own through the whole way, from assign to diff, on two files that it makes. For whoever
//! watches a service: exit code, one JSON document, and a file that Prometheus' node exporter reads.

use super::args::{Global, Probe};
use super::output::{BAD, GOOD, Output, paint};
use super::{Done, assign, overrides};
use crate::setup::{Overrides, Setup};
use krins_core::text::Encoding;
use krins_engine::pipeline::Intent;
use krins_engine::tasks::TaskState;
use krins_engine::workspace::Root;
use krins_engine::{Error, ErrorKind};
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const FILES: [(&str, &str); 2] = [
    ("package.json", "{ \"name\": \"krins-probe\", \"private\": true }\n"),
    (
        "src/total.ts",
        "export function total(prices: number[]): number {\n  return prices.reduce((sum, price) => sum + price, 0);\n}\n",
    ),
];
const USER: (&str, &str) = (
    "src/bill.ts",
    "import { total } from './total';\n\nexport const bill = (prices: number[]) => `${total(prices)} EUR`;\n",
);
const WORDS: &str = "rename total to sumOfPrices";
/// What a sound answer holds, in both files.
const WANTED: &str = "sumOfPrices";

/// What one round came to.
#[derive(Debug, Serialize)]
struct Round {
    ok: bool,
    /// From assigning to the diff, the engine's start not counted.
    seconds: f64,
    route: Option<String>,
    error: Option<String>,
    hint: Option<String>,
}

pub async fn run(global: &Global, args: Probe, out: &mut Output) -> Done {
    let setup = Setup::load(chosen(global, &args))?;
    loop {
        let round = round(&setup, Duration::from_secs(args.timeout), out).await;
        show(&round, out);
        if let Some(path) = &args.textfile {
            write_figures(path, &round)?;
        }
        out.document(&round);
        let Some(every) = args.every else {
            return Ok(ExitCode::from(if round.ok { 0 } else { 3 }));
        };
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(every)) => {}
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
        }
    }
}

/// Without `--provider` the keyless refactorings answer, so that a probe costs nothing.
fn chosen(global: &Global, args: &Probe) -> Overrides {
    let given = overrides(global);
    let provider = given.provider.clone().or_else(|| Some("builtin".to_owned()));
    Overrides { provider, remote: args.url.clone(), ..given }
}

async fn round(setup: &Setup, timeout: Duration, out: &mut Output) -> Round {
    let started = Instant::now();
    let done = tokio::time::timeout(timeout, travel(setup, out)).await.unwrap_or_else(|_| {
        let message = format!("get a diff within {} s", timeout.as_secs());
        Err(Error::new(ErrorKind::BackendUnavailable, message).hint("look at the service's /health and its log"))
    });
    match done {
        Ok((seconds, route)) => Round { ok: true, seconds, route: Some(route), error: None, hint: None },
        Err(error) => Round {
            ok: false,
            seconds: started.elapsed().as_secs_f64(),
            route: None,
            error: Some(error.message),
            hint: error.hint,
        },
    }
}

/// The whole way once: a fresh directory with a state of its own, so that nothing of it stays and no cache answers.
async fn travel(setup: &Setup, out: &mut Output) -> Result<(f64, String), Error> {
    let place = tempfile::tempdir().map_err(|error| failed("make a directory", &error))?;
    let root = place.path().join("workspace");
    for (name, text) in FILES.iter().chain([&USER]) {
        let path = root.join(name);
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, text));
        made.map_err(|error| failed("write the sample", &error))?;
    }
    let engine =
        setup.clone().with_state(place.path().join("state")).engine(Root::open(&root)?, None, Encoding::Utf8)?;
    let started = Instant::now();
    let intent = Intent { words: WORDS.to_owned(), fresh: true, ..Intent::default() };
    let task = assign::finish(&engine, intent, out).await?;
    let seconds = started.elapsed().as_secs_f64();
    let review = engine.review(Some(&task.id))?;
    let right = task.state == TaskState::Ready && review.patch.unified().matches(WANTED).count() >= FILES.len();
    if !right {
        return Err(Error::new(ErrorKind::GateFailed, "get the change that was asked for: another diff came")
            .hint("the way works, its answer does not: look at the provider"));
    }
    Ok((seconds, task.answered.unwrap_or_default().route))
}

fn show(round: &Round, out: &mut Output) {
    let seconds = format!("{:.3} s", round.seconds);
    match (&round.route, &round.error) {
        (Some(route), _) => out.line(format!("{} {seconds} by {route}", paint(GOOD, "ok"))),
        (None, error) => {
            let error = error.as_deref().unwrap_or_default();
            out.line(format!("{} {seconds} failed to {error}", paint(BAD, "failed")));
        }
    }
}

/// In the text form, replaced as a whole so that nobody reads half of it.
fn write_figures(path: &Path, round: &Round) -> Result<(), Error> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let text = format!(
        "# HELP krins_probe_success Whether the last probe got the right diff.\n# TYPE krins_probe_success gauge\nkrins_probe_success {}\n\
         # HELP krins_probe_duration_seconds From assigning to the diff.\n# TYPE krins_probe_duration_seconds gauge\nkrins_probe_duration_seconds {:.6}\n\
         # HELP krins_probe_timestamp_seconds When the last probe ended.\n# TYPE krins_probe_timestamp_seconds gauge\nkrins_probe_timestamp_seconds {now}\n",
        u8::from(round.ok),
        round.seconds
    );
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = tempfile::NamedTempFile::new_in(directory).and_then(|mut file| {
        std::io::Write::write_all(&mut file, text.as_bytes())?;
        file.persist(path).map_err(|error| error.error)
    });
    written.map(drop).map_err(|error| failed(&format!("write {}", path.display()), &error))
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Internal, format!("{what}: {error}"))
}
