//! One route's circuit breaker and cool-downs. Pure: time comes in as an argument.
//!
//! Closed, it lets every call through and counts. Three counted failures in a row, or half of at least six calls of a
//! minute, open it. After the rest exactly one call is let through; it closes the breaker, or opens it again. The rest
//! doubles, up to its cap, after every probe that cost time or money; a probe that was refused at once costs neither, so
//! four of those count as one, and a provider that is back after a short outage is noticed soon.
//!
//! What only a person can clear (a key, money) opens it too, for long. A provider's own wish (`Retry-After`) only rests.

use super::tally::Minute;
use crate::error::{Effect, Fault, ProviderError};
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerConfig {
    /// Counted failures in a row that open it.
    pub consecutive: u32,
    /// Percent of the last minute's calls that open it,
    pub percent: u32,
    /// when there were at least so many.
    pub least_calls: u32,
    pub open: Duration,
    pub open_cap: Duration,
    /// A probe that fails sooner was cheap.
    pub cheap: Duration,
    /// After a spent quota.
    pub quota: Duration,
    /// After a key that was not accepted.
    pub auth: Duration,
    /// The longest `Retry-After` that is believed.
    pub limit_cap: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            consecutive: 3,
            percent: 50,
            least_calls: 6,
            open: Duration::from_secs(15),
            open_cap: Duration::from_secs(60),
            cheap: Duration::from_secs(1),
            quota: Duration::from_secs(3600),
            auth: Duration::from_secs(600),
            limit_cap: Duration::from_secs(3600),
        }
    }
}

/// While a probe is out, others look again after this.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Cheap failures that weigh as much as a dear one.
const CHEAP_ONES: u32 = 4;

/// What a finished call says about its route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answered, even if with a refusal.
    Alive,
    Failed(Fault),
    Limited(Duration),
    /// Only a person can clear it.
    Disabled(Fault),
    /// Nothing: it was cancelled, or failed on this side.
    Unknown,
}

impl Outcome {
    /// By the taxonomy. A call that the task's end cut short says nothing, unless it had its whole first-token time.
    pub fn of(error: Option<&ProviderError>, took: Duration, first_token: Duration) -> Self {
        let Some(error) = error else { return Self::Alive };
        match error.fault.rule().effect {
            Effect::Alive => Self::Alive,
            Effect::Counts if error.fault == Fault::Deadline && took < first_token => Self::Unknown,
            Effect::Counts => Self::Failed(error.fault),
            Effect::Rests => Self::Limited(error.retry_after.unwrap_or_default()),
            Effect::Disables => Self::Disabled(error.fault),
            Effect::Nothing => Self::Unknown,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Failed(_) => "failed",
            Self::Limited(_) => "limited",
            Self::Disabled(_) => "disabled",
            Self::Unknown => "unknown",
        }
    }
}

/// A step from one state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Opened { cause: Fault, wait: Duration },
    Limited { wait: Duration },
    HalfOpened,
    Closed,
}

impl Change {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Opened { .. } => "open",
            Self::Limited { .. } => "resting",
            Self::HalfOpened => "half-open",
            Self::Closed => "closed",
        }
    }
}

/// A call that was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    probe: bool,
    /// A call from before a change says nothing about what is after it.
    generation: u64,
}

impl Pass {
    pub fn is_probe(self) -> bool {
        self.probe
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    Call(Pass),
    Wait { until: Instant, cause: Fault },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Closed,
    /// Half-open from `until` on; `probing` while the one call is out.
    Open { until: Instant, cause: Fault, probing: bool },
}

/// As a person sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    Closed,
    Resting { until: Instant },
    Open { until: Instant, cause: Fault },
    HalfOpen { cause: Fault },
    Disabled { until: Instant, cause: Fault },
}

