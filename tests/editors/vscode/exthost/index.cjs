// Runs inside VS Code: the extension through VS Code's own interfaces, where nothing has to be drawn.

const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const { appendFileSync, readFileSync, rmSync } = require("node:fs");
const { join } = require("node:path");
const vscode = require("vscode");

const OUT = process.env.KRINS_TEST_OUT;
const RENAME = "rename calculateProgress to completionRate";
const folder = () => vscode.workspace.workspaceFolders[0].uri;
const at = (path) => vscode.Uri.joinPath(folder(), path);
const disk = (path) => readFileSync(join(folder().fsPath, path), "utf8");
/** What a file is to its person: the buffer where it is open, else the disk. */
const text = (path) => vscode.workspace.textDocuments.find(({ uri }) => uri.toString() === at(path).toString())?.getText() ?? disk(path);
const run = (command, ...args) => vscode.commands.executeCommand(command, ...args);
const sleep = (millis) => new Promise((resolve) => setTimeout(resolve, millis));
const tabs = () => vscode.window.tabGroups.all.flatMap((group) => group.tabs);

/** Patience is counted in looks: a machine that stood still for a while has taken none of it. */
async function until(what, found, millis = 60_000) {
  let patience = millis;
  for (;;) {
    const begun = Date.now();
    const value = await found();
    if (value) return value;
    if (patience <= 0) throw new Error(`timeout: ${what}`);
    await sleep(50);
    patience -= Math.min(Date.now() - begun, 1000);
  }
}

/** A task from words that are given, sent by the picker's Enter. */
async function propose(intent, path) {
  void run("krins.ui.change", { intent, uri: at(path) });
  await until("the diff", async () => {
    // Enter, as soon as the picker is there; harmless before and after.
    await run("workbench.action.acceptSelectedQuickOpenItem");
    return tabs().some(({ label }) => label.startsWith(`Krins: ${intent}`));
  }).catch((error) => {
    throw new Error(`${error.message}; there are ${tabs().map(({ label }) => label).join(" | ")}`);
  });
}

/** The proposal's document of a file, drawn in a diff of its own. */
async function after(path) {
  const document = vscode.workspace.textDocuments.find(({ uri }) => uri.scheme === "krins-after" && uri.path.endsWith(`/${path}`));
  return document ?? vscode.workspace.openTextDocument(await until(path, () => [...vscode.workspace.textDocuments].map(({ uri }) => uri).find((uri) => uri.scheme === "krins-after" && uri.path.endsWith(`/${path}`))));
}

const lenses = async (document) => (await run("vscode.executeCodeLensProvider", document.uri, 50)).map(({ command }) => command);

