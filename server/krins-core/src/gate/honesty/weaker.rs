//! What the tests of a patch assert less than before. Tests pair off by their titles, then by what they assert, over all
//! files of the patch: a test that was moved or renamed is still there.

use super::suite::{Assertion, Mode, Pair, Suite, Test};
use super::{Found, Gone};
use crate::path::RelPath;
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// Two tests that are as alike as this are the same one, changed.
const ALIKE: f64 = 0.6;
/// Tests that are compared with each other by their texts, at most.
const MOST_COMPARED: usize = 60;

/// A function of the file's own that asserts: `expectPrice(…)`, `checkAll(…)`.
static HELPER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\b(expect|assert|check|verify|should|validate|test|compare|match)[A-Z_]\w*\(")
        .expect("a literal pattern")
});

/// A test of one side and the file it is in.
#[derive(Clone, Copy)]
struct Placed<'p> {
    path: &'p RelPath,
    test: &'p Test,
}

pub(super) fn compare<'p>(
    pairs: &'p [Pair<'p>],
    gone: &Gone,
    changes_code: bool,
    say: &mut dyn FnMut(&RelPath, Found),
) {
    let placed = |pair: &'p Pair<'p>, suite: &'p Suite| {
        suite.tests.iter().map(|test| Placed { path: &pair.file.path, test }).collect::<Vec<_>>()
    };
    let before: Vec<Placed<'p>> = pairs.iter().flat_map(|pair| placed(pair, pair.before)).collect();
    let after: Vec<Placed<'p>> = pairs.iter().flat_map(|pair| placed(pair, pair.after)).collect();
    let (matched, lost, born) = pair_off(before, after);
    let told = Told { gone, changes_code, elsewhere: born.iter().flat_map(|new| new.test.live()).collect() };
    for (old, new) in &matched {
        modes(old, new, say);
        if !old.test.is_group {
            assertions(old, new, &told, say);
        }
    }
    for new in &born {
        born_badly(new, say);
    }
    losses(pairs, &lost, &born, gone, say);
    for pair in pairs {
        mocks(pair, say);
    }
}

/// What is known of the whole patch.
struct Told<'t> {
    gone: &'t Gone,
    changes_code: bool,
    /// What the tests assert that are new: a test may be cut in two.
    elsewhere: Vec<&'t Assertion>,
}

type Matched<'p> = Vec<(Placed<'p>, Placed<'p>)>;

fn pair_off<'p>(before: Vec<Placed<'p>>, after: Vec<Placed<'p>>) -> (Matched<'p>, Vec<Placed<'p>>, Vec<Placed<'p>>) {
    let mut matched = Vec::new();
    let by_path_and_title = |placed: &Placed<'p>| Some((placed.path.to_string(), placed.test.title.clone()));
    let (before, after) = by_key(before, after, by_path_and_title, &mut matched);
    let by_title = |placed: &Placed<'p>| Some((String::new(), placed.test.title.clone()));
    let (before, after) = by_key(before, after, by_title, &mut matched);
    let by_body =
        |placed: &Placed<'p>| (placed.test.body.len() > 20).then(|| (String::new(), placed.test.body.clone()));
    let (before, mut after) = by_key(before, after, by_body, &mut matched);
    // The rest by likeness: of title and of what is asserted.
    let mut lost = Vec::new();
    for (at, old) in before.into_iter().enumerate() {
        let best = (0..after.len().min(MOST_COMPARED))
            .map(|at| (likeness(old.test, after[at].test), at))
            .filter(|(alike, _)| *alike >= ALIKE)
            .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        match best {
            Some((_, found)) if at < MOST_COMPARED => matched.push((old, after.remove(found))),
            _ => lost.push(old),
        }
    }
    (matched, lost, after)
}

fn by_key<'p, K: Ord>(
    before: Vec<Placed<'p>>,
    after: Vec<Placed<'p>>,
    key: impl Fn(&Placed<'p>) -> Option<K>,
    matched: &mut Matched<'p>,
) -> (Vec<Placed<'p>>, Vec<Placed<'p>>) {
    let mut known: BTreeMap<K, Vec<Placed<'p>>> = BTreeMap::new();
    let mut lost = Vec::new();
    for old in before.into_iter().rev() {
        match key(&old) {
            Some(key) => known.entry(key).or_default().push(old),
            None => lost.push(old),
        }
    }
    let mut born = Vec::new();
    for new in after {
        match key(&new).and_then(|key| known.get_mut(&key)).and_then(Vec::pop) {
            Some(old) => matched.push((old, new)),
            None => born.push(new),
        }
    }
    lost.extend(known.into_values().flatten());
    lost.sort_by_key(|placed| (placed.path.to_string(), placed.test.line));
    (lost, born)
}

