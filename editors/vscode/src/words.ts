// Figures and states in words. Knows nothing of VS Code.

import type { ContextResult, TaskState } from "./protocol";

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

export function contextTitle({ items, tokens, pruned, estimate }: ContextResult): string {
  const left = pruned.length > 0 ? `, ${plural(pruned.length, "file")} left out` : "";
  const price = money(estimate.micros);
  return `${plural(items.length, "piece")}, ${plural(tokens, "token")}${price ? `, ${price}` : ""}${left}`;
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
