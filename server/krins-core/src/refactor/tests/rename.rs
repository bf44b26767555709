//! Renames, as whole files before and after.

use super::*;

#[test]
fn declarations_references_and_importers() {
    check(
        "rename total to sum",
        "\
//- /src/a.ts
/** total is told apart from \"total\" */
export function total(a: number): number { return a ? total(a - 1) : 0; }
const s = 'total';
export const other = { total: 1, x: total };
//- /src/b.ts
import { total } from './a';
console.log(total(1), `${total(2)} total`, { total }, other.total);
function shadow(total: number) { return total; }
//- /src/c.ts
import { total as t } from './a';
t(1);
//- /src/d.ts
const total = 1;
",
        "\
//- /src/a.ts
/** total is told apart from \"total\" */
export function sum(a: number): number { return a ? sum(a - 1) : 0; }
const s = 'total';
export const other = { total: 1, x: sum };
//- /src/b.ts
import { sum } from './a';
console.log(sum(1), `${sum(2)} total`, { total: sum }, other.total);
function shadow(total: number) { return total; }
//- /src/c.ts
import { sum as t } from './a';
t(1);
",
    );
}

#[test]
fn merged_declarations_and_overloads() {
    check(
        "rename Shape to Form",
        "\
//- /a.ts
export interface Shape { a: 1 }
export const Shape = { make(): Shape { return { a: 1 }; } };
export namespace Shape { export type Inner = Shape; }
export function over(a: Shape): void;
export function over(a: typeof Shape): void {}
//- /b.ts
import type { Shape } from './a';
let s: Shape | Shape.Inner;
",
        "\
//- /a.ts
export interface Form { a: 1 }
export const Form = { make(): Form { return { a: 1 }; } };
export namespace Form { export type Inner = Form; }
export function over(a: Form): void;
export function over(a: typeof Form): void {}
//- /b.ts
import type { Form } from './a';
let s: Form | Form.Inner;
",
    );
    check(
        "rename over to above",
        "\
//- /a.ts
export function over(a: string): void;
export function over(a: number): void;
export function over(a: unknown): void {}
export declare class K { over(): void }
over(1);
",
        "\
//- /a.ts
export function above(a: string): void;
export function above(a: number): void;
export function above(a: unknown): void {}
export declare class K { over(): void }
above(1);
",
    );
}

#[test]
fn export_specifiers_keep_what_the_world_sees() {
    check(
        "rename a to z",
        "\
//- /a.ts
const a = 1;
export { a, a as b };
export default a;
//- /b.ts
import { a, b } from './a';
a + b;
",
        "\
//- /a.ts
const z = 1;
export { z, z as b };
export default z;
//- /b.ts
import { z, b } from './a';
z + b;
",
    );
    check(
        "rename shown to seen",
        "\
//- /a.ts
const hidden = 1;
export { hidden as shown };
//- /b.ts
import { shown } from './a';
shown;
",
        "\
//- /a.ts
const hidden = 1;
export { hidden as seen };
//- /b.ts
import { seen } from './a';
seen;
",
    );
}

#[test]
fn barrels_pass_the_new_name_on() {
    check(
        "rename a to z",
        "\
//- /a.ts
export const a = 1;
//- /index.ts
export * from './a';
//- /named.ts
export { a } from './a';
//- /aliased.ts
export { a as q } from './a';
//- /local.ts
import { a } from './a';
export { a };
//- /deep.ts
export { a } from './index';
//- /user.ts
import { a } from './index';
import { a as b } from './named';
import { q } from './aliased';
import { a as c } from './local';
import { a as d } from './deep';
a + b + q + c + d;
",
        "\
//- /a.ts
export const z = 1;
//- /aliased.ts
export { z as q } from './a';
//- /deep.ts
export { z } from './index';
//- /local.ts
import { z } from './a';
export { z };
//- /named.ts
export { z } from './a';
//- /user.ts
import { z } from './index';
import { z as b } from './named';
import { q } from './aliased';
import { z as c } from './local';
import { z as d } from './deep';
z + b + q + c + d;
",
    );
}

