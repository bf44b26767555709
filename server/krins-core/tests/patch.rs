//! Properties of patches over random texts: what a diff says is what applying does, here and in git.

use krins_core::patch::{self, Change, Patch, merge, merge_texts, parse, place};
use krins_core::{RelPath, Tree};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

type Files = BTreeMap<RelPath, Arc<[u8]>>;

fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}

fn tree(files: &[(&str, &str)]) -> Files {
    files.iter().map(|(name, text)| (path(name), Arc::from(text.as_bytes()))).collect()
}

/// Lines that repeat, differ in white space only, or look like parts of patches.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[a-f]{1,6}",
        2 => Just(String::new()),
        2 => "( {0,6}|\t{1,2})[a-c](;|\\{|\\}| é)?",
        1 => prop_oneof![Just("}".to_owned()), Just("-- a".to_owned()), Just("++ b".to_owned()), Just("@@ -1 +1 @@".to_owned()),
            Just("```".to_owned()), Just("*** End Patch".to_owned()), Just("=======".to_owned()), Just("a ".to_owned()), Just("x\ry".to_owned())],
    ]
}

#[derive(Clone, Debug)]
struct Shape {
    ends: u8,
    bom: bool,
    last: bool,
}

fn shape() -> impl Strategy<Value = Shape> {
    (0..3_u8, prop::bool::weighted(0.15), prop::bool::weighted(0.7)).prop_map(|(ends, bom, last)| Shape {
        ends,
        bom,
        last,
    })
}

fn text(lines: &[String], shape: &Shape) -> String {
    let mut out = String::from(if shape.bom && !lines.is_empty() { "\u{feff}" } else { "" });
    for (at, line) in lines.iter().enumerate() {
        out.push_str(line);
        if at + 1 < lines.len() || shape.last {
            let crlf = shape.ends == 1 || shape.ends == 2 && line.len() % 2 == 0;
            out.push_str(if crlf { "\r\n" } else { "\n" });
        }
    }
    out
}

/// A text and an edited one.
fn pair() -> impl Strategy<Value = (String, String)> {
    let edits =
        prop::collection::vec((any::<prop::sample::Index>(), 0..4_usize, prop::collection::vec(line(), 0..4)), 0..5);
    (prop::collection::vec(line(), 0..60), edits, shape(), shape(), prop::bool::weighted(0.8)).prop_map(
        |(before, edits, old, new, same)| {
            let mut after = before.clone();
            for (at, cut, lines) in edits {
                let at = at.index(after.len() + 1);
                let end = (at + cut).min(after.len());
                after.splice(at..end, lines);
            }
            let new = if same { &old } else { &new };
            (text(&before, &old), text(&after, new))
        },
    )
}

fn between(before: &str, after: &str) -> Patch {
    let bytes = |text: &str| Some(Arc::from(text.as_bytes()));
    Patch::between(vec![Change {
        path: path("src/a b.ts"),
        from: None,
        before: bytes(before),
        after: bytes(after),
        executable: false,
    }])
}

fn text_of(bytes: &Option<Arc<[u8]>>) -> String {
    String::from_utf8(bytes.clone().unwrap_or_else(|| Arc::from(&b""[..])).to_vec()).unwrap()
}

