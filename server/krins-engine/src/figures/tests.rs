//! Figures from records that are written here, so that each number can be counted by hand.

use super::reckon::{Records, Window, report};
use super::recorded::{Happening, Read, What, read};
use super::{Call, Seen};
use krins_backend::Usage;
use krins_backend::money::Purpose;
use krins_backend::resilience::{RouteState, Status};
use krins_core::audit::{GENESIS, Head, Record};
use krins_core::gate::Verdict;
use krins_protocol::report::{Bucket, Period, Report};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::time::Duration;

/// A Wednesday, 14:30 UTC.
const NOW: u64 = 1_795_617_000_000;
const MINUTE: u64 = 60_000;
const DAY: u64 = 86_400_000;

fn at(at: u64, task: &str, what: What) -> Happening {
    Happening { at, task: task.to_owned(), what }
}

fn answered(route: &str, cached: bool) -> What {
    What::Answered { route: route.to_owned(), cached }
}

fn gated(verdict: Verdict, blocking: &[&str]) -> What {
    What::Gated { verdict, blocking: blocking.iter().map(|rule| (*rule).to_owned()).collect() }
}

/// A task that is answered and gated after so many milliseconds.
fn task(id: &str, from: u64, took: u64, route: &str, then: &[What]) -> Vec<Happening> {
    let mut all = vec![
        at(from, id, What::Assigned),
        at(from + took, id, answered(route, false)),
        at(from + took, id, gated(Verdict::Pass, &[])),
    ];
    all.extend(then.iter().map(|what| at(from + took + 1, id, what.clone())));
    all
}

fn call(task: &str, at: u64, route: &str, tokens: [u64; 3], micros: Option<u64>) -> Call {
    let [input_tokens, output_tokens, cache_read_tokens] = tokens;
    Call {
        task: task.to_owned(),
        at,
        route: route.to_owned(),
        purpose: Purpose::Author,
        usage: Usage { input_tokens, output_tokens, cache_read_tokens, ..Usage::default() },
        micros,
        open: false,
        ok: true,
    }
}

fn reckoned(mut happenings: Vec<Happening>, calls: Vec<Call>, period: Period) -> Report {
    happenings.sort_by_key(|happening| happening.at);
    let read = Read { happenings, erased: 0 };
    report(&Records { read, calls, notes: Vec::new() }, period.into(), NOW)
}

#[test]
fn what_became_of_each_task_is_counted_once() {
    let start = NOW - DAY;
    let mut all = Vec::new();
    all.extend(task("applied", start, 2_000, "a/x", &[What::Applied]));
    all.extend(task("taken-back", start, 4_000, "a/x", &[What::Applied, What::Undone]));
    all.extend(task("redone", start, 6_000, "a/x", &[What::Applied, What::Undone, What::Applied]));
    all.extend(task("discarded", start, 8_000, "a/x", &[What::Discarded]));
    all.extend(task("waiting", start, 10_000, "a/x", &[]));
    all.push(at(start, "blocked", What::Assigned));
    all.push(at(start + 1, "blocked", answered("a/x", false)));
    all.push(at(start + 1, "blocked", gated(Verdict::Block, &["secrets/key", "syntax/error"])));
    all.push(at(start, "failed", What::Assigned));
    all.push(at(start + 1, "failed", What::Failed { why: "BudgetExceeded".into() }));
    // A task without a change was not rejected, whatever a person tidied away.
    all.push(at(start + 2, "failed", What::Discarded));
    all.push(at(start, "cancelled", What::Assigned));
    all.push(at(start + 1, "cancelled", What::Cancelled));
    all.push(at(NOW - 5, "running", What::Assigned));
    let report = reckoned(all, Vec::new(), Period::Week);
    let tasks = &report.tasks;
    assert_eq!((tasks.assigned, tasks.answered), (9, 6));
    assert_eq!((tasks.accepted, tasks.rejected, tasks.waiting, tasks.blocked), (2, 2, 1, 1));
    assert_eq!((tasks.failed, tasks.cancelled, tasks.running), (1, 1, 1));
    assert_eq!(tasks.accepted_share, Some(0.5));
    assert_eq!((report.green.count, report.green.p50, report.green.p95), (5, Some(6_000), Some(10_000)));
    let named = |causes: &[krins_protocol::report::Cause]| -> Vec<(String, u64)> {
        causes.iter().map(|cause| (cause.name.clone(), cause.tasks)).collect()
    };
    assert_eq!(named(&report.blocks), [("secrets/key".to_owned(), 1), ("syntax/error".to_owned(), 1)]);
    assert_eq!(named(&report.failures), [("BudgetExceeded".to_owned(), 1)]);
    let sum: u64 = report.buckets.iter().map(|bucket| bucket.assigned).sum();
    assert_eq!(sum, 9);
}

