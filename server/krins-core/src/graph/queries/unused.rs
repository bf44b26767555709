//! Exports that nothing in the graph takes, with how sure that is.
//!
//! What a package offers, what a tool runs and what a framework finds by its place is used, whoever imports it.

use super::{Entity, Lookup, SymbolRef, is_test};
use crate::graph::{FileFacts, Graph, ImportKind, ReferenceKind};
use crate::path::RelPath;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Why an export counts as unused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// No file uses it, its own neither.
    Nobody,
    /// Only its own file uses it: it need not be exported.
    OnlyItsFile,
    /// Only tests use it.
    OnlyTests,
    /// Nothing imports the whole file.
    FileNotImported,
}

/// An export that nothing takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Unused {
    pub symbol: SymbolRef,
    /// The name that it is exported under.
    pub name: String,
    pub why: Why,
    /// 0 to 1.
    pub confidence: f64,
}

/// What is used from outside of the graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// Files that a package.json names, as sources where they are built.
    files: BTreeSet<RelPath>,
    /// Directories of packages that others can install, and that do not say what they export.
    open: BTreeSet<String>,
}

impl Entries {
    /// From the texts of the package.json files (others are ignored).
    pub fn of(graph: &Graph, texts: &BTreeMap<RelPath, Arc<str>>) -> Self {
        let mut entries = Self::default();
        for (path, text) in texts.iter().filter(|(path, _)| path.file_name() == "package.json") {
            if let Ok(value) = serde_json::from_str::<Value>(text) {
                entries.add(graph, path.dir(), &value);
            }
        }
        entries
    }

    fn add(&mut self, graph: &Graph, dir: &str, package: &Value) {
        let mut targets = Vec::new();
        for key in ["main", "module", "browser", "types", "typings", "source", "bin", "exports", "publishConfig"] {
            strings(&package[key], &mut targets);
        }
        // `index` is what a package without entries means.
        targets.extend(["index.js", "src/index.js"].map(str::to_owned));
        if let Value::Object(scripts) = &package["scripts"] {
            let words =
                scripts.values().filter_map(Value::as_str).flat_map(|script| script.split([' ', '=', '"', '\'']));
            targets.extend(words.filter(|word| word.contains('.')).map(str::to_owned));
        }
        for target in targets {
            self.files.extend(files_of(graph, dir, &target));
        }
        if package["private"] != Value::Bool(true) && package["exports"].is_null() && package["name"].is_string() {
            self.open.insert(dir.to_owned());
        }
    }

    pub fn contains(&self, path: &RelPath) -> bool {
        self.files.contains(path) || is_run(path)
    }

    fn is_open(&self, path: &RelPath) -> bool {
        let mut dir = path.dir();
        loop {
            if self.open.contains(dir) {
                return true;
            }
            match dir.rsplit_once('/') {
                Some((above, _)) => dir = above,
                None if !dir.is_empty() => dir = "",
                None => return false,
            }
        }
    }
}

fn strings(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(all) => all.iter().for_each(|value| strings(value, found)),
        Value::Object(map) => map.values().for_each(|value| strings(value, found)),
        _ => {}
    }
}

/// The files of the graph that a target in a package.json means; `*` stands for any part of a path.
fn files_of(graph: &Graph, dir: &str, target: &str) -> Vec<RelPath> {
    let target = target.trim_start_matches("./");
    let below = |name: &str| if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") };
    let mut candidates = vec![below(target)];
    candidates.extend(graph.config().sources_of(&below(target)));
    // A script may be written without its extension, or with that of what it is built to.
    let stem = target.strip_suffix(".js").unwrap_or(target);
    candidates.extend([".ts", ".tsx", ".mts", ".js", ".jsx"].map(|end| below(&format!("{stem}{end}"))));
    let mut found = Vec::new();
    for candidate in candidates {
        if let Some((before, after)) = candidate.split_once('*') {
            let after = after.rsplit('*').next().unwrap_or_default();
            let fits = |path: &&RelPath| path.as_str().starts_with(before) && path.as_str().ends_with(after);
            found.extend(graph.files().keys().filter(fits).cloned());
        } else if let Some(path) = RelPath::join_dir("", &candidate).filter(|path| graph.contains(path)) {
            found.push(path);
            break;
        }
    }
    found
}

/// Whether a tool or a framework runs the file because of its name or place.
fn is_run(path: &RelPath) -> bool {
    let name = path.file_name();
    let parts: Vec<&str> = name.split('.').collect();
    let tool = parts.iter().any(|part| {
        matches!(*part, "config" | "setup" | "stories" | "story" | "bench" | "worker" | "d" | "conf" | "workspace")
            || part.ends_with("rc")
    });
    let stem = parts.first().copied().unwrap_or_default();
    let place = path.dir().split('/').any(|dir| {
        matches!(
            dir,
            "pages"
                | "routes"
                | "scripts"
                | "script"
                | "bin"
                | "examples"
                | "migrations"
                | "fixtures"
                | "api"
                | "subscribers"
                | "jobs"
                | "workflows"
                | "benchmarks"
                | "bench"
                | "config"
                | ".storybook"
                | "public"
        )
    });
    // Next's and its like: files of an `app` directory that the router finds.
    let routed = path.dir().split('/').any(|dir| dir == "app")
        && matches!(stem, "page" | "layout" | "route" | "loading" | "error" | "template" | "default" | "middleware");
    tool || place || routed || matches!(stem, "gulpfile" | "Gruntfile" | "middleware" | "instrumentation")
}