#[derive(Clone, Debug, Default)]
pub struct Breaker {
    state: State,
    generation: u64,
    consecutive: u32,
    /// The marked ones failed.
    minute: Option<Minute>,
    /// What failed probes weigh, in quarters of a doubling.
    weight: u32,
    /// The provider's wish.
    not_before: Option<Instant>,
}

impl Breaker {
    pub fn admit(&mut self, config: &BreakerConfig, now: Instant, last_resort: bool) -> Admission {
        if let Some(until) = self.not_before.filter(|until| *until > now) {
            return Admission::Wait { until, cause: Fault::RateLimited };
        }
        let State::Open { until, cause, probing } = &mut self.state else {
            return Admission::Call(Pass { probe: false, generation: self.generation });
        };
        let person_is_here = last_resort && cause.rule().effect == Effect::Disables;
        if *probing {
            // The probe's outcome is looked at soon; its own time is not known.
            return Admission::Wait { until: now + LOOK_AGAIN.min(config.open), cause: *cause };
        }
        if now < *until && !person_is_here {
            return Admission::Wait { until: *until, cause: *cause };
        }
        *probing = true;
        Admission::Call(Pass { probe: true, generation: self.generation })
    }

    /// Takes the outcome of a call that was let through.
    pub fn record(
        &mut self,
        config: &BreakerConfig,
        pass: Pass,
        outcome: Outcome,
        took: Duration,
        now: Instant,
    ) -> Option<Change> {
        if pass.generation != self.generation {
            return None;
        }
        if pass.probe {
            return self.probed(config, outcome, took, now);
        }
        let minute = self.minute.get_or_insert_with(|| Minute::new(now));
        match outcome {
            Outcome::Unknown => None,
            Outcome::Alive => {
                self.consecutive = 0;
                minute.add(false, now);
                None
            }
            Outcome::Failed(cause) => {
                self.consecutive += 1;
                minute.add(true, now);
                let (all, failed) = minute.sum(now);
                let often = all >= config.least_calls && failed * 100 >= all * config.percent;
                (self.consecutive >= config.consecutive || often).then(|| self.open(config, cause, now))
            }
            Outcome::Limited(wait) => self.rest(config, wait, now),
            Outcome::Disabled(cause) => Some(self.open(config, cause, now)),
        }
    }

    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    pub fn shown(&self, now: Instant) -> Shown {
        match self.state {
            State::Open { until, cause, .. } if cause.rule().effect == Effect::Disables => {
                Shown::Disabled { until, cause }
            }
            State::Open { until, cause, probing: false } if now < until => Shown::Open { until, cause },
            State::Open { cause, .. } => Shown::HalfOpen { cause },
            State::Closed => match self.not_before.filter(|until| *until > now) {
                Some(until) => Shown::Resting { until },
                None => Shown::Closed,
            },
        }
    }

    fn probed(&mut self, config: &BreakerConfig, outcome: Outcome, took: Duration, now: Instant) -> Option<Change> {
        match outcome {
            Outcome::Unknown => {
                if let State::Open { probing, .. } = &mut self.state {
                    *probing = false;
                }
                None
            }
            Outcome::Failed(cause) => {
                self.weight += if took < config.cheap { 1 } else { CHEAP_ONES };
                Some(self.open(config, cause, now))
            }
            Outcome::Disabled(cause) => Some(self.open(config, cause, now)),
            Outcome::Alive | Outcome::Limited(_) => {
                let generation = self.generation + 1;
                *self = Self { generation, ..Self::default() };
                if let Outcome::Limited(wait) = outcome {
                    self.rest(config, wait, now);
                }
                Some(Change::Closed)
            }
        }
    }

    fn open(&mut self, config: &BreakerConfig, cause: Fault, now: Instant) -> Change {
        let wait = match cause {
            Fault::QuotaExhausted => config.quota,
            Fault::Auth => config.auth,
            _ => {
                let doublings = (self.weight / CHEAP_ONES).min(16);
                config.open.saturating_mul(1 << doublings).min(config.open_cap.max(config.open))
            }
        };
        self.state = State::Open { until: now + wait, cause, probing: false };
        self.generation += 1;
        self.consecutive = 0;
        self.minute = None;
        Change::Opened { cause, wait }
    }

