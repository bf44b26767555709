//! The wire formats: each provider's requests, streams and errors, as published (SDK sources and API references).

use super::Attempt;
use super::scenario::{Ending, Refusal};
use serde_json::{Value, json};

/// Which provider a fake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Anthropic,
    OpenAiResponses,
    OpenAiChat,
    Gemini,
    Ollama,
}

/// What Gemini's RetryInfo says when there is no other wait.
pub const RETRY_INFO_SECONDS: u64 = 34;

/// One response's events, ready to be sent.
pub(super) struct Script {
    pub events: Vec<String>,
    /// The first event that holds text.
    pub first_text: usize,
    /// Just past the last event that holds text.
    pub after_text: usize,
}

impl Script {
    /// Half of the text has been sent here.
    pub fn middle(&self) -> usize {
        self.first_text + (self.after_text - self.first_text) / 2
    }
}

pub(super) struct Response {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Dialect {
    pub const ALL: [Dialect; 5] =
        [Self::Anthropic, Self::OpenAiResponses, Self::OpenAiChat, Self::Gemini, Self::Ollama];

    /// What the official base URL ends with.
    pub(super) fn base_path(self) -> &'static str {
        match self {
            Self::OpenAiResponses | Self::OpenAiChat => "/v1",
            Self::Anthropic | Self::Gemini | Self::Ollama => "",
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Ollama => "application/x-ndjson",
            Self::Anthropic | Self::OpenAiResponses | Self::OpenAiChat => "text/event-stream; charset=utf-8",
            Self::Gemini => "text/event-stream",
        }
    }

    pub(super) fn request_id_header(self) -> &'static str {
        match self {
            Self::Anthropic => "request-id",
            _ => "x-request-id",
        }
    }

    /// What is wrong with a request, by this provider's rules.
    pub(super) fn violation(self, attempt: &Attempt) -> Option<String> {
        let body = &attempt.body;
        let has = |pointer: &str| body.pointer(pointer).is_some_and(|value| value.as_str() != Some(""));
        let (path, key, fields): (&str, &str, &[&str]) = match self {
            Self::Anthropic => {
                ("/v1/messages", "x-api-key", &["/model", "/max_tokens", "/messages/0/content", "/stream"])
            }
            Self::OpenAiResponses => {
                ("/v1/responses", "authorization", &["/model", "/input", "/max_output_tokens", "/stream"])
            }
            Self::OpenAiChat => (
                "/v1/chat/completions",
                "authorization",
                &["/model", "/messages/0/content", "/stream", "/stream_options/include_usage"],
            ),
            Self::Gemini => (
                "/v1beta/models/fake-model:streamGenerateContent?alt=sse",
                "x-goog-api-key",
                &["/contents/0/parts/0/text", "/systemInstruction/parts/0/text", "/generationConfig/maxOutputTokens"],
            ),
            Self::Ollama => (
                "/api/chat",
                "authorization",
                &["/model", "/messages/0/content", "/stream", "/options/num_ctx", "/options/num_predict"],
            ),
        };
        let missing = fields.iter().find(|field| !has(field));
        let checks = [
            (attempt.method != "POST").then(|| format!("the method is {}", attempt.method)),
            (attempt.path != path).then(|| format!("the path is {}", attempt.path)),
            attempt.header(key).is_none().then(|| format!("there is no {key}")),
            (attempt.header("content-type") != Some("application/json"))
                .then(|| "the body is not said to be JSON".to_owned()),
            (self == Self::Anthropic && attempt.header("anthropic-version") != Some("2023-06-01"))
                .then(|| "anthropic-version is missing".to_owned()),
            missing.map(|field| format!("the body has no {field}")),
        ];
        checks.into_iter().flatten().next()
    }

    pub(super) fn script(self, answer: &str, ending: &Ending) -> Script {
        let pieces = pieces(answer);
        let mut script = match self {
            Self::Anthropic => anthropic(&pieces, ending),
            Self::OpenAiResponses => responses(&pieces, answer, ending),
            Self::OpenAiChat => chat(&pieces, ending),
            Self::Gemini => gemini(&pieces, ending),
            Self::Ollama => ollama(&pieces, ending),
        };
        match ending {
            Ending::Malformed => spoil(&mut script),
            Ending::Error => {
                let at = script.middle();
                script.events.truncate(at);
                script.events.push(self.stream_error());
            }
            _ => {}
        }
        script
    }

    /// An overload after the status line said 200.
    fn stream_error(self) -> String {
        match self {
            Self::Anthropic => named("error", &json!({"type": "error", "error": {"type": "overloaded_error",
                "message": "Overloaded"}, "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy"})),
            Self::OpenAiResponses => named("error", &json!({"type": "error", "code": "server_is_overloaded",
                "message": "The server is overloaded.", "param": null, "sequence_number": 7})),
            Self::OpenAiChat => data(&json!({"error": {"message": "The server is overloaded.",
                "type": "service_unavailable_error", "param": null, "code": "server_is_overloaded"}})),
            // Bare, over several lines, without `data:`, as it has been seen.
            Self::Gemini => "{\n  \"error\": {\n    \"code\": 503,\n    \"message\": \"The model is overloaded. Please try again later.\",\n    \"status\": \"UNAVAILABLE\"\n  }\n}\n".to_owned(),
            Self::Ollama => line(&json!({"error": "an error was encountered while running the model"})),
        }
    }

    pub(super) fn refusal(self, refusal: Refusal) -> Response {
        if refusal == Refusal::Html {
            return Response {
                status: 502,
                headers: vec![("content-type", "text/html".into())],
                body: b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>".to_vec(),
            };
        }
        let mut headers = vec![("content-type", "application/json".to_owned())];
        match refusal {
            Refusal::RateLimit(Some(wait)) if self == Self::OpenAiChat => {
                headers.push(("retry-after-ms", wait.to_string()))
            }
            Refusal::RateLimit(Some(wait)) if self != Self::Gemini => {
                headers.push(("retry-after", (wait as f64 / 1000.0).to_string()))
            }
            Refusal::ServerNoRetry => headers.push(("x-should-retry", "false".into())),
            _ => {}
        }
        let (status, body) = match self {
            Self::Anthropic => anthropic_error(refusal),
            Self::OpenAiResponses | Self::OpenAiChat => openai_error(refusal),
            Self::Gemini => gemini_error(refusal),
            Self::Ollama => ollama_error(refusal),
        };
        Response { status, headers, body: body.to_string().into_bytes() }
    }
}

