"""Hands lists of packages to the validators of others.

    cargo run --release -p krins-core --example sbom_random -- 1000 DIR
    python3 tests/scripts/gate/sbom_validators.py DIR

Needs `pip install 'cyclonedx-python-lib[json-validation]' spdx-tools`, and `qpdf` and `pdftotext` for the PDFs.
"""

import csv
import json
import pathlib
import shutil
import subprocess
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator


def main():
    directory = pathlib.Path(sys.argv[1])
    every_spdx = int(sys.argv[2]) if len(sys.argv) > 2 else 10
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    documents = sorted(directory.glob("*.cdx.json"))
    bad = 0
    for number, path in enumerate(documents):
        text = path.read_text()
        error = validator.validate_str(text)
        if error is not None:
            bad += 1
            print(path.name, repr(error)[:300])
        bad += compare(path, json.loads(text))
    print(f"CycloneDX: {len(documents)} documents, {bad} refused by cyclonedx-python-lib or not agreeing with their CSV and SPDX")
    print(f"SPDX: {spdx(documents[::every_spdx])}")
    if shutil.which("qpdf"):
        print(f"PDF: {pdfs(documents[::every_spdx])}")
    sys.exit(1 if bad else 0)


def compare(path, document):
    """The four documents of a change name the same packages."""
    stem = str(path)[: -len(".cdx.json")]
    names = sorted((c.get("group", "") + ("/" if "group" in c else "") + c["name"], c.get("version", "")) for c in document["components"])
    with open(stem + ".csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["change"] not in ("removed", "not locked yet")]
    listed = sorted((row["name"].lstrip("'"), row["version"]) for row in rows)
    packages = json.loads(pathlib.Path(stem + ".spdx.json").read_text())["packages"][1:]
    spdx_names = sorted((p["name"], p.get("versionInfo", "")) for p in packages)
    if names != listed or names != spdx_names:
        print(path.name, "the documents differ", names, listed, spdx_names)
        return 1
    return 0


def spdx(documents):
    from spdx_tools.spdx.parser.parse_anything import parse_file
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    bad = 0
    for path in documents:
        messages = validate_full_spdx_document(parse_file(str(path).replace(".cdx.json", ".spdx.json")))
        if messages:
            bad += 1
            print(path.name, [m.validation_message for m in messages][:3])
    return f"{len(documents)} documents, {bad} refused by spdx-tools"


def pdfs(documents):
    bad = 0
    for path in documents:
        pdf = str(path).replace(".cdx.json", ".pdf")
        checked = subprocess.run(["qpdf", "--check", pdf], capture_output=True, text=True)
        text = subprocess.run(["pdftotext", "-layout", pdf, "-"], capture_output=True, text=True).stdout
        document = json.loads(path.read_text())
        missing = [c["name"] for c in document["components"] if c["name"] not in text]
        if checked.returncode != 0 or missing:
            bad += 1
            print(pdf, checked.stderr[:200], missing[:3])
    return f"{len(documents)} documents, {bad} refused by qpdf or without a name of theirs"


main()
