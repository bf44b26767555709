//! What half-typed text says, read from a tree-sitter tree in one walk: the same facts as [`super::ecma`] gives of text
//! that parses, as far as they survive.

use super::collect::{self, Behind, Collector, is_first_on_line};
use super::ecma::Hole;
use super::kinds::{Kind, Kinds};
use super::modules::{self, Modules};
use super::scopes::Scopes;
use crate::graph::{ImportKind, ReferenceKind, SymbolKind, Target};
use crate::syntax::{self, Language};
use crate::text::LineIndex;
use std::collections::BTreeMap;
use std::ops::Range;
use tree_sitter::{Node, Tree};

/// Reads a tree of the text.
pub(super) fn read<'t>(language: Language, text: &'t str, index: &'t LineIndex, tree: &Tree) -> Collector<'t> {
    let mut reader = Reader::new(text, index, Kinds::of(language));
    syntax::walk(&mut tree.walk(), |node, depth| {
        reader.enter(node, depth);
        true
    });
    reader.finish()
}

/// What a part of a text is read as.
pub(super) struct Place {
    /// In the file itself, a namespace or `declare global`.
    pub top: bool,
    /// Whether its exports leave the file.
    pub leaves: bool,
    /// In the file's own scope.
    pub in_file: bool,
}

/// A use that leads out of the part it is in.
pub(super) struct Free<'t> {
    pub name: &'t str,
    pub range: Range<u32>,
    pub kind: ReferenceKind,
    pub usual: ReferenceKind,
    pub members: Vec<Behind>,
    pub within: Option<u32>,
}

/// Reads a part of a text by itself into what is found of the whole: `parent` is the symbol around it, `units` the unit
/// (`None`: its own units do not matter). Gives its free uses; what it declares in the file is added to `declared`.
pub(super) fn read_part<'t>(
    hole: &Hole,
    text: &'t str,
    place: &Place,
    parent: Option<usize>,
    units: Option<Option<usize>>,
    whole: &mut Collector<'t>,
    declared: &mut BTreeMap<&'t str, Option<Target>>,
) -> Vec<Free<'t>> {
    // The part is read where it stands, its place being all that is left of the text around it.
    let part = text.get(hole.range.clone()).unwrap_or_default();
    let (before, after) = if hole.of_class { ("class _{", "}") } else { ("", "") };
    let wrapped = format!("{before}{part}{}{after}", closing(part));
    let tree = syntax::parse(hole.language, &wrapped);
    let index = LineIndex::new(&wrapped);
    let mut reader = Reader::new(&wrapped, &index, Kinds::of(hole.language));
    reader.levels = match (place.top, place.leaves) {
        (true, true) => vec![1],
        (true, false) => vec![0, 1],
        (false, _) => vec![0, 0],
    };
    syntax::walk(&mut tree.walk(), |node, depth| {
        reader.enter(node, depth);
        true
    });
    let skipped = usize::from(hole.of_class && !reader.found.symbols.is_empty());
    let mut found = reader.found;
    let (uses, bound) = reader.scopes.finish_part(&mut found, place.in_file && !hole.of_class);
    let shift = Shift {
        bytes: hole.range.start as i64 - before.len() as i64,
        end: hole.range.end,
        rows: whole.index.line_of(hole.range.start) as u32,
        symbols: whole.symbols.len() as i64 - skipped as i64,
        imports: whole.imports.len() as u32,
        skipped,
        parent,
    };
    for (name, start, target) in bound {
        let place = shift.byte(start as usize);
        if let Some(name) = text.get(place..place + name.len()) {
            declared.insert(name, target.map(|target| shift.target(target)));
        }
    }
    let free = uses.into_iter().filter_map(|used| {
        let range = shift.range32(used.range);
        Some(Free {
            name: text.get(range.start as usize..range.end as usize)?,
            range,
            kind: used.kind,
            usual: used.usual,
            members: used
                .members
                .into_iter()
                .map(|name| Behind {
                    from: shift.range32(name.from..name.from).start,
                    range: shift.range32(name.range),
                })
                .collect(),
            within: used.within.and_then(|at| shift.symbol(at as usize)).map(|at| at as u32),
        })
    });
    let free = free.collect();
    shift.append(found, units, whole);
    free
}

