// The gate's panel: what each check says of the task that is looked at, with a way from every finding to its line, to a mend, or to
// a waiver. The page itself is panel/gate.ts.

import { randomBytes } from "node:crypto";
import * as vscode from "vscode";
import { located, openPlace, rootOf } from "./hunks";
import type { FromPanel, GateView, ToPanel } from "./panel/messages";
import { inWords, isFixable, type Tasks } from "./tasks";
import { isRunning, isWaiting, stateInWords } from "./words";

export class GatePanel implements vscode.WebviewViewProvider, vscode.Disposable {
  #view: vscode.WebviewView | undefined;
  #last = "";
  readonly #subscriptions: vscode.Disposable[];

  constructor(
    private readonly tasks: Tasks,
    private readonly extension: vscode.Uri,
  ) {
    this.#subscriptions = [
      vscode.window.registerWebviewViewProvider("krins.gate", this),
      tasks.onDidChange(() => this.#send(false)),
    ];
  }

  resolveWebviewView(view: vscode.WebviewView): void {
    this.#view = view;
    view.webview.options = { enableScripts: true, localResourceRoots: [vscode.Uri.joinPath(this.extension, "dist"), vscode.Uri.joinPath(this.extension, "media")] };
    view.webview.html = page(view.webview, this.extension);
    view.webview.onDidReceiveMessage((message: FromPanel) => void this.#hear(message));
    view.onDidDispose(() => (this.#view = undefined));
  }

  /** The view's own command would go back to the editor where the panel has the focus already. */
  async focus(): Promise<void> {
    if (this.#view) this.#view.show(false);
    else await vscode.commands.executeCommand("krins.gate.focus");
  }

  dispose(): void {
    vscode.Disposable.from(...this.#subscriptions).dispose();
  }

  #send(always: boolean): void {
    if (!this.#view) return;
    const message: ToPanel = { type: "show", view: this.#content() };
    const text = JSON.stringify(message);
    if (!always && text === this.#last) return;
    this.#last = text;
    void this.#view.webview.postMessage(message);
  }

  #content(): GateView | undefined {
    const { status, proposal } = this.tasks.focus;
    const task = status?.task ?? proposal?.diff.task;
    if (task === undefined) return undefined;
    const running = status !== undefined && isRunning(status.state);
    const report = running ? undefined : (proposal?.diff.gate ?? status?.gate ?? undefined);
    const state = status?.state ?? proposal?.diff.state ?? "ready";
    return {
      task,
      intent: status?.intent ?? proposal?.intent ?? "",
      state,
      waiting: isWaiting(state),
      error: status?.error && status.error.kind !== "Cancelled" ? inWords(status.error) : undefined,
      progress: running ? (status.progress ?? stateInWords(status.state)) : undefined,
      verdict: report?.verdict,
      checks: report ? report.checks.map(({ check, verdict, millis }) => ({ check, state: verdict, millis })) : this.tasks.checks(task),
      findings: [...(report?.findings ?? [])].sort((a, b) => rank(a.verdict) - rank(b.verdict)),
      waived: report?.waived ?? [],
      runs: report?.runs ?? [],
      rounds: status?.rounds ?? [],
      fixable: proposal !== undefined && isFixable(proposal.diff),
    };
  }

  async #hear(message: FromPanel): Promise<void> {
    const task = this.tasks.focus.status?.task ?? this.tasks.focus.proposal?.diff.task;
    switch (message.type) {
      case "ready":
        this.#send(true);
        return;
      case "open":
        await this.#open(message.path, message.line);
        return;
      case "link":
        // What a server says is opened in a browser only where it is an address of the web.
        if (message.link.startsWith("https://")) await vscode.env.openExternal(vscode.Uri.parse(message.link, true));
        return;
      case "waive":
        if (task !== undefined) await this.tasks.waive(task, message.rule, message.path);
        return;
      case "fix":
        await this.tasks.fix(message.task);
        return;
      case "again":
        await this.tasks.judgeAgain(message.task);
        return;
      case "review":
        await this.tasks.review(message.task);
        return;
      case "cancel":
        await this.tasks.cancel(message.task);
        return;
    }
  }

  /** A finding is about the text with the change: its line is shown in the diff, else in the file. */
  async #open(path: string, line: number): Promise<void> {
    const { proposal } = this.tasks.focus;
    const address = proposal && located(`${path}:${line}`, rootOf(proposal.diff));
    const file = address && proposal.diff.files.find(({ uri }) => vscode.Uri.parse(uri).path === vscode.Uri.parse(address).path);
    if (!proposal || !file) return openPlace(address ?? `${path}:${line}`);
    await this.tasks.open(proposal.diff.task, file.uri);
    const editor = vscode.window.activeTextEditor;
    if (!editor || !editor.document.uri.scheme.startsWith("krins-")) return;
    const at = new vscode.Position(Math.max(0, Math.min(line, editor.document.lineCount) - 1), 0);
    editor.selection = new vscode.Selection(at, at);
    editor.revealRange(new vscode.Range(at, at), vscode.TextEditorRevealType.InCenter);
  }
}

function rank(verdict: string): number {
  return ["block", "warn", "pass"].indexOf(verdict);
}

/** Nothing from anywhere but the extension; scripts by a nonce. */
function page(webview: vscode.Webview, extension: vscode.Uri): string {
  const nonce = randomBytes(16).toString("base64");
  const at = (...path: string[]) => webview.asWebviewUri(vscode.Uri.joinPath(extension, ...path)).toString();
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src ${webview.cspSource}; script-src 'nonce-${nonce}'">
<meta name="viewport" content="width=device-width">
<title>Krins quality gate</title>
<link rel="stylesheet" href="${at("media", "panel.css")}">
</head>
<body>
<h1 class="hidden">Quality gate</h1>
<div id="said" role="status" aria-live="polite"></div>
<main id="root"></main>
<script nonce="${nonce}" src="${at("dist", "gate.js")}"></script>
</body>
</html>`;
}
