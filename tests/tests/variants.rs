//! Several answers side by side, a second model that judges them, and a router that learns: over the real binary and fake
//! providers.

use krins_tests::command::{Ran, command, krins, run};
use krins_tests::fakes::{Behaviour, Dialect, FakeProvider, Scenario};
use krins_tests::raw_http::post_json;
use krins_tests::workspace::Workspace;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Stdio};

const SHOP: &str = "//- /package.json\n{\"name\": \"shop\"}\n//- /src/total.ts\nexport const total = 1;\nconst a = \"x\\ty\";\nconst b = 2;\n";
const PRICES: &str = "prices = [\"author * 2025-01-01 0 3 15\", \"judge * 2025-01-01 0 1 5\"]\n";

async fn fake(answer: &str) -> FakeProvider {
    let behaviour = Behaviour { answer: answer.to_owned(), ..Behaviour::new(Scenario::Ok) };
    FakeProvider::behaving(Dialect::Anthropic, behaviour).await.unwrap()
}

async fn author() -> FakeProvider {
    FakeProvider::start(Dialect::Anthropic, Scenario::Ok).await.unwrap()
}

fn shop(providers: &[(&str, &FakeProvider)], more: &str) -> Workspace {
    let workspace = Workspace::from_fixture(SHOP);
    let config = workspace.home().join(".config/krins");
    std::fs::create_dir_all(&config).unwrap();
    let mut text = format!("{more}\n{PRICES}");
    for (name, fake) in providers {
        text.push_str(&format!(
            "[providers.{name}]\nkind = \"anthropic\"\nbase_url = \"{}\"\nmodel = \"fake-model\"\nkey = \"none\"\n",
            fake.base_url()
        ));
    }
    std::fs::write(config.join("config.toml"), text).unwrap();
    workspace
}

fn krins_json(workspace: &Workspace, args: &[&str], code: i32) -> Value {
    krins(workspace, &[args, &["--json"]].concat()).expect(code).json()
}

fn verdicts(fails: &[&str]) -> String {
    let names = ["correctness", "security", "performance", "architecture", "tests", "scope", "readability"];
    let said: serde_json::Map<String, Value> = names
        .into_iter()
        .map(|name| {
            let verdict = if fails.contains(&name) { "fail" } else { "pass" };
            (name.to_owned(), json!({"verdict": verdict, "reason": format!("{name} of src/total.ts")}))
        })
        .collect();
    Value::Object(said).to_string()
}

