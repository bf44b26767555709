//! The real binary at the end of a real pipe: nothing but frames, quick to start, gone when it should be.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use krins_tests::binary;
use krins_tests::client::Client;
use krins_tests::personas::Persona;
use krins_tests::wire;
use krins_tests::workspace::Workspace;
use serde_json::{Value, json};

/// Debug builds are measured, and held only to a bound that says something is badly wrong.
const SLACK: u32 = if cfg!(debug_assertions) { 20 } else { 1 };

fn workspace() -> Workspace {
    Workspace::from_fixture(
        "//- /src/a.ts\nexport const a = 1;\n//- /src/b.ts\nimport { a } from './a';\nexport const b = a;\n",
    )
}

/// Figures go where a person who asks for them finds them.
fn report(what: &str, mut took: Vec<Duration>) -> (Duration, Duration, Duration) {
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() * percent / 100).min(took.len() - 1)];
    let (p50, p95, p99) = (at(50), at(95), at(99));
    note(&format!("{what}: p50 {p50:?}, p95 {p95:?}, p99 {p99:?}, n {}", took.len()));
    (p50, p95, p99)
}

fn note(line: &str) {
    if let Some(path) = std::env::var_os("KRINS_TEST_FIGURES") {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "{line}").unwrap();
    }
}

