//! Every model provider against a fake that speaks its wire format: answers arrive whole or not at all, whatever the
//! provider does, and no key gets into anything a person can see.

use futures::future::{BoxFuture, join_all};
use krins_backend::cache::{CacheConfig, Cached};
use krins_backend::embedded::Embedded;
use krins_backend::http::HttpConfig;
use krins_backend::keys::{KeySource, Keys};
use krins_backend::provider::{BackendConfig, Kind, ProviderConfig, Timing};
use krins_backend::resilience::breaker::BreakerConfig;
use krins_backend::resilience::{Clock, ResilienceConfig};
use krins_backend::service::{Server, ServiceConfig, Tokens};
use krins_backend::store::Sqlite;
use krins_backend::{Ask, Backend, BackendError, Progress, ProgressSink, Proposal, Usage};
use krins_core::prompt::{Item, PROMPT_VERSION, Prompt};
use krins_core::redact::{Redacted, redact};
use krins_core::{Digest, RelPath};
use krins_protocol::error::ErrorKind;
use krins_tests::failover::{Bench, SCENARIOS, Verdict};
use krins_tests::fakes::wall::Wall;
use krins_tests::fakes::{ANSWER, Attempt, Behaviour, Dialect, FakeProvider, Scenario};
use krins_tests::raw_http;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio_rustls::rustls;

/// Searched for in everything that comes out.
const CANARY: &str = "sk-canary-7f3a9c2e1d5b8046-canary";

const FIRST_TOKEN: Duration = Duration::from_millis(600);

fn kind(dialect: Dialect) -> Kind {
    match dialect {
        Dialect::Anthropic => Kind::Anthropic,
        Dialect::OpenAiResponses => Kind::OpenAi,
        Dialect::OpenAiChat => Kind::OpenAiChat,
        Dialect::Gemini => Kind::Gemini,
        Dialect::Ollama => Kind::Ollama,
    }
}

fn timing() -> Timing {
    Timing {
        first_token: FIRST_TOKEN,
        hurried: None,
        idle: Duration::from_millis(400),
        total: Duration::from_secs(8),
        calls: 2,
        backoff: Duration::from_millis(40),
        backoff_cap: Duration::from_millis(80),
    }
}

fn config(kind: Kind, base_url: &str) -> ProviderConfig {
    ProviderConfig {
        base_url: Some(base_url.parse().unwrap()),
        model: Some("fake-model".into()),
        key: KeySource::Environment("CANARY_KEY".into()),
        timing: timing(),
        ..ProviderConfig::of(kind)
    }
}

/// This machine's time, and no chance.
struct HalfChance;

impl Clock for HalfChance {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(wait))
    }

    fn chance(&self) -> f64 {
        0.5
    }
}

fn backend(provider: ProviderConfig) -> Embedded {
    let config = BackendConfig {
        default: "fake".into(),
        providers: BTreeMap::from([("fake".to_owned(), provider)]),
        http: HttpConfig { connect_timeout: Duration::from_secs(2), ..HttpConfig::default() },
        ..BackendConfig::default()
    };
    let keys = Keys::new(|name| (name == "CANARY_KEY").then(|| CANARY.to_owned()), |_, _| Ok(None));
    Embedded::with_clock(config, keys, Arc::new(HalfChance)).unwrap()
}

fn prompt() -> Redacted<Prompt> {
    let text = "export const total = 1;\n";
    let prompt = Prompt {
        version: PROMPT_VERSION,
        intent: "call it sum".into(),
        focus: None,
        items: vec![Item {
            path: RelPath::new("src/total.ts").unwrap(),
            digest: Digest::of(text),
            ranges: vec![[1, 1]],
            verbatim: true,
            text: text.into(),
            tokens: 6,
            reason: "selected".into(),
        }],
    };
    redact(prompt).0
}

fn ask() -> Ask {
    Ask {
        task: "t1".into(),
        prompt: prompt(),
        provider: None,
        model: None,
        max_output_tokens: 1000,
        fresh: false,
        account: Default::default(),
    }
}

