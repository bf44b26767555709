//! Anthropic Messages. Usage counts are disjoint on the wire already; `message_delta` overwrites what `message_start` said.

use super::wire::{Answer, Json, Reader, Step, Stop, Wire, Written, at, count, endpoint, key_header, put, text, word};
use crate::error::{Fault, ProviderError};
use krins_core::prompt::{Role, Turn};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::SecretString;
use serde_json::{Value, json};
use url::Url;

/// The version that every published client of the last years sends.
pub(crate) const DEFAULT_VERSION: &str = "2023-06-01";

/// Messages have to name a limit; every current model takes this one.
const DEFAULT_LIMIT: u32 = 8192;

pub(crate) struct Anthropic {
    pub version: String,
    /// Mark the part of the prompt that comes again. Writing the cache costs a quarter more than reading plain input,
    /// each use of it a tenth.
    pub prompt_cache: bool,
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

    fn body(&self, ask: &Written<'_>) -> Value {
        let mut body = json!({
            "model": ask.model,
            "max_tokens": ask.max_output_tokens.unwrap_or(DEFAULT_LIMIT),
            "messages": ask.words.turns.iter().map(|turn| self.message(turn)).collect::<Vec<_>>(),
            "stream": true,
        });
        put(&mut body, "system", Some(ask.words.system.as_str()).filter(|system| !system.is_empty()));
        if let Some(sampling) = ask.sampling {
            put(&mut body, "temperature", sampling.temperature);
            put(&mut body, "top_p", sampling.top_p);
            put(&mut body, "stop_sequences", (!sampling.stop.is_empty()).then(|| json!(sampling.stop)));
        }
        body
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Events)
    }
}

impl Anthropic {
    /// A breakpoint holds everything before it, the system's words too.
    fn message(&self, turn: &Turn) -> Value {
        let role = match turn.role {
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        let (stable, rest) = turn.parts();
        if stable.is_empty() || rest.is_empty() || !self.prompt_cache {
            return json!({"role": role, "content": turn.text});
        }
        json!({"role": role, "content": [
            {"type": "text", "text": stable, "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": rest},
        ]})
    }
}

struct Events;

impl Reader for Events {
    fn read(&mut self, event: &Json<'_>, answer: &mut Answer) -> Result<Step, ProviderError> {
        match text(event, "/type").unwrap_or_default() {
            "message_start" => {
                answer.model = text(event, "/message/model").map(str::to_owned);
                answer.id = text(event, "/message/id").map(str::to_owned);
                note_usage(at(event, "/message/usage"), answer);
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
                note_usage(at(event, "/usage"), answer);
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

fn note_usage(usage: Option<&Json<'_>>, answer: &mut Answer) {
    let Some(usage) = usage else { return };
    let tally = &mut answer.usage;
    let before = tally.cache_write.unwrap_or(0);
    tally.input = count(usage, "/input_tokens").or(tally.input);
    tally.output = count(usage, "/output_tokens").or(tally.output);
    tally.cache_read = count(usage, "/cache_read_input_tokens").or(tally.cache_read);
    // The total, not the 5 m / 1 h split, which may cover only the first iteration.
    tally.cache_write = count(usage, "/cache_creation_input_tokens").or(tally.cache_write);
    let split = ["5m", "1h"].map(|life| count(usage, &format!("/cache_creation/ephemeral_{life}_input_tokens")));
    if let [Some(short), Some(long)] = split {
        // What the split leaves out is written like the rest, and where the rest is mixed it counts as the dearer.
        let written = tally.cache_write.unwrap_or(short.saturating_add(long));
        tally.cache_write = Some(written);
        tally.cache_write_long = Some(if long == 0 { 0 } else { written.saturating_sub(short) });
    } else if let (Some(long), Some(_)) = (tally.cache_write_long, count(usage, "/cache_creation_input_tokens")) {
        let short = before.saturating_sub(long);
        tally.cache_write_long = Some(if long == 0 { 0 } else { tally.cache_write.unwrap_or(0).saturating_sub(short) });
    }
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
    use super::super::Sampling;
    use super::super::wire::testing::{body, read};
    use super::*;
    use crate::Usage;

    fn wire() -> Anthropic {
        Anthropic { version: DEFAULT_VERSION.into(), prompt_cache: true }
    }

    #[test]
    fn what_comes_again_is_marked_once_and_the_words_are_the_same_without() {
        let sampling = Sampling { temperature: Some(0.5), stop: vec!["END".into()], ..Sampling::default() };
        let marked = body(&wire(), Some(&sampling));
        assert_eq!(
            marked,
            json!({"model": "m", "max_tokens": 99, "messages": [
                {"role": "user", "content": [
                    {"type": "text", "text": "files\n", "cache_control": {"type": "ephemeral"}},
                    {"type": "text", "text": "task"}]},
                {"role": "assistant", "content": "done"},
                {"role": "user", "content": "once more"},
            ], "stream": true, "system": "be brief", "temperature": 0.5, "stop_sequences": ["END"]})
        );
        let plain = body(&Anthropic { prompt_cache: false, ..wire() }, None);
        assert_eq!(plain["messages"][0]["content"], "files\ntask");
        assert!(!plain.to_string().contains("cache_control") && plain.get("temperature").is_none());
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
                cache_write_long_tokens: 0,
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
