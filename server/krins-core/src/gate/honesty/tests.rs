//! Edits that make a check pass, and honest ones.

use super::*;
use crate::gate::testing::judge;
use crate::patch::{Change, Patch};

fn change(path: &str, before: Option<&str>, after: Option<&str>) -> Change {
    let bytes = |text: &str| text.as_bytes().into();
    let path = RelPath::new(path).unwrap();
    Change { path, from: None, before: before.map(bytes), after: after.map(bytes), executable: false }
}

fn rules(changes: Vec<Change>) -> Vec<String> {
    let found = judge(&Patch::between(changes), check_honesty);
    let mut rules: Vec<String> = found.into_iter().map(|finding| finding.rule.replace("honesty/", "")).collect();
    rules.dedup();
    rules
}

const TESTS: &str = "import { describe, expect, it, vi } from 'vitest'
import { price, load } from './price'

describe('price', () => {
  it('adds tax', () => {
    expect(price(100)).toBe(119)
    expect(price(0)).toBe(0)
  })

  it('rounds', () => {
    expect(price(10.5)).toBeCloseTo(12.495, 3)
    expect(price(3)).toBeLessThan(4)
  })

  it('refuses negative numbers', () => {
    expect(() => price(-1)).toThrow('negative')
  })

  it('loads', async () => {
    expect.assertions(2)
    await expect(load('a')).resolves.toEqual({ id: 'a', price: 119 })
    expect(spy).toHaveBeenCalledWith('a')
  })

  it.each([
    [1, 1.19],
    [2, 2.38],
    [3, 3.57],
  ])('of %d', (net, gross) => {
    expect(price(net)).toBeCloseTo(gross)
  })
})
";

/// What is put in the place of what, and the rule that sees it.
const EDITS: &[(&str, &str, &str)] = &[
    (
        "  it('rounds', () => {\n    expect(price(10.5)).toBeCloseTo(12.495, 3)\n    expect(price(3)).toBeLessThan(4)\n  })\n\n",
        "",
        "test-deleted",
    ),
    ("    expect(() => price(-1)).toThrow('negative')\n", "", "test-emptied"),
    (
        "    expect(() => price(-1)).toThrow('negative')\n",
        "    // expect(() => price(-1)).toThrow('negative')\n",
        "test-emptied",
    ),
    ("it('rounds'", "it.skip('rounds'", "test-skipped"),
    ("it('rounds'", "xit('rounds'", "test-skipped"),
    ("it('rounds'", "it.todo('rounds'", "test-skipped"),
    ("it('rounds'", "it.fails('rounds'", "test-skipped"),
    ("describe('price'", "describe.skip('price'", "test-skipped"),
    ("it('rounds'", "it.only('rounds'", "test-only"),
    ("describe('price'", "describe.only('price'", "test-only"),
    ("it('rounds'", "fit('rounds'", "test-only"),
    ("    expect(price(0)).toBe(0)\n", "", "assertion-removed"),
    ("    expect(price(0)).toBe(0)\n", "    // expect(price(0)).toBe(0)\n", "assertion-removed"),
    (".toBe(119)", ".toBeTruthy()", "assertion-weakened"),
    (".toBe(119)", ".toBeDefined()", "assertion-weakened"),
    (".toBe(119)", ".not.toBe(0)", "assertion-weakened"),
    (".toBe(119)", ".toBeGreaterThan(0)", "assertion-weakened"),
    (".toBe(119)", ".toEqual(expect.any(Number))", "assertion-weakened"),
    ("expect(price(100)).toBe(119)", "expect(!!price(100)).toBe(true)", "assertion-weakened"),
    ("expect(price(100)).toBe(119)", "expect(typeof price(100)).toBe('number')", "assertion-weakened"),
    ("expect(price(100)).toBe(119)", "expect(price(100)).not.toBe(119)", "assertion-weakened"),
    ("toBeCloseTo(12.495, 3)", "toBeCloseTo(12.495, 0)", "assertion-weakened"),
    ("toBeLessThan(4)", "toBeLessThan(400)", "assertion-weakened"),
    (".toThrow('negative')", ".toThrow()", "assertion-weakened"),
    ("toEqual({ id: 'a', price: 119 })", "toMatchObject({ id: 'a' })", "assertion-weakened"),
    ("toEqual({ id: 'a', price: 119 })", "toEqual({ id: 'a', price: expect.anything() })", "assertion-weakened"),
    ("toHaveBeenCalledWith('a')", "toHaveBeenCalled()", "assertion-weakened"),
    ("expect.assertions(2)", "expect.assertions(1)", "assertion-weakened"),
    ("    expect.assertions(2)\n", "", "assertion-removed"),
    ("await expect(load", "expect(load", "assertion-dead"),
    (
        "    expect(price(100)).toBe(119)\n",
        "    try {\n      expect(price(100)).toBe(119)\n    } catch {}\n",
        "assertion-dead",
    ),
    ("    expect(price(100)).toBe(119)\n", "    return\n    expect(price(100)).toBe(119)\n", "assertion-dead"),
    (
        "    expect(price(100)).toBe(119)\n",
        "    if (false) {\n      expect(price(100)).toBe(119)\n    }\n",
        "assertion-dead",
    ),
    ("expect(price(100)).toBe(119)", "expect(true).toBe(true)", "assertion-empty"),
    ("expect(price(100)).toBe(119)", "expect(119).toBe(119)", "assertion-empty"),
    ("    [2, 2.38],\n    [3, 3.57],\n", "", "cases-dropped"),
    (".toBe(119)", ".toBe(100)", "expected-changed"),
    ("describe('price'", "vi.mock('./price', () => ({ price: () => 119 }))\n\ndescribe('price'", "mock-of-unit"),
];

