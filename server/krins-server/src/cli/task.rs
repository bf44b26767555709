//! `krins task`, `cancel`, `discard`.

use super::args::{Global, TaskCommand};
use super::output::{DIM, Output, STRONG, paint};
use super::{Done, engine};
use crate::to_proto;
use krins_engine::engine::state_name;
use krins_engine::tasks::Task;
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
    for step in &task.steps {
        out.line(paint(DIM, format!("  {:8} {:8.1} ms", step.name, step.millis)));
    }
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
