//! What replicas may share beside the database, where there is a Redis: hints, counters, a cache. Everything is correct
//! without it, and while it is gone: what cannot be had from it is had from nowhere, and it is left alone for a moment.

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// The longest that anything waits for Redis.
const PATIENCE: Duration = Duration::from_millis(250);
/// How long it is left alone after a failure.
const REST: Duration = Duration::from_secs(1);
/// Bytes of one cached value.
const VALUE_LIMIT: usize = 8 << 20;
/// In front of every name of ours.
const PREFIX: &str = "krins:1:";
/// Counts one, in a window that begins with the first.
const COUNT: &str = "local n = redis.call('INCR', KEYS[1]) \
    if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end \
    return {n, redis.call('PTTL', KEYS[1])}";

/// Takes a name for somebody, or prolongs it, unless it is somebody else's.
const LEAD: &str = "local h = redis.call('GET', KEYS[1]) \
    if not h then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return 1 end \
    if h == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2]) return 1 end \
    return 0";
/// Lets a name go that is one's own.
const LET_GO: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

/// A cache that several processes share. A miss is always a possible answer; there are no errors.
#[async_trait]
pub trait SharedCache: Send + Sync + std::fmt::Debug {
    async fn get(&self, key: &str) -> Option<Vec<u8>>;

    async fn put(&self, key: &str, value: &[u8], keep: Duration);

    async fn remove(&self, key: &str);

    /// Whether `who` is the one that makes what others wait for, until the lease ends or it is let go; asked again it is
    /// prolonged. `None` where nobody can say. A hint: nothing may depend on its being one only.
    async fn lead(&self, key: &str, who: &str, lease: Duration) -> Option<bool>;

    async fn let_go(&self, key: &str, who: &str);

    /// Whether somebody leads.
    async fn is_led(&self, key: &str) -> bool;
}

/// A Redis server; clones share the connection.
#[derive(Clone)]
pub struct Redis {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    connection: tokio::sync::Mutex<Option<MultiplexedConnection>>,
    /// Not asked before.
    rested: Mutex<Option<Instant>>,
}

/// Not derived: the address may hold a password.
impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redis")
    }
}

#[derive(Debug, thiserror::Error)]
#[error("use the address of Redis: it is not redis://HOST, rediss://HOST or unix:///PATH")]
pub struct RedisAddress;

impl Redis {
    /// Does not connect yet: a Redis that comes later is welcome, too.
    pub fn new(address: &str) -> Result<Self, RedisAddress> {
        crate::http::install_crypto();
        let client = Client::open(address).map_err(|_| RedisAddress)?;
        let inner = Inner { client, connection: tokio::sync::Mutex::new(None), rested: Mutex::new(None) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whether it answers.
    pub async fn ping(&self) -> bool {
        self.ask::<String>(redis::cmd("PING")).await.is_some()
    }

    /// How many times this was called with this name within the window, and how long it still lasts.
    pub async fn count(&self, name: &str, window: Duration) -> Option<(u64, Duration)> {
        let mut command = redis::cmd("EVAL");
        command.arg(COUNT).arg(1).arg(format!("{PREFIX}count:{name}")).arg(window.as_millis() as u64);
        let (count, left): (u64, i64) = self.ask(command).await?;
        Some((count, Duration::from_millis(left.max(0) as u64)))
    }

    /// Whether it was taken.
    pub async fn publish(&self, message: &str) -> bool {
        let mut command = redis::cmd("PUBLISH");
        command.arg(format!("{PREFIX}hints")).arg(message);
        self.ask::<i64>(command).await.is_some()
    }

    /// What others publish, as long as somebody reads.
    pub fn listen(&self) -> mpsc::Receiver<String> {
        let (sender, messages) = mpsc::channel(1024);
        let redis = self.clone();
        tokio::spawn(async move {
            while !sender.is_closed() {
                tokio::select! {
                    () = sender.closed() => return,
                    () = redis.listen_once(&sender) => {}
                }
                tokio::time::sleep(REST).await;
            }
        });
        messages
    }

    async fn listen_once(&self, sender: &mpsc::Sender<String>) {
        use futures::StreamExt as _;
        let Ok(Ok(mut channel)) = tokio::time::timeout(PATIENCE * 4, self.inner.client.get_async_pubsub()).await else {
            return;
        };
        if channel.subscribe(format!("{PREFIX}hints")).await.is_err() {
            return;
        }
        let mut messages = channel.on_message();
        while let Some(message) = messages.next().await {
            // A full backlog loses hints, and nothing else.
            message.get_payload::<String>().into_iter().for_each(|text| drop(sender.try_send(text)));
        }
    }

    async fn ask<T: FromRedisValue>(&self, command: redis::Cmd) -> Option<T> {
        let asked = tokio::time::timeout(PATIENCE, async {
            let mut connection = self.connection().await?;
            Some(command.query_async::<T>(&mut connection).await)
        });
        match asked.await {
            Ok(Some(Ok(value))) => Some(value),
            Ok(None) => None,
            Ok(Some(Err(error))) => {
                // Its own words may hold an address.
                tracing::debug!(kind = ?error.kind(), "failed to use Redis");
                self.rest().await;
                None
            }
            Err(_) => {
                self.rest().await;
                None
            }
        }
    }

    async fn connection(&self) -> Option<MultiplexedConnection> {
        let rested = *self.inner.rested.lock().unwrap_or_else(PoisonError::into_inner);
        if rested.is_some_and(|rested| Instant::now() < rested) {
            return None;
        }
        let mut known = self.inner.connection.lock().await;
        if let Some(connection) = known.as_ref() {
            return Some(connection.clone());
        }
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(PATIENCE)).set_response_timeout(Some(PATIENCE));
        match self.inner.client.get_multiplexed_async_connection_with_config(&config).await {
            Ok(connection) => {
                *known = Some(connection.clone());
                Some(connection)
            }
            Err(_) => {
                drop(known);
                self.rest().await;
                None
            }
        }
    }

    async fn rest(&self) {
        *self.inner.rested.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + REST);
        *self.inner.connection.lock().await = None;
    }
}

