//! Whether a module is one that a package offers to the world.

use super::program::Program;
use crate::path::RelPath;
use serde_json::Value;
use std::collections::BTreeSet;

/// A reason for the person to know, when one of `modules` is an entry point of a package.
pub(super) fn reason(program: &Program<'_>, modules: &BTreeSet<RelPath>, name: &str) -> Option<(String, Vec<String>)> {
    let places: Vec<String> = modules.iter().filter_map(|module| entry_of(program, module)).take(3).collect();
    (!places.is_empty())
        .then(|| (format!("{name} is part of the package's public interface, so this is a breaking change"), places))
}

/// `package.json:line` of the entry that offers `module`.
pub(super) fn entry_of(program: &Program<'_>, module: &RelPath) -> Option<String> {
    program.files.iter().filter(|(path, _)| path.file_name() == "package.json").find_map(|(path, text)| {
        let manifest: Value = serde_json::from_str(text).ok()?;
        let mut entries = Vec::new();
        for field in ["exports", "main", "module", "types", "typings", "browser"] {
            collect(manifest.get(field), &mut entries, 0);
        }
        let entry = entries.into_iter().find(|entry| offers(path.dir(), entry, module))?;
        let at = text.find(entry.as_str())?;
        Some(format!("{path}:{}", super::edits::line_of(text, at)))
    })
}

fn collect(value: Option<&Value>, entries: &mut Vec<String>, depth: usize) {
    match value {
        Some(Value::String(entry)) => entries.push(entry.clone()),
        Some(Value::Array(items)) if depth < 20 => {
            for item in items {
                collect(Some(item), entries, depth + 1);
            }
        }
        Some(Value::Object(fields)) if depth < 20 => {
            for (_, field) in fields {
                collect(Some(field), entries, depth + 1);
            }
        }
        _ => {}
    }
}

/// `dist/esm/a/b.js` is what a build makes of `src/a/b.ts`.
fn offers(dir: &str, entry: &str, module: &RelPath) -> bool {
    let Some(entry) = RelPath::join_dir(dir, entry) else {
        return false;
    };
    let inside = |path: &RelPath| -> Option<Vec<String>> {
        let rest = path.as_str().strip_prefix(dir)?.trim_start_matches('/');
        let stem = rest
            .split_once(".d.")
            .map_or_else(|| rest.rsplit_once('.').map_or(rest, |(stem, _)| stem), |(stem, _)| stem);
        let parts: Vec<&str> = stem.split('/').collect();
        let built =
            parts.iter().take(parts.len().saturating_sub(1)).take_while(|part| BUILD_DIRS.contains(part)).count();
        Some(parts[built..].iter().map(|p| (*p).to_owned()).collect())
    };
    match (inside(&entry), inside(module)) {
        (Some(entry), Some(module)) => entry == module,
        _ => false,
    }
}

const BUILD_DIRS: [&str; 12] =
    ["src", "dist", "lib", "build", "out", "esm", "cjs", "es", "types", "esm5", "node", "dts"];