#[test]
fn namespaces_are_followed() {
    check(
        "rename A to Z",
        "\
//- /a.tsx
export class A { x = 1 }
export const other = 1;
//- /outer.ts
export * as inner from './a';
import * as ns from './a';
export { ns };
export default ns;
//- /b.tsx
import * as ns from './a';
import { inner, ns as again } from './outer';
import def from './outer';
import * as outer from './outer';
const one: ns.A = new ns.A();
type T = typeof ns.A | typeof import('./a').A | import('./a').A | (typeof import('./a'))['A'];
const two = ns['A'], three = <ns.A />, four = inner.A, five = again.A, six = def.A;
const seven: outer.inner.A = new outer.inner.A();
const { A: renamed } = ns;
const { A } = ns;
import Alias = ns.A;
const eight = ns?.A, nine = ns!.A.name;
function f(ns: { A: 1 }) { return ns.A; }
",
        "\
//- /a.tsx
export class Z { x = 1 }
export const other = 1;
//- /b.tsx
import * as ns from './a';
import { inner, ns as again } from './outer';
import def from './outer';
import * as outer from './outer';
const one: ns.Z = new ns.Z();
type T = typeof ns.Z | typeof import('./a').Z | import('./a').Z | (typeof import('./a'))['Z'];
const two = ns['Z'], three = <ns.Z />, four = inner.Z, five = again.Z, six = def.Z;
const seven: outer.inner.Z = new outer.inner.Z();
const { Z: renamed } = ns;
const { Z: A } = ns;
import Alias = ns.Z;
const eight = ns?.Z, nine = ns!.Z.name;
function f(ns: { A: 1 }) { return ns.A; }
",
    );
}

#[test]
fn dynamic_imports_require_and_mocks() {
    check(
        "rename a to z",
        "\
//- /a.ts
export const a = 1;
//- /b.ts
async function f() {
  const { a } = await import('./a');
  const m = await import('./a');
  m.a + (await import('./a')).a + a;
  await import('./a').then(({ a }) => a);
  await import('./a').then((x) => x.a);
}
const { a: r } = require('./a');
const q = require('./a').a;
//- /a.test.ts
import { a } from './a';
vi.mock('./a', () => ({ a: 2, other: 3 }));
vi.mock('./a', async () => {
  const actual = await vi.importActual('./a');
  return { ...actual, 'a': actual.a };
});
vi.mock('./b', () => ({ a: 2 }));
a;
",
        "\
//- /a.test.ts
import { z } from './a';
vi.mock('./a', () => ({ z: 2, other: 3 }));
vi.mock('./a', async () => {
  const actual = await vi.importActual('./a');
  return { ...actual, 'z': actual.z };
});
vi.mock('./b', () => ({ a: 2 }));
z;
//- /a.ts
export const z = 1;
//- /b.ts
async function f() {
  const { z: a } = await import('./a');
  const m = await import('./a');
  m.z + (await import('./a')).z + a;
  await import('./a').then(({ z: a }) => a);
  await import('./a').then((x) => x.z);
}
const { z: r } = require('./a');
const q = require('./a').z;
",
    );
}

#[test]
fn shorthand_in_every_place() {
    check(
        "rename a to z",
        "\
//- /a.ts
export let { a, b = a } = { a: 1, b: 2 };
({ a } = { a: 3 });
({ a = 4 } = {} as any);
export const o = { a, b: { a } };
function f({ x = a }) { return { a: a }; }
",
        "\
//- /a.ts
export let { a: z, b = z } = { a: 1, b: 2 };
({ a: z } = { a: 3 });
({ a: z = 4 } = {} as any);
export const o = { a: z, b: { a: z } };
function f({ x = z }) { return { a: z }; }
",
    );
}

#[test]
fn augmentations_are_declarations_too() {
    check(
        "rename A to Z",
        "\
//- /a.ts
export interface A { x: 1 }
//- /b.ts
import './a';
declare module './a' {
  interface A { y: B }
  interface B extends A {}
}
//- /c.ts
import { A } from './b';
declare module './a' { interface C { a: A } }
",
        "\
//- /a.ts
export interface Z { x: 1 }
//- /b.ts
import './a';
declare module './a' {
  interface Z { y: B }
  interface B extends Z {}
}
//- /c.ts
import { A } from './b';
declare module './a' { interface C { a: Z } }
",
    );
}

