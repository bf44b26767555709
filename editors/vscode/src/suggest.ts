// What Krins could do, said so that nobody has to listen: faded exports that nothing uses, code that stands there twice, and an
// error that stays. No message ever comes up; one setting switches all of it off. The keyless refactorings do nothing of this, so
// that nothing is said where only they would be asked.

import * as vscode from "vscode";
import { duplicates } from "./duplicates";
import type { Server } from "./server";
import type { Tasks } from "./tasks";
import { shorten } from "./words";

const SOURCE = "krins suggests";
/** A file is looked at once in so long, and any file once in the shorter time. */
const FILE_PAUSE = 5 * 60_000;
const ANY_PAUSE = 20_000;
/** An error that stays so long, over so many changes of its file, is one that somebody is stuck on; said once in so long. */
const STUCK_AFTER = 8 * 60_000;
const STUCK_CHANGES = 10;
const STUCK_PAUSE = 30 * 60_000;
const CODE = new Set(["typescript", "typescriptreact", "javascript", "javascriptreact"]);
const SURE = 0.9;
const MOST = 5;
/** Files around one that are read to find the same code in. */
const NEIGHBOURS = 40;

interface Worry {
  message: string;
  line: number;
  since: number;
  changes: number;
}

export class Suggestions implements vscode.CodeActionProvider, vscode.Disposable {
  readonly #found = vscode.languages.createDiagnosticCollection("krins.suggestions");
  readonly #looked = new Map<string, number>();
  readonly #worries = new Map<string, Worry>();
  readonly #stuck = vscode.window.createStatusBarItem("krins.stuck", vscode.StatusBarAlignment.Right, 89);
  readonly #subscriptions: vscode.Disposable[];
  /** The file whose error the item in the status bar is about. */
  #stuckAt = "";
  #lookedAny = 0;
  #saidStuck = 0;

