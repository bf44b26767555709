//! Which file imports which, against the TypeScript compiler's own resolution (`tests/scripts/module_truth.mjs`): on the
//! sources of packages that none of us wrote, and on a workspace with every trap that resolvers fall into.

use krins_core::RelPath;
use krins_core::graph::{ImportKind, ResolveConfig, Resolver, analyse};
use krins_core::syntax::Language;
use krins_tests::figures::note;
use krins_tests::npm;
use krins_tests::workspace::Workspace;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

type Edges = BTreeSet<(String, String)>;

/// What the compiler says, and what Krins says without and with what it infers.
struct Compared {
    compiler: Edges,
    plain: Edges,
    all: Edges,
}

impl Compared {
    fn of(workspace: &Workspace, flags: &[&str]) -> Self {
        let (plain, all) = resolved(workspace);
        Self { compiler: truth(workspace, flags), plain, all }
    }

    /// Recall and precision of `edges`.
    fn figures(&self, edges: &Edges) -> (f64, f64) {
        let both = self.compiler.intersection(edges).count() as f64;
        (both / self.compiler.len() as f64, both / edges.len() as f64)
    }
}

fn truth(workspace: &Workspace, flags: &[&str]) -> Edges {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/module_truth.mjs");
    let mut command = npm::node();
    let output = command.arg(script).arg(workspace.root()).arg(npm::typescript()).args(flags).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    serde_json::from_value(answer["edges"].clone()).unwrap()
}

fn resolved(workspace: &Workspace) -> (Edges, Edges) {
    let mut texts: BTreeMap<RelPath, Arc<str>> = BTreeMap::new();
    for (path, bytes) in workspace.snapshot() {
        let path = RelPath::new(path.to_str().unwrap()).unwrap();
        texts.insert(path, String::from_utf8(bytes).unwrap().into());
    }
    let code: BTreeMap<_, _> = texts.iter().filter(|(path, _)| Language::of(path).is_some()).collect();
    let resolver = Resolver::new(Arc::new(ResolveConfig::from_files(&texts)), code.keys().copied());
    let (mut plain, mut all) = (Edges::new(), Edges::new());
    for (path, text) in code {
        let facts = analyse(path, text).facts;
        let script = !facts.is_module();
        for import in &facts.imports {
            // The compiler knows no `require` outside of JavaScript, and in a script `declare module` imports nothing.
            let ours = match import.kind {
                ImportKind::Require => !path.extension().contains("js"),
                ImportKind::Augment => script,
                _ => false,
            };
            let Some(found) = resolver.resolution(path, &import.specifier).filter(|found| !ours && found.path != *path)
            else {
                continue;
            };
            let edge = (path.to_string(), found.path.to_string());
            if !found.inferred {
                plain.insert(edge.clone());
            }
            all.insert(edge);
        }
    }
    (plain, all)
}

/// At these figures the graph is as good as the compiler's; the rest are its oddities.
fn hold(name: &str, compared: &Compared) {
    for (kind, edges) in [("as it is", &compared.plain), ("all", &compared.all)] {
        let (recall, precision) = compared.figures(edges);
        note(&format!(
            "module graph of {name}, {kind}: recall {recall:.4}, precision {precision:.4} of {}",
            edges.len()
        ));
        let missing: Vec<_> = compared.compiler.difference(edges).take(20).collect();
        let more: Vec<_> = edges.difference(&compared.compiler).take(20).collect();
        assert!(recall >= 0.997, "{name}, {kind}: recall {recall}, missing {missing:#?}");
        assert!(precision >= 0.999, "{name}, {kind}: precision {precision}, more {more:#?}");
    }
}

fn package(name: &str, version: &str, tsconfig: Option<&str>) {
    let workspace = Workspace::empty();
    npm::sources(name, version, &workspace);
    if let Some(text) = tsconfig {
        workspace.write("tsconfig.json", text);
    }
    let compared = Compared::of(&workspace, &[]);
    assert!(compared.compiler.len() > 300, "{name} has {} edges", compared.compiler.len());
    hold(name, &compared);
}

