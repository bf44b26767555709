// The journey in VS Code's own window, by keyboard: `node ui.mjs [WORDS]`. One line a promise; ends with a failure status when one is
// broken. WORDS keeps to the promises that have them, ESSENTIAL=1 to those that every change of Krins is held to. With SHOTS it leaves
// pictures.

import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { start, until } from "./driver.mjs";
import { model } from "./model.mjs";

const RENAME = "rename calculateProgress to completionRate";
const PROGRESS = "src/model/progress.ts";
const FORMAT = "src/format.ts";
const COMMANDS = "src/cli/commands.ts";
/** An export that nothing uses, in a file that something does use. */
const FILES = {
  "src/left.ts": "export function leftOver(): number {\n  return 1;\n}\nexport const taken = 2;\n",
  "src/right.ts": 'import { taken } from "./left";\nexport const twice = taken * 2;\n',
};
/** The list of tasks, and no other list of the window. */
const TASKS = '.pane:has(.pane-header[aria-label^="Tasks"])';

const answering = await model();
/** The window of now, its person, and what was done in it. */
let vscode, page, root, read, press, type, see, gone, picker, toast, answer, palette, shot;
let done = new Set();
let again = 0;
const foreign = new Set();
const windows = [];

async function begin() {
  vscode = await start({ config: answering.config, files: FILES });
  ({ page, root, read, press, type, see, gone, picker, toast, answer, palette, shot } = vscode);
  done = new Set();
  windows.push(vscode.times.workbench - vscode.times.begun);
}

async function end() {
  again += vscode.again();
  for (const host of vscode.foreign) foreign.add(host);
  await vscode.stop();
}

const labels = (selector) => page.$$eval(selector, (all) => all.map((each) => each.getAttribute("aria-label") ?? ""));
/** Rows of the list of tasks, as a screen reader hears them. */
const rows = () => labels(`${TASKS} .monaco-list-row`);
const lens = (words) => until(`the words ${words} above a place`, async () => (await page.$$eval(".codelens-decoration", (all) => all.map((each) => each.textContent ?? ""))).some((each) => words.test(each)));
const onDisk = (path, words) => until(`${path} on disk`, () => read(path).includes(words));
const closed = () => palette("View: Close All Editors");

/** The line for a change, with words in it and what they would send. */
async function ask(words) {
  await vscode.pressed("Control+Alt+k", "the line for a change", async () => (await picker.line()) === "");
  await picker.asks(/What should be changed/);
  await type(words);
  await until("what it would send", async () => (await picker.rows())[0]?.includes("token"));
}

const estimates = async () => (await picker.rows()).filter((each) => /^(?:narrow|normal|broad).*token/.test(each));

/** Walks the list of tasks to a row. The view's own command goes back to the editor where the list has the keys already. */
async function walk(words) {
  const held = () => page.evaluate((tasks) => document.activeElement?.closest(".monaco-list") !== null && document.activeElement?.closest(tasks) !== null, TASKS);
  const listed = until("the list of tasks has the keys", held, 50);
  if (!(await listed.catch(() => false))) {
    await palette("Krins: Focus on Tasks View");
    // A view that is made at this moment does not take the keys: it is asked again.
    await until("the list of tasks has the keys", held, 5_000).catch(() => palette("Krins: Focus on Tasks View"));
    await until("the list of tasks has the keys", held);
  }
  const chosen = () => page.$eval(`${TASKS} .monaco-list-row.focused`, (each) => each.getAttribute("aria-label") ?? "").catch(() => "");
  const index = () => page.$eval(`${TASKS} .monaco-list-row.focused`, (each) => each.getAttribute("data-index")).catch(() => undefined);
  await vscode.pressed("Home", "the first row", async () => (await index()) === "0");
  for (let step = 0; step < 60; step += 1) {
    if (words.test(await chosen())) return;
    const now = await index();
    await vscode.pressed("ArrowDown", `a row below, on the way to ${words}`, async () => (await index()) !== now).catch(async (error) => {
      throw new Error(`${error.message}; the rows are: ${(await rows()).join(" | ")}`);
    });
  }
  throw new Error(`no row ${words}: ${(await rows()).join(" | ")}`);
}

