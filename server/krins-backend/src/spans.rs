//! Spans of calls that leave this process, by OpenTelemetry's conventions for HTTP and for generative models. Texts of
//! prompts and answers are never in one: there is no function for them.
//!
//! The conventions' names are those of [`SCHEMA`], whatever later versions call them. Numbers are `i64`: unsigned ones
//! would be exported as text.

use crate::error::ProviderError;
use crate::provider::wire::{Stop, Tally};
use crate::provider::{DeltaSink, Finished, Kind, ModelRequest};
use opentelemetry::{Array, Key, StringValue, Value};
use std::time::{Duration, Instant};
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use url::Url;

/// The last version that says what attributes of generative models are called in the same schema as all others.
pub const SCHEMA: &str = "https://opentelemetry.io/schemas/1.41.1";

/// What others called an answer or a model, at most so long.
const NAME: usize = 128;

/// One HTTP request of ours, up to its answer's head. `resend` counts the tries before it. What follows the `?` of an
/// address is left out.
pub fn http_client(method: &str, url: &Url, resend: u32) -> Span {
    let mut shown = url.clone();
    shown.set_query(None);
    tracing::info_span!(
        "http.client",
        otel.name = method,
        otel.kind = "client",
        otel.status_code = Empty,
        http.request.method = method,
        http.request.resend_count = (resend > 0).then_some(i64::from(resend)),
        http.response.status_code = Empty,
        server.address = url.host_str(),
        server.port = url.port_or_known_default().map(i64::from),
        url.full = %shown,
        "error.type" = Empty,
    )
}

/// The answer's head came.
pub fn answered(span: &Span, status: u16) {
    span.record("http.response.status_code", i64::from(status));
    if status >= 400 {
        failed(span, &status.to_string());
    }
}

/// It came to nothing; `why` is of a closed list, never somebody else's words.
pub fn failed(span: &Span, why: &str) {
    span.record("error.type", why);
    span.record("otel.status_code", "ERROR");
}

/// One call to a model, and what is noted of it while the answer comes. Dropped before its end, it was cancelled.
pub(crate) struct ModelCall<'a> {
    span: Span,
    sink: &'a mut dyn DeltaSink,
    began: Instant,
    first: Option<Duration>,
    tally: Tally,
    ended: bool,
}

impl<'a> ModelCall<'a> {
    /// `provider` is its name in the settings.
    pub fn begin(
        provider: &str,
        kind: Kind,
        url: &Url,
        request: &ModelRequest<'_>,
        sink: &'a mut dyn DeltaSink,
    ) -> Self {
        let sampling = request.sampling;
        let span = tracing::info_span!(
            "krins.provider",
            otel.name = %format_args!("chat {}", request.model),
            otel.kind = "client",
            otel.status_code = Empty,
            gen_ai.operation.name = "chat",
            gen_ai.provider.name = vendor(kind),
            gen_ai.request.model = request.model,
            gen_ai.request.stream = true,
            gen_ai.request.max_tokens = request.max_output_tokens.map(i64::from),
            gen_ai.request.temperature = sampling.and_then(|sampling| sampling.temperature),
            gen_ai.request.top_p = sampling.and_then(|sampling| sampling.top_p),
            gen_ai.request.seed = sampling.and_then(|sampling| sampling.seed),
            gen_ai.response.id = Empty,
            gen_ai.response.model = Empty,
            gen_ai.response.time_to_first_chunk = Empty,
            gen_ai.usage.input_tokens = Empty,
            gen_ai.usage.output_tokens = Empty,
            gen_ai.usage.cache_read.input_tokens = Empty,
            gen_ai.usage.cache_creation.input_tokens = Empty,
            server.address = url.host_str(),
            server.port = url.port_or_known_default().map(i64::from),
            "error.type" = Empty,
            krins.provider = provider,
        );
        Self { span, sink, began: Instant::now(), first: None, tally: Tally::default(), ended: false }
    }

    pub fn span(&self) -> Span {
        self.span.clone()
    }

    /// Why the model stopped, where it said so.
    pub fn stopped(span: &Span, stop: &Stop) {
        let reason = match stop {
            Stop::Complete => "stop",
            Stop::OutputLimit => "length",
            Stop::ContextLength => "context_length",
            Stop::Refused(_) => "content_filter",
            Stop::Other(word) => word,
        };
        let reasons = vec![StringValue::from(reason.to_owned())];
        span.set_attribute(
            Key::from_static_str("gen_ai.response.finish_reasons"),
            Value::Array(Array::String(reasons)),
        );
    }

    pub fn end(mut self, result: &Result<Finished, ProviderError>) {
        self.ended = true;
        match result {
            Ok(finished) => {
                let usage = &finished.usage;
                self.tally = Tally {
                    input: Some(usage.input_tokens),
                    output: Some(usage.output_tokens),
                    cache_read: Some(usage.cache_read_tokens),
                    cache_write: Some(usage.cache_write_tokens),
                    cache_write_long: None,
                };
                self.span.record("gen_ai.response.model", short(&finished.model));
                if let Some(id) = &finished.response_id {
                    self.span.record("gen_ai.response.id", short(id));
                }
            }
            Err(error) => failed(&self.span, &format!("{:?}", error.fault)),
        }
        self.note();
    }

    /// The figures. Input is all of it, what came from the provider's cache and what went there too.
    fn note(&self) {
        let Tally { input, output, cache_read, cache_write, .. } = self.tally;
        let cached = cache_read.unwrap_or(0).saturating_add(cache_write.unwrap_or(0));
        for (name, value) in [
            ("gen_ai.usage.input_tokens", input.map(|input| input.saturating_add(cached))),
            ("gen_ai.usage.output_tokens", output),
            ("gen_ai.usage.cache_read.input_tokens", cache_read),
            ("gen_ai.usage.cache_creation.input_tokens", cache_write),
        ] {
            self.span.record(name, value.map(|tokens| i64::try_from(tokens).unwrap_or(i64::MAX)));
        }
        self.span.record("gen_ai.response.time_to_first_chunk", self.first.map(|first| first.as_secs_f64()));
    }
}

impl DeltaSink for ModelCall<'_> {
    fn delta(&mut self, text: &str) {
        let began = self.began;
        self.first.get_or_insert_with(|| began.elapsed());
        self.sink.delta(text);
    }

    fn usage(&mut self, tally: &Tally) {
        self.tally = *tally;
        self.sink.usage(tally);
    }
}

impl Drop for ModelCall<'_> {
    fn drop(&mut self) {
        if !self.ended {
            failed(&self.span, "Cancelled");
            self.note();
        }
    }
}

/// Whose interface it is, as the conventions name it; who answers behind a compatible one, the address tells.
const fn vendor(kind: Kind) -> &'static str {
    match kind {
        Kind::OpenAi | Kind::OpenAiChat => "openai",
        Kind::Gemini => "gcp.gemini",
        Kind::Anthropic | Kind::Ollama | Kind::Builtin | Kind::Replay => kind.name(),
    }
}

fn short(text: &str) -> &str {
    text.char_indices().nth(NAME).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others_are_short() {
        assert_eq!(short("msg_1"), "msg_1");
        assert_eq!(short(&"é".repeat(500)).chars().count(), NAME);
    }
}
