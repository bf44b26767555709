//! Which source a file that a build would make comes from.
//!
//! Packages of a repository that was never built name files below `dist` that are not there. The tsconfig that makes them
//! says where they come from (`outDir`, `rootDir`); else the usual layout does; else the package's own entry is taken to be
//! its `src/index`.

use super::manifest::Manifest;
use super::project::{Project, Projects};
use super::{RelPath, ancestors, below, join, placed};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Outputs {
    /// Directories of sources by the directory of what is made of them.
    made: BTreeMap<String, Vec<String>>,
    /// Directories of packages.
    packages: BTreeSet<String>,
    /// Directory of the package by what it names as itself.
    entries: BTreeMap<String, String>,
}

/// Directories that hold what a build makes.
const OUTPUT: &[&str] = &["dist", "lib", "build", "out", "output", "esm", "cjs", "es"];
/// The same for declarations alone.
const DECLARATIONS: &[&str] = &["types", "typings", "dts"];
/// Flavours of output below such a directory.
const FLAVOURS: &[&str] = &[
    "esm", "cjs", "es", "es6", "es5", "esm5", "esm2015", "mjs", "umd", "types", "typings", "dts", "lib", "prod", "dev",
];
/// Where sources lie in a package, the likeliest first.
const SOURCES: &[&str] = &["src", "", "lib"];
/// What a package's own source is called.
const ENTRIES: &[&str] = &["src/index", "src/main", "index"];

/// What a built file ends with, and the sources that give it.
const BUILT: &[(&str, &[&str])] = &[
    (".d.mts", &[".mts", ".ts", ".tsx"]),
    (".d.cts", &[".cts", ".ts", ".tsx"]),
    (".d.ts", &[".ts", ".tsx", ".d.ts"]),
    (".mjs", &[".mts", ".ts", ".tsx", ".mjs", ".js"]),
    (".cjs", &[".cts", ".ts", ".tsx", ".cjs", ".js"]),
    (".js", &[".ts", ".tsx", ".js", ".jsx"]),
    (".jsx", &[".tsx", ".jsx"]),
];

impl Outputs {
    pub fn of(projects: &Projects, manifests: &BTreeMap<String, Manifest>) -> Self {
        let mut outputs = Self { packages: manifests.keys().cloned().collect(), ..Self::default() };
        for (path, project) in projects.iter() {
            for made in [&project.out_dir, &project.declaration_dir].into_iter().flatten() {
                let known = outputs.made.entry(made.clone()).or_default();
                known.extend(source_dirs(path, project));
            }
        }
        for (dir, manifest) in manifests {
            for entry in manifest.entries.iter().filter_map(|entry| placed(dir, entry)) {
                outputs.entries.entry(entry).or_insert_with(|| dir.clone());
            }
        }
        outputs
    }

    /// The sources that a file may come from, the likeliest first.
    pub fn candidates(&self, path: &str) -> Vec<String> {
        let Some((stem, extensions)) = stem_of(path) else { return Vec::new() };
        let places = self.places(stem, false, path.ends_with("ts"));
        places.iter().flat_map(|stem| extensions.iter().map(move |end| format!("{stem}{end}"))).collect()
    }

    /// The source of a file that is not there. `imported`: somebody asks for it by the name of its package.
    pub fn source(&self, path: &str, imported: bool, is_file: &dyn Fn(&str) -> bool) -> Option<String> {
        let (stem, extensions) = stem_of(path)?;
        let found = |stem: &str| extensions.iter().map(|end| format!("{stem}{end}")).find(|path| is_file(path));
        let declared = path.ends_with("ts");
        self.places(stem, imported, declared).iter().find_map(|stem| found(stem)).or_else(|| {
            let package = self.entries.get(path).filter(|_| imported)?;
            ENTRIES.iter().find_map(|entry| found(&join(package, entry)))
        })
    }

    /// Whether a build would make a directory where none is.
    pub fn is_dir(&self, path: &str, imported: bool, is_dir: &dyn Fn(&str) -> bool) -> bool {
        // Directories have names without an extension.
        let name = path.rsplit('/').next().unwrap_or_default();
        !name.contains('.') && self.places(path, imported, false).iter().any(|place| is_dir(place))
    }

    /// Where the source of what would be at `path` may be, the likeliest first.
    fn places(&self, path: &str, imported: bool, declared: bool) -> Vec<String> {
        let mut places = Vec::new();
        for dir in ancestors(path).skip(1) {
            let (Some(sources), Some(inside)) = (self.made.get(dir), below(path, dir)) else { continue };
            places.extend(sources.iter().map(|source| join(source, inside)));
        }
        let Some(package) = ancestors(path).skip(1).find(|dir| self.packages.contains(*dir)) else { return places };
        let inside = below(path, package).unwrap_or_default();
        if let Some((output, rest)) = inside.split_once('/')
            && (OUTPUT.contains(&output) || declared && DECLARATIONS.contains(&output))
        {
            places.extend(flavourless(rest).flat_map(|rest| in_sources(package, rest)));
        } else if OUTPUT.contains(&inside) {
            places.extend(in_sources(package, ""));
        }
        if imported {
            places.extend(in_sources(package, inside));
        }
        places
    }
}

/// A built file's path without its extension, and the extensions of its sources.
fn stem_of(path: &str) -> Option<(&str, &'static [&'static str])> {
    BUILT.iter().find_map(|(end, with)| Some((path.strip_suffix(end)?, *with)))
}

fn in_sources(package: &str, inside: &str) -> Vec<String> {
    let place =
        |source: &&str| placed(package, format!("{source}/{inside}").replace("//", "/").trim_start_matches('/'));
    SOURCES.iter().filter_map(place).collect()
}

/// What is below a directory of output, then without the flavours that it begins with.
fn flavourless(rest: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(rest), |rest| {
        let (first, rest) = rest.split_once('/')?;
        FLAVOURS.contains(&first).then_some(rest)
    })
}

/// Where what a project makes comes from: its `rootDir`; without one the compiler takes the directory that all of its
/// files have in common, which what it includes tells well enough.
fn source_dirs(path: &RelPath, project: &Project) -> Vec<String> {
    if let Some(root) = &project.root_dir {
        return vec![root.clone()];
    }
    let own = path.dir().to_owned();
    if project.composite {
        return vec![own];
    }
    let included: Vec<&str> = project.include.iter().flatten().map(|pattern| fixed(pattern)).collect();
    let common = included.iter().copied().reduce(common).map(str::to_owned);
    let mut dirs: Vec<String> = common.into_iter().chain(included.into_iter().map(str::to_owned)).collect();
    dirs.push(own);
    dirs.dedup();
    dirs
}

/// The directory before a pattern's first wildcard; a last component with an extension is a file.
fn fixed(pattern: &str) -> &str {
    let end = pattern.find(['*', '?', '{']).unwrap_or(pattern.len());
    let whole = end == pattern.len();
    match pattern[..end].rsplit_once('/') {
        Some((dir, name)) if !whole || name.contains('.') => dir,
        None if !whole || pattern.contains('.') => "",
        _ => &pattern[..end],
    }
}

fn common<'p>(one: &'p str, other: &str) -> &'p str {
    ancestors(one).find(|dir| below(other, dir).is_some()).unwrap_or_default()
}
