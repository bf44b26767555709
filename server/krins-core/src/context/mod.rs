//! The context engine: which code a task needs, under a token budget.
//!
//! The task's words, what they lead to and the graph choose candidates; two models, trained on the commits of other
//! repositories, say how likely it is that a file is changed and which share of the change a chunk holds; the packing takes what
//! adds most per token: whole pieces for depth, outlines for breadth. Only files that go into the pack are read. Knows
//! nothing of language models, prompts' wording or where texts come from.

mod corpus;
mod evidence;
mod expand;
mod files;
mod history;
mod lexical;
mod maths;
mod model;
mod near;
mod observe;
mod pack;
mod rank;
pub mod rules;
mod signals;

pub use history::{Change, History, HistoryBuilder, MOST_FILES};
pub use model::Tuning;
pub use rank::Observation;

pub use rules::RuleFile;

use crate::graph::Graph;
use crate::path::RelPath;
use crate::prompt::{ContextPack, Focus};
use crate::tokens::Vocabulary;
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
    /// What the person points at, the active file or not: something of each file is in as far as the budget goes.
    pub pinned: Vec<Focus>,
    pub reach: Reach,
    /// The most tokens the pack may hold.
    pub budget: u32,
    /// By which tokens are counted.
    pub vocabulary: Vocabulary,
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
/// they stand in the prompt. The focus file's selection comes before everything else,
/// then what is pinned.
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
    let tuning = Tuning::carried();
    let ranking = rank::rank(query, graph, tuning);
    let pack = pack::pack(query, &ranking, tree, tuning.breadth);
    let chosen: Vec<RelPath> = pack.items.iter().map(|item| item.path.clone()).collect();
    let rules = rules::select(query, &chosen, &rules_for(&chosen));
    if rules.is_empty() {
        return pack;
    }
    let cost: u32 = rules.iter().map(|item| item.tokens).sum();
    let rest = Query { budget: query.budget.saturating_sub(cost), ..query.clone() };
    let mut pack = pack::pack(&rest, &ranking, tree, tuning.breadth);
    pack.tokens += cost;
    pack.items.extend(rules);
    pack
}

/// As [`select`], with other models: for those who train them.
pub fn select_tuned(query: &Query, graph: &Graph, tree: &dyn Tree, tuning: &Tuning) -> ContextPack {
    let ranking = rank::rank(query, graph, tuning);
    pack::pack(query, &ranking, tree, tuning.breadth)
}

#[cfg(test)]
mod tests;
