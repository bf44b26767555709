//! Programs of another Debian suite, unpacked beside the host: an editor of yesterday and one of tomorrow, for the same test.
//!
//! Nothing of the host is changed and no root is needed: apt gets a state of its own, the packages are unpacked, and each program is
//! pointed at the C library that came along. The archive is the one that the system uses. They are kept beside the build
//! (`target/krins-suites/<suite>`) and fetched once, also by tests that run at the same time.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{debian, kept};

/// What every suite is asked for.
const PACKAGES: &[&str] = &["neovim", "hx", "emacs-nox", "kakoune"];
/// How much of apt's words a reason shows.
const SHOWN: usize = 600;

/// A program of a suite, or why it cannot be had here.
///
/// # Errors
/// A sentence for whoever reads that a test was skipped.
pub fn program(suite: &str, name: &str) -> Result<PathBuf, String> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err("the packages are those of Linux on x86-64".to_owned());
    }
    let store = kept::store("krins-suites");
    let root = store.join(suite);
    let program = root.join("usr/bin").join(name);
    let _lock = kept::lock(&store);
    if !program.is_file() {
        install(suite, &store, &root)?;
    }
    if program.is_file() { Ok(program) } else { Err(format!("no package of {PACKAGES:?} in {suite} has {name}")) }
}

/// Into a directory beside, then renamed: what is there is whole.
fn install(suite: &str, store: &Path, root: &Path) -> Result<(), String> {
    for tool in ["patchelf", "apt-get"] {
        if !debian::runs(tool) {
            debian::install(&[tool]);
        }
        if !debian::runs(tool) {
            return Err(format!("it takes {tool}, which could not be installed here"));
        }
    }
    let archive = archive().ok_or("the system's own package sources name no Debian archive")?;
    let temporary = tempfile::Builder::new()
        .prefix("installing-")
        .tempdir_in(store)
        .map_err(|error| format!("failed to make a directory: {error}"))?;
    fetch(suite, &archive, temporary.path())?;
    // The C library is named by its final path.
    relocate(temporary.path(), root).map_err(|error| format!("failed to relocate what was unpacked: {error}"))?;
    if root.exists() {
        fs::remove_dir_all(root).map_err(|error| format!("failed to remove {}: {error}", root.display()))?;
    }
    fs::rename(temporary.keep(), root).map_err(|error| format!("failed to keep {}: {error}", root.display()))
}

/// The archive that this system's packages come from.
fn archive() -> Option<String> {
    let files = ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"];
    let texts = files.iter().filter_map(|file| fs::read_to_string(file).ok());
    let lines: Vec<String> = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let words =
        lines.iter().filter(|line| !line.trim_start().starts_with('#')).flat_map(|line| line.split_whitespace());
    let debian = |word: &&str| word.contains("://") && word.trim_end_matches('/').ends_with("/debian");
    words.into_iter().find(debian).map(str::to_owned)
}

fn fetch(suite: &str, archive: &str, into: &Path) -> Result<(), String> {
    let apt = into.join(".apt");
    let made = ["lists/partial", "cache/archives/partial", "empty"]
        .iter()
        .try_for_each(|part| fs::create_dir_all(apt.join(part)))
        .and_then(|()| fs::write(apt.join("status"), ""))
        .and_then(|()| {
            let source =
                format!("deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {archive} {suite} main\n");
            fs::write(apt.join("sources.list"), source)
        });
    made.map_err(|error| format!("failed to write apt's state: {error}"))?;
    let get = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        for (key, value) in [
            ("Dir::Etc::sourcelist", apt.join("sources.list")),
            ("Dir::Etc::sourceparts", apt.join("empty")),
            ("Dir::State::lists", apt.join("lists")),
            ("Dir::Cache", apt.join("cache")),
            ("Dir::State::status", apt.join("status")),
        ] {
            command.arg("-o").arg(format!("{key}={}", value.display()));
        }
        // What is downloaded belongs to whoever asked, also when that is root.
        command.args(["-qq", "-y", "-o", "APT::Install-Recommends=false", "-o", "APT::Sandbox::User=root"]);
        said(command.args(arguments))
    };
    get(&["update"])?;
    get(&[&["--download-only", "install"], PACKAGES].concat())?;
    let archives = fs::read_dir(apt.join("cache/archives")).map_err(|error| error.to_string())?;
    for package in
        archives.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|it| it == "deb"))
    {
        said(Command::new("dpkg").arg("-x").arg(package).arg(into))?;
    }
    fs::remove_dir_all(apt).map_err(|error| error.to_string())
}

/// Runs a command; an error is what it said.
fn said(command: &mut Command) -> Result<(), String> {
    command.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(words.chars().take(SHOWN).collect())
}

/// Points every program at the C library and the libraries that came along. Not by `LD_LIBRARY_PATH`: what it starts uses the host's.
fn relocate(unpacked: &Path, root: &Path) -> io::Result<()> {
    let loader = root.join("usr/lib64/ld-linux-x86-64.so.2");
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    for directory in ["usr/bin", "usr/lib"] {
        let Ok(entries) = fs::read_dir(unpacked.join(directory)) else { continue };
        for path in entries
            .flatten()
            .map(|entry| entry.path())
            .flat_map(|path| if path.is_dir() { inside(&path) } else { vec![path] })
        {
            if is_program(&path)? {
                // A static program has nothing to be pointed at, and says so.
                let _ = Command::new("patchelf")
                    .arg("--set-interpreter")
                    .arg(&loader)
                    .args(["--force-rpath", "--set-rpath"])
                    .arg(&libraries)
                    .arg(&path)
                    .stderr(Stdio::null())
                    .status()?;
            }
        }
    }
    Ok(())
}

fn inside(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).map(|entries| entries.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
}

fn is_program(path: &Path) -> io::Result<bool> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(false) };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if !metadata.is_file() || metadata.permissions().mode() & 0o100 == 0 || name.contains(".so") {
        return Ok(false);
    }
    Ok(fs::read(path)?.starts_with(b"\x7fELF"))
}
