//! What came of tasks and what they cost, from what is on record: the audit says what was decided, the ledger what was
//! charged. Nothing is counted apart for it, so that a figure can always be traced to its records.

mod reckon;
mod recorded;
#[cfg(test)]
mod tests;

use crate::audit::Since;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::tasks::Task;
use krins_backend::Usage;
use krins_backend::money::books::{Attempt, Which};
use krins_backend::money::{Day, Entry, Purpose};
use krins_backend::resilience::{RouteState, Status};
use krins_protocol::lsp::RouteStatus;
use krins_protocol::report::{Period, Report, RouteFigures};
use reckon::{Records, Window};
use serde::{Deserialize, Serialize};
use std::time::{SystemTime, UNIX_EPOCH};

/// More calls than a person makes in the longest period.
const MOST_CALLS: usize = 1_000_000;
/// Where a process leaves how its routes are, for those that have asked nobody yet.
const KIND: &str = "routes";
const NAME: &str = "last";
/// Nobody asked a route for so long: it says nothing any more. A week.
const REMEMBERED: u64 = 7 * 86_400_000;

/// One call to a model, or what was reserved for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub task: String,
    pub at: u64,
    /// `provider/model`.
    pub route: String,
    pub purpose: Purpose,
    pub usage: Usage,
    /// Charged, or while it is open reserved; `None` when the price is not known.
    pub micros: Option<u64>,
    pub open: bool,
    pub ok: bool,
}

/// How the routes were when a process looked at each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    at: u64,
    level: String,
    routes: Vec<(u64, RouteStatus)>,
}

impl Seen {
    /// With what a process sees now; what it did not ask is as it was.
    fn with(mut self, at: u64, status: &Status) -> Self {
        let now = shown(status);
        self.routes.retain(|(seen, known)| {
            at.saturating_sub(*seen) < REMEMBERED && now.iter().all(|route| route.route != known.route)
        });
        self.routes.extend(now.into_iter().map(|route| (at, route)));
        self.routes.sort_by(|(_, one), (_, other)| one.route.cmp(&other.route));
        Self { at, level: status.level.name().to_owned(), ..self }
    }

    /// As they have to be by now, if nobody asked since: whoever rested or was shut out may be asked again.
    fn by(self, now: u64) -> Vec<RouteStatus> {
        let aged = |(at, mut route): (u64, RouteStatus)| {
            let passed = now.saturating_sub(at) / 1000;
            match route.seconds {
                Some(left) if passed < left => route.seconds = Some(left - passed),
                Some(_) if route.state == "resting" => {
                    (route.state, route.cause, route.seconds) = ("closed".to_owned(), None, None);
                }
                Some(_) => (route.state, route.seconds) = ("half-open".to_owned(), None),
                None => {}
            }
            route
        };
        self.routes.into_iter().map(aged).collect()
    }
}

impl Engine {
    /// The figures of the last day, week or month.
    pub async fn report(&self, period: Period) -> Result<Report> {
        self.report_over(period.into(), period).await
    }

    /// The figures of the last so many days, today included.
    pub async fn report_of_days(&self, days: u32) -> Result<Report> {
        let period = if days < 7 {
            Period::Day
        } else if days < 30 {
            Period::Week
        } else {
            Period::Month
        };
        self.report_over(Window::days(days), period).await
    }

    async fn report_over(&self, window: Window, period: Period) -> Result<Report> {
        let now = now();
        // The objectives look back a month in any case.
        let from = window.since(now).min(Window::from(Period::Month).since(now));
        let engine = self.clone();
        let read = tokio::task::spawn_blocking(move || engine.audit().since(from)).await;
        let read = read.map_err(|error| Error::new(ErrorKind::Internal, format!("read the audit: {error}")))??;
        let Since { records, cut } = read;
        let mut notes = Vec::new();
        if cut {
            notes.push("The record is so long that the oldest days of it were not read.".to_owned());
        }
        let calls = self.calls(from, &mut notes).await?;
        let records = Records { read: recorded::read(&records), calls, notes };
        let mut report = reckon::report(&records, window, now);
        report.period = period;
        report.version = env!("CARGO_PKG_VERSION").to_owned();
        report.workspace =
            self.root().path().file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        report.routes = self.route_figures().await;
        Ok(report)
    }

