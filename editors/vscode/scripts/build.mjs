// Bundles the extension, or with --test the tests (which leave VS Code out).

import { readdirSync, rmSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { lean } from "./lean.mjs";

const LIMIT = 300_000;
const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));

if (process.argv.includes("--test")) {
  rmSync(at("out"), { recursive: true, force: true });
  await build({
    entryPoints: readdirSync(at("test")).filter((name) => name.endsWith(".test.ts")).map((name) => at(`test/${name}`)),
    bundle: true,
    platform: "node",
    target: "node20",
    outdir: at("out/test"),
  });
} else {
  const outfile = at("dist/extension.js");
  await build({
    entryPoints: [at("src/extension.ts")],
    bundle: true,
    platform: "node",
    target: "node20",
    format: "cjs",
    external: ["vscode"],
    minify: true,
    legalComments: "none",
    plugins: [lean()],
    outfile,
  });
  const { size } = statSync(outfile);
  process.stdout.write(`dist/extension.js ${size} bytes\n`);
  if (size >= LIMIT) {
    process.stderr.write(`the bundle is over its limit of ${LIMIT} bytes\n`);
    process.exitCode = 1;
  }
}
