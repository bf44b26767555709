//! What a file of tests holds: its tests, what each asserts, what it replaces.

use super::squeeze;
use crate::gate::reading::Both;
use crate::patch::FilePatch;
use oxc_ast::ast::*;
use oxc_ast_visit::{Visit, walk};
use oxc_span::{GetSpan, Span};
use std::collections::BTreeSet;

/// How a test is marked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::gate) enum Mode {
    #[default]
    Runs,
    Only,
    /// Skipped, to be done, or expected to fail.
    Skipped,
}

#[derive(Clone, Debug, Default)]
pub(in crate::gate) struct Assertion {
    /// What is asserted about.
    pub subject: String,
    /// `not.toBe`, `strictEqual`, ….
    pub matcher: String,
    pub args: String,
    /// Whether the arguments are written out, not computed.
    pub is_literal: bool,
    pub line: u32,
    /// Why it cannot fail.
    pub dead: Option<&'static str>,
}

#[derive(Clone, Debug, Default)]
pub(in crate::gate) struct Test {
    /// With the names of the groups around it.
    pub title: String,
    pub line: u32,
    pub mode: Mode,
    /// Rows of its table of cases, where they are written out.
    pub rows: Option<usize>,
    pub assertions: Vec<Assertion>,
    /// White space squeezed.
    pub body: String,
    /// The body without its assertions.
    pub rest: String,
    pub is_group: bool,
}

impl Test {
    /// The assertions that can fail and say something.
    pub fn live(&self) -> impl Iterator<Item = &Assertion> {
        self.assertions.iter().filter(|assertion| assertion.dead.is_none() && !assertion.says_nothing())
    }
}

impl Assertion {
    /// Whether it holds whatever the code does.
    pub fn says_nothing(&self) -> bool {
        let is_constant = |text: &str| {
            matches!(text, "true" | "false" | "1" | "0" | "null" | "undefined" | "''" | "\"\"" | "[]" | "{}")
                || text.parse::<f64>().is_ok()
                || text.len() > 1 && text.starts_with(['\'', '"']) && text.ends_with(['\'', '"'])
        };
        match self.matcher.as_str() {
            "assert" | "assert.ok" | "ok" | "t.ok" | "t.truthy" | "t.true" | "assert.isTrue" => {
                is_constant(self.subject.split(',').next().unwrap_or_default().trim())
            }
            "expect.assertions" | "expect.hasAssertions" => false,
            matcher => {
                let own = matcher.starts_with("assert") && !matcher.starts_with("assert.") && matcher != "assertEquals";
                !own && is_usual(matcher)
                    && !self.subject.is_empty()
                    && (is_constant(&self.subject) || self.subject == self.args && !self.subject.contains('('))
            }
        }
    }
}

/// Matchers whose meaning is known; a project's own may look at anything.
fn is_usual(matcher: &str) -> bool {
    let name = matcher.rsplit('.').next().unwrap_or(matcher);
    matches!(
        name,
        "toBe"
            | "toEqual"
            | "toStrictEqual"
            | "toBeTruthy"
            | "toBeFalsy"
            | "toBeDefined"
            | "toBeUndefined"
            | "toBeNull"
            | "toBeGreaterThan"
            | "toBeLessThan"
            | "toMatch"
            | "toContain"
            | "equal"
            | "equals"
            | "eql"
            | "eq"
            | "strictEqual"
            | "deepEqual"
            | "deepStrictEqual"
            | "is"
            | "true"
            | "false"
            | "ok"
            | "same"
            | "assertEquals"
    )
}

#[derive(Clone, Debug, Default)]
pub(in crate::gate) struct Suite {
    pub tests: Vec<Test>,
    /// Modules that are replaced: as written, whether in part only, and where.
    pub mocks: Vec<(String, bool, u32)>,
}

/// Both sides of a file that holds tests on one of them.
pub(super) struct Pair<'f> {
    pub file: &'f FilePatch,
    pub before: &'f Suite,
    pub after: &'f Suite,
}

/// Whether a text has a word that tests begin with.
pub(in crate::gate) fn may_hold_tests(text: &str) -> bool {
    ["it(", "test(", "it.", "test.", "describe", "suite", "specify(", "xit(", "fit("]
        .iter()
        .any(|word| text.contains(word))
}

