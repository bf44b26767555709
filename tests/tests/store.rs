//! One suite over both forms of the store: what holds over SQLite holds over PostgreSQL, with leases that end, workers that
//! wake up too late, and several at the same time.

use krins_backend::Usage;
use krins_backend::calls::Calls;
use krins_backend::money::{Charge, Ledger, LedgerError, Limits, Purpose, Refusal, Reserve, Scope};
use krins_backend::resilience::switch::Turn;
use krins_backend::shared::{Redis as SharedRedis, SharedCache};
use krins_backend::store::{
    Appended, AuditEntry, Burial, CallBegun, CallEnd, CallState, End, Fence, Hint, LIST_LIMIT, Locking, NewCall,
    NewLock, NewRow, NewToken, PAYLOAD_VERSION, Person, Postgres, Reconciled, Room, Sqlite, State, Store, StoreError,
    Submission, TaskRow,
};
use krins_core::Digest;
use krins_core::audit::{Head, Record, commitment};
use krins_tests::fakes::{Behaviour, Scenario};
use krins_tests::fleet::{self, Database, Fleet, Victim};
use krins_tests::postgres::{self, Postgres as Server};
use krins_tests::redis::Redis;
use krins_tests::{debian, raw_http};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(150);

fn row(tenant: &str, key: &str, payload: &str) -> NewRow {
    NewRow {
        id: format!("{tenant}-{key}"),
        tenant: tenant.into(),
        person: Person { name: "ann".into(), micros_per_day: Some(5) },
        key: key.into(),
        payload_sha256: format!("sha of {payload}"),
        payload: payload.into(),
        payload_version: PAYLOAD_VERSION,
        traceparent: "00-12345678901234567890123456789012-1234567890123456-01".into(),
        tracestate: Some("foo=1".into()),
    }
}

async fn accept(store: &dyn Store, key: &str) -> TaskRow {
    match store.submit(row("t", key, "p"), Room::UNLIMITED).await.unwrap() {
        Submission::Accepted(task) => task,
        other => panic!("{other:?}"),
    }
}

fn burial() -> Burial {
    Burial { crashes: 2, error: "{\"buried\":1}".into(), pause: Duration::ZERO }
}

async fn claim_one(store: &dyn Store, lease: Duration) -> krins_backend::store::Leased {
    let claimed = store.claim("worker", 1, lease).await.unwrap();
    claimed.tasks.into_iter().next().expect("there is a task")
}

async fn words(store: &dyn Store, id: &str) -> Vec<String> {
    store.history("t", id).await.unwrap().into_iter().map(|event| event.what).collect()
}

/// Each function is a test over either form, with an empty store.
macro_rules! over_both {
    ($($name:ident)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                let directory = tempfile::tempdir().unwrap();
                super::$name(super::Sqlite::open(&directory.path().join("tasks.db")).unwrap().into()).await;
            })*
        }
        mod postgresql {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                let Some(server) = super::Server::shared() else { return };
                super::$name(super::open(&server.database()).await.into()).await;
            })*
        }
    };
}

async fn open(address: &str) -> Postgres {
    Postgres::open(address, None, None).await.unwrap()
}

over_both! {
    a_key_is_one_task_per_tenant
    a_hundred_racing_submissions_are_one_task
    room_is_for_all_and_for_each_tenant
    tasks_are_claimed_once_and_in_order
    an_overtaken_run_changes_nothing
    a_worker_that_slept_through_its_lease_is_refused
    a_renewed_lease_is_not_swept
    two_crashes_bury_a_task_and_one_does_not
    released_tasks_are_not_blamed
    retries_wait_for_their_time
    the_dead_are_listed_and_put_back
    numbers_rise_through_everything
    a_newer_payload_waits_for_a_newer_program
    calls_are_fenced_limited_and_settled_once
    calls_that_nothing_hangs_on_are_noted_together
    limits_hold_under_any_number_at_once
    whatever_replicas_reserve_and_charge_stays_within_the_limits
    what_was_spent_is_told_by_day_person_and_route
    one_persons_report_is_whole_among_many
    what_nobody_charged_is_open_until_somebody_says_what_it_was
    the_switch_is_everybodys_and_who_turned_it_is_known
    a_secret_is_made_once
    the_gates_word_is_of_answered_tasks
    locks_are_leases_with_rising_fences
    tokens_are_kept_by_their_digest_and_end
    only_ended_tasks_are_purged
    many_workers_end_every_task_once
    an_audit_grows_by_what_hangs_on_it_and_by_nothing_else
    what_an_audit_forgets_is_gone_and_its_records_stay
    an_audit_is_looked_through_page_by_page_and_forgotten_whole
}

async fn a_key_is_one_task_per_tenant(store: Arc<dyn Store>) {
    let accepted = accept(&*store, "a").await;
    assert_eq!((accepted.state, accepted.seq), (State::Queued, 1));
    let again = NewRow { id: "other".into(), ..row("t", "a", "p") };
    assert_eq!(store.submit(again, Room { all: 0, tenant: 0 }).await.unwrap(), Submission::Replayed(accepted));
    let other = NewRow { id: "other".into(), ..row("t", "a", "q") };
    assert_eq!(store.submit(other, Room::UNLIMITED).await.unwrap(), Submission::KeyConflict);
    let foreign = store.submit(row("u", "a", "q"), Room::UNLIMITED).await.unwrap();
    assert!(matches!(foreign, Submission::Accepted(task) if task.id == "u-a"));
    assert_eq!(store.get("t", "u-a").await.unwrap(), None, "not this tenant's");
    assert_eq!(store.cancel("t", "u-a").await.unwrap(), None);
    assert_eq!(store.requeue("t", "u-a").await.unwrap(), None);
    assert!(store.history("t", "u-a").await.unwrap().is_empty());
}

