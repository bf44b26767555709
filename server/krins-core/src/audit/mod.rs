//! The audit's chain: what a record says, how records hang together, and how a log is checked.
//!
//! A record commits to its payload by a salted hash, and to all records before it by the chain, so payloads can be erased
//! and the chain still holds. Who can rewrite the whole log is found out by a signed checkpoint kept elsewhere ([`note`]).
//!
//! ```text
//! commit = sha256("krins-payload-v1\n" ‖ salt ‖ payload)
//! hash   = sha256("krins-audit-v1\n" ‖ hash before ‖ seq ‖ ts ‖ length of kind ‖ kind ‖ length of by ‖ by ‖ commit)
//! ```

pub mod merkle;
pub mod note;

use crate::digest::Digest;
use std::fmt::Write as _;

/// The hash before the first record.
pub const GENESIS: Digest = Digest::from_bytes([0; 32]);

/// Longer kinds and names of writers are none.
const LONGEST_WORD: usize = 64;

/// One record as the log holds it: `{"seq":1,"ts":…,"kind":"…","by":"…","commit":"…","hash":"…"}` and a line end, in
/// exactly this form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// From 1, without a gap.
    pub seq: u64,
    /// Milliseconds since the Unix epoch; never less than before.
    pub ts: u64,
    /// `task.assigned`.
    pub kind: String,
    /// Which process wrote it.
    pub by: String,
    pub commit: Digest,
    pub hash: Digest,
}

/// What the next record hangs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub seq: u64,
    pub ts: u64,
    pub hash: Digest,
}

impl Default for Head {
    fn default() -> Self {
        Self { seq: 0, ts: 0, hash: GENESIS }
    }
}

/// Why a line is not the next record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("it is no record in its one form")]
    Form,
    #[error("its number is {found}, not {expected}: records are missing, doubled or out of order")]
    Number { expected: u64, found: u64 },
    #[error("it is older than the record before it")]
    Time,
    #[error("it does not hang on the records before it")]
    Chain,
}

/// The commitment to a payload. The salt keeps a short payload from being guessed once it is erased.
pub fn commitment(salt: &[u8; 32], payload: &[u8]) -> Digest {
    let mut bytes = Vec::with_capacity(payload.len() + 64);
    bytes.extend_from_slice(b"krins-payload-v1\n");
    bytes.extend_from_slice(salt);
    bytes.extend_from_slice(payload);
    Digest::of(bytes)
}

/// Whether a payload has this as one of its values: a person, a task, any name or hash.
pub fn is_about(payload: &str, subject: &str) -> bool {
    fn holds(value: &serde_json::Value, subject: &str) -> bool {
        match value {
            serde_json::Value::String(text) => text == subject,
            serde_json::Value::Array(values) => values.iter().any(|value| holds(value, subject)),
            serde_json::Value::Object(fields) => fields.values().any(|value| holds(value, subject)),
            serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => false,
        }
    }
    serde_json::from_str(payload).is_ok_and(|value| holds(&value, subject))
}

/// Whether it can be a kind, or the name of a writer.
pub fn is_word(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_');
    (1..=LONGEST_WORD).contains(&text.len()) && text.bytes().all(plain)
}

impl Record {
    /// The record after `head`. `None` when the kind or the writer is no plain word.
    pub fn next(head: &Head, now: u64, kind: &str, by: &str, commit: Digest) -> Option<Self> {
        if !is_word(kind) || !is_word(by) {
            return None;
        }
        // A clock that is set back must not make a log that is sound look broken.
        let (seq, ts) = (head.seq.checked_add(1)?, now.max(head.ts));
        let hash = hash(&head.hash, seq, ts, kind, by, &commit);
        Some(Self { seq, ts, kind: kind.to_owned(), by: by.to_owned(), commit, hash })
    }

    pub fn head(&self) -> Head {
        Head { seq: self.seq, ts: self.ts, hash: self.hash }
    }

    /// The line, with its end.
    pub fn line(&self) -> String {
        let mut line = String::with_capacity(320);
        let Self { seq, ts, kind, by, commit, hash } = self;
        // Writing to a text cannot fail.
        let _ = writeln!(
            line,
            "{{\"seq\":{seq},\"ts\":{ts},\"kind\":\"{kind}\",\"by\":\"{by}\",\"commit\":\"{commit}\",\"hash\":\"{hash}\"}}"
        );
        line
    }

    /// Reads a line without its end. There is one spelling of each record; everything else is refused.
    pub fn read(line: &[u8]) -> Option<Self> {
        let mut rest = line;
        let seq = number(field(&mut rest, b"{\"seq\":", b',')?)?;
        let ts = number(field(&mut rest, b"\"ts\":", b',')?)?;
        let kind = word(field(&mut rest, b"\"kind\":\"", b'"')?)?;
        let by = word(field(&mut rest, b",\"by\":\"", b'"')?)?;
        let commit = digest(field(&mut rest, b",\"commit\":\"", b'"')?)?;
        let hash = digest(field(&mut rest, b",\"hash\":\"", b'"')?)?;
        (rest == b"}").then_some(Self { seq, ts, kind, by, commit, hash })
    }
}

