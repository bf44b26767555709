//! The list of packages that a change brings, or that the workspace has with it: one value, four documents.
//!
//! Every document is the same bytes for the same patch, files and time: the serial number is made from the patch's hash,
//! and the time is whatever the caller says, or none.

pub mod check;
mod csv;
mod cyclonedx;
mod pdf;
mod purl;
pub mod schema;
mod spdx;

pub use purl::{is_purl, purl};

use super::licences::{self, Evidence, LicenceRules, Standing, expression};
use super::lock::{Ecosystem, Kind, Lock, Package, Source};
use super::packages::{After, LockChange, lock_changes, manifest_changes, without_userinfo};
use crate::digest::Digest;
use crate::patch::Patch;
use crate::path::RelPath;
use crate::tree::Tree;
use base64::Engine as _;
use std::collections::BTreeMap;

/// Which document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// CycloneDX 1.6, JSON.
    CycloneDx,
    /// SPDX 2.3, JSON.
    Spdx,
    /// RFC 4180, with a guard against formulas.
    Csv,
    Pdf,
}

/// What a list is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// The name of what the packages are for.
    pub subject: String,
    /// Of Krins itself.
    pub tool_version: String,
    /// RFC 3339, in UTC with seconds.
    pub timestamp: Option<String>,
    /// Every locked package as it is after the patch, not only what the patch brings.
    pub whole: bool,
    pub rules: LicenceRules,
}

/// What a patch does to a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Added,
    /// In place of another version.
    Updated {
        from: String,
    },
    /// The same version from elsewhere, or with other contents.
    Altered,
    /// There before and after.
    Kept,
}

impl Change {
    const fn word(&self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Updated { .. } => "updated",
            Self::Altered => "altered",
            Self::Kept => "kept",
        }
    }
}

/// A checksum of a package's archive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Checksum {
    /// `SHA-1`, `SHA-256`, `SHA-384` or `SHA-512`.
    pub algorithm: &'static str,
    /// Lower-case hexadecimal.
    pub hex: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    pub ecosystem: Ecosystem,
    pub name: String,
    pub version: String,
    pub purl: String,
    /// Unique in its list.
    pub reference: String,
    pub source: Source,
    /// Where the archive is, without credentials.
    pub address: Option<String>,
    pub checksums: Vec<Checksum>,
    pub licence: Option<licences::Known>,
    /// The licence as an expression of SPDX.
    pub expression: Option<String>,
    pub standing: Standing,
    pub change: Change,
    /// Not needed to run: for development, or optional.
    pub optional: bool,
    pub development: bool,
    pub lock: RelPath,
    /// Positions in [`Bom::components`], sorted.
    pub dependencies: Vec<usize>,
}

/// The list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bom {
    pub wish: Wish,
    pub patch: Digest,
    /// Sorted by ecosystem, name, version and source.
    pub components: Vec<Component>,
    /// Positions of what the workspace itself depends on.
    pub direct: Vec<usize>,
    /// Package URLs of what is not locked any more, sorted.
    pub removed: Vec<String>,
    /// Dependencies that manifests of the patch ask for and no lock file has: `name@range`, sorted.
    pub unlocked: Vec<String>,
}

impl Bom {
    /// The packages of a patch over a base. Lock files that cannot be read bring nothing; the gate blocks them.
    pub fn of(patch: &Patch, base: &dyn Tree, wish: Wish) -> Self {
        let after = After { patch, base };
        let (changes, _) = lock_changes(&after);
        let mut draft = Draft::default();
        for change in &changes {
            draft.add_change(change, base, &wish);
        }
        if wish.whole {
            draft.add_untouched(&after, &wish);
        }
        let mut removed: Vec<String> = changes
            .iter()
            .flat_map(|change| change.removed().map(|package| purl_of(change.ecosystem(), package)))
            .collect();
        removed.sort();
        removed.dedup();
        let unlocked = unlocked(patch, &changes);
        draft.finish(patch.digest(), wish, removed, unlocked)
    }

