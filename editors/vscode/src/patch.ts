// A proposal's hunks put onto the text they were made for. Only for looking at: what is written is the server's business.
// Knows nothing of VS Code.

import type { FileDiff, Hunk } from "./protocol";

/** The text is not the one the hunks were made for. */
export class Mismatch extends Error {
  constructor(readonly hunk: string) {
    super(`hunk ${hunk} does not fit`);
    this.name = "Mismatch";
  }
}

interface Line {
  readonly text: string;
  /** `"\n"`, `"\r\n"`, or `""` for a last line without an end. */
  readonly end: string;
}

/** A place that two sides changed, or a whole text with such places. */
export interface Clash {
  base: string;
  ours: string;
  theirs: string;
}

const SIDES = ["base", "ours", "theirs"] as const;
const unix = (text: string) => text.replace(/\r\n?/g, "\n");

/** The text with the hunks applied exactly where they say; every other byte stays. */
export function patched(base: string, hunks: readonly Hunk[]): string {
  const lines = split(base);
  const usual = lines.find((line) => line.end !== "")?.end ?? "\n";
  const out: Line[] = [];
  let next = 0;
  for (const hunk of hunks) {
    const start = firstLine(hunk);
    if (start < next || start > lines.length) throw new Mismatch(hunk.id);
    out.push(...lines.slice(next, start));
    next = place(hunk, lines, start, out, usual);
  }
  out.push(...lines.slice(next));
  return out.map((line) => line.text + line.end).join("");
}

/** The hunks that an apply would write: what is shown as "after" is this. */
export function wanted(hunks: readonly Hunk[]): Hunk[] {
  return hunks.filter((hunk) => hunk.verdict !== "reject");
}

/**
 * Where each hunk is, or would be, in the text with the wanted ones, zero-based: its first line, how many it has there, and the first
 * that it changes.
 */
export function places(hunks: readonly Hunk[]): { hunk: Hunk; line: number; length: number; change: number }[] {
  let shift = 0;
  return hunks.map((hunk) => {
    const { added, removed } = size([hunk]);
    const context = hunk.lines.length - hunk.lines.filter((line) => /^[-+\\]/.test(line)).length;
    const taken = hunk.verdict !== "reject";
    const line = firstLine(hunk) + shift;
    const before = hunk.lines.findIndex((each) => /^[-+]/.test(each));
    const place = { hunk, line, length: context + (taken ? added : removed), change: line + Math.max(0, before) };
    if (taken) shift += added - removed;
    return place;
  });
}

/** A hunk's new text, context lines included: what a person starts from who wants to write it themselves. */
export function newText(hunk: Hunk): string {
  const lines = hunk.lines.filter((line) => line.startsWith("+") || line.startsWith(" ")).map((line) => line.slice(1));
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}

/** The canonical patch with the hunks alone that are kept; files without any of them are left out. */
export function part(patch: string, files: readonly FileDiff[], keep: (hunk: Hunk) => boolean): string {
  const sections = patch.split(/(?<=^|\n)(?=diff --git )/);
  return files
    .map(({ hunks }, index) => {
      const [head = "", ...bodies] = (sections[index] ?? "").split(/(?<=\n)(?=@@ )/);
      let dropped = 0;
      const kept = hunks.flatMap((hunk, at) => {
        const { added, removed } = size([hunk]);
        if (keep(hunk)) return [bodies[at]?.replace(/^(@@ -\S+ \+)(\d+)/, (_, mark: string, line: string) => `${mark}${Number(line) - dropped}`) ?? ""];
        dropped += added - removed;
        return [];
      });
      return kept.length > 0 || hunks.length === 0 ? head.replace(/\nindex .*/, "") + kept.join("") : "";
    })
    .join("");
}

/**
 * What a merge editor is to begin from, of a file that got conflict markers: the text with each marked place as it was (`base`), as it
 * is (`ours`) and as it should be (`theirs`). Nothing where the places are not those that are told.
 */
