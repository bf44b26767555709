//! `krins assign`.

use super::args::{Assign, Global, Mode};
use super::gate::show_report;
use super::output::{CARE, DIM, Output, PLACE, STRONG, paint, paint_diff};
use super::{Done, changes, engine, focus};
use crate::to_proto;
use krins_backend::propagation;
use krins_core::patch::Placement;
use krins_engine::engine::Review;
use krins_engine::pipeline::Intent;
use krins_engine::tasks::{StoredFile, Task, TaskState};
use krins_engine::{Engine, Error};
use std::process::ExitCode;

pub async fn run(global: &Global, args: Assign, out: &mut Output) -> Done {
    traced(carry_out(global, args, out)).await
}

/// In the trace of the environment, or in a new one.
fn traced<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let span = tracing::info_span!("krins assign");
    let (parent, state) = (std::env::var("TRACEPARENT").ok(), std::env::var("TRACESTATE").ok());
    let context = propagation::continue_or_start(&span, parent.as_deref(), state.as_deref());
    propagation::in_trace(span, context, work)
}

async fn carry_out(global: &Global, args: Assign, out: &mut Output) -> Done {
    let engine = engine(global)?;
    let intent = Intent {
        words: args.intent,
        focus: args.file.as_deref().map(|place| focus(&engine, place)).transpose()?,
        reach: args.scope.into(),
        budget: args.budget,
        micros: args.micros,
        variants: args.variants,
        fresh: args.fresh,
        spec: args.mode == Mode::Spec,
        ..Intent::default()
    };
    let task = finish(&engine, intent, out).await?;
    let review = engine.review(Some(&task.id))?;
    show(&review, out);
    if task.state == TaskState::Blocked {
        out.document(&to_proto::diff(&engine, &review)?);
        return Ok(ExitCode::from(1));
    }
    if args.apply {
        return changes::apply_to(&engine, Some(&task.id), Default::default(), out).await;
    }
    out.document(&to_proto::diff(&engine, &review)?);
    out.line(format!("\nApply it with {}", paint(STRONG, format!("krins apply {}", task.id))));
    Ok(ExitCode::SUCCESS)
}

/// Assigns and waits, with progress; Ctrl-C cancels. A task that failed is an error.
pub async fn finish(engine: &Engine, intent: Intent, out: &mut Output) -> Result<Task, Error> {
    let work = async {
        let shown = propagation::current().map(|context| context.traceparent());
        let assigned = engine.assign(intent, None, shown)?;
        settle(engine, &assigned.task, out).await
    };
    match propagation::current() {
        Some(_) => work.await,
        None => traced(work).await,
    }
}

/// Waits for a task, with progress; Ctrl-C cancels. A task that failed is an error.
pub async fn settle(engine: &Engine, id: &str, out: &mut Output) -> Result<Task, Error> {
    let mut ticks = engine.watch();
    let settled = engine.tasks().settled(id);
    // One for all turns: a signal between two turns must not be lost.
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(settled, interrupted);
    let task = loop {
        tokio::select! {
            task = &mut settled => break task?,
            _ = &mut interrupted => {
                engine.cancel(Some(id)).await?;
                return Err(Error::cancelled());
            }
            Ok(()) = ticks.changed() => {
                let progress = ticks.borrow_and_update().as_ref().and_then(|task| task.progress.clone());
                out.progress(progress.as_deref().unwrap_or("working"));
            }
        }
    };
    match (task.state, &task.error) {
        (TaskState::Ready | TaskState::Blocked, _) => Ok(task),
        (_, Some(error)) => Err(error.clone()),
        (_, None) => Err(Error::cancelled()),
    }
}

/// What was sent, the diff, why, and the verdict.
pub fn show(review: &Review, out: &mut Output) {
    let task = &review.task;
    let answered = task.answered.clone().unwrap_or_default();
    let cached = if answered.cached { " (from the cache)" } else { "" };
    out.line(format!("{} {}", paint(STRONG, "task"), task.id));
    out.line(format!(
        "{} {} files, {} tokens → {}{cached}",
        paint(STRONG, "sent"),
        task.sent.len(),
        task.tokens,
        answered.route
    ));
    if let Some(why) = &answered.degraded {
        out.line(format!("{} {why}", paint(CARE, "instead")));
    }
    if !task.calls.is_empty() {
        out.line(super::report::bill(&task.calls));
    }
    super::task::show_variants(task, out);
    out.line("");
    out.line(paint_diff(review.patch.unified()).trim_end());
    for mended in mended(task) {
        out.line(mended);
    }
    if !answered.why.is_empty() {
        out.line("");
        for (reason, places) in &answered.why {
            let shown: Vec<&str> = places.iter().take(4).map(String::as_str).collect();
            let more = places.len().saturating_sub(shown.len());
            let tail = if more > 0 { format!(" +{more}") } else { String::new() };
            let places =
                if shown.is_empty() { String::new() } else { format!(" {}{tail}", paint(PLACE, shown.join(", "))) };
            out.line(format!("{} {reason}{places}", paint(STRONG, "why")));
        }
    }
    if let Some(report) = &task.report {
        show_report(report, out);
    }
}

/// One line for each hunk of the answer that did not stand as it should.
fn mended(task: &Task) -> Vec<String> {
    let of = |file: &StoredFile| -> Vec<String> {
        let mended = file.placements.iter().filter(|placement| !placement.repairs.is_empty());
        let line = |Placement { level, repairs, line }: &Placement| {
            let (place, repairs) = (paint(PLACE, format!("{}:{line}", file.path)), repairs.join(", "));
            format!("{} {place} {level} {}", paint(STRONG, "mended"), paint(DIM, repairs))
        };
        mended.map(line).collect()
    };
    task.files.iter().flat_map(of).collect()
}
