//! The command line under test: one run of the real binary in a workspace, with that workspace's environment and nothing else.

use crate::workspace::Workspace;
use serde_json::Value;
use std::io::{Read, Write as _};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What a run left.
#[derive(Clone, Debug)]
pub struct Ran {
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Ran {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).expect("krins writes UTF-8")
    }

    /// Standard error as text.
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Standard output as exactly one JSON document.
    ///
    /// # Panics
    /// When it is anything else.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|error| panic!("stdout is not one JSON document ({error}): {}", self.describe()))
    }

    /// The same run, having ended with this code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.describe());
        self
    }

    pub fn describe(&self) -> String {
        let text = String::from_utf8_lossy(&self.stdout);
        let shown: String = text.chars().take(3000).collect();
        format!("exit {:?}\nstdout: {shown}\nstderr: {}", self.code, self.errors())
    }
}

/// `krins ARGS` in the workspace's root, not started yet, so that a test can add to it.
pub fn command(workspace: &Workspace, args: &[&str]) -> Command {
    let mut command = Command::new(crate::binary::krins());
    command.args(args).env_clear().envs(workspace.env()).current_dir(workspace.root());
    command
}

/// Runs `krins ARGS` with nothing to read.
pub fn krins(workspace: &Workspace, args: &[&str]) -> Ran {
    run(command(workspace, args), b"")
}

/// Runs `krins ARGS` with something to read.
pub fn krins_reading(workspace: &Workspace, args: &[&str], input: impl AsRef<[u8]>) -> Ran {
    run(command(workspace, args), input.as_ref())
}

/// Runs a program with nothing to read, and gives its end and what it said. It is killed when it takes too long.
///
/// # Panics
/// When it cannot be started.
pub fn ended(command: &mut Command, patience: Duration) -> (ExitStatus, String) {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("failed to start {command:?}: {error}"));
    // Both pipes are emptied meanwhile: they hold little.
    let readers = [read(child.stdout.take()), read(child.stderr.take())];
    let since = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            break status;
        }
        if since.elapsed() > patience {
            child.kill().expect("the child is ours");
        }
        thread::sleep(Duration::from_millis(20));
    };
    (status, readers.map(|reader| reader.join().expect("reading does not panic")).concat())
}

fn read(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read until the pipe broke is what it said.
        let _ = pipe.expect("it was started with pipes").read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Runs a command to its end.
pub fn run(mut command: Command, input: &[u8]) -> Ran {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let program = Path::new(command.get_program()).display().to_string();
    let mut child = command.spawn().unwrap_or_else(|error| panic!("failed to start {program}: {error}"));
    let mut stdin = child.stdin.take().expect("it was started with pipes");
    let input = input.to_vec();
    // Both directions at once: a pipe holds little.
    let writer = thread::spawn(move || {
        // A command that does not read is gone before all is written.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("it is our child");
    writer.join().expect("writing to a pipe does not panic");
    Ran { code: output.status.code(), stdout: output.stdout, stderr: output.stderr }
}
