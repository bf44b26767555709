//! How loosely two lines may be compared: the levels of the ladder as functions on a line.

use std::borrow::Cow;

/// The levels, strictest first. Each is tried only when no stricter one has a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Exact,
    /// As exact, whatever the line ends are.
    LineEnds,
    TrailingSpace,
    Punctuation,
    Indentation,
    WhiteSpace,
    OuterContext,
    Alignment,
}

impl Level {
    /// The levels that compare all old lines one to one.
    pub const STRICT: [Level; 3] = [Level::Exact, Level::LineEnds, Level::TrailingSpace];
    pub const LOOSER: [Level; 3] = [Level::Punctuation, Level::Indentation, Level::WhiteSpace];
    /// Every level of [`Level::STRICT`] and [`Level::LOOSER`].
    pub const ONE_TO_ONE: usize = 6;

    pub fn name(self) -> &'static str {
        match self {
            Level::Exact => "exact",
            Level::LineEnds | Level::TrailingSpace => "trailing-space",
            Level::Punctuation => "punctuation",
            Level::Indentation => "indentation",
            Level::WhiteSpace => "white-space",
            Level::OuterContext => "outer-context",
            Level::Alignment => "alignment",
        }
    }

    /// What was overlooked to find the place, as a repair.
    pub fn repair(self) -> Option<&'static str> {
        match self {
            Level::Exact | Level::OuterContext | Level::Alignment => None,
            Level::LineEnds => Some("line ends taken from the file"),
            Level::TrailingSpace => Some("white space at the ends of old lines overlooked"),
            Level::Punctuation => Some("typographic punctuation in old lines overlooked"),
            Level::Indentation => Some("indentation of old lines overlooked"),
            Level::WhiteSpace => Some("white space in old lines overlooked"),
        }
    }

    /// What is compared at this level; `\r` is part of `line` only when the line owns it.
    pub fn key(self, line: &str) -> Cow<'_, str> {
        let body = || line.strip_suffix('\r').unwrap_or(line);
        match self {
            Level::Exact => Cow::Borrowed(line),
            Level::LineEnds => Cow::Borrowed(body()),
            Level::TrailingSpace => Cow::Borrowed(line.trim_end()),
            Level::Punctuation => plain(line.trim_end()),
            Level::Indentation => match plain(line) {
                Cow::Borrowed(line) => Cow::Borrowed(line.trim()),
                Cow::Owned(line) => Cow::Owned(line.trim().to_owned()),
            },
            Level::WhiteSpace | Level::OuterContext | Level::Alignment => {
                Cow::Owned(plain(line).split_whitespace().collect::<Vec<_>>().join(" "))
            }
        }
    }
}

/// Typographic punctuation as ASCII has it (after codex `seek_sequence`: dashes, quotes, spaces).
fn plain(line: &str) -> Cow<'_, str> {
    if line.is_ascii() {
        return Cow::Borrowed(line);
    }
    let mut out = String::with_capacity(line.len());
    for c in line.chars() {
        match c {
            '\u{2010}'..='\u{2015}' | '\u{2212}' => out.push('-'),
            '\u{2018}'..='\u{201b}' | '\u{2032}' => out.push('\''),
            '\u{201c}'..='\u{201f}' | '\u{2033}' => out.push('"'),
            '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => out.push(' '),
            '\u{2026}' => out.push_str("..."),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// A line's leading blanks and tabs.
pub(super) fn indent(line: &str) -> &str {
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}

/// Whether a line stands for code that the model left out, such as `// ... existing code ...`.
pub(super) fn is_elision(line: &str) -> bool {
    let text = line.trim();
    let mut body = text;
    for open in ["{/*", "/*", "//", "<!--", "--", "#", ";", "*"] {
        if let Some(rest) = body.strip_prefix(open) {
            body = rest;
            break;
        }
    }
    let commented = body.len() != text.len();
    for close in ["*/}", "*/", "-->"] {
        body = body.strip_suffix(close).unwrap_or(body);
    }
    let body = body.trim();
    let dots = |text: &str| text.starts_with("...") || text.starts_with('…');
    let ends = body.ends_with("...") || body.ends_with('…');
    let only = body.chars().all(|c| matches!(c, '.' | '…')) && dots(body);
    if only {
        return body != "…" || commented || text == "…";
    }
    let lower = body.to_lowercase();
    const LEFT_OUT: [&str; 11] = [
        "existing",
        "unchanged",
        "rest of",
        "remaining",
        "same as",
        "previous",
        "omitted",
        "other ",
        "keep",
        "stays",
        "as before",
    ];
    let says = LEFT_OUT.iter().any(|word| lower.contains(word));
    commented
        && says
        && (dots(body) || ends || body.starts_with('(') && body.ends_with(')') && lower.contains("unchanged"))
        || commented && (lower.starts_with("rest of the ") || lower.starts_with("existing code"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elisions_are_known_and_code_is_not() {
        for line in [
            "...",
            "  // ... existing code ...",
            "// ...",
            "/* ... rest of the code ... */",
            "// ... (unchanged) ...",
            "# ... rest of the function ...",
            "{/* ... existing JSX ... */}",
            "<!-- ... unchanged ... -->",
            "// rest of the code remains the same",
            "…",
            "// existing code...",
        ] {
            assert!(is_elision(line), "{line:?}");
        }
        for line in [
            "...args,",
            "// the rest is silence",
            "return [...existing];",
            "// keep this",
            "",
            "// TODO...",
            "console.log('...')",
            "// see RFC 2616 ...",
        ] {
            assert!(!is_elision(line), "{line:?}");
        }
    }

    #[test]
    fn each_level_forgives_what_the_stricter_ones_do_not() {
        let same = |level: Level, a: &str, b: &str| level.key(a) == level.key(b);
        assert!(!same(Level::Exact, "a\r", "a") && same(Level::LineEnds, "a\r", "a"));
        assert!(!same(Level::LineEnds, "a ", "a") && same(Level::TrailingSpace, "a \t", "a"));
        assert!(!same(Level::TrailingSpace, "it’s", "it's") && same(Level::Punctuation, "it’s —\u{a0}x", "it's - x"));
        assert!(!same(Level::Punctuation, "\ta", "  a") && same(Level::Indentation, "\ta", "  a"));
        assert!(!same(Level::Indentation, "a  b", "a b") && same(Level::WhiteSpace, "a  b", "a b"));
        assert!(!same(Level::WhiteSpace, "ab", "a b"));
    }
}
