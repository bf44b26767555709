//! Packages of the repository by name: what an install would link into which `node_modules`, and what it would not link
//! although somebody depends on it.

use super::manifest::{Manifest, strings};
use super::{RelPath, ancestors, below, join, jsonc, placed};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Where links lead: the directory of a package by the path of its link.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Links {
    /// What an install links.
    pub plain: BTreeMap<String, String>,
    /// What is there by the name that is asked for, and not linked.
    pub inferred: BTreeMap<String, String>,
    /// The directories that links lie in.
    pub folders: BTreeSet<String>,
}

impl Links {
    pub fn find(manifests: &BTreeMap<String, Manifest>, files: &BTreeMap<RelPath, Arc<str>>) -> Self {
        let mut links = Self::default();
        for (dir, globs) in workspaces(manifests, files) {
            for (package, manifest) in manifests {
                let Some(name) = &manifest.name else { continue };
                if below(package, &dir).is_some_and(|inside| !inside.is_empty() && taken(&globs, inside)) {
                    links.plain.entry(link(&dir, name)).or_insert_with(|| package.clone());
                }
            }
        }
        let names = by_name(manifests);
        for (dir, manifest) in manifests {
            links.add_dependencies(dir, manifest, manifests, &names);
        }
        for (name, dir) in &names {
            links.add_unlinked(dir, name, manifests);
        }
        let folder = |link: &String| link.rsplit_once('/').map(|(folder, _)| folder.to_owned());
        let folders: Vec<String> = links.plain.keys().chain(links.inferred.keys()).filter_map(folder).collect();
        for scope in folders {
            let end = scope.rfind("node_modules").map_or(0, |at| at + "node_modules".len());
            links.folders.insert(scope[..end].to_owned());
            links.folders.insert(scope);
        }
        links
    }

    fn add_dependencies(
        &mut self,
        dir: &str,
        manifest: &Manifest,
        manifests: &BTreeMap<String, Manifest>,
        names: &BTreeMap<&str, &str>,
    ) {
        for (name, asked) in &manifest.dependencies {
            let place = ["file:", "link:", "portal:", "workspace:"].iter().find_map(|kind| asked.strip_prefix(kind));
            let beside = place.and_then(|place| placed(dir, place)).filter(|place| manifests.contains_key(place));
            if let Some(place) = beside {
                self.plain.insert(link(dir, name), place);
                continue;
            }
            // `workspace:other@*` gives another package this name.
            let other = place.and_then(|asked| asked.rfind('@').filter(|at| *at > 0).map(|at| &asked[..at]));
            let Some(&found) = names.get(other.unwrap_or(name)) else { continue };
            let fits = place.is_some() || manifests.get(found).is_some_and(|found| satisfies(found, asked));
            if found != dir && fits && !self.is_linked(dir, name) {
                self.inferred.insert(link(dir, name), found.to_owned());
            }
        }
    }

    /// A package may name itself; and where nothing tells what an install links, any may name any other. The package
    /// that holds others is not meant by them.
    fn add_unlinked(&mut self, dir: &str, name: &str, manifests: &BTreeMap<String, Manifest>) {
        let holds_others = manifests.keys().any(|other| other != dir && below(other, dir).is_some());
        let linked = !self.plain.is_empty();
        if holds_others || self.is_linked(dir, name) {
            return;
        }
        let from = if linked { dir } else { "" };
        self.inferred.entry(link(from, name)).or_insert_with(|| dir.to_owned());
    }

    fn is_linked(&self, dir: &str, name: &str) -> bool {
        ancestors(dir).any(|dir| self.plain.contains_key(&link(dir, name)))
    }

    /// The names of all links.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let links = self.plain.keys().chain(self.inferred.keys());
        links.filter_map(|link| link.rfind("node_modules/").map(|at| &link[at + "node_modules/".len()..]))
    }
}

fn link(dir: &str, name: &str) -> String {
    join(dir, &format!("node_modules/{name}"))
}

/// Directory by name; a copy deeper down (a fixture, an example) does not take the name away.
fn by_name(manifests: &BTreeMap<String, Manifest>) -> BTreeMap<&str, &str> {
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    for (dir, manifest) in manifests {
        let Some(name) = manifest.name.as_deref() else { continue };
        let known = names.get(name).map(|known| ancestors(known).count());
        if known.is_none_or(|depth| depth > ancestors(dir).count()) {
            names.insert(name, dir);
        }
    }
    names
}

/// Whether the version range could mean the package: the major version, or the minor one below 1, is the same.
fn satisfies(package: &Manifest, asked: &str) -> bool {
    if matches!(asked, "" | "*" | "latest" | "next") {
        return true;
    }
    let numbers = |version: &str| -> Vec<u64> {
        let version = version.trim_start_matches(|c: char| !c.is_ascii_digit());
        version.split(|c: char| !c.is_ascii_digit()).take(2).filter_map(|number| number.parse().ok()).collect()
    };
    let (asked, has) = (numbers(asked), numbers(package.version.as_deref().unwrap_or("0.0.0")));
    match (asked.as_slice(), has.as_slice()) {
        ([0, minor, ..], [0, other, ..]) => minor == other,
        ([major, ..], [other, ..]) => major == other,
        _ => false,
    }
}