pub(super) fn pair<'f>(both: &'f Both<'_>) -> Option<Pair<'f>> {
    if !may_hold_tests(&both.before.text) && !may_hold_tests(&both.after.text) {
        return None;
    }
    let (before, after) = (&both.code_before().suite, &both.code_after().suite);
    (!before.tests.is_empty() || !after.tests.is_empty()).then_some(Pair { file: both.file, before, after })
}

/// The tests of a program.
pub(in crate::gate) fn read(program: &Program<'_>, text: &str) -> Suite {
    let mut reader = Reader::new(text);
    reader.visit_program(program);
    reader.suite
}

struct Reader<'t> {
    text: &'t str,
    suite: Suite,
    /// The names of the groups around.
    groups: Vec<(String, Mode)>,
    /// The test around, by its place.
    test: Option<usize>,
    /// Where awaited and returned expressions begin.
    awaited: BTreeSet<u32>,
    /// Where `expect` calls begin that are counted.
    counted: BTreeSet<u32>,
    /// Why nothing around can fail, the innermost last.
    dead: Vec<&'static str>,
    /// Where the lines of the text begin.
    lines: Vec<u32>,
    /// The assertions of the test around.
    asserted: Vec<Span>,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str) -> Self {
        let starts = memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at as u32 + 1);
        Self {
            text,
            suite: Suite::default(),
            groups: Vec::new(),
            test: None,
            awaited: BTreeSet::new(),
            counted: BTreeSet::new(),
            dead: Vec::new(),
            lines: std::iter::once(0).chain(starts).collect(),
            asserted: Vec::new(),
        }
    }

    fn source(&self, span: Span) -> &'t str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    fn line(&self, at: u32) -> u32 {
        self.lines.partition_point(|start| *start <= at) as u32
    }

    /// Takes a call for what it is; whether its parts are walked already.
    fn call(&mut self, call: &CallExpression<'_>) -> bool {
        let names = names(&call.callee);
        let Some(kind) = kind(&names) else {
            self.replaces(&names, call);
            return false;
        };
        // `test.each(table)(title, body)`: the inner call is the callee.
        let Some(title) = call.arguments.first().and_then(Argument::as_expression) else { return false };
        let body =
            call.arguments.iter().rev().filter_map(Argument::as_expression).find(|argument| argument.is_function());
        let is_table = matches!(names.last(), Some(name) if name == "each" || name == "for")
            && matches!(call.callee.get_inner_expression(), Expression::StaticMemberExpression(_));
        if is_table || (body.is_none() && !kind.is_marked_only) {
            return false;
        }
        let title = squeeze(self.source(title.span()).trim_matches(['\'', '"', '`']));
        let path =
            self.groups.iter().map(|(name, _)| name.as_str()).chain([title.as_str()]).collect::<Vec<_>>().join(" > ");
        let around = self.groups.iter().map(|(_, mode)| *mode).find(|mode| *mode == Mode::Skipped);
        let mode = if kind.mode == Mode::Runs { around.unwrap_or_default() } else { kind.mode };
        let test = Test {
            title: path,
            line: self.line(call.span.start),
            mode,
            rows: rows(&call.callee),
            assertions: Vec::new(),
            body: if kind.is_group {
                String::new()
            } else {
                uncommented(body.map_or("", |body| self.source(body.span())))
            },
            rest: String::new(),
            is_group: kind.is_group,
        };
        self.suite.tests.push(test);
        let Some(body) = body else { return true };
        if kind.is_group {
            self.groups.push((title, kind.mode));
            self.visit_expression(body);
            self.groups.pop();
        } else {
            let at = self.suite.tests.len() - 1;
            let outer = (self.test.replace(at), std::mem::take(&mut self.asserted));
            self.body(body);
            self.suite.tests[at].rest = self.rest(body.span());
            (self.test, self.asserted) = outer;
        }
        true
    }

    /// A test's body: what is behind a `return` at its top is never reached.
    fn body(&mut self, body: &Expression<'_>) {
        let statements = match body.get_inner_expression() {
            Expression::FunctionExpression(function) => function.body.as_ref().map(|body| &body.statements),
            Expression::ArrowFunctionExpression(arrow) => match arrow.body.as_expression() {
                Some(expression) => {
                    self.awaited.insert(expression.span().start);
                    self.visit_expression(expression);
                    return;
                }
                None => arrow.body.as_function_body().map(|body| &body.statements),
            },
            _ => None,
        };
        let mut is_over = false;
        for statement in statements.into_iter().flatten() {
            self.visit_statement(statement);
            if let Statement::ReturnStatement(statement) = statement
                && statement.argument.is_none()
                && !is_over
            {
                is_over = true;
                self.dead.push("not reached");
            }
        }
        if is_over {
            self.dead.pop();
        }
    }

    /// `vi.mock('./unit')`.
    fn replaces(&mut self, names: &[String], call: &CallExpression<'_>) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let is_mock = matches!(
            names.as_slice(),
            ["vi" | "jest", "mock" | "doMock" | "unstable_mockModule" | "setMock"]
                | ["mock", "module"]
                | ["td", "replace"]
        );
        let Some(Expression::StringLiteral(module)) = call.arguments.first().and_then(Argument::as_expression) else {
            return;
        };
        if is_mock {
            let text = self.source(call.span);
            let in_part = ["importOriginal", "importActual", "requireActual"].iter().any(|word| text.contains(word));
            self.suite.mocks.push((module.value.to_string(), in_part, self.line(call.span.start)));
        }
    }

    /// A body without its assertions, and without what stands around them.
    fn rest(&self, body: Span) -> String {
        let (mut rest, mut at) = (String::new(), body.start);
        for span in self.asserted.iter().filter(|span| body.start <= span.start && span.end <= body.end) {
            if at <= span.start {
                rest.push_str(self.source(Span::new(at, span.start)));
                at = span.end;
            }
        }
        rest.push_str(self.source(Span::new(at, body.end)));
        uncommented(&rest)
            .split_whitespace()
            .filter(|word| !matches!(*word, ";" | "await"))
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Counts an assertion that an expression is; the outermost comes first.
    fn assertion(&mut self, expression: &Expression<'_>) {
        let Some(test) = self.test else { return };
        let Some(mut found) = asserted(expression, self.text) else { return };
        if !self.counted.insert(found.root) {
            return;
        }
        self.asserted.push(expression.span());
        let is_async = found.names.iter().any(|name| matches!(name.as_str(), "resolves" | "rejects"))
            || matches!(found.names.first().map(String::as_str), Some("assert.rejects" | "assert.doesNotReject"));
        let mut dead = self.dead.last().copied();
        if is_async && !self.awaited.contains(&found.root) && !self.in_promise(found.root) {
            dead = dead.or(Some("not awaited"));
        }
        let matcher = found.names.join(".");
        let assertion = Assertion {
            subject: std::mem::take(&mut found.subject),
            matcher,
            args: found.args,
            is_literal: found.is_literal,
            line: self.line(found.root),
            dead,
        };
        self.suite.tests[test].assertions.push(assertion);
    }

    /// Whether what begins here is handed on: in a list, an argument or a variable.
    fn in_promise(&self, start: u32) -> bool {
        let before = self.text[..start as usize].trim_end();
        before.ends_with(['(', '[', ',', '=', '>', '?', ':']) || before.ends_with("return") || before.ends_with("await")
    }
}

