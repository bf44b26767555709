//! The model side of Krins: one [`Backend`] trait, and the forms it takes: embedded (providers in this process) and
//! remote (`krins serve` over HTTP). The only crate that speaks HTTP, and the only one that sends text out of the
//! machine: it takes a [`Redacted`] prompt and nothing else.

pub mod board;
mod builtin;
pub mod cache;
pub mod calls;
pub mod chaos;
pub mod embedded;
pub mod error;
pub mod handover;
pub mod http;
pub mod judge;
pub mod keys;
pub mod money;
mod ndjson;
pub mod provider;
pub mod replay;
pub mod router;
pub mod spans;
mod sse;

mod exposition;
pub mod metrics;
pub mod propagation;
pub mod remote;
pub mod resilience;
pub mod sealed;
pub mod service;
pub mod shared;
pub mod similar;
pub mod store;
pub mod wire;

use async_trait::async_trait;
use error::{Fault, ProviderError};
use krins_core::prompt::{Prompt, Rendered};
use krins_core::redact::Redacted;
use provider::{Sampling, Stopped};
use resilience::policy::Unanswered;
use resilience::{Level, Status, Switch};
use std::sync::Arc;

/// What is asked of a backend.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The task's id, for logs and for the remote backend's idempotency key.
    pub task: String,
    pub prompt: Redacted<Prompt>,
    /// Without one, the backend's default.
    pub provider: Option<String>,
    pub model: Option<String>,
    pub max_output_tokens: u32,
    /// Do not answer from the cache.
    pub fresh: bool,
    /// Who pays for it.
    pub account: money::Account,
}

/// Tokens a model call used. Input counts are disjoint: uncached, read from the provider's cache, written to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Usage {
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cache_read_tokens: u64,
    pub cache_write_tokens: u64,
    /// Of those written, the ones that stay for an hour or more, which cost more.
    #[serde(default)]
    pub cache_write_long_tokens: u64,
    /// True when the provider sent no figures and they were estimated.
    pub estimated: bool,
}

impl Usage {
    /// Both together; an estimate in either makes the sum one.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            cache_read_tokens: self.cache_read_tokens.saturating_add(other.cache_read_tokens),
            cache_write_tokens: self.cache_write_tokens.saturating_add(other.cache_write_tokens),
            cache_write_long_tokens: self.cache_write_long_tokens.saturating_add(other.cache_write_long_tokens),
            estimated: self.estimated || other.estimated,
        }
    }
}

/// A finished answer. There is no unfinished one: a stream without its terminal marker is an error.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Proposal {
    /// The model's own text, in one of the five patch forms.
    pub text: String,
    pub provider: String,
    pub model: String,
    pub usage: Usage,
    /// True when it came from the cache, without a model call.
    pub cached: bool,
    /// Up to three (reason, places) pairs a deterministic provider gives; empty for models.
    pub why: Vec<(String, Vec<String>)>,
    /// Why this is not what was asked for: another route answered, or a cheaper model. Such an answer is not cached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded: Option<String>,
}

/// What an ask reports while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Sent to `provider/model`, nothing back yet.
    Sent { route: String },
    /// Goes on to `to`, because `from` (both `provider/model`) is overloaded, say.
    Moved { to: String, from: String, why: String },
    /// Nobody can be asked for so many seconds.
    Waiting { route: String, why: String, seconds: u64 },
    /// There is too much to do: less is done for each task, as this brownout level says.
    Level { level: String },
    /// Characters of answer received so far.
    Received { characters: u64 },
}

pub type ProgressSink = Arc<dyn Fn(Progress) + Send + Sync>;

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct BackendError {
    pub kind: krins_protocol::error::ErrorKind,
    /// What happened; never holds a key, a URL's query or a provider's body.
    pub message: String,
    pub hint: Option<String>,
    /// Somebody else may be asked instead: the taxonomy's word. A refusal, or a prompt that is too long, is final.
    pub elsewhere: bool,
}

impl BackendError {
    /// One that nobody else is asked about.
    pub fn new(kind: krins_protocol::error::ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, elsewhere: false }
    }

    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// From a server that says no more than the kind: whoever is out of reach, overloaded or locked is not the only one.
    pub(crate) fn of_kind(kind: krins_protocol::error::ErrorKind, message: String, hint: Option<String>) -> Self {
        use krins_protocol::error::ErrorKind as K;
        let elsewhere = matches!(kind, K::Overloaded | K::BackendUnavailable | K::AuthFailed);
        Self { kind, message, hint, elsewhere }
    }
}

/// The model side, in process or far away. Dropping the future cancels the ask and closes its connection.
#[async_trait]
pub trait Backend: Send + Sync {
    async fn ask(&self, ask: Ask, progress: ProgressSink) -> Result<Proposal, BackendError>;

