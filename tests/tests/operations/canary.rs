//! The canary search: keys, tokens and a person's data go through the sidecar and the service, past providers that quote
//! them back in every way, through bad requests, exports and reports; then everything that was written meanwhile is searched
//! for them, as they are and in the spellings that programs give them.

use crate::access::files;
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use krins_tests::client::Client;
use krins_tests::collector::Collector;
use krins_tests::command::{command, run};
use krins_tests::personas::Persona;
use krins_tests::raw_http;
use krins_tests::serve::{Service, write_settings};
use krins_tests::workspace::Workspace;
use serde_json::{Value, json};
use std::net::SocketAddr;

/// Characters that base64, URLs and JSON each write in another way. What a header may not hold is not in it.
const KEY: &str = "sk-canary+51f7/a0c2=e94b&8d36~\"quoted\"\\canary";
/// Opens the service for everything.
const ADMIN: &str = "serve-canary+9c1e/7b=aa&04\"admin\"";
/// A person's, who is not in the code.
const PERSON: [&str; 2] = ["jane.canary@acme.io", "Jane Q. Canary"];

/// A GitHub token's shape, put together here so that nobody's scanner takes it for one.
fn secret() -> String {
    format!("ghp_{}", "q7Rf2ZkP9vXw3LmT8sNbH5cYdJ1gUa4eKo6B")
}

/// How programs write a text that they do not mean to show.
fn spellings(text: &str) -> Vec<(String, Vec<u8>)> {
    let hex = |byte: u8, upper: bool| if upper { format!("%{byte:02X}") } else { format!("%{byte:02x}") };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let percent = |upper: bool, all: bool| -> String {
        text.bytes()
            .map(|byte| if !all && plain(byte) { char::from(byte).to_string() } else { hex(byte, upper) })
            .collect()
    };
    let json = serde_json::to_string(text).unwrap();
    let json = json[1..json.len() - 1].to_owned();
    let mut spelt = vec![
        ("as it is".to_owned(), text.as_bytes().to_vec()),
        ("in JSON".into(), json.clone().into_bytes()),
        ("in JSON, with slashes".into(), json.replace('/', "\\/").into_bytes()),
        ("in JSON in JSON".into(), serde_json::to_string(&json).unwrap().trim_matches('"').as_bytes().to_vec()),
        ("as Rust shows it".into(), format!("{text:?}").trim_matches('"').as_bytes().to_vec()),
        ("in a URL".into(), percent(true, false).into_bytes()),
        ("in a URL, small".into(), percent(false, false).into_bytes()),
        ("in a URL, all of it".into(), percent(true, true).into_bytes()),
        ("as a form".into(), percent(true, false).replace("%20", "+").into_bytes()),
        ("in hex".into(), text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes()),
        ("in UTF-16".into(), text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("in HTML".into(), text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").into_bytes()),
        ("in CSV".into(), text.replace('"', "\"\"").into_bytes()),
    ];
    for table in [STANDARD, URL_SAFE] {
        for before in 0..3 {
            spelt.push((format!("in base64 after {before} bytes"), base64_inside(text.as_bytes(), before, table)));
        }
    }
    spelt
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The characters that base64 of anything with this text in it has, where so many bytes before it are left over: those
/// that no neighbour has a part in.
fn base64_inside(text: &[u8], before: usize, table: &[u8; 64]) -> Vec<u8> {
    let bits: Vec<bool> = text.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect();
    let skip = (6 - before * 8 % 6) % 6;
    let whole = bits[skip..].chunks_exact(6);
    whole.map(|six| table[six.iter().fold(0, |number, bit| number << 1 | usize::from(*bit))]).collect()
}

/// Everything that was written, by where it was.
#[derive(Default)]
struct Written(Vec<(String, Vec<u8>)>);

impl Written {
    fn add(&mut self, place: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.push((place.into(), bytes.into()));
    }

    /// Panics with every place where one of these is, in whatever spelling.
    fn lacks(&self, canaries: &[&str], but: impl Fn(&str) -> bool) {
        let mut found = Vec::new();
        for canary in canaries {
            for (spelling, needle) in spellings(canary) {
                let first = needle[0];
                for (place, bytes) in self.0.iter().filter(|(place, _)| !but(place)) {
                    let starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == first).map(|(at, _)| at);
                    for at in starts.filter(|at| bytes[*at..].starts_with(&needle)).take(1) {
                        let around = &bytes[at.saturating_sub(200)..bytes.len().min(at + needle.len() + 20)];
                        found.push(format!("{canary} {spelling} in {place}: {}", String::from_utf8_lossy(around)));
                    }
                }
            }
        }
        assert!(found.is_empty(), "{} places:\n{}", found.len(), found.join("\n\n"));
    }
}

/// Ways to quote a request and fail; the number after them is one to answer.
const WAYS: usize = 8;

/// A provider whose first part of the path says in which way it fails.
async fn echoing() -> SocketAddr {
    let router = Router::new().fallback(echo);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, router).into_future());
    address
}

