//! The failover catalogue with its full timing, through the real `krins serve`: some five minutes.
//!
//! `cargo run -p krins-tests --example failover`

use krins_tests::binary;
use krins_tests::failover::{Bench, SCENARIOS};
use krins_tests::fakes::Dialect;
use krins_tests::fakes::wall::Wall;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitCode, Stdio};

const DIALECTS: [(Dialect, &str); 5] = [
    (Dialect::OpenAiChat, "openai-chat"),
    (Dialect::OpenAiResponses, "openai"),
    (Dialect::Anthropic, "anthropic"),
    (Dialect::Gemini, "gemini"),
    (Dialect::Ollama, "ollama"),
];

#[tokio::main]
async fn main() -> ExitCode {
    // The gateways are separate processes and mostly wait, so they can wait side by side.
    let runs = DIALECTS.into_iter().flat_map(|(dialect, kind)| [(dialect, kind, true), (dialect, kind, false)]);
    let tables = futures::future::join_all(runs.map(|(dialect, kind, stream)| table(dialect, kind, stream))).await;
    let mut out = std::io::stdout().lock();
    let mut good = true;
    for (text, passed) in tables {
        good &= passed == SCENARIOS.len();
        let _ = writeln!(out, "{text}\n{passed} of {}\n", SCENARIOS.len());
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn table(dialect: Dialect, kind: &str, stream: bool) -> (String, usize) {
    let wall = Wall::start(dialect, 1).await.expect("the wall stands");
    let home = tempfile::tempdir().expect("a directory");
    let config = home.path().join("config.toml");
    let url = wall.base_url();
    let provider = |name: &str, fallback: &str| {
        format!(
            "[providers.{name}]\nkind = \"{kind}\"\nbase_url = \"{url}\"\nkey = \"none\"\nmodel = \"fb-ok\"\nfallback = [\"{name}/{fallback}\"]\n"
        )
    };
    let text = format!("provider = \"wall\"\n{}{}", provider("wall", "fb-ok"), provider("strict", "fb-ok-noprefill"));
    std::fs::write(&config, text).expect("the settings are written");
    let mut gateway = Gateway::start(home.path());
    let address = gateway.address();
    let bench = Bench { gateway: address, wall: &wall, speed: 1, stream };
    let (mut text, mut passed) = (format!("{kind}, {}\n", if stream { "streaming" } else { "whole" }), 0);
    for scenario in SCENARIOS {
        let verdict = bench.run(scenario).await;
        passed += usize::from(verdict.passed());
        let failed: Vec<&str> = verdict.checks.iter().filter(|(_, held)| !held).map(|(check, _)| *check).collect();
        let word = if failed.is_empty() { "pass".to_owned() } else { format!("FAIL ({})", failed.join(", ")) };
        text.push_str(&format!("{scenario:<24} {word}: {}\n", verdict.detail));
    }
    (text, passed)
}

/// A real `krins serve`, ended when dropped.
struct Gateway {
    child: Child,
}

impl Gateway {
    fn start(home: &std::path::Path) -> Self {
        let child = Command::new(binary::krins())
            .args(["serve", "--addr", "127.0.0.1:0"])
            .env_clear()
            .env("HOME", home)
            .env("KRINS_STATE_DIR", home.join("state"))
            .env("KRINS_CONFIG", home.join("config.toml"))
            .env("KRINS_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("krins starts");
        Self { child }
    }

    /// From the first line that it prints.
    fn address(&mut self) -> SocketAddr {
        let stdout = self.child.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(stdout).lines();
        let line =
            lines.find_map(|line| line.ok().filter(|line| line.contains("http://"))).expect("it says where it listens");
        let address = line.split("http://").nth(1).and_then(|rest| rest.split_whitespace().next());
        address.and_then(|address| address.parse().ok()).expect("an address")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
