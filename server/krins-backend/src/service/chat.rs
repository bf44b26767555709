//! `POST /v1/chat/completions` and `GET /v1/models`, as OpenAI's API reference writes them, so that any OpenAI client has
//! the chain, the policy and the breakers behind it. Knows the words of that API and nothing of tasks.
//!
//! Every attempt is held back until it is whole. A client never sees the beginning of an answer whose end did not come,
//! and a provider that breaks off costs it nothing but time. While it waits, a streaming client gets comments, which
//! keep the connection and which every reader of events passes over.

use super::auth::Caller;
use super::problem::Problem;
use super::routes::Asker;
use super::tasks::{ChatRoom, Tasks};
use crate::error::{Fault, ProviderError};
use crate::money::Account;
use crate::provider::{Sampling, Stopped};
use crate::resilience::policy::Unanswered;
use crate::{Chat, ChatReply, Progress, ProgressSink};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;
use futures::stream::{self, Stream};
use krins_core::prompt::{Rendered, Turn};
use krins_core::redact::{Redacted, Restorer, redact_words};
use krins_protocol::error::ErrorKind;
use krins_protocol::http;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a streaming request waits for its answer before its head is sent: within it, a failure has its own status.
const HEAD: Duration = Duration::from_secs(5);
/// Between two comments.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Bytes of one piece of the answer.
const PIECE: usize = 256;
/// Bytes of a conversation that are looked through in less time than another thread takes to wake.
const REDACTED_HERE: usize = 16 << 10;
const MAX_MESSAGES: usize = 10_000;
/// Of an error of our own, when it is said anew.
const MAX_PROBLEM: usize = 64 << 10;

/// An answer, or a failure, on its way.
type Answering = BoxFuture<'static, Result<ChatReply, Refusal>>;

