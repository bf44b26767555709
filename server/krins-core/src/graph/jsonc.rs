//! JSON with comments and trailing commas, as tsconfig files are written.

use serde_json::Value;

/// The value; `None` when it is not JSON even without comments and trailing commas.
pub(crate) fn parse(text: &str) -> Option<Value> {
    let text = text.trim_start_matches('\u{feff}');
    serde_json::from_str(text).or_else(|_| serde_json::from_str(&plain(text))).ok()
}

/// The text without comments and trailing commas.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let taken = match c {
            '"' => string_len(rest),
            '/' if rest.starts_with("//") => {
                rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
                continue;
            }
            '/' if rest.starts_with("/*") => {
                rest = rest.find("*/").map_or("", |end| &rest[end + 2..]);
                continue;
            }
            _ => c.len_utf8(),
        };
        if matches!(c, '}' | ']') {
            let kept = out.trim_end();
            let kept = kept.strip_suffix(',').unwrap_or(kept).len();
            out.truncate(kept);
        }
        out.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    out
}

/// Bytes of the string literal at the start of the text, its quotes included.
fn string_len(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_trailing_commas_are_passed_over() {
        let text = "\u{feff}// a\n{ \"a\": [1, 2, ], /* b */ \"c//\": \"/* no */ \\\" , ]\", }";
        assert_eq!(parse(text), Some(serde_json::json!({"a": [1, 2], "c//": "/* no */ \" , ]"})));
        for broken in ["", "{", "/*", "{\"a\": \"}", "[,]x"] {
            assert_eq!(parse(broken), None, "{broken}");
        }
    }
}
