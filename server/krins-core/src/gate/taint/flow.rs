//! The walk: every function of a file once, statement by statement, with what is known of each name instead of its
//! value. Both arms of a branch are walked and joined; a test that is passed makes what it tested harmless.

use super::super::sast::rules::{TOO_DEEP, TOO_MUCH};
use super::super::sast::{Hit, Search};
use super::ways::{Bits, MARKUP, Only, RULES, TEXT, WAYS, WHOLE};
use oxc_ast::AstKind;
use oxc_ast::ast::*;
use oxc_ast_visit::Visit;
use oxc_semantic::Scoping;
use oxc_span::{GetSpan, Span};
use oxc_syntax::operator::{BinaryOperator, LogicalOperator, UnaryOperator};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Expressions that are looked at before the walk of a file gives up, and what is known of names that is carried along.
const MOST_STEPS: u32 = 400_000;
/// Names that are carried along to a branch, or joined behind it, for the price of an expression.
const CARRIED: usize = 256;
const JOINED: usize = 32;
/// Expressions inside expressions.
const DEEPEST: u32 = 120;
/// Functions inside functions, and calls that are followed.
const DEEPEST_FUNCTION: usize = 40;
/// Calls inside calls that are followed.
const DEEPEST_CALL: usize = 4;
/// Names behind dots that an expression is written with.
const LONGEST_CHAIN: u32 = 8;

/// For which rules a value is dangerous, and where it came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Taint {
    bits: Bits,
    /// Where in the text its source is.
    at: u32,
}

impl Taint {
    fn is_clean(self) -> bool {
        self.bits & RULES == 0
    }

    fn join(self, other: Self) -> Self {
        let at = if self.is_clean() { other.at } else { self.at };
        Self { bits: self.bits | other.bits, at }
    }

    fn without(self, bits: Bits) -> Self {
        Self { bits: self.bits & !bits, at: self.at }
    }
}

/// What is known of a value: as a whole, and of the parts of an object that is written out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Value {
    whole: Taint,
    parts: BTreeMap<String, Taint>,
}

impl Value {
    fn of(whole: Taint) -> Self {
        Self { whole, parts: BTreeMap::new() }
    }

    fn part(&self, name: &str) -> Taint {
        self.parts.get(name).copied().unwrap_or(self.whole).without(WHOLE)
    }

    fn join(mut self, other: &Self) -> Self {
        for (name, taint) in &other.parts {
            let known = self.parts.get(name).copied().unwrap_or(self.whole);
            self.parts.insert(name.clone(), known.join(*taint));
        }
        self.whole = self.whole.join(other.whole);
        self
    }
}

/// What is known at a point of the walk. Branches share it until one of them learns something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    values: Rc<BTreeMap<usize, Value>>,
    /// Names that stand for an expression: `const { query } = req`.
    alias: Rc<BTreeMap<usize, Rc<str>>>,
    /// Expressions, as they are written, that a test made harmless.
    tested: Rc<BTreeMap<String, Bits>>,
}

impl Known {
    fn len(&self) -> usize {
        self.values.len() + self.alias.len() + self.tested.len()
    }

    fn join(&mut self, other: Self) {
        if !Rc::ptr_eq(&self.values, &other.values) {
            for (symbol, value) in other.values.iter() {
                let joined = self.values.get(symbol).cloned().unwrap_or_default().join(value);
                if self.values.get(symbol) != Some(&joined) {
                    Rc::make_mut(&mut self.values).insert(*symbol, joined);
                }
            }
        }
        if !Rc::ptr_eq(&self.alias, &other.alias) {
            for (symbol, chain) in other.alias.iter() {
                if self.alias.get(symbol) != Some(chain) {
                    Rc::make_mut(&mut self.alias).insert(*symbol, Rc::clone(chain));
                }
            }
        }
        if !Rc::ptr_eq(&self.tested, &other.tested) {
            let both = |(text, bits): (&String, &Bits)| Some((text.clone(), bits & other.tested.get(text)?));
            self.tested = Rc::new(self.tested.iter().filter_map(both).collect());
        }
    }

    fn set(&mut self, symbol: usize, value: Value) {
        if value != Value::default() {
            Rc::make_mut(&mut self.values).insert(symbol, value);
        } else if self.values.contains_key(&symbol) {
            Rc::make_mut(&mut self.values).remove(&symbol);
        }
    }

    fn stands_for(&mut self, symbol: usize, chain: Option<&str>) {
        match chain {
            Some(chain) => _ = Rc::make_mut(&mut self.alias).insert(symbol, chain.into()),
            None if self.alias.contains_key(&symbol) => _ = Rc::make_mut(&mut self.alias).remove(&symbol),
            None => {}
        }
    }

    /// How much a test made an expression harmless, as it is written.
    fn tested(&self, text: &str) -> Bits {
        self.tested.get(text).copied().unwrap_or_default()
    }
}

#[derive(Clone, Copy)]
enum Callable<'a> {
    Function(&'a Function<'a>),
    Arrow(&'a ArrowFunctionExpression<'a>),
}

impl<'a> Callable<'a> {
    fn of(expression: &'a Expression<'a>) -> Option<Self> {
        match expression.get_inner_expression() {
            Expression::ArrowFunctionExpression(arrow) => Some(Self::Arrow(arrow)),
            Expression::FunctionExpression(function) => Some(Self::Function(function)),
            _ => None,
        }
    }

    fn params(&self) -> &'a FormalParameters<'a> {
        match self {
            Self::Function(function) => &function.params,
            Self::Arrow(arrow) => &arrow.params,
        }
    }

    fn span(&self) -> Span {
        match self {
            Self::Function(function) => function.span,
            Self::Arrow(arrow) => arrow.span,
        }
    }
}

/// What the one who calls a function gives it.
#[derive(Default)]
struct Given {
    values: Vec<Value>,
    /// What a parameter stands for, by its place.
    alias: Vec<(usize, &'static str)>,
}

/// A flow that ends badly.
struct End {
    rule: usize,
    span: Span,
    source: u32,
    symbol: String,
}

pub(super) struct Flow<'a, 't> {
    text: &'t str,
    scoping: &'t Scoping,
    functions: BTreeMap<usize, Callable<'a>>,
    /// Of classes, where there is one of the name.
    methods: BTreeMap<String, Option<Callable<'a>>>,
    ends: Vec<End>,
    seen: BTreeSet<(usize, u32)>,
    /// The names around the current place.
    names: Vec<String>,
    /// What the functions that are walked give back.
    returns: Vec<Value>,
    /// The calls that are being followed.
    followed: Vec<u32>,
    /// What a function gives back for what it is given.
    results: BTreeMap<(u32, Vec<Taint>), Value>,
    steps: Cell<u32>,
    depth: u32,
    /// Why something was not followed.
    left_out: Option<&'static str>,
}

impl<'a, 't> Flow<'a, 't> {
    pub fn new(text: &'t str, scoping: &'t Scoping) -> Self {
        Self {
            text,
            scoping,
            functions: BTreeMap::new(),
            methods: BTreeMap::new(),
            ends: Vec::new(),
            seen: BTreeSet::new(),
            names: Vec::new(),
            returns: Vec::new(),
            followed: Vec::new(),
            results: BTreeMap::new(),
            steps: Cell::new(0),
            depth: 0,
            left_out: None,
        }
    }

    pub fn of(mut self, program: &'a Program<'a>) -> Search {
        let mut declared = Declared { functions: BTreeMap::new(), methods: BTreeMap::new() };
        declared.visit_program(program);
        self.functions = declared.functions;
        self.methods = declared.methods;
        let mut known = Known::default();
        self.statements(&program.body, &mut known);
        let mut hits: Vec<Hit> = self.ends.iter().map(|end| self.hit(end)).collect();
        hits.sort_by_key(|hit| (hit.range.start, hit.range.end));
        Search { hits, left_out: self.left_out }
    }

