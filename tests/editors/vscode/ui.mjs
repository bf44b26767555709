// The journey in VS Code's own window, by keyboard: `node ui.mjs`. One line a promise; ends with a failure status when one is broken.
// With SHOTS it leaves pictures.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { start, sleep, until } from "./driver.mjs";
import { model } from "./model.mjs";

const RENAME = "rename calculateProgress to completionRate";
const PROGRESS = "src/model/progress.ts";
const FORMAT = "src/format.ts";

const answering = await model();
const vscode = await start({ config: answering.config });
const { page, root, read, press, type, picker, toast, answer, palette, shot } = vscode;
const whole = read(PROGRESS);
let broken = 0;
let count = 0;

/** `node ui.mjs WORDS` keeps to the promises that have the words. */
const only = new RegExp(process.argv[2] ?? "");

async function promise(name, work) {
  if (!only.test(name)) return;
  const begun = Date.now();
  count += 1;
  try {
    const note = await work();
    process.stdout.write(`ok ${count} - ${name} # ${Date.now() - begun} ms${note ? `, ${note}` : ""}\n`);
  } catch (error) {
    broken += 1;
    process.stdout.write(`not ok ${count} - ${name} # ${String(error.stack).split("\n").slice(0, 5).join(" | ")}\n`);
    await shot(`broken-${count}`);
    await press("Escape").catch(() => undefined);
  }
}

/** Rows of the list of tasks, as a screen reader hears them. */
const rows = () => page.$$eval(".pane-body .monaco-list-row", (all) => all.map((row) => row.getAttribute("aria-label") ?? ""));
const row = (words) => until(`a row ${words}`, async () => (await rows()).find((each) => words.test(each)));
const onDisk = (path, words) => until(`${path} on disk`, () => read(path).includes(words));

async function ask(words) {
  await press("Control+Alt+k");
  await page.waitForSelector(".quick-input-widget:visible input");
  await type(words);
  await until("what it would send", async () => (await picker.rows())[0]?.includes("token"));
}

/** Walks the list of tasks down to a row. */
async function walk(words) {
  // A view that is made at this moment does not take the focus: it is asked again.
  for (let again = 0; again < 3; again += 1) {
    await palette("Krins: Focus on Tasks View");
    const focused = page.waitForSelector(".pane-body .monaco-list:focus, .pane-body .monaco-list.element-focused", { timeout: 10_000 });
    if (await focused.catch(() => undefined)) break;
  }
  await press("Home");
  for (let step = 0; step < 60; step += 1) {
    const now = await page.$eval(".pane-body .monaco-list-row.focused", (each) => each.getAttribute("aria-label") ?? "").catch(() => "");
    if (words.test(now)) return;
    await press("ArrowDown");
    await sleep(50);
  }
  throw new Error(`no row ${words}: ${(await rows()).join(" | ")}`);
}

