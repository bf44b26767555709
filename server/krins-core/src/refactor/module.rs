//! One file, read exactly: its names with their bindings, imports, exports, and the paths by which it reaches into
//! other modules. Knows one file only; what a specifier means is the [`super::program`]'s business.

use super::edits::line_of;
use super::reader::Reader;
use crate::path::RelPath;
use crate::syntax::Language;
use oxc_allocator::Allocator;
use oxc_ast_visit::Visit;
use oxc_parser::Parser;
use oxc_semantic::{Scoping, SemanticBuilder};
use oxc_span::{SourceType, Span};
use oxc_syntax::reference::ReferenceFlags;
use oxc_syntax::scope::ScopeId;
use oxc_syntax::symbol::SymbolId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Nesting that real code never reaches; the stack that [`super::with_deep_stack`] gives holds it several times over.
const MAX_DEPTH: usize = 2_000;

pub(super) struct Module {
    pub path: RelPath,
    pub text: Arc<str>,
    pub scoping: Scoping,
    /// Every identifier that declares or refers, in the order of the text's syntax.
    pub names: Vec<Name>,
    pub statements: Vec<Statement>,
    pub imports: Vec<Import>,
    pub exports: Vec<Export>,
    /// Member paths that start at a binding or at a module: `ns.a.b`, `import("./x").A`, `{ a } = require("./x")`.
    pub chains: Vec<Chain>,
    /// Bindings that are another name for what a chain leads to: `const m = await import("./x")`.
    pub aliases: BTreeMap<SymbolId, Chain>,
    /// `const z = { ...ns, key: ns, own: 1 }`: bindings whose members are those of module objects, the later before the earlier.
    pub bags: BTreeMap<SymbolId, Bag>,
    /// `declare module "./x" { … }` in a module.
    pub augmentations: Vec<Augmentation>,
    /// Every string that names a module, wherever it stands, without its quotes.
    pub specifiers: Vec<Specifier>,
    /// Imports by the symbol they bind: (index in `imports`, index of the specifier).
    pub imported: BTreeMap<SymbolId, (usize, usize)>,
    pub comments: Vec<Span>,
    pub has_jsx: bool,
    /// `<Tag>` spans, the names that must keep a capital letter.
    pub tags: BTreeSet<u32>,
    /// `import.meta`, `__dirname`, `__filename`: what depends on the file's own place.
    pub place_bound: Vec<Span>,
    pub is_typescript: bool,
}

/// What a name's text has to become when its binding is renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Plain,
    /// `{ a }`: the property keeps its name, so `{ a: b }`.
    Shorthand,
    /// In a top-level import or export specifier, which is rendered as a whole.
    Specifier,
    /// `export { a }` inside a namespace: `export { b as a }`.
    NestedExport,
}

pub(super) struct Name {
    pub span: Span,
    pub symbol: Option<SymbolId>,
    pub scope: ScopeId,
    pub form: Form,
    /// `None` for a declaration.
    pub flags: Option<ReferenceFlags>,
    /// The start of a chain or the whole of an alias, so that what is taken from it is known.
    pub followed: bool,
    /// Inside a function body: not evaluated when the module loads.
    pub lazy: bool,
}

impl Name {
    pub fn is_type_reference(&self) -> bool {
        self.flags.is_some_and(|flags| !flags.is_value())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StatementKind {
    Import,
    /// `export function f() {}`
    ExportDeclaration,
    /// `export { a }`
    ExportNames,
    /// `export … from "x"`
    ExportFrom,
    ExportDefault,
    /// A declaration that carries no `export`.
    Declaration,
    Other,
}

/// A statement of the top level.
pub(super) struct Statement {
    pub span: Span,
    pub kind: StatementKind,
    pub declares: Vec<SymbolId>,
    /// Declares through a destructuring pattern or several declarators.
    pub compound: bool,
}

pub(super) struct Import {
    /// Of the statement.
    pub span: Span,
    pub specifier: String,
    /// Between the quotes.
    pub specifier_span: Span,
    pub type_only: bool,
    pub has_attributes: bool,
    /// `None` for `import "x"`.
    pub names: Option<Vec<ImportName>>,
}

pub(super) struct ImportName {
    pub span: Span,
    pub imported: Imported,
    pub imported_span: Span,
    pub local: String,
    pub local_span: Span,
    pub symbol: SymbolId,
    pub type_only: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Imported {
    Name(String),
    /// `import a from`, not `import { default as a } from`.
    Default,
    Namespace,
}

impl Imported {
    /// The name in the other module, when it is one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Default => Some("default"),
            Self::Namespace => None,
        }
    }
}

pub(super) struct Export {
    /// `default` for a default export, `*` for `export * from`.
    pub name: String,
    pub name_span: Span,
    pub origin: Origin,
    /// The specifier `a as b` when there is one.
    pub specifier: Option<Span>,
    /// Index in [`Module::statements`].
    pub statement: usize,
    pub type_only: bool,
}

pub(super) enum Origin {
    /// A binding of this file.
    Local { symbol: Option<SymbolId>, local: String, local_span: Span },
    /// A name of another module.
    From { specifier: String, imported: String, imported_span: Span },
    /// `export * as ns from`.
    Namespace { specifier: String },
    /// `export * from`.
    Star { specifier: String },
    /// `export default` of an expression or of something without a name.
    Anonymous,
}

#[derive(Clone, Debug)]
pub(super) struct Chain {
    pub root: Root,
    pub segments: Vec<Segment>,
}

#[derive(Clone, Debug)]
pub(super) enum Root {
    Symbol(SymbolId),
    Module(String),
}

#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub name: String,
    /// Of the name; between the quotes of `ns["a"]`.
    pub span: Span,
    /// `{ a }` in a pattern or a mock's factory.
    pub shorthand: bool,
}

