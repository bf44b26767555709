// A proposal tried out beside the working tree: run in a worktree of its own, looked at in a browser, promoted to a branch.

import { type ChildProcess, spawn } from "node:child_process";
import * as vscode from "vscode";
import { failure, sentence } from "./errors";
import type { PreviewResult } from "./protocol";
import * as say from "./say";
import { address, runner, type Script, scriptsOf } from "./scripts";
import type { Server } from "./server";

/** How long what a preview runs has to end by itself. */
const GRACE = 2000;
/** Characters of a command that are shown before it is run. */
const SHOWN = 1000;

export class Previews implements vscode.Disposable {
  readonly #running = new Set<Output>();

  constructor(private readonly server: Server) {}

  /** Ends what runs, and waits until it has: nothing of a preview outlives its window. */
  async end(): Promise<void> {
    await Promise.all([...this.#running].map((output) => output.end()));
  }

  dispose(): void {
    for (const output of this.#running) output.kill();
  }

  async preview(task: string): Promise<void> {
    try {
      const made = await making("a worktree for the change", () => this.server.request("krins/preview", { task }));
      await this.#offer(task, made);
    } catch (error) {
      void say.error(`Krins: ${sentence(failure(error))}`);
    }
  }

  async promote(task: string): Promise<void> {
    try {
      const { branch, commit, kept } = await making("a branch of the change", () => this.server.request("krins/promote", { task }));
      const copy = "Copy the Name";
      const stays = kept ? ` What you changed in ${kept} is not in it, and stays there.` : "";
      const chosen = await say.info(`Krins: the change is commit ${commit.slice(0, 10)} on branch ${branch}. Your working tree is as it was.${stays}`, copy);
      if (chosen === copy) await vscode.env.clipboard.writeText(branch);
    } catch (error) {
      void say.error(`Krins: ${sentence(failure(error))}`);
    }
  }

  async #offer(task: string, { branch, worktree, url }: PreviewResult): Promise<void> {
    const root = vscode.Uri.file(worktree);
    const scripts = await offered(root);
    const runs = (of: Script[], label: string) =>
      of.map((script) => ({ label: `${label} ${script.name}`, description: "in the worktree, with its output here", run: () => this.#run(root, script) }));
    const items = [
      ...(url ? [{ label: "$(globe) Open in the browser", description: url, run: () => show(url) }] : []),
      ...runs(scripts.filter(({ leaves }) => leaves === undefined), "$(play) Run"),
      { label: "$(folder-opened) Open the worktree in a window", description: worktree, run: async () => void (await vscode.commands.executeCommand("vscode.openFolder", root, { forceNewWindow: true })) },
      { label: "$(git-branch) Promote to a branch", description: branch, run: () => this.promote(task) },
      ...runs(scripts.filter(({ leaves }) => leaves !== undefined), "$(cloud-upload) Run"),
    ];
    const chosen = await vscode.window.showQuickPick(items, { title: "Krins: the change is in a worktree of its own", ignoreFocusOut: true });
    await chosen?.run();
  }

  async #run(root: vscode.Uri, { name: script, leaves }: Script): Promise<void> {
    if (leaves !== undefined && !(await mayLeave(script, leaves))) return;
    const names = (await vscode.workspace.fs.readDirectory(root)).map(([name]) => name);
    const commands = runner(names, script);
    const output = new Output(root.fsPath, commands, (url) => void show(url));
    this.#running.add(output);
    output.over.then(() => this.#running.delete(output), () => undefined);
    vscode.window.createTerminal({ name: `Krins: ${script}`, pty: output }).show();
  }
}

function making<T>(what: string, work: () => Promise<T>): Thenable<T> {
  return say.progress({ location: vscode.ProgressLocation.Notification, title: `Krins: making ${what}` }, work);
}

async function offered(root: vscode.Uri): Promise<Script[]> {
  try {
    return scriptsOf(new TextDecoder().decode(await vscode.workspace.fs.readFile(vscode.Uri.joinPath(root, "package.json"))));
  } catch {
    return [];
  }
}

/** Asked each time: what a deployment does is not taken back here. */
async function mayLeave(script: string, command: string): Promise<boolean> {
  const more = command.length - SHOWN;
  const detail = more > 0 ? `${command.slice(0, SHOWN)}… (${more} characters more, in package.json)` : command;
  const yes = `Run ${script}`;
  const asked = `Run the change's script "${script}"? It may publish the change outside of this machine.`;
  return (await say.warn(asked, { modal: true, detail }, yes)) === yes;
}

async function show(url: string): Promise<void> {
  const uri = await vscode.env.asExternalUri(vscode.Uri.parse(url, true));
  try {
    await vscode.commands.executeCommand("simpleBrowser.show", uri.toString(true));
  } catch {
    await vscode.env.openExternal(uri);
  }
}

/** Commands one after the other, with their output in a terminal; the first address of this machine that they name is given out. */
class Output implements vscode.Pseudoterminal {
  readonly #write = new vscode.EventEmitter<string>();
  readonly onDidWrite = this.#write.event;
  /** Nothing runs any more, and nothing will. */
  readonly over: Promise<void>;
  #done: () => void = () => undefined;
  #child: ChildProcess | undefined;
  #ended = false;
  #found = false;
  #tail = "";

  constructor(
    private readonly cwd: string,
    private readonly commands: readonly (readonly string[])[],
    private readonly found: (url: string) => void,
  ) {
    this.over = new Promise((resolve) => (this.#done = resolve));
  }

  open(): void {
    void this.#all().finally(this.#done);
  }

  /** The person closed the terminal. */
  close(): void {
    void this.end();
  }

  handleInput(data: string): void {
    if (data === "\x03") this.#signal("SIGINT");
  }

  /** Asks what runs to end, and ends it when it does not. */
  async end(): Promise<void> {
    this.#ended = true;
    if (!this.#child) {
      this.#done();
      return;
    }
    this.#signal("SIGTERM");
    const late = setTimeout(() => this.kill(), GRACE);
    // Its leader may be gone while others of the group are at work: those hold its output open.
    await Promise.race([this.over, new Promise((resolve) => setTimeout(resolve, GRACE + 500))]);
    clearTimeout(late);
    this.kill();
  }

  kill(): void {
    this.#ended = true;
    this.#signal("SIGKILL");
  }

  async #all(): Promise<void> {
    for (const command of this.commands) {
      if (this.#ended) return;
      this.#write.fire(`> ${command.join(" ")}\r\n`);
      const status = await this.#one(command);
      if (status === 0) continue;
      this.#write.fire(`\r\nended with ${status}\r\n`);
      return;
    }
    this.#write.fire("\r\ndone\r\n");
  }

  #one([program, ...args]: readonly string[]): Promise<number | string> {
    return new Promise((resolve) => {
      const child = spawn(program!, args, { cwd: this.cwd, detached: process.platform !== "win32", shell: process.platform === "win32", stdio: ["ignore", "pipe", "pipe"] });
      this.#child = child;
      // Decoded as a stream: a letter may come in two pieces.
      for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text: string) => this.#say(text));
      child.on("error", (error) => resolve(error.message));
      // Not before its output is closed: a server that was put into the background is still this command's.
      child.on("close", (code, signal) => {
        this.#child = undefined;
        resolve(code ?? signal ?? 1);
      });
    });
  }

  #say(text: string): void {
    this.#write.fire(text.replace(/\r?\n/g, "\r\n"));
    if (this.#found) return;
    this.#tail = (this.#tail + text).slice(-4096);
    const url = address(this.#tail);
    if (url === undefined) return;
    this.#found = true;
    this.found(url);
  }

  /** The whole group: what npm starts is not npm, and may be there when npm has gone. */
  #signal(name: NodeJS.Signals): void {
    const pid = this.#child?.pid;
    if (pid === undefined) return;
    try {
      process.kill(process.platform === "win32" ? pid : -pid, name);
    } catch {
      // It ended in this moment.
    }
  }
}
