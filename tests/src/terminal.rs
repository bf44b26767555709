//! A program in a terminal of its own, played by keys and looked at by its screen: tmux, with a socket and a configuration that are
//! nobody else's.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long something that should come at once is waited for: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(45);
/// Between two looks at the screen.
const LOOK: Duration = Duration::from_millis(40);
/// A terminal tells Escape from a key with Alt by the pause behind it.
const ESCAPE: Duration = Duration::from_millis(150);

/// The terminal; it is closed with everything in it when this is dropped.
#[derive(Debug)]
pub struct Terminal {
    socket: PathBuf,
}

impl Terminal {
    /// Starts a program, with this environment and no other.
    ///
    /// # Panics
    /// When tmux does not start.
    pub fn start(
        base: &Path,
        directory: &Path,
        [columns, rows]: [u16; 2],
        env: &[(String, String)],
        program: &[&str],
    ) -> Self {
        let socket = base.join("tmux");
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&socket).args(["-f", "/dev/null", "new-session", "-d", "-s", "k"]);
        command.args(["-x", &columns.to_string(), "-y", &rows.to_string(), "-c"]).arg(directory);
        command.args(program).env_clear().envs(env.iter().cloned());
        command.env("TERM", "xterm-256color").env("SHELL", "/bin/sh").env("LC_ALL", "C.UTF-8");
        let output = command.stdin(Stdio::null()).output().expect("tmux runs");
        assert!(output.status.success(), "tmux: {}", String::from_utf8_lossy(&output.stderr));
        Self { socket }
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&self.socket).args(arguments).env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        let output = command.output().expect("tmux runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Presses keys by their names: `Enter`, `Escape`, `Space`, `a`.
    pub fn press(&self, keys: &[&str]) {
        for key in keys {
            self.tmux(&["send-keys", "-t", "k", key]);
            if *key == "Escape" {
                thread::sleep(ESCAPE);
            }
        }
    }

    /// Types a text as it is.
    pub fn type_text(&self, text: &str) {
        self.tmux(&["send-keys", "-t", "k", "-l", text]);
    }

    /// What is on the screen, without blanks at the ends of lines.
    pub fn screen(&self) -> String {
        let lines = self.tmux(&["capture-pane", "-p", "-t", "k"]);
        lines.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim_end().to_owned()
    }

    /// Whether the program still runs.
    pub fn runs(&self) -> bool {
        !self.tmux(&["list-sessions"]).is_empty()
    }

    /// Waits until something holds; false when it does not for a long time.
    pub fn until(&self, mut holds: impl FnMut(&str) -> bool) -> bool {
        let since = Instant::now();
        loop {
            if holds(&self.screen()) {
                return true;
            }
            if since.elapsed() > PATIENCE {
                return false;
            }
            thread::sleep(LOOK);
        }
    }

    /// Waits for a text on the screen.
    ///
    /// # Panics
    /// When it does not come; the message is the screen.
    pub fn await_text(&self, text: &str) {
        assert!(self.until(|screen| screen.contains(text)), "{text:?} does not come; the screen is\n{}", self.screen());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}
