//! `package-lock.json`, `npm-shrinkwrap.json` and `node_modules/.package-lock.json`: versions 1, 2 and 3.

use super::{Draft, Package, Source};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

pub(super) fn read(text: &str) -> Result<Draft, &'static str> {
    let value: Value = serde_json::from_str(text).map_err(|_| "it is not JSON")?;
    if let Some(packages) = value["packages"].as_object() {
        return Ok(by_place(packages));
    }
    match value["dependencies"].as_object() {
        Some(dependencies) => Ok(nested(dependencies)),
        None if value.is_object() && value.get("lockfileVersion").is_some() => Ok(Draft::default()),
        None => Err("it has neither `packages` nor `dependencies`"),
    }
}

const KINDS: [&str; 4] = ["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"];

/// Versions 2 and 3: every package by the directory it is installed in.
fn by_place(packages: &Map<String, Value>) -> Draft {
    let mut draft = Draft::default();
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    for (place, entry) in packages {
        if place.is_empty() || entry["link"] == Value::Bool(true) {
            continue;
        }
        numbers.insert(place, draft.push(package(place, entry)));
    }
    // What is linked is the directory it leads to.
    for (place, entry) in packages.iter().filter(|(_, entry)| entry["link"] == Value::Bool(true)) {
        if let Some(&number) = entry["resolved"].as_str().and_then(|to| numbers.get(to)) {
            numbers.insert(place, number);
        }
    }
    for (place, entry) in packages {
        let mut found: Vec<usize> = Vec::new();
        for name in KINDS.iter().filter_map(|kind| entry[*kind].as_object()).flat_map(Map::keys) {
            found.extend(visible(place, name, &numbers));
        }
        let is_own = !place.split('/').any(|part| part == "node_modules");
        if is_own {
            draft.direct.extend(&found);
        }
        if let Some(&number) = numbers.get(place.as_str()) {
            draft.packages[number].dependencies.extend(found);
        }
    }
    draft
}

/// The package that a module at the place gets by the name.
fn visible(place: &str, name: &str, numbers: &BTreeMap<&str, usize>) -> Option<usize> {
    let mut dir = place;
    loop {
        let candidate =
            if dir.is_empty() { format!("node_modules/{name}") } else { format!("{dir}/node_modules/{name}") };
        if let Some(&number) = numbers.get(candidate.as_str()) {
            return Some(number);
        }
        if dir.is_empty() {
            return None;
        }
        dir = dir.rsplit_once('/').map_or("", |(above, _)| above);
    }
}

fn package(place: &str, entry: &Value) -> Package {
    let text = |key: &str| entry[key].as_str();
    let installed = place.rsplit_once("node_modules/").map(|(_, name)| name);
    let resolved = text("resolved");
    let source = match (installed, resolved) {
        (None, _) => Source::Workspace,
        (Some(_), None) => Source::Registry(None),
        (Some(_), Some(url)) => Source::of_url(url),
    };
    let name = text("name").or(installed).unwrap_or(place);
    let key = format!("\"{place}\"");
    Package {
        resolved: resolved.map(str::to_owned),
        integrity: text("integrity").map(str::to_owned),
        licence: crate::gate::packages::manifest::licence(entry),
        install_script: entry["hasInstallScript"] == Value::Bool(true),
        development: entry["dev"] == Value::Bool(true) || entry["devOptional"] == Value::Bool(true),
        optional: entry["optional"] == Value::Bool(true) || entry["devOptional"] == Value::Bool(true),
        ..Package::new(name, text("version").unwrap_or_default(), source, &key)
    }
}

/// Version 1: dependencies inside dependencies, as the directories are.
fn nested(dependencies: &Map<String, Value>) -> Draft {
    let mut draft = Draft::default();
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    collect("", dependencies, &mut draft, &mut numbers);
    let places: Vec<(String, usize)> = numbers.iter().map(|(place, number)| (place.clone(), *number)).collect();
    let known: BTreeMap<&str, usize> = numbers.iter().map(|(place, number)| (place.as_str(), *number)).collect();
    let mut asked: BTreeMap<String, Vec<String>> = BTreeMap::new();
    requires("", dependencies, &mut asked);
    for (place, number) in places {
        let names = asked.get(&place).map_or(&[][..], Vec::as_slice);
        let found: Vec<usize> = names.iter().filter_map(|name| visible(&place, name, &known)).collect();
        draft.packages[number].dependencies.extend(found);
    }
    draft
}

fn place_of(above: &str, name: &str) -> String {
    if above.is_empty() { format!("node_modules/{name}") } else { format!("{above}/node_modules/{name}") }
}

/// The depth is that of the JSON reader, which is bounded.
fn collect(above: &str, dependencies: &Map<String, Value>, draft: &mut Draft, numbers: &mut BTreeMap<String, usize>) {
    for (name, entry) in dependencies {
        let place = place_of(above, name);
        numbers.insert(place.clone(), draft.push(package_v1(name, entry)));
        if let Some(inside) = entry["dependencies"].as_object() {
            collect(&place, inside, draft, numbers);
        }
    }
}

fn requires(above: &str, dependencies: &Map<String, Value>, asked: &mut BTreeMap<String, Vec<String>>) {
    for (name, entry) in dependencies {
        let place = place_of(above, name);
        let names = entry["requires"].as_object().map(|names| names.keys().cloned().collect()).unwrap_or_default();
        asked.insert(place.clone(), names);
        if let Some(inside) = entry["dependencies"].as_object() {
            requires(&place, inside, asked);
        }
    }
}

fn package_v1(name: &str, entry: &Value) -> Package {
    let written = entry["version"].as_str().unwrap_or_default();
    let resolved = entry["resolved"].as_str();
    let is_plain = written.starts_with(|c: char| c.is_ascii_digit());
    // `npm:other@1.0.0` is another package under this name.
    let alias = written.strip_prefix("npm:").map(super::split_descriptor);
    let (name, version, source) = match alias {
        Some((name, version)) => (name, version, resolved.map_or(Source::Registry(None), Source::of_url)),
        None if is_plain => (name, written, resolved.map_or(Source::Registry(None), Source::of_url)),
        None => (name, written, Source::of_url(resolved.unwrap_or(written))),
    };
    Package {
        resolved: resolved.map(str::to_owned),
        integrity: entry["integrity"].as_str().map(str::to_owned),
        development: entry["dev"] == Value::Bool(true),
        optional: entry["optional"] == Value::Bool(true),
        ..Package::new(name, version, source, &format!("\"{name}\""))
    }
}
