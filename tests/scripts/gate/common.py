"""What the scripts of this directory share: histories, and the checks over changes."""

import json
import os
import subprocess

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
CODE = (".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs")
DATA = (".json", ".jsonc", ".toml", ".yml", ".yaml", ".css", ".html", ".py", ".rs", ".go")
LARGEST = 400_000


def lab():
    """The example that judges changes, built for release once."""
    built = os.environ.get("GATE_LAB")
    if built:
        return built
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    command = ["cargo", "build", "--release", "--quiet", "--locked", "-p", "krins-core", "--example", "gate_lab"]
    subprocess.run(command, cwd=ROOT, check=True)
    return os.path.join(target, "release/examples/gate_lab")


def judge(cases, checks="syntax,sast,honesty", times=1):
    """The answers of the checks, in the order of the cases."""
    text = "".join(json.dumps(case) + "\n" for case in cases)
    command = [lab(), "--checks", checks, "--times", str(times)]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def git(repo, *args, text=True):
    command = ["git", "-C", repo, "-c", "core.quotePath=false", *args]
    done = subprocess.run(command, capture_output=True)
    return done.stdout.decode("utf-8", "replace") if text else done.stdout


def blobs(repo, names):
    """The texts of objects; None for what is missing, large or not text."""
    done = subprocess.run(["git", "-C", repo, "cat-file", "--batch"], input="\n".join(names).encode() + b"\n", capture_output=True)
    out, at, texts = done.stdout, 0, {}
    for name in names:
        end = out.index(b"\n", at)
        head = out[at:end].split()
        at = end + 1
        if len(head) != 3 or head[1] != b"blob":
            texts[name] = None
            continue
        size = int(head[2])
        data = out[at : at + size]
        at += size + 1
        try:
            texts[name] = data.decode() if size <= LARGEST else None
        except UnicodeDecodeError:
            texts[name] = None
    return texts


def changes(repo, count, skip=0):
    """The newest commits with one parent that change code: each as a change the checks can judge."""
    found = []
    log = git(repo, "log", "--no-merges", "--format=%H %P", "-n", str(count * 6), "--skip", str(skip))
    for line in log.splitlines():
        words = line.split()
        if len(words) != 2:
            continue
        raw = git(repo, "diff-tree", "-r", "-M50%", "--raw", "--no-abbrev", "-z", words[1], words[0])
        parts = raw.split("\0")
        at, files = 0, []
        while at < len(parts) - 1:
            head = parts[at].split()
            status, old, new = head[4], head[2], head[3]
            if status[0] in "RC":
                source, path = parts[at + 1], parts[at + 2]
                at += 3
            else:
                source, path = None, parts[at + 1]
                at += 2
            # Other repositories and symbolic links have no text of their own.
            if {head[0].lstrip(":"), head[1]} & {"160000", "120000"}:
                continue
            files.append((status[0], old, new, source, path))
        if not any(path.endswith(CODE) for *_, path in files) or len(files) > 60:
            continue
        zero = "0" * 40
        names = sorted({name for _, old, new, *_ in files for name in (old, new) if name != zero})
        texts = blobs(repo, names)
        case = {"id": f"{os.path.basename(os.path.dirname(repo.rstrip('/')))}:{words[0][:12]}", "files": []}
        for status, old, new, source, path in files:
            before, after = texts.get(old), texts.get(new)
            if (old != zero and before is None) or (new != zero and after is None):
                continue
            case["files"].append({"path": path, "from": source if status == "R" else None, "before": before, "after": after})
        if case["files"]:
            found.append(case)
        if len(found) >= count:
            break
    return found
