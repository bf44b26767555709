//! Who answers, where the person leaves it open: arms (routes) weighed by what came of them so far. Every choice is
//! explained and logged with the chance it had, so that it can be judged afterwards. Pure but for [`log`]: chance and what
//! is known come in.

pub mod log;
pub mod policy;
pub mod replay;

pub use log::{History, Logged};
pub use policy::{Policy, Rule};

use crate::money::meter::now_ms;
use crate::money::{Books, Meter, dollars};
use crate::provider::Kind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What the settings say of routing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouterConfig {
    /// Without one there is nothing to choose.
    pub policy: Option<Policy>,
    /// `provider/model`.
    pub arms: Vec<String>,
    /// Chance, in percent, that any arm is tried whatever the policy says.
    pub explore_percent: u8,
    /// Makes the choices repeatable.
    pub seed: Option<u64>,
}

impl RouterConfig {
    pub fn is_on(&self) -> bool {
        self.policy.is_some() && !self.arms.is_empty()
    }

    /// Chooses for a task, and writes the choice down. Arms of providers that are not there are none.
    pub(crate) async fn choose(
        &self,
        wish: &Wish,
        meter: &Meter,
        books: &Books,
        kind: &(dyn Fn(&str) -> Option<Kind> + Send + Sync),
        resting: &BTreeMap<String, Duration>,
    ) -> Option<Decision> {
        let policy = self.policy.as_ref().filter(|_| self.is_on())?;
        let class = class_of(&wish.words);
        let known = log::known(books, &wish.tenant).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "what came of earlier choices is not known");
            Vec::new()
        });
        let mut arms = log::arms(&self.arms, &log::history(known.iter(), class));
        arms.retain(|arm| arm.route.split_once('/').is_some_and(|(provider, _)| kind(provider).is_some()));
        for arm in &mut arms {
            let (provider, model) = arm.route.split_once('/').unwrap_or_default();
            let most = kind(provider).and_then(|kind| meter.most(provider, kind, model, wish.prompt, wish.output));
            arm.blocked = match (wish.micros, most) {
                _ if resting.contains_key(&arm.route) => resting.get(&arm.route).copied().map(Blocked::Cooling),
                (Some(left), Some(most)) if most > left => Some(Blocked::OverBudget(most, left)),
                (Some(_), None) => Some(Blocked::Unpriced),
                _ => None,
            };
        }
        // Several answers side by side are worth most from several models.
        let others: Vec<Arm> = arms.iter().filter(|arm| !wish.avoid.contains(&arm.route)).cloned().collect();
        let arms = if others.iter().any(|arm| arm.blocked.is_none()) { others } else { arms };
        let seed =
            self.seed.map_or_else(|| fastrand::u64(..), |seed| seed ^ stable(&wish.task) ^ u64::from(wish.variant));
        let scene = Scene { class, arms: &arms, micros: wish.micros };
        let decision = choose(policy, self.explore_percent, &scene, seed)?;
        tracing::info!(krins.task = %wish.task, "{}", decision.explanation);
        log::decide(books, &wish.tenant, &wish.task, &decision, now_ms());
        Some(decision)
    }
}

/// The same number for the same text, on every machine.
fn stable(text: &str) -> u64 {
    let digest = krins_core::Digest::of(text);
    digest.as_bytes().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// What a choice is wanted for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Wish {
    #[serde(default)]
    pub tenant: String,
    pub task: String,
    /// The task in words.
    pub words: String,
    /// What is left of its money, in millionths of a US dollar, when there is a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micros: Option<u64>,
    /// Tokens of the prompt, as far as they are known, and of the longest answer.
    #[serde(default)]
    pub prompt: u64,
    #[serde(default)]
    pub output: u64,
    /// Which of the answers that are asked for side by side.
    #[serde(default)]
    pub variant: u32,
    /// Routes that others of them ask already: rather another one.
    #[serde(default)]
    pub avoid: Vec<String>,
}

