//! Imports and exports of every form, read from the nodes of a tree-sitter tree.

use super::collect::{Collector, Taken, inside_quotes};
use super::kinds::Kinds;
use super::scopes::Scopes;
use crate::graph::{ImportKind, Target};
use std::collections::BTreeMap;
use std::ops::Range;
use tree_sitter::Node;

/// What the walk has yet to come to.
pub(super) struct Modules<'a> {
    text: &'a str,
    kinds: &'static Kinds,
    /// Names taken from the call node with this id.
    taken: BTreeMap<usize, Vec<Taken>>,
}

impl<'a> Modules<'a> {
    pub fn new(text: &'a str, kinds: &'static Kinds) -> Self {
        Self { text, kinds, taken: BTreeMap::new() }
    }

    /// `import …`.
    pub fn import_statement(&mut self, node: &Node<'_>, found: &mut Collector<'a>, scopes: &mut Scopes<'a>) {
        let type_only = has_token(node, "type") || has_token(node, "typeof");
        let mut bound = Vec::new();
        let import = if let Some(source) = node.child_by_field_id(self.kinds.fields.source) {
            let clause = named_child(node, "import_clause");
            let names = clause.map_or_else(Vec::new, |clause| self.clause_names(&clause, &mut bound));
            found.import(source.byte_range(), names, type_only, ImportKind::Static, scopes.within)
        } else if let Some(clause) = named_child(node, "import_require_clause") {
            let (Some(source), Some(name)) =
                (clause.child_by_field_id(self.kinds.fields.source), clause.named_child(0))
            else {
                return;
            };
            let names = vec![self.taken("*", name)];
            bound.push(name.byte_range());
            found.import(source.byte_range(), names, type_only, ImportKind::Equals, scopes.within)
        } else {
            return;
        };
        for (name, range) in (0u32..).zip(bound) {
            let start = range.start;
            let text = self.text.get(range).unwrap_or_default();
            scopes.import(text, start, Target::Import { import, name });
        }
    }

    fn taken(&self, imported: &str, local: Node<'_>) -> Taken {
        let range = local.byte_range();
        Taken {
            imported: imported.to_owned(),
            local: self.of(&local).to_owned(),
            range: Some(range.start as u32..range.end as u32),
            binding: None,
        }
    }

    fn clause_names(&self, clause: &Node<'_>, bound: &mut Vec<Range<usize>>) -> Vec<Taken> {
        let mut names = Vec::new();
        for child in named_children(clause) {
            match child.kind() {
                "identifier" => {
                    bound.push(child.byte_range());
                    names.push(self.taken("default", child));
                }
                "namespace_import" => {
                    if let Some(name) = child.named_child(0) {
                        bound.push(name.byte_range());
                        names.push(self.taken("*", name));
                    }
                }
                "named_imports" => {
                    for specifier in named_children(&child) {
                        if let Some((taken, local)) = self.specifier(&specifier) {
                            bound.push(local);
                            names.push(taken);
                        }
                    }
                }
                _ => {}
            }
        }
        names
    }

    /// `a`, `a as b`, `"a-b" as c`, in an import or an export clause; and the bytes of the second name.
    fn specifier(&self, node: &Node<'_>) -> Option<(Taken, Range<usize>)> {
        let name = node.child_by_field_id(self.kinds.fields.name)?;
        let alias = node.child_by_field_id(self.kinds.fields.alias).unwrap_or(name);
        let range = inside_quotes(name.byte_range(), self.text);
        let taken = Taken {
            imported: self.of(&name).to_owned(),
            local: self.of(&alias).to_owned(),
            range: Some(range.start as u32..range.end as u32),
            binding: None,
        };
        Some((taken, alias.byte_range()))
    }

    /// `export …`, but for the declarations in it, which the walk reaches by themselves. Only what stands at the top
    /// level `leaves` the file.
    pub fn export_statement(&mut self, node: &Node<'_>, leaves: bool, within: Option<u32>, found: &mut Collector<'a>) {
        let type_only = is_type_export(self.of(node));
        let line = found.line(node.start_byte());
        let pairs: Option<Vec<Taken>> = named_child(node, "export_clause").map(|clause| {
            named_children(&clause).iter().filter_map(|specifier| Some(self.specifier(specifier)?.0)).collect()
        });
        if let Some(source) = node.child_by_field_id(self.kinds.fields.source) {
            let names = pairs.unwrap_or_else(|| {
                let local = self.star_name(node);
                vec![Taken { imported: "*".into(), local, range: None, binding: None }]
            });
            if leaves {
                found.reexport(&names, self.of(&source), type_only, line);
            }
            found.import(source.byte_range(), names, type_only, ImportKind::Reexport, within);
        } else if !leaves {
        } else if let Some(pairs) = pairs {
            for taken in pairs {
                found.export(&taken.local, Some(&taken.imported), type_only, line);
            }
        } else if has_token(node, "default") {
            if let Some(value) = node.child_by_field_id(self.kinds.fields.value) {
                found.export("default", self.identifier(&value), false, line);
            }
        } else if has_token(node, "=") {
            let value = node.named_child(0).and_then(|value| self.identifier(&value));
            found.export("=", value, false, line);
        }
    }

    /// `ns` of `export * as ns from`, else `*`.
    fn star_name(&self, node: &Node<'_>) -> String {
        named_child(node, "namespace_export")
            .and_then(|namespace| namespace.named_child(0))
            .map_or("*", |name| self.of(&name))
            .to_owned()
    }

