//! Looks at everything an audit holds: the chain, the checkpoints and who signed them, the payloads.

use super::payloads::{self, Payload};
use super::{Result, io_error, keys};
use krins_core::Digest;
use krins_core::audit::note::{Checkpoint, Note, PublicKey};
use krins_core::audit::{Head, Verifier};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

/// Findings beyond these are only counted.
const MOST: usize = 100;

/// What the caller knows from elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Trusted {
    /// The key that signed first.
    pub key: Option<PublicKey>,
    /// A checkpoint that was kept out of reach.
    pub note: Option<String>,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file, below the audit's directory.
    pub file: String,
    /// 1-based, where there is one.
    pub line: Option<u64>,
    pub what: String,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Whether nothing was changed, removed, moved or cut off.
    pub sound: bool,
    pub records: u64,
    /// The last record's hash.
    pub head: Option<String>,
    pub checkpoints: u64,
    /// How many records a checkpoint speaks for.
    pub covered: u64,
    /// Records whose payload is kept, and records whose payload was erased.
    pub kept: u64,
    pub erased: u64,
    /// The verifier key of now.
    pub key: Option<String>,
    /// 1, and one more for each key that no earlier one signed for, because it was lost.
    pub epochs: u64,
    /// Bytes of a record that a killed process did not write to its end. The next record says so.
    pub torn: u64,
    pub findings: Vec<Finding>,
}

struct Look<'d> {
    dir: &'d Path,
    found: Verification,
    unsaid: u64,
}

pub(super) fn verify(dir: &Path, log: &Path, trusted: &Trusted) -> Result<Verification> {
    let mut look = Look { dir, found: Verification::default(), unsaid: 0 };
    let notes = look.notes()?;
    let mut wanted: Vec<Checkpoint> = notes.iter().map(|note| note.checkpoint.clone()).collect();
    look.keys(&notes, trusted, &mut wanted)?;
    let commits = look.log(log, &wanted)?;
    look.payloads(&commits);
    look.set_aside();
    let Look { mut found, unsaid, .. } = look;
    if unsaid > 0 {
        found.findings.push(Finding { file: String::new(), line: None, what: format!("and {unsaid} more") });
    }
    found.sound = found.findings.is_empty();
    Ok(found)
}

