//! Data tests: each form, defect and refusal with its answer.

use super::*;
use std::collections::BTreeMap;

type Files = BTreeMap<RelPath, Arc<[u8]>>;

const FILE: &str = "import { a } from './a'\n\nexport function one(x: number) {\n  if (x > 1) {\n    return a(x)\n  }\n  return x\n}\n\nexport const two = 2\n";

fn tree(files: &[(&str, &str)]) -> Files {
    files.iter().map(|(path, text)| (RelPath::new(path).unwrap(), Arc::from(text.as_bytes()))).collect()
}

fn placed(answer: &str, base: &[(&str, &str)], based: bool) -> Result<Patch, Vec<Refusal>> {
    place(&parse(answer).map_err(|refusal| vec![refusal])?, &tree(base), based)
}

/// The text of `src/one.ts` after the answer was applied to it.
fn after(answer: &str, base: &str, based: bool) -> String {
    let patch =
        placed(answer, &[("src/one.ts", base)], based).unwrap_or_else(|refusals| panic!("{refusals:?}\n{answer}"));
    match patch.files() {
        [] => base.to_owned(),
        [file] => String::from_utf8(file.after.clone().unwrap().to_vec()).unwrap(),
        files => panic!("{files:?}"),
    }
}

fn why(answer: &str, base: &str, based: bool) -> String {
    match placed(answer, &[("src/one.ts", base)], based) {
        Ok(patch) => panic!("taken:\n{}", patch.unified()),
        Err(refusals) => refusals.into_iter().map(|refusal| refusal.why).collect::<Vec<_>>().join("; "),
    }
}

fn placement(answer: &str, base: &str, based: bool) -> Placement {
    let patch =
        placed(answer, &[("src/one.ts", base)], based).unwrap_or_else(|refusals| panic!("{refusals:?}\n{answer}"));
    patch.files()[0].placements[0].clone()
}

const DIFF: &str = "--- a/src/one.ts\n+++ b/src/one.ts\n@@ -4,3 +4,3 @@\n   if (x > 1) {\n-    return a(x)\n+    return a(x + 1)\n   }\n";

fn expected() -> String {
    FILE.replace("a(x)", "a(x + 1)")
}

#[test]
fn every_form_gives_the_same_text() {
    let block = "<<<<<<< SEARCH\n    return a(x)\n=======\n    return a(x + 1)\n>>>>>>> REPLACE\n";
    let whole = format!("src/one.ts\n```ts\n{}```\n", expected());
    let call = r#"{"command":"str_replace","path":"src/one.ts","old_str":"a(x)","new_str":"a(x + 1)"}"#;
    for answer in [
        DIFF.to_owned(),
        format!("Sure, here it is:\n\n```diff\n{DIFF}```\nHope it helps.\n- one thing\n"),
        DIFF.replace("@@ -4,3 +4,3 @@", "@@ ... @@"),
        DIFF.replace("-4,3 +4,3", "-40,9 +40,2"),
        format!("diff --git a/src/one.ts b/src/one.ts\nindex 1111111..2222222 100644\n{DIFF}"),
        DIFF.replace('\n', "\r\n"),
        format!("\u{feff}{DIFF}"),
        serde_json::to_string(DIFF).unwrap(),
        serde_json::json!({ "patch": DIFF }).to_string(),
        DIFF.replace('\n', "\\n"),
        DIFF.replace('>', "&gt;").replace('<', "&lt;"),
        format!("src/one.ts\n{block}"),
        format!("src/one.ts\n```ts\n{block}```\n"),
        format!("```ts\nsrc/one.ts\n{block}```\n"),
        format!("**`src/one.ts`**\n\n```ts\n{block}```\n"),
        format!("### File: src/one.ts\n{block}"),
        "*** Begin Patch\n*** Update File: src/one.ts\n@@\n   if (x > 1) {\n-    return a(x)\n+    return a(x + 1)\n*** End Patch\n".to_owned(),
        "```\n*** Begin Patch\n*** Update File: src/one.ts\n@@ function one\n-    return a(x)\n+    return a(x + 1)\n*** End Patch\n```\n".to_owned(),
        call.to_owned(),
        format!("```json\n[{call}]\n```"),
        whole.clone(),
        whole.replace("```ts", "```ts src/one.ts").replacen("src/one.ts\n", "Here:\n", 1),
    ] {
        assert_eq!(after(&answer, FILE, true), expected(), "{answer}");
    }
}

