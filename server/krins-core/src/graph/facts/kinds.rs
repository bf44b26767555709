//! Node kinds of the grammars, looked up by number.

use crate::graph::SymbolKind;
use crate::syntax::Language;
use std::sync::OnceLock;
use tree_sitter::Node;

/// What a node means to the analysis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Not named in the grammar: punctuation and keywords.
    Token,
    Other,
    Comment,
    Decorator,
    Identifier,
    Import,
    ImportAlias,
    Export,
    Ambient,
    ExpressionStatement,
    /// `const`, `let`, `var`.
    Variables,
    Declarator,
    Declaration(SymbolKind),
    Namespace,
    Member(SymbolKind),
    FunctionExpression,
    ClassExpression,
    Call,
    MemberExpression,
    TypeContext,
    ClassBody,
    InterfaceBody,
    EnumBody,
    Object,
    /// Statements and other lists that a long piece can be cut at.
    Container,
    /// `A | B`.
    Union,
    String,
}

impl Kind {
    /// Whether its children are pieces of their own.
    pub fn is_container(self) -> bool {
        matches!(
            self,
            Self::Container | Self::Union | Self::ClassBody | Self::InterfaceBody | Self::EnumBody | Self::Object
        )
    }

    fn of(name: &str) -> Self {
        match name {
            "comment" | "html_comment" => Self::Comment,
            "decorator" => Self::Decorator,
            "identifier"
            | "property_identifier"
            | "type_identifier"
            | "shorthand_property_identifier"
            | "shorthand_property_identifier_pattern"
            | "private_property_identifier" => Self::Identifier,
            "import_statement" => Self::Import,
            "import_alias" => Self::ImportAlias,
            "export_statement" => Self::Export,
            "ambient_declaration" => Self::Ambient,
            "expression_statement" => Self::ExpressionStatement,
            "lexical_declaration" | "variable_declaration" => Self::Variables,
            "variable_declarator" => Self::Declarator,
            "function_declaration" | "generator_function_declaration" | "function_signature" => {
                Self::Declaration(SymbolKind::Function)
            }
            "class_declaration" | "abstract_class_declaration" => Self::Declaration(SymbolKind::Class),
            "interface_declaration" => Self::Declaration(SymbolKind::Interface),
            "type_alias_declaration" => Self::Declaration(SymbolKind::TypeAlias),
            "enum_declaration" => Self::Declaration(SymbolKind::Enum),
            "internal_module" | "module" => Self::Namespace,
            "method_definition" | "method_signature" | "abstract_method_signature" => Self::Member(SymbolKind::Method),
            "public_field_definition" | "field_definition" | "property_signature" | "enum_assignment" => {
                Self::Member(SymbolKind::Property)
            }
            "arrow_function" | "function_expression" | "generator_function" => Self::FunctionExpression,
            "class" => Self::ClassExpression,
            "call_expression" => Self::Call,
            "member_expression" => Self::MemberExpression,
            "type_annotation"
            | "type_arguments"
            | "type_query"
            | "extends_type_clause"
            | "implements_clause"
            | "constraint"
            | "default_type" => Self::TypeContext,
            "class_body" => Self::ClassBody,
            "interface_body" => Self::InterfaceBody,
            "enum_body" => Self::EnumBody,
            "object" => Self::Object,
            "program" | "statement_block" | "object_type" | "switch_body" | "switch_case" | "switch_default"
            | "array" | "arguments" | "jsx_element" => Self::Container,
            "union_type" => Self::Union,
            "string" => Self::String,
            _ => Self::Other,
        }
    }
}

/// What a node means to scopes and uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Other,
    /// A scope with parameters: functions, methods, signatures, function types.
    Function,
    /// A class, an interface or an alias: its type parameters are seen in it only.
    Typed,
    /// A scope without names of its own.
    Block,
    ForIn,
    Catch,
    Namespace,
    Conditional,
    Mapped,
    Infer,
    TypeParameter,
    IndexSignature,
    TupleParameter,
    Enum,
    Name,
    /// `{ a }` as a value.
    ShorthandValue,
    /// `{ a }` as a pattern.
    ShorthandPattern,
    TypeName,
    Declarator,
    Variables,
    Import,
    ImportAlias,
    ExportStatement,
    ExportSpecifier,
    Call,
    New,
    Decorator,
    Member,
    Subscript,
    QualifiedName,
    QualifiedType,
    TypeQuery,
    Extends,
    ExtendsType,
    Implements,
    Assignment,
    Update,
    JsxTag,
    JsxNamespace,
}

