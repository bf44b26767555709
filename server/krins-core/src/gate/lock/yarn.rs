//! `yarn.lock`: the format of Yarn 1, and the YAML of Yarn 2 and later.

use super::{Draft, Package, Source, split_descriptor};
use crate::gate::packages::yaml::Yaml;
use std::collections::BTreeMap;

pub(super) fn read(text: &str) -> Result<Draft, &'static str> {
    if text.lines().any(|line| line.starts_with("__metadata:")) {
        return berry(text);
    }
    classic(text)
}

/// An entry of Yarn 1 while it is read.
#[derive(Default)]
struct Entry<'t> {
    head: &'t str,
    version: &'t str,
    resolved: Option<&'t str>,
    integrity: Option<&'t str>,
    dependencies: Vec<(&'t str, &'t str)>,
}

fn classic(text: &str) -> Result<Draft, &'static str> {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    let mut in_dependencies = false;
    for line in text.lines() {
        let trimmed = line.trim_end();
        let body = trimmed.trim_start();
        if body.is_empty() || body.starts_with('#') {
            continue;
        }
        match trimmed.len() - body.len() {
            0 => {
                let head = body.strip_suffix(':').ok_or("a line at the margin does not end with `:`")?;
                entries.push(Entry { head, ..Entry::default() });
                in_dependencies = false;
            }
            2 => {
                let entry = entries.last_mut().ok_or("it begins with an indented line")?;
                in_dependencies = matches!(body, "dependencies:" | "optionalDependencies:");
                let (key, value) = pair(body);
                match key {
                    "version" => entry.version = value,
                    "resolved" => entry.resolved = Some(value),
                    "integrity" => entry.integrity = Some(value),
                    _ => {}
                }
            }
            _ if in_dependencies => {
                if let Some(entry) = entries.last_mut() {
                    entry.dependencies.push(pair(body));
                }
            }
            _ => {}
        }
    }
    if entries.is_empty() && !text.contains("yarn lockfile v1") {
        return Err("it has no entries");
    }
    Ok(linked(&entries))
}

fn linked(entries: &[Entry<'_>]) -> Draft {
    let mut draft = Draft::default();
    let mut asked: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in entries {
        let mut descriptors = entry.head.split(", ").map(unquoted);
        let first = descriptors.clone().next().unwrap_or_default();
        let (alias, range) = split_descriptor(first);
        let name = range.strip_prefix("npm:").map_or(alias, |other| split_descriptor(other).0);
        let is_path = ["file:", "link:", "portal:"].iter().find_map(|kind| range.strip_prefix(kind));
        let source = match (is_path, entry.resolved) {
            (Some(path), _) => Source::Path(path.to_owned()),
            (None, Some(url)) => Source::of_url(url),
            (None, None) => Source::Registry(None),
        };
        let number = draft.push(Package {
            resolved: entry.resolved.map(str::to_owned),
            // Before there was an integrity, the address ended with the SHA-1.
            integrity: entry.integrity.map(str::to_owned).or_else(|| sha1_of(entry.resolved?)),
            ..Package::new(name, entry.version, source, entry.head)
        });
        for descriptor in descriptors.by_ref() {
            asked.insert(descriptor, number);
        }
    }
    for (number, entry) in entries.iter().enumerate() {
        let found = entry.dependencies.iter().filter_map(|(name, range)| asked.get(format!("{name}@{range}").as_str()));
        draft.packages[number].dependencies = found.copied().collect();
    }
    draft
}

fn sha1_of(url: &str) -> Option<String> {
    let hash = url.rsplit_once('#')?.1;
    (hash.len() == 40 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| format!("sha1:{hash}"))
}

/// Key and value of a line, each perhaps in quotes.
fn pair(line: &str) -> (&str, &str) {
    let end = match line.strip_prefix('"') {
        Some(rest) => rest.find('"').map_or(line.len(), |at| at + 2),
        None => line.find(' ').unwrap_or(line.len()),
    };
    let (key, value) = line.split_at(end);
    (unquoted(key), unquoted(value.trim()))
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').map_or(text, |text| text.strip_suffix('"').unwrap_or(text))
}

/// Yarn 2 and later.
fn berry(text: &str) -> Result<Draft, &'static str> {
    let documents = Yaml::documents(text).ok_or("it is not YAML")?;
    let document = documents.first().ok_or("it is empty")?;
    let mut draft = Draft::default();
    let mut asked: BTreeMap<&str, usize> = BTreeMap::new();
    let entries = document.entries().iter().filter(|(head, _)| head != "__metadata");
    let entries: Vec<&(String, Yaml)> = entries.collect();
    for (head, entry) in entries.iter().copied() {
        let number = draft.push(berry_package(head, entry));
        for descriptor in head.split(", ") {
            asked.insert(descriptor, number);
        }
    }
    for (number, (_, entry)) in entries.iter().copied().enumerate() {
        let mut found = Vec::new();
        for (name, range) in entry.map("dependencies").iter().chain(entry.map("optionalDependencies")) {
            let range = range.as_str().unwrap_or_default();
            let spelt = [format!("{name}@{range}"), format!("{name}@npm:{range}"), format!("{name}@workspace:{range}")];
            found.extend(spelt.iter().find_map(|descriptor| asked.get(descriptor.as_str()).copied()));
        }
        if draft.packages[number].source == Source::Workspace {
            draft.direct.extend(&found);
        }
        draft.packages[number].dependencies = found;
    }
    Ok(draft)
}

fn berry_package(head: &str, entry: &Yaml) -> Package {
    let resolution = entry.text("resolution").unwrap_or_default();
    let (name, place) = split_descriptor(resolution);
    let (kind, rest) = place.split_once(':').unwrap_or(("npm", place));
    let source = match kind {
        "npm" => Source::Registry(archive_host(rest)),
        "workspace" => Source::Workspace,
        // A patched package is the registry's with changes of this repository.
        "patch" => Source::Registry(None),
        "http" | "https" if !place.contains(".git#") => Source::Url(place.to_owned()),
        "file" | "link" | "portal" => Source::Path(rest.to_owned()),
        _ => Source::Git(place.to_owned()),
    };
    Package {
        integrity: entry.text("checksum").map(str::to_owned),
        ..Package::new(name, entry.text("version").unwrap_or_default(), source, head)
    }
}

/// `1.0.0::__archiveUrl=https%3A%2F%2Fhost%2F…` says where another registry has it.
fn archive_host(rest: &str) -> Option<String> {
    let encoded = rest.split_once("__archiveUrl=")?.1;
    let host = encoded.split("%2F%2F").nth(1)?.split("%2F").next()?;
    Some(host.replace("%3A", ":"))
}
