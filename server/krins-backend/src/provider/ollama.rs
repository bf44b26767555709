//! Ollama `/api/chat`: NDJSON. The context length is always said, because the server cuts a longer prompt without a word.

use super::wire::{Answer, Framing, Reader, Step, Stop, Wire, count, endpoint, key_header, text, word};
use crate::error::ProviderError;
use krins_core::prompt::Rendered;
use krins_core::tokens;
use reqwest::header::HeaderMap;
use secrecy::SecretString;
use serde_json::{Value, json};
use url::Url;

/// `num_ctx` goes up in such steps: each new value makes the server load the model again.
const CONTEXT_STEP: u32 = 4096;

pub(crate) struct Ollama;

impl Wire for Ollama {
    fn framing(&self) -> Framing {
        Framing::Ndjson
    }

    fn url(&self, base: &Url, _model: &str) -> Url {
        endpoint(base, &["api", "chat"])
    }

    fn headers(&self, key: Option<&SecretString>) -> Result<HeaderMap, ProviderError> {
        key_header("authorization", "Bearer ", key)
    }

    fn body(&self, words: &Rendered, model: &str, max_output_tokens: u32) -> Value {
        json!({
            "model": model,
            "messages": [
                {"role": "system", "content": words.system},
                {"role": "user", "content": words.user},
            ],
            "stream": true,
            "options": {
                "num_predict": max_output_tokens,
                "num_ctx": context_length(words, max_output_tokens),
            },
        })
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Lines)
    }
}

/// Prompt and answer, with a quarter more for the prompt: its tokens are counted by another tokenizer than the model's.
fn context_length(words: &Rendered, max_output_tokens: u32) -> u32 {
    let prompt = tokens::count(&words.system).saturating_add(tokens::count(&words.user));
    prompt
        .saturating_add(prompt / 4)
        .saturating_add(max_output_tokens)
        .div_ceil(CONTEXT_STEP)
        .saturating_mul(CONTEXT_STEP)
}

struct Lines;

impl Reader for Lines {
    fn read(&mut self, line: &Value, answer: &mut Answer) -> Result<Step, ProviderError> {
        answer.model = text(line, "/model").map(str::to_owned).or(answer.model.take());
        answer.began |= text(line, "/message/thinking").is_some_and(|thought| !thought.is_empty());
        answer.push(text(line, "/message/content").unwrap_or_default());
        if !line.get("done").and_then(Value::as_bool).unwrap_or(false) {
            return Ok(Step::More);
        }
        answer.usage.input = count(line, "/prompt_eval_count");
        answer.usage.output = count(line, "/eval_count");
        answer.stop = Some(stop(text(line, "/done_reason").unwrap_or("stop")));
        Ok(Step::Last)
    }
}

fn stop(reason: &str) -> Stop {
    match reason {
        "stop" => Stop::Complete,
        "length" => Stop::OutputLimit,
        other => Stop::Other(word(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::testing::read;
    use super::*;
    use crate::error::Fault;

    fn line(content: &str) -> Value {
        json!({"model": "m-1", "message": {"role": "assistant", "content": content}, "done": false})
    }

    fn last(reason: &str) -> Value {
        json!({"model": "m-1", "message": {"role": "assistant", "content": ""}, "done": true, "done_reason": reason,
            "eval_count": 5})
    }

    #[test]
    fn a_missing_prompt_count_is_estimated() {
        let finished = read(&Ollama, &[line("a"), line("b"), last("stop")]).unwrap();
        assert_eq!(finished.text, "ab");
        assert!(finished.usage.estimated && finished.usage.output_tokens == 5 && finished.usage.input_tokens > 0);
    }

    #[test]
    fn only_a_whole_answer_is_one() {
        for (events, fault) in [
            (vec![line("a"), last("length")], Fault::OutputLimit),
            (vec![line("a"), last("unload")], Fault::Truncated),
            (vec![line("a")], Fault::Truncated),
        ] {
            assert_eq!(read(&Ollama, &events).unwrap_err().fault, fault);
        }
    }

    #[test]
    fn the_context_is_long_enough_and_moves_in_steps() {
        let words = |n: usize| Rendered { system: String::new(), user: "word ".repeat(n) };
        assert_eq!(context_length(&words(10), 1000), 4096);
        let long = words(20_000);
        let length = context_length(&long, 4096);
        assert!(length >= tokens::count(&long.user) + 4096 && length.is_multiple_of(CONTEXT_STEP));
        assert_eq!(context_length(&words(1), u32::MAX), u32::MAX);
    }
}
