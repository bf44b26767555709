//! `krins report`: what calls to models cost, and what came of it.

use super::args::{Global, ReportCommand};
use super::output::{DIM, Output, STRONG, paint};
use super::{Done, engine};
use krins_backend::money::books::{Attempt, Which};
use krins_backend::money::{Books, Day, Entry, LedgerError, Total, dollars};
use krins_engine::tasks::TaskState;
use krins_engine::{Engine, Error, ErrorKind};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// More calls than a person makes in the longest time that is looked back.
const MOST: usize = 1_000_000;

pub async fn run(global: &Global, command: ReportCommand, out: &mut Output) -> Done {
    let engine = engine(global)?;
    let books = engine.backend().books().ok_or_else(|| {
        Error::new(ErrorKind::BadParams, "read the ledger: a remote backend keeps its own")
            .hint("GET /reports/weekly of the service says what was spent")
    })?;
    match command {
        ReportCommand::Weekly => spent(&engine, &books, 7, true, out).await,
        ReportCommand::Roi { days } => spent(&engine, &books, days, false, out).await,
        ReportCommand::Open => open(&books, out).await,
        ReportCommand::Reconcile { id, micros } => reconcile(&books, &id, micros, out).await,
    }
}

/// An amount that may not be known.
pub fn price(micros: Option<u64>) -> String {
    micros.map_or_else(|| "? (price not known)".to_owned(), dollars)
}

/// One line: what the calls of a task took.
pub fn bill(calls: &[Entry]) -> String {
    let total = Total::of(calls);
    let usage = &total.usage;
    let input = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens;
    let estimated = if usage.estimated { ", partly estimated" } else { "" };
    let failed = calls.iter().filter(|call| call.outcome != "ok").count();
    let failed = if failed > 0 { format!(", {failed} of them without an answer") } else { String::new() };
    format!(
        "{} {}  {} calls{failed}, {input} tokens in, {} out{estimated}",
        paint(STRONG, "cost"),
        price(total.cost()),
        total.calls,
        usage.output_tokens
    )
}

/// What one day, or all of them, came to.
#[derive(Default)]
struct Sum {
    total: Total,
    tasks: BTreeSet<String>,
    accepted: BTreeSet<String>,
    open: u32,
}

impl Sum {
    fn add(&mut self, attempt: &Attempt, accepted: bool) {
        let open = attempt.outcome.is_none();
        // What is open counts for what was reserved, as it does for the budget.
        let micros = if open { attempt.reserved } else { attempt.charged };
        let entry = Entry {
            route: attempt.route.clone(),
            purpose: Default::default(),
            variant: attempt.variant,
            usage: attempt.usage,
            micros,
            outcome: attempt.outcome.clone().unwrap_or_default(),
        };
        let one = Total::of(&[entry]);
        self.total.calls += one.calls;
        self.total.usage = self.total.usage.plus(&one.usage);
        self.total.micros = self.total.micros.saturating_add(one.micros);
        self.total.unpriced += one.unpriced;
        self.open += u32::from(open);
        self.tasks.insert(attempt.task.clone());
        if accepted {
            self.accepted.insert(attempt.task.clone());
        }
    }

    fn per_accepted(&self) -> Option<u64> {
        self.total.cost()?.checked_div(self.accepted.len() as u64)
    }

    fn document(&self) -> serde_json::Value {
        let usage = &self.total.usage;
        json!({
            "calls": self.total.calls,
            "open": self.open,
            "tasks": self.tasks.len(),
            "accepted": self.accepted.len(),
            "tokens": {
                "input": usage.input_tokens,
                "output": usage.output_tokens,
                "cacheRead": usage.cache_read_tokens,
                "cacheWrite": usage.cache_write_tokens,
            },
            "estimated": usage.estimated,
            "micros": self.total.cost(),
            "microsKnown": self.total.micros,
            "unpriced": self.total.unpriced,
            "microsPerAccepted": self.per_accepted(),
        })
    }

    fn line(&self, name: &str) -> String {
        let unpriced = match self.total.unpriced {
            0 => String::new(),
            some => format!(" + {some} calls without a known price"),
        };
        format!(
            "{}  {}{unpriced}  {} calls, {} tasks, {} accepted",
            paint(STRONG, name),
            dollars(self.total.micros),
            self.total.calls,
            self.tasks.len(),
            self.accepted.len()
        )
    }
}

async fn spent(engine: &Engine, books: &Arc<Books>, days: u32, by_day: bool, out: &mut Output) -> Done {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let today = Day::of_millis(i64::try_from(now).unwrap_or(i64::MAX));
    let since = Day(today.0 - i64::from(days) + 1);
    let accepted: BTreeSet<String> =
        engine.tasks().list().into_iter().filter(|task| task.state == TaskState::Applied).map(|task| task.id).collect();
    let (mut all, mut each) = (Sum::default(), BTreeMap::<Day, Sum>::new());
    for attempt in books.attempts(Which::Since(since), MOST).await.map_err(failed)? {
        let taken = accepted.contains(&attempt.task);
        all.add(&attempt, taken);
        each.entry(Day::of_millis(attempt.started_ms)).or_default().add(&attempt, taken);
    }
    let mut document = all.document();
    document["since"] = json!(since.to_string());
    document["until"] = json!(today.to_string());
    if by_day {
        document["days"] = each.iter().map(|(day, sum)| (day.to_string(), sum.document())).collect();
        for (day, sum) in &each {
            out.line(sum.line(&day.to_string()));
        }
    }
    out.document(&document);
    out.line(all.line(&format!("{since} to {today}")));
    out.line(format!("an accepted change costs {}", all.per_accepted().map_or_else(|| "-".to_owned(), dollars)));
    if all.open > 0 {
        out.line(format!("{} calls are open: `krins report open`", all.open));
    }
    Ok(ExitCode::SUCCESS)
}

async fn open(books: &Arc<Books>, out: &mut Output) -> Done {
    let open = books.attempts(Which::Open, 1000).await.map_err(failed)?;
    out.document(&open);
    if open.is_empty() {
        out.line("no call is open");
    }
    for attempt in &open {
        let day = Day::of_millis(attempt.started_ms);
        out.line(format!(
            "{}  {day}  {}  {} reserved  {}",
            paint(STRONG, &attempt.id),
            attempt.route,
            price(attempt.reserved),
            paint(DIM, format!("task {}", attempt.task))
        ));
    }
    Ok(ExitCode::SUCCESS)
}

async fn reconcile(books: &Arc<Books>, id: &str, micros: u64, out: &mut Output) -> Done {
    if !books.reconcile(id, micros).await.map_err(failed)? {
        return Err(Error::new(ErrorKind::BadParams, "reconcile the call: there is no open one of that name")
            .hint("`krins report open` lists them"));
    }
    out.document(&json!({"id": id, "micros": micros}));
    out.line(format!("{id} cost {}", dollars(micros)));
    Ok(ExitCode::SUCCESS)
}

fn failed(error: LedgerError) -> Error {
    Error::new(ErrorKind::Internal, error.to_string()).hint("the ledger is books.sqlite in the state directory")
}
