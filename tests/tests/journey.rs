//! The whole journey in plain LSP, under each client persona with its reply habits: ask by a comment, progress, review by code
//! actions, apply, undo, redo, cancel.
//! Then what the custom requests promise beside it.

use krins_tests::client::Client;
use krins_tests::editor::Person;
use krins_tests::model::{self, Silent};
use krins_tests::personas::Persona;
use krins_tests::workspace::Workspace;
use serde_json::{Value, json};

const FIXTURE: &str = "\
//- /package.json
{\"name\": \"shop\", \"version\": \"1.0.0\"}
//- /src/total.ts
// Money.

/** Adds up. */
export function calculateTotal(prices: number[]): number {
  return prices.reduce((sum, price) => sum + price, 0);
}
//- /src/cart.ts
import { calculateTotal } from \"./total\";

// krins: rename calculateTotal to orderTotal
export const cart = (prices: number[]) => ({ calculateTotal, sum: calculateTotal(prices) });
//- /src/report.ts
import { calculateTotal as total } from \"./total\";
// calculateTotal is named in this comment, and stays
export const report = (prices: number[]) => `calculateTotal: ${total(prices)}`;
//- /.gitignore
.krins
";

fn start(persona: Persona) -> (Workspace, Client) {
    let workspace = Workspace::from_fixture(FIXTURE);
    let mut client = Client::builder(&workspace).persona(persona).start();
    client.initialize();
    (workspace, client)
}

fn action<'a>(actions: &'a [Value], start: &str) -> &'a Value {
    let titles: Vec<_> = actions.iter().map(|action| action["title"].clone()).collect();
    actions
        .iter()
        .find(|action| action["title"].as_str().is_some_and(|title| title.starts_with(start)))
        .unwrap_or_else(|| panic!("no action {start:?} in {titles:?}"))
}

fn says(client: &mut Client, words: &str) -> String {
    let message = client.await_notification_where("window/showMessage", |params| {
        params["message"].as_str().is_some_and(|message| message.contains(words))
    });
    message["message"].as_str().unwrap_or_default().to_owned()
}

/// Ask → progress → ready → review → apply → undo → redo, with one of the changed files open.
fn journey(persona: Persona) {
    let (workspace, mut client) = start(persona);
    let before = workspace.snapshot();
    client.open("src/cart.ts");
    ask(&mut client);
    progress(&client);
    client.await_diagnostics("src/cart.ts", |list| list.iter().any(|one| one["source"] == "krins"));
    assert_eq!(workspace.snapshot(), before, "nothing is written before somebody says so");
    review(&mut client);
    refusal(&workspace, &mut client);

    choose(&mut client, "Krins: apply the change");
    says(&mut client, "files changed");
    client.await_diagnostics("src/cart.ts", |list| list.is_empty());
    assert_renamed(&workspace, &client, &before);
    choose(&mut client, "Krins: undo");
    says(&mut client, "files changed");
    assert_eq!(client.text("src/cart.ts").as_bytes(), before[std::path::Path::new("src/cart.ts")]);
    choose(&mut client, "Krins: redo");
    says(&mut client, "files changed");
    assert_renamed(&workspace, &client, &before);
    choose(&mut client, "Krins: undo");
    says(&mut client, "files changed");
    client.save("src/cart.ts");
    assert_eq!(workspace.snapshot(), before, "undo restores every byte");
    for method in ["window/showMessage", "textDocument/publishDiagnostics", "window/logMessage"] {
        client.take_notifications(method);
    }
    client.take_requests("workspace/applyEdit");
    client.take_requests("window/workDoneProgress/create");
}

/// The comment's code action, and what is said until the proposal is there.
fn ask(client: &mut Client) {
    let comment = client.range_of("src/cart.ts", "krins:");
    let actions = client.code_actions("src/cart.ts", comment.clone());
    assert!(actions.iter().all(|action| action["edit"].is_null()), "commands only: {actions:?}");
    let asking = action(&actions, "Krins: rename calculateTotal");
    let about = &asking["command"]["arguments"][0]["selection"];
    let edge = |edge: &str| (about[edge]["line"].as_u64().unwrap(), about[edge]["character"].as_u64().unwrap());
    let line = comment["start"]["line"].as_u64().unwrap();
    assert!(edge("start") == (line, 0) && edge("end").0 > line + 1, "it is about what follows the comment: {about}");
    let assigned = client.run_action(asking).unwrap();
    assert!(assigned["task"].is_string(), "{assigned}");
    says(client, "working on");
    says(client, "is ready");
}

/// Begun and ended where the client shows progress; where it does not, it is not bothered.
fn progress(client: &Client) {
    let kinds: Vec<Value> = client.progress().iter().map(|progress| progress["value"]["kind"].clone()).collect();
    match client.persona().shows_progress() {
        true => assert!(kinds.contains(&json!("begin")) && kinds.contains(&json!("end")), "{kinds:?}"),
        false => assert_eq!(kinds, [] as [Value; 0]),
    }
    let said: Vec<Value> = client.progress().iter().map(|progress| progress["value"]["message"].clone()).collect();
    assert!(said.windows(2).all(|two| two[0] != two[1]), "the same is said twice: {said:?}");
}

