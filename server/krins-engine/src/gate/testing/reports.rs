//! What test runners write: the JSON of Vitest, Jest and Mocha, TAP, JUnit. It comes out of the repository's own code, so
//! it is read as data that anybody may have written: bounded, never trusted to be whole, never shown as it is.

use krins_core::RelPath;
use serde_json::Value;
use std::path::Path;

/// Cases and characters beyond these are left out.
const MOST: usize = 20_000;
const LONGEST_NAME: usize = 200;
const LONGEST_MESSAGE: usize = 1200;

/// One test, or what a file did before its tests could run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    pub file: RelPath,
    /// Empty for the file itself.
    pub name: String,
    pub outcome: Outcome,
    pub message: String,
    /// 1-based.
    pub line: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Passed,
    Skipped,
    /// An assertion said no.
    Failed,
    /// It did not come to an assertion: a syntax error, an import that is not there, a type error, a time-out.
    Broken,
}

impl Outcome {
    pub const fn is_bad(self) -> bool {
        matches!(self, Self::Failed | Self::Broken)
    }
}

/// How a message begins when an assertion said no: Node's `assert`, Chai, Vitest, Jest, Mocha.
fn outcome_of(message: &str) -> Outcome {
    let head: String = message.trim_start().chars().take(400).collect();
    let broken = [
        "SyntaxError",
        "ReferenceError",
        "TypeError",
        "RangeError: Maximum call stack",
        "Cannot find module",
        "Cannot find package",
        "Failed to resolve import",
        "Failed to load",
        "does not provide an export",
        "ERR_MODULE_NOT_FOUND",
        "Transform failed",
        "is not a function",
        "is not defined",
        "timed out",
        "Exceeded timeout",
    ];
    let asserted = ["AssertionError", "ERR_ASSERTION", "expect(", "JestAssertionError", "AssertionFailedError"];
    if asserted.iter().any(|mark| head.contains(mark)) && !head.trim_start().starts_with("SyntaxError") {
        Outcome::Failed
    } else if broken.iter().any(|mark| head.contains(mark)) {
        Outcome::Broken
    } else if head.to_ascii_lowercase().contains("expected") {
        Outcome::Failed
    } else {
        Outcome::Broken
    }
}

/// A path as a runner says it, in the tree that it ran in.
pub fn path_in(root: &Path, dir: &str, said: &str) -> Option<RelPath> {
    let said = said.strip_prefix("file://").unwrap_or(said);
    if said.trim().is_empty() {
        return None;
    }
    let path = Path::new(said);
    let inside = match path.strip_prefix(root) {
        Ok(inside) => inside.to_owned(),
        Err(_) if path.is_absolute() => return None,
        Err(_) => Path::new(dir).join(path),
    };
    let mut plain: Vec<&str> = Vec::new();
    for part in inside.to_str()?.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match part {
            // Above the tree there is nothing of ours.
            ".." => drop(plain.pop()?),
            part => plain.push(part),
        }
    }
    RelPath::new(&plain.join("/")).ok()
}

/// The line in a stack that is in the test's own file.
fn line_in(message: &str, file: &RelPath) -> Option<u32> {
    let name = file.file_name();
    let place = message.match_indices(name).find_map(|(at, _)| message[at + name.len()..].strip_prefix(':'))?;
    place.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn shortened(text: &str, most: usize) -> String {
    let plain = crate::runner::plain(text);
    match plain.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &plain[..at]),
        None => plain,
    }
}

fn case(file: RelPath, name: &str, outcome: Outcome, message: &str, line: Option<u32>) -> Case {
    let line = line.or_else(|| line_in(message, &file)).filter(|line| *line > 0);
    Case {
        file,
        name: shortened(name, LONGEST_NAME),
        outcome,
        message: shortened(message.trim(), LONGEST_MESSAGE),
        line,
    }
}

/// `--reporter=json` of Vitest, `--json` of Jest: one form.
pub fn jest(bytes: &[u8], root: &Path, dir: &str) -> Option<Vec<Case>> {
    let report: Value = serde_json::from_slice(bytes).ok()?;
    let mut cases = Vec::new();
    for suite in report.get("testResults")?.as_array()? {
        let Some(file) = suite["name"].as_str().and_then(|name| path_in(root, dir, name)) else { continue };
        let tests = suite["assertionResults"].as_array().map(Vec::as_slice).unwrap_or_default();
        for test in tests.iter().take(MOST.saturating_sub(cases.len())) {
            let messages = test["failureMessages"].as_array().map(Vec::as_slice).unwrap_or_default();
            let message = messages.first().and_then(Value::as_str).unwrap_or_default();
            let outcome = match test["status"].as_str() {
                Some("passed") => Outcome::Passed,
                Some("failed") => outcome_of(message),
                _ => Outcome::Skipped,
            };
            let name = test["fullName"].as_str().or(test["title"].as_str()).unwrap_or_default();
            let line = test["location"]["line"].as_u64().and_then(|line| u32::try_from(line).ok());
            cases.push(case(file.clone(), name, outcome, message, line_in(message, &file).or(line)));
        }
        // A suite can fail with all of its tests well, or with none: on import, in a hook, by an error that nobody caught.
        let bad = tests.iter().any(|test| test["status"] == "failed");
        if suite["status"] == "failed" && !bad {
            let message = suite["message"].as_str().unwrap_or("the file could not be run");
            cases.push(case(file, "", Outcome::Broken, message, None));
        }
    }
    Some(cases)
}

