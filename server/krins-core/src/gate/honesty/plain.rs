//! What is seen line by line: Python, Rust, Go, shell and pipelines.

use super::{Found, Gone, Sides, lines_of};
use regex::Regex;
use std::collections::BTreeMap;
use std::sync::LazyLock;

struct Line {
    rule: &'static str,
    /// Extensions, without the dot; an empty list: every file.
    of: &'static [&'static str],
    pattern: &'static str,
    message: &'static str,
    /// Only in tests, or only outside of them.
    tests: Option<bool>,
}

const PY: &[&str] = &["py", "pyi"];
const RS: &[&str] = &["rs"];
const GO: &[&str] = &["go"];
const CI: &[&str] = &["yml", "yaml"];
const SH: &[&str] = &["sh", "bash", "mk", "yml", "yaml"];

/// The text of a line without what is before its first word.
const LINES: &[Line] = &[
    Line {
        rule: "test-skipped",
        of: PY,
        pattern: r"^@(pytest\.mark\.(skip|skipif|xfail)|unittest\.(skip|skipIf|skipUnless|expectedFailure))\b",
        message: "a test is marked to be skipped",
        tests: None,
    },
    Line {
        rule: "test-skipped",
        of: PY,
        pattern: r"^(pytest\.(skip|xfail)|self\.skipTest|raise unittest\.SkipTest)\(?",
        message: "a test skips itself",
        tests: None,
    },
    Line {
        rule: "type-unchecked",
        of: PY,
        pattern: r"#\s*(type:\s*ignore|pyright:\s*ignore|mypy:\s*ignore-errors)",
        message: "the type checker is told to look away",
        tests: Some(false),
    },
    Line {
        rule: "lint-silenced",
        of: PY,
        pattern: r"#\s*(noqa|pylint:\s*disable|ruff:\s*noqa)",
        message: "a lint is silenced",
        tests: None,
    },
    Line {
        rule: "coverage-ignored",
        of: PY,
        pattern: r"#\s*pragma:\s*no\s*cover",
        message: "code is hidden from the measurement of coverage",
        tests: None,
    },
    Line {
        rule: "assertion-empty",
        of: PY,
        pattern: r"^assert (True|1)\b|^self\.assertTrue\(True\)",
        message: "an assertion holds whatever the code does",
        tests: Some(true),
    },
    Line {
        rule: "test-detection",
        of: PY,
        pattern: r#"PYTEST_CURRENT_TEST|["']pytest["'] in sys\.modules"#,
        message: "the code asks whether it is being tested",
        tests: Some(false),
    },
    Line {
        rule: "test-skipped",
        of: RS,
        pattern: r"^#\[ignore\b",
        message: "a test is marked to be ignored",
        tests: None,
    },
    Line {
        rule: "assertion-empty",
        of: RS,
        pattern: r"^(debug_)?assert!\(true\b",
        message: "an assertion holds whatever the code does",
        tests: None,
    },
    Line {
        rule: "test-detection",
        of: RS,
        pattern: r"\bif cfg!\(test\)",
        message: "the code asks whether it is being tested",
        tests: Some(false),
    },
    Line {
        rule: "lint-silenced-file",
        of: RS,
        pattern: r"^#!\[allow\(",
        message: "lints are silenced for a whole file",
        tests: None,
    },
    Line { rule: "lint-silenced", of: RS, pattern: r"^#\[allow\(", message: "a lint is silenced", tests: None },
    Line {
        rule: "test-skipped",
        of: GO,
        pattern: r"^\w+\.(Skip|Skipf|SkipNow)\(",
        message: "a test skips itself",
        tests: Some(true),
    },
    Line { rule: "lint-silenced", of: GO, pattern: r"//\s*nolint", message: "a lint is silenced", tests: None },
    Line {
        rule: "checks-weakened",
        of: SH,
        pattern: r"\b(test|tests|lint|check|tsc|vitest|jest|mocha|pytest|clippy|eslint|build|verify|audit|typecheck)\b.*\|\|\s*(true|:|exit 0|echo\b.*)\s*$",
        message: "a command that fails passes",
        tests: None,
    },
    Line {
        rule: "checks-weakened",
        of: CI,
        pattern: r"^-?\s*continue-on-error:\s*true\b|^-?\s*allow_failure:\s*true\b",
        message: "a step that fails passes",
        tests: None,
    },
    Line {
        rule: "checks-weakened",
        of: CI,
        pattern: r"^-?\s*if:\s*(false|\$\{\{\s*false\s*\}\})\s*$",
        message: "a step never runs",
        tests: None,
    },
    Line {
        rule: "checks-weakened",
        of: SH,
        pattern: r"^set \+e\b|--no-verify\b|--passWithNoTests\b",
        message: "failures are passed over",
        tests: None,
    },
];

struct Ready {
    line: &'static Line,
    pattern: Regex,
}

static READY: LazyLock<Vec<Ready>> = LazyLock::new(|| {
    let ready = |line| {
        let line: &'static Line = line;
        Ready { line, pattern: Regex::new(line.pattern).expect("the patterns are written here, and a test makes them") }
    };
    LINES.iter().map(ready).collect()
});

