//! Tests first, then the code that passes them.
//!
//! The first answer may hold tests alone, and each of its files must fail, by an assertion: a test that cannot be imported
//! or has a wrong type says nothing. From then on those tests are locked by their content, and no other test, snapshot, mock
//! or test configuration may change either. The second answer has to make them pass, three times in a row, each by its
//! name, without knowing that it is tested.

use crate::affected::{Affected, affected};
use crate::base::Base;
use crate::commands::Bench;
use crate::error::{Error, ErrorKind, Result};
use crate::fix::{self, Part, Round, Watch};
use crate::gate::commands::{Found, quoted};
use crate::gate::testing::{Outcome, Outcomes, run_files};
use crate::gate::{self, Gated};
use crate::pipeline::{
    Attempt, Clock, Intent, Proposed, Reporter, Workshop, answered, count, judge, off_thread, ran, seen,
};
use crate::runner::{Stop, StopOnDrop};
use crate::worktree::Side;
use krins_core::gate::{CheckRun, Finding, Report, Verdict, worst};
use krins_core::graph::queries::is_test;
use krins_core::patch::{Change, FilePatch, Patch, text_of};
use krins_core::prompt::{ContextPack, Item};
use krins_core::{Digest, RelPath, tokens};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How often the code's tests have to pass.
const TIMES: usize = 3;
/// What tells code that it is being tested, or takes the tests' tools away.
const TEST_AWARE: &[&str] = &[
    "process.env.VITEST",
    "JEST_WORKER_ID",
    "NODE_TEST_CONTEXT",
    "import.meta.vitest",
    "NODE_ENV === \"test\"",
    "NODE_ENV === 'test'",
    "NODE_ENV == \"test\"",
    "NODE_ENV == 'test'",
    "globalThis.expect",
    "globalThis.test",
    "globalThis.it",
    "globalThis.describe",
    "global.expect",
    "global.it",
    "process.exit(",
    "process.reallyExit",
    "require('assert').",
    "require(\"assert\").",
    "assert.equal =",
    "assert.strictEqual =",
    ".captureStackTrace",
    "new Error().stack",
    "expect.extend",
    "vi.mock",
    "jest.mock",
    "Symbol.toPrimitive",
];

/// Steps 3 to 5, twice.
pub(crate) async fn propose(
    shop: &Workshop,
    intent: &Intent,
    base: Arc<Base>,
    pack: ContextPack,
    mut clock: Clock,
    reporter: &Arc<dyn Reporter>,
) -> Result<Proposed> {
    if !shop.settings.commands.tests {
        return Err(Error::new(ErrorKind::BadParams, "write tests first: running tests is off")
            .hint("set `gate.tests = \"auto\"` in your own settings, or trust a workspace file that does"));
    }
    if shop.backend.is_builtin_for(intent.provider.as_deref()) {
        return Err(Error::new(ErrorKind::ProviderRefused, "write tests first without a model")
            .hint("set a provider and a model; the built-in refactorings change no behaviour"));
    }
    let most = shop.settings.commands.fix_rounds;
    let tests = tests_first(shop, intent, &base, &pack, most, &mut clock, reporter).await?;
    let locked: BTreeMap<RelPath, Digest> = locks(&tests.patch);
    let pack = with_tests(pack, &tests.patch);
    let last = code_second(shop, intent, &base, &pack, &tests, most, &mut clock, reporter).await?;
    let Attempt { ask, proposal, patch, verdict } = last;
    Ok(Proposed {
        base,
        pack,
        ask,
        proposal,
        patch,
        verdict,
        choice: None,
        others: Vec::new(),
        steps: clock.steps,
        locked,
    })
}

/// Tests that fail as they should, and which of them do.
struct Written {
    patch: Patch,
    failing: BTreeSet<(RelPath, String)>,
}

