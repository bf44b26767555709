//! The `--json` documents of the command line.

use crate::error::ErrorReport;
use crate::lsp::{Estimate, FileKind, Finding, Partial};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `krins context --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Context {
    pub items: Vec<ContextItem>,
    /// Every candidate path, best first.
    pub files: Vec<String>,
    pub pruned: Vec<String>,
    pub tokens: u32,
    pub estimate: Estimate,
    /// There while not everything is read, which only `--patience` allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<Partial>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContextItem {
    pub path: String,
    /// 1-based inclusive lines.
    pub ranges: Vec<[u32; 2]>,
    /// Set when the item is rendered (signatures, outline) and not the lines as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    pub tokens: u32,
    pub reason: String,
}

/// One line of `krins context --batch`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContextQuery {
    pub intent: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PatchOutcome {
    Applied,
    Noop,
    Conflict,
    Refused,
}

impl PatchOutcome {
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Applied | Self::Noop => 0,
            Self::Conflict => 1,
            Self::Refused => 2,
        }
    }
}

/// `krins patch apply --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PatchReport {
    pub outcome: PatchOutcome,
    pub files: Vec<PatchFile>,
    pub conflicts: Vec<PatchConflict>,
    pub refusals: Vec<Refusal>,
    /// Paths of files that somebody else changed at that moment; they were not touched.
    #[serde(default)]
    pub left_alone: Vec<String>,
    /// Applied, clean-up pending: what the next start ends.
    #[serde(default)]
    pub pending: Option<String>,
    /// What is worth a second look, such as a change of what runs elsewhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    pub undo: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PatchFile {
    pub path: String,
    pub kind: FileKind,
    pub sha256_before: Option<String>,
    pub sha256_after: Option<String>,
    pub hunks: Vec<PatchHunk>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PatchHunk {
    /// The rung of the matching ladder that placed the hunk: `exact`, `trailing-space`, ….
    pub level: String,
    /// What was mended on the way in, such as `counts` or `line-ends`.
    pub repairs: Vec<String>,
    /// 1-based line in the base.
    pub line: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PatchConflict {
    pub path: String,
    /// 1-based inclusive lines of the current text.
    pub lines: [u32; 2],
    pub base: String,
    pub ours: String,
    pub theirs: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    pub path: String,
    /// 1-based number of the hunk in its file; null when the whole file or patch is refused.
    pub hunk: Option<u32>,
    pub why: String,
    /// 1-based lines where the hunk could have gone.
    pub candidates: Vec<u32>,
}

/// `krins sbom check --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SbomReport {
    pub valid: bool,
    pub faults: Vec<SbomFault>,
}

/// What is wrong with a list of packages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SbomFault {
    /// `schema`, `wrong`, or `incomplete` (valid, and of little use).
    pub kind: String,
    /// JSON pointer.
    pub place: String,
    pub what: String,
}

/// Any command's `--json` answer when it fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    pub error: ErrorReport,
}