async fn a_hundred_racing_submissions_are_one_task(store: Arc<dyn Store>) {
    let racing = (0..100).map(|n| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let row = NewRow { id: format!("id{n}"), ..row("t", "race", "p") };
            store.submit(row, Room::UNLIMITED).await.unwrap()
        })
    });
    let mut accepted = 0;
    let mut ids = std::collections::BTreeSet::new();
    for submitted in futures::future::join_all(racing).await {
        match submitted.unwrap() {
            Submission::Accepted(task) => {
                accepted += 1;
                ids.insert(task.id);
            }
            Submission::Replayed(task) => drop(ids.insert(task.id)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((accepted, ids.len()), (1, 1));
}

async fn room_is_for_all_and_for_each_tenant(store: Arc<dyn Store>) {
    let room = Room { all: 3, tenant: 2 };
    for key in ["a", "b"] {
        assert!(matches!(store.submit(row("t", key, "p"), room).await.unwrap(), Submission::Accepted(_)));
    }
    assert_eq!(store.submit(row("t", "c", "p"), room).await.unwrap(), Submission::TenantFull);
    assert!(matches!(store.submit(row("u", "a", "p"), room).await.unwrap(), Submission::Accepted(_)));
    assert_eq!(store.submit(row("u", "b", "p"), room).await.unwrap(), Submission::Full);
    let running = claim_one(&*store, LONG).await;
    assert_eq!(store.submit(row("t", "c", "p"), room).await.unwrap(), Submission::TenantFull, "what runs counts");
    store.finish(&running.fence, End::Done("{}".into())).await.unwrap();
    assert!(matches!(store.submit(row("t", "c", "p"), room).await.unwrap(), Submission::Accepted(_)));
}

async fn tasks_are_claimed_once_and_in_order(store: Arc<dyn Store>) {
    for key in ["a", "b", "c"] {
        accept(&*store, key).await;
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let first = store.claim("worker", 2, LONG).await.unwrap();
    let ids: Vec<&str> = first.tasks.iter().map(|task| task.fence.id.as_str()).collect();
    assert_eq!(ids, ["t-a", "t-b"]);
    assert_ne!(first.tasks[0].fence.token, first.tasks[1].fence.token);
    let task = &first.tasks[0];
    assert_eq!((task.payload.as_str(), task.run, task.tenant.as_str()), ("p", 1, "t"));
    assert_eq!(task.person, Person { name: "ann".into(), micros_per_day: Some(5) });
    assert_eq!(task.tracestate.as_deref(), Some("foo=1"));
    let second = store.claim("other", 9, LONG).await.unwrap();
    assert_eq!(second.tasks.len(), 1);
    assert_eq!(store.claim("third", 9, LONG).await.unwrap().tasks, []);
    let stats = store.stats(None).await.unwrap();
    assert_eq!((stats.queued, stats.running, stats.dead), (0, 3, 0));
    assert_eq!(store.stats(Some("u")).await.unwrap().running, 0);
    assert_eq!(store.look(&["t-c".into(), "nobody".into()]).await.unwrap().len(), 1);
}

async fn an_overtaken_run_changes_nothing(store: Arc<dyn Store>) {
    accept(&*store, "a").await;
    let run = claim_one(&*store, LONG).await;
    let cancelled = store.cancel("t", "t-a").await.unwrap().unwrap();
    assert_eq!(cancelled.state, State::Cancelled);
    for end in [End::Done("{}".into()), End::Failed("{}".into()), End::Dead { error: "{}".into(), reason: "r".into() }]
    {
        assert_eq!(store.finish(&run.fence, end).await.unwrap(), None);
    }
    assert_eq!(store.retry(&run.fence, Duration::ZERO, "r").await.unwrap(), None);
    assert_eq!(store.release(&run.fence).await.unwrap(), None);
    assert_eq!(store.renew(std::slice::from_ref(&run.fence), LONG).await.unwrap(), ["t-a"]);
    assert_eq!(store.get("t", "t-a").await.unwrap().unwrap(), cancelled);
    assert_eq!(store.cancel("t", "t-a").await.unwrap(), None, "once");

    accept(&*store, "b").await;
    let run = claim_one(&*store, LONG).await;
    let wrong = Fence { token: "guessed".into(), ..run.fence.clone() };
    assert_eq!(store.finish(&wrong, End::Done("{}".into())).await.unwrap(), None);
    let done = store.finish(&run.fence, End::Done("{\"a\":1}".into())).await.unwrap().unwrap();
    assert_eq!((done.state, done.answer.as_deref()), (State::Done, Some("{\"a\":1}")));
    assert_eq!(store.finish(&run.fence, End::Done("{\"a\":2}".into())).await.unwrap(), None, "not twice");
    assert_eq!(store.cancel("t", "t-b").await.unwrap(), None);
}

/// As a worker that was stopped (`SIGSTOP`), or whose machine slept.
async fn a_worker_that_slept_through_its_lease_is_refused(store: Arc<dyn Store>) {
    accept(&*store, "a").await;
    let zombie = claim_one(&*store, SHORT).await;
    tokio::time::sleep(SHORT * 2).await;
    assert_eq!(store.sweep(&burial()).await.unwrap().requeued.len(), 1);
    let successor = claim_one(&*store, LONG).await;
    assert_ne!(zombie.fence.token, successor.fence.token);
    assert_eq!(store.renew(std::slice::from_ref(&zombie.fence), LONG).await.unwrap(), ["t-a"]);
    let call = store.start_call(call("x", 1, None), Some(zombie.fence.clone()), Limits::default()).await.unwrap();
    assert_eq!(call, CallBegun::Overtaken, "nor does it ask a model");
    assert_eq!(store.finish(&zombie.fence, End::Done("\"old\"".into())).await.unwrap(), None);
    let done = store.finish(&successor.fence, End::Done("\"new\"".into())).await.unwrap().unwrap();
    assert_eq!(done.answer.as_deref(), Some("\"new\""));
    assert_eq!(store.finish(&zombie.fence, End::Done("\"old\"".into())).await.unwrap(), None);
    assert_eq!(words(&*store, "t-a").await, ["accepted", "started", "crashed", "started", "done"]);
}

async fn a_renewed_lease_is_not_swept(store: Arc<dyn Store>) {
    accept(&*store, "a").await;
    let run = claim_one(&*store, SHORT).await;
    for _ in 0..5 {
        tokio::time::sleep(SHORT / 3).await;
        assert!(store.renew(std::slice::from_ref(&run.fence), SHORT * 4).await.unwrap().is_empty());
        assert_eq!(store.sweep(&burial()).await.unwrap(), Default::default());
    }
    assert!(store.finish(&run.fence, End::Done("{}".into())).await.unwrap().is_some());
}

async fn two_crashes_bury_a_task_and_one_does_not(store: Arc<dyn Store>) {
    accept(&*store, "poison").await;
    for crash in 1..=2 {
        let run = claim_one(&*store, SHORT).await;
        let call = NewCall { task: "t-poison".into(), ..call(&format!("c{crash}"), 1, None) };
        let begun = store.start_call(call, Some(run.fence), Limits::default()).await.unwrap();
        assert_eq!(begun, CallBegun::Yes);
        tokio::time::sleep(SHORT * 2).await;
        let swept = store.sweep(&burial()).await.unwrap();
        assert_eq!((swept.requeued.len(), swept.buried.len()), if crash == 1 { (1, 0) } else { (0, 1) });
    }
    assert_eq!(store.claim("worker", 1, SHORT).await.unwrap().tasks, []);
    let dead = store.dead(Some("t"), 10).await.unwrap();
    assert_eq!((dead[0].crashes, dead[0].runs), (2, 2));
    assert!(dead[0].reason.contains("died 2 times"), "{dead:?}");
    assert_eq!(dead[0].task.error.as_deref(), Some("{\"buried\":1}"));
    let states: Vec<CallState> =
        store.calls("t", "t-poison").await.unwrap().into_iter().map(|call| call.end.state).collect();
    assert_eq!(states, [CallState::Unknown; 2], "nobody knows what became of them");
    assert_eq!(words(&*store, "t-poison").await, ["accepted", "started", "crashed", "started", "dead"]);
}

async fn released_tasks_are_not_blamed(store: Arc<dyn Store>) {
    accept(&*store, "a").await;
    for _ in 0..5 {
        let run = claim_one(&*store, LONG).await;
        assert_eq!(run.run, 1);
        assert_eq!(store.release(&run.fence).await.unwrap().unwrap().state, State::Queued);
    }
}

async fn retries_wait_for_their_time(store: Arc<dyn Store>) {
    accept(&*store, "a").await;
    let run = claim_one(&*store, LONG).await;
    let pause = Duration::from_millis(400);
    let back = store.retry(&run.fence, pause, "nobody there\n").await.unwrap().unwrap();
    assert_eq!(back.state, State::Queued);
    let stats = store.stats(None).await.unwrap();
    assert_eq!((stats.queued, stats.delayed), (1, 1));
    let early = store.claim("worker", 1, LONG).await.unwrap();
    assert_eq!(early.tasks, []);
    let next = early.next.unwrap();
    assert!(next > Duration::ZERO && next <= pause, "{next:?}");
    tokio::time::sleep(pause).await;
    assert_eq!(claim_one(&*store, LONG).await.run, 2);
    let history = store.history("t", "t-a").await.unwrap();
    assert_eq!(history[2].detail.as_deref(), Some("nobody there "));
}

async fn the_dead_are_listed_and_put_back(store: Arc<dyn Store>) {
    for key in ["a", "b"] {
        accept(&*store, key).await;
        let run = claim_one(&*store, LONG).await;
        let end = End::Dead { error: "{\"e\":1}".into(), reason: format!("{} \u{7}{}", "x".repeat(600), key) };
        assert_eq!(store.finish(&run.fence, end).await.unwrap().unwrap().state, State::Dead);
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let dead = store.dead(None, 10).await.unwrap();
    assert_eq!(dead.iter().map(|row| row.task.id.as_str()).collect::<Vec<_>>(), ["t-b", "t-a"], "the newest first");
    assert!(dead[0].reason.len() <= 500);
    assert!(dead[0].submitted_ms <= dead[0].died_ms);
    assert_eq!(store.dead(None, 1).await.unwrap().len(), 1);
    assert!(store.dead(Some("u"), 10).await.unwrap().is_empty());
    assert_eq!(store.requeue("u", "t-a").await.unwrap(), None);
    let back = store.requeue("t", "t-a").await.unwrap().unwrap();
    assert_eq!((back.state, back.error), (State::Queued, None));
    assert!(back.seq > dead[1].task.seq);
    assert_eq!(store.requeue("t", "t-a").await.unwrap(), None, "it is not dead any more");
    assert_eq!(claim_one(&*store, LONG).await.run, 1, "counted anew");
}

async fn numbers_rise_through_everything(store: Arc<dyn Store>) {
    let mut seen = vec![accept(&*store, "a").await.seq];
    for _ in 0..3 {
        let run = claim_one(&*store, LONG).await;
        seen.extend([run.seq, run.progress_seq(1), run.progress_seq(u64::MAX)]);
        seen.push(store.release(&run.fence).await.unwrap().unwrap().seq);
    }
    let run = claim_one(&*store, LONG).await;
    seen.push(run.progress_seq(u64::MAX));
    let end = End::Dead { error: "{}".into(), reason: "r".into() };
    seen.push(store.finish(&run.fence, end).await.unwrap().unwrap().seq);
    seen.push(store.requeue("t", "t-a").await.unwrap().unwrap().seq);
    seen.push(store.cancel("t", "t-a").await.unwrap().unwrap().seq);
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    let told: Vec<u64> = store.history("t", "t-a").await.unwrap().into_iter().map(|event| event.seq).collect();
    assert!(told.is_sorted_by(|a, b| a < b), "{told:?}");
}

/// Old and new programs share a queue while a fleet is replaced.
async fn a_newer_payload_waits_for_a_newer_program(store: Arc<dyn Store>) {
    let newer = NewRow { payload_version: PAYLOAD_VERSION + 1, ..row("t", "a", "p") };
    assert!(matches!(store.submit(newer, Room::UNLIMITED).await.unwrap(), Submission::Accepted(_)));
    assert_eq!(store.claim("worker", 1, LONG).await.unwrap().tasks, []);
    assert_eq!(store.stats(None).await.unwrap().queued, 1);
}

fn call(id: &str, n: u32, reserved: Option<i64>) -> NewCall {
    NewCall {
        id: id.into(),
        tenant: "t".into(),
        person: "ann".into(),
        task: "task".into(),
        budget: "work".into(),
        purpose: Purpose::Judge,
        run: 1,
        variant: 0,
        n,
        route: "mine".into(),
        model: "m".into(),
        reserved_micros: reserved,
    }
}

fn daily(micros: u64) -> Limits {
    Limits { day: Some(micros), ..Limits::default() }
}

async fn calls_are_fenced_limited_and_settled_once(store: Arc<dyn Store>) {
    let begin = |id: &str, reserved, micros| store.start_call(call(id, 1, Some(reserved)), None, daily(micros));
    assert_eq!(begin("a", 60, 100).await.unwrap(), CallBegun::Yes);
    let over = begin("b", 60, 100).await.unwrap();
    assert_eq!(over, CallBegun::OverBudget(Refusal { scope: Scope::Day, limit: 100, used: 60, wanted: 60 }));
    let usage = Usage {
        input_tokens: 1,
        output_tokens: 2,
        cache_read_tokens: 3,
        cache_write_tokens: 4,
        estimated: true,
        ..Usage::default()
    };
    let end = CallEnd {
        state: CallState::Ok,
        first_token: Some(Duration::from_millis(7)),
        usage: Some(usage),
        cost_micros: Some(10),
        price_version: Some("v".into()),
        error_kind: None,
        request_id: Some("r".into()),
    };
    store.finish_call("a", end.clone()).await.unwrap();
    store.finish_call("a", CallEnd { cost_micros: Some(99), ..end.clone() }).await.unwrap();
    let rows = store.calls("t", "task").await.unwrap();
    assert_eq!((rows.len(), &rows[0].end), (1, &end), "the second time changed nothing");
    assert_eq!(rows[0].call, call("a", 1, Some(60)));
    assert!(rows[0].ended_ms.is_some());
    assert_eq!(begin("b", 60, 100).await.unwrap(), CallBegun::Yes, "what was not spent is free again");
    store.finish_call("b", CallEnd { state: CallState::Unknown, ..CallEnd::default() }).await.unwrap();
    let spent = store.spending(Some("t"), None, 1).await.unwrap();
    assert_eq!((spent[0].micros, spent[0].open), (10 + 60, 1), "what nobody knows stays charged");
    assert_eq!(store.spending(Some("u"), None, 1).await.unwrap(), []);
    // What is asked under one name shares one budget, whichever task of the service it is; persons have their own.
    let task = Limits { task: Some(70), ..Limits::default() };
    let other = |id: &str| NewCall { task: "other".into(), ..call(id, 1, Some(1)) };
    assert!(
        matches!(store.start_call(other("c"), None, task).await.unwrap(), CallBegun::OverBudget(over) if over.scope == Scope::Task)
    );
    let elsewhere = NewCall { budget: "else".into(), ..other("d") };
    assert_eq!(store.start_call(elsewhere, None, task).await.unwrap(), CallBegun::Yes, "another budget");
    let bob = NewCall { person: "bob".into(), ..other("e") };
    assert_eq!(store.start_call(bob.clone(), None, task).await.unwrap(), CallBegun::Yes, "another person's work");
    let persons = Limits { person_day: Some(71), day: Some(1000), ..Limits::default() };
    let over = store.start_call(call("f", 1, Some(1)), None, persons).await.unwrap();
    assert_eq!(over, CallBegun::OverBudget(Refusal { scope: Scope::PersonDay, limit: 71, used: 71, wanted: 1 }));
    let bob = NewCall { id: "g".into(), reserved_micros: Some(70), ..bob };
    assert_eq!(store.start_call(bob, None, persons).await.unwrap(), CallBegun::Yes);
    // A price that nobody knows fits no limit.
    let unknown = store.start_call(call("h", 1, None), None, daily(1 << 40)).await.unwrap();
    assert!(matches!(unknown, CallBegun::OverBudget(_)), "{unknown:?}");
}

async fn calls_that_nothing_hangs_on_are_noted_together(store: Arc<dyn Store>) {
    let end = |cost| CallEnd { state: CallState::Ok, cost_micros: Some(cost), ..CallEnd::default() };
    let (a, b) = (call("a", 1, Some(60)), call("b", 2, None));
    store.note_calls(&[a.clone(), b.clone()], &[("a".into(), end(5))]).await.unwrap();
    store.note_calls(&[], &[("b".into(), end(7)), ("a".into(), end(99))]).await.unwrap();
    let costs = || async {
        let rows = store.calls("t", "task").await.unwrap();
        Vec::from_iter(rows.into_iter().map(|row| (row.call, row.end.state, row.end.cost_micros)))
    };
    let noted = [(a.clone(), CallState::Ok, Some(5)), (b, CallState::Ok, Some(7))];
    assert_eq!(costs().await, noted, "the second end of a call changed nothing");
    store.note_calls(&[call("c", 3, None), a], &[("c".into(), end(1))]).await.unwrap_err();
    assert_eq!(costs().await, noted, "all or none");
}

async fn limits_hold_under_any_number_at_once(store: Arc<dyn Store>) {
    let racing = (0..40).map(|n| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let begun = store.start_call(call(&format!("c{n}"), n, Some(9)), None, daily(100)).await.unwrap();
            begun == CallBegun::Yes
        })
    });
    let begun = futures::future::join_all(racing).await.into_iter().filter(|begun| *begun.as_ref().unwrap()).count();
    assert_eq!(begun, 11, "11 × 9 ≤ 100 < 12 × 9");
}

/// Replicas by chance: they reserve, charge less, leave, or die; what is charged and still reserved is never above a limit,
/// and is what was granted.
async fn whatever_replicas_reserve_and_charge_stays_within_the_limits(store: Arc<dyn Store>) {
    for seed in 1..=4u64 {
        let mut chance = fleet::Chance(seed);
        let (tenant, limits) = (
            format!("tenant-{seed}"),
            Limits {
                task: Some(chance.below(900)),
                day: Some(chance.below(2500)),
                person_day: Some(chance.below(1800)),
            },
        );
        let replicas = (0..3u64).map(|replica| {
            let (calls, tenant, mut chance) =
                (Calls::new(Arc::clone(&store)), tenant.clone(), fleet::Chance(seed * 100 + replica));
            tokio::spawn(async move {
                let mut granted = 0;
                for n in 0..12 {
                    let (micros, id) = (1 + chance.below(300), format!("{tenant}-{replica}-{n}"));
                    let wanted = Reserve {
                        id: id.clone(),
                        tenant: tenant.clone(),
                        person: ["ann", "bob"][chance.below(2) as usize].into(),
                        task: format!("task-{n}"),
                        budget: ["x", "y"][chance.below(2) as usize].into(),
                        purpose: Purpose::Author,
                        variant: 0,
                        route: "p/m".into(),
                        run: None,
                        now_ms: 0,
                        micros: Some(micros),
                        limits,
                    };
                    match calls.reserve(wanted).await {
                        // It dies in the call.
                        Ok(()) if chance.below(4) == 0 => granted += micros,
                        Ok(()) => {
                            let cost = micros * chance.below(101) / 100;
                            granted += cost;
                            calls.charge(&id, charged(cost));
                            if chance.below(2) == 0 {
                                calls.flush().await;
                            }
                        }
                        Err(LedgerError::Refused(_)) => {}
                        Err(other) => panic!("{other:?}"),
                    }
                }
                calls.flush().await;
                granted
            })
        });
        let granted: u64 = futures::future::join_all(replicas).await.into_iter().map(Result::unwrap).sum();
        let rows = store.spending(Some(&tenant), None, 1).await.unwrap();
        let sum = |person: Option<&str>| -> u64 {
            rows.iter().filter(|row| person.is_none_or(|person| row.person == person)).map(|row| row.micros).sum()
        };
        assert_eq!(sum(None), granted, "seed {seed}");
        assert!(sum(None) <= limits.day.unwrap(), "seed {seed}: {rows:?}");
        assert!(["ann", "bob"].iter().all(|person| sum(Some(person)) <= limits.person_day.unwrap()), "seed {seed}");
    }
}

fn charged(micros: u64) -> Charge {
    Charge {
        usage: Usage { input_tokens: 10, output_tokens: 1, ..Usage::default() },
        micros: Some(micros),
        price: None,
        outcome: "ok".into(),
        now_ms: 0,
        first_token: None,
        response: None,
    }
}

async fn what_was_spent_is_told_by_day_person_and_route(store: Arc<dyn Store>) {
    let end = |state, cost: Option<i64>| CallEnd {
        state,
        cost_micros: cost,
        usage: Some(Usage { input_tokens: 5, output_tokens: 2, ..Usage::default() }),
        ..CallEnd::default()
    };
    for (id, person, route, task) in
        [("a", "ann", "p", "1"), ("b", "ann", "p", "1"), ("c", "ann", "q", "2"), ("d", "bob", "p", "3")]
    {
        let new = NewCall { person: person.into(), route: route.into(), task: task.into(), ..call(id, 1, Some(50)) };
        assert_eq!(store.start_call(new, None, Limits::default()).await.unwrap(), CallBegun::Yes);
    }
    store.finish_call("a", end(CallState::Ok, Some(7))).await.unwrap();
    store.finish_call("b", end(CallState::Failed, Some(3))).await.unwrap();
    store.finish_call("c", end(CallState::Ok, None)).await.unwrap();
    let rows = store.spending(Some("t"), None, 7).await.unwrap();
    let seen: Vec<_> = rows
        .iter()
        .map(|row| (row.person.as_str(), row.route.as_str(), row.calls, row.failed, row.open, row.micros, row.unpriced))
        .collect();
    let expected = [("ann", "p", 2, 1, 0, 10, 0), ("ann", "q", 1, 0, 0, 0, 1), ("bob", "p", 1, 0, 1, 50, 0)];
    assert_eq!(seen, expected);
    assert_eq!((rows[0].usage.input_tokens, rows[0].tasks, rows[0].model.as_str()), (10, 1, "m"));
    assert!(store.spending(Some("u"), None, 7).await.unwrap().is_empty());
    assert_eq!(store.spending(None, None, 1).await.unwrap(), rows, "all of it is today's");
}

/// However much of a list others fill, it is cut after the person was looked for.
async fn one_persons_report_is_whole_among_many(store: Arc<dyn Store>) {
    let names: Vec<String> = (0..=LIST_LIMIT).map(|n| format!("ann-{n:04}")).chain(["zoe".to_owned()]).collect();
    for some in names.chunks(64) {
        let begun = some.iter().map(|name| {
            let new = NewCall { person: name.clone(), ..call(&format!("call of {name}"), 1, Some(7)) };
            store.start_call(new, None, Limits::default())
        });
        for begun in futures::future::join_all(begun).await {
            assert_eq!(begun.unwrap(), CallBegun::Yes);
        }
    }
    assert_eq!(store.spending(Some("t"), None, 7).await.unwrap().len(), LIST_LIMIT);
    let hers = store.spending(Some("t"), Some("zoe"), 7).await.unwrap();
    let seen: Vec<_> = hers.iter().map(|row| (row.person.as_str(), row.calls, row.micros)).collect();
    assert_eq!(seen, [("zoe", 1, 7)]);
    assert_eq!(store.spending(None, Some("zoe"), 7).await.unwrap(), hers);
    assert_eq!(store.spending(Some("u"), Some("zoe"), 7).await.unwrap(), []);
}

async fn what_nobody_charged_is_open_until_somebody_says_what_it_was(store: Arc<dyn Store>) {
    accept(&*store, "a").await;
    let run = claim_one(&*store, SHORT).await;
    for (id, fence) in [("a", Some(run.fence.clone())), ("b", None), ("talk", None)] {
        let task = if fence.is_some() { "t-a" } else { "task" };
        let new = NewCall { task: task.into(), ..call(id, 1, Some(60)) };
        assert_eq!(store.start_call(new, fence, Limits::default()).await.unwrap(), CallBegun::Yes);
    }
    store.finish_call("b", CallEnd { state: CallState::Ok, cost_micros: Some(1), ..CallEnd::default() }).await.unwrap();
    let open =
        async || -> Vec<String> { store.open_calls().await.unwrap().into_iter().map(|row| row.call.id).collect() };
    assert_eq!(open().await, ["a", "talk"]);
    let charge = async |id: &str, micros: u64| store.reconcile(id, micros).await.unwrap();
    assert_eq!(charge("b", 5).await, Reconciled::NotOpen);
    assert_eq!(charge("nobody", 5).await, Reconciled::NotOpen);
    // Of a conversation nobody can tell before it must be over.
    assert_eq!((charge("a", 5).await, charge("talk", 5).await), (Reconciled::UnderWay, Reconciled::UnderWay));
    tokio::time::sleep(SHORT * 2).await;
    store.sweep(&burial()).await.unwrap();
    // It runs anew, which is another call.
    claim_one(&*store, LONG).await;
    assert_eq!((charge("a", 5).await, charge("a", 6).await), (Reconciled::Yes, Reconciled::NotOpen));
    store
        .finish_call("a", CallEnd { state: CallState::Ok, cost_micros: Some(99), ..CallEnd::default() })
        .await
        .unwrap();
    let rows = store.calls("t", "t-a").await.unwrap();
    assert_eq!(rows[0].end.cost_micros, Some(5), "a late word changes nothing any more");
    assert_eq!(open().await, ["talk"]);
    // What was refused is still its own to say.
    store
        .finish_call("talk", CallEnd { state: CallState::Ok, cost_micros: Some(9), ..CallEnd::default() })
        .await
        .unwrap();
    let cost = store.calls("t", "task").await.unwrap().into_iter().find(|row| row.call.id == "talk").unwrap();
    assert_eq!(cost.end.cost_micros, Some(9));
}

async fn the_switch_is_everybodys_and_who_turned_it_is_known(store: Arc<dyn Store>) {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<String>>();
    assert_eq!(store.switched_off().await.unwrap(), set(&[]));
    let racing = ["a", "b", "c"].map(|name| store.switch(Turn::Off(set(&[name])), "token:k1"));
    for turned in futures::future::join_all(racing).await {
        turned.unwrap();
    }
    assert_eq!(store.switched_off().await.unwrap(), set(&["a", "b", "c"]), "nobody's turn is lost");
    let on = Turn::On { names: set(&["a"]), known: set(&["a", "b", "c", "d"]) };
    assert_eq!(store.switch(on, "token:k2").await.unwrap(), set(&["b", "c"]));
    let deeds = store.deeds(10).await.unwrap();
    assert_eq!(deeds.len(), 4);
    assert_eq!(
        (deeds[0].who.as_str(), deeds[0].what.as_str(), deeds[0].detail.as_str()),
        ("token:k2", "switch", "off: b, c")
    );
    assert_eq!(store.deeds(1).await.unwrap().len(), 1);
}

async fn a_secret_is_made_once(store: Arc<dyn Store>) {
    let racing = (0..8).map(|n| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.secret("answers", &format!("secret-{n}")).await.unwrap() })
    });
    let all: BTreeSet<String> = futures::future::join_all(racing).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(all.len(), 1);
    assert_eq!(store.secret("other", "x").await.unwrap(), "x");
}