/// A few characters each.
fn pieces(answer: &str) -> Vec<String> {
    let characters = answer.chars().collect::<Vec<_>>();
    characters.chunks(9).map(|piece| piece.iter().collect()).collect()
}

fn named(event: &str, value: &Value) -> String {
    format!("event: {event}\ndata: {value}\n\n")
}

fn data(value: &Value) -> String {
    format!("data: {value}\n\n")
}

fn line(value: &Value) -> String {
    format!("{value}\n")
}

/// Breaks the JSON of an event in the middle of the text.
fn spoil(script: &mut Script) {
    let middle = script.middle();
    let Some(event) = script.events.get_mut(middle) else {
        return;
    };
    let end = event.trim_end().len();
    event.replace_range(end - 2..end, "");
}

fn anthropic(pieces: &[String], ending: &Ending) -> Script {
    let mut start = json!({"type": "message_start", "message": {"id": "msg_01XFDUDYJgAACzvnptvVoYEL", "type": "message",
        "role": "assistant", "model": "fake-model-20261101", "content": [], "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": 25, "cache_creation_input_tokens": 7, "cache_read_input_tokens": 11,
            "cache_creation": {"ephemeral_5m_input_tokens": 7, "ephemeral_1h_input_tokens": 0},
            "output_tokens": 1, "service_tier": "standard"}}});
    let reason = match ending {
        Ending::OutputLimit => "max_tokens",
        Ending::Refusal => "refusal",
        _ => "end_turn",
    };
    let details = match ending {
        Ending::Refusal => json!({"type": "refusal", "category": "cyber", "explanation": "no"}),
        _ => Value::Null,
    };
    let mut delta = json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null,
        "stop_details": details}, "usage": {"output_tokens": 42}});
    if *ending == Ending::NoUsage {
        start["message"]["usage"] = Value::Null;
        delta["usage"] = Value::Null;
    }
    let mut events = vec![named("message_start", &start), named("ping", &json!({"type": "ping"}))];
    if *ending != Ending::Late {
        events.push(named(
            "content_block_start",
            &json!({"type": "content_block_start", "index": 0,
            "content_block": {"type": "text", "text": ""}}),
        ));
    }
    let first_text = events.len();
    events.extend(pieces.iter().map(|piece| {
        named(
            "content_block_delta",
            &json!({"type": "content_block_delta", "index": 0,
            "delta": {"type": "text_delta", "text": piece}}),
        )
    }));
    let after_text = events.len();
    events.push(named("content_block_stop", &json!({"type": "content_block_stop", "index": 0})));
    if *ending != Ending::NoFinish {
        events.push(named("message_delta", &delta));
        if *ending != Ending::NoDone {
            events.push(named("message_stop", &json!({"type": "message_stop"})));
        }
    }
    Script { events, first_text, after_text }
}

