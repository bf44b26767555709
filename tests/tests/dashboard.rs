//! The dashboard and the figures that it shows: those of real tasks, served to the person of this machine alone, and a
//! page that works by keyboard, under a strict policy and without a network.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use krins_tests::client::Client;
use krins_tests::command::{command, krins};
use krins_tests::fakes::{Behaviour, Dialect, FakeProvider, Scenario};
use krins_tests::personas::Persona;
use krins_tests::raw_http::{Answer, send};
use krins_tests::workspace::Workspace;
use krins_tests::{debian, npm};
use serde_json::{Value, json};

const UPLOT: &str = "1.6.32";
const PLAYWRIGHT: &str = "1.65.1";
const AXE: &str = "4.14.1";

const SHOP: &str = "\
//- /package.json
{\"name\": \"shop\"}
//- /src/total.ts
export const total = 1;
const a = \"x\\ty\";
const b = 2;
";

/// An answer that changes what only a person may change.
const FORBIDDEN: &str = "```diff\n--- /dev/null\n+++ b/.envrc\n@@ -0,0 +1 @@\n+export A=1\n```\n";

/// Plays an editor whose answers take their time, with a clock of its own: `node -e … EDITOR.html DAYS.html`.
const SLOW_EDITOR: &str = r##"
const { chromium } = require(process.env.PLAYWRIGHT);
const assert = require("node:assert");
const { pathToFileURL } = require("node:url");
const [live, days] = process.argv.slice(1).map((file) => pathToFileURL(file).href);
const editor = () => {
  window.asked = [];
  window.acquireVsCodeApi = () => ({ postMessage: (message) => window.asked.push(message) });
  window.answer = ([number, change]) => {
    const { report } = JSON.parse(document.querySelector("#data").textContent);
    const { id, params } = window.asked[number - 1];
    const data = { krins: "report", id, result: { ...report, period: params.period, ...change } };
    window.dispatchEvent(new MessageEvent("message", { data }));
  };
};
const journey = async (browser) => {
  const tab = await browser.newPage();
  await tab.clock.install({ time: 0 });
  await tab.addInitScript(editor);
  await tab.goto(live);
  await tab.clock.pauseAt(600_000);
  const pass = (seconds) => tab.clock.runFor(seconds * 1000);
  const asked = () => tab.evaluate(() => window.asked.length);
  const answer = (number, change) => tab.evaluate((given) => window.answer(given), [number, change]);
  const workspace = () => tab.locator("#workspace").textContent();
  await pass(5);
  await pass(20);
  assert.equal(await asked(), 1, "one question is out at a time");
  await answer(1, { workspace: "late" });
  assert.equal(await workspace(), "late", "an answer is taken, however late it is");
  await pass(5);
  assert.equal(await asked(), 2);
  await pass(40);
  assert.equal(await asked(), 3, "an answer that never comes is not waited for");
  await answer(2, { workspace: "too late" });
  assert.equal(await workspace(), "late");
  await tab.evaluate(() => document.querySelector("input[value=month]").click());
  assert.equal(await asked(), 4, "another period is asked for at once");
  // What passes by itself is shown, and nothing else is drawn anew for it.
  const waits = (number, seconds) => {
    const routes = [{ route: "a/x", state: "open", cause: null, seconds }];
    return answer(number, { routes: { routes, at: 600_000 - seconds * 1000, level: "normal", switchedOff: [], remote: [] } });
  };
  const shown = async (seconds, what) => {
    const text = await tab.locator("#tables").textContent();
    assert.ok(text.includes(`again in ${seconds} s`), `${what}: ${text}`);
  };
  await waits(4, 30);
  await shown(30, "at first");
  await tab.evaluate(() => (window.tile = document.querySelector("#overview").firstChild));
  await pass(5);
  await waits(5, 25);
  await shown(25, "it passes");
  await tab.evaluate(() => document.querySelector("#tables > :last-child .scroll").focus());
  await pass(5);
  await waits(6, 20);
  await shown(25, "somebody is reading it");
  await tab.evaluate(() => document.activeElement.blur());
  await pass(5);
  await waits(7, 15);
  await shown(15, "nobody is any more");
  assert.ok(await tab.evaluate(() => window.tile.isConnected), "the rest stays as it is");
  // Days are named as days, however few they are.
  const still = await browser.newPage();
  await still.goto(days);
  const charts = await still.locator("#charts").textContent();
  assert.ok(charts.includes("Day (UTC)") && charts.includes("by the day") && !charts.includes("hour"), charts);
};
(async () => {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox", "--disable-gpu"] });
  try {
    await journey(browser);
  } finally {
    await browser.close();
  }
})();
"##;

fn shop(fake: &FakeProvider) -> Workspace {
    let workspace = Workspace::from_fixture(SHOP);
    let config = workspace.home().join(".config/krins");
    std::fs::create_dir_all(&config).unwrap();
    let text = format!(
        "provider = \"fake\"\ngate.fix_rounds = 0\nprices = [\"fake fake-model 2025-01-01 0 3 15 0.3 3.75 6\"]\n\
         [providers.fake]\nkind = \"anthropic\"\nbase_url = \"{}\"\nmodel = \"fake-model\"\nkey = \"none\"\n",
        fake.base_url()
    );
    std::fs::write(config.join("config.toml"), text).unwrap();
    workspace
}

/// The sidecar, and an editor that draws everything itself.
fn editor(workspace: &Workspace) -> Client {
    let mut client = Client::start(workspace, Persona::VSCODE);
    for method in ["window/showMessage", "$/progress", "krins/task/didChange", "textDocument/publishDiagnostics"] {
        client.ignore(method);
    }
    client.ignore("window/workDoneProgress/create");
    client
}

/// Tasks of every kind, by the real binary: accepted, taken back, discarded, waiting, blocked, failed, kept and keyless.
async fn busy(workspace: &Workspace, fake: &FakeProvider) {
    let assign = |words: &str, code: i32| {
        krins(workspace, &["assign", words, "--json"]).expect(code);
    };
    let run = |args: &[&str]| {
        krins(workspace, args).expect(0);
    };
    fake.behave(Behaviour::new(Scenario::Ok));
    assign("call it sum", 0);
    run(&["apply"]);
    run(&["undo"]);
    assign("call it sum, please", 0);
    run(&["discard"]);
    // The same words twice in one process: the answer was kept.
    let mut client = editor(workspace);
    for task in ["asked", "kept"] {
        client.request("krins/assign", json!({"intent": "call it sum, again", "task": task})).unwrap();
        let diff = client.request("krins/diff", json!({"task": task, "wait": true})).unwrap();
        assert_eq!(diff["cached"], task == "kept", "{diff}");
    }
    drop(client);
    fake.behave(Behaviour { answer: FORBIDDEN.to_owned(), ..Behaviour::new(Scenario::Ok) });
    assign("set the environment up", 1);
    fake.behave(Behaviour::new(Scenario::BadKey));
    krins(workspace, &["assign", "call it anything", "--json"]);
    krins(workspace, &["--provider", "builtin", "assign", "rename total to sum", "--apply"]).expect(0);
}

/// `krins dashboard`, running.
struct Dashboard {
    child: Child,
    url: String,
}

impl Dashboard {
    fn start(workspace: &Workspace, args: &[&str], env: &[(&str, &str)]) -> Self {
        let args: Vec<&str> = ["dashboard", "--json"].iter().chain(args).copied().collect();
        let mut starting = command(workspace, &args);
        let mut child = starting.envs(env.iter().copied()).stdout(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
        let mut said = String::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            said += &line.unwrap();
            if said.ends_with('}') {
                break;
            }
        }
        let url = serde_json::from_str::<Value>(&said).unwrap()["url"].as_str().unwrap().to_owned();
        Self { child, url }
    }

    fn address(&self) -> SocketAddr {
        self.url.split('/').nth(2).unwrap().parse().unwrap()
    }

    fn path(&self) -> String {
        format!("/{}/", self.url.split('/').nth(3).unwrap())
    }

    async fn get(&self, path: &str) -> Answer {
        send(self.address(), "GET", path, &[], b"").await
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_are_those_of_real_tasks_at_every_door() {
    let fake = FakeProvider::start(Dialect::Anthropic, Scenario::Ok).await.unwrap();
    let workspace = shop(&fake);
    busy(&workspace, &fake).await;
    let dashboard = Dashboard::start(&workspace, &["--no-open"], &[]);
    let report = dashboard.get(&format!("{}report?period=day", dashboard.path())).await.json();
    assert_eq!(report["notes"], json!([]), "{report}");
    let tasks = &report["tasks"];
    assert_eq!((&tasks["assigned"], &tasks["answered"]), (&json!(7), &json!(6)), "{report}");
    assert_eq!((&tasks["accepted"], &tasks["rejected"]), (&json!(1), &json!(2)), "{report}");
    assert_eq!((&tasks["waiting"], &tasks["blocked"], &tasks["failed"]), (&json!(2), &json!(1), &json!(1)), "{report}");
    assert_eq!(report["blocks"][0]["name"], "policy/protected-path", "{report}");
    assert_eq!(report["failures"], json!([{"name": "AuthFailed", "tasks": 1}]), "{report}");
    assert_eq!((&report["cache"]["hits"], &report["cache"]["answers"]), (&json!(1), &json!(5)), "{report}");
    assert_eq!((&report["green"]["count"], &report["objectives"][0]["total"]), (&json!(5), &json!(6)), "{report}");
    // Every sum is the ledger's.
    let ledger = krins(&workspace, &["report", "weekly", "--json"]).expect(0).json();
    assert_eq!(report["spent"]["micros"], ledger["micros"], "{report} {ledger}");
    assert!(report["spent"]["micros"].as_u64().unwrap() > 0);
    let agents = report["agents"].as_array().unwrap();
    let agent = |route: &str| agents.iter().find(|agent| agent["route"] == route).unwrap_or_else(|| panic!("{report}"));
    assert_eq!(agent("fake/fake-model")["patches"], 5, "{report}");
    assert_eq!(
        (&agent("builtin/refactorings")["accepted"], &agent("builtin/refactorings")["micros"]),
        (&json!(1), &json!(0))
    );
    // How the route is was left by the process that asked.
    let routes = report["routes"]["routes"].as_array().unwrap();
    let route = routes.iter().find(|route| route["route"] == "fake/fake-model").unwrap_or_else(|| panic!("{report}"));
    assert_eq!(route["state"], "disabled", "{report}");
    // The editor is told the same.
    let mut client = editor(&workspace);
    let told = client.request("krins/report", json!({"period": "day"})).unwrap();
    for part in ["tasks", "green", "spent", "agents", "blocks", "failures", "cache", "objectives"] {
        assert_eq!(told[part], report[part], "{part}");
    }
    let page = client.request("krins/dashboard", json!({})).unwrap();
    assert!(page["html"].as_str().unwrap().starts_with("<!doctype html>"));
    assert!(client.request("krins/report", json!({"period": "century"})).is_err());
    // What is done meanwhile shows: nothing is kept from before.
    krins(&workspace, &["discard"]);
    krins(&workspace, &["undo"]).expect(0);
    let after = dashboard.get(&format!("{}report?period=day", dashboard.path())).await.json();
    assert_eq!((&after["tasks"]["accepted"], &after["tasks"]["rejected"]), (&json!(0), &json!(3)), "{after}");
}

#[test]
fn a_change_is_accepted_as_long_as_a_hunk_of_it_stays() {
    let [total, cart] = [
        "//- /src/total.ts\nexport const calculateTotal = 1;\n",
        "//- /src/cart.ts\nimport { calculateTotal } from \"./total\";\nexport const cart = calculateTotal;\n",
    ];
    let workspace = Workspace::from_fixture(&[total, cart].concat());
    krins(&workspace, &["assign", "rename calculateTotal to orderTotal"]).expect(0);
    let decided = || {
        let report = editor(&workspace).request("krins/report", json!({"period": "day"})).unwrap();
        (report["tasks"]["accepted"].as_u64().unwrap(), report["tasks"]["rejected"].as_u64().unwrap())
    };
    krins(&workspace, &["apply", "--hunks", "h1"]).expect(0);
    krins(&workspace, &["apply"]).expect(0);
    krins(&workspace, &["undo"]).expect(0);
    assert_eq!(decided(), (1, 0), "the first apply stays");
    krins(&workspace, &["undo", "--hunks", "h1"]).expect(0);
    assert_eq!(decided(), (0, 1), "with its last hunk it is taken back");
    krins(&workspace, &["redo"]).expect(0);
    assert_eq!(decided(), (1, 0), "a hunk is there again");
}

#[tokio::test]
async fn the_page_is_served_to_its_person_alone() {
    let workspace = Workspace::from_fixture(SHOP);
    let opened = workspace.home().join("opened");
    let browser = workspace.home().join("browser");
    std::fs::write(&browser, format!("#!/bin/sh\necho \"$1\" > {}\n", opened.display())).unwrap();
    Command::new("chmod").arg("+x").arg(&browser).status().unwrap();
    let dashboard = Dashboard::start(&workspace, &[], &[("BROWSER", browser.to_str().unwrap())]);
    let (address, path) = (dashboard.address(), dashboard.path());
    assert!(address.ip().is_loopback() && path.len() > 64);
    let page = dashboard.get(&path).await;
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    assert!(policy.ends_with("frame-ancestors 'none'"), "{policy}");
    assert_eq!((page.header("cache-control"), page.header("referrer-policy")), (Some("no-store"), Some("no-referrer")));
    // Another path, another host's name, another method: nothing.
    for wrong in ["/", "/report", "/x/", "/x/report", &path.replace(&path[1..9], "00000000"), &path.to_uppercase()] {
        let answer = dashboard.get(wrong).await;
        assert_eq!((answer.status, answer.body.len()), (404, 0), "{wrong}");
    }
    for host in
        ["attacker.example", "127.0.0.1", "localhost:1", &format!("127.0.0.1.attacker.example:{}", address.port())]
    {
        assert_eq!(send(address, "GET", &path, &[("host", host)], b"").await.status, 421, "{host}");
    }
    assert_eq!(
        send(address, "GET", &path, &[("host", &format!("localhost:{}", address.port()))], b"").await.status,
        200
    );
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        assert_eq!(send(address, method, &path, &[], b"").await.status, 405, "{method}");
    }
    assert_eq!(dashboard.get(&format!("{path}report?period=year")).await.status, 400);
    // The browser got an address that is good once, and not the secret itself.
    for _ in 0..200 {
        if std::fs::metadata(&opened).is_ok_and(|file| file.len() > 0) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let ticket = std::fs::read_to_string(&opened).unwrap();
    let ticket = ticket.trim().strip_prefix(&format!("http://{address}")).unwrap();
    assert!(!path.contains(ticket.rsplit('/').next().unwrap()));
    let first = dashboard.get(ticket).await;
    assert_eq!((first.status, first.header("location")), (303, Some(path.as_str())));
    assert_eq!(dashboard.get(ticket).await.status, 410);
    // The port is taken: it is said, with what to do.
    let port = address.port().to_string();
    let ran = krins(&workspace, &["dashboard", "--no-open", "--port", &port]).expect(2);
    assert!(ran.errors().contains("failed to listen on") && ran.errors().contains("hint:"), "{}", ran.errors());
}

#[test]
fn the_chart_library_is_the_published_one() {
    let package = npm::package("uplot", UPLOT);
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/krins-server/src/dashboard/uplot");
    for (ours, theirs) in [
        (ours.join("uPlot.iife.min.js"), package.join("dist/uPlot.iife.min.js")),
        (ours.join("uPlot.min.css"), package.join("dist/uPlot.min.css")),
        (ours.join("LICENSE"), package.join("LICENSE")),
    ] {
        assert!(std::fs::read(&ours).unwrap() == std::fs::read(&theirs).unwrap(), "{} was changed", ours.display());
    }
}

/// Chromium, from the system's packages where it is missing.
fn chromium() -> String {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    if !names.iter().any(|name| debian::runs(name)) {
        debian::install(&["chromium"]);
    }
    let found = names.iter().find(|name| debian::runs(name));
    let found = found.expect(
        "the page is tried in Chromium: install it (`apt-get install chromium` as root) and run the tests again",
    );
    (*found).to_owned()
}

/// Node, with what a script needs to use a browser.
fn browsing() -> Command {
    let which = Command::new("which").arg(chromium()).output().unwrap();
    let mut node = npm::node();
    node.env("PLAYWRIGHT", npm::package("playwright-core", PLAYWRIGHT))
        .env("CHROMIUM", String::from_utf8(which.stdout).unwrap().trim());
    node
}

fn try_page(home: &str, address: &str, expect: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/dashboard.mjs");
    let mut node = browsing();
    node.arg(script).args([home, address]);
    if let Ok(shots) = std::env::var("KRINS_SHOTS") {
        node.arg(shots);
    }
    node.env("AXE", npm::package("axe-core", AXE).join("axe.min.js")).env("LOADS", "3").env("EXPECT", expect);
    let output = node.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    debian::say(&format!("{home}: {said}"));
    assert!(output.status.success(), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_works_in_a_browser() {
    let fake = FakeProvider::start(Dialect::Anthropic, Scenario::Ok).await.unwrap();
    let workspace = shop(&fake);
    // Empty: it says what will be there.
    let empty = workspace.home().join("empty.html");
    krins(&workspace, &["dashboard", "--html", empty.to_str().unwrap()]).expect(0);
    let words = "Here come the tasks that you assign|Here come the rules|Here comes who wrote your changes";
    let (path, asked) = (empty.to_str().unwrap().to_owned(), words.to_owned());
    tokio::task::spawn_blocking(move || try_page("file", &path, &asked)).await.unwrap();
    busy(&workspace, &fake).await;
    let words =
        "1 of 3 decided changes, 3 open|policy/protected-path|fake/fake-model|builtin/refactorings|AuthFailed|disabled";
    let dashboard = Dashboard::start(&workspace, &["--no-open"], &[]);
    let url = dashboard.url.clone();
    tokio::task::spawn_blocking(move || try_page("served", &url, words)).await.unwrap();
    let mut client = editor(&workspace);
    let page = client.request("krins/dashboard", json!({"period": "week"})).unwrap();
    let file = workspace.home().join("editor.html");
    std::fs::write(&file, page["html"].as_str().unwrap()).unwrap();
    let path = file.to_str().unwrap().to_owned();
    tokio::task::spawn_blocking(move || try_page("editor", &path, words)).await.unwrap();
}

#[test]
fn figures_go_on_however_long_an_answer_takes() {
    let workspace = Workspace::from_fixture(SHOP);
    krins(&workspace, &["--provider", "builtin", "assign", "rename total to sum"]).expect(0);
    let [live, days] = ["editor.html", "days.html"].map(|name| workspace.home().join(name));
    let page = editor(&workspace).request("krins/dashboard", json!({"period": "week"})).unwrap();
    std::fs::write(&live, page["html"].as_str().unwrap()).unwrap();
    let to = days.to_str().unwrap();
    krins(&workspace, &["report", "roi", "--days", "2", "--format", "html", "-o", to]).expect(0);
    let output = browsing().args(["-e", SLOW_EDITOR]).args([&live, &days]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
