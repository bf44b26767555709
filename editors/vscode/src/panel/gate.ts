// The gate's panel in its webview: draws what it is told, tells what was pressed. Text only ever becomes text.

import type { FromPanel, GateView, ToPanel } from "./messages";

declare function acquireVsCodeApi(): { postMessage(message: FromPanel): void };

const code = acquireVsCodeApi();
const MARKS = { pass: "✓", warn: "!", block: "✕", running: "…", waiting: "·" } as const;
const WORDS = { pass: "passed", warn: "warned", block: "blocks", running: "running", waiting: "waiting" } as const;

type Child = Node | string | false | undefined;

function element<K extends keyof HTMLElementTagNameMap>(tag: K, attributes: Record<string, string>, ...children: Child[]): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter((child): child is Node | string => child !== undefined && child !== false));
  return made;
}

function button(label: string, message: FromPanel, more: Record<string, string> = {}): HTMLButtonElement {
  const made = element("button", { type: "button", "data-key": `${label} ${JSON.stringify(message)}`, ...more }, label);
  made.addEventListener("click", () => code.postMessage(message));
  return made;
}

function mark(state: keyof typeof MARKS): HTMLElement {
  return element("span", { class: `mark ${state}`, "aria-hidden": "true" }, MARKS[state]);
}

function draw(view: GateView | undefined): void {
  const root = document.getElementById("root");
  const said = document.getElementById("said");
  if (!root || !said) return;
  const focused = document.activeElement?.getAttribute("data-key");
  root.replaceChildren(...(view ? content(view) : [element("p", { class: "empty" }, "Ask for a change, and what the gate finds in it appears here, check by check.")]));
  const words = view ? `${verdict(view)} ${view.intent} ${view.error ?? ""}` : "";
  // Told to a screen reader only when it is another.
  if (said.textContent !== words) said.textContent = words;
  // A drawing anew keeps the focus where it was.
  if (focused) [...root.querySelectorAll<HTMLElement>("[data-key]")].find((each) => each.getAttribute("data-key") === focused)?.focus();
}

function time(millis: number): string {
  return millis < 1 ? "under 1 ms" : millis < 10_000 ? `${Math.round(millis)} ms` : `${Math.round(millis / 1000)} s`;
}

function verdict({ verdict, progress, findings, state }: GateView): string {
  if (progress !== undefined) return progress;
  switch (verdict) {
    case "pass":
      return "The gate lets it pass.";
    case "warn":
      return `The gate lets it pass, with ${findings.length} ${findings.length === 1 ? "remark" : "remarks"}.`;
    case "block":
      return "The gate blocks it.";
    default:
      return state === "failed" ? "It failed." : state === "cancelled" ? "It was cancelled." : "Not judged yet.";
  }
}

function content(view: GateView): Node[] {
  const running = view.progress !== undefined;
  const actions = [
    running ? button("Cancel", { type: "cancel", task: view.task }) : undefined,
    !running && view.verdict !== undefined ? button("Show the Diff", { type: "review", task: view.task }) : undefined,
    !running && view.fixable ? button("Have It Mended", { type: "fix", task: view.task }, { class: "first" }) : undefined,
    !running && view.waiting && view.verdict !== undefined ? button("Judge Again", { type: "again", task: view.task }) : undefined,
  ];
  return [
    element("h2", { class: `verdict ${running ? "running" : (view.verdict ?? "waiting")}` }, mark(running ? "running" : (view.verdict ?? "waiting")), ` ${verdict(view)}`),
    element("p", { class: "intent" }, view.intent),
    view.error !== undefined && !running ? element("p", { class: "quiet" }, view.error) : undefined,
    element("div", { class: "actions" }, ...actions),
    ...section("Findings", view.findings.map((each) => finding(each, view.waiting))),
    ...section("Checks", view.checks.map(({ check, state, millis }) => element("li", { class: "check" }, mark(state), element("span", {}, ` ${check} `), element("span", { class: "quiet" }, `${WORDS[state]}${millis === undefined ? "" : `, ${time(millis)}`}`)))),
    ...section("Commands", view.runs.map(({ command, end, sandbox, millis, note }) => element("li", {}, element("code", {}, command), element("div", { class: "quiet" }, `${end} · sandbox ${sandbox} · ${time(millis)}${note ? ` · ${note}` : ""}`)))),
    ...section("Rounds", view.rounds.map(({ number, verdict, blocking, route, stopped }) => element("li", {}, mark(verdict), ` ${number === 0 ? "first answer" : `round ${number}`} `, element("span", { class: "quiet" }, `${route}, ${blocking} blocking${stopped ? `; ${stopped}` : ""}`)))),
    ...section("Waived", view.waived.map(({ finding: { rule, path, message }, reason, expires }) => element("li", {}, element("div", {}, `${rule} in ${path}: ${message}`), element("div", { class: "quiet" }, `until ${expires}: ${reason}`)))),
  ].filter((node): node is HTMLElement => node !== undefined);
}

function section(name: string, items: HTMLElement[]): HTMLElement[] {
  if (items.length === 0) return [];
  return [element("h3", {}, `${name} (${items.length})`), element("ul", { "aria-label": name }, ...items)];
}

function finding({ rule, verdict, path, lines, message, fix, link }: GateView["findings"][number], waiting: boolean): HTMLElement {
  const line = lines?.[0] ?? 1;
  const place = lines ? `${path}:${line}` : path;
  return element(
    "li",
    { class: "finding" },
    element("div", {}, mark(verdict), element("span", { class: "hidden" }, WORDS[verdict]), ` ${message}`),
    fix ? element("div", { class: "quiet" }, fix) : undefined,
    element(
      "div",
      { class: "actions" },
      button(place, { type: "open", path, line }, { class: "link", title: `Open ${place}` }),
      link ? button(rule, { type: "link", link }, { class: "link", title: "How this is judged" }) : element("code", {}, rule),
      waiting && button("Waive…", { type: "waive", rule, path }, { "aria-label": `Waive ${rule} in ${path}` }),
    ),
  );
}

window.addEventListener("message", ({ data }: MessageEvent<ToPanel>) => {
  if (data.type === "show") draw(data.view);
});
code.postMessage({ type: "ready" });
