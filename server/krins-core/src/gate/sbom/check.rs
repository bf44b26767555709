//! What a schema cannot say of a CycloneDX document: that its references lead somewhere, that its expressions are ones,
//! that what it lists can be found again.

use super::is_purl;
use crate::gate::licences::expression;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The document is valid, and says too little to be of use.
    Incomplete,
    /// It contradicts itself or the specification.
    Wrong,
}

/// One thing that is wrong, with its place as a JSON pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub severity: Severity,
    pub place: String,
    pub what: String,
}

/// Deeper than any document; the JSON reader stops at 128.
const DEEPEST: usize = 256;

/// Everything that is wrong with a document beside its schema, in its order.
pub fn faults(document: &Value) -> Vec<Fault> {
    let mut reader = Reader::default();
    reader.walk(document, &mut String::new(), 0);
    reader.dependencies(document);
    for component in [document.pointer("/metadata/component")].into_iter().flatten() {
        reader.inside(component, "/metadata/component", false);
    }
    reader.components(&document["components"], "/components");
    reader.faults
}

#[derive(Default)]
struct Reader {
    /// Every `bom-ref`, with where it was first.
    references: BTreeMap<String, String>,
    faults: Vec<Fault>,
}

impl Reader {
    fn say(&mut self, severity: Severity, place: &str, what: String) {
        self.faults.push(Fault { severity, place: place.to_owned(), what });
    }

    /// References and expressions, wherever they are.
    fn walk(&mut self, value: &Value, place: &mut String, depth: usize) {
        if depth > DEEPEST {
            return;
        }
        let mut inside = |reader: &mut Self, key: &str, value: &Value| {
            let length = place.len();
            place.push('/');
            place.push_str(&key.replace('~', "~0").replace('/', "~1"));
            reader.look(key, value, place);
            reader.walk(value, place, depth + 1);
            place.truncate(length);
        };
        match value {
            Value::Object(entries) => entries.iter().for_each(|(key, value)| inside(self, key, value)),
            Value::Array(items) => items.iter().enumerate().for_each(|(at, item)| inside(self, &at.to_string(), item)),
            _ => {}
        }
    }

    fn look(&mut self, key: &str, value: &Value, place: &str) {
        match (key, value) {
            ("bom-ref", Value::String(reference)) => {
                if let Some(first) = self.references.get(reference) {
                    let what = format!("the bom-ref {reference:?} is there already, at {first}");
                    self.say(Severity::Wrong, place, what);
                } else {
                    self.references.insert(reference.clone(), place.to_owned());
                }
            }
            ("expression", Value::String(text)) if place.contains("/licenses/") && !expression::is_valid(text) => {
                self.say(Severity::Wrong, place, format!("{text:?} is no licence expression of SPDX"));
            }
            ("purl", Value::String(text)) if !is_purl(text) => {
                self.say(Severity::Wrong, place, format!("{text:?} is no package URL"));
            }
            _ => {}
        }
    }

    fn dependencies(&mut self, document: &Value) {
        let mut seen = BTreeSet::new();
        let Some(dependencies) = document["dependencies"].as_array() else { return };
        for (at, dependency) in dependencies.iter().enumerate() {
            let place = format!("/dependencies/{at}");
            if let Some(reference) = dependency["ref"].as_str() {
                self.must_lead(reference, &format!("{place}/ref"));
                if !seen.insert(reference.to_owned()) {
                    self.say(Severity::Wrong, &place, format!("the dependencies of {reference:?} are there already"));
                }
            }
            for key in ["dependsOn", "provides"] {
                for (on, reference) in dependency[key].as_array().into_iter().flatten().enumerate() {
                    if let Some(reference) = reference.as_str() {
                        self.must_lead(reference, &format!("{place}/{key}/{on}"));
                    }
                }
            }
        }
    }

    fn must_lead(&mut self, reference: &str, place: &str) {
        // A BOM-Link leads to another document.
        if !self.references.contains_key(reference) && !reference.starts_with("urn:cdx:") {
            self.say(Severity::Wrong, place, format!("{reference:?} leads to no bom-ref"));
        }
    }

    fn components(&mut self, list: &Value, place: &str) {
        for (at, component) in list.as_array().into_iter().flatten().enumerate() {
            self.inside(component, &format!("{place}/{at}"), true);
        }
    }

    fn inside(&mut self, component: &Value, place: &str, listed: bool) {
        let is_package = listed && matches!(component["type"].as_str(), Some("library" | "framework"));
        for key in ["version", "purl"] {
            let missing = component[key].as_str().is_none_or(str::is_empty);
            let identified = key == "purl" && (component["cpe"].is_string() || component["swid"].is_object());
            if is_package && missing && !identified {
                let name = component["name"].as_str().unwrap_or("a component");
                self.say(Severity::Incomplete, place, format!("{name:?} has no {key}"));
            }
        }
        if let (Some(purl), Some(version)) = (component["purl"].as_str(), component["version"].as_str())
            && is_purl(purl)
            && !version_agrees(purl, version)
        {
            self.say(Severity::Incomplete, place, format!("the version {version:?} is not that of {purl:?}"));
        }
        self.components(&component["components"], &format!("{place}/components"));
    }
}

fn version_agrees(purl: &str, version: &str) -> bool {
    let path = purl.split(['?', '#']).next().unwrap_or(purl);
    path.rsplit_once('@').is_none_or(|(_, written)| written == version || decoded(written).as_deref() == Some(version))
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            u8::try_from(digit(rest.next()?)? * 16 + digit(rest.next()?)?).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sound() -> Value {
        json!({
            "bomFormat": "CycloneDX", "specVersion": "1.6",
            "metadata": {"component": {"type": "application", "name": "x", "bom-ref": "root"}},
            "components": [
                {"type": "library", "name": "a", "version": "1+b", "purl": "pkg:npm/a@1%2Bb", "bom-ref": "a", "licenses": [{"expression": "MIT OR GPL-3.0"}]},
                {"type": "library", "name": "b", "version": "2", "purl": "pkg:npm/b@2", "bom-ref": "b"}
            ],
            "dependencies": [{"ref": "root", "dependsOn": ["a"]}, {"ref": "a", "dependsOn": ["b", "urn:cdx:x/1#y"]}]
        })
    }

    #[test]
    fn each_fault_that_a_schema_lets_through_is_found() {
        assert_eq!(faults(&sound()), []);
        let rows: [(&str, Value, &str, Severity); 9] = [
            ("/components/0/licenses/0/expression", json!("MIT OR OR"), "no licence expression", Severity::Wrong),
            ("/dependencies/1/dependsOn/0", json!("c"), "leads to no", Severity::Wrong),
            ("/dependencies/1/ref", json!("c"), "leads to no", Severity::Wrong),
            ("/components/1/bom-ref", json!("a"), "there already", Severity::Wrong),
            ("/components/1/purl", json!("pkg:npm/@s/b@2"), "no package URL", Severity::Wrong),
            ("/components/1/purl", Value::Null, "no purl", Severity::Incomplete),
            ("/components/1/version", Value::Null, "no version", Severity::Incomplete),
            ("/components/1/version", json!("3"), "not that of", Severity::Incomplete),
            ("/dependencies/1/ref", json!("root"), "there already", Severity::Wrong),
        ];
        for (place, value, what, severity) in rows {
            let mut broken = sound();
            *broken.pointer_mut(place).unwrap() = value;
            let found = faults(&broken);
            assert!(
                found.iter().any(|fault| fault.what.contains(what) && fault.severity == severity),
                "{place}: {found:?}"
            );
        }
    }
}
