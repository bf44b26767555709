// The extension's own reading of the protocol against the real program, which `KRINS_BIN` names: what it left out of the language
// client is not offered, what it previews is what an apply writes, and a cancelled task ends.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { createMessageConnection, StreamMessageReader, StreamMessageWriter } from "vscode-jsonrpc/node";
import { ABSENT } from "../scripts/lean.mjs";
import { failure } from "../src/errors";
import { patched } from "../src/patch";
import { PROTOCOL, type Methods, type TaskStatus } from "../src/protocol";
import { isRunning } from "../src/words";

const program = process.env.KRINS_BIN;
const options = { skip: program ? false : "KRINS_BIN names no program", timeout: 20_000 };
const bases: string[] = [];
const servers: ChildProcess[] = [];
after(() => {
  // A failed test leaves its server; its open pipes would keep this process from ending.
  servers.forEach((server) => server.kill("SIGKILL"));
  bases.forEach((base) => rmSync(base, { recursive: true, force: true }));
});

/** A server over a workspace of `files`, with a home of its own; started as the language client starts it. */
async function started(files: Record<string, string>, config = "") {
  const base = mkdtempSync(join(tmpdir(), "krins-extension-"));
  bases.push(base);
  const root = join(base, "ws");
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(root, path, ".."), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  const home = join(base, "home");
  mkdirSync(join(home, ".config/krins"), { recursive: true });
  writeFileSync(join(home, ".config/krins/config.toml"), config);
  const { PATH = "" } = process.env;
  const server = spawn(program!, ["lsp", "--stdio", "--stdio", `--clientProcessId=${process.pid}`], {
    cwd: root,
    env: { PATH, HOME: home, XDG_CONFIG_HOME: join(home, ".config"), XDG_STATE_HOME: join(home, ".local/state") },
    stdio: ["pipe", "pipe", "ignore"],
  });
  servers.push(server);
  const connection = createMessageConnection(new StreamMessageReader(server.stdout), new StreamMessageWriter(server.stdin));
  const told: TaskStatus[] = [];
  connection.onNotification("krins/task/didChange", (status: TaskStatus) => void told.push(status));
  connection.onRequest("window/workDoneProgress/create", () => null);
  connection.listen();
  const uri = pathToFileURL(root).href;
  const { capabilities } = await connection.sendRequest<{ capabilities: Record<string, unknown> }>("initialize", {
    processId: process.pid,
    rootUri: uri,
    workspaceFolders: [{ uri, name: "ws" }],
    capabilities: { window: { workDoneProgress: true }, workspace: { applyEdit: true, workspaceEdit: { documentChanges: true } } },
    initializationOptions: { krins: { client: { protocol: PROTOCOL, minor: 0, features: ["assign", "diff", "context", "taskDidChange"] } } },
  });
  await connection.sendNotification("initialized", {});
  const request = <M extends keyof Methods>(method: M, params: Methods[M]["params"]) =>
    params === null ? connection.sendRequest<Methods[M]["result"]>(method) : connection.sendRequest<Methods[M]["result"]>(method, params);
  const stop = async () => {
    const gone = new Promise<number | null>((resolve) => server.once("exit", resolve));
    await connection.sendRequest("shutdown");
    await connection.sendNotification("exit");
    assert.equal(await gone, 0);
    connection.dispose();
  };
  return { capabilities, request, told, stop, root };
}

/** Every file's text, by its path from the root. */
function texts(root: string): Record<string, string> {
  const files = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(
    files.map((file) => join(file.parentPath ?? file.path, file.name)).sort().map((path) => [path.slice(root.length + 1), readFileSync(path, "utf8")]),
  );
}

const TOTAL = {
  "package.json": '{ "name": "shop", "type": "module" }\n',
  "src/total.ts": "/** The sum. */\nexport function calculateTotal(prices: number[]): number {\n  return prices.reduce((a, b) => a + b, 0);\n}\n",
  "src/crlf.ts": 'import { calculateTotal } from "./total";\r\n\r\nexport const twice = (prices: number[]) => 2 * calculateTotal(prices);',
  "src/other.ts": 'export const other = { calculateTotal: "not this one" };\n',
};

test("the server offers nothing that was left out of the bundle", options, async () => {
  const { capabilities, stop } = await started({ "a.ts": "" });
  for (const [name, path] of Object.entries(ABSENT)) {
    const offered = path.split(".").reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], capabilities);
    assert.equal(offered, undefined, `the server offers ${path}: take ${name} out of ABSENT in scripts/lean.mjs`);
  }
  await stop();
});

test("what is previewed is what an apply writes, and undo brings every byte back", options, async () => {
  const { request, told, stop, root } = await started(TOTAL);
  const before = texts(root);
  await request("krins/assign", { intent: "rename calculateTotal to orderTotal", task: "rename", textDocument: { uri: pathToFileURL(join(root, "src/total.ts")).href } });
  const diff = await request("krins/diff", { task: "rename", wait: true });
  assert.equal(diff.state, "ready");
  assert.deepEqual(texts(root), before);
  const preview = Object.fromEntries(
    diff.files.map(({ uri, hunks }) => {
      const path = fileURLToPath(uri).slice(root.length + 1);
      return [path, patched(before[path] ?? "", hunks)];
    }),
  );
  assert.deepEqual(Object.keys(preview).sort(), ["src/crlf.ts", "src/total.ts"]);

  const applied = await request("krins/apply", { task: "rename" });
  assert.equal(applied.conflicts.length + applied.unsaved.length + (applied.leftAlone?.length ?? 0), 0);
  assert.deepEqual(texts(root), { ...before, ...preview });
  await request("krins/undo", { undo: applied.undo ?? null });
  assert.deepEqual(texts(root), before);

  assert.ok(told.some(({ task, state }) => task === "rename" && state === "ready"));
  assert.ok(told.every(({ seq }, index) => index === 0 || seq > told[index - 1]!.seq));
  await stop();
});

