//! Signed approvals: made and checked by stock `ssh-keygen -Y` in the namespace `krins-approval`, offline.
//!
//! Who may sign as whom stands in an `allowed_signers` file beside the person's settings, else in `.krins/allowed_signers`
//! of the workspace, which no patch can touch. Approvals lie in the state directory, or travel with the workspace as
//! `.krins/approvals/<sha256 of the patch>.json`. A signature is checked each time it counts.

use super::rulebook::today;
use crate::error::{Error, ErrorKind, Result};
use crate::settings::Settings;
use crate::state::StateDir;
use crate::workspace::Root;
use krins_core::gate::{Approvals, Approved, Day, Document, NotCounted, Policy, Wanted};
use krins_core::patch::Patch;
use krins_core::{Digest, RelPath, Tree as _};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a signature is for; one for another purpose is none.
pub const NAMESPACE: &str = "krins-approval";

const SIGNERS: &str = "allowed_signers";
const TEAMS: &str = "teams.toml";
/// More approvals of one patch are not looked at, nor longer ones.
const MOST: usize = 64;
const LONGEST: usize = 64 << 10;
/// A check that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// An approval and its signature, as they are kept and passed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// The canonical document, byte by byte what was signed.
    pub document: String,
    /// The armoured SSH signature.
    pub signature: String,
}

/// One approval, looked at.
#[derive(Clone, Debug)]
pub struct Checked {
    /// `None` when the document cannot be read.
    pub document: Option<Document>,
    /// Why it does not count.
    pub refused: Option<String>,
}

/// Who approved the patch.
pub(super) fn of(patch: &Patch, policy: &Policy, root: &Root, state: &StateDir, settings: &Settings) -> Approvals {
    let mut approvals = Approvals::default();
    let found = stored(&patch.digest(), root, state);
    if found.is_empty() {
        return approvals;
    }
    approvals.teams = teams(root, settings);
    for checked in check(&found, patch, policy, root, settings) {
        let owner = checked.document.map_or_else(|| "an unreadable approval".to_owned(), |document| document.owner);
        match checked.refused {
            None => approvals.valid.push(Approved { owner }),
            Some(why) => approvals.refused.push((owner.chars().take(80).collect(), why)),
        }
    }
    approvals
}

/// Looks at each approval: what it says, and whose signature it has.
pub fn check(found: &[Signed], patch: &Patch, policy: &Policy, root: &Root, settings: &Settings) -> Vec<Checked> {
    let signers = signers(root, settings);
    let mut seen = BTreeSet::new();
    let mut checked = Vec::new();
    for signed in found.iter().take(MOST) {
        let document = match Document::read(&signed.document) {
            Ok(document) => document,
            Err(why) => {
                checked.push(Checked { document: None, refused: Some(why.to_string()) });
                continue;
            }
        };
        let wanted = Wanted { patch, policy, requester: settings.approvals.identity.as_deref(), today: today() };
        let refused = match document.counts(&wanted) {
            Err(why) => Some(why.to_string()),
            Ok(()) if !seen.insert(document.canonical()) => Some(NotCounted::Copy.to_string()),
            Ok(()) => match &signers {
                None => Some(format!("there is no {SIGNERS} file that says who may sign")),
                Some(signers) => verify(signed, &document.owner, signers).err(),
            },
        };
        checked.push(Checked { document: Some(document), refused });
    }
    checked
}

/// The approvals of a patch, from the state directory and from the workspace.
pub fn stored(patch: &Digest, root: &Root, state: &StateDir) -> Vec<Signed> {
    let mut found: Vec<Signed> = state.document("approvals", &patch.to_string()).unwrap_or_default();
    if let Ok(path) = RelPath::new(&format!(".krins/approvals/{patch}.json"))
        && let Some(text) = root.text(&path)
    {
        match serde_json::from_str::<Vec<Signed>>(&text) {
            Ok(shared) => found.extend(shared),
            Err(error) => tracing::warn!(%path, %error, "the approvals of the workspace cannot be read"),
        }
    }
    found.retain(|signed| signed.document.len() <= LONGEST && signed.signature.len() <= LONGEST);
    found.truncate(MOST);
    found
}

/// Keeps an approval in the state directory.
pub fn keep(signed: Signed, patch: &Digest, state: &StateDir) -> Result<()> {
    let name = patch.to_string();
    let mut kept: Vec<Signed> = state.document("approvals", &name).unwrap_or_default();
    if kept.contains(&signed) {
        return Ok(());
    }
    if kept.len() >= MOST {
        return Err(Error::new(ErrorKind::BadParams, format!("keep more than {MOST} approvals of one change")));
    }
    kept.push(signed);
    Ok(state.put_document("approvals", &name, &kept)?)
}

