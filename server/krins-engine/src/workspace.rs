//! The workspace root: reading beneath it, naming what is in it, and walking it.
//!
//! Nothing in here writes; the journalled apply does. Open documents are not known here either.

use crate::beneath::{Beneath, Found};
use crate::error::{Error, ErrorKind};
use crate::installed::Listings;
use crate::limits::Limits;
use ignore::{WalkBuilder, WalkState};
use krins_core::{Digest, Entry, RelPath, Surroundings, Tree};
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;
use url::Url;

/// A walk stops after this many files.
pub const MAX_FILES: usize = 200_000;
/// Directories that are never walked, whatever the ignore files say.
const NEVER: [&str; 4] = [".git", ".hg", ".jj", "node_modules"];

/// A directory that everything is read and written beneath.
#[derive(Debug)]
pub struct Root {
    /// Without symbolic links.
    path: PathBuf,
    /// As the person or the editor spelt it, absolute; the editor's URIs begin with it.
    spelt: PathBuf,
    beneath: Beneath,
    listings: Listings,
}

/// A file that a walk found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Walked {
    pub path: RelPath,
    /// Bytes.
    pub size: u64,
    /// When the file on disk was last written; `None` for one that is only open in the editor.
    pub modified: Option<SystemTime>,
}

/// What a walk saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    /// Sorted by path.
    pub files: Vec<Walked>,
    /// Files whose names are not UTF-8 or could be misread as another path.
    pub unnamed: usize,
    /// Directories and files that could not be read.
    pub unreadable: usize,
    /// True when there were more than the limit.
    pub truncated: bool,
}

/// Why a directory cannot be a root.
#[derive(Debug, thiserror::Error)]
#[error("open the workspace {path:?}: {source}")]
pub struct RootError {
    pub path: PathBuf,
    pub source: std::io::Error,
}

impl From<RootError> for Error {
    fn from(error: RootError) -> Self {
        Self::new(ErrorKind::BadParams, error.to_string()).hint("name an existing directory that you may read")
    }
}

impl Root {
    /// Opens an existing directory.
    pub fn open(path: &Path) -> Result<Self, RootError> {
        let open = || {
            let spelt = std::path::absolute(path)?;
            let path = path.canonicalize()?;
            let beneath = Beneath::open(&path)?;
            Ok(Self { path, spelt, beneath, listings: Listings::default() })
        };
        open().map_err(|source| RootError { path: path.to_owned(), source })
    }