    /// `urn:uuid:…`, made from the patch, the wish and the list.
    pub fn serial(&self) -> String {
        let mut seed = format!("{}\n{}\n{}\n", self.patch, self.wish.subject, self.wish.whole);
        for component in &self.components {
            seed.push_str(&component.reference);
            seed.push('\n');
        }
        let digest = Digest::of(seed);
        let bytes = digest.as_bytes();
        let hex: String = bytes[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        // Version 8 of RFC 9562: bits of the maker's own choice.
        let variant = ["8", "9", "a", "b"][usize::from(bytes[8] & 3)];
        format!("urn:uuid:{}-{}-8{}-{variant}{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
    }

    /// The document's bytes.
    pub fn render(&self, format: Format) -> Vec<u8> {
        match format {
            Format::CycloneDx => pretty(&cyclonedx::document(self)),
            Format::Spdx => pretty(&spdx::document(self)),
            Format::Csv => csv::document(self).into_bytes(),
            Format::Pdf => pdf::document(self),
        }
    }

    fn totals(&self) -> String {
        let count = |word: &str| self.components.iter().filter(|component| component.change.word() == word).count();
        format!(
            "{} packages: {} added, {} updated, {} altered, {} kept; {} removed; {} not locked yet",
            self.components.len(),
            count("added"),
            count("updated"),
            count("altered"),
            count("kept"),
            self.removed.len(),
            self.unlocked.len(),
        )
    }
}

fn pretty(value: &serde_json::Value) -> Vec<u8> {
    let mut text = format!("{value:#}");
    text.push('\n');
    text.into_bytes()
}

fn unlocked(patch: &Patch, changes: &[LockChange]) -> Vec<String> {
    let mut names = Vec::new();
    for manifest in manifest_changes(patch) {
        let locked = |name: &str| {
            let of_kind = changes.iter().filter(|change| change.ecosystem() == manifest.ecosystem);
            of_kind.flat_map(|change| &change.after.packages).any(|package| package.name == name)
        };
        let added = manifest.added().map(|(name, asked)| (asked.real_name(name), &asked.spec));
        names.extend(
            added.filter(|(name, _)| !locked(name)).map(|(name, spec)| format!("{name}@{}", without_userinfo(spec))),
        );
    }
    names.sort();
    names.dedup();
    names
}

fn purl_of(ecosystem: Ecosystem, package: &Package) -> String {
    purl(ecosystem, &package.name, &package.version, &package.source)
}

#[derive(Default)]
struct Draft {
    components: Vec<Component>,
    direct: Vec<usize>,
    /// By package URL: one package in two lock files is one.
    numbers: BTreeMap<String, usize>,
}

impl Draft {
    fn add_change(&mut self, change: &LockChange, base: &dyn Tree, wish: &Wish) {
        let mut changes: BTreeMap<(&str, &str), Change> = BTreeMap::new();
        for package in change.added() {
            let replaced = change.replaces(package).map(|old| Change::Updated { from: old.version.clone() });
            changes.insert((&package.name, &package.version), replaced.unwrap_or(Change::Added));
        }
        for (package, ..) in change.altered() {
            changes.insert((&package.name, &package.version), Change::Altered);
        }
        let of = |package: &Package| {
            let change = changes.get(&(package.name.as_str(), package.version.as_str())).cloned();
            change.or(wish.whole.then_some(Change::Kept))
        };
        self.add(&change.after, &change.path, base, wish, &of);
    }

    /// Lock files that the patch leaves alone.
    fn add_untouched(&mut self, after: &After<'_>, wish: &Wish) {
        let Some(surroundings) = after.base.surroundings() else { return };
        let locks = surroundings.files().into_iter().filter(|path| Kind::of(path).is_some());
        for path in locks.filter(|path| after.patched(path).is_none()) {
            let lock = after.base.text(&path).and_then(|text| Lock::read(&path, &text)?.ok());
            if let Some(lock) = lock {
                self.add(&lock, &path, after.base, wish, &|_| Some(Change::Kept));
            }
        }
    }

    fn add(
        &mut self,
        lock: &Lock,
        path: &RelPath,
        base: &dyn Tree,
        wish: &Wish,
        change: &dyn Fn(&Package) -> Option<Change>,
    ) {
        let ecosystem = lock.kind.ecosystem();
        let mut places: Vec<Option<usize>> = Vec::with_capacity(lock.packages.len());
        for package in &lock.packages {
            let wanted = change(package).filter(|_| package.source != Source::Workspace);
            places.push(wanted.map(|change| self.number(package, ecosystem, path, base, wish, change)));
        }
        for (package, place) in lock.packages.iter().zip(&places) {
            if let Some(place) = *place {
                let wanted = package.dependencies.iter().filter_map(|at| places.get(*at).copied().flatten());
                self.components[place].dependencies.extend(wanted.filter(|at| *at != place));
            }
        }
        self.direct.extend(lock.direct.iter().filter_map(|at| places.get(*at).copied().flatten()));
    }

    fn number(
        &mut self,
        package: &Package,
        ecosystem: Ecosystem,
        path: &RelPath,
        base: &dyn Tree,
        wish: &Wish,
        change: Change,
    ) -> usize {
        let purl = purl_of(ecosystem, package);
        if let Some(&known) = self.numbers.get(&purl) {
            return known;
        }
        let licence = licences::licence_of(package, ecosystem, path.dir(), base);
        let judged = licence.as_ref().map(|known| licences::judge(&known.written, &wish.rules));
        self.components.push(Component {
            ecosystem,
            name: package.name.clone(),
            version: package.version.clone(),
            reference: purl.clone(),
            purl: purl.clone(),
            source: package.source.clone(),
            address: package.resolved.as_deref().filter(|url| url.starts_with("http")).map(without_userinfo),
            checksums: checksums(package),
            expression: judged.as_ref().and_then(|judged| judged.normal.clone()),
            standing: judged.map_or(Standing::Unknown, |judged| judged.standing),
            licence,
            change,
            optional: package.optional || package.development,
            development: package.development,
            lock: path.clone(),
            dependencies: Vec::new(),
        });
        let number = self.components.len() - 1;
        self.numbers.insert(purl, number);
        number
    }

    fn finish(self, patch: Digest, wish: Wish, removed: Vec<String>, unlocked: Vec<String>) -> Bom {
        let Self { components, direct, numbers: _ } = self;
        let mut order: Vec<usize> = (0..components.len()).collect();
        order.sort_by(|a, b| {
            let key = |at: usize| {
                let component: &Component = &components[at];
                (component.ecosystem, &component.name, &component.version, &component.reference)
            };
            key(*a).cmp(&key(*b))
        });
        let mut moved = vec![0; components.len()];
        for (to, from) in order.iter().enumerate() {
            moved[*from] = to;
        }
        let place = |list: &[usize]| {
            let mut list: Vec<usize> = list.iter().map(|at| moved[*at]).collect();
            list.sort_unstable();
            list.dedup();
            list
        };
        let mut direct = place(&direct);
        let mut slots: Vec<(usize, Component)> = components
            .into_iter()
            .enumerate()
            .map(|(from, mut component)| {
                component.dependencies = place(&component.dependencies);
                (moved[from], component)
            })
            .collect();
        slots.sort_by_key(|(to, _)| *to);
        let components: Vec<Component> = slots.into_iter().map(|(_, component)| component).collect();
        // What nothing else needs is needed by the workspace itself.
        let mut needed = vec![false; components.len()];
        for at in components.iter().flat_map(|component| &component.dependencies).chain(&direct) {
            needed[*at] = true;
        }
        direct.extend(needed.iter().enumerate().filter(|(_, needed)| !**needed).map(|(at, _)| at));
        direct.sort_unstable();
        Bom { wish, patch, components, direct, removed, unlocked }
    }
}

/// The checksums of the archive as the lock file has them; those of another file (Yarn's own archives) are none.
fn checksums(package: &Package) -> Vec<Checksum> {
    let words = package.integrity.as_deref().into_iter().flat_map(str::split_whitespace);
    let mut found: Vec<Checksum> = words.filter_map(checksum).collect();
    found.sort();
    found.dedup();
    found
}

fn checksum(word: &str) -> Option<Checksum> {
    if word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Some(Checksum { algorithm: "SHA-256", hex: word.to_ascii_lowercase() });
    }
    if let Some(hex) = word.strip_prefix("sha1:") {
        return Some(Checksum { algorithm: "SHA-1", hex: hex.to_ascii_lowercase() });
    }
    let (algorithm, encoded) = word.split_once('-')?;
    let (algorithm, length) = match algorithm {
        "sha1" => ("SHA-1", 20),
        "sha256" => ("SHA-256", 32),
        "sha384" => ("SHA-384", 48),
        "sha512" => ("SHA-512", 64),
        _ => return None,
    };
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded.split('?').next()?).ok()?;
    let hex = || bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    (bytes.len() == length).then(|| Checksum { algorithm, hex: hex() })
}

/// What is said of where a licence was read.
const fn evidence(evidence: Evidence) -> &'static str {
    match evidence {
        Evidence::Lock => "lock file",
        Evidence::Manifest => "installed manifest",
        Evidence::Text => "licence text",
    }
}

const fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Allowed => "allowed",
        Standing::WeakCopyleft => "weak copyleft",
        Standing::Copyleft => "copyleft",
        Standing::Unknown => "unknown",
        Standing::Denied => "denied",
    }
}

/// Text from files that nobody vouches for: no control characters, and not without end.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(500).collect()
}

fn is_simple(expression: &str) -> bool {
    expression::is_well_known(expression)
}

#[cfg(test)]
mod tests;
