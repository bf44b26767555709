//! Lock files as values: which packages an install takes, from where, with which contents.
//!
//! npm (lock file versions 1 to 3, and what an install leaves in `node_modules`), Yarn 1 and later, pnpm, Bun, Cargo. The
//! readers are total: what is not understood is [`Unreadable`], never a guess and never a panic.

mod bun;
mod cargo;
mod npm;
mod pnpm;
mod yarn;

use crate::path::RelPath;
use std::collections::BTreeMap;

/// Where packages of a kind come from, and the type of their package URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ecosystem {
    Npm,
    Cargo,
}

impl Ecosystem {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::Cargo => "cargo",
        }
    }
}

/// Who writes the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Npm,
    /// Also Yarn 2 and later; the text tells which.
    Yarn,
    Pnpm,
    Bun,
    Cargo,
}

impl Kind {
    /// By the file's name.
    pub fn of(path: &RelPath) -> Option<Self> {
        match path.file_name() {
            "package-lock.json" | "npm-shrinkwrap.json" | ".package-lock.json" => Some(Self::Npm),
            "yarn.lock" => Some(Self::Yarn),
            "pnpm-lock.yaml" => Some(Self::Pnpm),
            "bun.lock" => Some(Self::Bun),
            "Cargo.lock" => Some(Self::Cargo),
            _ => None,
        }
    }

    pub const fn ecosystem(self) -> Ecosystem {
        match self {
            Self::Npm | Self::Yarn | Self::Pnpm | Self::Bun => Ecosystem::Npm,
            Self::Cargo => Ecosystem::Cargo,
        }
    }
}

/// File names of lock files, those first that say most.
pub const NAMES: &[&str] =
    &["package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock", "Cargo.lock"];

/// Where a package's contents come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A registry; its host where the file says it.
    Registry(Option<String>),
    /// An archive at an address of its own.
    Url(String),
    /// A repository, with the commit where it is pinned.
    Git(String),
    /// A directory or archive of this machine.
    Path(String),
    /// A package of this workspace.
    Workspace,
}

impl Source {
    /// What a `resolved` address says: an archive below a package's name is a registry's.
    fn of_url(url: &str) -> Self {
        let lower = url.to_ascii_lowercase();
        let git = lower.starts_with("git")
            || lower.starts_with("ssh:")
            || lower.contains("codeload.github.com")
            || lower.split(['#', '?']).next().is_some_and(|address| address.ends_with(".git"));
        if git {
            return Self::Git(url.to_owned());
        }
        for place in ["file:", "link:", "portal:"] {
            if let Some(path) = url.strip_prefix(place) {
                return Self::Path(path.to_owned());
            }
        }
        match host(url) {
            Some(host) if url.contains("/-/") || url.contains("/download/") => Self::Registry(Some(host.to_owned())),
            Some(_) => Self::Url(url.to_owned()),
            None => Self::Path(url.to_owned()),
        }
    }

    /// Whether it is no registry and none of this workspace.
    pub const fn is_foreign(&self) -> bool {
        matches!(self, Self::Url(_) | Self::Git(_) | Self::Path(_))
    }
}

/// The host of an `http(s)` address, in lower case as the comparison needs it; none for other schemes.
fn host(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    (!host.is_empty()).then_some(host)
}

/// One package of a lock file; the same name, version and source are one, however often it is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    pub name: String,
    /// Empty where the file says none.
    pub version: String,
    pub source: Source,
    /// The address of the archive, where the file says it.
    pub resolved: Option<String>,
    /// As the file has it: a subresource integrity, or a hexadecimal checksum.
    pub integrity: Option<String>,
    /// What the file says of the licence.
    pub licence: Option<String>,
    /// The file says that it runs code when it is installed.
    pub install_script: bool,
    /// Only for development.
    pub development: bool,
    pub optional: bool,
    /// Positions in [`Lock::packages`], sorted.
    pub dependencies: Vec<usize>,
    /// As the file's text has it, for finding its line.
    pub key: String,
}

impl Package {
    fn new(name: &str, version: &str, source: Source, key: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            source,
            resolved: None,
            integrity: None,
            licence: None,
            install_script: false,
            development: false,
            optional: false,
            dependencies: Vec::new(),
            key: key.to_owned(),
        }
    }

    /// `name@version`.
    pub fn id(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}

