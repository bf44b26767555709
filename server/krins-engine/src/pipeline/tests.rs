//! The flow from words to a diff with a backend that answers as it is told: variants, the judge, the router's outcomes, and
//! what is kept.

use crate::engine::{ApplyWish, Engine, Judgement};
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
    /// The author's answers, one after the other, before those by variant; and the judge's.
    script: Mutex<VecDeque<String>>,
    judging: Mutex<VecDeque<String>>,
    /// Where there is no answer, there never is one.
    hangs: bool,
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
        let script = if purpose == Purpose::Author { &self.script } else { &self.judging };
        let scripted = script.lock().unwrap().pop_front();
        if scripted.is_none() && self.hangs {
            std::future::pending::<()>().await;
        }
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
    let rules = report.findings.iter().map(|finding| finding.rule.as_str());
    rules.filter(|rule| rule.starts_with("judge/")).collect()
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

const TEST: &str = "import { total } from './total';\ntest('total', () => {\n  expect(total).toBe(1);\n  expect(total + 1).toBe(2);\n});\n";

/// A change whose second answer asks less of the tests, beside what else it does.
async fn weakened() -> (Stage, Task) {
    let weaker = format!(
        "{}src/total.test.ts\n<<<<<<< SEARCH\n  expect(total + 1).toBe(2);\n=======\n>>>>>>> REPLACE\n\
         src/other.ts\n<<<<<<< SEARCH\nexport const a = 1;\n=======\nexport const a = 2;\n>>>>>>> REPLACE\n",
        answer("export const total = 2;")
    );
    let told = Told::default();
    told.script.lock().unwrap().extend([answer("export const = 1; // \u{202e}"), weaker]);
    let mut settings = Settings::default();
    settings.commands.fix_rounds = 1;
    let stage = stage(told, settings);
    std::fs::write(stage.dir.path().join("root/src/total.test.ts"), TEST).unwrap();
    std::fs::write(stage.dir.path().join("root/src/other.ts"), "export const a = 1;\n").unwrap();
    let task = stage.assign(1).await;
    assert_eq!((task.state, blocking(&task)), (TaskState::Blocked, vec!["fix/weakened"]), "{:?}", task.rounds);
    (stage, task)
}

fn blocking(task: &Task) -> Vec<&str> {
    let findings = task.report.as_ref().unwrap().findings.iter();
    findings
        .filter(|finding| finding.verdict == krins_core::gate::Verdict::Block)
        .map(|finding| finding.rule.as_str())
        .collect()
}

impl Stage {
    fn hunk(&self, path: &str) -> String {
        let patch = self.engine.review(None).unwrap().patch;
        let file = patch.files().iter().find(|file| file.path.as_str() == path);
        file.unwrap().hunks[0].id.clone()
    }

    async fn judge(&self, hunk: &str, judgement: Judgement) -> Task {
        self.engine.judge_hunk(None, hunk, judgement).await.unwrap().task
    }

    async fn apply(&self, hunks: &[&str]) -> crate::Result<crate::engine::Outcome> {
        let hunks = (!hunks.is_empty()).then(|| hunks.iter().map(|hunk| (*hunk).to_owned()).collect());
        self.engine.apply(None, ApplyWish { hunks, ..ApplyWish::default() }, None).await
    }

    async fn dry(&self, hunks: Option<&[&str]>) -> crate::Result<crate::engine::Outcome> {
        let hunks = hunks.map(|hunks| hunks.iter().map(|hunk| (*hunk).to_owned()).collect());
        self.engine.apply(None, ApplyWish { hunks, dry_run: true, ..ApplyWish::default() }, None).await
    }

    /// What refuses an apply of the hunks, a look at what was not rejected, and what the gate says of that.
    async fn refused(&self, hunks: &[&str], rule: &str) {
        let report = self.engine.judge_task(None, |_| ()).await.unwrap();
        let blocks = |finding: &krins_core::gate::Finding| {
            finding.rule == rule && finding.verdict == krins_core::gate::Verdict::Block
        };
        assert!(report.findings.iter().any(blocks), "{:?}", report.findings);
        let refused = self.apply(hunks).await.unwrap_err();
        assert!(refused.kind == ErrorKind::GateFailed && refused.message.contains(rule), "{refused:?}");
        let refused = self.engine.preview(None).unwrap_err();
        assert!(refused.kind == ErrorKind::GateFailed && refused.message.contains(rule), "{refused:?}");
        assert_eq!(self.file(), BEFORE);
    }
}

