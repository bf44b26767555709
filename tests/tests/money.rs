//! Money, over the real wire formats: each shape of usage that gateways are known to reckon wrong, to the micro-unit;
//! what is charged for calls that bring no answer; budgets that several processes keep together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use krins_backend::embedded::Embedded;
use krins_backend::http::HttpConfig;
use krins_backend::keys::{KeySource, Keys};
use krins_backend::money::books::Which;
use krins_backend::money::{Account, Bill, Day, Entry, Limits, MoneyConfig, Prices};
use krins_backend::provider::{BackendConfig, Kind, ProviderConfig, Timing};
use krins_backend::{Ask, Backend, BackendError, Proposal};
use krins_core::prompt::{PROMPT_VERSION, Prompt};
use krins_core::redact::redact;
use krins_protocol::error::ErrorKind;
use krins_tests::command::{Ran, command, krins, run};
use krins_tests::fakes::{Behaviour, Dialect, FakeProvider, Scenario};
use krins_tests::workspace::Workspace;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A server that answers every request with these events, then closes.
async fn recorded(events: Vec<String>) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let body: String = events.concat();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut seen = Vec::new();
            let mut buffer = [0; 4096];
            // Up to the end of the head, and then as much as it says.
            while let Ok(read) = stream.read(&mut buffer).await {
                seen.extend_from_slice(&buffer[..read]);
                let text = String::from_utf8_lossy(&seen).to_lowercase();
                let Some((head, rest)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
                if read == 0 || rest.len() >= length.unwrap_or(0) {
                    break;
                }
            }
            let answer =
                format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{body}");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    format!("http://{address}")
}

fn named(events: &[(&str, Value)]) -> Vec<String> {
    events.iter().map(|(name, data)| format!("event: {name}\ndata: {data}\n\n")).collect()
}

fn data(events: &[Value]) -> Vec<String> {
    events.iter().map(|data| format!("data: {data}\n\n")).collect()
}

fn backend(kind: Kind, model: &str, url: &str, money: MoneyConfig) -> Embedded {
    let provider = ProviderConfig {
        base_url: Some(url.parse().unwrap()),
        model: Some(model.into()),
        key: KeySource::None,
        timing: Timing {
            first_token: Duration::from_secs(30),
            idle: Duration::from_secs(30),
            total: Duration::from_secs(60),
            backoff: Duration::from_millis(10),
            ..Timing::default()
        },
        ..ProviderConfig::of(kind)
    };
    let config = BackendConfig {
        default: "fake".into(),
        providers: BTreeMap::from([("fake".to_owned(), provider)]),
        http: HttpConfig { connect_timeout: Duration::from_secs(2), ..HttpConfig::default() },
        money,
        ..BackendConfig::default()
    };
    Embedded::new(config, Keys::new(|_| None, |_, _| Ok(None))).unwrap()
}

fn ask(bill: &Bill) -> Ask {
    let prompt = Prompt { version: PROMPT_VERSION, intent: "call it sum".into(), focus: None, items: Vec::new() };
    Ask {
        task: "t".into(),
        prompt: redact(prompt).0,
        provider: None,
        model: None,
        max_output_tokens: 1000,
        fresh: false,
        account: Account { bill: bill.clone(), ..Account::default() },
    }
}

async fn answer(backend: &Embedded) -> (Result<Proposal, BackendError>, Vec<Entry>) {
    let bill = Bill::default();
    let outcome = backend.ask(ask(&bill), Arc::new(|_| {})).await;
    (outcome, bill.entries())
}

/// What one recorded answer cost, which the ledger has to say too.
async fn cost(kind: Kind, model: &str, events: Vec<String>) -> (u64, bool) {
    let path = match kind {
        Kind::OpenAi | Kind::OpenAiChat => "/v1",
        _ => "",
    };
    let backend = backend(kind, model, &format!("{}{path}", recorded(events).await), MoneyConfig::default());
    let (outcome, entries) = answer(&backend).await;
    let proposal = outcome.unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].usage, proposal.usage);
    let attempts = backend.books().unwrap().attempts(Which::Task("t".into()), 10).await.unwrap();
    assert_eq!((attempts.len(), attempts[0].charged), (1, entries[0].micros));
    (entries[0].micros.unwrap(), proposal.usage.estimated)
}

