//! One taxonomy for everything that can go wrong between Krins and a provider. It alone decides what is retried, what
//! may move to another route, and which error kind and hint a person sees. Provider texts pass [`sanitise`] first: a
//! key, a URL's query or a provider's body never gets into an error.

use crate::BackendError;
use krins_protocol::error::ErrorKind;
use std::time::Duration;

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Too many requests; it clears by itself.
    RateLimited,
    /// Money or a daily quota is used up; only a person can clear it.
    QuotaExhausted,
    /// The person's own budget does not allow the call; nothing was sent.
    Budget,
    Overloaded,
    /// The provider failed.
    Server,
    /// No connection, or it was lost before an answer began.
    Connect,
    /// Nothing of an answer within the first-token timeout.
    FirstTokenTimeout,
    /// The answer began and then nothing more came.
    IdleTimeout,
    /// The ask's whole time is used up.
    Deadline,
    /// The stream ended without its terminal marker.
    Truncated,
    /// Not the provider's wire format.
    Malformed,
    /// The prompt does not fit the model.
    ContextLength,
    /// A refusal or a content filter.
    Refused,
    /// The answer does not fit the output limit.
    OutputLimit,
    BadRequest,
    /// A key is missing or was not accepted.
    Auth,
    /// No such model, or no such endpoint.
    NotFound,
    /// The settings do not say enough, or something unsafe.
    Misconfigured,
    /// A person turned the provider off.
    SwitchedOff,
    /// The task is another server's by now; nothing was sent.
    Overtaken,
    /// The call could not be written down first; nothing was sent.
    Unrecorded,
    /// A defect in Krins.
    Internal,
}

/// What a [`Fault`] says about the route that it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The provider works: it said no.
    Alive,
    /// The route is unhealthy; the breaker counts it.
    Counts,
    /// The route rests as long as its provider asks.
    Rests,
    /// The route is of no use until a person does something.
    Disables,
    /// Nothing: the failure is on this side.
    Nothing,
}

/// What follows from a [`Fault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The same route may be called once more.
    pub retry: bool,
    /// Another route may be asked instead.
    pub fallback: bool,
    /// What it says about the route.
    pub effect: Effect,
    pub kind: ErrorKind,
    /// What the person can do, when the error itself knows nothing better.
    pub hint: &'static str,
}

impl Fault {
    pub const ALL: [Fault; 22] = [
        Self::RateLimited,
        Self::QuotaExhausted,
        Self::Budget,
        Self::Overloaded,
        Self::Server,
        Self::Connect,
        Self::FirstTokenTimeout,
        Self::IdleTimeout,
        Self::Deadline,
        Self::Truncated,
        Self::Malformed,
        Self::ContextLength,
        Self::Refused,
        Self::OutputLimit,
        Self::BadRequest,
        Self::Auth,
        Self::NotFound,
        Self::Misconfigured,
        Self::SwitchedOff,
        Self::Overtaken,
        Self::Unrecorded,
        Self::Internal,
    ];

