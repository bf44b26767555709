//! Declarations moved, as whole files before and after.

use super::*;

#[test]
fn a_function_moves_with_what_it_needs() {
    check(
        "move formatDate to src/utils/date.ts",
        "\
//- /src/app/format.ts
import { pad, trim } from '../strings';
import type { Locale } from './locale';
import * as fs from 'fs';
import { unused } from './locale';

const SEPARATOR = '-';

/** Formats a date. */
// second line
export function formatDate(date: Date, locale: Locale): string {
  return pad(date.getDay()) + SEPARATOR + locale + import.name;
}

export function formatTime(date: Date) {
  return trim(formatDate(date, 'en')) + fs;
}
//- /src/strings.ts
export const pad = (a: number) => `${a}`;
export const trim = (a: string) => a;
//- /src/app/locale.ts
export type Locale = string;
export const unused = 1;
//- /src/a.ts
import { formatDate } from './app/format';
formatDate(new Date(), 'en');
//- /src/b.ts
import { formatDate as f, formatTime } from './app/format';
f(formatTime);
//- /src/index.ts
export { formatDate, formatTime } from './app/format';
//- /src/star.ts
export * from './app/format';
//- /src/only.ts
export { formatDate as format } from './app/format';
"
        .replace(" + import.name", "")
        .as_str(),
        "\
//- /src/a.ts
import { formatDate } from './utils/date';
formatDate(new Date(), 'en');
//- /src/app/format.ts
import { trim } from '../strings';
import * as fs from 'fs';
import { unused } from './locale';
import { formatDate } from '../utils/date';

export const SEPARATOR = '-';

export function formatTime(date: Date) {
  return trim(formatDate(date, 'en')) + fs;
}
//- /src/b.ts
import { formatTime } from './app/format';
import { formatDate as f } from './utils/date';
f(formatTime);
//- /src/index.ts
export { formatTime } from './app/format';
export { formatDate } from './utils/date';
//- /src/only.ts
export { formatDate as format } from './utils/date';
//- /src/star.ts
export * from './app/format';
export { formatDate } from './utils/date';
//- /src/utils/date.ts
import { SEPARATOR } from '../app/format';
import type { Locale } from '../app/locale';
import { pad } from '../strings';

/** Formats a date. */
// second line
export function formatDate(date: Date, locale: Locale): string {
  return pad(date.getDay()) + SEPARATOR + locale;
}
",
    );
}

#[test]
fn into_a_module_that_is_there() {
    check(
        "move Shape from a.ts to b.ts",
        "\
//- /a.ts
import { helper } from './b.js';
import { other } from './c.js';

export interface Shape { a: typeof helper; b: typeof other }
export const Shape = { of: () => helper };

export const rest: Shape | undefined = undefined;
//- /b.ts
import { Shape } from './a.js';
import { other } from './c.js';
export const helper = 1;
export function use(shape: Shape) { return other; }
//- /c.ts
export const other = 1;
//- /d.ts
import type { Shape } from './a.js';
let s: Shape;
",
        "\
//- /a.ts
import type { Shape } from './b.js';

export const rest: Shape | undefined = undefined;
//- /b.ts
import { other } from './c.js';
export const helper = 1;
export function use(shape: Shape) { return other; }

export interface Shape { a: typeof helper; b: typeof other }

export const Shape = { of: () => helper };
//- /d.ts
import type { Shape } from './b.js';
let s: Shape;
",
    );
}