#[test]
fn defects_of_context_are_mended_and_listed() {
    let check = |answer: &str, base: &str, level: &str, repair: &str, expect: &str| {
        assert_eq!(after(answer, base, true), expect, "{answer}");
        let placement = placement(answer, base, true);
        assert_eq!(placement.level, level, "{answer}");
        assert!(repair.is_empty() || placement.repairs.iter().any(|done| done.contains(repair)), "{placement:?}");
    };
    let outdented = "--- a/src/one.ts\n+++ b/src/one.ts\n@@\n if (x > 1) {\n-  return a(x)\n+  return a(x + 1)\n }\n";
    check(outdented, FILE, "indentation", "indentation", &expected());
    let tabs =
        "--- a/src/one.ts\n+++ b/src/one.ts\n@@\n \tif (x > 1) {\n-\t\treturn a(x)\n+\t\treturn a(x + 1)\n \t}\n";
    check(tabs, FILE, "indentation", "indentation", &expected());
    check(&DIFF.replace("if (x", "if  (x"), FILE, "white-space", "", &expected());
    check(&DIFF.replace("   if (x", "  if (x"), FILE, "indentation", "", &expected());
    let bare = DIFF.replace("\n   if", "\n  if").replace("\n   }", "\n  }");
    check(&bare, FILE, "exact", "leading space", &expected());
    let invented = DIFF.replace("   if (x > 1) {", "   // a comment that is not there\n   if (x > 1) {");
    check(&invented, FILE, "outer-context", "dropped", &expected());
    let altered = "--- a/src/one.ts\n+++ b/src/one.ts\n@@\n-export function one(x: number) {\n+export function uno(x: number) {\n   if (x >= 1) {\n-    return a(x)\n+    return a(x + 1)\n   }\n   return x\n";
    check(altered, FILE, "alignment", "altered", &expected().replace("one(", "uno("));
    let numbered = "src/one.ts\n<<<<<<< SEARCH\n   4 |   if (x > 1) {\n   5 |     return a(x)\n=======\n   4 |   if (x > 1) {\n   5 |     return a(x + 1)\n>>>>>>> REPLACE\n";
    check(numbered, FILE, "exact", "line numbers", &expected());
    let elided = "src/one.ts\n<<<<<<< SEARCH\nexport function one(x: number) {\n  // ... existing code ...\n    return a(x)\n  }\n=======\nexport function one(x: number) {\n  // ... existing code ...\n    return a(x + 1)\n  }\n>>>>>>> REPLACE\n";
    check(elided, FILE, "exact", "left-out", &expected());
    let crlf = FILE.replace('\n', "\r\n");
    check(DIFF, &crlf, "trailing-space", "line ends", &expected().replace('\n', "\r\n"));
    let typographic = FILE.replace("'./a'", "’./a’");
    let near = "--- a/src/one.ts\n+++ b/src/one.ts\n@@\n import { a } from './a'\n+import { b } from './b'\n \n";
    check(near, &typographic, "punctuation", "", &typographic.replace("’./a’\n", "’./a’\nimport { b } from './b'\n"));
    let unmarked = "--- a/src/one.ts\n+++ b/src/one.ts\n@@\n export const two = 2\n+export const three = 3\n export const four = 4\n+export const five = 5\n";
    check(
        unmarked,
        FILE,
        "exact",
        "without its `+`",
        &format!("{FILE}export const three = 3\nexport const four = 4\nexport const five = 5\n"),
    );
}

#[test]
fn what_cannot_be_placed_is_refused_with_its_reason() {
    let twice = format!("{FILE}{FILE}");
    assert!(why(&DIFF.replace("-4,3 +4,3", "-9,3 +9,3"), &twice, true).contains("more than once"));
    assert!(why(DIFF, &twice, false).contains("more than once"), "without a base a number decides nothing");
    assert_eq!(after(DIFF, &twice, true), format!("{}{FILE}", expected()), "with a base the exact number does");
    let refusals = placed(DIFF, &[("src/one.ts", &twice)], false).unwrap_err();
    assert_eq!(refusals[0].candidates, [4, 14]);
    assert_eq!(refusals[0].hunk, Some(1));
    assert!(
        why(&DIFF.replace("   if (x > 1) {", "   // invented\n   if (x > 1) {"), FILE, false).contains("nowhere"),
        "loose levels are closed without a base"
    );
    assert!(why(&DIFF.replace("-    return a(x)", "-    return b(x)"), FILE, true).contains("nowhere"));
    assert!(
        why(
            "--- a/src/one.ts\n+++ b/src/one.ts\n@@ -4,3 +4,9 @@\n   if (x > 1) {\n-    return a(x)\n+    return (\n",
            FILE,
            true
        )
        .contains("cut off")
    );
    assert!(why("src/one.ts\n<<<<<<< SEARCH\n    return a(x)\n=======\n    return", FILE, true).contains("cut off"));
    assert!(
        why("*** Begin Patch\n*** Update File: src/one.ts\n@@\n-    return a(x)\n+    ret", FILE, true)
            .contains("cut off")
    );
    assert!(why("src/one.ts\n```ts\nexport const x = 1\n", FILE, true).contains("cut off"));
    let elided = "src/one.ts\n```ts\n// ... existing code ...\nexport const two = 3\n```\n";
    assert!(why(elided, FILE, true).contains("leaves code out"));
    let elided = DIFF.replace("+    return a(x + 1)", "+    // ... rest of the code ...");
    assert!(why(&elided, FILE, true).contains("leaves code out"));
    let overlapping =
        format!("{DIFF}@@ -4,3 +4,3 @@\n   if (x > 1) {{\n-    return a(x)\n+    return a(x + 2)\n   }}\n");
    assert!(why(&overlapping, FILE, true).contains("overlaps"));
    assert!(why("I would rename the function.", FILE, true).contains("no change"));
    assert!(why("--- a/src/one.ts\n+++ b/src/one.ts\n", FILE, true).contains("no change"));
    assert!(why("--- a/src/one.ts\n+++ b/src/one.ts\n@@\n   return x\n", FILE, true).contains("changes nothing"));
    assert!(why(&DIFF.replace("src/one.ts", "src/gone.ts"), FILE, true).contains("no such file"));
    assert!(why("@@ -1,1 +1,1 @@\n-a\n+b\n", FILE, true).contains("file name"));
    assert!(why(&DIFF.replace("-4,3", "-99999999999999999999,3"), FILE, true).contains("range"));
    assert!(
        why("diff --git a/x.png b/x.png\nBinary files a/x.png and b/x.png differ\n", FILE, true).contains("binary")
    );
    let escaped = DIFF.replace("   if (x > 1) {\n", "").replace("return a(x + 1)", "return a(x &lt; 1)");
    assert!(why(&escaped, FILE, true).contains("entities"), "nothing but the new line could tell");
    for mode in ["120000", "160000", "104755"] {
        let answer =
            format!("diff --git a/x b/x\nnew file mode {mode}\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+../out\n");
        assert!(placed(&answer, &[], false).is_err(), "{mode}");
    }
}

