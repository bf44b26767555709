// Every message to the person goes through here: its words may come from a model, a repository or a test, and VS Code makes a link
// that runs a command of `[words](command:…)` in a message.

import * as vscode from "vscode";
import { withoutLinks } from "./words";

type Show = typeof vscode.window.showInformationMessage;

function cleaned(show: () => Show): Show {
  return ((text: string, ...rest: []) => show()(withoutLinks(text), ...rest)) as Show;
}

export const info = cleaned(() => vscode.window.showInformationMessage);
export const warn = cleaned(() => vscode.window.showWarningMessage);
export const error = cleaned(() => vscode.window.showErrorMessage);

/** What a server says or asks, by the protocol's numbers; its actions are answered with the one that is chosen. */
export async function told({ type, message, actions = [] }: { type: number; message: string; actions?: vscode.MessageItem[] }): Promise<vscode.MessageItem | null> {
  return (await (type === 1 ? error : type === 2 ? warn : info)(message, ...actions)) ?? null;
}

/** Runs under a notification, or a word in the status bar, that tells of it. */
export function progress<T>(options: vscode.ProgressOptions, work: Parameters<typeof vscode.window.withProgress<T>>[1]): Thenable<T> {
  const title = options.title === undefined ? {} : { title: withoutLinks(options.title) };
  return vscode.window.withProgress({ ...options, ...title }, (report, token) =>
    work({ report: (value) => report.report(value.message === undefined ? value : { ...value, message: withoutLinks(value.message) }) }, token),
  );
}

const underway = new Set<Promise<unknown>>();

/** Resolves when nothing is under way that can be cancelled. */
export async function idle(): Promise<void> {
  while (underway.size > 0) await Promise.allSettled(underway);
}

/** What takes a moment is told of, with a cancel that reaches it. */
export async function cancellable<T>(title: string, work: (token: vscode.CancellationToken) => Promise<T>): Promise<T> {
  const source = new vscode.CancellationTokenSource();
  const done = work(source.token);
  underway.add(done);
  const show = () =>
    progress({ location: vscode.ProgressLocation.Notification, title, cancellable: true }, async (_, token) => {
      token.onCancellationRequested(() => source.cancel());
      await done.catch(() => undefined);
    });
  const timer = setTimeout(() => void show(), 500);
  try {
    return await done;
  } finally {
    underway.delete(done);
    clearTimeout(timer);
    source.dispose();
  }
}
