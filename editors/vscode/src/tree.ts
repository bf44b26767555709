// The list of tasks: what runs, what waits for a word with its files and hunks, and what was.

import * as vscode from "vscode";
import { relative } from "./ask";
import { located, rootOf } from "./hunks";
import { size, title } from "./patch";
import type { DiffResult, FileDiff, Hunk, TaskEntry } from "./protocol";
import { isFixable, type Tasks } from "./tasks";
import { ago, isRunning, isWaiting, money, plural, shorten, stateInWords } from "./words";

type Group = "running" | "ready" | "blocked" | "history";
export type Node =
  | { kind: "group"; group: Group; count: number }
  | { kind: "task"; task: string; intent: string; group: Group }
  | { kind: "file"; task: string; file: FileDiff }
  | { kind: "hunk"; task: string; file: FileDiff; hunk: Hunk }
  | { kind: "line"; label: string; description?: string; tooltip?: string; icon?: string; place?: string; task: string; under?: Node[] };

const GROUPS: Record<Group, { label: string; icon: string }> = {
  running: { label: "Running", icon: "sync" },
  ready: { label: "To Review", icon: "diff-multiple" },
  blocked: { label: "Blocked", icon: "circle-slash" },
  history: { label: "History", icon: "history" },
};

export class TaskTree implements vscode.TreeDataProvider<Node>, vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<void>();
  readonly #view: vscode.TreeView<Node>;
  readonly #subscriptions: vscode.Disposable[];
  readonly onDidChangeTreeData = this.#changed.event;

  constructor(private readonly tasks: Tasks) {
    this.#view = vscode.window.createTreeView("krins.tasks", { treeDataProvider: this, manageCheckboxStateManually: true });
    this.#subscriptions = [
      tasks.onDidChange(() => {
        this.#changed.fire();
        this.#badge();
      }),
      this.#view.onDidChangeCheckboxState(({ items }) => void this.#tick(items)),
      this.#view.onDidChangeVisibility(({ visible }) => {
        if (visible) void tasks.refresh();
      }),
    ];
  }

  getChildren(node?: Node): Node[] {
    if (!node) return this.#groups();
    switch (node.kind) {
      case "group":
        return this.#tasksOf(node.group);
      case "task":
        return this.#inside(node);
      case "file":
        return node.file.hunks.map((hunk) => ({ kind: "hunk", task: node.task, file: node.file, hunk }));
      case "line":
        return node.under ?? [];
      case "hunk":
        return [];
    }
  }

  getTreeItem(node: Node): vscode.TreeItem {
    switch (node.kind) {
      case "group":
        return groupItem(node);
      case "task":
        return this.#taskItem(node);
      case "file":
        return fileItem(node);
      case "hunk":
        return hunkItem(node);
      case "line":
        return lineItem(node);
    }
  }

  dispose(): void {
    vscode.Disposable.from(...this.#subscriptions, this.#view, this.#changed).dispose();
  }

  #badge(): void {
    const waiting = this.tasks.waiting;
    this.#view.badge = waiting > 0 ? { value: waiting, tooltip: `${plural(waiting, "proposal")} to review` } : undefined;
  }

  async #tick(items: readonly [Node, vscode.TreeItemCheckboxState][]): Promise<void> {
    for (const [node, state] of items) {
      if (node.kind !== "hunk") continue;
      await this.tasks.judge(node.task, node.hunk.id, state === vscode.TreeItemCheckboxState.Checked ? "open" : "reject");
    }
  }

  #groups(): Node[] {
    const groups = (Object.keys(GROUPS) as Group[]).map((group): Node => ({ kind: "group", group, count: this.#tasksOf(group).length }));
    return groups.filter((node) => node.kind === "group" && node.count > 0);
  }

  #tasksOf(group: Group): Node[] {
    const node = (task: string, intent: string): Node => ({ kind: "task", task, intent, group });
    const others = (wanted: (state: TaskEntry["state"]) => boolean) => this.tasks.others(wanted).map(({ task, intent }) => node(task, intent));
    if (group === "running") return [...this.tasks.runningNow.map(({ task, intent }) => node(task, intent)), ...others(isRunning)];
    if (group === "history") return others((state) => !isRunning(state) && !isWaiting(state));
    const own = this.tasks.proposals.filter(({ diff }) => (diff.gate.verdict === "block") === (group === "blocked"));
    return [...own.map(({ intent, diff }) => node(diff.task, intent)), ...others((state) => state === group)];
  }

  #inside({ task, group }: { task: string; group: Group }): Node[] {
    const entry = this.tasks.history.find((each) => each.task === task);
    const diff = this.tasks.proposal(task)?.diff;
    if (!diff) return group !== "running" && entry ? past(entry) : [];
    const files = diff.files.map((file): Node => ({ kind: "file", task, file }));
    return [...files, ...why(diff), ...sent(diff), ...(entry ? audit(entry) : [])];
  }

  #taskItem({ task, intent, group }: { task: string; intent: string; group: Group }): vscode.TreeItem {
    const item = new vscode.TreeItem(shorten(intent, 80), group === "running" ? vscode.TreeItemCollapsibleState.None : vscode.TreeItemCollapsibleState.Collapsed);
    item.id = task;
    item.tooltip = intent;
    const status = this.tasks.status(task);
    const diff = this.tasks.proposal(task)?.diff;
    const entry = this.tasks.history.find((each) => each.task === task);
    const left = entry?.left ?? 0;
    const own = this.tasks.runningNow.some((each) => each.task === task);
    if (group === "running") {
      // What another process runs is told of by the list alone.
      item.description = own ? (status?.progress ?? (status ? stateInWords(status.state) : "starting")) : `${entry ? stateInWords(entry.state) : ""}, elsewhere`;
      item.iconPath = new vscode.ThemeIcon("sync~spin");
    } else if (diff) {
      item.collapsibleState = vscode.TreeItemCollapsibleState.Expanded;
      item.description = [plural(diff.files.length, "file"), diff.model, money(diff.cost)].filter(Boolean).join(" · ");
      item.iconPath = new vscode.ThemeIcon(diff.gate.verdict === "block" ? "circle-slash" : diff.gate.verdict === "warn" ? "warning" : "pass");
      item.command = { title: "Review", command: "krins.ui.review", arguments: [{ task }] };
    } else if (entry) {
      item.description = [entry.state, left > 0 ? `${plural(left, "hunk")} left out` : "", ago(entry.created, Date.now()), money(entry.cost)].filter(Boolean).join(" · ");
      if (isWaiting(entry.state)) item.command = { title: "Review", command: "krins.ui.review", arguments: [{ task }] };
      item.iconPath = new vscode.ThemeIcon(entry.state === "applied" ? "check-all" : entry.state === "undone" ? "discard" : entry.state === "failed" ? "error" : isWaiting(entry.state) ? "diff-multiple" : "circle-outline");
    }
    const state = diff || own ? group : (entry?.state ?? "past");
    item.contextValue = `task.${state}${diff && isFixable(diff) ? ".model" : ""}${state === "applied" && left > 0 ? ".left" : ""}`;
    return item;
  }
}

