//! What speaks for a file beside its text and its place in the graph: the repository's past, what is open in the editor and
//! what the editor marks as wrong.
//!
//! Not every task has such evidence, and a tree without it must be ranked as well. So the models do not know it: it moves their
//! log-odds.

use super::corpus::Corpus;
use super::{Query, Reach};
use crate::graph::Chunk;
use crate::path::RelPath;
use std::collections::BTreeMap;

/// Log-odds of a file that the most similar commits changed, of one that always changes with the active file, of one that is
/// open, and of one with a mark; and of the chunk that is marked.
const BY_MESSAGE: f64 = 0.9;
const COCHANGE: f64 = 2.0;
const OPEN: f64 = 0.5;
const MARKED_FILE: f64 = 1.0;
const MARKED_CHUNK: f64 = 1.5;

/// What the reach adds to a file that the active file is connected to; a broad one takes it away.
const REACH: f64 = 0.8;

/// So many files of the past are candidates.
const PAST: usize = 24;

/// By file: how much more likely it is.
#[derive(Default)]
pub(super) struct Evidence<'q> {
    files: BTreeMap<usize, f64>,
    marked: Vec<(&'q RelPath, [u32; 2])>,
    reach: f64,
}

impl<'q> Evidence<'q> {
    pub fn of(query: &'q Query, corpus: &Corpus<'_>) -> Self {
        let mut files: BTreeMap<usize, f64> = BTreeMap::new();
        let mut add = |path: &RelPath, odds: f64| {
            if let Some(file) = corpus.number(path) {
                *files.entry(file).or_default() += odds;
            }
        };
        for (path, share) in query.history.by_message(&query.intent).iter().take(PAST) {
            add(path, BY_MESSAGE * share);
        }
        if let Some(focus) = &query.focus {
            for (path, share) in query.history.cochange(&focus.path).iter().take(PAST) {
                add(path, COCHANGE * share);
            }
        }
        query.open.iter().for_each(|path| add(path, OPEN));
        let marked: Vec<_> = query.diagnostics.iter().map(|found| (&found.path, found.lines)).collect();
        let mut marked_files: Vec<&RelPath> = marked.iter().map(|(path, _)| *path).collect();
        marked_files.dedup();
        marked_files.into_iter().for_each(|path| add(path, MARKED_FILE));
        let reach = match query.reach {
            Reach::Narrow => REACH,
            Reach::Normal => 0.0,
            Reach::Broad => -REACH,
        };
        Self { files, marked, reach }
    }

    /// The files that it speaks for.
    pub fn files(&self) -> impl Iterator<Item = usize> {
        self.files.keys().copied()
    }

    /// Log-odds to add for a file; `near` says whether the active file is connected to it.
    pub fn of_file(&self, file: usize, near: bool) -> f64 {
        self.files.get(&file).copied().unwrap_or_default() + if near { self.reach } else { 0.0 }
    }

    /// Log-odds to add for a chunk.
    pub fn of_chunk(&self, path: &RelPath, chunk: &Chunk) -> f64 {
        let is_in = |lines: &[u32; 2]| lines[0] <= chunk.lines[1] && lines[1] >= chunk.lines[0];
        let is_marked = self.marked.iter().any(|(marked, lines)| *marked == path && is_in(lines));
        if is_marked { MARKED_CHUNK } else { 0.0 }
    }
}
