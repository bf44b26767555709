//! Which tests a change can make fail: by symbol where that is certain, by module where code runs on import, all where
//! something decides that cannot be seen here.
//!
//! What is left out must be safe to leave out. A declaration reaches the declarations that use it. Code outside of
//! declarations runs when its module is imported, so what changes there reaches every module that imports it, however
//! far. Names that cannot be followed (computed imports, files that are read, programs that are started) make the test
//! that is behind them one that is always run.

use super::impact::{Node, around, run_for_effect};
use super::{Entity, Lookup, SymbolRef, is_test};
use crate::graph::{FileFacts, Graph, Import, ImportKind, ReferenceKind, Target};
use crate::path::RelPath;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

/// One file of a change, as it was and as it will be.
#[derive(Clone, Debug)]
pub struct Edited {
    pub path: RelPath,
    /// `None` when it is new, or no text.
    pub before: Option<Arc<str>>,
    /// `None` when it is deleted, or no text.
    pub after: Option<Arc<str>>,
}

/// Why a test is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The change touches it.
    Changed,
    /// Its name is that of a changed file.
    SameName(RelPath),
    /// It uses what changed, over so many steps; the last one is this file.
    Uses { distance: u32, from: RelPath },
    /// It imports a module whose code runs then and uses what changed.
    Imports(RelPath),
    /// It reads files, starts programs or computes what it imports.
    Unclear(RelPath),
    /// Everything is run.
    Everything,
}

impl Reason {
    /// For a person.
    pub fn describe(&self) -> String {
        match self {
            Self::Changed => "the change touches it".to_owned(),
            Self::SameName(path) => format!("named after {path}"),
            Self::Uses { distance: 1, from } => format!("uses {from}"),
            Self::Uses { distance, from } => format!("uses {from}, {distance} steps away"),
            Self::Imports(path) => format!("imports {path}, whose code runs on import"),
            Self::Unclear(path) => format!("{path} reads files, starts programs or computes an import"),
            Self::Everything => "all tests are run".to_owned(),
        }
    }
}

/// The tests to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AffectedTests {
    /// Those that say most come first.
    pub tests: Vec<(RelPath, Reason)>,
    /// Why all are run.
    pub everything: Option<String>,
    /// How many there are.
    pub of: usize,
}

/// What is known around a change.
pub struct Around<'a> {
    /// The graph without the change, and with it.
    pub before: &'a Graph,
    pub after: &'a Graph,
    /// All tests that could be run.
    pub tests: &'a BTreeSet<RelPath>,
    /// Modules that compute what they import, read files or start programs.
    pub unclear: &'a BTreeSet<RelPath>,
    /// The texts of the files that configure tests, which name files that run before every test.
    pub configuration: &'a [Arc<str>],
}

/// Files that decide how everything is run.
const CONFIGURATION: &[&str] = &[
    "package.json",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "pnpm-workspace.yaml",
    "bun.lock",
    "deno.json",
    "Cargo.toml",
    "Cargo.lock",
];
/// Files that no test reads.
const PROSE: &[&str] = &["md", "markdown", "txt", "rst", "adoc"];