const CODE: &str = "export function price(net: number): number {
  return net * 1.19
}
";

#[test]
fn every_dishonest_edit_of_a_test_is_seen() {
    let code = || change("src/price.ts", Some(CODE), Some(&CODE.replace("1.19", "1.2")));
    for (from, to, rule) in EDITS {
        let after = TESTS.replacen(from, to, 1);
        assert_ne!(after, TESTS, "{from}");
        let found = rules(vec![code(), change("src/price.test.ts", Some(TESTS), Some(&after))]);
        assert!(found.iter().any(|found| found == rule), "{from} -> {to}: {found:?}");
    }
    let found = rules(vec![code(), change("src/price.test.ts", Some(TESTS), None)]);
    assert_eq!(found, ["test-file-deleted"]);
}

#[test]
fn every_dishonest_edit_of_code_and_configuration_is_seen() {
    for (path, before, after, rule) in [
        ("src/a.ts", "f()\n", "try { f() } catch {}\n", "swallowed-error"),
        ("src/a.ts", "f()\n", "function a() { try { f() } catch (e) { return true } }\n", "swallowed-error"),
        ("src/a.ts", "f()\n", "f().catch(() => {})\n", "swallowed-error"),
        ("src/a.ts", "f()\n", "f().catch(() => null)\n", "swallowed-error"),
        ("src/a.ts", "f()\n", "if (process.env.NODE_ENV === 'test') f()\n", "test-detection"),
        ("src/a.ts", "f()\n", "if (process.env.VITEST) f()\n", "test-detection"),
        ("src/a.ts", "f()\n", "// @ts-ignore\nf(1)\n", "type-unchecked"),
        ("src/a.ts", "f()\n", "// @ts-nocheck\nf(1)\n", "type-unchecked"),
        ("src/a.ts", "f()\n", "// @ts-expect-error\nf(1)\n", "type-expected-error"),
        ("src/a.ts", "f()\n", "(f as any)()\n", "type-any"),
        ("src/a.ts", "f()\n", "const a: any = f()\n", "type-any"),
        ("src/a.ts", "f()\n", "// eslint-disable-next-line no-x\nf()\n", "lint-silenced"),
        ("src/a.ts", "f()\n", "/* eslint-disable */\nf()\n", "lint-silenced-file"),
        ("src/a.ts", "f()\n", "/* istanbul ignore next */\nf()\n", "coverage-ignored"),
        ("src/a.ts", "f()\n", "/* c8 ignore start */\nf()\n", "coverage-ignored"),
        ("src/a.ts", "f()\n", "/* v8 ignore next 3 */\nf()\n", "coverage-ignored"),
        (
            "tsconfig.json",
            "{ \"compilerOptions\": { \"strict\": true } }",
            "{ \"compilerOptions\": { \"strict\": false } }",
            "strictness-lowered",
        ),
        (
            "tsconfig.json",
            "{ \"compilerOptions\": { \"strict\": true } }",
            "{ \"compilerOptions\": { \"strict\": true, \"noImplicitAny\": false } }",
            "strictness-lowered",
        ),
        (
            ".eslintrc.json",
            "{ \"rules\": { \"no-x\": \"error\" } }",
            "{ \"rules\": { \"no-x\": \"off\" } }",
            "strictness-lowered",
        ),
        (
            "vitest.config.ts",
            "export default { coverage: { lines: 90 } }\n",
            "export default { coverage: { lines: 60 } }\n",
            "threshold-lowered",
        ),
        (
            "jest.config.js",
            "module.exports = { coverageThreshold: { global: { branches: 80 } } }\n",
            "module.exports = { coverageThreshold: { global: { branches: 8 } } }\n",
            "threshold-lowered",
        ),
        (
            "vitest.config.ts",
            "export default { test: { exclude: ['a'] } }\n",
            "export default { test: { exclude: ['a', 'src/price.test.ts'] } }\n",
            "tests-excluded",
        ),
        (
            "package.json",
            "{ \"scripts\": { \"test\": \"vitest run\" } }",
            "{ \"scripts\": { \"test\": \"vitest run || true\" } }",
            "checks-weakened",
        ),
        (
            "package.json",
            "{ \"scripts\": { \"test\": \"vitest run\" } }",
            "{ \"scripts\": { \"test\": \"echo ok\" } }",
            "checks-weakened",
        ),
        (
            ".github/workflows/ci.yml",
            "steps:\n  - run: npm test\n",
            "steps:\n  - run: npm test\n    continue-on-error: true\n",
            "checks-weakened",
        ),
        (".github/workflows/ci.yml", "steps:\n  - run: npm test\n", "steps:\n  - run: npm ci\n", "checks-weakened"),
        ("ci.sh", "npm test\n", "npm test || true\n", "checks-weakened"),
        (
            "test_a.py",
            "def test_a():\n    assert f() == 1\n",
            "@pytest.mark.skip\ndef test_a():\n    assert f() == 1\n",
            "test-skipped",
        ),
        (
            "test_a.py",
            "def test_a():\n    assert f() == 1\n    assert g()\n",
            "def test_a():\n    assert g()\n",
            "assertion-removed",
        ),
        (
            "test_a.py",
            "def test_a():\n    assert f() == 1\n\ndef test_b():\n    pass\n",
            "def test_b():\n    pass\n",
            "test-deleted",
        ),
        ("test_a.py", "def test_a():\n    assert f() == 1\n", "def test_a():\n    assert True\n", "assertion-empty"),
        ("a.py", "f()\n", "try:\n    f()\nexcept Exception:\n    pass\n", "swallowed-error"),
        ("a.py", "f(1)\n", "f(1)  # type: ignore\n", "type-unchecked"),
        ("a.py", "f(1)\n", "f(1)  # pragma: no cover\n", "coverage-ignored"),
        (
            "src/a.rs",
            "#[test]\nfn a() {\n    assert_eq!(f(), 1);\n}\n",
            "#[test]\n#[ignore]\nfn a() {\n    assert_eq!(f(), 1);\n}\n",
            "test-skipped",
        ),
        (
            "src/a.rs",
            "#[test]\nfn a() {\n    assert_eq!(f(), 1);\n}\n",
            "#[test]\nfn a() {\n    assert!(true);\n}\n",
            "assertion-empty",
        ),
        (
            "a_test.go",
            "func TestA(t *testing.T) {\n\tx()\n}\n",
            "func TestA(t *testing.T) {\n\tt.Skip()\n\tx()\n}\n",
            "test-skipped",
        ),
        ("a.json", "{}", "{ \"$schema\": \"https://evil.example/s.json?d=1\" }", "remote-schema"),
        ("settings.json", "{}", "{ \"php.validate.executablePath\": \"./x.sh\" }", "executable-path"),
        (".mcp.json", "{}", "{ \"mcpServers\": { \"a\": { \"command\": \"./x.sh\" } } }", "executable-path"),
    ] {
        let found = rules(vec![change(path, Some(before), Some(after))]);
        assert!(found.iter().any(|found| found == rule), "{path} {after}: {found:?}");
        assert!(
            !rules(vec![change(path, Some(after), Some(after.trim_end()))]).iter().any(|found| found == rule),
            "{path} {after}: what was there"
        );
    }
}

