//! What Krins keeps between runs, outside the workspace: one directory per root, private to the user.
//!
//! ```text
//! <base>/roots/<first 16 hex digits of sha256 of the root's path>/
//!     root          the root's path, for people
//!     blobs/ab/…    contents by sha256
//!     <kind>/<name>.json
//!     locks/<name>  held while a process works on <name>
//!     apply/        the journal and the history of applies
//! <base>/trusted    sha256 and path of each trusted workspace configuration
//! ```
//!
//! Documents and blobs are replaced by a rename, so they survive `kill -9` whole; only the journal also pays for
//! surviving a power cut. A blob is checked against its name when it is read.

use crate::error::{Error, ErrorKind};
use crate::workspace::Root;
use krins_core::Digest;
use krins_core::secrets::FingerprintKey;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use uuid::Uuid;

/// The state directory of one root.
#[derive(Clone, Debug)]
pub struct StateDir {
    base: Arc<Path>,
    dir: Arc<Path>,
}

/// What went wrong, and where.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("find a place for Krins' state: neither KRINS_STATE_DIR, XDG_STATE_HOME nor HOME is set")]
    NoHome,
    #[error("{action} {path:?}: {source}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("read blob {0}: it is damaged")]
    DamagedBlob(Digest),
    #[error("store {path:?}: {source}")]
    Encode { path: PathBuf, source: serde_json::Error },
}

impl From<StateError> for Error {
    fn from(error: StateError) -> Self {
        let hint = match &error {
            StateError::NoHome => "set KRINS_STATE_DIR to a directory that only you can read",
            StateError::Io { source, .. } => io_hint(source),
            StateError::DamagedBlob(_) => "assign the task again",
            StateError::Encode { .. } => "",
        };
        Self::new(ErrorKind::Internal, error.to_string()).hint(hint)
    }
}

/// What a person can do about an IO error.
pub(crate) fn io_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "the disk is full: free some space and try again",
        io::ErrorKind::PermissionDenied => "you may not write there: check the owner and the permissions",
        io::ErrorKind::ReadOnlyFilesystem => "the file system is mounted read-only",
        io::ErrorKind::NotFound => "it is gone",
        _ => "",
    }
}

type Result<T, E = StateError> = std::result::Result<T, E>;

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    move |source| StateError::Io { action, path: path.to_owned(), source }
}

/// `$KRINS_STATE_DIR`, else `$XDG_STATE_HOME/krins`, else the platform's place below the home directory.
pub fn base_dir(env: &dyn Fn(&str) -> Option<OsString>) -> Result<PathBuf> {
    let set = |name: &str| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = |below: &str| set("HOME").map(|home| home.join(below));
    let below = if cfg!(target_os = "macos") { "Library/Application Support/krins" } else { ".local/state/krins" };
    set("KRINS_STATE_DIR")
        .or_else(|| set("XDG_STATE_HOME").filter(|dir| dir.is_absolute()).map(|dir| dir.join("krins")))
        .or_else(|| home(below))
        .ok_or(StateError::NoHome)
}

/// How much may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub count: usize,
    pub age: Duration,
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { count: 2_000, age: Duration::from_secs(30 * 24 * 3600), bytes: 512 << 20 }
    }
}

/// Held until it is dropped, or the process ends in whatever way.
#[derive(Debug)]
#[must_use = "dropping it gives the lock up"]
pub struct Lease {
    file: File,
    path: PathBuf,
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Removed while it is held: a process that opened it before sees that the name no longer leads to it.
        let _ = fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}

impl StateDir {
    /// The state of `root` below the base directory that the process's environment names.
    pub fn open(root: &Root) -> Result<Self> {
        Self::open_at(&base_dir(&|name| std::env::var_os(name))?, root)
    }