/// The tests that can fail because of the change.
pub fn affected_tests(around: &Around<'_>, edits: &[Edited]) -> AffectedTests {
    let of = around.tests.len();
    if let Some(why) = edits.iter().find_map(|edit| concerns_everything(around, edit)) {
        let tests = around.tests.iter().map(|test| (test.clone(), Reason::Everything)).collect();
        return AffectedTests { tests, everything: Some(why), of };
    }
    let mut found: BTreeMap<RelPath, Reason> = BTreeMap::new();
    let mut note = |test: &RelPath, reason: Reason| {
        if around.tests.contains(test) {
            let known = found.entry(test.clone()).or_insert_with(|| reason.clone());
            if rank(&reason) < rank(known) {
                *known = reason;
            }
        }
    };
    for edit in edits {
        note(&edit.path, Reason::Changed);
        for test in around.tests.iter().filter(|test| is_named_after(test, &edit.path)) {
            note(test, Reason::SameName(edit.path.clone()));
        }
        // A snapshot is its test's.
        if let Some(test) = snapshot_of(&edit.path) {
            note(&test, Reason::Changed);
        }
    }
    let sides = [(around.before, around.after, Side::Before), (around.after, around.before, Side::After)];
    for (graph, opposite, side) in sides {
        let lookup = Lookup::new(graph);
        let mut reach = Reach::new(&lookup);
        for edit in edits {
            reach.begin(edit, side, opposite.facts(&edit.path).as_deref());
        }
        reach.spread();
        for (test, reason) in reach.files {
            note(&test, reason);
        }
        for path in around.unclear {
            // What cannot be followed may lead to anything, the changed file too.
            note(path, Reason::Unclear(path.clone()));
            for (test, _) in graph.impact(path) {
                note(&test, Reason::Unclear(path.clone()));
            }
        }
    }
    let mut tests: Vec<(RelPath, Reason)> = found.into_iter().collect();
    tests.sort_by(|a, b| rank(&a.1).cmp(&rank(&b.1)).then_with(|| a.0.cmp(&b.0)));
    AffectedTests { tests, everything: None, of }
}

fn rank(reason: &Reason) -> (u32, u32) {
    match reason {
        Reason::Changed => (0, 0),
        Reason::SameName(_) => (1, 0),
        Reason::Uses { distance, .. } => (2, *distance),
        Reason::Imports(_) => (3, 0),
        Reason::Unclear(_) => (4, 0),
        Reason::Everything => (5, 0),
    }
}

fn concerns_everything(around: &Around<'_>, edit: &Edited) -> Option<String> {
    let path = &edit.path;
    let name = path.file_name();
    let config = name.contains(".config.") || name.starts_with("tsconfig") || name.starts_with('.');
    if CONFIGURATION.contains(&name) || config {
        return Some(format!("{path} decides how tests are run"));
    }
    let graphs = [(around.before, &edit.before), (around.after, &edit.after)];
    let known = graphs.iter().any(|(graph, _)| graph.contains(path));
    if !known {
        let harmless = PROSE.contains(&path.extension()) || snapshot_of(path).is_some() || name == "LICENSE";
        return (!harmless).then(|| format!("{path} is no code that can be followed"));
    }
    for (graph, text) in graphs {
        let Some(facts) = graph.facts(path).filter(|_| text.is_some()) else { continue };
        if facts.broken {
            return Some(format!("{path} cannot be parsed"));
        }
        if !is_test(path) && (!facts.is_module() && !requires(&facts) || !facts.augments_global.is_empty()) {
            return Some(format!("what {path} declares is there everywhere"));
        }
    }
    let stem = name.split('.').next().unwrap_or(name);
    let named = |text: &Arc<str>| text.contains(&format!("/{stem}")) && stem.len() > 3 && !around.tests.contains(path);
    let setup = ["setup", "Setup", "jest-", "vitest-"].iter().any(|word| name.contains(word));
    (setup || around.configuration.iter().any(named)).then(|| format!("{path} is named where tests are configured"))
}

/// Whether it is a module of CommonJS.
fn requires(facts: &FileFacts) -> bool {
    facts.globals.iter().any(|name| hands_out(name)) || !facts.imports.is_empty()
}

/// The names by which a module of CommonJS says what others get of it.
fn hands_out(global: &str) -> bool {
    matches!(global, "module" | "exports")
}

/// Whether what others get is said inside of a declaration (`const self = module.exports = { … }`): who gets it does not name
/// the declaration, so a change of that is one of the module.
fn exports_inside(facts: &FileFacts) -> bool {
    facts.references.iter().any(|reference| {
        let Target::Global(global) = reference.target else { return false };
        reference.within.is_some() && facts.globals.get(global as usize).is_some_and(|name| hands_out(name))
    })
}

/// `a/__snapshots__/b.test.ts.snap` of `a/b.test.ts`.
fn snapshot_of(path: &RelPath) -> Option<RelPath> {
    let name = path.file_name().strip_suffix(".snap")?;
    let dir = path.dir().strip_suffix("__snapshots__")?;
    RelPath::new(&format!("{dir}{name}")).ok()
}

