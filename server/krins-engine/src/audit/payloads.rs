//! What records are about, kept apart from them, a file a day: what is erased here leaves the chain as it is.

use super::{AuditError, Result, append_file, io_error, replace, sync_dir};
use krins_core::Digest;
use krins_core::audit::{commitment, is_about};
use krins_core::gate::Day;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// One payload with its salt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Payload {
    salt: [u8; 32],
    pub body: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'l> {
    commit: Digest,
    salt: Digest,
    #[serde(borrow)]
    body: &'l RawValue,
}

impl Payload {
    pub fn line(commit: &Digest, salt: &[u8; 32], body: &str) -> String {
        format!("{{\"commit\":\"{commit}\",\"salt\":\"{}\",\"body\":{body}}}\n", Digest::from_bytes(*salt))
    }

    /// Reads a line in its one form.
    pub fn read(line: &str) -> Option<(Digest, Self)> {
        let Line { commit, salt, body } = serde_json::from_str(line).ok()?;
        let payload = Self { salt: *salt.as_bytes(), body: body.get().to_owned() };
        (Self::line(&commit, &payload.salt, &payload.body).trim_end_matches('\n') == line).then_some((commit, payload))
    }

    pub fn salt(&self) -> String {
        Digest::from_bytes(self.salt).to_string()
    }

    /// Whether it is what a record committed to.
    pub fn is_committed(&self, commit: &Digest) -> bool {
        commitment(&self.salt, self.body.as_bytes()) == *commit
    }

    /// Whether one of its values is this.
    pub fn is_about(&self, subject: &str) -> bool {
        is_about(&self.body, subject)
    }
}

fn dir(audit: &Path) -> PathBuf {
    audit.join("payloads")
}

/// The files of all days, the oldest first.
pub(super) fn days(audit: &Path) -> Vec<(Day, PathBuf)> {
    let Ok(entries) = fs::read_dir(dir(audit)) else { return Vec::new() };
    let day = |path: PathBuf| Some((path.file_name()?.to_str()?.strip_suffix(".jsonl")?.parse().ok()?, path));
    let mut days: Vec<(Day, PathBuf)> = entries.filter_map(|entry| day(entry.ok()?.path())).collect();
    days.sort();
    days
}

pub(super) fn append(audit: &Path, day: &str, lines: &str) -> Result<()> {
    let path = dir(audit).join(format!("{day}.jsonl"));
    let fresh = !path.exists();
    append_file(&path, lines.as_bytes())?;
    if fresh { sync_dir(&dir(audit)) } else { Ok(()) }
}

/// Everything that is there, by its commitment.
pub(super) fn all(audit: &Path) -> BTreeMap<Digest, Payload> {
    of(days(audit))
}

/// The same of that day and later ones.
pub(super) fn since(audit: &Path, first: Day) -> BTreeMap<Digest, Payload> {
    of(days(audit).into_iter().filter(|(day, _)| *day >= first).collect())
}

fn of(days: Vec<(Day, PathBuf)>) -> BTreeMap<Digest, Payload> {
    let texts = days.into_iter().filter_map(|(_, path)| fs::read_to_string(path).ok());
    texts.flat_map(|text| text.lines().filter_map(Payload::read).collect::<Vec<_>>()).collect()
}

/// Erases the payloads that are not to stay; lines that cannot be read go with them.
pub(super) fn retain(audit: &Path, stays: impl Fn(&Payload) -> bool) -> Result<usize> {
    let mut gone = 0;
    for (_, path) in days(audit) {
        let text = fs::read_to_string(&path).map_err(io_error("read", &path))?;
        let mut kept = String::new();
        for line in text.lines() {
            match Payload::read(line) {
                Some((_, payload)) if stays(&payload) => kept.push_str(&format!("{line}\n")),
                Some(_) => gone += 1,
                None => {}
            }
        }
        if kept != text {
            replace(&path, kept.as_bytes())?;
        }
    }
    Ok(gone)
}

/// Removes whole days before this one.
pub(super) fn expire(audit: &Path, oldest: Day) -> Result<usize, AuditError> {
    let mut gone = 0;
    for (_, path) in days(audit).into_iter().filter(|(day, _)| *day < oldest) {
        fs::remove_file(&path).map_err(io_error("remove", &path))?;
        gone += 1;
    }
    Ok(gone)
}