async fn the_gates_word_is_of_answered_tasks(store: Arc<dyn Store>) {
    accept(&*store, "a").await;
    assert!(!store.judge("t", "t-a", true).await.unwrap(), "there is no answer yet");
    let run = claim_one(&*store, LONG).await;
    store.finish(&run.fence, End::Done("{}".into())).await.unwrap();
    assert_eq!(store.verdict("t-a").await.unwrap(), None);
    assert!(!store.judge("u", "t-a", true).await.unwrap(), "another tenant's");
    assert!(store.judge("t", "t-a", true).await.unwrap());
    assert_eq!(store.verdict("t-a").await.unwrap(), Some(true));
    assert!(store.judge("t", "t-a", false).await.unwrap(), "a later word replaces it");
    assert_eq!((store.verdict("t-a").await.unwrap(), store.verdict("x").await.unwrap()), (Some(false), None));
}

async fn locks_are_leases_with_rising_fences(store: Arc<dyn Store>) {
    let lock = |path: &str, holder: &str, ttl| NewLock {
        tenant: "t".into(),
        project: "p".into(),
        path: path.into(),
        holder: holder.into(),
        token: format!("secret of {holder}"),
        ttl,
    };
    let held = |locking| match locking {
        Locking::Held(row) => row,
        other => panic!("{other:?}"),
    };
    let first = held(store.lock(lock("a", "ann", LONG), 9).await.unwrap());
    let renewed = held(store.lock(lock("a", "ann", LONG), 9).await.unwrap());
    assert_eq!(first.fence, renewed.fence, "a renewal is the same lock");
    let refused = store.lock(lock("a", "bob", LONG), 9).await.unwrap();
    assert!(matches!(&refused, Locking::Refused(row) if row.holder == "ann" && row.left > SHORT), "{refused:?}");
    assert!(!store.unlock("t", "p", "a", Some("secret of bob")).await.unwrap());
    assert!(!store.unlock("u", "p", "a", None).await.unwrap(), "another tenant's");
    assert!(store.unlock("t", "p", "a", Some("secret of ann")).await.unwrap());
    let second = held(store.lock(lock("a", "bob", SHORT), 9).await.unwrap());
    assert!(second.fence > first.fence);
    tokio::time::sleep(SHORT * 2).await;
    assert!(store.locks("t", "p").await.unwrap().is_empty(), "it ended by itself");
    let third = held(store.lock(lock("a", "ann", LONG), 9).await.unwrap());
    assert!(third.fence > second.fence);
    held(store.lock(lock("b", "ann", LONG), 2).await.unwrap());
    assert_eq!(store.lock(lock("c", "ann", LONG), 2).await.unwrap(), Locking::TooMany);
    let paths: Vec<String> = store.locks("t", "p").await.unwrap().into_iter().map(|row| row.path).collect();
    assert_eq!(paths, ["a", "b"]);
    assert!(store.locks("t", "q").await.unwrap().is_empty());
    assert!(store.unlock("t", "p", "a", None).await.unwrap(), "by force");
}

