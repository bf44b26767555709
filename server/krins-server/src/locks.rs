//! Locks on files: leases that tell others "somebody is at this". With a remote backend everybody who shares its project
//! and tenant sees them; without one they are kept in the state directory, for the agents and terminals of one machine.
//! They are advice: nothing that Krins does waits for one.

use crate::setup::Setup;
use krins_backend::http::Http;
use krins_backend::keys::Keys;
use krins_backend::remote::{Remote, RemoteConfig};
use krins_backend::store::{LockRow, Locking, NewLock, Sqlite, Store, StoreError};
use krins_core::{Digest, RelPath};
use krins_engine::state::StateDir;
use krins_engine::workspace::Root;
use krins_engine::{Error, ErrorKind};
use krins_protocol::http::{Lock, LockRequest};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a lock holds that nobody renews.
pub const DEFAULT_TTL: Duration = Duration::from_secs(3600);
/// Locks of one root without a remote backend.
const MOST: usize = 10_000;
const DOCUMENTS: &str = "locks";

/// The locks of one root, as one holder sees them.
pub struct Locker {
    place: Place,
    holder: String,
    token: String,
}

enum Place {
    Here(Arc<dyn Store>),
    There { remote: Remote, project: String },
}

impl Locker {
    /// `holder` is what others are told; without one the person and the machine. `editor` are the editor's settings.
    pub fn open(setup: &Setup, root: &Root, editor: Option<&Value>, holder: Option<&str>) -> Result<Self, Error> {
        let state = setup.state_of(root)?;
        let settings = setup.settings(Some((root, &state)), editor)?;
        let holder = holder.map_or_else(person, str::to_owned);
        let token = Digest::of(format!("{}\n{holder}", secret(&state)?)).to_string();
        let place = match settings.remote {
            Some(url) => {
                let config = RemoteConfig { url, builtin: false, provider: None };
                let remote = Remote::new(config, Http::new(settings.http.clone()), Keys::default())?;
                Place::There { remote, project: project_of(root.path()) }
            }
            None => {
                let file = state.subdir(DOCUMENTS)?.join("locks.sqlite");
                Place::Here(Sqlite::open_beside(&file).map_err(|error| unusable(&error))?.into())
            }
        };
        Ok(Self { place, holder, token })
    }

    /// Takes the lock, or renews the holder's own. `LockHeld` names who else has it.
    pub async fn lock(&self, path: &RelPath, ttl: Duration) -> Result<Lock, Error> {
        let path = path.to_string();
        match &self.place {
            Place::There { remote, project } => {
                let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
                let request = LockRequest { holder: self.holder.clone(), token: self.token.clone(), ttl_ms };
                Ok(remote.lock(project, &path, &request).await?)
            }
            Place::Here(store) => {
                let lock = NewLock {
                    tenant: String::new(),
                    project: String::new(),
                    path: path.clone(),
                    holder: self.holder.clone(),
                    token: self.token.clone(),
                    ttl,
                };
                match store.lock(lock, MOST).await.map_err(|error| unusable(&error))? {
                    Locking::Held(row) => Ok(shown(row)),
                    Locking::Refused(row) => {
                        let seconds = row.left.as_secs() + 1;
                        let why = format!("lock {path}: {} holds it for {seconds} s more", row.holder);
                        Err(Error::new(ErrorKind::LockHeld, why))
                    }
                    Locking::TooMany => {
                        Err(Error::new(ErrorKind::Overloaded, format!("lock {path}: there are {MOST} locks")))
                    }
                }
            }
        }
    }

    /// Gives the holder's lock back; by force whoever has it.
    pub async fn unlock(&self, path: &RelPath, force: bool) -> Result<(), Error> {
        let path = path.to_string();
        let token = (!force).then_some(self.token.as_str());
        match &self.place {
            Place::There { remote, project } => Ok(remote.unlock(project, &path, token).await?),
            Place::Here(store) => match store.unlock("", "", &path, token).await.map_err(|error| unusable(&error))? {
                true => Ok(()),
                false => {
                    let why = format!("unlock {path}: {} does not hold a lock on it", self.holder);
                    Err(Error::new(ErrorKind::Conflict, why).hint("`krins locks` shows who does"))
                }
            },
        }
    }

