//! The gate's pure checks and its report.

use crate::digest::Digest;
use crate::path::RelPath;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Verdict {
    Pass,
    Warn,
    Block,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// `check/rule`.
    pub rule: String,
    pub verdict: Verdict,
    pub path: RelPath,
    /// 1-based inclusive lines of the patched text.
    pub lines: Option<[u32; 2]>,
    pub message: String,
    pub fix: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckRun {
    pub check: String,
    pub verdict: Verdict,
    pub millis: f64,
}

/// Bound to one patch and one policy: a changed patch has no verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub verdict: Verdict,
    pub patch: Digest,
    pub policy: Digest,
    pub checks: Vec<CheckRun>,
    pub findings: Vec<Finding>,
}
