//! The walk over one file's syntax tree that fills a [`super::module::Module`].

use super::module::{
    Augmentation, Bag, Chain, Export, Form, Import, ImportName, Imported, Name, Origin, Root, Segment, Specifier,
    SpecifierKind, Statement, StatementKind,
};
use oxc_ast::ast::*;
use oxc_ast_visit::{Visit, walk};
use oxc_semantic::Scoping;
use oxc_span::{GetSpan, Span};
use oxc_syntax::scope::{ScopeFlags, ScopeId};
use oxc_syntax::symbol::SymbolId;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

/// Functions of jest and vitest whose first argument names a module and whose second makes its exports.
const MOCKERS: [&str; 4] = ["mock", "doMock", "unstable_mockModule", "setMock"];
/// Those that return the module.
const LOADERS: [&str; 4] = ["importActual", "importMock", "requireActual", "requireMock"];

pub(super) struct Reader<'s> {
    scoping: &'s Scoping,
    parts: Parts,
    scopes: Vec<(ScopeId, bool)>,
    functions: usize,
    /// Starts of identifiers whose form is not plain.
    forms: BTreeMap<u32, Form>,
    followed: BTreeSet<u32>,
}

#[derive(Default)]
pub(super) struct Parts {
    pub names: Vec<Name>,
    pub statements: Vec<Statement>,
    pub imports: Vec<Import>,
    pub exports: Vec<Export>,
    pub chains: Vec<Chain>,
    pub aliases: BTreeMap<SymbolId, Chain>,
    pub bags: BTreeMap<SymbolId, Bag>,
    pub augmentations: Vec<Augmentation>,
    pub specifiers: Vec<Specifier>,
    pub has_jsx: bool,
    pub tags: BTreeSet<u32>,
    pub place_bound: Vec<Span>,
}

/// A chain with the byte at which its root starts and the expression to visit for it.
struct Found<'e, 'a> {
    chain: Chain,
    at: u32,
    root: Option<&'e Expression<'a>>,
}

impl<'s> Reader<'s> {
    pub fn new(scoping: &'s Scoping) -> Self {
        Self {
            scoping,
            parts: Parts::default(),
            scopes: Vec::new(),
            functions: 0,
            forms: BTreeMap::new(),
            followed: BTreeSet::new(),
        }
    }

    pub fn finish(mut self) -> Parts {
        for name in &mut self.parts.names {
            name.followed = self.followed.contains(&name.span.start);
        }
        for specifier in &mut self.parts.specifiers {
            specifier.followed = self.followed.contains(&specifier.at);
        }
        self.parts
    }

    /// Imports, exports and statements; before the visit, because it decides the form of the names in specifiers.
    pub fn read_top_level(&mut self, program: &Program<'_>) {
        for statement in &program.body {
            self.read_statement(statement);
        }
    }

    fn statement(&mut self, span: Span, kind: StatementKind, declares: Vec<SymbolId>, n: usize) {
        let compound = n > 1;
        self.parts.statements.push(Statement { span, kind, declares, compound });
    }

    fn read_statement(&mut self, statement: &Statement_<'_>) {
        match statement {
            Statement_::ImportDeclaration(it) => self.read_import(it),
            Statement_::ExportDeclaration(it) => {
                let bound = bound_names(&it.declaration);
                let at = self.parts.statements.len();
                for id in &bound {
                    self.parts.exports.push(Export {
                        name: id.name.to_string(),
                        name_span: id.span,
                        origin: local(id.symbol_id.get(), &id.name, id.span),
                        specifier: None,
                        statement: at,
                        type_only: false,
                    });
                }
                let declares = bound.iter().filter_map(|id| id.symbol_id.get()).collect();
                self.statement(it.span, StatementKind::ExportDeclaration, declares, parts_of(&it.declaration));
            }
            Statement_::ExportNamedDeclaration(it) => self.read_export_names(it),
            Statement_::ExportFromDeclaration(it) => self.read_export_from(it),
            Statement_::ExportAllDeclaration(it) => self.read_export_all(it),
            Statement_::ExportDefaultDeclaration(it) => self.read_export_default(it),
            other => match other.as_declaration() {
                Some(declaration) => {
                    let declares = bound_names(declaration).iter().filter_map(|id| id.symbol_id.get()).collect();
                    self.statement(other.span(), StatementKind::Declaration, declares, parts_of(declaration));
                }
                None => self.statement(other.span(), StatementKind::Other, Vec::new(), 1),
            },
        }
    }

