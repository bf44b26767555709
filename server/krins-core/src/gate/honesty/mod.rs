//! `honesty/*`: a patch that makes a check pass instead of making the code right.
//!
//! Tests deleted, skipped or weakened, errors swallowed, answers keyed to a test's input, checks of types, style, coverage
//! and continuous integration turned down. Everything is a comparison of both sides of the whole patch: what was there
//! before, what was moved, and tests of code that is gone are nobody's lie.

mod code;
mod config;
mod plain;
mod remarks;
mod suite;
mod weaker;

use super::reading::Both;
use super::{Finding, Scene, Verdict, is_test_path, sast};
use crate::patch::{ChangeKind, Hunk};
use crate::path::RelPath;
use crate::syntax::Language;
pub(super) use code::{Signs, signs};
use std::collections::{BTreeMap, BTreeSet};
pub(super) use suite::{Suite, may_hold_tests, read as suite};

/// A rule and how loudly it speaks when nobody says otherwise. What honest changes do as well is a note: shown, not
/// warned of.
pub(super) struct Rule {
    pub id: &'static str,
    pub level: Verdict,
    pub title: &'static str,
    pub fix: &'static str,
}

const fn rule(id: &'static str, level: Verdict, title: &'static str, fix: &'static str) -> Rule {
    Rule { id, level, title, fix }
}

pub(super) const RULES: &[Rule] = &[
    rule(
        "test-file-deleted",
        Verdict::Warn,
        "a file of tests deleted, its code still there",
        "bring it back, or say why it goes",
    ),
    rule("test-deleted", Verdict::Warn, "a test deleted, its code still there", "bring it back, or say why it goes"),
    rule("test-emptied", Verdict::Warn, "a test that asserts nothing any more", "assert what it asserted before"),
    rule(
        "test-skipped",
        Verdict::Warn,
        "a test that ran and is now skipped, or expected to fail",
        "make it pass instead",
    ),
    rule("test-only", Verdict::Block, "`.only`: every other test is skipped", "take `.only` away"),
    rule("test-born-skipped", Verdict::Pass, "a new test that is skipped", "let it run"),
    rule("assertion-removed", Verdict::Warn, "a test asserts less than before", "assert what it asserted before"),
    rule("assertion-weakened", Verdict::Warn, "an assertion that more values pass", "assert the exact value"),
    rule(
        "assertion-dead",
        Verdict::Warn,
        "an assertion that cannot fail: not awaited, not reached, or caught",
        "await it, and let it throw",
    ),
    rule(
        "assertion-empty",
        Verdict::Warn,
        "an assertion about nothing: `expect(true).toBe(true)`",
        "assert something of the code",
    ),
    rule("cases-dropped", Verdict::Warn, "a table of cases with fewer rows", "keep the cases"),
    rule(
        "expected-changed",
        Verdict::Pass,
        "an expected value changed together with the code",
        "check that the new value is the right one",
    ),
    rule(
        "snapshot-rewritten",
        Verdict::Pass,
        "a snapshot rewritten together with the code",
        "check that the new snapshot is the right one",
    ),
    rule("mock-of-unit", Verdict::Warn, "a test that replaces what it tests", "mock what the unit uses, not the unit"),
    rule(
        "swallowed-error",
        Verdict::Warn,
        "an error caught and dropped, or turned into success",
        "handle it, or let it through",
    ),
    rule(
        "keyed-return",
        Verdict::Warn,
        "an answer written out for the very input that a test uses",
        "compute the answer",
    ),
    rule("test-detection", Verdict::Warn, "code that asks whether it is being tested", "behave the same in tests"),
    rule("type-unchecked", Verdict::Warn, "`@ts-ignore`, `@ts-nocheck`, `# type: ignore`", "fix the types"),
    rule("type-expected-error", Verdict::Pass, "`@ts-expect-error`", "fix the types"),
    rule("type-any", Verdict::Pass, "`any`, which turns the checks of types off", "name the type, or use `unknown`"),
    rule("lint-silenced", Verdict::Pass, "a lint silenced at one place", "fix what it says"),
    rule(
        "lint-silenced-file",
        Verdict::Warn,
        "lints silenced for a whole file",
        "silence one rule at one place, with the reason",
    ),
    rule("coverage-ignored", Verdict::Pass, "code hidden from the measurement of coverage", "test it"),
    rule("threshold-lowered", Verdict::Warn, "a threshold of coverage lowered", "keep it"),
    rule("strictness-lowered", Verdict::Warn, "a strict option of the compiler or a lint turned off", "keep it on"),
    rule(
        "checks-weakened",
        Verdict::Warn,
        "a script or a pipeline that passes although its checks fail",
        "let it fail",
    ),
    rule("tests-excluded", Verdict::Warn, "tests excluded by the configuration", "let them run"),
    rule(
        "remote-schema",
        Verdict::Warn,
        "a `$schema` on a host that is not known: editors fetch it",
        "use a local schema or a well-known host",
    ),
    rule(
        "hidden-unicode",
        Verdict::Block,
        "characters that nobody sees: direction marks, tags, zero width, selectors",
        "write them as escapes",
    ),
    rule(
        "mixed-script",
        Verdict::Block,
        "a name that mixes letters of other scripts into Latin ones",
        "write the name in one script",
    ),
    rule(
        "executable-path",
        Verdict::Block,
        "a setting that makes an editor or a tool start another program",
        "make this change by hand",
    ),
];