pub(super) async fn completions(
    State(tasks): State<Arc<Tasks>>,
    Extension(Asker(caller)): Extension<Asker>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match admit(&tasks, caller, &headers, body) {
        Ok((asked, answering)) => answer(asked, answering).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// What a client may name as its model.
pub(super) async fn models(State(tasks): State<Arc<Tasks>>) -> Json<Value> {
    let model = |id: String| {
        let owner = id.split('/').next().unwrap_or_default().to_owned();
        json!({"id": id, "object": "model", "created": 0, "owned_by": owner})
    };
    let models: Vec<Value> = tasks.backend().chat_models().into_iter().map(model).collect();
    Json(json!({"object": "list", "data": models}))
}

/// Errors of the service below `/v1`, in the words that an OpenAI client reads.
pub(super) async fn in_openai_words(request: Request, next: Next) -> Response {
    let is_openai = request.uri().path().starts_with("/v1/");
    let response = next.run(request).await;
    let is_problem =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
    if !is_openai || !is_problem {
        return response;
    }
    let (parts, body) = response.into_parts();
    let problem = axum::body::to_bytes(body, MAX_PROBLEM).await.ok();
    let problem = problem.and_then(|bytes| serde_json::from_slice::<http::Problem>(&bytes).ok());
    let (kind, code, message) = match problem {
        Some(problem) => {
            let (kind, code) = words_of(problem.kind);
            let hint = problem.hint.map_or(String::new(), |hint| format!(" ({hint})"));
            (kind, code, format!("failed to {}{hint}", problem.detail))
        }
        None => ("api_error", None, "failed to answer the request".to_owned()),
    };
    let mut said = error_response(parts.status, &error_object(&message, kind, None, code));
    for name in [header::RETRY_AFTER, header::WWW_AUTHENTICATE, header::ALLOW] {
        if let Some(value) = parts.headers.get(&name) {
            said.headers_mut().insert(name, value.clone());
        }
    }
    said
}

/// The request, read.
#[derive(Debug)]
struct Asked {
    id: String,
    created: u64,
    stream: bool,
    include_usage: bool,
}

fn admit(
    tasks: &Arc<Tasks>,
    caller: Caller,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(Asked, Answering), Refusal> {
    let value: Value = super::routes::read_json(headers, body, "request").map_err(Refusal::Problem)?;
    let request = Asking::read(&value)?;
    if tasks.is_draining() {
        let problem = Problem::new(ErrorKind::BackendUnavailable, "answer: the server is shutting down");
        return Err(Refusal::Problem(problem.retry_after(1)));
    }
    let room = tasks.chat(&caller).map_err(Refusal::Problem)?;
    let id = format!("chatcmpl-{}", uuid::Uuid::now_v7().simple());
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let asked = Asked { id: id.clone(), created, stream: request.stream, include_usage: request.include_usage };
    Ok((asked, start(tasks, caller, id, request, room)))
}

/// The answer to come. Dropping it closes the provider's connection.
fn start(tasks: &Arc<Tasks>, caller: Caller, id: String, request: Asking, room: ChatRoom) -> Answering {
    let backend = tasks.backend();
    Box::pin(async move {
        let _room = room;
        // What others wrote may hold secrets as well as what we wrote.
        let (words, restorer) = redacted(request.words).await?;
        let chat = Chat {
            id,
            words,
            account: Account {
                tenant: caller.tenant,
                person: caller.person.name,
                person_micros: caller.person.micros_per_day,
                ..Account::default()
            },
            model: request.model,
            max_output_tokens: request.max_output_tokens,
            sampling: request.sampling,
        };
        let progress: ProgressSink = Arc::new(|progress| {
            if let Progress::Moved { to, from, why } = progress {
                tracing::info!(to, from, "asked another route: {why}");
            }
        });
        let reply = backend.chat(chat, progress).await.map_err(Refusal::Unanswered)?;
        restored(reply, &restorer)
    })
}

/// What is long is looked through off the threads that serve everybody.
async fn redacted(words: Rendered) -> Result<(Redacted<Rendered>, Restorer), Refusal> {
    if words.system.len() + words.turns.iter().map(|turn| turn.text.len()).sum::<usize>() <= REDACTED_HERE {
        return Ok(redact_words(words));
    }
    let redacting = tokio::task::spawn_blocking(move || redact_words(words)).await;
    redacting.map_err(|_| Refusal::Problem(Problem::new(ErrorKind::Internal, "answer the request")))
}

fn restored(reply: ChatReply, restorer: &Restorer) -> Result<ChatReply, Refusal> {
    let text = restorer.restore(&reply.text).map_err(|error| {
        let error = ProviderError::new(Fault::Malformed, error.to_string());
        Refusal::Unanswered(Unanswered { route: reply.route.clone(), error, others: Vec::new() })
    })?;
    Ok(ChatReply { text, ..reply })
}

async fn answer(asked: Asked, mut answering: Answering) -> Response {
    if !asked.stream {
        return match answering.await {
            Ok(reply) => with_route(&reply, Json(completion(&asked, &reply)).into_response()),
            Err(refusal) => refusal.into_response(),
        };
    }
    match tokio::time::timeout(HEAD, &mut answering).await {
        Ok(Err(refusal)) => refusal.into_response(),
        Ok(Ok(reply)) => {
            let pieces = chunks(&asked, &reply);
            with_route(&reply, events(stream::iter(pieces.into_iter().map(Ok))))
        }
        Err(_) => events(waiting(asked, answering)),
    }
}

/// Comments until there is an answer, then all of it, or an error that every client takes for one.
fn waiting(asked: Asked, answering: Answering) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let state = (asked, Some(answering), VecDeque::<Bytes>::new());
    stream::unfold(state, |(asked, mut answering, mut ready)| async move {
        if let Some(mut running) = answering.take() {
            match tokio::time::timeout(KEEP_ALIVE, &mut running).await {
                Ok(Ok(reply)) => ready.extend(chunks(&asked, &reply)),
                Ok(Err(refusal)) => ready.push_back(data(&refusal.object())),
                Err(_) => {
                    answering = Some(running);
                    ready.push_back(Bytes::from_static(b": waiting\n\n"));
                }
            }
        }
        let piece = ready.pop_front()?;
        Some((Ok(piece), (asked, answering, ready)))
    })
}

fn events(pieces: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/event-stream; charset=utf-8")];
    (headers, Body::from_stream(pieces)).into_response()
}

fn with_route(reply: &ChatReply, mut response: Response) -> Response {
    if let Ok(route) = HeaderValue::from_str(&reply.route) {
        response.headers_mut().insert(HeaderName::from_static("x-krins-route"), route);
    }
    response
}

fn data(value: &Value) -> Bytes {
    Bytes::from(format!("data: {value}\n\n"))
}

/// The answer as one object.
#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: [WholeChoice<'a>; 1],
    usage: TokenUsage,
    system_fingerprint: (),
}

#[derive(Serialize)]
struct WholeChoice<'a> {
    index: u32,
    message: Message<'a>,
    logprobs: (),
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
    refusal: (),
    annotations: [(); 0],
}

fn completion<'a>(asked: &'a Asked, reply: &'a ChatReply) -> Completion<'a> {
    let message = Message { role: "assistant", content: &reply.text, refusal: (), annotations: [] };
    Completion {
        id: &asked.id,
        object: "chat.completion",
        created: asked.created,
        model: &reply.model,
        choices: [WholeChoice { index: 0, message, logprobs: (), finish_reason: finish_reason(reply) }],
        usage: usage(reply),
        system_fingerprint: (),
    }
}

