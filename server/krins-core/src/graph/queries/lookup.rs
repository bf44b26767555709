//! What a name leads to, through imports, re-exports, barrels and namespaces; for the length of one question, so that
//! nothing is decoded or followed twice.

use super::{Named, SymbolRef};
use crate::graph::{Export, FileFacts, Graph, Import, ImportKind, Indexed, Reference, ReferenceKind, Target};
use crate::path::RelPath;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

/// What a name leads to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entity {
    /// A declaration at the top level of a file: the first of those that share the name.
    Symbol(SymbolRef),
    /// The namespace object of a module.
    Module(RelPath),
}

/// A reference of a file, and what it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    pub target: Entity,
    pub kind: ReferenceKind,
    /// Bytes of the name.
    pub range: Range<u32>,
    /// The innermost symbol that the use is in.
    pub within: Option<usize>,
}

/// What a module's export names, by module and name.
type ByExport = BTreeMap<(RelPath, String), Rc<[Entity]>>;

/// A graph with what one question has looked at so far.
pub struct Lookup<'g> {
    graph: &'g Graph,
    facts: RefCell<BTreeMap<RelPath, Option<Arc<FileFacts>>>>,
    exports: RefCell<ByExport>,
    uses: RefCell<BTreeMap<RelPath, Rc<[Use]>>>,
    heads: RefCell<BTreeMap<RelPath, Rc<[usize]>>>,
    globals: RefCell<BTreeMap<String, Rc<[Entity]>>>,
}

impl<'g> Lookup<'g> {
    pub fn new(graph: &'g Graph) -> Self {
        Self {
            graph,
            facts: RefCell::default(),
            exports: RefCell::default(),
            uses: RefCell::default(),
            heads: RefCell::default(),
            globals: RefCell::default(),
        }
    }

