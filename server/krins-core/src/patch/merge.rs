//! The 3-way merge of base, current and patched text. Conflicts are data; markers are drawn only on demand.

use super::bytes::BOM;
use super::diff3::{Clash, Diff3};
use super::encoding::{Encoding, decode, encode, why_not_text};
use super::{ChangeKind, Conflict, FilePatch, Hunk, Merge, Patch, Refusal, Write};
use crate::path::RelPath;
use crate::tree::{Entry, Tree};
use std::ops::Range;
use std::sync::Arc;

/// How [`render_conflicts`] shows a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkerStyle {
    /// Ours and theirs.
    Merge,
    /// With the base between them.
    Diff3,
}

pub(super) fn merge(patch: &Patch, current: &dyn Tree) -> Merge {
    let mut merge = Merge::default();
    for file in patch.files() {
        match Now::of(file, current) {
            Ok(now) => now.merge(file, &mut merge),
            Err(refusal) => merge.refusals.push(refusal),
        }
    }
    merge.writes.sort_by(|a, b| a.path.cmp(&b.path));
    merge
}

/// Merges two descendants of a base. `path` only names the conflicts. Lines end at `\n`, `\r\n` or `\r`. Where a side
/// is UTF-16 the texts are merged, and the result is spelt as ours is.
pub fn merge_texts(path: &RelPath, base: &[u8], ours: &[u8], theirs: &[u8]) -> Result<Vec<u8>, Vec<Conflict>> {
    match wide_texts([base, ours, theirs]) {
        Some(([base, ours, theirs], encoding)) => {
            let text = merge_bytes(path, base.as_bytes(), ours.as_bytes(), theirs.as_bytes())?;
            Ok(encode(&String::from_utf8_lossy(&text), encoding))
        }
        None => merge_bytes(path, base, ours, theirs),
    }
}

/// The texts and the encoding of ours, when at least one side is UTF-16 and all are texts.
fn wide_texts(sides: [&[u8]; 3]) -> Option<([String; 3], Encoding)> {
    if !sides.iter().any(|bytes| bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff])) {
        return None;
    }
    let encoding = decode(sides[1]).ok()?.0;
    // In UTF-8 the byte order mark is a part of the text, in UTF-16 it is not: it would be a difference of the first line.
    let marked = encoding == Encoding::Utf8 && sides[1].starts_with(BOM.as_bytes());
    let text = |bytes: &[u8]| -> Option<String> {
        let text = decode(bytes).ok()?.1;
        let bare = text.strip_prefix(BOM).unwrap_or(&text);
        Some(if marked { format!("{BOM}{bare}") } else { bare.to_owned() })
    };
    Some(([text(sides[0])?, text(sides[1])?, text(sides[2])?], encoding))
}

fn merge_bytes(path: &RelPath, base: &[u8], ours: &[u8], theirs: &[u8]) -> Result<Vec<u8>, Vec<Conflict>> {
    let merged = Diff3::new(base, ours, theirs);
    let conflict = |clash: &Clash| Conflict {
        path: path.clone(),
        lines: one_based(&clash.ours, merged.ours.len()),
        base_lines: one_based(&clash.base, merged.base.len()),
        hunks: Vec::new(),
        base: shown(&merged.base[clash.base.clone()]),
        ours: shown(&merged.ours[clash.ours.clone()]),
        theirs: shown(&merged.theirs[clash.theirs.clone()]),
    };
    let conflicts: Vec<Conflict> = merged.conflicts().map(conflict).collect();
    if conflicts.is_empty() { Ok(merged.write(&|_, _| {})) } else { Err(conflicts) }
}

/// The merged text with conflict markers where there are conflicts; labels are those of base, ours and theirs.
pub fn render_conflicts(base: &[u8], ours: &[u8], theirs: &[u8], labels: [&str; 3], style: MarkerStyle) -> Vec<u8> {
    match wide_texts([base, ours, theirs]) {
        Some(([base, ours, theirs], encoding)) => {
            let text = render_bytes(base.as_bytes(), ours.as_bytes(), theirs.as_bytes(), labels, style);
            encode(&String::from_utf8_lossy(&text), encoding)
        }
        None => render_bytes(base, ours, theirs, labels, style),
    }
}

