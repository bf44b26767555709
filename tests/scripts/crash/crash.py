"""What is left of a tree when the program that changes it is killed at a system call, or a system call fails: of Krins,
and of `git apply` and GNU patch as controls.

    python3 tests/scripts/crash/crash.py KRINS kill   [5|100] [--every N] [--tool krins|git|patch] [--all]
    python3 tests/scripts/crash/crash.py KRINS errors [5|100] [--every N] [--tool krins|git|patch]
    python3 tests/scripts/crash/crash.py KRINS twice  [5|100] [--runs N] [--seed N]

`kill` stops before every N-th system call that can change a file (`--all`: before any system call at all), `errors` has
each of them fail in turn, once or from there on, `twice` kills an apply, its recovery and the recovery of that, at random.
After each, Krins is started again. Exit status 1 when it left a tree that is neither wholly old nor wholly new, a file of
neither side, or said that it was done and was not. A control that is not installed (`apt-get install git patch`) is left
out, and so is everything where the tracer does not work; that is said. TMPDIR says on which file system it happens.
"""

import argparse
import collections
import difflib
import errno
import os
import random
import shutil
import sys
import tempfile

import tracer

OLD, NEW, MIXED, TORN = "old", "new", "mixed", "torn"
FAULTS = [
    ("ENOSPC", errno.ENOSPC, False),
    ("ENOSPC from there on", errno.ENOSPC, True),
    ("EIO", errno.EIO, False),
    ("EIO from there on", errno.EIO, True),
    ("EACCES", errno.EACCES, False),
    ("EXDEV", errno.EXDEV, False),
]


def text_of(number, lines):
    return "".join(f"export const value{number}_{line} = {line};\n" for line in range(lines))


def edited(text, lines):
    """Five lines of it changed, far from one another."""
    step = lines // 5
    return "".join(
        line.replace("= ", "= 1 + ") if at % step == 1 else line for at, line in enumerate(text.splitlines(True))
    )


def diff(path, before, after):
    """As git writes it, without blob ids."""
    head = f"diff --git a/{path} b/{path}\n"
    head += "new file mode 100644\n" if before is None else "deleted file mode 100644\n" if after is None else ""
    names = ("/dev/null" if before is None else f"a/{path}", "/dev/null" if after is None else f"b/{path}")
    lines = [(text or "").splitlines(True) for text in (before, after)]
    return head + "".join(difflib.unified_diff(*lines, *names))


class Scene:
    """A workspace and a patch for it: one file in five is made or removed, the others change in five lines."""

    def __init__(self, krins, files):
        self.krins, self.base = os.path.abspath(krins), tempfile.mkdtemp(prefix="krins-crash-")
        self.root, self.home = os.path.join(self.base, "root"), os.path.join(self.base, "home")
        os.mkdir(self.root)
        self.old, self.new, patch = {}, {}, ""
        lines = 400 if files > 10 else 2000
        for number in range(files):
            path, text = f"d{number % 7}/f{number}.ts", text_of(number, lines)
            before, after = {3: (text, None), 4: (None, text)}.get(number % 10, (text, edited(text, lines)))
            for side, content in ((self.old, before), (self.new, after)):
                if content is not None:
                    side[path] = content.encode()
            patch += diff(path, before, after)
        self.patch = patch.encode()
        path = os.environ.get("PATH", "/usr/bin:/bin")
        # Git may find no repository around the workspace.
        self.environment = {"HOME": self.home, "PATH": path, "GIT_CEILING_DIRECTORIES": self.base}

    def command(self, tool):
        """None where the tool is not installed."""
        if tool == "krins":
            return [self.krins, "patch", "apply", "--json"]
        program = shutil.which(tool)
        arguments = {"git": ["apply", "-p1", "-"], "patch": ["-p1", "-s", "-f"]}[tool]
        return program and [program, *arguments]

    def apply(self, tool, decide):
        self.reset()
        return tracer.run(self.command(tool), self.root, self.environment, self.patch, decide)

    def recover(self, decide=lambda call: None):
        """Any start of Krins recovers."""
        return tracer.run([self.krins, "task", "list", "--json"], self.root, self.environment, b"", decide)

    def snapshot(self):
        tree = {}
        for directory, _, names in os.walk(self.root):
            for name in names:
                path = os.path.join(directory, name)
                with open(path, "rb") as file:
                    tree[os.path.relpath(path, self.root)] = file.read()
        return tree

    def reset(self):
        now = self.snapshot()
        for path in now.keys() - self.old.keys():
            os.remove(os.path.join(self.root, path))
        for path, content in self.old.items():
            if now.get(path) != content:
                path = os.path.join(self.root, path)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "wb") as file:
                    file.write(content)
        shutil.rmtree(self.home, ignore_errors=True)
        os.mkdir(self.home)

    def look(self):
        """What the tree is, and the files in it that are of neither side."""
        now, paths = self.snapshot(), self.old.keys() | self.new.keys()
        strange = sorted(now.keys() - paths)
        is_old = {path: now.get(path) == self.old.get(path) for path in paths}
        is_new = {path: now.get(path) == self.new.get(path) for path in paths}
        if all(is_old.values()):
            return OLD, strange
        if all(is_new.values()):
            return NEW, strange
        return MIXED if all(is_old[path] or is_new[path] for path in paths) else TORN, strange


