//! The backend in this process: makes the chain of routes an ask may take, lets the call policy walk along it, and turns
//! its errors into what a person can act on. Knows no wire format and no HTTP.

use crate::builtin::Builtin;
use crate::cache::Cached;
use crate::chaos::{Chaos, Chaotic};
use crate::error::{Fault, ProviderError};
use crate::http::Http;
use crate::keys::{KeyPlace, Keys};
use crate::money::meter::Metered;
use crate::money::{Books, Meter};
use crate::provider::stream::HttpProvider;
use crate::provider::{
    BackendConfig, Finished, Kind, ModelRequest, Provider, ProviderConfig, Timing, provider_names, split_route,
};
use crate::replay::{Replay, record};
use crate::resilience::policy::{self, Answered, Attempt, Listener, Route, Unanswered};
use crate::resilience::{Clock, Level, Resilience, Resting, Status, Switch, System};
use crate::router::{self, Decision, Outcome, Wish};
use crate::sealed::Sealed;
use crate::{Ask, Backend, BackendError, Chat, ChatReply, Progress, ProgressSink, Proposal};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The embedded backend with its cache: what the sidecar and the service run.
pub fn embedded(config: BackendConfig) -> Result<Arc<Cached<Embedded>>, BackendError> {
    embedded_sharing(config, None)
}

/// The same, with answers that other replicas keep, too.
pub fn embedded_sharing(config: BackendConfig, shared: Option<Sealed>) -> Result<Arc<Cached<Embedded>>, BackendError> {
    let cache = config.cache;
    let cached = Cached::new(Embedded::new(config, Keys::default())?, cache);
    Ok(Arc::new(match shared {
        Some(shared) => cached.sharing(shared),
        None => cached,
    }))
}

/// Hears of every call that ended, with the task's id; for whoever keeps books.
pub type Observer = Arc<dyn Fn(&str, &Attempt) + Send + Sync>;

/// Providers by name, called in this process.
pub struct Embedded {
    providers: BTreeMap<String, Entry>,
    config: BackendConfig,
    board: Arc<Resilience>,
    observer: Option<Observer>,
    meter: Arc<Meter>,
    books: Arc<Books>,
}

struct Entry {
    kind: Kind,
    model: Option<String>,
    economy_model: Option<String>,
    timing: Timing,
    provider: Form,
}

enum Form {
    Http(Box<Metered<Chaotic<HttpProvider>>>),
    Builtin(Builtin),
    Replay(Replay),
}

impl Entry {
    fn provider(&self) -> &dyn Provider {
        match &self.provider {
            Form::Http(provider) => provider.as_ref(),
            Form::Builtin(provider) => provider,
            Form::Replay(provider) => provider,
        }
    }

    fn is_remote(&self) -> bool {
        matches!(self.provider, Form::Http(_))
    }
}

impl Embedded {
    /// Checks all that can be checked without a call. A missing key is found out at the call, because a keyring is not
    /// asked before there is need.
    pub fn new(config: BackendConfig, keys: Keys) -> Result<Self, BackendError> {
        Self::with_clock(config, keys, Arc::new(System))
    }

    /// With another time and chance than the real ones.
    pub fn with_clock(config: BackendConfig, keys: Keys, clock: Arc<dyn Clock>) -> Result<Self, BackendError> {
        let books = Arc::new(Books::at(config.money.books.clone()));
        let ledger = config.money.ledger.clone().unwrap_or_else(|| Arc::<Books>::clone(&books));
        let meter =
            Arc::new(Meter::new(config.money.prices.clone(), config.money.limits, ledger, priced_routes(&config)));
        let http = Http::new(config.http.clone());
        let chaos = config.chaos.clone().map(Chaos::new);
        let mut providers = BTreeMap::new();
        for name in provider_names(&config.providers) {
            let kind = Kind::of_name(&name).unwrap_or(Kind::OpenAiChat);
            let provider = config.providers.get(&name).cloned().unwrap_or_else(|| ProviderConfig::of(kind));
            let entry =
                entry(&name, &provider, &http, &keys, &meter, chaos.as_ref()).map_err(|error| error.at(&name))?;
            providers.extend(entry.map(|entry| (name, entry)));
        }
        let known = providers.iter().flat_map(|(name, entry)| {
            let models = entry.model.iter().chain(&entry.economy_model);
            models.map(move |model| format!("{name}/{model}"))
        });
        let chains = config.providers.values().filter_map(|config| config.fallback.as_ref()).flatten();
        let known = known.chain(config.fallback.iter().chain(chains).filter(|route| route.contains('/')).cloned());
        let board = Resilience::new(config.resilience.clone(), known.collect(), clock);
        let backend = Self { providers, config, board, observer: None, meter, books };
        backend.entry(&backend.config.default)?;
        backend.check_chains()?;
        Ok(backend)
    }

