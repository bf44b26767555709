//! Metrics, objectives, rules and the dashboard fit each other, and a journey moves the figures that it should.

use krins_tests::client::Client;
use krins_tests::fakes::{Dialect, FakeProvider, Scenario};
use krins_tests::figures::say;
use krins_tests::personas::Persona;
use krins_tests::serve::{Service, write_settings};
use krins_tests::workspace::Workspace;
use krins_tests::{debian, raw_http};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn slo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("slo")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(slo().join(name)).unwrap()
}

/// The words of a text that begin so.
fn names(text: &str, prefix: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let words = text.split(|c| !word(c)).filter(|word| word.starts_with(prefix) && word.len() > prefix.len());
    words.map(str::to_owned).collect()
}

const SHOP: &str = "//- /src/total.ts\nexport const total = 1;\nconst a = \"x\\ty\";\nconst b = 2;\n";

/// A service with a model that answers at the second try, what it costs, and a budget that one call fits.
struct Stage {
    runtime: tokio::runtime::Runtime,
    _fake: FakeProvider,
    service: Service,
}

fn stage(scenario: Scenario) -> Stage {
    let runtime = runtime();
    let fake = runtime.block_on(FakeProvider::start(Dialect::OpenAiChat, scenario)).unwrap();
    let settings = format!(
        "provider = \"mine\"\nprices = [\"mine * 2026-01-01 0 1 10\"]\nbudget.micros_per_task = 500000\n[providers.mine]\nkind = \"openai-chat\"\nmodel = \"m\"\nbase_url = \"{}\"\nkey_env = \"MY_KEY\"\n",
        fake.base_url()
    );
    let service = Service::start(&settings, &[], &[("MY_KEY", "sk-test-0123456789abcdef0123456789")]);
    Stage { runtime, _fake: fake, service }
}

impl Stage {
    fn exposition(&self, accept: &str) -> String {
        let headers = [("accept", accept)];
        let answer = self.runtime.block_on(raw_http::send(self.service.address(), "GET", "/metrics", &headers, b""));
        assert_eq!(answer.status, 200, "{answer:?}");
        let plain = accept == "text/plain";
        let form = answer.header("content-type").unwrap();
        assert_eq!(form.starts_with("text/plain; version=0.0.4"), plain, "{form}");
        answer.text()
    }

    /// The values of every series.
    fn figures(&self) -> BTreeMap<String, f64> {
        let text = self.exposition("text/plain");
        let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
        samples.map(|(series, value)| (series.to_owned(), value.parse().unwrap())).collect()
    }

    /// One task of a sidecar, from assign to diff; answers the diff, or the error.
    fn ask(&self, task: &str, more: Value) -> Result<Value, String> {
        let workspace = Workspace::from_fixture(SHOP);
        write_settings(&workspace, &format!("backend.url = \"{}\"\n", self.service.url()));
        let mut client = Client::start(&workspace, Persona::VSCODE);
        for method in ["window/showMessage", "krins/task/didChange", "textDocument/publishDiagnostics", "$/progress"] {
            client.ignore(method);
        }
        client.ignore("window/workDoneProgress/create");
        let mut params = json!({"intent": format!("call it sum ({task})"), "task": task});
        params.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        client.request("krins/assign", params).unwrap();
        let diff = client.request("krins/diff", json!({"task": task, "wait": true}));
        let status = client.request("krins/status", json!({})).unwrap();
        client.close();
        diff.map(|diff| json!({"diff": diff, "status": status})).map_err(|error| format!("{error:?}"))
    }