async fn tests_first(
    shop: &Workshop,
    intent: &Intent,
    base: &Arc<Base>,
    pack: &ContextPack,
    most: u32,
    clock: &mut Clock,
    reporter: &Arc<dyn Reporter>,
) -> Result<Written> {
    let task = format!(
        "Write the tests for the task below, and nothing else: no code, no configuration, no snapshot. They will be run now, \
         before the code is there, and each test file has to fail by an assertion then; a test that cannot be loaded or throws \
         something else is refused. For what is not there yet, import the module as a namespace and assert what it offers \
         before it is used. They are locked afterwards, and the code is written against them.\n\n{}",
        intent.words
    );
    let (mut words, mut watch, mut before) = (task.clone(), Watch::default(), None::<Report>);
    for number in 0..=most {
        reporter.progress("asking for the tests".to_owned());
        let (ask, proposal, patch) = answered(shop, intent, base, pack, &words, None, clock, reporter).await?;
        let patch = match patch {
            Ok(patch) => patch,
            Err(error) => {
                let round = Round::unplaced(number, &proposal, before.take().as_ref());
                words = unplaced(Part::Tests, round, &task, error, number < most, reporter)?;
                continue;
            }
        };
        let verdict = clock.time("gate", judge(shop, patch.clone(), base.clone(), reporter)).await;
        let (verdict, failing) = match verdict {
            Ok(gated) => {
                let (found, failing) = in_bench(
                    shop,
                    base,
                    reporter,
                    clock,
                    {
                        let patch = patch.clone();
                        move |bench, affected, found| fail_as_they_should(bench, affected, &patch, found)
                    },
                    &patch,
                )
                .await?;
                (gate::with_runs(Ok(gated), &shop.rules, found), failing)
            }
            blocked => (blocked, BTreeSet::new()),
        };
        let attempt = Attempt { ask, proposal, patch, verdict };
        count(&shop.backend, &attempt.ask, &attempt.verdict);
        reporter.round(Part::Tests, Round::of(number, &attempt, before.as_ref()))?;
        if attempt.verdict.is_ok() {
            reporter.rounds_ended(Part::Tests, fix::Stop::Passed, Some(attempt.patch.digest()))?;
            return Ok(Written { patch: attempt.patch, failing });
        }
        shop.backend.forget(&attempt.ask);
        let report = fix::report(&attempt);
        let stop = watch.see(&attempt.patch.digest(), report);
        if let Some(why) = stop.or((number == most).then_some(fix::Stop::RoundsUsedUp)) {
            reporter.rounds_ended(Part::Tests, why, None)?;
            return Err(no_tests(report, why));
        }
        words = fix::words(&task, &attempt.patch, report);
        before = Some(report.clone());
    }
    Err(Error::new(ErrorKind::Internal, "write the tests: no round was made"))
}

/// Puts an answer on record that is no change of the files; the task again, where another one may be asked for.
fn unplaced(
    part: Part,
    round: Round,
    task: &str,
    error: Error,
    goes_on: bool,
    reporter: &Arc<dyn Reporter>,
) -> Result<String> {
    reporter.round(part, round)?;
    if !goes_on || error.kind != ErrorKind::GateFailed {
        reporter.rounds_ended(part, fix::Stop::NoUse, None)?;
        return Err(error);
    }
    let why = serde_json::Value::String(quoted(&error.message, 400));
    Ok(format!("An answer to the task below could not be used; the reason is data: {why}\n\n{task}"))
}

fn no_tests(report: &Report, why: fix::Stop) -> Error {
    let found: Vec<&str> = report
        .findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Block)
        .map(|finding| finding.message.as_str())
        .take(3)
        .collect();
    let why = why.words();
    Error::new(ErrorKind::GateFailed, format!("write tests that fail as they should ({why}): {}", found.join("; ")))
        .hint("say in the task what should be observable; or assign it without the spec mode")
}

