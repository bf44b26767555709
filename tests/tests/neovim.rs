//! The journey in real Neovims: plain LSP in any since 0.7, the plugin in 0.10 and newer, the README's configuration in 0.11 and newer.
//!
//! Three of them: the system's (or the one that `NVIM` names), and those of two Debian suites. What cannot be had is skipped, and the
//! test says why. The Lua files print a line for each promise and end with a failure status when one is broken.

#![cfg(unix)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use krins_tests::{binary, debian, model, suite, workspace::Workspace};

const PATIENCE: Duration = Duration::from_secs(300);

/// Which Neovim.
#[derive(Clone, Copy, Debug)]
enum Neovim {
    System,
    Suite(&'static str),
}

/// The Debian release after the oldest that is looked after: 0.10.
const STABLE: Neovim = Neovim::Suite("trixie");
/// The next Debian: 0.12 and whatever comes.
const NEXT: Neovim = Neovim::Suite("forky");

#[test]
fn without_a_plugin_in_the_systems_neovim() {
    plain(Neovim::System);
}

#[test]
fn without_a_plugin_in_stable() {
    plain(STABLE);
}

#[test]
fn without_a_plugin_in_the_next() {
    plain(NEXT);
}

#[test]
fn with_the_plugin_in_the_systems_neovim() {
    plugin(Neovim::System);
}

#[test]
fn with_the_plugin_in_stable() {
    plugin(STABLE);
}

#[test]
fn with_the_plugin_in_the_next() {
    plugin(NEXT);
}

#[test]
fn with_the_five_lines_of_the_readme() {
    let Some(nvim) = found(NEXT, (0, 11)) else { return };
    let workspace = sample();
    let bin = workspace.home().join("bin");
    std::fs::create_dir(&bin).expect("the home is ours");
    std::os::unix::fs::symlink(binary::krins(), bin.join("krins")).expect("the home is ours");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    play(&nvim, &workspace, "five_lines.lua", &[], &[("PATH", &path)]);
}

fn plain(which: Neovim) {
    let Some(nvim) = found(which, (0, 7)) else { return };
    play(&nvim, &sample(), "plain.lua", &[], &[]);
    let slow = sample();
    let _silent = model::Silent::behind(&slow);
    play(&nvim, &slow, "plain.lua", &[], &[("SLOW", "1"), model::KEY]);
}

fn plugin(which: Neovim) {
    let Some(nvim) = found(which, (0, 10)) else { return };
    let rtp = format!("set rtp^={}", repository().join("editors/neovim").display());
    play(&nvim, &sample(), "journey.lua", &["--cmd", &rtp], &[]);
    play(&nvim, &sample(), "corners.lua", &["--cmd", &rtp], &[]);
    let slow = sample();
    let _silent = model::Silent::behind(&slow);
    play(&nvim, &slow, "cancel.lua", &["--cmd", &rtp], &[model::KEY]);
}

fn sample() -> Workspace {
    Workspace::copy_of(&repository().join("fixtures/todo-app"))
}

/// Runs a Lua file over a workspace and the real binary.
fn play(nvim: &Path, workspace: &Workspace, script: &str, arguments: &[&str], env: &[(&str, &str)]) {
    let file = repository().join("editors/neovim/test").join(script);
    let mut command = Command::new(nvim);
    command.args(["--headless", "-u", "NONE", "-i", "NONE", "-n"]).args(arguments);
    command.arg("-c").arg(format!("luafile {}", file.display()));
    command.env_clear().envs(workspace.env()).env("KRINS", binary::krins()).env("APP", workspace.root());
    command.envs(env.iter().copied()).current_dir(workspace.root());
    let (status, said) = krins_tests::command::ended(&mut command, PATIENCE);
    assert!(status.success() && said.contains("ok - "), "{script} in {} ended with {status}:\n{said}", nvim.display());
    assert!(!said.contains("not ok"), "{said}");
}

/// The program, when it can be had and is new enough.
fn found(which: Neovim, needed: (u32, u32)) -> Option<PathBuf> {
    let program = match which {
        Neovim::System => system(),
        Neovim::Suite(suite) => suite::program(suite, "nvim"),
    };
    let program = program.map_err(|why| debian::say(&format!("skipped: no Neovim ({which:?}): {why}"))).ok()?;
    let version = version(&program).unwrap_or_else(|| panic!("{} does not say its version", program.display()));
    if version < needed {
        let (major, minor) = version;
        debian::say(&format!("skipped: this needs Neovim {}.{}, and {which:?} is {major}.{minor}", needed.0, needed.1));
        return None;
    }
    Some(program)
}

fn system() -> Result<PathBuf, String> {
    let program = PathBuf::from(std::env::var_os("NVIM").unwrap_or_else(|| "nvim".into()));
    if version(&program).is_none() {
        debian::install(&["neovim"]);
    }
    version(&program).map(|_| program).ok_or_else(|| "there is none, and it could not be installed here".to_owned())
}

/// `NVIM v0.10.4` and the like.
fn version(program: &Path) -> Option<(u32, u32)> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut parts = text.strip_prefix("NVIM v")?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the repository")
}