/// Whatever else of the change is rejected or edited: an answer that asked less of the tests does so in every part of it that
/// holds what it did, and in no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_that_was_weakened_stays_so_in_every_part_of_the_change() {
    let (stage, _) = weakened().await;
    let [total, test, other] = ["src/total.ts", "src/total.test.ts", "src/other.ts"].map(|path| stage.hunk(path));
    stage.judge(&other, Judgement::Reject).await;
    stage.refused(&[], "fix/weakened").await;
    stage.refused(&[&total, &test], "fix/weakened").await;
    let task = stage.judge(&other, Judgement::Edit("export const a = 3;\n".into())).await;
    assert_eq!((task.state, blocking(&task)), (TaskState::Blocked, vec!["fix/weakened"]));
    stage.refused(&[], "fix/weakened").await;
    // What was meant is mended by hand, and it comes back with the hunk.
    let task = stage.judge(&test, Judgement::Edit(TEST.into())).await;
    assert_eq!((task.state, blocking(&task)), (TaskState::Ready, vec![]));
    let task = stage.judge(&test, Judgement::Open).await;
    assert_eq!((task.state, blocking(&task)), (TaskState::Blocked, vec!["fix/weakened"]));
    let task = stage.judge(&other, Judgement::Open).await;
    assert_eq!((task.state, blocking(&task)), (TaskState::Blocked, vec!["fix/weakened"]));
    // Another way to ask less is no way out.
    let emptied = "import { total } from './total';\ntest('total', () => {\n  total;\n});\n";
    let task = stage.judge(&test, Judgement::Edit(emptied.into())).await;
    assert_eq!((task.state, blocking(&task)), (TaskState::Blocked, vec!["fix/weakened"]));
    stage.judge(&test, Judgement::Reject).await;
    stage.apply(&[]).await.unwrap();
    assert!(stage.file().contains("export const total = 2;"));
}

/// A policy that cannot be read for a while makes nothing forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_held_against_an_answer_outlives_a_policy_that_cannot_be_read() {
    let (stage, _) = weakened().await;
    let file = stage.dir.path().join("root/.krins/policy.toml");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let other = stage.hunk("src/other.ts");
    std::fs::write(&file, "[levels\n").unwrap();
    let task = stage.engine.judge_again(None).await.unwrap().task;
    assert!(blocking(&task).contains(&"policy/unreadable"), "{:?}", blocking(&task));
    stage.judge(&other, Judgement::Edit("export const a = 3;\n".into())).await;
    std::fs::remove_file(&file).unwrap();
    let task = stage.engine.judge_again(None).await.unwrap().task;
    assert_eq!((task.state, blocking(&task)), (TaskState::Blocked, vec!["fix/weakened"]));
}

/// What was said of locked tests and the code for them holds for each part of it that does the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_of_code_for_locked_tests_stays_in_every_part_of_it() {
    let aware = "export const total = process.env.VITEST ? 1 : 2;";
    let more = "src/other.ts\n<<<<<<< SEARCH\nexport const a = 1;\n=======\nexport const a = 2;\n>>>>>>> REPLACE\n\
        src/setup.ts\n<<<<<<< SEARCH\nexport {};\n=======\nexport const b = 1;\n>>>>>>> REPLACE\n";
    let stage = stage(told(&[(0, answer(aware) + more)], ""), Settings::default());
    for (path, text) in [("src/other.ts", "export const a = 1;\n"), ("src/setup.ts", "export {};\n")] {
        std::fs::write(stage.dir.path().join("root").join(path), text).unwrap();
    }
    let task = stage.assign(1).await;
    let said = |rule: &str, path: &str| krins_core::gate::Finding {
        rule: rule.into(),
        verdict: krins_core::gate::Verdict::Block,
        path: krins_core::RelPath::new(path).unwrap(),
        lines: None,
        message: "m".into(),
        fix: None,
        link: None,
    };
    // As the spec mode leaves it: its own run of tests needs a sandbox.
    stage
        .engine
        .tasks()
        .update(&task.id, |task| {
            let report = task.report.as_mut().unwrap();
            report.later = vec![said("spec/locked", "src/setup.ts"), said("spec/test-aware", "src/total.ts")];
            task.locked.insert(krins_core::RelPath::new("src/total.test.ts").unwrap(), krins_core::Digest::of("x"));
        })
        .unwrap();
    let task = stage.engine.judge_again(None).await.unwrap().task;
    assert_eq!((task.state, blocking(&task)), (TaskState::Blocked, vec!["spec/locked", "spec/test-aware"]));
    let [total, setup, other] = ["src/total.ts", "src/setup.ts", "src/other.ts"].map(|path| stage.hunk(path));
    stage.judge(&other, Judgement::Reject).await;
    stage.refused(&[], "spec/locked").await;
    stage.judge(&setup, Judgement::Reject).await;
    stage.refused(&[], "spec/test-aware").await;
    let task = stage.judge(&total, Judgement::Edit(format!("{aware}\nexport const other = 3;\n"))).await;
    assert_eq!(blocking(&task), ["spec/locked", "spec/test-aware"]);
    stage.refused(&[], "spec/test-aware").await;
    let task = stage.judge(&total, Judgement::Edit("export const total = 2;\nexport const other = 2;\n".into())).await;
    assert_eq!(blocking(&task), ["spec/locked"], "the code knows nothing any more");
    stage.apply(&[]).await.unwrap();
    assert!(stage.file().contains("export const total = 2;"));
}