/// A lock file's packages, sorted by name, version and source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    pub kind: Kind,
    pub packages: Vec<Package>,
    /// Positions of the packages that the workspace itself depends on, where the file tells; sorted.
    pub direct: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read {path} as a lock file: {why}")]
pub struct Unreadable {
    pub path: RelPath,
    pub why: &'static str,
}

impl Lock {
    /// Reads the text of a lock file; `None` for a name that is none.
    pub fn read(path: &RelPath, text: &str) -> Option<Result<Self, Unreadable>> {
        let kind = Kind::of(path)?;
        let text = text.trim_start_matches('\u{feff}');
        let read = match kind {
            Kind::Npm => npm::read(text),
            Kind::Yarn => yarn::read(text),
            Kind::Pnpm => pnpm::read(text),
            Kind::Bun => bun::read(text),
            Kind::Cargo => cargo::read(text),
        };
        Some(read.map(|draft| draft.finish(kind)).map_err(|why| Unreadable { path: path.clone(), why }))
    }

    /// The 1-based line that names the package.
    pub fn line_of(&self, package: &Package, text: &str) -> Option<u32> {
        let at = text.find(&package.key)?;
        Some(text[..at].matches('\n').count() as u32 + 1)
    }
}

/// What a reader collects: packages by number, dependencies as numbers.
#[derive(Default)]
struct Draft {
    packages: Vec<Package>,
    direct: Vec<usize>,
}

impl Draft {
    fn push(&mut self, package: Package) -> usize {
        self.packages.push(package);
        self.packages.len() - 1
    }

    /// Sorts, and makes one of what is the same.
    fn finish(self, kind: Kind) -> Lock {
        let Self { packages, direct } = self;
        let mut places: BTreeMap<(&str, &str, &Source), usize> = BTreeMap::new();
        for package in &packages {
            places.entry((&package.name, &package.version, &package.source)).or_default();
        }
        for (at, place) in places.values_mut().enumerate() {
            *place = at;
        }
        let place = |package: &Package| places[&(package.name.as_str(), package.version.as_str(), &package.source)];
        let moved: Vec<usize> = packages.iter().map(place).collect();
        let mut slots: Vec<Option<Package>> = vec![None; places.len()];
        drop(places);
        for (mut package, &to) in packages.into_iter().zip(&moved) {
            let renumbered = package.dependencies.iter().filter_map(|at| moved.get(*at).copied());
            package.dependencies = renumbered.filter(|at| *at != to).collect();
            match &mut slots[to] {
                Some(known) => known.absorb(package),
                slot => *slot = Some(package),
            }
        }
        let mut packages: Vec<Package> = slots.into_iter().flatten().collect();
        for package in &mut packages {
            package.dependencies.sort_unstable();
            package.dependencies.dedup();
        }
        let mut direct: Vec<usize> = direct.iter().filter_map(|at| moved.get(*at).copied()).collect();
        direct.sort_unstable();
        direct.dedup();
        Lock { kind, packages, direct }
    }
}

impl Package {
    /// Another place of the same package: it is for development, or optional, only if every place is.
    fn absorb(&mut self, other: Self) {
        self.development &= other.development;
        self.optional &= other.optional;
        self.install_script |= other.install_script;
        self.resolved = self.resolved.take().or(other.resolved);
        self.licence = self.licence.take().or(other.licence);
        // Two contents for one version are kept both: whoever compares sees the difference.
        match (&mut self.integrity, other.integrity) {
            (Some(mine), Some(theirs)) if *mine != theirs => {
                mine.push(' ');
                mine.push_str(&theirs);
            }
            (mine @ None, theirs) => *mine = theirs,
            _ => {}
        }
        self.dependencies.extend(other.dependencies);
    }
}

/// Name and range of `name@range`, where the name may begin with `@`.
pub(super) fn split_descriptor(descriptor: &str) -> (&str, &str) {
    let from = usize::from(descriptor.starts_with('@'));
    match descriptor.get(from..).and_then(|rest| rest.find('@')) {
        Some(at) => (&descriptor[..from + at], &descriptor[from + at + 1..]),
        None => (descriptor, ""),
    }
}

#[cfg(test)]
mod tests;
