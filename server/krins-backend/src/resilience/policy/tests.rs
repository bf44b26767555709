//! The call policy in virtual time.

use super::super::clock::testing::Virtual;
use super::super::{Clock, ResilienceConfig};
use super::*;
use crate::provider::Stopped;
use crate::provider::wire::testing;
use async_trait::async_trait;
use krins_core::prompt::Rendered;
use krins_core::redact::Redacted;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Mutex;

const SECOND: Duration = Duration::from_secs(1);

/// What a call does: takes so long, and ends so.
#[derive(Clone)]
struct Act(Duration, Result<(), ProviderError>);

fn answers() -> Act {
    Act(SECOND, Ok(()))
}

fn fails(fault: Fault) -> Act {
    Act(Duration::from_millis(5), Err(ProviderError::new(fault, "x")))
}

fn asks_to_wait(seconds: u64) -> Act {
    let mut error = ProviderError::new(Fault::RateLimited, "x");
    error.retry_after = Some(Duration::from_secs(seconds));
    Act(Duration::from_millis(5), Err(error))
}

/// A provider by script; the last act is repeated.
struct Actor {
    clock: Virtual,
    acts: Mutex<VecDeque<Act>>,
    called: Mutex<Vec<Duration>>,
}

#[async_trait]
impl Provider for Actor {
    async fn call(&self, request: &ModelRequest<'_>, sink: &mut dyn DeltaSink) -> Result<Finished, ProviderError> {
        self.called.lock().unwrap().push(self.clock.passed());
        let act = {
            let mut acts = self.acts.lock().unwrap();
            if acts.len() > 1 { acts.pop_front() } else { acts.front().cloned() }
        };
        let Act(takes, result) = act.expect("a script has an act");
        self.clock.sleep(takes).await;
        sink.delta("word");
        result.map(|()| Finished {
            text: "word".into(),
            model: request.model.to_owned(),
            usage: Usage::default(),
            response_id: None,
            why: Vec::new(),
            stopped: Stopped::Whole,
        })
    }
}

struct Stage {
    clock: Virtual,
    board: Arc<Resilience>,
    actors: Vec<Actor>,
    words: Redacted<Rendered>,
}

#[derive(Default)]
struct Heard(Vec<String>);

impl Listener for Heard {
    fn sent(&mut self, route: &str, from: Option<(&str, Fault)>) {
        self.0.push(match from {
            Some((left, fault)) => format!("asked {route}: {left} {}", fault.says()),
            None => format!("asked {route}"),
        });
    }
    fn waiting(&mut self, route: &str, resting: Resting) {
        self.0.push(format!("wait {} s for {route}", resting.wait.as_secs()));
    }
    fn received(&mut self, _: &str) {}
    fn ended(&mut self, attempt: &Attempt) {
        self.0.push(format!("{} {}", attempt.route, if attempt.outcome.is_ok() { "answered" } else { "failed" }));
    }
}

impl Stage {
    fn new(scripts: &[&[Act]]) -> Self {
        let clock = Virtual::default();
        Self {
            board: Resilience::new(ResilienceConfig::default(), BTreeSet::new(), Arc::new(clock.clone())),
            actors: scripts
                .iter()
                .map(|acts| Actor {
                    clock: clock.clone(),
                    acts: Mutex::new(acts.iter().cloned().collect()),
                    called: Mutex::default(),
                })
                .collect(),
            clock,
            words: krins_core::redact::redact(testing::prompt()).0.render(),
        }
    }

    fn ask(&self) -> (Result<Answered, Unanswered>, Vec<String>) {
        const NAMES: [&str; 3] = ["one", "two", "three"];
        let chain: Vec<Route<'_>> = (self.actors.iter().zip(NAMES))
            .map(|(actor, provider)| Route {
                provider,
                model: "m".into(),
                timing: Timing::default(),
                remote: true,
                calls: actor,
            })
            .collect();
        let mut heard = Heard::default();
        let request = ModelRequest::new(&self.words, "");
        let answered = self.clock.run(call(&self.board, &chain, request, &mut heard));
        (answered, heard.0)
    }

