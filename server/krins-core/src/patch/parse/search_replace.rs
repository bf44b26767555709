//! SEARCH/REPLACE blocks: the path before the fence, inside it, or in its info string.

use super::super::Refusal;
use super::super::ir::{Action, Body, FileOp, RawHunk};
use super::{Parts, fence, looks_like_path, path_in, refuse};

pub(super) fn first_marker(lines: &[&str]) -> Option<usize> {
    lines.iter().position(|line| is_open(line))
}

fn run_of(line: &str, mark: char) -> Option<&str> {
    let rest = line.trim_start_matches(mark);
    let count = line.len() - rest.len();
    (5..=9).contains(&count).then(|| rest.trim())
}

fn is_open(line: &str) -> bool {
    run_of(line, '<').is_some_and(|word| matches!(word.trim_end_matches('>').trim_end(), "SEARCH" | "ORIGINAL"))
}

fn is_divider(line: &str) -> bool {
    run_of(line, '=').is_some_and(str::is_empty)
}

pub(super) fn is_close(line: &str) -> bool {
    run_of(line, '>').is_some_and(|word| matches!(word, "REPLACE" | "UPDATED"))
}

pub(super) fn parse(lines: &[&str]) -> Result<Parts, Refusal> {
    let mut files: Vec<FileOp> = Vec::new();
    let mut after_last = 0;
    let mut at = 0;
    while at < lines.len() {
        if !is_open(lines[at]) {
            at += 1;
            continue;
        }
        let path = path_above(&lines[after_last..at], files.last())?;
        let block = Block::read(lines, at, &path)?;
        at = block.next;
        after_last = at;
        add(&mut files, path, block);
    }
    Ok((files, Vec::new()))
}

/// The file of the block that follows `above`, which starts behind the block before.
fn path_above(above: &[&str], before: Option<&FileOp>) -> Result<String, Refusal> {
    let mut nearest = above.iter().rev().filter(|line| !line.trim().is_empty());
    let mut line = nearest.next().copied();
    if let Some((_, _, info)) = line.and_then(fence) {
        let named = info.split_whitespace().last().filter(|word| looks_like_path(word));
        if let Some(path) = named.and_then(|word| word.rsplit('=').next()) {
            return Ok(path.trim_matches('"').to_owned());
        }
        line = if info.is_empty() && before.is_some() && closes_block(above) { None } else { nearest.next().copied() };
    }
    let prose = |text: &str| text.contains(' ') && text.trim_end().ends_with([':', '.', '!', ',']);
    match (line.filter(|line| fence(line).is_none()), before) {
        (Some(line), _) if !prose(line) => path_in(line).ok_or_else(|| refuse("", "a SEARCH block names no file")),
        (_, Some(file)) => Ok(file.path.clone()),
        _ => Err(refuse("", "a SEARCH block names no file")),
    }
}

/// Whether the only line above is the fence that closes the block before.
fn closes_block(above: &[&str]) -> bool {
    above.iter().filter(|line| !line.trim().is_empty()).count() < 2
}

struct Block {
    old: Vec<String>,
    new: Vec<String>,
    hint: Option<u32>,
    next: usize,
}

impl Block {
    fn read(lines: &[&str], open: usize, path: &str) -> Result<Self, Refusal> {
        let cut = || refuse(path, "a SEARCH block does not end: the answer was cut off");
        let rest = &lines[open + 1..];
        let close = rest.iter().position(|line| is_close(line)).ok_or_else(cut)?;
        let body = &rest[..close];
        if body.iter().any(|line| is_open(line)) {
            return Err(refuse(path, "a SEARCH block begins inside another"));
        }
        let mut dividers = body.iter().enumerate().filter(|(_, line)| is_divider(line));
        let (divider, _) = dividers.next().ok_or_else(|| refuse(path, "a SEARCH block has no `=======` line"))?;
        if dividers.next().is_some() {
            return Err(refuse(path, "a SEARCH block has several `=======` lines, so its halves cannot be told apart"));
        }
        let text = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        let (hint, old) = line_hint(&body[..divider]);
        Ok(Self { old: text(old), new: text(&body[divider + 1..]), hint, next: open + 1 + close + 1 })
    }
}

/// `:start_line:12` and a rule, as Roo asks its models for.
fn line_hint<'a, 'b>(old: &'a [&'b str]) -> (Option<u32>, &'a [&'b str]) {
    let Some(number) = old.first().and_then(|line| line.trim().strip_prefix(":start_line:")) else {
        return (None, old);
    };
    let hint = number.trim().parse().ok();
    let rest = old.get(1..).unwrap_or_default();
    let rest = match rest.first() {
        Some(line) if line.trim().len() >= 3 && line.trim().bytes().all(|byte| byte == b'-') => &rest[1..],
        _ => rest,
    };
    (hint, rest)
}

fn add(files: &mut Vec<FileOp>, path: String, block: Block) {
    if block.old.is_empty() {
        files.push(FileOp::new(path, Action::Create(block.new)));
        return;
    }
    let body = Body::Blocks { old: block.old, new: block.new, inside_lines: false };
    let hunk = RawHunk { hint: block.hint, ..RawHunk::new(body) };
    match files.last_mut() {
        Some(FileOp { path: last, action: Action::Edit(hunks), .. }) if *last == path => hunks.push(hunk),
        _ => files.push(FileOp::new(path, Action::Edit(vec![hunk]))),
    }
}
