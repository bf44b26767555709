//! Answers that replicas share, sealed: who reads the shared cache learns no prompt, no answer and not even which prompt an
//! entry is of; who writes to it can make an entry useless, and nothing else. The key comes from a secret that only the
//! replicas know. What cannot be opened, is of another place, or is too old is a miss.

use crate::Proposal;
use crate::shared::SharedCache;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk, Salt};
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// In front of what is sealed: another form has another one.
const FORM: u8 = 1;
const PURPOSE: &[u8] = b"krins shared answers 1";
/// A secret of fewer bytes is none.
const SHORTEST: usize = 32;

/// A shared cache that holds nothing but sealed answers.
#[derive(Clone)]
pub struct Sealed {
    cache: Arc<dyn SharedCache>,
    root: Prk,
    names: hmac::Key,
    random: SystemRandom,
    /// Who this process is to others.
    who: String,
}

/// What is sealed.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Seconds since 1970. Beyond it, it is nothing, whoever puts it back.
    until: u64,
    answer: Proposal,
}

#[derive(Debug, thiserror::Error)]
#[error("use the secret of the shared answers: it has fewer than {SHORTEST} bytes")]
pub struct ShortSecret;

/// Not derived: it holds keys.
impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").field("cache", &self.cache).finish_non_exhaustive()
    }
}

impl Sealed {
    pub fn new(cache: Arc<dyn SharedCache>, secret: &[u8]) -> Result<Self, ShortSecret> {
        if secret.len() < SHORTEST {
            return Err(ShortSecret);
        }
        let root = Salt::new(HKDF_SHA256, PURPOSE).extract(secret);
        let names = root.expand(&[b"names"], hmac::HMAC_SHA256).expect("a digest is not too long for its own function");
        let names = hmac::Key::from(names);
        let who = uuid::Uuid::new_v4().simple().to_string();
        Ok(Self { cache, root, names, random: SystemRandom::new(), who })
    }

    /// An answer, and how long it is still one.
    pub async fn get(&self, key: &[u8; 32]) -> Option<(Proposal, Duration)> {
        let name = self.name(key);
        let sealed = self.cache.get(&name).await?;
        let kept: Kept = serde_json::from_slice(&self.open(key, &name, sealed)?).ok()?;
        let left = kept.until.checked_sub(now()).filter(|left| *left > 0)?;
        Some((kept.answer, Duration::from_secs(left)))
    }

    pub async fn put(&self, key: &[u8; 32], answer: &Proposal, keep: Duration) {
        let name = self.name(key);
        let kept = Kept { until: now().saturating_add(keep.as_secs()), answer: answer.clone() };
        let Some(sealed) = serde_json::to_vec(&kept).ok().and_then(|plain| self.seal(key, &name, plain)) else {
            return;
        };
        self.cache.put(&name, &sealed, keep).await;
    }

    pub async fn remove(&self, key: &[u8; 32]) {
        self.cache.remove(&self.name(key)).await;
    }

    /// Whether this process is the one that asks for it, or nobody can say.
    pub async fn lead(&self, key: &[u8; 32], lease: Duration) -> bool {
        self.cache.lead(&self.name(key), &self.who, lease).await.unwrap_or(true)
    }

    pub async fn let_go(&self, key: &[u8; 32]) {
        self.cache.let_go(&self.name(key), &self.who).await;
    }

    pub async fn is_led(&self, key: &[u8; 32]) -> bool {
        self.cache.is_led(&self.name(key)).await
    }

    /// What an entry is called, which says nothing of what it is of.
    fn name(&self, key: &[u8; 32]) -> String {
        hmac::sign(&self.names, key).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Each entry has a key of its own, so that nothing sealed for one place opens at another.
    fn key(&self, key: &[u8; 32]) -> LessSafeKey {
        let info: [&[u8]; 2] = [b"answer", key];
        let derived = self.root.expand(&info, &AES_256_GCM).expect("a key is not too long for a digest");
        LessSafeKey::new(UnboundKey::from(derived))
    }

    fn seal(&self, key: &[u8; 32], name: &str, mut text: Vec<u8>) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let sealing = Nonce::assume_unique_for_key(nonce);
        self.key(key).seal_in_place_append_tag(sealing, Aad::from(name.as_bytes()), &mut text).ok()?;
        Some([&[FORM], &nonce[..], &text].concat())
    }