/// An arm, and what is known of it for this class of tasks.
#[derive(Clone, Debug, PartialEq)]
pub struct Arm {
    /// `provider/model`.
    pub route: String,
    /// Outcomes that are known.
    pub n: u64,
    /// Sum of their rewards, each from 0 to 1.
    pub sum: f64,
    /// Why it cannot be chosen now.
    pub blocked: Option<Blocked>,
}

impl Arm {
    pub fn mean(&self) -> Option<f64> {
        (self.n > 0).then(|| self.sum / self.n as f64)
    }
}

/// Why an arm is out before anything is weighed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blocked {
    Cooling(Duration),
    /// A call may cost the first, and the second is left.
    OverBudget(u64, u64),
    /// There is a limit, and nobody knows what a call costs.
    Unpriced,
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cooling(left) => write!(f, "cooling {} s", left.as_secs_f64().ceil()),
            Self::OverBudget(most, left) => write!(f, "over budget ({} of {} left)", dollars(*most), dollars(*left)),
            Self::Unpriced => f.write_str("its price is not known, and there is a budget"),
        }
    }
}

/// A choice, with all that led to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    pub id: String,
    pub policy: String,
    pub class: String,
    pub route: String,
    /// Chance that the choice had.
    pub propensity: f64,
    pub seed: u64,
    pub arms: Vec<Weighed>,
    /// For people: why.
    pub explanation: String,
}

/// One arm of a choice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Weighed {
    pub route: String,
    pub n: u64,
    /// What the policy gave it.
    pub score: Option<f64>,
    pub propensity: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<String>,
}

/// What came of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "lowercase")]
pub enum Outcome {
    /// The gate's verdict, or that there was no answer to judge.
    Gate { passed: bool },
    /// The person applied it (true), discarded it or took it back (false).
    Person { accepted: bool },
    /// Which part of its hunks the person rejected or wrote anew, from 0 to 1.
    Edits { share: f64 },
}

impl Outcome {
    pub const fn source(&self) -> &'static str {
        match self {
            Self::Gate { .. } => "gate",
            Self::Person { .. } => "person",
            Self::Edits { .. } => "edits",
        }
    }

    /// From 0 to 1.
    pub fn value(&self) -> f64 {
        match self {
            Self::Gate { passed: yes } | Self::Person { accepted: yes } => f64::from(u8::from(*yes)),
            Self::Edits { share } if share.is_finite() => share.clamp(0.0, 1.0),
            Self::Edits { .. } => 1.0,
        }
    }
}

/// One number of what is known: a person's word is worth more than the gate's, and what they had to mend takes half away.
pub fn reward(gate: Option<f64>, person: Option<f64>, edits: Option<f64>) -> Option<f64> {
    match (person, gate) {
        (Some(accepted), _) => Some(accepted * (1.0 - 0.5 * edits.unwrap_or(0.0))),
        // Nobody has looked at it yet; what the gate blocked is of no use whatever anybody says.
        (None, Some(passed)) => Some(0.5 * passed),
        (None, None) => None,
    }
}

/// What kind of task it is, by its words.
pub fn class_of(words: &str) -> &'static str {
    const CLASSES: &[(&str, &[&str])] = &[
        ("refactor", &["rename", "move", "extract", "inline", "refactor", "simplify", "split", "deduplicate", "clean"]),
        ("test", &["test", "tests", "spec", "coverage"]),
        ("docs", &["document", "documentation", "docs", "comment", "comments", "readme", "jsdoc", "changelog"]),
        ("fix", &["fix", "bug", "crash", "error", "wrong", "broken", "fails", "failing", "regression"]),
        ("feature", &["add", "implement", "support", "create", "introduce", "new", "allow"]),
    ];
    let words: Vec<String> =
        words.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase).filter(|word| !word.is_empty()).collect();
    // What is asked for stands first; what it is about may be anywhere.
    let first = words.first().map(String::as_str).unwrap_or_default();
    let by = |find: &dyn Fn(&[&str]) -> bool| CLASSES.iter().find(|(_, known)| find(known)).map(|(class, _)| *class);
    by(&|known| known.contains(&first))
        .or_else(|| by(&|known| words.iter().any(|word| known.contains(&word.as_str()))))
        .unwrap_or("other")
}