    pub fn graph(&self) -> &'g Graph {
        self.graph
    }

    pub fn facts(&self, path: &RelPath) -> Option<Arc<FileFacts>> {
        if let Some(known) = self.facts.borrow().get(path) {
            return known.clone();
        }
        let facts = self.graph.facts(path);
        self.facts.borrow_mut().insert(path.clone(), facts.clone());
        facts
    }

    /// For each symbol of a file the one that stands for it where files speak of each other: the first of its name at
    /// the top level, for a member that of what it is in.
    fn heads(&self, path: &RelPath) -> Rc<[usize]> {
        if let Some(known) = self.heads.borrow().get(path) {
            return known.clone();
        }
        let heads: Rc<[usize]> = self.facts(path).map(|facts| heads(&facts)).unwrap_or_default().into();
        self.heads.borrow_mut().insert(path.clone(), heads.clone());
        heads
    }

    /// The declaration that stands for a symbol.
    pub fn head(&self, symbol: &SymbolRef) -> SymbolRef {
        let index = self.heads(&symbol.path).get(symbol.index).copied().unwrap_or(symbol.index);
        SymbolRef { path: symbol.path.clone(), index }
    }

    pub fn name(&self, symbol: &SymbolRef) -> String {
        self.facts(&symbol.path).map_or_else(String::new, |facts| super::qualified_name(&facts, symbol.index))
    }

    /// What `path` exports as `name`: several when a type and a value come from different places. Sorted.
    pub fn export(&self, path: &RelPath, name: &str) -> Rc<[Entity]> {
        let key = (path.clone(), name.to_owned());
        if let Some(known) = self.exports.borrow().get(&key) {
            return known.clone();
        }
        let found: Rc<[Entity]> = self.follow_exports(path, name).into_iter().collect();
        self.exports.borrow_mut().insert(key, found.clone());
        found
    }

    fn follow_exports(&self, path: &RelPath, name: &str) -> BTreeSet<Entity> {
        let mut walk = Walk { lookup: self, found: BTreeSet::new(), seen: BTreeSet::new(), queue: VecDeque::new() };
        walk.queue.push_back((path.clone(), name.to_owned()));
        while let Some(next) = walk.queue.pop_front() {
            if walk.seen.insert(next.clone()) {
                walk.step(&next.0, &next.1);
            }
        }
        walk.found
    }

    /// Every use of something at the top level of a file of the graph, in the file's order.
    pub fn uses(&self, path: &RelPath) -> Rc<[Use]> {
        if let Some(known) = self.uses.borrow().get(path) {
            return known.clone();
        }
        let mut uses = Vec::new();
        if let Some(facts) = self.facts(path) {
            for at in 0..facts.references.len() {
                self.resolve(path, &facts, at, &mut uses);
            }
        }
        let uses: Rc<[Use]> = uses.into();
        self.uses.borrow_mut().insert(path.clone(), uses.clone());
        uses
    }

    fn resolve(&self, path: &RelPath, facts: &FileFacts, at: usize, uses: &mut Vec<Use>) {
        let Some(reference) = facts.references.get(at) else { return };
        let found = |target: Entity| Use {
            target,
            kind: reference.kind,
            range: reference.range.clone(),
            within: reference.within.map(|within| within as usize),
        };
        match reference.target {
            Target::Symbol(index) => {
                let symbol = SymbolRef { path: path.clone(), index: index as usize };
                uses.push(found(Entity::Symbol(self.head(&symbol))));
            }
            Target::Global(index) => {
                let name = facts.globals.get(index as usize);
                uses.extend(name.iter().flat_map(|name| self.global(name).to_vec()).map(found));
            }
            Target::Import { import, name } => {
                for entity in self.binding(path, facts, import as usize, name as usize).iter() {
                    match (entity, &reference.member) {
                        (Entity::Module(module), Some(names)) => {
                            let behind = self.behind(module, names).into_iter();
                            let said = |entity: &Entity| matches!(entity, Entity::Symbol(_)) || !has_member(facts, at);
                            uses.extend(behind.filter(said).map(found));
                        }
                        // Of what is no module, a member is no export.
                        (Entity::Symbol(_), Some(_)) => {}
                        (Entity::Module(_), None) if has_member(facts, at) => {}
                        (entity, None) => uses.push(found(entity.clone())),
                    }
                }
            }
        }
    }

    /// What names behind dots lead to from a module on: each but the last has to be a module again.
    fn behind(&self, module: &RelPath, names: &str) -> Vec<Entity> {
        let mut found = vec![Entity::Module(module.clone())];
        for name in names.split('.') {
            let of = |entity: Entity| match entity {
                Entity::Module(module) => self.export(&module, name).to_vec(),
                Entity::Symbol(_) => Vec::new(),
            };
            found = found.into_iter().flat_map(of).collect();
        }
        found
    }

    /// What a name of an import is bound to.
    fn binding(&self, path: &RelPath, facts: &FileFacts, import_at: usize, name: usize) -> Rc<[Entity]> {
        let target = self.graph.resolved(path).get(import_at).and_then(Option::as_ref);
        match (facts.imports.get(import_at), target) {
            (Some(import), Some(target)) => {
                let imported = import.names.get(name).map_or("*", |(imported, _)| imported);
                self.imported(target, import.kind, imported)
            }
            _ => Rc::default(),
        }
    }

    /// The declarations that a name means where nothing in the file declares it. Sorted.
    fn global(&self, name: &str) -> Rc<[Entity]> {
        if let Some(known) = self.globals.borrow().get(name) {
            return known.clone();
        }
        let mut found = Vec::new();
        for (path, file) in self.graph.files().iter().filter(|(_, file)| file.uses(name)) {
            if !file.summary().declares_globals {
                continue;
            }
            let Some(facts) = self.facts(path) else { continue };
            let mut declared = globals(&facts).filter(|index| facts.symbols[*index].name == name);
            let symbol = declared.next().map(|index| SymbolRef { path: path.clone(), index });
            found.extend(symbol.map(Entity::Symbol));
        }
        let found: Rc<[Entity]> = found.into();
        self.globals.borrow_mut().insert(name.to_owned(), found.clone());
        found
    }

    /// The declarations that are one with this one: of a global one, all of its name.
    pub fn merged(&self, symbol: &SymbolRef) -> Vec<SymbolRef> {
        let name = self.name(symbol);
        let globals = if self.is_global(symbol) { self.global(&name) } else { Rc::default() };
        let mut same: Vec<SymbolRef> = globals
            .iter()
            .filter_map(|entity| match entity {
                Entity::Symbol(symbol) => Some(symbol.clone()),
                Entity::Module(_) => None,
            })
            .collect();
        if !same.contains(symbol) {
            same.push(symbol.clone());
        }
        same
    }

    fn is_global(&self, symbol: &SymbolRef) -> bool {
        let declares = self.graph.files().get(&symbol.path).is_some_and(|file| file.summary().declares_globals);
        declares && self.facts(&symbol.path).is_some_and(|facts| globals(&facts).any(|index| index == symbol.index))
    }

    /// What an import of `imported` from `target` binds.
    fn imported(&self, target: &RelPath, kind: ImportKind, imported: &str) -> Rc<[Entity]> {
        if imported != "*" {
            return self.export(target, imported);
        }
        let assigned = match kind {
            ImportKind::Equals | ImportKind::Require => self.export(target, "="),
            _ => Rc::default(),
        };
        if assigned.is_empty() { [Entity::Module(target.clone())].into() } else { assigned }
    }

    /// What is at a byte of a file: what is named there, else the innermost declaration around it, else the file.
    pub fn at(&self, path: &RelPath, offset: usize) -> Named {
        let named = self.uses(path).iter().find_map(|used| match &used.target {
            Entity::Symbol(symbol) if (used.range.start as usize..=used.range.end as usize).contains(&offset) => {
                Some(symbol.clone())
            }
            _ => None,
        });
        let facts = self.facts(path).unwrap_or_default();
        let around = || {
            let holds = facts.symbols.iter().enumerate().filter(|(_, symbol)| symbol.range.contains(&offset));
            let innermost = holds.min_by_key(|(index, symbol)| (symbol.range.len(), std::cmp::Reverse(*index)));
            innermost.map(|(index, _)| SymbolRef { path: path.clone(), index })
        };
        named.or_else(around).map_or_else(|| Named::File(path.clone()), Named::Symbol)
    }

    /// What the name means at the top level of its file: a declaration, or what it was imported as.
    fn local(&self, path: &RelPath, facts: &FileFacts, name: &str) -> Local {
        let mut symbols = facts.symbols.iter().enumerate();
        let here = symbols
            .find(|(index, symbol)| symbol.parent.is_none() && symbol.name == name && !facts.is_augmenting(*index));
        if let Some((index, _)) = here {
            return Local::Here(SymbolRef { path: path.clone(), index });
        }
        for (import, target) in facts.imports.iter().zip(self.graph.resolved(path)) {
            if import.reexport {
                continue;
            }
            if let (Some((imported, _)), Some(target)) = (import.names.iter().find(|(_, here)| here == name), target) {
                return Local::Imported { target: target.clone(), kind: import.kind, imported: imported.clone() };
            }
        }
        Local::Unknown
    }

    /// The files that may use a declaration at the top level, its own included, and under which names it is exported.
    pub fn exposures(&self, symbol: &SymbolRef) -> Exposures {
        let mut exposures = Exposures { files: BTreeSet::from([symbol.path.clone()]), names: BTreeSet::new() };
        let Some(facts) = self.facts(&symbol.path) else { return exposures };
        let Some(name) = facts.symbols.get(symbol.index).map(|symbol| symbol.name.as_str()) else { return exposures };
        if self.is_global(symbol) {
            let users = self.graph.files().iter().filter(|(_, file)| file.uses(name));
            exposures.files.extend(users.map(|(path, _)| path.clone()));
        }
        let own = !facts.is_augmenting(symbol.index);
        let exported = facts
            .exports
            .iter()
            .filter(|export| own && export.from.is_none() && export.local.as_deref().unwrap_or(&export.name) == name);
        let mut queue: VecDeque<_> = exported.map(|export| (symbol.path.clone(), export.name.clone())).collect();
        while let Some((path, name)) = queue.pop_front() {
            if !exposures.names.insert((path.clone(), name.clone())) {
                continue;
            }
            for importer in self.graph.importers(&path) {
                self.expose(importer, &path, &name, &mut exposures.files, &mut queue);
            }
        }
        exposures
    }

    /// Looks at one importer of a file that exports something under `name`.
    fn expose(
        &self,
        importer: &RelPath,
        from: &RelPath,
        name: &str,
        files: &mut BTreeSet<RelPath>,
        queue: &mut VecDeque<(RelPath, String)>,
    ) {
        let Some(file) = self.graph.files().get(importer) else { return };
        // Who imports a default or the whole module calls it what they like.
        let names_it = matches!(name, "default" | "=") || file.uses(name);
        if names_it {
            files.insert(importer.clone());
        }
        if file.summary().exports == 0 || !names_it && !file.summary().passes_on {
            return;
        }
        let Some(facts) = self.facts(importer) else { return };
        let resolved = self.graph.resolved(importer);
        for export in &facts.exports {
            if passes(export, &facts, resolved, from, name) {
                let seen = if export.name == "*" { name } else { &export.name };
                queue.push_back((importer.clone(), seen.to_owned()));
            }
        }
    }
}