async fn echo(uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let way: usize = uri.path().split('/').nth(1).and_then(|part| part.parse().ok()).unwrap();
    let key = headers.get("x-api-key").and_then(|key| key.to_str().ok()).unwrap_or_default();
    let all = format!("{uri} {headers:?} {}", String::from_utf8_lossy(&body));
    let error = |kind: &str, message: &str| json!({"type": "error", "error": {"type": kind, "message": message}});
    let refuse = |status: StatusCode, body: Value| (status, axum::Json(body)).into_response();
    let stream = |text: String| ([("content-type", "text/event-stream")], text).into_response();
    let start = |id: &str| {
        let message = json!({"id": id, "type": "message", "role": "assistant", "model": id, "content": [],
            "usage": {"input_tokens": 1, "output_tokens": 1}});
        format!("event: message_start\ndata: {}\n\n", json!({"type": "message_start", "message": message}))
    };
    match way {
        0 => refuse(
            StatusCode::UNAUTHORIZED,
            error("authentication_error", &format!("invalid x-api-key {key} in {all}")),
        ),
        1 => refuse(StatusCode::BAD_REQUEST, error("invalid_request_error", &format!("url?key={key}: {all}"))),
        2 => refuse(StatusCode::INTERNAL_SERVER_ERROR, json!({"error": format!("panic at {key} with {all}")})),
        3 => (StatusCode::BAD_GATEWAY, format!("<html><a href=\"/?{key}\">{all}</a>")).into_response(),
        4 => {
            let place = format!("/9/else?key={}", key.replace('"', "%22").replace('\\', "%5C"));
            (StatusCode::TEMPORARY_REDIRECT, [("location", place)]).into_response()
        }
        5 => {
            let refused = axum::Json(error(key, &all));
            (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "3600")], refused).into_response()
        }
        6 => stream(format!(
            "{}event: error\ndata: {}\n\n",
            start(key),
            error("overloaded_error", &format!("{key} {all}"))
        )),
        7 => stream(format!("{}data: {{\"broken\": \"{key}\"\n\n{all}", start(key))),
        WAYS => {
            let delta =
                json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": ANSWER}});
            let end =
                json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}});
            let stop = json!({"type": "message_stop"});
            let events = [("content_block_delta", delta), ("message_delta", end), ("message_stop", stop)];
            let events = events.map(|(name, event)| format!("event: {name}\ndata: {event}\n\n"));
            stream(start("msg_1") + &events.concat())
        }
        _ => panic!("a redirect was followed: {uri}"),
    }
}

const ANSWER: &str = "src/greet.ts\n<<<<<<< SEARCH\nexport const greet = (name: string) => `hi ${name}`;\n=======\nexport const greet = (name: string) => `hello ${name}`;\n>>>>>>> REPLACE\n";

/// A file with a secret and with somebody's data.
fn source() -> String {
    format!(
        "// @author {}\n// {}\nconst token = \"{}\";\nexport const greet = (name: string) => `hi ${{name}}`;\nexport const auth = () => token;\n",
        PERSON[1],
        PERSON[0],
        secret()
    )
}

/// One provider for each way to fail, and the one that answers.
fn providers(address: SocketAddr) -> String {
    let mut settings = format!("provider = \"p{WAYS}\"\n");
    for way in 0..=WAYS {
        settings += &format!(
            "[providers.p{way}]\nkind = \"anthropic\"\nmodel = \"m\"\nbase_url = \"http://{address}/{way}\"\nkey_env = \"MY_KEY\"\n"
        );
    }
    settings
}

const LOUD: [(&str, &str); 2] = [("KRINS_LOG", "trace"), ("KRINS_LOG_FORMAT", "json")];

fn shop(settings: &str) -> Workspace {
    let workspace = Workspace::from_fixture("//- /package.json\n{\"name\": \"app\"}\n");
    workspace.write("src/greet.ts", source());
    write_settings(&workspace, settings);
    workspace
}

