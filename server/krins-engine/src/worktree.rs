//! A throw-away copy of the workspace, as a task saw it and with its patch: what commands run in.
//!
//! It is made of the files as they are, saved or not, and never of what git remembers; no program of git's runs. What
//! ignore rules keep out is not copied: installed dependencies are led to by links, which the sandbox keeps read-only.
//! It lies in the state directory and goes when it is dropped; what a dead process left is swept at the next start.

use crate::base::Base;
use crate::error::{Error, ErrorKind, Result};
use crate::runner::Stop;
use crate::state::{Lease, StateDir};
use krins_core::patch::Patch;
use krins_core::{Entry, RelPath};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// Bytes beyond which a workspace is not copied.
const LARGEST: u64 = 4 << 30;
/// Directories that are looked into for dependencies, and links that are made.
const MOST_DIRECTORIES: usize = 50_000;
const MOST_LINKS: usize = 100_000;
/// What is ignored, and needed to run: links to it are made. Everything else that is ignored stays away.
const DEPENDENCIES: &[&str] = &[".venv", "venv", ".pnp.cjs", ".pnp.loader.mjs", ".yarn", "vendor"];
/// What one package of a workspace takes from another's build, so that it is copied when it is small.
const BUILT: &[&str] = &["dist", "build", "lib", "generated", "__generated__"];
const MOST_BUILT: u64 = 64 << 20;

/// The tree. Dropping it removes it.
#[derive(Debug)]
#[must_use = "dropping it removes the tree"]
pub struct ThrowAway {
    dir: PathBuf,
    /// Outside of it, and to be read.
    linked: BTreeSet<PathBuf>,
    _lease: Lease,
}

/// Which side of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Before,
    After,
}

impl ThrowAway {
    /// The files of the base. Blocking.
    pub fn of(state: &StateDir, base: &Base, stop: &Stop) -> Result<Self> {
        let name = format!("tree-{}", uuid::Uuid::now_v7().simple());
        let lease = state.hold(&name)?.ok_or_else(|| failed("make", Path::new(&name), "it is taken"))?;
        let dir = state.subdir("trees")?.join(&name);
        let mut tree = Self { dir, linked: BTreeSet::new(), _lease: lease };
        for part in [tree.tree(), tree.tmp()] {
            fs::create_dir_all(&part).map_err(io_error("make", &part))?;
        }
        tree.fill(base, stop)?;
        tree.link(base, stop)?;
        Ok(tree)
    }

    /// The workspace's copy.
    pub fn tree(&self) -> PathBuf {
        self.dir.join("tree")
    }