/// What closes the brackets and quotes that a part leaves open. An approximation: it only has to help a parser that
/// survives errors.
fn closing(part: &str) -> String {
    let mut open: Vec<char> = Vec::new();
    let mut chars = part.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, open.last()) {
            ('\\', _) => {
                chars.next();
            }
            ('\n', Some('"' | '\'')) => {
                open.pop();
            }
            (c, Some(quote @ ('"' | '\'' | '`'))) if c == *quote => {
                open.pop();
            }
            ('$', Some('`')) if chars.peek() == Some(&'{') => {
                chars.next();
                open.push('}');
            }
            (_, Some('"' | '\'' | '`')) => {}
            ('/', _) if chars.peek() == Some(&'/') => {
                chars.by_ref().take_while(|c| *c != '\n').for_each(drop);
            }
            ('"' | '\'' | '`', _) => open.push(c),
            ('(', _) => open.push(')'),
            ('[', _) => open.push(']'),
            ('{', _) => open.push('}'),
            (')' | ']' | '}', _) => {
                if let Some(at) = open.iter().rposition(|expected| *expected == c) {
                    open.truncate(at);
                }
            }
            _ => {}
        }
    }
    let closing: String = open.iter().rev().collect();
    if closing.is_empty() { closing } else { format!("\n{closing}") }
}

/// From a part to the whole.
struct Shift {
    bytes: i64,
    /// Where the part ends; what was added to it is not in the text.
    end: usize,
    rows: u32,
    symbols: i64,
    imports: u32,
    /// Symbols of what the part was wrapped in.
    skipped: usize,
    parent: Option<usize>,
}

impl Shift {
    fn byte(&self, at: usize) -> usize {
        usize::try_from(at as i64 + self.bytes).unwrap_or_default().min(self.end)
    }

    fn range(&self, range: Range<usize>) -> Range<usize> {
        self.byte(range.start)..self.byte(range.end)
    }

    fn range32(&self, range: Range<u32>) -> Range<u32> {
        self.byte(range.start as usize) as u32..self.byte(range.end as usize) as u32
    }

    fn symbol(&self, at: usize) -> Option<usize> {
        if at < self.skipped { self.parent } else { usize::try_from(at as i64 + self.symbols).ok() }
    }

    fn target(&self, target: Target) -> Target {
        match target {
            Target::Symbol(at) => Target::Symbol(self.symbol(at as usize).unwrap_or_default() as u32),
            Target::Import { import, name } => Target::Import { import: import + self.imports, name },
            Target::Global(at) => Target::Global(at),
        }
    }

    fn append(&self, found: Collector<'_>, units: Option<Option<usize>>, whole: &mut Collector<'_>) {
        for mut symbol in found.symbols.into_iter().skip(self.skipped) {
            symbol.range = self.range(symbol.range);
            let name = self.range(symbol.name_range.clone());
            if name.len() < symbol.name_range.len() {
                // What closes the part went into the name.
                symbol.name = whole.slice(name.clone()).to_owned();
            }
            symbol.name_range = name;
            symbol.head = self.range(symbol.head);
            symbol.doc = symbol.doc.map(|doc| self.range(doc));
            let last = whole.index.line_of(self.end.saturating_sub(1)) as u32 + 1;
            symbol.lines = symbol.lines.map(|line| (line + self.rows).min(last));
            symbol.parent = symbol.parent.map_or(self.parent, |parent| self.symbol(parent));
            whole.symbols.push(symbol);
        }
        for mut import in found.imports {
            import.range = self.range(import.range);
            import.line += self.rows;
            whole.imports.push(import);
        }
        for mut export in found.exports {
            export.line += self.rows;
            whole.exports.push(export);
        }
        for mut reference in found.references {
            reference.range = self.range32(reference.range);
            reference.target = self.target(reference.target);
            let within = reference.within.and_then(|at| self.symbol(at as usize));
            reference.within = within.or(self.parent).map(|at| at as u32);
            whole.references.push(reference);
        }
        whole.augmented.extend(found.augmented.into_iter().map(|range| self.range(range)));
        whole.take_identifiers_of(found.identifiers);
        let Some(around) = units else { return };
        let base = whole.units.len();
        for mut unit in found.units {
            unit.first += self.rows;
            unit.last = (unit.last + self.rows).min(whole.index.line_of(self.end.saturating_sub(1)) as u32);
            unit.parent = unit.parent.map(|parent| parent + base).or(around);
            whole.units.push(unit);
        }
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
    found: Collector<'a>,
    kinds: &'static Kinds,
    /// The kinds of the nodes from the root to the parent of the current one.
    above: Vec<Kind>,
    /// Depth and index of the symbols around the current node.
    open: Vec<(u32, usize)>,
    lead: Option<Lead>,
    /// Around the current node, the outermost first.
    wrappers: Vec<Wrapper>,
    /// Depths at which statements are top-level: of the file, then of the namespaces around the current node.
    levels: Vec<u32>,
    /// Nodes at this depth and deeper are in a type.
    type_floor: Option<u32>,
    /// Depth and index of the long units around the current node.
    open_units: Vec<(u32, usize)>,
    /// The depth of the short unit around the current node.
    short_unit: Option<u32>,
    modules: Modules<'a>,
    scopes: Scopes<'a>,
    /// The depth of the decorator around the current node, of the innermost symbol.
    outside: Option<u32>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, index: &'a LineIndex, kinds: &'static Kinds) -> Self {
        Self {
            found: Collector::new(text, index),
            kinds,
            above: Vec::new(),
            open: Vec::new(),
            lead: None,
            wrappers: Vec::new(),
            levels: vec![1],
            type_floor: None,
            open_units: Vec::new(),
            short_unit: None,
            modules: Modules::new(text, kinds),
            scopes: Scopes::new(text, kinds),
            outside: None,
        }
    }

