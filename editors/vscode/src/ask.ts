// The questions the extension puts to a person.

import * as vscode from "vscode";
import { size, title } from "./patch";
import type { ContextResult, DiffResult } from "./protocol";
import { contextTitle, plural, rangesInWords, remember, shorten } from "./words";

const HISTORY = "krins.history";

/** What to change, in words; earlier words are offered below what is typed. */
export async function askIntent(state: vscode.Memento, prompt: string): Promise<string | undefined> {
  const history = state.get<string[]>(HISTORY, []);
  const intent = await new Promise<string | undefined>((resolve) => {
    const picker = vscode.window.createQuickPick();
    picker.title = "Krins";
    picker.placeholder = prompt;
    const offer = (typed: string) => {
      const known = history.filter((each) => each !== typed).map((label) => ({ label, iconPath: new vscode.ThemeIcon("history") }));
      picker.items = typed === "" ? known : [{ label: typed, alwaysShow: true, description: "Enter to ask" }, ...known];
    };
    offer("");
    picker.onDidChangeValue((value) => offer(value.trim()));
    picker.onDidAccept(() => {
      resolve(picker.activeItems[0]?.label ?? picker.value.trim());
      picker.hide();
    });
    picker.onDidHide(() => {
      resolve(undefined);
      picker.dispose();
    });
    picker.show();
  });
  if (!intent) return undefined;
  await state.update(HISTORY, remember(history, intent));
  return intent;
}

interface ContextPick extends vscode.QuickPickItem {
  send?: true;
  open?: vscode.Location;
}

/** What would be sent. True when the person says to send it. Choosing a file opens it. */
export async function showContext(context: ContextResult, send: string): Promise<boolean> {
  const items: ContextPick[] = [
    { label: `$(play) ${send}`, description: contextTitle(context), send: true },
    { label: "would be sent", kind: vscode.QuickPickItemKind.Separator },
    ...context.items.map((item) => {
      const uri = vscode.Uri.parse(item.uri);
      const line = Math.max(0, (item.ranges[0]?.[0] ?? 1) - 1);
      return {
        label: vscode.workspace.asRelativePath(uri),
        description: `${plural(item.tokens, "token")} · lines ${rangesInWords(item.ranges)}`,
        detail: item.reason,
        open: new vscode.Location(uri, new vscode.Position(line, 0)),
      };
    }),
  ];
  if (context.pruned.length > 0) {
    items.push({ label: "left out", kind: vscode.QuickPickItemKind.Separator });
    items.push(...context.pruned.map((uri) => ({ label: relative(uri), open: new vscode.Location(toUri(uri), new vscode.Position(0, 0)) })));
  }
  const chosen = await vscode.window.showQuickPick(items, {
    title: "Krins: what would be sent",
    placeHolder: contextTitle(context),
    matchOnDescription: true,
    matchOnDetail: true,
    ignoreFocusOut: true,
  });
  if (chosen?.open) await vscode.window.showTextDocument(chosen.open.uri, { selection: chosen.open.range, preview: true });
  return chosen?.send === true;
}

/** The ids of the hunks to apply; `undefined` when the person gave up. */
export async function askHunks(diff: DiffResult): Promise<string[] | undefined> {
  const items = diff.files.flatMap((file): (vscode.QuickPickItem & { id?: string })[] => [
    { label: relative(file.uri), kind: vscode.QuickPickItemKind.Separator },
    ...file.hunks.map((hunk) => {
      const { added, removed } = size([hunk]);
      return {
        id: hunk.id,
        label: shorten(title(hunk)),
        description: `line ${hunk.range.start.line + 1} · +${added} −${removed}`,
        picked: hunk.verdict !== "reject",
      };
    }),
  ]);
  const chosen = await vscode.window.showQuickPick(items, {
    title: "Krins: apply some",
    placeHolder: "Untick what should not be applied",
    canPickMany: true,
    ignoreFocusOut: true,
  });
  return chosen?.flatMap(({ id }) => (id === undefined ? [] : [id]));
}

/** An absolute address, or a path in the workspace. */
function toUri(path: string): vscode.Uri {
  if (/^[a-z][a-z0-9+.-]+:/i.test(path)) return vscode.Uri.parse(path);
  const folder = vscode.workspace.workspaceFolders?.[0];
  return folder ? vscode.Uri.joinPath(folder.uri, path) : vscode.Uri.file(path);
}

function relative(path: string): string {
  return vscode.workspace.asRelativePath(toUri(path));
}