fn likeness(old: &Test, new: &Test) -> f64 {
    if old.is_group != new.is_group {
        return 0.0;
    }
    let titles = strsim::normalized_levenshtein(last(&old.title), last(&new.title));
    let said = |test: &Test| -> BTreeSet<String> {
        test.assertions.iter().map(|assertion| format!("{} {}", assertion.subject, assertion.matcher)).collect()
    };
    let (a, b) = (said(old), said(new));
    if a.is_empty() || b.is_empty() {
        return titles;
    }
    let shared = a.intersection(&b).count() as f64 / a.len().min(b.len()) as f64;
    titles.max(shared * 0.5 + titles * 0.5).max(if shared >= 0.8 { 0.6 } else { 0.0 })
}

fn last(title: &str) -> &str {
    title.rsplit(" > ").next().unwrap_or(title)
}

fn modes(old: &Placed<'_>, new: &Placed<'_>, say: &mut dyn FnMut(&RelPath, Found)) {
    let title = last(&new.test.title);
    match (old.test.mode, new.test.mode) {
        (Mode::Runs | Mode::Only, Mode::Skipped) => {
            say(
                new.path,
                Found::new("test-skipped", new.test.line, format!("`{title}` ran before and is skipped now")),
            );
        }
        (Mode::Runs | Mode::Skipped, Mode::Only) => say(new.path, only(new)),
        _ => {}
    }
}

fn only(new: &Placed<'_>) -> Found {
    let title = last(&new.test.title);
    Found::new("test-only", new.test.line, format!("`{title}` is marked `only`: no other test of the file runs"))
}

fn born_badly(new: &Placed<'_>, say: &mut dyn FnMut(&RelPath, Found)) {
    let (test, title) = (new.test, last(&new.test.title));
    match test.mode {
        Mode::Only => say(new.path, only(new)),
        Mode::Skipped => {
            say(new.path, Found::new("test-born-skipped", test.line, format!("`{title}` is new and skipped")))
        }
        Mode::Runs => {}
    }
    for assertion in &test.assertions {
        empty(new.path, assertion, say);
    }
    if let Some(dead) = test.assertions.iter().find(|assertion| assertion.dead == Some("not awaited")) {
        say(new.path, Found::new("assertion-dead", dead.line, format!("an assertion of `{title}` is not awaited")));
    }
}

fn empty(path: &RelPath, assertion: &Assertion, say: &mut dyn FnMut(&RelPath, Found)) {
    if assertion.says_nothing() {
        let message = format!("`{}` holds whatever the code does", shown(assertion));
        say(path, Found::new("assertion-empty", assertion.line, message));
    }
}

fn shown(assertion: &Assertion) -> String {
    let Assertion { subject, matcher, args, .. } = assertion;
    let whole = if matcher.starts_with("assert") || matcher.starts_with("t.") {
        format!("{matcher}({subject}{}{args})", if args.is_empty() { "" } else { ", " })
    } else {
        format!("expect({subject}).{matcher}({args})")
    };
    match whole.char_indices().nth(80) {
        Some((at, _)) => format!("{}…", &whole[..at]),
        None => whole,
    }
}

