//! The answer cache: an LRU with a time to live in front of any backend, and one call for asks that are the same at the
//! same time. Knows nothing of providers. A finished answer waits until [`Backend::keep`] says that the gate passed it;
//! only then is it given to anybody else, and [`Backend::forget`] takes it out again.

use crate::money::{Bill, Books};
use crate::resilience::policy::Unanswered;
use crate::resilience::{Level, Status, Switch};
use crate::router::{Decision, Outcome, Wish};
use crate::sealed::Sealed;
use crate::similar::{Similar, Suggestion};
use crate::{Ask, Backend, BackendError, Chat, ChatReply, Progress, ProgressSink, Proposal};
use async_trait::async_trait;
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};
use krins_core::Digest;
use krins_core::prompt::Prompt;
use krins_protocol::error::ErrorKind;
use lru::LruCache;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How much is kept, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// Answers; 0 keeps none.
    pub capacity: usize,
    pub ttl: Duration,
    /// Whether tasks that are like a kept one are pointed out.
    pub similar: bool,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { capacity: 256, ttl: Duration::from_secs(3600), similar: false }
    }
}

/// Tells the time; tests have their own.
pub type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

type Call = Shared<BoxFuture<'static, Result<Proposal, BackendError>>>;

/// When it was stored, and what.
type Answers = LruCache<[u8; 32], (Instant, Proposal)>;

/// How the asks of several replicas wait for each other.
#[derive(Clone, Copy, Debug)]
struct Turns {
    /// How long another replica may be silent before its ask is nobody's, and how long after its answer the gate's word is
    /// waited for.
    lease: Duration,
    /// The longest that an ask waits for another replica's.
    follow: Duration,
    look: Duration,
}

const TURNS: Turns =
    Turns { lease: Duration::from_secs(10), follow: Duration::from_secs(30), look: Duration::from_millis(200) };

/// Finished answers that nobody has judged yet.
const WAITING: NonZeroUsize = NonZeroUsize::new(64).expect("64 is not zero");

/// A backend with a memory.
pub struct Cached<B> {
    inner: Arc<B>,
    ttl: Duration,
    clock: Clock,
    answers: Mutex<Option<Answers>>,
    waiting: Mutex<LruCache<[u8; 32], Proposal>>,
    shared: Option<Sealed>,
    turns: Turns,
    similar: Option<Mutex<Similar>>,
    /// Calls under way, with everybody who wants to hear of their progress. An entry lives as long as somebody waits.
    calls: Mutex<BTreeMap<[u8; 32], Flight>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Clone)]
struct Flight {
    call: WeakShared<BoxFuture<'static, Result<Proposal, BackendError>>>,
    listeners: Listeners,
    /// Who asked first pays.
    bill: Bill,
}

type Listeners = Arc<Mutex<Vec<ProgressSink>>>;

