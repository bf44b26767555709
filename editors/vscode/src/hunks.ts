// A word on each hunk, where the hunk is: lenses and keys in the proposal's diff, and a document of its own for a text of one's own.

import * as vscode from "vscode";
import { failure, sentence } from "./errors";
import { newText, places } from "./patch";
import { AFTER, EDIT, type Preview } from "./preview";
import type { DiffResult, FileDiff, Hunk } from "./protocol";
import * as say from "./say";
import type { Tasks } from "./tasks";
import { withoutLinks } from "./words";

interface At {
  task: string;
  hunk: Hunk;
}

export class Hunks implements vscode.CodeLensProvider, vscode.FileSystemProvider, vscode.Disposable {
  readonly #lenses = new vscode.EventEmitter<void>();
  readonly #files = new vscode.EventEmitter<vscode.FileChangeEvent[]>();
  /** Texts that a person is at, by address. */
  readonly #edits = new Map<string, { bytes: Uint8Array; written: number }>();
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
      // What is deleted has no text to edit.
      const others = [lens("$(close) Reject", "krins.ui.rejectHunk"), ...(found.kind === "delete" ? [] : [lens("$(edit) Edit", "krins.ui.editHunk")])];
      switch (hunk.verdict) {
        case "reject":
          return [lens(`$(circle-slash) ${hunk.id} rejected, take it back`, "krins.ui.takeBackHunk")];
        case "accept":
          return [lens(`$(pass-filled) ${hunk.id} accepted${hunk.edited ? " with your text" : ""}, take it back`, "krins.ui.takeBackHunk"), ...others];
        default:
          return [lens("$(check) Accept", "krins.ui.acceptHunk"), ...others, lens("$(question) Why", "krins.ui.why")];
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
    // What is being written there is neither lost nor in the way of being saved.
    if (!vscode.workspace.textDocuments.some((open) => open.isDirty && open.uri.toString() === uri.toString())) this.#write(uri, new TextEncoder().encode(newText(at.hunk)));
    await vscode.window.showTextDocument(await vscode.workspace.openTextDocument(uri), { preview: false, viewColumn: vscode.ViewColumn.Beside });
  }

  /** The reasons of the change, and the lines they rest on. */
  async why(argument: unknown): Promise<void> {
    const task = (argument as { task?: string } | undefined)?.task ?? this.at(undefined)?.task ?? this.tasks.focus.proposal?.diff.task;
    if (task === undefined) return void say.info("Krins: there is no proposal here.");
    const diff = (await this.tasks.choose(task))?.diff;
    if (!diff) return;
    const items = diff.why.flatMap(({ reason, lines }): (vscode.QuickPickItem & { place?: string })[] => [
      { label: reason, kind: vscode.QuickPickItemKind.Separator },
      ...(lines.length > 0 ? lines.map((place) => ({ label: `$(go-to-file) ${place}`, detail: reason, place })) : [{ label: reason }]),
    ]);
    const chosen = await vscode.window.showQuickPick(items.length > 0 ? items : [{ label: "The answer gave no reasons." }], { title: "Krins: why" });
    const address = chosen && "place" in chosen && chosen.place ? located(chosen.place, rootOf(diff)) : undefined;
    if (address !== undefined) await openPlace(address);
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
    try {
      await this.tasks.edit(uri.query, hunkOf(uri), new TextDecoder().decode(bytes));
    } catch (error) {
      // VS Code says it, and keeps the text as one that is not saved.
      throw vscode.FileSystemError.Unavailable(withoutLinks(sentence(failure(error))));
    }
    this.#write(uri, bytes);
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

  #write(uri: vscode.Uri, bytes: Uint8Array): void {
    this.#edits.set(uri.toString(), { bytes, written: Date.now() });
    this.#files.fire([{ type: vscode.FileChangeType.Changed, uri }]);
  }

  #entry(uri: vscode.Uri): { bytes: Uint8Array; written: number } {
    const entry = this.#edits.get(uri.toString());
    if (entry) return entry;
    // Opened before a restart of the window.
    const at = this.#named(uri.query, hunkOf(uri));
    if (!at) throw vscode.FileSystemError.FileNotFound(uri);
    return { bytes: new TextEncoder().encode(newText(at.hunk)), written: 0 };
  }

  #named(task: string, id: string): At | undefined {
    const hunk = this.tasks.proposal(task)?.diff.files.flatMap(({ hunks }) => hunks).find((each) => each.id === id);
    return hunk && { task, hunk };
  }

  /** What the document shows, with the verdicts of now. */
  #of(uri: vscode.Uri): { task: string; kind: FileDiff["kind"]; hunks: readonly Hunk[] } | undefined {
    const shown = this.preview.hunksOf(uri);
    const file = shown && this.tasks.proposal(shown.task)?.diff.files.find((each) => each.uri === shown.file.uri);
    return file && { task: shown.task, kind: file.kind, hunks: file.hunks };
  }
}

/** `/h1/name.ts`: the hunk whose text a document is. */
function hunkOf(uri: vscode.Uri): string {
  return uri.path.split("/")[1] ?? "";
}

/** The directory that the paths of a proposal are below. */
export function rootOf({ patch, files }: DiffResult): vscode.Uri | undefined {
  const path = /(?:^|\n)(?:--- a|\+\+\+ b)\/([^\t\n]+)/.exec(patch)?.[1];
  const uri = files.flatMap((file) => [file.uri, file.from ?? []].flat()).map((each) => vscode.Uri.parse(each)).find((each) => each.path.endsWith(`/${path}`));
  if (path && uri) return uri.with({ path: uri.path.slice(0, -path.length - 1) });
  return files[0] && vscode.workspace.getWorkspaceFolder(vscode.Uri.parse(files[0].uri))?.uri;
}

/** The address of `src/a.ts:12` or `src/a.ts` below a root, with the line as its fragment; of nothing outside of it. */
export function located(place: string, root: vscode.Uri | undefined): string | undefined {
  const [, path = place, line = ""] = /^(.*?)(?::(\d+)(?:-\d+)?)?$/.exec(place) ?? [];
  if (!root || path.split(/[\\/]/).includes("..")) return undefined;
  return vscode.Uri.joinPath(root, path).with({ fragment: line }).toString();
}

/** Opens an address that `located` made, or a place below any folder of the workspace. */
export async function openPlace(place: string): Promise<void> {
  const folders = vscode.workspace.workspaceFolders ?? [];
  const addresses = place.startsWith("file:///") ? [place] : folders.map(({ uri }) => located(place, uri));
  for (const address of addresses) {
    if (address === undefined) continue;
    const uri = vscode.Uri.parse(address);
    const at = new vscode.Position(Math.max(0, Number(uri.fragment || 1) - 1), 0);
    try {
      await vscode.window.showTextDocument(uri.with({ fragment: "" }), { selection: new vscode.Range(at, at), preview: true });
      return;
    } catch {
      continue;
    }
  }
  const name = place.startsWith("file:///") ? vscode.workspace.asRelativePath(vscode.Uri.parse(place).with({ fragment: "" })) : place;
  void say.info(`Krins: ${name} is not there yet; it comes with the change.`);
}
