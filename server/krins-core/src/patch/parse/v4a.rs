//! OpenAI's `*** Begin Patch` format ("V4A"). Its grammar: openai/codex `apply_patch`.

use super::super::Refusal;
use super::super::ir::{Action, Body, FileOp, HunkLine, Mark, RawHunk};
use super::{Parts, refuse};

pub(super) fn first_marker(lines: &[&str]) -> Option<usize> {
    let begin = lines.iter().position(|line| line.trim_end() == "*** Begin Patch");
    begin.or_else(|| {
        let end = lines.iter().any(|line| line.trim_end() == "*** End Patch");
        lines.iter().position(|line| end && is_file_line(line))
    })
}

fn is_file_line(line: &str) -> bool {
    ["*** Update File: ", "*** Add File: ", "*** Delete File: "].iter().any(|marker| line.starts_with(marker))
}

pub(super) fn parse(lines: &[&str]) -> Result<Parts, Refusal> {
    let mut parser = Parser::default();
    let mut open = false;
    for line in &lines[first_marker(lines).unwrap_or(0)..] {
        let marker = line.trim_end();
        match marker {
            "*** Begin Patch" if !open => open = true,
            "*** End Patch" => {
                open = false;
                parser.current = false;
            }
            _ if is_file_line(line) => {
                open = true;
                parser.file(line)?;
            }
            _ if open => parser.line(line)?,
            _ => {}
        }
    }
    if open {
        return Err(refuse("", "the answer ends before `*** End Patch`: it was cut off"));
    }
    Ok((parser.files, Vec::new()))
}

#[derive(Default)]
struct Parser {
    files: Vec<FileOp>,
    current: bool,
}

impl Parser {
    fn file(&mut self, line: &str) -> Result<(), Refusal> {
        let (verb, path) = line.trim_start_matches("*** ").split_once(" File: ").unwrap_or_default();
        let path = path.trim_end_matches('\r');
        if path.trim().is_empty() {
            return Err(refuse("", "a file marker names no file"));
        }
        let action = match verb {
            "Add" => Action::Create(Vec::new()),
            "Delete" => Action::Delete(Vec::new()),
            _ => Action::Edit(Vec::new()),
        };
        self.files.push(FileOp::new(path.to_owned(), action));
        self.current = true;
        Ok(())
    }

    fn line(&mut self, line: &str) -> Result<(), Refusal> {
        let Some(file) = self.files.last_mut().filter(|_| self.current) else {
            return if line.trim().is_empty() {
                Ok(())
            } else {
                Err(refuse("", "a patch line stands before any file"))
            };
        };
        if let Some(target) = line.strip_prefix("*** Move to: ") {
            let from = std::mem::replace(&mut file.path, target.trim_end().to_owned());
            file.from = Some(from);
            return Ok(());
        }
        let path = file.path.clone();
        match &mut file.action {
            Action::Create(text) => match line.strip_prefix('+') {
                Some(added) => text.push(added.to_owned()),
                None if line.trim().is_empty() => {}
                None => return Err(refuse(&path, "a line of the new file has no `+`")),
            },
            Action::Delete(_) | Action::Whole(_) => {
                if !line.trim().is_empty() {
                    return Err(refuse(&path, "a deleted file has lines"));
                }
            }
            Action::Edit(hunks) => hunk_line(hunks, line),
        }
        Ok(())
    }
}

fn hunk_line(hunks: &mut Vec<RawHunk>, line: &str) {
    if let Some(section) = line.strip_prefix("@@") {
        let section = section.trim().trim_end_matches("@@").trim();
        if !matches!(hunks.last(), Some(RawHunk { body: Body::Marked(lines), .. }) if lines.is_empty()) {
            hunks.push(empty_hunk());
        }
        if let Some(hunk) = hunks.last_mut().filter(|_| !section.is_empty()) {
            hunk.section.push(section.to_owned());
        }
        return;
    }
    if hunks.is_empty() {
        if line.trim().is_empty() {
            return;
        }
        hunks.push(empty_hunk());
    }
    let Some(hunk) = hunks.last_mut() else { return };
    if line.trim_end() == "*** End of File" {
        hunk.at_end = true;
        return;
    }
    if let Body::Marked(lines) = &mut hunk.body {
        lines.push(marked(line));
    }
}

/// A marked line; one without a mark is context that lost its space.
pub(super) fn marked(line: &str) -> HunkLine {
    match line.as_bytes().first() {
        Some(b'+') => HunkLine::new(Mark::Add, &line[1..]),
        Some(b'-') => HunkLine::new(Mark::Cut, &line[1..]),
        Some(b' ') => HunkLine::new(Mark::Keep, &line[1..]),
        _ => HunkLine { bare: true, ..HunkLine::new(Mark::Keep, line) },
    }
}

fn empty_hunk() -> RawHunk {
    RawHunk::new(Body::Marked(Vec::new()))
}