/// Where a declaration can be had.
pub struct Exposures {
    pub files: BTreeSet<RelPath>,
    /// (file, name that it exports); the name of a namespace that holds it counts.
    pub names: BTreeSet<(RelPath, String)>,
}

enum Local {
    Here(SymbolRef),
    Imported { target: RelPath, kind: ImportKind, imported: String },
    Unknown,
}

/// Indices of the symbols that every file can name: those at the top level of a file that is no module, and those that
/// `declare global` declares in one.
pub(in crate::graph) fn globals(facts: &FileFacts) -> impl Iterator<Item = usize> {
    let is_script = facts.exports.is_empty()
        && facts.imports.iter().all(|import| matches!(import.kind, ImportKind::Augment | ImportKind::Type));
    let every = facts.symbols.iter().enumerate();
    let top = every.filter(
        move |(index, symbol)| {
            if is_script { symbol.parent.is_none() } else { facts.is_augmenting(*index) }
        },
    );
    top.map(|(index, _)| index)
}

/// Whether the reference at `at` is the `a` of `a.b` or `const { b } = a`, or the `a.b` of `a.b.c`: the member's says what
/// is used.
fn has_member(facts: &FileFacts, at: usize) -> bool {
    let Some(own) = facts.references.get(at) else { return false };
    let goes_on = |names: &str| match &own.member {
        Some(own) => names.strip_prefix(&**own).is_some_and(|rest| rest.starts_with('.')),
        None => true,
    };
    let is_member = |near: &Reference| near.target == own.target && near.member.as_deref().is_some_and(goes_on);
    let near = |at: usize| facts.references.get(at).is_some_and(is_member);
    near(at + 1) || at > 0 && near(at - 1)
}

