//! The custom LSP requests, client to server, and the one notification back.
//!
//! Every request `krins/x` has a command `krins.x` that takes the same object, or `null`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A zero-based position; `character` counts units of the negotiated position encoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Position {
    pub line: u32,
    pub character: u32,
}

/// A half-open range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Range {
    pub start: Position,
    pub end: Position,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TextDocument {
    pub uri: String,
}

/// How far from the active file the context may reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    Narrow,
    #[default]
    Normal,
    Broad,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    #[default]
    Patch,
    Spec,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Budget {
    /// The most tokens of context that may be sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u32>,
    /// The most money the task may cost, in millionths of a US dollar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micros: Option<u64>,
}

/// W3C trace context carried in a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Meta {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
}

/// `krins/assign`: since 1.0. Answers at once with [`Assigned`]; the work goes on behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AssignParams {
    /// What to change, in words.
    pub intent: String,
    /// The file the person is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_document: Option<TextDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<Range>,
    #[serde(default)]
    pub scope: Scope,
    #[serde(default)]
    pub mode: Mode,
    /// How many variants to ask for, 1..=5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variants: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// A client-chosen task id, which is the idempotency key: the same id twice is one task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// An LSP progress token (string or integer).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_done_token: Option<serde_json::Value>,
    /// The most milliseconds to wait for files that are not read yet; without it 80 for `krins/context`, 1,500 for a task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<u32>,
    #[serde(default, rename = "_meta", skip_serializing_if = "Option::is_none")]
    pub meta: Option<Meta>,
}

/// `queued → context → asking → gating → ready | blocked | failed | cancelled → applied → undone`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TaskState {
    Queued,
    Context,
    Asking,
    Gating,
    Ready,
    Blocked,
    Failed,
    Cancelled,
    Discarded,
    Applied,
    Undone,
}

impl TaskState {
    /// Whether the pipeline is still at work on the task.
    pub const fn is_running(self) -> bool {
        matches!(self, Self::Queued | Self::Context | Self::Asking | Self::Gating)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Assigned {
    pub task: String,
    pub state: TaskState,
    /// True when the id was known already and no new work was started.
    pub deduplicated: bool,
}

/// Names a task: `krins/task`, `krins/cancel`, `krins/discard`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskParams {
    /// The task's id; without one, the newest task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
}

/// Tokens a model call used. Input counts are disjoint: uncached, read from the provider's cache, written to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    pub input_tokens: u64,
    pub output_tokens: u64,
    #[serde(default)]
    pub cache_read_tokens: u64,
    #[serde(default)]
    pub cache_write_tokens: u64,
    /// Of those written, the ones that stay for an hour or more.
    #[serde(default)]
    pub cache_write_long_tokens: u64,
    /// True when the provider sent no figures and they were estimated.
    #[serde(default)]
    pub estimated: bool,
}

/// `krins/task` result and the params of `krins/task/didChange`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskStatus {
    pub task: String,
    pub state: TaskState,
    /// Strictly rising per task.
    pub seq: u64,
    pub intent: String,
    /// What is being done now, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateReport>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// What every call for it cost, in millionths of a US dollar; null while that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<u64>,
    /// Every answer, where several were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<VariantStatus>,
    /// How it was chosen who answers, a sentence a variant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// What was asked again because of what the gate found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rounds: Vec<FixRound>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<crate::error::ErrorReport>,
}

/// One of several answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VariantStatus {
    pub variant: u32,
    /// Whether it is the one that the task shows.
    pub shown: bool,
    /// `provider/model`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The gate's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// `krins/variant` params: show another of a task's answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VariantParams {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    pub variant: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Pass,
    Warn,
    Block,
}

/// One thing a gate check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// A stable rule id such as `syntax/new-error` or `secrets/aws-access-key`.
    pub rule: String,
    pub verdict: Verdict,
    /// Relative to the root, with `/`.
    pub path: String,
    /// 1-based inclusive lines of the patched text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<[u32; 2]>,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CheckRun {
    pub check: String,
    pub verdict: Verdict,
    pub millis: f64,
}

/// Where one check of a gate that is at work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CheckState {
    Running,
    Passed,
    Warned,
    Blocked,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CheckStatus {
    pub check: String,
    pub state: CheckState,
    /// Of one that has ended.
    pub millis: f64,
}

/// `krins/gateStatus` (notification): where each check is, in the order of the gate, as it happens. The last word on a
/// task's change is the report in its status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateStatus {
    pub task: String,
    /// As in `krins/task/didChange`.
    pub seq: u64,
    pub checks: Vec<CheckStatus>,
}

