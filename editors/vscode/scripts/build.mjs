// Bundles the extension, or with --test the tests (in which test/vscode.ts stands for VS Code).

import { cpSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { lean } from "./lean.mjs";

const LIMIT = 300_000;
const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));

/** What the licences of the packages in the bundle ask for: their words, in every copy. A package without any stops the build. */
function notices(inputs) {
  const packages = new Set(inputs.flatMap((path) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? []));
  const told = [...packages].sort().map((path) => {
    const { name, version, license } = JSON.parse(readFileSync(at(`${path}/package.json`), "utf8"));
    const file = readdirSync(at(path)).find((entry) => /^licen[cs]e(?:\.\w+)?$/i.test(entry));
    if (!file || !license) throw new Error(`${name} says nothing of its licence`);
    return `${name} ${version} (${license})\n\n${readFileSync(at(`${path}/${file}`), "utf8").trim()}\n`;
  });
  return ["Krins for Visual Studio Code holds parts of these packages.\n", ...told].join(`\n${"-".repeat(80)}\n\n`);
}

if (process.argv.includes("--test")) {
  rmSync(at("out"), { recursive: true, force: true });
  await build({
    entryPoints: readdirSync(at("test")).filter((name) => name.endsWith(".test.ts")).map((name) => at(`test/${name}`)),
    bundle: true,
    platform: "node",
    target: "node20",
    outdir: at("out/test"),
    plugins: [{ name: "stand-ins", setup: ({ onResolve }) => onResolve({ filter: /^(?:vscode|\.\/client)$/ }, ({ path }) => ({ path: at(`test/${basename(path)}.ts`) })) }],
  });
} else {
  const common = {
    absWorkingDir: at(""),
    bundle: true,
    platform: "node",
    target: "node20",
    format: "cjs",
    minify: true,
    // A mark is shorter than its number.
    charset: "utf8",
    // Said once, in a file of its own.
    legalComments: "none",
    metafile: true,
    // Private fields of the language client, and nothing that is on the wire.
    mangleProps: /^_[a-z]/,
    reserveProps: /^_meta$/,
  };
  // The language client is most of it, and is read when a server starts: what activates is small.
  const parts = [
    await build({ ...common, entryPoints: [at("src/extension.ts")], external: ["vscode", "./client"], banner: { js: '"use strict";const krinsBegun=performance.now();' }, supported: { "dynamic-import": false }, outfile: at("dist/extension.js") }),
    await build({ ...common, entryPoints: [at("src/client.ts")], external: ["vscode"], plugins: [lean()], outfile: at("dist/client.js") }),
    // The gate's panel is loaded when it is first shown.
    await build({ absWorkingDir: at(""), entryPoints: [at("src/panel/gate.ts")], bundle: true, platform: "browser", target: "es2022", format: "iife", minify: true, metafile: true, outfile: at("dist/gate.js") }),
  ];
  writeFileSync(at("dist/ThirdPartyNotices.txt"), notices(parts.flatMap(({ metafile }) => Object.keys(metafile.inputs))));
  // The first task is on the sample that `krins demo` shows, too.
  cpSync(at("../../fixtures/todo-app"), at("dist/sample"), { recursive: true, filter: (path) => !/[\\/](?:node_modules|\.gitattributes|tests)$/.test(path) });
  const sizes = ["dist/extension.js", "dist/client.js", "dist/gate.js"].map((path) => ({ path, size: statSync(at(path)).size }));
  const size = sizes.reduce((sum, each) => sum + each.size, 0);
  process.stdout.write(`${sizes.map((each) => `${each.path} ${each.size} bytes`).join(", ")}, together ${size}\n`);
  if (size >= LIMIT) {
    process.stderr.write(`the bundle is over its limit of ${LIMIT} bytes\n`);
    process.exitCode = 1;
  }
}
