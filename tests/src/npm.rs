//! Pinned npm packages that ship their TypeScript sources, and the TypeScript compiler: real code that none of us wrote.
//!
//! They are kept beside the build (`target/krins-npm/<name>@<version>`) and installed once, also by tests that run at the same
//! time. Where they come from is npm's own configuration. A missing npm is installed when that is allowed; a registry that
//! cannot be reached fails the test, since a test that quietly skips proves nothing.

use crate::kept;
use crate::workspace::Workspace;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// The compiler that the real packages are checked with.
pub const TYPESCRIPT: &str = "5.9.3";
/// Between two tries of an install.
const PAUSE: Duration = Duration::from_secs(3);
/// How much of npm's words a failure shows.
const SHOWN: usize = 2000;

/// The directory of an unpacked package, its dependencies beside it.
///
/// # Panics
/// When it cannot be installed; the message says what to do.
pub fn package(name: &str, version: &str) -> PathBuf {
    kept(name, version, &["--omit=optional"])
}

/// The same with what is optional: programs that are built for this machine come that way.
///
/// # Panics
/// As [`package`].
pub fn whole_package(name: &str, version: &str) -> PathBuf {
    kept(name, version, &[])
}

fn kept(name: &str, version: &str, omit: &[&str]) -> PathBuf {
    let whole = if omit.is_empty() { "-whole" } else { "" };
    let kept = store().join(format!("{}@{version}{whole}", name.replace('/', "+")));
    let package = kept.join("node_modules").join(name);
    if package.is_dir() {
        return package;
    }
    let _lock = lock();
    if !package.is_dir() {
        install(name, version, omit, &kept);
    }
    assert!(package.is_dir(), "npm said that {name}@{version} is installed, and {} is not there", package.display());
    package
}

/// Puts a package's sources, and what says how they are resolved, into a workspace, without what was built from them.
///
/// # Panics
/// As [`package`].
pub fn sources(name: &str, version: &str, workspace: &Workspace) {
    let package = package(name, version);
    copy(&package.join("src"), workspace, "src")
        .unwrap_or_else(|error| panic!("failed to copy the sources of {name}: {error}"));
    for file in ["package.json", "tsconfig.json"] {
        if let Ok(text) = fs::read(package.join(file)) {
            workspace.write(file, text);
        }
    }
}

fn copy(from: &Path, workspace: &Workspace, to: &str) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = format!("{to}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), workspace, &to)?;
        } else {
            workspace.write(&to, fs::read(entry.path())?);
        }
    }
    Ok(())
}

/// The directory of the `typescript` package.
///
/// # Panics
/// As [`package`].
pub fn typescript() -> PathBuf {
    package("typescript", TYPESCRIPT)
}

/// A command that runs `node`.
///
/// # Panics
/// When it is missing and cannot be installed.
pub fn node() -> Command {
    if !runs("node") {
        let _lock = lock();
        install_npm();
    }
    Command::new("node")
}

/// A command that runs `npm`.
///
/// # Panics
/// When it is missing and cannot be installed.
pub fn command() -> Command {
    if !runs(npm()) {
        let _lock = lock();
        install_npm();
    }
    Command::new(npm())
}

/// Into a directory beside, then renamed: what is there is whole.
fn install(name: &str, version: &str, omit: &[&str], kept: &Path) {
    install_npm();
    let temporary =
        tempfile::Builder::new().prefix("installing-").tempdir_in(store()).expect("the build directory is ours");
    let spec = format!("{name}@{version}");
    let mut said = String::new();
    for attempt in 0..2 {
        if attempt > 0 {
            thread::sleep(PAUSE);
        }
        match npm_install(&spec, omit, temporary.path()) {
            Ok(()) => {
                fs::rename(temporary.keep(), kept).unwrap_or_else(|error| panic!("failed to keep {spec}: {error}"));
                return;
            }
            Err(words) => said = words,
        }
    }
    panic!(
        "failed to install {spec}: the tests over real packages need a registry that npm can reach (`npm config get registry` \
         says which one it asks). npm says:\n{said}"
    );
}

fn npm_install(spec: &str, omit: &[&str], into: &Path) -> Result<(), String> {
    let output = Command::new(npm())
        .args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev", "--omit=peer"])
        .args(omit)
        .args(["--loglevel=error", "--prefix"])
        .args([into.as_os_str(), spec.as_ref()])
        .current_dir(into)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    Err(words.chars().take(SHOWN).collect())
}

/// Installs node and npm by the system's package manager when they are missing.
fn install_npm() {
    if runs("node") && runs(npm()) {
        return;
    }
    let allowed = cfg!(target_os = "linux") && runs("apt-get");
    for arguments in [["update", "-qq"].as_slice(), ["install", "-y", "-qq", "nodejs", "npm"].as_slice()] {
        if allowed {
            // Without the right to install it fails, and what is missing is said below.
            let _ = Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive").output();
        }
    }
    assert!(
        runs("node") && runs(npm()),
        "the tests over real packages need node and npm, and they could not be installed here: install them \
         (`apt-get install nodejs npm` as root, or from your system's packages) and run the tests again"
    );
}

fn npm() -> &'static str {
    if cfg!(windows) { "npm.cmd" } else { "npm" }
}

fn runs(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn store() -> PathBuf {
    kept::store("krins-npm")
}

fn lock() -> File {
    kept::lock(&store())
}
