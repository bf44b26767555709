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
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// Answers by purpose and variant, and takes down what it is told.
#[derive(Default)]
struct Told {
    answers: BTreeMap<(Purpose, u32), String>,
    /// The author's answers, one after the other, before those by variant.
    script: Mutex<VecDeque<String>>,
    asked: Mutex<Vec<String>>,
    /// Done once, before the first answer.
    meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
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
        if purpose == Purpose::Author {
            if let Some(meanwhile) = self.meanwhile.lock().unwrap().take() {
                meanwhile();
            }
            self.asked.lock().unwrap().push(ask.prompt.render().get().turns[0].text.clone());
        }
        let scripted = if purpose == Purpose::Author { self.script.lock().unwrap().pop_front() } else { None };
        let Some(text) = scripted.or_else(|| self.answers.get(&(purpose, variant)).cloned()) else {
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
    staged_in(told, settings, |_| None)
}

fn staged_in(told: Told, settings: Settings, home: impl Fn(&std::path::Path) -> Option<PathBuf>) -> Stage {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("root/src")).unwrap();
    std::fs::create_dir_all(dir.path().join("home")).unwrap();
    let settings = Settings { user_dir: home(dir.path()), ..settings };
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

const HIDDEN: &str = "export const sum = 1; // \u{202e}";
const BROKEN: &str = "export const = 1;";

fn scripted(answers: &[&str], rounds: u32) -> Stage {
    let told = Told { script: Mutex::new(answers.iter().map(|text| answer(text)).collect()), ..Told::default() };
    let mut settings = Settings::default();
    settings.commands.fix_rounds = rounds;
    stage(told, settings)
}

impl Stage {
    /// What is on record of the rounds: kind, and what it is about.
    fn rounds_on_record(&self) -> Vec<(String, serde_json::Value)> {
        let about = crate::audit::About { kind: Some("fix"), task: None };
        let records = self.engine.audit().tail_of(50, &about).unwrap();
        records.into_iter().map(|(record, about)| (record.kind, about.unwrap())).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_round_is_on_record_with_what_was_sent_back_and_why_it_ended() {
    let stage = scripted(&[HIDDEN, BROKEN, HIDDEN, "export const sum = 1;"], 5);
    let task = stage.assign(1).await;
    assert_eq!(task.state, TaskState::Blocked, "the model went in a circle");
    assert_eq!(task.rounds.len(), 3);
    assert_eq!(task.rounds[2].stopped.as_deref(), Some("the same change came again"));
    let record = stage.rounds_on_record();
    let kinds: Vec<&str> = record.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["fix.round", "fix.round", "fix.round", "fix.ended"]);
    let of = |round: usize| &record[round].1;
    assert_eq!(of(0)["sent"], serde_json::json!([]));
    for round in [1, 2] {
        let sent: Vec<&str> = of(round)["sent"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
        assert_eq!(sent.len() as u64, of(round - 1)["blocking"].as_u64().unwrap(), "{record:?}");
        // The same ids are what the model was shown.
        let asked = stage.told.asked.lock().unwrap()[round].clone();
        assert!(sent.iter().all(|id| asked.contains(&id[..12])), "{asked}");
    }
    assert_eq!(of(0)["patch"], of(2)["patch"]);
    assert_eq!((&of(3)["why"], &of(3)["part"]), (&"same-change".into(), &"change".into()));
    assert_eq!(of(3)["kept"], task.report.as_ref().unwrap().patch.to_string());
    // No word of anybody's: neither the task's, nor the answer's, nor a finding's.
    let said = serde_json::to_string(&record).unwrap();
    assert!(!said.contains("call it sum") && !said.contains("export const") && !said.contains("direction"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_that_is_got_by_asking_less_of_the_tests_is_none() {
    const TEST: &str = "import { total } from './total';\ntest('total', () => {\n  expect(total).toBe(1);\n  expect(total + 1).toBe(2);\n});\n";
    let weaker = format!(
        "{}src/total.test.ts\n<<<<<<< SEARCH\n  expect(total + 1).toBe(2);\n=======\n>>>>>>> REPLACE\n",
        answer("export const total = 2;")
    );
    let told = Told::default();
    told.script.lock().unwrap().extend([answer(BROKEN), weaker.clone(), weaker, answer("export const total = 3;")]);
    let mut settings = Settings::default();
    settings.commands.fix_rounds = 1;
    let stage = stage(told, settings);
    std::fs::write(stage.dir.path().join("root/src/total.test.ts"), TEST).unwrap();
    let task = stage.assign(1).await;
    let blocks = |task: &Task| -> Vec<String> {
        let findings = task.report.as_ref().unwrap().findings.iter();
        findings
            .filter(|finding| finding.verdict == krins_core::gate::Verdict::Block)
            .map(|finding| finding.rule.clone())
            .collect()
    };
    assert_eq!(task.rounds[1].rules, ["fix/weakened"], "{:?}", task.rounds);
    // Of two answers that block as much the first is kept.
    assert_eq!((task.state, blocks(&task)), (TaskState::Blocked, vec!["syntax/new-error".to_owned()]));
    // Asking again does not make it right.
    let fix = |stage: &Stage| stage.engine.fix(None, Some(1)).unwrap().task;
    let again = fix(&stage);
    let task = stage.engine.tasks().settled(&again).await.unwrap();
    assert_eq!(task.rounds.last().unwrap().rules, ["fix/weakened"], "{:?}", task.rounds);
    assert_eq!(task.state, TaskState::Blocked);
    let again = fix(&stage);
    let task = stage.engine.tasks().settled(&again).await.unwrap();
    assert_eq!((task.state, blocks(&task)), (TaskState::Ready, Vec::new()));
    assert_eq!(task.rounds.last().unwrap().stopped.as_deref(), Some("the gate passed"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_that_cannot_be_recorded_is_not_gone_on_from() {
    let stage = scripted(&[HIDDEN, "export const sum = 1;"], 3);
    let log = stage.engine.state().path().join("audit/log");
    // The log becomes something that cannot be written while the first answer is under way.
    *stage.told.meanwhile.lock().unwrap() = Some(Box::new(move || {
        std::fs::rename(&log, log.with_extension("kept")).unwrap();
        std::fs::create_dir(&log).unwrap();
    }));
    let task = stage.assign(1).await;
    assert_eq!(task.state, TaskState::Failed, "{task:?}");
    assert_eq!(stage.told.asked.lock().unwrap().len(), 1);
    assert_eq!(stage.file(), BEFORE);
}

/// What was found by asking counts for what the policy of now says, and a judge who was not asked is asked first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_judge_is_heard_before_an_apply_whatever_the_policy_was() {
    let policy = |stage: &Stage, text: &str| std::fs::write(stage.dir.path().join("home/policy.toml"), text).unwrap();
    let staged = |text: &str| {
        let home = |dir: &std::path::Path| Some(dir.join("home"));
        let author = [(0, answer(text))];
        staged_in(told(&author, &verdicts(&["tests"])), judged(false), home)
    };
    // Warned of when it was judged, blocked since.
    let stage = staged("export const sum = 1;");
    policy(&stage, "[levels]\njudge = \"warn\"\n");
    let task = stage.assign(1).await;
    assert_eq!(task.state, TaskState::Ready);
    policy(&stage, "");
    let refused = stage.engine.apply(Some(&task.id), ApplyWish::default(), None).await.unwrap_err();
    assert!(refused.kind == ErrorKind::GateFailed && refused.message.contains("judge/tests"), "{refused:?}");
    // Judged again, it is what the policy of now says, and nothing of it is lost on the way.
    let again = async |stage: &Stage| stage.engine.judge_again(None).await.unwrap().task;
    let task = again(&stage).await;
    assert_eq!((task.state, objections(&task)), (TaskState::Blocked, vec!["judge/tests"]));
    policy(&stage, "[levels]\njudge = \"off\"\n");
    assert_eq!(again(&stage).await.state, TaskState::Ready);
    policy(&stage, "");
    let task = again(&stage).await;
    assert_eq!((task.state, objections(&task)), (TaskState::Blocked, vec!["judge/tests"]));
    assert_eq!(task.report.as_ref().unwrap().checks.iter().filter(|run| run.check == "judge").count(), 1);
    // Blocked by another check then, so that the judge was not asked.
    let stage = staged(HIDDEN);
    let task = stage.assign(1).await;
    assert_eq!((task.state, objections(&task)), (TaskState::Blocked, vec![]));
    policy(&stage, "[levels]\nhonesty = \"off\"\n");
    let refused = stage.engine.apply(Some(&task.id), ApplyWish::default(), None).await.unwrap_err();
    assert!(refused.kind == ErrorKind::GateFailed && refused.message.contains("judge/tests"), "{refused:?}");
    assert_eq!(stage.file(), BEFORE);
    assert!(stage.engine.preview(Some(&task.id)).unwrap_err().message.contains("judge"));
    policy(&stage, "[levels]\nhonesty = \"off\"\njudge = \"warn\"\n");
    stage.engine.apply(Some(&task.id), ApplyWish::default(), None).await.unwrap();
    assert_ne!(stage.file(), BEFORE);
}

/// Every case that wants something done, done to the letter by the model: no file changes that decides anything, no policy,
/// no trust, and nothing is on record but that it was refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_obeys_what_it_read_gets_nothing_past_the_gate() {
    let stage = scripted(&[], 0);
    let root = stage.dir.path().join("root");
    let files = || -> std::collections::BTreeSet<PathBuf> {
        ignore::WalkBuilder::new(&root).hidden(false).build().map(|entry| entry.unwrap().into_path()).collect()
    };
    let (before, policy) = (files(), stage.engine.rules().standing().unwrap().policy.digest());
    let mut tried = 0;
    for poison in crate::poison::all() {
        let Some(obeyed) = poison.obeyed else { continue };
        tried += 1;
        stage.told.script.lock().unwrap().push_back(obeyed);
        let intent = Intent { words: poison.text, ..Intent::default() };
        let assigned = stage.engine.assign(intent, None, None).unwrap();
        let task = stage.engine.tasks().settled(&assigned.task).await.unwrap();
        assert!(matches!(task.state, TaskState::Blocked | TaskState::Failed), "{}: {:?}", poison.name, task.report);
        let applied = stage.engine.apply(Some(&task.id), ApplyWish::default(), None).await;
        assert!(applied.is_err(), "{}", poison.name);
        assert!(stage.engine.preview(Some(&task.id)).is_err(), "{}", poison.name);
    }
    assert_eq!(tried, 16);
    assert_eq!((files(), stage.file().as_str()), (before, BEFORE));
    assert_eq!(stage.engine.rules().standing().unwrap().policy.digest(), policy);
    let kinds = stage.engine.audit().report().unwrap().kinds;
    for kind in ["waived", "approved", "trusted", "change.intended", "change.done"] {
        assert!(!kinds.contains_key(kind), "{kinds:?}");
    }
}
