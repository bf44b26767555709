//! What other choices would have brought, from a log of choices that were made by chance: inverse propensity scores.
//! Horvitz and Thompson's estimator is right on average; the self-normalised one varies less. Where a choice had no chance
//! at all, no log can say what would have come of it.

use super::log::{History, Logged, arms};
use super::{Policy, Scene, pick};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What one fixed arm, or a policy, would have brought a choice.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Value {
    pub name: String,
    /// Choices of the log that say something about it.
    pub matched: u64,
    /// How many choices made by it alone would say as much.
    pub effective: f64,
    /// Reward a choice, on average: inverse propensity scores.
    pub ips: f64,
    /// The same, self-normalised.
    pub snips: f64,
}

/// A log, judged.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Replay {
    pub decisions: u64,
    /// What was brought on average.
    pub reward: f64,
    /// Each arm alone, best first.
    pub arms: Vec<Value>,
    /// Each policy, learning as it goes through the log.
    pub policies: Vec<Value>,
    /// How much less was brought than the best fixed arm would have, a choice; below zero it was more.
    pub regret: Option<f64>,
}

/// The log, oldest first.
pub fn replay(log: &[Logged], seed: u64) -> Replay {
    let routes: BTreeSet<&str> =
        log.iter().flat_map(|logged| &logged.decision.arms).map(|arm| arm.route.as_str()).collect();
    let mut arms: Vec<Value> = routes
        .iter()
        .map(|route| {
            let chosen = |logged: &&Logged| logged.decision.route == *route;
            value(route, log.len(), log.iter().filter(chosen).map(|logged| (logged.reward, 1.0 / chance(logged))))
        })
        .collect();
    arms.sort_by(|a, b| b.snips.total_cmp(&a.snips).then_with(|| a.name.cmp(&b.name)));
    let reward = mean(log.iter().map(|logged| logged.reward));
    let best = arms
        .iter()
        .filter(|arm| arm.matched > 0)
        .map(|arm| arm.snips)
        .fold(None, |best: Option<f64>, value| Some(best.map_or(value, |best| best.max(value))));
    Replay {
        decisions: log.len() as u64,
        reward,
        arms,
        policies: Policy::all().iter().map(|policy| learning(policy, log, seed)).collect(),
        regret: best.map(|best| best - reward),
    }
}

/// A policy on arms whose true rewards are known.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Game {
    pub policy: String,
    /// What it lost in all against always taking the best arm.
    pub regret: f64,
    /// How often each arm was taken.
    pub pulls: BTreeMap<String, u64>,
}

/// Plays so many rounds; each reward is all or nothing, with the arm's chance.
pub fn play(policy: &Policy, truth: &[(String, f64)], rounds: u32, seed: u64) -> Game {
    let best = truth.iter().map(|(_, reward)| *reward).fold(0.0, f64::max);
    let mut rng = fastrand::Rng::with_seed(seed);
    let routes: Vec<String> = truth.iter().map(|(route, _)| route.clone()).collect();
    let mut arms = arms(&routes, &History::new());
    let mut regret = 0.0;
    for round in 0..rounds {
        let scene = Scene { class: "other", arms: &arms, micros: None };
        let Some(chosen) = pick(policy, &scene, seed.wrapping_add(u64::from(round))) else { continue };
        let wins = truth.iter().find(|(route, _)| *route == chosen).map_or(0.0, |(_, reward)| *reward);
        if let Some(arm) = arms.iter_mut().find(|arm| arm.route == chosen) {
            arm.n += 1;
            arm.sum += f64::from(u8::from(rng.f64() < wins));
        }
        regret += best - wins;
    }
    let pulls = arms.into_iter().map(|arm| (arm.route, arm.n)).collect();
    Game { policy: policy.name().to_owned(), regret, pulls }
}