  constructor(
    private readonly server: Server,
    private readonly tasks: Tasks,
    private readonly asked: { readonly keyless: boolean },
  ) {
    this.#stuck.name = "Krins: an error that stays";
    this.#subscriptions = [
      vscode.workspace.onDidSaveTextDocument((document) => void this.#look(document)),
      vscode.workspace.onDidChangeTextDocument(({ document, contentChanges }) => {
        if (contentChanges.length === 0 || document.uri.scheme !== "file") return;
        // What was said of the text before is not said of this one.
        this.#found.delete(document.uri);
        const worry = this.#worries.get(document.uri.toString());
        if (worry) worry.changes += 1;
      }),
      vscode.workspace.onDidCloseTextDocument(({ uri }) => {
        this.#found.delete(uri);
        this.#calm(uri.toString());
      }),
      vscode.languages.onDidChangeDiagnostics(({ uris }) => uris.forEach((uri) => this.#worry(uri))),
      vscode.workspace.onDidChangeConfiguration((change) => {
        if (change.affectsConfiguration("krins.suggestions") && !this.#on()) this.#clear();
      }),
      server.onDidChangeState(() => this.#clear()),
      vscode.languages.registerCodeActionsProvider({ scheme: "file" }, this, { providedCodeActionKinds: [vscode.CodeActionKind.QuickFix] }),
    ];
  }

  provideCodeActions(document: vscode.TextDocument, range: vscode.Range): vscode.CodeAction[] {
    return (this.#found.get(document.uri) ?? [])
      .filter((found) => found.range.intersection(range) !== undefined)
      .flatMap((found) => {
        const action = new vscode.CodeAction(`Krins: ${shorten(String(found.code))}`, vscode.CodeActionKind.QuickFix);
        action.diagnostics = [found];
        action.command = { title: action.title, command: "krins.ui.change", arguments: [{ intent: String(found.code), uri: document.uri }] };
        const off = new vscode.CodeAction("Krins: no suggestions any more", vscode.CodeActionKind.QuickFix);
        off.command = { title: off.title, command: "krins.ui.noSuggestions" };
        return [action, off];
      });
  }

  dispose(): void {
    vscode.Disposable.from(...this.#subscriptions, this.#found, this.#stuck).dispose();
  }

  #on(): boolean {
    return !this.asked.keyless && vscode.workspace.getConfiguration("krins").get("suggestions", true);
  }

  #clear(): void {
    this.#found.clear();
    for (const key of [...this.#worries.keys()]) this.#calm(key);
  }

  /** Nobody is stuck on a file's error any more. */
  #calm(key: string): void {
    this.#worries.delete(key);
    if (this.#stuckAt === key) this.#stuck.hide();
  }

  async #look(document: vscode.TextDocument): Promise<void> {
    const { uri } = document;
    const now = Date.now();
    const busy = this.tasks.running > 0 || this.tasks.waiting > 0;
    if (!this.#on() || busy || uri.scheme !== "file" || !CODE.has(document.languageId) || this.server.state.name !== "running") return;
    if (now - this.#lookedAny < ANY_PAUSE || now - (this.#looked.get(uri.toString()) ?? 0) < FILE_PAUSE) return;
    this.#lookedAny = now;
    this.#looked.set(uri.toString(), now);
    const { version } = document;
    const said = await Promise.allSettled([this.#unused(document), this.#twice(document)]);
    // What could not be looked at, because the code graph is still read, is looked at with the next save.
    if (said.some(({ status }) => status === "rejected")) this.#looked.delete(uri.toString());
    const found = said.flatMap((each) => (each.status === "fulfilled" ? each.value : []));
    if (document.version === version && this.#on()) this.#found.set(uri, found.slice(0, MOST));
  }

  async #unused({ uri }: vscode.TextDocument): Promise<vscode.Diagnostic[]> {
    const { unused, partial } = await this.server.request("krins/graph/unused", { uris: [uri.toString()], limit: MOST, patience: 1000 });
    // What is not read yet may use it.
    if (partial) throw new Error("still reading");
    return unused
      .filter(({ confidence, why, range }) => confidence >= SURE && why === "nobody" && range)
      .map(({ exportedAs, lines }) => hint(lines[0] - 1, lines[0] - 1, `nothing uses the export \`${exportedAs}\``, `remove the unused export ${exportedAs} and what only it needs`, true));
  }

  async #twice(document: vscode.TextDocument): Promise<vscode.Diagnostic[]> {
    const module = await this.server.request("krins/graph/module", { uri: document.uri.toString(), limit: NEIGHBOURS, patience: 1000 });
    const near = [...module.imports, ...module.importers].flatMap(({ uri, path }) => (uri ? [{ uri: vscode.Uri.parse(uri), path }] : [])).slice(0, NEIGHBOURS);
    const others = await Promise.all(near.map(async ({ uri, path }) => ({ path, text: new TextDecoder().decode(await vscode.workspace.fs.readFile(uri)) })));
    return duplicates(document.getText(), others).map(({ first, last, path, line }) =>
      hint(first, last, `the same ${last - first + 1} lines are in ${path}:${line + 1}`, `the code in lines ${first + 1} to ${last + 1} is also in ${path} from line ${line + 1}: share it`, false),
    );
  }

  /** Follows the first error of a file; nothing is asked of anybody for it. */
  #worry(uri: vscode.Uri): void {
    if (!this.#on() || uri.scheme !== "file") return;
    const key = uri.toString();
    const errors = vscode.languages.getDiagnostics(uri).filter(({ severity, source }) => severity === vscode.DiagnosticSeverity.Error && source !== "krins");
    const worry = this.#worries.get(key);
    const same = worry && errors.find(({ message }) => message === worry.message);
    const now = Date.now();
    if (!same) {
      const [error] = errors;
      this.#calm(key);
      if (error) this.#worries.set(key, { message: error.message, line: error.range.start.line, since: now, changes: 0 });
      return;
    }
    if (now - worry.since < STUCK_AFTER || worry.changes < STUCK_CHANGES || now - this.#saidStuck < STUCK_PAUSE) return;
    this.#saidStuck = now;
    this.#stuckAt = key;
    this.#stuck.text = "$(lightbulb) Krins: this error stays";
    this.#stuck.tooltip = `${worry.message}\n\nClick to ask for a change that mends it.`;
    const intent = `mend this error in line ${same.range.start.line + 1}: ${shorten(worry.message, 200)}`;
    this.#stuck.command = { title: "Ask", command: "krins.ui.change", arguments: [{ intent, uri }] };
    this.#stuck.show();
  }
}

function hint(first: number, last: number, message: string, intent: string, faded: boolean): vscode.Diagnostic {
  const found = new vscode.Diagnostic(new vscode.Range(first, 0, last, 999), message, vscode.DiagnosticSeverity.Hint);
  found.source = SOURCE;
  found.code = intent;
  if (faded) found.tags = [vscode.DiagnosticTag.Unnecessary];
  return found;
}
