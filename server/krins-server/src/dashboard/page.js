"use strict";
// The page of the dashboard. What it shows is in #data, and asked for again: of the server that it came from, of the
// editor that shows it, or, where it is a file, of nobody. Text from reports is only ever set as text.

const start = JSON.parse(document.querySelector("#data").textContent);
// A page that was written to a file stays as it is, also where an editor shows it.
const editor = start.live === "editor" && typeof acquireVsCodeApi === "function" ? acquireVsCodeApi() : null;
const live = start.live === "editor" && !editor ? "none" : start.live;
const byId = (id) => document.getElementById(id);
const root = document.documentElement;
let report = start.report;
let shown = "";

function el(name, given, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(given ?? {})) {
    if (value !== undefined && value !== null) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined).map((child) => (child instanceof Node ? child : visible(String(child)))));
  return made;
}

// Characters that are not seen, or turn the order of others round, are spelled out: which ones, the program says.
const unseen = new RegExp(`[${start.unseen}]`, "gu");
const visible = (text) => text.replace(unseen, (char) => `\\u{${char.codePointAt(0).toString(16)}}`);

// Numbers as a person reads them.

const whole = new Intl.NumberFormat("en");
const count = (number) => whole.format(number);
const several = (number, one, many) => `${count(number)} ${number === 1 ? one : many}`;
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const percent = (share) => (share === null ? "–" : `${(share * 100).toFixed(share === 1 || share === 0 ? 0 : 1)} %`);
function money(micros) {
  if (micros === null) return "not known";
  const dollars = micros / 1e6;
  if (dollars === 0) return "$0";
  const digits = dollars >= 1 ? 2 : Math.min(6, 1 - Math.floor(Math.log10(dollars)));
  return `$${dollars.toFixed(Math.max(2, digits))}`;
}
function time(millis) {
  if (millis === null) return "–";
  const seconds = millis / 1000;
  if (seconds < 1) return `${Math.round(millis)} ms`;
  if (seconds < 90) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const minutes = seconds / 60;
  return minutes < 90 ? `${minutes.toFixed(minutes < 10 ? 1 : 0)} min` : `${(minutes / 60).toFixed(1)} h`;
}
const days = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", day: "numeric", month: "short" });
const hours = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", hour: "2-digit", minute: "2-digit" });
const moments = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
// Of so many days back the buckets are days, also where the period is short.
const hourly = () => report.buckets.length > 1 && report.buckets[1].start - report.buckets[0].start < 86_400_000;
const bucketName = (start) => (hourly() ? hours : days).format(start);

// The tiles.

function tile(name, value, detail, tone) {
  return el("div", null, el("dt", null, name), el("dd", null, el("strong", { class: tone }, value), el("small", null, detail)));
}

function overview() {
  const { tasks, green, spent, cache } = report;
  const decided = tasks.accepted + tasks.rejected;
  const open = tasks.waiting + tasks.blocked;
  const prompt = cache.promptShare === null ? "" : `; ${percent(cache.promptShare)} of the prompts read from a provider's cache`;
  return [
    tile("Accepted share", percent(tasks.acceptedShare), decided ? `${count(tasks.accepted)} of ${several(decided, "decided change", "decided changes")}, ${count(open)} open` : "of changes that you apply, discard or undo"),
    tile("Time to green, p50", time(green.p50), green.count ? `of ${several(green.count, "change", "changes")} that passed the gate` : "from a task to a change that passes the gate"),
    tile("Time to green, p95", time(green.p95), green.count ? "19 of 20 are faster" : "the slowest of twenty"),
    tile("Cost", money(spent.micros === null ? spent.knownMicros : spent.micros), spent.unpriced ? `and ${several(spent.unpriced, "call", "calls")} without a known price` : several(spent.calls, "call", "calls") + (spent.elsewhereMicros ? `; ${money(spent.elsewhereMicros)} of tasks that are not on record here` : "")),
    tile("Cost per patch", spent.microsPerPatch === null ? "–" : money(spent.microsPerPatch), spent.microsPerAccepted === null ? "each change, applied or not" : `${money(spent.microsPerAccepted)} per accepted one`),
    tile("Tokens per patch", spent.tokensPerPatch === null ? "–" : short.format(spent.tokensPerPatch), `${short.format(spent.tokens.input + spent.tokens.cacheRead + spent.tokens.cacheWrite)} in, ${short.format(spent.tokens.output)} out${spent.estimated ? ", partly estimated" : ""}`),
    tile("Cache hits", percent(cache.share), cache.answers ? `${count(cache.hits)} of ${several(cache.answers, "answer", "answers")}${prompt}` : "of what models answered"),
    tile("Tasks", count(tasks.assigned), `${count(tasks.running)} running, ${count(tasks.failed)} failed, ${count(tasks.cancelled)} cancelled`),
  ];
}

