//! Tests and code: which tests say something about a file or a symbol, and what a test is about.

use super::{AffectedFile, Change, Impact, Lookup, Named, impact};
use crate::graph::Graph;
use crate::path::RelPath;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A test of something.
#[derive(Clone, Debug, PartialEq)]
pub struct Testing {
    pub path: RelPath,
    /// Its name is the file's: `a.test.ts` of `a.ts`.
    pub same_stem: bool,
    /// It imports the file itself.
    pub imports: bool,
    /// Steps along uses of symbols; `None` when only modules lead there.
    pub distance: Option<u32>,
    /// Uses in the test of what is nearer.
    pub uses: u32,
    /// It puts something else in the file's place.
    pub mocks: bool,
    /// How much it says, 0 to 1; what the order goes by.
    pub weight: f64,
}

/// How far along uses a test is looked for.
const DEPTH: u32 = 4;

/// Whether the path is a test's, by the usual names.
pub fn is_test(path: &RelPath) -> bool {
    let in_name =
        path.file_name().split(['.', '-', '_']).any(|part| matches!(part, "test" | "tests" | "spec" | "e2e" | "cy"));
    let in_directory = |part: &str| {
        matches!(part, "test" | "tests" | "__tests__" | "__mocks__" | "e2e" | "spec" | "specs" | "cypress")
            || part.ends_with("-test")
            || part.ends_with("-tests")
    };
    in_name || path.dir().split('/').any(in_directory)
}

/// The tests of a file or a symbol, the one that says most first. `text` gives texts, which tell what is mocked.
pub fn tests_of(graph: &Graph, of: &Named, text: &dyn Fn(&RelPath) -> Option<Arc<str>>) -> Vec<Testing> {
    let path = of.path();
    let change = match of {
        Named::File(path) => Change::File(path.clone()),
        Named::Symbol(symbol) => Change::Symbol(symbol.clone()),
    };
    let Impact { tests, .. } = impact(graph, &[change], DEPTH);
    let mut found: BTreeMap<RelPath, Option<AffectedFile>> =
        tests.into_iter().map(|test| (test.path.clone(), Some(test))).collect();
    if matches!(of, Named::File(_)) {
        for test in graph.importers(path).iter().filter(|importer| is_test(importer)) {
            found.entry(test.clone()).or_insert(None);
        }
    }
    let reached = graph.impact(path);
    for (test, _) in reached.iter().filter(|(test, _)| is_test(test) && stem(test) == stem(path)) {
        found.entry(test.clone()).or_insert(None);
    }
    found.remove(path);
    let mut tests: Vec<Testing> =
        found.into_iter().map(|(test, affected)| judge(graph, path, test, affected, text)).collect();
    tests.sort_by(|a, b| b.weight.total_cmp(&a.weight).then_with(|| a.path.cmp(&b.path)));
    tests
}

fn judge(
    graph: &Graph,
    path: &RelPath,
    test: RelPath,
    affected: Option<AffectedFile>,
    text: &dyn Fn(&RelPath) -> Option<Arc<str>>,
) -> Testing {
    let same_stem = stem(&test) == stem(path);
    let imports = graph.imports(&test).contains(path);
    let mocks = mocked(graph, &test, text).contains(path);
    let felt = affected.as_ref().map_or(0.0, |affected| affected.weight);
    let said = felt / 2.0 + if same_stem { 0.35 } else { 0.0 } + if imports { 0.15 } else { 0.0 };
    Testing {
        same_stem,
        imports,
        distance: affected.as_ref().map(|affected| affected.distance),
        uses: affected.map_or(0, |affected| affected.uses),
        mocks,
        weight: if mocks { said / 4.0 } else { said },
        path: test,
    }
}

/// The files that a test imports and that are no tests, those it is named after first, then by how often it uses them.
pub fn covered_by(graph: &Graph, test: &RelPath) -> Vec<(RelPath, u32)> {
    let lookup = Lookup::new(graph);
    let mut uses: BTreeMap<RelPath, u32> =
        graph.imports(test).iter().filter(|path| !is_test(path)).map(|path| (path.clone(), 0)).collect();
    for used in lookup.uses(test).iter() {
        let path = match &used.target {
            super::Entity::Symbol(symbol) => &symbol.path,
            super::Entity::Module(path) => path,
        };
        if path != test && !is_test(path) {
            *uses.entry(path.clone()).or_default() += 1;
        }
    }
    let mut covered: Vec<(RelPath, u32)> = uses.into_iter().collect();
    covered.sort_by(|a, b| {
        let named = |path: &RelPath| stem(path) == stem(test);
        named(&b.0).cmp(&named(&a.0)).then(b.1.cmp(&a.1)).then_with(|| a.0.cmp(&b.0))
    });
    covered
}

/// `button` of `button.tsx`, `button.test.tsx` and `__tests__/button.spec.ts`; of an index file, its directory's.
fn stem(path: &RelPath) -> &str {
    let stem = path.file_name().split('.').next().unwrap_or_default();
    if stem != "index" {
        return stem;
    }
    path.dir().rsplit('/').find(|dir| !matches!(*dir, "src" | "__tests__" | "tests" | "test")).unwrap_or(stem)
}

const MOCKS: [&str; 5] = ["mock", "doMock", "unstable_mockModule", "setMock", "mockModule"];

/// The files that a test puts something else in the place of.
fn mocked(graph: &Graph, test: &RelPath, text: &dyn Fn(&RelPath) -> Option<Arc<str>>) -> Vec<RelPath> {
    let may = graph.files().get(test).is_some_and(|file| MOCKS.iter().any(|name| file.uses(name)));
    let Some(text) = may.then(|| text(test)).flatten() else { return Vec::new() };
    let mut found = Vec::new();
    for name in MOCKS {
        for (at, _) in text.match_indices(&format!(".{name}(")) {
            found.extend(first_string(&text[at + name.len() + 2..]).and_then(|named| graph.resolve(test, named)));
        }
    }
    found
}

/// The string that an argument list begins with, also inside of `import("…")`.
fn first_string(arguments: &str) -> Option<&str> {
    let arguments = arguments.trim_start();
    let arguments = arguments.strip_prefix("import(").map_or(arguments, str::trim_start);
    let quote = arguments.chars().next().filter(|first| matches!(first, '"' | '\'' | '`'))?;
    arguments[1..].split(quote).next().filter(|name| name.len() < 1024)
}