#[expect(clippy::too_many_arguments, reason = "what one answer is made from, and the tests it is for")]
async fn code_second(
    shop: &Workshop,
    intent: &Intent,
    base: &Arc<Base>,
    pack: &ContextPack,
    tests: &Written,
    most: u32,
    clock: &mut Clock,
    reporter: &Arc<dyn Reporter>,
) -> Result<Attempt> {
    let names: Vec<String> = tests.patch.files().iter().map(|file| file.path.to_string()).collect();
    let task = format!(
        "The tests of the task below are written and shown above: {}. They are locked. Change the code so that they pass; change \
         no test, no snapshot, no mock and no configuration of tests, and write code that is right for every input, not for \
         theirs.\n\n{}",
        names.join(", "),
        intent.words
    );
    let (mut words, mut watch, mut before) = (task.clone(), Watch::default(), None::<Report>);
    let (mut number, mut measure) = (0, None::<Report>);
    loop {
        reporter.progress("asking for the code".to_owned());
        let (ask, proposal, code) = answered(shop, intent, base, pack, &words, None, clock, reporter).await?;
        let code = match code {
            Ok(code) => code,
            // The locked tests are not in the files that an answer is placed on: one that edits them ends here.
            Err(error) => {
                let round = Round::unplaced(number, &proposal, before.take().as_ref());
                words = unplaced(Part::Code, round, &task, error, number < most, reporter)?;
                number += 1;
                continue;
            }
        };
        let aware = aware(code.files(), tests.patch.files(), &intent.words);
        let findings = locked(&code, &tests.patch).into_iter().chain(aware).collect();
        let mut found = Found { findings, ..Found::default() };
        let patch = together(&tests.patch, &code);
        let judged = clock.time("gate", judge(shop, patch.clone(), base.clone(), reporter)).await;
        found.checks.push(CheckRun { check: "spec".to_owned(), verdict: worst(&found.findings), millis: 0.0 });
        let mut verdict: Result<Gated<Patch>, Box<Report>> = gate::with_runs(judged, &shop.rules, found);
        if verdict.is_ok() {
            let (found, ()) = in_bench(
                shop,
                base,
                reporter,
                clock,
                {
                    let failing = tests.failing.clone();
                    move |bench, affected, found| pass_each_time(bench, affected, &failing, found)
                },
                &patch,
            )
            .await?;
            verdict = gate::with_runs(verdict, &shop.rules, found);
        }
        let verdict = ran(shop, base, &patch, verdict, clock, reporter).await?;
        let verdict = seen(shop, &intent.words, &ask, &proposal, verdict, clock, reporter).await;
        let attempt = Attempt { ask, proposal, patch, verdict };
        let attempt = match &measure {
            Some(first) => fix::held_to(first, shop, attempt),
            None => attempt,
        };
        measure.get_or_insert_with(|| fix::report(&attempt).clone());
        count(&shop.backend, &attempt.ask, &attempt.verdict);
        reporter.round(Part::Code, Round::of(number, &attempt, before.as_ref()))?;
        let mut stop = attempt.verdict.is_ok().then_some(fix::Stop::Passed);
        if stop.is_none() {
            shop.backend.forget(&attempt.ask);
            stop = watch
                .see(&code.digest(), fix::report(&attempt))
                .or((number >= most).then_some(fix::Stop::RoundsUsedUp));
        }
        if let Some(why) = stop {
            reporter.rounds_ended(Part::Code, why, Some(attempt.patch.digest()))?;
            return Ok(attempt);
        }
        words = fix::words(&task, &code, fix::report(&attempt));
        before = Some(fix::report(&attempt).clone());
        number += 1;
    }
}

/// Work in a tree that holds the patch, off this thread; dropping the future ends it.
async fn in_bench<T: Send + 'static>(
    shop: &Workshop,
    base: &Arc<Base>,
    reporter: &Arc<dyn Reporter>,
    clock: &mut Clock,
    work: impl FnOnce(&Bench, &Affected, &mut Found) -> T + Send + 'static,
    patch: &Patch,
) -> Result<(Found, T)> {
    let commands = Arc::new(shop.settings.commands.clone());
    let (state, index, known) = (shop.state.clone(), shop.index.clone(), shop.known.clone());
    let (base, patch) = (base.clone(), patch.clone());
    let stop = Stop::default();
    let guard = StopOnDrop(stop.clone());
    reporter.progress("running the tests of the task".to_owned());
    let work = off_thread("krins.spec", move || {
        let bench = Bench::new(&state, &base, commands.clone(), stop)?;
        bench.tree().put(&patch, Side::After)?;
        let affected = affected(&index, &known, &base, &patch, &commands.test_commands);
        let mut found = Found::default();
        let value = work(&bench, &affected, &mut found);
        Ok((found, value))
    });
    let done = clock.time("spec", work).await?;
    drop(guard);
    Ok(done)
}