// Charts: uPlot draws, a table beside says the same.

const bars = (size) => uPlot.paths.bars({ size: [size, 60], radius: 0 });
const charts = [
  {
    title: "Tasks",
    empty: "Here come the tasks that you assign, and what became of them. Assign one: krins assign \"rename a to b\".",
    kind: "stack",
    format: count,
    series: [
      { name: "accepted", color: "--good", of: (bucket) => bucket.accepted },
      { name: "open", color: "--one", of: (bucket) => bucket.open },
      { name: "rejected", color: "--care", of: (bucket) => bucket.rejected },
      { name: "without a change", color: "--rest", of: (bucket) => bucket.unanswered },
    ],
  },
  {
    title: "Time to green",
    empty: "Here comes how long a task takes until its change passes the gate.",
    kind: "line",
    format: time,
    series: [
      { name: "p50", color: "--one", of: (bucket) => bucket.green.p50 },
      { name: "p95", color: "--two", of: (bucket) => bucket.green.p95 },
    ],
  },
  {
    title: "Cost",
    empty: "Here comes what calls to models cost. The built-in refactorings cost nothing.",
    kind: "stack",
    format: money,
    series: [{ name: "cost", color: "--one", of: (bucket) => bucket.micros }],
  },
  {
    title: "Tokens",
    empty: "Here come the tokens that models read and write.",
    kind: "stack",
    format: (number) => short.format(number),
    series: [
      { name: "in", color: "--one", of: (bucket) => bucket.tokens.input + bucket.tokens.cacheWrite },
      { name: "in, from the provider's cache", color: "--good", of: (bucket) => bucket.tokens.cacheRead },
      { name: "out", color: "--two", of: (bucket) => bucket.tokens.output },
    ],
  },
];
const plots = new Map();
const opened = new Set();
const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
const fade = (hex) => hex + "26";

function chartCard(chart) {
  const id = `chart-${chart.title.toLowerCase().replaceAll(" ", "-")}`;
  const card = el("section", { class: "card", "aria-labelledby": id }, el("h2", { id }, chart.title));
  const values = chart.series.map((series) => report.buckets.map(series.of));
  if (values.flat().every((value) => !value)) {
    card.append(el("p", { class: "empty" }, chart.empty));
    return card;
  }
  const plot = el("div", { class: "plot", "aria-hidden": "true" });
  const reading = el("p", { class: "reading", "aria-hidden": "true" });
  const key = el("ul", { class: "key" });
  for (const series of chart.series) {
    const mark = el("i");
    mark.style.background = `var(${series.color})`;
    key.append(el("li", null, mark, series.name));
  }
  const details = el("details", null, el("summary", { id: `${id}-table` }, `Table: ${chart.title.toLowerCase()}`), bucketTable(chart, values));
  details.open = opened.has(chart.title);
  details.addEventListener("toggle", () => (details.open ? opened.add(chart.title) : opened.delete(chart.title)));
  card.append(key, plot, reading, details);
  waiting.push(() => draw(chart, values, plot, reading));
  return card;
}

function bucketTable(chart, values) {
  const head = el("tr", null, el("th", { scope: "col" }, hourly() ? "Hour (UTC)" : "Day (UTC)"), ...chart.series.map((series) => el("th", { scope: "col" }, series.name)));
  const rows = report.buckets.map((bucket, at) => el("tr", null, el("th", { scope: "row" }, bucketName(bucket.start)), ...values.map((of) => el("td", null, of[at] === null ? "–" : chart.format(of[at])))));
  return scrolling(chart.title, el("table", null, el("caption", null, `${chart.title}, ${hourly() ? "by the hour" : "by the day"}`), el("thead", null, head), el("tbody", null, ...rows)));
}

