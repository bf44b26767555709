//! Places a parsed answer on the base: paths judged, hunks located, edits checked against each other, bytes rebuilt.
//! All refusals are collected; a patch comes out only when there is none.

use super::bytes::{Edit, Ends, NewLine, rebuild};
use super::canonical::{Draft, assemble};
use super::diff::diff_lines;
use super::encoding::{Encoding, decode, encode, why_not_text};
use super::indent::Habit;
use super::ir::{Action, Body, FileOp, Mark, RawHunk};
use super::ladder::{Base, Located, NOT_FOUND, Site, locate, locate_late};
use super::names::writable_name;
use super::norm::{Level, is_elision};
use super::parse::refuse;
use super::plan::{Plan, Style, is_foreign, pairs, placement};
use super::reading::{self, Defect};
use super::{ChangeKind, Parsed, Patch, Refusal};
use crate::path::RelPath;
use crate::tree::{Entry, Tree};
use similar::DiffOp;
use std::collections::BTreeMap;
use std::sync::Arc;
use unicode_normalization::UnicodeNormalization;

pub(super) fn place(parsed: &Parsed, base: &dyn Tree, based: bool) -> Result<Patch, Vec<Refusal>> {
    let placer = Placer { base, based };
    let files = gathered(&parsed.files);
    let staged = placer.all(&files)?;
    if !staged.iter().any(Staged::is_escaped) {
        let unclear = entities_unclear(&files, base);
        return if unclear.is_empty() { finished(staged, &parsed.repairs) } else { Err(unclear) };
    }
    // One hunk fits only with its entities decoded, so the whole answer was escaped.
    let files: Vec<FileOp> = files.into_iter().map(decoded_file).collect();
    finished(placer.all(&files)?, &parsed.repairs)
}

/// The patch of files whose hunks have their places. What was mended in the answer as a whole is told with each file.
fn finished(staged: Vec<Staged>, repairs: &[String]) -> Result<Patch, Vec<Refusal>> {
    let habits = Habits::of(&staged);
    let (mut drafts, mut refusals) = (Vec::new(), Vec::new());
    for file in staged {
        match file.finish(&habits) {
            Ok(mut draft) => {
                if let Some(first) = draft.placements.first_mut() {
                    first.repairs.splice(0..0, repairs.iter().cloned());
                }
                drafts.push(draft);
            }
            Err(more) => refusals.extend(more),
        }
    }
    refusals.extend(collisions(&drafts));
    if refusals.is_empty() { Ok(assemble(drafts)) } else { Err(refusals) }
}

/// Sections of the same file as one, in the order of the answer.
fn gathered(files: &[FileOp]) -> Vec<FileOp> {
    let mut out: Vec<FileOp> = Vec::new();
    for file in files {
        let same = out.iter_mut().find(|other| other.path == file.path && other.from.is_none() && file.from.is_none());
        match (same.map(|other| &mut other.action), &file.action) {
            (Some(Action::Edit(hunks)), Action::Edit(more)) => hunks.extend(more.iter().cloned()),
            _ => out.push(file.clone()),
        }
    }
    out
}

fn decoded_file(mut file: FileOp) -> FileOp {
    match &mut file.action {
        Action::Edit(hunks) | Action::Delete(hunks) => {
            for hunk in hunks {
                *hunk = reading::decoded_hunk(hunk);
            }
        }
        Action::Create(lines) | Action::Whole(lines) => {
            for line in lines {
                *line = reading::decode(line);
            }
        }
    }
    file.repairs.push("HTML entities decoded".into());
    file
}