/// The answer as events, `[DONE]` included.
fn chunks(asked: &Asked, reply: &ChatReply) -> Vec<Bytes> {
    let chunk = |choices: Value, usage: Value| {
        let mut chunk = json!({
            "id": asked.id,
            "object": "chat.completion.chunk",
            "created": asked.created,
            "model": reply.model,
            "system_fingerprint": null,
            "choices": choices,
        });
        if asked.include_usage {
            chunk["usage"] = usage;
        }
        data(&chunk)
    };
    let choice =
        |delta: Value, reason: Value| json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": reason}]);
    let first = json!({"role": "assistant", "content": "", "refusal": null});
    let mut all = vec![chunk(choice(first, Value::Null), Value::Null)];
    all.extend(pieces(&reply.text).map(|piece| chunk(choice(json!({"content": piece}), Value::Null), Value::Null)));
    all.push(chunk(choice(json!({}), json!(finish_reason(reply))), Value::Null));
    if asked.include_usage {
        all.push(chunk(json!([]), json!(usage(reply))));
    }
    all.push(Bytes::from_static(b"data: [DONE]\n\n"));
    all
}

/// Pieces of a readable size, cut between characters.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = (PIECE.min(rest.len())..=rest.len()).find(|at| rest.is_char_boundary(*at))?;
        let (piece, tail) = rest.split_at(end);
        rest = tail;
        Some(piece)
    })
}

fn finish_reason(reply: &ChatReply) -> &'static str {
    match reply.stopped {
        Stopped::Whole => "stop",
        Stopped::OutputLimit => "length",
    }
}

/// In OpenAI's way, the cached tokens are inside the prompt's.
#[derive(Serialize)]
struct TokenUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptTokens,
}

#[derive(Serialize)]
struct PromptTokens {
    cached_tokens: u64,
    audio_tokens: u64,
}

fn usage(reply: &ChatReply) -> TokenUsage {
    let usage = reply.usage;
    let prompt = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens;
    TokenUsage {
        prompt_tokens: prompt,
        completion_tokens: usage.output_tokens,
        total_tokens: prompt + usage.output_tokens,
        prompt_tokens_details: PromptTokens { cached_tokens: usage.cache_read_tokens, audio_tokens: 0 },
    }
}

/// Why there is no answer.
#[derive(Debug)]
enum Refusal {
    /// The request is wrong: what, and in which field.
    Field {
        message: String,
        field: &'static str,
        code: Option<&'static str>,
    },
    /// As for every other route; said in OpenAI's words on the way out.
    Problem(Problem),
    Unanswered(Unanswered),
}

impl Refusal {
    fn field(field: &'static str, message: impl Into<String>) -> Self {
        Self::Field { message: message.into(), field, code: None }
    }

    fn unsupported(field: &'static str, message: impl Into<String>) -> Self {
        Self::Field { message: message.into(), field, code: Some("unsupported_parameter") }
    }

    /// As an event, where the status is sent already.
    fn object(self) -> Value {
        match self {
            Self::Field { message, field, code } => error_object(&message, "invalid_request_error", Some(field), code),
            Self::Problem(problem) => error_object(&problem.detail(), "api_error", None, None),
            Self::Unanswered(unanswered) => failure(unanswered).1,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Problem(problem) => problem.into_response(),
            Self::Unanswered(unanswered) => {
                let wait = unanswered.error.retry_after;
                let (status, object) = failure(unanswered);
                let mut response = error_response(status, &object);
                if let Some(wait) = wait.filter(|_| status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error())
                {
                    let seconds = wait.as_secs_f64().ceil() as u64;
                    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
                }
                response
            }
            field => error_response(StatusCode::BAD_REQUEST, &field.object()),
        }
    }
}

