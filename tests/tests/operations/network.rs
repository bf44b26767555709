//! The way out and the way to the database: proxies by `CONNECT`, names that need none, authorities of one's own, TLS to
//! PostgreSQL. A proxy sees names and what is encrypted, and never a key.

use crate::authority::Authority;
use krins_tests::command::{Ran, command, run};
use krins_tests::fakes::{Dialect, FakeProvider, Scenario};
use krins_tests::postgres::Postgres;
use krins_tests::raw_http;
use krins_tests::serve::{Service, write_settings};
use krins_tests::workspace::Workspace;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const KEY: &str = "sk-ant-canary-0123456789abcdef0123456789";
/// The proxy's own password, in its address as people write it.
const PASSWORD: &str = "proxy-password-51f7";
/// `me:proxy-password-51f7`.
const BASIC: &str = "bWU6cHJveHktcGFzc3dvcmQtNTFmNw==";

/// What a proxy was told, and what went through it.
#[derive(Default)]
struct Seen {
    /// The heads of requests to the proxy itself: all that it can read.
    heads: Vec<String>,
    tunnelled: Vec<u8>,
}

/// A proxy for `CONNECT`; each name that it knows is a server of this machine.
struct Proxy {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

impl Proxy {
    async fn start(names: &[(&str, SocketAddr)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Seen>>::default();
        let names: BTreeMap<String, SocketAddr> = names.iter().map(|(name, to)| ((*name).to_owned(), *to)).collect();
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, names.clone(), Arc::clone(&shared)));
            }
        });
        Self { address, seen }
    }

    /// Its address, with a user and a password.
    fn url(&self) -> String {
        format!("http://me:{PASSWORD}@{}", self.address)
    }

    fn heads(&self) -> Vec<String> {
        self.seen.lock().unwrap().heads.clone()
    }

    fn tunnelled(&self) -> Vec<u8> {
        self.seen.lock().unwrap().tunnelled.clone()
    }
}

async fn serve(mut stream: TcpStream, names: BTreeMap<String, SocketAddr>, seen: Arc<Mutex<Seen>>) -> Option<()> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(bytes).unwrap();
    seen.lock().unwrap().heads.push(head.clone());
    let asked = head.strip_prefix("CONNECT ").and_then(|rest| rest.split_once(' ')).map(|(name, _)| name);
    let Some(to) = asked.and_then(|name| names.get(name)) else {
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await.ok()?;
        return None;
    };
    let behind = TcpStream::connect(to).await.ok()?;
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.ok()?;
    let ((mut near_in, mut near_out), (mut far_in, mut far_out)) = (stream.into_split(), behind.into_split());
    let noted = Arc::clone(&seen);
    let there = async move {
        let mut piece = vec![0; 16 << 10];
        while let Ok(read @ 1..) = near_in.read(&mut piece).await {
            noted.lock().unwrap().tunnelled.extend_from_slice(&piece[..read]);
            if far_out.write_all(&piece[..read]).await.is_err() {
                break;
            }
        }
        let _ = far_out.shutdown().await;
    };
    let back = async move {
        let _ = tokio::io::copy(&mut far_in, &mut near_out).await;
        let _ = near_out.shutdown().await;
    };
    tokio::join!(there, back);
    Some(())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

const SHOP: &str = "//- /src/total.ts\nexport const total = 1;\nconst a = \"x\\ty\";\nconst b = 2;\n";
const TASK: &str = "call it sum, and say so in a comment";

/// Somebody whose provider is that address, with an authority of their own or not.
fn asker(base_url: &str, authority: Option<&Path>) -> Workspace {
    let workspace = Workspace::from_fixture(SHOP);
    let extra = authority.map_or(String::new(), |path| format!("http.extra_ca = {:?}\n", path.display().to_string()));
    let settings = format!(
        "provider = \"mine\"\n{extra}[providers.mine]\nkind = \"anthropic\"\nmodel = \"m\"\nbase_url = \"{base_url}\"\nkey_env = \"MY_KEY\"\n"
    );
    write_settings(&workspace, &settings);
    workspace
}

fn assign(workspace: &Workspace, env: &[(&str, &str)]) -> Ran {
    let mut command = command(workspace, &["assign", TASK, "--json"]);
    command.env("MY_KEY", KEY).env("KRINS_LOG", "trace").envs(env.iter().copied());
    run(command, b"")
}

fn holds(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}

/// Neither the key nor what opens the proxy is in what the program said.
fn says_no_secret(ran: &Ran) {
    for secret in [KEY, PASSWORD, BASIC] {
        assert!(!holds(&ran.stdout, secret) && !holds(&ran.stderr, secret), "{secret} in {}", ran.describe());
    }
}

