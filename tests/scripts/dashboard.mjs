// Uses the dashboard in a browser as a person would, by keyboard too, and lets axe-core judge it.
//
//   PLAYWRIGHT=…/node_modules/playwright-core AXE=…/node_modules/axe-core/axe.min.js CHROMIUM=/usr/bin/chromium \
//     node dashboard.mjs served|editor|file ADDRESS [SHOTS]
//
// `served` is what `krins dashboard --no-open` prints; `file` what `--html` wrote; `editor` the html of `krins/dashboard`
// in a file: the script plays the editor then. Exits 1 when something does not work: an error or a policy violation, a
// request to somebody else, a control that is not reached by keyboard, a serious finding of axe, half a second of
// processor until everything is drawn; with PAINT=500, a first paint later than that, for a machine at rest. With SHOTS, a directory, it leaves pictures there.

import { createRequire } from "node:module";
import { readFileSync, statSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const { chromium } = createRequire(import.meta.url)(process.env.PLAYWRIGHT ?? "playwright-core");
const axe = readFileSync(process.env.AXE, "utf8");
const [home, address, shots] = process.argv.slice(2);
const url = home === "served" ? address : pathToFileURL(path.resolve(address)).href;
const origin = home === "served" ? new URL(url).origin : url;
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox", "--disable-gpu"] });
let failures = 0;
const say = (text) => process.stdout.write(`${text}\n`);
const check = (holds, what) => {
  if (holds) return;
  failures += 1;
  say(`FAILED ${what}`);
};
// The editor's side of the messages.
const editor = () => {
  const state = { asked: [], answer: null };
  window.krinsTest = state;
  window.acquireVsCodeApi = () => ({
    postMessage(message) {
      state.asked.push(message);
      const report = JSON.parse(document.querySelector("#data").textContent).report;
      const result = { ...report, period: message.params.period, workspace: "from the editor" };
      setTimeout(() => window.postMessage({ krins: "report", id: message.id, result }, "*"), 10);
    },
  });
};
const open = async (options = {}) => {
  const { bypassCSP, ...rest } = options;
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, bypassCSP, ...rest });
  const tab = await context.newPage();
  if (home === "editor") await tab.addInitScript(editor);
  tab.on("console", (message) => ["error", "warning"].includes(message.type()) && check(false, `console: ${message.text()}`));
  tab.on("pageerror", (error) => check(false, `error: ${error.message}`));
  tab.on("request", (request) => check(request.url().startsWith(origin), `request: ${request.url()}`));
  await tab.goto(url);
  await tab.waitForFunction(() => performance.getEntriesByName("drawn").length > 0);
  return tab;
};
const quantile = (values, q) => values.slice().sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))];

