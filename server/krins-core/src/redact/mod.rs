//! Redaction: the only maker of [`Redacted`], and the way back.
//!
//! For a prompt, secrets and personal data become placeholders that are valid where they stand: a secret a word, an
//! e-mail address one that nobody has, a number one that nobody has. A placeholder stands on the line its value stood on,
//! so that quotes stay closed, line numbers stay true and a patch made from the redacted text still fits; [`Restorer`]
//! puts the values back, exactly or not at all. For a log, an audit or an export they are gone for good: [`irreversible`].

mod personal;
mod placeholder;
#[cfg(test)]
mod properties;
mod restore;

pub use restore::{Restorer, Stream, Unresolved};

use crate::prompt::{Prompt, Rendered};
use crate::secrets;
use placeholder::Stems;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// What is redacted. Secrets always are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    Secret,
    Email,
    Phone,
    Iban,
    Card,
    /// Addresses of the public network.
    Ip,
    /// National numbers of people.
    Id,
    /// Account names: in home directories and in addresses with a user.
    User,
    /// Names of people where they stand as an author's.
    Person,
}

impl Class {
    pub const ALL: [Self; 9] =
        [Self::Secret, Self::Email, Self::Phone, Self::Iban, Self::Card, Self::Ip, Self::Id, Self::User, Self::Person];

    /// As settings and `[REDACTED:…]` say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Iban => "iban",
            Self::Card => "card",
            Self::Ip => "ip",
            Self::Id => "id",
            Self::User => "user",
            Self::Person => "person",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }
}

/// The classes of personal data that are redacted beside secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes(BTreeSet<Class>);

impl Default for Classes {
    fn default() -> Self {
        Self(Class::ALL.into())
    }
}

impl Classes {
    pub fn of(classes: impl IntoIterator<Item = Class>) -> Self {
        Self(classes.into_iter().collect())
    }

    /// Secrets and nothing else.
    pub fn secrets_only() -> Self {
        Self::of([])
    }

    fn hold(&self, class: Class) -> bool {
        class == Class::Secret || self.0.contains(&class)
    }
}

/// Proof that secrets were replaced by placeholders. The egress takes nothing else.
#[derive(Clone, Debug)]
pub struct Redacted<T>(T);

impl<T> Redacted<T> {
    pub fn get(&self) -> &T {
        &self.0
    }
}

impl Redacted<Prompt> {
    /// In words. What is added around a prompt's own text is constant and holds no secret.
    pub fn render(&self) -> Redacted<Rendered> {
        Redacted(self.0.render())
    }
}

/// The values of a session and their numbers, so that one value has one placeholder from task to task. Stays in memory on
/// this machine, and out of `Debug` output.
#[derive(Default)]
pub struct Vault {
    numbers: BTreeMap<(Class, String), usize>,
    counts: BTreeMap<Class, usize>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").field("values", &self.numbers.len()).finish()
    }
}

/// Values beyond this start a new session: nothing is kept without bound.
const MOST_VALUES: usize = 20_000;

impl Vault {
    fn number(&mut self, class: Class, value: &str) -> usize {
        if let Some(number) = self.numbers.get(&(class, value.to_owned())) {
            return *number;
        }
        let count = self.counts.entry(class).or_default();
        *count += 1;
        self.numbers.insert((class, value.to_owned()), *count);
        *count
    }
}

/// Redacts every class, for a prompt that stands alone. The same prompt gives the same placeholders.
pub fn redact(prompt: Prompt) -> (Redacted<Prompt>, Restorer) {
    redact_with(prompt, &Classes::default(), &mut Vault::default())
}

/// Replaces every secret, and personal data of those classes, by a placeholder on the same line; one value has one
/// placeholder wherever it stands, in this prompt and in every other of the session.
pub fn redact_with(mut prompt: Prompt, classes: &Classes, vault: &mut Vault) -> (Redacted<Prompt>, Restorer) {
    let texts = std::iter::once((None, std::mem::take(&mut prompt.intent)));
    let items =
        prompt.items.iter_mut().map(|item| (Some(item.path.as_str().to_owned()), std::mem::take(&mut item.text)));
    let (texts, restorer) = redact_all(texts.chain(items).collect(), classes, vault);
    let mut texts = texts.0.into_iter();
    prompt.intent = texts.next().unwrap_or_default();
    for (item, text) in prompt.items.iter_mut().zip(texts) {
        item.text = text;
    }
    (Redacted(prompt), restorer)
}

/// Secrets alone, in words that somebody else wrote: a conversation on its way to a model. Whose data may be in it is for
/// who leads it to say.
pub fn redact_words(mut words: Rendered) -> (Redacted<Rendered>, Restorer) {
    let turns = words.turns.iter_mut().map(|turn| (None, std::mem::take(&mut turn.text)));
    let texts = std::iter::once((None, std::mem::take(&mut words.system))).chain(turns).collect();
    let (texts, restorer) = redact_all(texts, &Classes::secrets_only(), &mut Vault::default());
    let mut texts = texts.0.into_iter();
    words.system = texts.next().unwrap_or_default();
    for (turn, text) in words.turns.iter_mut().zip(texts) {
        turn.text = text;
        // Where it was may be in the middle of a placeholder now.
        turn.stable = 0;
    }
    (Redacted(words), restorer)
}

