//! The graph as the ranking reads it: files by number, terms by posting, edges by number.

use crate::graph::{FileFacts, Graph, Indexed, Places};
use crate::path::RelPath;
use std::cell::OnceCell;
use std::sync::Arc;

/// How far to look for a directory's other files.
const SIBLINGS: usize = 200;

/// Files by their place in the graph's order, which is that of the paths.
pub(super) struct Corpus<'g> {
    graph: &'g Graph,
    places: &'g Places,
    files: Vec<(&'g RelPath, &'g Indexed)>,
    /// By file, sorted; found when they are asked for.
    imports: Vec<OnceCell<Box<[u32]>>>,
    importers: Vec<OnceCell<Box<[u32]>>>,
}

impl<'g> Corpus<'g> {
    pub fn new(graph: &'g Graph) -> Self {
        let files: Vec<_> = graph.files().iter().map(|(path, file)| (path, &**file)).collect();
        let none = || vec![OnceCell::new(); files.len()];
        Self { graph, places: graph.places(), imports: none(), importers: none(), files }
    }

    pub fn len(&self) -> usize {
        self.files.len()
    }

    pub fn path(&self, file: usize) -> &'g RelPath {
        self.files[file].0
    }

    pub fn number(&self, path: &RelPath) -> Option<usize> {
        self.places.number(path)
    }

    /// Hashes of the terms in the file's path, repeats included.
    pub fn path_terms(&self, file: usize) -> &'g [u32] {
        self.places.terms(file)
    }

    pub fn is_test(&self, file: usize) -> bool {
        self.places.is_test(file)
    }

    /// What a file declares, without uses. To be asked for candidates only.
    pub fn outline(&self, file: usize) -> Arc<FileFacts> {
        self.files[file].1.outline()
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

    /// How many terms a file holds.
    pub fn total_length(&self, file: usize) -> u64 {
        self.files[file].1.lexicon().total_length()
    }

    /// The files right in the file's directory, itself among them.
    pub fn beside(&self, file: usize) -> &'g [usize] {
        self.places.beside(file)
    }

    /// The other files right in the file's directory: those before it, the nearest first, then those after it.
    pub fn siblings(&self, file: usize) -> impl Iterator<Item = usize> {
        let members = self.beside(file);
        let at = members.partition_point(|member| *member < file);
        let before = members[..at].iter().rev().take(SIBLINGS);
        before.chain(members[at..].iter().skip(1).take(SIBLINGS)).copied()
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
        self.import_numbers(file).iter().map(|number| *number as usize)
    }

    pub fn importers(&self, file: usize) -> impl Iterator<Item = usize> {
        self.importer_numbers(file).iter().map(|number| *number as usize)
    }

    /// Sorted, each once.
    pub fn import_numbers(&self, file: usize) -> &[u32] {
        self.imports[file].get_or_init(|| self.numbers(self.graph.imports(self.path(file))))
    }

    /// Sorted, each once.
    pub fn importer_numbers(&self, file: usize) -> &[u32] {
        self.importers[file].get_or_init(|| self.numbers(self.graph.importers(self.path(file))))
    }

    fn numbers(&self, paths: &[RelPath]) -> Box<[u32]> {
        paths.iter().filter_map(|path| Some(self.number(path)? as u32)).collect()
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
