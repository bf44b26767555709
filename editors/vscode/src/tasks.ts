// The journey of a task: asked, followed, reviewed, applied or discarded, undone. What it holds is what the views draw.

import { randomUUID } from "node:crypto";
import * as vscode from "vscode";
import { feedback, type Done } from "./after";
import { askHunks, askIntent, showContext, type Answer } from "./ask";
import { failure, sentence } from "./errors";
import { askMerge, openMarked, openUnmerged } from "./merge";
import type { Check } from "./panel/messages";
import { size } from "./patch";
import { EDIT, type Preview } from "./preview";
import type { ApplyParams, ApplyResult, AssignParams, DiffResult, GateReport, Hunk, ReviewVerdict, TaskEntry, TaskStatus } from "./protocol";
import * as say from "./say";
import { NotRunning, type Server } from "./server";
import { isRunning, isWaiting, money, plural, shorten, stateInWords } from "./words";

/** What is kept over a restart of the server or of the window. */
interface Known {
  task: string;
  intent: string;
}

interface Running extends Known {
  report(message: string): void;
}

export interface Proposal {
  intent: string;
  diff: DiffResult;
}

/** What a task begins with where something is known already. */
export interface Start {
  intent?: string;
  /** The file it is about, instead of the active one. */
  uri?: vscode.Uri;
  /** The place in it, instead of what is selected there. */
  selection?: AssignParams["selection"];
  /** Asked before: the words are sent as they are. */
  now?: boolean;
}

const KNOWN = "krins.tasks";
/** How many tasks are remembered. */
const REMEMBERED = 20;
const CHECKED = { running: "running", passed: "pass", warned: "warn", blocked: "block" } as const;
/** How many tasks the view shows. */
const SHOWN = 50;

export class Tasks implements vscode.Disposable {
  readonly #running = new Map<string, Running>();
  /** Proposals that wait for a word, oldest first: what is applied, undone or discarded is none. */
  readonly #proposals = new Map<string, Proposal>();
  readonly #statuses = new Map<string, TaskStatus>();
  readonly #checks = new Map<string, Check[]>();
  #history: TaskEntry[] = [];
  /** Tasks whose apply was cancelled: the word may have come when it was being written. */
  readonly #stopped = new Set<string>();
  /** Tasks that this server's words were followed of to their end: a late one begins nothing. */
  readonly #over = new Set<string>();
  #focus: string | undefined;
  readonly #changed = new vscode.EventEmitter<void>();
  readonly #wrote = new vscode.EventEmitter<readonly vscode.Uri[]>();
  readonly #subscriptions: vscode.Disposable[];
  readonly onDidChange = this.#changed.event;
  /** Files were written by an apply, an undo or a redo. */
  readonly onDidWrite = this.#wrote.event;

