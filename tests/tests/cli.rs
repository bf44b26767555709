//! What the command line promises: exit codes, one JSON document of the published types, plain text in a pipe.

use krins_tests::command::{Ran, command, krins, krins_reading, run};
use krins_tests::workspace::Workspace;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

const SHOP: &str = "\
//- /package.json
{\"name\": \"shop\", \"version\": \"1.0.0\"}
//- /src/total.ts
/** Adds up. */
export function calculateTotal(prices: number[]): number {
  return prices.reduce((sum, price) => sum + price, 0);
}
//- /src/cart.ts
import { calculateTotal } from \"./total\";

export const cart = (prices: number[]) => ({ calculateTotal, sum: calculateTotal(prices) });
//- /src/report.ts
import { cart } from \"./cart\";

export const report = (prices: number[]) => `calculateTotal: ${cart(prices).sum}`;
";
const RENAME: &str = "rename calculateTotal to orderTotal";
/// The beginning of every terminal escape.
const ESCAPE: u8 = 0x1b;

fn shop() -> Workspace {
    Workspace::from_fixture(SHOP)
}

/// The published schema, and whether a document holds to it: with all that is required, and nothing that is not named.
struct Schema(Value);

impl Schema {
    fn published() -> Self {
        Self(krins(&Workspace::empty(), &["schema"]).expect(0).json()["$defs"].take())
    }

    #[track_caller]
    fn holds(&self, name: &str, document: &Value) {
        let schema = &self.0[name];
        assert!(schema.is_object(), "{name} is not published");
        let mut wrong = Vec::new();
        self.check(schema, document, name, &mut wrong);
        assert!(wrong.is_empty(), "{wrong:#?}\n{document:#}");
    }

    fn check(&self, schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
        let one_of = ["anyOf", "oneOf"].iter().find_map(|key| schema[key].as_array());
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.trim_start_matches("#/$defs/");
            self.check(&self.0[name], value, at, wrong);
        } else if let Some(forms) = one_of {
            let fits = |form: &&Value| {
                let mut wrong = Vec::new();
                self.check(form, value, at, &mut wrong);
                wrong.is_empty()
            };
            if !forms.iter().any(|form| fits(&form)) {
                wrong.push(format!("{at}: {value} has none of the forms"));
            }
        } else if let Some(choices) = schema["enum"].as_array() {
            if !choices.contains(value) {
                wrong.push(format!("{at}: {value} is none of {choices:?}"));
            }
        } else {
            self.check_type(schema, value, at, wrong);
        }
    }

    fn check_type(&self, schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
        let is = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let may = |name: &Value| name == is || (name == "number" && is == "integer");
        let wanted = &schema["type"];
        if !(wanted.is_null() || may(wanted) || wanted.as_array().is_some_and(|types| types.iter().any(may))) {
            wrong.push(format!("{at}: {value} is no {wanted}"));
            return;
        }
        if let Value::Array(items) = value {
            for (index, item) in items.iter().enumerate() {
                let schema = schema["prefixItems"].get(index).unwrap_or(&schema["items"]);
                self.check(schema, item, &format!("{at}[{index}]"), wrong);
            }
        }
        if let (Value::Object(members), Some(known)) = (value, schema["properties"].as_object()) {
            self.check_members(members, known, &schema["required"], at, wrong);
        }
    }

    fn check_members(
        &self,
        members: &Map<String, Value>,
        known: &Map<String, Value>,
        required: &Value,
        at: &str,
        wrong: &mut Vec<String>,
    ) {
        for (name, member) in members {
            match known.get(name) {
                Some(schema) => self.check(schema, member, &format!("{at}.{name}"), wrong),
                None => wrong.push(format!("{at}.{name} is not published")),
            }
        }
        for name in required.as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !members.contains_key(name) {
                wrong.push(format!("{at}.{name} is missing"));
            }
        }
    }
}

#[track_caller]
fn fails(ran: Ran, code: i32, kind: &str) -> Value {
    let failure = ran.expect(code).json();
    Schema::published().holds("Failure", &failure);
    assert_eq!(failure["error"]["kind"], kind, "{failure:#}");
    failure
}

#[test]
fn the_journey_in_documents_of_the_published_types() {
    let (workspace, schema) = (shop(), Schema::published());
    let before = workspace.snapshot();
    let diff = krins(&workspace, &["assign", RENAME, "--json"]).expect(0).json();
    schema.holds("DiffResult", &diff);
    assert_eq!((&diff["state"], &diff["gate"]["verdict"]), (&json!("ready"), &json!("pass")));
    assert!(workspace.snapshot() == before, "nothing is written without --apply");
    let task = diff["task"].as_str().unwrap();

    let again = krins(&workspace, &["diff", task, "--json"]).expect(0).json();
    schema.holds("DiffResult", &again);
    assert_eq!(again["patch"], diff["patch"]);
    let tried = krins(&workspace, &["apply", "--dry-run", "--json"]).expect(0).json();
    schema.holds("ApplyResult", &tried);
    assert!(workspace.snapshot() == before, "a dry run writes nothing");

    let applied = krins(&workspace, &["apply", task, "--json"]).expect(0).json();
    schema.holds("ApplyResult", &applied);
    assert_eq!(applied["applied"].as_array().unwrap().len(), 2);
    let after = workspace.snapshot();
    assert!(workspace.read("src/cart.ts").contains("({ calculateTotal: orderTotal, sum: orderTotal(prices) })"));
    let shown = krins(&workspace, &["task", "show", "--json"]).expect(0).json();
    schema.holds("TaskStatus", &shown);
    assert_eq!(shown["state"], "applied");
    let twice = krins(&workspace, &["apply", task, "--json"]).expect(0).json();
    assert_eq!(twice["applied"], json!([]), "what is there is not applied again");
    assert!(workspace.snapshot() == after);

    krins(&workspace, &["undo", "--dry-run", "--json"]).expect(0);
    assert!(workspace.snapshot() == after, "a dry run writes nothing");
    schema.holds("ApplyResult", &krins(&workspace, &["undo", "--json"]).expect(0).json());
    assert!(workspace.snapshot() == before, "undo restores every byte");
    fails(krins(&workspace, &["undo", "--json"]), 2, "BadParams");
    krins(&workspace, &["redo", "--dry-run", "--json"]).expect(0);
    assert!(workspace.snapshot() == before, "a dry run writes nothing");
    schema.holds("ApplyResult", &krins(&workspace, &["redo", "--json"]).expect(0).json());
    assert!(workspace.snapshot() == after, "redo does it again");
    krins(&workspace, &["undo", task, "--json"]).expect(0);

    schema.holds("TaskStatus", &krins(&workspace, &["discard", task, "--json"]).expect(0).json());
    fails(krins(&workspace, &["apply", task, "--json"]), 2, "BadParams");
    let tasks = krins(&workspace, &["task", "list", "--json"]).expect(0).json();
    assert_eq!(tasks.as_array().unwrap().len(), 1);
    schema.holds("TaskStatus", &tasks[0]);
    schema.holds("TaskStatus", &krins(&workspace, &["cancel", task, "--json"]).expect(0).json());
}

