"""How long a patch of 100 files takes: `krins patch apply`, `git apply`, and `git apply` followed by a sync of the file system.

    TMPDIR=DIR python3 tests/scripts/crash/speed.py [--runs N] KRINS [KRINS...]

The three (and every further Krins) take turns; medians, from the start of the process to its end. `git apply` syncs
nothing, so only the third promises as much as Krins does once it is done. TMPDIR is on the file system that is meant,
which is no tmpfs. Exit status 1 when a tree is not what the patch says.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from crash import diff, edited, text_of

FILES, LINES = 100, 400


def reset(base, files):
    shutil.rmtree(f"{base}/home", ignore_errors=True)
    os.makedirs(f"{base}/home")
    for path, text in files.items():
        os.makedirs(os.path.dirname(f"{base}/root/{path}"), exist_ok=True)
        with open(f"{base}/root/{path}", "w") as file:
            file.write(text)
    os.sync()


def spent():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1000


def run(base, files, commands):
    """Milliseconds from start to end, and of processor time."""
    reset(base, files)
    env = {"HOME": f"{base}/home", "PATH": os.environ["PATH"], "GIT_CEILING_DIRECTORIES": base}
    before, started = spent(), time.perf_counter()
    for command in commands:
        with open(f"{base}/patch") as patch:
            subprocess.run(command, cwd=f"{base}/root", env=env, stdin=patch, capture_output=True, check=True)
    took = (time.perf_counter() - started) * 1000
    for path, text in files.items():
        with open(f"{base}/root/{path}") as file:
            if file.read() != edited(text, LINES):
                sys.exit(f"{commands[0]}: {path} is not what the patch says")
    return took, spent() - before


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("krins", nargs="+")
    parser.add_argument("--runs", type=int, default=9)
    arguments = parser.parse_args()
    files = {f"d{number % 7}/f{number}.ts": text_of(number, LINES) for number in range(FILES)}
    git = ["git", "apply", "-"]
    tools = {"git apply": [git], "git apply, sync -f": [git, ["sync", "-f", "."]]}
    tools |= {krins: [[os.path.abspath(krins), "patch", "apply"]] for krins in arguments.krins}
    times = {tool: [] for tool in tools}
    with tempfile.TemporaryDirectory() as base:
        with open(f"{base}/patch", "w") as patch:
            patch.writelines(diff(path, text, edited(text, LINES)) for path, text in files.items())
        for _ in range(arguments.runs):
            for tool, commands in tools.items():
                times[tool].append(run(base, files, commands))
    peer = statistics.median(took for took, _ in times["git apply"])
    for tool, runs in times.items():
        took, cpu = [took for took, _ in runs], statistics.median(cpu for _, cpu in runs)
        median = statistics.median(took)
        spread = f"median {median:.0f} ms ({min(took):.0f} to {max(took):.0f})"
        print(f"{tool}: {spread}, {median / peer:.2f} x git apply, processor {cpu:.0f} ms")


main()