fn result(patch: &Patch, before: &str) -> String {
    patch.files().first().map_or(before.to_owned(), |file| text_of(&file.after))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_diff_applied_to_its_base_gives_the_other_text((before, after) in pair()) {
        let patch = between(&before, &after);
        prop_assert_eq!(patch.is_empty(), before == after);
        if before != after {
            let parsed = parse(patch.unified());
            prop_assert!(parsed.is_ok(), "{:?}\n{}", parsed, patch.unified());
            let base = tree(&[("src/a b.ts", &before)]);
            let placed = place(&parsed.clone().unwrap(), &base, true);
            prop_assert!(placed.is_ok(), "{:?}\n{:?}\n{:?}", placed, before, patch.unified());
            prop_assert_eq!(result(&placed.unwrap(), &before), after.clone(), "{:?}", patch.unified());
            // Without a base it may refuse or see the change as made; it never writes anything else.
            if let Ok(blind) = place(&parsed.unwrap(), &base, false) {
                let blind = result(&blind, &before);
                prop_assert!(blind == after || blind == before, "{blind:?}\n{after:?}\n{:?}", patch.unified());
            }
        }
    }

    #[test]
    fn undoing_gives_the_first_text((before, after) in pair()) {
        let patch = between(&before, &after);
        let back = merge(&patch.inverse(), &tree(&[("src/a b.ts", &after)]));
        prop_assert!(back.conflicts.is_empty() && back.refusals.is_empty());
        let undone = back.writes.first().map_or(after.clone(), |write| text_of(&write.after));
        prop_assert_eq!(undone, before);
        let again = patch.inverse().inverse();
        prop_assert_eq!(again.unified(), patch.unified());
    }

    #[test]
    fn a_subset_is_a_patch_of_the_same_base((before, after) in pair(), mask in any::<u16>()) {
        let patch = between(&before, &after);
        let kept = |id: &str| mask >> (id[1..].parse::<u32>().unwrap() % 16) & 1 == 1;
        let some = patch.subset(&|hunk| kept(&hunk.id));
        let rest = patch.subset(&|hunk| !kept(&hunk.id));
        let middle = result(&some, &before);
        if !some.is_empty() {
            let placed = place(&parse(some.unified()).unwrap(), &tree(&[("src/a b.ts", &before)]), true);
            prop_assert!(placed.is_ok(), "{:?}\n{}", placed, some.unified());
            prop_assert_eq!(result(&placed.unwrap(), &before), middle.clone());
        }
        if some.is_empty() { prop_assert_eq!(result(&rest, &before), after); }
        else if rest.is_empty() { prop_assert_eq!(middle, after); }
    }

    #[test]
    fn an_edited_hunk_leaves_the_other_hunks_as_they_are((before, after) in pair(), text in prop::collection::vec(line(), 0..6), at in any::<prop::sample::Index>()) {
        let patch = between(&before, &after);
        let hunks: Vec<_> = patch.files().iter().flat_map(|file| &file.hunks).cloned().collect();
        if hunks.is_empty() { return Ok(()); }
        let hunk = &hunks[at.index(hunks.len())];
        let Ok(edited) = patch.with_hunk(&hunk.id, &text.iter().map(|line| format!("{line}\n")).collect::<String>()) else { return Ok(()) };
        let others = |patch: &Patch| -> Vec<_> {
            patch.files().iter().flat_map(|file| &file.hunks).filter(|other| other.id != hunk.id).map(|other| (other.id.clone(), other.lines.clone(), other.before)).collect()
        };
        prop_assert_eq!(others(&edited), others(&patch));
        if !edited.is_empty() {
            let placed = place(&parse(edited.unified()).unwrap(), &tree(&[("src/a b.ts", &before)]), true);
            prop_assert!(placed.is_ok(), "{:?}\n{}", placed, edited.unified());
            prop_assert_eq!(result(&placed.unwrap(), &before), result(&edited, &before), "{}", edited.unified());
        }
    }

    #[test]
    fn utf_16_and_utf_8_are_edited_alike((before, after) in pair(), big in any::<bool>()) {
        let bare = |text: &str| text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        let (before, after) = (bare(&before), bare(&after));
        let wide = |text: &str| -> Arc<[u8]> {
            let unit = |unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() };
            std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(unit).collect()
        };
        let patch = between(&before, &after);
        if before != after {
            let base: Files = [(path("src/a b.ts"), wide(&before))].into();
            let placed = place(&parse(patch.unified()).unwrap(), &base, true);
            prop_assert!(placed.is_ok(), "{:?}", placed);
            let placed = placed.unwrap();
            prop_assert_eq!(placed.files().first().and_then(|file| file.after.clone()), Some(wide(&after)));
            let back = merge(&placed.inverse(), &Files::from([(path("src/a b.ts"), wide(&after))]));
            prop_assert_eq!(back.writes[0].after.clone(), Some(wide(&before)));
        }
    }

    #[test]
    fn merging_is_the_same_from_both_sides((base, ours) in pair(), (_, theirs) in pair(), cut in any::<prop::sample::Index>()) {
        let theirs = if cut.index(4) == 0 { theirs } else { base.replacen("a", "z", 1) };
        let one = merge_texts(&path("x"), base.as_bytes(), ours.as_bytes(), theirs.as_bytes());
        let two = merge_texts(&path("x"), base.as_bytes(), theirs.as_bytes(), ours.as_bytes());
        prop_assert_eq!(one.is_ok(), two.is_ok());
        if let (Ok(one), Ok(two)) = (one, two) { prop_assert_eq!(one, two); }
        let untouched = merge_texts(&path("x"), base.as_bytes(), base.as_bytes(), ours.as_bytes());
        prop_assert_eq!(untouched.ok(), Some(ours.into_bytes()));
    }

    #[test]
    fn no_answer_makes_it_panic(answer in any::<String>(), soup in soup(), based in any::<bool>()) {
        let base = tree(&[("a.ts", "a\nb\n  c\n\n}\n"), ("b.ts", "\u{feff}a\r\nb")]);
        for answer in [answer, soup] {
            if let Ok(parsed) = parse(&answer)
                && let Ok(patch) = place(&parsed, &base, based)
            {
                let again = patch.inverse().inverse();
                prop_assert_eq!(again.unified(), patch.unified());
                let _ = merge(&patch, &base);
            }
            let _ = patch::parse_in(&answer, "/root");
        }
    }
}