#[test]
fn hunks_can_be_chosen() {
    let workspace = shop();
    krins(&workspace, &["assign", RENAME]).expect(0);
    let applied = krins(&workspace, &["apply", "--hunks", "h1", "--json"]).expect(0).json();
    assert_eq!(applied["applied"].as_array().unwrap().len(), 1);
    krins(&workspace, &["undo"]).expect(0);
    fails(krins(&workspace, &["apply", "--hunks", "h1,h99", "--json"]), 2, "BadParams");
}

#[test]
fn a_change_that_came_in_two_applies_is_undone_with_the_second_undo() {
    let workspace = shop();
    let hunks = |value: &serde_json::Value| value["left"].as_array().map_or(0, Vec::len);
    let shown = || krins(&workspace, &["diff", "--json"]).expect(0).json();
    krins(&workspace, &["assign", RENAME, "--json"]).expect(0);
    krins(&workspace, &["apply", "--hunks", "h1"]).expect(0);
    let rest = hunks(&shown());
    krins(&workspace, &["apply"]).expect(0);
    krins(&workspace, &["undo"]).expect(0);
    assert_eq!((&shown()["state"], hunks(&shown())), (&"applied".into(), rest), "the first apply stays");
    krins(&workspace, &["undo"]).expect(0);
    assert_eq!((&shown()["state"], hunks(&shown())), (&"undone".into(), 0));
    krins(&workspace, &["redo"]).expect(0);
    assert_eq!((&shown()["state"], hunks(&shown())), (&"applied".into(), rest), "what was undone last comes first");
}

#[test]
fn an_undo_and_a_redo_are_about_what_is_still_there_to_turn() {
    let workspace = shop();
    let state = |task: &str| {
        let shown = krins(&workspace, &["diff", task, "--json"]).expect(0).json();
        (shown["state"].as_str().unwrap().to_owned(), shown["left"].as_array().map_or(0, Vec::len))
    };
    let assign = |intent: &str| {
        let assigned = krins(&workspace, &["assign", intent, "--json"]).expect(0).json();
        let hunks = assigned["files"].as_array().unwrap().iter().map(|file| file["hunks"].as_array().unwrap().len());
        (assigned["task"].as_str().unwrap().to_owned(), hunks.sum::<usize>())
    };
    let (first, all) = assign(RENAME);
    krins(&workspace, &["apply"]).expect(0);
    krins(&workspace, &["undo"]).expect(0);
    krins(&workspace, &["apply", "--hunks", "h1"]).expect(0);
    krins(&workspace, &["redo"]).expect(0);
    assert_eq!(state(&first), ("applied".into(), 0));
    krins(&workspace, &["undo"]).expect(0);
    assert_eq!(state(&first), ("applied".into(), all - 1), "the redo has not brought what was there");
    krins(&workspace, &["apply"]).expect(0);
    let before = workspace.read("src/cart.ts");

    let (second, hunks) = assign("rename orderTotal to totalOfOrder");
    krins(&workspace, &["apply"]).expect(0);
    for hunk in 1..=hunks {
        krins(&workspace, &["undo", "--hunks", &format!("h{hunk}")]).expect(0);
    }
    assert_eq!((state(&second), workspace.read("src/cart.ts")), (("undone".into(), 0), before));
    krins(&workspace, &["undo"]).expect(0);
    assert_eq!(state(&first), ("applied".into(), all - 1), "what is undone by its hunks is not undone once more");
}

#[test]
fn what_was_left_out_is_told_until_it_is_applied_or_left_out_for_good() {
    let workspace = shop();
    let shown = || krins(&workspace, &["diff", "--json"]).expect(0).json();
    let hunks: Vec<String> = krins(&workspace, &["assign", RENAME, "--json"]).expect(0).json()["files"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|file| file["hunks"].as_array().unwrap())
        .map(|hunk| hunk["id"].as_str().unwrap().to_owned())
        .collect();
    assert!(hunks.len() > 1 && shown().get("left").is_none());
    krins(&workspace, &["apply", "--hunks", "h1"]).expect(0);
    assert_eq!(shown()["left"], serde_json::json!(hunks[1..]));
    krins(&workspace, &["apply"]).expect(0);
    assert_eq!(shown().get("left"), None, "all of it is applied");
    krins(&workspace, &["undo", "--hunks", "h1"]).expect(0);
    assert_eq!(shown()["left"], serde_json::json!(["h1"]), "it was taken back");
    krins(&workspace, &["redo"]).expect(0);
    assert_eq!(shown().get("left"), None, "and brought again");
    krins(&workspace, &["undo"]).expect(0);
    assert_eq!(shown()["left"], serde_json::json!(["h1"]));
    let discarded = krins(&workspace, &["discard", "--json"]).expect(0).json();
    assert_eq!((&discarded["state"], &shown()["left"]), (&"applied".into(), &serde_json::json!(["h1"])));
    assert_eq!(shown()["files"][0]["hunks"][0]["verdict"], "reject");
    fails(krins(&workspace, &["discard", "--json"]), 2, "BadParams");
}

