//! What a reader of one file fills while it walks, and the rules of text that all readers share: where a declaration
//! begins, what its head is, which comment is its doc. Knows no syntax tree.

use super::super::chunks::Unit;
use super::super::{Export, Import, ImportKind, Reference, ReferenceKind, Symbol, SymbolKind, Target, words};
use crate::text::LineIndex;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

/// Everything that a walk finds, in the order of the text.
pub(super) struct Collector<'a> {
    pub text: &'a str,
    pub index: &'a LineIndex,
    pub symbols: Vec<Symbol>,
    pub units: Vec<Unit>,
    pub imports: Vec<Import>,
    pub exports: Vec<Export>,
    pub references: Vec<Reference>,
    /// Names that nothing in the file declares.
    pub globals: Vec<String>,
    /// Bytes of what is in `declare global`.
    pub augmented: Vec<Range<usize>>,
    /// Hashes, repeats included.
    pub identifiers: Vec<u32>,
}

/// Where the parts of a declaration are.
pub(super) struct Place<'n> {
    /// The whole, with what leads it.
    pub range: Range<usize>,
    pub name_range: Range<usize>,
    pub name: &'n str,
    pub kind: SymbolKind,
    /// Index of the enclosing symbol.
    pub parent: Option<usize>,
    /// Start of the syntax node, after comments.
    pub node_start: usize,
    /// Start of its body.
    pub body: Option<usize>,
}

/// A name taken from a module.
pub(super) struct Taken {
    /// As the module calls it.
    pub imported: String,
    pub local: String,
    /// Bytes of the module's name for it, where it is written.
    pub range: Option<Range<u32>>,
    /// Start of the local binding that stands for the whole module.
    pub binding: Option<u32>,
}

/// A name behind the dots of another: `c` of `a.b.c`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Behind {
    pub range: Range<u32>,
    /// Where the first name behind a dot begins: `b`.
    pub from: u32,
}

impl Behind {
    /// `b` of `a.b`.
    pub fn first(range: Range<u32>) -> Self {
        Self { from: range.start, range }
    }
}

/// What a name is used as, which may have others behind its dots.
pub(super) fn kind_of_name(kind: ReferenceKind, usual: ReferenceKind, members: &[Behind]) -> ReferenceKind {
    match (kind, usual) {
        _ if members.is_empty() => kind,
        (ReferenceKind::TypeOf | ReferenceKind::Read, ReferenceKind::Type) => kind,
        (_, ReferenceKind::Type) => ReferenceKind::Namespace,
        _ => usual,
    }
}

/// One use of a name.
pub(super) struct Used<'m> {
    /// What the name is in its file.
    pub own: Option<Target>,
    /// What it is if it is a module.
    pub module: Option<Target>,
    pub range: Range<u32>,
    /// What the name, or the member behind it, is used as.
    pub kind: ReferenceKind,
    /// What a name is used as where nothing else is known.
    pub usual: ReferenceKind,
    pub members: &'m [Behind],
    pub within: Option<u32>,
}

impl<'a> Collector<'a> {
    pub fn new(text: &'a str, index: &'a LineIndex) -> Self {
        Self {
            text,
            index,
            symbols: Vec::new(),
            units: Vec::new(),
            imports: Vec::new(),
            exports: Vec::new(),
            references: Vec::new(),
            globals: Vec::new(),
            augmented: Vec::new(),
            identifiers: Vec::new(),
        }
    }

