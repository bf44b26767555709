//! The modules of a refactoring together: what specifiers, exports and member paths lead to.

use super::RefactorError;
use super::module::{Chain, Module, Origin, Root, Segment};
use crate::graph::{ResolveConfig, Resolver};
use crate::path::RelPath;
use oxc_syntax::symbol::SymbolId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Hops through re-exports and aliases after which a path counts as endless.
const MAX_HOPS: usize = 200;

pub(super) struct Program<'f> {
    pub files: &'f BTreeMap<RelPath, Arc<str>>,
    pub modules: BTreeMap<RelPath, Module>,
    /// Files that the parser refuses, with its words.
    pub broken: BTreeMap<RelPath, String>,
    resolver: Resolver,
}

/// What a name leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entity {
    /// The module object of a file.
    Module(RelPath),
    /// An object that spreads the module objects of these files; of two that offer a name the last one counts. The
    /// names that it gives itself are not theirs, and may hold module objects in turn.
    Bag(Vec<RelPath>, BTreeMap<String, Option<Entity>>),
    /// A binding that the file declares itself.
    Symbol(RelPath, SymbolId),
    Unknown,
}

impl Entity {
    /// Whether members of it are exports of some file.
    fn holds_modules(&self) -> bool {
        match self {
            Self::Module(_) | Self::Bag(..) => true,
            Self::Symbol(..) | Self::Unknown => false,
        }
    }
}

impl<'f> Program<'f> {
    pub fn read(files: &'f BTreeMap<RelPath, Arc<str>>) -> Self {
        let mut modules = BTreeMap::new();
        let mut broken = BTreeMap::new();
        for (path, text) in files {
            if crate::syntax::Language::of(path).is_none() {
                continue;
            }
            match Module::read(path, text) {
                Ok(module) => {
                    modules.insert(path.clone(), module);
                }
                Err(why) => {
                    broken.insert(path.clone(), why);
                }
            }
        }
        let resolver = Resolver::new(Arc::new(ResolveConfig::from_files(files)), files.keys());
        Self { files, modules, broken, resolver }
    }

    /// Refuses when a file that mentions one of `words` cannot be read: it could need a change.
    pub fn refuse_broken(&self, words: &[&str]) -> Result<(), RefactorError> {
        let touched = self
            .broken
            .iter()
            .find(|(path, _)| self.files.get(*path).is_some_and(|text| words.iter().any(|word| text.contains(word))));
        match touched {
            Some((path, why)) => Err(RefactorError::Unreadable { path: path.clone(), why: why.clone() }),
            None => Ok(()),
        }
    }

    pub fn module(&self, path: &RelPath) -> Result<&Module, RefactorError> {
        self.modules.get(path).ok_or_else(|| RefactorError::Unreadable {
            path: path.clone(),
            why: self.broken.get(path).cloned().unwrap_or_else(|| "there is no such script".to_owned()),
        })
    }

    pub fn resolve(&self, from: &RelPath, specifier: &str) -> Option<RelPath> {
        self.resolver.resolve(from, specifier)
    }

    /// The same as if `also` were there.
    pub fn resolve_with(&self, from: &RelPath, specifier: &str, also: &RelPath) -> Option<RelPath> {
        if self.files.contains_key(also) {
            return self.resolve(from, specifier);
        }
        self.resolver.with(also, true).resolve(from, specifier)
    }

    pub fn resolves_to(&self, from: &Module, specifier: &str, to: &RelPath) -> bool {
        self.resolve(&from.path, specifier).as_ref() == Some(to)
    }

    /// What `name` leads to as `path` exports it.
    pub fn export(&self, path: &RelPath, name: &str) -> Entity {
        self.export_hop(path, name, 0, &mut BTreeSet::new()).unwrap_or(Entity::Unknown)
    }

    /// Whether `path` exports `name`, itself or through `export *`.
    pub fn exports(&self, path: &RelPath, name: &str) -> bool {
        self.export_hop(path, name, 0, &mut BTreeSet::new()).is_some()
    }

    fn export_hop(
        &self,
        path: &RelPath,
        name: &str,
        hops: usize,
        seen: &mut BTreeSet<(RelPath, String)>,
    ) -> Option<Entity> {
        if hops > MAX_HOPS || !seen.insert((path.clone(), name.to_owned())) {
            return None;
        }
        let module = self.modules.get(path)?;
        if let Some(export) = module.export(name) {
            let entity = match &export.origin {
                Origin::Local { symbol: Some(symbol), .. } => self.symbol_hop(module, *symbol, hops + 1, seen),
                Origin::From { specifier, imported, .. } => self
                    .resolve(path, specifier)
                    .and_then(|target| self.export_hop(&target, imported, hops + 1, seen))
                    .unwrap_or(Entity::Unknown),
                Origin::Namespace { specifier } => {
                    self.resolve(path, specifier).map_or(Entity::Unknown, Entity::Module)
                }
                Origin::Local { symbol: None, .. } | Origin::Star { .. } | Origin::Anonymous => Entity::Unknown,
            };
            return Some(entity);
        }
        if name == "default" {
            return None;
        }
        module.stars().find_map(|specifier| {
            let target = self.resolve(path, specifier)?;
            self.export_hop(&target, name, hops + 1, seen)
        })
    }

