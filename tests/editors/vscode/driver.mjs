// A real VS Code (its server edition) on loopback, set by keyboard in a real Chromium.
//
// Environment: KRINS_BIN the program, CODE_SERVER the installed code-server's directory, NODE24 the node it runs on, PLAYWRIGHT
// playwright-core's directory, VSIX the packed extension, CHROMIUM the browser, SHOTS a directory for pictures.

import { execFileSync, spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, createWriteStream, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const E = process.env;
export const repository = fileURLToPath(new URL("../../..", import.meta.url));
export const sleep = (millis) => new Promise((resolve) => setTimeout(resolve, millis));

/** What comes up by itself in a fresh VS Code and is not ours to test; nothing of the extension's is set here. */
const SETTINGS = {
  "workbench.startupEditor": "none",
  "telemetry.telemetryLevel": "off",
  "chat.disableAIFeatures": true,
  "workbench.enableExperiments": false,
  "extensions.autoCheckUpdates": false,
  "extensions.autoUpdate": false,
  "remote.autoForwardPorts": false,
  "update.mode": "none",
  "workbench.tips.enabled": false,
  "workbench.secondarySideBar.defaultVisibility": "hidden",
  "editor.minimap.enabled": false,
  "editor.accessibilitySupport": "off",
  "files.hotExit": "off",
  // As on a desktop; a window in a browser saves by itself.
  "files.autoSave": "off",
};

/**
 * Patience is for a machine that is busy: what is there is seen at once. It is counted in looks, so that a machine that stood still
 * for a while has taken none of it.
 */
export async function until(what, found, millis = 30_000) {
  let patience = millis;
  let last;
  for (;;) {
    const begun = Date.now();
    try {
      // A page that is going away may never answer.
      last = await Promise.race([found(), sleep(10_000)]);
      if (last) return last;
    } catch (error) {
      last = error;
    }
    if (patience <= 0) throw new Error(`timeout: ${what} (last: ${String(last).slice(0, 300)})`);
    await sleep(25);
    patience -= Math.min(Date.now() - begun, 1000);
  }
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

const status = (url) =>
  new Promise((resolve, reject) => {
    get(url, (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    }).on("error", reject);
  });

/**
 * Starts everything in fresh directories over a copy of the sample.
 *
 * `direct` is VS Code's own server, which obeys `extensionTestsPath`; without it code-server, with the packed extension installed.
 * With `trust` a folder is one that nobody trusts yet, as on a desktop.
 */
export async function start({ settings = {}, files = {}, config = "", direct = false, folder = true, trust = false, query = () => "" } = {}) {
  const times = { begun: Date.now() };
  const base = mkdtempSync(join(tmpdir(), "krins-vscode-"));
  const at = (...parts) => join(base, ...parts);
  const root = at("todo-app");
  cpSync(join(repository, "fixtures/todo-app"), root, { recursive: true });
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(root, path, ".."), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  const git = (...args) => execFileSync("git", ["-c", "user.name=t", "-c", "user.email=t@example.com", ...args], { cwd: root, stdio: "pipe" });
  git("init", "-q", "-b", "main");
  git("add", "-A");
  git("commit", "-qm", "start");
  for (const dir of ["data/User", "data/Machine", "extensions", "home/.config/krins"]) mkdirSync(at(dir), { recursive: true });
  writeFileSync(at("data/User/settings.json"), JSON.stringify({ ...SETTINGS, "security.workspace.trust.enabled": trust, ...settings }));
  const machine = (more) => writeFileSync(at("data/Machine/settings.json"), JSON.stringify({ "krins.server.path": E.KRINS_BIN, ...more }));
  machine({});
  writeFileSync(at("home/.config/krins/config.toml"), config);
  writeFileSync(at("code-server.yaml"), "cert: false\n");

  const port = await freePort();
  const env = {
    PATH: E.PATH,
    LANG: "C.UTF-8",
    HOME: at("home"),
    KRINS_TEST_OUT: at("verdict"),
    EXTENSIONS_GALLERY: JSON.stringify({ serviceUrl: "", itemUrl: "", resourceUrlTemplate: "" }),
  };
  const common = ["--user-data-dir", at("data"), "--extensions-dir", at("extensions")];
  const front = [join(E.CODE_SERVER, "out/node/entry.js"), "--config", at("code-server.yaml"), ...common];
  if (!direct) execFileSync(E.NODE24, [...front, "--install-extension", E.VSIX], { env, stdio: "pipe" });
  times.installed = Date.now();
  const own = [join(E.CODE_SERVER, "lib/vscode/out/server-main.js"), "--host", "127.0.0.1", "--port", String(port), "--without-connection-token", "--accept-server-license-terms", "--server-data-dir", at("data"), ...common, "--disable-telemetry", "--enable-smoke-test-driver"];
  const usual = [...front, "--bind-addr", `127.0.0.1:${port}`, "--auth", "none", "--disable-telemetry", "--disable-update-check", ...(trust ? [] : ["--disable-workspace-trust"]), "--disable-getting-started-override", "--disable-proxy"];
  const server = spawn(E.NODE24, direct ? own : usual, { env, stdio: ["ignore", "pipe", "pipe"], detached: true });
  const log = createWriteStream(at("server.log"));
  server.stdout.pipe(log);
  server.stderr.pipe(log);

  let context;
  const stop = async () => {
    await context?.close().catch(() => undefined);
    const gone = new Promise((resolve) => (server.exitCode !== null ? resolve() : server.once("exit", resolve)));
    const signal = (name) => {
      try {
        process.kill(-server.pid, name);
      } catch {
        // It ended by itself.
      }
    };
    signal("SIGTERM");
    await Promise.race([gone, sleep(4000)]);
    signal("SIGKILL");
    if (!E.KEEP) rmSync(base, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  };
  try {
    await until("the server", async () => (await status(`http://127.0.0.1:${port}/${direct ? "version" : "healthz"}`)) === 200, 40_000);
    const { chromium } = createRequire(import.meta.url)(E.PLAYWRIGHT);
    context = await chromium.launchPersistentContext(at("browser"), {
      executablePath: E.CHROMIUM ?? "/usr/bin/chromium",
      headless: true,
      viewport: { width: 1280, height: 800 },
      args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
    });
    const page = context.pages()[0] ?? (await context.newPage());
    const foreign = new Set();
    context.on("request", (request) => {
      const { protocol, hostname } = new URL(request.url());
      if (/^(?:http|ws)/.test(protocol) && hostname !== "127.0.0.1" && !hostname.endsWith("vscode-cdn.net")) foreign.add(hostname);
    });
    times.browser = Date.now();
    await page.goto(`http://127.0.0.1:${port}/?${folder ? `folder=${encodeURIComponent(root)}` : "ew=true"}${query(port)}`, { waitUntil: "commit", timeout: 200_000 });
    const user = person(page, root);
    if (!direct) await user.see(folder ? ".monaco-workbench .explorer-folders-view .monaco-list-row" : ".monaco-workbench .statusbar-item", 60_000);
    times.workbench = Date.now();
    return { ...user, page, base, machine, root, port, times, foreign, stop, verdict: at("verdict"), read: (path) => (existsSync(join(root, path)) ? readFileSync(join(root, path), "utf8") : undefined) };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** What a person does, all by keyboard. */
function person(page, root) {
  page.setDefaultTimeout(60_000);
  /** A frame that is going away may take a key and never say so. */
  const press = (keys) => Promise.race([page.keyboard.press(keys), sleep(10_000)]);
  /** In one go, as from a clipboard: no row is filtered by half of the words. */
  const type = (text) => page.keyboard.insertText(text);
  let again = 0;

  /** Something that is drawn. */
  const see = (selector, patience) =>
    until(selector, async () => {
      for (const each of await page.$$(selector)) if (await each.isVisible()) return each;
      return undefined;
    }, patience);
  const gone = (selector) => until(`no ${selector}`, async () => (await page.$$(selector)).length === 0);

  /** A key that a window that is busy drawing may lose is pressed again, and it is counted. */
  async function pressed(keys, what, found) {
    for (let left = 2; ; left -= 1) {
      await press(keys);
      try {
        return await until(what, found, 8_000);
      } catch (error) {
        if (left === 0) throw error;
        again += 1;
      }
    }
  }

  /** What stands in the line of quick input, when that has the keys. */
  const line = () => page.evaluate(() => (document.activeElement?.matches(".quick-input-widget input") ? document.activeElement.value : undefined));
  const picker = {
    line,
    /** The row that is chosen, once its label begins so. */
    row: async (label, patience) => {
      try {
        return await until(`row ${label}`, () => page.$(`.quick-input-list .monaco-list-row.focused[aria-label^="${label}"]`), patience);
      } catch {
        throw new Error(`no chosen row ${label}; the line says "${await line()}", the rows are: ${(await picker.rows()).join(" | ")}`);
      }
    },
    rows: () => page.$$eval(".quick-input-list .monaco-list-row", (rows) => rows.map((row) => row.getAttribute("aria-label") ?? "")),
    gone: () => until("no quick input", () => page.evaluate(() => ![...document.querySelectorAll(".quick-input-widget")].some((each) => each.checkVisibility()))),
    /** A line that waits for words, by what it says before there are any. */
    asks: (words) => until(`a line that asks ${words}`, () => page.evaluate((source) => document.activeElement?.matches(".quick-input-widget input") && new RegExp(source).test(`${document.activeElement.placeholder} ${document.activeElement.closest(".quick-input-widget").textContent}`), words.source)),
    /** Down to the row whose label begins so. */
    async down(label) {
      const chosen = () => page.$eval(".quick-input-list .monaco-list-row.focused", (row) => row.getAttribute("aria-label") ?? "").catch(() => "");
      for (let step = 0; step < 40; step += 1) {
        const now = await chosen();
        if (now.startsWith(label)) return;
        await pressed("ArrowDown", `a row ${label} below "${now}"`, async () => (await chosen()) !== now);
      }
      throw new Error(`no row ${label}: ${(await picker.rows()).join(" | ")}`);
    },
  };
  const bar = () => page.$$eval(".statusbar-item", (items) => items.map((item) => item.textContent.replace(/\u00a0/g, " ")).join("|"));
  const toast = (words) =>
    until(`a message ${words}`, async () => {
      for (const each of await page.$$(".notification-toast")) if (words.test((await each.textContent()) ?? "")) return each;
      return undefined;
    });
  const webview = (selector) =>
    until(`a webview with ${selector}`, async () => {
      for (const frame of page.frames()) if (await frame.$(selector).catch(() => null)) return frame;
      return undefined;
    });
  /** The editor that has the keys is over this document: the text of another one would take them. */
  const writing = (scheme, file) => until(`the keys are in ${scheme} ${file}`, () => page.evaluate(([scheme, file]) => {
    const uri = document.activeElement?.closest(".monaco-editor")?.closest("[data-uri]")?.getAttribute("data-uri") ?? "";
    return uri.startsWith(`${scheme}:`) && decodeURIComponent(uri.split("?")[0]).endsWith(file.startsWith("/") ? file : `/${file}`);
  }, [scheme, file]));

  /** A command by its whole title, wherever recent use has put it. What is offered hangs on the state of the window, so a list without it is asked for once more. */
  async function palette(title) {
    const whole = (row) => row === title || row.startsWith(`${title}, `);
    const chosen = () => page.$eval(".quick-input-list .monaco-list-row.focused", (row) => row.getAttribute("aria-label") ?? "").catch(() => "");
    const choose = async (patience) => {
      await pressed("F1", "the palette", async () => (await line())?.startsWith(">"));
      await type(title);
      await until(`the command ${title}`, async () => (await picker.rows()).some(whole) && (await chosen()) !== "", patience);
      for (let step = 0; step < 20; step += 1) {
        const now = await chosen();
        if (whole(now)) break;
        await pressed("ArrowDown", "another row", async () => (await chosen()) !== now);
      }
      // A page that is drawn anew may have taken the keys meanwhile, and Enter would be for nobody.
      if (!whole(await chosen()) || !(await line())?.startsWith(">")) throw new Error(`${title} is not chosen`);
    };
    await choose(5_000).catch(async () => {
      again += 1;
      await press("Escape");
      await picker.gone();
      await choose(15_000).catch(async (error) => {
        throw new Error(`${error.message}; the line says "${await line()}", the rows are: ${(await picker.rows()).join(" | ")}`);
      });
    });
    await press("Enter");
    await until("the palette is done", async () => !(await line())?.startsWith(">"));
  }

  return {
    press,
    pressed,
    type,
    see,
    gone,
    picker,
    bar,
    toast,
    webview,
    writing,
    /** A page of the extension's has the keys. */
    /** The window has given a page the keys some time before the page has them. */
    reading: (frame) => until("the page has the keys", () => frame.evaluate(() => document.hasFocus())),
    palette,
    /** How often a key was pressed again. */
    again: () => again,
    /** The extension is at work; without a folder and a file nobody knows yet who would be asked. */
    active: () => until("the item in the status bar", async () => (await page.$$eval(".statusbar-item", (all) => all.map((each) => each.getAttribute("aria-label") ?? ""))).some((label) => /^Krins, (?!starting)/.test(label)), 60_000),
    ready: () => until("the status bar says who is asked", async () => /Krins: \w+/.test(await bar()), 60_000),
    /** A message's button. */
    async answer(words, label) {
      const message = await toast(words);
      await message.hover();
      await (await message.waitForSelector(`.monaco-button:has-text("${label}")`)).click();
    },
    async open(file) {
      const name = file.split("/").at(-1);
      await pressed("Control+p", "the line for files", async () => (await line()) === "");
      // The whole path: of the same one below another root, one that was open before would come first.
      await type(join(root, file));
      await picker.row(`${name} ${dirname(file)}`);
      await press("Enter");
      await see(`.tabs-container .tab.active[data-resource-name="${name}"]`);
      await writing("vscode-remote", join(root, file));
    },
    clear: async () => {
      if ((await page.$$(".notification-toast")).length === 0) return;
      await palette("Notifications: Clear All Notifications");
      await gone(".notification-toast");
    },
    shot: async (name) => {
      if (!E.SHOTS) return;
      mkdirSync(E.SHOTS, { recursive: true });
      await page.screenshot({ path: join(E.SHOTS, `${name}.png`) });
    },
  };
}
