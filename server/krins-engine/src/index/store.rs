//! What was made of the files, kept between runs and shared by every process that works on the root: one SQLite file.
//!
//! ```text
//! file     one row per path: what its content was, how the file looked then, and where its imports lead
//! content  what was made of a text, by path and text; those of other branches are kept for a while
//! meta     what the edges hold for, and what the directories looked like
//! ```
//!
//! Everything in it can be made again, so nothing that goes wrong with it is an error: damage (each row has a checksum),
//! another version's layout (the name holds the versions), a lock that never ends, a full or read-only disk. What
//! cannot be used is made anew, or the process goes on without. Rows are facts about a content or about a stamp,
//! so a row of a process that lost a race is at worst looked at again.
//!
//! A new store is filled beside its place and renamed, which costs one sequential write. The file `….lock` is held shared
//! while the store is open and exclusively while it is replaced: nobody's journal ever meets another store.

use super::stamp::Stamp;
use krins_core::graph::{ENCODING_VERSION, Indexed, Resolved};
use krins_core::{Digest, RelPath};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, Row as SqlRow, Transaction, params};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A row as it is read: path, how the file looked, what it says, and its edges by number.
type RawRow = (RelPath, Option<Stamp>, Arc<Indexed>, Option<Vec<i64>>);

/// Of this file's layout. What is in the rows has versions of its own.
const LAYOUT: u32 = 1;
/// Of what [`krins_core::graph::analyse`] says about a text, and of how specifiers resolve. Raise it when either changes.
const ANALYSIS: u32 = 5;
/// `Krns`, for `file(1)` and against foreign files.
const APPLICATION: i32 = 0x4b72_6e73;
/// How long a writer waits for another process's; a reader never does.
const BUSY: Duration = Duration::from_millis(250);
/// How long contents are kept that no file has any more.
const KEEP_DAYS: i64 = 14;
/// Bytes of such contents beyond which the oldest go.
const KEEP_BYTES: i64 = 256 << 20;
/// Leftovers of processes that died, and stores of other versions, are removed after this.
const STALE: Duration = Duration::from_hours(14 * 24);

const SCHEMA: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL, sum INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE file (
    id      INTEGER PRIMARY KEY,
    path    TEXT NOT NULL UNIQUE,
    stamp   BLOB,
    digest  BLOB NOT NULL,
    edges   BLOB,
    content INTEGER NOT NULL,
    sum     INTEGER NOT NULL
) STRICT;
CREATE TABLE content (
    id   INTEGER PRIMARY KEY,
    key  BLOB NOT NULL UNIQUE,
    body BLOB NOT NULL,
    sum  INTEGER NOT NULL,
    seen INTEGER NOT NULL
) STRICT;
";

/// A file as the store knows it.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// `None` when the file was younger than its clock: it has to be read again.
    pub stamp: Option<Stamp>,
    pub file: Arc<Indexed>,
    /// Where its imports lead; `None` when that is not known.
    pub edges: Option<Resolved>,
}

/// Everything that a store held.
#[derive(Default)]
pub(super) struct Loaded {
    pub rows: BTreeMap<RelPath, Row>,
    /// What the edges hold for.
    pub world: Option<Digest>,
    /// As it was saved.
    pub survey: Option<Vec<u8>>,
}

/// What is to be remembered.
pub(super) struct Save<'a> {
    /// Every path there is.
    pub paths: &'a BTreeSet<RelPath>,
    /// The paths whose rows changed, or went, since the last save or the load.
    pub dirty: &'a BTreeSet<RelPath>,
    pub row: &'a dyn Fn(&RelPath) -> Option<Row>,
    /// What the edges hold for; `None` when they are not to be trusted.
    pub world: Option<Digest>,
    pub survey: Option<&'a [u8]>,
}

/// Where the store is, and how large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreInfo {
    pub path: PathBuf,
    /// Its journal included.
    pub bytes: u64,
}

/// The store of one root. Without a place, it remembers nothing.
#[derive(Default)]
pub(super) struct Store {
    path: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: Option<Open>,
    /// Set when this process cannot write here: it goes on in memory.
    given_up: bool,
}