    fn calls(&self, actor: usize) -> usize {
        self.actors[actor].called.lock().unwrap().len()
    }

    fn gap(&self, actor: usize) -> Duration {
        let called = self.actors[actor].called.lock().unwrap();
        called[1] - called[0]
    }
}

#[test]
fn one_failure_is_repeated_on_the_same_route_and_a_second_goes_on_to_the_next() {
    let stage = Stage::new(&[&[fails(Fault::Server), answers()], &[answers()]]);
    let (answered, _) = stage.ask();
    assert_eq!((answered.unwrap().route, stage.calls(0), stage.calls(1)), (0, 2, 0));
    let stage = Stage::new(&[&[fails(Fault::Overloaded)], &[answers()]]);
    let (answered, heard) = stage.ask();
    let answered = answered.unwrap();
    assert_eq!((answered.route, stage.calls(0), stage.calls(1)), (1, 2, 1));
    assert_eq!(answered.detour, Some(("one/m".into(), Fault::Overloaded)));
    assert_eq!(
        heard,
        [
            "asked one/m",
            "one/m failed",
            "asked one/m",
            "one/m failed",
            "asked two/m: one/m is overloaded",
            "two/m answered"
        ]
    );
}

#[test]
fn the_taxonomy_alone_says_what_is_repeated_what_goes_on_and_what_is_final() {
    for fault in Fault::ALL {
        let rule = fault.rule();
        let stage = Stage::new(&[&[fails(fault)], &[answers()]]);
        let (answered, heard) = stage.ask();
        assert_eq!(stage.calls(0), if rule.retry { 2 } else { 1 }, "{fault:?} {heard:?}");
        assert_eq!(stage.calls(1), usize::from(rule.fallback), "{fault:?} {heard:?}");
        match answered {
            Ok(_) => assert!(rule.fallback, "{fault:?}"),
            Err(unanswered) => assert_eq!(unanswered.error.fault, fault),
        }
    }
}

#[test]
fn what_broke_off_is_called_again_only_after_everybody_else() {
    let stage = Stage::new(&[&[fails(Fault::Truncated), answers()], &[fails(Fault::FirstTokenTimeout)]]);
    let (answered, heard) = stage.ask();
    assert_eq!((answered.unwrap().route, stage.calls(0), stage.calls(1)), (0, 2, 1), "{heard:?}");
    let alone = Stage::new(&[&[fails(Fault::Truncated), answers()]]);
    assert!(alone.ask().0.is_err(), "nobody was asked in between");
    let spent = Stage::new(&[&[fails(Fault::QuotaExhausted)], &[fails(Fault::Truncated)]]);
    assert!(spent.ask().0.is_err());
    assert_eq!((spent.calls(0), spent.calls(1)), (1, 1), "a spent quota is spent");
}

#[test]
fn the_providers_word_on_a_repeat_outranks_the_taxonomy() {
    let said = |fault: Fault, word: bool| {
        let mut error = ProviderError::new(fault, "x");
        error.should_retry = Some(word);
        Act(SECOND, Err(error))
    };
    let stage = Stage::new(&[&[said(Fault::Server, false)], &[answers()]]);
    assert!(stage.ask().0.is_ok());
    assert_eq!((stage.calls(0), stage.calls(1)), (1, 1));
    let stage = Stage::new(&[&[said(Fault::BadRequest, true), answers()]]);
    assert!(stage.ask().0.is_ok());
}

