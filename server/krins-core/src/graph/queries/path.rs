//! How two places hang together: the shortest way from one to the other, and why each step is there.

use super::{Entity, Lookup, Named, SymbolRef};
use crate::graph::{Graph, ReferenceKind};
use crate::path::RelPath;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

/// One step of a way: `from` uses or imports `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Imports {
        from: RelPath,
        to: RelPath,
        /// 1-based, in `from`.
        line: u32,
        specifier: String,
        /// The names that are taken; empty when it runs for its effect.
        names: Vec<String>,
        type_only: bool,
    },
    Uses {
        /// `None` is the file's code outside of declarations.
        from: Option<SymbolRef>,
        /// The file of `from`.
        path: RelPath,
        to: SymbolRef,
        kind: ReferenceKind,
        /// Bytes in `path`.
        range: Range<u32>,
    },
}

/// The shortest way from one place to the other along what uses what; between two files along imports. `None` when there
/// is none in that direction.
pub fn shortest_path(graph: &Graph, from: &Named, to: &Named) -> Option<Vec<Step>> {
    match (from, to) {
        (Named::File(from), Named::File(to)) => by_imports(graph, from, to),
        _ => by_uses(graph, from, to),
    }
}

fn by_imports(graph: &Graph, from: &RelPath, to: &RelPath) -> Option<Vec<Step>> {
    let mut before: BTreeMap<&RelPath, &RelPath> = BTreeMap::new();
    let mut queue = VecDeque::from([from]);
    while let Some(path) = queue.pop_front().filter(|path| *path != to) {
        for next in graph.imports(path) {
            if next != from && !before.contains_key(next) {
                before.insert(next, path);
                queue.push_back(next);
            }
        }
    }
    let mut steps = Vec::new();
    let mut at = to;
    while at != from {
        let previous = *before.get(at)?;
        steps.push(import_step(graph, previous, at)?);
        at = previous;
    }
    steps.reverse();
    Some(steps)
}

/// The first import of `to` in `from` that is not of types alone, else the first.
fn import_step(graph: &Graph, from: &RelPath, to: &RelPath) -> Option<Step> {
    let facts = graph.facts(from)?;
    let pairs = facts.imports.iter().zip(graph.resolved(from));
    let there = pairs.filter(|(_, target)| target.as_ref() == Some(to)).map(|(import, _)| import);
    let import = there.min_by_key(|import| import.type_only)?;
    Some(Step::Imports {
        from: from.clone(),
        to: to.clone(),
        line: import.line,
        specifier: import.specifier.clone(),
        names: import.names.iter().map(|(name, _)| name.clone()).collect(),
        type_only: import.type_only,
    })
}

/// A declaration, or a file's other code.
type Node = (RelPath, Option<usize>);

fn by_uses(graph: &Graph, from: &Named, to: &Named) -> Option<Vec<Step>> {
    let lookup = Lookup::new(graph);
    // Only files from which the goal can be reached at all are looked into.
    let useful = reaching(graph, to.path());
    let goal = |node: &Node| match to {
        Named::File(path) => node.0 == *path,
        Named::Symbol(symbol) => {
            let head = lookup.head(symbol);
            node.0 == head.path && node.1 == Some(head.index)
        }
    };
    let starts = starts(&lookup, from);
    let mut before: BTreeMap<Node, Option<Step>> = starts.iter().map(|node| (node.clone(), None)).collect();
    let mut queue: VecDeque<Node> = starts.into();
    while let Some(node) = queue.pop_front() {
        if goal(&node) {
            return Some(unwind(&before, node));
        }
        for (next, step) in uses_of(&lookup, &node) {
            if useful.contains(&next.0) && !before.contains_key(&next) {
                before.insert(next.clone(), Some(step));
                queue.push_back(next);
            }
        }
    }
    None
}

fn starts(lookup: &Lookup<'_>, from: &Named) -> Vec<Node> {
    match from {
        Named::Symbol(symbol) => {
            let head = lookup.head(symbol);
            vec![(head.path, Some(head.index))]
        }
        Named::File(path) => {
            let symbols = lookup.facts(path).map_or(0, |facts| facts.symbols.len());
            let heads = (0..symbols).map(|index| lookup.head(&SymbolRef { path: path.clone(), index }).index);
            let all: BTreeSet<Option<usize>> = heads.map(Some).chain([None]).collect();
            all.into_iter().map(|index| (path.clone(), index)).collect()
        }
    }
}

/// The file and everything that imports it, at whatever distance.
fn reaching(graph: &Graph, path: &RelPath) -> BTreeSet<RelPath> {
    let mut seen = BTreeSet::from([path.clone()]);
    let mut queue = vec![path];
    while let Some(path) = queue.pop() {
        for importer in graph.importers(path) {
            if seen.insert(importer.clone()) {
                queue.push(importer);
            }
        }
    }
    seen
}

fn uses_of(lookup: &Lookup<'_>, (path, index): &Node) -> Vec<(Node, Step)> {
    let from = index.map(|index| SymbolRef { path: path.clone(), index });
    let mut found = Vec::new();
    for used in lookup.uses(path).iter() {
        let around = used.within.map(|index| lookup.head(&SymbolRef { path: path.clone(), index }).index);
        let Entity::Symbol(to) = &used.target else { continue };
        if around != *index || matches!(used.kind, ReferenceKind::Import) {
            continue;
        }
        let step = Step::Uses {
            from: from.clone(),
            path: path.clone(),
            to: to.clone(),
            kind: used.kind,
            range: used.range.clone(),
        };
        found.push(((to.path.clone(), Some(to.index)), step));
    }
    found
}

fn unwind(before: &BTreeMap<Node, Option<Step>>, goal: Node) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut at = goal;
    while let Some(Some(step)) = before.get(&at) {
        steps.push(step.clone());
        at = match step {
            Step::Uses { from, path, .. } => (path.clone(), from.as_ref().map(|from| from.index)),
            Step::Imports { from, .. } => (from.clone(), None),
        };
    }
    steps.reverse();
    steps
}