#[async_trait]
impl SharedCache for Redis {
    async fn get(&self, key: &str) -> Option<Vec<u8>> {
        let mut command = redis::cmd("GET");
        command.arg(format!("{PREFIX}cache:{key}"));
        self.ask::<Option<Vec<u8>>>(command).await.flatten()
    }

    async fn put(&self, key: &str, value: &[u8], keep: Duration) {
        if value.len() > VALUE_LIMIT {
            return;
        }
        let mut command = redis::cmd("SET");
        command.arg(format!("{PREFIX}cache:{key}")).arg(value).arg("PX").arg(keep.as_millis().max(1) as u64);
        self.ask::<()>(command).await;
    }

    async fn remove(&self, key: &str) {
        let mut command = redis::cmd("DEL");
        command.arg(format!("{PREFIX}cache:{key}"));
        self.ask::<i64>(command).await;
    }

    async fn lead(&self, key: &str, who: &str, lease: Duration) -> Option<bool> {
        let mut command = redis::cmd("EVAL");
        command.arg(LEAD).arg(1).arg(format!("{PREFIX}lead:{key}")).arg(who).arg(lease.as_millis().max(1) as u64);
        self.ask::<i64>(command).await.map(|leads| leads == 1)
    }

    async fn let_go(&self, key: &str, who: &str) {
        let mut command = redis::cmd("EVAL");
        command.arg(LET_GO).arg(1).arg(format!("{PREFIX}lead:{key}")).arg(who);
        self.ask::<i64>(command).await;
    }

    async fn is_led(&self, key: &str) -> bool {
        let mut command = redis::cmd("EXISTS");
        command.arg(format!("{PREFIX}lead:{key}"));
        self.ask::<i64>(command).await.is_some_and(|found| found > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_redis_that_is_not_there_costs_a_moment_and_nothing_else() {
        let redis = Redis::new("redis://127.0.0.1:1/").unwrap();
        let began = Instant::now();
        for _ in 0..100 {
            assert_eq!(redis.get("k").await, None);
            redis.put("k", b"v", Duration::from_secs(1)).await;
            assert_eq!(redis.count("k", Duration::from_secs(1)).await, None);
        }
        assert!(!redis.publish("m").await && !redis.ping().await);
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }

    #[test]
    fn an_address_that_is_none_is_refused_without_being_shown() {
        let error = Redis::new("not an address with a secret").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
        assert_eq!(format!("{:?}", Redis::new("redis://:secret@host/").unwrap()), "Redis");
    }
}
