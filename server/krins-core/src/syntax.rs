//! Syntax: which grammar reads a path, parsing, the errors in a text, and which of them a patch brings.
//!
//! tree-sitter keeps a usable tree of half-typed text but reports errors on some valid TypeScript (`export type * from`,
//! `import("x").T[]`, `<const T>`); oxc is a conforming parser but gives up on broken text. So tree-sitter reads,
//! and oxc has the last word on whether a text is in error. Knows nothing of patches or files on disk.

mod judged;
mod levels;

use crate::Digest;
use crate::path::RelPath;
use crate::text::LineIndex;
use oxc_allocator::Allocator;
use oxc_parser::Parser as OxcParser;
use oxc_span::SourceType;
use std::cell::RefCell;
use std::collections::BTreeMap;
use tree_sitter::{Node, Parser, Tree, TreeCursor};

/// A language Krins carries a grammar for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Language {
    TypeScript,
    Tsx,
    /// JavaScript, JSX included.
    JavaScript,
}

impl Language {
    /// By extension: `ts mts cts`, `tsx`, `js jsx mjs cjs`.
    pub fn of(path: &RelPath) -> Option<Self> {
        match path.extension() {
            "ts" | "mts" | "cts" => Some(Self::TypeScript),
            "tsx" => Some(Self::Tsx),
            "js" | "jsx" | "mjs" | "cjs" => Some(Self::JavaScript),
            _ => None,
        }
    }

    pub(crate) fn grammar(self) -> tree_sitter::Language {
        match self {
            Self::TypeScript => tree_sitter_typescript::LANGUAGE_TYPESCRIPT.into(),
            Self::Tsx => tree_sitter_typescript::LANGUAGE_TSX.into(),
            Self::JavaScript => tree_sitter_javascript::LANGUAGE.into(),
        }
    }
}

/// A syntax error in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// 1-based inclusive lines.
    pub lines: [u32; 2],
    pub message: String,
    /// The same for the same error at another line.
    pub fingerprint: Digest,
}

thread_local! {
    /// One parser per language: making one costs more than parsing a small file.
    static PARSERS: RefCell<BTreeMap<Language, Parser>> = const { RefCell::new(BTreeMap::new()) };
}

/// Parses a text; what does not fit the grammar is in the tree as error nodes.
pub fn parse(language: Language, text: &str) -> Tree {
    PARSERS.with_borrow_mut(|parsers| {
        parsers
            .entry(language)
            .or_insert_with(|| {
                let mut parser = Parser::new();
                parser
                    .set_language(&language.grammar())
                    .expect("the grammars are built for this tree-sitter, which a test holds");
                parser
            })
            .parse(text, None)
            .expect("parsing stops early only by a callback, and none is set")
    })
}

/// The errors that tree-sitter sees, in the order of the text. Some valid TypeScript is among them.
pub fn errors(language: Language, text: &str) -> Vec<SyntaxError> {
    tree_errors(&parse(language, text), text).into_iter().map(|placed| placed.error).collect()
}

/// The errors that a patch brings: those of `after` that `before` (`None`: a created file) does not have.
/// Empty for a path without a grammar. What is not TypeScript or JavaScript is judged by [`judged`].
///
/// Where oxc can read `after` (see [`second_opinion`]) nothing counts unless it objects too. If `before` was sound and
/// `after` is not, oxc's errors are the answer; if both are broken, the difference of the tree-sitter errors is.
pub fn new_errors(path: &RelPath, before: Option<&str>, after: &str) -> Vec<SyntaxError> {
    let Some(language) = Language::of(path) else {
        return judged::new_errors(path, before, after);
    };
    // Nearly every patch ends here, at a tenth of what a tree costs.
    if is_surely_valid(path, after) {
        return Vec::new();
    }
    let after_tree = parse(language, after);
    let Some(objections) = second_opinion(path, after, &after_tree) else {
        let known = before.map_or_else(Vec::new, |text| tree_errors(&parse(language, text), text));
        return difference(&known, tree_errors(&after_tree, after));
    };
    if objections.is_empty() {
        return Vec::new();
    }
    let Some(before) = before else {
        return objections;
    };
    let before_tree = parse(language, before);
    match second_opinion(path, before, &before_tree) {
        Some(known) if known.is_empty() => objections,
        _ => difference(&tree_errors(&before_tree, before), tree_errors(&after_tree, after)),
    }
}

/// The deepest tree that is given to oxc, whose parser and visitors recurse: measured, 256 levels of the costliest
/// nesting take under 1 MiB of stack in an unoptimised build, and threads have 2 MiB.
const MAX_RECURSIVE_DEPTH: u32 = 256;

