//! What people write when they mean a file or a symbol, and back.
//!
//! `src/a.ts`, `src/a.ts#name`, `src/a.ts#Class.method`, `src/a.ts:12` (the innermost declaration at the line), or a bare
//! `name` or `Class.method` that only one file declares.

use super::Lookup;
use crate::graph::{FileFacts, Graph};
use crate::path::RelPath;

/// A declaration: the file and the index in its [`FileFacts::symbols`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SymbolRef {
    pub path: RelPath,
    pub index: usize,
}

/// What was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    File(RelPath),
    /// The first declaration of those that share the name in the file.
    Symbol(SymbolRef),
}

impl Named {
    pub fn path(&self) -> &RelPath {
        match self {
            Self::File(path) | Self::Symbol(SymbolRef { path, .. }) => path,
        }
    }
}

/// Why a name leads nowhere, or to too many places.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("find {path} in the graph")]
    NoFile { path: String },
    #[error("find {name:?}: no file of the graph declares it")]
    NoSymbol {
        name: String,
        /// Names that differ in case alone.
        near: Vec<String>,
    },
    #[error("find {name:?} in {path}")]
    NotInFile {
        path: RelPath,
        name: String,
        /// What the file declares at its top level, in order.
        there: Vec<String>,
    },
    #[error("find a declaration at line {line} of {path}, which has {lines} lines")]
    NoLine { path: RelPath, line: u32, lines: u32 },
    #[error("find {name:?}: {} files declare it", candidates.len())]
    Ambiguous {
        name: String,
        /// As one would have to write them, sorted.
        candidates: Vec<String>,
    },
}

/// At most so many names are listed in an error.
const LISTED: usize = 12;

/// Finds what is meant.
pub fn find(graph: &Graph, spelling: &str) -> Result<Named, NameError> {
    let spelling = spelling.trim();
    if let Some(path) = file(graph, spelling) {
        return Ok(Named::File(path));
    }
    if let Some((path, name)) = spelling.split_once('#') {
        let path = file(graph, path).ok_or_else(|| NameError::NoFile { path: shortened(path) })?;
        return in_file(graph, &path, name).map(Named::Symbol);
    }
    if let Some((path, line)) = spelling.rsplit_once(':')
        && let (Some(path), Ok(line)) = (file(graph, path), line.parse())
    {
        return at_line(graph, &path, line);
    }
    if spelling.contains('/') || spelling.contains('\\') || is_file_name(spelling) {
        return Err(NameError::NoFile { path: shortened(spelling) });
    }
    anywhere(graph, spelling)
}

/// `Class.method`, `name`.
pub fn qualified_name(facts: &FileFacts, index: usize) -> String {
    let mut names = Vec::new();
    let mut at = Some(index);
    while let Some(symbol) = at.and_then(|at| facts.symbols.get(at)) {
        names.push(symbol.name.as_str());
        // A parent comes before its members; anything else would be a circle.
        at = symbol.parent.filter(|parent| at.is_some_and(|at| *parent < at));
    }
    names.reverse();
    names.join(".")
}

fn file(graph: &Graph, path: &str) -> Option<RelPath> {
    RelPath::new(path).ok().filter(|path| graph.contains(path))
}

fn is_file_name(spelling: &str) -> bool {
    RelPath::new(spelling).is_ok_and(|path| crate::syntax::Language::of(&path).is_some())
}

/// What is quoted in an error must not be as long as what was sent.
fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}

fn in_file(graph: &Graph, path: &RelPath, name: &str) -> Result<SymbolRef, NameError> {
    let facts = graph.facts(path).unwrap_or_default();
    let index = declared(&facts, name);
    index.map(|index| SymbolRef { path: path.clone(), index }).ok_or_else(|| NameError::NotInFile {
        path: path.clone(),
        name: shortened(name),
        there: top_level(&facts),
    })
}

fn top_level(facts: &FileFacts) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for symbol in facts.symbols.iter().filter(|symbol| symbol.parent.is_none()) {
        if !names.contains(&symbol.name) && names.len() < LISTED {
            names.push(symbol.name.clone());
        }
    }
    names
}

/// The first declaration with the qualified name; `default` also means what is exported so.
fn declared(facts: &FileFacts, name: &str) -> Option<usize> {
    let last = name.rsplit('.').next().unwrap_or(name);
    let named =
        |(index, symbol): &(usize, &crate::graph::Symbol)| symbol.name == last && qualified_name(facts, *index) == name;
    let found = facts.symbols.iter().enumerate().find(named).map(|(index, _)| index);
    found.or_else(|| {
        let export = facts.exports.iter().find(|export| export.name == name && export.from.is_none())?;
        let local = export.local.as_deref()?;
        facts.symbols.iter().position(|symbol| symbol.parent.is_none() && symbol.name == local)
    })
}

/// The innermost declaration; a line between declarations means the file.
fn at_line(graph: &Graph, path: &RelPath, line: u32) -> Result<Named, NameError> {
    let facts = graph.facts(path).unwrap_or_default();
    if line == 0 || line > facts.lines.max(1) {
        return Err(NameError::NoLine { path: path.clone(), line, lines: facts.lines });
    }
    let around =
        facts.symbols.iter().enumerate().filter(|(_, symbol)| symbol.lines[0] <= line && line <= symbol.lines[1]);
    let innermost = around.min_by_key(|(index, symbol)| (symbol.lines[1] - symbol.lines[0], std::cmp::Reverse(*index)));
    Ok(match innermost {
        Some((index, _)) => {
            let first = declared(&facts, &qualified_name(&facts, index)).unwrap_or(index);
            Named::Symbol(SymbolRef { path: path.clone(), index: first })
        }
        None => Named::File(path.clone()),
    })
}

fn anywhere(graph: &Graph, name: &str) -> Result<Named, NameError> {
    let last = name.rsplit('.').next().unwrap_or(name);
    let lookup = Lookup::new(graph);
    let mut found = Vec::new();
    for (path, _) in graph.files().iter().filter(|(_, file)| !last.is_empty() && file.uses(last)) {
        let Some(facts) = lookup.facts(path) else { continue };
        let named = facts
            .symbols
            .iter()
            .enumerate()
            .find(|(index, symbol)| symbol.name == last && qualified_name(&facts, *index) == name);
        found.extend(named.map(|(index, symbol)| (symbol.exported, SymbolRef { path: path.clone(), index })));
    }
    // What other files can name is meant before what they can not.
    if found.iter().any(|(exported, _)| *exported) {
        found.retain(|(exported, _)| *exported);
    }
    match found.as_slice() {
        [] => Err(NameError::NoSymbol { name: shortened(name), near: near(&lookup, last) }),
        [(_, only)] => Ok(Named::Symbol(only.clone())),
        many => Err(NameError::Ambiguous {
            name: shortened(name),
            candidates: many.iter().map(|(_, symbol)| format!("{}#{name}", symbol.path)).collect(),
        }),
    }
}

fn near(lookup: &Lookup<'_>, name: &str) -> Vec<String> {
    let mut near = Vec::new();
    for path in lookup.graph().files().keys() {
        let Some(facts) = lookup.facts(path).filter(|_| near.len() < LISTED) else { break };
        for symbol in facts.symbols.iter().filter(|symbol| symbol.parent.is_none()) {
            if symbol.name.eq_ignore_ascii_case(name) {
                near.push(format!("{path}#{}", symbol.name));
            }
        }
    }
    near
}
