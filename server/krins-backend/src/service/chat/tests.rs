//! What a conversation is asked and answered with.

use super::*;

fn read(body: Value) -> Result<Asking, Value> {
    Asking::read(&body).map_err(Refusal::object)
}

fn hello() -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": "hello"}]})
}

#[test]
fn a_conversation_is_read_with_what_the_caller_wishes() {
    let mut body = hello();
    body["messages"] = json!([
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": null, "tool_calls": []},
        {"role": "developer", "content": "and kind"},
        {"role": "user", "content": "c", "name": "me"},
    ]);
    for (name, value) in [
        ("temperature", json!(0)),
        ("top_p", json!(0.5)),
        ("stop", json!("END")),
        ("seed", json!(-1)),
        ("max_tokens", json!(5)),
        ("stream", json!(true)),
        ("stream_options", json!({"include_usage": true})),
        ("n", json!(1.0)),
        ("tools", json!([])),
        ("user", json!("someone")),
        ("response_format", json!({"type": "text"})),
    ] {
        body[name] = value;
    }
    let asking = read(body).unwrap();
    assert_eq!(asking.words.system, "be brief\n\nand kind");
    assert_eq!(asking.words.turns, [Turn::user("ab"), Turn::assistant(""), Turn::user("c")]);
    let sampling = Sampling { temperature: Some(0.0), top_p: Some(0.5), seed: Some(-1), stop: vec!["END".into()] };
    assert_eq!((asking.sampling, asking.max_output_tokens), (sampling, Some(5)));
    assert!(asking.stream && asking.include_usage);
    let mut newer = hello();
    (newer["max_tokens"], newer["max_completion_tokens"]) = (json!(5), json!(7));
    assert_eq!(read(newer).unwrap().max_output_tokens, Some(7));
}

#[test]
fn what_can_not_be_kept_is_refused_by_name() {
    for (name, value, param) in [
        ("model", Value::Null, "model"),
        ("messages", json!([]), "messages"),
        ("messages", json!("hi"), "messages"),
        ("messages", json!([{"role": "user", "content": [{"type": "image_url"}]}]), "messages"),
        ("messages", json!([{"role": "tool", "content": "x"}]), "messages"),
        ("messages", json!([{"role": "user"}]), "messages"),
        ("messages", json!([{"role": "system", "content": "x"}]), "messages"),
        ("n", json!(2), "n"),
        ("tools", json!([{"type": "function"}]), "tools"),
        ("logprobs", json!(true), "logprobs"),
        ("response_format", json!({"type": "json_object"}), "response_format"),
        ("temperature", json!(3), "temperature"),
        ("temperature", json!("hot"), "temperature"),
        ("max_tokens", json!(0), "max_tokens"),
        ("max_tokens", json!(1e12), "max_tokens"),
        ("stop", json!(["a", "b", "c", "d", "e"]), "stop"),
        ("stream", json!("yes"), "stream"),
        ("stream_options", json!({"include_usage": true}), "stream_options"),
    ] {
        let mut body = hello();
        body[name] = value.clone();
        let object = read(body).unwrap_err();
        assert_eq!(object["error"]["param"], param, "{name} {value}");
        assert_eq!(object["error"]["type"], "invalid_request_error", "{name} {value}");
    }
    assert!(read(json!([1])).is_err());
}

fn asked(include_usage: bool) -> Asked {
    Asked { id: "chatcmpl-1".into(), created: 7, stream: true, include_usage }
}

fn reply(text: &str) -> ChatReply {
    ChatReply {
        text: text.into(),
        route: "p/m".into(),
        model: "m-1".into(),
        usage: crate::Usage { input_tokens: 3, output_tokens: 2, cache_read_tokens: 4, ..crate::Usage::default() },
        stopped: Stopped::Whole,
    }
}

#[test]
fn the_events_are_openais_to_the_byte() {
    let text = |include_usage: bool| -> String {
        let all = chunks(&asked(include_usage), &reply("hi"));
        all.iter().map(|bytes| std::str::from_utf8(bytes).unwrap()).collect()
    };
    let head = r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m-1","system_fingerprint":null,"choices":"#;
    let with = |choices: &str, usage: &str| format!("{head}{choices}{usage}}}\n\n");
    let choice = |delta: &str, reason: &str| {
        format!(r#"[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{reason}}}]"#)
    };
    let first = choice(r#"{"role":"assistant","content":"","refusal":null}"#, "null");
    let (second, last) = (choice(r#"{"content":"hi"}"#, "null"), choice("{}", r#""stop""#));
    assert_eq!(text(false), format!("{}{}{}data: [DONE]\n\n", with(&first, ""), with(&second, ""), with(&last, "")));
    let none = r#","usage":null"#;
    let usage = r#","usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0}}"#;
    assert_eq!(
        text(true),
        format!(
            "{}{}{}{}data: [DONE]\n\n",
            with(&first, none),
            with(&second, none),
            with(&last, none),
            with("[]", usage)
        )
    );
}

#[test]
fn pieces_are_the_text_cut_between_characters() {
    let text = "é≠𝄞x".repeat(500);
    let all: Vec<&str> = pieces(&text).collect();
    assert_eq!(all.concat(), text);
    assert!(all.iter().all(|piece| piece.len() <= PIECE + 4 && !piece.is_empty()) && all.len() > 10);
    assert_eq!(pieces("").count(), 0);
}

#[test]
fn every_failure_has_a_status_that_an_openai_client_acts_on_rightly() {
    for fault in Fault::ALL {
        let unanswered = Unanswered { route: "p/m".into(), error: ProviderError::new(fault, "x"), others: Vec::new() };
        let (status, object) = failure(unanswered);
        // OpenAI's clients repeat 408, 409, 429 and 5xx by themselves.
        let repeats = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
        let passing = matches!(fault, Fault::Deadline | Fault::Unrecorded);
        assert_eq!(repeats, fault.rule().fallback || passing, "{fault:?} {status}");
        assert!(object["error"]["message"].as_str().unwrap().starts_with("failed to get an answer from p/m: x"));
        assert!(object["error"]["type"].is_string() && object["error"].get("code").is_some());
    }
}

/// Off the serving threads as well as on them, and every secret comes back in the answer.
#[tokio::test]
async fn a_long_conversation_is_redacted_as_a_short_one_is() {
    // Put together, so that no scanner finds a key in this file.
    let secret = ["ghp_", "q7Rf2ZkP9vXw3LmT8sNbH5cYdJ1gUa4eKo6B"].concat();
    for padding in [0, REDACTED_HERE] {
        let text = format!("const key = '{secret}';\n{}", "word ".repeat(padding));
        let words = Rendered { system: String::new(), turns: vec![Turn::user(text.clone())] };
        let (redacted, restorer) = redacted(words).await.unwrap();
        let sent = &redacted.get().turns[0].text;
        assert!(!sent.contains(&secret) && sent.contains("KRINS_SECRET_1"), "{padding}");
        assert_eq!(restorer.restore(sent).unwrap(), text);
    }
}
