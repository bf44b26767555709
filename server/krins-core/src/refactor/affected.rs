//! Which files a refactoring must see whole: a generous guess from the graph, because what is missed here is missed.

use super::{RefactorError, Refactoring, names};
use crate::graph::{Graph, ResolveConfig};
use crate::path::RelPath;
use crate::prompt::Focus;
use crate::tree::Tree;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn affected(
    refactoring: &Refactoring,
    graph: &Graph,
    tree: &dyn Tree,
) -> Result<Vec<RelPath>, RefactorError> {
    let files = match refactoring {
        Refactoring::Rename { from, to, file } => renamed(graph, tree, from, to, file.as_ref())?,
        Refactoring::Move { symbol, file, to } => moved(graph, tree, symbol, file.as_ref(), to)?,
        Refactoring::RemoveUnusedImports { files } if !files.is_empty() => {
            files.iter().try_for_each(|file| known(graph, file))?;
            files.iter().cloned().collect()
        }
        Refactoring::RemoveUnusedImports { .. } => graph
            .files()
            .iter()
            .filter(|(_, file)| file.facts().imports.iter().any(|import| !import.reexport))
            .map(|(path, _)| path.clone())
            .collect(),
        Refactoring::DefaultToNamed { file, .. } => {
            known(graph, file)?;
            let mut files = importers(graph, BTreeSet::from([file.clone()]));
            files.insert(file.clone());
            files.extend(star_targets(graph, &files, |_| true));
            files.extend(mockers(graph, tree, "default"));
            files
        }
    };
    let mut files = with_siblings(graph, files);
    files.extend(configuration(tree, &files));
    Ok(files.into_iter().collect())
}

pub(super) fn aim(mut refactoring: Refactoring, focus: Option<&Focus>, graph: &Graph) -> Refactoring {
    let (Refactoring::Rename { from: name, file, .. } | Refactoring::Move { symbol: name, file, .. }) =
        &mut refactoring
    else {
        return refactoring;
    };
    let here = focus.and_then(|focus| Some((&focus.path, graph.facts(&focus.path)?)));
    if let (None, Some((path, facts))) = (&file, here) {
        let exports = facts.exports.iter().any(|export| export.name == *name);
        let imports = facts.imports.iter().any(|import| import.names.iter().any(|(_, local)| local == name));
        if exports || imports {
            *file = Some(path.clone());
        }
    }
    refactoring
}

fn known(graph: &Graph, file: &RelPath) -> Result<(), RefactorError> {
    if graph.contains(file) {
        return Ok(());
    }
    Err(RefactorError::Unreadable { path: file.clone(), why: "there is no such script".to_owned() })
}

fn renamed(
    graph: &Graph,
    tree: &dyn Tree,
    from: &str,
    to: &str,
    file: Option<&RelPath>,
) -> Result<BTreeSet<RelPath>, RefactorError> {
    let mut files = around(graph, tree, from, file)?;
    let taken = exporters(graph, to);
    files.extend(star_targets(graph, &files, |path| taken.contains(path)));
    files.extend(taken);
    Ok(files)
}

/// All files that declare, pass on or could mention the exported `name`.
fn around(
    graph: &Graph,
    tree: &dyn Tree,
    name: &str,
    file: Option<&RelPath>,
) -> Result<BTreeSet<RelPath>, RefactorError> {
    if let Some(file) = file {
        known(graph, file)?;
    }
    let mut homes = exporters(graph, name);
    homes.extend(file.cloned());
    if homes.is_empty() {
        let exports = graph.files().values().flat_map(|file| file.facts().exports.clone());
        let names: BTreeSet<String> =
            exports.map(|export| export.name).filter(|name| !matches!(name.as_str(), "default" | "*" | "=")).collect();
        let similar = names::similar(name, names.iter().map(String::as_str));
        return Err(RefactorError::NoSuchSymbol { symbol: name.to_owned(), similar });
    }
    let mut files: BTreeSet<RelPath> = importers(graph, homes.clone())
        .into_iter()
        .filter(|path| passes_on(graph, path) || mentions(graph, tree, path, name))
        .collect();
    files.extend(homes);
    files.extend(mockers(graph, tree, name));
    Ok(files)
}

/// Tests that may mock a module which they do not import: `vi.mock("./x", …)` is no edge of the graph.
fn mockers(graph: &Graph, tree: &dyn Tree, name: &str) -> Vec<RelPath> {
    let knows = |path: &RelPath, word: &str| graph.files().get(path).is_some_and(|file| file.uses(word));
    graph
        .files()
        .keys()
        .filter(|path| knows(path, "vi") || knows(path, "jest") || knows(path, "vitest"))
        .filter(|path| mentions(graph, tree, path, name))
        .cloned()
        .collect()
}

fn exporters(graph: &Graph, name: &str) -> BTreeSet<RelPath> {
    graph
        .files()
        .iter()
        .filter(|(_, file)| file.uses(name))
        .filter(|(_, file)| {
            file.facts().exports.iter().any(|export| export.name == name || export.local.as_deref() == Some(name))
        })
        .map(|(path, _)| path.clone())
        .collect()
}

fn passes_on(graph: &Graph, path: &RelPath) -> bool {
    graph.facts(path).is_some_and(|facts| {
        facts.exports.iter().any(|export| {
            export.from.is_some()
                || export.local.as_ref().is_some_and(|local| {
                    facts.imports.iter().any(|import| import.names.iter().any(|(_, here)| here == local))
                })
        })
    })
}

