//! The real `krins serve` and the real command line and sidecar that are pointed at it: the same answers as without it, and
//! clear words when it goes away.

use krins_tests::client::Client;
use krins_tests::command::{Ran, command, krins, run};
use krins_tests::fakes::{Behaviour, Dialect, FakeProvider, Scenario};
use krins_tests::personas::Persona;
use krins_tests::raw_http;
use krins_tests::workspace::Workspace;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

const SHOP: &str = "\
//- /src/total.ts
export const total = 1;
const a = \"x\\ty\";
const b = 2;
//- /src/cart.ts
import { total } from './total';
export const cart = { total };
";
const RENAME: &str = "rename total to grandTotal";
/// What the fake's answer is for.
const WISH: &str = "call it sum, and say so in a comment";
const KEY: &str = "sk-ant-test-0123456789abcdef0123456789";

fn settings(workspace: &Workspace, text: &str) {
    let file = workspace.home().join(".config/krins/config.toml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

/// A provider of the person's own, which is a fake.
fn mine(fake: &FakeProvider) -> String {
    format!(
        "provider = \"mine\"\n[providers.mine]\nkind = \"anthropic\"\nmodel = \"m\"\nbase_url = \"{}\"\nkey_env = \"MY_KEY\"\n",
        fake.base_url()
    )
}

/// A running `krins serve`. Dropping it kills it.
struct Server {
    child: Child,
    address: String,
    /// Its home, with its settings and its tasks.
    home: Workspace,
}

impl Server {
    fn start(settings_of_it: &str, env: &[(&str, &str)]) -> Self {
        let home = Workspace::empty();
        settings(&home, settings_of_it);
        let (child, address) = Self::spawn(&home, "127.0.0.1:0", env);
        Self { child, address, home }
    }

    fn spawn(home: &Workspace, address: &str, env: &[(&str, &str)]) -> (Child, String) {
        let mut command = command(home, &["serve", "--addr", address, "--json"]);
        command.envs(env.iter().copied()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("krins starts");
        let mut said = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let document: Value = loop {
            said += &lines.next().unwrap_or_else(|| panic!("the server has ended: {said}")).unwrap();
            if let Ok(document) = serde_json::from_str(&said) {
                break document;
            }
        };
        let address = document["address"].as_str().unwrap().to_owned();
        (child, address)
    }

    fn url(&self) -> String {
        format!("backend.url = \"http://{}\"\n", self.address)
    }

    /// For somebody who wants a provider of the server's, by its name there.
    fn url_for(&self, provider: &str) -> String {
        format!("provider = \"{provider}\"\n{}", self.url())
    }

    fn terminate(&self) {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn ends(&mut self, within: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + within;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A workspace of somebody with these settings.
fn asker(settings_of_it: &str) -> Workspace {
    let workspace = Workspace::from_fixture(SHOP);
    settings(&workspace, settings_of_it);
    workspace
}

fn assign(workspace: &Workspace, intent: &str, env: &[(&str, &str)]) -> Ran {
    let mut command = command(workspace, &["assign", intent, "--json"]);
    command.envs(env.iter().copied());
    run(command, b"")
}

/// What the same ask gives wherever it is answered: without the ids, the times, and the paths of the workspace.
fn essence(diff: &Value) -> Value {
    let hunks: Vec<&Value> = diff["files"].as_array().unwrap().iter().map(|file| &file["hunks"]).collect();
    json!({"patch": diff["patch"], "hunks": hunks, "why": diff["why"], "model": diff["model"], "verdict": diff["gate"]["verdict"], "usage": diff["usage"]})
}

fn diff(client: &mut Client, intent: &str) -> Value {
    let task = client.request("krins/assign", json!({"intent": intent})).unwrap()["task"].take();
    client.request("krins/diff", json!({"task": task, "wait": true})).unwrap_or_else(|error| panic!("{error:?}"))
}

fn session(workspace: &Workspace) -> Client {
    let mut client = Client::start(workspace, Persona::VSCODE);
    for method in ["window/showMessage", "krins/task/didChange"] {
        client.ignore(method);
    }
    client
}

fn error(ran: Ran, code: i32, kind: &str) -> (String, String) {
    let error = ran.expect(code).json()["error"].take();
    assert_eq!(error["kind"], kind, "{error:#}");
    let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
    (text("message"), text("hint"))
}

/// Whether any file below holds the text.
fn holds(dir: &Path, text: &str) -> bool {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).any(|path| {
        let here = || fs::read(&path).unwrap().windows(text.len()).any(|window| window == text.as_bytes());
        if path.is_dir() { holds(&path, text) } else { here() }
    })
}

async fn is_asked(fake: &FakeProvider) {
    let until = Instant::now() + Duration::from_secs(20);
    while fake.attempts().is_empty() {
        assert!(Instant::now() < until, "nobody asks");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn the_refactorings_are_the_same_far_and_near() {
    let server = Server::start("", &[]);
    let near = assign(&asker(""), RENAME, &[]).expect(0).json();
    let there = asker(&server.url());
    let far = assign(&there, RENAME, &[]).expect(0).json();
    assert_eq!(essence(&far), essence(&near));
    assert!(near["patch"].as_str().unwrap().contains("+export const cart = { total: grandTotal };"));
    let mut client = session(&there);
    let far = diff(&mut client, RENAME);
    assert_eq!(essence(&far), essence(&near));
    let before = there.snapshot();
    client.request("krins/apply", json!({})).unwrap();
    assert!(there.read("src/cart.ts").contains("grandTotal"));
    client.request("krins/undo", json!({})).unwrap();
    assert!(there.snapshot() == before, "undo restores every byte");
    // What is refused near is refused far, in the same words.
    let refused = |workspace: &Workspace| error(assign(workspace, "make it faster", &[]), 2, "ProviderRefused");
    assert_eq!(refused(&there), refused(&asker("")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_answers_the_same_far_and_near_and_the_key_stays_at_the_server() {
    let fake = FakeProvider::start(Dialect::Anthropic, Scenario::Ok).await.unwrap();
    let keyed = [("MY_KEY", KEY)];
    let server = Server::start(&mine(&fake), &keyed);
    let near = assign(&asker(&mine(&fake)), WISH, &keyed).expect(0).json();
    let there = asker(&server.url_for("mine"));
    // The asker has no key.
    let ran = assign(&there, WISH, &[]).expect(0);
    assert!(!ran.text().contains(KEY));
    let far = ran.json();
    assert_eq!(essence(&far), essence(&near));
    assert!(near["model"].as_str().unwrap().starts_with("mine/"), "{}", near["model"]);
    assert!(near["patch"].as_str().unwrap().contains("+export const sum = 1; // é ≠ 𝄞\n"), "{near:#}");
    assert_eq!((fake.attempts().len(), fake.violations()), (2, Vec::<String>::new()));
    let sent: Vec<Value> = fake.attempts().into_iter().map(|attempt| attempt.body).collect();
    assert_eq!(sent[0], sent[1], "the model was asked the same");
    assert!(!holds(&there.home(), KEY) && !holds(&server.home.home(), KEY), "a key reaches no file");
    // A session asks the same again: from the cache of the server.
    let again = diff(&mut session(&there), WISH);
    assert_eq!((&again["cached"], fake.attempts().len()), (&json!(true), 2), "{}", again["model"]);
    assert_eq!(again["patch"], near["patch"]);
    // Who names no provider gets the server's own, and a refactoring needs none.
    let plain = asker(&server.url());
    let answered = assign(&plain, WISH, &[]).expect(0).json();
    assert_eq!(answered["patch"], near["patch"]);
    let renamed = assign(&plain, RENAME, &[]).expect(0).json();
    assert_eq!(renamed["model"], "builtin/refactorings");
    assert_eq!(fake.attempts().len(), 2, "neither asked the model again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_told_to_stop_ends_what_it_began() {
    let slow = Behaviour { slow: Duration::from_millis(1500), ..Behaviour::new(Scenario::SlowFirstToken) };
    let fake = FakeProvider::behaving(Dialect::Anthropic, slow).await.unwrap();
    let mut server = Server::start(&mine(&fake), &[("MY_KEY", KEY)]);
    let there = asker(&server.url_for("mine"));
    let asking = tokio::task::spawn_blocking(move || assign(&there, WISH, &[]));
    is_asked(&fake).await;
    server.terminate();
    let diff = asking.await.unwrap().expect(0).json();
    assert!(diff["patch"].as_str().unwrap().contains("export const sum"), "{diff:#}");
    assert_eq!(server.ends(Duration::from_secs(10)).expect("it ends").code(), Some(0));
    let (_, hint) = error(assign(&asker(&server.url_for("mine")), WISH, &[]), 3, "BackendUnavailable");
    assert!(hint.contains("krins serve"), "{hint}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_is_said_and_one_that_comes_back_is_used() {
    let fake = FakeProvider::start(Dialect::Anthropic, Scenario::Silent).await.unwrap();
    let keyed = [("MY_KEY", KEY)];
    let mut server = Server::start(&mine(&fake), &keyed);
    let there = asker(&server.url_for("mine"));
    let before = there.snapshot();
    let mut client = session(&there);
    let task = client.request("krins/assign", json!({"intent": WISH})).unwrap()["task"].take();
    let mut asking = command(&there, &["assign", WISH, "--json"]);
    asking.stdout(Stdio::piped()).stderr(Stdio::piped());
    let asking = asking.spawn().unwrap();
    is_asked(&fake).await;
    server.kill();
    let killed = Instant::now();
    let output = asking.wait_with_output().unwrap();
    let ran = Ran { code: output.status.code(), stdout: output.stdout, stderr: output.stderr };
    let (_, hint) = error(ran, 3, "BackendUnavailable");
    assert!(!hint.is_empty());
    let failed = client.request("krins/diff", json!({"task": task, "wait": true})).unwrap_err();
    assert_eq!((failed.kind(), &failed.data["retryable"]), (Some("BackendUnavailable"), &json!(true)), "{failed:?}");
    assert!(killed.elapsed() < Duration::from_secs(60), "{:?}", killed.elapsed());
    assert!(there.snapshot() == before);

    fake.behave(Behaviour::new(Scenario::Ok));
    let (child, address) = Server::spawn(&server.home, &server.address, &keyed);
    server.child = child;
    assert_eq!(address, server.address);
    assert!(diff(&mut client, WISH)["patch"].as_str().unwrap().contains("export const sum"));
}

#[test]
fn a_server_with_a_token_wants_it() {
    let mut server = Server::start("", &[("KRINS_SERVE_TOKEN", "a-token-of-at-least-32-characters-0123")]);
    let there = asker(&server.url());
    let (_, hint) = error(assign(&there, RENAME, &[]), 2, "AuthFailed");
    assert!(hint.contains("KRINS_TOKEN"), "{hint}");
    let wrong = assign(&there, RENAME, &[("KRINS_TOKEN", "another-token-of-32-characters-012345")]);
    assert!(!wrong.text().contains("another-token"), "a token reaches no error");
    error(wrong, 2, "AuthFailed");
    assign(&there, RENAME, &[("KRINS_TOKEN", "a-token-of-at-least-32-characters-0123")]).expect(0);
    server.terminate();
    assert_eq!(server.ends(Duration::from_secs(10)).expect("it ends").code(), Some(0));
}

#[test]
fn an_address_that_is_taken_or_wrong_is_an_error_with_a_hint() {
    let server = Server::start("", &[]);
    for address in [server.address.as_str(), "nowhere", "localhost:1"] {
        let ran = krins(&Workspace::empty(), &["serve", "--addr", address, "--json"]).expect(2);
        assert!(ran.json()["error"]["hint"].is_string(), "{}", ran.describe());
    }
}

/// A provider with a price for its answers alone, and a cheaper one.
fn priced(fake: &FakeProvider) -> String {
    let prices = "prices = [\"mine * 2025-01-01 0 0 1000\", \"cheap * 2025-01-01 0 0 1\"]\n";
    let cheap = format!(
        "[providers.cheap]\nkind = \"anthropic\"\nmodel = \"c\"\nbase_url = \"{}\"\nkey = \"none\"\n",
        fake.base_url()
    );
    format!("{prices}{}{cheap}", mine(fake))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_says_the_same_far_and_near_and_counts_all_that_one_task_asks() {
    let behaviour = Behaviour { pace: Duration::from_millis(300), ..Behaviour::new(Scenario::Ok) };
    let fake = FakeProvider::behaving(Dialect::Anthropic, behaviour).await.unwrap();
    let keyed = [("MY_KEY", KEY)];
    let server = Server::start(&priced(&fake), &keyed);
    let near = asker(&format!("output.tokens = 1000\n{}", priced(&fake)));
    let far = asker(&format!("output.tokens = 1000\n{}", server.url_for("mine")));
    let refused = |workspace: &Workspace| {
        let mut command = command(workspace, &["assign", WISH, "--micros", "500000", "--json"]);
        command.envs(keyed);
        error(run(command, b""), 2, "BudgetExceeded")
    };
    let (message, hint) = refused(&near);
    assert!(message.contains("has $0.50 left"), "{message}");
    assert!(hint.contains("narrow the scope") && hint.contains("cheap/c would do it for at most $0.001"), "{hint}");
    assert_eq!(refused(&far), (message, hint), "the same words");
    assert_eq!(fake.attempts().len(), 0, "nothing was sent");
    // Three answers side by side: two reservations fit, whoever of the server runs them.
    let mut several = command(&far, &["assign", WISH, "--variants", "3", "--micros", "2000000", "--json"]);
    several.envs(keyed);
    let diff = tokio::task::spawn_blocking(move || run(several, b"")).await.unwrap().expect(0).json();
    assert_eq!(fake.attempts().len(), 2, "{diff:#}");
    assert_eq!(diff["cost"], 2 * 42 * 1000, "{diff:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_of_an_ask_is_told_in_the_same_words_far_and_near() {
    let sick = FakeProvider::start(Dialect::Anthropic, Scenario::ServerErrorNoRetry).await.unwrap();
    let slow = Behaviour { slow: Duration::from_secs(3), ..Behaviour::new(Scenario::SlowFirstToken) };
    let well = FakeProvider::behaving(Dialect::Anthropic, slow).await.unwrap();
    let provider = |name: &str, fake: &FakeProvider| {
        let url = fake.base_url();
        format!("[providers.{name}]\nkind = \"anthropic\"\nmodel = \"m\"\nbase_url = \"{url}\"\nkey = \"none\"\n")
    };
    let both =
        format!("provider = \"sick\"\nfallback = [\"well\"]\n{}{}", provider("sick", &sick), provider("well", &well));
    let server = Server::start(&both, &[]);
    for workspace in [asker(&both), asker(&server.url())] {
        let mut client = session(&workspace);
        let task = client.request("krins/assign", json!({"intent": WISH})).unwrap()["task"].take();
        client.await_progress(|progress| progress.to_string().contains("\"asked well/m: sick/m failed\""));
        let diff = client.request("krins/diff", json!({"task": task, "wait": true})).unwrap();
        assert_eq!(diff["degraded"], "sick/m failed", "{diff:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn persons_have_budgets_and_rates_of_their_own_whatever_token_they_use() {
    let fake = FakeProvider::start(Dialect::Anthropic, Scenario::Ok).await.unwrap();
    let home = Workspace::empty();
    settings(&home, &priced(&fake));
    let token = |args: &[&str]| {
        let words = [&["serve", "token", "add", "acme", "--json"], args].concat();
        krins(&home, &words).expect(0).json()["token"].as_str().unwrap().to_owned()
    };
    let ann = ["--person", "ann", "--micros-per-day", "1050000"];
    let (first, second) = (token(&ann), token(&ann));
    let bob = token(&[]);
    let admin = token(&["--scopes", "tasks,admin"]);
    let hasty = ["--person", "hasty", "--rate", "3"];
    let (one, other) = (token(&hasty), token(&hasty));
    let (child, address) = Server::spawn(&home, "127.0.0.1:0", &[("MY_KEY", KEY)]);
    let server = Server { child, address, home };
    let there = asker(&format!("output.tokens = 1000\n{}", server.url_for("mine")));
    let ask = |token: &str, n: u32| assign(&there, &format!("{WISH} ({n})"), &[("KRINS_TOKEN", token)]);
    // Each reserves 1,000,000 and costs 42,000.
    ask(&first, 1).expect(0);
    ask(&second, 2).expect(0);
    let (message, _) = error(ask(&first, 3), 2, "BudgetExceeded");
    assert!(message.contains("your budget of the day of $1.05"), "{message}");
    ask(&bob, 4).expect(0);
    assert_eq!(fake.attempts().len(), 3);

    let to: std::net::SocketAddr = server.address.parse().unwrap();
    let get = async |path: &str, token: &str| {
        let bearer = format!("Bearer {token}");
        raw_http::send(to, "GET", path, &[("authorization", &bearer)], b"").await
    };
    let mine = get("/reports/weekly", &second).await.json();
    assert_eq!((&mine["rows"][0]["person"], &mine["rows"].as_array().unwrap().len()), (&json!("ann"), &1), "{mine}");
    assert_eq!((&mine["total"]["calls"], &mine["total"]["cost"]), (&json!(2), &json!(84_000)), "{mine}");
    let all = get("/reports/weekly?all=true&days=2", &admin).await.json();
    assert_eq!((&all["total"]["calls"], &all["rows"][0]["tenant"]), (&json!(3), &json!("acme")), "{all}");
    for path in ["/reports/open", "/admin/switch", "/reports/weekly?all=true"] {
        assert_eq!(get(path, &bob).await.status, 403, "{path}");
        assert_eq!(get(path, &admin).await.status, 200, "{path}");
    }
    // Two tokens, one person, three requests a minute.
    let mut answers = Vec::new();
    for token in [&one, &other, &one, &other] {
        answers.push(get("/queue/stats", token).await.status);
    }
    assert_eq!(answers, [200, 200, 200, 429]);
}

/// The copy of the audit: made by the sidecar's own doing, without and with what the records are about, the same twice, and
/// kept from whoever writes the log anew.
#[test]
fn a_copy_of_the_audit_is_kept_and_finds_out_who_writes_it_anew() {
    let token = "a-token-of-the-service";
    let server = Server::start("", &[("KRINS_SERVE_TOKEN", token)]);
    let asker =
        |share: &str| asker(&format!("{}audit.share = \"{share}\"\napprovals.identity = \"@ann\"\n", server.url()));
    let share = |workspace: &Workspace| {
        let mut command = command(workspace, &["audit", "share", "--json"]);
        command.env("KRINS_TOKEN", token);
        run(command, b"")
    };
    let curl = |method: &str, path: &str| -> Value {
        let address = server.address.parse().unwrap();
        let headers = [("authorization", format!("Bearer {token}"))];
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(raw_http::send(address, method, path, &headers, b"")).json()
    };
    for (word, whole) in [("records", false), ("whole", true)] {
        let workspace = asker(word);
        assign(&workspace, RENAME, &[("KRINS_TOKEN", token)]).expect(0);
        let first = share(&workspace).expect(0).json()["records"].as_u64().unwrap();
        assert!(first >= 3, "assigned, answered, gated: {first}");
        assert_eq!(share(&workspace).expect(0).json()["records"], first, "the same again");
        let kept = curl("GET", "/audit/about?subject=%40ann");
        assert_eq!(!kept["records"].as_array().unwrap().is_empty(), whole, "{word}: {kept}");
        krins(&workspace, &["apply"]).expect(0);
        let more = share(&workspace).expect(0).json()["records"].as_u64().unwrap();
        assert!(more > first, "{more} after {first}");
        // Somebody writes the log anew, with sound hashes and all: another record stands where one was handed over.
        let audit = fs::read_dir(workspace.home().join(".local/state/krins/roots")).unwrap().flatten().next().unwrap();
        let audit = audit.path().join("audit");
        let log = fs::read_to_string(audit.join("log")).unwrap();
        let cut: Vec<&str> = log.split_inclusive('\n').collect();
        fs::write(audit.join("log"), cut[..cut.len() - 1].concat()).unwrap();
        fs::remove_file(audit.join("checkpoints")).unwrap();
        krins(&workspace, &["undo"]).expect(0);
        let refused = share(&workspace);
        assert_eq!(refused.code, Some(1), "{}", refused.describe());
        assert!(refused.text().contains("is not of this log"), "{}", refused.describe());
    }
    // What was kept about somebody is erased on demand.
    let erased = curl("DELETE", "/audit/about?subject=%40ann");
    assert!(erased["erased"].as_u64().unwrap() > 0, "{erased}");
    assert_eq!(curl("GET", "/audit/about?subject=%40ann")["records"], json!([]));
}

#[test]
fn nothing_of_the_audit_leaves_the_machine_unless_the_person_says_so() {
    let server = Server::start("", &[]);
    let workspace = asker(&server.url());
    assign(&workspace, RENAME, &[]).expect(0);
    let refused = krins(&workspace, &["audit", "share"]);
    assert_eq!(refused.code, Some(2), "{}", refused.describe());
    // A repository cannot decide it.
    workspace.write(".krins/config.toml", "audit.share = \"whole\"\n");
    assert_eq!(krins(&workspace, &["audit", "share"]).code, Some(2));
}
