//! Drives an apply to its death, for the crash tests: the process is killed before its n-th file operation, or never.
//!
//! Not in a normal build. It writes what it is told, without a gate; nothing but tests may use it.

use super::journal::{Fate, Journal, Recovered};
use super::plan::Plan;
use super::record::{Image, Kind, Record, Route, Step};
use super::vfs::Vfs;
use super::vfs::disk::Disk;
use super::vfs::faulty::{Fault, Faulty};
use crate::base::Current;
use crate::documents::Documents;
use crate::workspace::Root;
use krins_core::patch::Write;
use krins_core::text::Encoding;
use krins_core::{Digest, RelPath};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// A journal whose file operations are counted, and which dies before operation `at`.
pub struct Mortal {
    journal: Journal,
    count: Arc<AtomicU64>,
    current: Current,
}

impl Mortal {
    pub fn open(root: &Path, state: &Path, at: Option<u64>) -> io::Result<Self> {
        let count = Arc::new(AtomicU64::new(0));
        let mortal = |dir: &Path, limit| -> io::Result<Arc<dyn Vfs>> {
            let disk: Arc<dyn Vfs> = Arc::new(Disk::open(dir, limit)?);
            Ok(match at {
                Some(at) => Arc::new(Faulty::new(disk, count.clone(), at, Fault::Die)),
                None => Arc::new(Faulty::new(disk, count.clone(), u64::MAX, Fault::Die)),
            })
        };
        let journal = Journal::new(mortal(root, crate::beneath::MAX_FILE)?, mortal(state, super::record::MAX_BYTES)?);
        let root = Arc::new(Root::open(root).map_err(io::Error::other)?);
        let documents = Arc::new(Documents::new(root.clone(), Encoding::default()));
        Ok(Self { journal, count, current: Current::new(root, documents) })
    }

    pub fn current(&self) -> &Current {
        &self.current
    }

    /// Applies, and gives the number of file operations so far.
    pub fn apply(&self, writes: Vec<Write>) -> io::Result<u64> {
        let plan = Plan::for_driver(writes, &self.current).map_err(|error| io::Error::other(format!("{error:?}")))?;
        self.journal.stage(&plan.record).and_then(|()| self.journal.commit(&plan.record)).map_err(io::Error::other)?;
        let installed = self.journal.install(&plan.record);
        match installed.pending {
            None if installed.fates.iter().all(|(_, fate)| *fate == Fate::Written) => Ok(self.operations()),
            pending => Err(io::Error::other(format!("{pending:?} {:?}", installed.fates))),
        }
    }

    /// Recovers; `true` when there was something to recover.
    pub fn recover(&self) -> io::Result<bool> {
        match self.journal.recover().map_err(io::Error::other)? {
            None => Ok(false),
            Some(Recovered::Finished { pending: None, .. } | Recovered::TakenBack { .. }) => Ok(true),
            Some(other) => Err(io::Error::other(format!("{other:?}"))),
        }
    }

    pub fn operations(&self) -> u64 {
        self.count.load(std::sync::atomic::Ordering::SeqCst)
    }
}

/// A file, its content before and its content after.
pub type Change = (RelPath, Option<Vec<u8>>, Option<Vec<u8>>);

/// The bytes of a record of these files.
pub fn record_bytes(files: &[Change]) -> io::Result<Vec<u8>> {
    let image =
        |bytes: &Option<Vec<u8>>| bytes.as_deref().map(|bytes| Image { bytes: bytes.into(), executable: false });
    let step = |(path, before, after): &Change| Step {
        path: path.clone(),
        before: image(before),
        after: image(after),
        route: if files.len().is_multiple_of(2) { Route::Disk } else { Route::Buffer },
        waits_for: files.first().map(|(path, _, _)| path.clone()),
    };
    let record = Record {
        id: "0123456789abcdef".into(),
        kind: Kind::Undo { of: "fedcba".into() },
        task: Some("t".into()),
        patch: Some(Digest::of(b"diff")),
        part: files.len() % 3 == 1,
        hunks: Some(files.iter().map(|(path, _, _)| format!("h{}", path.as_str().len())).collect()),
        time: 7,
        steps: files.iter().map(step).collect(),
        make_dirs: files.iter().map(|(path, _, _)| path.dir().to_owned()).filter(|dir| !dir.is_empty()).collect(),
        remove_dirs: Vec::new(),
    };
    record.encode().map_err(io::Error::other)
}

/// The same bytes with the checksum that belongs to them, so that what is behind it is read.
pub fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len().saturating_sub(32));
    let seal = Digest::of(&bytes);
    bytes.extend_from_slice(seal.as_bytes());
    bytes
}

/// Reads a record. `Err` when what is read is not what is written and read again.
pub fn read_record(bytes: &[u8]) -> Result<bool, String> {
    let Ok(record) = Record::decode(bytes) else { return Ok(false) };
    let again = record.encode().and_then(|bytes| Record::decode(&bytes));
    if again.as_ref() == Ok(&record) { Ok(true) } else { Err(format!("{record:?} comes back as {again:?}")) }
}
