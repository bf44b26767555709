//! Questions to the code graph at every door of the real program: one vocabulary, the same answers, and clear errors.

use krins_tests::client::{Client, RpcError};
use krins_tests::command::{command, krins, krins_reading, run};
use krins_tests::personas::Persona;
use krins_tests::raw_http;
use krins_tests::workspace::Workspace;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Stdio};

const SHOP: &str = "\
//- /package.json
{\"name\": \"shop\", \"private\": true, \"main\": \"src/main.ts\"}
//- /src/total.ts
const tax = 2;
function round(sum: number) { return Math.round(sum * tax); }

/** Adds up. */
export function total(prices: number[]): number {
  return round(prices.reduce((sum, price) => sum + price, 0));
}
export const idle = 1;
//- /src/index.ts
export { total as sum } from \"./total\";
//- /src/cart.ts
import { sum } from \".\";
export class Cart {
  worth(prices: number[]) { return sum(prices); }
}
//- /src/main.ts
import { Cart } from \"./cart\";
import \"./ring\";
new Cart().worth([1]);
//- /src/ring.ts
import \"./round\";
//- /src/round.ts
import \"./ring\";
//- /src/total.test.ts
import { total } from \"./total\";
test(\"total\", () => { total([1]); });
//- /CODEOWNERS
*        @everybody
/src/cart.ts @cart
";

const PATCH: &str = "\
--- a/src/total.ts
+++ b/src/total.ts
@@ -2 +2 @@
-function round(sum: number) { return Math.round(sum * tax); }
+function round(sum: number) { return Math.floor(sum * tax); }
";

fn shop() -> Workspace {
    Workspace::from_fixture(SHOP)
}

fn ask(workspace: &Workspace, args: &[&str]) -> Value {
    krins(workspace, &[&["graph"], args, &["--json"]].concat()).expect(0).json()
}

fn texts<'v>(list: &'v Value, key: &str) -> Vec<&'v str> {
    list.as_array().unwrap_or_else(|| panic!("{list}")).iter().map(|entry| entry[key].as_str().unwrap()).collect()
}