    /// By path.
    pub async fn list(&self) -> Result<Vec<Lock>, Error> {
        match &self.place {
            Place::There { remote, project } => Ok(remote.locks(project).await?),
            Place::Here(store) => {
                let rows = store.locks("", "").await.map_err(|error| unusable(&error))?;
                Ok(rows.into_iter().map(shown).collect())
            }
        }
    }

    pub fn holder(&self) -> &str {
        &self.holder
    }
}

fn shown(row: LockRow) -> Lock {
    let left_ms = u64::try_from(row.left.as_millis()).unwrap_or(u64::MAX);
    Lock { path: row.path, holder: row.holder, fence: row.fence, left_ms }
}

fn unusable(error: &StoreError) -> Error {
    Error::new(ErrorKind::Internal, format!("use the locks: {error}"))
}

/// What proves that a lock is this state directory's: made once, and never shown.
fn secret(state: &StateDir) -> Result<String, Error> {
    if let Some(known) = state.document::<String>(DOCUMENTS, "secret") {
        return Ok(known);
    }
    let fresh = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    state.put_document(DOCUMENTS, "secret", &fresh)?;
    // Two that came at the same time agree on the one that is there.
    Ok(state.document(DOCUMENTS, "secret").unwrap_or(fresh))
}

fn person() -> String {
    let name = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "somebody".into());
    let host = rustix::system::uname();
    format!("{name}@{}", host.nodename().to_string_lossy()).chars().take(128).collect()
}

/// The same on every machine that has a clone: made from where the repository comes from, else from the root's name.
fn project_of(root: &Path) -> String {
    let name = root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let origin = std::fs::read_to_string(root.join(".git/config")).ok().and_then(|text| origin_of(&text));
    match origin {
        Some(origin) => Digest::of(origin).to_string().chars().take(32).collect(),
        None => format!("name-{}", Digest::of(name).to_string().chars().take(16).collect::<String>()),
    }
}

/// `host/path` of the remote `origin`, however it is reached.
fn origin_of(config: &str) -> Option<String> {
    let mut inside = false;
    let mut url = None;
    for line in config.lines().map(str::trim) {
        match line.strip_prefix('[') {
            Some(section) => {
                inside = section.trim_end_matches(']').replace(char::is_whitespace, "") == "remote\"origin\""
            }
            None if inside => {
                let value = line.split_once('=').filter(|(key, _)| key.trim() == "url").map(|(_, value)| value.trim());
                url = value.or(url);
            }
            None => {}
        }
    }
    let url = url?;
    let (rest, apart) = match url.split_once("://") {
        Some((_, rest)) => (rest, '/'),
        None => (url, ':'),
    };
    let (authority, path) = rest.split_once(apart)?;
    let host = authority.rsplit('@').next()?.split(':').next()?.to_ascii_lowercase();
    let path = path.trim_matches('/').trim_end_matches(".git");
    (!host.is_empty() && !path.is_empty()).then(|| format!("{host}/{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_the_same_however_its_origin_is_written() {
        for url in [
            "https://github.com/krins-dev/krins.git",
            "https://me:secret@GitHub.com/krins-dev/krins",
            "ssh://git@github.com:22/krins-dev/krins.git",
            "git@github.com:krins-dev/krins.git",
        ] {
            let config = format!(
                "[core]\n\turl = no\n[remote \"origin\"]\n\turl = {url}\n\tfetch = x\n[remote \"up\"]\n\turl = z\n"
            );
            assert_eq!(origin_of(&config).as_deref(), Some("github.com/krins-dev/krins"), "{url}");
        }
        for none in ["", "[remote \"up\"]\nurl = https://a/b\n", "[remote \"origin\"]\nurl = ../here\n"] {
            assert_eq!(origin_of(none), None, "{none}");
        }
    }
}
