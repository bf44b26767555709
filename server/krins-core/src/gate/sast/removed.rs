//! Protection that a patch takes away: a middleware that asks who somebody is, gone from a route that is still there; a
//! guard, a check that answered 401 or 403. What was moved to another file of the patch is still there.

use crate::gate::{Finding, Scene, Verdict};
use crate::path::RelPath;
use crate::syntax;
use oxc_ast::ast::*;
use oxc_ast_visit::{Visit, walk};
use oxc_span::{GetSpan, Span};
use regex::Regex;
use std::collections::BTreeMap;
use std::sync::LazyLock;

pub(in crate::gate) struct Rule {
    pub id: &'static str,
    pub level: Verdict,
    pub title: &'static str,
    pub fix: &'static str,
}

pub(in crate::gate) const RULES: &[Rule] = &[
    Rule {
        id: "route-auth-removed",
        level: Verdict::Warn,
        title: "a route that no longer asks who is calling",
        fix: "put the middleware back, or say why the route is open",
    },
    Rule {
        id: "protection-removed",
        level: Verdict::Warn,
        title: "`helmet`, CSRF protection, a rate limit or a login taken out of an application",
        fix: "put it back, or say why it goes",
    },
    Rule {
        id: "access-check-removed",
        level: Verdict::Warn,
        title: "a check taken away that answered 401 or 403",
        fix: "put the check back, or say what replaces it",
    },
];

static ASKS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)(^|[._])(require|ensure|check|verify|is|has|needs?|must|with|use|only)?_?\w*(auth|login|logged|session|permission|role|guard|protect|csrf|csurf|jwt|token|admin|member|acl|scope|passport|signature)\w*")
        .expect("a literal pattern")
});
/// A word that what asks or protects is called with.
static SPEAKS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)auth|login|logged|session|permission|role|guard|protect|csrf|csurf|jwt|token|admin|member|acl|scope|passport|signature|helmet|limit|lusca|hpp|sanitize|xss|require\w")
        .expect("a literal pattern")
});
static PROTECTS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)^(helmet|csrf|csurf|lusca|hpp|rate_?limit\w*|limiter|slow_?down|express_?mongo_?sanitize|mongoSanitize|xss|secureHeaders|passport\.(initialize|session|authenticate)|\w*auth\w*|require\w*|verify\w*)$")
        .expect("a literal pattern")
});
static REFUSES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\b(401|403)\b|Unauthorized|Forbidden|UNAUTHORIZED|FORBIDDEN|AccessDenied|notAuthorized")
        .expect("a literal pattern")
});

/// Protection, as it is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::gate) struct Guard {
    rule: &'static str,
    /// What is protected: `post /users`, a class or a function.
    of: String,
    /// What protects it.
    by: String,
}

#[derive(Default)]
pub(in crate::gate) struct Guards {
    all: Vec<(Guard, u32)>,
    /// What could be protected.
    places: Vec<String>,
}

/// What the base protects and the patched texts do not.
pub(super) fn check(scene: &Scene<'_>) -> Vec<Finding> {
    let mut lost: Vec<(&RelPath, &Guard, &Guards)> = Vec::new();
    let mut gained: BTreeMap<&str, usize> = BTreeMap::new();
    for both in scene.reading.files() {
        let file = both.file;
        if crate::gate::is_test_path(&file.path) {
            continue;
        }
        if !may_hold(&file.path, &both.before.text) && !may_hold(&file.path, &both.after.text) {
            continue;
        }
        let (before, after) = (&both.code_before().guards, &both.code_after().guards);
        let mut left: Vec<&Guard> = after.all.iter().map(|(guard, _)| guard).collect();
        let mut missing = Vec::new();
        for (guard, _) in &before.all {
            match left.iter().position(|known| *known == guard) {
                Some(at) => _ = left.swap_remove(at),
                None => missing.push(guard),
            }
        }
        for guard in left {
            *gained.entry(&guard.by).or_default() += 1;
        }
        lost.extend(missing.into_iter().map(|guard| (&file.path, guard, after)));
    }
    let mut findings = Vec::new();
    for (path, guard, after) in lost {
        let was_moved =
            gained.get_mut(guard.by.as_str()).filter(|count| **count > 0).map(|count| *count -= 1).is_some();
        if was_moved || !after.places.contains(&guard.of) {
            continue;
        }
        let Some(rule) = RULES.iter().find(|rule| rule.id == guard.rule) else { continue };
        findings.push(Finding {
            rule: format!("sast/{}", rule.id),
            verdict: rule.level,
            path: path.clone(),
            lines: None,
            message: format!("`{}` is no longer protected by `{}`", guard.of, clipped(&guard.by)),
            fix: Some(rule.fix.into()),
            link: Some("https://cwe.mitre.org/data/definitions/862.html".into()),
        });
    }
    findings
}

fn clipped(text: &str) -> String {
    text.chars().take(60).collect()
}