/// Pieces of every form in any order.
fn soup() -> impl Strategy<Value = String> {
    let pieces = [
        "--- a/a.ts\n",
        "+++ b/a.ts\n",
        "--- /dev/null\n",
        "+++ /dev/null\n",
        "diff --git a/a.ts b/a.ts\n",
        "diff --git \"a/\\303\" b/x\n",
        "@@ -1,2 +1,2 @@\n",
        "@@\n",
        "@@ -0,0 +1 @@\n",
        "-a\n",
        "+a\n",
        " a\n",
        "a\n",
        " b\n",
        "-b\n",
        "+  z\n",
        "\n",
        "\\ No newline at end of file\n",
        "rename from a.ts\n",
        "rename to c.ts\n",
        "new file mode 100755\n",
        "deleted file mode 100644\n",
        "```\n",
        "```ts a.ts\n",
        "a.ts\n",
        "<<<<<<< SEARCH\n",
        "=======\n",
        ">>>>>>> REPLACE\n",
        "*** Begin Patch\n",
        "*** End Patch\n",
        "*** Update File: a.ts\n",
        "*** Add File: n.ts\n",
        "*** Delete File: b.ts\n",
        "*** Move to: m.ts\n",
        "*** End of File\n",
        "// ... existing code ...\n",
        "+// ...\n",
        " 1 | a\n",
        "&lt;\n",
        "\r\n",
        "\u{feff}",
        "{\"path\":\"a.ts\",\"old_str\":\"b\",\"new_str\":\"c\"}",
        "\"",
        "[",
        "]",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..24).prop_map(|pieces| pieces.concat())
}

fn git(dir: &Path, args: &[&str], patch: &str) -> bool {
    let file = dir.join("../patch.diff");
    std::fs::write(&file, patch).unwrap();
    let run = Command::new("git")
        .current_dir(dir)
        .env("GIT_CEILING_DIRECTORIES", dir.parent().unwrap())
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", "/nonexistent")
        .args(["apply", "--whitespace=nowarn"])
        .args(args)
        .arg("../patch.diff")
        .output()
        .unwrap();
    if !run.status.success() {
        std::io::Write::write_all(&mut std::io::stderr(), &run.stderr).unwrap();
    }
    run.status.success()
}

