// Stands for VS Code in the tests: as much of it as they need. What a person would be shown is kept, what they would answer is given.

import { posix } from "node:path";

/** Everything that was shown, oldest first: what it was, its words, and what could be chosen. */
export const shown: { what: string; text: string; items: unknown[] }[] = [];
/** What the person says to a kind of question; nothing where there is nothing. */
export const answers: Record<string, (items: readonly unknown[]) => unknown> = {};
/** Settings by their full name; a resource of `scoped` has its own. */
export const settings: Record<string, unknown> = {};
export const scoped: Record<string, Record<string, unknown>> = {};
/** Commands that were run, with what they were given. */
export const ran: unknown[][] = [];

export function reset(): void {
  shown.length = 0;
  ran.length = 0;
  for (const kept of [answers, settings, scoped]) for (const key of Object.keys(kept)) delete kept[key];
  Object.assign(window, { activeTextEditor: undefined });
  Object.assign(workspace, { textDocuments: [] });
}

async function ask(what: string, text: string, items: readonly unknown[]): Promise<unknown> {
  shown.push({ what, text, items: [...items] });
  return answers[what]?.(items);
}

const message = (what: string) => (text: string, ...rest: unknown[]) => ask(what, text, rest);
const nothing = () => ({ dispose() {} });

export class EventEmitter<T> {
  readonly #heard = new Set<(value: T) => void>();
  readonly event = (hear: (value: T) => void) => {
    this.#heard.add(hear);
    return { dispose: () => this.#heard.delete(hear) };
  };
  fire(value: T): void {
    for (const hear of [...this.#heard]) hear(value);
  }
  dispose(): void {
    this.#heard.clear();
  }
}

export class ThemeIcon {
  constructor(readonly id: string) {}
}

export class Disposable {
  static from = nothing;
}

export class CancellationTokenSource {
  readonly token = { onCancellationRequested: nothing };
  cancel(): void {}
  dispose(): void {}
}

export class CancellationError extends Error {}

export class Position {
  constructor(
    readonly line: number,
    readonly character: number,
  ) {}
}

export class Location {
  constructor(
    readonly uri: unknown,
    readonly range: unknown,
  ) {}
}

export const ProgressLocation = { Window: 10, Notification: 15 };
export const QuickPickItemKind = { Separator: -1 };

const uri = (text: string) => {
  const { protocol, pathname, search } = new URL(text);
  return { scheme: protocol.slice(0, -1), path: pathname, fsPath: pathname, query: search.slice(1), toString: () => text };
};
export const Uri = {
  parse: uri,
  file: (path: string) => uri(`file://${path}`),
  joinPath: ({ path }: { path: string }, ...parts: string[]) => uri(`file://${posix.join(path, ...parts)}`),
};

export const window = {
  activeTextEditor: undefined as unknown,
  tabGroups: { all: [], activeTabGroup: {} },
  showInformationMessage: message("info"),
  showWarningMessage: message("warn"),
  showErrorMessage: message("error"),
  showInputBox: (options: { title: string }) => ask("input", options.title, []),
  showQuickPick: (items: readonly unknown[], { title }: { title: string }) => ask("pick", title, items),
  /** Its first row is taken as soon as it is shown. */
  createQuickPick: () => {
    const [accepted, hidden] = [new EventEmitter<void>(), new EventEmitter<void>()];
    const picker = {
      value: "",
      items: [] as unknown[],
      activeItems: [] as unknown[],
      onDidAccept: accepted.event,
      onDidHide: hidden.event,
      onDidChangeValue: nothing,
      onDidTriggerItemButton: nothing,
      show: () => {
        picker.activeItems = picker.items.slice(0, 1);
        accepted.fire();
      },
      hide: () => hidden.fire(),
      dispose() {},
    };
    return picker;
  },
  showTextDocument: async (at: { path: string }, options: object) => ask("document", at.path, [options]),
  withProgress: async (_: object, work: (progress: object, token: object) => Promise<unknown>) => work({ report() {} }, { onCancellationRequested: nothing }),
};

export const workspace = {
  isTrusted: true,
  textDocuments: [] as unknown[],
  getConfiguration: (section: string, resource?: { toString(): string }) => ({
    get: (key: string, otherwise: unknown) => scoped[String(resource)]?.[`${section}.${key}`] ?? settings[`${section}.${key}`] ?? otherwise,
  }),
  asRelativePath: ({ path }: { path: string }) => path,
};

export const commands = {
  executeCommand: async (...what: unknown[]) => void ran.push(what),
};
