//! Scopes and uses in a tree-sitter tree: which names lead out of their own scope, and to what. As exact as the tree
//! is; where text is in error, a name that is declared in what is lost counts as one of the file.

use super::collect::{Behind, Collector, Used, inside_quotes, kind_of_name};
use super::globals::is_builtin;
use super::kinds::{Kinds, Shape};
use super::modules::bound_names;
use crate::graph::{ReferenceKind, Target};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;
use tree_sitter::Node;

/// What a part declares: name, where, as what.
type Declared<'a> = (&'a str, u32, Option<Target>);

/// What a name can stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Space {
    Value,
    Type,
    Both,
}

impl Space {
    fn meets(self, other: Self) -> bool {
        self == other || self == Self::Both || other == Self::Both
    }
}

struct Binding<'a> {
    name: &'a str,
    space: Space,
    start: u32,
}

struct Scope<'a> {
    /// Index of the scope around it.
    parent: Option<usize>,
    /// Whether `var` stays in it.
    holds_vars: bool,
    conditional: bool,
    bindings: Vec<Binding<'a>>,
}

pub(super) struct Use<'a> {
    pub name: &'a str,
    pub range: Range<u32>,
    scope: usize,
    space: Space,
    pub kind: ReferenceKind,
    pub usual: ReferenceKind,
    pub members: Vec<Behind>,
    pub within: Option<u32>,
}

pub(super) struct Scopes<'a> {
    text: &'a str,
    kinds: &'static Kinds,
    scopes: Vec<Scope<'a>>,
    /// Depth and index of the scopes around the current node.
    open: Vec<(u32, usize)>,
    uses: Vec<Use<'a>>,
    /// Starts of names that are no uses.
    declared: BTreeSet<usize>,
    /// What the name at a start is used as.
    roles: BTreeMap<usize, ReferenceKind>,
    /// Starts of names that types are behind the dots of.
    qualifiers: BTreeSet<usize>,
    /// Names behind the dot of the name at a start.
    members: BTreeMap<usize, Vec<Behind>>,
    /// Imported bindings, by the starts of their names.
    imported: BTreeMap<u32, Target>,
    /// Bindings that are whole modules loaded in place, by the starts of their names.
    aliases: BTreeMap<u32, Target>,
    /// Depths of `var` (true) and of other declarations around the current node.
    variables: Vec<(u32, bool)>,
    /// The depth of the statement around the current node whose names are no uses.
    ignored: Option<u32>,
    /// The depth of the block of `declare global` that comes next: no `var` leaves it.
    pub augmented: Option<u32>,
    /// Index of the innermost symbol around the current node.
    pub within: Option<u32>,
}

impl<'a> Scopes<'a> {
    pub fn new(text: &'a str, kinds: &'static Kinds) -> Self {
        let file = Scope { parent: None, holds_vars: true, conditional: false, bindings: Vec::new() };
        Self {
            text,
            kinds,
            scopes: vec![file],
            open: vec![(0, 0)],
            uses: Vec::new(),
            declared: BTreeSet::new(),
            roles: BTreeMap::new(),
            qualifiers: BTreeSet::new(),
            members: BTreeMap::new(),
            imported: BTreeMap::new(),
            aliases: BTreeMap::new(),
            variables: Vec::new(),
            ignored: None,
            augmented: None,
            within: None,
        }
    }

    /// Forgets what the walk has left.
    pub fn leave_to(&mut self, depth: u32) {
        while self.open.len() > 1 && self.open.last().is_some_and(|(at, _)| *at >= depth) {
            self.open.pop();
        }
        while self.variables.last().is_some_and(|(at, _)| *at >= depth) {
            self.variables.pop();
        }
        self.ignored.take_if(|at| *at >= depth);
    }

    /// An import's binding, whose name starts at `start`.
    pub fn import(&mut self, name: &'a str, start: usize, target: Target) {
        self.scopes[0].bindings.push(Binding { name, space: Space::Both, start: start as u32 });
        self.imported.insert(start as u32, target);
    }

    /// A binding that is a whole module.
    pub fn alias(&mut self, start: u32, target: Target) {
        self.aliases.insert(start, target);
    }

    fn current(&self) -> usize {
        self.open.last().map_or(0, |(_, scope)| *scope)
    }

    fn push(&mut self, depth: u32, holds_vars: bool) {
        let parent = Some(self.current());
        self.scopes.push(Scope { parent, holds_vars, conditional: false, bindings: Vec::new() });
        self.open.push((depth, self.scopes.len() - 1));
    }