    /// What is known, for a branch.
    fn fork(&self, known: &Known) -> Known {
        self.steps.set(self.steps.get().saturating_add((known.len() / CARRIED) as u32));
        known.clone()
    }

    /// What is known behind a branch.
    fn join(&self, known: &mut Known, other: Known) {
        self.steps.set(self.steps.get().saturating_add((other.len() / JOINED) as u32));
        known.join(other);
    }

    /// Whether the walk of the file has taken all the steps it may.
    fn is_tired(&mut self) -> bool {
        let tired = self.steps.get() > MOST_STEPS;
        if tired {
            self.left_out.get_or_insert(TOO_MUCH);
        }
        tired
    }

    /// Whether the walk goes no deeper here.
    fn is_too_deep(&mut self, deepest: bool) -> bool {
        if deepest {
            self.left_out.get_or_insert(TOO_DEEP);
        }
        deepest
    }

    fn hit(&self, end: &End) -> Hit {
        let range = end.span.start as usize..end.span.end as usize;
        let mut hit = Hit::new(&WAYS.rules[end.rule].about, self.text, range, end.symbol.clone());
        let source = self.text.get(end.source as usize..).unwrap_or_default();
        let shown: String = source.chars().take_while(|c| c.is_alphanumeric() || "._$".contains(*c)).take(40).collect();
        let line = self.text[..end.source as usize].matches('\n').count() + 1;
        if !shown.is_empty() {
            hit.detail = Some(format!("`{shown}` of line {line} arrives here"));
        }
        hit
    }

    fn ends(&mut self, rule: usize, span: Span, taint: Taint) {
        if self.seen.insert((rule, span.start)) {
            self.ends.push(End { rule, span, source: taint.at, symbol: self.names.join(".") });
        }
    }

    fn source(&self, span: Span) -> &'t str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    fn symbol_of(&self, identifier: &IdentifierReference<'a>) -> Option<usize> {
        let reference = identifier.reference_id.get()?;
        self.scoping.get_reference(reference).symbol_id().map(|symbol| symbol.index())
    }

    // Statements.

