// The first steps: find or install the program, choose who is asked, try it on a sample, begin a project.

import * as vscode from "vscode";
import { find, surroundings } from "./binary";
import { PROVIDERS, storedKeys, storeKey } from "./keys";
import * as say from "./say";
import type { Server } from "./server";
import type { StatusBar } from "./status";
import type { Tasks } from "./tasks";

const REPOSITORY = "https://github.com/krins-dev/krins";
/** A task that waits for its window: kept over the reload that opening a folder is. */
const BEGIN = "krins.begin";
/** A window that opens later is not the one that was meant. */
const SOON = 5 * 60_000;
/** Milliseconds in which changes of settings count as one. */
const TOGETHER = 500;
const DAY = "budget.microsPerDay";
/** What a day may cost where nobody said anything yet, in dollars. */
const A_DAY = 5;

interface Begin {
  root: string;
  intent: string;
  at: number;
}

const SAMPLE = { file: "src/model/progress.ts", intent: "rename calculateProgress to completionRate" };

const TEMPLATES = [
  { name: "next-todo", label: "Next.js todo", detail: "app router, server actions, a file as store, tests" },
  { name: "express-api", label: "Express API", detail: "REST, validation, errors as problem details, tests" },
] as const;

export class Setup implements vscode.Disposable {
  /** What this window was opened for. Read when it opens: its folder may be trusted, or the program be there, much later. */
  #begin: Begin | undefined;
  #renewing: NodeJS.Timeout | undefined;
  #waits = false;
  #writing = false;
  readonly #subscriptions: vscode.Disposable[];

  constructor(
    private readonly context: vscode.ExtensionContext,
    private readonly server: Server,
    private readonly tasks: Tasks,
    private readonly status: StatusBar,
    private readonly log: vscode.LogOutputChannel,
  ) {
    const waiting = context.globalState.get<Begin>(BEGIN);
    if (waiting && waiting.root === vscode.workspace.workspaceFolders?.[0]?.uri.toString()) {
      if (Date.now() - waiting.at <= SOON) this.#begin = waiting;
      else void context.globalState.update(BEGIN, undefined);
    }
    this.#subscriptions = [
      server.onDidChangeState(({ name }) => {
        if (name === "running") void this.#first();
      }),
      tasks.onDidChange(() => {
        if (this.#waits && tasks.running === 0) this.renew();
      }),
    ];
  }

