//! `krins gate`, and how a report of the gate is written: for a terminal, as JSON, as SARIF.

use super::args::{Gate, Global, ReportFormat};
use super::output::{BAD, CARE, DIM, GOOD, Output, PLACE, STRONG, paint};
use super::{Done, engine, patch};
use crate::to_proto;
use krins_core::gate::{Finding, Report, Verdict, sarif};
use krins_core::patch::Patch;
use krins_engine::{Engine, Error};
use std::process::ExitCode;

/// Judges the patch as if it were applied to the files as they are now.
pub async fn run(global: &Global, args: Gate, out: &mut Output) -> Done {
    let engine = engine(global)?;
    let (said, mut hear) = tokio::sync::mpsc::unbounded_channel();
    let say = move |text| drop(said.send(text));
    let judged = async {
        match &args.task {
            Some(task) => engine.judge_task(Some(task), say).await,
            None => engine.judge_patch(handed_over(&engine)?, say).await,
        }
    };
    tokio::pin!(judged);
    let report = loop {
        tokio::select! {
            report = &mut judged => break report?,
            Some(text) = hear.recv() => out.progress(&text),
        }
    };
    write(&report, args.format, out);
    Ok(ExitCode::from(u8::from(report.verdict == Verdict::Block)))
}

/// The patch on standard input, placed in the files as they are now.
fn handed_over(engine: &Engine) -> Result<Patch, Error> {
    patch::place(engine, &patch::standard_input()?, None)?.map_err(Error::from)
}

fn write(report: &Report, format: Option<ReportFormat>, out: &mut Output) {
    match format {
        None => {
            out.document(&to_proto::gate(report));
            show_report(report, out);
        }
        Some(ReportFormat::Terminal) => show_report(report, out),
        Some(ReportFormat::Json) => out.raw(pretty(&to_proto::gate(report)).as_bytes()),
        Some(ReportFormat::Sarif) => out.raw(pretty(&sarif(report, env!("CARGO_PKG_VERSION"))).as_bytes()),
    }
}

fn pretty(value: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_else(|error| format!("{{\"error\": \"{error}\"}}"));
    text.push('\n');
    text
}

/// One line of checks, one line a finding with its fix, and where the checks that found something are described.
pub fn show_report(report: &Report, out: &mut Output) {
    out.line("");
    let checks: Vec<String> = report
        .checks
        .iter()
        .map(|run| format!("{} {} {}", mark(run.verdict), run.check, paint(DIM, format!("{:.1} ms", run.millis))))
        .collect();
    out.line(format!("{} {}  {}", paint(STRONG, "gate"), mark(report.verdict), checks.join("  ")));
    for finding in &report.findings {
        out.line(format!("  {}", finding_line(finding)));
    }
    for waived in &report.waived {
        let (finding, reason) = (&waived.finding, plain(&waived.reason));
        let place = paint(PLACE, plain(finding.path.as_str()));
        out.line(format!("  waived {place} {} until {}: {reason}", paint(DIM, &finding.rule), waived.expires));
    }
    for run in &report.runs {
        let note = run.note.as_ref().map_or(String::new(), |note| format!("; {note}"));
        let missing =
            if run.missing.is_empty() { String::new() } else { format!(" without {}", run.missing.join(", ")) };
        let ran =
            format!("{} {} in {:.0} ms, sandbox {}{missing}{note}", run.command, run.end, run.millis, run.sandbox);
        out.line(format!("  {} {}", paint(STRONG, "ran"), paint(DIM, plain(&ran))));
    }
    let mut links: Vec<String> = report.findings.iter().map(link).collect();
    links.sort();
    links.dedup();
    for link in links {
        out.line(paint(DIM, format!("  more: {link}")));
    }
}

fn link(finding: &Finding) -> String {
    finding.link.clone().unwrap_or_else(|| krins_core::gate::link_of(&finding.rule))
}

fn finding_line(finding: &Finding) -> String {
    let place = match finding.lines {
        Some([first, _]) => format!("{}:{first}", finding.path),
        None => finding.path.to_string(),
    };
    let fix = finding.fix.as_deref().map_or(String::new(), |fix| format!("; fix: {fix}"));
    let rule = paint(DIM, &finding.rule);
    format!(
        "{} {} {}{} {rule}",
        mark(finding.verdict),
        paint(PLACE, plain(&place)),
        plain(&finding.message),
        plain(&fix)
    )
}

/// Names from files that nobody vouches for move no cursor.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

pub fn mark(verdict: Verdict) -> String {
    match verdict {
        Verdict::Pass => paint(GOOD, "pass"),
        Verdict::Warn => paint(CARE, "warn"),
        Verdict::Block => paint(BAD, "block"),
    }
}