/// A change that is blocked, mended and passes is green from then on; a round that fails leaves it as it was.
#[test]
fn a_change_is_green_when_it_first_passes() {
    let start = NOW - MINUTE;
    let all = vec![
        at(start, "t", What::Assigned),
        at(start + 1_000, "t", answered("a/x", false)),
        at(start + 1_000, "t", gated(Verdict::Block, &["build/fails"])),
        at(start + 9_000, "t", answered("a/x", false)),
        at(start + 9_000, "t", gated(Verdict::Warn, &[])),
        at(start + 9_500, "t", What::Failed { why: "Internal".into() }),
    ];
    let report = reckoned(all, Vec::new(), Period::Day);
    assert_eq!((report.green.p50, report.tasks.waiting, report.tasks.failed), (Some(9_000), 1, 0));
    assert_eq!(report.blocks[0].name, "build/fails");
    // The diff itself was there after a second.
    assert_eq!((report.objectives[0].good, report.objectives[0].total), (1, 1));
}

#[test]
fn tokens_and_money_go_to_the_patch_and_the_agent_that_took_them() {
    let start = NOW - 2 * DAY;
    let mut all = task("one", start, 1_000, "a/x-2026", &[What::Applied]);
    all.extend(task("two", start, 1_000, "b/y", &[What::Discarded]));
    all.extend(task("free", start, 10, "builtin/refactorings", &[What::Applied]));
    all.push(at(start, "kept", What::Assigned));
    all.push(at(start + 1, "kept", answered("a/x-2026", true)));
    all.push(at(start + 1, "kept", gated(Verdict::Pass, &[])));
    let mut judged = call("one", start, "c/judge", [10, 1, 0], Some(7));
    judged.purpose = Purpose::Judge;
    let mut lost = call("two", start, "b/y", [0, 0, 0], Some(500));
    (lost.open, lost.ok) = (true, false);
    let calls = vec![
        call("one", start, "a/x", [100, 50, 300], Some(1_000)),
        judged,
        lost,
        call("two", start, "b/y", [100, 20, 0], Some(2_000)),
        call("of-another-workspace", start, "a/x", [9_999, 0, 0], Some(123)),
    ];
    let report = reckoned(all, calls, Period::Week);
    let spent = &report.spent;
    assert_eq!((spent.calls, spent.open, spent.micros, spent.elsewhere_micros), (4, 1, Some(3_507), 123));
    assert_eq!((spent.tokens.sent(), spent.tokens.output), (510, 71));
    assert_eq!(spent.tokens_per_patch, Some(581 / 4));
    assert_eq!((spent.micros_per_patch, spent.micros_per_accepted), (Some(3_507 / 4), Some(3_507 / 2)));
    let rows: Vec<(&str, u64, u64, u64, Option<u64>)> = report
        .agents
        .iter()
        .map(|agent| (agent.route.as_str(), agent.calls, agent.patches, agent.accepted, agent.micros_per_patch))
        .collect();
    assert_eq!(
        rows,
        [
            ("b/y", 2, 1, 0, Some(2_500)),
            // The snapshot's name that the provider answers with is the route that was asked; what was kept is its work, too.
            ("a/x", 1, 2, 1, Some(500)),
            ("c/judge", 1, 0, 0, None),
            ("builtin/refactorings", 0, 1, 1, Some(0)),
        ]
    );
    assert_eq!((report.cache.hits, report.cache.answers), (1, 3));
    assert_eq!(report.cache.prompt_share, Some(300.0 / 510.0));
    assert!(report.notes.is_empty());
}

