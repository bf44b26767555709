//! OpenAI Chat Completions, and every server that speaks it (llama.cpp, vLLM, LM Studio, gateways). Compatible servers
//! differ in small things: usage may come on any chunk or never, `finish_reason` may be `""`, `[DONE]` may be missing.

use super::wire::{Answer, Reader, Step, Stop, Wire, count, endpoint, key_header, text, word};
use crate::error::ProviderError;
use krins_core::prompt::Rendered;
use reqwest::header::HeaderMap;
use secrecy::SecretString;
use serde_json::{Value, json};
use url::Url;

pub(crate) struct OpenAiChat {
    /// Talks to OpenAI itself, whose newer models refuse `max_tokens`; older compatible servers know nothing else.
    pub official: bool,
}

impl Wire for OpenAiChat {
    fn url(&self, base: &Url, _model: &str) -> Url {
        endpoint(base, &["chat", "completions"])
    }

    fn headers(&self, key: Option<&SecretString>) -> Result<HeaderMap, ProviderError> {
        key_header("authorization", "Bearer ", key)
    }

    fn body(&self, words: &Rendered, model: &str, max_output_tokens: u32) -> Value {
        let limit = if self.official { "max_completion_tokens" } else { "max_tokens" };
        json!({
            "model": model,
            "messages": [
                {"role": "system", "content": words.system},
                {"role": "user", "content": words.user},
            ],
            limit: max_output_tokens,
            "stream": true,
            "stream_options": {"include_usage": true},
        })
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Chunks { refused: false })
    }
}

struct Chunks {
    refused: bool,
}

impl Reader for Chunks {
    fn read(&mut self, chunk: &Value, answer: &mut Answer) -> Result<Step, ProviderError> {
        answer.model =
            text(chunk, "/model").filter(|model| !model.is_empty()).map(str::to_owned).or(answer.model.take());
        answer.id = text(chunk, "/id").map(str::to_owned).or(answer.id.take());
        note_usage(chunk, answer);
        let choices = chunk.get("choices").and_then(Value::as_array);
        for choice in choices.into_iter().flatten().filter(|choice| count(choice, "/index").unwrap_or(0) == 0) {
            self.read_choice(choice, answer);
        }
        Ok(Step::More)
    }
}

impl Chunks {
    fn read_choice(&mut self, choice: &Value, answer: &mut Answer) {
        answer.push(text(choice, "/delta/content").unwrap_or_default());
        let thinks = ["/delta/reasoning_content", "/delta/reasoning"]
            .iter()
            .any(|field| text(choice, field).is_some_and(|thought| !thought.is_empty()));
        self.refused |= text(choice, "/delta/refusal").is_some_and(|refusal| !refusal.is_empty());
        answer.began |= thinks || self.refused;
        if let Some(reason) = text(choice, "/finish_reason").filter(|reason| !reason.is_empty()) {
            answer.stop = Some(if self.refused { Stop::Refused("refusal".into()) } else { stop(reason) });
        }
    }
}

fn note_usage(chunk: &Value, answer: &mut Answer) {
    let Some(usage) = chunk.get("usage").filter(|usage| usage.is_object()) else {
        return;
    };
    answer.usage.note_inclusive(
        count(usage, "/prompt_tokens"),
        count(usage, "/prompt_tokens_details/cached_tokens"),
        count(usage, "/prompt_tokens_details/cache_write_tokens"),
    );
    answer.usage.output = count(usage, "/completion_tokens").or(answer.usage.output);
}

fn stop(reason: &str) -> Stop {
    match reason {
        // The names after the second are those of compatible servers.
        "stop" | "tool_calls" | "function_call" | "eos" | "eos_token" | "stop_sequence" | "end_turn" => Stop::Complete,
        "length" | "max_tokens" => Stop::OutputLimit,
        "content_filter" => Stop::Refused("content_filter".into()),
        other => Stop::Other(word(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::testing::read;
    use super::*;
    use crate::Usage;
    use crate::error::Fault;

    fn wire() -> OpenAiChat {
        OpenAiChat { official: true }
    }

    fn chunk(delta: Value, reason: Value, usage: Value) -> Value {
        json!({"id": "c-1", "object": "chat.completion.chunk", "model": "m-1",
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}], "usage": usage})
    }

    #[test]
    fn usage_counts_wherever_it_comes_and_cached_tokens_once() {
        let usage = json!({"prompt_tokens": 100, "completion_tokens": 8, "total_tokens": 108,
            "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10}});
        let own_chunk = json!({"id": "c-1", "model": "m-1", "choices": [], "usage": usage});
        let separate = [
            chunk(json!({"role": "assistant", "content": ""}), Value::Null, Value::Null),
            chunk(json!({"content": "ab"}), json!(""), Value::Null),
            chunk(json!({}), json!("stop"), Value::Null),
            own_chunk,
        ];
        let inside = [chunk(json!({"content": "ab"}), json!("stop"), usage)];
        for events in [&separate[..], &inside] {
            let finished = read(&wire(), events).unwrap();
            assert_eq!(finished.text, "ab");
            assert_eq!(
                finished.usage,
                Usage {
                    input_tokens: 30,
                    output_tokens: 8,
                    cache_read_tokens: 60,
                    cache_write_tokens: 10,
                    estimated: false
                }
            );
        }
    }

    #[test]
    fn without_usage_it_is_estimated_and_says_so() {
        let finished = read(&wire(), &[chunk(json!({"content": "abcdefgh"}), json!("stop"), Value::Null)]).unwrap();
        assert!(finished.usage.estimated && finished.usage.output_tokens > 0 && finished.usage.input_tokens > 0);
    }

    #[test]
    fn only_a_whole_answer_is_one() {
        for (delta, reason, fault) in [
            (json!({"content": "a"}), json!("length"), Fault::OutputLimit),
            (json!({"content": "a"}), json!("content_filter"), Fault::Refused),
            (json!({"refusal": "no"}), json!("stop"), Fault::Refused),
            (json!({"content": "a"}), Value::Null, Fault::Truncated),
            (json!({"content": "a"}), json!(""), Fault::Truncated),
            (json!({"content": "a"}), json!("brand_new"), Fault::Truncated),
            (json!({"content": " "}), json!("stop"), Fault::Malformed),
        ] {
            let error = read(&wire(), &[chunk(delta, reason.clone(), Value::Null)]).unwrap_err();
            assert_eq!(error.fault, fault, "{reason}");
        }
    }
}