fn finding(
    rule: &str,
    verdict: Verdict,
    path: &RelPath,
    lines: Option<[u32; 2]>,
    message: String,
    fix: &str,
) -> Finding {
    Finding {
        rule: format!("spec/{rule}"),
        verdict,
        path: path.clone(),
        lines,
        message,
        fix: Some(fix.to_owned()),
        link: None,
    }
}

/// Whether the file decides what tests do: a test, what stands beside tests, or their configuration.
fn is_of_tests(path: &RelPath) -> bool {
    let name = path.file_name();
    let config = [
        "vitest.",
        "vite.config",
        "jest.",
        ".mocharc",
        "package.json",
        "tsconfig",
        "babel.config",
        ".babelrc",
        ".swcrc",
    ];
    is_test(path)
        || name.ends_with(".snap")
        || config.iter().any(|start| name.starts_with(start))
        || name.contains("setup")
}

/// The first answer: tests alone, and each file of them fails by an assertion.
fn fail_as_they_should(
    bench: &Bench,
    affected: &Affected,
    patch: &Patch,
    found: &mut Found,
) -> BTreeSet<(RelPath, String)> {
    const MEND: &str = "write a test that loads, and fails by an assertion until the code is there";
    for file in patch.files() {
        let path = &file.path;
        let changed = file.before.is_some();
        if !is_test(path) {
            found.findings.push(finding(
                "not-a-test",
                Verdict::Block,
                path,
                None,
                format!("{path} is no test; the first answer holds tests alone"),
                "leave it for the second answer",
            ));
        } else if file.after.is_none() || file.from.is_some() {
            found.findings.push(finding(
                "not-a-test",
                Verdict::Block,
                path,
                None,
                format!("{path} is taken away"),
                "keep the tests that are there",
            ));
        } else if changed && !affected.suites.contains_key(path) {
            found.findings.push(finding(
                "not-a-test",
                Verdict::Block,
                path,
                None,
                format!("{path} is what other tests stand on"),
                "write a new file",
            ));
        }
    }
    let files: BTreeSet<RelPath> =
        patch.files().iter().map(|file| file.path.clone()).filter(|path| affected.suites.contains_key(path)).collect();
    if files.is_empty() {
        if let Some(file) = patch.files().first() {
            found.findings.push(finding(
                "no-test",
                Verdict::Block,
                &file.path,
                None,
                "no file is one that the project's runner takes for a test".to_owned(),
                "name it as the other tests are named",
            ));
        }
        return BTreeSet::new();
    }
    if worst(&found.findings) == Verdict::Block {
        return BTreeSet::new();
    }
    let outcomes = run_files(bench, &affected.suites, &files, found);
    let mut failing = BTreeSet::new();
    for ((file, name), case) in outcomes.bad() {
        let lines = case.line.map(|line| [line, line]);
        match case.outcome {
            Outcome::Failed => drop(failing.insert((file, name))),
            _ => {
                let message =
                    format!("`{}` does not come to an assertion: {}", quoted(&name, 120), quoted(&case.message, 400));
                found.findings.push(finding("not-an-assertion", Verdict::Block, &file, lines, message, MEND));
            }
        }
    }
    for (suite, why) in &outcomes.silent {
        if let Some(file) = files.iter().find(|file| affected.suites.get(*file) == Some(suite)) {
            found.findings.push(finding(
                "not-run",
                Verdict::Block,
                file,
                None,
                format!("the tests said nothing: {}", quoted(why, 400)),
                MEND,
            ));
        }
    }
    for file in &files {
        let fails = failing.iter().any(|(path, _)| path == file);
        let told = found.findings.iter().any(|finding| finding.path == *file);
        if !fails && !told {
            found.findings.push(finding(
                "passes-already",
                Verdict::Block,
                file,
                None,
                format!("{file} passes without the code"),
                MEND,
            ));
        }
    }
    failing
}

