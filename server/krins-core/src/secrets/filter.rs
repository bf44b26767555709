//! What makes a match a secret: entropy, allow-lists, words. The patterns give the recall and this the precision: a
//! pattern alone flags every example key in every README.

use super::rules::{Pattern, Rule, SET, Set};
use memchr::memmem;
use std::ops::Range;

/// A match, and the secret in it.
pub(super) struct Match<'a> {
    pub text: &'a str,
    pub path: Option<&'a str>,
    pub whole: Range<usize>,
    pub secret: Range<usize>,
}

/// Parts of values that people write where a secret would stand.
const STOP_WORDS: &[&str] = &[
    "example",
    "sample",
    "dummy",
    "placeholder",
    "your",
    "changeme",
    "change_me",
    "xxxx",
    "0000",
    "1234567",
    "abcdef",
    "redacted",
    "krins_secret",
    "insert",
    "replace",
    "test_key",
    "fake",
    "lorem",
    "process.env",
    "import.meta",
    "undefined",
    "localhost",
    "required",
    "invalid",
    "password123",
    "foobar",
    "todo",
];

/// Base64 that goes on for so many bytes beyond the secret is data: a font, an image, a program.
const BLOB: usize = 200;
/// A name and a value in a line this long are data or a bundle.
const LONGEST_LINE: usize = 5000;
/// What stands so far before a match can be the word it belongs to.
const CONTEXT: usize = 50;
/// Where the name of an issuer is looked for: before a match, and behind it, on its line.
const NEAR: [usize; 2] = [150, 50];

impl Match<'_> {
    fn secret(&self) -> &str {
        &self.text[self.secret.clone()]
    }

    /// The lines of the match.
    fn line(&self) -> Range<usize> {
        let start = memchr::memrchr(b'\n', &self.text.as_bytes()[..self.whole.start]).map_or(0, |at| at + 1);
        let end = memchr::memchr(b'\n', &self.text.as_bytes()[self.whole.end..]);
        start..end.map_or(self.text.len(), |at| self.whole.end + at)
    }

    /// The match with what stands so far before and behind it on its line.
    fn around(&self, before: usize, behind: usize) -> &str {
        let line = self.line();
        let start = ceil(self.text, self.whole.start.saturating_sub(before).max(line.start));
        let end = floor(self.text, (self.whole.end + behind).min(line.end));
        &self.text[start..end.max(start)]
    }
}

fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