fn assertions(old: &Placed<'_>, new: &Placed<'_>, told: &Told<'_>, say: &mut dyn FnMut(&RelPath, Found)) {
    let Told { gone, changes_code, .. } = *told;
    let title = last(&new.test.title);
    if let (Some(before), Some(after)) = (old.test.rows, new.test.rows)
        && after < before
    {
        let message = format!("`{title}` runs {after} cases where it ran {before}");
        say(new.path, Found::new("cases-dropped", new.test.line, message));
    }
    let died = |assertion: &&Assertion| {
        let was = old.test.assertions.iter().find(|was| is_same(was, assertion));
        assertion.dead.is_some() && was.is_none_or(|was| was.dead.is_none())
    };
    for assertion in new.test.assertions.iter().filter(died) {
        let why = assertion.dead.unwrap_or_default();
        let message = format!("`{}` cannot fail: it is {why}", shown(assertion));
        say(new.path, Found::new("assertion-dead", assertion.line, message));
    }
    let (removed, added) = differing(old.test, new.test);
    for assertion in new.test.assertions.iter().filter(|assertion| assertion.says_nothing()) {
        if !old.test.assertions.iter().any(|was| is_same(was, assertion)) {
            empty(new.path, assertion, say);
        }
    }
    let (before, after) = (old.test.live().count(), new.test.live().count());
    if before > 0 && after == 0 {
        let calls_helper = HELPER.is_match(&new.test.body) && new.test.assertions.is_empty();
        if !calls_helper && new.test.mode != Mode::Skipped && !new.test.assertions.iter().any(|a| a.dead.is_some()) {
            say(new.path, Found::new("test-emptied", new.test.line, format!("`{title}` asserts nothing any more")));
        }
        return;
    }
    let mut left = Vec::new();
    let fresh = added.clone();
    let mut added: Vec<&Assertion> = added;
    for was in removed {
        let Some(at) = partner(was, &added) else {
            left.push(was);
            continue;
        };
        let now = added.remove(at);
        changed(new.path, was, now, gone, changes_code, say);
    }
    // What has no partner was replaced by something else, or is gone.
    left.retain(|was| {
        !gone.is_in(&was.subject)
            && !gone.is_in(&was.args)
            && !new.test.live().any(|now| implies(now, was))
            && !told.elsewhere.iter().any(|now| is_same(now, was))
    });
    if left.len() > added.len() && after < before {
        let lost = left[0];
        let message = format!("`{title}` no longer asserts `{}`", shown(lost));
        // A test that was written anew in its other lines too may say in fewer words what it said.
        let found = Found::new("assertion-removed", new.test.line, message);
        say(new.path, Found { is_soft: is_rewritten(old.test, new.test, &left, &fresh), ..found });
    }
}

/// Whether most of a test is another one by now, and what it asserts instead is as exact as what is gone.
fn is_rewritten(old: &Test, new: &Test, gone: &[&Assertion], fresh: &[&Assertion]) -> bool {
    let strictest = |of: &[&Assertion]| of.iter().map(|assertion| weakness(assertion)).min();
    // `toEqual` says what `toBe` says.
    let as_exact = match (strictest(gone), strictest(fresh)) {
        (Some(gone), Some(fresh)) => fresh <= gone + 1,
        _ => false,
    };
    let kept = old.live().filter(|was| new.live().any(|now| is_same(was, now))).count();
    as_exact && old.rest != new.rest && kept * 2 < old.live().count() && is_other_text(&old.rest, &new.rest)
}

/// Whether at most half of the words of a text are in the other.
fn is_other_text(old: &str, new: &str) -> bool {
    let words = |text: &str| -> Vec<String> {
        let words = text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '$');
        words.filter(|word| word.len() > 1 && !KEYWORDS.contains(word)).map(str::to_owned).collect()
    };
    let mut left: BTreeMap<String, usize> = BTreeMap::new();
    for word in words(new) {
        *left.entry(word).or_default() += 1;
    }
    let (mut all, mut kept) = (0, 0);
    for word in words(old) {
        all += 1;
        if let Some(count) = left.get_mut(&word).filter(|count| **count > 0) {
            *count -= 1;
            kept += 1;
        }
    }
    kept * 2 <= all
}

/// Words that every test has.
const KEYWORDS: &[&str] =
    &["const", "let", "var", "new", "async", "await", "return", "function", "for", "of", "in", "if"];

fn is_same(a: &Assertion, b: &Assertion) -> bool {
    a.subject == b.subject && a.matcher == b.matcher && a.args == b.args
}

/// Whether what holds when `now` does needs no `was`: more is asserted of the same, or an exact value of a part of what was
/// only asked to be there.
fn implies(now: &Assertion, was: &Assertion) -> bool {
    let (strong, weak) = (weakness(now), weakness(was));
    let is_part = || {
        let rest = now.subject.strip_prefix(was.subject.as_str()).unwrap_or_default();
        rest.starts_with(['.', '[', '?', '!']) && strong < 10
    };
    let asks_if_there = matches!(
        was.matcher.as_str(),
        "toBeDefined"
            | "toBeTruthy"
            | "not.toBeNull"
            | "not.toBeUndefined"
            | "not.toBeFalsy"
            | "ok"
            | "assert"
            | "assert.ok"
    );
    let is_stronger = weak >= 20 && strong < weak && (now.subject == was.subject || asks_if_there && is_part());
    is_stronger || says_whole(now, was) || counts_out(now, was)
}