  dispose(): void {
    clearTimeout(this.#renewing);
    vscode.Disposable.from(...this.#subscriptions).dispose();
  }

  /** After settings or keys changed: what is started with them is started anew, but not under a task that runs. */
  renew(): void {
    clearTimeout(this.#renewing);
    if (this.#writing) return;
    this.#renewing = setTimeout(async () => {
      await say.idle();
      if (!vscode.workspace.isTrusted) return;
      const waited = this.#waits;
      this.#waits = false;
      // What was asked for while the settings were read would be lost with the server that it went to.
      await this.server.renew(() => !(this.#waits = this.tasks.running > 0));
      if (this.#waits && !waited) void say.info("Krins: new settings count when what runs has ended.");
    }, TOGETHER);
  }

  /** Says where the program is, or helps to get it. */
  async locate(): Promise<void> {
    const settings = vscode.workspace.getConfiguration("krins.server");
    const found = find(surroundings(settings.get("path", ""), this.context.extensionPath));
    const [choose, install, again] = ["Choose the Program…", "Install with Cargo", "Start"];
    if ("program" in found) {
      const chosen = await say.info(`Krins: ${found.program} (from ${found.from})`, ...(this.server.state.name === "running" ? [choose] : [again, choose]));
      if (chosen === again) await this.server.wake();
      if (chosen === choose) await this.#choose();
      return;
    }
    this.log.info(`no krins program; looked for:\n  ${found.tried.join("\n  ")}`);
    const chosen = await say.warn("Krins: the krins program was not found.", install, choose);
    if (chosen === choose) await this.#choose();
    if (chosen === install) {
      const terminal = vscode.window.createTerminal("Krins: install");
      terminal.show();
      // Typed, not run: the person sees what it is before Enter.
      terminal.sendText(`cargo install --locked --git ${REPOSITORY} krins-server`, false);
    }
  }

  /** Who answers. Keys go into the system's keyring, never into a setting. True when somebody was chosen. */
  async provider(): Promise<boolean> {
    const keys = await storedKeys(this.context.secrets);
    const known = (variable: string | undefined) => (variable === undefined ? "" : process.env[variable] ? ", found in the environment" : keys[variable] ? ", stored" : "");
    const items = PROVIDERS.map((provider) => ({ label: provider.label, description: provider.name, detail: provider.detail + known(provider.variable), provider }));
    const other = { label: "Another server", detail: "anything OpenAI-compatible, several routes, a team's backend: in Krins' settings file", provider: undefined };
    const chosen = await vscode.window.showQuickPick([...items, other], { title: "Krins: who is asked?", ignoreFocusOut: true });
    if (!chosen) return false;
    if (!chosen.provider) {
      await vscode.env.openExternal(vscode.Uri.parse(`${REPOSITORY}/blob/main/docs/settings.md`));
      return false;
    }
    const { name, label, variable } = chosen.provider;
    const settings = vscode.workspace.getConfiguration("krins");
    let model: string | undefined;
    if (name !== "builtin") {
      model = await vscode.window.showInputBox({ title: `Krins: which model of ${label}?`, prompt: "As the provider calls it", value: settings.get("model", ""), ignoreFocusOut: true });
      if (!model) return false;
    }
    let key: string | undefined;
    const own = variable !== undefined && !process.env[variable];
    if (own) {
      key = await vscode.window.showInputBox({
        title: `Krins: API key for ${label}`,
        prompt: `Kept in the system's keyring. Empty: ${keys[variable] ? "the stored one is forgotten" : `${variable} or Krins' own keyring entry is used`}.`,
        password: true,
        ignoreFocusOut: true,
      });
      if (key === undefined) return false;
    }
    // Who is paid for each call has a limit from the first one on.
    const limit = variable !== undefined && (await this.#perDay()) === undefined ? await this.#limit() : null;
    if (limit === undefined) return false;
    if (own) await storeKey(this.context.secrets, variable, key?.trim() || undefined);
    await this.#write({ model, provider: name, ...(limit === null ? {} : { [DAY]: limit }) });
    return true;
  }

  /** The question alone. */
  async limit(): Promise<void> {
    const micros = await this.#limit();
    if (micros !== undefined) await this.#write({ [DAY]: micros ?? undefined });
  }

  /** However long it takes to write them, the server is started once for all of them. */
  async #write(settings: Record<string, unknown>): Promise<void> {
    this.#writing = true;
    try {
      for (const [key, value] of Object.entries(settings)) await vscode.workspace.getConfiguration("krins").update(key, value, vscode.ConfigurationTarget.Global);
    } finally {
      this.#writing = false;
      this.renew();
    }
  }

  /** What a day may cost at most, in millionths; null for no limit, nothing when the person gave up. */
  async #limit(): Promise<number | null | undefined> {
    const said = await vscode.window.showInputBox({
      title: "Krins: what may a day cost at most?",
      prompt: "US dollars, reserved before each call. Empty: none of this editor's.",
      value: String(((await this.#perDay()) ?? A_DAY * 1e6) / 1e6),
      ignoreFocusOut: true,
      validateInput: (text) => (dollars(text) === undefined ? "Such as 5 or 0.50." : undefined),
    });
    return said === undefined ? undefined : dollars(said);
  }

  /** The limit that counts now, in millionths: this editor's, or one of Krins' own settings. */
  async #perDay(): Promise<number | undefined> {
    const own = vscode.workspace.getConfiguration("krins").get<number | null>(DAY, null);
    return own ?? (await this.status.refresh())?.spent?.perDay ?? undefined;
  }

  /** A copy of the sample, and a first task on it that needs no key: what is left is to look and apply. */
  async sample(): Promise<void> {
    if (!(await this.server.wake())) return;
    const root = vscode.Uri.joinPath(this.context.globalStorageUri, "sample");
    await vscode.workspace.fs.createDirectory(this.context.globalStorageUri);
    await vscode.workspace.fs.copy(vscode.Uri.joinPath(this.context.extensionUri, "dist", "sample"), root, { overwrite: true });
    // What makes it a root of its own, wherever the extension's storage is.
    await vscode.workspace.fs.createDirectory(vscode.Uri.joinPath(root, ".krins"));
    const uri = vscode.Uri.joinPath(root, SAMPLE.file);
    await vscode.window.showTextDocument(uri);
    await this.tasks.change({ intent: SAMPLE.intent, uri, now: true });
  }

  /** A folder with a template in it; with words beyond its name, they are the first task there. */
  async create(): Promise<void> {
    const template = await vscode.window.showQuickPick([...TEMPLATES], { title: "Krins: create a project from…", ignoreFocusOut: true, matchOnDetail: true });
    if (!template) return;
    const intent = await this.#intent(template.label);
    if (intent === undefined) return;
    const name = await vscode.window.showInputBox({
      title: "Krins: the project's name",
      value: template.name,
      ignoreFocusOut: true,
      validateInput: (text) => (/^[a-z0-9][a-z0-9-]{0,60}$/.test(text) ? undefined : "Small letters, digits and dashes: it is a folder's and a package's name."),
    });
    if (!name) return;
    const [parent] = (await vscode.window.showOpenDialog({ canSelectFolders: true, canSelectFiles: false, openLabel: "Create Here", title: "Where is the project created?" })) ?? [];
    if (!parent) return;
    const root = vscode.Uri.joinPath(parent, name);
    await copyTemplate(vscode.Uri.joinPath(this.context.extensionUri, "templates", template.name), root, name);
    if (intent.trim() !== "") await this.context.globalState.update(BEGIN, { root: root.toString(), intent: intent.trim(), at: Date.now() } satisfies Begin);
    await vscode.commands.executeCommand("vscode.openFolder", root, { forceNewWindow: (vscode.workspace.workspaceFolders ?? []).length > 0 });
  }

  /** What a project should become. Who can only rename, move and tidy writes none from words, which is said before. */
  async #intent(label: string): Promise<string | undefined> {
    const title = `Krins: ${label}`;
    // Where no server says who is asked, the setting does.
    const provider = this.status.provider ?? (vscode.workspace.getConfiguration("krins").get("provider", "") || "builtin");
    if (provider === "builtin") {
      const rows = [
        { label: "Choose Who Is Asked…" },
        { label: "The template as it is" },
        { label: "Say it all the same", detail: "a rename, or a model of Krins' own settings" },
      ];
      const chosen = await vscode.window.showQuickPick(rows, { title, placeHolder: "Without a model Krins only renames, moves and tidies imports", ignoreFocusOut: true });
      if (!chosen) return undefined;
      if (chosen === rows[1]) return "";
      if (chosen === rows[0] && !(await this.provider())) return undefined;
    }
    return vscode.window.showInputBox({
      title,
      prompt: "What should it be? It becomes the first task there. Empty: the template as it is.",
      placeHolder: "todos with due dates and a filter by tag",
      ignoreFocusOut: true,
    });
  }

  /** In a window that was opened for a task: the task, with what it would send, for the person's Enter. */
  async #first(): Promise<void> {
    const begin = this.#begin;
    if (!begin) return;
    this.#begin = undefined;
    await this.context.globalState.update(BEGIN, undefined);
    await this.tasks.change({ intent: begin.intent });
  }

  async #choose(): Promise<void> {
    const [program] = (await vscode.window.showOpenDialog({ canSelectMany: false, openLabel: "Use This Program", title: "The krins program" })) ?? [];
    if (program) await vscode.workspace.getConfiguration("krins.server").update("path", program.fsPath, vscode.ConfigurationTarget.Global);
  }
}

/** Millionths of so many dollars; null for no limit, nothing for what is no amount. */
function dollars(text: string): number | null | undefined {
  const plain = text.trim().replace(/^\$/, "");
  if (plain === "") return null;
  return /^\d{1,6}(?:\.\d{1,6})?$/.test(plain) ? Math.round(Number(plain) * 1e6) : undefined;
}

/** Every file of a template; its name takes the place of the template's own. Nothing that is there is written over. */
async function copyTemplate(from: vscode.Uri, to: vscode.Uri, name: string): Promise<void> {
  try {
    await vscode.workspace.fs.stat(to);
  } catch {
    await vscode.workspace.fs.copy(from, to);
    for (const file of ["package.json", "README.md"]) {
      const uri = vscode.Uri.joinPath(to, file);
      const text = new TextDecoder().decode(await vscode.workspace.fs.readFile(uri));
      await vscode.workspace.fs.writeFile(uri, new TextEncoder().encode(text.replaceAll("template-name", name)));
    }
    // A packed extension holds no file of that name.
    await vscode.workspace.fs.rename(vscode.Uri.joinPath(to, "gitignore"), vscode.Uri.joinPath(to, ".gitignore"));
    return;
  }
  throw new Error(`${to.fsPath} is there already`);
}
