//! Documents for others to validate: `sbom_random COUNT DIR` makes COUNT random changes of lock files of each kind (the same ones
//! every time) and writes their lists of packages as CycloneDX, SPDX, CSV and PDF. `tests/scripts/gate/sbom_validators.py` hands
//! them to the validators of others.
//!
//! `sbom_random --check DIR` says of each file `valid-*.json` and `invalid-*.json` of version 1.6 in the specification's repository
//! (`tools/src/test/resources/1.6`) whether the checker agrees.

use krins_core::RelPath;
use krins_core::gate::sbom::{Bom, Format, Wish, check, schema};
use krins_core::patch::{Change, Patch};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

/// xorshift64*: enough to be varied, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides
    }

    fn pick<'t>(&mut self, from: &[&'t str]) -> &'t str {
        from[self.roll(from.len())]
    }
}

const NAMES: &[&str] = &[
    "react",
    "@babel/core",
    "@s/a.b",
    "left-pad",
    "lodash.merge",
    "x",
    "UPPER",
    "under_score",
    "@types/node",
    "a1",
    "zod",
    "tiny",
];
const VERSIONS: &[&str] = &["1.0.0", "1.0.1", "2.0.0-rc.1", "0.0.0+build.5", "10.20.30", "3.0.0-alpha+x.y"];
const LICENCES: &[&str] = &[
    "MIT",
    "(MIT OR GPL-3.0)",
    "GPLv3",
    "Custom, see file",
    "LicenseRef-House",
    "Apache-2.0 WITH LLVM-exception",
    "BSD",
    "UNLICENSED",
    "MIT/Apache-2.0",
    "=1+1",
    "é 中",
    "",
];
const SUMS: &[&str] = &[
    "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==",
    "sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
    "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU= sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==",
    "sha512-broken",
    "",
];
const PLACES: &[&str] = &[
    "https://registry.npmjs.org/x/-/x-1.tgz",
    "https://npm.corp.example/x/-/x-1.tgz",
    "git+ssh://git@h.example/x.git#abc",
    "https://u:p@h.example/x y.tgz",
    "file:../x",
    "",
];

fn npm(dice: &mut Dice) -> String {
    let mut packages = serde_json::Map::new();
    packages.insert(String::new(), serde_json::json!({"dependencies": {"react": "*", "zod": "*"}}));
    for _ in 0..dice.roll(12) {
        let (name, other) = (dice.pick(NAMES), dice.pick(NAMES));
        let place = if dice.roll(4) == 0 {
            format!("node_modules/{other}/node_modules/{name}")
        } else {
            format!("node_modules/{name}")
        };
        let mut entry = serde_json::json!({"version": dice.pick(VERSIONS), "dependencies": {other: "*"}});
        for (key, value) in
            [("license", dice.pick(LICENCES)), ("integrity", dice.pick(SUMS)), ("resolved", dice.pick(PLACES))]
        {
            if !value.is_empty() {
                entry[key] = value.into();
            }
        }
        entry["dev"] = (dice.roll(3) == 0).into();
        packages.insert(place, entry);
    }
    serde_json::json!({"lockfileVersion": 3, "packages": packages}).to_string()
}

fn yarn(dice: &mut Dice) -> String {
    let mut out = "# yarn lockfile v1\n".to_owned();
    for _ in 0..dice.roll(12) {
        let (name, other) = (dice.pick(NAMES), dice.pick(NAMES));
        out.push_str(&format!(
            "\n\"{name}@*\":\n  version \"{}\"\n  resolved \"{}\"\n  dependencies:\n    \"{other}\" \"*\"\n",
            dice.pick(VERSIONS),
            dice.pick(PLACES)
        ));
    }
    out
}

fn pnpm(dice: &mut Dice) -> String {
    let mut entries = BTreeMap::new();
    for _ in 0..dice.roll(12) {
        let key = format!("{}@{}", dice.pick(NAMES), dice.pick(VERSIONS));
        entries.insert(key, dice.pick(SUMS));
    }
    let mut out = "lockfileVersion: '9.0'\npackages:\n".to_owned();
    for (key, sum) in &entries {
        out.push_str(&format!("  '{key}':\n    resolution: {{integrity: '{sum}'}}\n"));
    }
    if entries.is_empty() { "lockfileVersion: '9.0'\n".to_owned() } else { out }
}