    /// The taxonomy's row: retry, fallback, effect on the route, kind, hint.
    pub const fn rule(self) -> Rule {
        use Effect as E;
        use ErrorKind as K;
        let (retry, fallback, effect, kind, hint) = match self {
            Self::RateLimited => {
                (true, true, E::Rests, K::Overloaded, "wait a moment and ask again, or use another provider")
            }
            Self::QuotaExhausted => (
                false,
                true,
                E::Disables,
                K::BudgetExceeded,
                "raise the limit or add credit at the provider, or use another provider",
            ),
            Self::Budget => (false, false, E::Nothing, K::BudgetExceeded, "narrow the scope, or raise the budget"),
            Self::Overloaded => (
                true,
                true,
                E::Counts,
                K::Overloaded,
                "the provider has too much to do: ask again later, or use another provider",
            ),
            Self::Server => (
                true,
                true,
                E::Counts,
                K::BackendUnavailable,
                "the provider failed: ask again, or use another provider",
            ),
            Self::Connect => (
                true,
                true,
                E::Counts,
                K::BackendUnavailable,
                "check the network, the proxy and the provider's base_url",
            ),
            Self::FirstTokenTimeout => (
                false,
                true,
                E::Counts,
                K::BackendUnavailable,
                "the provider is silent: ask again, use another provider, or raise the first-token timeout for slow models",
            ),
            Self::IdleTimeout => (
                false,
                true,
                E::Counts,
                K::BackendUnavailable,
                "the answer stalled: ask again, or use another provider",
            ),
            Self::Deadline => (
                false,
                false,
                E::Counts,
                K::BackendUnavailable,
                "ask for a smaller change, or raise the provider's total timeout",
            ),
            Self::Truncated => (
                false,
                true,
                E::Counts,
                K::BackendUnavailable,
                "the answer broke off and nothing of it was used: ask again",
            ),
            Self::Malformed => (
                false,
                true,
                E::Counts,
                K::BackendUnavailable,
                "check that base_url is a server of this provider's kind, then ask again",
            ),
            Self::ContextLength => {
                (false, false, E::Alive, K::BudgetExceeded, "narrow the scope or give a smaller token budget")
            }
            Self::Refused => (
                false,
                false,
                E::Alive,
                K::ProviderRefused,
                "say it in other words, or leave out what the provider objects to",
            ),
            Self::OutputLimit => {
                (false, false, E::Alive, K::BudgetExceeded, "ask for a smaller change, or raise the output token limit")
            }
            Self::BadRequest => (
                false,
                false,
                E::Alive,
                K::ProviderRefused,
                "check that the model and its settings belong to this provider",
            ),
            Self::Auth => (
                false,
                true,
                E::Disables,
                K::AuthFailed,
                "check the key: it may be revoked, mistyped or without access to this model",
            ),
            Self::NotFound => {
                (false, false, E::Alive, K::BadParams, "check the model's name and the provider's base_url")
            }
            Self::Misconfigured => (false, true, E::Nothing, K::BadParams, "correct the provider's user settings"),
            Self::SwitchedOff => (
                false,
                true,
                E::Nothing,
                K::BackendUnavailable,
                "the kill switch is set: `krins switch` shows it and `krins switch on` takes it back",
            ),
            Self::Overtaken => {
                (false, false, E::Nothing, K::Cancelled, "nothing is to be done: whoever runs the task now answers it")
            }
            Self::Unrecorded => (
                false,
                false,
                E::Nothing,
                K::BackendUnavailable,
                "the service's database can not be used now: ask again later",
            ),
            Self::Internal => (false, true, E::Nothing, K::Internal, "this is a defect of Krins: please report it"),
        };
        Rule { retry, fallback, effect, kind, hint }
    }

    /// What is said of a provider: "anthropic …".
    pub const fn says(self) -> &'static str {
        match self {
            Self::RateLimited => "has a rate limit",
            Self::QuotaExhausted => "has no quota left",
            Self::Budget => "is too dear for the budget",
            Self::Overloaded => "is overloaded",
            Self::Server => "failed",
            Self::Connect => "can not be reached",
            Self::FirstTokenTimeout => "is silent",
            Self::IdleTimeout => "stalled",
            Self::Deadline => "took too long",
            Self::Truncated => "broke off",
            Self::Malformed => "answered with something unreadable",
            Self::ContextLength => "has too small a context window",
            Self::Refused => "refused",
            Self::OutputLimit => "reached the output limit",
            Self::BadRequest => "does not take the request",
            Self::Auth => "did not accept its key",
            Self::NotFound => "does not know the model",
            Self::Misconfigured => "is not set up",
            Self::SwitchedOff => "is switched off",
            Self::Overtaken => "was not asked: the task is another server's",
            Self::Unrecorded => "was not asked: the call could not be written down",
            Self::Internal => "failed inside Krins",
        }
    }

    /// The kind for an HTTP status and the codes a provider gave with it, the most exact code first.
    pub fn classify(status: Option<u16>, codes: &[&str], message: &str) -> Self {
        let told = codes.iter().find_map(|code| CODES.iter().find(|(known, _)| known == code)).map(|(_, fault)| *fault);
        let fault = told.unwrap_or_else(|| match status {
            Some(status) => of_status(status),
            None if codes.contains(&"invalid_request_error") => Self::BadRequest,
            None => Self::Server,
        });
        let vague = matches!(fault, Self::BadRequest | Self::NotFound) || told.is_none();
        if vague { of_message(message).unwrap_or(fault) } else { fault }
    }
}

