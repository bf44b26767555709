//! Lines, positions and position encodings.

use std::borrow::Cow;
use std::ops::Range;

/// How a client counts `character` in a position (LSP 3.17 `PositionEncodingKind`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Encoding {
    Utf8,
    #[default]
    Utf16,
    Utf32,
}

/// A zero-based line and column; the column counts units of an [`Encoding`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    pub line: u32,
    pub column: u32,
}

/// Byte offsets of line starts. Lines end at `\n`, `\r\n` or a lone `\r`, as LSP counts them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineIndex {
    starts: Vec<usize>,
    len: usize,
}

impl LineIndex {
    pub fn new(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut starts = vec![0];
        let ends = memchr::memchr2_iter(b'\n', b'\r', bytes);
        starts.extend(ends.filter(|at| bytes[*at] == b'\n' || bytes.get(at + 1) != Some(&b'\n')).map(|at| at + 1));
        Self { starts, len: text.len() }
    }

    /// Follows an edit: `text` is the text after it, `replaced` the bytes that went, `inserted` how many bytes came in
    /// their place. Costs the lines of the file and the bytes of the insertion, not the bytes of the file.
    pub fn splice(&mut self, text: &str, replaced: Range<usize>, inserted: usize) {
        let bytes = text.as_bytes();
        let end = replaced.start + inserted;
        // A start depends on the byte before it and the byte at it, so only those from `replaced.start` to `end` can differ.
        let keep = self.starts.partition_point(|start| *start < replaced.start.max(1));
        let tail = self.starts.partition_point(|start| *start <= replaced.end).max(keep);
        let moved: Vec<usize> = (replaced.start.max(1)..=end).filter(|at| starts_line(bytes, *at)).collect();
        for start in &mut self.starts[tail..] {
            *start = *start - replaced.end + end;
        }
        self.starts.splice(keep..tail, moved);
        self.len = text.len();
    }

    /// How many lines there are; a text that ends with a line end has an empty last line.
    pub fn line_count(&self) -> usize {
        self.starts.len()
    }

    /// The zero-based line that holds the byte offset (clamped to the text).
    pub fn line_of(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset.min(self.len)).saturating_sub(1)
    }

    /// Bytes of a zero-based line, its line end included; empty past the end.
    pub fn line_range(&self, line: usize) -> Range<usize> {
        let start = self.starts.get(line).copied().unwrap_or(self.len);
        let end = self.starts.get(line + 1).copied().unwrap_or(self.len);
        start..end
    }

    /// The byte offset of a position. A line past the end means the end of the text; a column past the line's end
    /// (LSP: "defaults back to the line length") or inside a character is clamped to the last boundary before it.
    pub fn offset(&self, text: &str, position: Position, encoding: Encoding) -> usize {
        let range = self.line_range(position.line as usize);
        let Some(line) = text.get(range.clone()) else {
            return self.len;
        };
        let line = line.trim_end_matches(['\n', '\r']);
        let mut left = position.column as usize;
        for (at, c) in line.char_indices() {
            let width = unit_width(c, encoding);
            if left < width {
                return range.start + at;
            }
            left -= width;
        }
        range.start + line.len()
    }

    /// The position of a byte offset, clamped to the text and to a character boundary.
    pub fn position(&self, text: &str, offset: usize, encoding: Encoding) -> Position {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.line_of(offset);
        let start = self.starts[line];
        let column = text[start..offset].chars().map(|c| unit_width(c, encoding)).sum::<usize>();
        Position { line: line as u32, column: column as u32 }
    }
}

/// Whether a line starts at `at`, which is after the first byte.
fn starts_line(bytes: &[u8], at: usize) -> bool {
    match bytes.get(at - 1) {
        Some(b'\n') => true,
        Some(b'\r') => bytes.get(at) != Some(&b'\n'),
        _ => false,
    }
}

