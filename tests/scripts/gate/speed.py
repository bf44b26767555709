"""speed.py REPOSITORY... [--each N] [--times N] [--bare]: how long the whole gate takes on a change of about ten files, without what
runs commands.

The changes are real commits of 7 to 14 files that change 200 to 800 lines; the workspace around them is the newest commit of
the repository (a git directory), or nothing (`--bare`, also for a repository that has not all its files). Each is judged several times in one warm process and its median counts.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile

from common import changes, lab

parser = argparse.ArgumentParser()
parser.add_argument("repositories", nargs="+")
parser.add_argument("--each", type=int, default=400)
parser.add_argument("--times", type=int, default=5)
parser.add_argument("--bare", action="store_true", help="no workspace around the changes")
args = parser.parse_args()


def lines_changed(case):
    count = 0
    for file in case["files"]:
        before, after = (file["before"] or "").splitlines(), (file["after"] or "").splitlines()
        known, now = set(before), set(after)
        count += sum(line not in now for line in before) + sum(line not in known for line in after)
    return count


taken = {}
for repository in args.repositories:
    cases = [case for case in changes(repository, args.each) if 7 <= len(case["files"]) <= 14 and 200 <= lines_changed(case) <= 800]
    with tempfile.TemporaryDirectory() as root:
        if not args.bare:
            archive = subprocess.run(["git", "-C", repository, "archive", "HEAD"], capture_output=True, check=True).stdout
            subprocess.run(["tar", "-x", "-C", root], input=archive, check=True)
        command = [lab(), "--whole", "--root", root, "--times", str(args.times)]
        text = "".join(json.dumps(case) + "\n" for case in cases)
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    for answer in answers:
        for check, micros in answer["micros"].items():
            taken.setdefault(check, []).append(statistics.median(micros) / 1000)
    slow = sorted(((statistics.median(answer["micros"]["whole"]) / 1000, answer["id"]) for answer in answers), reverse=True)[:3]
    print(os.path.dirname(repository.rstrip("/")).split("/")[-1], len(cases), "changes; slowest", ", ".join(f"{name} {ms:.0f} ms" for ms, name in slow))
for check, times in sorted(taken.items(), key=lambda pair: -statistics.median(pair[1])):
    times.sort()
    print(f"{check}: p50 {times[len(times) // 2]:.1f} ms, p95 {times[len(times) * 95 // 100]:.1f} ms, worst {times[-1]:.1f} ms")
