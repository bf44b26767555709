//! Which file a module specifier means, from the texts of tsconfig and package.json files. Never looks at a disk.
//!
//! More generous than a compiler on purpose: a missing `extends` is passed over, a file outside of every `include`
//! still has the aliases above it, and a package entry that points at an output directory that was never built leads
//! to the source it is built from.

use super::jsonc;
use super::packages::{Package, source_candidates};
use crate::path::{RelPath, normalise};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Everything that decides how specifiers resolve.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResolveConfig {
    /// By directory (`""` is the root).
    aliases: BTreeMap<String, Aliases>,
    /// By directory.
    packages: BTreeMap<String, Package>,
    /// Directory of the package with the name.
    names: BTreeMap<String, String>,
}

/// `paths` and `baseUrl` of the tsconfig files in one directory, as directories and patterns from the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Aliases {
    base: Option<String>,
    /// (pattern, targets), the most specific pattern first.
    paths: Vec<(String, Vec<String>)>,
}

/// How many steps `extends`, and package imports that name packages, may take.
const MAX_HOPS: u32 = 16;

/// Where a written extension may lead, in TypeScript's order.
const WRITTEN: &[(&str, &[&str])] = &[
    (".js", &[".ts", ".tsx", ".d.ts", ".js", ".jsx"]),
    (".jsx", &[".tsx", ".d.ts", ".jsx"]),
    (".mjs", &[".mts", ".d.mts", ".mjs"]),
    (".cjs", &[".cts", ".d.cts", ".cjs"]),
];

