//! The arguments of `bwrap`: a file system of what was allowed and nothing else, and no process, network or name of
//! outside.

use super::Spec;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Where bwrap is looked for: not on the path, which anything may have written to.
const PLACES: [&str; 2] = ["/usr/bin/bwrap", "/usr/local/bin/bwrap"];

/// `bwrap`, when it is there and can make namespaces. Tried once a process.
pub(crate) fn bwrap() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let found = PLACES.iter().map(Path::new).find(|path| path.is_file())?;
        works(found).then(|| found.to_owned())
    };
    FOUND.get_or_init(find).clone()
}

fn works(bwrap: &Path) -> bool {
    let mut command = Command::new(bwrap);
    command.args(UNSHARE).args([
        "--unshare-net",
        "--ro-bind",
        "/",
        "/",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "/bin/true",
    ]);
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

const UNSHARE: [&str; 8] = [
    "--unshare-user",
    "--unshare-ipc",
    "--unshare-pid",
    "--unshare-uts",
    "--unshare-cgroup-try",
    "--die-with-parent",
    "--new-session",
    "--disable-userns",
];

#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "namespaces are Linux's"))]
pub(super) fn arguments(spec: &Spec, own: &Path) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = UNSHARE.map(OsString::from).to_vec();
    if !spec.network {
        arguments.push("--unshare-net".into());
    }
    for words in [["--cap-drop", "ALL"], ["--proc", "/proc"], ["--dev", "/dev"]] {
        arguments.extend(words.map(OsString::from));
    }
    arguments.extend(["--bind".into(), spec.tmp.clone().into(), "/tmp".into()]);
    // Parents before what is in them, and what may be written over what may be read.
    let mut binds: BTreeMap<&Path, &str> = BTreeMap::new();
    binds.extend(spec.reads.iter().map(|path| (path.as_path(), "--ro-bind-try")));
    binds.insert(own, "--ro-bind");
    binds.extend(spec.writes.iter().chain([&spec.tmp]).map(|path| (path.as_path(), "--bind")));
    for (path, how) in binds {
        if ["/proc", "/dev"].iter().any(|made| path.starts_with(made)) || path == Path::new("/tmp") {
            continue;
        }
        arguments.extend([how.into(), path.into(), path.into()]);
    }
    arguments.extend(["--chdir".into(), spec.dir.clone().into(), "--".into()]);
    arguments
}