#[test]
fn repeated_work_is_no_work() {
    for based in [true, false] {
        let patch = placed(DIFF, &[("src/one.ts", &expected())], based).unwrap();
        assert!(patch.is_empty(), "{}", patch.unified());
    }
    let append = "src/one.ts\n<<<<<<< SEARCH\nexport const two = 2\n=======\nexport const two = 2\nexport const three = 3\n>>>>>>> REPLACE\n";
    let once = after(append, FILE, false);
    assert_eq!(after(append, &once, false), once);
    let twice = format!("{DIFF}{}", &DIFF[DIFF.find("@@").unwrap()..]);
    assert_eq!(after(&twice, FILE, true), expected());
}

#[test]
fn files_are_created_deleted_renamed_and_made_executable() {
    let base = [("src/one.ts", FILE), ("run.sh", "echo\n")];
    let answer = "diff --git a/src/one.ts b/src/uno.ts\nsimilarity index 90%\nrename from src/one.ts\nrename to src/uno.ts\n--- a/src/one.ts\n+++ b/src/uno.ts\n@@ -10 +10 @@\n-export const two = 2\n+export const dos = 2\ndiff --git a/run.sh b/run.sh\nold mode 100644\nnew mode 100755\ndiff --git a/empty b/empty\nnew file mode 100644\nindex 0000000..e69de29\n";
    let patch = placed(answer, &base, true).unwrap();
    let kinds: Vec<_> = patch.files().iter().map(|file| (file.path.as_str(), file.kind, file.executable)).collect();
    assert_eq!(
        kinds,
        [
            ("empty", ChangeKind::Create, false),
            ("run.sh", ChangeKind::Modify, true),
            ("src/uno.ts", ChangeKind::Rename, false)
        ]
    );
    assert_eq!(
        parse(patch.unified())
            .and_then(|parsed| place(&parsed, &tree(&base), true).map_err(|mut all| all.remove(0)))
            .map(|again| again.unified().to_owned()),
        Ok(patch.unified().to_owned())
    );
    let back = patch.inverse();
    assert_eq!(back.inverse().unified(), patch.unified());
    let gone = placed("--- a/run.sh\n+++ /dev/null\n@@ -1 +0,0 @@\n-echo\n", &base, true).unwrap();
    assert_eq!(gone.files()[0].kind, ChangeKind::Delete);
    assert!(placed("--- a/run.sh\n+++ /dev/null\n@@ -1 +0,0 @@\n-other\n", &base, true).is_err());
    let moved = "*** Begin Patch\n*** Update File: src/one.ts\n*** Move to: src/uno.ts\n@@\n-export const two = 2\n+export const dos = 2\n*** Add File: new.ts\n+x\n*** Delete File: run.sh\n*** End Patch\n";
    assert_eq!(placed(moved, &base, true).unwrap().files().len(), 3);
}