    /// Whether the statements end what they are in: nothing behind them is reached.
    fn statements(&mut self, statements: &'a [Statement<'a>], known: &mut Known) -> bool {
        let mut ended = false;
        for statement in statements {
            if !ended {
                ended = self.statement(statement, known);
            }
        }
        // Functions are there wherever they are called from.
        for statement in statements {
            if let Some(function) = declared_function(statement) {
                self.named(function.id.as_ref().map(|id| id.name.as_str()), |flow| {
                    flow.run(Callable::Function(function), Given::default(), &mut flow.fork(known));
                });
            }
        }
        ended
    }

    fn statement(&mut self, statement: &'a Statement<'a>, known: &mut Known) -> bool {
        match statement {
            Statement::BlockStatement(block) => return self.statements(&block.body, known),
            Statement::BreakStatement(_) | Statement::ContinueStatement(_) => return true,
            Statement::ExpressionStatement(statement) => {
                self.eval(&statement.expression, known);
                return self.asserts(&statement.expression, known);
            }
            Statement::IfStatement(statement) => return self.branch(statement, known),
            Statement::ReturnStatement(statement) => {
                if let Some(argument) = &statement.argument {
                    let value = self.eval(argument, known);
                    if let Some(returned) = self.returns.last_mut() {
                        *returned = std::mem::take(returned).join(&value);
                    }
                }
                return true;
            }
            Statement::ThrowStatement(statement) => {
                self.eval(&statement.argument, known);
                return true;
            }
            Statement::SwitchStatement(statement) => self.switch(statement, known),
            Statement::TryStatement(statement) => {
                let ended = self.statements(&statement.block.body, known);
                let mut ended_in_handler = false;
                if let Some(handler) = &statement.handler {
                    let mut caught = self.fork(known);
                    ended_in_handler = self.statements(&handler.body.body, &mut caught);
                    self.join(known, caught);
                }
                if let Some(finalizer) = &statement.finalizer {
                    self.statements(&finalizer.body, known);
                }
                return ended && (ended_in_handler || statement.handler.is_none());
            }
            Statement::ForStatement(statement) => {
                match &statement.init {
                    Some(ForStatementInit::VariableDeclaration(declaration)) => self.declare(declaration, known),
                    Some(init) => {
                        if let Some(init) = init.as_expression() {
                            self.eval(init, known);
                        }
                    }
                    None => {}
                }
                self.looped(known, |flow, known| {
                    if let Some(test) = &statement.test {
                        flow.eval(test, known);
                    }
                    flow.statement(&statement.body, known);
                    if let Some(update) = &statement.update {
                        flow.eval(update, known);
                    }
                });
            }
            Statement::ForInStatement(statement) => {
                let value = Value::of(self.eval(&statement.right, known).whole.without(WHOLE));
                self.looped(known, |flow, known| {
                    flow.bind_left(&statement.left, &value, known);
                    flow.statement(&statement.body, known);
                });
            }
            Statement::ForOfStatement(statement) => {
                let value = Value::of(self.eval(&statement.right, known).whole.without(WHOLE));
                self.looped(known, |flow, known| {
                    flow.bind_left(&statement.left, &value, known);
                    flow.statement(&statement.body, known);
                });
            }
            Statement::WhileStatement(statement) => self.looped(known, |flow, known| {
                flow.eval(&statement.test, known);
                flow.statement(&statement.body, known);
            }),
            Statement::DoWhileStatement(statement) => self.looped(known, |flow, known| {
                flow.statement(&statement.body, known);
                flow.eval(&statement.test, known);
            }),
            Statement::LabeledStatement(statement) => return self.statement(&statement.body, known),
            Statement::VariableDeclaration(declaration) => self.declare(declaration, known),
            Statement::ClassDeclaration(class) => self.class(class, known),
            Statement::ExportDeclaration(export) => match &export.declaration {
                Declaration::VariableDeclaration(declaration) => self.declare(declaration, known),
                Declaration::ClassDeclaration(class) => self.class(class, known),
                _ => {}
            },
            Statement::ExportDefaultDeclaration(export) => match &export.declaration {
                ExportDefaultDeclarationKind::ClassDeclaration(class) => self.class(class, known),
                declaration => {
                    if let Some(expression) = declaration.as_expression() {
                        self.eval(expression, known);
                    }
                }
            },
            _ => {}
        }
        false
    }

    /// A call that ends the process, or goes on only when what it is given holds.
    fn asserts(&mut self, expression: &'a Expression<'a>, known: &mut Known) -> bool {
        let Expression::CallExpression(call) = expression.get_inner_expression() else { return false };
        let callee = self.chain(&call.callee, known);
        if matches!(callee.as_str(), "assert" | "assert.ok" | "invariant" | "ok" | "console.assert")
            && let Some(test) = call.arguments.first().and_then(Argument::as_expression)
        {
            self.guard(test, true, known);
        }
        callee == "process.exit"
    }

    fn branch(&mut self, statement: &'a IfStatement<'a>, known: &mut Known) -> bool {
        self.eval(&statement.test, known);
        let (mut yes, mut no) = (self.fork(known), self.fork(known));
        self.guard(&statement.test, true, &mut yes);
        self.guard(&statement.test, false, &mut no);
        let yes_ended = self.statement(&statement.consequent, &mut yes);
        let no_ended = statement.alternate.as_ref().is_some_and(|alternate| self.statement(alternate, &mut no));
        *known = match (yes_ended, no_ended) {
            (true, _) => no,
            (false, true) => yes,
            (false, false) => {
                self.join(&mut yes, no);
                yes
            }
        };
        yes_ended && no_ended
    }

    fn switch(&mut self, statement: &'a SwitchStatement<'a>, known: &mut Known) {
        self.eval(&statement.discriminant, known);
        let before = self.fork(known);
        for case in &statement.cases {
            let mut inside = self.fork(&before);
            match &case.test {
                Some(test) if test.is_literal() => self.clear(&statement.discriminant, RULES, &mut inside),
                Some(test) => _ = self.eval(test, &mut inside),
                None => {}
            }
            self.statements(&case.consequent, &mut inside);
            self.join(known, inside);
        }
    }

    /// Twice where the first time changed what is known: what a turn leaves behind is there in the next.
    fn looped(&mut self, known: &mut Known, body: impl Fn(&mut Self, &mut Known)) {
        for _ in 0..2 {
            let mut turn = self.fork(known);
            body(self, &mut turn);
            let before = known.clone();
            self.join(known, turn);
            if *known == before {
                break;
            }
        }
    }

    fn declare(&mut self, declaration: &'a VariableDeclaration<'a>, known: &mut Known) {
        for declarator in &declaration.declarations {
            let Some(init) = &declarator.init else { continue };
            let name = declarator.id.get_identifier_name();
            let value = match Callable::of(init) {
                Some(callable) => {
                    self.named(name.as_ref().map(|name| name.as_str()), |flow| {
                        let mut inside = flow.fork(known);
                        flow.run(callable, Given::default(), &mut inside);
                    });
                    Value::default()
                }
                None => self.eval(init, known),
            };
            let chain = self.plain_chain(init, known);
            self.bind(&declarator.id, &value, chain.as_deref(), known);
        }
    }

    fn class(&mut self, class: &'a Class<'a>, known: &mut Known) {
        self.named(class.id.as_ref().map(|id| id.name.as_str()), |flow| {
            for element in &class.body.body {
                let name = element.static_name();
                flow.named(name.as_deref(), |flow| match element {
                    ClassElement::MethodDefinition(method) => {
                        flow.run(Callable::Function(&method.value), Given::default(), &mut flow.fork(known));
                    }
                    ClassElement::PropertyDefinition(property) => {
                        if let Some(value) = &property.value {
                            flow.eval(value, &mut flow.fork(known));
                        }
                    }
                    ClassElement::StaticBlock(block) => _ = flow.statements(&block.body, &mut flow.fork(known)),
                    ClassElement::AccessorProperty(_) | ClassElement::TSIndexSignature(_) => {}
                });
            }
        });
    }

    fn named<R>(&mut self, name: Option<&str>, walk: impl FnOnce(&mut Self) -> R) -> R {
        if let Some(name) = name {
            self.names.push(name.to_owned());
        }
        let result = walk(self);
        if name.is_some() {
            self.names.pop();
        }
        result
    }

    // Functions.

    /// Walks a function's body; what it gives back.
    fn run(&mut self, callable: Callable<'a>, given: Given, known: &mut Known) -> Value {
        if self.is_too_deep(self.followed.len() > DEEPEST_FUNCTION) || self.is_tired() {
            return Value::default();
        }
        self.followed.push(callable.span().start);
        for (at, param) in callable.params().items.iter().enumerate() {
            let mut value = given.values.get(at).cloned().unwrap_or_default();
            if let Some(initializer) = &param.initializer {
                value = self.eval(initializer, known).join(&value);
            }
            let mut alias = given.alias.iter().find(|(place, _)| *place == at).map(|(_, alias)| *alias);
            for decorator in &param.decorators {
                let chain = self.chain(&decorator.expression, known);
                match chain.trim_end_matches("()") {
                    "Query" | "Body" | "Param" | "Headers" | "UploadedFile" | "RawBody" => {
                        value = Value::of(Taint { bits: RULES, at: param.span.start });
                    }
                    "Req" | "Request" => alias = Some("req"),
                    _ => {}
                }
            }
            if alias.is_none() && param.type_annotation.as_ref().is_some_and(|of| is_request(self.source(of.span))) {
                alias = Some("req");
            }
            self.bind(&param.pattern, &value, alias, known);
        }
        if let Some(rest) = &callable.params().rest {
            let all = given.values.iter().fold(Taint::default(), |all, value| all.join(value.whole));
            self.bind(&rest.rest.argument, &Value::of(all), None, known);
        }
        let value = match callable {
            Callable::Function(function) => {
                self.returns.push(Value::default());
                if let Some(body) = &function.body {
                    self.statements(&body.statements, known);
                }
                self.returns.pop().unwrap_or_default()
            }
            Callable::Arrow(arrow) => match arrow.body.as_expression() {
                Some(expression) => self.eval(expression, known),
                None => {
                    self.returns.push(Value::default());
                    if let Some(body) = arrow.body.as_function_body() {
                        self.statements(&body.statements, known);
                    }
                    self.returns.pop().unwrap_or_default()
                }
            },
        };
        self.followed.pop();
        value
    }

    /// Follows a call of a function of the file.
    fn follow(&mut self, callable: Callable<'a>, values: Vec<Value>, known: &Known) -> Value {
        let start = callable.span().start;
        if self.followed.contains(&start) || self.followed.len() > DEEPEST_CALL + 8 {
            return Value::default();
        }
        let key = (start, values.iter().map(|value| value.whole).collect());
        if let Some(result) = self.results.get(&key) {
            return result.clone();
        }
        let result = self.run(callable, Given { values, alias: Vec::new() }, &mut self.fork(known));
        self.results.insert(key, result.clone());
        result
    }

    // Names.

    /// Gives the names of a pattern what they hold. `chain`: how the value is written, where that is plain.
    fn bind(&mut self, pattern: &'a BindingPattern<'a>, value: &Value, chain: Option<&str>, known: &mut Known) {
        match pattern {
            BindingPattern::BindingIdentifier(identifier) => {
                let Some(symbol) = identifier.symbol_id.get().map(|symbol| symbol.index()) else { return };
                known.stands_for(symbol, chain);
                known.set(symbol, value.clone());
            }
            BindingPattern::ObjectPattern(pattern) => {
                for property in &pattern.properties {
                    let name = property.key.static_name();
                    let deeper = chain.zip(name.as_deref()).map(|(chain, name)| format!("{chain}.{name}"));
                    let mut taint = name.as_deref().map_or(value.whole.without(WHOLE), |name| value.part(name));
                    if let Some(way) = deeper.as_deref().and_then(|chain| WAYS.source(chain)) {
                        taint = Taint { bits: RULES & !way.clears | WHOLE, at: property.span.start };
                    }
                    self.bind(&property.value, &Value::of(taint), deeper.as_deref(), known);
                }
                if let Some(rest) = &pattern.rest {
                    self.bind(&rest.argument, value, chain, known);
                }
            }
            BindingPattern::ArrayPattern(pattern) => {
                let value = Value::of(value.whole.without(WHOLE));
                for element in pattern.elements.iter().flatten() {
                    self.bind(element, &value, None, known);
                }
                if let Some(rest) = &pattern.rest {
                    self.bind(&rest.argument, &value, None, known);
                }
            }
            BindingPattern::AssignmentPattern(pattern) => {
                let value = self.eval(&pattern.right, known).join(value);
                self.bind(&pattern.left, &value, chain, known);
            }
        }
    }

    fn bind_left(&mut self, left: &'a ForStatementLeft<'a>, value: &Value, known: &mut Known) {
        match left {
            ForStatementLeft::VariableDeclaration(declaration) => {
                for declarator in &declaration.declarations {
                    self.bind(&declarator.id, value, None, known);
                }
            }
            left => {
                if let Some(target) = left.as_assignment_target() {
                    self.assign(target, value, known);
                }
            }
        }
    }

    fn assign(&mut self, target: &'a AssignmentTarget<'a>, value: &Value, known: &mut Known) {
        match target {
            AssignmentTarget::AssignmentTargetIdentifier(identifier) => {
                if let Some(symbol) = self.symbol_of(identifier) {
                    known.stands_for(symbol, None);
                    known.set(symbol, value.clone());
                }
            }
            AssignmentTarget::ObjectAssignmentTarget(pattern) => {
                for property in &pattern.properties {
                    match property {
                        AssignmentTargetProperty::AssignmentTargetPropertyIdentifier(property) => {
                            if let Some(symbol) = self.symbol_of(&property.binding) {
                                known.set(symbol, Value::of(value.part(property.binding.name.as_str())));
                            }
                        }
                        AssignmentTargetProperty::AssignmentTargetPropertyProperty(property) => {
                            let name = property.name.static_name();
                            let part = name.as_deref().map_or(value.whole, |name| value.part(name));
                            if let Some(target) = property.binding.as_assignment_target() {
                                self.assign(target, &Value::of(part), known);
                            }
                        }
                    }
                }
            }
            AssignmentTarget::ArrayAssignmentTarget(pattern) => {
                let value = Value::of(value.whole.without(WHOLE));
                for target in pattern.elements.iter().flatten().filter_map(|element| element.as_assignment_target()) {
                    self.assign(target, &value, known);
                }
            }
            target => {
                if let Some(member) = target.as_member_expression() {
                    self.assign_member(member, value, known);
                }
            }
        }
    }

    fn assign_member(&mut self, member: &'a MemberExpression<'a>, value: &Value, known: &mut Known) {
        if let MemberExpression::ComputedMemberExpression(computed) = member {
            let key = self.eval(&computed.expression, known).whole;
            self.named_by_others(key, member.span());
            // `a[key][b] = c`: the first name leads to the prototype, the second changes it.
            if let Expression::ComputedMemberExpression(inner) = computed.object.get_inner_expression() {
                let key = self.eval(&inner.expression, known).whole;
                self.named_by_others(key, member.span());
            }
        }
        let Some(symbol) = self.root(member.object()) else { return };
        let held = known.values.get(&symbol).cloned().unwrap_or_default();
        let mut after = held.clone();
        match member.static_property_name() {
            // A part of a whole that is known to be clean stays a part.
            Some(name) if matches!(member.object().get_inner_expression(), Expression::Identifier(_)) => {
                after.parts.insert(name.to_owned(), value.whole);
                after.whole = held.whole.join(value.whole);
            }
            _ => after.whole = held.whole.join(value.whole),
        }
        known.set(symbol, after);
    }

    fn named_by_others(&mut self, key: Taint, span: Span) {
        for (at, rule) in WAYS.rules.iter().enumerate() {
            if rule.keys && key.bits & 1 << at != 0 {
                self.ends(at, span, key);
            }
        }
    }

    /// The name that a chain of members begins with.
    fn root(&self, expression: &'a Expression<'a>) -> Option<usize> {
        match expression.get_inner_expression() {
            Expression::Identifier(identifier) => self.symbol_of(identifier),
            expression => self.root(expression.as_member_expression()?.object()),
        }
    }

    /// How an expression is written, names looked up: `req.query`, `knex().whereRaw`.
    fn chain(&self, expression: &Expression<'a>, known: &Known) -> String {
        let mut text = String::new();
        self.write_chain(expression, known, 0, &mut text);
        text
    }

    /// The same for what is nothing but names and dots.
    fn plain_chain(&self, expression: &Expression<'a>, known: &Known) -> Option<String> {
        let expression = expression.get_inner_expression();
        let plain = matches!(expression, Expression::Identifier(_) | Expression::StaticMemberExpression(_));
        Some(self.chain(expression, known)).filter(|chain| plain && !chain.contains(['(', '[']))
    }

    fn write_chain(&self, expression: &Expression<'a>, known: &Known, depth: u32, text: &mut String) {
        if depth > LONGEST_CHAIN {
            text.push_str("()");
            return;
        }
        match expression.get_inner_expression() {
            Expression::Identifier(identifier) => {
                let alias = self.symbol_of(identifier).and_then(|symbol| known.alias.get(&symbol));
                text.push_str(alias.map_or(identifier.name.as_str(), |chain| chain));
            }
            Expression::ThisExpression(_) => text.push_str("this"),
            Expression::AwaitExpression(wait) => self.write_chain(&wait.argument, known, depth + 1, text),
            Expression::CallExpression(call) => self.write_call(&call.callee, known, depth, text),
            Expression::NewExpression(new) => {
                text.push_str("new ");
                self.write_call(&new.callee, known, depth, text);
            }
            Expression::ChainExpression(chain) => match &chain.expression {
                ChainElement::CallExpression(call) => self.write_call(&call.callee, known, depth, text),
                ChainElement::TSNonNullExpression(inner) => self.write_chain(&inner.expression, known, depth + 1, text),
                element => match element.as_member_expression() {
                    Some(member) => self.write_member(member, known, depth, text),
                    None => text.push_str("()"),
                },
            },
            expression => match expression.as_member_expression() {
                Some(member) => self.write_member(member, known, depth, text),
                None => text.push_str("()"),
            },
        }
    }

    fn write_call(&self, callee: &Expression<'a>, known: &Known, depth: u32, text: &mut String) {
        self.write_chain(callee, known, depth + 1, text);
        text.push_str("()");
    }

    fn write_member(&self, member: &MemberExpression<'a>, known: &Known, depth: u32, text: &mut String) {
        self.write_chain(member.object(), known, depth + 1, text);
        match member.static_property_name() {
            Some(name) => {
                text.push('.');
                text.push_str(name);
            }
            None => text.push_str("[]"),
        }
    }

    // Expressions.

    fn eval(&mut self, expression: &'a Expression<'a>, known: &mut Known) -> Value {
        self.steps.set(self.steps.get().saturating_add(1));
        if self.is_too_deep(self.depth >= DEEPEST) || self.is_tired() {
            return Value::default();
        }
        self.depth += 1;
        let value = self.eval_inner(expression.get_inner_expression(), known);
        self.depth -= 1;
        value
    }

    fn eval_inner(&mut self, expression: &'a Expression<'a>, known: &mut Known) -> Value {
        match expression {
            Expression::Identifier(identifier) => self.identifier(identifier, known),
            Expression::TemplateLiteral(template) => self.template(template, known),
            Expression::BinaryExpression(binary) => self.binary(binary, known),
            Expression::LogicalExpression(logical) => self.logical(logical, known),
            Expression::ConditionalExpression(conditional) => {
                self.eval(&conditional.test, known);
                let (mut yes, mut no) = (self.fork(known), self.fork(known));
                self.guard(&conditional.test, true, &mut yes);
                self.guard(&conditional.test, false, &mut no);
                let value = self.eval(&conditional.consequent, &mut yes);
                value.join(&self.eval(&conditional.alternate, &mut no))
            }
            Expression::AssignmentExpression(assignment) => self.assignment(assignment, known),
            Expression::CallExpression(call) => self.call(call, known),
            Expression::NewExpression(new) => {
                let callee = format!("new {}", self.chain(&new.callee, known));
                self.called(&callee, None, &new.arguments, new.span, known)
            }
            Expression::ImportExpression(import) => {
                let value = self.eval(&import.source, known);
                self.sinks("import", &[value], import.span);
                Value::default()
            }
            Expression::AwaitExpression(wait) => self.eval(&wait.argument, known),
            Expression::YieldExpression(wait) => {
                wait.argument.as_ref().map_or_else(Value::default, |argument| self.eval(argument, known))
            }
            Expression::SequenceExpression(sequence) => {
                sequence.expressions.iter().fold(Value::default(), |_, expression| self.eval(expression, known))
            }
            Expression::ArrayExpression(array) => self.array(array, known),
            Expression::ObjectExpression(object) => self.object(object, known),
            Expression::UnaryExpression(unary) => {
                self.eval(&unary.argument, known);
                Value::default()
            }
            Expression::TaggedTemplateExpression(tagged) => {
                let value = self.template(&tagged.quasi, known);
                let tag = self.chain(&tagged.tag, known);
                self.sinks(&tag, std::slice::from_ref(&value), tagged.span);
                if tag == "String.raw" { value } else { Value::default() }
            }
            Expression::ArrowFunctionExpression(_) | Expression::FunctionExpression(_) => {
                if let Some(callable) = Callable::of(expression) {
                    self.run(callable, Given::default(), &mut self.fork(known));
                }
                Value::default()
            }
            Expression::ClassExpression(class) => {
                self.class(class, known);
                Value::default()
            }
            Expression::ChainExpression(chain) => match &chain.expression {
                ChainElement::CallExpression(call) => self.call(call, known),
                ChainElement::TSNonNullExpression(inner) => self.eval(&inner.expression, known),
                element => match element.as_member_expression() {
                    Some(member) => self.member(member, known),
                    None => Value::default(),
                },
            },
            Expression::JSXElement(element) => self.element(element, known),
            Expression::JSXFragment(fragment) => self.children(&fragment.children, known),
            expression => match expression.as_member_expression() {
                Some(member) => self.member(member, known),
                None => Value::default(),
            },
        }
    }

    fn identifier(&mut self, identifier: &'a IdentifierReference<'a>, known: &Known) -> Value {
        let symbol = self.symbol_of(identifier);
        if let Some(way) = symbol.and_then(|symbol| known.alias.get(&symbol)).and_then(|chain| WAYS.source(chain))
            && !symbol.is_some_and(|symbol| known.values.contains_key(&symbol))
        {
            let bits = RULES & !way.clears & !known.tested(self.source(identifier.span));
            return Value::of(Taint { bits: bits | WHOLE, at: identifier.span.start });
        }
        symbol.and_then(|symbol| known.values.get(&symbol)).cloned().unwrap_or_default()
    }

    fn member(&mut self, member: &'a MemberExpression<'a>, known: &mut Known) -> Value {
        let object = self.eval(member.object(), known);
        if let MemberExpression::ComputedMemberExpression(computed) = member {
            self.eval(&computed.expression, known);
        }
        let mut text = String::new();
        self.write_member(member, known, 0, &mut text);
        let mut taint = match WAYS.source(&text) {
            Some(way) => Taint { bits: RULES & !way.clears | WHOLE, at: member.span().start },
            None => match member.static_property_name() {
                Some("length" | "size" | "byteLength") => return Value::default(),
                Some(name) => object.part(name),
                None => object.whole.without(WHOLE),
            },
        };
        if !taint.is_clean() && !known.tested.is_empty() {
            taint = taint.without(known.tested(self.source(member.span())));
        }
        Value::of(taint)
    }

    /// What pieces make together: once the text says where an address leads, what follows does not.
    fn pieces(&mut self, pieces: &[Piece]) -> Value {
        let mut joined = Taint::default();
        let mut before = String::new();
        let mut is_fixed = false;
        for piece in pieces {
            match piece {
                Piece::Text(text) => {
                    before.push_str(text);
                    if text.contains('<') {
                        joined.bits |= MARKUP;
                    }
                    is_fixed |= says_where(&before);
                }
                Piece::Value(value) if value.is_clean() => {
                    // Something of one's own in front: a base address, a directory.
                    is_fixed |= before.is_empty() || says_where(&before);
                    joined.bits |= value.bits & (MARKUP | TEXT);
                    before.push('x');
                }
                Piece::Value(value) => {
                    let fixed = if is_fixed { WAYS.redirect | WAYS.request } else { 0 };
                    joined = joined.join(value.without(fixed | WHOLE));
                    before.push('x');
                }
            }
        }
        if joined.is_clean() {
            return Value::of(Taint { bits: joined.bits & MARKUP, at: joined.at });
        }
        joined.bits |= TEXT;
        Value::of(joined)
    }

    fn template(&mut self, template: &'a TemplateLiteral<'a>, known: &mut Known) -> Value {
        let mut pieces = Vec::new();
        for (at, quasi) in template.quasis.iter().enumerate() {
            pieces.push(Piece::Text(quasi.value.raw.to_string()));
            if let Some(expression) = template.expressions.get(at) {
                pieces.push(Piece::Value(self.eval(expression, known).whole));
            }
        }
        pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
        self.pieces(&pieces)
    }

    fn binary(&mut self, binary: &'a BinaryExpression<'a>, known: &mut Known) -> Value {
        if binary.operator != BinaryOperator::Addition {
            self.eval(&binary.left, known);
            self.eval(&binary.right, known);
            return Value::default();
        }
        let mut pieces = Vec::new();
        self.added(&binary.left, known, &mut pieces);
        self.added(&binary.right, known, &mut pieces);
        self.pieces(&pieces)
    }

    fn added(&mut self, expression: &'a Expression<'a>, known: &mut Known, pieces: &mut Vec<Piece>) {
        match expression.get_inner_expression() {
            Expression::StringLiteral(literal) => pieces.push(Piece::Text(literal.value.to_string())),
            Expression::BinaryExpression(binary)
                if binary.operator == BinaryOperator::Addition && pieces.len() < 200 =>
            {
                self.depth += 1;
                if !self.is_too_deep(self.depth >= DEEPEST) {
                    self.added(&binary.left, known, pieces);
                    self.added(&binary.right, known, pieces);
                }
                self.depth -= 1;
            }
            expression => {
                let value = self.eval(expression, known).whole;
                pieces.push(Piece::Value(value));
            }
        }
    }

    fn logical(&mut self, logical: &'a LogicalExpression<'a>, known: &mut Known) -> Value {
        let left = self.eval(&logical.left, known);
        let mut beside = self.fork(known);
        match logical.operator {
            LogicalOperator::And => {
                self.guard(&logical.left, true, &mut beside);
                self.eval(&logical.right, &mut beside)
            }
            LogicalOperator::Or => {
                self.guard(&logical.left, false, &mut beside);
                left.join(&self.eval(&logical.right, &mut beside))
            }
            LogicalOperator::Coalesce => left.join(&self.eval(&logical.right, &mut beside)),
        }
    }

    fn assignment(&mut self, assignment: &'a AssignmentExpression<'a>, known: &mut Known) -> Value {
        let mut value = match Callable::of(&assignment.right) {
            Some(callable) => {
                let target = self.target_chain(&assignment.left, known);
                let listens = matches!(target.as_str(), "window.onmessage" | "onmessage");
                let given = self.listener(callable, listens);
                let name = target.rsplit('.').next().unwrap_or_default().to_owned();
                self.named(Some(&name), |flow| flow.run(callable, given, &mut flow.fork(known)));
                Value::default()
            }
            None => self.eval(&assignment.right, known),
        };
        if assignment.operator == AssignmentOperator::Addition {
            let mut text = Value::default();
            if let AssignmentTarget::AssignmentTargetIdentifier(identifier) = &assignment.left {
                text = self.identifier(identifier, known);
            }
            value = self.pieces(&[Piece::Value(text.whole), Piece::Value(value.whole)]);
        } else if assignment.operator != AssignmentOperator::Assign {
            value = Value::default();
        }
        if !value.whole.is_clean() {
            let target = self.target_chain(&assignment.left, known);
            for (at, rule) in WAYS.rules.iter().enumerate() {
                if value.whole.bits & 1 << at != 0 && rule.assigned(&target) {
                    self.ends(at, assignment.span, value.whole);
                }
            }
        }
        self.assign(&assignment.left, &value, known);
        value
    }

    fn target_chain(&self, target: &'a AssignmentTarget<'a>, known: &Known) -> String {
        let mut text = String::new();
        match target {
            AssignmentTarget::AssignmentTargetIdentifier(identifier) => text.push_str(&identifier.name),
            target => {
                if let Some(member) = target.as_member_expression() {
                    self.write_member(member, known, 0, &mut text);
                }
            }
        }
        text
    }

    fn array(&mut self, array: &'a ArrayExpression<'a>, known: &mut Known) -> Value {
        let mut whole = Taint::default();
        for element in &array.elements {
            let expression = match element {
                ArrayExpressionElement::SpreadElement(spread) => Some(&spread.argument),
                element => element.as_expression(),
            };
            if let Some(expression) = expression {
                whole = whole.join(self.eval(expression, known).whole.without(WHOLE));
            }
        }
        Value::of(whole)
    }

    fn object(&mut self, object: &'a ObjectExpression<'a>, known: &mut Known) -> Value {
        let mut value = Value::default();
        for property in &object.properties {
            match property {
                ObjectPropertyKind::ObjectProperty(property) => {
                    let name = property.key.static_name();
                    let part = self.named(name.as_deref(), |flow| flow.eval(&property.value, known)).whole;
                    if name.as_deref() == Some("__html") {
                        self.html_prop(part, property.span);
                    }
                    value.whole = value.whole.join(part.without(WHOLE));
                    if let Some(name) = name {
                        value.parts.insert(name.into_owned(), part);
                    }
                }
                ObjectPropertyKind::SpreadProperty(spread) => {
                    let spread = self.eval(&spread.argument, known);
                    value.whole = value.whole.join(spread.whole.without(WHOLE));
                    value.parts.extend(spread.parts);
                }
            }
        }
        value
    }

    fn html_prop(&mut self, value: Taint, span: Span) {
        for (at, rule) in WAYS.rules.iter().enumerate() {
            if rule.html_prop && value.bits & 1 << at != 0 {
                self.ends(at, span, value);
            }
        }
    }

    fn element(&mut self, element: &'a JSXElement<'a>, known: &mut Known) -> Value {
        for attribute in &element.opening_element.attributes {
            match attribute {
                JSXAttributeItem::Attribute(attribute) => {
                    if let Some(JSXAttributeValue::ExpressionContainer(container)) = &attribute.value
                        && let Some(expression) = container.expression.as_expression()
                    {
                        self.eval(expression, known);
                    }
                }
                JSXAttributeItem::SpreadAttribute(spread) => _ = self.eval(&spread.argument, known),
            }
        }
        self.children(&element.children, known)
    }

    fn children(&mut self, children: &'a [JSXChild<'a>], known: &mut Known) -> Value {
        for child in children {
            match child {
                JSXChild::ExpressionContainer(container) => {
                    if let Some(expression) = container.expression.as_expression() {
                        self.eval(expression, known);
                    }
                }
                JSXChild::Element(element) => {
                    self.depth += 1;
                    if !self.is_too_deep(self.depth >= DEEPEST) {
                        self.element(element, known);
                    }
                    self.depth -= 1;
                }
                JSXChild::Fragment(fragment) => {
                    self.depth += 1;
                    if !self.is_too_deep(self.depth >= DEEPEST) {
                        self.children(&fragment.children, known);
                    }
                    self.depth -= 1;
                }
                JSXChild::Text(_) | JSXChild::Spread(_) => {}
            }
        }
        Value::default()
    }

    // Calls.

    fn call(&mut self, call: &'a CallExpression<'a>, known: &mut Known) -> Value {
        let callee = self.chain(&call.callee, known);
        if let Some(callable) = Callable::of(&call.callee) {
            let values = self.arguments(&call.arguments, known);
            return self.run(callable, Given { values, alias: Vec::new() }, &mut self.fork(known));
        }
        let receiver = match call.callee.get_inner_expression() {
            Expression::ChainExpression(_) => None,
            callee => callee.as_member_expression(),
        };
        if let Some(member) = receiver {
            let value = self.eval(member.object(), known);
            let receiver = Receiver { value, object: member.object(), name: member.static_property_name() };
            return self.called(&callee, Some(receiver), &call.arguments, call.span, known);
        }
        if !matches!(call.callee.get_inner_expression(), Expression::Identifier(_)) {
            self.eval(&call.callee, known);
        }
        let local = match call.callee.get_inner_expression() {
            Expression::Identifier(identifier) => {
                self.symbol_of(identifier).and_then(|symbol| self.functions.get(&symbol)).copied()
            }
            _ => None,
        };
        if let Some(callable) = local {
            let values = self.arguments(&call.arguments, known);
            self.sinks(&callee, &values, call.span);
            let result = self.follow(callable, values, known);
            // A function that is named for making things harmless is believed.
            return match WAYS.clean(&callee) {
                Some(way) => Value::of(result.whole.without(way.clears)),
                None => result,
            };
        }
        self.called(&callee, None, &call.arguments, call.span, known)
    }

    fn arguments(&mut self, arguments: &'a [Argument<'a>], known: &mut Known) -> Vec<Value> {
        let mut values = Vec::new();
        for argument in arguments {
            match argument {
                Argument::SpreadElement(spread) => {
                    let value = self.eval(&spread.argument, known);
                    values.push(Value::of(value.whole.without(WHOLE)));
                }
                argument => values.extend(argument.as_expression().map(|expression| self.eval(expression, known))),
            }
        }
        values
    }

    /// A call of what is not of this file.
    fn called(
        &mut self,
        callee: &str,
        receiver: Option<Receiver<'a>>,
        arguments: &'a [Argument<'a>],
        span: Span,
        known: &mut Known,
    ) -> Value {
        let held = receiver.as_ref().map(|receiver| receiver.value.whole).unwrap_or_default();
        let mut values = Vec::new();
        let mut from_callback = None;
        for (at, argument) in arguments.iter().enumerate() {
            let expression = match argument {
                Argument::SpreadElement(spread) => &spread.argument,
                argument => match argument.as_expression() {
                    Some(expression) => expression,
                    None => continue,
                },
            };
            let Some(callable) = Callable::of(expression) else {
                values.push(self.eval(expression, known));
                continue;
            };
            let listens = at == 1 && matches!(callee, "window.addEventListener" | "addEventListener") && {
                arguments[0].as_expression().is_some_and(|event| event.is_specific_string_literal("message"))
            };
            let mut given = self.listener(callable, listens);
            if is_route(callee) {
                given.alias = handler(callable);
            }
            given.values = vec![Value::of(held.without(WHOLE)), Value::of(held.without(WHOLE))];
            let result = self.run(callable, given, &mut self.fork(known));
            from_callback = Some(result);
            values.push(Value::default());
        }
        self.sinks(callee, &values, span);
        self.result(callee, receiver, &values, from_callback, span, known)
    }

    fn result(
        &mut self,
        callee: &str,
        receiver: Option<Receiver<'a>>,
        values: &[Value],
        from_callback: Option<Value>,
        span: Span,
        known: &mut Known,
    ) -> Value {
        let all = values.iter().fold(Taint::default(), |all, value| all.join(value.whole));
        if let Some(way) = WAYS.source_call(callee) {
            let bits = RULES & !way.clears & !known.tested(self.source(span));
            return Value::of(Taint { bits, at: span.start });
        }
        if let Some(receiver) = &receiver {
            self.held(callee, receiver, all, known);
            if let Some(callable) =
                callee.strip_prefix("this.").and_then(|name| self.methods.get(name).copied().flatten())
            {
                return self.follow(callable, values.to_vec(), known);
            }
        }
        let Some(receiver) = receiver else {
            if let Some(way) = WAYS.clean(callee) {
                return Value::of(all.without(way.clears | WHOLE));
            }
            return match WAYS.pass(callee) {
                Some(way) => Value::of(all.without(way.clears)),
                None => Value::default(),
            };
        };
        if let Some(way) = WAYS.clean(callee) {
            return Value::of(all.join(receiver.value.whole).without(way.clears | WHOLE));
        }
        if let Some(way) = WAYS.pass(callee) {
            return Value::of(all.without(way.clears));
        }
        let held = receiver.value.whole.without(WHOLE);
        let name = receiver.name.unwrap_or_default();
        if WAYS.plain_methods.is_match(name) {
            return Value::default();
        }
        match name {
            "map" | "flatMap" | "then" | "reduce" | "catch" | "finally" => match from_callback {
                Some(value) => value,
                // `map(Number)`: what is called is known by its name.
                None if values.is_empty() || held.is_clean() => Value::of(held.join(all)),
                None => Value::of(held),
            },
            "replace" | "replaceAll" => Value::of(self.replaced(span, held).join(all)),
            // What is put together takes from both.
            "concat" | "padStart" | "padEnd" => Value::of(held.join(all)),
            "join" => Value::of(Taint { bits: if held.is_clean() { 0 } else { held.bits | TEXT }, at: held.at }),
            _ => Value::of(held),
        }
    }

    /// What a call leaves in its receiver: `list.push(x)`, `Object.assign(target, x)`.
    fn held(&mut self, callee: &str, receiver: &Receiver<'a>, given: Taint, known: &mut Known) {
        let keeps = matches!(receiver.name, Some("push" | "unshift" | "add" | "set" | "append" | "write"));
        if given.is_clean() || !keeps || callee.starts_with("res.") {
            return;
        }
        if let Some(symbol) = self.root(receiver.object) {
            let mut value = known.values.get(&symbol).cloned().unwrap_or_default();
            value.whole = value.whole.join(given.without(WHOLE));
            known.set(symbol, value);
        }
    }

    /// What is left of a text after a replacement.
    fn replaced(&self, span: Span, held: Taint) -> Taint {
        let text = self.source(span);
        let pattern = &text[text.rfind(".replace").unwrap_or_default()..];
        let everywhere = pattern.contains("/g") || pattern.starts_with(".replaceAll");
        let mut cleared = 0;
        if everywhere {
            if pattern.contains("[^") {
                return held.without(RULES);
            }
            if pattern.contains('<') {
                cleared |= WAYS.html;
            }
            if pattern.contains("\\n") || pattern.contains("\\r") {
                cleared |= WAYS.log;
            }
            if pattern.contains("[.*+?^${}()|[\\]\\\\]") {
                return held.without(WAYS.regex);
            }
        }
        held.without(cleared)
    }

    fn sinks(&mut self, callee: &str, values: &[Value], span: Span) {
        if values.iter().all(|value| value.whole.is_clean()) {
            return;
        }
        for (at, rule) in WAYS.rules.iter().enumerate() {
            for call in rule.called(callee) {
                let found = values.iter().enumerate().find(|(place, value)| {
                    let bits = value.whole.bits;
                    let is_answer = callee.starts_with("res") || callee.starts_with("reply");
                    call.takes(*place)
                        && bits & 1 << at != 0
                        && match call.only {
                            None => true,
                            Some(Only::Markup) => {
                                bits & MARKUP != 0 || is_answer && bits & WHOLE == 0 && value.parts.is_empty()
                            }
                            Some(Only::Text) => bits & TEXT != 0,
                            Some(Only::Whole) => bits & WHOLE != 0,
                        }
                });
                if let Some((_, value)) = found {
                    self.ends(at, span, value.whole);
                }
            }
        }
        self.shell(callee, values, span);
    }

    /// `spawn('sh', ['-c', text])`.
    fn shell(&mut self, callee: &str, values: &[Value], span: Span) {
        let name = callee.rsplit('.').next().unwrap_or_default();
        if !matches!(name, "spawn" | "spawnSync" | "execFile" | "execFileSync") {
            return;
        }
        let text = self.source(span);
        let shell = [
            "'sh'",
            "\"sh\"",
            "'bash'",
            "\"bash\"",
            "/sh'",
            "/sh\"",
            "/bash'",
            "/bash\"",
            "'cmd'",
            "'-c'",
            "\"-c\"",
            "shell: true",
        ];
        let through_shell = shell.iter().any(|word| text.contains(word));
        let Some(value) = values.iter().skip(1).find(|value| value.whole.bits & WAYS.command != 0) else { return };
        if through_shell {
            let rule = WAYS.command.trailing_zeros() as usize;
            self.ends(rule, span, value.whole);
        }
    }

    /// What a listener is given: of a message of another window, unless it looks at where that came from.
    fn listener(&self, callable: Callable<'a>, listens: bool) -> Given {
        let mut given = Given::default();
        if listens && !self.source(callable.span()).contains("origin") {
            given.alias.push((0, "@message"));
        }
        given
    }

    // Tests.

    /// What is known when a test holds, or does not.
    fn guard(&mut self, test: &'a Expression<'a>, holds: bool, known: &mut Known) {
        match test.get_inner_expression() {
            Expression::LogicalExpression(logical) => match (logical.operator, holds) {
                (LogicalOperator::And, true) | (LogicalOperator::Or, false) => {
                    self.guard(&logical.left, holds, known);
                    self.guard(&logical.right, holds, known);
                }
                _ => {}
            },
            Expression::UnaryExpression(unary) if unary.operator == UnaryOperator::LogicalNot => {
                self.guard(&unary.argument, !holds, known);
            }
            Expression::AwaitExpression(wait) => self.guard(&wait.argument, holds, known),
            Expression::CallExpression(call) => self.guard_call(call, holds, known),
            Expression::ChainExpression(chain) => {
                if let ChainElement::CallExpression(call) = &chain.expression {
                    self.guard_call(call, holds, known);
                }
            }
            Expression::BinaryExpression(binary) => self.guard_binary(binary, holds, known),
            _ => {}
        }
    }

    fn guard_call(&mut self, call: &'a CallExpression<'a>, holds: bool, known: &mut Known) {
        let callee = self.chain(&call.callee, known);
        let first = call.arguments.first().and_then(Argument::as_expression);
        let last = call.arguments.last().and_then(Argument::as_expression);
        let member = call.callee.get_inner_expression().as_member_expression();
        let (Some(member), Some(first)) = (member, first) else {
            if let (Some(first), true) = (first, holds && WAYS.tests.is_match(&callee)) {
                self.clear(first, RULES, known);
            }
            return;
        };
        let object = member.object();
        let own = self.eval(object, known).whole;
        match member.static_property_name().unwrap_or_default() {
            "test" => {
                if let Expression::RegExpLiteral(literal) = object.get_inner_expression() {
                    let pattern = self.source(literal.span);
                    let is_whole = pattern.starts_with("/^") && pattern.contains("$/");
                    let refuses = pattern.starts_with("/[^") || pattern.contains("\\.\\.");
                    if holds && is_whole || !holds && refuses {
                        let bits = if pattern.contains("\\.\\.") { WAYS.path } else { RULES };
                        self.clear(first, bits, known);
                    }
                } else if holds {
                    self.clear(first, RULES, known);
                }
            }
            "match" if holds => self.clear(object, RULES, known),
            "includes" | "indexOf" if !own.is_clean() => {
                let is_above = first.is_specific_string_literal("..");
                self.clear(object, if is_above && !holds { WAYS.path } else { 0 }, known);
            }
            "startsWith" => {
                let scheme = ["/", "http://", "https://", "http", "//"];
                let loose = scheme.iter().any(|scheme| first.is_specific_string_literal(scheme));
                if holds && !loose {
                    self.clear(object, WAYS.path | WAYS.redirect | WAYS.request, known);
                } else if !holds && first.is_specific_string_literal("//") {
                    self.clear(object, WAYS.redirect, known);
                } else if !holds && first.is_specific_string_literal("..") {
                    self.clear(object, WAYS.path, known);
                }
            }
            "endsWith" => {}
            _ if holds && WAYS.tests.is_match(&callee) => {
                let tested = if callee.ends_with("hasOwn") { last.unwrap_or(first) } else { first };
                self.clear(tested, RULES, known);
            }
            _ => {}
        }
    }

    fn guard_binary(&mut self, binary: &'a BinaryExpression<'a>, holds: bool, known: &mut Known) {
        use BinaryOperator as Op;
        let same = match binary.operator {
            Op::StrictEquality | Op::Equality => holds,
            Op::StrictInequality | Op::Inequality => !holds,
            Op::In if holds => return self.clear(&binary.left, RULES, known),
            Op::GreaterThan | Op::GreaterEqualThan if holds => return self.guard_place(binary, known),
            Op::LessThan if !holds => return self.guard_place(binary, known),
            _ => return,
        };
        let (left, right) = (binary.left.get_inner_expression(), binary.right.get_inner_expression());
        let is_plain = |expression: &Expression<'a>| {
            expression.is_literal()
                || matches!(expression, Expression::Identifier(identifier) if identifier.name.chars().all(|c| c.is_uppercase() || c == '_'))
                || expression.is_specific_member_access("location", "origin")
        };
        if let Expression::CallExpression(_) = left {
            // `LIST.indexOf(x) === -1`
            if !same && self.source(right.span()) == "-1" {
                self.guard_place(binary, known);
            }
            return;
        }
        if let Expression::UnaryExpression(unary) = left
            && unary.operator == UnaryOperator::Typeof
        {
            if same && ["number", "boolean", "bigint"].iter().any(|kind| right.is_specific_string_literal(kind)) {
                self.clear(&unary.argument, RULES, known);
            }
            return;
        }
        let is_nothing = right.is_null_or_undefined() || right.is_specific_string_literal("");
        if same && is_plain(right) && !is_nothing {
            self.clear(&binary.left, RULES, known);
        } else if same && is_plain(left) {
            self.clear(&binary.right, RULES, known);
        }
    }

    /// `LIST.indexOf(x)` found it.
    fn guard_place(&mut self, binary: &'a BinaryExpression<'a>, known: &mut Known) {
        if let Expression::CallExpression(call) = binary.left.get_inner_expression()
            && self.chain(&call.callee, known).ends_with(".indexOf")
            && let Some(first) = call.arguments.first().and_then(Argument::as_expression)
        {
            self.clear(first, RULES, known);
        }
    }

    fn clear(&mut self, expression: &'a Expression<'a>, bits: Bits, known: &mut Known) {
        if bits == 0 {
            return;
        }
        let expression = expression.get_inner_expression();
        if let Expression::Identifier(identifier) = expression
            && let Some(symbol) = self.symbol_of(identifier)
        {
            if known.values.contains_key(&symbol)
                && let Some(value) = Rc::make_mut(&mut known.values).get_mut(&symbol)
            {
                value.whole = value.whole.without(bits);
                for part in value.parts.values_mut() {
                    *part = part.without(bits);
                }
            }
            Rc::make_mut(&mut known.tested).insert(self.source(identifier.span).to_owned(), bits);
            return;
        }
        let name = expression.as_member_expression().and_then(|member| member.static_property_name());
        if let (Some("origin" | "hostname" | "host"), Some(member)) = (name, expression.as_member_expression()) {
            self.clear(member.object(), WAYS.redirect | WAYS.request, known);
        }
        Rc::make_mut(&mut known.tested).insert(self.source(expression.span()).to_owned(), bits);
    }
}

