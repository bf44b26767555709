//! Data tests: a text and what it says about itself.

use super::*;
use crate::graph::{Export, Import, Target, words};

fn facts_of(name: &str, text: &str) -> FileFacts {
    analyse(&RelPath::new(name).unwrap(), text).facts
}

fn shown_import(import: &Import) -> String {
    let names: Vec<String> = import.names.iter().map(|(theirs, ours)| format!("{theirs}>{ours}")).collect();
    format!(
        "{:?}{} {} [{}]",
        import.kind,
        if import.type_only { " type" } else { "" },
        import.specifier,
        names.join(" ")
    )
}

fn shown_export(export: &Export) -> String {
    format!(
        "{}{} {} {} {}",
        export.name,
        if export.type_only { " type" } else { "" },
        export.local.as_deref().unwrap_or("-"),
        export.from.as_deref().unwrap_or("-"),
        export.imported.as_deref().unwrap_or("-"),
    )
}

#[test]
fn every_form_of_import_is_read() {
    for (text, expect) in [
        ("import 'x';", "Static x []"),
        ("import a from 'x';", "Static x [default>a]"),
        ("import * as a from \"x\";", "Static x [*>a]"),
        ("import { a, b as c, default as d } from 'x';", "Static x [a>a b>c default>d]"),
        ("import a, { type b as c } from 'x';", "Static x [default>a b>c]"),
        ("import a, * as b from 'x' with { type: 'json' };", "Static x [default>a *>b]"),
        ("import { 'a-b' as c } from 'x';", "Static x [a-b>c]"),
        ("import type { a } from 'x';", "Static type x [a>a]"),
        ("import type a from 'x';", "Static type x [default>a]"),
        ("import type * as a from 'x';", "Static type x [*>a]"),
        ("import a = require('x');", "Equals x [*>a]"),
        ("import type a = require('x');", "Equals type x [*>a]"),
        ("export import a = require('x');", "Equals x [*>a]"),
        ("export { a, b as c } from 'x';", "Reexport x [a>a b>c]"),
        ("export { default as a, default } from 'x';", "Reexport x [default>a default>default]"),
        ("export type { a } from 'x';", "Reexport type x [a>a]"),
        ("export * from 'x';", "Reexport x [*>*]"),
        ("export * as ns from 'x';", "Reexport x [*>ns]"),
        ("export type * from 'x';", "Reexport type x [*>*]"),
        ("export type * as ns from 'x';", "Reexport type x [*>ns]"),
        ("import('x');", "Dynamic x []"),
        ("const { a, b: c, ...d } = await import('x');", "Dynamic x [a>a b>c]"),
        ("const a = (await import('x')).b;", "Dynamic x [b>]"),
        ("const f = () => import('x').then((m) => m.a);", "Dynamic x [*>m]"),
        ("const a = require('x');", "Require x [*>a]"),
        ("const { a = 1 } = require('x');", "Require x [a>a]"),
        ("const a = require(`x`);", "Require x [*>a]"),
        ("import(/* webpackChunkName: 'y' */ `x`);", "Dynamic x []"),
        ("require('x').a();", "Require x [a>]"),
        ("type A = import('x').B;", "Type type x [B>]"),
        ("let a: import('x').B.C;", "Type type x [B>]"),
        ("type A = typeof import('x');", "Type type x []"),
        ("let a = b as import('x').C;", "Type type x [C>]"),
        ("type A = import('x').B<string>;", "Type type x [B>]"),
        ("type A = { b: import('x').B[] };", "Type type x [B>]"),
        ("f<typeof import('x')>();", "Type type x []"),
        ("declare module 'x' { export const a: 1; }", "Augment type x []"),
    ] {
        let facts = facts_of("a.ts", text);
        let shown: Vec<String> = facts.imports.iter().map(shown_import).collect();
        assert_eq!(shown, [expect], "{text}");
        let import = &facts.imports[0];
        assert_eq!(&text[import.range.clone()], "x", "{text}");
        assert!(!facts.broken, "{text}");
        assert_typed_alike("a.ts", text);
    }
}