#[test]
fn spellings_of_paths_are_mended_or_refused() {
    let named = |old: &str, new: &str| DIFF.replace("a/src/one.ts", old).replace("b/src/one.ts", new);
    for (old, new) in [
        ("src/one.ts", "src/one.ts"),
        ("./src/one.ts", "./src/one.ts"),
        ("a/repo/src/one.ts", "b/repo/src/one.ts"),
        ("a\\src\\one.ts", "b\\src\\one.ts"),
        ("src/one.ts\t2026-03-01 10:00:00", "src/one.ts\t2026-03-01 10:05:00"),
        ("src/one.ts (original)", "src/one.ts (modified)"),
        ("\"a/src/\\157ne.ts\"", "\"b/src/one.ts\""),
    ] {
        assert_eq!(after(&named(old, new), FILE, true), expected(), "{old}");
    }
    assert_eq!(after(&DIFF.replace("--- a/src/one.ts\n", ""), FILE, true), expected());
    for (old, new) in [
        ("a/../x", "b/../x"),
        ("/etc/passwd", "/etc/passwd"),
        ("a/.git/config", "b/.git/config"),
        ("a/src/one.ts", "b/src/two.ts"),
        ("a/C:/x", "b/C:/x"),
    ] {
        assert!(placed(&named(old, new), &[("src/one.ts", FILE), (".git/config", FILE)], true).is_err(), "{old}");
    }
    let absolute = named("/home/me/p/src/one.ts", "/home/me/p/src/one.ts");
    assert!(place(&parse_in(&absolute, "/home/me/p").unwrap(), &tree(&[("src/one.ts", FILE)]), true).is_ok());
    assert!(place(&parse_in(&absolute, "/home/me").unwrap(), &tree(&[("src/one.ts", FILE)]), true).is_err());
}

struct Odd(Files);

impl Tree for Odd {
    fn entry(&self, path: &RelPath) -> crate::Entry {
        match path.as_str() {
            "link" | "src/one.ts" => crate::Entry::Refused("a symbolic link".into()),
            _ => self.0.entry(path),
        }
    }
}

#[test]
fn what_is_no_plain_text_file_is_refused_in_base_and_workspace() {
    let base = tree(&[("src/one.ts", FILE)]);
    let parsed = parse(DIFF).unwrap();
    assert!(place(&parsed, &Odd(base.clone()), true).unwrap_err()[0].why.contains("symbolic link"));
    let below = parse("--- /dev/null\n+++ b/link/x\n@@ -0,0 +1 @@\n+x\n").unwrap();
    assert!(place(&below, &Odd(base.clone()), true).unwrap_err()[0].why.contains("symbolic link"));
    let patch = place(&parsed, &base, true).unwrap();
    assert!(merge(&patch, &Odd(base.clone())).refusals[0].why.contains("symbolic link"));
    for (bytes, name) in [
        (&b"\xff\xfea\0b"[..], "UTF-16"),
        (b"\xff\xfe\0\0a\0\0\0", "UTF-32"),
        (b"caf\xe9\n", "UTF-8"),
        (b"a\0b", "binary"),
    ] {
        let odd: Files = BTreeMap::from([(RelPath::new("src/one.ts").unwrap(), Arc::from(bytes))]);
        assert!(place(&parsed, &odd, true).unwrap_err()[0].why.contains(name), "{name}");
    }
}

#[test]
fn subsets_are_patches_of_their_own() {
    let patch = placed("src/one.ts\n<<<<<<< SEARCH\nimport { a } from './a'\n=======\nimport { a, b } from './a'\nimport c from 'c'\n>>>>>>> REPLACE\n<<<<<<< SEARCH\nexport const two = 2\n=======\nexport const two = 3\n>>>>>>> REPLACE\n", &[("src/one.ts", FILE)], true).unwrap();
    let ids: Vec<_> = patch.files()[0].hunks.iter().map(|hunk| hunk.id.as_str()).collect();
    assert_eq!(ids, ["h1", "h2"]);
    let second = patch.subset(&|hunk| hunk.id == "h2");
    assert_eq!(&**second.files()[0].after.as_ref().unwrap(), FILE.replace("two = 2", "two = 3").as_bytes());
    assert_eq!(second.files()[0].hunks[0].id, "h2");
    assert!(patch.subset(&|_| false).is_empty());
    assert_eq!(patch.subset(&|_| true), patch);
}

#[test]
fn merging_keeps_both_sides_or_says_where_they_clash() {
    let patch = placed(DIFF, &[("src/one.ts", FILE)], true).unwrap();
    let now = |text: &str| merge(&patch, &tree(&[("src/one.ts", text)]));
    let user = FILE.replace("two = 2", "two = 22");
    assert_eq!(&**now(&user).writes[0].after.as_ref().unwrap(), user.replace("a(x)", "a(x + 1)").as_bytes());
    assert_eq!(now(&expected()), Merge::default());
    let clash = now(&FILE.replace("a(x)", "a(x * 2)"));
    assert!(clash.writes.is_empty());
    assert_eq!((clash.conflicts[0].lines, clash.conflicts[0].ours.as_str()), ([5, 5], "    return a(x * 2)\n"));
    assert_eq!(merge(&patch, &tree(&[])).conflicts.len(), 1, "the file is gone");
    let create = placed("--- /dev/null\n+++ b/new.ts\n@@ -0,0 +1 @@\n+x\n", &[], true).unwrap();
    assert_eq!(merge(&create, &tree(&[])).writes.len(), 1);
    assert_eq!(merge(&create, &tree(&[("new.ts", "x\n")])), Merge::default());
    assert_eq!(merge(&create, &tree(&[("new.ts", "y\n")])).conflicts.len(), 1);
    let marked = render_conflicts(b"a\n", b"b\n", b"c\n", ["base", "ours", "theirs"], MarkerStyle::Diff3);
    assert_eq!(String::from_utf8(marked).unwrap(), "<<<<<<< ours\nb\n||||||| base\na\n=======\nc\n>>>>>>> theirs\n");
}