/// A hunk is rejected where it stands and taken back, by code action, and by lens where the client draws them.
fn review(client: &mut Client) {
    choose(client, "Krins: reject this hunk");
    says(client, "is rejected; apply takes 2 of 3 hunks");
    client.await_diagnostics("src/cart.ts", |list| {
        list.iter().any(|one| one["message"].to_string().contains(", rejected)"))
    });
    let actions = client.code_actions("src/cart.ts", client.range_of("src/cart.ts", "import"));
    action(&actions, "Krins: apply the change (2 hunks in 2 files)");
    client.run_action(action(&actions, "Krins: take back the rejection of this hunk")).unwrap();
    if client.persona().lenses {
        let document = json!({"textDocument": {"uri": client.uri("src/cart.ts")}});
        let lenses = client.request("textDocument/codeLens", document).unwrap();
        let titles: Vec<&str> =
            lenses.as_array().unwrap().iter().filter_map(|lens| lens["command"]["title"].as_str()).collect();
        assert!(titles.contains(&"Krins: apply hunk") && titles.contains(&"reject hunk"), "{titles:?}");
    }
}

/// Where a person is asked before each edit: a no leaves every file and every buffer as it was, whatever the reply says.
fn refusal(workspace: &Workspace, client: &mut Client) {
    if !client.persona().asks_before_edits() {
        return;
    }
    let (files, text) = (workspace.snapshot(), client.text("src/cart.ts"));
    client.person(Person::Refuses);
    choose(client, "Krins: apply the change");
    says(client, "failed to");
    assert_eq!((workspace.snapshot(), client.text("src/cart.ts")), (files, text));
    client.person(Person::Agrees);
}

fn assert_renamed(
    workspace: &Workspace,
    client: &Client,
    before: &std::collections::BTreeMap<std::path::PathBuf, Vec<u8>>,
) {
    let cart = client.text("src/cart.ts");
    assert!(cart.contains("import { orderTotal } from"), "{cart}");
    assert!(cart.contains("({ calculateTotal: orderTotal, sum: orderTotal(prices) })"), "{cart}");
    assert_eq!(
        workspace.read("src/cart.ts"),
        String::from_utf8_lossy(&before[std::path::Path::new("src/cart.ts")]),
        "an open file is the editor's"
    );
    assert!(workspace.read("src/total.ts").contains("function orderTotal"));
    assert!(workspace.read("src/report.ts").contains("orderTotal as total"));
    assert!(workspace.read("src/report.ts").contains("// calculateTotal is named"));
}

/// The code action of that title at the import.
fn choose(client: &mut Client, title: &str) {
    let actions = client.code_actions("src/cart.ts", client.range_of("src/cart.ts", "import"));
    client.run_action(action(&actions, title)).unwrap();
}

/// A model that does not answer: the task is cancelled by the code action, which every client has.
fn cancel(persona: Persona) {
    let workspace = Workspace::from_fixture(FIXTURE);
    let _silent = Silent::behind(&workspace);
    let mut client = Client::builder(&workspace).persona(persona).env(model::KEY.0, model::KEY.1).start();
    client.initialize();
    let before = workspace.snapshot();
    client.open("src/cart.ts");
    let comment = client.range_of("src/cart.ts", "krins:");
    let actions = client.code_actions("src/cart.ts", comment);
    client.run_action(action(&actions, "Krins: rename calculateTotal")).unwrap();
    says(&mut client, "working on");
    choose(&mut client, "Krins: cancel");
    says(&mut client, "was cancelled");
    progress(&client);
    let actions = client.code_actions("src/cart.ts", client.range_of("src/cart.ts", "import"));
    assert!(actions.iter().all(|action| !action["title"].to_string().contains("cancel")), "{actions:?}");
    assert_eq!(workspace.snapshot(), before);
    quiet(&mut client);
}

/// What is typed quickly reaches the server shuffled from some clients; what it knows is what the person sees all the same.
#[test]
fn what_arrives_shuffled_is_put_back_in_order() {
    let (workspace, mut client) = start(Persona::HELIX_25_01);
    assert!(client.persona().shuffles);
    client.open("src/cart.ts");
    let text = client.text("src/cart.ts");
    let comment = "// krins: rename report to summary\n";
    for end in 1..=comment.len() {
        client.set_text("src/cart.ts", format!("{}{text}", &comment[..end]));
    }
    std::thread::sleep(std::time::Duration::from_millis(200));
    let actions = client.code_actions("src/cart.ts", client.range_of("src/cart.ts", "krins:"));
    client.run_action(action(&actions, "Krins: rename report to summary")).unwrap();
    says(&mut client, "is ready");
    choose(&mut client, "Krins: apply the change");
    says(&mut client, "changed");
    assert!(workspace.read("src/report.ts").contains("export const summary"));
    quiet(&mut client);
}

macro_rules! journeys {
    ($($name:ident: $persona:expr,)*) => {
        $(#[test] fn $name() {
            journey($persona);
            cancel($persona);
        })*

        #[test]
        fn every_client_makes_the_journey() {
            let made = [$($persona.name),*];
            let known = Persona::ALL.map(|persona| persona.name);
            assert_eq!(made, known);
        }
    };
}

