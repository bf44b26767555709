// A proposal as native diff editors: one tab with every file, before and after.

import { createHash } from "node:crypto";
import * as vscode from "vscode";
import { Mismatch, patched, places, size, wanted } from "./patch";
import type { BaseFile, DiffResult, FileDiff, Hunk } from "./protocol";
import * as say from "./say";
import { isWaiting, shorten } from "./words";

const BEFORE = "krins-before";
/** Where a proposal's new texts are: documents of this scheme carry the hunks' lenses and keys. */
export const AFTER = "krins-after";
const PATCH = "krins-patch";
const NOTE = "krins-note";
/** Where a person's own text of a hunk is. */
export const EDIT = "krins-edit";
/** What is closed with a proposal. */
const OURS = [BEFORE, AFTER, PATCH, EDIT];

interface Sides {
  file: FileDiff;
  before: string;
  after: string;
}

export class Preview implements vscode.Disposable {
  /** Texts of the virtual documents, by address. */
  readonly #texts = new Map<string, string>();
  readonly #changed = new vscode.EventEmitter<vscode.Uri>();
  /** What the tab over all files is called, by task. */
  readonly #titles = new Map<string, string>();
  /** What the virtual documents show, by task: for lenses, for merges, and to draw them anew. */
  readonly #shown = new Map<string, Sides[]>();
  readonly #registrations: vscode.Disposable[];