fn mentions(graph: &Graph, tree: &dyn Tree, path: &RelPath, name: &str) -> bool {
    let listed = graph.files().get(path).is_some_and(|file| file.uses(name));
    listed || tree.text(path).is_some_and(|text| text.contains(name))
}

/// What the files pass on by `export *`, directly or not: the modules in between, and at the ends those that `wanted`
/// picks. Two stars that offer one name cancel each other, so both sides must be seen.
fn star_targets(graph: &Graph, files: &BTreeSet<RelPath>, wanted: impl Fn(&RelPath) -> bool) -> BTreeSet<RelPath> {
    let stars = |path: &RelPath| -> Vec<RelPath> {
        let facts = graph.facts(path).unwrap_or_default();
        facts
            .exports
            .iter()
            .filter(|export| export.name == "*")
            .filter_map(|export| graph.resolve(path, export.from.as_deref()?))
            .collect()
    };
    let mut seen = BTreeSet::new();
    let mut front: Vec<RelPath> = files.iter().cloned().collect();
    let mut found = BTreeSet::new();
    while let Some(path) = front.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let targets = stars(&path);
        if !targets.is_empty() || wanted(&path) {
            found.insert(path);
        }
        front.extend(targets);
    }
    found
}

/// Everything that imports one of `files`, directly or not.
fn importers(graph: &Graph, files: BTreeSet<RelPath>) -> BTreeSet<RelPath> {
    reach(files, |path| graph.importers(path))
}

fn reach<'g>(start: BTreeSet<RelPath>, next: impl Fn(&RelPath) -> &'g [RelPath]) -> BTreeSet<RelPath> {
    let mut found = BTreeSet::new();
    let mut front: Vec<RelPath> = start.into_iter().collect();
    while let Some(path) = front.pop() {
        for other in next(&path) {
            if found.insert(other.clone()) {
                front.push(other.clone());
            }
        }
    }
    found
}

fn moved(
    graph: &Graph,
    tree: &dyn Tree,
    symbol: &str,
    file: Option<&RelPath>,
    to: &RelPath,
) -> Result<BTreeSet<RelPath>, RefactorError> {
    let mut files = around(graph, tree, symbol, file)?;
    // What the two modules import decides whether a cycle would close, and which names are the same thing.
    let mut ends = exporters(graph, symbol);
    ends.extend(file.cloned());
    ends.extend(targets(graph, to));
    files.extend(ends.iter().cloned());
    files.extend(reach(ends, |path| graph.imports(path)));
    Ok(files)
}

/// The files that a target without an extension can mean.
fn targets(graph: &Graph, to: &RelPath) -> Vec<RelPath> {
    let mut found = Vec::new();
    if graph.contains(to) {
        found.push(to.clone());
    }
    for ending in super::relocate::ENDINGS {
        if let Ok(path) = RelPath::new(&format!("{to}{ending}"))
            && graph.contains(&path)
        {
            found.push(path);
        }
    }
    found
}

/// Files of the same stem and the folder of the same name come along, so that specifiers lead where they led.
fn with_siblings(graph: &Graph, files: BTreeSet<RelPath>) -> BTreeSet<RelPath> {
    let mut stems: BTreeMap<&str, Vec<&RelPath>> = BTreeMap::new();
    for path in graph.files().keys() {
        stems.entry(stem(path)).or_default().push(path);
    }
    let mut all = files.clone();
    for path in &files {
        let own = stem(path);
        let folder = own.strip_suffix("/index");
        for stem in [Some(own), folder].into_iter().flatten() {
            all.extend(stems.get(stem).into_iter().flatten().map(|p| (*p).clone()));
        }
    }
    all
}

fn stem(path: &RelPath) -> &str {
    let whole = path.as_str();
    let name = whole.len() - path.file_name().len();
    whole[name..].split_once('.').map_or(whole, |(stem, _)| &whole[..name + stem.len()])
}

/// tsconfig and package.json files of the folders above, with what they extend and refer to.
fn configuration(tree: &dyn Tree, files: &BTreeSet<RelPath>) -> BTreeSet<RelPath> {
    let mut folders = BTreeSet::from([String::new()]);
    for path in files {
        let mut dir = path.dir();
        while !dir.is_empty() && folders.insert(dir.to_owned()) {
            dir = dir.rsplit_once('/').map_or("", |(dir, _)| dir);
        }
    }
    let mut queue: Vec<RelPath> = folders
        .iter()
        .flat_map(|dir| {
            ["package.json", "tsconfig.json", "jsconfig.json", "tsconfig.base.json", "pnpm-workspace.yaml"]
                .into_iter()
                .filter_map(|name| RelPath::join_dir(dir, name))
        })
        .collect();
    let mut found = BTreeSet::new();
    while let Some(path) = queue.pop() {
        if !ResolveConfig::wants(&path) || found.contains(&path) || found.len() > 5_000 {
            continue;
        }
        let Some(text) = tree.text(&path) else {
            continue;
        };
        for quoted in text.split('"').filter(|quoted| quoted.starts_with('.')) {
            for ending in ["", ".json", "/tsconfig.json"] {
                queue.extend(path.join_relative(&format!("{quoted}{ending}")));
            }
        }
        found.insert(path);
    }
    found
}
