//! `krins report`: what calls to models cost, and what came of it.

mod sheet;

use super::args::{Form, Global, ReportCommand, Written};
use super::output::{DIM, Output, PLACE, STRONG, paint};
use super::{Done, engine};
use crate::dashboard::{Home, document as page};
use krins_backend::money::books::Which;
use krins_backend::money::{Books, Day, Entry, LedgerError, Total, dollars};
use krins_engine::{Engine, Error, ErrorKind};
use krins_protocol::report::{Period, Report};
use serde_json::{Value, json};
use sheet::{Sheet, Worth};
use std::process::ExitCode;
use std::sync::Arc;

pub async fn run(global: &Global, command: ReportCommand, out: &mut Output) -> Done {
    let engine = engine(global)?;
    match command {
        ReportCommand::Weekly { written } => weekly(&engine, &written, out).await,
        ReportCommand::Roi { days, minutes, hourly, written } => {
            let worth = minutes.zip(hourly).map(|(minutes, hourly)| Worth { minutes, hourly });
            roi(&engine, days, worth, &written, out).await
        }
        ReportCommand::Slo { written } => slo(&engine, &written, out).await,
        ReportCommand::Open => open(&books(&engine)?, out).await,
        ReportCommand::Reconcile { id, micros } => reconcile(&books(&engine)?, &id, micros, out).await,
    }
}

/// An amount that may not be known.
pub fn price(micros: Option<u64>) -> String {
    micros.map_or_else(|| "? (price not known)".to_owned(), dollars)
}

/// The figures of a report's time as text.
pub fn overview(report: &Report) -> String {
    sheet::overview(report).text()
}

/// One line: what the calls of a task took.
pub fn bill(calls: &[Entry]) -> String {
    let total = Total::of(calls);
    let usage = &total.usage;
    let input = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens;
    let estimated = if usage.estimated { ", partly estimated" } else { "" };
    let failed = calls.iter().filter(|call| call.outcome != "ok").count();
    let failed = if failed > 0 { format!(", {failed} of them without an answer") } else { String::new() };
    format!(
        "{} {}  {} calls{failed}, {input} tokens in, {} out{estimated}",
        paint(STRONG, "cost"),
        price(total.cost()),
        total.calls,
        usage.output_tokens
    )
}

fn books(engine: &Engine) -> Result<Arc<Books>, Error> {
    engine.backend().books().ok_or_else(|| {
        Error::new(ErrorKind::BadParams, "read the ledger: a remote backend keeps its own")
            .hint("GET /reports/weekly of the service says what was spent")
    })
}

/// Writes the sheet as it was asked for.
fn write(sheet: &Sheet, report: &Report, document: &Value, wanted: &Written, out: &mut Output) -> Result<(), Error> {
    let bytes = match wanted.format {
        Form::Text if out.is_json() => {
            let text = serde_json::to_string_pretty(document).unwrap_or_default();
            format!("{text}\n").into_bytes()
        }
        Form::Text => sheet.text().into_bytes(),
        Form::Md => sheet.markdown().into_bytes(),
        Form::Csv => sheet.csv().into_bytes(),
        Form::Html => page(report, Home::File)?.0.into_bytes(),
        Form::Pdf => sheet.pdf(env!("CARGO_PKG_VERSION")),
    };
    match &wanted.output {
        None => out.raw(&bytes),
        Some(path) => {
            std::fs::write(path, &bytes)
                .map_err(|error| Error::new(ErrorKind::BadParams, format!("write {}: {error}", path.display())))?;
            out.line(format!("wrote {}", paint(PLACE, path.display())));
        }
    }
    Ok(())
}

/// What was asked for by name before there were more figures, and all of them.
fn document(report: &Report) -> Value {
    let spent = &report.spent;
    let tokens = &spent.tokens;
    let of_calls = json!({
        "input": tokens.input,
        "output": tokens.output,
        "cacheRead": tokens.cache_read,
        "cacheWrite": tokens.cache_write,
    });
    json!({
        "since": day(report.since),
        "until": day(report.until),
        "calls": spent.calls,
        "open": spent.open,
        "tasks": spent.tasks,
        "accepted": report.tasks.accepted,
        "tokens": of_calls,
        "estimated": spent.estimated,
        "micros": spent.micros,
        "microsKnown": spent.known_micros,
        "unpriced": spent.unpriced,
        "microsPerAccepted": spent.micros_per_accepted,
        "report": report,
    })
}

async fn weekly(engine: &Engine, wanted: &Written, out: &mut Output) -> Done {
    let report = engine.report(Period::Week).await?;
    let mut document = document(&report);
    document["days"] = report.buckets.iter().map(|bucket| (day(bucket.start), json!(bucket))).collect();
    write(&sheet::weekly(&report), &report, &document, wanted, out)?;
    Ok(ExitCode::SUCCESS)
}

async fn roi(engine: &Engine, days: u32, worth: Option<Worth>, wanted: &Written, out: &mut Output) -> Done {
    let report = engine.report_of_days(days).await?;
    let mut document = document(&report);
    if let Some(worth) = worth {
        document["worthMicros"] = json!(worth.of(report.tasks.accepted));
    }
    write(&sheet::roi(&report, worth), &report, &document, wanted, out)?;
    Ok(ExitCode::SUCCESS)
}

/// Exit code 1 when an objective is missed.
async fn slo(engine: &Engine, wanted: &Written, out: &mut Output) -> Done {
    let report = engine.report(Period::Month).await?;
    let missed = report.objectives.iter().any(|objective| objective.reached.is_some_and(|is| is < objective.objective));
    let document = json!({
        "since": day(report.since),
        "until": day(report.until),
        "objectives": report.objectives,
        "kept": !missed,
    });
    write(&sheet::slo(&report), &report, &document, wanted, out)?;
    Ok(ExitCode::from(u8::from(missed)))
}

/// `2026-11-30`, in UTC.
fn day(millis: u64) -> String {
    Day::of_millis(i64::try_from(millis).unwrap_or(i64::MAX)).to_string()
}

async fn open(books: &Arc<Books>, out: &mut Output) -> Done {
    let open = books.attempts(Which::Open, 1000).await.map_err(failed)?;
    out.document(&open);
    if open.is_empty() {
        out.line("no call is open");
    }
    for attempt in &open {
        let day = Day::of_millis(attempt.started_ms);
        out.line(format!(
            "{}  {day}  {}  {} reserved  {}",
            paint(STRONG, &attempt.id),
            attempt.route,
            price(attempt.reserved),
            paint(DIM, format!("task {}", attempt.task))
        ));
    }
    Ok(ExitCode::SUCCESS)
}

async fn reconcile(books: &Arc<Books>, id: &str, micros: u64, out: &mut Output) -> Done {
    if !books.reconcile(id, micros).await.map_err(failed)? {
        return Err(Error::new(ErrorKind::BadParams, "reconcile the call: there is no open one of that name")
            .hint("`krins report open` lists them"));
    }
    out.document(&json!({"id": id, "micros": micros}));
    out.line(format!("{id} cost {}", dollars(micros)));
    Ok(ExitCode::SUCCESS)
}

fn failed(error: LedgerError) -> Error {
    Error::new(ErrorKind::Internal, error.to_string()).hint("the ledger is books.sqlite in the state directory")
}