/// Every failure by the command line, then a change by the editor that is applied and undone, then all that a person can ask
/// to be shown or written.
fn journey(who: &str, workspace: &Workspace, env: &[(&str, &str)]) -> Written {
    let mut written = Written::default();
    let krins = |written: &mut Written, args: &[&str], answers: bool| {
        let mut command = command(workspace, args);
        command.envs(env.iter().chain(&LOUD).copied());
        let ran = run(command, b"");
        assert!(!answers || ran.code == Some(0), "{who}: krins {args:?}: {}", ran.describe());
        written.add(format!("{who}: the log of krins {}", args.join(" ")), ran.stderr);
        written.add(format!("{who}: output of krins {}", args.join(" ")), ran.stdout);
        ran.code
    };
    for way in 0..WAYS {
        let (provider, words) = (format!("p{way}"), format!("greet politely ({way})"));
        let args = ["--provider", &provider, "assign", &words, "--file", "src/greet.ts", "--json"];
        assert_ne!(krins(&mut written, &args, false), Some(0), "way {way} is no answer");
    }
    let builder = Client::builder(workspace).persona(Persona::VSCODE);
    let builder = env.iter().chain(&LOUD).fold(builder, |builder, &(name, value)| builder.env(name, value));
    let mut client = builder.start();
    client.initialize();
    for method in ["window/showMessage", "textDocument/publishDiagnostics", "krins/task/didChange", "$/progress"] {
        client.ignore(method);
    }
    client.ignore("window/workDoneProgress/create");
    let uri = client.uri("src/greet.ts");
    let params = json!({"intent": "greet politely", "task": "good", "textDocument": {"uri": uri}});
    client.request("krins/assign", params).unwrap();
    let diff = client.request("krins/diff", json!({"task": "good", "wait": true})).unwrap();
    assert_eq!(diff["state"], "ready", "{who}: {diff:#}");
    client.request("krins/apply", json!({"task": "good"})).unwrap();
    assert!(workspace.read("src/greet.ts").contains("hello"));
    client.request("krins/undo", json!({})).unwrap();
    assert_eq!(workspace.read("src/greet.ts"), source());
    for method in ["krins/status", "krins/audit/verify", "krins/graph/stats"] {
        let said = client.request(method, json!({})).unwrap();
        written.add(format!("{who}: output of {method}"), said.to_string());
    }
    for params in [json!({"task": 5}), json!({"intent": [ADMIN]}), json!(null)] {
        let said = client.request("krins/assign", params).unwrap_err();
        written.add(format!("{who}: a bad request's answer"), format!("{said:?}"));
    }
    let log = client.stderr();
    assert!(log.contains("krins.task"), "{who}: the log is loud: {log}");
    written.add(format!("{who}: the log of the sidecar"), log);
    client.close();
    for args in [
        &["status", "--json"][..],
        &["doctor", "--json"],
        &["task", "list", "--json"],
        &["audit", "verify", "--json"],
        &["audit", "tail", "--json"],
        &["sbom", "--json"],
        &["locks", "--json"],
        &["report", "weekly", "--json"],
    ] {
        krins(&mut written, args, false);
    }
    for (path, bytes) in files(&workspace.home()) {
        written.add(format!("{who}: the file {}", path.display()), bytes);
    }
    written
}

/// Method, path, headers, body.
type Request<'a> = (&'a str, String, Vec<(&'a str, &'a str)>, String);

/// What no well-behaved client sends, with keys where they do not belong; what comes back.
async fn misbehave(service: &Service, written: &mut Written) {
    let to = service.address();
    let bearer = format!("Bearer {ADMIN}");
    let good = ("authorization", bearer.as_str());
    let json_type = ("content-type", "application/json");
    let in_url = ADMIN.replace('"', "%22").replace('\\', "%5C");
    let basic =
        format!("Basic {}", String::from_utf8_lossy(&base64_inside(format!("me:{ADMIN}").as_bytes(), 0, STANDARD)));
    let spoilt = format!("{bearer}x");
    let chat = |model: &str| json!({"model": model, "messages": [{"role": "user", "content": format!("{} {}", secret(), PERSON[0])}]});
    let mut requests: Vec<Request<'_>> = vec![
        ("GET", format!("/queue/stats?token={in_url}"), vec![], String::new()),
        ("GET", format!("/tasks/{in_url}"), vec![good], String::new()),
        ("GET", format!("/{in_url}"), vec![], String::new()),
        ("GET", "/queue/stats".into(), vec![("authorization", &basic)], String::new()),
        ("GET", "/queue/stats".into(), vec![("authorization", &spoilt)], String::new()),
        ("GET", "/queue/stats".into(), vec![("x-api-key", ADMIN), ("cookie", ADMIN)], String::new()),
        (
            "GET",
            "/health".into(),
            vec![("traceparent", ADMIN), ("tracestate", ADMIN), ("baggage", ADMIN)],
            String::new(),
        ),
        ("POST", "/tasks".into(), vec![good, json_type, ("idempotency-key", ADMIN)], format!("{{\"prompt\": {ADMIN}")),
        (
            "POST",
            "/tasks".into(),
            vec![good, json_type],
            json!({"prompt": ADMIN, "max_output_tokens": ADMIN}).to_string(),
        ),
        ("POST", "/router/record".into(), vec![good, json_type], json!({"source": ADMIN, "value": 1}).to_string()),
        (
            "PUT",
            "/locks/a?project=p".into(),
            vec![good, json_type],
            json!({"holder": "me", "token": ADMIN, "ttl_ms": 1}).to_string(),
        ),
        ("DELETE", "/locks/a?project=p".into(), vec![good, ("lock-token", KEY)], String::new()),
        ("GET", "/tasks/x/events".into(), vec![good, ("last-event-id", ADMIN)], String::new()),
        (ADMIN.split('"').next().unwrap().split('+').next().unwrap(), "/health".into(), vec![], String::new()),
    ];
    requests.extend((0..=WAYS).map(|way| {
        ("POST", "/v1/chat/completions".into(), vec![good, json_type], chat(&format!("p{way}/m")).to_string())
    }));
    for path in [
        "/health",
        "/health/ready",
        "/metrics",
        "/dead",
        "/queue/stats?all=true",
        "/openapi.json",
        "/v1/models",
        "/locks?project=p",
    ] {
        requests.push(("GET", path.into(), vec![good], String::new()));
    }
    for (method, path, headers, body) in requests {
        let answer = raw_http::send(to, method, &path, &headers, body.as_bytes()).await;
        let shown = path.split(['?', '"']).next().unwrap_or_default().chars().take(20).collect::<String>();
        written.add(format!("the answer to {method} {shown}"), format!("{answer:?}"));
        written.add(format!("the answer's body to {method} {shown}"), answer.body);
    }
}

