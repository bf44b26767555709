//! A row per trap: who imports what, and which file that is.

use super::*;

/// `files` are (path, content); each row is (importing file, specifier, expected path or `-`), with a `~` before a path
/// that is inferred: the TypeScript compiler would not find it in the files as they are.
fn check(files: &[(&str, &str)], rows: &[(&str, &str, &str)]) {
    let resolver = resolver(files);
    let differ = rows.iter().filter_map(|(from, specifier, expect)| {
        let found = found(&resolver, from, specifier);
        (found != *expect).then(|| format!("{specifier} in {from} is {found}, not {expect}"))
    });
    assert_eq!(differ.collect::<Vec<_>>(), Vec::<String>::new());
}

fn resolver(files: &[(&str, &str)]) -> Resolver {
    let files: BTreeMap<RelPath, Arc<str>> =
        files.iter().map(|(path, text)| (RelPath::new(path).unwrap(), Arc::from(*text))).collect();
    Resolver::new(Arc::new(ResolveConfig::from_files(&files)), files.keys())
}

fn found(resolver: &Resolver, from: &str, specifier: &str) -> String {
    match resolver.resolution(&RelPath::new(from).unwrap(), specifier) {
        Some(Resolution { path, inferred }) => format!("{}{path}", if inferred { "~" } else { "" }),
        None => "-".to_owned(),
    }
}

#[test]
fn relative_specifiers_find_their_file() {
    check(
        &[
            ("src/a.ts", ""),
            ("src/b.tsx", ""),
            ("src/c.js", ""),
            ("src/both.ts", ""),
            ("src/both.js", ""),
            ("src/e.mts", ""),
            ("src/f.d.ts", ""),
            ("src/dir/index.ts", ""),
            ("src/name.test.ts", ""),
            ("src/a/index.ts", ""),
            ("index.ts", ""),
            ("src/x.vue", ""),
            ("src/data.json", "{}"),
        ],
        &[
            ("src/z.ts", "./a", "src/a.ts"),
            ("src/z.ts", "./a.js", "src/a.ts"),
            ("src/z.ts", "./a.ts", "src/a.ts"),
            ("src/z.ts", "./b", "src/b.tsx"),
            ("src/z.ts", "./b.js", "src/b.tsx"),
            ("src/z.ts", "./b.jsx", "src/b.tsx"),
            ("src/z.ts", "./c", "src/c.js"),
            ("src/z.ts", "./c.js", "src/c.js"),
            ("src/z.ts", "./both.js", "src/both.ts"),
            ("src/z.ts", "./e.mjs", "src/e.mts"),
            ("src/z.ts", "./f", "src/f.d.ts"),
            ("src/z.ts", "./dir", "src/dir/index.ts"),
            ("src/z.ts", "./dir/", "src/dir/index.ts"),
            ("src/z.ts", "./dir/index.js", "src/dir/index.ts"),
            ("src/z.ts", "./a/", "src/a/index.ts"),
            ("src/dir/z.ts", ".", "src/dir/index.ts"),
            ("src/z.ts", "..", "index.ts"),
            ("src/z.ts", "./name.test", "src/name.test.ts"),
            ("src/z.ts", "./x.vue", "src/x.vue"),
            ("src/z.ts", "./data.json", "src/data.json"),
            ("src/z.ts", "./a?raw", "~src/a.ts"),
            ("src/z.ts", "./none", "-"),
            ("src/z.ts", "../../outside", "-"),
            ("src/z.ts", "", "-"),
            ("src/z.ts", "react", "-"),
        ],
    );
}