    fn read_import(&mut self, it: &ImportDeclaration<'_>) {
        let names = it
            .specifiers
            .as_ref()
            .map(|specifiers| specifiers.iter().filter_map(|specifier| self.read_import_name(specifier)).collect());
        self.specifier(&it.source, SpecifierKind::Static, it.span.start);
        self.parts.imports.push(Import {
            span: it.span,
            specifier: it.source.value.to_string(),
            specifier_span: inside(it.source.span),
            type_only: it.import_kind.is_type(),
            has_attributes: it.with_clause.is_some() || it.phase.is_some(),
            names,
        });
        self.statement(it.span, StatementKind::Import, Vec::new(), 1);
    }

    fn read_import_name(&mut self, it: &ImportDeclarationSpecifier<'_>) -> Option<ImportName> {
        let (imported, imported_span, local, type_only) = match it {
            ImportDeclarationSpecifier::ImportSpecifier(it) => (
                Imported::Name(it.imported.name().to_string()),
                it.imported.span(),
                &it.local,
                it.import_kind.is_type(),
            ),
            ImportDeclarationSpecifier::ImportDefaultSpecifier(it) => (Imported::Default, it.span, &it.local, false),
            ImportDeclarationSpecifier::ImportNamespaceSpecifier(it) => {
                (Imported::Namespace, it.span, &it.local, false)
            }
        };
        self.forms.insert(local.span.start, Form::Specifier);
        Some(ImportName {
            span: it.span(),
            imported,
            imported_span,
            local: local.name.to_string(),
            local_span: local.span,
            symbol: local.symbol_id.get()?,
            type_only,
        })
    }

    fn read_export_names(&mut self, it: &ExportNamedDeclaration<'_>) {
        let at = self.parts.statements.len();
        for specifier in &it.specifiers {
            let symbol = match &specifier.local {
                ModuleExportName::IdentifierReference(id) => self.symbol_of(id),
                _ => None,
            };
            let span = specifier.local.span();
            self.forms.insert(span.start, Form::Specifier);
            self.parts.exports.push(Export {
                name: specifier.exported.name().to_string(),
                name_span: specifier.exported.span(),
                origin: local(symbol, &specifier.local.name(), span),
                specifier: Some(specifier.span),
                statement: at,
                type_only: it.export_kind.is_type() || specifier.export_kind.is_type(),
            });
        }
        self.statement(it.span, StatementKind::ExportNames, Vec::new(), 1);
    }

    fn read_export_from(&mut self, it: &ExportFromDeclaration<'_>) {
        let at = self.parts.statements.len();
        for specifier in &it.specifiers {
            self.parts.exports.push(Export {
                name: specifier.exported.name().to_string(),
                name_span: specifier.exported.span(),
                origin: Origin::From {
                    specifier: it.source.value.to_string(),
                    imported: specifier.local.name().to_string(),
                    imported_span: specifier.local.span(),
                },
                specifier: Some(specifier.span),
                statement: at,
                type_only: it.export_kind.is_type() || specifier.export_kind.is_type(),
            });
        }
        self.specifier(&it.source, SpecifierKind::Static, it.span.start);
        self.statement(it.span, StatementKind::ExportFrom, Vec::new(), 1);
    }

