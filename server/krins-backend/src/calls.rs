//! The ledger that replicas share: every model call of the service is a row of its store. Of a task's call, and of every call
//! that a limit holds for, it is there before the call, so that a crash leaves a trace of what may have been billed; those of
//! conversations without a limit are gathered for a moment and written together, behind them. It is settled after the call.
//! What is reserved must fit the limits of the task, the person and the day; the database decides that, for every replica at
//! once.

use crate::money::{Charge, Ledger, LedgerError, Reserve};
use crate::store::{CallBegun, CallEnd, CallState, Fence, Leased, NewCall, Store};
use async_trait::async_trait;
use futures::StreamExt as _;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

/// Calls without a limit that wait to be written; more are not written at all.
const BEHIND: usize = 4096;
/// What is written behind conversations waits for more of its kind, so that many are one transaction.
const GATHER: Duration = Duration::from_millis(50);
/// Rows that are written one by one at the same time.
const AT_ONCE: usize = 16;
/// How long the end of a call is tried to be written; then it stays charged with what it reserved.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(250);
/// How long a task's end waits for the ends of its calls.
const SETTLING: Duration = Duration::from_secs(5);

/// The calls of one run of a task.
#[derive(Debug)]
pub struct Run {
    run: u32,
    /// A run that lost its lease must not begin another call.
    fence: Fence,
    made: AtomicU32,
    settling: TaskTracker,
}

impl Run {
    pub fn new(leased: &Leased) -> Self {
        Self { run: leased.run, fence: leased.fence.clone(), made: AtomicU32::new(0), settling: TaskTracker::new() }
    }

    /// Calls that were begun in this run.
    pub fn made(&self) -> u32 {
        self.made.load(Ordering::Relaxed)
    }

    /// Waits until the ends of its calls are written, if that is soon.
    pub async fn settled(&self) {
        self.settling.close();
        let _ = tokio::time::timeout(SETTLING, self.settling.wait()).await;
        self.settling.reopen();
    }
}

/// The calls of a service, in its store.
#[derive(Debug)]
pub struct Calls {
    store: Arc<dyn Store>,
    open: Mutex<BTreeMap<String, Open>>,
    behind: Arc<Mutex<Behind>>,
    settling: TaskTracker,
}

/// A call that is being made.
#[derive(Debug)]
enum Open {
    /// Its row was there before it.
    Written(Option<Arc<Run>>),
    /// Its row is written behind it.
    Behind,
}

/// What waits for the next transaction.
#[derive(Debug, Default)]
struct Behind {
    begun: Vec<NewCall>,
    ended: Vec<(String, CallEnd)>,
    /// Somebody takes what is here. One at a time, so that no end comes before its beginning.
    is_served: bool,
}

