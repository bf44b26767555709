//! The parts of a program: its statements, and in a large class, function or group of tests what these hold. Which of them
//! one side of a patch has and the other has not, so that a change of some lines is not the price of a whole file.
//!
//! Knows nothing of rules: whoever looks at a [`Piece`] has to know whether what is left out of it may matter.

use oxc_ast::ast::*;
use oxc_span::{GetSpan as _, Span};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

/// What holds less is taken whole: there is nothing to win.
const SMALL: usize = 4 << 10;
/// Groups of tests inside groups.
const DEEPEST: u32 = 8;

/// A statement, or a member of a class, with what is before it: together the parts cover what they are of.
#[derive(Debug)]
pub(super) struct Part {
    pub range: Range<usize>,
    shell: Option<Shell>,
}

/// Something that holds other parts.
#[derive(Debug)]
struct Shell {
    of: Holder,
    /// Between its brackets.
    inside: Range<usize>,
    parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Holder {
    Class,
    Function,
    /// `describe('…', () => { … })`
    Group,
}

/// What is to be looked at of a text: a part, or what is new of what it holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// The whole part.
    pub range: Range<usize>,
    pub carved: Option<Carved>,
}

/// Some of what a part holds, in what holds it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Carved {
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Segment {
    range: Range<usize>,
    /// Whether it only holds the others: both sides have it.
    is_shell: bool,
}

/// Between segments that something was left out of: it ends a statement, and may stand between members.
const SEAM: &str = "\n;\n";

/// The parts of a program that is in no error.
pub(super) fn of_program(program: &Program<'_>, text: &str) -> Vec<Part> {
    of_statements(&program.body, 0..text.len(), 0)
}