#[test]
fn a_hunk_is_rejected_edited_and_opened_again() {
    let (workspace, schema) = (shop(), Schema::published());
    let diff = krins(&workspace, &["assign", RENAME, "--json"]).expect(0).json();
    let (task, proposed) = (diff["task"].as_str().unwrap(), &diff["patch"]);
    let review = |words: &[&str], input: &str| {
        let args = [&["review", task, "h1"], words, &["--json"]].concat();
        krins_reading(&workspace, &args, input)
    };
    let rejected = review(&["reject"], "").expect(0).json();
    schema.holds("DiffResult", &rejected);
    assert_eq!(rejected["files"][0]["hunks"][0]["verdict"], "reject");
    let edited = review(&["edit", "--text", "-"], "export const mine = 1;\n").expect(0).json();
    assert_eq!(edited["files"][0]["hunks"][0]["edited"], true);
    assert!(edited["patch"].as_str().unwrap().contains("+export const mine = 1;\n"), "{edited:#}");
    assert_eq!(review(&["edit", "--text", "-"], "export const = 1;\n").expect(1).json()["state"], "blocked");
    // The person's own editor, which gets the new lines as they are.
    let command_of = |args: &[&str]| command(&workspace, args);
    let mut editing = command_of(&["review", task, "h1", "edit", "--json"]);
    editing.env("VISUAL", "sed -i s/Mine/yours/I");
    review(&["edit", "--text", "-"], "export const mine = 1;\n").expect(0);
    let edited = run(editing, b"").expect(0).json();
    assert!(edited["patch"].as_str().unwrap().contains("+export const yours = 1;\n"), "{edited:#}");
    assert_eq!(&review(&["open"], "").expect(0).json()["patch"], proposed);
    fails(krins(&workspace, &["review", task, "h99", "accept", "--json"]), 2, "BadParams");
    fails(review(&["accept", "--text", "-"], "x"), 2, "BadParams");
    let mut without = command_of(&["review", task, "h1", "edit", "--json"]);
    without.env_remove("VISUAL").env_remove("EDITOR");
    fails(run(without, b""), 2, "BadParams");
}

#[test]
fn a_file_that_moved_on_is_merged_or_refused() {
    let workspace = shop();
    krins(&workspace, &["assign", RENAME]).expect(0);
    let total = workspace.read("src/total.ts");
    workspace.write("src/total.ts", format!("{total}\nexport const more = 1;\n"));
    krins(&workspace, &["apply", "--json"]).expect(0);
    assert!(workspace.read("src/total.ts").ends_with("export const more = 1;\n"));
    krins(&workspace, &["undo"]).expect(0);

    // The same place.
    workspace.write("src/total.ts", total.replace("calculateTotal(prices: number[])", "calculateTotal(all: number[])"));
    let before = workspace.snapshot();
    let refused = krins(&workspace, &["apply", "--json"]).expect(1).json();
    Schema::published().holds("ApplyResult", &refused);
    assert_eq!((refused["conflicts"].as_array().unwrap().len(), &refused["applied"]), (1, &json!([])));
    assert!(workspace.snapshot() == before, "a conflict writes nothing");
    let said = krins(&workspace, &["apply"]).expect(1);
    assert!(said.text().contains("conflict src/total.ts:2") && said.errors().contains("hint:"), "{}", said.describe());
    krins(&workspace, &["apply", "--on-conflict", "markers"]).expect(0);
    let marked = workspace.read("src/total.ts");
    assert!(marked.contains("<<<<<<< yours") && marked.contains(">>>>>>> krins"), "{marked}");
    krins(&workspace, &["undo"]).expect(0);
    assert!(workspace.snapshot() == before, "undo restores every byte");
}

/// Every command that prints for people.
const TALKS: &[&[&str]] = &[
    &["assign", RENAME],
    &["diff"],
    &["task", "list"],
    &["task", "show"],
    &["apply"],
    &["undo"],
    &["context", "why is calculateTotal wrong"],
    &["graph", "build"],
    &["graph", "stats"],
    &["graph", "module", "src/cart.ts"],
    &["graph", "impact", "src/total.ts"],
    &["graph", "refs", "calculateTotal"],
    &["graph", "tests", "src/total.ts"],
    &["graph", "path", "src/report.ts", "src/total.ts"],
    &["graph", "owners"],
    &["graph", "unused"],
    &["doctor"],
    &["demo"],
];

#[test]
fn a_pipe_gets_plain_text_and_who_asks_gets_colour() {
    for how in ["auto", "never", "always"] {
        let workspace = shop();
        for talk in TALKS {
            let ran = krins(&workspace, &[talk, ["--color", how].as_slice()].concat()).expect(0);
            assert!(!ran.stdout.is_empty(), "{talk:?} says nothing");
            let coloured = ran.stdout.contains(&ESCAPE);
            let may_be_plain = matches!(talk[0], "graph" | "demo")
                && talk.get(1).is_some_and(|word| ["build", "stats", "tests", "unused"].contains(word));
            assert!(
                if how == "always" { coloured || may_be_plain } else { !coloured },
                "{talk:?} with --color {how}: {}",
                ran.text()
            );
            assert!(how == "always" || !ran.stderr.contains(&ESCAPE), "{talk:?}: {}", ran.errors());
        }
    }
    let wrong = krins(&shop(), &["--color", "always", "apply"]).expect(2);
    assert!(wrong.stderr.contains(&ESCAPE) && wrong.stdout.is_empty());
    let wrong = krins(&shop(), &["apply"]).expect(2);
    assert!(!wrong.stderr.contains(&ESCAPE), "{}", wrong.errors());
    assert!(
        wrong.errors().starts_with("error: failed to ") && wrong.errors().contains("\nhint: "),
        "{}",
        wrong.errors()
    );
}

