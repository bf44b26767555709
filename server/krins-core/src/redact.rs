//! Redaction: the only maker of [`Redacted`], and the way back.
//!
//! A placeholder stands on the line its secret stood on and is a plain identifier, so that quotes stay closed, line
//! numbers stay true and a patch made from the redacted text still fits.

use crate::prompt::{Prompt, Rendered};
use crate::secrets;
use std::collections::BTreeMap;
use std::ops::Range;

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

/// What the placeholders stand for. Stays on this machine, and out of `Debug` output.
#[derive(Clone, Default)]
pub struct Restorer {
    prefix: String,
    /// By the placeholder's number, from 1.
    secrets: Vec<String>,
}

/// The answer names a placeholder that nothing was replaced by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("restore {placeholder} in the answer: no secret was replaced by it")]
pub struct Unresolved {
    pub placeholder: String,
}

const PREFIX: &str = "KRINS_SECRET_";

/// Replaces every secret in the prompt by a placeholder on the same line; one secret has one placeholder wherever it
/// stands. The same prompt gives the same placeholders.
pub fn redact(mut prompt: Prompt) -> (Redacted<Prompt>, Restorer) {
    let mut redactor = Redactor { prefix: free_prefix(&prompt), numbers: BTreeMap::new(), secrets: Vec::new() };
    prompt.intent = redactor.replace(&prompt.intent);
    for item in &mut prompt.items {
        item.text = redactor.replace(&item.text);
    }
    (Redacted(prompt), Restorer { prefix: redactor.prefix, secrets: redactor.secrets })
}

/// The same for words that somebody else wrote: a conversation on its way to a model.
pub fn redact_words(mut words: Rendered) -> (Redacted<Rendered>, Restorer) {
    let texts = || std::iter::once(&words.system).chain(words.turns.iter().map(|turn| &turn.text));
    let mut redactor = Redactor {
        prefix: free(|prefix| texts().any(|text| text.contains(prefix))),
        numbers: BTreeMap::new(),
        secrets: Vec::new(),
    };
    words.system = redactor.replace(&words.system);
    for turn in &mut words.turns {
        turn.text = redactor.replace(&turn.text);
        // Where it was may be in the middle of a placeholder now.
        turn.stable = 0;
    }
    (Redacted(words), Restorer { prefix: redactor.prefix, secrets: redactor.secrets })
}

/// A prefix that the prompt does not hold already, so that restoring can never touch the repository's own text.
fn free_prefix(prompt: &Prompt) -> String {
    free(|prefix| prompt.intent.contains(prefix) || prompt.items.iter().any(|item| item.text.contains(prefix)))
}

fn free(taken: impl Fn(&str) -> bool) -> String {
    let mut prefix = PREFIX.to_owned();
    while taken(&prefix) {
        prefix.push_str("X_");
    }
    prefix
}

/// What is replaced: secrets, and lines that can only be the middle of a key whose beginning is not in the text.
fn ranges(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = secrets::scan(text).into_iter().map(|hit| hit.range).collect();
    for lines in key_lines(text) {
        if found.iter().all(|range| range.end <= lines.start || lines.end <= range.start) {
            found.push(lines);
        }
    }
    found.sort_by_key(|range| range.start);
    found
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

struct Redactor {
    prefix: String,
    numbers: BTreeMap<String, usize>,
    secrets: Vec<String>,
}

impl Redactor {
    fn replace(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut copied = 0;
        for range in ranges(text) {
            out.push_str(&text[copied..range.start]);
            copied = range.end;
            self.replace_lines(&text[range], &mut out);
        }
        out.push_str(&text[copied..]);
        out
    }

    /// A secret of several lines (a key block) becomes one placeholder a line.
    fn replace_lines(&mut self, secret: &str, out: &mut String) {
        for line in secret.split_inclusive('\n') {
            let body = line.trim_end_matches(['\n', '\r']);
            if !body.is_empty() {
                let number = self.number(body);
                out.push_str(&format!("{}{number}", self.prefix));
            }
            out.push_str(&line[body.len()..]);
        }
    }

    fn number(&mut self, secret: &str) -> usize {
        if let Some(number) = self.numbers.get(secret) {
            return *number;
        }
        self.secrets.push(secret.to_owned());
        self.numbers.insert(secret.to_owned(), self.secrets.len());
        self.secrets.len()
    }
}

impl Restorer {
    /// Puts the secrets back into an answer. A placeholder that was changed or made up is an error: no answer may
    /// write it into a file.
    pub fn restore(&self, answer: &str) -> Result<String, Unresolved> {
        if self.secrets.is_empty() {
            return Ok(answer.to_owned());
        }
        let mut out = String::with_capacity(answer.len());
        let mut rest = answer;
        while let Some(at) = rest.find(&self.prefix) {
            let tail = &rest[at + self.prefix.len()..];
            let digits = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let secret =
                tail[..digits].parse::<usize>().ok().and_then(|number| self.secrets.get(number.checked_sub(1)?));
            let Some(secret) = secret else {
                return Err(Unresolved { placeholder: format!("{}{}", self.prefix, &tail[..digits]) });
            };
            out.push_str(&rest[..at]);
            out.push_str(secret);
            rest = &tail[digits..];
        }
        out.push_str(rest);
        Ok(out)
    }

    /// How many secrets were replaced.
    pub fn len(&self) -> usize {
        self.secrets.len()
    }

    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }
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
        assert!(restorer.restore("x KRINS_SECRET_2").is_err());
        assert!(restorer.restore("x KRINS_SECRET_").is_err());
        let text = format!("KRINS_SECRET_9 {}", key("6B"));
        let (redacted, restorer) = redact(prompt(&[&text]));
        assert_eq!(restorer.restore(&redacted.get().items[0].text).unwrap(), text);
    }
}