#[test]
fn no_key_and_nobodys_data_is_in_anything_that_is_written() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let address = runtime.block_on(echoing());
    let collector = runtime.block_on(Collector::start());
    let endpoint = collector.endpoint();
    let traced = ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str());
    let env = [("MY_KEY", KEY), ("KRINS_SERVE_TOKEN", ADMIN), traced, LOUD[0], LOUD[1]];
    let service = Service::start(&providers(address), &[], &env);
    let alone = shop(&providers(address));
    // The providers' names are the service's: a name is all that is sent of them.
    let team = shop(&format!("backend.url = \"{}\"\n{}", service.url(), providers(address)));
    let (mut written, theirs) = std::thread::scope(|scope| {
        let one = scope.spawn(|| journey("alone", &alone, &[("MY_KEY", KEY), traced]));
        let other = scope.spawn(|| journey("team", &team, &[("KRINS_TOKEN", ADMIN), traced]));
        (one.join().unwrap(), other.join().unwrap())
    });
    written.0.extend(theirs.0);
    runtime.block_on(misbehave(&service, &mut written));
    let (home, said) = service.end();
    assert!(said.len() > 10_000, "the service's log is loud: {}", String::from_utf8_lossy(&said));
    written.add("the service's log", said);
    for (path, bytes) in files(&home.home()) {
        written.add(format!("the service's file {}", path.display()), bytes);
    }
    written.add("the traces", collector.bytes());
    let places: Vec<&str> = written.0.iter().map(|(place, _)| place.as_str()).collect();
    for kind in ["tasks.sqlite", "books.sqlite", "audit", "the traces", "log of the sidecar"] {
        assert!(places.iter().any(|place| place.contains(kind)), "nothing of {kind} was looked at: {places:#?}");
    }

    written.lacks(&[KEY], |_| false);
    // Whoever asks for a task by the name of a key is told that there is none of that name.
    written.lacks(&[ADMIN], |place| place.starts_with("the answer") && place.ends_with(" GET /tasks/serve-canary+"));
    // What the workspace itself holds is shown to the person, and kept for the review, the undo and in the index, for
    // nobody else to read.
    let own = ["/blobs/", "/apply/", "/index/", "/kept/"];
    let secret = secret();
    written.lacks(&[&secret, PERSON[0], PERSON[1]], |place| {
        own.iter().any(|own| place.contains(own)) || place.contains(": output of ")
    });
}

#[test]
fn the_search_finds_what_is_there() {
    for canary in [KEY, ADMIN, PERSON[0], PERSON[1]] {
        for (spelling, needle) in spellings(canary) {
            let mut written = Written::default();
            written.add("a file", [b"before ".as_slice(), &needle, b" after"].concat());
            let found = std::panic::catch_unwind(|| written.lacks(&[canary], |_| false));
            assert!(found.is_err(), "{canary} {spelling}");
        }
    }
    // `me:` and the text, as browsers send it.
    let whole = b"bWU6c2stY2FuYXJ5KzUxZjcvYTBjMj1lOTRiJjhkMzZ+InF1b3RlZCJcY2FuYXJ5";
    let inside = base64_inside(KEY.as_bytes(), 0, STANDARD);
    assert!(whole.windows(inside.len()).any(|part| part == inside), "{}", String::from_utf8_lossy(&inside));
}
