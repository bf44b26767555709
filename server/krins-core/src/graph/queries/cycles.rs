//! Files that import each other in circles: the strongly connected parts of the module graph, and the shortest circle in
//! each. A circle that only types close, or only `import()`, is told apart: it does no harm when the program starts.

use crate::graph::components::components;
use crate::graph::{FileFacts, Graph, ImportKind};
use crate::path::RelPath;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What closes a circle at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CycleKind {
    /// Imports that run when the program starts.
    Static,
    /// Somewhere it takes an `import()` or another import that runs later.
    Lazy,
    /// Somewhere it takes an import of types alone.
    Types,
}

/// An import on a circle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub from: RelPath,
    pub to: RelPath,
    /// 1-based, in `from`.
    pub line: u32,
    pub kind: CycleKind,
}

/// Files that all reach each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle {
    pub kind: CycleKind,
    /// Sorted.
    pub files: Vec<RelPath>,
    /// The shortest circle; of equals the first by path.
    pub shortest: Vec<Link>,
}

/// Circles of each kind: static ones, then what only lazy imports and then what only types add. Within a kind the largest
/// come first.
pub fn cycles(graph: &Graph) -> Vec<Cycle> {
    let names: Vec<&RelPath> = graph.files().keys().collect();
    let index: BTreeMap<&RelPath, usize> = names.iter().enumerate().map(|(at, path)| (*path, at)).collect();
    let all: Vec<Vec<usize>> = names
        .iter()
        .map(|path| graph.imports(path).iter().filter_map(|target| index.get(target).copied()).collect())
        .collect();
    // Only inside of these a circle of any kind can be; only their files are read.
    let parts = components(&all);
    let mut kinds: BTreeMap<(usize, usize), (CycleKind, u32)> = BTreeMap::new();
    for at in parts.iter().flatten() {
        let Some(facts) = graph.facts(names[*at]) else { continue };
        for (target, kind) in links(graph, names[*at], &facts) {
            if let Some(to) = index.get(target) {
                kinds.insert((*at, *to), kind);
            }
        }
    }
    let mut found = Vec::new();
    let mut known: BTreeSet<Vec<usize>> = BTreeSet::new();
    for kind in [CycleKind::Static, CycleKind::Lazy, CycleKind::Types] {
        let mut edges = vec![Vec::new(); names.len()];
        for ((from, to), _) in kinds.iter().filter(|(_, (of, _))| *of <= kind) {
            edges[*from].push(*to);
        }
        for part in components(&edges) {
            // A part that is no larger than with fewer imports is told already.
            if known.insert(part.clone()) {
                let closes = |from: usize, to: usize| kinds.get(&(from, to)).is_some_and(|(of, _)| *of == kind);
                let circle = shortest(&part, &edges, &closes);
                let link = |(from, to): (usize, usize)| {
                    let (kind, line) = *kinds.get(&(from, to))?;
                    Some(Link { from: names[from].clone(), to: names[to].clone(), line, kind })
                };
                found.push(Cycle {
                    kind,
                    files: part.iter().map(|at| names[*at].clone()).collect(),
                    shortest: pairs(&circle).filter_map(link).collect(),
                });
            }
        }
    }
    found
}

/// Consecutive members of a circle.
fn pairs(circle: &[usize]) -> impl Iterator<Item = (usize, usize)> {
    circle.iter().copied().zip(circle.iter().copied().cycle().skip(1))
}

/// The files that a file imports, how each is imported at the earliest, and where.
fn links<'g>(graph: &'g Graph, path: &RelPath, facts: &FileFacts) -> BTreeMap<&'g RelPath, (CycleKind, u32)> {
    let mut links: BTreeMap<&RelPath, (CycleKind, u32)> = BTreeMap::new();
    for (import, target) in facts.imports.iter().zip(graph.resolved(path)) {
        let Some(target) = target.as_ref().filter(|target| *target != path) else { continue };
        let kind = match import.kind {
            _ if import.type_only => CycleKind::Types,
            ImportKind::Type | ImportKind::Augment => CycleKind::Types,
            ImportKind::Dynamic => CycleKind::Lazy,
            ImportKind::Static | ImportKind::Reexport | ImportKind::Require | ImportKind::Equals => CycleKind::Static,
        };
        let link = links.entry(target).or_insert((kind, import.line));
        if kind < link.0 {
            *link = (kind, import.line);
        }
    }
    links
}

/// At most so many members of a part are tried as the start of its shortest circle.
const TRIED: usize = 512;

/// The shortest circle inside of a part that has a link which `closes` it, from that link's start.
fn shortest(part: &[usize], edges: &[Vec<usize>], closes: &dyn Fn(usize, usize) -> bool) -> Vec<usize> {
    let mut best: Vec<usize> = Vec::new();
    let inside = |to: &usize| part.binary_search(to).is_ok();
    let firsts = part.iter().map(|start| {
        let first: Vec<usize> = edges[*start].iter().copied().filter(|to| inside(to) && closes(*start, *to)).collect();
        (*start, first)
    });
    for (start, first) in firsts.filter(|(_, first)| !first.is_empty()).take(TRIED) {
        let circle = circle_through(start, &first, part, edges, best.len());
        if !circle.is_empty() {
            best = circle;
        }
        if best.len() == 2 {
            break;
        }
    }
    best
}

/// The shortest circle from `start` over one of `first`; empty when it is not shorter than `limit` (0: no limit).
fn circle_through(start: usize, first: &[usize], part: &[usize], edges: &[Vec<usize>], limit: usize) -> Vec<usize> {
    let mut before: BTreeMap<usize, usize> = first.iter().map(|next| (*next, start)).collect();
    let mut queue: VecDeque<(usize, usize)> = first.iter().map(|next| (*next, 2)).collect();
    while let Some((node, length)) = queue.pop_front() {
        if limit > 0 && length >= limit {
            break;
        }
        for next in &edges[node] {
            if *next == start {
                let mut circle = vec![node];
                while let Some(previous) = circle.last().and_then(|at| before.get(at)) {
                    circle.push(*previous);
                }
                circle.reverse();
                return circle;
            }
            if part.binary_search(next).is_ok() && !before.contains_key(next) {
                before.insert(*next, node);
                queue.push_back((*next, length + 1));
            }
        }
    }
    Vec::new()
}