fn anthropic(start: Value, delta: Value) -> Vec<String> {
    named(&[
        (
            "message_start",
            json!({"type": "message_start", "message": {"id": "m", "type": "message", "model": "claude-sonnet-4-6", "usage": start}}),
        ),
        (
            "content_block_start",
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        ),
        (
            "content_block_delta",
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "done"}}),
        ),
        ("content_block_stop", json!({"type": "content_block_stop", "index": 0})),
        ("message_delta", json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": delta})),
        ("message_stop", json!({"type": "message_stop"})),
    ])
}

fn chunk(choices: Value, usage: Value) -> Value {
    json!({"id": "c", "object": "chat.completion.chunk", "model": "gpt-5-mini-2025-08-07", "choices": choices, "usage": usage})
}

/// LiteLLM 9812, 11789: cache reads of a stream priced as input, seven times too much.
#[tokio::test]
async fn anthropic_reads_of_the_cache_are_not_input() {
    let start = json!({"input_tokens": 10, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 100_000, "output_tokens": 1});
    let (micros, estimated) =
        cost(Kind::Anthropic, "claude-sonnet-4-6", anthropic(start, json!({"output_tokens": 100}))).await;
    assert_eq!((micros, estimated), (10 * 3 + 30_000 + 100 * 15, false));
}

/// LiteLLM 42663: the split by lifetime covers the first iteration only, the total all of them.
#[tokio::test]
async fn anthropic_writes_to_the_cache_are_priced_by_their_total() {
    let start = |split: Value| json!({"input_tokens": 4, "cache_creation_input_tokens": 1_000, "cache_read_input_tokens": 0, "cache_creation": split, "output_tokens": 1});
    let delta = json!({"output_tokens": 10, "cache_creation_input_tokens": 3_000});
    let short = json!({"ephemeral_5m_input_tokens": 1_000, "ephemeral_1h_input_tokens": 0});
    let (micros, _) = cost(Kind::Anthropic, "claude-sonnet-4-6", anthropic(start(short), delta.clone())).await;
    assert_eq!(micros, 12 + 3_000 * 375 / 100 + 150);
    let long = json!({"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 1_000});
    let (micros, _) = cost(Kind::Anthropic, "claude-sonnet-4-6", anthropic(start(long), delta)).await;
    assert_eq!(micros, 12 + 3_000 * 6 + 150);
    let mixed = json!({"ephemeral_5m_input_tokens": 400, "ephemeral_1h_input_tokens": 600});
    let (micros, _) =
        cost(Kind::Anthropic, "claude-sonnet-4-6", anthropic(start(mixed), json!({"output_tokens": 10}))).await;
    assert_eq!(micros, 12 + 400 * 375 / 100 + 600 * 6 + 150);
}

/// The total of input is what is fresh, what is read and what is written; `message_delta` says them again, and counts.
#[tokio::test]
async fn anthropic_counts_are_disjoint_and_the_last_ones_count() {
    let start =
        json!({"input_tokens": 10, "cache_creation_input_tokens": 7, "cache_read_input_tokens": 5, "output_tokens": 1});
    let delta = json!({"input_tokens": 20, "cache_creation_input_tokens": 8, "cache_read_input_tokens": 10, "output_tokens": 40});
    let (micros, _) = cost(Kind::Anthropic, "claude-sonnet-4-6", anthropic(start, delta)).await;
    assert_eq!(micros, 60 + 30 + 3 + 600);
}

/// LiteLLM 36168, 36083: usage dropped when the last chunk has choices, four times too little.
#[tokio::test]
async fn openai_usage_counts_on_a_chunk_with_choices() {
    let usage = json!({"prompt_tokens": 1_000, "completion_tokens": 200, "total_tokens": 1_200});
    let text = chunk(json!([{"index": 0, "delta": {"content": "done"}, "finish_reason": null}]), Value::Null);
    let with_choices = chunk(json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]), usage.clone());
    let own =
        [chunk(json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]), Value::Null), chunk(json!([]), usage)];
    let prices = Prices::with(&["fake gpt-5-mini 2025-01-01 0 0.25 2 0.025".into()]).unwrap();
    for events in [vec![text.clone(), with_choices], [vec![text], own.to_vec()].concat()] {
        let mut events = data(&events);
        events.push("data: [DONE]\n\n".into());
        let url = format!("{}/v1", recorded(events).await);
        let money = MoneyConfig { prices: prices.clone(), ..MoneyConfig::default() };
        let (outcome, entries) = answer(&backend(Kind::OpenAiChat, "gpt-5-mini", &url, money)).await;
        assert_eq!((outcome.unwrap().usage.estimated, entries[0].micros), (false, Some(250 + 400)));
    }
}

