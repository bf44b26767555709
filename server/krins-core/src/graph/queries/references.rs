//! Where a symbol is declared and used, in every file: through re-exports, barrels, aliases, namespaces and defaults.

use super::lookup::Exposures;
use super::{Entity, Lookup, SymbolRef, Use};
use crate::graph::{FileFacts, Graph, ImportKind, ReferenceKind, Symbol, SymbolKind};
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

/// All references of a symbol, as a type and as a value.
pub fn references(graph: &Graph, symbol: &SymbolRef) -> References {
    found(graph, symbol, &|_, _| true, &|_, _| true)
}

/// The references of one declaration: where a type, a value and a namespace share the name, those that can mean it.
pub fn references_as_declared(graph: &Graph, symbol: &SymbolRef) -> References {
    let facts = graph.facts(&symbol.path).unwrap_or_default();
    let Some(asked) = facts.symbols.get(symbol.index).filter(|symbol| symbol.parent.is_none()) else {
        return references(graph, symbol);
    };
    let same = facts.symbols.iter().enumerate();
    let same = same.filter(|(_, other)| other.parent.is_none() && other.name == asked.name);
    let meanings: Vec<Meaning> = same.map(|(index, _)| Meaning::of(&facts, index)).collect();
    // A class and an interface of one name are both: what meets one of them meets all that it meets.
    let mut meaning = Meaning::of(&facts, symbol.index);
    for _ in &meanings {
        let met = meanings.iter().filter(|other| other.meets(meaning));
        meaning = met.fold(meaning, |all, other| all.with(*other));
    }
    let declared = |facts: &FileFacts, index: usize| Meaning::of(facts, index).meets(meaning);
    found(graph, symbol, &declared, &|kind, within| Meaning::of_use(kind, within).meets(meaning))
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Meaning {
    value: bool,
    types: bool,
    /// What holds other names.
    namespace: bool,
}

impl Meaning {
    const NONE: Self = Self { value: false, types: false, namespace: false };
    const ALL: Self = Self { value: true, types: true, namespace: true };
    const VALUE: Self = Self { value: true, ..Self::NONE };
    const TYPE: Self = Self { types: true, ..Self::NONE };
    const NAMESPACE: Self = Self { namespace: true, ..Self::NONE };

    /// Of the symbol of that index.
    fn of(facts: &FileFacts, index: usize) -> Self {
        let Some(symbol) = facts.symbols.get(index) else { return Self::NONE };
        match symbol.kind {
            SymbolKind::Interface | SymbolKind::TypeAlias => Self::TYPE,
            SymbolKind::Function | SymbolKind::Variable | SymbolKind::Method | SymbolKind::Property => Self::VALUE,
            SymbolKind::Class => Self::VALUE.with(Self::TYPE),
            SymbolKind::Enum => Self::ALL,
            SymbolKind::Namespace if is_instantiated(facts, index) => Self::VALUE.with(Self::NAMESPACE),
            SymbolKind::Namespace => Self::NAMESPACE,
        }
    }

    fn of_use(kind: ReferenceKind, within: Option<SymbolKind>) -> Self {
        match kind {
            ReferenceKind::Import | ReferenceKind::Export => Self::ALL,
            ReferenceKind::Type | ReferenceKind::Implements => Self::TYPE,
            ReferenceKind::Namespace => Self::NAMESPACE,
            ReferenceKind::Extends if within == Some(SymbolKind::Interface) => Self::TYPE,
            ReferenceKind::Extends
            | ReferenceKind::TypeOf
            | ReferenceKind::Read
            | ReferenceKind::Write
            | ReferenceKind::Call
            | ReferenceKind::New
            | ReferenceKind::Jsx => Self::VALUE,
        }
    }

    fn meets(self, other: Self) -> bool {
        self.value && other.value || self.types && other.types || self.namespace && other.namespace
    }

    fn with(self, other: Self) -> Self {
        Self {
            value: self.value || other.value,
            types: self.types || other.types,
            namespace: self.namespace || other.namespace,
        }
    }
}

/// Whether a namespace holds anything that is there when the program runs.
fn is_instantiated(facts: &FileFacts, namespace: usize) -> bool {
    // A symbol comes after what it is in.
    let inside = facts.symbols.iter().enumerate().skip(namespace + 1);
    inside.filter(|(_, symbol)| symbol.parent == Some(namespace)).any(|(index, symbol)| match symbol.kind {
        SymbolKind::Interface | SymbolKind::TypeAlias => false,
        SymbolKind::Namespace => is_instantiated(facts, index),
        _ => true,
    })
}

/// Whether a symbol of a file counts as a declaration.
type Declared<'d> = &'d dyn Fn(&FileFacts, usize) -> bool;

/// Declarations that are `declared`, and uses, by kind and the kind of declaration they are in, that are `meant`.
fn found(
    graph: &Graph,
    symbol: &SymbolRef,
    declared: Declared<'_>,
    meant: &dyn Fn(ReferenceKind, Option<SymbolKind>) -> bool,
) -> References {
    let lookup = Lookup::new(graph);
    let of = lookup.head(symbol);
    let same = lookup.merged(&of);
    let exposures = lookup.exposures(&of);
    let mut found: Vec<Found> = same.iter().flat_map(|of| declarations(&lookup, of, declared)).collect();
    found.extend(augmentations(&lookup, &exposures, declared));
    let is_target = |used: &&Use| matches!(&used.target, Entity::Symbol(symbol) if same.contains(symbol));
    for path in exposures.files {
        let facts = lookup.facts(&path).unwrap_or_default();
        let around = |used: &Use| used.within.and_then(|index| facts.symbols.get(index)).map(|symbol| symbol.kind);
        for used in lookup.uses(&path).iter().filter(is_target).filter(|used| meant(used.kind, around(used))) {
            let (kind, range) = (FoundKind::Use(used.kind), used.range.clone().into());
            found.push(Found { path: path.clone(), range, kind, within: used.within });
        }
    }
    found.sort();
    found.dedup_by(|a, b| a.path == b.path && a.range == b.range);
    References { of, found }
}

/// The declarations of its name in its file.
fn declarations(lookup: &Lookup<'_>, of: &SymbolRef, declared: Declared<'_>) -> Vec<Found> {
    let Some(facts) = lookup.facts(&of.path) else { return Vec::new() };
    let Some(name) = facts.symbols.get(of.index).map(|symbol| symbol.name.as_str()) else { return Vec::new() };
    let same = facts.symbols.iter().enumerate();
    let is_one = |index: usize| facts.is_augmenting(index) == facts.is_augmenting(of.index);
    same.filter(|(_, symbol)| symbol.parent.is_none() && symbol.name == name)
        .filter(|(index, _)| is_one(*index) && declared(&facts, *index))
        .map(|(index, symbol)| declaration(&of.path, index, symbol))
        .collect()
}

/// What `declare module` adds to it in other files, by whatever module it is exported.
fn augmentations(lookup: &Lookup<'_>, exposures: &Exposures, declared: Declared<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    for (module, name) in &exposures.names {
        for path in lookup.graph().importers(module) {
            if !lookup.graph().files().get(path).is_some_and(|file| file.uses(name)) {
                continue;
            }
            let Some(facts) = lookup.facts(path) else { continue };
            let resolved = lookup.graph().resolved(path);
            let augments = |parent: &Symbol| {
                facts.imports.iter().zip(resolved).any(|(import, target)| {
                    import.kind == ImportKind::Augment
                        && import.specifier == parent.name
                        && target.as_ref() == Some(module)
                })
            };
            for (index, symbol) in facts.symbols.iter().enumerate().filter(|(_, symbol)| symbol.name == *name) {
                let parent = symbol.parent.and_then(|parent| facts.symbols.get(parent));
                if parent.is_some_and(|parent| parent.kind == SymbolKind::Namespace && augments(parent))
                    && declared(&facts, index)
                {
                    found.push(declaration(path, index, symbol));
                }
            }
        }
    }
    found
}

fn declaration(path: &RelPath, index: usize, symbol: &Symbol) -> Found {
    let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    let range = Range32 { start: place(symbol.name_range.start), end: place(symbol.name_range.end) };
    Found { path: path.clone(), range, kind: FoundKind::Declaration, within: Some(index) }
}