function groupItem({ group, count }: { group: Group; count: number }): vscode.TreeItem {
  const { label, icon } = GROUPS[group];
  const item = new vscode.TreeItem(label, group === "history" ? vscode.TreeItemCollapsibleState.Collapsed : vscode.TreeItemCollapsibleState.Expanded);
  item.id = `group.${group}`;
  item.description = String(count);
  item.iconPath = new vscode.ThemeIcon(icon);
  item.accessibilityInformation = { label: `${label}, ${plural(count, "task")}` };
  return item;
}

function fileItem({ task, file }: { task: string; file: FileDiff }): vscode.TreeItem {
  const item = new vscode.TreeItem(vscode.Uri.parse(file.uri), vscode.TreeItemCollapsibleState.Collapsed);
  const { added, removed } = size(file.hunks);
  item.id = `${task}/${file.uri}`;
  item.label = relative(file.uri);
  item.description = `${file.kind === "modify" ? "" : `${file.kind} · `}+${added} −${removed}`;
  item.iconPath = vscode.ThemeIcon.File;
  item.contextValue = "file";
  item.command = { title: "Open the Diff", command: "krins.ui.openFile", arguments: [{ task, uri: file.uri }] };
  return item;
}

function hunkItem({ task, file: { uri, kind }, hunk }: { task: string; file: FileDiff; hunk: Hunk }): vscode.TreeItem {
  const { added, removed } = size([hunk]);
  const item = new vscode.TreeItem(shorten(title(hunk)));
  item.id = `${task}/${uri}/${hunk.id}`;
  item.description = `line ${hunk.range.start.line + 1} · +${added} −${removed}${hunk.edited ? " · your text" : ""}${hunk.verdict === "accept" ? " · accepted" : ""}`;
  // What is deleted has no text to edit.
  item.contextValue = `hunk.${hunk.verdict}${kind === "delete" ? ".whole" : ""}`;
  const applied = hunk.verdict !== "reject";
  item.checkboxState = {
    state: applied ? vscode.TreeItemCheckboxState.Checked : vscode.TreeItemCheckboxState.Unchecked,
    tooltip: applied ? "will be applied; untick to reject" : "rejected; tick to take it back",
    accessibilityInformation: { label: applied ? "will be applied" : "rejected" },
  };
  item.command = { title: "Open the Diff", command: "krins.ui.openFile", arguments: [{ task, uri, hunk: hunk.id }] };
  return item;
}

