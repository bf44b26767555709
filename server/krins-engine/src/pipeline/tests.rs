//! The flow from words to a diff with a backend that answers as it is told: variants, the judge, the router's outcomes, and
//! what is kept.

use crate::engine::{ApplyWish, Engine};
use crate::error::ErrorKind;
use crate::pipeline::Intent;
use crate::settings::{Judge, Settings};
use crate::state::StateDir;
use crate::tasks::{Task, TaskState};
use crate::workspace::Root;
use async_trait::async_trait;
use krins_backend::money::{Entry, Purpose};
use krins_backend::router::{Decision, Outcome, Wish};
use krins_backend::{Ask, Backend, BackendError, ProgressSink, Proposal, Usage};
use krins_core::text::Encoding;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Answers by purpose and variant, and takes down what it is told.
#[derive(Default)]
struct Told {
    answers: BTreeMap<(Purpose, u32), String>,
    chooses: bool,
    heard: Mutex<Vec<String>>,
}

impl Told {
    fn note(&self, what: String) {
        self.heard.lock().unwrap().push(what);
    }

    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }
}

#[async_trait]
impl Backend for Told {
    async fn ask(&self, ask: Ask, _: ProgressSink) -> Result<Proposal, BackendError> {
        let (purpose, variant) = (ask.account.purpose, ask.account.variant);
        let Some(text) = self.answers.get(&(purpose, variant)).cloned() else {
            return Err(BackendError::new(ErrorKind::BudgetExceeded, "ask: the money does not reach"));
        };
        ask.account.bill.add(Entry {
            route: "fake/m".into(),
            purpose,
            variant,
            usage: Usage::default(),
            micros: Some(10),
            outcome: "ok".into(),
        });
        Ok(Proposal {
            text,
            provider: ask.provider.unwrap_or_else(|| "fake".into()),
            model: "m".into(),
            usage: Usage::default(),
            cached: false,
            why: Vec::new(),
            degraded: None,
        })
    }

    fn route(&self) -> String {
        "fake/m".into()
    }

    fn is_builtin(&self) -> bool {
        false
    }

    fn keep(&self, ask: &Ask) {
        self.note(format!("keep {} {}", ask.account.purpose.name(), ask.account.variant));
    }

    fn forget(&self, ask: &Ask) {
        self.note(format!("forget {} {}", ask.account.purpose.name(), ask.account.variant));
    }

    fn chooses(&self) -> bool {
        self.chooses
    }

    async fn choose(&self, wish: &Wish) -> Option<Decision> {
        Some(Decision {
            id: format!("d{}", wish.variant),
            policy: "rules".into(),
            class: "other".into(),
            route: format!("arm{}/m", wish.variant),
            propensity: 1.0,
            seed: 1,
            arms: Vec::new(),
            explanation: format!("chose arm{}/m: {} to avoid", wish.variant, wish.avoid.len()),
        })
    }

    fn note(&self, _: &str, decision: &str, outcome: Outcome) {
        Told::note(self, format!("{decision} {} {}", outcome.source(), outcome.value()));
    }

    fn cache_counts(&self) -> (u64, u64) {
        (0, 0)
    }
}

const BEFORE: &str = "export const total = 1;\nexport const other = 2;\n";

struct Stage {
    dir: tempfile::TempDir,
    engine: Engine,
    told: Arc<Told>,
}

fn stage(told: Told, settings: Settings) -> Stage {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("root/src")).unwrap();
    std::fs::write(dir.path().join("root/src/total.ts"), BEFORE).unwrap();
    let root = Root::open(&dir.path().join("root")).unwrap();
    let state = StateDir::open_at(&dir.path().join("state"), &root).unwrap();
    let told = Arc::new(told);
    let engine = Engine::open(root, state, Arc::new(settings), told.clone(), Encoding::Utf8).unwrap();
    Stage { dir, engine, told }
}

impl Stage {
    async fn assign(&self, variants: u8) -> Task {
        let intent = Intent { words: "call it sum".into(), variants, ..Intent::default() };
        let assigned = self.engine.assign(intent, None, None).unwrap();
        self.engine.tasks().settled(&assigned.task).await.unwrap()
    }

    fn file(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("root/src/total.ts")).unwrap()
    }
}

fn answer(after: &str) -> String {
    format!("src/total.ts\n<<<<<<< SEARCH\nexport const total = 1;\n=======\n{after}\n>>>>>>> REPLACE\n")
}

fn verdicts(fails: &[&str]) -> String {
    let names = ["correctness", "security", "performance", "architecture", "tests", "scope", "readability"];
    let said = names.map(|name| {
        let verdict = if fails.contains(&name) { "fail" } else { "pass" };
        format!("\"{name}\": {{\"verdict\": \"{verdict}\", \"reason\": \"of {name}\"}}")
    });
    format!("{{{}}}", said.join(", "))
}

fn judged(warns: bool) -> Settings {
    let judge = Judge { provider: Some("judge".into()), model: None, warns };
    // What is seen here is one answer and its verdict: nobody mends it.
    let mut settings = Settings { judge: Some(judge), ..Settings::default() };
    settings.commands.fix_rounds = 0;
    settings
}

