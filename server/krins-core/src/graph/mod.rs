//! The code graph: symbols, imports and exports of every file, and the resolved edges between files.
//!
//! Made from texts alone; who reads the texts, and when, is not known here.

mod chunks;
mod components;
pub mod export;
mod facts;
mod generated;
mod hashes;
mod indexed;
pub(crate) mod jsonc;
mod lexicon;
mod model;
mod places;
pub mod queries;
mod resolve;
pub(crate) mod words;

pub use facts::{LiveFile, analyse, analyse_as_typed, imports};
pub use indexed::{ENCODING_VERSION, Indexed, Summary};
pub use lexicon::Lexicon;
pub use model::{
    Analysis, Chunk, Export, FileFacts, Import, ImportKind, Reference, ReferenceKind, Symbol, SymbolKind, Target,
};
pub(crate) use places::Places;
pub use resolve::{Resolution, ResolveConfig, Resolver};

use crate::path::RelPath;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, OnceLock};

/// The files of an index.
pub type Files = BTreeMap<RelPath, Arc<Indexed>>;

/// Every indexed file plus resolved module edges. A value: what is changed is a copy, which shares the rest.
#[derive(Clone, Default)]
pub struct Graph {
    files: Arc<Files>,
    resolver: Arc<Resolver>,
    edges: Arc<BTreeMap<RelPath, Arc<Edges>>>,
    importers: Arc<BTreeMap<RelPath, Arc<[RelPath]>>>,
    ambient: Arc<Ambient>,
    /// When it is first asked for.
    places: Arc<OnceLock<Places>>,
}

/// The declaration files that tell what a module offers, by the module's name (`declare module "x"`).
type Ambient = BTreeMap<String, BTreeSet<RelPath>>;

/// Where the imports of a file lead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// In the order of [`FileFacts::imports`].
    pub targets: Vec<Option<RelPath>>,
    /// How many relative ones among them lead nowhere.
    pub unresolved: u32,
}

/// Where each import of a file leads, in the order of [`FileFacts::imports`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Edges {
    unresolved: u32,
    resolved: Vec<Option<RelPath>>,
    targets: Vec<RelPath>,
}

/// Figures of a graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    pub files: usize,
    pub symbols: usize,
    pub exports: usize,
    /// File to file, each pair once.
    pub edges: usize,
    /// Relative specifiers that lead nowhere.
    pub unresolved: usize,
    /// Files whose parse had errors.
    pub broken: usize,
    pub lines: u64,
}

impl Graph {
    /// Resolves every import.
    pub fn build(files: Files, config: Arc<ResolveConfig>) -> Self {
        Self::restore(files, config, BTreeMap::new())
    }

    /// A graph whose imports were resolved before, by the same configuration over the same files. A file that is not in
    /// there is resolved.
    pub fn restore(files: Files, config: Arc<ResolveConfig>, mut resolved: BTreeMap<RelPath, Resolved>) -> Self {
        let resolver = Resolver::new(config, files.keys());
        let ambient = ambient(&files);
        let mut of = |path: &RelPath, file: &Indexed| match resolved.remove(path) {
            Some(known) if known.targets.len() == file.summary().imports as usize => known,
            _ => resolve_all(path, &file.facts(), &resolver, &ambient),
        };
        let edges: BTreeMap<RelPath, Arc<Edges>> =
            files.iter().map(|(path, file)| (path.clone(), Arc::new(Edges::new(path, of(path, file))))).collect();
        let mut importers: BTreeMap<RelPath, BTreeSet<RelPath>> = BTreeMap::new();
        for (path, edges) in &edges {
            for target in &edges.targets {
                importers.entry(target.clone()).or_default().insert(path.clone());
            }
        }
        Self {
            files: Arc::new(files),
            // What was searched for all files at once is not worth its memory later.
            resolver: Arc::new(resolver.fresh()),
            edges: Arc::new(edges),
            importers: Arc::new(importers.into_iter().map(|(path, from)| (path, from.into_iter().collect())).collect()),
            ambient: Arc::new(ambient),
            places: Arc::default(),
        }
    }

