// What the views draw, and what the server is told: the parts that need no VS Code.

import assert from "node:assert/strict";
import { test } from "node:test";
import { duplicates } from "../src/duplicates";
import { serverEnvironment, serverSettings } from "../src/environment";
import { newText, patched, places, wanted } from "../src/patch";
import { changesIn, statusInWords } from "../src/figures";
import type { Hunk, HunkVerdict, StatusResult } from "../src/protocol";
import { address, runner, scriptsOf } from "../src/scripts";
import { ago, budgetInWords, estimateInWords, left } from "../src/words";

const nowhere = { start: { line: 0, character: 0 }, end: { line: 0, character: 0 } };
const hunk = (id: string, header: string, lines: string[], verdict: HunkVerdict = "open"): Hunk => ({ id, header, lines, verdict, range: nowhere });

const BASE = "a\nb\nc\nd\ne\nf\n";
const hunks = (first: HunkVerdict = "open", second: HunkVerdict = "open") => [
  hunk("h1", "@@ -1,3 +1,4 @@", [" a", "-b", "+B", "+B2", " c"], first),
  hunk("h2", "@@ -5,2 +6,1 @@", [" e", "-f"], second),
];

test("a hunk's place is where its change is in the text that is shown, whatever was rejected before it", () => {
  for (const verdicts of [["open", "open"], ["reject", "open"], ["open", "reject"], ["reject", "reject"]] as [HunkVerdict, HunkVerdict][]) {
    const all = hunks(...verdicts);
    const shown = patched(BASE, wanted(all)).split("\n");
    const [one, two] = places(all);
    assert.equal(shown[one!.line], "a");
    assert.equal(shown[one!.change], verdicts[0] === "reject" ? "b" : "B");
    assert.equal(shown[one!.line + one!.length - 1], "c");
    assert.equal(shown[two!.line], "e");
    assert.equal(two!.length, verdicts[1] === "reject" ? 2 : 1);
  }
});

test("what a person begins to edit from is the new text with its context", () => {
  assert.equal(newText(hunks()[0]!), "a\nB\nB2\nc\n");
  assert.equal(newText(hunk("h", "@@ -1,1 +0,0 @@", ["-a"])), "");
  assert.equal(newText(hunk("h", "@@ -1 +1 @@", ["-a", "\\ No newline at end of file", "+b", "\\ No newline at end of file"])), "b\n");
});

test("VS Code's proxy reaches the server, and what the person exported wins over it", () => {
  const network = { proxy: "http://proxy:3128", support: "override", noProxy: ["localhost", ".corp"] };
  const told = serverEnvironment({ PATH: "/bin", NODE_EXTRA_CA_CERTS: "/ca.pem" }, network, {}, {});
  assert.deepEqual(told, { PATH: "/bin", NODE_EXTRA_CA_CERTS: "/ca.pem", HTTPS_PROXY: "http://proxy:3128", HTTP_PROXY: "http://proxy:3128", NO_PROXY: "localhost,.corp", KRINS_HTTP_EXTRA_CA: "/ca.pem" });
  const own = serverEnvironment({ https_proxy: "http://mine", NO_PROXY: "a" }, network, {}, {});
  assert.equal(own.HTTPS_PROXY, undefined);
  assert.equal(own.NO_PROXY, "a");
  assert.equal(serverEnvironment({}, { ...network, support: "off" }, {}, {}).HTTPS_PROXY, undefined);
});

test("a stored key is given where none is exported, and the setting for the environment wins over both", () => {
  const network = { proxy: "", support: "override", noProxy: [] };
  assert.equal(serverEnvironment({}, network, { OPENAI_API_KEY: "stored" }, {}).OPENAI_API_KEY, "stored");
  assert.equal(serverEnvironment({ OPENAI_API_KEY: "exported" }, network, { OPENAI_API_KEY: "stored" }, {}).OPENAI_API_KEY, "exported");
  assert.equal(serverEnvironment({ A: "1" }, network, { A: "2" }, { A: "3" }).A, "3");
});

test("only settings that say something are told", () => {
  const of = (settings: Record<string, unknown>) => serverSettings((key) => settings[key]);
  assert.deepEqual(of({ provider: "", model: " ", "budget.microsPerDay": null }), {});
  assert.deepEqual(of({ provider: "ollama", model: "q", "budget.microsPerDay": 5 }), { provider: "ollama", model: "q", budget: { micros_per_day: 5 } });
});

