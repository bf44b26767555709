//! The context engine: which code a task needs, under a token budget.

use crate::graph::Graph;
use crate::prompt::{ContextPack, Focus};
use crate::tree::Tree;

/// How far from the active file the context may reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    Narrow,
    #[default]
    Normal,
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

/// Chooses the pack. Deterministic: same inputs, same bytes; never over the budget.
pub fn select(query: &Query, graph: &Graph, tree: &dyn Tree) -> ContextPack {
    let _ = (query, graph, tree);
    ContextPack::default()
}
