// What VS Code calls: puts the parts together and gives the commands their names.
//
// The server's own commands (`krins.assign`, `krins.apply`, …) are registered by the language client, one for each that the server
// lists; a second registration would throw. The extension's commands are therefore all called `krins.ui.…`.

import * as vscode from "vscode";
import { Dashboard } from "./dashboard";
import { GatePanel } from "./gate";
import { Hunks, openPlace } from "./hunks";
import { Locks } from "./locks";
import { Preview } from "./preview";
import { Previews } from "./run";
import * as say from "./say";
import { Server } from "./server";
import { Setup } from "./setup";
import { StatusBar } from "./status";
import { Suggestions } from "./suggest";
import { Tasks, type Start } from "./tasks";
import { TaskTree } from "./tree";

/** When the reading of this file began; the build puts it before everything else. */
declare const krinsBegun: number;

let server: Server | undefined;
let previews: Previews | undefined;

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const begun = performance.now();
  const log = vscode.window.createOutputChannel("Krins", { log: true });
  const running = new Server(context, log);
  const preview = new Preview(log);
  const tasks = new Tasks(running, preview, context.workspaceState, log);
  const status = new StatusBar(running, tasks);
  const hunks = new Hunks(tasks, preview);
  const locks = new Locks(running, context.extensionUri, log);
  const runs = new Previews(running);
  const panel = new GatePanel(tasks, context.extensionUri);
  const setup = new Setup(context, running, tasks, status, log);
  const dashboard = new Dashboard(running, context.extensionUri, tasks);
  server = running;
  previews = runs;
  context.subscriptions.push(log, preview, tasks, status, hunks, locks, dashboard, runs, new TaskTree(tasks), panel, new Suggestions(running, tasks, status), setup, running);

  const commands: Record<string, (argument?: unknown) => unknown> = {
    "krins.ui.change": (argument) => tasks.change(start(argument)),
    "krins.ui.changeSelection": () => tasks.change(),
    "krins.ui.context": () => tasks.context(),
    "krins.ui.review": (argument) => tasks.review(named(argument)),
    "krins.ui.apply": (argument) => tasks.applyAll(named(argument)),
    "krins.ui.applySome": (argument) => tasks.applySome(named(argument)),
    "krins.ui.discard": (argument) => tasks.discard(named(argument)),
    "krins.ui.cancel": (argument) => tasks.cancel(named(argument)),
    "krins.ui.undo": () => tasks.undo(),
    "krins.ui.redo": () => tasks.redo(),
    "krins.ui.undoTask": (argument) => tasks.undo(named(argument)),
    "krins.ui.redoTask": (argument) => tasks.redo(named(argument)),
    "krins.ui.fix": (argument) => withTask(argument, (task) => tasks.fix(task)),
    "krins.ui.acceptHunk": (argument) => withHunk(argument, (task, hunk) => tasks.judge(task, hunk, "accept")),
    "krins.ui.rejectHunk": (argument) => withHunk(argument, (task, hunk) => tasks.judge(task, hunk, "reject")),
    "krins.ui.takeBackHunk": (argument) => withHunk(argument, (task, hunk) => tasks.judge(task, hunk, "open")),
    "krins.ui.editHunk": (argument) => hunks.edit(row(argument)),
    "krins.ui.why": (argument) => hunks.why(row(argument)),
    "krins.ui.openFile": (argument) => {
      const { task, uri, hunk } = argument as { task: string; uri: string; hunk?: string };
      return tasks.open(task, uri, hunk);
    },
    "krins.ui.openPlace": (argument) => openPlace(String(argument)),
    "krins.ui.gate": (argument) => {
      const task = named(argument);
      if (task) tasks.lookAt(task);
      return panel.focus();
    },
    "krins.ui.preview": (argument) => withTask(argument, (task) => runs.preview(task)),
    "krins.ui.promote": (argument) => withTask(argument, (task) => runs.promote(task)),
    "krins.ui.lock": (argument) => locks.toggle(argument instanceof vscode.Uri ? argument : undefined),
    "krins.ui.locks": () => locks.list(),
    "krins.ui.dashboard": () => dashboard.open(),
    "krins.ui.locate": () => setup.locate(),
    "krins.ui.provider": () => setup.provider(),
    "krins.ui.limit": () => setup.limit(),
    "krins.ui.sample": () => setup.sample(),
    "krins.ui.create": () => setup.create().catch((error: unknown) => say.error(`Krins: ${error instanceof Error ? error.message : String(error)}`)),
    "krins.ui.walkthrough": () => vscode.commands.executeCommand("workbench.action.openWalkthrough", `${context.extension.id}#krins.start`, false),
    "krins.ui.noSuggestions": () => vscode.workspace.getConfiguration("krins").update("suggestions", false, vscode.ConfigurationTarget.Global),
    "krins.ui.menu": () => menu(status),
    "krins.ui.refresh": () => Promise.all([tasks.refresh(), locks.refresh()]),
    "krins.ui.restart": () => running.wake(true),
    "krins.ui.log": () => log.show(),
    "krins.ui.status": async () => say.info(`Krins: ${await status.words()}`),
  };
  for (const [id, run] of Object.entries(commands)) context.subscriptions.push(vscode.commands.registerCommand(id, run));

  /** The task that a row of the view names, else the one whose diff is in front, else the one that the person names. */
  async function withTask(argument: unknown, run: (task: string) => unknown): Promise<unknown> {
    const task = named(argument) ?? (await tasks.choose())?.diff.task;
    return task && run(task);
  }

  async function withHunk(argument: unknown, run: (task: string, hunk: string) => unknown): Promise<unknown> {
    const at = hunks.at(row(argument));
    return at && run(at.task, at.hunk.id);
  }

  context.subscriptions.push(
    vscode.workspace.onDidGrantWorkspaceTrust(() => running.start()),
    vscode.workspace.onDidChangeConfiguration((change) => {
      if (change.affectsConfiguration("krins") || change.affectsConfiguration("http")) setup.renew();
    }),
  );
  log.info(`activated: reading ${Math.round(begun - krinsBegun)} ms, call ${Math.round(performance.now() - begun)} ms`);
  // Not awaited: a server that is slow to start must not hold the window up.
  if (vscode.workspace.isTrusted) void running.start();
}