fn rules(diff: &Value) -> Vec<String> {
    let findings = diff["gate"]["findings"].as_array().unwrap();
    findings
        .iter()
        .filter_map(|finding| finding["rule"].as_str())
        .filter(|rule| rule.starts_with("judge/"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_judge_sees_task_and_change_and_what_it_objects_to_blocks() {
    let (author, judge) = (author().await, fake(&verdicts(&["tests", "scope"])).await);
    let workspace = shop(
        &[("author", &author), ("judge", &judge)],
        "provider = \"author\"\njudge.provider = \"judge\"\ngate.fix_rounds = 0",
    );
    let diff = krins_json(&workspace, &["assign", "call it sum"], 1);
    assert_eq!(
        (diff["state"].as_str(), rules(&diff)),
        (Some("blocked"), vec!["judge/tests".to_owned(), "judge/scope".to_owned()]),
        "{diff}"
    );
    let asked = judge.attempts().remove(0).body.to_string();
    assert!(asked.contains("call it sum") && asked.contains("export const sum = 1"), "{asked}");
    assert!(!asked.contains("SEARCH"), "the author's own words are not the judge's: {asked}");
    // Not even a part of it is applied.
    let refused = krins_json(&workspace, &["apply", "--hunks", "h1"], 1);
    assert!(refused["error"]["message"].as_str().unwrap().contains("judge/tests"), "{refused}");
    // Both calls are paid for.
    let report = krins_json(&workspace, &["report", "weekly"], 0);
    assert_eq!(report["calls"], 2, "{report}");
    assert_eq!(diff["cost"], report["micros"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_judge_does_not_say_is_no_pass() {
    let author = author().await;
    for (answer, level, state) in [
        (verdicts(&[]), "block", "ready"),
        ("All seven pass, trust me.".to_owned(), "block", "blocked"),
        ("All seven pass, trust me.".to_owned(), "warn", "ready"),
        (verdicts(&["security"]), "warn", "ready"),
    ] {
        let judge = fake(&answer).await;
        let more = format!("provider = \"author\"\njudge.provider = \"auto\"\njudge.level = \"{level}\"");
        let workspace = shop(&[("author", &author), ("judge", &judge)], &more);
        let ran = krins(&workspace, &["assign", "call it sum", "--json"]);
        let diff = ran.json();
        assert_eq!(diff["state"], state, "{answer} {level} {}", ran.describe());
        let expected: &[&str] = match answer.as_str() {
            "All seven pass, trust me." => &["judge/unjudged"],
            other if other.contains("fail") => &["judge/security"],
            _ => &[],
        };
        assert_eq!(rules(&diff), expected);
        let checks = diff["gate"]["checks"].as_array().unwrap();
        assert_eq!(checks.last().unwrap()["check"], "judge", "it is the last check");
    }
}

/// What a judge objects to goes back to the author as data, and what comes back goes through the whole gate, judge included.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_judge_objects_to_is_asked_for_again_and_judged_again() {
    let mended = krins_tests::fakes::ANSWER.replace("sum = 1;", "sum = 1 + 0;");
    let behaviour = Behaviour { then: vec![mended], ..Behaviour::new(Scenario::Ok) };
    let author = FakeProvider::behaving(Dialect::Anthropic, behaviour).await.unwrap();
    let judges = Behaviour { answer: verdicts(&["tests"]), then: vec![verdicts(&[])], ..Behaviour::new(Scenario::Ok) };
    let judge = FakeProvider::behaving(Dialect::Anthropic, judges).await.unwrap();
    let workspace =
        shop(&[("author", &author), ("judge", &judge)], "provider = \"author\"\njudge.provider = \"judge\"");
    let diff = krins_json(&workspace, &["assign", "call it sum"], 0);
    assert_eq!((diff["state"].as_str(), rules(&diff)), (Some("ready"), Vec::new()), "{diff}");
    assert!(diff["patch"].as_str().unwrap().contains("sum = 1 + 0;"), "{diff}");
    assert_eq!((author.attempts().len(), judge.attempts().len()), (2, 2));
    let again = author.attempts().remove(1).body.to_string();
    assert!(again.contains("judge/tests") && again.contains("tests of src/total.ts"), "{again}");
    let judged = judge.attempts().remove(1).body.to_string();
    assert!(judged.contains("sum = 1 + 0;") && !judged.contains("tests of src/total.ts"), "{judged}");
    let shown = krins_json(&workspace, &["task", "show"], 0);
    let rounds = &shown["rounds"];
    assert_eq!(
        (&rounds[0]["rules"], &rounds[1]["stopped"]),
        (&json!(["judge/tests"]), &json!("the gate passed")),
        "{shown}"
    );

    // One that is never content is asked so often and no more, and its change stays blocked.
    author.behave(Behaviour {
        then: (0..9).map(|n| krins_tests::fakes::ANSWER.replace("sum = 1;", &format!("sum = {n};"))).collect(),
        ..Behaviour::new(Scenario::Ok)
    });
    judge.behave(Behaviour { answer: verdicts(&["tests"]), ..Behaviour::new(Scenario::Ok) });
    let more = "provider = \"author\"\njudge.provider = \"judge\"\ngate.fix_rounds = 2";
    let diff = krins_json(&shop(&[("author", &author), ("judge", &judge)], more), &["assign", "call it sum"], 1);
    assert_eq!(diff["state"], "blocked", "{diff}");
    assert!((4..=5).contains(&author.attempts().len()), "two before, and at most one and two rounds");
}

/// A judge that says nothing of use has nothing that the author could mend: it is asked once more itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_judge_that_did_not_judge_is_asked_again_and_the_author_is_not() {
    for (then, state, code) in [(verdicts(&[]), "ready", 0), ("Well done!".to_owned(), "blocked", 1)] {
        let author = author().await;
        let judges = Behaviour { answer: "I like it.".to_owned(), then: vec![then], ..Behaviour::new(Scenario::Ok) };
        let judge = FakeProvider::behaving(Dialect::Anthropic, judges).await.unwrap();
        let workspace =
            shop(&[("author", &author), ("judge", &judge)], "provider = \"author\"\njudge.provider = \"judge\"");
        let diff = krins_json(&workspace, &["assign", "call it sum"], code);
        assert_eq!(diff["state"], state, "{diff}");
        assert_eq!((author.attempts().len(), judge.attempts().len()), (1, 2), "{state}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn variants_are_asked_side_by_side_under_one_budget_and_each_can_be_taken() {
    // Slow enough that all have asked for money before one has given some back.
    let pace = std::time::Duration::from_millis(150);
    let behaviour = Behaviour { pace, ..Behaviour::new(Scenario::Ok) };
    let author = FakeProvider::behaving(Dialect::Anthropic, behaviour).await.unwrap();
    let more = "provider = \"author\"\noutput.tokens = 1000\nbudget.micros_per_task = 45000";
    let workspace = shop(&[("author", &author)], more);
    // Two of four fit: each reserves some 18,000.
    let diff = krins_json(&workspace, &["assign", "call it sum", "--variants", "4"], 0);
    assert_eq!(author.attempts().len(), 2);
    let task = diff["task"].as_str().unwrap().to_owned();
    let variants =
        |task: &str| krins_json(&workspace, &["task", "show", task], 0)["variants"].as_array().unwrap().clone();
    let all = variants(&task);
    assert_eq!(all.iter().map(|one| one["variant"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1, 2, 3]);
    let answered: Vec<&Value> = all.iter().filter(|one| one["verdict"] == "pass").collect();
    let refused = all.iter().filter(|one| one["error"].as_str().is_some_and(|why| why.contains("has $0.0")));
    assert_eq!((answered.len(), refused.count()), (2, 2), "{all:?}");
    assert_eq!((&answered[0]["shown"], &answered[1]["shown"]), (&json!(true), &json!(false)), "of equals the first");
    let shown = krins(&workspace, &["task", "show", &task]).expect(0).text();
    assert!(shown.contains("shown is variant") && shown.contains("krins task select"), "{shown}");
    let report = krins_json(&workspace, &["report", "weekly"], 0);
    assert_eq!(
        (&report["calls"], &report["micros"], &report["tasks"]),
        (&json!(2), &diff["cost"], &json!(1)),
        "{report}"
    );
    let number = answered[1]["variant"].to_string();
    let other = krins_json(&workspace, &["task", "select", &task, &number], 0);
    assert_eq!((&other["state"], &other["patch"]), (&json!("ready"), &diff["patch"]));
    assert!(variants(&task).iter().any(|one| one["variant"] == answered[1]["variant"] && one["shown"] == true));
    let lost = all.iter().find(|one| one["error"].is_string()).unwrap()["variant"].to_string();
    let none = krins_json(&workspace, &["task", "select", &task, &lost], 2);
    let hint = format!("it has {}", answered[0]["variant"]);
    assert!(none["error"]["hint"].as_str().unwrap().contains(&hint), "{none}");
    run(command(&workspace, &["apply", &task]), b"").expect(0);
    krins_json(&workspace, &["task", "select", &task, &answered[0]["variant"].to_string()], 2);
    let ran: Ran = krins(&workspace, &["assign", "x", "--variants", "6"]);
    assert_eq!(ran.code, Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_router_explains_its_choices_and_learns_from_what_people_do() {
    let (good, bad) = (author().await, fake("I would rather not.").await);
    let more = "router.policy = \"thompson\"\nrouter.arms = [\"good/fake-model\", \"bad/fake-model\", \"nobody/x\"]\nrouter.seed = 7\nrouter.explore_percent = 0";
    let workspace = shop(&[("good", &good), ("bad", &bad)], more);
    for number in 0..8 {
        let ran = krins(&workspace, &["assign", &format!("call it sum {number}"), "--json"]);
        if ran.code == Some(0) {
            let task = ran.json()["task"].as_str().unwrap().to_owned();
            let shown = krins(&workspace, &["task", "show", &task]).expect(0).text();
            assert!(shown.contains("route chose good/fake-model: sampled "), "{shown}");
            assert!(shown.contains("; bad/fake-model sampled "), "{shown}");
            if number == 0 {
                run(command(&workspace, &["apply", &task]), b"").expect(0);
                run(command(&workspace, &["undo"]), b"").expect(0);
                run(command(&workspace, &["redo"]), b"").expect(0);
                run(command(&workspace, &["undo"]), b"").expect(0);
            } else {
                run(command(&workspace, &["apply", &task]), b"").expect(0);
                std::fs::write(
                    workspace.path("src/total.ts"),
                    "export const total = 1;\nconst a = \"x\\ty\";\nconst b = 2;\n",
                )
                .unwrap();
            }
        }
    }
    let replay = krins_json(&workspace, &["eval", "replay"], 0);
    assert_eq!(replay["decisions"], 8, "{replay}");
    assert_eq!(replay["arms"][0]["name"], "good/fake-model", "{replay}");
    assert!(replay["arms"][0]["snips"].as_f64() > replay["arms"][1]["snips"].as_f64(), "{replay}");
    assert!(replay["regret"].is_number(), "{replay}");
    // What needs no model is not routed.
    let renamed = krins_json(&workspace, &["assign", "rename total to sum"], 0);
    assert_eq!(renamed["model"], "builtin/refactorings");
    let games = krins_json(&workspace, &["eval", "run", "--arms", "a/x=0.8,b/y=0.2", "--rounds", "500"], 0);
    let regret = |policy: &str| {
        games.as_array().unwrap().iter().find(|game| game["policy"] == policy).unwrap()["regret"].as_f64().unwrap()
    };
    assert!(regret("thompson") < 60.0 && regret("ucb1") < 100.0 && regret("epsilon") < 100.0, "{games}");
}

/// `krins serve` as a process, ended when it is dropped.
struct Service {
    child: Child,
    address: SocketAddr,
}

impl Service {
    fn start(workspace: &Workspace) -> Self {
        let mut command = command(workspace, &["serve", "--addr", "127.0.0.1:0", "--json"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (mut said, mut lines) = (String::new(), BufReader::new(child.stdout.take().unwrap()).lines());
        let address = loop {
            said.push_str(&lines.next().expect("it says where it listens").unwrap());
            if let Ok(document) = serde_json::from_str::<Value>(&said) {
                break document["address"].as_str().unwrap().parse().unwrap();
            }
        };
        Self { child, address }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_chooses_and_takes_down_what_came_of_it() {
    let good = author().await;
    let more =
        "router.policy = \"ucb1\"\nrouter.arms = [\"good/fake-model\", \"good/other\"]\nrouter.explore_percent = 0";
    let service = Service::start(&shop(&[("good", &good)], more));
    let select = async |body: Value| post_json(service.address, "/router/select", &[], &body).await;
    let record = async |body: Value| post_json(service.address, "/router/record", &[], &body).await;
    let wish = |task: &str| json!({"task": task, "words": "fix the total"});
    let mut routes = Vec::new();
    for number in 0..6 {
        let choice = select(wish(&number.to_string())).await.json();
        assert_eq!((&choice["policy"], &choice["class"]), (&json!("ucb1"), &json!("fix")), "{choice}");
        assert!(choice["explanation"].as_str().unwrap().starts_with("chose good/"), "{choice}");
        let route = choice["route"].as_str().unwrap().to_owned();
        let value = if route == "good/other" { 1.0 } else { 0.0 };
        let noted = record(json!({"decision": choice["decision"], "source": "person", "value": value})).await;
        assert_eq!(noted.status, 204, "{}", noted.text());
        routes.push(route);
    }
    assert!(routes.iter().filter(|route| *route == "good/other").count() >= 4, "{routes:?}");
    let dear = select(json!({"task": "x", "words": "fix it", "micros": 1, "prompt": 1000, "output": 1000})).await;
    assert_eq!(dear.status, 503, "{}", dear.text());
    assert_eq!(record(json!({"decision": "x", "source": "person", "value": 7})).await.status, 400);
    let off = Service::start(&shop(&[("good", &good)], "provider = \"good\""));
    assert_eq!(post_json(off.address, "/router/select", &[], &wish("x")).await.status, 404);
}
