//! Lists of packages: the same bytes each time, every package once, four documents that agree.

use super::*;
use crate::gate::testing::{Around, change, lock_of, patch};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn entry(name: &str, version: &str, more: &str) -> String {
    format!(
        r#""node_modules/{name}": {{"version": "{version}", "resolved": "https://r.example/{name}/-/x-{version}.tgz"{more}}}"#
    )
}

fn wish() -> Wish {
    Wish { subject: "shop".into(), tool_version: "1.2.3".into(), ..Wish::default() }
}

fn sample() -> Patch {
    let before = [entry("kept", "1.0.0", r#", "license": "MIT""#), entry("old", "1.0.0", ""), entry("up", "1.0.0", "")]
        .join(",");
    let sum = base64::engine::general_purpose::STANDARD.encode([7; 64]);
    let after = [
        entry("kept", "1.0.0", r#", "license": "MIT""#),
        entry("@s/new", "2.0.0", &format!(r#", "license": "(MIT OR GPL-3.0)", "integrity": "sha512-{sum}", "dependencies": {{"up": "^2", "kept": "1"}}"#)),
        entry("up", "2.0.0", r#", "license": "Custom words", "dev": true"#),
    ]
    .join(",");
    let manifest = change("package.json", Some("{}"), Some(r#"{"dependencies": {"later": "^9"}}"#));
    Patch::between(vec![change("package-lock.json", Some(&lock_of(&before)), Some(&lock_of(&after))), manifest])
}

fn json(bom: &Bom, format: Format) -> serde_json::Value {
    serde_json::from_slice(&bom.render(format)).unwrap()
}

#[test]
fn a_change_lists_what_it_brings() {
    let bom = Bom::of(&sample(), &Around::default(), wish());
    let rows: Vec<(&str, &str, &Change)> = bom
        .components
        .iter()
        .map(|component| (component.name.as_str(), component.version.as_str(), &component.change))
        .collect();
    assert_eq!(rows, [("@s/new", "2.0.0", &Change::Added), ("up", "2.0.0", &Change::Updated { from: "1.0.0".into() })]);
    assert_eq!(bom.components[0].dependencies, [1]);
    assert_eq!(bom.direct, [0]);
    assert_eq!(
        bom.removed,
        ["pkg:npm/old@1.0.0?repository_url=r.example", "pkg:npm/up@1.0.0?repository_url=r.example"]
    );
    assert_eq!(bom.unlocked, ["later@^9"]);
    let document = json(&bom, Format::CycloneDx);
    let new = &document["components"][0];
    assert_eq!((&new["group"], &new["name"]), (&serde_json::json!("@s"), &serde_json::json!("new")));
    assert_eq!(new["hashes"][0]["content"], "07".repeat(64));
    assert_eq!(new["licenses"][0]["expression"], "(MIT OR GPL-3.0-only)");
    assert_eq!(document["components"][1]["licenses"][0]["license"]["name"], "Custom words");
    assert_eq!(check::faults(&document), []);
}

#[test]
fn the_whole_has_what_the_patch_leaves_too() {
    let mut around = Around::default();
    let cargo = "[[package]]\nname = \"serde\"\nversion = \"1.0.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n";
    around.write("tool/Cargo.lock", cargo);
    let bom = Bom::of(&sample(), &around, Wish { whole: true, ..wish() });
    let names: Vec<&str> = bom.components.iter().map(|component| component.name.as_str()).collect();
    assert_eq!(names, ["@s/new", "kept", "up", "serde"]);
    assert_eq!(bom.components[3].purl, "pkg:cargo/serde@1.0.0");
    assert_eq!(bom.components[3].change, Change::Kept);
}

#[test]
fn a_document_is_the_same_bytes_and_another_patch_has_another_serial() {
    let bom = || Bom::of(&sample(), &Around::default(), wish());
    for format in [Format::CycloneDx, Format::Spdx, Format::Csv, Format::Pdf] {
        assert_eq!(bom().render(format), bom().render(format), "{format:?}");
    }
    let other = Bom::of(&patch("a", None, Some("x")), &Around::default(), wish());
    assert_ne!(bom().serial(), other.serial());
    assert_eq!(bom().serial().len(), "urn:uuid:".len() + 36);
}

#[test]
fn every_document_has_the_same_packages() {
    let bom = Bom::of(&sample(), &Around::default(), Wish { whole: true, ..wish() });
    let spdx = json(&bom, Format::Spdx);
    assert_eq!(spdx["packages"].as_array().unwrap().len(), bom.components.len() + 1);
    assert_eq!(spdx["packages"][1]["checksums"][0]["algorithm"], "SHA512");
    assert_eq!(spdx["packages"][1]["licenseDeclared"], "(MIT OR GPL-3.0-only)");
    let csv = String::from_utf8(bom.render(Format::Csv)).unwrap();
    let rows = bom.components.len() + bom.removed.len() + bom.unlocked.len() + 1;
    assert_eq!(csv.split_terminator("\r\n").count(), rows);
    assert!(csv.contains("'@s/new"), "{csv}");
    let pdf = bom.render(Format::Pdf);
    let text = String::from_utf8_lossy(&pdf);
    assert!(text.starts_with("%PDF-") && text.contains("npm @s/new") && text.contains("Removed"));
}

#[test]
fn a_licence_that_only_this_document_names_is_declared_in_it() {
    let lock = lock_of(&entry("x", "1.0.0", r#", "license": "MIT OR LicenseRef-House""#));
    let bom = Bom::of(&patch("package-lock.json", Some(&lock_of("")), Some(&lock)), &Around::default(), wish());
    assert_eq!(json(&bom, Format::Spdx)["hasExtractedLicensingInfos"][0]["licenseId"], "LicenseRef-House");
}

#[test]
fn hostile_words_stay_words() {
    let lock = lock_of(&entry("x", "1.0.0", r#", "license": "=cmd|' /C calc'!A0\u0007\u4e2d""#));
    let bom = Bom::of(&patch("package-lock.json", Some(&lock_of("")), Some(&lock)), &Around::default(), wish());
    let csv = String::from_utf8(bom.render(Format::Csv)).unwrap();
    assert!(csv.contains(",'=cmd|") && !csv.contains('\u{7}'), "{csv}");
    assert!(String::from_utf8_lossy(&bom.render(Format::Pdf)).contains("[U+4E2D]"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever a lock file says, the references of its list are unique and lead somewhere, and each new package is there once.
    #[test]
    fn any_difference_makes_a_sound_list(
        before in prop::collection::btree_map("[a-c]{1,2}", 0u8..4, 0..8),
        after in prop::collection::btree_map("(@[a-b]/)?[a-d]{1,2}", 0u8..4, 0..12),
        licence in prop::sample::select(&["MIT", "GPL-3.0+", "MIT OR", "", "(MIT AND ISC)", "é\"<"][..]),
    ) {
        let text = |packages: &std::collections::BTreeMap<String, u8>| {
            let more = format!(r#", "license": {}"#, serde_json::json!(licence));
            let entries: Vec<String> = packages.iter().map(|(name, version)| entry(name, &format!("{version}.0.0"), &more)).collect();
            lock_of(&entries.join(","))
        };
        let patch = patch("package-lock.json", Some(&text(&before)), Some(&text(&after)));
        let bom = Bom::of(&patch, &Around::default(), wish());
        let document = json(&bom, Format::CycloneDx);
        prop_assert_eq!(check::faults(&document), []);
        let listed: BTreeSet<(&str, &str)> = bom.components.iter().map(|component| (component.name.as_str(), component.version.as_str())).collect();
        prop_assert_eq!(listed.len(), bom.components.len());
        let versions: Vec<(String, String)> = after.iter().filter(|(name, version)| before.get(*name) != Some(version)).map(|(name, version)| (name.clone(), format!("{version}.0.0"))).collect();
        let expect: BTreeSet<(&str, &str)> = versions.iter().map(|(name, version)| (name.as_str(), version.as_str())).collect();
        prop_assert_eq!(listed, expect);
    }
}
