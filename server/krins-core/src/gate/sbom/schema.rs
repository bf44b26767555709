//! The published schema of CycloneDX 1.6, and what a document does against it.
//!
//! The schemas lie in `schemas/` as they were published; nothing is fetched. Of JSON Schema (draft 7) this reads what they
//! use and nothing else, and a test fails when they use more.

use regex::Regex;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

const BOM: &str = include_str!("../../../schemas/bom-1.6.schema.json");
const LICENCES: &str = include_str!("../../../schemas/spdx.schema.json");
const SIGNATURES: &str = include_str!("../../../schemas/jsf-0.82.schema.json");
/// Objections beyond these are not looked for.
const MOST: usize = 500;

fn schemas() -> &'static BTreeMap<&'static str, Value> {
    static SCHEMAS: OnceLock<BTreeMap<&'static str, Value>> = OnceLock::new();
    SCHEMAS.get_or_init(|| {
        let all = [("", BOM), ("spdx.schema.json", LICENCES), ("jsf-0.82.schema.json", SIGNATURES)];
        all.into_iter().map(|(name, text)| (name, serde_json::from_str(text).unwrap_or_default())).collect()
    })
}

/// Everything that the schema objects to: place (a JSON pointer) and words.
pub fn errors(document: &Value) -> Vec<(String, String)> {
    let reader = Reader::default();
    let mut found = Vec::new();
    reader.check(&schemas()[""], "", document, "", &mut found);
    found
}

#[derive(Default)]
struct Reader {
    patterns: RefCell<BTreeMap<String, Option<Regex>>>,
}

type Found = Vec<(String, String)>;

impl Reader {
    fn holds(&self, schema: &Value, file: &str, value: &Value) -> bool {
        let mut found = Vec::new();
        self.check(schema, file, value, "", &mut found);
        found.is_empty()
    }

    /// `file` is the schema file that the schema stands in: a reference without a file is to itself.
    fn check(&self, schema: &Value, file: &str, value: &Value, place: &str, found: &mut Found) {
        if found.len() >= MOST {
            return;
        }
        let rules = match schema {
            Value::Object(rules) => rules,
            Value::Bool(true) => return,
            _ => return found.push((place.to_owned(), "nothing may stand here".to_owned())),
        };
        // Beside a reference nothing counts, says draft 7.
        if let Some(reference) = rules.get("$ref").and_then(Value::as_str) {
            return match resolve(reference, file) {
                Some((schema, file)) => self.check(schema, file, value, place, found),
                None => found.push((place.to_owned(), format!("the schema refers to {reference}, which is not there"))),
            };
        }
        for (keyword, rule) in rules {
            self.keyword(keyword, rule, file, value, place, found);
        }
        if let Some(condition) = rules.get("if") {
            let then = if self.holds(condition, file, value) { rules.get("then") } else { rules.get("else") };
            if let Some(then) = then {
                self.check(then, file, value, place, found);
            }
        }
        match value {
            Value::Object(members) => self.members(rules, file, members, place, found),
            Value::Array(items) => self.items(rules, file, items, place, found),
            _ => {}
        }
    }