export async function deactivate(): Promise<void> {
  await Promise.all([previews?.end(), server?.stop()]);
}

/** A command may come with a file of the explorer, a row of the source control view, or words of ours. */
function start(argument: unknown): Start {
  if (argument instanceof vscode.Uri) return { uri: argument };
  const { resourceUri, intent, uri } = (argument ?? {}) as { resourceUri?: unknown; intent?: unknown; uri?: unknown };
  if (resourceUri instanceof vscode.Uri) return { uri: resourceUri };
  return { ...(typeof intent === "string" ? { intent } : {}), ...(uri instanceof vscode.Uri ? { uri } : {}) };
}

function named(argument: unknown): string | undefined {
  const { task } = (argument ?? {}) as { task?: unknown };
  return typeof task === "string" ? task : undefined;
}

/** A row of the view holds its whole hunk, a lens its id. */
function row(argument: unknown): unknown {
  const { task, hunk } = (argument ?? {}) as { task?: unknown; hunk?: unknown };
  return typeof hunk === "object" && hunk !== null ? { task, hunk: (hunk as { id: string }).id } : argument;
}

async function menu(status: StatusBar): Promise<void> {
  const items = [
    { label: "$(sparkle) Change…", command: "krins.ui.change" },
    { label: "$(list-tree) Tasks", command: "krins.tasks.focus" },
    { label: "$(shield) Quality gate", command: "krins.gate.focus" },
    { label: "$(graph) Dashboard", command: "krins.ui.dashboard" },
    { label: "$(account) Who is asked…", command: "krins.ui.provider" },
    { label: "$(mortar-board) First steps", command: "krins.ui.walkthrough" },
    { label: "$(output) Log", command: "krins.ui.log" },
    { label: "$(debug-restart) Restart the server", command: "krins.ui.restart" },
  ];
  const chosen = await vscode.window.showQuickPick(items, { title: "Krins", placeHolder: await status.words() });
  if (chosen) await vscode.commands.executeCommand(chosen.command);
}
