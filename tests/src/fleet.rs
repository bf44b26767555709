//! Replicas of the real `krins serve` over one database, to be killed, stopped and replaced while tasks are under way; and
//! the books that say afterwards whether anything acknowledged was lost or ended twice.

use crate::fakes::{Behaviour, Dialect, FakeProvider, Scenario};
use crate::workspace::Workspace;
use krins_backend::store::{Postgres, Sqlite, State, Store};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The longest one request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the tasks of a fleet are.
#[derive(Clone, Debug)]
pub enum Database {
    Sqlite(PathBuf),
    Postgres(String),
}

impl Database {
    /// The same database, for the books.
    pub async fn open(&self) -> Arc<dyn Store> {
        match self {
            Self::Sqlite(path) => Sqlite::open_beside(path).expect("the file can be opened").into(),
            Self::Postgres(address) => Postgres::open(address, None, None).await.expect("the database answers").into(),
        }
    }

    fn argument(&self) -> String {
        match self {
            Self::Sqlite(path) => path.display().to_string(),
            Self::Postgres(address) => address.clone(),
        }
    }
}

/// Homes, a provider and a database; replicas are started from it.
pub struct Fleet {
    home: Workspace,
    pub database: Database,
    pub provider: FakeProvider,
    binary: PathBuf,
}

/// One running `krins serve`, in a process group of its own. Dropping it kills all of it: a program that starts it, such as
/// `faketime`, stays its parent.
pub struct Replica {
    child: Child,
    pub address: SocketAddr,
}

impl Fleet {
    /// A fleet whose provider takes about `pace` for each of an answer's dozen events.
    pub async fn new(database: Database, pace: Duration) -> Self {
        Self::with_settings(database, pace, "cache.capacity = 0\n").await
    }

    /// With more of the person's settings, each on a line of its own.
    pub async fn with_settings(database: Database, pace: Duration, more: &str) -> Self {
        let behaviour = Behaviour { pace, chunk: 4096, ..Behaviour::new(Scenario::Ok) };
        let provider = FakeProvider::behaving(Dialect::OpenAiChat, behaviour).await.expect("a free port");
        let home = Workspace::empty();
        let settings = format!(
            "provider = \"mine\"\n{more}[providers.mine]\nkind = \"openai-chat\"\nmodel = \"m\"\nbase_url = \"{}\"\nkey = \"none\"\n",
            provider.base_url()
        );
        let file = home.home().join(".config/krins/config.toml");
        std::fs::create_dir_all(file.parent().expect("it has one")).expect("the home is ours");
        std::fs::write(file, settings).expect("the home is ours");
        let binary = crate::binary::krins();
        Self { home, database, provider, binary: binary.to_owned() }
    }

    /// Starts a replica with more words on its command line; waits until it listens.
    pub fn start(&self, more: &[&str]) -> Replica {
        self.start_under(&[], more)
    }