/// `NO_COLOR` counts in a pipe and out of it, `CLICOLOR_FORCE` is a wish too.
#[test]
fn the_environment_may_ask_for_colour() {
    let workspace = shop();
    let coloured = |name: &str, args: &[&str]| {
        let mut command = command(&workspace, args);
        command.env(name, "1");
        run(command, b"").expect(0).stdout.contains(&ESCAPE)
    };
    assert!(coloured("CLICOLOR_FORCE", &["doctor"]));
    assert!(!coloured("NO_COLOR", &["doctor"]));
    assert!(coloured("NO_COLOR", &["doctor", "--color", "always"]));
}

#[test]
fn every_command_prints_one_document() {
    let workspace = shop();
    for talk in TALKS {
        let ran = krins(&workspace, &[talk, ["--json", "--color", "always"].as_slice()].concat()).expect(0);
        assert!(ran.json().is_object() || ran.json().is_array(), "{talk:?}");
        assert!(!ran.stdout.contains(&ESCAPE), "{talk:?}");
    }
    let schema = Schema::published();
    schema.holds("Context", &krins(&workspace, &["context", RENAME, "--json"]).expect(0).json());
    let checks = krins(&workspace, &["doctor", "--json"]).expect(0).json();
    let names: Vec<&str> = checks.as_array().unwrap().iter().filter_map(|check| check["name"].as_str()).collect();
    assert!(
        ["version", "settings", "provider", "workspace", "state", "traces"].iter().all(|name| names.contains(name)),
        "{names:?}"
    );
    assert!(
        checks.as_array().unwrap().iter().all(|check| check["ok"] == true || check["hint"].is_string()),
        "{checks:#}"
    );
}

#[test]
fn bad_usage_is_code_2_and_stdout_stays_empty() {
    for args in [
        ["frobnicate"].as_slice(),
        &[],
        &["assign"],
        &["apply", "--on-conflict", "perhaps"],
        &["assign", RENAME, "--budget", "many"],
        &["--color", "pink", "doctor"],
        &["merge", "one"],
        &["completions", "cmd"],
    ] {
        let ran = krins(&shop(), args).expect(2);
        assert!(ran.stdout.is_empty() && !ran.stderr.is_empty(), "{args:?}: {}", ran.describe());
    }
    fails(krins(&shop(), &["assign", "make it faster", "--json"]), 2, "ProviderRefused");
    fails(krins(&shop(), &["diff", "t-nobody", "--json"]), 2, "UnknownTask");
    fails(krins(&shop(), &["graph", "module", "src/nothing.ts", "--json"]), 2, "BadParams");
    fails(krins(&shop(), &["--root", "/nowhere/at/all", "graph", "stats", "--json"]), 2, "BadParams");
    fails(krins(&shop(), &["assign", RENAME, "--provider", "nobody", "--json"]), 2, "BadParams");
}

#[test]
fn help_shows_examples_and_every_command() {
    let workspace = Workspace::empty();
    let help = krins(&workspace, &["--help"]).expect(0).text();
    assert!(
        help.contains("Examples:") && help.contains("krins assign \"rename calculateTotal to orderTotal\""),
        "{help}"
    );
    assert!(help.contains("Exit codes: 0 done, 1 blocked or conflict, 2 refused or bad usage, 3 backend unavailable"));
    assert!(krins(&workspace, &["--version"]).expect(0).text().starts_with("krins "));
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // A description that does not fit goes on, further to the right.
    let named = commands.filter(|line| !line.starts_with("   ") && !line.starts_with("  help "));
    let names: Vec<&str> = named.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.len() >= 19, "{names:?}");
    for name in names {
        assert!(krins(&workspace, &[name, "--help"]).expect(0).text().contains("Usage: krins"), "{name}");
    }
}

#[test]
fn completions_for_every_shell_name_the_commands() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = krins(&Workspace::empty(), &["completions", shell]).expect(0).text();
        assert!(["krins", "assign", "undo", "dry-run"].iter().all(|word| script.contains(word)), "{shell}");
    }
}

#[test]
fn the_demo_proves_both_ends_and_leaves_nothing() {
    let workspace = Workspace::empty();
    let text = krins(&workspace, &["demo"]).expect(0).text();
    for line in ["✓ no new syntax error", "byte for byte what they were", "where the time went", "pruned"] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    assert!(!text.contains('✗'));
    let document = krins(&workspace, &["demo", "--json"]).expect(0).json();
    assert_eq!(document["restored"], true);
    assert!(document["proof"].as_array().unwrap().iter().all(|proof| proof[1] == true), "{document:#}");
    let schema = Schema::published();
    for (name, member) in
        [("Context", "context"), ("DiffResult", "diff"), ("ApplyResult", "applied"), ("ApplyResult", "undone")]
    {
        schema.holds(name, &document[member]);
    }
    let refused = krins(&workspace, &["demo", "make it faster", "--json"]);
    fails(refused, 2, "ProviderRefused");
    let temporary = std::fs::read_dir(workspace.home().parent().unwrap().join("tmp")).unwrap().count();
    assert_eq!(temporary, 0, "the copies are gone");
}

#[test]
fn the_demo_works_on_a_copy_of_ones_own_project() {
    let workspace = shop();
    let before = workspace.snapshot();
    let root = workspace.root().to_str().unwrap();
    let document = krins(&Workspace::empty(), &["demo", "--root", root, "--json"]).expect(0).json();
    assert_eq!(document["restored"], true);
    assert_eq!(document["intent"], "rename calculateTotal to calculateTotalRenamed");
    let document =
        krins(&Workspace::empty(), &["demo", "rename cart to basket", "--root", root, "--json"]).expect(0).json();
    assert_eq!(document["applied"]["applied"].as_array().unwrap().len(), 2);
    assert!(workspace.snapshot() == before, "the project itself is not touched");
}

const PATCH: &str = "\
--- a/src/total.ts
+++ b/src/total.ts
@@ -1,4 +1,4 @@
-/** Adds up. */
+/** The sum. */
 export function calculateTotal(prices: number[]): number {
   return prices.reduce((sum, price) => sum + price, 0);
 }
";

fn patch(workspace: &Workspace, text: &str, code: i32) -> Value {
    let report = krins_reading(workspace, &["patch", "apply", "--json"], text).expect(code).json();
    Schema::published().holds("PatchReport", &report);
    report
}

