//! The snippets of the rules, and a labelled set: every way that a value travels, from sources of each kind to ends of each
//! kind, and ways that make it harmless.

use super::*;

fn ids(text: &str) -> Vec<String> {
    flows(&RelPath::new("a.tsx").unwrap(), text).hits.iter().map(|hit| hit.about.id.clone()).collect()
}

#[test]
fn every_rule_finds_its_bad_snippets_and_leaves_its_good_ones() {
    let mut wrong = Vec::new();
    for rule in ways::written() {
        assert!(rule.bad.len() >= 3 && rule.good.len() >= 3, "{} has too few snippets", rule.id);
        for bad in rule.bad.iter().filter(|bad| !ids(bad).contains(&rule.id)) {
            wrong.push(format!("{} misses {bad}", rule.id));
        }
        for good in rule.good.iter().filter(|good| ids(good).contains(&rule.id)) {
            wrong.push(format!("{} finds {good}", rule.id));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Where a value comes from, around `BODY`, which uses `v`.
const SOURCES: &[&str] = &[
    "app.get('/', (req, res) => { const v = req.query.id; BODY })",
    "app.post('/', async (req, res) => { const { v } = req.body; BODY })",
    "export function handler(req, res) { const v = req.params.id; BODY }",
    "router.put('/a/:id', (request, reply) => { const v = request.headers['x-a']; const res = reply; BODY })",
    "export const handler = async (req, res) => { const { cookies: { v } } = req; BODY }",
    "class A { go(req, res) { const q = req.query; const v = q.name; BODY } }",
    "export async function POST(request: NextRequest) { const { v } = await request.json(); BODY }",
    "function f(r: express.Request, res) { const v = r.body.name; BODY }",
    "app.use((err, rq, res, next) => { const v = rq.query.next; BODY })",
    "app.get('/', async (c, res) => { const v = c.req.query('id'); BODY })",
];

/// Where it must not arrive, as `END`, around `X`.
const ENDS: &[(&str, &str)] = &[
    ("tainted-sql", "db.query('SELECT a FROM t WHERE b = ' + X)"),
    ("tainted-sql", "pool.execute(`DELETE FROM t WHERE b = '${X}'`)"),
    ("tainted-command", "exec('ls ' + X)"),
    ("tainted-code", "eval(X)"),
    ("tainted-path", "fs.readFileSync('/data/' + X)"),
    ("tainted-path", "res.sendFile(path.join(ROOT, X))"),
    ("tainted-redirect", "res.redirect(X)"),
    ("tainted-request", "fetch(X)"),
    ("tainted-html", "res.send('<b>' + X + '</b>')"),
    ("tainted-regex", "new RegExp(X, 'i')"),
    ("tainted-key", "settings[X] = 1"),
    ("tainted-template", "ejs.render(X, {})"),
];

/// How it travels; `END(…)` is the end with the text in the brackets.
const TRAVELS: &[&str] = &[
    "END(v)",
    "const w = v; END(w)",
    "let w; w = v; END(w)",
    "const w = `${v}`; END(w)",
    "let w = ''; w += v; END(w)",
    "const a = v + ''; const b = a + ''; END(b)",
    "const o = { w: v, other: 1 }; END(o.w)",
    "const o = {}; o.w = v; END(o.w)",
    "const { w } = { w: v }; END(w)",
    "const [w] = [v]; END(w)",
    "for (const w of [v]) { END(w) }",
    "const w = flag ? v : 'd'; END(w)",
    "const w = v || 'd'; END(w)",
    "const w = v ?? 'd'; END(w)",
    "[v].forEach((w) => { END(w) })",
    "const [w] = [v].map((x) => x.trim()); END(w)",
    "Promise.resolve(v).then(async (w) => { END(w) })",
    "const w = v.trim().toLowerCase(); END(w)",
    "const w = JSON.parse(v).name; END(w)",
    "const w = decodeURIComponent(String(v)); END(w)",
    "const id = (x) => x; END(id(v))",
    "async function inner(x) { END(x) } inner(v)",
    "function pick(x) { if (!x) return 'd'; return x } END(pick(v))",
    "try { END(v) } catch (e) { log(e) }",
    "if (v) { END(v) }",
    "if (!v) return; END(v)",
    "switch (kind) { case 1: END(v); break }",
    "while (next()) { END(v) }",
    "const w = (v as string)!; END(w)",
    "const list = []; list.push(v); END(list.join(''))",
    "const run = async () => { END(v) }; run()",
    "let w = 'safe'; if (flag) w = v; END(w)",
];

/// The same, harmless.
const HARMLESS: &[&str] = &[
    "END('x')",
    "const w = Number(v); END(w)",
    "const w = parseInt(v, 10); END(w)",
    "if (!ALLOWED.includes(v)) return; END(v)",
    "if (ALLOWED.has(v)) { END(v) }",
    "if (v !== 'a') return; END(v)",
    "if (!/^[a-z0-9]+$/.test(v)) return; END(v)",
    "if (v === 'a' || other) { log() } END('y')",
    "const w = TABLE[v]; END(w)",
    "const o = { a: v, b: 'x' }; END(o.b)",
    "let w = v; w = 'x'; END(w)",
    "switch (v) { case 'a': END(v); break }",
    "const w = v.length; END(w)",
    "const w = v ? 'a' : 'b'; END(w)",
    "const w = v.replace(/[^a-z]/g, ''); END(w)",
    "const w = find(v); END(w)",
    "if (!isValidName(v)) throw new Error('no'); END(v)",
    "assert(ALLOWED.includes(v)); END(v)",
    "const w = !!v; END(w)",
    "const w = typeof v; END(w)",
];

fn case(source: &str, travel: &str, end: &str) -> String {
    let mut body = String::new();
    let mut rest = travel;
    while let Some(at) = rest.find("END(") {
        let inside = &rest[at + 4..];
        let mut depth = 1;
        let close = inside
            .char_indices()
            .find(|(_, c)| {
                depth += i32::from(*c == '(') - i32::from(*c == ')');
                depth == 0
            })
            .map_or(inside.len(), |(at, _)| at);
        body.push_str(&rest[..at]);
        body.push_str(&end.replace('X', &inside[..close]));
        rest = &inside[close + 1..];
    }
    body.push_str(rest);
    source.replace("BODY", &body)
}

#[test]
fn values_are_followed_wherever_they_travel() {
    let (mut made, mut missed) = (0, Vec::new());
    for (at, travel) in TRAVELS.iter().enumerate() {
        for (number, (rule, end)) in ENDS.iter().enumerate() {
            let text = case(SOURCES[(at + number) % SOURCES.len()], travel, end);
            made += 1;
            if !ids(&text).iter().any(|id| id == rule) {
                missed.push(format!("{rule}: {text}"));
            }
        }
    }
    assert!(made >= 200);
    assert!(missed.len() * 100 <= made * 5, "{} of {made} missed:\n{}", missed.len(), missed.join("\n"));
}

#[test]
fn what_was_made_harmless_is_left_alone() {
    let (mut made, mut wrong) = (0, Vec::new());
    for (at, travel) in HARMLESS.iter().enumerate() {
        for (number, (rule, end)) in ENDS.iter().enumerate() {
            let text = case(SOURCES[(at + number) % SOURCES.len()], travel, end);
            made += 1;
            if ids(&text).iter().any(|id| id == rule) {
                wrong.push(format!("{rule}: {text}"));
            }
        }
    }
    assert!(made >= 200);
    assert!(wrong.len() * 100 <= made * 5, "{} of {made} found:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_walk_ends_whatever_it_is_given() {
    let nested = format!("const v = req.query.a; {}", "for (const a of v) { [1].map(() => { ".repeat(30));
    let closed = format!("{nested}{}", "}) }".repeat(30));
    ids(&closed);
    ids(&format!("x = req.query.a{}", " + 'b'".repeat(20_000)));
    ids(&format!("x = {}req.query.a{}", "f(".repeat(300), ")".repeat(300)));
    ids("function f(a) { return g(a) } function g(a) { return f(a) } eval(f(req.query.a))");
    ids("const f = (a) => f(a + 'x'); eval(f(req.query.a))");
    ids(&format!("const v = req.query.a;\n{}", "if (v) { a(v) } else { b(v) }\n".repeat(2_000)));
}
