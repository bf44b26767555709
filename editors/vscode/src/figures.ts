// What the server says of itself, in words, and how long that stays so. Knows nothing of VS Code.

import type { StatusResult } from "./protocol";
import { budgetInWords, plural } from "./words";

/** Seconds: how often it is looked again while a route rests, and a day. */
const SOON = 10;
const DAY = 86_400;

export function statusInWords(status: StatusResult | undefined): string {
  if (!status) return "ready";
  const { version, provider, model, index, cacheHits, cacheMisses } = status;
  const parts = [`krins ${version}`, model ? `${provider}/${model}` : provider];
  parts.push(index.ready ? `${plural(index.files, "file")}, ${plural(index.symbols, "symbol")}` : "reading the workspace");
  if (cacheHits + cacheMisses > 0) parts.push(`cache: ${cacheHits} of ${cacheHits + cacheMisses} answered`);
  const budget = budgetInWords(status.spent);
  if (budget) parts.push(budget);
  return [...parts, ...troubles(status)].join(" · ");
}

/** Seconds until the figures may say something else though nothing happens: who rests is asked again, a day (UTC) ends. */
export function changesIn(status: StatusResult | undefined, now: number): number | undefined {
  if (!status) return undefined;
  const { routes = [], level = "normal", spent } = status;
  const resting = routes.filter(({ state }) => state !== "closed" && state !== "disabled").map(({ seconds }) => Math.max(1, seconds ?? SOON));
  if (resting.length > 0 || (level !== "normal" && level !== "")) return Math.min(SOON, ...resting);
  return spent ? DAY - (Math.floor(now / 1000) % DAY) : undefined;
}

/** What keeps a model from being asked as usual: routes that rest, what is switched off, what is left out. */
export function troubles(status: StatusResult | undefined): string[] {
  if (!status) return [];
  const { routes = [], switchedOff = [], level = "normal", spent } = status;
  const bad = routes.filter(({ state }) => state !== "closed");
  const out: string[] = bad.map(({ route, state, cause, seconds }) => `${route} ${cause ?? `is ${state}`}${seconds ? `, asked again in ${seconds} s` : ""}`);
  if (switchedOff.length > 0) out.push(`switched off: ${switchedOff.join(", ")}`);
  if (level !== "normal" && level !== "") out.push(`for now: ${level}`);
  if (spent?.perDay != null && spent.today >= spent.perDay) out.push("the day's budget is spent");
  return out;
}
