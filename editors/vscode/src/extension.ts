// What VS Code calls: puts the parts together and gives the commands their names.
//
// The server's own commands (`krins.assign`, `krins.apply`, …) are registered by the language client, one for each that the server
// lists; a second registration would throw. The extension's commands are therefore all called `krins.ui.…`.

import * as vscode from "vscode";
import { Preview } from "./preview";
import { Server } from "./server";
import { StatusBar, statusInWords } from "./status";
import { Tasks } from "./tasks";

let server: Server | undefined;

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const log = vscode.window.createOutputChannel("Krins", { log: true });
  const running = new Server(context, log);
  const preview = new Preview(log);
  const tasks = new Tasks(running, preview, context.workspaceState, log);
  const status = new StatusBar(running, tasks);
  server = running;
  context.subscriptions.push(log, preview, tasks, status, running);

  const commands: Record<string, () => unknown> = {
    "krins.ui.change": () => tasks.change(),
    "krins.ui.changeSelection": () => tasks.change(),
    "krins.ui.context": () => tasks.context(),
    "krins.ui.review": () => tasks.review(),
    "krins.ui.apply": () => tasks.applyAll(),
    "krins.ui.applySome": () => tasks.applySome(),
    "krins.ui.discard": () => tasks.discard(),
    "krins.ui.cancel": () => tasks.cancel(),
    "krins.ui.undo": () => tasks.undo(),
    "krins.ui.redo": () => tasks.redo(),
    "krins.ui.restart": () => startIfTrusted(running),
    "krins.ui.log": () => log.show(),
    "krins.ui.status": async () => vscode.window.showInformationMessage(`Krins: ${statusInWords(await status.refresh())}`),
  };
  for (const [id, run] of Object.entries(commands)) context.subscriptions.push(vscode.commands.registerCommand(id, run));

  context.subscriptions.push(
    vscode.workspace.onDidGrantWorkspaceTrust(() => running.restart()),
    vscode.workspace.onDidChangeConfiguration(async (change) => {
      if (change.affectsConfiguration("krins.server")) await startIfTrusted(running);
      else if (change.affectsConfiguration("krins.trace")) await running.applyTrace();
    }),
  );
  // Not awaited: a server that is slow to start must not hold the window up.
  if (vscode.workspace.isTrusted) void running.start();
}

export async function deactivate(): Promise<void> {
  await server?.stop();
}

async function startIfTrusted(running: Server): Promise<void> {
  if (vscode.workspace.isTrusted) {
    await running.restart();
    return;
  }
  const manage = "Manage Trust";
  const chosen = await vscode.window.showWarningMessage("Krins starts when you trust this workspace.", manage);
  if (chosen === manage) await vscode.commands.executeCommand("workbench.trust.manage");
}
