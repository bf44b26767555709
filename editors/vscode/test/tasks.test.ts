// What a task's journey asks of the server and shows to a person, without either.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { showContext } from "../src/ask";
import type { Preview } from "../src/preview";
import type { ContextResult, DiffResult, Finding, TaskStatus } from "../src/protocol";
import * as say from "../src/say";
import { Server } from "../src/server";
import { StatusBar } from "../src/status";
import { Tasks } from "../src/tasks";
import { handlers, options } from "./client";
import { answers, CancellationError, EventEmitter, ran, reset, scoped, settings, shown, Uri, window, workspace } from "./vscode";

const LINK = "see [here](command:workbench.action.terminal.new)";
const FILE = "file:///ws/src/a.ts";
const LINES = { start: { line: 3, character: 0 }, end: { line: 7, character: 0 } };
const moment = () => new Promise((resolve) => setTimeout(resolve, 5));
const quiet = { debug() {}, info() {}, warn() {}, error() {} } as never;

const finding = (rule: string, path = "src/a.ts"): Finding => ({ rule, path, verdict: "block", message: "m" });
const diffOf = (task: string, findings: Finding[] = []) => ({ task, state: findings.length > 0 ? "blocked" : "ready", files: [], why: [], patch: "", base: [], model: "m", gate: { verdict: findings.length > 0 ? "block" : "pass", findings, checks: [] } }) as unknown as DiffResult;

/** Tasks over a server that answers as is told, and a memory with tasks from before. */
function journey(answer: (method: string, params: { task?: string }) => unknown, known: { task: string; intent: string }[] = []) {
  const asked: { method: string; params: Record<string, unknown> }[] = [];
  const [told, state, checked] = [new EventEmitter<TaskStatus>(), new EventEmitter<{ name: string }>(), new EventEmitter<unknown>()];
  const memory = new Map<string, unknown>([["krins.tasks", known]]);
  const server = {
    state: { name: "running" },
    onDidChangeTask: told.event,
    onDidCheck: checked.event,
    onDidChangeState: state.event,
    onProgress: () => ({ dispose() {} }),
    isWork: () => true,
    request: async (method: string, params: { task?: string }) => {
      asked.push({ method, params: params ?? {} });
      return answer(method, params);
    },
  };
  const nothing = async () => undefined;
  const preview = { active: () => undefined, show: nothing, load: nothing, update: nothing, close: nothing };
  const kept = { get: (key: string, otherwise: unknown) => memory.get(key) ?? otherwise, update: async (key: string, value: unknown) => void memory.set(key, value) };
  const tasks = new Tasks(server as unknown as Server, preview as unknown as Preview, kept as never, quiet);
  return { tasks, asked, told, state, known: () => memory.get("krins.tasks") as { task: string }[], of: (method: string) => asked.filter((each) => each.method === method) };
}

const next = async () => assert.fail("it was left to the server's command");
/** A server whose one task is blocked by these findings. */
const blocked = (...findings: Finding[]) =>
  journey((method, { task = "t" }) => (method === "krins/task" ? { task, intent: "words", state: "blocked" } : method === "krins/tasks" ? { tasks: [] } : diffOf(task, findings)));

beforeEach(reset);

test("new settings start a server anew, but not one that has been asked for something meanwhile", async () => {
  settings["krins.server.path"] = process.execPath;
  const kept = { get: () => undefined, update: async () => {} };
  const server = new Server({ globalState: kept, secrets: kept, extensionPath: "/x", globalStorageUri: Uri.file("/home/p/data/User/globalStorage/krins") } as never, quiet);
  await server.start();
  const first = options;
  await server.renew(() => assert.fail("nothing has changed"));
  settings["krins.server.path"] = "/bin/sh";
  let asked = false;
  const renewed = server.renew(() => !asked);
  asked = true;
  await renewed;
  assert.equal(options, first);
  await server.renew(() => true);
  assert.notEqual(options, first);
});

