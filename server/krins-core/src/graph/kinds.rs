//! Node kinds of the grammars, looked up by number.

use super::SymbolKind;
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
}

impl Kind {
    /// Whether its children are pieces of their own.
    pub fn is_container(self) -> bool {
        matches!(self, Self::Container | Self::ClassBody | Self::InterfaceBody | Self::EnumBody | Self::Object)
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
            | "array" | "arguments" | "jsx_element" | "union_type" => Self::Container,
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
}

/// The tables of one grammar.
pub(super) struct Kinds {
    table: Vec<Kind>,
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
        let table = (0..count)
            .map(|id| match grammar.node_kind_for_id(id) {
                Some(name) if grammar.node_kind_is_named(id) => Kind::of(name),
                _ => Kind::Token,
            })
            .collect();
        // A grammar without a field has no node that could answer to number 0.
        let field = |name: &str| grammar.field_id_for_name(name).map_or(0, |id| id.get());
        Self {
            table,
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
            },
        }
    }

    /// Error nodes have the number 65,535, past the table.
    pub fn kind(&self, node: &Node<'_>) -> Kind {
        self.table.get(usize::from(node.kind_id())).copied().unwrap_or(Kind::Other)
    }
}
