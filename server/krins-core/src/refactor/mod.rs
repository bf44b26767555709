//! The keyless refactorings: understood in plain English, carried out by exact scopes, never guessed.
//!
//! The graph says which files a refactoring could touch ([`affected`]); [`perform`] then sees those files whole and
//! nothing else, parses them, and edits byte ranges. What it cannot follow it refuses, with the place.

mod affected;
mod edits;
mod loading;
mod module;
mod named;
mod names;
mod program;
mod public;
mod reader;
mod relocate;
mod rename;
mod specifiers;
mod understand;
mod unused;

use crate::graph::Graph;
use crate::path::RelPath;
use crate::prompt::Focus;
use crate::tree::Tree;
use edits::Edits;
use module::Module;
use oxc_syntax::symbol::SymbolId;
use program::Program;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A refactoring, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refactoring {
    /// Rename an exported symbol everywhere.
    Rename { from: String, to: String, file: Option<RelPath> },
    /// Move an exported declaration to another module and fix every import.
    Move { symbol: String, file: Option<RelPath>, to: RelPath },
    /// Remove unused imports, in these files or, where there is none, everywhere.
    RemoveUnusedImports { files: Vec<RelPath> },
    /// Turn a module's default export into a named one.
    DefaultToNamed { file: RelPath, name: Option<String> },
}

/// Why a refactoring is not done. Each message says what to do instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefactorError {
    /// The words are not one of the refactorings. The hint lists them and says how to add a model.
    #[error("understand {intent:?} without a model")]
    NotUnderstood { intent: String },
    #[error("find an exported {symbol}{}", did_you_mean(similar))]
    NoSuchSymbol { symbol: String, similar: Vec<String> },
    #[error("choose between the {symbol} of {}", listed(files))]
    Ambiguous { symbol: String, files: Vec<RelPath> },
    /// The new name is taken, or would be captured, at these places (`path:line`).
    #[error("use the name {name}: it is taken at {}", listed(places))]
    NameTaken { name: String, places: Vec<String> },
    #[error("use {name:?} as a name: {why}")]
    BadName { name: String, why: &'static str },
    #[error("read {path}: {why}")]
    Unreadable { path: RelPath, why: String },
    /// The code does something that the refactoring cannot follow.
    #[error("follow {what} at {place}")]
    Unsupported { what: String, place: String },
    #[error("find anything to change: {why}")]
    NothingToDo { why: String },
}

/// What `builtin` can do, as sentences that it understands.
pub const CAPABILITIES: [&str; 4] = [
    "rename calculateTotal to orderTotal",
    "move formatDate to src/utils/date.ts",
    "remove unused imports",
    "turn the default export of src/a.ts into a named export",
];

impl RefactorError {
    /// What the person can do.
    pub fn hint(&self) -> String {
        match self {
            Self::NotUnderstood { .. } => format!(
                "without a model Krins can: {}; for anything else add a model (`krins doctor` says what is set up; set `provider` in the settings and its key in the environment or the keyring)",
                CAPABILITIES.map(|sentence| format!("`{sentence}`")).join(", ")
            ),
            Self::NoSuchSymbol { similar, .. } if similar.is_empty() => {
                "name a symbol that some module exports, spelled exactly".to_owned()
            }
            Self::NoSuchSymbol { similar, .. } => format!("did you mean {}?", similar.join(", ")),
            Self::Ambiguous { symbol, files } => {
                format!("say which: `… {symbol} in {} …`", files.first().map_or("src/file.ts", RelPath::as_str))
            }
            Self::NameTaken { .. } => "choose another name, or rename what has it first".to_owned(),
            Self::BadName { .. } => "choose a name that is a plain identifier".to_owned(),
            Self::Unreadable { .. } => "mend the file first, then ask again".to_owned(),
            Self::Unsupported { .. } => {
                "change that place by hand first, or ask a model to do the whole task".to_owned()
            }
            Self::NothingToDo { .. } => "nothing was changed".to_owned(),
        }
    }
}

fn did_you_mean(similar: &[String]) -> String {
    if similar.is_empty() {
        return String::new();
    }
    format!(" (similar: {})", similar.join(", "))
}

fn listed<T: ToString>(items: &[T]) -> String {
    let mut shown: Vec<String> = items.iter().take(5).map(ToString::to_string).collect();
    if items.len() > 5 {
        shown.push(format!("{} more", items.len() - 5));
    }
    shown.join(", ")
}