journeys! {
    the_journey_in_vs_code: Persona::VSCODE,
    the_journey_in_neovim_0_12: Persona::NEOVIM,
    the_journey_in_neovim_0_10: Persona::NEOVIM_0_10,
    the_journey_in_neovim_0_7: Persona::NEOVIM_0_7,
    the_journey_in_helix: Persona::HELIX,
    the_journey_in_helix_25_01: Persona::HELIX_25_01,
    the_journey_in_the_next_helix: Persona::HELIX_NEXT,
    the_journey_in_kakoune: Persona::KAKOUNE,
    the_journey_in_eglot: Persona::EGLOT,
    the_journey_in_an_older_eglot: Persona::EGLOT_1_9,
    the_journey_in_lsp_mode: Persona::LSP_MODE,
    the_journey_in_an_editor_that_states_nothing: Persona::PLAIN,
}

/// Most clients do nothing with the answer of a command, and some not with its error.
#[test]
fn every_command_is_told_to_a_client_without_a_plugin() {
    let (_workspace, mut client) = start(Persona::PLAIN);
    client.open("src/cart.ts");
    ask(&mut client);
    let file = json!({"uri": client.uri("src/total.ts")});
    let waiver = json!({"rule": "syntax/new-error", "path": "src", "reason": "ours", "expires": "soon"});
    for (command, argument, words) in [
        ("krins.status", json!(null), "builtin/refactorings, 0 tasks at work"),
        ("krins.context", json!({"intent": "why is calculateTotal wrong"}), "would be sent, at most $0"),
        ("krins.tasks", json!({}), "1 task; the newest is ready"),
        ("krins.task", json!({}), "“rename calculateTotal to orderTotal” is ready"),
        ("krins.gate", json!(null), "the gate passes, 0 findings"),
        ("krins.diff", json!({}), "the diff is in "),
        ("krins.showDiff", json!({}), "the diff is in "),
        ("krins.locks", json!({}), "nothing is locked"),
        ("krins.lock", file.clone(), "src/total.ts is locked by "),
        ("krins.unlock", file, "src/total.ts is nobody's"),
        ("krins.audit.verify", json!({}), "the audit is sound"),
        ("krins.report", json!({"period": "day"}), "Day of "),
        ("krins.graph.pause", json!({}), "is held in 1 workspace"),
        ("krins.review", json!({"hunk": "h1", "verdict": "accept"}), "h1 is accepted; apply takes 3 of 3 hunks"),
        ("krins.cancel", json!({}), "Krins failed to find a running task"),
        ("krins.assign", json!({"intent": 7}), "Krins failed to read the argument of krins.assign"),
        ("krins.waive", waiver, "Krins failed to waive until \"soon\""),
        ("krins.variant", json!({"variant": 3}), "Krins failed to show variant 3"),
        ("krins.fix", json!({}), "the gate does not block it"),
        ("krins.preview", json!({}), "Krins failed to "),
        ("krins.nonsense", json!({}), "Krins: unknown command"),
    ] {
        // An answer is for programs; this client has none.
        let _ = client.execute(command, argument);
        let said = says(&mut client, words);
        if let Some((_, path)) = said.split_once("; all of it is in ") {
            let text = std::fs::read_to_string(path).unwrap();
            assert!(text.lines().count() > 1 && !text.contains('\u{1b}'), "{command}: {text}");
        }
    }
    client.execute("krins.dashboard", json!({})).unwrap();
    let said = says(&mut client, "the dashboard, as it is now, is in ");
    let page = std::fs::read_to_string(said.rsplit(" is in ").next().unwrap()).unwrap();
    assert!(page.to_lowercase().starts_with("<!doctype html"), "{said}");
    client.execute("krins.discard", json!({})).unwrap();
    says(&mut client, "the change was thrown away");
    quiet(&mut client);
}

#[test]
fn a_task_that_came_to_nothing_hides_no_proposal_that_waits() {
    let (workspace, mut client) = start(Persona::HELIX);
    client.open("src/cart.ts");
    ask(&mut client);
    client.execute("krins.assign", json!({"intent": "make it faster"})).unwrap();
    says(&mut client, "Krins failed to understand");
    let actions = client.code_actions("src/cart.ts", client.range_of("src/cart.ts", "import"));
    action(&actions, "Krins: apply the change");
    action(&actions, "Krins: ask again “make it faster”");
    client.execute("krins.apply", json!({})).unwrap();
    let said = says(&mut client, "files changed");
    assert!(said.ends_with("(“rename calculateTotal to orderTotal”)"), "it is not the last that was asked for: {said}");
    assert!(workspace.read("src/total.ts").contains("orderTotal"));
    // What was applied closes what is older, and what came to nothing is no change to apply.
    client.execute("krins.apply", json!({})).unwrap();
    says(&mut client, "Krins failed to understand");
    quiet(&mut client);
}

#[test]
fn what_an_apply_of_some_hunks_leaves_out_stays_open_until_somebody_says_so() {
    for (then, told, kept) in [
        ("Krins: leave the rest out", "what was left stays out", true),
        ("Krins: apply the rest (2 hunks in 2 files)", "2 files changed", false),
    ] {
        let (workspace, mut client) = start(Persona::KAKOUNE);
        let before = workspace.read("src/report.ts");
        client.open("src/cart.ts");
        ask(&mut client);
        choose(&mut client, "Krins: apply only this hunk");
        says(&mut client, "; 2 hunks left");
        client.await_diagnostics("src/cart.ts", |list| list.is_empty());
        client.await_diagnostics("src/report.ts", |list| !list.is_empty());
        choose(&mut client, then);
        says(&mut client, told);
        client.await_diagnostics("src/report.ts", |list| list.is_empty());
        assert_eq!(workspace.read("src/report.ts") == before, kept, "{then}");
        let actions = client.code_actions("src/cart.ts", client.range_of("src/cart.ts", "import"));
        assert!(actions.iter().all(|action| !action["title"].to_string().contains("Krins: apply")), "{actions:?}");
        choose(&mut client, "Krins: undo");
        says(&mut client, "changed");
        quiet(&mut client);
    }
}

