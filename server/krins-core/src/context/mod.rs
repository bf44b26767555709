//! The context engine: which code a task needs, under a token budget.
//!
//! Chunks are ranked by BM25 over the parts of identifiers and words, fused with what the graph says about files near
//! the focus and with what the task names outright; then packed as whole pieces, with outlines for breadth. Only files
//! that go into the pack are read. Knows nothing of models, prompts' wording or where texts come from.

mod lexical;
mod pack;
mod rank;

use crate::graph::Graph;
use crate::prompt::{ContextPack, Focus};
use crate::tree::Tree;

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
}

/// Chooses the pack. Deterministic: same inputs, same bytes; never over the budget, which counts items as
/// they stand in the prompt. The focus file's selection comes before everything else.
pub fn select(query: &Query, graph: &Graph, tree: &dyn Tree) -> ContextPack {
    let ranking = rank::rank(query, graph);
    pack::pack(query, &ranking, tree)
}

#[cfg(test)]
mod tests;
