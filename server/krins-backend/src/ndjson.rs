//! Newline-delimited JSON, fed in chunks of any size: bytes in, lines out. Knows nothing of providers or of HTTP.

use crate::sse::TooLong;

/// Splits lines. A last line without a line end is given by [`Lines::finish`]: JSON says itself whether it is whole.
#[derive(Debug)]
pub struct Lines {
    limit: usize,
    line: Vec<u8>,
}

impl Lines {
    /// `limit`: the most bytes one line may have.
    pub fn new(limit: usize) -> Self {
        Self { limit, line: Vec::new() }
    }

    /// Takes the next bytes and gives the lines that they complete, blank ones left out.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, TooLong> {
        let mut lines = Vec::new();
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.extend(&rest[..end])?;
            lines.extend(self.take());
            rest = &rest[end + 1..];
        }
        self.extend(rest)?;
        Ok(lines)
    }

    /// What is left when the stream has ended.
    pub fn finish(&mut self) -> Option<String> {
        self.take()
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        if self.line.len() + bytes.len() > self.limit {
            return Err(TooLong(self.limit));
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn take(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&line);
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_split_gives_the_same_lines(
            text in "([{}a-zé\u{1d11e}\" ]{0,6}(\n|\r\n|)){0,20}",
            cuts in proptest::collection::vec(0usize..100, 0..8),
        ) {
            let bytes = text.as_bytes();
            let mut cuts = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect::<Vec<_>>();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut lines = Lines::new(1000);
            let mut found = Vec::new();
            for pair in cuts.windows(2) {
                found.extend(lines.push(&bytes[pair[0]..pair[1]]).unwrap());
            }
            found.extend(lines.finish());
            let expected = text.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_line_without_end_is_refused_at_the_limit() {
        let mut lines = Lines::new(4);
        assert_eq!(lines.push(b"ab\nabcd"), Ok(vec!["ab".to_owned()]));
        assert_eq!(lines.push(b"e"), Err(TooLong(4)));
    }
}