/// What is read while somebody types is what is read at rest, where the grammar has no objection.
fn assert_typed_alike(name: &str, text: &str) {
    let typed = analyse_as_typed(&RelPath::new(name).unwrap(), text);
    if !typed.broken {
        assert_eq!(typed, facts_of(name, text), "{text}");
    }
}

#[test]
fn what_only_looks_like_an_import_is_none() {
    for text in [
        "require(name);",
        "import(`x${y}`);",
        "obj.require('x');",
        "const a = \"import 'x'\";",
        "import a = B.C;",
        "// import 'x'",
    ] {
        assert_eq!(facts_of("a.ts", text).imports, [], "{text}");
    }
}

#[test]
fn every_form_of_export_is_read() {
    for (text, expect) in [
        ("export const a = 1, b = 2;", &["a a - -", "b b - -"][..]),
        ("export const { a, b: [c], ...d } = x;", &["a a - -", "c c - -", "d d - -"]),
        ("export function a() {}", &["a a - -"]),
        ("export async function* a() {}", &["a a - -"]),
        ("export class A {}", &["A A - -"]),
        ("export abstract class A {}", &["A A - -"]),
        ("export interface A {}", &["A type A - -"]),
        ("export type A = 1;", &["A type A - -"]),
        ("export enum A { B }", &["A A - -"]),
        ("export const enum A { B }", &["A A - -"]),
        ("export namespace A { export const b = 1; }", &["A A - -"]),
        ("export declare const a: 1;", &["a a - -"]),
        ("export declare function a(): void;", &["a a - -"]),
        ("export import a = B.C;", &["a a - -"]),
        ("const a = 1; export { a, a as b, a as default };", &["a a - -", "b a - -", "default a - -"]),
        ("type A = 1; export type { A };", &["A type A - -"]),
        ("export default function a() {}", &["default a - -"]),
        ("export default class A {}", &["default A - -"]),
        ("export default interface A {}", &["default type A - -"]),
        ("export default function () {}", &["default - - -"]),
        ("export default class {}", &["default - - -"]),
        ("export default { a: 1 };", &["default - - -"]),
        ("const a = 1; export default a;", &["default a - -"]),
        ("const a = 1; export = a;", &["= a - -"]),
        ("export { a as b } from 'x';", &["b - x a"]),
        ("export { default } from 'x';", &["default - x default"]),
        ("export * from 'x';", &["* - x *"]),
        ("export * as ns from 'x';", &["ns - x *"]),
        ("export type * from 'x';", &["* type - x *"]),
        ("export type * as ns from 'x';", &["ns type - x *"]),
        ("export {};", &[]),
        ("declare module 'x' { export const a: 1; }", &[]),
        ("declare global { interface A {} }", &[]),
    ] {
        let facts = facts_of("a.ts", text);
        let shown: Vec<String> = facts.exports.iter().map(shown_export).collect();
        assert_eq!(shown, expect, "{text}");
        assert_typed_alike("a.ts", text);
    }
}

/// Marked names: `«name»` is a reference to the symbol, import or member that `expect` tells, in the order of the text.
fn assert_references(name: &str, text: &str, expect: &[&str]) {
    let path = RelPath::new(name).unwrap();
    let facts = facts_of(name, text);
    assert!(!facts.broken, "{text}");
    let shown = |facts: &FileFacts| -> Vec<String> {
        let shown = facts.references.iter().map(|reference| {
            let name = &text[reference.range.start as usize..reference.range.end as usize];
            let target = match reference.target {
                Target::Symbol(at) => format!("#{}", facts.symbols[at as usize].name),
                Target::Import { import, name } => {
                    let import = &facts.imports[import as usize];
                    format!("{}:{}", import.specifier, import.names[name as usize].0)
                }
                Target::Global(at) => format!("?{}", facts.globals[at as usize]),
            };
            let member = reference.member.as_deref().map_or(String::new(), |member| format!(".{member}"));
            let within = reference.within.map_or("-", |at| facts.symbols[at as usize].name.as_str());
            format!("{name} {:?} {target}{member} in {within}", reference.kind)
        });
        shown.collect()
    };
    assert_eq!(shown(&facts), expect, "{text}");
    assert_eq!(shown(&analyse_as_typed(&path, text)), expect, "typed: {text}");
}

