//! The state of the routes as a person, `/health` and the metrics see it. No key, and no id of one, is in it.

use super::breaker::Shown;
use super::brownout::{Level, Pressure};
use super::times::Times;
use super::{Inner, Resilience};
use crate::error::Fault;
use crate::money::Spending;
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
    pub spending: Spending,
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
    /// Calls that repeated one to the same route, by route.
    pub repeats: BTreeMap<String, u64>,
    /// From a call to the first words of its answer, by route.
    pub first_words: BTreeMap<String, Times>,
    /// Verdicts on answers, by check of the gate and verdict.
    pub verdicts: BTreeMap<(String, &'static str), u64>,
}

/// Checks that are told apart; names come from clients of the service, too.
const MAX_CHECKS: usize = 32;

impl Counts {
    /// One answer's verdict by one check of the gate.
    pub fn verdict(&mut self, check: &str, verdict: &'static str) {
        let known = self.verdicts.keys().any(|(name, _)| name == check);
        let sane = (1..=24).contains(&check.len()) && check.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        let fits = known || sane && self.verdicts.len() < 3 * MAX_CHECKS;
        let check = if fits { check } else { "other" };
        *self.verdicts.entry((check.to_owned(), verdict)).or_default() += 1;
    }
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
            spending: Spending::default(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_that_clients_invent_are_one() {
        let mut counts = Counts::default();
        counts.verdict("syntax", "block");
        for n in 0..1000 {
            let letters: String = format!("{n:04}").bytes().map(|digit| char::from(digit - b'0' + b'a')).collect();
            counts.verdict(&letters, "pass");
            counts.verdict(&format!("No Check {n}"), "pass");
        }
        counts.verdict("syntax", "pass");
        assert!(counts.verdicts.len() <= 3 * MAX_CHECKS + 2, "{}", counts.verdicts.len());
        assert_eq!(counts.verdicts[&("syntax".into(), "pass")], 1);
        assert_eq!(counts.verdicts.values().sum::<u64>(), 2002);
    }
}
