//! A file's text as lines that can be put together again byte for byte: line ends, byte order mark, final line end.
//! Knows nothing of hunks.

use std::borrow::Cow;

/// Files and answers above this are refused; the matching below is linear, but the person could not review more.
pub const MAX_FILE_BYTES: usize = 20 * 1024 * 1024;

/// More lines are refused: what is kept of each would fill the memory, and nobody reviews them.
pub(super) const MAX_LINES: usize = 2_000_000;

pub(super) const BOM: &str = "\u{feff}";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Lf,
    CrLf,
    /// The last line of a text without a final line end.
    None,
}

impl End {
    pub fn as_str(self) -> &'static str {
        match self {
            End::Lf => "\n",
            End::CrLf => "\r\n",
            End::None => "",
        }
    }
}

/// A line without its end, and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub text: &'a str,
    pub end: End,
}

/// Lines as git counts them: each ends at `\n`.
pub(super) fn split(text: &str) -> Vec<Line<'_>> {
    text.split_inclusive('\n')
        .map(|line| {
            if let Some(text) = line.strip_suffix("\r\n") {
                Line { text, end: End::CrLf }
            } else if let Some(text) = line.strip_suffix('\n') {
                Line { text, end: End::Lf }
            } else {
                Line { text: line, end: End::None }
            }
        })
        .collect()
}

/// As [`without_bom`], for a whole file: one that holds nothing else has one line, which is the mark.
pub(super) fn base_bom(text: &str) -> (bool, &str) {
    if text == BOM { (false, text) } else { without_bom(text) }
}

/// Whether a text has a byte order mark, and what follows it. Lines are counted in the latter.
pub(super) fn without_bom(text: &str) -> (bool, &str) {
    text.strip_prefix(BOM).map_or((false, text), |body| (true, body))
}

/// A line of the new text; `end` is `None` where the neighbours decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NewLine {
    pub text: String,
    pub end: Option<End>,
}

/// Replaces base lines `start..end` by `lines`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    pub start: usize,
    pub end: usize,
    pub lines: Vec<NewLine>,
}

/// What the edits ask of the text's two ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ends {
    /// Whether there shall be a byte order mark; `None` keeps what the base has.
    pub bom: Option<bool>,
    /// The final line end that was asked for; `None` keeps what the base has.
    pub final_newline: Option<bool>,
}

/// Applies edits, which are sorted and do not overlap, to the base.
pub(super) fn rebuild(base: &str, edits: &[Edit], ends: Ends) -> String {
    let (had_bom, body) = base_bom(base);
    let bom = if ends.bom.unwrap_or(had_bom) { BOM } else { "" };
    let lines = split(body);
    let style = common_end(&lines);
    let mut out: Vec<(Cow<'_, str>, End)> = Vec::with_capacity(lines.len());
    let mut at = 0;
    for edit in edits {
        out.extend(lines[at..edit.start].iter().map(borrowed));
        for (n, new) in edit.lines.iter().enumerate() {
            let replaced = lines[edit.start..edit.end].get(n).map(|line| line.end);
            let before = out.last().map(|line| line.1);
            let after = lines.get(edit.end).map(|line| line.end);
            let end = new
                .end
                .or_else(|| [replaced, before, after].into_iter().flatten().find(|end| *end != End::None))
                .unwrap_or(style);
            out.push((Cow::Owned(new.text.clone()), end));
        }
        at = edit.end;
    }
    out.extend(lines[at..].iter().map(borrowed));
    let had_final = lines.last().is_none_or(|line| line.end != End::None);
    join(bom, out, ends.final_newline.unwrap_or(had_final), style)
}

fn borrowed<'a>(line: &Line<'a>) -> (Cow<'a, str>, End) {
    (Cow::Borrowed(line.text), line.end)
}

fn join(bom: &str, mut out: Vec<(Cow<'_, str>, End)>, newline: bool, style: End) -> String {
    let last = out.len().saturating_sub(1);
    for (n, line) in out.iter_mut().enumerate() {
        if n == last && !newline {
            line.1 = End::None;
        } else if line.1 == End::None {
            line.1 = style;
        }
    }
    let mut text = String::from(bom);
    for (line, end) in &out {
        text.push_str(line);
        text.push_str(end.as_str());
    }
    text
}

/// The end that most lines have.
fn common_end(lines: &[Line<'_>]) -> End {
    let crlf = lines.iter().filter(|line| line.end == End::CrLf).count();
    let lf = lines.iter().filter(|line| line.end == End::Lf).count();
    if crlf > lf { End::CrLf } else { End::Lf }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(start: usize, end: usize, lines: &[&str]) -> Edit {
        Edit { start, end, lines: lines.iter().map(|text| NewLine { text: (*text).to_owned(), end: None }).collect() }
    }

    fn check(base: &str, edits: &[Edit], expect: &str) {
        assert_eq!(rebuild(base, edits, Ends::default()), expect);
    }

    #[test]
    fn new_lines_take_the_end_of_the_line_they_replace_or_follow() {
        check("a\r\nb\nc\r\n", &[edit(1, 2, &["B"])], "a\r\nB\nc\r\n");
        check("a\r\nb\nc\r\n", &[edit(1, 1, &["x"])], "a\r\nx\r\nb\nc\r\n");
        check("a\r\n", &[edit(0, 0, &["x"])], "x\r\na\r\n");
    }

    #[test]
    fn a_missing_final_line_end_and_a_byte_order_mark_stay_where_they_are() {
        check("a\r\nb", &[edit(2, 2, &["c"])], "a\r\nb\r\nc");
        check("a\nb", &[edit(1, 2, &[])], "a");
        check("\u{feff}a\nb\n", &[edit(0, 0, &["x"])], "\u{feff}x\na\nb\n");
        check("", &[edit(0, 0, &["x"])], "x\n");
    }
}
