//! Reads every file of a directory both ways, as text at rest and as text that is being typed, and tells where the facts
//! differ: `cargo run --release -p krins-core --example facts_agree -- DIRECTORY [how many to show of a kind]`.

use krins_core::graph::{FileFacts, analyse, analyse_as_typed};
use krins_core::path::RelPath;
use krins_core::syntax::{self, Language};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::{self, Write};
use std::path::Path;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let root = arguments.next().unwrap_or_else(|| ".".into());
    let shown = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(5);
    let mut out = io::stdout().lock();
    let mut tally = Tally { shown, ..Tally::default() };
    let mut queue = vec![Path::new(&root).to_owned()];
    while let Some(directory) = queue.pop() {
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if entry.file_type()?.is_dir() {
                if name != "node_modules" && name != ".git" {
                    queue.push(entry.path());
                }
                continue;
            }
            let path = entry.path();
            let Ok(relative) = path.strip_prefix(&root) else { continue };
            let Ok(relative) = RelPath::new(&relative.to_string_lossy()) else { continue };
            let Some(language) = Language::of(&relative) else { continue };
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            tally.file(&relative, language, &text, &mut out)?;
        }
    }
    writeln!(out, "{} files, {} broken, {} that the grammar objects to", tally.files, tally.broken, tally.objected)?;
    for (kind, (all, differ)) in &tally.kinds {
        writeln!(out, "{kind}: {differ} of {all} differ")?;
    }
    Ok(())
}

#[derive(Default)]
struct Tally {
    shown: usize,
    files: usize,
    broken: usize,
    objected: usize,
    kinds: BTreeMap<&'static str, (usize, usize)>,
}

impl Tally {
    fn file(&mut self, path: &RelPath, language: Language, text: &str, out: &mut impl Write) -> io::Result<()> {
        let rest = analyse(path, text).facts;
        self.files += 1;
        if rest.broken {
            self.broken += 1;
            return Ok(());
        }
        if syntax::parse(language, text).root_node().has_error() {
            self.objected += 1;
            return Ok(());
        }
        let typed = analyse_as_typed(path, text);
        self.compare("symbols", path, &rest.symbols, &typed.symbols, out)?;
        self.compare("imports", path, &rest.imports, &typed.imports, out)?;
        self.compare("exports", path, &rest.exports, &typed.exports, out)?;
        self.compare("references", path, &references(&rest, text), &references(&typed, text), out)?;
        self.compare("identifiers", path, &rest.identifiers, &typed.identifiers, out)?;
        self.compare("chunks", path, &rest.chunks, &typed.chunks, out)
    }

    fn compare<T: Debug + PartialEq>(
        &mut self,
        kind: &'static str,
        path: &RelPath,
        rest: &[T],
        typed: &[T],
        out: &mut impl Write,
    ) -> io::Result<()> {
        let (all, differ) = self.kinds.entry(kind).or_default();
        *all += rest.len();
        if rest == typed {
            return Ok(());
        }
        let missing: Vec<&T> = rest.iter().filter(|fact| !typed.contains(fact)).collect();
        let extra: Vec<&T> = typed.iter().filter(|fact| !rest.contains(fact)).collect();
        *differ += missing.len().max(extra.len()).max(1);
        if *differ < self.shown * 20 {
            writeln!(out, "{kind} {path}: {} at rest only, {} typed only", missing.len(), extra.len())?;
            for (side, facts) in [("rest ", missing), ("typed", extra)] {
                for fact in facts.iter().take(self.shown) {
                    writeln!(out, "    {side} {fact:?}")?;
                }
            }
        }
        Ok(())
    }
}

/// Line, name, kind, target, member and place of each.
fn references(facts: &FileFacts, text: &str) -> Vec<String> {
    let shown = facts.references.iter().map(|reference| {
        let at = reference.range.start as usize;
        let line = text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
        let name = text.get(at..reference.range.end as usize).unwrap_or_default();
        let target = match reference.target {
            krins_core::graph::Target::Symbol(at) => format!("{}#{at}", facts.symbols[at as usize].name),
            krins_core::graph::Target::Import { import, name } => {
                let import = &facts.imports[import as usize];
                format!("{}:{}", import.specifier, import.names[name as usize].0)
            }
            krins_core::graph::Target::Global(at) => format!("global {}", facts.globals[at as usize]),
        };
        format!("{line} {name} {:?} {target} {:?} {:?}", reference.kind, reference.member, reference.within)
    });
    shown.collect()
}
