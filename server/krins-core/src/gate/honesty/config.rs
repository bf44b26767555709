//! Configuration that checks less than before, and settings that make an editor start or fetch something.

use super::{Found, Sides, lines_of};
use crate::graph::jsonc;
use regex::Regex;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::LazyLock;

pub(super) fn compare(sides: &Sides<'_>, found: &mut Vec<Found>) {
    if sides.after.is_empty() {
        return;
    }
    let name = sides.path.as_str().rsplit('/').next().unwrap_or_default();
    let is_json =
        matches!(sides.path.extension(), "json" | "jsonc" | "json5" | "code-workspace" | "babelrc" | "eslintrc")
            || matches!(name, ".eslintrc" | ".babelrc" | ".oxlintrc" | ".nycrc" | ".c8rc");
    if is_json {
        json(sides, name, found);
    }
    let is_test_config = [
        "vitest.config",
        "vite.config",
        "jest.config",
        ".nycrc",
        ".c8rc",
        "karma.conf",
        "codecov",
        "playwright.config",
        "vitest.workspace",
        "pyproject.toml",
        ".coveragerc",
        "setup.cfg",
    ]
    .iter()
    .any(|part| name.contains(part))
        || name == "package.json";
    if is_test_config {
        thresholds(sides, found);
        excluded(sides, found);
    }
    if name.contains("eslint") || name.starts_with("biome.json") || name.contains("oxlint") {
        lints(sides, found);
    }
    if is_pipeline(sides.path.as_str()) {
        pipeline(sides, found);
    }
}

fn is_pipeline(path: &str) -> bool {
    path.starts_with(".github/workflows/")
        || path.starts_with(".circleci/")
        || path.ends_with(".gitlab-ci.yml")
        || path.ends_with("azure-pipelines.yml")
}

fn json(sides: &Sides<'_>, name: &str, found: &mut Vec<Found>) {
    let Some(after) = jsonc::parse(sides.after) else { return };
    let before = jsonc::parse(sides.before).unwrap_or(Value::Null);
    if name.starts_with("tsconfig") || name.starts_with("jsconfig") {
        strictness(&before, &after, sides, found);
    }
    if name == "package.json" {
        scripts(&before, &after, sides, found);
    }
    let (mut old, mut new) = (BTreeMap::new(), BTreeMap::new());
    settings(&before, "", 0, &mut old);
    settings(&after, "", 0, &mut new);
    for (key, value) in new {
        if old.get(&key) == Some(&value) {
            continue;
        }
        let last = key.rsplit('/').next().unwrap_or(&key);
        let line = line_of(sides.after, last, &value);
        if last == "$schema" {
            schema(&value, line, found);
        } else if is_executable(&key, last, sides.path.as_str()) {
            let message = format!("`{last}` is set to `{}`", value.chars().take(60).collect::<String>());
            found.push(Found::new("executable-path", line, message));
        }
    }
}

/// The texts of a document by where they stand.
fn settings(value: &Value, at: &str, depth: u32, into: &mut BTreeMap<String, String>) {
    if depth > 12 || into.len() > 20_000 {
        return;
    }
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                settings(value, &format!("{at}/{key}"), depth + 1, into);
            }
        }
        Value::Array(list) => {
            for (place, value) in list.iter().enumerate() {
                settings(value, &format!("{at}/{place}"), depth + 1, into);
            }
        }
        Value::String(text) => _ = into.insert(at.to_owned(), text.clone()),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn line_of(text: &str, key: &str, value: &str) -> u32 {
    let quoted = format!("\"{key}\"");
    let at = text
        .match_indices(&quoted)
        .map(|(at, _)| at)
        .find(|at| text[*at..].lines().next().is_some_and(|line| line.contains(value)))
        .or_else(|| text.find(&quoted));
    at.map_or(1, |at| super::line_at(text, at))
}

