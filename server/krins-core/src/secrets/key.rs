//! The text of a key block: where it ends, and whether it is one.

/// A line of a block is 64 characters long but for the last; a shorter word is no proof of a key.
const SHORTEST_KEY_LINE: usize = 16;

/// A key's block ends with its END line, and one that was cut with its last line of key. Words about a key are no block,
/// and no secret: `None`.
pub(super) fn end_of_key(text: &str, from: usize) -> Option<usize> {
    let mut end = None;
    let mut empty = true;
    for (index, line) in text[from..].split_inclusive('\n').enumerate() {
        let body = line.find("-----END").map_or(line, |at| &line[..at]);
        let key = key_part(body);
        if index > 0 && key.is_none() {
            break;
        }
        if let Some(tail) = line.strip_prefix(body).and_then(|tail| tail.strip_prefix("-----END")) {
            let close = tail.find("-----").map_or(tail.len(), |at| at + 5);
            return (!empty || key.is_some_and(|key| !key.is_empty())).then_some(offset_in(text, tail) + close);
        }
        empty &= key.is_none_or(str::is_empty);
        if key.is_some_and(|key| key.len() >= SHORTEST_KEY_LINE) {
            end = Some(offset_in(text, line) + line.trim_end().len());
        }
    }
    end
}

/// Where a part of the text begins in it.
fn offset_in(text: &str, part: &str) -> usize {
    part.as_ptr() as usize - text.as_ptr() as usize
}

/// The base64 of a line, as it is or as a string of code; a header of the block; or nothing. `None` is another text.
fn key_part(line: &str) -> Option<&str> {
    let code = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | ',' | ';' | '+' | '(' | ')' | '*' | '#');
    let part = line.trim_matches(code);
    let base64 = part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'\\'));
    let named = |name: &str| name.contains('-') && name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-');
    (base64 || part.split_once(": ").is_some_and(|(name, _)| named(name))).then_some(part)
}
