//! What a patch does to the packages of a lock file and to what manifests ask for.

use super::manifest::{self, Asked, Manifest};
use crate::gate::lock::{Ecosystem, Kind, Lock, NAMES, Package, Source, Unreadable};
use crate::gate::reading::{Both, LockRead, Reading};
use crate::gate::text;
use crate::patch::{FilePatch, Patch};
use crate::path::RelPath;
use crate::tree::Tree;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The files as they are after the patch.
pub struct After<'a> {
    pub patch: &'a Patch,
    pub base: &'a dyn Tree,
}

impl After<'_> {
    /// What the patch makes of the path: `None` when it does not touch it, `Some(None)` when it takes it away.
    pub fn patched(&self, path: &RelPath) -> Option<Option<Arc<str>>> {
        let files = self.patch.files();
        if let Some(file) = files.iter().find(|file| file.path == *path) {
            return Some(file.after.as_deref().map(|bytes| text(Some(bytes)).into()));
        }
        files.iter().any(|file| file.from.as_ref() == Some(path)).then_some(None)
    }

    pub fn text(&self, path: &RelPath) -> Option<Arc<str>> {
        self.patched(path).unwrap_or_else(|| self.base.text(path))
    }
}

/// The directory and those above it, the root (`""`) last.
pub(super) fn upward(dir: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(dir), |dir| {
        (!dir.is_empty()).then(|| dir.rsplit_once('/').map_or("", |(above, _)| above))
    })
}

pub(super) fn in_dir(dir: &str, name: &str) -> Option<RelPath> {
    RelPath::new(&if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }).ok()
}

/// A lock file that the patch writes.
pub struct LockChange {
    pub path: RelPath,
    pub text: String,
    pub after: Lock,
    /// The packages that were locked before in the same directory, by whatever lock file: changing the package manager
    /// adds nothing.
    before: BTreeMap<(String, String), Package>,
    /// Whether what was before stood in this file: another package manager writes other addresses and checksums.
    same_file: bool,
}

impl LockChange {
    pub fn ecosystem(&self) -> Ecosystem {
        self.after.kind.ecosystem()
    }

    /// Packages whose name and version were not locked before, but those of the workspace itself.
    pub fn added(&self) -> impl Iterator<Item = &Package> {
        let known = |package: &&Package| self.before.contains_key(&(package.name.clone(), package.version.clone()));
        let packages = self.after.packages.iter().filter(|package| package.source != Source::Workspace);
        packages.filter(move |package| !known(package))
    }

    /// Packages that are not locked any more.
    pub fn removed(&self) -> impl Iterator<Item = &Package> {
        let now: BTreeSet<(&str, &str)> =
            self.after.packages.iter().map(|package| (package.name.as_str(), package.version.as_str())).collect();
        let gone = move |package: &&Package| !now.contains(&(package.name.as_str(), package.version.as_str()));
        self.before.values().filter(|package| package.source != Source::Workspace).filter(gone)
    }

    /// The version of the same name that is not locked any more.
    pub fn replaces(&self, package: &Package) -> Option<&Package> {
        self.removed().find(|gone| gone.name == package.name)
    }

    /// The same name and version as before, and what of it is another now.
    pub fn altered(&self) -> impl Iterator<Item = (&Package, &'static str, String)> {
        self.after.packages.iter().filter_map(|package| {
            let before = self.before.get(&(package.name.clone(), package.version.clone()))?;
            let (what, how) = alteration(before, package, self.same_file)?;
            Some((package, what, how))
        })
    }

    /// Whether anything of that name was locked before.
    pub fn knew(&self, name: &str) -> bool {
        self.before.range((name.to_owned(), String::new())..).next().is_some_and(|((known, _), _)| known == name)
    }

    pub fn line_of(&self, package: &Package) -> Option<[u32; 2]> {
        self.after.line_of(package, &self.text).map(|line| [line, line])
    }
}

fn alteration(before: &Package, after: &Package, same_file: bool) -> Option<(&'static str, String)> {
    if let (Source::Registry(Some(old)), Source::Registry(Some(new))) = (&before.source, &after.source)
        && same_file
        && !is_same_host(old, new)
    {
        return Some(("host", format!("from {old} to {new}")));
    }
    if before.source.is_foreign() != after.source.is_foreign()
        || before.source.is_foreign() && before.source != after.source
    {
        return Some(("source", format!("to {}", place(&after.source))));
    }
    match (&before.integrity, &after.integrity) {
        (Some(old), Some(new)) if contradict(old, new) => Some(("contents", "its checksum is another".to_owned())),
        (Some(_), None) if same_file => Some(("contents", "its checksum is gone".to_owned())),
        _ => None,
    }
}

/// Yarn's name for the registry of npm is that registry.
fn is_same_host(old: &str, new: &str) -> bool {
    let usual = ["registry.npmjs.org", "registry.yarnpkg.com"];
    let is_usual = |host: &str| usual.iter().any(|usual| usual.eq_ignore_ascii_case(host));
    old.eq_ignore_ascii_case(new) || is_usual(old) && is_usual(new)
}