/// Of several answers to one task: whichever came last, and whatever name its provider gave.
#[test]
fn a_change_is_of_the_agent_whose_answer_is_shown() {
    let start = NOW - DAY;
    let shown = ["a/x", "a/x-2026", "b/y-mini", "b/z", "d/unknown", "builtin/refactorings"];
    let (mut all, mut calls) = (Vec::new(), Vec::new());
    for (at, route) in shown.into_iter().enumerate() {
        let id = format!("t{at}");
        all.extend(task(&id, start, 1_000, route, &[What::Applied]));
        calls.extend(["a/x", "b/y-mini", "b/y", "c/w"].map(|route| call(&id, start, route, [1, 1, 0], Some(1))));
    }
    let report = reckoned(all, calls, Period::Week);
    let mut patches: Vec<(&str, u64, u64)> =
        report.agents.iter().map(|agent| (agent.route.as_str(), agent.patches, agent.accepted)).collect();
    patches.sort_unstable();
    let expected = [("a/x", 2, 2), ("b/y", 1, 1), ("b/y-mini", 1, 1), ("builtin/refactorings", 1, 1), ("c/w", 1, 1)];
    assert_eq!(patches, expected);
}

#[test]
fn a_cost_that_is_not_known_is_none_and_is_said() {
    let start = NOW - DAY;
    let all = task("one", start, 1_000, "a/x", &[What::Applied]);
    let report = reckoned(all, vec![call("one", start, "a/x", [1, 1, 0], None)], Period::Week);
    assert_eq!((report.spent.micros, report.spent.micros_per_patch, report.agents[0].micros), (None, None, None));
    assert_eq!((report.spent.known_micros, report.spent.unpriced), (0, 1));
    assert!(report.notes[0].contains("no known price"), "{:?}", report.notes);
}

#[test]
fn nothing_at_all_is_no_figure() {
    for period in Period::ALL {
        let report = reckoned(Vec::new(), Vec::new(), period);
        assert_eq!((report.tasks.accepted_share, report.green.p50, report.cache.share), (None, None, None));
        assert_eq!(report.spent.micros, Some(0));
        assert!(report.objectives.iter().all(|objective| objective.reached.is_none()));
        let last = report.buckets.last().unwrap();
        assert!(last.start <= NOW && NOW < last.start + (report.buckets[1].start - report.buckets[0].start));
        assert_eq!(report.buckets[0], Bucket { start: Window::from(period).since(NOW), ..Bucket::default() });
    }
}

#[test]
fn an_objective_says_how_much_may_still_go_wrong() {
    let mut all = Vec::new();
    for id in 0..40u64 {
        let took = if id == 0 { 45_001 } else { 45_000 };
        all.extend(task(&format!("t{id}"), NOW - DAY + id, took, "a/x", &[]));
    }
    let report = reckoned(all, Vec::new(), Period::Day);
    let slow = &report.objectives[0];
    assert_eq!((slow.good, slow.total, slow.reached), (39, 40, Some(97.5)));
    // 5 % of 40 may be slow: one of two is used.
    assert!((slow.budget_left.unwrap() - 0.5).abs() < 1e-9);
    let page = include_str!("../../../../slo/krins.yaml");
    for objective in &report.objectives {
        let (_, after) = page.split_once(&format!("- name: \"{}\"", objective.name)).unwrap();
        let asked = format!("objective: {}\n    description: \"{}\"", objective.objective, objective.description);
        assert!(after.trim_start().starts_with(&asked), "{asked}");
    }
    assert!(page.contains("le=\"45.0\""));
}

fn record(seq: u64, kind: &str, about: Value) -> (Record, Option<Value>) {
    let record =
        Record::next(&Head { seq, ts: NOW - DAY, hash: GENESIS }, NOW - DAY + seq, kind, "p", GENESIS).unwrap();
    (record, Some(about))
}

#[test]
fn a_change_counts_when_it_is_done_and_a_part_of_one_does_not() {
    let intended = |change: &str, action: &str, part: Option<bool>| json!({"change": change, "action": action, "task": "t", "part": part});
    let records = [
        record(1, "task.assigned", json!({"task": "t"})),
        record(2, "task.answered", json!({"task": "t", "route": "a/x", "cached": false})),
        record(3, "task.gated", json!({"task": "t", "verdict": "pass", "blocking": []})),
        record(4, "change.intended", intended("u1", "apply", None)),
        record(5, "change.done", json!({"change": "u1"})),
        // Some hunks come back: the rest stays.
        record(6, "change.intended", intended("u2", "undo", Some(true))),
        record(7, "change.done", json!({"change": "u2"})),
        // Intended, and never done.
        record(8, "change.intended", intended("u3", "undo", None)),
        record(9, "change.failed", json!({"change": "u3"})),
        // A patch of no task.
        record(10, "change.intended", json!({"change": "u4", "action": "apply"})),
        record(11, "change.done", json!({"change": "u4"})),
        (record(12, "task.gated", json!({})).0, None),
    ];
    let read = read(&records);
    assert_eq!(read.erased, 1);
    let report = report(&Records { read, ..Records::default() }, Window::days(7), NOW);
    assert_eq!((report.tasks.assigned, report.tasks.accepted, report.tasks.rejected), (1, 1, 0));
    assert!(report.notes[0].contains("erased"), "{:?}", report.notes);
}

