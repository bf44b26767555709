//! Imports and exports of every form, read from syntax nodes; and what oxc adds where tree-sitter objects to valid text.

use super::kinds::Kinds;
use super::{Export, FileFacts, Import, ImportKind, SymbolKind};
use crate::path::RelPath;
use crate::syntax;
use crate::text::LineIndex;
use oxc_allocator::Allocator;
use oxc_ast::ast;
use oxc_ast_visit::{Visit, walk};
use oxc_span::Span;
use oxc_syntax::module_record::{
    ExportEntry, ExportExportName, ExportImportName, ExportLocalName, ImportImportName, ModuleRecord, NameSpan,
};
use std::collections::BTreeMap;
use std::ops::Range;
use tree_sitter::{Node, Tree};

/// (name in the other module, name here).
type Names = Vec<(String, String)>;

/// What the walk has read so far.
pub(super) struct Modules<'a> {
    text: &'a str,
    kinds: &'static Kinds,
    imports: Vec<Import>,
    exports: Vec<Export>,
    /// Names taken from the call node with this id, which the walk has yet to reach.
    taken: BTreeMap<usize, Names>,
}

impl<'a> Modules<'a> {
    pub fn new(text: &'a str, kinds: &'static Kinds) -> Self {
        Self { text, kinds, imports: Vec::new(), exports: Vec::new(), taken: BTreeMap::new() }
    }

    pub fn finish(self) -> (Vec<Import>, Vec<Export>) {
        (self.imports, self.exports)
    }

    /// `import …`.
    pub fn import_statement(&mut self, node: &Node<'_>) {
        let type_only = has_token(node, "type") || has_token(node, "typeof");
        if let Some(source) = node.child_by_field_id(self.kinds.fields.source) {
            let clause = named_child(node, "import_clause");
            let names = clause.map_or_else(Names::new, |clause| self.clause_names(&clause));
            self.add(&source, names, type_only, ImportKind::Static);
        } else if let Some(clause) = named_child(node, "import_require_clause") {
            let (Some(source), Some(name)) =
                (clause.child_by_field_id(self.kinds.fields.source), clause.named_child(0))
            else {
                return;
            };
            let names = vec![("*".to_owned(), self.of(&name).to_owned())];
            self.add(&source, names, type_only, ImportKind::Equals);
        }
    }

    fn clause_names(&self, clause: &Node<'_>) -> Names {
        let mut names = Names::new();
        for child in named_children(clause) {
            match child.kind() {
                "identifier" => names.push(("default".into(), self.of(&child).into())),
                "namespace_import" => {
                    if let Some(name) = child.named_child(0) {
                        names.push(("*".into(), self.of(&name).into()));
                    }
                }
                "named_imports" => {
                    names.extend(named_children(&child).iter().filter_map(|specifier| self.specifier(specifier)))
                }
                _ => {}
            }
        }
        names
    }

    /// `a`, `a as b`, `"a-b" as c`, in an import or an export clause.
    fn specifier(&self, node: &Node<'_>) -> Option<(String, String)> {
        let name = self.of(&node.child_by_field_id(self.kinds.fields.name)?);
        let alias = node.child_by_field_id(self.kinds.fields.alias).map_or(name, |alias| self.of(&alias));
        Some((name.to_owned(), alias.to_owned()))
    }

    /// `export …` at the top level, but for the declarations in it, which the walk reaches by themselves.
    pub fn export_statement(&mut self, node: &Node<'_>) {
        let type_only = is_type_export(self.of(node));
        let line = line(node);
        let pairs: Option<Names> = named_child(node, "export_clause")
            .map(|clause| named_children(&clause).iter().filter_map(|specifier| self.specifier(specifier)).collect());
        if let Some(source) = node.child_by_field_id(self.kinds.fields.source) {
            let names = pairs.unwrap_or_else(|| vec![("*".into(), self.star_name(node))]);
            let from = self.of(&source).to_owned();
            self.exports.extend(names.iter().map(|(imported, name)| Export {
                name: name.clone(),
                local: None,
                from: Some(from.clone()),
                imported: Some(imported.clone()),
                type_only,
                line,
            }));
            self.add(&source, names, type_only, ImportKind::Reexport);
        } else if let Some(pairs) = pairs {
            self.exports.extend(pairs.into_iter().map(|(local, name)| export(name, Some(local), type_only, line)));
        } else if has_token(node, "default") {
            if let Some(value) = node.child_by_field_id(self.kinds.fields.value) {
                self.exports.push(export("default".into(), self.identifier(&value), false, line));
            }
        } else if has_token(node, "=") {
            let value = node.named_child(0).and_then(|value| self.identifier(&value));
            self.exports.push(export("=".into(), value, false, line));
        }
    }