// A table that is wider than the window is moved by keyboard, too.
const scrolling = (name, table) => el("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": `${name}, table` }, table);

function draw(chart, values, place, reading) {
  const x = report.buckets.map((_, at) => at);
  const stacked = chart.kind === "stack";
  // What is on top is drawn first: each bar begins at the ground.
  const sums = values.map((_, upTo) => x.map((at) => values.slice(0, upTo + 1).reduce((sum, of) => sum + (of[at] ?? 0), 0)));
  const order = chart.series.map((_, at) => at);
  if (stacked) order.reverse();
  const ink = colour("--soft");
  const line = colour("--line");
  const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "12px system-ui" };
  const top = Math.max(...(stacked ? sums.at(-1) : values.flat().map((value) => value ?? 0)));
  const options = {
    width: place.clientWidth || 400,
    height: 190,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false } },
    scales: { x: { time: false, range: [-0.6, x.length - 0.4] }, y: { range: [0, top * 1.08] } },
    axes: [
      { ...axis, grid: { show: false }, incrs: [1, 2, 3, 5, 7, 10], values: (_, at) => at.map((tick) => (report.buckets[tick] ? bucketName(report.buckets[tick].start) : "")) },
      { ...axis, size: 62, values: (_, at) => at.map((tick) => (chart.format === count && tick % 1 ? "" : chart.format(tick))) },
    ],
    series: [
      {},
      ...order.map((at) => {
        const ink = colour(chart.series[at].color);
        return stacked ? { fill: ink, stroke: ink, width: 0, paths: bars(0.7), points: { show: false } } : { stroke: ink, width: 2, spanGaps: true, points: { show: true, size: 6, fill: ink }, fill: fade(ink) };
      }),
    ],
    hooks: {
      setCursor: [
        (plot) => {
          const at = plot.cursor.idx;
          reading.textContent = at === null || at === undefined ? "" : `${bucketName(report.buckets[at].start)}: ${chart.series.map((series, of) => `${series.name} ${values[of][at] === null ? "–" : chart.format(values[of][at])}`).join(", ")}`;
        },
      ],
    },
  };
  const data = [x, ...order.map((at) => (stacked ? sums[at] : values[at]))];
  plots.set(place, new uPlot(options, data, place));
}

// Tables.

function table(title, columns, rows, empty) {
  const id = `table-${title.toLowerCase().replace(/[^a-z]+/g, "-")}`;
  const card = el("section", { class: "card", "aria-labelledby": id }, el("h2", { id }, title));
  if (!rows.length) {
    card.append(el("p", { class: "empty" }, empty));
    return card;
  }
  const head = el("tr", null, ...columns.map(([name, kind]) => el("th", { scope: "col", class: kind }, name === "" ? el("span", { class: "hidden" }, "Share") : name)));
  const body = rows.map((row) => el("tr", null, ...row.map((cell, at) => el(at ? "td" : "th", { scope: at ? null : "row", class: columns[at][1] }, cell))));
  card.append(scrolling(title, el("table", null, el("thead", null, head), el("tbody", null, ...body))));
  return card;
}

function bar(part, of) {
  const made = el("span", { class: "bar" });
  made.style.width = `${of ? Math.round((part / of) * 100) : 0}%`;
  return made;
}

function causes(title, causes, what, empty) {
  const most = Math.max(1, ...causes.map((cause) => cause.tasks));
  return table(title, [[what, "words"], ["Tasks", null], ["", "bar-cell"]], causes.map((cause) => [cause.name, count(cause.tasks), bar(cause.tasks, most)]), empty);
}

const stateTone = { closed: "good", resting: "care", "half-open": "care", open: "bad", disabled: "bad" };
const stateWords = { closed: "closed: well", resting: "resting", "half-open": "half open: one call tries it", open: "open: not asked", disabled: "disabled: a person has to do something" };

