import assert from "node:assert/strict";
import { test } from "node:test";
import { duplicates } from "../src/duplicates";

const NAMES = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota"];
const list = (names: string[]) => names.map((name) => `  ${name},\n`).join("");

test("a list of names that are imported or exported anew is no duplicate, and what follows it is", () => {
  const imports = `import type {\n${list(NAMES)}} from "./greek";\n`;
  const exports = `export {\n${list(NAMES)}} from "./greek";\n`;
  const body = NAMES.map((name) => `use(${name});\n`).join("");
  const other = (text: string) => [{ path: "b.ts", text }];
  assert.deepEqual(duplicates(imports, other(imports)), []);
  assert.deepEqual(duplicates(exports, other(exports)), []);
  assert.deepEqual(duplicates(imports + body, other(`// b\n${imports}${body}`)), [{ first: 11, last: 19, path: "b.ts", line: 12 }]);
  // A list in the code itself is code.
  const code = `const all = {\n${list(NAMES)}};\n`;
  assert.equal(duplicates(code, other(code)).length, 1);
});