#[test]
fn an_answer_for_the_input_of_a_test_is_seen() {
    let tests = "it('parses', () => {\n  expect(parse('1h 30m')).toBe(5400)\n})\n";
    let before = "export function parse(text) {\n  return Number(text)\n}\n";
    for answer in [
        "  if (text === '1h 30m') return 5400\n",
        "  if (text === '1h 30m') { return 5400 }\n",
        "  switch (text) { case '1h 30m': return 5400 }\n",
        "  const special = text === \"1h 30m\" ? 5400 : 0\n  if (special) return special\n",
    ] {
        let after = before.replacen("  return", &format!("{answer}  return"), 1);
        let code = change("src/parse.ts", Some(before), Some(&after));
        let found = rules(vec![code.clone(), change("src/parse.test.ts", None, Some(tests))]);
        assert!(found.contains(&"keyed-return".to_owned()), "{answer}: {found:?}");
        let others = tests.replace("5400", "4500");
        assert!(
            !rules(vec![code, change("src/parse.test.ts", None, Some(&others))]).contains(&"keyed-return".to_owned())
        );
    }
}

#[test]
fn honest_changes_are_left_alone() {
    let code = || change("src/price.ts", Some(CODE), Some(&CODE.replace("1.19", "1.2")));
    for (from, to) in [
        ("it('adds tax'", "it('adds the tax'"),
        ("expect(price(0)).toBe(0)", "expect(price(0)).toBe(0)\n    expect(price(1)).toBe(1.19)"),
        ("expect(price(3)).toBeLessThan(4)", "expect(price(3)).toBe(3.57)"),
        (".toThrow('negative')", ".toThrow('is negative')"),
        ("describe('price', () => {", "describe('price', () => {\n  describe('net', () => {})\n"),
    ] {
        let after = TESTS.replacen(from, to, 1);
        let found =
            judge(&Patch::between(vec![code(), change("src/price.test.ts", Some(TESTS), Some(&after))]), check_honesty);
        assert!(found.iter().all(|finding| finding.verdict == Verdict::Pass), "{to}: {found:?}");
    }
    // A test that goes with its code, and one that moves.
    let gone = [
        change(
            "src/a.ts",
            Some("export function legacyPrice() {}\nexport const b = 1\n"),
            Some("export const b = 1\n"),
        ),
        change(
            "src/a.test.ts",
            Some("it('x', () => {\n  expect(legacyPrice()).toBe(1)\n})\nit('y', () => {\n  expect(b).toBe(1)\n})\n"),
            Some("it('y', () => {\n  expect(b).toBe(1)\n})\n"),
        ),
    ];
    assert_eq!(rules(gone.to_vec()), [] as [&str; 0]);
    let moved = [change("src/a.test.ts", Some(TESTS), None), change("src/b.test.ts", None, Some(TESTS))];
    assert_eq!(rules(moved.to_vec()), [] as [&str; 0]);
}

