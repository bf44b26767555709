//! Gemini `streamGenerateContent`. The key goes into a header only: in a URL it would end in every log on the way.

use super::wire::{
    Answer, Json, Reader, Step, Stop, Wire, Written, at, count, endpoint, key_header, list, put, text, word,
};
use crate::error::ProviderError;
use krins_core::prompt::{Role, Turn};
use reqwest::header::HeaderMap;
use secrecy::SecretString;
use serde_json::{Value, json};
use url::Url;

pub(crate) struct Gemini;

impl Wire for Gemini {
    fn url(&self, base: &Url, model: &str) -> Url {
        let model = model.strip_prefix("models/").unwrap_or(model);
        let method = format!("{model}:streamGenerateContent");
        let segments: &[&str] = if base.path().trim_end_matches('/').ends_with("/v1beta") {
            &["models", &method]
        } else {
            &["v1beta", "models", &method]
        };
        let mut url = endpoint(base, segments);
        url.set_query(Some("alt=sse"));
        url
    }

    fn headers(&self, key: Option<&SecretString>) -> Result<HeaderMap, ProviderError> {
        key_header("x-goog-api-key", "", key)
    }

    /// What comes again stands first, which is all that Gemini's implicit cache asks for.
    fn body(&self, ask: &Written<'_>) -> Value {
        let mut config = json!({});
        put(&mut config, "maxOutputTokens", ask.max_output_tokens);
        if let Some(sampling) = ask.sampling {
            put(&mut config, "temperature", sampling.temperature);
            put(&mut config, "topP", sampling.top_p);
            put(&mut config, "seed", sampling.seed);
            put(&mut config, "stopSequences", (!sampling.stop.is_empty()).then(|| json!(sampling.stop)));
        }
        let contents = ask.words.turns.iter().map(content).collect::<Vec<_>>();
        let mut body = json!({"contents": contents, "generationConfig": config});
        let system = Some(ask.words.system.as_str()).filter(|system| !system.is_empty());
        put(&mut body, "systemInstruction", system.map(|system| json!({"parts": [{"text": system}]})));
        body
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Chunks)
    }
}

fn content(turn: &Turn) -> Value {
    let role = match turn.role {
        Role::User => "user",
        Role::Assistant => "model",
    };
    json!({"role": role, "parts": [{"text": turn.text}]})
}

struct Chunks;

impl Reader for Chunks {
    fn read(&mut self, chunk: &Json<'_>, answer: &mut Answer) -> Result<Step, ProviderError> {
        answer.model = text(chunk, "/modelVersion").map(str::to_owned).or(answer.model.take());
        answer.id = text(chunk, "/responseId").map(str::to_owned).or(answer.id.take());
        note_usage(chunk, answer);
        if let Some(reason) = text(chunk, "/promptFeedback/blockReason") {
            answer.stop = Some(Stop::Refused(word(reason)));
            return Ok(Step::Last);
        }
        let mut candidates = list(chunk, "/candidates").iter();
        if let Some(candidate) = candidates.find(|candidate| count(candidate, "/index").unwrap_or(0) == 0) {
            read_candidate(candidate, answer);
        }
        Ok(Step::More)
    }
}

fn read_candidate(candidate: &Json<'_>, answer: &mut Answer) {
    for part in list(candidate, "/content/parts") {
        answer.began = true;
        let thought = at(part, "/thought").and_then(Json::as_bool).unwrap_or(false);
        if !thought {
            answer.push(text(part, "/text").unwrap_or_default());
        }
    }
    if let Some(reason) = text(candidate, "/finishReason") {
        answer.stop = Some(stop(reason));
    }
}

