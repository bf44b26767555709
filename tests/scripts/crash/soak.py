"""Kills the whole sidecar again and again while an editor types, asks and waits for an apply or an undo, and looks at the
tree after each next start.

    python3 tests/scripts/crash/soak.py KRINS [--kills N] [--minutes N] [--seed N]

One kill in five comes while the sidecar starts and recovers, one in four at a random moment of the apply or undo, and the
others after its journal was begun. Exit status 1 at the first tree that is neither wholly old nor wholly new. TMPDIR says
on which file system it happens.
"""

import argparse
import glob
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

# Files that the change rewrites: each is synced by itself, so kills can come between.
FILES = 13
PATIENCE = 60


class Workspace:
    def __init__(self, krins):
        self.krins, self.base = os.path.abspath(krins), os.path.realpath(tempfile.mkdtemp(prefix="krins-soak-"))
        self.root, home = os.path.join(self.base, "ws"), os.path.join(self.base, "home")
        os.makedirs(os.path.join(self.root, "src"))
        os.mkdir(home)
        self.environment = {"HOME": home, "PATH": os.environ.get("PATH", "")}
        self.write("package.json", '{"name": "soak", "version": "1.0.0"}\n')
        self.write("src/total.ts", "export function total(list: number[]) {\n  return list.length;\n}\n")
        for number in range(1, FILES):
            lines = (f"export const value{number}_{line} = total([{number}]);\n" for line in range(1 + 20 * number))
            self.write(f"src/user{number}.ts", 'import { total } from "./total";\n' + "".join(lines))
        for number in range(3):
            self.write(f"src/open{number}.ts", f"export const open{number} = {number};\n")
        self.old = self.snapshot()
        self.run("assign", "rename total in src/total.ts to sum")
        self.run("apply")
        self.new = self.snapshot()
        changed = sum(content != self.new.get(path) for path, content in self.old.items())
        assert changed == FILES, f"the change touches {changed} files"
        self.journal = glob.glob(os.path.join(home, ".local/state/krins/roots/*/apply"))[0]

    def write(self, path, text):
        with open(os.path.join(self.root, path), "w") as file:
            file.write(text)

    def run(self, *arguments):
        subprocess.run([self.krins, *arguments], cwd=self.root, env=self.environment, check=True, capture_output=True)

    def snapshot(self):
        tree = {}
        for directory, _, names in os.walk(self.root):
            for name in names:
                path = os.path.join(directory, name)
                with open(path, "rb") as file:
                    tree[os.path.relpath(path, self.root)] = file.read()
        return tree

    def look(self):
        """True for wholly new, False for wholly old, None for anything else."""
        now = self.snapshot()
        return True if now == self.new else False if now == self.old else None

    def uri(self, path):
        return f"file://{self.root}/{path}"

    def await_writing(self, before):
        deadline = time.monotonic() + PATIENCE
        while sorted(os.listdir(self.journal)) == before and time.monotonic() < deadline:
            time.sleep(0.0001)


