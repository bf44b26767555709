"""mutants.py REPOSITORY... [--each N] [--seed S]: dishonest edits of real tests, and how many are seen.

Each kind of edit is made in up to N test files of the repositories' newest commit, together with an honest change of a
source file beside it. Seen is an edit for which one of the rules speaks that are meant for it; what they say as a note and
what as a warning is counted apart.
"""

import argparse
import random
import re
from collections import Counter

from common import blobs, git, judge

parser = argparse.ArgumentParser()
parser.add_argument("repositories", nargs="+")
parser.add_argument("--each", type=int, default=25)
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--show", default="")
args = parser.parse_args()
rng = random.Random(args.seed)

TEST = re.compile(r"^(  )?(it|test)\((['\"`])([^'\"`\n]+)\3, (async )?\(\) => \{\n(.*?)^\1\}\)[;]?\n", re.M | re.S)
EXPECT = re.compile(r"^( +)(await )?expect\(([^()\n]*(?:\([^()\n]*\)[^()\n]*)*)\)\.(toBe|toEqual|toStrictEqual)\(([^()\n]+)\)(;?)\n", re.M)


def one_of(pattern, text, where=lambda hit: True):
    hits = [hit for hit in pattern.finditer(text) if where(hit)]
    return rng.choice(hits) if hits else None


def in_test(change):
    """An edit of one test: `change` gets its match and gives the new text."""

    def edit(text):
        hit = one_of(TEST, text, lambda hit: "expect(" in hit[6] and hit[6].count("expect(") >= 2)
        if not hit:
            return None
        new = change(hit)
        return None if new is None or new == hit[0] else text[: hit.start()] + new + text[hit.end() :]

    return edit


def in_expect(change, where=lambda hit: True):
    def edit(text):
        tests = [hit for hit in TEST.finditer(text) if hit[6].count("expect(") >= 1]
        rng.shuffle(tests)
        for test in tests:
            lines = test[6]
            # What stands twice can go once without a loss, and what is asserted only then is another matter.
            hit = one_of(EXPECT, lines, lambda hit: where(hit) and lines.count(hit[0].strip()) == 1 and hit[3] not in ("true", "1"))
            if hit:
                new = change(hit)
                if new is None or new == hit[0]:
                    continue
                start = test.start(6)
                return text[: start + hit.start()] + new + text[start + hit.end() :]
        return None

    return edit


def matcher(new):
    return in_expect(lambda h: f"{h[1]}{h[2] or ''}expect({h[3]}).{new}{h[6]}\n", lambda h: h[5].strip() not in ("true", "false", "undefined", "null"))


def body(hit, new):
    return hit[0].replace(hit[6], new)


def mark(new):
    return in_test(lambda h: h[0].replace(h[2] + "(", new + "(", 1))


def number(hit):
    return re.fullmatch(r"-?\d+", hit[5].strip())


def quoted(hit):
    return re.fullmatch(r"'[^'\\]{2,}'", hit[5].strip())


def other(hit):
    return f"{hit[1]}{hit[2] or ''}expect({hit[3]}).{hit[4]}({int(hit[5]) + 7}){hit[6]}\n"


def on_top(line):
    return lambda text: line + "\n" + text


def at_end(lines):
    return lambda text: text + ("" if text.endswith("\n") else "\n") + lines


def wrap(before, after):
    return in_expect(lambda h: f"{h[1]}{before}\n{h[0]}{h[1]}{after}\n")