test("a script is run by the manager whose lock file is there, after what is missing is installed", () => {
  assert.deepEqual(runner(["package-lock.json"], "dev"), [["npm", "ci"], ["npm", "run", "dev"]]);
  assert.deepEqual(runner(["pnpm-lock.yaml", "package-lock.json", "node_modules"], "dev"), [["pnpm", "run", "dev"]]);
  assert.deepEqual(runner([], "start")[0], ["npm", "install"]);
});

test("what deploys comes last, with all that it runs", () => {
  const scripts = { deploy: "wrangler publish", predeploy: "npm run build", build: "vite build", dev: "vite", lint: "x", "deploy:preview": "netlify deploy", serve: 1 };
  assert.deepEqual(scriptsOf(JSON.stringify({ scripts })), [
    { name: "dev" },
    { name: "build" },
    { name: "deploy:preview", leaves: "netlify deploy" },
    { name: "deploy", leaves: "npm run build\nwrangler publish" },
  ]);
  assert.deepEqual(scriptsOf("{}"), []);
  assert.equal(scriptsOf(JSON.stringify({ scripts: { deploy: "a\u202e\nb" } }))[0]?.leaves, "a\\u{202e}\\u{a}b");
});

test("the address that a server says it is at", () => {
  assert.equal(address("  \x1b[32m➜\x1b[0m  Local:   \x1b[36mhttp://localhost:\x1b[1m5173\x1b[22m/\x1b[0m\n"), "http://localhost:5173/");
  assert.equal(address("listening on http://0.0.0.0:3000 now"), "http://localhost:3000");
  assert.equal(address("see https://example.com/ and http://localhost.evil.example:1/x "), undefined);
  // The rest of it may still be on its way.
  assert.equal(address("http://localhost:51"), undefined);
});

test("the same lines in two files, the longest run, once", () => {
  const lines = (count: number, name = "row") => Array.from({ length: count }, (_, index) => `  const ${name}${index} = make(${index});`).join("\n");
  const shared = lines(9);
  const found = duplicates(`import a from "a";\n${lines(4, "own")}\n${shared}\n}\n`, [
    { path: "short.ts", text: lines(5) },
    { path: "other.ts", text: `// head\n${shared.replace(/ {2}/g, "\t")}\n` },
  ]);
  assert.deepEqual(found, [{ first: 5, last: 13, path: "other.ts", line: 1 }]);
  assert.deepEqual(duplicates(shared, [{ path: "other.ts", text: lines(7) }]), []);
});

test("figures in words", () => {
  const context = { items: [{ uri: "a", ranges: [], reason: "", tokens: 1 }, { uri: "a", ranges: [], reason: "", tokens: 2 }], pruned: [], tokens: 1200, estimate: { micros: 0 } };
  assert.equal(estimateInWords(context), "1 file, 1,200 tokens, free");
  assert.equal(estimateInWords({ ...context, estimate: {}, partial: { read: 1, total: 2 } }), "1 file, 1,200 tokens, price not known, still reading");
  assert.equal(budgetInWords({ today: 120_000, perDay: 5_000_000 }), "$0.12 of $5.00 today");
  assert.equal(budgetInWords({ today: 0 }), undefined);
  assert.equal(ago(0, 3 * 3_600_000), "3 h ago");
  assert.equal(ago(1, 0), "just now");
  assert.equal(left(3_600_000), "60 min");
});

test("what the server says of itself is asked again when it says something else by itself", () => {
  const status = (more: Partial<StatusResult>): StatusResult => ({ version: "1", provider: "p", model: "m", running: 0, cacheHits: 0, cacheMisses: 0, index: { ready: true, files: 1, symbols: 1 } as StatusResult["index"], ...more });
  const route = (state: string, seconds?: number) => ({ route: "p/m", state, ...(seconds === undefined ? {} : { seconds }) });
  const evening = Date.UTC(2026, 0, 1, 23, 59, 30);
  assert.equal(changesIn(undefined, evening), undefined);
  assert.equal(changesIn(status({ routes: [route("closed")] }), evening), undefined);
  assert.equal(changesIn(status({ routes: [route("closed"), route("open", 30)] }), evening), 10);
  assert.equal(changesIn(status({ routes: [route("open", 3), route("half-open")] }), evening), 3);
  assert.equal(changesIn(status({ routes: [route("open", 0)] }), evening), 1);
  // A person has to do something about it, which is no matter of seconds.
  assert.equal(changesIn(status({ routes: [route("disabled")] }), evening), undefined);
  const spent = status({ spent: { today: 5, perDay: 5 } });
  assert.match(statusInWords(spent), /the day's budget is spent/);
  assert.equal(changesIn(spent, evening), 30);
  assert.equal(changesIn(status({ spent: { today: 0 }, level: "cache-only" }), evening), 10);
});