class Tally:
    """What came out of one series."""

    def __init__(self, scene, tool):
        self.scene, self.tool, self.counts, self.bad = scene, tool, collections.Counter(), 0

    def settle(self, what, ended):
        """Looks at what a run left, has Krins recover, and looks again."""
        self.counts["runs"] += 1
        state, strange = self.scene.look()
        self.counts[f"left {state}"] += 1
        if self.tool == "krins":
            again = self.scene.recover()
            state, strange = self.scene.look()
            self.counts[f"then {state}"] += 1
            if again.code != 0 or state in (MIXED, TORN) or strange or ended.code == 0 and state != NEW:
                self.bad += 1
                print(f"BAD: {what}: {state} {strange} {ended.code} {ended.stdout[-300:]} {again.code} {again.stderr[-300:]}")
        self.counts["with litter"] += bool(strange)
        word = "killed" if ended.code is None else "failed" if ended.code else "done"
        self.counts[word] += 1
        self.counts["said done and was not"] += word == "done" and state != NEW
        self.counts["said failed and was done"] += word == "failed" and state == NEW

    def say(self, what):
        counts = ", ".join(f"{count} {name}" for name, count in sorted(self.counts.items()) if count)
        print(f"{self.tool}, {what}: {counts}", flush=True)
        return self.bad == 0


def nth(at, act, counts=tracer.Call.changes_files, stays=False):
    """Acts at one of the calls that count, or from there on."""
    seen = 0

    def decide(call):
        nonlocal seen
        if not counts(call):
            return None
        seen += 1
        return act if seen == at + 1 or stays and seen > at else None

    return decide


def calls_of(scene, tool, counts=tracer.Call.changes_files):
    """How many calls a whole run makes, of those that count."""
    calls = 0

    def decide(call):
        nonlocal calls
        calls += counts(call)

    ended = scene.apply(tool, decide)
    if ended.code != 0 or scene.look() != (NEW, []):
        sys.exit(f"{tool} does not apply it: {ended.code} {ended.stderr.decode(errors='replace')}")
    return calls


def kill_each(scene, tool, arguments):
    counts = (lambda call: True) if arguments.all else tracer.Call.changes_files
    calls, tally = calls_of(scene, tool, counts), Tally(scene, tool)
    for at in range(0, calls, arguments.every):
        tally.settle(f"killed before call {at}", scene.apply(tool, nth(at, tracer.KILL, counts)))
    return tally.say(f"killed before {'any call' if arguments.all else 'a call that changes files'}, {calls} of them")


def fail_each(scene, tool, arguments):
    calls, fine = calls_of(scene, tool), True
    for name, error, stays in FAULTS:
        tally = Tally(scene, tool)
        for at in range(0, calls, arguments.every):
            tally.settle(f"{name} at call {at}", scene.apply(tool, nth(at, error, stays=stays)))
        fine &= tally.say(f"{name} at one of {calls} calls that change files")
    return fine


def twice(scene, tool, arguments):
    calls, tally, chance = calls_of(scene, tool), Tally(scene, tool), random.Random(arguments.seed)
    kills = collections.Counter()
    for _ in range(arguments.runs):
        at = chance.randrange(calls)
        ended = scene.apply(tool, nth(at, tracer.KILL))
        killed = ended.code is None
        # Most recoveries have little to do, so the first of the two falls early.
        for most in (min(calls, 40), calls):
            killed += scene.recover(nth(chance.randrange(most), tracer.KILL)).code is None
        kills[killed] += 1
        tally.settle(f"killed before call {at}, and in the recovery", ended)
    in_time = ", ".join(f"{count} with {number}" for number, count in sorted(kills.items()))
    return tally.say(f"killed in the apply, the recovery and the next recovery; kills in time: {in_time}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("krins")
    parser.add_argument("what", choices=["kill", "errors", "twice"])
    parser.add_argument("files", type=int, nargs="?", default=5)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--tool", choices=["krins", "git", "patch"])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if not tracer.is_supported():
        print("left out: the tracer knows Linux on x86-64 only")
        return True
    drive = {"kill": kill_each, "errors": fail_each, "twice": twice}[arguments.what]
    tools = ["krins"] if arguments.what == "twice" else [arguments.tool] if arguments.tool else ["krins", "git", "patch"]
    scene, fine = Scene(arguments.krins, arguments.files), True
    try:
        for tool in tools:
            if scene.command(tool):
                fine &= drive(scene, tool, arguments)
            else:
                print(f"{tool}: left out: it is not installed")
    finally:
        shutil.rmtree(scene.base)
    return fine


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