/// Hosts whose schemas are public documents.
const KNOWN_HOSTS: &[&str] = &[
    "json.schemastore.org",
    "www.schemastore.org",
    "schemastore.org",
    "json-schema.org",
    "biomejs.dev",
    "turbo.build",
    "turborepo.com",
    "turborepo.org",
    "unpkg.com",
    "cdn.jsdelivr.net",
    "raw.githubusercontent.com",
    "docs.renovatebot.com",
    "developer.microsoft.com",
    "aka.ms",
    "schema.management.azure.com",
    "lerna.js.org",
    "ui.shadcn.com",
    "shadcn-svelte.com",
    "shadcn-vue.com",
    "typedoc.org",
    "docs.nestjs.com",
    "openapi.vercel.sh",
    "oxc.rs",
    "nx.dev",
    "dprint.dev",
    "opencode.ai",
    "www.hyperjump.io",
    "rolldown.rs",
    "static.modelcontextprotocol.io",
    "tstyche.org",
];

fn schema(value: &str, line: u32, found: &mut Vec<Found>) {
    let Some(rest) = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://")) else { return };
    let host = rest.split(['/', '?', '#', ':']).next().unwrap_or_default();
    let carries = rest.contains('?') || rest.contains('@');
    if carries || !KNOWN_HOSTS.contains(&host) {
        let message = format!("editors that open this file fetch its schema from `{host}`");
        found.push(Found::new("remote-schema", line, message));
    }
}

/// Whether a setting says which program is started. Only in files that are settings of an editor or a tool.
fn is_executable(key: &str, last: &str, path: &str) -> bool {
    let is_settings = path.ends_with("settings.json")
        || path.ends_with(".code-workspace")
        || path.contains(".vscode/")
        || path.contains(".cursor/")
        || path.contains(".zed/")
        || path.contains("mcp")
        || path.contains(".devcontainer")
        || path.contains("devcontainer.json");
    let lower = last.to_ascii_lowercase();
    let says = lower.contains("executablepath") || lower.ends_with("executable") && lower.contains('.');
    let tools = [
        "git.path",
        "typescript.tsdk",
        "eslint.nodepath",
        "eslint.runtime",
        "python.defaultinterpreterpath",
        "python.pythonpath",
        "rust-analyzer.server.path",
        "go.alternatetools",
        "php.validate.executablepath",
        "deno.path",
        "flow.pathtoflow",
        "terminal.integrated.shell.linux",
        "terminal.integrated.shell.osx",
        "terminal.integrated.shell.windows",
        "java.jdt.ls.java.home",
        "prettier.prettierpath",
        "biome.lsp.bin",
    ];
    says || is_settings
        && (tools.contains(&lower.as_str())
            || key.contains("terminal.integrated.profiles") && last == "path"
            || key.contains("mcpServers") && last == "command"
            || key.contains("/servers/") && last == "command"
            || matches!(last, "postCreateCommand" | "postStartCommand" | "initializeCommand" | "onCreateCommand"))
}

/// Options that check more when they are on.
const STRICT: &[&str] = &[
    "strict",
    "noImplicitAny",
    "strictNullChecks",
    "strictFunctionTypes",
    "strictBindCallApply",
    "strictPropertyInitialization",
    "noImplicitThis",
    "useUnknownInCatchVariables",
    "alwaysStrict",
    "noUncheckedIndexedAccess",
    "exactOptionalPropertyTypes",
    "noImplicitReturns",
    "noFallthroughCasesInSwitch",
    "noImplicitOverride",
    "noUnusedLocals",
    "noUnusedParameters",
    "noPropertyAccessFromIndexSignature",
    "checkJs",
];

