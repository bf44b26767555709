// Mutates the sources of a project one place at a time, asks which tests each mutant can make fail, runs all tests, and says
// whether a failing test file was not chosen.
//
//     node mutants.mjs KRINS DIRECTORY COUNT mocha|vitest [SEED]
//
// SECONDS is how long the suite may take (45), SOURCES names the directory of the sources (src), TESTS the tests of Mocha (test/**/*-test.js), MOCHA further words for it.
// The project has to be installed, and its tests have to pass. One line a mutant, a summary at the end; exit 1 for a miss.
import { spawnSync } from "node:child_process";
import { readFileSync, readdirSync, writeFileSync, rmSync, mkdtempSync } from "node:fs";
import { join, relative } from "node:path";
import { tmpdir } from "node:os";

const [krins, root, wanted, runner, seed = "1"] = process.argv.slice(2);
const state = mkdtempSync(join(tmpdir(), "krins-mutants-"));
const env = { ...process.env, KRINS_STATE_DIR: state, KRINS_CONFIG: "", CI: "true", FORCE_COLOR: "0" };

// mulberry32: the same seed gives the same mutants.
let at = Number(seed) >>> 0;
const random = () => {
  at = (at + 0x6d2b79f5) >>> 0;
  let t = Math.imul(at ^ (at >>> 15), at | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
};

const swaps = [
  [/ \+ /g, " - "], [/ - /g, " + "], [/ \* /g, " / "], [/ < /g, " >= "], [/ > /g, " <= "], [/ <= /g, " > "], [/ >= /g, " < "],
  [/ === /g, " !== "], [/ !== /g, " === "], [/ && /g, " || "], [/ \|\| /g, " && "], [/\btrue\b/g, "false"], [/\bfalse\b/g, "true"],
  [/\b0\b/g, "1"], [/\b1\b/g, "2"], [/return (?=[a-z(])/g, "return !"], [/\+\+/g, "--"], [/ == null/g, " != null"],
];

const sources = [];
const walk = (dir) => {
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name);
    if (entry.isDirectory() && !["node_modules", "test", "__tests__", "types"].includes(entry.name)) walk(path);
    else if (/\.(js|ts|mjs)$/.test(entry.name) && !/\.(test|spec|test-d|test-prop|d)\./.test(entry.name)) sources.push(path);
  }
};
walk(join(root, process.env.SOURCES ?? "src"));
sources.sort();

const places = [];
for (const path of sources) {
  const lines = readFileSync(path, "utf8").split("\n");
  lines.forEach((line, number) => {
    if (/^\s*(\*|\/\/|\/\*|import|export \*|export \{|type |interface )/.test(line)) return;
    for (const [from, to] of swaps) for (const match of line.matchAll(from)) places.push({ path, number, at: match.index, length: match[0].length, to });
  });
}

const suite = () => {
  const report = join(state, "report.json");
  rmSync(report, { force: true });
  const argv = runner === "mocha"
    ? ["node_modules/mocha/bin/mocha.js", "--exit", "--reporter", "json", "--reporter-option", `output=${report}`, ...(process.env.MOCHA ?? "").split(" ").filter(Boolean), process.env.TESTS ?? "test/**/*-test.js"]
    : ["node_modules/vitest/vitest.mjs", "run", "--project", "runtime", "--reporter=json", `--outputFile=${report}`];
  const done = spawnSync("node", argv, { cwd: root, env, timeout: 1000 * Number(process.env.SECONDS ?? 45), killSignal: "SIGKILL", stdio: "ignore" });
  let json;
  try { json = JSON.parse(readFileSync(report, "utf8")); } catch { return done.signal ? "late" : "broken"; }
  const files = runner === "mocha"
    ? json.failures.map((test) => test.file)
    : json.testResults.filter((file) => file.status === "failed").map((file) => file.name);
  return [...new Set(files)].filter(Boolean).map((file) => relative(root, file)).sort();
};

const clean = suite();
if (clean.length !== 0) throw new Error(`the suite does not pass as it is: ${clean}`);
spawnSync(krins, ["graph", "build", "--root", root], { env });

const shares = [], times = [], missed = [];
let killed = 0, done = 0, left = 0;
while (done < Number(wanted) && places.length > 0) {
  const { path, number, at, length, to } = places.splice(Math.floor(random() * places.length), 1)[0];
  const text = readFileSync(path, "utf8");
  const lines = text.split("\n");
  const line = lines[number];
  const mutant = line.slice(0, at) + to + line.slice(at + length);
  const name = relative(root, path);
  const patch = `--- a/${name}\n+++ b/${name}\n@@ -${number + 1},1 +${number + 1},1 @@\n-${line}\n+${mutant}\n`;
  const asked = spawnSync(krins, ["graph", "tests", "--patch", "-", "--json", "--root", root], { env, input: patch });
  if (asked.status !== 0) { left += 1; continue; }
  const answer = JSON.parse(asked.stdout);
  if (answer.everything?.includes("cannot be parsed")) { left += 1; continue; }
  lines[number] = mutant;
  let failing;
  try { writeFileSync(path, lines.join("\n")); failing = suite(); } finally { writeFileSync(path, text); }
  if (!Array.isArray(failing)) { left += 1; continue; }
  const chosen = new Set(answer.tests.map((test) => test.path));
  const miss = failing.filter((file) => !chosen.has(file));
  done += 1;
  killed += failing.length > 0;
  shares.push(chosen.size / answer.of);
  times.push(answer.millis);
  if (miss.length > 0) missed.push({ name, line: number + 1, miss });
  console.log(`${done} ${name}:${number + 1} chosen ${chosen.size}/${answer.of} failing ${failing.length}${miss.length ? ` MISSED ${miss}` : ""}`);
}
const middle = (list, part = 0.5) => [...list].sort((a, b) => a - b)[Math.floor(list.length * part)] ?? 0;
console.log(`${done} mutants, ${killed} killed by some test, ${left} left out (no program, or no end); ${missed.length} with a failing test file that was not chosen`);
console.log(`chosen: median ${(100 * middle(shares)).toFixed(1)} %, 90th percentile ${(100 * middle(shares, 0.9)).toFixed(1)} %; choice: median ${middle(times).toFixed(1)} ms, 95th percentile ${middle(times, 0.95).toFixed(1)} ms`);
rmSync(state, { recursive: true, force: true });
process.exit(missed.length ? 1 : 0);