impl Look<'_> {
    fn wrong(&mut self, file: &str, line: Option<u64>, what: impl Into<String>) {
        if self.found.findings.len() < MOST {
            self.found.findings.push(Finding { file: file.to_owned(), line, what: what.into() });
        } else {
            self.unsaid += 1;
        }
    }

    fn notes(&mut self) -> Result<Vec<Note>> {
        let bytes = read(&self.dir.join("checkpoints"))?.unwrap_or_default();
        let mut notes = Vec::new();
        for (line, text) in lines(&bytes) {
            let text = match text {
                Ok(text) => text,
                // A checkpoint that a killed process did not write to its end speaks for nothing.
                Err(text) if text.starts_with(b"\"") && !text[1..].contains(&b'"') => continue,
                Err(_) => b"".as_slice(),
            };
            let text = std::str::from_utf8(text).unwrap_or_default();
            let one_form = |note: &String| serde_json::to_string(note).is_ok_and(|form| form == text);
            let note = serde_json::from_str::<String>(text).ok().filter(one_form);
            match note.and_then(|note| Note::read(&note)) {
                Some(note) => notes.push(note),
                None => self.wrong("checkpoints", Some(line), "it is no checkpoint in its one form"),
            }
        }
        self.found.checkpoints = notes.len() as u64;
        Ok(notes)
    }

    /// Follows the keys: the first is taken as it is, unless the caller knows it; each other one has to be signed for.
    fn keys(&mut self, notes: &[Note], trusted: &Trusted, wanted: &mut Vec<Checkpoint>) -> Result<()> {
        let keys = keys::public(self.dir)?;
        let mut known: Vec<PublicKey> = Vec::new();
        for (line, key) in (1u64..).zip(keys) {
            match key {
                Some(key) => known.push(key),
                None => self.wrong("keys", Some(line), "it is no verifier key"),
            }
        }
        if let Some(trusted) = trusted.key.as_ref().filter(|key| known.first() != Some(key)) {
            self.wrong("keys", Some(1), format!("the first key is not {trusted}"));
        }
        let mut current = known.first().cloned();
        self.found.epochs = u64::from(current.is_some());
        for (line, note) in (1u64..).zip(notes) {
            let signed = current.as_ref().is_some_and(|key| note.is_signed_by(key));
            if !signed {
                // A later key that nobody signed for begins a new epoch, once the old one is lost.
                let place = current.as_ref().and_then(|key| known.iter().position(|known| known == key));
                let later = known.iter().skip(place.map_or(0, |at| at + 1)).find(|key| note.is_signed_by(key)).cloned();
                match later {
                    Some(key) => {
                        self.found.epochs += 1;
                        current = Some(key);
                    }
                    None => {
                        self.wrong("checkpoints", Some(line), "none of the keys signed it");
                        continue;
                    }
                }
            }
            if let Some(next) = &note.checkpoint.rotate {
                if note.is_signed_by(next) && known.contains(next) {
                    current = Some(next.clone());
                } else {
                    self.wrong(
                        "checkpoints",
                        Some(line),
                        "the key that it goes over to did not sign it, or is not known",
                    );
                }
            }
        }
        self.found.key = current.map(|key| key.to_string());
        if let Some(text) = &trusted.note {
            match Note::read(text) {
                Some(note) if known.iter().any(|key| note.is_signed_by(key)) => wanted.push(note.checkpoint),
                Some(_) => self.wrong("the checkpoint that was kept", None, "none of the keys signed it"),
                None => self.wrong("the checkpoint that was kept", None, "it is no checkpoint in its one form"),
            }
        }
        Ok(())
    }

    /// The chain, against every checkpoint; answers the commitments.
    fn log(&mut self, path: &Path, wanted: &[Checkpoint]) -> Result<BTreeSet<Digest>> {
        let bytes = read(path)?.unwrap_or_default();
        let mut at: BTreeMap<u64, Vec<&Checkpoint>> = BTreeMap::new();
        for checkpoint in wanted {
            at.entry(checkpoint.size).or_default().push(checkpoint);
        }
        let mut verifier = Verifier::default();
        let mut commits = BTreeSet::new();
        self.agree(&verifier, at.get(&0));
        for (line, text) in lines(&bytes) {
            let taken = match text {
                Ok(text) => verifier.take(text).map_err(|broken| broken.to_string()),
                Err(text) if is_torn(text) => {
                    self.found.torn = text.len() as u64;
                    break;
                }
                Err(_) => Err("it has no end".to_owned()),
            };
            match taken {
                Ok(record) => {
                    commits.insert(record.commit);
                    self.agree(&verifier, at.get(&record.seq));
                }
                Err(what) => {
                    // What comes after hangs on this line: it would be one finding a line.
                    self.wrong("log", Some(line), what);
                    break;
                }
            }
        }
        let Head { seq, hash, .. } = verifier.head;
        self.found.records = seq;
        self.found.head = (seq > 0).then(|| hash.to_string());
        let last = wanted.iter().map(|checkpoint| checkpoint.size).max().unwrap_or(0);
        self.found.covered = last.min(seq);
        if last > seq {
            self.wrong("log", None, format!("a checkpoint speaks for {last} records, and {seq} are there"));
        }
        Ok(commits)
    }

    fn agree(&mut self, verifier: &Verifier, checkpoints: Option<&Vec<&Checkpoint>>) {
        for checkpoint in checkpoints.into_iter().flatten() {
            let same = verifier.tree.root() == checkpoint.root
                && verifier.head.hash == checkpoint.head
                && verifier.tree == checkpoint.frontier;
            if !same {
                let what = format!("the first {} records are not those that were signed for", checkpoint.size);
                self.wrong("log", Some(checkpoint.size), what);
            }
        }
    }

    /// Each payload has to be what some record committed to. One that no record speaks of was left by a killed process.
    fn payloads(&mut self, commits: &BTreeSet<Digest>) {
        let mut kept = BTreeSet::new();
        for (_, path) in payloads::days(self.dir) {
            let name = format!("payloads/{}", path.file_name().unwrap_or_default().to_string_lossy());
            let Ok(text) = fs::read_to_string(&path) else {
                self.wrong(&name, None, "it cannot be read as text");
                continue;
            };
            let torn = !text.is_empty() && !text.ends_with('\n');
            let count = text.lines().count() as u64;
            for (line, text) in (1u64..).zip(text.lines()) {
                match Payload::read(text) {
                    Some((commit, payload)) if payload.is_committed(&commit) => {
                        if commits.contains(&commit) {
                            kept.insert(commit);
                        }
                    }
                    // A process that was killed left a part of a line.
                    None if torn && line == count => {}
                    _ => self.wrong(&name, Some(line), "it is not what a record committed to"),
                }
            }
        }
        self.found.kept = kept.len() as u64;
        self.found.erased = commits.len() as u64 - self.found.kept;
    }

    fn set_aside(&mut self) {
        let Ok(entries) = fs::read_dir(self.dir) else { return };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|name| name.starts_with("damaged-")).collect();
        names.sort();
        for name in names {
            self.wrong(&name, None, "an earlier log was damaged and set aside: look at it, then move it away");
        }
    }
}

/// Whether it is the beginning of a record, as a killed process leaves it.
fn is_torn(text: &[u8]) -> bool {
    let start = b"{\"seq\":";
    let begins = start.starts_with(&text[..text.len().min(start.len())]);
    begins && !text[..text.len().saturating_sub(1)].contains(&b'}')
}

/// Lines with their numbers; `Err` for a last one without its end.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (u64, std::result::Result<&[u8], &[u8]>)> {
    (1u64..).zip(bytes.split_inclusive(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\n").ok_or(line)))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("read", path)(error)),
    }
}