    /// Tells somebody of every call that ended.
    #[must_use]
    pub fn with_observer(mut self, observer: Observer) -> Self {
        self.observer = Some(observer);
        self
    }

    /// What every ask of this backend shares.
    pub fn resilience(&self) -> &Arc<Resilience> {
        &self.board
    }

    /// Where the named provider's key is; `Ok(None)` when it needs none and has none.
    pub async fn key_place(&self, provider: &str) -> Result<Option<KeyPlace>, BackendError> {
        match &self.entry(provider)?.provider {
            Form::Http(http) => http.inner().inner().place().await.map_err(|error| error.at(provider)),
            Form::Builtin(_) | Form::Replay(_) => Ok(None),
        }
    }

    /// A chain that names nobody, or nobody's model, is found out before there is need of it.
    fn check_chains(&self) -> Result<(), BackendError> {
        let own = self.config.providers.values().filter_map(|provider| provider.fallback.as_ref());
        for route in self.config.fallback.iter().chain(own.flatten()) {
            let (name, model) = split_route(route);
            let entry = self.entry(name)?;
            if model.or(entry.model.as_deref()).is_none_or(str::is_empty) {
                return Err(no_model(name)
                    .with_hint(format!(
                        "write {name}/MODEL in the fallback, or set the provider's model in the user settings"
                    ))
                    .at(route));
            }
        }
        Ok(())
    }

    fn entry(&self, name: &str) -> Result<&Entry, BackendError> {
        self.providers.get(name).ok_or_else(|| {
            let known = self.providers.keys().cloned().collect::<Vec<_>>().join(", ");
            ProviderError::new(Fault::Misconfigured, "there is no such provider")
                .with_hint(format!("the providers are {known}"))
                .at(name)
        })
    }

    fn name<'a>(&'a self, ask: &'a Ask) -> &'a str {
        ask.provider.as_deref().unwrap_or(&self.config.default)
    }

    /// The routes of an ask, the one it wishes first; and why the first is not the one it wishes, when it is not.
    fn chain<'a>(&'a self, name: &str, model: Option<&str>) -> Result<(Vec<Route<'a>>, Option<String>), BackendError> {
        let entry = self.entry(name)?;
        let name = self.providers.get_key_value(name).map_or(self.config.default.as_str(), |(name, _)| name);
        let economy = entry.economy_model.as_deref().filter(|_| model.is_none() && self.board.level().cheaper_model());
        let Some(first) = economy.or(model).or(entry.model.as_deref()) else {
            return Err(no_model(name)
                .with_hint(format!("set model for the provider {name} in the user settings"))
                .at(name));
        };
        let mut chain = vec![route(name, first, entry)];
        // What sends nothing fails for reasons that no other route has an answer to.
        let fallback = if entry.is_remote() { self.config.fallback_of(name) } else { &[] };
        for written in fallback {
            let (name, model) = split_route(written);
            let Some((name, entry)) = self.providers.get_key_value(name) else { continue };
            let Some(model) = model.or(entry.model.as_deref()) else { continue };
            let known = chain.iter().any(|route| route.provider == name && route.model == model);
            // The refactorings need whole files: the engine asks them, with other words.
            if !known && entry.kind != Kind::Builtin {
                chain.push(route(name, model, entry));
            }
        }
        let degraded = economy.map(|economy| format!("the service is overloaded: {economy} was asked"));
        Ok((chain, degraded))
    }

    /// Which provider and model a conversation means.
    fn addressed<'a>(&'a self, model: &'a str) -> (&'a str, Option<&'a str>) {
        if self.providers.contains_key(model) {
            return (model, None);
        }
        match model.split_once('/') {
            Some((provider, model)) if self.providers.contains_key(provider) => (provider, Some(model)),
            _ => (&self.config.default, Some(model)),
        }
    }

    async fn walk<'a>(
        &'a self,
        id: &str,
        chain: &'a [Route<'a>],
        request: ModelRequest<'a>,
        progress: &ProgressSink,
    ) -> Result<Answered, Unanswered> {
        if self.board.level().cache_only() && chain.iter().all(|route| route.remote) {
            let error = ProviderError::new(Fault::Overloaded, "only answers from the cache are given now")
                .with_hint("the service has too much to do: ask again later");
            return Err(Unanswered { route: chain[0].label(), error, others: Vec::new() });
        }
        let mut teller =
            Teller { id, progress, observer: self.observer.as_ref(), characters: 0, told_to_wait: String::new() };
        policy::call(&self.board, chain, request, &mut teller).await
    }

    async fn record(&self, entry: &Entry, ask: &Ask, finished: &Finished) {
        let (Some(directory), Form::Http(_)) = (&self.config.record, &entry.provider) else {
            return;
        };
        let (directory, prompt, finished) = (directory.clone(), ask.prompt.get().clone(), finished.clone());
        let written = tokio::task::spawn_blocking(move || record(&directory, &prompt, &finished)).await;
        if let Ok(Err(error)) = written {
            // The answer itself is good; a demo's recording is no reason to lose it.
            tracing::warn!(%error, "the answer could not be recorded");
        }
    }
}

