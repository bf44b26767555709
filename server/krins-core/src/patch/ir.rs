//! What every form of answer is taken apart into: file operations with hunks whose place is not decided yet.
//!
//! Line texts here carry no line end; `cr` remembers a carriage return that belonged to the line itself.

use std::fmt;

/// The five forms an answer can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Unified,
    SearchReplace,
    V4a,
    StrReplace,
    WholeFile,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Form::Unified => "unified diff",
            Form::SearchReplace => "SEARCH/REPLACE",
            Form::V4a => "V4A patch",
            Form::StrReplace => "str_replace",
            Form::WholeFile => "whole file",
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Keep,
    Cut,
    Add,
}

/// One line of a hunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HunkLine {
    pub mark: Mark,
    pub text: String,
    /// The line had a carriage return of its own, in an answer whose marker lines have none.
    pub cr: bool,
    /// The line came without the leading mark that the form asks for.
    pub bare: bool,
    /// `\ No newline at end of file` follows.
    pub no_newline: bool,
}

impl HunkLine {
    pub fn new(mark: Mark, line: &str) -> Self {
        let (text, cr) = match line.strip_suffix('\r') {
            Some(text) => (text, true),
            None => (line, false),
        };
        Self { mark, text: text.to_owned(), cr, bare: false, no_newline: false }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// Lines with marks, as in a diff.
    Marked(Vec<HunkLine>),
    /// Old text and new text, as in SEARCH/REPLACE. Marks are found by a diff, after the repairs.
    Blocks {
        old: Vec<String>,
        new: Vec<String>,
        /// The old text may begin and end inside lines (`str_replace` tools promise that).
        inside_lines: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RawHunk {
    pub body: Body,
    /// 1-based line of the old text, as the answer claims.
    pub hint: Option<u32>,
    /// The old text ends at the end of the file.
    pub at_end: bool,
    /// What its header says beside the numbers: the declaration that it is in, or the last before it.
    pub section: Vec<String>,
    /// What was mended when it was read.
    pub repairs: Vec<&'static str>,
}

impl RawHunk {
    pub fn new(body: Body) -> Self {
        Self { body, hint: None, at_end: false, section: Vec::new(), repairs: Vec::new() }
    }

    fn texts(&mut self) -> Vec<&mut String> {
        let body: Vec<&mut String> = match &mut self.body {
            Body::Marked(lines) => lines.iter_mut().map(|line| &mut line.text).collect(),
            Body::Blocks { old, new, .. } => old.iter_mut().chain(new).collect(),
        };
        body.into_iter().chain(&mut self.section).collect()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Edit(Vec<RawHunk>),
    Create(Vec<String>),
    /// With the removed text, when the answer shows it.
    Delete(Vec<RawHunk>),
    /// The file's whole new text.
    Whole(Vec<String>),
}

/// One file of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileOp {
    /// The path as decoded from the answer's spelling; not yet judged.
    pub path: String,
    /// The spelling with the `a/` or `b/` that may be a diff prefix or a directory.
    pub unstripped: Option<String>,
    pub from: Option<String>,
    pub action: Action,
    /// The new mode asks for the executable bit, or for its absence.
    pub executable: Option<bool>,
    /// The new text ends without a line end.
    pub no_newline: bool,
    /// The path is known to begin at the root: nothing may be taken off its front.
    pub rooted: bool,
    pub repairs: Vec<String>,
}

impl FileOp {
    pub fn new(path: String, action: Action) -> Self {
        Self {
            path,
            unstripped: None,
            from: None,
            action,
            executable: None,
            no_newline: false,
            rooted: false,
            repairs: Vec::new(),
        }
    }

    /// Every line of text that is the file's, and what a header quotes of it.
    pub fn texts(&mut self) -> Vec<&mut String> {
        match &mut self.action {
            Action::Edit(hunks) | Action::Delete(hunks) => hunks.iter_mut().flat_map(RawHunk::texts).collect(),
            Action::Create(lines) | Action::Whole(lines) => lines.iter_mut().collect(),
        }
    }
}
