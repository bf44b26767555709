//! `sast/*`: code that is open to attack, where the patch brings it.
//!
//! Two ways to see it: rules over the syntax tree, which are data ([`rules`]), and where what others send flows
//! ([`crate::gate::taint`]). What was in the base does not count, also where it was moved.

pub(super) mod removed;
pub(super) mod rules;

use super::parts::Piece;
use super::reading::Both;
use super::{Finding, Scene, Verdict, is_test_path, taint};
use crate::patch::{ChangeKind, FilePatch};
use crate::path::RelPath;
use crate::syntax::Language;
use crate::text::LineIndex;
pub(super) use removed::{Guards, guards, may_hold as may_hold_guards};
use rules::About;
pub(super) use rules::may_carve;
use std::collections::BTreeMap;
use std::ops::Range;

/// What a rule found in a text.
#[derive(Debug)]
pub(super) struct Hit {
    pub about: &'static About,
    pub range: Range<usize>,
    /// The text that was found, white space squeezed: the same finding has the same wherever it stands.
    pub text: String,
    /// The names of the declarations around it.
    pub symbol: String,
    /// What the flow says that the rule cannot.
    pub detail: Option<String>,
}

/// What was found in a text, and whether all of it was looked at.
#[derive(Debug, Default)]
pub(super) struct Search {
    pub hits: Vec<Hit>,
    /// Why something was left out.
    pub left_out: Option<&'static str>,
}

impl Search {
    pub fn without(left_out: &'static str) -> Self {
        Self { hits: Vec::new(), left_out: Some(left_out) }
    }

    fn and(mut self, other: Self) -> Self {
        self.hits.extend(other.hits);
        self.left_out = self.left_out.or(other.left_out);
        self
    }
}

/// What is said of a text that was not looked at whole.
pub(super) const NOT_WHOLE: removed::Rule = removed::Rule {
    id: "not-whole",
    level: Verdict::Warn,
    title: "code that was not searched for weaknesses to its end: too large, too deep, or too much of it",
    fix: "split it, or read it yourself",
};

/// Two findings whose texts agree so far are the same.
const LONGEST_TEXT: usize = 400;

impl Hit {
    pub fn new(about: &'static About, text: &str, range: Range<usize>, symbol: String) -> Self {
        let found = text.get(range.clone()).unwrap_or_default();
        let mut squeezed = String::new();
        for word in found.split_whitespace() {
            if squeezed.len() > LONGEST_TEXT {
                break;
            }
            squeezed.push_str(word);
            squeezed.push(' ');
        }
        Self { about, range, text: squeezed, symbol, detail: None }
    }

    fn key(&self) -> (&'static str, String, String) {
        (&self.about.id, self.text.clone(), self.symbol.clone())
    }

    /// The same wherever it stands.
    fn moved_key(&self) -> (&'static str, String) {
        (&self.about.id, self.text.clone())
    }
}

/// Makes ahead what the first change would have to wait for: the rules for each grammar.
pub fn warm() {
    rules::warm();
    taint::warm();
}

/// `sast/*`: what the rules find in the patched texts and not in the base, and the protection that is gone.
pub fn check_sast(scene: &Scene<'_>) -> Vec<Finding> {
    let mut findings = added(scene);
    findings.extend(removed::check(scene));
    findings.extend(scene.reading.files().iter().filter_map(not_whole));
    findings
}

/// Says of a file that is there that something in it was left out.
fn not_whole(both: &Both<'_>) -> Option<Finding> {
    let why = both.left_out_after().filter(|_| both.file.kind != ChangeKind::Delete)?;
    Some(Finding {
        rule: format!("sast/{}", NOT_WHOLE.id),
        verdict: if is_test_path(&both.file.path) { softer(NOT_WHOLE.level) } else { NOT_WHOLE.level },
        path: both.file.path.clone(),
        lines: None,
        message: format!("weaknesses were not looked for everywhere in this file: {why}"),
        fix: Some(NOT_WHOLE.fix.into()),
        link: None,
    })
}

