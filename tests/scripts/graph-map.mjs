// Opens the page that `krins graph export --format html` wrote in a browser, uses it as a person would, by keyboard
// too, and prints how long things took: time to the first drawing, frames, size, heap.
//
//   PLAYWRIGHT=…/node_modules/playwright-core CHROMIUM=/usr/bin/chromium node graph-map.mjs PAGE [SHOTS]
//
// Exits 1 when something does not work: an error or a policy violation, a request, a list that is not reached by
// keyboard, a movement where none is wanted. With SHOTS, a directory, it leaves pictures there.

import { createRequire } from "node:module";
import { statSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const { chromium } = createRequire(import.meta.url)(process.env.PLAYWRIGHT ?? "playwright-core");
const page = path.resolve(process.argv[2]);
const url = pathToFileURL(page).href;
const shots = process.argv[3];
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu"],
});
let failures = 0;
const say = (text) => process.stdout.write(`${text}\n`);
const check = (holds, what) => {
  if (holds) return;
  failures += 1;
  say(`FAILED ${what}`);
};
const open = async (options = {}) => {
  const tab = await browser.newPage({ viewport: { width: 1440, height: 900 }, ...options });
  tab.on("console", (message) => check(false, `console: ${message.text()}`));
  tab.on("pageerror", (error) => check(false, `error: ${error.message}`));
  tab.on("dialog", (dialog) => {
    check(false, "a dialog");
    void dialog.dismiss();
  });
  tab.on("request", (request) => check(request.url().startsWith(url), `request: ${request.url()}`));
  await tab.goto(url);
  await tab.waitForTimeout(300);
  return tab;
};
const quantile = (values, q) => values.slice().sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))];
const pixels = (tab) => tab.evaluate(() => document.querySelector("#base").toDataURL());

// What a person does.
{
  const tab = await open();
  const title = () => tab.evaluate(() => (document.querySelector("#details").hidden ? "" : document.querySelector("#details-title").textContent));
  const first = await tab.evaluate(() => document.querySelector("#top ol a")?.textContent ?? "");
  await tab.keyboard.press("/");
  await tab.keyboard.type(first.replaceAll("/", " "));
  await tab.keyboard.press("ArrowDown");
  check(await tab.evaluate(() => document.querySelector("#query").getAttribute("aria-activedescendant") === "result-0"), "arrow down marks a result");
  await tab.keyboard.press("Enter");
  await tab.waitForTimeout(600);
  check((await title()) !== "" && first.endsWith(await title()), "enter opens the result");
  check(await tab.evaluate(() => document.activeElement.id === "details-title"), "focus moves to the details");
  if (shots) await tab.screenshot({ path: path.join(shots, "file.png") });
  await tab.keyboard.press("Tab");
  check(await tab.evaluate(() => document.activeElement.matches("#details-body a")), "links follow in tab order");
  await tab.keyboard.press("Enter");
  await tab.waitForTimeout(500);
  const second = await title();
  check(second.endsWith("/"), "a directory opens from its file");
  await tab.goBack();
  await tab.waitForTimeout(500);
  check(first.endsWith(await title()), "back leads back");
  await tab.keyboard.press("Escape");
  await tab.waitForTimeout(100);
  check((await title()) === "", "escape closes the details");
  await tab.focus("#base");
  for (const key of ["0", "ArrowRight", "ArrowDown", "+", "-"]) {
    const before = await pixels(tab);
    await tab.keyboard.press(key);
    await tab.waitForTimeout(450);
    check(key === "0" || (await pixels(tab)) !== before, `${key} moves the map`);
  }
  await tab.click("#tree summary");
  await tab.waitForTimeout(100);
  check(await tab.evaluate(() => document.querySelectorAll("#tree details, #tree li").length > 0), "the tree opens");
  await tab.setViewportSize({ width: 480, height: 800 });
  await tab.waitForTimeout(200);
  check(await tab.evaluate(() => document.querySelector("#base").width === document.querySelector("#map").clientWidth), "the map follows the window");
  await tab.close();
}
{
  const tab = await open({ reducedMotion: "reduce", colorScheme: "dark" });
  if (shots) await tab.screenshot({ path: path.join(shots, "dark.png") });
  await tab.evaluate(() => document.querySelector("#top ol a")?.click());
  await tab.waitForTimeout(60);
  const then = await pixels(tab);
  await tab.waitForTimeout(300);
  check((await pixels(tab)) === then, "nothing flies when motion is not wanted");
  await tab.close();
}

