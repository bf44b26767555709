//! Who gets in, and how much of the service one may take: tokens by the command line, scopes, rotation, limits, headers.

use krins_core::Digest;
use krins_tests::command::{Ran, command, krins, run};
use krins_tests::raw_http::{self, Answer};
use krins_tests::serve::{Service, write_settings};
use krins_tests::workspace::Workspace;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// `krins serve token …` beside a running service.
fn token(service: &Service, args: &[&str]) -> Ran {
    krins(&service.home, &[&["serve", "token"], args, &["--json"]].concat())
}

fn fresh(ran: Ran) -> (String, String) {
    let document = ran.expect(0).json();
    let text = |name: &str| document[name].as_str().unwrap().to_owned();
    (text("id"), text("token"))
}

async fn get(service: &Service, path: &str, token: &str) -> Answer {
    let header = format!("Bearer {token}");
    raw_http::send(service.address(), "GET", path, &[("authorization", &header)], b"").await
}

/// The status when it has become this one: a service knows of a command's change within seconds.
async fn becomes(service: &Service, path: &str, token: &str, status: u16) {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let answer = get(service, path, token).await;
        if answer.status == status {
            return;
        }
        assert!(Instant::now() < until, "still {} and not {status}", answer.status);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Every file below, with its bytes.
pub fn files(place: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut places = vec![place.to_owned()];
    while let Some(place) = places.pop() {
        match std::fs::read_dir(&place) {
            Ok(entries) => places.extend(entries.map(|entry| entry.unwrap().path())),
            Err(_) => found.push((place.clone(), std::fs::read(&place).unwrap_or_default())),
        }
    }
    found
}

fn holds(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}

#[test]
fn tokens_are_made_changed_without_a_gap_and_ended_by_command_and_only_digests_are_kept() {
    let runtime = runtime();
    let service = Service::start("", &[], &[]);
    assert_eq!(runtime.block_on(get(&service, "/queue/stats", "none-is-needed")).status, 200, "an open door");
    let (first_id, first) = fresh(token(&service, &["add", "acme", "--scopes", "tasks"]));
    runtime.block_on(async {
        becomes(&service, "/queue/stats", &first, 200).await;
        becomes(&service, "/queue/stats", "none-is-needed", 401).await;
        for (path, status) in [("/queue/stats", 200), ("/metrics", 403), ("/queue/stats?all=true", 403)] {
            assert_eq!(get(&service, path, &first).await.status, status, "{path}");
        }
    });
    let (_, watcher) = fresh(token(&service, &["add", "ops", "--scopes", "metrics"]));
    runtime.block_on(async {
        becomes(&service, "/metrics", &watcher, 200).await;
        assert_eq!(get(&service, "/tasks/t-1", &watcher).await.status, 403, "figures are all that it sees");
    });
    // With an overlap both work; without one the old one ends.
    let (second_id, second) = fresh(token(&service, &["rotate", &first_id, "--overlap", "1"]));
    runtime.block_on(async {
        becomes(&service, "/queue/stats", &second, 200).await;
        assert_eq!(get(&service, "/queue/stats", &first).await.status, 200);
        assert_eq!(get(&service, "/metrics", &second).await.status, 403, "a rotated token may what the old one may");
    });
    let (third_id, third) = fresh(token(&service, &["rotate", &second_id, "--overlap", "0"]));
    runtime.block_on(async {
        becomes(&service, "/queue/stats", &second, 401).await;
        becomes(&service, "/queue/stats", &third, 200).await;
    });
    token(&service, &["revoke", &third_id]).expect(0);
    runtime.block_on(becomes(&service, "/queue/stats", &third, 401));
    let list = token(&service, &["list"]).expect(0).text();
    for (path, bytes) in files(&service.home.home()) {
        for secret in [&first, &second, &third, &watcher] {
            assert!(!holds(&bytes, secret), "a token is in {}", path.display());
            assert!(!list.contains(secret.as_str()));
        }
    }
    let digest = Digest::of(&first).to_string();
    assert!(files(&service.home.home()).iter().any(|(_, bytes)| holds(bytes, &digest)), "its digest is what is kept");
    for (args, code) in [
        (&["rotate", "k0000000000"][..], 2),
        (&["revoke", "k0000000000"], 2),
        (&["add", "acme", "--scopes", "everything"], 2),
        (&["add", "a b", "--scopes", "tasks"], 2),
    ] {
        token(&service, args).expect(code);
    }
    let (_, said) = service.end();
    for secret in [&first, &second, &third, &watcher] {
        assert!(!holds(&said, secret), "a token is in the log");
    }
}

#[test]
fn a_token_ends_by_itself() {
    let service = Service::start("", &[], &[("KRINS_SERVE_TOKEN", "the-one-right-token")]);
    fresh(token(&service, &["add", "acme", "--scopes", "tasks", "--days", "90"]));
    let listed = token(&service, &["list"]).expect(0).json();
    let left = listed["tokens"][0]["left_seconds"].as_u64().unwrap();
    assert!((89 * 86_400..=90 * 86_400).contains(&left), "{listed}");
}

/// Whatever is answered: nothing is kept by a cache, framed, sniffed or told to others.
fn is_hardened(answer: &Answer, what: &str) {
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ("referrer-policy", "no-referrer"),
        ("x-frame-options", "DENY"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{what}: {answer:?}");
    }
    // Browsers are let in by nobody, and the program does not introduce itself.
    assert_eq!((answer.header("access-control-allow-origin"), answer.header("server")), (None, None), "{what}");
}

#[test]
fn every_answer_is_hardened_and_what_is_too_long_is_refused() {
    let runtime = runtime();
    const TOKEN: &str = "the-one-right-token";
    let service = Service::start("", &[], &[("KRINS_SERVE_TOKEN", TOKEN)]);
    let to = service.address();
    let good = ("authorization", "Bearer the-one-right-token");
    let json = ("content-type", "application/json");
    runtime.block_on(async {
        let task = json!({"prompt": {"version": 1, "intent": "rename a to b", "items": []}, "max_output_tokens": 10});
        let accepted = raw_http::post_json(to, "/tasks", &[good], &task).await;
        is_hardened(&accepted, "a task");
        let id = accepted.json()["id"].as_str().unwrap().to_owned();
        let (stream, _) = raw_http::open(to, "GET", &format!("/tasks/{id}/events"), &[good], b"").await;
        is_hardened(&stream, "a stream");
        let hello = json!({"model": "builtin", "messages": [{"role": "user", "content": "hello"}]}).to_string();
        let long_key = "k".repeat(300);
        let (long, broken) = (format!("{:?}", "x".repeat(33 << 20)), "{\"prompt\": ");
        for (what, method, path, headers, body, status) in [
            ("health", "GET", "/health", &[][..], "", 200),
            ("the document", "GET", "/openapi.json", &[], "", 200),
            ("figures", "GET", "/metrics", &[good], "", 200),
            ("nobody", "GET", "/queue/stats", &[], "", 401),
            ("no such page", "GET", "/%2e%2e/etc/passwd", &[good], "", 404),
            ("no such task", "GET", "/tasks/t-1", &[good], "", 404),
            ("no such method", "PATCH", "/tasks", &[good], "", 405),
            ("a form", "POST", "/tasks", &[good, ("content-type", "text/plain")], "{}", 415),
            ("no JSON", "POST", "/tasks", &[good, json], broken, 400),
            ("a long key", "POST", "/tasks", &[good, json, ("idempotency-key", &long_key)], "{}", 400),
            ("a long body", "POST", "/tasks", &[good, json], &long, 413),
            ("a long body that nobody vouches for", "POST", "/tasks", &[json], &long, 401),
            ("a conversation", "POST", "/v1/chat/completions", &[good, json], &hello, 400),
        ] {
            let answer = raw_http::send(to, method, path, headers, body.as_bytes()).await;
            assert_eq!(answer.status, status, "{what}: {}", answer.text());
            is_hardened(&answer, what);
        }
        assert_eq!(raw_http::send(to, "GET", "/health/live", &[], b"").await.status, 200, "and it goes on");
    });
}

#[test]
fn who_guesses_is_slowed_down_by_address() {
    let runtime = runtime();
    let service = Service::start("", &["--proxy", "127.0.0.1"], &[("KRINS_SERVE_TOKEN", "the-one-right-token")]);
    runtime.block_on(async {
        let guess = async |from: &str| {
            let headers = [("authorization", "Bearer a-guess-at-a-token"), ("x-forwarded-for", from)];
            raw_http::send(service.address(), "GET", "/queue/stats", &headers, b"").await
        };
        let mut slowed = None;
        for n in 1..=200 {
            let answer = guess("192.0.2.1").await;
            if answer.status == 429 {
                assert!(
                    answer.header("retry-after").and_then(|wait| wait.parse::<u64>().ok()).is_some_and(|wait| wait > 0)
                );
                slowed = Some(n);
                break;
            }
            assert_eq!(answer.status, 401);
        }
        // 120 a minute, and what a slow test earns back meanwhile.
        assert!(slowed.is_some_and(|n| n > 100), "{slowed:?}");
        assert_eq!(guess("192.0.2.2").await.status, 401, "another address is not blamed");
    });
}

/// A clone of the same project, pointed at that service or at none.
fn clone_of(project: &str, settings: &str) -> Workspace {
    let workspace = Workspace::from_fixture("//- /src/a.ts\nexport const a = 1;\n");
    workspace.write(".git/config", format!("[remote \"origin\"]\n\turl = https://code.test/{project}.git\n"));
    workspace.write(".git/HEAD", "ref: refs/heads/main\n");
    for directory in ["objects", "refs"] {
        std::fs::create_dir_all(workspace.path(".git").join(directory)).unwrap();
    }
    write_settings(&workspace, settings);
    workspace
}

fn locking(workspace: &Workspace, token: &str, args: &[&str]) -> Ran {
    let mut command = command(workspace, &[args, &["--json"]].concat());
    command.env("KRINS_TOKEN", token);
    run(command, b"")
}

fn error_of(ran: &Ran) -> Value {
    ran.json()["error"].take()
}

#[test]
fn a_lock_of_one_clone_is_seen_in_the_other_and_only_who_may_breaks_it() {
    let service = Service::start("", &[], &[("KRINS_SERVE_TOKEN", "the-one-right-token")]);
    let (_, ann) = fresh(token(&service, &["add", "acme", "--scopes", "tasks"]));
    let (_, bob) = fresh(token(&service, &["add", "acme", "--scopes", "tasks,admin"]));
    let (_, eve) = fresh(token(&service, &["add", "evil", "--scopes", "tasks"]));
    let runtime = runtime();
    for token in [&ann, &bob, &eve] {
        runtime.block_on(becomes(&service, "/queue/stats", token, 200));
    }
    let settings = format!("backend.url = \"{}\"\n", service.url());
    let [hers, his, elsewhere] = [("shop"), ("shop"), ("other")].map(|project| clone_of(project, &settings));
    let lock = |workspace: &Workspace, token: &str, holder: &str| {
        locking(workspace, token, &["lock", "src/a.ts", "--holder", holder])
    };
    let taken = lock(&hers, &ann, "ann").expect(0).json();
    assert_eq!((&taken["path"], &taken["holder"]), (&json!("src/a.ts"), &json!("ann")), "{taken}");
    let renewed = lock(&hers, &ann, "ann").expect(0).json();
    assert_eq!(renewed["fence"], taken["fence"]);
    let refused = lock(&his, &bob, "bob");
    let error = error_of(&refused);
    assert_eq!(error["kind"], "LockHeld", "{error}");
    assert!(refused.code != Some(0) && error["message"].as_str().unwrap().contains("ann"), "{error}");
    let seen = locking(&his, &bob, &["locks"]).expect(0).json();
    assert_eq!(seen["locks"][0]["holder"], "ann", "{seen}");
    // Another project, and another tenant, know nothing of it.
    lock(&elsewhere, &bob, "bob").expect(0);
    assert_eq!(locking(&his, &eve, &["locks"]).expect(0).json()["locks"], json!([]));
    let not_his = locking(&his, &bob, &["unlock", "src/a.ts", "--holder", "bob"]);
    assert_eq!(error_of(&not_his)["kind"], "Conflict");
    let not_allowed = locking(&hers, &ann, &["unlock", "src/a.ts", "--force"]);
    assert_eq!(error_of(&not_allowed)["kind"], "Untrusted");
    locking(&his, &bob, &["unlock", "src/a.ts", "--force"]).expect(0);
    lock(&his, &bob, "bob").expect(0);
    locking(&his, &bob, &["unlock", "src/a.ts", "--holder", "bob"]).expect(0);
    assert_eq!(locking(&hers, &ann, &["locks"]).expect(0).json()["locks"], json!([]));
    // Without a service the terminals of one machine see each other.
    let alone = clone_of("shop", "");
    lock(&alone, "", "one").expect(0);
    assert_eq!(error_of(&lock(&alone, "", "two"))["kind"], "LockHeld");
}