const isThere = (pid) => {
  try {
    process.kill(pid, 0);
    // One that ended and that nobody has asked after yet is no process any more.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
};

/** Runs the project's script in the proposal's worktree: its processes, once they are there. */
async function served() {
  const file = `${OUT}.pids`;
  rmSync(file, { force: true });
  void run("krins.ui.preview");
  const pids = await until("the script runs", async () => {
    await run("workbench.action.acceptSelectedQuickOpenItem");
    try {
      return readFileSync(file, "utf8").split(" ").map(Number);
    } catch {
      return undefined;
    }
  });
  assert.ok(pids.length === 2 && pids.every(isThere), String(pids));
  return pids;
}

const promises = {
  async "it activates by itself, and every command that it contributes is there"() {
    const extension = vscode.extensions.getExtension("krins.krins");
    await until("active", () => extension.isActive);
    const known = new Set(await vscode.commands.getCommands(true));
    const missing = extension.packageJSON.contributes.commands.map(({ command }) => command).filter((command) => !known.has(command));
    assert.deepEqual(missing, []);
    await until("the server", () => known.has("krins.status") || vscode.commands.getCommands(true).then((all) => all.includes("krins.status")));
  },
  async "a comment's code action asks like everything else: with the words in the line"() {
    const document = await vscode.workspace.openTextDocument(at("src/format.ts"));
    const editor = await vscode.window.showTextDocument(document);
    await editor.edit((edit) => edit.insert(new vscode.Position(0, 0), "// krins: remove unused imports in this file\n"));
    const actions = await until("the action", async () => {
      const all = await run("vscode.executeCodeActionProvider", document.uri, new vscode.Range(0, 0, 0, 0), undefined, 20);
      return all.find(({ title, command }) => title.includes("remove unused imports") && command?.command === "krins.assign");
    });
    assert.ok(actions);
    await run("workbench.action.files.revert");
  },
  async "a proposal is a diff over all files, with a word above each hunk"() {
    await vscode.window.showTextDocument(at("src/model/progress.ts"));
    await propose(RENAME, "src/model/progress.ts");
    const document = await after("src/format.ts");
    const titles = (await lenses(document)).map(({ title }) => title.replace(/\$\([^)]*\) /g, ""));
    assert.deepEqual(titles.slice(0, 4), ["Accept", "Reject", "Edit", "Why"]);
  },
  async "what is rejected goes out of the diff, and comes back"() {
    const document = await after("src/index.ts");
    const named = () => document.getText().includes("completionRate");
    assert.ok(named());
    const reject = (await lenses(document)).find(({ command }) => command === "krins.ui.rejectHunk");
    await run(reject.command, ...reject.arguments);
    await until("gone", () => !named());
    const back = (await lenses(document)).find(({ command }) => command === "krins.ui.takeBackHunk");
    await run(back.command, ...back.arguments);
    await until("back", named);
    await run(reject.command, ...reject.arguments);
    await until("gone", () => !named());
  },
  async "a text of one's own takes a hunk's place when it is saved"() {
    const document = await after("src/stats.ts");
    const edit = (await lenses(document)).find(({ command }) => command === "krins.ui.editHunk");
    await run(edit.command, ...edit.arguments);
    const editor = await until("the text", () => (vscode.window.activeTextEditor?.document.uri.scheme === "krins-edit" ? vscode.window.activeTextEditor : undefined));
    await editor.edit((change) => change.insert(new vscode.Position(0, 0), "// by hand\n"));
    assert.ok(await editor.document.save());
    await until("in the diff", () => document.getText().includes("// by hand"));
  },
  async "an apply writes what is shown, an undo brings every byte back, a redo does it again"() {
    const before = text("src/model/progress.ts");
    const shown = (await after("src/stats.ts")).getText();
    // Not awaited: it ends with the message's answer, which nobody gives here.
    void run("krins.ui.apply");
    await until("applied", () => text("src/model/progress.ts").includes("completionRate"));
    await until("every file", () => text("src/stats.ts") === shown);
    assert.ok(!text("src/index.ts").includes("completionRate"));
    await until("the tab is closed", () => !tabs().some(({ label }) => label.startsWith("Krins: rename")));
    void run("krins.ui.undo");
    await until("undone", () => text("src/model/progress.ts") === before);
    void run("krins.ui.redo");
    await until("done again", () => text("src/stats.ts") === shown);
    void run("krins.ui.undo");
    await until("undone", () => text("src/model/progress.ts") === before);
  },
  async "an unsaved buffer is changed in the editor and stays unsaved"() {
    const document = await vscode.workspace.openTextDocument(at("src/model/progress.ts"));
    const editor = await vscode.window.showTextDocument(document);
    await editor.edit((edit) => edit.insert(new vscode.Position(document.lineCount, 0), "// not saved\n"));
    await propose(RENAME, "src/model/progress.ts");
    void run("krins.ui.apply");
    await until("in the buffer", () => document.getText().includes("completionRate"));
    assert.ok(document.isDirty && document.getText().includes("// not saved"));
    await until("the tab is closed", () => !tabs().some(({ label }) => label.startsWith("Krins: rename")));
    void run("krins.ui.undo");
    await until("undone", () => !document.getText().includes("completionRate"));
    await vscode.window.showTextDocument(document);
    await run("workbench.action.files.revert");
  },
  async "an export that nothing uses is faded when its file is saved, can be asked about, and one word ends such hints"() {
    const document = await vscode.workspace.openTextDocument(at("src/left.ts"));
    const editor = await vscode.window.showTextDocument(document);
    await editor.edit((edit) => edit.insert(new vscode.Position(document.lineCount, 0), "// the end\n"));
    assert.ok(await document.save());
    const hints = () => vscode.languages.getDiagnostics(document.uri).filter(({ source }) => source === "krins suggests");
    const [hint] = await until("the hint", () => (hints().length > 0 ? hints() : undefined));
    assert.ok(hint.message.includes("leftOver") && hint.severity === vscode.DiagnosticSeverity.Hint);
    const actions = await run("vscode.executeCodeActionProvider", document.uri, hint.range);
    const task = actions.find(({ command }) => command?.command === "krins.ui.change" && command.arguments[0].intent.includes("leftOver"));
    assert.ok(task, actions.map(({ title }) => title).join(" | "));
    await run(actions.find(({ command }) => command?.command === "krins.ui.noSuggestions").command.command);
    await until("no hint", () => hints().length === 0);
    await vscode.workspace.getConfiguration("krins").update("suggestions", undefined, vscode.ConfigurationTarget.Global);
  },
  async "a change is run beside the working tree, and what runs ends with its terminal"() {
    await vscode.window.showTextDocument(at("src/model/progress.ts"));
    await propose(RENAME, "src/model/progress.ts");
    const pids = await served();
    const terminal = vscode.window.terminals.find(({ name }) => name === "Krins: dev");
    assert.ok(terminal);
    terminal.dispose();
    await until("everything that it started ends", () => !pids.some(isThere), 10_000);
    assert.ok(!disk("src/model/progress.ts").includes("completionRate"));
  },
  async "a change becomes a commit on a branch of its own"() {
    const git = (...args) => execFileSync("git", args, { cwd: folder().fsPath, encoding: "utf8" });
    // Nobody's name is known on a machine of a test.
    git("config", "user.name", "t");
    git("config", "user.email", "t@example.com");
    const [before, head] = [git("status", "--porcelain"), git("rev-parse", "HEAD")];
    void run("krins.ui.promote");
    const branch = await until("the branch", () => git("for-each-ref", "--format=%(refname:short)", "refs/heads/krins/").trim().split("\n").find((name) => name !== "" && git("rev-parse", name) !== head));
    assert.ok(git("show", `${branch}:src/model/progress.ts`).includes("completionRate"));
    assert.deepEqual([git("status", "--porcelain"), git("rev-parse", "HEAD")], [before, head]);
  },
  // The last one: the extension is not there any more after it.
  async "what a preview runs ends with the window"() {
    const pids = await served();
    const { extensionPath, packageJSON } = vscode.extensions.getExtension("krins.krins");
    await require(join(extensionPath, packageJSON.main)).deactivate();
    assert.ok(!pids.some(isThere), `still there: ${pids.filter(isThere)}`);
  },
};

exports.run = async () => {
  const say = (line) => appendFileSync(OUT, `${line}\n`);
  let broken = 0;
  let count = 0;
  for (const [name, work] of Object.entries(promises)) {
    const begun = Date.now();
    count += 1;
    try {
      await work();
      say(`ok ${count} - ${name} # ${Date.now() - begun} ms`);
    } catch (error) {
      broken += 1;
      say(`not ok ${count} - ${name} # ${String(error.stack).split("\n").slice(0, 4).join(" | ")}`);
    }
  }
  say(`1..${count}`);
  say(`# broken ${broken}`);
  if (broken > 0) throw new Error(`${broken} broken`);
};
