//! Faults on purpose, for drills: what a provider does on a bad day, at a rate and from a seed. Nothing happens unless
//! somebody asks for it by name, and every fault is a line in the log.
//!
//! The faults come between the meter and the provider, so that everything above them (breakers, chains, budgets, metrics)
//! sees what it would see of a real one.

use crate::error::{Fault, ProviderError};
use crate::provider::{DeltaSink, Finished, ModelRequest, Provider};
use crate::resilience::KeyId;
use async_trait::async_trait;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    RateLimited,
    Overloaded,
    Server,
    Reset,
    Truncated,
    Malformed,
}

/// The words of the specification.
const TROUBLES: [(&str, Trouble); 6] = [
    ("429", Trouble::RateLimited),
    ("529", Trouble::Overloaded),
    ("500", Trouble::Server),
    ("reset", Trouble::Reset),
    ("truncate", Trouble::Truncated),
    ("malformed", Trouble::Malformed),
];

/// Shares of calls that go wrong, each from 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct ChaosConfig {
    troubles: Vec<(Trouble, f64)>,
    latency: Option<(f64, Duration)>,
    seed: u64,
    words: String,
}

impl ChaosConfig {
    /// As it was written.
    pub fn words(&self) -> &str {
        &self.words
    }
}

/// Every part of it is bad usage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read {part:?} of the faults: {why}")]
pub struct BadChaos {
    part: String,
    why: String,
}

/// `429=0.1,529=0.05,reset=0.02,latency=0.3:800ms,seed=7`.
impl FromStr for ChaosConfig {
    type Err = BadChaos;

    fn from_str(words: &str) -> Result<Self, BadChaos> {
        let mut config = Self { troubles: Vec::new(), latency: None, seed: 0, words: words.trim().to_owned() };
        for part in words.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let bad = |why: String| BadChaos { part: part.to_owned(), why };
            let (name, value) = part.split_once('=').ok_or_else(|| bad("it is not NAME=VALUE".to_owned()))?;
            let share = |text: &str| {
                let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
                share.ok_or_else(|| bad("a share is a number from 0 to 1".to_owned()))
            };
            match name {
                "seed" => config.seed = value.parse().map_err(|_| bad("a seed is a whole number".to_owned()))?,
                "latency" => {
                    let (rate, wait) = value.split_once(':').ok_or_else(|| bad("write latency=SHARE:800ms".into()))?;
                    let millis = wait.strip_suffix("ms").and_then(|text| text.parse::<u64>().ok());
                    let millis = millis.filter(|millis| *millis <= 600_000);
                    let millis = millis.ok_or_else(|| bad("write the time as 800ms, at most 600000ms".into()))?;
                    config.latency = Some((share(rate)?, Duration::from_millis(millis)));
                }
                name => {
                    let trouble = TROUBLES.iter().find_map(|(known, trouble)| (*known == name).then_some(*trouble));
                    let known = TROUBLES.map(|(name, _)| name).join(", ");
                    let trouble = trouble.ok_or_else(|| bad(format!("the faults are {known}, latency and seed")))?;
                    config.troubles.push((trouble, share(value)?));
                }
            }
        }
        let together: f64 = config.troubles.iter().map(|(_, share)| share).sum();
        match together > 1.0 {
            true => Err(BadChaos { part: config.words, why: "the shares come to more than 1".to_owned() }),
            false => Ok(config),
        }
    }
}

/// One source of bad luck for all providers of a backend.
#[derive(Debug)]
pub struct Chaos {
    config: ChaosConfig,
    chance: Mutex<fastrand::Rng>,
}

impl Chaos {
    pub fn new(config: ChaosConfig) -> Arc<Self> {
        let chance = Mutex::new(fastrand::Rng::with_seed(config.seed));
        Arc::new(Self { config, chance })
    }

    /// What happens to the next call.
    fn draw(&self) -> (Option<Duration>, Option<Trouble>) {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        // Always two numbers, so that one share does not move the others' luck.
        let (slow, bad) = (chance.f64(), chance.f64());
        drop(chance);
        let wait = self.config.latency.filter(|(share, _)| slow < *share).map(|(_, wait)| wait);
        let mut sum = 0.0;
        let trouble = self.config.troubles.iter().find(|(_, share)| {
            sum += share;
            bad < sum
        });
        (wait, trouble.map(|(trouble, _)| *trouble))
    }
}

