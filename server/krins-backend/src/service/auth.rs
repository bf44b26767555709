//! Who may use the service, and for what. Only digests of tokens are kept, and they are compared without an early exit.

use crate::store::{NewToken, Person, Store, StoreError, TokenRow};
use krins_core::Digest;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// How long a token that was revoked by a command may still open the door where no hint arrives.
const RELOAD: Duration = Duration::from_secs(5);
/// Unknown tokens make the list be read again at most this often.
const RELOAD_ON_MISS: Duration = Duration::from_millis(500);
/// Bytes of chance in a token.
const SECRET_BYTES: usize = 32;

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Tasks, locks and questions of the token's tenant.
    Tasks,
    /// The service's figures.
    Metrics,
    /// What concerns every tenant.
    Admin,
}

impl Scope {
    pub const ALL: [Self; 3] = [Self::Tasks, Self::Metrics, Self::Admin];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Tasks => "tasks",
            Self::Metrics => "metrics",
            Self::Admin => "admin",
        }
    }

    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

/// Words apart by commas or spaces; `None` when one is not a scope, or there is none.
pub fn scopes(text: &str) -> Option<Vec<Scope>> {
    let words = text.split([',', ' ']).filter(|word| !word.is_empty());
    let mut scopes: Vec<Scope> = words.map(Scope::of).collect::<Option<_>>()?;
    scopes.sort();
    scopes.dedup();
    (!scopes.is_empty()).then_some(scopes)
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub tenant: String,
    pub scopes: Vec<Scope>,
    /// What logs call it; never the token.
    pub name: String,
    /// Who pays, and whose requests they are: several tokens may be one person's.
    pub person: Person,
    /// Requests per minute, where this person has a limit of its own.
    pub rate: Option<u32>,
}

impl Caller {
    /// A program of this machine, where nobody needs a token.
    pub fn local() -> Self {
        Self {
            tenant: String::new(),
            scopes: Scope::ALL.to_vec(),
            name: "local".into(),
            person: Person::default(),
            rate: None,
        }
    }

    /// What its requests are counted under.
    pub fn counted(&self) -> String {
        format!("person:{}:{}", self.tenant, self.person.name)
    }

    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }
}

/// Bearer tokens that the program was started with. The same name on several lines is how a token is changed without a gap.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    caller: Caller,
    digest: Digest,
    ends: Option<Instant>,
}

#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("read the tokens file {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The line itself is not shown: it may hold a token.
    #[error("read line {line} of the tokens file {path}: each line is NAME SHA256-HEX [SCOPES]")]
    Line { path: PathBuf, line: usize },
    #[error("use the token: it has fewer than {} characters", Tokens::MIN_LENGTH)]
    TooShort,
    #[error("use the tenant's name: it is 1 to 64 of letters, digits, - _ and .")]
    Tenant,
    #[error("use the person's name: it is up to 64 of letters, digits, - _ . and @")]
    Person,
    #[error("use the token's database")]
    Store(#[from] StoreError),
    #[error("find token {0:?}")]
    Unknown(String),
    #[error("ask the operating system for randomness: {0}")]
    Random(String),
}

impl Tokens {
    /// A digest protects a long random token only.
    pub const MIN_LENGTH: usize = 16;
    /// The tenant of a token that came without a name.
    pub const DEFAULT_TENANT: &'static str = "default";

    /// One token in clear, as from the environment's `KRINS_SERVE_TOKEN`; good for everything.
    pub fn add_clear(&mut self, token: &str) -> Result<(), TokenError> {
        let token = token.trim();
        if token.len() < Self::MIN_LENGTH {
            return Err(TokenError::TooShort);
        }
        self.push(Self::DEFAULT_TENANT, Digest::of(token), Scope::ALL.to_vec());
        Ok(())
    }