    /// The canonical path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn listings(&self) -> &Listings {
        &self.listings
    }

    /// sha256 of the canonical path: the root's name in the state directory.
    pub fn digest(&self) -> Digest {
        Digest::of(self.path.as_os_str().as_encoded_bytes())
    }

    /// The place of an absolute path in this root; `None` outside of it, and for names that are not UTF-8.
    /// Symbolic links in the path are not looked at: whoever opens it does.
    pub fn relative(&self, path: &Path) -> Option<RelPath> {
        let inside = path.strip_prefix(&self.path).or_else(|_| path.strip_prefix(&self.spelt)).ok()?;
        rel_path(inside)
    }

    /// The same for a path relative to the working directory, or absolute, as a person types it; `.` and `..` are
    /// resolved by name.
    pub fn typed(&self, path: &Path) -> Option<RelPath> {
        let absolute = std::path::absolute(path).ok()?;
        let mut plain = PathBuf::new();
        for component in absolute.components() {
            match component {
                Component::ParentDir => {
                    plain.pop();
                }
                Component::CurDir => {}
                other => plain.push(other),
            }
        }
        self.relative(&plain)
    }

    /// The place of a `file:` URI in this root.
    pub fn relative_uri(&self, uri: &str) -> Option<RelPath> {
        self.relative(&file_path(uri)?)
    }

    /// The `file:` URI of a path, below the root as it was spelt.
    pub fn uri(&self, path: &RelPath) -> String {
        let absolute = self.spelt.join(path);
        Url::from_file_path(&absolute).map_or_else(|()| format!("file://{}", absolute.display()), String::from)
    }

    /// A regular file, opened without following anything.
    pub(crate) fn open_file(&self, path: &RelPath) -> std::io::Result<std::fs::File> {
        use rustix::fs::{Mode, OFlags};
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = std::fs::File::from(self.beneath.open_at(path.as_str(), flags, Mode::empty())?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(std::io::Error::other("not a regular file")) }
    }

    /// All files that no ignore rule (`.gitignore`, `.ignore`, `.krinsignore`) leaves out; symbolic links are not followed.
    pub fn walk(&self) -> Walk {
        self.walk_up_to(MAX_FILES)
    }

    fn walk_up_to(&self, limit: usize) -> Walk {
        let walk = Mutex::new(Walk::default());
        let unreadable = AtomicUsize::new(0);
        walker(&self.path).filter_entry(|entry| !is_never(entry.file_name())).build_parallel().run(|| {
            let mut batch = Batch { into: &walk, files: Vec::new(), unnamed: 0, limit };
            let unreadable = &unreadable;
            Box::new(move |entry| match entry {
                Ok(entry) => batch.take(&self.path, &entry),
                Err(_) => {
                    unreadable.fetch_add(1, Ordering::Relaxed);
                    WalkState::Continue
                }
            })
        });
        let mut walk = walk.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        walk.unreadable = unreadable.into_inner();
        walk.files.sort();
        walk.truncated |= walk.files.len() > limit;
        walk.files.truncate(limit);
        walk
    }
}

/// A walk of a directory by the ignore rules, also those above it; the caller keeps it out of what [`is_never`] names.
fn walker(dir: &Path) -> WalkBuilder {
    let mut builder = WalkBuilder::new(dir);
    builder
        .hidden(false)
        .follow_links(false)
        .require_git(false)
        .git_global(false)
        .add_custom_ignore_filename(".krinsignore")
        .threads(Limits::current().workers());
    builder
}

/// Whether a directory of that name is never looked into, whatever the ignore files say.
pub(crate) fn is_never(name: &OsStr) -> bool {
    NEVER.iter().any(|never| name == *never)
}

impl Tree for Root {
    fn entry(&self, path: &RelPath) -> Entry {
        match self.beneath.read(path.as_str()) {
            Ok(Found::Missing) => Entry::Missing,
            Ok(Found::File { bytes, mode }) => Entry::File { bytes: bytes.into(), executable: mode & 0o111 != 0 },
            Ok(Found::Refused(why)) => Entry::Refused(why),
            Err(error) => Entry::Refused(format!("unreadable: {error}")),
        }
    }

    fn surroundings(&self) -> Option<&dyn Surroundings> {
        Some(self)
    }
}

/// The path of a `file:` URI without a foreign host.
pub fn file_path(uri: &str) -> Option<PathBuf> {
    let uri = Url::parse(uri).ok()?;
    (uri.scheme() == "file").then(|| uri.to_file_path().ok()).flatten()
}

fn rel_path(path: &Path) -> Option<RelPath> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(part.to_str()?),
            _ => return None,
        }
    }
    RelPath::new(&parts.join("/")).ok()
}

/// What one walking thread found; handed over when the thread ends.
struct Batch<'w> {
    into: &'w Mutex<Walk>,
    files: Vec<Walked>,
    unnamed: usize,
    limit: usize,
}