#[test]
fn references_have_exact_scopes_and_kinds() {
    for (text, expect) in [
        ("const a = 1; f(a); function f(a) { return a; }", &["f Call #f in -", "a Read #a in -"][..]),
        ("g(); function g() { g(); }", &["g Call #g in -", "g Call #g in g"]),
        (
            "let a = 1; a = 2; a++; [a] = [3]; ({ a } = x);",
            &["a Write #a in -", "a Write #a in -", "a Write #a in -", "a Write #a in -", "x Read ?x in -"],
        ),
        ("const a = 1; { const a = 2; a; } a;", &["a Read #a in -"]),
        ("const a = 1; { var b = a; } function f() { b; }", &["a Read #a in -"]),
        (
            "class A {} class B extends A implements I { a: A = new A(); } interface I {}",
            &["A Extends #A in B", "I Implements #I in B", "A Type #A in a", "A New #A in a"],
        ),
        ("type T = 1; const T = 2; let x: T = T;", &["T Type #T in x", "T Read #T in x"]),
        ("type T<A> = A extends infer B ? B : A; type A = 1; type B = 2; let x: A;", &["A Type #A in x"]),
        ("type A = 1; type M = { [A in string]: A }; function f<A>(a: A): A { return a; }", &[]),
        (
            "import { a, b as c } from 'x'; a(c);",
            &["a Import x:a in -", "b Import x:b in -", "a Call x:a in -", "c Read x:b in -"],
        ),
        (
            "import d from 'x'; export { d as e }; export default d;",
            &["d Import x:default in -", "d Export x:default in -", "d Export x:default in -"],
        ),
        (
            "import * as n from 'x'; n.a(); let y: n.B; const { c, d: e } = n;",
            &[
                "n Import x:* in -",
                "n Read x:* in -",
                "a Call x:*.a in -",
                "n Namespace x:* in y",
                "B Type x:*.B in y",
                "c Read x:*.c in c",
                "d Read x:*.d in c",
                "n Read x:* in c",
            ],
        ),
        ("export { a, b as c } from 'x';", &["a Export x:a in -", "b Export x:b in -"]),
        ("const { a } = await import('x');", &["a Read x:a in a"]),
        ("async function f() { const m = await import('x'); m.a(); }", &["m Read x:* in f", "a Call x:*.a in f"]),
        (
            "import('x').then((m) => m.a); import('x').then(({ b }) => b);",
            &["m Read x:* in -", "a Read x:*.a in -", "b Read x:b in -"],
        ),
        ("require('x').a();", &["a Read x:a in -"]),
        ("let a: import('x').B;", &["B Type x:B in a"]),
        ("const a = 1; let b: typeof a; b = { a };", &["a TypeOf #a in b", "b Write #b in -", "a Read #a in -"]),
        (
            "import * as n from 'x'; n.a.b(); n.a.c.d; let y: n.A.B; let z: typeof n.a;",
            &[
                "n Import x:* in -",
                "n Read x:* in -",
                "a Read x:*.a in -",
                "b Call x:*.a.b in -",
                "n Read x:* in -",
                "a Read x:*.a in -",
                "c Read x:*.a.c in -",
                "d Read x:*.a.c.d in -",
                "n Namespace x:* in y",
                "A Namespace x:*.A in y",
                "B Type x:*.A.B in y",
                "n TypeOf x:* in z",
                "a TypeOf x:*.a in z",
            ],
        ),
        ("import * as n from 'x'; n\n  ?.a!\n  .b;", &["n Import x:* in -", "n Read x:* in -", "a Read x:*.a in -"]),
        (
            "const key = 1; interface I { [key]: 1; [key](): void } type T = { [key]: 1 }; class C { [key] = 1; [key]() {} }",
            &[
                "key Read #key in [key]",
                "key Read #key in [key]",
                "key Read #key in T",
                "key Read #key in [key]",
                "key Read #key in [key]",
            ],
        ),
        ("namespace N { export type A = 1 } let a: N.A;", &["N Namespace #N in a"]),
        ("declare const a: Known; enum E { A, B = A } E.A;", &["Known Type ?Known in a", "E Read #E in -"]),
        (
            "const tag = 1; tag`x`; @tag class A { @tag() m() {} }",
            &["tag Call #tag in -", "tag Call #tag in -", "tag Call #tag in A"],
        ),
        (
            "const f = 1; for (const f of []) f; try {} catch (f) { f; } (f) => f; ({ f() { f; } });",
            &["f Read #f in f"],
        ),
        ("namespace N { export const a = 1; a; } N.a;", &["N Read #N in -"]),
        ("const a = 1; export { a }; export = a;", &["a Export #a in -", "a Export #a in -"]),
        ("label: for (;;) { break label; } const label = 1;", &[]),
        ("const a = 1; ({ a: 1, b: a }).a; class C { a = a; }", &["a Read #a in -", "a Read #a in a"]),
    ] {
        assert_references("a.ts", text, expect);
    }
    let jsx = "import * as n from 'x'; const A = () => <A b={A}><n.B /><div a='' /></A>;";
    let expect = [
        "n Import x:* in -",
        "A Jsx #A in A",
        "A Read #A in A",
        "n Read x:* in A",
        "B Jsx x:*.B in A",
        "A Jsx #A in A",
    ];
    assert_references("a.tsx", jsx, &expect);
}

