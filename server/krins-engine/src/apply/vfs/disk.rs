//! The real file system below a directory, through file descriptors that cannot leave it.

use super::{Node, Permissions, Vfs};
use crate::beneath::{Beneath, Found};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::SystemTime;

/// Up to so many files and directories are synced one by one; more of them with one call for the whole file system,
/// which also waits for what other programs wrote.
const SYNC_ONE_BY_ONE: usize = 16;

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

    fn rename_with(&self, from: &str, to: &str, flags: RenameFlags) -> io::Result<()> {
        let (from_dir, from_name) = self.beneath.parent(from)?;
        let (to_dir, to_name) = self.beneath.parent(to)?;
        match rename_at(&from_dir, from_name, &to_dir, to_name, flags) {
            // EINVAL: this file system does not know the flag; ENOSYS: this kernel does not.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Err(io::ErrorKind::Unsupported.into()),
            result => Ok(result?),
        }
    }

    /// A hard link is refused where a name exists, so link and unlink rename without replacing.
    fn link_new(&self, from: &str, to: &str) -> io::Result<()> {
        let (from_dir, from_name) = self.beneath.parent(from)?;
        let (to_dir, to_name) = self.beneath.parent(to)?;
        match rustix::fs::linkat(&from_dir, from_name, &to_dir, to_name, AtFlags::empty()) {
            Ok(()) => Ok(rustix::fs::unlinkat(&from_dir, from_name, AtFlags::empty())?),
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {
                match rustix::fs::statat(&to_dir, to_name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
                    Err(_) => Ok(rustix::fs::renameat(&from_dir, from_name, &to_dir, to_name)?),
                }
            }
            Err(error) => Err(error.into()),
        }
    }
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

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from_dir, from_name) = self.beneath.parent(from)?;
        let (to_dir, to_name) = self.beneath.parent(to)?;
        Ok(rustix::fs::renameat(&from_dir, from_name, &to_dir, to_name)?)
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
        for path in files {
            rustix::fs::fsync(self.beneath.open_at(path, OFlags::RDONLY, Mode::empty())?)?;
        }
        for path in dirs {
            let dir = self.beneath.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
            match rustix::fs::fsync(&dir) {
                // Some file systems do not sync directories.
                Err(Errno::INVAL | Errno::OPNOTSUPP) => {}
                result => result?,
            }
        }
        Ok(())
    }
}

fn rename_at(
    from_dir: &std::os::fd::OwnedFd,
    from: &str,
    to_dir: &std::os::fd::OwnedFd,
    to: &str,
    flags: RenameFlags,
) -> Result<(), Errno> {
    rustix::fs::renameat_with(from_dir, from, to_dir, to, flags)
}