fn quiet() -> ProgressSink {
    Arc::new(|_| {})
}

struct Run {
    dialect: Dialect,
    scenario: Scenario,
    outcome: Result<Proposal, BackendError>,
    attempts: Vec<Attempt>,
    violations: Vec<String>,
    took: Duration,
}

async fn run(dialect: Dialect, scenario: Scenario) -> Run {
    let fake = FakeProvider::start(dialect, scenario).await.unwrap();
    let backend = backend(config(kind(dialect), &fake.base_url()));
    let start = Instant::now();
    let outcome = backend.ask(ask(), quiet()).await;
    Run { dialect, scenario, outcome, took: start.elapsed(), attempts: fake.attempts(), violations: fake.violations() }
}

/// What has to come out: the whole answer, or an error of a kind whose message says this.
#[derive(Debug)]
enum Expected {
    Answer,
    Error(ErrorKind, &'static str),
}

/// (outcome, attempts).
fn expected(dialect: Dialect, scenario: Scenario) -> (Expected, usize) {
    use ErrorKind as K;
    use Expected::{Answer, Error};
    use Scenario as S;
    match scenario {
        S::Ok | S::NoUsage => (Answer, 1),
        S::NoDone if dialect == Dialect::OpenAiResponses => (Error(K::BackendUnavailable, "truncated"), 1),
        S::NoDone => (Answer, 1),
        S::RateLimitedThenOk { .. }
        | S::ServerErrorThenOk
        | S::OverloadedThenOk
        | S::OverloadedInStreamThenOk
        | S::ResetThenOk => (Answer, 2),
        S::RateLimited => (Error(K::Overloaded, "429"), 2),
        S::RateLimitedForLong => (Error(K::Overloaded, "3600 s"), 1),
        S::QuotaExhausted => (Error(K::BudgetExceeded, "HTTP 4"), 1),
        S::ServerError => (Error(K::BackendUnavailable, "HTTP 500"), 2),
        S::ServerErrorNoRetry => (Error(K::BackendUnavailable, "HTTP 500"), 1),
        // Anthropic says api_error with 503, and the code goes before the status.
        S::Unavailable if dialect == Dialect::Anthropic => (Error(K::BackendUnavailable, "HTTP 503"), 2),
        S::Unavailable => (Error(K::Overloaded, "HTTP 503"), 2),
        S::Overloaded => (Error(K::Overloaded, "HTTP 5"), 2),
        S::OverloadedInStream if dialect == Dialect::Ollama => (Error(K::BackendUnavailable, "error in the stream"), 2),
        S::OverloadedInStream => (Error(K::Overloaded, "error in the stream"), 2),
        S::Reset => (Error(K::BackendUnavailable, "connection"), 2),
        S::Silent => (Error(K::BackendUnavailable, "no sign of an answer"), 1),
        S::SlowFirstToken => (Error(K::BackendUnavailable, "no sign of an answer"), 1),
        S::Cut | S::CutCleanly | S::NoFinish => (Error(K::BackendUnavailable, "truncated"), 1),
        S::Stall => (Error(K::BackendUnavailable, "stalled"), 1),
        // The terminal event says the whole answer again.
        S::MalformedEvent if dialect == Dialect::OpenAiResponses => (Answer, 1),
        S::MalformedEvent => (Error(K::BackendUnavailable, "not JSON"), 1),
        S::ContextLength => (Error(K::BudgetExceeded, "HTTP 400"), 1),
        S::ContentFilter => (Error(K::ProviderRefused, "HTTP 400"), 1),
        // Ollama's models refuse in words only.
        S::Refusal if dialect == Dialect::Ollama => (Answer, 1),
        S::Refusal => (Error(K::ProviderRefused, "refused"), 1),
        S::OutputLimit => (Error(K::BudgetExceeded, "output token limit"), 1),
        S::BadKey => (Error(K::AuthFailed, "HTTP 40"), 1),
        S::UnknownModel => (Error(K::BadParams, "HTTP 404"), 1),
        S::Garbage | S::HtmlPage => (Error(K::BackendUnavailable, ""), 1),
        // Followed, it would carry the prompt to a place that nobody chose.
        S::Redirect => (Error(K::BadParams, "HTTP 307"), 1),
        S::HtmlErrorPage => (Error(K::BackendUnavailable, "HTTP 502"), 2),
    }
}

fn check(run: &Run) {
    let Run { dialect, scenario, outcome, attempts, .. } = run;
    let place = format!("{dialect:?} {scenario:?}");
    let (expected, calls) = expected(*dialect, *scenario);
    assert_eq!(attempts.len(), calls, "{place}: attempts, {outcome:?}");
    assert_eq!(run.violations, Vec::<String>::new(), "{place}");
    assert!(run.took < Duration::from_secs(7), "{place} took {:?}", run.took);
    match (outcome, expected) {
        (Ok(proposal), Expected::Answer) => {
            assert_eq!(proposal.text, ANSWER, "{place}");
            assert_eq!(proposal.usage.estimated, *scenario == Scenario::NoUsage, "{place}");
        }
        (Err(error), Expected::Error(kind, says)) => {
            assert_eq!(error.kind, kind, "{place}: {error}");
            assert!(error.message.contains(says), "{place}: {error}");
            assert!(error.message.starts_with("get an answer from fake/fake-model: "), "{place}: {error}");
            assert!(error.hint.as_ref().is_some_and(|hint| !hint.is_empty()), "{place}");
            check_discretion(error, &place);
        }
        (outcome, expected) => panic!("{place}: {expected:?} was expected, {outcome:?} came"),
    }
}

/// No key, no part of one, no URL query, no provider body.
fn check_discretion(error: &BackendError, place: &str) {
    let shown = format!("{error} {error:?}");
    for secret in [CANARY, "sk-canar", "7f3a", "?key=", "alt=sse", "nginx", "<html", "127.0.0.1"] {
        assert!(!shown.contains(secret), "{place}: {secret} in {shown}");
    }
}

/// Every adapter against every scenario. Five at a time: timeouts should measure the fakes, not this machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_provider_in_every_scenario() {
    for scenario in Scenario::ALL {
        let runs = join_all(Dialect::ALL.map(|dialect| run(dialect, scenario))).await;
        runs.iter().for_each(check);
    }
}

