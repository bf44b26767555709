//! Questions over several files.

use super::*;
use crate::graph::{Graph, Indexed, ResolveConfig, SymbolKind};
use crate::path::RelPath;
use std::collections::BTreeMap;
use std::sync::Arc;

fn path(name: &str) -> RelPath {
    RelPath::new(name).unwrap()
}

/// Files as `//- /path` and then the text.
struct Project {
    texts: BTreeMap<RelPath, Arc<str>>,
    graph: Graph,
}

fn project(text: &str) -> Project {
    let mut texts: BTreeMap<RelPath, Arc<str>> = BTreeMap::new();
    for part in text.split("//- /").skip(1) {
        let (name, text) = part.split_once('\n').unwrap();
        texts.insert(path(name.trim()), Arc::from(text));
    }
    let code = texts.iter().filter(|(path, _)| crate::syntax::Language::of(path).is_some());
    let files = code.map(|(path, text)| (path.clone(), Arc::new(Indexed::of(path, text)))).collect();
    let graph = Graph::build(files, Arc::new(ResolveConfig::from_files(&texts)));
    Project { texts, graph }
}

impl Project {
    fn symbol(&self, name: &str) -> SymbolRef {
        match find(&self.graph, name) {
            Ok(Named::Symbol(symbol)) => symbol,
            other => panic!("{name}: {other:?}"),
        }
    }

    fn line(&self, path: &RelPath, at: u32) -> usize {
        self.texts[path][..at as usize].matches('\n').count() + 1
    }

    fn named(&self, symbol: &SymbolRef) -> String {
        format!("{}#{}", symbol.path, qualified_name(&self.graph.facts(&symbol.path).unwrap(), symbol.index))
    }

    /// `path:line kind text`.
    fn references(&self, name: &str) -> Vec<String> {
        let found = references(&self.graph, &self.symbol(name)).found;
        let show = |found: &Found| {
            let kind = match found.kind {
                FoundKind::Declaration => "Declaration".to_owned(),
                FoundKind::Use(kind) => format!("{kind:?}"),
            };
            let text = &self.texts[&found.path][found.range.start as usize..found.range.end as usize];
            format!("{}:{} {kind} {text}", found.path, self.line(&found.path, found.range.start))
        };
        found.iter().map(show).collect()
    }

    /// `distance path#name`, or `distance path` for code outside of declarations.
    fn impact(&self, changes: &[Change]) -> Vec<String> {
        let impact = impact(&self.graph, changes, 9);
        let show = |affected: &Affected| {
            let name = affected.symbol.as_ref().map_or_else(|| affected.path.to_string(), |symbol| self.named(symbol));
            format!("{} {name}", affected.distance)
        };
        let mut shown: Vec<String> = impact.symbols.iter().map(show).collect();
        shown.sort();
        shown
    }
}

const SHOP: &str = "\
//- /src/money.ts
export interface Money { amount: number }
export const ZERO: Money = { amount: 0 };
function round(amount: number) { return Math.round(amount); }
export function add(a: Money, b: Money): Money { return { amount: round(a.amount + b.amount) }; }
export default class Purse { take(money: Money) { return add(money, ZERO); } }
const secret = 1;
function unseen() { return secret; }
//- /src/index.ts
export * from './money';
export { default as Wallet, add as plus } from './money';
export * as money from './money';
//- /src/cart.ts
import { plus, type Money as Cash } from '.';
export function total(items: Cash[]) { return items.reduce((a, b) => plus(a, b)); }
export function idle() {}
//- /src/shop.tsx
import Bag, * as all from './money';
import { money, Wallet } from './index';
import { total } from './cart';
export class Shop extends Bag { sum() { return total([all.ZERO, money.ZERO]); } }
export const wallet = new Wallet();
export const View = () => <Label text={all.add(all.ZERO, all.ZERO)} />;
function Label(props: { text: unknown }) { return null; }
//- /src/late.ts
export const late = async () => { const { total } = await import('./cart'); return total([]); };
//- /src/cart.test.ts
import { total } from './cart';
test('total', () => { total([]); });
//- /src/shop.spec.ts
import { Shop } from './shop';
vi.mock('./cart');
test('shop', () => { new Shop().sum(); });
//- /src/main.ts
import './shop';
console.log(1);
";

