//! Providers: one trait, and what is common to all of them. A provider's [`Provider::call`] gives a finished answer or an
//! error, nothing between: everything that depends on the end of the stream can wrap this one future.

pub(crate) mod anthropic;
pub(crate) mod gemini;
pub(crate) mod ollama;
pub(crate) mod openai_chat;
pub(crate) mod openai_responses;
pub(crate) mod stream;
pub mod wire;

use crate::Usage;
use crate::error::ProviderError;
use crate::keys::KeySource;
use crate::resilience::{KeyId, ResilienceConfig};
use async_trait::async_trait;
use krins_core::prompt::{Prompt, Rendered};
use krins_core::redact::Redacted;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// One model call.
#[derive(Clone, Copy, Debug)]
pub struct ModelRequest<'a> {
    pub words: &'a Redacted<Rendered>,
    /// What the words were made from: what the keyless providers read. None for somebody else's conversation.
    pub prompt: Option<&'a Redacted<Prompt>>,
    pub model: &'a str,
    /// None leaves it to the provider.
    pub max_output_tokens: Option<u32>,
    pub sampling: Option<&'a Sampling>,
    /// Whether an answer that reached the output limit is one. Never for a change, of which a part is a wrong one.
    pub partial: bool,
    /// Whether somebody else can answer, so that a silent one is left sooner.
    pub elsewhere: bool,
    /// How many calls of this task to this route came before.
    pub resend: u32,
    /// Whose call it is, and who pays.
    pub task: &'a str,
    pub account: Option<&'a crate::money::Account>,
}

impl<'a> ModelRequest<'a> {
    pub fn new(words: &'a Redacted<Rendered>, model: &'a str) -> Self {
        Self {
            words,
            prompt: None,
            model,
            max_output_tokens: None,
            sampling: None,
            partial: false,
            elsewhere: false,
            resend: 0,
            task: "",
            account: None,
        }
    }
}

/// How the model chooses its words, where the caller says so.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub seed: Option<i64>,
    pub stop: Vec<String>,
}

/// A whole answer: its terminal marker was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    pub text: String,
    /// As the provider names what answered.
    pub model: String,
    pub usage: Usage,
    pub response_id: Option<String>,
    pub why: Vec<(String, Vec<String>)>,
    pub stopped: Stopped,
}

/// Why the answer ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stopped {
    #[default]
    Whole,
    /// Only where the request took partial answers.
    OutputLimit,
}

/// Takes pieces of the answer as they come. They are for progress only: after an error they mean nothing.
pub trait DeltaSink: Send {
    fn delta(&mut self, text: &str);

    /// Told of the figures that the provider has given so far, whenever they change.
    fn usage(&mut self, _tally: &wire::Tally) {}
}

impl<F: FnMut(&str) + Send> DeltaSink for F {
    fn delta(&mut self, text: &str) {
        self(text);
    }
}

/// Something that answers prompts. Dropping the future cancels the call and closes its connection.
#[async_trait]
pub trait Provider: Send + Sync {
    async fn call(&self, request: &ModelRequest<'_>, sink: &mut dyn DeltaSink) -> Result<Finished, ProviderError>;

    /// Which key a call would be made with. The error is that there is none.
    async fn key_id(&self) -> Result<KeyId, ProviderError> {
        Ok(KeyId::default())
    }
}

/// Which wire format, or which provider of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Anthropic Messages.
    Anthropic,
    /// OpenAI Responses.
    #[serde(rename = "openai")]
    OpenAi,
    /// OpenAI Chat Completions, and any server that speaks it.
    #[serde(rename = "openai-chat")]
    OpenAiChat,
    /// Gemini `streamGenerateContent`.
    Gemini,
    /// Ollama `/api/chat`.
    Ollama,
    /// The keyless refactorings.
    Builtin,
    /// Recorded answers.
    Replay,
}

impl Kind {
    pub const ALL: [Kind; 7] =
        [Self::Anthropic, Self::OpenAi, Self::OpenAiChat, Self::Gemini, Self::Ollama, Self::Builtin, Self::Replay];

    /// As it is spelt in settings; also the name of a provider that settings do not mention.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::OpenAi => "openai",
            Self::OpenAiChat => "openai-chat",
            Self::Gemini => "gemini",
            Self::Ollama => "ollama",
            Self::Builtin => "builtin",
            Self::Replay => "replay",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The official address; `None` for providers of our own.
    pub const fn official_url(self) -> Option<&'static str> {
        match self {
            Self::Anthropic => Some("https://api.anthropic.com"),
            Self::OpenAi | Self::OpenAiChat => Some("https://api.openai.com/v1"),
            Self::Gemini => Some("https://generativelanguage.googleapis.com"),
            Self::Ollama => Some("http://127.0.0.1:11434"),
            Self::Builtin | Self::Replay => None,
        }
    }

    /// The environment variables where the official SDKs look for a key.
    pub const fn key_variables(self) -> &'static [&'static str] {
        match self {
            Self::Anthropic => &["ANTHROPIC_API_KEY"],
            Self::OpenAi | Self::OpenAiChat => &["OPENAI_API_KEY"],
            Self::Gemini => &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
            Self::Ollama => &["OLLAMA_API_KEY"],
            Self::Builtin | Self::Replay => &[],
        }
    }

    /// The model without settings. Models of providers change too often to have one here.
    pub const fn default_model(self) -> Option<&'static str> {
        match self {
            Self::Builtin => Some("refactorings"),
            Self::Replay => Some("recorded"),
            Self::Anthropic | Self::OpenAi | Self::OpenAiChat | Self::Gemini | Self::Ollama => None,
        }
    }
}