/// Another answer is another change: what a person wrote into the hunks of the last one does not go into it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_does_not_go_into_the_next_answer() {
    let stage = scripted(&[HIDDEN, "export const sum = 1;"], 0);
    stage.assign(1).await;
    let hunk = stage.hunk("src/total.ts");
    stage.judge(&hunk, Judgement::Edit(format!("{HIDDEN}\nexport const mine = 2;\n"))).await;
    let again = stage.engine.fix(None, Some(1)).unwrap().task;
    let task = stage.engine.tasks().settled(&again).await.unwrap();
    let review = stage.engine.review(None).unwrap();
    assert_eq!((task.state, task.edits.len(), task.verdicts.len()), (TaskState::Ready, 0, 0));
    assert_eq!(task.report.unwrap().patch, review.patch.digest());
    assert!(!review.patch.unified().contains("mine"), "{}", review.patch.unified());
}

/// A judge who is asked when something is to be applied is asked once, and its word is kept with the change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_judge_says_at_an_apply_is_kept() {
    let policy = |stage: &Stage, text: &str| std::fs::write(stage.dir.path().join("home/policy.toml"), text).unwrap();
    let asked = |task: &Task| task.calls.iter().filter(|call| call.purpose == Purpose::Judge).count();
    let staged = async |fails: &[&str]| {
        let more = "src/other.ts\n<<<<<<< SEARCH\nexport const a = 1;\n=======\nexport const a = 2;\n>>>>>>> REPLACE\n";
        let told = told(&[(0, answer(HIDDEN) + more)], &verdicts(fails));
        let stage = staged_in(told, judged(false), |dir| Some(dir.join("home")));
        std::fs::write(stage.dir.path().join("root/src/other.ts"), "export const a = 1;\n").unwrap();
        let task = stage.assign(1).await;
        assert_eq!((task.state, asked(&task)), (TaskState::Blocked, 0), "something else blocked it");
        policy(&stage, "[levels]\nhonesty = \"off\"\n");
        stage
    };
    let task = |stage: &Stage| stage.engine.review(None).unwrap().task;
    // Nothing to object to: a part, and the whole of it, each asked about once.
    let stage = staged(&[]).await;
    let other = stage.hunk("src/other.ts");
    for _ in 0..2 {
        stage.dry(Some(&[&other])).await.unwrap();
        assert_eq!(asked(&task(&stage)), 1);
    }
    let heard = task(&stage).heard;
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0].policy, stage.engine.rules().standing().unwrap().policy.digest());
    assert!(stage.engine.preview(None).unwrap_err().message.contains("judge has not seen"), "the whole is not judged");
    stage.dry(None).await.unwrap();
    assert_eq!((task(&stage).state, asked(&task(&stage))), (TaskState::Ready, 2));
    assert!(stage.engine.preview(None).unwrap_err().message.contains("git"), "the gate lets it through");
    stage.apply(&[]).await.unwrap();
    assert_eq!(asked(&task(&stage)), 2);
    assert_ne!(stage.file(), BEFORE);
    // An objection to a part is no word on the rest, and is weighed by the policy of now.
    let stage = staged(&["scope"]).await;
    let other = stage.hunk("src/other.ts");
    for _ in 0..2 {
        let refused = stage.dry(Some(&[&other])).await.unwrap_err();
        assert!(refused.message.contains("judge/scope"), "{refused:?}");
        assert_eq!(asked(&task(&stage)), 1);
    }
    assert_eq!(objections(&task(&stage)), Vec::<&str>::new());
    policy(&stage, "[levels]\nhonesty = \"off\"\njudge = \"warn\"\n");
    stage.dry(Some(&[&other])).await.unwrap();
    policy(&stage, "[levels]\nhonesty = \"off\"\n");
    // An objection to the whole of it blocks the task from now on.
    for _ in 0..2 {
        let refused = stage.dry(None).await.unwrap_err();
        assert!(refused.message.contains("judge/scope"), "{refused:?}");
        let task = task(&stage);
        assert_eq!((task.state, objections(&task), asked(&task)), (TaskState::Blocked, vec!["judge/scope"], 2));
    }
    assert_eq!(stage.file(), BEFORE);
    // What it did not say it is asked for again.
    let stage = staged(&[]).await;
    stage.told.judging.lock().unwrap().push_back("All is well.".into());
    let refused = stage.dry(None).await.unwrap_err();
    assert!(refused.message.contains("judge/unjudged"), "{refused:?}");
    stage.dry(None).await.unwrap();
    assert_eq!(asked(&task(&stage)), 2);
}