/// Status and error object of a chain without an answer, as OpenAI would say it.
fn failure(unanswered: Unanswered) -> (StatusCode, Value) {
    let fault = unanswered.error.fault;
    let (status, kind, code): (u16, &str, Option<&str>) = match fault {
        Fault::RateLimited => (429, "rate_limit_error", Some("rate_limit_exceeded")),
        Fault::Budget => (402, "insufficient_quota", Some("budget_exceeded")),
        Fault::QuotaExhausted => (429, "insufficient_quota", Some("insufficient_quota")),
        Fault::Overloaded => (503, "service_unavailable_error", Some("server_is_overloaded")),
        Fault::Server | Fault::Connect | Fault::Truncated | Fault::Malformed | Fault::IdleTimeout => {
            (502, "api_error", Some("upstream_error"))
        }
        Fault::FirstTokenTimeout | Fault::Deadline => (504, "api_error", Some("upstream_timeout")),
        Fault::ContextLength => (400, "invalid_request_error", Some("context_length_exceeded")),
        Fault::Refused => (400, "invalid_request_error", Some("content_policy_violation")),
        Fault::OutputLimit => (400, "invalid_request_error", Some("output_limit")),
        Fault::BadRequest => (400, "invalid_request_error", None),
        // The caller's own token was good; the key behind it was not.
        Fault::Auth => (502, "api_error", Some("upstream_authentication")),
        Fault::NotFound => (404, "invalid_request_error", Some("model_not_found")),
        Fault::SwitchedOff => (503, "service_unavailable_error", Some("switched_off")),
        Fault::Unrecorded => (503, "service_unavailable_error", Some("not_recorded")),
        Fault::Overtaken => (409, "api_error", None),
        Fault::Misconfigured | Fault::Internal => (500, "api_error", None),
    };
    let param = matches!(fault, Fault::NotFound).then_some("model");
    let error = unanswered.into_error();
    let hint = error.hint.map_or(String::new(), |hint| format!(" ({hint})"));
    let object = error_object(&format!("failed to {}{hint}", error.message), kind, param, code);
    (StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY), object)
}

fn words_of(kind: ErrorKind) -> (&'static str, Option<&'static str>) {
    match kind {
        ErrorKind::AuthFailed => ("invalid_request_error", Some("invalid_api_key")),
        ErrorKind::Overloaded => ("rate_limit_error", Some("rate_limit_exceeded")),
        ErrorKind::BackendUnavailable | ErrorKind::Internal => ("api_error", None),
        _ => ("invalid_request_error", None),
    }
}

fn error_object(message: &str, kind: &str, param: Option<&str>, code: Option<&str>) -> Value {
    json!({"error": {"message": message, "type": kind, "param": param, "code": code}})
}

fn error_response(status: StatusCode, object: &Value) -> Response {
    (status, Json(object)).into_response()
}

/// What the body says.
#[derive(Debug, PartialEq)]
struct Asking {
    words: Rendered,
    model: String,
    max_output_tokens: Option<u32>,
    sampling: Sampling,
    stream: bool,
    include_usage: bool,
}

/// Fields that would change the answer and that not every provider has a word for. Leaving them out without a word would
/// be a lie.
const UNSUPPORTED: &[&str] = &[
    "audio",
    "function_call",
    "functions",
    "logit_bias",
    "modalities",
    "prediction",
    "tool_choice",
    "tools",
    "top_logprobs",
    "web_search_options",
];

impl Asking {
    fn read(body: &Value) -> Result<Self, Refusal> {
        let fields = body.as_object().ok_or_else(|| Refusal::field("body", "The body must be a JSON object."))?;
        for name in UNSUPPORTED {
            if fields.get(*name).is_some_and(says_something) {
                return Err(Refusal::unsupported(name, format!("Unsupported parameter: '{name}'.")));
            }
        }
        for (name, usual) in [
            ("n", json!(1)),
            ("frequency_penalty", json!(0)),
            ("presence_penalty", json!(0)),
            ("logprobs", json!(false)),
            ("response_format", json!({"type": "text"})),
        ] {
            let other = fields.get(name).filter(|value| !value.is_null() && !same(value, &usual));
            if other.is_some() {
                let message = format!("Unsupported value: '{name}' other than {usual} is not supported.");
                return Err(Refusal::Field { message, field: name, code: Some("unsupported_value") });
            }
        }
        let model = fields.get("model").and_then(Value::as_str).filter(|model| !model.is_empty());
        let model = model.ok_or_else(|| Refusal::field("model", "you must provide a model parameter"))?;
        let stream = flag(fields, "stream")?;
        let include_usage = match fields.get("stream_options").filter(|options| !options.is_null()) {
            None => false,
            Some(Value::Object(_)) if !stream => {
                let message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
                return Err(Refusal::field("stream_options", message));
            }
            Some(Value::Object(options)) => flag(options, "include_usage")?,
            Some(_) => return Err(wrong_type("stream_options", "an object")),
        };
        Ok(Self {
            words: words(fields)?,
            model: model.to_owned(),
            max_output_tokens: limit(fields)?,
            sampling: sampling(fields)?,
            stream,
            include_usage,
        })
    }
}

