//! Manifests as far as the checks of packages need them: `package.json`, `Cargo.toml`, `pnpm-workspace.yaml`.

use super::yaml::Yaml;
use crate::gate::lock::Ecosystem;
use crate::graph::jsonc;
use crate::path::RelPath;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use toml::Table;

/// What a manifest says of packages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    pub name: Option<String>,
    /// What is asked for, by the name it is used by; the first kind that names it counts.
    pub dependencies: BTreeMap<String, Asked>,
    /// Names that it says something about without asking for them: overrides, resolutions, catalogs, what is bundled.
    pub mentioned: BTreeSet<String>,
    /// Scripts that run when somebody installs the package.
    pub install_scripts: Vec<String>,
    pub licence: Option<String>,
}

/// One dependency as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Where it stands: `dependencies`, `devDependencies`, `target.'cfg(unix)'.dependencies`.
    pub kind: String,
    /// The version, range or place.
    pub spec: String,
    /// The package's own name, where it is used by another one.
    pub package: Option<String>,
}

impl Asked {
    /// The name a registry knows it by.
    pub fn real_name<'n>(&'n self, used: &'n str) -> &'n str {
        self.package.as_deref().unwrap_or(used)
    }

    /// Whether the place is no registry and none of this workspace.
    pub fn is_foreign(&self) -> bool {
        is_foreign(&self.spec)
    }
}

/// Git, http and file places, and the short form of a repository.
fn is_foreign(spec: &str) -> bool {
    let lower = spec.to_ascii_lowercase();
    let scheme =
        ["git+", "git:", "git@", "ssh:", "http:", "https:", "github:", "gitlab:", "bitbucket:", "gist:", "file:"];
    let short = || {
        let (owner, rest) = lower.split_once('/')?;
        let plain =
            |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        (plain(owner) && plain(rest.split('#').next()?)).then_some(())
    };
    scheme.iter().any(|scheme| lower.starts_with(scheme)) || !lower.contains(':') && short().is_some()
}

/// The ecosystem of a manifest by its name.
pub fn ecosystem(path: &RelPath) -> Option<Ecosystem> {
    match path.file_name() {
        "package.json" => Some(Ecosystem::Npm),
        "Cargo.toml" => Some(Ecosystem::Cargo),
        _ => None,
    }
}

impl Manifest {
    /// Reads a manifest; `None` when it is none, or not readable.
    pub fn read(path: &RelPath, text: &str) -> Option<Self> {
        match ecosystem(path)? {
            Ecosystem::Npm => Some(Self::package_json(&jsonc::parse(text)?)),
            Ecosystem::Cargo => Some(Self::cargo_toml(&toml::from_str(text).ok()?)),
        }
    }

    pub fn package_json(value: &Value) -> Self {
        let mut dependencies = BTreeMap::new();
        for kind in ["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"] {
            for (name, spec) in value[kind].as_object().into_iter().flatten() {
                let Some(spec) = spec.as_str() else { continue };
                let alias = spec.strip_prefix("npm:").map(super::super::lock::split_descriptor);
                let package = alias.map(|(name, _)| name.to_owned()).filter(|other| other != name);
                let asked = Asked { kind: kind.to_owned(), spec: spec.to_owned(), package };
                dependencies.entry(name.clone()).or_insert(asked);
            }
        }
        let mut mentioned = BTreeSet::new();
        for key in ["overrides", "resolutions", "peerDependenciesMeta", "dependenciesMeta", "imports"] {
            mentioned.extend(value[key].as_object().into_iter().flatten().map(|(name, _)| name.clone()));
        }
        for pointer in ["/pnpm/overrides", "/workspaces/catalog", "/catalog"] {
            let listed = value.pointer(pointer).and_then(Value::as_object);
            mentioned.extend(listed.into_iter().flatten().map(|(name, _)| name.clone()));
        }
        for key in ["bundledDependencies", "bundleDependencies"] {
            let listed = value[key].as_array().into_iter().flatten();
            mentioned.extend(listed.filter_map(Value::as_str).map(str::to_owned));
        }
        let scripts = |name: &&&str| value["scripts"][**name].is_string();
        Self {
            name: value["name"].as_str().map(str::to_owned),
            dependencies,
            mentioned,
            install_scripts: INSTALL_SCRIPTS.iter().filter(scripts).map(|name| (*name).to_owned()).collect(),
            licence: licence(value),
        }
    }

    pub fn cargo_toml(table: &Table) -> Self {
        let mut manifest = Self::default();
        let package = table.get("package").and_then(toml::Value::as_table);
        let text = |key: &str| package?.get(key)?.as_str().map(str::to_owned);
        (manifest.name, manifest.licence) = (text("name"), text("license"));
        if package.is_some_and(|package| package.get("build").is_some_and(toml::Value::is_str)) {
            manifest.install_scripts.push("build".to_owned());
        }
        manifest.add_cargo("", table);
        for (target, table) in table.get("target").and_then(toml::Value::as_table).into_iter().flatten() {
            if let Some(table) = table.as_table() {
                manifest.add_cargo(&format!("target.'{target}'."), table);
            }
        }
        if let Some(workspace) = table.get("workspace").and_then(toml::Value::as_table) {
            manifest.add_cargo("workspace.", workspace);
        }
        manifest
    }

