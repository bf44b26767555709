//! `krins fix`, `krins preview`, `krins promote`.

use super::args::Global;
use super::output::{Output, PLACE, STRONG, paint};
use super::{Done, assign, engine};
use crate::to_proto;
use krins_engine::engine::Promoted;
use krins_engine::tasks::TaskState;
use serde_json::json;
use std::process::ExitCode;

pub async fn run(global: &Global, task: Option<&str>, rounds: Option<u32>, out: &mut Output) -> Done {
    let engine = engine(global)?;
    let started = engine.fix(task, rounds)?;
    let task = assign::settle(&engine, &started.task, out).await?;
    let review = engine.review(Some(&task.id))?;
    assign::show(&review, out);
    out.document(&to_proto::diff(&engine, &review)?);
    for round in &task.rounds {
        let stopped = round.stopped.as_ref().map_or(String::new(), |why| format!("; stopped: {why}"));
        out.line(format!("{} {}: {} block{stopped}", paint(STRONG, "round"), round.number, round.blocking));
    }
    Ok(ExitCode::from(u8::from(task.state == TaskState::Blocked)))
}

pub fn preview(global: &Global, task: Option<&str>, out: &mut Output) -> Done {
    let made = engine(global)?.preview(task)?;
    out.document(&json!({"branch": made.branch, "worktree": made.worktree}));
    out.line(format!("{} {}", paint(STRONG, "worktree"), paint(PLACE, made.worktree.display())));
    out.line(format!("{} {}, which `krins promote` makes", paint(STRONG, "branch"), made.branch));
    Ok(ExitCode::SUCCESS)
}

pub fn promote(global: &Global, task: Option<&str>, out: &mut Output) -> Done {
    let Promoted { branch, commit, kept } = engine(global)?.promote(task)?;
    let mut document = json!({"branch": branch, "commit": commit});
    out.line(format!("{} {commit} on {}", paint(STRONG, "committed"), paint(PLACE, branch)));
    if let Some(kept) = kept {
        document["kept"] = json!(kept);
        let place = paint(PLACE, kept.display());
        out.line(format!("{} {place}: what was changed there is not in the commit", paint(STRONG, "kept")));
    }
    out.document(&document);
    Ok(ExitCode::SUCCESS)
}