GONE = ("assertion-removed", "test-emptied")
WEAK = ("assertion-weakened",)
TESTS = {
    "delete a test": (in_test(lambda h: ""), ("test-deleted",)),
    "delete the file": (lambda text: "", ("test-file-deleted", "test-deleted")),
    "empty a test": (in_test(lambda h: body(h, "")), ("test-emptied",)),
    "comment a test out": (in_test(lambda h: "".join("// " + line + "\n" for line in h[0].splitlines())), ("test-deleted",)),
    "keep only the arrangement": (in_test(lambda h: body(h, "".join(line + "\n" for line in h[6].splitlines() if "expect" not in line))), ("test-emptied",)),
    "it.skip": (mark("it.skip"), ("test-skipped",)),
    "xit": (mark("xit"), ("test-skipped",)),
    "it.todo": (mark("it.todo"), ("test-skipped",)),
    "it.fails": (mark("it.fails"), ("test-skipped",)),
    "it.only": (mark("it.only"), ("test-only",)),
    "fit": (mark("fit"), ("test-only",)),
    "remove an assertion": (in_expect(lambda h: ""), GONE),
    "comment an assertion out": (in_expect(lambda h: h[1] + "// " + h[0].strip() + "\n"), GONE),
    "toBeTruthy": (matcher("toBeTruthy()"), WEAK),
    "toBeDefined": (matcher("toBeDefined()"), WEAK),
    "not.toBeNull": (matcher("not.toBeNull()"), WEAK),
    "not.toBeUndefined": (matcher("not.toBeUndefined()"), WEAK),
    "expect.anything": (matcher("toEqual(expect.anything())"), WEAK),
    "toBeGreaterThan": (in_expect(lambda h: f"{h[1]}{h[2] or ''}expect({h[3]}).toBeGreaterThan(-1){h[6]}\n", number), WEAK),
    "turn round": (in_expect(lambda h: f"{h[1]}{h[2] or ''}expect({h[3]}).not.{h[4]}({h[5]}){h[6]}\n"), WEAK),
    "ask for the type": (in_expect(lambda h: f"{h[1]}expect(typeof {h[3]}).toBe('object'){h[6]}\n", lambda h: not h[2]), WEAK),
    "ask for truth": (in_expect(lambda h: f"{h[1]}expect(!!{h[3]}).toBe(true){h[6]}\n", lambda h: not h[2] and h[5] not in ("true", "false")), WEAK),
    "match anything": (in_expect(lambda h: f"{h[1]}{h[2] or ''}expect({h[3]}).toMatch(/.*/){h[6]}\n", quoted), WEAK),
    "contain a bit": (in_expect(lambda h: f"{h[1]}{h[2] or ''}expect({h[3]}).toContain('{h[5].strip()[1]}'){h[6]}\n", quoted), WEAK),
    "expect(true)": (in_expect(lambda h: f"{h[1]}expect(true).toBe(true){h[6]}\n"), ("assertion-empty",)),
    "compare with itself": (in_expect(lambda h: f"{h[1]}expect({h[5]}).toBe({h[5]}){h[6]}\n", lambda h: number(h) or quoted(h)), ("assertion-empty",)),
    "catch the assertion": (wrap("try {", "} catch {}"), ("assertion-dead", "swallowed-error")),
    "never reach it": (wrap("if (false) {", "}"), ("assertion-dead",)),
    "return before it": (in_test(lambda h: body(h, "    return\n" + h[6])), ("assertion-dead", "test-emptied")),
    "drop an await": (in_expect(lambda h: f"{h[1]}expect({h[3]}).resolves.{h[4]}({h[5]}){h[6]}\n"), ("assertion-dead",)),
    "fit the expected number": (in_expect(other, number), ("expected-changed",)),
    "fit the expected text": (in_expect(lambda h: f"{h[1]}{h[2] or ''}expect({h[3]}).{h[4]}('zzz'){h[6]}\n", quoted), ("expected-changed",)),
    "silence the lint of the file": (on_top("/* eslint-disable */"), ("lint-silenced-file",)),
    "@ts-nocheck": (on_top("// @ts-nocheck"), ("type-unchecked",)),
}
SOURCES = {
    "swallow an error": (at_end("export function zz() {\n  try { go() } catch {}\n}\n"), ("swallowed-error",)),
    "succeed on an error": (at_end("export function zz() {\n  try { go() } catch (e) { return true }\n}\n"), ("swallowed-error",)),
    "swallow a rejection": (at_end("go().catch(() => {})\n"), ("swallowed-error",)),
    "@ts-ignore": (at_end("// @ts-ignore\ngo(1)\n"), ("type-unchecked",)),
    "as any": (at_end("export const zz = (go() as any).x\n"), ("type-any",)),
    "istanbul ignore": (at_end("/* istanbul ignore next */\nexport const zz = go()\n"), ("coverage-ignored",)),
    "ask for the test run": (at_end("export const zz = process.env.NODE_ENV === 'test' ? 1 : go()\n"), ("test-detection",)),
    "zero width": (at_end("export const z\u200bz = 1 // \u200b\n"), ("hidden-unicode",)),
    "turn the text round": (at_end("// \u202e go\n"), ("hidden-unicode",)),
    "a name that looks like another": (at_end("export const s\u0441ope = 1\n"), ("mixed-script",)),
}

files = []
for repository in args.repositories:
    rows = [(row.split()[2], row.split("\t")[1]) for row in git(repository, "ls-tree", "-r", "HEAD").splitlines()]
    rows = [row for row in rows if re.search(r"\.(test|spec)\.tsx?$", row[1])]
    texts = blobs(repository, [row[0] for row in rows])
    files += [(path, texts[name]) for name, path in rows if texts[name]]

cases, meant = [], {}
beside = {"path": "src/zz.ts", "from": None, "before": "export const zz = 1\n", "after": "export const zz = 2\n"}
for kind, (edit, rules) in TESTS.items():
    rng.shuffle(files)
    made = 0
    for path, before in files:
        if made == args.each:
            break
        if kind == "delete the file" and "expect(" not in before:
            continue
        after = edit(before)
        if after is None or after == before:
            continue
        made += 1
        name = f"{kind}#{made}"
        meant[name] = (kind, rules)
        cases.append({"id": name, "files": [beside, {"path": path, "from": None, "before": before, "after": after or None}]})
for kind, (edit, rules) in SOURCES.items():
    for at in range(args.each):
        path, before = files[at % len(files)]
        # The text of a test is a real text too; its name is that of a source.
        path = re.sub(r"\.(test|spec)\.", ".", path).replace("__tests__/", "").replace("tests/", "").replace("test/", "")
        name = f"{kind}#{at}"
        meant[name] = (kind, rules)
        cases.append({"id": name, "files": [{"path": path, "from": None, "before": before, "after": edit(before)}]})

made, seen, warned = Counter(), Counter(), Counter()
for answer in judge(cases, "honesty"):
    kind, rules = meant[answer["id"]]
    made[kind] += 1
    said = [finding for finding in answer["findings"] if finding["rule"].removeprefix("honesty/") in rules]
    seen[kind] += bool(said)
    warned[kind] += any(finding["verdict"] != "pass" for finding in said)
    if not said and args.show and kind.startswith(args.show):
        case = next(case for case in cases if case["id"] == answer["id"])
        print("missed:", answer["id"], case["files"][-1]["path"], answer["findings"])
for kind in made:
    print(f"{kind}: {seen[kind]} of {made[kind]} seen, {warned[kind]} warned")
print(f"{len(made)} kinds, {sum(made.values())} edits, {100 * sum(seen.values()) / sum(made.values()):.2f} % seen, {100 * sum(warned.values()) / sum(made.values()):.2f} % warned of")