#[test]
fn a_provider_behind_a_proxy_is_reached_and_the_proxy_reads_no_key() {
    let runtime = runtime();
    let authority = Authority::new();
    let fake = runtime.block_on(FakeProvider::start(Dialect::Anthropic, Scenario::Ok)).unwrap();
    let front = runtime.block_on(authority.front("provider.test", fake.address()));
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        let proxy = runtime.block_on(Proxy::start(&[("provider.test:8443", front)]));
        let workspace = asker("https://provider.test:8443", Some(&authority.pem));
        let ran = assign(&workspace, &[(variable, &proxy.url()), ("NO_PROXY", "other.test")]).expect(0);
        says_no_secret(&ran);
        let heads = proxy.heads();
        let [head] = &heads[..] else { panic!("{variable}: not one connection: {heads:?}") };
        assert!(head.starts_with("CONNECT provider.test:8443 HTTP/1.1\r\n"), "{head}");
        assert!(head.to_ascii_lowercase().contains(&format!("proxy-authorization: basic {}", BASIC.to_lowercase())));
        assert!(!head.contains(KEY) && !head.to_ascii_lowercase().contains("x-api-key"), "{head}");
        let tunnelled = proxy.tunnelled();
        assert!(tunnelled.len() > 500 && !holds(&tunnelled, KEY) && !holds(&tunnelled, "total"), "it is not encrypted");
        let attempt = fake.attempts().pop().unwrap();
        assert_eq!((attempt.header("x-api-key"), attempt.header("proxy-authorization")), (Some(KEY), None));
    }
    assert_eq!(fake.attempts().len(), 3);
    assert_eq!(fake.violations(), [] as [String; 0]);
}

#[test]
fn names_that_need_no_proxy_and_this_machine_are_reached_without() {
    let runtime = runtime();
    let authority = Authority::new();
    let fake = runtime.block_on(FakeProvider::start(Dialect::Anthropic, Scenario::Ok)).unwrap();
    let proxy = runtime.block_on(Proxy::start(&[]));
    let url = proxy.url();
    let all = [("HTTPS_PROXY", url.as_str()), ("HTTP_PROXY", &url), ("ALL_PROXY", &url)];
    assign(&asker(&fake.base_url(), None), &all).expect(0);
    let no_such_name = asker("https://provider.invalid:8443", Some(&authority.pem));
    for none in ["provider.invalid", ".invalid", "other.test, provider.invalid"] {
        let ran = assign(&no_such_name, &[&all[..], &[("NO_PROXY", none)]].concat()).expect(3);
        says_no_secret(&ran);
    }
    assert_eq!(proxy.heads(), [] as [String; 0]);
    // Without the exception the same name is asked of the proxy, which says no.
    let ran = assign(&no_such_name, &all).expect(3);
    says_no_secret(&ran);
    assert!(proxy.heads().iter().all(|head| head.starts_with("CONNECT provider.invalid:8443 ")), "{:?}", proxy.heads());
    assert!(!proxy.heads().is_empty());
}

#[test]
fn a_certificate_that_nobody_vouches_for_stops_the_key_before_it_leaves() {
    let runtime = runtime();
    let (authority, stranger) = (Authority::new(), Authority::new());
    let fake = runtime.block_on(FakeProvider::start(Dialect::Anthropic, Scenario::Ok)).unwrap();
    // Another authority's certificate; this authority's for another name.
    let other = runtime.block_on(stranger.front("provider.test", fake.address()));
    let misnamed = runtime.block_on(authority.front("elsewhere.test", fake.address()));
    for (front, extra) in [(other, Some(authority.pem.as_path())), (other, None), (misnamed, Some(&authority.pem))] {
        let proxy = runtime.block_on(Proxy::start(&[("provider.test:443", front)]));
        let ran = assign(&asker("https://provider.test", extra), &[("HTTPS_PROXY", &proxy.url())]).expect(3);
        let error = ran.json()["error"].take();
        assert!(error["message"].as_str().unwrap().contains("trust the server"), "{error}");
        assert!(error["hint"].as_str().unwrap().contains("extra_ca"), "{error}");
        says_no_secret(&ran);
    }
    assert_eq!(fake.attempts().len(), 0);
}

