//! The code graph: symbols, imports and exports of every file, and the resolved edges between files.

use crate::path::RelPath;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SymbolKind {
    Function,
    Class,
    Method,
    Property,
    Interface,
    TypeAlias,
    Enum,
    Namespace,
    Variable,
}

/// A named declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    pub name: String,
    pub kind: SymbolKind,
    /// Bytes of the whole declaration, its doc comment and `export` included.
    pub range: Range<usize>,
    /// 1-based inclusive lines of `range`.
    pub lines: [u32; 2],
    /// Bytes of the name.
    pub name_range: Range<usize>,
    /// The declaration without its body, on one line.
    pub signature: String,
    pub exported: bool,
    /// Index of the enclosing symbol in the file's list.
    pub parent: Option<usize>,
}

/// Everything one file says about itself; made from its text alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileFacts {
    pub symbols: Vec<Symbol>,
    pub imports: Vec<Import>,
    pub exports: Vec<Export>,
    /// Identifiers used in the file, each once, sorted (declarations and references alike).
    pub identifiers: Vec<Arc<str>>,
    /// Whether the parse had errors.
    pub broken: bool,
    pub lines: u32,
}

/// `import … from "specifier"`, `export … from`, `import("…")`, `require("…")`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    pub specifier: String,
    /// (name in the other module, name here); `default` and `*` are spelled so.
    pub names: Vec<(String, String)>,
    pub type_only: bool,
    pub reexport: bool,
    /// 1-based.
    pub line: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// The name other modules see; `default`; `*` for `export * from`.
    pub name: String,
    /// The name here, when it is a local binding.
    pub local: Option<String>,
    /// The module it comes from, when it is a re-export.
    pub from: Option<String>,
}

/// Facts of every indexed file plus resolved module edges. Cheap to clone.
#[derive(Clone, Default)]
pub struct Graph {
    pub files: BTreeMap<RelPath, Arc<FileFacts>>,
}