async fn tokens_are_kept_by_their_digest_and_end(store: Arc<dyn Store>) {
    let token = |id: &str, lifetime| NewToken {
        id: id.into(),
        tenant: "t".into(),
        sha256: format!("digest of {id}"),
        scopes: "tasks metrics".into(),
        person: Person { name: id.into(), micros_per_day: Some(9) },
        rate: Some(3),
        lifetime,
    };
    store.add_token(token("a", None)).await.unwrap();
    store.add_token(token("b", Some(SHORT))).await.unwrap();
    assert!(store.add_token(token("a", None)).await.is_err(), "ids are theirs alone");
    tokio::time::sleep(SHORT * 2).await;
    let ended = |rows: Vec<krins_backend::store::TokenRow>| -> BTreeMap<String, bool> {
        rows.into_iter().map(|row| (row.id, row.expired)).collect()
    };
    let rows = store.tokens().await.unwrap();
    assert_eq!(rows[0].left, None);
    assert_eq!((rows[0].person.clone(), rows[0].rate), (Person { name: "a".into(), micros_per_day: Some(9) }, Some(3)));
    assert_eq!(ended(rows), BTreeMap::from([("a".into(), false), ("b".into(), true)]));
    assert!(store.end_token("b", LONG).await.unwrap());
    assert!(ended(store.tokens().await.unwrap())["b"], "an end is not put off");
    assert!(store.end_token("a", Duration::ZERO).await.unwrap());
    assert!(ended(store.tokens().await.unwrap())["a"]);
    assert!(!store.end_token("nobody", LONG).await.unwrap());
}

