//! What one text says about itself: symbols, imports, exports, identifiers and chunks, in one walk over its syntax tree.

use super::chunks::{self, Unit};
use super::kinds::{Kind, Kinds};
use super::modules::{self, Modules};
use super::{Analysis, FileFacts, Symbol, SymbolKind, words};
use crate::path::RelPath;
use crate::syntax::{self, Language};
use crate::text::LineIndex;
use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use tree_sitter::Node;

/// Larger texts are data or bundles: they are listed, not read.
const MAX_BYTES: usize = 4 << 20;

/// Reads a file's text. Total: a broken text gives the facts that survive, another language its lines and chunks.
pub fn analyse(path: &RelPath, text: &str) -> Analysis {
    let facts = facts(path, text);
    Analysis { lexicon: chunks::lexicon(text, &facts.chunks), facts }
}

fn facts(path: &RelPath, text: &str) -> FileFacts {
    let index = LineIndex::new(text);
    let mut facts = FileFacts {
        lines: u32::try_from(index.line_count()).unwrap_or(u32::MAX),
        generated: super::generated::is_generated(path, text),
        ..FileFacts::default()
    };
    if text.len() > MAX_BYTES {
        facts.generated = true;
        return facts;
    }
    let units = match Language::of(path) {
        Some(language) => read(language, path, text, &index, &mut facts),
        None => chunks::paragraphs(text, &index),
    };
    facts.chunks = chunks::chunks(text, &index, &units, &facts.symbols);
    facts
}

fn read(language: Language, path: &RelPath, text: &str, index: &LineIndex, facts: &mut FileFacts) -> Vec<Unit> {
    let tree = syntax::parse(language, text);
    let mut reader = Reader::new(text, index, Kinds::of(language));
    syntax::walk(&mut tree.walk(), |node, depth| {
        reader.enter(node, depth);
        true
    });
    let Reader { symbols, units, modules, identifiers, .. } = reader;
    facts.symbols = symbols;
    (facts.imports, facts.exports) = modules.finish();
    if tree.root_node().has_error() {
        facts.broken = modules::supplement(path, text, &tree, index, facts);
    }
    mark_exported(facts);
    let identifiers: BTreeSet<u32> = identifiers.into_iter().map(words::hash).collect();
    facts.identifiers = identifiers.into_iter().collect();
    units
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
    for symbol in &facts.symbols {
        let inherited = symbol.parent.and_then(|parent| exported.get(parent)).copied();
        exported.push(match (inherited, symbol.kind) {
            (None, _) => symbol.exported || names.contains(symbol.name.as_str()),
            (Some(parent), SymbolKind::Method | SymbolKind::Property) => parent,
            (Some(parent), _) => parent && symbol.exported,
        });
    }
    for (symbol, exported) in facts.symbols.iter_mut().zip(exported) {
        symbol.exported = exported;
    }
}

/// Comments or decorators right before something.
struct Lead {
    depth: u32,
    start: usize,
    end_row: usize,
}

/// A statement around a declaration (`export …`, `declare …`, `const …, …;`), which lends it its range.
#[derive(Clone)]
struct Wrapper {
    depth: u32,
    range: Range<usize>,
    exported: bool,
    default: bool,
    /// For `const`, `let` and `var`: how many declarators there are.
    declarators: usize,
}