/// Thoughts are billed as output and are not inside the candidates' count.
fn note_usage(chunk: &Json<'_>, answer: &mut Answer) {
    let Some(usage) = at(chunk, "/usageMetadata") else {
        return;
    };
    let tools = count(usage, "/toolUsePromptTokenCount").unwrap_or(0);
    let input = count(usage, "/promptTokenCount").map(|tokens| tokens + tools);
    answer.usage.note_inclusive(input, count(usage, "/cachedContentTokenCount"), None);
    let thoughts = count(usage, "/thoughtsTokenCount");
    let candidates = count(usage, "/candidatesTokenCount");
    if thoughts.is_some() || candidates.is_some() {
        answer.usage.output = Some(thoughts.unwrap_or(0) + candidates.unwrap_or(0));
    }
}

fn stop(reason: &str) -> Stop {
    match reason {
        "STOP" => Stop::Complete,
        "MAX_TOKENS" => Stop::OutputLimit,
        "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "MODEL_ARMOR" => {
            Stop::Refused(word(reason))
        }
        image if image.starts_with("IMAGE_") => Stop::Refused(word(image)),
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

    fn chunk(text: &str, reason: Option<&str>) -> Value {
        let mut candidate = json!({"content": {"role": "model", "parts": [
            {"text": "hm", "thought": true}, {"text": text}]}, "index": 0});
        if let Some(reason) = reason {
            candidate["finishReason"] = json!(reason);
        }
        json!({"candidates": [candidate], "usageMetadata": {"promptTokenCount": 100, "cachedContentTokenCount": 40,
            "candidatesTokenCount": 6, "thoughtsTokenCount": 11, "totalTokenCount": 117}, "modelVersion": "m-1"})
    }

    #[test]
    fn thoughts_are_billed_and_not_shown_and_cached_input_counts_once() {
        let finished = read(&Gemini, &[chunk("a", None), chunk("b", Some("STOP"))]).unwrap();
        assert_eq!(finished.text, "ab");
        assert_eq!(
            finished.usage,
            Usage {
                input_tokens: 60,
                output_tokens: 17,
                cache_read_tokens: 40,
                cache_write_tokens: 0,
                cache_write_long_tokens: 0,
                estimated: false
            }
        );
    }

    #[test]
    fn only_a_whole_answer_is_one() {
        for (reason, fault) in [
            (Some("MAX_TOKENS"), Fault::OutputLimit),
            (Some("SAFETY"), Fault::Refused),
            (Some("IMAGE_SAFETY"), Fault::Refused),
            (Some("MALFORMED_RESPONSE"), Fault::Truncated),
            (Some("BRAND_NEW"), Fault::Truncated),
            (None, Fault::Truncated),
        ] {
            assert_eq!(read(&Gemini, &[chunk("a", reason)]).unwrap_err().fault, fault, "{reason:?}");
        }
        let blocked = json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}});
        assert_eq!(read(&Gemini, &[blocked]).unwrap_err().fault, Fault::Refused);
    }

    #[test]
    fn turns_have_geminis_names() {
        let sampling = Sampling { top_p: Some(0.25), seed: Some(7), ..Sampling::default() };
        assert_eq!(
            body(&Gemini, Some(&sampling)),
            json!({"contents": [
                {"role": "user", "parts": [{"text": "files\ntask"}]},
                {"role": "model", "parts": [{"text": "done"}]},
                {"role": "user", "parts": [{"text": "once more"}]},
            ], "generationConfig": {"maxOutputTokens": 99, "topP": 0.25, "seed": 7},
                "systemInstruction": {"parts": [{"text": "be brief"}]}})
        );
    }

    #[test]
    fn the_url_holds_the_model_and_no_key() {
        let base = "https://g.test".parse().unwrap();
        assert_eq!(
            Gemini.url(&base, "models/gem-1").as_str(),
            "https://g.test/v1beta/models/gem-1:streamGenerateContent?alt=sse"
        );
        assert_eq!(
            Gemini.url(&"https://g.test/v1beta/".parse().unwrap(), "a/b?c").as_str(),
            "https://g.test/v1beta/models/a%2Fb%3Fc:streamGenerateContent?alt=sse"
        );
    }
}