    /// What a binding of `module` leads to.
    pub fn symbol(&self, module: &Module, symbol: SymbolId) -> Entity {
        self.symbol_hop(module, symbol, 0, &mut BTreeSet::new())
    }

    fn symbol_hop(
        &self,
        module: &Module,
        symbol: SymbolId,
        hops: usize,
        seen: &mut BTreeSet<(RelPath, String)>,
    ) -> Entity {
        if hops > MAX_HOPS {
            return Entity::Unknown;
        }
        if let Some((import, name)) = module.import_of(symbol) {
            let Some(target) = self.resolve(&module.path, &import.specifier) else {
                return Entity::Unknown;
            };
            return match name.imported.name() {
                Some(imported) => self.export_hop(&target, imported, hops + 1, seen).unwrap_or(Entity::Unknown),
                None => Entity::Module(target),
            };
        }
        if let Some(chain) = module.aliases.get(&symbol) {
            return self.chain_hop(module, chain, hops + 1, seen);
        }
        if let Some(bag) = module.bags.get(&symbol) {
            let lead = |chain: &Chain| self.chain_hop(module, chain, hops + 1, &mut seen.clone());
            let spread = |entity| if let Entity::Module(path) = entity { Some(path) } else { None };
            let paths: Vec<RelPath> = bag.spreads.iter().filter_map(|chain| spread(lead(chain))).collect();
            let mut held = |chain: &Chain| Some(lead(chain)).filter(Entity::holds_modules);
            let own: BTreeMap<_, _> =
                bag.own.iter().map(|(key, chain)| (key.clone(), chain.as_ref().and_then(&mut held))).collect();
            if !paths.is_empty() || own.values().any(Option::is_some) {
                return Entity::Bag(paths, own);
            }
        }
        Entity::Symbol(module.path.clone(), symbol)
    }

    fn chain_hop(&self, module: &Module, chain: &Chain, hops: usize, seen: &mut BTreeSet<(RelPath, String)>) -> Entity {
        let mut entity = self.root(module, &chain.root, hops, seen);
        for segment in &chain.segments {
            entity = match entity {
                Entity::Module(path) => {
                    self.export_hop(&path, &segment.name, hops + 1, seen).unwrap_or(Entity::Unknown)
                }
                Entity::Bag(paths, own) => match own.get(&segment.name) {
                    Some(held) => held.clone().unwrap_or(Entity::Unknown),
                    None => match self.of_bag(&paths, &segment.name) {
                        Some(path) => self.export_hop(&path, &segment.name, hops + 1, seen).unwrap_or(Entity::Unknown),
                        None => return Entity::Unknown,
                    },
                },
                Entity::Symbol(..) | Entity::Unknown => return Entity::Unknown,
            };
        }
        entity
    }

    fn root(&self, module: &Module, root: &Root, hops: usize, seen: &mut BTreeSet<(RelPath, String)>) -> Entity {
        match root {
            Root::Symbol(symbol) => self.symbol_hop(module, *symbol, hops + 1, seen),
            Root::Module(specifier) => self.resolve(&module.path, specifier).map_or(Entity::Unknown, Entity::Module),
        }
    }

    /// The file whose export `name` an object that spreads modules offers.
    fn of_bag(&self, paths: &[RelPath], name: &str) -> Option<RelPath> {
        paths.iter().rev().find(|path| self.exports(path, name)).cloned()
    }

    /// The segments of a file's chains that name an export `name` of some module, with that module.
    pub fn members<'m>(&self, module: &'m Module, name: &str) -> Vec<(RelPath, &'m Segment)> {
        let mut found = Vec::new();
        for chain in &module.chains {
            if !chain.segments.iter().any(|segment| segment.name == name) {
                continue;
            }
            let mut entity = self.root(module, &chain.root, 0, &mut BTreeSet::new());
            for segment in &chain.segments {
                let path = match entity {
                    Entity::Module(path) => path,
                    Entity::Bag(paths, own) => match own.get(&segment.name) {
                        // The key is the object's own, whatever it holds.
                        Some(held) => {
                            entity = held.clone().unwrap_or(Entity::Unknown);
                            continue;
                        }
                        None => match self.of_bag(&paths, &segment.name) {
                            Some(path) => path,
                            None => break,
                        },
                    },
                    Entity::Symbol(..) | Entity::Unknown => break,
                };
                entity = self.export(&path, &segment.name);
                if segment.name == name {
                    found.push((path, segment));
                }
            }
        }
        found
    }

    /// Where the module object of one of `targets` is used in a way that does not say which member is read.
    pub fn escapes(&self, module: &Module, targets: &BTreeSet<RelPath>) -> Vec<u32> {
        let mut found = Vec::new();
        for name in &module.names {
            if name.followed || name.flags.is_none() || name.form == super::module::Form::Specifier {
                continue;
            }
            let Some(symbol) = name.symbol else { continue };
            if !module.imported.contains_key(&symbol) && !module.aliases.contains_key(&symbol) {
                continue;
            }
            if matches!(self.symbol(module, symbol), Entity::Module(path) if targets.contains(&path)) {
                found.push(name.span.start);
            }
        }
        for specifier in &module.specifiers {
            if specifier.kind == super::module::SpecifierKind::Dynamic
                && !specifier.followed
                && self.resolve(&module.path, &specifier.text).is_some_and(|path| targets.contains(&path))
            {
                found.push(specifier.at);
            }
        }
        found
    }
}