/// The end of a matcher's name that is not negated.
fn plain_matcher(assertion: &Assertion) -> &str {
    if assertion.matcher.contains("not.") { "" } else { assertion.matcher.rsplit('.').next().unwrap_or_default() }
}

/// Whether `now` writes out all of a value of which `was` asked a part.
fn says_whole(now: &Assertion, was: &Assertion) -> bool {
    let is_exact = matches!(
        plain_matcher(now),
        "toEqual" | "toStrictEqual" | "deepEqual" | "deepStrictEqual" | "toMatchInlineSnapshot"
    );
    let bare = |subject: &str| -> String {
        let subject = subject.strip_prefix("Array.isArray(").unwrap_or(subject).replace(" as any", "");
        subject.chars().filter(|c| !matches!(c, '(' | ')' | '!')).collect()
    };
    let (part, whole) = (bare(&was.subject), bare(&now.subject));
    let rest = part.strip_prefix(whole.as_str()).unwrap_or_default();
    is_exact && now.is_literal && !now.args.is_empty() && !whole.is_empty() && rest.starts_with(['.', '[', '?'])
}

/// Whether `now` says how long a list is, and `was` that there is nothing behind its end.
fn counts_out(now: &Assertion, was: &Assertion) -> bool {
    let list = match plain_matcher(now) {
        "toHaveLength" => Some(now.subject.as_str()),
        "toBe" | "toEqual" | "toStrictEqual" | "equal" | "strictEqual" => now.subject.strip_suffix(".length"),
        _ => None,
    };
    let place = list.and_then(|list| was.subject.strip_prefix(list)?.strip_prefix('[')?.strip_suffix(']'));
    let (Some(place), Ok(length)) = (place, now.args.parse::<usize>()) else { return false };
    matches!(plain_matcher(was), "toBeFalsy" | "toBeUndefined")
        && place.parse().is_ok_and(|place: usize| place >= length)
}

/// Whether there was nothing, and now there is a value that is told apart from others: the code does something else.
fn has_come(was: &Assertion, now: &Assertion) -> bool {
    was.subject == now.subject
        && matches!(plain_matcher(was), "toBeUndefined" | "toBeNull")
        && matches!(plain_matcher(now), "toMatch" | "toContain" | "toContainEqual" | "toMatchObject")
        && now.is_literal
        && !matches!(now.args.as_str(), "" | "''" | "\"\"" | "{}" | "[]")
        && !now.args.starts_with('/')
}

/// The live assertions that only one side has.
fn differing<'t>(old: &'t Test, new: &'t Test) -> (Vec<&'t Assertion>, Vec<&'t Assertion>) {
    let mut removed: Vec<&Assertion> = Vec::new();
    let mut added: Vec<&Assertion> = new.live().collect();
    for was in old.live() {
        let same = |now: &&&Assertion| now.subject == was.subject && now.matcher == was.matcher && now.args == was.args;
        match added.iter().find(same).map(|now| std::ptr::from_ref::<Assertion>(*now)) {
            Some(found) => added.retain(|now| !std::ptr::eq(*now, found)),
            None => removed.push(was),
        }
    }
    (removed, added)
}

/// The new assertion that stands where an old one stood.
fn partner(was: &Assertion, added: &[&Assertion]) -> Option<usize> {
    let exact = |now: &&Assertion| now.subject == was.subject && now.matcher == was.matcher;
    let of_subject = |now: &&Assertion| now.subject == was.subject;
    let wrapped = |now: &&Assertion| {
        was.subject.len() > 2 && now.subject.contains(&was.subject) && wraps(&now.subject, &was.subject)
    };
    added
        .iter()
        .position(exact)
        .or_else(|| added.iter().position(of_subject))
        .or_else(|| added.iter().position(wrapped))
}

/// `!!x`, `Boolean(x)`, `typeof x`, `x !== undefined`, `x.length > 0`.
fn wraps(now: &str, was: &str) -> bool {
    let rest = now.replacen(was, "", 1);
    let rest = rest.trim();
    matches!(rest, "!!" | "Boolean()" | "typeof" | "!!()" | "Array.isArray()" | "Object.keys()" | "String()" | "?")
        || rest.starts_with("!==")
        || rest.starts_with("!=")
        || rest.starts_with("===")
        || rest.starts_with(">")
        || rest.starts_with("||")
}

