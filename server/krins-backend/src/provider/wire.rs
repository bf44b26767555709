//! A wire format, without any IO: how a prompt is written for one provider and how its stream is read. The driver in
//! `stream.rs` moves the bytes; an adapter only knows values.

use super::{Finished, ModelRequest, Sampling, Stopped};
use crate::Usage;
use crate::error::{Fault, ProviderError, code, sanitise};
use krins_core::prompt::{Rendered, Role, Turn};
use krins_core::tokens;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
/// What a provider says, as it lies in the bytes that came: a stream has thousands of events, and each is read once.
pub(crate) use serde_json_borrow::Value as Json;
use std::time::Duration;
use url::Url;

/// How a stream is cut into events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Sse,
    Ndjson,
}

pub(crate) trait Wire: Send + Sync {
    fn framing(&self) -> Framing {
        Framing::Sse
    }

    fn url(&self, base: &Url, model: &str) -> Url;

    fn headers(&self, key: Option<&SecretString>) -> Result<HeaderMap, ProviderError>;

    fn body(&self, ask: &Written<'_>) -> Value;

    fn reader(&self) -> Box<dyn Reader>;

    /// What of this the provider has no word for, where leaving it out would change the answer.
    fn lacks(&self, _sampling: &Sampling) -> Option<&'static str> {
        None
    }

    /// Where the server says which models are in its memory, if it does.
    fn loaded(&self, _base: &Url) -> Option<Url> {
        None
    }

    /// Whether the terminal event holds the whole answer again, so that an unreadable event before it loses nothing.
    fn restates_answer(&self) -> bool {
        false
    }
}

/// What is asked, in words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written<'a> {
    pub words: &'a Rendered,
    pub model: &'a str,
    pub max_output_tokens: Option<u32>,
    pub sampling: Option<&'a Sampling>,
}

impl Written<'_> {
    /// Every text, the system's first.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.words.system.as_str()).chain(self.words.turns.iter().map(|turn| turn.text.as_str()))
    }

    /// The part that comes again, digested: calls that share it should meet the same cache. None where nothing does.
    pub fn cache_key(&self) -> Option<String> {
        let stable = self.words.turns.first().map(|turn| turn.parts().0).filter(|stable| !stable.is_empty())?;
        let digest = krins_core::Digest::of(format!("{}\0{stable}", self.words.system)).to_string();
        Some(format!("krins-{}", digest.get(..16)?))
    }
}

/// Puts a value where there is one; providers refuse `null`.
pub(crate) fn put(body: &mut Value, name: &str, value: Option<impl Into<Value>>) {
    if let (Some(fields), Some(value)) = (body.as_object_mut(), value) {
        fields.insert(name.to_owned(), value.into());
    }
}

/// `{role, content}` messages, the system's first: OpenAI's form, and Ollama's.
pub(crate) fn role_messages(words: &Rendered) -> Vec<Value> {
    let system = Some(words.system.as_str()).filter(|system| !system.is_empty());
    let system = system.map(|system| json!({"role": "system", "content": system}));
    system.into_iter().chain(words.turns.iter().map(role_message)).collect()
}

pub(crate) fn role_message(turn: &Turn) -> Value {
    let role = match turn.role {
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    json!({"role": role, "content": turn.text})
}

/// Reads one stream.
pub(crate) trait Reader: Send {
    /// Takes one event that is no error. Unknown events are passed over.
    fn read(&mut self, event: &Json<'_>, answer: &mut Answer) -> Result<Step, ProviderError>;
}

/// Whether more is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    More,
    /// The stream's last event.
    Last,
}

/// Why the model stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Complete,
    OutputLimit,
    ContextLength,
    /// With the provider's category, a code.
    Refused(String),
    /// A stop reason that does not say that the answer is whole.
    Other(String),
}

/// What has been read so far.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub text: String,
    /// The model has begun: a piece of text or thought came.
    pub began: bool,
    pub model: Option<String>,
    pub id: Option<String>,
    pub usage: Tally,
    /// The terminal marker. Without it there is no answer.
    pub stop: Option<Stop>,
}

