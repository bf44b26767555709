"""sarif.py SCHEMA REPOSITORY... [--each N]: the reports of real commits as SARIF 2.1.0, held against the published schema.

SCHEMA is `sarif-2.1.0.json`, which the npm package `@microsoft/sarif-multitool-linux` carries. What a schema cannot say is looked
at here: each result's rule is the one at its index, and its lines are in order. Needs the Python package `jsonschema`.
"""

import argparse
import json
import subprocess
import sys

import jsonschema

from common import changes, lab

parser = argparse.ArgumentParser()
parser.add_argument("schema")
parser.add_argument("repositories", nargs="+")
parser.add_argument("--each", type=int, default=130)
args = parser.parse_args()

with open(args.schema, encoding="utf-8-sig") as file:
    schema = json.load(file)
kind = jsonschema.validators.validator_for(schema)
validator = kind(schema, format_checker=kind.FORMAT_CHECKER)


def objections(log):
    yield from (f"{'/'.join(map(str, error.path))}: {error.message[:150]}" for error in validator.iter_errors(log))
    for run in log["runs"]:
        rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
        for at, result in enumerate(run["results"]):
            if rules[result["ruleIndex"] : result["ruleIndex"] + 1] != [result["ruleId"]]:
                yield f"results/{at}: the rule at its index is another one"
            region = result["locations"][0]["physicalLocation"].get("region", {"startLine": 1, "endLine": 1})
            if region["startLine"] > region["endLine"]:
                yield f"results/{at}: it ends before it begins"


reports, results, wrong = 0, 0, 0
for repository in args.repositories:
    cases = changes(repository, args.each)
    text = "".join(json.dumps(case) + "\n" for case in cases)
    done = subprocess.run([lab(), "--whole", "--sarif"], input=text, capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines():
        answer = json.loads(line)
        reports, results = reports + 1, results + len(answer["sarif"]["runs"][0]["results"])
        for objection in objections(answer["sarif"]):
            wrong += 1
            print(answer["id"], objection)
print(reports, "reports,", results, "findings,", wrong, "objections")
sys.exit(wrong > 0)