  constructor(
    private readonly server: Server,
    private readonly preview: Preview,
    private readonly state: vscode.Memento,
    private readonly log: vscode.LogOutputChannel,
  ) {
    server.onCommand = (command, argument, next) => this.command(command, argument, next);
    this.#subscriptions = [
      server.onDidChangeTask((status) => this.#told(status)),
      server.onDidCheck(({ task, checks }) => {
        this.#checks.set(task, checks.map(({ check, state, millis }) => ({ check, state: CHECKED[state], millis: state === "running" ? undefined : millis })));
        if (this.#focus === task) this.#changed.fire();
      }),
      server.onDidChangeState((state) => {
        if (state.name !== "running") return;
        this.#over.clear();
        void this.#resume().then(() => this.refresh());
      }),
    ];
  }

  get running(): number {
    return this.#running.size;
  }

  get waiting(): number {
    return this.#proposals.size + this.others(isWaiting).length;
  }

  /** Tasks in such a state that this window knows from the list alone: another door began them. */
  others(wanted: (state: TaskEntry["state"]) => boolean): TaskEntry[] {
    return this.#history.filter(({ task, state }) => wanted(state) && !this.#proposals.has(task) && !this.#running.has(task));
  }

  get runningNow(): Known[] {
    return [...this.#running.values()];
  }

  get proposals(): Proposal[] {
    return [...this.#proposals.values()].reverse();
  }

  /** Every task that the server knows, the newest first. */
  get history(): readonly TaskEntry[] {
    return this.#history;
  }

  /** The task that the gate's panel is about: the one that was last looked at or told of. */
  get focus(): { status: TaskStatus | undefined; proposal: Proposal | undefined } {
    const task = this.#focus ?? "";
    return { status: this.#statuses.get(task), proposal: this.#proposals.get(task) };
  }

  status(task: string): TaskStatus | undefined {
    return this.#statuses.get(task);
  }

  /** The checks of a gate that is at work on the task, as far as they are told. */
  checks(task: string): Check[] {
    return this.#checks.get(task) ?? [];
  }

  proposal(task: string): Proposal | undefined {
    return this.#proposals.get(task);
  }

  lookAt(task: string): void {
    if (this.#focus === task) return;
    this.#focus = task;
    this.#changed.fire();
  }

  /** Asks the server for its list of tasks. */
  async refresh(): Promise<void> {
    try {
      this.#history = (await this.server.request("krins/tasks", { limit: SHOWN })).tasks;
      this.#changed.fire();
    } catch (error) {
      // An older server has no list: the view shows what this window knows.
      this.log.debug(`no list of tasks: ${String(error)}`);
    }
  }

  /** Asks what to change in the active file, or in the whole workspace when there is none; nothing is sent before Enter. */
  async change(start: Start = {}): Promise<void> {
    const answer = start.now && start.intent ? this.#plain(start.intent, start) : await this.#ask(start);
    if (!answer) return;
    await this.#guard(async () => {
      const uri = answer.params.textDocument?.uri;
      const confirm = vscode.workspace.getConfiguration("krins", uri === undefined ? undefined : vscode.Uri.parse(uri)).get("confirmContext", false);
      if ((confirm || answer.look) && !(await this.#look(answer.params, answer.look ? "Ask now" : "Send this"))) return;
      await this.#assign(answer.params);
    });
  }

  /** Shows what a task would send, and starts it if the person says so. */
  async context(): Promise<void> {
    const answer = await this.#ask({});
    if (!answer) return;
    await this.#guard(async () => {
      if (await this.#look(answer.params, "Ask now")) await this.#assign(answer.params);
    });
  }

  async review(task = ""): Promise<void> {
    const proposal = await this.choose(task);
    if (proposal) await this.#guard(() => this.#lay(proposal));
  }

  /** One file or hunk of a proposal, in a diff editor of its own. */
  async open(task: string, uri: string, hunkId?: string): Promise<void> {
    const proposal = this.#proposals.get(task);
    if (!proposal) return;
    this.lookAt(task);
    const hunk = proposal.diff.files.find((file) => file.uri === uri)?.hunks.find(({ id }) => id === hunkId);
    await this.#guard(() => this.preview.open(proposal.diff, uri, hunk));
  }

  /** A person's word on one hunk. */
  async judge(task: string, hunk: string, verdict: ReviewVerdict): Promise<void> {
    const known = this.#proposals.get(task)?.diff.files.flatMap(({ hunks }) => hunks).find(({ id }) => id === hunk);
    // "No word" drops a text of the person's own as well: what is rejected comes back with it.
    const word = verdict === "open" && known?.edited && known.verdict === "reject" ? "accept" : verdict;
    await this.#guard(async () => this.#replace(await this.server.request("krins/review", { task, hunk, verdict: word })));
  }

  /** A person's own text of one hunk; who saves it has to hear when it was not taken. */
  async edit(task: string, hunk: string, text: string): Promise<void> {
    if (!this.#proposals.has(task)) throw new Error("the proposal does not wait any more: the text is not part of it");
    await this.#replace(await this.server.request("krins/review", { task, hunk, verdict: "edit", text }));
  }

  async applyAll(task?: string): Promise<void> {
    const proposal = await this.choose(task);
    if (proposal) await this.#guard(() => this.#apply(proposal, undefined));
  }

  async applySome(task?: string): Promise<void> {
    const proposal = await this.choose(task);
    if (!proposal) return;
    const { diff } = proposal;
    const left = diff.left ?? [];
    const only = (hunks: Hunk[]) => (left.length === 0 ? hunks : hunks.filter(({ id }) => left.includes(id)).map((hunk): Hunk => ({ ...hunk, verdict: "open" })));
    const hunks = await askHunks({ ...diff, files: diff.files.map((file) => ({ ...file, hunks: only(file.hunks) })).filter((file) => file.hunks.length > 0) });
    if (hunks === undefined) return;
    if (hunks.length === 0) {
      void say.info("Krins: nothing was ticked, so nothing was applied.");
      return;
    }
    await this.#guard(() => this.#apply(proposal, hunks));
  }

  async discard(task?: string): Promise<void> {
    const proposal = await this.choose(task);
    if (!proposal || unfinished(proposal.diff.task)) return;
    await this.#guard(async () => {
      await this.server.request("krins/discard", { task: proposal.diff.task });
      await this.#forget(proposal.diff.task);
    });
  }

  async cancel(task?: string): Promise<void> {
    const tasks = [...this.#running.values()].filter((running) => task === undefined || running.task === task);
    const chosen =
      tasks.length <= 1
        ? tasks[0]
        : (await vscode.window.showQuickPick(tasks.map((running) => ({ label: running.intent, task: running })), { title: "Krins: cancel" }))?.task;
    if (chosen) await this.#guard(() => this.server.request("krins/cancel", { task: chosen.task }));
  }

  async undo(id?: string): Promise<void> {
    await this.#guard(async () => this.#tell("undone", await this.server.request("krins/undo", id === undefined ? {} : { undo: id })));
  }

  async redo(id?: string): Promise<void> {
    await this.#guard(async () => this.#tell("done again", await this.server.request("krins/redo", id === undefined ? {} : { undo: id })));
  }

  /** The model is asked to mend what the gate blocks. */
  async fix(task: string): Promise<void> {
    const intent = this.#statuses.get(task)?.intent ?? this.#proposals.get(task)?.intent ?? task;
    await this.#guard(() =>
      this.#follow({ task, intent }, async () => {
        await this.server.request("krins/fix", { task });
      }),
    );
  }

  /** Judges the task's diff as the files are now, for the panel. */
  async judgeAgain(task: string): Promise<void> {
    await this.#guard(async () => {
      const report = await say.cancellable("Krins: judging again", (token) => this.server.request("krins/gate", { task }, token));
      const proposal = this.#proposals.get(task);
      const status = this.#statuses.get(task);
      if (status) this.#statuses.set(task, { ...status, gate: report });
      if (proposal) this.#proposals.set(task, { ...proposal, diff: { ...proposal.diff, gate: report } });
      this.#changed.fire();
    });
  }

  /** A finding is put up with: which one, why, and until when is asked and goes on record. */
  async waive(task: string, rule: string, path: string): Promise<void> {
    const proposal = await this.choose(task);
    if (!proposal) return;
    const reason = await vscode.window.showInputBox({
      title: `Krins: waive ${rule} in ${path}`,
      prompt: "Why is it all right? The reason goes on record.",
      ignoreFocusOut: true,
      validateInput: (text) => (text.trim() === "" ? "A waiver needs a reason." : undefined),
    });
    if (!reason) return;
    const day = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10);
    const spans = [
      { label: "Until today", days: 0 },
      { label: "For a week", days: 7 },
      { label: "For a month", days: 30 },
      { label: "For three months", days: 90 },
    ].map((span) => ({ ...span, description: day(span.days) }));
    const span = await vscode.window.showQuickPick(spans, { title: "Krins: how long does it count?", ignoreFocusOut: true });
    if (!span) return;
    // Of two findings nobody can say which is meant, and a secret is known by its text alone, which nothing keeps.
    const found = proposal.diff.gate.findings.filter((each) => each.rule === rule && each.path === path);
    const widths = [
      ...(found.length === 1 && !rule.startsWith("secrets/") ? [{ label: "Only this finding", description: "until its lines change", exact: true }] : []),
      { label: `${rule} everywhere in ${path}`, exact: false },
    ];
    const width = await vscode.window.showQuickPick(widths, { title: "Krins: what is waived?", ignoreFocusOut: true });
    if (!width) return;
    await this.#guard(async () => {
      await this.#replace(await this.server.request("krins/waive", { task, rule, path, reason: reason.trim(), expires: span.description, exact: width.exact }));
    });
  }

  /** A code action's or lens's command: the same as ours, where we have more to show than the server alone. */
  async command(command: string, argument: unknown, next: () => Promise<unknown>): Promise<unknown> {
    const { task, hunks, hunk, verdict, undo, intent, textDocument, selection, rule, path } = (argument ?? {}) as {
      task?: string;
      hunks?: string[];
      hunk?: string;
      verdict?: ReviewVerdict;
      undo?: string;
      intent?: string;
      textDocument?: { uri: string };
      selection?: AssignParams["selection"];
      rule?: string;
      path?: string;
    };
    switch (command) {
      case "krins.assign":
        // A comment's words are shown with what they would send, like any others.
        if (intent === undefined) return next();
        await this.change({ intent, selection, ...(textDocument ? { uri: vscode.Uri.parse(textDocument.uri) } : {}) });
        return undefined;
      case "krins.showDiff":
        await this.#guard(() => this.#show(task));
        return undefined;
      case "krins.apply":
        // The server's own command answers before it has applied anything.
        await this.#guard(async () => {
          const proposal = await this.choose(task);
          if (proposal) await this.#apply(proposal, hunks);
        });
        return undefined;
      case "krins.review":
        if (task === undefined || hunk === undefined || verdict === undefined) return next();
        await this.judge(task, hunk, verdict);
        return undefined;
      case "krins.undo":
        await this.undo(undo);
        return undefined;
      case "krins.redo":
        await this.redo(undo);
        return undefined;
      case "krins.discard":
        return this.discard(task);
      case "krins.fix":
        return task ? this.fix(task) : next();
      case "krins.waive":
        return task && rule && path ? this.waive(task, rule, path) : next();
      case "krins.task":
        // Another door's may not be known here yet.
        return vscode.commands.executeCommand("krins.ui.gate", { task: (await this.choose(task))?.diff.task });
      default:
        return next();
    }
  }

  dispose(): void {
    vscode.Disposable.from(...this.#subscriptions, this.#changed, this.#wrote).dispose();
  }

  async #ask(start: Start): Promise<Answer | undefined> {
    const { params } = this.#plain("", start);
    const { intent: _, scope, ...rest } = params;
    return askIntent(this.state, {
      prompt: `What should be changed? For example: rename calculateTotal to orderTotal${params.selection ? " (selection)" : ""}`,
      ...(start.intent === undefined ? {} : { intent: start.intent }),
      params: rest,
      scope: scope ?? "normal",
      // Once more: the first may have been on its way to a server that was just ended, to be started anew.
      estimate: (asked) => {
        const ask = () => this.server.request("krins/context", asked);
        return ask().catch((error: unknown) => {
          if (!failure(error).gone) throw error;
          return ask();
        });
      },
    });
  }

  #plain(intent: string, start: Start): Answer {
    const editor = vscode.window.activeTextEditor;
    const active = editor?.document.uri.scheme === "file" && this.server.isWork(editor.document.uri) ? editor.document.uri : undefined;
    const uri = start.uri ?? active;
    const selected = editor && uri && editor.document.uri.toString() === uri.toString() && !editor.selection.isEmpty;
    const at = start.selection ?? (selected ? plain(editor.selection) : undefined);
    const settings = vscode.workspace.getConfiguration("krins", uri);
    const tokens = settings.get<number | null>("budget.tokens", null);
    const micros = settings.get<number | null>("budget.microsPerTask", null);
    const budget = { ...(tokens === null ? {} : { tokens }), ...(micros === null ? {} : { micros }) };
    const params: AssignParams = {
      intent,
      scope: settings.get("scope", "normal"),
      ...(tokens === null && micros === null ? {} : { budget }),
      ...(uri ? { textDocument: { uri: uri.toString() } } : {}),
      ...(at ? { selection: at } : {}),
    };
    return { params, look: false };
  }

  async #look(params: AssignParams, send: string): Promise<boolean> {
    const context = await say.progress({ location: vscode.ProgressLocation.Window, title: "Krins: choosing the code" }, () =>
      this.server.request("krins/context", params),
    );
    return showContext(context, send);
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
    const before = this.#proposals.get(task);
    this.#proposals.delete(task);
    this.#focus = task;
    await this.#keep(known);
    this.#changed.fire();
    let diff: DiffResult | undefined;
    try {
      diff = await say.progress(
        { location: vscode.ProgressLocation.Notification, title: `Krins: ${shorten(intent)}`, cancellable: true },
        (progress, token) => this.#wait(running, begin, progress, token),
      );
    } catch (error) {
      // A task whose server went away is asked after when the server is back; any other has ended here.
      if (!failure(error).gone) await this.#back(task, before);
      throw error;
    } finally {
      this.#running.delete(task);
      this.#over.add(task);
      this.#changed.fire();
    }
    if (diff === undefined) return this.#back(task, before);
    const status = before && (await this.server.request("krins/task", { task }));
    if (status?.error) {
      // A mend that came to nothing leaves the task as it was.
      await this.#back(task, before);
      if (status.error.kind !== "Cancelled") void say.warn(`Krins: not mended. ${inWords(status.error)}`);
      return;
    }
    if (before) await this.preview.close(task);
    this.#proposals.set(task, { intent, diff });
    this.#changed.fire();
    await this.#present(intent, diff);
  }

  /** A task that is not followed any more: forgotten, or the proposal that it was before. */
  async #back(task: string, before: Proposal | undefined): Promise<void> {
    if (!before) return this.#drop(task);
    this.#proposals.set(task, before);
    await this.#take(task).catch((error: unknown) => this.log.debug(`as it was before: ${String(error)}`));
    this.#changed.fire();
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

  async #lay({ intent, diff }: Proposal): Promise<void> {
    this.lookAt(diff.task);
    await this.preview.show(intent, diff);
  }

  /** A proposal that has just come. */
  async #present(intent: string, diff: DiffResult): Promise<void> {
    await this.#lay({ intent, diff });
    const blocked = diff.gate.verdict === "block";
    const [apply, some, discard, findings] = ["Apply All", "Apply Some…", "Discard", "Show Findings"];
    if (diff.gate.findings.length > 0) this.#logFindings(diff.gate);
    if (blocked) void vscode.commands.executeCommand("krins.gate.focus", { preserveFocus: true });
    const actions = blocked ? [findings, discard] : diff.gate.findings.length > 0 ? [apply, some, discard, findings] : [apply, some, discard];
    const show = blocked ? say.warn : say.info;
    // Not awaited: the person may look at the diff for as long as they like.
    void show(`Krins: ${summary(diff)}`, ...actions).then(async (chosen) => {
      // The proposal may have been applied, changed or discarded by another door while the message stood there.
      const now = this.#proposals.get(diff.task);
      if (!now) return;
      if (chosen === apply) await this.#guard(() => this.#apply(now, undefined));
      else if (chosen === some) await this.applySome(diff.task);
      else if (chosen === discard) await this.discard(diff.task);
      else if (chosen === findings) await vscode.commands.executeCommand("krins.gate.focus");
    });
  }

  /** What a person, or the gate, said since: the diff, the panel and the list show it. */
  async #replace(diff: DiffResult): Promise<void> {
    const known = this.#proposals.get(diff.task);
    if (!isWaiting(diff.state)) return this.#forget(diff.task);
    const intent = known?.intent ?? this.#statuses.get(diff.task)?.intent ?? diff.task;
    this.#proposals.set(diff.task, { intent, diff });
    const status = this.#statuses.get(diff.task);
    if (status) this.#statuses.set(diff.task, { ...status, state: diff.state, gate: diff.gate });
    await this.preview.update(diff);
    this.#changed.fire();
  }

  async #apply({ intent, diff }: Proposal, hunks: string[] | undefined): Promise<void> {
    const { task } = diff;
    if (unfinished(task) || !(await confirmed(diff))) return;
    let wish: ApplyParams | undefined = hunks === undefined ? { task } : { task, hunks };
    let clashes: ApplyResult["conflicts"] = [];
    this.#stopped.delete(task);
    while (wish) {
      const asked: ApplyParams = wish;
      const result = await say
        .cancellable(`Krins: applying ${shorten(intent)}`, (token) => this.server.request("krins/apply", asked, token))
        .catch((error: unknown) => {
          if (failure(error).kind === "Cancelled") {
            this.#stopped.add(task);
            setTimeout(() => this.#stopped.delete(task), 10_000);
          }
          throw error;
        });
      if (result.conflicts.length === 0 || result.applied.length > 0) return this.#applied({ intent, diff, hunks: asked.hunks ?? undefined }, result, asked.onConflict ? clashes : []);
      clashes = result.conflicts;
      wish = await askMerge(diff, result, asked);
    }
  }

  async #applied(done: Done, result: ApplyResult, clashes: ApplyResult["conflicts"]): Promise<void> {
    const { task } = done.diff;
    await this.#forget(task);
    await openMarked(this.preview, task, clashes, result).catch((error: unknown) => this.log.warn(`cannot show what is to be merged: ${String(error)}`));
    // The answer to an apply with markers names no conflicts: where they are was said before.
    await this.#tell("changed", { ...result, conflicts: clashes }, done);
  }

  /** Says what an apply, undo or redo did, and offers what a person wants next. */
  async #tell(done: string, result: ApplyResult, of?: Done): Promise<void> {
    if (result.conflicts.length > 0 && result.applied.length === 0) {
      const merge = "Merge…";
      const places = plural(result.conflicts.length, "place");
      const chosen = await say.warn(`Krins: nothing was ${done}: ${places} changed in another way meanwhile. Merge them, save, and ask once more for the rest.`, merge);
      if (chosen === merge) await openUnmerged(this.preview, result.conflicts);
      return;
    }
    void this.refresh();
    this.#wrote.fire(result.applied.map(({ uri }) => vscode.Uri.parse(uri)));
    const { applied, unsaved, pending, undo } = result;
    const [save, back, what] = ["Save All", "Undo", "What Changed"];
    const alone = result.leftAlone ?? [];
    for (const { uri, kept } of alone) this.log.warn(`left as it was, because it changed meanwhile: ${uri}${kept ? `; its new content is in ${kept}` : ""}`);
    if (pending) this.log.warn(`the next start of the server cleans up: ${pending}`);
    const buffers = `${unsaved.length > 0 ? `, ${unsaved.length} of them not saved` : ""}${alone.length > 0 ? `, ${alone.length} left alone (see the log)` : ""}${pending ? ", with something left to clean up (see the log)" : ""}`;
    const actions = [...(unsaved.length > 0 ? [save] : []), ...(undo && done !== "undone" ? [back] : []), ...(of ? [what] : [])];
    const chosen = await say.info(`Krins: ${plural(applied.length, "file")} ${done}${buffers}.`, ...actions);
    if (chosen === back && undo) await this.undo(undo);
    if (chosen === save) await saveAll(unsaved);
    if (chosen === what && of) await this.#guard(() => feedback(this.server, this.preview, of, result));
  }

  /** The diff of a task that may be another door's. */
  async #show(task: string | undefined): Promise<void> {
    const diff = await this.server.request("krins/diff", task === undefined ? {} : { task });
    const intent = this.#proposals.get(diff.task)?.intent ?? (await this.server.request("krins/task", { task: diff.task })).intent;
    if (isWaiting(diff.state)) this.#proposals.set(diff.task, { intent, diff });
    this.#changed.fire();
    await this.#lay({ intent, diff });
  }

  /** The named task's, else the one whose diff is in front, else the one that the person names; `""` is no name, wherever they are. */
  async choose(task?: string): Promise<Proposal | undefined> {
    const named = task ?? this.preview.active();
    if (named) {
      let proposal = this.#proposals.get(named);
      if (!proposal) await this.#guard(async () => (proposal = await this.#take(named)));
      return proposal;
    }
    const own = this.proposals.map(({ intent, diff }) => ({ label: intent, description: plural(diff.files.length, "file"), task: diff.task }));
    const items = [...own, ...this.others(isWaiting).map(({ intent, files, task }) => ({ label: intent, description: plural(files, "file"), task }))];
    const chosen = items.length <= 1 ? items[0] : await vscode.window.showQuickPick(items, { title: "Krins: which proposal?" });
    return chosen && this.choose(chosen.task);
  }

  /** A task that another door began (a comment's code action) is followed too; one that another door ended is let go. */
  #told(status: TaskStatus): void {
    const { task, intent, state } = status;
    this.#statuses.set(task, status);
    this.#history = this.#history.map((entry) => (entry.task === task ? { ...entry, state } : entry));
    const running = this.#running.get(task);
    if (running) running.report(status.progress ?? stateInWords(state));
    else if (isRunning(state) && !this.#over.has(task)) void this.#guard(() => this.#follow({ task, intent }, async () => undefined));
    else if (state === "applied" && this.#stopped.delete(task)) void this.#ended(task, "the change was being written when the cancel came, so it is applied");
    else if (state === "applied" || state === "discarded") void this.#ended(task);
    this.#changed.fire();
    if (isRunning(state)) return;
    this.#checks.delete(task);
    void this.refresh();
  }

  /** After a start of the server: what it still knows of the tasks that were open. */
  async #resume(): Promise<void> {
    for (const known of this.state.get<Known[]>(KNOWN, [])) {
      if (this.#running.has(known.task)) continue;
      try {
        const status = await this.server.request("krins/task", { task: known.task });
        const { state, error } = status;
        this.#statuses.set(known.task, status);
        if (isRunning(state)) void this.#guard(() => this.#follow(known, async () => undefined));
        else if (isWaiting(state)) await this.#take(known.task);
        else if (state === "applied") void this.#ended(known.task, `${shorten(known.intent)}: it is applied`);
        else await this.#forget(known.task);
        if (state === "failed" && error) void say.warn(`Krins: ${shorten(known.intent)}: ${inWords(error)}.`);
      } catch (error) {
        if (error instanceof NotRunning) return;
        const what = failure(error);
        this.log.info(`${known.task} is not taken up: ${sentence(what)}`);
        // Anything else may pass by the next start.
        if (what.kind === "UnknownTask") await this.#forget(known.task);
      }
    }
  }

  /** A proposal from before the restart waits in the status bar; it does not jump at the person. */
  async #take(task: string): Promise<Proposal> {
    const diff = await this.server.request("krins/diff", { task });
    const status = await this.server.request("krins/task", { task });
    const proposal = { intent: status.intent, diff };
    this.#statuses.set(task, status);
    if (isWaiting(diff.state)) {
      this.#proposals.set(task, proposal);
      await this.preview.load(proposal.intent, diff);
    } else this.#proposals.delete(task);
    this.#changed.fire();
    return proposal;
  }

  async #keep(known: Known): Promise<void> {
    const others = this.state.get<Known[]>(KNOWN, []).filter(({ task }) => task !== known.task);
    await this.state.update(KNOWN, [...others, { task: known.task, intent: known.intent }].slice(-REMEMBERED));
  }

  async #drop(task: string): Promise<void> {
    await this.state.update(KNOWN, this.state.get<Known[]>(KNOWN, []).filter((known) => known.task !== task));
  }

  async #ended(task: string, applied?: string): Promise<void> {
    await this.#forget(task);
    const back = "Undo";
    if (applied && (await say.warn(`Krins: ${applied}.`, back)) === back) await this.undo(task);
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
      if (error instanceof NotRunning) {
        void say.warn(vscode.workspace.isTrusted ? `Krins: ${error.message}.` : error.message);
        return;
      }
      if (what.gone || this.server.state.name !== "running") {
        void say.warn("Krins: the server stopped before it answered. When it is back, it says how its tasks ended.");
        return;
      }
      const log = "Show Log";
      if ((await say.error(`Krins: ${sentence(what)}`, log)) === log) this.log.show();
    }
  }
}