/// `b.test.ts` and `__tests__/b.ts` of `b.ts`, in the same directory or one beside.
fn is_named_after(test: &RelPath, path: &RelPath) -> bool {
    let stem = |path: &RelPath| path.file_name().split('.').next().unwrap_or_default().to_owned();
    let near = |dir: &str| {
        dir.trim_end_matches("__tests__")
            .trim_end_matches("tests")
            .trim_end_matches("test")
            .trim_end_matches('/')
            .to_owned()
    };
    !is_test(path) && stem(test) == stem(path) && near(test.dir()) == path.dir()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

/// By what is used: where it is used.
type ByTarget = Rc<BTreeMap<Entity, BTreeSet<Option<usize>>>>;

struct Reach<'l, 'g> {
    lookup: &'l Lookup<'g>,
    seen: BTreeMap<Node, u32>,
    queue: VecDeque<(Node, u32)>,
    uses: BTreeMap<RelPath, ByTarget>,
    files: BTreeMap<RelPath, Reason>,
    /// Modules whose importers are reached.
    modules: BTreeSet<RelPath>,
}

impl<'l, 'g> Reach<'l, 'g> {
    fn new(lookup: &'l Lookup<'g>) -> Self {
        Self {
            lookup,
            seen: BTreeMap::new(),
            queue: VecDeque::new(),
            uses: BTreeMap::new(),
            files: BTreeMap::new(),
            modules: BTreeSet::new(),
        }
    }

    /// What the edit changes on that side; `opposite` are the facts of the other one.
    fn begin(&mut self, edit: &Edited, side: Side, opposite: Option<&FileFacts>) {
        let path = &edit.path;
        let (mine, other) = match side {
            Side::Before => (&edit.before, &edit.after),
            Side::After => (&edit.after, &edit.before),
        };
        let (Some(facts), Some(mine)) = (self.lookup.facts(path), mine) else { return };
        let Some(other) = other else {
            // All of it is new, or gone: who imports it sees another module.
            self.whole(path, &facts);
            return;
        };
        let bound = opposite.and_then(|opposite| Bound::of(&facts, opposite, mine));
        for [first, last] in changed_lines(mine, other) {
            let touched: Vec<usize> = (0..facts.symbols.len())
                .filter(|at| facts.symbols[*at].parent.is_none())
                .filter(|at| facts.symbols[*at].lines[0] <= last && first <= facts.symbols[*at].lines[1])
                .collect();
            for index in &touched {
                let head = self.lookup.head(&SymbolRef { path: path.clone(), index: *index });
                self.push(Node::Symbol(head), 0);
            }
            if !touched.is_empty() && exports_inside(&facts) {
                self.push(Node::Top(path.clone()), 0);
            }
            let covered = |line: u32| {
                touched.iter().any(|at| (facts.symbols[*at].lines[0]..=facts.symbols[*at].lines[1]).contains(&line))
            };
            let lines = mine.lines().enumerate().skip(first as usize - 1).take((last - first + 1) as usize);
            let mut other_code = lines
                .filter(|(at, line)| !covered(*at as u32 + 1) && !is_prose(line))
                .map(|(at, _)| at as u32 + 1)
                .peekable();
            match &bound {
                _ if other_code.peek().is_none() => {}
                // The same modules are loaded: only what the names stand for is another thing now.
                Some(bound) if other_code.all(|line| bound.lines.contains(&line)) => {
                    for within in &bound.users {
                        self.push(around(self.lookup, path, *within), 0);
                    }
                }
                // An import, or code that runs: any declaration of the file may mean something else now.
                _ => self.whole(path, &facts),
            }
        }
    }

    fn whole(&mut self, path: &RelPath, facts: &FileFacts) {
        for index in 0..facts.symbols.len() {
            let head = self.lookup.head(&SymbolRef { path: path.clone(), index });
            self.push(Node::Symbol(head), 0);
        }
        self.push(Node::Top(path.clone()), 0);
    }

    fn push(&mut self, node: Node, distance: u32) {
        if !self.seen.contains_key(&node) {
            self.seen.insert(node.clone(), distance);
            self.queue.push_back((node, distance));
        }
    }

    fn spread(&mut self) {
        while let Some((node, distance)) = self.queue.pop_front() {
            match node {
                Node::Symbol(symbol) => self.users(&symbol, distance),
                Node::Top(path) => self.runs(&path, distance),
            }
        }
    }

    fn users(&mut self, symbol: &SymbolRef, distance: u32) {
        let target = Entity::Symbol(symbol.clone());
        let exposures = self.lookup.exposures(symbol);
        let modules: BTreeSet<Entity> =
            exposures.names.iter().map(|(module, _)| Entity::Module(module.clone())).collect();
        for path in &exposures.files {
            let uses = self.uses(path);
            let mut withins: BTreeSet<Option<usize>> = uses.get(&target).cloned().unwrap_or_default();
            for module in &modules {
                withins.extend(uses.get(module).into_iter().flatten());
            }
            if withins.is_empty() {
                continue;
            }
            if *path != symbol.path {
                self.reach(path, Reason::Uses { distance: distance + 1, from: symbol.path.clone() });
            }
            for within in withins {
                self.push(around(self.lookup, path, within), distance + 1);
            }
        }
    }

    fn uses(&mut self, path: &RelPath) -> ByTarget {
        if let Some(known) = self.uses.get(path) {
            return known.clone();
        }
        let mut by: BTreeMap<Entity, BTreeSet<Option<usize>>> = BTreeMap::new();
        for used in self.lookup.uses(path).iter() {
            if !matches!(used.kind, ReferenceKind::Import | ReferenceKind::Export) {
                by.entry(used.target.clone()).or_default().insert(used.within);
            }
        }
        let by = Rc::new(by);
        self.uses.insert(path.clone(), by.clone());
        by
    }

    /// Code of the module runs on import: all that import it, however far, may see what it does.
    fn runs(&mut self, path: &RelPath, distance: u32) {
        self.reach(path, Reason::Uses { distance, from: path.clone() });
        for importer in run_for_effect(self.lookup, path) {
            self.push(Node::Top(importer), distance + 1);
        }
        if is_test(path) && self.lookup.graph().importers(path).is_empty() || !self.modules.insert(path.clone()) {
            return;
        }
        for (importer, _) in self.lookup.graph().impact(path) {
            self.reach(&importer, Reason::Imports(path.clone()));
        }
    }

    fn reach(&mut self, path: &RelPath, reason: Reason) {
        let known = self.files.entry(path.clone()).or_insert_with(|| reason.clone());
        if rank(&reason) < rank(known) {
            *known = reason;
        }
    }
}

/// What import statements bind otherwise than on the other side, while they load the same modules in the same order.
struct Bound {
    /// Lines that hold import statements and nothing else, from 1.
    lines: BTreeSet<u32>,
    /// The declarations that use the names; `None` is the file's other code.
    users: BTreeSet<Option<usize>>,
}

impl Bound {
    /// `None` where other modules are loaded, or a name is handed on.
    fn of(mine: &FileFacts, other: &FileFacts, text: &str) -> Option<Self> {
        if loaded(mine) != loaded(other) {
            return None;
        }
        let known = bindings(other);
        let fresh = |import: u32, name: u32| {
            let binding = mine.imports.get(import as usize).and_then(|import| {
                let (imported, local) = import.names.get(name as usize)?;
                Some((import.specifier.as_str(), imported.as_str(), local.as_str(), import.type_only))
            });
            binding.is_none_or(|binding| !known.contains(&binding))
        };
        let mut users = BTreeSet::new();
        for reference in &mine.references {
            let Target::Import { import, name } = reference.target else { continue };
            match reference.kind {
                ReferenceKind::Import => {}
                _ if !fresh(import, name) => {}
                ReferenceKind::Export => return None,
                _ => _ = users.insert(reference.within.map(|within| within as usize)),
            }
        }
        Some(Self { lines: import_lines(mine, text), users })
    }
}

/// The modules that import statements load, in order. One of which only types are taken is not loaded.
fn loaded(facts: &FileFacts) -> Vec<(&str, ImportKind)> {
    let is_value = |kind: ReferenceKind| {
        !matches!(
            kind,
            ReferenceKind::Import | ReferenceKind::Type | ReferenceKind::Implements | ReferenceKind::Namespace
        )
    };
    let used: BTreeSet<u32> = facts
        .references
        .iter()
        .filter(|reference| is_value(reference.kind))
        .filter_map(|reference| match reference.target {
            Target::Import { import, .. } => Some(import),
            Target::Symbol(_) | Target::Global(_) => None,
        })
        .collect();
    let loads = |(at, import): &(usize, &Import)| {
        !import.type_only
            && match import.kind {
                ImportKind::Static => import.names.is_empty() || used.contains(&(*at as u32)),
                ImportKind::Type | ImportKind::Augment => false,
                ImportKind::Reexport | ImportKind::Dynamic | ImportKind::Require | ImportKind::Equals => true,
            }
    };
    let imports = facts.imports.iter().enumerate().filter(loads);
    imports.map(|(_, import)| (import.specifier.as_str(), import.kind)).collect()
}

/// What names stand for: module, name there, name here, and whether it is a type alone.
fn bindings(facts: &FileFacts) -> BTreeSet<(&str, &str, &str, bool)> {
    let mut found = BTreeSet::new();
    for import in &facts.imports {
        let names = import.names.iter();
        found.extend(names.map(|(there, here)| (&*import.specifier, &**there, &**here, import.type_only)));
    }
    found
}

/// The lines that import statements take up, where nothing else stands on them.
fn import_lines(facts: &FileFacts, text: &str) -> BTreeSet<u32> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = BTreeSet::new();
    for import in facts.imports.iter().filter(|import| import.kind == ImportKind::Static) {
        let Some(last) = (import.line as usize).checked_sub(1).filter(|last| *last < lines.len()) else { continue };
        let (Some(head), Some(tail)) = (text.get(..import.range.start), text.get(import.range.end..)) else { continue };
        let before = head.rsplit('\n').next().unwrap_or_default();
        let behind = tail.lines().next().unwrap_or_default();
        let ends = behind.trim_start_matches(['\'', '"']).trim_end().trim_start_matches(';').is_empty();
        let begins = |line: &str| line.trim_start().starts_with("import") && !line.contains(';');
        let is_list = |line: &str| line.chars().all(|c| c.is_alphanumeric() || "_$,{}* \t'\"/.-".contains(c));
        let first = match begins(before) {
            true => Some(last),
            false if !is_list(before) => None,
            false => (0..last).rev().take_while(|at| is_list(lines[*at])).find(|at| begins(lines[*at])),
        };
        if let Some(first) = first.filter(|_| ends) {
            found.extend((first..=last).map(|at| at as u32 + 1));
        }
    }
    found
}

