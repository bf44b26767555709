// The dashboard: the page that `krins dashboard` shows in a browser, in a tab.

import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import * as vscode from "vscode";
import type { Server } from "./server";

const PATIENCE = 30_000;

export class Dashboard implements vscode.Disposable {
  #panel: vscode.WebviewPanel | undefined;

  constructor(
    private readonly server: Server,
    private readonly extension: vscode.Uri,
    private readonly log: vscode.LogOutputChannel,
  ) {}

  async open(): Promise<void> {
    const { program } = this.server;
    const folder = vscode.workspace.workspaceFolders?.[0];
    if (!program || !folder) {
      void vscode.window.showInformationMessage("Krins: the dashboard is about a folder with a running server; open one first.");
      return;
    }
    this.#panel ??= this.#made();
    this.#panel.reveal();
    await this.#draw(program, folder.uri.fsPath);
  }

  dispose(): void {
    this.#panel?.dispose();
  }

  #made(): vscode.WebviewPanel {
    const panel = vscode.window.createWebviewPanel("krins.dashboard", "Krins Dashboard", vscode.ViewColumn.Active, { enableScripts: true, localResourceRoots: [], retainContextWhenHidden: true });
    panel.iconPath = vscode.Uri.joinPath(this.extension, "media", "icon.svg");
    panel.onDidDispose(() => (this.#panel = undefined));
    return panel;
  }

  async #draw(program: string, root: string): Promise<void> {
    const file = join(tmpdir(), `krins-dashboard-${randomBytes(8).toString("hex")}.html`);
    try {
      await vscode.window.withProgress({ location: vscode.ProgressLocation.Window, title: "Krins: dashboard" }, () =>
        promisify(execFile)(program, ["dashboard", "--html", file, "--root", root], { timeout: PATIENCE, env: this.server.environment }),
      );
      if (this.#panel) this.#panel.webview.html = await readFile(file, "utf8");
    } catch (error) {
      this.log.error(`the dashboard could not be made: ${String(error)}`);
      void vscode.window.showErrorMessage("Krins: the dashboard could not be made; the log says why. An older krins program has none.");
    } finally {
      await rm(file, { force: true });
    }
  }
}