#[test]
fn a_patch_is_applied_once_and_can_be_undone() {
    let workspace = shop();
    let before = workspace.snapshot();
    let report = patch(&workspace, PATCH, 0);
    assert_eq!((&report["outcome"], &report["files"][0]["hunks"][0]["level"]), (&json!("applied"), &json!("exact")));
    assert!(workspace.read("src/total.ts").starts_with("/** The sum. */"));
    assert_eq!(patch(&workspace, PATCH, 0)["outcome"], "noop");
    krins(&workspace, &["undo", report["undo"].as_str().unwrap()]).expect(0);
    assert!(workspace.snapshot() == before, "undo restores every byte");
    let said = krins_reading(&workspace, &["patch", "apply"], PATCH).expect(0);
    assert!(said.text().starts_with("applied\n"), "{}", said.describe());
}

#[test]
fn five_forms_of_a_patch_are_one() {
    let search = "src/total.ts\n<<<<<<< SEARCH\n/** Adds up. */\n=======\n/** The sum. */\n>>>>>>> REPLACE\n";
    let begin =
        "*** Begin Patch\n*** Update File: src/total.ts\n@@\n-/** Adds up. */\n+/** The sum. */\n*** End Patch\n";
    let replace = r#"{"command": "str_replace", "path": "src/total.ts", "old_str": "/** Adds up. */", "new_str": "/** The sum. */"}"#;
    let whole = format!("src/total.ts\n```ts\n{}```\n", shop().read("src/total.ts").replace("Adds up", "The sum"));
    for form in [PATCH, search, begin, replace, &whole] {
        let (workspace, base) = (shop(), shop());
        let base = base.root().to_str().unwrap();
        let report = krins_reading(&workspace, &["patch", "apply", "--json", "--base", base], form);
        assert_eq!(report.code, Some(0), "{form}\n{}", report.describe());
        assert!(workspace.read("src/total.ts").starts_with("/** The sum. */\nexport"), "{form}");
    }
    // Without the text that it was made from, a whole file could take back what somebody wrote since.
    let workspace = shop();
    let before = workspace.snapshot();
    let refused = krins_reading(&workspace, &["patch", "apply", "--json"], &whole);
    assert_eq!(refused.code, Some(2), "{}", refused.describe());
    assert!(workspace.snapshot() == before, "nothing is written");
}

#[test]
fn a_patch_in_the_way_of_later_work_is_a_conflict() {
    let (workspace, base) = (shop(), shop());
    workspace.write("src/total.ts", workspace.read("src/total.ts").replace("Adds up", "Adds all of it up"));
    let before = workspace.snapshot();
    let args = ["patch", "apply", "--json", "--base", base.root().to_str().unwrap()];
    let report = krins_reading(&workspace, &args, PATCH).expect(1).json();
    Schema::published().holds("PatchReport", &report);
    assert_eq!((&report["outcome"], &report["conflicts"][0]["path"]), (&json!("conflict"), &json!("src/total.ts")));
    assert!(workspace.snapshot() == before, "a conflict writes nothing");
    // Elsewhere in the file it merges.
    workspace.write("src/total.ts", base.read("src/total.ts") + "\nexport const more = 1;\n");
    assert_eq!(krins_reading(&workspace, &args, PATCH).expect(0).json()["outcome"], "applied");
    assert!(workspace.read("src/total.ts").ends_with("more = 1;\n"));
    // Without the base there is nothing to merge with.
    workspace.write("src/total.ts", "export const other = 1;\n");
    let report = patch(&workspace, PATCH, 2);
    assert_eq!((&report["outcome"], &report["refusals"][0]["path"]), (&json!("refused"), &json!("src/total.ts")));
}

#[test]
fn a_patch_that_means_harm_is_refused() {
    let harm = [
        "--- /dev/null\n+++ b/../outside.ts\n@@ -0,0 +1 @@\n+1\n",
        "--- /dev/null\n+++ b//etc/krins-was-here\n@@ -0,0 +1 @@\n+1\n",
        "--- /dev/null\n+++ b/.git/hooks/pre-commit\n@@ -0,0 +1 @@\n+#!/bin/sh\n",
        "--- /dev/null\n+++ b/.krins/config.toml\n@@ -0,0 +1 @@\n+provider = \"x\"\n",
        "--- /dev/null\n+++ b/.husky/pre-commit\n@@ -0,0 +1 @@\n+true\n",
        "*** Begin Patch\n*** Add File: src/../../up.ts\n+1\n*** End Patch\n",
        "not a patch at all",
        "",
    ];
    let workspace = shop();
    let before = workspace.snapshot();
    for text in harm {
        let report = patch(&workspace, text, 2);
        assert_eq!(report["outcome"], "refused", "{text}");
        assert!(report["refusals"][0]["why"].as_str().is_some_and(|why| !why.is_empty()), "{report:#}");
    }
    // One bad file spoils all of it.
    patch(&workspace, &format!("{PATCH}{}", harm[0]), 2);
    assert!(workspace.snapshot() == before, "nothing is written unless all of it is");
    assert!(!workspace.root().with_file_name("outside.ts").exists());
    let binary = krins_reading(&workspace, &["patch", "apply", "--json"], b"\xff\xfe\x00").expect(2);
    assert_eq!(binary.json()["error"]["kind"], "BadParams");
}

/// What runs elsewhere is a person's to change, and they are told; for a model's answer the gate still blocks it.
#[test]
fn a_patch_of_what_runs_elsewhere_is_applied_and_said() {
    let workspace = shop();
    let workflow = "--- /dev/null\n+++ b/.github/workflows/ci.yml\n@@ -0,0 +1 @@\n+on: push\n";
    let report = patch(&workspace, workflow, 0);
    assert_eq!((&report["outcome"], &report["findings"][0]["verdict"]), (&json!("applied"), &json!("warn")));
    assert!(workspace.exists(".github/workflows/ci.yml"));
    let said = krins_reading(&workspace, &["patch", "apply"], workflow.replace("ci.yml", "two.yml")).expect(0).text();
    assert!(said.contains(".github/workflows/two.yml is protected by"), "{said}");
    krins_reading(&workspace, &["gate", "--json"], workflow.replace("ci.yml", "three.yml")).expect(1);
    workspace.write(".krins/config.toml", "[gate]\nprotected_paths = [\".github/workflows/\"]\n");
    patch(&workspace, &workflow.replace("ci.yml", "four.yml"), 2);
}

