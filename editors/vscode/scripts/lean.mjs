// Leaves out of the bundle what the language client has and Krins' server never asks for: a third of its bytes, and of what it tells
// the server it can do. `test/server.test.ts` asks the real server for its capabilities and fails when one of these is among them.

import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

/** Files of `vscode-languageclient/lib/common`, each with the server capability that would need it. */
export const ABSENT = {
  callHierarchy: "callHierarchyProvider",
  codeLens: "codeLensProvider",
  colorProvider: "colorProvider",
  completion: "completionProvider",
  declaration: "declarationProvider",
  definition: "definitionProvider",
  diagnostic: "diagnosticProvider",
  documentHighlight: "documentHighlightProvider",
  documentLink: "documentLinkProvider",
  documentSymbol: "documentSymbolProvider",
  fileOperations: "workspace.fileOperations",
  foldingRange: "foldingRangeProvider",
  formatting: "documentFormattingProvider",
  hover: "hoverProvider",
  implementation: "implementationProvider",
  inlayHint: "inlayHintProvider",
  inlineCompletion: "inlineCompletionProvider",
  inlineValue: "inlineValueProvider",
  linkedEditingRange: "linkedEditingRangeProvider",
  notebook: "notebookDocumentSync",
  reference: "referencesProvider",
  rename: "renameProvider",
  selectionRange: "selectionRangeProvider",
  semanticTokens: "semanticTokensProvider",
  signatureHelp: "signatureHelpProvider",
  textDocumentContent: "workspace.textDocumentContent",
  typeDefinition: "typeDefinitionProvider",
  typeHierarchy: "typeHierarchyProvider",
  workspaceSymbol: "workspaceSymbolProvider",
};

const PACKAGES = /[\\/]node_modules[\\/]vscode-(?:languageclient|languageserver-protocol|jsonrpc)[\\/]lib[\\/].*\.js$/;
const FEATURES = new RegExp(`[\\\\/]vscode-languageclient[\\\\/]lib[\\\\/]common[\\\\/](?:${Object.keys(ABSENT).join("|")})\\.js$`);

const TYPES = /[\\/]vscode-languageserver-types[\\/]lib[\\/]esm[\\/]main\.js$/;