    fn bind(&mut self, scope: usize, name: &'a str, start: usize, space: Space) {
        self.declared.insert(start);
        self.scopes[scope].bindings.push(Binding { name, space, start: start as u32 });
    }

    fn bind_node(&mut self, name: &Node<'_>, space: Space) {
        let text = self.text.get(name.byte_range()).unwrap_or_default();
        self.bind(self.current(), text, name.start_byte(), space);
    }

    /// The scope that a `var` at the current place is declared in.
    fn var_scope(&self) -> usize {
        let holds = |(_, scope): &&(u32, usize)| self.scopes[*scope].holds_vars;
        self.open.iter().rev().find(holds).map_or(0, |(_, scope)| *scope)
    }

    fn bind_pattern(&mut self, pattern: &Node<'_>, scope: usize) {
        for (name, range) in bound_names(pattern, self.text, self.kinds) {
            self.bind(scope, name, range.start, Space::Value);
        }
    }

    /// Notes what the name that an expression comes down to is used as.
    fn used_as(&mut self, expression: Option<Node<'_>>, kind: ReferenceKind) {
        let Some(expression) = expression else { return };
        let inner = bare(expression);
        let object = matches!(inner.kind(), "member_expression" | "nested_identifier" | "nested_type_identifier")
            .then(|| inner.child(0))
            .flatten();
        let mut base = object.unwrap_or(inner);
        while matches!(base.kind(), "member_expression" | "nested_identifier") {
            let Some(object) = base.child(0) else { return };
            base = object;
        }
        let base = bare(base);
        if matches!(base.kind(), "identifier" | "type_identifier") {
            self.roles.insert(base.start_byte(), kind);
        }
    }

    fn types_used_as(&mut self, clause: &Node<'_>, kind: ReferenceKind) {
        let mut cursor = clause.walk();
        for child in clause.named_children(&mut cursor) {
            let name = if child.kind() == "generic_type" { child.named_child(0) } else { Some(child) };
            self.used_as(name, kind);
        }
    }

    fn member(&mut self, object: Option<Node<'_>>, name: Option<Node<'_>>) {
        let (Some(mut object), Some(name)) = (object, name) else { return };
        let range = inside_quotes(name.byte_range(), self.text);
        let range = range.start as u32..range.end as u32;
        let mut from = range.start;
        // `a.b["c"]` says no more than `a.b` does.
        while name.kind() != "string" && matches!(object.kind(), "member_expression" | "nested_identifier") {
            let first = object.child_by_field_id(self.kinds.fields.property);
            let (Some(inner), Some(first)) = (object.child(0), first) else { return };
            from = first.start_byte() as u32;
            object = inner;
        }
        let object = bare(object);
        if object.kind() == "identifier" {
            self.members.entry(object.start_byte()).or_default().push(Behind { range, from });
        }
    }

