//! Secrets in pieces: literals that code puts together again, `"AKIA" + "…"`, templates, lists that are joined.
//!
//! A small reader of expressions over string literals, in whatever language: half-typed and unknown code gives nothing,
//! never an error. It follows names that are bound to a literal in the same text, and knows the few calls that people
//! put strings together with.

use super::{Hidden, encoded};
use base64::Engine as _;
use std::collections::BTreeMap;
use std::ops::Range;

/// Nesting, pieces and length beyond these are not followed.
const DEPTH: u32 = 16;
const LONGEST: usize = 4 << 10;
const MOST_TOKENS: usize = 200_000;

#[derive(Clone, Debug, PartialEq)]
enum Token<'a> {
    Text(String),
    Word(&'a str),
    Number(u32),
    /// `${`, `{` or `#{` within a template and what ends it: the pieces of one literal.
    Template(Vec<Piece>),
    Sign(char),
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    Name(String),
}

/// What is put together within the bytes of the text, from more than one piece.
pub(super) fn find(text: &str, within: &Range<usize>) -> Vec<Hidden> {
    let tokens = tokens(text, within);
    let mut reader = Reader { text, tokens: &tokens, at: 0, bound: BTreeMap::new() };
    let mut found = Vec::new();
    while reader.at < tokens.len() {
        let start = reader.at;
        let begins =
            matches!(tokens[start].0, Token::Text(_) | Token::Template(_) | Token::Word(_) | Token::Sign('[' | '('));
        match begins.then(|| reader.sum(DEPTH)).flatten() {
            Some(value) if !value.text.is_empty() => {
                let range = tokens[start].1.start..tokens[reader.at - 1].1.end;
                let name = super::name_before(text, range.start).to_owned();
                if !name.is_empty() && value.known {
                    reader.bound.insert(name.clone(), value.text.clone());
                }
                if value.pieces > 1 {
                    found.push(Hidden { name, value: value.text, range });
                }
            }
            _ => reader.at = reader.at.max(start + 1),
        }
    }
    found
}

#[derive(Clone, Debug)]
struct Value {
    text: String,
    pieces: usize,
    /// Nothing unknown is in between.
    known: bool,
}

struct Reader<'a> {
    text: &'a str,
    tokens: &'a [(Token<'a>, Range<usize>)],
    at: usize,
    /// Names and the literals they stand for.
    bound: BTreeMap<String, String>,
}

impl<'a> Reader<'a> {
    fn peek(&self, ahead: usize) -> Option<&'a Token<'a>> {
        self.tokens.get(self.at + ahead).map(|(token, _)| token)
    }

    fn sign(&mut self, sign: char) -> bool {
        let there = self.peek(0) == Some(&Token::Sign(sign));
        self.at += usize::from(there);
        there
    }

    /// The word after a dot.
    fn method(&mut self) -> Option<String> {
        match (self.peek(0), self.peek(1), self.peek(2)) {
            (Some(Token::Sign('.')), Some(Token::Word(word)), Some(Token::Sign('('))) => {
                let word = (*word).to_owned();
                self.at += 3;
                Some(word)
            }
            _ => None,
        }
    }

    /// `a + b`, `a . b`, `a .. b`, `a & b`, and literals that stand side by side.
    fn sum(&mut self, depth: u32) -> Option<Value> {
        let mut sum = self.term(depth)?;
        loop {
            let before = self.at;
            let joined = self.joint();
            let adjacent = !joined && matches!(self.peek(0), Some(Token::Text(_))) && self.only_space_before();
            let next = if joined || adjacent { self.term(depth.checked_sub(1)?) } else { None };
            match next {
                Some(next) if sum.text.len() + next.text.len() <= LONGEST => {
                    sum.text.push_str(&next.text);
                    sum.pieces += next.pieces;
                    sum.known &= next.known;
                }
                _ => {
                    self.at = before;
                    return Some(sum);
                }
            }
        }
    }