/// New text with entities in an answer that has no raw `<`, `>` or `&`: nothing shows whether it was escaped.
fn entities_unclear(files: &[FileOp], base: &dyn Tree) -> Vec<Refusal> {
    let hunks = || {
        files.iter().filter_map(|file| if let Action::Edit(hunks) = &file.action { Some((file, hunks)) } else { None })
    };
    let lines = |hunks: &[RawHunk]| -> Vec<(Mark, String)> {
        hunks.iter().flat_map(|hunk| reading::plain(hunk).lines).map(|line| (line.mark, line.text)).collect()
    };
    let raw = hunks().any(|(_, hunks)| lines(hunks).iter().any(|(_, text)| reading::has_raw(text)));
    let evident = hunks()
        .any(|(_, hunks)| lines(hunks).iter().any(|(mark, text)| *mark != Mark::Add && reading::has_entity(text)));
    if raw || evident {
        return Vec::new();
    }
    hunks()
        .filter(|(_, hunks)| lines(hunks).iter().any(|(mark, text)| *mark == Mark::Add && reading::has_entity(text)))
        .filter(|(file, _)| {
            let text = RelPath::new(&file.path).ok().and_then(|path| base.text(&path));
            !text.is_some_and(|text| reading::has_entity(&text))
        })
        .map(|(file, _)| {
            refuse(&file.path, "its new text holds HTML entities and nothing shows whether they are meant")
        })
        .collect()
}

struct Placer<'a> {
    base: &'a dyn Tree,
    based: bool,
}

/// A file of the base that can be patched.
struct Known {
    text: String,
    encoding: Encoding,
    bytes: Arc<[u8]>,
    executable: bool,
}

/// A file whose hunks have their places, and whose new text is not made yet.
struct Staged {
    draft: Draft,
    edits: Option<Edits>,
}

/// The hunks of a file that is edited.
struct Edits {
    /// As the answer spells it.
    path: String,
    known: Known,
    hunks: Vec<RawHunk>,
    located: Vec<(usize, Located)>,
    /// Blocks that the base does not have, in the order of the answer: earlier blocks may make what they replace.
    late: Vec<usize>,
    based: bool,
    repairs: Vec<String>,
}

/// How the answer indents the files of each language.
struct Habits(BTreeMap<String, Habit>);

impl Habits {
    fn of(staged: &[Staged]) -> Self {
        let mut habits: BTreeMap<String, Habit> = BTreeMap::new();
        for file in staged {
            let Some(edits) = &file.edits else { continue };
            let base = Base::new(&edits.known.text);
            let sites = edits.located.iter().flat_map(|(_, found)| found.sites());
            for (model, file_line) in sites.flat_map(|site| pairs(site, &base)).filter(|(a, b)| is_foreign(a, b)) {
                habits.entry(family(&file.draft.path)).or_default().learn(model, file_line);
            }
        }
        Self(habits)
    }
}

/// Files that a model writes in one style.
fn family(path: &RelPath) -> String {
    match path.as_str().rsplit_once('.').map_or("", |(_, extension)| extension) {
        "ts" | "tsx" | "js" | "jsx" | "mts" | "cts" | "mjs" | "cjs" => "script".to_owned(),
        other => other.to_lowercase(),
    }
}

