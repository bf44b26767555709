//! The normal form: hunks between two exact texts, and the unified diff that `git apply` takes byte for byte.

use super::diff::diff_lines;
use super::encoding::{Encoding, decode, encode};
use super::names::quote;
use super::{ChangeKind, FilePatch, Hunk, Patch, Placement};
use crate::path::RelPath;
use sha1::{Digest as _, Sha1};
use similar::{DiffOp, group_diff_ops};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

/// Lines of context around a change, as git shows.
const CONTEXT: usize = 3;

/// A file between its two texts, before its hunks are made.
pub(super) struct Draft {
    pub path: RelPath,
    pub kind: ChangeKind,
    pub from: Option<RelPath>,
    pub before: Option<Arc<[u8]>>,
    pub after: Option<Arc<[u8]>>,
    pub executable: bool,
    pub was_executable: bool,
    pub placements: Vec<Placement>,
}

impl Draft {
    fn changes(&self) -> bool {
        self.from.is_some()
            || self.before != self.after
            || self.executable != self.was_executable && self.before.is_some() && self.after.is_some()
    }
}

pub(super) fn assemble(mut drafts: Vec<Draft>) -> Patch {
    drafts.retain(Draft::changes);
    drafts.sort_by(|a, b| a.path.cmp(&b.path));
    let mut files: Vec<FilePatch> = drafts
        .into_iter()
        .map(|draft| {
            let mut file = FilePatch {
                hunks: Vec::new(),
                path: draft.path,
                kind: draft.kind,
                from: draft.from,
                before: draft.before,
                after: draft.after,
                executable: draft.executable,
                was_executable: draft.was_executable,
                placements: draft.placements,
            };
            file.hunks = hunks(&file);
            file
        })
        .collect();
    number(&mut files);
    finished(files)
}

fn number(files: &mut [FilePatch]) {
    let hunks = files.iter_mut().flat_map(|file| &mut file.hunks);
    for (n, hunk) in hunks.enumerate() {
        hunk.id = format!("h{}", n + 1);
    }
}

/// The patch of files whose hunks are made.
pub(super) fn finished(files: Vec<FilePatch>) -> Patch {
    let mut unified = String::new();
    for file in &files {
        render(file, &mut unified);
    }
    Patch { files, unified }
}

/// The text of one side; `None` when a diff cannot hold it.
pub(super) fn text(side: &Option<Arc<[u8]>>) -> Option<(Encoding, Cow<'_, str>)> {
    match side {
        None => Some((Encoding::Utf8, Cow::Borrowed(""))),
        Some(bytes) => decode(bytes).ok(),
    }
}

/// Lines with their ends, as git counts them.
pub(super) fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

fn hunks(file: &FilePatch) -> Vec<Hunk> {
    let whole =
        || Hunk { id: String::new(), header: file_header(file), lines: Vec::new(), before: [0, 0], after: [0, 0] };
    let (Some((_, before)), Some((_, after))) = (text(&file.before), text(&file.after)) else {
        return vec![whole()];
    };
    if before == after {
        return vec![whole()];
    }
    let (old, new) = (lines(&before), lines(&after));
    let ops = diff_lines(&old, &new);
    group_diff_ops(ops, CONTEXT).iter().map(|group| hunk(group, &old, &new)).collect()
}

/// What a file without changed lines changes: its name, its mode, its existence.
pub(super) fn file_header(file: &FilePatch) -> String {
    let mut header = String::new();
    git_headers(file, &mut header);
    header.lines().nth(1).unwrap_or("binary files differ").to_owned()
}

fn hunk(group: &[DiffOp], old: &[&str], new: &[&str]) -> Hunk {
    let body = |line: &str| line.strip_suffix('\n').unwrap_or(line).to_owned();
    let mut marked = Vec::new();
    let mut range = [u32::MAX, 0, u32::MAX, 0];
    for op in group {
        let (before, after) = (op.old_range(), op.new_range());
        range[0] = range[0].min(before.start as u32);
        range[1] = range[1].max(before.end as u32);
        range[2] = range[2].min(after.start as u32);
        range[3] = range[3].max(after.end as u32);
        if let DiffOp::Equal { .. } = op {
            marked.extend(old[before].iter().map(|line| format!(" {}", body(line))));
        } else {
            marked.extend(old[before].iter().map(|line| format!("-{}", body(line))));
            marked.extend(new[after].iter().map(|line| format!("+{}", body(line))));
        }
    }
    Hunk::new(String::new(), marked, [range[0], range[1]], [range[2], range[3]])
}

