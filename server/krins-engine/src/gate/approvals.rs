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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::ApprovalSettings;
    use krins_core::patch::Change;
    use std::sync::Arc;

    struct Scene {
        dir: tempfile::TempDir,
        root: Arc<Root>,
        state: StateDir,
        settings: Settings,
    }

    impl Scene {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            std::fs::create_dir_all(dir.path().join("root")).unwrap();
            let root = Arc::new(Root::open(&dir.path().join("root")).unwrap());
            let state = StateDir::open_at(&dir.path().join("state"), &root).unwrap();
            let mut signers = String::new();
            for name in ["ann", "bob", "eve", "git"] {
                let made = Command::new("ssh-keygen")
                    .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
                    .arg(dir.path().join(name))
                    .status()
                    .expect("ssh-keygen, of the package openssh-client");
                assert!(made.success());
                let public = std::fs::read_to_string(dir.path().join(format!("{name}.pub"))).unwrap();
                match name {
                    "git" => signers.push_str(&format!("@git namespaces=\"git\" {public}")),
                    "eve" => {}
                    name => signers.push_str(&format!("@{name} {public}")),
                }
            }
            let public = std::fs::read_to_string(dir.path().join("eve.pub")).unwrap();
            signers.push_str(&format!("@gone valid-before=\"20200101\" {public}"));
            std::fs::write(dir.path().join("signers"), signers).unwrap();
            let approvals = ApprovalSettings {
                identity: Some("@req".into()),
                key: None,
                signers: Some(dir.path().join("signers")),
            };
            Self { root, state, settings: Settings { approvals, ..Settings::default() }, dir }
        }

        fn key(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }
    }

    fn patch(path: &str, before: &str, after: &str) -> Patch {
        let (before, after) = (Some(before.as_bytes().into()), Some(after.as_bytes().into()));
        let path = RelPath::new(path).unwrap();
        Patch::between(vec![Change { path, from: None, before, after, executable: false }])
    }

    fn signed_as(document: &Document, key: &Path, namespace: &str) -> Signed {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("document");
        std::fs::write(&file, document.canonical()).unwrap();
        let mut sign = Command::new("ssh-keygen");
        sign.args(["-q", "-Y", "sign", "-n", namespace, "-f"]).arg(key).arg(&file).stderr(Stdio::null());
        assert!(sign.status().unwrap().success());
        let signature = std::fs::read_to_string(dir.path().join("document.sig")).unwrap();
        Signed { document: document.canonical(), signature }
    }

    #[test]
    fn no_forgery_counts() {
        let scene = Scene::new();
        let (change, policy) = (patch("src/a.ts", "a\n", "b\n"), Policy::default());
        let day = |text: &str| text.parse::<Day>().unwrap();
        let document =
            |owner: &str| Document::of(&change, &policy, owner, Some("@req"), day("2999-01-01"), "n1".into());
        let good = sign(&document("@ann"), &scene.key("ann")).unwrap();
        let refused = |signed: &Signed, settings: &Settings| {
            check(std::slice::from_ref(signed), &change, &policy, &scene.root, settings).remove(0).refused
        };
        assert_eq!(refused(&good, &scene.settings), None);
        let with = |owner: &str, key: &str, change: &dyn Fn(&mut Document)| {
            let mut document = document(owner);
            change(&mut document);
            signed_as(&document, &scene.key(key), NAMESPACE)
        };
        let text = |change: &dyn Fn(&str) -> String| Signed { document: change(&good.document), ..good.clone() };
        let signature = |change: &dyn Fn(&str) -> String| Signed { signature: change(&good.signature), ..good.clone() };
        let other = patch("src/a.ts", "a\n", "c\n");
        let base = patch("src/a.ts", "x\n", "b\n");
        let stricter = Policy { protected: Vec::new(), ..Policy::default() };
        let mut forgeries: Vec<(String, Signed)> = vec![
            ("another patch".into(), with("@ann", "ann", &|of| of.patch = other.digest())),
            ("another base".into(), with("@ann", "ann", &|of| of.base = krins_core::gate::base_digest(&base))),
            ("another policy".into(), with("@ann", "ann", &|of| of.policy = stricter.digest())),
            ("fewer paths".into(), with("@ann", "ann", &|of| of.paths.clear())),
            ("more paths".into(), with("@ann", "ann", &|of| of.paths.push(RelPath::new("CODEOWNERS").unwrap()))),
            ("other paths".into(), with("@ann", "ann", &|of| of.paths = vec![RelPath::new("src/b.ts").unwrap()])),
            ("expired".into(), with("@ann", "ann", &|of| of.expires = day("2020-01-01"))),
            ("another version".into(), with("@ann", "ann", &|of| of.version = 0)),
            ("the requester".into(), with("@req", "ann", &|_| ())),
            ("the requester in capitals".into(), with("@REQ", "ann", &|_| ())),
            ("one who asked for it".into(), with("@ann", "ann", &|of| of.requester = Some("@ann".into()))),
            ("nobody's key".into(), with("@ann", "eve", &|_| ())),
            ("another owner's key".into(), with("@ann", "bob", &|_| ())),
            ("another owner's name".into(), with("@bob", "ann", &|_| ())),
            ("a stranger".into(), with("@eve", "eve", &|_| ())),
            ("a key past its time".into(), with("@gone", "eve", &|_| ())),
            ("a key for another purpose".into(), with("@git", "git", &|_| ())),
            ("everybody".into(), with("@*", "ann", &|_| ())),
            ("a list of names".into(), with("@ann,@eve", "eve", &|_| ())),
            ("not this one".into(), with("!@ann", "eve", &|_| ())),
            ("an option as a name".into(), with("-f@x", "eve", &|_| ())),
            ("no name".into(), with("", "ann", &|_| ())),
            ("the namespace of git".into(), signed_as(&document("@ann"), &scene.key("ann"), "git")),
            ("the namespace of files".into(), signed_as(&document("@ann"), &scene.key("ann"), "file")),
            ("a longer namespace".into(), signed_as(&document("@ann"), &scene.key("ann"), "krins-approval2")),
            ("no signature".into(), signature(&|_| String::new())),
            ("a bare trailer".into(), signature(&|_| "Approved-by: @ann".into())),
            ("half a signature".into(), signature(&|of| of[..of.len() / 2].into())),
            (
                "the signature of another document".into(),
                Signed { signature: with("@ann", "ann", &|of| of.nonce = "n2".into()).signature, ..good.clone() },
            ),
            ("a later day".into(), text(&|of| of.replace("2999", "3999"))),
            ("another nonce".into(), text(&|of| of.replace("n1", "n2"))),
            ("a blank".into(), text(&|of| of.replacen(':', ": ", 1))),
            ("a blank at the end".into(), text(&|of| format!("{of}\n"))),
            ("a field twice".into(), text(&|of| of.replacen('{', "{\"version\":1,", 1))),
            ("one more field".into(), text(&|of| of.replacen('{', "{\"note\":1,", 1))),
            ("no document".into(), text(&|_| String::new())),
        ];
        for at in (0..good.document.len()).step_by(61) {
            let mut bytes = good.document.clone().into_bytes();
            bytes[at] ^= 1;
            let document = String::from_utf8_lossy(&bytes).into_owned();
            forgeries.push((format!("byte {at} of the document"), Signed { document, ..good.clone() }));
        }
        let counted: Vec<&String> = forgeries
            .iter()
            .filter(|(_, signed)| refused(signed, &scene.settings).is_none())
            .map(|(name, _)| name)
            .collect();
        assert_eq!(counted, Vec::<&String>::new());
        assert!(forgeries.len() >= 36);
        // The good one is worth nothing where its circumstances are others.
        let twice = check(&[good.clone(), good.clone()], &change, &policy, &scene.root, &scene.settings);
        assert!(twice[0].refused.is_none() && twice[1].refused.is_some());
        let settings = |approvals: ApprovalSettings| Settings { approvals, ..Settings::default() };
        let approvals = scene.settings.approvals.clone();
        for settings in [
            settings(ApprovalSettings { identity: None, ..approvals.clone() }),
            settings(ApprovalSettings { identity: Some("@ann".into()), ..approvals.clone() }),
            settings(ApprovalSettings { signers: Some("/nowhere".into()), ..approvals.clone() }),
            settings(ApprovalSettings { signers: None, ..approvals }),
        ] {
            assert!(refused(&good, &settings).is_some(), "{settings:?}");
        }
        let on = |change: &Patch| {
            check(std::slice::from_ref(&good), change, &policy, &scene.root, &scene.settings).remove(0).refused
        };
        assert!(on(&other).is_some() && on(&base).is_some());
        assert!(
            check(std::slice::from_ref(&good), &change, &stricter, &scene.root, &scene.settings)[0].refused.is_some()
        );
    }

    #[test]
    fn approvals_are_found_in_the_state_and_in_the_workspace() {
        let scene = Scene::new();
        let (change, policy) = (patch("src/a.ts", "a\n", "b\n"), Policy::default());
        let found = || of(&change, &policy, &scene.root, &scene.state, &scene.settings);
        assert_eq!(found(), Approvals::default());
        let day = "2999-01-01".parse().unwrap();
        approve(&change, &policy, "@ann", &scene.key("ann"), day, &scene.settings, &scene.state).unwrap();
        let document = Document::of(&change, &policy, "@bob", None, day, "n".into());
        let shared = vec![sign(&document, &scene.key("bob")).unwrap()];
        let place = scene.root.path().join(".krins/approvals");
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join(format!("{}.json", change.digest())), serde_json::to_string(&shared).unwrap())
            .unwrap();
        std::fs::write(scene.root.path().join(".krins/teams.toml"), "\"@org/team\" = [\"@bob\"]\n").unwrap();
        let approvals = found();
        assert_eq!(approvals.count(&["@ann".into(), "@org/team".into()]), 2, "{approvals:?}");
        assert!(sign(&document, Path::new("/nowhere")).is_err());
    }
}
