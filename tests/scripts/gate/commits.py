"""commits.py REPOSITORY... [--each N] [--skip N] [--show RULE]: how often the checks speak about real commits.

Every repository is a git directory. A commit counts as blocked by syntax, or as warned by a check, once, however much is
found in it. A commit that is blocked by syntax is shown: it is a false block unless the commit itself is broken.
"""

import argparse
from collections import Counter

from common import changes, judge

parser = argparse.ArgumentParser()
parser.add_argument("repositories", nargs="+")
parser.add_argument("--each", type=int, default=250)
parser.add_argument("--skip", type=int, default=0, help="newest commits that are left out")
parser.add_argument("--show", default="")
args = parser.parse_args()

total, times = Counter(), {"syntax": [], "sast": [], "honesty": []}
rules, blocked = Counter(), []
for repository in args.repositories:
    cases = changes(repository, args.each, args.skip)
    here = Counter()
    for answer in judge(cases):
        here["commits"] += 1
        said = {}
        for finding in answer["findings"]:
            check = finding["rule"].split("/")[0]
            order = ["pass", "warn", "block"]
            said[check] = max(said.get(check, "pass"), finding["verdict"], key=order.index)
            if finding["rule"] == args.show or args.show and finding["rule"].startswith(args.show):
                print(answer["id"], finding["rule"], finding["verdict"], finding["path"], finding["lines"], finding["message"][:150])
        for rule in {(finding["rule"], finding["verdict"]) for finding in answer["findings"]}:
            rules[rule] += 1
        for check in ("sast", "honesty"):
            here[f"{check} warned"] += said.get(check, "pass") != "pass"
            here[f"{check} blocked"] += said.get(check) == "block"
        if said.get("syntax", "pass") != "pass":
            here["syntax blocked"] += 1
            blocked += [(answer["id"], f["path"], f["lines"], f["message"][:80]) for f in answer["findings"] if f["rule"].startswith("syntax")]
        for check, taken in answer["micros"].items():
            times[check] += taken
    total += here
    print(repository, dict(here))

commits = total["commits"]
print("all", dict(total))
for name in ("syntax blocked", "sast warned", "sast blocked", "honesty warned", "honesty blocked"):
    print(f"{name}: {total[name]} of {commits}, {100 * total[name] / max(commits, 1):.2f} %")
for (rule, verdict), count in rules.most_common():
    print(f"  {rule} ({verdict}): {count}")
for check, taken in times.items():
    taken.sort()
    if taken:
        print(f"{check}: p50 {taken[len(taken) // 2] / 1000:.2f} ms, p95 {taken[len(taken) * 95 // 100] / 1000:.2f} ms a commit")
for one in blocked[:40]:
    print("blocked:", *one)