    /// The graph with one file put in, replaced or (`None`) taken out: the same as building it anew, but only the
    /// files are resolved again whose imports could lead elsewhere now.
    #[must_use]
    pub fn with_file(&self, path: &RelPath, file: Option<Arc<Indexed>>) -> Self {
        let mut graph = self.clone();
        let was_there = self.files.contains_key(path);
        let is_there = file.is_some();
        let files = Arc::make_mut(&mut graph.files);
        match file {
            Some(file) => files.insert(path.clone(), file),
            None => files.remove(path),
        };
        let mut stale = BTreeSet::from([path.clone()]);
        if was_there != is_there {
            graph.places = Arc::default();
            graph.resolver = Arc::new(self.resolver.with(path, is_there));
            stale.extend(self.importers(path).iter().cloned());
            stale.extend(self.could_mean(path));
        }
        stale.extend(graph.declare(path));
        for file in stale {
            graph.resolve_again(&file);
        }
        graph
    }

    /// Takes in what a file declares of modules now, and gives the files that this may matter to.
    fn declare(&mut self, path: &RelPath) -> Vec<RelPath> {
        let before: BTreeSet<String> =
            self.ambient.iter().filter(|(_, by)| by.contains(path)).map(|(name, _)| name.clone()).collect();
        let now = self.files.get(path).map(|file| declared(path, file)).unwrap_or_default();
        let changed: BTreeSet<&String> = before.symmetric_difference(&now).collect();
        if changed.is_empty() {
            return Vec::new();
        }
        let ambient = Arc::make_mut(&mut self.ambient);
        for &name in &changed {
            let by = ambient.entry(name.clone()).or_default();
            if now.contains(name) {
                by.insert(path.clone())
            } else {
                by.remove(path)
            };
        }
        ambient.retain(|_, by| !by.is_empty());
        let names = |file: &Indexed| file.facts().imports.iter().any(|import| changed.contains(&import.specifier));
        self.files.iter().filter(|(_, file)| names(file)).map(|(path, _)| path.clone()).collect()
    }

    /// The files with an import that could mean `path` if it is there, or something else if it is not.
    fn could_mean(&self, path: &RelPath) -> impl Iterator<Item = RelPath> {
        let stem = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
        let file = stem(path.file_name());
        let directory = path.dir().rsplit('/').next().unwrap_or_default().to_owned();
        let may = move |import: &Import| {
            let last = import.specifier.split('?').next().unwrap_or_default();
            let last = last.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
            let by_name = stem(last) == file || last == directory || matches!(last, "" | "." | "..");
            by_name || !resolve::is_relative(&import.specifier) && self.config().may_be_alias(&import.specifier)
        };
        let files = self.files.iter().filter(move |(_, file)| file.facts().imports.iter().any(&may));
        files.map(|(path, _)| path.clone())
    }

    fn resolve_again(&mut self, path: &RelPath) {
        let resolve =
            |file: &Arc<Indexed>| Edges::new(path, resolve_all(path, &file.facts(), &self.resolver, &self.ambient));
        let new = self.files.get(path).map(resolve);
        let old = self.edges.get(path).cloned().unwrap_or_default();
        let targets: &[RelPath] = new.as_ref().map_or(&[], |edges| &edges.targets);
        let importers = Arc::make_mut(&mut self.importers);
        for gone in old.targets.iter().filter(|target| !targets.contains(target)) {
            let left: Arc<[RelPath]> = importers
                .get(gone)
                .into_iter()
                .flat_map(|from| &**from)
                .filter(|from| *from != path)
                .cloned()
                .collect();
            if left.is_empty() {
                importers.remove(gone);
            } else {
                importers.insert(gone.clone(), left);
            }
        }
        for added in targets.iter().filter(|target| !old.targets.contains(target)) {
            let known = importers.get(added).into_iter().flat_map(|from| &**from);
            let all: BTreeSet<RelPath> = known.chain([path]).cloned().collect();
            importers.insert(added.clone(), all.into_iter().collect());
        }
        let edges = Arc::make_mut(&mut self.edges);
        match new {
            Some(new) => edges.insert(path.clone(), Arc::new(new)),
            None => edges.remove(path),
        };
    }

    /// Every file, sorted by path.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// What the paths say by themselves.
    pub(crate) fn places(&self) -> &Places {
        self.places.get_or_init(|| Places::of(&self.files))
    }

    pub fn contains(&self, path: &RelPath) -> bool {
        self.files.contains_key(path)
    }

    /// What a file says; decoded if nobody holds it, so keep it for as long as it is used.
    pub fn facts(&self, path: &RelPath) -> Option<Arc<FileFacts>> {
        self.files.get(path).map(|file| file.facts())
    }

