//! Finds which form an answer has, by the form's own markers, and takes it apart. Judges no path and no place.

mod search_replace;
mod str_replace;
mod unified;
mod v4a;
mod whole_file;

use super::Refusal;
use super::bytes::{MAX_FILE_BYTES, MAX_LINES};
use super::ir::{Action, FileOp, Form};

/// What was found in an answer.
#[derive(Debug)]
pub(super) struct Found {
    pub form: Form,
    pub files: Vec<FileOp>,
    pub repairs: Vec<String>,
}

/// How often a JSON string may hold another answer.
const MAX_WRAPPERS: usize = 3;

pub(super) fn find(answer: &str) -> Result<Found, Refusal> {
    if answer.len() > MAX_FILE_BYTES {
        return Err(refuse("", "the answer is larger than 20 MB"));
    }
    if answer.len() > MAX_LINES && answer.bytes().filter(|byte| *byte == b'\n').count() > MAX_LINES {
        return Err(refuse("", "the answer has more than two million lines"));
    }
    unwrap(answer, MAX_WRAPPERS)
}

/// A refusal of a whole patch (`path` empty) or of one file.
pub(super) fn refuse(path: &str, why: impl Into<String>) -> Refusal {
    Refusal { path: path.chars().take(300).collect(), hunk: None, why: why.into(), candidates: Vec::new() }
}

fn unwrap(answer: &str, left: usize) -> Result<Found, Refusal> {
    let trimmed = answer.trim();
    if left > 0 {
        if let Some(inner) = wrapped_text(trimmed) {
            let mut found = unwrap(&inner, left - 1)?;
            found.repairs.push("taken out of a JSON string".into());
            return Ok(found);
        }
        if let Some(inner) = escaped_text(trimmed) {
            let mut found = unwrap(&inner, left - 1)?;
            found.repairs.push("JSON escapes decoded".into());
            return Ok(found);
        }
    }
    if let Some(found) = str_replace::parse(trimmed)? {
        return Ok(found);
    }
    plain(answer)
}

/// `"…"`, `{"patch": "…"}` and the like.
fn wrapped_text(answer: &str) -> Option<String> {
    if !answer.starts_with(['"', '{']) {
        return None;
    }
    match serde_json::from_str(answer).ok()? {
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Object(map) => {
            ["patch", "diff", "input", "changes"].iter().find_map(|key| map.get(*key)?.as_str().map(str::to_owned))
        }
        _ => None,
    }
}

/// A patch on one line with `\n` in it.
fn escaped_text(answer: &str) -> Option<String> {
    let looks = answer.contains("\\n") && !answer.contains('\n');
    let marked =
        ["--- ", "+++ ", "diff --git ", "*** Begin Patch", "<<<<<<<"].iter().any(|marker| answer.contains(marker));
    if !looks || !marked {
        return None;
    }
    serde_json::from_str::<String>(&format!("\"{answer}\"")).ok()
}

fn plain(answer: &str) -> Result<Found, Refusal> {
    let mut repairs = Vec::new();
    let lines = Lines::new(answer, &mut repairs);
    let lines = lines.0.as_slice();
    let first = markers(lines).min_by_key(|(at, _)| *at).map(|(_, form)| form);
    if let Some(first) = first {
        refuse_a_second(first, lines)?;
    }
    let (form, (files, more)) = match first {
        Some(Form::V4a) => (Form::V4a, v4a::parse(lines)?),
        Some(Form::SearchReplace) => (Form::SearchReplace, search_replace::parse(lines)?),
        Some(_) => (Form::Unified, unified::parse(lines)?),
        None => (Form::WholeFile, whole_file::parse(lines)?),
    };
    repairs.extend(more);
    if files.is_empty() {
        return Err(refuse("", "the answer holds no change"));
    }
    if let Some(empty) = files.iter().find(|file| matches!(&file.action, Action::Edit(hunks) if hunks.is_empty() && file.from.is_none() && file.executable.is_none())) {
        return Err(refuse(&empty.path, "the answer names the file and holds no change of it"));
    }
    Ok(Found { form, files, repairs })
}

/// The first line of each form that marks its edits.
fn markers(lines: &[&str]) -> impl Iterator<Item = (usize, Form)> {
    let found = [
        (v4a::first_marker(lines), Form::V4a),
        (search_replace::first_marker(lines), Form::SearchReplace),
        (unified::first_marker(lines), Form::Unified),
    ];
    found.into_iter().filter_map(|(at, form)| Some((at?, form)))
}

