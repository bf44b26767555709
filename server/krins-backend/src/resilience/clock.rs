//! Time and chance, from outside.

use futures::future::BoxFuture;
use std::time::{Duration, Instant};

pub trait Clock: Send + Sync {
    fn now(&self) -> Instant;

    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()>;

    /// In `[0, 1)`.
    fn chance(&self) -> f64;
}

/// This machine's.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Clock for System {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(wait))
    }

    fn chance(&self) -> f64 {
        fastrand::f64()
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use std::collections::BTreeSet;
    use std::future::Future;
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Poll, Waker};

    /// Stands still until everybody waits for it, then is at once where the first one wakes up.
    #[derive(Clone)]
    pub struct Virtual {
        start: Instant,
        inner: Arc<Mutex<Timers>>,
    }

    #[derive(Default)]
    struct Timers {
        passed: Duration,
        wanted: BTreeSet<Duration>,
    }

    impl Default for Virtual {
        fn default() -> Self {
            Self { start: Instant::now(), inner: Arc::default() }
        }
    }

    impl Virtual {
        pub fn passed(&self) -> Duration {
            self.inner.lock().unwrap().passed
        }

        pub fn advance(&self, by: Duration) {
            self.inner.lock().unwrap().passed += by;
        }

        /// Runs a future whose only waiting is for this clock.
        pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
            let mut future = std::pin::pin!(future);
            let mut context = Context::from_waker(Waker::noop());
            loop {
                if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
                    return value;
                }
                let mut timers = self.inner.lock().unwrap();
                let passed = timers.passed;
                timers.wanted.retain(|at| *at > passed);
                timers.passed = timers.wanted.pop_first().expect("somebody waits for something else than time");
            }
        }
    }

    impl Clock for Virtual {
        fn now(&self) -> Instant {
            self.start + self.passed()
        }

        fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
            let (inner, until) = (self.inner.clone(), self.passed() + wait);
            Box::pin(std::future::poll_fn(move |_| {
                let mut timers = inner.lock().unwrap();
                if timers.passed >= until {
                    return Poll::Ready(());
                }
                timers.wanted.insert(until);
                Poll::Pending
            }))
        }

        fn chance(&self) -> f64 {
            0.5
        }
    }
}
