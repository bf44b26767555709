//! OpenAI Responses. Exactly one terminal event ends a stream, and it holds the whole answer again: that text is the one
//! that counts.

use super::Sampling;
use super::wire::{
    Answer, Complaint, Json, Reader, Step, Stop, Wire, Written, at, count, endpoint, key_header, list, put,
    role_message, text, word,
};
use crate::error::ProviderError;
use reqwest::header::HeaderMap;
use secrecy::SecretString;
use serde_json::{Value, json};
use url::Url;

pub(crate) struct OpenAiResponses {
    /// Talks to OpenAI itself, which knows `prompt_cache_key`.
    pub official: bool,
}

impl Wire for OpenAiResponses {
    fn url(&self, base: &Url, _model: &str) -> Url {
        endpoint(base, &["responses"])
    }

    fn headers(&self, key: Option<&SecretString>) -> Result<HeaderMap, ProviderError> {
        key_header("authorization", "Bearer ", key)
    }

    fn body(&self, ask: &Written<'_>) -> Value {
        let input = match ask.words.turns.as_slice() {
            [turn] => json!(turn.text),
            turns => json!(turns.iter().map(role_message).collect::<Vec<_>>()),
        };
        let mut body = json!({
            "model": ask.model,
            "input": input,
            "stream": true,
            // The code stays ours: nothing is kept for a conversation.
            "store": false,
        });
        put(&mut body, "instructions", Some(ask.words.system.as_str()).filter(|system| !system.is_empty()));
        put(&mut body, "max_output_tokens", ask.max_output_tokens);
        put(&mut body, "prompt_cache_key", ask.cache_key().filter(|_| self.official));
        if let Some(sampling) = ask.sampling {
            put(&mut body, "temperature", sampling.temperature);
            put(&mut body, "top_p", sampling.top_p);
        }
        body
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Events { refused: false })
    }

    fn lacks(&self, sampling: &Sampling) -> Option<&'static str> {
        (!sampling.stop.is_empty()).then_some("stop")
    }

    fn restates_answer(&self) -> bool {
        true
    }
}

struct Events {
    refused: bool,
}

impl Reader for Events {
    fn read(&mut self, event: &Json<'_>, answer: &mut Answer) -> Result<Step, ProviderError> {
        match text(event, "/type").unwrap_or_default() {
            "response.output_text.delta" => answer.push(text(event, "/delta").unwrap_or_default()),
            "response.refusal.delta" | "response.refusal.done" => self.refused = true,
            "response.completed" => {
                let response = at(event, "/response").unwrap_or(&Json::Null);
                self.complete(response, answer);
                return Ok(Step::Last);
            }
            "response.incomplete" => {
                note(at(event, "/response").unwrap_or(&Json::Null), answer);
                answer.stop = Some(incomplete(text(event, "/response/incomplete_details/reason").unwrap_or_default()));
                return Ok(Step::Last);
            }
            "response.failed" => return Err(failed(at(event, "/response"))),
            "error" => return Err(failed(Some(&Json::Object(vec![("error", event.clone())].into())))),
            kind if kind.starts_with("response.output_item.") || kind.contains(".delta") => answer.began = true,
            _ => {}
        }
        Ok(Step::More)
    }
}

impl Events {
    fn complete(&mut self, response: &Json<'_>, answer: &mut Answer) {
        note(response, answer);
        let whole = parts(response, "output_text", "/text");
        if !whole.is_empty() {
            answer.text = whole;
        }
        self.refused |= !parts(response, "refusal", "/refusal").is_empty();
        answer.stop = Some(match text(response, "/status") {
            _ if self.refused => Stop::Refused("refusal".into()),
            Some("completed") | None => Stop::Complete,
            Some(other) => Stop::Other(word(other)),
        });
    }
}

/// The texts of all content parts of one type, in order.
fn parts(response: &Json<'_>, kind: &str, field: &str) -> String {
    list(response, "/output")
        .iter()
        .flat_map(|item| list(item, "/content"))
        .filter(|part| text(part, "/type") == Some(kind))
        .filter_map(|part| text(part, field))
        .collect()
}

