//! Between the call policy and a provider: reserves before a call, counts what comes, charges after it. Each call is
//! charged by itself, a second one to the same route too, and one that broke off or was cancelled for what it took.

use super::prices::{Cost, Day, Prices};
use super::{Account, Charge, Entry, Ledger, LedgerError, Limits, Refusal, Reserve, Spending, dollars};
use crate::Usage;
use crate::error::{Fault, ProviderError};
use crate::provider::wire::Tally;
use crate::provider::{DeltaSink, Finished, Kind, ModelRequest, Provider};
use crate::resilience::KeyId;
use async_trait::async_trait;
use krins_core::prompt::Rendered;
use krins_core::tokens::Vocabulary;
use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Tokens that a provider wraps around each text at most.
const FRAME: u64 = 8;
/// Tokens that an answer may have where nobody said.
const LONGEST_ANSWER: u64 = 32_000;
/// Bytes of a prompt that are counted in less time than another thread takes to wake.
const COUNTED_HERE: usize = 2048;

/// What the settings say of money.
#[derive(Clone, Debug, Default)]
pub struct MoneyConfig {
    pub prices: Prices,
    pub limits: Limits,
    /// The file of the ledger and the router's log; without one they are forgotten with the process.
    pub books: Option<PathBuf>,
    /// Another ledger than that file, such as one that replicas share.
    pub ledger: Option<Arc<dyn Ledger>>,
}

/// Of the ledger only whether there is one.
impl PartialEq for MoneyConfig {
    fn eq(&self, other: &Self) -> bool {
        let plain =
            |config: &Self| (config.prices.clone(), config.limits, config.books.clone(), config.ledger.is_some());
        plain(self) == plain(other)
    }
}

/// Milliseconds since the Unix epoch; tests have their own.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Prices, limits and the ledger, for every provider of a backend.
pub struct Meter {
    prices: Prices,
    limits: Limits,
    ledger: Arc<dyn Ledger>,
    clock: Clock,
    /// (provider, kind, model) of what is configured, for who looks for something cheaper.
    routes: Vec<(String, Kind, String)>,
    spending: Mutex<Spending>,
    /// Whose tables are built.
    built: Mutex<BTreeSet<Vocabulary>>,
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").field("limits", &self.limits).field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

impl Meter {
    pub fn new(prices: Prices, limits: Limits, ledger: Arc<dyn Ledger>, routes: Vec<(String, Kind, String)>) -> Self {
        Self {
            prices,
            limits,
            ledger,
            clock: Arc::new(now_ms),
            routes,
            spending: Mutex::default(),
            built: Mutex::default(),
        }
    }

