//! How often somebody may ask, and how many places somebody may hold. Each caller has a bucket that fills evenly;
//! with Redis the replicas count together. Places are counted by each replica, whose they are.

use crate::shared::Redis;
use lru::LruCache;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Callers that are known at a time; the one that was away longest is forgotten, which is to its advantage.
const CALLERS: NonZeroUsize = NonZeroUsize::new(16_384).expect("it is not zero");
const WINDOW: Duration = Duration::from_secs(60);

pub struct Limiter {
    buckets: Mutex<LruCache<String, Bucket>>,
    redis: Option<Redis>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Requests that may be made at once.
    left: f64,
    at: Instant,
}

impl Limiter {
    pub fn new(redis: Option<Redis>) -> Self {
        Self { buckets: Mutex::new(LruCache::new(CALLERS)), redis }
    }

    /// Counts one request of this caller; when there were too many in the last minute, the time to wait. Zero per minute
    /// is no limit.
    pub async fn take(&self, caller: &str, per_minute: u32) -> Result<(), Duration> {
        if per_minute == 0 {
            return Ok(());
        }
        self.take_here(caller, per_minute, Instant::now())?;
        let Some(redis) = &self.redis else { return Ok(()) };
        match redis.count(caller, WINDOW).await {
            Some((count, left)) if count > u64::from(per_minute) => Err(left),
            // Without Redis each replica counts for itself.
            _ => Ok(()),
        }
    }

    /// Whether a request would be too many, without counting one.
    pub fn is_spent(&self, caller: &str, per_minute: u32) -> Option<Duration> {
        if per_minute == 0 {
            return None;
        }
        let buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.peek(caller)?.filled(per_minute, Instant::now());
        (bucket.left < 1.0).then(|| bucket.wait(per_minute))
    }

    fn take_here(&self, caller: &str, per_minute: u32, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let known = buckets.get(caller).copied();
        let mut bucket = known.unwrap_or(Bucket { left: f64::from(per_minute), at: now }).filled(per_minute, now);
        let taken = match bucket.left >= 1.0 {
            true => {
                bucket.left -= 1.0;
                Ok(())
            }
            false => Err(bucket.wait(per_minute)),
        };
        buckets.put(caller.to_owned(), bucket);
        taken
    }
}

impl Bucket {
    fn filled(self, per_minute: u32, now: Instant) -> Self {
        let most = f64::from(per_minute);
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * most / WINDOW.as_secs_f64();
        Self { left: (self.left + gained).min(most), at: now }
    }

    fn wait(self, per_minute: u32) -> Duration {
        let missing = (1.0 - self.left).max(0.0);
        Duration::from_secs_f64(missing * WINDOW.as_secs_f64() / f64::from(per_minute))
    }
}

/// Places that callers hold, so many each at most: event streams, which stay open for as long as their clients like, and
/// conversations.
#[derive(Clone, Debug)]
pub struct Places {
    taken: Arc<Mutex<BTreeMap<String, usize>>>,
    most: usize,
}

impl Places {
    pub fn new(most: usize) -> Self {
        Self { taken: Arc::default(), most }
    }

    /// One more place for this caller; `None` when it has as many as it may have.
    pub fn take(&self, caller: &str) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = taken.entry(caller.to_owned()).or_default();
        if *mine >= self.most {
            return None;
        }
        *mine += 1;
        Some(Place { places: self.clone(), caller: caller.to_owned() })
    }
}

/// Counts until it is dropped.
#[must_use = "dropping it gives the place back"]
#[derive(Debug)]
pub struct Place {
    places: Places,
    caller: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let left = taken.get_mut(&self.caller).map(|mine| {
            *mine = mine.saturating_sub(1);
            *mine
        });
        if left == Some(0) {
            taken.remove(&self.caller);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_at_once_and_fills_evenly() {
        let limiter = Limiter::new(None);
        let began = Instant::now();
        let take = |caller: &str, after: u64| limiter.take_here(caller, 60, began + Duration::from_millis(after));
        for _ in 0..60 {
            assert!(take("a", 0).is_ok());
        }
        let wait = take("a", 0).unwrap_err();
        assert!((900..=1000).contains(&wait.as_millis()), "{wait:?}");
        assert!(take("b", 0).is_ok(), "one caller's haste is not another's");
        assert!(take("a", 500).is_err());
        assert!(take("a", 1_100).is_ok());
        assert!(take("a", 1_200).is_err());
        for _ in 0..60 {
            assert!(take("a", 600_000).is_ok(), "never more than a minute's worth, and that whole");
        }
        assert!(take("a", 600_000).is_err());
    }

    #[tokio::test]
    async fn zero_is_no_limit_and_looking_does_not_count() {
        let limiter = Limiter::new(None);
        for _ in 0..1000 {
            limiter.take("a", 0).await.unwrap();
            assert_eq!(limiter.is_spent("b", 1), None);
        }
        limiter.take("b", 1).await.unwrap();
        assert!(limiter.is_spent("b", 1).is_some());
        assert!(limiter.take("b", 1).await.is_err());
    }

    #[test]
    fn places_count_as_long_as_they_are_held() {
        let places = Places::new(2);
        let (one, two) = (places.take("a"), places.take("a"));
        assert!(one.is_some() && two.is_some() && places.take("a").is_none());
        assert!(places.take("b").is_some(), "another's places are another's");
        drop(one);
        let again = places.take("a");
        assert!(again.is_some() && places.take("a").is_none());
        drop((two, again));
        assert!(places.taken.lock().unwrap().is_empty(), "who holds none is not remembered");
    }

    #[test]
    fn callers_without_number_are_bounded() {
        let limiter = Limiter::new(None);
        for n in 0..20_000 {
            let _ = limiter.take_here(&n.to_string(), 10, Instant::now());
        }
        assert_eq!(limiter.buckets.lock().unwrap().len(), CALLERS.get());
    }
}