#[tokio::test]
async fn usage_is_disjoint_and_complete_for_every_provider() {
    let runs = join_all(Dialect::ALL.map(|dialect| run(dialect, Scenario::Ok))).await;
    for run in runs {
        let usage = run.outcome.unwrap().usage;
        let (input, read, write) = match run.dialect {
            Dialect::Anthropic | Dialect::OpenAiResponses | Dialect::OpenAiChat => (25, 11, 7),
            Dialect::Gemini => (32, 11, 0),
            Dialect::Ollama => (43, 0, 0),
        };
        let whole = Usage {
            input_tokens: input,
            output_tokens: 42,
            cache_read_tokens: read,
            cache_write_tokens: write,
            cache_write_long_tokens: 0,
            estimated: false,
        };
        assert_eq!(usage, whole, "{:?}", run.dialect);
    }
}

/// `Retry-After` (seconds or milliseconds in headers, RetryInfo in Gemini's body) is a floor for the wait.
#[tokio::test]
async fn a_second_call_waits_as_long_as_the_provider_asks() {
    let scenario = Scenario::RateLimitedThenOk { retry_after_ms: 700 };
    let runs = join_all(Dialect::ALL.map(|dialect| run(dialect, scenario))).await;
    for run in runs {
        let gap = run.attempts[1].at - run.attempts[0].at;
        assert!(gap >= Duration::from_millis(690), "{:?} waited {gap:?}", run.dialect);
        assert!(gap < Duration::from_secs(3), "{:?} waited {gap:?}", run.dialect);
    }
}