/** What is under the row that is chosen; a list that is just drawn anew can lose the key. */
const expand = (words) => vscode.pressed("ArrowRight", `a row ${words}`, async () => (await rows()).some((each) => words.test(each)));

async function axe(frame) {
  await frame.evaluate(readFileSync(process.env.AXE, "utf8"));
  const { violations } = await frame.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  if (serious.length > 0) throw new Error(serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join("; ")}`).join("\n"));
  return `axe: ${violations.length} remarks, none of them serious`;
}

/** From the page's begin to its first word, by its own clock; a limit only where PAINT says so, for a machine at rest. */
async function painted(frame) {
  const millis = Math.round(await until("it is painted", () => frame.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime)));
  if (process.env.PAINT && millis >= Number(process.env.PAINT)) throw new Error(`painted after ${millis} ms`);
  return `painted after ${millis} ms`;
}

/** What is promised, in the order of a journey. `after` is what has to be done in the same window before it. */
const PROMISES = {
  ready: {
    says: "the server runs, and the status bar says who is asked",
    essential: true,
    keep: async () => void (await vscode.ready()),
  },
  asked: {
    says: "asked by keyboard: each scope says what it would send",
    essential: true,
    after: ["ready"],
    async keep() {
      await vscode.open(PROGRESS);
      await ask(RENAME);
      await until("every scope's figures", async () => (await estimates()).length === 3);
      await shot("ask");
      await picker.down("broad");
      await press("Enter");
      await until("the scope", async () => (await picker.rows())[0]?.includes("broad"));
      await press("Enter");
      await toast(/9 files/);
    },
  },
  diff: {
    says: "the diff: one tab over all files, a word above each place",
    essential: true,
    after: ["asked"],
    async keep() {
      await see('.tab.active[aria-label*="completionRate"]');
      await lens(/Accept.*Reject.*Edit.*Why/);
      for (const each of ["Apply All", "Apply Some…", "Discard the Proposal"]) await see(`.editor-actions [aria-label^="${each}"]`);
      await shot("diff");
    },
  },
  gate: {
    says: "the gate's panel: every check, for a screen reader too",
    essential: true,
    after: ["asked"],
    async keep() {
      await palette("Krins: Show the Quality Gate");
      const frame = await vscode.webview("#root h2");
      await vscode.reading(frame);
      await until("the verdict", async () => /lets it pass/.test(await frame.textContent("#root")));
      if (!/syntax/.test(await frame.textContent("#root"))) throw new Error("no check is listed");
      return `${await axe(frame)}, ${await painted(frame)}`;
    },
  },
  rejected: {
    says: "a hunk is rejected in the list, and the diff goes without it",
    essential: true,
    after: ["asked"],
    async keep() {
      await walk(/^src\/index\.ts/);
      await expand(/^export.*calculateProgress|^export.*completionRate/);
      await press("ArrowDown");
      await page.click(`${TASKS} .monaco-list-row.focused .custom-view-tree-node-item-checkbox`);
      await until("rejected", () => page.$(`${TASKS} [aria-checked="false"]`));
      await shot("tasks");
    },
  },
  keys: {
    says: "a hunk is opened, accepted and rejected by its keys",
    after: ["asked"],
    async keep() {
      await walk(/^src\/stats\.ts/);
      await press("Enter");
      await see('.tab.active[aria-label*="stats.ts (Krins)"]');
      await press("Control+1");
      await vscode.writing("krins-after", "src/stats.ts");
      await press("Control+Alt+y");
      await lens(/accepted/);
      await press("Control+Alt+n");
      await lens(/rejected/);
    },
  },
  edited: {
    says: "a hunk gets a text of one's own",
    after: ["asked"],
    async keep() {
      await walk(/^src\/cli\/commands\.ts/);
      await press("Enter");
      await see('.tab.active[aria-label*="commands.ts (Krins)"]');
      await press("Control+1");
      await vscode.writing("krins-after", COMMANDS);
      await press("Control+Alt+e");
      await vscode.writing("krins-edit", "commands.ts");
      await press("Control+Home");
      await type("/* mine */ ");
      await see('.tab.active.dirty[data-resource-name="commands.ts"]');
      await press("Control+s");
      await see('.tab.active:not(.dirty)[data-resource-name="commands.ts"]');
      await walk(/^src\/cli\/commands\.ts/);
      await expand(/your text/);
    },
  },
  applied: {
    says: "applied: what was wanted and nothing else",
    essential: true,
    after: ["rejected"],
    async keep() {
      await vscode.clear();
      // Nothing is open, so that everything is written to the disk.
      await closed();
      await palette("Krins: Apply All");
      await onDisk(PROGRESS, "completionRate");
      const left = done.has("keys") ? ["src/index.ts", "src/stats.ts"] : ["src/index.ts"];
      await toast(new RegExp(`${9 - left.length} files changed`));
      if (done.has("edited")) await onDisk(COMMANDS, "/* mine */");
      for (const path of left) if (read(path).includes("completionRate")) throw new Error(`a rejected hunk was written to ${path}`);
      await shot("applied");
    },
  },
  told: {
    says: "what changed, why, what may go wrong, what is next",
    after: ["applied"],
    async keep() {
      await answer(/files changed/, "What Changed");
      const frame = await vscode.webview("h2#what");
      await until("the page", async () => /What[\s\S]*Why[\s\S]*Risks[\s\S]*Next/.test(await frame.textContent("body")));
      await shot("after");
    },
  },
  undone: {
    says: "undone byte for byte, done again, and undone",
    essential: true,
    after: ["applied"],
    async keep() {
      const before = execFileSync("git", ["show", `HEAD:${PROGRESS}`], { cwd: root, encoding: "utf8" });
      const clean = () => read(PROGRESS) === before && execFileSync("git", ["status", "--porcelain"], { cwd: root, encoding: "utf8" }) === "";
      await palette("Krins: Undo the Last Change");
      await until("undone", clean);
      // What is said comes last; a page that is drawn anew then would take the keys from the palette.
      await toast(/files undone/);
      await palette("Krins: Redo the Last Change");
      await onDisk(PROGRESS, "completionRate");
      await toast(/files done again/);
      await vscode.clear();
      await palette("Krins: Undo the Last Change");
      await until("undone", clean);
      await toast(/files undone/);
    },
  },
  dashboard: {
    says: "the dashboard: from the palette, with figures, by keyboard",
    essential: true,
    after: ["undone"],
    async keep() {
      await vscode.clear();
      await closed();
      await palette("Krins: Show the Dashboard");
      const frame = await vscode.webview("#overview");
      await until("its figures", async () => (await frame.$$eval("#overview dd", (all) => all.filter((each) => /\d/.test(each.textContent)).length)) > 0);
      const first = await painted(frame);
      const where = () => frame.evaluate(() => document.activeElement?.className || document.activeElement?.getAttribute("name") || document.activeElement?.tagName);
      await vscode.pressed("Tab", "the first stop is the link to the figures", async () => (await where()) === "skip");
      await press("Tab");
      await until("the periods have the keys", async () => (await where()) === "period");
      const before = await frame.$eval("input[name=period]:checked", (each) => each.value);
      await press("ArrowRight");
      await until("another period, and that it is said", async () => {
        const now = await frame.$eval("input[name=period]:checked", (each) => each.value);
        return now !== before && (await frame.textContent("#state")) === `Figures of the last ${now}`;
      });
      const note = await axe(frame);
      await shot("dashboard");
      await closed();
      return `${note}, ${first}`;
    },
  },
  locked: {
    says: "a file is locked: a badge, and who holds it",
    after: ["ready"],
    async keep() {
      await vscode.clear();
      await vscode.open(FORMAT);
      await palette("Krins: Lock or Unlock the File");
      await toast(/is locked for/);
      await see(".explorer-folders-view .monaco-list-row:has-text('format.ts'), .tab.active[data-resource-name='format.ts']");
      await palette("Krins: Show Locks");
      await until("the holder", async () => (await picker.rows()).some((each) => /format\.ts.*locked by you/.test(each)));
      await press("Escape");
      await picker.gone();
      await palette("Krins: Lock or Unlock the File");
      await vscode.clear();
      await palette("Krins: Show Locks");
      await toast(/no file is locked/);
    },
  },
  chosen: {
    says: "a model is chosen in the settings, and the status bar says so",
    essential: true,
    after: ["ready"],
    async keep() {
      done.delete("keyless");
      vscode.machine({ "krins.provider": "local" });
      await until("the status bar", async () => /Krins: local/.test(await vscode.bar()));
    },
  },
  counted: {
    says: "a model is asked nothing before Enter, whatever scope is looked at",
    after: ["chosen"],
    async keep() {
      await vscode.clear();
      await vscode.open(FORMAT);
      const before = answering.calls();
      await ask("say for whom the text is");
      await until("what each scope would send", async () => (await estimates()).length === 3);
      const shown = new Set();
      for (const scope of ["narrow", "normal", "broad"]) {
        await picker.down(scope);
        await press("Enter");
        shown.add(await until(`${scope} is what Enter sends`, async () => (await picker.rows()).find((each) => each.includes(`Enter to ask · ${scope} · `) && each.includes("token"))));
        if ((await estimates()).length !== 3) throw new Error(`no figures of a scope: ${(await picker.rows()).join(" | ")}`);
      }
      if (shown.size !== 3) throw new Error(`the scopes say the same: ${[...shown].join(" | ")}`);
      if (answering.calls() !== before) throw new Error("the model was asked before Enter");
      await press("Enter");
      await toast(/1 file,/);
      if (answering.calls() === before) throw new Error("nobody was asked");
      await palette("Krins: Discard the Proposal");
      await vscode.clear();
      return [...shown].map((each) => /(?:narrow|normal|broad) · [^·,]*, [^,]*/.exec(each)?.[0]).join("; ");
    },
  },
  suggested: {
    says: "an export that nothing uses is offered as a task, in words that can be changed",
    after: ["chosen"],
    async keep() {
      await vscode.clear();
      await vscode.open("src/left.ts");
      await press("Control+Home");
      await type("/* kept */ ");
      await see('.tab.active.dirty[data-resource-name="left.ts"]');
      await press("Control+s");
      await until("the hint", () => page.$(".monaco-editor .squiggly-unnecessary, .monaco-editor .squiggly-hint, .monaco-editor .squiggly-inline-unnecessary"));
      await vscode.pressed("Control+.", "the task among the quick fixes", async () => /Krins: remove the unused export leftOver/.test((await page.textContent(".action-widget").catch(() => "")) ?? ""));
      await press("Enter");
      await picker.asks(/What should be changed/);
      await until("its words, and what they would send", async () => /^remove the unused export leftOver.*token/.test((await picker.rows())[0] ?? ""));
      const before = answering.calls();
      await press("Enter");
      await toast(/1 file,/);
      if (answering.calls() === before) throw new Error("nobody was asked");
      await palette("Krins: Discard the Proposal");
      await vscode.clear();
    },
  },
  cancelled: {
    says: "a task at work is cancelled from its message, down to the provider's connection",
    essential: true,
    after: ["chosen"],
    async keep() {
      const [asked, closed] = [answering.asked(), answering.gone()];
      await vscode.open(FORMAT);
      await ask("please hang");
      await press("Enter");
      await until("it is asked", () => answering.asked() === asked + 1);
      await shot("running");
      await answer(/please hang/, "Cancel");
      await until("the connection is closed", () => answering.gone() === closed + 1);
      await until("its message is gone", async () => !(await page.$$eval(".notification-toast", (all) => all.some((each) => /please hang/.test(each.textContent)))));
      await until("nothing runs", async () => /Krins: local/.test(await vscode.bar()));
    },
  },
  waived: {
    says: "the gate blocks: its finding leads to the line, and is waived with a reason",
    after: ["chosen"],
    async keep() {
      await vscode.clear();
      await vscode.open(FORMAT);
      await ask("take any certificate");
      await press("Enter");
      await toast(/blocked/);
      const frame = await vscode.webview("#root .finding");
      await shot("gate");
      const note = await axe(frame);
      await frame.click(".finding .link");
      await see('.tab.active[aria-label*="format.ts (Krins)"]');
      await palette("Krins: Show the Quality Gate");
      await vscode.reading(frame);
      await frame.focus('.finding button:has-text("Waive")');
      await press("Enter");
      await picker.asks(/Why is it all right/);
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
    },
  },
  keyless: {
    says: "nobody is asked any more, and the status bar says so",
    after: ["ready"],
    async keep() {
      done.delete("chosen");
      vscode.machine({});
      await until("the status bar", async () => /Krins: builtin/.test(await vscode.bar()));
    },
  },
  promoted: {
    says: "a change is offered beside the working tree, and becomes a commit on a branch",
    after: ["keyless"],
    async keep() {
      const git = (...args) => execFileSync("git", args, { cwd: root, encoding: "utf8" });
      // Nobody's name is known on a machine of a test.
      git("config", "user.name", "t");
      git("config", "user.email", "t@example.com");
      await vscode.clear();
      await vscode.open(PROGRESS);
      await ask(RENAME);
      await press("Enter");
      await toast(/9 files/);
      const [before, head] = [git("status", "--porcelain"), git("rev-parse", "HEAD")];
      await palette("Krins: Preview in a Worktree…");
      await picker.asks(/in a worktree of its own/);
      await picker.down("git-branch  Promote to a branch");
      await press("Enter");
      await toast(/is commit [0-9a-f]+ on branch krins\//);
      const branches = git("for-each-ref", "--format=%(refname:short)", "refs/heads/krins/").trim().split("\n");
      if (!branches.some((name) => git("show", `${name}:${PROGRESS}`).includes("completionRate"))) throw new Error(`no branch has the change: ${branches}`);
      if (git("status", "--porcelain") !== before || git("rev-parse", "HEAD") !== head) throw new Error("the working tree is not as it was");
      await palette("Krins: Discard the Proposal");
      await closed();
    },
  },
  steps: {
    says: "the first steps: each one's button does what it says",
    after: ["keyless"],
    async keep() {
      // The page of the steps draws the one that is done, and may take the keys back.
      const asked = async (words) => {
        await (await see(".quick-input-widget input")).click();
        await picker.asks(words);
      };
      const does = {
        program: async () => void (await toast(/krins \(from setting\)/)),
        sample: async () => {
          await toast(/8 files/);
          const roots = join(vscode.base, "home/.local/state/krins/roots");
          const own = readdirSync(roots).map((each) => readFileSync(join(roots, each, "root"), "utf8").trim()).filter((each) => each.endsWith("/data/User"));
          if (own.length > 0) throw new Error(`VS Code's own files are taken for a project: ${own}`);
          await palette("Krins: Discard the Proposal");
        },
        provider: async () => {
          await asked(/who is asked\?/);
          for (const each of ["builtin", "anthropic", "openai", "gemini", "ollama"]) if (!(await picker.rows()).some((label) => label.includes(each))) throw new Error(`${each} is not offered`);
        },
        limits: () => asked(/may a day cost/),
        own: () => asked(/What should be changed/),
      };
      const listed = JSON.parse(readFileSync(join(process.env.EXTENSION, "package.json"), "utf8")).contributes.walkthroughs[0].steps.map(({ id }) => id);
      if (listed.join() !== Object.keys(does).join()) throw new Error(`other steps: ${listed}`);
      for (const [id, work] of Object.entries(does)) {
        await vscode.clear();
        await closed();
        await palette("Krins: First Steps");
        const step = await see(`.getting-started-step[data-step-id$="#${id}"]`);
        if (!(await step.evaluate((each) => each.classList.contains("expanded")))) await step.click();
        await (await see(`.getting-started-step.expanded[data-step-id$="#${id}"] .monaco-button`)).click();
        if (id === "program") await shot("steps");
        await work().catch((error) => {
          throw new Error(`${id}: ${error.message}`);
        });
        if ((await picker.line()) === undefined) continue;
        await press("Escape");
        await picker.gone();
      }
      await closed();
    },
  },
  created: {
    says: "a project from words: its folder opens without trust, and once it is trusted the words are the first task",
    async keep() {
      const other = await start({ folder: false, trust: true });
      const words = "rename addTodo to createTodo";
      try {
        const { palette, picker, press, type } = other;
        await other.active();
        await palette("Krins: Create a Project…");
        await picker.row("Next.js todo");
        await press("Enter");
        await picker.asks(/Without a model Krins only/);
        await picker.down("Say it all the same");
        await press("Enter");
        await picker.asks(/What should it be/);
        await type(words);
        await press("Enter");
        await picker.asks(/the project's name/);
        await press("Enter");
        await picker.asks(/Where is the project created/);
        await until("what is in the home directory", async () => (await picker.rows()).some((each) => each.startsWith(".config")));
        await press("Enter");
        const said = async () => other.page.$$eval(".statusbar-item", (all) => all.map((each) => each.getAttribute("aria-label") ?? ""));
        await until("nothing runs where nobody trusts", async () => (await said()).includes("Krins, stopped; click to start"), 90_000);
        await palette("Workspaces: Manage Workspace Trust");
        // The page is drawn anew while it is read: the button is looked for until it is pressed.
        await other.page.locator('.workspace-trust-editor .workspace-trust-buttons-row .monaco-button:text-is("Trust")').first().click();
        await picker.asks(/What should be changed/);
        await until("its words, and what they would send", async () => (await picker.line()) === words && (await picker.rows())[0]?.includes("token"));
      } catch (error) {
        await other.shot("broken-created-window");
        throw error;
      } finally {
        again += other.again();
        for (const host of other.foreign) foreign.add(host);
        await other.stop();
      }
    },
  },
  limited: {
    says: "who is paid for a call has a limit from the first one on, in dollars, and the server is started once for all of it",
    after: ["ready"],
    async keep() {
      const seen = new Set(servers());
      const before = seen.size;
      const look = () => servers().forEach((pid) => seen.add(pid));
      const watch = setInterval(look, 200);
      await vscode.clear();
      await palette("Krins: Choose Who Is Asked…");
      await picker.down("Anthropic");
      await press("Enter");
      await picker.asks(/which model of Anthropic/);
      await type("claude-opus-5");
      await press("Enter");
      await picker.asks(/API key for Anthropic/);
      await type("none-at-all");
      await press("Enter");
      await picker.asks(/may a day cost/);
      if ((await picker.line()) !== "5") throw new Error(`it proposes ${await picker.line()}`);
      await press("Control+a");
      await type("0.50");
      await press("Enter");
      await until("who is asked, and the limit", async () => /Krins: anthropic · \$0\.00 of \$0\.50 today/.test(await vscode.bar()));
      clearInterval(watch);
      look();
      if (before !== 1 || seen.size !== 2) throw new Error(`there was ${before}, then ${seen.size}`);
      await palette("Krins: Choose Who Is Asked…");
      await picker.row("No model");
      await press("Enter");
      await until("nobody is paid", async () => /Krins: builtin/.test(await vscode.bar()));
      vscode.machine({});
    },
  },
  conflict: {
    says: "a place that moved on is said to be unmerged, and is merged in the merge editor",
    after: ["keyless"],
    async keep() {
      const whole = read(PROGRESS);
      await vscode.clear();
      await vscode.open(PROGRESS);
      await ask(RENAME);
      await press("Enter");
      await toast(/9 files/);
      await closed();
      writeFileSync(join(root, PROGRESS), whole.replace("calculateProgress(todos: readonly Todo[])", "calculateProgress(all: readonly Todo[])"));
      await vscode.clear();
      await palette("Krins: Apply All");
      await toast(/nothing was applied/);
      await shot("conflict");
      await answer(/nothing was applied/, "Merge");
      await see(".merge-editor .input1 .view-line, .merge-editor .code-view .view-line");
      await shot("merge");
      await answer(/files changed/, "What Changed");
      const frame = await vscode.webview("h2#what");
      await until("what is not merged yet is said", async () => /progress\.ts has 1 place with conflict markers to be merged/.test(await frame.textContent("body")));
      await palette("View: Close Editor");
      await see(".merge-editor .input1 .view-line, .merge-editor .code-view .view-line");
      await palette("Merge Editor: Accept All Current Changes from Right");
      await until("nothing is left to merge", () => page.$('.merge-editor :text-is("0 Conflicts Remaining")'));
      await press("Control+s");
      await until("merged", () => read(PROGRESS).includes("completionRate") && !read(PROGRESS).includes("<<<<<<<"));
      await see(".tab.active:not(.dirty)");
      await closed();
      await vscode.clear();
    },
  },
};