// How long it takes.
const drawn = [], painted = [];
let tab;
for (let load = 0; load < 7; load++) {
  await tab?.close();
  tab = await open();
  const [at, paint] = await tab.evaluate(() => [performance.getEntriesByName("drawn")[0].startTime, performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0]);
  drawn.push(at);
  painted.push(paint);
}
if (shots) await tab.screenshot({ path: path.join(shots, "light.png") });
say(`map drawn: median ${quantile(drawn, 0.5).toFixed(0)} ms after the navigation, worst ${Math.max(...drawn).toFixed(0)}; first contentful paint: median ${quantile(painted, 0.5).toFixed(0)} ms, worst ${Math.max(...painted).toFixed(0)} (7 loads)`);

const frames = async (name, act) => {
  await tab.evaluate(() => {
    window.frameTimes = [];
    let last = performance.now();
    const tick = (now) => {
      window.frameTimes.push(now - last);
      last = now;
      window.ticking = requestAnimationFrame(tick);
    };
    window.ticking = requestAnimationFrame(tick);
  });
  await act();
  const times = await tab.evaluate(() => {
    cancelAnimationFrame(window.ticking);
    return window.frameTimes.slice(2);
  });
  say(`${name}: ${times.length} frames, median ${quantile(times, 0.5).toFixed(1)} ms, p95 ${quantile(times, 0.95).toFixed(1)} ms, worst ${Math.max(...times).toFixed(1)} ms`);
};
const pause = () => tab.waitForTimeout(12);
const wander = async (steps) => {
  for (let i = 0; i < steps; i++) {
    await tab.mouse.move(30 + ((i * 37) % 980), 100 + ((i * 53) % 700));
    await pause();
  }
};
const drag = async (reach) => {
  await tab.mouse.move(560, 420);
  await tab.mouse.down();
  for (let i = 0; i < 120; i++) {
    await tab.mouse.move(560 + reach * Math.sin(i / 9), 420 + reach * 0.7 * Math.cos(i / 7));
    await pause();
  }
  await tab.mouse.up();
};
await frames("at rest", () => tab.waitForTimeout(1500));
await tab.mouse.move(560, 420);
await frames("zoom by wheel, in and out", async () => {
  for (const delta of [-60, 60, -60, 60]) {
    for (let i = 0; i < 45; i++) {
      await tab.mouse.wheel(0, delta);
      await pause();
    }
  }
});
await frames("drag, everything in sight", () => drag(200));
await tab.mouse.move(560, 420);
for (let i = 0; i < 9; i++) await tab.mouse.wheel(0, -120);
await tab.waitForTimeout(300);
await frames("drag, zoomed in", () => drag(400));
await tab.keyboard.press("Escape");
await tab.click("#fit");
await tab.waitForTimeout(600);
await frames("hover, everything in sight", () => wander(200));
await frames("fly to the ten most imported", async () => {
  for (let i = 0; i < 10; i++) {
    await tab.evaluate((at) => document.querySelectorAll("#top ol a")[at]?.click(), i);
    await tab.waitForTimeout(600);
  }
});
await tab.evaluate(() => document.querySelector("#top ol a")?.click());
await tab.waitForTimeout(500);
await tab.click("#fit");
await tab.waitForTimeout(500);
await frames("hover, the most imported file chosen", () => wander(100));
await frames("type in the search", async () => {
  await tab.keyboard.press("/");
  await tab.keyboard.type("order service index", { delay: 40 });
});
const inspector = await tab.context().newCDPSession(tab);
await inspector.send("HeapProfiler.collectGarbage");
const { usedSize } = await inspector.send("Runtime.getHeapUsage");
say(`page ${(statSync(page).size / 1e6).toFixed(2)} MB, JS heap after all that ${(usedSize / 1e6).toFixed(1)} MB`);
await browser.close();
process.exitCode = failures ? 1 : 0;