    fn keyword(&self, keyword: &str, rule: &Value, file: &str, value: &Value, place: &str, found: &mut Found) {
        let mut object = |words: String| found.push((place.to_owned(), words));
        let length = |text: &str| text.chars().count() as u64;
        match (keyword, value) {
            ("type", _) if !is_type(rule, value) => object(format!("it is {} and not {rule}", kind(value))),
            ("enum", _) if !rule.as_array().is_some_and(|all| all.contains(value)) => {
                object(format!("{} is none of the {} values", shown(value), rule.as_array().map_or(0, Vec::len)));
            }
            ("const", _) if rule != value => object(format!("{} is not {rule}", shown(value))),
            ("minLength", Value::String(text)) if rule.as_u64().is_some_and(|least| length(text) < least) => {
                object(format!("{} is shorter than {rule}", shown(value)));
            }
            ("maxLength", Value::String(text)) if rule.as_u64().is_some_and(|most| length(text) > most) => {
                object(format!("{} is longer than {rule}", shown(value)));
            }
            ("minimum", Value::Number(number)) if below(number.as_f64(), rule.as_f64()) => {
                object(format!("{number} is below {rule}"))
            }
            ("maximum", Value::Number(number)) if below(rule.as_f64(), number.as_f64()) => {
                object(format!("{number} is above {rule}"))
            }
            ("pattern", Value::String(text)) if !self.fits(rule, text) => {
                object(format!("{} does not fit {rule}", shown(value)))
            }
            ("format", Value::String(text)) if !is_format(rule.as_str().unwrap_or_default(), text) => {
                object(format!("{} is no {}", shown(value), rule.as_str().unwrap_or_default()));
            }
            ("oneOf", _) => {
                let fit = rule.as_array().into_iter().flatten().filter(|form| self.holds(form, file, value)).count();
                if fit != 1 {
                    object(format!("it has {fit} of the forms of which it must have one"));
                }
            }
            ("anyOf", _) if !rule.as_array().into_iter().flatten().any(|form| self.holds(form, file, value)) => {
                object("it has none of the forms".to_owned());
            }
            ("allOf", _) => {
                rule.as_array().into_iter().flatten().for_each(|form| self.check(form, file, value, place, found))
            }
            _ => {}
        }
    }

    fn members(
        &self,
        rules: &Map<String, Value>,
        file: &str,
        members: &Map<String, Value>,
        place: &str,
        found: &mut Found,
    ) {
        let required = rules.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        for name in required.filter(|name| !members.contains_key(*name)) {
            found.push((place.to_owned(), format!("{name:?} is missing")));
        }
        let known = rules.get("properties").and_then(Value::as_object);
        for (name, value) in members {
            let below = format!("{place}/{}", name.replace('~', "~0").replace('/', "~1"));
            match (known.and_then(|known| known.get(name)), rules.get("additionalProperties")) {
                (Some(schema), _) => self.check(schema, file, value, &below, found),
                (None, Some(Value::Bool(false))) => found.push((below, "there is no such member".to_owned())),
                (None, Some(schema)) => self.check(schema, file, value, &below, found),
                (None, None) => {}
            }
        }
    }

    fn items(&self, rules: &Map<String, Value>, file: &str, items: &[Value], place: &str, found: &mut Found) {
        let number = |keyword: &str| rules.get(keyword).and_then(Value::as_u64);
        if number("minItems").is_some_and(|least| (items.len() as u64) < least) {
            found.push((place.to_owned(), "it has too few items".to_owned()));
        }
        if number("maxItems").is_some_and(|most| items.len() as u64 > most) {
            found.push((place.to_owned(), "it has too many items".to_owned()));
        }
        if rules.get("uniqueItems") == Some(&Value::Bool(true)) {
            let all: BTreeSet<String> = items.iter().map(canonical).collect();
            if all.len() < items.len() {
                found.push((place.to_owned(), "two of its items are the same".to_owned()));
            }
        }
        for (at, item) in items.iter().enumerate() {
            let schema = match rules.get("items") {
                Some(Value::Array(list)) => list.get(at).or(rules.get("additionalItems")),
                schema => schema,
            };
            if let Some(schema) = schema {
                self.check(schema, file, item, &format!("{place}/{at}"), found);
            }
        }
    }

    fn fits(&self, pattern: &Value, text: &str) -> bool {
        let Some(pattern) = pattern.as_str() else { return false };
        let mut patterns = self.patterns.borrow_mut();
        let compiled = patterns.entry(pattern.to_owned()).or_insert_with(|| Regex::new(pattern).ok());
        compiled.as_ref().is_some_and(|compiled| compiled.is_match(text))
    }
}

