// The TypeScript compiler's word on a package whose files change on disk: one long-lived process, so that what did not
// change is parsed once.
//
//   node diagnostics.mjs DIR TSCONFIG TYPESCRIPT
//
// TYPESCRIPT is the directory of the compiler's package. The first answer, unasked, is {"files", "diagnostics"}: what there was
// to begin with. Then one JSON question a line, {"changed": [paths from DIR], "suffix"}: the program is checked again as
// a whole, and the answer is {"added", "gone"}: how its diagnostics differ from those of the beginning, the suffix left out of
// every name.

import { createRequire } from "node:module";
import path from "node:path";
import { createInterface } from "node:readline";

const dir = path.resolve(process.argv[2]);
const configPath = path.join(dir, process.argv[3]);
const ts = createRequire(import.meta.url)(path.resolve(process.argv[4]));

const configure = () =>
  ts.parseJsonConfigFileContent(ts.readConfigFile(configPath, ts.sys.readFile).config, ts.sys, path.dirname(configPath));
const options = { ...configure().options, noEmit: true };
for (const name of ["incremental", "composite", "tsBuildInfoFile"]) delete options[name];

const kept = new Map();
const host = ts.createCompilerHost(options, true);
const parse = host.getSourceFile.bind(host);
host.getSourceFile = (name, ...rest) => {
  const key = path.resolve(name);
  if (!kept.has(key)) kept.set(key, parse(name, ...rest));
  return kept.get(key);
};

let program;
/** Every diagnostic with how often it is there: file, line and text; columns move with a name's length. */
function diagnostics(back) {
  // Read anew each time: a move makes files.
  const rootNames = configure().fileNames;
  program = ts.createProgram({ rootNames, options, host, oldProgram: program });
  const found = new Map();
  for (const diagnostic of ts.getPreEmitDiagnostics(program)) {
    const { file, start } = diagnostic;
    const at = file ? `${path.relative(dir, file.fileName)}:${file.getLineAndCharacterOfPosition(start).line + 1}` : "";
    const text = ts.flattenDiagnosticMessageText(diagnostic.messageText, "\n");
    const line = back(`${at} TS${diagnostic.code} ${text}`);
    found.set(line, (found.get(line) ?? 0) + 1);
  }
  return found;
}

const before = diagnostics((line) => line);
const answer = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
answer({ files: program.getRootFileNames().length, diagnostics: [...before.values()].reduce((sum, count) => sum + count, 0) });

const more = (one, other) => [...one].flatMap(([line, count]) => ((other.get(line) ?? 0) < count ? [line] : []));
let last = [];
for await (const line of createInterface({ input: process.stdin })) {
  const { changed, suffix } = JSON.parse(line);
  // What was changed for the last question may have been taken back since.
  for (const name of [...last, ...changed]) kept.delete(path.join(dir, name));
  last = changed;
  const after = diagnostics((text) => text.replaceAll(suffix, ""));
  answer({ added: more(after, before), gone: more(before, after) });
}
