//! What was decided, by whom and on what grounds: an append-only log in the state directory that no later change slips past.
//!
//! ```text
//! audit/log                     one record a line, each hanging on all before it (krins_core::audit)
//! audit/payloads/<day>.jsonl    what the records are about, with their salts: erasable
//! audit/checkpoints             signed checkpoints, one JSON text a line
//! audit/keys                    the verifier keys, the first one first
//! audit/key                     the signing key, readable by its owner only
//! audit/lock                    held while a process writes
//! audit/damaged-…/              a log that could not be gone on with, as it was found
//! ```
//!
//! A record is on the disk before what it speaks of is acknowledged. Several processes write to one log, one at a time. What
//! a killed process left of a record is cut off, and a record says so. Prompts and secrets are never written: payloads hold
//! ids, hashes, counts and names of rules.

mod event;
mod keys;
mod payloads;
mod share;
#[cfg(test)]
mod tests;
mod verify;

pub use event::{Event, KINDS};
pub use share::Share;
pub(crate) use share::{Batch, Cursor};
pub use verify::{Finding, Verification};

use crate::error::{Error, ErrorKind};
use crate::state::{StateDir, io_hint};
use krins_core::Digest;
use krins_core::audit::note::{Checkpoint, Note, PublicKey};
use krins_core::audit::{Broken, Head, Record, Verifier, commitment};
use krins_core::gate::Day;
use payloads::Payload;
use serde_json::json;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A checkpoint is signed after so many records.
const EVERY: u64 = 1_000;
/// How long another process is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much of the log's end is looked at for what was not ended.
const RECENT: u64 = 64 << 10;
/// No record is as long as this.
const LONGEST_LINE: u64 = 4_096;
/// How much of the log's end is read for figures: some 200,000 records.
const FIGURED: u64 = 64 << 20;

/// What went wrong, and where.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error("{action} {path:?}: {source}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("write to the audit: another process holds it")]
    Locked,
    #[error("record {0:?} in the audit: there is no such kind")]
    Kind(String),
    #[error("sign a checkpoint: record {at} is broken: {why}")]
    Broken { at: u64, why: Broken },
    #[error("read the signing key {0:?}: it is not one")]
    Key(PathBuf),
}

impl From<AuditError> for Error {
    fn from(error: AuditError) -> Self {
        let (kind, hint) = match &error {
            AuditError::Io { source, .. } => (ErrorKind::Internal, io_hint(source)),
            AuditError::Locked => (ErrorKind::LockHeld, "wait for it to end, and try again"),
            AuditError::Kind(_) => (ErrorKind::Internal, ""),
            AuditError::Broken { .. } => (ErrorKind::Internal, "`krins audit verify` says what was changed"),
            AuditError::Key(_) => (ErrorKind::Internal, "put it back, or remove it to begin a new epoch"),
        };
        Self::new(kind, error.to_string()).hint(hint)
    }
}

type Result<T, E = AuditError> = std::result::Result<T, E>;

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> AuditError {
    move |source| AuditError::Io { action, path: path.to_owned(), source }
}

/// The audit of one root.
#[derive(Debug)]
pub struct Audit {
    dir: PathBuf,
    /// Names this process in its records.
    by: String,
    /// Names the log in its checkpoints.
    origin: String,
    days: u32,
    tail: Mutex<Option<Tail>>,
}

/// The log as this process left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tail {
    inode: u64,
    bytes: u64,
    head: Head,
}

/// Held while this process writes.
struct Turn {
    _lock: File,
}

impl Audit {
    /// Opens the audit of the state directory's root. Nothing is written yet.
    pub fn open(state: &StateDir, days: u32) -> Result<Self, Error> {
        let dir = state.subdir("audit")?;
        state.subdir("audit/payloads")?;
        let name = state.path().file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let by: String = uuid::Uuid::new_v4().simple().to_string().chars().take(12).collect();
        Ok(Self { dir, by, origin: format!("krins.local/audit/{name}"), days, tail: Mutex::default() })
    }

    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Records one event. It is on the disk when this returns.
    pub fn record(&self, event: Event) -> Result<u64> {
        self.record_all(vec![event])
    }

