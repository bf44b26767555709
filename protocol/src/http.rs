//! The HTTP bodies between a sidecar and `krins serve`.

use crate::error::{ErrorKind, ErrorReport};
use crate::lsp::{Usage, Verdict, Why};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One piece of context as it crosses the wire: already redacted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PromptItem {
    /// Relative to the root, with `/`.
    pub path: String,
    /// Hex digest of the whole file the text was taken from.
    pub sha256: String,
    /// 1-based inclusive lines the text stands for.
    pub ranges: Vec<[u32; 2]>,
    /// True when the text is the file's lines as they are; false for an outline.
    pub verbatim: bool,
    pub text: String,
    /// What the sidecar counted.
    #[serde(default)]
    pub tokens: u32,
    /// Why it was chosen.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// What a model is asked, before it is put into a provider's own form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Prompt {
    /// Version of the prompt's wording; part of the cache key.
    pub version: u32,
    pub intent: String,
    pub items: Vec<PromptItem>,
    /// The active file and 1-based inclusive selected lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub focus: Option<(String, Option<[u32; 2]>)>,
}

/// `POST /tasks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewTask {
    pub prompt: Prompt,
    /// A provider the server knows; without one, the server's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    pub max_output_tokens: u32,
    /// Do not answer from the cache.
    #[serde(default)]
    pub fresh: bool,
    /// Which of several answers to the same: each is asked for by itself.
    #[serde(default)]
    pub variant: u32,
    /// The asker's own name for what it belongs to: whatever is asked under one name shares one budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The most that all that is asked under that name may cost, in millionths of a US dollar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micros: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RemoteState {
    Queued,
    Running,
    Done,
    Failed,
    Cancelled,
}

impl RemoteState {
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

/// What a backend answered: the model's own text, in one of the five patch forms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Answer {
    pub text: String,
    pub provider: String,
    pub model: String,
    pub usage: Usage,
    /// What every call for it cost together, in millionths of a US dollar; null when a price is not known.
    #[serde(default)]
    pub cost: Option<u64>,
    pub cached: bool,
    /// Up to three reasons a deterministic provider gives; empty for models.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<Why>,
    /// Why this is not what was asked for: another route answered, or a cheaper model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded: Option<String>,
}

/// `POST /tasks` and `GET /tasks/{id}` body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RemoteTask {
    pub id: String,
    pub state: RemoteState,
    /// The last event's number.
    pub seq: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorReport>,
    /// What its calls to models took so far; of `GET /tasks/{id}` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent: Option<Spent>,
}

/// What calls to models took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Spent {
    pub calls: u64,
    /// Calls whose end is not known; they count for what was reserved.
    pub open: u64,
    pub usage: Usage,
    /// In millionths of a US dollar; null when the price of a call is not known.
    pub cost: Option<u64>,
}

/// `POST /router/select`: who should answer this?
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouterSelect {
    /// The caller's own name for the task.
    pub task: String,
    /// The task in words: its class is read from them.
    pub words: String,
    /// What is left of its money, in millionths of a US dollar, when there is a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micros: Option<u64>,
    /// Tokens of the prompt and of the longest answer.
    #[serde(default)]
    pub prompt: u64,
    #[serde(default)]
    pub output: u64,
    #[serde(default)]
    pub variant: u32,
    /// Routes that are asked already: rather another one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub avoid: Vec<String>,
}

/// What `POST /router/select` answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RouterChoice {
    /// Named by `POST /router/record`.
    pub decision: String,
    /// `provider/model`.
    pub route: String,
    pub policy: String,
    pub class: String,
    /// The chance that the choice had.
    pub propensity: f64,
    /// For people: why.
    pub explanation: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OutcomeSource {
    /// Whether the answer passed the gate, 0 or 1.
    Gate,
    /// Whether the person applied it, 0 or 1.
    Person,
    /// Which part of its hunks the person rejected or wrote anew.
    Edits,
}

/// `POST /router/record`: what came of a choice, or of a task's answer. A later word of the same source replaces the earlier
/// one. An answer is kept for others only after its task's word from the gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RouterRecord {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// The service's own id of the task whose answer it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    pub source: OutcomeSource,
    /// From 0 to 1.
    pub value: f64,
    /// From the gate: what each of its checks said. For the figures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckVerdict>,
}

/// What one check of the gate said of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckVerdict {
    pub check: String,
    pub verdict: Verdict,
}

/// Where an ask is, in the words that whoever asks in the same process has for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum AskStep {
    /// Sent to `provider/model`, nothing back yet.
    Sent { route: String },
    /// Goes on to another route, because the one before is overloaded, say.
    Moved { to: String, from: String, why: String },
    /// Nobody can be asked for so many seconds.
    Waiting { route: String, why: String, seconds: u64 },
    /// The service has too much to do and does less for each task.
    Level { level: String },
}

/// One event of `GET /tasks/{id}/events`; `seq` is the SSE `id`, the variant's name the SSE `event`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum RemoteEvent {
    State {
        seq: u64,
        state: RemoteState,
    },
    /// Characters of answer received so far: progress, not content.
    Progress {
        seq: u64,
        received: u64,
    },
    Step {
        seq: u64,
        step: AskStep,
    },
    /// The last event of a task.
    End {
        seq: u64,
        task: Box<RemoteTask>,
    },
}

impl RemoteEvent {
    pub const fn seq(&self) -> u64 {
        match self {
            Self::State { seq, .. } | Self::Progress { seq, .. } | Self::Step { seq, .. } | Self::End { seq, .. } => {
                *seq
            }
        }
    }

    /// The SSE `event`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::State { .. } => "state",
            Self::Progress { .. } => "progress",
            Self::Step { .. } => "step",
            Self::End { .. } => "end",
        }
    }
}