fn render_bytes(base: &[u8], ours: &[u8], theirs: &[u8], labels: [&str; 3], style: MarkerStyle) -> Vec<u8> {
    let merged = Diff3::new(base, ours, theirs);
    merged.write(&|clash, out| {
        marker(out, b'<', Some(labels[1]));
        out.extend(merged.ours[clash.ours.clone()].iter().copied().flatten());
        if style == MarkerStyle::Diff3 {
            marker(out, b'|', Some(labels[0]));
            out.extend(merged.base[clash.base.clone()].iter().copied().flatten());
        }
        marker(out, b'=', None);
        out.extend(merged.theirs[clash.theirs.clone()].iter().copied().flatten());
        marker(out, b'>', Some(labels[2]));
    })
}

/// A marker on a line of its own. A line end in a label would make a line that looks like content.
fn marker(out: &mut Vec<u8>, mark: u8, label: Option<&str>) {
    if out.last().is_some_and(|last| !matches!(last, b'\n' | b'\r')) {
        out.push(b'\n');
    }
    out.extend([mark; 7]);
    if let Some(label) = label {
        out.push(b' ');
        out.extend(label.replace(['\r', '\n'], " ").bytes());
    }
    out.push(b'\n');
}

/// 1-based inclusive lines of a range; an empty range is named by the line before it, or by line 1.
fn one_based(range: &Range<usize>, len: usize) -> [u32; 2] {
    let line = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    if range.is_empty() {
        let at = line(range.start.min(len).max(1));
        return [at, at];
    }
    [line(range.start + 1), line(range.end)]
}

/// Lines of one side as text; bytes that are not UTF-8 are shown as replacement characters.
fn shown(lines: &[&[u8]]) -> String {
    String::from_utf8_lossy(&lines.concat()).into_owned()
}

/// What is at a patched file's old and new place now.
struct Now {
    /// At the file's place in the base.
    source: Option<File>,
    /// At a rename's target.
    target: Option<File>,
}

struct File {
    bytes: Arc<[u8]>,
    executable: bool,
}

impl Now {
    fn of(file: &FilePatch, current: &dyn Tree) -> Result<Self, Refusal> {
        let source = read(current, file.from.as_ref().unwrap_or(&file.path))?;
        let target = match file.from {
            Some(_) => read(current, &file.path)?,
            None => None,
        };
        Ok(Self { source, target })
    }

    fn merge(self, file: &FilePatch, merge: &mut Merge) {
        match (&file.before, &file.after) {
            (None, None) => {}
            (None, Some(after)) => self.create(file, after, merge),
            (Some(before), None) => self.delete(file, before, merge),
            (Some(before), Some(after)) if file.from.is_some() => self.rename(file, before, after, merge),
            (Some(before), Some(after)) => self.modify(file, before, after, merge),
        }
    }

    fn create(self, file: &FilePatch, after: &Arc<[u8]>, merge: &mut Merge) {
        match self.source {
            Some(there) if there.bytes == *after => {}
            Some(there) => merge.conflicts.push(whole(file, &[], &there.bytes, after)),
            None => merge.writes.push(write(file, ChangeKind::Create, None, Some(after.clone()), file.executable)),
        }
    }

    fn delete(self, file: &FilePatch, before: &Arc<[u8]>, merge: &mut Merge) {
        match self.source {
            None => {}
            Some(there) if there.bytes == *before => {
                merge.writes.push(write(file, ChangeKind::Delete, Some(there.bytes), None, false));
            }
            Some(there) => merge.conflicts.push(whole(file, before, &there.bytes, &[])),
        }
    }

    fn modify(self, file: &FilePatch, before: &Arc<[u8]>, after: &Arc<[u8]>, merge: &mut Merge) {
        let Some(there) = self.source else {
            merge.conflicts.push(whole(file, before, &[], after));
            return;
        };
        let executable = mode_of(file, &there);
        let Some(text) = merged_text(file, before, &there.bytes, after, merge) else { return };
        if text != there.bytes || executable != there.executable {
            merge.writes.push(write(file, ChangeKind::Modify, Some(there.bytes), Some(text), executable));
        }
    }