/// Times and counts of the call policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From sending to the first sign of an answer; keep-alives are no sign.
    pub first_token: Duration,
    /// The same where somebody else can answer and the model need not be loaded first; without it there is no difference.
    pub hurried: Option<Duration>,
    /// Without a byte, once the answer has begun.
    pub idle: Duration,
    /// Everything together, waits and other routes included; that of the chain's first route holds for a task.
    pub total: Duration,
    /// The most calls to one route for one ask.
    pub calls: u32,
    /// Full-jitter exponential backoff: the first wait is up to this, doubling.
    pub backoff: Duration,
    pub backoff_cap: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            first_token: Duration::from_secs(10),
            hurried: None,
            idle: Duration::from_secs(15),
            total: Duration::from_secs(45),
            calls: 2,
            backoff: Duration::from_secs(1),
            backoff_cap: Duration::from_secs(10),
        }
    }
}

impl Timing {
    /// The defaults for a kind: a model on one's own machine may have to be loaded first.
    pub fn of(kind: Kind) -> Self {
        let standard = Self::default();
        match kind {
            Kind::Ollama => Self {
                first_token: Duration::from_secs(60),
                hurried: Some(standard.first_token),
                total: Duration::from_secs(180),
                ..standard
            },
            _ => standard,
        }
    }
}

/// One provider, resolved from user settings. There is no place for a key: only for where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderConfig {
    pub kind: Kind,
    /// The official address without one. For `openai*` it includes the version (`http://127.0.0.1:8080/v1`), as in OpenAI's SDKs.
    pub base_url: Option<Url>,
    /// Without one, every ask has to name it.
    pub model: Option<String>,
    pub key: KeySource,
    pub timing: Timing,
    /// The `anthropic-version` header.
    pub api_version: Option<String>,
    /// Where `replay` finds its recordings.
    pub directory: Option<PathBuf>,
    /// The model that is asked instead while the service is overloaded.
    pub economy_model: Option<String>,
    /// Who is asked when this provider does not answer, `provider` or `provider/model`; without it, the general chain.
    pub fallback: Option<Vec<String>>,
    /// Whether the part of a prompt that comes again is marked for the provider's cache, where that costs extra.
    pub prompt_cache: bool,
    /// How long Ollama keeps the model loaded, in its own words.
    pub keep_alive: Option<String>,
}

impl ProviderConfig {
    /// The defaults of a kind.
    pub fn of(kind: Kind) -> Self {
        Self {
            kind,
            base_url: None,
            model: None,
            key: KeySource::Standard,
            timing: Timing::of(kind),
            api_version: None,
            directory: None,
            economy_model: None,
            fallback: None,
            prompt_cache: true,
            keep_alive: None,
        }
    }

    pub fn model(&self) -> Option<&str> {
        self.model.as_deref().or(self.kind.default_model())
    }
}

/// All that the embedded backend needs to know, resolved from user settings.
#[derive(Clone, Debug, PartialEq)]
pub struct BackendConfig {
    /// The name of the provider that an ask without wishes goes to.
    pub default: String,
    /// By name. A kind's own name works without an entry.
    pub providers: BTreeMap<String, ProviderConfig>,
    pub http: crate::http::HttpConfig,
    pub cache: crate::cache::CacheConfig,
    pub money: crate::money::MoneyConfig,
    pub router: crate::router::RouterConfig,
    /// Write every finished answer of a model here, for `replay`.
    pub record: Option<PathBuf>,
    /// Who is asked when a provider without a chain of its own does not answer, in order: `provider`, `provider/model`.
    pub fallback: Vec<String>,
    pub resilience: ResilienceConfig,
    /// Faults on purpose.
    pub chaos: Option<crate::chaos::ChaosConfig>,
}

impl Default for BackendConfig {
    fn default() -> Self {
        Self {
            default: Kind::Builtin.name().to_owned(),
            providers: BTreeMap::new(),
            http: crate::http::HttpConfig::default(),
            cache: crate::cache::CacheConfig::default(),
            money: crate::money::MoneyConfig::default(),
            router: crate::router::RouterConfig::default(),
            record: None,
            fallback: Vec::new(),
            resilience: ResilienceConfig::default(),
            chaos: None,
        }
    }
}

impl BackendConfig {
    /// The chain after `provider`, as it is written.
    pub fn fallback_of(&self, provider: &str) -> &[String] {
        let own = self.providers.get(provider).and_then(|config| config.fallback.as_deref());
        own.unwrap_or(&self.fallback)
    }

    /// Whether the keyless refactorings end that chain.
    pub fn ends_in_builtin(&self, provider: &str) -> bool {
        self.fallback_of(provider).iter().any(|route| route == Kind::Builtin.name())
    }
}

/// A route as settings write it: the provider, and the model where one is named. A provider's name holds no `/`.
pub fn split_route(route: &str) -> (&str, Option<&str>) {
    match route.split_once('/') {
        Some((provider, model)) => (provider, Some(model)),
        None => (route, None),
    }
}

/// The names of all providers that can be asked.
pub fn provider_names(configured: &BTreeMap<String, ProviderConfig>) -> BTreeSet<String> {
    let kinds = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Replay).map(|kind| kind.name().to_owned());
    kinds.chain(configured.keys().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kinds_name_is_its_spelling_in_settings() {
        for kind in Kind::ALL {
            let json = serde_json::to_value(kind).unwrap();
            assert_eq!(json, serde_json::json!(kind.name()));
            assert_eq!(Kind::of_name(kind.name()), Some(kind));
        }
    }

    #[test]
    fn official_addresses_are_urls() {
        for url in Kind::ALL.into_iter().filter_map(Kind::official_url) {
            assert!(url.parse::<Url>().is_ok());
        }
    }
}
