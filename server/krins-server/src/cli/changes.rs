//! `krins diff`, `apply`, `undo`, `redo`.

use super::args::{Conflicts, Global, Redo, Undo};
use super::output::{CARE, GOOD, Output, PLACE, STRONG, paint};
use super::{Done, assign, engine};
use crate::to_proto;
use krins_engine::engine::{ApplyWish, Outcome};
use krins_engine::{Engine, Error, ErrorKind};
use std::process::ExitCode;

pub fn diff(global: &Global, task: Option<&str>, out: &mut Output) -> Done {
    let engine = engine(global)?;
    let review = engine.review(task)?;
    assign::show(&review, out);
    out.document(&to_proto::diff(&engine, &review)?);
    Ok(ExitCode::SUCCESS)
}

pub async fn apply(
    global: &Global,
    task: Option<&str>,
    hunks: Option<Vec<String>>,
    on_conflict: Conflicts,
    dry_run: bool,
    out: &mut Output,
) -> Done {
    let wish = ApplyWish { hunks, markers: on_conflict == Conflicts::Markers, dry_run };
    apply_to(&engine(global)?, task, wish, out).await
}

pub async fn apply_to(engine: &Engine, task: Option<&str>, wish: ApplyWish, out: &mut Output) -> Done {
    let dry_run = wish.dry_run;
    let applied = engine.apply(task, wish, None).await?;
    finish(engine, &applied, if dry_run { "would change" } else { "changed" }, "undo", out)
}

pub async fn undo(global: &Global, args: Undo, out: &mut Output) -> Done {
    let engine = engine(global)?;
    let which = args.undo.as_deref();
    let applied = match &args.hunks {
        Some(hunks) => engine.undo_hunks(which, hunks, args.dry_run, None).await?,
        None => engine.undo(which, args.dry_run, None).await?,
    };
    finish(&engine, &applied, if args.dry_run { "would restore" } else { "restored" }, "redo", out)
}

pub async fn redo(global: &Global, args: Redo, out: &mut Output) -> Done {
    let engine = engine(global)?;
    let applied = engine.redo(args.undo.as_deref(), args.dry_run, None).await?;
    finish(&engine, &applied, if args.dry_run { "would change" } else { "changed" }, "undo", out)
}

fn finish(engine: &Engine, outcome: &Outcome, verb: &str, back: &str, out: &mut Output) -> Done {
    out.document(&to_proto::applied(engine.root(), outcome));
    if !outcome.conflicts.is_empty() {
        return conflict(outcome, out);
    }
    show(outcome, verb, back, out);
    // A file that somebody else changed at the same moment was left alone: the change is not whole.
    Ok(ExitCode::from(u8::from(!outcome.applied.left_alone.is_empty())))
}

/// `verb` says what was done to each file, `back` the command that takes it back.
pub fn show(outcome: &Outcome, verb: &str, back: &str, out: &mut Output) {
    let applied = &outcome.applied;
    let paths = applied.files.iter().map(|file| &file.path).chain(outcome.planned.iter().map(|file| &file.path));
    let lines: Vec<String> = paths.map(|path| format!("{} {}", paint(GOOD, verb), paint(PLACE, path))).collect();
    if lines.is_empty() {
        out.line("nothing to change: the files hold it already");
    }
    for line in lines {
        out.line(line);
    }
    for left in &applied.left_alone {
        let kept = left
            .kept
            .as_ref()
            .map_or(String::new(), |path| format!("; what it would have got is in {}", path.display()));
        out.line(format!(
            "{} {} was changed by somebody else at that moment{kept}",
            paint(CARE, "left alone"),
            paint(PLACE, &left.path)
        ));
    }
    if let Some(pending) = &applied.pending {
        out.line(format!("{} applied, clean-up pending: {pending}", paint(CARE, "note")));
    }
    if applied.id.is_some() {
        out.line(format!("Take it back with {}", paint(STRONG, format!("krins {back}"))));
    }
}

fn conflict(outcome: &Outcome, out: &mut Output) -> Done {
    for conflict in &outcome.conflicts {
        let [first, last] = conflict.lines;
        let place = paint(PLACE, format!("{}:{first}-{last}", conflict.path));
        let hunks = if conflict.hunks.is_empty() { String::new() } else { format!(" ({})", conflict.hunks.join(", ")) };
        out.line(format!("{} {place}{hunks}", paint(CARE, "conflict")));
        out.line(format!("  now:  {}", excerpt(&conflict.ours)));
        out.line(format!("  want: {}", excerpt(&conflict.theirs)));
    }
    if out.is_json() {
        return Ok(ExitCode::from(ErrorKind::Conflict.exit_code()));
    }
    Err(Error::new(ErrorKind::Conflict, format!("merge the change: {} conflicts; nothing was written", outcome.conflicts.len()))
        .hint("assign it again on the files as they are now, apply some hunks only (--hunks), or ask for markers (--on-conflict markers)"))
}

fn excerpt(text: &str) -> String {
    let line = text.lines().next().unwrap_or("").trim();
    let more = text.lines().count().saturating_sub(1);
    let short: String = line.chars().take(80).collect();
    if more > 0 { format!("{short} … (+{more} lines)") } else { short }
}
