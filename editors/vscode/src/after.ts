// After an apply: what changed, why, what may go wrong, and what comes next, on one page to read.

import * as vscode from "vscode";
import { relative } from "./ask";
import { part, size, title } from "./patch";
import type { Preview } from "./preview";
import type { ApplyResult, DiffResult, ImpactResult } from "./protocol";
import type { Server } from "./server";
import { money, plural, shorten } from "./words";

/** An apply that somebody may want to hear more of. */
export interface Done {
  intent: string;
  diff: DiffResult;
  /** The hunks that were chosen; without, all that were not rejected. */
  hunks: string[] | undefined;
}

export async function feedback(server: Server, preview: Preview, done: Done, result: ApplyResult): Promise<void> {
  const { task, files, patch } = done.diff;
  const written = part(patch, files, (hunk) => (done.hunks ? done.hunks.includes(hunk.id) : hunk.verdict !== "reject"));
  const impact = await server.request("krins/graph/impact", { task, patch: written, patience: 2000 }).catch(() => undefined);
  const uri = preview.note(task, "What changed.md", page(done, result, impact, await unmerged(result)));
  await vscode.workspace.openTextDocument(uri);
  await vscode.commands.executeCommand("markdown.showPreview", uri);
}

function page({ intent, diff, hunks }: Done, result: ApplyResult, impact: ImpactResult | undefined, open: Unmerged[]): string {
  return [
    `# ${plain(intent)}`,
    "## What",
    ...what(diff, hunks),
    "## Why",
    ...(diff.why.length > 0 ? diff.why.map(({ reason, lines }) => item(plain(reason) + (lines.length > 0 ? ` (${lines.map(code).join(", ")})` : ""))) : [item("The answer gave no reasons.")]),
    "## Risks",
    ...risks(diff, result, impact, open),
    "## Next",
    ...next(result, impact),
    "",
  ].join("\n\n");
}

function what(diff: DiffResult, chosen: string[] | undefined): string[] {
  const taken = (id: string, verdict: string) => (chosen ? chosen.includes(id) : verdict !== "reject");
  const lines = diff.files.map((file) => {
    const applied = file.hunks.filter((hunk) => taken(hunk.id, hunk.verdict));
    const { added, removed } = size(applied);
    const left = file.hunks.length - applied.length;
    const edited = applied.filter((hunk) => hunk.edited).length;
    const names = applied.slice(0, 4).map((hunk) => code(shorten(title(hunk), 50)));
    const notes = [left > 0 ? `${plural(left, "hunk")} left out` : "", edited > 0 ? `${plural(edited, "hunk")} with your own text` : ""].filter(Boolean);
    return item(`${code(relative(file.uri))} ${file.kind === "modify" ? "" : `(${file.kind}) `}+${added} −${removed}${notes.length > 0 ? `, ${notes.join(", ")}` : ""}: ${names.join(", ")}`);
  });
  const price = money(diff.cost);
  return [...lines, item(`by ${code(diff.model)}${diff.cached ? ", from the cache" : ""}${price ? `, ${price}` : ""}${diff.degraded ? `; ${plain(diff.degraded)}` : ""}`)];
}

/** A file that still has places to be merged. */
interface Unmerged {
  uri: string;
  places: number;
}

/**
 * Of the files where the apply wrote markers, those that have some now: the person may have merged them since. The merge editor takes
 * them out of the buffer before anything is merged, so the file is asked, too.
 */
async function unmerged({ conflicts }: ApplyResult): Promise<Unmerged[]> {
  const uris = [...new Set(conflicts.map(({ uri }) => uri))];
  const counted = uris.map(async (uri) => {
    const place = vscode.Uri.parse(uri);
    const texts = await Promise.allSettled([
      vscode.workspace.openTextDocument(place).then((document) => document.getText()),
      vscode.workspace.fs.readFile(place).then((bytes) => new TextDecoder().decode(bytes)),
    ]);
    const places = texts.map((text) => (text.status === "fulfilled" ? (text.value.match(/^<{7}(?= |$)/gm)?.length ?? 0) : 0));
    return { uri, places: Math.max(...places) };
  });
  return (await Promise.all(counted)).filter(({ places }) => places > 0);
}

function risks({ gate }: DiffResult, { unsaved, leftAlone }: ApplyResult, impact: ImpactResult | undefined, open: Unmerged[]): string[] {
  const found = [
    ...gate.findings.map(({ rule, path, lines, message }) => item(`${code(rule)} ${code(lines ? `${path}:${lines[0]}` : path)}: ${plain(message)}`)),
    ...(gate.waived ?? []).map(({ finding, reason, expires }) => item(`waived until ${expires}: ${code(finding.rule)} in ${code(finding.path)}, because ${plain(reason)}`)),
    ...open.map(({ uri, places }) => item(`${code(relative(uri))} has ${plural(places, "place")} with conflict markers to be merged`)),
    ...(leftAlone ?? []).map(({ uri }) => item(`${code(relative(uri))} was left alone: it changed in the last moment`)),
    ...(unsaved.length > 0 ? [item(`${plural(unsaved.length, "buffer")} not saved: tests and builds see the old text`)] : []),
  ];
  if (impact) {
    const [symbols, files] = impact.total;
    if (symbols > 0) found.push(item(`${plural(symbols, "declaration")} in ${plural(files, "other file")} use what changed: ${impact.symbols.slice(0, 5).map(({ symbol }) => code(symbol)).join(", ")}`));
    if (impact.stale.length > 0) found.push(item(`of ${impact.stale.map(code).join(", ")} this is said by line numbers alone`));
  }
  return found.length > 0 ? found : [item(`None that the gate's ${plural(gate.checks.length, "check")} or the code graph know of.`)];
}

function next({ unsaved, undo }: ApplyResult, impact: ImpactResult | undefined): string[] {
  const tests = impact?.tests ?? [];
  return [
    ...(unsaved.length > 0 ? [item("Save all: *File: Save All Files*")] : []),
    ...(tests.length > 0 ? [item(`Run the tests that reach it: ${tests.slice(0, 8).map(({ path }) => code(path)).join(", ")}${tests.length > 8 ? ` and ${tests.length - 8} more` : ""}`)] : []),
    ...(impact && impact.owners.length > 0 ? [item(`Ask its owners: ${impact.owners.slice(0, 5).map(({ owner }) => code(owner)).join(", ")}`)] : []),
    ...(undo ? [item("Not what you wanted: *Krins: Undo the Last Change*, and *Krins: Redo the Last Change* does it again")] : []),
  ];
}

function item(text: string): string {
  return `- ${text}`;
}

/** Nobody's words become markup: an intent or a finding may come from a model or a file. */
function plain(text: string): string {
  return text.replace(/\s+/g, " ").replace(/[\\`*_{}[\]()<>#+!|~&:-]/g, "\\$&");
}

function code(text: string): string {
  const clean = text.replace(/\s+/g, " ");
  return clean.includes("`") ? plain(clean) : `\`${clean}\``;
}