function routesCard() {
  const { routes } = report;
  const off = new Set(routes.switchedOff);
  const known = new Set(routes.routes.map((route) => route.route.split("/")[0]));
  const rows = [
    ...routes.routes.map((route) => [
      route.route,
      off.has("all") || off.has(route.route.split("/")[0]) ? el("span", { class: "bad" }, "switched off") : el("span", { class: stateTone[route.state] }, stateWords[route.state] ?? route.state),
      [route.cause ? `it ${route.cause}` : "", route.seconds ? `again in ${count(route.seconds)} s` : ""].filter(Boolean).join("; "),
    ]),
    ...routes.switchedOff.filter((name) => !known.has(name)).map((name) => [name, el("span", { class: "bad" }, "switched off"), "krins switch on brings it back"]),
    ...routes.remote.map((check) => [`remote: ${check.name}`, el("span", { class: check.ok ? "good" : "bad" }, check.ok ? "well" : "not well"), check.detail ?? ""]),
  ];
  const made = table("Routes and breakers", [["Route", "words"], ["State", "words"], ["Why", "words"]], rows, "Here comes how each way to a model is, as soon as one was asked: closed is well, open is not asked for a while.");
  if (routes.at !== null && routes.routes.length) {
    const level = routes.level === "normal" ? "" : `; saving load: ${routes.level}`;
    made.append(el("p", { class: "empty" }, `As of ${moments.format(routes.at)} UTC${level}`));
  }
  return made;
}

function tables() {
  const { agents, blocks, failures, objectives } = report;
  const agentRows = agents.map((agent) => [
    agent.route,
    count(agent.patches),
    agent.patches ? `${count(agent.accepted)} (${percent(agent.accepted / agent.patches)})` : "–",
    time(agent.green.p50),
    time(agent.green.p95),
    count(agent.calls) + (agent.failed ? `, ${count(agent.failed)} failed` : ""),
    agent.tokensPerPatch === null ? "–" : short.format(agent.tokensPerPatch),
    money(agent.micros),
    agent.microsPerPatch === null ? "–" : money(agent.microsPerPatch),
  ]);
  const agentColumns = [["Agent", "words"], ["Patches", null], ["Accepted", null], ["Green p50", null], ["p95", null], ["Calls", null], ["Tokens per patch", null], ["Cost", null], ["Cost per patch", null]];
  const objectiveRows = objectives.map((objective) => {
    const met = objective.reached === null ? null : objective.reached >= objective.objective;
    return [
      objective.description,
      `${objective.objective} %`,
      el("span", { class: met === null ? null : met ? "good" : "bad" }, met === null ? "no event yet" : `${objective.reached.toFixed(2)} %, ${met ? "met" : "missed"}`),
      objective.budgetLeft === null ? "–" : percent(Math.max(-9.99, objective.budgetLeft)),
      count(objective.total),
    ];
  });
  const made = [
    table("Agents", agentColumns, agentRows, "Here comes who wrote your changes: each model, or the built-in refactorings, with patches, tokens and cost."),
    table("Objectives, over 30 days", [["Objective", "words"], ["Asked", null], ["Reached", null], ["Budget left", null], ["Events", null]], objectiveRows, ""),
    causes("Blocked by the gate", blocks, "Rule", "Here come the rules for which the gate blocked a change. It has blocked none in this period."),
    causes("Ended without a change", failures, "Reason", "Here come the reasons for which tasks ended without a change. There was none in this period."),
    routesCard(),
  ];
  made[0].classList.add("wide");
  return made;
}

// The whole.

let waiting = [];
let shownRoutes = "";

// What passes by itself is no reason to draw the rest anew.
function showRoutes() {
  const now = JSON.stringify(report.routes);
  const card = byId("tables").lastElementChild;
  if (now === shownRoutes || card.contains(document.activeElement)) return;
  shownRoutes = now;
  const made = routesCard();
  const left = card.querySelector(".scroll")?.scrollLeft;
  card.replaceWith(made);
  if (left) made.querySelector(".scroll").scrollLeft = left;
}

