//! Byte-range edits on an original text: every byte outside of them stays.

use oxc_span::Span;
use std::collections::BTreeMap;

/// Replacements of one text, by range. The same replacement may be asked for twice.
#[derive(Clone, Debug, Default)]
pub(super) struct Edits {
    replacements: BTreeMap<(u32, u32), String>,
    clash: Option<u32>,
}

impl Edits {
    pub fn is_empty(&self) -> bool {
        self.replacements.is_empty()
    }

    pub fn replace(&mut self, span: Span, text: impl Into<String>) {
        let text = text.into();
        match self.replacements.get(&(span.start, span.end)) {
            Some(there) if *there != text => self.clash = Some(span.start),
            _ => {
                self.replacements.insert((span.start, span.end), text);
            }
        }
    }

    pub fn delete(&mut self, span: Span) {
        self.replace(span, "");
    }

    /// Puts text before the byte `at`; several such texts keep the order in which they came.
    pub fn insert(&mut self, at: u32, text: &str) {
        self.replacements.entry((at, at)).or_default().push_str(text);
    }

    /// The new text, or the byte at which two edits contradict each other.
    pub fn apply(&self, text: &str) -> Result<String, u32> {
        if let Some(at) = self.clash {
            return Err(at);
        }
        let mut out = String::with_capacity(text.len() + 64);
        let mut done = 0;
        for ((start, end), new) in &self.replacements {
            let (from, to) = (*start as usize, *end as usize);
            if from < done {
                return Err(*start);
            }
            out.push_str(text.get(done..from).ok_or(*start)?);
            out.push_str(new);
            done = to;
        }
        out.push_str(text.get(done..).ok_or(done as u32)?);
        Ok(out)
    }
}

/// 1-based line of a byte.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    let end = offset.min(text.len());
    1 + text.as_bytes()[..end].iter().filter(|b| **b == b'\n').count()
}

/// The line ending that most lines of the text have.
pub(super) fn newline_of(text: &str) -> &'static str {
    let crlf = text.matches("\r\n").count();
    if crlf * 2 > text.matches('\n').count() { "\r\n" } else { "\n" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_outside_of_edits_stay() {
        let mut edits = Edits::default();
        edits.replace(Span::new(2, 3), "XY");
        edits.replace(Span::new(2, 3), "XY");
        edits.insert(5, "!");
        edits.insert(5, "?");
        assert_eq!(edits.apply("ab\u{63}\r\n"), Ok("abXY\r\n!?".to_owned()));
    }

    #[test]
    fn contradicting_edits_are_refused() {
        let mut edits = Edits::default();
        edits.replace(Span::new(0, 3), "x");
        edits.replace(Span::new(1, 2), "y");
        assert_eq!(edits.apply("abc"), Err(1));
        let mut edits = Edits::default();
        edits.replace(Span::new(0, 3), "x");
        edits.replace(Span::new(0, 3), "y");
        assert_eq!(edits.apply("abc"), Err(0));
    }
}
