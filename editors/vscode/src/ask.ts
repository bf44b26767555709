// The questions the extension puts to a person.

import * as vscode from "vscode";
import { size, title } from "./patch";
import type { AssignParams, ContextResult, DiffResult, Scope } from "./protocol";
import { contextTitle, estimateInWords, plural, rangesInWords, remember, shorten } from "./words";

const HISTORY = "krins.history";
const SCOPES: readonly { scope: Scope; what: string }[] = [
  { scope: "narrow", what: "the file and what it names" },
  { scope: "normal", what: "also the files around it in the code graph" },
  { scope: "broad", what: "anything in the workspace that seems to matter" },
];
/** Between the last key and the question what would be sent. */
const PAUSE = 200;

export interface Question {
  prompt: string;
  /** What stands there already: a comment's words. */
  intent?: string;
  /** Everything but the words and the scope. */
  params: Omit<AssignParams, "intent" | "scope">;
  scope: Scope;
  estimate(params: AssignParams): Promise<ContextResult>;
}

/** What is sent, or first looked at. */
export type Answer = { params: AssignParams; look: boolean };

interface Row extends vscode.QuickPickItem {
  send?: true;
  scope?: Scope;
  past?: true;
}

const LOOK: vscode.QuickInputButton = { iconPath: new vscode.ThemeIcon("eye"), tooltip: "Show what would be sent" };

/**
 * What to change, in words, and how far to look for the code: each scope says what it would send before anything is sent. Earlier
 * words are offered below; taking one writes it into the line, so that it too is estimated and can be changed.
 */
export function askIntent(state: vscode.Memento, question: Question): Promise<Answer | undefined> {
  const history = state.get<string[]>(HISTORY, []);
  const picker = vscode.window.createQuickPick<Row>();
  let { scope } = question;
  let pending: NodeJS.Timeout | undefined;
  let asked = 0;
  const estimates = new Map<Scope, string>();
  const words = () => picker.value.trim();
  const params = (of: Scope): AssignParams => ({ ...question.params, intent: words(), scope: of });

  const draw = (active?: (row: Row) => boolean) => {
    const known = history.filter((each) => each !== words());
    const past: Row[] = known.map((label) => ({ label, past: true, iconPath: new vscode.ThemeIcon("history") }));
    const send: Row = {
      label: words(),
      detail: `Enter to ask · ${scope} · ${estimates.get(scope) ?? "counting…"}`,
      send: true,
      alwaysShow: true,
      iconPath: new vscode.ThemeIcon("play"),
      buttons: [LOOK],
    };
    const reach = SCOPES.map((each): Row => ({
      label: each.scope,
      description: `${estimates.get(each.scope) ?? ""}${estimates.has(each.scope) ? " · " : ""}${each.what}`,
      scope: each.scope,
      alwaysShow: true,
      iconPath: new vscode.ThemeIcon(each.scope === scope ? "pass-filled" : "circle-large-outline"),
    }));
    const separator = (label: string): Row => ({ label, kind: vscode.QuickPickItemKind.Separator });
    picker.items = words() === "" ? past : [send, separator("how far to look"), ...reach, ...(past.length > 0 ? [separator("asked before"), ...past] : [])];
    const row = active && picker.items.find(active);
    if (row) picker.activeItems = [row];
  };
  const count = () => {
    clearTimeout(pending);
    const mine = ++asked;
    estimates.clear();
    if (words() === "") return;
    pending = setTimeout(async () => {
      // One after the other: the one that would be sent first, and none of words that are no longer there.
      const others = SCOPES.map((known) => known.scope).filter((known) => known !== scope);
      for (const each of [scope, ...others]) {
        const said = await question.estimate(params(each)).then(estimateInWords, () => "no estimate");
        if (mine !== asked) return;
        estimates.set(each, said);
        // A key that is pressed while the rows are drawn is lost, so they are drawn as seldom as can be.
        if (each !== scope && each !== others.at(-1)) continue;
        const focused = picker.activeItems[0];
        draw((row) => (focused?.scope ? row.scope === focused.scope : focused?.past ? row.label === focused.label : row.send === true));
      }
    }, PAUSE);
  };

  picker.title = "Krins";
  picker.placeholder = question.prompt;
  picker.ignoreFocusOut = true;
  picker.value = question.intent ?? "";
  return new Promise<Answer | undefined>((resolve) => {
    const done = async (look: boolean) => {
      const answer = { params: params(scope), look };
      await state.update(HISTORY, remember(history, answer.params.intent));
      resolve(answer);
      picker.hide();
    };
    picker.onDidChangeValue(() => {
      count();
      draw((row) => row.send === true);
    });
    picker.onDidTriggerItemButton(() => void done(true));
    picker.onDidAccept(() => {
      const row = picker.activeItems[0];
      if (row?.past) {
        picker.value = row.label;
        count();
        draw((each) => each.send === true);
      } else if (row?.scope) {
        scope = row.scope;
        draw((each) => each.send === true);
      } else if (words() !== "") void done(false);
    });
    picker.onDidHide(() => {
      clearTimeout(pending);
      asked += 1;
      resolve(undefined);
      picker.dispose();
    });
    draw();
    count();
    picker.show();
  });
}

interface ContextPick extends vscode.QuickPickItem {
  send?: true;
  open?: vscode.Location;
}

/** What would be sent. True when the person says to send it. Choosing a file opens it beside the question. */
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
    items.push(...context.pruned.map((uri) => ({ label: relative(uri), open: new vscode.Location(vscode.Uri.parse(uri), new vscode.Position(0, 0)) })));
  }
  for (;;) {
    const chosen = await vscode.window.showQuickPick(items, {
      title: "Krins: what would be sent",
      placeHolder: contextTitle(context),
      matchOnDescription: true,
      matchOnDetail: true,
      ignoreFocusOut: true,
    });
    if (!chosen?.open) return chosen?.send === true;
    await vscode.window.showTextDocument(chosen.open.uri, { selection: chosen.open.range, preview: true, preserveFocus: true });
  }
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

export function relative(uri: string): string {
  return vscode.workspace.asRelativePath(vscode.Uri.parse(uri));
}
