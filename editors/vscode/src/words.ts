// Figures and states in words. Knows nothing of VS Code.

import type { ContextResult, TaskState } from "./protocol";

/** Words for a message, in which VS Code would make a link, or a button that runs a command, of `[words](target)`. */
export function withoutLinks(text: string): string {
  return text.replaceAll("](", "]\u200b(");
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

/** Millionths of a US dollar. */
export function money(micros: number | null | undefined): string | undefined {
  if (micros === null || micros === undefined) return undefined;
  if (micros === 0) return "free";
  return micros < 100 ? "less than $0.0001" : `about $${(micros / 1e6).toFixed(micros < 100_000 ? 4 : 2)}`;
}

export function stateInWords(state: TaskState): string {
  switch (state) {
    case "queued":
      return "waiting";
    case "context":
      return "choosing the code to send";
    case "asking":
      return "asking";
    case "gating":
      return "checking the answer";
    default:
      return state;
  }
}

export function isRunning(state: TaskState): boolean {
  return state === "queued" || state === "context" || state === "asking" || state === "gating";
}

/** It waits for a person's word. */
export function isWaiting(state: TaskState): boolean {
  return state === "ready" || state === "blocked";
}

export function contextTitle({ items, tokens, pruned, estimate }: ContextResult): string {
  const left = pruned.length > 0 ? `, ${plural(pruned.length, "file")} left out` : "";
  const price = money(estimate.micros);
  return `${plural(items.length, "piece")}, ${plural(tokens, "token")}${price ? `, ${price}` : ""}${left}`;
}

/** What a scope would send, on one line. */
export function estimateInWords({ items, tokens, estimate, partial }: ContextResult): string {
  const files = new Set(items.map(({ uri }) => uri)).size;
  const price = money(estimate.micros) ?? "price not known";
  return `${plural(files, "file")}, ${plural(tokens, "token")}, ${price}${partial ? ", still reading" : ""}`;
}

/** `1-20, 45` */
export function rangesInWords(ranges: readonly (readonly number[])[]): string {
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(", ");
}

/** Newest first, each once, at most `limit`. */
export function remember(history: readonly string[], intent: string, limit = 50): string[] {
  return [intent, ...history.filter((known) => known !== intent)].slice(0, limit);
}

export function shorten(text: string, length = 60): string {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length <= length ? line : `${line.slice(0, length - 1)}…`;
}

/** `just now`, `5 min ago`, `3 h ago`, `2 days ago`. */
export function ago(then: number, now: number): string {
  const minutes = Math.floor(Math.max(0, now - then) / 60_000);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ago`;
  return `${Math.floor(minutes / 1440)} days ago`;
}

/** `45 min`, `2 h`: how much is left of a lease. */
export function left(millis: number): string {
  const minutes = Math.max(1, Math.round(millis / 60_000));
  return minutes < 90 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}

/** What was spent today of what may be: `$0.12 of $5.00 today`; nothing when nothing is counted. */
export function budgetInWords(spent: { today: number; perDay?: number | null } | null | undefined): string | undefined {
  if (!spent) return undefined;
  const dollars = (micros: number) => `$${(micros / 1e6).toFixed(2)}`;
  if (spent.perDay !== null && spent.perDay !== undefined) return `${dollars(spent.today)} of ${dollars(spent.perDay)} today`;
  return spent.today > 0 ? `${dollars(spent.today)} today` : undefined;
}
