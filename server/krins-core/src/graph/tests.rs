//! The graph over several files.

use super::*;
use proptest::prelude::*;

fn path(name: &str) -> RelPath {
    RelPath::new(name).unwrap()
}

fn indexed(name: &str, text: &str) -> Arc<Indexed> {
    Arc::new(Indexed::of(&path(name), text))
}

fn graph(files: &[(&str, &str)]) -> Graph {
    let facts = files.iter().map(|(name, text)| (path(name), indexed(name, text))).collect();
    let texts = files.iter().map(|(name, text)| (path(name), Arc::from(*text))).collect();
    Graph::build(facts, Arc::new(ResolveConfig::from_files(&texts)))
}

/// `file#name` of every declaration.
fn defined(graph: &Graph, file: &str, name: &str) -> Vec<String> {
    let found = graph.definition(&path(file), name);
    found.iter().map(|(file, at)| format!("{file}#{}", graph.files()[file].facts().symbols[*at].name)).collect()
}

const SHOP: &[(&str, &str)] = &[
    (
        "src/index.ts",
        "export * from './a';\nexport * from './cycle';\nexport { b as renamed, default as D } from './b';\nexport type * from './types';\nexport * as ns from './a';\n",
    ),
    (
        "src/a.ts",
        "export function a() {}\nexport function twice(): void;\nexport function twice(x?: 1) {}\nexport default class A {}\n",
    ),
    (
        "src/b.ts",
        "import { a as inner } from './a.js';\nconst b = inner;\nexport { b, inner as passed };\nexport default function () {}\n",
    ),
    ("src/cycle.ts", "export * from './index';\nexport * from './cycle';\nexport const c = 1;\n"),
    ("src/types.ts", "export type T = 1;\nexport interface Both {}\nexport const Both = 1;\n"),
    ("src/use.tsx", "import { renamed, T } from '.';\nconst x = import('./b');\n"),
];

#[test]
fn edges_lead_both_ways() {
    let graph = graph(SHOP);
    assert_eq!(graph.imports(&path("src/use.tsx")), [path("src/b.ts"), path("src/index.ts")]);
    assert_eq!(graph.importers(&path("src/a.ts")), [path("src/b.ts"), path("src/index.ts")]);
    assert_eq!(graph.importers(&path("src/use.tsx")), []);
    assert_eq!(graph.imports(&path("nowhere.ts")), []);
    assert_eq!(graph.resolve(&path("src/use.tsx"), "./b"), Some(path("src/b.ts")));
    let stats = graph.stats();
    assert_eq!((stats.files, stats.edges, stats.unresolved, stats.broken), (6, 8, 0, 0));
}

#[test]
fn definitions_are_found_through_every_kind_of_reexport() {
    let graph = graph(SHOP);
    for (file, name, expect) in [
        ("src/a.ts", "a", &["src/a.ts#a"][..]),
        ("src/index.ts", "a", &["src/a.ts#a"]),
        ("src/index.ts", "renamed", &["src/b.ts#b"]),
        ("src/index.ts", "D", &["src/b.ts#default"]),
        ("src/index.ts", "c", &["src/cycle.ts#c"]),
        ("src/cycle.ts", "a", &["src/a.ts#a"]),
        ("src/index.ts", "T", &["src/types.ts#T"]),
        ("src/index.ts", "Both", &["src/types.ts#Both", "src/types.ts#Both"]),
        ("src/index.ts", "twice", &["src/a.ts#twice", "src/a.ts#twice"]),
        ("src/b.ts", "passed", &["src/a.ts#a"]),
        ("src/a.ts", "default", &["src/a.ts#A"]),
        // `export *` does not pass a default on.
        ("src/index.ts", "default", &[]),
        ("src/index.ts", "nothing", &[]),
        ("nowhere.ts", "a", &[]),
    ] {
        assert_eq!(defined(&graph, file, name), expect, "{name} of {file}");
    }
    assert_eq!(graph.exported("b"), [(path("src/b.ts"), 0)]);
    assert_eq!(graph.exported("renamed"), []);
}

#[test]
fn impact_is_transitive_with_distances() {
    let graph = graph(SHOP);
    let impact: Vec<(String, u32)> =
        graph.impact(&path("src/a.ts")).into_iter().map(|(path, distance)| (path.to_string(), distance)).collect();
    let expect = [("src/b.ts", 1), ("src/index.ts", 1), ("src/cycle.ts", 2), ("src/use.tsx", 2)];
    assert_eq!(impact, expect.map(|(path, distance)| (path.to_owned(), distance)));
}