    /// A file of `NAME SHA256-HEX [SCOPES]` lines, without scopes good for everything; empty lines and those that begin
    /// with `#` are skipped.
    pub fn add_file(&mut self, path: &Path) -> Result<(), TokenError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| TokenError::Read { path: path.to_owned(), source })?;
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, digest, scopes) =
                parse_line(line).ok_or_else(|| TokenError::Line { path: path.to_owned(), line: index + 1 })?;
            self.push(&name, digest, scopes);
        }
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn push(&mut self, tenant: &str, digest: Digest, scopes: Vec<Scope>) {
        let name = format!("token:{tenant}:{}", self.entries.len());
        let person = Person { name: tenant.to_owned(), micros_per_day: None };
        let caller = Caller { tenant: tenant.to_owned(), scopes, name, person, rate: None };
        self.entries.push(Entry { caller, digest, ends: None });
    }
}

fn parse_line(line: &str) -> Option<(String, Digest, Vec<Scope>)> {
    let mut words = line.split_whitespace();
    let (name, digest) = (words.next()?, words.next()?.parse().ok()?);
    let scopes = words.next().map_or_else(|| Some(Scope::ALL.to_vec()), scopes)?;
    words.next().is_none().then(|| (name.to_owned(), digest, scopes))
}

/// Every entry is looked at, so that the time says nothing about which one matched.
fn find<'a>(entries: &'a [Entry], digest: &Digest, now: Instant) -> Option<&'a Entry> {
    entries.iter().fold(None, |found, entry| {
        let good = same(&entry.digest, digest) & entry.ends.is_none_or(|ends| now < ends);
        if good { Some(entry) } else { found }
    })
}

fn same(one: &Digest, other: &Digest) -> bool {
    let difference = one.as_bytes().iter().zip(other.as_bytes()).fold(0, |difference, (a, b)| difference | (a ^ b));
    difference == 0
}

/// The token of an `Authorization` header.
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The door of a running service: the tokens that it was started with, and those of the store, which change while it runs.
pub struct Door {
    fixed: Tokens,
    store: Arc<dyn Store>,
    loaded: RwLock<Loaded>,
    /// Once there was a token, nobody gets in without one, also when the last one ends.
    guarded: AtomicBool,
}

struct Loaded {
    entries: Vec<Entry>,
    at: Instant,
}

impl Door {
    pub async fn open(fixed: Tokens, store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let guarded = AtomicBool::new(!fixed.is_empty());
        let loaded = RwLock::new(Loaded { entries: Vec::new(), at: Instant::now() });
        let door = Self { fixed, store, loaded, guarded };
        door.load().await?;
        Ok(door)
    }

    /// Whether a token is asked for.
    pub fn is_guarded(&self) -> bool {
        self.guarded.load(Ordering::Relaxed)
    }

    /// Reads the tokens again when that was long ago.
    pub async fn look(&self) {
        if self.age(Instant::now()) > RELOAD {
            self.refresh().await;
        }
    }

    /// Whom an `Authorization` header stands for.
    pub async fn caller(&self, authorization: Option<&str>) -> Option<Caller> {
        let digest = Digest::of(bearer(authorization?)?);
        self.look().await;
        let now = Instant::now();
        let found = self.find(&digest, now);
        if found.is_some() || self.age(now) < RELOAD_ON_MISS {
            return found;
        }
        // It may have been made a moment ago.
        self.refresh().await;
        self.find(&digest, now)
    }

    /// Reads the tokens again; what was known stays known while the store is in trouble, until it ends by itself.
    pub async fn refresh(&self) {
        if let Err(error) = self.load().await {
            tracing::warn!(%error, "failed to read the tokens");
        }
    }

    async fn load(&self) -> Result<(), StoreError> {
        self.loaded.write().unwrap_or_else(PoisonError::into_inner).at = Instant::now();
        let rows = self.store.tokens().await?;
        if !rows.is_empty() {
            self.guarded.store(true, Ordering::Relaxed);
        }
        let now = Instant::now();
        let entries = rows.into_iter().filter(|row| !row.expired).filter_map(|row| entry(row, now)).collect();
        self.loaded.write().unwrap_or_else(PoisonError::into_inner).entries = entries;
        Ok(())
    }