/// Whether an export of a file leads to what `from` exports as `name`.
fn passes(export: &Export, facts: &FileFacts, resolved: &[Option<RelPath>], from: &RelPath, name: &str) -> bool {
    let leads_there = |import: &(usize, &Import)| resolved.get(import.0).and_then(Option::as_ref) == Some(from);
    let mut imports = facts.imports.iter().enumerate();
    match (&export.from, &export.local) {
        (Some(specifier), _) => {
            let imported = export.imported.as_deref().unwrap_or_default();
            let fits = match imported {
                "*" => export.name != "*" || name != "default" && name != "=",
                imported => imported == name,
            };
            fits && imports.any(|import| import.1.specifier == *specifier && leads_there(&import))
        }
        (None, Some(local)) => imports.filter(leads_there).any(|(_, import)| {
            !import.reexport
                && import.names.iter().any(|(imported, here)| here == local && (imported == name || imported == "*"))
        }),
        (None, None) => false,
    }
}

fn heads(facts: &FileFacts) -> Vec<usize> {
    let mut first: BTreeMap<(bool, &str), usize> = BTreeMap::new();
    let mut heads: Vec<usize> = Vec::with_capacity(facts.symbols.len());
    for (index, symbol) in facts.symbols.iter().enumerate() {
        heads.push(match symbol.parent.and_then(|parent| heads.get(parent)) {
            Some(of_parent) => *of_parent,
            None => *first.entry((facts.is_augmenting(index), &symbol.name)).or_insert(index),
        });
    }
    heads
}

/// The way of one name through the exports of files.
struct Walk<'l, 'g> {
    lookup: &'l Lookup<'g>,
    found: BTreeSet<Entity>,
    seen: BTreeSet<(RelPath, String)>,
    queue: VecDeque<(RelPath, String)>,
}

impl Walk<'_, '_> {
    fn step(&mut self, path: &RelPath, name: &str) {
        let Some(facts) = self.lookup.facts(path) else { return };
        let direct = facts.exports.iter().any(|export| export.name == name);
        for export in &facts.exports {
            let named = export.name == name && name != "*";
            if named || !direct && export.name == "*" && name != "default" && name != "=" {
                self.follow(path, &facts, export, name);
            }
        }
        // With `esModuleInterop` a default import of such a module is what it assigns.
        if !direct && name == "default" && facts.exports.iter().any(|export| export.name == "=") {
            self.queue.push_back((path.clone(), "=".to_owned()));
        }
    }

    fn follow(&mut self, path: &RelPath, facts: &FileFacts, export: &Export, name: &str) {
        if let Some(from) = &export.from {
            let at = facts.imports.iter().position(|import| import.specifier == *from);
            let Some(Some(target)) = at.and_then(|at| self.lookup.graph.resolved(path).get(at)) else { return };
            match export.imported.as_deref() {
                Some("*") if export.name == "*" => {
                    // A file that never says the name can only have it from others in turn.
                    let may = |file: &Arc<Indexed>| file.uses(name) || file.summary().passes_on;
                    if self.lookup.graph.files().get(target).is_some_and(may) {
                        self.queue.push_back((target.clone(), name.to_owned()));
                    }
                }
                Some("*") => {
                    self.found.insert(Entity::Module(target.clone()));
                }
                Some(imported) => self.queue.push_back((target.clone(), imported.to_owned())),
                None => {}
            }
            return;
        }
        // An anonymous default is a symbol of that name.
        match self.lookup.local(path, facts, export.local.as_deref().unwrap_or(&export.name)) {
            Local::Here(symbol) => {
                self.found.insert(Entity::Symbol(symbol));
            }
            Local::Imported { target, kind, imported } if imported == "*" => {
                let loads = matches!(kind, ImportKind::Equals | ImportKind::Require);
                let assigns = |facts: Arc<FileFacts>| facts.exports.iter().any(|export| export.name == "=");
                if loads && self.lookup.facts(&target).is_some_and(assigns) {
                    self.queue.push_back((target, "=".to_owned()));
                } else {
                    self.found.insert(Entity::Module(target));
                }
            }
            Local::Imported { target, imported, .. } => self.queue.push_back((target, imported)),
            Local::Unknown => {}
        }
    }
}
