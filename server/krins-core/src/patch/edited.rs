//! A hunk as a person changed it: their text becomes the truth, and the other hunks stay what they were.

use super::bytes::{Edit, Ends, NewLine, base_bom, rebuild, split, without_bom};
use super::canonical::{file_header, lines, text};
use super::encoding::{encode, why_not_text};
use super::parse::refuse;
use super::{ChangeKind, FilePatch, Hunk, Refusal};
use similar::{Algorithm, DiffOp, capture_diff_slices};

/// The file with `new` in place of the hunk's new lines; `None` when nothing of its change is left.
pub(super) fn edit_hunk(file: &FilePatch, id: &str, new: &str) -> Result<Option<FilePatch>, Refusal> {
    let refused = |why: &str| refuse(file.path.as_str(), why);
    let at = file.hunks.iter().position(|hunk| hunk.id == id).ok_or_else(|| refused("there is no such hunk"))?;
    let hunk = &file.hunks[at];
    if hunk.is_whole_file() {
        return Err(refused("the hunk has no lines to change"));
    }
    if file.kind == ChangeKind::Delete {
        return Err(refused("the file is deleted; reject the hunk to keep it"));
    }
    if new.contains('\0') {
        return Err(refused("its new text is not a text"));
    }
    let (Some((_, before)), Some((encoding, after))) = (text(&file.before), text(&file.after)) else {
        return Err(refused("it is a binary file"));
    };
    if new.is_empty() && hunk.after[0] == 0 && base_bom(&after).0 {
        return Err(refused("the byte order mark would go with the hunk's lines"));
    }
    let body = replaced(&after, hunk, new);
    if let Some(why) = why_not_text(&encode(&body, encoding)) {
        return Err(refused(why));
    }
    let (old, now) = (lines(&before), lines(&body));
    let grown = i64::try_from(now.len()).unwrap_or(i64::MAX) - lines(&after).len() as i64;
    let moved = |line: u32| u32::try_from(i64::from(line) + grown).unwrap_or(u32::MAX);
    let window = [hunk.after[0], moved(hunk.after[1])];
    let mut hunks = file.hunks[..at].to_vec();
    hunks.extend(between(hunk, &old, &now, window));
    hunks.extend(
        file.hunks[at + 1..]
            .iter()
            .map(|later| Hunk::new(later.id.clone(), later.lines.clone(), later.before, later.after.map(moved))),
    );
    let mut edited = FilePatch { after: Some(encode(&body, encoding).into()), hunks, ..file.clone() };
    if edited.hunks.is_empty() {
        let stays = edited.before.is_some() && edited.from.is_none() && edited.executable == edited.was_executable;
        if stays {
            return Ok(None);
        }
        // The name, the mode or the new file itself is what is left.
        let header = file_header(&edited);
        edited.hunks = vec![Hunk { id: hunk.id.clone(), header, lines: Vec::new(), before: [0, 0], after: [0, 0] }];
    }
    Ok(Some(edited))
}

/// The patched text with `new` in the hunk's place: lines that stay keep their ends, others take their neighbours'.
fn replaced(after: &str, hunk: &Hunk, new: &str) -> String {
    let [from, to] = hunk.after.map(|line| line as usize);
    let (has_bom, body) = base_bom(after);
    let there = split(body);
    let shown: Vec<&str> = there[from..to].iter().map(|line| line.text).collect();
    let new = if has_bom && from == 0 { without_bom(new).1 } else { new };
    let texts: Vec<&str> = split(new).iter().map(|line| line.text).collect();
    let edits: Vec<Edit> = capture_diff_slices(Algorithm::Histogram, &shown, &texts)
        .into_iter()
        .filter(|op| !matches!(op, DiffOp::Equal { .. }))
        .map(|op| Edit {
            start: from + op.old_range().start,
            end: from + op.old_range().end,
            lines: texts[op.new_range()].iter().map(|text| NewLine { text: (*text).to_owned(), end: None }).collect(),
        })
        .collect();
    // Without the last line the one before it is the last, and that one is not this hunk's.
    let final_newline = (to == there.len() && from > 0 && texts.is_empty()).then_some(true);
    rebuild(after, &edits, Ends { bom: None, final_newline })
}

/// The hunk between its old lines and what now stands in its place; `None` when they are the same.
fn between(hunk: &Hunk, old: &[&str], now: &[&str], window: [u32; 2]) -> Option<Hunk> {
    let [start, end] = hunk.before.map(|line| line as usize);
    let [from, to] = window.map(|line| line as usize);
    let (old, now) = (&old[start..end], now.get(from..to).unwrap_or_default());
    if old == now {
        return None;
    }
    let body = |line: &str| line.strip_suffix('\n').unwrap_or(line).to_owned();
    let mut marked = Vec::new();
    for op in capture_diff_slices(Algorithm::Histogram, old, now) {
        let (before, after) = (op.old_range(), op.new_range());
        if let DiffOp::Equal { .. } = op {
            marked.extend(old[before].iter().map(|line| format!(" {}", body(line))));
        } else {
            marked.extend(old[before].iter().map(|line| format!("-{}", body(line))));
            marked.extend(now[after].iter().map(|line| format!("+{}", body(line))));
        }
    }
    Some(Hunk::new(hunk.id.clone(), marked, hunk.before, window))
}