/// Stack that is reserved, not used, for reading without a look at the depth first.
const RESERVED_STACK: usize = 256 << 20;
/// Stack that one level of nesting takes at most; see [`MAX_RECURSIVE_DEPTH`].
const STACK_PER_LEVEL: usize = 4096;
/// What reading takes besides.
const STACK_MARGIN: usize = 1 << 20;

/// Whether oxc reads the text without an objection; `false` also where it was not asked.
fn is_surely_valid(path: &RelPath, text: &str) -> bool {
    let Some(types) = source_types(path) else { return false };
    if_shallow(text, || types.into_iter().any(|source_type| oxc_errors(source_type, text).is_empty())).unwrap_or(false)
}

/// Calls what recurses over the text, on a stack that its nesting cannot use up; `None`: it may be too deep for that.
pub(crate) fn if_shallow<R>(text: &str, read: impl FnOnce() -> R) -> Option<R> {
    // No text is nested more deeply than it is long.
    if stack_for(text.len()) <= stacker::remaining_stack().unwrap_or_default() {
        return Some(read());
    }
    let levels = levels_at_most(text);
    let fits = stack_for(levels) <= RESERVED_STACK;
    if_at_most(if fits { levels } else { levels::of_data(text).unwrap_or(levels) }, read)
}

/// As [`if_shallow`], for a text whose levels are counted.
pub(crate) fn if_at_most<R>(levels: usize, read: impl FnOnce() -> R) -> Option<R> {
    let needed = stack_for(levels);
    if needed <= stacker::remaining_stack().unwrap_or_default() {
        Some(read())
    } else if needed <= RESERVED_STACK {
        Some(stacker::grow(RESERVED_STACK, read))
    } else {
        None
    }
}

fn stack_for(levels: usize) -> usize {
    levels.saturating_mul(STACK_PER_LEVEL).saturating_add(STACK_MARGIN)
}

/// Calls what reads many texts on a stack that is reserved once for all of them.
pub fn with_deep_stack<R>(read: impl FnOnce() -> R) -> R {
    stacker::maybe_grow(RESERVED_STACK / 2, RESERVED_STACK, read)
}

/// An upper bound of how deeply a text can be nested: every level takes an opening bracket, an operator, or a keyword
/// that takes an operand, of its own. Comments and strings count as if they were code.
pub(crate) fn levels_at_most(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut levels, mut at) = (1, 0);
    while at < bytes.len() {
        match BYTES[usize::from(bytes[at])] {
            Byte::Word => {
                let start = at;
                while at < bytes.len() && BYTES[usize::from(bytes[at])] == Byte::Word {
                    at += 1;
                }
                levels += usize::from(takes_operand(&bytes[start..at]));
                continue;
            }
            Byte::Opens => levels += 1,
            Byte::Other => {}
        }
        at += 1;
    }
    levels
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Byte {
    Word,
    /// What a level can begin with.
    Opens,
    Other,
}

const BYTES: [Byte; 256] = {
    let mut table = [Byte::Other; 256];
    let mut at = 0;
    while at < 256 {
        let byte = at as u8;
        table[at] = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'$' | 0x80.. => Byte::Word,
            b')' | b']' | b'}' | b';' | b',' | b'"' | b'\'' | b'`' | b'\\' | b'#' => Byte::Other,
            byte if byte.is_ascii_graphic() => Byte::Opens,
            _ => Byte::Other,
        };
        at += 1;
    }
    table
};

fn takes_operand(word: &[u8]) -> bool {
    match word.len() {
        2 => matches!(word, b"as" | b"do" | b"if" | b"in" | b"is" | b"of"),
        3 => matches!(word, b"for" | b"let" | b"new" | b"try" | b"var"),
        4 => matches!(word, b"case" | b"else" | b"enum" | b"void" | b"with"),
        5 => matches!(
            word,
            b"async"
                | b"await"
                | b"catch"
                | b"class"
                | b"const"
                | b"infer"
                | b"keyof"
                | b"throw"
                | b"using"
                | b"while"
                | b"yield"
        ),
        6 => matches!(
            word,
            b"delete"
                | b"export"
                | b"global"
                | b"import"
                | b"module"
                | b"return"
                | b"static"
                | b"switch"
                | b"typeof"
                | b"unique"
        ),
        7 => matches!(word, b"asserts" | b"declare" | b"default" | b"extends" | b"finally"),
        8 => matches!(word, b"abstract" | b"accessor" | b"function" | b"readonly"),
        9 => matches!(word, b"interface" | b"namespace" | b"satisfies"),
        10 => matches!(word, b"implements" | b"instanceof"),
        _ => false,
    }
}