fn note(response: &Json<'_>, answer: &mut Answer) {
    answer.model = text(response, "/model").map(str::to_owned);
    answer.id = text(response, "/id").map(str::to_owned);
    let Some(usage) = at(response, "/usage").filter(|usage| usage.is_object()) else {
        return;
    };
    answer.usage.note_inclusive(
        count(usage, "/input_tokens"),
        count(usage, "/input_tokens_details/cached_tokens"),
        count(usage, "/input_tokens_details/cache_write_tokens"),
    );
    answer.usage.output = count(usage, "/output_tokens").or(answer.usage.output);
}

fn incomplete(reason: &str) -> Stop {
    match reason {
        "max_output_tokens" => Stop::OutputLimit,
        "content_filter" => Stop::Refused("content_filter".into()),
        other => Stop::Other(word(other)),
    }
}

fn failed(body: Option<&Json<'_>>) -> ProviderError {
    let complaint = body.and_then(Complaint::read).unwrap_or_default();
    complaint.into_error(None, &[])
}

#[cfg(test)]
mod tests {
    use super::super::wire::testing::{body, read};
    use super::*;
    use crate::Usage;
    use crate::error::Fault;

    const WIRE: OpenAiResponses = OpenAiResponses { official: true };

    #[test]
    fn a_conversation_is_a_list_and_the_cache_key_is_openais_alone() {
        let official = body(&WIRE, None);
        assert_eq!(official["input"][1], json!({"role": "assistant", "content": "done"}));
        assert_eq!((&official["instructions"], &official["max_output_tokens"]), (&json!("be brief"), &json!(99)));
        assert!(official["prompt_cache_key"].is_string());
        assert_eq!(body(&OpenAiResponses { official: false }, None).get("prompt_cache_key"), None);
    }

    fn completed(text: &str) -> Value {
        json!({"type": "response.completed", "response": {"id": "r-1", "model": "m-1", "status": "completed", "error": null,
            "output": [{"type": "reasoning"}, {"type": "message", "content": [{"type": "output_text", "text": text}]}],
            "usage": {"input_tokens": 50, "input_tokens_details": {"cached_tokens": 20}, "output_tokens": 9,
                "output_tokens_details": {"reasoning_tokens": 4}, "total_tokens": 59}}})
    }

    fn delta(text: &str) -> Value {
        json!({"type": "response.output_text.delta", "delta": text})
    }

    #[test]
    fn the_terminal_events_text_counts_even_when_a_delta_was_lost() {
        let finished = read(&WIRE, &[delta("a"), delta("c"), completed("abc")]).unwrap();
        assert_eq!(finished.text, "abc");
        assert_eq!(
            finished.usage,
            Usage {
                input_tokens: 30,
                output_tokens: 9,
                cache_read_tokens: 20,
                cache_write_tokens: 0,
                cache_write_long_tokens: 0,
                estimated: false
            }
        );
    }

    #[test]
    fn only_a_whole_answer_is_one() {
        let incomplete = |reason: &str| json!({"type": "response.incomplete", "response": {"status": "incomplete", "incomplete_details": {"reason": reason}}});
        let failed = |code: &str| json!({"type": "response.failed", "response": {"status": "failed", "error": {"code": code, "message": "m"}}});
        for (event, fault) in [
            (incomplete("max_output_tokens"), Fault::OutputLimit),
            (incomplete("content_filter"), Fault::Refused),
            (incomplete(""), Fault::Truncated),
            (failed("server_error"), Fault::Server),
            (failed("rate_limit_exceeded"), Fault::RateLimited),
            (
                json!({"type": "error", "code": "insufficient_quota", "message": "m", "param": null}),
                Fault::QuotaExhausted,
            ),
            (json!({"type": "response.in_progress"}), Fault::Truncated),
        ] {
            assert_eq!(read(&WIRE, &[delta("a"), event.clone()]).unwrap_err().fault, fault, "{event}");
        }
        let refusal = json!({"type": "response.refusal.delta", "delta": "no"});
        assert_eq!(read(&WIRE, &[refusal, completed("")]).unwrap_err().fault, Fault::Refused);
    }
}