impl Placer<'_> {
    fn all(&self, files: &[FileOp]) -> Result<Vec<Staged>, Vec<Refusal>> {
        let (mut staged, mut refusals) = (Vec::new(), Vec::new());
        for file in files {
            match self.file(file) {
                Ok(file) => staged.push(file),
                Err(more) => refusals.extend(more),
            }
        }
        if refusals.is_empty() { Ok(staged) } else { Err(refusals) }
    }

    fn file(&self, file: &FileOp) -> Result<Staged, Vec<Refusal>> {
        let one = |refusal: Refusal| vec![refusal];
        let (path, mut repairs) = self.resolve(file).map_err(one)?;
        repairs.splice(0..0, file.repairs.iter().cloned());
        let from = match &file.from {
            Some(from) => Some(writable_name(from).map_err(|why| one(refuse(from, why)))?).filter(|from| *from != path),
            None => None,
        };
        let source = from.as_ref().unwrap_or(&path);
        let known = self.known(source, &file.path).map_err(one)?;
        if from.is_some() {
            self.free(&path).map_err(one)?;
        }
        let mut draft = Draft {
            kind: if from.is_some() { ChangeKind::Rename } else { ChangeKind::Modify },
            before: known.as_ref().map(|known| known.bytes.clone()),
            after: None,
            was_executable: known.as_ref().is_some_and(|known| known.executable),
            executable: file.executable.unwrap_or(known.as_ref().is_some_and(|known| known.executable)),
            placements: Vec::new(),
            path,
            from,
        };
        match (&file.action, known) {
            (Action::Create(lines), known) => create(file, lines, known.as_ref(), &mut draft, repairs).map_err(one)?,
            (Action::Whole(lines), None) => create(file, lines, None, &mut draft, repairs).map_err(one)?,
            (Action::Whole(lines), Some(known)) => {
                whole(file, lines, &known, self.based, &mut draft, repairs).map_err(one)?;
            }
            (Action::Delete(hunks), known) => {
                self.delete(file, hunks, known.as_ref(), &mut draft, repairs).map_err(one)?;
            }
            (Action::Edit(hunks), Some(known)) => {
                let edits = self.edit(file, hunks, known, repairs)?;
                return Ok(Staged { draft, edits: Some(edits) });
            }
            (Action::Edit(hunks), None) => {
                let lines = created_by(hunks).filter(|_| file.from.is_none());
                let lines = lines.ok_or_else(|| one(refuse(&file.path, "there is no such file")))?;
                repairs.push("taken as a new file".into());
                create(file, &lines, None, &mut draft, repairs).map_err(one)?;
            }
        }
        Ok(Staged { draft, edits: None })
    }

    /// The path that is meant, and what was mended in its spelling.
    fn resolve(&self, file: &FileOp) -> Result<(RelPath, Vec<String>), Refusal> {
        let named = |path: &str| writable_name(path).map_err(|why| refuse(path, why));
        let mut repairs = Vec::new();
        let slashed = if file.path.contains('\\') && !file.path.contains('/') {
            repairs.push("back-slashes in the path".to_owned());
            file.path.replace('\\', "/")
        } else {
            file.path.clone()
        };
        let path = named(&slashed)?;
        self.check_parents(&path)?;
        let there = |path: &RelPath| !matches!(self.base.entry(path), Entry::Missing);
        let looks = matches!(file.action, Action::Edit(_) | Action::Delete(_)) && file.from.is_none() && !file.rooted;
        if !looks || there(&path) {
            return Ok((path, repairs));
        }
        let shorter = path.as_str().split_once('/').map(|(_, rest)| rest.to_owned());
        for other in [file.unstripped.clone(), shorter].into_iter().flatten() {
            if let Some(other) = writable_name(&other).ok().filter(|other| there(other)) {
                self.check_parents(&other)?;
                repairs.push(format!("path read as {other}"));
                return Ok((other, repairs));
            }
        }
        Ok((path, repairs))
    }

    fn check_parents(&self, path: &RelPath) -> Result<(), Refusal> {
        let text = path.as_str();
        for (at, _) in text.match_indices('/') {
            let Ok(parent) = RelPath::new(&text[..at]) else { continue };
            match self.base.entry(&parent) {
                Entry::File { .. } => {
                    return Err(refuse(text, format!("{parent} is a file, not a directory")));
                }
                Entry::Refused(why) if why.contains("link") => {
                    return Err(refuse(text, format!("{parent} is {why}")));
                }
                Entry::Refused(_) | Entry::Missing => {}
            }
        }
        Ok(())
    }

    fn known(&self, path: &RelPath, shown: &str) -> Result<Option<Known>, Refusal> {
        match self.base.entry(path) {
            Entry::Missing => Ok(None),
            Entry::Refused(why) => Err(refuse(shown, format!("it is {why}"))),
            Entry::File { bytes, executable } => {
                let (encoding, text) = decode(&bytes).map_err(|why| refuse(shown, why))?;
                Ok(Some(Known { text: text.into_owned(), encoding, bytes, executable }))
            }
        }
    }

    /// The target of a rename is not there.
    fn free(&self, path: &RelPath) -> Result<(), Refusal> {
        match self.base.entry(path) {
            Entry::Missing => Ok(()),
            _ => Err(refuse(path.as_str(), "the new name is taken")),
        }
    }

    fn delete(
        &self,
        file: &FileOp,
        hunks: &[RawHunk],
        known: Option<&Known>,
        draft: &mut Draft,
        repairs: Vec<String>,
    ) -> Result<(), Refusal> {
        draft.kind = ChangeKind::Delete;
        draft.executable = false;
        let Some(known) = known else {
            return if self.based {
                Err(refuse(&file.path, "there is no such file"))
            } else {
                draft.placements.push(placement("already-applied", repairs, 1));
                Ok(())
            };
        };
        let text = &known.text;
        let base = Base::new(text);
        let shown: Vec<_> = hunks.iter().flat_map(|hunk| reading::plain(hunk).lines).collect();
        let matches = |level: Level| {
            let old: Vec<_> =
                shown.iter().filter(|line| line.mark != Mark::Add).map(|line| level.key(&line.text)).collect();
            shown.iter().all(|line| line.mark != Mark::Add) && base.keys(level) == old
        };
        let level = match shown.is_empty() {
            true => Some(Level::Exact),
            false => Level::STRICT.into_iter().chain(Level::LOOSER).find(|level| matches(*level)),
        };
        let level = level.ok_or_else(|| refuse(&file.path, "the removed text is not the whole file"))?;
        draft.placements.push(placement(level.name(), repairs, 1));
        Ok(())
    }

    fn edit(
        &self,
        file: &FileOp,
        hunks: &[RawHunk],
        known: Known,
        mut repairs: Vec<String>,
    ) -> Result<Edits, Vec<Refusal>> {
        let path = RelPath::new(&file.path).ok();
        let base = path.as_ref().map_or_else(|| Base::new(&known.text), |path| Base::of(path, &known.text));
        let (mut located, mut late, mut refusals) = (Vec::new(), Vec::new(), Vec::new());
        for (number, hunk) in hunks.iter().enumerate() {
            if let Some(why) = left_out(&reading::plain(hunk)) {
                refusals.push(refuse_hunk(&file.path, number, why, Vec::new()));
                continue;
            }
            match locate(hunk, &base, self.based) {
                Ok(found) => located.push((number, found)),
                Err(lost) if lost.why == "it changes nothing" && hunks.len() > 1 => {
                    repairs.push(format!("hunk {} changes nothing, dropped", number + 1));
                }
                Err(lost) if lost.why == NOT_FOUND && number > 0 && matches!(hunk.body, Body::Blocks { .. }) => {
                    late.push(number);
                }
                Err(lost) => refusals.push(refuse_hunk(&file.path, number, lost.why, lost.candidates)),
            }
        }
        if located.is_empty() {
            refusals.extend(late.drain(..).map(|number| refuse_hunk(&file.path, number, NOT_FOUND, Vec::new())));
        }
        if !refusals.is_empty() {
            return Err(refusals);
        }
        Ok(Edits { path: file.path.clone(), known, hunks: hunks.to_vec(), located, late, based: self.based, repairs })
    }
}