struct Open {
    connection: Connection,
    /// Held shared; given up when it is dropped, after the connection.
    _lock: File,
    /// The world that the rows hold for, as this process saw them last.
    world: Option<Digest>,
    /// Some rows are damaged: the next save writes every one.
    damaged: bool,
}

type Sql<T> = rusqlite::Result<T>;

impl Store {
    /// The store in a directory, which is made when something is saved.
    pub fn at(dir: &Path) -> Self {
        Self { path: Some(dir.join(file_name())), state: Mutex::default() }
    }

    /// Reads everything, if there is anything that can be used.
    pub fn load(&self) -> Loaded {
        let mut state = self.lock();
        self.attempt(&mut state, "read", |open| {
            let (loaded, damaged) = load(&open.connection)?;
            (open.world, open.damaged) = (loaded.world, damaged);
            Ok(loaded)
        })
        .unwrap_or_default()
    }

    /// What was made of this text of the file before, on whatever branch.
    pub fn content(&self, path: &RelPath, digest: Digest) -> Option<Indexed> {
        let mut state = self.lock();
        state.open.as_ref()?;
        self.attempt(&mut state, "read", |open| content(&open.connection, path, digest)).flatten()
    }

    /// Remembers; whether it was remembered.
    pub fn save(&self, save: &Save<'_>) -> bool {
        let mut state = self.lock();
        if state.given_up {
            return false;
        }
        if let Some(saved) = self.attempt(&mut state, "write", |open| open.save(save)) {
            return saved == Saved::Yes;
        }
        if state.given_up || state.open.is_some() {
            return false;
        }
        let Some(path) = self.path.as_deref().filter(|path| !path.is_file()) else { return false };
        state.open = fill(path, save);
        state.given_up = state.open.is_none();
        state.open.is_some()
    }

    /// `None` when there is no store on disk.
    pub fn info(&self) -> Option<StoreInfo> {
        let path = self.path.as_ref()?;
        let size = |path: &Path| fs::metadata(path).map(|meta| meta.len());
        let bytes = size(path).ok()? + size(&with(path, "-wal")).unwrap_or(0);
        Some(StoreInfo { path: path.clone(), bytes })
    }