impl<'a> Visit<'a> for Reader<'_> {
    fn visit_expression(&mut self, expression: &Expression<'a>) {
        match expression {
            Expression::CallExpression(call) => {
                if self.call(call) {
                    return;
                }
                self.assertion(expression);
            }
            Expression::StaticMemberExpression(_) => self.assertion(expression),
            Expression::AwaitExpression(wait) => _ = self.awaited.insert(wait.argument.span().start),
            _ => {}
        }
        walk::walk_expression(self, expression);
    }

    fn visit_return_statement(&mut self, statement: &ReturnStatement<'a>) {
        if let Some(argument) = &statement.argument {
            self.awaited.insert(argument.span().start);
        }
        walk::walk_return_statement(self, statement);
    }

    fn visit_arrow_function_expression(&mut self, arrow: &ArrowFunctionExpression<'a>) {
        if let Some(expression) = arrow.body.as_expression() {
            self.awaited.insert(expression.span().start);
        }
        walk::walk_arrow_function_expression(self, arrow);
    }

    fn visit_try_statement(&mut self, statement: &TryStatement<'a>) {
        let catches = statement.handler.as_ref().is_some_and(|handler| {
            let text = self.source(handler.body.span);
            !["throw", "expect", "assert", "fail", "reject", "done(", "t."].iter().any(|word| text.contains(word))
        });
        if catches {
            self.dead.push("caught");
        }
        self.visit_block_statement(&statement.block);
        if catches {
            self.dead.pop();
        }
        if let Some(handler) = &statement.handler {
            self.visit_catch_clause(handler);
        }
        if let Some(finalizer) = &statement.finalizer {
            self.visit_block_statement(finalizer);
        }
    }

    fn visit_if_statement(&mut self, statement: &IfStatement<'a>) {
        let test = self.source(statement.test.span());
        let never = matches!(test, "false" | "0" | "!1" | "null" | "undefined");
        if never {
            self.dead.push("not reached");
        }
        self.visit_statement(&statement.consequent);
        if never {
            self.dead.pop();
        }
        if let Some(alternate) = &statement.alternate {
            self.visit_statement(alternate);
        }
    }
}