/// What is shown of a source.
pub(crate) fn place(source: &Source) -> String {
    match source {
        Source::Registry(Some(host)) => host.clone(),
        Source::Registry(None) => "the registry".to_owned(),
        // Credentials may stand in an address.
        Source::Url(url) | Source::Git(url) => without_userinfo(url),
        Source::Path(path) => path.clone(),
        Source::Workspace => "this workspace".to_owned(),
    }
}

/// An address without a name and a password in it.
pub(crate) fn without_userinfo(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => url.to_owned(),
    }
}

/// Whether two checksums of the same algorithm differ.
fn contradict(old: &str, new: &str) -> bool {
    let read = |text: &str| -> BTreeMap<String, BTreeSet<String>> {
        let mut sums: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for sum in text.split_whitespace() {
            let (algorithm, value) = sum.split_once(['-', '/', ':']).unwrap_or(("", sum));
            sums.entry(algorithm.to_owned()).or_default().insert(value.to_owned());
        }
        sums
    };
    let (old, new) = (read(old), read(new));
    old.iter().any(|(algorithm, values)| new.get(algorithm).is_some_and(|others| others.is_disjoint(values)))
}

/// Every lock file that the patch writes, sorted by path; and those that cannot be read.
pub fn lock_changes(after: &After<'_>) -> (Vec<LockChange>, Vec<Unreadable>) {
    lock_changes_of(&Reading::of(after.patch), after.base)
}

/// The same, of what the checks have read.
pub(in crate::gate) fn lock_changes_of(reading: &Reading<'_>, base: &dyn Tree) -> (Vec<LockChange>, Vec<Unreadable>) {
    let mut changes = Vec::new();
    let mut unreadable = Vec::new();
    for both in reading.files().iter().filter(|both| both.after.is_there) {
        match both.after.lock() {
            None => {}
            Some(Err(error)) => unreadable.push(error.clone()),
            Some(Ok(lock)) => changes.push(LockChange {
                path: both.file.path.clone(),
                text: both.after.text.clone().into_owned(),
                after: lock.clone(),
                before: locked_before(both, lock.kind, reading, base),
                same_file: both.before.is_there,
            }),
        }
    }
    (changes, unreadable)
}

fn locked_before(
    both: &Both<'_>,
    kind: Kind,
    reading: &Reading<'_>,
    base: &dyn Tree,
) -> BTreeMap<(String, String), Package> {
    let mut known: BTreeMap<(String, String), Package> = BTreeMap::new();
    let mut add = |lock: &LockRead| {
        let Some(Ok(lock)) = lock else { return };
        for package in &lock.packages {
            known.entry((package.name.clone(), package.version.clone())).or_insert_with(|| package.clone());
        }
    };
    add(both.before.lock());
    if !both.before.is_there {
        let path = &both.file.path;
        let beside = NAMES.iter().filter_map(|name| in_dir(path.dir(), name)).filter(|other| other != path);
        for path in beside.filter(|path| Kind::of(path).is_some_and(|other| other.ecosystem() == kind.ecosystem())) {
            reading.lock_before(&path, base, &mut add);
        }
    }
    known
}

/// A manifest that the patch writes.
pub struct ManifestChange {
    pub path: RelPath,
    pub ecosystem: Ecosystem,
    pub text: String,
    pub before: Manifest,
    pub after: Manifest,
}

impl ManifestChange {
    /// What it asks for now and did not before.
    pub fn added(&self) -> impl Iterator<Item = (&str, &Asked)> {
        let entries = self.after.dependencies.iter().map(|(name, asked)| (name.as_str(), asked));
        entries.filter(|(name, _)| !self.before.dependencies.contains_key(*name))
    }

    /// What it asks for otherwise than before: what was written, and what is.
    pub fn altered(&self) -> impl Iterator<Item = (&str, &Asked, &Asked)> {
        self.after.dependencies.iter().filter_map(|(name, asked)| {
            let before = self.before.dependencies.get(name)?;
            (before.spec != asked.spec || before.package != asked.package).then_some((name.as_str(), before, asked))
        })
    }

    pub fn changes_dependencies(&self) -> bool {
        self.before.dependencies != self.after.dependencies
    }

    /// The 1-based line that asks for the name.
    pub fn line_of(&self, name: &str) -> Option<[u32; 2]> {
        let quoted = format!("\"{name}\"");
        let asks = |line: &str| {
            let line = line.trim_start();
            match self.ecosystem {
                Ecosystem::Npm => line.starts_with(&quoted),
                Ecosystem::Cargo => line.starts_with(name) || line.contains(&format!("ependencies.{name}")),
            }
        };
        let line = self.text.lines().position(asks)? as u32 + 1;
        Some([line, line])
    }
}

/// Every manifest that the patch writes and that can be read, sorted by path.
pub fn manifest_changes(patch: &Patch) -> Vec<ManifestChange> {
    let read = |file: &FilePatch| {
        let ecosystem = manifest::ecosystem(&file.path)?;
        let new = text(Some(file.after.as_deref()?));
        let after = Manifest::read(&file.path, &new)?;
        let before =
            file.before.as_deref().and_then(|bytes| Manifest::read(&file.path, &text(Some(bytes)))).unwrap_or_default();
        Some(ManifestChange { path: file.path.clone(), ecosystem, text: new.into_owned(), before, after })
    };
    patch.files().iter().filter_map(read).collect()
}
