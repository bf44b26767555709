//! Packing: the ranking's pieces under the budget, whole pieces first, outlines for breadth.

use super::Query;
use super::rank::{Ranked, Ranking};
use crate::digest::Digest;
use crate::path::RelPath;
use crate::prompt::{ContextPack, Item, quote};
use crate::text::LineIndex;
use crate::tokens;
use crate::tree::Tree;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The share of the budget for whole pieces; outlines get what is left.
const VERBATIM_SHARE: f64 = 0.94;

/// How many files get an outline at most, and how long one may be.
const OUTLINES: usize = 12;
const OUTLINE_LINES: usize = 24;

/// Pieces that score less than this share of the best are noise, even if there is room.
const FLOOR: f64 = 0.02;

/// A heading and two fences, besides the path.
const HEADING_TOKENS: u32 = 14;

/// A gap of so many lines between two pieces is filled rather than headed again.
const FILL_LINES: u32 = 3;

pub(super) fn pack(query: &Query, ranking: &Ranking<'_>, tree: &dyn Tree) -> ContextPack {
    let mut packer = Packer::new(query, ranking, tree);
    packer.take_focus();
    packer.take_chunks();
    let verbatim = packer.items();
    let outlines = packer.outlines(verbatim.iter().map(|item| item.tokens).sum(), &verbatim);
    let items: Vec<Item> = verbatim.into_iter().chain(outlines).collect();
    let inside: BTreeSet<&RelPath> = items.iter().map(|item| &item.path).collect();
    let mut files: Vec<RelPath> = ranking.files.iter().map(|file| file.path.clone()).collect();
    if let Some(focus) = items.first().filter(|item| !files.contains(&item.path)) {
        files.insert(0, focus.path.clone());
    }
    ContextPack {
        pruned: files.iter().filter(|path| !inside.contains(path)).cloned().collect(),
        tokens: items.iter().map(|item| item.tokens).sum(),
        files,
        items,
    }
}

/// A file that is read once, when the first piece of it is wanted.
struct Source {
    text: Arc<str>,
    index: LineIndex,
    digest: Digest,
}

/// Chosen lines of a file.
struct Chosen {
    /// 1-based inclusive, sorted, disjoint and not adjacent.
    ranges: Vec<[u32; 2]>,
    reason: String,
    item: Item,
}

struct Packer<'a, 'g> {
    query: &'a Query,
    ranking: &'a Ranking<'g>,
    tree: &'a dyn Tree,
    sources: BTreeMap<RelPath, Option<Source>>,
    /// In the order in which files came in.
    order: Vec<RelPath>,
    chosen: BTreeMap<RelPath, Chosen>,
    /// Tokens of all chosen items.
    spent: u32,
}

impl<'a, 'g> Packer<'a, 'g> {
    fn new(query: &'a Query, ranking: &'a Ranking<'g>, tree: &'a dyn Tree) -> Self {
        Self { query, ranking, tree, sources: BTreeMap::new(), order: Vec::new(), chosen: BTreeMap::new(), spent: 0 }
    }

    fn source(&mut self, path: &RelPath) -> Option<&Source> {
        let tree = self.tree;
        self.sources
            .entry(path.clone())
            .or_insert_with(|| {
                let text = tree.text(path)?;
                Some(Source { index: LineIndex::new(&text), digest: Digest::of(&*text), text })
            })
            .as_ref()
    }

    /// The selection, shortened from its end if it alone is over the budget.
    fn take_focus(&mut self) {
        let Some(focus) = &self.query.focus else { return };
        let Some([first, last]) = focus.lines else { return };
        let mut last = last.max(first);
        loop {
            if self.take(&focus.path, [first.max(1), last], "it is selected", self.query.budget) {
                return;
            }
            if last <= first {
                return;
            }
            last = first + (last - first) / 2;
        }
    }

    fn take_chunks(&mut self) {
        let limit = (f64::from(self.query.budget) * VERBATIM_SHARE) as u32;
        let best = self.ranking.chunks.first().map_or(0.0, |(_, _, score)| *score);
        for (file, chunk, score) in &self.ranking.chunks {
            if *score < best * FLOOR || limit.saturating_sub(self.spent) < HEADING_TOKENS {
                break;
            }
            let Ranked { path, facts, reason, .. } = &self.ranking.files[*file];
            let chunk = &facts.chunks[*chunk];
            // No token is longer than this on the average of a chunk: what cannot fit is not counted.
            if self.spent + chunk.range.len() as u32 / 8 <= limit {
                self.take(path, chunk.lines, reason, limit);
            }
        }
    }