    fn finish(self) -> Collector<'a> {
        let mut found = self.found;
        self.scopes.finish(&mut found);
        found.sort();
        found
    }

    fn enter(&mut self, node: Node<'_>, depth: u32) {
        let kind = self.kinds.kind(&node);
        self.leave_to(depth);
        self.above.truncate(depth as usize);
        self.scopes.leave_to(depth);
        self.outside.take_if(|at| *at >= depth);
        let within = self.open.last().map(|(_, symbol)| *symbol);
        // Decorators are read where what they decorate is declared.
        let within = if self.outside.is_some() { within.and_then(|at| self.found.symbols[at].parent) } else { within };
        self.scopes.within = within.map(|at| at as u32);
        if matches!(kind, Kind::Comment | Kind::Decorator) {
            self.note_lead(&node, depth);
            if kind == Kind::Decorator {
                if self.open.last().is_some_and(|(at, _)| at + 1 == depth) {
                    self.outside.get_or_insert(depth);
                }
                self.short_unit.get_or_insert(depth);
                self.scopes.enter(&node, depth);
            }
        } else if kind != Kind::Token {
            let start = self.take_lead(&node, depth);
            self.note_unit(&node, kind, depth, start);
            self.scopes.enter(&node, depth);
            self.read(&node, kind, depth, start);
        } else {
            self.lead.take_if(|lead| lead.depth == depth);
            if node.kind() == "as" || node.kind() == "satisfies" {
                self.type_floor.get_or_insert(depth);
            }
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
        let first = is_first_on_line(self.found.text, node.start_byte());
        self.lead = first.then(|| Lead { depth, start: node.start_byte(), end_row });
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

    fn note_unit(&mut self, node: &Node<'_>, kind: Kind, depth: u32, start: usize) {
        let parent = self.parent_kind();
        // A union of three is a union of a union and one: its parts are what counts.
        let nested = parent == Kind::Union && kind == Kind::Union;
        if self.short_unit.is_some() || !parent.is_container() || nested {
            return;
        }
        let parent = self.open_units.last().map(|(_, unit)| *unit);
        match self.found.unit(start..node.end_byte(), parent) {
            Some(long) => self.open_units.push((depth, long)),
            None => self.short_unit = Some(depth),
        }
    }

    fn read(&mut self, node: &Node<'_>, kind: Kind, depth: u32, start: usize) {
        match kind {
            Kind::Identifier => {
                let name = self.found.slice(node.byte_range());
                self.found.identifier(name);
                if self.parent_kind() == Kind::EnumBody {
                    self.member(node, node, SymbolKind::Property, depth, start);
                }
            }
            Kind::String if self.parent_kind() == Kind::EnumBody => {
                self.member(node, node, SymbolKind::Property, depth, start);
            }
            Kind::Import => self.modules.import_statement(node, &mut self.found, &mut self.scopes),
            Kind::ImportAlias => self.declaration(node, SymbolKind::Variable, depth, start),
            Kind::Export => self.export(node, depth, start),
            Kind::Ambient => self.ambient(node, depth, start),
            Kind::ExpressionStatement => self.wrap(node, depth, start, false, false),
            Kind::Variables => self.variables(node, depth, start),
            Kind::Declarator => self.declarator(node, depth),
            Kind::Declaration(symbol) => self.declaration(node, symbol, depth, start),
            Kind::Namespace => self.namespace(node, depth, start),
            Kind::Member(symbol) => self.named_member(node, symbol, depth, start),
            Kind::Call => {
                self.modules.call(node, self.type_floor.is_some(), &mut self.found, &mut self.scopes);
            }
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
        let leaves = self.is_top_level(depth) && self.levels.len() == 1;
        self.modules.export_statement(node, leaves, self.scopes.within, &mut self.found);
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
            self.found.symbols[at].exported = true;
        }
    }

    /// `declare …`; `declare global { … }` holds statements like a namespace does.
    fn ambient(&mut self, node: &Node<'_>, depth: u32, start: usize) {
        self.wrap(node, depth, start, false, false);
        if modules::has_token(node, "global") {
            self.levels.push(depth + 2);
            self.found.augmented.push(node.byte_range());
            self.scopes.augmented = Some(depth + 1);
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
        for (name, range) in modules::bound_names(&name, self.found.text, self.kinds) {
            let whole = if single { wrapper.range.clone() } else { node.byte_range() };
            let at = self.push(whole, range, name, kind, depth, node);
            self.found.symbols[at].exported = wrapper.exported;
            if wrapper.exported && self.levels.len() == 1 {
                let line = self.found.line(node.start_byte());
                self.found.export(name, Some(name), false, line);
            }
        }
    }

    fn declaration(&mut self, node: &Node<'_>, kind: SymbolKind, depth: u32, start: usize) {
        let name = node.child_by_field_id(self.kinds.fields.name).or_else(|| node.named_child(0));
        let Some(name) = name else { return };
        let wrapper = self.wrapper(depth).cloned();
        let range = wrapper.as_ref().map_or(start..node.end_byte(), |wrapper| wrapper.range.clone());
        let text = self.found.slice(name.byte_range()).trim_matches(['"', '\'']);
        let at = self.push(range, name.byte_range(), text, kind, depth, node);
        if let Some(wrapper) = wrapper.filter(|wrapper| wrapper.exported) {
            self.found.symbols[at].exported = true;
            if self.levels.len() == 1 {
                let line = self.found.line(node.start_byte());
                let seen = if wrapper.default { "default" } else { text };
                let type_only = matches!(kind, SymbolKind::Interface | SymbolKind::TypeAlias);
                self.found.export(seen, Some(text), type_only, line);
            }
        }
    }

    fn namespace(&mut self, node: &Node<'_>, depth: u32, start: usize) {
        let name = node.child_by_field_id(self.kinds.fields.name);
        if let Some(name) = name.filter(|name| name.kind() == "string") {
            let within = self.scopes.within;
            self.found.import(name.byte_range(), Vec::new(), true, ImportKind::Augment, within);
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
        let text = self.found.slice(name.byte_range());
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
        let fields = &self.kinds.fields;
        let value = node.child_by_field_id(fields.value);
        let body = node.child_by_field_id(fields.body).or_else(|| value?.child_by_field_id(fields.body));
        // The decorators of a field are in its node.
        let mut first = if kind == SymbolKind::Property { node.child(0) } else { None };
        while let Some(child) = first.filter(|child| matches!(self.kinds.kind(child), Kind::Decorator | Kind::Comment))
        {
            first = child.next_sibling();
        }
        let at = self.found.symbol(collect::Place {
            range,
            name_range,
            name,
            kind,
            parent: self.open.iter().rev().find(|(at, _)| *at < depth).map(|(_, parent)| *parent),
            node_start: first.map_or(node.start_byte(), |first| first.start_byte()),
            body: body.map(|body| body.start_byte()),
        });
        if self.open.last().is_none_or(|(at, _)| *at < depth) {
            self.open.push((depth, at));
        }
        at
    }
}
