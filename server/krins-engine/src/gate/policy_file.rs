//! `policy.toml`: what rules count for, waivers, known secrets, more protected paths. Yours lies beside your settings; a
//! workspace's is the repository's word, and unless its exact content is trusted it can only make things stricter.

use crate::settings::{Place, Problem};
use krins_core::gate::{self, Day, Level, LevelRule, Policy, Waiver};
use krins_core::text::{Encoding, LineIndex};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Below the root.
pub const POLICY_FILE: &str = ".krins/policy.toml";

/// Larger files are refused.
const MAX_BYTES: usize = 1 << 20;
/// More than anybody reads.
const MOST: usize = 5_000;

/// What one file says, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    protected: Vec<String>,
    reviewed: Vec<String>,
    levels: Vec<(LevelRule, Place)>,
    waivers: Vec<(Waiver, Place)>,
    allow: Vec<(Waiver, Place)>,
    self_approval: Option<(bool, Place)>,
}

impl Said {
    /// Parses a file's content. All problems are reported, not only the first.
    pub fn read(name: &str, content: &[u8]) -> Result<Self, Vec<Problem>> {
        let problem = |what: String| Problem { place: Place { name: name.to_owned(), at: None }, what, hint: None };
        if content.len() > MAX_BYTES {
            return Err(vec![problem(format!("it is larger than {MAX_BYTES} bytes"))]);
        }
        let text = std::str::from_utf8(content)
            .map_err(|error| vec![problem(format!("it is not UTF-8 (byte {})", error.valid_up_to()))])?;
        let mut reader = Reader { name, text, lines: LineIndex::new(text), problems: Vec::new() };
        let table = DeTable::parse(text).map_err(|error| {
            let place = reader.place(error.span().map_or(0, |span| span.start));
            let what = error.message().lines().next().unwrap_or("it is not TOML").to_owned();
            vec![Problem { place, what, hint: None }]
        })?;
        let said = reader.file(table.get_ref());
        if reader.problems.is_empty() { Ok(said) } else { Err(reader.problems) }
    }

    /// Adds it to the policy as the word of somebody who may decide.
    pub fn decide(self, policy: &mut Policy) {
        policy.protected.extend(self.protected);
        policy.reviewed.extend(self.reviewed);
        policy.levels.extend(self.levels.into_iter().map(|(level, _)| level));
        policy.waivers.extend(self.waivers.into_iter().map(|(waiver, _)| waiver));
        policy.allow.extend(self.allow.into_iter().map(|(allow, _)| allow));
        if let Some((self_approval, _)) = self.self_approval {
            policy.self_approval = self_approval;
        }
    }

    /// Adds what makes the policy stricter; answers what the rest is, and where it stands.
    pub fn tighten(self, policy: &mut Policy) -> Vec<(String, Place)> {
        policy.protected.extend(self.protected);
        policy.reviewed.extend(self.reviewed);
        let mut ignored = Vec::new();
        for (level, place) in self.levels {
            if level.level == Level::Off {
                ignored.push((format!("{} = off", level.rule), place));
            } else {
                policy.tightened.push(level);
            }
        }
        let named = |what: &str, (waiver, place): (Waiver, Place)| (format!("{what} of {}", waiver.rule), place);
        ignored.extend(self.waivers.into_iter().map(|waiver| named("a waiver", waiver)));
        ignored.extend(self.allow.into_iter().map(|allow| named("an allowed secret", allow)));
        match self.self_approval {
            Some((false, _)) => policy.self_approval = false,
            Some((true, place)) => ignored.push(("owners.self_approval = true".to_owned(), place)),
            None => {}
        }
        ignored
    }
}

struct Reader<'t> {
    name: &'t str,
    text: &'t str,
    lines: LineIndex,
    problems: Vec<Problem>,
}

type Value<'v> = Spanned<DeValue<'v>>;

const KEYS: &[&str] = &["protected", "reviewed", "levels", "paths", "waivers", "secrets", "owners"];
const WAIVER_KEYS: &[&str] = &["rule", "path", "fingerprint", "reason", "expires"];

