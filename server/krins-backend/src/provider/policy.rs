//! The call policy, the one owner of retries: how often a route is called, how long each wait is, and when there is no
//! time left. Time comes in as [`Timing`], chance as [`Jitter`].

use super::{DeltaSink, Finished, ModelRequest, Provider, Timing};
use crate::error::{Fault, ProviderError};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// Gives numbers in `[0, 1)`.
pub type Jitter = Arc<dyn Fn() -> f64 + Send + Sync>;

/// Real chance.
pub fn random_jitter() -> Jitter {
    Arc::new(fastrand::f64)
}

/// Calls until there is a finished answer, the rules say stop, or the time is up. `sent` is told of every call.
pub async fn call(
    provider: &dyn Provider,
    request: &ModelRequest<'_>,
    timing: &Timing,
    jitter: &Jitter,
    mut sent: impl FnMut() + Send,
    sink: &mut dyn DeltaSink,
) -> Result<Finished, ProviderError> {
    let deadline = Instant::now() + timing.total;
    let mut calls = 0;
    loop {
        calls += 1;
        sent();
        let error = match timeout_at(deadline, provider.call(request, sink)).await {
            Ok(Ok(finished)) => return Ok(finished),
            Ok(Err(error)) => error,
            Err(_) => return Err(out_of_time(timing)),
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let Some(pause) = pause(&error, calls, timing, left, jitter()) else {
            return Err(error);
        };
        tracing::debug!(fault = ?error.fault, ?pause, calls, "the call is made again");
        sleep(pause).await;
    }
}

/// How long to wait before calling the same route again; `None`: not again. `chance` is in `[0, 1)`.
pub fn pause(error: &ProviderError, calls: u32, timing: &Timing, left: Duration, chance: f64) -> Option<Duration> {
    if calls >= timing.calls || !error.should_retry.unwrap_or(error.fault.rule().retry) {
        return None;
    }
    let doubled = timing.backoff.saturating_mul(2u32.saturating_pow(calls - 1));
    let backoff = doubled.min(timing.backoff_cap).mul_f64(chance.clamp(0.0, 1.0));
    // The provider's wish is a floor. Where it leaves no time for a call, waiting is of no use.
    let pause = backoff.max(error.retry_after.unwrap_or_default());
    (pause < left).then_some(pause)
}

fn out_of_time(timing: &Timing) -> ProviderError {
    ProviderError::new(Fault::Deadline, format!("no finished answer within {} s", timing.total.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use krins_core::redact::redact;
    use std::sync::Mutex;

    fn error(fault: Fault, retry_after: Option<u64>, should_retry: Option<bool>) -> ProviderError {
        ProviderError {
            retry_after: retry_after.map(Duration::from_secs),
            should_retry,
            ..ProviderError::new(fault, "x")
        }
    }

    #[test]
    fn waits_follow_the_rules() {
        let timing = Timing { calls: 6, ..Timing::default() };
        let left = Duration::from_secs(40);
        let secs = |n: f64| Some(Duration::from_secs_f64(n));
        for (error, calls, left, chance, expected) in [
            (error(Fault::Server, None, None), 1, left, 0.5, secs(0.5)),
            (error(Fault::Server, None, None), 2, left, 0.5, secs(1.0)),
            (error(Fault::Server, None, None), 5, left, 0.5, secs(5.0)),
            (error(Fault::Server, None, None), 6, left, 0.5, None),
            (error(Fault::RateLimited, Some(7), None), 1, left, 0.5, secs(7.0)),
            (error(Fault::RateLimited, Some(41), None), 1, left, 0.5, None),
            (error(Fault::RateLimited, Some(0), None), 1, left, 0.25, secs(0.25)),
            (error(Fault::Server, None, Some(false)), 1, left, 0.5, None),
            (error(Fault::BadRequest, None, Some(true)), 1, left, 0.5, secs(0.5)),
            (error(Fault::QuotaExhausted, None, None), 1, left, 0.5, None),
            (error(Fault::IdleTimeout, None, None), 1, left, 0.5, None),
            (error(Fault::Truncated, None, None), 1, left, 0.5, None),
            (error(Fault::Connect, None, None), 1, Duration::ZERO, 0.0, None),
        ] {
            assert_eq!(pause(&error, calls, &timing, left, chance), expected, "{error:?} {calls}");
        }
    }

    struct Failing(Mutex<Vec<Instant>>, Fault);

    #[async_trait]
    impl Provider for Failing {
        async fn call(&self, _: &ModelRequest<'_>, _: &mut dyn DeltaSink) -> Result<Finished, ProviderError> {
            self.0.lock().unwrap().push(Instant::now());
            if self.1 == Fault::Deadline {
                std::future::pending::<()>().await;
            }
            Err(ProviderError { retry_after: Some(Duration::from_millis(30)), ..error(self.1, None, None) })
        }
    }

    /// A hundredth of the defaults, with a wished wait of 30 ms.
    async fn run(fault: Fault) -> (Result<Finished, ProviderError>, Vec<Duration>) {
        let (prompt, _) = redact(super::super::wire::testing::prompt());
        let request = ModelRequest { prompt: &prompt, model: "m", max_output_tokens: 1 };
        let failing = Failing(Mutex::default(), fault);
        let timing =
            Timing { total: Duration::from_millis(450), backoff: Duration::from_millis(10), ..Timing::default() };
        let start = Instant::now();
        let jitter: Jitter = Arc::new(|| 0.5);
        let outcome = call(&failing, &request, &timing, &jitter, || {}, &mut |_: &str| {}).await;
        let mut times = failing.0.into_inner().unwrap().iter().map(|at| *at - start).collect::<Vec<_>>();
        times.push(start.elapsed());
        (outcome, times)
    }

    #[tokio::test]
    async fn a_route_is_called_twice_at_most_and_not_before_it_wishes() {
        let (outcome, times) = run(Fault::RateLimited).await;
        assert_eq!(outcome.unwrap_err().fault, Fault::RateLimited);
        assert_eq!(times.len(), 3, "{times:?}");
        assert!(times[1] >= Duration::from_millis(30), "{times:?}");
    }

    #[tokio::test]
    async fn the_whole_ask_ends_at_its_deadline() {
        let (outcome, times) = run(Fault::Deadline).await;
        assert_eq!(outcome.unwrap_err().fault, Fault::Deadline);
        assert_eq!(times.len(), 2, "{times:?}");
        assert!(times[1] >= Duration::from_millis(450) && times[1] < Duration::from_secs(5), "{times:?}");
    }
}