/// Mocha's `json`.
pub fn mocha(bytes: &[u8], root: &Path, dir: &str) -> Option<Vec<Case>> {
    let report: Value = serde_json::from_slice(bytes).ok()?;
    let mut cases = Vec::new();
    for (list, usual) in [("passes", Outcome::Passed), ("pending", Outcome::Skipped), ("failures", Outcome::Failed)] {
        for test in report.get(list)?.as_array()?.iter().take(MOST) {
            let Some(file) = test["file"].as_str().and_then(|name| path_in(root, dir, name)) else { continue };
            let (message, stack) = (test["err"]["message"].as_str(), test["err"]["stack"].as_str());
            let told = stack.or(message).unwrap_or_default();
            let outcome = if usual == Outcome::Failed { outcome_of(told) } else { usual };
            cases.push(case(file, test["fullTitle"].as_str().unwrap_or_default(), outcome, told, None));
        }
    }
    Some(cases)
}

/// TAP 13 and 14, with the YAML that Node writes: which file a test is in stands in its `location`.
pub fn tap(text: &str, root: &Path, dir: &str, files: &[RelPath]) -> Option<Vec<Case>> {
    let mut cases = Vec::new();
    let mut plan = false;
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let inner = line.trim_start();
        let depth = line.len() - inner.len();
        plan |= inner.starts_with("1..") || inner.starts_with("TAP version");
        let (passed, rest) = match (inner.strip_prefix("not ok"), inner.strip_prefix("ok")) {
            (Some(rest), _) => (false, rest),
            (None, Some(rest)) => (true, rest),
            (None, None) => continue,
        };
        if !rest.is_empty() && !rest.starts_with(' ') {
            continue;
        }
        let rest = rest.trim_start().trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
        let rest = rest.strip_prefix("- ").unwrap_or(rest);
        let (name, directive) = rest.split_once(" # ").unwrap_or((rest, ""));
        let mut yaml = String::new();
        if lines.peek().is_some_and(|line| line.trim() == "---") {
            lines.next();
            for line in lines.by_ref() {
                if line.trim() == "..." {
                    break;
                }
                if yaml.len() < LONGEST_MESSAGE * 8 {
                    yaml.push_str(line.get(depth.min(line.len())..).unwrap_or_default());
                    yaml.push('\n');
                }
            }
        }
        let value = |key: &str| {
            let line = yaml.lines().find_map(|line| line.trim_start().strip_prefix(key)?.strip_prefix(':'))?;
            Some(line.trim().trim_matches(['\'', '"']).to_owned())
        };
        let upper = directive.to_ascii_uppercase();
        let skipped = upper.starts_with("SKIP") || upper.starts_with("TODO");
        // A suite or a file fails because something in it does, which is told on its own.
        let only_parent = value("failureType").is_some_and(|kind| kind == "subtestsFailed");
        if only_parent || cases.len() >= MOST {
            continue;
        }
        let location = value("location");
        let place = location.as_deref().and_then(|place| {
            let mut parts = place.rsplitn(3, ':');
            let (_, line, path) = (parts.next()?, parts.next()?, parts.next()?);
            Some((path_in(root, dir, path)?, line.parse().ok()))
        });
        let by_name = || path_in(root, dir, name).filter(|path| files.contains(path)).map(|path| (path, None));
        let Some((file, line)) =
            place.filter(|(path, _)| files.contains(path)).or_else(by_name).or_else(|| match files {
                [only] => Some((only.clone(), None)),
                _ => None,
            })
        else {
            continue;
        };
        let outcome = match (passed, skipped) {
            (_, true) => Outcome::Skipped,
            (true, false) => Outcome::Passed,
            (false, false) if value("code").is_some_and(|code| code == "ERR_ASSERTION") => Outcome::Failed,
            (false, false) => match value("failureType").as_deref() {
                Some("testCodeFailure") | None => outcome_of(&yaml),
                _ => Outcome::Broken,
            },
        };
        let message = if passed { String::new() } else { told(&yaml) };
        cases.push(case(file, name, outcome, &message, line));
    }
    plan.then_some(cases)
}