#[test]
fn a_taken_name_in_an_importer_becomes_an_alias() {
    check(
        "rename total to sum",
        "\
//- /a.ts
export const total = 1;
//- /b.ts
import { total } from './a';
const sum = 2;
total + sum;
//- /c.ts
import { total } from './a';
function f(sum: number) { return sum + total; }
//- /d.ts
import { total as sum } from './a';
sum;
//- /e.ts
import { total } from './a';
total + sum;
",
        "\
//- /a.ts
export const sum = 1;
//- /b.ts
import { sum as total } from './a';
const sum = 2;
total + sum;
//- /c.ts
import { sum as total } from './a';
function f(sum: number) { return sum + total; }
//- /d.ts
import { sum } from './a';
sum;
//- /e.ts
import { sum as total } from './a';
total + sum;
",
    );
}

#[test]
fn a_taken_name_in_the_home_is_refused() {
    for before in [
        "//- /a.ts\nexport const total = 1;\nconst sum = 2;\n",
        "//- /a.ts\nexport const total = 1;\nfunction f(sum: 1) { return total; }\n",
        "//- /a.ts\nexport const total = 1;\nconsole.log(sum);\n",
        "//- /a.ts\nexport const total = 1;\n//- /b.ts\nexport const sum = 1;\n//- /i.ts\nexport * from './a';\nexport * from './b';\n",
        "//- /a.ts\nexport const total = 1;\n//- /b.ts\nexport const sum = 1;\nexport { total } from './a';\n",
    ] {
        let error = refuse("rename total to sum", before);
        assert!(matches!(&error, RefactorError::NameTaken { places, .. } if !places.is_empty()), "{before}: {error:?}");
    }
}

#[test]
fn two_symbols_of_one_name_need_a_file() {
    let before = "\
//- /a.ts
export const x = 1;
//- /b.ts
export const x = 2;
//- /i.ts
export { x } from './a';
";
    assert_eq!(
        refuse("rename x to y", before),
        RefactorError::Ambiguous {
            symbol: "x".into(),
            files: vec![RelPath::new("a.ts").unwrap(), RelPath::new("b.ts").unwrap()]
        }
    );
    check("rename x in i.ts to y", before, "//- /a.ts\nexport const y = 1;\n//- /i.ts\nexport { y } from './a';\n");
    check("rename x in ./b.ts to y", before, "//- /b.ts\nexport const y = 2;\n");
}

#[test]
fn names_that_cannot_be_are_refused() {
    let before = "//- /a.tsx\nexport const Total = 1;\nconst x = <Total />;\n";
    for name in ["class", "await", "undefined", "string", "total"] {
        let error = refuse(&format!("rename Total to {name}"), before);
        assert!(matches!(error, RefactorError::BadName { .. }), "{name}: {error:?}");
    }
    let error = refuse("rename Totla to Sum", before);
    assert!(matches!(&error, RefactorError::NoSuchSymbol { similar, .. } if similar == &["Total"]), "{error:?}");
}

#[test]
fn a_default_export_keeps_its_importers_in_step() {
    check(
        "rename total to sum",
        "\
//- /a.ts
export default function total() { return total; }
//- /b.ts
import total from './a';
total();
//- /c.ts
import mine from './a';
mine();
",
        "\
//- /a.ts
export default function sum() { return sum; }
//- /b.ts
import sum from './a';
sum();
",
    );
}

#[test]
fn bytes_that_are_not_names_stay() {
    check(
        "rename a to zz",
        "//- /a.ts\n\u{feff}// ä a 'a'\r\nexport const a = 'a';\r\n//- /b.ts\n\u{feff}import { a } from \"./a\"\r\n\ta ; // a\r\n",
        "//- /a.ts\n\u{feff}// ä a 'a'\r\nexport const zz = 'a';\r\n//- /b.ts\n\u{feff}import { zz } from \"./a\"\r\n\tzz ; // a\r\n",
    );
}

#[test]
fn a_broken_file_that_mentions_the_name_stops_it() {
    let error =
        refuse("rename a to z", "//- /a.ts\nexport const a = 1;\n//- /b.ts\nimport { a } from './a';\nfunction ( {\n");
    assert!(matches!(&error, RefactorError::Unreadable { path, .. } if path.as_str() == "b.ts"), "{error:?}");
}

#[test]
fn a_public_name_says_so() {
    let files = workspace(
        "//- /package.json\n{ \"exports\": { \".\": \"./dist/index.js\" } }\n//- /src/index.ts\nexport * from './a';\n//- /src/a.ts\nexport const a = 1;\n",
    );
    let outcome = run("rename a to z", &files).unwrap();
    assert!(
        outcome.why.iter().any(|(why, places)| why.contains("public") && places == &["package.json:1"]),
        "{:?}",
        outcome.why
    );
}

