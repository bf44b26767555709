//! Sentences, and what is understood.

use super::*;

fn focus() -> Focus {
    Focus { path: RelPath::new("src/here.ts").unwrap(), lines: None }
}

fn path(path: &str) -> RelPath {
    RelPath::new(path).unwrap()
}

#[test]
fn renames_in_many_words() {
    for sentence in [
        "rename calculateTotal to orderTotal",
        "Rename `calculateTotal` to `orderTotal`.",
        "please rename the function calculateTotal to orderTotal everywhere",
        "RENAME 'calculateTotal' INTO \"orderTotal\"!",
        "rename calculateTotal() to orderTotal()",
        "Could you please rename the exported function calculateTotal to orderTotal and update all imports?",
        "change the name of calculateTotal to orderTotal",
        "rename calculateTotal -> orderTotal",
        "rename the calculateTotal function to orderTotal",
        "I want you to rename calculateTotal to orderTotal across the codebase, please",
        "rename calculateTotal  to\norderTotal throughout the project",
        "rename our helper calculateTotal to orderTotal",
        "give the function calculateTotal the name orderTotal",
    ] {
        assert_eq!(
            understand(sentence, None),
            Ok(Refactoring::Rename { from: "calculateTotal".into(), to: "orderTotal".into(), file: None }),
            "{sentence}"
        );
    }
}

#[test]
fn files_are_heard() {
    for (sentence, file) in [
        ("rename X in src/a.ts to Y", "src/a.ts"),
        ("rename the class X in ./src/a.ts to Y everywhere", "src/a.ts"),
        ("rename X from `src/a.ts` to Y", "src/a.ts"),
        ("rename X to Y in src/a.ts", "src/a.ts"),
        ("rename X in this file to Y", "src/here.ts"),
        ("rename X here to Y", "src/here.ts"),
    ] {
        assert_eq!(
            understand(sentence, Some(&focus())),
            Ok(Refactoring::Rename { from: "X".into(), to: "Y".into(), file: Some(path(file)) }),
            "{sentence}"
        );
    }
}

#[test]
fn moves_in_many_words() {
    for (sentence, file) in [
        ("move formatDate to src/utils/date.ts", None),
        ("Move `formatDate` into `src/utils/date.ts`.", None),
        ("move the function formatDate to the file src/utils/date.ts and fix every import", None),
        ("please move formatDate from src/a.ts to src/utils/date.ts", Some("src/a.ts")),
        ("move formatDate to src/utils/date.ts from src/a.ts", Some("src/a.ts")),
        ("move formatDate from this file to src/utils/date.ts", Some("src/here.ts")),
        ("relocate formatDate to a new file src/utils/date.ts", None),
    ] {
        assert_eq!(
            understand(sentence, Some(&focus())),
            Ok(Refactoring::Move { symbol: "formatDate".into(), file: file.map(path), to: path("src/utils/date.ts") }),
            "{sentence}"
        );
    }
}

#[test]
fn unused_imports_in_many_words() {
    for (sentence, file) in [
        ("remove unused imports", None),
        ("Remove all unused imports.", None),
        ("please clean up the unused imports", None),
        ("delete unused imports in src/app.ts", Some("src/app.ts")),
        ("clean up unused imports from `src/app.ts`", Some("src/app.ts")),
        ("get rid of unused imports in this file", Some("src/here.ts")),
        ("remove unused imports everywhere", None),
        ("drop any unused import statements across the project", None),
    ] {
        assert_eq!(
            understand(sentence, Some(&focus())),
            Ok(Refactoring::RemoveUnusedImports { files: file.map(path).into_iter().collect() }),
            "{sentence}"
        );
    }
    for (sentence, files) in [
        ("remove unused imports in src/a.ts and src/b.ts", vec!["src/a.ts", "src/b.ts"]),
        (
            "Remove the unused imports from `src/b.ts`, src/a.ts, and c.ts, please.",
            vec!["c.ts", "src/a.ts", "src/b.ts"],
        ),
        ("remove unused imports in src/a.ts, src/a.ts", vec!["src/a.ts"]),
        ("remove unused imports in src/a.ts and update all imports", vec!["src/a.ts"]),
    ] {
        let files = files.into_iter().map(path).collect();
        assert_eq!(understand(sentence, None), Ok(Refactoring::RemoveUnusedImports { files }), "{sentence}");
    }
    for sentence in ["remove unused imports in src/a.ts and the tests", "remove unused imports in src/a.ts and it"] {
        understand(sentence, None).unwrap_err();
    }
}

#[test]
fn default_exports_in_many_words() {
    for (sentence, file, name) in [
        ("turn the default export of src/a.ts into a named export", "src/a.ts", None),
        ("convert the default export in src/a.ts to a named export called Foo", "src/a.ts", Some("Foo")),
        ("make the default export of src/a.ts named", "src/a.ts", None),
        ("Change the default export of `src/a.ts` to a named one.", "src/a.ts", None),
        ("turn the default export into a named export", "src/here.ts", None),
        (
            "turn the default export of this file into a named export named Foo and update all importers",
            "src/here.ts",
            Some("Foo"),
        ),
        ("convert src/a.ts from default export to named export", "src/a.ts", None),
    ] {
        assert_eq!(
            understand(sentence, Some(&focus())),
            Ok(Refactoring::DefaultToNamed { file: path(file), name: name.map(str::to_owned) }),
            "{sentence}"
        );
    }
}

#[test]
fn anything_else_is_not_guessed() {
    for sentence in [
        "",
        "rename",
        "rename a",
        "rename a to b and also fix the bug",
        "rename a to b and c to d",
        "rename a to b c",
        "rename the bug",
        "don't rename a to b",
        "fix the total",
        "extract formatDate into src/utils/date.ts",
        "move formatDate to the bottom",
        "move formatDate",
        "move formatDate to utils",
        "move a and b to src/c.ts",
        "remove imports",
        "remove unused imports and variables",
        "remove unused code",
        "remove unused imports in",
        "turn the default export into a class",
        "turn a.b into a named export",
        "why is total renamed to sum?",
        "rename src/a.ts to src/b.ts",
        "rename a to ../../etc/passwd",
        "rename a in ../../x.ts to b",
    ] {
        let error = understand(sentence, None).expect_err(sentence);
        assert!(matches!(error, RefactorError::NotUnderstood { .. }), "{sentence}");
        let hint = error.hint();
        for part in ["rename", "move", "unused imports", "default export", "krins doctor"] {
            assert!(hint.contains(part), "{hint}");
        }
    }
    // The words of the hint are understood themselves.
    for sentence in CAPABILITIES {
        assert!(understand(sentence, None).is_ok(), "{sentence}");
    }
    // `here` without a focus is nowhere.
    assert!(understand("remove unused imports in this file", None).is_err());
}

#[test]
fn long_input_is_cheap() {
    let sentence = format!("rename {} to b", "a ".repeat(200_000));
    assert!(understand(&sentence, None).is_err());
    let sentence = format!("{}rename a to b", "please ".repeat(50));
    assert!(understand(&sentence, None).is_ok());
}