  constructor(private readonly log: vscode.LogOutputChannel) {
    const provider: vscode.TextDocumentContentProvider = {
      onDidChange: this.#changed.event,
      provideTextDocumentContent: (uri) => this.#texts.get(uri.toString()) ?? "",
    };
    this.#registrations = [BEFORE, AFTER, PATCH, NOTE].map((scheme) =>
      vscode.workspace.registerTextDocumentContentProvider(scheme, provider),
    );
  }

  /** The tab over all files: the one that is in front already, else a new one in place of any that there is. */
  async show(intent: string, diff: DiffResult): Promise<void> {
    const { task, files } = diff;
    const sides = await this.load(intent, diff);
    if (!sides) return this.#showPatch(diff);
    const open = tabsWhere((tab) => isOver(tab) && this.#isOf(tab, task));
    if (open.some((tab) => tab.isActive && tab.group.isActive && [0, 2 * files.length].includes(over(tab).length))) {
      await vscode.commands.executeCommand("workbench.action.focusActiveEditorGroup");
      return;
    }
    if (open.length > 0) await vscode.window.tabGroups.close(open, true);
    const resources = sides.map((side) => {
      const { before, after } = this.#write(task, side);
      return [vscode.Uri.parse(side.file.uri), before, after];
    });
    await vscode.commands.executeCommand("vscode.changes", this.#titles.get(task), resources);
  }

  /** Makes the texts of a proposal known, also to what VS Code opened again after a restart. */
  async load(intent: string, diff: DiffResult): Promise<Sides[] | undefined> {
    // VS Code puts the number of files behind it. The same words twice are told apart, by a person too.
    const plain = `Krins: ${shorten(intent, 50)}`;
    const others = [...this.#titles].filter(([task]) => task !== diff.task).map(([, each]) => each);
    let title = this.#titles.get(diff.task) ?? plain;
    for (let number = 2; others.includes(title); number += 1) title = `${plain} · ${number}`;
    this.#titles.set(diff.task, title);
    const sides = await this.#all(diff);
    for (const side of sides ?? []) this.#write(diff.task, side);
    return sides;
  }

  /** The task whose document or diff is in front. */
  active(): string | undefined {
    const tab = vscode.window.tabGroups.activeTabGroup.activeTab;
    return tab && (over(tab)[0]?.query ?? [...this.#titles.keys()].find((task) => this.#isOf(tab, task)));
  }

  /** One file of it in a diff editor of its own, at a hunk. */
  async open(diff: DiffResult, uri: string, hunk?: Hunk): Promise<void> {
    const side = (await this.#all(diff))?.find(({ file }) => file.uri === uri);
    if (!side) return this.#showPatch(diff);
    const { before, after } = this.#write(diff.task, side);
    const place = places(side.file.hunks).find((each) => each.hunk.id === hunk?.id);
    const at = new vscode.Position(place?.change ?? 0, 0);
    const name = vscode.workspace.asRelativePath(vscode.Uri.parse(uri));
    await vscode.commands.executeCommand("vscode.diff", before, after, `${name} (Krins)`, {
      selection: new vscode.Range(at, at),
      preview: true,
    });
  }

  /** After a word on a hunk: the open diffs show what an apply would now write. */
  async update(diff: DiffResult): Promise<void> {
    if (!this.#shown.has(diff.task)) return;
    for (const side of (await this.#all(diff)) ?? []) this.#write(diff.task, side);
  }

  /** The hunks of the proposal's document that this one is. */
  hunksOf(uri: vscode.Uri): { task: string; file: FileDiff } | undefined {
    if (uri.scheme !== AFTER) return undefined;
    const file = this.#shown.get(uri.query)?.find((side) => vscode.Uri.parse(side.file.uri).path === uri.path)?.file;
    return file && { task: uri.query, file };
  }

  /** Closes the tabs of a task that is done with, and forgets its texts; what a person wrote and did not save stays. */
  async close(task: string): Promise<void> {
    const tabs = tabsWhere((tab) => this.#isOf(tab, task) && !(tab.isDirty && over(tab)[0]?.scheme === EDIT));
    this.#titles.delete(task);
    this.#shown.delete(task);
    if (tabs.length > 0) await vscode.window.tabGroups.close(tabs, true);
    for (const address of this.#texts.keys()) {
      if (vscode.Uri.parse(address).query === task) this.#texts.delete(address);
    }
  }

  /** A note of ours to read. */
  note(task: string, name: string, text: string): vscode.Uri {
    return this.#put(NOTE, task, vscode.Uri.file(`/${name}`), text);
  }

  dispose(): void {
    vscode.Disposable.from(...this.#registrations, this.#changed).dispose();
    this.#texts.clear();
  }

  /** The buffers or files may have moved on since the task read them: the server merges then, and here the plain patch is shown. */
  async #showPatch(diff: DiffResult): Promise<void> {
    const uri = this.#put(PATCH, diff.task, vscode.Uri.file("/proposal.diff"), diff.patch);
    const open = tabsWhere((tab) => over(tab)[0]?.toString() === uri.toString()).length > 0;
    const document = await vscode.workspace.openTextDocument(uri);
    await vscode.window.showTextDocument(document, { preview: false });
    if (open || !isWaiting(diff.state)) return;
    void say.info(
      "Krins: a file changed after the task read it, so the plain diff is shown. Applying merges it into what the file is now.",
    );
  }

  async #sides(file: FileDiff, { task, base }: DiffResult): Promise<Sides> {
    if (file.kind === "create") return { file, before: "", after: patched("", wanted(file.hunks)) };
    const source = file.from ?? file.uri;
    const entry = base.find((candidate) => candidate.uri === source);
    // What was shown before is what the task read, also when the file has moved on since.
    const known = this.#shown.get(task)?.find((side) => side.file.uri === file.uri)?.before;
    const texts = await candidates(vscode.Uri.parse(source), entry, known);
    for (const before of texts) {
      try {
        // Tried with all of them: what a person rejects must fit, too, before it can be taken back.
        patched(before, file.hunks);
        return { file, before, after: patched(before, wanted(file.hunks)) };
      } catch (error) {
        if (!(error instanceof Mismatch)) throw error;
      }
    }
    const { added, removed } = size(file.hunks);
    throw new Error(`no text of it fits the +${added} -${removed} lines`);
  }

  #put(scheme: string, task: string, like: vscode.Uri, text: string): vscode.Uri {
    const uri = vscode.Uri.from({ scheme, path: like.path, query: task });
    const changed = this.#texts.get(uri.toString()) !== text;
    this.#texts.set(uri.toString(), text);
    if (changed) this.#changed.fire(uri);
    return uri;
  }

  /** Both sides of every file; nothing when one has no text that the hunks fit. */
  async #all(diff: DiffResult): Promise<Sides[] | undefined> {
    const sides: Sides[] = [];
    for (const file of diff.files) {
      try {
        sides.push(await this.#sides(file, diff));
      } catch (error) {
        this.log.warn(`cannot show ${file.uri} side by side: ${String(error)}`);
        return undefined;
      }
    }
    this.#shown.set(diff.task, sides);
    return sides;
  }

  /** Both are documents also where a file comes or goes: a word can be said there, and what is rejected stays as it is. */
  #write(task: string, { file, before, after }: Sides): { before: vscode.Uri; after: vscode.Uri } {
    return {
      before: this.#put(BEFORE, task, vscode.Uri.parse(file.from ?? file.uri), before),
      after: this.#put(AFTER, task, vscode.Uri.parse(file.uri), after),
    };
  }

  /** By its documents; a tab of which VS Code does not tell them, as long as it is not in front, by its name. */
  #isOf(tab: vscode.Tab, task: string): boolean {
    const uris = over(tab);
    if (uris.length > 0) return uris.every(({ query }) => query === task);
    const title = this.#titles.get(task);
    return isOver(tab) && title !== undefined && (tab.label === title || tab.label.startsWith(`${title} (`));
  }
}

function tabsWhere(wanted: (tab: vscode.Tab) => boolean): vscode.Tab[] {
  return vscode.window.tabGroups.all.flatMap((group) => group.tabs).filter(wanted);
}

type Input = { textDiffs?: readonly { original: vscode.Uri; modified: vscode.Uri }[] } | undefined;

/** A tab with several diffs: its type is not public, and is known by what it has. */
function isOver({ input }: vscode.Tab): boolean {
  return Array.isArray((input as Input)?.textDiffs);
}

/** The documents of proposals that a tab is over; none where it is over any other. */
function over({ input }: vscode.Tab): vscode.Uri[] {
  const diffs = input instanceof vscode.TabInputTextDiff ? [input] : ((input as Input)?.textDiffs ?? []);
  const uris = input instanceof vscode.TabInputText ? [input.uri] : diffs.flatMap(({ original, modified }) => [original, modified]);
  return uris.every((uri) => OURS.includes(uri?.scheme)) ? uris : [];
}

/** The buffer and the file, the one that is the base first. */
async function candidates(uri: vscode.Uri, base: BaseFile | undefined, known: string | undefined): Promise<string[]> {
  const document = vscode.workspace.textDocuments.find((open) => open.uri.toString() === uri.toString());
  const texts: string[] = known === undefined ? [] : [known];
  if (document) texts.push(document.getText());
  try {
    // The mark of a file's encoding stays: it is part of the text that was hashed.
    texts.push(new TextDecoder("utf-8", { ignoreBOM: true }).decode(await vscode.workspace.fs.readFile(uri)));
  } catch (error) {
    if (texts.length === 0) throw error;
  }
  return texts.sort((a, b) => Number(isBase(b, base)) - Number(isBase(a, base)));
}

function isBase(text: string, base: BaseFile | undefined): boolean {
  return base?.sha256 === createHash("sha256").update(text, "utf8").digest("hex");
}