    /// `provider/model` that an ask without wishes goes to.
    fn route(&self) -> String;

    /// `provider/model` that this ask goes to; what answers are cached under.
    fn route_for(&self, ask: &Ask) -> String {
        match (&ask.provider, &ask.model) {
            (None, None) => self.route(),
            (provider, model) => format!("{}/{}", provider.as_deref().unwrap_or("?"), model.as_deref().unwrap_or("?")),
        }
    }

    /// Whether asks go to the keyless refactorings, which need whole files instead of a pruned context.
    fn is_builtin(&self) -> bool;

    /// The same for asks that name this provider; none is the default one.
    fn is_builtin_for(&self, provider: Option<&str>) -> bool {
        provider.map_or_else(|| self.is_builtin(), |name| name == "builtin")
    }

    /// Whether somebody else decides who answers an ask that names no provider: a remote backend, unless the settings
    /// name one.
    fn decides_elsewhere(&self) -> bool {
        false
    }

    /// The most that one call for this ask can cost, in millionths of a US dollar; `None` when the price is not known.
    fn estimate(&self, _ask: &Ask) -> Option<u64> {
        None
    }

    /// Where calls and choices are written down, when that is in this process.
    fn books(&self) -> Option<Arc<money::Books>> {
        None
    }

    /// A task like this one whose answer was kept, where that is looked for.
    fn similar(&self, _ask: &Ask) -> Option<similar::Suggestion> {
        None
    }

    /// What the gate said of the answer to this ask, check by check: `pass`, `warn` or `block`. For whoever counts; told, of a known ask,
    /// before [`Backend::keep`] or [`Backend::forget`].
    fn weighed(&self, _ask: Option<&Ask>, _verdicts: &[(&str, &'static str)]) {}

    /// The answer to this ask passed the gate: it may be given again.
    fn keep(&self, _ask: &Ask) {}

    /// Waits until what it was told is written, or has arrived where it belongs.
    async fn flush(&self) {}

    /// Who should answer where the person names nobody; `None` for the usual one.
    async fn choose(&self, _wish: &router::Wish) -> Option<router::Decision> {
        None
    }

    /// Hands the next records of an audit over, to be kept out of reach; answers how far the log is there. `None` where
    /// nobody keeps it.
    async fn append_audit(
        &self,
        _next: &handover::Handover,
    ) -> Result<Option<krins_protocol::http::AuditHead>, BackendError> {
        Ok(None)
    }

    /// What came of a choice.
    fn note(&self, _tenant: &str, _decision: &str, _outcome: router::Outcome) {}

    /// Whether choices are made at all.
    fn chooses(&self) -> bool {
        false
    }

    /// The answer to this ask was no good (the gate blocked it, the person discarded it): do not give it again.
    fn forget(&self, ask: &Ask);

    /// Cache (hits, misses) so far.
    fn cache_counts(&self) -> (u64, u64);

    /// Answers a conversation, along the chain of its model.
    async fn chat(&self, _chat: Chat, _progress: ProgressSink) -> Result<ChatReply, Unanswered> {
        let error = ProviderError::new(Fault::Misconfigured, "this backend answers tasks only");
        Err(Unanswered { route: self.route(), error, others: Vec::new() })
    }

    /// The names of the providers that can be asked in this process.
    fn provider_names(&self) -> Vec<String> {
        Vec::new()
    }

    /// What a conversation may name as its model.
    fn chat_models(&self) -> Vec<String> {
        Vec::new()
    }

    /// The routes' states, the brownout level, the kill switch.
    fn status(&self) -> Status {
        Status::default()
    }

    /// What a backend on another machine says of itself; `None` where it is in this process.
    async fn remote_health(&self) -> Option<krins_protocol::http::Health> {
        None
    }

    /// How much is done for a task now.
    fn level(&self) -> Level {
        Level::Normal
    }

    /// How long the oldest waiting task has waited; told about once a second by whoever has a queue.
    fn press(&self, _queue_age: std::time::Duration) {}

    /// The kill switch, where there is one.
    fn kill_switch(&self) -> Option<&Switch> {
        None
    }
}

/// A conversation of somebody else's, on its way to a model.
#[derive(Clone, Debug)]
pub struct Chat {
    /// For logs.
    pub id: String,
    pub words: Redacted<Rendered>,
    /// Who pays for it.
    pub account: money::Account,
    /// `provider/model`, a provider's name, or a model of the default provider.
    pub model: String,
    pub max_output_tokens: Option<u32>,
    pub sampling: Sampling,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatReply {
    pub text: String,
    /// `provider/model` of the settings, which the answer came over.
    pub route: String,
    /// The model, as its provider names it.
    pub model: String,
    pub usage: Usage,
    pub stopped: Stopped,
}