/// The state of the walk.
struct Reader<'a> {
    text: &'a str,
    index: &'a LineIndex,
    kinds: &'static Kinds,
    /// The kinds of the nodes from the root to the parent of the current one.
    above: Vec<Kind>,
    symbols: Vec<Symbol>,
    /// Depth and index of the symbols around the current node.
    open: Vec<(u32, usize)>,
    lead: Option<Lead>,
    /// Around the current node, the outermost first.
    wrappers: Vec<Wrapper>,
    /// Depths at which statements are top-level: of the file, then of the namespaces around the current node.
    levels: Vec<u32>,
    /// Nodes at this depth and deeper are in a type.
    type_floor: Option<u32>,
    units: Vec<Unit>,
    /// Depth and index of the long units around the current node.
    open_units: Vec<(u32, usize)>,
    /// The depth of the short unit around the current node.
    short_unit: Option<u32>,
    modules: Modules<'a>,
    identifiers: BTreeSet<&'a str>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, index: &'a LineIndex, kinds: &'static Kinds) -> Self {
        Self {
            text,
            index,
            kinds,
            above: Vec::new(),
            symbols: Vec::new(),
            open: Vec::new(),
            lead: None,
            wrappers: Vec::new(),
            levels: vec![1],
            type_floor: None,
            units: Vec::new(),
            open_units: Vec::new(),
            short_unit: None,
            modules: Modules::new(text, kinds),
            identifiers: BTreeSet::new(),
        }
    }

    fn enter(&mut self, node: Node<'_>, depth: u32) {
        let kind = self.kinds.kind(&node);
        self.leave_to(depth);
        self.above.truncate(depth as usize);
        if matches!(kind, Kind::Comment | Kind::Decorator) {
            self.note_lead(&node, depth);
        } else if kind != Kind::Token {
            let start = self.take_lead(&node, depth);
            self.note_unit(&node, depth, start);
            self.read(&node, kind, depth, start);
        } else if node.kind() == "as" || node.kind() == "satisfies" {
            self.type_floor.get_or_insert(depth);
        }
        self.above.push(kind);
    }

    /// Forgets what the walk has left.
    fn leave_to(&mut self, depth: u32) {
        while self.open.last().is_some_and(|(at, _)| *at >= depth) {
            self.open.pop();
        }
        while self.open_units.last().is_some_and(|(at, _)| *at >= depth) {
            self.open_units.pop();
        }
        while self.levels.len() > 1 && self.levels.last().is_some_and(|level| *level > depth + 1) {
            self.levels.pop();
        }
        while self.wrappers.last().is_some_and(|wrapper| wrapper.depth >= depth) {
            self.wrappers.pop();
        }
        if self.type_floor.is_some_and(|floor| floor > depth) {
            self.type_floor = None;
        }
        if self.short_unit.is_some_and(|at| at >= depth) {
            self.short_unit = None;
        }
        if self.lead.as_ref().is_some_and(|lead| lead.depth > depth) {
            self.lead = None;
        }
    }

    fn note_lead(&mut self, node: &Node<'_>, depth: u32) {
        let end_row = node.end_position().row;
        let row = node.start_position().row;
        if let Some(lead) = &mut self.lead
            && lead.depth == depth
            && lead.end_row + 1 >= row
        {
            lead.end_row = end_row;
            return;
        }
        self.lead = self.is_first_on_line(node).then(|| Lead { depth, start: node.start_byte(), end_row });
    }

    fn is_first_on_line(&self, node: &Node<'_>) -> bool {
        let line = self.index.line_range(self.index.line_of(node.start_byte()));
        self.text.get(line.start..node.start_byte()).is_some_and(|before| before.trim().is_empty())
    }

    /// Where the node starts, what leads it included.
    fn take_lead(&mut self, node: &Node<'_>, depth: u32) -> usize {
        match &self.lead {
            Some(lead) if lead.depth == depth => {
                let start = if lead.end_row + 1 >= node.start_position().row { lead.start } else { node.start_byte() };
                self.lead = None;
                start
            }
            _ => node.start_byte(),
        }
    }

    fn parent_kind(&self) -> Kind {
        self.above.last().copied().unwrap_or(Kind::Other)
    }

    fn note_unit(&mut self, node: &Node<'_>, depth: u32, start: usize) {
        if self.short_unit.is_some() || !self.parent_kind().is_container() {
            return;
        }
        let unit = Unit {
            first: self.index.line_of(start) as u32,
            last: self.last_row(node.end_byte().max(start)),
            parent: self.open_units.last().map(|(_, unit)| *unit),
        };
        if unit.is_long() {
            self.open_units.push((depth, self.units.len()));
        } else {
            self.short_unit = Some(depth);
        }
        self.units.push(unit);
    }

    /// The row of the last byte before `end`.
    fn last_row(&self, end: usize) -> u32 {
        self.index.line_of(end.saturating_sub(1)) as u32
    }

    fn read(&mut self, node: &Node<'_>, kind: Kind, depth: u32, start: usize) {
        match kind {
            Kind::Identifier => {
                if let Some(name) = self.text.get(node.byte_range()) {
                    self.identifiers.insert(name);
                }
                if self.parent_kind() == Kind::EnumBody {
                    self.member(node, node, SymbolKind::Property, depth, start);
                }
            }
            Kind::Import => self.modules.import_statement(node),
            Kind::ImportAlias => self.declaration(node, SymbolKind::Variable, depth, start),
            Kind::Export => self.export(node, depth, start),
            Kind::Ambient => self.ambient(node, depth, start),
            Kind::ExpressionStatement => self.wrap(node, depth, start, false, false),
            Kind::Variables => self.variables(node, depth, start),
            Kind::Declarator => self.declarator(node, depth),
            Kind::Declaration(symbol) => self.declaration(node, symbol, depth, start),
            Kind::Namespace => self.namespace(node, depth, start),
            Kind::Member(symbol) => self.named_member(node, symbol, depth, start),
            Kind::Call => self.modules.call(node, self.type_floor.is_some()),
            Kind::MemberExpression => self.modules.access(node),
            Kind::TypeContext => {
                self.type_floor.get_or_insert(depth + 1);
            }
            _ => {}
        }
        if kind == Kind::Declaration(SymbolKind::TypeAlias) {
            self.type_floor.get_or_insert(depth + 1);
        }
    }

    fn wrap(&mut self, node: &Node<'_>, depth: u32, start: usize, exported: bool, default: bool) {
        let (exported, default, range) = match self.wrapper(depth) {
            Some(outer) => (outer.exported, outer.default, outer.range.clone()),
            None => (exported, default, start..node.end_byte()),
        };
        self.wrappers.push(Wrapper { depth, range, exported, default, declarators: 0 });
    }

    /// The statement that the node at `depth` is directly in.
    fn wrapper(&self, depth: u32) -> Option<&Wrapper> {
        self.wrappers.last().filter(|wrapper| wrapper.depth + 1 == depth)
    }

    fn is_top_level(&self, depth: u32) -> bool {
        self.levels.last() == Some(&depth)
    }

    fn export(&mut self, node: &Node<'_>, depth: u32, start: usize) {
        let default = modules::has_token(node, "default");
        if self.is_top_level(depth) && self.levels.len() == 1 {
            self.modules.export_statement(node);
        }
        self.wrap(node, depth, start, true, default);
        let anonymous =
            node.child_by_field_id(self.kinds.fields.value).filter(|value| default && value.kind() != "identifier");
        if let Some(value) = anonymous {
            let kind = match self.kinds.kind(&value) {
                Kind::ClassExpression => SymbolKind::Class,
                Kind::FunctionExpression => SymbolKind::Function,
                _ => SymbolKind::Variable,
            };
            let place = value.start_byte()..value.start_byte();
            let at = self.push(start..node.end_byte(), place, "default", kind, depth, &value);
            self.symbols[at].exported = true;
        }
    }

    /// `declare …`; `declare global { … }` holds statements like a namespace does.
    fn ambient(&mut self, node: &Node<'_>, depth: u32, start: usize) {
        self.wrap(node, depth, start, false, false);
        if modules::has_token(node, "global") {
            self.levels.push(depth + 2);
        }
    }

    fn variables(&mut self, node: &Node<'_>, depth: u32, start: usize) {
        self.wrap(node, depth, start, false, false);
        let mut cursor = node.walk();
        let count = node.named_children(&mut cursor).filter(|child| self.kinds.kind(child) == Kind::Declarator).count();
        if let Some(wrapper) = self.wrappers.last_mut() {
            wrapper.declarators = count;
        }
    }

    /// The depth of the statement that the current node declares in, which decides whether it is top-level.
    fn statement_depth(&self, depth: u32) -> u32 {
        let wrappers = [Kind::Export, Kind::Ambient, Kind::Variables, Kind::ExpressionStatement];
        let mut depth = depth;
        while depth > 0 && self.above.get(depth as usize - 1).is_some_and(|kind| wrappers.contains(kind)) {
            depth -= 1;
        }
        depth
    }

    fn declarator(&mut self, node: &Node<'_>, depth: u32) {
        let fields = &self.kinds.fields;
        let Some(name) = node.child_by_field_id(fields.name) else {
            return;
        };
        let value = node.child_by_field_id(fields.value);
        if let Some(value) = value {
            self.modules.binding(&name, &value);
        }
        let kind = match value.map(|value| self.kinds.kind(&value)) {
            Some(Kind::FunctionExpression) => SymbolKind::Function,
            Some(Kind::ClassExpression) => SymbolKind::Class,
            _ => SymbolKind::Variable,
        };
        if kind == SymbolKind::Variable && !self.is_top_level(self.statement_depth(depth)) {
            return;
        }
        let Some(wrapper) = self.wrapper(depth).cloned() else {
            return;
        };
        let single = wrapper.declarators == 1;
        for (name, range) in modules::bound_names(&name, self.text, self.kinds) {
            let whole = if single { wrapper.range.clone() } else { node.byte_range() };
            let at = self.push(whole, range, name, kind, depth, node);
            self.symbols[at].exported = wrapper.exported;
            if wrapper.exported && self.levels.len() == 1 {
                self.modules.export_local(name, node);
            }
        }
    }

    fn declaration(&mut self, node: &Node<'_>, kind: SymbolKind, depth: u32, start: usize) {
        let name = node.child_by_field_id(self.kinds.fields.name).or_else(|| node.named_child(0));
        let Some(name) = name else { return };
        let wrapper = self.wrapper(depth).cloned();
        let range = wrapper.as_ref().map_or(start..node.end_byte(), |wrapper| wrapper.range.clone());
        let text = self.text.get(name.byte_range()).unwrap_or_default().trim_matches(['"', '\'']);
        let at = self.push(range, name.byte_range(), text, kind, depth, node);
        if let Some(wrapper) = wrapper.filter(|wrapper| wrapper.exported) {
            self.symbols[at].exported = true;
            if self.levels.len() == 1 {
                self.modules.export_declaration(text, wrapper.default, kind, node);
            }
        }
    }

    fn namespace(&mut self, node: &Node<'_>, depth: u32, start: usize) {
        let name = node.child_by_field_id(self.kinds.fields.name);
        if let Some(name) = name.filter(|name| name.kind() == "string") {
            self.modules.augmentation(&name);
        }
        self.declaration(node, SymbolKind::Namespace, depth, start);
        self.levels.push(depth + 2);
    }

    fn named_member(&mut self, node: &Node<'_>, kind: SymbolKind, depth: u32, start: usize) {
        let in_body = matches!(self.parent_kind(), Kind::ClassBody | Kind::InterfaceBody | Kind::EnumBody);
        // Members of object literals count when they are methods; those of type literals never do.
        let object_method = kind == SymbolKind::Method && self.parent_kind() == Kind::Object;
        if !in_body && !object_method {
            return;
        }
        let fields = &self.kinds.fields;
        let name = node.child_by_field_id(fields.name).or_else(|| node.child_by_field_id(fields.property));
        if let Some(name) = name {
            self.member(node, &name, kind, depth, start);
        }
    }

    fn member(&mut self, node: &Node<'_>, name: &Node<'_>, kind: SymbolKind, depth: u32, start: usize) {
        let text = self.text.get(name.byte_range()).unwrap_or_default();
        self.push(start..node.end_byte(), name.byte_range(), text, kind, depth, node);
    }

    /// Adds a symbol whose parts are in `node`; gives its index.
    fn push(
        &mut self,
        range: Range<usize>,
        name_range: Range<usize>,
        name: &str,
        kind: SymbolKind,
        depth: u32,
        node: &Node<'_>,
    ) -> usize {
        let first = self.index.line_of(range.start) as u32 + 1;
        let last = (self.last_row(range.end) + 1).max(first);
        let at = self.symbols.len();
        let head = self.head(&range, node);
        self.symbols.push(Symbol {
            name: name.to_owned(),
            kind,
            lines: [first, last],
            name_range,
            doc: self.doc(&range, &head),
            head,
            range,
            exported: false,
            parent: self.open.last().map(|(_, parent)| *parent),
        });
        if self.open.last().is_none_or(|(at, _)| *at < depth) {
            self.open.push((depth, at));
        }
        at
    }

    /// From the declaration's first word to its body.
    fn head(&self, range: &Range<usize>, node: &Node<'_>) -> Range<usize> {
        let fields = &self.kinds.fields;
        let value = node.child_by_field_id(fields.value);
        let body = node.child_by_field_id(fields.body).or_else(|| value?.child_by_field_id(fields.body));
        let start = self.code_start(range.start, node.start_byte());
        let end = body.map_or(range.end, |body| body.start_byte()).max(start);
        let source = self.text.get(start..end).unwrap_or_default();
        start..start + source.trim_end().len()
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
        let words = ["export default", "export declare", "export", "declare", "const", "let", "var"];
        let line = between.rfind('\n').map_or(0, |at| at + 1);
        let tail = between[line..].trim_start();
        if words.iter().any(|word| tail.starts_with(word)) { node_start - tail.len() } else { node_start }
    }
}

#[cfg(test)]
mod tests;