#[test]
fn an_object_passed_on_whole_is_told() {
    let files = workspace(
        "//- /a.ts\nexport const a = 1;\n//- /b.ts\nimport * as ns from './a';\nObject.keys(ns);\nns[key];\n",
    );
    let outcome = run("rename a to z", &files).unwrap();
    assert!(outcome.why.iter().any(|(_, places)| places == &["b.ts:2", "b.ts:3"]), "{:?}", outcome.why);
}

#[test]
fn deep_nesting_is_an_error_and_not_a_crash() {
    for deep in [
        format!("export const a = {}1{};", "[".repeat(60_000), "]".repeat(60_000)),
        format!("export const a = {}1;", "!".repeat(60_000)),
        format!("export const a = {}1;", "1 + ".repeat(60_000)),
        format!("export const a = 1;{}", "if (a) {} else ".repeat(60_000) + "{}"),
        format!("export const a = {}1;", "x => ".repeat(60_000)),
        format!("export const a = x{};", ".b()".repeat(60_000)),
        format!("export const a = {}1;", "typeof ".repeat(60_000)),
        format!("export const a = {}1;", "await ".repeat(60_000)),
        format!("export const a = {}1;", "x ? 1 : ".repeat(60_000)),
        format!("export const a = {}1;", "q = ".repeat(60_000)),
        format!("export const a = `{}`;", "${`".repeat(60_000) + &"`}".repeat(60_000)),
        format!("export type a = {}1;", "keyof ".repeat(60_000)),
        format!("export type a = 1{};", "[]".repeat(60_000)),
        format!("export const a = 1; {} x;", "while (1) ".repeat(60_000)),
        format!("export const a = 1; {} x;", "label: ".repeat(60_000)),
        format!("export const a = {}{};", "<a>".repeat(60_000), "</a>".repeat(60_000)),
    ] {
        let path = RelPath::new("a.tsx").unwrap();
        let files = BTreeMap::from([(path, Arc::from(deep.as_str()))]);
        let refactoring = understand("rename a to z", None).unwrap();
        let result = perform(&refactoring, &files);
        assert!(matches!(result, Err(RefactorError::Unreadable { .. })), "{}: {result:?}", &deep[..40]);
    }
    // Just below the limit it is read; the stack holds.
    let path = RelPath::new("a.ts").unwrap();
    let deep = format!("export const a = {}1{};", "[".repeat(900), "]".repeat(900));
    let files = BTreeMap::from([(path, Arc::from(deep.as_str()))]);
    let refactoring = understand("rename a to z", None).unwrap();
    assert!(perform(&refactoring, &files).is_ok());
}

#[test]
fn stars_that_would_cancel_each_other_are_seen_from_afar() {
    let error = refuse(
        "rename total to sum",
        "//- /a.ts\nexport const total = 1;\n//- /b.ts\nexport const sum = 1;\n//- /mid.ts\nexport * from './b';\n//- /i.ts\nexport * from './a';\nexport * from './mid';\n",
    );
    assert!(matches!(error, RefactorError::NameTaken { .. }), "{error:?}");
}

#[test]
fn objects_that_spread_modules_are_followed() {
    check(
        "rename a to z",
        "\
//- /a.ts
export const a = 1, b = 2, c = 3;
//- /b.ts
export const b = 3;
//- /c.ts
import * as ns from './a';
import * as other from './b';
const bag = { ...ns, ...other, own: 1 };
bag.a + bag.b + bag.own;
const { a } = bag;
const mine = { ...ns, a: 4 };
mine.a;
",
        "\
//- /a.ts
export const z = 1, b = 2, c = 3;
//- /c.ts
import * as ns from './a';
import * as other from './b';
const bag = { ...ns, ...other, own: 1 };
bag.z + bag.b + bag.own;
const { z: a } = bag;
const mine = { ...ns, a: 4 };
mine.a;
",
    );
}