    pub fn config(&self) -> &Arc<ResolveConfig> {
        self.resolver.config()
    }

    /// Resolves over the files of the graph.
    pub fn resolver(&self) -> &Arc<Resolver> {
        &self.resolver
    }

    /// The indexed file that `specifier` in `from` means; `None` when it is outside the index.
    pub fn resolve(&self, from: &RelPath, specifier: &str) -> Option<RelPath> {
        self.resolver.resolve(from, specifier).or_else(|| declaring(from, specifier, &self.ambient))
    }

    /// The files that `path` imports, sorted, each once.
    pub fn imports(&self, path: &RelPath) -> &[RelPath] {
        self.edges.get(path).map_or(&[], |edges| &edges.targets)
    }

    /// The files that import `path`, sorted, each once.
    pub fn importers(&self, path: &RelPath) -> &[RelPath] {
        self.importers.get(path).map_or(&[], |from| from)
    }

    /// Those of [`Graph::imports`] that a build or an install would make true: as the repository lies there, the
    /// TypeScript compiler would not find them.
    pub fn inferred(&self, path: &RelPath) -> BTreeSet<RelPath> {
        let facts = self.facts(path).unwrap_or_default();
        let pairs = facts.imports.iter().zip(self.resolved(path));
        let led = pairs.filter_map(|(import, target)| Some((import, target.as_ref()?)));
        let (guessed, found): (Vec<_>, Vec<_>) = led.partition(|(import, _)| {
            self.resolver.resolution(path, &import.specifier).is_some_and(|resolution| resolution.inferred)
        });
        let found: BTreeSet<&RelPath> = found.into_iter().map(|(_, target)| target).collect();
        guessed.into_iter().map(|(_, target)| target).filter(|target| !found.contains(target)).cloned().collect()
    }

    /// Where each of the file's imports leads, in the order of [`FileFacts::imports`].
    pub fn resolved(&self, path: &RelPath) -> &[Option<RelPath>] {
        self.edges.get(path).map_or(&[], |edges| &edges.resolved)
    }

    /// The declarations behind `name` as `path` exports it, through re-exports and `export *`: (file, index of the
    /// symbol). Several when a type and a value, or overloads, share the name. Sorted.
    pub fn definition(&self, path: &RelPath, name: &str) -> Vec<(RelPath, usize)> {
        let mut found = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut queue = VecDeque::from([(path.clone(), name.to_owned())]);
        while let Some((path, name)) = queue.pop_front() {
            if !seen.insert((path.clone(), name.clone())) {
                continue;
            }
            let Some(facts) = self.facts(&path) else {
                continue;
            };
            let direct = facts.exports.iter().any(|export| export.name == name);
            for export in &facts.exports {
                if export.name != name && (direct || export.name != "*" || name == "default") {
                    continue;
                }
                self.follow(&path, &facts, export, &name, &mut queue, &mut found);
            }
        }
        found.into_iter().collect()
    }

    fn follow(
        &self,
        path: &RelPath,
        facts: &FileFacts,
        export: &Export,
        name: &str,
        queue: &mut VecDeque<(RelPath, String)>,
        found: &mut BTreeSet<(RelPath, usize)>,
    ) {
        if let Some(from) = &export.from {
            let Some(target) = self.target_of(path, facts, from) else {
                return;
            };
            match export.imported.as_deref() {
                Some("*") if export.name == "*" => queue.push_back((target, name.to_owned())),
                Some("*") | None => {}
                Some(imported) => queue.push_back((target, imported.to_owned())),
            }
            return;
        }
        // An anonymous default is a symbol of that name.
        let local = export.local.as_deref().unwrap_or(&export.name);
        let before = found.len();
        found.extend(
            facts
                .symbols
                .iter()
                .enumerate()
                .filter(|(_, symbol)| symbol.parent.is_none() && symbol.name == local)
                .map(|(index, _)| (path.clone(), index)),
        );
        if found.len() > before {
            return;
        }
        for import in facts.imports.iter().filter(|import| !import.reexport) {
            for (imported, _) in import.names.iter().filter(|(_, here)| here == local) {
                if let Some(target) = self.target_of(path, facts, &import.specifier)
                    && imported != "*"
                {
                    queue.push_back((target, imported.clone()));
                }
            }
        }
    }

    fn target_of(&self, path: &RelPath, facts: &FileFacts, specifier: &str) -> Option<RelPath> {
        let at = facts.imports.iter().position(|import| import.specifier == specifier)?;
        self.resolved(path).get(at)?.clone()
    }

