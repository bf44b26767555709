//! Patches: model text in any of five forms → hunks → placed on the base → one normal form → merged onto what the
//! files are now. Right place, right bytes, or a clear refusal.

mod align;
mod bytes;
mod canonical;
mod diff;
mod diff3;
mod edited;
mod encoding;
mod indent;
mod ir;
mod ladder;
mod merge;
mod names;
mod norm;
mod parse;
mod place;
mod plan;
#[cfg(test)]
mod properties;
mod reading;
mod said;
mod symbols;
#[cfg(test)]
mod tests;

pub use bytes::MAX_FILE_BYTES;
pub use encoding::{text_of, why_not_text};
pub use ir::Form;
pub use merge::{MarkerStyle, merge_texts, render_conflicts};
pub use names::writable_name;
pub use said::said;

use crate::digest::Digest;
use crate::path::RelPath;
use crate::tree::Tree;
use std::sync::Arc;

/// A model's answer taken apart: file operations with hunks whose place is not decided yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    form: Form,
    files: Vec<ir::FileOp>,
    repairs: Vec<String>,
}

impl Parsed {
    pub fn form(&self) -> Form {
        self.form
    }

    /// The paths as the answer spells them, in its order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| file.path.as_str())
    }

    /// The same answer with every line of its files' texts changed, such as what was redacted put back. Its form is read
    /// before: no value can be taken for a mark of the form, and one in JSON needs no escapes.
    pub fn with_texts<E>(mut self, change: &mut dyn FnMut(&str) -> Result<String, E>) -> Result<Self, E> {
        for text in self.files.iter_mut().flat_map(ir::FileOp::texts) {
            *text = change(text)?;
        }
        Ok(self)
    }

    /// What was mended before any place was looked for.
    pub fn repairs(&self) -> &[String] {
        &self.repairs
    }
}

/// Why a patch, a file of it or a hunk is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("{why}")]
pub struct Refusal {
    /// As the patch spells it; empty when the whole patch is refused.
    pub path: String,
    /// 1-based number of the hunk in its file.
    pub hunk: Option<u32>,
    pub why: String,
    /// 1-based lines where the hunk could have gone.
    pub candidates: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum ChangeKind {
    Create,
    Modify,
    Delete,
    Rename,
}

/// How a hunk found its place, and what was mended.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Placement {
    /// `exact`, `trailing-space`, `punctuation`, `indentation`, `white-space`, `outer-context`, `alignment`, `whole-file`, `already-applied`.
    pub level: String,
    pub repairs: Vec<String>,
    /// 1-based line in the base.
    pub line: u32,
}

/// One file of a patch, between two exact texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePatch {
    pub path: RelPath,
    pub kind: ChangeKind,
    /// Where a renamed file was.
    pub from: Option<RelPath>,
    /// The base; `None` for a created file.
    pub before: Option<Arc<[u8]>>,
    /// `None` for a deleted file.
    pub after: Option<Arc<[u8]>>,
    /// The executable bit as it shall be.
    pub executable: bool,
    /// The executable bit of the base.
    pub was_executable: bool,
    pub placements: Vec<Placement>,
    /// Never empty: a file whose lines stay (a rename, a mode, an empty file) has one hunk without lines, whose header
    /// says what changes, so that it can be taken or left like any other.
    pub hunks: Vec<Hunk>,
}

/// A hunk of the normal form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hunk {
    /// `h1`, `h2`, … over the whole patch.
    pub id: String,
    /// The `@@ … @@` line, without a line end.
    pub header: String,
    /// Marked body lines without line ends.
    pub lines: Vec<String>,
    /// Zero-based half-open lines of the base that it replaces, context included.
    pub before: [u32; 2],
    /// The same in the patched text.
    pub after: [u32; 2],
}

/// The normal form: every file between its base and its patched text, and the canonical unified diff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    files: Vec<FilePatch>,
    unified: String,
}

impl Patch {
    pub fn files(&self) -> &[FilePatch] {
        &self.files
    }

    /// The canonical unified diff, which `git apply` accepts.
    pub fn unified(&self) -> &str {
        &self.unified
    }

