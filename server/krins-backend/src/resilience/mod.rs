//! What keeps answers coming whatever the providers do: breakers, cool-downs, the retry budget, brownout and the kill
//! switch, in one place that every ask of this process shares. The policy that uses them is `policy.rs`. Knows no wire
//! format and no HTTP; time and chance come in through [`Clock`].

pub mod breaker;
pub mod brownout;
pub mod clock;
pub mod policy;
mod retries;
pub mod status;
pub mod switch;
mod tally;
pub mod times;

pub use brownout::{Level, Pressure};
pub use clock::{Clock, System};
pub use status::{RouteState, Status};
pub use switch::Switch;

use crate::error::{Effect, Fault, ProviderError};
use breaker::{Admission, Breaker, BreakerConfig, Change, Outcome, Pass};
use brownout::{Brownout, BrownoutConfig};
use retries::Retries;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Routes that are remembered; the longest unused healthy one is forgotten first. Clients of `krins serve` may name
/// models freely, so the number needs a bound.
const MAX_ROUTES: usize = 512;

/// Everything about resilience that settings decide, but for the chains themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResilienceConfig {
    pub breaker: BreakerConfig,
    pub brownout: BrownoutConfig,
    /// The most calls for one task, over all routes.
    pub calls: Calls,
    /// Providers that are not asked, or `all`.
    pub off: BTreeSet<String>,
    /// A file whose lines say the same, read again whenever it changes.
    pub switch_file: Option<std::path::PathBuf>,
}

/// How often one task may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calls {
    pub per_task: u32,
    /// Of the calls of a minute to a provider, at most this share are repeats.
    pub retry_percent: u32,
    /// As many repeats a minute are free, so that a lone person gets theirs.
    pub retry_floor: u32,
}

impl Default for Calls {
    fn default() -> Self {
        Self { per_task: 4, retry_percent: 20, retry_floor: 10 }
    }
}

/// Which key a call is made with, without the key: the beginning of its sha256. Never shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(pub u64);

/// What has one breaker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteKey {
    pub provider: String,
    pub model: String,
    pub key: KeyId,
}

/// The shared state.
pub struct Resilience {
    clock: Arc<dyn Clock>,
    config: ResilienceConfig,
    switch: Switch,
    /// `provider/model` of the settings; only these become labels of metrics.
    known: BTreeSet<String>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    breakers: BTreeMap<RouteKey, Slot>,
    retries: BTreeMap<String, Retries>,
    brownout: Brownout,
    counts: status::Counts,
}

struct Slot {
    breaker: Breaker,
    used: Instant,
}

/// The right to one call. Dropping it without a word gives a probe back.
#[must_use = "a permit that is dropped says nothing about the route"]
pub struct Permit {
    board: Arc<Resilience>,
    key: RouteKey,
    pass: Pass,
    began: Instant,
    done: bool,
}

impl std::fmt::Debug for Permit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Permit").field("pass", &self.pass).finish_non_exhaustive()
    }
}

/// Why a route is not called now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resting {
    pub cause: Fault,
    pub wait: Duration,
}

