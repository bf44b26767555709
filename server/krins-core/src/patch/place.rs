//! Places a parsed answer on the base: paths judged, hunks located, edits checked against each other, bytes rebuilt.
//! All refusals are collected; a patch comes out only when there is none.

use super::bytes::{Edit, End, Ends, NewLine, rebuild, why_not_text};
use super::canonical::{Draft, assemble};
use super::indent::adjust;
use super::ir::{Action, Body, FileOp, Mark, RawHunk};
use super::ladder::{Base, Located, Site, locate};
use super::names::writable_name;
use super::norm::{Level, indent, is_elision};
use super::parse::refuse;
use super::reading::{self, Defect};
use super::{ChangeKind, Parsed, Patch, Placement, Refusal};
use crate::path::RelPath;
use crate::tree::{Entry, Tree};
use similar::{Algorithm, DiffOp, capture_diff_slices};
use std::collections::BTreeMap;
use std::sync::Arc;
use unicode_normalization::UnicodeNormalization;

pub(super) fn place(parsed: &Parsed, base: &dyn Tree, based: bool) -> Result<Patch, Vec<Refusal>> {
    let placer = Placer { base, based };
    let files = gathered(&parsed.files);
    let (drafts, decoded) = placer.all(&files)?;
    if !decoded {
        let unclear = entities_unclear(&files, base);
        return if unclear.is_empty() { Ok(assemble(drafts)) } else { Err(unclear) };
    }
    // One hunk fits only with its entities decoded, so the whole answer was escaped.
    let files: Vec<FileOp> = files.into_iter().map(decoded_file).collect();
    placer.all(&files).map(|(drafts, _)| assemble(drafts))
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
    bytes: Arc<[u8]>,
    executable: bool,
}

impl Placer<'_> {
    /// Every file's draft, and whether a hunk asked for its entities to be decoded.
    fn all(&self, files: &[FileOp]) -> Result<(Vec<Draft>, bool), Vec<Refusal>> {
        let (mut drafts, mut refusals, mut decoded) = (Vec::new(), Vec::new(), false);
        for file in files {
            match self.file(file) {
                Ok((draft, escaped)) => {
                    decoded |= escaped;
                    drafts.push(draft);
                }
                Err(more) => refusals.extend(more),
            }
        }
        refusals.extend(collisions(&drafts));
        if refusals.is_empty() { Ok((drafts, decoded)) } else { Err(refusals) }
    }

    fn file(&self, file: &FileOp) -> Result<(Draft, bool), Vec<Refusal>> {
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
        let escaped = match (&file.action, &known) {
            (Action::Create(lines), known) => {
                create(file, lines, known.as_ref(), &mut draft, repairs).map_err(one)?;
                false
            }
            (Action::Whole(lines), None) => {
                create(file, lines, None, &mut draft, repairs).map_err(one)?;
                false
            }
            (Action::Whole(lines), Some(known)) => {
                whole(file, lines, known, &mut draft, repairs).map_err(one)?;
                false
            }
            (Action::Delete(hunks), known) => {
                self.delete(file, hunks, known.as_ref(), &mut draft, repairs).map_err(one)?;
                false
            }
            (Action::Edit(hunks), Some(known)) => self.edit(file, hunks, known, &mut draft, &repairs)?,
            (Action::Edit(hunks), None) => {
                let lines = created_by(hunks).filter(|_| file.from.is_none());
                let lines = lines.ok_or_else(|| one(refuse(&file.path, "there is no such file")))?;
                repairs.push("taken as a new file".into());
                create(file, &lines, None, &mut draft, repairs).map_err(one)?;
                false
            }
        };
        Ok((draft, escaped))
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
            Entry::File { bytes, executable } => match why_not_text(&bytes) {
                Some(why) => Err(refuse(shown, why)),
                None => Ok(Some(Known { bytes, executable })),
            },
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
        let text = text_of(known);
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
        known: &Known,
        draft: &mut Draft,
        repairs: &[String],
    ) -> Result<bool, Vec<Refusal>> {
        let base = Base::new(text_of(known));
        let mut plan = Plan::default();
        let mut located: Vec<(usize, Located)> = Vec::new();
        let mut refusals = Vec::new();
        for (number, hunk) in hunks.iter().enumerate() {
            let refuse = |why: &str, candidates: Vec<u32>| Refusal {
                path: file.path.clone(),
                hunk: Some(number as u32 + 1),
                why: why.to_owned(),
                candidates,
            };
            let added = reading::plain(hunk);
            if let Some(why) = left_out(&added) {
                refusals.push(refuse(why, Vec::new()));
                continue;
            }
            match locate(hunk, &base, self.based) {
                Ok(found) => located.push((number, found)),
                Err(lost) if lost.why == "it changes nothing" && hunks.len() > 1 => {}
                Err(lost) => refusals.push(refuse(lost.why, lost.candidates)),
            }
        }
        plan.foreign = located
            .iter()
            .any(|(_, found)| matches!(found, Located::At(sites) if sites.iter().any(|site| is_foreign(site, &base))));
        for (number, found) in located {
            if let Err(why) = plan.take(found, &base, number, repairs) {
                refusals.push(Refusal {
                    path: file.path.clone(),
                    hunk: Some(number as u32 + 1),
                    why: why.to_owned(),
                    candidates: Vec::new(),
                });
            }
        }
        if refusals.is_empty() {
            refusals.extend(plan.settle().err().map(|number| Refusal {
                path: file.path.clone(),
                hunk: Some(number as u32 + 1),
                why: "it overlaps with another hunk".into(),
                candidates: Vec::new(),
            }));
        }
        if !refusals.is_empty() {
            return Err(refusals);
        }
        let edits: Vec<Edit> = plan.edits.into_iter().map(|(edit, _)| edit).collect();
        draft.after = Some(rebuild(text_of(known), &edits, plan.ends).into_bytes().into());
        draft.placements = plan.placements;
        Ok(plan.decoded)
    }
}

