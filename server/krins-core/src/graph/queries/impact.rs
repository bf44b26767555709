//! What a change reaches: symbols, files and tests, the nearest and heaviest first.
//!
//! By symbol: what changed reaches the declarations that use it, those reach the declarations that use them. What nobody
//! else uses stays in its file. A file that merely imports the module is not reached.

use super::{Entity, Lookup, SymbolRef, Use, is_test};
use crate::graph::{Graph, ImportKind, ReferenceKind};
use crate::path::RelPath;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// What was changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    Symbol(SymbolRef),
    /// All that a file declares.
    File(RelPath),
    /// Statements of a file that declare nothing.
    TopLevel(RelPath),
}

/// A declaration that a change reaches.
#[derive(Clone, Debug, PartialEq)]
pub struct Affected {
    /// The declaration; `None` is a file's code outside of declarations.
    pub symbol: Option<SymbolRef>,
    pub path: RelPath,
    /// Steps from what changed, which is at 0.
    pub distance: u32,
    /// How much the change is felt, 0 to 1.
    pub weight: f64,
    /// Uses of nearer declarations in it.
    pub uses: u32,
    /// The heaviest of them: what is used, where and how. `None` for what changed itself.
    pub because: Option<(SymbolRef, ReferenceKind, Range<u32>)>,
}

/// A file that a change reaches.
#[derive(Clone, Debug, PartialEq)]
pub struct AffectedFile {
    pub path: RelPath,
    pub distance: u32,
    /// Of its heaviest declaration.
    pub weight: f64,
    pub uses: u32,
    /// Indices in [`Impact::symbols`], the heaviest first.
    pub symbols: Vec<usize>,
}

/// The answer. Everything is ordered by distance, then weight, then path.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Impact {
    /// What changed, then what it reaches.
    pub symbols: Vec<Affected>,
    /// Reached files that are not tests; those that changed themselves are left out.
    pub files: Vec<AffectedFile>,
    pub tests: Vec<AffectedFile>,
    /// More would be reached past the distance that was asked for.
    pub more: bool,
}

/// What one step takes off.
const STEP: f64 = 0.5;

/// Where something is felt: a declaration at the top level, or a file's other code.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Node {
    Symbol(SymbolRef),
    Top(RelPath),
}

impl Node {
    fn path(&self) -> &RelPath {
        match self {
            Self::Symbol(symbol) => &symbol.path,
            Self::Top(path) => path,
        }
    }
}

struct Felt {
    distance: u32,
    weight: f64,
    uses: u32,
    because: Option<(SymbolRef, ReferenceKind, Range<u32>)>,
    /// The weight that came with `because`.
    heaviest: f64,
}

/// What the changes reach in at most `depth` steps.
pub fn impact(graph: &Graph, changes: &[Change], depth: u32) -> Impact {
    let lookup = Lookup::new(graph);
    let mut felt: BTreeMap<Node, Felt> = BTreeMap::new();
    for node in changed_nodes(&lookup, changes) {
        felt.insert(node, Felt { distance: 0, weight: 1.0, uses: 0, because: None, heaviest: 0.0 });
    }
    let mut front: Vec<Node> = felt.keys().cloned().collect();
    let mut more = false;
    for distance in 1..=depth.saturating_add(1) {
        let mut next: BTreeMap<Node, Felt> = BTreeMap::new();
        for node in &front {
            let weight = felt.get(node).map_or(0.0, |felt| felt.weight);
            spread(&lookup, node, weight, distance, &felt, &mut next);
        }
        if distance > depth {
            more = !next.is_empty();
            break;
        }
        front = next.keys().cloned().collect();
        felt.append(&mut next);
        if front.is_empty() {
            break;
        }
    }
    summarise(felt, changes, more)
}

fn changed_nodes(lookup: &Lookup<'_>, changes: &[Change]) -> BTreeSet<Node> {
    let mut nodes = BTreeSet::new();
    for change in changes {
        match change {
            Change::Symbol(symbol) => {
                nodes.insert(Node::Symbol(lookup.head(symbol)));
            }
            Change::TopLevel(path) => {
                nodes.insert(Node::Top(path.clone()));
            }
            Change::File(path) => {
                let facts = lookup.facts(path).unwrap_or_default();
                let heads = |index| lookup.head(&SymbolRef { path: path.clone(), index });
                nodes.extend((0..facts.symbols.len()).map(|index| Node::Symbol(heads(index))));
                nodes.insert(Node::Top(path.clone()));
            }
        }
    }
    nodes
}