fn responses(pieces: &[String], answer: &str, ending: &Ending) -> Script {
    let mut number = 0;
    let mut event = |kind: &str, mut value: Value| {
        value["type"] = json!(kind);
        value["sequence_number"] = json!(number);
        number += 1;
        named(kind, &value)
    };
    let response = |status: &str, output: Value, usage: Value, incomplete: Value| {
        json!({"id": "resp_67c9fdcecf488190bdd9a0409de3a1ec", "object": "response", "created_at": 1_763_640_000, "status": status,
            "error": null, "incomplete_details": incomplete, "model": "fake-model-2026-11-01", "output": output, "usage": usage})
    };
    let running = response("in_progress", json!([]), Value::Null, Value::Null);
    let mut events = vec![
        event("response.created", json!({"response": running})),
        event("response.in_progress", json!({"response": running})),
    ];
    if *ending != Ending::Late {
        events.push(event(
            "response.output_item.added",
            json!({"output_index": 0, "item": {"id": "msg_67c9fdcf37fc8190",
            "type": "message", "status": "in_progress", "role": "assistant", "content": []}}),
        ));
        events.push(event(
            "response.content_part.added",
            json!({"item_id": "msg_67c9fdcf37fc8190", "output_index": 0,
            "content_index": 0, "part": {"type": "output_text", "text": "", "annotations": []}}),
        ));
    }
    let first_text = events.len();
    let refuses = *ending == Ending::Refusal;
    for piece in pieces {
        let kind = if refuses { "response.refusal.delta" } else { "response.output_text.delta" };
        events.push(event(
            kind,
            json!({"item_id": "msg_67c9fdcf37fc8190", "output_index": 0, "content_index": 0, "delta": piece}),
        ));
    }
    let after_text = events.len();
    let part = if refuses {
        json!({"type": "refusal", "refusal": answer})
    } else {
        json!({"type": "output_text", "text": answer, "annotations": []})
    };
    let output = json!([{"id": "msg_67c9fdcf37fc8190", "type": "message", "status": "completed", "role": "assistant", "content": [part]}]);
    let usage = match ending {
        Ending::NoUsage => Value::Null,
        _ => {
            json!({"input_tokens": 43, "input_tokens_details": {"cached_tokens": 11, "cache_write_tokens": 7}, "output_tokens": 42,
            "output_tokens_details": {"reasoning_tokens": 5}, "total_tokens": 85})
        }
    };
    match ending {
        Ending::OutputLimit => {
            let ended = response("incomplete", output, usage, json!({"reason": "max_output_tokens"}));
            events.push(event("response.incomplete", json!({"response": ended})));
        }
        Ending::NoFinish | Ending::NoDone => {}
        _ => {
            let ended = response("completed", output, usage, Value::Null);
            events.push(event("response.completed", json!({"response": ended})));
        }
    }
    Script { events, first_text, after_text }
}

fn chat(pieces: &[String], ending: &Ending) -> Script {
    let chunk = |delta: Value, reason: Value| {
        json!({"id": "chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG", "object": "chat.completion.chunk", "created": 1_763_640_000,
            "model": "fake-model-2026-11-01", "service_tier": "default", "system_fingerprint": "fp_44709d6fcb",
            "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": reason}], "usage": null})
    };
    let mut events = vec![data(&chunk(json!({"role": "assistant", "content": "", "refusal": null}), Value::Null))];
    let first_text = events.len();
    let field = if *ending == Ending::Refusal { "refusal" } else { "content" };
    events.extend(pieces.iter().map(|piece| data(&chunk(json!({field: piece}), Value::Null))));
    let after_text = events.len();
    let reason = if *ending == Ending::OutputLimit { "length" } else { "stop" };
    if *ending != Ending::NoFinish {
        events.push(data(&chunk(json!({}), json!(reason))));
    }
    if *ending != Ending::NoUsage {
        let mut last = chunk(json!({}), Value::Null);
        last["choices"] = json!([]);
        last["usage"] = json!({"prompt_tokens": 43, "completion_tokens": 42, "total_tokens": 85,
            "prompt_tokens_details": {"cached_tokens": 11, "cache_write_tokens": 7, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 5, "accepted_prediction_tokens": 0}});
        events.push(data(&last));
    }
    if !matches!(ending, Ending::NoDone | Ending::NoFinish) {
        events.push("data: [DONE]\n\n".to_owned());
    }
    Script { events, first_text, after_text }
}