#[test]
fn a_conflict_is_named_by_its_place_and_has_ways_on() {
    let (workspace, mut client) = start(Persona::PLAIN);
    client.open("src/cart.ts");
    ask(&mut client);
    let moved = workspace.read("src/total.ts").replace("calculateTotal(prices", "calculateTotal(items");
    workspace.write("src/total.ts", &moved);
    let before = workspace.snapshot();
    choose(&mut client, "Krins: apply the change");
    let said = says(&mut client, "1 conflict, nothing was written");
    assert!(said.contains("src/total.ts:4 (h"), "{said}");
    assert_eq!(workspace.snapshot(), before);
    client.await_diagnostics("src/total.ts", |list| {
        list.iter().any(|one| one["message"].to_string().contains("went on"))
    });
    choose(&mut client, "Krins: apply what has no conflict (2 hunks in 2 files)");
    says(&mut client, "2 files changed");
    assert_eq!(workspace.read("src/total.ts"), moved);
    assert!(workspace.read("src/report.ts").contains("orderTotal as total"));
    choose(&mut client, "Krins: apply the rest (1 hunk in 1 file)");
    says(&mut client, "1 conflict, nothing was written");
    choose(&mut client, "Krins: apply with conflict markers");
    says(&mut client, "1 file changed");
    let marked = workspace.read("src/total.ts");
    assert!(marked.contains("<<<<<<<") && marked.contains("orderTotal(") && marked.contains("(items"), "{marked}");
    quiet(&mut client);
}

/// A proposal that waits is shown by the next process, and what the last one did not finish is told.
#[test]
fn after_a_restart_nothing_is_silent() {
    let (workspace, mut client) = start(Persona::PLAIN);
    client.open("src/cart.ts");
    ask(&mut client);
    quiet(&mut client);
    client.kill();
    drop(client);
    let mut client = Client::start(&workspace, Persona::PLAIN);
    client.await_diagnostics("src/report.ts", |list| list.iter().any(|one| one["source"] == "krins"));
    drop(client);

    let _silent = Silent::behind(&workspace);
    let again = || Client::builder(&workspace).persona(Persona::PLAIN).env(model::KEY.0, model::KEY.1).start();
    let mut client = again();
    client.initialize();
    client.open("src/cart.ts");
    client.execute("krins.assign", json!({"intent": "sort the prices"})).unwrap();
    says(&mut client, "working on");
    quiet(&mut client);
    client.kill();
    drop(client);
    let mut client = again();
    client.initialize();
    says(&mut client, "“sort the prices” came to nothing: Krins was stopped while it ran");
    client.open("src/cart.ts");
    let actions = client.code_actions("src/cart.ts", client.range_of("src/cart.ts", "import"));
    action(&actions, "Krins: ask again “sort the prices”");
    action(&actions, "Krins: apply the change");
    quiet(&mut client);
    drop(client);
    let mut client = again();
    client.initialize();
    client.await_diagnostics("src/report.ts", |list| !list.is_empty());
    let told = client.take_notifications("window/showMessage");
    assert_eq!(told, [] as [Value; 0], "it was told once");
}

#[test]
fn assign_answers_at_once_and_diff_waits() {
    let (_workspace, mut client) = start(Persona::VSCODE);
    let assigned = client
        .request("krins/assign", json!({"intent": "rename calculateTotal to orderTotal", "task": "mine"}))
        .unwrap();
    assert_eq!(assigned, json!({"task": "mine", "state": "queued", "deduplicated": false}));
    let diff = client.request("krins/diff", json!({"task": "mine", "wait": true})).unwrap();
    assert_eq!(diff["model"], "builtin/refactorings");
    assert_eq!(diff["gate"]["verdict"], "pass");
    assert_eq!(diff["files"].as_array().unwrap().len(), 3);
    assert!(diff["patch"].as_str().unwrap().contains("+export function orderTotal"));
    let again = client
        .request("krins/assign", json!({"intent": "rename calculateTotal to orderTotal", "task": "mine"}))
        .unwrap();
    assert_eq!((&again["deduplicated"], &again["state"]), (&json!(true), &json!("ready")));
    quiet(&mut client);
}

#[test]
fn the_second_time_the_cache_answers_and_says_so() {
    let (_workspace, mut client) = start(Persona::VSCODE);
    for (task, cached) in [("first", false), ("second", true)] {
        client.request("krins/assign", json!({"intent": "rename calculateTotal to orderTotal", "task": task})).unwrap();
        let diff = client.request("krins/diff", json!({"task": task, "wait": true})).unwrap();
        assert_eq!(diff["cached"], json!(cached), "{task}");
    }
    let status = client.request("krins/status", json!({})).unwrap();
    assert_eq!((&status["cacheHits"], &status["cacheMisses"]), (&json!(1), &json!(1)), "{status}");
    quiet(&mut client);
}

