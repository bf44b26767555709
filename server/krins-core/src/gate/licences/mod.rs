//! `licences/*`: under which terms the packages come that a patch brings. What is not known is never let through in silence.

pub mod expression;
mod text;

pub use expression::{Judged, LicenceRules, Standing, judge};
pub use text::detect;

use super::lock::{Ecosystem, Package};
use super::packages::manifest::Manifest;
use super::packages::{LockChange, ManifestChange, capped, changed_locks, changed_manifests, manifest_name};
use super::{Finding, Scene, Verdict};
use crate::path::RelPath;
use crate::tree::{Installed, Tree};
use std::collections::BTreeSet;

/// Where a licence was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The lock file says it.
    Lock,
    /// The manifest of the package as it is installed.
    Manifest,
    /// The text of its licence file, recognised.
    Text,
}

/// What is known of a package's licence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// As it is written there.
    pub written: String,
    pub evidence: Evidence,
}

/// The licence of a locked package: lock file, then installed manifest, then licence text.
pub fn licence_of(package: &Package, ecosystem: Ecosystem, dir: &str, base: &dyn Tree) -> Option<Known> {
    if let Some(written) = package.licence.clone().filter(|written| !points_to_text(written)) {
        return Some(Known { written, evidence: Evidence::Lock });
    }
    let installed = base.surroundings()?.installed(ecosystem, dir, &package.name, &package.version)?;
    of_installed(&installed, ecosystem)
}

fn of_installed(installed: &Installed, ecosystem: Ecosystem) -> Option<Known> {
    let file = RelPath::new(manifest_name(ecosystem)).ok()?;
    let declared = Manifest::read(&file, &installed.manifest).and_then(|manifest| manifest.licence);
    match declared {
        Some(written) if !points_to_text(&written) => Some(Known { written, evidence: Evidence::Manifest }),
        _ => installed
            .licence
            .as_deref()
            .and_then(text::detect)
            .map(|id| Known { written: id.to_owned(), evidence: Evidence::Text }),
    }
}

/// npm's way to say that a file of the package holds the terms.
fn points_to_text(written: &str) -> bool {
    let lower = written.trim().to_ascii_lowercase();
    lower.starts_with("see license in") || lower.starts_with("see licence in")
}

/// `licences/*`: packages that are new in a lock file, and dependencies that are new in a manifest and not locked yet.
pub fn check_licences(scene: &Scene<'_>) -> Vec<Finding> {
    let (locks, _) = changed_locks(scene);
    let mut findings = Vec::new();
    for change in locks {
        findings.extend(capped(of_lock(change, scene)));
    }
    for change in changed_manifests(scene) {
        findings.extend(capped(of_manifest(change, locks, scene)));
    }
    findings
}

fn of_lock(change: &LockChange, scene: &Scene<'_>) -> Vec<Finding> {
    let dir = change.path.dir();
    let judged = change.added().filter_map(|package| {
        let known = licence_of(package, change.ecosystem(), dir, scene.base);
        let judged = verdict(known.as_ref(), &scene.policy.licences)?;
        Some(finding(&change.path, change.line_of(package), &package.id(), known.as_ref(), judged))
    });
    let mut found: Vec<Finding> = judged.collect();
    // The worst first, so that a cap cuts what matters least; within one verdict the order stays.
    found.sort_by_key(|finding| std::cmp::Reverse(finding.verdict));
    found
}

/// What is asked for and in no lock file: only what is installed can say something of it.
fn of_manifest(change: &ManifestChange, locks: &[LockChange], scene: &Scene<'_>) -> Vec<Finding> {
    let locked: BTreeSet<&str> = locks
        .iter()
        .filter(|lock| lock.ecosystem() == change.ecosystem)
        .flat_map(|lock| lock.after.packages.iter().map(|package| package.name.as_str()))
        .collect();
    let known_before = super::packages::names_before(change, scene);
    let mut findings = Vec::new();
    for (name, asked) in change.added() {
        let real = asked.real_name(name);
        if !super::packages::is_package(asked) || locked.contains(real) || known_before.contains(real) {
            continue;
        }
        let installed =
            scene.base.surroundings().and_then(|all| all.installed(change.ecosystem, change.path.dir(), real, ""));
        let known = installed.and_then(|installed| of_installed(&installed, change.ecosystem));
        if let Some(judged) = verdict(known.as_ref(), &scene.policy.licences) {
            findings.push(finding(&change.path, change.line_of(name), real, known.as_ref(), judged));
        }
    }
    findings
}

/// The rule and verdict; `None` when the licence is allowed.
fn verdict(known: Option<&Known>, rules: &LicenceRules) -> Option<(&'static str, Verdict, Option<Judged>)> {
    let Some(known) = known else { return Some(("unknown", Verdict::Block, None)) };
    let judged = judge(&known.written, rules);
    let (rule, verdict) = match judged.standing {
        Standing::Allowed => return None,
        Standing::WeakCopyleft => ("copyleft", Verdict::Warn),
        Standing::Copyleft => ("copyleft", Verdict::Block),
        Standing::Unknown => ("unknown", Verdict::Block),
        Standing::Denied => ("denied", Verdict::Block),
    };
    Some((rule, verdict, Some(judged)))
}

fn finding(
    path: &RelPath,
    lines: Option<[u32; 2]>,
    package: &str,
    known: Option<&Known>,
    (rule, verdict, judged): (&str, Verdict, Option<Judged>),
) -> Finding {
    let written = known
        .map(|known| known.written.chars().filter(|c| !c.is_control()).take(80).collect::<String>())
        .unwrap_or_default();
    let because = judged
        .map(|judged| judged.because)
        .filter(|because| *because != written)
        .map_or(String::new(), |because| format!(" ({because})"));
    let (message, fix) = match (rule, known) {
        ("unknown", None) => (
            format!("the licence of {package} is not known: no lock file says it, and it is not installed"),
            format!(
                "install {package} without its scripts so that its licence can be read, or look it up and allow this finding"
            ),
        ),
        ("unknown", Some(_)) => (
            format!("the licence of {package}, {written:?}, is on no list{because}"),
            "read the terms, and add the licence to `gate.allowed_licences` if they suit you".to_owned(),
        ),
        ("denied", _) => (
            format!("{package} comes under {written}{because}, which is not allowed here"),
            "take another package".to_owned(),
        ),
        _ => (
            format!("{package} comes under {written}{because}: copyleft"),
            "ask whoever decides on licences, and add it to `gate.allowed_licences` if it suits you".to_owned(),
        ),
    };
    Finding {
        rule: format!("licences/{rule}"),
        verdict,
        path: path.clone(),
        lines,
        message,
        fix: Some(fix),
        link: None,
    }
}

#[cfg(test)]
mod tests;
