//! Positions as LSP counts them, over plain strings. It must not know about messages.

use serde_json::{Value, json};

/// What `character` counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    Utf8,
    /// What holds when nothing was negotiated.
    #[default]
    Utf16,
    Utf32,
}

impl Encoding {
    /// The encoding of a `positionEncoding` value.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "utf-8" => Some(Self::Utf8),
            "utf-16" => Some(Self::Utf16),
            "utf-32" => Some(Self::Utf32),
            _ => None,
        }
    }

    fn len(self, char: char) -> usize {
        match self {
            Self::Utf8 => char.len_utf8(),
            Self::Utf16 => char.len_utf16(),
            Self::Utf32 => 1,
        }
    }
}

/// Where each line begins, and the length of its text without the line end.
fn lines(text: &str) -> Vec<(usize, usize)> {
    let bytes = text.as_bytes();
    let (mut lines, mut start, mut at) = (Vec::new(), 0, 0);
    while at < bytes.len() {
        let end = match bytes[at] {
            b'\r' if bytes.get(at + 1) == Some(&b'\n') => 2,
            b'\r' | b'\n' => 1,
            _ => 0,
        };
        if end > 0 {
            lines.push((start, at - start));
            start = at + end;
        }
        at += end.max(1);
    }
    lines.push((start, bytes.len() - start));
    lines
}

/// The byte offset of a position. A character past the line's end means its end, a line past the last means the text's end.
pub fn offset(text: &str, position: &Value, encoding: Encoding) -> usize {
    let number = |key: &str| position[key].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    let Some(&(start, length)) = lines(text).get(number("line")) else {
        return text.len();
    };
    let mut left = number("character");
    for (at, char) in text[start..start + length].char_indices() {
        if left < encoding.len(char) {
            return start + at;
        }
        left -= encoding.len(char);
    }
    start + length
}

/// The position of a byte offset, which must lie on a character.
pub fn position(text: &str, offset: usize, encoding: Encoding) -> Value {
    let lines = lines(text);
    let line = lines.partition_point(|&(start, _)| start <= offset) - 1;
    let (start, length) = lines[line];
    let character: usize = text[start..offset.min(start + length)].chars().map(|char| encoding.len(char)).sum();
    json!({"line": line, "character": character})
}

/// The text with LSP text edits applied, as an editor does: all positions speak of the text before.
pub fn apply_edits(text: &str, edits: &[Value], encoding: Encoding) -> String {
    let mut spans: Vec<(usize, usize, &str)> = edits
        .iter()
        .map(|edit| {
            let at = |end: &str| offset(text, &edit["range"][end], encoding);
            (at("start"), at("end"), edit["newText"].as_str().unwrap_or_default())
        })
        .collect();
    // Stable: insertions at one place keep the order of the array.
    spans.sort_by_key(|&(start, end, _)| (start, end));
    let (mut out, mut done) = (String::with_capacity(text.len()), 0);
    for (start, end, new) in spans {
        assert!(start >= done && end >= start, "the server sent overlapping edits");
        out.push_str(&text[done..start]);
        out.push_str(new);
        done = end;
    }
    out.push_str(&text[done..]);
    out
}

/// One content change that turns `old` into `new`.
pub fn change(old: &str, new: &str, encoding: Encoding) -> Value {
    let mut prefix = old.bytes().zip(new.bytes()).take_while(|(a, b)| a == b).count();
    // Not inside a character, and not between the halves of a line end, where no position points to.
    let whole = |text: &str, at: usize| {
        text.is_char_boundary(at) && !(at > 0 && text.as_bytes()[at - 1] == b'\r' && text[at..].starts_with('\n'))
    };
    while !(whole(old, prefix) && whole(new, prefix)) {
        prefix -= 1;
    }
    let rest = |text: &str| text.len() - prefix;
    let most = rest(old).min(rest(new));
    let mut suffix = old.bytes().rev().zip(new.bytes().rev()).take(most).take_while(|(a, b)| a == b).count();
    while !(whole(old, old.len() - suffix) && whole(new, new.len() - suffix)) {
        suffix -= 1;
    }
    json!({
        "range": {
            "start": position(old, prefix, encoding),
            "end": position(old, old.len() - suffix, encoding),
        },
        "text": new[prefix..new.len() - suffix],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENCODINGS: [Encoding; 3] = [Encoding::Utf8, Encoding::Utf16, Encoding::Utf32];

    #[test]
    fn positions_come_back() {
        let text = "a\r\nßé😀x\n\rend";
        for encoding in ENCODINGS {
            for (at, _) in text.char_indices().filter(|&(at, _)| at != 2) {
                assert_eq!(offset(text, &position(text, at, encoding), encoding), at, "{encoding:?} {at}");
            }
        }
        assert_eq!(position(text, 11, Encoding::Utf16), json!({"line": 1, "character": 4}));
        assert_eq!(position(text, 11, Encoding::Utf8), json!({"line": 1, "character": 8}));
        assert_eq!(position(text, 11, Encoding::Utf32), json!({"line": 1, "character": 3}));
    }

    #[test]
    fn a_change_makes_the_new_text() {
        for (old, new) in [
            ("", "a"),
            ("a\r\nb", "a\nb"),
            ("a\nb", "a\r\nb"),
            ("aaa", "aa"),
            ("é😀", "è😁"),
            ("one\ntwo\n", "one\n2\ntwo\n"),
            ("same", "same"),
        ] {
            for encoding in ENCODINGS {
                let change = change(old, new, encoding);
                let edit = json!({"range": change["range"], "newText": change["text"]});
                assert_eq!(apply_edits(old, &[edit], encoding), new, "{old:?} to {new:?}");
            }
        }
    }
}