#[test]
fn one_hunk_can_be_applied_and_the_rest_rejected() {
    let (workspace, mut client) = start(Persona::VSCODE);
    client.request("krins/assign", json!({"intent": "rename calculateTotal to orderTotal", "task": "t"})).unwrap();
    let diff = client.request("krins/diff", json!({"task": "t", "wait": true})).unwrap();
    let report = diff["files"]
        .as_array()
        .unwrap()
        .iter()
        .find(|file| file["uri"].as_str().unwrap().ends_with("report.ts"))
        .unwrap();
    let hunk = report["hunks"][0]["id"].clone();
    let planned = client.request("krins/apply", json!({"task": "t", "hunks": [hunk], "dryRun": true})).unwrap();
    assert_eq!(planned["applied"].as_array().unwrap().len(), 1);
    assert_eq!(planned["undo"], Value::Null);
    client.request("krins/apply", json!({"task": "t", "hunks": [hunk]})).unwrap();
    assert!(workspace.read("src/report.ts").contains("orderTotal as total"));
    assert!(workspace.read("src/total.ts").contains("calculateTotal"));
    let rest = client.request("krins/apply", json!({"task": "t"})).unwrap();
    assert_eq!(rest["applied"].as_array().unwrap().len(), 2, "the others follow: {rest}");
    assert!(workspace.read("src/total.ts").contains("orderTotal"));
    let again = client.request("krins/apply", json!({"task": "t"})).unwrap();
    assert_eq!((again["applied"].as_array().unwrap().len(), &again["undo"]), (0, &Value::Null));
    quiet(&mut client);
}

/// Hunk of a file in a `krins/diff` result.
fn hunk_of<'a>(diff: &'a Value, file: &str) -> &'a Value {
    let files = diff["files"].as_array().unwrap();
    let found = files.iter().find(|one| one["uri"].as_str().unwrap().ends_with(file));
    &found.unwrap_or_else(|| panic!("no {file} in {diff}"))["hunks"][0]
}

/// The hunk's new lines, as an editor would offer them.
fn new_text(hunk: &Value) -> String {
    let lines = hunk["lines"].as_array().unwrap().iter().map(|line| line.as_str().unwrap());
    lines.filter(|line| !line.starts_with('-')).map(|line| format!("{}\n", &line[1..])).collect()
}

/// What a person writes in a hunk's place is what is hashed, judged, kept over a restart, applied and undone.
#[test]
fn a_hunk_that_a_person_edits_becomes_the_truth() {
    let (workspace, mut client) = start(Persona::VSCODE);
    let before = workspace.snapshot();
    client.request("krins/assign", json!({"intent": "rename calculateTotal to orderTotal", "task": "t"})).unwrap();
    let proposed = client.request("krins/diff", json!({"task": "t", "wait": true})).unwrap();
    let hunk = hunk_of(&proposed, "report.ts");
    let text = new_text(hunk).replace("`calculateTotal: ${", "`Total: ${");
    let edit = |text: &str| json!({"task": "t", "hunk": hunk["id"], "verdict": "edit", "text": text});
    let edited = client.request("krins/review", edit(&text)).unwrap();
    let now = hunk_of(&edited, "report.ts");
    assert_eq!((&now["id"], &now["verdict"], &now["edited"]), (&hunk["id"], &json!("accept"), &json!(true)));
    assert!(edited["patch"].as_str().unwrap().contains("+export const report = (prices: number[]) => `Total: ${"));
    assert_eq!(hunk_of(&edited, "total.ts"), hunk_of(&proposed, "total.ts"), "the others are what they were");
    let digest = krins_core::Digest::of(edited["patch"].as_str().unwrap()).to_string();
    assert_eq!((&edited["gate"]["patch"], &edited["state"]), (&json!(digest), &json!("ready")));
    assert_ne!(edited["gate"]["patch"], proposed["gate"]["patch"]);

    let secret = format!("{text}const key = \"ghp_{}\";\n", "q7Rf2ZkP9vXw3LmT8sNbH5cYdJ1gUa4eKo6B");
    let blocked = client.request("krins/review", edit(&secret)).unwrap();
    assert_eq!((&blocked["state"], &blocked["gate"]["verdict"]), (&json!("blocked"), &json!("block")));
    let error = client.request("krins/apply", json!({"task": "t"})).unwrap_err();
    assert_eq!(error.kind(), Some("GateFailed"), "a person's text has no other gate: {error:?}");
    let others = json!({"task": "t", "hunks": [hunk_of(&proposed, "total.ts")["id"]], "dryRun": true});
    assert_eq!(client.request("krins/apply", others).unwrap()["applied"].as_array().unwrap().len(), 1);
    let open = json!({"task": "t", "hunk": hunk["id"], "verdict": "open"});
    let reopened = client.request("krins/review", open).unwrap();
    assert_eq!((&reopened["patch"], &reopened["state"]), (&proposed["patch"], &json!("ready")), "as it was proposed");
    for wrong in [json!("accept"), json!("edit")] {
        let text = (wrong == "accept").then_some("x");
        let params = json!({"task": "t", "hunk": hunk["id"], "verdict": wrong, "text": text});
        assert_eq!(client.request("krins/review", params).unwrap_err().kind(), Some("BadParams"));
    }
    client.request("krins/review", edit(&text)).unwrap();
    quiet(&mut client);
    client.kill();
    drop(client);

    let mut client = Client::start(&workspace, Persona::VSCODE);
    let kept = client.request("krins/diff", json!({"task": "t"})).unwrap();
    assert_eq!((&kept["patch"], &kept["files"]), (&edited["patch"], &edited["files"]), "it survives the process");
    client.request("krins/apply", json!({"task": "t"})).unwrap();
    assert!(workspace.read("src/report.ts").contains("=> `Total: ${total(prices)}`"));
    assert!(workspace.read("src/report.ts").contains("orderTotal as total"));
    client.request("krins/undo", json!({"undo": "t"})).unwrap();
    assert_eq!(workspace.snapshot(), before);
    quiet(&mut client);
}