/// A line that says nothing to a machine.
fn is_prose(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with("//") || line.starts_with("/*") || line.starts_with('*')
}

/// 1-based inclusive ranges of the lines of `mine` that `other` does not have.
fn changed_lines(mine: &str, other: &str) -> Vec<[u32; 2]> {
    let (mine, other): (Vec<&str>, Vec<&str>) = (mine.lines().collect(), other.lines().collect());
    let same = mine.iter().zip(&other).take_while(|(a, b)| a == b).count();
    let rest = mine[same..].iter().rev().zip(other[same..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (mine_mid, other_mid) = (&mine[same..mine.len() - rest], &other[same..other.len() - rest]);
    let ops = similar::capture_diff_slices(similar::Algorithm::Myers, mine_mid, other_mid);
    ops.iter()
        .filter(|op| op.tag() != similar::DiffTag::Equal && !op.old_range().is_empty())
        .map(|op| [(same + op.old_range().start + 1) as u32, (same + op.old_range().end) as u32])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Indexed, ResolveConfig};
    use std::collections::BTreeMap;

    fn rel(path: &str) -> RelPath {
        RelPath::new(path).unwrap()
    }

    const SHOP: &[(&str, &str)] = &[
        (
            "src/money.ts",
            "export function round(n: number) {\n  return n;\n}\nexport function show(n: number) {\n  return `${round(n)}`;\n}\nexport const unused = 1;\n",
        ),
        ("src/index.ts", "export * from './money';\nexport { cart } from './cart';\n"),
        (
            "src/cart.ts",
            "import { round } from './money';\nexport function cart(n: number) {\n  return round(n);\n}\nexport function empty() {\n  return 0;\n}\n",
        ),
        (
            "src/register.ts",
            "import { show } from './money';\nglobalThis.shown = show(1);\nexport const registered = true;\n",
        ),
        ("src/money.test.ts", "import { show } from './index';\ntest('x', () => show(1));\n"),
        ("src/cart.test.ts", "import { empty } from './cart';\ntest('x', () => empty());\n"),
        ("src/deep.test.ts", "import { cart } from './index';\ntest('x', () => cart(1));\n"),
        ("src/effect.test.ts", "import { registered } from './register';\ntest('x', () => registered);\n"),
        ("src/other.test.ts", "import { unused } from './index';\ntest('x', () => unused);\n"),
        ("src/reads.test.ts", "import fs from 'fs';\ntest('x', () => fs.readFileSync(process.argv[2]));\n"),
    ];

    fn graph(files: &[(&str, &str)]) -> Graph {
        let files: BTreeMap<RelPath, Arc<Indexed>> =
            files.iter().map(|(path, text)| (rel(path), Arc::new(Indexed::of(&rel(path), text)))).collect();
        Graph::build(files, Arc::new(ResolveConfig::default()))
    }

    fn chosen(path: &str, before: &str, after: &str) -> (Vec<String>, Option<String>) {
        let text = SHOP.iter().find(|(name, _)| *name == path).map_or("", |(_, text)| text);
        assert!(text.contains(before), "{before}");
        let changed = text.replacen(before, after, 1);
        let mut with: Vec<(&str, &str)> = SHOP.iter().copied().filter(|(name, _)| *name != path).collect();
        if path.ends_with(".ts") {
            with.push((path, &changed));
        }
        let tests = SHOP.iter().map(|(path, _)| rel(path)).filter(is_test).collect();
        let unclear = BTreeSet::from([rel("src/reads.test.ts")]);
        let (graph_before, graph_after) = (graph(SHOP), graph(&with));
        let around =
            Around { before: &graph_before, after: &graph_after, tests: &tests, unclear: &unclear, configuration: &[] };
        let edit = Edited { path: rel(path), before: Some(text.into()), after: Some(changed.as_str().into()) };
        let found = affected_tests(&around, &[edit]);
        (found.tests.iter().map(|(path, _)| path.file_name().replace(".test.ts", "")).collect(), found.everything)
    }

    #[test]
    fn tests_are_chosen_by_what_they_use_and_not_by_what_they_import() {
        let (tests, everything) = chosen("src/cart.ts", "return 0", "return 1");
        assert_eq!(
            (tests, everything),
            (vec!["cart".to_owned(), "reads".into()], None),
            "only the function that changed"
        );
        let (tests, _) = chosen("src/cart.ts", "return round(n)", "return 0");
        assert_eq!(tests, ["cart", "deep", "reads"], "its own test by name, the other through the barrel");
        let (tests, _) = chosen("src/money.ts", "return n;", "return -n;");
        assert_eq!(
            tests,
            ["money", "deep", "effect", "reads"],
            "through a function, a barrel and code that runs on import"
        );
        let (tests, _) = chosen("src/money.ts", "unused = 1", "unused = 2");
        assert_eq!(tests, ["money", "other", "reads"]);
        let (tests, _) = chosen("src/money.ts", "export const unused = 1;\n", "");
        assert_eq!(tests, ["money", "other", "reads"], "what is gone is missed by who used it");
    }

    #[test]
    fn what_cannot_be_followed_runs_everything() {
        for path in ["package.json", "vitest.config.ts", "data/prices.json", ".mocharc.yml", "tsconfig.base.json"] {
            let (tests, everything) = chosen(path, "", "");
            assert!(everything.is_some() && tests.len() == 6, "{path}");
        }
        let (tests, everything) = chosen("README.md", "", "");
        assert_eq!((tests.len(), everything), (1, None));
        let (_, everything) = chosen("src/cart.ts", "export function empty() {", "export function empty( {");
        assert!(everything.unwrap().contains("cannot be parsed"));
    }

    #[test]
    fn an_import_that_changes_changes_what_uses_the_name() {
        let (tests, _) = chosen("src/cart.ts", "import { round }", "import { show as round }");
        assert_eq!(tests, ["cart", "deep", "reads"]);
        let (tests, _) = chosen("src/cart.ts", "import { round }", "import {\n  show as round,\n}");
        assert_eq!(tests, ["cart", "deep", "reads"]);
        let (tests, _) = chosen("src/register.ts", "import { show }", "import { round as show }");
        assert_eq!(tests, ["effect", "reads"], "code that runs on import uses it");
    }

    #[test]
    fn an_import_that_loads_another_module_reaches_all_that_import_the_file() {
        let every = ["cart", "money", "deep", "other", "reads"];
        for after in [
            "import './register';\nimport { round } from './money'",
            "import { round } from './cents'",
            "import type { round } from './money'",
            "go();\nimport { round } from './money'",
            "import { round } from './money'; go()",
        ] {
            let (tests, _) = chosen("src/cart.ts", "import { round } from './money'", after);
            assert!(every.iter().all(|test| tests.iter().any(|found| found == test)), "{after}: {tests:?}");
        }
    }

    /// What CommonJS hands out inside of a declaration is used by others under another name.
    #[test]
    fn what_a_declaration_hands_out_by_require_reaches_who_requires_it() {
        for (code, before, after) in [
            ("const self = module.exports = {\n  add(a, b) {\n    return a + b;\n  },\n};\n", "a + b", "a - b"),
            ("const parse = exports.parse = (s) => {\n  return s;\n};\n", "return s", "return null"),
            ("function add(a) {\n  return a;\n}\nmodule.exports = { add };\n", "return a", "return 0"),
        ] {
            let changed = code.replacen(before, after, 1);
            let test = "const it = require('./lib');\ntest('x', () => it);\n";
            let shop = |code: &'static str| {
                [("src/lib.js", code), ("src/uses.test.js", test), ("src/not.test.js", "test('y', () => 1);\n")]
            };
            let with = [
                ("src/lib.js", changed.as_str()),
                ("src/uses.test.js", test),
                ("src/not.test.js", "test('y', () => 1);\n"),
            ];
            let (before, after) = (graph(&shop(code)), graph(&with));
            let tests = BTreeSet::from([rel("src/uses.test.js"), rel("src/not.test.js")]);
            let unclear = BTreeSet::new();
            let around =
                Around { before: &before, after: &after, tests: &tests, unclear: &unclear, configuration: &[] };
            let edit =
                Edited { path: rel("src/lib.js"), before: Some(code.into()), after: Some(changed.as_str().into()) };
            let found = affected_tests(&around, &[edit]);
            let chosen: Vec<&str> = found.tests.iter().map(|(path, _)| path.as_str()).collect();
            assert_eq!(chosen, ["src/uses.test.js"], "{code}: {:?}", found.everything);
        }
    }

    #[test]
    fn lines_are_told_apart() {
        assert_eq!(changed_lines("a\nb\nc\n", "a\nx\nc\n"), [[2, 2]]);
        assert_eq!(changed_lines("a\nc\n", "a\nb\nc\n"), Vec::<[u32; 2]>::new());
        assert_eq!(changed_lines("a\nb\nc\nd\n", "b\nd\n"), [[1, 1], [3, 3]]);
    }
}
