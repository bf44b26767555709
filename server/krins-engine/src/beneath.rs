//! Opening things beneath a directory, and nowhere else: no `..`, no symbolic link on the way, no magic link.
//!
//! On Linux the kernel holds this (`openat2`); elsewhere, and where `openat2` is filtered, every component is opened on
//! its own without following links. It must not know what the files are for.

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Files larger than this are not read.
pub(crate) const MAX_FILE: u64 = 20 * 1024 * 1024;

/// An open directory that paths are resolved beneath.
#[derive(Debug)]
pub(crate) struct Beneath {
    dir: OwnedFd,
    /// Cleared at the first `ENOSYS` or `EPERM` of `openat2` (old kernels, seccomp filters).
    openat2: AtomicBool,
}

/// What is at a path, without following anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Missing,
    File {
        bytes: Vec<u8>,
        /// Permission bits.
        mode: u32,
    },
    /// Something that is not read, and why.
    Refused(String),
}

impl Beneath {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self { dir, openat2: AtomicBool::new(cfg!(target_os = "linux")) })
    }

    /// Opens `path`; `flags` get `NOFOLLOW` and `CLOEXEC`. `""` is the directory itself.
    pub(crate) fn open_at(&self, path: &str, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let path = if path.is_empty() { "." } else { path };
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if self.openat2.load(Ordering::Relaxed) {
            match open_beneath(&self.dir, path, flags, mode) {
                Err(Errno::NOSYS | Errno::PERM) => self.openat2.store(false, Ordering::Relaxed),
                result => return Ok(result?),
            }
        }
        self.open_by_component(path, flags, mode)
    }

    /// The directory that holds `path`, and the last component.
    pub(crate) fn parent<'p>(&self, path: &'p str) -> io::Result<(OwnedFd, &'p str)> {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        if matches!(name, "" | "." | "..") {
            return Err(io::Error::from(Errno::INVAL));
        }
        Ok((self.open_at(dir, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?, name))
    }

    fn open_by_component(&self, path: &str, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let step = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut dir = rustix::fs::openat(&self.dir, ".", step, Mode::empty())?;
        let mut components = path.split('/').peekable();
        while let Some(component) = components.next() {
            if matches!(component, "" | "..") {
                return Err(io::Error::from(Errno::INVAL));
            }
            if components.peek().is_none() {
                return Ok(rustix::fs::openat(&dir, component, flags, mode)?);
            }
            dir = rustix::fs::openat(&dir, component, step, Mode::empty())?;
        }
        Ok(dir)
    }

    /// Reads a regular file of at most [`MAX_FILE`] bytes. Errors that say something about this path are in
    /// [`Found::Refused`]; what is left is trouble with the disk.
    pub(crate) fn read(&self, path: &str) -> io::Result<Found> {
        let fd = match self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty()) {
            Ok(fd) => fd,
            Err(error) => return self.why_not(path, error),
        };
        let stat = rustix::fs::fstat(&fd)?;
        match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
            rustix::fs::FileType::RegularFile => {}
            rustix::fs::FileType::Directory => return Ok(Found::Refused("a directory".into())),
            _ => return Ok(Found::Refused("not a regular file".into())),
        }
        if u64::try_from(stat.st_size).is_ok_and(|size| size > MAX_FILE) {
            return Ok(Found::Refused("larger than 20 MB".into()));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(stat.st_size).unwrap_or(0).min(MAX_FILE as usize) + 1);
        File::from(fd).take(MAX_FILE + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_FILE {
            return Ok(Found::Refused("larger than 20 MB".into()));
        }
        Ok(Found::File { bytes, mode: u32::from(Mode::from_raw_mode(stat.st_mode)) })
    }

    fn why_not(&self, path: &str, error: io::Error) -> io::Result<Found> {
        let refused = |why: &str| Ok(Found::Refused(why.into()));
        match Errno::from_io_error(&error) {
            Some(Errno::NOENT) => Ok(Found::Missing),
            Some(Errno::LOOP) => refused("a symbolic link, or reached through one"),
            Some(Errno::XDEV) => refused("outside the workspace"),
            Some(Errno::NOTDIR) => refused(if self.has_link(path) {
                "reached through a symbolic link"
            } else {
                "below something that is not a directory"
            }),
            Some(Errno::ACCESS | Errno::PERM) => refused("unreadable: permission denied"),
            Some(Errno::NXIO | Errno::NODEV) => refused("not a regular file"),
            Some(Errno::NAMETOOLONG) => refused("a name that is too long for this file system"),
            _ => Err(error),
        }
    }

    /// Whether a component of `path` is a symbolic link; only for the wording of a refusal.
    fn has_link(&self, path: &str) -> bool {
        path.char_indices().filter(|(_, c)| *c == '/').map(|(at, _)| &path[..at]).any(|prefix| {
            self.parent(prefix)
                .and_then(|(dir, name)| Ok(rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)?))
                .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Symlink)
        })
    }
}

#[cfg(target_os = "linux")]
fn open_beneath(dir: &OwnedFd, path: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    use rustix::fs::ResolveFlags;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    loop {
        // EAGAIN means that a rename raced with the lookup, and EINTR that a signal did (openat2(2)).
        match rustix::fs::openat2(dir, path, flags, mode, resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return result,
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn open_beneath(_: &OwnedFd, _: &str, _: OFlags, _: Mode) -> Result<OwnedFd, Errno> {
    Err(Errno::NOSYS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ways of resolving must give the same answers.
    fn both(check: impl Fn(&Path, &Beneath)) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("sub/deep")).unwrap();
        std::fs::write(dir.path().join("secret"), "secret").unwrap();
        std::fs::write(root.join("sub/deep/a.ts"), "a").unwrap();
        std::os::unix::fs::symlink(dir.path(), root.join("out")).unwrap();
        std::os::unix::fs::symlink("sub", root.join("inner")).unwrap();
        std::os::unix::fs::symlink("sub/deep/a.ts", root.join("link.ts")).unwrap();
        let beneath = Beneath::open(&root).unwrap();
        check(&root, &beneath);
        beneath.openat2.store(false, Ordering::Relaxed);
        check(&root, &beneath);
    }

    #[test]
    fn a_plain_file_is_read() {
        both(|_, beneath| {
            let Found::File { bytes, mode } = beneath.read("sub/deep/a.ts").unwrap() else { panic!() };
            assert_eq!((bytes.as_slice(), mode & 0o400), (&b"a"[..], 0o400));
            assert_eq!(beneath.read("sub/none.ts").unwrap(), Found::Missing);
        });
    }

    #[test]
    fn no_link_is_followed_and_nothing_outside_is_read() {
        both(|_, beneath| {
            for path in ["out/secret", "link.ts", "inner/deep/a.ts", "out", "sub", "sub/deep/a.ts/x"] {
                assert!(matches!(beneath.read(path), Ok(Found::Refused(_))), "{path}: {:?}", beneath.read(path));
            }
            for path in ["../secret", "sub/../../secret", "/etc/passwd"] {
                assert!(!matches!(beneath.read(path), Ok(Found::File { .. })), "{path}");
            }
        });
    }

    #[test]
    fn special_and_huge_files_are_refused_without_blocking() {
        both(|root, beneath| {
            let fifo = root.join("fifo");
            if !fifo.exists() {
                assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
                File::create(root.join("huge")).unwrap().set_len(MAX_FILE + 1).unwrap();
            }
            assert_eq!(beneath.read("fifo").unwrap(), Found::Refused("not a regular file".into()));
            assert_eq!(beneath.read("huge").unwrap(), Found::Refused("larger than 20 MB".into()));
        });
    }
}
