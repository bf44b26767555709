//! The context engine: which code a task needs, under a token budget.
//!
//! Chunks are ranked by BM25 over the parts of identifiers and words, fused with what the graph says about files near
//! the focus and with what the task names outright; then packed as whole pieces, with outlines for breadth. Only files
//! that go into the pack are read. Knows nothing of models, prompts' wording or where texts come from.

mod history;
mod lexical;
mod pack;
mod rank;

pub use history::{Change, History, HistoryBuilder, MOST_FILES};

use crate::graph::Graph;
use crate::path::RelPath;
use crate::prompt::{ContextPack, Focus};
use crate::tree::Tree;
use std::sync::Arc;

/// How far from the active file the context may reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// What the active file is connected to counts for more.
    Narrow,
    #[default]
    Normal,
    /// What the words of the task find counts for more.
    Broad,
}

#[derive(Clone, Debug, Default)]
pub struct Query {
    pub intent: String,
    pub focus: Option<Focus>,
    pub reach: Reach,
    /// The most tokens the pack may hold.
    pub budget: u32,
    /// The repository's past; empty without one.
    pub history: Arc<History>,
    /// Other files that the person has open, sorted.
    pub open: Vec<RelPath>,
    /// What the editor marks as wrong, sorted by path and line.
    pub diagnostics: Vec<Diagnostic>,
}

/// What the editor marks in a file, whoever found it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    pub path: RelPath,
    /// 1-based inclusive.
    pub lines: [u32; 2],
    pub message: String,
}

/// Chooses the pack. Deterministic: same inputs, same bytes; never over the budget, which counts items as
/// they stand in the prompt. The focus file's selection comes before everything else.
pub fn select(query: &Query, graph: &Graph, tree: &dyn Tree) -> ContextPack {
    let ranking = rank::rank(query, graph);
    pack::pack(query, &ranking, tree)
}

#[cfg(test)]
mod tests;
