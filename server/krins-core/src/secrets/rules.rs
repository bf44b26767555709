//! The rules as values: Krins' own ones, then those made from Betterleaks' configuration (`rules.json`, MIT; see
//! `rules.LICENSE` and `tests/scripts/secrets/rules.py`).
//!
//! Nothing here looks at a text but the patterns. A pattern is compiled when its keyword is seen for the first time.

use super::own;
use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use regex_automata::meta::Regex;
use regex_automata::util::syntax;
use regex_syntax::hir::{Class, Hir, HirKind};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::{LazyLock, OnceLock};

/// Heads of a pattern beyond this are not followed: it is run over the whole text instead.
const MOST_HEADS: usize = 64;

/// One rule as it is written down. What is left out does not filter.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Rule {
    /// Stable; part of every finding's name.
    pub id: String,
    /// ASCII classes only.
    pub pattern: Pattern,
    /// Lower case. The pattern is tried only in a text that holds one of them.
    pub keywords: Vec<String>,
    /// Which group is the secret; 0 is the first that took part, or the whole match.
    pub group: usize,
    /// Only files with such a path.
    pub path: Option<Pattern>,
    /// Bits per byte (Shannon) that the secret must have; with `above`, more than this.
    pub entropy: f32,
    pub above: bool,
    /// Secrets that are none.
    pub unless: Vec<Pattern>,
    pub without: Vec<String>,
    /// What a secret must be, all of it.
    pub needs: Vec<Pattern>,
    pub unless_path: Vec<Pattern>,
    pub unless_match: Vec<Pattern>,
    pub unless_line: Vec<Pattern>,
    /// Over the match with the word it stands behind.
    pub unless_context: Vec<Pattern>,
    pub needs_line: Vec<Pattern>,
    /// A value made of words is none: the filters of a rule that knows only a name before a value.
    pub words: bool,
    pub stop_words: bool,
    /// Not a secret by itself, only what makes another one whole.
    pub part: bool,
    pub with: Vec<Needed>,
    /// Krins' own filters: placeholders people write, runs, letters and digits both.
    pub placeholders: bool,
    pub mixed: bool,
    /// What no pattern can say.
    #[serde(skip)]
    pub check: Option<fn(&str) -> bool>,
    /// It names a habit, not a shape: worth a look, no proof.
    #[serde(skip)]
    pub guess: bool,
}

/// Another rule that has to match as well, within so many lines or anywhere.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Needed {
    pub id: String,
    #[serde(default)]
    pub lines: Option<usize>,
}

/// A regular expression that is compiled when it is needed.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "String")]
pub(crate) struct Pattern {
    text: String,
    compiled: OnceLock<Compiled>,
}

#[derive(Debug)]
pub(crate) struct Compiled {
    pub regex: Regex,
    /// In lower case, what every match begins with, where that is known.
    heads: Option<Vec<String>>,
    /// Bytes of the longest match.
    pub longest: Option<usize>,
}

impl From<String> for Pattern {
    fn from(text: String) -> Self {
        Self { text, compiled: OnceLock::new() }
    }
}

impl Pattern {
    pub(crate) fn compiled(&self) -> &Compiled {
        self.compiled.get_or_init(|| compile(&self.text).expect("every pattern is compiled by a test"))
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        self.compiled().regex.is_match(text)
    }
}

fn compile(pattern: &str) -> Result<Compiled, String> {
    let config = syntax::Config::new().unicode(false).utf8(false);
    let hir = syntax::parse_with(pattern, &config).map_err(|error| error.to_string())?;
    let longest = hir.properties().maximum_len();
    let heads = heads(&hir).map(|heads| heads.into_iter().map(|head| head.text).collect());
    let regex = Regex::builder().build_from_hir(&hir).map_err(|error| error.to_string())?;
    Ok(Compiled { regex, heads, longest })
}

