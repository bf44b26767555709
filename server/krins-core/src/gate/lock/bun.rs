//! `bun.lock`, the text form.

use super::{Draft, Package, Source, split_descriptor};
use crate::graph::jsonc;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

const KINDS: [&str; 4] = ["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"];

pub(super) fn read(text: &str) -> Result<Draft, &'static str> {
    let value = jsonc::parse(text).ok_or("it is not JSON with trailing commas")?;
    let packages = value["packages"].as_object().ok_or("it has no `packages`")?;
    let mut draft = Draft::default();
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    for (place, entry) in packages {
        if let Some(package) = package(place, entry) {
            numbers.insert(place, draft.push(package));
        }
    }
    for (place, entry) in packages {
        let Some(&number) = numbers.get(place.as_str()) else { continue };
        let about = entry.as_array().into_iter().flatten().find_map(Value::as_object);
        draft.packages[number].dependencies = about.map(|about| wanted(place, about, &numbers)).unwrap_or_default();
    }
    for workspace in value["workspaces"].as_object().into_iter().flat_map(Map::values) {
        draft.direct.extend(workspace.as_object().map(|about| wanted("", about, &numbers)).unwrap_or_default());
    }
    Ok(draft)
}

fn wanted(place: &str, about: &Map<String, Value>, numbers: &BTreeMap<&str, usize>) -> Vec<usize> {
    let names = KINDS.iter().filter_map(|kind| about.get(*kind)?.as_object()).flat_map(Map::keys);
    names.filter_map(|name| visible(place, name, numbers)).collect()
}

/// `a/b` is the `b` that only `a` gets.
fn visible(place: &str, name: &str, numbers: &BTreeMap<&str, usize>) -> Option<usize> {
    let mut above = place;
    while !above.is_empty() {
        if let Some(&number) = numbers.get(format!("{above}/{name}").as_str()) {
            return Some(number);
        }
        above = above.rsplit_once('/').map_or("", |(above, _)| above);
    }
    numbers.get(name).copied()
}

/// `["name@version", "address", {…}, "sha512-…"]`; shorter for what is no registry's.
fn package(place: &str, entry: &Value) -> Option<Package> {
    let entry = entry.as_array()?;
    let (name, version) = split_descriptor(entry.first()?.as_str()?);
    let texts: Vec<&str> = entry.iter().skip(1).filter_map(Value::as_str).collect();
    let integrity = texts.iter().find(|text| text.starts_with("sha")).map(|text| (*text).to_owned());
    let is_plain = version.starts_with(|c: char| c.is_ascii_digit());
    let address = entry.get(1).and_then(Value::as_str).filter(|address| address.contains("://"));
    let source = match (version.starts_with("workspace:"), is_plain, address) {
        (true, ..) => Source::Workspace,
        (false, true, Some(url)) => Source::of_url(url),
        (false, true, None) => Source::Registry(None),
        (false, false, _) => Source::of_url(version),
    };
    let key = format!("\"{place}\": [");
    Some(Package { resolved: address.map(str::to_owned), integrity, ..Package::new(name, version, source, &key) })
}