#[async_trait]
impl Backend for Embedded {
    async fn ask(&self, ask: Ask, progress: ProgressSink) -> Result<Proposal, BackendError> {
        let (chain, cheaper) = self.chain(self.name(&ask), ask.model.as_deref())?;
        let words = ask.prompt.render();
        let request = ModelRequest {
            prompt: Some(&ask.prompt),
            max_output_tokens: Some(ask.max_output_tokens),
            task: &ask.task,
            account: Some(&ask.account),
            ..ModelRequest::new(&words, "")
        };
        let level = self.board.level();
        if level != Level::Normal && chain.iter().all(|route| route.remote) {
            progress(Progress::Level { level: level.name().to_owned() });
        }
        let walked = self.walk(&ask.task, &chain, request, &progress).await;
        let Answered { route, finished, detour } = walked.map_err(Unanswered::into_error)?;
        let provider = chain[route].provider;
        self.record(self.entry(provider)?, &ask, &finished).await;
        let detour = detour.map(|(route, fault)| format!("{route} {}", fault.says()));
        Ok(Proposal {
            text: finished.text,
            provider: provider.to_owned(),
            model: finished.model,
            usage: finished.usage,
            cached: false,
            why: finished.why,
            degraded: detour.or(cheaper),
        })
    }

    fn route(&self) -> String {
        let model = self.providers.get(&self.config.default).and_then(|entry| entry.model.as_deref());
        format!("{}/{}", self.config.default, model.unwrap_or("?"))
    }

    fn route_for(&self, ask: &Ask) -> String {
        let name = self.name(ask);
        let configured = || self.providers.get(name).and_then(|entry| entry.model.as_deref());
        format!("{name}/{}", ask.model.as_deref().or_else(configured).unwrap_or("?"))
    }

    fn is_builtin(&self) -> bool {
        self.providers.get(&self.config.default).is_some_and(|entry| entry.kind == Kind::Builtin)
    }

    fn estimate(&self, ask: &Ask) -> Option<u64> {
        let name = self.name(ask);
        let entry = self.providers.get(name)?;
        let model = ask.model.as_deref().or(entry.model.as_deref())?;
        let words = ask.prompt.get().render();
        self.meter.estimate(name, entry.kind, model, &words, ask.max_output_tokens)
    }

    fn books(&self) -> Option<Arc<Books>> {
        Some(self.books.clone())
    }

    async fn flush(&self) {
        self.books.flush().await;
        self.meter.flush().await;
    }

    async fn choose(&self, wish: &Wish) -> Option<Decision> {
        let kind = |name: &str| self.providers.get(name).map(|entry| entry.kind);
        let resting = self.board.status().routes.into_iter().filter_map(|route| {
            let rests = matches!(route.state, "resting" | "open" | "disabled");
            rests.then_some((route.route, route.left.unwrap_or_default()))
        });
        self.config.router.choose(wish, &self.meter, &self.books, &kind, &resting.collect()).await
    }

    fn note(&self, tenant: &str, decision: &str, outcome: Outcome) {
        router::log::note(&self.books, tenant, decision, outcome, crate::money::meter::now_ms());
    }

    fn chooses(&self) -> bool {
        self.config.router.is_on()
    }

    fn forget(&self, _ask: &Ask) {}

