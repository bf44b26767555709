//! `Cargo.lock`: versions 1 to 4.

use super::{Draft, Package, Source, host};
use std::collections::BTreeMap;
use toml::{Table, Value};

pub(super) fn read(text: &str) -> Result<Draft, &'static str> {
    let table: Table = toml::from_str(text).map_err(|_| "it is not TOML")?;
    let packages = match table.get("package") {
        None => &[][..],
        Some(packages) => packages.as_array().ok_or("`package` is no list")?,
    };
    let checksums = table.get("metadata").and_then(Value::as_table);
    let mut draft = Draft::default();
    for package in packages.iter().filter_map(Value::as_table) {
        draft.push(read_package(package, checksums));
    }
    let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (number, package) in packages.iter().filter_map(Value::as_table).enumerate() {
        by_name.entry(text_of(package, "name")).or_default().push(number);
    }
    for (number, package) in packages.iter().filter_map(Value::as_table).enumerate() {
        let listed = package.get("dependencies").and_then(Value::as_array).into_iter().flatten();
        let found: Vec<usize> =
            listed.filter_map(Value::as_str).filter_map(|asked| meant(asked, &by_name, &draft)).collect();
        if draft.packages[number].source == Source::Workspace {
            draft.direct.extend(&found);
        }
        draft.packages[number].dependencies = found;
    }
    Ok(draft)
}

fn text_of<'t>(package: &'t Table, key: &str) -> &'t str {
    package.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn read_package(package: &Table, checksums: Option<&Table>) -> Package {
    let (name, version) = (text_of(package, "name"), text_of(package, "version"));
    let source = package.get("source").and_then(Value::as_str);
    let kept = || checksums?.get(&format!("checksum {name} {version} ({})", source?))?.as_str();
    let checksum = package.get("checksum").and_then(Value::as_str).or_else(kept);
    Package {
        integrity: checksum.filter(|sum| *sum != "<none>").map(str::to_owned),
        resolved: source.map(str::to_owned),
        ..Package::new(name, version, of(source), &format!("name = \"{name}\"\nversion = \"{version}\""))
    }
}

fn of(source: Option<&str>) -> Source {
    let Some(source) = source else { return Source::Workspace };
    match source.split_once('+') {
        Some(("registry" | "sparse", url)) => Source::Registry(Some(registry(url))),
        Some(("git", url)) => Source::Git(url.to_owned()),
        Some((_, other)) => Source::Url(other.to_owned()),
        None => Source::Url(source.to_owned()),
    }
}

/// The index in Git and the sparse index are the same registry.
fn registry(url: &str) -> String {
    let address = url.split(['#', '?']).next().unwrap_or(url).trim_end_matches('/');
    if address.ends_with("github.com/rust-lang/crates.io-index") {
        return "crates.io".to_owned();
    }
    host(address).unwrap_or(address).to_owned()
}

/// `name`, `name version` or `name version (source)`.
fn meant(asked: &str, by_name: &BTreeMap<&str, Vec<usize>>, draft: &Draft) -> Option<usize> {
    let mut words = asked.split(' ');
    let candidates = by_name.get(words.next()?)?;
    let (version, source) = (words.next(), words.next().map(|source| source.trim_matches(['(', ')'])));
    candidates.iter().copied().find(|number| {
        let package = &draft.packages[*number];
        version.is_none_or(|version| package.version == version)
            && source.is_none_or(|source| package.resolved.as_deref().is_some_and(|known| known.starts_with(source)))
    })
}