pub(super) fn compare(sides: &Sides<'_>, gone: &Gone, found: &mut Vec<Found>) {
    let extension = match sides.path.as_str().rsplit('/').next() {
        Some("Makefile" | "makefile" | "GNUmakefile" | "Jenkinsfile") => "mk",
        _ => sides.path.extension(),
    };
    if sides.after.is_empty() || ![PY, RS, GO, CI, SH].iter().any(|of| of.contains(&extension)) {
        if sides.after.is_empty() {
            functions(sides, extension, gone, found);
        }
        return;
    }
    let is_test = super::is_test_path(sides.path);
    let before = lines_of(sides.before);
    let mut left = before.clone();
    for (at, line) in sides.after.lines().enumerate() {
        let number = at as u32 + 1;
        let line = line.trim();
        if !sides.added.contains(&number)
            || left.get_mut(line).is_some_and(|count| std::mem::replace(count, count.saturating_sub(1)) > 0)
        {
            continue;
        }
        for ready in READY.iter() {
            let applies = ready.line.of.contains(&extension) && ready.line.tests.is_none_or(|tests| tests == is_test);
            if applies && ready.pattern.is_match(line) {
                found.push(Found::new(ready.line.rule, number, ready.line.message));
                break;
            }
        }
    }
    swallowed(sides, extension, found);
    functions(sides, extension, gone, found);
}

/// `except: pass`, `if err != nil {}`.
fn swallowed(sides: &Sides<'_>, extension: &str, found: &mut Vec<Found>) {
    static PYTHON: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?m)^[ \t]*except(?:[ \t]+(?:Exception|BaseException))?(?:[ \t]+as[ \t]+\w+)?[ \t]*:[ \t]*(?:\n[ \t]*)?(?:pass|\.\.\.|return True|return None|continue)[ \t]*$")
            .expect("a literal pattern")
    });
    if extension != "py" {
        return;
    }
    let before = PYTHON.find_iter(sides.before).count();
    let after: Vec<u32> = PYTHON.find_iter(sides.after).map(|hit| super::line_at(sides.after, hit.end() - 1)).collect();
    if after.len() > before
        && let Some(line) = after.into_iter().find(|line| sides.added.contains(line))
    {
        found.push(Found::new("swallowed-error", line, "every error is caught and dropped"));
    }
}

/// Test functions of languages whose trees are not read: those that are gone, and those that assert less.
fn functions(sides: &Sides<'_>, extension: &str, gone: &Gone, found: &mut Vec<Found>) {
    let Some(read) = reader(extension) else { return };
    let (before, after) = (read(sides.before), read(sides.after));
    if before.is_empty() {
        return;
    }
    let is_explained = |body: &str| gone.is_in(body);
    if sides.after.is_empty() {
        // A test may say what it tests only where it imports it.
        let head = before.values().filter_map(|body| sides.before.find(body.as_str())).min();
        let imports = sides.before.get(..head.unwrap_or_default()).unwrap_or_default();
        if before.values().any(|body| !is_explained(body)) && !is_explained(imports) {
            let message = format!("{} tests are deleted with the file", before.len());
            found.push(Found { is_soft: gone.is_less, ..Found::of_file("test-file-deleted", message) });
        }
        return;
    }
    let born = after.keys().filter(|name| !before.contains_key(*name)).count();
    let lost: Vec<&String> = before
        .iter()
        .filter(|(name, body)| !after.contains_key(*name) && !is_explained(body))
        .map(|(name, _)| name)
        .collect();
    if lost.len() > born
        && let Some(first) = lost.first()
    {
        let message = format!("`{first}` is deleted");
        found.push(Found { is_soft: gone.is_less, ..Found::of_file("test-deleted", message) });
    }
    let asserts = |body: &str| {
        body.lines()
            .filter(|line| {
                let line = line.trim();
                ["assert", "self.assert", "debug_assert", "t.Error", "t.Fatal", "require.", "prop_assert"]
                    .iter()
                    .any(|word| line.starts_with(word))
                    && !line.starts_with("assert True")
                    && !line.starts_with("assert!(true")
            })
            .count()
    };
    for (name, body) in &before {
        let Some(now) = after.get(name) else { continue };
        let (had, has) = (asserts(body), asserts(now));
        if has < had && !is_explained(body) {
            let line = sides.after.find(name.as_str()).map_or(1, |at| super::line_at(sides.after, at));
            let rule = if has == 0 { "test-emptied" } else { "assertion-removed" };
            found.push(Found::new(rule, line, format!("`{name}` makes {has} assertions where it made {had}")));
        }
    }
}

type Bodies = BTreeMap<String, String>;

fn reader(extension: &str) -> Option<fn(&str) -> Bodies> {
    match extension {
        "py" => Some(|text| bodies(text, r"(?m)^[ \t]*(?:async )?def (test_\w+)")),
        "rs" => Some(|text| {
            bodies(
                text,
                r"(?m)^[ \t]*#\[(?:\w+::)?test\b[^\n]*\n(?:[ \t]*#\[[^\n]*\n)*[ \t]*(?:pub )?(?:async )?fn (\w+)",
            )
        }),
        "go" => Some(|text| bodies(text, r"(?m)^func (Test\w+|Fuzz\w+)")),
        _ => None,
    }
}

/// The texts from one test's name to the next.
fn bodies(text: &str, pattern: &str) -> Bodies {
    let Ok(pattern) = Regex::new(pattern) else { return Bodies::new() };
    let starts: Vec<_> = pattern.captures_iter(text).filter_map(|hit| hit.get(1)).collect();
    let ends = starts.iter().skip(1).map(|hit| hit.start()).chain([text.len()]);
    starts.iter().zip(ends).map(|(hit, end)| (hit.as_str().to_owned(), text[hit.start()..end].to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_is_one() {
        assert_eq!(READY.len(), LINES.len());
    }
}
