// The item in the status bar: one glance says whether Krins is there, at work, or waiting for a word.

import * as vscode from "vscode";
import type { StatusResult } from "./protocol";
import type { Server } from "./server";
import type { Tasks } from "./tasks";
import { changesIn, statusInWords, troubles } from "./figures";
import { budgetInWords, plural } from "./words";

export class StatusBar implements vscode.Disposable {
  readonly #item = vscode.window.createStatusBarItem("krins", vscode.StatusBarAlignment.Right, 90);
  readonly #subscriptions: vscode.Disposable[];
  #status: StatusResult | undefined;
  #timer: NodeJS.Timeout | undefined;

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
    if (this.server.state.name !== "running") return (this.#status = undefined);
    try {
      this.#status = await this.server.request("krins/status", null);
    } catch {
      // Figures only: an older server without them is no reason to say anything.
      this.#status = undefined;
    }
    this.#draw();
    clearTimeout(this.#timer);
    // What is said of routes and of the day is over by itself, with no word of the server's.
    const seconds = changesIn(this.#status, Date.now());
    if (seconds) this.#timer = setTimeout(() => void this.refresh(), seconds * 1000);
    return this.#status;
  }

  /** Who is asked, as far as is known. */
  get provider(): string | undefined {
    return this.#status?.provider;
  }

  /** Nobody is asked as long as it is not known who. */
  get keyless(): boolean {
    return (this.provider ?? "builtin") === "builtin";
  }

  /** How it is now, in one line. */
  async words(): Promise<string> {
    const status = await this.refresh();
    const { state } = this.server;
    return state.name === "running" ? statusInWords(status) : state.name === "failed" ? state.why : state.name;
  }

  dispose(): void {
    clearTimeout(this.#timer);
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
    const provider = this.#status?.provider;
    const warn = troubles(this.#status).length > 0;
    const figures = this.#status ? `\n${statusInWords(this.#status)}` : "";
    if (running > 0) return { text: `$(sync~spin) Krins ${running}`, command: "krins.ui.cancel", tooltip: `${plural(running, "task")} at work; click to cancel${figures}`, warn };
    if (waiting > 0) return { text: `$(diff-multiple) Krins ${waiting}`, command: "krins.ui.review", tooltip: `${plural(waiting, "proposal")} to review${figures}`, warn };
    const budget = budgetInWords(this.#status?.spent);
    const words = [provider ? `Krins: ${provider}` : "Krins", ...(budget ? [budget] : [])].join(" · ");
    return { text: `${warn ? "$(warning)" : "$(sparkle)"} ${words}`, command: "krins.ui.menu", tooltip: statusInWords(this.#status), warn };
  }
}
