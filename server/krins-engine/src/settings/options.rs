//! Options as somebody wrote them: a TOML file, the editor's JSON, environment variables, flags. Parsed and checked
//! against the table of keys, not yet weighed against each other.

use super::keys::{self, Key, Shape};
use krins_core::text::{Encoding, LineIndex};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use toml::de::{DeTable, DeValue};

/// Larger configurations are refused.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// Who wrote it, weakest first: a later one wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    User,
    Workspace,
    Editor,
    Environment,
    Flags,
}

/// A checked value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Integer(u64),
    List(Vec<String>),
    Commands(Vec<Vec<String>>),
}

/// Where something is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// A file's path, `the editor's settings`, an environment variable's name, or a flag.
    pub name: String,
    /// 1-based line and column (characters), in a file.
    pub at: Option<(u32, u32)>,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.at {
            Some((line, column)) => write!(f, "{}:{line}:{column}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Something in the configuration that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read {place}: {what}")]
pub struct Problem {
    pub place: Place,
    pub what: String,
    pub hint: Option<String>,
}

/// What one source says.
#[derive(Clone, Debug)]
pub struct Options {
    pub(super) source: Source,
    /// By path, `["providers", "work", "model"]`.
    pub(super) values: BTreeMap<Vec<String>, (Value, Place)>,
}

