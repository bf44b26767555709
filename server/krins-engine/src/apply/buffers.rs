//! The part of an apply that the editor carries out: open documents.
//!
//! An editor's reply is a hint. What counts is the text that its notifications bring back: it is waited for, and
//! compared. One document per edit, so that no editor can take half of one.

use crate::documents::{Document, Documents};
use async_trait::async_trait;
use krins_core::text::{Encoding, LineIndex, Position};
use similar::{Algorithm, DiffOp, TextDiff};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// How long a diff for an edit may take before a coarser one is sent.
const DIFF_LIMIT: Duration = Duration::from_millis(200);
/// An editor that said no, or nothing, may have done it all the same; its notification is waited for this long.
const AFTER_NO: Duration = Duration::from_millis(300);

/// The editor's end of an apply.
#[async_trait]
pub trait Editor: Send + Sync {
    /// Asks the editor to change one open document. `Ok` means that it said so, no more.
    async fn apply_edit(&self, edit: BufferEdit) -> Result<(), EditorRefused>;

    /// How long its answer may take when it asks a person first; `None` when it does not. Given up too early, an edit could land
    /// after everything else was taken back.
    fn patience(&self) -> Option<Duration> {
        None
    }
}

/// Edits of one open document at one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BufferEdit {
    /// As the editor spelt it.
    pub uri: Arc<str>,
    /// The version the ranges are for.
    pub version: i32,
    /// Sorted, not overlapping, all relative to that version, in the negotiated encoding.
    pub edits: Vec<TextEdit>,
    /// What the edit is called in the editor's undo list.
    pub label: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextEdit {
    pub range: Range<Position>,
    pub text: String,
}

/// The editor said no, did not answer, or answered nonsense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct EditorRefused {
    pub why: String,
    /// The document holds neither the old text nor the new one, or nobody knows what it holds.
    pub holds_another: bool,
}

impl EditorRefused {
    /// The document is as it was.
    pub fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), holds_another: false }
    }
}

/// One document from one text to another.
pub(crate) struct BufferChange<'a> {
    pub uri: &'a str,
    pub before: &'a str,
    pub after: &'a str,
}

/// Changes the document, and returns it as it is afterwards. An error means that the new text is not there.
pub(crate) async fn change(
    editor: &dyn Editor,
    documents: &Documents,
    change: &BufferChange<'_>,
    limit: Duration,
) -> Result<Document, EditorRefused> {
    let refused = |why: &str| Err(EditorRefused::new(why));
    let Some(document) = documents.get(change.uri) else { return refused("it was closed") };
    if document.desynchronised || *document.text != *change.before {
        return refused("it was edited meanwhile");
    }
    if change.before == change.after {
        return Ok(document);
    }
    let edit = BufferEdit {
        uri: document.uri.clone(),
        version: document.version,
        edits: text_edits(change.before, change.after, document.lines(), documents.encoding()),
        label: "Krins".into(),
    };
    let patience = editor.patience().unwrap_or(limit);
    let reply = match tokio::time::timeout(patience, editor.apply_edit(edit)).await {
        Ok(reply) => reply,
        Err(_) => Err(EditorRefused::new("the editor did not answer")),
    };
    let landed = |document: Option<&Document>| document.is_none_or(|document| same_text(&document.text, change.after));
    let wait = if reply.is_ok() { limit } else { AFTER_NO };
    match (documents.wait_until(change.uri, wait, landed).await, reply) {
        (Some(document), _) if same_text(&document.text, change.after) => Ok(document),
        (None, _) => refused("it was closed"),
        (Some(_), Err(refusal)) => Err(refusal),
        (Some(document), Ok(())) if *document.text == *change.before => {
            refused("the editor said that it applied the edit, and did not")
        }
        (Some(_), Ok(())) => {
            let why = "the editor applied something else, or it was edited meanwhile".to_owned();
            Err(EditorRefused { why, holds_another: true })
        }
    }
}

/// Editors that keep one line end per document convert what is inserted (VS Code does).
fn same_text(here: &str, wanted: &str) -> bool {
    here == wanted || here.lines().eq(wanted.lines()) && here.ends_with('\n') == wanted.ends_with('\n')
}

/// Line-wise edits, so that cursors, folds and marks outside of them stay.
fn text_edits(before: &str, after: &str, lines: &LineIndex, encoding: Encoding) -> Vec<TextEdit> {
    let diff = TextDiff::configure().algorithm(Algorithm::Patience).timeout(DIFF_LIMIT).diff_lines(before, after);
    let old = offsets(diff.iter_old_slices().map(str::len));
    let new = offsets(diff.iter_new_slices().map(str::len));
    let edit = |op: &DiffOp| {
        let (replaced, inserted) = (op.old_range(), op.new_range());
        let (start, end) = (old[replaced.start], old[replaced.end]);
        let text = after.get(new[inserted.start]..new[inserted.end]).unwrap_or_default().to_owned();
        let start = lines.position(before, start, encoding);
        TextEdit { range: start..lines.position(before, end, encoding), text }
    };
    diff.ops().iter().filter(|op| !matches!(op, DiffOp::Equal { .. })).map(edit).collect()
}

/// Where each piece starts, and where the last one ends.
fn offsets(lengths: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut offsets = vec![0];
    let mut at = 0;
    for length in lengths {
        at += length;
        offsets.push(at);
    }
    offsets
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn apply(before: &str, edits: &[TextEdit], encoding: Encoding) -> String {
        let lines = LineIndex::new(before);
        let mut text = before.to_owned();
        for edit in edits.iter().rev() {
            let range =
                lines.offset(before, edit.range.start, encoding)..lines.offset(before, edit.range.end, encoding);
            text.replace_range(range, &edit.text);
        }
        text
    }

    fn texts() -> impl Strategy<Value = String> {
        proptest::collection::vec(prop_oneof![Just("a\n"), Just("b\r\n"), Just("é𝄞"), Just("\n"), Just("c\n")], 0..14)
            .prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn the_edits_make_the_new_text(before in texts(), after in texts()) {
            for encoding in [Encoding::Utf8, Encoding::Utf16, Encoding::Utf32] {
                let edits = text_edits(&before, &after, &LineIndex::new(&before), encoding);
                prop_assert_eq!(apply(&before, &edits, encoding), after.clone());
            }
        }
    }

    #[test]
    fn lines_that_stay_are_not_in_the_edits() {
        let edits = text_edits("a\nb\nc\nd\n", "a\nB\nc\nd\ne\n", &LineIndex::new("a\nb\nc\nd\n"), Encoding::Utf16);
        let lines: Vec<_> =
            edits.iter().map(|edit| (edit.range.start.line, edit.range.end.line, edit.text.as_str())).collect();
        assert_eq!(lines, [(1, 2, "B\n"), (4, 4, "e\n")]);
    }
}