#[test]
fn rxjs_is_as_the_compiler_says() {
    package("rxjs", "7.8.2", None);
}

#[test]
fn zod_is_as_the_compiler_says() {
    let tsconfig =
        r#"{"compilerOptions": {"module": "nodenext", "customConditions": ["@zod/source"]}, "include": ["src"]}"#;
    package("zod", "4.6.7", Some(tsconfig));
}

#[test]
fn effect_is_as_the_compiler_says() {
    package("effect", "3.22.4", Some(r#"{"compilerOptions": {"module": "nodenext"}, "include": ["src"]}"#));
}

const TRAPS: &str = r##"
//- /package.json
{"name": "traps", "private": true, "workspaces": {"packages": ["packages/*", "!packages/left-out"]}}
//- /tsconfig.json
{"files": [], "include": [], "references": [{"path": "./tsconfig.all.json"}], "compilerOptions": {"module": "esnext",
 "moduleResolution": "bundler", "paths": {"root/*": ["./scripts/*"]}}}
//- /tsconfig.all.json
{"files": [], "references": [{"path": "./packages/app"}, {"path": "./packages/kit/tsconfig.build.json"}]}
//- /scripts/build.ts
import "./tool.js";
import "root/tool";
import "@traps/kit";
import "app";
//- /scripts/tool.ts
export {};
//- /packages/app/package.json
{"name": "app", "type": "module", "imports": {"#util/*": "./src/util/*.js", "#gone": "./src/gone.js"}, "dependencies": {"left-out": "1"}}
//- /packages/app/tsconfig.json
// A base that is not installed, and one of the workspace, which counts from where it lies.
{"extends": ["@tsconfig/strictest/tsconfig.json", "@traps/config/base.json"], "compilerOptions": {"composite": true, "rootDirs":
 ["src", "generated"], "moduleSuffixes": [".web", ""], "customConditions": ["source"],}, "include": ["src", "generated"],}
//- /packages/app/src/index.ts
import { a } from "./a";
import type { B } from "./dir";
import both from "./both.js";
import "./messages";
import "@/util/text";
import "#util/text";
import "#gone";
import "@traps/kit";
import "@traps/kit/features/one";
import "@traps/sourced";
import "left-out";
import "react";
import lib = require("./lib.cjs");
export * from "./view.jsx";
export * as ns from "./typed.mjs";
type C = import("./lazy").C;
const later = () => import(/* a chunk */ `./lazy`);
import text from "./a?raw";
import "virtual:env";
declare module "./a" { interface A { b: 1 } }
//- /packages/app/src/a.ts
export interface A {}
export const a = 1;
//- /packages/app/src/a.web.ts
export interface A {}
export const a = 2;
//- /packages/app/src/dir/index.ts
export type B = 1;
//- /packages/app/src/dir.js
exports.b = 1;
//- /packages/app/src/both.js
module.exports = require("./legacy");
//- /packages/app/src/both.d.ts
export default 1;
//- /packages/app/src/legacy.js
exports.x = () => require(`./lib.cjs`);
//- /packages/app/src/lib.cts
export = 1;
//- /packages/app/src/view.tsx
export const view = 1;
//- /packages/app/src/typed.mts
export const typed = 1;
//- /packages/app/src/lazy.ts
export type C = 1;
//- /packages/app/src/env.d.ts
declare module "virtual:env" {}
declare module "./nothing" {}
//- /packages/app/src/util/text.ts
export {};
//- /packages/app/generated/messages.ts
import "./lazy";
//- /packages/app/test/index.test.ts
import "../src";
import "@/util/text";
import "root/tool";
//- /packages/tsconfig/package.json
{"name": "@traps/config"}
//- /packages/tsconfig/base.json
{"compilerOptions": {"module": "esnext", "moduleResolution": "bundler", "paths": {"@/*": ["../app/src/*"]}}}
//- /packages/kit/package.json
{"name": "@traps/kit", "exports": {".": {"types": "./dist/types/index.d.ts", "default": "./dist/esm/index.js"}, "./features/*":
 {"types": "./dist/types/features/*.d.ts"}, "./internal/*": null}}
//- /packages/kit/tsconfig.build.json
{"compilerOptions": {"module": "esnext", "moduleResolution": "bundler", "rootDir": "code", "outDir": "dist/types", "declaration": true}, "include": ["code"]}
//- /packages/kit/code/index.ts
export * from "./features/one";
//- /packages/kit/code/features/one.ts
export const one = 1;
//- /packages/sourced/package.json
{"name": "@traps/sourced", "exports": {"source": "./main.ts", "default": "./dist/main.js"}}
//- /packages/sourced/main.ts
export {};
//- /packages/left-out/package.json
{"name": "left-out", "version": "1.2.0", "main": "./dist/index"}
//- /packages/left-out/src/index.ts
export {};
//- /packages/versioned/package.json
{"name": "@traps/versioned", "types": "index.d.ts", "typesVersions": {"<5.0": {"*": ["old/*"]}, ">=5.1 <5.2 || 5.x": {"*": ["new/*"],
 "deep/*": ["gone/*", "new/inner/*.d.ts"], "lost/*": ["nowhere/*"], "exact": ["new/one/index.d.ts"]}, "*": {"*": ["old/*"]}}}
//- /packages/versioned/index.d.ts
export {};
//- /packages/versioned/plain.d.ts
export {};
//- /packages/versioned/lost/a.d.ts
export {};
//- /packages/versioned/old/index.d.ts
export {};
//- /packages/versioned/new/index.d.ts
export {};
//- /packages/versioned/new/plain.d.ts
export {};
//- /packages/versioned/new/inner/two.d.ts
export {};
//- /packages/versioned/new/one/index.d.ts
export {};
//- /packages/versioned/new/dir/index.d.ts
export {};
//- /packages/fallen/package.json
{"name": "@traps/fallen", "main": "./main", "typesVersions": {"^5": {"main": ["none"]}}}
//- /packages/fallen/main.ts
export {};
//- /packages/fallen/other.ts
export {};
//- /packages/exported/package.json
{"name": "@traps/exported", "exports": {".": "./a.ts"}, "typesVersions": {"*": {"*": ["b.ts"]}}}
//- /packages/exported/a.ts
export {};
//- /packages/exported/b.ts
export {};
//- /scripts/versions.ts
import "@traps/versioned";
import "@traps/versioned/plain";
import "@traps/versioned/deep/two";
import "@traps/versioned/exact";
import "@traps/versioned/dir";
import "@traps/fallen";
import "@traps/fallen/other";
import "@traps/exported";
//- /scripts/lost.ts
import "@traps/versioned/lost/a";
//- /loose/tsconfig.json
{"extends": "./tsconfig.json", "references": [{"path": "../nowhere"}], "compilerOptions": {"baseUrl": "."}}
//- /loose/lib/x.ts
import "lib/y";
import "./y/";
//- /loose/lib/y.ts
export {};
"##;

#[test]
fn no_trap_costs_an_edge() {
    let workspace = Workspace::from_fixture(TRAPS.trim_start());
    let compared = Compared::of(&workspace, &[]);
    assert!(compared.compiler.len() >= 15, "{:#?}", compared.compiler);
    let differ = |ours: &Edges, theirs: &Edges| -> Vec<String> {
        ours.symmetric_difference(theirs).map(|(from, to)| format!("{from} -> {to}")).collect()
    };
    assert_eq!(differ(&compared.plain, &compared.compiler), Vec::<String>::new(), "as it is");
    // With what a build makes the compiler finds more; what is left is that of bundlers, test runners and people.
    let built = truth(&workspace, &["--built"]);
    assert_eq!(
        differ(&compared.all, &built),
        [
            "packages/app/src/index.ts -> packages/app/src/a.ts",
            "packages/app/src/index.ts -> packages/left-out/src/index.ts",
            "packages/app/test/index.test.ts -> packages/app/src/util/text.ts",
            "scripts/build.ts -> packages/app/src/index.ts",
            "scripts/lost.ts -> packages/versioned/lost/a.d.ts",
            "scripts/versions.ts -> packages/fallen/main.ts",
            "scripts/versions.ts -> packages/versioned/new/dir/index.d.ts",
        ]
    );
}