    fn read_export_all(&mut self, it: &ExportAllDeclaration<'_>) {
        let specifier = it.source.value.to_string();
        let (name, name_span, origin) = match &it.exported {
            Some(name) => (name.name().to_string(), name.span(), Origin::Namespace { specifier }),
            None => ("*".to_owned(), it.span, Origin::Star { specifier }),
        };
        self.parts.exports.push(Export {
            name,
            name_span,
            origin,
            specifier: None,
            statement: self.parts.statements.len(),
            type_only: it.export_kind.is_type(),
        });
        self.specifier(&it.source, SpecifierKind::Static, it.span.start);
        self.statement(it.span, StatementKind::ExportFrom, Vec::new(), 1);
    }

    fn read_export_default(&mut self, it: &ExportDefaultDeclaration<'_>) {
        let (origin, declares) = match &it.declaration {
            ExportDefaultDeclarationKind::FunctionDeclaration(f) => declared(f.id.as_ref()),
            ExportDefaultDeclarationKind::ClassDeclaration(c) => declared(c.id.as_ref()),
            ExportDefaultDeclarationKind::TSInterfaceDeclaration(i) => declared(Some(&i.id)),
            ExportDefaultDeclarationKind::Identifier(id) => {
                self.followed.insert(id.span.start);
                (local(self.symbol_of(id), &id.name, id.span), Vec::new())
            }
            _ => (Origin::Anonymous, Vec::new()),
        };
        self.parts.exports.push(Export {
            name: "default".to_owned(),
            name_span: it.span,
            origin,
            specifier: None,
            statement: self.parts.statements.len(),
            type_only: false,
        });
        self.statement(it.span, StatementKind::ExportDefault, declares, 1);
    }

    fn symbol_of(&self, id: &IdentifierReference<'_>) -> Option<SymbolId> {
        self.scoping.get_reference(id.reference_id.get()?).symbol_id()
    }

    fn specifier(&mut self, source: &StringLiteral<'_>, kind: SpecifierKind, at: u32) {
        self.parts.specifiers.push(Specifier {
            text: source.value.to_string(),
            span: inside(source.span),
            kind,
            at,
            followed: false,
        });
    }

    fn name(&mut self, span: Span, symbol: Option<SymbolId>, flags: Option<ReferenceFlags_>) {
        let scope = self.scopes.last().map_or_else(|| self.scoping.root_scope_id(), |(scope, _)| *scope);
        self.parts.names.push(Name {
            span,
            symbol,
            scope,
            form: self.forms.get(&span.start).copied().unwrap_or(Form::Plain),
            flags,
            followed: false,
            lazy: self.functions > 0,
        });
    }

    fn keep(&mut self, found: &Found<'_, '_>) {
        self.followed.insert(found.at);
        self.parts.chains.push(found.chain.clone());
    }

    /// The path that an expression spells, if it is one.
    fn chain<'e, 'a>(&self, expression: &'e Expression<'a>) -> Option<Found<'e, 'a>> {
        match expression {
            Expression::Identifier(id) => Some(Found {
                chain: Chain { root: Root::Symbol(self.symbol_of(id)?), segments: Vec::new() },
                at: id.span.start,
                root: Some(expression),
            }),
            Expression::ParenthesizedExpression(it) => self.chain(&it.expression),
            Expression::TSNonNullExpression(it) => self.chain(&it.expression),
            Expression::ChainExpression(it) => match &it.expression {
                ChainElement::StaticMemberExpression(it) => self.static_chain(it),
                ChainElement::ComputedMemberExpression(it) => self.computed_chain(it),
                _ => None,
            },
            Expression::StaticMemberExpression(it) => self.static_chain(it),
            Expression::ComputedMemberExpression(it) => self.computed_chain(it),
            Expression::AwaitExpression(it) => {
                loaded(&it.argument, true).map(|found| Found { root: Some(expression), ..found })
            }
            Expression::CallExpression(_) => {
                loaded(expression, false).map(|found| Found { root: Some(expression), ..found })
            }
            _ => None,
        }
    }