impl Hunk {
    pub(super) fn new(id: String, lines: Vec<String>, before: [u32; 2], after: [u32; 2]) -> Self {
        let header = format!("@@ -{} +{} @@", numbers(before), numbers(after));
        Self { id, header, lines, before, after }
    }

    /// The lines that it puts in place of its old ones, context included: what a person who edits it begins with.
    pub fn new_text(&self) -> String {
        let new = self.lines.iter().filter(|line| !line.starts_with('-'));
        new.map(|line| format!("{}\n", line.get(1..).unwrap_or_default())).collect()
    }

    /// Whether it stands for a change of the file as a whole, not of lines.
    pub fn is_whole_file(&self) -> bool {
        self.lines.is_empty()
    }
}

/// As git writes a range: 1-based, the line before when it is empty, no length when it is one.
fn numbers(range: [u32; 2]) -> String {
    match range[1].saturating_sub(range[0]) {
        0 => format!("{},0", range[0]),
        1 => format!("{}", range[0] + 1),
        len => format!("{},{len}", range[0] + 1),
    }
}

fn mode(executable: bool) -> &'static str {
    if executable { "100755" } else { "100644" }
}

/// The lines from `diff --git` up to `---`.
fn git_headers(file: &FilePatch, out: &mut String) {
    let from = file.from.as_ref().unwrap_or(&file.path);
    // Writing into a String cannot fail.
    let _ = writeln!(out, "diff --git {} {}", quote(&format!("a/{from}")), quote(&format!("b/{}", file.path)));
    match file.kind {
        ChangeKind::Create => {
            let _ = writeln!(out, "new file mode {}", mode(file.executable));
        }
        ChangeKind::Delete => {
            let _ = writeln!(out, "deleted file mode {}", mode(file.was_executable));
        }
        ChangeKind::Modify | ChangeKind::Rename => {
            if file.executable != file.was_executable {
                let _ = writeln!(out, "old mode {}\nnew mode {}", mode(file.was_executable), mode(file.executable));
            }
        }
    }
    if let Some(from) = &file.from {
        let _ = writeln!(out, "rename from {}\nrename to {}", quote(from.as_str()), quote(file.path.as_str()));
    }
}

