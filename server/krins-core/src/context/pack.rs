//! Packing: the most of the expected change under the budget.
//!
//! Every chunk has a share of the change that it is expected to hold, every file a likelihood to be changed. Whole pieces,
//! word for word, give depth; an outline of one or two signatures says that a file is there and gives breadth. Both compete for
//! the same tokens by what they add per token.

use super::Query;
use super::rank::{Ranked, Ranking};
use crate::digest::Digest;
use crate::path::RelPath;
use crate::prompt::{ContextPack, Focus, Item, quote};
use crate::text::LineIndex;
use crate::tokens::Vocabulary;
use crate::tree::Tree;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

/// What is pinned gets at most this part of what the selection leaves: the person knows what matters, not all that belongs to it.
const PINNED_PART: u32 = 2;

/// Why something that is pinned is in.
const NAMED: &str = "the task names it";

/// How many files compete for an outline.
const OUTLINES: usize = 160;

/// How many signatures an outline has at most, and how long one may be, in characters.
const SIGNATURES: usize = 1;
const SIGNATURE_LENGTH: usize = 72;

/// What a heading with its fences costs about, beside the path; what an outline does; and bytes to a token.
const HEADING_TOKENS: f64 = 12.0;
const OUTLINE_TOKENS: f64 = 22.0;
const BYTES_PER_TOKEN: f64 = 3.6;

/// Bytes of a long token on the average of a chunk, and tokens of a short outline: what could not fit even so is not tried.
const LONG_TOKEN: u32 = 5;
const SHORT_OUTLINE: u32 = 16;

/// A gap of so many lines between two pieces is filled rather than headed again.
const FILL_LINES: u32 = 3;

pub(super) fn pack(query: &Query, ranking: &Ranking<'_>, tree: &dyn Tree, breadth: f64) -> ContextPack {
    let mut packer = Packer::new(query, ranking, tree, breadth);
    packer.take_focus();
    packer.take_active();
    packer.take_pinned();
    packer.fill();
    let items = packer.items();
    let inside: BTreeSet<&RelPath> = items.iter().map(|item| &item.path).collect();
    let ranked: BTreeSet<&RelPath> = ranking.files.iter().map(|file| file.path).collect();
    // What a person points at is no code of the graph, now and then.
    let pointed_at = items.iter().map(|item| &item.path).filter(|path| !ranked.contains(path));
    let files: Vec<RelPath> = pointed_at.chain(ranking.files.iter().map(|file| file.path)).cloned().collect();
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

impl Source {
    /// Bytes of these lines.
    fn length(&self, [first, last]: [u32; 2]) -> u32 {
        let [first, last] = [first, last].map(|line| self.index.line_range((line as usize).saturating_sub(1)));
        u32::try_from(last.end.saturating_sub(first.start)).unwrap_or(u32::MAX)
    }
}

/// What is in of a file.
enum Chosen {
    /// 1-based inclusive ranges, sorted, disjoint and not adjacent.
    Pieces(Vec<[u32; 2]>, Item),
    Outline(Item),
}

impl Chosen {
    fn item(&self) -> &Item {
        match self {
            Self::Pieces(_, item) | Self::Outline(item) => item,
        }
    }
}

/// Something that could go in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Offer {
    Outline(usize),
    /// Place in the ranking's chunks.
    Chunk(usize),
}

/// An offer with what it adds per token. The best is the greatest; of equals the first in the ranking.
#[derive(Debug)]
struct Bid {
    worth: f64,
    offer: Offer,
}

impl Ord for Bid {
    fn cmp(&self, other: &Self) -> Ordering {
        self.worth.total_cmp(&other.worth).then(other.offer.cmp(&self.offer))
    }
}

impl PartialOrd for Bid {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Bid {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Bid {}

struct Packer<'a, 'g> {
    query: &'a Query,
    ranking: &'a Ranking<'g>,
    tree: &'a dyn Tree,
    breadth: f64,
    sources: BTreeMap<RelPath, Option<Source>>,
    /// In the order in which files came in.
    order: Vec<RelPath>,
    chosen: BTreeMap<RelPath, Chosen>,
    /// Tokens of all chosen items.
    spent: u32,
}

impl<'a, 'g> Packer<'a, 'g> {
    fn new(query: &'a Query, ranking: &'a Ranking<'g>, tree: &'a dyn Tree, breadth: f64) -> Self {
        let (sources, order, chosen) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        Self { query, ranking, tree, breadth, sources, order, chosen, spent: 0 }
    }

    /// `None` when the file is gone or is no text any more.
    fn load(&mut self, path: &RelPath) -> bool {
        let tree = self.tree;
        let read = || {
            let text = tree.text(path)?;
            Some(Source { index: LineIndex::new(&text), digest: Digest::of(&*text), text })
        };
        self.sources.entry(path.clone()).or_insert_with(read).is_some()
    }

    fn source(&self, path: &RelPath) -> Option<&Source> {
        self.sources.get(path)?.as_ref()
    }

