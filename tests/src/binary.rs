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

/// Newer than every file it was made from, by cargo's own list beside it.
fn is_current(binary: &Path) -> bool {
    let (Some(built), Ok(list)) = (modified(binary), fs::read_to_string(binary.with_extension("d"))) else {
        return false;
    };
    let Some((_, sources)) = list.split_once(": ") else { return false };
    // A space in a path is escaped; then the whole list is not worth trusting.
    !list.contains('\\')
        && sources.split_whitespace().all(|source| modified(Path::new(source)).is_some_and(|time| time <= built))
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