/// A look at the words, which most texts do not hold.
pub(in crate::gate) fn may_hold(path: &RelPath, text: &str) -> bool {
    let speaks =
        ["use(", "get(", "post(", "put(", "delete(", "patch(", "all(", "@", "401", "403", "orbidden", "nauthorized"];
    syntax::Language::of(path).is_some()
        && speaks.iter().any(|word| text.contains(word))
        && (REFUSES.is_match(text) || SPEAKS.is_match(text))
}

/// The protection that a program has.
pub(in crate::gate) fn guards(program: &Program<'_>, text: &str) -> Guards {
    let mut reader = Reader { text, found: Guards::default(), around: Vec::new() };
    reader.visit_program(program);
    reader.found
}

struct Reader<'t> {
    text: &'t str,
    found: Guards,
    /// The names around.
    around: Vec<String>,
}

impl<'t> Reader<'t> {
    fn source(&self, span: Span) -> &'t str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    fn guard(&mut self, rule: &'static str, of: &str, by: &str, at: u32) {
        let by = by.split_whitespace().collect::<Vec<_>>().join(" ");
        self.found.all.push((Guard { rule, of: of.to_owned(), by }, at));
    }

    fn route(&mut self, method: &str, call: &CallExpression<'_>) {
        let expressions: Vec<&Expression<'_>> = call.arguments.iter().filter_map(Argument::as_expression).collect();
        let literal = match expressions.first() {
            Some(Expression::StringLiteral(path)) => Some(path.value.as_str()),
            _ => None,
        };
        let Some(path) = literal else {
            if method == "use" {
                self.application(&expressions);
            }
            return;
        };
        let place = format!("{method} {path}");
        self.found.places.push(place.clone());
        let last = expressions.len() - 1;
        for (at, expression) in expressions.iter().enumerate().skip(1) {
            // The last one is the handler, but for `router.use('/admin', requireLogin)`.
            if at == last && method != "use" && !matches!(expression, Expression::ObjectExpression(_)) {
                continue;
            }
            self.protection(&place, expression);
        }
    }

    fn protection(&mut self, place: &str, expression: &Expression<'_>) {
        match expression.get_inner_expression() {
            Expression::ArrayExpression(array) => {
                for element in array.elements.iter().filter_map(|element| element.as_expression()) {
                    self.protection(place, element);
                }
            }
            // Options: `{ preHandler: [auth] }`.
            Expression::ObjectExpression(object) => {
                for property in object.properties.iter().filter_map(|property| property.as_property()) {
                    let name = property.key.static_name();
                    if matches!(
                        name.as_deref(),
                        Some("preHandler" | "onRequest" | "preValidation" | "beforeHandle" | "middleware")
                    ) {
                        self.protection(place, &property.value);
                    }
                }
            }
            expression if !expression.is_function() => {
                let text = self.source(expression.span());
                let name = text.split('(').next().unwrap_or_default();
                if ASKS.is_match(name) {
                    self.guard("route-auth-removed", place, text, expression.span().start);
                }
            }
            _ => {}
        }
    }

    /// `app.use(helmet())`.
    fn application(&mut self, expressions: &[&Expression<'_>]) {
        self.found.places.push("the application".to_owned());
        for expression in expressions.iter().filter(|expression| !expression.is_function()) {
            let text = self.source(expression.span());
            let name = text.split('(').next().unwrap_or_default().trim();
            if PROTECTS.is_match(name) {
                self.guard("protection-removed", "the application", name, expression.span().start);
            }
        }
    }

    fn decorators(&mut self, decorators: &[Decorator<'_>], of: &str) {
        self.found.places.push(of.to_owned());
        for decorator in decorators {
            let text = self.source(decorator.expression.span());
            let name = text.split('(').next().unwrap_or_default();
            let guards = matches!(
                name,
                "UseGuards"
                    | "Roles"
                    | "Authorized"
                    | "PreAuthorize"
                    | "RequirePermissions"
                    | "Permissions"
                    | "Auth"
                    | "Protected"
            );
            if guards {
                self.guard("route-auth-removed", of, text, decorator.span.start);
            }
        }
    }

    fn named<R>(&mut self, name: Option<&str>, walk: impl FnOnce(&mut Self) -> R) -> R {
        if let Some(name) = name {
            self.around.push(name.to_owned());
        }
        let result = walk(self);
        if name.is_some() {
            self.around.pop();
        }
        result
    }
}

impl<'a> Visit<'a> for Reader<'_> {
    fn visit_call_expression(&mut self, call: &CallExpression<'a>) {
        let mut place = None;
        if let Expression::StaticMemberExpression(member) = call.callee.get_inner_expression() {
            let method = member.property.name.as_str();
            if matches!(method, "get" | "post" | "put" | "patch" | "delete" | "all" | "use" | "route") {
                self.route(method, call);
                if let Some(Expression::StringLiteral(path)) = call.arguments.first().and_then(Argument::as_expression)
                {
                    place = Some(format!("{method} {}", path.value));
                }
            }
        }
        self.named(place.as_deref(), |reader| walk::walk_call_expression(reader, call));
    }

    fn visit_function(&mut self, function: &Function<'a>, flags: oxc_syntax::scope::ScopeFlags) {
        let name = function.id.as_ref().map(|id| id.name.to_string());
        self.found.places.extend(name.clone());
        self.named(name.as_deref(), |reader| walk::walk_function(reader, function, flags));
    }

    fn visit_variable_declarator(&mut self, declarator: &VariableDeclarator<'a>) {
        let is_function = declarator.init.as_ref().is_some_and(|init| init.get_inner_expression().is_function());
        let name = declarator.id.get_identifier_name().filter(|_| is_function).map(|name| name.to_string());
        self.found.places.extend(name.clone());
        self.named(name.as_deref(), |reader| walk::walk_variable_declarator(reader, declarator));
    }

    fn visit_class(&mut self, class: &Class<'a>) {
        let name = class.id.as_ref().map(|id| id.name.to_string());
        if let Some(name) = &name {
            self.decorators(&class.decorators, name);
        }
        self.named(name.as_deref(), |reader| walk::walk_class(reader, class));
    }

    fn visit_method_definition(&mut self, method: &MethodDefinition<'a>) {
        let name = method.key.static_name().map(|name| name.into_owned());
        if let Some(name) = &name {
            self.decorators(&method.decorators, name);
        }
        self.named(name.as_deref(), |reader| walk::walk_method_definition(reader, method));
    }

    fn visit_if_statement(&mut self, statement: &IfStatement<'a>) {
        let consequent = self.source(statement.consequent.span());
        if consequent.len() < 400
            && REFUSES.is_match(consequent)
            && let Some(of) = self.around.last().cloned()
        {
            self.found.places.push(of.clone());
            let test = self.source(statement.test.span());
            self.guard("access-check-removed", &of, test, statement.span.start);
        }
        walk::walk_if_statement(self, statement);
    }
}