    fn static_chain<'e, 'a>(&self, it: &'e StaticMemberExpression<'a>) -> Option<Found<'e, 'a>> {
        let found = self.chain(&it.object)?;
        Some(found.then(&it.property.name, it.property.span))
    }

    fn computed_chain<'e, 'a>(&self, it: &'e ComputedMemberExpression<'a>) -> Option<Found<'e, 'a>> {
        let found = self.chain(&it.object)?;
        match &it.expression {
            Expression::StringLiteral(key) => Some(found.then(&key.value, inside(key.span))),
            _ => None,
        }
    }

    fn type_chain<'e, 'a>(&self, name: &TSTypeName<'a>) -> Option<Found<'e, 'a>> {
        match name {
            TSTypeName::IdentifierReference(id) => Some(Found {
                chain: Chain { root: Root::Symbol(self.symbol_of(id)?), segments: Vec::new() },
                at: id.span.start,
                root: None,
            }),
            TSTypeName::QualifiedName(it) => {
                let found = self.type_chain(&it.left)?;
                Some(found.then(&it.right.name, it.right.span))
            }
            TSTypeName::ThisExpression(_) => None,
        }
    }

    fn query_chain<'e, 'a>(&self, it: &TSTypeQuery<'a>) -> Option<Found<'e, 'a>> {
        match &it.expr_name {
            TSTypeQueryExprName::TSImportType(it) => Some(import_type_chain(it)),
            other => self.type_chain(other.as_ts_type_name()?),
        }
    }

    fn tag_chain<'e, 'a>(&self, it: &JSXMemberExpression<'a>) -> Option<Found<'e, 'a>> {
        let found = match &it.object {
            JSXMemberExpressionObject::IdentifierReference(id) => Found {
                chain: Chain { root: Root::Symbol(self.symbol_of(id)?), segments: Vec::new() },
                at: id.span.start,
                root: None,
            },
            JSXMemberExpressionObject::MemberExpression(it) => self.tag_chain(it)?,
            JSXMemberExpressionObject::ThisExpression(_) => return None,
        };
        Some(found.then(&it.property.name, it.property.span))
    }

    /// What a pattern takes out of the thing that a chain leads to.
    fn bind(&mut self, pattern: &BindingPattern<'_>, chain: &Chain, at: u32) {
        match pattern {
            BindingPattern::BindingIdentifier(id) => {
                if let Some(symbol) = id.symbol_id.get() {
                    self.parts.aliases.insert(symbol, chain.clone());
                    self.followed.insert(at);
                }
            }
            BindingPattern::AssignmentPattern(it) => self.bind(&it.left, chain, at),
            BindingPattern::ObjectPattern(it) => {
                if it.rest.is_none() {
                    self.followed.insert(at);
                }
                for property in &it.properties {
                    let Some(segment) = key_segment(&property.key, property.shorthand) else {
                        self.followed.remove(&at);
                        continue;
                    };
                    let mut chain = chain.clone();
                    chain.segments.push(segment);
                    self.parts.chains.push(chain.clone());
                    self.bind(&property.value, &chain, at);
                }
            }
            BindingPattern::ArrayPattern(_) => {}
        }
    }

    /// `const z = { ...ns, key: ns }`. Under a key it is also used whole, which is said.
    fn read_bag(&mut self, symbol: SymbolId, object: &ObjectExpression<'_>) {
        let mut bag = Bag::default();
        for property in &object.properties {
            match property {
                ObjectPropertyKind::SpreadProperty(spread) => {
                    if let Some(found) = self.chain(&spread.argument) {
                        self.followed.insert(found.at);
                        bag.spreads.push(found.chain);
                    }
                }
                ObjectPropertyKind::ObjectProperty(property) => {
                    let held = self.chain(&property.value).map(|found| found.chain);
                    bag.own.extend(key_segment(&property.key, false).map(|segment| (segment.name, held)));
                }
            }
        }
        if !bag.spreads.is_empty() || bag.own.values().any(Option::is_some) {
            self.parts.bags.insert(symbol, bag);
        }
    }

