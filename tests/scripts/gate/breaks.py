"""breaks.py REPOSITORY... [--count N] [--seed S]: seeded breaks of syntax in real files, and how many are caught.

A break takes a bracket, a quote or a comma away, doubles an operator, cuts a line in two, or loses a line that closes
something. Whether the text is broken is decided by another program: TypeScript's own parser (`npm install typescript`
beside this script's cache), Python's `ast` and `json`. Breaks that it takes for sound are not counted.
"""

import argparse
import json
import os
import random
import subprocess
import tempfile

from common import CODE, blobs, git, judge

parser = argparse.ArgumentParser()
parser.add_argument("repositories", nargs="+")
parser.add_argument("--count", type=int, default=1000)
parser.add_argument("--seed", type=int, default=1)
args = parser.parse_args()
rng = random.Random(args.seed)

CHECK = """
const ts = require('typescript')
const lines = require('fs').readFileSync(0, 'utf8').split('\\n').filter(Boolean).map((line) => JSON.parse(line))
for (const { path, text } of lines) {
  const kind = /\\.(tsx|jsx)$/.test(path) ? ts.ScriptKind.TSX : /\\.(js|mjs|cjs)$/.test(path) ? ts.ScriptKind.JSX : ts.ScriptKind.TS
  console.log(ts.createSourceFile(path, text, ts.ScriptTarget.Latest, false, kind).parseDiagnostics.length)
}
"""


def typescript(texts):
    cache = os.path.join(tempfile.gettempdir(), "krins-gate-breaks")
    os.makedirs(cache, exist_ok=True)
    if not os.path.exists(os.path.join(cache, "node_modules/typescript/package.json")):
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "typescript@5"], cwd=cache, check=True)
    text = "".join(json.dumps({"path": path, "text": text}) + "\n" for path, text in texts)
    done = subprocess.run(["node", "-e", CHECK], input=text, capture_output=True, text=True, cwd=cache, check=True)
    return [int(line) for line in done.stdout.split()]


def broken(text):
    kind = rng.randrange(6)
    places = [at for at, c in enumerate(text) if c in ("(){}[]", "'\"`", ",;", "=+", "\n", "}")[kind]]
    if not places:
        return None
    at = rng.choice(places)
    if kind in (0, 1, 5):
        return text[:at] + text[at + 1 :]
    if kind == 2:
        return text[:at] + rng.choice([")", "]", "=", ",,", "("]) + text[at + 1 :]
    if kind == 3:
        return text[:at] + text[at] * 2 + " * " + text[at:]
    end = text.find("\n", at + 1)
    line = text[at + 1 : end]
    if not line.strip() or line.strip()[0] not in "})]":
        return None
    return text[:at] + text[end:]


cases = []
files = []
for repository in args.repositories:
    tree = git(repository, "ls-tree", "-r", "HEAD").splitlines()
    rows = [(row.split()[2], row.split("\t")[1]) for row in tree]
    rows = [row for row in rows if row[1].endswith(CODE + (".json", ".py", ".toml", ".yml", ".css"))]
    rng.shuffle(rows)
    rows = rows[:400]
    texts = blobs(repository, [row[0] for row in rows])
    files += [(path, texts[name]) for name, path in rows if texts[name] and len(texts[name]) < 60_000]
sound = typescript([(path, text) for path, text in files if path.endswith(CODE)])
good = iter(sound)
files = [(path, text) for path, text in files if not path.endswith(CODE) or next(good) == 0]
while len(cases) < args.count * 2:
    path, text = rng.choice(files)
    after = broken(text)
    if after is not None and after != text:
        cases.append({"id": f"{path}#{len(cases)}", "files": [{"path": path, "before": text, "after": after}]})


def is_broken(path, text):
    if path.endswith(".py"):
        try:
            compile(text, path, "exec")
            return False
        except (SyntaxError, ValueError):
            return True
    if path.endswith(".json"):
        try:
            json.loads(text)
            return False
        except ValueError:
            return "tsconfig" not in path and "//" not in text
    if path.endswith(".toml"):
        try:
            import tomllib

            tomllib.loads(text)
            return False
        except ValueError:
            return True
    return False


code = [case for case in cases if case["files"][0]["path"].endswith(CODE)]
counts = typescript([(case["files"][0]["path"], case["files"][0]["after"]) for case in code])
known = {case["id"]: count > 0 for case, count in zip(code, counts)}
cases = [case for case in cases if known.get(case["id"]) or is_broken(case["files"][0]["path"], case["files"][0]["after"])]
cases = cases[: args.count]
answers = judge(cases, "syntax")
missed = [case for case, answer in zip(cases, answers) if not answer["findings"]]
print(f"{len(cases)} breaks, {len(cases) - len(missed)} caught, {100 * (1 - len(missed) / len(cases)):.2f} %")
for case in missed[:10]:
    print("missed:", case["id"])