    /// Takes the node the walk has come to.
    pub fn enter(&mut self, node: &Node<'_>, depth: u32) {
        let fields = &self.kinds.fields;
        let field = |id: u16| node.child_by_field_id(id);
        match self.kinds.shape(node) {
            Shape::Other => {}
            Shape::Name => self.name(node, Space::Value, ReferenceKind::Read),
            Shape::ShorthandValue => self.name(node, Space::Value, ReferenceKind::Read),
            Shape::ShorthandPattern => self.name(node, Space::Value, ReferenceKind::Write),
            Shape::TypeName => self.name(node, Space::Type, ReferenceKind::Type),
            Shape::Function => self.function(node, depth),
            Shape::Typed => self.typed(node, depth),
            Shape::Block => {
                let holds_vars = self.augmented.take_if(|at| *at == depth).is_some();
                self.push(depth, holds_vars);
            }
            Shape::ForIn => {
                self.push(depth, false);
                let Some(left) = field(fields.left) else { return };
                match field(fields.kind) {
                    Some(kind) => {
                        let scope = if kind.kind() == "var" { self.var_scope() } else { self.current() };
                        self.bind_pattern(&left, scope);
                    }
                    None => self.written(&left),
                }
            }
            Shape::Catch => {
                self.push(depth, false);
                if let Some(parameter) = field(fields.parameter) {
                    self.bind_pattern(&parameter, self.current());
                }
            }
            Shape::Namespace => {
                let mut name = field(fields.name);
                while let Some(inner) = name.filter(|name| name.kind() == "nested_identifier") {
                    name = inner.child(0);
                }
                if let Some(name) = name.filter(|name| name.kind() == "identifier") {
                    self.bind_node(&name, Space::Both);
                }
                self.push(depth, true);
            }
            Shape::Conditional => {
                self.push(depth, false);
                let current = self.current();
                self.scopes[current].conditional = true;
            }
            Shape::Mapped | Shape::TypeParameter => {
                if let Some(name) = field(fields.name) {
                    self.bind_node(&name, Space::Type);
                }
            }
            Shape::Infer => self.infer(node),
            Shape::IndexSignature => {
                self.push(depth, false);
                if let Some(name) = field(fields.name) {
                    self.bind_node(&name, Space::Value);
                }
            }
            Shape::TupleParameter => {
                if let Some(name) = field(fields.name) {
                    let names = bound_names(&name, self.text, self.kinds);
                    self.declared.extend(names.into_iter().map(|(_, range)| range.start));
                }
            }
            Shape::Enum => self.enumeration(node, depth),
            Shape::Variables => self.variables.push((depth, node.kind() == "variable_declaration")),
            Shape::Declarator => self.declarator(node),
            Shape::Import => self.ignored = Some(depth),
            Shape::ImportAlias => {
                if let Some(name) = node.named_child(0) {
                    self.bind_node(&name, Space::Both);
                }
            }
            Shape::ExportStatement => self.export(node, depth),
            Shape::ExportSpecifier => {
                self.used_as(field(fields.name), ReferenceKind::Export);
                if let Some(alias) = field(fields.alias) {
                    self.declared.insert(alias.start_byte());
                }
            }
            Shape::Call => self.used_as(field(fields.function), ReferenceKind::Call),
            Shape::New => self.used_as(field(fields.constructor), ReferenceKind::New),
            Shape::Decorator => self.used_as(node.named_child(0), ReferenceKind::Call),
            Shape::Member | Shape::QualifiedName => self.member(field(fields.object), field(fields.property)),
            Shape::Subscript => {
                self.member(field(fields.object), field(fields.index).filter(|index| index.kind() == "string"));
            }
            Shape::QualifiedType => self.qualified_type(node),
            Shape::TypeQuery => self.used_as(node.named_child(0), ReferenceKind::TypeOf),
            Shape::Extends => {
                self.used_as(field(fields.value).or_else(|| node.named_child(0)), ReferenceKind::Extends);
            }
            Shape::ExtendsType => self.types_used_as(node, ReferenceKind::Extends),
            Shape::Implements => self.types_used_as(node, ReferenceKind::Implements),
            Shape::Assignment => {
                if let Some(left) = field(fields.left) {
                    self.written(&left);
                }
            }
            Shape::Update => {
                if let Some(argument) = field(fields.argument) {
                    self.written(&bare(argument));
                }
            }
            Shape::JsxTag => self.tag(node),
            Shape::JsxNamespace => {
                let mut cursor = node.walk();
                self.declared.extend(node.named_children(&mut cursor).map(|child| child.start_byte()));
            }
        }
    }

    fn name(&mut self, node: &Node<'_>, space: Space, usual: ReferenceKind) {
        let start = node.start_byte();
        if self.declared.remove(&start) || self.ignored.is_some() {
            return;
        }
        let Some(name) = self.text.get(node.byte_range()).filter(|name| !name.is_empty()) else { return };
        let role = self.roles.remove(&start);
        let members = self.members.remove(&start).unwrap_or_default();
        let kind = role.unwrap_or(usual);
        let qualifies = self.qualifiers.remove(&start);
        let in_type = qualifies || matches!(role, Some(ReferenceKind::Type | ReferenceKind::TypeOf));
        let usual = if in_type { ReferenceKind::Type } else { usual };
        let anything =
            matches!(kind, ReferenceKind::Export | ReferenceKind::Implements | ReferenceKind::Extends) || in_type;
        let space = if anything { Space::Both } else { space };
        let range = start as u32..node.end_byte() as u32;
        let scope = self.current();
        self.uses.push(Use { name, range, scope, space, kind, usual, members, within: self.within });
    }

    fn function(&mut self, node: &Node<'_>, depth: u32) {
        let fields = &self.kinds.fields;
        let name = node.child_by_field_id(fields.name).filter(|name| name.kind() == "identifier");
        let is_expression = matches!(node.kind(), "function_expression" | "generator_function");
        if let Some(name) = name.filter(|_| !is_expression) {
            self.bind_node(&name, Space::Value);
        }
        self.push(depth, true);
        if let Some(name) = name.filter(|_| is_expression) {
            self.bind_node(&name, Space::Value);
        }
        let scope = self.current();
        if let Some(parameter) = node.child_by_field_id(fields.parameter) {
            self.bind_pattern(&parameter, scope);
        }
        let Some(parameters) = node.child_by_field_id(fields.parameters) else { return };
        let mut cursor = parameters.walk();
        for parameter in parameters.named_children(&mut cursor) {
            let pattern = parameter.child_by_field_id(fields.pattern);
            self.bind_pattern(&pattern.unwrap_or(parameter), scope);
        }
    }