    fn cache_counts(&self) -> (u64, u64) {
        (0, 0)
    }

    async fn chat(&self, chat: Chat, progress: ProgressSink) -> Result<ChatReply, Unanswered> {
        let (name, model) = self.addressed(&chat.model);
        let (chain, _) = self.chain(name, model).map_err(|error| {
            let hint = error.hint.unwrap_or_default();
            let error = ProviderError::new(Fault::NotFound, "no such model is set up").with_hint(hint);
            Unanswered { route: name.to_owned(), error, others: Vec::new() }
        })?;
        let request = ModelRequest {
            max_output_tokens: chat.max_output_tokens,
            sampling: Some(&chat.sampling),
            partial: true,
            task: &chat.id,
            account: Some(&chat.account),
            ..ModelRequest::new(&chat.words, "")
        };
        let Answered { route, finished, .. } = self.walk(&chat.id, &chain, request, &progress).await?;
        Ok(ChatReply {
            text: finished.text,
            route: chain[route].label(),
            model: finished.model,
            usage: finished.usage,
            stopped: finished.stopped,
        })
    }

    fn provider_names(&self) -> Vec<String> {
        self.providers.keys().cloned().collect()
    }

    fn chat_models(&self) -> Vec<String> {
        let models = self.providers.iter().filter(|(_, entry)| entry.is_remote());
        models.filter_map(|(name, entry)| Some(format!("{name}/{}", entry.model.as_ref()?))).collect()
    }

    fn status(&self) -> Status {
        Status { spending: self.meter.spending(), ..self.board.status() }
    }

    fn weighed(&self, _: Option<&Ask>, verdicts: &[(&str, &'static str)]) {
        self.board.judged(verdicts);
    }

    fn level(&self) -> Level {
        self.board.level()
    }

    fn press(&self, queue_age: Duration) {
        self.board.press(queue_age);
    }

    fn kill_switch(&self) -> Option<&Switch> {
        Some(self.board.switch())
    }
}

/// Turns what happens on the way into progress.
struct Teller<'a> {
    id: &'a str,
    progress: &'a ProgressSink,
    observer: Option<&'a Observer>,
    characters: u64,
    told_to_wait: String,
}

impl Listener for Teller<'_> {
    fn sent(&mut self, route: &str, from: Option<(&str, Fault)>) {
        // A call that begins anew has received nothing.
        self.characters = 0;
        (self.progress)(match from {
            None => Progress::Sent { route: route.to_owned() },
            Some((from, why)) => {
                Progress::Moved { to: route.to_owned(), from: from.to_owned(), why: why.says().to_owned() }
            }
        });
    }

    fn waiting(&mut self, route: &str, resting: Resting) {
        if self.told_to_wait == route {
            return;
        }
        route.clone_into(&mut self.told_to_wait);
        let seconds = resting.wait.as_secs_f64().ceil() as u64;
        let why = resting.cause.says().to_owned();
        (self.progress)(Progress::Waiting { route: route.to_owned(), why, seconds });
    }

    fn received(&mut self, delta: &str) {
        self.characters += delta.chars().count() as u64;
        (self.progress)(Progress::Received { characters: self.characters });
    }

    fn ended(&mut self, attempt: &Attempt) {
        if let Some(observer) = self.observer {
            observer(self.id, attempt);
        }
    }
}

fn no_model(name: &str) -> ProviderError {
    ProviderError::new(Fault::Misconfigured, format!("no model is chosen for {name}"))
}

fn route<'a>(name: &'a str, model: &str, entry: &'a Entry) -> Route<'a> {
    Route {
        provider: name,
        model: model.to_owned(),
        timing: entry.timing,
        remote: entry.is_remote(),
        calls: entry.provider(),
    }
}

/// What may be offered as cheaper: the configured models.
fn priced_routes(config: &BackendConfig) -> Vec<(String, Kind, String)> {
    let route =
        |(name, provider): (&String, &ProviderConfig)| Some((name.clone(), provider.kind, provider.model.clone()?));
    config.providers.iter().filter_map(route).collect()
}