fn of_statements(statements: &[Statement<'_>], within: Range<usize>, depth: u32) -> Vec<Part> {
    let all = statements.iter().map(|statement| (statement.span(), shell(statement, depth)));
    parts(all, within)
}

/// From the end of one to that of the next; the last goes on to the end.
fn parts(all: impl Iterator<Item = (Span, Option<Shell>)>, within: Range<usize>) -> Vec<Part> {
    let mut start = within.start;
    let mut parts: Vec<Part> = Vec::new();
    for (span, shell) in all {
        let end = span.end as usize;
        if end > start && end <= within.end {
            parts.push(Part { range: start..end, shell });
            start = end;
        }
    }
    match parts.last_mut() {
        Some(last) => last.range.end = within.end,
        None => parts.push(Part { range: within, shell: None }),
    }
    parts
}

fn shell(statement: &Statement<'_>, depth: u32) -> Option<Shell> {
    if statement.span().size() as usize <= SMALL || depth > DEEPEST {
        return None;
    }
    match statement {
        Statement::ClassDeclaration(class) => Some(of_class(class)),
        Statement::FunctionDeclaration(function) => of_function(function),
        Statement::ExportDeclaration(export) => match &export.declaration {
            Declaration::ClassDeclaration(class) => Some(of_class(class)),
            Declaration::FunctionDeclaration(function) => of_function(function),
            _ => None,
        },
        Statement::ExportDefaultDeclaration(export) => match &export.declaration {
            ExportDefaultDeclarationKind::ClassDeclaration(class) => Some(of_class(class)),
            ExportDefaultDeclarationKind::FunctionDeclaration(function) => of_function(function),
            _ => None,
        },
        Statement::ExpressionStatement(statement) => of_group(&statement.expression, depth),
        _ => None,
    }
}

/// Between the brackets of a body.
fn inside(body: Span) -> Range<usize> {
    let (start, end) = (body.start as usize + 1, body.end as usize);
    start..end.saturating_sub(1).max(start)
}

fn of_class(class: &Class<'_>) -> Shell {
    let inside = inside(class.body.span);
    let members = class.body.body.iter().map(|member| (member.span(), None));
    Shell { of: Holder::Class, parts: parts(members, inside.clone()), inside }
}

fn of_function(function: &Function<'_>) -> Option<Shell> {
    let body = function.body.as_ref()?;
    let inside = inside(body.span);
    // What a function holds is taken whole: its own functions are no declarations of the file.
    let statements = body.statements.iter().map(|statement| (statement.span(), None));
    Some(Shell { of: Holder::Function, parts: parts(statements, inside.clone()), inside })
}

fn of_group(expression: &Expression<'_>, depth: u32) -> Option<Shell> {
    let Expression::CallExpression(call) = expression else { return None };
    if !is_group(&call.callee) {
        return None;
    }
    let body = call.arguments.iter().filter_map(Argument::as_expression).find_map(|argument| match argument {
        Expression::ArrowFunctionExpression(arrow) => arrow.body.as_function_body(),
        Expression::FunctionExpression(function) => function.body.as_deref(),
        _ => None,
    })?;
    let inside = inside(body.span);
    let parts = of_statements(&body.statements, inside.clone(), depth + 1);
    Some(Shell { of: Holder::Group, parts, inside })
}

/// `describe`, `describe.skip`, `test.describe`, `describe.each(…)`.
fn is_group(callee: &Expression<'_>) -> bool {
    let mut at = callee;
    for _ in 0..4 {
        at = match at {
            Expression::Identifier(name) => return matches!(name.name.as_str(), "describe" | "suite" | "context"),
            Expression::StaticMemberExpression(member) if member.property.name == "describe" => return true,
            Expression::StaticMemberExpression(member) => &member.object,
            Expression::CallExpression(call) => &call.callee,
            _ => return false,
        };
    }
    false
}

/// What is left when parts of the same words are taken off both sides, in pairs, and what is left in parts that hold others
/// between the same words. `may_carve` is asked of both sides of such a part, which are whole or carved together.
pub(super) fn differing(
    before: (&str, &[Part]),
    after: (&str, &[Part]),
    may_carve: &dyn Fn(Holder, &str) -> bool,
) -> [Vec<Piece>; 2] {
    let (old, new) = unpaired(before, after);
    let mut shells: BTreeMap<(Holder, &str, &str), VecDeque<usize>> = BTreeMap::new();
    for (at, part) in old.iter().enumerate() {
        if let Some(around) = part.around(before.0) {
            shells.entry(around).or_default().push_back(at);
        }
    }
    let mut of_before: Vec<Option<Piece>> = old.iter().map(|part| Some(Piece::whole(part))).collect();
    let mut of_after = Vec::new();
    for part in new {
        let pair = part.around(after.0).and_then(|around| shells.get_mut(&around)?.pop_front());
        let pair = pair.and_then(|at| Some((at, old[at].shell.as_ref()?, part.shell.as_ref()?)));
        let may_carve = |(at, was, _): &(usize, &Shell, &Shell)| {
            may_carve(was.of, old[*at].words(before.0)) && may_carve(was.of, part.words(after.0))
        };
        match pair.filter(may_carve) {
            None => of_after.push(Piece::whole(part)),
            Some((at, was, is)) => {
                // Who may look into the whole may look into what it holds.
                let [gone, come] = differing((before.0, &was.parts), (after.0, &is.parts), &|_, _| true);
                of_before[at] = old[at].carve(was, gone);
                of_after.extend(part.carve(is, come));
            }
        }
    }
    [of_before.into_iter().flatten().collect(), of_after]
}

/// The parts of each side that the other has not as often.
fn unpaired<'a, 'b>(before: (&str, &'b [Part]), after: (&str, &'a [Part])) -> (Vec<&'b Part>, Vec<&'a Part>) {
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    for part in before.1 {
        *known.entry(part.words(before.0)).or_default() += 1;
    }
    let mut new = Vec::new();
    for part in after.1 {
        match known.get_mut(part.words(after.0)) {
            Some(count) if *count > 0 => *count -= 1,
            _ => new.push(part),
        }
    }
    let is_left = |part: &&Part| match known.get_mut(part.words(before.0)) {
        Some(count) if *count > 0 => {
            *count -= 1;
            true
        }
        _ => false,
    };
    (before.1.iter().filter(is_left).collect(), new)
}

impl Part {
    fn words<'t>(&self, text: &'t str) -> &'t str {
        text.get(self.range.clone()).unwrap_or_default().trim()
    }

    /// What is before and behind what it holds.
    fn around<'t>(&self, text: &'t str) -> Option<(Holder, &'t str, &'t str)> {
        let shell = self.shell.as_ref()?;
        let head = text.get(self.range.start..shell.inside.start)?.trim();
        Some((shell.of, head, text.get(shell.inside.end..self.range.end)?.trim()))
    }

    /// What is new of what it holds, in what holds it; nothing where nothing is.
    fn carve(&self, shell: &Shell, held: Vec<Piece>) -> Option<Piece> {
        if held.is_empty() {
            return None;
        }
        let shell_of = |range| Segment { range, is_shell: true };
        let mut segments = vec![shell_of(self.range.start..shell.inside.start)];
        for piece in held {
            match piece.carved {
                Some(carved) => segments.extend(carved.segments),
                None => segments.push(Segment { range: piece.range, is_shell: false }),
            }
        }
        segments.push(shell_of(shell.inside.end..self.range.end));
        Some(Piece { range: self.range.clone(), carved: Some(Carved { segments }) })
    }
}