/// The error of a test's YAML, and what follows it.
fn told(yaml: &str) -> String {
    let from = yaml.lines().skip_while(|line| !line.trim_start().starts_with("error:"));
    let mut lines = Vec::new();
    for line in from {
        let key = line.trim_start();
        if lines.len() > 1 && ["code:", "name:", "stack:", "operator:"].iter().any(|name| key.starts_with(name)) {
            break;
        }
        lines.push(key.trim_start_matches("error: ").trim_start_matches("|-").trim_matches('\''));
    }
    let told = lines.join("\n");
    if told.trim().is_empty() { yaml.to_owned() } else { told }
}

/// JUnit's XML, as most runners can write it: `testcase` with `failure`, `error` or `skipped` in it.
pub fn junit(text: &str, root: &Path, dir: &str, files: &[RelPath]) -> Option<Vec<Case>> {
    let mut cases = Vec::new();
    let mut rest = text;
    let mut any = false;
    while let Some(at) = rest.find("<testcase") {
        any = true;
        rest = &rest[at + 9..];
        let Some(end) = tag_end(rest) else { break };
        let (head, closed) = (&rest[..end], rest[..end].ends_with('/'));
        let body = if closed { "" } else { rest[end + 1..].split("</testcase>").next().unwrap_or_default() };
        rest = &rest[end..];
        let said = |name: &str| attribute(head, name);
        let place = said("file").or_else(|| said("classname"));
        let file = place.and_then(|file| path_in(root, dir, &file)).filter(|file| files.contains(file));
        let Some(file) = file.or_else(|| if let [only] = files { Some(only.clone()) } else { None }) else { continue };
        let inner = ["<failure", "<error"].iter().find_map(|tag| Some((*tag, body.find(tag)?)));
        let (outcome, message) = match inner {
            Some((tag, at)) => {
                let part = &body[at + tag.len()..];
                let end = tag_end(part).unwrap_or(0);
                let text = part.get(end + 1..).and_then(|text| text.split("</").next()).unwrap_or_default();
                let message = attribute(&part[..end], "message").unwrap_or_default();
                let told = format!("{message}\n{}", unescaped(text));
                (if tag == "<error" { Outcome::Broken } else { outcome_of(&told) }, told)
            }
            None if body.contains("<skipped") => (Outcome::Skipped, String::new()),
            None => (Outcome::Passed, String::new()),
        };
        if cases.len() < MOST {
            cases.push(case(file, &said("name").unwrap_or_default(), outcome, &message, None));
        }
    }
    (any || text.contains("<testsuite")).then_some(cases)
}

/// The end of a tag, past quoted attributes.
fn tag_end(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '>') => return Some(at),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            _ => {}
        }
    }
    None
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let start = tag.find(&format!(" {name}=\""))? + name.len() + 3;
    Some(unescaped(tag[start..].split('"').next()?))
}

