//! Which packages a change may bring by their licences.

use super::*;
use crate::gate::Policy;
use crate::gate::testing::{Around, judge_around, lock_of, patch};

fn found(change: &crate::patch::Patch, around: &Around) -> Vec<(String, Verdict, String)> {
    let findings = judge_around(change, around, &Policy::default(), check_licences);
    findings.into_iter().map(|finding| (finding.rule, finding.verdict, finding.message)).collect()
}

fn adding(licence: Option<&str>) -> crate::patch::Patch {
    let entry = |licence: &str| {
        format!(r#""node_modules/x": {{"version": "1.0.0", "resolved": "https://r.example/x/-/x-1.0.0.tgz"{licence}}}"#)
    };
    let licence = licence.map_or(String::new(), |licence| format!(r#", "license": {licence}"#));
    patch("package-lock.json", Some(&lock_of("")), Some(&lock_of(&entry(&licence))))
}

#[test]
fn what_the_lock_file_says_counts() {
    let nothing = Around::default();
    for (licence, expect) in [
        (r#""MIT""#, None),
        (r#""(MIT OR GPL-3.0)""#, None),
        (r#""MPL-2.0""#, Some(("licences/copyleft", Verdict::Warn))),
        (r#""GPL-3.0""#, Some(("licences/copyleft", Verdict::Block))),
        (r#""AGPL-3.0""#, Some(("licences/denied", Verdict::Block))),
        (r#""UNLICENSED""#, Some(("licences/denied", Verdict::Block))),
        (r#""Whatever""#, Some(("licences/unknown", Verdict::Block))),
        (r#""SEE LICENSE IN x""#, Some(("licences/unknown", Verdict::Block))),
    ] {
        let found = found(&adding(Some(licence)), &nothing);
        let first = found.first().map(|(rule, verdict, _)| (rule.as_str(), *verdict));
        assert_eq!(first, expect, "{licence}: {found:?}");
    }
}

#[test]
fn a_licence_that_nobody_says_is_unknown_and_blocks() {
    let found = found(&adding(None), &Around::default());
    assert_eq!(found[0].0, "licences/unknown");
    assert_eq!(found[0].1, Verdict::Block);
    assert!(found[0].2.contains("x@1.0.0"), "{found:?}");
}

#[test]
fn then_the_installed_manifest_and_then_its_licence_file() {
    let mut around = Around::default();
    around.install("x", "1.0.0", r#"{"name": "x", "license": "ISC"}"#, None);
    assert_eq!(found(&adding(None), &around), []);
    around.install("x", "1.0.0", r#"{"name": "x", "license": "AGPL-3.0"}"#, None);
    assert_eq!(found(&adding(None), &around)[0].0, "licences/denied");
    let mit = "The MIT License (MIT)\n\nCopyright (c) 2019 Somebody\n\nPermission is hereby granted, free of charge, to any person obtaining a copy\nof this software and associated documentation files (the \"Software\"), to deal\n\
               in the Software without restriction, including without limitation the rights\nto use, copy, modify, merge, publish, distribute, sublicense, and/or sell\ncopies of the Software, and to permit persons to whom the Software is\n\
               furnished to do so, subject to the following conditions:\n\nThe above copyright notice and this permission notice shall be included in all\ncopies or substantial portions of the Software.\n\n\
               THE SOFTWARE IS PROVIDED \"AS IS\", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR\nIMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,\nFITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE\n\
               AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER\nLIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,\nOUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE\nSOFTWARE.\n";
    around.install("x", "1.0.0", r#"{"name": "x", "license": "SEE LICENSE IN LICENSE"}"#, Some(mit));
    assert_eq!(found(&adding(None), &around), []);
    around.install("x", "1.0.0", r#"{"name": "x"}"#, Some("\"Commons Clause\" License Condition v1.0"));
    assert_eq!(found(&adding(None), &around)[0].0, "licences/denied");
}

#[test]
fn only_what_is_new_is_judged() {
    let agpl = r#""node_modules/x": {"version": "1.0.0", "license": "AGPL-3.0"}"#;
    let more = r#", "node_modules/y": {"version": "1.0.0", "license": "MIT"}"#;
    let change = patch("package-lock.json", Some(&lock_of(agpl)), Some(&lock_of(&format!("{agpl}{more}"))));
    assert_eq!(found(&change, &Around::default()), []);
}

#[test]
fn a_dependency_without_a_lock_file_is_judged_too() {
    let change = patch("package.json", Some("{}"), Some(r#"{"dependencies": {"x": "^1", "own": "workspace:*"}}"#));
    let mut around = Around::default();
    let unknown = found(&change, &around);
    assert_eq!((unknown.len(), unknown[0].0.as_str()), (1, "licences/unknown"));
    around.install("x", "1.0.0", r#"{"name": "x", "license": "MIT"}"#, None);
    assert_eq!(found(&change, &around), []);
}

#[test]
fn many_findings_are_few_lines() {
    let entries: Vec<String> = (0..300).map(|at| format!(r#""node_modules/x{at}": {{"version": "1.0.0"}}"#)).collect();
    let change = patch("package-lock.json", Some(&lock_of("")), Some(&lock_of(&entries.join(","))));
    let found = found(&change, &Around::default());
    assert_eq!(found.len(), 26);
    assert!(found[25].2.contains("275 more") && found[25].1 == Verdict::Block, "{found:?}");
}

#[test]
fn a_dependency_is_new_whether_or_not_the_change_is_in_the_files_already() {
    let (before, after) =
        (r#"{"name": "x", "dependencies": {}}"#, r#"{"name": "x", "dependencies": {"left-pad": "1"}}"#);
    for (was, is) in [(Some(before), after), (None, after)] {
        let change = patch("package.json", was, Some(is));
        let mut around = Around::default();
        let first = found(&change, &around);
        assert_eq!(first[0].0, "licences/unknown");
        around.write("package.json", is);
        assert_eq!(found(&change, &around), first);
    }
}