    /// With another time than the real one.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// What was spent since the start.
    pub fn spending(&self) -> Spending {
        self.spending.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn spend(&self, note: impl FnOnce(&mut Spending)) {
        note(&mut self.spending.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The most that one call can cost; `None` when the price is not known.
    pub fn most(&self, provider: &str, kind: Kind, model: &str, prompt: u64, output: u64) -> Option<u64> {
        let usage = Usage { input_tokens: prompt, output_tokens: output, ..Usage::default() };
        // Writing it to a cache may cost more than reading it, and nobody knows before which it will be.
        let written = Usage { input_tokens: 0, cache_write_tokens: prompt, ..usage };
        let cost = |usage: &Usage| self.cost(provider, kind, model, usage).map(|cost| cost.micros);
        Some(cost(&usage)?.max(cost(&written)?))
    }

    /// The most that one call with these words can cost.
    pub fn estimate(&self, provider: &str, kind: Kind, model: &str, words: &Rendered, output: u32) -> Option<u64> {
        if self.prices.is_free(provider, kind.name(), model, Day::of_millis((self.clock)())) {
            return Some(0);
        }
        // Before the counting, which takes longer.
        self.most(provider, kind, model, 0, 0)?;
        self.most(provider, kind, model, count(Vocabulary::of_model(model), words), u64::from(output))
    }

    fn cost(&self, provider: &str, kind: Kind, model: &str, usage: &Usage) -> Option<Cost> {
        self.prices.cost(provider, kind.name(), model, usage, Day::of_millis((self.clock)()))
    }

    /// By the name of what answered, else of what was asked.
    fn cost_of(&self, provider: &str, kind: Kind, models: &[&str], usage: &Usage) -> Option<Cost> {
        models.iter().find_map(|model| self.cost(provider, kind, model, usage))
    }

    fn limits_for(&self, request: &ModelRequest<'_>) -> Limits {
        let both = [self.limits.task, request.account.and_then(|account| account.micros)];
        let own = request.account.and_then(|account| account.person_micros);
        Limits { task: both.into_iter().flatten().min(), person_day: own.or(self.limits.person_day), ..self.limits }
    }

    /// The configured route that would cost least, if it costs less and fits.
    fn cheaper(&self, than: u64, fits: u64, prompt: u64, output: u64) -> Option<(String, u64)> {
        let quotes = self.routes.iter().filter_map(|(provider, kind, model)| {
            let most = self.most(provider, *kind, model, prompt, output)?;
            (most < than && most <= fits && *kind != Kind::Builtin && *kind != Kind::Replay)
                .then(|| (most, format!("{provider}/{model}")))
        });
        quotes.min().map(|(most, route)| (route, most))
    }

    /// Waits until what was charged is written.
    pub async fn flush(&self) {
        self.ledger.flush().await;
    }

    async fn open<'a>(
        &'a self,
        provider: &'a str,
        kind: Kind,
        request: &ModelRequest<'a>,
    ) -> Result<Tab<'a>, ProviderError> {
        let limits = self.limits_for(request);
        let free = self.prices.is_free(provider, kind.name(), request.model, Day::of_millis((self.clock)()));
        let prompt = if free { 0 } else { self.count_prompt(request).await };
        let output = request.max_output_tokens.map_or(LONGEST_ANSWER, u64::from);
        let nobody = Account::default();
        let account = request.account.unwrap_or(&nobody);
        let most = self.most(provider, kind, request.model, prompt, output);
        let route = format!("{provider}/{}", request.model);
        let traced = account.run.is_some();
        if most.is_none() && !limits.is_none() {
            return Err(ProviderError::new(
                Fault::Budget,
                "keep the budget: what the model costs is not known, so nothing was sent",
            )
            .with_hint(format!(
                "say in the setting prices what it costs, such as prices = [\"{provider} {} 2026-01-01 0 INPUT OUTPUT\"], or lift the budget",
                request.model
            )));
        }
        let id = uuid::Uuid::now_v7().simple().to_string();
        let reserve = Reserve {
            id: id.clone(),
            tenant: account.tenant.clone(),
            person: account.person.clone(),
            task: request.task.to_owned(),
            budget: account.budget.clone().unwrap_or_else(|| request.task.to_owned()),
            purpose: account.purpose,
            variant: account.variant,
            route,
            run: account.run.clone(),
            now_ms: (self.clock)(),
            micros: most,
            limits,
        };
        match self.ledger.reserve(reserve).await {
            Ok(()) => {}
            Err(LedgerError::Refused(refusal)) => {
                account.bill.refuse();
                self.spend(|spending| spending.stop(refusal.scope));
                return Err(self.refused(&refusal, prompt, output));
            }
            Err(error @ LedgerError::Overtaken) => {
                // Whoever waits for the same answer makes the call anew, in a run that is its own.
                account.bill.refuse();
                return Err(ProviderError::new(Fault::Overtaken, error.to_string()));
            }
            // A call of a service's task is on the disk before it is made, so that it is known what may be billed.
            Err(error) if limits.is_none() && traced => {
                tracing::error!(%error, "failed to write a model call down");
                return Err(ProviderError::new(Fault::Unrecorded, "the call could not be written down first"));
            }
            // Without a limit nothing can be overspent: an answer is worth more than its line in the books.
            Err(error) if limits.is_none() => tracing::warn!(%error, "a call is not in the ledger"),
            Err(error) => {
                return Err(ProviderError::new(Fault::Budget, format!("keep the budget: {error}"))
                    .with_hint("make room on the disk of the state directory, or lift the budget"));
            }
        }
        Ok(Tab {
            meter: self,
            provider,
            kind,
            model: request.model,
            request_id: id,
            account: request.account,
            prompt,
            tally: Tally::default(),
            received: String::new(),
            began: Instant::now(),
            first_token: None,
            response: None,
            closed: false,
        })
    }

    /// As the model counts. The table of a vocabulary is built off the runtime's threads, and what is long is counted there, too.
    async fn count_prompt(&self, request: &ModelRequest<'_>) -> u64 {
        let vocabulary = Vocabulary::of_model(request.model);
        let words = request.words.get();
        let bytes = words.system.len() + words.turns.iter().map(|turn| turn.text.len()).sum::<usize>();
        if bytes <= COUNTED_HERE && self.built().contains(&vocabulary) {
            return count(vocabulary, words);
        }
        let words = words.clone();
        let counted = match tokio::task::spawn_blocking(move || count(vocabulary, &words)).await {
            Ok(tokens) => tokens,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // Only a runtime that ends cancels it, and then no call is made any more.
            Err(_) => return u64::from(u32::MAX),
        };
        self.built().insert(vocabulary);
        counted
    }

    fn built(&self) -> MutexGuard<'_, BTreeSet<Vocabulary>> {
        self.built.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self, refusal: &Refusal, prompt: u64, output: u64) -> ProviderError {
        let Refusal { scope, limit, used, wanted } = *refusal;
        let left = limit.saturating_sub(used);
        let mut hint =
            "narrow the scope (fewer files, a smaller budget.tokens or output.tokens), or raise the budget".to_owned();
        match self.cheaper(wanted, left, prompt, output) {
            Some((route, most)) => hint.push_str(&format!("; {route} would do it for at most {}", dollars(most))),
            None => hint.push_str("; no configured model is cheap enough"),
        }
        ProviderError::new(
            Fault::Budget,
            format!(
                "{scope} of {} has {} left, and this call may cost {}",
                dollars(limit),
                dollars(left),
                dollars(wanted)
            ),
        )
        .with_hint(hint)
    }
}

/// A provider whose calls are paid for.
pub(crate) struct Metered<P> {
    inner: P,
    name: String,
    kind: Kind,
    meter: Arc<Meter>,
}

impl<P> Metered<P> {
    pub fn new(inner: P, name: &str, kind: Kind, meter: Arc<Meter>) -> Self {
        Self { inner, name: name.to_owned(), kind, meter }
    }

