//! The few file operations that the journal needs, as a trait, so that tests can put a failing, dying or forgetful
//! file system under it.
//!
//! Paths are relative, with `/`, below whatever directory the implementation stands for.

pub(crate) mod disk;
#[cfg(any(test, feature = "drivers"))]
pub(crate) mod faulty;
#[cfg(test)]
pub(crate) mod simulated;

use std::io;
use std::time::SystemTime;

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Missing,
    File {
        bytes: Vec<u8>,
        /// Permission bits.
        mode: u32,
    },
    /// Something that is not touched, and why.
    Other(String),
}

/// Permission bits of a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permissions {
    /// What the process's umask gives.
    Fresh { executable: bool },
    /// Exactly these bits.
    Exactly(u32),
}

/// A file that is to be written.
#[derive(Clone, Debug)]
pub(crate) struct NewFile<'a> {
    pub path: String,
    pub bytes: &'a [u8],
    pub permissions: Permissions,
}

/// Nothing but [`Vfs::sync`] makes anything durable.
pub(crate) trait Vfs: Send + Sync {
    fn read(&self, path: &str) -> io::Result<Node>;

    /// [`Vfs::read`] for each, in any order; the outcomes are in theirs.
    fn read_all(&self, paths: &[&str]) -> Vec<io::Result<Node>> {
        paths.iter().map(|path| self.read(path)).collect()
    }

    /// Writes a new file. `AlreadyExists` when there is something at `path`.
    fn create(&self, path: &str, bytes: &[u8], permissions: Permissions) -> io::Result<()>;

    /// [`Vfs::create`] for each, in any order; the outcomes are in theirs.
    fn create_all(&self, files: &[NewFile]) -> Vec<io::Result<()>> {
        files.iter().map(|file| self.create(&file.path, file.bytes, file.permissions)).collect()
    }

    /// Renames over whatever file is at `to`.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Renames, `AlreadyExists` when there is something at `to`.
    fn rename_new(&self, from: &str, to: &str) -> io::Result<()>;

    /// Swaps two files in one step; `Unsupported` where that cannot be done.
    fn exchange(&self, a: &str, b: &str) -> io::Result<()>;

    fn remove(&self, path: &str) -> io::Result<()>;

    /// [`Vfs::remove`] for each, in any order; the outcomes are in theirs.
    fn remove_all(&self, paths: &[&str]) -> Vec<io::Result<()>> {
        paths.iter().map(|path| self.remove(path)).collect()
    }

    fn make_dir(&self, path: &str) -> io::Result<()>;

    /// Removes an empty directory.
    fn remove_dir(&self, path: &str) -> io::Result<()>;

    /// The names in a directory, sorted.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;

    /// A file's length in bytes and when it was written; `None` where there is none.
    fn stat(&self, path: &str) -> io::Result<Option<(u64, SystemTime)>>;

    /// Makes the contents of `files` and the names in `dirs` durable.
    fn sync(&self, files: &[&str], dirs: &[&str]) -> io::Result<()>;
}