fn says_something(value: &Value) -> bool {
    !matches!(value, Value::Null) && value.as_array().is_none_or(|list| !list.is_empty())
}

/// Numbers of either kind are the same.
fn same(value: &Value, usual: &Value) -> bool {
    value == usual || value.as_f64().is_some_and(|number| Some(number) == usual.as_f64())
}

fn flag(fields: &Map<String, Value>, name: &'static str) -> Result<bool, Refusal> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(wrong_type(name, "a boolean")),
    }
}

fn wrong_type(field: &'static str, wanted: &str) -> Refusal {
    Refusal::Field {
        message: format!("Invalid type for '{field}': expected {wanted}."),
        field,
        code: Some("invalid_type"),
    }
}

/// The newer name goes before the older one.
fn limit(fields: &Map<String, Value>) -> Result<Option<u32>, Refusal> {
    for name in ["max_completion_tokens", "max_tokens"] {
        match fields.get(name) {
            None | Some(Value::Null) => {}
            Some(value) => {
                let limit = value.as_u64().and_then(|limit| u32::try_from(limit).ok()).filter(|limit| *limit > 0);
                return limit.map(Some).ok_or_else(|| wrong_type(name, "a positive integer"));
            }
        }
    }
    Ok(None)
}

fn sampling(fields: &Map<String, Value>) -> Result<Sampling, Refusal> {
    let number = |name: &'static str, most: f64| match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let number = value.as_f64().filter(|number| (0.0..=most).contains(number));
            number.map(Some).ok_or_else(|| wrong_type(name, &format!("a number from 0 to {most}")))
        }
    };
    let stop = match fields.get("stop") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(stop)) => vec![stop.clone()],
        Some(Value::Array(list)) if list.len() <= 4 => list
            .iter()
            .map(|stop| stop.as_str().map(str::to_owned).ok_or_else(|| wrong_type("stop", "texts")))
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(wrong_type("stop", "a text or up to 4 texts")),
    };
    let seed = match fields.get("seed") {
        None | Some(Value::Null) => None,
        Some(value) => Some(value.as_i64().ok_or_else(|| wrong_type("seed", "an integer"))?),
    };
    Ok(Sampling { temperature: number("temperature", 2.0)?, top_p: number("top_p", 1.0)?, seed, stop })
}

/// The conversation. What the system says is put together, because most providers have one place for it.
fn words(fields: &Map<String, Value>) -> Result<Rendered, Refusal> {
    let messages = fields.get("messages").and_then(Value::as_array).filter(|messages| !messages.is_empty());
    let messages =
        messages.ok_or_else(|| Refusal::field("messages", "'messages' must be a list of at least one message."))?;
    if messages.len() > MAX_MESSAGES {
        return Err(Refusal::field("messages", format!("'messages' may have {MAX_MESSAGES} entries at most.")));
    }
    let (mut system, mut turns) = (Vec::new(), Vec::new());
    for message in messages {
        let text = content(message)?;
        match message.get("role").and_then(Value::as_str) {
            Some("system" | "developer") => system.push(text),
            Some("user") => turns.push(Turn::user(text)),
            Some("assistant") if message.get("tool_calls").is_some_and(says_something) => {
                return Err(Refusal::unsupported("messages", "Unsupported: messages with 'tool_calls'."));
            }
            Some("assistant") => turns.push(Turn::assistant(text)),
            Some("tool" | "function") => {
                return Err(Refusal::unsupported(
                    "messages",
                    "Unsupported: messages of the roles 'tool' and 'function'.",
                ));
            }
            _ => {
                let known = "'system', 'developer', 'user' and 'assistant'";
                return Err(Refusal::field("messages", format!("Invalid role: supported are {known}.")));
            }
        }
    }
    if turns.is_empty() {
        return Err(Refusal::field("messages", "'messages' must have a message of the role 'user'."));
    }
    Ok(Rendered { system: system.join("\n\n"), turns })
}

fn content(message: &Value) -> Result<String, Refusal> {
    match message.get("content") {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Array(parts)) => parts
            .iter()
            .map(|part| match part.get("type").and_then(Value::as_str) {
                Some("text") => Ok(part.get("text").and_then(Value::as_str).unwrap_or_default()),
                _ => Err(Refusal::unsupported("messages", "Unsupported: content parts other than 'text'.")),
            })
            .collect(),
        None | Some(Value::Null) if message.get("role").and_then(Value::as_str) == Some("assistant") => {
            Ok(String::new())
        }
        _ => Err(Refusal::field("messages", "Invalid value for 'content': expected a string.")),
    }
}

#[cfg(test)]
mod tests;