#[test]
fn lists_aliases_and_styles_stay() {
    check(
        "move a to lib/new",
        "\
//- /tsconfig.json
{ \"compilerOptions\": { \"baseUrl\": \".\", \"paths\": { \"@/*\": [\"./*\"] } } }
//- /old.ts
const a = 1
const b = 2
export { a, b }
//- /use.ts
import { a, b } from \"@/old\"
a + b
",
        "\
//- /lib/new.ts
export const a = 1
//- /old.ts
const b = 2
export { b }
//- /use.ts
import { b } from \"@/old\"
import { a } from \"@/lib/new\"
a + b
",
    );
}

#[test]
fn a_namespace_importer_keeps_reaching_it() {
    let files = workspace(
        "//- /a.ts\nexport const x = 1;\nexport const y = 2;\n//- /u.ts\nimport * as ns from './a';\nns.x;\n",
    );
    let outcome = run("move x to b.ts", &files).unwrap();
    assert_eq!(
        show(&outcome.files),
        "//- /a.ts\nexport { x } from './b';\n\nexport const y = 2;\n//- /b.ts\nexport const x = 1;\n"
    );
    assert!(outcome.why.iter().any(|(why, places)| { why.contains("keeps passing x on") && places == &["u.ts:2"] }));
}

#[test]
fn what_would_break_is_refused() {
    type Expect = fn(&RefactorError) -> bool;
    let unsupported: Expect = |error| matches!(error, RefactorError::Unsupported { .. });
    let taken: Expect = |error| matches!(error, RefactorError::NameTaken { .. });
    for (before, expect) in [
        // Read while loading, in a cycle that the move closes.
        ("//- /a.ts\nconst base = 1;\nexport const x = base + 1;\nexport const y = () => x;\n", unsupported),
        ("//- /a.ts\nexport const x = () => other();\nexport const other = () => 1;\nconst now = x();\n", unsupported),
        // Assigned where it would be an import.
        ("//- /a.ts\nexport let x = 1;\nexport function set() { x = 2; }\n", unsupported),
        ("//- /a.ts\nlet count = 0;\nexport function x() { count++; }\n", unsupported),
        ("//- /a.ts\nexport const x = 1, y = 2;\n", unsupported),
        ("//- /a.ts\nexport const { x } = { x: 1 };\n", unsupported),
        ("//- /a.ts\nexport const x = () => import.meta.url;\n", unsupported),
        ("//- /a.ts\nconst x = 1;\nexport { x, x as y };\n", unsupported),
        ("//- /a.ts\nexport const x = 1;\n//- /t.ts\nvi.mock('./a', () => ({ x: 2 }));\n", unsupported),
        (
            "//- /a.ts\nexport interface x {}\n//- /t.ts\nimport './a';\ndeclare module './a' { interface x { y: 1 } }\n",
            unsupported,
        ),
        // The names it meets there.
        ("//- /a.ts\nexport const x = 1;\n//- /b.ts\nexport {};\nconst x = 2;\n", taken),
        (
            "//- /a.ts\nimport { h } from './h';\nexport const x = () => h;\n//- /h.ts\nexport const h = 1;\n//- /b.ts\nexport const h = 2;\n",
            taken,
        ),
        ("//- /a.ts\nexport const x = () => fetch;\n//- /b.ts\nexport const fetch = 2;\n", taken),
    ] {
        let error = refuse("move x to b.ts", before);
        assert!(expect(&error), "{before}: {error}");
    }
    assert!(matches!(refuse("move x to a.ts", "//- /a.ts\nexport const x = 1;\n"), RefactorError::NothingToDo { .. }));
}

#[test]
fn specifiers_inside_are_rebased_and_line_ends_kept() {
    check(
        "move x to lib/b.ts",
        "//- /a.ts\nexport const y = 1;\r\n\r\nexport const x = async () => (await import('./c')).c as import('./c').C;\r\n//- /c.ts\nexport const c = 1;\nexport type C = number;\n",
        "//- /a.ts\nexport const y = 1;\r\n\r\n//- /lib/b.ts\nexport const x = async () => (await import('../c')).c as import('../c').C;\r\n",
    );
}

#[test]
fn the_last_declaration_leaves_a_module() {
    check(
        "move x to b.ts",
        "//- /a.ts\n// header\n\nexport const x = 1;\n//- /u.ts\nimport { x } from './a';\nx;\n",
        "//- /a.ts\n// header\n\nexport {};\n//- /b.ts\nexport const x = 1;\n//- /u.ts\nimport { x } from './b';\nx;\n",
    );
}
