//! `krins task`, `cancel`, `discard`.

use super::args::{Global, TaskCommand};
use super::output::{DIM, Output, STRONG, paint};
use super::{Done, engine};
use crate::to_proto;
use krins_engine::engine::state_name;
use krins_engine::tasks::{Answered, Task};
use std::process::ExitCode;

pub fn run(global: &Global, command: TaskCommand, out: &mut Output) -> Done {
    let engine = engine(global)?;
    match command {
        TaskCommand::List => {
            let tasks = engine.tasks().list();
            out.document(&tasks.iter().map(to_proto::status).collect::<Vec<_>>());
            if tasks.is_empty() {
                out.line("no tasks yet: `krins assign \"…\"` makes one");
            }
            for task in &tasks {
                out.line(format!("{}  {:9}  {}", paint(STRONG, &task.id), state_name(task.state), task.intent));
            }
        }
        TaskCommand::Show { task } => show(&engine.tasks().find(task.as_deref())?, out),
        TaskCommand::Select { task, variant } => {
            let review = engine.select(Some(&task), variant)?;
            out.document(&to_proto::diff(&engine, &review)?);
            super::assign::show(&review, out);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(task: &Task, out: &mut Output) {
    out.document(&to_proto::status(task));
    out.line(format!("{}  {}  {}", paint(STRONG, &task.id), state_name(task.state), task.intent));
    if let Some(error) = &task.error {
        out.line(format!("failed to {}", error.message));
        if let Some(hint) = &error.hint {
            out.line(format!("hint: {hint}"));
        }
    }
    for file in &task.files {
        out.line(format!("  {}", file.path));
    }
    show_variants(task, out);
    if !task.calls.is_empty() {
        out.line(format!("  {}", super::report::bill(&task.calls)));
    }
    for step in &task.steps {
        out.line(paint(DIM, format!("  {:8} {:8.1} ms", step.name, step.millis)));
    }
}

/// How it was chosen who answers, and what the answers that are not shown came to.
pub fn show_variants(task: &Task, out: &mut Output) {
    for choice in &task.choices {
        out.line(format!("{} {}", paint(STRONG, "route"), choice.explanation));
    }
    if task.others.is_empty() {
        return;
    }
    let route = |answered: &Option<Answered>| answered.as_ref().map_or_else(String::new, |one| one.route.clone());
    out.line(format!("{} {}  {}", paint(STRONG, "shown is variant"), task.variant, route(&task.answered)));
    for other in &task.others {
        let came = match (&other.report, &other.error) {
            (Some(report), _) => format!("gate {}, {} files", super::gate::mark(report.verdict), other.files.len()),
            (None, Some(error)) => format!("failed to {}", error.message),
            (None, None) => String::new(),
        };
        out.line(format!("  variant {}  {}  {came}", other.variant, route(&other.answered)));
    }
    out.line(paint(DIM, format!("  krins task select {} N shows another", task.id)));
}

/// A task that another process runs can be cancelled there only, and the answer says so.
pub async fn cancel(global: &Global, task: Option<&str>, out: &mut Output) -> Done {
    let engine = engine(global)?;
    let task = engine.cancel(task).await?;
    show(&task, out);
    Ok(ExitCode::SUCCESS)
}

pub fn discard(global: &Global, task: Option<&str>, out: &mut Output) -> Done {
    let engine = engine(global)?;
    let task = engine.discard(task)?;
    show(&task, out);
    Ok(ExitCode::SUCCESS)
}