fn added(scene: &Scene<'_>) -> Vec<Finding> {
    let mut fresh: Vec<(&Both<'_>, Vec<&Hit>)> = Vec::new();
    for both in scene.reading.files().iter().filter(|both| both.file.kind != ChangeKind::Delete) {
        if !both.hits_after().is_empty() {
            let left = without(both.hits_after(), both.hits_before(), Hit::key);
            if !left.is_empty() {
                fresh.push((both, left));
            }
        }
    }
    if fresh.is_empty() {
        return Vec::new();
    }
    // What is gone somewhere and is now elsewhere was moved.
    let gone: Vec<&Hit> = scene.reading.files().iter().flat_map(gone_from).collect();
    let mut findings = Vec::new();
    let mut pool = counts(gone, Hit::moved_key);
    for (both, hits) in fresh {
        let index = LineIndex::new(&both.after.text);
        for hit in hits {
            if !take(&mut pool, &hit.moved_key()) {
                findings.push(finding(both.file, &index, hit));
            }
        }
    }
    findings
}

/// What rules and flows find in a text; nothing in what is not code. Rules look `within` those pieces alone, which no rule
/// looks out of.
pub(super) fn search(path: &RelPath, text: &str, within: Option<&[Piece]>) -> Search {
    let Some(language) = Language::of(path) else { return Search::default() };
    if text.is_empty() || is_made_elsewhere(path) {
        return Search::default();
    }
    if looks_made_by_a_machine(text) {
        return Search::without(BUNDLED);
    }
    if text.len() > rules::LARGEST {
        return Search::without(rules::TOO_LARGE);
    }
    let mut work = 0;
    let Search { mut hits, left_out } = match within {
        None => rules::matches(language, text, &mut work),
        Some(pieces) => pieces
            .iter()
            .map(|piece| rules::matches_in(language, text, piece, &mut work))
            .fold(Search::default(), Search::and),
    };
    let flows = taint::flows(path, text);
    for hit in flows.hits {
        // One finding a place: the flow knows more than the shape of the text.
        hits.retain(|other| !(other.about.cwe == hit.about.cwe && overlap(&other.range, &hit.range)));
        hits.push(hit);
    }
    hits.sort_by_key(|hit| (hit.range.start, hit.range.end));
    Search { hits, left_out: left_out.or(flows.left_out) }
}

fn overlap(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

/// Bundles and minified texts, by their names: not written here, and full of what would be odd in a text that was.
pub(super) fn is_made_elsewhere(path: &RelPath) -> bool {
    let name = path.as_str();
    name.contains(".min.")
        || name.split('/').any(|part| matches!(part, "node_modules" | "dist" | "vendor" | "third_party"))
}

/// Bytes of a line that nobody writes by hand, and lines in which the first of them is looked for.
const LONG_LINE: usize = 3000;
const FIRST_LINES: usize = 50;
const BUNDLED: &str =
    "most of it is in lines of more than 3,000 bytes, as in a bundle; the honesty rules did not read it either";

/// The same by its looks: a long line at its beginning, and most of it in such lines. Text that somebody wrote beside one long
/// line is read like any other.
pub(super) fn looks_made_by_a_machine(text: &str) -> bool {
    let is_long = |line: &&str| line.len() > LONG_LINE;
    text.lines().take(FIRST_LINES).any(|line| is_long(&line))
        && text.lines().filter(is_long).map(str::len).sum::<usize>() > text.len() / 2
}

fn gone_from<'b>(both: &'b Both<'_>) -> Vec<&'b Hit> {
    let before = both.hits_before();
    if before.is_empty() { Vec::new() } else { without(before, both.hits_after(), Hit::key) }
}

fn counts<'h, K: Ord>(hits: impl IntoIterator<Item = &'h Hit>, key: fn(&Hit) -> K) -> BTreeMap<K, usize> {
    let mut counts = BTreeMap::new();
    for hit in hits {
        *counts.entry(key(hit)).or_default() += 1;
    }
    counts
}

fn take<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) -> bool {
    match counts.get_mut(key) {
        Some(count) if *count > 0 => {
            *count -= 1;
            true
        }
        _ => false,
    }
}

/// The hits that `others` does not have as often.
fn without<'h, K: Ord>(hits: &'h [Hit], others: &[Hit], key: fn(&Hit) -> K) -> Vec<&'h Hit> {
    let mut known = counts(others, key);
    hits.iter().filter(|hit| !take(&mut known, &key(hit))).collect()
}

fn finding(file: &FilePatch, index: &LineIndex, hit: &Hit) -> Finding {
    let line = |at: usize| index.line_of(at) as u32 + 1;
    let level = Verdict::from(hit.about.level);
    // A test plays the attacker, or has nobody to protect: worth a look, no more.
    let verdict = if is_test_path(&file.path) { softer(level) } else { level };
    Finding {
        rule: format!("sast/{}", hit.about.id),
        verdict,
        path: file.path.clone(),
        lines: Some([line(hit.range.start), line(hit.range.end.max(hit.range.start + 1) - 1)]),
        message: match &hit.detail {
            Some(detail) => format!("{detail}: {}", hit.about.message),
            None => hit.about.message.clone(),
        },
        fix: Some(hit.about.fix.clone()),
        link: Some(format!("https://cwe.mitre.org/data/definitions/{}.html", hit.about.cwe)),
    }
}

