//! Lock files of every kind, and texts that are none.

use super::*;
use proptest::prelude::*;

fn read(name: &str, text: &str) -> Lock {
    Lock::read(&RelPath::new(name).unwrap(), text).unwrap().unwrap()
}

/// `name@version source -> dependencies`, one a line.
fn shown(lock: &Lock) -> Vec<String> {
    let line = |package: &Package| {
        let on: Vec<String> = package.dependencies.iter().map(|at| lock.packages[*at].id()).collect();
        let source = match &package.source {
            Source::Registry(None) => "registry".to_owned(),
            Source::Registry(Some(host)) => host.clone(),
            Source::Url(url) => format!("url {url}"),
            Source::Git(url) => format!("git {url}"),
            Source::Path(path) => format!("path {path}"),
            Source::Workspace => "workspace".to_owned(),
        };
        format!("{} {source} -> {}", package.id(), on.join(" "))
    };
    lock.packages.iter().map(line).collect()
}

fn direct(lock: &Lock) -> Vec<String> {
    lock.direct.iter().map(|at| lock.packages[*at].id()).collect()
}

const NPM_3: &str = r#"{
  "name": "x", "lockfileVersion": 3,
  "packages": {
    "": {"dependencies": {"a": "^1", "w": "*", "alias": "npm:real@1"}},
    "node_modules/a": {"version": "1.0.0", "resolved": "https://r.example/a/-/a-1.0.0.tgz", "integrity": "sha512-AA==", "license": "MIT", "hasInstallScript": true, "dependencies": {"b": "^2"}},
    "node_modules/b": {"version": "1.0.0", "resolved": "https://r.example/b/-/b-1.0.0.tgz", "dev": true},
    "node_modules/a/node_modules/b": {"version": "2.0.0", "resolved": "git+ssh://git@h/b.git#c"},
    "node_modules/alias": {"name": "real", "version": "1.0.0", "resolved": "https://r.example/real/-/real-1.0.0.tgz"},
    "node_modules/w": {"link": true, "resolved": "packages/w"},
    "packages/w": {"name": "w", "version": "0.0.0", "dependencies": {"b": "^1"}}
  }
}"#;

#[test]
fn npm_by_place() {
    let lock = read("package-lock.json", NPM_3);
    assert_eq!(
        shown(&lock),
        [
            "a@1.0.0 r.example -> b@2.0.0",
            "b@1.0.0 r.example -> ",
            "b@2.0.0 git git+ssh://git@h/b.git#c -> ",
            "real@1.0.0 r.example -> ",
            "w@0.0.0 workspace -> b@1.0.0",
        ]
    );
    assert_eq!(direct(&lock), ["a@1.0.0", "b@1.0.0", "real@1.0.0", "w@0.0.0"]);
    let a = &lock.packages[0];
    assert_eq!((a.licence.as_deref(), a.install_script), (Some("MIT"), true));
    assert!(lock.packages[1].development);
    assert_eq!(lock.line_of(a, NPM_3), Some(5));
}

#[test]
fn npm_nested() {
    let text = r#"{"lockfileVersion": 1, "dependencies": {
        "a": {"version": "1.0.0", "resolved": "https://r.example/a/-/a-1.0.0.tgz", "requires": {"b": "^2"},
              "dependencies": {"b": {"version": "2.0.0"}}},
        "b": {"version": "1.0.0", "dev": true},
        "c": {"version": "github:o/c#abc", "from": "o/c"},
        "d": {"version": "npm:real@3.0.0"}}}"#;
    assert_eq!(
        shown(&read("npm-shrinkwrap.json", text)),
        [
            "a@1.0.0 r.example -> b@2.0.0",
            "b@1.0.0 registry -> ",
            "b@2.0.0 registry -> ",
            "c@github:o/c#abc git github:o/c#abc -> ",
            "real@3.0.0 registry -> ",
        ]
    );
}

#[test]
fn yarn_1() {
    let text = "# yarn lockfile v1\n\n\n\"@s/a@^1.0.0\", \"@s/a@^1.1.0\":\n  version \"1.2.0\"\n  resolved \"https://r.example/@s/a/-/a-1.2.0.tgz#0123456789012345678901234567890123456789\"\n  \
                integrity sha512-AA==\n  dependencies:\n    b \"^2.0.0\"\n  optionalDependencies:\n    \"c\" \"*\"\n\nb@^2.0.0:\n  version \"2.0.0\"\n  \
                resolved \"https://r.example/b/-/b-2.0.0.tgz#0123456789012345678901234567890123456789\"\n\n\"c@*\":\n  version \"3.0.0\"\n  resolved \"https://codeload.github.com/o/c/tar.gz/x\"\n\n\
                \"d@npm:real@1\":\n  version \"1.0.0\"\n\ne@file:../e:\n  version \"0.0.0\"\n";
    let lock = read("yarn.lock", text);
    assert_eq!(
        shown(&lock),
        [
            "@s/a@1.2.0 r.example -> b@2.0.0 c@3.0.0",
            "b@2.0.0 r.example -> ",
            "c@3.0.0 git https://codeload.github.com/o/c/tar.gz/x -> ",
            "e@0.0.0 path ../e -> ",
            "real@1.0.0 registry -> ",
        ]
    );
    assert_eq!(lock.packages[0].integrity.as_deref(), Some("sha512-AA=="));
    assert_eq!(lock.packages[1].integrity.as_deref(), Some("sha1:0123456789012345678901234567890123456789"));
    assert_eq!(lock.line_of(&lock.packages[1], text), Some(13));
}