/// Who takes a declaration.
#[derive(Clone, Copy, Default)]
struct Taken {
    code: bool,
    tests: bool,
}

struct Taking<'l, 'g> {
    lookup: &'l Lookup<'g>,
    taken: BTreeMap<SymbolRef, Taken>,
    /// Modules that were taken whole, by whom.
    whole: BTreeSet<(RelPath, bool)>,
}

impl Taking<'_, '_> {
    fn take(&mut self, path: &RelPath, name: &str, by_test: bool) {
        for entity in self.lookup.export(path, name).iter() {
            self.mark(entity, by_test);
        }
    }

    fn mark(&mut self, entity: &Entity, by_test: bool) {
        match entity {
            Entity::Symbol(symbol) => {
                let taken = self.taken.entry(symbol.clone()).or_default();
                if by_test { taken.tests = true } else { taken.code = true }
            }
            Entity::Module(path) => self.take_all(path, by_test),
        }
    }

    fn take_all(&mut self, path: &RelPath, by_test: bool) {
        let mut queue = vec![path.clone()];
        while let Some(path) = queue.pop() {
            if !self.whole.insert((path.clone(), by_test)) {
                continue;
            }
            let Some(facts) = self.lookup.facts(&path) else { continue };
            for export in &facts.exports {
                match (&export.from, export.name.as_str()) {
                    (Some(from), "*") => queue.extend(self.lookup.graph().resolve(&path, from)),
                    _ => self.take(&path, &export.name, by_test),
                }
            }
        }
    }

    /// What one file takes from others.
    fn read(&mut self, path: &RelPath, facts: &FileFacts) {
        let by_test = is_test(path);
        let mut modules = false;
        for (import, target) in facts.imports.iter().zip(self.lookup.graph().resolved(path)) {
            let Some(target) = target.as_ref().filter(|_| !import.reexport) else { continue };
            for (imported, _) in &import.names {
                if imported == "*" {
                    modules = true;
                    continue;
                }
                for entity in self.lookup.export(target, imported).iter() {
                    match entity {
                        Entity::Symbol(_) => self.mark(entity, by_test),
                        Entity::Module(_) => modules = true,
                    }
                }
            }
            let loads = matches!(import.kind, ImportKind::Dynamic | ImportKind::Require | ImportKind::Type);
            if import.names.is_empty() && loads {
                self.take_all(target, by_test);
            }
        }
        if !modules {
            return;
        }
        // Of a module that has a name here, what is taken shows where the name is used; naming it takes nothing.
        for used in self.lookup.uses(path).iter() {
            if !matches!(used.kind, ReferenceKind::Import | ReferenceKind::Export) {
                self.mark(&used.target, by_test);
            }
        }
    }
}

/// Every export of the graph that nothing takes, by path and place.
pub fn unused(graph: &Graph, entries: &Entries) -> Vec<Unused> {
    let lookup = Lookup::new(graph);
    let mut taking = Taking { lookup: &lookup, taken: BTreeMap::new(), whole: BTreeSet::new() };
    for path in graph.files().keys() {
        let Some(facts) = lookup.facts(path) else { continue };
        taking.read(path, &facts);
        if entries.contains(path) {
            taking.take_all(path, false);
        }
    }
    let mut found = Vec::new();
    for (path, file) in graph.files() {
        let outside = entries.contains(path) || is_test(path) || file.summary().generated || file.summary().broken;
        let Some(facts) = lookup.facts(path).filter(|_| !outside && file.summary().exports > 0) else { continue };
        found.extend(unused_in(&lookup, path, &facts, &taking.taken, entries));
    }
    found
}

fn unused_in(
    lookup: &Lookup<'_>,
    path: &RelPath,
    facts: &FileFacts,
    taken: &BTreeMap<SymbolRef, Taken>,
    entries: &Entries,
) -> Vec<Unused> {
    let mut found: Vec<Unused> = Vec::new();
    let imported = !lookup.graph().importers(path).is_empty();
    for export in facts.exports.iter().filter(|export| export.from.is_none()) {
        let local = export.local.as_deref().unwrap_or(&export.name);
        let here = facts.symbols.iter().position(|symbol| symbol.parent.is_none() && symbol.name == local);
        let Some(symbol) = here.map(|index| SymbolRef { path: path.clone(), index }) else { continue };
        let by = taken.get(&symbol).copied().unwrap_or_default();
        if by.code || found.iter().any(|known| known.symbol == symbol) {
            continue;
        }
        let target = Entity::Symbol(symbol.clone());
        let at_home = || {
            lookup.uses(path).iter().any(|used| {
                used.target == target && used.kind != ReferenceKind::Export && used.within != Some(symbol.index)
            })
        };
        let (why, sure) = match (by.tests, imported) {
            (true, _) => (Why::OnlyTests, 0.7),
            (false, _) if at_home() => (Why::OnlyItsFile, 0.9),
            // A tool that was not told of may run it.
            (false, false) => (Why::FileNotImported, 0.6),
            (false, true) => (Why::Nobody, 0.95),
        };
        let mut confidence: f64 = sure;
        if entries.is_open(path) {
            confidence *= 0.6;
        }
        if export.type_only {
            confidence *= 0.9;
        }
        found.push(Unused { symbol, name: export.name.clone(), why, confidence });
    }
    found
}
