//! A running `krins serve` of the real binary, with a home of its own and everything that it says kept.

use crate::command::command;
use crate::workspace::Workspace;
use serde_json::Value;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Dropping it kills it.
pub struct Service {
    child: Child,
    address: SocketAddr,
    /// Its home, with its settings and its state.
    pub home: Workspace,
    said: Arc<Mutex<Vec<u8>>>,
    listeners: Vec<JoinHandle<()>>,
}

impl Service {
    /// Starts it with these settings, more arguments and more environment.
    ///
    /// # Panics
    /// When it ends before it listens, showing what it said.
    pub fn start(settings: &str, args: &[&str], env: &[(&str, &str)]) -> Self {
        let home = Workspace::empty();
        write_settings(&home, settings);
        Self::start_in(home, args, env)
    }

    /// The same in a home that is there already.
    pub fn start_in(home: Workspace, args: &[&str], env: &[(&str, &str)]) -> Self {
        let arguments: Vec<&str> =
            ["serve", "--addr", "127.0.0.1:0", "--json"].into_iter().chain(args.iter().copied()).collect();
        let mut command = command(&home, &arguments);
        command.envs(env.iter().copied()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("krins starts");
        let said = Arc::<Mutex<Vec<u8>>>::default();
        let mut stderr = child.stderr.take().expect("it is piped");
        let heard = Arc::clone(&said);
        let errors = std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(read @ 1..) = stderr.read(&mut piece) {
                heard.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&piece[..read]);
            }
        });
        let mut reader = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut document = String::new();
        let address = loop {
            let read = reader.read_line(&mut document).expect("it writes text");
            if read == 0 {
                let _ = child.wait();
                let _ = errors.join();
                let said = said.lock().unwrap_or_else(PoisonError::into_inner);
                panic!("krins serve ended: {document}{}", String::from_utf8_lossy(&said));
            }
            if let Ok(document) = serde_json::from_str::<Value>(&document) {
                break document["address"].as_str().and_then(|address| address.parse().ok()).expect("an address");
            }
        };
        let heard = Arc::clone(&said);
        let lines = std::thread::spawn(move || {
            let mut rest = Vec::new();
            let _ = reader.read_to_end(&mut rest);
            heard.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&rest);
        });
        Self { child, address, home, said, listeners: vec![errors, lines] }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything that it wrote to standard error so far.
    pub fn said(&self) -> Vec<u8> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// SIGTERM, and everything that it said until its end; the home is kept.
    pub fn end(mut self) -> (Workspace, Vec<u8>) {
        let terminated = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(terminated.is_ok_and(|status| status.success()), "it can be told to end");
        let status = self.ends(Duration::from_secs(40));
        assert!(status.is_some_and(|status| status.success()), "it ends well when it is told to: {status:?}");
        for listener in std::mem::take(&mut self.listeners) {
            let _ = listener.join();
        }
        let said = self.said();
        (std::mem::replace(&mut self.home, Workspace::empty()), said)
    }

    fn ends(&mut self, within: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + within;
        while Instant::now() < until {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The person's own settings of that home.
pub fn write_settings(home: &Workspace, text: &str) {
    let file = home.home().join(".config/krins/config.toml");
    let written =
        fs::create_dir_all(file.parent().expect("it is in a directory")).and_then(|()| fs::write(&file, text));
    written.unwrap_or_else(|error| panic!("failed to write {}: {error}", file.display()));
}
