// A word on each hunk, where the hunk is: lenses and keys in the proposal's diff, and a document of its own for a text of one's own.

import * as vscode from "vscode";
import { newText, places } from "./patch";
import { AFTER, type Preview } from "./preview";
import type { Hunk } from "./protocol";
import * as say from "./say";
import type { Tasks } from "./tasks";

const EDIT = "krins-edit";

interface At {
  task: string;
  hunk: Hunk;
}

export class Hunks implements vscode.CodeLensProvider, vscode.FileSystemProvider, vscode.Disposable {
  readonly #lenses = new vscode.EventEmitter<void>();
  readonly #files = new vscode.EventEmitter<vscode.FileChangeEvent[]>();
  /** Texts that a person is at, by address. */
  readonly #edits = new Map<string, { bytes: Uint8Array; at: At; written: number }>();
  readonly #subscriptions: vscode.Disposable[];
  readonly onDidChangeCodeLenses = this.#lenses.event;
  readonly onDidChangeFile = this.#files.event;

  constructor(
    private readonly tasks: Tasks,
    private readonly preview: Preview,
  ) {
    this.#subscriptions = [
      vscode.languages.registerCodeLensProvider({ scheme: AFTER }, this),
      vscode.workspace.registerFileSystemProvider(EDIT, this, { isCaseSensitive: true }),
      tasks.onDidChange(() => this.#lenses.fire()),
    ];
  }

  provideCodeLenses(document: vscode.TextDocument): vscode.CodeLens[] {
    const found = this.#of(document.uri);
    if (!found) return [];
    return places(found.hunks).flatMap(({ hunk, change }) => {
      const range = document.lineAt(Math.min(change, document.lineCount - 1)).range;
      const lens = (title: string, command: string) => new vscode.CodeLens(range, { title, command, arguments: [{ task: found.task, hunk: hunk.id }] });
      switch (hunk.verdict) {
        case "reject":
          return [lens(`$(circle-slash) ${hunk.id} rejected, take it back`, "krins.ui.takeBackHunk")];
        case "accept":
          return [lens(`$(pass-filled) ${hunk.id} accepted${hunk.edited ? " with your text" : ""}, take it back`, "krins.ui.takeBackHunk"), lens("$(close) Reject", "krins.ui.rejectHunk"), lens("$(edit) Edit", "krins.ui.editHunk")];
        default:
          return [lens("$(check) Accept", "krins.ui.acceptHunk"), lens("$(close) Reject", "krins.ui.rejectHunk"), lens("$(edit) Edit", "krins.ui.editHunk"), lens("$(question) Why", "krins.ui.why")];
      }
    });
  }

  /** The hunk that a lens or a row of the view names, else the one at the cursor. */
  at(argument: unknown): At | undefined {
    const { task, hunk } = (argument ?? {}) as { task?: string; hunk?: string };
    if (task !== undefined && hunk !== undefined) return this.#named(task, hunk);
    const editor = vscode.window.activeTextEditor;
    const found = editor && this.#of(editor.document.uri);
    if (!found) return undefined;
    const cursor = editor.selection.active.line;
    const all = places(found.hunks);
    // The hunk around the cursor, else the next one below, else the last.
    const place = all.find(({ line, length }) => cursor >= line && cursor < line + Math.max(length, 1)) ?? all.find(({ line }) => line > cursor) ?? all.at(-1);
    return place && { task: found.task, hunk: place.hunk };
  }

  /** Opens the hunk's new text; saving it accepts the hunk with it, also more than once. */
  async edit(argument: unknown): Promise<void> {
    const at = this.at(argument);
    if (!at) return;
    const file = this.tasks.proposal(at.task)?.diff.files.find(({ hunks }) => hunks.some(({ id }) => id === at.hunk.id));
    if (!file) return;
    const path = vscode.Uri.parse(file.uri).path;
    // The file's own name at the end, so that the text has its language.
    const uri = vscode.Uri.from({ scheme: EDIT, path: `/${at.hunk.id}/${path.slice(path.lastIndexOf("/") + 1)}`, query: at.task });
    this.#edits.set(uri.toString(), { bytes: new TextEncoder().encode(newText(at.hunk)), at, written: Date.now() });
    this.#files.fire([{ type: vscode.FileChangeType.Changed, uri }]);
    await vscode.window.showTextDocument(await vscode.workspace.openTextDocument(uri), { preview: false, viewColumn: vscode.ViewColumn.Beside });
  }