/// What oxc objects to in the text; `None` where it was not asked: the text may be too deep for a recursive parser.
/// A `.js` file is in error only if it is neither a valid module nor a valid script, JSX allowed in both.
pub(crate) fn second_opinion(path: &RelPath, text: &str, tree: &Tree) -> Option<Vec<SyntaxError>> {
    let types = source_types(path)?;
    let ask = || {
        let mut objections = Vec::new();
        for source_type in &types {
            objections = oxc_errors(*source_type, text);
            if objections.is_empty() {
                break;
            }
        }
        objections
    };
    match if_shallow(text, ask) {
        Some(objections) => Some(objections),
        None if is_too_deep(tree) => None,
        None => Some(ask()),
    }
}

/// Whether what the tree was made of may be too deep for parsers and visitors that recurse. A tree with errors can be
/// flat where they see levels.
pub(crate) fn is_too_deep(tree: &Tree) -> bool {
    tree.root_node().has_error() || depth_exceeds(tree, MAX_RECURSIVE_DEPTH)
}

/// How oxc may read the path, the likeliest first; `None` for an extension it does not know.
pub(crate) fn source_types(path: &RelPath) -> Option<Vec<SourceType>> {
    let usual = SourceType::from_path(path.as_str()).ok()?;
    if usual.is_typescript() {
        return Some(vec![usual]);
    }
    let jsx = usual.with_jsx(true);
    Some(vec![jsx.with_module(true), jsx.with_commonjs(true)])
}

fn oxc_errors(source_type: SourceType, text: &str) -> Vec<SyntaxError> {
    let allocator = Allocator::default();
    let parsed = OxcParser::new(&allocator, text, source_type).parse();
    let mut found = Vec::new();
    let mut index = None;
    for diagnostic in parsed.diagnostics.errors() {
        let index = index.get_or_insert_with(|| LineIndex::new(text));
        let at = diagnostic.labels.first().map_or(text.len(), |label| label.offset() as usize);
        let line = index.line_of(at);
        let source = text.get(index.line_range(line)).unwrap_or_default();
        found.push(SyntaxError {
            lines: [line as u32 + 1; 2],
            message: diagnostic.message.to_string(),
            fingerprint: Digest::of(format!("oxc\0{}\0{}", diagnostic.message, squeeze(source))),
        });
    }
    if found.is_empty() && parsed.panicked {
        found.push(SyntaxError {
            lines: [1, 1],
            message: "the text is not a program".into(),
            fingerprint: Digest::of("oxc\0panicked"),
        });
    }
    found
}

/// A tree-sitter error and the names of the declarations around it.
struct Placed {
    error: SyntaxError,
    place: String,
}

/// The errors of `after` that `before` does not have as often. Errors pair off by their text and place first; then what
/// is left by place alone, so that an edit inside a region that was in error already is not held against the patch.
fn difference(before: &[Placed], after: Vec<Placed>) -> Vec<SyntaxError> {
    let exact = |placed: &Placed| placed.error.fingerprint.to_string();
    let place = |placed: &Placed| placed.place.clone();
    let (before, after) = without_pairs(before.iter().collect(), after, exact);
    let (_, after) = without_pairs(before, after, place);
    after.into_iter().map(|placed| placed.error).collect()
}

/// Takes out of both sides what pairs off by `key`.
fn without_pairs(
    before: Vec<&Placed>,
    after: Vec<Placed>,
    key: impl Fn(&Placed) -> String,
) -> (Vec<&Placed>, Vec<Placed>) {
    let mut known: BTreeMap<String, Vec<&Placed>> = BTreeMap::new();
    for placed in before {
        known.entry(key(placed)).or_default().push(placed);
    }
    let mut left = Vec::new();
    for placed in after {
        if known.get_mut(&key(&placed)).and_then(Vec::pop).is_none() {
            left.push(placed);
        }
    }
    (known.into_values().flatten().collect(), left)
}

