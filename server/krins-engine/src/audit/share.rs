//! The log on its way to where nobody who writes here can reach: which records are not there yet, and with how much of what
//! they are about.

use super::{Audit, LONGEST_LINE, Result, io_error, payloads};
use krins_backend::handover::{About, HandedOver, Handover};
use krins_core::audit::Record;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};

/// Records of one request.
const MOST: usize = 500;
/// Hex digits of the first record's hash that name the log: one that began anew is another one.
const NAMED_BY: usize = 16;

/// How much of the audit leaves the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Share {
    #[default]
    Nothing,
    /// The records: hashes, times and kinds. Nothing can be read from them, and no later change slips past.
    Records,
    /// What they are about, too.
    Whole,
}

impl Share {
    /// The word of the settings.
    pub fn of(word: &str) -> Self {
        match word {
            "records" => Self::Records,
            "whole" => Self::Whole,
            _ => Self::Nothing,
        }
    }
}

/// How far the log is elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    pub log: String,
    pub seq: u64,
    /// The hash of that record: who wrote the log anew since is found out, however long it is now.
    hash: String,
    /// Where the next record begins.
    offset: u64,
}

/// The next records, and where the log stands after them.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub append: Handover,
    pub cursor: Cursor,
    /// The number and the hash of the last one.
    pub last: (u64, String),
}

impl Audit {
    /// The records after the cursor. `None` when there are none.
    pub(crate) fn batch_after(&self, cursor: &Cursor, share: Share) -> Result<Option<Batch>> {
        let path = self.log();
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("open", &path)(error)),
        };
        let Some(log) = self.name_of(&mut file)? else { return Ok(None) };
        // A log that is not what was handed over is handed over from its beginning, and refused where it is another.
        let stands = cursor.log == log && stands(&mut file, cursor).map_err(io_error("read", &path))?;
        let from = if stands { cursor.clone() } else { Cursor { log: log.clone(), ..Cursor::default() } };
        let (records, next) = read_from(&mut file, from, MOST).map_err(io_error("read", &path))?;
        let Some(last) = records.last() else { return Ok(None) };
        let last = (last.seq, last.hash.to_string());
        let kept = if share == Share::Whole { payloads::all(&self.dir) } else { Default::default() };
        let shared = |record: &Record| HandedOver {
            record: record.line().trim_end().to_owned(),
            about: kept.get(&record.commit).map(|kept| About { salt: kept.salt(), body: kept.body.clone() }),
        };
        let append = Handover { log, records: records.iter().map(shared).collect() };
        Ok(Some(Batch { append, cursor: next, last }))
    }

    /// The hash of a record, to see whether it is the one that is kept elsewhere.
    pub(crate) fn hash_of(&self, seq: u64) -> Result<Option<String>> {
        let found = self.records()?.into_iter().flatten().find(|record| record.seq == seq);
        Ok(found.map(|record| record.hash.to_string()))
    }

    /// The cursor at a record's end.
    pub(crate) fn cursor_at(&self, log: &str, seq: u64) -> Result<Cursor> {
        let path = self.log();
        let text = fs::read(&path).map_err(io_error("read", &path))?;
        let mut cursor = Cursor { log: log.to_owned(), ..Cursor::default() };
        let lines = text.split_inclusive(|byte| *byte == b'\n').take(usize::try_from(seq).unwrap_or(usize::MAX));
        for line in lines {
            let Some(record) = line.strip_suffix(b"\n").and_then(Record::read) else { break };
            (cursor.seq, cursor.hash) = (record.seq, record.hash.to_string());
            cursor.offset += line.len() as u64;
        }
        Ok(cursor)
    }

    fn name_of(&self, file: &mut File) -> Result<Option<String>> {
        let path = self.log();
        let beginning = Cursor::default();
        let (first, _) = read_from(file, beginning, 1).map_err(io_error("read", &path))?;
        let root = self.origin.rsplit('/').next().unwrap_or_default();
        Ok(first.first().map(|record| format!("{root}/{:.NAMED_BY$}", record.hash.to_string())))
    }
}