    /// The selection, shortened from its end if it alone is over the budget.
    fn take_focus(&mut self) {
        let Some(focus) = &self.query.focus else { return };
        let Some(lines) = focus.lines else { return };
        self.take_from(&focus.path, lines, "it is selected", self.query.budget);
    }

    /// Lines of a file, shortened from their end until `most` tokens hold everything.
    fn take_from(&mut self, path: &RelPath, [first, last]: [u32; 2], reason: &str, most: u32) {
        let mut last = last.max(first);
        while !self.take(path, [first.max(1), last], reason, most) {
            if last <= first {
                return;
            }
            last = first + (last - first) / 2;
        }
    }

    /// Something of the active file is always in.
    fn take_active(&mut self) {
        let Some(focus) = self.query.focus.as_ref().filter(|focus| focus.lines.is_none()) else { return };
        let files = &self.ranking.files;
        let first = self.ranking.chunks.iter().position(|(file, ..)| *files[*file].path == focus.path);
        if let Some(at) = first {
            self.take_chunk(at);
        }
    }

    /// What is pinned, in equal shares; what one file leaves of its own the next ones have.
    fn take_pinned(&mut self) {
        let query = self.query;
        let most = self.spent + (query.budget - self.spent) / PINNED_PART;
        for (number, pin) in query.pinned.iter().enumerate() {
            let waiting = u32::try_from(query.pinned.len() - number).unwrap_or(u32::MAX);
            self.take_pin(pin, self.spent + most.saturating_sub(self.spent) / waiting);
        }
    }

    /// The lines or the file whole; else the pieces of it that the task is likeliest to be about; else its beginning.
    fn take_pin(&mut self, pin: &Focus, most: u32) {
        if !self.load(&pin.path) {
            return;
        }
        let Some(source) = self.source(&pin.path) else { return };
        let [first, last] = pin.lines.unwrap_or([1, u32::MAX]);
        let (first, whole) = (first.max(1), last.min(text_lines(source)));
        // What could not fit is not counted: a file may be long.
        let mut last = whole;
        while last > first && source.length([first, last]) / LONG_TOKEN > most - self.spent {
            last = first + (last - first) / 2;
        }
        if last == whole && self.take(&pin.path, [first, last], NAMED, most) {
            return;
        }
        if pin.lines.is_some() || !self.take_pieces(&pin.path, most) {
            self.take_from(&pin.path, [first, last], NAMED, most);
        }
    }

    /// Pieces of a file, the best first; gives whether any is in.
    fn take_pieces(&mut self, path: &RelPath, most: u32) -> bool {
        let ranking = self.ranking;
        let mut any = false;
        for (file, chunk, _) in ranking.chunks.iter().filter(|(file, ..)| ranking.files[*file].path == path) {
            let chunk = &ranking.files[*file].facts.chunks[*chunk];
            if chunk.range.len() as u32 / LONG_TOKEN <= most.saturating_sub(self.spent) {
                any |= self.take(path, chunk.lines, NAMED, most);
            }
        }
        any
    }

    /// Takes what adds most per token until nothing fits. What an offer adds changes when its file comes in, so an offer that
    /// is up is weighed again before it is taken.
    fn fill(&mut self) {
        let outlines = (0..self.ranking.files.len().min(OUTLINES)).map(Offer::Outline);
        let chunks = (0..self.ranking.chunks.len()).map(Offer::Chunk);
        let mut bids: BinaryHeap<Bid> =
            outlines.chain(chunks).map(|offer| Bid { worth: self.worth(offer), offer }).collect();
        while let Some(Bid { worth, offer }) = bids.pop() {
            let now = self.worth(offer);
            if now <= 0.0 {
                continue;
            }
            if now < worth && bids.peek().is_some_and(|next| next.worth > now) {
                bids.push(Bid { worth: now, offer });
                continue;
            }
            match offer {
                Offer::Outline(file) => self.take_outline(file),
                Offer::Chunk(at) => self.take_chunk(at),
            }
        }
    }

    /// What an offer adds to the expected recall, per token.
    fn worth(&self, offer: Offer) -> f64 {
        match offer {
            Offer::Outline(file) => {
                let Ranked { path, score, facts, .. } = &self.ranking.files[file];
                let has_one = !facts.generated && !self.chosen.contains_key(*path);
                if has_one { self.breadth * score / OUTLINE_TOKENS } else { 0.0 }
            }
            Offer::Chunk(at) => {
                let (file, chunk, share) = self.ranking.chunks[at];
                let Ranked { path, score, facts, .. } = &self.ranking.files[file];
                let text = facts.chunks[chunk].range.len() as f64 / BYTES_PER_TOKEN;
                let heading = HEADING_TOKENS + path.as_str().len() as f64 / BYTES_PER_TOKEN;
                match self.chosen.get(*path) {
                    None => (share + self.breadth * score) / (text + heading),
                    Some(Chosen::Outline(_)) => share / (text + heading - OUTLINE_TOKENS).max(8.0),
                    Some(Chosen::Pieces(..)) => share / (text + heading),
                }
            }
        }
    }