impl Batch<'_> {
    fn take(&mut self, root: &Path, entry: &ignore::DirEntry) -> WalkState {
        if !entry.file_type().is_some_and(|kind| kind.is_file()) {
            return WalkState::Continue;
        }
        match entry.path().strip_prefix(root).ok().and_then(rel_path) {
            Some(path) => {
                let meta = entry.metadata().ok();
                let size = meta.as_ref().map_or(0, std::fs::Metadata::len);
                self.files.push(Walked { path, size, modified: meta.and_then(|meta| meta.modified().ok()) });
            }
            None => self.unnamed += 1,
        }
        // One thread alone never needs more than the limit and one, to know that it was passed.
        if self.files.len() > self.limit { WalkState::Quit } else { WalkState::Continue }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        let mut walk = self.into.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        walk.files.append(&mut self.files);
        walk.unnamed += self.unnamed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn rel(path: &str) -> RelPath {
        RelPath::new(path).unwrap()
    }

    fn sample() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        for path in [
            "src/a.ts",
            "src/b c.ts",
            "dist/x.js",
            "logs/l.log",
            "node_modules/p/i.js",
            ".git/config",
            "secret.txt",
            ".github/w.yml",
        ] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        fs::write(dir.path().join(".gitignore"), "dist/\n").unwrap();
        fs::write(dir.path().join(".ignore"), "*.log\n").unwrap();
        fs::write(dir.path().join(".krinsignore"), "secret.txt\n").unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("src/etc")).unwrap();
        let root = Root::open(dir.path()).unwrap();
        (dir, root)
    }

    #[test]
    fn a_walk_is_sorted_and_keeps_to_the_ignore_rules() {
        let (_dir, root) = sample();
        let walk = root.walk();
        let paths: Vec<&str> = walk.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, [".github/w.yml", ".gitignore", ".ignore", ".krinsignore", "src/a.ts", "src/b c.ts"]);
        assert!(!walk.truncated);
    }

    #[test]
    fn a_walk_is_bounded_and_says_so() {
        let (_dir, root) = sample();
        let walk = root.walk_up_to(3);
        assert_eq!((walk.files.len(), walk.truncated), (3, true));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn names_that_are_not_utf8_are_counted() {
        use std::os::unix::ffi::OsStrExt;
        let (dir, root) = sample();
        fs::write(dir.path().join(std::ffi::OsStr::from_bytes(b"bad\xff.ts")), "x").unwrap();
        fs::write(dir.path().join("back\\slash.ts"), "x").unwrap();
        assert_eq!(root.walk().unnamed, 2);
    }

    #[test]
    fn uris_go_both_ways_also_through_a_linked_root() {
        let (dir, root) = sample();
        let path = rel("src/b c.ts");
        assert_eq!(root.relative_uri(&root.uri(&path)), Some(path.clone()));
        let outside = tempfile::tempdir().unwrap();
        let link = outside.path().join("link");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        let linked = Root::open(&link).unwrap();
        assert_eq!(linked.digest(), root.digest());
        assert_eq!(linked.relative_uri(&root.uri(&path)), Some(path.clone()));
        let uri = linked.uri(&path);
        assert!(uri.ends_with("/link/src/b%20c.ts"), "{uri}");
        assert_eq!(linked.relative_uri(&uri), Some(path));
        for uri in ["untitled:Untitled-1", "file:///etc/passwd", "http://x/y", "no uri"] {
            assert_eq!(root.relative_uri(uri), None, "{uri}");
        }
        assert_eq!(root.typed(&dir.path().join("src/../src/./a.ts")), Some(rel("src/a.ts")));
        assert_eq!(root.typed(&dir.path().join("../x")), None);
    }

    #[test]
    fn entries_are_files_missing_or_refused_with_a_reason() {
        let (_dir, root) = sample();
        assert!(matches!(root.entry(&rel("src/a.ts")), Entry::File { executable: false, .. }));
        assert_eq!(root.entry(&rel("none")), Entry::Missing);
        assert_eq!(root.entry(&rel("src")), Entry::Refused("a directory".into()));
        assert!(matches!(root.entry(&rel("src/etc/passwd")), Entry::Refused(_)));
    }

    #[test]
    fn a_root_that_is_not_there_is_an_error_that_names_it() {
        let error = Root::open(Path::new("/no/such/dir")).unwrap_err().to_string();
        assert!(error.contains("/no/such/dir"), "{error}");
    }
}