    /// For temporary files, outside of the copy.
    pub fn tmp(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    /// What links in the tree lead to.
    pub fn linked(&self) -> &BTreeSet<PathBuf> {
        &self.linked
    }

    /// Gives the patch's files that side's content.
    pub fn put(&self, patch: &Patch, side: Side) -> Result<()> {
        for file in patch.files() {
            let old = file.from.as_ref().unwrap_or(&file.path);
            let (path, content, other) = match side {
                Side::Before => (old, &file.before, &file.path),
                Side::After => (&file.path, &file.after, old),
            };
            if other != path {
                self.remove(other)?;
            }
            match content {
                Some(bytes) => self.write(path, bytes, file.executable)?,
                None => self.remove(path)?,
            }
        }
        Ok(())
    }

    pub fn write(&self, path: &RelPath, bytes: &[u8], executable: bool) -> Result<()> {
        Written::at(&self.tree()).write(path, bytes, executable)
    }

    fn remove(&self, path: &RelPath) -> Result<()> {
        Written::at(&self.tree()).remove(path)
    }

    /// The bytes of a file that a command left, at most so many. Nothing outside of the tree is read.
    pub fn read_tmp(&self, name: &str, most: u64) -> Option<Vec<u8>> {
        let beneath = crate::beneath::Beneath::open(&self.tmp()).ok()?;
        match beneath.read(name).ok()? {
            crate::beneath::Found::File { bytes, .. } if bytes.len() as u64 <= most => Some(bytes),
            _ => None,
        }
    }

    fn fill(&self, base: &Base, stop: &Stop) -> Result<()> {
        let snapshot = base.snapshot();
        let mut copied: u64 = 0;
        let walk = snapshot.walk();
        if walk.truncated {
            return Err(Error::new(ErrorKind::BadParams, "copy the workspace: it has too many files")
                .hint("exclude what is no source in .krinsignore"));
        }
        let mut made = BTreeSet::new();
        for file in walk.files {
            if stop.is_stopped() {
                return Err(Error::cancelled());
            }
            copied = copied.saturating_add(file.size);
            if copied > LARGEST {
                return Err(Error::new(ErrorKind::BadParams, "copy the workspace: it is larger than 4 GiB")
                    .hint("exclude what is no source in .krinsignore"));
            }
            let to = self.tree().join(&file.path);
            if let Some(dir) = to.parent().filter(|dir| made.insert(dir.to_path_buf())) {
                fs::create_dir_all(dir).map_err(io_error("make", dir))?;
            }
            // What the task read, and what is open, is in memory; the rest need not be.
            if let Some(entry) = base.known(&file.path) {
                if let Entry::File { bytes, executable } = entry {
                    self.write(&file.path, &bytes, executable)?;
                }
                continue;
            }
            let Ok(mut from) = snapshot.root().open_file(&file.path) else { continue };
            let mut copy = || -> io::Result<()> {
                let mode = from.metadata()?.permissions().mode();
                let mut into = fs::File::create(&to)?;
                io::copy(&mut from, &mut into)?;
                into.set_permissions(fs::Permissions::from_mode(mode & 0o777 | 0o600))
            };
            copy().map_err(io_error("copy", &to))?;
        }
        Ok(())
    }

    /// Links that stay in the workspace, and what is installed.
    fn link(&mut self, base: &Base, stop: &Stop) -> Result<()> {
        let root = base.snapshot().root().path().to_owned();
        let mut directories = vec![PathBuf::new()];
        let (mut looked, mut links) = (0, 0);
        while let Some(dir) = directories.pop() {
            looked += 1;
            if stop.is_stopped() {
                return Err(Error::cancelled());
            }
            if looked > MOST_DIRECTORIES || links > MOST_LINKS {
                break;
            }
            for entry in fs::read_dir(root.join(&dir)).into_iter().flatten().flatten() {
                let (name, Ok(kind)) = (entry.file_name(), entry.file_type()) else { continue };
                let place = dir.join(&name);
                let named = |names: &[&str]| names.iter().any(|known| name == *known);
                let to = self.tree().join(&place);
                if name == "node_modules" && kind.is_dir() {
                    links += self.packages(&root, &place)?;
                } else if kind.is_symlink() {
                    links += usize::from(self.same_link(&root, &entry.path(), &to));
                } else if kind.is_dir() && to.is_dir() {
                    directories.push(place);
                } else if named(DEPENDENCIES) && fs::symlink_metadata(&to).is_err() {
                    links += usize::from(self.lead(&entry.path(), &to));
                } else if named(BUILT) && kind.is_dir() && !to.exists() {
                    let mut left = MOST_BUILT;
                    let _ = copy_directory(&entry.path(), &to, &mut left);
                }
            }
        }
        Ok(())
    }

    /// A directory of its own, so that tools can keep their caches in it, with a link for each package. A package of the
    /// workspace itself is the copy's, so that its tests see the patch.
    fn packages(&mut self, root: &Path, place: &Path) -> Result<usize> {
        let (from, to) = (root.join(place), self.tree().join(place));
        if !to.parent().is_some_and(Path::is_dir) {
            return Ok(0);
        }
        fs::create_dir_all(&to).map_err(io_error("make", &to))?;
        let mut links = 0;
        let mut entries: Vec<(PathBuf, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&from).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let scope = name.to_str().is_some_and(|name| name.starts_with('@'));
            // The state of a tool, not a package.
            if [".cache", ".vite", ".vite-temp", ".vitest"].iter().any(|cache| name == *cache) {
                continue;
            }
            if scope && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                fs::create_dir_all(to.join(&name)).map_err(io_error("make", &to))?;
                for inner in fs::read_dir(entry.path()).into_iter().flatten().flatten() {
                    entries.push((inner.path(), to.join(&name).join(inner.file_name())));
                }
            } else {
                entries.push((entry.path(), to.join(name)));
            }
        }
        for (from, to) in entries {
            links += 1;
            let link = fs::symlink_metadata(&from).is_ok_and(|meta| meta.is_symlink());
            if !(link && self.same_link(root, &from, &to)) {
                self.lead(&from, &to);
            }
        }
        Ok(links)
    }

    /// A link in the workspace to a source of the workspace is the same link in the copy.
    fn same_link(&self, root: &Path, from: &Path, to: &Path) -> bool {
        let Some(inside) = from.canonicalize().ok().and_then(|real| Some(real.strip_prefix(root).ok()?.to_owned()))
        else {
            return false;
        };
        let installed = inside.components().any(|part| part.as_os_str() == "node_modules");
        let target = self.tree().join(inside);
        !installed && target.exists() && symlink(target, to).is_ok()
    }

    /// A link to what stays where it is.
    fn lead(&mut self, from: &Path, to: &Path) -> bool {
        let Ok(real) = from.canonicalize() else { return false };
        if symlink(&real, to).is_err() {
            return false;
        }
        // Of a package the whole directory that it lies in: its own dependencies are beside it.
        let place = real.ancestors().filter(|dir| dir.file_name().is_some_and(|name| name == "node_modules")).last();
        self.linked.insert(place.unwrap_or(&real).to_owned());
        true
    }
}