#[tokio::test]
async fn a_silent_provider_is_left_at_the_first_token_timeout() {
    let runs = join_all(Dialect::ALL.map(|dialect| run(dialect, Scenario::SlowFirstToken))).await;
    for run in runs {
        assert!(run.took >= FIRST_TOKEN && run.took < FIRST_TOKEN * 3, "{:?} took {:?}", run.dialect, run.took);
    }
}

/// Dropping the future is the whole of cancelling.
#[tokio::test]
async fn a_cancelled_ask_closes_its_connection_within_a_second() {
    for (dialect, scenario) in
        Dialect::ALL.into_iter().flat_map(|dialect| [(dialect, Scenario::Silent), (dialect, Scenario::Stall)])
    {
        let fake = FakeProvider::start(dialect, scenario).await.unwrap();
        let patient = Timing {
            first_token: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            total: Duration::from_secs(60),
            ..timing()
        };
        let backend = backend(ProviderConfig { timing: patient, ..config(kind(dialect), &fake.base_url()) });
        let asked = tokio::time::timeout(Duration::from_millis(300), backend.ask(ask(), quiet())).await;
        assert!(asked.is_err(), "{dialect:?} {scenario:?} answered");
        assert_eq!(fake.attempts().len(), 1);
        assert!(fake.someone_left(Duration::from_secs(1)).await, "{dialect:?} {scenario:?}: the connection stayed");
    }
}

#[tokio::test]
async fn requests_carry_the_key_in_its_header_and_the_traces_ids_alone() {
    let runs = join_all(Dialect::ALL.map(|dialect| run(dialect, Scenario::Ok))).await;
    for run in runs {
        let attempt = &run.attempts[0];
        let holding = attempt.headers.iter().filter(|(_, value)| value.contains(CANARY)).collect::<Vec<_>>();
        assert_eq!(holding.len(), 1, "{:?}", run.dialect);
        assert!(!attempt.path.contains(CANARY) && !attempt.body.to_string().contains(CANARY));
        let traceparent = attempt.header("traceparent").unwrap_or_default();
        assert!(
            krins_core::trace::TraceContext::extract(&[traceparent], &[]).is_some(),
            "{:?} {traceparent}",
            run.dialect
        );
        for header in ["tracestate", "baggage", "cookie", "referer"] {
            assert_eq!(attempt.header(header), None, "{:?} {header}", run.dialect);
        }
        let agent = attempt.header("user-agent").unwrap();
        assert!(agent.starts_with("krins/"), "{agent}");
        assert!(attempt.body.to_string().contains("call it sum"));
    }
}

#[tokio::test]
async fn progress_tells_each_call_and_grows_with_the_answer() {
    let fake = FakeProvider::start(Dialect::Anthropic, Scenario::OverloadedThenOk).await.unwrap();
    let backend = backend(config(Kind::Anthropic, &fake.base_url()));
    let heard = Arc::new(Mutex::new(Vec::new()));
    let sink = heard.clone();
    backend.ask(ask(), Arc::new(move |progress| sink.lock().unwrap().push(progress))).await.unwrap();
    let heard = heard.lock().unwrap();
    let sent = Progress::Sent { route: "fake/fake-model".into() };
    assert_eq!(heard.iter().filter(|progress| **progress == sent).count(), 2);
    let characters = ANSWER.chars().count() as u64;
    assert_eq!(heard.last(), Some(&Progress::Received { characters }));
}

/// A server of one's own needs no key, and the one meant for OpenAI is not sent to it.
#[tokio::test]
async fn the_official_key_does_not_go_to_another_address() {
    let fake = FakeProvider::start(Dialect::OpenAiChat, Scenario::Ok).await.unwrap();
    let provider = ProviderConfig { key: KeySource::Standard, ..config(Kind::OpenAiChat, &fake.base_url()) };
    let config = BackendConfig {
        default: "local".into(),
        providers: BTreeMap::from([("local".to_owned(), provider)]),
        ..BackendConfig::default()
    };
    let keys = Keys::new(|_| Some(CANARY.to_owned()), |_, _| Ok(None));
    let backend = Embedded::new(config, keys).unwrap();
    assert_eq!(backend.ask(ask(), quiet()).await.unwrap().text, ANSWER);
    assert_eq!(fake.attempts()[0].header("authorization"), None);
}

