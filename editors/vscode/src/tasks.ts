// The journey of a task: asked, followed, reviewed, applied or discarded, undone.

import { randomUUID } from "node:crypto";
import * as vscode from "vscode";
import { askHunks, askIntent, showContext } from "./ask";
import { failure, sentence } from "./errors";
import { size } from "./patch";
import type { Preview } from "./preview";
import type { ApplyResult, AssignParams, DiffResult, GateReport, TaskStatus } from "./protocol";
import { NotRunning, type Server } from "./server";
import { isRunning, money, plural, shorten, stateInWords } from "./words";

/** What is kept over a restart of the server or of the window. */
interface Known {
  task: string;
  intent: string;
}

interface Running extends Known {
  report(message: string): void;
}

const KNOWN = "krins.tasks";

export class Tasks implements vscode.Disposable {
  readonly #running = new Map<string, Running>();
  /** Proposals that wait for a word, oldest first. */
  readonly #proposals = new Map<string, { intent: string; diff: DiffResult }>();
  readonly #changed = new vscode.EventEmitter<void>();
  readonly #subscriptions: vscode.Disposable[];
  readonly onDidChange = this.#changed.event;

  constructor(
    private readonly server: Server,
    private readonly preview: Preview,
    private readonly state: vscode.Memento,
    private readonly log: vscode.LogOutputChannel,
  ) {
    server.onCommand = (command, argument, next) => this.command(command, argument, next);
    this.#subscriptions = [
      server.onDidChangeTask((status) => this.#told(status)),
      server.onDidChangeState((state) => {
        if (state.name === "running") void this.#resume();
      }),
    ];
  }

  get running(): number {
    return this.#running.size;
  }

  get waiting(): number {
    return this.#proposals.size;
  }