/// What stands between a beginning and the next `end`, which is taken too.
fn field<'l>(rest: &mut &'l [u8], beginning: &[u8], end: u8) -> Option<&'l [u8]> {
    let after = rest.strip_prefix(beginning)?;
    let at = memchr::memchr(end, after)?;
    *rest = &after[at + 1..];
    Some(&after[..at])
}

fn number(digits: &[u8]) -> Option<u64> {
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) && (digits[0] != b'0' || digits.len() == 1);
    if plain { std::str::from_utf8(digits).ok()?.parse().ok() } else { None }
}

fn word(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().filter(|text| is_word(text)).map(str::to_owned)
}

fn digest(hex: &[u8]) -> Option<Digest> {
    std::str::from_utf8(hex).ok()?.parse().ok()
}

fn hash(before: &Digest, seq: u64, ts: u64, kind: &str, by: &str, commit: &Digest) -> Digest {
    let mut bytes = Vec::with_capacity(256);
    bytes.extend_from_slice(b"krins-audit-v1\n");
    bytes.extend_from_slice(before.as_bytes());
    bytes.extend_from_slice(&seq.to_be_bytes());
    bytes.extend_from_slice(&ts.to_be_bytes());
    for word in [kind, by] {
        bytes.extend_from_slice(&(word.len() as u64).to_be_bytes());
        bytes.extend_from_slice(word.as_bytes());
    }
    bytes.extend_from_slice(commit.as_bytes());
    Digest::of(bytes)
}

/// Goes through a log line by line.
#[derive(Clone, Debug, Default)]
pub struct Verifier {
    pub head: Head,
    pub tree: merkle::Frontier,
}

impl Verifier {
    /// Takes the next line, without its end.
    pub fn take(&mut self, line: &[u8]) -> Result<Record, Broken> {
        let record = Record::read(line).ok_or(Broken::Form)?;
        let expected = self.head.seq.saturating_add(1);
        if record.seq != expected {
            return Err(Broken::Number { expected, found: record.seq });
        }
        if record.ts < self.head.ts {
            return Err(Broken::Time);
        }
        if record.hash != hash(&self.head.hash, record.seq, record.ts, &record.kind, &record.by, &record.commit) {
            return Err(Broken::Chain);
        }
        self.head = record.head();
        self.tree.push(record.hash.as_bytes());
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(records: u64) -> Vec<String> {
        let mut head = Head::default();
        let next = |seq: u64| {
            let kind = ["task.assigned", "task.gated", "apply.intended"][seq as usize % 3];
            let record =
                Record::next(&head, 1_795_910_400_000 + seq, kind, "i1", commitment(&[seq as u8; 32], b"{}")).unwrap();
            head = record.head();
            record.line()
        };
        (1..=records).map(next).collect()
    }

    fn verify(lines: &[impl AsRef<[u8]>]) -> Result<Verifier, (usize, Broken)> {
        let mut verifier = Verifier::default();
        for (at, line) in lines.iter().enumerate() {
            let line = line.as_ref();
            verifier.take(line.strip_suffix(b"\n").unwrap_or(line)).map_err(|broken| (at, broken))?;
        }
        Ok(verifier)
    }

    #[test]
    fn records_come_back_and_clocks_may_go_back() {
        let lines = log(20);
        assert_eq!(verify(&lines).unwrap().head.seq, 20);
        let read = Record::read(lines[3].trim_end().as_bytes()).unwrap();
        assert_eq!(read.line(), lines[3]);
        let later = Record::next(&read.head(), 5, "task.gated", "i1", GENESIS).unwrap();
        assert_eq!(later.ts, read.ts);
        assert_eq!(Record::next(&read.head(), 5, "no word", "i1", GENESIS), None);
    }

    /// Every byte of some lines, every other value of it; the example `audit_exhaustive` does it for 10,000 records.
    #[test]
    fn every_byte_counts() {
        let lines = log(3);
        for (at, line) in lines.iter().enumerate() {
            let mut before = Verifier::default();
            for line in &lines[..at] {
                before.take(line.trim_end().as_bytes()).unwrap();
            }
            let line = line.trim_end().as_bytes();
            for byte in 0..line.len() {
                for value in 0..=255u8 {
                    let mut changed = line.to_vec();
                    changed[byte] = value;
                    assert!(value == line[byte] || before.clone().take(&changed).is_err(), "{at} {byte} {value}");
                }
            }
        }
    }

    #[test]
    fn what_is_missing_doubled_or_out_of_order_is_found_where_it_is() {
        let lines = log(12);
        for at in 0..lines.len() - 1 {
            let mut gone = lines.clone();
            gone.remove(at);
            assert_eq!(verify(&gone).unwrap_err().0, at);
            let mut doubled = lines.clone();
            doubled.insert(at, lines[at].clone());
            assert_eq!(verify(&doubled).unwrap_err().0, at + 1);
            let mut swapped = lines.clone();
            swapped.swap(at, at + 1);
            assert_eq!(verify(&swapped).unwrap_err().0, at);
        }
    }
}