impl Rule {
    /// Whether a match can begin only where one of the keywords does.
    pub(super) fn begins_with_keyword(&self) -> bool {
        let keyword = |head: &String| self.keywords.iter().any(|keyword| head.starts_with(keyword.as_str()));
        self.pattern.compiled().heads.as_ref().is_some_and(|heads| heads.iter().all(keyword))
    }
}

/// The beginning of a pattern as plain text.
#[derive(Clone)]
struct Head {
    text: String,
    /// Something that is no plain text has followed.
    closed: bool,
}

/// What every match begins with, letters in lower case; `None` where that is too much to say, or nothing.
fn heads(hir: &Hir) -> Option<Vec<Head>> {
    let one = |text: &str, closed| vec![Head { text: text.to_owned(), closed }];
    Some(match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => one("", false),
        HirKind::Literal(literal) => one(&std::str::from_utf8(&literal.0).ok()?.to_ascii_lowercase(), false),
        HirKind::Class(class) => match letters(class) {
            Some(letters) => letters.into_iter().flat_map(|letter| one(&letter.to_string(), false)).collect(),
            None => one("", true),
        },
        HirKind::Capture(capture) => heads(&capture.sub)?,
        HirKind::Repetition(repetition) if repetition.min == 0 && repetition.max == Some(1) => {
            let mut both = heads(&repetition.sub)?;
            both.push(Head { text: String::new(), closed: false });
            both
        }
        HirKind::Repetition(_) => one("", true),
        HirKind::Alternation(parts) => {
            let all: Option<Vec<Vec<Head>>> = parts.iter().map(heads).collect();
            all?.into_iter().flatten().collect()
        }
        HirKind::Concat(parts) => {
            let mut found = one("", false);
            for part in parts {
                if found.iter().all(|head| head.closed) {
                    break;
                }
                let next = heads(part)?;
                found = found
                    .into_iter()
                    .flat_map(|head| match head.closed {
                        true => vec![head],
                        false => next
                            .iter()
                            .map(|more| Head { text: format!("{}{}", head.text, more.text), closed: more.closed })
                            .collect(),
                    })
                    .collect();
                if found.len() > MOST_HEADS {
                    return None;
                }
            }
            found
        }
    })
    .filter(|heads| heads.len() <= MOST_HEADS)
}

/// The few characters of a class, letters in lower case and once.
fn letters(class: &Class) -> Option<Vec<char>> {
    let Class::Bytes(class) = class else { return None };
    let mut letters = Vec::new();
    for range in class.ranges() {
        if range.len() > 4 {
            return None;
        }
        letters.extend((range.start()..=range.end()).map(|byte| char::from(byte).to_ascii_lowercase()));
    }
    letters.sort_unstable();
    letters.dedup();
    (letters.len() <= 4 && letters.iter().all(char::is_ascii)).then_some(letters)
}

/// What `rules.json` holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    /// Where it was taken from, and under which licence: for people.
    #[serde(rename = "source")]
    _source: String,
    #[serde(rename = "licence")]
    _licence: String,
    unless: Vec<Pattern>,
    without: Vec<String>,
    paths: Vec<Pattern>,
    public: Vec<Public>,
    unless_line_of: LineOf,
    stop_words: String,
    words: String,
    short_words: String,
    rules: Vec<Rule>,
}

/// A shape that is meant to be public where the name of its issuer stands near.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Public {
    pub secret: Vec<Pattern>,
    pub near: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LineOf {
    pub path: Vec<Pattern>,
    pub line: Vec<Pattern>,
}

pub(super) struct Set {
    /// Where two meet, the earlier one gives the name.
    pub rules: Vec<Rule>,
    by_id: BTreeMap<String, usize>,
    pub keywords: AhoCorasick,
    /// The rules of each keyword.
    pub owners: Vec<Vec<usize>>,
    /// For every rule from elsewhere: secrets that are none.
    pub unless: Vec<Pattern>,
    pub without: Vec<String>,
    /// Files in which a name before a value says nothing: lock files, bundles, dependencies.
    pub paths: Vec<Pattern>,
    pub public: Vec<Public>,
    pub unless_line_of: LineOf,
    pub stop_words: AhoCorasick,
    /// Sorted.
    pub words: Vec<String>,
    pub short_words: Vec<String>,
}

