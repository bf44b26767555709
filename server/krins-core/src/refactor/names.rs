//! Which words may become names, and which names a person may have meant.

use super::RefactorError;
use super::program::Program;
use crate::path::RelPath;
use oxc_syntax::identifier::is_identifier_name;
use std::collections::BTreeSet;

/// Words that cannot be bound in a module (ECMA-262 §12.7.2, strict mode included).
const RESERVED: [&str; 50] = [
    "arguments",
    "await",
    "break",
    "case",
    "catch",
    "class",
    "const",
    "continue",
    "debugger",
    "default",
    "delete",
    "do",
    "else",
    "enum",
    "eval",
    "export",
    "extends",
    "false",
    "finally",
    "for",
    "function",
    "if",
    "implements",
    "import",
    "in",
    "instanceof",
    "interface",
    "let",
    "new",
    "null",
    "package",
    "private",
    "protected",
    "public",
    "return",
    "static",
    "super",
    "switch",
    "this",
    "throw",
    "true",
    "try",
    "typeof",
    "undefined",
    "var",
    "void",
    "while",
    "with",
    "yield",
    "globalThis",
];
/// Names that TypeScript keeps for its own types.
const TYPES: [&str; 12] = [
    "any",
    "bigint",
    "boolean",
    "intrinsic",
    "never",
    "number",
    "object",
    "string",
    "symbol",
    "unknown",
    "asserts",
    "infer",
];

pub(super) fn check(name: &str) -> Result<(), RefactorError> {
    let why = if RESERVED.contains(&name) {
        "it is a reserved word"
    } else if TYPES.contains(&name) {
        "it is a type of TypeScript"
    } else if !is_identifier_name(name) {
        "it is not an identifier"
    } else {
        return Ok(());
    };
    Err(RefactorError::BadName { name: name.to_owned(), why })
}

/// A name as a specifier spells it: `export { a as "not an identifier" }`.
pub(super) fn spelled(name: &str) -> String {
    if is_identifier_name(name) { name.to_owned() } else { serde_json::Value::from(name).to_string() }
}

pub(super) fn no_such_symbol(program: &Program<'_>, name: &str, file: Option<&RelPath>) -> RefactorError {
    let names: BTreeSet<&str> = program
        .modules
        .values()
        .filter(|module| file.is_none_or(|file| module.path == *file))
        .flat_map(|module| module.exports.iter().map(|export| export.name.as_str()))
        .filter(|name| !matches!(*name, "default" | "*"))
        .collect();
    RefactorError::NoSuchSymbol { symbol: name.to_owned(), similar: similar(name, names) }
}

/// The closest names, best first, at most three.
pub(super) fn similar<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let lower = name.to_lowercase();
    let mut scored: Vec<(u32, &str)> = names
        .into_iter()
        .map(|other| {
            let score = strsim::jaro_winkler(&lower, &other.to_lowercase());
            ((1_000.0 * (1.0 - score)) as u32, other)
        })
        .filter(|(score, other)| *score < 150 && *other != name)
        .collect();
    scored.sort();
    scored.dedup();
    scored.into_iter().take(3).map(|(_, name)| name.to_owned()).collect()
}