    pub fn open_at(base: &Path, root: &Root) -> Result<Self> {
        let base = std::path::absolute(base).map_err(io_error("find", base))?;
        let key: String = root.digest().to_string().chars().take(16).collect();
        let dir = base.join("roots").join(key);
        let state = Self { base: base.into(), dir: dir.into() };
        state.subdir("apply")?;
        for private in [&*state.base, &*state.dir] {
            fs::set_permissions(private, fs::Permissions::from_mode(0o700)).map_err(io_error("protect", private))?;
        }
        replace(&state.dir.join("root"), root.path().as_os_str().as_encoded_bytes())?;
        Ok(state)
    }

    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// The directory that all roots share.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// Makes a private directory below the state directory.
    pub fn subdir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir.join(name);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(io_error("make", &dir))?;
        Ok(dir)
    }

    pub fn put_blob(&self, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::of(bytes);
        let path = self.blob_path(&digest);
        // Touched, so that a sweep sees that it is wanted again.
        if File::open(&path).and_then(|file| file.set_modified(SystemTime::now())).is_err() {
            replace(&path, bytes)?;
        }
        Ok(digest)
    }

    pub fn blob(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        let path = self.blob_path(digest);
        let bytes = fs::read(&path).map_err(io_error("read", &path))?;
        if Digest::of(&bytes) == *digest { Ok(bytes) } else { Err(StateError::DamagedBlob(*digest).into()) }
    }

    /// What the secrets of this machine's findings are called by; made when it is first asked for. Copied to another
    /// machine, it gives the same names there.
    pub fn fingerprint_key(&self) -> Result<FingerprintKey, Error> {
        let path = self.base.join("fingerprint.key");
        if !path.exists() {
            let made = [Uuid::new_v4(), Uuid::new_v4()].map(Uuid::into_bytes).concat();
            let mut temp = tempfile::NamedTempFile::new_in(&self.base).map_err(io_error("write in", &self.base))?;
            temp.write_all(&made).map_err(io_error("write", &path))?;
            match temp.persist_noclobber(&path) {
                Ok(_) => {}
                // Another process was first; its key is the key.
                Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(io_error("write", &path)(error.error).into()),
            }
        }
        let bytes = fs::read(&path).map_err(io_error("read", &path))?;
        bytes.try_into().map(FingerprintKey::new).map_err(|_| {
            Error::new(ErrorKind::Internal, format!("read {}: it is damaged", path.display()))
                .hint("delete it; fingerprints of allowed secrets have to be taken anew")
        })
    }

    /// Keeps a content where a person can find it, under a name that ends with `name`.
    pub fn keep(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let digest: String = Digest::of(bytes).to_string().chars().take(12).collect();
        let path = self.subdir("kept")?.join(format!("{digest}-{name}"));
        replace(&path, bytes)?;
        Ok(path)
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.dir.join("blobs").join(&name[..2]).join(name)
    }

    /// Removes blobs that are not in `keep`: those past the age, and the oldest while there are more than the limits say.
    pub fn sweep_blobs(&self, keep: &BTreeSet<Digest>, limits: Limits) -> Result<usize> {
        let mut loose = Vec::new();
        for shard in list(&self.dir.join("blobs")) {
            for path in list(&shard) {
                let digest = path.file_name().and_then(|name| name.to_str()?.parse::<Digest>().ok());
                if digest.is_some_and(|digest| keep.contains(&digest)) {
                    continue;
                }
                let Ok(meta) = path.metadata() else { continue };
                loose.push((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), meta.len(), path));
            }
        }
        Ok(sweep(loose, limits).iter().filter(|path| fs::remove_file(path).is_ok()).count())
    }

    /// The names of all documents of a kind, sorted.
    pub fn documents(&self, kind: &str) -> Vec<String> {
        let name = |path: &PathBuf| Some(path.file_name()?.to_str()?.strip_suffix(".json")?.to_owned());
        list(&self.dir.join(kind)).iter().filter_map(name).collect()
    }

    /// `None` when there is none, or it is not readable as a `T` (an older version's).
    pub fn document<T: DeserializeOwned>(&self, kind: &str, name: &str) -> Option<T> {
        let bytes = fs::read(self.document_path(kind, name)).ok()?;
        match serde_json::from_slice(&bytes) {
            Ok(document) => Some(document),
            Err(error) => {
                tracing::warn!(kind, name, %error, "a stored document is not readable");
                None
            }
        }
    }

    pub fn put_document<T: Serialize>(&self, kind: &str, name: &str, document: &T) -> Result<()> {
        let path = self.document_path(kind, name);
        let bytes = serde_json::to_vec(document).map_err(|source| StateError::Encode { path: path.clone(), source })?;
        replace(&path, &bytes)
    }

    pub fn remove_document(&self, kind: &str, name: &str) {
        let _ = fs::remove_file(self.document_path(kind, name));
    }

    fn document_path(&self, kind: &str, name: &str) -> PathBuf {
        self.dir.join(kind).join(format!("{name}.json"))
    }

    /// Takes the lock of that name; `None` when a process (this one too) holds it.
    pub fn hold(&self, name: &str) -> Result<Option<Lease>> {
        let path = self.subdir("locks")?.join(name);
        loop {
            let file = File::options().create(true).append(true).open(&path).map_err(io_error("open", &path))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(source)) => return Err(io_error("lock", &path)(source)),
            }
            // The last holder may have removed the name between our open and our lock.
            if same_file(&file, &path) {
                return Ok(Some(Lease { file, path }));
            }
        }
    }

    /// Whether a process holds the lock of that name.
    pub fn is_held(&self, name: &str) -> bool {
        let Ok(file) = File::open(self.dir.join("locks").join(name)) else { return false };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }

    /// What the person has trusted.
    pub fn trust(&self) -> Trust {
        Trust::at(&self.base)
    }
}

