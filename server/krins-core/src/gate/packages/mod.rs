//! `packages/*`: what a patch does to the supply of code: new packages, other sources or contents for known ones, code that
//! runs at install, names made to be mistaken, imports of packages that do not exist.

mod diff;
mod imports;
mod keys;
pub mod manifest;
mod names;
pub mod yaml;

use diff::lock_changes_of;
pub use diff::{After, LockChange, ManifestChange, lock_changes, manifest_changes};
pub(crate) use diff::{place, without_userinfo};

use super::lock::{Ecosystem, Kind, NAMES, Package, Source, Unreadable};
use super::{Finding, Scene, Verdict};
use crate::path::RelPath;
use diff::{in_dir, upward};
use manifest::{Asked, Manifest};
use std::collections::BTreeSet;

/// Findings of one rule about one file; the rest is one finding with their number.
const MOST: usize = 25;
/// Names that a summary shows.
const SHOWN: usize = 8;

/// `packages/*` and `policy/manifest-key`.
pub fn check_packages(scene: &Scene<'_>) -> Vec<Finding> {
    let (locks, unreadable) = changed_locks(scene);
    let manifests = changed_manifests(scene);
    let mut findings = keys::check(scene);
    for error in unreadable {
        findings.push(Finding {
            rule: "packages/unreadable-lock".into(),
            verdict: Verdict::Block,
            path: error.path.clone(),
            lines: None,
            message: format!("{} cannot be read as a lock file: {}", error.path, error.why),
            fix: Some("let the package manager write it".into()),
            link: None,
        });
    }
    for change in manifests {
        findings.extend(of_manifest(change, scene, locks));
    }
    for change in locks {
        findings.extend(of_lock(change, manifests, scene));
    }
    findings.extend(imports::check(scene));
    findings
}

/// The lock files that the patch writes and those that cannot be read, for every check of this patch.
pub(super) fn changed_locks<'s>(scene: &Scene<'s>) -> &'s (Vec<LockChange>, Vec<Unreadable>) {
    scene.reading.lock_changes(|| lock_changes_of(scene.reading, scene.base))
}

/// The manifests that the patch writes, for every check of this patch.
pub(super) fn changed_manifests<'s>(scene: &Scene<'s>) -> &'s [ManifestChange] {
    scene.reading.manifest_changes(|| manifest_changes(scene.patch))
}

fn of_manifest(change: &ManifestChange, scene: &Scene<'_>, locks: &[LockChange]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let path = &change.path;
    let finding = |rule: &str, verdict, name: &str, message: String, fix: String| Finding {
        rule: format!("packages/{rule}"),
        verdict,
        path: path.clone(),
        lines: change.line_of(name),
        message,
        fix: Some(fix),
        link: None,
    };
    let used = names_before(change, scene);
    for (name, asked) in change.added().filter(|(_, asked)| is_package(asked)) {
        let real = asked.real_name(name);
        if used.contains(real) {
            continue;
        }
        findings.push(finding(
            "new-dependency",
            Verdict::Warn,
            name,
            format!("the change adds the dependency {real} ({}, {})", shown(&asked.spec), asked.kind),
            format!("look at {real} before you install it"),
        ));
        if let Some(other) = names::near(real, used.iter().map(String::as_str)) {
            findings.push(finding(
                "near-name",
                Verdict::Block,
                name,
                format!("{real} is nearly the name of {other}, which is used here"),
                format!("check that {real} is meant and not {other}"),
            ));
        }
    }
    let foreign = change
        .added()
        .chain(change.altered().map(|(name, _, asked)| (name, asked)))
        .filter(|(_, asked)| asked.is_foreign());
    for (name, asked) in foreign {
        let spec = without_userinfo(&shown(&asked.spec));
        findings.push(finding(
            "foreign-source",
            Verdict::Block,
            name,
            format!("{name} would come from {spec} and not from a registry"),
            "ask for a released version".into(),
        ));
    }
    if change.changes_dependencies()
        && !locks.iter().any(|lock| lock.ecosystem() == change.ecosystem)
        && lock_above(change, scene)
    {
        findings.push(Finding {
            rule: "packages/no-lock-change".into(),
            verdict: Verdict::Warn,
            path: path.clone(),
            lines: None,
            message: format!("{path} asks for other packages, and the lock file stays as it is"),
            fix: Some("run the package manager's install, and look at what it locks".into()),
            link: None,
        });
    }
    findings
}

