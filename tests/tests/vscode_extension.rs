//! The VS Code extension without VS Code: a clean install from its lock file, its types, its own tests over the real program, its
//! bundle, and the types that are generated from what `krins schema` prints.
//!
//! The steps are the ones its README names. They run on a copy beside the build, so that the sources stay as they are.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use krins_tests::{binary, command, npm, workspace::Workspace};

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
