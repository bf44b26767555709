//! The HTTP bodies between a sidecar and `krins serve`.

use crate::error::{ErrorKind, ErrorReport};
use crate::lsp::{Usage, Why};
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
    /// The last event of a task.
    End {
        seq: u64,
        task: Box<RemoteTask>,
    },
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
