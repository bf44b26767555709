//! Counts of the last minute, second by second, in a fixed amount of memory.

use std::time::{Duration, Instant};

const SECONDS: usize = 60;

#[derive(Clone, Copy, Debug, Default)]
struct Second {
    number: u64,
    all: u32,
    marked: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Minute {
    epoch: Instant,
    seconds: [Second; SECONDS],
}

impl Minute {
    pub fn new(epoch: Instant) -> Self {
        Self { epoch, seconds: [Second::default(); SECONDS] }
    }

    pub fn add(&mut self, marked: bool, now: Instant) {
        let number = self.number(now);
        let second = &mut self.seconds[(number as usize) % SECONDS];
        if second.number != number {
            *second = Second { number, ..Second::default() };
        }
        second.all = second.all.saturating_add(1);
        second.marked = second.marked.saturating_add(u32::from(marked));
    }

    /// (all, marked) of the last 60 seconds.
    pub fn sum(&self, now: Instant) -> (u32, u32) {
        let number = self.number(now);
        let recent = self.seconds.iter().filter(|second| second.number + SECONDS as u64 > number);
        recent.fold((0, 0), |(all, marked), second| {
            (u32::saturating_add(all, second.all), u32::saturating_add(marked, second.marked))
        })
    }

    fn number(&self, now: Instant) -> u64 {
        // From 60, so that the seconds that never were are old.
        now.saturating_duration_since(self.epoch).saturating_add(Duration::from_secs(SECONDS as u64)).as_secs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_later_it_is_forgotten() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut minute = Minute::new(start);
        assert_eq!(minute.sum(at(0)), (0, 0));
        minute.add(true, at(0));
        minute.add(false, at(0));
        minute.add(true, at(30));
        assert_eq!(minute.sum(at(30)), (3, 2));
        assert_eq!(minute.sum(at(59)), (3, 2));
        assert_eq!(minute.sum(at(60)), (1, 1));
        minute.add(false, at(60));
        assert_eq!(minute.sum(at(60)), (2, 1));
        assert_eq!(minute.sum(at(500)), (0, 0));
    }
}