  /** The reasons of the change, and the lines they rest on. */
  async why(argument: unknown): Promise<void> {
    const task = this.at(argument)?.task ?? (argument as { task?: string } | undefined)?.task;
    const diff = task === undefined ? undefined : this.tasks.proposal(task)?.diff;
    if (!diff) return;
    const items = diff.why.flatMap(({ reason, lines }): (vscode.QuickPickItem & { place?: string })[] => [
      { label: reason, kind: vscode.QuickPickItemKind.Separator },
      ...(lines.length > 0 ? lines.map((place) => ({ label: `$(go-to-file) ${place}`, detail: reason, place })) : [{ label: reason }]),
    ]);
    const chosen = await vscode.window.showQuickPick(items.length > 0 ? items : [{ label: "The answer gave no reasons." }], { title: "Krins: why" });
    if (chosen && "place" in chosen && chosen.place) await openPlace(chosen.place);
  }

  watch(): vscode.Disposable {
    return new vscode.Disposable(() => undefined);
  }

  stat(uri: vscode.Uri): vscode.FileStat {
    const { bytes, written } = this.#entry(uri);
    return { type: vscode.FileType.File, ctime: written, mtime: written, size: bytes.length };
  }

  readFile(uri: vscode.Uri): Uint8Array {
    return this.#entry(uri).bytes;
  }

  async writeFile(uri: vscode.Uri, bytes: Uint8Array): Promise<void> {
    const entry = this.#entry(uri);
    this.#edits.set(uri.toString(), { ...entry, bytes, written: Date.now() });
    await this.tasks.judge(entry.at.task, entry.at.hunk.id, "edit", new TextDecoder().decode(bytes));
    this.#files.fire([{ type: vscode.FileChangeType.Changed, uri }]);
  }

  readDirectory(): [string, vscode.FileType][] {
    return [];
  }

  createDirectory(uri: vscode.Uri): void {
    throw vscode.FileSystemError.NoPermissions(uri);
  }

  delete(uri: vscode.Uri): void {
    throw vscode.FileSystemError.NoPermissions(uri);
  }

  rename(from: vscode.Uri): void {
    throw vscode.FileSystemError.NoPermissions(from);
  }

  dispose(): void {
    vscode.Disposable.from(...this.#subscriptions, this.#lenses, this.#files).dispose();
  }

  #entry(uri: vscode.Uri): { bytes: Uint8Array; at: At; written: number } {
    const entry = this.#edits.get(uri.toString());
    if (!entry) throw vscode.FileSystemError.FileNotFound(uri);
    return entry;
  }

  #named(task: string, id: string): At | undefined {
    const hunk = this.tasks.proposal(task)?.diff.files.flatMap(({ hunks }) => hunks).find((each) => each.id === id);
    return hunk && { task, hunk };
  }

  /** What the document shows, with the verdicts of now. */
  #of(uri: vscode.Uri): { task: string; hunks: readonly Hunk[] } | undefined {
    const shown = this.preview.hunksOf(uri);
    const file = shown && this.tasks.proposal(shown.task)?.diff.files.find((each) => each.uri === shown.file.uri);
    return file && { task: shown.task, hunks: file.hunks };
  }
}

/** Opens `src/a.ts:12` or `src/a.ts` of the workspace, and nothing outside of it. */
export async function openPlace(place: string): Promise<void> {
  const match = /^(.*?)(?::(\d+)(?:-\d+)?)?$/.exec(place);
  const path = match?.[1] ?? place;
  if (path.split(/[\\/]/).includes("..")) return;
  for (const folder of vscode.workspace.workspaceFolders ?? []) {
    const uri = vscode.Uri.joinPath(folder.uri, path);
    try {
      await vscode.workspace.fs.stat(uri);
    } catch {
      continue;
    }
    const at = new vscode.Position(Math.max(0, Number(match?.[2] ?? 1) - 1), 0);
    await vscode.window.showTextDocument(uri, { selection: new vscode.Range(at, at), preview: true });
    return;
  }
  void say.info(`Krins: ${path} is not there yet; it comes with the change.`);
}
