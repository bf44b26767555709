//! A file's bytes as text and back: UTF-8, or UTF-16 with its byte order mark. Knows nothing of lines.

use super::bytes::{MAX_FILE_BYTES, MAX_LINES};
use std::borrow::Cow;

/// How a file's bytes spell its text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Encoding {
    /// A byte order mark, where there is one, is the text's first character.
    #[default]
    Utf8,
    /// The byte order mark belongs to the encoding: the text begins behind it.
    Utf16Le,
    Utf16Be,
}

/// Why bytes are not a text that a patch can be made of; reads after "failed to patch …:".
pub fn why_not_text(bytes: &[u8]) -> Option<&'static str> {
    decode(bytes).err()
}

/// The text that bytes spell, without the byte order mark of UTF-16; `None` where [`why_not_text`] has a reason.
pub fn text_of(bytes: &[u8]) -> Option<Cow<'_, str>> {
    decode(bytes).ok().map(|(_, text)| text)
}

pub(super) fn decode(bytes: &[u8]) -> Result<(Encoding, Cow<'_, str>), &'static str> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err("it is larger than 20 MB");
    }
    if bytes.len() > MAX_LINES && bytes.iter().filter(|byte| **byte == b'\n').count() > MAX_LINES {
        return Err("it has more than two million lines");
    }
    match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Err("its encoding is UTF-32"),
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes).map(|text| (Encoding::Utf16Le, text.into())),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes).map(|text| (Encoding::Utf16Be, text.into())),
        _ if bytes.contains(&0) => Err(unmarked(bytes)),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => Ok((Encoding::Utf8, Cow::Borrowed(text))),
            Err(_) if is_western(bytes) => Err("its encoding is not UTF-8; it looks like ISO 8859-1 or Windows-1252"),
            Err(_) => Err("its encoding is not UTF-8"),
        },
    }
}

/// What bytes with zeroes among them are, without a byte order mark: ASCII in wider units has its zeroes in fixed places.
fn unmarked(bytes: &[u8]) -> &'static str {
    let ascii = |unit: &[u8], at: usize| unit.iter().enumerate().all(|(n, byte)| (n == at) == (*byte != 0));
    let mostly = |width: usize, at: usize| {
        let units = bytes.chunks_exact(width);
        bytes.len().is_multiple_of(width)
            && units.clone().filter(|unit| ascii(unit, at)).count() * 10 >= units.len() * 9
    };
    if mostly(4, 0) || mostly(4, 3) {
        "its encoding is UTF-32"
    } else if mostly(2, 0) || mostly(2, 1) {
        "its encoding is UTF-16 without a byte order mark"
    } else {
        "it is a binary file"
    }
}

/// Whether bytes beyond ASCII stand alone between letters, as accents do.
fn is_western(bytes: &[u8]) -> bool {
    let (mut alone, mut all) = (0_usize, 0_usize);
    for (at, byte) in bytes.iter().enumerate().filter(|(_, byte)| **byte >= 0x80) {
        let ascii = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_none_or(u8::is_ascii);
        all += 1;
        alone += usize::from(*byte >= 0xa0 && ascii(at.checked_sub(1)) && ascii(Some(at + 1)));
    }
    alone * 10 >= all * 9
}

fn wide(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, &'static str> {
    let (units, []) = bytes.as_chunks::<2>() else {
        return Err("it is UTF-16 text that ends inside a character");
    };
    let text: Result<String, _> = char::decode_utf16(units.iter().map(|pair| unit(*pair))).collect();
    match text {
        Ok(text) if text.contains('\0') => Err("it is a binary file"),
        Ok(text) => Ok(text),
        Err(_) => Err("it is UTF-16 text with half a character"),
    }
}

pub(super) fn encode(text: &str, encoding: Encoding) -> Vec<u8> {
    let wide = |unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
        std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(unit).collect()
    };
    match encoding {
        Encoding::Utf8 => text.as_bytes().to_vec(),
        Encoding::Utf16Le => wide(u16::to_le_bytes),
        Encoding::Utf16Be => wide(u16::to_be_bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_encoding_gives_its_bytes_back() {
        for text in ["", "a\r\nb", "é𝄞\n\u{feff}x"] {
            for encoding in [Encoding::Utf8, Encoding::Utf16Le, Encoding::Utf16Be] {
                assert_eq!(decode(&encode(text, encoding)), Ok((encoding, Cow::Borrowed(text))));
            }
        }
    }

    #[test]
    fn what_is_no_text_is_refused_by_name() {
        assert_eq!(why_not_text("é".as_bytes()), None);
        for (bytes, name) in [
            (&b"caf\xe9"[..], "ISO 8859-1"),
            (b"\x83e\x83X\x83g\x82\xcc", "not UTF-8"),
            (b"a\0b\0\n\0", "UTF-16 without"),
            (b"\0a\0b\0\n", "UTF-16 without"),
            (b"a\0\0\0\n\0\0\0", "UTF-32"),
            (b"\x89PNG\0", "binary"),
            (b"\xff\xfea", "inside a character"),
            (b"\xff\xfe\x34\xd8a\0", "half a character"),
            (b"\xff\xfea\0\0\0", "binary"),
            (b"\xff\xfe\0\0a\0\0\0", "UTF-32"),
            (b"\0\0\xfe\xff\0\0\0a", "UTF-32"),
        ] {
            assert!(why_not_text(bytes).is_some_and(|why| why.contains(name)), "{name}");
        }
        assert_eq!(why_not_text(&vec![b'a'; MAX_FILE_BYTES + 1]), Some("it is larger than 20 MB"));
        assert_eq!(why_not_text(&vec![b'\n'; MAX_LINES + 1]), Some("it has more than two million lines"));
        assert_eq!(why_not_text(&vec![b'\n'; MAX_LINES]), None);
    }
}