    fn typed(&mut self, node: &Node<'_>, depth: u32) {
        let name = node.child_by_field_id(self.kinds.fields.name);
        let is_expression = node.kind() == "class";
        let is_class = is_expression || node.kind().ends_with("class_declaration");
        let space = if is_class { Space::Both } else { Space::Type };
        if let Some(name) = name.filter(|_| !is_expression) {
            self.bind_node(&name, space);
        }
        self.push(depth, false);
        if let Some(name) = name.filter(|_| is_expression) {
            self.bind_node(&name, space);
        }
    }

    /// The names that `infer` declares are seen in the conditional type around it.
    fn infer(&mut self, node: &Node<'_>) {
        let Some(name) = node.named_child(0).filter(|name| name.kind() == "type_identifier") else { return };
        let conditional = |(_, scope): &&(u32, usize)| self.scopes[*scope].conditional;
        let scope = self.open.iter().rev().find(conditional).map_or_else(|| self.current(), |(_, scope)| *scope);
        let text = self.text.get(name.byte_range()).unwrap_or_default();
        self.bind(scope, text, name.start_byte(), Space::Type);
    }

    fn enumeration(&mut self, node: &Node<'_>, depth: u32) {
        let fields = &self.kinds.fields;
        if let Some(name) = node.child_by_field_id(fields.name) {
            self.bind_node(&name, Space::Both);
        }
        self.push(depth, false);
        let scope = self.current();
        let Some(body) = node.child_by_field_id(fields.body) else { return };
        let mut cursor = body.walk();
        for member in body.named_children(&mut cursor) {
            let name = member.child_by_field_id(fields.name).unwrap_or(member);
            let text = self.text.get(inside_quotes(name.byte_range(), self.text)).unwrap_or_default();
            self.scopes[scope].bindings.push(Binding {
                name: text,
                space: Space::Value,
                start: name.start_byte() as u32,
            });
        }
    }

    fn declarator(&mut self, node: &Node<'_>) {
        let fields = &self.kinds.fields;
        let Some(pattern) = node.child_by_field_id(fields.name) else { return };
        let is_var = self.variables.last().is_some_and(|(_, is_var)| *is_var);
        let scope = if is_var { self.var_scope() } else { self.current() };
        self.bind_pattern(&pattern, scope);
        let Some(value) = node.child_by_field_id(fields.value) else { return };
        if pattern.kind() != "object_pattern" || bare(value).kind() != "identifier" {
            return;
        }
        let mut cursor = pattern.walk();
        for part in pattern.named_children(&mut cursor) {
            let key = match part.kind() {
                "shorthand_property_identifier_pattern" => Some(part),
                "object_assignment_pattern" => part.named_child(0),
                "pair_pattern" => part.child_by_field_id(fields.key),
                _ => None,
            };
            let named = |key: &Node<'_>| key.kind() != "computed_property_name" && key.kind() != "number";
            self.member(Some(value), key.filter(named));
        }
    }

    fn export(&mut self, node: &Node<'_>, depth: u32) {
        let fields = &self.kinds.fields;
        if node.child_by_field_id(fields.source).is_some() {
            self.ignored = Some(depth);
            return;
        }
        let value = node.child_by_field_id(fields.value);
        let assigned = || node.named_child(0).filter(|_| super::modules::has_token(node, "="));
        if let Some(name) = value.or_else(assigned).filter(|value| value.kind() == "identifier") {
            self.roles.insert(name.start_byte(), ReferenceKind::Export);
        } else if super::modules::has_token(node, "namespace") {
            // `export as namespace X`
            self.ignored = Some(depth);
        }
    }

    fn qualified_type(&mut self, node: &Node<'_>) {
        let fields = &self.kinds.fields;
        let (Some(module), Some(name)) = (node.child_by_field_id(fields.module), node.child_by_field_id(fields.name))
        else {
            return;
        };
        self.declared.insert(name.start_byte());
        let mut base = module;
        while base.kind() == "nested_identifier" {
            let Some(object) = base.child(0) else { return };
            base = object;
        }
        self.roles.entry(base.start_byte()).or_insert(ReferenceKind::Type);
        self.qualifiers.insert(base.start_byte());
        self.member(Some(module), Some(name));
    }

