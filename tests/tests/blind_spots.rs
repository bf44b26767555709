//! What cannot be seen is refused: a merge that is sound on both sides and broken together, a use in a file that nobody
//! can read.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use krins_tests::binary::krins;
use krins_tests::workspace::Workspace;

fn run(workspace: &Workspace, args: &[&str], input: &str) -> Output {
    let mut child = Command::new(krins())
        .args(args)
        .arg("--root")
        .arg(workspace.root())
        .env_clear()
        .envs(workspace.env())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn a_merge_that_would_not_parse_is_refused_with_its_line() {
    let base =
        "//- /a.ts\nconst a = 1;\nconst b = 2;\nconst c = 3;\nconst d = 4;\nconst e = 5;\nconst f = 6;\nconst g = 7;\n";
    let seen = Workspace::from_fixture(base);
    let workspace = Workspace::from_fixture(base);
    // The person puts a block into a comment; the model writes the comment's end into a string in the middle of it.
    let commented =
        workspace.read("a.ts").replace("const a = 1;", "/* const a = 1;").replace("const g = 7;", "const g = 7; */");
    workspace.write("a.ts", &commented);
    let patch =
        "--- a/a.ts\n+++ b/a.ts\n@@ -3,3 +3,3 @@\n const c = 3;\n-const d = 4;\n+const d = \"*/\";\n const e = 5;\n";
    let base_dir = seen.root().display().to_string();
    let output = run(&workspace, &["patch", "apply", "--base", &base_dir, "--json"], patch);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("would not parse"), "{said}");
    assert_eq!(workspace.read("a.ts"), commented, "nothing was written");
}

#[test]
fn a_rename_is_refused_when_a_file_that_cannot_be_read_may_use_the_name() {
    let workspace = Workspace::from_fixture(
        "//- /a.ts\nexport const total = 1;\n//- /b.ts\nimport { total } from './a';\nexport const b = total;\n",
    );
    workspace.write("old.ts", b"import { total } from './a'; // caf\xe9\n");
    let before = workspace.snapshot();
    let output = run(&workspace, &["assign", "rename total to sum", "--apply"], "");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("old.ts") && said.contains(".krinsignore"), "{said}");
    assert_eq!(workspace.snapshot(), before);
    workspace.write(".krinsignore", "old.ts\n");
    let output = run(&workspace, &["assign", "rename total to sum", "--apply"], "");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(workspace.read("b.ts").contains("sum"));
}
