//! The data of the flows, ready to ask: sources, what passes on, what makes harmless, and the rules with their sinks.

use crate::gate::sast::rules::{About, Level};
use regex::{Regex, RegexSet};
use serde::Deserialize;
use std::sync::LazyLock;

const RULES_DATA: &str = include_str!("rules.yaml");
const WAYS_DATA: &str = include_str!("ways.yaml");

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
    #[serde(default)]
    calls: Vec<CallData>,
    #[serde(default)]
    assigns: Vec<String>,
    /// A computed name that is written to.
    #[serde(default)]
    keys: bool,
    /// The `__html` of an element.
    #[serde(default)]
    html_prop: bool,
    /// Calls that only look like it.
    not_of: Option<String>,
    #[cfg_attr(not(test), expect(dead_code, reason = "the tests of the rules read it"))]
    pub bad: Vec<String>,
    #[cfg_attr(not(test), expect(dead_code, reason = "the tests of the rules read it"))]
    pub good: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallData {
    #[serde(rename = "match")]
    pattern: String,
    args: Vec<Arg>,
    only: Option<Only>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Arg {
    At(usize),
    Word(Last),
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Last {
    Last,
}

/// What more has to be true of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Only {
    /// It is text with markup, or goes out as it is.
    Markup,
    /// It was put together.
    Text,
    /// It is all that was sent, not a field of it.
    Whole,
}

/// The rules for which a value is still dangerous, a bit each, and three marks above them.
pub(super) type Bits = u32;
/// The value is a text put together from pieces, with markup in them.
pub(super) const MARKUP: Bits = 1 << 31;
/// The value is all that was sent.
pub(super) const WHOLE: Bits = 1 << 30;
/// The value is a text put together from pieces.
pub(super) const TEXT: Bits = 1 << 29;
/// The bits of the rules.
pub(super) const RULES: Bits = TEXT - 1;

pub(super) struct Call {
    pattern: Regex,
    args: Vec<Option<usize>>,
    pub only: Option<Only>,
}

impl Call {
    pub fn takes(&self, at: usize) -> bool {
        self.args.iter().any(|arg| arg.is_none_or(|arg| arg == at))
    }
}

pub(super) struct Rule {
    pub about: About,
    pub calls: Vec<Call>,
    assigns: Vec<Regex>,
    pub keys: bool,
    pub html_prop: bool,
    not_of: Option<Regex>,
}

impl Rule {
    /// The sinks that a call is.
    pub fn called(&self, callee: &str) -> impl Iterator<Item = &Call> {
        let other = self.not_of.as_ref().is_some_and(|not_of| not_of.is_match(callee));
        self.calls.iter().filter(move |call| !other && call.pattern.is_match(callee))
    }

    pub fn assigned(&self, target: &str) -> bool {
        self.assigns.iter().any(|pattern| pattern.is_match(target))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WaysData {
    sources: Vec<WayData>,
    source_calls: Vec<WayData>,
    pass: Vec<WayData>,
    clean: Vec<WayData>,
    plain_methods: String,
    tests: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WayData {
    #[serde(rename = "match")]
    pattern: String,
    clears: Option<Clears>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Clears {
    Every(Every),
    Of(Vec<String>),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Every {
    All,
}

pub(super) struct Way {
    pattern: Regex,
    /// The rules for which the value is harmless behind it.
    pub clears: Bits,
}

/// Ways, the first of which that fits counts.
struct Table {
    /// Says of most expressions in one look that none fits.
    any: RegexSet,
    ways: Vec<Way>,
}

impl Table {
    fn new(ways: Vec<Way>) -> Self {
        let any = RegexSet::new(ways.iter().map(|way| way.pattern.as_str())).expect(FITS);
        Self { any, ways }
    }

    fn first(&self, chain: &str) -> Option<&Way> {
        if !self.any.is_match(chain) {
            return None;
        }
        self.ways.iter().find(|way| way.pattern.is_match(chain))
    }
}

pub(super) struct Ways {
    pub rules: Vec<Rule>,
    sources: Table,
    source_calls: Table,
    pass: Table,
    clean: Table,
    pub plain_methods: Regex,
    pub tests: Regex,
    pub path: Bits,
    pub redirect: Bits,
    pub request: Bits,
    pub html: Bits,
    pub log: Bits,
    pub command: Bits,
    pub regex: Bits,
}

const FITS: &str = "the rules are data of this crate, and a test reads them";

pub(crate) fn written() -> Vec<Written> {
    ast_grep_config::from_multiple(RULES_DATA).expect(FITS)
}

pub(super) static WAYS: LazyLock<Ways> = LazyLock::new(|| {
    let rules: Vec<Rule> = written().into_iter().map(rule).collect();
    let bit = |id: &str| 1 << rules.iter().position(|rule| rule.about.id == id).expect(FITS);
    let data: WaysData = ast_grep_config::from_str(WAYS_DATA).expect(FITS);
    let ways = |data: Vec<WayData>| {
        let bits = |clears: Option<Clears>| match clears {
            None => 0,
            Some(Clears::Every(Every::All)) => RULES,
            Some(Clears::Of(ids)) => ids.iter().map(|id| bit(id)).fold(0, |all, one| all | one),
        };
        Table::new(data.into_iter().map(|way| Way { pattern: regex(&way.pattern), clears: bits(way.clears) }).collect())
    };
    Ways {
        sources: ways(data.sources),
        source_calls: ways(data.source_calls),
        pass: ways(data.pass),
        clean: ways(data.clean),
        plain_methods: regex(&data.plain_methods),
        tests: regex(&data.tests),
        path: bit("tainted-path"),
        redirect: bit("tainted-redirect"),
        request: bit("tainted-request"),
        html: bit("tainted-html"),
        log: bit("tainted-log"),
        command: bit("tainted-command"),
        regex: bit("tainted-regex"),
        rules,
    }
});

fn rule(written: Written) -> Rule {
    let Written { id, level, cwe, message, fix, .. } = written;
    let place = |arg: &Arg| match arg {
        Arg::At(at) => Some(*at),
        Arg::Word(Last::Last) => None,
    };
    let call = |call: CallData| Call {
        pattern: regex(&call.pattern),
        args: call.args.iter().map(place).collect(),
        only: call.only,
    };
    Rule {
        about: About { id, level, cwe, message, fix },
        calls: written.calls.into_iter().map(call).collect(),
        assigns: written.assigns.iter().map(|pattern| regex(pattern)).collect(),
        keys: written.keys,
        html_prop: written.html_prop,
        not_of: written.not_of.as_deref().map(regex),
    }
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect(FITS)
}

impl Ways {
    pub fn source(&self, chain: &str) -> Option<&Way> {
        self.sources.first(chain)
    }

    pub fn source_call(&self, callee: &str) -> Option<&Way> {
        self.source_calls.first(callee)
    }

    pub fn pass(&self, callee: &str) -> Option<&Way> {
        self.pass.first(callee)
    }

    pub fn clean(&self, callee: &str) -> Option<&Way> {
        self.clean.first(callee)
    }
}
