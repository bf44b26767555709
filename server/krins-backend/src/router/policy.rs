//! The ways to choose: fixed rules, ε-greedy, Thompson sampling, UCB1.

use super::{Arm, Scene};
use fastrand::Rng;

/// Samples that a chance under Thompson sampling is counted from.
const SAMPLES: usize = 200;

/// How it is chosen.
#[derive(Clone, Debug, PartialEq)]
pub enum Policy {
    /// The first rule that fits; without one, the first arm.
    Rules(Vec<Rule>),
    /// The best so far, and with this chance any.
    Epsilon(f64),
    /// As often as it is likely to be the best: a draw from Beta(1 + rewards, 1 + the rest) for each.
    Thompson,
    /// The best that each could be: mean + √(2 ln N / n) (Auer, Cesa-Bianchi, Fischer 2002).
    Ucb1,
}

/// `CLASS -> ROUTE` or `<MICROS -> ROUTE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub when: When,
    pub route: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    Always,
    Class(String),
    /// Less than so many millionths of a US dollar are left for the task.
    Below(u64),
}

/// What a policy says of the open arms, in their order.
pub struct Opinion {
    pub at: usize,
    pub scores: Vec<f64>,
    /// Chance of each to be chosen.
    pub chances: Vec<f64>,
}

impl Rule {
    pub fn parse(text: &str) -> Option<Self> {
        let (when, route) = text.split_once("->")?;
        let (when, route) = (when.trim(), route.trim());
        let when = match when.strip_prefix('<') {
            Some(number) => When::Below(number.trim().parse().ok()?),
            None if when == "*" => When::Always,
            None => When::Class(when.to_owned()),
        };
        let whole = route.split_once('/').is_some_and(|(provider, model)| !provider.is_empty() && !model.is_empty());
        whole.then(|| Self { when, route: route.to_owned() })
    }

    fn fits(&self, scene: &Scene<'_>) -> bool {
        match &self.when {
            When::Always => true,
            When::Class(class) => class == scene.class,
            When::Below(micros) => scene.micros.is_some_and(|left| left < *micros),
        }
    }
}

impl Policy {
    pub const NAMES: [&'static str; 4] = ["rules", "epsilon", "thompson", "ucb1"];

    /// One of each, as the defaults have them.
    pub fn all() -> Vec<Self> {
        vec![Self::Rules(Vec::new()), Self::Epsilon(0.1), Self::Thompson, Self::Ucb1]
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|policy| policy.name() == name)
    }

    pub const fn name(&self) -> &'static str {
        match self {
            Self::Rules(_) => "rules",
            Self::Epsilon(_) => "epsilon",
            Self::Thompson => "thompson",
            Self::Ucb1 => "ucb1",
        }
    }

    /// What its figure is.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Rules(_) => "by rule",
            Self::Epsilon(_) => "mean",
            Self::Thompson => "sampled",
            Self::Ucb1 => "bound",
        }
    }

    /// `None` when no arm is open.
    pub fn weigh(&self, scene: &Scene<'_>, open: &[&Arm], rng: &mut Rng) -> Option<Opinion> {
        let (at, scores) = self.favour(scene, open, rng)?;
        let chances = match self {
            Self::Rules(_) | Self::Ucb1 => (0..scores.len()).map(|arm| f64::from(u8::from(arm == at))).collect(),
            Self::Epsilon(epsilon) => {
                let (epsilon, best) = (epsilon.clamp(0.0, 1.0), best(&scores));
                let share = epsilon / open.len() as f64;
                (0..open.len()).map(|at| share + if at == best { 1.0 - epsilon } else { 0.0 }).collect()
            }
            Self::Thompson => chances_of_draws(open, rng),
        };
        Some(Opinion { at, scores, chances })
    }

    /// The arm alone and the scores, without the chance that each had: that of Thompson sampling takes a thousand times as
    /// long as the choice itself. `None` when no arm is open.
    pub fn favour(&self, scene: &Scene<'_>, open: &[&Arm], rng: &mut Rng) -> Option<(usize, Vec<f64>)> {
        if open.is_empty() {
            return None;
        }
        let scores = match self {
            Self::Rules(rules) => by_rules(rules, scene, open),
            // What was never tried counts as good, so that it is tried.
            Self::Epsilon(_) => open.iter().map(|arm| arm.mean().unwrap_or(1.0)).collect(),
            Self::Thompson => draw(open, rng),
            Self::Ucb1 => ucb1(open),
        };
        let at = match self {
            Self::Epsilon(epsilon) if rng.f64() < epsilon.clamp(0.0, 1.0) => rng.usize(..open.len()),
            _ => best(&scores),
        };
        Some((at, scores))
    }
}

fn by_rules(rules: &[Rule], scene: &Scene<'_>, open: &[&Arm]) -> Vec<f64> {
    let wished = rules.iter().filter(|rule| rule.fits(scene));
    let at = wished.filter_map(|rule| open.iter().position(|arm| arm.route == rule.route)).next().unwrap_or(0);
    (0..open.len()).map(|arm| f64::from(u8::from(arm == at))).collect()
}