/// The names of a callee, `it.skip.each(…)` as `it`, `skip`, `each`.
fn names(callee: &Expression<'_>) -> Vec<String> {
    let (mut names, mut at) = (Vec::new(), callee.get_inner_expression());
    for _ in 0..6 {
        at = match at {
            Expression::Identifier(identifier) => {
                names.push(identifier.name.to_string());
                names.reverse();
                return names;
            }
            Expression::StaticMemberExpression(member) => {
                names.push(member.property.name.to_string());
                member.object.get_inner_expression()
            }
            Expression::CallExpression(call) => call.callee.get_inner_expression(),
            Expression::TaggedTemplateExpression(tagged) => tagged.tag.get_inner_expression(),
            _ => return Vec::new(),
        };
    }
    Vec::new()
}

/// A text without its lines of comments, white space squeezed.
fn uncommented(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    squeeze(&lines.join("\n"))
}

struct Kind {
    is_group: bool,
    mode: Mode,
    /// It needs no body: `it.todo('later')`.
    is_marked_only: bool,
}

fn kind(names: &[String]) -> Option<Kind> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (first, rest) = match names.as_slice() {
        ["t" | "Deno", "test", rest @ ..] => ("test", rest),
        [first, rest @ ..] => (*first, rest),
        [] => return None,
    };
    let (is_group, mut mode) = match first {
        "describe" | "context" | "suite" => (true, Mode::Runs),
        "it" | "test" | "specify" => (false, Mode::Runs),
        "xdescribe" | "xcontext" => (true, Mode::Skipped),
        "xit" | "xtest" | "xspecify" => (false, Mode::Skipped),
        "fdescribe" => (true, Mode::Only),
        "fit" | "ftest" => (false, Mode::Only),
        _ => return None,
    };
    let mut is_group = is_group;
    for name in rest {
        match *name {
            "skip" | "todo" | "failing" | "fails" | "fixme" | "fail" => mode = Mode::Skipped,
            "only" => mode = Mode::Only,
            "describe" => is_group = true,
            "each" | "for" | "concurrent" | "sequential" | "serial" | "parallel" | "skipIf" | "runIf" | "extend"
            | "shuffle" => {}
            // `test.describe.configure`, `test.beforeEach`, `test.use`, ….
            _ => return None,
        }
    }
    Some(Kind { is_group, mode, is_marked_only: mode == Mode::Skipped })
}

/// The rows of `test.each([…])`.
fn rows(callee: &Expression<'_>) -> Option<usize> {
    match callee.get_inner_expression() {
        Expression::CallExpression(call) => match call.arguments.first()?.as_expression()?.get_inner_expression() {
            Expression::ArrayExpression(array) => Some(array.elements.len()),
            _ => None,
        },
        Expression::TaggedTemplateExpression(tagged) => {
            tagged.quasi.quasis.first().map(|_| tagged.quasi.expressions.len())
        }
        _ => None,
    }
}

struct Asserted {
    /// Where it begins.
    root: u32,
    subject: String,
    names: Vec<String>,
    args: String,
    is_literal: bool,
}