#[test]
fn an_answer_in_two_forms_is_refused_and_a_form_inside_another_is_text() {
    let block = "a.md\n<<<<<<< SEARCH\nold\n=======\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n>>>>>>> REPLACE\n";
    let diff = "--- a/b.ts\n+++ b/b.ts\n@@ -1 +1 @@\n-a\n+b\n";
    let v4a = "*** Begin Patch\n*** Update File: c.ts\n@@\n-a\n+b\n*** End Patch\n";
    for single in [block, diff, v4a] {
        assert!(parse(single).is_ok(), "{single}");
    }
    for mixed in [
        format!("{block}{diff}"),
        format!("{diff}{block}"),
        format!("{v4a}{diff}"),
        format!("{v4a}{block}"),
        format!("{diff}{v4a}"),
    ] {
        assert!(parse(&mixed).unwrap_err().why.contains("two forms"), "{mixed}");
    }
}

#[test]
fn a_whole_text_without_the_base_overwrites_nothing() {
    let whole = format!("src/one.ts\n```ts\n{}```\n", expected());
    assert_eq!(after(&whole, FILE, true), expected());
    assert!(why(&whole, FILE, false).contains("could undo other changes"));
    assert!(placed(&whole, &[("src/one.ts", &expected())], false).unwrap().is_empty(), "the file holds it already");
    assert_eq!(placed(&whole, &[], false).unwrap().files()[0].kind, ChangeKind::Create);
    assert_eq!(after(&whole, "\n", false), expected(), "nothing to overwrite");
}

#[test]
fn a_file_header_is_no_removed_line_whatever_the_counts_say() {
    let second = "--- a/src/two.ts\n+++ b/src/two.ts\n@@ -1 +1 @@\n-old\n+new\n";
    let answer = format!("{}{second}", DIFF.replace("-4,3 +4,3", "-4,4 +4,4"));
    let patch = placed(&answer, &[("src/one.ts", FILE), ("src/two.ts", "old\n")], true).unwrap();
    assert_eq!(patch.files().len(), 2);
    let sql = "--- a/q.sql\n+++ b/q.sql\n@@ -1,2 +1,2 @@\n a\n--- an old remark\n+++ a new one\n";
    let patch = placed(sql, &[("q.sql", "a\n-- an old remark\n")], true).unwrap();
    assert_eq!(&**patch.files()[0].after.as_ref().unwrap(), b"a\n++ a new one\n");
}

#[test]
fn lines_that_are_cut_are_not_gone_because_their_surroundings_stand_elsewhere() {
    let block = |name: &str| {
        format!(
            "    </div>\n  )}}\n\n  {{kind === \"{name}\" && (\n    <{name} />\n  )}}\n\n  {{other && (\n    <div>\n"
        )
    };
    let file = format!("{}    </div>\n  )}}\n\n  {{other && (\n    <div>\n", block("Alpha"));
    let answer = |indented: &str| {
        format!(
            "--- a/src/one.ts\n+++ b/src/one.ts\n@@\n     </div>\n   )}}\n \n-  {{kind === \"Alpha\" && (\n-{indented}<Alpha />\n-  )}}\n-\n   {{other && (\n     <div>\n"
        )
    };
    let cut = file.replacen("  {kind === \"Alpha\" && (\n    <Alpha />\n  )}\n\n", "", 1);
    assert_eq!(after(&answer("    "), &file, true), cut);
    assert_eq!(after(&answer("      "), &file, true), cut, "a badly copied blank is no proof that the lines are gone");
    assert_eq!(after(&answer("      "), &file, false), cut);
    let gone = "--- a/src/one.ts\n+++ b/src/one.ts\n@@\n   if (x > 1) {\n-    trace(x, 'here')\n     return a(x)\n";
    assert_eq!(after(gone, FILE, false), FILE, "applied already");
    assert!(why(gone, FILE, true).contains("nowhere"), "the text that the model saw never had it");
}

#[test]
fn one_hunk_learns_the_indentation_from_another_file() {
    let base = [("a.ts", "if (x) {\n  one()\n}\n"), ("b.ts", "export { b } from './b'\n")];
    let first = "--- a/a.ts\n+++ b/a.ts\n@@\n if (x) {\n-\tone()\n+\ttwo()\n }\n";
    let second = "--- a/b.ts\n+++ b/b.ts\n@@\n-export { b } from './b'\n+export {\n+\tb,\n+} from './b'\n";
    let text = |answer: &str, at: usize| {
        let patch = placed(answer, &base, true).unwrap();
        String::from_utf8(patch.files()[at].after.clone().unwrap().to_vec()).unwrap()
    };
    assert_eq!(text(&format!("{first}{second}"), 1), "export {\n  b,\n} from './b'\n");
    assert_eq!(text(second, 0), "export {\n\tb,\n} from './b'\n", "alone it shows nothing to learn from");
    let other = "--- a/b.md\n+++ b/b.md\n@@\n-one\n+\tone\n";
    let patch = placed(&format!("{first}{other}"), &[base[0], ("b.md", "one\n")], true).unwrap();
    assert_eq!(&**patch.files()[1].after.as_ref().unwrap(), b"\tone\n", "another language has its own rules");
}