  /** Asks what to change in the active file, or in the whole workspace when there is none. */
  async change(): Promise<void> {
    const params = await this.#askParams("What should be changed? For example: rename calculateTotal to orderTotal");
    if (!params) return;
    await this.#guard(async () => {
      const confirm = vscode.workspace.getConfiguration("krins").get("confirmContext", false);
      if (confirm && !(await showContext(await this.server.request("krins/context", params), "Send this"))) return;
      await this.#assign(params);
    });
  }

  /** Shows what a task would send, and starts it if the person says so. */
  async context(): Promise<void> {
    const params = await this.#askParams("What would be changed? Nothing is sent yet");
    if (!params) return;
    await this.#guard(async () => {
      const context = await vscode.window.withProgress({ location: vscode.ProgressLocation.Window, title: "Krins: choosing the code" }, () =>
        this.server.request("krins/context", params),
      );
      if (await showContext(context, "Ask now")) await this.#assign(params);
    });
  }

  async review(): Promise<void> {
    const proposal = await this.#choose();
    if (proposal) await this.#guard(() => this.#present(proposal.intent, proposal.diff));
  }

  async applyAll(): Promise<void> {
    const proposal = await this.#choose();
    if (proposal) await this.#guard(() => this.#apply(proposal.diff, undefined));
  }

  async applySome(): Promise<void> {
    const proposal = await this.#choose();
    if (!proposal) return;
    const hunks = await askHunks(proposal.diff);
    if (hunks === undefined) return;
    if (hunks.length === 0) {
      void vscode.window.showInformationMessage("Krins: nothing was ticked, so nothing was applied.");
      return;
    }
    await this.#guard(() => this.#apply(proposal.diff, hunks));
  }

  async discard(): Promise<void> {
    const proposal = await this.#choose();
    if (!proposal) return;
    await this.#guard(async () => {
      await this.server.request("krins/discard", { task: proposal.diff.task });
      await this.#forget(proposal.diff.task);
    });
  }

  async cancel(): Promise<void> {
    const tasks = [...this.#running.values()];
    const chosen =
      tasks.length <= 1
        ? tasks[0]
        : (await vscode.window.showQuickPick(tasks.map((task) => ({ label: task.intent, task })), { title: "Krins: cancel" }))?.task;
    if (chosen) await this.#guard(() => this.server.request("krins/cancel", { task: chosen.task }));
  }

  async undo(id?: string): Promise<void> {
    await this.#guard(async () => this.#tell("undone", await this.server.request("krins/undo", id === undefined ? {} : { undo: id })));
  }

  async redo(id?: string): Promise<void> {
    await this.#guard(async () => this.#tell("done again", await this.server.request("krins/redo", id === undefined ? {} : { undo: id })));
  }

  /** A code action's or lens's command: the same as ours, where we have more to show than the server alone. */
  async command(command: string, argument: unknown, next: () => Promise<unknown>): Promise<unknown> {
    const { task, undo } = (argument ?? {}) as { task?: string; undo?: string };
    switch (command) {
      case "krins.showDiff":
        await this.#guard(() => this.#show(task));
        return undefined;
      case "krins.apply":
        await this.#guard(async () => {
          await this.#tell("changed", (await next()) as ApplyResult);
          if (task !== undefined) await this.#settle(task);
        });
        return undefined;
      case "krins.undo":
        await this.undo(undo);
        return undefined;
      case "krins.redo":
        await this.redo(undo);
        return undefined;
      case "krins.discard":
        await this.#guard(async () => {
          await next();
          if (task !== undefined) await this.#forget(task);
        });
        return undefined;
      default:
        return next();
    }
  }

  dispose(): void {
    vscode.Disposable.from(...this.#subscriptions, this.#changed).dispose();
  }

  async #askParams(prompt: string): Promise<AssignParams | undefined> {
    const editor = vscode.window.activeTextEditor;
    const document = editor?.document.uri.scheme === "file" ? editor.document : undefined;
    const intent = await askIntent(this.state, editor && !editor.selection.isEmpty ? `${prompt} (selection)` : prompt);
    if (!intent) return undefined;
    const settings = vscode.workspace.getConfiguration("krins", document);
    const tokens = settings.get<number | null>("budget.tokens", null);
    return {
      intent,
      scope: settings.get("scope", "normal"),
      ...(tokens === null ? {} : { budget: { tokens } }),
      ...(document ? { textDocument: { uri: document.uri.toString() } } : {}),
      ...(document && editor && !editor.selection.isEmpty ? { selection: plain(editor.selection) } : {}),
    };
  }

  async #assign(params: AssignParams): Promise<void> {
    const task = randomUUID();
    await this.#follow({ task, intent: params.intent }, async () => {
      await this.server.request("krins/assign", { ...params, task, workDoneToken: task });
    });
  }

  /** Shows a task's progress until it stops running, then its proposal. */
  async #follow(known: Known, begin: () => Promise<void>): Promise<void> {
    const { task, intent } = known;
    if (this.#running.has(task)) return;
    const running: Running = { ...known, report() {} };
    this.#running.set(task, running);
    await this.#keep(known);
    this.#changed.fire();
    let diff: DiffResult | undefined;
    try {
      diff = await vscode.window.withProgress(
        { location: vscode.ProgressLocation.Notification, title: `Krins: ${shorten(intent)}`, cancellable: true },
        (progress, token) => this.#wait(running, begin, progress, token),
      );
    } catch (error) {
      // A task whose server went away is asked after when the server is back; any other has ended here.
      if (!failure(error).gone) await this.#drop(task);
      throw error;
    } finally {
      this.#running.delete(task);
      this.#changed.fire();
    }
    if (diff === undefined) {
      await this.#drop(task);
      return;
    }
    this.#proposals.set(task, { intent, diff });
    this.#changed.fire();
    await this.#present(intent, diff);
  }

  /** The proposal, or nothing when the task was cancelled. */
  async #wait(
    running: Running,
    begin: () => Promise<void>,
    progress: vscode.Progress<{ message?: string; increment?: number }>,
    token: vscode.CancellationToken,
  ): Promise<DiffResult | undefined> {
    const { task } = running;
    let percent = 0;
    running.report = (message) => progress.report({ message });
    const listening = this.server.onProgress(task, (message, percentage) => {
      const increment = percentage === undefined ? 0 : Math.max(0, percentage - percent);
      percent += increment;
      progress.report({ increment, ...(message === undefined ? {} : { message }) });
    });
    // The server's word ends the wait, so that a cancelled task is known to write nothing more.
    const cancelled = new Promise<undefined>((resolve, reject) => {
      token.onCancellationRequested(() => {
        progress.report({ message: "cancelling" });
        this.server.request("krins/cancel", { task }).then(() => resolve(undefined), reject);
      });
    });
    try {
      await begin();
      return await Promise.race([this.server.request("krins/diff", { task, wait: true }), cancelled]);
    } catch (error) {
      if (failure(error).kind === "Cancelled") return undefined;
      throw error;
    } finally {
      cancelled.catch(() => undefined);
      listening.dispose();
    }
  }

  async #present(intent: string, diff: DiffResult): Promise<void> {
    await this.preview.show(intent, diff);
    const blocked = diff.gate.verdict === "block";
    const [apply, some, discard, findings] = ["Apply All", "Apply Some…", "Discard", "Show Findings"];
    if (diff.gate.findings.length > 0) this.#logFindings(diff.gate);
    const actions = blocked ? [findings, discard] : diff.gate.findings.length > 0 ? [apply, some, discard, findings] : [apply, some, discard];
    const show = blocked ? vscode.window.showWarningMessage : vscode.window.showInformationMessage;
    // Not awaited: the person may look at the diff for as long as they like.
    void show(`Krins: ${summary(diff)}`, ...actions).then(async (chosen) => {
      // The proposal may have been applied or discarded by another door while the message stood there.
      if (!this.#proposals.has(diff.task)) return;
      if (chosen === apply) await this.#guard(() => this.#apply(diff, undefined));
      else if (chosen === some) await this.applySome();
      else if (chosen === discard) await this.discard();
      else if (chosen === findings) this.log.show();
    });
  }

  async #apply(diff: DiffResult, hunks: string[] | undefined): Promise<void> {
    const { task } = diff;
    const result = await this.server.request("krins/apply", hunks === undefined ? { task } : { task, hunks });
    if (result.conflicts.length > 0 && result.applied.length === 0) {
      await this.#showConflicts(result);
      return;
    }
    await this.#forget(task);
    await this.#tell("changed", result);
  }

  async #showConflicts({ conflicts }: ApplyResult): Promise<void> {
    const [first] = conflicts;
    if (!first) return;
    const open = "Open the First";
    const chosen = await vscode.window.showWarningMessage(
      `Krins: nothing was applied: ${plural(conflicts.length, "place")} changed in another way since the task read the files. Ask again, or apply some.`,
      open,
    );
    if (chosen === open) await vscode.window.showTextDocument(vscode.Uri.parse(first.uri), { selection: toRange(first.range) });
  }

  /** Says what an apply, undo or redo did, and offers what a person wants next. */
  async #tell(done: string, result: ApplyResult): Promise<void> {
    if (result.conflicts.length > 0) {
      await this.#showConflicts(result);
      return;
    }
    const { applied, unsaved, pending, undo } = result;
    const [save, back] = ["Save All", "Undo"];
    const alone = result.leftAlone ?? [];
    for (const { uri, kept } of alone) this.log.warn(`left as it was, because it changed meanwhile: ${uri}${kept ? `; its new content is in ${kept}` : ""}`);
    if (pending) this.log.warn(`the next start of the server cleans up: ${pending}`);
    const buffers = `${unsaved.length > 0 ? `, ${unsaved.length} of them not saved` : ""}${alone.length > 0 ? `, ${alone.length} left alone (see the log)` : ""}${pending ? ", with something left to clean up (see the log)" : ""}`;
    const actions = [...(unsaved.length > 0 ? [save] : []), ...(undo && done !== "undone" ? [back] : [])];
    const chosen = await vscode.window.showInformationMessage(`Krins: ${plural(applied.length, "file")} ${done}${buffers}.`, ...actions);
    if (chosen === back && undo) await this.undo(undo);
    if (chosen === save) await saveAll(unsaved);
  }

  /** The diff of a task that may be another door's. */
  async #show(task: string | undefined): Promise<void> {
    const diff = await this.server.request("krins/diff", task === undefined ? {} : { task });
    const intent = this.#proposals.get(diff.task)?.intent ?? (await this.server.request("krins/task", { task: diff.task })).intent;
    if (diff.state === "ready" || diff.state === "blocked") this.#proposals.set(diff.task, { intent, diff });
    this.#changed.fire();
    await this.#present(intent, diff);
  }

  /** After an apply by code action: a task of which only a part was applied may still wait for a word. */
  async #settle(task: string): Promise<void> {
    const { state } = await this.server.request("krins/task", { task });
    if (state !== "ready" && state !== "blocked") await this.#forget(task);
  }

  async #choose(): Promise<{ intent: string; diff: DiffResult } | undefined> {
    const proposals = [...this.#proposals.values()].reverse();
    if (proposals.length <= 1) return proposals[0];
    const items = proposals.map((proposal) => ({ label: proposal.intent, description: plural(proposal.diff.files.length, "file"), proposal }));
    return (await vscode.window.showQuickPick(items, { title: "Krins: which proposal?" }))?.proposal;
  }

  /** A task that another door began (a comment's code action) is followed too; one that another door ended is let go. */
  #told(status: TaskStatus): void {
    const { task, intent, state } = status;
    const running = this.#running.get(task);
    if (running) running.report(status.progress ?? stateInWords(state));
    else if (isRunning(state)) void this.#guard(() => this.#follow({ task, intent }, async () => undefined));
    else if (state === "applied" || state === "discarded") void this.#forget(task);
  }

  /** After a start of the server: what it still knows of the tasks that were open. */
  async #resume(): Promise<void> {
    for (const known of this.state.get<Known[]>(KNOWN, [])) {
      if (this.#running.has(known.task)) continue;
      try {
        const { state, error } = await this.server.request("krins/task", { task: known.task });
        if (isRunning(state)) void this.#guard(() => this.#follow(known, async () => undefined));
        else if (state === "ready" || state === "blocked") await this.#readopt(known);
        else await this.#forget(known.task);
        if (state === "failed" && error) void vscode.window.showWarningMessage(`Krins: ${shorten(known.intent)}: ${sentence(failure({ ...error, data: error }))}.`);
      } catch (error) {
        if (error instanceof NotRunning) return;
        this.log.info(`the server does not know ${known.task} any more: ${sentence(failure(error))}`);
        await this.#forget(known.task);
      }
    }
  }

  /** A proposal from before the restart waits in the status bar; it does not jump at the person. */
  async #readopt(known: Known): Promise<void> {
    const diff = await this.server.request("krins/diff", { task: known.task });
    this.#proposals.set(known.task, { intent: known.intent, diff });
    this.#changed.fire();
  }

  async #keep(known: Known): Promise<void> {
    const others = this.state.get<Known[]>(KNOWN, []).filter(({ task }) => task !== known.task);
    await this.state.update(KNOWN, [...others, { task: known.task, intent: known.intent }].slice(-20));
  }

  async #drop(task: string): Promise<void> {
    await this.state.update(KNOWN, this.state.get<Known[]>(KNOWN, []).filter((known) => known.task !== task));
  }

  async #forget(task: string): Promise<void> {
    this.#proposals.delete(task);
    this.#changed.fire();
    await this.#drop(task);
    await this.preview.close(task);
  }

  #logFindings({ findings, verdict }: GateReport): void {
    this.log.info(`gate: ${verdict}`);
    for (const { rule, path, lines, message, fix } of findings) {
      this.log.info(`  ${rule} ${path}${lines ? `:${lines[0]}` : ""}: ${message}${fix ? ` (${fix})` : ""}`);
    }
  }

  async #guard(work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const what = failure(error);
      if (what.kind === "Cancelled") return;
      this.log.error(`${what.kind ?? "no answer"}: ${what.message}${what.detail ? ` (${what.detail})` : ""}`);
      if (what.gone || this.server.state.name !== "running") {
        void vscode.window.showWarningMessage("Krins: the server stopped before it answered. When it is back, it says how its tasks ended.");
        return;
      }
      const log = "Show Log";
      if ((await vscode.window.showErrorMessage(`Krins: ${sentence(what)}`, log)) === log) this.log.show();
    }
  }
}

