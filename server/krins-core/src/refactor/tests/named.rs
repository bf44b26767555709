//! Default exports made named, as whole files before and after.

use super::*;

const ASK: &str = "turn the default export of src/total.ts into a named export";

#[test]
fn a_function_and_every_kind_of_importer() {
    check(
        ASK,
        "\
//- /src/total.ts
/** Adds. */
export default function total(a: number) { return a; }
export const rate = 2;
//- /src/a.ts
import total from './total';
total(1);
//- /src/b.ts
import sum, { rate } from './total';
sum(rate);
//- /src/c.ts
import { default as q } from './total';
import { default as total } from './total';
q(1);
//- /src/d.ts
import t, * as all from './total';
t(all.rate, all.default(1));
//- /src/e.ts
export { default } from './total';
export { default as add } from './total';
export { default as total } from './total';
//- /src/f.ts
async function f() {
  const { default: g } = await import('./total');
  (await import('./total')).default(1);
  import('./total').then((m) => m.default);
}
type T = typeof import('./total').default;
vi.mock('./total', () => ({ default: () => 1 }));
//- /src/g.ts
import total from './e';
total(1);
",
        "\
//- /src/a.ts
import { total } from './total';
total(1);
//- /src/b.ts
import { total as sum, rate } from './total';
sum(rate);
//- /src/c.ts
import { total as q } from './total';
import { total } from './total';
q(1);
//- /src/d.ts
import { total as t } from './total';
import * as all from './total';
t(all.rate, all.total(1));
//- /src/e.ts
export { total as default } from './total';
export { total as add } from './total';
export { total } from './total';
//- /src/f.ts
async function f() {
  const { total: g } = await import('./total');
  (await import('./total')).total(1);
  import('./total').then((m) => m.total);
}
type T = typeof import('./total').total;
vi.mock('./total', () => ({ total: () => 1 }));
//- /src/total.ts
/** Adds. */
export function total(a: number) { return a; }
export const rate = 2;
",
    );
}

#[test]
fn every_kind_of_default_export() {
    for (before, after) in [
        ("export default class A {}", "export class A {}"),
        ("export default class {}", "export class Total {}"),
        ("export default abstract class {}", "export abstract class Total {}"),
        ("export default class extends B {}", "export class Total extends B {}"),
        ("export default function () {}", "export function total() {}"),
        ("export default function() {}", "export function total() {}"),
        ("export default async function* () {}", "export async function* total() {}"),
        ("export default interface A {}", "export interface A {}"),
        ("export default (a: 1) => a;", "export const total = (a: 1) => a;"),
        ("export default { a: 1 };", "export const total = { a: 1 };"),
        ("const a = 1;\nexport default a;", "const a = 1;\nexport { a };"),
        ("const a = 1;\nexport default a", "const a = 1;\nexport { a }"),
        ("const a = 1;\nexport { a as default };", "const a = 1;\nexport { a };"),
        ("export const a = 1;\nexport default a;\nconst b = 1;", "export const a = 1;\nconst b = 1;"),
        ("@dec\nexport default class A {}", "@dec\nexport class A {}"),
    ] {
        check(ASK, &format!("//- /src/total.ts\n{before}\n"), &format!("//- /src/total.ts\n{after}\n"));
    }
}

#[test]
fn a_given_name_is_what_the_world_sees() {
    check(
        "convert the default export of src/total.ts to a named export called Sum",
        "//- /src/total.ts\nexport default function total() { total(); }\n//- /src/a.ts\nimport t from './total.js';\nt();\n",
        "//- /src/a.ts\nimport { Sum as t } from './total.js';\nt();\n//- /src/total.ts\nfunction total() { total(); }\nexport { total as Sum };\n",
    );
    check(
        "convert the default export of src/my-list/index.ts to a named export",
        "//- /src/my-list/index.ts\nexport default () => 1;\n//- /src/a.ts\nimport list from './my-list';\nlist();\n",
        "//- /src/a.ts\nimport { myList as list } from './my-list';\nlist();\n//- /src/my-list/index.ts\nexport const myList = () => 1;\n",
    );
}

#[test]
fn what_cannot_be_followed_is_refused() {
    let lazy =
        "//- /src/total.ts\nexport default () => 1;\n//- /src/a.ts\nconst A = React.lazy(() => import('./total'));\n";
    assert_eq!(
        refuse(ASK, lazy),
        RefactorError::Unsupported {
            what: "a module object that is passed on whole (its `default` may be read, as React.lazy does)".into(),
            place: "src/a.ts:1".into()
        }
    );
    for before in [
        "//- /src/total.ts\nconst total = 1;\nexport default () => 1;\n",
        "//- /src/total.ts\nexport default () => total;\n",
        "//- /src/total.ts\nexport default function total() {}\n//- /src/b.ts\nexport const total = 1;\n//- /src/i.ts\nexport * from './total';\nexport * from './b';\n",
    ] {
        assert!(matches!(refuse(ASK, before), RefactorError::NameTaken { .. }), "{before}");
    }
    assert!(matches!(refuse(ASK, "//- /src/total.ts\nexport const a = 1;\n"), RefactorError::NothingToDo { .. }));
}
