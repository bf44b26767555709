//! The rules over syntax trees, read from their data once, and what they match in a text.

use super::{Hit, Search};
use crate::gate::Verdict;
use crate::gate::parts::{Holder, Piece};
use crate::syntax::{self, Language};
use aho_corasick::{AhoCorasick, MatchKind};
use ast_grep_config::{DeserializeEnv, GlobalRules, RuleCore, SerializableGlobalRule, SerializableRule};
use ast_grep_core::Matcher;
use ast_grep_core::language::Language as Grammar;
use ast_grep_core::matcher::{Pattern, PatternBuilder, PatternError};
use ast_grep_core::tree_sitter::{LanguageExt, StrDoc, TSLanguage};
use regex::Regex;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{LazyLock, OnceLock};
use tree_sitter::Node;

const RULES_DATA: &str = include_str!("rules.yaml");
const UTILS_DATA: &str = include_str!("utils.yaml");

/// A text that is larger is not searched: nobody writes one by hand.
pub(super) const LARGEST: usize = 1 << 20;
/// A tree that is deeper is searched only so far: looking for what is around a node costs its depth.
const DEEPEST: u32 = 400;
/// Bytes that rules are given to look at in one text, all rules together; a file of 1 MB that people wrote takes a tenth.
const MOST_WORK: usize = 512 << 20;

/// What a rule says about itself; [`crate::gate::rules`] shows it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct About {
    pub id: String,
    pub level: Level,
    /// Number of the weakness in the Common Weakness Enumeration.
    pub cwe: u32,
    pub message: String,
    pub fix: String,
}

/// How loudly a rule speaks when nobody says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Note,
    Warn,
    Block,
}

impl From<Level> for Verdict {
    fn from(level: Level) -> Self {
        match level {
            Level::Note => Verdict::Pass,
            Level::Warn => Verdict::Warn,
            Level::Block => Verdict::Block,
        }
    }
}

/// A rule as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    pub id: String,
    pub level: Level,
    pub cwe: u32,
    pub title: String,
    pub message: String,
    pub fix: String,
    needs: Vec<String>,
    #[serde(default)]
    signs: Vec<String>,
    #[serde(default)]
    climbs: bool,
    #[serde(default)]
    reaches: bool,
    rule: SerializableRule,
    #[serde(default)]
    constraints: BTreeMap<String, SerializableRule>,
    /// What it must find, and must leave alone.
    #[cfg_attr(not(test), expect(dead_code, reason = "the tests of the rules read it"))]
    pub bad: Vec<String>,
    #[cfg_attr(not(test), expect(dead_code, reason = "the tests of the rules read it"))]
    pub good: Vec<String>,
}

#[derive(Deserialize)]
struct Util {
    id: String,
    #[serde(flatten)]
    rule: SerializableRule,
}

/// The rules as they are written, for their tests and for the page that lists them.
pub(crate) fn written() -> Vec<Written> {
    ast_grep_config::from_multiple(RULES_DATA).expect("the rules are data of this crate, and a test reads them")
}

/// A grammar that rules are made for. Rules see JavaScript through the grammar of TSX, which reads all of it that
/// matters to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Dialect {
    TypeScript,
    Tsx,
}

impl Dialect {
    pub fn of(language: Language) -> Self {
        match language {
            Language::TypeScript => Self::TypeScript,
            Language::Tsx | Language::JavaScript => Self::Tsx,
        }
    }

    fn language(self) -> Language {
        match self {
            Self::TypeScript => Language::TypeScript,
            Self::Tsx => Language::Tsx,
        }
    }
}

impl Grammar for Dialect {
    fn kind_to_id(&self, kind: &str) -> u16 {
        // Elements are in one grammar only; in the other no node is of this kind.
        if *self == Self::TypeScript && kind.starts_with("jsx_") {
            return u16::MAX - 1;
        }
        self.get_ts_language().id_for_node_kind(kind, true)
    }