#[tokio::test]
async fn a_refused_connection_says_so_and_names_no_address() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = backend(config(Kind::Ollama, &url)).ask(ask(), quiet()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::BackendUnavailable);
    assert!(error.message.contains("refused"), "{error}");
    check_discretion(&error, "refused connection");
}

#[tokio::test]
async fn the_second_ask_is_answered_from_the_cache_and_errors_are_not_kept() {
    let fake = FakeProvider::start(Dialect::Gemini, Scenario::ServerErrorNoRetry).await.unwrap();
    let cached = Cached::new(backend(config(Kind::Gemini, &fake.base_url())), CacheConfig::default());
    assert!(cached.ask(ask(), quiet()).await.is_err());
    fake.behave(Behaviour::new(Scenario::Ok));
    let first = cached.ask(ask(), quiet()).await.unwrap();
    cached.keep(&ask());
    let second = cached.ask(ask(), quiet()).await.unwrap();
    assert_eq!((first.cached, second.cached), (false, true));
    assert_eq!(second, Proposal { cached: true, ..first });
    assert_eq!((fake.attempts().len(), cached.cache_counts()), (2, (1, 2)));
    cached.forget(&ask());
    assert!(!cached.ask(ask(), quiet()).await.unwrap().cached);
}

#[tokio::test]
async fn a_recorded_answer_is_replayed_without_a_provider() {
    let directory = tempfile::tempdir().unwrap();
    let fake = FakeProvider::start(Dialect::OpenAiChat, Scenario::Ok).await.unwrap();
    let replay = ProviderConfig { directory: Some(directory.path().into()), ..ProviderConfig::of(Kind::Replay) };
    let config = BackendConfig {
        default: "fake".into(),
        providers: BTreeMap::from([
            ("fake".to_owned(), config(Kind::OpenAiChat, &fake.base_url())),
            ("replay".to_owned(), replay),
        ]),
        record: Some(directory.path().into()),
        ..BackendConfig::default()
    };
    let backend = Embedded::new(config, Keys::new(|_| Some(CANARY.into()), |_, _| Ok(None))).unwrap();
    let live = backend.ask(ask(), quiet()).await.unwrap();
    drop(fake);
    let replayed = backend.ask(Ask { provider: Some("replay".into()), ..ask() }, quiet()).await.unwrap();
    assert_eq!((&replayed.text, &replayed.model, replayed.usage), (&live.text, &live.model, live.usage));
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let recording = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!recording.contains(CANARY));
    }
}

/// TLS in front of a fake, with a certificate of an authority that no system knows; gives the port and the authority.
async fn behind_tls(fake: &FakeProvider) -> (u16, String) {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let names = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = names.signed_by(&key, &issuer).unwrap();
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let server = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, upstream) = (listener.local_addr().unwrap().port(), fake.address());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut upstream = tokio::net::TcpStream::connect(upstream).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut stream, &mut upstream).await });
        }
    });
    (port, authority_pem)
}

#[tokio::test]
async fn an_unknown_authority_is_refused_until_the_settings_name_it() {
    krins_backend::http::install_crypto();
    let fake = FakeProvider::start(Dialect::Anthropic, Scenario::Ok).await.unwrap();
    let (port, authority) = behind_tls(&fake).await;
    let directory = tempfile::tempdir().unwrap();
    let pem = directory.path().join("authority.pem");
    std::fs::write(&pem, authority).unwrap();
    let over_tls = |extra_ca: Option<std::path::PathBuf>| {
        let config = BackendConfig {
            default: "fake".into(),
            providers: BTreeMap::from([(
                "fake".to_owned(),
                config(Kind::Anthropic, &format!("https://localhost:{port}")),
            )]),
            http: HttpConfig { extra_ca, ..HttpConfig::default() },
            ..BackendConfig::default()
        };
        Embedded::new(config, Keys::new(|_| Some(CANARY.to_owned()), |_, _| Ok(None))).unwrap()
    };
    let error = over_tls(None).ask(ask(), quiet()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::BackendUnavailable);
    assert!(error.hint.as_ref().unwrap().contains("extra_ca"), "{error:?}");
    check_discretion(&error, "unknown authority");
    assert_eq!(fake.attempts().len(), 0);
    assert_eq!(over_tls(Some(pem)).ask(ask(), quiet()).await.unwrap().text, ANSWER);
    let missing = over_tls(Some(directory.path().join("missing.pem"))).ask(ask(), quiet()).await.unwrap_err();
    assert_eq!(missing.kind, ErrorKind::BadParams);
    assert!(missing.message.contains("missing.pem"), "{missing}");
}

