//! A tree of files as the pure core sees one: by path, as values.

use crate::gate::lock::Ecosystem;
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

    /// What is around the files, where there is a workspace.
    fn surroundings(&self) -> Option<&dyn Surroundings> {
        None
    }
}

/// What is around the files of a tree: which ones there are, and what is installed. Nothing of it is pinned, and every
/// read is bounded by whoever reads.
pub trait Surroundings {
    /// Every file that no ignore rule leaves out, sorted.
    fn files(&self) -> Vec<RelPath>;

    /// A file's text as it is on disk.
    fn on_disk(&self, path: &RelPath) -> Option<Arc<str>>;

    /// Whether a module in the directory would find the npm package installed.
    fn is_installed(&self, dir: &str, name: &str) -> bool;

    /// The package as it is installed for a manifest or lock file in the directory; with an empty version, the one that a
    /// module there gets.
    fn installed(&self, ecosystem: Ecosystem, dir: &str, name: &str, version: &str) -> Option<Installed>;
}

/// A package as an install left it. Its words are untrusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    pub manifest: Arc<str>,
    /// The text of its licence file, read where the manifest does not say the licence.
    pub licence: Option<Arc<str>>,
}

/// A tree held in memory.
impl Tree for std::collections::BTreeMap<RelPath, Arc<[u8]>> {
    fn entry(&self, path: &RelPath) -> Entry {
        self.get(path).map_or(Entry::Missing, |bytes| Entry::File { bytes: bytes.clone(), executable: false })
    }
}