    /// `ns` of `export * as ns from`, else `*`.
    fn star_name(&self, node: &Node<'_>) -> String {
        named_child(node, "namespace_export")
            .and_then(|namespace| namespace.named_child(0))
            .map_or("*", |name| self.of(&name))
            .to_owned()
    }

    fn identifier(&self, node: &Node<'_>) -> Option<String> {
        (node.kind() == "identifier").then(|| self.of(node).to_owned())
    }

    /// `export const a`.
    pub fn export_local(&mut self, name: &str, node: &Node<'_>) {
        self.exports.push(export(name.into(), Some(name.into()), false, line(node)));
    }

    /// `export [default] function a`, and so on.
    pub fn export_declaration(&mut self, name: &str, default: bool, kind: SymbolKind, node: &Node<'_>) {
        let seen = if default { "default" } else { name };
        let type_only = matches!(kind, SymbolKind::Interface | SymbolKind::TypeAlias);
        self.exports.push(export(seen.into(), Some(name.into()), type_only, line(node)));
    }

    /// `declare module "x"`.
    pub fn augmentation(&mut self, name: &Node<'_>) {
        self.add(name, Names::new(), true, ImportKind::Augment);
    }

    /// `import("x")`, as a value or a type, and `require("x")`.
    pub fn call(&mut self, node: &Node<'_>, in_type: bool) {
        let Some((source, required)) = self.module_call(node) else {
            return;
        };
        let kind = match (required, in_type) {
            (true, _) => ImportKind::Require,
            (false, true) => ImportKind::Type,
            (false, false) => ImportKind::Dynamic,
        };
        let names = self.taken.remove(&node.id()).unwrap_or_default();
        self.add(&source, names, in_type, kind);
    }

    /// The specifier of a call that loads a module, and whether it is `require`.
    fn module_call<'tree>(&self, node: &Node<'tree>) -> Option<(Node<'tree>, bool)> {
        let fields = &self.kinds.fields;
        let function = node.child_by_field_id(fields.function)?;
        let required = match function.kind() {
            "import" => false,
            "identifier" if self.of(&function) == "require" => true,
            _ => return None,
        };
        let source = node.child_by_field_id(fields.arguments)?.named_child(0)?;
        (source.kind() == "string").then_some((source, required))
    }

    /// `a` of `import("x").a` and `(await import("x")).a`.
    pub fn access(&mut self, node: &Node<'_>) {
        let fields = &self.kinds.fields;
        let Some(object) = node.child_by_field_id(fields.object) else {
            return;
        };
        if let (Some(call), Some(name)) = (self.loading_call(&object), node.child_by_field_id(fields.property)) {
            let name = self.of(&name).to_owned();
            self.taken.entry(call).or_default().push((name, String::new()));
        }
    }

    /// `const a = require("x")`, `const { a: b } = await import("x")`.
    pub fn binding(&mut self, pattern: &Node<'_>, value: &Node<'_>) {
        let Some(call) = self.loading_call(value) else {
            return;
        };
        let names = if pattern.kind() == "object_pattern" {
            named_children(pattern).iter().filter_map(|part| self.property_pair(part)).collect()
        } else {
            vec![("*".to_owned(), self.of(pattern).to_owned())]
        };
        self.taken.entry(call).or_default().extend(names);
    }

    /// (property, local name) of a part of an object pattern; `None` for `...rest`.
    fn property_pair(&self, part: &Node<'_>) -> Option<(String, String)> {
        let key = part.child_by_field_id(self.kinds.fields.key);
        let bound = bound_names(part, self.text, self.kinds);
        let (local, _) = bound.first()?;
        if part.kind() == "rest_pattern" {
            return None;
        }
        let name = key.map_or(*local, |key| self.of(&key));
        Some((name.to_owned(), (*local).to_owned()))
    }

    /// The id of the loading call behind `await`, parentheses and casts.
    fn loading_call(&self, node: &Node<'_>) -> Option<usize> {
        let mut node = *node;
        for _ in 0..8 {
            match node.kind() {
                "call_expression" => return self.module_call(&node).map(|_| node.id()),
                "await_expression"
                | "parenthesized_expression"
                | "as_expression"
                | "satisfies_expression"
                | "non_null_expression" => node = node.named_child(0)?,
                _ => return None,
            }
        }
        None
    }

    fn add(&mut self, source: &Node<'_>, names: Names, type_only: bool, kind: ImportKind) {
        let range = inside_quotes(source.byte_range(), self.text);
        self.imports.push(Import {
            specifier: self.text.get(range.clone()).unwrap_or_default().to_owned(),
            names,
            type_only,
            reexport: kind == ImportKind::Reexport,
            kind,
            line: line(source),
            range,
        });
    }

    /// The node's text; of a string, what is in the quotes.
    fn of(&self, node: &Node<'_>) -> &'a str {
        let range =
            if node.kind() == "string" { inside_quotes(node.byte_range(), self.text) } else { node.byte_range() };
        self.text.get(range).unwrap_or_default()
    }
}