/// `name kind [lines] exported parent`, one a line.
fn outline(facts: &FileFacts, text: &str) -> String {
    let mut lines = Vec::new();
    for symbol in &facts.symbols {
        let parent = symbol.parent.map_or("-", |parent| &facts.symbols[parent].name);
        let mark = if symbol.exported { "+" } else { "-" };
        lines.push(format!(
            "{mark}{} {:?} {:?} {parent} | {}",
            symbol.name,
            symbol.kind,
            symbol.lines,
            symbol.signature(text)
        ));
    }
    lines.join("\n")
}

#[test]
fn symbols_have_their_comments_members_and_signatures() {
    let text = "\
// A licence.

import { x } from 'x';

/** Adds.
 * @returns the sum */
export function add(
  a: number,
  b: number,
): number {
  const inner = () => a;
  const value = 1;
  return inner() + b;
}

// One.
// Two.
export default class Store<T> extends Base {
  private items: T[] = []; // trailing
  /** The count. */
  @memo()
  get size(): number { return this.items.length; }
  constructor(readonly name: string) { super(); }
  static of = (x: number) => new Store();
}

interface Shape {
  area(): number;
  name: string;
}
export type Id = string | number;
enum Color { Red, Green = 2 }
export const handler = async (event: Event): Promise<void> => {
  await x(event);
};
namespace A.B {
  export const deep = 1;
  const hidden = 2;
}
const table = {
  run() { return 1; },
  value: 2,
}, other = 3;
export { table };
declare global {
  var seen: string;
}
";
    let facts = facts_of("src/a.ts", text);
    let expect = "\
+add Function [5, 14] - | export function add( a: number, b: number, ): number
-inner Function [11, 11] add | const inner = () =>
+Store Class [16, 25] - | export default class Store<T> extends Base
+items Property [19, 19] Store | private items: T[] = []
+size Method [20, 22] Store | get size(): number
+constructor Method [23, 23] Store | constructor(readonly name: string)
+of Property [24, 24] Store | static of = (x: number) =>
-Shape Interface [27, 30] - | interface Shape
-area Method [28, 28] Shape | area(): number
-name Property [29, 29] Shape | name: string
+Id TypeAlias [31, 31] - | export type Id = string | number
-Color Enum [32, 32] - | enum Color
-Red Property [32, 32] Color | Red
-Green Property [32, 32] Color | Green = 2
+handler Function [33, 35] - | export const handler = async (event: Event): Promise<void> =>
-A.B Namespace [36, 39] - | namespace A.B
-deep Variable [37, 37] A.B | export const deep = 1
-hidden Variable [38, 38] A.B | const hidden = 2
+table Variable [40, 43] - | table = { run() { return 1; }, value: 2, }
+run Method [41, 41] table | run()
-other Variable [43, 43] - | other = 3
-seen Variable [46, 46] - | var seen: string";
    assert_eq!(outline(&facts, text), expect);
    assert_typed_alike("src/a.ts", text);
    let add = &facts.symbols[0];
    assert!(text[add.range.clone()].starts_with("/** Adds."));
    assert_eq!(&text[add.name_range.clone()], "add");
    assert!(facts.identifiers.binary_search(&words::hash("inner")).is_ok());
    assert!(facts.identifiers.is_sorted());
}