/// What a method is called on.
struct Receiver<'a> {
    value: Value,
    object: &'a Expression<'a>,
    name: Option<&'a str>,
}

/// A piece of a text that is put together.
enum Piece {
    Text(String),
    Value(Taint),
}

/// Whether the beginning of an address says to which site it leads.
fn says_where(text: &str) -> bool {
    if let Some((scheme, rest)) = text.split_once("://") {
        return !scheme.is_empty() && rest.find(['/', '?', '#']).is_some_and(|end| end > 0);
    }
    text.len() > 1 && text.starts_with('/') && !text.starts_with("//")
}

fn is_request(annotation: &str) -> bool {
    let name = annotation.trim_start_matches([':', ' ']);
    let name = name.split(['<', ' ', '|', '&']).next().unwrap_or_default();
    matches!(
        name.rsplit('.').next(),
        Some("Request" | "NextApiRequest" | "NextRequest" | "FastifyRequest" | "IncomingMessage" | "ExpressRequest")
    )
}

/// Whether a call registers what answers requests.
fn is_route(callee: &str) -> bool {
    let Some((receiver, method)) = callee.rsplit_once('.') else { return false };
    let receiver = receiver.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    matches!(method, "get" | "post" | "put" | "patch" | "delete" | "all" | "use" | "head" | "options" | "on" | "handle")
        && ["app", "router", "server", "fastify", "api", "routes", "express()", "route()", "router()", "koa"]
            .iter()
            .any(|name| receiver == *name || receiver.ends_with(name))
}