fn changed(
    path: &RelPath,
    was: &Assertion,
    now: &Assertion,
    gone: &Gone,
    changes_code: bool,
    say: &mut dyn FnMut(&RelPath, Found),
) {
    // A snapshot leaves out no more than an equal value that is written out.
    let held = weakness(was).max(u32::from(plain_matcher(was) == "toMatchInlineSnapshot"));
    let is_weaker = weakness(now) > held || was.subject != now.subject && wraps(&now.subject, &was.subject);
    let has_come = has_come(was, now);
    if !has_come && (is_weaker || is_looser(was, now) || is_turned(was, now)) {
        if !gone.is_in(&was.subject) {
            let message = format!("`{}` became `{}`", shown(was), shown(now));
            say(path, Found::new("assertion-weakened", now.line, message));
        }
        return;
    }
    let is_other =
        was.subject == now.subject && was.matcher == now.matcher && was.is_literal && now.is_literal || has_come;
    if is_other && changes_code {
        let message = format!("`{}` became `{}`", shown(was), shown(now));
        say(path, Found::new("expected-changed", now.line, message));
    }
}

/// How much passes an assertion: 0 for one value.
fn weakness(assertion: &Assertion) -> u32 {
    let matcher = assertion.matcher.as_str();
    let (is_negated, name) = match matcher.strip_prefix("not.") {
        Some(name) => (true, name),
        None => (false, matcher),
    };
    let name = name.trim_start_matches("resolves.").trim_start_matches("rejects.");
    let name = name.rsplit('.').next().unwrap_or(name);
    let has_args = !assertion.args.is_empty();
    let base = match name {
        "toBeTruthy" | "toBeFalsy" | "toBeDefined" | "ok" | "exist" | "exists" | "truthy" | "falsy" | "assert"
        | "isOk" | "isDefined" | "notOk" => 4,
        "toHaveBeenCalled" | "toBeCalled" | "called" | "toThrow" | "toThrowError" | "throw" | "throws" | "rejects"
            if !has_args =>
        {
            3
        }
        "toBeGreaterThan"
        | "toBeGreaterThanOrEqual"
        | "toBeLessThan"
        | "toBeLessThanOrEqual"
        | "above"
        | "below"
        | "least"
        | "most"
        | "isAbove"
        | "isBelow"
        | "toBeTypeOf"
        | "a"
        | "an"
        | "toBeInstanceOf"
        | "instanceOf" => 3,
        "toMatchObject" | "toContain" | "toContainEqual" | "toMatch" | "include" | "includes" | "match" | "contain"
        | "toHaveProperty" | "property" | "contains" | "like" => 2,
        "toBeCloseTo" | "closeTo" | "approximately" => 1,
        _ => 0,
    };
    let open = [
        "expect.anything()",
        "expect.any(",
        "expect.objectContaining",
        "expect.stringMatching",
        "expect.stringContaining",
        "expect.arrayContaining",
    ];
    let holes: usize = open.iter().map(|word| assertion.args.matches(word).count()).sum();
    let negated = match (is_negated, base) {
        // `not.toBe(x)`: anything but x.
        (true, 0..=1) => 4,
        (true, 2) => 3,
        _ => base,
    };
    // `toEqual` lets `undefined` properties pass that `toStrictEqual` does not.
    let loose = u32::from(matches!(name, "toEqual" | "deepEqual" | "equal" | "eql"));
    negated * 10 + loose + 5 * u32::try_from(holes).unwrap_or(1).min(4)
}

/// Whether few values pass it.
fn is_exact(assertion: &Assertion) -> bool {
    weakness(assertion) < 30 && !assertion.args.starts_with("expect.any")
}

/// The same matcher with a limit that more values keep.
fn is_looser(was: &Assertion, now: &Assertion) -> bool {
    if was.matcher != now.matcher || was.subject != now.subject {
        return false;
    }
    let number = |text: &str| text.trim().replace('_', "").parse::<f64>().ok();
    let name = was.matcher.rsplit('.').next().unwrap_or_default();
    match name {
        "toBeLessThan" | "toBeLessThanOrEqual" | "below" | "most" | "isBelow" => {
            matches!((number(&was.args), number(&now.args)), (Some(was), Some(now)) if now > was)
        }
        "toBeGreaterThan" | "toBeGreaterThanOrEqual" | "above" | "least" | "isAbove" => {
            matches!((number(&was.args), number(&now.args)), (Some(was), Some(now)) if now < was)
        }
        "toBeCloseTo" => digits(&now.args) < digits(&was.args),
        "closeTo" | "approximately" => tolerance(&now.args) > tolerance(&was.args),
        "assertions" => matches!((number(&was.args), number(&now.args)), (Some(was), Some(now)) if now < was),
        "toThrow" | "toThrowError" | "throws" | "rejects" | "toMatch" | "match" => {
            !was.args.is_empty()
                && (now.args.is_empty()
                    || matches!(now.args.as_str(), "/.*/" | "/./" | "/.+/" | "''" | "\"\"" | "Error"))
        }
        _ => false,
    }
}

