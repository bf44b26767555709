//! The VS Code extension without VS Code: a clean install from its lock file, its types, its own tests over the real program, its
//! bundle, and the types that are generated from what `krins schema` prints.
//!
//! The steps are the ones its README names. They run on a copy beside the build, so that the sources stay as they are.
//!
//! Then the packed extension in a real VS Code: inside its extension host, and in its window by keyboard; with `KRINS_TEST_FULL=1` by
//! every promise of the window. Both are skipped, and say so, where the editor cannot be installed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use krins_tests::{binary, command, debian, figures, npm, workspace::Workspace};
use serde_json::Value;

/// What a build or an install leaves in the sources' directory.
const MADE: [&str; 3] = ["node_modules", "dist", "out"];

#[test]
fn installs_checks_tests_and_builds_and_its_types_are_those_of_the_schema() {
    let home = Workspace::empty();
    let extension = Extension::copied();
    extension.install(&home);
    extension.npm(&home, &["run", "check"]);
    let tests = extension.npm(&home, &["test"]);
    assert!(tests.contains("pass ") && !tests.contains("KRINS_BIN names no program"), "a test was left out:\n{tests}");
    extension.npm(&home, &["run", "build"]);
    assert!(extension.path.join("dist/extension.js").is_file());

    let schema = command::krins(&home, &["schema"]).expect(0).text();
    home.write("schema.json", schema);
    let schema = home.root().join("schema.json");
    let schema = schema.to_str().expect("a temporary directory's name is UTF-8");
    extension.npm(&home, &["run", "gen:types", "--", "--check", "--schema", schema]);
}

#[test]
fn in_the_extension_host_of_a_real_vs_code() {
    in_vs_code("exthost.mjs");
}

#[test]
fn in_the_window_of_a_real_vs_code_by_keyboard() {
    in_vs_code("ui.mjs");
}

/// Runs a file of `tests/editors/vscode` over the packed extension; once more when it fails, since a window on a busy machine can
/// lose a key.
fn in_vs_code(script: &str) {
    let home = Workspace::empty();
    let extension = Extension::copied();
    let Some(editor) = editor() else { return };
    extension.install(&home);
    extension.npm(&home, &["exec", "--", "vsce", "package", "--no-dependencies", "--out", "krins.vsix"]);
    let mut said = String::new();
    for _ in 0..2 {
        let output = npm::node()
            .arg(suites().join(script))
            .envs(editor.iter().map(|(name, path)| (name.as_str(), path.as_str())))
            .env("KRINS_BIN", binary::krins())
            .env("VSIX", extension.path.join("krins.vsix"))
            .env("EXTENSION", &extension.path)
            .env("TMPDIR", home.root())
            .env("ESSENTIAL", if figures::is_full() { "" } else { "1" })
            .stdin(Stdio::null())
            .output()
            .expect("node runs");
        said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            assert!(said.contains("ok 1 - "), "{script} kept no promise:\n{said}");
            return;
        }
        debian::say(&format!("{script} is run once more, because:\n{said}"));
    }
    panic!("{script} failed:\n{said}");
}

/// Where the editor, its browser and the axe are, installed once beside the build; nothing where that cannot be done.
fn editor() -> Option<Vec<(String, String)>> {
    let browser = std::env::var("CHROMIUM").unwrap_or_else(|_| "chromium".to_owned());
    if !debian::runs(&browser) {
        debian::install(&["chromium"]);
    }
    if !debian::runs(&browser) {
        debian::say(
            "skipped: VS Code's window needs a Chromium, and it could not be installed here (CHROMIUM names one)",
        );
        return None;
    }
    let test = std::env::current_exe().expect("a running test has a path");
    let store = test.ancestors().nth(3).expect("tests lie in target/<profile>/deps").join("krins-editors/vscode");
    fs::create_dir_all(&store).expect("the build directory is ours");
    let output = npm::node().arg(suites().join("install.mjs")).arg(&store).stdin(Stdio::null()).output();
    let output = output.expect("node runs");
    if !output.status.success() {
        debian::say(&format!(
            "skipped: VS Code could not be installed here: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ));
        return None;
    }
    let found: Value = serde_json::from_slice(&output.stdout).expect("install.mjs prints JSON");
    let found = found.as_object().expect("install.mjs prints an object");
    let mut editor: Vec<(String, String)> =
        found.iter().map(|(name, path)| (name.clone(), path.as_str().unwrap_or_default().to_owned())).collect();
    editor.push(("CHROMIUM".to_owned(), which(&browser)));
    Some(editor)
}

/// The browser is started by its path.
fn which(program: &str) -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file());
    found.map_or_else(|| program.to_owned(), |file| file.display().to_string())
}

fn suites() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("editors/vscode")
}

/// A copy of the extension where its tests find the fixtures. Only one test at a time has it.
struct Extension {
    path: PathBuf,
    _lock: File,
}

impl Extension {
    fn copied() -> Self {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the repository");
        // target/<profile>/deps/<test>
        let test = std::env::current_exe().expect("a running test has a path");
        let copy = test.ancestors().nth(3).expect("tests lie in target/<profile>/deps").join("krins-extension");
        fs::create_dir_all(&copy).expect("the build directory is ours");
        let lock = File::create(copy.join("lock")).expect("the build directory is ours");
        lock.lock().expect("a file that was just made can be locked");
        for directory in ["editors/vscode", "fixtures"] {
            refresh(&sources.join(directory), &copy.join(directory))
                .unwrap_or_else(|error| panic!("failed to copy {directory}: {error}"));
        }
        Self { path: copy.join("editors/vscode"), _lock: lock }
    }

    /// `npm ci`, unless what is there came from the same lock file.
    fn install(&self, home: &Workspace) {
        let wanted = fs::read(self.path.join("package-lock.json")).expect("the extension has a lock file");
        let installed = self.path.join("node_modules/.installed");
        if fs::read(&installed).is_ok_and(|lock| lock == wanted) {
            return;
        }
        self.npm(home, &["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
        fs::write(installed, wanted).expect("the copy is ours");
    }

    /// Runs npm in the extension; what it said.
    fn npm(&self, home: &Workspace, arguments: &[&str]) -> String {
        let output = self.command(home, arguments).output().expect("npm runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "npm {} failed:\n{said}", arguments.join(" "));
        said
    }

    /// npm's settings and cache are the developer's; the server that the tests start makes a home of its own.
    fn command(&self, home: &Workspace, arguments: &[&str]) -> Command {
        let mut command = npm::command();
        command.args(arguments).current_dir(&self.path).stdin(Stdio::null());
        command.env("KRINS_BIN", binary::krins()).env("TMPDIR", home.root()).env("npm_config_update_notifier", "false");
        command
    }
}

/// Makes `to` the same as `from`, apart from what builds and installs leave there.
fn refresh(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        if !MADE.iter().any(|made| entry.file_name() == *made) {
            remove(&entry.path())?;
        }
    }
    copy(from, to)
}

fn remove(path: &Path) -> io::Result<()> {
    if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if MADE.iter().any(|made| entry.file_name() == *made) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()))?;
        } else {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