async function axe(frame) {
  await frame.evaluate(readFileSync(process.env.AXE, "utf8"));
  const { violations } = await frame.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  if (serious.length > 0) throw new Error(serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join("; ")}`).join("\n"));
  return `axe: ${violations.length} remarks, none of them serious`;
}

try {
  await promise("the server runs, and the status bar says who is asked", () => vscode.ready());
  await promise("asked by keyboard: each scope says what it would send, nothing is sent before Enter", async () => {
    await vscode.open(PROGRESS);
    await ask(RENAME);
    await until("every scope's figures", async () => (await picker.rows()).filter((each) => /^(?:narrow|normal|broad).*token/.test(each)).length === 3);
    await shot("ask");
    await picker.down("broad");
    await press("Enter");
    await until("the scope", async () => (await picker.rows())[0]?.includes("broad"));
    await press("Enter");
    await toast(/9 files/);
  });
  await promise("the diff: one tab over all files, a word above each place", async () => {
    await page.waitForSelector('.tab.active[aria-label*="completionRate"]');
    await until("lenses", async () => (await page.$$eval(".codelens-decoration", (all) => all.map((each) => each.textContent))).some((each) => /Accept.*Reject.*Edit.*Why/.test(each ?? "")));
    await shot("diff");
  });
  await promise("the gate's panel: every check, for a screen reader too", async () => {
    await palette("Krins: Show the Quality Gate");
    const frame = await vscode.webview("#root h2");
    await until("the verdict", async () => /lets it pass/.test(await frame.textContent("#root")));
    if (!/syntax/.test(await frame.textContent("#root"))) throw new Error("no check is listed");
    return axe(frame);
  });
  await promise("a hunk is rejected in the list, and the diff goes without it", async () => {
    await walk(/^src\/index\.ts/);
    await press("ArrowRight");
    await row(/^export.*calculateProgress|^export.*completionRate/);
    await press("ArrowDown");
    await page.click(".pane-body .monaco-list-row.focused .custom-view-tree-node-item-checkbox");
    await until("rejected", () => page.$('.pane-body [aria-checked="false"]'));
    await shot("tasks");
  });
  await promise("a hunk is opened, accepted and rejected by its keys", async () => {
    await walk(/^src\/stats\.ts/);
    await press("Enter");
    await page.waitForSelector('.tab.active[aria-label*="stats.ts (Krins)"]');
    await press("Control+1");
    await press("Control+Alt+y");
    await until("accepted", async () => (await page.$$eval(".codelens-decoration", (all) => all.map((each) => each.textContent))).some((each) => /accepted/.test(each ?? "")));
    await press("Control+Alt+n");
    await until("rejected", async () => (await page.$$eval(".codelens-decoration", (all) => all.map((each) => each.textContent))).some((each) => /rejected/.test(each ?? "")));
  });
  await promise("a hunk gets a text of one's own", async () => {
    await walk(/^src\/cli\/commands\.ts/);
    await press("Enter");
    await page.waitForSelector('.tab.active[aria-label*="commands.ts (Krins)"]');
    await press("Control+1");
    await press("Control+Alt+e");
    await page.waitForSelector('.tab.active[data-resource-name="commands.ts"]');
    await page.waitForSelector(".monaco-editor.focused");
    await press("Control+Home");
    await type("// mine\n");
    await press("Control+s");
    await walk(/^src\/cli\/commands\.ts/);
    await press("ArrowRight");
    await row(/your text/);
  });
  await promise("applied: what was wanted and nothing else", async () => {
    await vscode.clear();
    // Nothing is open, so that everything is written to the disk.
    await palette("View: Close All Editors");
    await palette("Krins: Apply All");
    await onDisk(PROGRESS, "completionRate");
    await onDisk("src/cli/commands.ts", "// mine");
    if (read("src/index.ts").includes("completionRate") || read("src/stats.ts").includes("completionRate")) throw new Error("a rejected hunk was written");
    await toast(/7 files changed/);
    await shot("applied");
  });
  await promise("what changed, why, what may go wrong, what is next", async () => {
    await answer(/files changed/, "What Changed");
    const frame = await vscode.webview("h2#what");
    await until("the page", async () => /What[\s\S]*Why[\s\S]*Risks[\s\S]*Next/.test(await frame.textContent("body")));
    await shot("after");
  });
  await promise("undone byte for byte, done again, and undone", async () => {
    await palette("Krins: Undo the Last Change");
    await until("undone", () => read(PROGRESS) === whole);
    await palette("Krins: Redo the Last Change");
    await onDisk(PROGRESS, "completionRate");
    await palette("Krins: Undo the Last Change");
    await until("undone", () => read(PROGRESS) === whole);
  });
  await promise("a place that moved on is merged in the merge editor", async () => {
    await vscode.clear();
    await vscode.open(PROGRESS);
    await ask(RENAME);
    await press("Enter");
    await toast(/9 files/);
    await palette("View: Close All Editors");
    writeFileSync(join(root, PROGRESS), whole.replace("calculateProgress(todos: readonly Todo[])", "calculateProgress(all: readonly Todo[])"));
    await vscode.clear();
    await until("the conflict", async () => {
      await palette("Krins: Apply All");
      return toast(/nothing was applied/);
    });
    await shot("conflict");
    await answer(/nothing was applied/, "Merge");
    await page.waitForSelector(".merge-editor .input1 .view-line, .merge-editor .code-view .view-line");
    await shot("merge");
    await palette("Merge Editor: Accept All Current Changes from Right");
    await press("Control+s");
    await until("merged", () => read(PROGRESS).includes("completionRate") && !read(PROGRESS).includes("<<<<<<<"));
    await palette("View: Close All Editors");
    await vscode.clear();
  });
  await promise("a file is locked: a badge, and who holds it", async () => {
    await vscode.clear();
    await vscode.open(FORMAT);
    await palette("Krins: Lock or Unlock the File");
    await toast(/is locked for/);
    await page.waitForSelector(".explorer-folders-view .monaco-list-row:has-text('format.ts'), .tab.active[data-resource-name='format.ts']");
    await palette("Krins: Show Locks");
    await until("the holder", async () => (await picker.rows()).some((each) => /format\.ts.*locked by you/.test(each)));
    await press("Escape");
    await palette("Krins: Lock or Unlock the File");
  });
  await promise("a model is chosen in the settings, and the status bar says so", async () => {
    vscode.machine({ "krins.provider": "local" });
    await until("the status bar", async () => /Krins: local/.test(await vscode.bar()));
  });
  await promise("a task at work is cancelled from its message, down to the provider's connection", async () => {
    await vscode.open(FORMAT);
    await ask("please hang");
    await press("Enter");
    await until("it is asked", () => answering.asked() === 1);
    await shot("running");
    await answer(/please hang/, "Cancel");
    await until("the connection is closed", () => answering.gone() === 1);
    await until("its message is gone", async () => !(await page.$$eval(".notification-toast", (all) => all.some((each) => /please hang/.test(each.textContent)))));
    await until("nothing runs", async () => /Krins: local/.test(await vscode.bar()));
  });
  await promise("the gate blocks: its finding leads to the line, and is waived with a reason", async () => {
    await vscode.open(FORMAT);
    await ask("take any certificate");
    await press("Enter");
    await toast(/blocked/);
    const frame = await vscode.webview("#root .finding");
    await shot("gate");
    const note = await axe(frame);
    await frame.click(".finding .link");
    await page.waitForSelector('.tab.active[aria-label*="format.ts (Krins)"]');
    await palette("Krins: Show the Quality Gate");
    await frame.click('.finding button:has-text("Waive")');
    await page.waitForSelector(".quick-input-widget:visible input");
    await type("the test server signs its own");
    await press("Enter");
    await picker.row("Until today");
    await press("Enter");
    await picker.row("Only this finding");
    await press("Enter");
    await until("it passes now", async () => /lets it pass/.test(await frame.textContent("#root")));
    if (!/the test server signs its own/.test(await frame.textContent("#root"))) throw new Error("the reason is not shown");
    await palette("Krins: Discard the Proposal");
    return note;
  });
} finally {
  await vscode.stop();
  answering.stop();
}
const seconds = Math.round((Date.now() - vscode.times.begun) / 1000);
const { begun, workbench } = vscode.times;
process.stdout.write(`1..${count}\n# broken ${broken}, ${seconds} s, workbench after ${workbench - begun} ms, other hosts asked: ${[...vscode.foreign].join(", ") || "none"}\n`);
process.exit(broken === 0 && vscode.foreign.size === 0 ? 0 : 1);