#[test]
fn a_wish_is_a_floor_and_too_long_a_one_goes_to_who_has_time() {
    let stage = Stage::new(&[&[asks_to_wait(2), answers()], &[answers()]]);
    assert_eq!(stage.ask().0.unwrap().route, 0);
    assert!(stage.gap(0) >= Duration::from_secs(2), "{:?}", stage.gap(0));
    let stage = Stage::new(&[&[asks_to_wait(11)], &[answers()]]);
    assert_eq!(stage.ask().0.unwrap().route, 1);
    assert_eq!(stage.calls(0), 1);
    let alone = Stage::new(&[&[asks_to_wait(30), answers()]]);
    assert!(alone.ask().0.is_ok(), "nobody else: the wait fits the task's time");
    assert!(alone.gap(0) >= Duration::from_secs(30));
    let hopeless = Stage::new(&[&[asks_to_wait(3600)]]);
    let error = hopeless.ask().0.unwrap_err().into_error();
    assert!(error.message.contains("3600 s") && hopeless.clock.passed() < SECOND, "{error}");
}

#[test]
fn nobody_is_asked_while_a_wish_lasts() {
    let stage = Stage::new(&[&[asks_to_wait(20), answers()], &[answers()]]);
    assert_eq!(stage.ask().0.unwrap().route, 1);
    let (answered, heard) = stage.ask();
    assert_eq!((answered.unwrap().route, stage.calls(0)), (1, 1), "{heard:?}");
    stage.clock.advance(Duration::from_secs(20));
    assert_eq!(stage.ask().0.unwrap().route, 0);
}

#[test]
fn a_task_makes_four_calls_at_most() {
    let failing = [fails(Fault::Server)];
    let stage = Stage::new(&[&failing, &failing, &failing]);
    let unanswered = stage.ask().0.unwrap_err();
    assert_eq!([stage.calls(0), stage.calls(1), stage.calls(2)], [2, 2, 0]);
    let error = unanswered.into_error();
    assert_eq!(error.message, "get an answer from one/m: x; two/m failed");
    assert!(error.elsewhere);
}

#[test]
fn one_deadline_holds_for_all_and_no_call_begins_without_time_for_it() {
    let silent = Act(Duration::from_secs(10), Err(ProviderError::new(Fault::FirstTokenTimeout, "x")));
    let slow = Act(Duration::from_secs(34), Err(ProviderError::new(Fault::Truncated, "x")));
    let stage = Stage::new(&[&[silent], &[slow], &[answers()]]);
    assert!(stage.ask().0.is_err());
    assert_eq!(stage.calls(2), 0, "1 s is no time for a call");
    let endless = Act(Duration::from_secs(1000), Ok(()));
    let stage = Stage::new(&[&[endless], &[answers()]]);
    let unanswered = stage.ask().0.unwrap_err();
    assert_eq!(unanswered.error.fault, Fault::Deadline);
    assert_eq!(stage.clock.passed(), Duration::from_secs(45));
}

#[test]
fn an_open_breaker_is_passed_by_and_probed_again_after_its_rest() {
    let stage =
        Stage::new(&[&[fails(Fault::Server), fails(Fault::Server), fails(Fault::Server), answers()], &[answers()]]);
    assert_eq!(stage.ask().0.unwrap().route, 1);
    assert_eq!(stage.ask().0.unwrap().route, 1);
    assert_eq!(stage.calls(0), 3, "the third failure in a row opened it");
    assert_eq!(stage.ask().0.unwrap().route, 1);
    assert_eq!(stage.calls(0), 3);
    stage.clock.advance(Duration::from_secs(15));
    assert_eq!(stage.ask().0.unwrap().route, 0);
    let status = stage.board.status();
    assert!(status.routes.iter().all(super::super::RouteState::is_well), "{status:?}");
    assert_eq!(status.counts.detours, 3);
    assert_eq!(status.counts.changes.keys().map(|(_, to)| *to).collect::<Vec<_>>(), ["closed", "half-open", "open"]);
}

#[test]
fn when_everybody_rests_the_task_waits_as_long_as_it_has_time() {
    let stage = Stage::new(&[&[fails(Fault::Server), fails(Fault::Server), fails(Fault::Server), answers()]]);
    assert!(stage.ask().0.is_err());
    let before = stage.clock.passed();
    let (answered, heard) = stage.ask();
    assert!(answered.is_ok(), "{heard:?}");
    assert!(stage.clock.passed() - before >= Duration::from_secs(15));
    assert!(heard.contains(&"wait 14 s for one/m".to_owned()), "{heard:?}");
}