fn text_of(known: &Known) -> &str {
    std::str::from_utf8(&known.bytes).unwrap_or_default()
}

fn placement(level: &str, repairs: Vec<String>, line: usize) -> Placement {
    Placement { level: level.to_owned(), repairs, line: u32::try_from(line).unwrap_or(u32::MAX) }
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
    if lines.iter().any(|line| is_elision(line) && line.trim() != "...") {
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
        let same = |level: Level| Base::new(text_of(known)).keys(level) == Base::new(&text).keys(level);
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
fn whole(
    file: &FileOp,
    lines: &[String],
    known: &Known,
    draft: &mut Draft,
    repairs: Vec<String>,
) -> Result<(), Refusal> {
    let base = Base::new(text_of(known));
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
    let edits: Vec<Edit> = capture_diff_slices(Algorithm::Histogram, &before, &texts)
        .into_iter()
        .filter(|op| !matches!(op, DiffOp::Equal { .. }))
        .map(|op| Edit {
            start: op.old_range().start,
            end: op.old_range().end,
            lines: texts[op.new_range()].iter().map(|text| NewLine { text: (*text).to_owned(), end: None }).collect(),
        })
        .collect();
    draft.after = Some(rebuild(text_of(known), &edits, Ends::default()).into_bytes().into());
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

/// The edits of one file, with the hunk that asked for each.
#[derive(Default)]
struct Plan {
    edits: Vec<(Edit, usize)>,
    ends: Ends,
    placements: Vec<Placement>,
    decoded: bool,
    /// Old lines show that the answer uses tabs where the file has spaces, or the reverse.
    foreign: bool,
}

impl Plan {
    fn take(
        &mut self,
        located: Located,
        base: &Base<'_>,
        number: usize,
        repairs: &[String],
    ) -> Result<(), &'static str> {
        match located {
            Located::Already { line, repairs: more } => {
                let repairs = repairs.iter().cloned().chain(more).collect();
                self.placements.push(placement("already-applied", repairs, line + 1));
            }
            Located::Inside { start, end, lines } => {
                let lines = lines.into_iter().map(|text| NewLine { text, end: None }).collect();
                self.edits.push((Edit { start, end, lines }, number));
                self.placements.push(placement("exact", repairs.to_vec(), start + 1));
            }
            Located::At(sites) => {
                for site in sites {
                    self.site(site, base, number, repairs)?;
                }
            }
        }
        Ok(())
    }

    fn site(&mut self, mut site: Site, base: &Base<'_>, number: usize, repairs: &[String]) -> Result<(), &'static str> {
        self.decoded |= site.defect == Defect::Entities;
        restore_moved(&mut site, base);
        if let Some(repair) = reindent(&mut site, base, self.foreign)? {
            site.repairs.push(repair.to_owned());
        }
        self.ends.bom = site.bom.or(self.ends.bom);
        self.final_newline(&site, base);
        self.edits.extend(edits_of(&site, base).into_iter().map(|edit| (edit, number)));
        let mut all: Vec<String> = repairs.to_vec();
        if site.level == Level::LineEnds {
            all.push("line ends taken from the file".into());
        }
        all.extend(site.repairs);
        self.placements.push(placement(site.level.name(), all, site.start + 1));
        Ok(())
    }

    /// `\ No newline at end of file` counts where the hunk reaches the end of the base.
    fn final_newline(&mut self, site: &Site, base: &Base<'_>) {
        let reaches = base.lines.is_empty() || site.base.iter().flatten().any(|line| line + 1 == base.lines.len());
        let marked = |mark: Mark| site.lines.iter().any(|line| line.mark == mark && line.no_newline);
        let had = base.lines.last().is_none_or(|line| line.end != End::None);
        if !reaches {
            return;
        }
        if marked(Mark::Add) || marked(Mark::Keep) {
            self.ends.final_newline = Some(false);
        } else if marked(Mark::Cut) && !had {
            self.ends.final_newline = Some(true);
        }
    }

    /// Sorts the edits and drops repeated ones; `Err` names the hunk that overlaps.
    fn settle(&mut self) -> Result<(), usize> {
        self.edits.sort_by_key(|(edit, number)| (edit.start, edit.end, *number));
        let before = self.edits.len();
        self.edits.dedup_by(|(a, _), (b, _)| a == b);
        if self.edits.len() < before
            && let Some(placement) = self.placements.last_mut()
        {
            placement.repairs.push("a repeated hunk dropped".into());
        }
        for pair in self.edits.windows(2) {
            let ((first, _), (second, number)) = (&pair[0], &pair[1]);
            if second.start < first.end || second.start == first.start {
                return Err(*number);
            }
        }
        Ok(())
    }
}

/// A line that the hunk takes away and puts back elsewhere comes back as the file has it, not as the model copied it.
fn restore_moved(site: &mut Site, base: &Base<'_>) {
    if site.level < Level::Punctuation || site.level == Level::Indentation {
        return;
    }
    for at in 0..site.lines.len() {
        if site.lines[at].mark != Mark::Add || site.lines[at].text.trim().is_empty() {
            continue;
        }
        let copied = |n: &usize| site.lines[*n].mark == Mark::Cut && site.lines[*n].text == site.lines[at].text;
        let mut origins =
            (0..site.lines.len()).filter(copied).filter_map(|n| site.base[n]).map(|line| base.lines[line].text);
        if let Some(text) = origins.next().filter(|first| origins.all(|other| other == *first)) {
            site.lines[at].text = text.to_owned();
        }
    }
}

/// Whether a hunk's old lines have tabs for the file's spaces, or the reverse.
fn is_foreign(site: &Site, base: &Base<'_>) -> bool {
    let tabs = |text: &str| indent(text).contains('\t');
    let spaces = |text: &str| indent(text).starts_with("  ");
    site.lines.iter().zip(&site.base).filter_map(|(line, at)| Some((line.text.as_str(), base.lines[(*at)?].text))).any(
        |(model, file)| {
            !model.trim().is_empty()
                && (tabs(model) && spaces(file) && !tabs(file) || spaces(model) && tabs(file) && !tabs(model))
        },
    )
}

/// New lines in the file's indentation; the repair when they changed.
fn reindent(site: &mut Site, base: &Base<'_>, foreign: bool) -> Result<Option<&'static str>, &'static str> {
    const UNKNOWN: &str = "its new lines are indented in another way than the file, and the unit cannot be learnt";
    let added: Vec<usize> = (0..site.lines.len()).filter(|at| site.lines[*at].mark == Mark::Add).collect();
    let texts: Vec<&str> = added.iter().map(|at| site.lines[*at].text.as_str()).collect();
    let pairs = |marks: &[Mark]| -> Vec<(&str, &str)> {
        site.lines
            .iter()
            .zip(&site.base)
            .filter(|(line, _)| marks.contains(&line.mark))
            .filter_map(|(line, at)| Some((line.text.as_str(), base.lines[(*at)?].text)))
            .collect()
    };
    let all = pairs(&[Mark::Keep, Mark::Cut]);
    let new = if site.level >= Level::Indentation {
        Some(adjust(&all, &pairs(&[Mark::Cut]), &texts, base.unit()).ok_or(UNKNOWN)?)
    } else {
        let indented = all.iter().any(|(_, file)| !file.trim().is_empty() && !matches!(indent(file), "" | " "));
        if foreign && !indented { base.unit().foreign(&texts).map_err(|()| UNKNOWN)? } else { None }
    };
    let Some(new) = new.filter(|new| *new != texts) else { return Ok(None) };
    for (at, text) in added.into_iter().zip(new) {
        site.lines[at].text = text;
    }
    Ok(Some("new lines put into the file's indentation"))
}

/// What a placed hunk does to the base lines.
fn edits_of(site: &Site, base: &Base<'_>) -> Vec<Edit> {
    let exact = site.level == Level::Exact;
    let mut edits: Vec<Edit> = Vec::new();
    let mut open = false;
    let mut at: Option<usize> = None;
    for (n, line) in site.lines.iter().enumerate() {
        match line.mark {
            Mark::Keep => {
                at = site.base[n].map(|line| line + 1);
                open = false;
            }
            Mark::Cut => {
                let Some(cut) = site.base[n] else { continue };
                match edits.last_mut().filter(|edit| open && edit.end == cut) {
                    Some(edit) => edit.end = cut + 1,
                    None => edits.push(Edit { start: cut, end: cut + 1, lines: Vec::new() }),
                }
                open = true;
                at = Some(cut + 1);
            }
            Mark::Add => {
                if !open {
                    let next = site.base[n..].iter().flatten().next().copied();
                    let start = at.or(next).unwrap_or(site.start).min(base.lines.len());
                    edits.push(Edit { start, end: start, lines: Vec::new() });
                    open = true;
                }
                let end = if !exact {
                    None
                } else if line.cr {
                    Some(End::CrLf)
                } else {
                    Some(End::Lf)
                };
                if let Some(edit) = edits.last_mut() {
                    edit.lines.push(NewLine { text: line.text.clone(), end });
                }
            }
        }
    }
    edits
}