/// Digits that `toBeCloseTo` compares; 2 when it does not say.
fn digits(args: &str) -> i64 {
    args.rsplit_once(',').and_then(|(_, digits)| digits.trim().parse().ok()).unwrap_or(2)
}

fn tolerance(args: &str) -> f64 {
    args.rsplit_once(',').and_then(|(_, tolerance)| tolerance.trim().parse().ok()).unwrap_or_default()
}

/// `toBe(x)` became `not.toBe(x)`.
fn is_turned(was: &Assertion, now: &Assertion) -> bool {
    was.subject == now.subject && was.args == now.args && {
        now.matcher.strip_prefix("not.") == Some(was.matcher.as_str())
    }
}

/// Tests that are gone although what they test is not.
fn losses(
    pairs: &[Pair<'_>],
    lost: &[Placed<'_>],
    born: &[Placed<'_>],
    gone: &Gone,
    say: &mut dyn FnMut(&RelPath, Found),
) {
    let counts = |test: &Test| !test.is_group && test.live().count() > 0 && test.mode != Mode::Skipped;
    for pair in pairs {
        let here: Vec<&Placed<'_>> =
            lost.iter().filter(|placed| placed.path == &pair.file.path && counts(placed.test)).collect();
        let unexplained: Vec<&Placed<'_>> = here
            .iter()
            .copied()
            .filter(|placed| !gone.is_in(&placed.test.body) && !gone.is_in(&placed.test.title))
            .collect();
        let Some(first) = unexplained.first() else { continue };
        // Tests that were written anew are there in another form: where there were exact assertions, exact ones count.
        let exact = unexplained.iter().any(|placed| placed.test.live().any(is_exact));
        let said = |test: &Test| test.live().filter(|assertion| !exact || is_exact(assertion)).count();
        let fresh = born.iter().filter(|placed| counts(placed.test)).map(|placed| said(placed.test)).sum::<usize>();
        let missed = unexplained.iter().map(|placed| said(placed.test)).sum::<usize>();
        let born_here = born.iter().filter(|placed| counts(placed.test)).count();
        let is_rewritten = born_here >= unexplained.len() && fresh * 2 >= missed;
        if fresh >= missed || is_rewritten {
            continue;
        }
        if pair.file.after.is_none() {
            let message = format!("{} tests are deleted with the file", here.len());
            let found = Found::of_file("test-file-deleted", message);
            say(&pair.file.path, Found { is_soft: gone.is_less, ..found });
            continue;
        }
        let more = unexplained.len() - 1;
        let others = if more > 0 { format!(" and {more} more") } else { String::new() };
        let message = format!("`{}`{others} is deleted", last(&first.test.title));
        // Code went in the same change, and nobody can say which test was its own.
        say(&pair.file.path, Found { is_soft: gone.is_less, ..Found::of_file("test-deleted", message) });
    }
}

/// `vi.mock('./unit')` in `unit.test.ts`.
fn mocks(pair: &Pair<'_>, say: &mut dyn FnMut(&RelPath, Found)) {
    let path = pair.file.path.as_str();
    let name = path.rsplit('/').next().unwrap_or(path);
    let Some(unit) = [".test.", ".spec.", "_test."].iter().find_map(|mark| name.split_once(mark)).map(|(unit, _)| unit)
    else {
        return;
    };
    for (module, in_part, line) in &pair.after.mocks {
        let is_new = !pair.before.mocks.iter().any(|(known, ..)| known == module);
        let stem = module.rsplit('/').next().unwrap_or(module);
        let stem = stem.split_once(".js").or_else(|| stem.split_once(".ts")).map_or(stem, |(stem, _)| stem);
        if is_new && !in_part && module.starts_with('.') && stem == unit {
            say(&pair.file.path, Found::new("mock-of-unit", *line, format!("`{module}` is what this file tests")));
        }
    }
}