impl Piece {
    fn whole(part: &Part) -> Self {
        Self { range: part.range.clone(), carved: None }
    }
}

/// A text of segments alone.
pub(super) struct Composed<'c> {
    pub text: String,
    /// Where each segment begins in it.
    segments: Vec<(usize, &'c Segment)>,
}

impl Carved {
    /// A text that is as sound as the one it is made of, with the same around each part.
    pub fn compose(&self, text: &str) -> Composed<'_> {
        let mut composed = Composed { text: String::new(), segments: Vec::new() };
        let mut end = self.segments.first().map_or(0, |segment| segment.range.start);
        for segment in &self.segments {
            if segment.range.start != end {
                composed.text.push_str(SEAM);
            }
            composed.segments.push((composed.text.len(), segment));
            composed.text.push_str(text.get(segment.range.clone()).unwrap_or_default());
            end = segment.range.end;
        }
        composed
    }
}

impl Composed<'_> {
    /// Where something of the composed text is in the whole one; nothing for what begins in a shell.
    pub fn place(&self, range: &Range<usize>) -> Option<Range<usize>> {
        let start = self.segment(range.start).filter(|(_, segment)| !segment.is_shell)?;
        let last = self.segment(range.end.saturating_sub(1).max(range.start))?;
        let whole = |(at, segment): (usize, &Segment), place: usize| segment.range.start + (place - at);
        let end = whole(last, range.end.max(last.0)).min(last.1.range.end);
        Some(whole(start, range.start)..end)
    }

    fn segment(&self, at: usize) -> Option<(usize, &Segment)> {
        let next = self.segments.partition_point(|(start, _)| *start <= at);
        self.segments.get(next.checked_sub(1)?).map(|(start, segment)| (*start, *segment))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oxc_allocator::Allocator;
    use oxc_parser::Parser;
    use oxc_span::SourceType;

    fn of(text: &str) -> Vec<Part> {
        let allocator = Allocator::default();
        let parsed = Parser::new(&allocator, text, SourceType::tsx()).parse();
        assert!(!parsed.diagnostics.has_errors(), "{text}");
        of_program(&parsed.program, text)
    }

    fn shown(text: &str, pieces: &[Piece]) -> Vec<String> {
        let of_piece = |piece: &Piece| match &piece.carved {
            Some(carved) => carved.compose(text).text,
            None => text[piece.range.clone()].to_owned(),
        };
        pieces.iter().map(|piece| of_piece(piece).split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }

    fn differ(before: &str, after: &str) -> [Vec<String>; 2] {
        let [old, new] = differing((before, &of(before)), (after, &of(after)), &|_, _| true);
        [shown(before, &old), shown(after, &new)]
    }

    #[test]
    fn statements_that_both_sides_have_are_left_out() {
        let before = "import a from 'a'\n\nfunction b() {\n  one()\n}\nfunction c() {\n  two()\n}\nend()\n";
        let after = "import a from 'a'\nfunction c() {\n  two()\n}\n\nfunction b() {\n  three()\n}\nend()\nend()\n";
        assert_eq!(
            differ(before, after),
            [
                vec!["function b() { one() }".to_owned()],
                vec!["function b() { three() }".to_owned(), "end()".to_owned()]
            ]
        );
    }

    #[test]
    fn what_is_large_is_looked_into() {
        let (filler, calls) = ("  m() { one(1234567) }\n".repeat(300), "one(1234567)\n".repeat(400));
        for (text, old, new) in [
            (
                format!("@a\nexport class A extends B<C> {{\n  x = 1\n{filler}  *n() {{ OLD }}\n}}\n// end\n"),
                "@a export class A extends B<C> { ; *n() { OLD } } // end",
                "@a export class A extends B<C> { ; *n() { NEW } } // end",
            ),
            (
                format!("export default async function f(a = 1) {{\n  'use x'\n{calls}\nOLD\n{calls}}}\n"),
                "export default async function f(a = 1) { ; OLD ; }",
                "export default async function f(a = 1) { ; NEW ; }",
            ),
            (
                format!(
                    "describe.each([1])('a', {{ b: 1 }}, () => {{\n  describe('c', function () {{\n{calls}it('d', () => {{ OLD }})\n}})\nend()\n}}, 100)\n"
                ),
                "describe.each([1])('a', { b: 1 }, () => { describe('c', function () { ; it('d', () => { OLD }) }) ; }, 100)",
                "describe.each([1])('a', { b: 1 }, () => { describe('c', function () { ; it('d', () => { NEW }) }) ; }, 100)",
            ),
        ] {
            assert_eq!(differ(&text, &text.replace("OLD", "NEW")), [[old.to_owned()], [new.to_owned()]]);
            assert_eq!(differ(&text, &text), [[] as [String; 0], []]);
            let [gone, come] = differ(&text, &text.replacen("OLD", "", 1));
            assert_eq!(
                (gone.as_slice(), come.len()),
                ([old.to_owned()].as_slice(), usize::from(text.contains("OLD }")))
            );
        }
    }

    #[test]
    fn what_stands_around_in_other_words_is_taken_whole() {
        let members = "  m() { one(1234567) }\n".repeat(300);
        let (before, after) = (format!("class A {{\n{members}}}\n"), format!("class A extends B {{\n{members}}}\n"));
        let [old, new] = differing((&before, &of(&before)), (&after, &of(&after)), &|_, _| true);
        assert!(old.iter().chain(&new).all(|piece| piece.carved.is_none()) && old.len() == 1 && new.len() == 1);
        // What may not be carved on one side is whole on both, also where nothing is gone.
        let after = before.replacen("  m", "  x() { two() }\n  m", 1);
        let refuses = |_: Holder, text: &str| !text.contains("two");
        let [old, new] = differing((&before, &of(&before)), (&after, &of(&after)), &refuses);
        assert!(old[0].carved.is_none() && new[0].carved.is_none());
    }

    #[test]
    fn a_place_in_what_is_composed_is_one_in_the_whole() {
        let filler = "  m() { one(1234567) }\n".repeat(300);
        let text = format!("class A {{\n{filler}  n() {{ OLD(1) }}\n{filler}  o() {{ OLD(2) }}\n}}\n");
        let after = text.replace("OLD", "NEW");
        let [_, new] = differing((&text, &of(&text)), (&after, &of(&after)), &|_, _| true);
        let composed = new[0].carved.as_ref().unwrap().compose(&after);
        for call in ["NEW(1)", "NEW(2)"] {
            let at = composed.text.find(call).unwrap();
            let place = composed.place(&(at..at + call.len())).unwrap();
            assert_eq!((&after[place.clone()], place.start), (call, after.find(call).unwrap()));
        }
        assert_eq!(composed.place(&(0..composed.text.len())), None);
    }

    #[test]
    fn parts_cover_the_text_whatever_is_between_statements() {
        for text in
            ["", "// nothing\n", "#!/usr/bin/env node\n'use strict'\n@a\nclass B {}\n// end\n", ";;a();\n\n;[b]\n"]
        {
            let end = of(text).iter().fold(0, |at, part| {
                assert_eq!(part.range.start, at, "{text}");
                part.range.end
            });
            assert_eq!(end, text.len(), "{text}");
        }
    }
}