    /// Removes contents that no file has had for long, and what dead processes left.
    pub fn sweep(&self) {
        let mut state = self.lock();
        self.attempt(&mut state, "sweep", |open| open.sweep(KEEP_BYTES));
        if let Some(path) = &self.path {
            sweep_directory(path);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works on the store, opened if it is there; `None` when it is not, or cannot be used. A damaged one is removed.
    fn attempt<T>(&self, state: &mut State, what: &str, work: impl FnOnce(&mut Open) -> Sql<T>) -> Option<T> {
        let path = self.path.as_deref()?;
        if state.open.is_none() && !state.given_up {
            match Open::existing(path) {
                Ok(open) => state.open = open,
                Err(error) => self.trouble(state, "open", &error),
            }
        }
        let error = match work(state.open.as_mut()?) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        self.trouble(state, what, &error);
        None
    }

    fn trouble(&self, state: &mut State, what: &str, error: &rusqlite::Error) {
        let Some(path) = self.path.as_deref() else { return };
        match fate(error) {
            Fate::Busy => tracing::debug!(%error, "another process holds the index: could not {what} it"),
            Fate::Unusable => {
                tracing::warn!(path = %path.display(), %error, "could not {what} the index: going on in memory");
                state.open = None;
                state.given_up = true;
            }
            Fate::Damaged => {
                tracing::warn!(path = %path.display(), %error, "the index is damaged and is made again");
                // The connection and its shared lock have to be gone before the file may be.
                state.open = None;
                state.given_up = !replace(path, None);
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Saved {
    Yes,
    /// Another process is at it.
    Later,
}

/// What an error of SQLite means for the store.
enum Fate {
    Busy,
    Damaged,
    Unusable,
}

fn fate(error: &rusqlite::Error) -> Fate {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Fate::Busy,
        Some(ErrorCode::DiskFull) => Fate::Unusable,
        // A foreign schema, a page that makes no sense, a header that says read-only. Where the disk is at fault, it
        // cannot be replaced either.
        _ => Fate::Damaged,
    }
}

impl Open {
    /// `None` when there is no store.
    fn existing(path: &Path) -> Sql<Option<Self>> {
        if !path.is_file() {
            return Ok(None);
        }
        let Some(lock) = lock_file(path).filter(|lock| lock.try_lock_shared().is_ok()) else {
            return Ok(None);
        };
        // Whoever replaced it meanwhile is done.
        if !path.is_file() {
            return Ok(None);
        }
        let connection = connect(path)?;
        let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if (application, version) != (APPLICATION, LAYOUT) {
            return Err(damaged("it is no index"));
        }
        Ok(Some(Self { connection, _lock: lock, world: None, damaged: false }))
    }

    fn save(&mut self, save: &Save<'_>) -> Sql<Saved> {
        let transaction = match self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate) {
            Err(error) if matches!(fate(&error), Fate::Busy) => return Ok(Saved::Later),
            transaction => transaction?,
        };
        let there = world(&transaction)?;
        // What another process wrote for this very world is as good as ours; for another, every row is in question.
        let same = there == self.world || there.is_some() && there == save.world;
        if self.damaged {
            // Rows and their indexes may contradict each other: nothing of them is built on.
            transaction.execute_batch("DELETE FROM file; DELETE FROM content; DELETE FROM meta")?;
            write(&transaction, save, save.paths)?;
        } else if same {
            write(&transaction, save, save.dirty)?;
        } else {
            let known = paths(&transaction)?;
            write(&transaction, save, &known.into_keys().chain(save.paths.iter().cloned()).collect())?;
        }
        transaction.commit()?;
        (self.world, self.damaged) = (save.world, false);
        Ok(Saved::Yes)
    }

    fn sweep(&mut self, keep_bytes: i64) -> Sql<()> {
        let loose = "id NOT IN (SELECT content FROM file)";
        let old = today() - KEEP_DAYS;
        self.connection.execute(&format!("DELETE FROM content WHERE seen < ?1 AND {loose}"), [old])?;
        // The newest are kept up to the limit.
        self.connection.execute(
            &format!(
                "DELETE FROM content WHERE id IN (SELECT id FROM (SELECT id, \
                 sum(length(body)) OVER (ORDER BY seen DESC, id DESC) AS total FROM content WHERE {loose}) \
                 WHERE total > ?1)"
            ),
            [keep_bytes],
        )?;
        self.connection.execute_batch("PRAGMA incremental_vacuum")
    }
}

fn file_name() -> String {
    format!("graph-{LAYOUT}.{ENCODING_VERSION}.{ANALYSIS}.db")
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn lock_file(path: &Path) -> Option<File> {
    File::options().create(true).truncate(false).write(true).open(with(path, ".lock")).ok()
}

fn connect(path: &Path) -> Sql<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    // Without this each short command would pay for two fsyncs at its end.
    connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // A power cut may take the last changes, never the order of two.
    connection.execute_batch("PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF")?;
    Ok(connection)
}

/// A new store with everything in it, opened; `None` when disk or rights do not allow it.
fn fill(path: &Path, save: &Save<'_>) -> Option<Open> {
    let aside = with(path, &format!(".{}.tmp", std::process::id()));
    if let Err(error) = path.parent().map_or(Ok(()), fs::create_dir_all) {
        tracing::warn!(path = %path.display(), %error, "could not make a place for the index: going on in memory");
        return None;
    }
    let written = write_aside(&aside, save);
    if let Err(error) = &written {
        tracing::warn!(path = %path.display(), %error, "could not write the index: going on in memory");
    }
    let placed = written.is_ok() && replace(path, Some(&aside));
    // It is gone when it was placed.
    let _ = fs::remove_file(&aside);
    // Else another process was faster: its store is as good.
    let mut open = Open::existing(path).ok().flatten()?;
    open.world = if placed { save.world } else { world(&open.connection).ok()? };
    Some(open)
}

fn write_aside(aside: &Path, save: &Save<'_>) -> Sql<()> {
    // Left by a process with the same number.
    let _ = fs::remove_file(aside);
    let mut connection = Connection::open(aside)?;
    connection.execute_batch(
        "PRAGMA page_size = 8192; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = OFF; \
         PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE",
    )?;
    connection.execute_batch(SCHEMA)?;
    let transaction = connection.transaction()?;
    write(&transaction, save, save.paths)?;
    transaction.commit()?;
    connection.pragma_update(None, "application_id", APPLICATION)?;
    connection.pragma_update(None, "user_version", LAYOUT)?;
    connection.execute_batch("PRAGMA locking_mode = NORMAL; PRAGMA journal_mode = WAL")?;
    connection.close().map_err(|(_, error)| error)
}

/// Puts a store (or nothing) where another may be, which nobody may have open. A usable one that came there meanwhile
/// stays.
fn replace(path: &Path, aside: Option<&Path>) -> bool {
    let Some(lock) = lock_file(path) else { return false };
    let give_up = Instant::now() + BUSY;
    loop {
        match lock.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < give_up => std::thread::sleep(Duration::from_millis(5)),
            Err(_) => return false,
        }
    }
    if aside.is_some() && path.is_file() {
        return false;
    }
    // The journal first: a store without it is only older, a journal without its store would meet the next one.
    for gone in [with(path, "-wal"), with(path, "-shm"), path.to_owned()] {
        match fs::remove_file(&gone) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return false,
            _ => {}
        }
    }
    aside.is_none_or(|aside| fs::rename(aside, path).is_ok())
}

/// The content, and whether some of it was damaged.
fn load(connection: &Connection) -> Sql<(Loaded, bool)> {
    // One moment for all statements.
    let reading = connection.unchecked_transaction()?;
    let mut ids: Vec<(i64, RelPath)> = Vec::new();
    let mut found: Vec<RawRow> = Vec::new();
    let mut statement = reading.prepare(
        "SELECT f.id, f.path, f.stamp, f.digest, f.edges, f.content, f.sum, c.body, c.sum, c.key \
         FROM file f LEFT JOIN content c ON c.id = f.content ORDER BY f.id",
    )?;
    let mut rows = statement.query([])?;
    let mut lost = false;
    while let Some(row) = rows.next()? {
        match read_row(row)? {
            Some((id, path, stamp, file, edges)) => {
                ids.push((id, path.clone()));
                found.push((path, stamp, Arc::new(file), edges));
            }
            None => lost = true,
        }
    }
    let named = |id: i64| ids.binary_search_by_key(&id, |(id, _)| *id).ok().map(|at| ids[at].1.clone());
    let resolve = |edges: Vec<i64>| -> Option<Resolved> {
        let (unresolved, edges) = edges.split_first()?;
        let targets = edges.iter().map(|id| if *id == 0 { Some(None) } else { named(*id).map(Some) });
        Some(Resolved { targets: targets.collect::<Option<_>>()?, unresolved: u32::try_from(*unresolved).ok()? })
    };
    let rows = found
        .into_iter()
        .map(|(path, stamp, file, edges)| (path, Row { stamp, file, edges: edges.and_then(resolve) }))
        .collect();
    if lost {
        tracing::warn!("some rows of the index are damaged: their files are read again");
    }
    Ok((Loaded { rows, world: world(&reading)?, survey: meta(&reading, "survey")? }, lost))
}

type Raw = (i64, RelPath, Option<Stamp>, Indexed, Option<Vec<i64>>);

/// `None` when the row is damaged.
fn read_row(row: &SqlRow<'_>) -> Sql<Option<Raw>> {
    let id: i64 = row.get(0)?;
    let path = row.get_ref(1)?.as_bytes()?;
    let stamp = row.get_ref(2)?.as_blob_or_null()?;
    let digest = row.get_ref(3)?.as_blob()?;
    let edges = row.get_ref(4)?.as_blob_or_null()?;
    let content: i64 = row.get(5)?;
    if row.get::<_, i64>(6)? != file_sum(id, path, stamp, digest, edges, content) {
        return Ok(None);
    }
    let (Some(body), Some(sum), Some(key)) =
        (row.get_ref(7)?.as_blob_or_null()?, row.get::<_, Option<i64>>(8)?, row.get_ref(9)?.as_blob_or_null()?)
    else {
        return Ok(None);
    };
    let read = || {
        let path = std::str::from_utf8(path).ok().and_then(|path| RelPath::new(path).ok())?;
        let digest = Digest::from_bytes(digest.try_into().ok()?);
        let stamp = match stamp {
            Some(bytes) => Some(Stamp::from_bytes(bytes)?),
            None => None,
        };
        let fits = key == key_of(&path, digest).as_bytes() && sum == checksum(&[key, body]);
        let file = fits.then(|| Indexed::from_bytes(digest, body)).flatten()?;
        Some((id, path, stamp, file, edges.map(decode_edges)))
    };
    Ok(read())
}

fn content(connection: &Connection, path: &RelPath, digest: Digest) -> Sql<Option<Indexed>> {
    let key = key_of(path, digest);
    let mut statement = connection.prepare_cached("SELECT body, sum FROM content WHERE key = ?1")?;
    let found = statement.query_row([key.as_bytes()], |row| {
        let body = row.get_ref(0)?.as_blob()?;
        let whole = row.get::<_, i64>(1)? == checksum(&[key.as_bytes(), body]);
        Ok(whole.then(|| Indexed::from_bytes(digest, body)).flatten())
    });
    Ok(found.optional()?.flatten())
}

fn write(transaction: &Transaction<'_>, save: &Save<'_>, changed: &BTreeSet<RelPath>) -> Sql<()> {
    let mut ids = paths(transaction)?;
    let next = |table: &str| {
        transaction.query_row(&format!("SELECT coalesce(max(id), 0) + 1 FROM {table}"), [], |row| row.get::<_, i64>(0))
    };
    let (mut next_file, mut next_content) = (next("file")?, next("content")?);
    for path in save.paths.iter().filter(|path| changed.contains(*path)) {
        if !ids.contains_key(path) {
            ids.insert(path.clone(), next_file);
            next_file += 1;
        }
    }
    let mut touch = transaction
        .prepare_cached("UPDATE content SET seen = ?1 WHERE id = (SELECT content FROM file WHERE path = ?2)")?;
    let mut remove = transaction.prepare_cached("DELETE FROM file WHERE path = ?1")?;
    let mut find = transaction.prepare_cached("SELECT id, sum, body FROM content WHERE key = ?1")?;
    let mut put_content = transaction.prepare_cached("INSERT OR REPLACE INTO content VALUES (?1, ?2, ?3, ?4, ?5)")?;
    let mut put_file = transaction.prepare_cached("INSERT OR REPLACE INTO file VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    let today = today();
    for path in changed {
        touch.execute(params![today, path.as_str()])?;
        let row = if save.paths.contains(path) { (save.row)(path) } else { None };
        let (Some(row), Some(id)) = (row, ids.get(path)) else {
            remove.execute([path.as_str()])?;
            continue;
        };
        let key = key_of(path, *row.file.digest());
        let body = row.file.to_bytes();
        let sum = checksum(&[key.as_bytes(), &body]);
        // Compared as it is: the checksum may be all that is left of it.
        let same = |row: &SqlRow<'_>| Sql::Ok(row.get::<_, i64>(1)? == sum && row.get_ref(2)?.as_blob()? == body);
        let known = find.query_row([key.as_bytes()], |row| Ok((row.get::<_, i64>(0)?, same(row)?))).optional()?;
        let content = match known {
            Some((content, true)) => content,
            _ => {
                let content = known.map_or(next_content, |(content, _)| content);
                next_content = next_content.max(content + 1);
                put_content.execute(params![content, key.as_bytes(), body, sum, today])?;
                content
            }
        };
        let stamp = row.stamp.map(Stamp::to_bytes);
        let stamp = stamp.as_ref().map(|bytes| &bytes[..]);
        let edges = row.edges.as_ref().and_then(|edges| encode_edges(edges, &ids));
        let digest = row.file.digest().as_bytes();
        let sum = file_sum(*id, path.as_str().as_bytes(), stamp, digest, edges.as_deref(), content);
        put_file.execute(params![id, path.as_str(), stamp, digest, edges, content, sum])?;
    }
    put_meta(transaction, "world", save.world.as_ref().map_or(&[][..], |world| world.as_bytes()))?;
    match save.survey {
        Some(survey) => put_meta(transaction, "survey", survey),
        None => Ok(()),
    }
}

fn put_meta(transaction: &Transaction<'_>, key: &str, value: &[u8]) -> Sql<()> {
    let sum = checksum(&[key.as_bytes(), value]);
    transaction.execute("INSERT OR REPLACE INTO meta VALUES (?1, ?2, ?3)", params![key, value, sum]).map(drop)
}

fn meta(connection: &Connection, key: &str) -> Sql<Option<Vec<u8>>> {
    let mut statement = connection.prepare_cached("SELECT value, sum FROM meta WHERE key = ?1")?;
    let found: Option<(Vec<u8>, i64)> = statement.query_row([key], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    Ok(found.filter(|(value, sum)| *sum == checksum(&[key.as_bytes(), value])).map(|(value, _)| value))
}

fn world(connection: &Connection) -> Sql<Option<Digest>> {
    Ok(meta(connection, "world")?.and_then(|bytes| Some(Digest::from_bytes(bytes.as_slice().try_into().ok()?))))
}

/// Every path with its number. One that is no path is left out, and never found again.
fn paths(connection: &Connection) -> Sql<BTreeMap<RelPath, i64>> {
    let mut statement = connection.prepare_cached("SELECT path, id FROM file")?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
    rows.filter_map(|row| row.map(|(path, id)| Some((RelPath::new(&path).ok()?, id))).transpose()).collect()
}

/// By path too: what is made of a text depends on its language, and on where it is.
fn key_of(path: &RelPath, digest: Digest) -> Digest {
    Digest::of([path.as_str().as_bytes(), &[0], digest.as_bytes()].concat())
}

fn file_sum(id: i64, path: &[u8], stamp: Option<&[u8]>, digest: &[u8], edges: Option<&[u8]>, content: i64) -> i64 {
    let presence = [u8::from(stamp.is_some()), u8::from(edges.is_some())];
    checksum(&[
        &id.to_le_bytes(),
        path,
        &presence,
        stamp.unwrap_or_default(),
        digest,
        edges.unwrap_or_default(),
        &content.to_le_bytes(),
    ])
}

/// Against damage, not against people: each step is a bijection of the state, so one changed word always shows.
fn checksum(parts: &[&[u8]]) -> i64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut take = |word: u64| state = (state.rotate_left(23) ^ word).wrapping_mul(0xd6e8_feb8_6659_fd93);
    for part in parts {
        let (words, rest) = part.as_chunks::<8>();
        words.iter().for_each(|word| take(u64::from_le_bytes(*word)));
        take(rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
        take(part.len() as u64);
    }
    (state ^ state >> 32).cast_signed()
}

/// How many lead nowhere that should not, then numbers of the files, 0 for none; `None` when one has no number.
fn encode_edges(edges: &Resolved, ids: &BTreeMap<RelPath, i64>) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(1 + edges.targets.len() * 2);
    let mut put = |mut number: u64| {
        while number >= 0x80 {
            bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
    };
    put(edges.unresolved.into());
    for edge in &edges.targets {
        put(match edge {
            Some(path) => ids.get(path)?.cast_unsigned(),
            None => 0,
        });
    }
    Some(bytes)
}

fn decode_edges(bytes: &[u8]) -> Vec<i64> {
    let mut edges = Vec::new();
    let (mut id, mut shift) = (0_u64, 0_u32);
    for byte in bytes {
        id |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or_default();
        shift += 7;
        if byte & 0x80 == 0 {
            edges.push(id.cast_signed());
            (id, shift) = (0, 0);
        }
    }
    edges
}

fn today() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| (since.as_secs() / 86_400).cast_signed())
}

fn damaged(why: &str) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_NOTADB), Some(why.to_owned()))
}

/// Removes what nobody has written to for long: other versions' stores, and files of processes that died.
fn sweep_directory(path: &Path) {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else { return };
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let other = entry
            .file_name()
            .to_str()
            .is_some_and(|other| other.starts_with("graph-") && (!other.starts_with(name) || other.ends_with(".tmp")));
        let age = || entry.metadata().ok()?.modified().ok()?.elapsed().ok();
        if other && age().is_some_and(|age| age > STALE) {
            // Another process may be faster.
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests;
