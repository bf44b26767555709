//! TypeScript and JavaScript that parses, read by oxc: the cheapest way to facts, with exact scopes. Knows nothing of
//! half-typed text, for which [`super::tree`] gives the same facts.

use super::collect::{Behind, Collector, Place, Taken, Used, inside_quotes, is_first_on_line, kind_of_name};
use super::globals::is_builtin;
use super::modules::is_of_promise;
use super::tree;
use crate::graph::{ImportKind, ReferenceKind, SymbolKind, Target};
use crate::syntax::Language;
use crate::text::LineIndex;
use oxc_allocator::{Allocator, ArenaVec};
use oxc_ast::ast::*;
use oxc_ast_visit::{Visit, walk};
use oxc_parser::Parser;
use oxc_semantic::{Scoping, SemanticBuilder, Stats};
use oxc_span::{GetSpan, SourceType, Span};
use oxc_syntax::scope::{ScopeFlags, ScopeId};
use oxc_syntax::symbol::SymbolId;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;

/// An arena that grew past this is given back.
const KEPT_ARENA: usize = 16 << 20;

thread_local! {
    static ARENA: RefCell<Allocator> = RefCell::new(Allocator::default());
}

/// Reads the text by the first of the source types that finds no error in it. `None`: it is in error. Recurses: the
/// caller sees to the stack.
pub(super) fn read<'t>(types: &[SourceType], text: &'t str, index: &'t LineIndex) -> Option<Collector<'t>> {
    types.iter().find_map(|source_type| with_arena(|arena| read_as(arena, *source_type, text, index)))
}

/// Whether the text has no error.
pub(super) fn is_valid(source_type: SourceType, text: &str) -> bool {
    with_arena(|arena| {
        let parsed = Parser::new(arena, text, source_type).parse();
        !parsed.panicked && !parsed.diagnostics.has_errors()
    })
}

/// Reads a text that is being typed: as [`read`], and notes its parts.
pub(super) fn read_with_parts<'t>(
    types: &[SourceType],
    text: &'t str,
    index: &'t LineIndex,
) -> Option<(Collector<'t>, Vec<Part>)> {
    types.iter().find_map(|source_type| {
        with_arena(|arena| {
            let (program, scoping) = parse(arena, *source_type, text)?;
            let mut reader = Reader::new(text, index, &scoping, &program.comments);
            reader.parts = Some(Vec::new());
            reader.visit_program(program);
            let parts = reader.parts.take().unwrap_or_default();
            Some((reader.finish(), parts))
        })
    })
}

/// Reads a text but for one part that is in error: that part is read from a tree of its own, with the scopes of its
/// place. `filled` is the text with the part blanked out.
pub(super) fn read_around<'t>(
    types: &[SourceType],
    text: &'t str,
    filled: &str,
    index: &'t LineIndex,
    hole: &Hole,
) -> Option<Collector<'t>> {
    types.iter().find_map(|source_type| {
        with_arena(|arena| {
            let (program, scoping) = parse(arena, *source_type, filled)?;
            let mut reader = Reader::new(text, index, &scoping, &program.comments);
            reader.hole = Some(hole);
            reader.visit_program(program);
            reader.was_found.then(|| reader.finish())
        })
    })
}

fn with_arena<R>(read: impl FnOnce(&Allocator) -> R) -> R {
    ARENA.with_borrow_mut(|arena| {
        let found = read(arena);
        if arena.capacity() > KEPT_ARENA {
            *arena = Allocator::default();
        } else {
            arena.reset();
        }
        found
    })
}

fn parse<'a>(arena: &'a Allocator, source_type: SourceType, text: &'a str) -> Option<(&'a Program<'a>, Scoping)> {
    let parsed = Parser::new(arena, text, source_type).parse();
    if parsed.panicked || parsed.diagnostics.has_errors() {
        return None;
    }
    let program = &*arena.alloc(parsed.program);
    // Only what is set aside for them: counting them takes a walk of its own.
    let per = |bytes: usize| u32::try_from(text.len() / bytes).unwrap_or(u32::MAX);
    let stats = Stats::new(0, per(120), per(120), per(50));
    Some((program, SemanticBuilder::new().with_stats(stats).build(program).semantic.into_scoping()))
}

fn read_as<'t>(
    arena: &Allocator,
    source_type: SourceType,
    text: &'t str,
    index: &'t LineIndex,
) -> Option<Collector<'t>> {
    let (program, scoping) = parse(arena, source_type, text)?;
    let mut reader = Reader::new(text, index, &scoping, &program.comments);
    reader.visit_program(program);
    Some(reader.finish())
}

/// A part of a valid text that can be left out without making it invalid, or a list of such parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub start: u32,
    pub end: u32,
    pub kind: PartKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PartKind {
    Statement,
    Member,
    Statements,
    Members,
}

impl Part {
    /// What holds statements or members, rather than being one.
    pub fn is_list(&self) -> bool {
        matches!(self.kind, PartKind::Statements | PartKind::Members)
    }
}

/// Where a part in error stands.
pub(super) struct Hole {
    pub range: Range<usize>,
    /// In a class.
    pub of_class: bool,
    pub language: Language,
}

impl Hole {
    /// What stands for the part in the text that is valid without it; shorter than the part, or of its length.
    pub fn mark(&self) -> &'static str {
        match (self.of_class, self.range.len()) {
            (false, _) => ";",
            (true, 0 | 1) => "_",
            (true, _) => "_;",
        }
    }
}

/// The statement that a declaration is, or is directly in.
#[derive(Clone, Copy)]
struct Around {
    span: Span,
    exported: bool,
    default: bool,
    /// In the file itself, a namespace or `declare global`.
    top: bool,
}

/// A use, before it is known what its symbol is in the facts.
struct Use {
    symbol: SymbolId,
    range: Range<u32>,
    kind: ReferenceKind,
    usual: ReferenceKind,
    members: Vec<Behind>,
    within: Option<u32>,
}

/// A name behind the dots of the identifier that starts at `of`.
struct Member {
    of: u32,
    name: Behind,
}

struct Reader<'s, 't> {
    found: Collector<'t>,
    scoping: &'s Scoping,
    comments: &'s [Comment],
    /// Symbols around the current node, the outermost first.
    open: Vec<usize>,
    /// Long units around the current node.
    open_units: Vec<usize>,
    /// Whether the current node is in a short unit.
    short: bool,
    /// Whether exports leave the file: not those of namespaces.
    leaves: bool,
    /// The scopes of `declare global`.
    shared: Vec<ScopeId>,
    statement: Option<Around>,
    /// What the identifier at this start is used as.
    role: Option<(u32, ReferenceKind)>,
    members: Vec<Member>,
    uses: Vec<Use>,
    /// Targets by the start of the binding's name.
    targets: Vec<(u32, Target)>,
    /// Bindings that are whole modules loaded in place, by the starts of their names.
    aliases: Vec<(u32, Target)>,
    /// By the start of the loading call, which the walk has yet to reach.
    taken: Vec<(u32, Vec<Taken>)>,
    /// Noted when they are asked for.
    parts: Option<Vec<Part>>,
    hole: Option<&'s Hole>,
    was_found: bool,
    /// Scopes around the current node, where there is a hole.
    scopes: Vec<ScopeId>,
    /// Uses in the text around a hole that nothing there declares.
    unresolved: Vec<Unresolved<'t>>,
    /// What the hole declares; `None` as a target: a local name.
    declared: BTreeMap<&'t str, Option<Target>>,
}