fn refuse_hunk(path: &str, number: usize, why: &str, candidates: Vec<u32>) -> Refusal {
    Refusal { path: path.to_owned(), hunk: Some(number as u32 + 1), why: why.to_owned(), candidates }
}

impl Staged {
    /// Whether a hunk fits only with its HTML entities decoded.
    fn is_escaped(&self) -> bool {
        let sites = self.edits.iter().flat_map(|edits| &edits.located).flat_map(|(_, found)| found.sites());
        sites.into_iter().any(|site| site.defect == Defect::Entities)
    }

    fn finish(self, habits: &Habits) -> Result<Draft, Vec<Refusal>> {
        let Self { mut draft, edits } = self;
        let Some(edits) = edits else { return Ok(draft) };
        let habit = habits.0.get(&family(&draft.path)).cloned().unwrap_or_default();
        let mut text = edits.apply(&edits.known.text, &edits.located, &edits.repairs, &habit, &mut draft)?;
        for number in &edits.late {
            let lost = || vec![refuse_hunk(&edits.path, *number, NOT_FOUND, Vec::new())];
            let found = locate_late(&edits.hunks[*number], &Base::new(&text), edits.based).ok_or_else(lost)?;
            let repairs = [edits.repairs.clone(), vec!["placed on the result of the blocks before it".to_owned()]];
            text = edits.apply(&text, &[(*number, found)], &repairs.concat(), &habit, &mut draft)?;
        }
        draft.after = Some(encode(&text, edits.known.encoding).into());
        Ok(draft)
    }
}