/// LiteLLM 13207, 16341: cached tokens are a part of the prompt and not added to it; thoughts are output already.
#[tokio::test]
async fn openai_cached_tokens_are_inside_the_prompt() {
    let completed = json!({"type": "response.completed", "response": {"id": "r", "model": "gpt-5-mini", "status": "completed", "error": null,
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "done"}]}],
        "usage": {"input_tokens": 10_000, "input_tokens_details": {"cached_tokens": 8_000}, "output_tokens": 500,
            "output_tokens_details": {"reasoning_tokens": 400}, "total_tokens": 10_500}}});
    let (micros, _) = cost(Kind::OpenAi, "gpt-5-mini", named(&[("response.completed", completed)])).await;
    assert_eq!(micros, 2_000 / 4 + 8_000 / 40 + 1_000);
}

fn gemini(usage: Value) -> Vec<String> {
    data(&[
        json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "do"}]}, "index": 0}], "usageMetadata": {"promptTokenCount": 100_000, "cachedContentTokenCount": 90_000, "candidatesTokenCount": 1}, "modelVersion": "gemini-2.5-flash"}),
        json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "ne"}]}, "finishReason": "STOP", "index": 0}], "usageMetadata": usage, "modelVersion": "gemini-2.5-flash"}),
    ])
}

/// LiteLLM 14849: cache hits counted twice.
#[tokio::test]
async fn gemini_cached_tokens_count_once_and_thoughts_are_output() {
    let usage = json!({"promptTokenCount": 100_000, "cachedContentTokenCount": 90_000, "candidatesTokenCount": 100, "thoughtsTokenCount": 50, "totalTokenCount": 100_150});
    let (micros, _) = cost(Kind::Gemini, "gemini-2.5-flash", gemini(usage)).await;
    assert_eq!(micros, 3_000 + 2_700 + 375);
}

#[tokio::test]
async fn usage_that_never_comes_is_estimated_and_marked() {
    let events = anthropic(Value::Null, Value::Null);
    let (micros, estimated) = cost(Kind::Anthropic, "claude-sonnet-4-6", events).await;
    assert!(estimated && micros > 0, "{micros}");
}

/// The provider bills what it has read and written, whether the answer arrived or not.
#[tokio::test]
async fn an_answer_that_breaks_off_is_charged() {
    let start = json!({"input_tokens": 1_000, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 1});
    let whole = anthropic(start, json!({"output_tokens": 100}));
    let url = recorded(whole[..3].to_vec()).await;
    let (outcome, entries) = answer(&backend(Kind::Anthropic, "claude-sonnet-4-6", &url, MoneyConfig::default())).await;
    assert_eq!(outcome.unwrap_err().kind, ErrorKind::BackendUnavailable);
    assert_eq!((entries.len(), entries[0].outcome.as_str()), (1, "Truncated"));
    assert_eq!((entries[0].usage.input_tokens, entries[0].micros), (1_000, Some(3_000 + 2 * 15)));
}

fn own_prices() -> MoneyConfig {
    let prices = [
        "fake fake-model 2025-01-01 0 3 15 0.3 3.75 6".to_owned(),
        "fake cheap-model 2025-01-01 0 0.01 0.01".to_owned(),
    ];
    MoneyConfig { prices: Prices::with(&prices).unwrap(), ..MoneyConfig::default() }
}

