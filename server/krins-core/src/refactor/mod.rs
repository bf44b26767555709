//! The keyless refactorings: understood in plain English, carried out by exact scopes, never guessed.

use crate::graph::Graph;
use crate::path::RelPath;
use crate::prompt::Focus;
use crate::tree::Tree;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A refactoring, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refactoring {
    /// Rename an exported symbol everywhere.
    Rename {
        from: String,
        to: String,
        file: Option<RelPath>,
    },
    /// Move an exported declaration to another module and fix every import.
    Move {
        symbol: String,
        file: Option<RelPath>,
        to: RelPath,
    },
    /// Remove unused imports, in one file or everywhere.
    RemoveUnusedImports { file: Option<RelPath> },
    /// Turn a module's default export into a named one.
    DefaultToNamed { file: RelPath, name: Option<String> },
}

/// Why a refactoring is not done. Each message says what to do instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefactorError {
    /// The words are not one of the refactorings. The message lists them and says how to add a model.
    #[error("understand {intent:?} without a model")]
    NotUnderstood { intent: String },
    #[error("find an exported {symbol}")]
    NoSuchSymbol {
        symbol: String,
        similar: Vec<String>,
    },
    #[error("choose between the {symbol} of {files:?}")]
    Ambiguous { symbol: String, files: Vec<RelPath> },
    /// The new name is taken, or would be captured, at these places (`path:line`).
    #[error("use the name {name}: it is taken at {places:?}")]
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

impl RefactorError {
    /// What the person can do.
    pub fn hint(&self) -> String {
        String::new()
    }
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
    let _ = focus;
    Err(RefactorError::NotUnderstood {
        intent: intent.to_owned(),
    })
}

/// The files that the refactoring must see whole: all that could change, plus the configuration that decides how
/// module specifiers resolve (tsconfig, package.json). Sorted.
pub fn affected(
    refactoring: &Refactoring,
    graph: &Graph,
    tree: &dyn Tree,
) -> Result<Vec<RelPath>, RefactorError> {
    let _ = (refactoring, graph, tree);
    Ok(Vec::new())
}

/// Carries it out on whole files.
pub fn perform(
    refactoring: &Refactoring,
    files: &BTreeMap<RelPath, Arc<str>>,
) -> Result<Outcome, RefactorError> {
    let _ = (refactoring, files);
    Err(RefactorError::NothingToDo { why: String::new() })
}