    pub fn inner(&self) -> &P {
        &self.inner
    }
}

#[async_trait]
impl<P: Provider> Provider for Metered<P> {
    async fn call(&self, request: &ModelRequest<'_>, sink: &mut dyn DeltaSink) -> Result<Finished, ProviderError> {
        let mut tab = self.meter.open(&self.name, self.kind, request).await?;
        let result = self.inner.call(request, &mut Counting { sink, tab: &mut tab }).await;
        tab.close(&result);
        result
    }

    async fn key_id(&self) -> Result<KeyId, ProviderError> {
        self.inner.key_id().await
    }
}

/// One call that is being made. Dropping it open, as a cancel does, charges what came so far.
struct Tab<'a> {
    meter: &'a Meter,
    provider: &'a str,
    kind: Kind,
    model: &'a str,
    request_id: String,
    account: Option<&'a Account>,
    /// Tokens of the prompt as they were counted before the call.
    prompt: u64,
    tally: Tally,
    received: String,
    began: Instant,
    first_token: Option<Duration>,
    response: Option<String>,
    closed: bool,
}

impl Tab<'_> {
    fn close(mut self, result: &Result<Finished, ProviderError>) {
        match result {
            Ok(finished) => {
                self.response.clone_from(&finished.response_id);
                self.charge(finished.usage, &[&finished.model, self.model], "ok");
            }
            Err(error) => self.charge(self.broken_off(error.fault), &[self.model], &format!("{:?}", error.fault)),
        }
        self.closed = true;
    }

    /// What a call took that brought no answer.
    fn broken_off(&self, fault: Fault) -> Usage {
        let began = self.tally != Tally::default() || !self.received.is_empty();
        if !began && is_free_of_charge(fault) { Usage::default() } else { self.so_far() }
    }

    /// What the provider said, and where it said nothing, what went over the wire.
    fn so_far(&self) -> Usage {
        let Tally { input, output, cache_read, cache_write, cache_write_long } = self.tally;
        let cached = cache_read.unwrap_or(0).saturating_add(cache_write.unwrap_or(0));
        let received = match self.received.as_str() {
            "" => 0,
            text => u64::from(Vocabulary::of_model(self.model).count(text)),
        };
        let told = output.unwrap_or(0);
        Usage {
            input_tokens: input.unwrap_or_else(|| self.prompt.saturating_sub(cached)),
            output_tokens: told.max(received),
            cache_read_tokens: cache_read.unwrap_or(0),
            cache_write_tokens: cache_write.unwrap_or(0),
            cache_write_long_tokens: cache_write_long.unwrap_or(0),
            estimated: input.is_none() || received > told,
        }
    }

    fn charge(&self, usage: Usage, models: &[&str], outcome: &str) {
        let cost = self.meter.cost_of(self.provider, self.kind, models, &usage);
        let micros = cost.map(|cost| cost.micros);
        let purpose = self.account.map(|account| account.purpose).unwrap_or_default();
        self.meter.spend(|spending| spending.charge(self.provider, purpose, micros));
        if let Some(account) = self.account {
            account.bill.add(Entry {
                route: format!("{}/{}", self.provider, self.model),
                purpose: account.purpose,
                variant: account.variant,
                usage,
                micros,
                outcome: outcome.to_owned(),
            });
        }
        let now_ms = (self.meter.clock)();
        let charge = Charge {
            usage,
            micros,
            price: cost.map(|cost| cost.from),
            outcome: outcome.to_owned(),
            now_ms,
            first_token: self.first_token,
            response: self.response.clone(),
        };
        self.meter.ledger.charge(&self.request_id, charge);
    }
}

