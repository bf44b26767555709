//! What one text says about itself: symbols, imports, exports, references, identifiers and chunks.
//!
//! A language has two readers behind a [`LanguageAdapter`]: one for text that is valid, and one for text that somebody
//! is typing. Both give the same facts of the same valid text.

mod collect;
mod ecma;
mod globals;
mod kinds;
mod live;
mod modules;
mod scopes;
mod tree;

pub use live::LiveFile;

use super::{Analysis, FileFacts, Import, SymbolKind};
use super::{chunks, words};
use crate::path::RelPath;
use crate::syntax::{self, Language};
use crate::text::LineIndex;
use collect::Collector;
use std::collections::HashSet;
use tree_sitter::Tree;

/// Larger texts are data or bundles: they are listed, not read.
const MAX_BYTES: usize = 4 << 20;

/// A language that the graph reads.
trait LanguageAdapter: Sync {
    /// The grammar that half-typed text of the path is parsed with; `None`: the adapter does not read the path.
    fn grammar(&self, path: &RelPath) -> Option<Language>;

    /// Reads a valid text, the cheapest way there is. `None`: the text is in error. May recurse as deeply as the text
    /// is nested.
    fn at_rest<'t>(&self, path: &RelPath, text: &'t str, index: &'t LineIndex) -> Option<Collector<'t>>;

    /// Reads what survives in a text that may be in error, from its tree.
    fn live<'t>(&self, language: Language, text: &'t str, index: &'t LineIndex, tree: &Tree) -> Collector<'t>;
}

/// TypeScript and JavaScript, JSX included.
struct Ecma;

impl LanguageAdapter for Ecma {
    fn grammar(&self, path: &RelPath) -> Option<Language> {
        Language::of(path)
    }

    fn at_rest<'t>(&self, path: &RelPath, text: &'t str, index: &'t LineIndex) -> Option<Collector<'t>> {
        ecma::read(&syntax::source_types(path)?, text, index)
    }

    fn live<'t>(&self, language: Language, text: &'t str, index: &'t LineIndex, tree: &Tree) -> Collector<'t> {
        tree::read(language, text, index, tree)
    }
}

/// One line for each language.
const ADAPTERS: &[&dyn LanguageAdapter] = &[&Ecma];

fn adapter(path: &RelPath) -> Option<(&'static dyn LanguageAdapter, Language)> {
    ADAPTERS.iter().find_map(|adapter| Some((*adapter, adapter.grammar(path)?)))
}

/// Reads a file's text. Total: a broken text gives the facts that survive, another language its lines and chunks.
pub fn analyse(path: &RelPath, text: &str) -> Analysis {
    let facts = facts(path, text);
    Analysis { lexicon: chunks::lexicon(text, &facts.chunks), facts }
}

/// What a file's text imports, in order.
pub fn imports(path: &RelPath, text: &str) -> Vec<Import> {
    facts(path, text).imports
}

/// Reads a file's text as if somebody were typing it: by the grammar that survives errors, whether it has some or not.
/// Of a valid text the same as [`analyse`], but for what the grammar gets wrong.
pub fn analyse_as_typed(path: &RelPath, text: &str) -> FileFacts {
    let Some((adapter, language)) = adapter(path).filter(|_| text.len() <= MAX_BYTES) else {
        return facts(path, text);
    };
    let index = LineIndex::new(text);
    let tree = syntax::parse(language, text);
    let found = adapter.live(language, text, &index, &tree);
    assemble(found, tree.root_node().has_error(), super::generated::is_generated(path, text))
}

fn facts(path: &RelPath, text: &str) -> FileFacts {
    let index = LineIndex::new(text);
    let generated = super::generated::is_generated(path, text);
    if text.len() > MAX_BYTES {
        return FileFacts { lines: lines(&index), generated: true, ..FileFacts::default() };
    }
    let (found, broken) = match adapter(path) {
        Some((adapter, language)) => read(adapter, language, path, text, &index, generated),
        None => (prose(text, &index), false),
    };
    assemble(found, broken, generated)
}

fn read<'t>(
    adapter: &dyn LanguageAdapter,
    language: Language,
    path: &RelPath,
    text: &'t str,
    index: &'t LineIndex,
    generated: bool,
) -> (Collector<'t>, bool) {
    match syntax::if_shallow(text, || adapter.at_rest(path, text, index)) {
        Some(Some(found)) => return (found, false),
        Some(None) => return (adapter.live(language, text, index, &syntax::parse(language, text)), true),
        // A bundle takes a hundred times its size to find out how deep it is, and nobody edits it.
        None if generated => return (unread(text, index), true),
        None => {}
    }
    let tree = syntax::parse(language, text);
    if !syntax::is_too_deep(&tree)
        && let Some(found) = adapter.at_rest(path, text, index)
    {
        return (found, false);
    }
    (adapter.live(language, text, index, &tree), true)
}

/// A text without a grammar.
fn prose<'t>(text: &'t str, index: &'t LineIndex) -> Collector<'t> {
    let mut found = Collector::new(text, index);
    found.units = chunks::paragraphs(text, index);
    found
}

/// A text that is not parsed: whatever it could use counts as used.
fn unread<'t>(text: &'t str, index: &'t LineIndex) -> Collector<'t> {
    let mut found = prose(text, index);
    words::words(text).for_each(|word| found.identifiers.push(words::hash(word)));
    found
}

fn lines(index: &LineIndex) -> u32 {
    u32::try_from(index.line_count()).unwrap_or(u32::MAX)
}

fn assemble(mut found: Collector<'_>, broken: bool, generated: bool) -> FileFacts {
    let identifiers = found.take_identifiers();
    let augments_global = found.augmenting();
    let mut facts = FileFacts {
        chunks: Vec::new(),
        symbols: found.symbols,
        imports: found.imports,
        exports: found.exports,
        references: found.references,
        globals: found.globals,
        augments_global,
        identifiers,
        broken,
        lines: lines(found.index),
        generated,
    };
    mark_exported(&mut facts);
    facts.chunks = chunks::chunks(found.text, found.index, &found.units, &facts.symbols);
    facts
}

/// A local binding that leaves by `export { a }` or `export default a` is exported too; so are an exported type's members.
fn mark_exported(facts: &mut FileFacts) {
    let names: HashSet<&str> = facts
        .exports
        .iter()
        .filter(|export| export.from.is_none())
        .filter_map(|export| export.local.as_deref())
        .collect();
    let mut exported: Vec<bool> = Vec::with_capacity(facts.symbols.len());
    for (index, symbol) in facts.symbols.iter().enumerate() {
        let inherited = symbol.parent.and_then(|parent| exported.get(parent)).copied();
        exported.push(match (inherited, symbol.kind) {
            (None, _) => symbol.exported || names.contains(symbol.name.as_str()) && !facts.is_augmenting(index),
            (Some(parent), SymbolKind::Method | SymbolKind::Property) => parent,
            (Some(parent), _) => parent && symbol.exported,
        });
    }
    for (symbol, exported) in facts.symbols.iter_mut().zip(exported) {
        symbol.exported = exported;
    }
}

#[cfg(test)]
mod tests;
