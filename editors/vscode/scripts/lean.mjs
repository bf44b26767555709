// Leaves out of the bundle what the language client has and Krins' server never asks for: a third of its bytes, and of what it tells
// the server it can do. `test/server.test.ts` asks the real server for its capabilities and fails when one of these is among them.

import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";

/** Files of `vscode-languageclient/lib/common`, each with the server capability that would need it. */
export const ABSENT = {
  callHierarchy: "callHierarchyProvider",
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
  typeDefinition: "typeDefinitionProvider",
  typeHierarchy: "typeHierarchyProvider",
  workspaceSymbol: "workspaceSymbolProvider",
};

const PACKAGES = /[\\/]node_modules[\\/]vscode-(?:languageclient|languageserver-protocol|jsonrpc)[\\/]lib[\\/].*\.js$/;
const FEATURES = new RegExp(`[\\\\/]vscode-languageclient[\\\\/]lib[\\\\/]common[\\\\/](?:${Object.keys(ABSENT).join("|")})\\.js$`);

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
      build.onLoad({ filter: PACKAGES }, ({ path }) => ({ contents: share(readFileSync(path, "utf8")) }));
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
