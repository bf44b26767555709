// The dashboard: the server's page, the same as `krins dashboard` shows in a browser, in a tab. It asks for its figures by messages.

import * as vscode from "vscode";
import { failure, sentence } from "./errors";
import * as say from "./say";
import type { Server } from "./server";
import type { Tasks } from "./tasks";

export class Dashboard implements vscode.Disposable {
  #panel: vscode.WebviewPanel | undefined;
  /** The folder, or the file in none, whose workspace the page is about. */
  #about: string | undefined;
  readonly #subscription: vscode.Disposable;

  constructor(
    private readonly server: Server,
    private readonly extension: vscode.Uri,
    tasks: Tasks,
  ) {
    // What was done is in the figures at once.
    this.#subscription = tasks.onDidWrite(() => void this.#panel?.webview.postMessage({ krins: "refresh" }));
  }

  /** Of the workspace of the file at hand; without one, of the only folder, or the one that the person picks. */
  async open(): Promise<void> {
    const active = vscode.window.activeTextEditor?.document.uri;
    const folders = vscode.workspace.workspaceFolders ?? [];
    const file = active?.scheme === "file" && this.server.isWork(active) ? active : undefined;
    if (this.#panel && !file) return this.#panel.reveal();
    const folder = file ? vscode.workspace.getWorkspaceFolder(file) : folders.length > 1 ? await vscode.window.showWorkspaceFolderPick() : folders[0];
    if (!file && !folder && folders.length > 0) return;
    const about = (folder?.uri ?? file)?.toString();
    if (this.#panel && about === this.#about) return this.#panel.reveal();
    try {
      const { html } = (await this.server.ask("krins/dashboard", { uri: about })) as { html: string };
      this.#about = about;
      this.#show(html);
    } catch (error) {
      void say.error(`Krins: ${sentence(failure(error))}`);
    }
  }

  dispose(): void {
    this.#subscription.dispose();
    this.#panel?.dispose();
  }

  /** The page's own policy lets nothing run but its script, by hash, and lets it ask nobody. */
  #show(html: string): void {
    this.#panel?.dispose();
    const panel = vscode.window.createWebviewPanel("krins.dashboard", "Krins Dashboard", vscode.ViewColumn.Active, { enableScripts: true, localResourceRoots: [], retainContextWhenHidden: true });
    this.#panel = panel;
    panel.iconPath = vscode.Uri.joinPath(this.extension, "media", "icon.svg");
    panel.onDidDispose(() => {
      if (this.#panel === panel) this.#panel = undefined;
    });
    // Nobody looks at a page behind other tabs, which does not know that it is there: it asks once it is seen.
    panel.onDidChangeViewState(() => panel.visible && void panel.webview.postMessage({ krins: "refresh" }));
    panel.webview.onDidReceiveMessage((message: { krins?: string; id: number; params: object }) => {
      if (message.krins === "report" && panel.visible) void this.#answer(panel.webview, message.id, message.params);
    });
    panel.webview.html = html;
  }

  async #answer(webview: vscode.Webview, id: number, params: object): Promise<void> {
    try {
      await webview.postMessage({ krins: "report", id, result: await this.server.ask("krins/report", { ...params, uri: this.#about }) });
    } catch (error) {
      await webview.postMessage({ krins: "report", id, error: { message: sentence(failure(error)) } });
    }
  }
}
