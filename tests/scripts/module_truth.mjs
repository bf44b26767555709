// The TypeScript compiler's word on which file imports which, for any directory of TypeScript and JavaScript.
//
//   node module_truth.mjs DIR TYPESCRIPT [--built] [--nearest] > truth.json
//
// TYPESCRIPT is the directory of the compiler's package. The answer is {"files", "specifiers", "edges": [[from, to], …]}: each
// pair of files once, sorted, both ends code below DIR, a file's edges to itself left out. Every specifier goes through
// ts.resolveModuleName with the options of the tsconfig that owns the file: the nearest one above whose files include it (or
// one that it references), else the one at the root (with --nearest: the nearest one above). Packages of a workspace are
// linked into the node_modules at its root, as an install does; nothing else is installed. With --built, what a build makes
// is there too, and means its source: what the compiler says it would write for each tsconfig (ts.getOutputFileNames), and, for
// packages that other tools build, `dist/x` for `src/x`.
//
// An edge is a static, dynamic or type import, a re-export, `import a = require()`, an augmentation of a module, and, in
// JavaScript, `require()`: what the compiler itself follows.

import { createRequire } from "node:module";
import fs from "node:fs";
import path from "node:path";

const flags = process.argv.slice(4);
const root = fs.realpathSync(path.resolve(process.argv[2]));
const ts = createRequire(import.meta.url)(path.resolve(process.argv[3]));
const built = flags.includes("--built");
const nearest = flags.includes("--nearest");

const CODE = /\.(ts|tsx|mts|cts|js|jsx|mjs|cjs)$/;

/** Every file below the root but for installed packages and hidden directories, from the root. */
function walk(dir, below, found) {
  for (const entry of fs.readdirSync(dir, { withFileTypes: true })) {
    if (entry.name === "node_modules" || (entry.isDirectory() && entry.name.startsWith("."))) continue;
    const inside = below ? `${below}/${entry.name}` : entry.name;
    if (entry.isDirectory()) walk(path.join(dir, entry.name), inside, found);
    else if (entry.isFile()) found.push(inside);
  }
  return found;
}

const everything = walk(root, "", []);
const files = everything.filter((file) => CODE.test(file)).sort();
const known = new Set(everything);
const folders = new Set(everything.flatMap((file) => ancestors(path.posix.dirname(file))));

/** The directory and those above it, the root ("") last. */
function ancestors(dir) {
  const all = [];
  for (let at = dir === "." ? "" : dir; ; at = at.includes("/") ? at.slice(0, at.lastIndexOf("/")) : "") {
    all.push(at);
    if (!at) return all;
  }
}