/// The workspace configurations that the person has trusted, by exact content.
#[derive(Clone, Debug)]
pub struct Trust {
    file: PathBuf,
}

impl Trust {
    /// The list below the shared base directory.
    pub fn at(base: &Path) -> Self {
        Self { file: base.join("trusted") }
    }

    /// Whether this content at this path is trusted. Another content, or the same elsewhere, is not.
    pub fn holds(&self, path: &Path, content: &Digest) -> bool {
        self.entries().contains(&entry_line(path, content))
    }

    pub fn add(&self, path: &Path, content: &Digest) -> Result<()> {
        let mut entries = self.entries();
        entries.insert(entry_line(path, content));
        self.write(&entries)
    }

    /// Takes back every trust in that path.
    pub fn remove(&self, path: &Path) -> Result<()> {
        let suffix = format!(" {}", path.display().to_string().escape_default());
        let entries = self.entries().into_iter().filter(|entry| !entry.ends_with(&suffix)).collect();
        self.write(&entries)
    }

    fn entries(&self) -> BTreeSet<String> {
        fs::read_to_string(&self.file).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn write(&self, entries: &BTreeSet<String>) -> Result<()> {
        let text: String = entries.iter().map(|entry| format!("{entry}\n")).collect();
        replace(&self.file, text.as_bytes())
    }
}

fn entry_line(path: &Path, content: &Digest) -> String {
    // Escaped, so that a line end in a path cannot make a second entry.
    format!("{content} {}", path.display().to_string().escape_default())
}

/// Which of the files have to go, oldest first.
fn sweep<T>(mut files: Vec<(SystemTime, u64, T)>, limits: Limits) -> Vec<T> {
    files.sort_by_key(|(modified, _, _)| std::cmp::Reverse(*modified));
    let mut bytes = 0;
    let mut kept = 0;
    let mut gone = Vec::new();
    for (modified, size, file) in files {
        bytes += size;
        let old = modified.elapsed().is_ok_and(|age| age > limits.age);
        if old || kept >= limits.count || bytes > limits.bytes {
            gone.push(file);
        } else {
            kept += 1;
        }
    }
    gone.reverse();
    gone
}

/// The entries of a directory, sorted; none when it cannot be read.
fn list(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

/// Writes a private file beside `path` and renames it there, so that readers see the old or the new content.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io_error("make", dir))?;
    let mut temp = tempfile::NamedTempFile::new_in(dir).map_err(io_error("write in", dir))?;
    temp.write_all(bytes).map_err(io_error("write", path))?;
    temp.persist(path).map_err(|error| io_error("write", path)(error.error))?;
    Ok(())
}

fn same_file(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (tempfile::TempDir, StateDir) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("root")).unwrap();
        let root = Root::open(&dir.path().join("root")).unwrap();
        let state = StateDir::open_at(&dir.path().join("state"), &root).unwrap();
        (dir, state)
    }

    #[test]
    fn the_base_is_found_in_the_documented_order() {
        let find = |vars: &[(&str, &str)]| {
            let vars: Vec<(String, OsString)> = vars.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
            base_dir(&|name| vars.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone()))
        };
        let all = [("KRINS_STATE_DIR", "/k"), ("XDG_STATE_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(find(&all).unwrap(), Path::new("/k"));
        assert_eq!(find(&all[1..]).unwrap(), Path::new("/x/krins"));
        assert!(find(&all[2..]).unwrap().starts_with("/h"));
        assert!(find(&[("XDG_STATE_HOME", "relative"), ("HOME", "/h")]).unwrap().starts_with("/h"));
        assert!(matches!(find(&[("HOME", "")]), Err(StateError::NoHome)));
    }

    #[test]
    fn the_key_of_fingerprints_stays_and_is_private() {
        let (_dir, state) = sample();
        let key = state.fingerprint_key().unwrap();
        assert_eq!(state.fingerprint_key().unwrap(), key);
        let path = state.base().join("fingerprint.key");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0);
        fs::write(&path, "short").unwrap();
        assert!(state.fingerprint_key().is_err());
    }

    #[test]
    fn it_is_private_and_names_its_root() {
        let (dir, state) = sample();
        for path in [state.path(), state.base()] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o700);
        }
        let named = fs::read_to_string(state.path().join("root")).unwrap();
        assert_eq!(Path::new(&named), dir.path().join("root").canonicalize().unwrap());
    }

    #[test]
    fn blobs_are_checked_when_they_are_read() {
        let (_dir, state) = sample();
        let digest = state.put_blob(b"text").unwrap();
        assert_eq!(state.blob(&digest).unwrap(), b"text");
        fs::write(state.blob_path(&digest), "tampered").unwrap();
        assert!(state.blob(&digest).unwrap_err().to_string().contains("damaged"));
        assert!(state.blob(&Digest::of("other")).is_err());
    }

    #[test]
    fn a_sweep_keeps_what_is_wanted_and_what_is_within_the_limits() {
        let (_dir, state) = sample();
        let blobs: Vec<Digest> = (0..6u8).map(|n| state.put_blob(&[n; 10]).unwrap()).collect();
        for (age, digest) in blobs.iter().enumerate() {
            let at = SystemTime::now() - Duration::from_secs(100 - age as u64);
            File::open(state.blob_path(digest)).unwrap().set_modified(at).unwrap();
        }
        let keep = BTreeSet::from([blobs[0]]);
        let limits = Limits { count: 2, age: Duration::from_secs(1000), bytes: 1000 };
        assert_eq!(state.sweep_blobs(&keep, limits).unwrap(), 3);
        let left: Vec<bool> = blobs.iter().map(|digest| state.blob(digest).is_ok()).collect();
        assert_eq!(left, [true, false, false, false, true, true]);
        let limits = Limits { count: 9, age: Duration::from_secs(1000), bytes: 15 };
        assert_eq!(state.sweep_blobs(&keep, limits).unwrap(), 1);
        let limits = Limits { count: 9, age: Duration::from_secs(10), bytes: 1000 };
        assert_eq!(state.sweep_blobs(&keep, limits).unwrap(), 1);
    }

    #[test]
    fn documents_come_back_and_unreadable_ones_are_left_out() {
        let (_dir, state) = sample();
        state.put_document("tasks", "t-1", &vec![1, 2]).unwrap();
        assert_eq!(state.documents("tasks"), ["t-1"]);
        assert_eq!(state.document::<Vec<u8>>("tasks", "t-1"), Some(vec![1, 2]));
        assert_eq!(state.document::<String>("tasks", "t-1"), None);
        state.remove_document("tasks", "t-1");
        assert!(state.documents("tasks").is_empty());
    }

    #[test]
    fn a_lock_has_one_holder_and_leaves_nothing_behind() {
        let (_dir, state) = sample();
        let lease = state.hold("apply").unwrap().unwrap();
        assert!(state.is_held("apply"));
        assert!(state.hold("apply").unwrap().is_none());
        drop(lease);
        assert!(!state.is_held("apply"));
        assert!(list(&state.path().join("locks")).is_empty());
        let racing = || (0..200).filter(|_| state.hold("race").unwrap().is_some()).count();
        let taken: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(racing)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert!(taken > 0);
    }

    #[test]
    fn trust_is_in_one_content_at_one_path() {
        let (dir, state) = sample();
        let (path, digest) = (dir.path().join("config.toml"), Digest::of("a"));
        state.trust().add(&path, &digest).unwrap();
        assert!(state.trust().holds(&path, &digest));
        assert!(!state.trust().holds(&path, &Digest::of("b")));
        assert!(!state.trust().holds(&dir.path().join("other.toml"), &digest));
        state.trust().remove(&path).unwrap();
        assert!(!state.trust().holds(&path, &digest));
    }
}
