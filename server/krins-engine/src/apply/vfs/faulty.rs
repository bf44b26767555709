//! A file system that fails or dies at a chosen operation.

use super::{Node, Permissions, Vfs};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// What happens at the chosen operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process is killed before it.
    Die,
    /// It fails once with this OS error; a failing write leaves half of the file.
    #[cfg_attr(not(test), expect(dead_code, reason = "only the tests have a faulty disk"))]
    Once(i32),
    /// It and everything that needs space after it fails.
    #[cfg_attr(not(test), expect(dead_code, reason = "only the tests run out of space"))]
    From(i32),
    /// It and everything after it does nothing: for a process that dies, what follows does not happen.
    Dead,
    /// Somebody else writes `theirs` to this path just before it.
    #[cfg_attr(not(test), expect(dead_code, reason = "only the tests meddle"))]
    Meddle(&'static str),
    /// Somebody else writes `theirs` into the file that has this name outside of the workspace too, just before it.
    #[cfg_attr(not(test), expect(dead_code, reason = "only the tests meddle"))]
    MeddleInPlace(&'static Path),
}

/// Counts operations over all clones; `at` is the zero-based number of the faulty one.
#[derive(Clone)]
pub(crate) struct Faulty {
    inner: Arc<dyn Vfs>,
    count: Arc<AtomicU64>,
    at: u64,
    fault: Fault,
}

impl Faulty {
    pub(crate) fn new(inner: Arc<dyn Vfs>, count: Arc<AtomicU64>, at: u64, fault: Fault) -> Self {
        Self { inner, count, at, fault }
    }

    fn step(&self, needs_space: bool) -> io::Result<()> {
        let now = self.count.fetch_add(1, Ordering::SeqCst);
        match self.fault {
            Fault::Die if now == self.at => {
                // SIGKILL, not abort: no core dump, no handler.
                let me = rustix::process::getpid();
                rustix::process::kill_process(me, rustix::process::Signal::KILL)?;
                std::process::abort()
            }
            Fault::Once(code) if now == self.at => Err(io::Error::from_raw_os_error(code)),
            Fault::From(code) if now >= self.at && needs_space => Err(io::Error::from_raw_os_error(code)),
            Fault::Meddle(path) if now == self.at => {
                let _ = self.inner.remove(path);
                self.inner.create(path, b"theirs", Permissions::Exactly(0o644))
            }
            Fault::MeddleInPlace(path) if now == self.at => std::fs::write(path, b"theirs"),
            Fault::Dead if now >= self.at => Err(io::Error::other("dead")),
            Fault::Die | Fault::Once(_) | Fault::From(_) | Fault::Dead | Fault::Meddle(_) | Fault::MeddleInPlace(_) => {
                Ok(())
            }
        }
    }
}

impl Vfs for Faulty {
    fn read(&self, path: &str) -> io::Result<Node> {
        self.step(false)?;
        self.inner.read(path)
    }

    fn create(&self, path: &str, bytes: &[u8], permissions: Permissions) -> io::Result<()> {
        if let Err(error) = self.step(true) {
            // A dead process may have been killed in the middle, but not later than that.
            let first = self.count.load(Ordering::SeqCst) == self.at + 1;
            if self.fault != Fault::Dead || first {
                self.inner.create(path, &bytes[..bytes.len() / 2], permissions)?;
            }
            return Err(error);
        }
        self.inner.create(path, bytes, permissions)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.step(true)?;
        self.inner.rename(from, to)
    }

    fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        self.step(true)?;
        self.inner.rename_new(from, to)
    }

    fn exchange(&self, a: &str, b: &str) -> io::Result<()> {
        self.step(false)?;
        self.inner.exchange(a, b)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.step(false)?;
        self.inner.remove(path)
    }

    fn make_dir(&self, path: &str) -> io::Result<()> {
        self.step(true)?;
        self.inner.make_dir(path)
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        self.step(false)?;
        self.inner.remove_dir(path)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.step(false)?;
        self.inner.list(dir)
    }

    fn stat(&self, path: &str) -> io::Result<Option<(u64, SystemTime)>> {
        self.step(false)?;
        self.inner.stat(path)
    }

    fn sync(&self, files: &[&str], dirs: &[&str]) -> io::Result<()> {
        self.step(true)?;
        self.inner.sync(files, dirs)
    }
}