/// What cannot be patched as text is refused by its name, before anything is written and without reading it whole.
#[test]
fn what_is_no_text_that_can_be_patched_is_refused_by_name() {
    let workspace = shop();
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let cases: [(&str, Vec<u8>, &str); 5] = [
        ("latin.ts", b"caf\xe9\n".to_vec(), "ISO 8859-1"),
        ("sjis.ts", b"\x83e\x83X\x83g\n".to_vec(), "not UTF-8"),
        ("wide.ts", wide("one\n"), "UTF-16 without a byte order mark"),
        ("wider.ts", "one\n".bytes().flat_map(|byte| [byte, 0, 0, 0]).collect(), "UTF-32"),
        ("picture.ts", b"\x89PNG\0\r\n\x1a\n".to_vec(), "binary"),
    ];
    for (path, bytes, name) in &cases {
        workspace.write(path, bytes);
        let text = format!("--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-one\n+two\n");
        let report = patch(&workspace, &text, 2);
        assert!(report["refusals"][0]["why"].as_str().unwrap().contains(name), "{path}: {report:#}");
    }
    let large = std::fs::File::create(workspace.path("large.ts")).unwrap();
    large.set_len(100 << 20).unwrap();
    let report = patch(&workspace, "--- a/large.ts\n+++ b/large.ts\n@@ -1 +1 @@\n-one\n+two\n", 2);
    assert!(report["refusals"][0]["why"].as_str().unwrap().contains("larger than 20 MB"), "{report:#}");
    let sides = ["large.ts", "large.ts", "src/total.ts"];
    fails(krins(&workspace, &["merge", sides[0], sides[1], sides[2], "--json"]), 2, "BadParams");
}

#[cfg(unix)]
#[test]
fn modes_empty_files_and_long_lines_are_what_the_patch_says() {
    use std::os::unix::fs::PermissionsExt as _;
    let workspace = shop();
    let mode = |path: &str| std::fs::metadata(workspace.path(path)).unwrap().permissions().mode() & 0o777;
    let script =
        "diff --git a/run.sh b/run.sh\nnew file mode 100755\n--- /dev/null\n+++ b/run.sh\n@@ -0,0 +1 @@\n+true\n";
    patch(&workspace, script, 0);
    assert_eq!(mode("run.sh") & 0o111, 0o111, "as the umask lets it");
    std::fs::set_permissions(workspace.path("run.sh"), std::fs::Permissions::from_mode(0o750)).unwrap();
    patch(&workspace, "--- a/run.sh\n+++ b/run.sh\n@@ -1 +1 @@\n-true\n+false\n", 0);
    assert_eq!((mode("run.sh"), workspace.read("run.sh").as_str()), (0o750, "false\n"), "what is not said stays");
    patch(&workspace, "diff --git a/run.sh b/run.sh\nold mode 100755\nnew mode 100644\n", 0);
    assert_eq!(mode("run.sh"), 0o640);
    patch(&workspace, "diff --git a/empty b/empty\nnew file mode 100644\nindex 0000000..e69de29\n", 0);
    assert_eq!(workspace.read("empty"), "");
    patch(&workspace, "diff --git a/empty b/empty\ndeleted file mode 100644\nindex e69de29..0000000\n", 0);
    assert!(!workspace.exists("empty"));
    let long = "x".repeat(3 << 20);
    workspace.write("long.txt", format!("a\n{long}\nb"));
    let call = r#"{"command": "str_replace", "path": "long.txt", "old_str": "b", "new_str": "c"}"#;
    patch(&workspace, call, 0);
    assert_eq!(workspace.read("long.txt"), format!("a\n{long}\nc"), "still without a final line end");
}

/// What was mended on the way in is named, hunk by hunk.
#[test]
fn every_repair_is_listed() {
    let workspace = shop();
    let base = shop();
    let text = PATCH.replace("@@ -1,4 +1,4 @@", "@@ -3,9 +3,7 @@");
    assert_ne!(text, PATCH);
    let args = ["patch", "apply", "--json", "--base", base.root().to_str().unwrap()];
    let report = krins_reading(&workspace, &args, text).expect(0).json();
    assert_eq!(report["files"][0]["hunks"][0]["repairs"], json!(["wrong line counts", "line number off by 2"]));
}

#[test]
fn the_gate_blocks_secrets_and_lets_the_rest_pass() {
    let workspace = shop();
    let schema = Schema::published();
    let report = krins_reading(&workspace, &["gate", "--json"], PATCH).expect(0).json();
    schema.holds("GateReport", &report);
    assert_eq!(report["verdict"], "pass");
    // Put together here, so that no scanner takes this file for a leak.
    let secret = format!("export const id = \"{}{}\";", "AKIA", "Z7VRSQ5TJN2XKWPD");
    let leak = PATCH.replace("+/** The sum. */", &format!("+{secret}"));
    let report = krins_reading(&workspace, &["gate", "--json"], &leak).expect(1).json();
    schema.holds("GateReport", &report);
    assert_eq!(report["verdict"], "block", "{report:#}");
    assert!(!report.to_string().contains("Z7VRSQ5TJN2XKWPD"), "a report does not spread the secret: {report}");
    let broken = PATCH.replace("+/** The sum. */", "+export const = ;");
    let report = krins_reading(&workspace, &["gate", "--json"], &broken).expect(1).json();
    assert!(
        report["findings"].as_array().unwrap().iter().any(|finding| finding["lines"] == json!([1, 1])),
        "{report:#}"
    );
    let said = krins_reading(&workspace, &["gate"], &broken).expect(1);
    assert!(said.text().contains("block"), "{}", said.describe());
    // A person's own patch is judged by its paths alone, so that this one is theirs to apply.
    assert_eq!(patch(&workspace, &broken, 0)["outcome"], "applied");
}