#[test]
fn names_lead_to_files_and_symbols() {
    let project = project(SHOP);
    for (spelling, expect) in [
        ("src/money.ts#add", "src/money.ts#add"),
        ("src/money.ts#Purse.take", "src/money.ts#Purse.take"),
        ("src/money.ts#default", "src/money.ts#Purse"),
        ("src/money.ts:4", "src/money.ts#add"),
        ("round", "src/money.ts#round"),
        ("Purse.take", "src/money.ts#Purse.take"),
    ] {
        assert_eq!(project.named(&project.symbol(spelling)), expect, "{spelling}");
    }
    assert_eq!(find(&project.graph, "./src/cart.ts"), Ok(Named::File(path("src/cart.ts"))));
    assert_eq!(find(&project.graph, "src/main.ts:1"), Ok(Named::File(path("src/main.ts"))));
    for (spelling, expect) in [
        ("src/nothing.ts", "find src/nothing.ts in the graph"),
        ("../../etc/passwd", "find ../../etc/passwd in the graph"),
        ("src/nothing.ts#a", "find src/nothing.ts in the graph"),
        ("src/cart.ts#nothing", "find \"nothing\" in src/cart.ts"),
        ("src/cart.ts:99", "find a declaration at line 99 of src/cart.ts, which has 4 lines"),
        ("nothing", "find \"nothing\": no file of the graph declares it"),
        ("", "find \"\": no file of the graph declares it"),
    ] {
        assert_eq!(find(&project.graph, spelling).unwrap_err().to_string(), expect, "{spelling}");
    }
    let twice =
        self::project("//- /a.ts\nexport const x = 1;\n//- /b.ts\nexport const x = 2;\n//- /c.ts\nconst x = 3;\n");
    let expect = NameError::Ambiguous { name: "x".into(), candidates: vec!["a.ts#x".into(), "b.ts#x".into()] };
    assert_eq!(find(&twice.graph, "x"), Err(expect));
    assert_eq!(
        find(&twice.graph, "X"),
        Err(NameError::NoSymbol { name: "X".into(), near: ["a.ts#x", "b.ts#x", "c.ts#x"].map(String::from).into() })
    );
}

#[test]
fn circles_are_told_by_what_closes_them() {
    let project = project(
        "\
//- /a.ts
import { b } from './b';
//- /b.ts
import { c } from './c';
import type { A } from './a';
//- /c.ts
import './d';
import { b } from './b';
//- /d.ts
export const d = () => import('./a');
//- /e.ts
import './f';
//- /f.ts
import './g';
//- /g.ts
import './e';
//- /alone.ts
import './a';
",
    );
    let shown: Vec<String> = cycles(&project.graph)
        .iter()
        .map(|cycle| {
            let files: Vec<&str> = cycle.files.iter().map(RelPath::as_str).collect();
            let links: Vec<String> =
                cycle.shortest.iter().map(|link| format!("{}>{}:{}", link.from, link.to, link.line)).collect();
            format!("{:?} {} | {}", cycle.kind, files.join(" "), links.join(" "))
        })
        .collect();
    assert_eq!(
        shown,
        [
            "Static e.ts f.ts g.ts | e.ts>f.ts:1 f.ts>g.ts:1 g.ts>e.ts:1",
            "Static b.ts c.ts | b.ts>c.ts:1 c.ts>b.ts:2",
            "Lazy a.ts b.ts c.ts d.ts | d.ts>a.ts:1 a.ts>b.ts:1 b.ts>c.ts:1 c.ts>d.ts:1",
        ]
    );
    let types = self::project("//- /a.ts\nimport { b } from './b';\n//- /b.ts\nimport type { a } from './a';\n");
    assert_eq!(cycles(&types.graph)[0].kind, CycleKind::Types);
    assert_eq!(cycles(&self::project("//- /a.ts\nimport './a';\n").graph), []);
}