/** Whether a text of a hunk waits to be saved, which is said: nobody decides without it by mistake. */
function unfinished(task: string): boolean {
  const found = vscode.workspace.textDocuments.some(({ isDirty, uri }) => isDirty && uri.scheme === EDIT && uri.query === task);
  if (found) void say.warn("Krins: save your text of a hunk first, or close it.");
  return found;
}

/** A change that the gate has remarks on, or any where the person wants it so, is applied after one more word. */
async function confirmed({ files, gate }: DiffResult): Promise<boolean> {
  const when = vscode.workspace.getConfiguration("krins").get<string>("apply.confirm", "warnings");
  if (when === "never" || (when === "warnings" && gate.verdict === "pass")) return true;
  const apply = "Apply";
  const detail = gate.findings.slice(0, 5).map(({ path, lines, message }) => `${path}${lines ? `:${lines[0]}` : ""}: ${message}`);
  if (gate.findings.length > 5) detail.push(`and ${gate.findings.length - 5} more in the gate's panel`);
  const question = `Apply the change to ${plural(files.length, "file")}${gate.findings.length > 0 ? ` with ${plural(gate.findings.length, "finding")}` : ""}?`;
  return (await say.warn(question, { modal: true, detail: detail.join("\n") }, apply)) === apply;
}