/// Token counts as they come in; a later figure replaces an earlier one, an absent one does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Uncached input.
    pub input: Option<u64>,
    pub output: Option<u64>,
    pub cache_read: Option<u64>,
    pub cache_write: Option<u64>,
    /// Of those written, the ones that stay for an hour or more.
    pub cache_write_long: Option<u64>,
}

impl Answer {
    pub fn push(&mut self, text: &str) {
        self.began |= !text.is_empty();
        self.text.push_str(text);
    }

    /// The whole answer, or why there is none.
    pub fn finish(self, request: &ModelRequest<'_>) -> Result<Finished, ProviderError> {
        let characters = self.text.chars().count();
        let finished = |stopped: Stopped, answer: Self| Finished {
            usage: answer.usage.settle(request.words.get(), &answer.text),
            model: answer.model.unwrap_or_else(|| request.model.to_owned()),
            response_id: answer.id,
            text: answer.text,
            why: Vec::new(),
            stopped,
        };
        match self.stop {
            Some(Stop::Complete) if self.text.trim().is_empty() => {
                Err(ProviderError::new(Fault::Malformed, "the answer is empty")
                    .with_hint("ask again, or in other words"))
            }
            Some(Stop::Complete) => Ok(finished(Stopped::Whole, self)),
            Some(Stop::OutputLimit) if request.partial => Ok(finished(Stopped::OutputLimit, self)),
            Some(Stop::OutputLimit) => Err(ProviderError::new(
                Fault::OutputLimit,
                format!("the answer reached the output token limit after {characters} characters"),
            )),
            Some(Stop::ContextLength) => {
                Err(ProviderError::new(Fault::ContextLength, "the model's context window is full"))
            }
            Some(Stop::Refused(why)) => Err(ProviderError::new(Fault::Refused, format!("the model refused ({why})"))),
            Some(Stop::Other(why)) => {
                Err(ProviderError::new(Fault::Truncated, format!("the model stopped early ({why})")))
            }
            None => Err(ProviderError::new(
                Fault::Truncated,
                format!("the stream ended after {characters} characters without its terminal marker (truncated)"),
            )),
        }
    }
}

impl Tally {
    fn settle(self, words: &Rendered, text: &str) -> Usage {
        let cached = self.cache_read.unwrap_or(0) + self.cache_write.unwrap_or(0);
        let guess_input = || {
            let turns = words.turns.iter().map(|turn| u64::from(tokens::count(&turn.text)));
            u64::from(tokens::count(&words.system)) + turns.sum::<u64>()
        };
        Usage {
            input_tokens: self.input.unwrap_or_else(|| guess_input().saturating_sub(cached)),
            output_tokens: self.output.unwrap_or_else(|| u64::from(tokens::count(text))),
            cache_read_tokens: self.cache_read.unwrap_or(0),
            cache_write_tokens: self.cache_write.unwrap_or(0),
            cache_write_long_tokens: self.cache_write_long.unwrap_or(0),
            estimated: self.input.is_none() || self.output.is_none(),
        }
    }

    /// Figures where the cached part is counted inside the input, as OpenAI and Gemini do.
    pub fn note_inclusive(&mut self, input: Option<u64>, read: Option<u64>, write: Option<u64>) {
        let Some(input) = input else { return };
        self.cache_read = read.or(self.cache_read);
        self.cache_write = write.or(self.cache_write);
        let cached = self.cache_read.unwrap_or(0) + self.cache_write.unwrap_or(0);
        self.input = Some(input.saturating_sub(cached));
    }
}

/// What a provider's error object says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// Most exact first.
    pub codes: Vec<String>,
    pub message: String,
    pub retry_after: Option<Duration>,
}

impl Complaint {
    /// Reads the error object of any of the formats: `{error: {…}}`, `{error: "…"}`, `[{error: …}]`, or bare.
    /// `None` when nothing in it is an error.
    pub fn read(body: &Json<'_>) -> Option<Self> {
        let body = body.as_array().map_or(Some(body), |list| list.first())?;
        let error = at(body, "/error").filter(|error| is_truthy(error)).unwrap_or(body);
        if let Some(message) = error.as_str() {
            return Some(Self { message: message.to_owned(), ..Self::default() });
        }
        let details = at(error, "/details");
        let mut codes = details.map(detail_codes).unwrap_or_default();
        codes.extend(["/code", "/type", "/status"].iter().filter_map(|place| text(error, place)).map(str::to_owned));
        let message = text(error, "/message").unwrap_or_default().to_owned();
        let empty = codes.is_empty() && message.is_empty() && at(error, "/code").is_none();
        (!empty).then_some(Self { codes, message, retry_after: details.and_then(retry_delay) })
    }

