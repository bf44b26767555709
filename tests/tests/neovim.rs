//! The journey in a real Neovim: plain LSP in any since 0.7, the plugin in 0.10 and newer.
//!
//! `NVIM` names the program, else the one on `PATH`; a missing one is installed where that is allowed, and the tests say so
//! when it is not. The Lua files print a line for each promise and end with a failure status when one is broken.

#![expect(clippy::print_stdout, reason = "a test that is skipped says why")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use krins_tests::{binary, workspace::Workspace};

const PATIENCE: Duration = Duration::from_secs(120);
/// What the plugin asks for.
const PLUGIN_NEEDS: (u32, u32) = (0, 10);

#[test]
fn the_whole_journey_without_a_plugin() {
    let Some((nvim, _)) = nvim() else { return };
    play(nvim, "plain.lua", &[]);
}

#[test]
fn the_whole_journey_with_the_plugin() {
    let Some((nvim, version)) = nvim() else { return };
    if *version < PLUGIN_NEEDS {
        println!("skipped: the plugin needs Neovim 0.10, and {} is {}.{}", nvim.display(), version.0, version.1);
        return;
    }
    let plugin = format!("set rtp^={}", repository().join("editors/neovim").display());
    play(nvim, "journey.lua", &["--cmd", &plugin]);
}

/// Runs a Lua file over a copy of the sample and the real binary.
fn play(nvim: &Path, script: &str, arguments: &[&str]) {
    let workspace = Workspace::copy_of(&repository().join("fixtures/todo-app"));
    let file = repository().join("editors/neovim/test").join(script);
    let mut command = Command::new(nvim);
    command.args(["--headless", "-u", "NONE", "-i", "NONE", "-n"]).args(arguments);
    command.arg("-c").arg(format!("luafile {}", file.display()));
    command.env_clear().envs(workspace.env()).env("KRINS", binary::krins()).env("APP", workspace.root());
    let output = ended(command.current_dir(workspace.root()));
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("ok - "), "{script} ended with {}:\n{said}", output.status);
    assert!(!said.contains("not ok"), "{said}");
}

/// The program and its version, or nothing when it cannot be had here.
fn nvim() -> Option<&'static (PathBuf, (u32, u32))> {
    static FOUND: OnceLock<Option<(PathBuf, (u32, u32))>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let program = PathBuf::from(std::env::var_os("NVIM").unwrap_or_else(|| "nvim".into()));
        if version(&program).is_none() {
            install();
        }
        version(&program).map(|version| (program, version))
    });
    if found.is_none() {
        println!("skipped: there is no Neovim, and it could not be installed here");
    }
    found.as_ref()
}

/// `NVIM v0.10.4` and the like.
fn version(program: &Path) -> Option<(u32, u32)> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut parts = text.strip_prefix("NVIM v")?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Without the right to install it fails, which the caller sees by what is still missing.
fn install() {
    if cfg!(target_os = "linux") {
        for arguments in
            [["update", "-qq"].as_slice(), ["install", "-y", "-qq", "--no-install-recommends", "neovim"].as_slice()]
        {
            let _ = Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive").output();
        }
    }
}

/// What the program left; it is killed when it takes too long.
fn ended(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("Neovim was just asked for its version");
    let since = Instant::now();
    // What it prints fits into the pipes.
    while child.try_wait().expect("a child can be waited for").is_none() {
        if since.elapsed() > PATIENCE {
            child.kill().expect("the child is ours");
        }
        thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().expect("its pipes can be read")
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the repository")
}