impl<B: Backend + 'static> Cached<B> {
    pub fn new(inner: B, config: CacheConfig) -> Self {
        Self::with_clock(inner, config, Arc::new(Instant::now))
    }

    pub fn with_clock(inner: B, config: CacheConfig, clock: Clock) -> Self {
        Self {
            inner: Arc::new(inner),
            ttl: config.ttl,
            clock,
            answers: Mutex::new(NonZeroUsize::new(config.capacity).map(LruCache::new)),
            waiting: Mutex::new(LruCache::new(WAITING)),
            shared: None,
            turns: TURNS,
            similar: config.similar.then(Mutex::default),
            calls: Mutex::default(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// With a second cache behind this one.
    #[must_use]
    pub fn sharing(mut self, shared: Sealed) -> Self {
        self.shared = Some(shared);
        self
    }

    pub fn inner(&self) -> &B {
        &self.inner
    }

    fn keeps(&self) -> bool {
        lock(&self.answers).is_some()
    }

    /// What another replica kept.
    async fn find_shared(&self, key: &[u8; 32]) -> Option<Proposal> {
        let (proposal, left) = self.shared.as_ref().filter(|_| self.keeps())?.get(key).await?;
        self.store_for(*key, &proposal, left);
        Some(Proposal { cached: true, ..proposal })
    }

    fn find(&self, key: &[u8; 32]) -> Option<Proposal> {
        let now = (self.clock)();
        let mut answers = lock(&self.answers);
        let answers = answers.as_mut()?;
        let (stored, proposal) = answers.get(key)?;
        if now.saturating_duration_since(*stored) < self.ttl {
            return Some(Proposal { cached: true, ..proposal.clone() });
        }
        answers.pop(key);
        None
    }

    fn store(&self, key: [u8; 32], proposal: &Proposal) {
        self.store_for(key, proposal, self.ttl);
    }

    /// For no longer than it is an answer elsewhere.
    fn store_for(&self, key: [u8; 32], proposal: &Proposal, left: Duration) {
        let now = (self.clock)();
        // A clock that cannot be put back so far keeps it for the whole time, as if it were new.
        let stored = now.checked_sub(self.ttl.saturating_sub(left)).unwrap_or(now);
        if let Some(answers) = lock(&self.answers).as_mut() {
            answers.put(key, (stored, proposal.clone()));
        }
    }

    /// The gate's next word for this key is on this answer; where it can not be kept, no answer of before may be kept for it.
    fn wait_for_word(&self, key: [u8; 32], proposal: &Proposal) {
        let keeps = self.keeps() && may_be_kept(proposal);
        let mut waiting = lock(&self.waiting);
        match keeps {
            true => waiting.put(key, proposal.clone()),
            false => waiting.pop(&key),
        };
    }

    /// The call for this key that is under way, and who pays for it, or a new one. Every waiter drives it; when the last one goes, it is dropped,
    /// and with it the provider's connection.
    fn join(&self, key: [u8; 32], ask: Ask, progress: ProgressSink) -> (Call, Option<Bill>) {
        let mut calls = lock(&self.calls);
        if let Some(flight) = calls.get(&key)
            && let Some(call) = flight.call.upgrade()
            && call.peek().is_none()
        {
            lock(&flight.listeners).push(progress);
            return (call, Some(flight.bill.clone()));
        }
        let listeners: Listeners = Arc::new(Mutex::new(vec![progress]));
        let bill = ask.account.bill.clone();
        let call = self.start(key, ask, listeners.clone());
        calls.retain(|_, flight| flight.call.upgrade().is_some());
        if let Some(weak) = call.downgrade() {
            calls.insert(key, Flight { call: weak, listeners, bill });
        }
        (call, None)
    }

    fn start(&self, key: [u8; 32], ask: Ask, listeners: Listeners) -> Call {
        let inner = self.inner.clone();
        let (shared, turns) = (self.shared.clone().filter(|_| self.keeps()), self.turns);
        let everybody: ProgressSink = Arc::new(move |progress: Progress| {
            let sinks = lock(&listeners).clone();
            for sink in sinks {
                sink(progress.clone());
            }
        });
        let asking = async move {
            let Some(shared) = shared else { return inner.ask(ask, everybody).await };
            if let Some(answer) = follow(&shared, turns, &key, &inner.route_for(&ask), &everybody).await {
                return Ok(Proposal { cached: true, ..answer });
            }
            let leading = Leading { shared: Some(shared.clone()), key };
            let answer = tokio::select! {
                answer = inner.ask(ask, everybody) => answer,
                () = keep_leading(&shared, turns, &key) => unreachable!("it goes on as long as it is asked to"),
            };
            // Others wait a moment longer, for the gate's word on what may be kept.
            if answer.as_ref().is_ok_and(may_be_kept) {
                leading.stay();
            }
            answer
        };
        asking.boxed().shared()
    }
}

#[async_trait]
impl<B: Backend + 'static> Backend for Cached<B> {
    async fn ask(&self, ask: Ask, progress: ProgressSink) -> Result<Proposal, BackendError> {
        let key = key(&ask, &self.inner.route_for(&ask))?;
        if !ask.fresh {
            let found = match self.find(&key) {
                None => self.find_shared(&key).await,
                found => found,
            };
            if let Some(proposal) = found {
                self.hits.fetch_add(1, Ordering::Relaxed);
                self.wait_for_word(key, &proposal);
                return Ok(proposal);
            }
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        let proposal = if ask.fresh {
            self.inner.ask(ask, progress).await?
        } else {
            let (call, paid_by) = self.join(key, ask.clone(), progress.clone());
            match call.await {
                // It was the money of whoever asked first that did not reach; this one's own may.
                Err(_) if paid_by.is_some_and(|bill| bill.was_refused()) => self.inner.ask(ask, progress).await?,
                answer => answer?,
            }
        };
        self.wait_for_word(key, &proposal);
        Ok(proposal)
    }

    fn similar(&self, ask: &Ask) -> Option<Suggestion> {
        lock(self.similar.as_ref()?).find(ask, &self.inner.route_for(ask))
    }

    fn keep(&self, ask: &Ask) {
        self.inner.keep(ask);
        let route = self.inner.route_for(ask);
        let Some(key) = key(ask, &route).ok() else { return };
        let Some(proposal) = lock(&self.waiting).pop(&key) else { return };
        // What another route answered in its stead is not this route's answer.
        if !route.starts_with(&format!("{}/", proposal.provider)) {
            return;
        }
        self.store(key, &proposal);
        if let Some(similar) = &self.similar {
            lock(similar).remember(ask, &route);
        }
        if let (Some(shared), Ok(runtime)) = (self.shared.clone(), tokio::runtime::Handle::try_current()) {
            let ttl = self.ttl;
            runtime.spawn(async move {
                shared.put(&key, &proposal, ttl).await;
                shared.let_go(&key).await;
            });
        }
    }

    fn route(&self) -> String {
        self.inner.route()
    }

    fn route_for(&self, ask: &Ask) -> String {
        self.inner.route_for(ask)
    }

    fn is_builtin(&self) -> bool {
        self.inner.is_builtin()
    }

    fn estimate(&self, ask: &Ask) -> Option<u64> {
        self.inner.estimate(ask)
    }

    async fn flush(&self) {
        self.inner.flush().await;
    }

    async fn choose(&self, wish: &Wish) -> Option<Decision> {
        self.inner.choose(wish).await
    }

    fn note(&self, tenant: &str, decision: &str, outcome: Outcome) {
        self.inner.note(tenant, decision, outcome);
    }

    fn chooses(&self) -> bool {
        self.inner.chooses()
    }

    fn books(&self) -> Option<Arc<Books>> {
        self.inner.books()
    }

    fn forget(&self, ask: &Ask) {
        self.inner.forget(ask);
        let Ok(key) = key(ask, &self.inner.route_for(ask)) else { return };
        lock(&self.waiting).pop(&key);
        if let Some(similar) = &self.similar {
            lock(similar).forget(ask);
        }
        if let Some(answers) = lock(&self.answers).as_mut() {
            answers.pop(&key);
        }
        if let (Some(shared), Ok(runtime)) = (self.shared.clone(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                shared.remove(&key).await;
                shared.let_go(&key).await;
            });
        }
    }

    fn cache_counts(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }

    async fn chat(&self, chat: Chat, progress: ProgressSink) -> Result<ChatReply, Unanswered> {
        self.inner.chat(chat, progress).await
    }

    fn chat_models(&self) -> Vec<String> {
        self.inner.chat_models()
    }

    fn provider_names(&self) -> Vec<String> {
        self.inner.provider_names()
    }

    fn weighed(&self, ask: Option<&Ask>, verdicts: &[(&str, &'static str)]) {
        self.inner.weighed(ask, verdicts);
    }

    fn status(&self) -> Status {
        self.inner.status()
    }

    fn level(&self) -> Level {
        self.inner.level()
    }

    fn press(&self, queue_age: Duration) {
        self.inner.press(queue_age);
    }

    fn kill_switch(&self) -> Option<&Switch> {
        self.inner.kill_switch()
    }
}

/// Whether the gate's word can make it everybody's. The route that was asked would have answered otherwise than what stood in
/// for it, and will; what is kept already is kept.
fn may_be_kept(proposal: &Proposal) -> bool {
    proposal.degraded.is_none() && !proposal.cached
}

/// Waits for the answer of a replica that asks the same already, as long as it is there and kept soon; `None` when this one
/// is to ask.
async fn follow(
    shared: &Sealed,
    turns: Turns,
    key: &[u8; 32],
    route: &str,
    progress: &ProgressSink,
) -> Option<Proposal> {
    let began = Instant::now();
    let mut told = false;
    while !shared.lead(key, turns.lease).await {
        if began.elapsed() > turns.follow {
            return None;
        }
        if !std::mem::replace(&mut told, true) {
            let why = "is being asked the same already".to_owned();
            progress(Progress::Waiting { route: route.to_owned(), why, seconds: turns.follow.as_secs() });
        }
        while shared.is_led(key).await && began.elapsed() <= turns.follow {
            if let Some((answer, _)) = shared.get(key).await {
                return Some(answer);
            }
            tokio::time::sleep(turns.look).await;
        }
        if let Some((answer, _)) = shared.get(key).await {
            return Some(answer);
        }
    }
    None
}

async fn keep_leading(shared: &Sealed, turns: Turns, key: &[u8; 32]) {
    loop {
        tokio::time::sleep(turns.lease / 3).await;
        shared.lead(key, turns.lease).await;
    }
}

/// The lead in asking for something. Dropping it lets others ask.
struct Leading {
    shared: Option<Sealed>,
    key: [u8; 32],
}

impl Leading {
    /// Lets it end by itself.
    fn stay(mut self) {
        self.shared = None;
    }
}

impl Drop for Leading {
    fn drop(&mut self) {
        let (Some(shared), Ok(runtime)) = (self.shared.take(), tokio::runtime::Handle::try_current()) else { return };
        let key = self.key;
        runtime.spawn(async move { shared.let_go(&key).await });
    }
}

/// A panic elsewhere leaves the cache usable: each entry is written in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// sha256 over the canonical request (RFC 8785): the prompt, the route, the parameters, whose it is, and which of several
/// answers.
pub fn key(ask: &Ask, route: &str) -> Result<[u8; 32], BackendError> {
    let request = json!({
        "prompt": describe(ask.prompt.get()),
        "route": route,
        "max_output_tokens": ask.max_output_tokens,
        "tenant": ask.account.tenant,
        "variant": ask.account.variant,
    });
    Ok(*digest(&request)?.as_bytes())
}

/// sha256 over the canonical prompt alone: what recordings are found by.
pub fn prompt_digest(prompt: &Prompt) -> Result<Digest, BackendError> {
    digest(&describe(prompt))
}

/// Texts as digests; everything that reaches the model is in it. The tokens are not: they follow from the text.
fn describe(prompt: &Prompt) -> Value {
    let items = prompt.items.iter().map(|item| {
        json!({
            "path": item.path.as_str(),
            "digest": item.digest.to_string(),
            "ranges": item.ranges,
            "verbatim": item.verbatim,
            "text": Digest::of(&item.text).to_string(),
            "reason": item.reason,
        })
    });
    json!({
        "version": prompt.version,
        "intent": prompt.intent,
        "focus": prompt.focus.as_ref().map(|focus| json!({"path": focus.path.as_str(), "lines": focus.lines})),
        "items": items.collect::<Vec<_>>(),
    })
}

fn digest(value: &Value) -> Result<Digest, BackendError> {
    let canonical = serde_json_canonicalizer::to_vec(value).map_err(|error| {
        BackendError::new(ErrorKind::Internal, format!("write the request in canonical form: {error}"))
    })?;
    Ok(Digest::of(canonical))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Usage;
    use crate::provider::wire::testing;
    use crate::sealed::testing::{Shelf, sealed};
    use krins_core::prompt::{Focus, Item};
    use krins_core::redact::redact;
    use proptest::prelude::*;
    use std::sync::atomic::AtomicBool;
    use tokio::sync::Notify;

    /// Counts calls; answers with the call's number after `gate`, or fails.
    #[derive(Default)]
    struct Counting {
        calls: AtomicU64,
        gate: Option<Arc<Notify>>,
        fail: bool,
        brownout: AtomicBool,
        dropped: Arc<AtomicU64>,
    }

    struct OnDrop(Arc<AtomicU64>);

    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[async_trait]
    impl Backend for Counting {
        async fn ask(&self, ask: Ask, progress: ProgressSink) -> Result<Proposal, BackendError> {
            let call = self.calls.fetch_add(1, Ordering::SeqCst);
            let _guard = OnDrop(self.dropped.clone());
            progress(Progress::Received { characters: 1 });
            if let Some(gate) = &self.gate {
                gate.notified().await;
            }
            if ask.account.micros == Some(0) {
                ask.account.bill.refuse();
            }
            if self.fail || ask.account.bill.was_refused() {
                return Err(BackendError::new(ErrorKind::Overloaded, "x"));
            }
            Ok(Proposal {
                text: format!("answer {call}"),
                provider: "p".into(),
                model: "m".into(),
                usage: Usage::default(),
                cached: false,
                why: Vec::new(),
                degraded: self.brownout.load(Ordering::SeqCst).then(|| "the service is overloaded".into()),
            })
        }

        fn route(&self) -> String {
            "p/m".into()
        }

        fn is_builtin(&self) -> bool {
            false
        }

        fn forget(&self, _: &Ask) {}

        fn cache_counts(&self) -> (u64, u64) {
            (0, 0)
        }
    }

    fn ask(intent: &str) -> Ask {
        let prompt = Prompt { intent: intent.into(), ..testing::prompt() };
        Ask {
            task: "t".into(),
            prompt: redact(prompt).0,
            provider: None,
            model: None,
            max_output_tokens: 100,
            fresh: false,
            account: Default::default(),
        }
    }

    fn quiet() -> ProgressSink {
        Arc::new(|_| {})
    }

    struct Time(Arc<Mutex<Instant>>);

    impl Time {
        fn new() -> (Self, Clock) {
            let now = Arc::new(Mutex::new(Instant::now()));
            let clock = now.clone();
            (Self(now), Arc::new(move || *clock.lock().unwrap()))
        }

        fn pass(&self, seconds: u64) {
            *self.0.lock().unwrap() += Duration::from_secs(seconds);
        }
    }

    #[tokio::test]
    async fn a_hit_needs_no_call_and_says_so_until_it_is_old_or_forgotten() {
        let (time, clock) = Time::new();
        let config = CacheConfig { capacity: 2, ttl: Duration::from_secs(60), similar: false };
        let cached = Cached::with_clock(Counting::default(), config, clock);
        let get = async |ask: Ask| {
            let proposal = cached.ask(ask.clone(), quiet()).await.unwrap();
            cached.keep(&ask);
            (proposal.text, proposal.cached)
        };
        assert_eq!(get(ask("a")).await, ("answer 0".into(), false));
        assert_eq!(get(ask("a")).await, ("answer 0".into(), true));
        assert_eq!(cached.cache_counts(), (1, 1));
        time.pass(59);
        assert_eq!(get(ask("a")).await, ("answer 0".into(), true));
        time.pass(1);
        assert_eq!(get(ask("a")).await, ("answer 1".into(), false));
        assert_eq!(get(Ask { fresh: true, ..ask("a") }).await, ("answer 2".into(), false));
        assert_eq!(get(ask("a")).await, ("answer 2".into(), true));
        cached.forget(&ask("a"));
        assert_eq!(get(ask("a")).await, ("answer 3".into(), false));
        get(ask("b")).await;
        get(ask("c")).await;
        assert_eq!(get(ask("a")).await, ("answer 6".into(), false));
    }

    #[tokio::test]
    async fn errors_are_not_kept() {
        let cached = Cached::new(Counting { fail: true, ..Counting::default() }, CacheConfig::default());
        for _ in 0..2 {
            assert!(cached.ask(ask("a"), quiet()).await.is_err());
        }
        assert_eq!(cached.inner().calls.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn nobody_is_given_what_the_gate_has_not_passed() {
        let cached = Cached::new(Counting::default(), CacheConfig::default());
        let text = async |ask: &Ask| cached.ask(ask.clone(), quiet()).await.unwrap().text;
        let ask = ask("a");
        assert_eq!([text(&ask).await, text(&ask).await], ["answer 0", "answer 1"]);
        cached.forget(&ask);
        cached.keep(&ask);
        assert_eq!(text(&ask).await, "answer 2", "what was forgotten cannot be kept");
        cached.keep(&ask);
        assert_eq!(text(&ask).await, "answer 2");
    }

    #[tokio::test]
    async fn what_stood_in_for_an_answer_is_kept_by_nobody_and_waited_for_by_nobody() {
        let shelf = Arc::new(Shelf::default());
        let cached = Cached::new(Counting::default(), CacheConfig::default()).sharing(sealed(&shelf));
        let get = async || {
            let proposal = cached.ask(ask("a"), quiet()).await.unwrap();
            settled().await;
            (proposal.text, proposal.cached)
        };
        assert_eq!(get().await, ("answer 0".into(), false));
        assert!(!lock(&shelf.leaders).is_empty(), "others wait for the gate's word");
        lock(&shelf.leaders).clear();
        cached.inner().brownout.store(true, Ordering::SeqCst);
        assert_eq!(get().await, ("answer 1".into(), false));
        assert!(lock(&shelf.leaders).is_empty(), "no word of the gate makes it theirs");
        cached.keep(&ask("a"));
        settled().await;
        assert!(lock(&shelf.values).is_empty(), "nor does it make an answer of before theirs, which it was not on");
        cached.inner().brownout.store(false, Ordering::SeqCst);
        assert_eq!(get().await, ("answer 2".into(), false));
        cached.keep(&ask("a"));
        assert_eq!(get().await, ("answer 2".into(), true));
    }

    #[tokio::test]
    async fn what_one_process_keeps_the_others_find_until_it_is_forgotten() {
        let shelf = Arc::new(Shelf::default());
        let process = || Cached::new(Counting::default(), CacheConfig::default()).sharing(sealed(&shelf));
        let (one, other) = (process(), process());
        let ask = ask("a");
        one.ask(ask.clone(), quiet()).await.unwrap();
        settled().await;
        assert!(lock(&shelf.values).is_empty(), "it was not kept yet");
        // Its lead has ended by itself.
        lock(&shelf.leaders).clear();
        assert!(!other.ask(ask.clone(), quiet()).await.unwrap().cached, "it was not kept yet");
        one.keep(&ask);
        settled().await;
        let third = process();
        assert!(third.ask(ask.clone(), quiet()).await.unwrap().cached);
        let name = lock(&shelf.values).keys().next().cloned().unwrap();
        third.forget(&ask);
        settled().await;
        assert!(lock(&shelf.values).is_empty());
        lock(&shelf.leaders).clear();
        assert!(!process().ask(ask.clone(), quiet()).await.unwrap().cached);
        lock(&shelf.leaders).clear();
        lock(&shelf.values).insert(name, b"nonsense".to_vec());
        assert!(!process().ask(ask, quiet()).await.unwrap().cached, "another program's nonsense is no answer");
    }

    #[tokio::test]
    async fn the_same_ask_of_two_replicas_is_one_call_while_the_first_one_is_there() {
        let shelf = Arc::new(Shelf::default());
        let gate = Arc::new(Notify::new());
        let process = || {
            let counting = Counting { gate: Some(gate.clone()), ..Counting::default() };
            let mut cached = Cached::new(counting, CacheConfig::default()).sharing(sealed(&shelf));
            cached.turns.look = Duration::from_millis(2);
            Arc::new(cached)
        };
        let spawn = |process: &Arc<Cached<Counting>>| {
            let process = process.clone();
            tokio::spawn(async move { process.ask(ask("a"), quiet()).await })
        };
        let calls = |process: &Cached<Counting>| process.inner().calls.load(Ordering::SeqCst);
        let (one, other) = (process(), process());
        let first = spawn(&one);
        settled().await;
        let second = spawn(&other);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!((calls(&one), calls(&other)), (1, 0), "the other one waits");
        gate.notify_waiters();
        first.await.unwrap().unwrap();
        one.keep(&ask("a"));
        let answer = second.await.unwrap().unwrap();
        assert_eq!((answer.text.as_str(), answer.cached, calls(&other)), ("answer 0", true, 0));
        // Who leads and goes away leaves it to the next one.
        one.forget(&ask("a"));
        other.forget(&ask("a"));
        settled().await;
        let first = spawn(&one);
        settled().await;
        let second = spawn(&other);
        settled().await;
        first.abort();
        let _ = first.await;
        let until = Instant::now() + Duration::from_secs(20);
        while calls(&other) == 0 {
            assert!(Instant::now() < until, "the lead is free");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        gate.notify_waiters();
        assert!(!second.await.unwrap().unwrap().cached);
    }

    /// On one thread, after so many turns every task waits for something else.
    async fn settled() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn the_same_ask_at_the_same_time_is_one_call_that_ends_with_its_last_waiter() {
        let gate = Arc::new(Notify::new());
        let counting = Counting { gate: Some(gate.clone()), ..Counting::default() };
        let dropped = counting.dropped.clone();
        let cached = Arc::new(Cached::new(counting, CacheConfig::default()));
        let heard = Arc::new(AtomicU64::new(0));
        let spawn = |intent: &'static str| {
            let (cached, heard) = (cached.clone(), heard.clone());
            let sink: ProgressSink = Arc::new(move |_| {
                heard.fetch_add(1, Ordering::SeqCst);
            });
            tokio::spawn(async move { cached.ask(ask(intent), sink).await })
        };
        let (first, second, third) = (spawn("a"), spawn("a"), spawn("a"));
        settled().await;
        first.abort();
        let _ = first.await;
        gate.notify_waiters();
        assert_eq!(second.await.unwrap().unwrap().text, "answer 0");
        assert_eq!(third.await.unwrap().unwrap().text, "answer 0");
        assert_eq!(cached.inner().calls.load(Ordering::SeqCst), 1);
        assert!(heard.load(Ordering::SeqCst) >= 1);
        let before = dropped.load(Ordering::SeqCst);
        let only = spawn("b");
        settled().await;
        only.abort();
        let _ = only.await;
        assert_eq!(dropped.load(Ordering::SeqCst), before + 1, "the abandoned call still runs");
        let again = spawn("b");
        settled().await;
        gate.notify_waiters();
        assert_eq!(again.await.unwrap().unwrap().text, "answer 2");
    }

    #[tokio::test]
    async fn whose_money_does_not_reach_spoils_nobody_elses_ask() {
        let gate = Arc::new(Notify::new());
        let cached =
            Arc::new(Cached::new(Counting { gate: Some(gate.clone()), ..Counting::default() }, CacheConfig::default()));
        let spawn = |micros: Option<u64>| {
            let (cached, mut ask) = (cached.clone(), ask("a"));
            ask.account.micros = micros;
            tokio::spawn(async move { cached.ask(ask, quiet()).await })
        };
        let (poor, rich) = (spawn(Some(0)), spawn(None));
        settled().await;
        assert_eq!(cached.inner().calls.load(Ordering::SeqCst), 1);
        gate.notify_waiters();
        settled().await;
        gate.notify_waiters();
        assert!(poor.await.unwrap().is_err());
        assert_eq!(rich.await.unwrap().unwrap().text, "answer 1");
    }

    fn prompts() -> impl Strategy<Value = Prompt> {
        let item = ("[ab]", "[xy\n]{0,3}", 1u32..4, any::<bool>(), "[rs]").prop_map(
            |(name, text, first, verbatim, reason)| Item {
                path: krins_core::RelPath::new(&format!("{name}.ts")).unwrap(),
                digest: Digest::of(&text),
                ranges: vec![[first, first + 1]],
                verbatim,
                text,
                tokens: 1,
                reason,
            },
        );
        ("[ab]{0,2}", proptest::option::of(proptest::option::of(Just([1, 2]))), proptest::collection::vec(item, 0..3))
            .prop_map(|(intent, focus, items)| Prompt {
                version: 1,
                intent,
                focus: focus.map(|lines| Focus { path: krins_core::RelPath::new("f.ts").unwrap(), lines }),
                items,
            })
    }

    proptest! {
        #[test]
        fn keys_are_equal_exactly_when_the_prompts_are(one in prompts(), other in prompts()) {
            prop_assert_eq!(prompt_digest(&one).unwrap() == prompt_digest(&other).unwrap(), one == other);
        }
    }

    #[test]
    fn the_key_depends_on_route_and_parameters() {
        let base = key(&ask("a"), "p/m").unwrap();
        assert_eq!(base, key(&Ask { task: "other".into(), ..ask("a") }, "p/m").unwrap());
        assert_ne!(base, key(&ask("a"), "p/n").unwrap());
        assert_ne!(base, key(&Ask { max_output_tokens: 101, ..ask("a") }, "p/m").unwrap());
        assert_ne!(base, key(&ask("b"), "p/m").unwrap());
        let of = |account: crate::money::Account| key(&Ask { account, ..ask("a") }, "p/m").unwrap();
        let account = crate::money::Account::default;
        assert_ne!(base, of(crate::money::Account { tenant: "t".into(), ..account() }));
        assert_ne!(base, of(crate::money::Account { variant: 1, ..account() }));
        assert_eq!(base, of(crate::money::Account { person: "p".into(), micros: Some(1), ..account() }));
    }
}