/** A namespace of TypeScript's, and a function of the converters, which are one function each. */
const PARTS = [
  /^(?:export )?var (\w+);\n\(function \(\1\) \{\n[\s\S]*?\n\}\)\(\1 \|\| \((?:exports\.)?\1 = (?:\1 = )?\{\}\)\);\n/gm,
  /^ {4}(?:async )?function (\w+)\(.*\) \{\n[\s\S]*?\n {4}\}\n/gm,
];
/** Lines that name something without using it: what is exported, what a converter gives out, and comments. */
const MENTIONS = /\/\*[\s\S]*?\*\/|^\s*\/\/.*$|^exports\..* = void 0;$|^Object\.defineProperty\(exports, .*$|^ {8}(\w+)(?:: \1)?,?$/gm;

/** What every file compiled by TypeScript carries a copy of. */
const HELPERS = ["__createBinding", "__setModuleDefault", "__importStar", "__exportStar"];

/** A feature that offers nothing and is never registered. */
const ABSENT_FEATURE = `
  fillClientCapabilities() {}
  initialize() {}
  getState() { return { kind: "static" }; }
  clear() {}`;

export function lean() {
  const seen = new Set();
  return {
    name: "lean",
    setup(build) {
      sameEngines();
      build.onLoad({ filter: FEATURES }, ({ path }) => {
        seen.add(basename(path, ".js"));
        return { contents: absent(readFileSync(path, "utf8")) };
      });
      const prune = pruner();
      build.onLoad({ filter: PACKAGES }, ({ path }) => ({ contents: share(prune(path)) }));
      build.onLoad({ filter: TYPES }, ({ path }) => ({ contents: prune(path) }));
      build.onResolve({ filter: /^lean:helpers$/ }, ({ path }) => ({ path, namespace: "lean" }));
      build.onLoad({ filter: /^lean:helpers$/, namespace: "lean" }, () => ({ contents: helpers() }));
      // VS Code itself refuses an extension whose `engines.vscode` it does not meet.
      build.onResolve({ filter: /^semver\/functions\/(?:parse|satisfies)$/ }, ({ path }) => ({ path, namespace: "lean" }));
      build.onLoad({ filter: /^semver\//, namespace: "lean" }, () => ({ contents: "module.exports = () => ({ prerelease: [] });" }));
      build.onEnd(() => {
        const missed = Object.keys(ABSENT).filter((name) => !seen.has(name));
        if (missed.length > 0) throw new Error(`the language client has no ${missed.join(", ")} any more: mend scripts/lean.mjs`);
      });
    },
  };
}

/** The same exports: features that offer nothing, everything else undefined. */
function absent(source) {
  const names = [...source.matchAll(/^exports\.(\w+) = /gm)].map(([, name]) => name).filter((name) => name.endsWith("Feature"));
  if (names.length === 0) throw new Error("a file of the language client exports no feature: mend scripts/lean.mjs");
  return [...new Set(names)].map((name) => `exports.${name} = class {${ABSENT_FEATURE}\n};`).join("\n");
}

/**
 * Leaves out namespaces and converters whose name nothing that stays has anywhere in it. A name is a word: two things of one name
 * keep each other, so more stays than is used, never less.
 */
function pruner() {
  const files = kept();
  const parts = [...files].flatMap(([path, text]) => partsOf(path, text));
  const rest = [...files].map(([path, text]) => without(text, parts.filter((part) => part.path === path)).replace(MENTIONS, ""));
  const words = new Set([...ourSources(), ...rest].flatMap(wordsOf));
  for (let waiting = parts, size = -1; size !== waiting.length; ) {
    size = waiting.length;
    waiting = waiting.filter((part) => {
      if (!words.has(part.name)) return true;
      part.used = true;
      wordsOf(part.text.replace(MENTIONS, "")).forEach((word) => words.add(word));
      return false;
    });
  }
  const gone = parts.filter((part) => !part.used);
  if (gone.length < 100) throw new Error(`only ${gone.length} parts of the language client are unused: mend scripts/lean.mjs`);
  return (path) => {
    const text = readFileSync(path, "utf8");
    const here = gone.filter((part) => part.path === path);
    const names = new Set(here.map((part) => part.name));
    const left = without(text, here);
    // What a converter gives out.
    return /Converter\.js$/.test(path) ? left.replace(/^ {8}(\w+)(?:: \1)?,?\n/gm, (line, name) => (names.has(name) ? "" : line)) : left;
  };
}

/** Every file of the packages that may be in the bundle, by path. */
function kept() {
  const modules = fileURLToPath(new URL("../node_modules", import.meta.url));
  const files = new Map();
  for (const name of ["vscode-languageclient", "vscode-languageserver-protocol", "vscode-jsonrpc", "vscode-languageserver-types", "vscode-languageserver-textdocument"]) {
    for (const entry of readdirSync(join(modules, name, "lib"), { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath ?? entry.path, entry.name);
      if (entry.isFile() && path.endsWith(".js") && !/[\\/](?:umd|browser)[\\/]/.test(path) && !FEATURES.test(path)) files.set(path, readFileSync(path, "utf8"));
    }
  }
  return files;
}

function ourSources() {
  const src = fileURLToPath(new URL("../src", import.meta.url));
  const files = readdirSync(src, { recursive: true }).filter((name) => name.endsWith(".ts") && name !== "protocol.ts");
  return files.map((name) => readFileSync(join(src, name), "utf8"));
}

function partsOf(path, text) {
  const shape = /Converter\.js$/.test(path) ? PARTS[1] : PARTS[0];
  return [...text.matchAll(shape)].map((match) => ({ path, name: match[1], text: match[0] }));
}

function without(text, parts) {
  return parts.reduce((left, part) => left.replace(part.text, () => ""), text);
}

function wordsOf(text) {
  return text.match(/\w+/g) ?? [];
}

/** What TypeScript writes out in full in every file, from one module instead. The bundle is strict as a whole. */
function share(source) {
  const used = new Set();
  const use = (name) => used.add(name) && name;
  const marker = 'Object.defineProperty(exports, "__esModule", { value: true });';
  const reexport = /Object\.defineProperty\(exports, ("\w+"), \{ enumerable: true, get: function \(\) \{ return (\w+\.\w+); \} \}\);/g;
  const text = source
    .replace(/^var __\w+ = \(this && [\s\S]*?(?=^Object\.defineProperty\(exports, "__esModule")/m, (block) => {
      const names = [...block.matchAll(/^var (__\w+) = /gm)].map(([, name]) => name);
      if (!names.every((name) => HELPERS.includes(name))) return block;
      names.forEach(use);
      return "";
    })
    .replace(marker, () => `${use("__module")}(exports);`)
    .replace(reexport, (_, name, value) => `${use("__reexport")}(exports, ${name}, () => ${value});`)
    .replace(/^"use strict";/, "");
  return `const { ${[...used].join(", ")} } = require("lean:helpers");${text}`;
}

/** As TypeScript writes them for modules whose names are all enumerable accessors or values. */
function helpers() {
  return `
const has = Object.prototype.hasOwnProperty;
exports.__module = (to) => Object.defineProperty(to, "__esModule", { value: true });
exports.__reexport = (to, name, get) => Object.defineProperty(to, name, { enumerable: true, get });
exports.__createBinding = (to, from, name, as = name) => {
  let found = Object.getOwnPropertyDescriptor(from, name);
  if (!found || ("get" in found ? !from.__esModule : found.writable || found.configurable)) {
    found = { enumerable: true, get: () => from[name] };
  }
  Object.defineProperty(to, as, found);
};
exports.__setModuleDefault = (to, value) => Object.defineProperty(to, "default", { enumerable: true, value });
exports.__importStar = (from) => {
  if (from && from.__esModule) return from;
  const to = {};
  if (from != null) for (const name of Object.getOwnPropertyNames(from)) if (name !== "default") exports.__createBinding(to, from, name);
  exports.__setModuleDefault(to, from);
  return to;
};
exports.__exportStar = (from, to) => {
  for (const name in from) if (name !== "default" && !has.call(to, name)) exports.__createBinding(to, from, name);
};`;
}

/** The check that is left out asks for the client's own `engines.vscode`; ours must not promise less. */
function sameEngines() {
  const engine = (path) => JSON.parse(readFileSync(fileURLToPath(new URL(path, import.meta.url)), "utf8")).engines.vscode;
  const [ours, theirs] = [engine("../package.json"), engine("../node_modules/vscode-languageclient/package.json")];
  if (ours !== theirs) throw new Error(`engines.vscode is ${ours}, the language client wants ${theirs}`);
}