impl Shape {
    fn of(name: &str) -> Self {
        match name {
            "function_declaration"
            | "generator_function_declaration"
            | "function_expression"
            | "generator_function"
            | "arrow_function"
            | "method_definition"
            | "function_signature"
            | "method_signature"
            | "abstract_method_signature"
            | "call_signature"
            | "construct_signature"
            | "function_type"
            | "constructor_type" => Self::Function,
            "class_declaration"
            | "abstract_class_declaration"
            | "class"
            | "interface_declaration"
            | "type_alias_declaration" => Self::Typed,
            "statement_block" | "for_statement" | "switch_body" | "class_static_block" => Self::Block,
            "for_in_statement" => Self::ForIn,
            "catch_clause" => Self::Catch,
            "internal_module" | "module" => Self::Namespace,
            "conditional_type" => Self::Conditional,
            "mapped_type_clause" => Self::Mapped,
            "infer_type" => Self::Infer,
            "type_parameter" => Self::TypeParameter,
            "index_signature" => Self::IndexSignature,
            "tuple_parameter" | "optional_tuple_parameter" => Self::TupleParameter,
            "enum_declaration" => Self::Enum,
            "identifier" => Self::Name,
            "shorthand_property_identifier" => Self::ShorthandValue,
            "shorthand_property_identifier_pattern" => Self::ShorthandPattern,
            "type_identifier" => Self::TypeName,
            "variable_declarator" => Self::Declarator,
            "lexical_declaration" | "variable_declaration" => Self::Variables,
            "import_statement" => Self::Import,
            "import_alias" => Self::ImportAlias,
            "export_statement" => Self::ExportStatement,
            "export_specifier" => Self::ExportSpecifier,
            "call_expression" => Self::Call,
            "new_expression" => Self::New,
            "decorator" => Self::Decorator,
            "member_expression" => Self::Member,
            "subscript_expression" => Self::Subscript,
            "nested_identifier" => Self::QualifiedName,
            "nested_type_identifier" => Self::QualifiedType,
            "type_query" => Self::TypeQuery,
            "extends_clause" => Self::Extends,
            "extends_type_clause" => Self::ExtendsType,
            "implements_clause" => Self::Implements,
            "assignment_expression" | "augmented_assignment_expression" => Self::Assignment,
            "update_expression" => Self::Update,
            "jsx_opening_element" | "jsx_closing_element" | "jsx_self_closing_element" => Self::JsxTag,
            "jsx_namespace_name" => Self::JsxNamespace,
            _ => Self::Other,
        }
    }
}

/// Numbers of the fields that the analysis asks for.
pub(super) struct Fields {
    pub name: u16,
    pub value: u16,
    pub body: u16,
    pub property: u16,
    pub source: u16,
    pub alias: u16,
    pub function: u16,
    pub arguments: u16,
    pub object: u16,
    pub key: u16,
    pub index: u16,
    pub module: u16,
    pub constructor: u16,
    pub argument: u16,
    pub kind: u16,
    pub left: u16,
    pub pattern: u16,
    pub parameter: u16,
    pub parameters: u16,
}

/// The tables of one grammar.
pub(super) struct Kinds {
    table: Vec<Kind>,
    shapes: Vec<Shape>,
    pub fields: Fields,
}

impl Kinds {
    pub fn of(language: Language) -> &'static Self {
        static TABLES: [OnceLock<Kinds>; 3] = [const { OnceLock::new() }; 3];
        TABLES[language as usize].get_or_init(|| Self::new(language))
    }

    fn new(language: Language) -> Self {
        let grammar = language.grammar();
        let count = u16::try_from(grammar.node_kind_count()).unwrap_or(u16::MAX);
        let names = (0..count).map(|id| grammar.node_kind_for_id(id).filter(|_| grammar.node_kind_is_named(id)));
        let table = names.clone().map(|name| name.map_or(Kind::Token, Kind::of)).collect();
        let shapes = names.map(|name| name.map_or(Shape::Other, Shape::of)).collect();
        // A grammar without a field has no node that could answer to number 0.
        let field = |name: &str| grammar.field_id_for_name(name).map_or(0, |id| id.get());
        Self {
            table,
            shapes,
            fields: Fields {
                name: field("name"),
                value: field("value"),
                body: field("body"),
                property: field("property"),
                source: field("source"),
                alias: field("alias"),
                function: field("function"),
                arguments: field("arguments"),
                object: field("object"),
                key: field("key"),
                index: field("index"),
                module: field("module"),
                constructor: field("constructor"),
                argument: field("argument"),
                kind: field("kind"),
                left: field("left"),
                pattern: field("pattern"),
                parameter: field("parameter"),
                parameters: field("parameters"),
            },
        }
    }

    pub fn shape(&self, node: &Node<'_>) -> Shape {
        self.shapes.get(usize::from(node.kind_id())).copied().unwrap_or(Shape::Other)
    }

    /// Error nodes have the number 65,535, past the table.
    pub fn kind(&self, node: &Node<'_>) -> Kind {
        self.table.get(usize::from(node.kind_id())).copied().unwrap_or(Kind::Other)
    }
}
