//! Kills and loads replicas of the real `krins serve`, and looks into the books afterwards. Exit 1 when anything
//! acknowledged was lost, ended twice, or did not end.
//!
//! `cargo run --release -p krins-tests --example fleet -- crash sqlite|postgres KILLS [SEED]`
//! `cargo run --release -p krins-tests --example fleet -- replicas TASKS [KILL_EVERY_SECONDS]`
//! `cargo run --release -p krins-tests --example fleet -- submit sqlite|postgres TASKS`

use krins_tests::fleet::{self, Database, Fleet, Victim};
use krins_tests::postgres::Postgres;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let number = |at: usize, default: u64| words.get(at).map_or(default, |word| word.parse().expect("a number"));
    let good = match words.first().copied() {
        Some("crash") => crash(words.get(1).copied(), number(2, 100) as usize, number(3, 1)).await,
        Some("replicas") => replicas(number(1, 1000) as usize, number(2, 3)).await,
        Some("submit") => submit(words.get(1).copied(), number(2, 500) as usize).await,
        _ => {
            say("fleet crash sqlite|postgres KILLS [SEED] | replicas TASKS [SECONDS] | submit sqlite|postgres TASKS");
            return ExitCode::from(2);
        }
    };
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn say(words: &str) {
    let _ = writeln!(std::io::stdout(), "{words}");
}

/// What holds the tasks, and the server that must outlive it.
fn database(kind: Option<&str>, directory: &tempfile::TempDir) -> (Database, Option<Postgres>) {
    if kind == Some("postgres") {
        let server = Postgres::start().expect("PostgreSQL is needed");
        return (Database::Postgres(server.database()), Some(server));
    }
    (Database::Sqlite(directory.path().join("tasks.db")), None)
}

async fn crash(kind: Option<&str>, kills: usize, seed: u64) -> bool {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (database, _server) = database(kind, &directory);
    let victim = if matches!(database, Database::Sqlite(_)) { Victim::Only } else { Victim::InTurn };
    let fleet = Fleet::new(database, Duration::from_millis(4)).await;
    let began = Instant::now();
    let books = fleet::crash(&fleet, victim, kills, seed).await;
    say(&format!("{kills} kills in {:.0?}: {books:?}", began.elapsed()));
    books.are_good()
}

async fn replicas(tasks: usize, seconds: u64) -> bool {
    let server = Postgres::start().expect("PostgreSQL is needed");
    let mut good = true;
    for (replicas, kill) in [(1, None), (2, None), (3, None), (3, Some(Duration::from_secs(seconds)))] {
        let fleet = Fleet::new(Database::Postgres(server.database()), Duration::from_millis(20)).await;
        let load = fleet::load(&fleet, replicas, tasks, kill).await;
        let rate = load.tasks as f64 / load.took.as_secs_f64();
        say(&format!(
            "{replicas} replicas, {} tasks, {} kills: {rate:.1} tasks/s in {:.1?}: {:?}",
            load.tasks, load.kills, load.took, load.books
        ));
        good &= load.books.are_good() && load.tasks == tasks;
    }
    good
}

/// The time from handing a task in to its acknowledgement, one after the other, and what an idle replica holds.
async fn submit(kind: Option<&str>, tasks: usize) -> bool {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (database, _server) = database(kind, &directory);
    let fleet = Fleet::new(database, Duration::ZERO).await;
    let replica = fleet.start(&["--workers", "0", "--queue", "1000000"]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let resident = replica.resident().unwrap_or(0);
    let mut took = Vec::new();
    for n in 0..tasks {
        let began = Instant::now();
        assert!(fleet::submit(replica.address, &format!("submit-{n}")).await.is_some());
        took.push(began.elapsed());
    }
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() * percent / 100).min(took.len() - 1)];
    say(&format!(
        "POST /tasks, {tasks}: p50 {:.1?}, p95 {:.1?}, p99 {:.1?}; idle {:.1} MiB",
        at(50),
        at(95),
        at(99),
        resident as f64 / 1024.0
    ));
    at(95) <= Duration::from_millis(20)
}
