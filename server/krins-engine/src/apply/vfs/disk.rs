//! The real file system below a directory, through file descriptors that cannot leave it.

use super::{NewFile, Node, Permissions, Vfs};
use crate::beneath::{Beneath, Found};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread::ScopedJoinHandle;
use std::time::SystemTime;

/// Up to so many files and directories are synced one by one; more of them with one call for the whole file system,
/// which also waits for what other programs wrote.
const SYNC_ONE_BY_ONE: usize = 16;
/// So many files are written or removed at a time: a file system waits more than it works.
const AT_ONCE: usize = 4;
/// Fewer are not worth a thread.
const FEW: usize = 8;

#[derive(Debug)]
pub(crate) struct Disk {
    beneath: Beneath,
    /// The largest file that is read here.
    limit: u64,
}

impl Disk {
    /// `limit` in bytes bounds what is read.
    pub(crate) fn open(dir: &Path, limit: u64) -> io::Result<Self> {
        Ok(Self { beneath: Beneath::open(dir)?, limit })
    }

    fn read_large(&self, path: &str) -> io::Result<Node> {
        let fd = match self.beneath.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Node::Missing),
            fd => fd?,
        };
        let mode = rustix::fs::fstat(&fd)?.st_mode;
        if rustix::fs::FileType::from_raw_mode(mode) != rustix::fs::FileType::RegularFile {
            return Ok(Node::Other("not a regular file".into()));
        }
        let mode = u32::from(Mode::from_raw_mode(mode));
        let mut bytes = Vec::new();
        File::from(fd).take(self.limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > self.limit {
            return Ok(Node::Other("too large".into()));
        }
        Ok(Node::File { bytes, mode })
    }

    /// The directories of both and their last components; one directory where it is the same.
    fn parents<'p>(&self, from: &'p str, to: &'p str) -> io::Result<Pair<'p>> {
        let (from_dir, from_name) = self.beneath.parent(from)?;
        let dir = |path: &'p str| path.rsplit_once('/').map_or("", |(dir, _)| dir);
        let (to_dir, to_name) = match to.strip_prefix(dir(from)).map(|rest| rest.trim_start_matches('/')) {
            Some(name) if dir(from) == dir(to) && !matches!(name, "" | "." | "..") => (None, name),
            _ => {
                let (dir, name) = self.beneath.parent(to)?;
                (Some(dir), name)
            }
        };
        Ok(Pair { from_dir, from_name, to_dir, to_name })
    }

    fn rename_with(&self, from: &str, to: &str, flags: RenameFlags) -> io::Result<()> {
        let pair = self.parents(from, to)?;
        match rustix::fs::renameat_with(&pair.from_dir, pair.from_name, pair.to(), pair.to_name, flags) {
            // EINVAL: this file system does not know the flag; ENOSYS: this kernel does not.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Err(io::ErrorKind::Unsupported.into()),
            result => Ok(result?),
        }
    }

    /// A hard link is refused where a name exists, so link and unlink rename without replacing.
    fn link_new(&self, from: &str, to: &str) -> io::Result<()> {
        let pair = self.parents(from, to)?;
        match rustix::fs::linkat(&pair.from_dir, pair.from_name, pair.to(), pair.to_name, AtFlags::empty()) {
            Ok(()) => Ok(rustix::fs::unlinkat(&pair.from_dir, pair.from_name, AtFlags::empty())?),
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {
                match rustix::fs::statat(pair.to(), pair.to_name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
                    Err(_) => Ok(rustix::fs::renameat(&pair.from_dir, pair.from_name, pair.to(), pair.to_name)?),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    fn sync_file(&self, path: &str) -> io::Result<()> {
        Ok(rustix::fs::fsync(self.beneath.open_at(path, OFlags::RDONLY, Mode::empty())?)?)
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        let dir = self.beneath.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
        match rustix::fs::fsync(&dir) {
            // Some file systems do not sync directories.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(()),
            result => Ok(result?),
        }
    }
}

/// Two names and where they are.
struct Pair<'p> {
    from_dir: OwnedFd,
    from_name: &'p str,
    /// `None`: the same directory.
    to_dir: Option<OwnedFd>,
    to_name: &'p str,
}

impl Pair<'_> {
    fn to(&self) -> &OwnedFd {
        self.to_dir.as_ref().unwrap_or(&self.from_dir)
    }
}

/// What becomes of each, in order, by so many threads, or by this one where no more can be started.
fn at_once<T: Sync, O: Send>(
    items: &[T],
    threads: usize,
    work: impl Fn(&T) -> io::Result<O> + Sync,
) -> Vec<io::Result<O>> {
    let part = items.len().div_ceil(threads.max(1)).max(1);
    if part >= items.len() {
        return items.iter().map(work).collect();
    }
    let of_part = |part: &[T]| part.iter().map(&work).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        let start = |part| std::thread::Builder::new().spawn_scoped(scope, move || of_part(part)).map_err(|_| part);
        let parts: Vec<_> = items.chunks(part).map(start).collect();
        let done = |part: Result<ScopedJoinHandle<'_, Vec<io::Result<O>>>, _>| match part {
            Ok(started) => started.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(part) => of_part(part),
        };
        parts.into_iter().flat_map(done).collect()
    })
}