/// A provider, and the faults that happen to it.
pub(crate) struct Chaotic<P> {
    inner: P,
    chaos: Option<Arc<Chaos>>,
}

impl<P> Chaotic<P> {
    pub fn new(inner: P, chaos: Option<Arc<Chaos>>) -> Self {
        Self { inner, chaos }
    }

    pub fn inner(&self) -> &P {
        &self.inner
    }
}

#[async_trait]
impl<P: Provider> Provider for Chaotic<P> {
    async fn call(&self, request: &ModelRequest<'_>, sink: &mut dyn DeltaSink) -> Result<Finished, ProviderError> {
        let Some(chaos) = &self.chaos else { return self.inner.call(request, sink).await };
        let (wait, trouble) = chaos.draw();
        if let Some(wait) = wait {
            tracing::warn!(millis = wait.as_millis() as u64, task = request.task, "a drill delays a call");
            tokio::time::sleep(wait).await;
        }
        let Some(trouble) = trouble else { return self.inner.call(request, sink).await };
        tracing::warn!(fault = ?trouble, task = request.task, "a drill makes a call fail");
        let said = |fault, what: &str| ProviderError::new(fault, format!("{what} (a drill)"));
        match trouble {
            Trouble::RateLimited => Err(ProviderError {
                retry_after: Some(Duration::from_secs(1)),
                ..said(Fault::RateLimited, "too many requests")
            }),
            Trouble::Overloaded => Err(said(Fault::Overloaded, "overloaded")),
            Trouble::Server => Err(said(Fault::Server, "HTTP 500")),
            Trouble::Reset => Err(said(Fault::Connect, "the connection was lost before an answer began")),
            // These two happen after the provider has worked, and charged for it.
            Trouble::Truncated => {
                self.inner.call(request, sink).await?;
                Err(said(Fault::Truncated, "the answer broke off"))
            }
            Trouble::Malformed => {
                self.inner.call(request, sink).await?;
                Err(said(Fault::Malformed, "the answer is not this provider's wire format"))
            }
        }
    }

    async fn key_id(&self) -> Result<KeyId, ProviderError> {
        self.inner.key_id().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_and_bad_ones_refused() {
        let config: ChaosConfig = "429=0.1, 529=0.05,reset=0,latency=0.5:20ms,seed=7".parse().unwrap();
        assert_eq!(config.troubles.len(), 3);
        assert_eq!(config.latency, Some((0.5, Duration::from_millis(20))));
        assert_eq!(config.seed, 7);
        for bad in
            ["429", "429=2", "429=-1", "x=1", "latency=1", "latency=1:9s", "seed=a", "429=0.6,529=0.6", "429=NaN"]
        {
            assert!(bad.parse::<ChaosConfig>().is_err(), "{bad}");
        }
        assert!("".parse::<ChaosConfig>().unwrap().troubles.is_empty());
    }

    #[test]
    fn luck_is_of_the_seed_and_comes_at_the_rate() {
        let luck = |words: &str| {
            let chaos = Chaos::new(words.parse().unwrap());
            (0..10_000).map(|_| chaos.draw()).collect::<Vec<_>>()
        };
        let drawn = luck("429=0.1,truncate=0.2,latency=0.3:5ms,seed=3");
        assert_eq!(drawn, luck("429=0.1,truncate=0.2,latency=0.3:5ms,seed=3"));
        assert_ne!(drawn, luck("429=0.1,truncate=0.2,latency=0.3:5ms,seed=4"));
        let troubles = |wanted| drawn.iter().filter(|(_, trouble)| *trouble == Some(wanted)).count();
        assert!((900..1100).contains(&troubles(Trouble::RateLimited)));
        assert!((1850..2150).contains(&troubles(Trouble::Truncated)));
        assert!((2850..3150).contains(&drawn.iter().filter(|(wait, _)| wait.is_some()).count()));
    }
}