    fn find(&self, digest: &Digest, now: Instant) -> Option<Caller> {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        let (fixed, stored) = (find(&self.fixed.entries, digest, now), find(&loaded.entries, digest, now));
        fixed.or(stored).map(|entry| entry.caller.clone())
    }

    fn age(&self, now: Instant) -> Duration {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        now.saturating_duration_since(loaded.at)
    }
}

fn entry(row: TokenRow, now: Instant) -> Option<Entry> {
    // Whoever is not named is somebody of their own.
    let name = if row.person.name.is_empty() { row.id.clone() } else { row.person.name };
    Some(Entry {
        caller: Caller {
            tenant: row.tenant,
            scopes: scopes(&row.scopes).unwrap_or_default(),
            name: format!("token:{}", row.id),
            person: Person { name, micros_per_day: row.person.micros_per_day },
            rate: row.rate,
        },
        digest: row.sha256.parse().ok()?,
        // An end that the clock cannot reach is none.
        ends: row.left.and_then(|left| now.checked_add(left)),
    })
}

/// A token in clear, which is shown once, and its id, which is not secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Fresh {
    pub id: String,
    pub secret: String,
}

/// What a token is to be.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub tenant: String,
    pub scopes: Vec<Scope>,
    /// Who uses it; without a name somebody of their own.
    pub person: Person,
    pub rate: Option<u32>,
    /// `None` never ends.
    pub lifetime: Option<Duration>,
}

