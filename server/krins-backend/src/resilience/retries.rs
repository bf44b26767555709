//! The retry budget of one provider: repeats are a small share of the calls, so that a provider in trouble is not
//! called more often than one that is well.

use super::Calls;
use super::tally::Minute;
use std::time::Instant;

#[derive(Clone, Debug)]
pub(super) struct Retries {
    /// All calls of the last minute; the marked ones are repeats.
    minute: Minute,
}

impl Retries {
    pub fn new(now: Instant) -> Self {
        Self { minute: Minute::new(now) }
    }

    /// A first call was made.
    pub fn called(&mut self, now: Instant) {
        self.minute.add(false, now);
    }

    /// Whether one call may be repeated; then it counts.
    pub fn take(&mut self, calls: &Calls, now: Instant) -> bool {
        let (all, repeats) = self.minute.sum(now);
        let share = u64::from(repeats + 1) * 100 <= u64::from(all + 1) * u64::from(calls.retry_percent);
        let allowed = repeats < calls.retry_floor || share;
        if allowed {
            self.minute.add(true, now);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn repeats_stay_a_fifth_of_all_calls_above_a_floor() {
        let start = Instant::now();
        let calls = Calls::default();
        let mut retries = Retries::new(start);
        let granted = (0..1000).filter(|_| {
            retries.called(start);
            retries.take(&calls, start)
        });
        // r ≤ 0.2 × (1000 + r)
        assert_eq!(granted.count(), 250);
        let mut alone = Retries::new(start);
        alone.called(start);
        assert_eq!((0..100).filter(|_| alone.take(&calls, start)).count(), 10, "the floor");
        assert!(alone.take(&calls, start + Duration::from_secs(60)), "a minute later it is free again");
    }
}