/// Codes and error types that decide by themselves, whatever the status. `invalid_request_error` is not among them: OpenAI
/// sends it with 401 and 429 too.
const CODES: &[(&str, Fault)] = &[
    // Anthropic
    ("enforced_spend_limit_reached", Fault::QuotaExhausted),
    ("billing_error", Fault::QuotaExhausted),
    ("overloaded_error", Fault::Overloaded),
    ("api_error", Fault::Server),
    ("timeout_error", Fault::Server),
    ("conflict_error", Fault::Server),
    ("authentication_error", Fault::Auth),
    ("permission_error", Fault::Auth),
    ("not_found_error", Fault::NotFound),
    ("request_too_large", Fault::ContextLength),
    // OpenAI and compatible servers
    ("insufficient_quota", Fault::QuotaExhausted),
    ("credit_balance_exhausted", Fault::QuotaExhausted),
    ("billing_hard_limit_reached", Fault::QuotaExhausted),
    ("billing_not_active", Fault::QuotaExhausted),
    ("context_length_exceeded", Fault::ContextLength),
    ("exceed_context_size_error", Fault::ContextLength),
    ("content_policy_violation", Fault::Refused),
    ("content_filter", Fault::Refused),
    ("invalid_prompt", Fault::Refused),
    ("invalid_api_key", Fault::Auth),
    ("model_not_found", Fault::NotFound),
    ("server_is_overloaded", Fault::Overloaded),
    ("service_unavailable_error", Fault::Overloaded),
    ("unavailable_error", Fault::Overloaded),
    ("rate_limit_exceeded", Fault::RateLimited),
    ("slow_down", Fault::RateLimited),
    ("rate_limit_error", Fault::RateLimited),
    ("server_error", Fault::Server),
    // Gemini
    ("API_KEY_INVALID", Fault::Auth),
    ("UNAUTHENTICATED", Fault::Auth),
    ("PERMISSION_DENIED", Fault::Auth),
    ("RESOURCE_EXHAUSTED", Fault::RateLimited),
    ("UNAVAILABLE", Fault::Overloaded),
    ("INTERNAL", Fault::Server),
    ("DEADLINE_EXCEEDED", Fault::Server),
    ("NOT_FOUND", Fault::NotFound),
];

fn of_status(status: u16) -> Fault {
    match status {
        401 | 403 => Fault::Auth,
        402 => Fault::QuotaExhausted,
        404 | 405 | 410 => Fault::NotFound,
        408 | 409 | 425 => Fault::Server,
        413 => Fault::ContextLength,
        429 => Fault::RateLimited,
        503 | 529 => Fault::Overloaded,
        500..=599 => Fault::Server,
        300..=399 => Fault::NotFound,
        _ => Fault::BadRequest,
    }
}

/// Some providers have no code of their own for these. Wording may change, so this is the last resort and only ever
/// moves an error from one final kind to another.
fn of_message(message: &str) -> Option<Fault> {
    let message = message.to_ascii_lowercase();
    let says = |parts: &[&str]| parts.iter().any(|part| message.contains(part));
    if says(&[
        "prompt is too long",
        "input token count",
        "context length",
        "context window",
        "exceeds the available context size",
    ]) {
        return Some(Fault::ContextLength);
    }
    says(&["credit balance is too low"]).then_some(Fault::QuotaExhausted)
}

