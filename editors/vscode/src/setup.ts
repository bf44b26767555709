// The first steps: find or install the program, choose who is asked, try it on a sample, begin a project.

import * as vscode from "vscode";
import { find, surroundings } from "./binary";
import { PROVIDERS, storedKeys, storeKey } from "./keys";
import * as say from "./say";
import type { Server } from "./server";
import type { Tasks } from "./tasks";

const REPOSITORY = "https://github.com/krins-dev/krins";
/** A task that waits for its window: kept over the reload that opening a folder is. */
const BEGIN = "krins.begin";
/** Beyond this a forgotten one is not begun any more. */
const SOON = 5 * 60_000;

interface Begin {
  root: string;
  intent: string;
  at: number;
}

const SAMPLE = { file: "src/model/progress.ts", intent: "rename calculateProgress to completionRate" };

const TEMPLATES = [
  { name: "next-todo", label: "Next.js todo", detail: "a list of todos: app router, server actions, a file as store, tests" },
  { name: "express-api", label: "Express API", detail: "a REST API: validation, errors as problem details, tests" },
] as const;

export class Setup {
  constructor(
    private readonly context: vscode.ExtensionContext,
    private readonly server: Server,
    private readonly tasks: Tasks,
    private readonly log: vscode.LogOutputChannel,
  ) {}

  /** Says where the program is, or helps to get it. */
  async locate(): Promise<void> {
    const settings = vscode.workspace.getConfiguration("krins.server");
    const found = find(surroundings(settings.get("path", ""), this.context.extensionPath));
    const [choose, install, again] = ["Choose the Program…", "Install with Cargo", "Start"];
    if ("program" in found) {
      const chosen = await say.info(`Krins: ${found.program} (from ${found.from})`, ...(this.server.state.name === "running" ? [choose] : [again, choose]));
      if (chosen === again) await this.server.restart();
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

  /** Who answers. Keys go into the system's keyring, never into a setting. */
  async provider(): Promise<void> {
    const keys = await storedKeys(this.context.secrets);
    const known = (variable: string | undefined) => (variable === undefined ? "" : process.env[variable] ? ", found in the environment" : keys[variable] ? ", stored" : "");
    const items = PROVIDERS.map((provider) => ({ label: provider.label, description: provider.name, detail: provider.detail + known(provider.variable), provider }));
    const other = { label: "Another server", detail: "anything OpenAI-compatible, several routes, a team's backend: in Krins' own settings file", provider: undefined };
    const chosen = await vscode.window.showQuickPick([...items, other], { title: "Krins: who is asked?", ignoreFocusOut: true });
    if (!chosen) return;
    if (!chosen.provider) {
      await vscode.env.openExternal(vscode.Uri.parse(`${REPOSITORY}/blob/main/docs/settings.md`));
      return;
    }
    const { name, label, variable } = chosen.provider;
    const settings = vscode.workspace.getConfiguration("krins");
    let model: string | undefined;
    if (name !== "builtin") {
      model = await vscode.window.showInputBox({ title: `Krins: which model of ${label}?`, prompt: "As the provider calls it", value: settings.get("model", ""), ignoreFocusOut: true });
      if (!model) return;
    }
    if (variable !== undefined && !process.env[variable]) {
      const key = await vscode.window.showInputBox({
        title: `Krins: API key for ${label}`,
        prompt: `Kept in the system's keyring. Empty: ${keys[variable] ? "the stored one is forgotten" : `${variable} or Krins' own keyring entry is used`}.`,
        password: true,
        ignoreFocusOut: true,
      });
      if (key === undefined) return;
      await storeKey(this.context.secrets, variable, key.trim() || undefined);
    }
    await settings.update("model", model ?? undefined, vscode.ConfigurationTarget.Global);
    await settings.update("provider", name, vscode.ConfigurationTarget.Global);
    await this.server.restart();
  }

  /** A copy of the sample, and a first task on it that needs no key: what is left is to look and apply. */
  async sample(): Promise<void> {
    const root = vscode.Uri.joinPath(this.context.globalStorageUri, "sample");
    await vscode.workspace.fs.createDirectory(this.context.globalStorageUri);
    await vscode.workspace.fs.copy(vscode.Uri.joinPath(this.context.extensionUri, "dist", "sample"), root, { overwrite: true });
    // What makes it a root of its own, wherever the extension's storage is.
    await vscode.workspace.fs.createDirectory(vscode.Uri.joinPath(root, ".krins"));
    const uri = vscode.Uri.joinPath(root, SAMPLE.file);
    await vscode.window.showTextDocument(uri);
    await this.#running();
    await this.tasks.change({ intent: SAMPLE.intent, uri, now: true });
  }

  /** A folder with a template in it; with words beyond its name, they are the first task there. */
  async create(): Promise<void> {
    const template = await vscode.window.showQuickPick([...TEMPLATES], { title: "Krins: create a project from…", ignoreFocusOut: true, matchOnDetail: true });
    if (!template) return;
    const intent = await vscode.window.showInputBox({
      title: `Krins: ${template.label}`,
      prompt: "What should it be? It becomes the first task once the folder is open. Empty: the template as it is.",
      placeHolder: "todos with due dates and a filter by tag",
      ignoreFocusOut: true,
    });
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

  /** In a window that was opened for a task: the task, with what it would send, for the person's Enter. */
  async begin(): Promise<void> {
    const waiting = this.context.globalState.get<Begin>(BEGIN);
    const here = vscode.workspace.workspaceFolders?.[0]?.uri.toString();
    if (!waiting || waiting.root !== here) return;
    await this.context.globalState.update(BEGIN, undefined);
    if (Date.now() - waiting.at > SOON) return;
    await this.#running();
    await this.tasks.change({ intent: waiting.intent });
  }

  async #choose(): Promise<void> {
    const [program] = (await vscode.window.showOpenDialog({ canSelectMany: false, openLabel: "Use This Program", title: "The krins program" })) ?? [];
    if (program) await vscode.workspace.getConfiguration("krins.server").update("path", program.fsPath, vscode.ConfigurationTarget.Global);
  }

  /** Waits for the server, which may just be starting. */
  async #running(): Promise<void> {
    if (this.server.state.name === "running") return;
    if (this.server.state.name !== "starting") await this.server.restart();
    if (this.server.state.name === "starting") await new Promise<void>((resolve) => {
      const told = this.server.onDidChangeState(({ name }) => {
        if (name === "starting") return;
        told.dispose();
        resolve();
      });
    });
  }
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