/// Nobody waits for the word on a hunk before they apply: it counts all the same.
#[test]
fn what_is_said_of_a_hunk_just_before_an_apply_is_what_is_applied() {
    let (workspace, mut client) = start(Persona::VSCODE);
    client.request("krins/assign", json!({"intent": "rename calculateTotal to orderTotal", "task": "t"})).unwrap();
    let proposed = client.request("krins/diff", json!({"task": "t", "wait": true})).unwrap();
    let hunk = hunk_of(&proposed, "report.ts");
    for round in 0..5 {
        let text = new_text(hunk).replace("`calculateTotal: ${", &format!("`Total {round}: ${{"));
        let edit = json!({"task": "t", "hunk": hunk["id"], "verdict": "edit", "text": text});
        let sent = [("krins/review", edit), ("krins/apply", json!({"task": "t"}))];
        let tickets = sent.map(|(method, params)| client.send_request(method, params));
        let answers = tickets.map(|ticket| client.await_reply(ticket));
        assert!(answers.iter().all(Result::is_ok), "{round}: {answers:?}");
        assert!(workspace.read("src/report.ts").contains(&format!("`Total {round}: ${{")), "{round}");
        client.request("krins/undo", json!({"undo": "t"})).unwrap();
    }
    quiet(&mut client);
}

