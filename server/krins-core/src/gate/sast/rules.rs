//! The rules over syntax trees, read from their data once, and what they match in a text.

use super::Hit;
use crate::gate::Verdict;
use crate::syntax::{self, Language};
use aho_corasick::{AhoCorasick, MatchKind};
use ast_grep_config::{DeserializeEnv, GlobalRules, RuleCore, SerializableGlobalRule, SerializableRule};
use ast_grep_core::Matcher;
use ast_grep_core::language::Language as Grammar;
use ast_grep_core::matcher::{Pattern, PatternBuilder, PatternError};
use ast_grep_core::tree_sitter::{LanguageExt, StrDoc, TSLanguage};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

const RULES_DATA: &str = include_str!("rules.yaml");
const UTILS_DATA: &str = include_str!("utils.yaml");

/// A text that is larger is not searched: nobody writes one by hand.
pub(super) const LARGEST: usize = 1 << 20;
/// A tree that is deeper is searched only so far: looking for what is around a node costs its depth.
const DEEPEST: u32 = 400;

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

/// The rules, ready to match.
struct Rules {
    about: Vec<About>,
    /// Finds the words that rules need.
    words: AhoCorasick,
    /// The rule of each word.
    rule_of_word: Vec<usize>,
}

/// The rules for one grammar.
struct Matchers {
    /// As many as there are rules, in their order.
    cores: Vec<RuleCore>,
    /// By id of a node's kind: the rules that can match such a node.
    by_kind: Vec<Vec<usize>>,
}

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let (mut about, mut words, mut rule_of_word) = (Vec::new(), Vec::new(), Vec::new());
    for (at, rule) in WRITTEN.iter().enumerate() {
        rule_of_word.extend(std::iter::repeat_n(at, rule.needs.len()));
        words.extend(&rule.needs);
        let Written { id, level, cwe, message, fix, .. } = rule;
        let (id, message, fix) = (id.clone(), message.clone(), fix.clone());
        about.push(About { id, level: *level, cwe: *cwe, message, fix });
    }
    let words = AhoCorasick::builder()
        .match_kind(MatchKind::Standard)
        .build(&words)
        .expect("a few hundred short words fit an automaton");
    Rules { about, words, rule_of_word }
});

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
        let fits = "the rules are data of this crate, and a test makes them for both grammars";
        let utils: Vec<Util> = ast_grep_config::from_str(UTILS_DATA).expect(fits);
        let utils = utils.into_iter().map(|util| {
            let core = ast_grep_config::SerializableRuleCore {
                rule: util.rule,
                constraints: None,
                utils: None,
                transform: None,
            };
            SerializableGlobalRule { core, id: util.id, arguments: None, language: dialect }
        });
        let globals: GlobalRules = DeserializeEnv::parse_global_utils(utils.collect()).expect(fits);
        let cores: Vec<RuleCore> = WRITTEN
            .iter()
            .map(|written| {
                let constraints = written.constraints.iter().map(|(name, rule)| (name.clone(), rule.clone()));
                let core = ast_grep_config::SerializableRuleCore {
                    rule: written.rule.clone(),
                    constraints: Some(constraints.collect()),
                    utils: None,
                    transform: None,
                };
                let made = core.get_matcher(DeserializeEnv::new(dialect).with_globals(&globals));
                made.unwrap_or_else(|error| panic!("{fits}: {}: {error:?}", written.id))
            })
            .collect();
        let kinds = dialect.get_ts_language().node_kind_count();
        let by_kind = (0..kinds)
            .map(|kind| {
                let can = |core: &RuleCore| core.potential_kinds().is_none_or(|kinds| kinds.contains(kind));
                (0..cores.len()).filter(|at| can(&cores[*at])).collect()
            })
            .collect();
        Self { cores, by_kind }
    }
}

/// Makes what is made once, so that the first change need not wait for it.
pub(super) fn warm() {
    LazyLock::force(&RULES);
    LazyLock::force(&TYPESCRIPT);
    LazyLock::force(&TSX);
}

/// What the rules match in a part of a text that is whole statements.
pub(super) fn matches_in(language: Language, text: &str, part: &Range<usize>) -> Vec<Hit> {
    let mut hits = matches(language, text.get(part.clone()).unwrap_or_default());
    for hit in &mut hits {
        hit.range = hit.range.start + part.start..hit.range.end + part.start;
    }
    hits
}

/// What the rules match in a text.
pub(super) fn matches(language: Language, text: &str) -> Vec<Hit> {
    let rules = &*RULES;
    let mut active = vec![false; rules.about.len()];
    for word in rules.words.find_overlapping_iter(text) {
        active[rules.rule_of_word[word.pattern().as_usize()]] = true;
    }
    if text.len() > LARGEST || !active.contains(&true) {
        return Vec::new();
    }
    let dialect = Dialect::of(language);
    let matchers = matchers(dialect);
    let grep = dialect.ast_grep(text);
    let root = grep.root();
    let (mut hits, mut scope): (Vec<Hit>, Vec<(u32, &str)>) = (Vec::new(), Vec::new());
    // The end of the last match of each rule: what is inside it is the same finding.
    let mut ends = vec![0; rules.about.len()];
    syntax::walk(&mut root.get_inner_node().walk(), |node, depth| {
        while scope.last().is_some_and(|(at, _)| *at >= depth) {
            scope.pop();
        }
        // What is in error is of a kind that the table does not hold.
        for at in matchers.by_kind.get(usize::from(node.kind_id())).into_iter().flatten() {
            let range = node.byte_range();
            if !active[*at] || range.end <= ends[*at] || !grep.adopt(node).matches(&matchers.cores[*at]) {
                continue;
            }
            ends[*at] = range.end;
            let names: Vec<&str> = scope.iter().map(|(_, name)| *name).collect();
            hits.push(Hit::new(&rules.about[*at], text, range, names.join(".")));
        }
        if let Some(name) = node.child_by_field_name("name") {
            scope.push((depth, text.get(name.byte_range()).unwrap_or_default()));
        }
        depth < DEEPEST
    });
    hits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str) -> Vec<String> {
        matches(Language::Tsx, text).iter().map(|hit| hit.about.id.clone()).collect()
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
    fn a_text_in_error_is_searched_as_far_as_it_goes() {
        assert!(ids("eval(x);\n\nfoo();\nconst = @ ];\n").contains(&"eval".to_owned()));
    }

    #[test]
    fn both_grammars_see_the_same() {
        for rule in written() {
            for bad in rule.bad.iter().filter(|bad| !bad.contains("/>") && !bad.contains("</")) {
                let found = matches(Language::TypeScript, bad);
                assert!(found.iter().any(|hit| hit.about.id == rule.id), "{} misses {bad}", rule.id);
            }
        }
    }
}