for (const colorScheme of ["light", "dark"]) {
  for (const width of [1280, 400]) {
    // axe is put into the page, which its policy forbids to everybody: only here it is not held to it.
    const tab = await open({ colorScheme, bypassCSP: true, viewport: { width, height: 900 } });
    for (const details of await tab.locator("details").all()) await details.evaluate((element) => (element.open = true));
    await tab.evaluate(axe);
    const found = await tab.evaluate(() => window.axe.run(document, { resultTypes: ["violations", "incomplete"] }));
    for (const violation of found.violations) {
      const where = violation.nodes.slice(0, 3).map((node) => node.target.join(" ")).join(" | ");
      const bad = ["serious", "critical"].includes(violation.impact);
      if (bad) check(false, `axe, ${colorScheme} ${width}: ${violation.id}: ${violation.help}: ${where}`);
      else say(`axe, ${colorScheme} ${width}, ${violation.impact}: ${violation.id}: ${where}`);
    }
    say(`axe, ${colorScheme} ${width}: ${found.passes.length} rules hold, ${found.violations.length} do not`);
    check(await tab.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), `nothing is wider than the window at ${width}`);
    if (shots) await tab.screenshot({ path: path.join(shots, `${home}-${colorScheme}-${width}.png`), fullPage: true });
    await tab.context().close();
  }
}
{
  const tab = await open();
  const charts = await tab.locator(".plot canvas").count();
  const tables = await tab.locator("section table").count();
  say(`${charts} charts, ${tables} tables`);
  check((await tab.locator(".plot").count()) === (await tab.locator("#charts table").count()), "every chart has its table");
  await tab.keyboard.press("Tab");
  check(await tab.evaluate(() => document.activeElement.matches(".skip")), "the first stop is the link to the figures");
  if (home !== "file") {
    const chosen = () => tab.evaluate(() => document.querySelector("input[name=period]:checked").value);
    const before = await chosen();
    await tab.keyboard.press("Tab");
    await tab.keyboard.press("ArrowRight");
    await tab.waitForFunction((before) => document.querySelector("input[name=period]:checked").value !== before && document.querySelector("#state").textContent !== "", before);
    check((await tab.locator("#state").textContent()) === `Figures of the last ${await chosen()}`, "the change is said");
  }
  if (home === "editor") {
    await tab.waitForFunction(() => document.querySelector("#workspace").textContent === "from the editor");
    const asked = await tab.evaluate(() => window.krinsTest.asked.length);
    await tab.evaluate(() => window.postMessage({ krins: "refresh" }, "*"));
    await tab.waitForFunction((asked) => window.krinsTest.asked.length > asked, asked);
    await tab.evaluate(() => (document.body.dataset.vscodeThemeKind = "vscode-dark"));
    await tab.waitForFunction(() => document.documentElement.classList.contains("dark"));
    const held = () => tab.evaluate(() => document.activeElement.textContent);
    for (const [at, theme] of [["#charts summary", "light"], ["#tables .scroll", "dark"]]) {
      await tab.locator(at).first().focus();
      const words = await held();
      await tab.evaluate((theme) => (document.body.dataset.vscodeThemeKind = `vscode-${theme}`), theme);
      await tab.waitForFunction((theme) => document.documentElement.classList.contains(theme), theme);
      check((await held()) === words, `${at} keeps the keys when the page is drawn anew`);
    }
  }
  for (const summary of await tab.locator("#charts summary").all()) {
    await summary.focus();
    await tab.keyboard.press("Enter");
  }
  check((await tab.locator("#charts details:not([open])").count()) === 0, "tables open by keyboard");
  await tab.setViewportSize({ width: 700, height: 800 });
  await tab.waitForTimeout(200);
  check(await tab.evaluate(() => [...document.querySelectorAll(".plot")].every((plot) => plot.querySelector(".uplot").clientWidth === plot.clientWidth)), "charts follow the window");
  if (process.env.EXPECT) {
    const text = await tab.locator("main").innerText();
    for (const words of process.env.EXPECT.split("|")) check(text.includes(words), `it says ${words}`);
  }
  await tab.context().close();
}
// What a page without anything takes is the browser's, and the load's of the machine.
const paint = async (tab) => {
  await tab.waitForFunction(() => performance.getEntriesByName("first-contentful-paint").length > 0);
  return tab.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0].startTime);
};
const empty = [], worked = [], scripted = [];
const painted = [], drawn = [];
const loads = Number(process.env.LOADS ?? 7);
for (let load = 0; load < loads; load++) {
  const bare = await browser.newPage();
  await bare.goto("data:text/html,<p>x");
  empty.push(await paint(bare));
  await bare.close();
  const tab = await open();
  painted.push(await paint(tab));
  // The same once more, and the processor's own time is counted.
  const inspector = await tab.context().newCDPSession(tab);
  await inspector.send("Performance.enable", { timeDomain: "threadTicks" });
  const spent = async () => Object.fromEntries((await inspector.send("Performance.getMetrics")).metrics.map((metric) => [metric.name, metric.value * 1000]));
  const before = await spent();
  await tab.reload();
  await tab.waitForFunction(() => performance.getEntriesByName("drawn").length > 0);
  const after = await spent();
  worked.push(after.TaskDuration - before.TaskDuration);
  scripted.push(after.ScriptDuration - before.ScriptDuration);
  drawn.push(await tab.evaluate(() => performance.getEntriesByName("drawn")[0].startTime));
  await tab.context().close();
}
say(`first contentful paint: best ${Math.min(...painted).toFixed(0)} ms, median ${quantile(painted, 0.5).toFixed(0)} (of a page with one word: ${Math.min(...empty).toFixed(0)}, ${quantile(empty, 0.5).toFixed(0)}); charts drawn: median ${quantile(drawn, 0.5).toFixed(0)} ms (${loads} loads)`);
// A clock on the wall tells of everything that the machine does: it is for a machine at rest.
if (process.env.PAINT) check(quantile(painted, 0.5) < Number(process.env.PAINT), `the first paint comes within ${process.env.PAINT} ms`);
say(`processor time of the page until everything is drawn: median ${quantile(worked, 0.5).toFixed(0)} ms, of that script ${quantile(scripted, 0.5).toFixed(0)}`);
check(quantile(worked, 0.5) < 500, "the page takes less than 500 ms of its processor until everything is drawn");
if (home !== "served") say(`page ${(statSync(path.resolve(address)).size / 1024).toFixed(0)} KiB`);
await browser.close();
process.exitCode = failures ? 1 : 0;