export function summary({ files, gate, model, cached, degraded, cost, why }: DiffResult): string {
  const { added, removed } = size(files.flatMap((file) => file.hunks));
  const parts = [`${plural(files.length, "file")}, +${added} −${removed}`, cached ? `${model}, from the cache` : model];
  const price = money(cost);
  if (price) parts.push(price);
  if (degraded) parts.push(degraded);
  if (gate.verdict === "block") parts.push(`blocked: ${gate.findings.find(({ verdict }) => verdict === "block")?.message ?? "see the findings"}`);
  else if (gate.findings.length > 0) parts.push(plural(gate.findings.length, "finding"));
  const [reason] = why;
  return `${parts.join(" · ")}${reason ? `. ${reason.reason}` : ""}`;
}

/** A model can be asked to mend it. */
export function isFixable({ state, gate, model }: DiffResult): boolean {
  return state === "blocked" && gate.verdict === "block" && !model.startsWith("builtin/");
}

export function inWords(error: NonNullable<TaskStatus["error"]>): string {
  return sentence(failure({ ...error, data: error }));
}

async function saveAll(uris: readonly string[]): Promise<void> {
  const wanted = new Set(uris.map((uri) => vscode.Uri.parse(uri).toString()));
  const documents = vscode.workspace.textDocuments.filter((document) => wanted.has(document.uri.toString()));
  const saved = await Promise.all(documents.map((document) => document.save()));
  if (saved.includes(false)) void say.warn("Krins: not every buffer could be saved.");
}

function plain({ start, end }: vscode.Range): NonNullable<AssignParams["selection"]> {
  return { start: { line: start.line, character: start.character }, end: { line: end.line, character: end.character } };
}