/// One connection serves many asks: the stream's end is read, not cut off.
#[tokio::test]
async fn many_asks_give_the_same_whole_answer_at_every_chunk_size() {
    for dialect in Dialect::ALL {
        let fake = FakeProvider::start(dialect, Scenario::Ok).await.unwrap();
        let backend = backend(config(kind(dialect), &fake.base_url()));
        for chunk in [1, 2, 3, 7, 64, 100_000] {
            fake.behave(Behaviour { chunk, ..Behaviour::new(Scenario::Ok) });
            assert_eq!(backend.ask(ask(), quiet()).await.unwrap().text, ANSWER, "{dialect:?} {chunk}");
        }
        assert!(fake.connections() <= 2, "{dialect:?}: {} connections for 6 asks", fake.connections());
    }
}

/// The defaults, so many times faster.
fn hurried(speed: u32) -> (Timing, BreakerConfig) {
    let (timing, breaker) = (Timing::default(), BreakerConfig::default());
    let timing = Timing {
        first_token: timing.first_token / speed,
        idle: timing.idle / speed,
        total: timing.total / speed,
        backoff: timing.backoff / speed,
        backoff_cap: timing.backoff_cap / speed,
        ..timing
    };
    let breaker = BreakerConfig {
        open: breaker.open / speed,
        open_cap: breaker.open_cap / speed,
        cheap: breaker.cheap / speed,
        ..breaker
    };
    (timing, breaker)
}

/// The service over a wall, with a fallback for its models.
async fn serve_wall(wall: &Wall, dialect: Dialect, speed: u32) -> (std::net::SocketAddr, tempfile::TempDir) {
    let (timing, breaker) = hurried(speed);
    let timing = match dialect {
        // A model of one's own may have to be loaded first; one that is loaded has to be as quick as any.
        Dialect::Ollama => Timing {
            hurried: Some(timing.first_token),
            first_token: timing.first_token * 6,
            total: timing.total * 4,
            ..timing
        },
        _ => timing,
    };
    let provider = |fallback: &str| ProviderConfig {
        timing,
        fallback: Some(vec![fallback.to_owned()]),
        ..config(kind(dialect), &wall.base_url())
    };
    let config = BackendConfig {
        default: "wall".into(),
        providers: BTreeMap::from([
            ("wall".to_owned(), provider("wall/fb-ok")),
            ("strict".to_owned(), provider("strict/fb-ok-noprefill")),
        ]),
        resilience: ResilienceConfig { breaker, ..ResilienceConfig::default() },
        ..BackendConfig::default()
    };
    let keys = Keys::new(|name| (name == "CANARY_KEY").then(|| CANARY.to_owned()), |_, _| Ok(None));
    serve(Embedded::new(config, keys).unwrap(), ServiceConfig::default()).await
}

/// The service over a backend; the directory is its database's.
async fn serve(backend: Embedded, config: ServiceConfig) -> (std::net::SocketAddr, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&directory.path().join("tasks.sqlite")).unwrap();
    let anywhere = "127.0.0.1:0".parse().unwrap();
    let server = Server::bind(anywhere, Arc::new(backend), store, config).await.unwrap();
    let address = server.address().unwrap();
    tokio::spawn(server.run(std::future::pending()));
    (address, directory)
}

fn hello(text: &str) -> serde_json::Value {
    serde_json::json!({"model": "fake", "messages": [{"role": "user", "content": text}]})
}