#[test]
fn references_go_through_every_kind_of_import_and_export() {
    let project = project(SHOP);
    assert_eq!(
        project.references("src/money.ts#ZERO"),
        [
            "src/money.ts:2 Declaration ZERO",
            "src/money.ts:5 Read ZERO",
            "src/shop.tsx:4 Read ZERO",
            "src/shop.tsx:4 Read ZERO",
            "src/shop.tsx:6 Read ZERO",
            "src/shop.tsx:6 Read ZERO",
        ]
    );
    assert_eq!(
        project.references("src/money.ts#add"),
        [
            "src/cart.ts:1 Import plus",
            "src/cart.ts:2 Call plus",
            "src/index.ts:2 Export add",
            "src/money.ts:4 Declaration add",
            "src/money.ts:5 Call add",
            "src/shop.tsx:6 Call add",
        ]
    );
    let purse = project.references("src/money.ts#Purse");
    for expect in ["src/money.ts:5 Declaration Purse", "src/shop.tsx:4 Extends Bag", "src/shop.tsx:5 New Wallet"] {
        assert!(purse.contains(&expect.to_owned()), "{expect} in {purse:?}");
    }
    let money = project.references("src/money.ts#Money");
    for expect in ["src/cart.ts:1 Import Money", "src/cart.ts:2 Type Cash", "src/money.ts:4 Type Money"] {
        assert!(money.contains(&expect.to_owned()), "{expect} in {money:?}");
    }
    let total = project.references("src/cart.ts#total");
    assert!(total.iter().any(|found| found.starts_with("src/late.ts:1")), "{total:?}");
    assert_eq!(project.references("src/money.ts#unseen"), ["src/money.ts:7 Declaration unseen"]);
    // A member has the references of what it is a member of.
    assert_eq!(project.references("src/money.ts#Purse.take"), purse);
}

#[test]
fn a_change_reaches_who_uses_it_and_nobody_else() {
    let project = project(SHOP);
    let of = |name: &str| project.impact(&[Change::Symbol(project.symbol(name))]);
    assert_eq!(of("src/money.ts#secret"), ["0 src/money.ts#secret", "1 src/money.ts#unseen"]);
    assert_eq!(of("src/cart.ts#idle"), ["0 src/cart.ts#idle"]);
    let total = of("src/cart.ts#total");
    for expect in
        ["0 src/cart.ts#total", "1 src/cart.test.ts", "1 src/late.ts#late", "1 src/shop.tsx#Shop", "2 src/shop.spec.ts"]
    {
        assert!(total.contains(&expect.to_owned()), "{expect} in {total:?}");
    }
    assert!(!total.iter().any(|found| found.contains("View") || found.contains("money")), "{total:?}");
    // What is private is felt where it is used.
    let round = of("src/money.ts#round");
    assert!(
        round.contains(&"1 src/money.ts#add".to_owned()) && round.contains(&"3 src/shop.tsx#Shop".to_owned())
            || round.contains(&"2 src/shop.tsx#View".to_owned()),
        "{round:?}"
    );
    let impact = impact(&project.graph, &[Change::Symbol(project.symbol("src/cart.ts#total"))], 1);
    assert!(impact.more);
    let tests: Vec<&str> = impact.tests.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(tests, ["src/cart.test.ts"]);
    assert!(impact.files.iter().all(|file| file.weight > 0.0 && file.weight < 1.0 && file.distance == 1));
    // A module that is imported for what it does.
    assert!(project.impact(&[Change::TopLevel(path("src/shop.tsx"))]).contains(&"1 src/main.ts".to_owned()));
}

