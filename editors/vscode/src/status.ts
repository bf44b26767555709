// The item in the status bar: one glance says whether Krins is there, at work, or waiting for a word.

import * as vscode from "vscode";
import type { StatusResult } from "./protocol";
import type { Server } from "./server";
import type { Tasks } from "./tasks";
import { budgetInWords, plural } from "./words";

export class StatusBar implements vscode.Disposable {
  readonly #item = vscode.window.createStatusBarItem("krins", vscode.StatusBarAlignment.Right, 90);
  readonly #subscriptions: vscode.Disposable[];
  #status: StatusResult | undefined;

  constructor(
    private readonly server: Server,
    private readonly tasks: Tasks,
  ) {
    this.#item.name = "Krins";
    this.#subscriptions = [server.onDidChangeState(() => void this.refresh()), tasks.onDidChange(() => void this.refresh())];
    this.#draw();
    this.#item.show();
  }

  /** Asks the server for its figures and draws; without a server, draws what is known. */
  async refresh(): Promise<StatusResult | undefined> {
    this.#draw();
    if (this.server.state.name !== "running") return undefined;
    try {
      this.#status = await this.server.request("krins/status", null);
    } catch {
      // Figures only: an older server without them is no reason to say anything.
      this.#status = undefined;
    }
    this.#draw();
    return this.#status;
  }

  dispose(): void {
    vscode.Disposable.from(...this.#subscriptions, this.#item).dispose();
  }

  #draw(): void {
    const { running, waiting } = this.tasks;
    void vscode.commands.executeCommand("setContext", "krins.running", running > 0);
    void vscode.commands.executeCommand("setContext", "krins.reviewing", waiting > 0);
    const { text, command, warn, tooltip } = this.#content(running, waiting);
    this.#item.text = text;
    this.#item.command = command;
    this.#item.tooltip = tooltip;
    this.#item.backgroundColor = warn ? new vscode.ThemeColor("statusBarItem.warningBackground") : undefined;
    this.#item.accessibilityInformation = { label: `Krins, ${typeof tooltip === "string" ? tooltip : text.replace(/\$\([^)]*\)\s*/g, "")}` };
  }

  #content(running: number, waiting: number): { text: string; command: string; tooltip: string; warn?: boolean } {
    const { state } = this.server;
    if (state.name === "failed") return { text: "$(warning) Krins", command: "krins.ui.restart", warn: true, tooltip: `${state.why}; click to start it again` };
    if (state.name === "stopped") return { text: "$(circle-slash) Krins", command: "krins.ui.restart", tooltip: "stopped; click to start" };
    if (state.name === "starting") return { text: "$(sync~spin) Krins", command: "krins.ui.log", tooltip: "starting" };
    if (running > 0) return { text: `$(sync~spin) Krins ${running}`, command: "krins.ui.cancel", tooltip: `${plural(running, "task")} at work; click to cancel` };
    if (waiting > 0) return { text: `$(diff-multiple) Krins ${waiting}`, command: "krins.ui.review", tooltip: `${plural(waiting, "proposal")} to review` };
    const provider = this.#status?.provider;
    const trouble = troubles(this.#status);
    const budget = budgetInWords(this.#status?.spent);
    const words = [provider ? `Krins: ${provider}` : "Krins", ...(budget ? [budget] : [])].join(" · ");
    return { text: `${trouble.length > 0 ? "$(warning)" : "$(sparkle)"} ${words}`, command: "krins.ui.menu", tooltip: statusInWords(this.#status), warn: trouble.length > 0 };
  }
}

export function statusInWords(status: StatusResult | undefined): string {
  if (!status) return "ready";
  const { version, provider, model, index, cacheHits, cacheMisses } = status;
  const parts = [`krins ${version}`, model ? `${provider}/${model}` : provider];
  parts.push(index.ready ? `${plural(index.files, "file")}, ${plural(index.symbols, "symbol")}` : "reading the workspace");
  if (cacheHits + cacheMisses > 0) parts.push(`cache: ${cacheHits} of ${cacheHits + cacheMisses} answered`);
  const budget = budgetInWords(status.spent);
  if (budget) parts.push(budget);
  return [...parts, ...troubles(status)].join(" · ");
}

/** What keeps a model from being asked as usual: routes that rest, what is switched off, what is left out. */
function troubles(status: StatusResult | undefined): string[] {
  if (!status) return [];
  const { routes = [], switchedOff = [], level = "normal", spent } = status;
  const bad = routes.filter(({ state }) => state !== "closed");
  const out: string[] = bad.map(({ route, state, cause, seconds }) => `${route} ${cause ?? `is ${state}`}${seconds ? `, asked again in ${seconds} s` : ""}`);
  if (switchedOff.length > 0) out.push(`switched off: ${switchedOff.join(", ")}`);
  if (level !== "normal" && level !== "") out.push(`for now: ${level}`);
  if (spent?.perDay != null && spent.today >= spent.perDay) out.push("the day's budget is spent");
  return out;
}