/// As [`redact_with`], for texts that go out together, each with the path of the file that it is from.
pub fn redact_all(
    texts: Vec<(Option<String>, String)>,
    classes: &Classes,
    vault: &mut Vault,
) -> (Redacted<Vec<String>>, Restorer) {
    if vault.numbers.len() > MOST_VALUES {
        *vault = Vault::default();
    }
    let stems = Stems::free_in(texts.iter().map(|(_, text)| text.as_str()));
    let mut restorer = Restorer::new(&stems);
    let redacted = texts
        .iter()
        .map(|(path, text)| {
            let mut out = String::with_capacity(text.len());
            let mut copied = 0;
            for (class, range) in ranges(text, path.as_deref(), classes) {
                out.push_str(&text[copied..range.start]);
                copied = range.end;
                // A secret of several lines (a key block) becomes one placeholder a line.
                for line in text[range].split_inclusive('\n') {
                    let body = line.trim_end_matches(['\n', '\r']);
                    if !body.is_empty() {
                        let placeholder = stems.placeholder(class, body, vault.number(class, body));
                        out.push_str(&placeholder);
                        restorer.note(placeholder, body);
                    }
                    out.push_str(&line[body.len()..]);
                }
            }
            out.push_str(&text[copied..]);
            out
        })
        .collect();
    (Redacted(redacted), restorer)
}

