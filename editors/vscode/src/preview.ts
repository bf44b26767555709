// A proposal as native diff editors: one tab with every file, before and after.

import { createHash } from "node:crypto";
import * as vscode from "vscode";
import { Mismatch, patched, size } from "./patch";
import type { BaseFile, DiffResult, FileDiff } from "./protocol";
import { shorten } from "./words";

const BEFORE = "krins-before";
const AFTER = "krins-after";
const PATCH = "krins-patch";

interface Sides {
  file: FileDiff;
  before: string;
  after: string;
}

export class Preview implements vscode.Disposable {
  /** Texts of the virtual documents, by address. */
  readonly #texts = new Map<string, string>();
  readonly #changed = new vscode.EventEmitter<vscode.Uri>();
  readonly #tabs = new Map<string, string>();
  readonly #registrations: vscode.Disposable[];

  constructor(private readonly log: vscode.LogOutputChannel) {
    const provider: vscode.TextDocumentContentProvider = {
      onDidChange: this.#changed.event,
      provideTextDocumentContent: (uri) => this.#texts.get(uri.toString()) ?? "",
    };
    this.#registrations = [BEFORE, AFTER, PATCH].map((scheme) =>
      vscode.workspace.registerTextDocumentContentProvider(scheme, provider),
    );
  }

  async show(intent: string, diff: DiffResult): Promise<void> {
    // VS Code puts the number of files behind it.
    const title = `Krins: ${shorten(intent, 50)}`;
    this.#tabs.set(diff.task, title);
    const sides: Sides[] = [];
    for (const file of diff.files) {
      try {
        sides.push(await this.#sides(file, diff.base));
      } catch (error) {
        this.log.warn(`cannot show ${file.uri} side by side: ${String(error)}`);
        await this.#showPatch(diff);
        return;
      }
    }
    const resources = sides.map(({ file, before, after }) => {
      const target = vscode.Uri.parse(file.uri);
      return [
        target,
        file.kind === "create" ? undefined : this.#put(BEFORE, diff.task, vscode.Uri.parse(file.from ?? file.uri), before),
        file.kind === "delete" ? undefined : this.#put(AFTER, diff.task, target, after),
      ];
    });
    await vscode.commands.executeCommand("vscode.changes", title, resources);
  }

  /** Closes the tab of a task that is done with, and forgets its texts. */
  async close(task: string): Promise<void> {
    const title = this.#tabs.get(task);
    this.#tabs.delete(task);
    const tabs = vscode.window.tabGroups.all.flatMap((group) => group.tabs).filter((tab) => isOurs(tab, title) || this.#isPatch(tab, task));
    if (tabs.length > 0) await vscode.window.tabGroups.close(tabs, true);
    for (const address of this.#texts.keys()) {
      if (vscode.Uri.parse(address).query === task) this.#texts.delete(address);
    }
  }

  dispose(): void {
    vscode.Disposable.from(...this.#registrations, this.#changed).dispose();
    this.#texts.clear();
  }

  /** The buffers or files may have moved on since the task read them: the server merges then, and here the plain patch is shown. */
  async #showPatch(diff: DiffResult): Promise<void> {
    const uri = this.#put(PATCH, diff.task, vscode.Uri.file("/proposal.diff"), diff.patch);
    const document = await vscode.workspace.openTextDocument(uri);
    await vscode.window.showTextDocument(document, { preview: false });
    void vscode.window.showInformationMessage(
      "Krins: a file changed after the task read it, so the plain diff is shown. Applying merges it into what the file is now.",
    );
  }

  async #sides(file: FileDiff, base: readonly BaseFile[]): Promise<Sides> {
    if (file.kind === "create") return { file, before: "", after: patched("", file.hunks) };
    const source = file.from ?? file.uri;
    const entry = base.find((candidate) => candidate.uri === source);
    const texts = await candidates(vscode.Uri.parse(source), entry);
    for (const before of texts) {
      try {
        return { file, before, after: file.kind === "delete" ? "" : patched(before, file.hunks) };
      } catch (error) {
        if (!(error instanceof Mismatch)) throw error;
      }
    }
    const { added, removed } = size(file.hunks);
    throw new Error(`no text of it fits the +${added} -${removed} lines`);
  }

  #put(scheme: string, task: string, like: vscode.Uri, text: string): vscode.Uri {
    const uri = vscode.Uri.from({ scheme, path: like.path, query: task });
    this.#texts.set(uri.toString(), text);
    this.#changed.fire(uri);
    return uri;
  }

  #isPatch(tab: vscode.Tab, task: string): boolean {
    return tab.input instanceof vscode.TabInputText && tab.input.uri.scheme === PATCH && tab.input.uri.query === task;
  }
}

/** The type of a tab with several diffs is not public, so it is known by its label. */
function isOurs(tab: vscode.Tab, title: string | undefined): boolean {
  return title !== undefined && (tab.label === title || tab.label.startsWith(`${title} (`));
}

/** The buffer and the file, the one that is the base first. */
async function candidates(uri: vscode.Uri, base: BaseFile | undefined): Promise<string[]> {
  const document = vscode.workspace.textDocuments.find((open) => open.uri.toString() === uri.toString());
  const texts: string[] = [];
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