    /// The same under another program, such as `faketime`.
    pub fn start_under(&self, before: &[&str], more: &[&str]) -> Replica {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            match self.try_start(before, more) {
                Some(replica) => return replica,
                // A predecessor that was killed a moment ago may still hold the file.
                None => assert!(Instant::now() < until, "the replica does not start"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn try_start(&self, before: &[&str], more: &[&str]) -> Option<Replica> {
        let mut command = match before.split_first() {
            Some((program, rest)) => {
                let mut command = Command::new(program);
                command.args(rest).arg(&self.binary);
                command
            }
            None => Command::new(&self.binary),
        };
        command.args(["serve", "--json", "--addr", "127.0.0.1:0"]).args(more);
        command.env_clear().envs(self.home.env()).env("KRINS_SERVE_DATABASE", self.database.argument());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn().expect("krins starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut said = String::new();
        while let Some(Ok(line)) = lines.next() {
            said += &line;
            if let Ok(document) = serde_json::from_str::<Value>(&said) {
                let address = document["address"].as_str().and_then(|text| text.parse().ok());
                if let Some(address) = address {
                    return Some(Replica { child, address });
                }
                break;
            }
        }
        end(&mut child);
        None
    }
}

impl Replica {
    pub fn kill(mut self) {
        end(&mut self.child);
    }

    /// `TERM`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        let status = to_group(&self.child, name);
        assert!(status.is_ok_and(|status| status.success()), "kill -{name}");
    }

    pub fn ended_within(&mut self, time: Duration) -> bool {
        let until = Instant::now() + time;
        while Instant::now() < until {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// Resident memory in KiB.
    pub fn resident(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.trim().parse().ok())
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Sends the signal to the child and to everything that it started.
fn to_group(child: &Child, signal: &str) -> std::io::Result<std::process::ExitStatus> {
    let group = format!("-{}", child.id());
    Command::new("kill").args([&format!("-{signal}"), "--", &group]).stderr(Stdio::null()).status()
}

fn end(child: &mut Child) {
    // First the group: a child that is waited for leaves its number to others.
    let _ = to_group(child, "KILL");
    let _ = child.kill();
    let _ = child.wait();
}

/// A request that may fail, because its server may be killed: status and JSON body.
pub async fn ask(
    to: SocketAddr,
    method: &str,
    path: &str,
    key: Option<&str>,
    body: Option<&Value>,
) -> Option<(u16, Value)> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let key = key.map(|key| format!("idempotency-key: {key}\r\n")).unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\ncontent-type: application/json\r\n{key}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let talking = async {
        let mut stream = TcpStream::connect(to).await.ok()?;
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
        let answer = String::from_utf8(answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, serde_json::from_str(body).unwrap_or(Value::Null)))
    };
    tokio::time::timeout(PATIENCE, talking).await.ok()?
}

/// A task whose words are its own.
pub fn payload(intent: &str) -> Value {
    json!({
        "prompt": {"version": 1, "intent": intent, "items": [{
            "path": "src/total.ts", "sha256": krins_core::Digest::of("export const total = 1;\n").to_string(),
            "ranges": [[1, 1]], "verbatim": true, "text": "export const total = 1;\n",
        }]},
        "max_output_tokens": 1000, "fresh": true,
    })
}

/// Hands a task in; the id under which it was acknowledged.
pub async fn submit(to: SocketAddr, key: &str) -> Option<String> {
    let (status, task) = ask(to, "POST", "/tasks", Some(key), Some(&payload(&format!("task {key}")))).await?;
    (status == 200 || status == 202).then(|| task["id"].as_str().map(str::to_owned)).flatten()
}

/// What the books say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    pub done: usize,
    pub failed: usize,
    /// Given up, with the reason.
    pub dead: usize,
    /// Acknowledged and not there.
    pub lost: Vec<String>,
    /// Ended more than once, or changed after the end.
    pub twice: Vec<String>,
    /// Not ended.
    pub open: Vec<String>,
}

impl Books {
    pub fn are_good(&self) -> bool {
        self.lost.is_empty() && self.twice.is_empty() && self.open.is_empty()
    }
}

/// Looks every acknowledged task (its key, its id) up.
pub async fn check(database: &Database, acknowledged: &BTreeMap<String, String>) -> Books {
    let store = database.open().await;
    let mut books = Books::default();
    for (key, id) in acknowledged {
        // Without tokens every task is of the nameless tenant.
        let row = store.get("", id).await.expect("the database answers");
        let history = store.history("", id).await.expect("the database answers");
        let Some(row) = row else {
            books.lost.push(key.clone());
            continue;
        };
        let ends = history.iter().filter(|event| State::ALL.iter().any(|s| s.is_terminal() && s.name() == event.what));
        let ends = ends.count();
        let last_is_end = history.last().is_some_and(|event| event.what == row.state.name() && event.seq == row.seq);
        match row.state {
            State::Done if row.answer.is_some() => books.done += 1,
            State::Failed | State::Cancelled => books.failed += 1,
            State::Dead => books.dead += 1,
            _ => books.open.push(key.clone()),
        }
        if ends > 1 || (ends == 1 && !last_is_end) {
            books.twice.push(key.clone());
        }
    }
    books
}

/// Waits until nothing is queued or running.
pub async fn settled(database: &Database, patience: Duration) -> bool {
    let store = database.open().await;
    let until = Instant::now() + patience;
    while Instant::now() < until {
        if store.stats(None).await.is_ok_and(|stats| stats.queued + stats.running == 0) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

/// Numbers that look like chance and are the same each time.
#[derive(Clone, Debug)]
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound.max(1)
    }
}

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// One replica that takes in and runs.
    Only,
    /// In turn a replica that only takes in, and one that runs.
    InTurn,
}

/// Kills replicas at random moments while tasks are handed in, then lets everything end and looks into the books.
pub async fn crash(fleet: &Fleet, victim: Victim, kills: usize, seed: u64) -> Books {
    let lease = ["--lease", "1", "--queue", "400"];
    let start = |workers: &str| fleet.start(&[&lease[..], &["--workers", workers]].concat());
    let (address, listening) = tokio::sync::watch::channel(None);
    let stop = tokio_util::sync::CancellationToken::new();
    let submitting: Vec<_> =
        (0..4).map(|who| tokio::spawn(keep_submitting(who, listening.clone(), stop.clone()))).collect();
    let mut chance = Chance(seed);
    let mut front = start(if victim == Victim::Only { "4" } else { "0" });
    let mut back = (victim == Victim::InTurn).then(|| start("4"));
    let _ = address.send(Some(front.address));
    for kill in 0..kills {
        tokio::time::sleep(Duration::from_millis(5 + chance.below(250))).await;
        if let (Some(worker), 1) = (back.take_if(|_| kill % 2 == 1), kill % 2) {
            worker.kill();
            back = Some(start("4"));
        } else {
            front.kill();
            front = start(if victim == Victim::Only { "4" } else { "0" });
            let _ = address.send(Some(front.address));
        }
    }
    stop.cancel();
    let mut acknowledged = BTreeMap::new();
    let mut changed = Vec::new();
    for submitter in submitting {
        let (mine, wrong) = submitter.await.expect("it does not panic");
        acknowledged.extend(mine);
        changed.extend(wrong);
    }
    settled(&fleet.database, Duration::from_secs(120)).await;
    let mut books = check(&fleet.database, &acknowledged).await;
    books.twice.extend(changed);
    books
}

/// Tasks by key, and the keys that were acknowledged under two ids.
async fn keep_submitting(
    who: usize,
    listening: tokio::sync::watch::Receiver<Option<SocketAddr>>,
    stop: tokio_util::sync::CancellationToken,
) -> (BTreeMap<String, String>, Vec<String>) {
    let (mut acknowledged, mut changed) = (BTreeMap::<String, String>::new(), Vec::new());
    let mut n = 0;
    while !stop.is_cancelled() {
        let key = format!("{who}-{n}");
        let to = *listening.borrow();
        let Some(id) = (match to {
            Some(to) => submit(to, &key).await,
            None => None,
        }) else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        if let Some(known) = acknowledged.insert(key.clone(), id.clone()).filter(|known| *known != id) {
            changed.push(format!("{key}: {known} and {id}"));
        }
        // Now and then what was acknowledged is handed in again, which must be the same task.
        match n % 5 {
            4 if acknowledged.len() > 3 && !changed.contains(&key) => {
                let old = format!("{who}-{}", n - 3);
                let to = *listening.borrow();
                if let Some(to) = to
                    && let Some(again) = submit(to, &old).await
                    && acknowledged.get(&old).is_some_and(|known| *known != again)
                {
                    changed.push(old);
                }
            }
            _ => {}
        }
        n += 1;
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    (acknowledged, changed)
}

/// How a load of tasks went.
#[derive(Clone, Debug)]
pub struct Load {
    pub books: Books,
    pub tasks: usize,
    pub kills: usize,
    pub took: Duration,
}

/// Hands `tasks` tasks to replicas in turn and waits for all ends; with `kill_every`, one replica is killed and replaced
/// that often.
pub async fn load(fleet: &Fleet, replicas: usize, tasks: usize, kill_every: Option<Duration>) -> Load {
    let words = ["--lease", "2", "--queue", "100000", "--workers", "8"];
    let mut running: Vec<Replica> = (0..replicas).map(|_| fleet.start(&words)).collect();
    let addresses = Arc::new(std::sync::Mutex::new(running.iter().map(|r| r.address).collect::<Vec<_>>()));
    let began = Instant::now();
    let prefix = format!("load-{replicas}-{}", kill_every.is_some());
    let submitting: Vec<_> = (0..8)
        .map(|who| {
            let (addresses, prefix) = (Arc::clone(&addresses), prefix.clone());
            tokio::spawn(async move {
                let mut acknowledged = BTreeMap::new();
                for n in (who..tasks).step_by(8) {
                    let key = format!("{prefix}-{n}");
                    let mut turn = n;
                    loop {
                        let to = {
                            let addresses = addresses.lock().expect("nobody panics with it");
                            addresses[turn % addresses.len()]
                        };
                        if let Some(id) = submit(to, &key).await {
                            acknowledged.insert(key, id);
                            break;
                        }
                        turn += 1;
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
                acknowledged
            })
        })
        .collect();
    let mut submitted = tokio::spawn(futures::future::join_all(submitting));
    let mut kills = 0;
    let store = fleet.database.open().await;
    let mut acknowledged = None;
    let until = began + Duration::from_secs(600);
    while Instant::now() < until {
        let tick = kill_every.unwrap_or(Duration::from_millis(20)).min(Duration::from_millis(20));
        if let Ok(all) = tokio::time::timeout(tick, &mut submitted).await {
            let all = all.expect("it does not panic");
            let mut map = BTreeMap::new();
            all.into_iter().for_each(|mine| map.extend(mine.expect("it does not panic")));
            acknowledged = Some(map);
            break;
        }
        replace(fleet, &mut running, &addresses, kill_every, began, &mut kills, &words);
    }
    while Instant::now() < until {
        if store.stats(None).await.is_ok_and(|stats| stats.queued + stats.running == 0) {
            break;
        }
        replace(fleet, &mut running, &addresses, kill_every, began, &mut kills, &words);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = began.elapsed();
    let acknowledged = acknowledged.unwrap_or_default();
    Load { books: check(&fleet.database, &acknowledged).await, tasks: acknowledged.len(), kills, took }
}

fn replace(
    fleet: &Fleet,
    running: &mut [Replica],
    addresses: &std::sync::Mutex<Vec<SocketAddr>>,
    every: Option<Duration>,
    began: Instant,
    kills: &mut usize,
    words: &[&str],
) {
    let Some(every) = every else { return };
    if began.elapsed() < every * (*kills as u32 + 1) {
        return;
    }
    let which = *kills % running.len();
    let fresh = fleet.start(words);
    let mut addresses = addresses.lock().expect("nobody panics with it");
    addresses[which] = fresh.address;
    std::mem::replace(&mut running[which], fresh).kill();
    *kills += 1;
}