    fn field_to_id(&self, field: &str) -> Option<u16> {
        self.get_ts_language().field_id_for_name(field).map(|id| id.get())
    }

    fn build_pattern(&self, builder: &PatternBuilder) -> Result<Pattern, PatternError> {
        builder.build(|source| StrDoc::try_new(source, *self))
    }
}

impl LanguageExt for Dialect {
    fn get_ts_language(&self) -> TSLanguage {
        self.language().grammar()
    }
}

/// Read once, for the words and for both grammars.
static WRITTEN: LazyLock<Vec<Written>> = LazyLock::new(written);

/// What is asked of a text before any rule is matched in it.
struct Rules {
    about: Vec<About>,
    /// Finds the words that rules need.
    words: AhoCorasick,
    /// The rule of each word.
    rule_of_word: Vec<usize>,
    signs: Vec<Vec<Sign>>,
}

/// A pattern that a text has to hold for a rule to match in it: made when the first text has the words of its rule.
struct Sign {
    pattern: &'static str,
    made: OnceLock<Regex>,
}

impl Sign {
    fn is_in(&self, text: &str) -> bool {
        // Where a word ends is asked of ASCII alone: what begins and ends a sign is ASCII, and the fast engines of the
        // library give up on the other question in a text that is not.
        let made = self.made.get_or_init(|| Regex::new(&self.pattern.replace(r"\b", r"(?-u:\b)")).expect(FITS));
        made.is_match(text)
    }
}

/// The rules for one grammar, each made when it is first asked for.
struct Matchers {
    dialect: Dialect,
    globals: GlobalRules,
    /// As many as there are rules, in their order.
    made: Vec<OnceLock<Made>>,
}

struct Made {
    core: RuleCore,
    /// By id of a node's kind: whether the rule can match such a node.
    kinds: Vec<bool>,
}

const FITS: &str = "the rules are data of this crate, and a test makes them for both grammars";

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let (mut about, mut words, mut rule_of_word, mut signs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (at, rule) in WRITTEN.iter().enumerate() {
        rule_of_word.extend(std::iter::repeat_n(at, rule.needs.len()));
        words.extend(&rule.needs);
        signs.push(rule.signs.iter().map(|pattern| Sign { pattern, made: OnceLock::new() }).collect());
        let Written { id, level, cwe, message, fix, .. } = rule;
        let (id, message, fix) = (id.clone(), message.clone(), fix.clone());
        about.push(About { id, level: *level, cwe: *cwe, message, fix });
    }
    let words = AhoCorasick::builder()
        .match_kind(MatchKind::Standard)
        .build(&words)
        .expect("a few hundred short words fit an automaton");
    Rules { about, words, rule_of_word, signs }
});

impl Rules {
    /// The rules that can match something in the text, by its words.
    fn active(&self, text: &str) -> Vec<usize> {
        let mut spoken = vec![false; self.about.len()];
        for word in self.words.find_overlapping_iter(text) {
            spoken[self.rule_of_word[word.pattern().as_usize()]] = true;
        }
        (0..spoken.len()).filter(|at| spoken[*at] && self.shows(*at, text)).collect()
    }

    /// Whether a text holds all signs of a rule.
    fn shows(&self, rule: usize, text: &str) -> bool {
        self.signs[rule].iter().all(|sign| sign.is_in(text))
    }
}

static TYPESCRIPT: LazyLock<Matchers> = LazyLock::new(|| Matchers::new(Dialect::TypeScript));
static TSX: LazyLock<Matchers> = LazyLock::new(|| Matchers::new(Dialect::Tsx));

fn matchers(dialect: Dialect) -> &'static Matchers {
    match dialect {
        Dialect::TypeScript => &TYPESCRIPT,
        Dialect::Tsx => &TSX,
    }
}