function lineItem(node: Extract<Node, { kind: "line" }>): vscode.TreeItem {
  const item = new vscode.TreeItem(node.label, node.under ? vscode.TreeItemCollapsibleState.Collapsed : vscode.TreeItemCollapsibleState.None);
  if (node.description !== undefined) item.description = node.description;
  if (node.tooltip !== undefined) item.tooltip = node.tooltip;
  if (node.icon) item.iconPath = new vscode.ThemeIcon(node.icon);
  if (node.place !== undefined) item.command = { title: "Open", command: "krins.ui.openPlace", arguments: [node.place] };
  return item;
}

function why(diff: DiffResult): Node[] {
  const { why, task } = diff;
  if (why.length === 0) return [];
  const root = rootOf(diff);
  const under = why.map(({ reason, lines }): Node => {
    const places = lines.map((place): Node => {
      const address = located(place, root);
      return { kind: "line", task, label: place, icon: "go-to-file", ...(address === undefined ? {} : { place: address }) };
    });
    return { kind: "line", task, label: reason, tooltip: reason, ...(places.length > 0 ? { under: places } : {}) };
  });
  return [{ kind: "line", task, label: "Why", description: plural(why.length, "reason"), icon: "question", under }];
}

/** What left the machine for it, and what was left out. */
function sent({ task, sent, pruned }: DiffResult): Node[] {
  const items = sent ?? [];
  const left = pruned ?? [];
  if (items.length === 0 && left.length === 0) return [];
  const tokens = items.reduce((sum, each) => sum + each.tokens, 0);
  const line = (uri: string, description: string, icon: string): Node => ({ kind: "line", task, label: relative(uri), description, icon, place: uri });
  const under = [...items.map(({ uri, tokens }) => line(uri, plural(tokens, "token"), "arrow-up")), ...left.map((uri) => line(uri, "left out", "dash"))];
  return [{ kind: "line", task, label: "Sent", description: `${plural(items.length, "file")}, ${plural(tokens, "token")}${left.length > 0 ? `, ${left.length} left out` : ""}`, icon: "cloud-upload", under }];
}

function past(entry: TaskEntry): Node[] {
  const { task } = entry;
  const lines: Node[] = [];
  if (entry.model) lines.push({ kind: "line", task, label: entry.model, description: plural(entry.files, "file"), icon: "sparkle" });
  if (entry.verdict) lines.push({ kind: "line", task, label: `gate: ${entry.verdict}`, icon: "shield" });
  if (entry.error) lines.push({ kind: "line", task, label: entry.error, tooltip: entry.error, icon: "error" });
  return [...lines, ...audit(entry)];
}

function audit({ task, audit }: TaskEntry): Node[] {
  if (!audit) return [];
  const { seq, kind, hash } = audit;
  return [{ kind: "line", task, label: `audit ${seq}: ${kind}`, description: hash.slice(0, 12), tooltip: `record ${seq} of the audit, ${hash}`, icon: "law" }];
}
