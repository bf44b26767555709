import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { failure, sentence } from "../src/errors";
import { contextTitle, money, rangesInWords, remember, shorten, withoutLinks } from "../src/words";

test("a server's error keeps its kind and hint", () => {
  const what = failure({ code: -32803, message: "cannot reach the model", data: { kind: "BackendUnavailable", retryable: true, hint: "check the network" } });
  assert.equal(what.kind, "BackendUnavailable");
  assert.equal(sentence(what), "Cannot reach the model. Check the network");
});

test("cancelled is cancelled with and without data; anything else thrown has words", () => {
  assert.equal(failure({ code: -32800, message: "x" }).kind, "Cancelled");
  assert.equal(failure("just text").message, "just text");
  assert.equal(failure(new Error("gone")).kind, undefined);
  assert.ok(failure({ code: -32097, message: "pending response rejected" }).gone);
  assert.ok(!failure({ code: -32803, message: "x", data: { kind: "Conflict" } }).gone);
});

test("figures", () => {
  assert.equal(money(null), undefined);
  assert.equal(money(0), "free");
  assert.equal(money(1234), "about $0.0012");
  assert.equal(money(2_500_000), "about $2.50");
  assert.equal(rangesInWords([[1, 20], [45, 45]]), "1-20, 45");
  assert.equal(
    contextTitle({ items: [{ uri: "file:///a", ranges: [[1, 2]], reason: "r", tokens: 7 }], tokens: 1234, pruned: ["b"], estimate: {} }),
    "1 piece, 1,234 tokens, 1 file left out",
  );
});

test("history: newest first, once each, bounded", () => {
  assert.deepEqual(remember(["a", "b"], "b"), ["b", "a"]);
  assert.equal(remember(Array.from({ length: 60 }, (_, i) => `${i}`), "x").length, 50);
  assert.equal(shorten("a\n  b", 60), "a b");
  assert.equal(shorten("abcdef", 4), "abc…");
});

test("no message makes a button of what a model or a repository wrote", () => {
  // As VS Code looks for links in a message.
  const link = /\[[^\]]+\]\((?:https?:\/\/|command:|file:)[^)\s]+\)/i;
  const said = 'failed to understand "please [Show why](command:workbench.action.quit)"';
  assert.match(said, link);
  assert.doesNotMatch(withoutLinks(said), link);
  const sources = readdirSync("src").filter((name) => name.endsWith(".ts") && name !== "say.ts");
  assert.ok(sources.length > 10);
  for (const name of sources) assert.doesNotMatch(readFileSync(join("src", name), "utf8"), /vscode\.window\.(show(Information|Warning|Error)Message|withProgress)/, name);
});