/// What a refactoring did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// New texts of the files that change; `None` deletes. A file that was not there is created.
    pub files: BTreeMap<RelPath, Option<String>>,
    /// At most three reasons with the `path:line` places they rest on.
    pub why: Vec<(String, Vec<String>)>,
}

/// Reads the intent.
pub fn understand(intent: &str, focus: Option<&Focus>) -> Result<Refactoring, RefactorError> {
    understand::understand(intent, focus)
}

/// Lets the active file decide between symbols of one name when the words did not: a rename or move without a file
/// gets the focused one if that exports or imports the name. Call it before [`affected`].
#[must_use]
pub fn aim(refactoring: Refactoring, focus: Option<&Focus>, graph: &Graph) -> Refactoring {
    affected::aim(refactoring, focus, graph)
}

/// The files that the refactoring must see whole: all that could change, plus the configuration that decides how
/// module specifiers resolve (tsconfig, package.json). Sorted.
pub fn affected(refactoring: &Refactoring, graph: &Graph, tree: &dyn Tree) -> Result<Vec<RelPath>, RefactorError> {
    affected::affected(refactoring, graph, tree)
}

/// Carries it out on whole files.
pub fn perform(refactoring: &Refactoring, files: &BTreeMap<RelPath, Arc<str>>) -> Result<Outcome, RefactorError> {
    with_deep_stack(|| {
        let program = Program::read(files);
        match refactoring {
            Refactoring::Rename { from, to, file } => rename::rename(&program, from, to, file.as_ref()),
            Refactoring::Move { symbol, file, to } => relocate::relocate(&program, symbol, file.as_ref(), to),
            Refactoring::RemoveUnusedImports { files } => unused::remove(&program, files),
            Refactoring::DefaultToNamed { file, name } => named::name_default(&program, file, name.as_deref()),
        }
    })
}

/// Parsers and visitors recurse once per level of nesting; this much stack holds [`module`]'s limit many times over.
/// It is reserved, not used: pages that nobody touches cost nothing.
fn with_deep_stack<T>(work: impl FnOnce() -> T) -> T {
    const STACK: usize = 128 << 20;
    stacker::grow(STACK, work)
}

/// Applies the edits and proves that the result still parses; after a rename also that every name kept its binding.
fn finish(
    program: &Program<'_>,
    edits: BTreeMap<RelPath, Edits>,
    why: Vec<(String, Vec<String>)>,
    same_bindings: bool,
) -> Result<Outcome, RefactorError> {
    let mut outcome = Outcome { files: BTreeMap::new(), why };
    for (path, edits) in edits {
        let module = program.module(&path)?;
        let text = edits.apply(&module.text).map_err(|at| RefactorError::Unsupported {
            what: "two changes of the same words".to_owned(),
            place: module.place(at),
        })?;
        if *text == *module.text {
            continue;
        }
        let after = prove(&path, &text)?;
        if same_bindings && shape(module) != shape(&after) {
            return Err(RefactorError::Unsupported {
                what: "the bindings of the renamed text".to_owned(),
                place: format!("{path}:1"),
            });
        }
        outcome.files.insert(path, Some(text));
    }
    if outcome.files.is_empty() {
        return Err(RefactorError::NothingToDo { why: "every file is as it should be".to_owned() });
    }
    Ok(outcome)
}

fn prove(path: &RelPath, text: &str) -> Result<Module, RefactorError> {
    Module::read(path, &Arc::from(text)).map_err(|why| RefactorError::Unsupported {
        what: format!("the changed text ({why})"),
        place: format!("{path}:1"),
    })
}

/// What a pure change of names keeps: how many bindings there are, and which name belongs to which. Names in a module
/// augmentation are left out: they lead to the other module's exports, which the file alone cannot say.
fn shape(module: &Module) -> (usize, Vec<Option<usize>>) {
    let mut numbers: BTreeMap<SymbolId, usize> = BTreeMap::new();
    let bindings = module
        .names
        .iter()
        .filter(|name| {
            !module
                .augmentations
                .iter()
                .any(|outer| outer.span.start <= name.span.start && name.span.end <= outer.span.end)
        })
        .map(|name| {
            name.symbol.map(|symbol| {
                let next = numbers.len();
                *numbers.entry(symbol).or_insert(next)
            })
        })
        .collect();
    (module.scoping.symbols_len(), bindings)
}

#[cfg(test)]
mod tests;