/** The servers of this window. What a server has just forked looks like itself until it is another program. */
const servers = () => {
  const parents = new Map();
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const file = (name) => readFileSync(`/proc/${pid}/${name}`, "utf8");
      if (!file("cmdline").includes("\0lsp\0") || !file("environ").includes(`HOME=${join(vscode.base, "home")}\0`)) continue;
      parents.set(pid, /^PPid:\s+(\d+)/m.exec(file("status"))?.[1]);
    } catch {
      // It has just ended, or is somebody else's.
    }
  }
  return [...parents.keys()].filter((pid) => !parents.has(parents.get(pid)));
};

/** Brings the window to where a promise has been kept. */
async function keep(name) {
  if (done.has(name)) return undefined;
  const { after = [], keep: work } = PROMISES[name];
  for (const each of after) await keep(each);
  const note = await work();
  done.add(name);
  return note;
}

const only = new RegExp(process.argv[2] ?? "");
const wanted = Object.entries(PROMISES).filter(([, { says, essential }]) => only.test(says) && (essential || !process.env.ESSENTIAL));
const begun = Date.now();
let broken = 0;
let count = 0;
await begin();
try {
  for (const [name, { says }] of wanted) {
    const started = Date.now();
    count += 1;
    try {
      const note = await keep(name);
      process.stdout.write(`ok ${count} - ${says} # ${Date.now() - started} ms${note ? `, ${note}` : ""}\n`);
    } catch (error) {
      broken += 1;
      process.stdout.write(`not ok ${count} - ${says} # ${String(error.stack).split("\n").slice(0, 6).join(" | ")}\n`);
      await shot(`broken-${name}`).catch(() => undefined);
      // What was said may be hidden by now.
      if (process.env.SHOTS) await palette("Notifications: Show Notifications").then(() => shot(`broken-${name}-messages`)).catch(() => undefined);
      // A window in which something went wrong takes no other promise along.
      await end();
      await begin();
    }
  }
} finally {
  await end();
  answering.stop();
}
const seconds = Math.round((Date.now() - begun) / 1000);
process.stdout.write(`1..${count}\n# broken ${broken}, ${seconds} s, workbench after ${windows.join(" ms, ")} ms, keys pressed again ${again}, other hosts asked: ${[...foreign].join(", ") || "none"}\n`);
process.exit(broken === 0 && foreign.size === 0 ? 0 : 1);