    fn rest(&mut self, config: &BreakerConfig, wait: Duration, now: Instant) -> Option<Change> {
        let wait = wait.min(config.limit_cap);
        if wait.is_zero() {
            return None;
        }
        let until = now + wait;
        // A later word does not make an earlier one shorter.
        let later = self.not_before.is_none_or(|known| until > known);
        later.then(|| {
            self.not_before = Some(until);
            Change::Limited { wait }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(5);
    const SLOW: Duration = Duration::from_secs(10);

    struct Line {
        breaker: Breaker,
        now: Instant,
    }

    impl Line {
        fn new() -> Self {
            Self { breaker: Breaker::default(), now: Instant::now() }
        }

        fn admit(&mut self) -> Admission {
            self.breaker.admit(&BreakerConfig::default(), self.now, false)
        }

        fn call(&mut self, outcome: Outcome, took: Duration) -> Option<Change> {
            let Admission::Call(pass) = self.admit() else { panic!("it rests") };
            self.breaker.record(&BreakerConfig::default(), pass, outcome, took, self.now)
        }

        fn fails(&mut self) -> Option<Change> {
            self.call(Outcome::Failed(Fault::Server), QUICK)
        }

        fn break_it(&mut self) {
            let changes: Vec<Option<Change>> = (0..3).map(|_| self.fails()).collect();
            assert!(matches!(changes[..], [None, None, Some(Change::Opened { .. })]), "{changes:?}");
        }

        fn rests(&mut self) -> Option<u64> {
            match self.admit() {
                Admission::Wait { until, .. } => Some((until - self.now).as_secs()),
                Admission::Call(pass) => {
                    self.breaker.record(&BreakerConfig::default(), pass, Outcome::Unknown, QUICK, self.now);
                    None
                }
            }
        }

        fn wait(&mut self, seconds: u64) {
            self.now += Duration::from_secs(seconds);
        }
    }

    #[test]
    fn three_in_a_row_open_it_for_fifteen_seconds() {
        let mut line = Line::new();
        assert_eq!((line.fails(), line.fails()), (None, None));
        line.call(Outcome::Alive, QUICK);
        assert_eq!((line.fails(), line.fails()), (None, None), "an answer in between begins the row anew");
        let opened = Change::Opened { cause: Fault::Server, wait: Duration::from_secs(15) };
        assert_eq!(line.fails(), Some(opened));
        assert_eq!(line.rests(), Some(15));
        line.wait(14);
        assert_eq!(line.rests(), Some(1));
        line.wait(1);
        assert_eq!(line.rests(), None);
    }

    #[test]
    fn half_of_six_calls_of_a_minute_open_it() {
        let mut line = Line::new();
        for _ in 0..2 {
            assert_eq!(line.fails(), None);
            assert_eq!(line.call(Outcome::Alive, QUICK), None);
        }
        assert_eq!(line.call(Outcome::Alive, QUICK), None);
        assert!(matches!(line.fails(), Some(Change::Opened { .. })), "3 of 6");
        let mut line = Line::new();
        for _ in 0..2 {
            line.fails();
            line.call(Outcome::Alive, QUICK);
        }
        line.wait(61);
        for _ in 0..2 {
            assert_eq!(line.fails(), None, "the failures of a minute ago are forgotten");
            line.call(Outcome::Alive, QUICK);
        }
    }

    #[test]
    fn the_rest_doubles_to_a_minute_after_probes_that_cost_time() {
        let mut line = Line::new();
        line.break_it();
        let mut rests = Vec::new();
        for _ in 0..4 {
            rests.push(line.rests().unwrap());
            line.wait(*rests.last().unwrap());
            line.call(Outcome::Failed(Fault::FirstTokenTimeout), SLOW);
        }
        assert_eq!(rests, [15, 30, 60, 60]);
    }

    #[test]
    fn a_short_outage_is_noticed_to_be_over_within_fifteen_seconds_and_a_long_one_asked_once_a_minute() {
        let mut line = Line::new();
        line.break_it();
        let mut rests = Vec::new();
        for _ in 0..10 {
            rests.push(line.rests().unwrap());
            line.wait(*rests.last().unwrap());
            line.fails();
        }
        assert_eq!(rests, [15, 15, 15, 15, 30, 30, 30, 30, 60, 60]);
    }

    #[test]
    fn a_probe_closes_it_and_the_past_is_forgotten() {
        let mut line = Line::new();
        line.break_it();
        line.wait(15);
        let Admission::Call(probe) = line.admit() else { panic!() };
        assert!(probe.is_probe());
        assert!(matches!(line.admit(), Admission::Wait { .. }), "one probe");
        let config = BreakerConfig::default();
        assert_eq!(line.breaker.record(&config, probe, Outcome::Alive, QUICK, line.now), Some(Change::Closed));
        assert_eq!((line.fails(), line.fails()), (None, None));
        assert!(line.fails().is_some());
        assert_eq!(line.rests(), Some(15));
    }

    #[test]
    fn a_call_from_before_the_opening_says_nothing() {
        let mut line = Line::new();
        let Admission::Call(early) = line.admit() else { panic!() };
        line.break_it();
        let config = BreakerConfig::default();
        assert_eq!(line.breaker.record(&config, early, Outcome::Alive, QUICK, line.now), None);
        assert_eq!(line.rests(), Some(15));
    }

    #[test]
    fn a_wish_is_kept_to_the_second_and_a_shorter_one_after_it_changes_nothing() {
        let mut line = Line::new();
        let wish = Duration::from_secs(7);
        let Admission::Call(other) = line.admit() else { panic!() };
        assert_eq!(line.call(Outcome::Limited(wish), QUICK), Some(Change::Limited { wait: wish }));
        let config = BreakerConfig::default();
        line.breaker.record(&config, other, Outcome::Limited(Duration::from_secs(1)), QUICK, line.now);
        assert_eq!(line.rests(), Some(7));
        line.wait(7);
        assert_eq!(line.rests(), None);
        assert_eq!(line.call(Outcome::Limited(Duration::ZERO), QUICK), None, "without a wish there is no rest");
    }

    #[test]
    fn a_bad_key_disables_it_until_a_person_is_there() {
        let mut line = Line::new();
        assert!(line.call(Outcome::Disabled(Fault::Auth), QUICK).is_some());
        assert_eq!(line.rests(), Some(600));
        let config = BreakerConfig::default();
        let Admission::Call(probe) = line.breaker.admit(&config, line.now, true) else { panic!("the last resort") };
        assert!(matches!(line.breaker.admit(&config, line.now, true), Admission::Wait { .. }), "one at a time");
        assert_eq!(line.breaker.record(&config, probe, Outcome::Alive, QUICK, line.now), Some(Change::Closed));
        line.break_it();
        assert!(
            matches!(line.breaker.admit(&config, line.now, true), Admission::Wait { .. }),
            "what fails by itself clears by itself"
        );
    }

    #[test]
    fn what_a_task_had_no_time_for_is_not_held_against_the_route() {
        let late = ProviderError::new(Fault::Deadline, "x");
        assert_eq!(Outcome::of(Some(&late), QUICK, SLOW), Outcome::Unknown);
        assert_eq!(Outcome::of(Some(&late), SLOW, SLOW), Outcome::Failed(Fault::Deadline));
        for fault in [Fault::Refused, Fault::ContextLength, Fault::BadRequest, Fault::OutputLimit, Fault::NotFound] {
            assert_eq!(Outcome::of(Some(&ProviderError::new(fault, "x")), QUICK, SLOW), Outcome::Alive, "{fault:?}");
        }
    }
}