#[test]
fn merge_is_what_git_makes_of_it() {
    let workspace = Workspace::from_fixture(
        "//- /base\none\ntwo\nthree\nfour\nfive\n//- /ours\nONE\ntwo\nthree\nfour\nfive\n//- /theirs\none\ntwo\nthree\nfour\nFIVE\n//- /other\neins\ntwo\nthree\nfour\nfive\n",
    );
    assert_eq!(
        krins(&workspace, &["merge", "base", "ours", "theirs"]).expect(0).text(),
        "ONE\ntwo\nthree\nfour\nFIVE\n"
    );
    let conflict = krins(&workspace, &["merge", "base", "ours", "other"]).expect(1).text();
    assert_eq!(conflict, "<<<<<<< ours\nONE\n=======\neins\n>>>>>>> other\ntwo\nthree\nfour\nfive\n");
    let named = krins(&workspace, &["merge", "base", "ours", "other", "--path", "src/a.ts"]).expect(1).text();
    assert!(named.starts_with("<<<<<<< src/a.ts\n"), "{named}");
    fails(krins(&workspace, &["merge", "base", "ours", "nothing", "--json"]), 2, "BadParams");
}

#[test]
fn a_batch_is_answered_line_by_line_in_order() {
    let workspace = shop();
    let queries = [
        json!({"intent": "why is calculateTotal wrong", "file": "src/cart.ts"}),
        json!({"intent": "report", "budget": 60}),
        json!({"intent": "cart", "file": "src/nothing.ts"}),
        json!({"intent": "cart"}),
    ];
    let lines: Vec<String> = queries.iter().map(Value::to_string).chain(["{no json".to_owned()]).collect();
    workspace.write("queries.jsonl", lines.join("\n"));
    let ran = krins(&workspace, &["context", "--batch", "queries.jsonl", "--json"]);
    assert_eq!(ran.code, Some(2), "one line was bad: {}", ran.describe());
    let answers: Vec<Value> = ran.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 5);
    let schema = Schema::published();
    for (index, answer) in answers.iter().enumerate() {
        schema.holds(if [2, 4].contains(&index) { "Failure" } else { "Context" }, answer);
    }
    assert_eq!(answers[0]["items"][0]["path"], "src/cart.ts");
    assert!(answers[1]["tokens"].as_u64().unwrap() <= 60, "{}", answers[1]);
    // The same as one by one, and the same again.
    let alone = krins(&workspace, &["context", "cart", "--json"]).expect(0).json();
    assert_eq!(answers[3], alone);
    let again = krins(&workspace, &["context", "--batch", "queries.jsonl", "--json"]);
    assert_eq!(again.stdout, ran.stdout);
}

#[test]
fn the_graph_answers() {
    let workspace = shop();
    let stats = krins(&workspace, &["graph", "stats", "--json"]).expect(0).json();
    assert_eq!(
        (&stats["files"], &stats["edges"], &stats["unresolved"], &stats["broken"]),
        (&json!(3), &json!(2), &json!(0), &json!(0))
    );
    let module = krins(&workspace, &["graph", "module", "src/cart.ts", "--json"]).expect(0).json();
    assert_eq!(module["imports"][0]["path"], "src/total.ts");
    assert_eq!(module["importers"][0]["path"], "src/report.ts");
    assert_eq!(module["symbols"][0]["name"], "cart");
    // From a directory below the root, with a path that is relative to it.
    let mut below = command(&workspace, &["graph", "module", "cart.ts", "--root", "..", "--json"]);
    below.current_dir(workspace.path("src"));
    assert_eq!(run(below, b"").expect(0).json()["path"], "src/cart.ts");
}

#[test]
fn trust_is_in_one_content() {
    let workspace = shop();
    fails(krins(&workspace, &["trust", "--json"]), 2, "BadParams");
    workspace.write(".krins/config.toml", "provider = \"nobody\"\n");
    krins(&workspace, &["assign", RENAME]).expect(0);
    assert_eq!(krins(&workspace, &["trust", "--json"]).expect(0).json()["trusted"], true);
    krins(&workspace, &["assign", RENAME]).expect(2);
    workspace.write(".krins/config.toml", "provider = \"nobody\" \n");
    krins(&workspace, &["assign", RENAME, "--fresh"]).expect(0);
    workspace.write(".krins/config.toml", "provider = \"nobody\"\n");
    assert_eq!(krins(&workspace, &["trust", "--revoke", "--json"]).expect(0).json()["trusted"], false);
    krins(&workspace, &["assign", RENAME, "--fresh"]).expect(0);
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let workspace = shop();
    let mut command = command(&workspace, &["demo"]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(0) && !errors.contains("panicked"), "{:?}: {errors}", output.status);
}

/// The state is outside of the workspace, whatever a command does.
#[test]
fn no_command_writes_into_the_workspace_what_was_not_asked_for() {
    let workspace = shop();
    let before: BTreeMap<_, _> = workspace.snapshot();
    for talk in TALKS {
        krins(&workspace, talk).expect(0);
    }
    assert!(workspace.snapshot() == before);
    assert!(workspace.home().join(".local/state/krins").is_dir());
    assert!(!Path::new(workspace.root()).join(".krins").exists());
}

const NPM_BEFORE: &str = r#"{
  "lockfileVersion": 3,
  "packages": {
    "": {"dependencies": {"left-pad": "^1.3.0"}},
    "node_modules/left-pad": {"version": "1.3.0", "resolved": "https://registry.npmjs.org/left-pad/-/left-pad-1.3.0.tgz", "license": "WTFPL"}
  }
}
"#;
const NPM_PATCH: &str = r#"--- a/package-lock.json
+++ b/package-lock.json
@@ -2,6 +2,7 @@
   "lockfileVersion": 3,
   "packages": {
-    "": {"dependencies": {"left-pad": "^1.3.0"}},
+    "": {"dependencies": {"left-pad": "^1.3.0", "@s/new": "^2.0.0"}},
+    "node_modules/@s/new": {"version": "2.0.0", "resolved": "https://registry.npmjs.org/@s/new/-/new-2.0.0.tgz", "license": "AGPL-3.0", "hasInstallScript": true},
     "node_modules/left-pad": {"version": "1.3.0", "resolved": "https://registry.npmjs.org/left-pad/-/left-pad-1.3.0.tgz", "license": "WTFPL"}
   }
 }