fn tree_errors(tree: &Tree, text: &str) -> Vec<Placed> {
    let mut found = Vec::new();
    if !tree.root_node().has_error() {
        return found;
    }
    let mut scope: Vec<(u32, &str)> = Vec::new();
    walk(&mut tree.walk(), |node, depth| {
        while scope.last().is_some_and(|(at, _)| *at >= depth) {
            scope.pop();
        }
        if !node.has_error() {
            return false;
        }
        if node.is_error() || node.is_missing() {
            found.push(placed(&node, text, &scope));
            return false;
        }
        if let Some(name) = node.child_by_field_name("name") {
            scope.push((depth, text.get(name.byte_range()).unwrap_or_default()));
        }
        true
    });
    if found.is_empty() {
        // The root itself is the error.
        found.push(placed(&tree.root_node(), text, &[]));
    }
    found
}

fn placed(node: &Node, text: &str, scope: &[(u32, &str)]) -> Placed {
    let source = text.get(node.byte_range()).unwrap_or_default();
    let offending = squeeze(source);
    let message = if node.is_missing() {
        format!("`{}` is missing", node.kind())
    } else {
        format!("unexpected `{}`", clip(&offending, 40))
    };
    let names: Vec<&str> = scope.iter().map(|(_, name)| *name).collect();
    let place = names.join(".");
    let first = node.start_position().row as u32 + 1;
    let last = node.end_position().row as u32 + 1;
    let error = SyntaxError {
        lines: [first, last.max(first)],
        fingerprint: Digest::of(format!("{place}\0{}\0{offending}", node.kind())),
        message,
    };
    Placed { error, place }
}

/// Visits nodes depth first, without recursion; `enter` says whether to go into a node's children.
pub(crate) fn walk<'tree>(cursor: &mut TreeCursor<'tree>, mut enter: impl FnMut(Node<'tree>, u32) -> bool) {
    let mut depth = 0;
    loop {
        if enter(cursor.node(), depth) && cursor.goto_first_child() {
            depth += 1;
            continue;
        }
        while !cursor.goto_next_sibling() {
            if depth == 0 || !cursor.goto_parent() {
                return;
            }
            depth -= 1;
        }
    }
}

/// Whether any node is more than `limit` levels below the root.
fn depth_exceeds(tree: &Tree, limit: u32) -> bool {
    let mut exceeded = false;
    walk(&mut tree.walk(), |_, depth| {
        exceeded |= depth > limit;
        !exceeded
    });
    exceeded
}

