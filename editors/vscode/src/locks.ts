// Leases on files: a badge in the explorer, a mark in the gutter, and a command that takes or gives one back.

import * as vscode from "vscode";
import type { FileLock } from "./protocol";
import * as say from "./say";
import type { Server } from "./server";
import { failure, sentence } from "./errors";
import { left } from "./words";

/** Others' locks come and go without a word: they are asked for this often while the window has the focus. */
const PAUSE = 60_000;

export class Locks implements vscode.FileDecorationProvider, vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<undefined>();
  readonly #locks = new Map<string, FileLock>();
  readonly #gutter: Record<"mine" | "theirs", vscode.TextEditorDecorationType>;
  readonly #subscriptions: vscode.Disposable[];
  readonly #timer: NodeJS.Timeout;
  readonly onDidChangeFileDecorations = this.#changed.event;

  constructor(
    private readonly server: Server,
    extension: vscode.Uri,
    private readonly log: vscode.LogOutputChannel,
  ) {
    const gutter = (icon: string, colour: string) =>
      vscode.window.createTextEditorDecorationType({
        gutterIconPath: vscode.Uri.joinPath(extension, "media", icon),
        gutterIconSize: "contain",
        overviewRulerColor: new vscode.ThemeColor(colour),
        isWholeLine: true,
      });
    this.#gutter = { mine: gutter("lock-mine.svg", "charts.blue"), theirs: gutter("lock-theirs.svg", "charts.orange") };
    this.#subscriptions = [
      vscode.window.registerFileDecorationProvider(this),
      server.onDidChangeState(({ name }) => {
        if (name === "running") void this.refresh();
      }),
      vscode.window.onDidChangeWindowState(({ focused }) => {
        if (focused) void this.refresh();
      }),
      vscode.window.onDidChangeVisibleTextEditors(() => this.#mark()),
    ];
    this.#timer = setInterval(() => {
      if (vscode.window.state.focused) void this.refresh();
    }, PAUSE);
  }

  provideFileDecoration(uri: vscode.Uri): vscode.FileDecoration | undefined {
    const lock = this.#locks.get(uri.toString());
    if (!lock) return undefined;
    return {
      badge: lock.mine ? "L" : "L!",
      tooltip: words(lock),
      color: new vscode.ThemeColor(lock.mine ? "charts.blue" : "charts.orange"),
      propagate: false,
    };
  }

  /** Of every folder, and of the workspace of a file that is in none; what one of them does not answer is not known. */
  async refresh(about = vscode.window.activeTextEditor?.document.uri): Promise<void> {
    if (this.server.state.name !== "running") return;
    const folders = (vscode.workspace.workspaceFolders ?? []).map(({ uri }) => uri);
    if (about?.scheme === "file" && this.server.isWork(about) && !vscode.workspace.getWorkspaceFolder(about)) folders.push(about);
    const asked = folders.length > 0 ? folders.map((uri) => ({ uri: uri.toString() })) : [{}];
    const answers = await Promise.allSettled(asked.map((params) => this.server.request("krins/locks", params)));
    for (const answer of answers) if (answer.status === "rejected") this.log.debug(`locks: ${sentence(failure(answer.reason))}`);
    this.#take(answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value.locks : [])));
  }

  /** Takes the file's lock, or gives it back; somebody else's only after a question. */
  async toggle(given?: vscode.Uri): Promise<void> {
    const uri = given ?? vscode.window.activeTextEditor?.document.uri;
    if (uri?.scheme !== "file") return;
    await this.refresh(uri);
    const lock = this.#locks.get(uri.toString());
    try {
      if (!lock) {
        const taken = await this.server.request("krins/lock", { uri: uri.toString() });
        void say.info(`Krins: ${vscode.workspace.asRelativePath(uri)} is locked for ${left(taken.leftMs)}. Others are told; nothing is kept from them.`);
      } else if (lock.mine) await this.server.request("krins/unlock", { uri: uri.toString() });
      else {
        const away = "Take It Away";
        const chosen = await say.warn(`${vscode.workspace.asRelativePath(uri)} is ${words(lock)}.`, { modal: true }, away);
        if (chosen !== away) return;
        await this.server.request("krins/unlock", { uri: uri.toString(), force: true });
        await this.server.request("krins/lock", { uri: uri.toString() });
      }
    } catch (error) {
      void say.warn(`Krins: ${sentence(failure(error))}`);
    }
    await this.refresh(uri);
  }

  /** Who holds what; choosing one opens its file. */
  async list(): Promise<void> {
    await this.refresh();
    const items = [...this.#locks.values()].map((lock) => ({ label: `$(lock) ${vscode.workspace.asRelativePath(vscode.Uri.parse(lock.uri))}`, description: words(lock), lock }));
    if (items.length === 0) {
      void say.info("Krins: no file is locked.");
      return;
    }
    const chosen = await vscode.window.showQuickPick(items, { title: "Krins: locks" });
    if (chosen) await vscode.window.showTextDocument(vscode.Uri.parse(chosen.lock.uri));
  }

  dispose(): void {
    clearInterval(this.#timer);
    vscode.Disposable.from(...this.#subscriptions, this.#changed, this.#gutter.mine, this.#gutter.theirs).dispose();
  }

  #take(locks: readonly FileLock[]): void {
    const before = this.#locks.size;
    this.#locks.clear();
    for (const lock of locks) this.#locks.set(vscode.Uri.parse(lock.uri).toString(), lock);
    if (before + this.#locks.size > 0) this.#changed.fire(undefined);
    this.#mark();
  }

  #mark(): void {
    const first = new vscode.Range(0, 0, 0, 0);
    for (const editor of vscode.window.visibleTextEditors) {
      const lock = this.#locks.get(editor.document.uri.toString());
      const options = lock ? [{ range: first, hoverMessage: new vscode.MarkdownString().appendText(words(lock)) }] : [];
      editor.setDecorations(this.#gutter.mine, lock?.mine ? options : []);
      editor.setDecorations(this.#gutter.theirs, lock && !lock.mine ? options : []);
    }
  }
}

function words({ holder, mine, leftMs }: FileLock): string {
  return `locked by ${mine ? "you" : holder}, ${left(leftMs)} left`;
}