    /// An operator that puts texts together.
    fn joint(&mut self) -> bool {
        if self.sign('+') || self.sign('&') || self.sign('~') {
            return true;
        }
        // `.` and `..` only before a literal: elsewhere they lead to a member.
        let dots = (0..2).take_while(|ahead| self.peek(*ahead) == Some(&Token::Sign('.'))).count();
        if dots > 0 && matches!(self.peek(dots), Some(Token::Text(_) | Token::Template(_))) {
            self.at += dots;
            return true;
        }
        false
    }

    /// Python, C and their kin: two literals side by side are one.
    fn only_space_before(&self) -> bool {
        let Some(before) = self.at.checked_sub(1).and_then(|at| self.tokens.get(at)) else { return false };
        let gap = before.1.end..self.tokens[self.at].1.start;
        matches!(before.0, Token::Text(_))
            && self.text.get(gap).is_some_and(|gap| gap.chars().all(|c| c.is_whitespace() || c == '\\'))
    }

    fn term(&mut self, depth: u32) -> Option<Value> {
        let depth = depth.checked_sub(1)?;
        let mut values = self.primary(depth)?;
        while let Some(method) = self.method() {
            let arguments = self.list(depth, ')');
            let first = arguments.first().map_or("", |value| value.text.as_str());
            match method.as_str() {
                "join" => values = vec![join(&values, first)],
                "concat" => values = vec![join(&[values, arguments].concat(), "")],
                "reverse" if values.len() == 1 => values = vec![reversed(values.remove(0))],
                "reverse" => values.reverse(),
                // The pieces of a text are put together again further on.
                "split" | "toString" | "trim" | "decode" => {}
                _ => break,
            }
        }
        match values.len() {
            1 => values.pop(),
            _ => None,
        }
    }

    /// One value, or those of a list.
    fn primary(&mut self, depth: u32) -> Option<Vec<Value>> {
        let one = |text: String| Some(vec![Value { text, pieces: 1, known: true }]);
        match self.peek(0)?.clone() {
            Token::Text(text) => {
                self.at += 1;
                one(text)
            }
            Token::Template(pieces) => {
                self.at += 1;
                Some(vec![self.template(&pieces)])
            }
            Token::Word(word) => self.word(word, depth),
            Token::Sign('(') => {
                self.at += 1;
                let value = self.sum(depth)?;
                self.sign(')').then(|| vec![value])
            }
            Token::Sign('[') => {
                self.at += 1;
                Some(self.list(depth, ']'))
            }
            Token::Number(_) | Token::Sign(_) => None,
        }
    }

    fn template(&self, pieces: &[Piece]) -> Value {
        let mut value = Value { text: String::new(), pieces: 0, known: true };
        for piece in pieces {
            match piece {
                Piece::Text(text) => value.text.push_str(text),
                Piece::Name(name) => match self.bound.get(name) {
                    Some(text) => value.text.push_str(text),
                    None => {
                        // What nobody knows ends what can be read.
                        value.known = false;
                        value.text.push(' ');
                    }
                },
            }
            value.pieces += 1;
        }
        value
    }

    fn word(&mut self, word: &str, depth: u32) -> Option<Vec<Value>> {
        // Rust's `concat!` is a call, too.
        if word == "concat" && self.peek(1) == Some(&Token::Sign('!')) {
            self.at += 1;
        }
        let calls = self.peek(1) == Some(&Token::Sign('('));
        match word {
            "atob" | "b64decode" | "fromCharCode" | "concat" if calls => {
                self.at += 2;
                if word == "fromCharCode" {
                    return self.characters().map(|value| vec![value]);
                }
                let arguments = self.list(depth, ')');
                let text = join(&arguments, "");
                if word == "concat" {
                    return Some(vec![text]);
                }
                let decoded = base64::engine::general_purpose::STANDARD.decode(text.text.trim()).ok()?;
                let text = String::from_utf8(decoded).ok()?;
                Some(vec![Value { text, pieces: 2, known: true }])
            }
            // `String.fromCharCode`, `base64.b64decode`, `Buffer.from("…", "base64")`: what is before the dot says nothing.
            "String" | "base64" | "window" | "globalThis" if self.peek(1) == Some(&Token::Sign('.')) => {
                self.at += 2;
                self.primary(depth)
            }
            _ if calls => None,
            _ => {
                let text = self.bound.get(word)?.clone();
                self.at += 1;
                Some(vec![Value { text, pieces: 1, known: true }])
            }
        }
    }

