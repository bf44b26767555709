//! `pnpm-lock.yaml`: versions 5 to 9.

use super::{Draft, Package, Source};
use crate::gate::packages::yaml::Yaml;
use std::collections::BTreeMap;

pub(super) fn read(text: &str) -> Result<Draft, &'static str> {
    let documents = Yaml::documents(text).ok_or("it is not YAML")?;
    if !documents.iter().any(|document| document.get("lockfileVersion").is_some()) {
        return Err("it has no `lockfileVersion`");
    }
    let mut draft = Draft::default();
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    for document in &documents {
        for (key, entry) in document.map("packages") {
            let (name, version) = name_version(key, entry);
            let number = draft.push(package(&name, &version, key, entry));
            numbers.insert(plain(key).to_owned(), number);
            numbers.entry(format!("{name}@{version}")).or_insert(number);
        }
    }
    for document in &documents {
        // Version 9 tells dependencies apart from what a package is.
        for (key, entry) in document.map("packages").iter().chain(document.map("snapshots")) {
            let Some(&number) = numbers.get(plain(key)) else { continue };
            let found = wanted(entry, &["dependencies", "optionalDependencies"], &numbers);
            draft.packages[number].dependencies.extend(found);
            draft.packages[number].optional |= entry.text("optional") == Some("true");
        }
        let roots = document.map("importers").iter().map(|(_, importer)| importer).chain([document]);
        for importer in roots {
            let kinds = ["dependencies", "devDependencies", "optionalDependencies"];
            draft.direct.extend(wanted(importer, &kinds, &numbers));
        }
    }
    Ok(draft)
}

fn wanted(entry: &Yaml, kinds: &[&str], numbers: &BTreeMap<String, usize>) -> Vec<usize> {
    let mut found = Vec::new();
    for (name, asked) in kinds.iter().flat_map(|kind| entry.map(kind)) {
        let Some(version) = asked.as_str().or_else(|| asked.text("version")) else { continue };
        let version = plain(version);
        let spelt = [format!("{name}@{version}"), version.to_owned(), format!("{name}/{version}")];
        found.extend(spelt.iter().find_map(|key| numbers.get(key).copied()));
    }
    found
}

/// A key without its leading `/` and the peers it was resolved with.
fn plain(key: &str) -> &str {
    let key = key.strip_prefix('/').unwrap_or(key);
    key.split_once('(').map_or(key, |(key, _)| key)
}

/// `/name@1.0.0(peer@2)`, `name@1.0.0`, and `/name/1.0.0_peer@2` of version 5.
fn name_version(key: &str, entry: &Yaml) -> (String, String) {
    let key = plain(key);
    if let (Some(name), Some(version)) = (entry.text("name"), entry.text("version")) {
        return (name.to_owned(), version.to_owned());
    }
    let (name, rest) = super::split_descriptor(key);
    // In version 5 an `@` is only in peers: the version begins behind the last `/` of the name.
    let old = key.split('_').next().unwrap_or(key).rsplit_once('/').filter(|(name, version)| {
        !name.trim_start_matches('@').contains('@') && version.starts_with(|c: char| c.is_ascii_digit())
    });
    match old {
        Some((name, version)) => (name.to_owned(), version.to_owned()),
        None => (name.to_owned(), entry.text("version").unwrap_or(rest).to_owned()),
    }
}

fn package(name: &str, version: &str, key: &str, entry: &Yaml) -> Package {
    let nothing = Yaml::Map(Vec::new());
    let resolution = entry.get("resolution").unwrap_or(&nothing);
    let tarball = resolution.text("tarball");
    let is_plain = version.starts_with(|c: char| c.is_ascii_digit());
    let source = match (resolution.text("type"), tarball) {
        (Some("git"), _) => {
            let commit = resolution.text("commit").unwrap_or_default();
            Source::Git(format!("{}#{commit}", resolution.text("repo").unwrap_or_default()))
        }
        (Some("directory"), _) => Source::Path(resolution.text("directory").unwrap_or_default().to_owned()),
        (_, Some(url)) => Source::of_url(url),
        (_, None) if is_plain => Source::Registry(None),
        (_, None) => Source::of_url(version),
    };
    Package {
        resolved: tarball.map(str::to_owned),
        integrity: resolution.text("integrity").map(str::to_owned),
        install_script: entry.text("requiresBuild") == Some("true"),
        development: entry.text("dev") == Some("true"),
        optional: entry.text("optional") == Some("true"),
        ..Package::new(name, version, source, key)
    }
}
