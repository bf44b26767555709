// The dashboard: the server's page, the same as `krins dashboard` shows in a browser, in a tab. It asks for its figures by messages.

import * as vscode from "vscode";
import { failure, sentence } from "./errors";
import * as say from "./say";
import type { Server } from "./server";
import type { Tasks } from "./tasks";

export class Dashboard implements vscode.Disposable {
  #panel: vscode.WebviewPanel | undefined;
  readonly #subscription: vscode.Disposable;

  constructor(
    private readonly server: Server,
    private readonly extension: vscode.Uri,
    tasks: Tasks,
  ) {
    // What was done is in the figures at once.
    this.#subscription = tasks.onDidWrite(() => void this.#panel?.webview.postMessage({ krins: "refresh" }));
  }

  async open(): Promise<void> {
    if (this.#panel) {
      this.#panel.reveal();
      return;
    }
    try {
      const { html } = (await this.server.ask("krins/dashboard", {})) as { html: string };
      this.#show(html);
    } catch (error) {
      void say.error(`Krins: ${sentence(failure(error))}`);
    }
  }

  dispose(): void {
    vscode.Disposable.from(this.#subscription).dispose();
    this.#panel?.dispose();
  }

  /** The page's own policy lets nothing run but its script, by hash, and lets it ask nobody. */
  #show(html: string): void {
    const panel = vscode.window.createWebviewPanel("krins.dashboard", "Krins Dashboard", vscode.ViewColumn.Active, { enableScripts: true, localResourceRoots: [], retainContextWhenHidden: true });
    this.#panel = panel;
    panel.iconPath = vscode.Uri.joinPath(this.extension, "media", "icon.svg");
    panel.onDidDispose(() => (this.#panel = undefined));
    panel.webview.onDidReceiveMessage((message: { krins?: string; id: number; params: object }) => {
      if (message.krins === "report") void this.#answer(panel.webview, message.id, message.params);
    });
    panel.webview.html = html;
  }

  async #answer(webview: vscode.Webview, id: number, params: object): Promise<void> {
    try {
      await webview.postMessage({ krins: "report", id, result: await this.server.ask("krins/report", params) });
    } catch (error) {
      await webview.postMessage({ krins: "report", id, error: { message: sentence(failure(error)) } });
    }
  }
}
