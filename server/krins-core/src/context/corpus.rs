//! The graph as the ranking reads it: files by number, terms by posting, edges by number.

use crate::graph::{FileFacts, Graph, Indexed};
use crate::path::RelPath;
use std::collections::HashMap;
use std::sync::Arc;

/// How far to look for a directory's other files.
const SIBLINGS: usize = 200;

/// Files by their place in the graph's order, which is that of the paths.
pub(super) struct Corpus<'g> {
    graph: &'g Graph,
    files: Vec<(&'g RelPath, &'g Indexed)>,
    /// Only looked up, never walked.
    numbers: HashMap<&'g RelPath, usize>,
}

impl<'g> Corpus<'g> {
    pub fn new(graph: &'g Graph) -> Self {
        let files: Vec<_> = graph.files().iter().map(|(path, file)| (path, &**file)).collect();
        let numbers = files.iter().enumerate().map(|(at, (path, _))| (*path, at)).collect();
        Self { graph, files, numbers }
    }

    pub fn len(&self) -> usize {
        self.files.len()
    }

    pub fn path(&self, file: usize) -> &'g RelPath {
        self.files[file].0
    }

    pub fn number(&self, path: &RelPath) -> Option<usize> {
        self.numbers.get(path).copied()
    }

    /// Everything about a file. To be asked for candidates only.
    pub fn facts(&self, file: usize) -> Arc<FileFacts> {
        self.files[file].1.facts()
    }

    pub fn is_generated(&self, file: usize) -> bool {
        self.files[file].1.summary().generated
    }

    pub fn chunks(&self, file: usize) -> usize {
        self.files[file].1.lexicon().chunks()
    }

    /// How many terms a chunk holds.
    pub fn length(&self, file: usize, chunk: usize) -> u32 {
        self.files[file].1.lexicon().length(chunk)
    }

    /// Files near in the order, which has those of a directory together.
    pub fn siblings(&self, file: usize) -> impl Iterator<Item = usize> {
        let directory = self.path(file).dir();
        let inside = move |other: &usize| self.path(*other).as_str().starts_with(directory);
        let before = (0..file).rev().take_while(inside).take(SIBLINGS);
        before.chain((file + 1..self.len()).take_while(inside).take(SIBLINGS))
    }

    /// Calls `take` with (chunk, count) for every chunk that holds the term.
    pub fn postings(&self, file: usize, hash: u32, take: impl FnMut(usize, u32)) {
        self.files[file].1.lexicon().postings(hash, take);
    }

    /// Calls `take` with (hash, chunk, count) for every term of the file.
    pub fn terms(&self, file: usize, take: impl FnMut(u32, usize, u32)) {
        self.files[file].1.lexicon().all(take);
    }

    pub fn imports(&self, file: usize) -> impl Iterator<Item = usize> {
        self.graph.imports(self.path(file)).iter().filter_map(|path| self.number(path))
    }

    pub fn importers(&self, file: usize) -> impl Iterator<Item = usize> {
        self.graph.importers(self.path(file)).iter().filter_map(|path| self.number(path))
    }

    pub fn import_count(&self, file: usize) -> usize {
        self.graph.imports(self.path(file)).len()
    }

    pub fn importer_count(&self, file: usize) -> usize {
        self.graph.importers(self.path(file)).len()
    }

    /// Where each of the file's imports leads.
    pub fn resolved(&self, file: usize) -> &'g [Option<RelPath>] {
        self.graph.resolved(self.path(file))
    }
}