/// A package of somebody else's: not one of this workspace by its path.
pub(super) fn is_package(asked: &Asked) -> bool {
    !["workspace:", "link:", "portal:", "path:"].iter().any(|own| asked.spec.starts_with(own))
}

fn shown(spec: &str) -> String {
    spec.chars().filter(|c| !c.is_control()).take(120).collect()
}

/// Names that are asked for or locked above the manifest before the patch.
pub(super) fn names_before(change: &ManifestChange, scene: &Scene<'_>) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for dir in upward(change.path.dir()) {
        if let Some(manifest) = in_dir(dir, change.path.file_name())
            .and_then(|path| Manifest::read(&path, &scene.reading.text_before(&path, scene.base)?))
        {
            used.extend(manifest.dependencies.iter().map(|(name, asked)| asked.real_name(name).to_owned()));
            used.extend(manifest.name);
        }
        for path in locks_in(dir, change.ecosystem) {
            scene.reading.lock_before(&path, scene.base, |lock| {
                if let Some(Ok(lock)) = lock {
                    used.extend(lock.packages.iter().map(|package| package.name.clone()));
                }
            });
        }
    }
    used
}

/// Where a lock file of the directory would lie.
fn locks_in(dir: &str, ecosystem: Ecosystem) -> impl Iterator<Item = RelPath> {
    let paths = NAMES.iter().filter_map(move |name| in_dir(dir, name));
    paths.filter(move |path| Kind::of(path).is_some_and(|kind| kind.ecosystem() == ecosystem))
}

fn lock_above(change: &ManifestChange, scene: &Scene<'_>) -> bool {
    let is_there = |path: RelPath| scene.reading.lock_before(&path, scene.base, |lock| matches!(lock, Some(Ok(_))));
    upward(change.path.dir()).any(|dir| locks_in(dir, change.ecosystem).any(is_there))
}

fn of_lock(change: &LockChange, manifests: &[ManifestChange], scene: &Scene<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let finding = |rule: &str, verdict, package: Option<&Package>, message: String, fix: &str| Finding {
        rule: format!("packages/{rule}"),
        verdict,
        path: change.path.clone(),
        lines: package.and_then(|package| change.line_of(package)),
        message,
        fix: Some(fix.to_owned()),
        link: None,
    };
    let altered: Vec<Finding> = change
        .altered()
        .map(|(package, what, how)| {
            let message = format!("the {what} of {} changed at the same version: {how}", package.id());
            finding(
                "source-changed",
                Verdict::Block,
                Some(package),
                message,
                "find out why; a released version never changes",
            )
        })
        .collect();
    findings.extend(capped(altered));
    let other_name = change.after.packages.iter().filter_map(|package| Some((package, other_package(package)?)));
    let new: BTreeSet<String> = change.added().map(Package::id).collect();
    let injected = other_name.filter(|(package, _)| new.contains(&package.id()) || is_touched(change, package));
    findings.extend(capped(
        injected
            .map(|(package, other)| {
                let message = format!("{} would be installed from the archive of {other}", package.id());
                finding(
                    "source-changed",
                    Verdict::Block,
                    Some(package),
                    message,
                    "let the package manager write the lock file",
                )
            })
            .collect(),
    ));
    let foreign = change.added().filter(|package| package.source.is_foreign()).map(|package| {
        let message = format!("{} comes from {} and not from a registry", package.id(), place(&package.source));
        finding("foreign-source", Verdict::Block, Some(package), message, "ask for a released version")
    });
    findings.extend(capped(foreign.collect()));
    let scripts = change.added().filter_map(|package| Some((package, install_script(change, package, scene)?))).map(
        |(package, why)| {
            let message = format!("{} runs code when it is installed ({why})", package.id());
            finding(
                "install-script",
                Verdict::Warn,
                Some(package),
                message,
                "read the script, or install with scripts off",
            )
        },
    );
    findings.extend(capped(scripts.collect()));
    findings.extend(summary(change, manifests));
    findings
}