#[test]
fn without_the_base_one_context_line_may_differ_where_nothing_else_is_alike() {
    let altered = DIFF.replace("   if (x > 1) {", "   if (x >= 1) {").replace("   }\n", "   }\n   return x\n");
    assert_eq!(after(&altered, FILE, false), expected());
    assert_eq!(placement(&altered, FILE, false).level, "alignment");
    let left_out = "--- a/src/one.ts\n+++ b/src/one.ts\n@@\n export function one(x: number) {\n-    return a(x)\n+    return a(x + 1)\n   }\n   return x\n";
    assert_eq!(after(left_out, FILE, false), expected());
    let twin = FILE.replace("function one", "function uno").replace("return a(x)", "return b(x)");
    assert!(
        why(&altered, &format!("{FILE}{twin}"), false).contains("nowhere"),
        "the twin may be the one that is meant"
    );
    assert_eq!(
        after(&altered, &format!("{FILE}{twin}"), true),
        format!("{}{twin}", expected()),
        "with the base it is not"
    );
    let two = altered.replace("   return x\n", "   return y\n");
    assert!(why(&two, FILE, false).contains("nowhere"), "two lines are too many");
}

#[test]
fn a_block_may_build_on_the_blocks_before_it() {
    let block = |old: &str, new: &str| format!("<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE\n");
    let first = block("    return a(x)", "    const y = a(x)\n    return y");
    let second = block("    const y = a(x)", "    const y = a(x + 1)");
    let answer = format!("src/one.ts\n{first}{second}");
    for based in [true, false] {
        assert_eq!(after(&answer, FILE, based), FILE.replace("return a(x)", "const y = a(x + 1)\n    return y"));
    }
    let patch = placed(&answer, &[("src/one.ts", FILE)], true).unwrap();
    assert!(patch.files()[0].placements[1].repairs.iter().any(|repair| repair.contains("blocks before it")));
    assert!(why(&format!("src/one.ts\n{second}{first}"), FILE, true).contains("nowhere"), "nothing made it before");
    let vague = format!("src/one.ts\n{first}{}", block("    }", "    };"));
    assert!(!why(&vague, FILE, true).is_empty());
    let calls = r#"[{"path":"src/one.ts","old_str":"a(x)","new_str":"a(z)"},{"path":"src/one.ts","old_str":"    return a(z)","new_str":"    return b(z)"}]"#;
    assert_eq!(after(calls, FILE, true), FILE.replace("a(x)", "b(z)"));
}

#[test]
fn utf_16_keeps_its_encoding_and_its_line_ends() {
    let wide = |text: &str, unit: fn(u16) -> [u8; 2]| -> Arc<[u8]> {
        std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(unit).collect()
    };
    let crlf = |text: &str| text.replace('\n', "\r\n");
    let path = RelPath::new("src/one.ts").unwrap();
    for unit in [u16::to_le_bytes as fn(u16) -> [u8; 2], u16::to_be_bytes] {
        let base = Files::from([(path.clone(), wide(&crlf(FILE), unit))]);
        let patch = place(&parse(DIFF).unwrap(), &base, true).unwrap();
        assert_eq!(patch.files()[0].after, Some(wide(&crlf(&expected()), unit)));
        assert!(patch.unified().contains("+    return a(x + 1)"), "a diff shows the text");
        let back = patch.inverse();
        assert_eq!(back.files()[0].after.as_ref(), base.get(&path));
        let user = crlf(&FILE.replace("two = 2", "two = 22𝄞"));
        let now = Files::from([(path.clone(), wide(&user, unit))]);
        let merged = merge(&patch, &now);
        assert_eq!(merged.writes[0].after, Some(wide(&user.replace("a(x)", "a(x + 1)"), unit)));
        let converted = merge(&patch, &tree(&[("src/one.ts", &user)]));
        assert_eq!(
            converted.writes[0].after.as_deref(),
            Some(user.replace("a(x)", "a(x + 1)").as_bytes()),
            "saved as UTF-8 since"
        );
        let clash = merge(&patch, &Files::from([(path.clone(), wide(&crlf(&FILE.replace("a(x)", "b(x)")), unit))]));
        assert_eq!(clash.conflicts[0].ours, "    return b(x)\r\n");
        let subset = patch.subset(&|_| true);
        assert_eq!(subset, patch);
    }
}