/// A finding, before it is known how loud its rule is.
struct Found {
    rule: &'static str,
    line: Option<u32>,
    message: String,
    /// What honest changes do as well: shown, whatever the rule's level is.
    is_soft: bool,
}

impl Found {
    fn new(rule: &'static str, line: u32, message: impl Into<String>) -> Self {
        Self { rule, line: Some(line), message: message.into(), is_soft: false }
    }

    /// About the whole file.
    fn of_file(rule: &'static str, message: String) -> Self {
        Self { rule, line: None, message, is_soft: false }
    }
}

/// What a patch takes away from the code: names that are in none of its files any more.
struct Gone {
    names: BTreeSet<String>,
    /// Whether the patch takes more code away than it adds: a test may have lost what it tested.
    is_less: bool,
}

/// Lines that are no slip.
const LESS: usize = 3;

impl Gone {
    fn of(scene: &Scene<'_>) -> Self {
        let files = scene.reading.files();
        // What a package of tests asks for is no test.
        let is_source =
            |path: &RelPath| path.file_name() == "package.json" || !is_test_path(path) && !is_snapshot(path);
        let sources = || files.iter().filter(|both| is_source(&both.file.path));
        // What goes, goes with a line of code that goes: what is said of it somewhere is no code.
        let (mut gone, mut goes) = (BTreeSet::new(), 0);
        for both in sources().filter(|both| !is_prose(&both.file.path)) {
            let lines = removed_code(both);
            lines.iter().for_each(|line| words(line, &mut gone));
            goes += if is_code(&both.file.path) { lines.iter().filter(|line| says(line)).count() } else { 0 };
        }
        for both in sources() {
            if gone.is_empty() {
                break;
            }
            for word in long_words(&both.after.text) {
                gone.remove(word);
            }
        }
        // A file that goes takes the tests along that speak of it.
        for file in files.iter().map(|both| both.file).filter(|file| file.after.is_none() && !is_test_path(&file.path))
        {
            let name = file.path.as_str().rsplit('/').next().unwrap_or_default();
            gone.extend(name.split('.').next().filter(|stem| stem.len() >= 4).map(str::to_owned));
        }
        let comes: usize = sources().filter(|both| is_code(&both.file.path)).map(added_code).sum();
        Self { names: gone, is_less: goes >= comes + LESS }
    }

    /// Whether a text speaks of a name that is gone.
    fn is_in(&self, text: &str) -> bool {
        !self.names.is_empty() && long_words(text).any(|word| self.names.contains(word))
    }
}

/// What of the lines that go is code.
fn removed_code(both: &Both<'_>) -> Vec<String> {
    let gone: Vec<(usize, &str)> = both.file.hunks.iter().flat_map(removed).collect();
    let (text, extension) = (&both.before.text, both.before.path.extension());
    let is_read = !gone.is_empty() && text.len() <= LARGEST;
    let code = if is_read { remarks::code_lines(text, extension) } else { Vec::new() };
    let whole: Vec<&str> = if code.is_empty() { Vec::new() } else { text.lines().collect() };
    let as_code = |(at, line): (usize, &str)| match (whole.get(at), code.get(at)) {
        (Some(known), Some(code)) if known.trim_end() == line.trim_end() => code.clone(),
        // What is in the line is all that is known of it.
        _ if remarks::is_remark(line, extension) => String::new(),
        _ => line.to_owned(),
    };
    gone.into_iter().map(as_code).collect()
}

/// How many lines of code come. What may be a comment, and may be none, is code here.
fn added_code(both: &Both<'_>) -> usize {
    let lines = both.file.hunks.iter().flat_map(|hunk| &hunk.lines);
    let added = lines.filter_map(|line| line.strip_prefix('+'));
    added.filter(|line| says(line) && !remarks::is_remark(line, both.after.path.extension())).count()
}

/// The lines of the base that a hunk takes away, with their places from 0.
fn removed(hunk: &Hunk) -> impl Iterator<Item = (usize, &str)> {
    let mut at = hunk.before[0] as usize;
    hunk.lines.iter().filter_map(move |line| {
        let here = at;
        at += usize::from(line.starts_with([' ', '-']) || line.is_empty());
        line.strip_prefix('-').map(|line| (here, line))
    })
}

/// A line that is more than brackets.
fn says(line: &str) -> bool {
    line.chars().any(char::is_alphanumeric)
}

