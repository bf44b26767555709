//! The graph as the ranking reads it: files by number, terms by posting, edges by number.

use crate::graph::{FileFacts, Graph, Indexed};
use crate::path::RelPath;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// How far to look for a directory's other files.
const SIBLINGS: usize = 200;

/// Files by their place in the graph's order, which is that of the paths.
pub(super) struct Corpus<'g> {
    graph: &'g Graph,
    files: Vec<(&'g RelPath, &'g Indexed)>,
    /// Only looked up, never walked.
    numbers: HashMap<&'g RelPath, usize>,
    /// By file, the number of its directory.
    directories: Vec<usize>,
    /// By directory, the files right in it, in order.
    members: Vec<Vec<usize>>,
}

impl<'g> Corpus<'g> {
    pub fn new(graph: &'g Graph) -> Self {
        let files: Vec<_> = graph.files().iter().map(|(path, file)| (path, &**file)).collect();
        let numbers = files.iter().enumerate().map(|(at, (path, _))| (*path, at)).collect();
        let (directories, members) = by_directory(&files);
        Self { graph, files, numbers, directories, members }
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

    /// The other files right in the file's directory: those before it, the nearest first, then those after it.
    pub fn siblings(&self, file: usize) -> impl Iterator<Item = usize> {
        let members = &self.members[self.directories[file]];
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

/// The number of each file's directory, and the files of each.
fn by_directory(files: &[(&RelPath, &Indexed)]) -> (Vec<usize>, Vec<Vec<usize>>) {
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    let mut members: Vec<Vec<usize>> = Vec::new();
    let mut of = Vec::with_capacity(files.len());
    for (at, (path, _)) in files.iter().enumerate() {
        let next = numbers.len();
        let number = *numbers.entry(path.dir()).or_insert(next);
        if number == members.len() {
            members.push(Vec::new());
        }
        members[number].push(at);
        of.push(number);
    }
    (of, members)
}