/// A value before it is checked against its key.
enum Raw<'a> {
    Toml(&'a DeValue<'a>),
    Json(&'a Json),
    /// Environment variables and flags are texts whatever the key's shape.
    Words(&'a str),
}

impl Options {
    fn new(source: Source) -> Self {
        Self { source, values: BTreeMap::new() }
    }

    /// Parses a file's content. All problems are reported, not only the first.
    pub fn toml(source: Source, name: &str, content: &[u8]) -> Result<Self, Vec<Problem>> {
        let problem = |what: String, hint: &str| Problem {
            place: Place { name: name.to_owned(), at: None },
            what,
            hint: (!hint.is_empty()).then(|| hint.to_owned()),
        };
        if content.len() > MAX_BYTES {
            return Err(vec![problem(format!("it is larger than {MAX_BYTES} bytes"), "")]);
        }
        let text = std::str::from_utf8(content).map_err(|error| {
            vec![problem(format!("it is not UTF-8 (byte {})", error.valid_up_to()), "save it as UTF-8")]
        })?;
        let lines = LineIndex::new(text);
        let place = |offset: usize| {
            let position = lines.position(text, offset, Encoding::Utf32);
            Place { name: name.to_owned(), at: Some((position.line + 1, position.column + 1)) }
        };
        let table = DeTable::parse(text).map_err(|error| {
            let place = place(error.span().map_or(0, |span| span.start));
            // Only the first line: the parser's message goes on with a list of what it expected.
            let what = error.message().lines().next().unwrap_or("it is not TOML").to_owned();
            vec![Problem { place, what, hint: None }]
        })?;
        let mut options = Self::new(source);
        let mut problems = Vec::new();
        options.take_table(table.get_ref(), &mut Vec::new(), &place, &mut problems);
        options.or(problems)
    }

    fn take_table(
        &mut self,
        table: &DeTable<'_>,
        path: &mut Vec<String>,
        place: &dyn Fn(usize) -> Place,
        problems: &mut Vec<Problem>,
    ) {
        for (key, value) in table {
            path.push(key.get_ref().to_string());
            match value.get_ref() {
                DeValue::Table(inner) if keys::is_section(path) => self.take_table(inner, path, place, problems),
                other => {
                    let at = if keys::find(path).is_some() { value.span().start } else { key.span().start };
                    self.take(path, &Raw::Toml(other), place(at), problems);
                }
            }
            path.pop();
        }
    }

    /// The editor's settings: an object as in the TOML file, `null` for nothing.
    pub fn json(name: &str, settings: &Json) -> Result<Self, Vec<Problem>> {
        let mut options = Self::new(Source::Editor);
        let mut problems = Vec::new();
        let place = Place { name: name.to_owned(), at: None };
        match settings {
            Json::Null => {}
            Json::Object(_) => options.take_json(settings, &mut Vec::new(), &place, &mut problems),
            _ => problems.push(Problem { place, what: "it is not an object".into(), hint: None }),
        }
        options.or(problems)
    }

    fn take_json(&mut self, value: &Json, path: &mut Vec<String>, place: &Place, problems: &mut Vec<Problem>) {
        match value {
            Json::Object(object) if path.is_empty() || keys::is_section(path) => {
                for (key, value) in object {
                    path.push(key.clone());
                    self.take_json(value, path, place, problems);
                    path.pop();
                }
            }
            // Editors send null for what is not set.
            Json::Null => {}
            value => self.take(path, &Raw::Json(value), place.clone(), problems),
        }
    }

    /// `KRINS_BUDGET_TOKENS` and the like. Variables that name no key are somebody else's.
    pub fn environment(env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<Problem>> {
        let mut options = Self::new(Source::Environment);
        let mut problems = Vec::new();
        for key in keys::KEYS {
            let Some(name) = key.variable() else { continue };
            if let Some(words) = env(&name).filter(|words| !words.is_empty()) {
                options.take(&key.path(), &Raw::Words(&words), Place { name, at: None }, &mut problems);
            }
        }
        options.or(problems)
    }

    /// Keys (`budget.tokens`) and values from the command line.
    pub fn flags(flags: &[(&str, String)]) -> Result<Self, Vec<Problem>> {
        let mut options = Self::new(Source::Flags);
        let mut problems = Vec::new();
        for (key, words) in flags {
            let path: Vec<String> = key.split('.').map(str::to_owned).collect();
            let place = Place { name: format!("the command line ({key})"), at: None };
            options.take(&path, &Raw::Words(words), place, &mut problems);
        }
        options.or(problems)
    }

    fn take(&mut self, path: &[String], raw: &Raw<'_>, place: Place, problems: &mut Vec<Problem>) {
        let Some(key) = keys::find(path) else {
            let hint = keys::nearest(path).map(|nearest| format!("did you mean `{nearest}`?"));
            problems.push(Problem { place, what: format!("unknown key `{}`", path.join(".")), hint });
            return;
        };
        match check(key, raw) {
            Ok(value) => {
                self.values.insert(path.to_vec(), (value, place));
            }
            Err(wanted) => {
                let what = format!("`{}` must be {wanted}", path.join("."));
                problems.push(Problem { place, what, hint: Some(key.doc.to_owned()) });
            }
        }
    }

    fn or(self, problems: Vec<Problem>) -> Result<Self, Vec<Problem>> {
        if problems.is_empty() { Ok(self) } else { Err(problems) }
    }
}

/// The value in its key's shape; `Err` says what it must be.
fn check(key: &Key, raw: &Raw<'_>) -> Result<Value, String> {
    let wanted = || key.shape.describe();
    match &key.shape {
        Shape::Text => raw.text().map(Value::Text).ok_or_else(wanted),
        Shape::Url => {
            let text = raw.text().ok_or_else(wanted)?;
            let http =
                url::Url::parse(&text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            if http { Ok(Value::Text(text)) } else { Err(wanted()) }
        }
        Shape::Choice(choices) => {
            let text = raw.text().filter(|text| choices.contains(&text.as_str()));
            text.map(Value::Text).ok_or_else(wanted)
        }
        Shape::Integer { min, max } => {
            let number = raw.integer().filter(|number| (*min..=*max).contains(number));
            number.map(Value::Integer).ok_or_else(wanted)
        }
        Shape::List => raw.list().map(Value::List).ok_or_else(wanted),
        Shape::Commands => raw.commands().map(Value::Commands).ok_or_else(wanted),
    }
}

impl Raw<'_> {
    fn text(&self) -> Option<String> {
        let text = match self {
            Raw::Toml(value) => value.as_str()?,
            Raw::Json(value) => value.as_str()?,
            Raw::Words(words) => words,
        };
        (!text.trim().is_empty()).then(|| text.to_owned())
    }

    fn integer(&self) -> Option<u64> {
        match self {
            Raw::Toml(value) => {
                let integer = value.as_integer()?;
                u64::from_str_radix(integer.as_str(), integer.radix()).ok()
            }
            Raw::Json(value) => value.as_u64(),
            Raw::Words(words) => words.trim().parse().ok(),
        }
    }

    /// In a variable or a flag: JSON.
    fn commands(&self) -> Option<Vec<Vec<String>>> {
        let json: Json;
        let commands: Vec<Vec<String>> = match self {
            Raw::Toml(value) => {
                let command = |item: &DeValue<'_>| -> Option<Vec<String>> {
                    item.as_array()?.iter().map(|word| Some(word.get_ref().as_str()?.to_owned())).collect()
                };
                value.as_array()?.iter().map(|item| command(item.get_ref())).collect::<Option<_>>()?
            }
            Raw::Json(value) => serde_json::from_value((*value).clone()).ok()?,
            Raw::Words(words) => {
                json = serde_json::from_str(words).ok()?;
                serde_json::from_value(json).ok()?
            }
        };
        let named = |command: &Vec<String>| command.first().is_some_and(|program| !program.trim().is_empty());
        commands.iter().all(named).then_some(commands)
    }

    fn list(&self) -> Option<Vec<String>> {
        match self {
            Raw::Toml(value) => {
                value.as_array()?.iter().map(|item| Some(item.get_ref().as_str()?.to_owned())).collect()
            }
            Raw::Json(value) => value.as_array()?.iter().map(|item| Some(item.as_str()?.to_owned())).collect(),
            Raw::Words(words) => {
                Some(words.split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect())
            }
        }
    }
}