fn unescaped(text: &str) -> String {
    let text = text.replace("<![CDATA[", "").replace("]]>", "");
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#10;", "\n"), ("&amp;", "&")]
        .iter()
        .fold(text, |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rel(path: &str) -> RelPath {
        RelPath::new(path).unwrap()
    }

    const ROOT: &str = "/tree";

    fn told(cases: &[Case]) -> Vec<(String, String, Outcome, Option<u32>)> {
        cases.iter().map(|case| (case.file.to_string(), case.name.clone(), case.outcome, case.line)).collect()
    }

    #[test]
    fn jest_and_vitest_are_read() {
        let json = r#"{"testResults":[
          {"name":"/tree/src/a.test.ts","status":"failed","message":"","assertionResults":[
            {"fullName":"a adds","status":"passed","failureMessages":[]},
            {"fullName":"a subs","status":"failed","failureMessages":["AssertionError: expected 1 to be 2\n    at /tree/src/a.test.ts:7:12"]},
            {"fullName":"a types","status":"failed","failureMessages":["TypeError: x is not a function\n at /tree/src/a.test.ts:9:1"]},
            {"fullName":"a later","status":"pending","failureMessages":[]}]},
          {"name":"/tree/src/b.test.ts","status":"failed","message":"Failed to resolve import \"./c\"","assertionResults":[]},
          {"name":"/elsewhere/x.test.ts","status":"failed","assertionResults":[]}]}"#;
        let cases = jest(json.as_bytes(), Path::new(ROOT), "").unwrap();
        let a = "src/a.test.ts".to_owned();
        assert_eq!(
            told(&cases),
            [
                (a.clone(), "a adds".into(), Outcome::Passed, None),
                (a.clone(), "a subs".into(), Outcome::Failed, Some(7)),
                (a.clone(), "a types".into(), Outcome::Broken, Some(9)),
                (a, "a later".into(), Outcome::Skipped, None),
                ("src/b.test.ts".into(), String::new(), Outcome::Broken, None),
            ]
        );
        assert_eq!(jest(b"no json", Path::new(ROOT), ""), None);
        assert_eq!(jest(b"{}", Path::new(ROOT), ""), None);
    }

    #[test]
    fn mocha_is_read() {
        let json = r#"{"passes":[{"fullTitle":"x ok","file":"/tree/test/a.js"}],"pending":[],
          "failures":[{"fullTitle":"x bad","file":"/tree/test/a.js","err":{"message":"1 == 2","stack":"AssertionError [ERR_ASSERTION]: 1 == 2\n    at Context.<anonymous> (test/a.js:3:10)"}}]}"#;
        let cases = mocha(json.as_bytes(), Path::new(ROOT), "").unwrap();
        assert_eq!(cases.len(), 2);
        assert_eq!((cases[1].outcome, cases[1].line), (Outcome::Failed, Some(3)));
    }

    #[test]
    fn tap_is_read_with_its_places() {
        let text = "TAP version 13\n# Subtest: adds\nok 1 - adds\n  ---\n  duration_ms: 1\n  location: '/tree/test/a.test.js:3:1'\n  ...\n# Subtest: group\n    # Subtest: inner\n    not ok 1 - inner\n      ---\n      location: '/tree/test/b.test.js:5:3'\n      failureType: 'testCodeFailure'\n      error: |-\n        Expected values to be strictly equal:\n        1 !== 2\n      code: 'ERR_ASSERTION'\n      ...\n    1..1\nnot ok 2 - group\n  ---\n  location: '/tree/test/b.test.js:4:1'\n  failureType: 'subtestsFailed'\n  ...\nnot ok 3 - /tree/test/c.test.js\n  ---\n  location: '/tree/test/c.test.js:1:1'\n  failureType: 'testCodeFailure'\n  exitCode: 1\n  error: 'test failed'\n  code: 'ERR_TEST_FAILURE'\n  ...\nok 4 - later # SKIP\n  ---\n  location: '/tree/test/a.test.js:9:1'\n  ...\n1..4\n";
        let files = ["test/a.test.js", "test/b.test.js", "test/c.test.js"].map(rel);
        let cases = tap(text, Path::new(ROOT), "", &files).unwrap();
        assert_eq!(
            told(&cases),
            [
                ("test/a.test.js".into(), "adds".into(), Outcome::Passed, Some(3)),
                ("test/b.test.js".into(), "inner".into(), Outcome::Failed, Some(5)),
                ("test/c.test.js".into(), "/tree/test/c.test.js".into(), Outcome::Broken, Some(1)),
                ("test/a.test.js".into(), "later".into(), Outcome::Skipped, Some(9)),
            ]
        );
        assert!(cases[1].message.contains("1 !== 2"), "{:?}", cases[1].message);
        assert_eq!(tap("no tap at all", Path::new(ROOT), "", &files), None);
    }

    #[test]
    fn junit_is_read() {
        let xml = "<testsuites><testsuite><testcase name=\"a &lt; b\" classname=\"test/a.js\"/><testcase name=\"c\" file=\"/tree/test/a.js\"><failure message=\"AssertionError: x\">at test/a.js:4:1</failure></testcase><testcase name=\"d\" classname=\"elsewhere\"><skipped/></testcase></testsuite></testsuites>";
        let cases = junit(xml, Path::new(ROOT), "", &[rel("test/a.js"), rel("test/b.js")]).unwrap();
        let file = "test/a.js".to_owned();
        assert_eq!(
            told(&cases),
            [(file.clone(), "a < b".into(), Outcome::Passed, None), (file, "c".into(), Outcome::Failed, Some(4))]
        );
    }

    #[test]
    fn nothing_that_anybody_writes_makes_a_panic() {
        use proptest::prelude::*;
        proptest!(|(text in "(?s)[-a-z <>=/\"'\\n:.0-9#\\[\\]!]{0,200}", cut in 0_usize..400)| {
            let tap_text = format!("TAP version 13\nnot ok 1 - x\n  ---\n{text}\n  ...\n1..1");
            let xml = format!("<testsuite><testcase name=\"{text}\"><failure {text}</testcase>");
            for text in [&text, &tap_text, &xml] {
                let end = (0..=cut.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
                let text = &text[..end];
                let _ = tap(text, Path::new(ROOT), "a", &[rel("a/b")]);
                let _ = junit(text, Path::new(ROOT), "a", &[rel("a/b")]);
                let _ = jest(text.as_bytes(), Path::new(ROOT), "");
                let _ = mocha(text.as_bytes(), Path::new(ROOT), "");
            }
        });
    }
}