/// A command that the gate ran.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommandRun {
    pub check: String,
    pub command: String,
    /// How it ended, for a person.
    pub end: String,
    /// How much of the sandbox held: `full`, `partial` or `none`.
    pub sandbox: String,
    pub held: Vec<String>,
    pub missing: Vec<String>,
    /// What held it: `bwrap`, `landlock 6`, `seccomp`.
    pub by: Vec<String>,
    pub millis: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// An answer that was judged, and asked again for what the gate found; 0 is the first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FixRound {
    pub number: u32,
    /// sha256 of the patch, hex.
    pub patch: String,
    pub verdict: Verdict,
    /// Findings that block, and their rules.
    pub blocking: u32,
    pub rules: Vec<String>,
    /// What was sent back for this answer: the ids of the findings, as they are the fingerprints in SARIF.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sent: Vec<String>,
    pub route: String,
    /// Why no other was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

/// `krins/fix` params.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FixParams {
    /// A task that the gate blocks; without one, the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The most rounds, 1..=10; without it, what the settings say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounds: Option<u32>,
}

/// `krins/preview` result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PreviewResult {
    /// What `krins/promote` would call it now. There is no such branch before.
    pub branch: String,
    /// The directory that holds the change, not committed: where the root lies in a worktree of its own.
    pub worktree: String,
    /// Where it can be looked at in a browser.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// `krins/promote` result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PromoteResult {
    pub branch: String,
    pub commit: String,
    /// The preview's worktree, where it stays: what was changed in it is not in the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
}

/// The gate's verdict on one patch under one policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GateReport {
    pub verdict: Verdict,
    /// sha256 of the canonical patch the report is about, hex.
    pub patch: String,
    /// sha256 of the policy it was judged by, hex.
    pub policy: String,
    pub checks: Vec<CheckRun>,
    pub findings: Vec<Finding>,
    /// Found, and kept out of the verdict by somebody's word.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waived: Vec<Waived>,
    /// What was run for it: commands, with what the sandbox held.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<CommandRun>,
}

/// A finding that a waiver keeps out of the verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Waived {
    pub finding: Finding,
    pub reason: String,
    /// The last day, `2027-01-31`.
    pub expires: String,
}

/// `krins/gate` params: a task's diff, or a patch, judged as the files are now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GateParams {
    /// Without it and without a patch, the newest task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// A unified diff, or any other form of patch that is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<String>,
    /// A file of the workspace that the patch is for; without it, the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_document: Option<TextDocument>,
    /// The answer has the report as SARIF 2.1.0 too.
    #[serde(default)]
    pub sarif: bool,
}

/// `krins/gate` result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateResult {
    #[serde(flatten)]
    pub report: GateReport,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sarif: Option<serde_json::Value>,
}

/// `krins/diff` params.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DiffParams {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Wait until the task stops running.
    #[serde(default)]
    pub wait: bool,
    #[serde(default, rename = "_meta", skip_serializing_if = "Option::is_none")]
    pub meta: Option<Meta>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BaseFile {
    pub uri: String,
    /// The open document's version; null for a file read from disk.
    pub version: Option<i32>,
    /// Hex; null for a file that does not exist yet.
    pub sha256: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    Create,
    Modify,
    Delete,
    Rename,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HunkVerdict {
    #[default]
    Open,
    Accept,
    Reject,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hunk {
    /// Stable within the task: `h1`, `h2`, … in patch order.
    pub id: String,
    /// Where the hunk is in the base text.
    pub range: Range,
    /// The `@@ … @@` line.
    pub header: String,
    /// The body, each with its ` `, `+` or `-` mark, without line ends.
    pub lines: Vec<String>,
    pub verdict: HunkVerdict,
    /// True when the new lines are a person's, in place of the answer's.
    #[serde(default)]
    pub edited: bool,
}

/// How one hunk of the answer found its place. The answer's hunks need not be those of the diff.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Placed {
    /// The rung of the matching ladder: `exact`, `trailing-space`, ….
    pub level: String,
    /// What was mended on the way in, such as `wrong line counts`.
    pub repairs: Vec<String>,
    /// 1-based line in the base.
    pub line: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileDiff {
    pub uri: String,
    pub kind: FileKind,
    /// Where a renamed file was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    pub hunks: Vec<Hunk>,
    /// By hunk of the answer; none for what was made without a model's text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub placed: Vec<Placed>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Why {
    pub reason: String,
    /// `path:line` places the reason rests on.
    pub lines: Vec<String>,
}

/// `krins/diff` result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DiffResult {
    pub task: String,
    pub state: TaskState,
    pub base: Vec<BaseFile>,
    /// The canonical unified diff.
    pub patch: String,
    pub files: Vec<FileDiff>,
    pub gate: GateReport,
    /// At most three.
    pub why: Vec<Why>,
    pub usage: Usage,
    /// Millionths of a US dollar; null when the model's price is not known.
    pub cost: Option<u64>,
    /// `provider/model`.
    pub model: String,
    /// True when the answer came from the cache, without a model call.
    pub cached: bool,
    /// Why this is not what was asked for: another route answered, or a cheaper model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded: Option<String>,
    /// The task's `traceparent`.
    pub trace: Option<String>,
    /// What the answer was made from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sent: Vec<SentFile>,
    /// Files that were considered and not sent, best first, at most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pruned: Vec<String>,
    /// Of an applied task, the hunks that no apply has brought.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SentFile {
    pub uri: String,
    pub tokens: u32,
}

/// `krins/tasks` params.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TasksParams {
    /// The most tasks, 1..=500; without it 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// `krins/tasks` result: those of every workspace of the connection, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TasksResult {
    pub tasks: Vec<TaskEntry>,
}