    /// The figures, when this holds of them: what a sidecar tells behind an answer arrives a little later.
    fn until(&self, what: &str, holds: impl Fn(&BTreeMap<String, f64>) -> bool) -> BTreeMap<String, f64> {
        let until = Instant::now() + Duration::from_secs(15);
        loop {
            let figures = self.figures();
            if holds(&figures) {
                return figures;
            }
            assert!(Instant::now() < until, "{what}: {figures:#?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn a_journey_moves_the_figures_that_it_should() {
    let stage = stage(Scenario::ServerErrorThenOk);
    let asked = stage.ask("one", json!({})).unwrap();
    assert_eq!(asked["diff"]["state"], "ready", "{asked}");
    let refused = stage.ask("two", json!({"budget": {"micros": 3}})).unwrap_err();
    assert!(refused.contains("BudgetExceeded"), "{refused}");
    let figures = stage.until("the gate's word arrives", |figures| {
        figures.keys().any(|series| series.starts_with("krins_gate_verdicts_total"))
    });
    let at = |series: &str| figures.get(series).copied().unwrap_or_else(|| panic!("no {series} in {figures:#?}"));
    assert_eq!(at("krins_first_words_seconds_count{route=\"mine/m\"}"), 1.0);
    assert_eq!(at("krins_first_words_seconds_bucket{le=\"60.0\",route=\"mine/m\"}"), 1.0);
    assert_eq!(at("krins_first_words_seconds_bucket{le=\"+Inf\",route=\"mine/m\"}"), 1.0);
    assert!(at("krins_first_words_seconds_sum{route=\"mine/m\"}") > 0.0);
    assert_eq!(at("krins_call_repeats_total{route=\"mine/m\"}"), 1.0);
    assert_eq!(at("krins_budget_stops_total{scope=\"task\"}"), 1.0);
    assert_eq!(at("krins_gate_verdicts_total{check=\"syntax\",verdict=\"pass\"}"), 1.0);
    let cost = at("krins_cost_dollars_total{provider=\"mine\",purpose=\"author\"}");
    assert!(cost > 0.0 && cost < 0.01, "{cost}");
    assert_eq!(at("krins_tasks_ended_total{state=\"done\"}"), 1.0);
    assert_eq!(at("krins_cache_misses_total"), 2.0);
    // The sidecar's own counters, for a person.
    let gate = asked["status"]["figures"]["gate"].as_array().unwrap();
    let syntax = gate.iter().find(|check| check["check"] == "syntax").unwrap_or_else(|| panic!("{asked:#}"));
    assert_eq!(syntax, &json!({"check": "syntax", "pass": 1, "warn": 0, "block": 0}));
}

#[test]
fn a_sidecar_that_asks_by_itself_counts_calls_words_and_cost() {
    let runtime = runtime();
    let fake = runtime.block_on(FakeProvider::start(Dialect::Anthropic, Scenario::OverloadedThenOk)).unwrap();
    let workspace = Workspace::from_fixture(SHOP);
    let settings = format!(
        "provider = \"mine\"\nprices = [\"mine * 2026-01-01 0 1 10\"]\n[providers.mine]\nkind = \"anthropic\"\nmodel = \"m\"\nbase_url = \"{}\"\nkey_env = \"MY_KEY\"\n",
        fake.base_url()
    );
    write_settings(&workspace, &settings);
    let key = ("MY_KEY", "sk-ant-test-0123456789abcdef0123456789");
    let mut client = Client::builder(&workspace).persona(Persona::VSCODE).env(key.0, key.1).start();
    client.initialize();
    for method in ["window/showMessage", "krins/task/didChange", "textDocument/publishDiagnostics", "$/progress"] {
        client.ignore(method);
    }
    client.ignore("window/workDoneProgress/create");
    client.request("krins/assign", json!({"intent": "call it sum", "task": "t"})).unwrap();
    let diff = client.request("krins/diff", json!({"task": "t", "wait": true})).unwrap();
    let figures = client.request("krins/status", json!({})).unwrap()["figures"].take();
    client.close();
    let calls: u64 = figures["calls"].as_array().unwrap().iter().map(|call| call["count"].as_u64().unwrap()).sum();
    assert_eq!((calls, &figures["repeats"], &figures["budgetStops"]), (2, &json!(1), &json!(0)), "{figures:#}");
    assert!(figures["firstWordsP50Ms"].as_u64().is_some_and(|ms| ms > 0), "{figures:#}");
    assert_eq!(figures["cost"], diff["cost"], "{figures:#}");
    assert!(figures["cost"].as_u64().unwrap() > 0);
    // A command is another process: it reads what every process wrote down.
    let mut command = krins_tests::command::command(&workspace, &["status", "--json"]);
    command.env(key.0, key.1);
    let today = krins_tests::command::run(command, b"").expect(0).json()["today"].take();
    assert_eq!(today, json!({"calls": 2, "unanswered": 1, "open": 0, "cost": diff["cost"], "unpriced": 0}));
}

#[test]
fn names_that_clients_invent_make_no_series() {
    let stage = stage(Scenario::Ok);
    let series = |stage: &Stage| stage.figures().into_keys().collect::<BTreeSet<String>>();
    let talk = |n: usize| {
        let body = json!({"model": format!("mine/invented-{n}"), "messages": [{"role": "user", "content": "hello"}]});
        let to = stage.service.address();
        stage.runtime.block_on(async {
            raw_http::post_json(to, "/v1/chat/completions", &[], &body).await;
            raw_http::send(to, &format!("INVENTED{n}"), &format!("/no/such/page/{n}"), &[], b"").await;
            let record = json!({"task": format!("t-{n}"), "source": "gate", "value": 1.0, "checks": [{"check": format!("x-{n}"), "verdict": "pass"}]});
            assert_eq!(raw_http::post_json(to, "/router/record", &[], &record).await.status, 204);
        });
    };
    (0..3).for_each(talk);
    // A page is counted after its answer, that of the figures too.
    series(&stage);
    let before = series(&stage);
    (3..60).for_each(talk);
    let after = series(&stage);
    let new: Vec<&String> = after.difference(&before).collect();
    assert!(new.is_empty(), "{new:#?}");
    assert!(!stage.exposition("text/plain").contains("nvented"));
}

/// What a metric's own name stands for: without what a histogram's series end in.
fn family(name: &str, exposed: &BTreeMap<String, String>) -> Option<String> {
    let stems = ["_bucket", "_count", "_sum"].iter().filter_map(|end| name.strip_suffix(end));
    let histogram = |stem: &str| exposed.get(stem).is_some_and(|kind| kind == "histogram");
    if exposed.contains_key(name) {
        return Some(name.to_owned());
    }
    stems.filter(|stem| histogram(stem)).map(str::to_owned).next()
}

#[test]
fn every_figure_that_objectives_and_dashboard_name_is_there() {
    let stage = stage(Scenario::Ok);
    stage.ask("one", json!({})).unwrap();
    let text = stage.exposition("text/plain");
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let exposed: BTreeMap<String, String> = types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect();
    for file in ["krins.yaml", "rules.yaml", "rules_test.yaml", "dashboard.json"] {
        for name in names(&read(file), "krins_") {
            assert!(family(&name, &exposed).is_some(), "{file} asks for {name}, which nobody exposes: {exposed:#?}");
        }
    }
    // Rules choose series by the very text of a bucket's end.
    let openmetrics = stage.exposition("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5");
    for form in [&text, &openmetrics] {
        for series in [
            "krins_assign_to_diff_seconds_bucket{le=\"45.0\"} 1",
            "krins_http_request_duration_seconds_bucket{le=\"0.3\",method=\"POST\",route=\"/tasks\",status=\"202\"} 1",
            "krins_http_request_duration_seconds_count{method=\"GET\",route=\"/tasks/{id}/events\",status=\"200\"} 1",
            "krins_tasks_ended_total{state=\"done\"} 1",
        ] {
            assert!(form.lines().any(|line| line == series), "no {series} in {form}");
        }
    }
    assert!(openmetrics.ends_with("# EOF\n") && !text.contains("# EOF"));
    // The dashboard looks at what the rules record.
    let recorded: BTreeSet<String> = read("rules.yaml")
        .lines()
        .filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("record: "))
        .map(str::to_owned)
        .collect();
    assert!(recorded.len() > 10, "{recorded:?}");
    for name in names(&read("dashboard.json"), "slo:") {
        assert!(recorded.contains(&name), "the dashboard shows {name}, which no rule records");
    }
    // Every alert has its place in the manual.
    let manual = std::fs::read_to_string(slo().parent().unwrap().join("docs/operations.md")).unwrap();
    for alert in
        read("rules.yaml").lines().filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("alert: "))
    {
        assert!(manual.contains(&format!("### {alert}")), "{alert} is not in docs/operations.md");
    }
}

/// `promtool` of the system, or out of Debian's package of Prometheus, which is only unpacked.
fn promtool() -> Option<PathBuf> {
    let found = match debian::runs("promtool") {
        true => Some(PathBuf::from("promtool")),
        false => debian::unpacked("prometheus", "usr/bin/promtool"),
    };
    if found.is_none() {
        say("promtool is missing and the package prometheus could not be downloaded: its checks are skipped");
    }
    found
}

/// Runs it; answers all that it said.
fn check(promtool: &Path, args: &[&str], input: &str) -> String {
    let mut command = Command::new(promtool);
    command.args(args).current_dir(slo()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "promtool {args:?}: {said}");
    said
}

#[test]
fn promtool_has_nothing_to_say_about_metrics_rules_and_their_test() {
    let Some(promtool) = promtool() else { return };
    check(&promtool, &["check", "rules", "rules.yaml"], "");
    check(&promtool, &["test", "rules", "rules_test.yaml"], "");
    let stage = stage(Scenario::ServerErrorThenOk);
    stage.ask("one", json!({})).unwrap();
    stage.ask("two", json!({"budget": {"micros": 3}})).unwrap_err();
    let text = stage.exposition("text/plain");
    assert!(text.contains("krins_cost_dollars_total{"), "the journey shows in what is checked: {text}");
    assert_eq!(check(&promtool, &["check", "metrics"], &text), "");
}

#[test]
fn rules_and_dashboard_are_what_the_objectives_make() {
    let wanted = read("generate.sh");
    let version = wanted.split("--version ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
    let told = Command::new("slokit").arg("--version").output();
    let told = told.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    if told.split_whitespace().last() != Some(version) {
        say(&format!(
            "slokit {version} is not installed (found {told:?}): that rules.yaml and dashboard.json are up to date is not checked"
        ));
        return;
    }
    let copy = tempfile::tempdir().unwrap();
    for name in ["generate.sh", "krins.yaml"] {
        std::fs::copy(slo().join(name), copy.path().join(name)).unwrap();
    }
    let output = Command::new("sh").arg(copy.path().join("generate.sh")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for name in ["rules.yaml", "dashboard.json"] {
        let made = std::fs::read_to_string(copy.path().join(name)).unwrap();
        assert!(made == read(name), "slo/{name} is not what slo/generate.sh makes: run it and commit");
    }
}