export function unmarked(marked: string, conflicts: readonly Clash[]): Clash | undefined {
  const ended = (text: string) => (text === "" || text.endsWith("\n") ? text : `${text}\n`);
  const out: Clash = { base: "", ours: "", theirs: "" };
  const add = (each: Clash) => SIDES.forEach((side) => (out[side] += each[side]));
  let rest = unix(marked);
  for (const { base, ours, theirs } of conflicts) {
    const clash = { base: ended(unix(base)), ours: ended(unix(ours)), theirs: ended(unix(theirs)) };
    const block = `<<<<<<< yours\n${clash.ours}=======\n${clash.theirs}>>>>>>> krins\n`;
    const start = rest.indexOf(block);
    if (start < 0) return undefined;
    const before = rest.slice(0, start);
    add({ base: before, ours: before, theirs: before });
    add(clash);
    rest = rest.slice(start + block.length);
  }
  add({ base: rest, ours: rest, theirs: rest });
  return out;
}

/** The same of a file that has none: the text as it is, and with each place as it was and as it should be. */
export function unmerged(now: string, conflicts: readonly (Clash & { range: Hunk["range"] })[]): Clash | undefined {
  const lines = unix(now).split(/(?<=\n)/);
  const out: Clash = { base: "", ours: unix(now), theirs: "" };
  let next = 0;
  for (const { base, ours, theirs, range } of conflicts) {
    // A place without lines is named by the line before it; at the top of a file that may also be the first line.
    const [start, end] = ours === "" ? [range.end.line, range.end.line] : [range.start.line, range.end.line];
    if (start < next || (ours === "" && range.start.line === 0) || lines.slice(start, end).join("") !== unix(ours)) return undefined;
    const before = lines.slice(next, start).join("");
    out.base += before + unix(base);
    out.theirs += before + unix(theirs);
    next = end;
  }
  const rest = lines.slice(next).join("");
  return { ...out, base: out.base + rest, theirs: out.theirs + rest };
}

/** How many lines a set of hunks adds and removes. */
export function size(hunks: readonly Hunk[]): { added: number; removed: number } {
  const count = (mark: string) => hunks.reduce((sum, hunk) => sum + hunk.lines.filter((line) => line.startsWith(mark)).length, 0);
  return { added: count("+"), removed: count("-") };
}

/** What a hunk is called in a list: the function its header names, else its first changed line. */
export function title(hunk: Hunk): string {
  const section = /^@@[^@]*@@\s*(.+)$/.exec(hunk.header)?.[1];
  const changed = hunk.lines.find((line) => line.startsWith("+")) ?? hunk.lines.find((line) => line.startsWith("-"));
  return (section ?? changed?.slice(1) ?? hunk.id).trim();
}

/** Copies the hunk's own lines to `out` and gives the first base line after it. */
function place(hunk: Hunk, lines: readonly Line[], start: number, out: Line[], usual: string): number {
  const marked = hunk.lines.some((line) => line.startsWith("\\"));
  let at = start;
  let removedEnd: string | undefined;
  hunk.lines.forEach((line, index) => {
    const mark = line.charAt(0);
    const text = line.slice(1).replace(/\r$/, "");
    if (mark === "\\") return;
    if (mark === "+") {
      const bare = hunk.lines[index + 1]?.startsWith("\\") === true;
      const end = removedEnd || out.at(-1)?.end || lines[at]?.end || usual;
      out.push({ text, end: bare ? "" : end });
      return;
    }
    const base = lines[at];
    if (base === undefined || base.text !== text) throw new Mismatch(hunk.id);
    at += 1;
    if (mark === "-") removedEnd = base.end;
    else out.push(base);
  });
  // A server that leaves the "no newline" marks out: a last line that had no end keeps having none.
  const last = out.at(-1);
  if (!marked && removedEnd === "" && at === lines.length && last) out[out.length - 1] = { text: last.text, end: "" };
  return at;
}

function firstLine(hunk: Hunk): number {
  const match = /^@@ -(\d+)(?:,(\d+))? \+/.exec(hunk.header);
  if (!match) throw new Mismatch(hunk.id);
  const line = Number(match[1]);
  // `-0,0` and `-7,0` mean "after this line", every other start is the line itself.
  return match[2] === "0" ? line : line - 1;
}

function split(text: string): Line[] {
  const lines: Line[] = [];
  for (const match of text.matchAll(/([^\n]*?)(\r\n|\n|$)/g)) {
    const [whole, line = "", end = ""] = match;
    if (whole !== "") lines.push({ text: line, end });
  }
  return lines;
}