fn unit_width(c: char, encoding: Encoding) -> usize {
    match encoding {
        Encoding::Utf8 => c.len_utf8(),
        Encoding::Utf16 => c.len_utf16(),
        Encoding::Utf32 => 1,
    }
}

/// Somebody else's text, to be shown on a terminal or quoted: what acts on a terminal, what turns the order of letters
/// round, and what nobody sees stands there as an escape. Line ends and tabs stay.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unseen) {
        return Cow::Borrowed(text);
    }
    let shown = |c: char| if is_unseen(c) { c.escape_unicode().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(shown).collect())
}

/// Direction marks, tags and the invisible ones, first and last of each run; not what joins letters and pictures, which scripts
/// need.
const UNSEEN: [(char, char); 14] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200b}'),
    ('\u{200e}', '\u{200f}'),
    ('\u{2028}', '\u{2029}'),
    ('\u{202a}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{e0000}', '\u{e0fff}'),
    // The controls that `char::is_control` names.
    ('\0', '\u{1f}'),
    ('\u{7f}', '\u{9f}'),
];

/// Whether [`visible`] spells it out.
pub fn is_unseen(c: char) -> bool {
    !matches!(c, '\n' | '\t') && UNSEEN.iter().any(|&(first, last)| (first..=last).contains(&c))
}

/// The same characters, line ends and tabs too, as the inside of a class of a JavaScript regular expression with the flag `u`:
/// pages that get text later spell out what this module spells out.
pub fn unseen_class() -> String {
    let range = |&(first, last): &(char, char)| format!("{}-{}", first.escape_unicode(), last.escape_unicode());
    UNSEEN.iter().map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_acts_on_nothing_and_hides_nothing() {
        for (said, shown) in [
            ("plain\ttext\n", "plain\ttext\n"),
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("a\u{202e}b\u{2066}", "a\\u{202e}b\\u{2066}"),
            ("\u{e0041}\u{e0042}", "\\u{e0041}\\u{e0042}"),
            ("\u{9b}2J\u{7f}\r", "\\u{9b}2J\\u{7f}\\u{d}"),
            ("zero\u{200b}width\u{feff}", "zero\\u{200b}width\\u{feff}"),
            ("\u{1f468}\u{200d}\u{1f469} नमस्ते", "\u{1f468}\u{200d}\u{1f469} नमस्ते"),
        ] {
            assert_eq!(visible(said), shown);
            assert_eq!(visible(&visible(said)), shown, "a second time changes nothing");
        }
        let controls = (0..0x11_0000).filter_map(char::from_u32).filter(|c| c.is_control());
        assert!(controls.filter(|c| !matches!(c, '\n' | '\t')).all(is_unseen), "every control is among them");
        assert!(unseen_class().starts_with("\\u{ad}-\\u{ad}\\u{61c}-"), "{}", unseen_class());
    }

    #[test]
    fn every_boundary_round_trips_in_every_encoding() {
        let text = "a\r\nbé𝄞x\n\n日本\rend";
        let index = LineIndex::new(text);
        for encoding in [Encoding::Utf8, Encoding::Utf16, Encoding::Utf32] {
            for (offset, c) in text.char_indices().chain([(text.len(), ' ')]) {
                if c == '\n' && text[..offset].ends_with('\r') {
                    continue;
                }
                let position = index.position(text, offset, encoding);
                assert_eq!(index.offset(text, position, encoding), offset, "{encoding:?} {position:?}");
            }
        }
    }

    #[test]
    fn positions_past_the_end_are_clamped() {
        let text = "ab\ncd";
        let index = LineIndex::new(text);
        assert_eq!(index.offset(text, Position { line: 0, column: 99 }, Encoding::Utf16), 2);
        assert_eq!(index.offset(text, Position { line: 99, column: 0 }, Encoding::Utf16), 5);
        assert_eq!(LineIndex::new("𝄞").offset("𝄞", Position { line: 0, column: 1 }, Encoding::Utf16), 0);
    }
}