impl Matchers {
    fn new(dialect: Dialect) -> Self {
        let utils: Vec<Util> = ast_grep_config::from_str(UTILS_DATA).expect(FITS);
        let utils = utils.into_iter().map(|util| {
            let core = ast_grep_config::SerializableRuleCore {
                rule: util.rule,
                constraints: None,
                utils: None,
                transform: None,
            };
            SerializableGlobalRule { core, id: util.id, arguments: None, language: dialect }
        });
        let globals: GlobalRules = DeserializeEnv::parse_global_utils(utils.collect()).expect(FITS);
        Self { dialect, globals, made: WRITTEN.iter().map(|_| OnceLock::new()).collect() }
    }

    fn rule(&self, at: usize) -> &Made {
        self.made[at].get_or_init(|| self.make(&WRITTEN[at]))
    }

    fn make(&self, written: &Written) -> Made {
        let constraints = written.constraints.iter().map(|(name, rule)| (name.clone(), rule.clone()));
        let core = ast_grep_config::SerializableRuleCore {
            rule: written.rule.clone(),
            constraints: Some(constraints.collect()),
            utils: None,
            transform: None,
        };
        let core = core.get_matcher(DeserializeEnv::new(self.dialect).with_globals(&self.globals));
        let core = core.unwrap_or_else(|error| panic!("{FITS}: {}: {error:?}", written.id));
        let potential = core.potential_kinds();
        let can = |kind| potential.as_ref().is_none_or(|kinds| kinds.contains(kind));
        let kinds = (0..self.dialect.get_ts_language().node_kind_count()).map(can).collect();
        Made { core, kinds }
    }
}

/// Makes what is made once, so that the first change need not wait for it.
pub(super) fn warm() {
    for matchers in [&*TYPESCRIPT, &*TSX] {
        (0..matchers.made.len()).for_each(|at| _ = matchers.rule(at));
    }
    RULES.signs.iter().flatten().for_each(|sign| _ = sign.is_in(""));
}

pub(super) const TOO_LARGE: &str = "it is larger than 1 MB";
pub(in crate::gate) const TOO_DEEP: &str = "it is nested too deeply";
pub(in crate::gate) const TOO_MUCH: &str = "there is too much in it to follow";

/// What the rules match in a piece of a text.
pub(super) fn matches_in(language: Language, text: &str, piece: &Piece, work: &mut usize) -> Search {
    if let Some(carved) = &piece.carved {
        let composed = carved.compose(text);
        let mut search = matches(language, &composed.text, work);
        search.hits.retain_mut(|hit| match composed.place(&hit.range) {
            Some(range) => {
                hit.range = range;
                true
            }
            None => false,
        });
        return search;
    }
    let mut search = matches(language, text.get(piece.range.clone()).unwrap_or_default(), work);
    for hit in &mut search.hits {
        hit.range = hit.range.start + piece.range.start..hit.range.end + piece.range.start;
    }
    search
}

/// Whether rules find in what is new of a text what they find in the whole: none matches what holds it, or asks of what is
/// around. No rule asks of a class.
pub(in crate::gate) fn may_carve(of: Holder, whole: &str) -> bool {
    of == Holder::Class || !RULES.active(whole).iter().any(|at| WRITTEN[*at].reaches)
}

/// What the rules match in a text. `work` is what they were given to look at so far.
pub(super) fn matches(language: Language, text: &str, work: &mut usize) -> Search {
    let mut search = Search::default();
    let rules = &*RULES;
    let active = rules.active(text);
    if active.is_empty() {
        return search;
    }
    let dialect = Dialect::of(language);
    let by_kind = by_kind(dialect, &active);
    let grep = dialect.ast_grep(text);
    let root = grep.root();
    let mut around: Vec<Node<'_>> = Vec::new();
    // The end of the last match of each rule: what is inside it is the same finding.
    let mut ends = vec![0; rules.about.len()];
    syntax::walk(&mut root.get_inner_node().walk(), |node, depth| {
        around.truncate(depth as usize);
        // What is in error is of a kind that the table does not hold.
        for (at, made) in by_kind.get(usize::from(node.kind_id())).into_iter().flatten() {
            let range = node.byte_range();
            if range.end <= ends[*at] {
                continue;
            }
            *work += cost(*at, text, &range, &around);
            if *work > MOST_WORK {
                search.left_out = Some(TOO_MUCH);
                break;
            }
            if grep.adopt(node).matches(&made.core) {
                ends[*at] = range.end;
                search.hits.push(Hit::new(&rules.about[*at], text, range, symbol(text, &around)));
            }
        }
        around.push(node);
        if depth == DEEPEST && node.child_count() > 0 {
            search.left_out = search.left_out.or(Some(TOO_DEEP));
        }
        depth < DEEPEST && *work <= MOST_WORK
    });
    search
}