impl Edits {
    /// What was mended in one hunk before its lines were compared, its line number too.
    fn mended(&self, number: usize, found: &Located) -> Vec<String> {
        let hunk = &self.hunks[number];
        let mut repairs: Vec<String> = hunk.repairs.iter().map(|repair| (*repair).to_owned()).collect();
        let compared = |site: &&Site| site.level < Level::OuterContext && site.base.iter().any(Option::is_some);
        let start = found.sites().first().filter(compared).map(|site| site.start + 1);
        if let (true, Some(hint), Some(start)) = (self.based, hunk.hint, start)
            && hint as usize != start
        {
            repairs.push(format!("line number off by {}", start.abs_diff(hint as usize)));
        }
        repairs
    }

    /// The text with the located hunks applied; their placements go to the draft.
    fn apply(
        &self,
        text: &str,
        located: &[(usize, Located)],
        repairs: &[String],
        habit: &Habit,
        draft: &mut Draft,
    ) -> Result<String, Vec<Refusal>> {
        let base = Base::new(text);
        let mut plan = Plan::new(Style::of(located, &base, habit));
        let mut refusals = Vec::new();
        for (number, found) in located {
            let repairs = [repairs, &self.mended(*number, found)].concat();
            if let Err(why) = plan.take(found.clone(), &base, *number, &repairs) {
                refusals.push(refuse_hunk(&self.path, *number, why, Vec::new()));
            }
        }
        if !refusals.is_empty() {
            return Err(refusals);
        }
        let overlap = |number| vec![refuse_hunk(&self.path, number, "it overlaps with another hunk", Vec::new())];
        let edits = plan.edits().map_err(overlap)?;
        draft.placements.append(&mut plan.placements);
        Ok(rebuild(text, &edits, plan.ends))
    }
}

/// New text that stands for code instead of being code.
fn left_out(reading: &reading::Reading) -> Option<&'static str> {
    let stands = |text: &str| is_elision(text) && text.trim() != "...";
    let in_old = |text: &str| reading.old().any(|line| line.text.trim() == text.trim());
    let plain_dots =
        |text: &str| text.trim() == "..." && reading.lines.iter().filter(|line| line.mark == Mark::Cut).count() > 1;
    reading
        .lines
        .iter()
        .filter(|line| line.mark == Mark::Add)
        .any(|line| (stands(&line.text) || plain_dots(&line.text)) && !in_old(&line.text))
        .then_some("its new text leaves code out")
}

/// The lines of a hunk list that only adds, for a file that is not there.
fn created_by(hunks: &[RawHunk]) -> Option<Vec<String>> {
    let mut lines = Vec::new();
    for hunk in hunks {
        let Body::Marked(marked) = &hunk.body else { return None };
        for line in marked {
            if line.mark != Mark::Add {
                return None;
            }
            lines.push(line.text.clone());
        }
    }
    (!lines.is_empty()).then_some(lines)
}