fn export(name: String, local: Option<String>, type_only: bool, line: u32) -> Export {
    Export { name, local, from: None, imported: None, type_only, line }
}

fn line(node: &Node<'_>) -> u32 {
    node.start_position().row as u32 + 1
}

/// `export type {` and `export type *`.
fn is_type_export(statement: &str) -> bool {
    statement
        .strip_prefix("export")
        .and_then(|rest| rest.trim_start().strip_prefix("type"))
        .is_some_and(|rest| rest.trim_start().starts_with(['{', '*']))
}

fn inside_quotes(range: Range<usize>, text: &str) -> Range<usize> {
    let quoted = text.get(range.clone()).is_some_and(|text| text.starts_with(['"', '\'']));
    if quoted && range.len() >= 2 { range.start + 1..range.end - 1 } else { range }
}

/// Whether one of the node's own children is the keyword or mark.
pub(super) fn has_token(node: &Node<'_>, token: &str) -> bool {
    let mut cursor = node.walk();
    node.children(&mut cursor).any(|child| !child.is_named() && child.kind() == token)
}

fn named_child<'tree>(node: &Node<'tree>, kind: &str) -> Option<Node<'tree>> {
    let mut cursor = node.walk();
    node.named_children(&mut cursor).find(|child| child.kind() == kind)
}

fn named_children<'tree>(node: &Node<'tree>) -> Vec<Node<'tree>> {
    let mut cursor = node.walk();
    node.named_children(&mut cursor).collect()
}

/// The names that a pattern binds, in order.
pub(super) fn bound_names<'a>(pattern: &Node<'_>, text: &'a str, kinds: &Kinds) -> Vec<(&'a str, Range<usize>)> {
    let mut names = Vec::new();
    let mut queue = vec![*pattern];
    while let Some(node) = queue.pop() {
        match node.kind() {
            "identifier" | "shorthand_property_identifier_pattern" => {
                names.push((text.get(node.byte_range()).unwrap_or_default(), node.byte_range()));
            }
            "pair_pattern" => queue.extend(node.child_by_field_id(kinds.fields.value)),
            "assignment_pattern" | "object_assignment_pattern" => queue.extend(node.named_child(0)),
            "object_pattern" | "array_pattern" | "rest_pattern" => {
                queue.extend(named_children(&node).into_iter().rev());
            }
            _ => {}
        }
    }
    names
}

/// Adds what oxc finds and the walk did not, in a text that tree-sitter objects to. Gives whether the text is in error.
pub(super) fn supplement(path: &RelPath, text: &str, tree: &Tree, index: &LineIndex, facts: &mut FileFacts) -> bool {
    if syntax::is_too_deep(tree) {
        return true;
    }
    let mut broken = true;
    for source_type in syntax::source_types(path).unwrap_or_default() {
        let allocator = Allocator::default();
        let parsed = oxc_parser::Parser::new(&allocator, text, source_type).parse();
        broken = parsed.panicked || parsed.diagnostics.has_errors();
        if !broken {
            let mut found = Found::new(text, index);
            found.record(&parsed.module_record);
            found.visit_program(&parsed.program);
            found.merge_into(facts);
            break;
        }
    }
    broken
}

/// Module edges as oxc sees them.
struct Found<'t> {
    text: &'t str,
    index: &'t LineIndex,
    /// By the start of the specifier.
    imports: BTreeMap<usize, Import>,
    exports: Vec<Export>,
}

impl<'t> Found<'t> {
    fn new(text: &'t str, index: &'t LineIndex) -> Self {
        Self { text, index, imports: BTreeMap::new(), exports: Vec::new() }
    }

    fn merge_into(mut self, facts: &mut FileFacts) {
        for import in &mut facts.imports {
            // What looks like a call to tree-sitter can be a type.
            if let Some(same) = self.imports.remove(&import.range.start) {
                (import.kind, import.type_only) = (same.kind, same.type_only);
            }
        }
        facts.imports.extend(self.imports.into_values());
        facts.imports.sort_by_key(|import| import.range.start);
        for export in self.exports {
            let same = |known: &Export| known.name == export.name && known.from == export.from;
            if !facts.exports.iter().any(same) {
                facts.exports.push(export);
            }
        }
        facts.exports.sort_by_key(|export| export.line);
    }