    /// Every call since a moment: from the ledger, and without one from the tasks that are kept.
    async fn calls(&self, since: u64, notes: &mut Vec<String>) -> Result<Vec<Call>> {
        let Some(books) = self.backend().books() else {
            notes.push("A remote backend keeps the ledger: what is told of calls is what it said of the tasks that are kept here.".to_owned());
            // Other processes' tasks, too.
            let names = self.state().documents("tasks");
            let tasks = names.iter().filter_map(|name| self.state().document::<Task>("tasks", name));
            return Ok(tasks.filter(|task| task.created >= since).flat_map(|task| of_task(&task)).collect());
        };
        let day = Day::of_millis(i64::try_from(since).unwrap_or(i64::MAX));
        let attempts = books.attempts(Which::Since(day), MOST_CALLS).await.map_err(|error| {
            Error::new(ErrorKind::Internal, error.to_string()).hint("the ledger is books.sqlite in the state directory")
        })?;
        Ok(attempts.into_iter().map(of_ledger).collect())
    }

    /// Leaves how the routes are, for a process that has asked nobody itself.
    pub(crate) fn note_routes(&self) {
        let status = self.backend().status();
        if status.routes.is_empty() {
            return;
        }
        let seen = self.state().document::<Seen>(KIND, NAME).unwrap_or_default().with(now(), &status);
        if let Err(error) = self.state().put_document(KIND, NAME, &seen) {
            tracing::debug!(%error, "how the routes are could not be noted");
        }
    }

    async fn route_figures(&self) -> RouteFigures {
        let backend = self.backend();
        let status = backend.status();
        let seen = self.state().document::<Seen>(KIND, NAME);
        let seen = if status.routes.is_empty() { seen } else { Some(seen.unwrap_or_default().with(now(), &status)) };
        let (routes, at, level) = match seen {
            Some(seen) => (seen.clone().by(now()), Some(seen.at), seen.level),
            None => (Vec::new(), None, status.level.name().to_owned()),
        };
        let remote = backend.remote_health().await.map(|health| health.checks).unwrap_or_default();
        RouteFigures { routes, at, level, switched_off: status.off.into_iter().collect(), remote }
    }
}

fn shown(status: &Status) -> Vec<RouteStatus> {
    status.routes.iter().map(route).collect()
}

/// How a route is, in the protocol's words.
pub fn route(state: &RouteState) -> RouteStatus {
    RouteStatus {
        route: state.route.clone(),
        state: state.state.to_owned(),
        cause: state.cause.map(|cause| cause.says().to_owned()),
        seconds: state.left.map(|left| left.as_secs_f64().ceil() as u64),
    }
}

fn of_ledger(attempt: Attempt) -> Call {
    let open = attempt.outcome.is_none();
    Call {
        task: attempt.task,
        at: u64::try_from(attempt.started_ms).unwrap_or(0),
        route: attempt.route,
        purpose: if attempt.purpose == Purpose::Judge.name() { Purpose::Judge } else { Purpose::Author },
        usage: attempt.usage,
        micros: if open { attempt.reserved } else { attempt.charged },
        open,
        ok: matches!(attempt.outcome.as_deref(), Some("ok" | "reconciled")),
    }
}

fn of_task(task: &Task) -> Vec<Call> {
    let call = |entry: &Entry| Call {
        task: task.id.clone(),
        at: task.created,
        route: entry.route.clone(),
        purpose: entry.purpose,
        usage: entry.usage,
        micros: entry.micros,
        open: false,
        ok: entry.outcome == "ok",
    };
    task.calls.iter().map(call).collect()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
