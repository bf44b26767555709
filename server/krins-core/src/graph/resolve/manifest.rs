//! package.json: what resolution needs to know besides what oxc_resolver reads from it by itself.

use super::versions::TypesVersions;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Manifest {
    pub name: Option<String>,
    pub version: Option<String>,
    /// Globs of the packages that an install links together.
    pub workspaces: Vec<String>,
    /// Every kind of dependency: the version or place that is asked for, by name.
    pub dependencies: BTreeMap<String, String>,
    /// The files that the package itself may mean, as written.
    pub entries: Vec<String>,
    pub types: Option<TypesVersions>,
    /// As JSON that no reader objects to.
    pub text: String,
}

impl Manifest {
    pub fn read(value: &Value) -> Self {
        let text = |key: &str| value[key].as_str().map(str::to_owned);
        let workspaces = match &value["workspaces"] {
            Value::Object(yarn) => strings(yarn.get("packages")),
            list => strings(Some(list)),
        };
        let mut dependencies = BTreeMap::new();
        for kind in ["peerDependencies", "optionalDependencies", "devDependencies", "dependencies"] {
            let listed = value[kind].as_object().into_iter().flatten();
            dependencies.extend(listed.filter_map(|(name, asked)| Some((name.clone(), asked.as_str()?.to_owned()))));
        }
        Self {
            name: text("name"),
            version: text("version"),
            workspaces,
            dependencies,
            entries: entries(value),
            types: TypesVersions::read(value),
            text: value.to_string(),
        }
    }
}

/// The strings of a list.
pub(super) fn strings(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn entries(value: &Value) -> Vec<String> {
    let mut found: Vec<String> = ["types", "typings", "module", "main"]
        .iter()
        .filter_map(|key| value[*key].as_str())
        .map(str::to_owned)
        .collect();
    let exports = &value["exports"];
    let whole = exports.as_object().is_none_or(|map| !map.keys().any(|key| key.starts_with('.')));
    targets(if whole { exports } else { &exports["."] }, &mut found);
    // What Node takes when nothing is said.
    found.extend(["index.js".to_owned(), "index.d.ts".to_owned()]);
    found
}

/// All targets under conditions and alternatives.
fn targets(value: &Value, found: &mut Vec<String>) {
    let mut queue = vec![value];
    while let Some(value) = queue.pop() {
        match value {
            Value::String(target) => found.push(target.clone()),
            Value::Array(all) => queue.extend(all.iter().rev()),
            Value::Object(conditions) => queue.extend(conditions.values().rev()),
            _ => {}
        }
    }
}
