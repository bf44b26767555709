// A change whose places moved on meanwhile: the person merges them in VS Code's merge editor, or takes what does not collide.

import * as vscode from "vscode";
import { type Clash, unmarked, unmerged } from "./patch";
import type { Preview } from "./preview";
import type { ApplyParams, ApplyResult, DiffResult } from "./protocol";
import * as say from "./say";
import { plural } from "./words";

/**
 * Asks what to do about conflicts: how to ask for the apply again, or nothing. A merge writes the files with markers first, by the same
 * apply as any other: all of them or none, and an undo takes all of it back as long as nothing was merged.
 */
export async function askMerge(diff: DiffResult, { conflicts }: ApplyResult, { task, hunks }: ApplyParams): Promise<ApplyParams | undefined> {
  const all = diff.files.flatMap((file) => file.hunks).filter(({ verdict }) => verdict !== "reject");
  const colliding = new Set(conflicts.flatMap((conflict) => conflict.hunks ?? []));
  const others = (hunks ?? all.map(({ id }) => id)).filter((id) => !colliding.has(id));
  const [merge, rest] = ["Merge…", "Apply the Others"];
  const actions = others.length > 0 && colliding.size > 0 ? [merge, rest] : [merge];
  const chosen = await say.warn(
    `Krins: nothing was applied: ${plural(conflicts.length, "place")} changed in another way since the task read the files.`,
    ...actions,
  );
  if (chosen === rest) return { task: task!, hunks: others };
  return chosen === merge ? { task: task!, onConflict: "markers", ...(hunks ? { hunks } : {}) } : undefined;
}

/** Opens what has conflict markers now. */
export async function openMarked(preview: Preview, task: string, conflicts: ApplyResult["conflicts"], { applied }: ApplyResult): Promise<void> {
  for (const [address, places] of byFile(conflicts)) {
    const uri = vscode.Uri.parse(address);
    // VS Code reads a file again when it hears of the change: what the server wrote to the disk is read from there.
    const buffer = applied.some((file) => file.route === "buffer" && vscode.Uri.parse(file.uri).toString() === uri.toString());
    const text = buffer ? (await vscode.workspace.openTextDocument(uri)).getText() : new TextDecoder().decode(await vscode.workspace.fs.readFile(uri));
    await open(preview, task, uri, unmarked(text, places));
  }
}

/** Opens what an undo or a redo could not write: what it would bring is beside what is there, and nothing was written. */
export async function openUnmerged(preview: Preview, conflicts: ApplyResult["conflicts"]): Promise<void> {
  for (const [address, places] of byFile(conflicts)) {
    const uri = vscode.Uri.parse(address);
    await open(preview, "undo", uri, unmerged((await vscode.workspace.openTextDocument(uri)).getText(), places), places[0]?.range.start.line);
  }
}

function byFile(conflicts: ApplyResult["conflicts"]): Map<string, ApplyResult["conflicts"]> {
  return conflicts.reduce((files, each) => files.set(each.uri, [...(files.get(each.uri) ?? []), each]), new Map<string, ApplyResult["conflicts"]>());
}

/** The three texts as documents that stay when the proposal is closed; the file itself where they are not known. */
async function open(preview: Preview, task: string, uri: vscode.Uri, texts: Clash | undefined, line = 0): Promise<void> {
  if (texts) {
    const of = (side: keyof Clash) => preview.note(`${side}-${task}`, uri.path.slice(1), texts[side]);
    try {
      // Not in the API, but what git's "Resolve in Merge Editor" calls. Its result begins anew where the file has markers.
      await vscode.commands.executeCommand("_open.mergeEditor", {
        base: of("base"),
        input1: { uri: of("ours"), title: "Yours" },
        input2: { uri: of("theirs"), title: "Krins" },
        output: uri,
      });
      return;
    } catch {
      // Where there are markers, VS Code offers its lenses on them.
    }
  }
  await vscode.window.showTextDocument(uri, { selection: new vscode.Range(line, 0, line, 0) });
}
