//! Where keys come from: the environment, or the operating system's keyring. Never a workspace, never a file. Knows
//! nothing of what a key is used for.

use crate::error::{Fault, ProviderError};
use secrecy::{ExposeSecret as _, SecretString};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The keyring service under which Krins looks; the user is the provider's name.
pub const KEYRING_SERVICE: &str = "krins";

/// A keyring that asks the person to unlock it, or a broken session bus, may keep us waiting this long.
const KEYRING_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a provider's key is to be found.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeySource {
    /// The kind's well-known variables when the provider is at its official address, then the keyring.
    #[default]
    Standard,
    /// This environment variable and nothing else.
    Environment(String),
    /// The keyring under this user and nothing else.
    Keyring(String),
    /// No key is sent.
    None,
}

/// Where a key was found, for `krins doctor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    Environment(String),
    Keyring(String),
}

/// What to look for, on behalf of one provider.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// The provider's name in the settings; the keyring's user unless the source names another.
    pub provider: &'a str,
    pub source: &'a KeySource,
    /// Variables to try for [`KeySource::Standard`]; empty when the provider is not at its official address, so that a
    /// company's key is not sent to another company.
    pub variables: &'a [&'a str],
    /// Without a key the call is still worth trying (a server of one's own).
    pub optional: bool,
}

type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;
/// Blocking: (service, user) to the secret; `Err` says why the keyring cannot be asked.
type Keyring = Arc<dyn Fn(&str, &str) -> Result<Option<String>, String> + Send + Sync>;

/// How long a key from the keyring is not asked for again, and how long it is believed that there is none: a person who
/// just stored one does not want to wait.
const KEPT: Duration = Duration::from_secs(60);
const KEPT_NONE: Duration = Duration::from_secs(2);

type Kept = BTreeMap<String, (Instant, Option<SecretString>)>;

/// The places to look in.
#[derive(Clone)]
pub struct Keys {
    environment: Environment,
    keyring: Keyring,
    /// By user, what the keyring said and when. A service makes hundreds of calls a second with one key.
    kept: Arc<Mutex<Kept>>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self::new(|name| std::env::var(name).ok(), ask_system_keyring)
    }
}

impl Keys {
    /// Other places than this machine's, for tests.
    pub fn new(
        environment: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
        keyring: impl Fn(&str, &str) -> Result<Option<String>, String> + Send + Sync + 'static,
    ) -> Self {
        Self { environment: Arc::new(environment), keyring: Arc::new(keyring), kept: Arc::default() }
    }

    /// The key, or `None` where it is optional and there is none.
    pub async fn find(&self, wanted: &Wanted<'_>) -> Result<Option<SecretString>, ProviderError> {
        Ok(self.locate(wanted).await?.map(|(_, key)| key))
    }

    /// Where the key is, without giving it out.
    pub async fn place(&self, wanted: &Wanted<'_>) -> Result<Option<KeyPlace>, ProviderError> {
        Ok(self.locate(wanted).await?.map(|(place, _)| place))
    }

    async fn locate(&self, wanted: &Wanted<'_>) -> Result<Option<(KeyPlace, SecretString)>, ProviderError> {
        let named: &[&str] = match wanted.source {
            KeySource::None => return Ok(None),
            KeySource::Standard => wanted.variables,
            KeySource::Environment(name) => &[name.as_str()],
            KeySource::Keyring(_) => &[],
        };
        for name in named {
            if let Some(key) = (self.environment)(name).and_then(|key| usable(&key)) {
                return Ok(Some((KeyPlace::Environment((*name).to_owned()), key?)));
            }
        }
        let user = match wanted.source {
            KeySource::Keyring(user) => Some(user.as_str()),
            KeySource::Standard => Some(wanted.provider),
            KeySource::Environment(_) | KeySource::None => None,
        };
        let mut trouble = String::new();
        if let Some(user) = user {
            match self.of_keyring(user).await {
                Ok(Some(key)) => {
                    if let Some(key) = usable(key.expose_secret()) {
                        return Ok(Some((KeyPlace::Keyring(user.to_owned()), key?)));
                    }
                }
                Ok(None) => {}
                Err(why) => trouble = format!("; the keyring cannot be asked: {why}"),
            }
        }
        if wanted.optional {
            return Ok(None);
        }
        Err(ProviderError::new(Fault::Auth, format!("no key found{trouble}")).with_hint(advice(wanted)))
    }

    /// What the keyring says, or said a moment ago. What went wrong is not kept.
    async fn of_keyring(&self, user: &str) -> Result<Option<SecretString>, String> {
        let kept = self.kept().get(user).cloned();
        if let Some((at, key)) = kept
            && at.elapsed() < if key.is_some() { KEPT } else { KEPT_NONE }
        {
            return Ok(key);
        }
        let key = self.ask_keyring(user).await?.map(SecretString::from);
        self.kept().insert(user.to_owned(), (Instant::now(), key.clone()));
        Ok(key)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// On a thread of its own: the keyring's client blocks, and a hanging one must not hold up the runtime's end.
    async fn ask_keyring(&self, user: &str) -> Result<Option<String>, String> {
        let (send, receive) = tokio::sync::oneshot::channel();
        let (keyring, user) = (self.keyring.clone(), user.to_owned());
        std::thread::Builder::new()
            .name("krins-keyring".into())
            .spawn(move || send.send(keyring(KEYRING_SERVICE, &user)))
            .map_err(|error| error.to_string())?;
        match tokio::time::timeout(KEYRING_TIMEOUT, receive).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err("its client failed".to_owned()),
            Err(_) => Err(format!("no answer within {} s", KEYRING_TIMEOUT.as_secs())),
        }
    }
}