#[test]
fn what_declare_global_declares_is_none_of_the_files_own() {
    let text = "\
import { a } from './a';
declare global {
  interface Env { seen: Settings; again: Env }
  var seen: string;
  interface Settings {}
  namespace Deep { interface Inner {} }
}
interface Settings { own: 1 }
const seen2 = seen;
export { Settings };
declare module 'x' { interface Env {} }
";
    let facts = facts_of("src/a.ts", text);
    let named = |index: &u32| facts.symbols[*index as usize].name.as_str();
    let names: Vec<&str> = facts.augments_global.iter().map(named).collect();
    assert_eq!(names, ["Env", "seen", "Settings", "Deep"]);
    let exported: Vec<bool> =
        facts.symbols.iter().filter(|symbol| symbol.name == "Settings").map(|symbol| symbol.exported).collect();
    assert_eq!(exported, [false, true]);
    assert_typed_alike("src/a.ts", text);
    for text in ["declare module 'x' { var a: 1; }", "declare namespace global { var a: 1; }", "const global = {};"] {
        assert_eq!(facts_of("src/a.ts", text).augments_global, [0_u32; 0], "{text}");
        assert_typed_alike("src/a.ts", text);
    }
}

#[test]
fn decorators_are_no_part_of_what_they_decorate_but_of_its_range() {
    let text = "const d = 1;\n@d()\nexport class A {\n  @d()\n  @d a: string = d;\n  @d() m() {}\n}\n@d class B {}\n";
    let facts = facts_of("a.ts", text);
    let heads: Vec<&str> = facts.symbols.iter().map(|symbol| &text[symbol.head.clone()]).collect();
    assert_eq!(heads[1..4], ["export class A", "a: string = d", "m()"]);
    assert!(text[facts.symbols[1].range.clone()].starts_with("@d()"));
    assert_typed_alike("a.ts", text);
}

#[test]
fn an_anonymous_default_is_a_symbol() {
    let text = "export default () => 1;\n";
    let facts = facts_of("a.ts", text);
    assert_eq!(outline(&facts, text), "+default Function [1, 1] - | export default () =>");
}

#[test]
fn jsx_and_plain_javascript_are_read() {
    let text = "export const App = (p: P) => <Card a={1}>{p.x}</Card>;\n";
    let tsx = facts_of("a.tsx", text);
    assert_eq!(outline(&tsx, text), "+App Function [1, 1] - | export const App = (p: P) =>");
    assert!(tsx.identifiers.binary_search(&words::hash("Card")).is_ok());
    let js = facts_of("a.js", "class A { b = 1; c() {} }\nmodule.exports = { A };\n");
    assert_eq!(js.symbols.len(), 3);
}