/// A directory that files are written beneath, whatever lies in it.
pub struct Written(PathBuf);

impl Written {
    pub fn at(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    /// Before any command ran nothing in the tree is a link that leads out; afterwards nobody may be sure. So a file is
    /// opened beneath the tree, and what is in its place is removed first.
    pub fn write(&self, path: &RelPath, bytes: &[u8], executable: bool) -> Result<()> {
        use rustix::fs::{AtFlags, Mode, OFlags};
        let shown = self.0.join(path);
        let write = || -> io::Result<()> {
            let beneath = crate::beneath::Beneath::open(&self.0)?;
            if let Some((dir, _)) = path.as_str().rsplit_once('/') {
                make_directories(&beneath, dir)?;
            }
            let (dir, name) = beneath.parent(path.as_str())?;
            match rustix::fs::unlinkat(&dir, name, AtFlags::empty()) {
                Ok(()) | Err(rustix::io::Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
            let mode = Mode::from_raw_mode(if executable { 0o755 } else { 0o644 });
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut file = fs::File::from(rustix::fs::openat(&dir, name, flags, mode)?);
            io::Write::write_all(&mut file, bytes)
        };
        write().map_err(io_error("write", &shown))
    }

    pub fn remove(&self, path: &RelPath) -> Result<()> {
        let remove = || -> io::Result<()> {
            let beneath = crate::beneath::Beneath::open(&self.0)?;
            let (dir, name) = beneath.parent(path.as_str())?;
            Ok(rustix::fs::unlinkat(&dir, name, rustix::fs::AtFlags::empty())?)
        };
        match remove() {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", &self.0.join(path))(error)),
            _ => Ok(()),
        }
    }
}

impl Drop for ThrowAway {
    fn drop(&mut self) {
        remove(&self.dir);
    }
}

/// Removes the trees of processes that are gone.
pub fn sweep(state: &StateDir) {
    let Ok(trees) = state.subdir("trees") else { return };
    for entry in fs::read_dir(trees).into_iter().flatten().flatten() {
        let held = entry.file_name().to_str().is_some_and(|name| state.is_held(name));
        if !held {
            remove(&entry.path());
        }
    }
}

/// A command may have left directories that cannot be entered.
fn remove(dir: &Path) {
    if fs::remove_dir_all(dir).is_ok() {
        return;
    }
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        let _ = fs::set_permissions(&dir, fs::Permissions::from_mode(0o700));
        let entries = fs::read_dir(&dir).into_iter().flatten().flatten();
        open.extend(
            entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()),
        );
    }
    if let Err(error) = fs::remove_dir_all(dir)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(dir = %dir.display(), %error, "a throw-away tree could not be removed");
    }
}

fn make_directories(beneath: &crate::beneath::Beneath, dir: &str) -> io::Result<()> {
    let ends = dir.match_indices('/').map(|(at, _)| at).chain([dir.len()]);
    for end in ends {
        let (parent, name) = beneath.parent(&dir[..end])?;
        match rustix::fs::mkdirat(&parent, name, rustix::fs::Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Files and directories, without links, while there is room.
fn copy_directory(from: &Path, to: &Path, left: &mut u64) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)?.flatten() {
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_directory(&entry.path(), &to.join(entry.file_name()), left)?;
        } else if kind.is_file() {
            *left = left.checked_sub(entry.metadata()?.len()).ok_or_else(|| io::Error::other("too large"))?;
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn failed(what: &str, path: &Path, why: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("{what} {}: {why}", path.display()))
}

fn io_error(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let (what, path) = (what.to_owned(), path.to_owned());
    move |error| failed(&what, &path, &error.to_string())
}
