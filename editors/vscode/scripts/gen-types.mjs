// Makes src/protocol.ts from the protocol's JSON Schema, so that the extension and the server cannot drift apart.
//
//   node scripts/gen-types.mjs [--check] [--schema FILE]
//
// Without --schema the document comes from `cargo run -p krins-protocol --example schema`, which is what `krins schema` prints.
// --check writes nothing and fails when the committed file is not what it would write.

import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { compile } from "json-schema-to-typescript";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const target = fileURLToPath(new URL("../src/protocol.ts", import.meta.url));
const args = process.argv.slice(2);

function schema() {
  const file = args.indexOf("--schema");
  if (file !== -1) return readFileSync(args[file + 1], "utf8");
  return execFileSync("cargo", ["run", "-q", "-p", "krins-protocol", "--example", "schema"], {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 1 << 26,
  });
}

/** Names of the definitions that `names` lead to, the HTTP and command-line ones left out. */
function reachable(defs, names) {
  const seen = new Set();
  const visit = (name) => {
    if (seen.has(name) || !(name in defs)) return;
    seen.add(name);
    for (const [, next] of JSON.stringify(defs[name]).matchAll(/"#\/\$defs\/([^"]+)"/g)) visit(next);
  };
  names.forEach(visit);
  return [...seen].sort();
}

/** Rust's doc links as plain code, and references by name: a reference with a description would become a copy of its type. */
function plain(node) {
  if (Array.isArray(node)) return node.map(plain);
  if (node === null || typeof node !== "object") return node;
  if (typeof node.$ref === "string") {
    return { ...plain({ ...node, $ref: undefined }), tsType: node.$ref.slice("#/$defs/".length) };
  }
  const out = Object.fromEntries(
    Object.entries(node).map(([key, value]) => [
      key,
      key === "properties" ? Object.fromEntries(Object.entries(value).map(([name, schema]) => [name, plain(schema)])) : plain(value),
    ]),
  );
  if (typeof out.description === "string") out.description = out.description.replace(/\[(`[^`]+`)\]/g, "$1");
  delete out.default;
  delete out.$ref;
  // A schema that says nothing takes anything.
  if (Object.keys(out).every((key) => key === "description")) out.tsType = "unknown";
  return out;
}

/** Without the empty root and the generator's notes about it. */
function tidy(types) {
  return types
    .replace(/export interface Unused \{\s*\}\s*/, "")
    .replace(/( \*\n)? \* This interface was referenced by `Unused`'s JSON-Schema\n \* via the `definition` "\w+"\.\n/g, "")
    .replace(/\/\*\*\n \*\/\n/g, "")
    .replace(/\n(export |\/\*\*)/g, "\n\n$1")
    .replace(/(\*\/)\n\n(export )/g, "$1\n$2")
    .replace(/\n{3,}/g, "\n\n")
    .trim();
}

const document = JSON.parse(schema());
const methods = document["x-methods"];
const names = reachable(document.$defs, [...methods.flatMap(({ params, result }) => [params, result]), "TaskStatus", "ErrorReport", "ErrorData"]);
const defs = Object.fromEntries(names.map((name) => [name, plain(document.$defs[name])]));

const types = await compile(
  { $defs: defs, type: "object", additionalProperties: false, properties: {}, title: "Unused" },
  "Unused",
  { unreachableDefinitions: true, additionalProperties: false, bannerComment: "", format: true, style: { printWidth: 120 } },
);

const known = (name) => (name in defs ? name : "null");
const text = `// Generated from the protocol's schema by \`npm run gen:types\`. Don't edit.

/** Major versions are compatible with themselves only; the minor rises when something is added. */
export const PROTOCOL = ${document["x-protocol"].major};
export const PROTOCOL_MINOR = ${document["x-protocol"].minor};

/** Every custom request: what it takes and what it answers. */
export interface Methods {
${methods.map(({ method, params, result }) => `  "${method}": { params: ${known(params)}; result: ${known(result)} };`).join("\n")}
}

${tidy(types)}
`;

if (args.includes("--check")) {
  if (readFileSync(target, "utf8") !== text) {
    process.stderr.write("src/protocol.ts is not what the schema gives: run `npm run gen:types`\n");
    process.exitCode = 1;
  }
} else {
  writeFileSync(target, text);
}
