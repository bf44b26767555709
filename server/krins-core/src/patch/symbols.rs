//! Which declaration a line stands in: the check of the name that a hunk's header gives.

use super::ir::RawHunk;
use crate::path::RelPath;
use crate::syntax::{Language, parse, walk};
use std::ops::Range;
use tree_sitter::Node;

/// A named declaration and its zero-based lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Declared {
    name: String,
    lines: Range<usize>,
}

/// What a header's name says about a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It stands in the declaration that is named.
    Inside,
    /// Nothing can be said: no such name, or a place between declarations.
    Open,
    /// It stands in another declaration.
    Elsewhere,
}

const KINDS: [&str; 11] = [
    "function_declaration",
    "generator_function_declaration",
    "class_declaration",
    "abstract_class_declaration",
    "interface_declaration",
    "enum_declaration",
    "type_alias_declaration",
    "method_definition",
    "public_field_definition",
    "field_definition",
    "variable_declarator",
];

/// The declarations of a text; `None` where they cannot be known.
pub(super) fn declared(path: &RelPath, text: &str) -> Option<Vec<Declared>> {
    let tree = parse(Language::of(path)?, text);
    if tree.root_node().has_error() {
        return None;
    }
    let mut found = Vec::new();
    walk(&mut tree.walk(), |node, _| {
        if KINDS.contains(&node.kind()) && spans_lines(node) {
            found.extend(name(node, text).map(|name| Declared { name, lines: lines(node) }));
        }
        true
    });
    Some(found)
}

/// A value on one line encloses nothing.
fn spans_lines(node: Node<'_>) -> bool {
    node.end_position().row > node.start_position().row
}

fn name(node: Node<'_>, text: &str) -> Option<String> {
    let name = node.child_by_field_name("name").or_else(|| node.child_by_field_name("property"))?;
    text.get(name.byte_range()).map(str::to_owned)
}

fn lines(node: Node<'_>) -> Range<usize> {
    node.start_position().row..node.end_position().row + 1
}

/// What the header of a hunk says of old text that begins at line `start` and is changed at line `changed`. Of several
/// headings (`@@ class A`, `@@ def b`) the last that names a declaration counts.
pub(super) fn verdict(hunk: &RawHunk, declared: &[Declared], start: usize, changed: usize) -> Verdict {
    let named = hunk.section.iter().rev().find_map(|section| named(section, declared));
    let Some(named) = named else { return Verdict::Open };
    if named.iter().any(|one| one.lines.contains(&changed)) {
        return Verdict::Inside;
    }
    // git's own headings name the last declaration before the hunk, which need not enclose it.
    let other = |one: &Declared| one.lines.start < start && !named.iter().any(|named| encloses(one, named));
    match declared.iter().filter(|one| one.lines.contains(&changed)).any(other) {
        true => Verdict::Elsewhere,
        false => Verdict::Open,
    }
}

/// The declarations of the first word of a heading that names any.
fn named<'d>(section: &str, declared: &'d [Declared]) -> Option<Vec<&'d Declared>> {
    let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '#');
    section.split(|c| !word(c)).filter(|text| !text.is_empty()).find_map(|name| {
        let found: Vec<&Declared> = declared.iter().filter(|one| one.name == name).collect();
        (!found.is_empty()).then_some(found)
    })
}

fn encloses(outer: &Declared, inner: &Declared) -> bool {
    outer.lines.start <= inner.lines.start && inner.lines.end <= outer.lines.end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::ir::Body;

    #[test]
    fn a_header_names_what_encloses_or_comes_before() {
        let text = "export function one() {\n  return 1\n}\n\nconst x = 1\n\nclass Two {\n  get() {\n    return 2\n  }\n  set = () => {\n    keep()\n  }\n}\n";
        let declared = declared(&RelPath::new("a.ts").unwrap(), text).unwrap();
        let check = |sections: &[&str], start: usize, changed: usize, expect: Verdict| {
            let section = sections.iter().map(|text| (*text).to_owned()).collect();
            let hunk = RawHunk { section, ..RawHunk::new(Body::Marked(Vec::new())) };
            assert_eq!(verdict(&hunk, &declared, start, changed), expect, "{sections:?} {changed}");
        };
        check(&["export function one() {"], 0, 1, Verdict::Inside);
        check(&["one()"], 3, 4, Verdict::Open);
        check(&["export function one() {"], 5, 8, Verdict::Open);
        check(&["function one"], 7, 8, Verdict::Elsewhere);
        check(&["class Two {"], 7, 8, Verdict::Inside);
        check(&["class Two", "get()"], 7, 8, Verdict::Inside);
        check(&["class Two", "set"], 7, 8, Verdict::Open);
        check(&["class Two", "get"], 10, 11, Verdict::Open);
        check(&["class Two", "get"], 11, 11, Verdict::Elsewhere);
        check(&["describe('a', () => {"], 7, 8, Verdict::Open);
        check(&["x"], 0, 1, Verdict::Open);
    }

    #[test]
    fn a_broken_text_and_another_language_say_nothing() {
        assert_eq!(super::declared(&RelPath::new("a.ts").unwrap(), "function ("), None);
        assert_eq!(super::declared(&RelPath::new("a.py").unwrap(), "def a():\n  x\n"), None);
    }
}