#[test]
fn tsconfig_paths_are_followed_from_the_nearest_up() {
    check(
        &[
            (
                "tsconfig.json",
                r#"{ // base
                "extends": "@missing/tsconfig", "compilerOptions": { "paths": {
                "@/*": ["./src/*"], "@/special/*": ["./other/*"], "one": ["./src/a.ts",], } /* end */ } }"#,
            ),
            ("src/a.ts", ""),
            ("src/ui/b.tsx", ""),
            ("other/a.ts", ""),
            ("tests/t.ts", ""),
            ("app/tsconfig.base.json", r#"{"compilerOptions": {"baseUrl": "./lib", "paths": {"~/*": ["*"]}}}"#),
            (
                "app/tsconfig.json",
                r#"{"extends": ["./tsconfig.base"], "references": [{"path": "./tsconfig.app.json"}]}"#,
            ),
            ("app/lib/c.ts", ""),
            ("app/src/x.ts", ""),
            ("solution/tsconfig.json", r#"{"files": [], "references": [{"path": "./tsconfig.app.json"}]}"#),
            ("solution/tsconfig.app.json", r#"{"compilerOptions": {"paths": {"$/*": ["${configDir}/src/*"]}}}"#),
            ("solution/src/y.ts", ""),
            ("loop/tsconfig.json", r#"{"extends": "./tsconfig.json"}"#),
            ("bad/tsconfig.json", "not json"),
        ],
        &[
            ("src/z.ts", "@/a", "src/a.ts"),
            ("src/z.ts", "@/ui/b.js", "src/ui/b.tsx"),
            ("src/z.ts", "@/special/a", "other/a.ts"),
            ("src/z.ts", "one", "src/a.ts"),
            ("tests/t.ts", "@/a", "src/a.ts"),
            ("app/src/x.ts", "~/c", "app/lib/c.ts"),
            ("app/src/x.ts", "c", "app/lib/c.ts"),
            ("app/src/x.ts", "@/a", "~src/a.ts"),
            ("solution/src/z.ts", "$/y", "solution/src/y.ts"),
            ("loop/z.ts", "@/a", "~src/a.ts"),
            ("bad/z.ts", "@/a", "src/a.ts"),
            ("src/z.ts", "@/none", "-"),
            ("src/z.ts", "@scope/a", "-"),
        ],
    );
}

#[test]
fn packages_of_the_workspace_lead_to_their_sources() {
    check(
        &[
            ("package.json", r##"{"name": "root", "imports": {"#util/*": "./src/util/*.js", "#dep": "core"}}"##),
            ("src/util/a.ts", ""),
            (
                "packages/core/package.json",
                r#"{"name": "core", "main": "./dist/index.js", "types": "./dist/index.d.ts"}"#,
            ),
            ("packages/core/src/index.ts", ""),
            ("packages/core/src/deep/x.ts", ""),
            (
                "packages/kit/package.json",
                r#"{"name": "@s/kit", "exports": {
                    ".": {"types": "./dist/types/main.d.ts", "import": "./dist/esm/main.js"},
                    "./sub": ["./lib/sub.mjs"], "./features/*": {"default": "./dist/features/*.js"},
                    "./features/internal/*": null, "./package.json": "./package.json"}}"#,
            ),
            ("packages/kit/src/main.ts", ""),
            ("packages/kit/src/sub.mts", ""),
            ("packages/kit/src/features/f.tsx", ""),
            (
                "packages/src-first/package.json",
                r#"{"name": "src-first", "exports": {".": {"import": "./b.js", "source": "./a.ts"}}}"#,
            ),
            ("packages/src-first/a.ts", ""),
            ("packages/src-first/b.ts", ""),
            ("packages/plain/package.json", r#"{"name": "plain"}"#),
            ("packages/plain/index.js", ""),
            ("packages/plain/lib/x.js", ""),
            ("examples/core/nested/package.json", r#"{"name": "core"}"#),
            ("examples/core/nested/index.ts", ""),
            ("widget/package.json", r#"{"main": "./code.js"}"#),
            ("widget/code.ts", ""),
        ],
        &[
            ("src/z.ts", "#util/a", "src/util/a.ts"),
            ("src/z.ts", "#dep", "~packages/core/src/index.ts"),
            ("src/z.ts", "#none", "-"),
            ("src/z.ts", "core", "~packages/core/src/index.ts"),
            ("src/z.ts", "core/deep/x", "~packages/core/src/deep/x.ts"),
            ("src/z.ts", "core/dist/deep/x.js", "~packages/core/src/deep/x.ts"),
            ("packages/core/src/z.ts", "core", "~packages/core/src/index.ts"),
            ("src/z.ts", "@s/kit", "~packages/kit/src/main.ts"),
            ("src/z.ts", "@s/kit/sub", "~packages/kit/src/sub.mts"),
            ("src/z.ts", "@s/kit/features/f", "~packages/kit/src/features/f.tsx"),
            ("src/z.ts", "src-first", "~packages/src-first/b.ts"),
            ("src/z.ts", "plain", "~packages/plain/index.js"),
            ("src/z.ts", "plain/lib/x", "~packages/plain/lib/x.js"),
            ("src/z.ts", "./../widget", "widget/code.ts"),
            ("src/z.ts", "corex", "-"),
            ("src/z.ts", "@s/none", "-"),
            ("src/z.ts", "@s", "-"),
        ],
    );
}

#[test]
fn a_base_that_is_not_installed_loses_nothing() {
    check(
        &[
            (
                "tsconfig.json",
                r#"{"extends": ["@tsconfig/node20/tsconfig.json", "./base", "./gone.json"],
                    "references": [{"path": "./gone"}, {"path": "."}]}"#,
            ),
            ("base.json.ts", ""),
            ("base/tsconfig.json", r#"{"compilerOptions": {"paths": {"@/*": ["../src/*"]}}}"#),
            ("src/a.ts", ""),
            ("src/b.ts", ""),
        ],
        &[("src/a.ts", "./b", "src/b.ts"), ("src/a.ts", "@/b", "src/b.ts"), ("test/t.ts", "../src/b", "src/b.ts")],
    );
}

#[test]
fn files_that_no_project_includes_keep_aliases() {
    check(
        &[
            ("package.json", r#"{"workspaces": ["packages/*"]}"#),
            ("packages/a/package.json", r#"{"name": "a"}"#),
            (
                "packages/a/tsconfig.json",
                r#"{"include": ["src"], "compilerOptions": {"paths": {"@models": ["./src/models"]}}}"#,
            ),
            ("packages/a/src/models/index.ts", ""),
            ("tsconfig.json", r#"{"include": ["scripts"], "compilerOptions": {"paths": {"~/*": ["./lib/*"]}}}"#),
            ("lib/x.ts", ""),
        ],
        &[
            ("packages/a/src/z.ts", "@models", "packages/a/src/models/index.ts"),
            // The compiler gives these files no project; whoever runs them has the root's.
            ("test/t.ts", "~/x", "lib/x.ts"),
            ("packages/a/test/t.ts", "~/x", "lib/x.ts"),
            ("packages/a/test/t.ts", "@models", "~packages/a/src/models/index.ts"),
            ("packages/a/src/z.ts", "~/x", "~lib/x.ts"),
            ("packages/a/vite.config.js", "@models", "~packages/a/src/models/index.ts"),
        ],
    );
}

#[test]
fn a_root_that_only_refers_leads_to_the_project_that_includes() {
    check(
        &[
            ("tsconfig.json", r#"{"files": [], "include": [], "references": [{"path": "./tsconfig.all.json"}]}"#),
            (
                "tsconfig.all.json",
                r#"{"files": [], "references": [{"path": "./tsconfig.app.json"}, {"path": "test"}]}"#,
            ),
            ("tsconfig.app.json", r#"{"include": ["src"], "compilerOptions": {"paths": {"@/*": ["./src/*"]}}}"#),
            ("test/tsconfig.json", r#"{"compilerOptions": {"paths": {"@/*": ["./fakes/*"]}}}"#),
            ("src/a.ts", ""),
            ("test/fakes/a.ts", ""),
        ],
        &[
            ("src/z.ts", "@/a", "src/a.ts"),
            ("test/z.ts", "@/a", "test/fakes/a.ts"),
            ("scripts/z.ts", "@/a", "~src/a.ts"),
        ],
    );
}

#[test]
fn a_base_in_a_linked_package_counts_from_its_real_place() {
    check(
        &[
            ("pnpm-workspace.yaml", "packages:\n  - 'tools/*'\n  - app\n"),
            ("tools/tsconfig/package.json", r#"{"name": "@acme/tsconfig"}"#),
            (
                "tools/tsconfig/base.json",
                r##"{"compilerOptions": {"paths": {"#/*": ["../../app/src/*"], "own/*": ["${configDir}/src/*"]}}}"##,
            ),
            ("app/package.json", r#"{"name": "app"}"#),
            ("app/tsconfig.json", r#"{"extends": "@acme/tsconfig/base.json"}"#),
            ("app/src/a.ts", ""),
        ],
        &[("app/src/z.ts", "#/a", "app/src/a.ts"), ("app/src/z.ts", "own/a", "app/src/a.ts")],
    );
}

#[test]
fn options_that_change_how_names_are_read() {
    check(
        &[
            (
                "ios/tsconfig.json",
                r#"{"compilerOptions": {"moduleSuffixes": [".ios", ""], "customConditions": ["source"]}}"#,
            ),
            ("ios/a.ts", ""),
            ("ios/a.ios.ts", ""),
            ("ios/b.ts", ""),
            ("web/tsconfig.json", r#"{"compilerOptions": {"rootDirs": ["src", "generated"]}}"#),
            ("web/src/view.ts", ""),
            ("web/generated/messages.ts", ""),
            ("package.json", r#"{"workspaces": {"packages": ["kit"]}}"#),
            (
                "kit/package.json",
                r#"{"name": "kit", "exports": {".": {"source": "./code.ts", "default": "./plain.js"}}}"#,
            ),
            ("kit/code.ts", ""),
            ("kit/plain.js", ""),
            ("old/jsconfig.json", r#"{"compilerOptions": {"baseUrl": "lib"}}"#),
            ("old/lib/x.js", ""),
            ("nx/tsconfig.base.json", r#"{"compilerOptions": {"paths": {"@nx/*": ["libs/*/src/index.ts"]}}}"#),
            ("nx/libs/ui/src/index.ts", ""),
        ],
        &[
            ("ios/z.ts", "./a", "ios/a.ios.ts"),
            ("ios/z.ts", "./a.js", "ios/a.ios.ts"),
            ("ios/z.ts", "./b", "ios/b.ts"),
            ("ios/z.ts", "kit", "kit/code.ts"),
            ("web/src/z.ts", "./a", "-"),
            ("web/src/z.ts", "./messages", "web/generated/messages.ts"),
            ("web/generated/z.ts", "./view", "web/src/view.ts"),
            ("web/src/z.ts", "kit", "kit/plain.js"),
            ("old/z.js", "x", "old/lib/x.js"),
            ("nx/apps/z.ts", "@nx/ui", "~nx/libs/ui/src/index.ts"),
        ],
    );
}

#[test]
fn files_come_before_directories_and_typescript_before_javascript() {
    check(
        &[
            ("a.js", ""),
            ("a/index.ts", ""),
            ("b.js", ""),
            ("b.d.ts", ""),
            ("c.mjs", ""),
            ("d.ts.ts", ""),
            ("e.json", ""),
        ],
        &[
            ("z.ts", "./a", "a.js"),
            ("z.ts", "./a/", "a/index.ts"),
            ("z.ts", "./a.js", "a.js"),
            ("z.ts", "./b.js", "b.d.ts"),
            ("z.ts", "./c", "~c.mjs"),
            ("z.ts", "./c.mjs", "c.mjs"),
            ("z.ts", "./d.ts", "d.ts.ts"),
            ("z.ts", "/b", "~b.d.ts"),
            ("z.ts", "./e", "~e.json"),
        ],
    );
}

#[test]
fn packages_are_found_however_the_workspace_is_told() {
    let package = |name: &str| format!(r#"{{"name": "{name}", "main": "./index.js"}}"#);
    let (a, b, outside) = (package("a"), package("@s/b"), package("outside"));
    for (told, text) in [
        ("package.json", r#"{"workspaces": ["./libs/*"]}"#),
        ("package.json", r#"{"workspaces": {"packages": ["libs/**"]}}"#),
        ("pnpm-workspace.yaml", "packages: ['libs/*']"),
        ("lerna.json", r#"{"packages": ["libs/*"]}"#),
        (
            "rush.json",
            r#"{"projects": [{"packageName": "a", "projectFolder": "libs/a"}, {"projectFolder": "libs/b"}] /* x */}"#,
        ),
    ] {
        check(
            &[
                (told, text),
                ("libs/a/package.json", &a),
                ("libs/a/index.ts", ""),
                ("libs/b/package.json", &b),
                ("libs/b/index.ts", ""),
                ("other/package.json", &outside),
                ("other/index.ts", ""),
                ("user/package.json", r#"{"dependencies": {"outside": "^0.0.1", "twin": "link:../other"}}"#),
                ("elder/package.json", r#"{"dependencies": {"outside": "^4"}}"#),
            ],
            &[
                ("libs/a/z.ts", "@s/b", "libs/b/index.ts"),
                ("z.ts", "a", "libs/a/index.ts"),
                ("z.ts", "a/index.js", "libs/a/index.ts"),
                ("z.ts", "outside", "-"),
                ("user/z.ts", "outside", "~other/index.ts"),
                ("user/z.ts", "twin", "other/index.ts"),
                ("elder/z.ts", "outside", "-"),
                ("other/z.ts", "outside", "~other/index.ts"),
            ],
        );
    }
}

#[test]
fn what_a_build_makes_leads_to_its_source() {
    check(
        &[
            ("package.json", r#"{"workspaces": ["packages/*"]}"#),
            // As its tsconfig says.
            (
                "packages/deep/package.json",
                r#"{"name": "deep", "exports": {".": "./out/types/deep/main.js", "./*": {"types": "./out/types/deep/*.d.ts"}}}"#,
            ),
            ("packages/deep/tsconfig.json", r#"{"extends": "../../base.json", "compilerOptions": {"rootDir": "../"}}"#),
            ("base.tsconfig.json", ""),
            (
                "packages/deep/tsconfig.build.json",
                r#"{"compilerOptions": {"rootDir": "../", "outDir": "./out/types"}}"#,
            ),
            ("packages/deep/main.tsx", ""),
            ("packages/deep/types/index.ts", ""),
            // A directory called as output often is, and is not here.
            (
                "packages/frame/package.json",
                r#"{"name": "frame", "main": "dist/index.js", "exports": {".": "./dist/index.js", "./types": "./dist/types/index.js"}}"#,
            ),
            (
                "packages/frame/tsconfig.json",
                r#"{"include": ["${configDir}/src"], "compilerOptions": {"outDir": "${configDir}/dist"}}"#,
            ),
            ("packages/frame/src/index.ts", ""),
            ("packages/frame/src/types/index.ts", ""),
            // Two flavours, no tsconfig.
            (
                "packages/ui/package.json",
                r#"{"name": "ui", "exports": {".": {"import": {"types": "./dist/esm/index.d.ts"}, "require": "./dist/cjs/index.js"}}}"#,
            ),
            ("packages/ui/src/index.ts", ""),
            // One file made of all.
            (
                "packages/vue/package.json",
                r#"{"name": "vue", "main": "index.js", "exports": {".": {"types": "./dist/vue.d.ts", "default": "./dist/vue.cjs.js"}}}"#,
            ),
            ("packages/vue/src/index.ts", ""),
            ("packages/vue/index.js", ""),
            // Nothing but directories.
            ("packages/bare/package.json", r#"{"name": "bare"}"#),
            ("packages/bare/src/index.ts", ""),
            ("packages/bare/src/sub/index.tsx", ""),
            // A build that was made.
            ("packages/built/package.json", r#"{"name": "built", "main": "dist/index.js"}"#),
            ("packages/built/dist/index.js", ""),
            ("packages/built/src/index.ts", ""),
            (
                "tsconfig.json",
                r#"{"compilerOptions": {"paths": {"@bare": ["./packages/bare/dist"], "@frame/*": ["packages/frame/dist/*"]}}}"#,
            ),
        ],
        &[
            ("z.ts", "deep", "~packages/deep/main.tsx"),
            ("z.ts", "deep/types/index", "~packages/deep/types/index.ts"),
            ("z.ts", "frame", "~packages/frame/src/index.ts"),
            ("z.ts", "frame/types", "~packages/frame/src/types/index.ts"),
            ("z.ts", "frame/dist/types/index.js", "-"),
            ("z.ts", "ui", "~packages/ui/src/index.ts"),
            ("z.ts", "vue", "~packages/vue/src/index.ts"),
            ("z.ts", "bare", "~packages/bare/src/index.ts"),
            ("z.ts", "bare/sub", "~packages/bare/src/sub/index.tsx"),
            ("z.ts", "bare/dist/sub", "~packages/bare/src/sub/index.tsx"),
            ("z.ts", "built", "packages/built/dist/index.js"),
            ("z.ts", "@bare", "~packages/bare/src/index.ts"),
            ("z.ts", "@frame/types", "~packages/frame/src/types/index.ts"),
            ("packages/frame/test/t.ts", "../dist/index.js", "~packages/frame/src/index.ts"),
            ("packages/vue/index.js", "./dist/vue.cjs.js", "-"),
            ("packages/bare/z.ts", "./sub", "-"),
        ],
    );
}

#[test]
fn broken_configuration_costs_only_itself() {
    check(
        &[
            ("package.json", "{ not json"),
            (
                "tsconfig.json",
                r#"{"compilerOptions": "no", "extends": 3, "references": [{}, 1], "include": {"a": 1}, "files": "x"}"#,
            ),
            (
                "a/package.json",
                r#"{"name": 1, "workspaces": "x", "exports": {".": {"import": 5}, "odd": 1}, "dependencies": [1]}"#,
            ),
            (
                "a/tsconfig.json",
                r#"{"compilerOptions": {"paths": {"x": "y", "z": [1, "../../../out"], "": [""]}, "baseUrl": "/abs"}}"#,
            ),
            ("b/tsconfig.json", r#"{"extends": "./tsconfig.json", "references": [{"path": "../b"}]}"#),
            ("b.ts", ""),
            ("pnpm-workspace.yaml", ": : :\n-"),
        ],
        &[
            ("a/z.ts", "../b", "b.ts"),
            ("b/z.ts", "../b", "b.ts"),
            ("z.ts", "./b.js", "b.ts"),
            ("a/z.ts", "z", "-"),
            ("a/z.ts", "x", "-"),
        ],
    );
}

#[test]
fn a_file_that_comes_or_goes_changes_what_is_found() {
    let path = |path: &str| RelPath::new(path).unwrap();
    let first =
        resolver(&[("tsconfig.json", r#"{"compilerOptions": {"paths": {"@/*": ["src/*"]}}}"#), ("src/a.js", "")]);
    assert_eq!(found(&first, "z.ts", "@/a"), "src/a.js");
    assert_eq!(found(&first, "z.ts", "./new/dir"), "-");
    let more = first.with(&path("src/a.ts"), true).with(&path("new/dir/index.ts"), true);
    assert_eq!(found(&more, "z.ts", "@/a"), "src/a.ts");
    assert_eq!(found(&more, "z.ts", "./new/dir"), "new/dir/index.ts");
    let less = more.with(&path("src/a.ts"), false).with(&path("src/a.js"), false);
    assert_eq!(found(&less, "z.ts", "@/a"), "-");
    let many = (0..100).fold(less, |resolver, at| resolver.with(&path(&format!("many/{at}.ts")), at != 7));
    assert_eq!(found(&many, "z.ts", "./many/99"), "many/99.ts");
    assert_eq!(found(&many, "z.ts", "./many/7"), "-");
    assert_eq!(found(&many, "z.ts", "./new/dir"), "new/dir/index.ts");
    assert_eq!(found(&many, "z.ts", "@/a"), "-");
}
