//! Tasks that are written as a comment: `// krins: rename total to sum`.

/// What opens a comment that may hold a task. Closers are cut off the end.
const MARKERS: &[(&str, &str)] = &[
    ("<!--", "-->"),
    ("{/*", "*/}"),
    ("/*", "*/"),
    ("//", ""),
    ("#", ""),
    ("--", ""),
    (";", ""),
    ("%", ""),
    ("*", ""),
];

/// The intent of a line, when it holds a comment that begins with `krins:` (in any case).
pub fn intent(line: &str) -> Option<&str> {
    let at = find_ignoring_case(line, "krins:")?;
    let before = line[..at].trim_end();
    let (_, closer) = MARKERS.iter().find(|(opener, _)| before.ends_with(opener))?;
    let words = line[at + "krins:".len()..].trim();
    let words = words.strip_suffix(closer).unwrap_or(words).trim();
    (!words.is_empty()).then_some(words)
}

fn find_ignoring_case(text: &str, word: &str) -> Option<usize> {
    text.as_bytes().windows(word.len()).position(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_comment_style_is_read_and_nothing_else() {
        for line in [
            "// krins: rename a to b",
            "  x(); //  Krins: rename a to b  ",
            "# krins: rename a to b",
            "-- krins: rename a to b",
            "; KRINS: rename a to b",
            "<!-- krins: rename a to b -->",
            "/* krins: rename a to b */",
            "{/* krins: rename a to b */}",
            " * krins: rename a to b",
        ] {
            assert_eq!(intent(line), Some("rename a to b"), "{line}");
        }
        for line in ["", "krins: rename a to b", "const s = 'krins: x'", "// krins:", "// krins", "// é krins x"] {
            assert_eq!(intent(line), None, "{line}");
        }
    }
}
