//! What a model is asked: the context pack and the words around it.

use crate::digest::Digest;
use crate::path::RelPath;
use serde::Serialize;

/// Rises whenever the wording in [`Prompt::render`] changes, so that no cached answer to other words is used.
pub const PROMPT_VERSION: u32 = 1;

/// A piece of a file in the prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    pub path: RelPath,
    /// Of the whole file.
    pub digest: Digest,
    /// 1-based inclusive lines.
    pub ranges: Vec<[u32; 2]>,
    /// True when `text` is those lines as they are; false for an outline.
    pub verbatim: bool,
    pub text: String,
    pub tokens: u32,
    /// Why it is there.
    pub reason: String,
}

impl Item {
    /// Whether the item is the whole file.
    pub fn is_whole(&self, line_count: u32) -> bool {
        self.verbatim && self.ranges == [[1, line_count]]
    }
}

/// What the context step chose, under a budget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContextPack {
    /// In prompt order, which is stable.
    pub items: Vec<Item>,
    /// Every candidate, best first.
    pub files: Vec<RelPath>,
    /// Candidates of which nothing fitted, best first.
    pub pruned: Vec<RelPath>,
    pub tokens: u32,
}

/// The active file and its selected lines (1-based, inclusive).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Focus {
    pub path: RelPath,
    pub lines: Option<[u32; 2]>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Prompt {
    pub version: u32,
    pub intent: String,
    pub focus: Option<Focus>,
    pub items: Vec<Item>,
}

/// A prompt in words, before a provider's own wire form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    pub system: String,
    pub user: String,
}