/// So many bytes of chance, in hex.
pub fn random_hex() -> Result<String, TokenError> {
    let mut bytes = [0; SECRET_BYTES];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|error| TokenError::Random(format!("{error:?}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Makes a token, and keeps its digest.
pub async fn add_token(store: &dyn Store, wanted: Wanted) -> Result<Fresh, TokenError> {
    let Wanted { tenant, scopes, person, rate, lifetime } = wanted;
    let sane = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    let is_name = |name: &str| name.len() <= 64 && name.chars().all(sane);
    if tenant.is_empty() || !is_name(&tenant) || tenant.contains('@') {
        return Err(TokenError::Tenant);
    }
    if !is_name(&person.name) {
        return Err(TokenError::Person);
    }
    let hex = random_hex()?;
    let secret = format!("krins_{hex}");
    let id = format!("k{}", &uuid::Uuid::new_v4().simple().to_string()[..10]);
    let words: Vec<&str> = scopes.iter().map(|scope| scope.name()).collect();
    let row = NewToken {
        id: id.clone(),
        tenant,
        sha256: Digest::of(&secret).to_string(),
        scopes: words.join(" "),
        person,
        rate,
        lifetime,
    };
    store.add_token(row).await?;
    Ok(Fresh { id, secret })
}

/// Makes a token like this one, which goes on to work for the overlap.
pub async fn rotate_token(
    store: &dyn Store,
    id: &str,
    overlap: Duration,
    lifetime: Option<Duration>,
) -> Result<Fresh, TokenError> {
    let rows = store.tokens().await?;
    let old = rows.into_iter().find(|row| row.id == id && !row.expired);
    let old = old.ok_or_else(|| TokenError::Unknown(id.to_owned()))?;
    // Who was not named goes on as the one that the first token made of them.
    let name = if old.person.name.is_empty() { old.id } else { old.person.name };
    let wanted = Wanted {
        tenant: old.tenant,
        scopes: scopes(&old.scopes).unwrap_or_default(),
        person: Person { name, ..old.person },
        rate: old.rate,
        lifetime,
    };
    let fresh = add_token(store, wanted).await?;
    store.end_token(id, overlap).await?;
    Ok(fresh)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Sqlite;

    async fn door(tokens: Tokens) -> Door {
        Door::open(tokens, Sqlite::in_memory().unwrap().into()).await.unwrap()
    }

    #[tokio::test]
    async fn tokens_are_found_by_their_digest_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        let (old, new) = (Digest::of("old-secret-of-acme"), Digest::of("new-secret-of-acme"));
        std::fs::write(&path, format!("# team\n\nacme {old}\nacme {new} metrics\n")).unwrap();
        let mut tokens = Tokens::default();
        tokens.add_file(&path).unwrap();
        tokens.add_clear("a-token-from-the-environment\n").unwrap();
        let door = door(tokens).await;
        let rows = [
            (Some("Bearer old-secret-of-acme"), Some(("acme", 3))),
            (Some("bearer new-secret-of-acme"), Some(("acme", 1))),
            (Some("Bearer a-token-from-the-environment"), Some(("default", 3))),
            (Some("Bearer other"), None),
            (Some("Basic old-secret-of-acme"), None),
            (Some("Bearer"), None),
            (None, None),
        ];
        for (header, expected) in rows {
            let caller = door.caller(header).await;
            let seen = caller.as_ref().map(|caller| (caller.tenant.as_str(), caller.scopes.len()));
            assert_eq!(seen, expected, "{header:?}");
        }
    }

    #[test]
    fn a_broken_line_is_named_but_not_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        let digest = Digest::of("x");
        for line in ["acme the-clear-token-by-mistake".to_owned(), format!("acme {digest} everything-by-mistake")] {
            std::fs::write(&path, line).unwrap();
            let error = Tokens::default().add_file(&path).unwrap_err().to_string();
            assert!(error.contains("line 1") && !error.contains("mistake"), "{error}");
        }
        assert!(Tokens::default().add_clear("short").is_err());
    }

    #[tokio::test]
    async fn stored_tokens_come_overlap_and_end_while_the_door_is_open() {
        let door = door(Tokens::default()).await;
        assert!(!door.is_guarded());
        let store = Arc::clone(&door.store);
        let wanted = |tenant: &str| Wanted {
            tenant: tenant.into(),
            scopes: vec![Scope::Tasks],
            person: Person { micros_per_day: Some(7), ..Person::default() },
            rate: Some(9),
            ..Wanted::default()
        };
        let first = add_token(store.as_ref(), wanted("acme")).await.unwrap();
        door.refresh().await;
        assert!(door.is_guarded());
        let header = |fresh: &Fresh| format!("Bearer {}", fresh.secret);
        let caller = door.caller(Some(&header(&first))).await.unwrap();
        assert_eq!((caller.tenant.as_str(), caller.may(Scope::Tasks), caller.may(Scope::Admin)), ("acme", true, false));
        let kept = format!("{:?}", store.tokens().await.unwrap());
        assert!(!kept.contains(&first.secret) && first.secret.len() > 60);

        let overlap = Duration::from_millis(300);
        let second = rotate_token(store.as_ref(), &first.id, overlap, None).await.unwrap();
        door.refresh().await;
        assert!(door.caller(Some(&header(&first))).await.is_some(), "both work");
        let fresh = door.caller(Some(&header(&second))).await.unwrap();
        assert_eq!((&fresh.person, fresh.rate), (&caller.person, Some(9)), "the same person, with the same limits");
        assert_eq!(caller.person, Person { name: first.id.clone(), micros_per_day: Some(7) });
        tokio::time::sleep(overlap).await;
        assert!(door.caller(Some(&header(&first))).await.is_none(), "without the list being read again");
        assert!(store.end_token(&second.id, Duration::ZERO).await.unwrap());
        door.refresh().await;
        assert!(door.caller(Some(&header(&second))).await.is_none());
        assert!(door.is_guarded(), "the last token's end does not open the door");
        assert!(matches!(rotate_token(store.as_ref(), "nobody", overlap, None).await, Err(TokenError::Unknown(_))));
        assert!(add_token(store.as_ref(), wanted("a b")).await.is_err());
        let person = Person { name: "ann\n".into(), micros_per_day: None };
        assert!(add_token(store.as_ref(), Wanted { person, ..wanted("acme") }).await.is_err());
    }
}