/// Whether the log still holds the record that the cursor stands behind.
fn stands(file: &mut File, cursor: &Cursor) -> io::Result<bool> {
    if cursor.seq == 0 {
        return Ok(cursor.offset == 0);
    }
    let from = cursor.offset.saturating_sub(LONGEST_LINE + 1);
    let mut before = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    (&mut *file).take(cursor.offset - from).read_to_end(&mut before)?;
    let last = before.strip_suffix(b"\n").unwrap_or_default();
    let line = &last[last.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)..];
    let same = |record: Record| record.seq == cursor.seq && record.hash.to_string() == cursor.hash;
    Ok(before.len() as u64 == cursor.offset - from && Record::read(line).is_some_and(same))
}

/// Whole records from a place on; what is not written to its end is another time's.
fn read_from(file: &mut File, mut at: Cursor, most: usize) -> io::Result<(Vec<Record>, Cursor)> {
    file.seek(SeekFrom::Start(at.offset))?;
    let mut reader = BufReader::new(&mut *file);
    let (mut records, mut line) = (Vec::new(), Vec::new());
    while records.len() < most {
        line.clear();
        let read = (&mut reader).take(LONGEST_LINE + 1).read_until(b'\n', &mut line)?;
        let Some(record) = line.strip_suffix(b"\n").and_then(Record::read) else { break };
        at.offset += read as u64;
        (at.seq, at.hash) = (record.seq, record.hash.to_string());
        records.push(record);
    }
    Ok((records, at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Event;
    use crate::state::StateDir;
    use crate::workspace::Root;
    use serde_json::json;

    #[test]
    fn a_log_is_handed_over_in_order_and_nothing_twice() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("root")).unwrap();
        let state =
            StateDir::open_at(&dir.path().join("state"), &Root::open(&dir.path().join("root")).unwrap()).unwrap();
        let audit = Audit::open(&state, 90).unwrap();
        assert!(audit.batch_after(&Cursor::default(), Share::Whole).unwrap().is_none());
        let event = |number: usize| Event::of("task.gated", json!({"task": format!("t-{number}")}));
        audit.record_all((0..MOST + 20).map(event).collect()).unwrap();
        let first = audit.batch_after(&Cursor::default(), Share::Records).unwrap().unwrap();
        assert_eq!((first.append.records.len(), first.cursor.seq), (MOST, MOST as u64));
        assert!(first.append.records.iter().all(|record| record.about.is_none()));
        let second = audit.batch_after(&first.cursor, Share::Whole).unwrap().unwrap();
        assert_eq!(second.append.records.len(), 20);
        assert!(second.append.records.iter().all(|record| record.about.is_some()));
        assert!(audit.batch_after(&second.cursor, Share::Whole).unwrap().is_none());
        assert_eq!(audit.cursor_at(&first.append.log, MOST as u64).unwrap(), first.cursor);
        assert_eq!(audit.hash_of(second.last.0).unwrap().as_ref(), Some(&second.last.1));
        // A record that is only half there waits.
        let mut log = File::options().append(true).open(state.path().join("audit/log")).unwrap();
        io::Write::write_all(&mut log, b"{\"seq\":521").unwrap();
        assert!(audit.batch_after(&second.cursor, Share::Whole).unwrap().is_none());
        // A log that was written anew is handed over from its beginning, as long as it was or not.
        let path = state.path().join("audit/log");
        let whole = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = whole.split_inclusive('\n').collect();
        for kept in [lines.len() - 2, lines.len() - 5] {
            fs::write(&path, lines[..kept].concat()).unwrap();
            let again = audit.batch_after(&second.cursor, Share::Records).unwrap().unwrap();
            assert!(again.append.records[0].record.starts_with("{\"seq\":1,"), "{kept}");
        }
        fs::write(&path, &whole).unwrap();
        // A cursor of another log begins at the beginning.
        let other = Cursor { log: "other/0".into(), ..second.cursor };
        assert_eq!(audit.batch_after(&other, Share::Records).unwrap().unwrap().append.records.len(), MOST);
    }
}