/// What the parameters of a handler stand for, whatever they are called.
fn handler(callable: Callable<'_>) -> Vec<(usize, &'static str)> {
    match callable.params().items.len() {
        0 => Vec::new(),
        1 => vec![(0, "ctx")],
        4 => vec![(1, "req"), (2, "res")],
        _ => {
            let first = callable.params().items[0].pattern.get_identifier_name();
            match first.as_ref().map(|name| name.as_str()) {
                Some("ctx" | "context" | "c") => vec![(0, "ctx")],
                _ => vec![(0, "req"), (1, "res")],
            }
        }
    }
}

fn declared_function<'a>(statement: &'a Statement<'a>) -> Option<&'a Function<'a>> {
    match statement {
        Statement::FunctionDeclaration(function) => Some(function),
        Statement::ExportDeclaration(export) => match &export.declaration {
            Declaration::FunctionDeclaration(function) => Some(function),
            _ => None,
        },
        Statement::ExportDefaultDeclaration(export) => match &export.declaration {
            ExportDefaultDeclarationKind::FunctionDeclaration(function) => Some(function),
            _ => None,
        },
        _ => None,
    }
}

/// The functions that a file declares, by symbol.
struct Declared<'a> {
    functions: BTreeMap<usize, Callable<'a>>,
    methods: BTreeMap<String, Option<Callable<'a>>>,
}

impl<'a> Visit<'a> for Declared<'a> {
    fn enter_node(&mut self, kind: AstKind<'a>) {
        match kind {
            AstKind::Function(function) => {
                let id = function.id.as_ref().and_then(|id| id.symbol_id.get());
                if let Some(symbol) = id {
                    self.functions.insert(symbol.index(), Callable::Function(function));
                }
            }
            AstKind::VariableDeclarator(declarator) => {
                let BindingPattern::BindingIdentifier(id) = &declarator.id else { return };
                let callable = declarator.init.as_ref().and_then(Callable::of);
                if let (Some(symbol), Some(callable)) = (id.symbol_id.get(), callable) {
                    self.functions.insert(symbol.index(), callable);
                }
            }
            AstKind::MethodDefinition(method) => {
                if let Some(name) = method.key.static_name() {
                    let callable = Callable::Function(&method.value);
                    let of_name = self.methods.entry(name.into_owned());
                    of_name.and_modify(|known| *known = None).or_insert(Some(callable));
                }
            }
            _ => {}
        }
    }
}