fn softer(level: Verdict) -> Verdict {
    match level {
        Verdict::Block => Verdict::Warn,
        Verdict::Warn | Verdict::Pass => Verdict::Pass,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::{judge, patch};
    use crate::patch::{Change, Patch};

    fn rules(before: &str, after: &str) -> Vec<String> {
        let found = judge(&patch("src/a.ts", Some(before), Some(after)), check_sast);
        found.into_iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn only_what_the_patch_brings_counts_also_when_the_code_moves() {
        let (one, two) =
            ("export function a(x) {\n  return eval(x)\n}\n", "export function b(x) {\n  return eval(x)\n}\n");
        assert_eq!(rules("", one), ["sast/eval"]);
        assert_eq!(rules(one, &format!("// why\n\n{one}")), [] as [&str; 0]);
        assert_eq!(rules(one, two), [] as [&str; 0], "renamed");
        assert_eq!(rules(one, &format!("{one}{two}")), ["sast/eval"], "a second one is new");
        let change = |path: &str, before: Option<&str>, after: Option<&str>| Change {
            path: RelPath::new(path).unwrap(),
            from: None,
            before: before.map(|text| text.as_bytes().into()),
            after: after.map(|text| text.as_bytes().into()),
            executable: false,
        };
        let moved = Patch::between(vec![
            change("src/a.ts", Some(one), Some("export {}\n")),
            change("src/b.ts", None, Some(one)),
        ]);
        assert!(judge(&moved, check_sast).is_empty());
        let copied = Patch::between(vec![
            change("src/a.ts", Some(one), Some(&format!("{one}\n"))),
            change("src/b.ts", None, Some(one)),
        ]);
        assert_eq!(judge(&copied, check_sast).len(), 1);
    }

    #[test]
    fn a_flow_is_new_when_its_source_is_though_its_end_is_not() {
        let before = "export function f(req, db) {\n  const id = '1'\n  return db.query('SELECT a FROM t WHERE id = ' + id)\n}\n";
        let after = before.replace("'1'", "req.query.id");
        let found = judge(&patch("src/a.ts", Some(before), Some(&after)), check_sast);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].rule.as_str(), found[0].lines), ("sast/tainted-sql", Some([3, 3])));
        assert!(found[0].message.contains("`req.query.id` of line 2"), "{}", found[0].message);
    }

    #[test]
    fn a_test_is_told_more_softly_and_what_a_machine_made_not_at_all() {
        let text = "export const a = (x) => eval(x)\n";
        let verdicts = |path: &str, text: &str| -> Vec<Verdict> {
            judge(&patch(path, None, Some(text)), check_sast).iter().map(|finding| finding.verdict).collect()
        };
        assert_eq!(verdicts("src/a.ts", text), [Verdict::Warn]);
        assert_eq!(verdicts("src/a.test.ts", text), [Verdict::Pass]);
        assert_eq!(verdicts("src/a.min.js", text), []);
        assert_eq!(verdicts("dist/a.js", &format!("{}\n{text}", "x".repeat(4000))), []);
        assert_eq!(verdicts("src/a.md", text), []);
    }

    #[test]
    fn what_is_not_searched_to_its_end_is_said() {
        let said = |text: &str| -> Vec<(String, Verdict)> {
            let found = judge(&patch("src/a.ts", None, Some(text)), check_sast);
            found.into_iter().map(|finding| (finding.rule, finding.verdict)).collect()
        };
        let not_whole = ("sast/not-whole".to_owned(), Verdict::Warn);
        // A long line hides nothing: what is beside it is read, or it is said that it was not.
        let long = format!("const a = '{}'\n", "x".repeat(4000));
        assert_eq!(said(&format!("{long}eval(x)\n")), std::slice::from_ref(&not_whole));
        let written = "call(12345678)\n".repeat(300);
        assert_eq!(said(&format!("{long}{written}eval(x)\n")), [("sast/eval".to_owned(), Verdict::Warn)]);
        let large = format!("eval(x)\n{}", "call(12345678)\n".repeat(75_000));
        assert_eq!(said(&large), std::slice::from_ref(&not_whole));
        let deep = format!("eval(x)\n{}eval(y){}\n", "f(".repeat(300), ")".repeat(300));
        assert_eq!(said(&deep), [("sast/eval".to_owned(), Verdict::Warn), not_whole.clone()]);
        let flow = format!("{}req.query.a{}\n", "f(".repeat(150), ")".repeat(150));
        assert_eq!(said(&flow), std::slice::from_ref(&not_whole));
        // Each pair asks every call around it, and none of them answers.
        let pairs = "{ alg: 'none' },\n".repeat(5_000);
        let much = format!("{}[{pairs}]{}\n", "f(".repeat(100), ")".repeat(100));
        assert_eq!(said(&much), [not_whole]);
    }

    /// A line, and the weaknesses by any of which it may be called.
    const PLANTED: &[(&str, &[&str])] = &[
        ("export const calc = (req, res) => res.json({ a: eval(req.query.expr) })", &["tainted-code", "eval"]),
        ("export const make = (body) => new Function('a', body)", &["new-function"]),
        ("export const later = (code) => setTimeout('run(' + code + ')', 10)", &["timer-text"]),
        (
            "export const list = (req, res) => exec('ls ' + req.query.dir, (e, out) => res.json({ out }))",
            &["tainted-command"],
        ),
        (
            "export const show = (name) => { document.getElementById('a').innerHTML = '<b>' + name + '</b>' }",
            &["inner-html"],
        ),
        ("export const ad = (text) => document.write(text)", &["document-write"]),
        ("export const Post = ({ html }) => <div dangerouslySetInnerHTML={{ __html: html }} />", &["react-html"]),
        (
            "export const user = (req, db) => db.query(`SELECT a FROM u WHERE id = ${req.params.id}`)",
            &["tainted-sql", "sql-text"],
        ),
        ("export const file = (req, res) => res.sendFile(path.join('/srv', req.params.name))", &["tainted-path"]),
        ("export const go = (req, res) => res.redirect(req.query.next)", &["tainted-redirect"]),
        (
            "export const get = async (req, res) => res.json(await fetch(req.body.url).then((r) => r.json()))",
            &["tainted-request"],
        ),
        ("export const find = (req, list) => list.filter((a) => new RegExp(req.query.q).test(a))", &["tainted-regex"]),
        ("export const agent = new https.Agent({ rejectUnauthorized: false })", &["tls-off"]),
    ];

    /// The same weaknesses in other words.
    const VARIANTS: &[(&str, &[&str])] = &[
        (
            "export const a1 = (req, res) => { const { dir } = req.query; const cmd = `ls ${dir}`; execSync(cmd) }",
            &["tainted-command"],
        ),
        (
            "function run(text) { exec(text) }\nexport const a2 = (req) => run('cat ' + req.body.file)",
            &["tainted-command"],
        ),
        (
            "export const a3 = (req, db) => { let q = 'SELECT 1 FROM t'; q += ' WHERE a = ' + req.query.a; return db.query(q) }",
            &["tainted-sql"],
        ),
        (
            "export const a4 = (req, res) => { const p = ['/srv', req.params.name].join('/'); fs.readFile(p, () => {}) }",
            &["tainted-path"],
        ),
        ("export const a5 = async (c) => c.redirect(c.req.query('to'))", &["tainted-redirect"]),
        (
            "export async function POST(request) { const { url } = await request.json(); return fetch(url) }",
            &["tainted-request"],
        ),
        (
            "export const a6 = (req, res) => { const { name = 'x' } = req.query; res.send('<p>' + name + '</p>') }",
            &["tainted-html"],
        ),
        ("export const a7 = (req, o) => { o[req.body.key] = req.body.value }", &["tainted-key"]),
        ("export const a8 = (req, users) => users.find(req.body)", &["tainted-nosql"]),
        ("export const a9 = (s) => crypto.createHash('md5').update(s).digest('hex')", &["weak-hash"]),
        ("export const token = () => { const token = Math.random().toString(36); return token }", &["weak-random"]),
        ("export const b1 = (o, key, sub, v) => { o[key][sub] = v }", &["proto-write"]),
        ("export const b2 = /^(a+)+$/", &["regex-backtracking"]),
    ];

    fn missed(lines: &[(&'static str, &[&str])]) -> Vec<&'static str> {
        let text: String = lines.iter().map(|(line, _)| format!("{line}\n")).collect();
        let change = patch("src/routes.jsx", Some(""), Some(&text));
        assert!(judge(&change, crate::gate::check_syntax).is_empty());
        let found = judge(&change, check_sast);
        let mut from = 1;
        let is_missed = |(line, rules): &&(&'static str, &[&str])| {
            let range = from..from + line.lines().count() as u32;
            from = range.end;
            let is_it = |finding: &Finding| {
                rules.iter().any(|rule| finding.rule == format!("sast/{rule}"))
                    && finding.lines.is_some_and(|[first, _]| range.contains(&first))
            };
            !found.iter().any(is_it)
        };
        lines.iter().filter(is_missed).map(|(line, _)| *line).collect()
    }

    #[test]
    fn a_file_full_of_weaknesses_and_the_same_in_other_words() {
        assert_eq!(missed(PLANTED), [] as [&str; 0]);
        assert_eq!(missed(VARIANTS), [] as [&str; 0]);
    }
}
