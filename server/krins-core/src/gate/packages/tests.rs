//! The supply chain: each way that bad code came in somewhere is a test by its name.

use super::*;
use crate::gate::Policy;
use crate::gate::testing::{Around, change, judge_around, lock_of, patch};
use crate::patch::Patch;

fn judged(patch: &Patch, around: &Around) -> Vec<Finding> {
    judge_around(patch, around, &Policy::default(), check_packages)
}

fn rules(patch: &Patch, around: &Around) -> Vec<String> {
    judged(patch, around).into_iter().map(|finding| finding.rule).collect()
}

fn entry(name: &str, more: &str) -> String {
    format!(
        r#""node_modules/{name}": {{"version": "1.0.0", "resolved": "https://r.example/{name}/-/{name}-1.0.0.tgz", "integrity": "sha512-AA=="{more}}}"#
    )
}

fn lock_change(before: &str, after: &str) -> Patch {
    patch("package-lock.json", Some(&lock_of(before)), Some(&lock_of(after)))
}

/// A shop with one dependency, and what is there beside it.
fn shop() -> Around {
    let mut around = Around::default();
    around
        .write("package.json", r##"{"name": "shop", "dependencies": {"lodash": "^4"}, "imports": {"#in": "./a.js"}}"##);
    around.write("package-lock.json", &lock_of(&entry("lodash", "")));
    around.write("packages/ui/package.json", r#"{"name": "@shop/ui", "devDependencies": {"@types/estree": "1"}}"#);
    around
        .write("packages/ui/tsconfig.json", r#"{"compilerOptions": {"baseUrl": ".", "paths": {"kit/*": ["lib/*"]}}}"#);
    around.write("packages/ui/lib/box.ts", "export const box = 1\n");
    around.write("packages/ui/vite.config.ts", "export default { resolve: { alias: { 'aliased': './lib' } } }\n");
    around.write(
        "packages/ui/types.d.ts",
        "declare module 'declared-here' { const x: number; export default x }\ndeclare module 'theme-*';\n",
    );
    around.write("packages/ui/components/index.ts", "export {}\n");
    around.write("src/old.ts", "import used from 'used-elsewhere'\n");
    around.install("only-installed", "1.0.0", "{}", None);
    around
}

/// A model made the name up; whoever registers it has the machine.
#[test]
fn slopsquatting_an_import_that_nothing_knows_blocks() {
    let add = |text: &str| patch("packages/ui/src/new.ts", None, Some(text));
    for text in [
        "import x from 'lodahs-helpers'\n",
        "import { x } from '@unknown/thing/deep'\n",
        "const x = require('react-codeshift')\n",
        "const x = await import('no-such-package')\n",
        "export * from 'no-such-package'\n",
        "import type { X } from 'no-such-types'\n",
    ] {
        let found = judged(&add(text), &shop());
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert_eq!((found[0].rule.as_str(), found[0].verdict), ("packages/unknown-import", Verdict::Block));
        assert_eq!(found[0].lines, Some([1, 1]));
    }
}

#[test]
fn an_import_that_anything_knows_passes() {
    for specifier in [
        "lodash",
        "lodash/merge",
        "@shop/ui",
        "shop",
        "node:fs",
        "fs",
        "fs/promises",
        "bun:test",
        "./box",
        "#in",
        "kit/box",
        "aliased/x",
        "declared-here",
        "theme-dark",
        "components",
        "components/button",
        "used-elsewhere",
        "only-installed",
        "estree",
        "virtual:pages",
        "@/x",
        "~/x",
        "$lib/x",
        "https://h/x.js",
        "Components/x",
        "x.svg?raw",
    ] {
        let change = patch("packages/ui/src/new.ts", None, Some(&format!("import x from '{specifier}'\n")));
        assert_eq!(rules(&change, &shop()), [] as [&str; 0], "{specifier}");
    }
    let augments =
        patch("packages/ui/src/new.ts", None, Some("export {}\ndeclare module 'anything' { interface A { b: 1 } }\n"));
    assert_eq!(rules(&augments, &shop()), [] as [&str; 0]);
}

#[test]
fn what_docusaurus_makes_is_known_where_it_is_used_and_a_fixture_is_only_said() {
    let site = patch("packages/ui/src/new.ts", None, Some("import x from '@site/src/x'\n"));
    assert_eq!(rules(&site, &shop()), ["packages/unknown-import"]);
    let mut around = shop();
    around.write("docs/docusaurus.config.js", "export default {}\n");
    assert_eq!(rules(&site, &around), [] as [&str; 0]);
    let fixture = patch("packages/ui/test/__fixtures__/a.ts", None, Some("import x from 'made-up'\n"));
    assert_eq!(judged(&fixture, &shop())[0].verdict, Verdict::Warn);
}

#[test]
fn an_import_that_was_there_before_is_not_this_changes_fault() {
    let text = "import x from 'long-gone'\n";
    let moved = patch("src/a.ts", Some(text), Some(&format!("// more\n{text}")));
    assert_eq!(rules(&moved, &shop()), [] as [&str; 0]);
}

#[test]
fn a_patch_is_no_witness_for_itself_and_its_manifest_is() {
    let code = || change("src/a.ts", None, Some("import x from 'made-up'\n"));
    let other = change("src/b.ts", None, Some("import x from 'made-up'\n"));
    assert_eq!(rules(&Patch::between(vec![code(), other]), &shop()).len(), 2);
    let manifest = change("package.json", Some("{}"), Some(r#"{"dependencies": {"made-up": "1"}}"#));
    let found = rules(&Patch::between(vec![code(), manifest]), &shop());
    assert!(!found.contains(&"packages/unknown-import".to_owned()), "{found:?}");
    assert!(found.contains(&"packages/new-dependency".to_owned()), "{found:?}");
}

#[test]
fn where_there_is_no_manifest_no_name_is_held_against_anything() {
    assert_eq!(rules(&patch("a.ts", None, Some("import x from 'y'\n")), &Around::default()), [] as [&str; 0]);
}

#[test]
fn a_new_dependency_without_a_lock_change_is_said() {
    let change = patch(
        "package.json",
        Some(r#"{"dependencies": {"lodash": "^4"}}"#),
        Some(r#"{"dependencies": {"lodash": "^4", "zod": "^3"}}"#),
    );
    assert_eq!(rules(&change, &shop()), ["packages/new-dependency", "packages/no-lock-change"]);
    let found = judged(&change, &shop());
    assert!(found[0].message.contains("zod"), "{found:?}");
    assert!(found.iter().all(|finding| finding.verdict == Verdict::Warn));
}

#[test]
fn a_dependency_that_is_used_here_already_is_not_new() {
    let change = patch("packages/ui/package.json", Some("{}"), Some(r#"{"dependencies": {"lodash": "^4"}}"#));
    assert!(!rules(&change, &shop()).contains(&"packages/new-dependency".to_owned()));
}

#[test]
fn a_resolved_host_that_changes_at_the_same_version_blocks() {
    let before = entry("lodash", "");
    let change = lock_change(&before, &before.replace("r.example", "evil.example"));
    let found = judged(&change, &Around::default());
    assert_eq!((found[0].rule.as_str(), found[0].verdict), ("packages/source-changed", Verdict::Block));
    assert!(found[0].message.contains("evil.example"), "{found:?}");
}

#[test]
fn an_integrity_that_changes_at_the_same_version_blocks() {
    let before = entry("lodash", "");
    for after in [before.replace("sha512-AA==", "sha512-BB=="), before.replace(r#", "integrity": "sha512-AA==""#, "")] {
        let found = rules(&lock_change(&before, &after), &Around::default());
        assert_eq!(found[0], "packages/source-changed");
    }
    // A stronger algorithm beside the old one changes nothing.
    let more = before.replace("sha512-AA==", "sha1-CC== sha512-AA==");
    assert!(!rules(&lock_change(&before, &more), &Around::default()).contains(&"packages/source-changed".to_owned()));
}

/// The archive of another package under a trusted name.
#[test]
fn lock_file_injection_blocks() {
    let injected = entry("lodash", "").replace("/lodash/-/lodash-1.0.0", "/evil/-/evil-1.0.0");
    let found = judged(&lock_change("", &injected), &Around::default());
    assert_eq!(found[0].rule, "packages/source-changed");
    assert!(found[0].message.contains("evil"), "{found:?}");
    let scoped = r#""node_modules/@s/a": {"version": "1.0.0", "resolved": "https://r.example/@s/a/-/a-1.0.0.tgz"},
                    "node_modules/@s/b": {"version": "1.0.0", "resolved": "https://r.example/@s%2fb/-/b-1.0.0.tgz"},
                    "node_modules/c": {"name": "real", "version": "1.0.0", "resolved": "https://r.example/real/-/real-1.0.0.tgz"}"#;
    assert!(!rules(&lock_change("", scoped), &Around::default()).contains(&"packages/source-changed".to_owned()));
}

#[test]
fn git_http_and_file_places_block_in_manifests_and_lock_files() {
    for spec in ["git+https://h/a.git", "https://h/a.tgz", "file:../../a", "github:o/a", "o/a"] {
        let change = patch("package.json", Some("{}"), Some(&format!(r#"{{"dependencies": {{"a": "{spec}"}}}}"#)));
        assert!(rules(&change, &Around::default()).contains(&"packages/foreign-source".to_owned()), "{spec}");
    }
    // A trusted dependency that suddenly comes from elsewhere.
    let change = patch(
        "package.json",
        Some(r#"{"dependencies": {"a": "^1"}}"#),
        Some(r#"{"dependencies": {"a": "git+https://u:pw@h/a.git"}}"#),
    );
    let found = judged(&change, &Around::default());
    assert_eq!(found[0].rule, "packages/foreign-source");
    assert!(!format!("{found:?}").contains("pw@"), "no credentials in a finding: {found:?}");
    for place in ["git+ssh://git@h/x.git#c", "https://h/x.tgz"] {
        let change = lock_change("", &format!(r#""node_modules/x": {{"version": "1.0.0", "resolved": "{place}"}}"#));
        assert!(rules(&change, &Around::default()).contains(&"packages/foreign-source".to_owned()), "{place}");
    }
}

#[test]
fn an_install_script_that_comes_in_is_said() {
    let change = lock_change("", &entry("esbuild", r#", "hasInstallScript": true"#));
    assert!(rules(&change, &Around::default()).contains(&"packages/install-script".to_owned()));
    let mut around = Around::default();
    around.install("esbuild", "1.0.0", r#"{"name": "esbuild", "scripts": {"postinstall": "node x.js"}}"#, None);
    let found = judged(&lock_change("", &entry("esbuild", "")), &around);
    assert!(found.iter().any(|finding| finding.message.contains("`postinstall`")), "{found:?}");
}

#[test]
fn typosquatting_a_name_that_is_used_here_blocks() {
    let change = patch("package.json", Some("{}"), Some(r#"{"dependencies": {"lodahs": "^4"}}"#));
    let found = judged(&change, &shop());
    let near = found.iter().find(|finding| finding.rule == "packages/near-name").unwrap();
    assert!(near.message.contains("lodash") && near.verdict == Verdict::Block);
}

#[test]
fn a_lock_file_that_grows_alone_is_said_and_a_broken_one_blocks() {
    let found = rules(&lock_change("", &entry("x", "")), &Around::default());
    assert_eq!(found, ["packages/new-dependency"]);
    let broken = patch("yarn.lock", Some("# yarn lockfile v1\n"), Some("<<<<<<< a\n"));
    assert_eq!(rules(&broken, &Around::default()), ["packages/unreadable-lock"]);
}

#[test]
fn what_comes_with_a_dependency_is_listed() {
    let manifest = change("package.json", Some("{}"), Some(r#"{"dependencies": {"x": "^1"}}"#));
    let both = format!("{},{}", entry("x", ""), entry("deep", ""));
    let lock = change("package-lock.json", Some(&lock_of("")), Some(&lock_of(&both)));
    let found = judged(&Patch::between(vec![manifest, lock]), &Around::default());
    let lines: Vec<&str> = found.iter().map(|finding| finding.message.as_str()).collect();
    assert_eq!(found.iter().filter(|finding| finding.rule == "packages/new-dependency").count(), 2, "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("deep@1.0.0") && line.contains("2 packages more")), "{lines:?}");
}

#[test]
fn another_package_manager_adds_nothing() {
    let mut around = Around::default();
    around.write("package-lock.json", &lock_of(&entry("x", "")));
    let yarn = "# yarn lockfile v1\n\nx@^1:\n  version \"1.0.0\"\n  resolved \"https://r.example/x/-/x-1.0.0.tgz\"\n";
    assert_eq!(rules(&patch("yarn.lock", None, Some(yarn)), &around), [] as [&str; 0]);
}

#[test]
fn cargo_dependencies_count_alike() {
    let toml = "[package]\nname = \"a\"\n[dependencies]\n";
    let change = patch(
        "Cargo.toml",
        Some(toml),
        Some(&format!("{toml}serde = \"1\"\nevil = {{ git = \"https://h/e\" }}\nown = {{ path = \"../own\" }}\n")),
    );
    let found = judged(&change, &Around::default());
    let rows: Vec<(&str, Option<[u32; 2]>)> =
        found.iter().map(|finding| (finding.rule.as_str(), finding.lines)).collect();
    assert_eq!(
        rows,
        [
            ("packages/new-dependency", Some([5, 5])),
            ("packages/new-dependency", Some([4, 4])),
            ("packages/foreign-source", Some([5, 5]))
        ]
    );
}
