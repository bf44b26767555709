//! Where the `krins` binary under test is, built when it is missing or older than its sources.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// The path of the binary: `KRINS_BIN`, else the one beside the running tests, brought up to date.
///
/// # Panics
/// When it cannot be built.
pub fn krins() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(find).clone()
}

fn find() -> PathBuf {
    if let Some(path) = std::env::var_os("KRINS_BIN") {
        return path.into();
    }
    // target/<profile>/deps/<test>
    let test = std::env::current_exe().expect("a running test has a path");
    let profile = test.ancestors().nth(2).expect("tests lie in target/<profile>/deps");
    let binary = profile.join(format!("krins{}", std::env::consts::EXE_SUFFIX));
    if !is_current(&binary) {
        build(profile);
    }
    binary
}

/// Newer than every file it can be made from. Cargo's own list is not beside a binary that was built for tests.
fn is_current(binary: &Path) -> bool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the repository");
    let sources = ["protocol/src", "server", "fixtures", "Cargo.lock"].map(|part| root.join(part));
    modified(binary).is_some_and(|built| sources.iter().all(|source| !is_newer(source, built)))
}

/// Whether the file, or any below the directory, was written after that time. Tests are no part of the binary.
fn is_newer(path: &Path, than: SystemTime) -> bool {
    let Ok(entries) = fs::read_dir(path) else { return modified(path).is_none_or(|time| time > than) };
    let skipped = |name: &std::ffi::OsStr| ["tests", "examples", "node_modules"].iter().any(|skip| name == *skip);
    entries.flatten().filter(|entry| !skipped(&entry.file_name())).any(|entry| is_newer(&entry.path(), than))
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

fn build(profile: &Path) {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "-p", "krins-server", "--bin", "krins", "--target-dir"]);
    cargo.arg(profile.parent().expect("target/<profile>")).current_dir(env!("CARGO_MANIFEST_DIR"));
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let output = cargo.output().expect("cargo runs");
    assert!(output.status.success(), "failed to build krins: {}", String::from_utf8_lossy(&output.stderr));
}