/// The catalogue holds that one whose model is loaded is left; one that has to load it gets its time.
#[tokio::test]
async fn an_ollama_that_has_to_load_its_model_is_waited_for() {
    let wall = Wall::start(Dialect::Ollama, 20).await.unwrap();
    wall.unload();
    let (gateway, _directory) = serve_wall(&wall, Dialect::Ollama, 20).await;
    let slow = "fb-s07-slow-ttft";
    let got = krins_tests::failover::ask(gateway, slow, false).await;
    assert!(got.is_whole() && got.model == slow, "{got:?}");
}

/// What a caller's own text holds does not leave the machine, and comes back whole.
#[tokio::test]
async fn a_conversation_keeps_its_secrets_and_says_who_answered() {
    // Put together here, so that nobody's scanner takes it for one.
    let secret = &format!("ghp_{}", "q7Rf2ZkP9vXw3LmT8sNbH5cYdJ1gUa4eKo6B");
    for dialect in Dialect::ALL {
        let answer = "your key is KRINS_SECRET_1 é".to_owned();
        let fake = FakeProvider::behaving(dialect, Behaviour { answer, ..Behaviour::new(Scenario::Ok) }).await.unwrap();
        let backend = backend(config(kind(dialect), &fake.base_url()));
        let (service, _directory) = serve(backend, ServiceConfig::default()).await;
        let body = hello(&format!("my key is {secret}"));
        let answer = raw_http::post_json(service, "/v1/chat/completions", &[], &body).await;
        assert_eq!(answer.status, 200, "{dialect:?} {}", answer.text());
        let said = answer.json();
        assert_eq!(said["choices"][0]["message"]["content"], format!("your key is {secret} é"), "{dialect:?}");
        assert_eq!(
            (&said["object"], &said["choices"][0]["finish_reason"]),
            (&"chat.completion".into(), &"stop".into())
        );
        assert!(said["model"].as_str().unwrap().starts_with("fake-model"), "{said}");
        assert_eq!(answer.header("x-krins-route"), Some("fake/fake-model"));
        let sent = fake.attempts()[0].body.to_string();
        assert!(sent.contains("my key is KRINS_SECRET_1") && !sent.contains(secret.as_str()), "{dialect:?} {sent}");
    }
}

/// Errors below `/v1` are OpenAI's, also those that every route of the service has.
#[tokio::test]
async fn errors_below_v1_are_in_openais_words() {
    let fake = FakeProvider::start(Dialect::OpenAiChat, Scenario::Ok).await.unwrap();
    let mut tokens = Tokens::default();
    tokens.add_clear("a-token-of-some-length").unwrap();
    let service_config = ServiceConfig { tokens, ..ServiceConfig::default() };
    let (service, _directory) = serve(backend(config(Kind::OpenAiChat, &fake.base_url())), service_config).await;
    let denied = raw_http::post_json(service, "/v1/chat/completions", &[], &hello("a")).await;
    assert_eq!((denied.status, &denied.json()["error"]["code"]), (401, &"invalid_api_key".into()));
    assert!(denied.header("www-authenticate").is_some() && denied.header("content-type") == Some("application/json"));
    let token = [("authorization", "Bearer a-token-of-some-length")];
    let lost = raw_http::send(service, "GET", "/v1/nothing", &token, b"").await;
    assert_eq!((lost.status, &lost.json()["error"]["type"]), (404, &"invalid_request_error".into()));
    let tools = serde_json::json!({"model": "fake", "messages": hello("a")["messages"], "tools": [{}]});
    let refused = raw_http::post_json(service, "/v1/chat/completions", &token, &tools).await;
    assert_eq!((refused.status, &refused.json()["error"]["param"]), (400, &"tools".into()));
    let models = raw_http::send(service, "GET", "/v1/models", &token, b"").await.json();
    let model = serde_json::json!({"id": "fake/fake-model", "object": "model", "created": 0, "owned_by": "fake"});
    assert_eq!(models, serde_json::json!({"object": "list", "data": [model]}));
    assert_eq!(fake.attempts().len(), 0);
    let outside = raw_http::send(service, "GET", "/tasks/none", &token, b"").await;
    assert_eq!(outside.header("content-type"), Some("application/problem+json"));
}

