// From a fresh VS Code with the packed extension to the first applied diff, without a key and without a folder: two actions. Says how
// long it took, how long the extension took to activate, and how soon its panel was drawn: `node first.mjs [RUNS]`.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { start, until } from "./driver.mjs";

const RUNS = Number(process.argv[2] ?? 1);
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const figures = { applied: [], activated: [], painted: [] };

/** The extension's own log, wherever VS Code put it. */
function log(base) {
  const file = readdirSync(join(base, "data/logs"), { recursive: true }).find((name) => name.endsWith("Krins.log"));
  return file ? readFileSync(join(base, "data/logs", file), "utf8") : "";
}

for (let run = 0; run < RUNS; run += 1) {
  const vscode = await start({ folder: false, settings: { "security.workspace.trust.enabled": true } });
  try {
    await vscode.ready();
    const begun = Date.now();
    await vscode.palette("Krins: Try It on a Sample");
    await vscode.answer(/9 files/, "Apply All");
    const sample = join(vscode.base, "data/User/globalStorage/krins.krins/sample/src/model/progress.ts");
    await until("the sample is changed", () => readFileSync(sample, "utf8").includes("completionRate"));
    figures.applied.push(Date.now() - begun);
    await vscode.shot("first");
    const shown = Date.now();
    await vscode.palette("Krins: Show the Quality Gate");
    const frame = await vscode.webview("#root");
    const painted = await until("it is painted", () => frame.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime));
    figures.painted.push(Math.round(painted));
    const activated = /activated in (\d+) ms/.exec(log(vscode.base))?.[1];
    if (activated) figures.activated.push(Number(activated));
    process.stdout.write(`ok ${run + 1} - two actions: applied after ${figures.applied.at(-1)} ms; activated in ${activated ?? "?"} ms; panel painted ${Math.round(painted)} ms after its page began, ${Date.now() - shown} ms after it was asked for\n`);
  } catch (error) {
    await vscode.shot("broken-first");
    process.stdout.write(`not ok ${run + 1} - ${String(error.stack).split("\n").slice(0, 4).join(" | ")}\n`);
    process.exitCode = 1;
  } finally {
    await vscode.stop();
  }
}
process.stdout.write(`# medians of ${figures.applied.length}: applied ${median(figures.applied)} ms, activated ${median(figures.activated)} ms, painted ${median(figures.painted)} ms\n`);