/// Changes in another form beside those of the first would be lost, and a part of an answer is a wrong answer.
fn refuse_a_second(first: Form, lines: &[&str]) -> Result<(), Refusal> {
    // The lines of a unified diff carry marks of their own; the other two forms enclose what may look like anything.
    let envelope = match first {
        Form::V4a => Some(("*** Begin Patch", "*** End Patch")),
        Form::SearchReplace => Some(("<<<<<<<", ">>>>>>>")),
        Form::Unified | Form::StrReplace | Form::WholeFile => None,
    };
    let mut inside = false;
    let mut outside = Vec::new();
    for line in lines {
        inside =
            envelope.is_some_and(|(opens, closes)| (inside || line.starts_with(opens)) && !line.starts_with(closes));
        outside.push(if inside { "" } else { *line });
    }
    match markers(&outside).any(|(_, form)| form != first) {
        true => Err(refuse("", "the answer mixes two forms of changes: one of them would be lost")),
        false => Ok(()),
    }
}

/// The answer's lines without `\n`. Where marker lines end in `\r\n` the whole answer does, and no line keeps its `\r`.
struct Lines<'a>(Vec<&'a str>);

impl<'a> Lines<'a> {
    fn new(answer: &'a str, repairs: &mut Vec<String>) -> Self {
        let answer = answer.strip_prefix('\u{feff}').unwrap_or(answer);
        let mut lines: Vec<&str> = answer.split('\n').collect();
        if lines.last() == Some(&"") {
            lines.pop();
        }
        let is_marker = |line: &&&str| {
            ["--- ", "+++ ", "@@", "diff --git ", "*** ", "<<<<<<<", ">>>>>>>", "```"]
                .iter()
                .any(|marker| line.starts_with(marker))
        };
        let markers = lines.iter().filter(is_marker).count();
        let with_cr = lines.iter().filter(is_marker).filter(|line| line.ends_with('\r')).count();
        // A changed line can look like a marker, the first marker cannot be one.
        let first = lines.iter().find(is_marker).is_some_and(|line| line.ends_with('\r'));
        if first && with_cr * 2 >= markers {
            for line in &mut lines {
                *line = line.strip_suffix('\r').unwrap_or(line);
            }
            repairs.push("the answer's own CRLF line ends dropped".into());
        }
        Self(lines)
    }
}

/// The lines of an answer that are neither edits nor in a fence: those before the first edit, or, where none says anything,
/// those behind the last, as far as the form tells where it ends.
pub(super) fn prose(answer: &str) -> Vec<&str> {
    // In JSON there is none.
    if answer.len() > MAX_FILE_BYTES || answer.trim_start().starts_with(['{', '[', '"']) {
        return Vec::new();
    }
    let lines: Vec<&str> = answer.lines().collect();
    let first = markers(&lines).map(|(at, _)| at).min();
    let Some(first) = first.or_else(|| lines.iter().position(|line| fence(line).is_some())) else { return Vec::new() };
    let before = outside_fences(&lines[..first]);
    if before.iter().any(|line| !line.trim().is_empty()) {
        return before;
    }
    let end = lines.iter().rposition(|line| search_replace::is_close(line) || line.trim_end() == "*** End Patch");
    end.map_or(Vec::new(), |end| outside_fences(lines.get(end + 1..).unwrap_or_default()))
}

/// The lines that stand in no fence and are not just a file's name.
fn outside_fences<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let mut opened = None;
    let mut outside = Vec::new();
    for line in lines {
        match (fence(line), opened) {
            (Some((mark, count, _)), None) => opened = Some((mark, count)),
            (Some((mark, count, _)), Some((open, least))) if mark == open && count >= least => opened = None,
            (None, None) if !path_in(line).is_some_and(|path| looks_like_path(&path)) => outside.push(*line),
            _ => {}
        }
    }
    outside
}

/// What a form's parser gives back: files and repairs.
type Parts = (Vec<FileOp>, Vec<String>);

/// The number of back-ticks (three or more) or tildes that open or close a fence at the start of a line, and the info string.
fn fence(line: &str) -> Option<(char, usize, &str)> {
    let line = line.strip_suffix('\r').unwrap_or(line);
    let mark = line.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let rest = line.trim_start_matches(mark);
    let count = line.len() - rest.len();
    (count >= 3 && !rest.contains(mark)).then(|| (mark, count, rest.trim()))
}

/// A path as prose decorates it: back-ticks, asterisks, headings, `File:`.
fn path_in(line: &str) -> Option<String> {
    let mut text = line.trim_start_matches(['#', '>']).trim();
    text = text.trim_end_matches(':').trim();
    text = text.trim_matches(['*', '`', '"', '\'']).trim();
    for label in ["File:", "file:", "Path:", "path:", "Filename:", "filename:"] {
        if let Some(rest) = text.strip_prefix(label) {
            text = rest.trim().trim_matches(['*', '`', '"', '\'']).trim();
        }
    }
    (!text.is_empty()).then(|| text.to_owned())
}

/// Whether a decorated line can only be a path, not a sentence.
fn looks_like_path(text: &str) -> bool {
    !text.is_empty()
        && !text.contains(char::is_whitespace)
        && (text.contains('/') || text.contains('.'))
        && !text.ends_with(['.', ',', '!', '?'])
        && !text.contains("://")
}