"#;

fn npm_shop() -> Workspace {
    let workspace = shop();
    workspace.write("package-lock.json", NPM_BEFORE);
    workspace
}

#[test]
fn a_package_with_a_denied_licence_blocks_in_every_format() {
    let workspace = npm_shop();
    let report = krins_reading(&workspace, &["gate", "--json"], NPM_PATCH).expect(1).json();
    Schema::published().holds("GateReport", &report);
    let rules: Vec<&str> =
        report["findings"].as_array().unwrap().iter().map(|finding| finding["rule"].as_str().unwrap()).collect();
    for rule in ["licences/denied", "packages/install-script", "packages/new-dependency"] {
        assert!(rules.contains(&rule), "{rules:?}");
    }
    assert_eq!(
        krins_reading(&workspace, &["gate", "--format", "json"], NPM_PATCH).expect(1).json()["patch"],
        report["patch"]
    );
    let sarif = krins_reading(&workspace, &["gate", "--format", "sarif"], NPM_PATCH).expect(1).json();
    assert_eq!((&sarif["version"], &sarif["runs"][0]["properties"]["verdict"]), (&json!("2.1.0"), &json!("block")));
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), rules.len());
    assert!(results.iter().all(|result| sarif["runs"][0]["tool"]["driver"]["rules"]
        [result["ruleIndex"].as_u64().unwrap() as usize]["id"]
        == result["ruleId"]));
    let said = krins_reading(&workspace, &["gate", "--format", "terminal"], NPM_PATCH).expect(1).text();
    let line = said.lines().find(|line| line.contains("licences/denied")).unwrap();
    assert!(line.contains("package-lock.json:5") && line.contains("fix: take another package"), "{said}");
    assert!(said.contains("docs/gate.md#licences"), "{said}");
    // Allowed by the person, and by nobody else.
    workspace.write(".krins/config.toml", "[gate]\nallowed_licences = [\"AGPL-3.0-only\"]\n");
    krins_reading(&workspace, &["gate", "--json"], NPM_PATCH).expect(1);
    krins(&workspace, &["trust"]).expect(0);
    krins_reading(&workspace, &["gate", "--json"], NPM_PATCH).expect(0);
}

#[test]
fn an_invented_package_blocks_and_an_installed_one_does_not() {
    let workspace = npm_shop();
    let patch = PATCH.replace("+/** The sum. */", "+import pad from \"left-padder\";");
    let report = krins_reading(&workspace, &["gate", "--json"], &patch).expect(1).json();
    assert_eq!(report["findings"][0]["rule"], "packages/unknown-import", "{report:#}");
    workspace.write("node_modules/left-padder/package.json", "{\"name\": \"left-padder\", \"version\": \"1.0.0\"}");
    krins_reading(&workspace, &["gate", "--json"], &patch).expect(0);
}

#[test]
fn a_list_of_packages_is_written_in_four_forms_and_can_be_checked() {
    let workspace = npm_shop();
    let made = |args: &[&str]| krins_reading(&workspace, args, NPM_PATCH).expect(0);
    let bom = made(&["sbom"]).json();
    assert_eq!(bom["components"].as_array().unwrap().len(), 1, "{bom:#}");
    assert_eq!(bom["components"][0]["purl"], "pkg:npm/%40s/new@2.0.0");
    assert_eq!(bom["components"][0]["licenses"][0]["license"]["id"], "AGPL-3.0-only");
    assert_eq!(made(&["sbom"]).text(), made(&["sbom"]).text(), "the same patch gives the same bytes");
    assert_eq!(
        made(&["sbom", "--timestamp", "2026-01-31T12:00:00Z"]).json()["metadata"]["timestamp"],
        "2026-01-31T12:00:00Z"
    );
    let whole = made(&["sbom", "--whole"]).json();
    assert_eq!(whole["components"].as_array().unwrap().len(), 2, "{whole:#}");
    assert_eq!(
        krins_reading(&workspace, &["sbom", "--whole"], "").expect(0).json()["components"].as_array().unwrap().len(),
        1
    );
    assert_eq!(made(&["sbom", "--format", "spdx"]).json()["spdxVersion"], "SPDX-2.3");
    assert!(made(&["sbom", "--format", "csv"]).text().contains("'@s/new"));
    let path = workspace.root().join("change.pdf");
    made(&["sbom", "--format", "pdf", "--output", path.to_str().unwrap()]);
    assert!(std::fs::read(&path).unwrap().starts_with(b"%PDF-"));
    workspace.write("bom.json", whole.to_string());
    let report = krins(&workspace, &["sbom", "check", "bom.json", "--json"]).expect(0).json();
    Schema::published().holds("SbomReport", &report);
    assert_eq!(report, json!({"valid": true, "faults": []}));
    let broken = |pointer: &str, value: Value| {
        let mut document = whole.clone();
        *document.pointer_mut(pointer).unwrap() = value;
        workspace.write("bom.json", document.to_string());
        krins(&workspace, &["sbom", "check", "bom.json", "--json", "--strict"]).expect(1).json()["faults"][0]["kind"]
            .clone()
    };
    assert_eq!(broken("/components/0/licenses", json!([{"expression": "MIT OR OR"}])), "wrong");
    assert_eq!(broken("/dependencies/0/dependsOn/0", json!("nowhere")), "wrong");
    assert_eq!(broken("/components/1/bom-ref", whole["components"][0]["bom-ref"].clone()), "wrong");
    assert_eq!(broken("/components/0/version", json!("")), "incomplete");
    assert_eq!(broken("/specVersion", json!(1.6)), "schema");
    fails(krins_reading(&workspace, &["sbom", "--json", "--timestamp", "yesterday"], NPM_PATCH), 2, "BadParams");
}