/// `GET /dead` body, the newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetters {
    pub dead: Vec<DeadLetter>,
}

/// A task that was given up. To whoever waits for it, it has failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetter {
    pub id: String,
    /// Only where the letters of every tenant are listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// For a person.
    pub reason: String,
    /// Runs since it was submitted, or last put back.
    pub runs: u32,
    /// Of these, how many ended with their server.
    pub crashes: u32,
    /// Milliseconds since 1970, by the database's clock.
    pub submitted_ms: i64,
    pub died_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorReport>,
    pub history: Vec<TaskEvent>,
}

/// One thing that happened to a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskEvent {
    pub seq: u64,
    /// Milliseconds since 1970, by the database's clock.
    pub at_ms: i64,
    /// `accepted`, `started`, `retried`, `released`, `crashed`, `requeued`, `done`, `failed`, `dead` or `cancelled`.
    pub what: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// `GET /queue/stats` body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QueueStats {
    pub queued: u64,
    /// Of those, how many wait for their time.
    pub delayed: u64,
    pub running: u64,
    pub dead: u64,
    /// How long the first in line has waited.
    pub oldest_ms: u64,
    /// How many may wait.
    pub limit: u64,
    /// How many this replica runs at a time.
    pub workers: u64,
}

/// `POST /admin/switch`: turns providers off, or on again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SwitchRequest {
    pub to: SwitchTo,
    /// By their names in the service's settings; without any, all of them.
    #[serde(default)]
    pub providers: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SwitchTo {
    Off,
    On,
}

/// `GET /admin/switch` body, and what `POST` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SwitchState {
    /// For every replica: names, or `all`.
    pub off: Vec<String>,
    /// Of this replica's settings and of its machine's switch file; only there can they be taken back.
    pub here: Vec<String>,
    /// Who changed what, the newest first.
    pub changes: Vec<Deed>,
}

/// Something that somebody did to the service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Deed {
    /// Milliseconds since 1970, by the database's clock.
    pub at_ms: i64,
    /// The name of the token that it was done with.
    pub who: String,
    pub what: String,
    pub detail: String,
}

/// `GET /reports/weekly` body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SpendingReport {
    /// The first day, in UTC.
    pub since: String,
    /// Today.
    pub until: String,
    pub total: Spent,
    /// By day, tenant, person and route, the newest first.
    pub rows: Vec<SpendingRow>,
    /// There are more rows than these.
    pub cut: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SpendingRow {
    pub day: String,
    /// Only where every tenant is listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    pub person: String,
    /// `provider/model`.
    pub route: String,
    /// Tasks that the calls were made for.
    pub tasks: u64,
    /// Calls that gave no answer.
    pub failed: u64,
    #[serde(flatten)]
    pub spent: Spent,
}

/// `GET /reports/open` body: calls that were reserved and whose end nobody knows, the oldest first. What is being asked at the
/// moment is among them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpenCalls {
    pub open: Vec<OpenCall>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpenCall {
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    pub person: String,
    pub task: String,
    pub route: String,
    pub started_ms: i64,
    /// What it counts for; null when the price is not known.
    pub reserved: Option<u64>,
    /// `started`, or `unknown` where its server died.
    pub state: String,
}

/// `POST /reports/open/{id}`: what such a call really cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reconcile {
    /// In millionths of a US dollar.
    pub micros: u64,
}

/// `PUT /locks/{path}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LockRequest {
    /// Who others are told of.
    pub holder: String,
    /// The holder's secret, which renews the lock and gives it back.
    pub token: String,
    /// How long without a renewal: 1 s to a day.
    pub ttl_ms: u64,
}

/// A lease on a path of a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lock {
    /// Relative to the root, with `/`.
    pub path: String,
    pub holder: String,
    /// Rises with every lock that is given.
    pub fence: u64,
    /// Until it ends by itself.
    pub left_ms: u64,
}

/// `GET /locks` body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Locks {
    pub locks: Vec<Lock>,
}

/// One event of `GET /locks/events`; the variant's name is the SSE `event`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum LockEvent {
    Locked { lock: Lock },
    Unlocked { path: String },
}

/// `POST /audit`: the next records of a sidecar's audit, in their order. The same again changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditAppend {
    /// Names the log within the tenant.
    pub log: String,
    pub records: Vec<AuditRecord>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditRecord {
    /// The line as it stands in the log, without its end.
    pub record: String,
    /// What it is about. Left out where that stays on the machine it is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<AuditAbout>,
}

/// A payload byte by byte as it was committed to, and its salt in hex.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditAbout {
    pub salt: String,
    pub body: String,
}

/// How far a log is kept: what `POST /audit` and `GET /audit?log=…` answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditHead {
    pub log: String,
    /// The last record's number; 0 of a log that is not known.
    pub records: u64,
    /// Its hash, hex.
    pub head: String,
}

/// `GET /audit?subject=…` body: what is kept about a subject.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditKept {
    pub records: Vec<AuditKeptRecord>,
    /// The `after` of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditKeptRecord {
    pub log: String,
    #[serde(flatten)]
    pub record: AuditRecord,
}

/// `DELETE /audit?subject=…` body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditErased {
    /// Records that keep nothing of it any more; they are still in the chain.
    pub erased: u64,
}

/// `application/problem+json` (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// `about:blank#Kind`.
    #[serde(rename = "type")]
    pub type_: String,
    pub title: String,
    pub status: u16,
    pub detail: String,
    pub kind: ErrorKind,
    pub retryable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The 32 hex digits of the trace, for finding the request in the server's records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    pub status: String,
    pub version: String,
    pub checks: Vec<HealthCheck>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HealthCheck {
    pub name: String,
    pub ok: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}