/// An object literal that holds other objects, spread or under keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Bag {
    pub spreads: Vec<Chain>,
    /// Keys that the literal itself gives, after a spread or before, with what they hold where that is a chain.
    pub own: BTreeMap<String, Option<Chain>>,
}

pub(super) struct Augmentation {
    pub specifier: String,
    pub scope: ScopeId,
    pub span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpecifierKind {
    /// `import … from`, `export … from`, `import x = require()`.
    Static,
    /// `import()` and `require()`: a value whose members may be read.
    Dynamic,
    /// `import("x").T`.
    Type,
    Augmentation,
    /// `vi.mock("x")`.
    Mock,
}

pub(super) struct Specifier {
    pub text: String,
    pub span: Span,
    pub kind: SpecifierKind,
    /// Start of the expression, by which chains say that they follow it.
    pub at: u32,
    pub followed: bool,
}

impl Module {
    /// Reads a file. The error says why it cannot be read: `line 3: …`.
    pub fn read(path: &RelPath, text: &Arc<str>) -> Result<Self, String> {
        let source_type = SourceType::from_path(path.as_str()).map_err(|_| "it is not a script".to_owned())?;
        if text.len() > 20_000_000 {
            return Err("it is larger than 20 MB".to_owned());
        }
        check_depth(path, text)?;
        let allocator = Allocator::default();
        let parsed = Parser::new(&allocator, text, source_type).parse();
        if let Some(error) = parsed.diagnostics.errors().next() {
            let line = error.labels.iter().next().map_or(1, |label| line_of(text, label.offset() as usize));
            return Err(format!("line {line}: {}", error.message));
        }
        if parsed.panicked {
            return Err("the parser gave up".to_owned());
        }
        let program = &*allocator.alloc(parsed.program);
        let scoping = SemanticBuilder::new().build(program).semantic.into_scoping();
        let mut reader = Reader::new(&scoping);
        reader.read_top_level(program);
        reader.visit_program(program);
        let parts = reader.finish();
        let imported = parts
            .imports
            .iter()
            .enumerate()
            .flat_map(|(at, import)| {
                import.names.iter().flatten().enumerate().map(move |(index, name)| (name.symbol, (at, index)))
            })
            .collect();
        Ok(Self {
            path: path.clone(),
            text: text.clone(),
            names: parts.names,
            statements: parts.statements,
            imports: parts.imports,
            exports: parts.exports,
            chains: parts.chains,
            aliases: parts.aliases,
            bags: parts.bags,
            augmentations: parts.augmentations,
            specifiers: parts.specifiers,
            imported,
            comments: program.comments.iter().map(|c| c.span).collect(),
            has_jsx: parts.has_jsx,
            tags: parts.tags,
            place_bound: parts.place_bound,
            is_typescript: program.source_type.is_typescript(),
            scoping,
        })
    }

    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// `path:line` of a byte.
    pub fn place(&self, offset: u32) -> String {
        format!("{}:{}", self.path, line_of(&self.text, offset as usize))
    }

    /// The export that the file itself spells out under `name`.
    pub fn export(&self, name: &str) -> Option<&Export> {
        self.exports.iter().find(|export| export.name == name && !matches!(export.origin, Origin::Star { .. }))
    }

    pub fn stars(&self) -> impl Iterator<Item = &str> {
        self.exports.iter().filter_map(|export| match &export.origin {
            Origin::Star { specifier } => Some(specifier.as_str()),
            _ => None,
        })
    }