/// What every door answers, without what only LSP has.
fn assert_answers(ask: &mut dyn FnMut(&str, Value) -> Value) {
    let module = ask("module", json!({"targets": ["src/cart.ts"]}));
    assert_eq!(module["path"], "src/cart.ts");
    assert_eq!(texts(&module["symbols"], "name"), ["Cart", "Cart.worth"]);
    assert_eq!(module["imports"][0]["names"], json!(["sum"]));
    assert_eq!(texts(&module["importers"], "path"), ["src/main.ts"]);
    assert_eq!(module["owners"], json!(["@cart"]));

    let references = ask("references", json!({"targets": ["src/total.ts#total"]}));
    let found: Vec<String> = references["references"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| {
            format!("{}:{} {}", found["path"].as_str().unwrap(), found["line"], found["kind"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        found,
        [
            "src/cart.ts:1 import",
            "src/cart.ts:3 call",
            "src/index.ts:1 export",
            "src/total.test.ts:1 import",
            "src/total.test.ts:2 call",
            "src/total.ts:5 declaration",
        ]
    );
    assert_eq!((&references["total"], &references["files"]), (&json!(6), &json!(4)));
    let cut = ask("references", json!({"targets": ["total"], "limit": 2}));
    assert_eq!(
        (cut["references"].as_array().unwrap().len(), &cut["truncated"], &cut["total"]),
        (2, &json!(true), &json!(6))
    );

    let impact = ask("impact", json!({"targets": ["src/total.ts#total"], "depth": 1}));
    assert_eq!(texts(&impact["files"], "path"), ["src/cart.ts"]);
    assert_eq!(texts(&impact["tests"], "path"), ["src/total.test.ts"]);
    assert_eq!(impact["symbols"][0]["because"]["symbol"], "src/total.ts#total");
    assert_eq!(impact["more"], true, "{impact}");
    assert_eq!(texts(&impact["owners"], "owner"), ["@everybody", "@cart"]);
    let nobody = ask("impact", json!({"targets": ["src/total.ts#idle"]}));
    assert_eq!((&nobody["files"], &nobody["tests"]), (&json!([]), &json!([])));
    let file = ask("impact", json!({"targets": ["src/total.ts"], "depth": 1}));
    assert_eq!(texts(&file["files"], "path"), ["src/cart.ts"]);

    let owners = ask("owners", json!({"targets": ["src/cart.ts", "src/total.ts"]}));
    assert_eq!(owners["source"], "CODEOWNERS");
    assert_eq!(owners["files"][0]["owners"], json!(["@cart"]));
    assert_eq!(owners["files"][1]["rules"][0]["pattern"], "*");
    assert_eq!(ask("owners", json!({}))["unowned"], 0);

    let tests = ask("tests", json!({"targets": ["src/total.ts"]}));
    assert_eq!(tests["tests"][0]["path"], "src/total.test.ts");
    assert_eq!((&tests["tests"][0]["sameStem"], &tests["tests"][0]["imports"]), (&json!(true), &json!(true)));
    assert_eq!(texts(&ask("tests", json!({"targets": ["src/total.test.ts"]}))["covers"], "path"), ["src/total.ts"]);

    let path = ask("path", json!({"from": "src/main.ts", "to": "round"}));
    assert_eq!(texts(&path["steps"], "to"), ["src/cart.ts#Cart", "src/total.ts#total", "src/total.ts#round"]);
    assert_eq!(ask("path", json!({"from": "round", "to": "Cart"}))["reversed"], true);
    assert_eq!(ask("path", json!({"from": "idle", "to": "Cart"}))["found"], false);

    let unused = ask("unused", json!({}));
    assert_eq!(texts(&unused["unused"], "symbol"), ["src/total.ts#idle"]);
    let cycles = ask("cycles", json!({}));
    assert_eq!(cycles["cycles"][0]["files"], json!(["src/ring.ts", "src/round.ts"]));
    assert_eq!(ask("stats", json!({}))["files"], 7);
}

/// The command line's words for a question.
fn words(question: &str, params: &Value) -> Vec<String> {
    let mut words = vec![if question == "references" { "refs" } else { question }.to_owned()];
    for key in ["from", "to"] {
        words.extend(params[key].as_str().map(str::to_owned));
    }
    words.extend(params["targets"].as_array().into_iter().flatten().map(|target| target.as_str().unwrap().to_owned()));
    for key in ["depth", "limit"] {
        words.extend(params[key].as_u64().into_iter().flat_map(|number| [format!("--{key}"), number.to_string()]));
    }
    words
}

#[test]
fn the_command_line_answers() {
    let workspace = shop();
    assert_answers(&mut |question, params| {
        let words = words(question, &params);
        ask(&workspace, &words.iter().map(String::as_str).collect::<Vec<_>>())
    });
    // From a directory below the root, with a path that is relative to it.
    let mut below = command(&workspace, &["graph", "refs", "total.ts#total", "--root", "..", "--json"]);
    below.current_dir(workspace.path("src"));
    assert_eq!(run(below, b"").expect(0).json()["total"], 6);
    let text = krins(&workspace, &["graph", "refs", "total"]).expect(0).text();
    assert!(
        text.contains("src/cart.ts:3:36 call") && text.ends_with("6 references of src/total.ts#total in 4 files\n"),
        "{text}"
    );
}

#[test]
fn the_impact_of_a_patch_is_the_same_before_and_after_it() {
    let workspace = shop();
    workspace.write("change.diff", PATCH);
    let before = ask(&workspace, &["impact", "--patch", "change.diff"]);
    assert_eq!(texts(&before["changed"], "symbol"), ["src/total.ts#round"]);
    assert_eq!(texts(&before["tests"], "path"), ["src/total.test.ts"]);
    assert_eq!(before["stale"], json!([]));
    let text = workspace.read("src/total.ts").replace("Math.round", "Math.floor");
    workspace.write("src/total.ts", text);
    let args = ["graph", "impact", "--patch", "-", "--json"];
    assert_eq!(krins_reading(&workspace, &args, PATCH).expect(0).json(), before);
    workspace.write("src/total.ts", "export const total = 1;\n");
    assert_eq!(ask(&workspace, &["impact", "--patch", "change.diff"])["stale"], json!(["src/total.ts"]));
}

#[test]
fn what_cannot_be_meant_is_said() {
    let workspace = shop();
    workspace.write("src/other.ts", "export const total = 1;\n");
    for (args, message, hint) in [
        (&["module", "src/nothing.ts"][..], "failed to find src/nothing.ts in the graph", "the graph holds"),
        (&["module", "../../etc/passwd"], "failed to find ../../etc/passwd in the graph", "the graph holds"),
        (&["module", "/etc/passwd"], "failed to find /etc/passwd in the graph", "the graph holds"),
        (&["refs", "total"], "failed to find \"total\": 2 files declare it", "src/other.ts#total, src/total.ts#total"),
        (&["refs", "src/cart.ts#nothing"], "failed to find \"nothing\" in src/cart.ts", "the file declares Cart"),
        (&["refs", "src/cart.ts"], "failed to find the references of src/cart.ts: it is a file", "name a declaration"),
        (&["refs", "TOTAL"], "failed to find \"TOTAL\": no file of the graph declares it", "did you mean"),
        (&["refs", "src/cart.ts:99"], "failed to find a declaration at line 99 of src/cart.ts", "lines are counted"),
        (&["path", "round", "nowhere"], "failed to find \"nowhere\"", "write it as"),
        (&["export", "--focus", "src/nothing.ts"], "failed to read", "paths are relative"),
        (&["impact", "--patch", "nowhere.diff"], "failed to read the patch nowhere.diff", ""),
    ] {
        let ran = krins(&workspace, &[&["graph"], args, &["--json"]].concat()).expect(2);
        let error = ran.json()["error"].clone();
        assert_eq!(error["kind"], "BadParams", "{args:?}: {error}");
        assert!(error["message"].as_str().unwrap().starts_with(message), "{args:?}: {error}");
        assert!(error["hint"].as_str().unwrap_or_default().contains(hint), "{args:?}: {error}");
    }
    for (patch, message) in [
        ("", "failed to read the patch: it has no hunk"),
        ("--- a/x\n+++ b/x\n@@ -1,9 +1 @@\n-a\n", "failed to read the patch: line 5: the last hunk is cut off"),
        ("--- a/../../x\n+++ b/../../x\n@@ -1 +1 @@\n-a\n+b\n", "failed to read the patch: it names \"a/../../x\""),
    ] {
        let ran = krins_reading(&workspace, &["graph", "impact", "--patch", "-", "--json"], patch).expect(2);
        assert!(ran.json()["error"]["message"].as_str().unwrap().starts_with(message), "{}", ran.describe());
    }
    krins(&workspace, &["graph", "impact"]).expect(2);
}

#[test]
fn pictures_are_written() {
    let workspace = shop();
    let dot = krins(&workspace, &["graph", "export", "--format", "dot"]).expect(0).text();
    assert!(dot.contains("digraph") && dot.contains("cart.ts"), "{dot}");
    assert!(ask(&workspace, &["export"]).is_object());
    let output = workspace.home().join("graph.html");
    krins(&workspace, &["graph", "export", "-o", output.to_str().unwrap()]).expect(0);
    assert!(std::fs::read_to_string(output).unwrap().starts_with("<!"));
    let near =
        krins(&workspace, &["graph", "export", "--format", "mermaid", "--focus", "src/cart.ts"]).expect(0).text();
    assert!(near.contains("cart.ts") && !near.contains("ring.ts"), "{near}");
}

fn client(workspace: &Workspace, persona: Persona) -> Client {
    let mut client = Client::start(workspace, persona);
    client.ignore("window/showMessage");
    client.ignore("window/showDocument");
    client
}

#[test]
fn lsp_answers_with_uris_and_ranges() {
    let workspace = shop();
    let mut client = client(&workspace, Persona::VSCODE);
    assert_answers(&mut |question, params| {
        let answer = client.request(&format!("krins/graph/{question}"), params.clone()).unwrap();
        assert_eq!(
            client.execute(&format!("krins.graph.{question}"), params).map(untimed),
            Ok(untimed(answer.clone()))
        );
        answer
    });
    let uri = client.uri("src/cart.ts");
    let at = json!({"line": 2, "character": 36});
    let found = client.request("krins/graph/references", json!({"uri": uri, "position": at})).unwrap();
    assert_eq!(found["symbol"]["symbol"], "src/total.ts#total");
    assert_eq!(found["references"][1]["uri"], uri);
    assert_eq!(found["references"][1]["range"]["start"], json!({"line": 2, "character": 35}));
    let impact = client.request("krins/graph/impact", json!({"uris": [client.uri("src/total.ts")]})).unwrap();
    assert_eq!(impact["files"][0]["uri"], uri);
    // What is open and not saved counts.
    client.open("src/cart.ts");
    client.replace("src/cart.ts", "sum(prices)", "sum([])  + sum(prices)");
    let found = client.request("krins/graph/references", json!({"targets": ["src/total.ts#total"]})).unwrap();
    assert_eq!(found["total"], 7);
}

/// Without how long it took.
fn untimed(mut answer: Value) -> Value {
    if let Some(answer) = answer.as_object_mut() {
        answer.remove("millis");
    }
    answer
}

#[test]
fn lsp_refuses_what_cannot_be_meant() {
    let workspace = shop();
    let mut client = client(&workspace, Persona::VSCODE);
    let outside = format!("{}/../../etc/passwd", workspace.root_uri());
    for (method, params) in [
        ("module", json!({})),
        ("module", json!({"uri": outside})),
        ("module", json!({"uri": "untitled:one"})),
        ("module", json!({"uri": client.uri("src/nothing.ts")})),
        ("references", json!({"targets": ["nothing"]})),
        ("references", json!({"targets": ["total", "Cart"]})),
        ("impact", json!({"patch": "nonsense"})),
        ("path", json!({"from": "total"})),
        ("tests", json!({"targets": ["../x.ts"]})),
    ] {
        let RpcError { code, data, .. } = client.request(&format!("krins/graph/{method}"), params.clone()).unwrap_err();
        assert_eq!((code, &data["kind"]), (-32602, &json!("BadParams")), "{method} {params}");
    }
    // Cancelled or answered, once, and the next question is answered.
    let ticket = client.send_request("krins/graph/unused", json!({}));
    client.cancel(ticket);
    let cancelled = client.await_reply(ticket);
    assert!(cancelled.as_ref().map_or_else(|error| error.code == -32800, Value::is_object), "{cancelled:?}");
    assert_eq!(client.request("krins/graph/stats", json!(null)).unwrap()["files"], 7);
}

#[test]
fn a_plain_client_sees_the_answer_in_a_message() {
    let workspace = shop();
    let mut client = Client::start(&workspace, Persona::KAKOUNE);
    client.execute("krins.graph.references", json!({"targets": ["src/total.ts#total"]})).unwrap();
    let shown = client.await_notification_where("window/showMessage", |params| {
        params["message"].as_str().is_some_and(|message| message.contains("6 references of"))
    });
    let message = shown["message"].as_str().unwrap();
    let file = message.rsplit(" is in ").next().unwrap();
    assert!(std::fs::read_to_string(file).unwrap().contains("src/cart.ts:3:36 call"), "{message}");
}

/// `krins serve` as a process.
struct Service {
    child: Child,
    address: SocketAddr,
}

impl Service {
    fn start(workspace: &Workspace, args: &[&str], token: Option<&str>) -> Self {
        let mut command = command(workspace, &[&["serve", "--addr", "127.0.0.1:0", "--json"], args].concat());
        if let Some(token) = token {
            command.env("KRINS_SERVE_TOKEN", token);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut text = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = loop {
            text.push_str(&lines.next().expect("it says where it listens").unwrap());
            if let Ok(document) = serde_json::from_str::<Value>(&text) {
                break document["address"].as_str().unwrap().parse().unwrap();
            }
        };
        Self { child, address }
    }

    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> raw_http::Answer {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(raw_http::send(self.address, method, path, headers, body.as_bytes()))
    }

    fn get(&self, path: &str) -> raw_http::Answer {
        self.send("GET", path, &[], "")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address of a question.
fn address(question: &str, params: &Value) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for target in params["targets"].as_array().into_iter().flatten() {
        query.append_pair("target", target.as_str().unwrap());
    }
    for key in ["from", "to", "depth", "limit"] {
        if let Some(value) = params.get(key) {
            query.append_pair(key, value.as_str().map_or_else(|| value.to_string(), str::to_owned).as_str());
        }
    }
    format!("/graph/{question}?{}", query.finish())
}

#[test]
fn http_answers_the_same_and_refuses_in_problems() {
    let workspace = shop();
    let service = Service::start(&workspace, &["--root", workspace.root().to_str().unwrap()], None);
    assert_answers(&mut |question, params| {
        let answer = service.get(&address(question, &params));
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(!answer.text().contains("\"uri\""), "{answer:?}");
        answer.json()
    });
    let json = [("content-type", "application/json")];
    let patched = service.send("POST", "/graph/impact", &json, &json!({"patch": PATCH}).to_string());
    assert_eq!(texts(&patched.json()["changed"], "symbol"), ["src/total.ts#round"]);
    for (path, status) in [
        ("/graph/module", 400),
        ("/graph/module?target=..%2F..%2Fetc%2Fpasswd", 400),
        ("/graph/module?target=src/nothing.ts", 400),
        ("/graph/references?target=nothing", 400),
        ("/graph/impact?depth=many&target=total", 400),
        ("/graph/impact?colour=red", 400),
        ("/graph/nonsense", 404),
    ] {
        let answer = service.get(path);
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (status, Some("application/problem+json")),
            "{path}"
        );
        let problem = answer.json();
        assert_eq!(problem["kind"], "BadParams", "{path}: {problem}");
        assert!(problem["hint"].is_string() || path.contains("many"), "{path}: {problem}");
    }
    assert_eq!(service.send("POST", "/graph/impact", &json, "{\"patch\": 1}").status, 400);
    assert_eq!(service.send("POST", "/graph/impact", &[], "{}").status, 415);
}

#[test]
fn http_has_no_graph_without_a_root_and_no_answer_without_a_token() {
    let workspace = shop();
    let without = Service::start(&workspace, &[], None).get("/graph/stats");
    assert_eq!(without.status, 404);
    assert!(without.json()["hint"].as_str().unwrap().contains("--root"), "{without:?}");
    let guarded = Service::start(
        &workspace,
        &["--root", workspace.root().to_str().unwrap()],
        Some("a-token-of-some-length-0123456789"),
    );
    assert_eq!(guarded.get("/graph/stats").status, 401);
    let bearer = [("authorization", "Bearer a-token-of-some-length-0123456789")];
    assert_eq!(guarded.send("GET", "/graph/stats", &bearer, "").status, 200);
}