/// A breaker that opened and a switch that was thrown are seen where people and programs look, and nothing is called.
#[tokio::test]
async fn what_rests_is_seen_in_health_and_metrics_and_the_switch_takes_effect_at_once() {
    let fake = FakeProvider::start(Dialect::OpenAiChat, Scenario::ServerError).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let switch = directory.path().join("switched-off");
    let provider = config(Kind::OpenAiChat, &fake.base_url());
    let provider = ProviderConfig { timing: Timing { total: Duration::from_secs(2), ..provider.timing }, ..provider };
    let resilience = ResilienceConfig { switch_file: Some(switch.clone()), ..ResilienceConfig::default() };
    let config = BackendConfig {
        default: "fake".into(),
        providers: BTreeMap::from([("fake".to_owned(), provider)]),
        resilience,
        ..BackendConfig::default()
    };
    let backend = Embedded::new(config, Keys::new(|_| Some(CANARY.into()), |_, _| Ok(None))).unwrap();
    let (service, _database) = serve(backend, ServiceConfig::default()).await;
    let ask = || async { raw_http::post_json(service, "/v1/chat/completions", &[], &hello("a")).await };
    assert_eq!((ask().await.status, ask().await.status), (502, 502));
    assert_eq!(fake.attempts().len(), 3, "the third failure in a row opens the breaker");
    assert_eq!((ask().await.status, fake.attempts().len()), (502, 3), "it rests");
    let health = raw_http::send(service, "GET", "/health", &[], b"").await.json();
    assert_eq!(health["status"], "degraded");
    let checks = health["checks"].as_array().unwrap();
    let route = checks.iter().find(|check| check["name"] == "route fake/fake-model").unwrap();
    assert!(route["detail"].as_str().unwrap().starts_with("open: it failed; again in 1"), "{route}");
    assert_eq!(raw_http::send(service, "GET", "/health/ready", &[], b"").await.status, 200);
    let metrics = raw_http::send(service, "GET", "/metrics", &[], b"").await.text();
    for line in [
        "krins_breaker_changes_total{route=\"fake/fake-model\",state=\"open\"} 1",
        "krins_calls_total{route=\"fake/fake-model\",outcome=\"failed\"} 3",
        "krins_route_resting{route=\"fake/fake-model\"} 1",
        "krins_brownout_level 0",
        "krins_switched_off 0",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    std::fs::write(&switch, "").unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let off = ask().await;
    assert_eq!((off.status, &off.json()["error"]["code"]), (503, &"switched_off".into()));
    assert!(raw_http::send(service, "GET", "/metrics", &[], b"").await.text().contains("krins_switched_off 1"));
}

/// The sixteen scenarios of the failover catalogue in every wire format, twenty times faster. With its own times it is
/// `cargo run -p krins-tests --example failover`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_failover_catalogue_is_passed_in_every_wire_format() {
    const SPEED: u32 = 20;
    let runs = Dialect::ALL.into_iter().map(|dialect| (dialect, true)).chain([(Dialect::OpenAiChat, false)]);
    let runs = runs.map(|(dialect, stream)| async move {
        let wall = Wall::start(dialect, SPEED).await.unwrap();
        let (gateway, _directory) = serve_wall(&wall, dialect, SPEED).await;
        let bench = Bench { gateway, wall: &wall, speed: SPEED, stream };
        let mut failed: Vec<(Dialect, bool, Verdict)> = Vec::new();
        for scenario in SCENARIOS {
            let verdict = bench.run(scenario).await;
            if !verdict.passed() {
                failed.push((dialect, stream, verdict));
            }
        }
        failed
    });
    let failed: Vec<_> = join_all(runs).await.into_iter().flatten().collect();
    assert!(failed.is_empty(), "{failed:#?}");
}
