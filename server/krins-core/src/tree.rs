//! A tree of files as the pure core sees one: by path, as values.

use crate::path::RelPath;
use std::sync::Arc;

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    Missing,
    File {
        bytes: Arc<[u8]>,
        executable: bool,
    },
    /// Something a patch must not touch: `"a symbolic link"`, `"a directory"`, `"larger than 20 MB"`, ….
    Refused(String),
}

/// Read access to files: a pinned base, the workspace as it is now, or a map in a test.
pub trait Tree {
    fn entry(&self, path: &RelPath) -> Entry;

    /// The file's text; `None` when it is missing, refused or not UTF-8.
    fn text(&self, path: &RelPath) -> Option<Arc<str>> {
        match self.entry(path) {
            Entry::File { bytes, .. } => std::str::from_utf8(&bytes).ok().map(Arc::from),
            Entry::Missing | Entry::Refused(_) => None,
        }
    }
}

/// A tree held in memory.
impl Tree for std::collections::BTreeMap<RelPath, Arc<[u8]>> {
    fn entry(&self, path: &RelPath) -> Entry {
        self.get(path).map_or(Entry::Missing, |bytes| Entry::File { bytes: bytes.clone(), executable: false })
    }
}