impl Drop for Tab<'_> {
    fn drop(&mut self) {
        if !self.closed {
            self.charge(self.so_far(), &[self.model], "cancelled");
        }
    }
}

/// Failures that end a call before a model has read a word of it.
fn is_free_of_charge(fault: Fault) -> bool {
    matches!(
        fault,
        Fault::RateLimited
            | Fault::QuotaExhausted
            | Fault::Overloaded
            | Fault::Server
            | Fault::Connect
            | Fault::ContextLength
            | Fault::BadRequest
            | Fault::Auth
            | Fault::NotFound
            | Fault::Misconfigured
            | Fault::Budget
    )
}

struct Counting<'a, 'b> {
    sink: &'a mut dyn DeltaSink,
    tab: &'a mut Tab<'b>,
}

impl DeltaSink for Counting<'_, '_> {
    fn delta(&mut self, text: &str) {
        self.tab.first_token.get_or_insert_with(|| self.tab.began.elapsed());
        self.tab.received.push_str(text);
        self.sink.delta(text);
    }

    fn usage(&mut self, tally: &Tally) {
        self.tab.tally = *tally;
        self.sink.usage(tally);
    }
}

fn count(vocabulary: Vocabulary, words: &Rendered) -> u64 {
    let turns = words.turns.iter().map(|turn| u64::from(vocabulary.count(&turn.text)) + FRAME);
    u64::from(vocabulary.count(&words.system)) + FRAME + turns.sum::<u64>()
}

pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