/// vibecad 177, reyn 3047: nine requests on the wire, and one on the bill.
#[tokio::test]
async fn a_second_call_is_charged_by_itself() {
    let fake = FakeProvider::start(Dialect::Anthropic, Scenario::OverloadedInStreamThenOk).await.unwrap();
    let backend = backend(Kind::Anthropic, "fake-model", &fake.base_url(), own_prices());
    let (outcome, entries) = answer(&backend).await;
    outcome.unwrap();
    assert_eq!(fake.attempts().len(), entries.len());
    assert_eq!(entries.iter().map(|entry| entry.outcome.as_str()).collect::<Vec<_>>(), ["Overloaded", "ok"]);
    assert!(entries.iter().all(|entry| entry.micros.unwrap() > 0), "{entries:?}");
    let refused = FakeProvider::start(Dialect::Anthropic, Scenario::OverloadedThenOk).await.unwrap();
    let (_, entries) = answer(&self::backend(Kind::Anthropic, "fake-model", &refused.base_url(), own_prices())).await;
    assert_eq!(entries[0].micros, Some(0), "nobody read a word of it");
}

#[tokio::test]
async fn a_cancelled_call_is_charged_for_what_came() {
    let fake = FakeProvider::start(Dialect::Anthropic, Scenario::Stall).await.unwrap();
    let backend = backend(Kind::Anthropic, "fake-model", &fake.base_url(), own_prices());
    let bill = Bill::default();
    let begun = async {
        while fake.attempts().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    tokio::select! {
        answer = backend.ask(ask(&bill), Arc::new(|_| {})) => panic!("{answer:?}"),
        () = begun => {}
    }
    let entries = bill.entries();
    assert_eq!((entries.len(), entries[0].outcome.as_str()), (1, "cancelled"));
    assert!(entries[0].micros.unwrap() > 0);
    let books = backend.books().unwrap();
    books.flush().await;
    assert_eq!(books.attempts(Which::Open, 10).await.unwrap(), []);
}

#[tokio::test]
async fn what_does_not_fit_the_budget_is_not_sent_and_something_cheaper_is_named() {
    let fake = FakeProvider::start(Dialect::Anthropic, Scenario::Ok).await.unwrap();
    let mut money = own_prices();
    // The answer alone may cost 15,000.
    money.limits = Limits { task: Some(10_000), ..Limits::default() };
    let base = backend(Kind::Anthropic, "fake-model", &fake.base_url(), money.clone());
    let (outcome, entries) = answer(&base).await;
    let error = outcome.unwrap_err();
    assert_eq!((error.kind, entries.len(), fake.attempts().len()), (ErrorKind::BudgetExceeded, 0, 0));
    assert!(error.message.contains("$0.01 has $0.01 left"), "{error}");
    let hint = error.hint.unwrap();
    assert!(hint.contains("narrow the scope") && hint.contains("no configured model is cheap enough"), "{hint}");
    // With a budget, what nobody knows the price of is not asked.
    money.prices = Prices::default();
    let unknown = backend(Kind::Anthropic, "fake-model", &fake.base_url(), money);
    let error = answer(&unknown).await.0.unwrap_err();
    assert!(
        error.message.contains("is not known") && error.hint.as_deref().is_some_and(|hint| hint.contains("prices = ")),
        "{error}"
    );
    assert_eq!(fake.attempts().len(), 0);
    // Without one it is, and its cost stays unknown.
    let (outcome, entries) =
        answer(&backend(Kind::Anthropic, "fake-model", &fake.base_url(), MoneyConfig::default())).await;
    outcome.unwrap();
    assert_eq!(entries[0].micros, None);
}

const SHOP: &str = "//- /package.json\n{\"name\": \"shop\"}\n//- /src/total.ts\nexport const total = 1;\nconst a = \"x\\ty\";\nconst b = 2;\n";

fn shop(fake: &FakeProvider, more: &str) -> Workspace {
    let workspace = Workspace::from_fixture(SHOP);
    let config = workspace.home().join(".config/krins");
    std::fs::create_dir_all(&config).unwrap();
    let text = format!(
        "provider = \"fake\"\n{more}\nprices = [\"fake fake-model 2025-01-01 0 3 15 0.3 3.75 6\", \"fake cheap 2025-01-01 0 0.01 0.01\"]\n\
         [providers.fake]\nkind = \"anthropic\"\nbase_url = \"{url}\"\nmodel = \"fake-model\"\nkey = \"none\"\n\
         [providers.cheap]\nkind = \"ollama\"\nbase_url = \"{url}\"\nmodel = \"tiny\"\n",
        url = fake.base_url()
    );
    std::fs::write(config.join("config.toml"), text).unwrap();
    workspace
}

/// Six processes ask at once, and the day's money is enough for some of them: what is charged never exceeds it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_ask_at_once_keep_the_days_budget_together() {
    let fake = FakeProvider::start(Dialect::Anthropic, Scenario::Ok).await.unwrap();
    // An answer of at most 1,000 tokens: a call reserves about 19,000.
    let workspace = Arc::new(shop(&fake, "budget.micros_per_day = 50000\noutput.tokens = 1000"));
    let asks: Vec<_> = (0..6)
        .map(|number| {
            let workspace = workspace.clone();
            tokio::task::spawn_blocking(move || {
                krins(&workspace, &["assign", &format!("call it sum {number}"), "--json"])
            })
        })
        .collect();
    let mut refused = 0;
    for ask in asks {
        let ran: Ran = ask.await.unwrap();
        if ran.code == Some(2) {
            let error = &ran.json()["error"];
            assert_eq!(error["kind"], "BudgetExceeded", "{error}");
            assert!(error["hint"].as_str().unwrap().contains("cheap/tiny would do it for at most $0.00"), "{error}");
            refused += 1;
        } else {
            let document = ran.expect(0).json();
            assert!(document["cost"].as_u64().is_some_and(|micros| micros > 0), "{document}");
        }
    }
    assert!(fake.attempts().len() + refused >= 6 && !fake.attempts().is_empty());
    let report = krins(&workspace, &["report", "weekly", "--json"]).expect(0).json();
    assert!(report["micros"].as_u64().unwrap() <= 50_000, "{report}");
    assert_eq!(report["calls"], json!(fake.attempts().len()), "{report}");
    let context = krins(&workspace, &["context", "call it sum", "--json"]).expect(0).json();
    let estimate = context["estimate"]["micros"].as_u64().unwrap();
    assert!((15_000..25_000).contains(&estimate), "{estimate}");
}

