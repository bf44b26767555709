//! The ladder: where in the base a hunk belongs. Candidates are collected level by level, the first level that has any
//! decides, and more than one candidate is decided by a base-anchored line number or not at all.

use super::align::{align, surely};
use super::bytes::{End, Line, base_bom, split, without_bom};
use super::indent::Unit;
use super::ir::{Body, HunkLine, Mark, RawHunk};
use super::norm::{Level, indent, is_elision};
use super::reading::{self, Defect, Reading};
use super::symbols::{self, Declared, Verdict, declared};
use crate::path::RelPath;
use std::borrow::Cow;
use std::cell::OnceCell;

/// How many candidate lines a refusal lists.
const MAX_LISTED: usize = 20;
/// How far a line number may be off, and how much farther the next candidate must be, for the number to decide.
const HINT_REACH: usize = 8;
const HINT_RATIO: usize = 4;
/// So many lines of context are shown on each side where there are as many.
const FULL_CONTEXT: usize = 3;
/// How many outer context lines may be dropped on each side.
const MAX_DROPPED: usize = 3;

/// The base as lines, with the keys of each level made once.
pub(super) struct Base<'a> {
    pub has_bom: bool,
    pub text: &'a str,
    pub lines: Vec<Line<'a>>,
    path: Option<&'a RelPath>,
    keys: [OnceCell<Vec<Cow<'a, str>>>; Level::ONE_TO_ONE],
    unit: OnceCell<Unit>,
    declared: OnceCell<Option<Vec<Declared>>>,
}

impl<'a> Base<'a> {
    pub fn new(text: &'a str) -> Self {
        let (has_bom, text) = base_bom(text);
        let (keys, unit, declared) = (Default::default(), OnceCell::new(), OnceCell::new());
        Self { has_bom, text, lines: split(text), path: None, keys, unit, declared }
    }

    /// As [`Base::new`], for the text of a file whose language its name tells.
    pub fn of(path: &'a RelPath, text: &'a str) -> Self {
        Self { path: Some(path), ..Self::new(text) }
    }

    pub fn keys(&self, level: Level) -> &[Cow<'a, str>] {
        let slot = (level as usize).min(Level::ONE_TO_ONE - 1);
        self.keys[slot].get_or_init(|| {
            self.lines
                .iter()
                .map(|line| match (level, line.end) {
                    (Level::Exact, End::CrLf) => Cow::Owned(format!("{}\r", line.text)),
                    _ => level.key(line.text),
                })
                .collect()
        })
    }

    /// What a hunk's header says of old text at a place. git's own header, the last line before the hunk that begins a
    /// declaration, is known without a look at the syntax.
    fn verdict(&self, hunk: &RawHunk, start: usize, changed: usize) -> Verdict {
        let Some(section) = hunk.section.last() else { return Verdict::Open };
        let begins = |text: &str| text.starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | '$'));
        let above = self.lines[..start.min(self.lines.len())].iter().rev().find(|line| begins(line.text));
        if above.is_some_and(|line| line.text.starts_with(section.as_str())) {
            return Verdict::Inside;
        }
        let declared = self.declared.get_or_init(|| self.path.and_then(|path| declared(path, self.text)));
        declared.as_ref().map_or(Verdict::Open, |all| symbols::verdict(hunk, all, start, changed))
    }

    pub fn unit(&self) -> Unit {
        *self.unit.get_or_init(|| Unit::of(self.lines.iter().map(|line| line.text)))
    }
}

/// A hunk with its place.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub level: Level,
    pub lines: Vec<HunkLine>,
    /// For each hunk line the base line that it was matched with.
    pub base: Vec<Option<usize>>,
    /// Zero-based base line where the hunk's old text begins.
    pub start: usize,
    pub repairs: Vec<String>,
    pub defect: Defect,
    /// As in [`Reading`].
    pub bom: Option<bool>,
}

#[derive(Clone, Debug)]
pub(super) enum Located {
    /// One site, or several where an elision divides the hunk.
    At(Vec<Site>),
    /// The new text of part of a line (`str_replace`): base lines `start..end` become `lines`.
    Inside {
        start: usize,
        end: usize,
        lines: Vec<String>,
    },
    Already {
        line: usize,
        repairs: Vec<String>,
    },
}