#[test]
fn a_bad_key_is_passed_by_but_tried_again_where_nobody_else_is() {
    let stage = Stage::new(&[&[fails(Fault::Auth)], &[answers()]]);
    assert_eq!(stage.ask().0.unwrap().route, 1);
    assert_eq!(stage.ask().0.unwrap().route, 1);
    assert_eq!(stage.calls(0), 1, "disabled");
    let alone = Stage::new(&[&[fails(Fault::Auth), answers()]]);
    assert_eq!(alone.ask().0.unwrap_err().error.fault, Fault::Auth);
    assert!(alone.ask().0.is_ok(), "the person mended it");
}

#[test]
fn what_is_switched_off_is_not_asked_and_a_running_call_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(&[&[answers()], &[answers()]]);
    let config = ResilienceConfig { switch_file: Some(directory.path().join("off")), ..ResilienceConfig::default() };
    stage.board = Resilience::new(config, BTreeSet::new(), Arc::new(stage.clock.clone()));
    stage.board.switch().set(&BTreeSet::from(["one".to_owned()])).unwrap();
    assert_eq!(stage.ask().0.unwrap().route, 1);
    stage.board.switch().set(&BTreeSet::from(["all".to_owned()])).unwrap();
    let unanswered = stage.ask().0.unwrap_err();
    assert_eq!((unanswered.error.fault, stage.calls(0)), (Fault::SwitchedOff, 0));
    assert!(unanswered.into_error().hint.unwrap().contains("krins switch"));
}

#[test]
fn backoff_is_full_jitter_and_doubles_to_its_cap() {
    let timing = Timing::default();
    let seconds = |calls: u32, chance: f64| backoff(&timing, calls, chance).as_secs_f64();
    assert_eq!([seconds(1, 0.5), seconds(2, 0.5), seconds(3, 0.5), seconds(5, 0.5)], [0.5, 1.0, 2.0, 5.0]);
    assert_eq!([seconds(1, 0.0), seconds(60, 1.0)], [0.0, 10.0]);
}

/// Every tenth call of every route fails; ten thousand tasks, one a second.
#[test]
fn a_tenth_of_all_calls_failing_loses_no_task_in_a_thousand() {
    const FAULTS: [Fault; 6] = [
        Fault::Server,
        Fault::Overloaded,
        Fault::Connect,
        Fault::Truncated,
        Fault::FirstTokenTimeout,
        Fault::Malformed,
    ];
    let mut random = fastrand::Rng::with_seed(7);
    let mut script = || -> Vec<Act> {
        let act = |random: &mut fastrand::Rng| match random.u32(0..10) {
            0 => fails(FAULTS[random.usize(0..FAULTS.len())]),
            _ => answers(),
        };
        (0..40_000).map(|_| act(&mut random)).collect()
    };
    let (one, two) = (script(), script());
    let stage = Stage::new(&[&one, &two]);
    let lost = (0..10_000).filter(|_| stage.ask().0.is_err()).count();
    assert!(lost <= 10, "{lost} of 10,000 tasks were lost");
    assert!(stage.calls(0) > 9_000, "the first route carries the load: {}", stage.calls(0));
}

/// Half of the first route's calls fail; everything is answered, mostly by the second.
#[test]
fn half_of_the_first_routes_calls_failing_loses_nothing() {
    let mut random = fastrand::Rng::with_seed(11);
    let script: Vec<Act> =
        (0..40_000).map(|_| if random.bool() { fails(Fault::Overloaded) } else { answers() }).collect();
    let stage = Stage::new(&[&script, &[answers()]]);
    let answers: Vec<usize> = (0..2_000).map(|_| stage.ask().0.unwrap().route).collect();
    let by_fallback = answers.iter().filter(|route| **route == 1).count();
    assert!(by_fallback > 1_000, "{by_fallback}");
    assert!(stage.calls(0) < 2_000, "the breaker keeps calls away: {}", stage.calls(0));
}