    /// Numbers up to the bracket, as characters.
    fn characters(&mut self) -> Option<Value> {
        let mut text = String::new();
        let mut pieces = 0;
        loop {
            match self.peek(0)? {
                Token::Number(code) => {
                    text.push(char::from_u32(*code)?);
                    pieces += 1;
                }
                Token::Sign(')') => {
                    self.at += 1;
                    return Some(Value { text, pieces: pieces + 1, known: true });
                }
                Token::Sign(',') | Token::Sign('.') => {}
                _ => return None,
            }
            self.at += 1;
        }
    }

    /// Values up to the closing bracket; what is none is left out.
    fn list(&mut self, depth: u32, close: char) -> Vec<Value> {
        let mut values = Vec::new();
        let mut open = 0_u32;
        while let Some(token) = self.peek(0).cloned() {
            if token == Token::Sign(close) && open == 0 {
                self.at += 1;
                break;
            }
            let before = self.at;
            if let Some(value) = self.sum(depth) {
                values.push(value);
                continue;
            }
            if self.at > before {
                // Something was read that has no value, such as a list.
                continue;
            }
            match token {
                Token::Sign('(' | '[') => open += 1,
                Token::Sign(')' | ']') => match open.checked_sub(1) {
                    Some(rest) => open = rest,
                    None => break,
                },
                Token::Sign(';' | '{' | '}') => break,
                _ => {}
            }
            self.at += 1;
        }
        values
    }
}

fn join(values: &[Value], by: &str) -> Value {
    let texts: Vec<&str> = values.iter().map(|value| value.text.as_str()).collect();
    let mut text = texts.join(by);
    if text.len() > LONGEST {
        text.clear();
    }
    let pieces = values.iter().map(|value| value.pieces).sum();
    Value { text, pieces, known: values.iter().all(|value| value.known) }
}

fn reversed(value: Value) -> Value {
    Value { text: value.text.chars().rev().collect(), pieces: value.pieces + 1, known: value.known }
}

fn tokens<'a>(text: &'a str, within: &Range<usize>) -> Vec<(Token<'a>, Range<usize>)> {
    let bytes = text.as_bytes();
    let end = within.end.min(text.len());
    let mut tokens = Vec::new();
    let mut at = within.start;
    while at < end && tokens.len() < MOST_TOKENS {
        let start = at;
        let byte = bytes[at];
        let token = match byte {
            b'"' | b'\'' | b'`' => match literal(text, at, end) {
                Some((token, after)) => {
                    at = after;
                    Some(token)
                }
                None => {
                    at += 1;
                    None
                }
            },
            b'0'..=b'9' => {
                at += bytes[at..end].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
                let digits = &text[start..at];
                let number = match digits.strip_prefix("0x") {
                    Some(hex) => u32::from_str_radix(hex, 16),
                    None => digits.parse(),
                };
                number.ok().map(Token::Number)
            }
            _ if byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'$') => {
                let part = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$');
                at += bytes[at..end].iter().take_while(part).count();
                // A prefix of a literal is no word: r"…", b"…", f"…".
                let prefix = at - start <= 2 && at < end && matches!(bytes[at], b'"' | b'\'');
                (!prefix).then(|| Token::Word(&text[start..at]))
            }
            b'/' if bytes.get(at + 1) == Some(&b'/') && !is_address(bytes, at) => {
                at = line_end(bytes, at, end);
                None
            }
            _ if byte.is_ascii_whitespace() || !byte.is_ascii() => {
                at += 1;
                None
            }
            _ => {
                at += 1;
                Some(Token::Sign(char::from(byte)))
            }
        };
        if let Some(token) = token {
            tokens.push((token, start..at));
        }
    }
    tokens
}