/// What may be left out, in TypeScript's order, then what bundlers add.
const LEFT_OUT: &[&str] =
    &[".ts", ".tsx", ".d.ts", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs", ".json", ".vue", ".svelte"];

type Exists<'a> = &'a dyn Fn(&RelPath) -> bool;

impl ResolveConfig {
    /// Whether a file's text belongs into [`ResolveConfig::from_files`].
    pub fn wants(path: &RelPath) -> bool {
        let name = path.file_name();
        name == "package.json"
            || (name.starts_with("tsconfig") || name.starts_with("jsconfig")) && name.ends_with(".json")
    }

    /// Takes the texts of every tsconfig and package.json file (others are ignored). Unreadable ones count as absent.
    pub fn from_files(files: &BTreeMap<RelPath, Arc<str>>) -> Self {
        let mut config = Self::default();
        let mut projects = BTreeMap::new();
        for (path, text) in files.iter().filter(|(path, _)| Self::wants(path)) {
            let Some(value) = jsonc::parse(text) else { continue };
            if path.file_name() == "package.json" {
                config.add_package(path.dir(), &value);
            } else {
                projects.insert(path.clone(), value);
            }
        }
        for path in projects.keys() {
            let found = aliases_of(path, &projects, &config);
            config.aliases.entry(path.dir().to_owned()).or_default().merge(found, path);
        }
        config.aliases.retain(|_, aliases| *aliases != Aliases::default());
        config
    }

    fn add_package(&mut self, dir: &str, value: &Value) {
        let package = Package::read(value);
        if let Some(name) = package.name.clone() {
            // A copy deeper down (a fixture, an example) does not take the name away.
            let depth = |dir: &str| dir.matches('/').count() + usize::from(!dir.is_empty());
            match self.names.get(&name) {
                Some(known) if depth(known) <= depth(dir) => {}
                _ => {
                    self.names.insert(name, dir.to_owned());
                }
            }
        }
        self.packages.insert(dir.to_owned(), package);
    }

    /// The file that `specifier` in `from` means; `exists` says which files there are.
    pub fn resolve(&self, from: &RelPath, specifier: &str, exists: Exists) -> Option<RelPath> {
        self.resolve_in(from.dir(), specifier, exists, 0)
    }

    fn resolve_in(&self, dir: &str, specifier: &str, exists: Exists, hops: u32) -> Option<RelPath> {
        let specifier = specifier.split('?').next().unwrap_or_default();
        if specifier.is_empty() || hops > MAX_HOPS {
            return None;
        }
        if is_relative(specifier) {
            return self.file_or_directory(&normalise(dir, specifier)?, specifier.ends_with(['/', '.']), exists);
        }
        if let Some(rooted) = specifier.strip_prefix('/') {
            return self.file_or_directory(&normalise("", rooted)?, false, exists);
        }
        if specifier.starts_with('#')
            && let Some(found) = self.package_import(dir, specifier, exists, hops)
        {
            return Some(found);
        }
        self.aliased(dir, specifier, exists).or_else(|| self.package_export(specifier, exists))
    }

    /// Whether the specifier may mean a file of the workspace although it is not relative.
    pub(super) fn may_be_alias(&self, specifier: &str) -> bool {
        specifier.starts_with(['#', '/'])
            || split_package(specifier).is_some_and(|(name, _)| self.names.contains_key(name))
            || self.aliases.values().any(|aliases| {
                aliases.base.is_some()
                    || aliases.paths.iter().any(|(pattern, _)| star_match(pattern, specifier).is_some())
            })
    }

    fn aliased(&self, dir: &str, specifier: &str, exists: Exists) -> Option<RelPath> {
        ancestors(dir).filter_map(|dir| self.aliases.get(dir)).find_map(|aliases| {
            let mapped = aliases.paths.iter().find_map(|(pattern, targets)| {
                let star = star_match(pattern, specifier)?;
                targets.iter().find_map(|target| self.alias_target(&target.replacen('*', star, 1), exists))
            });
            mapped.or_else(|| {
                let base = aliases.base.as_deref()?;
                self.file_or_directory(&normalise(base, specifier)?, false, exists)
            })
        })
    }

    fn alias_target(&self, target: &str, exists: Exists) -> Option<RelPath> {
        let target = normalise("", target)?;
        self.file_or_directory(&target, false, exists).or_else(|| self.built_from("", &target, exists))
    }

    fn package_import(&self, dir: &str, specifier: &str, exists: Exists, hops: u32) -> Option<RelPath> {
        let (dir, package) = ancestors(dir).find_map(|dir| Some((dir, self.packages.get(dir)?)))?;
        package.imports(specifier).iter().find_map(|target| {
            if is_relative(target) {
                self.package_file(dir, target, exists)
            } else {
                self.resolve_in(dir, target, exists, hops + 1)
            }
        })
    }

    fn package_export(&self, specifier: &str, exists: Exists) -> Option<RelPath> {
        let (name, subpath) = split_package(specifier)?;
        let dir = self.names.get(name)?;
        let package = self.packages.get(dir)?;
        let targets = package.exports(subpath);
        targets.iter().find_map(|target| self.package_file(dir, target, exists)).or_else(|| {
            let inside = subpath.trim_start_matches('/');
            let plain = |base: &str| self.file_or_directory(&normalise(base, inside)?, inside.is_empty(), exists);
            plain(&normalise(dir, "src")?).or_else(|| plain(dir))
        })
    }

    /// A file of a package, or the source that it is built from.
    fn package_file(&self, dir: &str, target: &str, exists: Exists) -> Option<RelPath> {
        let path = normalise(dir, target)?;
        self.file(&path, exists).or_else(|| self.built_from(dir, &path, exists))
    }

    fn built_from(&self, dir: &str, path: &str, exists: Exists) -> Option<RelPath> {
        let inside = path.strip_prefix(dir)?.trim_start_matches('/');
        source_candidates(inside).iter().find_map(|candidate| self.file(&normalise(dir, candidate)?, exists))
    }

    fn file_or_directory(&self, path: &str, directory_only: bool, exists: Exists) -> Option<RelPath> {
        let file = if directory_only { None } else { self.file(path, exists) };
        file.or_else(|| {
            let package = self.packages.get(path)?;
            package.entries().iter().find_map(|target| self.package_file(path, target, exists))
        })
        .or_else(|| self.file(&normalise(path, "index")?, exists))
    }

    /// The path as a file, as TypeScript looks for it: by its written extension, then with one added.
    fn file(&self, path: &str, exists: Exists) -> Option<RelPath> {
        let there = |path: String| RelPath::new(&path).ok().filter(|path| exists(path));
        for (written, real) in WRITTEN {
            if let Some(stem) = path.strip_suffix(written)
                && let Some(found) = real.iter().find_map(|extension| there(format!("{stem}{extension}")))
            {
                return Some(found);
            }
        }
        there(path.to_owned()).or_else(|| LEFT_OUT.iter().find_map(|extension| there(format!("{path}{extension}"))))
    }
}

impl Aliases {
    /// `tsconfig.json` comes first; what its siblings (`tsconfig.app.json`, …) say fills in.
    fn merge(&mut self, mut other: Self, path: &RelPath) {
        if matches!(path.file_name(), "tsconfig.json" | "jsconfig.json") {
            std::mem::swap(self, &mut other);
        }
        self.base = self.base.take().or(other.base);
        for (pattern, targets) in other.paths {
            if !self.paths.iter().any(|(known, _)| *known == pattern) {
                self.paths.push((pattern, targets));
            }
        }
        // TypeScript takes the pattern with the longest part before the star.
        self.paths.sort_by_key(|(pattern, _)| std::cmp::Reverse((!pattern.contains('*'), prefix(pattern).len())));
    }
}

fn prefix(pattern: &str) -> &str {
    pattern.split('*').next().unwrap_or_default()
}

/// What a tsconfig says about aliases, its `extends` and `references` included.
fn aliases_of(path: &RelPath, projects: &BTreeMap<RelPath, Value>, config: &ResolveConfig) -> Aliases {
    let mut found = Aliases::default();
    let mut seen = BTreeSet::new();
    // The file itself, then what it extends: what comes first wins.
    let mut queue = vec![path.clone()];
    while let Some(next) = queue.pop() {
        if !seen.insert(next.clone()) || seen.len() > MAX_HOPS as usize {
            continue;
        }
        let Some(project) = projects.get(&next) else { continue };
        read_aliases(&next, path.dir(), project, &mut found);
        queue.extend(parents(&next, project, projects, config));
    }
    found
}

fn read_aliases(path: &RelPath, leaf: &str, project: &Value, found: &mut Aliases) {
    let options = &project["compilerOptions"];
    let place = |text: &str| match text.strip_prefix("${configDir}") {
        Some(rest) => normalise(leaf, rest.trim_start_matches('/')),
        None => normalise(path.dir(), text),
    };
    let base = options["baseUrl"].as_str().and_then(place);
    if found.paths.is_empty()
        && let Some(paths) = options["paths"].as_object()
    {
        let from = base.clone().or_else(|| found.base.clone());
        for (pattern, targets) in paths {
            let targets = targets.as_array().into_iter().flatten().filter_map(Value::as_str);
            let targets = targets.filter_map(|target| match &from {
                Some(base) if !target.starts_with("${") => normalise(base, target),
                _ => place(target),
            });
            found.paths.push((pattern.clone(), targets.collect()));
        }
    }
    found.base = found.base.take().or(base);
}

/// The tsconfig files that one extends, the last first: with several, the last one wins.
fn parents(
    path: &RelPath,
    project: &Value,
    projects: &BTreeMap<RelPath, Value>,
    config: &ResolveConfig,
) -> Vec<RelPath> {
    let written: Vec<&str> = match &project["extends"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let known = |path: String| RelPath::new(&path).ok().filter(|path| projects.contains_key(path));
    let extended = written.into_iter().filter_map(|extends| {
        let base = if is_relative(extends) {
            normalise(path.dir(), extends)?
        } else {
            let (name, subpath) = split_package(extends)?;
            normalise(config.names.get(name)?, subpath.trim_start_matches('/'))?
        };
        [base.clone(), format!("{base}.json"), format!("{base}/tsconfig.json")].into_iter().find_map(known)
    });
    extended.collect()
}

pub(super) fn is_relative(specifier: &str) -> bool {
    matches!(specifier, "." | "..") || specifier.starts_with("./") || specifier.starts_with("../")
}

/// Name and rest (`""` or `/…`) of a package specifier.
fn split_package(specifier: &str) -> Option<(&str, &str)> {
    let skip = if specifier.starts_with('@') { specifier.find('/')? + 1 } else { 0 };
    let end = specifier[skip..].find('/').map_or(specifier.len(), |at| skip + at);
    (end > 0).then(|| specifier.split_at(end))
}

/// What the star stands for; `""` for an equal text without a star.
pub(super) fn star_match<'s>(pattern: &str, text: &'s str) -> Option<&'s str> {
    match pattern.split_once('*') {
        Some((before, after)) => text.strip_prefix(before)?.strip_suffix(after),
        None => (pattern == text).then_some(""),
    }
}