/// Chooses among the arms that are not blocked; `None` when all are. The same seed makes the same choice.
pub fn choose(policy: &Policy, explore_percent: u8, scene: &Scene<'_>, seed: u64) -> Option<Decision> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let open: Vec<&Arm> = scene.arms.iter().filter(|arm| arm.blocked.is_none()).collect();
    let verdict = policy.weigh(scene, &open, &mut rng)?;
    let floor = f64::from(explore_percent.min(100)) / 100.0;
    let count = open.len() as f64;
    let propensities: Vec<f64> = verdict.chances.iter().map(|chance| (1.0 - floor) * chance + floor / count).collect();
    let explored = rng.f64() < floor;
    let at = if explored { rng.usize(..open.len()) } else { verdict.at };
    let chosen = open.get(at)?;
    let weighed = |arm: &Arm| {
        let at = open.iter().position(|open| open.route == arm.route);
        Weighed {
            route: arm.route.clone(),
            n: arm.n,
            score: at.and_then(|at| verdict.scores.get(at).copied()),
            propensity: at.and_then(|at| propensities.get(at).copied()).unwrap_or(0.0),
            blocked: arm.blocked.as_ref().map(Blocked::to_string),
        }
    };
    let arms: Vec<Weighed> = scene.arms.iter().map(weighed).collect();
    Some(Decision {
        id: uuid::Uuid::now_v7().simple().to_string(),
        policy: policy.name().to_owned(),
        class: scene.class.to_owned(),
        route: chosen.route.clone(),
        propensity: propensities.get(at).copied().unwrap_or(1.0),
        seed,
        explanation: explain(policy, &chosen.route, &arms, explored),
        arms,
    })
}

/// The route that [`choose`] takes where nothing is explored, and nothing else of the decision.
pub fn pick(policy: &Policy, scene: &Scene<'_>, seed: u64) -> Option<String> {
    let open: Vec<&Arm> = scene.arms.iter().filter(|arm| arm.blocked.is_none()).collect();
    let (at, _) = policy.favour(scene, &open, &mut fastrand::Rng::with_seed(seed))?;
    open.get(at).map(|arm| arm.route.clone())
}

/// What a choice is made from.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    pub class: &'a str,
    pub arms: &'a [Arm],
    /// What is left of the task's money, when there is a limit.
    pub micros: Option<u64>,
}