/// Whether the lock file says of the package what it did not say before.
fn is_touched(change: &LockChange, package: &Package) -> bool {
    change.altered().any(|(altered, ..)| altered.id() == package.id())
}

/// The package whose archive the address names, when that is another one.
fn other_package(package: &Package) -> Option<String> {
    let (Source::Registry(_), Some(url)) = (&package.source, &package.resolved) else { return None };
    let (path, _) = url.split_once("/-/")?;
    let path = path
        .split_once("://")
        .map_or(path, |(_, rest)| rest)
        .replace("%2f", "/")
        .replace("%2F", "/")
        .replace("%40", "@");
    let parts: Vec<&str> = path.split('/').collect();
    let last = parts.last().copied()?;
    let scope = parts.len().checked_sub(2).and_then(|at| parts.get(at)).filter(|part| part.starts_with('@'));
    let named = scope.map_or_else(|| last.to_owned(), |scope| format!("{scope}/{last}"));
    // An address on a mirror may hide the scope; the name itself has to be the same.
    let same = named == package.name || package.name.rsplit('/').next() == Some(last) && scope.is_none();
    (!same && parts.len() > 1).then_some(named)
}

/// Why the package runs code at install: as the lock file says, or the manifest that is installed.
fn install_script(change: &LockChange, package: &Package, scene: &Scene<'_>) -> Option<String> {
    if package.install_script {
        return Some("the lock file says so".to_owned());
    }
    let surroundings = scene.base.surroundings()?;
    let installed = surroundings.installed(change.ecosystem(), change.path.dir(), &package.name, &package.version)?;
    let file = RelPath::new(manifest_name(change.ecosystem())).ok()?;
    let manifest = Manifest::read(&file, &installed.manifest)?;
    let script = manifest.install_scripts.iter().find(|script| !script.contains("prepare"))?;
    Some(format!("`{script}`"))
}

pub(super) const fn manifest_name(ecosystem: Ecosystem) -> &'static str {
    match ecosystem {
        Ecosystem::Npm => "package.json",
        Ecosystem::Cargo => "Cargo.toml",
    }
}

/// What the lock file has more by name than anybody asks for in the patch, and its totals.
fn summary(change: &LockChange, manifests: &[ManifestChange]) -> Option<Finding> {
    let of_kind = manifests.iter().filter(|manifest| manifest.ecosystem == change.ecosystem());
    let asked: BTreeSet<&str> =
        of_kind.flat_map(|manifest| manifest.added().map(|(name, asked)| asked.real_name(name))).collect();
    let is_new = |package: &&Package| !change.knew(&package.name) && !asked.contains(package.name.as_str());
    let names: BTreeSet<String> = change.added().filter(is_new).map(Package::id).collect();
    if names.is_empty() {
        return None;
    }
    let more = names.len().saturating_sub(SHOWN);
    let mut list = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 {
        list.push_str(&format!(" and {more} more"));
    }
    let totals = format!("{} packages more, {} less", change.added().count(), change.removed().count());
    Some(Finding {
        rule: "packages/new-dependency".into(),
        verdict: Verdict::Warn,
        path: change.path.clone(),
        lines: None,
        message: format!("the lock file has {totals}; new by name and not asked for here: {list}"),
        fix: Some("look at what comes in besides what is asked for".into()),
        link: None,
    })
}

/// The first ones, and how many there are beside them, with the worst verdict of those.
pub(super) fn capped(mut findings: Vec<Finding>) -> Vec<Finding> {
    if findings.len() <= MOST {
        return findings;
    }
    let rest = findings.split_off(MOST);
    let mut last = rest[0].clone();
    last.verdict = super::worst(&rest);
    last.lines = None;
    last.message = format!("the same holds for {} more, such as: {}", rest.len(), last.message);
    findings.push(last);
    findings
}

#[cfg(test)]
mod tests;