fn cargo(dice: &mut Dice) -> String {
    let mut out = "version = 4\n".to_owned();
    for _ in 0..dice.roll(8) {
        let name = dice.pick(NAMES).replace(['@', '/', '.'], "");
        let source = dice.pick(&[
            "registry+https://github.com/rust-lang/crates.io-index",
            "git+https://h.example/x?rev=1#1",
            "sparse+https://corp.example/index/",
        ]);
        out.push_str(&format!(
            "\n[[package]]\nname = \"{name}\"\nversion = \"{}\"\nsource = \"{source}\"\nchecksum = \"{}\"\n",
            dice.pick(VERSIONS),
            "ab".repeat(32)
        ));
    }
    out
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [flag, dir] if flag == "--check" => fixtures(Path::new(dir)),
        [count, dir] => make(count.parse().unwrap_or(1000), Path::new(dir)),
        _ => {
            let _ = writeln!(std::io::stderr(), "sbom_random COUNT DIR | --check DIR");
        }
    }
}

type Writer = fn(&mut Dice) -> String;

fn make(count: usize, dir: &Path) {
    let writers: [(&str, Writer); 4] =
        [("package-lock.json", npm), ("yarn.lock", yarn), ("pnpm-lock.yaml", pnpm), ("Cargo.lock", cargo)];
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut packages, mut wrong) = (0, 0);
    for number in 0..count {
        let (name, writer) = writers[number % writers.len()];
        let bytes = |text: String| -> Arc<[u8]> { text.as_bytes().into() };
        let (before, after) = (Some(bytes(writer(&mut dice))), Some(bytes(writer(&mut dice))));
        let path = RelPath::new(name).expect("a plain name");
        let patch = Patch::between(vec![Change { path, from: None, before, after, executable: false }]);
        let wish = Wish {
            subject: format!("random {number}"),
            tool_version: "0.1.0".into(),
            timestamp: Some("2026-01-31T12:00:00Z".into()),
            whole: number % 3 == 0,
            ..Wish::default()
        };
        let bom = Bom::of(&patch, &BTreeMap::new(), wish);
        packages += bom.components.len();
        for (format, extension) in
            [(Format::CycloneDx, "cdx.json"), (Format::Spdx, "spdx.json"), (Format::Csv, "csv"), (Format::Pdf, "pdf")]
        {
            let document = bom.render(format);
            if format == Format::CycloneDx {
                let value = serde_json::from_slice(&document).unwrap_or_default();
                wrong += usize::from(
                    !schema::errors(&value).is_empty()
                        || !check::faults(&value).iter().all(|fault| fault.severity == check::Severity::Incomplete),
                );
            }
            let _ = std::fs::write(dir.join(format!("{number:04}.{extension}")), document);
        }
    }
    let _ = writeln!(
        std::io::stdout(),
        "{count} changes, {packages} packages, {wrong} documents that our own checker refuses"
    );
}

fn fixtures(dir: &Path) {
    let mut out = std::io::stdout().lock();
    let mut names: Vec<_> = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    names.sort();
    let (mut right, mut all) = (0, 0);
    for path in names.iter().filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let expect = name.starts_with("valid-");
        let (valid, why) = match serde_json::from_str(&text) {
            Ok(value) => {
                let mut why = schema::errors(&value);
                let wrong = check::faults(&value).into_iter().filter(|fault| fault.severity == check::Severity::Wrong);
                why.extend(wrong.map(|fault| (fault.place, fault.what)));
                (why.is_empty(), why)
            }
            Err(error) => (false, vec![(String::new(), error.to_string())]),
        };
        all += 1;
        right += usize::from(valid == expect);
        if valid != expect {
            let _ = writeln!(out, "{name}: we say {valid}: {:?}", why.iter().take(3).collect::<Vec<_>>());
        }
    }
    let _ = writeln!(out, "{right} of {all} fixtures");
}