class Sidecar:
    """An editor's end of the pipe. It answers every request of the server's with nothing."""

    def __init__(self, workspace):
        self.workspace, self.next, self.replies, self.ended = workspace, 0, {}, False
        self.arrived = threading.Condition()
        self.process = subprocess.Popen(
            [workspace.krins, "lsp", "--stdio"],
            cwd=workspace.root,
            env=workspace.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        threading.Thread(target=self._read, daemon=True).start()
        root = f"file://{workspace.root}"
        self.first = self.request(
            "initialize",
            {
                "processId": None,
                "rootUri": root,
                "capabilities": {"workspace": {"applyEdit": True, "workspaceEdit": {"documentChanges": True}}},
                "workspaceFolders": [{"uri": root, "name": "ws"}],
            },
        )

    def ready(self):
        """Waits until the root is taken up, which is when it is recovered."""
        self.reply(self.first)
        self.notify("initialized", {})
        self.reply(self.request("krins/context", {"intent": "rename total to sum"}))
        return self

    def request(self, method, params):
        self.next += 1
        self._send({"jsonrpc": "2.0", "id": self.next, "method": method, "params": params})
        return self.next

    def notify(self, method, params):
        self._send({"jsonrpc": "2.0", "method": method, "params": params})

    def reply(self, ticket):
        with self.arrived:
            came = self.arrived.wait_for(lambda: ticket in self.replies or self.ended, PATIENCE)
            message = self.replies.get(ticket, {})
        assert came and "result" in message, f"no good reply: {message}"

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()

    def load(self, round_):
        """What an editor does beside: it types into files that the change leaves alone, and asks."""
        for number in range(3):
            uri = self.workspace.uri(f"src/open{number}.ts")
            document = {"uri": uri, "languageId": "typescript", "version": 1, "text": f"export const open{number} = {number};\n"}
            self.notify("textDocument/didOpen", {"textDocument": document})
            change = {"text": f"export const open{number} = {round_};\n// typed\n"}
            self.notify("textDocument/didChange", {"textDocument": {"uri": uri, "version": 2}, "contentChanges": [change]})
            self.request("krins/status", {})
            asked = {"intent": "rename open0 to shut0", "textDocument": {"uri": uri}, "budget": {"tokens": 2000}}
            self.request("krins/context", asked)
            place = {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 5}}
            asked = {"textDocument": {"uri": uri}, "range": place, "context": {"diagnostics": []}}
            self.request("textDocument/codeAction", asked)
            self.request("krins/graph/impact", {"uris": [self.workspace.uri("src/total.ts")]})

    def _send(self, message):
        body = json.dumps(message).encode()
        try:
            self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
            self.process.stdin.flush()
        except OSError:
            pass  # It was killed.

    def _read(self):
        output = self.process.stdout
        while head := output.readline():
            output.readline()
            body = output.read(int(head.split(b":")[1]))
            try:
                message = json.loads(body)
            except ValueError:
                break  # It was killed in the middle.
            if "method" not in message:
                with self.arrived:
                    self.replies[message["id"]] = message
                    self.arrived.notify_all()
            elif "id" in message:
                self._send({"jsonrpc": "2.0", "id": message["id"], "result": None})
        with self.arrived:
            self.ended = True
            self.arrived.notify_all()


def measured(workspace):
    """Rounds without a kill: seconds until `initialize` is answered, of an apply or undo, and of its writing."""
    taken = []
    for method in ["undo", "apply"] * 3:
        started = time.monotonic()
        sidecar = Sidecar(workspace)
        sidecar.reply(sidecar.first)
        up = time.monotonic() - started
        sidecar.ready().load(0)
        before, asked = sorted(os.listdir(workspace.journal)), time.monotonic()
        ticket = sidecar.request(f"krins/{method}", {})
        workspace.await_writing(before)
        begun = time.monotonic()
        sidecar.reply(ticket)
        ended = time.monotonic()
        taken.append((up, ended - asked, ended - begun))
        sidecar.kill()
    return [sorted(column)[len(taken) // 2] for column in zip(*taken)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("krins")
    parser.add_argument("--kills", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    workspace, chance = Workspace(arguments.krins), random.Random(arguments.seed)
    up, working, writing = measured(workspace)
    print(f"start {up * 1000:.1f} ms, apply or undo {working * 1000:.1f} ms, of which writing {writing * 1000:.1f} ms", flush=True)
    seen = dict.fromkeys(["kills", "while starting", "old", "new", "mixed before the next start"], 0)
    end = time.monotonic() + 60 * arguments.minutes
    try:
        while seen["kills"] < arguments.kills and time.monotonic() < end:
            is_new = one(workspace, chance, seen, (up, working, writing))
            if is_new is None:
                print(f"MIXED after a start: {sorted(workspace.snapshot())} {seen}")
                return False
            if seen["kills"] % 500 == 0:
                print(seen, flush=True)
    finally:
        shutil.rmtree(workspace.base, ignore_errors=True)
    print(f"0 mixed: {seen}")
    return True


def one(workspace, chance, seen, times):
    """One kill; None when the tree is mixed after the start before it."""
    up, working, writing = times
    sidecar, is_new = Sidecar(workspace), False
    wait = up
    if chance.randrange(5) == 0:
        seen["while starting"] += 1
    else:
        sidecar.ready()
        is_new = workspace.look()
        if is_new is None:
            sidecar.kill()
            return None
        seen["new" if is_new else "old"] += 1
        sidecar.load(seen["kills"])
        before, wait = sorted(os.listdir(workspace.journal)), working
        sidecar.request("krins/undo" if is_new else "krins/apply", {})
        if chance.randrange(4) > 0:
            workspace.await_writing(before)
            wait = writing
    time.sleep(1.1 * wait * chance.random())
    sidecar.kill()
    seen["kills"] += 1
    seen["mixed before the next start"] += workspace.look() is None
    return is_new


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