/// A call that gave no finished answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct ProviderError {
    pub fault: Fault,
    /// A lowercase fragment after "get an answer from X: "; already sanitised.
    pub detail: String,
    /// Instead of the taxonomy's hint.
    pub hint: Option<String>,
    /// The provider's wish: not before.
    pub retry_after: Option<Duration>,
    /// The provider's word (`x-should-retry`), which outranks the taxonomy.
    pub should_retry: Option<bool>,
}

impl ProviderError {
    pub fn new(fault: Fault, detail: impl Into<String>) -> Self {
        Self { fault, detail: detail.into(), hint: None, retry_after: None, should_retry: None }
    }

    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// As the edge reports it; `route` is `provider/model`.
    pub fn at(self, route: &str) -> BackendError {
        let rule = self.fault.rule();
        let wait = self
            .retry_after
            .map_or(String::new(), |wait| format!(" (the provider asks to wait {} s)", wait.as_secs_f64().ceil()));
        // What the refactorings say is a whole sentence, and nobody was asked.
        let message = match route.starts_with("builtin/") {
            true => self.detail,
            false => format!("get an answer from {route}: {}{wait}", self.detail),
        };
        BackendError {
            kind: rule.kind,
            message,
            hint: Some(self.hint.unwrap_or_else(|| rule.hint.to_owned())),
            elsewhere: rule.fallback,
        }
    }
}

/// Characters of a provider's message that are kept.
const MESSAGE_CHARS: usize = 200;

/// Makes a provider's text fit to be shown: one line, at most 200 characters, no URL query, nothing that looks like a
/// key, and none of `secrets`.
pub fn sanitise(text: &str, secrets: &[&str]) -> String {
    let known = secrets
        .iter()
        .filter(|secret| !secret.is_empty())
        .fold(text.to_owned(), |text, secret| text.replace(secret, "[key]"));
    let line = known
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .map(clean_word)
        .collect::<Vec<_>>()
        .join(" ");
    if line.chars().count() <= MESSAGE_CHARS {
        return line;
    }
    line.chars().take(MESSAGE_CHARS).chain(['…']).collect()
}

/// A provider's error code, if it looks like one.
pub fn code(text: &str) -> Option<&str> {
    let fits = !text.is_empty()
        && text.len() <= 48
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    (fits && clean_word(text) == text).then_some(text)
}

fn clean_word(word: &str) -> String {
    let word = match word.find("://") {
        Some(_) => word.split(['?', '#']).next().unwrap_or(word),
        None => word,
    };
    word.split_inclusive(|c: char| !is_key_char(c))
        .map(|piece| {
            let run = piece.trim_end_matches(|c| !is_key_char(c));
            if looks_like_key(run) { format!("[key]{}", &piece[run.len()..]) } else { piece.to_owned() }
        })
        .collect()
}

fn is_key_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '*' | '.' | '…' | '+')
}