    fn take_chunk(&mut self, at: usize) {
        let ranking = self.ranking;
        let (file, chunk, _) = ranking.chunks[at];
        let Ranked { path, facts, reason, .. } = &ranking.files[file];
        let chunk = &facts.chunks[chunk];
        let left = self.query.budget - self.spent;
        if chunk.range.len() as u32 / LONG_TOKEN <= left {
            self.take(path, chunk.lines, reason, self.query.budget);
        }
    }

    /// Adds lines of a file if all that is chosen is `most` tokens then; gives whether they are in.
    fn take(&mut self, path: &RelPath, lines: [u32; 2], reason: &str, most: u32) -> bool {
        if !self.load(path) {
            return false;
        }
        let known = match self.chosen.get(path) {
            Some(Chosen::Pieces(ranges, item)) => Some((ranges.as_slice(), item)),
            _ => None,
        };
        let before = self.chosen.get(path).map_or(0, |chosen| chosen.item().tokens);
        let reason = known.map_or_else(|| reason.to_owned(), |(_, item)| item.reason.clone());
        let Some(source) = self.source(path) else { return false };
        let [first, last] = [lines[0], lines[1].min(text_lines(source))];
        if first > last {
            return false;
        }
        let ranges = with_range(known.map_or(&[], |(ranges, _)| ranges), [first, last]);
        let item = verbatim(path, source, &ranges, reason, self.query.vocabulary);
        if self.spent - before + item.tokens > most {
            return false;
        }
        self.put(Chosen::Pieces(ranges, item), before);
        true
    }

    fn put(&mut self, chosen: Chosen, before: u32) {
        self.spent = self.spent - before + chosen.item().tokens;
        let path = chosen.item().path.clone();
        if self.chosen.insert(path.clone(), chosen).is_none() {
            self.order.push(path);
        }
    }

    fn take_outline(&mut self, file: usize) {
        let ranking = self.ranking;
        let ranked = &ranking.files[file];
        if self.query.budget - self.spent < SHORT_OUTLINE || !self.load(ranked.path) {
            return;
        }
        let Some(source) = self.source(ranked.path) else { return };
        if let Some(item) = outline(ranked, source, self.query.vocabulary)
            && self.spent + item.tokens <= self.query.budget
        {
            self.put(Chosen::Outline(item), 0);
        }
    }

    /// What goes in word for word, in the order in which it came; then the outlines.
    fn items(&mut self) -> Vec<Item> {
        let order = std::mem::take(&mut self.order);
        let chosen: Vec<Chosen> = order.iter().filter_map(|path| self.chosen.remove(path)).collect();
        let (verbatim, outlines): (Vec<Item>, Vec<Item>) = chosen
            .into_iter()
            .map(|chosen| match chosen {
                Chosen::Pieces(_, item) | Chosen::Outline(item) => item,
            })
            .partition(|item| item.verbatim);
        verbatim.into_iter().chain(outlines).collect()
    }
}

fn verbatim(path: &RelPath, source: &Source, ranges: &[[u32; 2]], reason: String, counted: Vocabulary) -> Item {
    let text: String = ranges
        .iter()
        .map(|[first, last]| {
            let start = source.index.line_range(*first as usize - 1).start;
            let end = source.index.line_range(*last as usize - 1).end;
            &source.text[start..end]
        })
        .collect();
    let ranges = ranges.to_vec();
    let mut item = Item { path: path.clone(), digest: source.digest, ranges, verbatim: true, text, tokens: 0, reason };
    item.tokens = counted.count(&quote(&item));
    item
}

/// The path and the signatures that the task is likeliest to be about.
fn outline(ranked: &Ranked<'_>, source: &Source, counted: Vocabulary) -> Option<Item> {
    let facts = &ranked.facts;
    let shown: Vec<(String, [u32; 2])> = ranked
        .symbols
        .iter()
        .filter_map(|at| facts.symbols.get(*at))
        .map(|symbol| (shortened(&symbol.signature(&source.text)), symbol.lines))
        .filter(|(signature, _)| !signature.is_empty())
        .take(SIGNATURES)
        .collect();
    let mut text = format!("{} (outline)\n", ranked.path);
    for (signature, _) in &shown {
        text.push_str(&format!("  {signature}\n"));
    }
    if shown.is_empty() {
        text.push_str(&format!("  {}\n", shortened(&first_line(&source.text)?)));
    }
    let mut item = Item {
        path: ranked.path.clone(),
        digest: source.digest,
        ranges: shown.iter().map(|(_, lines)| *lines).collect(),
        verbatim: false,
        text,
        tokens: 0,
        reason: ranked.reason.to_owned(),
    };
    item.tokens = counted.count(&quote(&item));
    Some(item)
}

/// Of a file that declares nothing: the first line that does something.
fn first_line(text: &str) -> Option<String> {
    let is_code = |line: &&str| {
        !line.is_empty()
            && !["//", "/*", "*", "import ", "#!", "'use", "\"use"].iter().any(|start| line.starts_with(start))
    };
    text.lines().map(str::trim).find(is_code).map(str::to_owned)
}

/// One line, cut after so many characters.
fn shortened(signature: &str) -> String {
    let line: String = signature.split(['\n', '\r']).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SIGNATURE_LENGTH) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line,
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
