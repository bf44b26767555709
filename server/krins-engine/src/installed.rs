//! What is installed beside a workspace's files: `node_modules` in each of its shapes, and the sources that Cargo keeps.
//!
//! Reads only, with limits on every one of them, and starts nothing. What a package says of itself is untrusted; it is read as
//! text and never followed out of the workspace or Cargo's own directory.

use crate::workspace::Root;
use krins_core::gate::lock::Ecosystem;
use krins_core::{Installed, RelPath, Surroundings, Tree as _};
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// Larger than any manifest or licence that a person wrote.
const LARGEST: u64 = 1 << 20;
/// Entries of one directory that are looked at.
const MOST_ENTRIES: usize = 50_000;

/// The names in directories that are asked for again and again, as long as the directories do not change.
#[derive(Debug, Default)]
pub(crate) struct Listings(Mutex<Vec<Listing>>);

#[derive(Clone, Debug)]
struct Listing {
    dir: PathBuf,
    changed: SystemTime,
    names: Arc<[String]>,
}

impl Listings {
    /// Sorted; empty where there is no such directory.
    fn of(&self, dir: &Path) -> Arc<[String]> {
        let Some(changed) = fs::metadata(dir).and_then(|meta| meta.modified()).ok() else { return Arc::default() };
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().iter().find(|known| known.dir == dir && known.changed == changed) {
            return known.names.clone();
        }
        let entries = fs::read_dir(dir).into_iter().flatten().take(MOST_ENTRIES);
        let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort();
        let listing = Listing { dir: dir.to_owned(), changed, names: names.into() };
        let names = listing.names.clone();
        let mut known = lock();
        known.retain(|known| known.dir != dir);
        // A few directories serve a whole lock file.
        if known.len() >= 16 {
            known.remove(0);
        }
        known.push(listing);
        names
    }
}

impl Surroundings for Root {
    fn files(&self) -> Vec<RelPath> {
        self.walk().files.into_iter().map(|file| file.path).collect()
    }

    fn on_disk(&self, path: &RelPath) -> Option<Arc<str>> {
        self.text(path)
    }

    fn is_installed(&self, dir: &str, name: &str) -> bool {
        is_npm_name(name) && upward(dir).any(|dir| self.path().join(dir).join("node_modules").join(name).is_dir())
    }

    fn installed(&self, ecosystem: Ecosystem, dir: &str, name: &str, version: &str) -> Option<Installed> {
        match ecosystem {
            Ecosystem::Npm if is_npm_name(name) => self.npm(dir, name, version),
            Ecosystem::Cargo if is_word(name) && is_word(version) => self.cargo(dir, name, version),
            Ecosystem::Npm | Ecosystem::Cargo => None,
        }
    }
}

impl Root {
    fn npm(&self, dir: &str, name: &str, version: &str) -> Option<Installed> {
        let modules = || upward(dir).map(|dir| self.path().join(dir).join("node_modules"));
        let fits = |place: PathBuf| self.package(&place, name, version);
        if let Some(found) = modules().find_map(|modules| fits(modules.join(name))) {
            return Some(found);
        }
        if version.is_empty() {
            return None;
        }
        modules().find_map(|modules| {
            // pnpm keeps every version beside the others, Yarn and npm inside of whoever wants another one.
            let store = modules.join(".pnpm");
            let wanted = format!("{}@{version}", name.replace('/', "+"));
            let names = self.listings().of(&store);
            let from = names.partition_point(|known| known.as_str() < wanted.as_str());
            let kept = names[from..].iter().take_while(|known| known.starts_with(&wanted));
            let of_store = kept.filter_map(|known| fits(store.join(known).join("node_modules").join(name))).next();
            of_store.or_else(|| {
                let names = self.listings().of(&modules);
                let scopes = names.iter().filter(|known| known.starts_with('@'));
                let scoped = scopes.flat_map(|scope| {
                    let inside = self.listings().of(&modules.join(scope));
                    inside.iter().map(|name| format!("{scope}/{name}")).collect::<Vec<_>>()
                });
                let plain = names.iter().filter(|known| !known.starts_with(['@', '.'])).cloned();
                plain.chain(scoped).find_map(|owner| {
                    let place = modules.join(owner).join("node_modules").join(name);
                    place.is_dir().then(|| fits(place)).flatten()
                })
            })
        })
    }

    /// The npm package in a directory, when it is this one, and still of the workspace after links are followed.
    fn package(&self, place: &Path, name: &str, version: &str) -> Option<Installed> {
        let place = place.canonicalize().ok().filter(|place| place.starts_with(self.path()))?;
        let manifest = read(&place.join("package.json"))?;
        let value: serde_json::Value = serde_json::from_str(&manifest).ok()?;
        let same = value["name"] == name && (version.is_empty() || value["version"] == version);
        same.then(|| Installed { licence: licence_file(&place, says_licence(&manifest)), manifest: manifest.into() })
    }