#[test]
fn stdout_carries_frames_only_for_every_client() {
    for persona in Persona::ALL {
        let workspace = workspace();
        let mut client = Client::builder(&workspace).persona(persona).env("RUST_LOG", "trace").start();
        client.initialize();
        client.ignore("window/showMessage");
        client.open("src/a.ts");
        client.replace("src/a.ts", "1", "'😀'");
        client.save("src/a.ts");
        let unknown = client.request("krins/noSuchThing", json!({})).unwrap_err();
        assert_eq!((unknown.code, unknown.kind()), (-32601, Some("BadParams")));
        client.notify("$/noSuchThing", Value::Null);
        client.request("krins/status", json!({})).unwrap();
        client.close_document("src/a.ts");
        assert_eq!(client.close().code(), Some(0));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_prints_to_stdout_goes_to_stderr() {
    let workspace = workspace();
    let client = Client::start(&workspace, Persona::VSCODE);
    let link = |fd: u32| fs::read_link(format!("/proc/{}/fd/{fd}", client.pid())).unwrap();
    assert_eq!(link(1), link(2));
    assert_ne!(link(0), link(1));
}

#[test]
fn a_bad_body_costs_one_reply() {
    let workspace = workspace();
    let mut client = Client::start(&workspace, Persona::HELIX);
    client.send_raw(b"Content-Length: 5\r\n\r\n{\"a\":");
    client.send_raw(b"content-length: 2\n\n{}");
    let refused: Vec<i64> =
        (0..2).map(|_| client.await_notification("(a reply to nothing)")["error"]["code"].as_i64().unwrap()).collect();
    assert_eq!(refused, [-32700, -32600]);
    client.request("krins/status", json!({})).unwrap();
}

#[test]
fn a_broken_header_ends_it() {
    let workspace = workspace();
    let mut client = Client::start(&workspace, Persona::HELIX);
    client.release();
    client.send_raw(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(client.wait_exit(Duration::from_secs(2)).expect("it ends").code(), Some(1));
}

#[test]
fn the_end_of_input_ends_it() {
    for (shutdown, code) in [(false, 1), (true, 0)] {
        let workspace = workspace();
        let mut client = Client::start(&workspace, Persona::NEOVIM);
        if shutdown {
            assert_eq!(client.request("shutdown", Value::Null), Ok(Value::Null));
        }
        let started = Instant::now();
        client.close_stdin();
        let status = client.wait_exit(Duration::from_secs(1)).expect("it ends within a second");
        note(&format!("end of input to exit: {:?}", started.elapsed()));
        assert_eq!(status.code(), Some(code));
    }
}

#[test]
fn exit_ends_it_with_the_input_open() {
    let workspace = workspace();
    let mut client = Client::start(&workspace, Persona::EGLOT);
    client.release();
    let started = Instant::now();
    client.notify("exit", Value::Null);
    assert_eq!(client.wait_exit(Duration::from_secs(1)).expect("it ends").code(), Some(1));
    note(&format!("exit to exit: {:?}", started.elapsed()));
}

#[test]
fn a_client_that_stops_reading_can_still_leave() {
    let workspace = workspace();
    let mut client = Client::start(&workspace, Persona::VSCODE);
    client.release();
    client.pause_reading(true);
    // 40 replies of which each names the method: more than the pipe and all queues hold.
    for id in 0..40 {
        let method = format!("krins/{}", "x".repeat(20_000));
        client.send_raw(&wire::encode(&json!({"jsonrpc": "2.0", "id": 1000 + id, "method": method})));
    }
    client.notify("exit", Value::Null);
    assert!(client.wait_exit(Duration::from_secs(3)).is_some(), "it does not leave");
}

#[cfg(target_os = "linux")]
fn is_running(pid: &str) -> bool {
    // A zombie has ended, whoever is to reap it.
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with('Z')))
}

#[cfg(target_os = "linux")]
fn ends_within(pid: &str, limit: Duration) -> Option<Duration> {
    let started = Instant::now();
    while is_running(pid) {
        if started.elapsed() > limit {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(started.elapsed())
}

/// The parent is killed while a sibling holds the pipe open, so stdin never ends.
#[cfg(target_os = "linux")]
#[test]
fn it_does_not_outlive_its_parent() {
    let workspace = workspace();
    let script = r#"mkfifo in && { sleep 60 > in & echo $!; "$KRINS" lsp --stdio < in > out 2> err & echo $!; wait; }"#;
    let mut shell = Command::new("sh")
        .args(["-c", script])
        .env_clear()
        .envs(workspace.env())
        .env("KRINS", binary::krins())
        .current_dir(workspace.home())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pids: Vec<String> = {
        use std::io::BufRead as _;
        let stdout = std::io::BufReader::new(shell.stdout.take().unwrap());
        stdout.lines().take(2).map(Result::unwrap).collect()
    };
    let (sibling, server) = (&pids[0], &pids[1]);
    std::thread::sleep(Duration::from_millis(500));
    assert!(is_running(server), "{}", fs::read_to_string(workspace.home().join("err")).unwrap_or_default());
    shell.kill().unwrap();
    shell.wait().unwrap();
    let took = ends_within(server, Duration::from_secs(5));
    for pid in [server, sibling] {
        let _ = Command::new("kill").args(["-9", pid]).stderr(Stdio::null()).status();
    }
    note(&format!("parent killed to gone: {took:?}"));
    assert!(took.is_some(), "it outlived its parent");
}

/// The process named in `initialize` ends, while parent and pipes live.
#[cfg(target_os = "linux")]
#[test]
fn it_does_not_outlive_its_client() {
    let workspace = workspace();
    let mut editor = Command::new("sleep").arg("60").spawn().unwrap();
    let mut client = Client::builder(&workspace).persona(Persona::VSCODE).start();
    let mut params = client.persona().initialize_params(workspace.root());
    params["processId"] = json!(editor.id());
    client.initialize_with(params);
    client.release();
    assert_eq!(client.wait_exit(Duration::from_millis(2500)), None, "it left a client that lives");
    editor.kill().unwrap();
    let started = Instant::now();
    let status = client.wait_exit(Duration::from_secs(5)).expect("it ends within 5 s");
    note(&format!("client killed to gone: {:?}", started.elapsed()));
    assert_eq!(status.code(), Some(1));
    editor.wait().unwrap();
}

/// A number that names no process here, as from another container, must not end the session.
#[test]
fn a_client_it_cannot_see_is_no_dead_client() {
    let workspace = workspace();
    for pid in [json!(null), json!(4_000_000), json!("x"), json!(-1)] {
        let mut client = Client::builder(&workspace).persona(Persona::VSCODE).start();
        let mut params = client.persona().initialize_params(workspace.root());
        params["processId"] = pid.clone();
        let ticket = client.send_request("initialize", params);
        let result = client.await_reply(ticket);
        if pid == "x" || pid == -1 {
            assert_eq!(result.unwrap_err().code, -32602, "{pid}");
            client.release();
            client.kill();
            continue;
        }
        result.unwrap();
        client.release();
        assert_eq!(client.wait_exit(Duration::from_millis(2500)), None, "{pid}");
        client.kill();
    }
}

#[test]
fn it_starts_quickly() {
    let workspace = workspace();
    let mut took = Vec::new();
    for _ in 0..40 {
        let mut client = Client::builder(&workspace).persona(Persona::HELIX).start();
        client.initialize();
        took.push(client.started().elapsed());
        client.close();
    }
    let (p50, p95, _) = report("spawn to initialize reply", took);
    assert!(p95 < Duration::from_millis(30) * SLACK, "p50 {p50:?}, p95 {p95:?}");
}

#[test]
fn a_bare_request_is_quick() {
    let workspace = workspace();
    let mut client = Client::start(&workspace, Persona::HELIX);
    let mut took = Vec::new();
    for _ in 0..2000 {
        let started = Instant::now();
        client.request("krins/status", json!({})).unwrap();
        took.push(started.elapsed());
    }
    let (p50, _, p99) = report("bare request over stdio", took);
    assert!(p99 < Duration::from_millis(1) * SLACK, "p50 {p50:?}, p99 {p99:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn idle_it_is_small() {
    let workspace = workspace();
    let mut client = Client::start(&workspace, Persona::HELIX);
    client.request("krins/status", json!({})).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let kib = client.resident_kib();
    note(&format!("idle resident memory: {kib} KiB"));
    assert!(kib < 40 * 1024 * u64::from(SLACK.min(2)), "{kib} KiB");
}