    fn written(&mut self, target: &Node<'_>) {
        for (_, range) in bound_names(target, self.text, self.kinds) {
            self.roles.insert(range.start, ReferenceKind::Write);
        }
    }

    fn tag(&mut self, node: &Node<'_>) {
        let Some(name) = node.child_by_field_id(self.kinds.fields.name) else { return };
        let text = self.text.get(name.byte_range()).unwrap_or_default();
        let is_element = text.starts_with(|c: char| c.is_ascii_lowercase()) || text.contains('-');
        if name.kind() == "identifier" && is_element {
            self.declared.insert(name.start_byte());
        } else {
            let mut base = name;
            while matches!(base.kind(), "nested_identifier" | "member_expression") {
                let Some(object) = base.child(0) else { return };
                base = object;
            }
            self.roles.insert(base.start_byte(), ReferenceKind::Jsx);
        }
    }

    /// Gives every use that leads out of its scopes its target.
    pub fn finish(self, found: &mut Collector<'a>) {
        for used in self.resolve_all(found, true).0 {
            if !is_builtin(used.name) {
                let kind = kind_of_name(used.kind, used.usual, &used.members);
                found.global(used.name, used.range, kind, used.within);
            }
        }
    }

    /// Gives the uses of a part that lead into it their targets; `in_file`: its names are the file's own. Gives the other
    /// uses, and what the part declares: (name, where, as what).
    pub fn finish_part(self, found: &mut Collector<'a>, in_file: bool) -> (Vec<Use<'a>>, Vec<Declared<'a>>) {
        self.resolve_all(found, in_file)
    }

    fn resolve_all(mut self, found: &mut Collector<'a>, in_file: bool) -> (Vec<Use<'a>>, Vec<Declared<'a>>) {
        let own: BTreeMap<u32, Target> = (0u32..)
            .zip(&found.symbols)
            .map(|(at, symbol)| (symbol.name_range.start as u32, Target::Symbol(at)))
            .collect();
        let target = |start: u32| self.imported.get(&start).or_else(|| own.get(&start)).copied().filter(|_| in_file);
        let augmenting = found.augmenting_names();
        let mut file: BTreeMap<&str, u32> = BTreeMap::new();
        for binding in &self.scopes[0].bindings {
            let start = file.entry(binding.name).or_insert(binding.start);
            *start = (*start).min(binding.start);
        }
        let bound: HashSet<&str> =
            self.scopes.iter().flat_map(|scope| scope.bindings.iter().map(|binding| binding.name)).collect();
        let mut free = Vec::new();
        for used in std::mem::take(&mut self.uses) {
            let resolved = if bound.contains(used.name) { self.resolve(&used, &file) } else { None };
            let Some((start, in_scope)) = resolved else {
                free.push(used);
                continue;
            };
            let own = if in_scope || augmenting.contains(&start) { target(start) } else { None };
            let alias = self.aliases.get(&start).copied();
            found.reference(Used {
                own,
                module: alias.or(own.filter(|own| matches!(own, Target::Import { .. }))),
                range: used.range.clone(),
                kind: used.kind,
                usual: used.usual,
                members: &used.members,
                within: used.within,
            });
        }
        let first = self.scopes[0].bindings.iter().filter(|binding| file.get(binding.name) == Some(&binding.start));
        let declared = first.map(|binding| (binding.name, binding.start, target(binding.start))).collect();
        (free, declared)
    }

    /// The start of the binding's name that a use means, and whether it is in the file's own scope.
    fn resolve(&self, used: &Use<'_>, file: &BTreeMap<&str, u32>) -> Option<(u32, bool)> {
        let mut scope = Some(used.scope);
        while let Some(at) = scope.filter(|at| *at > 0) {
            let means = |binding: &&Binding<'_>| binding.name == used.name && binding.space.meets(used.space);
            if let Some(binding) = self.scopes[at].bindings.iter().find(means) {
                return Some((binding.start, false));
            }
            scope = self.scopes[at].parent;
        }
        file.get(used.name).map(|start| (*start, true))
    }
}

/// The expression in parentheses, casts, `!` and `<T>`.
fn bare(node: Node<'_>) -> Node<'_> {
    let mut node = node;
    while matches!(
        node.kind(),
        "parenthesized_expression"
            | "non_null_expression"
            | "as_expression"
            | "satisfies_expression"
            | "instantiation_expression"
    ) {
        let Some(inner) = node.named_child(0) else { return node };
        node = inner;
    }
    node
}
