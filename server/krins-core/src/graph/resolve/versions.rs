//! `typesVersions` of a package.json: where a package's types lie for which version of TypeScript. Knows no files.

use super::placed;
use serde_json::{Map, Value};

/// The version that ranges are held against: the newest that the tests compare resolution with.
const TYPESCRIPT: [u64; 3] = [5, 9, 3];

/// The paths that count for [`TYPESCRIPT`].
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct TypesVersions {
    /// What the package itself means, which the paths apply to as well.
    pub entry: String,
    /// Pattern and targets, as they are written.
    paths: Vec<(String, Vec<String>)>,
}

impl TypesVersions {
    /// `None`: nothing is said, or nothing of it counts. Where there are `exports`, they alone do.
    pub fn read(manifest: &Value) -> Option<Self> {
        let said = manifest["typesVersions"].as_object().filter(|_| manifest["exports"].is_null())?;
        let (_, paths) = said.iter().find(|(range, _)| satisfies(range, TYPESCRIPT))?;
        let entry = ["typings", "types", "main"].iter().find_map(|key| manifest[*key].as_str());
        let entry = placed("", entry.filter(|entry| !entry.is_empty()).unwrap_or("index"))?;
        Some(Self { entry, paths: written(paths.as_object()?) })
    }

    /// The paths in the package that one in it stands for, the first that is there being meant; `None`: it stands for
    /// itself.
    pub fn mapped(&self, path: &str) -> Option<Vec<String>> {
        let (targets, part) = self.matched(path)?;
        Some(targets.iter().filter_map(|target| placed("", &target.replacen('*', part, 1))).collect())
    }

    /// The targets of the pattern that fits best, and what its `*` stands for.
    fn matched<'p>(&self, path: &'p str) -> Option<(&[String], &'p str)> {
        if let Some((_, targets)) = self.paths.iter().find(|(pattern, _)| pattern == path) {
            return Some((targets, ""));
        }
        let fits = self.paths.iter().filter_map(|(pattern, targets)| {
            let (before, after) = pattern.split_once('*')?;
            let part = path.strip_prefix(before)?.strip_suffix(after)?;
            Some((before.len(), targets, part))
        });
        // Of several the first counts.
        let best = fits.reduce(|best, next| if next.0 > best.0 { next } else { best });
        best.map(|(_, targets, part)| (targets.as_slice(), part))
    }
}

fn written(paths: &Map<String, Value>) -> Vec<(String, Vec<String>)> {
    paths.iter().map(|(pattern, targets)| (pattern.clone(), super::manifest::strings(Some(targets)))).collect()
}

/// Whether the version is in a range as npm writes them; what is no range holds none.
fn satisfies(range: &str, version: [u64; 3]) -> bool {
    range.split("||").any(|all| match all.split_once(" - ") {
        Some((from, to)) => compares(">=", from.trim(), version) && compares("<=", to.trim(), version),
        None => joined(all).split_whitespace().all(|one| {
            let at = one.find(|c: char| !matches!(c, '<' | '>' | '=' | '~' | '^')).unwrap_or(one.len());
            compares(&one[..at], &one[at..], version)
        }),
    })
}

/// `>= 4` as `>=4`.
fn joined(comparators: &str) -> String {
    let mut text = String::with_capacity(comparators.len());
    for c in comparators.chars() {
        if !c.is_whitespace() || !text.ends_with(['<', '>', '=', '~', '^']) {
            text.push(c);
        }
    }
    text
}

fn compares(operator: &str, written: &str, version: [u64; 3]) -> bool {
    let Some(numbers) = numbers(written) else { return false };
    let Some(given) = numbers.len().checked_sub(1) else { return !matches!(operator, "<" | ">") };
    let mut low = [0; 3];
    low[..=given].copy_from_slice(&numbers);
    // The first version behind all that share the numbers up to a place.
    let behind = |place: usize| {
        let mut next = [0; 3];
        next[..=place].copy_from_slice(&low[..=place]);
        next[place] = next[place].saturating_add(1);
        next
    };
    let first = low.iter().position(|number| *number > 0).unwrap_or(2);
    match operator {
        "<" => version < low,
        ">=" => version >= low,
        "<=" => version < behind(given),
        ">" => version >= behind(given),
        "~" => version >= low && version < behind(given.min(1)),
        "^" => version >= low && version < behind(given.min(first)),
        "" | "=" => version >= low && version < behind(given),
        _ => false,
    }
}

/// The numbers of a version before its first `x` or `*`, at most three; `None` when it is none.
fn numbers(written: &str) -> Option<Vec<u64>> {
    let release = written.split(['-', '+']).next().unwrap_or_default();
    let parts = release.strip_prefix('v').unwrap_or(release).split('.').take(3);
    parts.take_while(|part| !matches!(*part, "x" | "X" | "*")).map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ranges_hold_versions_as_npm_says() {
        for (range, inside, outside) in [
            ("*", "0.0.1 5.9.3", ""),
            (">=4", "4.0.0 5.9.3", "3.9.9"),
            (">= 4.2", "4.2.0 5.0.0", "4.1.9"),
            (">4", "5.0.0", "4.9.9 4.0.0"),
            ("<4.0", "3.9.9", "4.0.0"),
            ("<=4.0", "4.0.9 3.0.0", "4.1.0"),
            ("~4.1", "4.1.9", "4.2.0 4.0.9"),
            ("~4", "4.9.0", "5.0.0"),
            ("^4.1.2", "4.1.2 4.9.0", "4.1.1 5.0.0"),
            ("^0.2.1", "0.2.9", "0.3.0"),
            ("4.x || >=5.1 <5.3", "4.3.2 5.2.9", "5.0.0 5.3.0"),
            ("3.1 - 4.2", "3.1.0 4.2.7", "4.3.0 3.0.9"),
            ("5.9.3", "5.9.3", "5.9.2 5.9.4"),
            (">*", "", "5.9.3"),
            ("ts5", "", "5.9.3"),
        ] {
            let version = |text: &str| <[u64; 3]>::try_from(numbers(text).unwrap()).unwrap();
            for text in inside.split_whitespace() {
                assert!(satisfies(range, version(text)), "{range} {text}");
            }
            for text in outside.split_whitespace() {
                assert!(!satisfies(range, version(text)), "{range} {text}");
            }
        }
    }

    #[test]
    fn the_first_range_and_the_longest_pattern_count() {
        let read = |text: &str| TypesVersions::read(&serde_json::from_str(text).unwrap());
        let versions = read(
            r#"{"main": "./lib/index.js", "typesVersions": {"<5": {"*": ["no/*"]}, ">=5.0": {"*": ["a/*", "../b/*"], "deep/*": ["c/*.d.ts"],
            "deep/one": ["one"]}, "*": {"*": ["no/*"]}}}"#,
        );
        let versions = versions.unwrap();
        assert_eq!(versions.entry, "lib/index.js");
        assert_eq!(versions.mapped("x/y"), Some(vec!["a/x/y".to_owned()]));
        assert_eq!(versions.mapped("deep/two"), Some(vec!["c/two.d.ts".to_owned()]));
        assert_eq!(versions.mapped("deep/one"), Some(vec!["one".to_owned()]));
        assert_eq!(read(r#"{"typesVersions": {"<5": {"*": ["no/*"]}}}"#), None);
        assert_eq!(TypesVersions::read(&json!({"exports": "./a.js", "typesVersions": {"*": {"*": ["a/*"]}}})), None);
        assert_eq!(read(r#"{"typesVersions": {"*": {"a": ["b"]}}}"#).unwrap().mapped("c"), None);
    }
}
