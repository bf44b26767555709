//! The way back: placeholders in an answer become the values they stand for, exactly or not at all.
//!
//! An answer may come in pieces; what can still become a placeholder is held back. A placeholder that nothing was replaced
//! by, one in another case and one that grew is an error: no answer may write it into a file.

use super::placeholder::{Stems, is_part};
use aho_corasick::AhoCorasick;
use std::collections::BTreeMap;

/// What the placeholders stand for. Stays on this machine, and out of `Debug` output.
#[derive(Clone)]
pub struct Restorer {
    finder: AhoCorasick,
    values: BTreeMap<String, String>,
}

impl std::fmt::Debug for Restorer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Restorer").field("values", &self.values.len()).finish()
    }
}

/// The answer names a placeholder that nothing was replaced by, or alters one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("restore {placeholder} in the answer: nothing was replaced by it")]
pub struct Unresolved {
    pub placeholder: String,
}

/// The longest that is held back of a text in which no placeholder has begun.
const LONGEST_HELD: usize = 4096;

impl Restorer {
    pub(super) fn new(stems: &Stems) -> Self {
        Self { finder: stems.finder(), values: BTreeMap::new() }
    }

    pub(super) fn note(&mut self, placeholder: String, value: &str) {
        self.values.insert(placeholder, value.to_owned());
    }

    /// Puts the values back into an answer.
    pub fn restore(&self, answer: &str) -> Result<String, Unresolved> {
        let mut stream = self.stream();
        let mut out = stream.push(answer)?;
        out.push_str(&stream.finish()?);
        Ok(out)
    }

    /// As [`Self::restore`], for an answer whose placeholders stand in JSON strings.
    pub fn restore_json(&self, answer: &str) -> Result<String, Unresolved> {
        let mut stream = Stream { escaped: true, ..self.stream() };
        let mut out = stream.push(answer)?;
        out.push_str(&stream.finish()?);
        Ok(out)
    }

    /// For an answer that comes in pieces.
    pub fn stream(&self) -> Stream<'_> {
        Stream { restorer: self, held: String::new(), last: None, escaped: false }
    }

    /// How many values were replaced.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

/// An answer on its way back. What is dropped before [`Self::finish`] is lost.
#[must_use = "the end of the answer is held back until it is finished"]
pub struct Stream<'a> {
    restorer: &'a Restorer,
    held: String,
    /// The last character that was given out.
    last: Option<char>,
    escaped: bool,
}

impl Stream<'_> {
    /// The next piece of the answer; what of it can be given out.
    pub fn push(&mut self, piece: &str) -> Result<String, Unresolved> {
        self.held.push_str(piece);
        // No placeholder goes on beyond a character that none has.
        let end = self
            .held
            .rfind(|c: char| !is_part(c))
            .map_or(0, |at| at + self.held[at..].chars().next().map_or(1, char::len_utf8));
        let end = if end == 0 && self.held.len() > LONGEST_HELD { self.before_the_last_stem() } else { end };
        self.give(end)
    }

    /// The rest of the answer.
    pub fn finish(&mut self) -> Result<String, Unresolved> {
        self.give(self.held.len())
    }

    /// In one long word: where the last stem begins, or as far as none can have begun.
    fn before_the_last_stem(&self) -> usize {
        let begun = self.restorer.finder.find_iter(&self.held).last().map(|found| found.start());
        let safe = self.held.len().saturating_sub(LONGEST_HELD / 2);
        let safe = (0..=safe).rev().find(|at| self.held.is_char_boundary(*at)).unwrap_or(0);
        begun.map_or(safe, |begun| begun.min(safe))
    }

    fn give(&mut self, end: usize) -> Result<String, Unresolved> {
        let text: String = self.held.drain(..end).collect();
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        while let Some(found) = self.restorer.finder.find(&text[at..]) {
            let (start, stem_end) = (at + found.start(), at + found.end());
            let before = text[..start].chars().next_back().or(if start == 0 { self.last } else { None });
            let (placeholder, value) = self.resolve(&text[start..], stem_end - start, before)?;
            out.push_str(&text[at..start]);
            match self.escaped {
                true => out.push_str(&in_json(value)),
                false => out.push_str(value),
            }
            at = start + placeholder;
        }
        out.push_str(&text[at..]);
        self.last = text.chars().next_back().or(self.last);
        Ok(out)
    }

    /// The length of the placeholder that the text begins with, and its value.
    fn resolve(&self, text: &str, stem: usize, before: Option<char>) -> Result<(usize, &str), Unresolved> {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let end = text.find(|c: char| !is_part(c)).unwrap_or(text.len());
        // What stands behind a placeholder may be part of another one, such as the dot of a sentence or a port.
        let ends = (stem..=end).rev().filter(|end| text.is_char_boundary(*end));
        let known = ends.filter_map(|end| self.restorer.values.get(&text[..end]).map(|value| (end, value.as_str())));
        let alone = |(end, _): &(usize, &str)| !before.is_some_and(word) && !text[*end..].starts_with(word);
        known
            .into_iter()
            .next()
            .filter(alone)
            .ok_or_else(|| Unresolved { placeholder: text[..end.min(stem + 40)].to_owned() })
    }
}

/// As it stands between the quotes of a JSON string.
fn in_json(value: &str) -> String {
    let quoted = serde_json::Value::from(value).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}
