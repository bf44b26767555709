//! What the code itself says that a checker should look away: comments that silence, types that turn checks off, errors
//! that are dropped, answers for a test's input.

use super::{Found, Sides, is_test_path, line_at, squeeze};
use crate::gate::{Finding, Scene};
use crate::path::RelPath;
use crate::syntax;
use oxc_ast::ast::*;
use oxc_ast_visit::{Visit, walk};
use oxc_span::{GetSpan, Span};
use oxc_syntax::operator::{BinaryOperator, LogicalOperator};
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// Something that a text holds, the same wherever it stands.
#[derive(Clone, Debug)]
pub(in crate::gate) struct Sign {
    rule: &'static str,
    /// What makes it the same as another.
    key: String,
    line: u32,
    message: String,
    /// What is made silent: the statements whose errors are dropped, or nothing that has a text. Where none of it was there
    /// before, nothing that was heard of is silenced: that is shown, and not warned of.
    guarded: Option<Vec<String>>,
}

/// Signs that a file lost and another gained: the code was moved.
#[derive(Default)]
pub(super) struct Moves {
    lost: BTreeMap<(&'static str, String), usize>,
    /// With whether what it makes silent was there in its file.
    gained: Vec<(RelPath, Sign, bool)>,
}

impl Moves {
    /// Says what was gained and not lost elsewhere.
    pub fn settle(mut self, scene: &Scene<'_>, findings: &mut Vec<Finding>) {
        for (path, sign, was_there) in std::mem::take(&mut self.gained) {
            let is_soft = sign.guarded.as_ref().is_some_and(|guarded| !was_there && !hides_calls(guarded, scene));
            let known = self.lost.get_mut(&(sign.rule, sign.key.clone())).filter(|count| **count > 0);
            match known {
                Some(count) => *count -= 1,
                None => {
                    let found = Found { is_soft, ..Found::new(sign.rule, sign.line, sign.message) };
                    findings.push(super::finding(&path, found));
                }
            }
        }
    }
}

pub(super) fn compare(sides: &Sides<'_>, scene: &Scene<'_>, moves: &mut Moves, found: &mut Vec<Found>) {
    if syntax::Language::of(sides.path).is_none() {
        return;
    }
    let (before, after) = (sides.signs_before, sides.signs_after);
    let mut counts: BTreeMap<(&'static str, String), usize> = BTreeMap::new();
    for sign in &before.signs {
        *counts.entry((sign.rule, sign.key.clone())).or_default() += 1;
    }
    let mut squeezed = None;
    for sign in &after.signs {
        if let Some(count) = counts.get_mut(&(sign.rule, sign.key.clone())).filter(|count| **count > 0) {
            *count -= 1;
        } else if sides.added.contains(&sign.line) || sign.rule == "swallowed-error" {
            let mut was_there = |guarded: &Vec<String>| {
                let before = squeezed.get_or_insert_with(|| squeeze(sides.before));
                guarded.iter().any(|text| before.contains(text.as_str()))
            };
            let was_there = sign.guarded.as_ref().is_some_and(&mut was_there);
            moves.gained.push((sides.path.clone(), sign.clone(), was_there));
        }
    }
    for (key, count) in counts {
        *moves.lost.entry(key).or_default() += count;
    }
    if !is_test_path(sides.path) {
        let fresh: Vec<&Keyed> = after
            .keyed
            .iter()
            .filter(|keyed| sides.added.contains(&keyed.line) && !before.keyed.iter().any(|known| known.is_same(keyed)))
            .collect();
        if !fresh.is_empty() {
            keyed(&fresh, sides.path, scene, found);
        }
    }
}

/// Calls of one handler's statements that are looked for.
const MOST_CALLS: usize = 16;

static CALL: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[A-Za-z_$.][\w$.]*\(").expect("a literal pattern"));

/// Whether the statements hold a call that was made somewhere in the patch's code where its error was heard, and is not made
/// there any more: it was put in here, in other words or with other arguments.
fn hides_calls(guarded: &[String], scene: &Scene<'_>) -> bool {
    let inside = guarded.join("\n");
    let is_call = |word: &&str| {
        let name = word.trim_end_matches('(').rsplit('.').next().unwrap_or_default();
        name.len() > 1 && !matches!(name, "if" | "for" | "while" | "switch" | "catch" | "function" | "return" | "await")
    };
    let calls: BTreeSet<&str> =
        CALL.find_iter(&inside).map(|hit| hit.as_str()).filter(is_call).take(MOST_CALLS).collect();
    let files = || {
        scene.reading.files().iter().filter(|both| super::is_code(&both.file.path) && !is_test_path(&both.file.path))
    };
    calls.into_iter().any(|call| {
        let before: usize = files().map(|both| heard(&both.before.text, &both.code_before().signs, call)).sum();
        let after: usize = files().map(|both| heard(&both.after.text, &both.code_after().signs, call)).sum();
        before > after
    })
}

/// How often a call is made whose error is not dropped.
fn heard(text: &str, signs: &Signs, call: &str) -> usize {
    let dropped =
        signs.signs.iter().filter(|sign| sign.rule == "swallowed-error").filter_map(|sign| sign.guarded.as_ref());
    let dropped: usize = dropped.flatten().map(|statement| times(statement, call)).sum();
    times(text, call).saturating_sub(dropped)
}

/// How often a call stands in a text.
fn times(text: &str, call: &str) -> usize {
    let is_inner = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '.');
    let starts = |at: &usize| call.starts_with('.') || !text[..*at].ends_with(is_inner);
    memchr::memmem::find_iter(text.as_bytes(), call).filter(starts).count()
}

const SUCCESS: &str = "an error is answered as a success";

/// Whether an answer says that all went well.
fn is_success(answer: &str) -> bool {
    let answer = answer.trim_start_matches('(');
    matches!(answer.trim_end_matches(')'), "true" | "'ok'" | "\"ok\"")
        || answer.starts_with("{ ok: true")
        || answer.starts_with("{ success: true")
}

/// A branch that answers one input with a value that is written out.
#[derive(Debug)]
pub(in crate::gate) struct Keyed {
    inputs: Vec<String>,
    output: String,
    line: u32,
}

impl Keyed {
    fn is_same(&self, other: &Self) -> bool {
        self.inputs == other.inputs && self.output == other.output
    }
}

/// Answers whose input and output a test of the code holds together.
fn keyed(fresh: &[&Keyed], path: &RelPath, scene: &Scene<'_>, found: &mut Vec<Found>) {
    let tests = tests_of(path, scene);
    for keyed in fresh {
        let near = |text: &String| {
            let lines: Vec<&str> = text.lines().collect();
            (0..lines.len()).any(|at| {
                let window = lines[at..lines.len().min(at + 4)].join("\n");
                keyed.inputs.iter().all(|input| holds(&window, input)) && holds(&window, &keyed.output)
            })
        };
        if tests.iter().any(near) {
            let message =
                format!("`{}` is answered with `{}`, as a test expects it", keyed.inputs.join(", "), keyed.output);
            found.push(Found::new("keyed-return", keyed.line, message));
            return;
        }
    }
}

/// Whether a literal stands in a text, whatever its quotes.
fn holds(text: &str, literal: &str) -> bool {
    let is_text = literal.starts_with(['\'', '"', '`']);
    let bare = literal.trim_matches(['\'', '"', '`']);
    let is_edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != '.');
    text.match_indices(bare).any(|(at, _)| {
        let (before, after) = (text[..at].chars().next_back(), text[at + bare.len()..].chars().next());
        match is_text {
            true => before.is_some_and(|c| "'\"`".contains(c)) && after.is_some_and(|c| "'\"`".contains(c)),
            false => is_edge(before) && is_edge(after),
        }
    })
}

/// The texts of the tests of a file: those of the patch, and those that are called like it.
fn tests_of(path: &RelPath, scene: &Scene<'_>) -> Vec<String> {
    let mut tests: Vec<String> = Vec::new();
    for both in scene.reading.files().iter().filter(|both| is_test_path(&both.file.path)) {
        tests.extend([&both.before.text, &both.after.text].map(|text| text.to_string()));
    }
    let (dir, name) = path.as_str().rsplit_once('/').unwrap_or(("", path.as_str()));
    let stem = name.split('.').next().unwrap_or(name);
    let outer = dir.rsplit_once('/').map_or("", |(outer, _)| outer);
    for extension in ["ts", "tsx", "js", "mjs"] {
        for place in [
            format!("{dir}/{stem}.test.{extension}"),
            format!("{dir}/{stem}.spec.{extension}"),
            format!("{dir}/__tests__/{stem}.test.{extension}"),
            format!("{dir}/__tests__/{stem}.spec.{extension}"),
            format!("{outer}/test/{stem}.test.{extension}"),
            format!("{outer}/tests/{stem}.test.{extension}"),
            format!("{outer}/__tests__/{stem}.test.{extension}"),
            format!("{outer}/test/{stem}.{extension}"),
            format!("test/{stem}.test.{extension}"),
            format!("tests/{stem}.test.{extension}"),
            format!("test/{stem}.{extension}"),
        ] {
            if let Some(text) = RelPath::new(place.trim_start_matches('/')).ok().and_then(|path| scene.base.text(&path))
            {
                tests.push(text.to_string());
            }
        }
    }
    tests
}

#[derive(Default)]
pub(in crate::gate) struct Signs {
    signs: Vec<Sign>,
    keyed: Vec<Keyed>,
}

/// What a program says that a checker should look away from.
pub(in crate::gate) fn signs(program: &Program<'_>, path: &RelPath, text: &str) -> Signs {
    let mut reader = Reader { text, is_test: is_test_path(path), found: Signs::default(), declared: false };
    for comment in &program.comments {
        reader.comment(comment.span);
    }
    reader.visit_program(program);
    reader.found
}

static SILENCERS: LazyLock<Vec<(&str, Regex, &str)>> = LazyLock::new(|| {
    [
        ("type-unchecked", r"^\s*\*?\s*@ts-(ignore|nocheck)\b", "a comment turns the checks of types off"),
        ("type-expected-error", r"^\s*\*?\s*@ts-expect-error\b", "a comment expects an error of types"),
        ("lint-silenced", r"^\s*(eslint-disable-(next-)?line|biome-ignore(-start)?(\s|$)|oxlint-disable-(next-)?line|tslint:disable-(next-)?line|deno-lint-ignore\b[^-])", "a lint is silenced"),
        ("lint-silenced-file", r"^\s*(eslint-disable|oxlint-disable|tslint:disable|biome-ignore-all|deno-lint-ignore-file)(\s|$)", "lints are silenced for a whole file"),
        ("coverage-ignored", r"^\s*(istanbul|c8|v8)\s+ignore\b|^\s*node:coverage\s+(disable|ignore)", "code is hidden from the measurement of coverage"),
    ]
    .into_iter()
    .map(|(rule, pattern, message)| (rule, Regex::new(pattern).expect("a literal pattern"), message))
    .collect()
});

/// Whether a comment that silences lints says which: not all, and no group of them.
fn names_lints(comment: &str) -> bool {
    let mut words = comment.split("--").next().unwrap_or_default().split_whitespace();
    match words.next() {
        // `lint` is all of them, `lint/suspicious` a group.
        Some("biome-ignore-all") => words.next().is_some_and(|what| {
            let name = what.trim_end_matches(':');
            name.starts_with("lint/") && name.matches('/').count() == 2
        }),
        Some(_) => words.next().is_some(),
        None => false,
    }
}

struct Reader<'t> {
    text: &'t str,
    is_test: bool,
    found: Signs,
    /// Inside `declare …`, where `any` describes what is not ours.
    declared: bool,
}