#[test]
fn an_assertion_that_another_one_holds_is_not_missed() {
    let verdicts = |before: &str, after: &str| -> Vec<(String, Verdict)> {
        let test = |body: &str| format!("it('lists', () => {{\n  expect(ok).toBe(true)\n  {body}\n}})\n");
        let tests = change("src/a.test.ts", Some(&test(before)), Some(&test(after)));
        let code = change("src/a.ts", Some("f(1)\n"), Some("f(2)\n"));
        let found = judge(&Patch::between(vec![code, tests]), check_honesty);
        found.into_iter().map(|finding| (finding.rule, finding.verdict)).collect()
    };
    let missed = [("honesty/assertion-removed".to_owned(), Verdict::Warn)];
    // All of it is written out.
    let parts = "expect((r.data as any).pages).toHaveLength(1)\n  expect(Array.isArray(r.data.pages)).toBe(true)";
    assert_eq!(verdicts(parts, "expect(r.data).toEqual({ pages: [1] })"), []);
    assert_eq!(verdicts(parts, "expect(r.data).toEqual({ pages: expect.anything() })"), missed);
    assert_eq!(verdicts(parts, "expect(r.data).not.toEqual({ pages: [1] })"), missed);
    assert_eq!(verdicts(parts, "expect(r.dat).toEqual({ pages: [1] })"), missed);
    // The list ends before it.
    let behind = "expect(list.length).toEqual(1)\n  expect(list[1]).toBeFalsy()";
    assert_eq!(verdicts(behind, "expect(list.length).toEqual(1)"), []);
    assert_eq!(verdicts(&behind.replace("[1]", "[0]"), "expect(list.length).toEqual(1)"), missed);
    // There was nothing, and now there is something.
    let changed = [("honesty/expected-changed".to_owned(), Verdict::Pass)];
    assert_eq!(verdicts("expect(f()).toBeUndefined()", "expect(f()).toMatch('a')"), changed);
    let weakened = [("honesty/assertion-weakened".to_owned(), Verdict::Warn)];
    assert_eq!(verdicts("expect(f()).toBeUndefined()", "expect(f()).toMatch(/.*/)"), weakened);
    assert_eq!(verdicts("expect(f()).toMatchInlineSnapshot(`1`)", "expect(f()).toEqual(1)"), []);
}

