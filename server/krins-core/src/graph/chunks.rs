//! Chunks: how a file is cut into the pieces that context selection takes or leaves.
//!
//! A declaration or a member is a piece; one that is too long falls apart at its statements; small neighbours join.
//! Together the pieces cover the file, so that any line can be reached.

use super::{Chunk, Lexicon, Symbol, hashes};
use crate::text::LineIndex;
use std::collections::BTreeMap;

/// A piece longer than this falls apart, if it has parts.
const MAX_LINES: u32 = 40;

/// Neighbours join up to this length.
const JOIN_LINES: u32 = 20;

/// A declaration at least this long stays on its own.
const OWN_LINES: u32 = 5;

/// A statement or member, in zero-based inclusive rows, its doc comment included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unit {
    pub first: u32,
    pub last: u32,
    /// Index of the unit around it.
    pub parent: Option<usize>,
}

impl Unit {
    /// Whether its parts matter.
    pub fn is_long(&self) -> bool {
        self.last - self.first + 1 > MAX_LINES
    }
}

/// A run of rows on the way to becoming a chunk.
#[derive(Clone, Copy, Debug)]
struct Piece {
    first: u32,
    last: u32,
    parent: Option<usize>,
}

impl Piece {
    fn len(&self) -> u32 {
        self.last - self.first + 1
    }
}

/// Cuts a file. `units` are in the order of the text, a parent before its parts; those of a text without a grammar are
/// its paragraphs.
pub(super) fn chunks(text: &str, index: &LineIndex, units: &[Unit], symbols: &[Symbol]) -> Vec<Chunk> {
    let rows = row_count(text, index);
    let pieces = joined(windows(cover(text, index, units, rows)), symbols);
    pieces.iter().map(|piece| chunk(piece, index, symbols)).collect()
}

/// Paragraphs of a text without a grammar.
pub(super) fn paragraphs(text: &str, index: &LineIndex) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    let mut open = false;
    for row in 0..row_count(text, index) {
        let blank = text[index.line_range(row as usize)].trim().is_empty();
        match units.last_mut() {
            Some(unit) if open && !blank => unit.last = row,
            _ if !blank => units.push(Unit { first: row, last: row, parent: None }),
            _ => {}
        }
        open = !blank;
    }
    units
}

/// Rows that hold text: what follows the last line end is not a row.
fn row_count(text: &str, index: &LineIndex) -> u32 {
    let count = index.line_count();
    let rows = if index.line_range(count - 1).is_empty() { count - 1 } else { count };
    u32::try_from(rows.min(text.len())).unwrap_or(u32::MAX)
}

/// Units that do not fall apart, with the rows between them given to their neighbours.
fn cover(text: &str, index: &LineIndex, units: &[Unit], rows: u32) -> Vec<Piece> {
    let mut has_parts = vec![false; units.len()];
    for unit in units {
        if let Some(parent) = unit.parent {
            has_parts[parent] = true;
        }
    }
    let mut pieces: Vec<Piece> = Vec::new();
    let mut next = 0;
    for (at, unit) in units.iter().enumerate() {
        if has_parts[at] && unit.is_long() || unit.last < next || unit.last >= rows {
            continue;
        }
        let start = next.max(unit.first);
        let closing = closing_rows(text, index, next, start);
        if let Some(previous) = pieces.last_mut() {
            previous.last += closing;
            next += closing;
        }
        pieces.push(Piece { first: next, last: unit.last, parent: unit.parent });
        next = unit.last + 1;
    }
    if next < rows {
        match pieces.last_mut() {
            Some(previous) if rows - next <= JOIN_LINES => previous.last = rows - 1,
            _ => pieces.push(Piece { first: next, last: rows - 1, parent: None }),
        }
    }
    pieces
}

/// How many rows from `first` on only close what came before.
fn closing_rows(text: &str, index: &LineIndex, first: u32, end: u32) -> u32 {
    (first..end)
        .take_while(|row| {
            text[index.line_range(*row as usize)]
                .chars()
                .all(|c| c.is_whitespace() || matches!(c, '}' | ')' | ']' | ';' | ',' | '>' | '/'))
        })
        .count() as u32
}

/// Pieces without parts can still be long: template strings, tables, prose.
fn windows(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut cut = Vec::with_capacity(pieces.len());
    for mut piece in pieces {
        while piece.len() > MAX_LINES + JOIN_LINES {
            cut.push(Piece { last: piece.first + MAX_LINES - 1, ..piece });
            piece.first += MAX_LINES;
        }
        cut.push(piece);
    }
    cut
}

fn joined(pieces: Vec<Piece>, symbols: &[Symbol]) -> Vec<Piece> {
    let own = own_rows(symbols);
    let stands_alone = |piece: &Piece| {
        piece.len() >= OWN_LINES && own.range(piece.first..=piece.last).any(|(_, last)| *last <= piece.last)
    };
    let mut out: Vec<(Piece, bool)> = Vec::new();
    for piece in pieces {
        let alone = stands_alone(&piece);
        match out.last_mut() {
            Some((previous, false))
                if !alone && previous.parent == piece.parent && previous.len() + piece.len() <= JOIN_LINES =>
            {
                previous.last = piece.last;
            }
            _ => out.push((piece, alone)),
        }
    }
    out.into_iter().map(|(piece, _)| piece).collect()
}

/// First and last rows of the symbols that are long enough to stand alone.
fn own_rows(symbols: &[Symbol]) -> BTreeMap<u32, u32> {
    let mut rows = BTreeMap::new();
    for symbol in symbols {
        let [first, last] = symbol.lines.map(|line| line - 1);
        if last - first + 1 >= OWN_LINES {
            rows.entry(first).or_insert(last);
        }
    }
    rows
}

fn chunk(piece: &Piece, index: &LineIndex, symbols: &[Symbol]) -> Chunk {
    let start = index.line_range(piece.first as usize).start;
    let end = index.line_range(piece.last as usize).end;
    let lines = [piece.first + 1, piece.last + 1];
    let byte = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Chunk { lines, symbol: symbol_of(lines, symbols), range: byte(start)..byte(end) }
}

/// The terms of a text's chunks.
pub(super) fn lexicon(text: &str, chunks: &[Chunk]) -> Lexicon {
    let terms = |chunk: &Chunk| {
        let mut found = Vec::new();
        let source = text.get(chunk.range.start as usize..chunk.range.end as usize).unwrap_or_default();
        hashes::of_terms(source, |hash| found.push(hash));
        found
    };
    Lexicon::build(chunks.iter().map(terms))
}

/// The innermost symbol around the lines; failing that the first one that begins in them.
fn symbol_of([first, last]: [u32; 2], symbols: &[Symbol]) -> Option<usize> {
    let before = symbols.partition_point(|symbol| symbol.lines[0] <= first);
    let around = |at: &usize| symbols[*at].lines[1] >= last;
    let mut at = before.checked_sub(1);
    while let Some(candidate) = at {
        if around(&candidate) {
            return at;
        }
        at = match symbols[candidate].parent {
            Some(parent) => Some(parent),
            None if symbols[candidate].lines[0] == first => candidate.checked_sub(1),
            None => None,
        };
    }
    let begins = before.saturating_sub(1)..symbols.len();
    symbols[begins.clone()]
        .iter()
        .take_while(|symbol| symbol.lines[0] <= last)
        .position(|symbol| symbol.lines[0] >= first && symbol.lines[1] <= last)
        .map(|at| begins.start + at)
}