/// The directory and those above it, the root (`""`) last.
fn ancestors(dir: &str) -> impl Iterator<Item = &str> {
    let mut next = Some(dir);
    std::iter::from_fn(move || {
        let dir = next?;
        next = (!dir.is_empty()).then(|| dir.rsplit_once('/').map_or("", |(above, _)| above));
        Some(dir)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `files` are `path` or `path = content`; each row is (importing file, specifier, expected path or `-`).
    fn check(files: &[(&str, &str)], rows: &[(&str, &str, &str)]) {
        let files: BTreeMap<RelPath, Arc<str>> =
            files.iter().map(|(path, text)| (RelPath::new(path).unwrap(), Arc::from(*text))).collect();
        let config = ResolveConfig::from_files(&files);
        for (from, specifier, expect) in rows {
            let found = config.resolve(&RelPath::new(from).unwrap(), specifier, &|path| files.contains_key(path));
            let found = found.as_ref().map_or("-", RelPath::as_str);
            assert_eq!(found, *expect, "{specifier} in {from}");
        }
    }

    #[test]
    fn relative_specifiers_find_their_file() {
        check(
            &[
                ("src/a.ts", ""),
                ("src/b.tsx", ""),
                ("src/c.js", ""),
                ("src/both.ts", ""),
                ("src/both.js", ""),
                ("src/e.mts", ""),
                ("src/f.d.ts", ""),
                ("src/dir/index.ts", ""),
                ("src/name.test.ts", ""),
                ("src/a/index.ts", ""),
                ("index.ts", ""),
                ("src/x.vue", ""),
                ("src/data.json", "{}"),
            ],
            &[
                ("src/z.ts", "./a", "src/a.ts"),
                ("src/z.ts", "./a.js", "src/a.ts"),
                ("src/z.ts", "./a.ts", "src/a.ts"),
                ("src/z.ts", "./b", "src/b.tsx"),
                ("src/z.ts", "./b.js", "src/b.tsx"),
                ("src/z.ts", "./b.jsx", "src/b.tsx"),
                ("src/z.ts", "./c", "src/c.js"),
                ("src/z.ts", "./c.js", "src/c.js"),
                ("src/z.ts", "./both.js", "src/both.ts"),
                ("src/z.ts", "./e.mjs", "src/e.mts"),
                ("src/z.ts", "./f", "src/f.d.ts"),
                ("src/z.ts", "./dir", "src/dir/index.ts"),
                ("src/z.ts", "./dir/", "src/dir/index.ts"),
                ("src/z.ts", "./dir/index.js", "src/dir/index.ts"),
                ("src/z.ts", "./a/", "src/a/index.ts"),
                ("src/dir/z.ts", ".", "src/dir/index.ts"),
                ("src/z.ts", "..", "index.ts"),
                ("src/z.ts", "./name.test", "src/name.test.ts"),
                ("src/z.ts", "./x.vue", "src/x.vue"),
                ("src/z.ts", "./data.json", "src/data.json"),
                ("src/z.ts", "./a?raw", "src/a.ts"),
                ("src/z.ts", "./none", "-"),
                ("src/z.ts", "../../outside", "-"),
                ("src/z.ts", "", "-"),
                ("src/z.ts", "react", "-"),
            ],
        );
    }

    #[test]
    fn tsconfig_paths_are_followed_from_the_nearest_up() {
        check(
            &[
                (
                    "tsconfig.json",
                    r#"{ // base
                    "extends": "@missing/tsconfig", "compilerOptions": { "paths": {
                    "@/*": ["./src/*"], "@/special/*": ["./other/*"], "one": ["./src/a.ts",], } /* end */ } }"#,
                ),
                ("src/a.ts", ""),
                ("src/ui/b.tsx", ""),
                ("other/a.ts", ""),
                ("tests/t.ts", ""),
                ("app/tsconfig.base.json", r#"{"compilerOptions": {"baseUrl": "./lib", "paths": {"~/*": ["*"]}}}"#),
                (
                    "app/tsconfig.json",
                    r#"{"extends": ["./tsconfig.base"], "references": [{"path": "./tsconfig.app.json"}]}"#,
                ),
                ("app/lib/c.ts", ""),
                ("app/src/x.ts", ""),
                ("solution/tsconfig.json", r#"{"files": [], "references": [{"path": "./tsconfig.app.json"}]}"#),
                ("solution/tsconfig.app.json", r#"{"compilerOptions": {"paths": {"$/*": ["${configDir}/src/*"]}}}"#),
                ("solution/src/y.ts", ""),
                ("loop/tsconfig.json", r#"{"extends": "./tsconfig.json"}"#),
                ("bad/tsconfig.json", "not json"),
            ],
            &[
                ("src/z.ts", "@/a", "src/a.ts"),
                ("src/z.ts", "@/ui/b.js", "src/ui/b.tsx"),
                ("src/z.ts", "@/special/a", "other/a.ts"),
                ("src/z.ts", "one", "src/a.ts"),
                ("tests/t.ts", "@/a", "src/a.ts"),
                ("app/src/x.ts", "~/c", "app/lib/c.ts"),
                ("app/src/x.ts", "c", "app/lib/c.ts"),
                ("app/src/x.ts", "@/a", "src/a.ts"),
                ("solution/src/z.ts", "$/y", "solution/src/y.ts"),
                ("loop/z.ts", "@/a", "src/a.ts"),
                ("bad/z.ts", "@/a", "src/a.ts"),
                ("src/z.ts", "@/none", "-"),
                ("src/z.ts", "@scope/a", "-"),
            ],
        );
    }

    #[test]
    fn packages_of_the_workspace_lead_to_their_sources() {
        check(
            &[
                ("package.json", r##"{"name": "root", "imports": {"#util/*": "./src/util/*.js", "#dep": "core"}}"##),
                ("src/util/a.ts", ""),
                (
                    "packages/core/package.json",
                    r#"{"name": "core", "main": "./dist/index.js", "types": "./dist/index.d.ts"}"#,
                ),
                ("packages/core/src/index.ts", ""),
                ("packages/core/src/deep/x.ts", ""),
                (
                    "packages/kit/package.json",
                    r#"{"name": "@s/kit", "exports": {
                        ".": {"types": "./dist/types/main.d.ts", "import": "./dist/esm/main.js"},
                        "./sub": ["./lib/sub.mjs"], "./features/*": {"default": "./dist/features/*.js"},
                        "./features/internal/*": null, "./package.json": "./package.json"}}"#,
                ),
                ("packages/kit/src/main.ts", ""),
                ("packages/kit/src/sub.mts", ""),
                ("packages/kit/src/features/f.tsx", ""),
                (
                    "packages/src-first/package.json",
                    r#"{"name": "src-first", "exports": {".": {"import": "./b.js", "source": "./a.ts"}}}"#,
                ),
                ("packages/src-first/a.ts", ""),
                ("packages/src-first/b.ts", ""),
                ("packages/plain/package.json", r#"{"name": "plain"}"#),
                ("packages/plain/index.js", ""),
                ("packages/plain/lib/x.js", ""),
                ("examples/core/nested/package.json", r#"{"name": "core"}"#),
                ("examples/core/nested/index.ts", ""),
                ("widget/package.json", r#"{"main": "./code.js"}"#),
                ("widget/code.ts", ""),
            ],
            &[
                ("src/z.ts", "#util/a", "src/util/a.ts"),
                ("src/z.ts", "#dep", "packages/core/src/index.ts"),
                ("src/z.ts", "#none", "-"),
                ("src/z.ts", "core", "packages/core/src/index.ts"),
                ("src/z.ts", "core/deep/x", "packages/core/src/deep/x.ts"),
                ("src/z.ts", "core/dist/deep/x.js", "packages/core/src/deep/x.ts"),
                ("packages/core/src/z.ts", "core", "packages/core/src/index.ts"),
                ("src/z.ts", "@s/kit", "packages/kit/src/main.ts"),
                ("src/z.ts", "@s/kit/sub", "packages/kit/src/sub.mts"),
                ("src/z.ts", "@s/kit/features/f", "packages/kit/src/features/f.tsx"),
                ("src/z.ts", "src-first", "packages/src-first/a.ts"),
                ("src/z.ts", "plain", "packages/plain/index.js"),
                ("src/z.ts", "plain/lib/x", "packages/plain/lib/x.js"),
                ("src/z.ts", "./../widget", "widget/code.ts"),
                ("src/z.ts", "corex", "-"),
                ("src/z.ts", "@s/none", "-"),
                ("src/z.ts", "@s", "-"),
            ],
        );
    }
}