fn create(
    file: &FileOp,
    lines: &[String],
    known: Option<&Known>,
    draft: &mut Draft,
    repairs: Vec<String>,
) -> Result<(), Refusal> {
    // Dots alone are also how people write "and so on" in an example; in a new file they take no code away.
    if lines.iter().any(|line| is_elision(line) && line.chars().any(char::is_alphabetic)) {
        return Err(refuse(&file.path, "its new text leaves code out"));
    }
    let mut text = lines.join("\n");
    if !lines.is_empty() && !file.no_newline {
        text.push('\n');
    }
    if let Some(why) = why_not_text(text.as_bytes()) {
        return Err(refuse(&file.path, why));
    }
    if let Some(known) = known {
        let same = |level: Level| Base::new(&known.text).keys(level) == Base::new(&text).keys(level);
        if !same(Level::TrailingSpace) {
            return Err(refuse(&file.path, "a file of that name is there already, with another text"));
        }
        draft.after = draft.before.clone();
        draft.placements.push(placement("already-applied", repairs, 1));
        return Ok(());
    }
    draft.kind = ChangeKind::Create;
    draft.after = Some(text.into_bytes().into());
    draft.placements.push(placement("whole-file", repairs, 1));
    Ok(())
}

/// A whole new text is a diff against the base: lines that stay keep their ends.
///
/// Without the text that the model saw, a line that it leaves out may be one that it never saw: then only a file that
/// has the text already, or none at all, is safe.
fn whole(
    file: &FileOp,
    lines: &[String],
    known: &Known,
    based: bool,
    draft: &mut Draft,
    repairs: Vec<String>,
) -> Result<(), Refusal> {
    let base = Base::new(&known.text);
    let old = base.keys(Level::TrailingSpace);
    let leaves_out = |line: &String| is_elision(line) && !old.iter().any(|known| known.trim() == line.trim());
    if lines.iter().any(leaves_out) {
        return Err(refuse(&file.path, "its new text leaves code out"));
    }
    let texts: Vec<&str> = lines.iter().map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
    let texts: Vec<&str> = match texts.split_first() {
        Some((first, rest)) if base.has_bom => {
            std::iter::once(first.strip_prefix('\u{feff}').unwrap_or(first)).chain(rest.iter().copied()).collect()
        }
        _ => texts,
    };
    let before: Vec<&str> = base.lines.iter().map(|line| line.text).collect();
    let edits: Vec<Edit> = diff_lines(&before, &texts)
        .into_iter()
        .filter(|op| !matches!(op, DiffOp::Equal { .. }))
        .map(|op| Edit {
            start: op.old_range().start,
            end: op.old_range().end,
            lines: texts[op.new_range()].iter().map(|text| NewLine { text: (*text).to_owned(), end: None }).collect(),
        })
        .collect();
    if !based && !edits.is_empty() && !known.text.trim().is_empty() {
        const BLIND: &str = "it is a whole new text, and without the text it was made from it could undo other changes";
        return Err(refuse(&file.path, BLIND));
    }
    draft.after = Some(encode(&rebuild(&known.text, &edits, Ends::default()), known.encoding).into());
    let level = if edits.is_empty() { "already-applied" } else { "whole-file" };
    draft.placements.push(placement(level, repairs, 1));
    Ok(())
}

/// Paths that are one file on some systems: equal but for case or Unicode form, or one inside the other.
fn collisions(drafts: &[Draft]) -> Vec<Refusal> {
    let mut seen: BTreeMap<String, &RelPath> = BTreeMap::new();
    let mut refusals = Vec::new();
    for draft in drafts {
        for path in [Some(&draft.path), draft.from.as_ref()].into_iter().flatten() {
            let key: String = path.as_str().nfc().flat_map(char::to_lowercase).collect();
            let own_rename = draft.from.as_ref() == Some(path)
                && key == draft.path.as_str().nfc().flat_map(char::to_lowercase).collect::<String>();
            if seen.insert(key, path).is_some() && !own_rename {
                refusals.push(refuse(path.as_str(), "the patch changes it twice"));
            }
        }
    }
    for draft in drafts.iter().filter(|draft| draft.kind != ChangeKind::Delete) {
        let inside = format!("{}/", draft.path);
        if drafts.iter().any(|other| other.path.as_str().starts_with(&inside)) {
            refusals.push(refuse(draft.path.as_str(), "the patch uses it as a file and as a directory"));
        }
    }
    refusals
}
