//! OpenAI Chat Completions, and every server that speaks it (llama.cpp, vLLM, LM Studio, gateways). Compatible servers
//! differ in small things: usage may come on any chunk or never, `finish_reason` may be `""`, `[DONE]` may be missing.

use super::wire::{
    Answer, Complaint, Json, Reader, Step, Stop, Wire, Written, at, count, endpoint, is_truthy, key_header, list, put,
    role_messages, text, word,
};
use crate::error::ProviderError;
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

    fn body(&self, ask: &Written<'_>) -> Value {
        let limit = if self.official { "max_completion_tokens" } else { "max_tokens" };
        let mut body = json!({
            "model": ask.model,
            "messages": role_messages(ask.words),
            "stream": true,
            "stream_options": {"include_usage": true},
        });
        put(&mut body, limit, ask.max_output_tokens);
        // Calls with the same beginning should meet the same cache; compatible servers may not know the field.
        put(&mut body, "prompt_cache_key", ask.cache_key().filter(|_| self.official));
        if let Some(sampling) = ask.sampling {
            put(&mut body, "temperature", sampling.temperature);
            put(&mut body, "top_p", sampling.top_p);
            put(&mut body, "seed", sampling.seed);
            put(&mut body, "stop", (!sampling.stop.is_empty()).then(|| json!(sampling.stop)));
        }
        body
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Chunks { refused: false })
    }
}

struct Chunks {
    refused: bool,
}

impl Reader for Chunks {
    fn read(&mut self, chunk: &Json<'_>, answer: &mut Answer) -> Result<Step, ProviderError> {
        answer.model =
            text(chunk, "/model").filter(|model| !model.is_empty()).map(str::to_owned).or(answer.model.take());
        answer.id = text(chunk, "/id").map(str::to_owned).or(answer.id.take());
        note_usage(chunk, answer);
        for choice in list(chunk, "/choices").iter().filter(|choice| count(choice, "/index").unwrap_or(0) == 0) {
            // Gateways in between report an upstream's failure so.
            if at(choice, "/error").is_some_and(is_truthy) {
                return Err(Complaint::read(choice).unwrap_or_default().into_error(None, &[]));
            }
            self.read_choice(choice, answer);
        }
        Ok(Step::More)
    }
}

impl Chunks {
    fn read_choice(&mut self, choice: &Json<'_>, answer: &mut Answer) {
        match at(choice, "/delta/content") {
            Some(Json::Str(piece)) => answer.push(piece),
            // Reasoning models of Mistral send parts.
            Some(Json::Array(parts)) => {
                answer.began = true;
                parts.iter().filter_map(|part| text(part, "/text")).for_each(|piece| answer.push(piece));
            }
            _ => {}
        }
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

/// On any chunk, the last one wins. Beside its own place, where servers have been seen to put it.
fn note_usage(chunk: &Json<'_>, answer: &mut Answer) {
    let places = ["/usage", "/x_groq/usage", "/choices/0/usage"];
    let Some(usage) = places.iter().find_map(|place| at(chunk, place).filter(|usage| usage.is_object())) else {
        return;
    };
    answer.usage.note_inclusive(
        count(usage, "/prompt_tokens"),
        count(usage, "/prompt_tokens_details/cached_tokens").or_else(|| count(usage, "/prompt_cache_hit_tokens")),
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
    use super::super::Sampling;
    use super::super::wire::testing::{body, read};
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
                    cache_write_long_tokens: 0,
                    estimated: false
                }
            );
        }
    }

    #[test]
    fn usage_is_found_where_other_servers_put_it() {
        let counts = |usage: Value| usage_of(&usage);
        fn usage_of(extra: &Value) -> Usage {
            let mut last = json!({"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]});
            for (name, value) in extra.as_object().unwrap() {
                match name.as_str() {
                    "choice" => last["choices"][0]["usage"] = value.clone(),
                    name => last[name] = value.clone(),
                }
            }
            read(&wire(), &[last]).unwrap().usage
        }
        let plain = json!({"prompt_tokens": 10, "completion_tokens": 3});
        let expected = Usage { input_tokens: 10, output_tokens: 3, ..Usage::default() };
        assert_eq!(counts(json!({"x_groq": {"usage": plain}})), expected);
        assert_eq!(counts(json!({"choice": plain})), expected);
        let deepseek = json!({"prompt_tokens": 10, "completion_tokens": 3, "prompt_cache_hit_tokens": 8,
            "prompt_cache_miss_tokens": 2});
        assert_eq!(counts(json!({"usage": deepseek})), Usage { input_tokens: 2, cache_read_tokens: 8, ..expected });
        // `continuous_usage_stats`: a running total on every chunk.
        let running = |n: u64, reason: Value| {
            chunk(json!({"content": "a"}), reason, json!({"prompt_tokens": 10, "completion_tokens": n}))
        };
        let finished = read(&wire(), &[running(1, Value::Null), running(2, Value::Null), running(3, json!("stop"))]);
        assert_eq!(finished.unwrap().usage, expected);
    }

    #[test]
    fn an_error_inside_a_choice_is_one_and_parts_are_text() {
        let broken = json!({"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error",
            "error": {"code": 502, "message": "upstream", "type": "server_error"}}]});
        assert_eq!(read(&wire(), &[broken]).unwrap_err().fault, Fault::Server);
        let parts = json!([{"type": "thinking", "thinking": []}, {"type": "text", "text": "ab"}]);
        let finished = read(&wire(), &[chunk(json!({"content": parts}), json!("stop"), Value::Null)]).unwrap();
        assert_eq!(finished.text, "ab");
    }

    #[test]
    fn the_cache_key_is_openais_alone_and_that_of_what_comes_again() {
        let sampling = Sampling { seed: Some(-3), stop: vec!["a".into(), "b".into()], ..Sampling::default() };
        let official = body(&wire(), Some(&sampling));
        let key = official["prompt_cache_key"].as_str().unwrap();
        assert!(key.starts_with("krins-") && key.len() == 22, "{key}");
        assert_eq!((&official["seed"], &official["stop"]), (&json!(-3), &json!(["a", "b"])));
        assert_eq!((&official["max_completion_tokens"], official.get("max_tokens")), (&json!(99), None));
        let other = body(&OpenAiChat { official: false }, None);
        assert_eq!((other.get("prompt_cache_key"), &other["max_tokens"]), (None, &json!(99)));
        assert_eq!(other["messages"][0], json!({"role": "system", "content": "be brief"}));
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