fn ceil(text: &str, at: usize) -> usize {
    (at..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

fn any(patterns: &[Pattern], text: &str) -> bool {
    patterns.iter().any(|pattern| pattern.is_match(text))
}

/// Whether the rule's filters let the match through; the costly ones are asked last.
pub(super) fn accepts(rule: &Rule, found: &Match<'_>) -> bool {
    let secret = found.secret();
    if rule.entropy > 0.0 {
        let entropy = entropy(secret);
        // Sixteen digits never reach what sixty-four letters do.
        let least = if rule.mixed && is_hex(secret) { HEX_ENTROPY } else { rule.entropy };
        if entropy < least || rule.above && entropy <= least {
            return false;
        }
    }
    let line = || &found.text[found.line()];
    if rule.placeholders && is_placeholder(secret)
        || rule.mixed && !is_mixed(secret)
        || rule.check.is_some_and(|check| !check(secret))
        || any(&rule.unless, secret)
        || rule.needs.iter().any(|needed| !needed.is_match(secret))
        || rule.without.iter().any(|word| memmem::find(secret.as_bytes(), word.as_bytes()).is_some())
        || any(&rule.unless_match, &found.text[found.whole.clone()])
        || found.path.is_some_and(|path| any(&rule.unless_path, path))
        || (rule.words || rule.mixed) && found.line().len() > LONGEST_LINE
        || in_blob(found.text, &found.secret)
        || any(&rule.unless_line, line())
        || rule.needs_line.iter().any(|needed| !needed.is_match(line()))
    {
        return false;
    }
    (rule.placeholders || in_general(&SET, secret)) && (!rule.words || is_no_word(rule, found, &SET))
}

/// The filters that all rules from elsewhere share.
fn in_general(set: &Set, secret: &str) -> bool {
    let lower = secret.to_ascii_lowercase();
    !any(&set.unless, secret) && !set.without.iter().any(|word| lower.contains(word.as_str()))
}

/// The filters of a rule that knows only a name before a value.
fn is_no_word(rule: &Rule, found: &Match<'_>, set: &Set) -> bool {
    let secret = found.secret();
    if rule.stop_words && set.stop_words.is_match(secret) || any(&rule.unless_context, &in_word(found)) {
        return false;
    }
    let near = found.around(NEAR[0], NEAR[1]).to_ascii_lowercase();
    let public = |public: &super::rules::Public| {
        public.near.iter().any(|word| near.contains(word.as_str())) && any(&public.secret, secret)
    };
    let of_recipe = || {
        found.path.is_some_and(|path| any(&set.unless_line_of.path, path))
            && any(&set.unless_line_of.line, &found.text[found.line()])
    };
    !set.public.iter().any(public) && !of_recipe() && !is_worded(set, secret)
}

/// The match with the word, dots and hyphens that stand right before it.
fn in_word(found: &Match<'_>) -> String {
    let context = found.around(CONTEXT, 0);
    let before = &context[..context.len().saturating_sub(found.whole.len())];
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let start =
        before.rfind(|c: char| !word(c)).map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    context[start..].to_owned()
}

/// Whether the value reads like words: it holds one, or takes few tokens for its length.
fn is_worded(set: &Set, secret: &str) -> bool {
    let short = secret.len() < 20 && secret.contains(['\n', '\r']);
    let value = if short { secret.replace(['\n', '\r'], "") } else { secret.to_owned() };
    let lower = value.to_ascii_lowercase();
    if holds(&set.words, &lower, 5..=14) {
        return true;
    }
    // Bytes for a token of cl100k, beyond which text is rather language than chance.
    let most = if value.len() < 12 && holds(&set.short_words, &lower, 4..=4) { 2.1 } else { 2.5 };
    let tokens = crate::tokens::Vocabulary::of_model("gpt-4").count(&value);
    tokens > 0 && value.len() as f64 / f64::from(tokens) >= most
}

/// Whether one of the sorted words, of such lengths, stands in the text.
fn holds(words: &[String], text: &str, lengths: std::ops::RangeInclusive<usize>) -> bool {
    (0..text.len()).any(|start| {
        lengths.clone().any(|length| {
            text.get(start..start + length)
                .is_some_and(|part| words.binary_search_by(|word| word.as_str().cmp(part)).is_ok())
        })
    })
}

/// Whether the secret is a piece of base64 data.
fn in_blob(text: &str, secret: &Range<usize>) -> bool {
    let bytes = text.as_bytes();
    let part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'_' | b'-');
    let before = bytes[..secret.start].iter().rev().take(BLOB).take_while(|byte| part(byte)).count();
    let behind = bytes[secret.end..].iter().take(BLOB).take_while(|byte| part(byte)).count();
    if before + behind >= BLOB {
        return true;
    }
    before < BLOB && bytes[..secret.start - before].ends_with(b";base64,")
}

/// `user:password` in base64.
pub(super) fn is_basic(secret: &str) -> bool {
    use base64::Engine as _;
    let decoded = base64::engine::general_purpose::STANDARD_NO_PAD.decode(secret.trim_end_matches('='));
    let text = decoded.ok().and_then(|bytes| String::from_utf8(bytes).ok());
    text.is_some_and(|text| {
        text.chars().all(|c| !c.is_control())
            && text.split_once(':').is_some_and(|(user, password)| !user.is_empty() && !password.is_empty())
    })
}

/// What people take for a password: letters, and something that words do not have.
pub(super) fn is_password(secret: &str) -> bool {
    let other = |byte: u8| byte.is_ascii_digit() || b"!@#^&*:?+~".contains(&byte);
    secret.bytes().any(|byte| byte.is_ascii_alphabetic())
        && secret.bytes().any(other)
        && !secret.contains("://")
        && !secret.starts_with(['/', '.', '#', '@', ':'])
        && !secret.ends_with([':', '?'])
}

/// Letters and more than one digit, and no word.
pub(super) fn is_short_token(secret: &str) -> bool {
    secret.bytes().filter(u8::is_ascii_digit).count() > 1 && is_mixed(secret) && !is_worded(&SET, secret)
}

fn is_placeholder(secret: &str) -> bool {
    let lower = secret.to_ascii_lowercase();
    STOP_WORDS.iter().any(|word| lower.contains(word)) || is_run(secret)
}

/// Bits per byte of a random text of hexadecimal digits, as long as a key is: at most 4, seldom under this.
const HEX_ENTROPY: f32 = 3.1;

fn is_hex(secret: &str) -> bool {
    secret.len() >= 32 && secret.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_mixed(secret: &str) -> bool {
    secret.bytes().any(|b| b.is_ascii_digit()) && secret.bytes().any(|b| b.is_ascii_alphabetic())
}

/// Whether one character, or one step between characters, makes up most of it: `aaaa…`, `abcdefgh…`.
fn is_run(secret: &str) -> bool {
    let bytes = secret.as_bytes();
    let steps = bytes.windows(2).filter(|pair| pair[1] == pair[0] || pair[1] == pair[0].wrapping_add(1)).count();
    steps * 2 > bytes.len()
}

/// Shannon entropy in bits per byte.
pub(super) fn entropy(text: &str) -> f32 {
    let mut counts = [0u32; 256];
    for byte in text.bytes() {
        counts[usize::from(byte)] += 1;
    }
    let total = text.len() as f32;
    counts.iter().filter(|count| **count > 0).map(|count| *count as f32 / total).map(|p| -p * p.log2()).sum()
}