/// White space runs as one space each, ends trimmed.
fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn clip(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> RelPath {
        RelPath::new(name).unwrap()
    }

    #[test]
    fn every_grammar_fits_this_tree_sitter() {
        for language in [Language::TypeScript, Language::Tsx, Language::JavaScript] {
            assert!(!parse(language, "let a = 1;").root_node().has_error());
        }
    }

    /// Valid, each in a file of the extension; tree-sitter-typescript 0.23.2 objects to the ones marked `*`.
    const VALID: &[(&str, &str)] = &[
        ("a.ts", "*export type * from './x';"),
        ("a.ts", "*export type * as ns from './x';"),
        ("a.ts", "*const a = f<typeof import('x')>();"),
        ("a.ts", "*type A = import('x').T<string>;"),
        ("a.ts", "*type A = import('x').T[];"),
        ("a.ts", "interface A { <const T>(x: T): T }"),
        ("a.ts", "interface A { in?: string }"),
        ("a.ts", "abstract class A { abstract x: number; declare y: string; accessor z = 1 }"),
        ("a.ts", "enum E { A = 1 << 0, B }\nnamespace N.M { export const x = 1 }"),
        ("a.ts", "let x = <number>y; let z = a! satisfies B;"),
        ("a.ts", "using x = y;"),
        ("a.d.ts", "declare module 'x' { export = y; }\ndeclare global { interface W {} }"),
        ("a.d.ts", "export declare function f(a: string): asserts a is 'x';"),
        ("a.tsx", "const a = <A<string> b={1} {...c}>text {d}</A>; const f = <T,>(x: T) => x;"),
        ("a.mts", "import a, { type B, c as d } from 'x' with { type: 'json' };"),
        ("a.cts", "import a = require('x');\nexport = a;"),
        ("a.js", "const a = <A b='c'/>;"),
        ("a.js", "return require('x');"),
        ("a.cjs", "#!/usr/bin/env node\nmodule.exports = await_;"),
        ("a.mjs", "await import('x');"),
        ("a.jsx", "export default () => <></>;"),
        ("a.ts", ""),
    ];

    #[test]
    fn valid_text_is_never_held_against_a_patch() {
        for (name, text) in VALID {
            let text = text.trim_start_matches('*');
            assert_eq!(new_errors(&path(name), None, text), [], "{name}: {text}");
            let before = "const before = 1;\n";
            assert_eq!(new_errors(&path(name), Some(before), text), [], "{name}: {text}");
        }
    }

    #[test]
    fn the_second_opinion_is_needed_for_what_is_marked() {
        for (name, text) in VALID {
            let marked = text.starts_with('*');
            let language = Language::of(&path(name)).unwrap();
            let seen = !errors(language, text.trim_start_matches('*')).is_empty();
            assert_eq!(seen, marked, "{name}: {text}");
        }
    }

    const SOUND: &str = "export type * from './x';\nimport { a } from './a';\n\nexport function f(x: number): number {\n  if (x > 1) {\n    return a(x);\n  }\n  return [1, 2, x].map((y) => y * 2).length;\n}\n\nexport class C {\n  m(): string {\n    return `${f(1)}`;\n  }\n}\n";

    #[test]
    fn every_lost_bracket_is_caught() {
        for (at, _) in SOUND.match_indices(['(', ')', '{', '}', '[', ']', '`']) {
            if SOUND[..at].ends_with('$') {
                // Without it the text is sound, only another one.
                continue;
            }
            let mut broken = SOUND.to_owned();
            broken.remove(at);
            for name in ["a.ts", "a.tsx"] {
                let found = new_errors(&path(name), Some(SOUND), &broken);
                assert!(!found.is_empty(), "{name}, byte {at}:\n{broken}");
                assert!(found.iter().all(|error| error.lines[0] <= error.lines[1]));
            }
        }
    }

    #[test]
    fn errors_that_were_there_are_not_new() {
        let broken = "function f( {\n  return 1;\n}\n\nexport const x = 1;\n";
        let edited = format!("// a comment\n\n{}const y = 2;\n", broken.replace("x = 1", "x = 2"));
        assert_eq!(new_errors(&path("a.ts"), Some(broken), &edited), []);
        assert_eq!(new_errors(&path("a.ts"), Some(broken), "export const x = 1;\n"), []);
    }

    #[test]
    fn another_error_in_a_broken_file_is_new() {
        let before = "function f() {\n  return 1 +;\n}\n\nfunction g() {\n  return 2;\n}\n";
        let after = before.replace("return 2;", "return 2 +;");
        let found = new_errors(&path("a.ts"), Some(before), &after);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].lines, [6, 6]);
        let twice = before.replace("return 1 +;", "return 1 +;\n  return 1 +;");
        assert_eq!(new_errors(&path("a.ts"), Some(before), &twice).len(), 1);
    }

    #[test]
    fn a_created_file_in_error_counts_and_other_files_never_do() {
        assert_eq!(new_errors(&path("a.ts"), None, "const = 1;").len(), 1);
        assert_eq!(new_errors(&path("a.md"), None, "const = 1;"), []);
    }

    /// On a thread with half the stack of the smallest that Krins runs on.
    #[test]
    fn deep_nesting_neither_overflows_nor_hides_errors() {
        let nest = |open: &str, middle: &str, close: &str, n: usize| {
            let mut text = format!("{}{middle}{};", open.repeat(n), close.repeat(n));
            text.insert_str(0, if middle.starts_with('A') { "let y: " } else { "x = " });
            text
        };
        let shapes: &[(&str, &str, &str)] = &[
            ("(", "1", ")"),
            ("[", "1", "]"),
            ("{a:", "1", "}"),
            ("f(", "1", ")"),
            ("() => {", "", "}"),
            ("(() => ", "1", ")"),
            ("function(){ if (a) ", "x()", "}"),
            ("a ? b : ", "c", ""),
            ("!", "a", ""),
            ("`${", "a", "}`"),
            ("class { m() { return ", "1", "} }"),
            ("<a>", "", "</a>"),
            ("{ a: ", "b", "}"),
            ("1 + ", "1", ""),
            ("await ", "1", ""),
            ("new ", "A", ""),
            ("a = ", "1", ""),
            ("a => ", "1", ""),
            ("1 ** ", "1", ""),
            ("Array<", "A", ">"),
            ("() => ", "A", ""),
            ("(", "A", ")[]"),
            ("if (a) {} else ", "{}", ""),
        ];
        std::thread::Builder::new()
            .stack_size(1 << 20)
            .spawn(move || {
                for (open, middle, close) in shapes {
                    for n in [10, 40, 80, 120, 250, 3_000] {
                        let text = nest(open, middle, close, n);
                        let broken = format!("{text}\n)");
                        assert!(!new_errors(&path("a.tsx"), Some(&text), &broken).is_empty(), "{open} {n}");
                    }
                }
            })
            .unwrap()
            .join()
            .unwrap();
    }
}