fn advice(wanted: &Wanted<'_>) -> String {
    let keyring = |user: &str| format!("store it in the system keyring (service {KEYRING_SERVICE}, user {user})");
    match wanted.source {
        KeySource::Environment(name) => {
            format!("set {name}, or remove key_env and {}", keyring(wanted.provider))
        }
        KeySource::Keyring(user) => format!("{}, or name an environment variable in key_env", keyring(user)),
        KeySource::Standard | KeySource::None => match wanted.variables.first() {
            Some(name) => format!("set {name}, or {}", keyring(wanted.provider)),
            None => format!("name the key's environment variable in key_env, or {}", keyring(wanted.provider)),
        },
    }
}

/// White space around a key is the usual slip; inside, it cannot be a key. Empty counts as not set.
fn usable(key: &str) -> Option<Result<SecretString, ProviderError>> {
    let key = key.trim();
    if key.is_empty() {
        return None;
    }
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(Err(ProviderError::new(Fault::Auth, "the key holds a space or a character that no key has")
            .with_hint("set the key again, without quotes or line breaks")));
    }
    Some(Ok(SecretString::from(key)))
}

fn ask_system_keyring(service: &str, user: &str) -> Result<Option<String>, String> {
    let entry = keyring::Entry::new(service, user).map_err(|error| brief(&error))?;
    match entry.get_password() {
        Ok(key) => Ok(Some(key)),
        Err(keyring::Error::NoEntry) => Ok(None),
        Err(error) => Err(brief(&error)),
    }
}

/// Which kind of trouble; the error's own text can hold the secret's bytes.
fn brief(error: &keyring::Error) -> String {
    match error {
        keyring::Error::NoDefaultStore => "there is none in this session",
        keyring::Error::NoStorageAccess(_) => "it is locked",
        keyring::Error::PlatformFailure(_) => "the system's keyring failed",
        keyring::Error::BadEncoding(_) => "the entry is not text",
        keyring::Error::Ambiguous(_) => "more than one entry matches",
        _ => "it refused",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted<'a>(source: &'a KeySource, variables: &'a [&'a str]) -> Wanted<'a> {
        Wanted { provider: "gemini", source, variables, optional: false }
    }

    fn keys(env: &'static [(&'static str, &'static str)], ring: Option<&'static str>) -> Keys {
        Keys::new(
            move |name| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()),
            move |service, user| {
                assert_eq!((service, user), ("krins", "gemini"));
                Ok(ring.map(str::to_owned))
            },
        )
    }

    async fn exposed(keys: &Keys, wanted: &Wanted<'_>) -> Result<String, ProviderError> {
        Ok(keys.find(wanted).await?.map_or("none".into(), |key| key.expose_secret().to_owned()))
    }

    #[tokio::test]
    async fn environment_first_then_keyring_then_advice_that_names_both() {
        let names = ["GEMINI_API_KEY", "GOOGLE_API_KEY"];
        let standard = wanted(&KeySource::Standard, &names);
        let env = keys(&[("GEMINI_API_KEY", " "), ("GOOGLE_API_KEY", " k1\n")], Some("k2"));
        assert_eq!(exposed(&env, &standard).await, Ok("k1".into()));
        assert_eq!(env.place(&standard).await, Ok(Some(KeyPlace::Environment("GOOGLE_API_KEY".into()))));
        let ring = keys(&[], Some("k2"));
        assert_eq!(exposed(&ring, &standard).await, Ok("k2".into()));
        let error = keys(&[], None).find(&standard).await.unwrap_err();
        assert_eq!(error.fault, Fault::Auth);
        let hint = error.hint.unwrap();
        assert!(hint.contains("GEMINI_API_KEY") && hint.contains("keyring"), "{hint}");
    }

    #[tokio::test]
    async fn the_keyring_is_not_asked_at_every_call() {
        let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let keys = Keys::new(
            |_| None,
            move |_, _| {
                count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                Ok(Some("k".to_owned()))
            },
        );
        for _ in 0..5 {
            assert_eq!(exposed(&keys, &wanted(&KeySource::Standard, &[])).await, Ok("k".into()));
        }
        assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_named_source_is_the_only_one() {
        let both = keys(&[("GEMINI_API_KEY", "k1"), ("MINE", "k3")], Some("k2"));
        let mine = KeySource::Environment("MINE".into());
        assert_eq!(exposed(&both, &wanted(&mine, &["GEMINI_API_KEY"])).await, Ok("k3".into()));
        let other = KeySource::Environment("OTHER".into());
        assert!(both.find(&wanted(&other, &["GEMINI_API_KEY"])).await.is_err());
        let ring = KeySource::Keyring("gemini".into());
        assert_eq!(exposed(&both, &wanted(&ring, &["GEMINI_API_KEY"])).await, Ok("k2".into()));
        assert_eq!(exposed(&both, &wanted(&KeySource::None, &["GEMINI_API_KEY"])).await, Ok("none".into()));
    }

    #[tokio::test]
    async fn a_key_with_a_break_in_it_is_refused_without_being_shown() {
        let error = keys(&[("A", "sec\nret")], None).find(&wanted(&KeySource::Standard, &["A"])).await.unwrap_err();
        assert!(!format!("{error:?}").contains("ret\""), "{error:?}");
        assert!(!format!("{error:?} {error}").contains("sec\n"));
    }

    #[tokio::test]
    async fn the_systems_keyring_answers_soon_where_there_is_no_session() {
        let start = Instant::now();
        let source = KeySource::Keyring("krins-test-no-such-user".into());
        let found = Keys::default().find(&wanted(&source, &[])).await;
        assert!(found.is_err());
        assert!(start.elapsed() < KEYRING_TIMEOUT + Duration::from_secs(1), "{:?}", start.elapsed());
    }
}