/// A task in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskEntry {
    pub task: String,
    pub intent: String,
    pub state: TaskState,
    /// Milliseconds since the Unix epoch.
    pub created: u64,
    /// How many files its diff is about.
    pub files: u32,
    /// How many hunks of it no apply has brought, where it is applied.
    #[serde(default)]
    pub left: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// `provider/model`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Millionths of a US dollar; null while that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<u64>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What `krins/undo` takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<String>,
    /// The last that the audit has of it, among its last records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditLine>,
}

/// A record of the audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditLine {
    pub seq: u64,
    /// `task.gated`.
    pub kind: String,
    /// Hex.
    pub hash: String,
}

/// `krins/waive` params.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WaiveParams {
    /// The task whose finding it is; without one, the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The rule, or a check for all of its rules.
    pub rule: String,
    /// A path or pattern.
    pub path: String,
    pub reason: String,
    /// The last day on which it counts, `2027-01-31`.
    pub expires: String,
    /// Only while the lines that were found read as they do.
    #[serde(default)]
    pub exact: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnConflict {
    #[default]
    Refuse,
    Markers,
}

/// `krins/apply` params.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplyParams {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Only these hunks; without it every hunk that was not rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hunks: Option<Vec<String>>,
    #[serde(default)]
    pub on_conflict: OnConflict,
    #[serde(default)]
    pub dry_run: bool,
    #[serde(default, rename = "_meta", skip_serializing_if = "Option::is_none")]
    pub meta: Option<Meta>,
}

/// `krins/undo` and `krins/redo` params.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UndoParams {
    /// An undo id, or a task id; without one, the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<String>,
    /// Only for `krins/undo`: only these hunks of the task that `undo` names, or of the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hunks: Option<Vec<String>>,
    #[serde(default)]
    pub dry_run: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Route {
    Buffer,
    Disk,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AppliedFile {
    pub uri: String,
    pub route: Route,
    /// Of the file or buffer as it is now, read back; null when it was deleted.
    pub sha256: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConflictReport {
    pub uri: String,
    /// In the text as it is now.
    pub range: Range,
    /// The hunks of the task that are in the way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hunks: Vec<String>,
    pub ours: String,
    pub theirs: String,
    pub base: String,
}

/// `krins/apply`, `krins/undo` and `krins/redo` result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplyResult {
    pub applied: Vec<AppliedFile>,
    pub conflicts: Vec<ConflictReport>,
    /// Buffers that hold the change but are not saved.
    pub unsaved: Vec<String>,
    /// Files that somebody else changed between the plan and the write; they were not touched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_alone: Vec<LeftAlone>,
    /// Applied, with something left to clean up that the next start ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<String>,
    /// What `krins/undo` takes; null when nothing was applied.
    pub undo: Option<String>,
}

/// A file that an apply left as it found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeftAlone {
    pub uri: String,
    /// Where the content is kept that it would have got.
    pub kept: Option<String>,
}

/// `krins/review` params.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReviewParams {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    pub hunk: String,
    pub verdict: ReviewVerdict,
    /// Only with `edit`: what shall stand where the hunk's new lines stand, context lines included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// What a person says of one hunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReviewVerdict {
    /// Takes back what was said of it, an edit too.
    Open,
    Accept,
    Reject,
    /// Accepts it with the person's own text.
    Edit,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StateResult {
    pub task: String,
    pub state: TaskState,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContextItem {
    pub uri: String,
    /// 1-based inclusive lines that are sent.
    pub ranges: Vec<[u32; 2]>,
    pub reason: String,
    pub tokens: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Estimate {
    /// Millionths of a US dollar; null when the model's price is not known.
    pub micros: Option<u64>,
}

/// How far the reading is while not every file is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Partial {
    /// Files of code that are read.
    pub read: u32,
    /// Files of code that there are.
    pub total: u32,
}

/// `krins/context` result: what would be sent, without sending.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContextResult {
    pub items: Vec<ContextItem>,
    /// Candidates that did not fit, best first.
    pub pruned: Vec<String>,
    pub tokens: u32,
    pub estimate: Estimate,
    /// There while not everything is read: chosen from what is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<Partial>,
}

