//! `krins review`.

use super::args::{Global, Review, Say};
use super::gate::show_report;
use super::output::{BAD, CARE, GOOD, Output, PLACE, STRONG, paint};
use super::{Done, engine};
use crate::{from_proto, to_proto};
use krins_engine::engine::{Judgement, Review as Reviewed};
use krins_engine::tasks::{HunkVerdict, TaskState};
use krins_engine::{Engine, Error, ErrorKind};
use krins_protocol::lsp::ReviewVerdict;
use std::path::Path;
use std::process::{Command, ExitCode};

pub async fn run(global: &Global, args: Review, out: &mut Output) -> Done {
    let engine = engine(global)?;
    let judgement = judgement(&engine, &args)?;
    let review = engine.judge_hunk(Some(&args.task), &args.hunk, judgement).await?;
    out.document(&to_proto::diff(&engine, &review)?);
    show(&review, out);
    Ok(ExitCode::from(u8::from(review.task.state == TaskState::Blocked)))
}

fn judgement(engine: &Engine, args: &Review) -> Result<Judgement, Error> {
    let text = match (args.verdict, &args.text) {
        (Say::Edit, None) => Some(edited(engine, args)?),
        (_, given) => given.as_deref().map(read).transpose()?,
    };
    let verdict = match args.verdict {
        Say::Accept => ReviewVerdict::Accept,
        Say::Reject => ReviewVerdict::Reject,
        Say::Edit => ReviewVerdict::Edit,
        Say::Open => ReviewVerdict::Open,
    };
    from_proto::judgement(verdict, text)
}

fn read(path: &Path) -> Result<String, Error> {
    let read =
        if path == Path::new("-") { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(path) };
    read.map_err(|error| Error::new(ErrorKind::BadParams, format!("read {}: {error}", path.display())))
}

/// The hunk's new text after the person's own editor had it.
fn edited(engine: &Engine, args: &Review) -> Result<String, Error> {
    let named = |name: &str| std::env::var(name).ok().filter(|command| !command.trim().is_empty());
    let editor = named("VISUAL").or_else(|| named("EDITOR")).ok_or_else(|| {
        Error::new(ErrorKind::BadParams, "edit a hunk: neither VISUAL nor EDITOR names an editor")
            .hint("pass its new text with --text FILE, or --text - for standard input")
    })?;
    let review = engine.review(Some(&args.task))?;
    let mut hunks = review.patch.files().iter().flat_map(|file| file.hunks.iter().map(move |hunk| (file, hunk)));
    let (file, hunk) = hunks.find(|(_, hunk)| hunk.id == args.hunk).ok_or_else(|| {
        Error::new(ErrorKind::BadParams, format!("find hunk {:?}", args.hunk)).hint("`krins diff` shows the hunks")
    })?;
    // By the extension an editor knows what it is.
    let (stem, extension) = file.path.file_name().rsplit_once('.').unwrap_or((file.path.file_name(), "txt"));
    let path = engine.write_view(&format!("{}-{}-{stem}", review.task.id, hunk.id), extension, &hunk.new_text())?;
    // Through a shell, as git does: the variable holds a command line, not a program.
    let ran = Command::new("sh").args(["-c", &format!("{editor} \"$1\""), &editor]).arg(&path).status();
    let text = match ran {
        Ok(status) if status.success() => std::fs::read_to_string(&path),
        Ok(status) => Err(std::io::Error::other(format!("{editor} ended with {status}"))),
        Err(error) => Err(error),
    };
    let _ = std::fs::remove_file(&path);
    text.map_err(|error| Error::new(ErrorKind::BadParams, format!("edit hunk {}: {error}", hunk.id)))
}

/// One line a hunk, and the gate's verdict.
fn show(review: &Reviewed, out: &mut Output) {
    for file in review.patch.files() {
        for hunk in &file.hunks {
            let said = match review.task.verdicts.get(&hunk.id) {
                Some(HunkVerdict::Accept) if review.task.edits.contains_key(&hunk.id) => paint(GOOD, "edited"),
                Some(HunkVerdict::Accept) => paint(GOOD, "accepted"),
                Some(HunkVerdict::Reject) => paint(BAD, "rejected"),
                Some(HunkVerdict::Open) | None => paint(CARE, "open"),
            };
            out.line(format!("{} {said} {} {}", paint(STRONG, &hunk.id), paint(PLACE, &file.path), hunk.header));
        }
    }
    if let Some(report) = &review.task.report {
        show_report(report, out);
    }
}