    /// How many relative imports of the file lead nowhere.
    pub fn unresolved(&self, path: &RelPath) -> usize {
        self.edges.get(path).map_or(0, |edges| edges.unresolved as usize)
    }

    /// Every declaration that its own file exports under `name`. Sorted.
    pub fn exported(&self, name: &str) -> Vec<(RelPath, usize)> {
        let mut found = BTreeSet::new();
        for (path, file) in self.files.iter().filter(|(_, file)| name == "default" || file.uses(name)) {
            let facts = file.facts();
            for export in facts.exports.iter().filter(|export| export.name == name && export.from.is_none()) {
                let local = export.local.as_deref().unwrap_or(&export.name);
                for (index, symbol) in facts.symbols.iter().enumerate() {
                    if symbol.parent.is_none() && symbol.name == local {
                        found.insert((path.clone(), index));
                    }
                }
            }
        }
        found.into_iter().collect()
    }

    /// The files that a change of `path` could reach, with their distance (1: a direct importer), nearest first.
    pub fn impact(&self, path: &RelPath) -> Vec<(RelPath, u32)> {
        let mut seen = BTreeSet::from([path.clone()]);
        let mut reached = Vec::new();
        let mut front = vec![path.clone()];
        let mut distance = 0;
        while !front.is_empty() {
            distance += 1;
            let next: BTreeSet<RelPath> = front
                .iter()
                .flat_map(|path| self.importers(path))
                .filter(|path| !seen.contains(*path))
                .cloned()
                .collect();
            seen.extend(next.iter().cloned());
            reached.extend(next.iter().map(|path| (path.clone(), distance)));
            front = next.into_iter().collect();
        }
        reached
    }

    pub fn stats(&self) -> Stats {
        let mut stats = Stats { files: self.files.len(), ..Stats::default() };
        for (path, file) in self.files.iter() {
            let summary = file.summary();
            stats.symbols += summary.symbols as usize;
            stats.exports += summary.exports as usize;
            stats.broken += usize::from(summary.broken);
            stats.lines += u64::from(summary.lines);
            stats.edges += self.imports(path).len();
            stats.unresolved += self.unresolved(path);
        }
        stats
    }
}

impl Edges {
    fn new(path: &RelPath, resolved: Resolved) -> Self {
        let Resolved { targets: resolved, unresolved } = resolved;
        let targets: BTreeSet<RelPath> = resolved.iter().flatten().filter(|target| *target != path).cloned().collect();
        Self { unresolved, resolved, targets: targets.into_iter().collect() }
    }
}

fn resolve_all(path: &RelPath, facts: &FileFacts, resolver: &Resolver, ambient: &Ambient) -> Resolved {
    let module = facts.is_module();
    let resolve = |import: &Import| {
        // In a script `declare module` does not mean a module, it is one.
        if import.kind == ImportKind::Augment && !module {
            return None;
        }
        resolver.resolve(path, &import.specifier).or_else(|| declaring(path, &import.specifier, ambient))
    };
    let targets: Vec<_> = facts.imports.iter().map(resolve).collect();
    let lost = facts.imports.iter().zip(&targets);
    let lost = lost.filter(|(import, target)| target.is_none() && import.specifier.starts_with('.')).count();
    Resolved { targets, unresolved: u32::try_from(lost).unwrap_or(u32::MAX) }
}

/// The first of the files that declare the module.
fn declaring(from: &RelPath, specifier: &str, ambient: &Ambient) -> Option<RelPath> {
    ambient.get(specifier)?.iter().find(|path| *path != from).cloned()
}

fn ambient(files: &Files) -> Ambient {
    let mut ambient = Ambient::new();
    for (path, file) in files {
        for name in declared(path, file) {
            ambient.entry(name).or_default().insert(path.clone());
        }
    }
    ambient
}

/// The modules that a declaration file declares.
fn declared(path: &RelPath, file: &Indexed) -> BTreeSet<String> {
    if ![".d.ts", ".d.mts", ".d.cts"].iter().any(|end| path.as_str().ends_with(end)) {
        return BTreeSet::new();
    }
    let facts = file.facts();
    if facts.is_module() {
        return BTreeSet::new();
    }
    let names = facts.imports.iter().filter(|import| import.kind == ImportKind::Augment);
    names.map(|import| import.specifier.clone()).collect()
}

#[cfg(test)]
mod tests;