/// Each test that failed passes now, by its name, each time.
fn pass_each_time(bench: &Bench, affected: &Affected, failing: &BTreeSet<(RelPath, String)>, found: &mut Found) {
    let files: BTreeSet<RelPath> = failing.iter().map(|(file, _)| file.clone()).collect();
    let mut passed: BTreeMap<&(RelPath, String), usize> = BTreeMap::new();
    let mut last = Outcomes::default();
    for _ in 0..TIMES {
        if bench.stop().is_stopped() {
            return;
        }
        last = run_files(bench, &affected.suites, &files, found);
        for test in failing {
            *passed.entry(test).or_default() += usize::from(last.passed(&test.0, &test.1));
        }
    }
    let bad = last.bad();
    for test in failing {
        let times = passed.get(test).copied().unwrap_or_default();
        if times == TIMES {
            continue;
        }
        let said = bad.get(test).map_or_else(|| "it was not run".to_owned(), |case| quoted(&case.message, 400));
        let line = bad.get(test).and_then(|case| case.line).map(|line| [line, line]);
        let message = format!("`{}` passed {times} of {TIMES} times: {said}", quoted(&test.1, 120));
        found.findings.push(finding(
            "not-passing",
            Verdict::Block,
            &test.0,
            line,
            message,
            "change the code so that the test passes",
        ));
    }
    for (suite, why) in &last.silent {
        if let Some(file) = files.iter().find(|file| affected.suites.get(*file) == Some(suite)) {
            found.findings.push(finding(
                "not-passing",
                Verdict::Block,
                file,
                None,
                quoted(why, 400),
                "change the code so that the tests run to their end",
            ));
        }
    }
    found.checks.push(CheckRun { check: "spec".to_owned(), verdict: worst(&found.findings), millis: 0.0 });
}

fn locks(tests: &Patch) -> BTreeMap<RelPath, Digest> {
    tests.files().iter().filter_map(|file| Some((file.path.clone(), Digest::of(file.after.as_deref()?)))).collect()
}

/// The second answer leaves everything alone that decides what the tests say.
fn locked(code: &Patch, tests: &Patch) -> Vec<Finding> {
    let locks = locks(tests);
    let touched = code.files().iter().flat_map(|file| [Some(&file.path), file.from.as_ref()]).flatten();
    touched
        .filter(|path| locks.contains_key(*path) || is_of_tests(path))
        .map(|path| {
            let what = if locks.contains_key(path) { "is locked" } else { "decides what tests say" };
            finding(
                "locked",
                Verdict::Block,
                path,
                None,
                format!("{path} {what}: the code is written against it"),
                "change the code instead",
            )
        })
        .collect()
}

/// What in the code knows that it is tested, or knows the tests' inputs.
fn aware<'p>(
    code: impl IntoIterator<Item = &'p FilePatch>,
    tests: impl IntoIterator<Item = &'p FilePatch>,
    task: &str,
) -> Vec<Finding> {
    let tests = tests.into_iter();
    let texts: Vec<String> = tests.filter_map(|file| Some(text_of(file.after.as_deref()?)?.into_owned())).collect();
    let literals: BTreeSet<String> = texts
        .iter()
        .flat_map(|text| literals(text))
        .filter(|literal| !task.contains(literal.trim_matches(['"', '\''])))
        .collect();
    let mut findings = Vec::new();
    for file in code.into_iter().filter(|file| !is_of_tests(&file.path)) {
        for (number, line) in added(file) {
            if let Some(mark) = TEST_AWARE.iter().find(|mark| line.contains(**mark)) {
                let message = format!("`{mark}` lets the code know that it is tested, or take the tests' tools away");
                findings.push(finding(
                    "test-aware",
                    Verdict::Block,
                    &file.path,
                    Some([number, number]),
                    message,
                    "write code that does the same everywhere",
                ));
            }
            let keyed =
                ["==", "case ", "?", ".is(", "has(", "get(", ".includes(", ":"].iter().any(|form| line.contains(form));
            if let Some(literal) = literals.iter().find(|literal| keyed && holds(&line, literal)) {
                let message = format!("{} is an input of a locked test; the code asks for it", quoted(literal, 60));
                findings.push(finding(
                    "special-case",
                    Verdict::Warn,
                    &file.path,
                    Some([number, number]),
                    message,
                    "write code that is right for every input",
                ));
            }
        }
    }
    findings
}

