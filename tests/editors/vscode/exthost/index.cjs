// Runs inside VS Code: the extension through VS Code's own interfaces, where nothing has to be drawn.

const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const { appendFileSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } = require("node:fs");
const { tmpdir } = require("node:os");
const { dirname, join } = require("node:path");
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

/** The document of a file, of the proposal whose tab is the last one. */
async function after(path) {
  const task = tabs().flatMap(({ input }) => input?.textDiffs?.[0]?.modified.query ?? []).at(-1);
  const isIt = ({ uri }) => uri.scheme === "krins-after" && uri.path.endsWith(`/${path}`) && uri.query === task;
  return until(path, () => vscode.workspace.textDocuments.find(isIt));
}

/** The tabs over all files of a proposal. */
const diffs = (intent) => tabs().filter(({ label }) => label.startsWith(`Krins: ${intent}`));
const known = (document) => lenses(document).then((all) => all.length > 0);
/** Who is asked, as the person's settings say it. */
const asks = (provider) => {
  const path = join(dirname(OUT), "data/Machine/settings.json");
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, "utf8")), "krins.provider": provider }));
};

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
      // It is there before what is written into it.
      return /^(\d+) (\d+)$/.exec(readFileSync(file, "utf8"))?.slice(1).map(Number);
    } catch {
      return undefined;
    }
  });
  assert.ok(pids.length === 2 && pids.every(isThere), String(pids));
  return pids;
}

/** The servers that this window runs. */
const servers = () =>
  readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, "utf8").trim().split(" ").map(Number).filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("\0lsp\0") && isThere(pid);
    } catch {
      return false;
    }
  });

/** Another server than this one, and that it answers. */
async function another(than) {
  await until("another server", () => servers().length === 1 && servers()[0] !== than);
  await until("it answers", async () => (await vscode.commands.getCommands(true)).includes("krins.status"));
  return servers()[0];
}

const set = (key, value) => vscode.workspace.getConfiguration().update(key, value, vscode.ConfigurationTarget.Global);