/// A pass that the judge's second word makes is told like any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_passes_at_the_judges_second_word_is_kept() {
    let told = told(&[(0, answer("export const sum = 1;"))], &verdicts(&[]));
    told.judging.lock().unwrap().push_back("All is well.".into());
    let mut settings = judged(false);
    settings.commands.fix_rounds = 2;
    let stage = stage(told, settings);
    let task = stage.assign(1).await;
    assert_eq!((task.state, task.rounds.len()), (TaskState::Ready, 2));
    assert_eq!(stage.told.heard(), ["forget judge 0", "forget author 0", "keep judge 0", "keep author 0"]);
    assert_eq!(task.rounds[1].stopped.as_deref(), Some("the gate passed"));
}

/// Every round that is on record has an end there, whatever ended it, and an answer that is no change is a round.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rounds_end_on_record_whatever_ends_them() {
    const PROSE: &str = "I would rather not.";
    let hidden = "src/a.test.ts\n<<<<<<< SEARCH\n=======\n// \u{202e}\n>>>>>>> REPLACE\n";
    let hidden_code = answer(HIDDEN);
    let change = hidden_code.as_str();
    for (spec, answers, hangs, expect) in [
        (true, vec![PROSE, PROSE], false, ["tests 0 fix/not-placed", "tests 1 fix/not-placed", "tests no-use"]),
        (
            true,
            vec![hidden, PROSE],
            false,
            ["tests 0 honesty/hidden-unicode", "tests 1 fix/not-placed", "tests no-use"],
        ),
        (true, vec![hidden], false, ["tests 0 honesty/hidden-unicode", "tests failed", ""]),
        (true, vec![hidden], true, ["tests 0 honesty/hidden-unicode", "tests cancelled", ""]),
        (
            false,
            vec![change, PROSE],
            false,
            ["change 0 honesty/hidden-unicode", "change 1 fix/not-placed", "change no-use"],
        ),
        (false, vec![change], true, ["change 0 honesty/hidden-unicode", "change cancelled", ""]),
        (false, vec![PROSE], false, ["", "", ""]),
    ] {
        let told = Told { hangs, ..Told::default() };
        told.script.lock().unwrap().extend(answers.iter().map(|text| (*text).to_owned()));
        let mut settings = Settings::default();
        (settings.commands.fix_rounds, settings.commands.tests) = (1, true);
        // What runs is another matter: nothing gets so far.
        settings.commands.test_commands = vec![vec!["true".into()]];
        let stage = stage(told, settings);
        let intent = Intent { words: "call it sum".into(), spec, ..Intent::default() };
        let id = stage.engine.assign(intent, None, None).unwrap().task;
        if hangs {
            while stage.told.asked.lock().unwrap().len() < 2 {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            stage.engine.cancel(Some(&id)).await.unwrap();
        }
        let task = stage.engine.tasks().settled(&id).await.unwrap();
        let record = stage.rounds_on_record();
        let said = |(kind, about): &(String, serde_json::Value)| match kind.as_str() {
            "fix.ended" => format!("{} {}", about["part"].as_str().unwrap(), about["why"].as_str().unwrap()),
            _ => {
                format!(
                    "{} {} {}",
                    about["part"].as_str().unwrap(),
                    about["round"],
                    about["rules"][0].as_str().unwrap()
                )
            }
        };
        let said: Vec<String> = record.iter().map(said).collect();
        let expect: Vec<&str> = expect.into_iter().filter(|said| !said.is_empty()).collect();
        assert_eq!(said, expect, "{answers:?}");
        assert_eq!(task.rounds.len(), expect.len().saturating_sub(1), "{answers:?}");
        assert!(task.rounds.last().is_none_or(|round| round.stopped.is_some()), "{answers:?}");
    }
}