/// `krins/status` result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusResult {
    pub version: String,
    pub provider: String,
    pub model: String,
    pub running: u32,
    pub cache_hits: u64,
    pub cache_misses: u64,
    pub index: IndexStatus,
    /// The routes that were asked, and how they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteStatus>,
    /// What is left out because there is too much to do: `normal`, `cheaper-model`, `one-variant`, `judge-off`, `cache-only`.
    #[serde(default)]
    pub level: String,
    /// Providers that the kill switch keeps from being asked, or `all`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub switched_off: Vec<String>,
    /// What calls cost today (UTC), where that is known in this process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent: Option<BudgetUse>,
    /// What was counted since the sidecar started.
    #[serde(default)]
    pub figures: Figures,
}

/// Millionths of a US dollar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BudgetUse {
    /// Charged, and reserved by calls that are not over.
    pub today: u64,
    /// The most of a day, where there is a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_day: Option<u64>,
    /// The most of a task, where there is a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_task: Option<u64>,
}

/// What a sidecar counted since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Calls to models by how they ended: `ok`, and words of what failed.
    pub calls: Vec<CallCount>,
    /// Calls that repeated one to the same route.
    pub repeats: u64,
    /// Asks that another route answered.
    pub detours: u64,
    /// Half of the answers, and 95 of 100, had begun within so many milliseconds; absent while nobody answered, and when it
    /// took longer than a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_words_p50_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_words_p95_ms: Option<u64>,
    /// What calls cost, in millionths of a US dollar, and how many of them have no known price.
    pub cost: u64,
    pub unpriced: u64,
    /// Calls that a budget did not allow.
    pub budget_stops: u64,
    /// Answers that the gate judged, by check.
    pub gate: Vec<CheckCount>,
}

/// Calls over one route that ended in one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CallCount {
    /// `provider/model`.
    pub route: String,
    pub outcome: String,
    pub count: u64,
}

/// What one check of the gate said, how often.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckCount {
    pub check: String,
    pub pass: u64,
    pub warn: u64,
    pub block: u64,
}

/// How one way to a model is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouteStatus {
    /// `provider/model`.
    pub route: String,
    /// `closed` (well), `resting` (its provider asked for it), `open` (it failed too often), `half-open` (one call tries it) or `disabled`
    /// (a person has to do something).
    pub state: String,
    /// What the provider did: "is overloaded".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Until it is asked again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

/// `krins/audit/verify` result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditResult {
    /// Nothing was changed, removed, moved or cut off.
    pub sound: bool,
    pub records: u64,
    pub checkpoints: u64,
    /// Records that a checkpoint speaks for.
    pub covered: u64,
    /// Records whose payload is kept, and records whose payload was erased.
    pub kept: u64,
    pub erased: u64,
    /// Bytes that a killed process left of a record.
    pub torn: u64,
    /// One more for each signing key that was lost.
    pub epochs: u64,
    /// The verifier key of now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    pub findings: Vec<AuditFinding>,
}

/// Something in the audit that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditFinding {
    /// Below the audit's directory.
    pub file: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    pub what: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IndexStatus {
    pub files: u32,
    pub symbols: u32,
    /// Everything was read once; what changes since is read when it is needed.
    pub ready: bool,
    /// Nothing is read in the background.
    pub paused: bool,
    /// What is being read now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading: Option<Partial>,
}

/// `krins/lock` params.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LockParams {
    /// The file; it need not be there yet.
    pub uri: String,
    /// Seconds until it ends, unless it is taken again; 3,600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u64>,
    /// Who others are told of; without it the person and the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
}

/// `krins/unlock` params.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnlockParams {
    pub uri: String,
    /// The name that it was taken under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// Whoever holds it.
    #[serde(default)]
    pub force: bool,
}

/// `krins/locks` params.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LocksParams {
    /// A file of the workspace that is meant; without one, the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
}

/// `krins/lock` result: a lease on a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileLock {
    pub uri: String,
    pub holder: String,
    /// Whether the holder is who asks.
    pub mine: bool,
    /// Rises with every lock that is given.
    pub fence: u64,
    /// Until it ends by itself.
    pub left_ms: u64,
}

/// `krins/locks` and `krins/unlock` result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LocksResult {
    /// By path.
    pub locks: Vec<FileLock>,
}

/// `krins/graph/pause` and `krins/graph/resume` params.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IndexParams {
    /// A file of the workspace that is meant; without one, every workspace of the connection, also those that open later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
}

/// `krins/graph/pause` and `krins/graph/resume` result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IndexResult {
    /// One for each workspace that was meant.
    pub index: Vec<IndexStatus>,
}
