//! The loosest level: old lines aligned with the base where a few context lines were left out, altered or made up.
//! Every removed line must match, and no base line may be skipped where something is inserted.

use super::ir::{HunkLine, Mark};
use super::ladder::Base;
use super::norm::Level;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

/// Context lines that may differ in one hunk.
const MAX_COST: usize = 3;
/// Places of the rarest line that are tried.
const MAX_PIVOTS: usize = 50;
/// Longer altered lines are not compared by characters.
const MAX_COMPARED: usize = 400;
/// How alike an altered context line must be to what the file has.
const MIN_LIKENESS: f64 = 0.5;

/// Alignments of the least cost that change different lines: for each hunk line its base line, and the repairs.
pub(super) fn align(lines: &[HunkLine], base: &Base<'_>) -> Vec<(Vec<Option<usize>>, Vec<String>)> {
    let keys = base.keys(Level::WhiteSpace);
    let old: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].mark != Mark::Add).collect();
    let wanted: Vec<Cow<'_, str>> = old.iter().map(|at| Level::WhiteSpace.key(&lines[*at].text)).collect();
    let cuts: Vec<bool> = old.iter().map(|at| lines[*at].mark == Mark::Cut).collect();
    let search = Search { keys, wanted: &wanted, cuts: &cuts };
    let Some((pivot, places)) = search.pivot() else {
        return Vec::new();
    };
    let mut found: Vec<(usize, Vec<Option<usize>>)> =
        places.into_iter().filter_map(|place| search.around(pivot, place)).collect();
    found.retain(|(cost, map)| search.is_solid(*cost, map));
    let best = found.iter().map(|(cost, _)| *cost).min().unwrap_or(0);
    let mut out: Vec<(Vec<Option<usize>>, Vec<String>)> = Vec::new();
    for (cost, map) in found.into_iter().filter(|(cost, _)| *cost == best) {
        let mut full = vec![None; lines.len()];
        for (at, base) in old.iter().zip(map) {
            full[*at] = base;
        }
        if inserts_are_certain(lines, &full) && !out.iter().any(|(other, _)| *other == full) {
            out.push((full, vec![format!("{cost} context line(s) altered or left out")]));
        }
    }
    out
}

/// As [`align`], for a text that the model may not have seen: one context line altered in its place or left out, every
/// other line there, and nothing else in the file that the hunk could mean as well.
pub(super) fn surely(lines: &[HunkLine], base: &Base<'_>) -> Option<(Vec<Option<usize>>, Vec<String>)> {
    let mut found = align(lines, base);
    let (map, repairs) = found.pop().filter(|_| found.is_empty())?;
    let keys = base.keys(Level::WhiteSpace);
    let old: Vec<(Cow<'_, str>, Option<usize>)> = lines
        .iter()
        .zip(&map)
        .filter(|(line, _)| line.mark != Mark::Add)
        .map(|(line, at)| (Level::WhiteSpace.key(&line.text), *at))
        .collect();
    let at: Vec<usize> = old.iter().filter_map(|(_, at)| *at).collect();
    let altered = old.iter().filter(|(text, at)| at.is_none_or(|at| keys[at] != *text)).count();
    let skipped = at.last()? + 1 - at.first()? - at.len();
    let certain = at.len() == old.len() && altered + skipped <= 1;
    let wanted: Vec<&str> = old.iter().map(|(text, _)| text.as_ref()).collect();
    (certain && stands_out(&wanted, keys, *at.first()?..*at.last()? + 1)).then_some((map, repairs))
}

/// How many lines of a place may have been changed since the model saw it.
const MAX_CHANGED: usize = 4;

/// Whether no other place of the file could be the one that is meant, changed since: it would still have most of the
/// lines that say something, be they those of the hunk or those of the place that was found.
fn stands_out(wanted: &[&str], keys: &[Cow<'_, str>], home: Range<usize>) -> bool {
    let there: Vec<&str> = keys[home.clone()].iter().map(Cow::as_ref).collect();
    [wanted, &there].into_iter().all(|lines| {
        let solid = lines.iter().filter(|line| is_solid(line)).count();
        let twin = best_twin(lines, keys, &home);
        twin == 0 && solid > 1 || solid > 2 && (twin * 2 <= solid || solid - twin > MAX_CHANGED)
    })
}

/// A line that says something about its place.
fn is_solid(line: &str) -> bool {
    line.len() > 3
}

/// How many of the lines some other place has, in their order and with no more than a few others between them.
fn best_twin(lines: &[&str], keys: &[Cow<'_, str>], home: &Range<usize>) -> usize {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| is_solid(line)) {
        places.entry(line).or_default().push(at);
    }
    let mut votes: BTreeMap<usize, usize> = BTreeMap::new();
    for (line, key) in keys.iter().enumerate().filter(|(line, _)| !home.contains(line)) {
        for at in places.get(key.as_ref()).into_iter().flatten() {
            // Shifted, so that a place before the first line has a number too.
            *votes.entry(line + lines.len() - at).or_default() += 1;
        }
    }
    let near = |start: usize| -> usize { votes.range(start..=start + MAX_COST).map(|(_, count)| count).sum() };
    votes.keys().map(|start| near(*start)).max().unwrap_or(0)
}

struct Search<'a> {
    keys: &'a [Cow<'a, str>],
    wanted: &'a [Cow<'a, str>],
    cuts: &'a [bool],
}

type Map = Vec<Option<usize>>;

