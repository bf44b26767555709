//! Anthropic Messages. Usage counts are disjoint on the wire already; `message_delta` overwrites what `message_start` said.

use super::wire::{Answer, Reader, Step, Stop, Wire, count, endpoint, key_header, text, word};
use crate::error::{Fault, ProviderError};
use krins_core::prompt::Rendered;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::SecretString;
use serde_json::{Value, json};
use url::Url;

/// The version that every published client of the last years sends.
pub(crate) const DEFAULT_VERSION: &str = "2023-06-01";

pub(crate) struct Anthropic {
    pub version: String,
}

impl Wire for Anthropic {
    fn url(&self, base: &Url, _model: &str) -> Url {
        endpoint(base, &["v1", "messages"])
    }

    fn headers(&self, key: Option<&SecretString>) -> Result<HeaderMap, ProviderError> {
        let mut headers = key_header("x-api-key", "", key)?;
        let version = HeaderValue::from_str(&self.version)
            .map_err(|_| ProviderError::new(Fault::Misconfigured, "api_version is not a header value"))?;
        headers.insert(HeaderName::from_static("anthropic-version"), version);
        Ok(headers)
    }

    fn body(&self, words: &Rendered, model: &str, max_output_tokens: u32) -> Value {
        json!({
            "model": model,
            "max_tokens": max_output_tokens,
            "system": words.system,
            "messages": [{"role": "user", "content": words.user}],
            "stream": true,
        })
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Events)
    }
}

struct Events;

impl Reader for Events {
    fn read(&mut self, event: &Value, answer: &mut Answer) -> Result<Step, ProviderError> {
        match text(event, "/type").unwrap_or_default() {
            "message_start" => {
                answer.model = text(event, "/message/model").map(str::to_owned);
                answer.id = text(event, "/message/id").map(str::to_owned);
                note_usage(event.pointer("/message/usage"), answer);
            }
            "content_block_start" => {
                answer.began = true;
                answer.push(text(event, "/content_block/text").unwrap_or_default());
            }
            "content_block_delta" => {
                answer.began = true;
                answer.push(text(event, "/delta/text").unwrap_or_default());
            }
            "message_delta" => {
                note_usage(event.get("usage"), answer);
                if let Some(reason) = text(event, "/delta/stop_reason") {
                    answer.stop = Some(stop(reason, text(event, "/delta/stop_details/category")));
                }
            }
            "message_stop" => return Ok(Step::Last),
            _ => {}
        }
        Ok(Step::More)
    }
}

fn note_usage(usage: Option<&Value>, answer: &mut Answer) {
    let Some(usage) = usage else { return };
    let tally = &mut answer.usage;
    tally.input = count(usage, "/input_tokens").or(tally.input);
    tally.output = count(usage, "/output_tokens").or(tally.output);
    tally.cache_read = count(usage, "/cache_read_input_tokens").or(tally.cache_read);
    // The total, not the 5 m / 1 h split, which may cover only the first iteration.
    tally.cache_write = count(usage, "/cache_creation_input_tokens").or(tally.cache_write);
}

fn stop(reason: &str, category: Option<&str>) -> Stop {
    match reason {
        "end_turn" | "stop_sequence" | "tool_use" => Stop::Complete,
        "max_tokens" => Stop::OutputLimit,
        "model_context_window_exceeded" => Stop::ContextLength,
        "refusal" => Stop::Refused(category.map_or("refusal".to_owned(), word)),
        other => Stop::Other(word(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::testing::read;
    use super::*;
    use crate::Usage;

    fn wire() -> Anthropic {
        Anthropic { version: DEFAULT_VERSION.into() }
    }

    fn events(last: Value) -> Vec<Value> {
        vec![
            json!({"type": "message_start", "message": {"id": "msg_1", "model": "m-1", "usage": {"input_tokens": 10,
                "output_tokens": 1, "cache_creation_input_tokens": 7, "cache_read_input_tokens": 5}}}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}),
            json!({"type": "ping"}),
            json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "a"}}),
            json!({"type": "something_new"}),
            json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "b"}}),
            last,
            json!({"type": "message_stop"}),
        ]
    }

    #[test]
    fn text_and_disjoint_usage_are_read_and_thoughts_left_out() {
        let last =
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 42}});
        let finished = read(&wire(), &events(last)).unwrap();
        assert_eq!((finished.text.as_str(), finished.model.as_str()), ("ab", "m-1"));
        assert_eq!(
            finished.usage,
            Usage {
                input_tokens: 10,
                output_tokens: 42,
                cache_read_tokens: 5,
                cache_write_tokens: 7,
                estimated: false
            }
        );
    }

    #[test]
    fn only_a_whole_answer_is_one() {
        for (reason, fault) in [
            ("max_tokens", Fault::OutputLimit),
            ("refusal", Fault::Refused),
            ("model_context_window_exceeded", Fault::ContextLength),
            ("pause_turn", Fault::Truncated),
            ("brand_new", Fault::Truncated),
        ] {
            let last =
                json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 2}});
            assert_eq!(read(&wire(), &events(last)).unwrap_err().fault, fault, "{reason}");
        }
        let unfinished = events(json!({"type": "ping"}));
        assert_eq!(read(&wire(), &unfinished).unwrap_err().fault, Fault::Truncated);
    }
}