#[test]
fn tests_are_ranked_and_mocks_count_less() {
    let project = project(SHOP);
    let text = |path: &RelPath| project.texts.get(path).cloned();
    let tests = tests_of(&project.graph, &Named::File(path("src/cart.ts")), &text);
    let names: Vec<&str> = tests.iter().map(|test| test.path.as_str()).collect();
    assert_eq!(names, ["src/cart.test.ts", "src/shop.spec.ts"]);
    assert!(tests[0].same_stem && tests[0].imports && !tests[0].mocks && tests[0].distance == Some(1));
    assert!(!tests[1].same_stem && !tests[1].imports && tests[1].mocks);
    let tests = tests_of(&project.graph, &Named::Symbol(project.symbol("src/cart.ts#idle")), &text);
    assert!(tests.iter().all(|test| test.distance.is_none()), "{tests:?}");
    assert_eq!(covered_by(&project.graph, &path("src/shop.spec.ts"))[0].0, path("src/shop.tsx"));
}

#[test]
fn the_shortest_way_has_its_reasons() {
    let project = project(SHOP);
    let way = |from: &str, to: &str| {
        let (from, to) = (find(&project.graph, from).unwrap(), find(&project.graph, to).unwrap());
        let steps = shortest_path(&project.graph, &from, &to)?;
        Some(
            steps
                .iter()
                .map(|step| match step {
                    Step::Imports { from, to, line, .. } => format!("{from}:{line} imports {to}"),
                    Step::Uses { from, path, to, kind, range } => {
                        let from = from.as_ref().map_or_else(|| path.to_string(), |from| project.named(from));
                        format!("{from}:{} {kind:?} {}", project.line(path, range.start), project.named(to))
                    }
                })
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(
        way("src/main.ts", "src/cart.ts").unwrap(),
        ["src/main.ts:1 imports src/shop.tsx", "src/shop.tsx:3 imports src/cart.ts"]
    );
    assert_eq!(
        way("Shop", "round").unwrap(),
        [
            "src/shop.tsx#Shop:4 Extends src/money.ts#Purse",
            "src/money.ts#Purse:5 Call src/money.ts#add",
            "src/money.ts#add:4 Call src/money.ts#round",
        ]
    );
    assert_eq!(way("round", "Shop"), None);
    assert_eq!(way("src/cart.test.ts", "src/money.ts#add").unwrap().len(), 2);
    assert_eq!(way("src/cart.ts", "src/cart.ts"), Some(Vec::new()));
}

#[test]
fn exports_that_nothing_takes_are_told_with_how_sure_that_is() {
    let mut text = SHOP.to_owned();
    text.push_str(
        "\
//- /package.json
{\"name\": \"shop\", \"private\": true, \"main\": \"./dist/late.js\", \"scripts\": {\"start\": \"node src/main.ts\"}}
//- /src/extra.ts
export const lonely = 1;
//- /src/helper.ts
export const used = 1;
export const tested = 2;
export const unusedHere = 3;
export function inside() { return helper(); }
export function helper() { return 1; }
export type T = 1;
//- /src/user.ts
import * as h from './helper';
import { inside } from './helper';
console.log(h.used, inside());
//- /src/helper.test.ts
import { tested } from './helper';
tested;
",
    );
    let project = project(&text);
    let entries = Entries::of(&project.graph, &project.texts);
    assert!(entries.contains(&path("src/late.ts")) && entries.contains(&path("src/main.ts")));
    let found = unused(&project.graph, &entries);
    let shown: Vec<String> =
        found.iter().map(|unused| format!("{} {:?}", project.named(&unused.symbol), unused.why)).collect();
    for expect in [
        "src/extra.ts#lonely FileNotImported",
        "src/helper.ts#tested OnlyTests",
        "src/helper.ts#unusedHere Nobody",
        "src/helper.ts#helper OnlyItsFile",
        "src/helper.ts#T Nobody",
        "src/cart.ts#idle Nobody",
    ] {
        assert!(shown.contains(&expect.to_owned()), "{expect} in {shown:?}");
    }
    for used in
        ["src/helper.ts#used", "src/helper.ts#inside", "src/late.ts#late", "src/money.ts#add", "src/cart.ts#total"]
    {
        assert!(!shown.iter().any(|line| line.starts_with(&format!("{used} "))), "{used} in {shown:?}");
    }
    assert!(found.iter().all(|unused| unused.confidence > 0.0 && unused.confidence < 1.0));
}

#[test]
fn a_type_and_a_value_of_one_name_are_told_apart_where_one_is_pointed_at() {
    let project = project(
        "\
//- /a.ts
export interface Both { a: 1 }
export const Both = 1;
export interface More extends Both {}
//- /b.ts
import { Both } from './a';
let x: Both = { a: Both };
",
    );
    let of = |index| {
        let symbol = SymbolRef { path: path("a.ts"), index };
        let found = references_as_declared(&project.graph, &symbol).found;
        let show = |found: &Found| format!("{}:{}", found.path, project.line(&found.path, found.range.start));
        found.iter().map(show).collect::<Vec<_>>()
    };
    let facts = project.graph.facts(&path("a.ts")).unwrap();
    let value = facts.symbols.iter().rposition(|symbol| symbol.name == "Both").unwrap();
    assert_eq!(of(0), ["a.ts:1", "a.ts:3", "b.ts:1", "b.ts:2"]);
    assert_eq!(of(value), ["a.ts:2", "b.ts:1", "b.ts:2"]);
    assert_eq!(project.references("a.ts#Both").len(), 6);
}

#[test]
fn a_name_may_be_a_type_a_value_and_a_namespace() {
    let project = project(
        "\
//- /a.ts
export interface Props { own: Props.Own }
export declare namespace Props { type Own = 1 }
export const Mode = { on: 1 };
export type Mode = (typeof Mode)[keyof typeof Mode];
export namespace Live { export const one = 1; }
export type Live = 1;
//- /b.ts
import { Live, Mode, Props } from './a';
let a: Props.Own; let b: Props;
let c: typeof Mode; let d: Mode; Mode;
Live.one; let e: Live;
",
    );
    let facts = project.graph.facts(&path("a.ts")).unwrap();
    let of = |name: &str, kind: SymbolKind| {
        let index = facts.symbols.iter().position(|symbol| symbol.name == name && symbol.kind == kind).unwrap();
        let found = references_as_declared(&project.graph, &SymbolRef { path: path("a.ts"), index }).found;
        let show = |found: &Found| format!("{}:{}", found.path, project.line(&found.path, found.range.start));
        found.iter().map(show).collect::<Vec<_>>()
    };
    assert_eq!(of("Props", SymbolKind::Interface), ["a.ts:1", "b.ts:1", "b.ts:2"]);
    assert_eq!(of("Props", SymbolKind::Namespace), ["a.ts:1", "a.ts:2", "b.ts:1", "b.ts:2"]);
    assert_eq!(of("Mode", SymbolKind::Variable), ["a.ts:3", "a.ts:4", "a.ts:4", "b.ts:1", "b.ts:3", "b.ts:3"]);
    assert_eq!(of("Mode", SymbolKind::TypeAlias), ["a.ts:4", "b.ts:1", "b.ts:3"]);
    assert_eq!(of("Live", SymbolKind::Namespace), ["a.ts:5", "b.ts:1", "b.ts:4"]);
    assert_eq!(of("Live", SymbolKind::TypeAlias), ["a.ts:6", "b.ts:1", "b.ts:4"]);
}

#[test]
fn references_go_through_namespaces_of_namespaces() {
    let project = project(
        "\
//- /core/one.ts
export const one = 1;
export type One = 1;
//- /core/index.ts
export * from './one';
export * as again from './one';
//- /index.ts
export * as core from './core';
//- /use.ts
import * as z from './index';
z.core.one; z.core.again.one;
let a: z.core.One; let b: typeof z.core.one;
z.core.nothing.one; z.nothing.one;
",
    );
    let one = ["core/one.ts:1 Declaration one", "use.ts:2 Read one", "use.ts:2 Read one", "use.ts:3 TypeOf one"];
    assert_eq!(project.references("core/one.ts#one"), one);
    assert_eq!(project.references("core/one.ts#One"), ["core/one.ts:2 Declaration One", "use.ts:3 Type One"]);
}

#[test]
fn globals_and_augmentations_are_part_of_what_they_declare() {
    let project = project(
        "\
//- /env.d.ts
declare var __DEV__: boolean;
declare module '*.vue' {}
//- /more.d.ts
interface Env { a: 1 }
//- /again.d.ts
interface Env { b: 2 }
//- /base.ts
export interface Options { a: 1 }
//- /index.ts
export type { Options } from './base';
interface Inner { c: Env }
//- /use.ts
import './index';
if (__DEV__) f();
export let e: Env;
function f(__DEV__ = 1) { return __DEV__; }
declare module './index' { interface Options { b: 2 } }
",
    );
    assert_eq!(project.references("env.d.ts#__DEV__"), ["env.d.ts:1 Declaration __DEV__", "use.ts:2 Read __DEV__"]);
    assert_eq!(
        project.references("more.d.ts#Env"),
        ["again.d.ts:1 Declaration Env", "index.ts:2 Type Env", "more.d.ts:1 Declaration Env", "use.ts:3 Type Env"]
    );
    let options = project.references("base.ts#Options");
    assert_eq!(options, ["base.ts:1 Declaration Options", "index.ts:1 Export Options", "use.ts:5 Declaration Options"]);
}

#[test]
fn what_a_module_declares_globally_is_one_with_the_global() {
    let project = project(
        "\
//- /env.d.ts
interface Env { a: 1 }
//- /module.ts
export interface Settings { own: 1 }
declare global {
  interface Env { b: Settings }
  interface Settings { theirs: 1 }
  var __SEEN__: Env;
}
export const seen = __SEEN__;
export let own: Settings;
//- /use.ts
import { Settings as Own } from './module';
export let a: Own; export let b: Settings;
export const c: Env = __SEEN__;
//- /local.ts
interface Settings {}
export let b: Settings;
",
    );
    let seen = ["module.ts:5 Declaration __SEEN__", "module.ts:7 Read __SEEN__", "use.ts:3 Read __SEEN__"];
    assert_eq!(project.references("module.ts#__SEEN__"), seen);
    let env =
        ["env.d.ts:1 Declaration Env", "module.ts:3 Declaration Env", "module.ts:5 Type Env", "use.ts:3 Type Env"];
    assert_eq!(project.references("env.d.ts#Env"), env);
    assert_eq!(project.references("module.ts#Env"), env);
    let own = [
        "module.ts:1 Declaration Settings",
        "module.ts:8 Type Settings",
        "use.ts:1 Import Settings",
        "use.ts:2 Type Own",
    ];
    assert_eq!(project.references("module.ts#Settings"), own);
    let facts = project.graph.facts(&path("module.ts")).unwrap();
    let index = facts.symbols.iter().rposition(|symbol| symbol.name == "Settings").unwrap();
    let found = references_as_declared(&project.graph, &SymbolRef { path: path("module.ts"), index }).found;
    let lines: Vec<_> =
        found.iter().map(|found| format!("{}:{}", found.path, project.line(&found.path, found.range.start))).collect();
    assert_eq!(lines, ["module.ts:3", "module.ts:4", "use.ts:2"]);
}

#[test]
fn circles_of_names_come_to_an_end() {
    let project = project(
        "\
//- /a.ts
import b = require('./b');
export = b;
//- /b.ts
import a = require('./a');
export = a;
//- /c.ts
export * from './d';
export { x } from './d';
//- /d.ts
export * from './c';
export { x } from './c';
//- /e.ts
import { x } from './c';
import a = require('./a');
import * as self from './e';
export { self };
x(a, self.self.self);
",
    );
    let lookup = Lookup::new(&project.graph);
    assert_eq!(*lookup.export(&path("a.ts"), "="), []);
    assert_eq!(*lookup.export(&path("c.ts"), "x"), []);
    assert_eq!(*lookup.export(&path("e.ts"), "self"), [Entity::Module(path("e.ts"))]);
    assert!(lookup.uses(&path("e.ts")).len() < 8);
    assert!(unused(&project.graph, &Entries::default()).is_empty());
}