    fn line(&self, at: u32) -> u32 {
        self.index.line_of(at as usize) as u32 + 1
    }

    fn import(&mut self, span: Span, kind: ImportKind, type_only: bool) -> &mut Import {
        let range = inside_quotes(span.start as usize..span.end as usize, self.text);
        let specifier = self.text.get(range.clone()).unwrap_or_default().to_owned();
        let line = self.line(span.start);
        self.imports.entry(range.start).or_insert_with(|| Import {
            specifier,
            names: Names::new(),
            type_only,
            reexport: kind == ImportKind::Reexport,
            kind,
            line,
            range,
        })
    }

    fn record(&mut self, record: &ModuleRecord<'_>) {
        for entry in &record.import_entries {
            let imported = match &entry.import_name {
                ImportImportName::Name(name) => name.name.as_str(),
                ImportImportName::NamespaceObject => "*",
                ImportImportName::Default(_) => "default",
            };
            let names = (imported.to_owned(), entry.local_name.name.to_string());
            self.import(entry.module_request.span, ImportKind::Static, entry.is_type).names.push(names);
        }
        for entry in record.indirect_export_entries.iter().chain(&record.star_export_entries) {
            if let Some(request) = &entry.module_request {
                self.reexport(entry, request);
            }
        }
        for entry in &record.local_export_entries {
            self.local_export(entry);
        }
        for requests in record.requested_modules.values() {
            for request in requests {
                let kind = if request.is_import { ImportKind::Static } else { ImportKind::Reexport };
                self.import(request.span, kind, request.is_type);
            }
        }
    }

    fn reexport(&mut self, entry: &ExportEntry<'_>, request: &NameSpan<'_>) {
        let imported = match &entry.import_name {
            ExportImportName::Name(name) => name.name.as_str(),
            _ => "*",
        };
        let name = exported_name(entry).unwrap_or("*");
        self.import(request.span, ImportKind::Reexport, entry.is_type).names.push((imported.into(), name.into()));
        self.exports.push(Export {
            name: name.into(),
            local: None,
            from: Some(request.name.to_string()),
            imported: Some(imported.into()),
            type_only: entry.is_type,
            line: self.line(entry.statement_span.start),
        });
    }

    fn local_export(&mut self, entry: &ExportEntry<'_>) {
        let local = match &entry.local_name {
            ExportLocalName::Name(name) | ExportLocalName::Default(name) => Some(name.name.to_string()),
            ExportLocalName::Null => None,
        };
        if let Some(name) = exported_name(entry) {
            let line = self.line(entry.statement_span.start);
            self.exports.push(export(name.into(), local, entry.is_type, line));
        }
    }
}

fn exported_name<'e>(entry: &'e ExportEntry<'_>) -> Option<&'e str> {
    match &entry.export_name {
        ExportExportName::Name(name) => Some(name.name.as_str()),
        ExportExportName::Default(_) => Some("default"),
        ExportExportName::Null => None,
    }
}

impl<'a> Visit<'a> for Found<'_> {
    fn visit_ts_import_type(&mut self, it: &ast::TSImportType<'a>) {
        self.import(it.source.span, ImportKind::Type, true);
        walk::walk_ts_import_type(self, it);
    }

    fn visit_import_expression(&mut self, it: &ast::ImportExpression<'a>) {
        if let ast::Expression::StringLiteral(source) = &it.source {
            self.import(source.span, ImportKind::Dynamic, false);
        }
        walk::walk_import_expression(self, it);
    }

    fn visit_call_expression(&mut self, it: &ast::CallExpression<'a>) {
        if it.callee.is_specific_id("require")
            && let Some(ast::Argument::StringLiteral(source)) = it.arguments.first()
        {
            self.import(source.span, ImportKind::Require, false);
        }
        walk::walk_call_expression(self, it);
    }

    fn visit_ts_import_equals_declaration(&mut self, it: &ast::TSImportEqualsDeclaration<'a>) {
        if let ast::TSModuleReference::ExternalModuleReference(reference) = &it.module_reference {
            let name = it.id.name.to_string();
            self.import(reference.expression.span, ImportKind::Equals, it.import_kind.is_type())
                .names
                .push(("*".into(), name));
        }
        walk::walk_ts_import_equals_declaration(self, it);
    }
}