/// `https://…` that stands outside of quotes.
fn is_address(bytes: &[u8], at: usize) -> bool {
    at > 0 && bytes[at - 1] == b':'
}

fn line_end(bytes: &[u8], at: usize, end: usize) -> usize {
    memchr::memchr(b'\n', &bytes[at..end]).map_or(end, |length| at + length)
}

/// A literal from its quote on, and where it ends. Only backticks go over lines.
fn literal<'a>(text: &'a str, at: usize, end: usize) -> Option<(Token<'a>, usize)> {
    let bytes = text.as_bytes();
    let quote = bytes[at];
    let mut pieces = Vec::new();
    let mut value = String::new();
    let mut here = at + 1;
    while here < end {
        let rest = &text[here..end];
        let c = rest.chars().next()?;
        match c {
            _ if bytes[here] == quote => {
                if pieces.is_empty() {
                    return Some((Token::Text(value), here + 1));
                }
                pieces.push(Piece::Text(value));
                return Some((Token::Template(pieces), here + 1));
            }
            '\n' if quote != b'`' => return None,
            '\\' => match encoded::escape(rest) {
                Some((byte, length)) => {
                    value.push(char::from(byte));
                    here += length;
                }
                None => {
                    let escaped = rest.chars().nth(1)?;
                    value.push(match escaped {
                        'n' => '\n',
                        't' => '\t',
                        other => other,
                    });
                    here += 1 + escaped.len_utf8();
                }
            },
            '$' | '#' if rest[1..].starts_with('{') => {
                let close = rest.find('}')?;
                pieces.push(Piece::Text(std::mem::take(&mut value)));
                let inner = rest[2..close].trim();
                // A literal in a template is a piece like any other.
                let plain =
                    inner.len() >= 2 && inner.starts_with(['"', '\'', '`']) && inner.ends_with(['"', '\'', '`']);
                pieces.push(match plain {
                    true => Piece::Text(inner[1..inner.len() - 1].to_owned()),
                    false => Piece::Name(inner.to_owned()),
                });
                here += close + 1;
            }
            _ => {
                value.push(c);
                here += c.len_utf8();
            }
        }
        if value.len() > LONGEST {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<String> {
        find(text, &(0..text.len())).into_iter().map(|hidden| hidden.value).collect()
    }

    #[test]
    fn pieces_are_put_together_in_many_languages() {
        for text in [
            "const k = \"abc\" + 'def' + `ghi`;",
            "const k = \"abc\" +\n  // more\n  \"def\" +\n  \"ghi\";",
            "const k = `abc${\"def\"}ghi`;",
            "const k = ['abc', 'def', 'ghi'].join('');",
            "const k = 'abc'.concat('def', 'ghi');",
            "const k = ['ghi', 'def', 'abc'].reverse().join(\"\");",
            "const k = 'ihgfedcba'.split('').reverse().join('');",
            "const k = atob('YWJj' + 'ZGVmZ2hp');",
            "const k = String.fromCharCode(97, 98, 99, 0x64, 101, 102, 103, 104, 105);",
            "const a = 'abc', b = 'def';\nconst k = a + b + 'ghi';",
            "const a = 'abc';\nconst k = `${a}defghi`;",
            "k = ('abc'\n     'def'\n     'ghi')",
            "$k = 'abc' . 'def' . 'ghi';",
            "local k = \"abc\" .. \"def\" .. \"ghi\"",
            "let k = concat!(\"abc\", \"def\", \"ghi\");",
            "k := \"abc\" + (\"def\" + \"ghi\")",
        ] {
            assert!(values(text).contains(&"abcdefghi".to_owned()), "{text}: {:?}", values(text));
        }
    }

    #[test]
    fn the_name_stands_with_the_value() {
        let text = "auth: { apiToken: 'abc' + 'def' }";
        let found = find(text, &(0..text.len()));
        assert_eq!((found[0].name.as_str(), &text[found[0].range.clone()]), ("apiToken", "'abc' + 'def'"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_to_its_end(text in "[a-z'\"`+.()\\[\\]$ {}\\\\,\n/é]{0,200}") {
            let _ = values(&text);
        }
    }
}
