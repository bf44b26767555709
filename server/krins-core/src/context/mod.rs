//! The context engine: which code a task needs, under a token budget.
//!
//! Chunks are ranked by BM25 over the parts of identifiers and words, fused with what the graph says about files near
//! the focus and with what the task names outright; then packed as whole pieces, with outlines for breadth. Only files
//! that go into the pack are read. Knows nothing of models, prompts' wording or where texts come from.

mod history;
mod lexical;
mod pack;
mod rank;
pub mod rules;

pub use history::{Change, History, HistoryBuilder, MOST_FILES};

pub use rules::RuleFile;

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
    select_with_rules(query, graph, tree, |_| Vec::new())
}

/// The same, with what `rules_for` finds for the chosen files (best first): after the code, within the budget.
pub fn select_with_rules(
    query: &Query,
    graph: &Graph,
    tree: &dyn Tree,
    rules_for: impl FnOnce(&[RelPath]) -> Vec<RuleFile>,
) -> ContextPack {
    let ranking = rank::rank(query, graph);
    let pack = pack::pack(query, &ranking, tree);
    let chosen: Vec<RelPath> = pack.items.iter().map(|item| item.path.clone()).collect();
    let rules = rules::select(&query.intent, &chosen, &rules_for(&chosen), query.budget);
    if rules.is_empty() {
        return pack;
    }
    let cost: u32 = rules.iter().map(|item| item.tokens).sum();
    let rest = Query { budget: query.budget.saturating_sub(cost), ..query.clone() };
    let mut pack = pack::pack(&rest, &ranking, tree);
    pack.tokens += cost;
    pack.items.extend(rules);
    pack
}

#[cfg(test)]
mod tests;