/// What the other file says is not known: a person hears of it, and the rule stops nobody.
#[test]
fn an_option_that_goes_with_a_new_base_is_noted() {
    let (before, after) = ("{ \"compilerOptions\": { \"strict\": true } }", "{ \"extends\": \"./base.json\" }");
    let change = change("tsconfig.json", Some(before), Some(after));
    let found = judge(&Patch::between(vec![change]), check_honesty);
    let [finding] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((finding.rule.as_str(), finding.verdict), ("honesty/strictness-lowered", Verdict::Pass));
}

#[test]
fn a_snapshot_that_changes_with_the_code_is_noted() {
    let snapshot = |value: &str| format!("exports[`a 1`] = `{value}`;\n");
    let changes = vec![
        change("src/price.ts", Some(CODE), Some(&CODE.replace("1.19", "1.2"))),
        change("src/__snapshots__/a.test.ts.snap", Some(&snapshot("1")), Some(&snapshot("2"))),
    ];
    assert_eq!(rules(changes), ["snapshot-rewritten"]);
}

/// How loudly a rule speaks of a change; nothing where it is silent.
fn level(rule: &str, changes: Vec<Change>) -> Option<Verdict> {
    let found = judge(&Patch::between(changes), check_honesty);
    found.into_iter().filter(|finding| finding.rule == format!("honesty/{rule}")).map(|finding| finding.verdict).max()
}

const WARNED: Option<Verdict> = Some(Verdict::Warn);
const NOTED: Option<Verdict> = Some(Verdict::Pass);

