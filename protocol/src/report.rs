//! What came of tasks, what they cost, and how the routes to the models are: the figures of `krins/report`, of `krins report`
//! and of the dashboard.

use crate::http::HealthCheck;
use crate::lsp::RouteStatus;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far back it is looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Period {
    /// The last 24 hours, by the hour.
    Day,
    /// The last 7 days.
    #[default]
    Week,
    /// The last 30 days.
    Month,
}

impl Period {
    pub const ALL: [Self; 3] = [Self::Day, Self::Week, Self::Month];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }
}

/// `krins/report` params.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ReportParams {
    pub period: Period,
    /// A file of the workspace that is meant; without it the first folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
}

/// `krins/dashboard` params.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DashboardParams {
    pub period: Period,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
}

/// `krins/dashboard` result: one document with everything in it, for a webview.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DashboardResult {
    pub html: String,
}

/// `krins/report` result. Amounts of money are millionths of a US dollar, moments are milliseconds since the Unix epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub version: String,
    /// The workspace's name.
    pub workspace: String,
    /// The longest that is not longer; `since` says it exactly.
    pub period: Period,
    /// The beginning of the first bucket, and the moment of the report.
    pub since: u64,
    pub until: u64,
    /// Of the tasks that were assigned in the period.
    pub tasks: TaskFigures,
    /// From a task's assignment until its change passed the gate, waiting and further rounds included.
    pub green: Quantiles,
    /// Of the calls that were made in the period for tasks of this workspace.
    pub spent: Spent,
    pub cache: CacheFigures,
    /// By `provider/model`, the dearest first.
    pub agents: Vec<AgentFigures>,
    /// Why the gate blocked changes, by rule, the most frequent first.
    pub blocks: Vec<Cause>,
    /// Why tasks ended without an answer, by the error's kind.
    pub failures: Vec<Cause>,
    /// Over the last 30 days, whatever the period.
    pub objectives: Vec<Objective>,
    pub routes: RouteFigures,
    /// Oldest first, without a gap.
    pub buckets: Vec<Bucket>,
    /// What is not in these figures, and why: sentences for a person.
    pub notes: Vec<String>,
}

/// What became of tasks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskFigures {
    pub assigned: u64,
    /// Got a change.
    pub answered: u64,
    /// Applied, and not taken back.
    pub accepted: u64,
    /// Discarded, or applied and taken back.
    pub rejected: u64,
    /// The gate lets it through, and nobody has decided yet.
    pub waiting: u64,
    /// The gate blocks it, and nobody has decided yet.
    pub blocked: u64,
    pub failed: u64,
    pub cancelled: u64,
    /// Not ended yet.
    pub running: u64,
    /// `accepted` of what was decided; `null` before anything was.
    pub accepted_share: Option<f64>,
}

/// Durations in milliseconds; `null` where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Quantiles {
    pub count: u64,
    pub p50: Option<u64>,
    pub p95: Option<u64>,
}

/// What calls to models took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Spent {
    pub calls: u64,
    /// Tasks that a call was made for.
    pub tasks: u64,
    /// Reserved, and nobody said what became of them; they count for what was reserved.
    pub open: u64,
    pub tokens: Tokens,
    /// A part of the tokens was counted on this machine.
    pub estimated: bool,
    /// `null` when the price of a call is not known.
    pub micros: Option<u64>,
    /// Of the calls whose price is known.
    pub known_micros: u64,
    /// Calls whose price is not known.
    pub unpriced: u64,
    /// For each task that got a change.
    pub tokens_per_patch: Option<u64>,
    pub micros_per_patch: Option<u64>,
    pub micros_per_accepted: Option<u64>,
    /// What calls in the same period for other workspaces took, where the same ledger says so.
    pub elsewhere_micros: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tokens {
    pub input: u64,
    pub output: u64,
    /// Beside `input`: read from, and written to, the provider's own cache.
    pub cache_read: u64,
    pub cache_write: u64,
}

impl Tokens {
    pub const fn sent(&self) -> u64 {
        self.input + self.cache_read + self.cache_write
    }

    pub const fn all(&self) -> u64 {
        self.sent() + self.output
    }
}

/// What did not have to be asked or read again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CacheFigures {
    /// Tasks whose answer Krins had kept, of all that a model answered.
    pub hits: u64,
    pub answers: u64,
    pub share: Option<f64>,
    /// Of the tokens that were sent, those that a provider read from its own cache.
    pub prompt_share: Option<f64>,
}

/// One `provider/model`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentFigures {
    pub route: String,
    pub calls: u64,
    /// Without an answer.
    pub failed: u64,
    pub tokens: Tokens,
    /// `null` when the price of a call is not known.
    pub micros: Option<u64>,
    /// Tasks whose change it made.
    pub patches: u64,
    pub accepted: u64,
    pub tokens_per_patch: Option<u64>,
    pub micros_per_patch: Option<u64>,
    pub green: Quantiles,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    pub name: String,
    /// Tasks, each once.
    pub tasks: u64,
}

/// What is promised, and whether it was kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Objective {
    pub name: String,
    pub description: String,
    /// Percent of the events that have to be good.
    pub objective: f64,
    pub good: u64,
    pub total: u64,
    /// Percent; `null` before there was an event.
    pub reached: Option<f64>,
    /// The share of the bad events which the objective allows that has not happened yet; below 0 it is missed.
    pub budget_left: Option<f64>,
}

/// How the ways to the models are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteFigures {
    pub routes: Vec<RouteStatus>,
    /// When a process looked; `null` where nobody asked a model yet.
    pub at: Option<u64>,
    /// What is left out because there is too much to do: `normal` is nothing.
    pub level: String,
    /// Providers that the kill switch keeps from being asked, or `all`.
    pub switched_off: Vec<String>,
    /// What a remote backend says of itself.
    pub remote: Vec<HealthCheck>,
}

/// An hour or a day, in UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Bucket {
    pub start: u64,
    pub assigned: u64,
    pub accepted: u64,
    pub rejected: u64,
    /// Waiting, blocked or running.
    pub open: u64,
    /// Failed or cancelled.
    pub unanswered: u64,
    pub green: Quantiles,
    pub tokens: Tokens,
    /// Of the calls whose price is known.
    pub micros: u64,
}
