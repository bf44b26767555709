//! Where a symbol is declared and used, in every file: through re-exports, barrels, aliases, namespaces and defaults.

use super::{Entity, Lookup, SymbolRef, Use};
use crate::graph::{Graph, ImportKind, ReferenceKind, SymbolKind};
use crate::path::RelPath;
use std::ops::Range;

/// A place that names the symbol.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    pub path: RelPath,
    /// Bytes of the name.
    pub range: Range32,
    pub kind: FoundKind,
    /// The innermost declaration around the use; of a declaration, itself.
    pub within: Option<usize>,
}

/// Bytes of a name, ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range32 {
    pub start: u32,
    pub end: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FoundKind {
    Declaration,
    Use(ReferenceKind),
}

/// The answer about one symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct References {
    /// Whose references these are: of a member, what it is a member of, since only types could tell who uses it.
    pub of: SymbolRef,
    /// By path and place.
    pub found: Vec<Found>,
}

impl From<Range<u32>> for Range32 {
    fn from(range: Range<u32>) -> Self {
        Self { start: range.start, end: range.end }
    }
}

/// All references of a symbol.
pub fn references(graph: &Graph, symbol: &SymbolRef) -> References {
    let lookup = Lookup::new(graph);
    let of = lookup.head(symbol);
    let same = lookup.merged(&of);
    let mut found: Vec<Found> = same.iter().flat_map(|of| declarations(&lookup, of)).collect();
    let is_meant = |used: &&Use| matches!(&used.target, Entity::Symbol(symbol) if same.contains(symbol));
    for path in lookup.exposures(&of).files {
        for used in lookup.uses(&path).iter().filter(is_meant) {
            let (kind, range) = (FoundKind::Use(used.kind), used.range.clone().into());
            found.push(Found { path: path.clone(), range, kind, within: used.within });
        }
    }
    found.sort();
    found.dedup_by(|a, b| a.path == b.path && a.range == b.range);
    References { of, found }
}

/// Every declaration that is one symbol with `of`: those of its name in its file, and those that augment it.
fn declarations(lookup: &Lookup<'_>, of: &SymbolRef) -> Vec<Found> {
    let Some(facts) = lookup.facts(&of.path) else { return Vec::new() };
    let Some(name) = facts.symbols.get(of.index).map(|symbol| symbol.name.clone()) else { return Vec::new() };
    let mut found = Vec::new();
    let mut declare = |path: &RelPath, index: usize, symbol: &crate::graph::Symbol| {
        let range = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let range = Range32 { start: range(symbol.name_range.start), end: range(symbol.name_range.end) };
        found.push(Found { path: path.clone(), range, kind: FoundKind::Declaration, within: Some(index) });
    };
    for (index, symbol) in facts.symbols.iter().enumerate() {
        if symbol.parent.is_none() && symbol.name == name {
            declare(&of.path, index, symbol);
        }
    }
    for path in lookup.graph().importers(&of.path) {
        if !lookup.graph().files().get(path).is_some_and(|file| file.uses(&name)) {
            continue;
        }
        let Some(facts) = lookup.facts(path) else { continue };
        let resolved = lookup.graph().resolved(path);
        let augments = |specifier: &str| {
            facts.imports.iter().zip(resolved).any(|(import, target)| {
                import.kind == ImportKind::Augment && import.specifier == specifier && target.as_ref() == Some(&of.path)
            })
        };
        for (index, symbol) in facts.symbols.iter().enumerate().filter(|(_, symbol)| symbol.name == name) {
            let parent = symbol.parent.and_then(|parent| facts.symbols.get(parent));
            let inside = |parent: &crate::graph::Symbol| parent.kind == SymbolKind::Namespace && augments(&parent.name);
            if parent.is_some_and(inside) {
                declare(path, index, symbol);
            }
        }
    }
    found
}
