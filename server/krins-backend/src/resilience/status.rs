//! The state of the routes as a person, `/health` and the metrics see it. No key, and no id of one, is in it.

use super::breaker::Shown;
use super::brownout::{Level, Pressure};
use super::{Inner, Resilience};
use crate::error::Fault;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

#[derive(Clone, Debug, Default)]
pub struct Status {
    pub level: Level,
    /// Of the last look; none where nothing looks.
    pub pressure: Option<Pressure>,
    /// Providers that are switched off, or `all`.
    pub off: BTreeSet<String>,
    /// Routes that were asked, by name.
    pub routes: Vec<RouteState>,
    pub counts: Counts,
}

/// One route, with one of its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteState {
    /// `provider/model`.
    pub route: String,
    /// The same, or `provider/other` where a client made the name up: what metrics are labelled with.
    pub label: String,
    /// `closed`, `resting`, `open`, `half-open` or `disabled`.
    pub state: &'static str,
    pub cause: Option<Fault>,
    /// Until it is asked again.
    pub left: Option<Duration>,
}

/// Since the start.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// By route and outcome.
    pub calls: BTreeMap<(String, &'static str), u64>,
    /// By route and the state it went to.
    pub changes: BTreeMap<(String, &'static str), u64>,
    /// Tasks that went on to another route.
    pub detours: u64,
    /// Changes of the brownout level.
    pub levels: u64,
}

impl Status {
    pub(super) fn of(inner: &Inner, board: &Resilience, off: BTreeSet<String>, now: Instant) -> Self {
        let routes = inner.breakers.iter().map(|(key, slot)| {
            let left = |until: Instant| Some(until.saturating_duration_since(now));
            let (state, cause, left) = match slot.breaker.shown(now) {
                Shown::Closed => ("closed", None, None),
                Shown::Resting { until } => ("resting", Some(Fault::RateLimited), left(until)),
                Shown::Open { until, cause } => ("open", Some(cause), left(until)),
                Shown::HalfOpen { cause } => ("half-open", Some(cause), None),
                Shown::Disabled { until, cause } => ("disabled", Some(cause), left(until)),
            };
            RouteState { route: format!("{}/{}", key.provider, key.model), label: board.label(key), state, cause, left }
        });
        Self {
            level: inner.brownout.level(),
            pressure: inner.brownout.last(),
            off,
            routes: routes.collect(),
            counts: inner.counts.clone(),
        }
    }
}

impl RouteState {
    pub fn is_well(&self) -> bool {
        self.state == "closed"
    }

    /// `open: it is overloaded; again in 12 s`.
    pub fn describe(&self) -> String {
        let cause = self.cause.map_or(String::new(), |cause| format!(": it {}", cause.says()));
        let left = self.left.map_or(String::new(), |left| format!("; again in {} s", left.as_secs_f64().ceil()));
        format!("{}{cause}{left}", self.state)
    }
}
