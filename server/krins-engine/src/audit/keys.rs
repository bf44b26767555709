//! The keys that sign checkpoints. The secret one is readable by its owner only, and is never shown.

use super::{AuditError, Result, append_file, io_error, random, replace as replace_file};
use krins_core::Digest;
use krins_core::audit::note::{PublicKey, SecretKey};
use std::fs;
use std::io;
use std::path::Path;

/// A signing key and what it is made from.
pub(super) struct Key {
    name: String,
    seed: [u8; 32],
    secret: SecretKey,
}

impl Key {
    fn of(name: &str, seed: [u8; 32]) -> Option<Self> {
        Some(Self { name: name.to_owned(), seed, secret: SecretKey::of(name, &seed)? })
    }

    pub fn secret(&self) -> &SecretKey {
        &self.secret
    }

    pub fn public(&self) -> PublicKey {
        self.secret.public()
    }

    /// `name hex`.
    fn text(&self) -> String {
        format!("{} {}\n", self.name, Digest::from_bytes(self.seed))
    }
}

pub(super) fn make(name: &str) -> Result<Key> {
    let seed = random(32)?.try_into().unwrap_or([0; 32]);
    Key::of(name, seed).ok_or_else(|| AuditError::Key(name.into()))
}

/// The key, and whether it was made now.
pub(super) fn load_or_make(dir: &Path, name: &str) -> Result<(Key, bool)> {
    let path = dir.join("key");
    match fs::read_to_string(&path) {
        Ok(text) => {
            let parts = text.trim_end().split_once(' ');
            let key = parts.and_then(|(name, hex)| Key::of(name, *hex.parse::<Digest>().ok()?.as_bytes()));
            Ok((key.ok_or(AuditError::Key(path))?, false))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = make(name)?;
            replace_file(&path, key.text().as_bytes())?;
            Ok((key, true))
        }
        Err(error) => Err(io_error("read", &path)(error)),
    }
}

/// Writes the public half down, if it is not: a checkpoint must not be signed by a stranger.
pub(super) fn announce(dir: &Path, key: &Key) -> Result<()> {
    if public(dir)?.contains(&Some(key.public())) {
        return Ok(());
    }
    append_file(&dir.join("keys"), format!("{}\n", key.public()).as_bytes())
}

/// Puts a new key beside the one of now; it takes its place once the change is signed for.
pub(super) fn prepare(dir: &Path, next: &Key) -> Result<()> {
    replace_file(&dir.join("key.next"), next.text().as_bytes())?;
    announce(dir, next)
}

/// Ends a change of keys: the new one counts when the last checkpoint goes over to it.
pub(super) fn settle(dir: &Path, rotated: Option<&PublicKey>) -> Result<()> {
    let path = dir.join("key.next");
    let Ok(text) = fs::read_to_string(&path) else { return Ok(()) };
    let next =
        text.trim_end().split_once(' ').and_then(|(name, hex)| Key::of(name, *hex.parse::<Digest>().ok()?.as_bytes()));
    if next.is_some_and(|next| rotated == Some(&next.public())) {
        fs::rename(&path, dir.join("key")).map_err(io_error("rename", &path))?;
    } else {
        fs::remove_file(&path).map_err(io_error("remove", &path))?;
    }
    super::sync_dir(dir)
}

/// The verifier keys, the first one first; `None` in place of a line that is none.
pub(super) fn public(dir: &Path) -> Result<Vec<Option<PublicKey>>> {
    let path = dir.join("keys");
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.lines().map(|line| line.parse().ok()).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(io_error("read", &path)(error)),
    }
}