/// The next ring around a node.
fn spread(
    lookup: &Lookup<'_>,
    node: &Node,
    weight: f64,
    distance: u32,
    felt: &BTreeMap<Node, Felt>,
    next: &mut BTreeMap<Node, Felt>,
) {
    let mut by_user: BTreeMap<Node, Vec<(ReferenceKind, Range<u32>)>> = BTreeMap::new();
    let source = match node {
        Node::Symbol(symbol) => {
            for (path, used) in users(lookup, symbol) {
                let user = around(lookup, &path, used.within);
                if user != *node {
                    by_user.entry(user).or_default().push((used.kind, used.range));
                }
            }
            Some(symbol)
        }
        Node::Top(path) => {
            for importer in run_for_effect(lookup, path) {
                by_user.entry(Node::Top(importer)).or_default().push((ReferenceKind::Read, 0..0));
            }
            None
        }
    };
    // What many use says less about each of them.
    let fan = 1.0 + (by_user.len() as f64).ln_1p() / 4.0;
    for (user, uses) in by_user {
        if felt.contains_key(&user) {
            continue;
        }
        let Some(best) = uses.iter().max_by(|a, b| share(a.0).total_cmp(&share(b.0)).then(b.1.start.cmp(&a.1.start)))
        else {
            continue;
        };
        let many = 1.0 + (uses.len() as f64).ln() / 8.0;
        let arrives = (weight * STEP * share(best.0) * many / fan).min(weight * 0.9);
        let entry = next.entry(user).or_insert(Felt { distance, weight: 0.0, uses: 0, because: None, heaviest: 0.0 });
        entry.weight = (entry.weight + arrives).min(0.9);
        entry.uses += u32::try_from(uses.len()).unwrap_or(u32::MAX);
        if arrives > entry.heaviest {
            entry.heaviest = arrives;
            entry.because = source.map(|source| (source.clone(), best.0, best.1.clone()));
        }
    }
}

/// How much of a change a use of that kind passes on.
fn share(kind: ReferenceKind) -> f64 {
    match kind {
        ReferenceKind::Call
        | ReferenceKind::New
        | ReferenceKind::Jsx
        | ReferenceKind::Extends
        | ReferenceKind::Implements => 1.0,
        ReferenceKind::Read | ReferenceKind::Write => 0.8,
        ReferenceKind::Type | ReferenceKind::TypeOf | ReferenceKind::Namespace => 0.5,
        ReferenceKind::Import | ReferenceKind::Export => 0.0,
    }
}

/// Uses of a symbol that make something of it: naming it in an import or an export does not.
fn users(lookup: &Lookup<'_>, symbol: &SymbolRef) -> Vec<(RelPath, Use)> {
    let target = Entity::Symbol(symbol.clone());
    let exposures = lookup.exposures(symbol);
    let mut found = Vec::new();
    for path in &exposures.files {
        for used in lookup.uses(path).iter() {
            let whole = || matches!(&used.target, Entity::Module(module) if holds(&exposures.names, module));
            if share(used.kind) > 0.0 && (used.target == target || whole()) {
                found.push((path.clone(), used.clone()));
            }
        }
    }
    found
}

fn holds(names: &BTreeSet<(RelPath, String)>, module: &RelPath) -> bool {
    names.range((module.clone(), String::new())..).next().is_some_and(|(path, _)| path == module)
}

/// The declaration at the top level around a use.
pub(super) fn around(lookup: &Lookup<'_>, path: &RelPath, within: Option<usize>) -> Node {
    match within {
        Some(index) => Node::Symbol(lookup.head(&SymbolRef { path: path.clone(), index })),
        None => Node::Top(path.clone()),
    }
}

/// The files that import a module for what it does and not for what it exports.
pub(super) fn run_for_effect(lookup: &Lookup<'_>, path: &RelPath) -> Vec<RelPath> {
    let effect = |importer: &&RelPath| {
        let Some(facts) = lookup.facts(importer) else { return false };
        let resolved = lookup.graph().resolved(importer);
        facts.imports.iter().zip(resolved).any(|(import, target)| {
            import.names.is_empty() && import.kind == ImportKind::Static && target.as_ref() == Some(path)
        })
    };
    lookup.graph().importers(path).iter().filter(effect).cloned().collect()
}

fn summarise(felt: BTreeMap<Node, Felt>, changes: &[Change], more: bool) -> Impact {
    let mut symbols: Vec<Affected> = felt
        .into_iter()
        .map(|(node, felt)| Affected {
            path: node.path().clone(),
            symbol: if let Node::Symbol(symbol) = node { Some(symbol) } else { None },
            distance: felt.distance,
            weight: felt.weight,
            uses: felt.uses,
            because: felt.because,
        })
        .collect();
    symbols.sort_by(|a, b| {
        (a.distance.cmp(&b.distance))
            .then(b.weight.total_cmp(&a.weight))
            .then_with(|| (&a.path, &a.symbol).cmp(&(&b.path, &b.symbol)))
    });
    let changed: BTreeSet<&RelPath> = changes.iter().map(Change::path).collect();
    let mut files: BTreeMap<&RelPath, AffectedFile> = BTreeMap::new();
    for (at, affected) in symbols.iter().enumerate().filter(|(_, affected)| !changed.contains(&affected.path)) {
        let file = files.entry(&affected.path).or_insert_with(|| AffectedFile {
            path: affected.path.clone(),
            distance: affected.distance,
            weight: 0.0,
            uses: 0,
            symbols: Vec::new(),
        });
        file.weight = file.weight.max(affected.weight);
        file.uses = file.uses.saturating_add(affected.uses);
        file.symbols.push(at);
    }
    let mut files: Vec<AffectedFile> = files.into_values().collect();
    files.sort_by(|a, b| {
        (a.distance.cmp(&b.distance)).then(b.weight.total_cmp(&a.weight)).then_with(|| a.path.cmp(&b.path))
    });
    let (tests, files) = files.into_iter().partition(|file| is_test(&file.path));
    Impact { symbols, files, tests, more }
}

impl Change {
    pub fn path(&self) -> &RelPath {
        match self {
            Self::Symbol(symbol) => &symbol.path,
            Self::File(path) | Self::TopLevel(path) => path,
        }
    }
}
