//! A Redis server of a test's own, on the loopback interface, which keeps nothing.

use crate::debian;
use crate::postgres::free_port;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running server. Dropping it stops it.
pub struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    /// `None`, with the reason on standard error, where the program is missing and cannot be installed.
    pub fn start() -> Option<Self> {
        if !debian::runs("redis-server") {
            debian::install(&["redis-server"]);
        }
        if !debian::runs("redis-server") {
            debian::say("redis-server is missing and could not be installed: tests over it are skipped");
            return None;
        }
        Some(Self::start_at(free_port()))
    }

    /// The same again, as after a restart.
    pub fn start_at(port: u16) -> Self {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir(std::env::temp_dir());
        let child = command.spawn().expect("redis-server starts");
        let until = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { child, port }
    }

    /// The names that fit the pattern, as Redis lists them.
    pub fn keys(&self, pattern: &str) -> Vec<String> {
        let output = Command::new("redis-cli")
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "--raw", "KEYS", pattern])
            .stdin(Stdio::null())
            .output()
            .expect("redis-cli comes with redis-server");
        String::from_utf8_lossy(&output.stdout).lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn address(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