impl Calls {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, open: Mutex::default(), behind: Arc::default(), settling: TaskTracker::new() }
    }

    /// Writes the row while the call is made already: nothing hangs on it.
    fn begin_behind(&self, call: NewCall) {
        let mut behind = behind(&self.behind);
        if behind.begun.len() >= BEHIND {
            tracing::warn!("a model call is not in the ledger: too many wait to be written");
            return;
        }
        self.open().insert(call.id.clone(), Open::Behind);
        behind.begun.push(call);
        self.serve(&mut behind, &Handle::current());
    }

    fn serve(&self, waiting: &mut Behind, runtime: &Handle) {
        if !std::mem::replace(&mut waiting.is_served, true) {
            let serving = write_behind(Arc::clone(&self.store), Arc::clone(&self.behind));
            self.settling.spawn_on(serving, runtime);
        }
    }

    /// Not cancelled with its caller: what was reserved for somebody who left is given back.
    async fn begin(&self, call: NewCall, wanted: Reserve) -> Result<Reserved, LedgerError> {
        let (reply, answer) = oneshot::channel();
        let store = Arc::clone(&self.store);
        let reserved = Reserved {
            store: Arc::clone(&self.store),
            settling: self.settling.clone(),
            runtime: Handle::current(),
            id: Some(call.id.clone()),
        };
        let fence = wanted.run.as_ref().map(|run| run.fence.clone());
        self.settling.spawn(async move {
            let begun = match store.start_call(call, fence, wanted.limits).await {
                Ok(CallBegun::Yes) => Ok(reserved),
                Ok(CallBegun::Overtaken) => reserved.taken(Err(LedgerError::Overtaken)),
                Ok(CallBegun::OverBudget(refusal)) => reserved.taken(Err(LedgerError::Refused(refusal))),
                // It may be on the disk all the same, and nobody will make the call.
                Err(error) => Err(LedgerError::Store(error.to_string())),
            };
            // Where nobody hears it, it is dropped here.
            drop(reply.send(begun));
        });
        answer.await.map_err(|_| LedgerError::Store("the server is ending".into()))?
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<String, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Ledger for Calls {
    async fn reserve(&self, wanted: Reserve) -> Result<(), LedgerError> {
        let run = wanted.run.clone();
        let call = new_call(&wanted);
        if run.is_none() && wanted.limits.is_none() {
            self.begin_behind(call);
            return Ok(());
        }
        let id = call.id.clone();
        let reserved = self.begin(call, wanted).await?;
        if let Some(run) = &run {
            run.made.fetch_add(1, Ordering::Relaxed);
        }
        self.open().insert(id, Open::Written(run));
        reserved.taken(Ok(()))
    }

    fn charge(&self, id: &str, charge: Charge) {
        // What was never begun has no end either.
        let Some(open) = self.open().remove(id) else { return };
        let Ok(runtime) = Handle::try_current() else { return };
        let (id, end) = (id.to_owned(), call_end(charge));
        match open {
            Open::Behind => {
                let mut behind = behind(&self.behind);
                behind.ended.push((id, end));
                self.serve(&mut behind, &runtime);
            }
            Open::Written(run) => {
                let store = Arc::clone(&self.store);
                let settling = run.as_ref().map_or(&self.settling, |run| &run.settling);
                settling.spawn_on(async move { settle(&store, &id, end).await }, &runtime);
            }
        }
    }

    async fn flush(&self) {
        self.settling.close();
        let _ = tokio::time::timeout(SETTLING, self.settling.wait()).await;
        self.settling.reopen();
    }
}

/// What is reserved, on its way to whoever asked for it, who may leave at any moment.
#[must_use = "dropping it gives back what is reserved"]
#[derive(Debug)]
struct Reserved {
    store: Arc<dyn Store>,
    settling: TaskTracker,
    runtime: Handle,
    /// `None` once there is nothing to give back.
    id: Option<String>,
}

impl Reserved {
    /// Somebody charges it from now on, or nothing was reserved.
    fn taken<T>(mut self, then: T) -> T {
        self.id = None;
        then
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let store = Arc::clone(&self.store);
        let end = CallEnd {
            state: CallState::Failed,
            cost_micros: Some(0),
            usage: Some(crate::Usage::default()),
            error_kind: Some("cancelled".into()),
            ..CallEnd::default()
        };
        self.settling.spawn_on(async move { settle(&store, &id, end).await }, &self.runtime);
    }
}

fn new_call(wanted: &Reserve) -> NewCall {
    let (route, model) = wanted.route.split_once('/').unwrap_or((&wanted.route, ""));
    let run = wanted.run.as_ref();
    NewCall {
        id: wanted.id.clone(),
        tenant: wanted.tenant.clone(),
        person: wanted.person.clone(),
        task: wanted.task.clone(),
        budget: wanted.budget.clone(),
        purpose: wanted.purpose,
        run: run.map_or(1, |run| run.run),
        variant: wanted.variant,
        n: run.map_or(0, |run| run.made()) + 1,
        route: route.to_owned(),
        model: model.to_owned(),
        reserved_micros: wanted.micros.map(|micros| micros.min(1 << 53).cast_signed()),
    }
}

fn call_end(charge: Charge) -> CallEnd {
    let ok = charge.outcome == "ok";
    CallEnd {
        state: if ok { CallState::Ok } else { CallState::Failed },
        first_token: charge.first_token,
        usage: Some(charge.usage),
        cost_micros: charge.micros.map(|micros| micros.min(1 << 53).cast_signed()),
        price_version: charge.price.map(|day| day.to_string()),
        error_kind: (!ok).then_some(charge.outcome),
        request_id: charge.response,
    }
}

fn behind(behind: &Mutex<Behind>) -> MutexGuard<'_, Behind> {
    behind.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Until nothing waits any more.
async fn write_behind(store: Arc<dyn Store>, waiting: Arc<Mutex<Behind>>) {
    loop {
        tokio::time::sleep(GATHER).await;
        let (begun, ended) = {
            let mut waiting = behind(&waiting);
            if waiting.begun.is_empty() && waiting.ended.is_empty() {
                waiting.is_served = false;
                return;
            }
            (std::mem::take(&mut waiting.begun), std::mem::take(&mut waiting.ended))
        };
        if store.note_calls(&begun, &ended).await.is_err() {
            // One row that the store does not take must not cost the others theirs.
            note_each(&store, begun, ended).await;
        }
    }
}

async fn note_each(store: &Arc<dyn Store>, begun: Vec<NewCall>, ended: Vec<(String, CallEnd)>) {
    futures::stream::iter(begun)
        .for_each_concurrent(AT_ONCE, |call| async {
            if let Err(error) = store.start_call(call, None, Default::default()).await {
                tracing::warn!(%error, "a model call is not in the ledger");
            }
        })
        .await;
    futures::stream::iter(ended)
        .for_each_concurrent(AT_ONCE, |(id, end)| async move { settle(store, &id, end).await })
        .await;
}

async fn settle(store: &Arc<dyn Store>, id: &str, end: CallEnd) {
    let began = Instant::now();
    loop {
        match store.finish_call(id, end.clone()).await {
            Ok(()) => return,
            Err(error) if began.elapsed() > PATIENCE => {
                // It stays charged with what it reserved.
                tracing::error!(%error, "failed to write down how a model call ended");
                return;
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Usage;
    use crate::money::{Limits, Purpose, Refusal, Scope};
    use crate::store::{NewRow, Person, Room, Sqlite};

    fn wanted(id: &str, micros: u64, limits: Limits, run: Option<&Arc<Run>>) -> Reserve {
        Reserve {
            id: id.into(),
            tenant: "t".into(),
            person: "ann".into(),
            task: "task".into(),
            budget: "work".into(),
            purpose: Purpose::Author,
            variant: 0,
            route: "p/m/with/slashes".into(),
            run: run.cloned(),
            now_ms: 0,
            micros: Some(micros),
            limits,
        }
    }

    fn charge(micros: u64, outcome: &str) -> Charge {
        Charge {
            usage: Usage { input_tokens: 3, ..Usage::default() },
            micros: Some(micros),
            price: None,
            outcome: outcome.into(),
            now_ms: 0,
            first_token: Some(Duration::from_millis(5)),
            response: Some("r".into()),
        }
    }

    async fn leased(store: &Arc<dyn Store>) -> Leased {
        let row = NewRow {
            id: "task".into(),
            tenant: "t".into(),
            person: Person::default(),
            key: "k".into(),
            payload_sha256: "s".into(),
            payload: "{}".into(),
            payload_version: 1,
            traceparent: "00".into(),
            tracestate: None,
        };
        store.submit(row, Room::UNLIMITED).await.unwrap();
        store.claim("w", 1, Duration::from_secs(60)).await.unwrap().tasks.remove(0)
    }

    #[tokio::test]
    async fn each_call_of_a_run_is_a_row_with_its_cost_and_a_lost_lease_makes_none() {
        let store: Arc<dyn Store> = Sqlite::in_memory().unwrap().into();
        let calls = Calls::new(Arc::clone(&store));
        let run = Arc::new(Run::new(&leased(&store).await));
        for (id, micros, outcome) in [("a", 7, "Overloaded"), ("b", 9, "ok")] {
            calls.reserve(wanted(id, 100, Limits::default(), Some(&run))).await.unwrap();
            calls.charge(id, charge(micros, outcome));
        }
        run.settled().await;
        let rows = store.calls("t", "task").await.unwrap();
        let seen: Vec<_> = rows.iter().map(|row| (row.call.n, row.end.state, row.end.cost_micros)).collect();
        assert_eq!(seen, [(1, CallState::Failed, Some(7)), (2, CallState::Ok, Some(9))]);
        assert_eq!((rows[1].call.route.as_str(), rows[1].call.model.as_str()), ("p", "m/with/slashes"));
        assert_eq!(run.made(), 2);
        store.cancel("t", "task").await.unwrap();
        let late = calls.reserve(wanted("c", 1, Limits::default(), Some(&run))).await;
        assert_eq!((late, run.made()), (Err(LedgerError::Overtaken), 2));
        assert_eq!(store.calls("t", "task").await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn what_one_left_is_what_the_other_may_spend_and_who_leaves_gives_back() {
        let store: Arc<dyn Store> = Sqlite::in_memory().unwrap().into();
        let (one, other) = (Calls::new(Arc::clone(&store)), Calls::new(Arc::clone(&store)));
        let limits = Limits { day: Some(100), ..Limits::default() };
        one.reserve(wanted("a", 60, limits, None)).await.unwrap();
        let refused = Refusal { scope: Scope::Day, limit: 100, used: 60, wanted: 41 };
        assert_eq!(other.reserve(wanted("b", 41, limits, None)).await, Err(LedgerError::Refused(refused)));
        other.reserve(wanted("b", 40, limits, None)).await.unwrap();
        one.charge("a", charge(10, "ok"));
        one.flush().await;
        {
            // Dropped while it is being written.
            let leaving = other.reserve(wanted("c", 50, limits, None));
            assert!(futures::poll!(std::pin::pin!(leaving)).is_pending());
        }
        for _ in 0..100 {
            other.flush().await;
            let open = store.open_calls().await.unwrap();
            if open.len() == 1 && store.calls("t", "task").await.unwrap().len() == 3 {
                return one.reserve(wanted("d", 50, limits, None)).await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{:?}", store.open_calls().await);
    }

    #[tokio::test]
    async fn who_leaves_with_the_answer_unread_gives_back_too() {
        let store: Arc<dyn Store> = Sqlite::in_memory().unwrap().into();
        let calls = Calls::new(Arc::clone(&store));
        let limits = Limits { day: Some(100), ..Limits::default() };
        let mut leaving = Box::pin(calls.reserve(wanted("a", 60, limits, None)));
        assert!(futures::poll!(&mut leaving).is_pending());
        calls.flush().await;
        assert_eq!(store.open_calls().await.unwrap().len(), 1, "the answer is there, and nobody looked at it");
        drop(leaving);
        calls.flush().await;
        let rows = store.calls("t", "task").await.unwrap();
        let ends: Vec<_> = rows.iter().map(|row| (row.end.error_kind.as_deref(), row.end.cost_micros)).collect();
        assert_eq!(ends, [(Some("cancelled"), Some(0))]);
        calls.reserve(wanted("b", 100, limits, None)).await.unwrap();
        calls.flush().await;
        assert_eq!(store.open_calls().await.unwrap().len(), 1, "what was taken is not given back");
    }

    #[tokio::test]
    async fn conversations_without_a_limit_do_not_wait_and_are_written_all_the_same() {
        let store: Arc<dyn Store> = Sqlite::in_memory().unwrap().into();
        let calls = Calls::new(Arc::clone(&store));
        for id in ["a", "b"] {
            calls.reserve(wanted(id, 5, Limits::default(), None)).await.unwrap();
        }
        calls.charge("a", charge(3, "ok"));
        calls.charge("nobody", charge(3, "ok"));
        calls.flush().await;
        let rows = store.calls("t", "task").await.unwrap();
        assert_eq!(rows[0].end.cost_micros, Some(3));
        assert_eq!(rows[0].end.first_token, Some(Duration::from_millis(5)));
    }

    #[tokio::test]
    async fn a_row_that_the_store_does_not_take_costs_no_other_its_own() {
        let store: Arc<dyn Store> = Sqlite::in_memory().unwrap().into();
        let calls = Calls::new(Arc::clone(&store));
        store.start_call(new_call(&wanted("a", 5, Limits::default(), None)), None, Limits::default()).await.unwrap();
        for id in ["a", "b"] {
            calls.reserve(wanted(id, 5, Limits::default(), None)).await.unwrap();
            calls.charge(id, charge(3, "ok"));
        }
        calls.flush().await;
        let rows = store.calls("t", "task").await.unwrap();
        let costs: Vec<_> = rows.iter().map(|row| (row.call.id.as_str(), row.end.cost_micros)).collect();
        assert_eq!(costs, [("a", Some(3)), ("b", Some(3))]);
    }

    #[tokio::test]
    async fn an_end_is_written_after_its_beginning_whenever_it_comes() {
        let store: Arc<dyn Store> = Sqlite::in_memory().unwrap().into();
        let calls = Calls::new(Arc::clone(&store));
        for (number, pause) in [0, 20, 49, 50, 51, 70, 200].into_iter().enumerate() {
            let id = number.to_string();
            calls.reserve(wanted(&id, 5, Limits::default(), None)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(pause)).await;
            calls.charge(&id, charge(3, "ok"));
        }
        calls.flush().await;
        let rows = store.calls("t", "task").await.unwrap();
        assert_eq!(rows.iter().map(|row| row.end.cost_micros).collect::<Vec<_>>(), [Some(3); 7]);
    }
}