    /// As an error. `status` is `None` for an error inside a stream.
    pub fn into_error(self, status: Option<u16>, secrets: &[&str]) -> ProviderError {
        let codes = self.codes.iter().map(String::as_str).collect::<Vec<_>>();
        let fault = Fault::classify(status, &codes, &self.message);
        let place = status.map_or("error in the stream".to_owned(), |status| format!("HTTP {status}"));
        let shown = codes.iter().find_map(|text| code(text)).map_or(String::new(), |code| format!(" {code}"));
        let message = sanitise(&self.message, secrets);
        let colon = if message.is_empty() { "" } else { ": " };
        let mut error = ProviderError::new(fault, format!("{place}{shown}{colon}{message}"));
        error.retry_after = self.retry_after;
        error
    }
}

/// Whether a field like `error` says something: not absent, null, false or empty.
pub(crate) fn is_truthy(value: &Json<'_>) -> bool {
    match value {
        Json::Null => false,
        Json::Bool(value) => *value,
        Json::Str(text) => !text.is_empty(),
        Json::Object(fields) => !fields.is_empty(),
        Json::Array(items) => !items.is_empty(),
        Json::Number(_) => true,
    }
}

/// `details.error_code` (Anthropic), `details[].reason` and a spent daily quota (Google).
fn detail_codes(details: &Json<'_>) -> Vec<String> {
    let mut codes: Vec<String> = text(details, "/error_code").map(str::to_owned).into_iter().collect();
    for detail in details.as_array().unwrap_or_default() {
        codes.extend(text(detail, "/reason").map(str::to_owned));
        let quotas = list(detail, "/violations").iter().filter_map(|violation| text(violation, "/quotaId"));
        let spent_for_today = quotas.into_iter().any(|quota| quota.contains("PerDay"));
        if spent_for_today {
            codes.insert(0, "insufficient_quota".to_owned());
        }
    }
    codes
}

/// `details[].retryDelay` of google.rpc.RetryInfo: seconds with an `s`.
fn retry_delay(details: &Json<'_>) -> Option<Duration> {
    let mut delays = details.as_array()?.iter().filter_map(|detail| text(detail, "/retryDelay"));
    let seconds = delays.find_map(|delay| delay.strip_suffix('s')?.parse::<f64>().ok())?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// `base` with more path segments; a version that the base already ends with is not said twice.
pub(crate) fn endpoint(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    let last = base.path().trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
    let segments = match segments {
        [first, rest @ ..] if *first == last => rest,
        all => all,
    };
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

/// A header that holds the key and is marked so, so that nothing prints it.
pub(crate) fn key_header(
    name: &'static str,
    prefix: &str,
    key: Option<&SecretString>,
) -> Result<HeaderMap, ProviderError> {
    let mut headers = HeaderMap::new();
    if let Some(key) = key {
        let text = SecretString::from(format!("{prefix}{}", key.expose_secret()));
        let mut value = HeaderValue::from_str(text.expose_secret())
            .map_err(|_| ProviderError::new(Fault::Auth, "the key holds a character that no key has"))?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_static(name), value);
    }
    Ok(headers)
}

/// What a JSON pointer without escapes says.
pub(crate) fn at<'a, 'text>(object: &'a Json<'text>, pointer: &str) -> Option<&'a Json<'text>> {
    debug_assert!(!pointer.contains('~'), "names of the wire need no escapes");
    pointer.strip_prefix('/')?.split('/').try_fold(object, |value, name| match value {
        Json::Array(values) => values.get(name.parse::<usize>().ok()?),
        value => value.as_object()?.get(name),
    })
}

/// The items of a list by pointer; none where there is no list.
pub(crate) fn list<'a, 'text>(object: &'a Json<'text>, pointer: &str) -> &'a [Json<'text>] {
    at(object, pointer).and_then(Json::as_array).unwrap_or_default()
}

