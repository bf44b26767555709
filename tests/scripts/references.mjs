// What the TypeScript language service finds as references of symbols that are declared at the top level of modules.
//
//   node references.mjs TYPESCRIPT-DIR ROOT COUNT SEED [EXCLUDED-PATH-PART...]
//
// Prints one JSON document: `files`, those that the project of ROOT/tsconfig.json has, and `symbols: [{file, name, at, references:
// [{file, at, alias}]}]`, places as bytes of UTF-8. Only files below ROOT count, without node_modules. `alias` marks a name that an import or export gives to something (`b` of
// `a as b`, a default import's own name): it is a new name and not a use of the old one. References in comments are left out.
import { createRequire } from "node:module";
import { readFileSync, existsSync } from "node:fs";
import { join, relative, resolve } from "node:path";

const [typescript, directory, count, seed, ...excluded] = process.argv.slice(2);
const root = resolve(directory);
const ts = createRequire(import.meta.url)(typescript);

const isHere = (path) => {
  const parts = relative(root, path).split("/");
  return !parts.includes("..") && !parts.includes("node_modules") && !excluded.some((part) => parts.includes(part));
};

// The files are those of the project: another project's may declare the same modules in another way.
const config = join(root, "tsconfig.json");
const parsed = ts.parseJsonConfigFileContent(
  existsSync(config) ? ts.readConfigFile(config, ts.sys.readFile).config : {},
  ts.sys,
  root,
  undefined,
  config,
);
const files = parsed.fileNames.filter(isHere).sort();
const options = { ...parsed.options, checkJs: false, noEmit: true, types: [], skipLibCheck: true, composite: false, incremental: false };
if (options.moduleResolution === undefined) options.moduleResolution = ts.ModuleResolutionKind.Bundler;
if (options.module === undefined) options.module = ts.ModuleKind.ESNext;

const texts = new Map();
const text = (file) => {
  if (!texts.has(file)) texts.set(file, readFileSync(file, "utf8"));
  return texts.get(file);
};
const service = ts.createLanguageService(
  {
    getScriptFileNames: () => files,
    getScriptVersion: () => "1",
    getScriptSnapshot: (file) => (existsSync(file) ? ts.ScriptSnapshot.fromString(text(file)) : undefined),
    getCurrentDirectory: () => root,
    getCompilationSettings: () => options,
    getDefaultLibFileName: (options) => ts.getDefaultLibFilePath(options),
    fileExists: ts.sys.fileExists,
    readFile: ts.sys.readFile,
    readDirectory: ts.sys.readDirectory,
    directoryExists: ts.sys.directoryExists,
    getDirectories: ts.sys.getDirectories,
    realpath: ts.sys.realpath,
  },
  ts.createDocumentRegistry(),
);
const program = service.getProgram();

// Park and Miller's generator: the same seed gives the same sample.
let state = Number(seed) || 1;
const random = (below) => {
  state = (state * 48271) % 2147483647;
  return state % below;
};

const ascii = new Map();
const bytes = (file, at) => {
  const whole = text(file);
  if (!ascii.has(file)) ascii.set(file, Buffer.byteLength(whole) === whole.length);
  return ascii.get(file) ? at : Buffer.byteLength(whole.slice(0, at));
};

const declared = [];
for (const file of files) {
  const source = program.getSourceFile(file);
  if (!source) continue;
  const names = (name) => {
    if (ts.isIdentifier(name)) declared.push({ file, name });
    // `const { a } = b` is two symbols, the variable and the property, whose references the service gives together.
    else
      name.elements
        .filter((element) => ts.isBindingElement(element) && (element.propertyName || ts.isArrayBindingPattern(name)))
        .forEach((element) => names(element.name));
  };
  // What `declare global` declares is as if it stood at the top of a script.
  const isGlobal = (statement) => ts.isModuleDeclaration(statement) && statement.name.text === "global" && ts.isGlobalScopeAugmentation(statement);
  for (const statement of source.statements.flatMap((each) => (isGlobal(each) ? [...each.body.statements] : [each]))) {
    if (ts.isVariableStatement(statement)) statement.declarationList.declarations.forEach((each) => names(each.name));
    else if (statement.name && ts.isIdentifier(statement.name) && (ts.isFunctionDeclaration(statement) || ts.isClassDeclaration(statement) || ts.isInterfaceDeclaration(statement) || ts.isTypeAliasDeclaration(statement) || ts.isEnumDeclaration(statement) || ts.isModuleDeclaration(statement)))
      declared.push({ file, name: statement.name });
  }
}

const token = (file, at) => {
  let found = program.getSourceFile(file);
  for (let next = found; next; ) {
    found = next;
    next = undefined;
    ts.forEachChild(found, (child) => {
      if (!next && child.getStart() <= at && at < child.getEnd()) next = child;
    });
  }
  return found;
};
const isAlias = (node) => {
  const parent = node.parent;
  if (!parent) return false;
  if (ts.isImportSpecifier(parent) || ts.isExportSpecifier(parent)) return parent.propertyName !== undefined && parent.name === node;
  return (ts.isImportClause(parent) || ts.isNamespaceImport(parent) || ts.isNamespaceExport(parent) || ts.isImportEqualsDeclaration(parent)) && parent.name === node;
};
// A comment is no part of the tree, so that the innermost node around it is not a name.
const isName = (node) => ts.isIdentifier(node) || ts.isStringLiteralLike(node) || node.kind === ts.SyntaxKind.DefaultKeyword;

const symbols = [];
while (symbols.length < Number(count) && declared.length > 0) {
  const [{ file, name }] = declared.splice(random(declared.length), 1);
  const at = name.getStart();
  const found = service.findReferences(file, at) ?? [];
  const references = new Map();
  for (const reference of found.flatMap((symbol) => symbol.references)) {
    if (!isHere(reference.fileName)) continue;
    const path = relative(root, reference.fileName);
    const node = token(reference.fileName, reference.textSpan.start);
    if (!isName(node)) continue;
    const place = bytes(reference.fileName, reference.textSpan.start);
    references.set(`${path}:${place}`, { file: path, at: place, alias: isAlias(node) });
  }
  symbols.push({ file: relative(root, file), name: name.text, at: bytes(file, at), references: [...references.values()] });
}
const seen = program.getSourceFiles().map((source) => source.fileName);
console.log(JSON.stringify({ files: seen.filter(isHere).map((path) => relative(root, path)), symbols }));