test("what a server says is shown as text: no link of its words runs anything", async () => {
  settings["krins.server.path"] = process.execPath;
  const kept = { get: () => undefined, update: async () => {} };
  const server = new Server({ globalState: kept, secrets: kept, extensionPath: "/x", globalStorageUri: Uri.file("/home/p/data/User/globalStorage/krins") } as never, quiet);
  await server.start();
  const item = { title: "Yes" };
  for (const type of [1, 2, 3, 4]) handlers.get("window/showMessage")?.({ type, message: LINK });
  answers.warn = ([first]) => first;
  assert.equal(await handlers.get("window/showMessageRequest")?.({ type: 2, message: LINK, actions: [item] }), item);
  assert.deepEqual(shown.map(({ what }) => what), ["error", "warn", "info", "info", "warn"]);
  assert.ok(shown.every(({ text }) => text.startsWith("see [here]") && !text.includes("](")), JSON.stringify(shown));
  // The client's own messages are never shown, and what a command throws VS Code shows as it is.
  assert.equal(options?.revealOutputChannelOn, 4);
  const refused = (error: Error) => options?.middleware.executeCommand?.("krins.lock", [{}], async () => Promise.reject(error)) as Promise<unknown>;
  await assert.rejects(refused(new CancellationError()), CancellationError);
  await assert.rejects(refused(new Error(LINK)), (error: Error) => error.message.startsWith("See [here]") && !error.message.includes("]("));
  const actions = (address: string) => options?.middleware.provideCodeActions?.({ uri: Uri.parse(address) }, 0, 0, 0, () => ["asked"]);
  assert.deepEqual(actions("file:///home/p/data/User/settings.json"), []);
  assert.deepEqual(actions(FILE), ["asked"]);
});

test("a finding that is to be put up with is asked about, and one that is to be seen is shown", async () => {
  const { tasks, of } = blocked(finding("sast/eval"));
  answers.input = () => "it is a test";
  answers.pick = ([first]) => first;
  await tasks.command("krins.waive", { task: "t", rule: "sast/eval", path: "src/a.ts" }, next);
  const { params } = of("krins/waive")[0]!;
  assert.deepEqual([params.task, params.rule, params.path, params.reason, params.exact], ["t", "sast/eval", "src/a.ts", "it is a test", true]);
  await tasks.command("krins.task", { task: "t" }, next);
  assert.deepEqual(ran.at(-1), ["krins.ui.gate", { task: "t" }]);
  void tasks.command("krins.fix", { task: "t" }, next);
  await moment();
  assert.equal(of("krins/fix").length, 1);
});

test("only one finding is waived where it can be told from others, and a secret never", async () => {
  const widths = async (findings: Finding[]) => {
    reset();
    const { tasks } = blocked(...findings);
    answers.input = () => "ours";
    answers.pick = ([first]) => first;
    await tasks.waive("t", findings[0]!.rule, "src/a.ts");
    return shown.at(-1)!.items.map((item) => (item as { label: string }).label.split(" ")[0]);
  };
  assert.deepEqual(await widths([finding("sast/eval"), finding("sast/eval", "src/b.ts")]), ["Only", "sast/eval"]);
  assert.deepEqual(await widths([finding("sast/eval"), finding("sast/eval")]), ["sast/eval"]);
  assert.deepEqual(await widths([finding("secrets/aws")]), ["secrets/aws"]);
});

test("a comment's task is about the comment's place, wherever the cursor is", async () => {
  const { tasks, of } = journey((method) => (method === "krins/diff" ? diffOf("t") : { tasks: [] }));
  const cursor = { start: { line: 90, character: 0 }, end: { line: 91, character: 0 }, isEmpty: false };
  Object.assign(window, { activeTextEditor: { document: { uri: Uri.parse(FILE) }, selection: cursor } });
  await tasks.change({ intent: "words", uri: Uri.parse(FILE) as never, now: true });
  await tasks.command("krins.assign", { intent: "words", textDocument: { uri: FILE }, selection: LINES }, next);
  assert.deepEqual(of("krins/assign").map(({ params }) => params.selection), [{ start: cursor.start, end: cursor.end }, LINES]);
});

test("the files are shown before a task where the file's own folder wants it so", async () => {
  const { tasks, of } = journey((method) => (method === "krins/diff" ? diffOf("t") : method === "krins/context" ? context : { tasks: [] }));
  scoped[FILE] = { "krins.confirmContext": true };
  await tasks.change({ intent: "words", uri: Uri.parse(FILE) as never, now: true });
  assert.deepEqual([of("krins/context").length, of("krins/assign").length], [1, 0]);
  await tasks.change({ intent: "words", uri: Uri.parse("file:///other/b.ts") as never, now: true });
  assert.equal(of("krins/assign").length, 1);
});