#[test]
fn a_file_survives_its_encoding() {
    for (name, text) in SHOP {
        let analysis = analyse(&path(name), text);
        let file = Indexed::of(&path(name), text);
        let again = Indexed::from_bytes(*file.digest(), &file.to_bytes()).unwrap();
        let live = Indexed::live(Arc::from(*text), analysis.facts.clone());
        for file in [&file, &again, &live] {
            assert_eq!(*file.facts(), analysis.facts);
            assert_eq!(*file.lexicon(), analysis.lexicon);
            assert_eq!(file.summary(), again.summary());
            assert!(file.uses("a") || !text.contains("a "), "{name}");
            assert!(!file.uses("nowhereToBeFound"));
        }
        let outline = FileFacts { references: Vec::new(), globals: Vec::new(), ..analysis.facts.clone() };
        assert_eq!(*again.outline(), outline);
        let all = again.facts();
        assert!(Arc::ptr_eq(&again.outline(), &all));
        for cut in 0..file.to_bytes().len() {
            if let Some(cut) = Indexed::from_bytes(*file.digest(), &file.to_bytes()[..cut]) {
                let _ = (cut.facts(), cut.uses("a"));
            }
        }
    }
}

const CONFIG: &[(&str, &str)] = &[
    ("tsconfig.json", r#"{"compilerOptions": {"paths": {"@/*": ["./src/*"]}}}"#),
    ("lib/package.json", r#"{"name": "lib", "exports": {".": "./dist/main.js", "./x": "./dist/x.js"}}"#),
];
const NAMES: &[&str] = &[
    "src/a.ts",
    "src/a.tsx",
    "src/a/index.ts",
    "src/index.ts",
    "src/b.test.ts",
    "src/b.d.ts",
    "lib/src/main.ts",
    "lib/src/x.ts",
    "a.ts",
    "src/c.js",
];
const SPECIFIERS: &[&str] = &[
    "./a", "./a.js", ".", "..", "./b", "./b.test", "@/a", "@/b", "lib", "lib/x", "../a", "./src/a", "./a/", "./c.js",
    "lib/main", "/src/a",
];

proptest! {
    #[test]
    fn one_file_at_a_time_is_the_same_as_all_at_once(
        steps in prop::collection::vec((0..NAMES.len(), prop::option::of(prop::collection::vec(0..SPECIFIERS.len(), 0..4))), 1..24)
    ) {
        let texts = CONFIG.iter().map(|(name, text)| (path(name), Arc::from(*text))).collect();
        let config = Arc::new(ResolveConfig::from_files(&texts));
        let mut graph = Graph::build(BTreeMap::new(), config.clone());
        let mut files = BTreeMap::new();
        for (name, specifiers) in steps {
            let name = path(NAMES[name]);
            let facts = specifiers.map(|specifiers| {
                let text: String = specifiers.iter().map(|at| format!("import '{}';\n", SPECIFIERS[*at])).collect();
                Arc::new(Indexed::of(&name, &text))
            });
            match &facts {
                Some(facts) => files.insert(name.clone(), facts.clone()),
                None => files.remove(&name),
            };
            graph = graph.with_file(&name, facts);
            let whole = Graph::build(files.clone(), config.clone());
            prop_assert_eq!(&graph.edges, &whole.edges);
            prop_assert_eq!(&graph.importers, &whole.importers);
        }
    }
}

#[test]
fn a_module_that_is_only_declared_leads_to_its_declaration() {
    let declaration = "declare module 'virtual:store' { export const x: 1; }\ndeclare module './b' {}\n";
    let files = [
        ("env.d.ts", declaration),
        ("more.d.ts", "import './a';\ndeclare module 'virtual:other' {}\n"),
        ("a.ts", "import 'virtual:store';\nimport 'virtual:other';\nimport './b';\n"),
        ("b.ts", ""),
    ];
    let graph = graph(&files);
    assert_eq!(graph.imports(&path("a.ts")), [path("b.ts"), path("env.d.ts")]);
    // What a script declares is no import; what a module declares adds to another module, if there is one.
    assert_eq!(graph.imports(&path("env.d.ts")), []);
    assert_eq!(graph.imports(&path("more.d.ts")), [path("a.ts")]);
    assert_eq!(graph.resolve(&path("b.ts"), "virtual:store"), Some(path("env.d.ts")));
    let without = graph.with_file(&path("env.d.ts"), Some(indexed("env.d.ts", "declare const x: 1;")));
    assert_eq!(without.imports(&path("a.ts")), [path("b.ts")]);
    assert_eq!(without.importers(&path("env.d.ts")), []);
    let again = without.with_file(&path("env.d.ts"), Some(indexed("env.d.ts", declaration)));
    assert_eq!(again.importers(&path("env.d.ts")), [path("a.ts")]);
    assert_eq!(again.with_file(&path("env.d.ts"), None).imports(&path("a.ts")), [path("b.ts")]);
}