/// `expect(subject).not.toBe(args)`, `assert.equal(subject, args)`, `expect(subject).to.be.true`.
fn asserted(expression: &Expression<'_>, text: &str) -> Option<Asserted> {
    let source = |span: Span| squeeze(text.get(span.start as usize..span.end as usize).unwrap_or_default());
    let all = |arguments: &[Argument<'_>]| {
        arguments.iter().map(|argument| source(argument.span())).collect::<Vec<_>>().join(", ")
    };
    let literal = |arguments: &[Argument<'_>]| {
        arguments
            .iter()
            .all(|argument| argument.as_expression().is_some_and(|expression| is_written_out(expression, 0)))
    };
    let (mut names, mut args, mut is_literal) = (Vec::new(), None, false);
    let mut at = expression.get_inner_expression();
    for _ in 0..12 {
        at = match at {
            Expression::StaticMemberExpression(member) => {
                names.push(member.property.name.to_string());
                member.object.get_inner_expression()
            }
            Expression::CallExpression(call) => match call.callee.get_inner_expression() {
                Expression::Identifier(identifier) if matches!(identifier.name.as_str(), "expect" | "expectTypeOf") => {
                    if names.is_empty() {
                        return None;
                    }
                    names.reverse();
                    names.retain(|name| {
                        !matches!(name.as_str(), "to" | "be" | "have" | "been" | "is" | "that" | "and" | "has" | "with")
                    });
                    let (root, subject) = (call.span.start, all(&call.arguments));
                    return Some(Asserted { root, subject, names, args: args.unwrap_or_default(), is_literal });
                }
                Expression::Identifier(identifier) => {
                    let name = identifier.name.as_str();
                    if !names.is_empty()
                        || !(name.starts_with("assert")
                            || name == "ok"
                            || name == "strictEqual"
                            || name == "deepEqual"
                            || name == "deepStrictEqual")
                    {
                        return None;
                    }
                    return Some(of_assert(
                        name.to_owned(),
                        call,
                        &source,
                        literal(call.arguments.get(1..).unwrap_or_default()),
                    ));
                }
                Expression::StaticMemberExpression(member) => {
                    if let Expression::Identifier(object) = member.object.get_inner_expression() {
                        let (object, name) = (object.name.as_str(), member.property.name.as_str());
                        if object == "expect" && matches!(name, "assertions" | "hasAssertions") {
                            let names = vec![format!("expect.{name}")];
                            let args = all(&call.arguments);
                            return Some(Asserted {
                                root: call.span.start,
                                subject: String::new(),
                                names,
                                args,
                                is_literal: true,
                            });
                        }
                        if object == "expect" && matches!(name, "soft" | "poll") && !names.is_empty() {
                            names.reverse();
                            let (root, subject) = (call.span.start, all(&call.arguments));
                            return Some(Asserted { root, subject, names, args: args.unwrap_or_default(), is_literal });
                        }
                        if names.is_empty() && (object == "assert" || object == "t" && is_tap(name)) {
                            let rest = literal(call.arguments.get(1..).unwrap_or_default());
                            return Some(of_assert(format!("{object}.{name}"), call, &source, rest));
                        }
                    }
                    if args.is_none() {
                        args = Some(all(&call.arguments));
                        is_literal = !call.arguments.is_empty() && literal(&call.arguments);
                    }
                    call.callee.get_inner_expression()
                }
                _ => return None,
            },
            _ => return None,
        };
    }
    None
}

fn is_tap(name: &str) -> bool {
    matches!(
        name,
        "is" | "not"
            | "deepEqual"
            | "equal"
            | "same"
            | "strictSame"
            | "match"
            | "ok"
            | "notOk"
            | "throws"
            | "rejects"
            | "true"
            | "false"
            | "truthy"
            | "falsy"
            | "pass"
            | "fail"
            | "regex"
            | "like"
            | "snapshot"
            | "notThrows"
            | "strictEqual"
            | "assert"
            | "error"
            | "has"
    )
}

fn of_assert(name: String, call: &CallExpression<'_>, source: &dyn Fn(Span) -> String, is_literal: bool) -> Asserted {
    let mut spans = call.arguments.iter().map(|argument| source(argument.span()));
    let subject = spans.next().unwrap_or_default();
    // A message is no part of what is asserted.
    let args = spans.next().unwrap_or_default();
    Asserted { root: call.span.start, subject, names: vec![name], args, is_literal }
}

fn is_written_out(expression: &Expression<'_>, depth: u32) -> bool {
    let expression = expression.get_inner_expression();
    depth < 6
        && (expression.is_literal()
            || expression.is_undefined()
            || matches!(expression, Expression::TemplateLiteral(template) if template.expressions.is_empty())
            || matches!(expression, Expression::UnaryExpression(unary) if is_written_out(&unary.argument, depth + 1))
            || matches!(expression, Expression::ArrayExpression(array) if array.elements.iter().all(|element| {
                element.as_expression().is_some_and(|element| is_written_out(element, depth + 1))
            }))
            || matches!(expression, Expression::ObjectExpression(object) if object.properties.iter().all(|property| {
                property.as_property().is_some_and(|property| is_written_out(&property.value, depth + 1))
            })))
}