fn strictness(before: &Value, after: &Value, sides: &Sides<'_>, found: &mut Vec<Found>) {
    // A file that now extends another may have everything from there.
    let extends = !after["extends"].is_null() && before["extends"] != after["extends"];
    let (before, after) = (&before["compilerOptions"], &after["compilerOptions"]);
    for option in STRICT {
        let (was, is) = (&before[option], &after[option]);
        let turned_off = *was == Value::Bool(true) && *is != Value::Bool(true);
        // With `strict` on, an option that is part of it can only be there to turn it off.
        let opted_out = *is == Value::Bool(false) && *was != Value::Bool(false) && after["strict"] == Value::Bool(true);
        // An option that went because `strict`, or a base, says it already.
        let is_said = is.is_null() && extends
            || is.is_null()
                && (after["strict"] == Value::Bool(true) || before["strict"] != after["strict"])
                && *option != "strict";
        if (turned_off || opted_out) && !is_said {
            let line = line_of(sides.after, option, "");
            found.push(Found::new("strictness-lowered", line, format!("`{option}` is no longer on")));
        } else if turned_off && is.is_null() && extends {
            // What the other file says is not known here, so a person hears of it.
            let line = line_of(sides.after, "extends", "");
            let said = format!("whether `{option}` is on is for the file to say that this one extends now");
            found.push(Found { is_soft: true, ..Found::new("strictness-lowered", line, said) });
        }
    }
}

fn scripts(before: &Value, after: &Value, sides: &Sides<'_>, found: &mut Vec<Found>) {
    let Some(scripts) = after["scripts"].as_object() else { return };
    for (name, script) in scripts {
        let (was, is) = (before["scripts"][name].as_str().unwrap_or_default(), script.as_str().unwrap_or_default());
        if was == is {
            continue;
        }
        let passes = |script: &str| {
            ["|| true", "|| exit 0", "|| :", "--passWithNoTests", "--no-verify", "; exit 0"]
                .iter()
                .any(|word| script.contains(word))
        };
        let is_check = ["test", "lint", "check", "typecheck", "type-check", "build", "ci", "verify", "coverage"]
            .iter()
            .any(|word| name.contains(word));
        let does_nothing = |script: &str| {
            let script = script.trim();
            script.starts_with("echo ") && !script.contains("&&") || matches!(script, "true" | "exit 0" | ":" | "")
        };
        let emptied = is_check && does_nothing(is) && !was.is_empty() && !does_nothing(was);
        if passes(is) && !passes(was) && is_check || emptied {
            let message = format!("the script `{name}` passes although its checks fail");
            found.push(Found::new("checks-weakened", line_of(sides.after, name, ""), message));
        }
    }
}

static THRESHOLD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?m)["']?\b(branches|functions|lines|statements|target|fail_under|fail-under|cov-fail-under|minimum_coverage|perFile|watermark)["']?\s*[:=]\s*["']?(\d+(?:\.\d+)?)"#)
        .expect("a literal pattern")
});

fn thresholds(sides: &Sides<'_>, found: &mut Vec<Found>) {
    let read = |text: &str| -> BTreeMap<String, Vec<(f64, usize)>> {
        let mut all: BTreeMap<String, Vec<(f64, usize)>> = BTreeMap::new();
        for hit in THRESHOLD.captures_iter(text) {
            let place = hit.get(0).map_or(0, |all| all.start());
            all.entry(hit[1].to_owned()).or_default().push((hit[2].parse().unwrap_or_default(), place));
        }
        all
    };
    let (before, after) = (read(sides.before), read(sides.after));
    for (key, was) in &before {
        let is = after.get(key).map(Vec::as_slice).unwrap_or_default();
        let lowered = was.iter().zip(is).find(|(was, is)| is.0 < was.0);
        if let Some((was, is)) = lowered {
            let message = format!("`{key}` is lowered from {} to {}", was.0, is.0);
            found.push(Found::new("threshold-lowered", super::line_at(sides.after, is.1), message));
        } else if is.len() < was.len() && key != "target" && sides.after.contains("overage") {
            let message = format!("the threshold `{key}` is taken away");
            found.push(Found::of_file("threshold-lowered", message));
        }
    }
}

static EXCLUDED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?s)(exclude|testPathIgnorePatterns|modulePathIgnorePatterns|coveragePathIgnorePatterns|testIgnore|omit|norecursedirs)["']?\s*[:=]\s*\[(.*?)\]"#)
        .expect("a literal pattern")
});