/// Has the owner's key sign the document; the agent is asked when the key is a public one.
pub fn sign(document: &Document, key: &Path) -> Result<Signed> {
    let failed =
        |why: String| Error::new(ErrorKind::AuthFailed, format!("sign the approval with {}: {why}", key.display()));
    if !key.exists() {
        return Err(failed("there is no such key".into()).hint("name it with --key, or approvals.key in the settings"));
    }
    let mut command = Command::new("ssh-keygen");
    command.args(["-Y", "sign", "-n", NAMESPACE, "-f"]).arg(key);
    let text = document.canonical();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()).hint("OpenSSH's ssh-keygen must be on the PATH"))?;
    if let Some(mut input) = child.stdin.take() {
        // A key that cannot be used ends the program before it reads: its own words are the better reason.
        let _ = input.write_all(text.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(said(&output.stderr)).hint("the key has to be readable, or known to the agent"));
    }
    let signature = String::from_utf8(output.stdout).map_err(|_| failed("the signature is not text".into()))?;
    Ok(Signed { document: text, signature })
}

/// Who may sign as whom: a file of the person's, or the text of the workspace's.
enum Signers {
    Own(PathBuf),
    Base(String),
}

fn signers(root: &Root, settings: &Settings) -> Option<Signers> {
    let named = settings.approvals.signers.clone();
    let own = named.clone().or_else(|| settings.user_dir.as_ref().map(|dir| dir.join(SIGNERS)));
    match own {
        Some(path) if path.exists() => Some(Signers::Own(path)),
        // A file that the person names and that is not there means nobody.
        _ if named.is_some() => None,
        _ => in_base(root, SIGNERS).map(Signers::Base),
    }
}

fn in_base(root: &Root, name: &str) -> Option<String> {
    let path = RelPath::new(&format!(".krins/{name}")).ok()?;
    root.text(&path).map(|text| text.to_string())
}

/// Who belongs to a team: `"@org/team" = ["@ann", "@bob"]`.
fn teams(root: &Root, settings: &Settings) -> BTreeMap<String, Vec<String>> {
    let own = settings.user_dir.as_ref().and_then(|dir| std::fs::read_to_string(dir.join(TEAMS)).ok());
    let Some(text) = own.or_else(|| in_base(root, TEAMS)) else { return BTreeMap::new() };
    toml::from_str(&text).unwrap_or_else(|error: toml::de::Error| {
        tracing::warn!(error = %error.message(), "the list of teams cannot be read: nobody belongs to any");
        BTreeMap::new()
    })
}

/// Whether the signature is the owner's, of exactly this text, for this purpose.
fn verify(signed: &Signed, owner: &str, signers: &Signers) -> Result<(), String> {
    let dir = tempfile::tempdir().map_err(|error| format!("the signature could not be checked: {error}"))?;
    let signature = dir.path().join("signature");
    let write = |path: &Path, text: &str| std::fs::write(path, text).map_err(|error| error.to_string());
    write(&signature, &signed.signature)?;
    let signers = match signers {
        Signers::Own(path) => path.clone(),
        Signers::Base(text) => {
            let path = dir.path().join(SIGNERS);
            write(&path, text)?;
            path
        }
    };
    let mut command = Command::new("ssh-keygen");
    command.args(["-Y", "verify", "-n", NAMESPACE, "-I", owner, "-f"]).arg(signers).arg("-s").arg(&signature);
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.current_dir(dir.path()).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("ssh-keygen could not be run: {error}"))?;
    if let Some(mut input) = child.stdin.take() {
        let _ = input.write_all(signed.document.as_bytes());
    }
    match wait(&mut child) {
        Some(true) => Ok(()),
        Some(false) => Err("the signature is not one of this owner for this document".to_owned()),
        None => Err("the signature was not checked in time".to_owned()),
    }
}

/// Whether it ended well; `None` when it did not end.
fn wait(child: &mut Child) -> Option<bool> {
    let started = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status.success()),
            Ok(None) if started.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(1)),
            Ok(None) | Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}

fn said(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it said nothing");
    line.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// Reads approvals from a file: one, or a list of them.
pub fn read(path: &Path) -> Result<Vec<Signed>> {
    let bad = |why: String| Error::new(ErrorKind::BadParams, format!("read {}: {why}", path.display()));
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| bad(error.to_string()))?;
    file.take((MOST * LONGEST) as u64).read_to_string(&mut text).map_err(|error| bad(error.to_string()))?;
    let many = serde_json::from_str::<Vec<Signed>>(&text);
    many.or_else(|_| serde_json::from_str(&text).map(|one| vec![one]))
        .map_err(|error| bad(format!("it holds no approval: {error}")))
}

/// A new approval of the patch, signed and kept.
pub fn approve(
    patch: &Patch,
    policy: &Policy,
    owner: &str,
    key: &Path,
    expires: Day,
    settings: &Settings,
    state: &StateDir,
) -> Result<Signed> {
    let nonce = uuid::Uuid::new_v4().simple().to_string();
    let requester = settings.approvals.identity.as_deref();
    let document = Document::of(patch, policy, owner, requester, expires, nonce);
    let signed = sign(&document, key)?;
    keep(signed.clone(), &patch.digest(), state)?;
    Ok(signed)
}