/// A person goes on typing while a proposal waits: what is said at a line is said of the hunk that is there now.
#[test]
fn what_was_typed_since_moves_what_is_shown_and_offered() {
    let (_workspace, mut client) = start(Persona::HELIX);
    client.open("src/cart.ts");
    ask(&mut client);
    let text = client.text("src/cart.ts");
    client.set_text("src/cart.ts", format!("{}{text}", "// typed\n".repeat(5)));
    choose(&mut client, "Krins: reject this hunk");
    says(&mut client, "is rejected");
    client.await_diagnostics("src/cart.ts", |list| {
        list.iter().any(|one| one["message"].to_string().contains(", rejected)") && one["range"]["start"]["line"] == 5)
    });
    let above = json!({"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 0}});
    let actions = client.code_actions("src/cart.ts", above);
    assert!(actions.iter().all(|action| !action["title"].to_string().contains("this hunk")), "{actions:?}");
    let document = json!({"textDocument": {"uri": client.uri("src/cart.ts")}});
    let lenses = client.request("textDocument/codeLens", document).unwrap();
    let lenses = lenses.as_array().unwrap();
    assert!(!lenses.is_empty() && lenses.iter().all(|lens| lens["range"]["start"]["line"] == 5), "{lenses:?}");
    quiet(&mut client);
}

#[test]
fn some_hunks_of_a_change_are_taken_back_and_come_again() {
    let (workspace, mut client) = start(Persona::VSCODE);
    let before = workspace.snapshot();
    client.request("krins/assign", json!({"intent": "rename calculateTotal to orderTotal", "task": "t"})).unwrap();
    let diff = client.request("krins/diff", json!({"task": "t", "wait": true})).unwrap();
    client.request("krins/apply", json!({"task": "t"})).unwrap();
    let after = workspace.snapshot();
    // Somebody goes on working meanwhile, also in that file.
    let report = workspace.read("src/report.ts");
    workspace.write("src/report.ts", format!("{report}\nexport const more = 1;\n"));
    let hunks = json!([hunk_of(&diff, "report.ts")["id"]]);
    let planned = client.request("krins/undo", json!({"undo": "t", "hunks": hunks, "dryRun": true})).unwrap();
    assert_eq!(planned["applied"].as_array().unwrap().len(), 1);
    client.request("krins/undo", json!({"undo": "t", "hunks": hunks})).unwrap();
    let taken = workspace.read("src/report.ts");
    assert!(taken.contains("calculateTotal as total") && taken.ends_with("more = 1;\n"), "{taken}");
    assert!(workspace.read("src/total.ts").contains("orderTotal"), "the rest stays");
    assert_eq!(client.request("krins/task", json!({"task": "t"})).unwrap()["state"], "applied");
    let again = client.request("krins/undo", json!({"undo": "t", "hunks": hunks})).unwrap();
    assert_eq!(again["applied"], json!([]), "it is back already");
    quiet(&mut client);
    client.kill();
    drop(client);

    let mut client = Client::start(&workspace, Persona::VSCODE);
    assert_eq!(client.request("krins/task", json!({"task": "t"})).unwrap()["state"], "applied");
    client.request("krins/redo", json!({})).unwrap();
    workspace.write("src/report.ts", workspace.read("src/report.ts").replace("\nexport const more = 1;\n", ""));
    assert_eq!(workspace.snapshot(), after);
    client.request("krins/undo", json!({"undo": "t", "hunks": hunks})).unwrap();
    client.request("krins/undo", json!({"undo": "t"})).unwrap();
    assert_eq!(workspace.snapshot(), before, "what is back already is no hindrance for the rest");
    for (method, params) in [
        ("krins/redo", json!({"undo": "t", "hunks": hunks})),
        ("krins/undo", json!({"undo": "t", "hunks": ["h99"]})),
        ("krins/undo", json!({"undo": "t", "hunks": hunks})),
    ] {
        assert_eq!(client.request(method, params.clone()).unwrap_err().kind(), Some("BadParams"), "{method} {params}");
    }
    quiet(&mut client);
}

#[test]
fn what_moved_on_in_the_same_place_is_a_conflict_and_nothing_is_written() {
    let (workspace, mut client) = start(Persona::VSCODE);
    client.request("krins/assign", json!({"intent": "rename calculateTotal to orderTotal", "task": "t"})).unwrap();
    client.request("krins/diff", json!({"task": "t", "wait": true})).unwrap();
    let moved = workspace
        .read("src/total.ts")
        .replace("export function calculateTotal(prices", "export function calculateTotal(items");
    workspace.write("src/total.ts", &moved);
    let before = workspace.snapshot();
    let applied = client.request("krins/apply", json!({"task": "t"})).unwrap();
    assert_eq!(applied["conflicts"].as_array().unwrap().len(), 1, "{applied}");
    assert_eq!(applied["undo"], Value::Null);
    assert_eq!(workspace.snapshot(), before);
    // The hunk in the way is named, so that the others can go on.
    let diff = client.request("krins/diff", json!({"task": "t"})).unwrap();
    let hunk = hunk_of(&diff, "total.ts")["id"].clone();
    assert_eq!(applied["conflicts"][0]["hunks"], json!([hunk]));
    client.request("krins/review", json!({"task": "t", "hunk": hunk, "verdict": "reject"})).unwrap();
    let others = client.request("krins/apply", json!({"task": "t", "dryRun": true})).unwrap();
    assert_eq!(others["applied"].as_array().unwrap().len(), 2, "{others}");
    client.request("krins/review", json!({"task": "t", "hunk": hunk, "verdict": "open"})).unwrap();
    // Elsewhere in the file it merges.
    workspace.write("src/total.ts", format!("// new first line\n{}", String::from_utf8_lossy(&before_total())));
    let applied = client.request("krins/apply", json!({"task": "t"})).unwrap();
    assert!(applied["undo"].is_string(), "{applied}");
    assert!(
        workspace
            .read("src/total.ts")
            .starts_with("// new first line\n// Money.\n\n/** Adds up. */\nexport function orderTotal(")
    );
    quiet(&mut client);
}

fn before_total() -> Vec<u8> {
    let workspace = Workspace::from_fixture(FIXTURE);
    workspace.read("src/total.ts").into_bytes()
}

#[test]
fn an_open_buffer_with_unsaved_text_is_changed_in_the_editor_and_merged() {
    let (workspace, mut client) = start(Persona::HELIX);
    client.open("src/total.ts");
    client.request("krins/assign", json!({"intent": "rename calculateTotal to orderTotal", "task": "t"})).unwrap();
    client.request("krins/diff", json!({"task": "t", "wait": true})).unwrap();
    client.replace("src/total.ts", "// Money.", "// Money, in cents. 𝄞");
    let applied = client.request("krins/apply", json!({"task": "t"})).unwrap();
    let total = applied["applied"]
        .as_array()
        .unwrap()
        .iter()
        .find(|file| file["uri"].as_str().unwrap().ends_with("total.ts"))
        .unwrap();
    assert_eq!(total["route"], "buffer");
    assert_eq!(applied["unsaved"].as_array().unwrap().len(), 1);
    assert!(
        client
            .text("src/total.ts")
            .starts_with("// Money, in cents. 𝄞\n\n/** Adds up. */\nexport function orderTotal("),
        "{}",
        client.text("src/total.ts")
    );
    assert!(workspace.read("src/total.ts").contains("calculateTotal"), "the disk is the editor's to save");
    quiet(&mut client);
}

/// Whoever plans a change has to know what is open, also where one root lies in another.
#[test]
fn a_root_inside_another_does_not_hide_what_is_open() {
    let workspace = Workspace::from_fixture(FIXTURE);
    let mut client = Client::builder(&workspace).persona(Persona::VSCODE).start();
    let mut params = client.persona().initialize_params(workspace.root());
    let folder = |uri: String| json!({"uri": uri, "name": "folder"});
    params["workspaceFolders"] = json!([folder(workspace.root_uri()), folder(workspace.uri("src"))]);
    client.initialize_with(params);
    client.open("src/total.ts");
    client.open("package.json");
    client.replace("src/total.ts", "// Money.", "// Money, in cents.");
    let document = json!({"uri": workspace.uri("package.json")});
    let rename = json!({"intent": "rename calculateTotal to orderTotal", "task": "t", "textDocument": document});
    client.request("krins/assign", rename).unwrap();
    client.request("krins/diff", json!({"task": "t", "wait": true})).unwrap();
    let applied = client.request("krins/apply", json!({"task": "t"})).unwrap();
    assert_eq!(applied["unsaved"].as_array().map(Vec::len), Some(1), "{applied}");
    assert!(client.text("src/total.ts").starts_with("// Money, in cents."));
    assert!(client.text("src/total.ts").contains("function orderTotal"));
    assert!(workspace.read("src/total.ts").contains("calculateTotal"), "the disk is the editor's to save");
    quiet(&mut client);
}

#[test]
fn without_a_folder_the_nearest_repository_is_the_workspace_of_a_file() {
    let workspace = Workspace::from_fixture(
        "\
//- /.krins/config.toml
//- /a.ts
export const a = 1;
//- /plain/b.ts
export const b = 1;
//- /vendored/.krins/config.toml
//- /vendored/deep/c.ts
export const c = 1;
",
    );
    let mut client = Client::builder(&workspace).persona(Persona::NEOVIM).start();
    client.initialize_without_folder();
    for (file, files) in [("a.ts", 3), ("vendored/deep/c.ts", 1), ("plain/b.ts", 3), ("vendored/deep/c.ts", 1)] {
        let uri = client.uri(file);
        let stats = client.request("krins/graph/stats", json!({"uri": uri})).unwrap();
        assert_eq!(stats["files"], files, "{file}");
    }
}

/// Nobody followed the document while the settings were wrong: what it holds is not known, and the disk is not it.
#[test]
fn what_was_opened_before_the_settings_were_mended_is_refused_not_taken_from_disk() {
    let workspace = Workspace::from_fixture(FIXTURE);
    workspace.write(".krins/config.toml", "no_such_key = 1\n");
    let mut client = Client::start(&workspace, Persona::VSCODE);
    client.open("src/total.ts");
    client.replace("src/total.ts", "// Money.", "// Money, in cents.");
    let rename = json!({"intent": "rename calculateTotal to orderTotal", "task": "t"});
    let error = client.request("krins/assign", rename.clone()).unwrap_err();
    assert_eq!(error.kind(), Some("BadParams"), "{error:?}");
    workspace.write(".krins/config.toml", "");
    client.request("krins/assign", rename).unwrap();
    let error = client.request("krins/diff", json!({"task": "t", "wait": true})).unwrap_err();
    assert_eq!(error.kind(), Some("StaleBase"), "{error:?}");
    assert!(error.message.contains("src/total.ts"), "{error:?}");
    assert!(workspace.read("src/total.ts").contains("calculateTotal"));
    quiet(&mut client);
}

#[test]
fn a_task_survives_the_process() {
    let workspace = Workspace::from_fixture(FIXTURE);
    let mut client = Client::start(&workspace, Persona::VSCODE);
    client.request("krins/assign", json!({"intent": "rename calculateTotal to orderTotal", "task": "t"})).unwrap();
    client.request("krins/diff", json!({"task": "t", "wait": true})).unwrap();
    quiet(&mut client);
    client.kill();
    drop(client);
    let mut client = Client::start(&workspace, Persona::VSCODE);
    let status = client.request("krins/task", json!({"task": "t"})).unwrap();
    assert_eq!(status["state"], "ready");
    let applied = client.request("krins/apply", json!({"task": "t"})).unwrap();
    assert_eq!(applied["applied"].as_array().unwrap().len(), 3);
    quiet(&mut client);
}

#[test]
fn bad_input_gets_a_kind_and_a_hint_and_the_process_lives() {
    let (_workspace, mut client) = start(Persona::VSCODE);
    let cases = [
        ("krins/assign", json!({"intent": "   "}), "BadParams"),
        ("krins/assign", json!({"intent": "x", "textDocument": {"uri": "untitled:1"}}), "BadParams"),
        ("krins/assign", json!({"intent": "x", "task": "../../etc"}), "BadParams"),
        ("krins/task", json!({"task": "nobody"}), "UnknownTask"),
        ("krins/diff", json!({"task": "nobody"}), "UnknownTask"),
        ("krins/apply", json!(null), "UnknownTask"),
        ("krins/undo", json!({}), "BadParams"),
        ("krins/assign", json!({"intent": 7}), "BadParams"),
    ];
    for (method, params, kind) in cases {
        let error = client.request(method, params.clone()).unwrap_err();
        assert_eq!(error.kind(), Some(kind), "{method} {params}: {error:?}");
    }
    let error = client.request("krins/nonsense", json!({})).unwrap_err();
    assert_eq!(error.code, -32601);
    assert!(client.request("krins/status", json!(null)).is_ok());
    quiet(&mut client);
}

#[test]
fn a_task_that_is_not_understood_fails_with_what_can_be_done() {
    let (_workspace, mut client) = start(Persona::VSCODE);
    client.request("krins/assign", json!({"intent": "make it faster", "task": "t"})).unwrap();
    let error = client.request("krins/diff", json!({"task": "t", "wait": true})).unwrap_err();
    assert_eq!(error.kind(), Some("ProviderRefused"));
    assert!(error.data["hint"].as_str().unwrap().contains("rename"), "{error:?}");
    quiet(&mut client);
}

/// What comes beside what the test is about, now or behind an answer, need not be read.
fn quiet(client: &mut Client) {
    for method in ["window/showMessage", "krins/task/didChange", "workspace/applyEdit", "window/showDocument"] {
        client.ignore(method);
    }
}