fn words(text: &str, into: &mut BTreeSet<String>) {
    for word in long_words(text) {
        if !into.contains(word) {
            into.insert(word.to_owned());
        }
    }
}

/// The longer words of a text.
fn long_words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '$').filter(|word| word.len() >= 4)
}

/// Both texts of a file, and which lines the patch adds.
struct Sides<'f> {
    path: &'f RelPath,
    before: &'f str,
    after: &'f str,
    added: &'f BTreeSet<u32>,
    signs_before: &'f Signs,
    signs_after: &'f Signs,
}

/// `honesty/*`.
pub fn check_honesty(scene: &Scene<'_>) -> Vec<Finding> {
    let hidden = super::check_hidden_unicode(scene);
    let gone = Gone::of(scene);
    let changes_code = scene.patch.files().iter().any(|file| is_code(&file.path) && !is_test_path(&file.path));
    let mut findings = hidden;
    let mut suites = Vec::new();
    let mut moved = code::Moves::default();
    let files = scene.reading.files();
    let is_read = |both: &&Both<'_>| {
        both.before.text.len().max(both.after.text.len()) <= LARGEST
            && !is_of_a_machine(&both.file.path, &both.after.text)
    };
    // From the end, while the other check of programs begins at the beginning: they meet in the middle.
    for both in files.iter().rev().filter(is_read) {
        both.code_before();
        both.code_after();
    }
    for both in files.iter().filter(is_read) {
        let file = both.file;
        let sides = Sides {
            path: &file.path,
            before: &both.before.text,
            after: &both.after.text,
            added: both.added(),
            signs_before: &both.code_before().signs,
            signs_after: &both.code_after().signs,
        };
        let mut found = Vec::new();
        config::compare(&sides, &mut found);
        plain::compare(&sides, &gone, &mut found);
        code::compare(&sides, scene, &mut moved, &mut found);
        snapshot(both, changes_code, &mut found);
        findings.extend(found.into_iter().map(|found| finding(&file.path, found)));
        suites.extend(suite::pair(both));
    }
    weaker::compare(&suites, &gone, changes_code, &mut |path, found| findings.push(finding(path, found)));
    moved.settle(scene, &mut findings);
    findings
}

/// A text that is larger is not read: nobody writes one by hand.
const LARGEST: usize = 2 << 20;

/// What was made elsewhere, and programs that look so, of which `sast/not-whole` tells. A file of data says what it says, however
/// long its lines are.
fn is_of_a_machine(path: &RelPath, text: &str) -> bool {
    sast::is_made_elsewhere(path) || Language::of(path).is_some() && sast::looks_made_by_a_machine(text)
}

fn finding(path: &RelPath, found: Found) -> Finding {
    let rule = RULES.iter().find(|rule| rule.id == found.rule);
    let rule = rule.expect("every rule that finds is in the table, which a test holds");
    Finding {
        rule: format!("honesty/{}", rule.id),
        verdict: if found.is_soft { Verdict::Pass } else { rule.level },
        path: path.clone(),
        lines: found.line.map(|line| [line, line]),
        message: found.message,
        fix: Some(rule.fix.into()),
        link: None,
    }
}

fn is_code(path: &RelPath) -> bool {
    matches!(
        path.extension(),
        "ts" | "tsx"
            | "mts"
            | "cts"
            | "js"
            | "jsx"
            | "mjs"
            | "cjs"
            | "vue"
            | "svelte"
            | "py"
            | "rs"
            | "go"
            | "java"
            | "rb"
    )
}

/// What is written for people to read.
fn is_prose(path: &RelPath) -> bool {
    matches!(path.extension(), "md" | "mdx" | "markdown" | "txt" | "rst" | "adoc")
}

fn is_snapshot(path: &RelPath) -> bool {
    path.extension() == "snap" || path.as_str().contains("__snapshots__/")
}

/// Snapshots that say something else than before, where code changed too.
fn snapshot(both: &Both<'_>, changes_code: bool, found: &mut Vec<Found>) {
    let file = both.file;
    if is_snapshot(&file.path) && file.kind == ChangeKind::Modify && changes_code {
        let removed = file.hunks.iter().flat_map(|hunk| &hunk.lines).filter(|line| line.starts_with('-')).count();
        if removed > 0 {
            let line = both.added().first().copied().unwrap_or(1);
            let message = format!("{removed} lines of a snapshot change together with the code");
            found.push(Found::new("snapshot-rewritten", line, message));
        }
    }
}

/// How often each line of a text is there, white space at its ends left out.
fn lines_of(text: &str) -> BTreeMap<&str, usize> {
    let mut lines = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        *lines.entry(line).or_default() += 1;
    }
    lines
}

/// 1-based.
fn line_at(text: &str, offset: usize) -> u32 {
    memchr::memchr_iter(b'\n', &text.as_bytes()[..offset.min(text.len())]).count() as u32 + 1
}

/// White space runs as one space each.
fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
