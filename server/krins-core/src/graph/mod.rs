//! The code graph: symbols, imports and exports of every file, and the resolved edges between files.
//!
//! Made from texts alone; who reads the texts, and when, is not known here.

mod chunks;
mod facts;
mod generated;
mod jsonc;
mod kinds;
mod modules;
mod packages;
mod resolve;
pub(crate) mod words;

pub use facts::analyse;
pub use resolve::ResolveConfig;

use crate::path::RelPath;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SymbolKind {
    Function,
    Class,
    Method,
    Property,
    Interface,
    TypeAlias,
    Enum,
    Namespace,
    Variable,
}

/// A named declaration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Symbol {
    pub name: String,
    pub kind: SymbolKind,
    /// Bytes of the whole declaration, its doc comment and `export` included.
    pub range: Range<usize>,
    /// 1-based inclusive lines of `range`.
    pub lines: [u32; 2],
    /// Bytes of the name.
    pub name_range: Range<usize>,
    /// The declaration without its body, on one line.
    pub signature: String,
    /// Whether other modules can name it, in whatever way it is exported; a member is as visible as its parent.
    pub exported: bool,
    /// Index of the enclosing symbol in the file's list.
    pub parent: Option<usize>,
}

/// Everything one file says about itself; made from its text alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// In the order of their starts; a parent comes before its members.
    pub symbols: Vec<Symbol>,
    /// Every module specifier in the text, in order; re-exports are here too.
    pub imports: Vec<Import>,
    pub exports: Vec<Export>,
    /// Identifiers used in the file, each once, sorted (declarations and references alike).
    pub identifiers: Vec<Arc<str>>,
    /// Whether the parse had errors.
    pub broken: bool,
    pub lines: u32,
    /// Whether it looks generated, minified or vendored.
    pub generated: bool,
    /// The pieces that context selection chooses from; together they cover the file.
    pub chunks: Vec<Chunk>,
}

/// How a specifier is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ImportKind {
    /// `import … from "x"`, `import "x"`.
    Static,
    /// `export … from "x"`.
    Reexport,
    /// `import("x")` as an expression.
    Dynamic,
    /// `require("x")`.
    Require,
    /// `import a = require("x")`.
    Equals,
    /// `import("x").T` and `typeof import("x")` as types.
    Type,
    /// `declare module "x"` in a module: an augmentation.
    Augment,
}

/// A module specifier and what is taken from there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    pub specifier: String,
    /// (name in the other module, name here); `default` and `*` are spelled so. `import * as ns` is `("*", "ns")`,
    /// `export * from` is `("*", "*")`. Empty for a side-effect import. For `import("x")` and `require("x")` the
    /// names that are destructured or accessed on the spot, if any.
    pub names: Vec<(String, String)>,
    /// The whole statement is `import type` / `export type`, or it is a type.
    pub type_only: bool,
    pub reexport: bool,
    pub kind: ImportKind,
    /// 1-based.
    pub line: u32,
    /// Bytes of the specifier, without its quotes.
    pub range: Range<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// The name other modules see; `default`; `*` for `export * from`; `=` for `export =`.
    pub name: String,
    /// The name here, when it is a local binding.
    pub local: Option<String>,
    /// The module it comes from, when it is a re-export.
    pub from: Option<String>,
    /// The name in that module (`default`, `*` for the whole namespace), when it is a re-export.
    pub imported: Option<String>,
    pub type_only: bool,
    /// 1-based.
    pub line: u32,
}

/// A piece of a file that is chosen or left as one: a declaration, a method, a run of small statements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// 1-based inclusive lines. Chunks of a file do not overlap.
    pub lines: [u32; 2],
    /// Index of the innermost symbol it is, or is part of.
    pub symbol: Option<usize>,
    /// What its lines cost.
    pub tokens: u32,
    /// How many terms it holds, repeats included.
    pub length: u32,
    /// Hashes of its terms with their counts, sorted by hash.
    pub terms: Vec<(u32, u16)>,
}

/// Facts of every indexed file plus resolved module edges. Cheap to clone.
#[derive(Clone, Default)]
pub struct Graph {
    pub files: Arc<BTreeMap<RelPath, Arc<FileFacts>>>,
    config: Arc<ResolveConfig>,
    edges: Arc<BTreeMap<RelPath, Arc<Edges>>>,
    importers: Arc<BTreeMap<RelPath, Arc<[RelPath]>>>,
}