fn objections(task: &Task) -> Vec<&str> {
    let report = task.report.as_ref().unwrap();
    crate::judging::of(report).map(|finding| finding.rule.as_str()).collect()
}

fn told(author: &[(u32, String)], judge: &str) -> Told {
    let author = author.iter().map(|(variant, text)| ((Purpose::Author, *variant), text.clone()));
    let judge = (0..5).map(|variant| ((Purpose::Judge, variant), judge.to_owned()));
    Told { answers: author.chain(judge).collect(), ..Told::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_judge_objects_to_is_blocked_as_a_whole_and_not_kept() {
    let stage = stage(told(&[(0, answer("export const sum = 1;"))], &verdicts(&["tests", "scope"])), judged(false));
    let task = stage.assign(1).await;
    assert_eq!((task.state, objections(&task)), (TaskState::Blocked, vec!["judge/tests", "judge/scope"]));
    assert_eq!((task.cost(), task.calls.len()), (Some(20), 2), "the judge is paid for, too");
    assert_eq!(stage.told.heard(), ["keep judge 0", "forget author 0"]);
    let wish = ApplyWish { hunks: Some(vec!["h1".into()]), ..ApplyWish::default() };
    let refused = stage.engine.apply(Some(&task.id), wish, None).await.unwrap_err();
    assert!(refused.kind == ErrorKind::GateFailed && refused.message.contains("judge/tests"), "{refused:?}");
    assert_eq!(stage.file(), BEFORE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_judge_does_not_say_is_no_pass() {
    for (judge, warns, state, rules) in [
        (verdicts(&[]), false, TaskState::Ready, vec![]),
        ("All is well.".to_owned(), false, TaskState::Blocked, vec!["judge/unjudged"]),
        ("All is well.".to_owned(), true, TaskState::Ready, vec!["judge/unjudged"]),
        (verdicts(&["security"]), true, TaskState::Ready, vec!["judge/security"]),
    ] {
        let stage = stage(told(&[(0, answer("export const sum = 1;"))], &judge), judged(warns));
        let task = stage.assign(1).await;
        assert_eq!((task.state, objections(&task)), (state, rules), "{judge} {warns}");
        let last = task.report.as_ref().unwrap().checks.last().unwrap();
        assert_eq!(last.check, "judge", "it is the last check");
    }
    // A judge that cannot be asked judges nothing.
    let silent = Told { answers: [((Purpose::Author, 0), answer("export const sum = 1;"))].into(), ..Told::default() };
    let stage = stage(silent, judged(false));
    let task = stage.assign(1).await;
    assert_eq!((task.state, objections(&task)), (TaskState::Blocked, vec!["judge/unjudged"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_best_variant_is_shown_the_others_can_be_taken_and_outcomes_are_told() {
    let author = [
        (0, "I would rather not.".to_owned()),
        (1, answer("export const sum = 1;\nexport const more = 3;")),
        (2, answer("export const sum = 1;")),
        // Variant 3 is what the money does not reach.
    ];
    let stage = stage(Told { chooses: true, ..told(&author, "") }, Settings::default());
    let task = stage.assign(4).await;
    assert_eq!((task.state, task.variant, task.cost()), (TaskState::Ready, 2, Some(30)));
    assert!(task.others.iter().all(|other| other.files.is_empty() == (other.variant != 1)), "{:?}", task.others);
    assert!(task.others.iter().any(|other| {
        other.variant == 3 && other.error.as_ref().is_some_and(|error| error.kind == ErrorKind::BudgetExceeded)
    }));
    assert_eq!(task.choices.len(), 4);
    assert_eq!(task.choices[2].explanation, "chose arm2/m: 2 to avoid");
    let mut heard = stage.told.heard();
    heard.sort();
    assert_eq!(
        heard,
        ["d0 gate 0", "d1 gate 1", "d2 gate 1", "forget author 0", "keep author 1", "keep author 2"],
        "money that does not reach is no fault of the arm"
    );
    assert!(stage.engine.select(Some(&task.id), 3).is_err());
    let other = stage.engine.select(Some(&task.id), 1).unwrap();
    assert!(other.patch.unified().contains("+export const more = 3;") && other.task.variant == 1);
    stage.engine.apply(Some(&task.id), ApplyWish::default(), None).await.unwrap();
    assert_eq!(stage.file(), "export const sum = 1;\nexport const more = 3;\nexport const other = 2;\n");
    assert!(stage.engine.select(Some(&task.id), 2).is_err(), "it is applied");
    assert_eq!(stage.told.heard(), ["d1 person 1", "d1 edits 0"]);
    stage.engine.undo(None, false, None).await.unwrap();
    assert_eq!((stage.file().as_str(), stage.told.heard()), (BEFORE, vec!["d1 person 0".to_owned()]));
    assert!(stage.engine.select(Some(&task.id), 2).unwrap().patch.unified().contains("+export const sum = 1;"));
}
