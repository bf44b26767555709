//! How deeply a text is nested, where that can be told without parsing: of data, lists of objects and the like, however
//! long they are.

use super::{BYTES, Byte, takes_operand};

/// An upper bound of how deeply a text can be nested; `None` for a text whose strings and brackets a parser has to tell:
/// one with a template, a regular expression or a division, an element, a type argument, or in error.
///
/// What stands in brackets is nested no deeper than its operators and its deepest operand take together. A comma in `[]` or
/// `()` ends an expression; in `{}` it may be in the middle of a statement, and ends nothing.
pub(super) fn of_data(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut open = vec![Level { closes_with: 0, ..Level::default() }];
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += match byte {
            b'"' | b'\'' => string(&bytes[at..])?,
            b'/' => comment(&bytes[at..])?,
            b'`' | b'<' | b'\\' | b'#' => return None,
            _ if BYTES[usize::from(byte)] == Byte::Word => {
                let length = bytes[at..].iter().take_while(|byte| BYTES[usize::from(**byte)] == Byte::Word).count();
                open.last_mut()?.operators += usize::from(takes_operand(&bytes[at..at + length]));
                length
            }
            b'(' | b'[' | b'{' => {
                let closes_with = if byte == b'(' { b')' } else { byte + 2 };
                open.push(Level { closes_with, ..Level::default() });
                1
            }
            b')' | b']' | b'}' => {
                let level = open.pop().filter(|level| level.closes_with == byte)?;
                open.last_mut()?.hold(level.depth());
                1
            }
            b',' => {
                open.last_mut()?.end_expression();
                1
            }
            _ => {
                open.last_mut()?.operators += usize::from(BYTES[usize::from(byte)] == Byte::Opens);
                1
            }
        };
    }
    match open.as_slice() {
        [whole] => Some(whole.depth()),
        _ => None,
    }
}

/// What is between two brackets, so far.
#[derive(Default)]
struct Level {
    /// 0 of the whole text.
    closes_with: u8,
    /// Of the expression that has not ended.
    operators: usize,
    deepest: usize,
    /// The most that an expression took that has ended.
    ended: usize,
}

impl Level {
    /// Brackets are closed in it: they may be an operand, or take what is before them as one.
    fn hold(&mut self, depth: usize) {
        self.operators += 1;
        self.deepest = self.deepest.max(depth);
    }

    fn end_expression(&mut self) {
        if matches!(self.closes_with, b')' | b']') {
            *self = Self { closes_with: self.closes_with, ended: self.depth() - 1, ..Self::default() };
        }
    }

    fn depth(&self) -> usize {
        1 + self.ended.max(self.operators + self.deepest)
    }
}

/// The length of a string; `None` when its line ends first.
fn string(bytes: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        match bytes.get(at)? {
            b'\\' => at += 2,
            b'\n' | b'\r' => return None,
            byte if *byte == bytes[0] => return Some(at + 1),
            _ => at += 1,
        }
    }
}

/// The length of a comment; `None` for another use of `/`, and where a rare line end (U+2028) may end it.
fn comment(bytes: &[u8]) -> Option<usize> {
    match bytes.get(1)? {
        b'/' => {
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(bytes.len());
            (!bytes[..end].contains(&0xe2)).then_some(end)
        }
        b'*' => memchr::memmem::find(&bytes[2..], b"*/").map(|at| at + 4),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Language, depth_exceeds, levels_at_most, parse};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn data_is_flat_and_code_is_as_deep_as_it_may_be() {
        let list = format!("export const all = [\n{}];\n", "  { \"a\": [1, -2], 'b': \"}{\" }, // x(\n".repeat(10_000));
        assert!(of_data(&list).unwrap() < 20 && levels_at_most(&list) > 50_000);
        for (deep, levels) in [
            ("a".to_owned() + &"(b)".repeat(100), 100),
            ("[[1]]".to_owned() + &" + 1".repeat(100), 100),
            (format!("x = {{ a: {}0{} }}", "[".repeat(100), "]".repeat(100)), 100),
            ("if (a) b, c; else ".repeat(100) + "d", 100),
            ("a(b, ".repeat(100) + "c" + &")".repeat(100), 100),
        ] {
            assert!(of_data(&deep).unwrap() >= levels, "{deep}");
        }
        for unclear in ["a = /[/]/", "`${a}`", "<a>", "'", "'\n'", "(]", "(", ")", "// \u{2028} (", "a / b", "\\u0061"]
        {
            assert_eq!(of_data(unclear), None, "{unclear}");
        }
    }

    proptest! {
        #[test]
        fn a_sound_text_is_never_deeper(words in prop::collection::vec(prop::sample::select(vec![
            "[", "]", "{", "}", "(", ")", "[a, ", "b]", "{ a: ", "}", "(a", ")", ",", ";\n", "a", "+ b", "= c", "\"x[\"",
            ".b", "if (a) ", "else ", "-", "=> ", "? a : ", "'}'", "// (\n", "/* ) */",
        ]), 0..60)) {
            let text = words.concat();
            if let Some(levels) = of_data(&text) {
                prop_assert!(levels <= 2 * levels_at_most(&text) + 1);
                let tree = parse(Language::JavaScript, &text);
                // A level is at most so many nodes: a statement, its expression, a list of arguments, an element.
                prop_assert!(tree.root_node().has_error() || !depth_exceeds(&tree, 5 * levels as u32 + 5), "{text}");
            }
        }
    }
}