/// git's name of a file's bytes: without it `git apply -3` cannot find the base.
fn blob_id(side: &Option<Arc<[u8]>>) -> String {
    let Some(bytes) = side else { return "0".repeat(40) };
    let id = Sha1::new().chain_update(format!("blob {}\0", bytes.len())).chain_update(bytes).finalize();
    id.iter().fold(String::with_capacity(40), |mut hex, byte| {
        // Writing into a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The `index` line, which git writes where the content differs.
fn index_line(file: &FilePatch, out: &mut String) {
    if file.before == file.after {
        return;
    }
    let stays = file.before.is_some() && file.after.is_some() && file.executable == file.was_executable;
    let mode = if stays { format!(" {}", mode(file.executable)) } else { String::new() };
    let _ = writeln!(out, "index {}..{}{mode}", blob_id(&file.before), blob_id(&file.after));
}

fn render(file: &FilePatch, out: &mut String) {
    git_headers(file, out);
    index_line(file, out);
    let (Some((_, before)), Some((_, after))) = (text(&file.before), text(&file.after)) else {
        let from = file.from.as_ref().unwrap_or(&file.path);
        let _ = writeln!(
            out,
            "Binary files {} and {} differ",
            quote(&format!("a/{from}")),
            quote(&format!("b/{}", file.path))
        );
        return;
    };
    if file.hunks.iter().all(Hunk::is_whole_file) {
        return;
    }
    let name = |side: char, path: &RelPath, there: bool| {
        if !there {
            return "/dev/null".to_owned();
        }
        let name = quote(&format!("{side}/{path}"));
        // git ends an unquoted name with a space in it by a tab, so that the name's end can be told.
        if name.contains(' ') && !name.starts_with('"') { format!("{name}\t") } else { name }
    };
    let from = file.from.as_ref().unwrap_or(&file.path);
    let _ = writeln!(out, "--- {}", name('a', from, file.kind != ChangeKind::Create));
    let _ = writeln!(out, "+++ {}", name('b', &file.path, file.kind != ChangeKind::Delete));
    let (old, new) = (lines(&before), lines(&after));
    for hunk in &file.hunks {
        render_hunk(hunk, &old, &new, out);
    }
}

fn render_hunk(hunk: &Hunk, old: &[&str], new: &[&str], out: &mut String) {
    out.push_str(&hunk.header);
    out.push('\n');
    let (mut before, mut after) = (hunk.before[0] as usize, hunk.after[0] as usize);
    for line in &hunk.lines {
        let side = match line.as_bytes().first() {
            Some(b'+') => new.get(after),
            _ => old.get(before),
        };
        before += usize::from(!line.starts_with('+'));
        after += usize::from(!line.starts_with('-'));
        out.push_str(line);
        out.push('\n');
        if side.is_some_and(|line| !line.ends_with('\n')) {
            out.push_str("\\ No newline at end of file\n");
        }
    }
}

/// The same file with only some of its hunks, `None` when none is left.
pub(super) fn keep_hunks(file: &FilePatch, keep: &dyn Fn(&Hunk) -> bool) -> Option<FilePatch> {
    let kept: Vec<&Hunk> = file.hunks.iter().filter(|hunk| keep(hunk)).collect();
    if kept.is_empty() {
        return None;
    }
    if kept.len() == file.hunks.len() {
        return Some(file.clone());
    }
    let ((encoding, before), (_, after)) = (text(&file.before)?, text(&file.after)?);
    let (old, new) = (lines(&before), lines(&after));
    let mut out = String::with_capacity(after.len());
    let (mut at, mut count, mut hunks) = (0, 0_u32, Vec::new());
    for hunk in kept {
        let [start, end] = hunk.before.map(|line| line as usize);
        for line in &old[at..start] {
            out.push_str(line);
            count += 1;
        }
        let [from, to] = hunk.after.map(|line| line as usize);
        let shifted = [count, count + (to - from) as u32];
        out.extend(new[from..to].iter().copied());
        count = shifted[1];
        hunks.push(Hunk::new(hunk.id.clone(), hunk.lines.clone(), hunk.before, shifted));
        at = end;
    }
    out.extend(old[at..].iter().copied());
    Some(FilePatch { after: Some(encode(&out, encoding).into()), hunks, ..file.clone() })
}

/// The file's change taken back; hunk ids stay.
pub(super) fn inverted(file: &FilePatch) -> FilePatch {
    let kind = match file.kind {
        ChangeKind::Create => ChangeKind::Delete,
        ChangeKind::Delete => ChangeKind::Create,
        kind => kind,
    };
    let mut inverse = FilePatch {
        path: file.from.clone().unwrap_or_else(|| file.path.clone()),
        kind,
        from: file.from.as_ref().map(|_| file.path.clone()),
        before: file.after.clone(),
        after: file.before.clone(),
        executable: file.was_executable,
        was_executable: file.executable,
        placements: Vec::new(),
        hunks: Vec::new(),
    };
    inverse.hunks = file.hunks.iter().map(|hunk| invert_hunk(hunk, &inverse)).collect();
    inverse
}

fn invert_hunk(hunk: &Hunk, inverse: &FilePatch) -> Hunk {
    if hunk.is_whole_file() {
        return Hunk { header: file_header(inverse), ..hunk.clone() };
    }
    let mut lines = Vec::with_capacity(hunk.lines.len());
    let mut added: Vec<String> = Vec::new();
    for line in &hunk.lines {
        match line.split_at_checked(1) {
            Some(("+", text)) => lines.push(format!("-{text}")),
            Some(("-", text)) => added.push(format!("+{text}")),
            _ => {
                lines.append(&mut added);
                lines.push(line.clone());
            }
        }
    }
    lines.append(&mut added);
    Hunk::new(hunk.id.clone(), lines, hunk.after, hunk.before)
}
