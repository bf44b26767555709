// A change whose places moved on meanwhile: the person merges them in VS Code's merge editor, or takes what does not collide.

import * as vscode from "vscode";
import type { Preview } from "./preview";
import type { ApplyResult, DiffResult } from "./protocol";
import * as say from "./say";
import type { Server } from "./server";
import { plural } from "./words";

interface Merge {
  uri: vscode.Uri;
  base: vscode.Uri;
  ours: vscode.Uri;
  theirs: vscode.Uri;
}

/**
 * Asks what to do about conflicts. What was applied then, or nothing. A merge writes the files with markers first, by the same apply
 * as any other: all of them or none, and an undo takes all of it back as long as nothing was merged.
 */
export async function offerMerge(
  server: Server,
  preview: Preview,
  diff: DiffResult,
  { conflicts }: ApplyResult,
  hunks: string[] | undefined,
): Promise<ApplyResult | undefined> {
  const all = diff.files.flatMap((file) => file.hunks).filter(({ verdict }) => verdict !== "reject");
  const colliding = new Set(conflicts.flatMap((conflict) => conflict.hunks ?? []));
  const others = (hunks ?? all.map(({ id }) => id)).filter((id) => !colliding.has(id));
  const [merge, rest] = ["Merge…", "Apply the Others"];
  const actions = others.length > 0 && colliding.size > 0 ? [merge, rest] : [merge];
  const chosen = await say.warn(
    `Krins: nothing was applied: ${plural(conflicts.length, "place")} changed in another way since the task read the files.`,
    ...actions,
  );
  const { task } = diff;
  if (chosen === rest) return server.request("krins/apply", { task, hunks: others });
  if (chosen !== merge) return undefined;
  const uris = [...new Set(conflicts.map(({ uri }) => uri))];
  const merges = await Promise.all(uris.map((uri) => sides(preview, task, uri)));
  const applied = await server.request("krins/apply", { task, onConflict: "markers", ...(hunks === undefined ? {} : { hunks }) });
  for (const [index, each] of merges.entries()) await open(each, uris[index]!);
  // The answer to an apply with markers names no conflicts: where they are was said before.
  return { ...applied, conflicts };
}

/** The three texts, as documents that stay when the proposal is closed; nothing when the text that the task read is not known. */
async function sides(preview: Preview, task: string, address: string): Promise<Merge | undefined> {
  const known = preview.texts(task, address);
  if (!known) return undefined;
  const uri = vscode.Uri.parse(address);
  const now = (await vscode.workspace.openTextDocument(uri)).getText();
  const of = (side: string, text: string) => preview.note(`${side}-${task}`, uri.path.slice(1), text);
  return { uri, base: of("base", known.before), ours: of("yours", now), theirs: of("krins", known.after) };
}

async function open(merge: Merge | undefined, address: string): Promise<void> {
  if (merge) {
    try {
      // Not in the API, but what git's "Resolve in Merge Editor" calls. Its result begins anew where the file has markers.
      await vscode.commands.executeCommand("_open.mergeEditor", {
        base: merge.base,
        input1: { uri: merge.ours, title: "Yours" },
        input2: { uri: merge.theirs, title: "Krins" },
        output: merge.uri,
      });
      return;
    } catch {
      // The markers are there, and VS Code offers its lenses on them.
    }
  }
  await vscode.window.showTextDocument(vscode.Uri.parse(address));
}
