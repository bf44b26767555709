//! Programs that tests need from the system's packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Installs packages where that is possible; whether it was is for the caller to see.
pub fn install(packages: &[&str]) {
    if !cfg!(target_os = "linux") || !runs("apt-get") {
        return;
    }
    for arguments in [["update", "-qq"].as_slice(), ["install", "-y", "-qq", "--no-install-recommends"].as_slice()] {
        let mut command = Command::new("apt-get");
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
        if arguments[0] == "install" {
            command.args(packages);
        }
        let _ = command.output();
    }
}

/// A program of a package that is only unpacked, beside the build: `program` is its path in the package. `None` where that
/// cannot be done.
pub fn unpacked(package: &str, program: &str) -> Option<PathBuf> {
    // target/<profile>/deps/<test>
    let test = std::env::current_exe().ok()?;
    let store = test.ancestors().nth(3)?.join("krins-debian");
    let place = store.join(package);
    let found = place.join(program);
    if found.is_file() {
        return Some(found);
    }
    fs::create_dir_all(&store).ok()?;
    let lock = fs::File::create(store.join("lock")).ok()?;
    lock.lock().ok()?;
    if !found.is_file() {
        let fresh = tempfile::tempdir_in(&store).ok()?;
        download(package, fresh.path())?;
        let archive = fs::read_dir(fresh.path()).ok()?.flatten().map(|entry| entry.path());
        let archive = archive.into_iter().find(|path| path.extension().is_some_and(|end| end == "deb"))?;
        let contents = fresh.path().join("contents");
        let unpacked = Command::new("dpkg").arg("-x").arg(archive).arg(&contents).stdin(Stdio::null()).output().ok()?;
        // Renamed, so that what is there is whole.
        unpacked.status.success().then(|| fs::rename(&contents, &place).ok())??;
    }
    found.is_file().then_some(found)
}

fn download(package: &str, to: &Path) -> Option<()> {
    let get = || {
        let mut command = Command::new("apt-get");
        // Root's own downloads would be made by a user who may not write here.
        command.args(["-o", "APT::Sandbox::User=root", "download", package]).current_dir(to).stdin(Stdio::null());
        command.output().is_ok_and(|output| output.status.success())
    };
    let update = || Command::new("apt-get").args(["update", "-qq"]).stdin(Stdio::null()).output();
    (get() || update().is_ok() && get()).then_some(())
}

/// On standard error, where a test's skipping can be seen.
pub fn say(words: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{words}");
}

pub fn runs(program: &str) -> bool {
    runs_with(program, "--version")
}

/// The same for a program that names its version by another flag.
pub fn runs_with(program: &str, flag: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(flag).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