fn entry(
    name: &str,
    config: &ProviderConfig,
    http: &Http,
    keys: &Keys,
    meter: &Arc<Meter>,
    chaos: Option<&Arc<Chaos>>,
) -> Result<Option<Entry>, ProviderError> {
    let provider = match config.kind {
        Kind::Builtin => Form::Builtin(Builtin),
        Kind::Replay => Form::Replay(Replay {
            directory: config.directory.clone().ok_or_else(|| {
                ProviderError::new(Fault::Misconfigured, "no directory of recordings is named")
                    .with_hint(format!("set directory for the provider {name} in the user settings"))
            })?,
        }),
        Kind::Anthropic | Kind::OpenAi | Kind::OpenAiChat | Kind::Gemini | Kind::Ollama => {
            match HttpProvider::new(name, config, http.clone(), keys.clone()) {
                Some(provider) => {
                    let provider = Chaotic::new(provider?, chaos.cloned());
                    Form::Http(Box::new(Metered::new(provider, name, config.kind, meter.clone())))
                }
                None => return Ok(None),
            }
        }
    };
    Ok(Some(Entry {
        kind: config.kind,
        model: config.model().map(str::to_owned),
        economy_model: config.economy_model.clone(),
        timing: config.timing,
        provider,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::wire::testing;
    use krins_core::redact::redact;
    use krins_protocol::error::ErrorKind;

    fn ask(provider: Option<&str>) -> Ask {
        Ask {
            task: "t".into(),
            prompt: redact(testing::prompt()).0,
            provider: provider.map(str::to_owned),
            model: None,
            max_output_tokens: 100,
            fresh: false,
            account: Default::default(),
        }
    }

    fn backend(config: BackendConfig) -> Result<Embedded, BackendError> {
        Embedded::new(config, Keys::new(|_| None, |_, _| Ok(None)))
    }

    async fn fails(backend: &Embedded, ask: Ask) -> BackendError {
        backend.ask(ask, Arc::new(|_| {})).await.unwrap_err()
    }

    #[tokio::test]
    async fn without_settings_it_is_keyless_and_every_kind_can_be_named() {
        let backend = backend(BackendConfig::default()).unwrap();
        assert!(backend.is_builtin());
        assert_eq!(backend.route(), "builtin/refactorings");
        let no_model = fails(&backend, ask(Some("anthropic"))).await;
        assert_eq!(no_model.kind, ErrorKind::BadParams);
        assert!(no_model.hint.unwrap().contains("model"));
        let named = Ask { model: Some("m".into()), ..ask(Some("gemini")) };
        assert_eq!(backend.route_for(&named), "gemini/m");
        let no_key = fails(&backend, named).await;
        assert_eq!(no_key.kind, ErrorKind::AuthFailed);
        assert!(no_key.hint.unwrap().contains("GEMINI_API_KEY"));
        let unknown = fails(&backend, ask(Some("nobody"))).await;
        assert_eq!(unknown.kind, ErrorKind::BadParams);
        assert!(unknown.hint.unwrap().contains("anthropic"));
    }

    #[test]
    fn bad_settings_are_refused_at_once() {
        let with = |url: &str| BackendConfig {
            providers: BTreeMap::from([(
                "mine".to_owned(),
                ProviderConfig { base_url: Some(url.parse().unwrap()), ..ProviderConfig::of(Kind::OpenAiChat) },
            )]),
            ..BackendConfig::default()
        };
        for url in ["ftp://x.test", "http://me:pw@x.test", "http://x.test/?key=1", "data:x"] {
            let error = backend(with(url)).err().expect(url);
            assert_eq!(error.kind, ErrorKind::BadParams);
            assert!(!error.message.contains("pw@"));
        }
        assert!(backend(with("http://127.0.0.1:1/v1")).is_ok());
        let default = BackendConfig { default: "nobody".into(), ..BackendConfig::default() };
        assert!(backend(default).is_err());
    }

    #[tokio::test]
    async fn a_key_does_not_go_over_the_network_in_the_clear() {
        let config = ProviderConfig {
            base_url: Some("http://192.0.2.1/v1".parse().unwrap()),
            model: Some("m".into()),
            key: crate::keys::KeySource::Environment("K".into()),
            ..ProviderConfig::of(Kind::OpenAiChat)
        };
        let config = BackendConfig {
            default: "mine".into(),
            providers: BTreeMap::from([("mine".into(), config)]),
            ..BackendConfig::default()
        };
        let backend = Embedded::new(config, Keys::new(|_| Some("secret".into()), |_, _| Ok(None))).unwrap();
        let error = fails(&backend, ask(None)).await;
        assert_eq!(error.kind, ErrorKind::BadParams);
        assert!(error.message.contains("unencrypted"));
    }
}
