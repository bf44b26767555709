// From a fresh VS Code with the packed extension to the first applied diff, without a key and without a folder: two actions. Says how
// long it took, how long the extension took to activate, and how soon its panel was drawn: `node first.mjs [RUNS]`.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { start, until } from "./driver.mjs";

const RUNS = Number(process.argv[2] ?? 1);
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const figures = { applied: [], activated: [], painted: [] };

/**
 * What VS Code itself says of how long each extension took: the reading of its code, and the call. The list shows the slowest first
 * and draws what is in sight only, so it is gone through.
 */
async function activations({ page, palette }) {
  await palette("Developer: Show Running Extensions");
  const took = new Map();
  const list = await page.waitForSelector(".runtime-extensions-editor .monaco-list");
  await until("Krins among the extensions that run", async () => {
    const rows = await page.$$eval(".runtime-extensions-editor .extension", (all) => all.map((each) => [each.querySelector(".name")?.textContent ?? "", each.textContent ?? ""]));
    for (const [name, text] of rows) {
      const said = /Activation: (\d+)ms/.exec(text)?.[1];
      if (said !== undefined) took.set(name, Number(said));
    }
    if (took.has("Krins")) return true;
    await list.hover();
    await page.mouse.wheel(0, 200);
    return undefined;
  });
  return took;
}

for (let run = 0; run < RUNS; run += 1) {
  const vscode = await start({ folder: false, trust: true });
  try {
    await vscode.active();
    const begun = Date.now();
    await vscode.palette("Krins: Try It on a Sample");
    await vscode.answer(/\d+ files/, "Apply All");
    // The file that is open is changed in its buffer, every other one on the disk.
    const sample = join(vscode.base, "data/User/globalStorage/krins.krins/sample/src/stats.ts");
    await until("the sample is changed", () => readFileSync(sample, "utf8").includes("completionRate"));
    await vscode.toast(/files changed/);
    figures.applied.push(Date.now() - begun);
    await vscode.shot("first");
    const shown = Date.now();
    await vscode.palette("Krins: Show the Quality Gate");
    const frame = await vscode.webview("#root");
    const painted = await until("it is painted", () => frame.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime));
    figures.painted.push(Math.round(painted));
    const took = await activations(vscode);
    const activated = took.get("Krins");
    figures.activated.push(activated);
    const slower = [...took].filter(([, each]) => each > activated).length;
    process.stdout.write(`ok ${run + 1} - two actions: applied after ${figures.applied.at(-1)} ms; activated in ${activated} ms (of ${took.size} extensions ${slower} took longer); panel painted ${Math.round(painted)} ms after its page began, ${Date.now() - shown} ms after it was asked for\n`);
  } catch (error) {
    await vscode.shot("broken-first");
    process.stdout.write(`not ok ${run + 1} - ${String(error.stack).split("\n").slice(0, 4).join(" | ")}\n`);
    process.exitCode = 1;
  } finally {
    await vscode.stop();
  }
}
process.stdout.write(`# medians of ${figures.applied.length}: applied ${median(figures.applied)} ms, activated ${median(figures.activated)} ms, painted ${median(figures.painted)} ms\n`);