test("one hunk of two is applied alone", options, async () => {
  const { request, stop, root } = await started(TOTAL);
  const before = texts(root);
  await request("krins/assign", { intent: "rename calculateTotal to orderTotal", task: "rename" });
  const diff = await request("krins/diff", { task: "rename", wait: true });
  const file = diff.files.find(({ uri }) => uri.endsWith("total.ts"))!;
  const { applied } = await request("krins/apply", { task: "rename", hunks: file.hunks.map(({ id }) => id) });
  assert.deepEqual(applied.map(({ uri }) => uri), [file.uri]);
  assert.deepEqual(texts(root), { ...before, "src/total.ts": patched(before["src/total.ts"]!, file.hunks) });
  await stop();
});

test("a task at work on a model's answer is cancelled at once and writes nothing", options, async () => {
  const asked: (() => void)[] = [];
  const heard = new Promise<void>((resolve) => asked.push(resolve));
  const silent = createServer(() => asked[0]!()).listen(0, "127.0.0.1");
  await new Promise((resolve) => silent.once("listening", resolve));
  const { port } = silent.address() as AddressInfo;
  const provider = `provider = "silent"\n[providers.silent]\nkind = "openai-chat"\nbase_url = "http://127.0.0.1:${port}/v1"\nmodel = "m"\n`;
  const { request, stop, root } = await started(TOTAL, provider);
  try {
    const before = texts(root);
    await request("krins/assign", { intent: "make the sum faster", task: "slow" });
    const waiting = request("krins/diff", { task: "slow", wait: true }).then(
      () => assert.fail("a cancelled task has no diff"),
      (error: unknown) => assert.equal(failure(error).kind, "Cancelled"),
    );
    await heard;
    assert.ok(isRunning((await request("krins/task", { task: "slow" })).state));
    const since = Date.now();
    assert.equal((await request("krins/cancel", { task: "slow" })).state, "cancelled");
    await waiting;
    assert.ok(Date.now() - since < 5_000, `it took ${Date.now() - since} ms`);
    assert.deepEqual(texts(root), before);
    await stop();
  } finally {
    silent.closeAllConnections();
    silent.close();
  }
});

/** A model on loopback that answers every task with the same words; its settings, and how to stop it. */
async function answering(words: string) {
  const server = createServer((request, response) => {
    request.resume().on("end", () => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      const chunk = (delta: object, reason: string | null) =>
        `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model: "m", choices: [{ index: 0, delta, finish_reason: reason }] })}\n\n`;
      response.end(`${chunk({ role: "assistant", content: words }, null)}${chunk({}, "stop")}data: [DONE]\n\n`);
    });
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  const config = `provider = "local"\n[providers.local]\nkind = "openai-chat"\nbase_url = "http://127.0.0.1:${port}/v1"\nmodel = "m"\nkey = "none"\n`;
  return { config, stop: () => server.close() };
}

test("a finding that blocks is waived with a reason, and the list of tasks has the audit's line", options, async () => {
  const { config, stop: quiet } = await answering(
    "Sure.\n\nsrc/total.ts\n<<<<<<< SEARCH\n/** The sum. */\n=======\n/** The sum. */\nprocess.env.NODE_TLS_REJECT_UNAUTHORIZED = \"0\";\n>>>>>>> REPLACE\n",
  );
  const { request, stop, root } = await started(TOTAL, config);
  try {
    const uri = pathToFileURL(join(root, "src/total.ts")).href;
    await request("krins/assign", { intent: "take any certificate", task: "t", textDocument: { uri } });
    const blocked = await request("krins/diff", { task: "t", wait: true });
    assert.equal(blocked.state, "blocked");
    assert.ok(blocked.sent?.some((file) => file.uri === uri && file.tokens > 0));
    const finding = blocked.gate.findings.find(({ verdict }) => verdict === "block")!;
    const { rule, path } = finding;
    const waive = (reason: string, expires: string) => request("krins/waive", { task: "t", rule, path, reason, expires, exact: true });
    await assert.rejects(waive(" ", "2999-01-01"), (error: unknown) => failure(error).kind === "BadParams");
    await assert.rejects(waive("ours", "2020-01-01"), (error: unknown) => failure(error).kind === "BadParams");
    assert.equal((await request("krins/task", { task: "t" })).state, "blocked");
    const waived = await waive("the test server signs its own", "2999-01-01");
    assert.equal(waived.state, "ready");
    assert.deepEqual(waived.gate.waived?.map(({ finding, reason }) => [finding.rule, reason]), [[rule, "the test server signs its own"]]);
    const { tasks } = await request("krins/tasks", {});
    assert.deepEqual(tasks.map(({ task, state, model, verdict }) => ({ task, state, model, verdict })), [{ task: "t", state: "ready", model: "local/m", verdict: waived.gate.verdict }]);
    assert.match(tasks[0]!.audit?.hash ?? "", /^[0-9a-f]{64}$/);
    assert.equal((await request("krins/apply", { task: "t" })).applied.length, 1);
    assert.equal((await request("krins/status", null)).spent?.today, 0);
    await stop();
  } finally {
    quiet();
  }
});