const context = { items: [{ uri: FILE, ranges: [[1, 2]], reason: "r", tokens: 5 }], pruned: [], tokens: 5, estimate: { micros: 0 } } as unknown as ContextResult;

test("a file that would be sent is looked at, and the question is there still", async () => {
  let asked = 0;
  answers.pick = (items) => ((asked += 1) === 1 ? items.find((item) => (item as { open?: object }).open) : items[0]);
  assert.equal(await showContext(context, "Ask now"), true);
  assert.deepEqual(shown.map(({ what }) => what), ["pick", "document", "pick"]);
});

test("nothing is applied or discarded over the head of a text that is not saved", async () => {
  const { tasks, of } = journey((method, { task = "t" }) => (method === "krins/diff" ? diffOf(task) : method === "krins/task" ? { task, intent: "words", state: "ready" } : { tasks: [], applied: [], conflicts: [], unsaved: [] }));
  const text = (task: string, isDirty: boolean) => Object.assign(workspace, { textDocuments: [{ isDirty, uri: Uri.parse(`krins-edit:/h1/a.ts?${task}`) }] });
  text("t", true);
  await tasks.applyAll("t");
  await tasks.discard("t");
  await tasks.command("krins.discard", { task: "t" }, next);
  assert.deepEqual([of("krins/apply").length, of("krins/discard").length], [0, 0]);
  assert.equal(shown.filter(({ text }) => text.includes("save your text of a hunk first")).length, 3);
  text("t", false);
  await tasks.applyAll("t");
  text("another", true);
  await tasks.discard("u");
  assert.deepEqual([of("krins/apply").length, of("krins/discard").length], [1, 1]);
});

test("a word about a task that comes late does not begin to follow it again", async () => {
  const { tasks, told, of } = journey((method) => (method === "krins/diff" ? diffOf("t") : { tasks: [] }));
  const word = (state: TaskStatus["state"]) => told.fire({ task: "t", intent: "words", state, seq: 1 } as TaskStatus);
  word("asking");
  await moment();
  assert.equal(tasks.proposals.length, 1);
  word("gating");
  await moment();
  assert.equal(of("krins/diff").length, 1);
  assert.equal(shown.length, 1);
});

test("after a restart a task is let go where nobody knows it, and one that was applied meanwhile is told of", async () => {
  const known = ["gone", "broken", "done"].map((task) => ({ task, intent: `words of ${task}` }));
  const answer = (method: string, { task }: { task?: string }) => {
    if (method === "krins/tasks") return { tasks: [] };
    if (task === "done") return { task, intent: "words", state: "applied" };
    throw Object.assign(new Error("no"), { data: { kind: task === "gone" ? "UnknownTask" : "Internal" } });
  };
  const { state, known: left } = journey(answer, known);
  state.fire({ name: "running" });
  await moment();
  assert.deepEqual(left().map(({ task }) => task), ["broken"]);
  assert.deepEqual(shown.map(({ text }) => text), ["Krins: words of done: it is applied."]);
});

test("who waits for an end hears of it when all that can be cancelled has ended, also badly", async () => {
  let idle = false;
  const ends: ((error?: Error) => void)[] = [];
  const work = () => say.cancellable("x", () => new Promise<void>((resolve, reject) => ends.push((error) => (error ? reject(error) : resolve()))));
  const [one, two] = [work(), work().catch(() => undefined)];
  void say.idle().then(() => (idle = true));
  ends[0]!();
  await one;
  await moment();
  assert.equal(idle, false);
  ends[1]!(new Error("broken"));
  await two;
  await moment();
  assert.equal(idle, true);
});

test("as long as it is not known who is asked, it is nobody", () => {
  const of = (provider: string | undefined) => Object.getOwnPropertyDescriptor(StatusBar.prototype, "keyless")?.get?.call({ provider }) as boolean;
  assert.deepEqual([of(undefined), of("builtin"), of("ollama")], [true, true, false]);
});
