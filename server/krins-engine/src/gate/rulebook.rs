//! The policy as it stands at this moment: the built-in one, the person's file, the workspace's, and what was waived. Read
//! anew for each verdict, so that a long session does not judge by yesterday's word.

use super::approvals;
use super::policy_file::{POLICY_FILE, Said};
use crate::error::Error;
use crate::settings::{BadConfig, Ignored, Place, Problem, Settings};
use crate::state::StateDir;
use crate::workspace::Root;
use krins_core::gate::{Approvals, Day, Policy, Waiver};
use krins_core::patch::Patch;
use krins_core::{Digest, Entry, RelPath, Tree as _};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Where the policy is read from.
#[derive(Clone)]
pub struct Rulebook {
    source: Source,
}

#[derive(Clone)]
enum Source {
    Fixed(Box<Policy>),
    Files { root: Arc<Root>, state: StateDir, settings: Arc<Settings> },
}

/// The policy of this moment.
#[derive(Clone, Debug)]
pub struct Standing {
    pub policy: Policy,
    /// What an untrusted workspace file said in vain.
    pub ignored: Vec<Ignored>,
}

/// A waiver that was given on the command line or in an editor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredWaiver {
    #[serde(flatten)]
    pub waiver: Waiver,
    /// Milliseconds since the Unix epoch.
    pub given: u64,
}

/// A policy that is what it is: for tests, and for who has no workspace.
impl From<Policy> for Rulebook {
    fn from(policy: Policy) -> Self {
        Self { source: Source::Fixed(Box::new(policy)) }
    }
}

impl Rulebook {
    pub fn new(root: Arc<Root>, state: StateDir, settings: Arc<Settings>) -> Self {
        Self { source: Source::Files { root, state, settings } }
    }

    /// Reads it. A file that is there and cannot be read is an error, never a looser policy.
    pub fn standing(&self) -> Result<Standing, Error> {
        let (root, state, settings) = match &self.source {
            Source::Fixed(policy) => {
                return Ok(Standing { policy: (**policy).clone().on(today()), ignored: Vec::new() });
            }
            Source::Files { root, state, settings } => (root, state, settings),
        };
        let mut policy = settings.policy();
        policy.fingerprints = state.fingerprint_key()?;
        let mut ignored = Vec::new();
        if let Some((path, content)) = user_content(settings)? {
            let said = Said::read(&path.display().to_string(), &content).map_err(BadConfig)?;
            said.decide(&mut policy);
        }
        if let Some(content) = workspace_content(root)? {
            let path = root.path().join(POLICY_FILE);
            let said = Said::read(&path.display().to_string(), &content).map_err(BadConfig)?;
            if state.trust().holds(&path, &Digest::of(&content)) {
                said.decide(&mut policy);
            } else {
                let vain = said.tighten(&mut policy);
                ignored.extend(vain.into_iter().map(|(key, place)| Ignored { key, place }));
            }
        }
        policy.waivers.extend(self.waivers().into_iter().map(|stored| stored.waiver));
        Ok(Standing { policy: policy.on(today()), ignored })
    }

    /// What was waived on the command line, the oldest first.
    pub fn waivers(&self) -> Vec<StoredWaiver> {
        match &self.source {
            Source::Fixed(_) => Vec::new(),
            Source::Files { state, .. } => state.document("policy", "waivers").unwrap_or_default(),
        }
    }

    /// Who approved the patch, as far as the signatures and the policy say so.
    pub fn approvals(&self, patch: &Patch, policy: &Policy) -> Approvals {
        match &self.source {
            Source::Fixed(_) => Approvals::default(),
            Source::Files { root, state, settings } => approvals::of(patch, policy, root, state, settings),
        }
    }
}

/// The day in UTC.
pub(super) fn today() -> Day {
    Day::of_unix(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

fn user_content(settings: &Settings) -> Result<Option<(PathBuf, Vec<u8>)>, Error> {
    let Some(path) = settings.user_dir.as_ref().map(|dir| dir.join("policy.toml")) else { return Ok(None) };
    match crate::settings::read_bounded(&path) {
        Ok(content) => Ok(Some((path, content))),
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(unreadable(path.display().to_string(), error.to_string())),
    }
}

fn workspace_content(root: &Root) -> Result<Option<Arc<[u8]>>, Error> {
    let Ok(path) = RelPath::new(POLICY_FILE) else { return Ok(None) };
    match root.entry(&path) {
        Entry::Missing => Ok(None),
        Entry::File { bytes, .. } => Ok(Some(bytes)),
        Entry::Refused(why) => {
            Err(unreadable(root.path().join(POLICY_FILE).display().to_string(), format!("it is {why}")))
        }
    }
}

fn unreadable(name: String, what: String) -> Error {
    BadConfig(vec![Problem { place: Place { name, at: None }, what, hint: None }]).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use krins_core::gate::Level;

    #[test]
    fn a_workspace_decides_when_its_exact_content_is_trusted_and_is_read_anew() {
        let dir = tempfile::tempdir().unwrap();
        let (place, home) = (dir.path().join("root"), dir.path().join("home"));
        std::fs::create_dir_all(place.join(".krins")).unwrap();
        std::fs::create_dir_all(&home).unwrap();
        let root = Arc::new(Root::open(&place).unwrap());
        let state = StateDir::open_at(&dir.path().join("state"), &root).unwrap();
        let settings = Arc::new(Settings { user_dir: Some(home.clone()), ..Settings::default() });
        let rules = Rulebook::new(root.clone(), state.clone(), settings);
        let level =
            |rules: &Rulebook| rules.standing().unwrap().policy.level("honesty/any", &RelPath::new("a.ts").unwrap());
        assert_eq!(level(&rules), None);
        std::fs::write(home.join("policy.toml"), "[levels]\nhonesty = \"block\"\n").unwrap();
        assert_eq!(level(&rules), Some(Level::Block));
        let file = root.path().join(POLICY_FILE);
        let theirs = "[levels]\nhonesty = \"off\"\n";
        std::fs::write(&file, theirs).unwrap();
        assert_eq!((level(&rules), rules.standing().unwrap().ignored.len()), (Some(Level::Block), 1));
        state.trust().add(&file, &Digest::of(theirs)).unwrap();
        assert_eq!((level(&rules), rules.standing().unwrap().ignored.len()), (Some(Level::Off), 0));
        std::fs::write(&file, format!("{theirs}# more\n")).unwrap();
        assert_eq!(level(&rules), Some(Level::Block), "the name is not what is trusted");
        std::fs::write(&file, "[levels\n").unwrap();
        assert!(rules.standing().is_err());
        std::fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &file).unwrap();
        assert!(rules.standing().unwrap_err().message.contains("symbolic link"));
    }
}