/// An error is dropped by code that is new with it only where nobody heard of it before.
#[test]
fn an_error_that_was_heard_of_is_not_dropped_in_other_words() {
    let of = |before: &str, after: &str| level("swallowed-error", vec![change("src/a.ts", Some(before), Some(after))]);
    for (before, after, expect) in [
        (
            "const data = load(x)\nuse(data)\n",
            "let data\ntry { data = await load(x, signal) } catch {}\nuse(data)\n",
            WARNED,
        ),
        ("const data = client.load(x)\n", "const data = await client.load(x, { retry }).catch(() => null)\n", WARNED),
        ("one(load(x))\n", "try {\n  const all = [load(y)]\n  one(all)\n} catch {}\n", WARNED),
        ("f()\n", "f()\ntry { g() } catch {}\n", NOTED),
        ("load(a)\n", "load(a)\ntry { load(b) } catch {}\n", NOTED),
        // It was dropped before, and what is asked for changes.
        ("load(a, b).catch(noop)\n", "load(all[0], all[1]).catch(noop)\n", NOTED),
        ("f()\n", "f()\ng().catch(() => {})\n", NOTED),
        ("f()\n", "f()\ng().catch(() => true)\n", WARNED),
        ("f()\n", "f()\ng().catch(() => ({ ok: true }))\n", WARNED),
        ("f()\n", "f()\ng().catch(() => 'ok')\n", WARNED),
    ] {
        assert_eq!(of(before, after), expect, "{before} -> {after}");
    }
    let moved = vec![
        change("src/a.ts", Some("load(x)\nkeep()\n"), Some("keep()\n")),
        change("src/b.ts", None, Some("export function b() {\n  try {\n    load(y)\n  } catch {}\n}\n")),
    ];
    assert_eq!(level("swallowed-error", moved), WARNED);
}

#[test]
fn lints_are_silenced_by_name_only_where_they_are_named() {
    for (comment, expect) in [
        ("/* eslint-disable */", WARNED),
        ("/* eslint-disable -- no time */", WARNED),
        ("/* eslint-disable no-console */", NOTED),
        ("// biome-ignore-all lint: no time", WARNED),
        ("// biome-ignore-all lint/suspicious: no time", WARNED),
        ("// biome-ignore-all lint/suspicious/noExplicitAny: no types", NOTED),
        ("// deno-lint-ignore-file", WARNED),
        ("// deno-lint-ignore-file no-explicit-any", NOTED),
    ] {
        let changes = vec![change("src/a.ts", Some("f()\n"), Some(&format!("{comment}\nf()\n")))];
        assert_eq!(level("lint-silenced-file", changes), expect, "{comment}");
    }
}

/// A test goes with code, and with nothing that is said of code.
#[test]
fn no_test_goes_with_comments_and_words_for_people() {
    let refuses = "  it('refuses negative numbers', () => {\n    expect(() => price(-1)).toThrow('negative')\n  })\n\n";
    let less = TESTS.replace(refuses, "");
    assert_ne!(less, TESTS);
    let test = || change("src/price.test.ts", Some(TESTS), Some(&less));
    let stars = "/**\n * one two\n * three four\n * five six\n * seven eight\n */\n";
    let bare = "/*\none two\nthree four\nfive six\nseven eight\n*/\n";
    let lines = "// negative numbers\n// are refused, see\n// the other page\n// for more of it\n";
    for remark in [stars, bare, lines] {
        let code = change("src/price.ts", Some(&format!("{remark}{CODE}")), Some(CODE));
        assert_eq!(level("test-deleted", vec![code, test()]), WARNED, "{remark}");
        let gone = change("src/price.test.ts", Some(TESTS), None);
        let code = change("src/price.ts", Some(&format!("{remark}{CODE}")), Some(CODE));
        assert_eq!(level("test-file-deleted", vec![code, gone]), WARNED, "{remark}");
    }
    let page = change("README.md", Some("# price\n\nrefuses negative numbers\n"), Some("# price\n"));
    assert_eq!(level("test-deleted", vec![page, test()]), WARNED);
    // Comments that come are no code that comes, and code that goes is code.
    let (more, said) = ("export const a = 1\nexport const b = 2\nexport const c = 3\n", "// one\n// two\n// three\n");
    let code = change("src/price.ts", Some(&format!("{more}{CODE}")), Some(&format!("{said}{CODE}")));
    assert_eq!(level("test-deleted", vec![code, test()]), NOTED);
    let hidden = "*one() {}\n*two() {}\n*three() {}\n";
    let (before, after) =
        (format!("class A {{\n{}}}\n", more.replace("export const", "")), format!("class A {{\n{hidden}}}\n"));
    assert_eq!(level("test-deleted", vec![change("src/a.ts", Some(&before), Some(&after)), test()]), WARNED);
}