/// A process that asked one route says nothing of the others, and what a route has to wait for passes.
#[test]
fn routes_are_remembered_and_grow_older() {
    let state = |route: &str, state: &'static str, left: Option<u64>| RouteState {
        route: route.to_owned(),
        label: route.to_owned(),
        state,
        cause: None,
        left: left.map(Duration::from_secs),
    };
    let status = |routes: Vec<RouteState>| Status { routes, ..Status::default() };
    let seen = Seen::default()
        .with(
            NOW,
            &status(vec![
                state("a/x", "open", Some(30)),
                state("b/y", "resting", Some(5)),
                state("c/z", "disabled", None),
            ]),
        )
        .with(NOW + 10_000, &status(vec![state("builtin/refactorings", "closed", None)]));
    let by = |now: u64| -> Vec<(String, String, Option<u64>)> {
        seen.clone().by(now).into_iter().map(|route| (route.route, route.state, route.seconds)).collect()
    };
    let row = |route: &str, state: &str, left: Option<u64>| (route.to_owned(), state.to_owned(), left);
    let (builtin, disabled) = (row("builtin/refactorings", "closed", None), row("c/z", "disabled", None));
    let soon = [row("a/x", "open", Some(20)), row("b/y", "closed", None), builtin.clone(), disabled.clone()];
    assert_eq!(by(NOW + 10_000), soon);
    let later = [row("a/x", "half-open", None), row("b/y", "closed", None), builtin, disabled];
    assert_eq!(by(NOW + 60_000), later);
    let again = seen.clone().with(NOW + 8 * DAY, &status(vec![state("a/x", "closed", None)]));
    assert_eq!(again.by(NOW + 8 * DAY).len(), 1);
}

fn any_what() -> impl Strategy<Value = What> {
    prop_oneof![
        Just(What::Assigned),
        any::<bool>().prop_map(|cached| answered("a/x", cached)),
        Just(gated(Verdict::Pass, &[])),
        Just(gated(Verdict::Block, &["r"])),
        Just(What::Denied { blocking: Vec::new() }),
        Just(What::Failed { why: "Internal".into() }),
        Just(What::Cancelled),
        Just(What::Discarded),
        Just(What::Applied),
        Just(What::Undone),
    ]
}

proptest! {
    /// Whatever the record holds, every task of the period stands in one place, and the buckets add up to the sums.
    #[test]
    fn the_parts_add_up(
        happenings in prop::collection::vec((0..10 * DAY, 0..8u8, any_what()), 0..60),
        calls in prop::collection::vec((0..10 * DAY, 0..10u8, 0..1000u64), 0..20),
    ) {
        let happenings =
            happenings.into_iter().map(|(back, id, what)| at(NOW - back, &id.to_string(), what)).collect();
        let calls: Vec<Call> = calls
            .into_iter()
            .map(|(back, id, micros)| call(&id.to_string(), NOW - back, "a/x", [micros, 1, 0], Some(micros)))
            .collect();
        let every: u64 = calls.iter().filter(|call| call.at >= Window::from(Period::Week).since(NOW)).filter_map(|call| call.micros).sum();
        let report = reckoned(happenings, calls, Period::Week);
        let tasks = &report.tasks;
        let parts = tasks.accepted + tasks.rejected + tasks.waiting + tasks.blocked + tasks.failed + tasks.cancelled + tasks.running;
        prop_assert_eq!(tasks.assigned, parts);
        let of = |count: fn(&Bucket) -> u64| report.buckets.iter().map(count).sum::<u64>();
        prop_assert_eq!(of(|bucket| bucket.assigned), tasks.assigned);
        prop_assert_eq!(of(|bucket| bucket.accepted + bucket.rejected + bucket.open + bucket.unanswered), tasks.assigned);
        prop_assert_eq!(of(|bucket| bucket.micros), report.spent.known_micros);
        prop_assert_eq!(of(|bucket| bucket.tokens.all()), report.spent.tokens.all());
        prop_assert_eq!(report.spent.known_micros + report.spent.elsewhere_micros, every);
    }
}