/// The directories that hold a workspace, with its globs.
fn workspaces(
    manifests: &BTreeMap<String, Manifest>,
    files: &BTreeMap<RelPath, Arc<str>>,
) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (dir, manifest) in manifests.iter().filter(|(_, manifest)| !manifest.workspaces.is_empty()) {
        found.insert(dir.clone(), manifest.workspaces.clone());
    }
    for (path, text) in files {
        let globs = match path.file_name() {
            "pnpm-workspace.yaml" => yaml_list(text, "packages"),
            "lerna.json" => {
                let globs = jsonc::parse(text).map(|value| strings(value.get("packages"))).unwrap_or_default();
                if globs.is_empty() { vec!["packages/*".to_owned()] } else { globs }
            }
            "rush.json" => rush_folders(text),
            _ => continue,
        };
        found.entry(path.dir().to_owned()).or_default().extend(globs);
    }
    found
}

fn rush_folders(text: &str) -> Vec<String> {
    let value = jsonc::parse(text).unwrap_or_default();
    let projects = value["projects"].as_array().into_iter().flatten();
    projects.filter_map(|project| project["projectFolder"].as_str()).map(str::to_owned).collect()
}

/// The list under a key of a YAML document, in either of its two forms.
fn yaml_list(text: &str, key: &str) -> Vec<String> {
    let mut lines = text.lines().skip_while(|line| !line.starts_with(key) || !line[key.len()..].starts_with(':'));
    let Some(first) = lines.next() else { return Vec::new() };
    let flow = first[key.len() + 1..].trim().trim_start_matches('[');
    let flow = flow.split(']').next().unwrap_or_default().split(',').map(unquoted);
    let block = lines
        .map(str::trim_start)
        .take_while(|line| line.is_empty() || line.starts_with(['-', '#']))
        .filter_map(|line| line.strip_prefix('-').map(unquoted));
    flow.chain(block).filter(|glob| !glob.is_empty()).map(str::to_owned).collect()
}

fn unquoted(text: &str) -> &str {
    let text = text.trim();
    match text.chars().next() {
        Some(quote @ ('"' | '\'')) => text[1..].split(quote).next().unwrap_or_default(),
        _ => text.split(" #").next().unwrap_or_default().trim_start_matches('#').trim(),
    }
}

/// Whether the globs take the directory; the last one that matches decides.
fn taken(globs: &[String], dir: &str) -> bool {
    globs.iter().fold(false, |taken, glob| {
        let (not, glob) = glob.strip_prefix('!').map_or((false, glob.as_str()), |glob| (true, glob));
        let glob = glob.trim_start_matches("./").trim_end_matches('/');
        if braces(glob).iter().any(|glob| matches(&parts(glob), &parts(dir))) { !not } else { taken }
    })
}

fn parts(path: &str) -> Vec<&str> {
    path.split('/').collect()
}

/// `a/{b,c}` as `a/b` and `a/c`.
fn braces(glob: &str) -> Vec<String> {
    let inside = glob.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)));
    let Some((before, (inside, after))) = inside else { return vec![glob.to_owned()] };
    inside.split(',').take(64).map(|one| format!("{before}{one}{after}")).collect()
}

fn matches(glob: &[&str], path: &[&str]) -> bool {
    match (glob.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((&"**", [])), _) => !path.is_empty(),
        (Some((&"**", rest)), _) => (0..=path.len()).any(|from| matches(rest, &path[from..])),
        (Some((glob, globs)), Some((part, parts))) => fits(glob, part) && matches(globs, parts),
        _ => false,
    }
}

/// One component; `*` stands for any part of it.
fn fits(glob: &str, part: &str) -> bool {
    match glob.split_once('*') {
        None => glob == part,
        Some((before, after)) => part
            .strip_prefix(before)
            .is_some_and(|rest| (0..=rest.len()).any(|at| rest.is_char_boundary(at) && fits(after, &rest[at..]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_take_directories() {
        let rows: &[(&[&str], &str, bool)] = &[
            (&["packages/*"], "packages/a", true),
            (&["packages/*"], "packages/a/b", false),
            (&["./packages/*/"], "packages/a", true),
            (&["packages/**"], "packages/a/b", true),
            (&["packages/**"], "packages", false),
            (&["**"], "a/b", true),
            (&["packages/*", "!packages/a"], "packages/a", false),
            (&["!packages/a", "packages/*"], "packages/a", true),
            (&["{apps,packages}/*-kit"], "apps/ui-kit", true),
            (&["{apps,packages}/*-kit"], "apps/ui", false),
            (&["a/**/b"], "a/b", true),
            (&["a/**/b"], "a/x/y/b", true),
        ];
        for (globs, dir, expect) in rows {
            let globs: Vec<String> = globs.iter().map(|&glob| glob.to_owned()).collect();
            assert_eq!(taken(&globs, dir), *expect, "{globs:?} {dir}");
        }
    }

    #[test]
    fn yaml_lists_are_read_in_both_forms() {
        let block = "# x\npackages:\n  # all\n  - 'packages/*'\n  - \"apps/*\" # y\n  - docs\n\ncatalog:\n  - no\n";
        assert_eq!(yaml_list(block, "packages"), ["packages/*", "apps/*", "docs"]);
        assert_eq!(yaml_list("packages: ['a/*', b]\nx: 1", "packages"), ["a/*", "b"]);
        assert!(yaml_list("packagesx: [a]", "packages").is_empty());
    }

    #[test]
    fn a_version_range_fits_the_package_or_not() {
        let package = |version: &str| Manifest { version: Some(version.to_owned()), ..Manifest::default() };
        for (version, asked, expect) in [
            ("1.2.3", "^1.0.0", true),
            ("2.0.0", "^1.0.0", false),
            ("0.3.1", "~0.3.0", true),
            ("0.4.0", "^0.3.0", false),
            ("5.0.0", "*", true),
            ("5.0.0", "npm:other@^4", false),
            ("5.0.0", "github:a/b", false),
        ] {
            assert_eq!(satisfies(&package(version), asked), expect, "{version} {asked}");
        }
    }
}