#[test]
fn the_active_file_decides_between_equal_names() {
    let files = workspace(
        "//- /a.ts\nexport const x = 1;\n//- /b.ts\nexport const x = 2;\n//- /c.ts\nimport { x } from './b';\nx;\n//- /d.ts\nconst y = 1;\n",
    );
    let graph = Graph::build(
        files.iter().map(|(path, text)| (path.clone(), Arc::new(Indexed::of(path, text)))).collect(),
        Arc::new(ResolveConfig::from_files(&files)),
    );
    for (focus, changed) in [("a.ts", Some("a.ts")), ("c.ts", Some("b.ts")), ("d.ts", None)] {
        let focus = Focus { path: RelPath::new(focus).unwrap(), lines: None };
        let asked = understand("rename x to z", Some(&focus)).unwrap();
        let outcome = perform(&aim(asked, Some(&focus), &graph), &files);
        let first = outcome.ok().and_then(|outcome| outcome.files.into_keys().next());
        assert_eq!(first.as_ref().map(RelPath::as_str), changed);
    }
}

#[test]
fn a_rename_and_back_restores_every_byte() {
    let before = workspace(
        "//- /a.ts\nexport function total(a: number) { return { total, a }; }\nexport { total as sum };\n//- /b.ts\nimport { total } from './a';\nimport * as ns from './a';\nconst { total: t } = ns;\nexport const o = { x: total, y: ns.total, t };\nexport { total } from './a';\n",
    );
    let there = run("rename total to amount", &before).unwrap();
    let mut between = before.clone();
    for (path, text) in there.files {
        between.insert(path, text.unwrap().into());
    }
    assert_ne!(between, before);
    let back = run("rename amount to total", &between).unwrap();
    let mut after = between.clone();
    for (path, text) in back.files {
        after.insert(path, text.unwrap().into());
    }
    // A shorthand that was written out stays written out; everything else is as it was.
    let shown = |files: &BTreeMap<RelPath, Arc<str>>| -> String {
        files.values().map(|text| text.replace("{ total: total, a }", "{ total, a }")).collect()
    };
    assert_eq!(shown(&after), shown(&before));
}

#[test]
fn type_modifiers_tags_and_quoted_names() {
    check(
        "rename Card to Panel",
        "\
//- /a.tsx
export class Card<T> { static Card = 1; Card = Card.Card; }
export { Card as 'a card' };
//- /b.tsx
import { type Card } from './a';
import { Card as Other } from './a';
export { type Card } from './a';
const one = <Other<string> Card={1}></Other>;
let two: Card<Card<1>>[] = [];
//- /c.tsx
import { Card } from './b';
import { 'a card' as quoted } from './a';
const three = <Card Card={Card}><Card.Card /></Card>;
label: for (const Card of []) { break label; }
enum E { Card, Other = Card }
type M = { Card: Card; [Card: string]: Card };
function f(this: Card, { Card: x }: any): x is Card { return x; }
",
        "\
//- /a.tsx
export class Panel<T> { static Card = 1; Card = Panel.Card; }
export { Panel as 'a card' };
//- /b.tsx
import { type Panel } from './a';
import { Panel as Other } from './a';
export { type Panel } from './a';
const one = <Other<string> Card={1}></Other>;
let two: Panel<Panel<1>>[] = [];
//- /c.tsx
import { Panel } from './b';
import { 'a card' as quoted } from './a';
const three = <Panel Card={Panel}><Panel.Card /></Panel>;
label: for (const Card of []) { break label; }
enum E { Card, Other = Card }
type M = { Card: Panel; [Card: string]: Panel };
function f(this: Panel, { Card: x }: any): x is Panel { return x; }
",
    );
}

#[test]
fn objects_that_hold_modules_under_keys_are_followed() {
    check(
        "rename a in a.ts to z",
        "\
//- /a.ts
export const a = 1, b = 2;
//- /b.ts
export const a = 3;
//- /c.ts
import * as ns from './a';
import * as other from './b';
export const api = { ...other, first: ns, a: ns.b, second: other, list: [ns] };
api.first.a + api.a + api.second.a;
const { first: { a }, second: { a: kept } } = api;
const deep = { api, 'first': ns };
deep.api.first.a + deep.first['a'];
//- /d.ts
import { api } from './c';
api.first.a;
function shadowed(api: { first: { a: number } }) { return api.first.a; }
",
        "\
//- /a.ts
export const z = 1, b = 2;
//- /c.ts
import * as ns from './a';
import * as other from './b';
export const api = { ...other, first: ns, a: ns.b, second: other, list: [ns] };
api.first.z + api.a + api.second.a;
const { first: { z: a }, second: { a: kept } } = api;
const deep = { api, 'first': ns };
deep.api.first.z + deep.first['z'];
//- /d.ts
import { api } from './c';
api.first.z;
function shadowed(api: { first: { a: number } }) { return api.first.a; }
",
    );
}
