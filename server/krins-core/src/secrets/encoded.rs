//! Secrets in another spelling: base64, hex, percent and backslash escapes, and these within each other.
//!
//! What is decoded is looked at as if it stood in the place of its encoding. Only text comes of it: bytes that are no
//! printable ASCII are data, and a long run is data too.

use super::Hidden;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use std::ops::Range;

/// Spellings within spellings beyond this are not taken apart.
const DEPTH: u32 = 2;
/// Runs outside of these lengths hold no secret, or are data.
const SHORTEST: usize = 16;
const LONGEST: usize = 8 << 10;
/// The most runs that are looked at in one text, so that a hostile one costs no more than a large one.
const MOST: usize = 2000;

/// What is encoded within the bytes of the text, decoded; each with the bytes that it was written as.
pub(super) fn find(text: &str, within: &Range<usize>) -> Vec<Hidden> {
    let mut found = Vec::new();
    let mut looked = 0;
    collect(text, within, None, DEPTH, &mut looked, &mut found);
    found
}

/// `origin`: the outermost encoding that the text was in, and its name.
fn collect(
    text: &str,
    within: &Range<usize>,
    origin: Option<(&str, &Range<usize>)>,
    depth: u32,
    looked: &mut usize,
    found: &mut Vec<Hidden>,
) {
    for (run, decode) in runs(text, within) {
        *looked += 1;
        if *looked > MOST {
            return;
        }
        let Some(value) = decode(&text[run.clone()]) else { continue };
        let (name, range) = match origin {
            Some((name, range)) => (name.to_owned(), range.clone()),
            None => (super::name_before(text, run.start).to_owned(), run),
        };
        if depth > 1 {
            collect(&value, &(0..value.len()), Some((&name, &range)), depth - 1, looked, found);
        }
        found.push(Hidden { name, value, range });
    }
}

type Decode = fn(&str) -> Option<String>;

/// Runs that may be an encoding, and how they are read.
fn runs(text: &str, within: &Range<usize>) -> Vec<(Range<usize>, Decode)> {
    let bytes = text.as_bytes();
    let mut found: Vec<(Range<usize>, Decode)> = Vec::new();
    let mut at = within.start;
    while at < within.end.min(bytes.len()) {
        if !is_base64(bytes[at]) {
            at += 1;
            continue;
        }
        let start = at;
        while at < bytes.len() && is_base64(bytes[at]) {
            at += 1;
        }
        let padding = bytes[at..].iter().take(2).take_while(|byte| **byte == b'=').count();
        if (SHORTEST..=LONGEST).contains(&(at - start)) {
            found.push((start..at + padding, base64));
            found.push((start..at, hex));
        }
        at += padding;
    }
    for (mark, decode) in [(&b"%"[..], percent as Decode), (&b"\\"[..], escapes as Decode)] {
        let mut from = within.start;
        while let Some(found_at) = memchr::memmem::find(&bytes[from..within.end.min(bytes.len())], mark) {
            let run = token(text, from + found_at);
            from = run.end.max(from + found_at + 1);
            if (SHORTEST..=LONGEST).contains(&run.len()) {
                found.push((run, decode));
            }
        }
    }
    found
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

/// The text without quotes and white space that the byte is in.
fn token(text: &str, at: usize) -> Range<usize> {
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | '(' | ')');
    let start = text[..at].rfind(ends).map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
    let end = text[at..].find(ends).map_or(text.len(), |end| at + end);
    start..end
}

/// Text and nothing else.
fn printable(bytes: Vec<u8>) -> Option<String> {
    let text = |byte: &u8| (b' '..=b'~').contains(byte) || matches!(byte, b'\n' | b'\r' | b'\t');
    (bytes.len() >= 8 && bytes.iter().all(text)).then(|| String::from_utf8(bytes).ok())?
}

fn base64(run: &str) -> Option<String> {
    let run = run.trim_end_matches('=');
    let decoded = STANDARD_NO_PAD.decode(run).or_else(|_| URL_SAFE_NO_PAD.decode(run));
    printable(decoded.ok()?)
}

fn hex(run: &str) -> Option<String> {
    let run = run.strip_prefix("0x").unwrap_or(run).as_bytes();
    if !run.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let bytes = run.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?));
    printable(bytes.collect::<Option<Vec<u8>>>()?)
}

/// Three escapes are no accident.
const FEWEST_ESCAPES: usize = 3;

fn percent(run: &str) -> Option<String> {
    let bytes = run.as_bytes();
    let (mut out, mut at, mut escapes) = (Vec::with_capacity(bytes.len()), 0, 0);
    while at < bytes.len() {
        let code = (bytes[at] == b'%').then(|| run.get(at + 1..at + 3)).flatten();
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                escapes += 1;
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    (escapes >= FEWEST_ESCAPES).then(|| printable(out)).flatten()
}

/// `\u0041`, `\u{41}`, `\x41`, `\101`.
fn escapes(run: &str) -> Option<String> {
    let (mut out, mut rest, mut escapes) = (Vec::with_capacity(run.len()), run, 0);
    while let Some(first) = rest.chars().next() {
        match escape(rest) {
            Some((byte, length)) => {
                escapes += 1;
                out.push(byte);
                rest = &rest[length..];
            }
            None => {
                let mut buffer = [0; 4];
                out.extend_from_slice(first.encode_utf8(&mut buffer).as_bytes());
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    (escapes >= FEWEST_ESCAPES).then(|| printable(out)).flatten()
}

/// The byte of an escape, and how long the escape is.
pub(super) fn escape(text: &str) -> Option<(u8, usize)> {
    let body = text.strip_prefix('\\')?;
    let (digits, radix, length) = if let Some(braced) = body.strip_prefix("u{") {
        let end = braced.find('}').filter(|end| *end <= 6)?;
        (&braced[..end], 16, end + 4)
    } else if let Some(four) = body.strip_prefix('u') {
        (four.get(..4)?, 16, 6)
    } else if let Some(two) = body.strip_prefix('x') {
        (two.get(..2)?, 16, 4)
    } else {
        (body.get(..3)?, 8, 4)
    };
    let value = u32::from_str_radix(digits, radix).ok()?;
    u8::try_from(value).ok().filter(u8::is_ascii).map(|byte| (byte, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<String> {
        find(text, &(0..text.len())).into_iter().map(|hidden| hidden.value).collect()
    }

    #[test]
    fn each_spelling_is_read_and_those_within_each_other() {
        let plain = "token-of-some-length-9";
        let hex: String = plain.bytes().map(|byte| format!("{byte:02x}")).collect();
        let unicode: String = plain.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
        let bytes: String = plain.bytes().map(|byte| format!("\\x{byte:02X}")).collect();
        let octal: String = plain.bytes().map(|byte| format!("\\{byte:03o}")).collect();
        let percent: String = plain.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let base = base64::engine::general_purpose::STANDARD.encode(plain);
        let twice = base64::engine::general_purpose::URL_SAFE.encode(&base);
        for text in [&hex, &unicode, &bytes, &octal, &percent, &base, &twice] {
            let code = format!("let key = decode('{text}');");
            assert!(values(&code).contains(&plain.to_owned()), "{code}");
            assert_eq!(find(&code, &(0..code.len()))[0].name, "key");
        }
    }

    #[test]
    fn data_is_no_text() {
        for text in ["AAECAwQFBgcICQoLDA0ODw==", "deadbeefdeadbeefdeadbeefdeadbeef", "plainWordsThatAreNoEncoding", ""]
        {
            assert_eq!(values(text), [] as [String; 0], "{text}");
        }
    }
}