    /// Adds lines of a file if they fit under the limit; gives whether they are in.
    fn take(&mut self, path: &RelPath, lines: [u32; 2], reason: &str, limit: u32) -> bool {
        let Some(source) = self.source(path) else {
            return false;
        };
        let count = text_lines(source);
        let [first, last] = [lines[0], lines[1].min(count)];
        if first > last {
            return false;
        }
        let known = self.chosen.get(path);
        let before = known.map_or(0, |chosen| chosen.item.tokens);
        let ranges = with_range(known.map_or(&[], |chosen| &chosen.ranges), [first, last]);
        let reason = known.map_or_else(|| reason.to_owned(), |chosen| chosen.reason.clone());
        let Some(item) = self.item(path, &ranges, &reason) else {
            return false;
        };
        if self.spent - before + item.tokens > limit {
            return false;
        }
        self.spent = self.spent - before + item.tokens;
        if self.chosen.insert(path.clone(), Chosen { ranges, reason, item }).is_none() {
            self.order.push(path.clone());
        }
        true
    }

    fn item(&mut self, path: &RelPath, ranges: &[[u32; 2]], reason: &str) -> Option<Item> {
        let source = self.source(path)?;
        let text: String = ranges
            .iter()
            .map(|[first, last]| {
                let start = source.index.line_range(*first as usize - 1).start;
                let end = source.index.line_range(*last as usize - 1).end;
                &source.text[start..end]
            })
            .collect();
        let mut item = Item {
            path: path.clone(),
            digest: source.digest,
            ranges: ranges.to_vec(),
            verbatim: true,
            text,
            tokens: 0,
            reason: reason.to_owned(),
        };
        item.tokens = tokens::count(&quote(&item));
        Some(item)
    }

    fn items(&mut self) -> Vec<Item> {
        let order = std::mem::take(&mut self.order);
        order.iter().filter_map(|path| self.chosen.remove(path)).map(|chosen| chosen.item).collect()
    }

    /// Signatures of the best files of which nothing is in.
    fn outlines(&mut self, spent: u32, inside: &[Item]) -> Vec<Item> {
        let mut left = self.query.budget.saturating_sub(spent);
        let mut items = Vec::new();
        let best = self.ranking.files.first().map_or(0.0, |file| file.score);
        for file in &self.ranking.files {
            if items.len() >= OUTLINES || left < 2 * HEADING_TOKENS || file.score < best * FLOOR {
                break;
            }
            if file.facts.generated || inside.iter().any(|item| item.path == *file.path) {
                continue;
            }
            if let Some(item) = self.outline(file, left) {
                left -= item.tokens;
                items.push(item);
            }
        }
        items
    }

    fn outline(&mut self, file: &Ranked<'_>, left: u32) -> Option<Item> {
        let (digest, source) = self.source(file.path).map(|source| (source.digest, source.text.clone()))?;
        let shown: Vec<_> = file
            .facts
            .symbols
            .iter()
            .filter(|symbol| symbol.exported && symbol.parent.is_none())
            .take(OUTLINE_LINES)
            .collect();
        let text: String = shown.iter().map(|symbol| format!("{}\n", symbol.signature(&source))).collect();
        let mut item = Item {
            path: file.path.clone(),
            digest,
            ranges: shown.iter().map(|symbol| symbol.lines).collect(),
            verbatim: false,
            text,
            tokens: 0,
            reason: file.reason.to_owned(),
        };
        item.tokens = tokens::count(&quote(&item));
        (!shown.is_empty() && item.tokens <= left).then_some(item)
    }
}

/// Lines that hold text: what follows the last line end is none.
fn text_lines(source: &Source) -> u32 {
    let count = source.index.line_count();
    let rows = if source.index.line_range(count - 1).is_empty() { count - 1 } else { count };
    u32::try_from(rows).unwrap_or(u32::MAX)
}

/// The ranges with one more; ranges that touch, or nearly do, become one.
fn with_range(ranges: &[[u32; 2]], new: [u32; 2]) -> Vec<[u32; 2]> {
    let mut all: Vec<[u32; 2]> = ranges.iter().copied().chain([new]).collect();
    all.sort_unstable();
    let mut merged: Vec<[u32; 2]> = Vec::with_capacity(all.len());
    for [first, last] in all {
        match merged.last_mut() {
            Some(previous) if first <= previous[1].saturating_add(1 + FILL_LINES) => {
                previous[1] = previous[1].max(last)
            }
            _ => merged.push([first, last]),
        }
    }
    merged
}