/// A use whose name nothing declares.
struct Unresolved<'t> {
    name: &'t str,
    range: Range<u32>,
    kind: ReferenceKind,
    usual: ReferenceKind,
    members: Vec<Behind>,
    within: Option<u32>,
}

impl<'s, 't> Reader<'s, 't> {
    fn new(text: &'t str, index: &'t LineIndex, scoping: &'s Scoping, comments: &'s [Comment]) -> Self {
        Self {
            found: Collector::new(text, index),
            scoping,
            comments,
            open: Vec::new(),
            open_units: Vec::new(),
            short: false,
            leaves: true,
            shared: Vec::new(),
            statement: None,
            role: None,
            members: Vec::new(),
            uses: Vec::new(),
            targets: Vec::new(),
            aliases: Vec::new(),
            taken: Vec::new(),
            parts: None,
            hole: None,
            was_found: false,
            scopes: Vec::new(),
            unresolved: Vec::new(),
            declared: BTreeMap::new(),
        }
    }

    /// Gives every use its target.
    fn finish(mut self) -> Collector<'t> {
        // The first declaration of a name is its symbol's; only names in the root scope were noted.
        for (at, symbol) in self.found.symbols.iter().enumerate() {
            self.targets.push((symbol.name_range.start as u32, Target::Symbol(at as u32)));
        }
        self.targets.sort_by_key(|(start, _)| *start);
        self.aliases.sort_by_key(|(start, _)| *start);
        let uses = std::mem::take(&mut self.uses);
        for Use { symbol, range, kind, usual, members, within } in uses {
            let start = self.scoping.symbol_span(symbol).start;
            let own = look_up(&self.targets, start).filter(|_| self.is_outermost(symbol));
            let module = look_up(&self.aliases, start).or(own.filter(|own| matches!(own, Target::Import { .. })));
            self.found.reference(Used { own, module, range, kind, usual, members: &members, within });
        }
        for Unresolved { name, range, kind, usual, members, within } in std::mem::take(&mut self.unresolved) {
            match self.declared.get(name).copied() {
                Some(own) => {
                    let module = own.filter(|own| matches!(own, Target::Import { .. }));
                    self.found.reference(Used { own, module, range, kind, usual, members: &members, within });
                }
                None if is_builtin(name) => {}
                None => self.found.global(name, range, kind_of_name(kind, usual, &members), within),
            }
        }
        self.found.sort();
        self.found
    }

    /// Whether a symbol is declared in the file's own scope or in that of a `declare global`.
    fn is_outermost(&self, symbol: SymbolId) -> bool {
        let scope = self.scoping.symbol_scope_id(symbol);
        scope == self.scoping.root_scope_id() || self.shared.contains(&scope)
    }

    fn slice(&self, span: Span) -> &'t str {
        self.found.slice(bytes(span))
    }

    /// Where what starts at `start` begins, comments right before it included.
    fn lead(&self, start: u32) -> usize {
        let mut at = self.comments.partition_point(|comment| comment.span.end <= start);
        let (mut next, mut lead) = (start as usize, start as usize);
        while let Some(before) = at.checked_sub(1) {
            let span = self.comments[before].span;
            let between = self.found.slice(span.end as usize..next);
            if !between.chars().all(|c| c.is_whitespace() || c == '\u{feff}') || between.matches('\n').count() > 1 {
                break;
            }
            next = span.start as usize;
            if is_first_on_line(self.found.text, next) {
                lead = next;
            }
            at = before;
        }
        lead
    }

    /// Visits a part of a list that long pieces are cut at.
    fn in_unit(&mut self, span: Span, visit: impl FnOnce(&mut Self)) {
        if self.short {
            return visit(self);
        }
        let range = self.lead(span.start)..span.end as usize;
        match self.found.unit(range, self.open_units.last().copied()) {
            Some(long) => {
                self.open_units.push(long);
                visit(self);
                self.open_units.pop();
            }
            None => {
                self.short = true;
                visit(self);
                self.short = false;
            }
        }
    }

    /// Visits what is in a symbol.
    fn inside(&mut self, symbol: usize, visit: impl FnOnce(&mut Self)) {
        self.open.push(symbol);
        visit(self);
        self.open.pop();
    }

    fn statements(&mut self, list: &[Statement<'_>], top: bool) {
        for statement in list {
            let span = whole(statement);
            if self.is_hole(span.start, false) {
                self.read_hole(top);
                continue;
            }
            self.note_part(span, PartKind::Statement);
            self.in_unit(span, |reader| reader.one_statement(statement, top));
        }
    }

    fn note_part(&mut self, span: Span, kind: PartKind) {
        if let Some(parts) = &mut self.parts {
            parts.push(Part { start: span.start, end: span.end, kind });
        }
    }

    /// A list in braces: what is between them.
    fn note_list(&mut self, span: Span, kind: PartKind) {
        if span.end >= span.start + 2 {
            self.note_part(Span::new(span.start + 1, span.end - 1), kind);
        }
    }

    fn is_hole(&self, start: u32, of_class: bool) -> bool {
        self.hole.is_some_and(|hole| hole.range.start == start as usize && hole.of_class == of_class)
    }

    /// Reads the part in error, as what it is in its place.
    fn read_hole(&mut self, top: bool) {
        let Some(hole) = self.hole else { return };
        self.was_found = true;
        let scope = self.scopes.last().copied().unwrap_or_else(|| self.scoping.root_scope_id());
        let in_file = scope == self.scoping.root_scope_id();
        let place = tree::Place { top, leaves: self.leaves && in_file, in_file };
        let span = Span::new(hole.range.start as u32, hole.range.end as u32);
        let text = self.found.text;
        let symbols = self.found.symbols.len();
        let mut free = Vec::new();
        self.in_unit(span, |reader| {
            let units = if reader.short { None } else { Some(reader.open_units.last().copied()) };
            let parent = reader.open.last().copied();
            free = tree::read_part(hole, text, &place, parent, units, &mut reader.found, &mut reader.declared);
        });
        debug_assert!(symbols <= self.found.symbols.len());
        for tree::Free { name, range, kind, usual, members, within } in free {
            let within = within.or_else(|| self.within());
            match self.scoping.find_binding(scope, Ident::from(name)) {
                Some(symbol) => self.uses.push(Use { symbol, range, kind, usual, members, within }),
                None => self.unresolved.push(Unresolved { name, range, kind, usual, members, within }),
            }
        }
    }

    fn one_statement(&mut self, statement: &Statement<'_>, top: bool) {
        let place = Around { span: whole(statement), exported: false, default: false, top };
        self.statement = None;
        match statement {
            Statement::ExportDeclaration(export) => {
                self.statement = Some(Around { exported: true, ..place });
                self.visit_declaration(&export.declaration);
            }
            Statement::ExportDefaultDeclaration(export) => self.export_default(export, place),
            Statement::VariableDeclaration(_)
            | Statement::FunctionDeclaration(_)
            | Statement::ClassDeclaration(_)
            | Statement::TSTypeAliasDeclaration(_)
            | Statement::TSInterfaceDeclaration(_)
            | Statement::TSEnumDeclaration(_)
            | Statement::TSExternalModuleDeclaration(_)
            | Statement::TSNamespaceDeclaration(_)
            | Statement::TSGlobalDeclaration(_)
            | Statement::TSImportEqualsDeclaration(_) => {
                self.statement = Some(place);
                self.visit_statement(statement);
            }
            _ => self.visit_statement(statement),
        }
        self.statement = None;
    }

    fn export_default(&mut self, export: &ExportDefaultDeclaration<'_>, place: Around) {
        use ExportDefaultDeclarationKind as Kind;
        let place = Around { exported: true, default: true, ..place };
        let (kind, value, body) = match &export.declaration {
            Kind::FunctionDeclaration(function) if function.id.is_none() => {
                (SymbolKind::Function, function.span, function.body.as_ref().map(|body| body.span))
            }
            Kind::ClassDeclaration(class) if class.id.is_none() => {
                (SymbolKind::Class, class.span, Some(class.body.span))
            }
            Kind::FunctionDeclaration(_) | Kind::ClassDeclaration(_) | Kind::TSInterfaceDeclaration(_) => {
                self.statement = Some(place);
                return self.visit_export_default_declaration_kind(&export.declaration);
            }
            declaration => {
                let value = declaration.to_expression();
                if let Expression::Identifier(name) = value {
                    self.export_of("default", Some(name.span), false, export.span);
                    self.role = Some((name.span.start, ReferenceKind::Export));
                    return self.visit_identifier_reference(name);
                }
                let (kind, body) = valued(value);
                (kind, value.span(), body)
            }
        };
        self.export_of("default", None, false, export.span);
        let at = self.symbol(place.span, value, Span::empty(value.start), "default", kind, body);
        self.found.symbols[at].exported = true;
        self.inside(at, |reader| reader.visit_export_default_declaration_kind(&export.declaration));
    }

    fn export_of(&mut self, name: &str, local: Option<Span>, type_only: bool, at: Span) {
        if self.leaves {
            let local = local.map(|span| self.slice(span));
            let line = self.found.line(at.start as usize);
            self.found.export(name, local, type_only, line);
        }
    }

    /// Adds a symbol: `whole` is its statement, `node` the declaration in it.
    fn symbol(
        &mut self,
        whole: Span,
        node: Span,
        name_span: Span,
        name: &str,
        kind: SymbolKind,
        body: Option<Span>,
    ) -> usize {
        let place = Place {
            range: self.lead(whole.start)..whole.end as usize,
            name_range: bytes(name_span),
            name,
            kind,
            parent: self.open.last().copied(),
            node_start: node.start as usize,
            body: body.map(|body| body.start as usize),
        };
        self.found.symbol(place)
    }

    /// A named declaration, whose insides `visit` visits.
    fn declare(&mut self, node: Span, name: Span, kind: SymbolKind, body: Option<Span>, visit: impl FnOnce(&mut Self)) {
        let place = self.take_statement(node);
        let text = self.slice(name).trim_matches(['"', '\'']);
        let at = self.symbol(place.span, node, name, text, kind, body);
        if place.exported {
            self.found.symbols[at].exported = true;
            let seen = if place.default { "default" } else { text };
            let type_only = matches!(kind, SymbolKind::Interface | SymbolKind::TypeAlias);
            self.export_of(seen, Some(Span::new(name.start, name.end)), type_only, node);
        }
        self.inside(at, visit);
    }

    /// The statement of a declaration; one that is not directly in a list of statements is its own.
    fn take_statement(&mut self, node: Span) -> Around {
        let own = Around { span: node, exported: false, default: false, top: false };
        self.statement.take().unwrap_or(own)
    }

    fn declarator(&mut self, declarator: &VariableDeclarator<'_>, place: Around, single: bool) {
        let (kind, body) = declarator.init.as_ref().map_or((SymbolKind::Variable, None), valued);
        if let Some(init) = &declarator.init
            && let Some(call) = loading_call(init)
        {
            self.take_pattern(&declarator.id, call);
        }
        if kind == SymbolKind::Variable && !place.top {
            return self.declarator_parts(declarator);
        }
        let mut first = None;
        for name in bound_names(&declarator.id) {
            let whole = if single { Some(place.span) } else { None };
            let text = self.slice(name);
            let at = match whole {
                Some(whole) => self.symbol(whole, declarator.span, name, text, kind, body),
                None => self.bare_symbol(declarator.span, name, text, kind, body),
            };
            first.get_or_insert(at);
            if place.exported {
                self.found.symbols[at].exported = true;
                self.export_of(text, Some(name), false, declarator.span);
            }
        }
        match first {
            Some(at) => self.inside(at, |reader| reader.declarator_parts(declarator)),
            None => self.declarator_parts(declarator),
        }
    }

    /// A symbol without what leads it.
    fn bare_symbol(&mut self, node: Span, name_span: Span, name: &str, kind: SymbolKind, body: Option<Span>) -> usize {
        let place = Place {
            range: bytes(node),
            name_range: bytes(name_span),
            name,
            kind,
            parent: self.open.last().copied(),
            node_start: node.start as usize,
            body: body.map(|body| body.start as usize),
        };
        self.found.symbol(place)
    }

    fn declarator_parts(&mut self, declarator: &VariableDeclarator<'_>) {
        self.visit_binding_pattern(&declarator.id);
        if let Some(annotation) = &declarator.type_annotation {
            self.visit_ts_type_annotation(annotation);
        }
        let Some(init) = &declarator.init else { return };
        if let (BindingPattern::ObjectPattern(pattern), Some(name)) = (&declarator.id, base_identifier(init)) {
            for property in pattern.properties.iter().rev() {
                if let Some(range) = key_range(&property.key, property.computed, self.found.text) {
                    self.members.push(Member { of: name.span.start, name: Behind::first(range) });
                }
            }
        }
        self.visit_expression(init);
    }

    /// What `const <pattern> = import("x")` takes.
    fn take_pattern(&mut self, pattern: &BindingPattern<'_>, call: u32) {
        let mut names = Vec::new();
        match pattern {
            BindingPattern::ObjectPattern(pattern) => {
                for property in &pattern.properties {
                    let Some(local) = bound_names(&property.value).first().copied() else { continue };
                    let key = property.key.span();
                    let range = inside_quotes(bytes(key), self.found.text);
                    names.push(Taken {
                        imported: self.found.slice(range.clone()).to_owned(),
                        local: self.slice(local).to_owned(),
                        range: Some(range.start as u32..range.end as u32),
                        binding: None,
                    });
                }
            }
            BindingPattern::BindingIdentifier(name) => names.push(Taken {
                imported: "*".to_owned(),
                local: self.slice(name.span).to_owned(),
                range: None,
                binding: Some(name.span.start),
            }),
            _ => {}
        }
        self.take(call, names);
    }

    fn take(&mut self, call: u32, names: Vec<Taken>) {
        match self.taken.iter_mut().find(|(of, _)| *of == call) {
            Some((_, known)) => known.extend(names),
            None => self.taken.push((call, names)),
        }
    }

    /// `import("x")` or `require("x")` that starts at `call`.
    fn load(&mut self, call: u32, source: Span, kind: ImportKind) {
        let at = self.taken.iter().position(|(of, _)| *of == call);
        let taken = at.map(|at| self.taken.swap_remove(at).1).unwrap_or_default();
        let bindings: Vec<Option<u32>> = taken.iter().map(|taken| taken.binding).collect();
        let import = self.import(source, taken, false, kind);
        for (name, binding) in (0u32..).zip(bindings) {
            self.aliases.extend(binding.map(|start| (start, Target::Import { import, name })));
        }
    }

    fn import(&mut self, source: Span, names: Vec<Taken>, type_only: bool, kind: ImportKind) -> u32 {
        let within = self.within();
        self.found.import(bytes(source), names, type_only, kind, within)
    }

    fn within(&self) -> Option<u32> {
        self.open.last().map(|at| *at as u32)
    }

    /// Notes what the name that an expression comes down to is used as.
    fn used_as(&mut self, expression: &Expression<'_>, kind: ReferenceKind) {
        let name = base_identifier(expression).map(|name| name.span.start).or_else(|| {
            let Expression::StaticMemberExpression(member) = bare(expression) else { return None };
            dotted(&member.object).map(|(of, _)| of)
        });
        self.role = name.map(|name| (name, kind));
    }

    fn type_used_as(&mut self, name: &TSTypeName<'_>, kind: ReferenceKind) {
        let mut name = name;
        while let TSTypeName::QualifiedName(qualified) = name {
            name = &qualified.left;
        }
        self.role = Some((name.span().start, kind));
    }

    /// `[name]` is a value, also among types.
    fn key_used(&mut self, key: &PropertyKey<'_>, computed: bool) {
        if let Some(key) = key.as_expression().filter(|_| computed) {
            self.used_as(key, ReferenceKind::Read);
        }
    }

    /// A member of a class, an interface, an enum or an object; `node` is after decorators.
    fn member(
        &mut self,
        whole: Span,
        node_start: u32,
        name: Span,
        kind: SymbolKind,
        body: Option<Span>,
        visit: impl FnOnce(&mut Self),
    ) {
        let text = self.slice(name);
        let at = self.symbol(whole, Span::new(node_start, whole.end), name, text, kind, body);
        self.inside(at, visit);
    }

    /// A key with the brackets of a computed one.
    fn key_span(&self, key: Span, computed: bool) -> Span {
        if !computed {
            return key;
        }
        let text = self.found.text.as_bytes();
        let mut start = key.start as usize;
        while start > 0 && text[start] != b'[' {
            start -= 1;
        }
        let mut end = key.end as usize;
        while end < text.len() && text[end - 1] != b']' {
            end += 1;
        }
        Span::new(start as u32, end as u32)
    }

    /// Without the `;` or `,` that ends a member.
    fn trimmed(&self, span: Span) -> Span {
        let text = self.slice(span);
        let kept = text.trim_end_matches([';', ',']).trim_end();
        Span::new(span.start, span.start + kept.len() as u32)
    }

    /// The first byte after the decorators of a member.
    fn after_decorators(&self, decorators: &[Decorator<'_>], span: Span) -> u32 {
        let Some(last) = decorators.last() else { return span.start };
        let mut at = last.span.end.max(span.start);
        loop {
            let rest = self.found.slice(at as usize..span.end as usize);
            at += (rest.len() - rest.trim_start().len()) as u32;
            match self.comments.binary_search_by_key(&at, |comment| comment.span.start) {
                Ok(comment) => at = self.comments[comment].span.end,
                Err(_) => return at,
            }
        }
    }

    fn use_of(&mut self, it: &IdentifierReference<'_>) {
        let start = it.span.start;
        let role = self.role.take_if(|(at, _)| *at == start).map(|(_, kind)| kind);
        let within = self.within();
        let from = self.members.iter().rposition(|member| member.of != start).map_or(0, |at| at + 1);
        let members: Vec<Behind> = match from == self.members.len() {
            true => Vec::new(),
            false => self.members.drain(from..).map(|member| member.name).collect(),
        };
        let Some(reference) = it.reference_id.get().map(|id| self.scoping.get_reference(id)) else { return };
        let usual = if reference.is_write() {
            ReferenceKind::Write
        } else if reference.is_type() && !reference.is_value() {
            ReferenceKind::Type
        } else {
            ReferenceKind::Read
        };
        let kind = role.unwrap_or(usual);
        let range = start..it.span.end;
        let Some(symbol) = reference.symbol_id() else {
            let name = self.slice(it.span);
            if self.hole.is_some() {
                self.unresolved.push(Unresolved { name, range, kind, usual, members, within });
            } else if !is_builtin(name) {
                self.found.global(name, range, kind_of_name(kind, usual, &members), within);
            }
            return;
        };
        let is_alias = || {
            let start = self.scoping.symbol_span(symbol).start;
            self.aliases.iter().any(|(alias, _)| *alias == start)
        };
        if self.is_outermost(symbol) || is_alias() {
            self.uses.push(Use { symbol, range, kind, usual, members, within });
        }
    }

    /// What is in a class, without its decorators, which are read where it is declared.
    fn class_parts(&mut self, it: &Class<'_>) {
        if let Some(name) = &it.id {
            self.visit_binding_identifier(name);
        }
        self.enter_scope(ScopeFlags::StrictMode, &it.scope_id);
        if let Some(parameters) = &it.type_parameters {
            self.visit_ts_type_parameter_declaration(parameters);
        }
        if let Some(heritage) = &it.heritage {
            self.visit_class_heritage(heritage);
        }
        self.visit_ts_class_implements_list(&it.implements);
        self.visit_class_body(&it.body);
        self.leave_scope();
    }

    fn import_names(&self, it: &ImportDeclaration<'_>) -> (Vec<Taken>, Vec<u32>) {
        let mut names = Vec::new();
        let mut locals = Vec::new();
        for specifier in it.specifiers.iter().flatten() {
            let (imported, local, range) = match specifier {
                ImportDeclarationSpecifier::ImportSpecifier(it) => {
                    let range = inside_quotes(bytes(it.imported.span()), self.found.text);
                    (self.found.slice(range.clone()), it.local.span, range)
                }
                ImportDeclarationSpecifier::ImportDefaultSpecifier(it) => {
                    ("default", it.local.span, bytes(it.local.span))
                }
                ImportDeclarationSpecifier::ImportNamespaceSpecifier(it) => ("*", it.local.span, bytes(it.local.span)),
            };
            locals.push(local.start);
            names.push(Taken {
                imported: imported.to_owned(),
                local: self.slice(local).to_owned(),
                range: Some(range.start as u32..range.end as u32),
                binding: None,
            });
        }
        (names, locals)
    }
}

/// A statement with the decorators that stand before its `export`.
fn whole(statement: &Statement<'_>) -> Span {
    let class = match statement {
        Statement::ExportDeclaration(export) => match &export.declaration {
            Declaration::ClassDeclaration(class) => Some(class),
            _ => None,
        },
        Statement::ExportDefaultDeclaration(export) => match &export.declaration {
            ExportDefaultDeclarationKind::ClassDeclaration(class) => Some(class),
            _ => None,
        },
        _ => None,
    };
    let span = statement.span();
    let first = class.and_then(|class| class.decorators.first()).map_or(span.start, |first| first.span.start);
    Span::new(span.start.min(first), span.end)
}

fn bytes(span: Span) -> Range<usize> {
    span.start as usize..span.end as usize
}

/// The expression in parentheses, casts, `!` and `<T>`.
fn bare<'e, 'a>(expression: &'e Expression<'a>) -> &'e Expression<'a> {
    let mut inner = expression;
    loop {
        inner = match inner {
            Expression::ParenthesizedExpression(it) => &it.expression,
            Expression::TSNonNullExpression(it) => &it.expression,
            Expression::TSAsExpression(it) => &it.expression,
            Expression::TSSatisfiesExpression(it) => &it.expression,
            Expression::TSInstantiationExpression(it) => &it.expression,
            _ => return inner,
        };
    }
}

fn base_identifier<'e, 'a>(expression: &'e Expression<'a>) -> Option<&'e IdentifierReference<'a>> {
    match bare(expression) {
        Expression::Identifier(name) => Some(name),
        _ => None,
    }
}

/// Where the name that `a.b` and `a` begin with is, and where the first name behind a dot begins.
fn dotted(expression: &Expression<'_>) -> Option<(u32, Option<u32>)> {
    if let Some(name) = base_identifier(expression) {
        return Some((name.span.start, None));
    }
    let Expression::StaticMemberExpression(member) = expression else { return None };
    let (of, from) = dotted(&member.object)?;
    Some((of, from.or(Some(member.property.span.start))))
}

/// The start of the call that loads a module, behind `await`, parentheses and casts.
fn loading_call(expression: &Expression<'_>) -> Option<u32> {
    let mut inner = bare(expression);
    while let Expression::AwaitExpression(it) = inner {
        inner = bare(&it.argument);
    }
    match inner {
        Expression::ImportExpression(it) => is_text(&it.source).then_some(it.span.start),
        Expression::CallExpression(it) => required(it).map(|_| it.span.start),
        _ => None,
    }
}

/// The specifier of `require("x")`.
fn required(call: &CallExpression<'_>) -> Option<Span> {
    let source = call.arguments.first()?.as_expression()?;
    (call.callee.is_specific_id("require") && is_text(source)).then(|| source.span())
}

/// Whether it is a string, or a template without a part to fill in.
fn is_text(source: &Expression<'_>) -> bool {
    matches!(source, Expression::StringLiteral(_)) || source.is_no_substitution_template()
}

/// What a value makes of the name it is bound to, and its body.
fn valued(value: &Expression<'_>) -> (SymbolKind, Option<Span>) {
    match value {
        Expression::ArrowFunctionExpression(it) => (SymbolKind::Function, Some(it.body.span())),
        Expression::FunctionExpression(it) => (SymbolKind::Function, it.body.as_ref().map(|body| body.span)),
        Expression::ClassExpression(it) => (SymbolKind::Class, Some(it.body.span)),
        _ => (SymbolKind::Variable, None),
    }
}

/// The names that a pattern binds, in order.
fn bound_names(pattern: &BindingPattern<'_>) -> Vec<Span> {
    let mut names = Vec::new();
    let mut queue = vec![pattern];
    while let Some(pattern) = queue.pop() {
        match pattern {
            BindingPattern::BindingIdentifier(name) => names.push(name.span),
            BindingPattern::AssignmentPattern(it) => queue.push(&it.left),
            BindingPattern::ObjectPattern(it) => {
                queue.extend(it.rest.as_ref().map(|rest| &rest.argument));
                queue.extend(it.properties.iter().rev().map(|property| &property.value));
            }
            BindingPattern::ArrayPattern(it) => {
                queue.extend(it.rest.as_ref().map(|rest| &rest.argument));
                queue.extend(it.elements.iter().rev().flatten());
            }
        }
    }
    names
}

fn key_range(key: &PropertyKey<'_>, computed: bool, text: &str) -> Option<Range<u32>> {
    let range = match key {
        PropertyKey::StaticIdentifier(name) if !computed => bytes(name.span),
        PropertyKey::StringLiteral(name) => inside_quotes(bytes(name.span), text),
        _ => return None,
    };
    Some(range.start as u32..range.end as u32)
}

impl<'a> Visit<'a> for Reader<'_, '_> {
    fn visit_program(&mut self, it: &Program<'a>) {
        if let Some(hashbang) = &it.hashbang {
            self.in_unit(hashbang.span, |_| ());
        }
        self.note_part(Span::new(0, self.found.text.len() as u32), PartKind::Statements);
        self.visit_directives(&it.directives);
        self.statements(&it.body, true);
    }

    fn visit_directives(&mut self, it: &ArenaVec<'a, Directive<'a>>) {
        for directive in it {
            self.note_part(directive.span, PartKind::Statement);
            self.in_unit(directive.span, |_| ());
        }
    }

    fn visit_statements(&mut self, it: &ArenaVec<'a, Statement<'a>>) {
        self.statements(it, false);
    }

    fn enter_scope(&mut self, _: ScopeFlags, scope: &Cell<Option<ScopeId>>) {
        if self.hole.is_some() {
            self.scopes.extend(scope.get());
        }
    }

    fn leave_scope(&mut self) {
        if self.hole.is_some() {
            self.scopes.pop();
        }
    }

    fn visit_block_statement(&mut self, it: &BlockStatement<'a>) {
        self.note_list(it.span, PartKind::Statements);
        walk::walk_block_statement(self, it);
    }

    fn visit_function_body(&mut self, it: &FunctionBody<'a>) {
        self.note_list(it.span, PartKind::Statements);
        walk::walk_function_body(self, it);
    }

    fn visit_ts_module_block(&mut self, it: &TSModuleBlock<'a>) {
        self.note_list(it.span, PartKind::Statements);
        self.visit_directives(&it.directives);
        let leaves = std::mem::replace(&mut self.leaves, false);
        self.statements(&it.body, true);
        self.leaves = leaves;
    }

    fn visit_switch_cases(&mut self, it: &ArenaVec<'a, SwitchCase<'a>>) {
        for case in it {
            self.in_unit(case.span, |reader| {
                if let Some(test) = &case.test {
                    reader.in_unit(test.span(), |reader| reader.visit_expression(test));
                }
                reader.visit_statements(&case.consequent);
            });
        }
    }

    fn visit_object_property_kinds(&mut self, it: &ArenaVec<'a, ObjectPropertyKind<'a>>) {
        for property in it {
            self.in_unit(property.span(), |reader| reader.visit_object_property_kind(property));
        }
    }

    fn visit_array_expression_elements(&mut self, it: &ArenaVec<'a, ArrayExpressionElement<'a>>) {
        for element in it.iter().filter(|element| !element.is_elision()) {
            self.in_unit(element.span(), |reader| reader.visit_array_expression_element(element));
        }
    }

    fn visit_arguments(&mut self, it: &ArenaVec<'a, Argument<'a>>) {
        for argument in it {
            self.in_unit(argument.span(), |reader| reader.visit_argument(argument));
        }
    }

    fn visit_ts_union_type(&mut self, it: &TSUnionType<'a>) {
        for part in &it.types {
            self.in_unit(part.span(), |reader| reader.visit_ts_type(part));
        }
    }

    fn visit_ts_signatures(&mut self, it: &ArenaVec<'a, TSSignature<'a>>) {
        for signature in it {
            let span = self.trimmed(signature.span());
            self.in_unit(span, |reader| reader.visit_ts_signature(signature));
        }
    }

    fn visit_ts_interface_body(&mut self, it: &TSInterfaceBody<'a>) {
        for signature in &it.body {
            let span = self.trimmed(signature.span());
            self.in_unit(span, |reader| match signature {
                TSSignature::TSPropertySignature(it) => {
                    let name = reader.key_span(it.key.span(), it.computed);
                    reader.member(span, span.start, name, SymbolKind::Property, None, |reader| {
                        reader.visit_ts_property_signature(it);
                    });
                }
                TSSignature::TSMethodSignature(it) => {
                    let name = reader.key_span(it.key.span(), it.computed);
                    reader.member(span, span.start, name, SymbolKind::Method, None, |reader| {
                        reader.visit_ts_method_signature(it);
                    });
                }
                _ => reader.visit_ts_signature(signature),
            });
        }
    }

    fn visit_ts_enum_body(&mut self, it: &TSEnumBody<'a>) {
        for member in &it.members {
            self.in_unit(member.span, |reader| {
                let computed = matches!(
                    member.id,
                    TSEnumMemberName::ComputedString(_) | TSEnumMemberName::ComputedTemplateString(_)
                );
                let name = reader.key_span(member.id.span(), computed);
                reader.member(member.span, member.span.start, name, SymbolKind::Property, None, |reader| {
                    walk::walk_ts_enum_member(reader, member);
                });
            });
        }
    }

    fn visit_class_body(&mut self, it: &ClassBody<'a>) {
        self.note_list(it.span, PartKind::Members);
        for element in &it.body {
            if self.is_hole(element.span().start, true) {
                self.read_hole(false);
                continue;
            }
            self.note_part(element.span(), PartKind::Member);
            let span = self.trimmed(element.span());
            self.in_unit(span, |reader| reader.visit_class_element(element));
        }
    }

    fn visit_decorators(&mut self, it: &ArenaVec<'a, Decorator<'a>>) {
        let short = std::mem::replace(&mut self.short, true);
        for decorator in it {
            self.used_as(&decorator.expression, ReferenceKind::Call);
            self.visit_expression(&decorator.expression);
        }
        self.short = short;
    }

    fn visit_method_definition(&mut self, it: &MethodDefinition<'a>) {
        self.visit_decorators(&it.decorators);
        let span = self.trimmed(it.span);
        let start = self.after_decorators(&it.decorators, span);
        let name = self.key_span(it.key.span(), it.computed);
        let body = it.value.body.as_ref().map(|body| body.span);
        self.member(span, start, name, SymbolKind::Method, body, |reader| {
            reader.key_used(&it.key, it.computed);
            reader.visit_property_key(&it.key);
            reader.visit_function(&it.value, ScopeFlags::Function);
        });
    }

    fn visit_property_definition(&mut self, it: &PropertyDefinition<'a>) {
        self.visit_decorators(&it.decorators);
        let span = self.trimmed(it.span);
        let start = self.after_decorators(&it.decorators, span);
        let name = self.key_span(it.key.span(), it.computed);
        let body = it.value.as_ref().and_then(|value| valued(value).1);
        self.member(span, start, name, SymbolKind::Property, body, |reader| {
            reader.key_used(&it.key, it.computed);
            reader.visit_property_key(&it.key);
            if let Some(annotation) = &it.type_annotation {
                reader.visit_ts_type_annotation(annotation);
            }
            if let Some(value) = &it.value {
                reader.visit_expression(value);
            }
        });
    }

    fn visit_accessor_property(&mut self, it: &AccessorProperty<'a>) {
        self.visit_decorators(&it.decorators);
        let span = self.trimmed(it.span);
        let start = self.after_decorators(&it.decorators, span);
        let name = self.key_span(it.key.span(), it.computed);
        let body = it.value.as_ref().and_then(|value| valued(value).1);
        self.member(span, start, name, SymbolKind::Property, body, |reader| {
            reader.key_used(&it.key, it.computed);
            reader.visit_property_key(&it.key);
            if let Some(annotation) = &it.type_annotation {
                reader.visit_ts_type_annotation(annotation);
            }
            if let Some(value) = &it.value {
                reader.visit_expression(value);
            }
        });
    }

    fn visit_object_property(&mut self, it: &ObjectProperty<'a>) {
        if !it.method && it.kind == PropertyKind::Init {
            return walk::walk_object_property(self, it);
        }
        let name = self.key_span(it.key.span(), it.computed);
        let body = valued(&it.value).1;
        self.member(it.span, it.span.start, name, SymbolKind::Method, body, |reader| {
            walk::walk_object_property(reader, it);
        });
    }

    fn visit_variable_declaration(&mut self, it: &VariableDeclaration<'a>) {
        let place = self.take_statement(it.span);
        for declarator in &it.declarations {
            self.declarator(declarator, place, it.declarations.len() == 1);
        }
    }

    fn visit_function(&mut self, it: &Function<'a>, flags: ScopeFlags) {
        match &it.id {
            Some(name) if it.is_declaration() || it.is_ts_declare_function() => {
                let body = it.body.as_ref().map(|body| body.span);
                self.declare(it.span, name.span, SymbolKind::Function, body, |reader| {
                    walk::walk_function(reader, it, flags);
                });
            }
            _ => walk::walk_function(self, it, flags),
        }
    }

    fn visit_class(&mut self, it: &Class<'a>) {
        let statement = self.statement.take();
        self.visit_decorators(&it.decorators);
        self.statement = statement;
        match &it.id {
            Some(name) if it.is_declaration() => {
                self.declare(it.span, name.span, SymbolKind::Class, Some(it.body.span), |reader| {
                    reader.class_parts(it);
                });
            }
            _ => self.class_parts(it),
        }
    }

    fn visit_class_heritage(&mut self, it: &ClassHeritage<'a>) {
        self.used_as(&it.expression, ReferenceKind::Extends);
        walk::walk_class_heritage(self, it);
    }

    fn visit_ts_class_implements(&mut self, it: &TSClassImplements<'a>) {
        self.type_used_as(&it.expression, ReferenceKind::Implements);
        walk::walk_ts_class_implements(self, it);
    }

    fn visit_ts_interface_heritage(&mut self, it: &TSInterfaceHeritage<'a>) {
        self.type_used_as(&it.type_name, ReferenceKind::Extends);
        walk::walk_ts_interface_heritage(self, it);
    }

    fn visit_ts_interface_declaration(&mut self, it: &TSInterfaceDeclaration<'a>) {
        self.declare(it.span, it.id.span, SymbolKind::Interface, Some(it.body.span), |reader| {
            walk::walk_ts_interface_declaration(reader, it);
        });
    }

    fn visit_ts_type_alias_declaration(&mut self, it: &TSTypeAliasDeclaration<'a>) {
        self.declare(it.span, it.id.span, SymbolKind::TypeAlias, None, |reader| {
            walk::walk_ts_type_alias_declaration(reader, it);
        });
    }

    fn visit_ts_enum_declaration(&mut self, it: &TSEnumDeclaration<'a>) {
        self.declare(it.span, it.id.span, SymbolKind::Enum, Some(it.body.span), |reader| {
            walk::walk_ts_enum_declaration(reader, it);
        });
    }

    fn visit_ts_external_module_declaration(&mut self, it: &TSExternalModuleDeclaration<'a>) {
        self.import(it.id.span, Vec::new(), true, ImportKind::Augment);
        let body = it.body.as_ref().map(|body| body.span);
        self.declare(it.span, it.id.span, SymbolKind::Namespace, body, |reader| {
            if let Some(body) = &it.body {
                reader.visit_ts_module_block(body);
            }
        });
    }

    fn visit_ts_global_declaration(&mut self, it: &TSGlobalDeclaration<'a>) {
        self.found.augmented.push(bytes(it.span));
        self.shared.extend(it.scope_id.get());
        walk::walk_ts_global_declaration(self, it);
    }

    fn visit_ts_namespace_declaration(&mut self, it: &TSNamespaceDeclaration<'a>) {
        let mut name = it.id.span;
        self.visit_binding_identifier(&it.id);
        let mut body = &it.body;
        while let TSNamespaceDeclarationBody::TSNamespaceDeclaration(inner) = body {
            name.end = inner.id.span.end;
            self.visit_binding_identifier(&inner.id);
            body = &inner.body;
        }
        let TSNamespaceDeclarationBody::TSModuleBlock(block) = body else { return };
        self.declare(it.span, name, SymbolKind::Namespace, Some(block.span), |reader| {
            reader.visit_ts_module_block(block);
        });
    }

    fn visit_ts_import_equals_declaration(&mut self, it: &TSImportEqualsDeclaration<'a>) {
        if let TSModuleReference::ExternalModuleReference(reference) = &it.module_reference {
            let name = self.slice(it.id.span);
            let taken = Taken {
                imported: "*".to_owned(),
                local: name.to_owned(),
                range: Some(it.id.span.start..it.id.span.end),
                binding: None,
            };
            let place = self.take_statement(it.span);
            let type_only = it.import_kind.is_type();
            let import = self.import(reference.expression.span, vec![taken], type_only, ImportKind::Equals);
            self.targets.push((it.id.span.start, Target::Import { import, name: 0 }));
            if place.exported {
                self.export_of(name, Some(it.id.span), type_only, place.span);
            }
            return self.visit_binding_identifier(&it.id);
        }
        self.declare(it.span, it.id.span, SymbolKind::Variable, None, |reader| {
            walk::walk_ts_import_equals_declaration(reader, it);
        });
    }

    fn visit_import_declaration(&mut self, it: &ImportDeclaration<'a>) {
        let (names, locals) = self.import_names(it);
        let import = self.import(it.source.span, names, it.import_kind.is_type(), ImportKind::Static);
        for (name, local) in (0u32..).zip(locals) {
            self.targets.push((local, Target::Import { import, name }));
        }
        walk::walk_import_declaration(self, it);
    }

    fn visit_export_from_declaration(&mut self, it: &ExportFromDeclaration<'a>) {
        let mut names = Vec::new();
        for specifier in &it.specifiers {
            let local = inside_quotes(bytes(specifier.local.span()), self.found.text);
            let exported = inside_quotes(bytes(specifier.exported.span()), self.found.text);
            names.push(Taken {
                imported: self.found.slice(local.clone()).to_owned(),
                local: self.found.slice(exported).to_owned(),
                range: Some(local.start as u32..local.end as u32),
                binding: None,
            });
        }
        self.reexport(it.source.span, names, it.export_kind.is_type(), it.span);
        walk::walk_export_from_declaration(self, it);
    }

    fn visit_export_all_declaration(&mut self, it: &ExportAllDeclaration<'a>) {
        let name = it.exported.as_ref().map_or("*", |name| {
            let range = inside_quotes(bytes(name.span()), self.found.text);
            self.found.slice(range)
        });
        let taken = Taken { imported: "*".to_owned(), local: name.to_owned(), range: None, binding: None };
        self.reexport(it.source.span, vec![taken], it.export_kind.is_type(), it.span);
        walk::walk_export_all_declaration(self, it);
    }

    fn visit_export_named_declaration(&mut self, it: &ExportNamedDeclaration<'a>) {
        for specifier in &it.specifiers {
            let local = inside_quotes(bytes(specifier.local.span()), self.found.text);
            let exported = inside_quotes(bytes(specifier.exported.span()), self.found.text);
            let name = self.found.slice(exported);
            let local = Span::new(local.start as u32, local.end as u32);
            self.export_of(name, Some(local), it.export_kind.is_type(), it.span);
        }
        walk::walk_export_named_declaration(self, it);
    }

    fn visit_export_specifier(&mut self, it: &ExportSpecifier<'a>) {
        self.role = Some((it.local.span().start, ReferenceKind::Export));
        self.visit_module_export_name(&it.local);
        if it.local.span() != it.exported.span() {
            self.visit_module_export_name(&it.exported);
        }
    }

    fn visit_ts_export_assignment(&mut self, it: &TSExportAssignment<'a>) {
        let name = match &it.expression {
            Expression::Identifier(name) => Some(name.span),
            _ => None,
        };
        self.export_of("=", name, false, it.span);
        if let Some(name) = name {
            self.role = Some((name.start, ReferenceKind::Export));
        }
        self.visit_expression(&it.expression);
    }

    fn visit_import_expression(&mut self, it: &ImportExpression<'a>) {
        if is_text(&it.source) {
            self.load(it.span.start, it.source.span(), ImportKind::Dynamic);
        }
        self.in_unit(it.source.span(), |reader| reader.visit_expression(&it.source));
        if let Some(options) = &it.options {
            self.in_unit(options.span(), |reader| reader.visit_expression(options));
        }
    }

    fn visit_ts_import_type(&mut self, it: &TSImportType<'a>) {
        let mut first = it.qualifier.as_ref();
        while let Some(TSImportTypeQualifier::QualifiedName(name)) = first {
            first = Some(&name.left);
        }
        let names = first.map(|name| Taken {
            imported: self.slice(name.span()).to_owned(),
            local: String::new(),
            range: Some(name.span().start..name.span().end),
            binding: None,
        });
        self.import(it.source.span, names.into_iter().collect(), true, ImportKind::Type);
        walk::walk_ts_import_type(self, it);
    }

    fn visit_call_expression(&mut self, it: &CallExpression<'a>) {
        if let Some(source) = required(it) {
            self.load(it.span.start, source, ImportKind::Require);
        } else if let Expression::StaticMemberExpression(member) = &it.callee
            && is_of_promise(&member.property.name)
            && let Some(call) = loading_call(&member.object)
        {
            let parameters = match it.arguments.first() {
                Some(Argument::ArrowFunctionExpression(it)) => Some(&it.params),
                Some(Argument::FunctionExpression(it)) => Some(&it.params),
                _ => None,
            };
            if let Some(parameter) = parameters.and_then(|parameters| parameters.items.first()) {
                self.take_pattern(&parameter.pattern, call);
            }
        }
        self.used_as(&it.callee, ReferenceKind::Call);
        walk::walk_call_expression(self, it);
    }

    fn visit_new_expression(&mut self, it: &NewExpression<'a>) {
        self.used_as(&it.callee, ReferenceKind::New);
        walk::walk_new_expression(self, it);
    }

    fn visit_tagged_template_expression(&mut self, it: &TaggedTemplateExpression<'a>) {
        self.used_as(&it.tag, ReferenceKind::Call);
        walk::walk_tagged_template_expression(self, it);
    }

    fn visit_static_member_expression(&mut self, it: &StaticMemberExpression<'a>) {
        let range = it.property.span.start..it.property.span.end;
        if let Some((of, from)) = dotted(&it.object) {
            self.members.push(Member { of, name: Behind { from: from.unwrap_or(range.start), range } });
        } else if let Some(call) = loading_call(&it.object)
            && !is_of_promise(&it.property.name)
        {
            let imported = self.slice(it.property.span).to_owned();
            self.take(call, vec![Taken { imported, local: String::new(), range: Some(range), binding: None }]);
        }
        walk::walk_static_member_expression(self, it);
    }

    fn visit_computed_member_expression(&mut self, it: &ComputedMemberExpression<'a>) {
        if let (Some(name), Expression::StringLiteral(key)) = (base_identifier(&it.object), &it.expression) {
            let range = inside_quotes(bytes(key.span), self.found.text);
            let range = range.start as u32..range.end as u32;
            self.members.push(Member { of: name.span.start, name: Behind::first(range) });
        }
        walk::walk_computed_member_expression(self, it);
    }

    fn visit_ts_qualified_name(&mut self, it: &TSQualifiedName<'a>) {
        let mut from = it.right.span.start;
        let mut left = &it.left;
        while let TSTypeName::QualifiedName(inner) = left {
            from = inner.right.span.start;
            left = &inner.left;
        }
        if let TSTypeName::IdentifierReference(name) = left {
            let range = it.right.span.start..it.right.span.end;
            self.members.push(Member { of: name.span.start, name: Behind { range, from } });
        }
        walk::walk_ts_qualified_name(self, it);
    }

    fn visit_ts_property_signature(&mut self, it: &TSPropertySignature<'a>) {
        self.key_used(&it.key, it.computed);
        walk::walk_ts_property_signature(self, it);
    }

    fn visit_ts_method_signature(&mut self, it: &TSMethodSignature<'a>) {
        self.key_used(&it.key, it.computed);
        walk::walk_ts_method_signature(self, it);
    }

    fn visit_ts_type_query(&mut self, it: &TSTypeQuery<'a>) {
        if let Some(name) = it.expr_name.as_ts_type_name() {
            self.type_used_as(name, ReferenceKind::TypeOf);
        }
        walk::walk_ts_type_query(self, it);
    }

    fn visit_jsx_element(&mut self, it: &JSXElement<'a>) {
        let Some(closing) = &it.closing_element else {
            return self.visit_jsx_opening_element(&it.opening_element);
        };
        self.in_unit(it.opening_element.span, |reader| reader.visit_jsx_opening_element(&it.opening_element));
        self.visit_jsx_children(&it.children);
        self.in_unit(closing.span, |reader| reader.visit_jsx_closing_element(closing));
    }

    fn visit_jsx_fragment(&mut self, it: &JSXFragment<'a>) {
        self.in_unit(it.opening_fragment.span, |_| ());
        self.visit_jsx_children(&it.children);
        self.in_unit(it.closing_fragment.span, |_| ());
    }

    fn visit_jsx_children(&mut self, it: &ArenaVec<'a, JSXChild<'a>>) {
        for child in it {
            self.in_unit(child.span(), |reader| reader.visit_jsx_child(child));
        }
    }

    fn visit_jsx_element_name(&mut self, it: &JSXElementName<'a>) {
        match it {
            JSXElementName::IdentifierReference(name) => self.role = Some((name.span.start, ReferenceKind::Jsx)),
            JSXElementName::MemberExpression(member) => {
                let mut member = &**member;
                while let JSXMemberExpressionObject::MemberExpression(inner) = &member.object {
                    member = inner;
                }
                self.role = Some((member.object.span().start, ReferenceKind::Jsx));
            }
            _ => {}
        }
        walk::walk_jsx_element_name(self, it);
    }

    fn visit_jsx_member_expression(&mut self, it: &JSXMemberExpression<'a>) {
        let mut from = it.property.span.start;
        let mut object = &it.object;
        while let JSXMemberExpressionObject::MemberExpression(inner) = object {
            from = inner.property.span.start;
            object = &inner.object;
        }
        if let JSXMemberExpressionObject::IdentifierReference(name) = object {
            let range = it.property.span.start..it.property.span.end;
            self.members.push(Member { of: name.span.start, name: Behind { range, from } });
        }
        walk::walk_jsx_member_expression(self, it);
    }

    fn visit_identifier_reference(&mut self, it: &IdentifierReference<'a>) {
        let name = self.slice(it.span);
        if name == "undefined" {
            return;
        }
        self.found.identifier(name);
        self.use_of(it);
    }

    fn visit_ts_type_reference(&mut self, it: &TSTypeReference<'a>) {
        // `as const`
        if matches!(&it.type_name, TSTypeName::IdentifierReference(name) if name.name == "const") {
            return;
        }
        walk::walk_ts_type_reference(self, it);
    }

    fn visit_identifier_name(&mut self, it: &IdentifierName<'a>) {
        let name = self.slice(it.span);
        self.found.identifier(name);
    }

    fn visit_binding_identifier(&mut self, it: &BindingIdentifier<'a>) {
        let name = self.slice(it.span);
        self.found.identifier(name);
    }

    fn visit_private_identifier(&mut self, it: &PrivateIdentifier<'a>) {
        let name = self.slice(it.span);
        self.found.identifier(name);
    }

    fn visit_jsx_identifier(&mut self, it: &JSXIdentifier<'a>) {
        let name = self.slice(it.span);
        self.found.identifier(name);
    }

    fn visit_ts_index_signature_name(&mut self, it: &TSIndexSignatureName<'a>) {
        self.found.identifier(&it.name);
        self.visit_ts_type_annotation(&it.type_annotation);
    }
}

impl Reader<'_, '_> {
    fn reexport(&mut self, source: Span, names: Vec<Taken>, type_only: bool, statement: Span) {
        let from = self.found.slice(inside_quotes(bytes(source), self.found.text));
        if self.leaves {
            let line = self.found.line(statement.start as usize);
            self.found.reexport(&names, from, type_only, line);
        }
        self.import(source, names, type_only, ImportKind::Reexport);
    }
}

fn look_up(targets: &[(u32, Target)], start: u32) -> Option<Target> {
    let at = targets.binary_search_by_key(&start, |(start, _)| *start).ok()?;
    Some(targets[at].1)
}