/// What was found of tests and code, for another patch than that of the answer: a part of `whole`, or what a person made of it.
/// What only looks looks again; what came of running is run again where tests are (`runs_tests`); the rest holds as long as
/// its file is changed.
pub(crate) fn still_said(
    before: &Report,
    patch: &Patch,
    whole: &Patch,
    locked: &BTreeMap<RelPath, Digest>,
    task: &str,
    runs_tests: bool,
) -> Vec<Finding> {
    let touched: BTreeSet<&RelPath> =
        patch.files().iter().flat_map(|file| [Some(&file.path), file.from.as_ref()]).flatten().collect();
    let holds = |finding: &Finding| match finding.rule.as_str() {
        "spec/test-aware" | "spec/special-case" => false,
        "spec/not-passing" => !runs_tests && touched.contains(&finding.path),
        _ => touched.contains(&finding.path),
    };
    let mut found = gate::as_found(before, |check| check == "spec");
    found.retain(holds);
    if !locked.is_empty() {
        let (tests, _) = split(whole, locked);
        let (_, code) = split(patch, locked);
        found.extend(aware(code, tests, task));
    }
    found
}

/// The files that are locked, and the others.
fn split<'p>(patch: &'p Patch, locked: &BTreeMap<RelPath, Digest>) -> (Vec<&'p FilePatch>, Vec<&'p FilePatch>) {
    patch.files().iter().partition(|file| locked.contains_key(&file.path))
}

/// The lines of a file that its base does not have, with their 1-based numbers.
fn added(file: &FilePatch) -> Vec<(u32, String)> {
    let text = |bytes: Option<&[u8]>| bytes.and_then(text_of).map(std::borrow::Cow::into_owned).unwrap_or_default();
    let (before, after) = (text(file.before.as_deref()), text(file.after.as_deref()));
    let known: BTreeSet<&str> = before.lines().map(str::trim).collect();
    let lines = after.lines().enumerate().filter(|(_, line)| !known.contains(line.trim()));
    lines.map(|(at, line)| (at as u32 + 1, line.to_owned())).collect()
}

/// Strings of two characters and more, and numbers of two digits and more, that a text holds outside of imports.
fn literals(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let spoken = ["import ", "describe(", "test(", "it(", "//", "export "];
    for line in text.lines().map(str::trim) {
        // A title is words for people; what follows it on the line is not.
        let line = match spoken.iter().find(|word| line.starts_with(**word)) {
            Some(&"import " | &"//" | &"export ") => continue,
            Some(_) => line.split_once(',').map_or("", |(_, rest)| rest),
            None => line,
        };
        for quote in ['"', '\'', '`'] {
            let parts: Vec<&str> = line.split(quote).collect();
            found.extend(
                parts
                    .iter()
                    .skip(1)
                    .step_by(2)
                    .filter(|part| part.chars().count() > 1)
                    .map(|part| format!("\"{part}\"")),
            );
        }
        let numbers = line.split(|c: char| !(c.is_ascii_digit() || c == '.'));
        found.extend(
            numbers.map(|number| number.trim_matches('.')).filter(|number| number.len() > 1).map(str::to_owned),
        );
    }
    found
}

/// Whether a line has the literal, in whatever quotes.
fn holds(line: &str, literal: &str) -> bool {
    match literal.strip_prefix('"').and_then(|literal| literal.strip_suffix('"')) {
        Some(text) => ['"', '\'', '`'].iter().any(|quote| line.contains(&format!("{quote}{text}{quote}"))),
        None => line.match_indices(literal).any(|(at, _)| {
            let inside = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
            !line[..at].ends_with(inside) && !line[at + literal.len()..].starts_with(inside)
        }),
    }
}

/// Both answers as one patch.
fn together(tests: &Patch, code: &Patch) -> Patch {
    let change = |file: &FilePatch| Change {
        path: file.path.clone(),
        from: file.from.clone(),
        before: file.before.clone(),
        after: file.after.clone(),
        executable: file.executable,
    };
    let ours: BTreeSet<&RelPath> = tests.files().iter().map(|file| &file.path).collect();
    let code = code.files().iter().filter(|file| !ours.contains(&file.path)).map(change);
    Patch::between(tests.files().iter().map(change).chain(code).collect())
}