/// A count; floats and negative figures are none.
pub(crate) fn count(object: &Json<'_>, pointer: &str) -> Option<u64> {
    at(object, pointer).and_then(Json::as_u64)
}

/// A text field by pointer.
pub(crate) fn text<'a>(object: &'a Json<'_>, pointer: &str) -> Option<&'a str> {
    at(object, pointer).and_then(Json::as_str)
}

/// A provider's own word for something, fit to be shown.
pub(crate) fn word(text: &str) -> String {
    code(text).unwrap_or("unnamed").to_owned()
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use krins_core::prompt::{PROMPT_VERSION, Prompt};
    use krins_core::redact::redact;

    pub fn prompt() -> Prompt {
        Prompt { version: PROMPT_VERSION, intent: "rename a to b".into(), focus: None, items: Vec::new() }
    }

    /// Reads whole events with a wire's reader, as the driver would.
    pub fn read(wire: &dyn Wire, events: &[Value]) -> Result<Finished, ProviderError> {
        let (mut reader, mut answer) = (wire.reader(), Answer::default());
        for event in events {
            let event = event.to_string();
            if reader.read(&serde_json::from_str(&event).unwrap(), &mut answer)? == Step::Last {
                break;
            }
        }
        answer.finish(&ModelRequest::new(&redact(prompt()).0.render(), "asked"))
    }

    /// The body for the prompt above with a file in it, and for nothing but words.
    pub fn body(wire: &dyn Wire, sampling: Option<&Sampling>) -> Value {
        let words = Rendered {
            system: "be brief".into(),
            turns: vec![
                Turn { stable: 6, ..Turn::user("files\ntask") },
                Turn::assistant("done"),
                Turn::user("once more"),
            ],
        };
        wire.body(&Written { words: &words, model: "m", max_output_tokens: Some(99), sampling })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(body: &Value) -> Option<Complaint> {
        Complaint::read(&serde_json::from_str(&body.to_string()).unwrap())
    }

    #[test]
    fn error_objects_of_every_shape_are_read() {
        let anthropic = json!({"type": "error", "error": {"type": "rate_limit_error", "message": "m",
            "details": {"error_code": "enforced_spend_limit_reached"}}});
        assert_eq!(read(&anthropic).unwrap().codes, ["enforced_spend_limit_reached", "rate_limit_error"]);
        let openai = json!({"error": {"message": "m", "type": "t", "param": null, "code": null}});
        assert_eq!(read(&openai).unwrap().codes, ["t"]);
        let compatible = json!({"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}});
        assert_eq!(read(&compatible).unwrap().codes, ["unavailable_error"]);
        let unwrapped = json!({"object": "error", "message": "m", "type": "BadRequestError", "code": 400});
        assert_eq!(read(&unwrapped).unwrap().message, "m");
        let ollama = json!({"error": "model 'x' not found"});
        assert_eq!(read(&ollama).unwrap().message, "model 'x' not found");
        assert_eq!(read(&json!({"id": 1})), None);
        let gemini = json!([{"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED", "details": [
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}]}}]);
        let complaint = read(&gemini).unwrap();
        assert_eq!(complaint.retry_after, Some(Duration::from_millis(34_500)));
        assert_eq!(complaint.into_error(Some(429), &[]).fault, Fault::RateLimited);
        let daily = json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [
            {"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}]}});
        let error = read(&daily).unwrap().into_error(Some(429), &[]);
        assert_eq!(error.fault, Fault::QuotaExhausted);
    }

    #[test]
    fn versions_are_not_said_twice() {
        for (base, url) in [
            ("https://a.test", "https://a.test/v1/messages"),
            ("https://a.test/", "https://a.test/v1/messages"),
            ("https://a.test/v1", "https://a.test/v1/messages"),
            ("https://a.test/proxy/v1/", "https://a.test/proxy/v1/messages"),
            ("https://a.test/proxy", "https://a.test/proxy/v1/messages"),
        ] {
            assert_eq!(endpoint(&base.parse().unwrap(), &["v1", "messages"]).as_str(), url);
        }
    }
}