/// By id of a node's kind: the rules that can match such a node, in their order.
fn by_kind(dialect: Dialect, active: &[usize]) -> Vec<Vec<(usize, &'static Made)>> {
    let matchers = matchers(dialect);
    let mut by_kind = vec![Vec::new(); dialect.get_ts_language().node_kind_count()];
    for at in active {
        let made = matchers.rule(*at);
        for (rules, _) in by_kind.iter_mut().zip(&made.kinds).filter(|(_, can)| **can) {
            rules.push((*at, made));
        }
    }
    by_kind
}

/// Bytes that a rule looks at for a node, at most but for a small factor.
fn cost(rule: usize, text: &str, range: &Range<usize>, around: &[Node<'_>]) -> usize {
    let own = range.len();
    // Most nodes are given up before what is around them is read.
    if WRITTEN[rule].climbs && RULES.shows(rule, text.get(range.clone()).unwrap_or_default()) {
        own + around.iter().map(|node| node.byte_range().len()).sum::<usize>()
    } else {
        own
    }
}

/// The names of the declarations around.
fn symbol(text: &str, around: &[Node<'_>]) -> String {
    let name = |node: &Node<'_>| node.child_by_field_name("name").and_then(|name| text.get(name.byte_range()));
    around.iter().filter_map(name).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::reading::Reading;
    use crate::gate::testing::patch;

    fn ids(text: &str) -> Vec<String> {
        matches(Language::Tsx, text, &mut 0).hits.iter().map(|hit| hit.about.id.clone()).collect()
    }

    #[test]
    fn every_rule_finds_its_bad_snippets_and_leaves_its_good_ones() {
        let mut wrong = Vec::new();
        for rule in written() {
            assert!(rule.bad.len() >= 3 && rule.good.len() >= 3, "{} has too few snippets", rule.id);
            for bad in &rule.bad {
                assert!(!syntax::parse(Language::Tsx, bad).root_node().has_error(), "{}: {bad}", rule.id);
                if !ids(bad).contains(&rule.id) {
                    wrong.push(format!("{} misses {bad}", rule.id));
                }
            }
            for good in &rule.good {
                assert!(!syntax::parse(Language::Tsx, good).root_node().has_error(), "{}: {good}", rule.id);
                if ids(good).contains(&rule.id) {
                    wrong.push(format!("{} finds {good}", rule.id));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn rules_that_reach_out_of_a_statement_say_so_and_none_asks_of_a_class() {
        for (document, rule) in RULES_DATA.split("\n---\n").zip(written()) {
            let asks = document.split("\nrule:").nth(1).and_then(|rest| rest.split("\nbad:").next()).unwrap();
            let holders =
                ["inside:", "follows:", "precedes:", "function_declaration", "statement_block", "expression_statement"];
            let reaches = holders.iter().any(|holder| asks.contains(holder));
            assert_eq!(reaches, rule.reaches, "{}", rule.id);
            assert!(!asks.contains("class") && !asks.contains("export_statement"), "{}", rule.id);
        }
        assert!(!UTILS_DATA.contains("inside") && !UTILS_DATA.contains("class"));
    }

    /// What is new of a large text is the same, be it found in what is new alone or in the whole.
    #[test]
    fn a_piece_of_a_text_says_what_the_whole_says() {
        let (calls, members) = ("  call(12345678)\n".repeat(140), "  n() { call(12345678) }\n".repeat(90));
        // One that stays, of a rule that reaches and of one that does not.
        let stays = ["cors({ origin: '*', credentials: true })", "token = Math.random()"];
        let bad = written().into_iter().flat_map(|rule| rule.bad.into_iter().take(2));
        for (at, bad) in bad.enumerate() {
            let stays = stays[at % 2];
            let holders = [
                format!("class Holder extends Other {{\n{members}  a() {{\n{stays}\n}}\n  m() {{\n//\n{bad}\n}}\n}}\n"),
                format!("export async function holder(a) {{\n{calls}{stays}\n//\n{bad}\n{calls}}}\n"),
                format!("describe('a', () => {{\n{stays}\n{calls}describe('b', () => {{\n{calls}//\n{bad}\n}})\n}})\n"),
            ];
            for after in holders {
                // What may only be written outside of a function is no text for this.
                if syntax::parse(Language::Tsx, &after).root_node().has_error() {
                    continue;
                }
                let before = after.replacen(&format!("//\n{bad}\n"), "", 1);
                let change = patch("a.tsx", Some(&before), Some(&after));
                let reading = Reading::of(&change);
                let Some([old, new]) = reading.files()[0].differing() else { continue };
                let all = |text: &str, pieces: &[Piece]| {
                    let of_piece = |piece| matches_in(Language::Tsx, text, piece, &mut 0).hits;
                    pieces.iter().flat_map(of_piece).collect::<Vec<Hit>>()
                };
                let (was, is) = (all(&before, old), all(&after, new));
                let whole = |text| matches(Language::Tsx, text, &mut 0).hits;
                assert_eq!(fresh(&was, &is), fresh(&whole(&before), &whole(&after)), "{after}");
                for hit in &is {
                    assert_eq!(hit.text, Hit::new(hit.about, &after, hit.range.clone(), String::new()).text);
                }
            }
        }
    }

    /// The call around is what makes it a token's algorithm, by a word that both sides have.
    #[test]
    fn a_rule_that_reaches_is_given_the_whole() {
        let calls = "  call(12345678)\n".repeat(300);
        let before = format!("describe('a', () => {{\njwt.load()\n{calls}end()\n}})\n");
        let after = before.replace("end()", "set({ alg: 'none' })\nend()");
        let change = patch("a.ts", Some(&before), Some(&after));
        let reading = Reading::of(&change);
        let found: Vec<&str> = reading.files()[0].hits_after().iter().map(|hit| hit.about.id.as_str()).collect();
        assert_eq!(found, ["jwt-none"]);
    }

    /// What the second has more often than the first.
    fn fresh(before: &[Hit], after: &[Hit]) -> Vec<String> {
        let key = |hit: &Hit| format!("{} {} {}", hit.about.id, hit.symbol, hit.text);
        let mut known: Vec<String> = before.iter().map(key).collect();
        let mut fresh: Vec<String> = after.iter().map(key).collect();
        fresh.retain(|key| match known.iter().position(|known| known == key) {
            Some(at) => {
                known.swap_remove(at);
                false
            }
            None => true,
        });
        fresh.sort();
        fresh
    }

    #[test]
    fn a_text_in_error_is_searched_as_far_as_it_goes() {
        assert!(ids("eval(x);\n\nfoo();\nconst = @ ];\n").contains(&"eval".to_owned()));
    }

    #[test]
    fn both_grammars_see_the_same() {
        for rule in written() {
            for bad in rule.bad.iter().filter(|bad| !bad.contains("/>") && !bad.contains("</")) {
                let found = matches(Language::TypeScript, bad, &mut 0).hits;
                assert!(found.iter().any(|hit| hit.about.id == rule.id), "{} misses {bad}", rule.id);
            }
        }
    }
}