function show(again) {
  const { until, ...rest } = report;
  byId("when").textContent = `${moments.format(report.since)} to ${moments.format(until)} UTC`;
  const now = JSON.stringify(rest, (key, value) => (key === "seconds" || key === "at" ? undefined : value));
  if (now === shown && !again) {
    showRoutes();
    return false;
  }
  shown = now;
  shownRoutes = JSON.stringify(report.routes);
  waiting = [];
  for (const plot of plots.values()) plot.destroy();
  plots.clear();
  document.title = `Krins: ${visible(report.workspace)}`;
  byId("workspace").textContent = visible(report.workspace);
  for (const radio of document.querySelectorAll("input[name=period]")) radio.checked = radio.value === report.period;
  // Where somebody is reading with the keyboard stays where it was.
  const held = document.activeElement;
  const focus = held?.id || held?.getAttribute("aria-label");
  byId("overview").replaceChildren(...overview());
  byId("charts").replaceChildren(...charts.map(chartCard));
  byId("tables").replaceChildren(...tables());
  byId("notes").replaceChildren(...report.notes.map((note) => el("li", null, note)));
  byId("notes-section").hidden = !report.notes.length;
  if (focus) (byId(focus) ?? document.querySelector(`[aria-label="${CSS.escape(focus)}"]`))?.focus();
  // Numbers first: charts are drawn when they can be seen.
  const works = waiting;
  requestAnimationFrame(() =>
    setTimeout(() => {
      if (works === waiting) for (const work of works) work();
      performance.mark("drawn");
    }),
  );
  return true;
}

const say = (text) => {
  if (byId("state").textContent !== text) byId("state").textContent = text;
};

// Asking again.

// An editor may lose a message while the page is hidden: what is out for so long is not waited for any more.
const LONGEST = 30_000;
let asked = 0;
let askedAt = -Infinity;
let period = start.report.period;

function take(number, fresh) {
  if (number !== asked) return;
  askedAt = -Infinity;
  const changed = fresh.period !== report.period;
  report = fresh;
  say(show(false) && changed ? `Figures of the last ${report.period}` : byId("state").dataset.lost ? "Back again" : byId("state").textContent);
  delete byId("state").dataset.lost;
}

function lost(number, why) {
  if (number !== asked) return;
  askedAt = -Infinity;
  byId("state").dataset.lost = "yes";
  say(why);
}

async function ask() {
  const number = ++asked;
  askedAt = performance.now();
  if (live === "editor") {
    editor.postMessage({ krins: "report", id: number, params: { period } });
    return;
  }
  try {
    const answer = await fetch(`report?period=${period}`, { signal: AbortSignal.timeout(20000) });
    const body = await answer.json();
    if (answer.ok) take(number, body);
    else lost(number, body.message ?? "The figures could not be read");
  } catch {
    lost(number, "Krins does not answer; these figures are the last it gave");
  }
}

// Not while an answer is out: only that of the last question is taken.
function askAgain() {
  if (!document.hidden && performance.now() - askedAt >= LONGEST) void ask();
}

if (live === "editor") {
  window.addEventListener("message", ({ data }) => {
    if (data?.krins === "refresh") void ask();
    if (data?.krins === "report" && data.result) take(data.id, data.result);
    if (data?.krins === "report" && data.error) lost(data.id, data.error.message ?? "The figures could not be read");
  });
}
if (live !== "none") {
  byId("periods").addEventListener("change", (event) => {
    period = event.target.value;
    void ask();
  });
  setInterval(askAgain, start.every * 1000);
  document.addEventListener("visibilitychange", askAgain);
} else {
  byId("periods").hidden = true;
}
byId("periods").addEventListener("submit", (event) => event.preventDefault());
byId("licence").textContent = start.licence;

// Light and dark: the editor's theme where one shows the page, else the system's.
function theme() {
  const kind = document.body.dataset.vscodeThemeKind ?? "";
  if (kind) {
    root.classList.toggle("dark", kind.includes("dark") || kind === "vscode-high-contrast");
    root.classList.toggle("light", !kind.includes("dark") && kind !== "vscode-high-contrast");
  }
}
theme();
new MutationObserver(() => {
  theme();
  show(true);
}).observe(document.body, { attributes: true, attributeFilter: ["data-vscode-theme-kind"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show(true));
new ResizeObserver(() => {
  for (const [place, plot] of plots) plot.setSize({ width: place.clientWidth, height: 190 });
}).observe(byId("charts"));
show(true);