/// Where each import of a file leads, in the order of [`FileFacts::imports`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Edges {
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
    pub fn build(files: BTreeMap<RelPath, Arc<FileFacts>>, config: Arc<ResolveConfig>) -> Self {
        let edges: BTreeMap<RelPath, Arc<Edges>> = files
            .iter()
            .map(|(path, facts)| {
                (path.clone(), Arc::new(resolve_all(path, facts, &config, &|p| files.contains_key(p))))
            })
            .collect();
        let mut importers: BTreeMap<RelPath, BTreeSet<RelPath>> = BTreeMap::new();
        for (path, edges) in &edges {
            for target in &edges.targets {
                importers.entry(target.clone()).or_default().insert(path.clone());
            }
        }
        Self {
            files: Arc::new(files),
            config,
            edges: Arc::new(edges),
            importers: Arc::new(importers.into_iter().map(|(path, from)| (path, from.into_iter().collect())).collect()),
        }
    }

    /// The graph with one file put in, replaced or (`None`) taken out: the same as building it anew, but only the
    /// files are resolved again whose imports could lead elsewhere now.
    #[must_use]
    pub fn with_file(&self, path: &RelPath, facts: Option<Arc<FileFacts>>) -> Self {
        let mut graph = self.clone();
        let was_there = self.files.contains_key(path);
        let is_there = facts.is_some();
        let files = Arc::make_mut(&mut graph.files);
        match facts {
            Some(facts) => files.insert(path.clone(), facts),
            None => files.remove(path),
        };
        let mut stale = BTreeSet::from([path.clone()]);
        if was_there != is_there {
            stale.extend(self.importers(path).iter().cloned());
            stale.extend(self.could_mean(path));
        }
        for file in stale {
            graph.resolve_again(&file);
        }
        graph
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
            by_name || !resolve::is_relative(&import.specifier) && self.config.may_be_alias(&import.specifier)
        };
        let files = self.files.iter().filter(move |(_, facts)| facts.imports.iter().any(&may));
        files.map(|(path, _)| path.clone())
    }

    fn resolve_again(&mut self, path: &RelPath) {
        let files = &self.files;
        let new = files.get(path).map(|facts| resolve_all(path, facts, &self.config, &|path| files.contains_key(path)));
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

    pub fn config(&self) -> &Arc<ResolveConfig> {
        &self.config
    }

    /// The indexed file that `specifier` in `from` means; `None` when it is outside the index.
    pub fn resolve(&self, from: &RelPath, specifier: &str) -> Option<RelPath> {
        self.config.resolve(from, specifier, &|path| self.files.contains_key(path))
    }

    /// The files that `path` imports, sorted, each once.
    pub fn imports(&self, path: &RelPath) -> &[RelPath] {
        self.edges.get(path).map_or(&[], |edges| &edges.targets)
    }

    /// The files that import `path`, sorted, each once.
    pub fn importers(&self, path: &RelPath) -> &[RelPath] {
        self.importers.get(path).map_or(&[], |from| from)
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
            let Some(facts) = self.files.get(&path) else {
                continue;
            };
            let direct = facts.exports.iter().any(|export| export.name == name);
            for export in &facts.exports {
                if export.name != name && (direct || export.name != "*" || name == "default") {
                    continue;
                }
                self.follow(&path, facts, export, &name, &mut queue, &mut found);
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

    /// Every declaration that its own file exports under `name`. Sorted.
    pub fn exported(&self, name: &str) -> Vec<(RelPath, usize)> {
        let mut found = BTreeSet::new();
        for (path, facts) in self.files.iter() {
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
        for (path, facts) in self.files.iter() {
            stats.symbols += facts.symbols.len();
            stats.exports += facts.exports.len();
            stats.broken += usize::from(facts.broken);
            stats.lines += u64::from(facts.lines);
            stats.edges += self.imports(path).len();
            stats.unresolved += facts
                .imports
                .iter()
                .zip(self.resolved(path))
                .filter(|(import, target)| target.is_none() && import.specifier.starts_with('.'))
                .count();
        }
        stats
    }
}

fn resolve_all(path: &RelPath, facts: &FileFacts, config: &ResolveConfig, exists: &dyn Fn(&RelPath) -> bool) -> Edges {
    let resolved: Vec<Option<RelPath>> =
        facts.imports.iter().map(|import| config.resolve(path, &import.specifier, exists)).collect();
    let targets: BTreeSet<RelPath> = resolved.iter().flatten().filter(|target| *target != path).cloned().collect();
    Edges { resolved, targets: targets.into_iter().collect() }
}

#[cfg(test)]
mod tests;
