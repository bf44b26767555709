//! How long something took, counted in classes whose number is fixed, so that it can be kept for every route.

use std::time::Duration;

/// The upper ends of the classes, in seconds; what took longer is in one more. 10 is the usual first-token limit.
pub const ENDS: [f64; 12] = [0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0];

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Times {
    counts: [u64; ENDS.len() + 1],
    sum: f64,
}

impl Times {
    pub fn add(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        let class = ENDS.iter().position(|end| seconds <= *end).unwrap_or(ENDS.len());
        self.counts[class] += 1;
        self.sum += seconds;
    }

    pub fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(count, more)| *count += more);
        self.sum += other.sum;
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Seconds.
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// (upper end, times in this class), the last one without an end.
    pub fn classes(&self) -> Vec<(f64, u64)> {
        let ends = ENDS.iter().copied().chain([f64::INFINITY]);
        ends.zip(self.counts).collect()
    }

    /// The end of the class that this share of all times is within, in seconds; `None` without a time, and where they
    /// took longer than the last end.
    pub fn within(&self, share: f64) -> Option<f64> {
        let wanted = (self.count() as f64 * share).ceil().max(1.0);
        let mut seen = 0;
        let class = self.counts.iter().position(|count| {
            seen += count;
            seen as f64 >= wanted
        })?;
        ENDS.get(class).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_first_class_that_holds_it() {
        let mut times = Times::default();
        assert_eq!((times.count(), times.within(0.5)), (0, None));
        for millis in [50, 100, 101, 900, 90_000] {
            times.add(Duration::from_millis(millis));
        }
        assert_eq!((times.count(), times.within(0.4), times.within(0.5)), (5, Some(0.1), Some(0.25)));
        let mut twice = times.clone();
        twice.merge(&times);
        assert_eq!((twice.count(), twice.within(0.5)), (10, Some(0.25)));
        assert_eq!((times.within(0.8), times.within(1.0)), (Some(1.0), None));
        assert!((times.sum() - 91.151).abs() < 1e-9);
        let classes = times.classes();
        assert_eq!((classes.len(), classes[0], classes[ENDS.len()]), (13, (0.1, 2), (f64::INFINITY, 1)));
    }
}