/** What installs would link: by the path of the link, the directory of the package. A directory is a workspace by the globs of its manifest or of pnpm. */
function packages() {
  const read = (file) => (known.has(file) ? fs.readFileSync(path.join(root, file), "utf8") : "");
  const dirs = everything.filter((file) => path.posix.basename(file) === "package.json").map((file) => path.posix.dirname(file));
  const found = new Map();
  for (const workspace of dirs.sort()) {
    const manifest = JSON.parse(read(path.posix.join(workspace, "package.json")) || "{}");
    const yaml = read(path.posix.join(workspace, "pnpm-workspace.yaml")).match(/^packages:\s*\n((?:\s*(?:-.*|#.*)?\n?)*)/m)?.[1] ?? "";
    const globs = [manifest.workspaces?.packages ?? manifest.workspaces ?? []].flat();
    globs.push(...[...yaml.matchAll(/^\s*-\s*['"]?([^'"#\n]+?)['"]?\s*$/gm)].map((match) => match[1]));
    const tests = globs.map((glob) => [glob.startsWith("!"), pattern(glob.replace(/^!/, ""))]);
    for (const dir of dirs) {
      const below = path.posix.relative(workspace, dir);
      const taken = tests.reduce((taken, [not, test]) => (test.test(below) ? !not : taken), false);
      const name = taken && JSON.parse(read(`${dir}/package.json`)).name;
      const link = path.posix.join(workspace, "node_modules", name || "");
      if (name && !found.has(link)) found.set(link, dir);
    }
  }
  return found;
}

function pattern(glob) {
  const parts = glob.replace(/^\.\//, "").replace(/\/$/, "").split("/");
  const texts = parts.map((part) => (part === "**" ? "(?:.+)" : part.replace(/[.+^${}()|[\]\\]/g, "\\$&").replace(/\*/g, "[^/]*")));
  return new RegExp(`^${texts.join("/")}$`);
}

const linked = packages();

const scopes = new Set([...linked.keys()].flatMap((link) => [path.posix.dirname(link), link.slice(0, link.lastIndexOf("node_modules") + 12)]));

/** Where a path through a link leads; other paths are as they are. */
function followed(inside) {
  const match = inside.match(/^((?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+)(\/.*)?$/);
  const dir = match && linked.get(match[1]);
  return dir === undefined || dir === null ? inside : dir + (match[2] ?? "");
}

/** Sources by the file that the compiler would make of them, and the directories that these would lie in. */
const made = new Map();
const madeFolders = new Set();
function build() {
  for (const file of everything.filter((file) => /(^|\/)tsconfig[^/]*\.json$/.test(file)).sort()) {
    const parsed = ts.getParsedCommandLineOfConfigFile(path.join(root, file), {}, host);
    if (!parsed || !(parsed.options.outDir || parsed.options.declarationDir)) continue;
    const options = { ...parsed, options: { ...parsed.options, noEmit: false, declaration: true } };
    for (const input of parsed.fileNames.filter((name) => !/\.d\.[mc]?ts$/.test(name))) {
      for (const output of ts.getOutputFileNames(options, input, false)) {
        const name = relative(output);
        if (!known.has(name) && !made.has(name)) made.set(name, relative(input));
        for (const dir of ancestors(path.posix.dirname(name))) madeFolders.add(dir);
      }
    }
  }
}

const SOURCES = [
  [/\.d\.(m|c)?ts$/, [".ts", ".tsx"]],
  [/\.(m|c)?js$/, [".ts", ".tsx", ".js"]],
];

/** The source of a built file that is not there. */
function source(inside) {
  if (!built || known.has(inside)) return inside;
  if (made.has(inside)) return made.get(inside);
  const at = `/${inside}`.lastIndexOf("/dist/");
  if (at < 0) return inside;
  const place = inside.slice(0, at) + "src/" + inside.slice(at + "dist/".length);
  for (const [end, extensions] of SOURCES) {
    if (!end.test(place)) continue;
    for (const extension of extensions) {
      const candidate = place.replace(end, extension);
      if (known.has(candidate)) return candidate;
    }
  }
  return inside;
}

/** Where a built directory comes from. */
function sourceDirectory(inside) {
  const at = `/${inside}/`.lastIndexOf("/dist/");
  return !built || at < 0 ? inside : `${inside.slice(0, at)}src${inside.slice(at + "dist".length)}`;
}

const relative = (name) => path.posix.relative(root, path.posix.resolve(root, name));
const real = (name) => source(followed(relative(name)));

const host = {
  ...ts.sys,
  useCaseSensitiveFileNames: true,
  getCurrentDirectory: () => root,
  fileExists: (name) => known.has(real(name)),
  readFile: (name) => (known.has(real(name)) ? ts.sys.readFile(path.join(root, real(name))) : undefined),
  directoryExists: (name) => {
    const inside = followed(relative(name));
    return scopes.has(inside) || folders.has(inside) || madeFolders.has(inside) || folders.has(sourceDirectory(inside));
  },
  realpath: (name) => path.join(root, followed(relative(name))),
  onUnRecoverableConfigFileDiagnostic: () => {},
};

if (built) build();

const projects = new Map();
/** A tsconfig with its options and the files it includes. */
function project(file) {
  if (!projects.has(file)) {
    projects.set(file, null);
    const parsed = ts.getParsedCommandLineOfConfigFile(path.join(root, file), {}, host);
    const options = parsed?.options ?? {};
    const references = (parsed?.projectReferences ?? []).map((reference) => relative(ts.resolveProjectReferencePath(reference)));
    const cache = ts.createModuleResolutionCache(root, (name) => name, options);
    projects.set(file, { file, options, references, cache, owns: new Set(parsed?.fileNames.map(relative) ?? []) });
  }
  return projects.get(file);
}

const NONE = { options: { allowJs: true, moduleResolution: ts.ModuleResolutionKind.Bundler, module: ts.ModuleKind.ESNext }, cache: undefined };

function owner(file, seen, config) {
  if (!known.has(config) || seen.has(config)) return undefined;
  seen.add(config);
  const found = project(config);
  if (!found || found.owns.has(file)) return found ?? undefined;
  for (const reference of found.references) {
    const inside = owner(file, seen, reference);
    if (inside) return inside;
  }
  return undefined;
}

const configs = (dir) => ["tsconfig.json", "jsconfig.json"].map((name) => (dir ? `${dir}/${name}` : name));

function projectOf(file) {
  const above = ancestors(path.posix.dirname(file)).flatMap(configs).filter((config) => known.has(config));
  for (const config of above) {
    const found = owner(file, new Set(), config);
    if (found) return found;
  }
  const fallback = nearest ? above[0] : above.find((config) => !config.includes("/"));
  return (fallback && project(fallback)) || NONE;
}

/** The literals that name modules. */
function specifiers(source, javascript) {
  const found = [];
  const take = (node) => node && ts.isStringLiteralLike(node) && found.push(node);
  const visit = (node) => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) take(node.moduleSpecifier);
    else if (ts.isExternalModuleReference(node)) take(node.expression);
    else if (ts.isImportTypeNode(node)) take(ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined);
    else if (ts.isModuleDeclaration(node) && ts.isStringLiteral(node.name)) take(ts.isExternalModule(source) ? node.name : undefined);
    else if (ts.isCallExpression(node)) {
      const required = javascript && ts.isIdentifier(node.expression) && node.expression.text === "require";
      if (required || node.expression.kind === ts.SyntaxKind.ImportKeyword) take(node.arguments[0]);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

const edges = new Set();
let count = 0;
for (const file of files) {
  const { options, cache } = projectOf(file);
  const name = path.join(root, file);
  const format = { languageVersion: ts.ScriptTarget.ESNext };
  format.impliedNodeFormat = ts.getImpliedNodeFormatForFile(name, cache?.getPackageJsonInfoCache(), host, options);
  const source = ts.createSourceFile(name, ts.sys.readFile(name), format, true);
  for (const literal of specifiers(source, /\.[mc]?jsx?$/.test(file))) {
    count += 1;
    const mode = ts.getModeForUsageLocation(source, literal, options);
    const found = ts.resolveModuleName(literal.text, name, options, host, cache, undefined, mode).resolvedModule;
    const target = found && real(found.resolvedFileName);
    if (target && target !== file && CODE.test(target) && known.has(target)) edges.add(`${file}\n${target}`);
  }
}
const sorted = [...edges].sort().map((edge) => edge.split("\n"));
process.stdout.write(JSON.stringify({ files: files.length, specifiers: count, edges: sorted }) + "\n");
