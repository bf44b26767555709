//! Money: what calls cost, who pays for them, and what is never spent. A call to a model goes through a [`Meter`]: its
//! most is reserved before it is made, and what it really took is charged after it, whatever came of it. Knows no wire
//! format and no task.

pub mod books;
pub mod meter;
pub mod prices;
mod spending;

pub use books::Books;
pub use meter::{Meter, MoneyConfig};
pub use prices::{BadPrice, Day, Price, Prices, dollars};
pub use spending::Spending;

use crate::Usage;
use crate::calls::Run;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a call to a model is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// An answer to the task.
    #[default]
    Author,
    /// A verdict on an answer.
    Judge,
}

impl Purpose {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Author => "author",
            Self::Judge => "judge",
        }
    }
}

/// Who pays for an ask, and how much at most.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Whose money it is: budgets and answers of different tenants never meet. Empty for one's own machine.
    pub tenant: String,
    /// Who of them asks. Empty for the one person of one's own machine.
    pub person: String,
    /// The most that the task may cost, in millionths of a US dollar; the settings' limit holds as well.
    pub micros: Option<u64>,
    /// The most that this person's calls may cost a day, instead of what the settings say of everybody.
    pub person_micros: Option<u64>,
    /// What shares the task's budget, where that is more than the task itself.
    pub budget: Option<String>,
    /// The run of a service's task that the calls are made in.
    pub run: Option<Arc<Run>>,
    pub purpose: Purpose,
    /// Which of the answers that are asked for side by side, from 0.
    pub variant: u32,
    /// Where what was spent is written down for the asker.
    pub bill: Bill,
}

/// What may not be exceeded, in millionths of a US dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub task: Option<u64>,
    /// Of everybody of a tenant, from midnight to midnight in UTC.
    pub day: Option<u64>,
    /// Of one person, likewise.
    pub person_day: Option<u64>,
}

impl Limits {
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Which limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Task,
    Day,
    PersonDay,
}

impl Scope {
    /// As metrics name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Day => "day",
            Self::PersonDay => "person-day",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Task => "the task's budget",
            Self::Day => "the day's budget",
            Self::PersonDay => "your budget of the day",
        })
    }
}

/// A call that is about to be made.
#[derive(Clone, Debug)]
pub struct Reserve {
    pub id: String,
    pub tenant: String,
    pub person: String,
    pub task: String,
    /// What shares the task's budget.
    pub budget: String,
    pub purpose: Purpose,
    pub variant: u32,
    /// `provider/model`.
    pub route: String,
    /// The run that makes it, at a service.
    pub run: Option<Arc<Run>>,
    pub now_ms: i64,
    /// The most that it can cost; `None` when the price is not known.
    pub micros: Option<u64>,
    pub limits: Limits,
}

/// What a call really took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    pub usage: Usage,
    /// `None` when the price is not known.
    pub micros: Option<u64>,
    /// Since when that price holds.
    pub price: Option<Day>,
    /// `ok`, or what went wrong.
    pub outcome: String,
    pub now_ms: i64,
    /// Until the answer began, where it did.
    pub first_token: Option<Duration>,
    /// The answer's own name at the provider.
    pub response: Option<String>,
}

/// Why a call may not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub scope: Scope,
    pub limit: u64,
    /// Charged and reserved so far.
    pub used: u64,
    pub wanted: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    #[error("{} of {} is not enough", .0.scope, dollars(.0.limit))]
    Refused(Refusal),
    #[error("ask a model: the task is no longer this server's")]
    Overtaken,
    #[error("write the ledger: {0}")]
    Store(String),
}

/// Where money is counted. Whoever shares a ledger, other processes too, never spends more than a limit allows, as long as
/// no call costs more than was reserved for it. What is reserved and never charged stays reserved.
#[async_trait]
pub trait Ledger: Send + Sync + fmt::Debug {
    /// Durable when it returns, if there is a limit; `Refused` when the limit would be exceeded, and then nothing is kept.
    async fn reserve(&self, call: Reserve) -> Result<(), LedgerError>;

    /// Puts what the call took in the place of what was reserved for it. Written behind the caller, in order.
    fn charge(&self, id: &str, charge: Charge);

    /// Waits until what was charged is written.
    async fn flush(&self) {}
}

/// One call, as it is told to the asker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// `provider/model`.
    pub route: String,
    pub purpose: Purpose,
    pub variant: u32,
    pub usage: Usage,
    /// `None` when the price is not known.
    pub micros: Option<u64>,
    /// `ok`, or what went wrong.
    pub outcome: String,
}

/// The calls of a task, in the order in which they ended. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Bill(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    entries: Vec<Entry>,
    refused: bool,
}

/// More calls than any task makes.
const ENTRIES: usize = 1000;

impl Bill {
    pub fn add(&self, entry: Entry) {
        let mut lines = self.lines();
        if lines.entries.len() < ENTRIES {
            lines.entries.push(entry);
        }
    }

    pub fn entries(&self) -> Vec<Entry> {
        self.lines().entries.clone()
    }

    /// Notes that a call was not made because the money did not reach.
    pub fn refuse(&self) {
        self.lines().refused = true;
    }

    /// Whether a call was not made because the money did not reach.
    pub fn was_refused(&self) -> bool {
        self.lines().refused
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn total(&self) -> Total {
        Total::of(&self.entries())
    }
}

/// What calls cost together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    pub calls: u32,
    pub usage: Usage,
    /// Of the calls whose price is known.
    pub micros: u64,
    /// Calls whose price is not known.
    pub unpriced: u32,
}

impl Total {
    pub fn of(entries: &[Entry]) -> Self {
        let mut total = Self::default();
        for entry in entries {
            total.calls += 1;
            total.usage = total.usage.plus(&entry.usage);
            total.micros = total.micros.saturating_add(entry.micros.unwrap_or(0));
            total.unpriced += u32::from(entry.micros.is_none());
        }
        total
    }

    /// In millionths of a US dollar; `None` when a part of it is not known.
    pub fn cost(&self) -> Option<u64> {
        (self.unpriced == 0).then_some(self.micros)
    }
}