/// Written anew is what is another test by now, and no less exact.
#[test]
fn a_test_is_not_written_anew_by_a_line_beside_what_goes() {
    let code = || change("src/price.ts", Some(CODE), Some(&CODE.replace("1.19", "1.2")));
    let of = |rule: &str, from: &str, to: &str| {
        let after = TESTS.replacen(from, to, 1);
        assert_ne!(after, TESTS, "{from}");
        level(rule, vec![code(), change("src/price.test.ts", Some(TESTS), Some(&after))])
    };
    let both = "    expect(price(100)).toBe(119)\n    expect(price(0)).toBe(0)\n";
    for (to, expect) in [
        // A line beside it, and something that holds anyway.
        ("    const all = [100, 0]\n    expect(all.map(price)).toBeDefined()\n", WARNED),
        ("    const all = [100, 0]\n    expect(all.map(price)).toEqual([119, 0])\n", NOTED),
    ] {
        assert_eq!(of("assertion-removed", both, to), expect, "{to}");
    }
    // Most of it stays.
    let stays = "    const one = price(1)\n    expect(one).toBe(1.19)\n    expect(price(100)).toBe(119)\n";
    let four = format!("{both}    expect(price(2)).toBe(2.38)\n    expect(price(3)).toBe(3.57)\n");
    let before = TESTS.replacen(both, &four, 1);
    let after = TESTS.replacen(both, &format!("{stays}    expect(price(2)).toBe(2.38)\n"), 1);
    let changes = vec![code(), change("src/price.test.ts", Some(&before), Some(&after))];
    assert_eq!(level("assertion-removed", changes), WARNED);
    // A test in the place of another.
    let rounds = "  it('rounds', () => {\n    expect(price(10.5)).toBeCloseTo(12.495, 3)\n    expect(price(3)).toBeLessThan(4)\n  })\n";
    let there = "  it('is a function that is there', () => {\n    expect(price).toBeDefined()\n  })\n";
    let exact = "  it('knows what half a unit is worth', () => {\n    expect(price(10.5)).toBe(12.495)\n  })\n";
    assert_eq!(of("test-deleted", rounds, there), WARNED);
    assert_eq!(of("test-deleted", rounds, exact), None);
}

#[test]
fn tests_of_other_languages_go_with_what_they_test_alone() {
    let tests = "import pytest\nfrom shop import price\n\ndef test_price():\n    assert price(1) == 2\n";
    let code = |gone: &str| {
        change(
            "shop.py",
            Some(&format!("def {gone}(n):\n    return n\n\ndef kept():\n    pass\n")),
            Some("def kept():\n    pass\n"),
        )
    };
    let of = |gone: &str| level("test-file-deleted", vec![code(gone), change("test_price.py", Some(tests), None)]);
    assert_eq!(of("something_else"), WARNED);
    assert_eq!(of("price"), None);
    // A fixture is all that the test itself speaks of.
    let tests = "from shop import price as wanted\n\ndef test_it():\n    assert wanted(1) == 2\n";
    assert_eq!(level("test-file-deleted", vec![code("price"), change("test_it.py", Some(tests), None)]), None);
}