#[test]
fn yarn_2_and_later() {
    let text = "__metadata:\n  version: 8\n\n\"@s/a@npm:^1.0.0, @s/a@npm:^1.1.0\":\n  version: 1.2.0\n  resolution: \"@s/a@npm:1.2.0\"\n  dependencies:\n    b: \"npm:^2\"\n  \
                checksum: 10c0/abc\n  languageName: node\n  linkType: hard\n\n\"b@npm:^2\":\n  version: 2.0.0\n  resolution: \"b@npm:2.0.0::__archiveUrl=https%3A%2F%2Fother.example%2Fb.tgz\"\n\n\
                \"x@workspace:.\":\n  version: 0.0.0-use.local\n  resolution: \"x@workspace:.\"\n  dependencies:\n    \"@s/a\": \"npm:^1.0.0\"\n\n\
                \"g@https://github.com/o/g.git#main\":\n  version: 1.0.0\n  resolution: \"g@https://github.com/o/g.git#commit=abc\"\n";
    let lock = read("yarn.lock", text);
    assert_eq!(
        shown(&lock),
        [
            "@s/a@1.2.0 registry -> b@2.0.0",
            "b@2.0.0 other.example -> ",
            "g@1.0.0 git https://github.com/o/g.git#commit=abc -> ",
            "x@0.0.0-use.local workspace -> @s/a@1.2.0",
        ]
    );
    assert_eq!(direct(&lock), ["@s/a@1.2.0"]);
}

#[test]
fn pnpm_5_6_and_9() {
    let nine = "lockfileVersion: '9.0'\nimporters:\n  .:\n    dependencies:\n      a:\n        specifier: ^1\n        version: 1.0.0(p@1.0.0)\n      w:\n        specifier: workspace:*\n        version: link:packages/w\n\
                packages:\n  '@s/b@2.0.0':\n    resolution: {integrity: sha512-BB==}\n  a@1.0.0:\n    resolution: {integrity: sha512-AA==}\n  g@https://codeload.github.com/o/g/tar.gz/x:\n    \
                resolution: {tarball: https://codeload.github.com/o/g/tar.gz/x}\n    version: 1.0.0\n  p@1.0.0:\n    resolution: {integrity: sha512-CC==}\n\
                snapshots:\n  '@s/b@2.0.0': {}\n  a@1.0.0(p@1.0.0):\n    dependencies:\n      '@s/b': 2.0.0\n      p: 1.0.0\n  p@1.0.0:\n    optional: true\n";
    let expect = [
        "@s/b@2.0.0 registry -> ",
        "a@1.0.0 registry -> @s/b@2.0.0 p@1.0.0",
        "g@1.0.0 git https://codeload.github.com/o/g/tar.gz/x -> ",
        "p@1.0.0 registry -> ",
    ];
    let lock = read("pnpm-lock.yaml", nine);
    assert_eq!(shown(&lock), expect);
    assert_eq!(direct(&lock), ["a@1.0.0"]);
    assert!(lock.packages[3].optional);
    let six = "lockfileVersion: '6.0'\ndependencies:\n  a:\n    specifier: ^1\n    version: 1.0.0(p@1.0.0)\npackages:\n  /@s/b@2.0.0:\n    resolution: {integrity: sha512-BB==}\n    dev: false\n  \
               /a@1.0.0(p@1.0.0):\n    resolution: {integrity: sha512-AA==}\n    requiresBuild: true\n    dependencies:\n      '@s/b': 2.0.0\n";
    let lock = read("pnpm-lock.yaml", six);
    assert_eq!(shown(&lock), ["@s/b@2.0.0 registry -> ", "a@1.0.0 registry -> @s/b@2.0.0"]);
    assert!(lock.packages[1].install_script);
    let five = "lockfileVersion: 5.4\ndependencies:\n  a: 1.0.0_p@1.0.0\npackages:\n  /@s/b/2.0.0:\n    resolution: {integrity: sha512-BB==}\n  /a/1.0.0_p@1.0.0:\n    \
                resolution: {integrity: sha512-AA==}\n    dependencies:\n      '@s/b': 2.0.0\n";
    assert_eq!(shown(&read("pnpm-lock.yaml", five)), ["@s/b@2.0.0 registry -> ", "a@1.0.0 registry -> @s/b@2.0.0"]);
}