pub(super) static SET: LazyLock<Set> = LazyLock::new(|| {
    let data: Data = serde_json::from_str(include_str!("rules.json")).expect("a test reads the data");
    let own = own::rules();
    let known = |rule: &Rule| own.iter().any(|mine| mine.id == rule.id);
    let theirs: Vec<Rule> = data.rules.into_iter().filter(|rule| !known(rule)).collect();
    let rules: Vec<Rule> = own.into_iter().chain(theirs).collect();
    let by_id = rules.iter().enumerate().map(|(at, rule)| (rule.id.clone(), at)).collect();
    let mut owners_of: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, rule) in rules.iter().enumerate().filter(|(_, rule)| !rule.part) {
        for keyword in &rule.keywords {
            let of = owners_of.entry(keyword).or_default();
            if of.last() != Some(&at) {
                of.push(at);
            }
        }
    }
    let keywords = any_of(owners_of.keys());
    let owners = owners_of.into_values().collect();
    let list = |words: &str| words.split(' ').map(str::to_owned).collect::<Vec<_>>();
    Set {
        by_id,
        keywords,
        owners,
        unless: data.unless,
        without: data.without,
        paths: data.paths,
        public: data.public,
        unless_line_of: data.unless_line_of,
        stop_words: any_of(data.stop_words.split(' ')),
        words: list(&data.words),
        short_words: list(&data.short_words),
        rules,
    }
});

impl Set {
    pub(super) fn rule(&self, id: &str) -> Option<&Rule> {
        self.by_id.get(id).map(|at| &self.rules[*at])
    }
}

fn any_of<I: AsRef<[u8]>>(words: impl IntoIterator<Item = I>) -> AhoCorasick {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::Standard)
        .kind(Some(AhoCorasickKind::DFA))
        .build(words)
        .expect("the words are short literals")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles_and_every_named_rule_is_there() {
        let set = &*SET;
        assert!(set.rules.len() > 400, "{}", set.rules.len());
        for rule in &set.rules {
            assert!(!rule.keywords.is_empty(), "{}", rule.id);
            assert!(rule.keywords.iter().all(|word| *word == word.to_ascii_lowercase()), "{}", rule.id);
            let lists = [&rule.unless, &rule.needs, &rule.unless_path, &rule.unless_match];
            let more = [&rule.unless_line, &rule.unless_context, &rule.needs_line];
            let all = lists.into_iter().chain(more).flatten().chain(rule.path.iter()).chain([&rule.pattern]);
            for pattern in all {
                compile(&pattern.text).unwrap_or_else(|error| panic!("{}: {error}", rule.id));
            }
            for needed in &rule.with {
                assert!(set.rule(&needed.id).is_some(), "{} needs {}", rule.id, needed.id);
            }
        }
        let general = set.unless.iter().chain(&set.paths).chain(set.public.iter().flat_map(|public| &public.secret));
        for pattern in general.chain(&set.unless_line_of.path).chain(&set.unless_line_of.line) {
            compile(&pattern.text).unwrap_or_else(|error| panic!("{}: {error}", pattern.text));
        }
        assert!(set.words.is_sorted() && set.short_words.is_sorted());
    }

    #[test]
    fn what_a_pattern_begins_with_is_known() {
        let heads = |pattern: &str| compile(pattern).unwrap().heads;
        let list = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(heads(r"\bghp_[0-9a-z]{36}"), list(&["ghp_"]));
        assert_eq!(heads(r"(?i)(?:key|pa(?:ss)?)[a-z]+x"), list(&["key", "pass", "pa"]));
        assert_eq!(heads(r"[a-z]+key"), list(&[""]));
        assert!(SET.rule("generic-api-key").unwrap().begins_with_keyword());
    }
}