#[test]
fn every_file_names_its_blobs_for_git() {
    let patch = placed(DIFF, &[("src/one.ts", FILE)], true).unwrap();
    let line = patch.unified().lines().nth(1).unwrap();
    // `git hash-object` of the two texts.
    assert_eq!(line, "index 17b6af310e132eca002f85643faa4f26b5466d68..703d1d3780513086fbbfd5eeba34ecfe72c4dc6a 100644");
    let empty = placed("diff --git a/e b/e\nnew file mode 100644\n", &[], true).unwrap();
    assert!(
        empty
            .unified()
            .contains("index 0000000000000000000000000000000000000000..e69de29bb2d1d6434b8b29ae775ad8c2e48c5391\n")
    );
    let mode = placed(
        "diff --git a/src/one.ts b/src/one.ts\nold mode 100644\nnew mode 100755\n",
        &[("src/one.ts", FILE)],
        true,
    )
    .unwrap();
    assert!(!mode.unified().contains("index "), "the content stays");
}

#[test]
fn new_lines_do_not_hang_on_a_bracket_of_another_depth() {
    let file = "describe('one', () => {\n  test('a', () => {\n    expect(a).toBe(1)\n  })\n})\n";
    let answer = "--- a/src/one.ts\n+++ b/src/one.ts\n@@\n     expect(a).toBe(1)\n })\n+\n+describe('two', () => {})\n";
    for based in [true, false] {
        assert!(why(answer, file, based).contains("nowhere"), "the inner bracket is not the outer one");
    }
    let outdented = "--- a/src/one.ts\n+++ b/src/one.ts\n@@\n   expect(a).toBe(1)\n })\n+\n+test('b', () => {})\n";
    let both = file.replace("  })\n", "  })\n\n  test('b', () => {})\n");
    assert_eq!(after(outdented, file, true), both, "all lines moved by the same amount");
}

const TWINS: &str = "export function one() {\n  prepare()\n  return read()\n}\n\nexport function two() {\n  prepare()\n  return read()\n}\n";

#[test]
fn the_declaration_in_a_header_tells_places_apart_or_refuses() {
    let diff = |header: &str| {
        format!(
            "--- a/src/one.ts\n+++ b/src/one.ts\n{header}\n   prepare()\n-  return read()\n+  return write()\n }}\n"
        )
    };
    let second = TWINS.replacen("return read()", "return write()", 2).replacen("return write()", "return read()", 1);
    for header in ["@@ ... @@ export function two() {", "@@ @@ function two", "@@ -7,3 +7,3 @@ two()"] {
        for based in [true, false] {
            assert_eq!(after(&diff(header), TWINS, based), second, "{header}");
        }
    }
    assert!(placement(&diff("@@ @@ two"), TWINS, false).repairs.iter().any(|repair| repair.contains("told apart")));
    let v4a = |header: &str| {
        format!(
            "*** Begin Patch\n*** Update File: src/one.ts\n{header}\n-  return read()\n+  return write()\n*** End Patch\n"
        )
    };
    assert_eq!(after(&v4a("@@ export function two() {"), TWINS, true), second);
    assert!(why(&v4a("@@"), TWINS, true).contains("more than once"));
    assert!(
        why(&diff("@@ @@ three()"), TWINS, true).contains("more than once"),
        "a name that is not there decides nothing"
    );
    assert!(why(&diff("@@ -2,3 +2,3 @@ two()"), TWINS, false).contains("more than once"), "number and name disagree");
    let single = TWINS.replace("return read()\n}\n\n", "return other()\n}\n\n");
    assert!(why(&v4a("@@ function one"), &single, true).contains("another declaration"));
    assert_eq!(after(&v4a("@@ function two"), &single, true), single.replace("read()", "write()"));
    let class = "class A {\n  get() {\n    return 1\n  }\n}\nclass B {\n  get() {\n    return 1\n  }\n}\n";
    let nested = "*** Begin Patch\n*** Update File: src/one.ts\n@@ class B\n@@ get()\n-    return 1\n+    return 2\n*** End Patch\n";
    assert!(why(nested, class, true).contains("more than once"), "both have a `get`");
    let outer = nested.replace("@@ get()\n", "");
    assert_eq!(
        after(&outer, class, true),
        class.replacen("return 1", "return 2", 2).replacen("return 2", "return 1", 1)
    );
}