    fn identifier(&self, node: &Node<'_>) -> Option<&'a str> {
        (node.kind() == "identifier").then(|| self.of(node))
    }

    /// `import("x")`, as a value or a type, and `require("x")`.
    pub fn call(&mut self, node: &Node<'_>, in_type: bool, found: &mut Collector<'a>, scopes: &mut Scopes<'a>) {
        self.callback(node);
        let Some((source, required)) = self.module_call(node) else {
            return;
        };
        let kind = match (required, in_type) {
            (true, _) => ImportKind::Require,
            (false, true) => ImportKind::Type,
            (false, false) => ImportKind::Dynamic,
        };
        let names = self.taken.remove(&node.id()).unwrap_or_default();
        let bindings: Vec<Option<u32>> = names.iter().map(|taken| taken.binding).collect();
        let import = found.import(source.byte_range(), names, in_type, kind, scopes.within);
        for (name, binding) in (0u32..).zip(bindings) {
            if let Some(start) = binding {
                scopes.alias(start, Target::Import { import, name });
            }
        }
    }

    /// `import("x").then((m) => …)`, `import("x").then(({ a }) => …)`.
    fn callback(&mut self, node: &Node<'_>) {
        let fields = &self.kinds.fields;
        let loaded = || {
            let function = node.child_by_field_id(fields.function)?;
            let property = function.child_by_field_id(fields.property)?;
            let object = function.child_by_field_id(fields.object)?;
            is_of_promise(self.of(&property)).then(|| self.loading_call(&object)).flatten()
        };
        let Some(call) = loaded() else { return };
        let parameter = || {
            let function = node.child_by_field_id(fields.arguments)?.named_child(0)?;
            if let Some(parameter) = function.child_by_field_id(fields.parameter) {
                return Some(parameter);
            }
            let parameter = function.child_by_field_id(fields.parameters)?.named_child(0)?;
            Some(parameter.child_by_field_id(fields.pattern).unwrap_or(parameter))
        };
        if let Some(pattern) = parameter() {
            self.take_pattern(&pattern, call);
        }
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
        // A comment before it names the chunk for a bundler.
        let arguments = named_children(&node.child_by_field_id(fields.arguments)?);
        let source = arguments.into_iter().find(|argument| !argument.is_extra())?;
        let is_text = match source.kind() {
            "string" => true,
            "template_string" => !named_children(&source).iter().any(|part| part.kind() == "template_substitution"),
            _ => false,
        };
        is_text.then_some((source, required))
    }

    /// `a` of `import("x").a` and `(await import("x")).a`.
    pub fn access(&mut self, node: &Node<'_>) {
        let fields = &self.kinds.fields;
        let Some(object) = node.child_by_field_id(fields.object) else {
            return;
        };
        if let (Some(call), Some(name)) = (self.loading_call(&object), node.child_by_field_id(fields.property))
            && !is_of_promise(self.of(&name))
        {
            let range = name.start_byte() as u32..name.end_byte() as u32;
            let imported = self.of(&name).to_owned();
            let taken = Taken { imported, local: String::new(), range: Some(range), binding: None };
            self.taken.entry(call).or_default().push(taken);
        }
    }

    /// `const a = require("x")`, `const { a: b } = await import("x")`.
    pub fn binding(&mut self, pattern: &Node<'_>, value: &Node<'_>) {
        if let Some(call) = self.loading_call(value) {
            self.take_pattern(pattern, call);
        }
    }

    fn take_pattern(&mut self, pattern: &Node<'_>, call: usize) {
        let names: Vec<Taken> = match pattern.kind() {
            "object_pattern" => named_children(pattern).iter().filter_map(|part| self.property_pair(part)).collect(),
            "identifier" => vec![Taken {
                imported: "*".to_owned(),
                local: self.of(pattern).to_owned(),
                range: None,
                binding: Some(pattern.start_byte() as u32),
            }],
            _ => Vec::new(),
        };
        self.taken.entry(call).or_default().extend(names);
    }

    /// A part of an object pattern; `None` for `...rest`.
    fn property_pair(&self, part: &Node<'_>) -> Option<Taken> {
        if part.kind() == "rest_pattern" {
            return None;
        }
        let bound = bound_names(part, self.text, self.kinds);
        let (local, range) = bound.first()?.clone();
        let key = part.child_by_field_id(self.kinds.fields.key);
        let range = key.map_or(range, |key| inside_quotes(key.byte_range(), self.text));
        Some(Taken {
            imported: self.text.get(range.clone()).unwrap_or_default().to_owned(),
            local: local.to_owned(),
            range: Some(range.start as u32..range.end as u32),
            binding: None,
        })
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

    /// The node's text; of a string, what is in the quotes.
    fn of(&self, node: &Node<'_>) -> &'a str {
        let range =
            if node.kind() == "string" { inside_quotes(node.byte_range(), self.text) } else { node.byte_range() };
        self.text.get(range).unwrap_or_default()
    }
}

/// `export type {` and `export type *`.
fn is_type_export(statement: &str) -> bool {
    statement
        .strip_prefix("export")
        .and_then(|rest| rest.trim_start().strip_prefix("type"))
        .is_some_and(|rest| rest.trim_start().starts_with(['{', '*']))
}

/// `then` and its like belong to the promise, not to the module.
pub(super) fn is_of_promise(name: &str) -> bool {
    matches!(name, "then" | "catch" | "finally")
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