impl Located {
    pub fn sites(&self) -> &[Site] {
        match self {
            Located::At(sites) => sites,
            Located::Inside { .. } | Located::Already { .. } => &[],
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub why: &'static str,
    /// 1-based.
    pub candidates: Vec<u32>,
}

pub(super) const NOT_FOUND: &str = "its old text is nowhere in the file";

const GOES_ON: &str =
    "its new lines stood at the end of the file, which goes on there now: without the base their place is not known";

fn lost(why: &'static str) -> Lost {
    Lost { why, candidates: Vec::new() }
}

pub(super) fn locate(hunk: &RawHunk, base: &Base<'_>, based: bool) -> Result<Located, Lost> {
    let found = placed(hunk, base, based)?;
    let elsewhere = |site: &Site| base.verdict(hunk, site.start, first_change(site)) == Verdict::Elsewhere;
    if found.sites().first().is_some_and(elsewhere) {
        return Err(Lost {
            why: "its header names another declaration than the one its old text stands in",
            candidates: found.sites().iter().map(|site| site.start as u32 + 1).collect(),
        });
    }
    Ok(found)
}

/// The base line that a site changes first, or inserts behind.
fn first_change(site: &Site) -> usize {
    let change = site.lines.iter().position(|line| line.mark != Mark::Keep).unwrap_or(0);
    let here = site.base.get(change).copied().flatten();
    here.or_else(|| site.base[..change].iter().rev().flatten().next().copied()).unwrap_or(site.start)
}

fn placed(hunk: &RawHunk, base: &Base<'_>, based: bool) -> Result<Located, Lost> {
    let plain = with_bom_off(reading::plain(hunk), base);
    if !plain.changes() {
        return Err(lost("it changes nothing"));
    }
    if plain.old().next().is_none() {
        return without_old(plain, base, based);
    }
    let numbered = based && plain.hint.is_some();
    if !numbered && plain.old().all(|line| line.text.trim().is_empty()) && base.lines.len() > plain.old().count() {
        return Err(lost("its old text is blank, so it could be anywhere"));
    }
    let finder = Finder { base, hunk, based };
    if let Some(found) = finder.one_to_one(&plain)? {
        return Ok(found);
    }
    if let Some(line) = already(&plain, base).or_else(|| already_cut(&plain, base, based)) {
        return Ok(Located::Already { line, repairs: Vec::new() });
    }
    if let Some(found) = finder.inside()? {
        return Ok(found);
    }
    if let Some(sites) = finder.divided(&plain)? {
        return Ok(Located::At(sites));
    }
    let loose = if based {
        match finder.trimmed(&plain)? {
            None => finder.aligned(&plain)?,
            found => found,
        }
    } else {
        surely_aligned(&plain, base)
    };
    loose.map(|site| Located::At(vec![site])).ok_or_else(|| lost(NOT_FOUND))
}

/// A block that stands in a text only since earlier blocks of the same answer were applied to it: line by line as it
/// is, in one place.
pub(super) fn locate_late(hunk: &RawHunk, base: &Base<'_>, based: bool) -> Option<Located> {
    let plain = with_bom_off(reading::plain(hunk), base);
    let solid = plain.old().any(|line| line.text.trim().len() > 3);
    let finder = Finder { base, hunk: &RawHunk { hint: None, ..hunk.clone() }, based };
    finder.levels(&plain, &Level::STRICT).ok().flatten().filter(|_| solid && plain.changes())
}

/// Without the base, one context line may be altered or left out, where no other place of the file is like this one.
fn surely_aligned(plain: &Reading, base: &Base<'_>) -> Option<Site> {
    let (map, repairs) = surely(&plain.lines, base)?;
    let site = Site {
        level: Level::Alignment,
        lines: plain.lines.clone(),
        start: map.iter().flatten().next().copied().unwrap_or(0),
        base: map,
        repairs,
        defect: Defect::None,
        bom: plain.bom,
    };
    (!hangs_on_a_bracket(&site, base)).then_some(site)
}

/// Whether new lines at an end of the hunk hang on one line without a word in it, which the file indents in another way
/// than the rest of the hunk says: of such a line the indentation is all that tells it from the next of its kind.
fn hangs_on_a_bracket(site: &Site, base: &Base<'_>) -> bool {
    if site.level < Level::Indentation {
        return false;
    }
    let pairs = || site.lines.iter().zip(&site.base).filter_map(|(line, at)| Some((line, base.lines[(*at)?].text)));
    let shifted = |line: &HunkLine, file: &str| indent(&line.text) != indent(file);
    let mixed = pairs().any(|(line, file)| !line.text.trim().is_empty() && !shifted(line, file));
    let hangs = |edge: Option<&HunkLine>, next: Option<(&HunkLine, &str)>| {
        edge.is_some_and(|line| line.mark == Mark::Add)
            && next.is_some_and(|(line, file)| !file.contains(char::is_alphanumeric) && shifted(line, file))
    };
    mixed && (hangs(site.lines.first(), pairs().next()) || hangs(site.lines.last(), pairs().last()))
}

/// A byte order mark is shown by few answers; where the file has one it is no part of its first line.
fn with_bom_off(mut reading: Reading, base: &Base<'_>) -> Reading {
    if !base.has_bom {
        return reading;
    }
    let shows = |line: Option<&HunkLine>| line.is_some_and(|line| without_bom(&line.text).0);
    let (old, new) = (shows(reading.old().next()), shows(reading.added_and_kept().next()));
    reading.bom = (old || new).then_some(new);
    let first_old = reading.lines.iter().position(|line| line.mark != Mark::Add);
    let first_new = reading.lines.iter().position(|line| line.mark != Mark::Cut);
    for at in [first_old, first_new].into_iter().flatten() {
        let line = &mut reading.lines[at].text;
        *line = without_bom(line).1.to_owned();
    }
    reading
}

fn without_old(reading: Reading, base: &Base<'_>, based: bool) -> Result<Located, Lost> {
    let at = match reading.hint {
        _ if base.lines.is_empty() => 0,
        Some(line) if based && (line as usize) <= base.lines.len() => line as usize,
        _ => return Err(lost("it has no old line, so its place is not known")),
    };
    let repairs = if base.lines.is_empty() { Vec::new() } else { vec!["placed by its line number alone".to_owned()] };
    Ok(Located::At(vec![Site {
        level: Level::Exact,
        base: vec![None; reading.lines.len()],
        lines: reading.lines,
        start: at,
        repairs,
        defect: Defect::None,
        bom: reading.bom,
    }]))
}

struct Finder<'a, 'b> {
    base: &'a Base<'b>,
    hunk: &'a RawHunk,
    based: bool,
}

impl Finder<'_, '_> {
    /// All readings at the levels that compare line by line; strict levels of every reading come before loose ones.
    fn one_to_one(&self, plain: &Reading) -> Result<Option<Located>, Lost> {
        if let Some(found) = self.levels(plain, &Level::STRICT)? {
            return Ok(Some(found));
        }
        let keys = self.base.keys(Level::TrailingSpace);
        let known = |line: &str| keys.iter().any(|key| *key == Level::TrailingSpace.key(line));
        let others = reading::others(self.hunk, &known);
        for reading in &others {
            if reading.changes()
                && reading.old().next().is_some()
                && let Some(found) = self.levels(reading, &Level::STRICT)?
            {
                return Ok(Some(found));
            }
        }
        if already(plain, self.base).is_some() {
            return Ok(None);
        }
        if let Some(found) = self.levels(plain, &Level::LOOSER)? {
            return Ok(Some(found));
        }
        for reading in others.iter().filter(|reading| matches!(reading.defect, Defect::LineNumbers | Defect::Entities))
        {
            if let Some(found) = self.levels(reading, &Level::LOOSER)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn levels(&self, reading: &Reading, levels: &[Level]) -> Result<Option<Located>, Lost> {
        for level in levels {
            let keys = self.base.keys(*level);
            let old: Vec<Cow<'_, str>> = reading.old().map(|line| key_of(*level, line)).collect();
            let found = occurrences(keys, &old);
            if found.is_empty() {
                continue;
            }
            let offset = change_offset(reading);
            let (start, told_apart) = match self.named(&found, offset) {
                Some(one) => (one, true),
                None => (self.choose(&found, old.len(), reading.hint)?, false),
            };
            if !self.based && covered(reading, keys, *level, start, old.len()) {
                return at_an_edge(reading, start).map(Some);
            }
            if !self.based && self.goes_on(reading, start + old.len()) {
                return Err(lost(GOES_ON));
            }
            let mut found = site(reading, *level, start);
            if told_apart {
                found.repairs.push("told apart by the declaration that its header names".to_owned());
            }
            if !hangs_on_a_bracket(&found, self.base) {
                return Ok(Some(Located::At(vec![found])));
            }
        }
        Ok(None)
    }

    /// Whether the hunk says that it stood at the end of the file, which goes on at `end` now.
    fn goes_on(&self, reading: &Reading, end: usize) -> bool {
        let last = self.base.lines.iter().rposition(|line| !line.text.trim().is_empty());
        (self.hunk.at_end || ends_the_file(reading)) && last.is_some_and(|last| last >= end)
    }

    /// The only one of several places that stands in the declaration that the hunk's header names.
    fn named(&self, found: &[usize], offset: usize) -> Option<usize> {
        if found.len() < 2 || self.hunk.section.is_empty() {
            return None;
        }
        let inside = |start: &&usize| self.base.verdict(self.hunk, **start, **start + offset) == Verdict::Inside;
        let mut inside = found.iter().filter(inside);
        let one = inside.next().filter(|_| inside.next().is_none())?;
        // A line number that says something else is one witness against another.
        let by_number =
            self.hunk.hint.map(|hint| (hint as usize).saturating_sub(1)).filter(|line| found.contains(line));
        (by_number.is_none_or(|line| line == *one)).then_some(*one)
    }

    /// The one place among the candidates, or a refusal with all of them.
    fn choose(&self, found: &[usize], len: usize, hint: Option<u32>) -> Result<usize, Lost> {
        if let [one] = found {
            return Ok(*one);
        }
        if self.hunk.at_end
            && let Some(last) = found.iter().find(|start| *start + len == self.base.lines.len())
        {
            return Ok(*last);
        }
        if let (true, Some(hint)) = (self.based, hint)
            && let Some(start) = nearest(found, (hint as usize).saturating_sub(1))
        {
            return Ok(start);
        }
        Err(Lost {
            why: "its old text is in the file more than once",
            candidates: found.iter().take(MAX_LISTED).map(|start| *start as u32 + 1).collect(),
        })
    }

    /// `str_replace` tools promise text, not lines: the old text may begin and end inside lines.
    fn inside(&self) -> Result<Option<Located>, Lost> {
        let Body::Blocks { old, new, inside_lines: true } = &self.hunk.body else {
            return Ok(None);
        };
        let style = if self.base.text.contains("\r\n") { "\r\n" } else { "\n" };
        let (old, new) = (old.join(style), new.join(style));
        let mut found = self.base.text.match_indices(old.as_str()).map(|(at, _)| at).take(MAX_LISTED);
        let Some(at) = found.next().filter(|_| !old.trim().is_empty()) else {
            return Ok(None);
        };
        let line_of = |at: usize| self.base.text[..at].matches('\n').count();
        let more: Vec<u32> = found.map(|at| line_of(at) as u32 + 1).collect();
        if !more.is_empty() {
            let mut candidates = vec![line_of(at) as u32 + 1];
            candidates.extend(more);
            return Err(Lost { why: "its old text is in the file more than once", candidates });
        }
        let (start, end) = (line_of(at), line_of(at + old.len()) + 1);
        let from = self.base.text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let to = self.base.text[at + old.len()..]
            .find('\n')
            .map_or(self.base.text.len(), |newline| at + old.len() + newline);
        let text = format!("{}{new}{}", &self.base.text[from..at], &self.base.text[at + old.len()..to]);
        let lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line).to_owned()).collect();
        Ok(Some(Located::Inside { start, end: end.min(self.base.lines.len()), lines }))
    }

    /// A context line like `// ... existing code ...` divides the hunk; each part must have its one place, in order.
    fn divided(&self, plain: &Reading) -> Result<Option<Vec<Site>>, Lost> {
        let elided = |line: &HunkLine| line.mark == Mark::Keep && is_elision(&line.text);
        if !plain.lines.iter().any(elided) {
            return Ok(None);
        }
        let mut sites: Vec<Site> = Vec::new();
        let mut floor = 0;
        for part in plain.lines.split(elided) {
            let part = Reading { defect: Defect::None, lines: part.to_vec(), hint: None, bom: None };
            if part.old().all(|line| line.text.trim().is_empty()) {
                if part.changes() {
                    return Err(lost("next to left-out code it has no old line, so its place is not known"));
                }
                continue;
            }
            let levels: Vec<Level> = Level::STRICT.into_iter().chain(Level::LOOSER).collect();
            let Some(Located::At(found)) = self.levels(&part, &levels)? else {
                return Err(lost(NOT_FOUND));
            };
            for mut site in found {
                if site.start < floor {
                    return Err(lost("the parts around left-out code are in another order in the file"));
                }
                floor = site.start + part.old().count();
                if part.changes() {
                    site.repairs.push("left-out context".into());
                    sites.push(site);
                }
            }
        }
        Ok(Some(sites))
    }

    /// With outer context lines dropped, as few as possible.
    fn trimmed(&self, plain: &Reading) -> Result<Option<Site>, Lost> {
        let lead = plain.lines.iter().take_while(|line| line.mark == Mark::Keep).count();
        let trail = plain.lines.iter().rev().take_while(|line| line.mark == Mark::Keep).count();
        let keys = self.base.keys(Level::WhiteSpace);
        for dropped in 1..=lead.min(MAX_DROPPED) + trail.min(MAX_DROPPED) {
            let mut sites: Vec<Site> = Vec::new();
            for head in 0..=dropped.min(lead).min(MAX_DROPPED) {
                let tail = dropped - head;
                if tail > trail.min(MAX_DROPPED) {
                    continue;
                }
                let inner = Reading { lines: plain.lines[head..plain.lines.len() - tail].to_vec(), ..plain.clone() };
                if !anchored(&inner, lead > 0, trail > 0) {
                    continue;
                }
                let old: Vec<Cow<'_, str>> = inner.old().map(|line| key_of(Level::WhiteSpace, line)).collect();
                for start in occurrences(keys, &old) {
                    let mut found = site(&inner, Level::OuterContext, start);
                    found.lines.splice(0..0, plain.lines[..head].iter().cloned());
                    found.base.splice(0..0, std::iter::repeat_n(None, head));
                    found.repairs.push(format!("{dropped} outer context line(s) dropped"));
                    found.lines.extend(plain.lines[plain.lines.len() - tail..].iter().cloned());
                    found.base.extend(std::iter::repeat_n(None, tail));
                    if !sites.iter().any(|site| changed(site) == changed(&found)) {
                        sites.push(found);
                    }
                }
            }
            if !sites.is_empty() {
                return self.one_of(sites, plain.hint).map(Some);
            }
        }
        Ok(None)
    }

    fn aligned(&self, plain: &Reading) -> Result<Option<Site>, Lost> {
        let sites: Vec<Site> = align(&plain.lines, self.base)
            .into_iter()
            .map(|(base, repairs)| Site {
                level: Level::Alignment,
                lines: plain.lines.clone(),
                start: base.iter().flatten().next().copied().unwrap_or(0),
                base,
                repairs,
                defect: Defect::None,
                bom: plain.bom,
            })
            .filter(|site| !hangs_on_a_bracket(site, self.base))
            .collect();
        if sites.is_empty() {
            return Ok(None);
        }
        self.one_of(sites, plain.hint).map(Some)
    }

    fn one_of(&self, mut sites: Vec<Site>, hint: Option<u32>) -> Result<Site, Lost> {
        sites.sort_by_key(|site| site.start);
        let starts: Vec<usize> = sites.iter().map(|site| site.start).collect();
        let start = self.choose(&starts, usize::MAX / 2, hint)?;
        sites.into_iter().find(|site| site.start == start).ok_or_else(|| lost(NOT_FOUND))
    }
}

/// The base lines that a site changes.
fn changed(site: &Site) -> Vec<(Mark, Option<usize>)> {
    let mut before = None;
    let mut out = Vec::new();
    for (line, base) in site.lines.iter().zip(&site.base) {
        match line.mark {
            Mark::Keep => before = base.or(before),
            Mark::Cut => out.push((Mark::Cut, *base)),
            Mark::Add => out.push((Mark::Add, before)),
        }
    }
    out
}

/// Whether a hunk without its outer context still says enough about its place.
fn anchored(inner: &Reading, lead: bool, trail: bool) -> bool {
    let solid = |line: &&HunkLine| line.text.trim().len() > 3;
    if inner.lines.iter().any(|line| line.mark == Mark::Cut && line.text.trim().len() > 3) {
        return true;
    }
    let edge = |line: Option<&HunkLine>| line.is_some_and(|line| line.mark != Mark::Add);
    inner.old().filter(solid).count() > 0
        && (!lead || edge(inner.lines.first()))
        && (!trail || edge(inner.lines.last()))
}

fn key_of(level: Level, line: &HunkLine) -> Cow<'_, str> {
    if level == Level::Exact && line.cr {
        return Cow::Owned(format!("{}\r", line.text));
    }
    level.key(&line.text)
}

fn site(reading: &Reading, level: Level, start: usize) -> Site {
    let mut at = start;
    let base = reading
        .lines
        .iter()
        .map(|line| {
            (line.mark != Mark::Add).then(|| {
                at += 1;
                at - 1
            })
        })
        .collect();
    Site {
        level,
        lines: reading.lines.clone(),
        base,
        start,
        repairs: reading.repairs(),
        defect: reading.defect,
        bom: reading.bom,
    }
}

/// A number decides when it names a candidate exactly, or is near one and far from the next.
fn nearest(found: &[usize], line: usize) -> Option<usize> {
    if found.contains(&line) {
        return Some(line);
    }
    let mut by_distance: Vec<(usize, usize)> = found.iter().map(|start| (start.abs_diff(line), *start)).collect();
    by_distance.sort_unstable();
    match by_distance.as_slice() {
        [(near, start), (next, _), ..] if *near <= HINT_REACH && *next >= near * HINT_RATIO => Some(*start),
        _ => None,
    }
}

/// Whether the new text stands around the old text's place already, as after appending to a line that stays.
fn covered(reading: &Reading, keys: &[Cow<'_, str>], level: Level, start: usize, len: usize) -> bool {
    let new: Vec<Cow<'_, str>> = reading.added_and_kept().map(|line| key_of(level, line)).collect();
    new.len() > len && occurrences(keys, &new).into_iter().any(|at| at <= start && at + new.len() >= start + len)
}

/// Whether new lines were put at a file's end, as far as they show it: they follow as much context as a diff shows, the
/// last of it at the outermost level, and begin with a blank line, and nothing follows them.
fn ends_the_file(reading: &Reading) -> bool {
    let added = reading.lines.iter().rev().take_while(|line| line.mark == Mark::Add).count();
    let (kept, new) = reading.lines.split_at(reading.lines.len() - added);
    let above = kept.iter().rev().take_while(|line| line.mark == Mark::Keep).count();
    let outermost = kept.last().is_some_and(|line| !line.text.trim().is_empty() && indent(&line.text).is_empty());
    above >= FULL_CONTEXT && outermost && new.first().is_some_and(|line| line.text.trim().is_empty())
}

/// New lines at the hunk's edge stand beside the old text, which stays as it was: applied already. New lines between
/// old ones can only look applied where lines repeat.
fn at_an_edge(reading: &Reading, start: usize) -> Result<Located, Lost> {
    let inner = |line: Option<&HunkLine>| line.is_some_and(|line| line.mark == Mark::Keep);
    if inner(reading.lines.first()) && inner(reading.lines.last()) {
        return Err(lost("its lines repeat, so without the base it cannot be told whether it is applied already"));
    }
    Ok(Located::Already { line: start, repairs: reading.repairs() })
}

/// How many old lines stand before the first change.
fn change_offset(reading: &Reading) -> usize {
    reading.lines.iter().take_while(|line| line.mark == Mark::Keep).count().min(reading.old().count().saturating_sub(1))
}

/// Where the new text stands already, if the hunk has enough of it to tell.
fn already(reading: &Reading, base: &Base<'_>) -> Option<usize> {
    let adds = reading.lines.iter().any(|line| line.mark == Mark::Add && line.text.trim().len() > 1);
    if adds { standing(reading, base).first().copied() } else { None }
}

/// Where lines were cut already: what was around them stands together in one place, and none of them is left. With the
/// text at hand that the model saw there is nothing of the kind: what it cuts was there.
fn already_cut(reading: &Reading, base: &Base<'_>, based: bool) -> Option<usize> {
    let edge =
        |line: Option<&HunkLine>| line.is_some_and(|line| line.mark == Mark::Keep && !line.text.trim().is_empty());
    if based || !edge(reading.lines.first()) || !edge(reading.lines.last()) {
        return None;
    }
    let keys = base.keys(Level::WhiteSpace);
    let gone = |line: &HunkLine| line.text.trim().len() > 3 && !keys.contains(&Level::WhiteSpace.key(&line.text));
    let mut solid = reading.lines.iter().filter(|line| line.mark == Mark::Cut && line.text.trim().len() > 3).peekable();
    solid.peek()?;
    match standing(reading, base).as_slice() {
        [one] if solid.all(gone) => Some(*one),
        _ => None,
    }
}

/// Every place where the new text stands, at the strictest level that has any.
fn standing(reading: &Reading, base: &Base<'_>) -> Vec<usize> {
    let found = Level::STRICT.into_iter().map(|level| {
        let new: Vec<Cow<'_, str>> = reading.added_and_kept().map(|line| key_of(level, line)).collect();
        occurrences(base.keys(level), &new)
    });
    found.into_iter().find(|places| !places.is_empty()).unwrap_or_default()
}

/// Every place where `needle` stands in `hay`, overlapping ones too (Knuth-Morris-Pratt: linear on any input).
pub(super) fn occurrences<T: PartialEq>(hay: &[T], needle: &[T]) -> Vec<usize> {
    if needle.is_empty() || needle.len() > hay.len() {
        return Vec::new();
    }
    let mut failure = vec![0; needle.len()];
    let mut matched = 0;
    for at in 1..needle.len() {
        while matched > 0 && needle[at] != needle[matched] {
            matched = failure[matched - 1];
        }
        matched += usize::from(needle[at] == needle[matched]);
        failure[at] = matched;
    }
    let (mut found, mut matched) = (Vec::new(), 0);
    for (at, item) in hay.iter().enumerate() {
        while matched > 0 && *item != needle[matched] {
            matched = failure[matched - 1];
        }
        matched += usize::from(*item == needle[matched]);
        if matched == needle.len() {
            found.push(at + 1 - matched);
            matched = failure[matched - 1];
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_occurrences_are_all_found() {
        assert_eq!(occurrences(&["a", "a", "a", "b"], &["a", "a"]), [0, 1]);
        assert_eq!(occurrences(&["a", "b", "a", "b", "a"], &["a", "b", "a"]), [0, 2]);
        assert!(occurrences(&["a"], &[]).is_empty());
    }

    #[test]
    fn a_number_decides_only_near_one_candidate_and_far_from_the_next() {
        assert_eq!(nearest(&[10, 60], 10), Some(10));
        assert_eq!(nearest(&[10, 60], 14), Some(10));
        assert_eq!(nearest(&[10, 20], 14), None);
        assert_eq!(nearest(&[10, 200], 40), None);
    }
}