fn draw(open: &[&Arm], rng: &mut Rng) -> Vec<f64> {
    open.iter().map(|arm| beta(1.0 + arm.sum.max(0.0), 1.0 + (arm.n as f64 - arm.sum).max(0.0), rng)).collect()
}

fn chances_of_draws(open: &[&Arm], rng: &mut Rng) -> Vec<f64> {
    let mut wins = vec![0u32; open.len()];
    for _ in 0..SAMPLES {
        if let Some(wins) = wins.get_mut(best(&draw(open, rng))) {
            *wins += 1;
        }
    }
    // An arm that was chosen had a chance, whatever the samples say.
    let total = (SAMPLES + open.len()) as f64;
    wins.iter().map(|wins| f64::from(wins + 1) / total).collect()
}

fn ucb1(open: &[&Arm]) -> Vec<f64> {
    let all: u64 = open.iter().map(|arm| arm.n).sum();
    let bound = |arm: &&Arm| match arm.mean() {
        Some(mean) => mean + (2.0 * (all as f64).ln().max(0.0) / arm.n as f64).sqrt(),
        None => f64::INFINITY,
    };
    open.iter().map(bound).collect()
}

/// The first of the highest.
fn best(scores: &[f64]) -> usize {
    let mut best = 0;
    for (at, score) in scores.iter().enumerate() {
        if scores.get(best).is_none_or(|highest| score > highest) {
            best = at;
        }
    }
    best
}

/// A draw from a Beta distribution, as two draws from Gamma ones.
fn beta(a: f64, b: f64, rng: &mut Rng) -> f64 {
    let (x, y) = (gamma(a, rng), gamma(b, rng));
    if x + y > 0.0 { x / (x + y) } else { 0.5 }
}

/// Marsaglia and Tsang, "A simple method for generating gamma variables" (2000), for a shape of 1 or more.
fn gamma(shape: f64, rng: &mut Rng) -> f64 {
    let d = shape.max(1.0) - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    // A try fails one time in twenty; what never succeeds is as good as the mean.
    for _ in 0..200 {
        let x = normal(rng);
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && (1.0 - rng.f64()).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
    d
}

/// Box and Muller.
fn normal(rng: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.f64()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beta_has_its_mean_and_variance() {
        let mut rng = Rng::with_seed(1);
        for (a, b) in [(1.0, 1.0), (8.0, 3.0), (1.0, 40.0)] {
            let draws: Vec<f64> = (0..20_000).map(|_| beta(a, b, &mut rng)).collect();
            let mean = draws.iter().sum::<f64>() / draws.len() as f64;
            let variance = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / draws.len() as f64;
            assert!((mean - a / (a + b)).abs() < 0.01, "{a} {b} {mean}");
            let expected = a * b / ((a + b).powi(2) * (a + b + 1.0));
            assert!((variance - expected).abs() < 0.005, "{a} {b} {variance}");
        }
    }

    /// 1,500 rounds of three arms: what learns loses less than chance does, and ends at the best.
    #[test]
    fn what_learns_finds_the_best_arm() {
        let truth = [0.3, 0.5, 0.8];
        for policy in [Policy::Epsilon(0.1), Policy::Thompson, Policy::Ucb1] {
            let mut rng = Rng::with_seed(5);
            let mut arms: Vec<Arm> =
                ["a/a", "b/b", "c/c"].map(|route| Arm { route: route.into(), n: 0, sum: 0.0, blocked: None }).into();
            let mut regret = 0.0;
            for seed in 0..1500 {
                let scene = Scene { class: "x", arms: &arms, micros: None };
                let route = super::super::pick(&policy, &scene, seed).unwrap();
                let at = arms.iter().position(|arm| arm.route == route).unwrap();
                arms[at].n += 1;
                arms[at].sum += f64::from(u8::from(rng.f64() < truth[at]));
                regret += 0.8 - truth[at];
            }
            assert!(regret < 0.5 * 1500.0 * 0.267, "{policy:?}: {regret}");
            assert!(arms[2].n > 900, "{policy:?}: {arms:?}");
        }
    }

    #[test]
    fn rules_are_read_and_the_first_that_fits_and_is_open_counts() {
        let rules: Vec<Rule> =
            ["<500 -> c/z", "docs -> b/y", "* -> a/x"].iter().map(|text| Rule::parse(text).unwrap()).collect();
        let arms: Vec<Arm> =
            ["a/x", "b/y", "c/z"].map(|route| Arm { route: route.into(), n: 0, sum: 0.0, blocked: None }).into();
        let route = |class: &str, micros: Option<u64>, arms: &[Arm]| {
            let scene = Scene { class, arms, micros };
            super::super::choose(&Policy::Rules(rules.clone()), 0, &scene, 1).unwrap().route
        };
        assert_eq!(route("docs", None, &arms), "b/y");
        assert_eq!(route("docs", Some(499), &arms), "c/z");
        assert_eq!(route("fix", Some(500), &arms), "a/x");
        assert_eq!(route("docs", Some(1), &arms[..2]), "b/y");
        for bad in ["docs", "docs -> x", "<a -> a/b", "-> a/", ""] {
            assert_eq!(Rule::parse(bad), None, "{bad}");
        }
    }
}