impl Resilience {
    pub fn new(config: ResilienceConfig, known: BTreeSet<String>, clock: Arc<dyn Clock>) -> Arc<Self> {
        let switch = Switch::new(config.off.clone(), config.switch_file.clone());
        let brownout = Brownout::new(config.brownout, clock.now());
        let inner = Mutex::new(Inner { brownout, ..Inner::default() });
        Arc::new(Self { clock, config, switch, known, inner })
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    pub fn switch(&self) -> &Switch {
        &self.switch
    }

    pub fn calls(&self) -> Calls {
        self.config.calls
    }

    /// The right to call this route now, or how long it rests. `last_resort`: nobody else can answer, so a route that
    /// waits for a person (a key, money) may be tried by one ask at a time.
    pub fn admit(self: &Arc<Self>, key: &RouteKey, last_resort: bool) -> Result<Permit, Resting> {
        let now = self.clock.now();
        let mut inner = self.lock();
        inner.make_room(key);
        let slot = inner.breakers.entry(key.clone()).or_insert_with(|| Slot { breaker: Breaker::default(), used: now });
        slot.used = now;
        match slot.breaker.admit(&self.config.breaker, now, last_resort) {
            Admission::Call(pass) => {
                if pass.is_probe() {
                    self.note(&mut inner, key, Change::HalfOpened);
                }
                drop(inner);
                Ok(Permit { board: self.clone(), key: key.clone(), pass, began: now, done: false })
            }
            Admission::Wait { until, cause } => Err(Resting { cause, wait: until.saturating_duration_since(now) }),
        }
    }

    /// Whether a call may be repeated on the same provider; taking it counts.
    pub fn take_retry(&self, provider: &str) -> bool {
        let (calls, now) = (self.config.calls, self.clock.now());
        self.lock().retries(provider, now).take(&calls, now)
    }

    fn count_call(&self, provider: &str) {
        let now = self.clock.now();
        self.lock().retries(provider, now).called(now);
    }

    /// An ask was answered; its time is part of the p95.
    pub fn answered(&self, took: Duration) {
        let now = self.clock.now();
        self.lock().brownout.answered(took, now);
    }

    /// What the service sees: how long the oldest task waits. Moves the brownout level.
    pub fn press(&self, queue_age: Duration) {
        let now = self.clock.now();
        let mut inner = self.lock();
        if let Some((from, to, pressure)) = inner.brownout.press(queue_age, now) {
            inner.counts.levels += 1;
            tracing::warn!(
                from = from.name(),
                to = to.name(),
                queue_age_seconds = pressure.queue_age.as_secs_f64(),
                p95_seconds = pressure.p95.map(|p95| p95.as_secs_f64()),
                "the brownout level changed"
            );
        }
    }

    pub fn level(&self) -> Level {
        self.lock().brownout.level()
    }

    pub(crate) fn detoured(&self) {
        self.lock().counts.detours += 1;
    }

    /// The gate's verdicts on an answer, check by check.
    pub fn judged(&self, verdicts: &[(&str, &'static str)]) {
        let mut inner = self.lock();
        verdicts.iter().for_each(|(check, verdict)| inner.counts.verdict(check, verdict));
    }

    /// As a person and the metrics see it.
    pub fn status(&self) -> Status {
        let now = self.clock.now();
        let off = self.switch.off();
        let inner = self.lock();
        Status::of(&inner, self, off, now)
    }

    /// The route's name where names must not come from clients.
    fn label(&self, key: &RouteKey) -> String {
        let route = format!("{}/{}", key.provider, key.model);
        if self.known.contains(&route) { route } else { format!("{}/other", key.provider) }
    }

    fn note(&self, inner: &mut Inner, key: &RouteKey, change: Change) {
        let route = self.label(key);
        match change {
            Change::Opened { cause, wait } if cause.rule().effect == Effect::Disables => {
                // Somebody has to do something about it, so it is loud.
                tracing::error!(route, cause = ?cause, rest_seconds = wait.as_secs_f64(), "the route is disabled: {}", cause.says());
            }
            Change::Opened { cause, wait } => {
                tracing::warn!(route, cause = ?cause, rest_seconds = wait.as_secs_f64(), "the route's breaker opened");
            }
            Change::Limited { wait } => {
                tracing::warn!(route, rest_seconds = wait.as_secs_f64(), "the route rests as its provider asked");
            }
            Change::HalfOpened => tracing::info!(route, "the route is tried by one call"),
            Change::Closed => tracing::info!(route, "the route is whole again"),
        }
        *inner.counts.changes.entry((route, change.name())).or_default() += 1;
    }

    fn settle(&self, key: &RouteKey, pass: Pass, outcome: Outcome, took: Duration) {
        let now = self.clock.now();
        let mut inner = self.lock();
        *inner.counts.calls.entry((self.label(key), outcome.name())).or_default() += 1;
        let change = inner
            .breakers
            .get_mut(key)
            .and_then(|slot| slot.breaker.record(&self.config.breaker, pass, outcome, took, now));
        if let Some(change) = change {
            self.note(&mut inner, key, change);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code that holds the lock can leave the state half changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn retries(&mut self, provider: &str, now: Instant) -> &mut Retries {
        self.retries.entry(provider.to_owned()).or_insert_with(|| Retries::new(now))
    }

    fn make_room(&mut self, key: &RouteKey) {
        if self.breakers.len() < MAX_ROUTES || self.breakers.contains_key(key) {
            return;
        }
        let oldest = |healthy: bool| {
            let fit = self.breakers.iter().filter(|(_, slot)| !healthy || slot.breaker.is_closed());
            fit.min_by_key(|(_, slot)| slot.used).map(|(key, _)| key.clone())
        };
        if let Some(victim) = oldest(true).or_else(|| oldest(false)) {
            self.breakers.remove(&victim);
        }
    }
}

impl Permit {
    /// The call repeats one to the same route for the same task.
    pub fn repeats(&self) {
        let label = self.board.label(&self.key);
        *self.board.lock().counts.repeats.entry(label).or_default() += 1;
    }

    /// The answer's first words came after this time.
    pub fn first_words(&self, after: Duration) {
        let label = self.board.label(&self.key);
        self.board.lock().counts.first_words.entry(label).or_default().add(after);
    }

    /// Says how the call went.
    pub fn finish<T>(mut self, result: &Result<T, ProviderError>, first_token: Duration) {
        self.done = true;
        let took = self.board.clock.now().saturating_duration_since(self.began);
        let outcome = Outcome::of(result.as_ref().err(), took, first_token);
        self.board.settle(&self.key, self.pass, outcome, took);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.done {
            self.board.settle(&self.key, self.pass, Outcome::Unknown, Duration::ZERO);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::clock::testing::Virtual;
    use super::*;

    fn board() -> (Arc<Resilience>, Virtual) {
        let clock = Virtual::default();
        (Resilience::new(ResilienceConfig::default(), BTreeSet::new(), Arc::new(clock.clone())), clock)
    }

    fn key(model: &str) -> RouteKey {
        RouteKey { provider: "p".into(), model: model.into(), key: KeyId(1) }
    }

    fn fail(board: &Arc<Resilience>, key: &RouteKey) {
        let failed: Result<(), _> = Err(ProviderError::new(Fault::Server, "x"));
        board.admit(key, false).expect("closed").finish(&failed, Duration::from_secs(10));
    }

    #[test]
    fn one_key_in_trouble_leaves_the_others_alone() {
        let (board, _) = board();
        for _ in 0..3 {
            fail(&board, &key("m"));
        }
        assert_eq!(board.admit(&key("m"), false).err().unwrap().cause, Fault::Server);
        let other_key = RouteKey { key: KeyId(2), ..key("m") };
        assert!(board.admit(&other_key, false).is_ok() && board.admit(&key("n"), false).is_ok());
    }

    #[test]
    fn half_open_lets_one_through_also_when_many_come_at_once_and_when_it_is_dropped() {
        let (board, clock) = board();
        for _ in 0..3 {
            fail(&board, &key("m"));
        }
        clock.advance(Duration::from_secs(15));
        let admitted = std::sync::Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    if let Ok(permit) = board.admit(&key("m"), false) {
                        admitted.lock().unwrap().push(permit);
                    }
                });
            }
        });
        assert_eq!(admitted.lock().unwrap().len(), 1);
        // Its ask was cancelled: the next one is the probe.
        admitted.lock().unwrap().clear();
        let probe = board.admit(&key("m"), false).expect("the probe was given back");
        assert!(board.admit(&key("m"), false).is_err());
        probe.finish(&Ok(()), Duration::from_secs(10));
        assert!(board.admit(&key("m"), false).is_ok() && board.admit(&key("m"), false).is_ok());
    }

    #[test]
    fn names_that_clients_choose_neither_grow_the_board_nor_reach_a_label() {
        let (board, _) = board();
        for _ in 0..3 {
            fail(&board, &key("sick"));
        }
        for n in 0..2 * MAX_ROUTES {
            board.admit(&key(&format!("invented-{n}")), false).unwrap().finish(&Ok(()), Duration::ZERO);
        }
        let status = board.status();
        assert!(status.routes.len() <= MAX_ROUTES);
        assert!(
            board.admit(&key("sick"), false).is_err(),
            "what is known to be sick is not forgotten for an invented name"
        );
        assert!(status.counts.calls.keys().all(|(route, _)| route == "p/other"), "{:?}", status.counts.calls);
    }
}