/// "chose X: sampled 0.71, n=42; Y sampled 0.40, n=3; Z cooling 12 s".
fn explain(policy: &Policy, chosen: &str, arms: &[Weighed], explored: bool) -> String {
    let say = |arm: &Weighed| match (&arm.blocked, arm.score) {
        (Some(why), _) => why.clone(),
        (None, Some(score)) if score.is_finite() => format!("{} {score:.2}, n={}", policy.word(), arm.n),
        (None, _) => format!("not tried yet, n={}", arm.n),
    };
    let first = arms.iter().find(|arm| arm.route == chosen).map(say).unwrap_or_default();
    let by_chance = if explored { "to try it out, " } else { "" };
    let others = arms.iter().filter(|arm| arm.route != chosen).map(|arm| format!("; {} {}", arm.route, say(arm)));
    format!("chose {chosen}: {by_chance}{first}{}", others.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arm(route: &str, n: u64, sum: f64) -> Arm {
        Arm { route: route.into(), n, sum, blocked: None }
    }

    fn blocked(route: &str, why: Blocked) -> Arm {
        Arm { blocked: Some(why), ..arm(route, 9, 9.0) }
    }

    #[test]
    fn a_choice_says_why_and_what_is_out_is_out_before_it() {
        let arms = [
            arm("a/x", 40, 30.0),
            blocked("b/y", Blocked::Cooling(Duration::from_millis(11_400))),
            blocked("c/z", Blocked::OverBudget(30_000, 20_000)),
        ];
        let scene = Scene { class: "fix", arms: &arms, micros: None };
        for policy in Policy::all() {
            let decision = choose(&policy, 10, &scene, 7).unwrap();
            assert_eq!((decision.route.as_str(), decision.propensity), ("a/x", 1.0), "{policy:?}");
            assert!(decision.explanation.starts_with("chose a/x: "), "{}", decision.explanation);
            assert!(
                decision.explanation.ends_with("; b/y cooling 12 s; c/z over budget ($0.03 of $0.02 left)"),
                "{}",
                decision.explanation
            );
            assert_eq!(choose(&policy, 10, &scene, 7).unwrap().explanation, decision.explanation);
            let none = Scene { arms: &arms[1..], ..scene };
            assert!(choose(&policy, 10, &none, 7).is_none(), "{policy:?}");
        }
    }

    #[test]
    fn a_pick_is_the_choice_without_the_rest() {
        let arms = [arm("a/x", 10, 7.0), blocked("b/y", Blocked::OverBudget(2, 1)), arm("c/z", 3, 1.0)];
        let scene = Scene { class: "fix", arms: &arms, micros: None };
        for policy in Policy::all().into_iter().chain([Policy::Epsilon(1.0)]) {
            for seed in 0..200 {
                let chosen = choose(&policy, 0, &scene, seed).map(|decision| decision.route);
                assert_eq!(pick(&policy, &scene, seed), chosen, "{policy:?} {seed}");
            }
        }
    }

    #[test]
    fn chances_are_those_that_choices_have() {
        let arms = [arm("a/x", 10, 7.0), arm("b/y", 12, 6.0), arm("c/z", 3, 1.0)];
        let scene = Scene { class: "fix", arms: &arms, micros: None };
        for policy in Policy::all() {
            let mut seen = [0u32; 3];
            let rounds = 2_000;
            let mut told = [0.0; 3];
            for seed in 0..rounds {
                let decision = choose(&policy, 15, &scene, seed).unwrap();
                let at = arms.iter().position(|arm| arm.route == decision.route).unwrap();
                seen[at] += 1;
                for (sum, weighed) in told.iter_mut().zip(&decision.arms) {
                    *sum += weighed.propensity;
                }
                let sum: f64 = decision.arms.iter().map(|arm| arm.propensity).sum();
                assert!((sum - 1.0).abs() < 1e-9, "{policy:?} {sum}");
                assert!(decision.arms.iter().all(|arm| arm.propensity >= 0.05 - 1e-9), "{policy:?}");
            }
            for (seen, told) in seen.iter().zip(told) {
                let (seen, told) = (f64::from(*seen) / rounds as f64, told / rounds as f64);
                assert!((seen - told).abs() < 0.04, "{policy:?}: {seen} {told}");
            }
        }
    }

    #[test]
    fn rewards_and_classes_are_these() {
        assert_eq!(reward(None, None, Some(1.0)), None);
        assert_eq!(reward(Some(1.0), None, None), Some(0.5));
        assert_eq!(reward(Some(1.0), Some(1.0), Some(0.5)), Some(0.75));
        assert_eq!(reward(Some(1.0), Some(0.0), None), Some(0.0));
        for (words, class) in [
            ("rename a to b", "refactor"),
            ("Fix the test of total", "fix"),
            ("write tests for cart", "test"),
            ("add a flag", "feature"),
            ("explain it in the README", "docs"),
            ("make it faster", "other"),
            ("", "other"),
        ] {
            assert_eq!(class_of(words), class, "{words}");
        }
    }
}
