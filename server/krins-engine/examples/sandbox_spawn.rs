//! What the sandbox adds to the start of a command: `true` by itself, under Landlock and seccomp, and with namespaces
//! around it, in turn.
//!
//!     cargo run --release -p krins-engine --example sandbox_spawn [ROUNDS]
//!
//! Milliseconds, median and 95th percentile. This program is its own helper, as the real one is, but smaller: what starting
//! the real one takes more (`krins --version` beside it) comes on top, twice.

use krins_engine::runner::{Job, Stop, run};
use krins_engine::sandbox::{Level, Readable, helper_of};
use std::io::Write as _;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    if let Some(code) = helper_of(std::env::args_os()) {
        return code;
    }
    let rounds = std::env::args().nth(1).and_then(|rounds| rounds.parse().ok()).unwrap_or(200usize);
    let directory = tempfile::tempdir().expect("a directory");
    let tree = directory.path().join("tree");
    std::fs::create_dir(&tree).expect("a directory");
    let job = |namespaces: bool| Job {
        argv: vec!["true".into()],
        dir: tree.clone(),
        env: Vec::new(),
        reads: Readable::usual(&|name| std::env::var_os(name)),
        writes: vec![tree.clone()],
        tmp: directory.path().join("tmp"),
        network: false,
        require: Level::None,
        timeout: Duration::from_secs(10),
        namespaces,
    };
    let sandboxed = |namespaces: bool| {
        let job = job(namespaces);
        move || {
            let ran = run(&job, &Stop::default()).expect("it runs");
            assert!(ran.end.is_success(), "{ran:?}");
            ran.enforced.describe()
        }
    };
    let plain = || {
        assert!(Command::new("true").status().expect("it runs").success());
        "no sandbox".to_owned()
    };
    let ways: [Box<dyn Fn() -> String>; 3] = [Box::new(plain), Box::new(sandboxed(false)), Box::new(sandboxed(true))];
    let mut took: Vec<Vec<f64>> = vec![Vec::new(); ways.len()];
    let mut said = Vec::new();
    for round in 0..=rounds {
        for (way, took) in ways.iter().zip(&mut took) {
            let began = Instant::now();
            let by = way();
            // The first finds out what works here.
            match round {
                0 => said.push(by),
                _ => took.push(began.elapsed().as_secs_f64() * 1000.0),
            }
        }
    }
    let mut out = std::io::stdout();
    for (mut took, by) in took.into_iter().zip(said) {
        took.sort_by(f64::total_cmp);
        let at = |percent: usize| took[(took.len() * percent / 100).min(took.len() - 1)];
        let _ = writeln!(out, "p50 {:6.2} ms, p95 {:6.2} ms: {by}", at(50), at(95));
    }
    ExitCode::SUCCESS
}
