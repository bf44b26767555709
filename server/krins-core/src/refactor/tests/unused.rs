//! Unused imports, as whole files before and after.

use super::*;

#[test]
fn names_go_one_by_one_and_statements_as_a_whole() {
    check(
        "remove unused imports",
        "\
//- /a.ts
// header
import './side';
import a from 'a';
import * as b from 'b';
import { c, d, e } from 'c';
import f, { g } from 'd';
import h, { i } from 'e';
import {
  j,
  k, // about k
  l,
} from 'f';
import type { M } from 'g';
import type { N } from 'h';
import { type O, P } from 'i';
import q, * as r from 'j';
import {} from 'k';
d(f, i, k, P, q);
let n: N;
export {};
",
        "\
//- /a.ts
// header
import './side';
import { d } from 'c';
import f from 'd';
import { i } from 'e';
import {
  k, // about k
} from 'f';
import type { N } from 'h';
import { P } from 'i';
import q from 'j';
import {} from 'k';
d(f, i, k, P, q);
let n: N;
export {};
",
    );
}

#[test]
fn types_exports_and_comments_count_as_use() {
    let before = "\
//- /a.ts
import { A, B, C, D, E } from 'x';
let a: A;
let b: typeof B;
export { C };
/** See {@link D} */
class K extends E {}
";
    assert!(matches!(refuse("remove unused imports", before), RefactorError::NothingToDo { .. }));
    check(
        "remove unused imports",
        "//- /a.ts\nimport { A } from 'x';\nimport { B } from 'y';\nfunction f(A: 1) { return A; }\nB; // A\n",
        "//- /a.ts\nimport { B } from 'y';\nfunction f(A: 1) { return A; }\nB; // A\n",
    );
}

#[test]
fn what_jsx_compiles_to_is_kept() {
    for (config, kept) in [
        ("{ \"compilerOptions\": { \"jsx\": \"react\" } }", true),
        ("{ \"compilerOptions\": { \"jsx\": \"react-jsx\" } }", false),
        ("{}", true),
    ] {
        let before = format!(
            "//- /tsconfig.json\n{config}\n//- /a.tsx\nimport React from 'react';\nexport const a = <div />;\n"
        );
        assert_eq!(run("remove unused imports", &workspace(&before)).is_err(), kept, "{config}");
    }
    refuse(
        "remove unused imports",
        "//- /a.tsx\n/** @jsx h */\nimport { h } from 'preact';\nexport const a = <div />;\n",
    );
}

#[test]
fn a_module_stays_a_module() {
    check(
        "remove unused imports",
        "//- /a.ts\nimport { A } from 'x';\nconst a = 1;",
        "//- /a.ts\nconst a = 1;\nexport {};\n",
    );
}

#[test]
fn one_file_is_one_file() {
    check(
        "remove unused imports in a.ts",
        "//- /a.ts\r\nimport { A } from 'x';\r\nexport const a = 1;\r\n//- /b.ts\nimport { A } from 'x';\nexport {};\n",
        "//- /a.ts\nexport const a = 1;\r\n",
    );
}