impl Search<'_> {
    /// The rarest old line, a removed one before context, and where the base has it.
    fn pivot(&self) -> Option<(usize, Vec<usize>)> {
        let mut best: Option<(usize, Vec<usize>)> = None;
        let any_cut = self.cuts.iter().zip(self.wanted).any(|(cut, line)| *cut && line.len() > 1);
        for (at, wanted) in self.wanted.iter().enumerate() {
            if wanted.len() < 2 || any_cut && !self.cuts[at] {
                continue;
            }
            let places: Vec<usize> = (0..self.keys.len()).filter(|line| self.keys[*line] == *wanted).collect();
            if places.is_empty() && self.cuts[at] {
                return None;
            }
            if !places.is_empty() && best.as_ref().is_none_or(|(_, old)| places.len() < old.len()) {
                best = Some((at, places));
            }
        }
        best.filter(|(_, places)| places.len() <= MAX_PIVOTS)
    }

    fn around(&self, pivot: usize, place: usize) -> Option<(usize, Map)> {
        let (after_cost, after) = self.forward(pivot + 1, place + 1, MAX_COST)?;
        let (before_cost, mut map) = self.backward(pivot, place, MAX_COST - after_cost)?;
        map.push(Some(place));
        map.extend(after);
        Some((before_cost + after_cost, map))
    }

    /// Aligns `wanted[at..]` with `keys[line..]`.
    fn forward(&self, at: usize, line: usize, left: usize) -> Option<(usize, Map)> {
        let mut map = Vec::new();
        let (mut at, mut line) = (at, line);
        while at < self.wanted.len() && self.keys.get(line) == Some(&self.wanted[at]) {
            map.push(Some(line));
            at += 1;
            line += 1;
        }
        if at == self.wanted.len() {
            return Some((0, map));
        }
        if left == 0 {
            return None;
        }
        let mut options = Vec::new();
        if !self.cuts[at] && line < self.keys.len() && self.alike(at, line) {
            options.push((Some(Some(line)), self.forward(at + 1, line + 1, left - 1)));
        }
        if line < self.keys.len() && !(self.cuts[at] && at > 0 && self.cuts[at - 1]) {
            options.push((None, self.forward(at, line + 1, left - 1)));
        }
        // Last, because of equal costs the first wins: a line that is there after all says more than one that is not.
        if !self.cuts[at] {
            options.push((Some(None), self.forward(at + 1, line, left - 1)));
        }
        let (head, (cost, tail)) = cheapest(options)?;
        map.extend(head);
        map.extend(tail);
        Some((cost + 1, map))
    }

    /// Aligns `wanted[..at]` with `keys[..line]`, from the end.
    fn backward(&self, at: usize, line: usize, left: usize) -> Option<(usize, Map)> {
        let mut matched = Vec::new();
        let (mut at, mut line) = (at, line);
        while at > 0 && line > 0 && self.keys[line - 1] == self.wanted[at - 1] {
            at -= 1;
            line -= 1;
            matched.push(Some(line));
        }
        matched.reverse();
        if at == 0 {
            return Some((0, matched));
        }
        if left == 0 {
            return None;
        }
        let mut options = Vec::new();
        if !self.cuts[at - 1] && line > 0 && self.alike(at - 1, line - 1) {
            options.push((Some(Some(line - 1)), self.backward(at - 1, line - 1, left - 1)));
        }
        if line > 0 && !(self.cuts[at - 1] && self.cuts.get(at) == Some(&true)) {
            options.push((None, self.backward(at, line - 1, left - 1)));
        }
        if !self.cuts[at - 1] {
            options.push((Some(None), self.backward(at - 1, line, left - 1)));
        }
        let (tail, (cost, mut map)) = cheapest(options)?;
        map.extend(tail);
        map.extend(matched);
        Some((cost + 1, map))
    }

    fn alike(&self, at: usize, line: usize) -> bool {
        let (a, b) = (&self.wanted[at], &self.keys[line]);
        // A remark behind the line, or one that was left out, may be longer than the line.
        let begins = a.len().min(b.len()) > 3 && (a.starts_with(b.as_ref()) || b.starts_with(a.as_ref()));
        begins || a.len().max(b.len()) <= MAX_COMPARED && strsim::normalized_levenshtein(a, b) >= MIN_LIKENESS
    }

    /// More old lines must match than differ, and two of them must say something.
    fn is_solid(&self, cost: usize, map: &Map) -> bool {
        let matched = self
            .wanted
            .iter()
            .zip(map)
            .filter(|(wanted, line)| wanted.len() > 1 && line.is_some_and(|line| self.keys[line] == **wanted))
            .count();
        matched >= 2 && matched > cost
    }
}

/// What a step would do to the next line, and the cheapest way on from there.
type Choice<Rest> = (Option<Option<usize>>, Rest);

fn cheapest(options: Vec<Choice<Option<(usize, Map)>>>) -> Option<Choice<(usize, Map)>> {
    options.into_iter().filter_map(|(head, rest)| Some((head, rest?))).min_by_key(|(_, (cost, _))| *cost)
}

/// Between the old lines on both sides of new lines the base has nothing that was skipped.
fn inserts_are_certain(lines: &[HunkLine], map: &[Option<usize>]) -> bool {
    (0..lines.len()).filter(|at| lines[*at].mark == Mark::Add).all(|at| {
        let before = (0..at).rev().find(|n| lines[*n].mark != Mark::Add);
        let after = (at + 1..lines.len()).find(|n| lines[*n].mark != Mark::Add);
        match (before, after) {
            (Some(before), Some(after)) => match (map[before], map[after]) {
                (Some(before), Some(after)) => before + 1 == after,
                _ => false,
            },
            (Some(only), None) | (None, Some(only)) => map[only].is_some(),
            (None, None) => false,
        }
    })
}