    fn open(&self, key: &[u8; 32], name: &str, sealed: Vec<u8>) -> Option<Vec<u8>> {
        let (form, rest) = sealed.split_first()?;
        let (nonce, text) = rest.split_at_checked(NONCE_LEN)?;
        if *form != FORM {
            return None;
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = text.to_vec();
        let plain = self.key(key).open_in_place(nonce, Aad::from(name.as_bytes()), &mut text).ok()?;
        Some(plain.to_vec())
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use async_trait::async_trait;
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    /// A shared cache in this process.
    #[derive(Debug, Default)]
    pub struct Shelf {
        pub values: Mutex<BTreeMap<String, Vec<u8>>>,
        pub leaders: Mutex<BTreeMap<String, String>>,
    }

    #[async_trait]
    impl SharedCache for Shelf {
        async fn get(&self, key: &str) -> Option<Vec<u8>> {
            self.values.lock().unwrap().get(key).cloned()
        }

        async fn put(&self, key: &str, value: &[u8], _: Duration) {
            self.values.lock().unwrap().insert(key.to_owned(), value.to_vec());
        }

        async fn remove(&self, key: &str) {
            self.values.lock().unwrap().remove(key);
        }

        async fn lead(&self, key: &str, who: &str, _: Duration) -> Option<bool> {
            Some(self.leaders.lock().unwrap().entry(key.to_owned()).or_insert_with(|| who.to_owned()) == who)
        }

        async fn let_go(&self, key: &str, who: &str) {
            self.leaders.lock().unwrap().retain(|known, leader| known != key || leader != who);
        }

        async fn is_led(&self, key: &str) -> bool {
            self.leaders.lock().unwrap().contains_key(key)
        }
    }

    pub fn sealed(shelf: &Arc<Shelf>) -> Sealed {
        Sealed::new(shelf.clone(), &[7; 32]).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{Shelf, sealed};
    use super::*;
    use crate::Usage;
    use proptest::prelude::*;

    fn answer(text: &str) -> Proposal {
        Proposal {
            text: text.into(),
            provider: "p".into(),
            model: "m".into(),
            usage: Usage::default(),
            cached: false,
            why: Vec::new(),
            degraded: None,
        }
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn who_knows_the_secret_reads_it_and_nobody_else_learns_a_word() {
        let shelf = Arc::new(Shelf::default());
        let (one, other) = (sealed(&shelf), sealed(&shelf));
        one.put(&[1; 32], &answer("the secret answer"), HOUR).await;
        assert_eq!(other.get(&[1; 32]).await.map(|(answer, _)| answer), Some(answer("the secret answer")));
        assert_eq!(other.get(&[2; 32]).await, None);
        let stranger = Sealed::new(shelf.clone(), &[8; 32]).unwrap();
        assert_eq!(stranger.get(&[1; 32]).await, None);
        let (name, value) =
            shelf.values.lock().unwrap().first_key_value().map(|(k, v)| (k.clone(), v.clone())).unwrap();
        assert!(!String::from_utf8_lossy(&value).contains("secret") && name != "01".repeat(32));
        assert!(format!("{one:?}").starts_with("Sealed { cache: ") && !format!("{one:?}").contains("[7, 7"), "{one:?}");
        assert!(Sealed::new(shelf, b"short").is_err());
    }

    #[tokio::test]
    async fn what_was_put_elsewhere_or_is_too_old_is_a_miss() {
        let shelf = Arc::new(Shelf::default());
        let sealed = sealed(&shelf);
        sealed.put(&[1; 32], &answer("one"), HOUR).await;
        let value = shelf.values.lock().unwrap().values().next().cloned().unwrap();
        let elsewhere = sealed.name(&[2; 32]);
        shelf.values.lock().unwrap().insert(elsewhere, value);
        assert_eq!(sealed.get(&[2; 32]).await, None, "of another place");
        sealed.put(&[3; 32], &answer("old"), Duration::ZERO).await;
        assert_eq!(sealed.get(&[3; 32]).await, None, "its time is over, though it is still there");
    }

    proptest! {
        /// Whatever somebody does to a value, it is a miss or what was put there.
        #[test]
        fn no_change_of_a_value_is_another_answer(at in 0usize..400, bit in 0u8..8, cut in 0usize..400) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let shelf = Arc::new(Shelf::default());
                let sealed = sealed(&shelf);
                sealed.put(&[1; 32], &answer("one"), HOUR).await;
                let name = sealed.name(&[1; 32]);
                let whole = shelf.values.lock().unwrap()[&name].clone();
                let mut flipped = whole.clone();
                let place = at % flipped.len();
                flipped[place] ^= 1 << bit;
                for spoilt in [flipped, whole[..cut % whole.len()].to_vec()] {
                    shelf.values.lock().unwrap().insert(name.clone(), spoilt);
                    assert_eq!(sealed.get(&[1; 32]).await, None);
                }
            });
        }
    }
}
