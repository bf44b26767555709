//! What a command said: its beginning and its end, as plain text. It is somebody else's words.

use std::collections::VecDeque;

/// Bytes kept of the beginning and of the end.
const HEAD: usize = 1 << 20;
const TAIL: usize = 256 << 10;

/// The output of a command, bounded; all of it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    dropped: u64,
}

impl Captured {
    pub fn take(&mut self, bytes: &[u8]) {
        let (first, rest) = bytes.split_at(bytes.len().min(HEAD - self.head.len()));
        self.head.extend_from_slice(first);
        let rest = &rest[rest.len().saturating_sub(TAIL)..];
        let lost = (bytes.len() - first.len() - rest.len()) + (self.tail.len() + rest.len()).saturating_sub(TAIL);
        self.tail.drain(..(self.tail.len() + rest.len()).saturating_sub(TAIL).min(self.tail.len()));
        self.tail.extend(rest);
        self.dropped += lost as u64;
    }

    /// Bytes that were read and not kept.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// As plain text, with a line where something is left out.
    pub fn text(&self) -> String {
        let mut text = plain(&String::from_utf8_lossy(&self.head));
        if self.dropped > 0 {
            text.push_str(&format!("\n[{} bytes left out]\n", self.dropped));
        }
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        text.push_str(&plain(&String::from_utf8_lossy(&tail)));
        text
    }
}

/// Without terminal escapes and control characters; line ends stay, and of lines that were overwritten what was last.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    let mut line = 0;
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => skip_escape(&mut rest),
            '\u{9b}' => skip_csi(&mut rest),
            '\r' if rest.peek() == Some(&'\n') => {}
            '\r' => plain.truncate(line),
            '\n' => {
                plain.push('\n');
                line = plain.len();
            }
            '\t' => plain.push('\t'),
            c if c.is_control() => {}
            c => plain.push(c),
        }
    }
    plain
}

/// ECMA-48: what follows an escape character.
fn skip_escape(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match rest.next() {
        Some('[') => skip_csi(rest),
        // OSC, DCS, SOS, PM, APC: up to a bell or a string terminator, and never past the line: nothing more may hide.
        Some(']' | 'P' | 'X' | '^' | '_') => {
            while let Some(c) = rest.next_if(|c| *c != '\n') {
                if c == '\u{7}' || c == '\u{9c}' {
                    return;
                }
                if c == '\u{1b}' {
                    rest.next_if_eq(&'\\');
                    return;
                }
            }
        }
        Some('(' | ')' | '*' | '+' | '#' | '%') => drop(rest.next()),
        _ => {}
    }
}

fn skip_csi(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while rest.next_if(|c| matches!(c, '\u{20}'..='\u{3f}')).is_some() {}
    rest.next_if(|c| matches!(c, '\u{40}'..='\u{7e}'));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_and_the_end_are_kept_and_all_is_counted() {
        for chunk in [1, 7, 4096, 100_000, 3 << 20] {
            let all: Vec<u8> = (0..(2 << 20) + 12_345_u32).map(|n| (n % 251) as u8).collect();
            let mut captured = Captured::default();
            all.chunks(chunk).for_each(|bytes| captured.take(bytes));
            assert_eq!(captured.head, all[..HEAD], "in chunks of {chunk}");
            assert_eq!(captured.tail, &all[all.len() - TAIL..], "in chunks of {chunk}");
            assert_eq!(captured.dropped as usize, all.len() - HEAD - TAIL);
        }
        let mut short = Captured::default();
        short.take(b"a");
        short.take(b"b");
        assert_eq!((short.text().as_str(), short.dropped()), ("ab", 0));
    }

    #[test]
    fn escapes_are_taken_out() {
        for (said, shown) in [
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}text", "text"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("10%\r20%\r\nnext\u{8}\u{0}", "20%\nnext"),
            ("\u{9b}2Ja\tb", "a\tb"),
            ("\u{1b}", ""),
            ("\u{1b}[", ""),
            ("\u{1b}]never ends\nseen", "\nseen"),
            ("\u{1b}(Bx", "x"),
        ] {
            assert_eq!(plain(said), shown, "{said:?}");
        }
    }
}