fn gemini(pieces: &[String], ending: &Ending) -> Script {
    let usage = |output: u64| {
        json!({"promptTokenCount": 43, "cachedContentTokenCount": 11, "candidatesTokenCount": output, "thoughtsTokenCount": 5,
            "totalTokenCount": 48 + output, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 43}]})
    };
    let chunk = |part: Value, reason: Option<&str>, output: u64| {
        let mut candidate = json!({"content": {"parts": [part], "role": "model"}, "index": 0});
        if let Some(reason) = reason {
            candidate["finishReason"] = json!(reason);
        }
        let mut chunk = json!({"candidates": [candidate], "modelVersion": "fake-model-001", "responseId": "mLTHaKvCOKnl1PIP8YnjyQ8"});
        if *ending != Ending::NoUsage {
            chunk["usageMetadata"] = usage(output);
        }
        data(&chunk).replace("\n\n", "\r\n\r\n")
    };
    let mut events = Vec::new();
    if *ending == Ending::Late {
        // Something that is no sign of an answer.
        events.push(": keep-alive\r\n\r\n".to_owned());
    } else {
        events.push(chunk(json!({"text": "thinking about it", "thought": true}), None, 0));
    }
    let first_text = events.len();
    events.extend(pieces.iter().map(|piece| chunk(json!({"text": piece}), None, 1)));
    let after_text = events.len();
    let reason = match ending {
        Ending::OutputLimit => "MAX_TOKENS",
        Ending::Refusal => "SAFETY",
        _ => "STOP",
    };
    if *ending != Ending::NoFinish {
        events.push(chunk(json!({"text": ""}), Some(reason), 37));
    }
    Script { events, first_text, after_text }
}

fn ollama(pieces: &[String], ending: &Ending) -> Script {
    let part = |content: &str| {
        json!({"model": "fake-model", "created_at": "2026-11-20T12:00:00.123456789Z",
            "message": {"role": "assistant", "content": content}, "done": false})
    };
    let mut events = Vec::new();
    let first_text = events.len();
    events.extend(pieces.iter().map(|piece| line(&part(piece))));
    let after_text = events.len();
    let mut last = part("");
    last["done"] = json!(true);
    last["done_reason"] = json!(if *ending == Ending::OutputLimit { "length" } else { "stop" });
    last["total_duration"] = json!(4_883_583_458_u64);
    last["load_duration"] = json!(1_334_875);
    last["eval_duration"] = json!(4_535_599_000_u64);
    if *ending != Ending::NoUsage {
        last["prompt_eval_count"] = json!(43);
        last["eval_count"] = json!(42);
    }
    if *ending != Ending::NoFinish {
        let whole = line(&last);
        // JSON says itself that it is whole: a missing line end takes nothing away.
        events.push(if *ending == Ending::NoDone { whole.trim_end().to_owned() } else { whole });
    }
    Script { events, first_text, after_text }
}

fn anthropic_error(refusal: Refusal) -> (u16, Value) {
    let error = |kind: &str, message: &str| json!({"type": kind, "message": message});
    let (status, error) = match refusal {
        Refusal::RateLimit(_) => {
            (429, error("rate_limit_error", "This request would exceed your organization's rate limit"))
        }
        Refusal::Quota => {
            let mut error = error("rate_limit_error", "You have reached your specified API usage limits");
            error["details"] = json!({"error_code": "enforced_spend_limit_reached"});
            (429, error)
        }
        Refusal::Server | Refusal::ServerNoRetry | Refusal::Html => (500, error("api_error", "Internal server error")),
        Refusal::Unavailable => (503, error("api_error", "Service unavailable")),
        Refusal::Overloaded => (529, error("overloaded_error", "Overloaded")),
        Refusal::ContextLength => {
            (400, error("invalid_request_error", "prompt is too long: 250000 tokens > 200000 maximum"))
        }
        Refusal::ContentFilter => (400, error("invalid_request_error", "Output blocked by content filtering policy")),
        Refusal::BadKey => (401, error("authentication_error", "invalid x-api-key")),
        Refusal::UnknownModel => (404, error("not_found_error", "model: fake-model")),
    };
    (status, json!({"type": "error", "error": error, "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy"}))
}

