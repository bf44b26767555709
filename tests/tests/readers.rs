//! The two readers of a language give the same facts: what a file at rest says (oxc) and what the grammar that survives
//! half-typed code says of the same text (tree-sitter), on the sources of packages that none of us wrote.

use krins_core::RelPath;
use krins_core::graph::{FileFacts, Target, analyse, analyse_as_typed};
use krins_core::syntax::{self, Language};
use krins_tests::figures::note;
use krins_tests::npm;
use krins_tests::workspace::Workspace;
use std::collections::BTreeMap;
use std::fmt::Debug;

/// How many of a thousand facts may differ. What is left is known: the grammar does not tell `typeof x` and computed names in every type
/// from a read, and ends some pieces of long JSX elsewhere.
const MOST: [(&str, usize); 5] = [("symbols", 1), ("imports", 1), ("exports", 1), ("references", 8), ("chunks", 5)];

#[derive(Default)]
struct Tally {
    files: usize,
    kinds: BTreeMap<&'static str, (usize, usize)>,
    first: BTreeMap<&'static str, String>,
}

impl Tally {
    fn compare<T: Debug + PartialEq>(&mut self, kind: &'static str, path: &RelPath, rest: &[T], typed: &[T]) {
        let (all, differ) = self.kinds.entry(kind).or_default();
        *all += rest.len();
        if rest == typed {
            return;
        }
        let missing: Vec<&T> = rest.iter().filter(|fact| !typed.contains(fact)).collect();
        let extra: Vec<&T> = typed.iter().filter(|fact| !rest.contains(fact)).collect();
        *differ += missing.len().max(extra.len()).max(1);
        let first = || format!("{path}: at rest {:?}, typed {:?}", missing.first(), extra.first());
        self.first.entry(kind).or_insert_with(first);
    }

    fn file(&mut self, path: &RelPath, text: &str) {
        let rest = analyse(path, text).facts;
        let grammar_objects = Language::of(path).is_none_or(|of| syntax::parse(of, text).root_node().has_error());
        if rest.broken || grammar_objects {
            return;
        }
        self.files += 1;
        let typed = analyse_as_typed(path, text);
        self.compare("symbols", path, &rest.symbols, &typed.symbols);
        self.compare("imports", path, &rest.imports, &typed.imports);
        self.compare("exports", path, &rest.exports, &typed.exports);
        self.compare("references", path, &references(&rest), &references(&typed));
        self.compare("chunks", path, &rest.chunks, &typed.chunks);
    }
}

/// Place, kind, target, member and surroundings of each, with the target by name. Names that lead out of the file by no
/// import are left out: of text that does not parse they are a guess (the grammar takes labels and the parameters
/// of function types for such names).
fn references(facts: &FileFacts) -> Vec<String> {
    let target = |target: Target| match target {
        Target::Symbol(at) => format!("{}#{at}", facts.symbols[at as usize].name),
        Target::Import { import, name } => {
            let import = &facts.imports[import as usize];
            format!("{}:{}", import.specifier, import.names[name as usize].0)
        }
        Target::Global(at) => format!("global {}", facts.globals[at as usize]),
    };
    let known = facts.references.iter().filter(|of| !matches!(of.target, Target::Global(_)));
    let shown =
        known.map(|of| format!("{:?} {:?} {} {:?} {:?}", of.range, of.kind, target(of.target), of.member, of.within));
    shown.collect()
}

fn agree(name: &str, version: &str) {
    let workspace = Workspace::empty();
    npm::sources(name, version, &workspace);
    let mut tally = Tally::default();
    for (path, bytes) in workspace.snapshot() {
        let Ok(path) = RelPath::new(path.to_str().unwrap()) else { continue };
        if Language::of(&path).is_some() {
            tally.file(&path, std::str::from_utf8(&bytes).unwrap());
        }
    }
    assert!(tally.files > 100, "only {} files", tally.files);
    for (kind, most) in MOST {
        let (all, differ) = tally.kinds[kind];
        note(&format!("the two readers on {name}, {kind}: {differ} of {all} differ"));
        assert!(differ * 1000 <= all * most, "{kind}: {differ} of {all} differ, first {:?}", tally.first.get(kind));
    }
}

#[test]
fn on_rxjs() {
    agree("rxjs", "7.8.2");
}

#[test]
fn on_zod() {
    agree("zod", "4.6.7");
}

#[test]
fn on_effect() {
    agree("effect", "3.22.4");
}