fn excluded(sides: &Sides<'_>, found: &mut Vec<Found>) {
    let read = |text: &str| -> Vec<(String, usize)> {
        let mut all = Vec::new();
        for hit in EXCLUDED.captures_iter(text) {
            let Some(list) = hit.get(2) else { continue };
            for part in list.as_str().split(',') {
                let part = part.trim().trim_matches(['\'', '"', '`']);
                if !part.is_empty() && !part.starts_with("...") && !part.starts_with("//") {
                    all.push((part.to_owned(), list.start()));
                }
            }
        }
        all
    };
    let before = read(sides.before);
    // A configuration that is new brings its lists with it.
    if sides.before.is_empty() {
        return;
    }
    for (pattern, at) in read(sides.after) {
        let is_test = ["test", "spec", "e2e", "src/", ".ts", ".js"].iter().any(|word| pattern.contains(word));
        // What one project leaves to another is named twice.
        let is_elsewhere = sides.after.matches(pattern.as_str()).count() > 1;
        if is_test && !is_elsewhere && !before.iter().any(|(known, _)| *known == pattern) {
            let message = format!("`{pattern}` is excluded");
            found.push(Found::new("tests-excluded", super::line_at(sides.after, at), message));
            return;
        }
    }
    for word in
        ["passWithNoTests: true", "\"passWithNoTests\": true", "bail: false", "dangerouslyIgnoreUnhandledErrors: true"]
    {
        if sides.after.contains(word) && !sides.before.contains(word) && word != "bail: false" {
            let line = super::line_at(sides.after, sides.after.find(word).unwrap_or_default());
            found.push(Found::new(
                "checks-weakened",
                line,
                format!("`{word}`: the tests pass although they do not run, or fail"),
            ));
        }
    }
}

static RULE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"["']([\w@/-]+)["']\s*:\s*\[?\s*(["']?(?:off|warn|error|0|1|2)["']?)"#).expect("a literal pattern")
});

/// Lints that were errors, or on, and are less now.
fn lints(sides: &Sides<'_>, found: &mut Vec<Found>) {
    let read = |text: &str| -> BTreeMap<String, (u8, usize)> {
        let level = |word: &str| match word.trim_matches(['"', '\'']) {
            "error" | "2" => 2,
            "warn" | "1" => 1,
            _ => 0,
        };
        let mut all: BTreeMap<String, (u8, usize)> = BTreeMap::new();
        for hit in RULE.captures_iter(text) {
            let at = hit.get(0).map_or(0, |all| all.start());
            let entry = all.entry(hit[1].to_owned()).or_insert((level(&hit[2]), at));
            entry.0 = entry.0.max(level(&hit[2]));
        }
        all
    };
    let before = read(sides.before);
    for (rule, (is, at)) in read(sides.after) {
        if let Some((was, _)) = before.get(&rule)
            && is < *was
        {
            found.push(Found::new(
                "strictness-lowered",
                super::line_at(sides.after, at),
                format!("the lint `{rule}` is turned down"),
            ));
        }
    }
}

static RUNS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\b(?:npm|pnpm|yarn|bun|npx)(?: run)? (?:test|lint|typecheck|type-check|check|vitest|jest|tsc|eslint)\S*|\bcargo (?:test|clippy|nextest)\b|\bpytest\b|\bgo test\b|\bvitest\b|\bjest\b")
        .expect("a literal pattern")
});

/// Steps of a pipeline that checked something and are gone.
fn pipeline(sides: &Sides<'_>, found: &mut Vec<Found>) {
    if sides.before.is_empty() {
        return;
    }
    let count = |text: &str| {
        lines_of(text)
            .iter()
            .filter(|(line, _)| !line.starts_with('#') && RUNS.is_match(line))
            .map(|(_, n)| n)
            .sum::<usize>()
    };
    let (before, after) = (count(sides.before), count(sides.after));
    if after < before {
        let message = format!("the pipeline runs {after} checks where it ran {before}");
        found.push(Found::of_file("checks-weakened", message));
    }
}