const promises = {
  async "it activates by itself, and every command that it contributes is there"() {
    const extension = vscode.extensions.getExtension("krins.krins");
    await until("active", () => extension.isActive);
    const known = new Set(await vscode.commands.getCommands(true));
    const missing = extension.packageJSON.contributes.commands.map(({ command }) => command).filter((command) => !known.has(command));
    assert.deepEqual(missing, []);
    await until("the server", () => known.has("krins.status") || vscode.commands.getCommands(true).then((all) => all.includes("krins.status")));
    const notices = readFileSync(join(extension.extensionPath, "dist/ThirdPartyNotices.txt"), "utf8");
    for (const name of ["vscode-languageclient", "vscode-jsonrpc"]) assert.match(notices, new RegExp(`^${name} [0-9.]+ \\(MIT\\)\n\n[^-]*Permission is hereby granted`, "m"));
  },
  async "a setting that changes something for the server starts it once more, and any other one leaves it alone"() {
    const [first] = await until("the server", () => (servers().length === 1 ? servers() : undefined));
    const seen = new Set();
    const watch = setInterval(() => servers().forEach((pid) => seen.add(pid)), 20);
    let second;
    try {
      // It counts where there is a proxy.
      await set("http.noProxy", ["localhost"]);
      await set("krins.suggestions", false);
      await sleep(1_500);
      assert.deepEqual(servers(), [first]);
      await set("krins.budget.microsPerDay", 5_000_000);
      second = await another(first);
      await sleep(1_500);
      assert.deepEqual([...seen], [first, second]);
    } finally {
      clearInterval(watch);
      for (const key of ["http.noProxy", "krins.suggestions", "krins.budget.microsPerDay"]) await set(key, undefined);
    }
    await another(second);
  },
  async "a file of a workspace that no folder of the window holds is locked, and given back"() {
    const root = mkdtempSync(join(tmpdir(), "krins-beside-"));
    const listed = () => execFileSync(vscode.workspace.getConfiguration("krins").get("server.path"), ["locks"], { cwd: root, encoding: "utf8" });
    try {
      mkdirSync(join(root, ".krins"));
      writeFileSync(join(root, "beside.ts"), "export const beside = 1;\n");
      const uri = vscode.Uri.file(join(root, "beside.ts"));
      // The server may just be starting, which is said and changes nothing.
      const toggled = (wanted) => until(`locked: ${wanted}`, async () => {
        await run("krins.ui.lock", uri);
        return listed().includes("beside.ts") === wanted;
      });
      await toggled(true);
      await vscode.window.showTextDocument(uri);
      await toggled(false);
    } finally {
      await run("workbench.action.closeActiveEditor");
      rmSync(root, { recursive: true, force: true });
    }
  },
  async "a comment's code action asks like everything else: with the words in the line"() {
    const document = await vscode.workspace.openTextDocument(at("src/format.ts"));
    const editor = await vscode.window.showTextDocument(document);
    await editor.edit((edit) => edit.insert(new vscode.Position(0, 0), "// krins: remove unused imports in this file\n"));
    const actions = await until("the action", async () => {
      const all = await run("vscode.executeCodeActionProvider", document.uri, new vscode.Range(0, 0, 0, 0), undefined, 20);
      return all.find(({ title, command }) => title.includes("remove unused imports") && command?.command === "krins.assign");
    });
    // The lines that it is about, wherever the cursor is by then.
    assert.equal(actions.command.arguments[0].selection.start.line, 0);
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
  async "what was written by hand comes back with its hunk"() {
    const document = await after("src/stats.ts");
    const word = async (name) => {
      const found = await until(name, async () => (await lenses(document)).find(({ command, arguments: [{ hunk }] }) => command === name && hunk === own));
      await run(found.command, ...found.arguments);
    };
    const own = (await lenses(document)).find(({ title }) => title.includes("with your text")).arguments[0].hunk;
    await word("krins.ui.rejectHunk");
    await until("gone", () => !document.getText().includes("// by hand"));
    await word("krins.ui.takeBackHunk");
    await until("back", () => document.getText().includes("completionRate"));
    assert.ok(document.getText().includes("// by hand"), document.getText());
  },
  async "a review is one tab, however often it is asked for"() {
    const { query: task } = (await after("src/index.ts")).uri;
    for (let time = 0; time < 3; time += 1) await run("krins.ui.review", { task });
    await vscode.window.showTextDocument(at("src/format.ts"));
    await run("krins.ui.review", { task });
    assert.deepEqual(diffs("rename").map(({ isActive }) => isActive), [true]);
  },
  async "an apply writes what is shown, an undo brings every byte back, a redo does it again"() {
    const before = text("src/model/progress.ts");
    const document = await after("src/stats.ts");
    const [shown, { query: task }] = [document.getText(), document.uri];
    // Not awaited: it ends with the message's answer, which nobody gives here.
    void run("krins.ui.apply");
    await until("applied", () => text("src/model/progress.ts").includes("completionRate"));
    await until("every file", () => text("src/stats.ts") === shown);
    assert.ok(!text("src/index.ts").includes("completionRate"));
    await until("the tab is closed", () => !tabs().some(({ label }) => label.startsWith("Krins: rename")));
    await until("the text of one's own is closed", () => !tabs().some(({ input }) => input?.uri?.scheme === "krins-edit"));
    void run("krins.ui.applySome", { task });
    await until("what was left out", async () => {
      await run("workbench.action.acceptSelectedQuickOpenItem");
      return text("src/index.ts").includes("completionRate");
    });
    void run("krins.ui.undo");
    await until("the rest is undone", () => !text("src/index.ts").includes("completionRate"));
    const sources = readdirSync(at("src").fsPath, { recursive: true }).filter((name) => /\.tsx?$/.test(name));
    // Open files come first: what is asked next has to begin with what all of them are.
    const undone = () => !sources.some((name) => text(`src/${name}`).includes("completionRate"));
    void run("krins.ui.undo");
    await until("undone", undone);
    void run("krins.ui.redo");
    await until("done again", () => text("src/stats.ts") === shown);
    void run("krins.ui.undo");
    await until("undone", undone);
    assert.equal(text("src/model/progress.ts"), before);
  },
  async "a text of one's own that is not saved holds a discard up, and one that comes too late is not taken for saved"() {
    await vscode.window.showTextDocument(at("src/model/progress.ts"));
    await propose(RENAME, "src/model/progress.ts");
    const document = await after("src/stats.ts");
    const edit = (await lenses(document)).find(({ command }) => command === "krins.ui.editHunk");
    await run(edit.command, ...edit.arguments);
    const editor = await until("the text", () => vscode.window.visibleTextEditors.find((each) => each.document.uri.scheme === "krins-edit" && each.document.uri.query === document.uri.query));
    await editor.edit((change) => change.insert(new vscode.Position(0, 0), "// too late\n"));
    const { query: task } = document.uri;
    await run("krins.ui.discard", { task });
    assert.equal(diffs("rename").length, 1);
    // Not awaited: an apply ends with the answer to its message.
    void run("krins.ui.apply", { task });
    await sleep(500);
    assert.ok(!text("src/stats.ts").includes("completionRate"));
    // Another process ends it, of which this one hears when it begins anew.
    execFileSync(vscode.workspace.getConfiguration("krins").get("server.path"), ["discard", task], { cwd: folder().fsPath });
    await run("krins.ui.restart");
    await until("the diff is closed", () => diffs("rename").length === 0);
    const late = vscode.workspace.textDocuments.find(({ uri }) => uri.toString() === editor.document.uri.toString());
    assert.ok(late?.isDirty, "it is there still");
    void late.save();
    await sleep(1000);
    assert.ok(late.isDirty, "it is not saved");
    await vscode.window.showTextDocument(late);
    await run("workbench.action.revertAndCloseActiveEditor");
  },
  async "two proposals of the same words are two: what is in front is meant, and the other one stays"() {
    const tasks = [];
    for (const path of ["src/model/progress.ts", "src/stats.ts"]) {
      await vscode.window.showTextDocument(at(path));
      const before = diffs("rename").length;
      void run("krins.ui.change", { intent: RENAME, uri: at(path) });
      await until("the diff", async () => {
        if (diffs("rename").length === before) await run("workbench.action.acceptSelectedQuickOpenItem");
        return diffs("rename").length === before + 1;
      });
      tasks.push(vscode.window.tabGroups.activeTabGroup.activeTab.input.textDiffs[0].modified.query);
    }
    assert.notEqual(tasks[0], tasks[1]);
    await run("krins.ui.review", { task: tasks[0] });
    await until("it is in front", () => vscode.window.tabGroups.activeTabGroup.activeTab.input?.textDiffs?.[0]?.modified.query === tasks[0]);
    // Asked without a name: no question comes up.
    await run("krins.ui.discard");
    const other = ({ label }) => label.includes(" · 2");
    await until("its tab is closed", () => diffs("rename").every(other));
    await run("krins.ui.review", { task: tasks[1] });
    await until("the other one", () => diffs("rename").length === 1 && diffs("rename").every(other));
    await run("krins.ui.discard", { task: tasks[1] });
    await until("no tab", () => diffs("rename").length === 0);
  },
  async "a place is opened by its address, at its line"() {
    await run("krins.ui.openPlace", at("src/model/progress.ts").with({ fragment: "3" }).toString());
    const { document, selection } = vscode.window.activeTextEditor;
    assert.deepEqual([document.uri.path, selection.active.line], [at("src/model/progress.ts").path, 2]);
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
  async "an export that nothing uses is faded where a model could be asked, when its file is saved, and one word ends such hints"() {
    const document = await vscode.workspace.openTextDocument(at("src/left.ts"));
    const editor = await vscode.window.showTextDocument(document);
    const save = async () => {
      await editor.edit((edit) => edit.insert(new vscode.Position(document.lineCount, 0), "// the end\n"));
      assert.ok(await document.save());
    };
    const hints = () => vscode.languages.getDiagnostics(document.uri).filter(({ source }) => source === "krins suggests");
    await save();
    await sleep(3_000);
    assert.deepEqual(hints().map(({ message }) => message), [], "nobody could do it");
    await set("krins.provider", "local");
    let saved = 0;
    const [hint] = await until("the hint", async () => {
      // What is still read is looked at with another save, once in twenty seconds.
      if (Date.now() - saved > 5_000) {
        await save();
        saved = Date.now();
      }
      return hints().length > 0 ? hints() : undefined;
    }, 90_000);
    assert.ok(hint.message.includes("leftOver") && hint.severity === vscode.DiagnosticSeverity.Hint);
    const actions = await run("vscode.executeCodeActionProvider", document.uri, hint.range);
    const task = actions.find(({ command }) => command?.command === "krins.ui.change" && command.arguments[0].intent.includes("leftOver"));
    assert.ok(task, actions.map(({ title }) => title).join(" | "));
    await run(actions.find(({ command }) => command?.command === "krins.ui.noSuggestions").command.command);
    await until("no hint", () => hints().length === 0);
    await set("krins.suggestions", undefined);
    const [one] = servers();
    await set("krins.provider", undefined);
    await another(one);
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
  async "a mend that is refused leaves the proposal where it was"() {
    const [one] = servers();
    let two;
    asks("local");
    try {
      await vscode.window.showTextDocument(at("src/format.ts"));
      two = await another(one);
      await sleep(1000);
      await propose("take any certificate", "src/format.ts");
      const document = await after("src/format.ts");
      assert.ok(await known(document));
      const [waive, show] = await until("what can be done about it, in the file", async () => {
        const all = await run("vscode.executeCodeActionProvider", at("src/format.ts"), new vscode.Range(0, 0, 99, 0), undefined, 20);
        const found = ["krins.waive", "krins.task"].map((name) => all.find(({ command }) => command?.command === name)?.command);
        return found.every(Boolean) ? found : undefined;
      });
      let over = false;
      const end = () => (over = true);
      run(waive.command, ...waive.arguments).then(end, end);
      await sleep(500);
      assert.ok(!over, "a reason is asked for");
      await run("workbench.action.closeQuickOpen");
      await until("it is given up", () => over);
      assert.equal(await run(show.command, ...show.arguments), undefined, "the panel shows it, and not the server's answer");
      const editor = await vscode.window.showTextDocument(at("src/format.ts"), { preview: false });
      await editor.edit((change) => change.insert(new vscode.Position(editor.document.lineCount, 0), "// went on\n"));
      // Not awaited: it ends with the answer to the message that says why.
      void run("krins.ui.fix", { task: document.uri.query });
      await sleep(1500);
      await until("its words are there again", () => known(document));
      await run("krins.ui.discard", { task: document.uri.query });
      await vscode.window.showTextDocument(editor.document);
      await run("workbench.action.files.revert");
    } finally {
      asks(undefined);
      await another(two);
      await sleep(1000);
    }
  },
  // The last one: the extension is not there any more after it.
  async "what a preview runs ends with the window"() {
    const pids = await served();
    const { extensionPath, packageJSON } = vscode.extensions.getExtension("krins.krins");
    await require(join(extensionPath, packageJSON.main)).deactivate();
    // It has been told to; when it is gone is the system's.
    await until(`${pids} are gone`, () => !pids.some(isThere), 2_000);
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
      say(`not ok ${count} - ${name} # ${String(error.stack).split("\n").slice(0, 14).join(" | ")}`);
    }
  }
  say(`1..${count}`);
  say(`# broken ${broken}`);
  if (broken > 0) throw new Error(`${broken} broken`);
};