    /// Records events in this order, with one wait for the disk; answers the last one's number.
    pub fn record_all(&self, events: Vec<Event>) -> Result<u64> {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let _turn = self.turn()?;
        let before = tail.map_or(0, |tail| tail.head.seq);
        let (mut log, at, mut all) = self.take_up(&mut tail)?;
        all.extend(events);
        let head = self.append(&mut log, at, &all)?;
        let meta = log.metadata().map_err(io_error("look at", &self.log()))?;
        *tail = Some(Tail { inode: meta.ino(), bytes: meta.len(), head });
        // The first records of a process, and each so many, are signed for. The log stands without it, so a failure is said.
        if (before == 0 && at.seq == 0 || at.seq / EVERY != head.seq / EVERY)
            && let Err(error) = self.sign(None)
        {
            tracing::warn!(%error, "no checkpoint of the audit was signed");
        }
        if before == 0 {
            self.expire_now();
        }
        Ok(head.seq)
    }

    fn turn(&self) -> Result<Turn> {
        let path = self.dir.join("lock");
        let lock =
            File::options().create(true).append(true).mode(0o600).open(&path).map_err(io_error("open", &path))?;
        let started = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Turn { _lock: lock }),
                Err(TryLockError::WouldBlock) if started.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_micros(500));
                }
                Err(TryLockError::WouldBlock) => return Err(AuditError::Locked),
                Err(TryLockError::Error(source)) => return Err(io_error("lock", &path)(source)),
            }
        }
    }

    /// The log, ready to be gone on with, where it stands, and what has to be said of how it was found.
    fn take_up(&self, tail: &mut Option<Tail>) -> Result<(File, Head, Vec<Event>)> {
        let path = self.log();
        let open = || File::options().create(true).append(true).read(true).mode(0o600).open(&path);
        let mut log = open().map_err(io_error("open", &path))?;
        let meta = log.metadata().map_err(io_error("look at", &path))?;
        if let Some(known) = tail.filter(|known| known.inode == meta.ino() && known.bytes == meta.len()) {
            return Ok((log, known.head, Vec::new()));
        }
        *tail = None;
        if meta.len() == 0 {
            return Ok((log, Head::default(), Vec::new()));
        }
        let from = meta.len().saturating_sub(LONGEST_LINE * 2);
        let mut end = Vec::new();
        log.seek(SeekFrom::Start(from)).and_then(|_| log.read_to_end(&mut end)).map_err(io_error("read", &path))?;
        let whole = end.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let torn = end.len() - whole;
        if torn as u64 <= LONGEST_LINE && whole == 0 && from == 0 {
            // The very first record was not written to its end.
            self.cut(&log, 0)?;
            return Ok((log, Head::default(), vec![Event::repaired(&end)]));
        }
        let last = end[..whole].strip_suffix(b"\n").unwrap_or_default();
        let last = &last[last.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)..];
        match Record::read(last).filter(|_| torn as u64 <= LONGEST_LINE) {
            Some(record) if torn == 0 => Ok((log, record.head(), Vec::new())),
            Some(record) => {
                self.cut(&log, meta.len() - torn as u64)?;
                Ok((log, record.head(), vec![Event::repaired(&end[whole..])]))
            }
            None => {
                // Somebody changed it. It is kept as it is, and a new log says that there is one.
                let aside = self.set_aside()?;
                Ok((open().map_err(io_error("open", &path))?, Head::default(), vec![Event::began(&aside)]))
            }
        }
    }

    fn cut(&self, log: &File, bytes: u64) -> Result<()> {
        log.set_len(bytes).and_then(|()| log.sync_all()).map_err(io_error("mend", &self.log()))
    }

    fn set_aside(&self) -> Result<String> {
        let name = format!("damaged-{}", uuid::Uuid::now_v7().simple());
        let dir = self.dir.join(&name);
        fs::create_dir(&dir).map_err(io_error("make", &dir))?;
        for file in ["checkpoints", "log"] {
            let from = self.dir.join(file);
            match fs::rename(&from, dir.join(file)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io_error("set aside", &from)(error));
                }
                _ => {}
            }
        }
        sync_dir(&self.dir)?;
        Ok(name)
    }

    /// Writes payloads first: one without a record is erased with its day, a record without its payload says nothing.
    fn append(&self, log: &mut File, from: Head, events: &[Event]) -> Result<Head> {
        let now = now();
        let salts = random(events.len() * 32)?;
        let (mut head, mut lines, mut kept) = (from, String::new(), String::new());
        for (event, salt) in events.iter().zip(salts.as_chunks::<32>().0) {
            let body = event.body();
            let commit = commitment(salt, body.as_bytes());
            let record = Record::next(&head, now, event.kind, &self.by, commit)
                .filter(|_| KINDS.contains(&event.kind))
                .ok_or_else(|| AuditError::Kind(event.kind.to_owned()))?;
            head = record.head();
            lines.push_str(&record.line());
            kept.push_str(&Payload::line(&commit, salt, &body));
        }
        payloads::append(&self.dir, &day(head.ts), &kept)?;
        let path = self.log();
        let bytes = log.metadata().map_err(io_error("look at", &path))?.len();
        let written = log.write_all(lines.as_bytes()).and_then(|()| log.sync_data());
        if let Err(source) = written {
            // What is there of it is no record: the next writer would have to mend it.
            let _ = log.set_len(bytes);
            return Err(io_error("write", &path)(source));
        }
        if bytes == 0 {
            sync_dir(&self.dir)?;
        }
        Ok(head)
    }

    /// Signs a checkpoint of the log as it is, and answers the note: to be kept where nobody who writes here can reach.
    pub fn checkpoint(&self) -> Result<String> {
        let _tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let _turn = self.turn()?;
        self.sign(None)
    }

    /// Goes over to a new key; the change is signed by the old one and the new one.
    pub fn rotate(&self) -> Result<PublicKey> {
        let key = {
            let _tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
            let _turn = self.turn()?;
            let next = keys::make(&self.origin)?;
            keys::prepare(&self.dir, &next)?;
            self.sign(Some(&next))?;
            keys::settle(&self.dir, Some(&next.public()))?;
            next.public()
        };
        self.record(Event::of("key.rotated", json!({"key": key.to_string()})))?;
        Ok(key)
    }

    /// Must be called in turn.
    fn sign(&self, rotate: Option<&keys::Key>) -> Result<String> {
        let path = self.log();
        if rotate.is_none() {
            // A process that was killed may have left a change of keys half done.
            keys::settle(&self.dir, self.last_note().and_then(|note| note.checkpoint.rotate).as_ref())?;
        }
        let (key, fresh) = keys::load_or_make(&self.dir, &self.origin)?;
        keys::announce(&self.dir, &key)?;
        let last = if fresh { None } else { self.last_checkpoint(&key.public()) };
        let mut verifier = Verifier::default();
        let mut offset = 0;
        if let Some(last) = last {
            verifier.head = Head { seq: last.size, ts: 0, hash: last.head };
            (verifier.tree, offset) = (last.frontier, last.offset);
        }
        let mut log = File::open(&path).map_err(io_error("open", &path))?;
        log.seek(SeekFrom::Start(offset)).map_err(io_error("read", &path))?;
        let mut reader = BufReader::with_capacity(1 << 16, log);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read =
                (&mut reader).take(LONGEST_LINE + 1).read_until(b'\n', &mut line).map_err(io_error("read", &path))?;
            // A line without its end is being mended by the next writer.
            let Some(text) = line.strip_suffix(b"\n") else { break };
            let at = verifier.head.seq + 1;
            verifier.take(text).map_err(|why| AuditError::Broken { at, why })?;
            offset += read as u64;
        }
        let checkpoint = Checkpoint {
            origin: self.origin.clone(),
            size: verifier.head.seq,
            root: verifier.tree.root(),
            head: verifier.head.hash,
            offset,
            frontier: verifier.tree,
            rotate: rotate.map(keys::Key::public),
        };
        let signers: Vec<_> = std::iter::once(key.secret()).chain(rotate.map(keys::Key::secret)).collect();
        let note = checkpoint.sign(&signers);
        let kept = format!("{}\n", serde_json::Value::String(note.clone()));
        append_file(&self.dir.join("checkpoints"), kept.as_bytes())?;
        Ok(note)
    }

    /// The newest checkpoint that the key signed and whose place in the log is right.
    fn last_checkpoint(&self, key: &PublicKey) -> Option<Checkpoint> {
        let note = self.last_note()?;
        let checkpoint = note.is_signed_by(key).then_some(note.checkpoint)?;
        let bytes = fs::metadata(self.log()).ok()?.len();
        (checkpoint.offset <= bytes).then_some(checkpoint)
    }

    fn last_note(&self) -> Option<Note> {
        let text = fs::read_to_string(self.dir.join("checkpoints")).ok()?;
        let whole = &text[..text.rfind('\n')?];
        Note::read(&serde_json::from_str::<String>(whole.rsplit('\n').next()?).ok()?)
    }

    /// Kinds of the last records, the newest first.
    pub fn recent_kinds(&self) -> Vec<String> {
        let read = || -> io::Result<Vec<u8>> {
            let mut log = File::open(self.log())?;
            let bytes = log.metadata()?.len();
            log.seek(SeekFrom::Start(bytes.saturating_sub(RECENT)))?;
            let mut end = Vec::new();
            log.read_to_end(&mut end)?;
            Ok(end)
        };
        let end = read().unwrap_or_default();
        end.split(|byte| *byte == b'\n').rev().filter_map(Record::read).map(|record| record.kind).collect()
    }

    /// The last records with what they are about, the oldest first.
    pub fn tail(&self, count: usize) -> Result<Vec<(Record, Option<serde_json::Value>)>> {
        self.tail_of(count, &About::default())
    }

    /// The same of those that fit. What is erased fits no task.
    pub fn tail_of(&self, count: usize, of: &About<'_>) -> Result<Vec<(Record, Option<serde_json::Value>)>> {
        let payloads = payloads::all(&self.dir);
        let with = |record: Record| {
            let body: Option<serde_json::Value> =
                payloads.get(&record.commit).and_then(|payload| serde_json::from_str(&payload.body).ok());
            of.fits(&record, body.as_ref()).then_some((record, body))
        };
        let mut records: Vec<_> = self.records()?.into_iter().flatten().rev().filter_map(with).take(count).collect();
        records.reverse();
        Ok(records)
    }

    /// The records since a moment with what they are about, the oldest first.
    pub fn since(&self, from: u64) -> Result<Since> {
        let path = self.log();
        let mut log = match File::open(&path) {
            Ok(log) => log,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Since::default()),
            Err(error) => return Err(io_error("read", &path)(error)),
        };
        let mut end = Vec::new();
        let begin = log.metadata().map_err(io_error("look at", &path))?.len().saturating_sub(FIGURED);
        log.seek(SeekFrom::Start(begin)).and_then(|_| log.read_to_end(&mut end)).map_err(io_error("read", &path))?;
        let records: Vec<Record> = end.split(|byte| *byte == b'\n').filter_map(Record::read).collect();
        let cut = begin > 0 && records.first().is_none_or(|first| first.ts >= from);
        let payloads = payloads::since(&self.dir, Day::of_unix(from / 1000));
        let wanted = records.into_iter().filter(|record| record.ts >= from);
        let with = |record: Record| {
            let body = payloads.get(&record.commit).and_then(|payload| serde_json::from_str(&payload.body).ok());
            (record, body)
        };
        Ok(Since { records: wanted.map(with).collect(), cut })
    }

    /// Every line, `None` for what is no record.
    fn records(&self) -> Result<Vec<Option<Record>>> {
        let path = self.log();
        match fs::read(&path) {
            Ok(bytes) => {
                Ok(bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(Record::read).collect())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(io_error("read", &path)(error)),
        }
    }

    /// What is kept about a subject (a person, a task, any name or hash in a payload): one JSON object a record.
    pub fn export(&self, subject: Option<&str>) -> Result<Vec<serde_json::Value>> {
        let payloads = payloads::all(&self.dir);
        let mut out = Vec::new();
        for record in self.records()?.into_iter().flatten() {
            let Some(payload) = payloads.get(&record.commit) else { continue };
            if subject.is_none_or(|subject| payload.is_about(subject)) {
                let about: serde_json::Value = serde_json::from_str(&payload.body).unwrap_or_default();
                let record: serde_json::Value = serde_json::from_str(&record.line()).unwrap_or_default();
                out.push(json!({"record": record, "salt": payload.salt(), "about": about}));
            }
        }
        Ok(out)
    }

    /// Erases what is kept about a subject. The records stay, and say only that there was something.
    pub fn forget(&self, subject: &str) -> Result<usize> {
        let gone = {
            let _tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
            let _turn = self.turn()?;
            payloads::retain(&self.dir, |payload| !payload.is_about(subject))?
        };
        // Who was forgotten must not be written down again.
        self.record(Event::of("audit.forgot", json!({"records": gone})))?;
        Ok(gone)
    }

    /// Erases payloads of days that are past the retention.
    fn expire_now(&self) {
        let oldest = Day::of_unix((now() / 1000).saturating_sub(u64::from(self.days) * 86_400));
        match payloads::expire(&self.dir, oldest) {
            Ok(0) => {}
            Ok(days) => tracing::info!(days, "payloads of the audit past their days were erased"),
            Err(error) => tracing::warn!(%error, "payloads of the audit past their days are still there"),
        }
    }

    /// Checks everything that is there.
    pub fn verify(&self, trusted: &verify::Trusted) -> Result<Verification> {
        let _tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let _turn = self.turn()?;
        verify::verify(&self.dir, &self.log(), trusted)
    }

    /// How many records of each kind there are, and from when to when.
    pub fn report(&self) -> Result<Report> {
        let mut report = Report::default();
        for record in self.records()?.into_iter().flatten() {
            report.records += 1;
            report.first.get_or_insert(record.ts);
            report.last = Some(record.ts);
            *report.kinds.entry(record.kind).or_default() += 1;
        }
        Ok(report)
    }
}