fn openai_error(refusal: Refusal) -> (u16, Value) {
    let (status, message, kind, code) = match refusal {
        Refusal::RateLimit(_) => {
            (429, "Rate limit reached for fake-model on requests per min (RPM)", "requests", "rate_limit_exceeded")
        }
        Refusal::Quota => (
            429,
            "You exceeded your current quota, please check your plan and billing details.",
            "insufficient_quota",
            "insufficient_quota",
        ),
        Refusal::Server | Refusal::ServerNoRetry | Refusal::Html => {
            (500, "The server had an error while processing your request.", "server_error", "")
        }
        Refusal::Unavailable | Refusal::Overloaded => {
            (503, "The server is overloaded.", "service_unavailable_error", "server_is_overloaded")
        }
        Refusal::ContextLength => (
            400,
            "This model's maximum context length is 8192 tokens.",
            "invalid_request_error",
            "context_length_exceeded",
        ),
        Refusal::ContentFilter => (
            400,
            "Your request was rejected as a result of our safety system.",
            "invalid_request_error",
            "content_policy_violation",
        ),
        Refusal::BadKey => (
            401,
            "Incorrect API key provided: sk-canar***********************************7f3a. You can find your API key at https://platform.openai.com/account/api-keys?key=x.",
            "invalid_request_error",
            "invalid_api_key",
        ),
        Refusal::UnknownModel => (
            404,
            "The model `fake-model` does not exist or you do not have access to it.",
            "invalid_request_error",
            "model_not_found",
        ),
    };
    let code = if code.is_empty() { Value::Null } else { json!(code) };
    (status, json!({"error": {"message": message, "type": kind, "param": null, "code": code}}))
}

fn gemini_error(refusal: Refusal) -> (u16, Value) {
    let reason = json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"});
    let (code, message, status, details) = match refusal {
        Refusal::RateLimit(wait) => {
            let seconds = wait.map_or(RETRY_INFO_SECONDS as f64, |wait| wait as f64 / 1000.0);
            let info =
                json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": format!("{seconds}s")});
            let details =
                if wait.is_some() { json!([info]) } else { json!([{"@type": "type.googleapis.com/google.rpc.Help"}]) };
            (429, "Resource has been exhausted (e.g. check quota).", "RESOURCE_EXHAUSTED", details)
        }
        Refusal::Quota => {
            let quota = json!({"@type": "type.googleapis.com/google.rpc.QuotaFailure",
                "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "quotaValue": "50"}]});
            (429, "You exceeded your current quota.", "RESOURCE_EXHAUSTED", json!([quota]))
        }
        Refusal::Server | Refusal::ServerNoRetry | Refusal::Html => {
            (500, "An internal error has occurred.", "INTERNAL", json!([]))
        }
        Refusal::Unavailable | Refusal::Overloaded => {
            (503, "The model is overloaded. Please try again later.", "UNAVAILABLE", json!([]))
        }
        Refusal::ContextLength => (
            400,
            "The input token count (2000000) exceeds the maximum number of tokens allowed (1048576).",
            "INVALID_ARGUMENT",
            json!([]),
        ),
        Refusal::ContentFilter => (400, "The request was blocked.", "INVALID_ARGUMENT", json!([])),
        Refusal::BadKey => {
            (400, "API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT", json!([reason]))
        }
        Refusal::UnknownModel => (404, "models/fake-model is not found for API version v1beta", "NOT_FOUND", json!([])),
    };
    let error = json!({"error": {"code": code, "message": message, "status": status, "details": details}});
    // Streams have been seen to refuse with an array around the object.
    (code, if refusal == Refusal::Quota { json!([error]) } else { error })
}

fn ollama_error(refusal: Refusal) -> (u16, Value) {
    let (status, message) = match refusal {
        Refusal::RateLimit(_) => (429, "too many requests"),
        Refusal::Quota => (402, "you have reached your usage limit"),
        Refusal::Server | Refusal::ServerNoRetry | Refusal::Html => (500, "llama runner process has terminated"),
        Refusal::Unavailable | Refusal::Overloaded => {
            (503, "server busy, please try again. maximum pending requests exceeded")
        }
        Refusal::ContextLength => (400, "the input exceeds the available context size"),
        Refusal::ContentFilter => (400, "blocked"),
        Refusal::BadKey => (401, "unauthorized"),
        Refusal::UnknownModel => (404, "model 'fake-model' not found"),
    };
    (status, json!({"error": message}))
}