    /// sha256 of the canonical unified diff.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.unified)
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The patch between exact texts, sorted by path. Entries that do not differ are left out. A text that a diff
    /// cannot hold ([`why_not_text`]) is a `Binary files … differ` line, which every applier refuses.
    pub fn between(files: Vec<Change>) -> Self {
        let drafts = files.into_iter().map(|change| canonical::Draft {
            kind: match (&change.before, &change.after, &change.from) {
                (None, _, _) => ChangeKind::Create,
                (_, None, _) => ChangeKind::Delete,
                (_, _, Some(_)) => ChangeKind::Rename,
                _ => ChangeKind::Modify,
            },
            path: change.path,
            from: change.from,
            executable: change.executable,
            was_executable: change.executable,
            before: change.before,
            after: change.after,
            placements: Vec::new(),
        });
        canonical::assemble(drafts.collect())
    }

    /// The same patch with only the hunks that `keep` says, under their ids; file creations, deletions and renames
    /// stand or fall with their hunks.
    pub fn subset(&self, keep: &dyn Fn(&Hunk) -> bool) -> Self {
        canonical::finished(self.files.iter().filter_map(|file| canonical::keep_hunks(file, keep)).collect())
    }

    /// The same patch with what a person made of one hunk: `text` stands where the hunk's new lines stood, context
    /// included. It is another patch, which has to pass the gate again. A hunk that changes nothing any more is gone.
    pub fn with_hunk(&self, id: &str, text: &str) -> Result<Self, Refusal> {
        let holds = |file: &FilePatch| file.hunks.iter().any(|hunk| hunk.id == id);
        if !self.files.iter().any(holds) {
            return Err(parse::refuse("", format!("there is no hunk {id}")));
        }
        let mut files = Vec::with_capacity(self.files.len());
        for file in &self.files {
            match holds(file) {
                true => files.extend(edited::edit_hunk(file, id, text)?),
                false => files.push(file.clone()),
            }
        }
        Ok(canonical::finished(files))
    }

    /// The patch that takes it back.
    pub fn inverse(&self) -> Self {
        let mut files: Vec<FilePatch> = self.files.iter().map(canonical::inverted).collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        canonical::finished(files)
    }
}

/// One file's exact texts, for [`Patch::between`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub path: RelPath,
    pub from: Option<RelPath>,
    pub before: Option<Arc<[u8]>>,
    pub after: Option<Arc<[u8]>>,
    pub executable: bool,
}

/// Takes a model's answer apart, prose and fences included.
pub fn parse(answer: &str) -> Result<Parsed, Refusal> {
    let parse::Found { form, files, repairs } = parse::find(answer)?;
    Ok(Parsed { form, files, repairs })
}

/// As [`parse`], with paths below the workspace root `root` (absolute, `/` between components) made relative to it.
pub fn parse_in(answer: &str, root: &str) -> Result<Parsed, Refusal> {
    let mut parsed = parse(answer)?;
    let root = format!("{}/", root.trim_end_matches('/'));
    for file in &mut parsed.files {
        let mut shortened = false;
        for path in [Some(&mut file.path), file.from.as_mut()].into_iter().flatten() {
            if let Some(inside) = path.strip_prefix(&root) {
                *path = inside.to_owned();
                shortened = true;
            }
        }
        if shortened {
            file.rooted = true;
            file.repairs.push("absolute path below the root".into());
        }
    }
    Ok(parsed)
}

/// Places every hunk on the base. `based` says whether `base` is the text the model saw (loose levels are closed without it).
pub fn place(parsed: &Parsed, base: &dyn Tree, based: bool) -> Result<Patch, Vec<Refusal>> {
    place::place(parsed, base, based)
}

/// A conflict between the patch and what a file is now; lines are those of the current text, 1-based inclusive. Where
/// the current text has no line for it, the line before is named.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Conflict {
    pub path: RelPath,
    pub lines: [u32; 2],
    /// The same in the base.
    pub base_lines: [u32; 2],
    /// The hunks of the patch that are in the way, by id.
    pub hunks: Vec<String>,
    pub base: String,
    pub ours: String,
    pub theirs: String,
}

/// What to make of a file that is there now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub path: RelPath,
    pub kind: ChangeKind,
    pub from: Option<RelPath>,
    /// What is there now; the write is valid only for this. `None`: nothing.
    pub current: Option<Arc<[u8]>>,
    /// What shall be there; `None` deletes.
    pub after: Option<Arc<[u8]>>,
    pub executable: bool,
}

/// The patch merged onto the current files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merge {
    /// Files to write, sorted by path; files that hold the change already are not in it.
    pub writes: Vec<Write>,
    pub conflicts: Vec<Conflict>,
    pub refusals: Vec<Refusal>,
}

/// 3-way merge of base, current and patched text, file by file. Total: everything is in the result.
pub fn merge(patch: &Patch, current: &dyn Tree) -> Merge {
    merge::merge(patch, current)
}