pub use verify::Trusted;

/// Records since a moment; what one is about is `None` when it was erased.
#[derive(Clone, Debug, Default)]
pub struct Since {
    pub records: Vec<(Record, Option<serde_json::Value>)>,
    /// The log is so long that the oldest of them were not read.
    pub cut: bool,
}

/// Which records are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct About<'a> {
    pub task: Option<&'a str>,
    /// `fix.round`, or `fix` for all that begin so.
    pub kind: Option<&'a str>,
}

impl About<'_> {
    fn fits(&self, record: &Record, body: Option<&serde_json::Value>) -> bool {
        let of_kind =
            |kind: &str| record.kind.strip_prefix(kind).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let of_task = |task: &str| body.is_some_and(|body| body["task"] == task);
        self.kind.is_none_or(of_kind) && self.task.is_none_or(of_task)
    }
}

/// A log in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    pub records: u64,
    /// Milliseconds since the Unix epoch.
    pub first: Option<u64>,
    pub last: Option<u64>,
    pub kinds: std::collections::BTreeMap<String, u64>,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

fn day(ts: u64) -> String {
    Day::of_unix(ts / 1000).to_string()
}

/// From the operating system.
fn random(bytes: usize) -> Result<Vec<u8>> {
    let path = Path::new("/dev/urandom");
    let mut random = vec![0; bytes];
    File::open(path).and_then(|mut file| file.read_exact(&mut random)).map_err(io_error("read", path))?;
    Ok(random)
}

/// Appends whole lines. What a killed process left of one is cut off first.
fn append_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let append = || -> io::Result<()> {
        let mut file = File::options().create(true).append(true).read(true).mode(0o600).open(path)?;
        let length = file.metadata()?.len();
        let mut last = [b'\n'];
        if length > 0 {
            file.seek(SeekFrom::Start(length - 1))?;
            file.read_exact(&mut last)?;
        }
        if last != [b'\n'] {
            file.seek(SeekFrom::Start(0))?;
            let mut whole = Vec::new();
            file.read_to_end(&mut whole)?;
            file.set_len(whole.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at as u64 + 1))?;
        }
        file.write_all(bytes)?;
        file.sync_data()
    };
    append().map_err(io_error("write", path))
}

fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_error("sync", dir))
}

/// Replaces a file whole; only its owner reads it.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(io_error("write", path))?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(io_error("write", path))?;
    file.persist(path).map_err(|error| io_error("write", path)(error.error))?;
    sync_dir(dir)
}

/// sha256, for an event's own words.
fn sha256(bytes: &[u8]) -> Digest {
    Digest::of(bytes)
}