    fn add_cargo(&mut self, before: &str, table: &Table) {
        for kind in ["dependencies", "build-dependencies", "dev-dependencies"] {
            for (name, asked) in table.get(kind).and_then(toml::Value::as_table).into_iter().flatten() {
                let text = |key: &str| asked.as_table()?.get(key)?.as_str();
                let spec = match (asked.as_str(), text("git"), text("path")) {
                    (Some(version), ..) => version.to_owned(),
                    (None, Some(git), _) => format!("git+{git}"),
                    (None, None, Some(path)) => format!("path:{path}"),
                    (None, None, None) => text("version").unwrap_or("workspace").to_owned(),
                };
                let package = text("package").map(str::to_owned);
                let asked = Asked { kind: format!("{before}{kind}"), spec, package };
                self.dependencies.entry(name.clone()).or_insert(asked);
            }
        }
    }
}

/// Scripts that npm, Yarn and pnpm run by themselves when a package is installed.
pub const INSTALL_SCRIPTS: &[&str] = &["preinstall", "install", "postinstall", "preprepare", "prepare", "postprepare"];

/// The licence that a `package.json`, or an entry of npm's lock file, declares, in any of the forms there have been.
pub fn licence(value: &Value) -> Option<String> {
    let one = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Object(about) => about.get("type").or(about.get("name")).and_then(Value::as_str).map(str::to_owned),
        _ => None,
    };
    // Several meant a choice: so says npm's own page of the old form.
    let several = |list: &Vec<Value>| {
        let names: Vec<String> = list.iter().filter_map(one).collect();
        (!names.is_empty() && names.len() == list.len()).then(|| names.join(" OR "))
    };
    for key in ["license", "licence", "licenses"] {
        let found = match &value[key] {
            Value::Array(list) => several(list),
            single => one(single),
        };
        if let Some(found) = found.filter(|text| !text.trim().is_empty()) {
            return Some(found);
        }
    }
    None
}

/// The names in the catalogs of a `pnpm-workspace.yaml`, and what it overrides.
pub fn catalog_names(text: &str) -> BTreeSet<String> {
    let documents = Yaml::documents(text).unwrap_or_default();
    let mut names = BTreeSet::new();
    for document in &documents {
        let catalogs = document.map("catalogs").iter().map(|(_, catalog)| catalog);
        let lists = catalogs.chain(document.get("catalog")).chain(document.get("overrides"));
        names.extend(lists.flat_map(Yaml::entries).map(|(name, _)| name.clone()));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_licence_is_read_in_every_form_there_has_been() {
        for (value, expect) in [
            (json!({"license": "MIT"}), Some("MIT")),
            (json!({"license": {"type": "ISC", "url": "x"}}), Some("ISC")),
            (json!({"licenses": [{"type": "MIT"}, {"type": "Apache-2.0"}]}), Some("MIT OR Apache-2.0")),
            (json!({"licenses": ["MIT", 1]}), None),
            (json!({"licence": "MIT"}), Some("MIT")),
            (json!({"license": " "}), None),
            (json!({}), None),
        ] {
            assert_eq!(licence(&value).as_deref(), expect, "{value}");
        }
    }

    #[test]
    fn a_place_is_foreign_or_a_version() {
        for spec in
            ["git+ssh://git@h/a.git", "https://h/a.tgz", "file:../a", "github:a/b", "a/b", "a/b#main", "git@h:a/b.git"]
        {
            assert!(is_foreign(spec), "{spec}");
        }
        for spec in
            ["^1.0.0", "*", "latest", "workspace:*", "npm:other@^1", "catalog:", "1.x || 2.x", ">=1 <2", "link:x"]
        {
            assert!(!is_foreign(spec), "{spec}");
        }
    }

    #[test]
    fn cargo_dependencies_are_read_from_every_table() {
        let text = "[package]\nname='a'\nlicense='MIT'\nbuild='b.rs'\n[dependencies]\nx='1'\ny={git='https://h/y', package='z'}\n\
                    [target.'cfg(unix)'.dev-dependencies]\nw={path='../w'}\n[workspace.dependencies]\nv={version='2'}\n";
        let manifest = Manifest::read(&RelPath::new("Cargo.toml").unwrap(), text).unwrap();
        let specs: Vec<(&str, &str)> =
            manifest.dependencies.iter().map(|(name, asked)| (name.as_str(), asked.spec.as_str())).collect();
        assert_eq!(specs, [("v", "2"), ("w", "path:../w"), ("x", "1"), ("y", "git+https://h/y")]);
        assert_eq!(manifest.dependencies["y"].real_name("y"), "z");
        assert_eq!(manifest.install_scripts, ["build"]);
    }

    #[test]
    fn catalogs_are_read() {
        let text = "packages: [a]\ncatalog:\n  react: ^18\ncatalogs:\n  old:\n    vue: ^2\noverrides:\n  x: 1\n";
        assert_eq!(catalog_names(text).into_iter().collect::<Vec<_>>(), ["react", "vue", "x"]);
    }
}