/// The locked tests go with the prompt, whole.
fn with_tests(mut pack: ContextPack, tests: &Patch) -> ContextPack {
    for file in tests.files() {
        let Some(text) = file.after.as_deref().and_then(text_of) else { continue };
        pack.items.retain(|item| item.path != file.path);
        let lines = (text.lines().count() as u32).max(1);
        let cost = tokens::count(&text);
        pack.tokens += cost;
        pack.items.push(Item {
            path: file.path.clone(),
            digest: Digest::of(text.as_bytes()),
            ranges: vec![[1, lines]],
            verbatim: true,
            text: text.into_owned(),
            tokens: cost,
            reason: "a locked test of the task".into(),
        });
    }
    pack
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(files: &[(&str, Option<&str>, Option<&str>)]) -> Patch {
        let change = |(path, before, after): &(&str, Option<&str>, Option<&str>)| Change {
            path: RelPath::new(path).unwrap(),
            from: None,
            before: before.map(|text| text.as_bytes().into()),
            after: after.map(|text| text.as_bytes().into()),
            executable: false,
        };
        Patch::between(files.iter().map(change).collect())
    }

    const TEST: &str =
        "import { price } from './price';\ntest('price', () => {\n  expect(price('apple', 12)).toBe(340);\n});\n";

    fn tests() -> Patch {
        patch(&[("src/price.test.ts", None, Some(TEST))])
    }

    #[test]
    fn what_decides_the_tests_is_locked() {
        for path in [
            "src/price.test.ts",
            "src/other.spec.ts",
            "src/__tests__/x.ts",
            "src/__mocks__/price.ts",
            "src/__snapshots__/a.snap",
            "vitest.config.ts",
            "jest.config.js",
            "package.json",
            "tsconfig.json",
            "test/helpers.ts",
            "src/setupTests.ts",
            ".mocharc.yml",
        ] {
            for after in [Some("y\n"), None] {
                assert_eq!(locked(&patch(&[(path, Some("x\n"), after)]), &tests()).len(), 1, "{path}");
            }
            assert_eq!(locked(&patch(&[(path, None, Some("x\n"))]), &tests()).len(), 1, "a new {path}");
        }
        assert!(locked(&patch(&[("src/price.ts", None, Some("x\n"))]), &tests()).is_empty());
    }

    #[test]
    fn code_that_knows_its_tests_is_seen() {
        let found = |code: &str| -> Vec<String> {
            let code = patch(&[("src/price.ts", Some("export {}\n"), Some(code))]);
            aware(code.files(), tests().files(), "add a price").into_iter().map(|finding| finding.rule).collect()
        };
        for cheat in [
            "export const price = (n, k) => (n === 'apple' ? 340 : 0);\n",
            "export const price = (n, k) => { switch (k) { case 12: return 340; } };\n",
            "const known = { \"apple\": 1 };\n",
            "const known = new Map(); known.get(`apple`);\n",
            "if (k == 12) return 1;\n",
        ] {
            assert_eq!(found(cheat), ["spec/special-case"], "{cheat}");
        }
        for cheat in [
            "if (process.env.VITEST) return 340;\n",
            "globalThis.expect = () => ({ toBe() {} });\n",
            "process.exit(0);\n",
            "if (process.env.NODE_ENV === 'test') return 1;\n",
            "const stack = new Error().stack;\n",
            "if (process.env.JEST_WORKER_ID) return 1;\n",
        ] {
            assert!(found(cheat).contains(&"spec/test-aware".to_owned()), "{cheat}");
        }
        assert!(found("export const price = (name: string, count: number) => count * of(name);\n").is_empty());
    }

    #[test]
    fn both_answers_are_one_patch_and_the_tests_stay() {
        let code = patch(&[("src/price.ts", None, Some("a\n")), ("src/price.test.ts", None, Some("weaker\n"))]);
        let both = together(&tests(), &code);
        assert_eq!(both.files().len(), 2);
        let test = both.files().iter().find(|file| file.path.as_str() == "src/price.test.ts").unwrap();
        assert_eq!(test.after.as_deref(), Some(TEST.as_bytes()));
    }
}
