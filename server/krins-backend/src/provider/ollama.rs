//! Ollama `/api/chat`: NDJSON. The context length is always said, because the server cuts a longer prompt without a word.

use super::wire::{
    Answer, Framing, Json, Reader, Step, Stop, Wire, Written, at, count, endpoint, key_header, put, role_messages,
    text, word,
};
use crate::error::ProviderError;
use krins_core::tokens;
use reqwest::header::HeaderMap;
use secrecy::SecretString;
use serde_json::{Value, json};
use url::Url;

/// `num_ctx` goes up in such steps: each new value makes the server load the model again.
const CONTEXT_STEP: u32 = 4096;

/// Room for an answer whose limit nobody named.
const USUAL_ANSWER: u32 = 4096;
/// Loading a model takes longer than the five minutes after which the server drops it by itself are worth.
const KEEP_ALIVE: &str = "15m";

pub(crate) struct Ollama {
    pub keep_alive: Option<String>,
}

impl Wire for Ollama {
    fn framing(&self) -> Framing {
        Framing::Ndjson
    }

    fn url(&self, base: &Url, _model: &str) -> Url {
        endpoint(base, &["api", "chat"])
    }

    fn loaded(&self, base: &Url) -> Option<Url> {
        Some(endpoint(base, &["api", "ps"]))
    }

    fn headers(&self, key: Option<&SecretString>) -> Result<HeaderMap, ProviderError> {
        key_header("authorization", "Bearer ", key)
    }

    fn body(&self, ask: &Written<'_>) -> Value {
        let mut options = json!({"num_ctx": context_length(ask)});
        put(&mut options, "num_predict", ask.max_output_tokens);
        if let Some(sampling) = ask.sampling {
            put(&mut options, "temperature", sampling.temperature);
            put(&mut options, "top_p", sampling.top_p);
            put(&mut options, "seed", sampling.seed);
            put(&mut options, "stop", (!sampling.stop.is_empty()).then(|| json!(sampling.stop)));
        }
        json!({
            "model": ask.model,
            "messages": role_messages(ask.words),
            "stream": true,
            "keep_alive": self.keep_alive.as_deref().unwrap_or(KEEP_ALIVE),
            "options": options,
        })
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Lines)
    }
}

/// Whether the model is in what `/api/ps` says is loaded. A name without a tag is the one with `latest`.
pub(crate) fn is_loaded(told: &Json<'_>, model: &str) -> Option<bool> {
    let models = at(told, "/models")?.as_array()?;
    let tagged = format!("{model}:latest");
    let names = models.iter().flat_map(|entry| ["/name", "/model"].map(|place| text(entry, place)));
    Some(names.flatten().any(|name| name == model || name == tagged))
}

/// Prompt and answer, with a quarter more for the prompt: its tokens are counted by another tokenizer than the model's.
fn context_length(ask: &Written<'_>) -> u32 {
    let prompt = ask.texts().fold(0u32, |sum, text| sum.saturating_add(tokens::count(text)));
    prompt
        .saturating_add(prompt / 4)
        .saturating_add(ask.max_output_tokens.unwrap_or(USUAL_ANSWER))
        .div_ceil(CONTEXT_STEP)
        .saturating_mul(CONTEXT_STEP)
}

struct Lines;

impl Reader for Lines {
    fn read(&mut self, line: &Json<'_>, answer: &mut Answer) -> Result<Step, ProviderError> {
        answer.model = text(line, "/model").map(str::to_owned).or(answer.model.take());
        answer.began |= text(line, "/message/thinking").is_some_and(|thought| !thought.is_empty());
        answer.push(text(line, "/message/content").unwrap_or_default());
        if !at(line, "/done").and_then(Json::as_bool).unwrap_or(false) {
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
    use super::super::Sampling;
    use super::super::wire::testing::{body, read};
    use super::*;
    use crate::error::Fault;
    use krins_core::prompt::{Rendered, Turn};

    fn wire() -> Ollama {
        Ollama { keep_alive: None }
    }

    fn line(content: &str) -> Value {
        json!({"model": "m-1", "message": {"role": "assistant", "content": content}, "done": false})
    }

    fn last(reason: &str) -> Value {
        json!({"model": "m-1", "message": {"role": "assistant", "content": ""}, "done": true, "done_reason": reason,
            "eval_count": 5})
    }

    #[test]
    fn a_missing_prompt_count_is_estimated() {
        let finished = read(&wire(), &[line("a"), line("b"), last("stop")]).unwrap();
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
            assert_eq!(read(&wire(), &events).unwrap_err().fault, fault);
        }
    }

    #[test]
    fn what_is_loaded_is_known_by_its_name_with_and_without_a_tag() {
        let told = r#"{"models": [{"name": "qwen:latest", "model": "qwen:latest"}, {"name": "llama:8b"}]}"#;
        let of = |model: &str| is_loaded(&serde_json::from_str(told).unwrap(), model);
        assert_eq!([of("qwen"), of("qwen:latest"), of("llama:8b")], [Some(true); 3]);
        assert_eq!([of("llama"), of("qwen:4b")], [Some(false); 2]);
        let nothing = ["{}", r#"{"models": 1}"#].map(|told| is_loaded(&serde_json::from_str(told).unwrap(), "qwen"));
        assert_eq!(nothing, [None; 2]);
    }

    #[test]
    fn the_context_is_long_enough_and_moves_in_steps() {
        let words = |n: usize| Rendered { system: String::new(), turns: vec![Turn::user("word ".repeat(n))] };
        let length = |words: &Rendered, limit: u32| {
            context_length(&Written { words, model: "m", max_output_tokens: Some(limit), sampling: None })
        };
        assert_eq!(length(&words(10), 1000), 4096);
        let long = words(20_000);
        let needed = length(&long, 4096);
        assert!(needed >= tokens::count(&long.turns[0].text) + 4096 && needed.is_multiple_of(CONTEXT_STEP));
        assert_eq!(length(&words(1), u32::MAX), u32::MAX);
    }

    #[test]
    fn the_model_stays_loaded_as_long_as_the_settings_say() {
        let sampling = Sampling { temperature: Some(0.0), ..Sampling::default() };
        let usual = body(&wire(), Some(&sampling));
        assert_eq!((&usual["keep_alive"], &usual["options"]["temperature"]), (&json!("15m"), &json!(0.0)));
        assert_eq!(usual["messages"][0], json!({"role": "system", "content": "be brief"}));
        assert_eq!(usual["messages"][2], json!({"role": "assistant", "content": "done"}));
        let own = body(&Ollama { keep_alive: Some("-1".into()) }, None);
        assert_eq!(own["keep_alive"], "-1");
    }
}