#[test]
fn a_hunk_that_a_person_edits_is_another_patch() {
    let answer = "src/one.ts\n<<<<<<< SEARCH\nimport { a } from './a'\n=======\nimport { a, b } from './a'\n>>>>>>> REPLACE\n<<<<<<< SEARCH\nexport const two = 2\n=======\nexport const two = 3\n>>>>>>> REPLACE\n";
    let patch = placed(answer, &[("src/one.ts", FILE)], true).unwrap();
    let text = |patch: &Patch| String::from_utf8(patch.files()[0].after.clone().unwrap().to_vec()).unwrap();
    let new = "import { a } from './a'\nimport { b } from './b'\n\nexport function one(x: number) {\n  if (x > 1) {\n";
    let edited = patch.with_hunk("h1", new).unwrap();
    assert_eq!(
        text(&edited),
        FILE.replace("'./a'\n", "'./a'\nimport { b } from './b'\n").replace("two = 2", "two = 3")
    );
    let ids: Vec<_> = edited.files()[0].hunks.iter().map(|hunk| (hunk.id.as_str(), hunk.after)).collect();
    assert_eq!(ids, [("h1", [0, 5]), ("h2", [7, 11])]);
    assert_ne!(edited.digest(), patch.digest());
    let again = place(&parse(edited.unified()).unwrap(), &tree(&[("src/one.ts", FILE)]), true).unwrap();
    assert_eq!(again.files()[0].after, edited.files()[0].after, "its diff says the same");
    assert_eq!(text(&edited.subset(&|hunk| hunk.id == "h2")), FILE.replace("two = 2", "two = 3"));
    let taken_back =
        patch.with_hunk("h1", "import { a } from './a'\n\nexport function one(x: number) {\n  if (x > 1) {\n").unwrap();
    assert_eq!(taken_back, patch.subset(&|hunk| hunk.id == "h2"));
    assert!(patch.with_hunk("h9", "x").is_err());
    let created = placed("--- /dev/null\n+++ b/new.ts\n@@ -0,0 +1 @@\n+x\n", &[], true).unwrap();
    let mine = created.with_hunk("h1", "y\nz\n").unwrap();
    assert_eq!(mine.files()[0].after.as_deref(), Some(&b"y\nz\n"[..]));
    assert!(created.with_hunk("h1", "").unwrap().files()[0].hunks[0].is_whole_file());
    let crlf = placed(DIFF, &[("src/one.ts", &FILE.replace('\n', "\r\n"))], true).unwrap();
    let edited = crlf
        .with_hunk("h1", "export function one(x: number) {\n  if (x > 1) {\n    return b(x)\n  }\n  return x\n}\n")
        .unwrap();
    assert!(!text(&edited).replace("\r\n", "").contains('\n'), "{:?}", text(&edited));
}

#[test]
fn a_changed_line_that_looks_like_a_marker_says_nothing_of_the_line_ends() {
    let answer =
        "--- a/src/one.ts\n+++ b/src/one.ts\n@@ -1,3 +1,3 @@\n-++ b\n-++ c\n-++ d\n+++ b\r\n+++ c\r\n+++ d\r\n";
    assert_eq!(after(answer, "++ b\n++ c\n++ d\n", true), "++ b\r\n++ c\r\n++ d\r\n");
}

#[test]
fn a_carriage_return_at_the_very_end_is_kept() {
    let answer = "--- a/src/one.ts\n+++ b/src/one.ts\n@@ -1 +1,2 @@\n-a\n+b\n+c\r\n\\ No newline at end of file\n";
    assert_eq!(after(answer, "a\n", true), "b\nc\r");
}

#[test]
fn what_was_appended_needs_the_base_where_the_file_goes_on() {
    let lines: Vec<&str> = FILE.lines().collect();
    let last = lines[lines.len() - 3..].join("\n ");
    let append = format!("--- a/src/one.ts\n+++ b/src/one.ts\n@@\n {last}\n+\n+export const three = 3\n");
    let mine = format!("{FILE}\nexport const zero = 0\n");
    assert_eq!(after(&append, FILE, false), format!("{FILE}\nexport const three = 3\n"));
    assert!(why(&append, &mine, false).contains("goes on there now"), "before or behind the other new lines?");
    let patch = placed(&append, &[("src/one.ts", FILE)], true).unwrap();
    assert_eq!(merge(&patch, &tree(&[("src/one.ts", &mine)])).conflicts.len(), 1, "the base says that both append");
    let short = append.replace(&format!(" {last}"), &format!(" {}", lines[lines.len() - 1]));
    assert_eq!(after(&short, &mine, false), mine.replacen("two = 2\n", "two = 2\n\nexport const three = 3\n", 1));
}

#[test]
fn every_repair_is_listed() {
    let repairs = |answer: &str| placement(answer, FILE, true).repairs;
    assert!(repairs(DIFF).is_empty(), "{:?}", repairs(DIFF));
    assert_eq!(repairs(&DIFF.replace("-4,3 +4,3", "-4,9 +4,7")), ["wrong line counts"]);
    assert_eq!(repairs(&DIFF.replace("-4,3 +4,3", "-9,3 +9,3")), ["line number off by 5"]);
    let unmarked = "--- a/src/one.ts\n+++ b/src/one.ts\n@@\nimport { a } from './a'\n+import { b } from './b'\n \n export function one(x: number) {\n";
    assert_eq!(repairs(unmarked), ["lines without a mark taken as context"]);
    let twice = format!("{DIFF}@@ -1,1 +1,1 @@\n import {{ a }} from './a'\n");
    assert!(repairs(&twice).iter().any(|repair| repair == "hunk 2 changes nothing, dropped"), "{:?}", repairs(&twice));
}
