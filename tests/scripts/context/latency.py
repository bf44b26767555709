"""How long the sidecar takes to answer `krins/context`, warm: different tasks over one connection, each asked once with its
active file and once without.

    python3 latency.py KRINS DIR [TASKS]

TASKS is a file of JSON lines with `task` and `active`. Without it, files spread over the directory are asked for by their
names. Prints the wall and the processor time of the sidecar by quantiles; the processor's is what a busy machine still tells.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

COUNT = 40
CODE = (".ts", ".tsx", ".js", ".jsx")


class Sidecar:
    def __init__(self, krins, root):
        self.state = tempfile.TemporaryDirectory()
        environment = dict(os.environ, KRINS_STATE_DIR=self.state.name)
        self.process = subprocess.Popen(
            [krins, "lsp", "--stdio"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        self.number = 0
        uri = "file://" + root
        folders = [{"uri": uri, "name": "root"}]
        self.call("initialize", {"processId": os.getpid(), "rootUri": uri, "capabilities": {}, "workspaceFolders": folders})
        self.send({"method": "initialized", "params": {}})

    def send(self, message):
        body = json.dumps(dict(message, jsonrpc="2.0")).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def receive(self):
        length = 0
        while (line := self.process.stdout.readline()) not in (b"\r\n", b""):
            if line.lower().startswith(b"content-length"):
                length = int(line.split(b":")[1])
        return json.loads(self.process.stdout.read(length))

    def call(self, method, params):
        self.number += 1
        self.send({"id": self.number, "method": method, "params": params})
        while True:
            message = self.receive()
            if "method" not in message and message.get("id") == self.number:
                return message
            if "method" in message and "id" in message:
                self.send({"id": message["id"], "result": None})

    def busy(self):
        """Seconds on the processor, of all threads that live."""
        tasks = f"/proc/{self.process.pid}/task"
        return sum(int(open(f"{tasks}/{task}/schedstat").read().split()[0]) for task in os.listdir(tasks)) / 1e9


def spread(root):
    found = []
    for directory, directories, names in os.walk(root):
        directories[:] = sorted(name for name in directories if name not in ("node_modules", ".git"))
        found += [os.path.relpath(os.path.join(directory, name), root) for name in sorted(names) if name.endswith(CODE)]
    step = max(1, len(found) // COUNT)
    words = lambda path: path.rsplit(".", 1)[0].replace("/", " ").replace("-", " ")
    return [{"task": f"fix what {words(path)} does when it is empty", "active": path} for path in found[::step][:COUNT]]


def main():
    krins, root = sys.argv[1], os.path.realpath(sys.argv[2])
    tasks = [json.loads(line) for line in open(sys.argv[3])] if len(sys.argv) > 3 else spread(root)
    sidecar = Sidecar(krins, root)
    while not sidecar.call("krins/status", {})["result"]["index"]["ready"]:
        time.sleep(0.1)
    sidecar.call("krins/context", {"intent": "warm up the tables"})
    walls, busy = [], []
    for task in tasks:
        for focused in (False, True):
            params = {"intent": task["task"]}
            if focused:
                params["textDocument"] = {"uri": f"file://{root}/{task['active']}"}
            began = time.perf_counter(), sidecar.busy()
            answer = sidecar.call("krins/context", params)
            walls.append(time.perf_counter() - began[0])
            busy.append(sidecar.busy() - began[1])
            assert "result" in answer, answer
    for what, seconds in (("wall", walls), ("processor", busy)):
        seconds.sort()
        at = lambda share: seconds[int((len(seconds) - 1) * share)] * 1e3
        print(f"{len(seconds)} contexts, {what}: p50 {at(0.5):.1f} ms, p95 {at(0.95):.1f} ms, most {at(1):.1f} ms")
    sidecar.call("shutdown", None)
    sidecar.send({"method": "exit"})
    sidecar.process.wait(10)


main()