    fn cargo(&self, dir: &str, name: &str, version: &str) -> Option<Installed> {
        let vendored = upward(dir).map(|dir| self.path().join(dir).join("vendor").join(name));
        let home = cargo_home().map(|home| home.join("registry/src"));
        let indexes = home.iter().flat_map(|home| {
            let names = self.listings().of(home);
            names.iter().map(|index| home.join(index).join(format!("{name}-{version}"))).collect::<Vec<_>>()
        });
        vendored.chain(indexes).find_map(|place| {
            let manifest = read(&place.join("Cargo.toml"))?;
            let table: toml::Table = toml::from_str(&manifest).ok()?;
            let says = |key: &str| table.get("package")?.get(key)?.as_str();
            let same = says("name") == Some(name) && says("version") == Some(version);
            let declared = says("license").is_some();
            same.then(|| Installed { licence: licence_file(&place, declared), manifest: manifest.into() })
        })
    }
}

/// Where Cargo keeps what it downloaded.
fn cargo_home() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("CARGO_HOME").or_else(|| set("HOME").map(|home| home.join(".cargo"))).filter(|home| home.is_absolute())
}

fn says_licence(manifest: &str) -> bool {
    let lower = manifest.to_ascii_lowercase();
    lower.contains("\"licen") && !lower.contains("see licen")
}

/// The licence's own text, where the manifest does not say which one it is.
fn licence_file(place: &Path, declared: bool) -> Option<Arc<str>> {
    if declared {
        return None;
    }
    let entries = fs::read_dir(place).ok()?.take(1000);
    let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    let is_one = |name: &&String| {
        let lower = name.to_ascii_lowercase();
        ["license", "licence", "copying", "unlicense"].iter().any(|start| lower.starts_with(start))
    };
    names.iter().filter(is_one).find_map(|name| read(&place.join(name))).map(Into::into)
}

/// A small text file that is no link.
fn read(path: &Path) -> Option<String> {
    let meta = fs::symlink_metadata(path).ok()?;
    if !meta.is_file() || meta.len() > LARGEST {
        return None;
    }
    let mut text = String::new();
    File::open(path).ok()?.take(LARGEST).read_to_string(&mut text).ok()?;
    Some(text)
}

/// The directory and those above it, the root (`""`) last.
fn upward(dir: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(dir), |dir| {
        (!dir.is_empty()).then(|| dir.rsplit_once('/').map_or("", |(above, _)| above))
    })
}

/// No part of it leads anywhere but down.
fn is_npm_name(name: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['/', '\\', '\0']);
    match name.strip_prefix('@') {
        Some(rest) => rest.split_once('/').is_some_and(|(scope, name)| plain(scope) && plain(name)),
        None => plain(name),
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('.')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("node_modules/a/package.json", r#"{"name": "a", "version": "1.0.0", "license": "MIT"}"#);
        write("node_modules/a/LICENSE", "never read");
        write("node_modules/b/node_modules/a/package.json", r#"{"name": "a", "version": "2.0.0"}"#);
        write("node_modules/b/node_modules/a/LICENSE.md", "terms");
        write(
            "node_modules/.pnpm/@s+c@1.0.0_react@18/node_modules/@s/c/package.json",
            r#"{"name": "@s/c", "version": "1.0.0"}"#,
        );
        write("vendor/d/Cargo.toml", "[package]\nname='d'\nversion='0.1.0'\nlicense='MIT'\n");
        let root = Root::open(dir.path()).unwrap();
        (dir, root)
    }

    #[test]
    fn packages_are_found_in_every_shape_of_an_install() {
        let (_dir, root) = sample();
        let found = |name: &str, version: &str| root.installed(Ecosystem::Npm, "packages/x", name, version);
        assert_eq!(found("a", "1.0.0").unwrap().licence, None);
        assert_eq!(found("a", "2.0.0").unwrap().licence.as_deref(), Some("terms"));
        assert!(found("a", "").is_some() && found("a", "3.0.0").is_none());
        assert!(found("@s/c", "1.0.0").is_some() && found("@s/c", "1.0").is_none());
        assert!(root.is_installed("packages/x", "a") && !root.is_installed("packages/x", "zz"));
        assert!(root.installed(Ecosystem::Cargo, "", "d", "0.1.0").is_some());
        assert!(root.installed(Ecosystem::Cargo, "", "d", "0.2.0").is_none());
    }

    #[test]
    fn names_that_lead_elsewhere_and_links_out_find_nothing() {
        let (dir, root) = sample();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("package.json"), r#"{"name": "evil", "version": "1.0.0"}"#).unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("node_modules/evil")).unwrap();
        let found = |name: &str| root.installed(Ecosystem::Npm, "", name, "1.0.0");
        assert!(found("evil").is_none(), "a link out of the workspace");
        for name in ["../a", "..", "@s/../c", "a/b", "", "@s", "a\\b"] {
            assert!(found(name).is_none(), "{name}");
            assert!(!root.is_installed("", name), "{name}");
        }
        assert!(root.installed(Ecosystem::Cargo, "", "../d", "0.1.0").is_none());
    }
}