/// A policy goes through the log and learns only from the choices that it would have made itself (Li and others 2011),
/// each weighed by the chance it had.
fn learning(policy: &Policy, log: &[Logged], seed: u64) -> Value {
    let mut known: BTreeMap<String, History> = BTreeMap::new();
    let mut matched = Vec::new();
    for (number, logged) in log.iter().enumerate() {
        let open: Vec<String> =
            logged.decision.arms.iter().filter(|arm| arm.blocked.is_none()).map(|arm| arm.route.clone()).collect();
        let history = known.entry(logged.decision.class.clone()).or_default();
        let arms = arms(&open, history);
        let scene = Scene { class: &logged.decision.class, arms: &arms, micros: None };
        let Some(chosen) = pick(policy, &scene, seed.wrapping_add(number as u64)) else { continue };
        if chosen == logged.decision.route {
            matched.push((logged.reward, 1.0 / chance(logged)));
            let (n, sum) = history.entry(chosen).or_default();
            *n += 1;
            *sum += logged.reward;
        }
    }
    value(policy.name(), log.len(), matched.into_iter())
}

fn value(name: &str, all: usize, matched: impl Iterator<Item = (f64, f64)>) -> Value {
    let (mut count, mut weights, mut squares, mut sum) = (0, 0.0, 0.0, 0.0);
    for (reward, weight) in matched {
        count += 1;
        weights += weight;
        squares += weight * weight;
        sum += weight * reward;
    }
    let ratio = |a: f64, b: f64| if b > 0.0 { a / b } else { 0.0 };
    Value {
        name: name.to_owned(),
        matched: count,
        effective: ratio(weights * weights, squares),
        ips: ratio(sum, all as f64),
        snips: ratio(sum, weights),
    }
}

/// A logged chance is one: not zero, not more than certain.
fn chance(logged: &Logged) -> f64 {
    let told = logged.decision.propensity;
    if told.is_finite() { told.clamp(1e-3, 1.0) } else { 1.0 }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (count, sum) = values.fold((0.0, 0.0), |(count, sum), value| (count + 1.0, sum + value));
    if count > 0.0 { sum / count } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::super::choose;
    use super::*;

    /// A log of uniform choices among three arms whose true rewards are known.
    fn log(policy: &Policy, explore: u8, rounds: u64) -> Vec<Logged> {
        let truth = [("a/x", 0.2), ("b/y", 0.6), ("c/z", 0.45)];
        let routes = truth.map(|(route, _)| route.to_owned());
        let mut rng = fastrand::Rng::with_seed(99);
        let mut history = History::new();
        (0..rounds)
            .map(|seed| {
                let arms = arms(&routes, &history);
                let decision =
                    choose(policy, explore, &Scene { class: "fix", arms: &arms, micros: None }, seed).unwrap();
                let wins = truth.iter().find(|(route, _)| *route == decision.route).unwrap().1;
                let reward = f64::from(u8::from(rng.f64() < wins));
                let (n, sum) = history.entry(decision.route.clone()).or_default();
                *n += 1;
                *sum += reward;
                Logged { decision, reward }
            })
            .collect()
    }

    #[test]
    fn the_estimates_are_the_truth_and_the_regret_is_against_the_best_arm() {
        for policy in [Policy::Epsilon(1.0), Policy::Thompson, Policy::Ucb1] {
            let replay = replay(&log(&policy, 20, 2_500), 1);
            assert_eq!(replay.arms[0].name, "b/y", "{replay:?}");
            for (arm, truth) in replay.arms.iter().zip([0.6, 0.45, 0.2]) {
                assert!((arm.snips - truth).abs() < 0.1 && (arm.ips - truth).abs() < 0.15, "{policy:?} {arm:?}");
            }
            let regret = replay.regret.unwrap();
            let expected = 0.6 - replay.reward;
            assert!((regret - expected).abs() < 0.06, "{policy:?} {regret} {expected}");
        }
        let uniform = replay(&log(&Policy::Epsilon(1.0), 0, 2_500), 1);
        let of = |name: &str| uniform.policies.iter().find(|value| value.name == name).unwrap().snips;
        let better = uniform.reward + 0.1;
        assert!(of("thompson") > better && of("epsilon") > better, "what learns would have brought more: {uniform:?}");
        assert!(uniform.regret.unwrap() > 0.1, "uniform choices cost something: {uniform:?}");
    }

    #[test]
    fn an_empty_log_says_nothing() {
        let nothing = replay(&[], 1);
        assert_eq!((nothing.decisions, nothing.regret, nothing.arms.len()), (0, None, 0));
        assert!(nothing.policies.iter().all(|value| value.matched == 0));
    }
}