#[test]
fn a_service_behind_a_proxy_is_reached_and_the_proxy_reads_no_token() {
    const TOKEN: &str = "serve-canary-0123456789abcdef";
    let runtime = runtime();
    let authority = Authority::new();
    let certificate = authority.certify("krins.test");
    let (chain, key) = (certificate.chain.display().to_string(), certificate.key.display().to_string());
    let args = ["--tls-cert", chain.as_str(), "--tls-key", key.as_str()];
    let service = Service::start("", &args, &[("KRINS_SERVE_TOKEN", TOKEN)]);
    let proxy = runtime.block_on(Proxy::start(&[("krins.test:7117", service.address())]));
    let workspace = Workspace::from_fixture(SHOP);
    let extra = authority.pem.display().to_string();
    write_settings(&workspace, &format!("backend.url = \"https://krins.test:7117\"\nhttp.extra_ca = {extra:?}\n"));
    let ask = |token: &str| {
        let mut command = command(&workspace, &["assign", "rename total to grandTotal", "--json"]);
        command.env("KRINS_TOKEN", token).env("HTTPS_PROXY", proxy.url()).env("KRINS_LOG", "trace");
        run(command, b"")
    };
    let ran = ask(TOKEN).expect(0);
    assert!(!holds(&ran.stdout, TOKEN) && !holds(&ran.stderr, TOKEN), "{}", ran.describe());
    says_no_secret(&ran);
    let refused = ask("wrong-canary-0123456789abcdef").expect(2);
    assert_eq!(refused.json()["error"]["kind"], "AuthFailed");
    assert!(!holds(&refused.stderr, "wrong-canary"), "{}", refused.describe());
    let heads = proxy.heads();
    assert!(heads.len() >= 2 && heads.iter().all(|head| head.starts_with("CONNECT krins.test:7117 ")), "{heads:?}");
    assert!(!holds(heads.concat().as_bytes(), TOKEN) && !holds(&proxy.tunnelled(), TOKEN));
    let (_, said) = service.end();
    assert!(!holds(&said, TOKEN) && !holds(&said, "wrong-canary"), "{}", String::from_utf8_lossy(&said));
}

/// `krins serve` that is expected not to start.
fn fails_to_serve(workspace: &Workspace, database: &str) -> Ran {
    let mut command = command(workspace, &["serve", "--addr", "127.0.0.1:0", "--json", "--database", database]);
    command.env("PGPASSWORD", Postgres::password()).stdin(Stdio::null());
    run(command, b"")
}

#[test]
fn the_database_is_reached_over_tls_that_is_always_checked() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let certificate = authority.certify("127.0.0.1");
    let text = |path: &Path| std::fs::read_to_string(path).unwrap();
    let Some(server) = Postgres::start_with_tls(&text(&certificate.chain), &text(&certificate.key)) else { return };
    let database = server.database();
    let name = krins_tests::postgres::name_of(&database).to_owned();
    let address = format!("postgres://krins@127.0.0.1:{}/{name}", server.port());
    let extra = |authority: &Authority| format!("http.extra_ca = {:?}\n", authority.pem.display().to_string());
    let env = [("PGPASSWORD", Postgres::password())];
    let encrypted = || {
        let query =
            "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'krins'";
        server.sql(&name, query).unwrap()
    };
    let runtime = runtime();
    for (mode, wanted) in
        [("require", "t"), ("verify-ca", "t"), ("verify-full", "t"), ("prefer", "t"), ("disable", "f")]
    {
        let address = format!("{address}?sslmode={mode}");
        let service = Service::start(&extra(&authority), &["--database", &address], &env);
        let task = json!({"prompt": {"version": 1, "intent": format!("rename a to b ({mode})"), "items": []}, "max_output_tokens": 10});
        let answer = runtime.block_on(raw_http::post_json(service.address(), "/tasks", &[], &task));
        assert!(matches!(answer.status, 200 | 202), "{mode}: {answer:?}");
        assert_eq!(encrypted(), wanted, "{mode}");
        let (_, said) = service.end();
        assert!(!holds(&said, Postgres::password()));
        let until = Instant::now() + Duration::from_secs(10);
        // No connection of the one is counted for the next.
        while !encrypted().is_empty() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let localhost = address.replace("127.0.0.1", "localhost");
    for (settings, address) in
        [(String::new(), &address), (extra(&stranger), &address), (extra(&authority), &localhost)]
    {
        for mode in ["require", "verify-full"] {
            let home = Workspace::empty();
            write_settings(&home, &settings);
            let ran = fails_to_serve(&home, &format!("{address}?sslmode={mode}")).expect(3);
            let error = ran.json()["error"].take();
            assert_eq!(error["kind"], "BackendUnavailable", "{error}");
            assert!(error["message"].as_str().unwrap().contains("certificate"), "{error}");
            assert!(!holds(&ran.stdout, Postgres::password()) && !holds(&ran.stderr, Postgres::password()));
        }
    }
    // A server that speaks no TLS is refused where it is asked for.
    let Some(plain) = Postgres::start() else { return };
    let database = plain.database();
    let ran = fails_to_serve(&Workspace::empty(), &format!("{database}?sslmode=require")).expect(3);
    let shown: Value = ran.json();
    assert!(shown["error"]["message"].as_str().unwrap().contains("TLS"), "{shown}");
    assert!(!holds(&ran.stdout, Postgres::password()) && !holds(&ran.stderr, Postgres::password()));
}