/// Known prefixes, masks, and what is too long and too mixed to be a word. The names of models have to stay readable:
/// `claude-sonnet-4-5-20250929` is 22 letters and digits, in short pieces.
fn looks_like_key(run: &str) -> bool {
    const PREFIXES: [&str; 8] = ["sk-", "sk_", "AIza", "ghp_", "gsk_", "xai-", "AQ.", "ya29."];
    let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).count();
    let letters = |text: &str| text.bytes().filter(u8::is_ascii_alphabetic).count();
    let mixed_piece = |piece: &str| piece.len() >= 16 && digits(piece) > 0 && letters(piece) > 0;
    PREFIXES.iter().any(|prefix| run.starts_with(prefix))
        || run.contains("***")
        || run.split(['-', '_', '.', '+']).any(mixed_piece)
        || digits(run) >= 6 && digits(run) + letters(run) >= 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_and_status_has_the_kind_that_the_taxonomy_gives() {
        for (status, codes, message, fault) in [
            (Some(429), &["rate_limit_error"][..], "", Fault::RateLimited),
            (Some(429), &["enforced_spend_limit_reached", "rate_limit_error"], "", Fault::QuotaExhausted),
            (Some(429), &["insufficient_quota"], "", Fault::QuotaExhausted),
            (Some(529), &["overloaded_error"], "", Fault::Overloaded),
            (None, &["overloaded_error"], "", Fault::Overloaded),
            (Some(401), &["invalid_request_error"], "", Fault::Auth),
            (Some(401), &["invalid_api_key", "invalid_request_error"], "", Fault::Auth),
            (Some(400), &["API_KEY_INVALID", "INVALID_ARGUMENT"], "", Fault::Auth),
            (Some(400), &["context_length_exceeded", "invalid_request_error"], "", Fault::ContextLength),
            (Some(400), &["invalid_request_error"], "prompt is too long: 9 tokens > 8", Fault::ContextLength),
            (Some(400), &["INVALID_ARGUMENT"], "The input token count (9) exceeds", Fault::ContextLength),
            (Some(400), &["content_policy_violation"], "", Fault::Refused),
            (Some(400), &["invalid_request_error"], "Your credit balance is too low", Fault::QuotaExhausted),
            (Some(400), &[], "nope", Fault::BadRequest),
            (Some(404), &[], "model not found", Fault::NotFound),
            (Some(502), &[], "", Fault::Server),
            (Some(504), &["timeout_error"], "", Fault::Server),
            (Some(302), &[], "", Fault::NotFound),
            (None, &["invalid_request_error"], "", Fault::BadRequest),
            (None, &[], "", Fault::Server),
        ] {
            assert_eq!(Fault::classify(status, codes, message), fault, "{status:?} {codes:?} {message}");
        }
    }

    #[test]
    fn every_fault_has_a_row_and_only_passing_ones_are_retried() {
        for fault in Fault::ALL {
            let rule = fault.rule();
            assert!(!rule.hint.is_empty());
            assert!(!rule.retry || rule.kind.retryable(), "{fault:?}");
            assert!(!rule.retry || rule.fallback, "{fault:?}");
            assert!(
                rule.effect != Effect::Counts
                    || rule.kind == ErrorKind::BackendUnavailable
                    || fault == Fault::Overloaded
            );
            assert!(!fault.says().is_empty());
        }
    }

    #[test]
    fn keys_and_queries_are_taken_out_of_provider_texts() {
        for (said, shown) in [
            ("Incorrect API key provided: sk-proj-abc123. See", "Incorrect API key provided: [key] See"),
            ("key sk-ab********wxyz is off", "key [key] is off"),
            ("GET https://x.test/v1?key=AIzaSyFoo&alt=sse failed", "GET https://x.test/v1 failed"),
            ("key=AIzaSyFoo", "key=[key]"),
            ("token (dGhpc2lzYTEyMzQ1Njc4OTA) bad", "token ([key]) bad"),
            ("two\nlines\u{1b}[31m", "two lines [31m"),
            ("my hunter2 is known", "my [key] is known"),
            ("model: claude-sonnet-4-5-20250929", "model: claude-sonnet-4-5-20250929"),
            ("id 3f2504e0-4f89-41d3-9a0c-0305e82c3301 off", "id [key] off"),
        ] {
            assert_eq!(sanitise(said, &["hunter2"]), shown);
        }
        assert_eq!(sanitise(&"x ".repeat(500), &[]).chars().count(), 201);
        assert_eq!(code("sk-abc"), None);
        assert_eq!(code("rate_limit_error"), Some("rate_limit_error"));
        assert_eq!(code("<html>"), None);
    }
}
