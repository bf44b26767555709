//! Model calls, written down: a row is in the store before the call, so that a crash leaves a trace of what may have been
//! billed, and the row is settled after it. Whoever makes calls asks for the log of the work that it does; where there is
//! none (a command, the sidecar), nothing is written here.

use crate::BackendError;
use crate::store::{CallBegun, CallEnd, CallState, Cap, Fence, Leased, NewCall, Store};
use krins_protocol::error::ErrorKind;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

tokio::task_local! {
    static CURRENT: Arc<CallLog>;
}

/// The calls of one run of a task.
#[derive(Debug)]
pub struct CallLog {
    store: Arc<dyn Store>,
    tenant: String,
    task: String,
    run: u32,
    /// A run that lost its lease must not begin another call.
    fence: Option<Fence>,
    made: AtomicU32,
}

/// What is known of a call before it is made.
#[derive(Clone, Debug, Default)]
pub struct Planned {
    /// The provider's name in the settings.
    pub route: String,
    pub model: String,
    /// From 0.
    pub variant: u32,
    pub prompt_variant: Option<String>,
    /// What it may cost at most, in millionths of a US dollar; `None` when the price is not known.
    pub reserved_micros: Option<i64>,
    /// Limits that the reservation must fit.
    pub caps: Vec<Cap>,
}

/// A call that is on the disk and not settled.
#[must_use = "a call that is dropped counts as unknown, and its reservation stays charged"]
#[derive(Debug)]
pub struct OpenCall {
    store: Arc<dyn Store>,
    id: Option<String>,
}

impl CallLog {
    pub fn new(store: Arc<dyn Store>, tenant: String, task: String) -> Self {
        Self { store, tenant, task, run: 1, fence: None, made: AtomicU32::new(0) }
    }

    /// Fenced by the run's lease.
    pub fn of_run(store: Arc<dyn Store>, leased: &Leased) -> Self {
        let fence = Some(leased.fence.clone());
        Self { run: leased.run, fence, ..Self::new(store, leased.tenant.clone(), leased.fence.id.clone()) }
    }

    /// Calls that were begun in this run.
    pub fn made(&self) -> u32 {
        self.made.load(Ordering::Relaxed)
    }

    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// Writes the call down. An error means that it must not be made.
    pub async fn begin(&self, planned: Planned) -> Result<OpenCall, BackendError> {
        let n = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        let id = uuid::Uuid::now_v7().to_string();
        let call = NewCall {
            id: id.clone(),
            tenant: self.tenant.clone(),
            task: self.task.clone(),
            run: self.run,
            variant: planned.variant,
            n,
            route: planned.route,
            model: planned.model,
            prompt_variant: planned.prompt_variant,
            reserved_micros: planned.reserved_micros,
        };
        match self.store.start_call(call, self.fence.clone(), planned.caps).await {
            Ok(CallBegun::Yes) => Ok(OpenCall { store: Arc::clone(&self.store), id: Some(id) }),
            Ok(CallBegun::Overtaken) => {
                Err(refused(ErrorKind::Cancelled, "ask a model: the task is no longer this server's"))
            }
            Ok(CallBegun::OverBudget { .. }) => Err(BackendError {
                hint: Some("narrow the scope, or raise the budget".into()),
                ..refused(ErrorKind::BudgetExceeded, "ask a model: the call does not fit what is left of the budget")
            }),
            Err(error) => {
                tracing::error!(%error, "failed to write a model call down");
                Err(refused(ErrorKind::BackendUnavailable, "ask a model: the call could not be written down first"))
            }
        }
    }
}

impl OpenCall {
    pub async fn end(mut self, end: CallEnd) {
        if let Some(id) = self.id.take() {
            settle(&self.store, &id, end).await;
        }
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        let (Some(id), Ok(runtime)) = (self.id.take(), tokio::runtime::Handle::try_current()) else { return };
        let store = Arc::clone(&self.store);
        let end = CallEnd { state: CallState::Unknown, ..CallEnd::default() };
        runtime.spawn(async move { settle(&store, &id, end).await });
    }
}

async fn settle(store: &Arc<dyn Store>, id: &str, end: CallEnd) {
    if let Err(error) = store.finish_call(id, end).await {
        // It stays charged with what it reserved.
        tracing::error!(%error, "failed to write down how a model call ended");
    }
}

fn refused(kind: ErrorKind, message: &str) -> BackendError {
    BackendError::new(kind, message)
}

/// The log of the work that this is called from.
pub fn current() -> Option<Arc<CallLog>> {
    CURRENT.try_with(Arc::clone).ok()
}

/// Runs work whose calls go into this log. A spawned task does not inherit it.
pub fn within<F: Future>(log: Arc<CallLog>, work: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(log, work)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Sqlite;
    use std::time::Duration;

    #[tokio::test]
    async fn calls_are_written_before_and_settled_after_or_stay_charged() {
        let store: Arc<dyn Store> = Sqlite::in_memory().unwrap().into();
        let log = Arc::new(CallLog::new(Arc::clone(&store), "t".into(), "task".into()));
        assert!(current().is_none());
        within(Arc::clone(&log), async {
            let log = current().unwrap();
            let planned = || Planned { route: "r".into(), reserved_micros: Some(100), ..Planned::default() };
            let open = log.begin(planned()).await.unwrap();
            assert_eq!(store.calls("t", "task").await.unwrap()[0].end.state, CallState::Started);
            open.end(CallEnd { state: CallState::Ok, cost_micros: Some(7), ..CallEnd::default() }).await;
            drop(log.begin(planned()).await.unwrap());
        })
        .await;
        assert_eq!(log.made(), 2);
        for _ in 0..200 {
            let calls = store.calls("t", "task").await.unwrap();
            if calls[1].end.state == CallState::Unknown {
                let spent = store.spent("t", Duration::from_secs(60)).await.unwrap();
                assert_eq!((spent.settled_micros, spent.reserved_micros), (7, 100));
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the dropped call was never marked");
    }
}