    /// `import("./x").then((m) => …)`
    fn read_then(&mut self, call: &CallExpression<'_>) {
        let Expression::StaticMemberExpression(callee) = &call.callee else {
            return;
        };
        let Expression::ImportExpression(import) = callee.object.without_parentheses() else {
            return;
        };
        let Expression::StringLiteral(source) = &import.source else {
            return;
        };
        let params = match call.arguments.first() {
            Some(Argument::ArrowFunctionExpression(f)) => &f.params,
            Some(Argument::FunctionExpression(f)) => &f.params,
            _ => return,
        };
        if callee.property.name != "then" {
            return;
        }
        let chain = Chain { root: Root::Module(source.value.to_string()), segments: Vec::new() };
        match params.items.first() {
            Some(first) if first.type_annotation.is_none() => {
                self.bind(&first.pattern, &chain, import.span.start);
            }
            Some(_) => {}
            None => {
                self.followed.insert(import.span.start);
            }
        }
    }

    /// `vi.mock("./x", () => ({ a: … }))`
    fn read_mock(&mut self, call: &CallExpression<'_>) {
        if !is_tester(&call.callee, &MOCKERS) {
            return;
        }
        let source = match call.arguments.first() {
            Some(Argument::StringLiteral(source)) => {
                self.specifier(source, SpecifierKind::Mock, source.span.start);
                source
            }
            Some(Argument::ImportExpression(it)) => match &it.source {
                Expression::StringLiteral(source) => {
                    self.followed.insert(it.span.start);
                    source
                }
                _ => return,
            },
            _ => return,
        };
        let Some(object) = call.arguments.get(1).and_then(returned_object) else {
            return;
        };
        for property in &object.properties {
            let ObjectPropertyKind::ObjectProperty(property) = property else {
                continue;
            };
            if let Some(segment) = key_segment(&property.key, property.shorthand) {
                self.parts.chains.push(Chain { root: Root::Module(source.value.to_string()), segments: vec![segment] });
            }
        }
    }
}

impl Found<'_, '_> {
    fn then(mut self, name: &str, span: Span) -> Self {
        self.chain.segments.push(Segment { name: name.to_owned(), span, shorthand: false });
        self
    }
}

type Statement_<'a> = oxc_ast::ast::Statement<'a>;
type ReferenceFlags_ = oxc_syntax::reference::ReferenceFlags;

fn inside(span: Span) -> Span {
    Span::new(span.start + 1, span.end.saturating_sub(1))
}

fn local(symbol: Option<SymbolId>, name: &str, span: Span) -> Origin {
    Origin::Local { symbol, local: name.to_owned(), local_span: span }
}

fn declared(id: Option<&BindingIdentifier<'_>>) -> (Origin, Vec<SymbolId>) {
    match id {
        Some(id) => (local(id.symbol_id.get(), &id.name, id.span), id.symbol_id.get().into_iter().collect()),
        None => (Origin::Anonymous, Vec::new()),
    }
}

fn bound_names<'e, 'a>(declaration: &'e Declaration<'a>) -> Vec<&'e BindingIdentifier<'a>> {
    match declaration {
        Declaration::VariableDeclaration(it) => {
            it.declarations.iter().flat_map(|declarator| declarator.id.get_binding_identifiers()).collect()
        }
        Declaration::FunctionDeclaration(it) => it.id.iter().collect(),
        Declaration::ClassDeclaration(it) => it.id.iter().collect(),
        Declaration::TSTypeAliasDeclaration(it) => vec![&it.id],
        Declaration::TSInterfaceDeclaration(it) => vec![&it.id],
        Declaration::TSEnumDeclaration(it) => vec![&it.id],
        Declaration::TSNamespaceDeclaration(it) => vec![&it.id],
        Declaration::TSImportEqualsDeclaration(it) => vec![&it.id],
        Declaration::TSExternalModuleDeclaration(_) | Declaration::TSGlobalDeclaration(_) => Vec::new(),
    }
}