#[test]
fn bun() {
    let text = "{\n  \"lockfileVersion\": 1,\n  \"workspaces\": {\"\": {\"name\": \"x\", \"dependencies\": {\"a\": \"^1\"}}},\n  \"packages\": {\n    \
                \"a\": [\"a@1.0.0\", \"\", {\"dependencies\": {\"b\": \"^2\"}}, \"sha512-AA==\"],\n    \"b\": [\"b@1.0.0\", \"\", {}, \"sha512-BB==\"],\n    \
                \"a/b\": [\"b@2.0.0\", \"https://r.example/b/-/b-2.0.0.tgz\", {}, \"sha512-CC==\"],\n    \"w\": [\"w@workspace:packages/w\"],\n  },\n}\n";
    let lock = read("bun.lock", text);
    assert_eq!(
        shown(&lock),
        [
            "a@1.0.0 registry -> b@2.0.0",
            "b@1.0.0 registry -> ",
            "b@2.0.0 r.example -> ",
            "w@workspace:packages/w workspace -> "
        ]
    );
    assert_eq!(direct(&lock), ["a@1.0.0"]);
    assert_eq!(lock.packages[2].integrity.as_deref(), Some("sha512-CC=="));
}

#[test]
fn cargo() {
    let text = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n\
                checksum = \"aa\"\ndependencies = [\n \"b 0.1.0\",\n \"c\",\n]\n\n[[package]]\nname = \"b\"\nversion = \"0.1.0\"\nsource = \"sparse+https://cargo.corp.example/index/\"\n\n\
                [[package]]\nname = \"b\"\nversion = \"0.2.0\"\nsource = \"git+https://h/b?rev=1#1\"\n\n[[package]]\nname = \"c\"\nversion = \"0.0.0\"\ndependencies = [\"b 0.2.0 (git+https://h/b?rev=1)\", \"a\"]\n";
    let lock = read("Cargo.lock", text);
    assert_eq!(
        shown(&lock),
        [
            "a@1.0.0 crates.io -> b@0.1.0 c@0.0.0",
            "b@0.1.0 cargo.corp.example -> ",
            "b@0.2.0 git https://h/b?rev=1#1 -> ",
            "c@0.0.0 workspace -> a@1.0.0 b@0.2.0",
        ]
    );
    assert_eq!(lock.line_of(&lock.packages[0], text), Some(4));
}

#[test]
fn what_is_no_lock_file_is_an_error() {
    for (name, text) in [
        ("package-lock.json", "{"),
        ("package-lock.json", "{}"),
        ("package-lock.json", "[1]"),
        ("yarn.lock", "<<<<<<< ours\n"),
        ("yarn.lock", "hello world"),
        ("yarn.lock", "__metadata:\n  a: [\n"),
        ("pnpm-lock.yaml", "a: 1"),
        ("pnpm-lock.yaml", ""),
        ("bun.lock", "{}"),
        ("Cargo.lock", "a"),
        ("Cargo.lock", "package = 1"),
    ] {
        assert!(Lock::read(&RelPath::new(name).unwrap(), text).unwrap().is_err(), "{name} {text:?}");
    }
    assert!(Lock::read(&RelPath::new("src/a.ts").unwrap(), "").is_none());
}

fn mutated(text: &'static str) -> impl Strategy<Value = String> {
    (0..text.len(), 0..text.len(), ".{0,8}").prop_map(move |(from, to, with)| {
        let (from, to) = (from.min(to), from.max(to).min(from.min(to) + 40));
        let at = |at: usize| (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        format!("{}{with}{}", &text[..at(from)], &text[at(to)..])
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Never a panic; what is read refers to what is there, sorted, each once.
    #[test]
    fn every_reader_is_total(name in prop::sample::select(NAMES), text in prop_oneof![mutated(NPM_3), "\\PC{0,200}", "[-a-z@:/0-9 {}\\[\\],\"'\n>&*!|?.]{0,300}"]) {
        if let Ok(lock) = Lock::read(&RelPath::new(name).unwrap(), &text).unwrap() {
            for package in &lock.packages {
                prop_assert!(package.dependencies.iter().all(|at| *at < lock.packages.len()));
                prop_assert!(package.dependencies.windows(2).all(|pair| pair[0] < pair[1]));
            }
            let keys: Vec<_> = lock.packages.iter().map(|package| (&package.name, &package.version, &package.source)).collect();
            prop_assert!(keys.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(lock.direct.iter().all(|at| *at < lock.packages.len()));
        }
    }
}