/// `kill -9` in the middle of a call: nobody knows what it will cost, so it stays charged until somebody says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_call_stays_charged_until_it_is_reconciled() {
    let fake = FakeProvider::start(Dialect::Anthropic, Scenario::Stall).await.unwrap();
    let workspace = shop(&fake, "budget.micros_per_day = 30000\noutput.tokens = 1000");
    let mut asking = command(&workspace, &["assign", "call it sum", "--json"]).spawn().unwrap();
    for _ in 0..400 {
        if !fake.attempts().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    asking.kill().unwrap();
    asking.wait().unwrap();
    let open = krins(&workspace, &["report", "open", "--json"]).expect(0).json();
    assert_eq!(open.as_array().unwrap().len(), 1, "{open}");
    assert!(open[0]["reserved"].as_u64().unwrap() > 15_000, "{open}");
    fake.behave(Behaviour::new(Scenario::Ok));
    let refused = krins(&workspace, &["assign", "call it sum", "--json"]).expect(2).json();
    assert_eq!(refused["error"]["kind"], "BudgetExceeded", "{refused}");
    let id = open[0]["id"].as_str().unwrap();
    krins(&workspace, &["report", "reconcile", id, "--micros", "17"]).expect(0);
    krins(&workspace, &["assign", "call it sum", "--json"]).expect(0);
    let roi = krins(&workspace, &["report", "roi", "--json"]).expect(0).json();
    assert_eq!((&roi["tasks"], &roi["open"], &roi["accepted"]), (&json!(2), &json!(0), &json!(0)), "{roi}");
    run(command(&workspace, &["apply"]), b"").expect(0);
    let roi = krins(&workspace, &["report", "roi", "--json"]).expect(0).json();
    assert_eq!((&roi["accepted"], &roi["microsPerAccepted"]), (&json!(1), &roi["micros"]), "{roi}");
    assert!(Day::parse(roi["until"].as_str().unwrap()).is_some());
}