fn write_all(dir: &Path, files: &Files) {
    for (name, bytes) in files {
        let at = dir.join(name);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(at, bytes).unwrap();
    }
}

fn read_all(dir: &Path, names: &[&str]) -> Files {
    names.iter().filter_map(|name| Some((path(name), std::fs::read(dir.join(name)).ok()?.into()))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn git_apply_takes_the_normal_form_byte_for_byte((one, two) in pair(), (three, four) in pair(), created in pair(), moved in pair()) {
        let bytes = |text: &str| Some(Arc::from(text.as_bytes()));
        let change = |name: &str, from: Option<&str>, before: Option<&str>, after: Option<&str>| Change {
            path: path(name), from: from.map(path), before: before.and_then(bytes), after: after.and_then(bytes), executable: false,
        };
        let names = ["src/a b.ts", "página \"q\".ts", "new/empty.ts", "gone.ts", "new/é\\x.ts".trim_end_matches("\\x.ts"), "old.ts", "moved to/new.ts"];
        let before = tree(&[(names[0], &one), (names[1], &three), (names[3], &created.0), (names[5], &moved.0)]);
        let mut after = tree(&[(names[0], &two), (names[1], &four), (names[2], ""), (names[4], &created.1), (names[6], &moved.1)]);
        let patch = Patch::between(vec![
            change(names[0], None, Some(&one), Some(&two)),
            change(names[1], None, Some(&three), Some(&four)),
            change(names[2], None, None, Some("")),
            change(names[3], None, Some(&created.0), None),
            change(names[4], None, None, Some(&created.1)),
            change(names[6], Some(names[5]), Some(&moved.0), Some(&moved.1)),
        ]);
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir(&root).unwrap();
        write_all(&root, &before);
        prop_assert!(git(&root, &["--check"], patch.unified()), "{}", patch.unified());
        prop_assert!(git(&root, &[], patch.unified()));
        prop_assert_eq!(read_all(&root, &names), after.clone(), "{}", patch.unified());
        prop_assert!(git(&root, &[], patch.inverse().unified()), "{}", patch.inverse().unified());
        prop_assert_eq!(read_all(&root, &names), before.clone());
        // Our own merge of the same patch says the same.
        let writes = merge(&patch, &before);
        prop_assert!(writes.conflicts.is_empty() && writes.refusals.is_empty());
        for write in writes.writes {
            let wanted = after.remove(&write.path);
            prop_assert_eq!(write.after, wanted);
        }
        prop_assert!(after.iter().all(|(name, bytes)| before.text(name).is_some_and(|text| text.as_bytes() == &**bytes)));
    }
}

/// A three-way `git apply` finds the base by the blob ids of the `index` lines.
#[test]
fn git_applies_three_ways_by_the_blob_ids() {
    let base = (1..=30).map(|n| format!("line {n}\n")).collect::<String>();
    let patch = between(&base, &base.replace("line 15\n", "line fifteen\n"));
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let run = |args: &[&str]| {
        let run = Command::new("git")
            .current_dir(&root)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("HOME", "/nonexistent")
            .args(args)
            .output()
            .unwrap();
        assert!(run.status.success(), "{args:?} {}", String::from_utf8_lossy(&run.stderr));
    };
    let now = base.replace("line 13\n", "line thirteen\n");
    run(&["init", "-q", "."]);
    write_all(&root, &tree(&[("src/a b.ts", &base)]));
    run(&["add", "."]);
    write_all(&root, &tree(&[("src/a b.ts", &now)]));
    run(&["add", "."]);
    std::fs::write(dir.path().join("patch.diff"), patch.unified()).unwrap();
    run(&["apply", "-3", "../patch.diff"]);
    let merged = std::fs::read_to_string(root.join("src/a b.ts")).unwrap();
    assert_eq!(merged, now.replace("line 15\n", "line fifteen\n"));
}