    fn rename(self, file: &FilePatch, before: &Arc<[u8]>, after: &Arc<[u8]>, merge: &mut Merge) {
        match (self.source, self.target) {
            (None, Some(there)) => {
                // Renamed already; the change of the text may still be due.
                let Some(text) = merged_text(file, before, &there.bytes, after, merge) else {
                    return;
                };
                let executable = mode_of(file, &there);
                if text != there.bytes || executable != there.executable {
                    let mut write = write(file, ChangeKind::Modify, Some(there.bytes), Some(text), executable);
                    write.from = None;
                    merge.writes.push(write);
                }
            }
            (None, None) => merge.conflicts.push(whole(file, before, &[], after)),
            (Some(_), Some(there)) => merge.conflicts.push(whole(file, &[], &there.bytes, after)),
            (Some(there), None) => {
                let Some(text) = merged_text(file, before, &there.bytes, after, merge) else {
                    return;
                };
                let executable = mode_of(file, &there);
                merge.writes.push(write(file, ChangeKind::Rename, Some(there.bytes), Some(text), executable));
            }
        }
    }
}

/// A mode that the patch changes wins; else the file keeps what it has.
fn mode_of(file: &FilePatch, there: &File) -> bool {
    if file.executable == file.was_executable { there.executable } else { file.executable }
}

fn merged_text(
    file: &FilePatch,
    before: &Arc<[u8]>,
    there: &Arc<[u8]>,
    after: &Arc<[u8]>,
    merge: &mut Merge,
) -> Option<Arc<[u8]>> {
    if there == before || there == after || before == after {
        return Some(if there == before { after.clone() } else { there.clone() });
    }
    match merge_texts(&file.path, before, there, after) {
        Ok(text) => Some(text.into()),
        Err(mut conflicts) => {
            conflicts.iter_mut().for_each(|conflict| conflict.hunks = in_the_way(file, conflict.base_lines));
            merge.conflicts.extend(conflicts);
            None
        }
    }
}

/// The hunks that change lines of the base from `first` to `last` (1-based), or put some next to them.
fn in_the_way(file: &FilePatch, [first, last]: [u32; 2]) -> Vec<String> {
    let touches = |hunk: &&Hunk| {
        let mut above = hunk.before[0];
        hunk.lines.iter().any(|line| {
            let (from, to) = if line.starts_with('+') { (above, above + 1) } else { (above + 1, above + 1) };
            above += u32::from(!line.starts_with('+'));
            !line.starts_with(' ') && from <= last && first <= to
        })
    };
    file.hunks.iter().filter(touches).map(|hunk| hunk.id.clone()).collect()
}

fn read(current: &dyn Tree, path: &RelPath) -> Result<Option<File>, Refusal> {
    let refuse = |why: &str| {
        Err(Refusal { path: path.as_str().to_owned(), hunk: None, why: why.to_owned(), candidates: Vec::new() })
    };
    match current.entry(path) {
        Entry::Missing => Ok(None),
        Entry::Refused(why) => refuse(&format!("it is {why}")),
        Entry::File { bytes, executable } => match why_not_text(&bytes) {
            Some(why) => refuse(why),
            None => Ok(Some(File { bytes, executable })),
        },
    }
}

fn whole(file: &FilePatch, base: &[u8], ours: &[u8], theirs: &[u8]) -> Conflict {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let all = |bytes: &[u8]| {
        let lines = bytes.split_inclusive(|byte| *byte == b'\n').count();
        one_based(&(0..lines), lines)
    };
    Conflict {
        path: file.path.clone(),
        lines: all(ours),
        base_lines: all(base),
        hunks: file.hunks.iter().map(|hunk| hunk.id.clone()).collect(),
        base: text(base),
        ours: text(ours),
        theirs: text(theirs),
    }
}

fn write(
    file: &FilePatch,
    kind: ChangeKind,
    current: Option<Arc<[u8]>>,
    after: Option<Arc<[u8]>>,
    executable: bool,
) -> Write {
    Write { path: file.path.clone(), kind, from: file.from.clone(), current, after, executable }
}