fn threads(items: usize) -> usize {
    if items < FEW { 1 } else { AT_ONCE }
}

impl Vfs for Disk {
    fn read(&self, path: &str) -> io::Result<Node> {
        if self.limit > crate::beneath::MAX_FILE {
            return self.read_large(path);
        }
        Ok(match self.beneath.read(path)? {
            Found::Missing => Node::Missing,
            Found::File { bytes, mode } => Node::File { bytes, mode },
            Found::Refused(why) => Node::Other(why),
        })
    }

    fn read_all(&self, paths: &[&str]) -> Vec<io::Result<Node>> {
        at_once(paths, threads(paths.len()), |path| self.read(path))
    }

    fn create(&self, path: &str, bytes: &[u8], permissions: Permissions) -> io::Result<()> {
        let mode = match permissions {
            Permissions::Fresh { executable: false } => 0o666,
            Permissions::Fresh { executable: true } => 0o777,
            // Not readable for anyone else until it has its own bits.
            Permissions::Exactly(_) => 0o600,
        };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let mut file = File::from(self.beneath.open_at(path, flags, Mode::from_raw_mode(mode))?);
        if let Permissions::Exactly(mode) = permissions {
            rustix::fs::fchmod(&file, Mode::from_raw_mode(mode & 0o7777))?;
        }
        file.write_all(bytes)
    }

    fn create_all(&self, files: &[NewFile]) -> Vec<io::Result<()>> {
        at_once(files, threads(files.len()), |file| self.create(&file.path, file.bytes, file.permissions))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let pair = self.parents(from, to)?;
        Ok(rustix::fs::renameat(&pair.from_dir, pair.from_name, pair.to(), pair.to_name)?)
    }

    fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        match self.rename_with(from, to, RenameFlags::NOREPLACE) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => self.link_new(from, to),
            result => result,
        }
    }

    fn exchange(&self, a: &str, b: &str) -> io::Result<()> {
        self.rename_with(a, b, RenameFlags::EXCHANGE)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let (dir, name) = self.beneath.parent(path)?;
        Ok(rustix::fs::unlinkat(&dir, name, AtFlags::empty())?)
    }

    fn remove_all(&self, paths: &[&str]) -> Vec<io::Result<()>> {
        at_once(paths, threads(paths.len()), |path| self.remove(path))
    }

    fn make_dir(&self, path: &str) -> io::Result<()> {
        let (dir, name) = self.beneath.parent(path)?;
        Ok(rustix::fs::mkdirat(&dir, name, Mode::from_raw_mode(0o777))?)
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        let (dir, name) = self.beneath.parent(path)?;
        Ok(rustix::fs::unlinkat(&dir, name, AtFlags::REMOVEDIR)?)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let fd = self.beneath.open_at(dir, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&fd)? {
            let entry = entry?;
            if let Some(name) = entry.file_name().to_str().ok().filter(|name| !matches!(*name, "." | "..")) {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn stat(&self, path: &str) -> io::Result<Option<(u64, SystemTime)>> {
        match self.beneath.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            fd => {
                let meta = File::from(fd?).metadata()?;
                Ok(Some((meta.len(), meta.modified()?)))
            }
        }
    }

    fn sync(&self, files: &[&str], dirs: &[&str]) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        if files.len() + dirs.len() > SYNC_ONE_BY_ONE {
            let dir = self.beneath.open_at("", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
            return Ok(rustix::fs::syncfs(&dir)?);
        }
        // At the same time: the disk makes one flush of several that wait for it.
        let all: Vec<(&str, bool)> =
            files.iter().map(|path| (*path, false)).chain(dirs.iter().map(|path| (*path, true))).collect();
        let synced =
            at_once(&all, all.len(), |(path, is_dir)| if *is_dir { self.sync_dir(path) } else { self.sync_file(path) });
        synced.into_iter().collect()
    }
}