impl Reader<'_> {
    fn place(&self, offset: usize) -> Place {
        let position = self.lines.position(self.text, offset, Encoding::Utf32);
        Place { name: self.name.to_owned(), at: Some((position.line + 1, position.column + 1)) }
    }

    fn wrong(&mut self, offset: usize, what: impl Into<String>, hint: Option<String>) {
        let place = self.place(offset);
        self.problems.push(Problem { place, what: what.into(), hint });
    }

    fn unknown(&mut self, offset: usize, key: &str, known: &[&str]) {
        let near = known.iter().map(|name| (strsim::damerau_levenshtein(name, key), *name)).min();
        let hint = match near {
            Some((distance, name)) if distance <= 3.max(key.len() / 4) => format!("did you mean `{name}`?"),
            _ => format!("the keys here are {}", known.join(", ")),
        };
        self.wrong(offset, format!("unknown key `{key}`"), Some(hint));
    }

    fn file(&mut self, table: &DeTable<'_>) -> Said {
        let mut said = Said::default();
        for (key, value) in table {
            match &**key.get_ref() {
                "protected" => said.protected = self.texts(value),
                "reviewed" => said.reviewed = self.texts(value),
                "levels" => said.levels.extend(self.levels(value, &[])),
                "paths" => {
                    for entry in self.entries(value) {
                        said.levels.extend(self.paths(entry));
                    }
                }
                "waivers" => {
                    for entry in self.entries(value) {
                        said.waivers.extend(self.waiver(entry, false));
                    }
                }
                "secrets" => {
                    for (key, value) in self.table(value, &["allow"]) {
                        debug_assert_eq!(key, "allow");
                        for entry in self.entries(value) {
                            said.allow.extend(self.waiver(entry, true));
                        }
                    }
                }
                "owners" => {
                    for (_, value) in self.table(value, &["self_approval"]) {
                        match value.get_ref() {
                            DeValue::Boolean(yes) => said.self_approval = Some((*yes, self.place(value.span().start))),
                            _ => self.wrong(value.span().start, "`self_approval` must be true or false", None),
                        }
                    }
                }
                other => self.unknown(key.span().start, other, KEYS),
            }
        }
        said
    }

    /// The known keys of a table with their values.
    fn table<'v>(&mut self, value: &'v Value<'v>, known: &[&'static str]) -> Vec<(&'static str, &'v Value<'v>)> {
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong(value.span().start, "it must be a table", None);
            return Vec::new();
        };
        let mut found = Vec::new();
        for (key, value) in table {
            match known.iter().find(|name| **name == &**key.get_ref()) {
                Some(name) => found.push((*name, value)),
                None => self.unknown(key.span().start, key.get_ref(), known),
            }
        }
        found
    }

    fn entries<'v>(&mut self, value: &'v Value<'v>) -> Vec<&'v Value<'v>> {
        match value.get_ref() {
            DeValue::Array(entries) if entries.len() <= MOST => entries.iter().collect(),
            DeValue::Array(_) => {
                self.wrong(value.span().start, format!("there are more than {MOST}"), None);
                Vec::new()
            }
            _ => {
                self.wrong(value.span().start, "it must be a list of tables, `[[…]]`", None);
                Vec::new()
            }
        }
    }

    fn text(&mut self, value: &Value<'_>) -> Option<String> {
        match value.get_ref() {
            DeValue::String(text) if !text.trim().is_empty() => Some(text.to_string()),
            _ => {
                self.wrong(value.span().start, "it must be a text that is not empty", None);
                None
            }
        }
    }

    fn texts(&mut self, value: &Value<'_>) -> Vec<String> {
        match value.get_ref() {
            DeValue::Array(items) if items.len() <= MOST => items.iter().filter_map(|item| self.text(item)).collect(),
            _ => {
                self.wrong(value.span().start, "it must be a list of texts", None);
                Vec::new()
            }
        }
    }

    fn levels(&mut self, value: &Value<'_>, paths: &[String]) -> Vec<(LevelRule, Place)> {
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong(value.span().start, "it must be a table of rules and levels", None);
            return Vec::new();
        };
        let mut levels = Vec::new();
        for (rule, value) in table {
            let known = self.rule(rule.span().start, rule.get_ref());
            let level = match value.get_ref() {
                DeValue::String(text) if text == "off" => Some(Level::Off),
                DeValue::String(text) if text == "warn" => Some(Level::Warn),
                DeValue::String(text) if text == "block" => Some(Level::Block),
                _ => {
                    self.wrong(value.span().start, "a level must be \"off\", \"warn\" or \"block\"", None);
                    None
                }
            };
            if let (Some(rule), Some(level)) = (known, level) {
                levels.push((LevelRule { rule, paths: paths.to_vec(), level }, self.place(value.span().start)));
            }
        }
        levels
    }

    fn paths(&mut self, entry: &Value<'_>) -> Vec<(LevelRule, Place)> {
        let fields = self.table(entry, &["match", "levels"]);
        let field = |name: &str| fields.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        match (field("match"), field("levels")) {
            (Some(paths), Some(levels)) => {
                let paths = self.texts(paths);
                if paths.is_empty() { Vec::new() } else { self.levels(levels, &paths) }
            }
            _ => {
                self.wrong(entry.span().start, "it needs `match` and `levels`", None);
                Vec::new()
            }
        }
    }

    fn rule(&mut self, offset: usize, name: &str) -> Option<String> {
        if gate::is_rule(name) {
            return Some(name.to_owned());
        }
        let hint = gate::nearest_rule(name).map(|near| format!("did you mean `{near}`?"));
        self.wrong(offset, format!("there is no rule `{name}`"), hint);
        None
    }

    fn waiver(&mut self, entry: &Value<'_>, secret: bool) -> Option<(Waiver, Place)> {
        let fields = self.table(entry, WAIVER_KEYS);
        let place = self.place(entry.span().start);
        let field = |name: &str| fields.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        let rule = match field("rule") {
            Some(value) => self.text(value).and_then(|rule| self.rule(value.span().start, &rule)),
            None if secret => Some("secrets".to_owned()),
            None => None,
        };
        let fingerprint = field("fingerprint").map(|value| self.text(value));
        let path = match field("path") {
            Some(value) => self.text(value),
            // A known secret may be known wherever it is.
            None if secret && fingerprint.is_some() => Some("**".to_owned()),
            None => None,
        };
        let reason = field("reason").and_then(|value| self.text(value));
        let expires = field("expires").and_then(|value| self.day(value));
        match (rule, path, reason, expires, fingerprint) {
            (Some(rule), Some(path), Some(reason), Some(expires), fingerprint) if fingerprint != Some(None) => {
                Some((Waiver { rule, path, fingerprint: fingerprint.flatten(), reason, expires }, place))
            }
            _ => {
                let needs = if secret {
                    "`path` or `fingerprint`, `reason` and `expires`"
                } else {
                    "`rule`, `path`, `reason` and `expires`"
                };
                self.wrong(entry.span().start, format!("it needs {needs}"), None);
                None
            }
        }
    }

    fn day(&mut self, value: &Value<'_>) -> Option<Day> {
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Datetime(day) => day.to_string(),
            _ => String::new(),
        };
        match text.parse() {
            Ok(day) => Some(day),
            Err(_) => {
                self.wrong(value.span().start, "`expires` must be a day such as 2027-01-31", None);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
protected = [\"db/\"]
reviewed = [\"infra/\"]

[levels]
honesty = \"off\"
\"sast/eval\" = \"block\"

[[paths]]
match = [\"legacy/**\"]
levels = { sast = \"warn\" }

[[waivers]]
rule = \"sast/eval\"
path = \"src/old.ts\"
reason = \"goes with the next release\"
expires = 2027-01-31

[[secrets.allow]]
fingerprint = \"abc\"
reason = \"an example\"
expires = \"2027-01-31\"

[owners]
self_approval = true
";

    #[test]
    fn a_whole_file_decides_or_only_tightens() {
        let said = Said::read("policy.toml", FILE.as_bytes()).unwrap();
        let mut policy = Policy::default();
        said.clone().decide(&mut policy);
        assert_eq!((policy.levels.len(), policy.waivers.len(), policy.allow.len()), (3, 1, 1));
        assert!(policy.self_approval && policy.protected.iter().any(|path| path == "db/"));
        assert_eq!(policy.levels.iter().find(|level| !level.paths.is_empty()).unwrap().paths, ["legacy/**"]);
        assert_eq!((policy.allow[0].rule.as_str(), policy.allow[0].path.as_str()), ("secrets", "**"));
        let mut policy = Policy::default();
        let ignored: Vec<String> =
            said.tighten(&mut policy).into_iter().map(|(what, place)| format!("{place} {what}")).collect();
        assert_eq!((policy.levels.len(), policy.waivers.len(), policy.tightened.len()), (0, 0, 2));
        assert!(!policy.self_approval && policy.protected.iter().any(|path| path == "db/"));
        assert!(ignored.contains(&"policy.toml:5:11 honesty = off".to_owned()), "{ignored:?}");
        assert_eq!(ignored.len(), 4);
    }

    #[test]
    fn every_problem_has_a_place_and_the_nearest_name() {
        let problems = |text: &str| -> Vec<String> {
            let problems = Said::read("p", text.as_bytes()).unwrap_err();
            problems.iter().map(|problem| format!("{problem} [{}]", problem.hint.as_deref().unwrap_or(""))).collect()
        };
        for (text, expect) in [
            ("protectd = []", "read p:1:1: unknown key `protectd` [did you mean `protected`?]"),
            (
                "[levels]\n\"sats/eval\" = \"off\"",
                "read p:2:1: there is no rule `sats/eval` [did you mean `sast/eval`?]",
            ),
            ("[levels]\nsast = \"no\"", "read p:2:8: a level must be \"off\", \"warn\" or \"block\" []"),
            ("[[waivers]]\nrule = \"sast\"\n", "read p:1:1: it needs `rule`, `path`, `reason` and `expires` []"),
            ("[[waivers]]\nrul = \"sast\"\n", "read p:2:1: unknown key `rul` [did you mean `rule`?]"),
            ("[[paths]]\nmatch = [\"a\"]\n", "read p:1:1: it needs `match` and `levels` []"),
            (
                "[[waivers]]\nrule = \"sast\"\npath = \"a\"\nreason = \"r\"\nexpires = \"soon\"",
                "read p:5:11: `expires` must be a day such as 2027-01-31 []",
            ),
            ("[owners]\nself_approval = 1", "read p:2:17: `self_approval` must be true or false []"),
            ("[secrets]\nalow = []", "read p:2:1: unknown key `alow` [did you mean `allow`?]"),
            ("waivers = 1", "read p:1:11: it must be a list of tables, `[[…]]` []"),
        ] {
            let found = problems(text);
            assert!(found.contains(&expect.to_owned()), "{text}: {found:?}");
        }
        assert!(problems("a = [")[0].starts_with("read p:1:"));
        assert!(Said::read("p", b"\xff").is_err() && Said::read("p", &vec![b'#'; MAX_BYTES + 1]).is_err());
    }
}
