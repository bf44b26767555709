//! Whole new texts of files: a path, then a fence.

use super::super::Refusal;
use super::super::ir::{Action, FileOp};
use super::{Parts, fence, looks_like_path, path_in, refuse};

pub(super) fn parse(lines: &[&str]) -> Result<Parts, Refusal> {
    let mut files = Vec::new();
    let mut above: Option<String> = None;
    let mut at = 0;
    while at < lines.len() {
        let Some((mark, count, info)) = fence(lines[at]) else {
            if !lines[at].trim().is_empty() {
                above = path_in(lines[at]).filter(|path| looks_like_path(path));
            }
            at += 1;
            continue;
        };
        let path = path_of(info).or_else(|| above.take());
        above = None;
        let close = close(&lines[at + 1..], mark, count);
        let text = &lines[at + 1..close.map_or(lines.len(), |close| at + 1 + close)];
        if let Some(path) = path {
            if close.is_none() {
                return Err(refuse(&path, "the file's fence is not closed: the answer was cut off"));
            }
            let text = text.iter().map(|line| (*line).to_owned()).collect();
            files.push(FileOp::new(path, Action::Whole(text)));
        }
        at += text.len() + 2;
    }
    Ok((files, Vec::new()))
}

/// A path in the info string: `ts src/a.ts`, `src/a.ts`, `ts title="src/a.ts"`, `ts:src/a.ts`.
fn path_of(info: &str) -> Option<String> {
    let word = info.split_whitespace().last()?;
    let word = word.rsplit(['=', ':']).next()?.trim_matches(['"', '\'', '{', '}']);
    (looks_like_path(word) && word.contains(['/', '.'])).then(|| word.to_owned())
}

/// Where the fence closes; a fence with an info string inside it opens an inner one.
fn close(lines: &[&str], mark: char, count: usize) -> Option<usize> {
    let mut inner = 0_usize;
    for (at, line) in lines.iter().enumerate() {
        match fence(line) {
            Some((found, length, info)) if found == mark && length >= count => {
                if !info.is_empty() {
                    inner += 1;
                } else if inner == 0 {
                    return Some(at);
                } else {
                    inner -= 1;
                }
            }
            _ => {}
        }
    }
    None
}