/// How many things a declaration declares; a pattern counts as many.
fn parts_of(declaration: &Declaration<'_>) -> usize {
    match declaration {
        Declaration::VariableDeclaration(it) => {
            let pattern = it.declarations.iter().any(|d| !matches!(d.id, BindingPattern::BindingIdentifier(_)));
            it.declarations.len() + usize::from(pattern)
        }
        _ => 1,
    }
}

/// `import("x")` (when awaited) and `require("x")`, `jest.requireActual("x")`, `await vi.importActual("x")`.
fn loaded<'e, 'a>(expression: &Expression<'a>, awaited: bool) -> Option<Found<'e, 'a>> {
    let (source, at) = match expression.without_parentheses() {
        Expression::ImportExpression(it) if awaited => match &it.source {
            Expression::StringLiteral(source) => (source.as_ref(), it.span.start),
            _ => return None,
        },
        Expression::CallExpression(call) => (loader_source(call)?, call.span.start),
        _ => return None,
    };
    Some(Found { chain: Chain { root: Root::Module(source.value.to_string()), segments: Vec::new() }, at, root: None })
}

fn loader_source<'e, 'a>(call: &'e CallExpression<'a>) -> Option<&'e StringLiteral<'a>> {
    let loads = match &call.callee {
        Expression::Identifier(id) => id.name == "require",
        callee => is_tester(callee, &LOADERS),
    };
    match call.arguments.first() {
        Some(Argument::StringLiteral(source)) if loads => Some(source),
        _ => None,
    }
}

fn is_tester(callee: &Expression<'_>, functions: &[&str]) -> bool {
    matches!(callee, Expression::StaticMemberExpression(it)
        if functions.contains(&it.property.name.as_str())
            && matches!(&it.object, Expression::Identifier(id) if matches!(id.name.as_str(), "vi" | "jest" | "vitest")))
}

fn returned_object<'e, 'a>(argument: &'e Argument<'a>) -> Option<&'e ObjectExpression<'a>> {
    let body = match argument {
        Argument::ArrowFunctionExpression(f) => match &f.body {
            ArrowFunctionBody::FunctionBody(body) => body,
            expression => {
                return match expression.as_expression()?.without_parentheses() {
                    Expression::ObjectExpression(object) => Some(object),
                    _ => None,
                };
            }
        },
        Argument::FunctionExpression(f) => f.body.as_ref()?,
        _ => return None,
    };
    match body.statements.last()? {
        Statement_::ReturnStatement(it) => match it.argument.as_ref()?.without_parentheses() {
            Expression::ObjectExpression(object) => Some(object),
            _ => None,
        },
        _ => None,
    }
}

fn key_segment(key: &PropertyKey<'_>, shorthand: bool) -> Option<Segment> {
    let (name, span) = match key {
        PropertyKey::StaticIdentifier(id) => (id.name.to_string(), id.span),
        PropertyKey::StringLiteral(text) => (text.value.to_string(), inside(text.span)),
        _ => return None,
    };
    Some(Segment { name, span, shorthand })
}

fn import_type_chain<'e, 'a>(it: &TSImportType<'a>) -> Found<'e, 'a> {
    let mut segments = Vec::new();
    let mut at = it.qualifier.as_ref();
    while let Some(qualifier) = at {
        let name = match qualifier {
            TSImportTypeQualifier::Identifier(name) => {
                at = None;
                name.as_ref()
            }
            TSImportTypeQualifier::QualifiedName(qualified) => {
                at = Some(&qualified.left);
                &qualified.right
            }
        };
        segments.push(Segment { name: name.name.to_string(), span: name.span, shorthand: false });
    }
    segments.reverse();
    Found { chain: Chain { root: Root::Module(it.source.value.to_string()), segments }, at: it.span.start, root: None }
}

