//! What the graph says of one file: plain data, made from the file's text alone.

use super::Lexicon;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Symbol {
    pub name: String,
    pub kind: SymbolKind,
    /// Bytes of the whole declaration, its doc comment and `export` included.
    pub range: Range<usize>,
    /// 1-based inclusive lines of `range`.
    pub lines: [u32; 2],
    /// Bytes of the name.
    pub name_range: Range<usize>,
    /// Bytes of the declaration without its doc comment and its body.
    pub head: Range<usize>,
    /// Bytes of the comment right before it.
    pub doc: Option<Range<usize>>,
    /// Whether other modules can name it, in whatever way it is exported; a member is as visible as its parent.
    pub exported: bool,
    /// Index of the enclosing symbol in the file's list.
    pub parent: Option<usize>,
}

/// Everything one file says about itself; made from its text alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// In the order of their starts; a parent comes before its members.
    pub symbols: Vec<Symbol>,
    /// Every module specifier in the text, in order; re-exports are here too.
    pub imports: Vec<Import>,
    pub exports: Vec<Export>,
    /// FNV-1a hashes of the identifiers in the file (declarations and uses alike), sorted, each once.
    #[serde(skip)]
    pub identifiers: Vec<u32>,
    /// Whether the parse had errors.
    pub broken: bool,
    pub lines: u32,
    /// Whether it looks generated, minified or vendored.
    pub generated: bool,
    /// The pieces that context selection chooses from; together they cover the file.
    pub chunks: Vec<Chunk>,
    /// Indices of the outermost symbols in `declare global { … }`, sorted: every file can name them.
    pub augments_global: Vec<u32>,
    /// Uses of module-level symbols and of imported names, by exact scopes where the text parses; in order.
    pub references: Vec<Reference>,
    /// Names that are used here and declared nowhere in the file, nor by the language or a platform, as far as it is
    /// known; at most 64. A global declaration of another file may be meant.
    pub globals: Vec<String>,
}

/// The part of [`FileFacts`] that is encoded first.
#[derive(Deserialize)]
pub(super) struct Outline {
    symbols: Vec<Symbol>,
    imports: Vec<Import>,
    exports: Vec<Export>,
    broken: bool,
    lines: u32,
    generated: bool,
    chunks: Vec<Chunk>,
    augments_global: Vec<u32>,
}

impl From<Outline> for FileFacts {
    fn from(outline: Outline) -> Self {
        let Outline { symbols, imports, exports, broken, lines, generated, chunks, augments_global } = outline;
        Self { symbols, imports, exports, broken, lines, generated, chunks, augments_global, ..Self::default() }
    }
}

impl FileFacts {
    /// Whether a symbol is what `declare global { … }` declares, and so none of the file's own.
    pub fn is_augmenting(&self, symbol: usize) -> bool {
        self.augments_global.binary_search_by(|index| (*index as usize).cmp(&symbol)).is_ok()
    }

    /// Whether it imports or exports anything by a statement of its own; else it is a script, and what it declares is
    /// there everywhere.
    pub fn is_module(&self) -> bool {
        let makes_module =
            |import: &Import| matches!(import.kind, ImportKind::Static | ImportKind::Reexport | ImportKind::Equals);
        !self.exports.is_empty() || self.imports.iter().any(makes_module)
    }
}

/// How a specifier is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ImportKind {
    /// `import … from "x"`, `import "x"`.
    Static,
    /// `export … from "x"`.
    Reexport,
    /// `import("x")` as an expression.
    Dynamic,
    /// `require("x")`.
    Require,
    /// `import a = require("x")`.
    Equals,
    /// `import("x").T` and `typeof import("x")` as types.
    Type,
    /// `declare module "x"` in a module: an augmentation.
    Augment,
}

/// A module specifier and what is taken from there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    pub specifier: String,
    /// (name in the other module, name here); `default` and `*` are spelled so. `import * as ns` is `("*", "ns")`,
    /// `export * from` is `("*", "*")`. Empty for a side-effect import. For `import("x")` and `require("x")` the
    /// names that are destructured or accessed on the spot, if any.
    pub names: Vec<(String, String)>,
    /// The whole statement is `import type` / `export type`, or it is a type.
    pub type_only: bool,
    pub reexport: bool,
    pub kind: ImportKind,
    /// 1-based.
    pub line: u32,
    /// Bytes of the specifier, without its quotes.
    pub range: Range<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// The name other modules see; `default`; `*` for `export * from`; `=` for `export =`.
    pub name: String,
    /// The name here, when it is a local binding.
    pub local: Option<String>,
    /// The module it comes from, when it is a re-export.
    pub from: Option<String>,
    /// The name in that module (`default`, `*` for the whole namespace), when it is a re-export.
    pub imported: Option<String>,
    pub type_only: bool,
    /// 1-based.
    pub line: u32,
}

/// A piece of a file that is chosen or left as one: a declaration, a method, a run of small statements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// 1-based inclusive lines. Chunks of a file do not overlap.
    pub lines: [u32; 2],
    /// Index of the innermost symbol it is, or is part of.
    pub symbol: Option<usize>,
    /// Bytes of its lines.
    pub range: Range<u32>,
}

/// One use of a name that can lead out of its own scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// Bytes of the name; where there is a `member`, those of the member.
    pub range: Range<u32>,
    pub kind: ReferenceKind,
    pub target: Target,
    /// The names behind the dots of an imported name: `b` of `a.b`, `<a.b>`, `const { b } = a`, `b.c` of `a.b.c`. It says
    /// something only if what is imported, and each name but the last, turns out to be a module (`* as a`, or a name that
    /// is exported as one). `a` itself has a reference of its own, without a member, and so has `a.b` of `a.b.c`.
    pub member: Option<Arc<str>>,
    /// Index of the innermost symbol that the use is in; `None` at the top level.
    pub within: Option<u32>,
}

/// What a reference names, in its own file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Target {
    /// Index in [`FileFacts::symbols`], of a module-level symbol; the first of those that share the name.
    Symbol(u32),
    /// Index in [`FileFacts::imports`], and in its names.
    Import { import: u32, name: u32 },
    /// Index in [`FileFacts::globals`].
    Global(u32),
}

/// How a name is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ReferenceKind {
    Read,
    Write,
    Call,
    New,
    /// `<Name …>`.
    Jsx,
    /// As a type.
    Type,
    /// `typeof name` in a type: a value.
    TypeOf,
    /// The `name` of `name.Other` in a type: what holds other names.
    Namespace,
    Extends,
    Implements,
    /// A name in `import { … }`: the imported one.
    Import,
    /// A name in `export { … }` or `export { … } from`, or in `export default name`.
    Export,
}

/// What [`analyse`](super::analyse) makes of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Analysis {
    pub facts: FileFacts,
    pub lexicon: Lexicon,
}

impl Symbol {
    /// The declaration without its body, on one line, shortened to 200 characters. `text` is the one it was found in.
    pub fn signature(&self, text: &str) -> String {
        let source = text.get(self.head.clone()).unwrap_or_default();
        let mut line = String::new();
        for word in source.split_whitespace() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
            if line.len() > MAX_SIGNATURE * 4 {
                break;
            }
        }
        if let Some((cut, _)) = line.char_indices().nth(MAX_SIGNATURE) {
            line.truncate(cut);
            line.push('…');
        }
        line.truncate(line.trim_end_matches([';', ',']).len());
        line
    }
}

/// The longest signature, in characters.
const MAX_SIGNATURE: usize = 200;