/// The text with every secret and all personal data taken out for good, for what is kept or shown to others: logs, audits,
/// exports. Home directories and addresses of machines stay: who reads a log needs them to find anything.
pub fn irreversible(text: &str) -> Cow<'_, str> {
    static CLASSES: std::sync::LazyLock<Classes> = std::sync::LazyLock::new(|| {
        Classes::of([Class::Email, Class::Phone, Class::Iban, Class::Card, Class::Id, Class::Person])
    });
    let ranges = ranges(text, None, &CLASSES);
    if ranges.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for (class, range) in ranges {
        out.push_str(&text[copied..range.start]);
        copied = range.end;
        // The lines stay: a report is read by its lines.
        for line in text[range].split_inclusive('\n') {
            let body = line.trim_end_matches(['\n', '\r']);
            if !body.is_empty() {
                out.push_str(&format!("[REDACTED:{}]", class.name()));
            }
            out.push_str(&line[body.len()..]);
        }
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// What is replaced: secrets, what is put together from pieces or encoded, lines that can only be the middle of a key
/// whose beginning is not in the text, and personal data. In order, without overlaps.
fn ranges(text: &str, path: Option<&str>, classes: &Classes) -> Vec<(Class, Range<usize>)> {
    let whole = 0..text.len();
    let within = std::slice::from_ref(&whole);
    let mut found: Vec<(Class, Range<usize>)> = Vec::new();
    let secret = |range: Range<usize>| (Class::Secret, words(text, range));
    found.extend(secrets::scan_file(text, path, within).into_iter().map(|hit| secret(hit.range)));
    found.extend(key_lines(text).into_iter().map(|range| (Class::Secret, range)));
    found.extend(secrets::scan_encoded(text, path, within).into_iter().map(|hit| secret(hit.range)));
    // Personal data inside of a secret goes with it; so the secrets are first.
    let personal = personal::find(text, &|class| classes.hold(class) && class != Class::Secret);
    found.sort_by_key(|(_, range)| (range.start, range.end));
    let mut merged: Vec<(Class, Range<usize>)> = Vec::new();
    for (class, range) in found {
        match merged.last_mut().filter(|(_, last)| range.start < last.end) {
            Some((_, last)) => last.end = last.end.max(range.end),
            None => merged.push((class, range)),
        }
    }
    let apart =
        |range: &Range<usize>| merged.iter().all(|(_, secret)| range.end <= secret.start || secret.end <= range.start);
    let personal: Vec<_> = personal.into_iter().filter(|(_, range)| apart(range)).collect();
    merged.extend(personal);
    merged.sort_by_key(|(_, range)| range.start);
    merged
}

/// The range with the rest of the words at its ends, so that a placeholder always stands alone.
fn words(text: &str, range: Range<usize>) -> Range<usize> {
    let word = |c: &char| c.is_alphanumeric() || *c == '_';
    let before: usize = text[..range.start].chars().rev().take_while(word).map(char::len_utf8).sum();
    let after: usize = text[range.end..].chars().take_while(word).map(char::len_utf8).sum();
    range.start - before..range.end + after
}

/// Runs of two or more lines of exactly 64 base64 characters, as PEM wraps them (RFC 7468), and the shorter line that ends one.
fn key_lines(text: &str) -> Vec<Range<usize>> {
    let base64 = |line: &str| {
        !line.is_empty() && line.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
    };
    let mut runs = Vec::new();
    let (mut at, mut start, mut count) = (0, 0, 0);
    for line in text.split_inclusive('\n').chain([""]) {
        let body = line.trim();
        if body.len() == 64 && base64(body) {
            start = if count == 0 { at } else { start };
            count += 1;
        } else {
            if count >= 2 {
                let tail = if base64(body) && body.len() < 64 { line.len() } else { 0 };
                runs.push(start..at + tail);
            }
            count = 0;
        }
        at += line.len();
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::path::RelPath;
    use crate::prompt::{Item, PROMPT_VERSION, Turn};

    fn prompt(texts: &[&str]) -> Prompt {
        let item = |(index, text): (usize, &&str)| Item {
            path: RelPath::new(&format!("f{index}.ts")).unwrap(),
            digest: Digest::of(text),
            ranges: vec![[1, 1]],
            verbatim: true,
            text: (*text).to_owned(),
            tokens: 0,
            reason: String::new(),
        };
        Prompt {
            version: PROMPT_VERSION,
            intent: "x".into(),
            focus: None,
            items: texts.iter().enumerate().map(item).collect(),
        }
    }

    fn key(tail: &str) -> String {
        format!("ghp_q7Rf2ZkP9vXw3LmT8sNbH5cYdJ1gUa4eKo{tail}")
    }

    #[test]
    fn no_secret_stays_and_the_way_back_is_exact() {
        let (a, b) = (key("6B"), key("7C"));
        let text = format!("const a = '{a}';\r\nconst b = \"{b}\"; // {a}\n");
        let (redacted, restorer) = redact(prompt(&[&text, &format!("again {b}")]));
        let seen = &redacted.get().items[0].text;
        assert_eq!(seen, "const a = 'KRINS_SECRET_1';\r\nconst b = \"KRINS_SECRET_2\"; // KRINS_SECRET_1\n");
        assert_eq!(redacted.get().items[1].text, "again KRINS_SECRET_2");
        assert_eq!(restorer.restore(seen).unwrap(), text);
    }

    #[test]
    fn a_key_block_keeps_its_lines() {
        let text = format!("a\n-----BEGIN {}-----\nMIIE\nabc\n-----END PRIVATE KEY-----\nb\n", "PRIVATE KEY");
        let (redacted, restorer) = redact(prompt(&[&text]));
        let seen = &redacted.get().items[0].text;
        assert!(!seen.contains("MIIE"));
        assert_eq!(seen.lines().count(), text.lines().count());
        assert_eq!(restorer.restore(seen).unwrap(), text);
    }

    #[test]
    fn the_middle_of_a_key_is_redacted_without_its_first_line() {
        let line = "q7Rf2ZkP9vXw3LmT8sNbH5cYdJ1gUa4eKo6B/+q7Rf2ZkP9vXw3LmT8sNbH5cYd0";
        assert_eq!(line.len(), 64);
        let text = format!("{line}\n{line}\r\nabc=\nexport const x = 1;\n{line}\nlet y;\n");
        let (redacted, restorer) = redact(prompt(&[&text]));
        let seen = &redacted.get().items[0].text;
        assert_eq!(seen.matches(line).count(), 1, "one such line alone is a hash or data: {seen}");
        assert!(seen.contains("export const x = 1;") && !seen.contains("abc="), "{seen}");
        assert_eq!(seen.lines().count(), text.lines().count());
        assert_eq!(restorer.restore(seen).unwrap(), text);
    }

    #[test]
    fn a_conversation_is_redacted_turn_by_turn_with_one_placeholder_a_secret() {
        let (a, own) = (key("6B"), "KRINS_SECRET_1 is mine");
        let turns = vec![Turn::user(format!("my key is {a}")), Turn::assistant(own), Turn::user(format!("use {a}"))];
        let (redacted, restorer) = redact_words(Rendered { system: format!("never say {a}"), turns: turns.clone() });
        let words = redacted.get();
        assert!(!format!("{words:?}").contains(&a));
        assert_eq!(words.turns[1].text, own);
        let back: Vec<String> = words.turns.iter().map(|turn| restorer.restore(&turn.text).unwrap()).collect();
        assert_eq!(back, turns.into_iter().map(|turn| turn.text).collect::<Vec<_>>());
        assert_eq!((restorer.len(), restorer.restore(&words.system).unwrap()), (1, format!("never say {a}")));
    }

    #[test]
    fn a_made_up_placeholder_is_an_error_and_the_repositorys_own_is_not_touched() {
        let (_, restorer) = redact(prompt(&[&key("6B")]));
        for altered in [
            "KRINS_SECRET_2",
            "KRINS_SECRET_",
            "krins_secret_1",
            "KRINS_SECRET_12",
            "KRINS_SECRET_1x",
            "xKRINS_SECRET_1",
        ] {
            assert!(restorer.restore(&format!("x {altered} y")).is_err(), "{altered}");
        }
        assert!(redact(prompt(&["nothing"])).1.restore("const k = 'KRINS_SECRET_1';").is_err(), "made up");
        let text = format!("KRINS_SECRET_9 {}", key("6B"));
        let (redacted, restorer) = redact(prompt(&[&text]));
        assert_eq!(restorer.restore(&redacted.get().items[0].text).unwrap(), text);
    }
}
