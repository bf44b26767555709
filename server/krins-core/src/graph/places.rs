//! What the paths of a graph's files say by themselves: their terms, directories and numbers. Worked out once for a set of
//! paths, and shared by every graph of the same files, whatever they hold.

use super::Files;
use super::queries::is_test;
use super::words;
use crate::path::RelPath;
use std::collections::{BTreeMap, HashMap};

/// Files are numbered by their place in the order of the paths.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// Only looked up, never walked.
    numbers: HashMap<RelPath, u32>,
    /// Hashes of every path's terms, one after the other, and where each ends.
    terms: Vec<u32>,
    term_ends: Vec<u32>,
    tests: Vec<bool>,
    /// By file, the number of its directory.
    directories: Vec<u32>,
    /// By directory, the files right in it, in order.
    members: Vec<Vec<usize>>,
}

impl Places {
    pub fn of(files: &Files) -> Self {
        let mut places = Self { numbers: HashMap::with_capacity(files.len()), ..Self::default() };
        let mut directories: BTreeMap<&str, u32> = BTreeMap::new();
        for (at, path) in files.keys().enumerate() {
            places.numbers.insert(path.clone(), at as u32);
            words::terms(path.as_str(), |term, _| places.terms.push(words::hash(term)));
            places.term_ends.push(places.terms.len() as u32);
            places.tests.push(is_test(path));
            let next = directories.len() as u32;
            let number = *directories.entry(path.dir()).or_insert(next);
            if number == next {
                places.members.push(Vec::new());
            }
            places.members[number as usize].push(at);
            places.directories.push(number);
        }
        places
    }

    pub fn number(&self, path: &RelPath) -> Option<usize> {
        self.numbers.get(path).map(|number| *number as usize)
    }

    /// Hashes of the terms in a file's path, repeats included.
    pub fn terms(&self, file: usize) -> &[u32] {
        let start = if file == 0 { 0 } else { self.term_ends[file - 1] };
        &self.terms[start as usize..self.term_ends[file] as usize]
    }

    pub fn is_test(&self, file: usize) -> bool {
        self.tests[file]
    }

    /// The files right in a file's directory, itself among them, in order.
    pub fn beside(&self, file: usize) -> &[usize] {
        &self.members[self.directories[file] as usize]
    }
}