    /// The text of a range; empty where there is none.
    pub fn slice(&self, range: Range<usize>) -> &'a str {
        self.text.get(range).unwrap_or_default()
    }

    /// 1-based.
    pub fn line(&self, at: usize) -> u32 {
        self.index.line_of(at) as u32 + 1
    }

    /// The row of the last byte before `end`.
    fn last_row(&self, end: usize) -> u32 {
        self.index.line_of(end.saturating_sub(1)) as u32
    }

    pub fn identifier(&mut self, name: &str) {
        self.identifiers.push(words::hash(name));
    }

    pub fn take_identifiers_of(&mut self, hashes: Vec<u32>) {
        self.identifiers.extend(hashes);
    }

    /// Sorted, each once.
    pub fn take_identifiers(&mut self) -> Vec<u32> {
        let mut identifiers = std::mem::take(&mut self.identifiers);
        identifiers.sort_unstable();
        identifiers.dedup();
        identifiers
    }

    /// Indices of the outermost symbols in `declare global`, sorted.
    pub fn augmenting(&self) -> Vec<u32> {
        if self.augmented.is_empty() {
            return Vec::new();
        }
        let inside = |at: usize| self.augmented.iter().any(|range| range.contains(&at));
        let outermost = self.symbols.iter().zip(0..).filter(|(symbol, _)| symbol.parent.is_none());
        outermost.filter(|(symbol, _)| inside(symbol.name_range.start)).map(|(_, at)| at).collect()
    }

    /// Starts of the names of [`augmenting`](Self::augmenting) symbols.
    pub fn augmenting_names(&self) -> BTreeSet<u32> {
        self.augmenting().into_iter().map(|at| self.symbols[at as usize].name_range.start as u32).collect()
    }

    /// Adds a piece that the file can be cut into; gives its index if it is long enough for its parts to matter.
    pub fn unit(&mut self, range: Range<usize>, parent: Option<usize>) -> Option<usize> {
        let first = self.index.line_of(range.start) as u32;
        let unit = Unit { first, last: self.last_row(range.end.max(range.start)).max(first), parent };
        let at = self.units.len();
        self.units.push(unit);
        unit.is_long().then_some(at)
    }

    /// Adds a symbol; gives its index.
    pub fn symbol(&mut self, place: Place<'_>) -> usize {
        let Place { range, name_range, name, kind, parent, node_start, body } = place;
        let first = self.index.line_of(range.start) as u32 + 1;
        let last = (self.last_row(range.end) + 1).max(first);
        let at = self.symbols.len();
        let head = self.head(&range, node_start, body);
        self.symbols.push(Symbol {
            name: name.to_owned(),
            kind,
            lines: [first, last],
            name_range,
            doc: self.doc(&range, &head),
            head,
            range,
            exported: false,
            parent,
        });
        at
    }

    /// From the declaration's first word to its body.
    fn head(&self, range: &Range<usize>, node_start: usize, body: Option<usize>) -> Range<usize> {
        let start = self.code_start(range.start, node_start);
        let end = body.unwrap_or(range.end).max(start);
        start..start + self.slice(start..end).trim_end().len()
    }

    /// The comment that the declaration begins with.
    fn doc(&self, range: &Range<usize>, head: &Range<usize>) -> Option<Range<usize>> {
        let lead = self.text.get(range.start..head.start)?.trim_end();
        lead.starts_with('/').then(|| range.start..range.start + lead.len())
    }

    /// The first code at or after `start`: comments in front of a declaration are not part of its signature. What
    /// stands between the range's start and the node is comments, decorators and words like `export`.
    fn code_start(&self, start: usize, node_start: usize) -> usize {
        let Some(between) = self.text.get(start..node_start) else {
            return node_start;
        };
        let words = ["export", "declare", "const", "let", "var"];
        let line = between.rfind('\n').map_or(0, |at| at + 1);
        let tail = between[line..].trim_start();
        if words.iter().any(|word| tail.starts_with(word)) { node_start - tail.len() } else { node_start }
    }

    /// Adds a module specifier, and a reference for every name of it that is written there; gives its index.
    pub fn import(
        &mut self,
        quoted: Range<usize>,
        names: Vec<Taken>,
        type_only: bool,
        kind: ImportKind,
        within: Option<u32>,
    ) -> u32 {
        let import = self.imports.len() as u32;
        let role = match kind {
            ImportKind::Static | ImportKind::Equals => ReferenceKind::Import,
            ImportKind::Reexport => ReferenceKind::Export,
            ImportKind::Type | ImportKind::Augment => ReferenceKind::Type,
            ImportKind::Dynamic | ImportKind::Require => ReferenceKind::Read,
        };
        for (name, taken) in (0u32..).zip(&names) {
            let target = Target::Import { import, name };
            let written = taken.range.clone();
            let reference = |range| Reference { range, kind: role, target, member: None, within };
            self.references.extend(written.map(reference));
        }
        let line = self.line(quoted.start);
        let range = inside_quotes(quoted, self.text);
        self.imports.push(Import {
            specifier: self.slice(range.clone()).to_owned(),
            names: names.into_iter().map(|taken| (taken.imported, taken.local)).collect(),
            type_only,
            reexport: kind == ImportKind::Reexport,
            kind,
            line,
            range,
        });
        import
    }

    /// Adds the references that a use of a name is.
    pub fn reference(&mut self, used: Used<'_>) {
        let Used { own, module, range, kind, usual, members, within } = used;
        let usual = kind_of_name(kind, usual, members);
        let name = |target| Reference { range, kind: usual, target, member: None, within };
        self.references.extend(own.or(module).map(name));
        // Only what comes from another module can be a module itself.
        let Some(target) = module else { return };
        for Behind { range, from } in members {
            let names = self.slice(*from as usize..range.end as usize);
            let member = match names.chars().all(is_of_path) {
                true => Arc::from(names),
                // Broken over lines, or with `?.`.
                false => names.chars().filter(|c| is_of_path(*c)).collect::<String>().into(),
            };
            let has_more = members.iter().any(|other| other.from == *from && other.range.start > range.end);
            let kind = if has_more { usual } else { kind };
            self.references.push(Reference { range: range.clone(), kind, target, member: Some(member), within });
        }
    }

    /// Adds an export of a local binding.
    pub fn export(&mut self, name: &str, local: Option<&str>, type_only: bool, line: u32) {
        let local = local.map(str::to_owned);
        self.exports.push(Export { name: name.to_owned(), local, from: None, imported: None, type_only, line });
    }

    /// Adds what `export … from` hands on.
    pub fn reexport(&mut self, names: &[Taken], from: &str, type_only: bool, line: u32) {
        self.exports.extend(names.iter().map(|taken| Export {
            name: taken.local.clone(),
            local: None,
            from: Some(from.to_owned()),
            imported: Some(taken.imported.clone()),
            type_only,
            line,
        }));
    }

    /// Adds the use of a name that nothing in the file declares.
    pub fn global(&mut self, name: &str, range: Range<u32>, kind: ReferenceKind, within: Option<u32>) {
        let known = self.globals.iter().position(|known| known == name);
        if known.is_none() && self.globals.len() >= MAX_GLOBALS {
            return;
        }
        let at = known.unwrap_or_else(|| {
            self.globals.push(name.to_owned());
            self.globals.len() - 1
        });
        let target = Target::Global(at as u32);
        self.references.push(Reference { range, kind, target, member: None, within });
    }

    /// Puts the references in the order of the text.
    pub fn sort(&mut self) {
        self.references.sort_by_key(|reference| reference.range.start);
    }
}

/// The most global names that are kept of one file; a bundle or a data file may have thousands.
const MAX_GLOBALS: usize = 64;

/// Whether it is of a name, or a dot between two.
fn is_of_path(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$' | '.' | '\u{200c}' | '\u{200d}') || !c.is_ascii()
}

/// The range without the quotes at its ends, if it has some.
pub(super) fn inside_quotes(range: Range<usize>, text: &str) -> Range<usize> {
    let quoted = text.get(range.clone()).is_some_and(|text| text.starts_with(['"', '\'', '`']));
    if quoted && range.len() >= 2 { range.start + 1..range.end - 1 } else { range }
}

/// Whether only white space stands before `at` on its line.
pub(super) fn is_first_on_line(text: &str, at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default();
    let line = before.rfind(['\n', '\r']).map_or(0, |end| end + 1);
    before[line..].trim_start_matches('\u{feff}').trim().is_empty()
}