impl<'t> Reader<'t> {
    fn source(&self, span: Span) -> &'t str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    fn sign(&mut self, rule: &'static str, at: u32, key: impl Into<String>, message: impl Into<String>) {
        let line = line_at(self.text, at as usize);
        self.found.signs.push(Sign { rule, key: key.into(), line, message: message.into(), guarded: None });
    }

    /// An error that is dropped. One that is answered as a success is another matter, whatever it is an error of.
    fn dropped(&mut self, at: u32, key: String, message: &'static str, guarded: impl IntoIterator<Item = Span>) {
        let texts = guarded.into_iter().map(|span| squeeze(self.source(span)));
        let texts = texts.map(|text| text.trim_end_matches(';').to_owned()).filter(|text| text.len() > 2).collect();
        self.sign("swallowed-error", at, key, message);
        if let Some(sign) = self.found.signs.last_mut().filter(|_| message != SUCCESS) {
            sign.guarded = Some(texts);
        }
    }

    fn comment(&mut self, span: Span) {
        let text = self.source(span);
        let inside = text.trim_start_matches(['/', '*', '!']).trim_end_matches("*/");
        for (rule, pattern, message) in SILENCERS.iter() {
            if pattern.is_match(inside) {
                // A line that is silenced for a rule is another line elsewhere: the line below belongs to it.
                let below = self.text[span.end as usize..].lines().nth(1).unwrap_or_default();
                self.sign(rule, span.start, format!("{}\n{}", squeeze(inside), squeeze(below)), *message);
                // Lints that are named are few; the others go on.
                if let Some(sign) =
                    self.found.signs.last_mut().filter(|sign| sign.rule == "lint-silenced-file" && names_lints(inside))
                {
                    sign.guarded = Some(Vec::new());
                }
                return;
            }
        }
    }

    /// A handler that drops an error: nothing in it, or an answer as if nothing had happened.
    fn swallows(&self, body: Span, statements: &[Statement<'_>]) -> Option<&'static str> {
        let text = self.source(body);
        match statements {
            [] if !text.contains("//") && !text.contains("/*") => Some("an error is caught and dropped"),
            [Statement::ReturnStatement(statement)] => {
                let argument = statement.argument.as_ref()?;
                let text = squeeze(self.source(argument.span()));
                (is_success(&text) || matches!(text.as_str(), "200" | "0")).then_some(SUCCESS)
            }
            _ => None,
        }
    }

    fn handler(&mut self, function: &Expression<'_>, at: Span, guarded: Span) {
        let message = match function.get_inner_expression() {
            Expression::ArrowFunctionExpression(arrow) => match arrow.body.as_expression() {
                Some(expression) => {
                    let text = squeeze(self.source(expression.span()));
                    match text.as_str() {
                        "undefined" | "null" | "void 0" | "{}" | "({})" | "[]" => {
                            Some("a rejection is answered as if nothing had happened")
                        }
                        text => is_success(text).then_some(SUCCESS),
                    }
                }
                None => arrow.body.as_function_body().and_then(|body| self.swallows(body.span, &body.statements)),
            },
            Expression::FunctionExpression(function) => {
                function.body.as_ref().and_then(|body| self.swallows(body.span, &body.statements))
            }
            Expression::Identifier(identifier) if matches!(identifier.name.as_str(), "noop" | "NOOP") => {
                Some("a rejection is dropped")
            }
            _ => None,
        };
        if let Some(message) = message.filter(|_| !self.is_test) {
            let key = squeeze(self.source(at));
            self.dropped(function.span().start, key, message, [guarded]);
        }
    }

    /// `process.env.NODE_ENV === 'test'`.
    fn detects(&mut self, span: Span) {
        if !self.is_test {
            let key = squeeze(self.source(span));
            self.sign("test-detection", span.start, key, "the code asks whether it is being tested");
        }
    }

    /// The literals that a test compares with, all of them with one value each.
    fn inputs(&self, test: &Expression<'_>, into: &mut Vec<String>, depth: u32) -> bool {
        match test.get_inner_expression() {
            Expression::LogicalExpression(logical) if depth < 6 && logical.operator == LogicalOperator::And => {
                self.inputs(&logical.left, into, depth + 1) && self.inputs(&logical.right, into, depth + 1)
            }
            Expression::BinaryExpression(binary)
                if matches!(binary.operator, BinaryOperator::StrictEquality | BinaryOperator::Equality) =>
            {
                let side = if binary.right.is_literal() { &binary.right } else { &binary.left };
                let text = squeeze(self.source(side.span()));
                let own = squeeze(self.source(binary.left.span()));
                // `typeof x === 'string'` and `x.length === 0` ask for a kind, not for a value.
                let is_kind = own.starts_with("typeof")
                    || own.ends_with(".length")
                    || own.ends_with(".type")
                    || own.ends_with(".kind");
                let says = is_telling(&text);
                into.push(text);
                side.is_literal() && !is_kind && says
            }
            _ => false,
        }
    }

    fn answer(&mut self, inputs: Vec<String>, output: &Expression<'_>) {
        let output = output.get_inner_expression();
        let text = squeeze(self.source(output.span()));
        let is_written = output.is_literal()
            || matches!(
                output,
                Expression::ArrayExpression(_) | Expression::ObjectExpression(_) | Expression::UnaryExpression(_)
            );
        if is_written
            && text.len() < 200
            && !matches!(text.as_str(), "null" | "undefined" | "[]" | "{}" | "''" | "\"\"")
        {
            let line = line_at(self.text, output.span().start as usize);
            self.found.keyed.push(Keyed { inputs, output: text, line });
        }
    }
}

/// Whether a literal is more than the usual ones that code branches on.
fn is_telling(literal: &str) -> bool {
    match literal.parse::<f64>() {
        Ok(number) => !matches!(number as i64, -1..=2) || number.fract() != 0.0,
        // A word of small letters is one of a kind that code branches on: `'start'`, `'until-found'`.
        Err(_) => {
            let bare = literal.trim_matches(['\'', '"', '`']);
            let is_word = bare.chars().all(|c| c.is_ascii_lowercase() || c == '-' || c == '_');
            literal.len() >= 4 && literal.starts_with(['\'', '"', '`']) && !is_word
        }
    }
}

impl<'a> Visit<'a> for Reader<'_> {
    fn visit_try_statement(&mut self, statement: &TryStatement<'a>) {
        if let Some(clause) = &statement.handler {
            // In a test an error that does not matter is dropped on purpose; one that does is an assertion that is dead.
            let message = self.swallows(clause.body.span, &clause.body.body).filter(|_| !self.is_test);
            if let Some(message) = message {
                let around = self.text[..clause.span.start as usize].rsplit("try").next().unwrap_or_default();
                let key: String = squeeze(around).chars().take(200).collect();
                let guarded = statement.block.body.iter().map(GetSpan::span);
                self.dropped(clause.span.start, key, message, guarded);
            }
        }
        walk::walk_try_statement(self, statement);
    }

    fn visit_call_expression(&mut self, call: &CallExpression<'a>) {
        if let Expression::StaticMemberExpression(member) = call.callee.get_inner_expression()
            && member.property.name == "catch"
            && let [argument] = call.arguments.as_slice()
            && let Some(function) = argument.as_expression()
        {
            self.handler(function, call.span, member.object.span());
        }
        walk::walk_call_expression(self, call);
    }

    fn visit_ts_any_keyword(&mut self, keyword: &TSAnyKeyword) {
        if !self.is_test && !self.declared {
            let line = self.text[..keyword.span.start as usize].rfind('\n').map_or(0, |at| at + 1);
            let end = self.text[line..].find('\n').map_or(self.text.len(), |at| line + at);
            let key = squeeze(&self.text[line..end]);
            self.sign("type-any", keyword.span.start, key, "`any` turns the checks of types off");
        }
    }

    fn visit_ts_external_module_declaration(&mut self, declaration: &TSExternalModuleDeclaration<'a>) {
        let outer = std::mem::replace(&mut self.declared, true);
        walk::walk_ts_external_module_declaration(self, declaration);
        self.declared = outer;
    }

    fn visit_ts_global_declaration(&mut self, declaration: &TSGlobalDeclaration<'a>) {
        let outer = std::mem::replace(&mut self.declared, true);
        walk::walk_ts_global_declaration(self, declaration);
        self.declared = outer;
    }

    fn visit_binary_expression(&mut self, binary: &BinaryExpression<'a>) {
        let text = self.source(binary.span);
        let asks = text.len() < 120
            && (text.contains("NODE_ENV") && (text.contains("'test'") || text.contains("\"test\""))
                || text.contains("typeof jest")
                || text.contains("typeof vi ")
                || text.contains("__vitest_worker__"));
        if asks && binary.operator.is_equality() && !text.contains("!=") {
            self.detects(binary.span);
        }
        walk::walk_binary_expression(self, binary);
    }

    fn visit_static_member_expression(&mut self, member: &StaticMemberExpression<'a>) {
        if matches!(member.property.name.as_str(), "VITEST" | "JEST_WORKER_ID" | "VITEST_WORKER_ID" | "VITEST_POOL_ID")
        {
            self.detects(member.span);
        }
        walk::walk_static_member_expression(self, member);
    }

    fn visit_if_statement(&mut self, statement: &IfStatement<'a>) {
        let answer = match &statement.consequent {
            Statement::ReturnStatement(statement) => statement.argument.as_ref(),
            Statement::BlockStatement(block) => match block.body.as_slice() {
                [Statement::ReturnStatement(statement)] => statement.argument.as_ref(),
                _ => None,
            },
            _ => None,
        };
        let mut inputs = Vec::new();
        if let Some(answer) = answer
            && self.inputs(&statement.test, &mut inputs, 0)
        {
            self.answer(inputs, answer);
        }
        walk::walk_if_statement(self, statement);
    }

    fn visit_conditional_expression(&mut self, conditional: &ConditionalExpression<'a>) {
        let mut inputs = Vec::new();
        if self.inputs(&conditional.test, &mut inputs, 0) {
            self.answer(inputs, &conditional.consequent);
        }
        walk::walk_conditional_expression(self, conditional);
    }

    fn visit_switch_case(&mut self, case: &SwitchCase<'a>) {
        if let (Some(test), [Statement::ReturnStatement(statement)]) = (&case.test, case.consequent.as_slice())
            && let Some(answer) = &statement.argument
            && test.is_literal()
        {
            let input = squeeze(self.source(test.span()));
            if is_telling(&input) {
                self.answer(vec![input], answer);
            }
        }
        walk::walk_switch_case(self, case);
    }
}
