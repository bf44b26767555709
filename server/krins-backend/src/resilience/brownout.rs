//! Brownout: when tasks wait too long or take too long, less is done for each, step by step, and all of it again when
//! there is room. Pure: time comes in as an argument. Only the service presses: a lone person's slow model is no
//! overload.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What is left out; each level leaves out what those before it do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    #[default]
    Normal,
    /// Asks that name no model go to the provider's economy model.
    CheaperModel,
    /// One variant a task.
    OneVariant,
    /// No second model judges.
    JudgeOff,
    /// Only what is cached is answered.
    CacheOnly,
}

/// One level's entry: either figure leads up to it.
struct Step {
    level: Level,
    /// Times the settings' queue age.
    queue: u32,
    /// Percent of the settings' p95; none where a long time alone is no reason.
    p95: Option<u32>,
}

/// Slow answers alone never close the door: that needs a queue.
const STEPS: [Step; 4] = [
    Step { level: Level::CheaperModel, queue: 1, p95: Some(100) },
    Step { level: Level::OneVariant, queue: 2, p95: Some(125) },
    Step { level: Level::JudgeOff, queue: 4, p95: Some(150) },
    Step { level: Level::CacheOnly, queue: 12, p95: None },
];

impl Level {
    pub const ALL: [Level; 5] = [Self::Normal, Self::CheaperModel, Self::OneVariant, Self::JudgeOff, Self::CacheOnly];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::CheaperModel => "cheaper-model",
            Self::OneVariant => "one-variant",
            Self::JudgeOff => "judge-off",
            Self::CacheOnly => "cache-only",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }

    pub fn cheaper_model(self) -> bool {
        self >= Self::CheaperModel
    }

    pub fn one_variant(self) -> bool {
        self >= Self::OneVariant
    }

    pub fn judge_off(self) -> bool {
        self >= Self::JudgeOff
    }

    pub fn cache_only(self) -> bool {
        self >= Self::CacheOnly
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrownoutConfig {
    /// A level for good, whatever the pressure.
    pub pinned: Option<Level>,
    /// The oldest waiting task's age that leads to the first level.
    pub queue_age: Duration,
    /// The p95 of answers that leads to the first level.
    pub p95: Duration,
    /// The pressure has to be there so long before the next level up,
    pub up: Duration,
    /// and gone so long before the next one down.
    pub down: Duration,
}

impl Default for BrownoutConfig {
    fn default() -> Self {
        Self {
            pinned: None,
            queue_age: Duration::from_secs(5),
            p95: Duration::from_secs(45),
            up: Duration::from_secs(5),
            down: Duration::from_secs(30),
        }
    }
}

/// Percent of a level's entry below which it is left.
const LEAVE: u32 = 70;
/// Answers that a p95 is made of, at most and at least.
const SAMPLES: usize = 512;
const LEAST_SAMPLES: usize = 20;
/// Answers older than this say nothing of now.
const SAMPLE_AGE: Duration = Duration::from_secs(300);

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pressure {
    pub queue_age: Duration,
    /// None while there are too few answers.
    pub p95: Option<Duration>,
}

#[derive(Clone, Debug, Default)]
pub struct Brownout {
    config: BrownoutConfig,
    level: Level,
    /// Since when the pressure is above the next level's entry, or below this one's exit.
    above: Option<Instant>,
    below: Option<Instant>,
    times: VecDeque<(Instant, Duration)>,
    last: Option<Pressure>,
}

impl Brownout {
    pub fn new(config: BrownoutConfig, _now: Instant) -> Self {
        Self { config, level: config.pinned.unwrap_or_default(), ..Self::default() }
    }

    pub fn level(&self) -> Level {
        self.level
    }

    pub fn last(&self) -> Option<Pressure> {
        self.last
    }

    pub fn answered(&mut self, took: Duration, now: Instant) {
        if self.times.len() == SAMPLES {
            self.times.pop_front();
        }
        self.times.push_back((now, took));
    }

    /// Takes the queue's age; moves at most one level, and says from where to where.
    pub fn press(&mut self, queue_age: Duration, now: Instant) -> Option<(Level, Level, Pressure)> {
        let pressure = Pressure { queue_age, p95: self.p95(now) };
        self.last = Some(pressure);
        if self.config.pinned.is_some() {
            return None;
        }
        let before = self.level;
        if self.is_above(&pressure) {
            self.below = None;
            let since = *self.above.get_or_insert(now);
            if now.saturating_duration_since(since) >= self.config.up {
                self.above = None;
                self.level = self.next().unwrap_or(before);
            }
        } else if self.is_below(&pressure) {
            self.above = None;
            let since = *self.below.get_or_insert(now);
            if now.saturating_duration_since(since) >= self.config.down {
                self.below = None;
                self.level = self.previous();
            }
        } else {
            (self.above, self.below) = (None, None);
        }
        (self.level != before).then_some((before, self.level, pressure))
    }

    /// At or above the entry of the next level.
    fn is_above(&self, pressure: &Pressure) -> bool {
        STEPS.iter().find(|step| step.level > self.level).is_some_and(|step| self.reaches(step, pressure, 100))
    }

    /// Well below the entry of this one.
    fn is_below(&self, pressure: &Pressure) -> bool {
        STEPS.iter().find(|step| step.level == self.level).is_some_and(|step| !self.reaches(step, pressure, LEAVE))
    }

    fn reaches(&self, step: &Step, pressure: &Pressure, percent: u32) -> bool {
        let queue = self.config.queue_age * step.queue * percent / 100;
        let slow =
            step.p95.zip(pressure.p95).is_some_and(|(share, p95)| p95 >= self.config.p95 * share / 100 * percent / 100);
        pressure.queue_age >= queue || slow
    }

    fn next(&self) -> Option<Level> {
        Level::ALL.into_iter().find(|level| *level > self.level)
    }

    fn previous(&self) -> Level {
        Level::ALL.into_iter().rev().find(|level| *level < self.level).unwrap_or_default()
    }

    fn p95(&mut self, now: Instant) -> Option<Duration> {
        while self.times.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > SAMPLE_AGE) {
            self.times.pop_front();
        }
        if self.times.len() < LEAST_SAMPLES {
            return None;
        }
        let mut times: Vec<Duration> = self.times.iter().map(|(_, took)| *took).collect();
        let rank = (times.len() * 95).div_ceil(100) - 1;
        Some(*times.select_nth_unstable(rank).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Day {
        brownout: Brownout,
        now: Instant,
    }

    impl Day {
        fn new(config: BrownoutConfig) -> Self {
            let now = Instant::now();
            Self { brownout: Brownout::new(config, now), now }
        }

        /// Every second the same age; the levels on the way.
        fn press(&mut self, age: u64, seconds: u64) -> Vec<Level> {
            let mut levels = Vec::new();
            for _ in 0..seconds {
                self.now += Duration::from_secs(1);
                levels.extend(self.brownout.press(Duration::from_secs(age), self.now).map(|(_, to, _)| to));
            }
            levels
        }
    }

    #[test]
    fn a_queue_that_grows_old_leads_up_step_by_step_and_down_more_slowly() {
        let mut day = Day::new(BrownoutConfig::default());
        assert_eq!(day.press(4, 100), []);
        assert_eq!(day.press(6, 100), [Level::CheaperModel], "old enough for the first level only");
        assert_eq!(day.press(60, 30), [Level::OneVariant, Level::JudgeOff, Level::CacheOnly]);
        assert_eq!(day.press(50, 300), [], "between its exit and its entry a level stays");
        assert_eq!(day.press(0, 29), []);
        assert_eq!(day.press(0, 200), [Level::JudgeOff, Level::OneVariant, Level::CheaperModel, Level::Normal]);
    }

    #[test]
    fn a_moment_is_no_pressure() {
        let mut day = Day::new(BrownoutConfig::default());
        for _ in 0..20 {
            assert_eq!(day.press(60, 4), []);
            assert_eq!(day.press(0, 1), []);
        }
        assert_eq!(day.brownout.level(), Level::Normal);
    }

    #[test]
    fn slow_answers_lead_up_but_never_to_the_cache_alone() {
        let mut day = Day::new(BrownoutConfig::default());
        (0..19).for_each(|_| day.brownout.answered(Duration::from_secs(600), day.now));
        assert_eq!(day.press(0, 60), [], "too few to say");
        (0..20).for_each(|_| day.brownout.answered(Duration::from_secs(600), day.now));
        assert_eq!(day.press(0, 200), [Level::CheaperModel, Level::OneVariant, Level::JudgeOff]);
        assert_eq!(day.press(0, 300).last(), Some(&Level::Normal), "answers of five minutes ago say nothing");
    }

    #[test]
    fn the_p95_is_the_one_below_which_19_of_20_are() {
        let mut day = Day::new(BrownoutConfig::default());
        (1..=100).for_each(|n| day.brownout.answered(Duration::from_secs(n), day.now));
        assert_eq!(day.brownout.p95(day.now), Some(Duration::from_secs(95)));
    }

    #[test]
    fn a_pinned_level_stays() {
        let mut day = Day::new(BrownoutConfig { pinned: Some(Level::JudgeOff), ..BrownoutConfig::default() });
        assert_eq!(day.press(100, 100), []);
        assert_eq!(day.brownout.level(), Level::JudgeOff);
        for level in Level::ALL {
            assert_eq!(Level::of_name(level.name()), Some(level));
        }
    }
}