impl<'a> Visit<'a> for Reader<'_> {
    fn enter_scope(&mut self, flags: ScopeFlags, scope_id: &Cell<Option<ScopeId>>) {
        let scope = scope_id
            .get()
            .or_else(|| self.scopes.last().map(|(scope, _)| *scope))
            .unwrap_or_else(|| self.scoping.root_scope_id());
        let function = flags.is_function();
        self.functions += usize::from(function);
        self.scopes.push((scope, function));
    }

    fn leave_scope(&mut self) {
        if let Some((_, true)) = self.scopes.pop() {
            self.functions -= 1;
        }
    }

    fn visit_identifier_reference(&mut self, it: &IdentifierReference<'a>) {
        let Some(reference) = it.reference_id.get() else {
            return;
        };
        let reference = self.scoping.get_reference(reference);
        let (symbol, flags) = (reference.symbol_id(), reference.flags());
        if symbol.is_none() && matches!(it.name.as_str(), "__dirname" | "__filename") {
            self.parts.place_bound.push(it.span);
        }
        self.name(it.span, symbol, Some(flags));
    }

    fn visit_binding_identifier(&mut self, it: &BindingIdentifier<'a>) {
        self.name(it.span, it.symbol_id.get(), None);
    }

    fn visit_import_meta(&mut self, it: &ImportMeta) {
        self.parts.place_bound.push(it.span);
    }

    fn visit_object_property(&mut self, it: &ObjectProperty<'a>) {
        if it.shorthand {
            self.forms.insert(it.key.span().start, Form::Shorthand);
        }
        walk::walk_object_property(self, it);
    }

    fn visit_binding_property(&mut self, it: &BindingProperty<'a>) {
        if it.shorthand {
            self.forms.insert(it.key.span().start, Form::Shorthand);
        }
        walk::walk_binding_property(self, it);
    }

    fn visit_assignment_target_property_identifier(&mut self, it: &AssignmentTargetPropertyIdentifier<'a>) {
        self.forms.insert(it.binding.span.start, Form::Shorthand);
        walk::walk_assignment_target_property_identifier(self, it);
    }

    fn visit_export_specifier(&mut self, it: &ExportSpecifier<'a>) {
        let start = it.local.span().start;
        if start == it.exported.span().start {
            self.forms.entry(start).or_insert(Form::NestedExport);
        }
        walk::walk_export_specifier(self, it);
    }

    fn visit_static_member_expression(&mut self, it: &StaticMemberExpression<'a>) {
        match self.static_chain(it) {
            Some(found) => {
                self.keep(&found);
                if let Some(root) = found.root {
                    self.visit_expression(root);
                }
            }
            None => walk::walk_static_member_expression(self, it),
        }
    }

    fn visit_computed_member_expression(&mut self, it: &ComputedMemberExpression<'a>) {
        match self.computed_chain(it) {
            Some(found) => {
                self.keep(&found);
                if let Some(root) = found.root {
                    self.visit_expression(root);
                }
            }
            None => walk::walk_computed_member_expression(self, it),
        }
    }

    fn visit_ts_qualified_name(&mut self, it: &TSQualifiedName<'a>) {
        if let Some(found) = self.type_chain(&it.left) {
            let found = found.then(&it.right.name, it.right.span);
            self.keep(&found);
        }
        let mut left = &it.left;
        while let TSTypeName::QualifiedName(it) = left {
            left = &it.left;
        }
        self.visit_ts_type_name(left);
    }

    fn visit_jsx_member_expression(&mut self, it: &JSXMemberExpression<'a>) {
        if let Some(found) = self.tag_chain(it) {
            self.keep(&found);
        }
        let mut object = &it.object;
        while let JSXMemberExpressionObject::MemberExpression(it) = object {
            object = &it.object;
        }
        self.visit_jsx_member_expression_object(object);
    }

    fn visit_jsx_element_name(&mut self, it: &JSXElementName<'a>) {
        self.parts.has_jsx = true;
        if let JSXElementName::IdentifierReference(id) = it {
            self.parts.tags.insert(id.span.start);
        }
        walk::walk_jsx_element_name(self, it);
    }

    fn visit_jsx_fragment(&mut self, it: &JSXFragment<'a>) {
        self.parts.has_jsx = true;
        walk::walk_jsx_fragment(self, it);
    }

    fn visit_ts_import_type(&mut self, it: &TSImportType<'a>) {
        self.specifier(&it.source, SpecifierKind::Type, it.span.start);
        let found = import_type_chain(it);
        if !found.chain.segments.is_empty() {
            self.keep(&found);
        }
        walk::walk_ts_import_type(self, it);
    }

    fn visit_ts_indexed_access_type(&mut self, it: &TSIndexedAccessType<'a>) {
        let mut object = &it.object_type;
        while let TSType::TSParenthesizedType(inner) = object {
            object = &inner.type_annotation;
        }
        if let TSType::TSTypeQuery(query) = object
            && let TSType::TSLiteralType(index) = &it.index_type
            && let TSLiteral::StringLiteral(key) = &index.literal
            && let Some(found) = self.query_chain(query)
        {
            let found = found.then(&key.value, inside(key.span));
            self.keep(&found);
        }
        walk::walk_ts_indexed_access_type(self, it);
    }

    fn visit_ts_import_equals_declaration(&mut self, it: &TSImportEqualsDeclaration<'a>) {
        let chain = match &it.module_reference {
            TSModuleReference::ExternalModuleReference(module) => {
                self.specifier(&module.expression, SpecifierKind::Static, it.span.start);
                Some((
                    Chain { root: Root::Module(module.expression.value.to_string()), segments: Vec::new() },
                    it.span.start,
                ))
            }
            TSModuleReference::IdentifierReference(id) => self
                .symbol_of(id)
                .map(|symbol| (Chain { root: Root::Symbol(symbol), segments: Vec::new() }, id.span.start)),
            TSModuleReference::QualifiedName(name) => self.type_chain(&name.left).map(|found| {
                let found = found.then(&name.right.name, name.right.span);
                (found.chain, found.at)
            }),
        };
        if let (Some((chain, at)), Some(symbol)) = (chain, it.id.symbol_id.get()) {
            self.followed.insert(at);
            self.parts.aliases.insert(symbol, chain);
        }
        walk::walk_ts_import_equals_declaration(self, it);
    }

    fn visit_variable_declarator(&mut self, it: &VariableDeclarator<'a>) {
        if it.type_annotation.is_none()
            && let Some(init) = &it.init
            && let Some(found) = self.chain(init)
        {
            self.bind(&it.id, &found.chain, found.at);
        }
        if it.type_annotation.is_none()
            && let Some(Expression::ObjectExpression(object)) = &it.init
            && let BindingPattern::BindingIdentifier(id) = &it.id
            && let Some(symbol) = id.symbol_id.get()
        {
            self.read_bag(symbol, object);
        }
        walk::walk_variable_declarator(self, it);
    }

    fn visit_import_expression(&mut self, it: &ImportExpression<'a>) {
        if let Expression::StringLiteral(source) = &it.source {
            self.specifier(source, SpecifierKind::Dynamic, it.span.start);
        }
        walk::walk_import_expression(self, it);
    }

    fn visit_call_expression(&mut self, it: &CallExpression<'a>) {
        if let Some(source) = loader_source(it) {
            self.specifier(source, SpecifierKind::Dynamic, it.span.start);
        }
        self.read_then(it);
        self.read_mock(it);
        walk::walk_call_expression(self, it);
    }

    fn visit_ts_external_module_declaration(&mut self, it: &TSExternalModuleDeclaration<'a>) {
        if let Some(scope) = it.scope_id.get() {
            self.parts.augmentations.push(Augmentation { specifier: it.id.value.to_string(), scope, span: it.span });
        }
        self.specifier(&it.id, SpecifierKind::Augmentation, it.span.start);
        walk::walk_ts_external_module_declaration(self, it);
    }
}