async fn only_ended_tasks_are_purged(store: Arc<dyn Store>) {
    for key in ["a", "b"] {
        accept(&*store, key).await;
    }
    store.cancel("t", "t-a").await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(store.purge(LONG).await.unwrap(), 0);
    assert_eq!(store.purge(Duration::ZERO).await.unwrap(), 1);
    assert_eq!(store.get("t", "t-a").await.unwrap(), None);
    assert!(store.history("t", "t-a").await.unwrap().is_empty());
    assert!(store.get("t", "t-b").await.unwrap().is_some());
    store.ping().await.unwrap();
}

/// Workers that die at random: each task ends once, whoever ran it.
async fn many_workers_end_every_task_once(store: Arc<dyn Store>) {
    const TASKS: usize = 60;
    for n in 0..TASKS {
        accept(&*store, &format!("{n:03}")).await;
    }
    let patient = Burial { crashes: 1000, ..burial() };
    let until = Instant::now() + Duration::from_secs(40);
    let workers = (0..6u64).map(|worker| {
        let (store, patient) = (Arc::clone(&store), patient.clone());
        tokio::spawn(async move {
            let mut ended = 0;
            let mut chance = worker * 7919 + 1;
            while Instant::now() < until {
                let claimed = store.claim(&format!("w{worker}"), 2, SHORT).await.unwrap();
                for task in claimed.tasks {
                    chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    match (chance >> 33) % 5 {
                        // It dies.
                        0 => continue,
                        // It sleeps too long, and comes back.
                        1 => tokio::time::sleep(SHORT * 2).await,
                        _ => {}
                    }
                    ended += usize::from(store.finish(&task.fence, End::Done("{}".into())).await.unwrap().is_some());
                }
                store.sweep(&patient).await.unwrap();
                let stats = store.stats(None).await.unwrap();
                if stats.queued + stats.running == 0 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            ended
        })
    });
    let ended: usize = futures::future::join_all(workers).await.into_iter().map(Result::unwrap).sum();
    assert_eq!(ended, TASKS, "as many acknowledged ends as tasks");
    for n in 0..TASKS {
        let words = words(&*store, &format!("t-{n:03}")).await;
        assert_eq!(words.iter().filter(|word| *word == "done").count(), 1, "{words:?}");
        assert_eq!(words.last().map(String::as_str), Some("done"));
    }
}

#[tokio::test]
async fn replicas_that_start_together_make_the_tables_once() {
    let Some(server) = Server::shared() else { return };
    let address = server.database();
    let opened = futures::future::join_all((0..6).map(|_| Postgres::open(&address, None, None))).await;
    assert!(opened.iter().all(Result::is_ok), "{opened:?}");
    let steps = server.sql(postgres::name_of(&address), "SELECT count(*), count(DISTINCT version) FROM krins_schema");
    let steps = steps.unwrap();
    let (rows, versions) = steps.split_once('|').unwrap();
    assert_eq!(rows, versions);
    server.sql(postgres::name_of(&address), "INSERT INTO krins_schema VALUES (999, 999)").unwrap();
    assert!(matches!(Postgres::open(&address, None, None).await, Err(StoreError::Newer { found: 999, .. })));
}

#[tokio::test]
async fn locks_of_before_are_given_back_after_an_upgrade() {
    let Some(server) = Server::shared() else { return };
    let address = server.database();
    drop(open(&address).await);
    let now = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";
    let of_before = format!(
        "DELETE FROM krins_schema WHERE version > 4; INSERT INTO path_lock VALUES \
         ('t', 'p', 'held', 'ann', 'secret of ä', 7, {now} + 60000), ('t', 'p', 'ended', 'ann', 'secret', 6, {now} - 1)"
    );
    server.sql(postgres::name_of(&address), &of_before).unwrap();
    let store = open(&address).await;
    let paths = server.sql(postgres::name_of(&address), "SELECT path FROM path_lock WHERE token NOT LIKE '%secret%'");
    assert_eq!(paths.as_deref(), Ok("held"), "a digest stands there, and what had ended is gone");
    assert!(!store.unlock("t", "p", "held", Some("secret of bob")).await.unwrap());
    assert!(store.unlock("t", "p", "held", Some("secret of ä")).await.unwrap());
}

#[tokio::test]
async fn hints_reach_other_replicas_and_come_back_after_the_connection_is_lost() {
    let Some(server) = Server::shared() else { return };
    let address = server.database();
    let (one, other) = (open(&address).await, open(&address).await);
    let mut hints = other.hints().unwrap();
    for broken in [false, true] {
        if broken {
            let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                        WHERE datname = current_database() AND pid <> pg_backend_pid()";
            server.sql(postgres::name_of(&address), kill).unwrap();
        }
        let until = Instant::now() + Duration::from_secs(20);
        // Nobody says when the listener is there, so it is said until it is heard.
        loop {
            let _ = one.publish(&[Hint::Task("x".into())]).await;
            let heard = tokio::time::timeout(Duration::from_millis(100), hints.recv()).await;
            if heard.is_ok_and(|hint| hint == Some(Hint::Task("x".into()))) {
                break;
            }
            assert!(Instant::now() < until, "no hint (broken: {broken})");
        }
        while tokio::time::timeout(Duration::from_millis(300), hints.recv()).await.is_ok() {}
    }
    one.ping().await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_with_an_address_is_said_without_the_address() {
    let secret = Server::password();
    let nobody = postgres::free_port();
    let mut addresses = vec![
        format!("postgres://krins:{secret}@127.0.0.1:{nobody}/x"),
        format!("postgres://krins:{secret}@[::/x"),
        format!("postgres://krins:{secret}@"),
    ];
    if let Some(server) = Server::shared() {
        addresses.push(server.database().replace(secret, &format!("{secret}-wrong")));
        addresses.push(format!("{}-that-is-not-there", server.database()));
    }
    for address in addresses {
        let error = Postgres::open(&address, None, None).await.unwrap_err();
        let mut said = format!("{error} {error:?}");
        let mut cause = std::error::Error::source(&error);
        while let Some(next) = cause {
            said += &next.to_string();
            cause = next.source();
        }
        assert!(!said.contains(secret), "{said}");
    }
}

#[tokio::test]
async fn redis_shares_counts_hints_and_a_cache_and_may_die() {
    let Some(server) = Redis::start() else { return };
    let port = server.port();
    let (one, other) = (SharedRedis::new(&server.address()).unwrap(), SharedRedis::new(&server.address()).unwrap());
    assert!(one.ping().await);
    for expected in 1..=3 {
        let (count, left) = other.count("caller", LONG).await.unwrap();
        assert_eq!(count, expected);
        assert!(left > Duration::from_secs(50), "{left:?}");
    }
    one.put("k", b"\x00value", LONG).await;
    assert_eq!(other.get("k").await.as_deref(), Some(&b"\x00value"[..]));
    other.remove("k").await;
    assert_eq!(one.get("k").await, None);
    let mut messages = other.listen();
    let hear = async |messages: &mut tokio::sync::mpsc::Receiver<String>| {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            one.publish("hello").await;
            let heard = tokio::time::timeout(Duration::from_millis(100), messages.recv()).await;
            if heard.is_ok_and(|heard| heard.as_deref() == Some("hello")) {
                return;
            }
            assert!(Instant::now() < until, "nothing heard");
        }
    };
    hear(&mut messages).await;
    drop(server);
    let began = Instant::now();
    for _ in 0..50 {
        assert_eq!(one.get("k").await, None);
        assert_eq!(one.count("caller", LONG).await, None);
    }
    assert!(began.elapsed() < Duration::from_secs(3), "a dead one is left alone: {:?}", began.elapsed());
    let _again = Redis::start_at(port);
    hear(&mut messages).await;
    assert_eq!(one.count("caller", LONG).await.map(|(count, _)| count), Some(1), "it is used again");
}

// The real program, several of it.

fn postgres_fleet_address() -> Option<(Arc<Server>, Database)> {
    let server = Server::shared()?;
    let database = Database::Postgres(server.database());
    Some((server, database))
}

const PACE: Duration = Duration::from_millis(4);

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_nothing_acknowledged_is_lost_or_ends_twice() {
    let directory = tempfile::tempdir().unwrap();
    let fleet = Fleet::new(Database::Sqlite(directory.path().join("tasks.db")), PACE).await;
    let books = fleet::crash(&fleet, Victim::Only, 8, 7).await;
    assert!(books.are_good() && books.done > 0, "{books:?}");
    let Some((_server, database)) = postgres_fleet_address() else { return };
    let fleet = Fleet::new(database, PACE).await;
    let books = fleet::crash(&fleet, Victim::InTurn, 8, 7).await;
    assert!(books.are_good() && books.done > 0, "{books:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_of_which_one_is_killed_again_and_again_end_every_task_once() {
    let Some((_server, database)) = postgres_fleet_address() else { return };
    let fleet = Fleet::new(database, PACE).await;
    let load = fleet::load(&fleet, 3, 150, Some(Duration::from_millis(700))).await;
    assert!(load.books.are_good() && load.tasks == 150, "{load:?}");
}

/// Until the task is in the state.
async fn until(to: SocketAddr, id: &str, state: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let (_, task) = fleet::ask(to, "GET", &format!("/tasks/{id}"), None, None).await.expect("the replica answers");
        if task["state"] == state {
            return task;
        }
        assert!(Instant::now() < deadline, "still {task}, not {state}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_takes_its_replica_down_twice_is_dead_until_somebody_puts_it_back() {
    let Some((_server, database)) = postgres_fleet_address() else { return };
    let fleet = Fleet::new(database, PACE).await;
    fleet.provider.behave(Behaviour::new(Scenario::Silent));
    let front = fleet.start(&["--workers", "0", "--lease", "1"]);
    let id = fleet::submit(front.address, "poison").await.unwrap();
    for asked in 1..=2 {
        let back = fleet.start(&["--lease", "1", "--name", "the-same-name"]);
        until(front.address, &id, "running").await;
        // Of the replica before it the task may still be said to be running.
        let deadline = Instant::now() + Duration::from_secs(20);
        while fleet.provider.attempts().len() < asked {
            assert!(Instant::now() < deadline, "the provider is asked");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        back.kill();
    }
    let task = until(front.address, &id, "failed").await;
    assert_eq!(task["error"]["kind"], "Internal", "{task}");
    let (_, letters) = fleet::ask(front.address, "GET", "/dead", None, None).await.unwrap();
    let letter = &letters["dead"][0];
    assert_eq!((&letter["id"], &letter["crashes"]), (&json!(id), &json!(2)));
    assert!(letter["reason"].as_str().unwrap().contains("the-same-name"), "{letter}");
    let asked = fleet.provider.attempts().len();
    let _back = fleet.start(&["--lease", "1", "--name", "the-same-name"]);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(fleet.provider.attempts().len(), asked, "it is not run a third time");
    fleet.provider.behave(Behaviour::new(Scenario::Ok));
    let requeue = format!("/dead/{id}/requeue");
    let (status, task) = fleet::ask(front.address, "POST", &requeue, None, None).await.unwrap();
    assert_eq!((status, &task["state"]), (200, &json!("queued")));
    until(front.address, &id, "done").await;
    let (status, problem) = fleet::ask(front.address, "POST", &requeue, None, None).await.unwrap();
    assert_eq!((status, &problem["kind"]), (409, &json!("Conflict")));
    let (_, stats) = fleet::ask(front.address, "GET", "/queue/stats", None, None).await.unwrap();
    assert_eq!((&stats["dead"], &stats["queued"], &stats["workers"]), (&json!(0), &json!(0), &json!(0)));
}

/// A replica that is stopped loses its tasks, and when it wakes up it changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_stopped_and_wakes_up_changes_nothing() {
    let Some((_server, database)) = postgres_fleet_address() else { return };
    let fleet = Fleet::new(database, Duration::from_millis(60)).await;
    let zombie = fleet.start(&["--lease", "1"]);
    let front = fleet.start(&["--workers", "0", "--lease", "1"]);
    let id = fleet::submit(front.address, "slow").await.unwrap();
    until(front.address, &id, "running").await;
    zombie.signal("STOP");
    let _successor = fleet.start(&["--lease", "1"]);
    let done = until(front.address, &id, "done").await;
    zombie.signal("CONT");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(until(front.address, &id, "done").await, done);
    let (_, seen) = fleet::ask(zombie.address, "GET", &format!("/tasks/{id}"), None, None).await.unwrap();
    assert_eq!(seen, done, "it knows, too");
    let books = fleet::check(&fleet.database, &BTreeMap::from([("slow".to_owned(), id)])).await;
    assert!(books.are_good(), "{books:?}");
}

/// A replica whose clock is an hour ahead neither takes others' leases for ended nor its own for endless.
#[tokio::test(flavor = "multi_thread")]
async fn the_databases_clock_decides() {
    if !debian::runs("faketime") {
        debian::install(&["faketime"]);
    }
    if !debian::runs("faketime") {
        return debian::say("faketime is missing and could not be installed: the clock is not skewed");
    }
    let Some((_server, database)) = postgres_fleet_address() else { return };
    let fleet = Fleet::new(database, Duration::from_millis(60)).await;
    let ahead = ["env", "FAKETIME_DONT_FAKE_MONOTONIC=1", "DONT_FAKE_MONOTONIC=1", "faketime", "-f", "+1h"];
    let worker = fleet.start(&["--lease", "2"]);
    let id = fleet::submit(worker.address, "slow").await.unwrap();
    until(worker.address, &id, "running").await;
    let skewed = fleet.start_under(&ahead, &["--lease", "2"]);
    until(skewed.address, &id, "done").await;
    let history = fleet.database.open().await.history("", &id).await.unwrap();
    let words: Vec<&str> = history.iter().map(|event| event.what.as_str()).collect();
    assert_eq!(words, ["accepted", "started", "done"], "nobody took it over");
    drop(worker);
    let second = fleet::submit(skewed.address, "second").await.unwrap();
    until(skewed.address, &second, "done").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_replica_shows_follows_and_cancels_what_another_runs() {
    let redis = Redis::start();
    for redis in [None, redis] {
        let Some((_server, database)) = postgres_fleet_address() else { return };
        let fleet = Fleet::new(database, Duration::from_millis(100)).await;
        let address = redis.as_ref().map(Redis::address);
        let more: Vec<&str> = address.iter().flat_map(|address| ["--redis", address]).collect();
        let front = fleet.start(&[&["--workers", "0"], &more[..]].concat());
        let _back = fleet.start(&more);
        for path in ["/tasks/%00", "/tasks/%00/events", "/tasks/no-such-task"] {
            let (status, problem) = fleet::ask(front.address, "GET", path, None, None).await.unwrap();
            assert_eq!((status, &problem["kind"]), (404, &json!("UnknownTask")), "{path}");
        }
        let id = fleet::submit(front.address, "followed").await.unwrap();
        let path = format!("/tasks/{id}/events");
        let (answer, mut body) = raw_http::open(front.address, "GET", &path, &[], b"").await;
        assert_eq!(answer.status, 200);
        let mut seen = Vec::new();
        while let Some(event) = body.event().await {
            seen.push(event);
        }
        let all = seen.concat();
        for word in
            ["event: progress", "event: step", "\"kind\":\"sent\"", "\"route\":\"mine/m\"", "event: end", "\"done\""]
        {
            assert!(all.contains(word), "no {word} in {all}");
        }
        let ids: Vec<u64> =
            all.lines().filter_map(|line| line.strip_prefix("id:")).map(|id| id.trim().parse().unwrap()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");

        fleet.provider.behave(Behaviour::new(Scenario::Silent));
        let id = fleet::submit(front.address, "cancelled").await.unwrap();
        until(front.address, &id, "running").await;
        let deadline = Instant::now() + Duration::from_secs(10);
        while fleet.provider.attempts().len() < 2 {
            assert!(Instant::now() < deadline, "the provider is asked");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let began = Instant::now();
        let (status, task) = fleet::ask(front.address, "DELETE", &format!("/tasks/{id}"), None, None).await.unwrap();
        assert_eq!((status, &task["state"]), (200, &json!("cancelled")));
        assert!(fleet.provider.someone_left(Duration::from_secs(5)).await, "the provider's connection is closed");
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    }
}

/// As a fleet is replaced: the old replica ends what it runs or puts it back, the new one goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_asked_to_end_hands_over() {
    let Some((_server, database)) = postgres_fleet_address() else { return };
    let fleet = Fleet::new(database, PACE).await;
    fleet.provider.behave(Behaviour::new(Scenario::Silent));
    let mut blue = fleet.start(&["--grace", "0"]);
    let id = fleet::submit(blue.address, "handed-over").await.unwrap();
    until(blue.address, &id, "running").await;
    let green = fleet.start(&["--workers", "1"]);
    fleet.provider.behave(Behaviour::new(Scenario::Ok));
    let began = Instant::now();
    blue.signal("TERM");
    assert!(blue.ended_within(Duration::from_secs(10)));
    until(green.address, &id, "done").await;
    assert!(began.elapsed() < Duration::from_secs(12), "without waiting for the lease: {:?}", began.elapsed());
    let history = fleet.database.open().await.history("", &id).await.unwrap();
    let words: Vec<&str> = history.iter().map(|event| event.what.as_str()).collect();
    assert_eq!(words, ["accepted", "started", "released", "started", "done"]);
}

/// Settings of a fleet whose model has a price and whose day has a limit.
const PRICED: &str = "prices = [\"mine * 2025-01-01 0 0 1000\"]\n";

/// Two replicas over one database, both under load: together they never pass the limit of the day, each call is a row with
/// its cost, and what a task and a person spent can be asked of either.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_never_spend_more_than_the_limit_together() {
    let Some((_server, database)) = postgres_fleet_address() else { return };
    // Each call reserves 1,000,000 for an answer of 1,000 tokens, and costs 42,000.
    let limit = 2_500_000u64;
    let settings = format!("{PRICED}budget.micros_per_day = {limit}\n");
    let fleet = Fleet::with_settings(database, PACE, &settings).await;
    let replicas = [fleet.start(&[]), fleet.start(&[])];
    let store = fleet.database.open().await;
    let stop = tokio_util::sync::CancellationToken::new();
    let watching = tokio::spawn({
        let (store, stop) = (Arc::clone(&store), stop.clone());
        async move {
            let mut most = 0;
            while !stop.is_cancelled() {
                let now: u64 = store.spending(None, None, 1).await.unwrap().iter().map(|row| row.micros).sum();
                most = most.max(now);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            most
        }
    });
    let asks = (0..48).map(|n| {
        let to = replicas[n % 2].address;
        async move { (to, fleet::submit(to, &format!("paid-{n}")).await.expect("it is taken in")) }
    });
    let ids = futures::future::join_all(asks).await;
    assert!(fleet::settled(&fleet.database, Duration::from_secs(60)).await);
    stop.cancel();
    let most = watching.await.unwrap();
    assert!(most > 0 && most <= limit, "{most} of {limit}");
    let (mut done, mut refused) = (0, 0);
    for (to, id) in &ids {
        // Of the other replica.
        let other = replicas.iter().map(|replica| replica.address).find(|address| address != to).unwrap();
        let (_, task) = fleet::ask(other, "GET", &format!("/tasks/{id}"), None, None).await.unwrap();
        match task["state"].as_str() {
            Some("done") => {
                done += 1;
                assert_eq!(task["spent"]["calls"], 1, "{task}");
                assert_eq!(task["spent"]["cost"], task["answer"]["cost"], "{task}");
                assert!(task["spent"]["cost"].as_u64().unwrap() > 0 && task["spent"]["open"] == 0, "{task}");
            }
            _ => {
                refused += 1;
                assert_eq!(task["error"]["kind"], "BudgetExceeded", "{task}");
                assert!(task["error"]["hint"].as_str().unwrap().contains("narrow the scope"), "{task}");
                assert!(task["spent"].is_null(), "nothing was sent: {task}");
            }
        }
    }
    assert!(done >= 2 && refused > 0, "{done} done, {refused} refused");
    assert_eq!(fleet.provider.attempts().len(), done, "the provider was asked for what was paid only");
    let (status, report) = fleet::ask(replicas[0].address, "GET", "/reports/weekly", None, None).await.unwrap();
    let charged: u64 = store.spending(None, None, 1).await.unwrap().iter().map(|row| row.micros).sum();
    assert_eq!((status, &report["total"]["cost"], &report["total"]["calls"]), (200, &json!(charged), &json!(done)));
    assert_eq!(report["rows"][0]["route"], "mine/m", "{report}");
}

/// A replica that dies in a call leaves its reservation standing, for the others too, until somebody says what it was.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_replica_reserved_stays_charged_for_all() {
    let Some((_server, database)) = postgres_fleet_address() else { return };
    let settings = format!("{PRICED}budget.micros_per_day = 1500000\n");
    let fleet = Fleet::with_settings(database, PACE, &settings).await;
    fleet.provider.behave(Behaviour::new(Scenario::Silent));
    let dying = fleet.start(&["--lease", "3600"]);
    let lost = fleet::submit(dying.address, "lost").await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while fleet.provider.attempts().is_empty() {
        assert!(Instant::now() < deadline, "the provider is asked");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (_, open) = fleet::ask(dying.address, "GET", "/reports/open", None, None).await.unwrap();
    let path = format!("/reports/open/{}", open["open"][0]["id"].as_str().unwrap());
    let charge = json!({"micros": 7});
    let (status, problem) = fleet::ask(dying.address, "POST", &path, None, Some(&charge)).await.unwrap();
    assert_eq!((status, &problem["kind"]), (409, &json!("Conflict")), "it is under way: {problem}");
    dying.kill();
    fleet.provider.behave(Behaviour::new(Scenario::Ok));
    let alive = fleet.start(&[]);
    let id = fleet::submit(alive.address, "next").await.unwrap();
    assert_eq!(until(alive.address, &id, "failed").await["error"]["kind"], "BudgetExceeded");
    let (_, open) = fleet::ask(alive.address, "GET", "/reports/open", None, None).await.unwrap();
    let call = &open["open"][0];
    assert_eq!(call["reserved"], 1_000_000, "{open}");
    assert_eq!(path, format!("/reports/open/{}", call["id"].as_str().unwrap()));
    let (status, problem) = fleet::ask(alive.address, "POST", &path, None, Some(&charge)).await.unwrap();
    assert_eq!(status, 409, "nobody knows yet that it is dead: {problem}");
    assert!(problem["hint"].as_str().unwrap().contains("lease"), "{problem}");
    let (status, _) = fleet::ask(alive.address, "DELETE", &format!("/tasks/{lost}"), None, None).await.unwrap();
    assert_eq!(status, 200);
    let (status, _) = fleet::ask(alive.address, "POST", &path, None, Some(&charge)).await.unwrap();
    assert_eq!(status, 204);
    let (status, _) = fleet::ask(alive.address, "POST", &path, None, Some(&charge)).await.unwrap();
    assert_eq!(status, 404, "once");
    let id = fleet::submit(alive.address, "after").await.unwrap();
    until(alive.address, &id, "done").await;
}

/// One turn of the switch is every replica's, also for calls that are under way, and says who did it.
#[tokio::test(flavor = "multi_thread")]
async fn the_kill_switch_of_one_replica_is_that_of_all() {
    let Some((_server, database)) = postgres_fleet_address() else { return };
    let fleet = Fleet::new(database, PACE).await;
    fleet.provider.behave(Behaviour::new(Scenario::Silent));
    let (front, back) = (fleet.start(&["--workers", "0"]), fleet.start(&[]));
    let id = fleet::submit(front.address, "under-way").await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while fleet.provider.attempts().is_empty() {
        assert!(Instant::now() < deadline, "the provider is asked");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let switch = async |to: &str, providers: &[&str]| {
        let body = json!({"to": to, "providers": providers});
        fleet::ask(front.address, "POST", "/admin/switch", None, Some(&body)).await.unwrap()
    };
    let (status, problem) = switch("off", &["nobody"]).await;
    assert_eq!((status, &problem["kind"]), (400, &json!("BadParams")), "{problem}");
    let (status, state) = switch("off", &["mine"]).await;
    assert_eq!((status, &state["off"]), (200, &json!(["mine"])), "{state}");
    assert_eq!((&state["changes"][0]["who"], &state["changes"][0]["detail"]), (&json!("local"), &json!("off: mine")));
    assert!(fleet.provider.someone_left(Duration::from_secs(10)).await, "the call under way is ended");
    let failed = until(front.address, &id, "failed").await;
    assert!(failed["error"]["message"].as_str().unwrap().contains("switched off"), "{failed}");
    let (_, seen) = fleet::ask(back.address, "GET", "/admin/switch", None, None).await.unwrap();
    assert_eq!(seen["off"], json!(["mine"]));
    // A replica that starts now knows, too.
    drop(back);
    let fresh = fleet.start(&[]);
    fleet.provider.behave(Behaviour::new(Scenario::Ok));
    let asked = fleet.provider.attempts().len();
    let id = fleet::submit(fresh.address, "off").await.unwrap();
    until(front.address, &id, "failed").await;
    assert_eq!(fleet.provider.attempts().len(), asked);
    assert_eq!(switch("on", &[]).await.1["off"], json!([]));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let id = fleet::submit(fresh.address, "on").await.unwrap();
    until(front.address, &id, "done").await;
}

/// An answer that the gate passed is given by every replica; what it did not pass, by none; and without Redis each has its own.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_what_the_gate_passed_and_nothing_of_it_can_be_read_or_forged() {
    let Some((_server, database)) = postgres_fleet_address() else { return };
    let Some(redis) = Redis::start() else { return };
    let fleet = Fleet::with_settings(database, PACE, "cache.capacity = 64\n").await;
    let words = ["--redis", &redis.address()];
    let (one, other) = (fleet.start(&words), fleet.start(&words));
    let ask = async |to: SocketAddr, key: &str| {
        let mut payload = fleet::payload("the same words with a secret-of-ours");
        payload["fresh"] = json!(false);
        let (_, task) = fleet::ask(to, "POST", "/tasks", Some(key), Some(&payload)).await.unwrap();
        let id = task["id"].as_str().unwrap().to_owned();
        let done = until(to, &id, "done").await;
        (id, done["answer"]["cached"] == true)
    };
    let judged = async |to: SocketAddr, id: &str, value: u8| {
        let body = json!({"task": id, "source": "gate", "value": value});
        fleet::ask(to, "POST", "/router/record", None, Some(&body)).await.unwrap().0
    };
    let client = SharedRedis::new(&redis.address()).unwrap();
    let (first, cached) = ask(one.address, "1").await;
    assert!(!cached);
    assert_eq!(redis.keys("krins:1:cache:*"), Vec::<String>::new(), "what nobody judged is in no shared cache");
    // The word comes to the replica that did not ask.
    assert_eq!(judged(other.address, &first, 1).await, 204);
    let deadline = Instant::now() + Duration::from_secs(10);
    while redis.keys("krins:1:cache:*").is_empty() {
        assert!(Instant::now() < deadline, "the answer is kept");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(ask(other.address, "2").await.1, "the other one gives it");
    assert_eq!(fleet.provider.attempts().len(), 1);
    let name = redis.keys("krins:1:cache:*").remove(0);
    let value = client.get(name.trim_start_matches("krins:1:cache:")).await.unwrap();
    let text = String::from_utf8_lossy(&value);
    assert!(!text.contains("export") && !text.contains("secret-of-ours") && !text.contains("mine"), "{text}");
    // Whoever writes to Redis can make it useless, and no more.
    let forged = "{\"text\":\"evil\",\"provider\":\"mine\",\"model\":\"m\"}";
    let name = name.trim_start_matches("krins:1:cache:");
    while client.get(name).await.as_deref() != Some(forged.as_bytes()) {
        assert!(Instant::now() < deadline + LONG, "Redis takes it");
        client.put(name, forged.as_bytes(), LONG).await;
    }
    let third = fleet.start(&words);
    let (again, cached) = ask(third.address, "3").await;
    assert!(!cached, "it asks anew");
    assert_eq!(judged(third.address, &again, 0).await, 204);
    assert_eq!(fleet.provider.attempts().len(), 2);
    // Without Redis all goes on, each with what it has itself.
    drop(redis);
    let (last, _) = ask(third.address, "4").await;
    assert_eq!(judged(third.address, &last, 1).await, 204);
    assert!(ask(third.address, "5").await.1);
    assert_eq!(fleet.provider.attempts().len(), 3);
}

/// A log of so many records, each with what it is about.
fn audit(records: u64, salt: u8) -> Vec<AuditEntry> {
    let mut head = Head::default();
    let next = |seq: u64| {
        let body = format!("{{\"task\":\"t-{seq}\",\"who\":\"@ann\"}}");
        let commit = commitment(&[salt; 32], body.as_bytes());
        let record = Record::next(&head, 1_000 + seq, "task.gated", "i1", commit).unwrap();
        head = record.head();
        let salt = Digest::from_bytes([salt; 32]).to_string();
        AuditEntry { line: record.line().trim_end().to_owned(), about: Some((salt, body)) }
    };
    (1..=records).map(next).collect()
}

fn kept(appended: Appended) -> u64 {
    match appended {
        Appended::Kept(head) => head.seq,
        other => panic!("{other:?}"),
    }
}

async fn an_audit_grows_by_what_hangs_on_it_and_by_nothing_else(store: Arc<dyn Store>) {
    let (all, other) = (audit(9, 1), audit(9, 2));
    let take = async |entries: &[AuditEntry]| store.audit_append("a", "log", entries.to_vec()).await.unwrap();
    assert_eq!(take(&all[2..3]).await, Appended::Gap(Head::default()));
    assert_eq!(kept(take(&all[..4]).await), 4);
    for again in [&all[..4], &all[1..3], &all[3..4], &all[..0]] {
        assert_eq!(kept(take(again).await), 4, "the same again changes nothing");
    }
    assert!(matches!(take(&all[5..]).await, Appended::Gap(head) if head.seq == 4));
    assert_eq!(take(&other[3..5]).await, Appended::Fork(4));
    assert_eq!(take(&other[4..5]).await, Appended::Fork(5), "it hangs on another record");
    assert_eq!(take(&[all[4].clone(), all[6].clone()]).await, Appended::Broken(7));
    assert_eq!(take(&[AuditEntry { line: "{\"seq\":5".into(), about: None }]).await, Appended::Broken(0));
    assert_eq!(store.audit_head("a", "log").await.unwrap().seq, 4, "nothing of it was written");
    assert_eq!(kept(take(&all[2..]).await), 9);
    assert_eq!(store.audit_head("b", "log").await.unwrap(), Head::default(), "another tenant's is another's");
    // The same hand-over from many sides at once is one.
    let racing = (0..8).map(|_| {
        let (store, entries) = (Arc::clone(&store), audit(30, 3));
        tokio::spawn(async move { store.audit_append("a", "race", entries).await.unwrap() })
    });
    for appended in futures::future::join_all(racing).await {
        assert_eq!(kept(appended.unwrap()), 30);
    }
    assert_eq!(store.audit_about("a", None, ("race", 0)).await.unwrap().rows.len(), 30);
}

async fn what_an_audit_forgets_is_gone_and_its_records_stay(store: Arc<dyn Store>) {
    store.audit_append("a", "log", audit(5, 1)).await.unwrap();
    let about = async |subject: Option<&str>| store.audit_about("a", subject, ("", 0)).await.unwrap().rows.len();
    assert_eq!((about(None).await, about(Some("@ann")).await, about(Some("t-3")).await), (5, 5, 1));
    assert_eq!(store.audit_about("a", None, ("log", 4)).await.unwrap().rows.len(), 1, "page by page");
    assert_eq!(store.audit_forget("b", "@ann").await.unwrap(), 0);
    assert_eq!(store.audit_forget("a", "t-3").await.unwrap(), 1);
    assert_eq!(store.audit_forget("a", "ann").await.unwrap(), 0, "a part of a name is no name");
    assert_eq!((about(None).await, store.audit_head("a", "log").await.unwrap().seq), (4, 5));
    assert_eq!(store.audit_expire(LONG).await.unwrap(), 0);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(store.audit_expire(Duration::ZERO).await.unwrap(), 4);
    assert_eq!(kept(store.audit_append("a", "log", audit(6, 1)).await.unwrap()), 6);
}

/// Each question looks at so many payloads and no more, whatever it looks for, and forgetting is whole all the same.
async fn an_audit_is_looked_through_page_by_page_and_forgotten_whole(store: Arc<dyn Store>) {
    const ALL: u64 = 600;
    store.audit_append("a", "one", audit(ALL, 1)).await.unwrap();
    store.audit_append("a", "two", audit(3, 2)).await.unwrap();
    let pages = async |subject: Option<&str>| -> Vec<usize> {
        let (mut found, mut after) = (Vec::new(), (String::new(), 0));
        loop {
            let page = store.audit_about("a", subject, (&after.0, after.1)).await.unwrap();
            found.push(page.rows.len());
            match page.next {
                Some(next) => after = next,
                None => return found,
            }
        }
    };
    let all = pages(None).await;
    assert_eq!(all.iter().sum::<usize>(), ALL as usize + 3);
    assert!(all.len() > 2 && all.iter().all(|page| *page <= 256), "{all:?}");
    let few = pages(Some("t-600")).await;
    assert_eq!((few.len(), few.iter().sum::<usize>(), few[0]), (all.len(), 1, 0), "it is in none of the first");
    // What is about it is what the JSON says, however it is spelt.
    let spelt = "{\"who\":\"\\u0040ann\"}";
    let record = Record::next(&Head::default(), 1, "approved", "i1", commitment(&[3; 32], spelt.as_bytes())).unwrap();
    let about = Some((Digest::from_bytes([3; 32]).to_string(), spelt.to_owned()));
    let entry = AuditEntry { line: record.line().trim_end().to_owned(), about };
    store.audit_append("a", "three", vec![entry]).await.unwrap();
    assert_eq!(store.audit_forget("a", "@ann").await.unwrap(), ALL + 3 + 1);
    assert_eq!(pages(None).await, [0]);
    assert_eq!(store.audit_head("a", "one").await.unwrap().seq, ALL);
}