#[cfg(test)]
mod tests {
    use crate::gate::check_sast;
    use crate::gate::testing::{judge, patch};

    fn rules(before: &str, after: &str) -> Vec<String> {
        let change = patch("src/app.ts", Some(before), Some(after));
        judge(&change, check_sast).into_iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn protection_that_goes_while_what_it_protects_stays() {
        for (before, after, rule) in [
            ("app.post('/users', requireAuth, create)\n", "app.post('/users', create)\n", "route-auth-removed"),
            ("r.get('/a', [isAdmin, log], f)\n", "r.get('/a', [log], f)\n", "route-auth-removed"),
            (
                "r.use('/admin', requireLogin)\nr.get('/admin', f)\n",
                "r.use('/admin', log)\nr.get('/admin', f)\n",
                "route-auth-removed",
            ),
            (
                "f.get('/a', { preHandler: [f.authenticate] }, h)\n",
                "f.get('/a', { preHandler: [] }, h)\n",
                "route-auth-removed",
            ),
            ("@UseGuards(AuthGuard)\nclass A { m() {} }\n", "class A { m() {} }\n", "route-auth-removed"),
            ("app.use(helmet())\napp.use(json())\n", "app.use(json())\n", "protection-removed"),
            ("app.use(csrf({ cookie: true }))\napp.use(a)\n", "app.use(a)\n", "protection-removed"),
            (
                "function del(req, res) { if (!req.user) return res.status(401).end(); go() }\n",
                "function del(req, res) { go() }\n",
                "access-check-removed",
            ),
            (
                "app.get('/a', (req, res) => { if (!req.user.admin) throw new ForbiddenError(); go() })\n",
                "app.get('/a', (req, res) => { go() })\n",
                "access-check-removed",
            ),
        ] {
            assert_eq!(rules(before, after), [format!("sast/{rule}")], "{after}");
            assert_eq!(rules(after, before), [] as [String; 0], "{before}");
        }
    }

    #[test]
    fn what_goes_with_its_route_or_is_only_moved_is_fine() {
        for (before, after) in [
            ("app.post('/users', requireAuth, create)\napp.get('/a', f)\n", "app.get('/a', f)\n"),
            ("app.post('/users', requireAuth, create)\n", "app.post('/users', log, requireAuth, create)\n"),
            ("app.use(helmet())\napp.use(json())\n", "app.use(json())\napp.use(helmet())\n"),
            (
                "function a(req) { if (!req.user) throw new Forbidden(); b() }\n",
                "function a(req) { guard(req); b() }\nfunction guard(req) { if (!req.user) throw new Forbidden(); }\n",
            ),
        ] {
            assert_eq!(rules(before, after), [] as [String; 0], "{after}");
        }
    }
}
