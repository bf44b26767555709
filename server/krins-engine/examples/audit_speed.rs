//! How fast records are appended, in batches and one by one, and how fast a log is checked. `audit_speed [records]`.

use krins_core::audit::Verifier;
use krins_engine::audit::{Audit, Event, Trusted};
use krins_engine::state::StateDir;
use krins_engine::workspace::Root;
use serde_json::json;
use std::io::Write as _;
use std::time::Instant;

fn main() {
    let records: usize = std::env::args().nth(1).and_then(|argument| argument.parse().ok()).unwrap_or(100_000);
    let dir = tempfile::tempdir().expect("a directory");
    let root = Root::open(dir.path()).expect("a root");
    let state = StateDir::open_at(&dir.path().join("state"), &root).expect("a state");
    let audit = Audit::open(&state, 90).expect("an audit");
    let event = |number: usize| {
        Event::of("task.gated", json!({"task": format!("t-{number}"), "verdict": "pass", "rules": ["sast/eval"]}))
    };
    let mut said = String::new();
    let mut time = |what: &str, count: usize, work: &mut dyn FnMut()| {
        let started = Instant::now();
        work();
        let seconds = started.elapsed().as_secs_f64();
        said.push_str(&format!("{what}: {count} in {seconds:.3} s, {:.0}/s\n", count as f64 / seconds));
    };
    time("appended in batches of 1,000", records, &mut || {
        for batch in 0..records / 1000 {
            audit.record_all((0..1000).map(|number| event(batch * 1000 + number)).collect()).expect("recorded");
        }
    });
    time("appended one by one", 500, &mut || (0..500).for_each(|number| assert!(audit.record(event(number)).is_ok())));
    let log = std::fs::read(state.path().join("audit/log")).expect("a log");
    let count = log.iter().filter(|byte| **byte == b'\n').count();
    time("chain checked", count, &mut || {
        let mut verifier = Verifier::default();
        for line in log.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            verifier.take(line).expect("a sound log");
        }
    });
    time("all checked, payloads too", count, &mut || {
        assert!(audit.verify(&Trusted::default()).expect("checked").sound);
    });
    let _ = std::io::stderr().write_all(said.as_bytes());
}