    pub fn import_of(&self, symbol: SymbolId) -> Option<(&Import, &ImportName)> {
        let (import, name) = *self.imported.get(&symbol)?;
        let import = self.imports.get(import)?;
        Some((import, import.names.as_ref()?.get(name)?))
    }

    /// The top-level binding called `name`.
    pub fn top_level(&self, name: &str) -> Option<SymbolId> {
        self.scoping.get_binding(self.scoping.root_scope_id(), name.into())
    }

    pub fn uses(&self, symbol: SymbolId) -> impl Iterator<Item = &Name> {
        self.names.iter().filter(move |name| name.symbol == Some(symbol))
    }

    /// A reference of that name that has no binding in the file.
    pub fn global_use(&self, wanted: &str) -> Option<&Name> {
        self.names.iter().find(|name| name.symbol.is_none() && name.flags.is_some() && self.slice(name.span) == wanted)
    }

    /// Where calling `symbol` by the name `to` would meet another meaning of `to`: captured by a nearer binding, or
    /// capturing a reference that now leads further out. `path:line`, sorted.
    pub fn collisions(&self, symbol: SymbolId, to: &str) -> Vec<String> {
        let home = self.scoping.symbol_scope_id(symbol);
        let mut offsets = BTreeSet::new();
        if let Some(other) = self.scoping.get_binding(home, to.into()) {
            offsets.insert(self.scoping.symbol_span(other).start);
        }
        for name in self.uses(symbol) {
            let between = self.scoping.scope_ancestors(name.scope).take_while(|scope| *scope != home);
            for scope in between {
                if let Some(other) = self.scoping.get_binding(scope, to.into()) {
                    offsets.insert(self.scoping.symbol_span(other).start);
                }
            }
        }
        for name in &self.names {
            if name.flags.is_some()
                && self.slice(name.span) == to
                && name.form != Form::Specifier
                && self.leads_outside(name, home)
            {
                offsets.insert(name.span.start);
            }
        }
        offsets.into_iter().map(|at| self.place(at)).collect()
    }

    /// Whether a reference inside `home` has its binding outside of it.
    fn leads_outside(&self, name: &Name, home: ScopeId) -> bool {
        let inside = |scope: ScopeId| self.scoping.scope_ancestors(scope).any(|s| s == home);
        inside(name.scope) && name.symbol.is_none_or(|symbol| !inside(self.scoping.symbol_scope_id(symbol)))
    }
}

/// Refuses nesting that a recursive parser could overflow its stack on; tree-sitter itself does not recurse.
fn check_depth(path: &RelPath, text: &str) -> Result<(), String> {
    let language = match Language::of(path) {
        Some(Language::TypeScript) => tree_sitter_typescript::LANGUAGE_TYPESCRIPT,
        Some(Language::Tsx) => tree_sitter_typescript::LANGUAGE_TSX,
        Some(Language::JavaScript) => tree_sitter_javascript::LANGUAGE,
        None => return Err("it is not a script".to_owned()),
    };
    if !could_be_deep(text) {
        return Ok(());
    }
    let mut parser = tree_sitter::Parser::new();
    parser.set_language(&language.into()).map_err(|error| error.to_string())?;
    let tree = parser.parse(text, None).ok_or("the parser gave up")?;
    let mut cursor = tree.walk();
    let mut depth = 0_usize;
    loop {
        if cursor.goto_first_child() {
            depth += 1;
            if depth > MAX_DEPTH {
                return Err(format!("it is nested deeper than {MAX_DEPTH} levels"));
            }
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return Ok(());
            }
            depth -= 1;
        }
    }
}

/// A cheap bound that spares nearly every file the second parse: brackets open at once, and operators in one
/// statement (`a + b + c` nests once per operator without a bracket).
fn could_be_deep(text: &str) -> bool {
    const SUSPICIOUS: usize = 150;
    let (mut open, mut run, mut in_word) = (0_usize, 0_usize, false);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' | b'<' => open += 1,
            b')' | b']' | b'}' | b'>' => open = open.saturating_sub(1),
            _ => {}
        }
        let word = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..);
        match byte {
            b';' | b',' | b'{' | b'}' => run = 0,
            b' ' | b'\n' | b'\r' | b'\t' => {}
            _ => run += usize::from(!word || !in_word),
        }
        in_word = word;
        if open > SUSPICIOUS || run > SUSPICIOUS * 2 {
            return true;
        }
    }
    // `else if` nests across braces.
    text.matches("else").count() > SUSPICIOUS
}
