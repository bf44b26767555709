// Reads renames (one JSON document a line, as the example `rename_real` prints them) from standard input, applies each
// on its own, in memory, to the package in DIR, and asks the TypeScript compiler for the diagnostics of the whole
// program. Diagnostics must be those of before, the new name read as the old one.
//
//   node check-renames.mjs DIR [TSCONFIG] < renames.jsonl
//
// Prints one line per difference and a summary as JSON; exits 1 when a rename changed the diagnostics.
// `typescript` is found from DIR or from the working directory.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import path from "node:path";

const dir = path.resolve(process.argv[2]);
const require = createRequire(path.join(dir, "package.json"));
let ts;
try {
  ts = require("typescript");
} catch {
  ts = createRequire(path.join(process.cwd(), "package.json"))("typescript");
}

const configPath = path.join(dir, process.argv[3] ?? "tsconfig.json");
const config = ts.parseJsonConfigFileContent(
  ts.readConfigFile(configPath, ts.sys.readFile).config,
  ts.sys,
  path.dirname(configPath),
);
const options = { ...config.options, noEmit: true };
delete options.incremental;
delete options.composite;
delete options.tsBuildInfoFile;

const cache = new Map();
let overlay = new Map();
const host = ts.createCompilerHost(options, true);
const readFile = host.readFile.bind(host);
host.readFile = (name) => overlay.get(path.resolve(name)) ?? readFile(name);
const fileExists = host.fileExists.bind(host);
host.fileExists = (name) => overlay.has(path.resolve(name)) || fileExists(name);
const directoryExists = host.directoryExists.bind(host);
host.directoryExists = (name) =>
  directoryExists(name) || [...overlay.keys()].some((file) => file.startsWith(path.resolve(name) + path.sep));
const getSourceFile = host.getSourceFile.bind(host);
host.getSourceFile = (name, languageVersion, onError, fresh) => {
  const key = path.resolve(name);
  if (overlay.has(key)) return getSourceFile(name, languageVersion, onError, fresh);
  if (!cache.has(key)) cache.set(key, getSourceFile(name, languageVersion, onError, fresh));
  return cache.get(key);
};

function diagnostics(rename) {
  const back = (text) => (rename ? text.replaceAll(rename.to, rename.symbol) : text);
  const program = ts.createProgram({ rootNames: config.fileNames, options, host });
  return ts
    .getPreEmitDiagnostics(program)
    .map((diagnostic) => {
      const at = diagnostic.file
        ? `${path.relative(dir, diagnostic.file.fileName)}:${diagnostic.file.getLineAndCharacterOfPosition(diagnostic.start).line + 1}`
        : "";
      return `${at} TS${diagnostic.code} ${back(ts.flattenDiagnosticMessageText(diagnostic.messageText, "\n"))}`;
    })
    .sort();
}

const before = diagnostics();
const lines = readFileSync(0, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line));
const summary = { before: before.length, files: config.fileNames.length, same: 0, different: 0, refused: 0, changed: 0 };
for (const rename of lines) {
  if (rename.error) {
    summary.refused += 1;
    console.log(`refused ${rename.symbol} of ${rename.file}: ${rename.error}`);
    continue;
  }
  overlay = new Map(
    Object.entries(rename.changed).map(([name, text]) => [path.join(dir, name), text ?? ""]),
  );
  summary.changed += overlay.size;
  const after = diagnostics(rename);
  const added = after.filter((line) => !before.includes(line));
  const gone = before.filter((line) => !after.includes(line));
  if (added.length + gone.length === 0 && before.length === after.length) {
    summary.same += 1;
    continue;
  }
  summary.different += 1;
  console.log(`DIFFERENT ${rename.symbol} of ${rename.file}: ${added.length} new, ${gone.length} gone`);
  for (const line of added.slice(0, 4)) console.log(`  + ${line.slice(0, 400)}`);
  for (const line of gone.slice(0, 4)) console.log(`  - ${line.slice(0, 400)}`);
}
console.log(JSON.stringify(summary));
process.exitCode = summary.different ? 1 : 0;