function summary({ files, gate, model, cached, cost, why }: DiffResult): string {
  const { added, removed } = size(files.flatMap((file) => file.hunks));
  const parts = [`${plural(files.length, "file")}, +${added} −${removed}`, cached ? `${model}, from the cache` : model];
  const price = money(cost);
  if (price) parts.push(price);
  if (gate.verdict === "block") parts.push(`blocked: ${gate.findings.find(({ verdict }) => verdict === "block")?.message ?? "see the findings"}`);
  else if (gate.findings.length > 0) parts.push(plural(gate.findings.length, "finding"));
  const [reason] = why;
  return `${parts.join(" · ")}${reason ? `. ${reason.reason}` : ""}`;
}

async function saveAll(uris: readonly string[]): Promise<void> {
  const wanted = new Set(uris.map((uri) => vscode.Uri.parse(uri).toString()));
  const documents = vscode.workspace.textDocuments.filter((document) => wanted.has(document.uri.toString()));
  const saved = await Promise.all(documents.map((document) => document.save()));
  if (saved.includes(false)) void vscode.window.showWarningMessage("Krins: not every buffer could be saved.");
}

function plain({ start, end }: vscode.Range): NonNullable<AssignParams["selection"]> {
  return { start: { line: start.line, character: start.character }, end: { line: end.line, character: end.character } };
}

function toRange({ start, end }: ApplyResult["conflicts"][number]["range"]): vscode.Range {
  return new vscode.Range(start.line, start.character, end.line, end.character);
}