/// The schema that is referred to, and the file that it stands in.
fn resolve(reference: &str, file: &str) -> Option<(&'static Value, &'static str)> {
    let (name, pointer) = reference.split_once('#').unwrap_or((reference, ""));
    let wanted = if name.is_empty() { file } else { name };
    let (name, schema) = schemas().iter().find(|(known, _)| **known == wanted)?;
    Some((schema.pointer(pointer)?, name))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn is_type(rule: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => false,
    };
    match rule {
        Value::String(name) => is(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(is),
        _ => true,
    }
}

fn below(left: Option<f64>, right: Option<f64>) -> bool {
    left.zip(right).is_some_and(|(left, right)| left < right)
}

fn shown(value: &Value) -> String {
    value.to_string().chars().filter(|c| !c.is_control()).take(100).collect()
}

/// One spelling for equal values, whatever the order of their members.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<&String, String> =
                members.iter().map(|(name, value)| (name, canonical(value))).collect();
            format!("{sorted:?}")
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

/// The formats that the schemas use; every other one is not looked at.
fn is_format(format: &str, text: &str) -> bool {
    match format {
        "date-time" => is_date_time(text),
        "uri" => is_reference(text) && scheme(text),
        "iri-reference" => is_reference(text),
        "idn-email" => {
            let parts = text.rsplit_once('@');
            parts.is_some_and(|(name, host)| {
                !name.is_empty() && !host.is_empty() && !text.contains(char::is_whitespace) && !name.contains('@')
            })
        }
        _ => true,
    }
}

fn scheme(text: &str) -> bool {
    let Some((scheme, _)) = text.split_once(':') else { return false };
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

/// RFC 3987: no space, no control character, none of `<>"{}|\^` and the backtick, every `%` with two digits.
fn is_reference(text: &str) -> bool {
    let plain = |c: char| !c.is_control() && !c.is_whitespace() && !"<>\"{}|\\^`".contains(c);
    let escapes = text.match_indices('%').all(|(at, _)| {
        text.get(at + 1..at + 3).is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
    });
    // What stands before the first colon is a scheme, unless a `/`, `?` or `#` comes first.
    let first = text.split(['/', '?', '#']).next().unwrap_or_default();
    text.chars().all(plain) && escapes && text.matches('#').count() <= 1 && (!first.contains(':') || scheme(text))
}

/// RFC 3339.
fn is_date_time(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    let Some((date, time)) = upper.split_once('T') else { return false };
    let number = |text: &str, length: usize| -> Option<u32> {
        (text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
    };
    let date: Vec<&str> = date.split('-').collect();
    let [year, month, day] = date.as_slice() else { return false };
    let (Some(year), Some(month), Some(day)) = (number(year, 4), number(month, 2), number(day, 2)) else {
        return false;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(leap),
        1..=12 => 31,
        _ => 0,
    };
    let (clock, zone) = match time.strip_suffix('Z') {
        Some(clock) => (clock, None),
        None => match time.rfind(['+', '-']) {
            Some(at) => (&time[..at], Some(&time[at + 1..])),
            None => return false,
        },
    };
    let hours = |text: &str| -> bool {
        let parts: Vec<&str> = text.split(':').collect();
        let [hour, minute] = parts.as_slice() else { return false };
        number(hour, 2).is_some_and(|hour| hour < 24) && number(minute, 2).is_some_and(|minute| minute < 60)
    };
    let Some((minutes, seconds)) = clock.rsplit_once(':') else { return false };
    let (whole, part) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let part_is_one = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    (1..=days).contains(&day)
        && hours(minutes)
        && number(whole, 2).is_some_and(|second| second <= 60)
        && part_is_one
        && zone.is_none_or(hours)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::licences::expression;
    use serde_json::json;

    /// What the reader follows, and what says nothing of a document.
    const READ: &[&str] = &[
        "$ref",
        "type",
        "enum",
        "const",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "pattern",
        "format",
        "oneOf",
        "anyOf",
        "allOf",
        "if",
        "then",
        "else",
        "required",
        "properties",
        "additionalProperties",
        "items",
        "additionalItems",
        "minItems",
        "maxItems",
        "uniqueItems",
        "definitions",
        "title",
        "description",
        "examples",
        "default",
        "meta:enum",
        "$comment",
        "deprecated",
        "$schema",
        "$id",
    ];

    fn keywords(schema: &Value, all: &mut BTreeSet<String>) {
        let Value::Object(rules) = schema else { return };
        for (keyword, rule) in rules {
            all.insert(keyword.clone());
            match (keyword.as_str(), rule) {
                ("properties" | "definitions", Value::Object(inside)) => {
                    inside.values().for_each(|schema| keywords(schema, all))
                }
                ("items" | "oneOf" | "anyOf" | "allOf", Value::Array(list)) => {
                    list.iter().for_each(|schema| keywords(schema, all))
                }
                ("items" | "additionalProperties" | "additionalItems" | "if" | "then" | "else", schema) => {
                    keywords(schema, all)
                }
                ("pattern", Value::String(pattern)) => drop(Regex::new(pattern).unwrap()),
                ("format", Value::String(format)) => {
                    assert!(["date-time", "uri", "iri-reference", "idn-email"].contains(&format.as_str()), "{format}");
                }
                _ => {}
            }
        }
    }

    #[test]
    fn the_schemas_use_nothing_that_is_not_read() {
        let mut all = BTreeSet::new();
        schemas().values().for_each(|schema| keywords(schema, &mut all));
        assert!(all.len() > 20);
        for keyword in all {
            assert!(READ.contains(&keyword.as_str()), "{keyword}");
        }
    }

    /// An id that the schema does not know would make a document invalid.
    #[test]
    fn every_licence_that_is_written_as_an_id_is_in_the_schema() {
        let known = schemas()["spdx.schema.json"]["enum"].as_array().unwrap();
        for id in expression::permissive() {
            assert!(known.iter().any(|known| known == id), "{id}");
        }
    }

    #[test]
    fn what_the_schema_says_is_held() {
        let minimal = json!({"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1});
        assert_eq!(errors(&minimal), []);
        for (pointer, value) in [
            ("whatever", json!(1)),
            ("specVersion", json!(1.6)),
            ("bomFormat", json!("cyclonedx")),
            ("serialNumber", json!("urn:uuid:1")),
            ("version", json!(0)),
            ("metadata", json!({"timestamp": "2026-02-30T00:00:00Z"})),
            ("components", json!([{"type": "library"}])),
            ("components", json!([{"type": "no", "name": "a"}])),
            ("components", json!([{"type": "library", "name": "a"}, {"name": "a", "type": "library"}])),
            ("components", json!([{"type": "library", "name": "a", "licenses": [{"license": {"id": "Nope"}}]}])),
            (
                "components",
                json!([{"type": "library", "name": "a", "licenses": [{"expression": "MIT"}, {"license": {"id": "MIT"}}]}]),
            ),
            (
                "components",
                json!([{"type": "library", "name": "a", "hashes": [{"alg": "SHA-512", "content": "AA=="}]}]),
            ),
            (
                "components",
                json!([{"type": "library", "name": "a", "externalReferences": [{"type": "website", "url": "a b"}]}]),
            ),
        ] {
            let mut document = minimal.clone();
            document[pointer] = value;
            assert!(!errors(&document).is_empty(), "{document}");
        }
    }

    #[test]
    fn formats_are_read() {
        for text in ["2026-01-31T12:00:00Z", "2026-01-31t12:00:00.5+01:00", "2024-02-29T23:59:60-00:30"] {
            assert!(is_date_time(text), "{text}");
        }
        for text in [
            "2026-01-31",
            "2026-01-31T12:00Z",
            "2026-01-31T12:00:00",
            "2025-02-29T00:00:00Z",
            "2026-01-31T12:00:00.Z",
            "é",
        ] {
            assert!(!is_date_time(text), "{text}");
        }
        assert!(
            is_reference("../a?b#c")
                && is_reference("https://ü/é")
                && is_reference("")
                && !is_reference("a b")
                && !is_reference("%zz")
                && !is_reference("1:2")
        );
    }
}