#[test]
fn broken_text_keeps_what_survives() {
    let facts =
        facts_of("a.ts", "import { a } from './a';\nexport function f() {\n  return a(\n}\nexport const g = 1;\n");
    assert!(facts.broken);
    assert_eq!(facts.imports.len(), 1);
    assert!(facts.symbols.iter().any(|symbol| symbol.name == "f"));
}

/// Every line with text is in exactly one chunk, and lines of chunks exist.
fn assert_covered(name: &str, text: &str) {
    let facts = facts_of(name, text);
    let mut next = 1;
    for chunk in &facts.chunks {
        let [first, last] = chunk.lines;
        assert!(next <= first && first <= last && last <= facts.lines, "{chunk:?}");
        let index = LineIndex::new(text);
        for line in next..first {
            let skipped = &text[index.line_range(line as usize - 1)];
            assert!(skipped.trim().is_empty(), "line {line} is in no chunk: {skipped}");
        }
        next = last + 1;
    }
    let index = LineIndex::new(text);
    let rest = index.line_range((next - 1) as usize).start;
    assert!(text[rest..].trim().is_empty(), "the end is in no chunk");
}

#[test]
fn chunks_cover_the_file_and_follow_its_declarations() {
    let method = |at: usize| format!("  m{at}() {{\n{}  }}\n", "    work();\n".repeat(12));
    let class: String = (0..10).map(method).collect();
    let text = format!(
        "import alpha from 'alpha';\nimport beta from 'beta';\n\n/** Doc. */\nexport class Big {{\n{class}}}\n\nconst x = 1;\nconst y = 2;\n"
    );
    assert_covered("a.ts", &text);
    let facts = facts_of("a.ts", &text);
    let names: Vec<&str> =
        facts.chunks.iter().map(|chunk| chunk.symbol.map_or("-", |at| facts.symbols[at].name.as_str())).collect();
    assert_eq!(names, ["-", "Big", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9", "x"]);
    assert!(facts.chunks[0].range.len() > 5);
}

#[test]
fn long_functions_tests_templates_and_prose_fall_apart() {
    let statement = |at: usize| {
        format!("    it('case {at}', () => {{\n      expect(f({at})).toBe({at});\n      done();\n    }});\n")
    };
    let cases: String = (0..60).map(statement).collect();
    let suite = format!("describe('all', () => {{\n  describe('inner', () => {{\n{cases}  }});\n}});\n");
    let template = format!("const css = `\n{}`;\n", "a {{ color: red }}\n".repeat(300));
    let prose = "A paragraph of words.\nAnd more.\n\n".repeat(100);
    for (name, text) in [("a.test.ts", &suite), ("a.ts", &template), ("README.md", &prose)] {
        assert_covered(name, text);
        let facts = facts_of(name, text);
        assert!(facts.chunks.len() > 3, "{name}: {}", facts.chunks.len());
        let longest = facts.chunks.iter().map(|chunk| chunk.lines[1] - chunk.lines[0] + 1).max();
        assert!(longest <= Some(100), "{name}: {longest:?}");
    }
}

#[test]
fn empty_and_odd_texts_are_read() {
    for text in ["", "\n", "\r\n\r\n", "\u{feff}export const a = 1;", "a\0b", "\u{2028}", "#!/bin/node\n", "/*"] {
        for name in ["a.ts", "a.js", "a.tsx", "a.d.ts", "a.md"] {
            assert_covered(name, text);
        }
    }
    let deep = format!("{}1{}", "(".repeat(20_000), ")".repeat(20_000));
    assert!(facts_of("a.ts", &deep).lines == 1);
}

#[test]
fn a_bundle_too_deep_to_read_at_once_is_not_parsed_and_uses_every_word() {
    let text = format!("var first = second{};\n", "[third(0)]".repeat(70_000));
    let bundle = crate::graph::Indexed::of(&RelPath::new("dist/bundle.js").unwrap(), &text);
    let facts = bundle.facts();
    assert!(facts.broken && facts.generated && facts.symbols.is_empty());
    assert!(["first", "second", "third"].iter().all(|word| bundle.uses(word)) && !bundle.uses("fourth"));
    assert_eq!(facts.chunks.iter().map(|chunk| chunk.range.len()).sum::<usize>(), text.len());
    let small = facts_of("dist/bundle.js", "var first = second[third(0)];\n");
    assert!(small.generated && !small.broken && small.symbols.len() == 1);
}

/// Every shape of nesting, at a fifth of the depth that the reserved stack is for: deeper takes minutes unoptimised.
#[test]
fn nesting_never_uses_the_stack_up() {
    // What stands before, what opens a level, what is innermost, what closes a level.
    let shapes: &[(&str, &str, &str, &str)] = &[
        ("x = ", "(", "1", ")"),
        ("x = ", "[", "1", "]"),
        ("x = ", "{a:", "1", "}"),
        ("", "f(", "1", ")"),
        ("x = ", "() => {", "", "}"),
        ("x = ", "(() => ", "1", ")"),
        ("", "(function(){ if (a) ", "x()", "})"),
        ("x = ", "a ? b : ", "c", ""),
        ("x = ", "!", "a", ""),
        ("x = ", "`${", "a", "}`"),
        ("x = ", "class { m() { return ", "1", "} }"),
        ("x = ", "<a>", "", "</a>"),
        ("x = ", "<A b={", "1", "}/>"),
        ("", "{", "", "}"),
        ("x = ", "1 + ", "1", ""),
        ("x = a", ".b", "", ""),
        ("x = a", "()", "", ""),
        ("x = a", "!", "", ""),
        ("x = a", " as A", "", ""),
        ("x = ", "await ", "1", ""),
        ("x = ", "new ", "A", ""),
        ("", "a = ", "1", ""),
        ("x = ", "a => ", "1", ""),
        ("x = ", "a ** ", "1", ""),
        ("", "if (a) {} else ", "{}", ""),
        ("", "do ", ";", " while (a)"),
        ("", "for (;;) ", ";", ""),
        ("", "namespace A {", "", "}"),
        ("", "function f() {", "", "}"),
        ("x = ", "class { b = ", "1", "}"),
        ("x = ", "class extends ", "B", " {}"),
        ("let x: ", "Array<", "A", ">"),
        ("let x: ", "{a: ", "A", "}"),
        ("let x: A", "[]", "", ""),
        ("type A = ", "() => ", "A", ""),
        ("type A = ", "keyof ", "A", ""),
        ("type A = ", "A extends B ? C : ", "A", ""),
        ("type A = ", "(", "A", ")[]"),
        ("type A = ", "`${", "A", "}`"),
        ("", "try {", "", "} catch {}"),
        ("", "switch (a) { case 1: ", "", "}"),
        ("const ", "{a = ", "1", "} = b"),
        ("const ", "{a: ", "b", "}"),
        ("const ", "[", "b", "]"),
        ("", "@a(", "1", ") class A {}"),
    ];
    let read = move || {
        for (before, open, middle, close) in shapes {
            let levels = syntax::levels_at_most(open) - 1;
            // One also deeper than that: its tree is flat, being in error. The others take minutes to parse.
            let too_deep = (*open == "new ").then_some(70_000);
            for deep in [12_000 / levels.max(1)].into_iter().chain(too_deep) {
                let text = format!("{before}{}{middle}{}", open.repeat(deep), close.repeat(deep));
                let facts = facts_of("a.tsx", &text);
                assert!(facts.lines == 1, "{open}");
            }
        }
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(read).unwrap().join().unwrap();
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_and_covered(text in "(import|export|type|\\*|from|'x'|\\{|\\}|\\(|\\)|class|const|a|=>|=|;|\n| |`|//|/\\*|<|>){0,60}") {
        assert_covered("a.ts", &text);
        assert_covered("a.jsx", &text);
    }
}
