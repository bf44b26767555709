//! The backend in this process: picks the provider, calls it under the call policy, and turns its errors into what a
//! person can act on. Knows no wire format and no HTTP.

use crate::builtin::Builtin;
use crate::cache::Cached;
use crate::error::{Fault, ProviderError};
use crate::http::Http;
use crate::keys::{KeyPlace, Keys};
use crate::provider::policy::{self, Jitter};
use crate::provider::stream::HttpProvider;
use crate::provider::{BackendConfig, Finished, Kind, ModelRequest, Provider, ProviderConfig, Timing};
use crate::replay::{Replay, record};
use crate::{Ask, Backend, BackendError, Progress, ProgressSink, Proposal};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// The embedded backend with its cache: what the sidecar and the service run.
pub fn embedded(config: BackendConfig) -> Result<Arc<Cached<Embedded>>, BackendError> {
    let cache = config.cache;
    Ok(Arc::new(Cached::new(Embedded::new(config, Keys::default())?, cache)))
}

/// Providers by name, called in this process.
pub struct Embedded {
    providers: BTreeMap<String, Entry>,
    default: String,
    jitter: Jitter,
    record: Option<PathBuf>,
}

struct Entry {
    kind: Kind,
    model: Option<String>,
    timing: Timing,
    provider: Form,
}

enum Form {
    Http(Box<HttpProvider>),
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
}

impl Embedded {
    /// Checks all that can be checked without a call. A missing key is found out at the call, because a keyring is not
    /// asked before there is need.
    pub fn new(config: BackendConfig, keys: Keys) -> Result<Self, BackendError> {
        let http = Http::new(config.http);
        let mut providers = BTreeMap::new();
        for (name, provider) in all(&config.providers) {
            let entry = entry(&name, &provider, &http, &keys).map_err(|error| error.at(&name))?;
            providers.extend(entry.map(|entry| (name, entry)));
        }
        let backend =
            Self { providers, default: config.default, jitter: policy::random_jitter(), record: config.record };
        backend.entry(&backend.default)?;
        Ok(backend)
    }

    /// With other chance than the real one.
    #[must_use]
    pub fn with_jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// Where the named provider's key is; `Ok(None)` when it needs none and has none.
    pub async fn key_place(&self, provider: &str) -> Result<Option<KeyPlace>, BackendError> {
        match &self.entry(provider)?.provider {
            Form::Http(http) => http.place().await.map_err(|error| error.at(provider)),
            Form::Builtin(_) | Form::Replay(_) => Ok(None),
        }
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
        ask.provider.as_deref().unwrap_or(&self.default)
    }

    async fn call(
        &self,
        entry: &Entry,
        request: &ModelRequest<'_>,
        route: &str,
        progress: &ProgressSink,
    ) -> Result<Finished, ProviderError> {
        let mut characters = 0;
        let mut sink = |delta: &str| {
            characters += delta.chars().count() as u64;
            progress(Progress::Received { characters });
        };
        let sent = || progress(Progress::Sent { route: route.to_owned() });
        policy::call(entry.provider(), request, &entry.timing, &self.jitter, sent, &mut sink).await
    }

    async fn record(&self, entry: &Entry, ask: &Ask, finished: &Finished) {
        let (Some(directory), Form::Http(_)) = (&self.record, &entry.provider) else {
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
        let name = self.name(&ask);
        let entry = self.entry(name)?;
        let Some(model) = ask.model.as_deref().or(entry.model.as_deref()) else {
            return Err(ProviderError::new(Fault::Misconfigured, "no model is chosen")
                .with_hint(format!("set model for the provider {name} in the user settings"))
                .at(name));
        };
        let route = format!("{name}/{model}");
        let request = ModelRequest { prompt: &ask.prompt, model, max_output_tokens: ask.max_output_tokens };
        let finished = self.call(entry, &request, &route, &progress).await.map_err(|error| error.at(&route))?;
        self.record(entry, &ask, &finished).await;
        Ok(Proposal {
            text: finished.text,
            provider: name.to_owned(),
            model: finished.model,
            usage: finished.usage,
            cached: false,
            why: finished.why,
        })
    }

    fn route(&self) -> String {
        let model = self.providers.get(&self.default).and_then(|entry| entry.model.as_deref());
        format!("{}/{}", self.default, model.unwrap_or("?"))
    }

    fn route_for(&self, ask: &Ask) -> String {
        let name = self.name(ask);
        let configured = || self.providers.get(name).and_then(|entry| entry.model.as_deref());
        format!("{name}/{}", ask.model.as_deref().or_else(configured).unwrap_or("?"))
    }

    fn is_builtin(&self) -> bool {
        self.providers.get(&self.default).is_some_and(|entry| entry.kind == Kind::Builtin)
    }

    fn forget(&self, _ask: &Ask) {}

    fn cache_counts(&self) -> (u64, u64) {
        (0, 0)
    }
}

/// The configured providers, and under its own name every kind that works without configuration.
fn all(configured: &BTreeMap<String, ProviderConfig>) -> BTreeMap<String, ProviderConfig> {
    let mut all = Kind::ALL
        .into_iter()
        .filter(|kind| *kind != Kind::Replay)
        .map(|kind| (kind.name().to_owned(), ProviderConfig::of(kind)))
        .collect::<BTreeMap<_, _>>();
    all.extend(configured.iter().map(|(name, config)| (name.clone(), config.clone())));
    all
}

fn entry(name: &str, config: &ProviderConfig, http: &Http, keys: &Keys) -> Result<Option<Entry>, ProviderError> {
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
                Some(provider) => Form::Http(Box::new(provider?)),
                None => return Ok(None),
            }
        }
    };
    Ok(Some(Entry { kind: config.kind, model: config.model().map(str::to_owned), timing: config.timing, provider }))
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
