//! The base protocol's frames: a header block, a blank line, a JSON body of `Content-Length` bytes.
//!
//! Strict in what it writes, lenient in what it reads: header names in any case and order, line ends `\r\n`, `\n` or a lone
//! `\r`. A body that is too large or is no JSON costs one message; only a broken header block ends the session, because
//! after it nobody knows where the next frame begins. It must not know what a message means.

use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};

/// A header block longer than this is not a header block.
const MAX_HEADER: usize = 8 * 1024;
/// A body is discarded up to this many bytes; a larger length is taken for garbage.
const MAX_DISCARD: u64 = 1 << 30;
/// What is allocated before the first byte of a body has come, however large it claims to be.
const FIRST_ALLOCATION: usize = 64 * 1024;

/// One frame as it came.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    Body(Vec<u8>),
    /// The body was over the cap and has been read past; its length in bytes.
    TooLarge(u64),
}

/// Why no further frame can be read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("read a frame header: {0}")]
    Header(&'static str),
    #[error("read a frame: the input ended in the middle of it")]
    Truncated,
    #[error("read a frame: {0}")]
    Io(#[from] std::io::Error),
}

/// Reads frames from a byte stream.
#[derive(Debug)]
pub struct FrameReader<R> {
    input: BufReader<R>,
    max: usize,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Bodies over `max` bytes are reported as [`Frame::TooLarge`].
    pub fn new(input: R, max: usize) -> Self {
        Self { input: BufReader::with_capacity(64 * 1024, input), max }
    }

    /// The next frame, or `None` where the input ends between two frames. Not cancel safe.
    pub async fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(length) = self.header().await? else {
            return Ok(None);
        };
        if length > self.max as u64 {
            return self.discard(length).await.map(Some);
        }
        let mut body = Vec::with_capacity(FIRST_ALLOCATION.min(self.max));
        let read = (&mut self.input).take(length).read_to_end(&mut body).await?;
        if (read as u64) < length {
            return Err(FrameError::Truncated);
        }
        Ok(Some(Frame::Body(body)))
    }

    async fn discard(&mut self, length: u64) -> Result<Frame, FrameError> {
        if length > MAX_DISCARD {
            return Err(FrameError::Header("Content-Length is absurd"));
        }
        let mut rest = (&mut self.input).take(length);
        if tokio::io::copy(&mut rest, &mut tokio::io::sink()).await? < length {
            return Err(FrameError::Truncated);
        }
        Ok(Frame::TooLarge(length))
    }

    /// Reads one header block and gives its `Content-Length`; `None` at the end of input before its first line.
    async fn header(&mut self) -> Result<Option<u64>, FrameError> {
        let mut length = None;
        let mut started = false;
        let mut budget = MAX_HEADER;
        loop {
            let Some(line) = read_line(&mut self.input, &mut budget).await? else {
                return if started { Err(FrameError::Truncated) } else { Ok(None) };
            };
            if line.is_empty() {
                // Blank lines before the first header are forgiven: some clients end a body with a line end.
                match (started, length) {
                    (false, _) => continue,
                    (true, Some(_)) => return Ok(length),
                    (true, None) => return Err(FrameError::Header("no Content-Length")),
                }
            }
            started = true;
            if let Some(value) = content_length(&line)? {
                if length.is_some_and(|known| known != value) {
                    return Err(FrameError::Header("two different Content-Length"));
                }
                length = Some(value);
            }
        }
    }
}

/// The header line's length if it is a `Content-Length`, `None` for any other header.
fn content_length(line: &[u8]) -> Result<Option<u64>, FrameError> {
    let colon = line.iter().position(|&byte| byte == b':').ok_or(FrameError::Header("a line without a colon"))?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if !name.trim_ascii().eq_ignore_ascii_case(b"Content-Length".as_slice()) {
        return Ok(None);
    }
    let digits = value.trim_ascii();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(FrameError::Header("Content-Length is not a number"));
    }
    // ASCII digits are UTF-8, so only the size can be wrong.
    std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .map(Some)
        .ok_or(FrameError::Header("Content-Length is absurd"))
}

/// One line without its end; `None` at the end of input with nothing read.
async fn read_line<R: AsyncBufRead + Unpin>(input: &mut R, budget: &mut usize) -> Result<Option<Vec<u8>>, FrameError> {
    let mut line = Vec::new();
    loop {
        let buffer = input.fill_buf().await?;
        if buffer.is_empty() {
            return if line.is_empty() { Ok(None) } else { Err(FrameError::Truncated) };
        }
        let end = buffer.iter().position(|&byte| byte == b'\n' || byte == b'\r');
        let taken = end.unwrap_or(buffer.len());
        let ending = end.map(|at| buffer[at]);
        line.extend_from_slice(&buffer[..taken]);
        let consumed = taken + usize::from(ending.is_some());
        input.consume(consumed);
        *budget = budget.checked_sub(consumed).ok_or(FrameError::Header("the header block is too long"))?;
        match ending {
            None => {}
            Some(b'\r') => {
                if input.fill_buf().await?.first() == Some(&b'\n') {
                    input.consume(1);
                }
                return Ok(Some(line));
            }
            Some(_) => return Ok(Some(line)),
        }
    }
}

/// A frame around `body`, ready to write.
pub fn encode(body: &[u8]) -> Vec<u8> {
    let mut frame = format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    frame.extend_from_slice(body);
    frame
}

/// Parses a body, replacing lone surrogates by U+FFFD: an editor that works in UTF-16 sends half of a pair when a paste is
/// cut in two, and U+FFFD is one UTF-16 unit as well, so later positions still fit.
///
/// # Errors
/// What serde_json says about the body as it came.
pub fn decode(body: &[u8]) -> Result<Value, serde_json::Error> {
    let first = match serde_json::from_slice(body) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    match repair_surrogates(body) {
        Some(repaired) => {
            tracing::warn!("replaced lone surrogates in a message");
            serde_json::from_slice(&repaired)
        }
        None => Err(first),
    }
}

/// The body with every lone `\uD800`..`\uDFFF` escape replaced by `\uFFFD`; `None` when there is none.
fn repair_surrogates(body: &[u8]) -> Option<Vec<u8>> {
    let mut repaired: Option<Vec<u8>> = None;
    let mut at = 0;
    while at < body.len() {
        if body[at] != b'\\' {
            at += 1;
            continue;
        }
        match escape(body, at) {
            Some(0xD800..=0xDBFF) if matches!(escape(body, at + 6), Some(0xDC00..=0xDFFF)) => {
                at += 12;
            }
            Some(0xD800..=0xDFFF) => {
                let out = repaired.get_or_insert_with(|| body.to_vec());
                out[at + 2..at + 6].copy_from_slice(b"FFFD");
                at += 6;
            }
            // Any other escape is two bytes as far as finding the next backslash goes; `\\u` is not an escape of a unit.
            _ => at += 2,
        }
    }
    repaired
}

/// The code unit of the `\uXXXX` escape that begins at `at`.
fn escape(body: &[u8], at: usize) -> Option<u16> {
    let hex = body.get(at..at + 6)?.strip_prefix(b"\\u")?;
    let hex = std::str::from_utf8(hex).ok()?;
    // from_str_radix would accept a sign.
    hex.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u16::from_str_radix(hex, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read_all(bytes: &[u8], max: usize) -> (Vec<Frame>, Option<FrameError>) {
        let mut reader = FrameReader::new(bytes, max);
        let mut frames = Vec::new();
        loop {
            match reader.next().await {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => return (frames, None),
                Err(error) => return (frames, Some(error)),
            }
        }
    }

    async fn bodies(bytes: &[u8]) -> Vec<Vec<u8>> {
        let (frames, error) = read_all(bytes, 1024).await;
        assert!(error.is_none(), "{error:?}");
        frames
            .into_iter()
            .map(|frame| match frame {
                Frame::Body(body) => body,
                Frame::TooLarge(length) => panic!("too large: {length}"),
            })
            .collect()
    }

    #[tokio::test]
    async fn header_spellings() {
        for (name, input) in [
            ("plain", b"Content-Length: 2\r\n\r\n{}".as_slice()),
            ("lower case", b"content-length: 2\r\n\r\n{}"),
            ("no space", b"CONTENT-LENGTH:2\r\n\r\n{}"),
            ("type first", b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: 2\r\n\r\n{}"),
            ("three headers", b"X-A: b:c\r\nContent-Length: 2\r\nContent-Type: x\r\n\r\n{}"),
            ("line feeds", b"Content-Length: 2\n\n{}"),
            ("carriage returns", b"Content-Length: 2\r\r{}"),
            ("mixed", b"Content-Length: 2\nX-A: b\r\n\n{}"),
            ("blank lines before", b"\r\n\r\nContent-Length: 2\r\n\r\n{}"),
            ("same length twice", b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}"),
        ] {
            assert_eq!(bodies(input).await, [b"{}"], "{name}");
            let twice = [input, input].concat();
            assert_eq!(bodies(&twice).await, [b"{}", b"{}"], "{name}, twice");
        }
    }

    #[tokio::test]
    async fn broken_headers_end_the_stream() {
        for input in [
            b"hello\r\n\r\n{}".as_slice(),
            b"X-A: b\r\n\r\n{}",
            b"Content-Length: two\r\n\r\n{}",
            b"Content-Length: -2\r\n\r\n{}",
            b"Content-Length: +2\r\n\r\n{}",
            b"Content-Length: \r\n\r\n{}",
            b"Content-Length: 99999999999999999999999\r\n\r\n{}",
            b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
            b"Content-Length: 2",
            b"Content-Length: 2\r\n",
            b"Content-Length: 3\r\n\r\n{}",
            &[b'x'; 9000],
        ] {
            let (frames, error) = read_all(input, 1024).await;
            assert!(
                frames.is_empty() && error.is_some(),
                "{:?}",
                String::from_utf8_lossy(&input[..input.len().min(40)])
            );
        }
    }

    #[tokio::test]
    async fn a_body_over_the_cap_is_read_past() {
        let big = encode(&[b' '; 100]);
        let (frames, error) = read_all(&[big, encode(b"{}")].concat(), 10).await;
        assert!(error.is_none());
        assert_eq!(frames, [Frame::TooLarge(100), Frame::Body(b"{}".to_vec())]);
    }

    #[tokio::test]
    async fn a_claimed_length_allocates_nothing() {
        let (_, error) = read_all(b"Content-Length: 60000000\r\n\r\n{}", 64 << 20).await;
        assert!(matches!(error, Some(FrameError::Truncated)), "{error:?}");
    }

    #[test]
    fn lone_surrogates_are_replaced() {
        for (input, expected) in [
            (r#""\ud83d""#, "\u{fffd}"),
            (r#""\uDE00x""#, "\u{fffd}x"),
            (r#""\ud83d\ude00""#, "😀"),
            (r#""\ud83d\ude00\ud83d""#, "😀\u{fffd}"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
            (r#""\\ud83d \ud83d""#, "\\ud83d \u{fffd}"),
            (r#""\ude00\ud83d""#, "\u{fffd}\u{fffd}"),
        ] {
            assert_eq!(decode(input.as_bytes()).expect(input), Value::from(expected), "{input}");
        }
        assert!(decode(br#"{"a":"\ud83d"#).is_err());
        assert!(decode(br#""\u+123\ud83d""#).is_err());
        assert!(decode(b"\"\xff\"").is_err());
    }

    proptest::proptest! {
        #[test]
        fn frames_survive_any_cut(bodies in proptest::collection::vec(proptest::collection::vec(0u8.., 0..200), 0..5), cut in 1usize..64) {
            let stream: Vec<u8> = bodies.iter().flat_map(|body| encode(body)).collect();
            let read = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
                let chunks = stream.chunks(cut).map(|chunk| std::io::Result::Ok(std::io::Cursor::new(chunk.to_vec())));
                let mut reader = FrameReader::new(Chunks(chunks.collect()), 1024);
                let mut read = Vec::new();
                while let Some(frame) = reader.next().await.unwrap() {
                    read.push(frame);
                }
                read
            });
            let expected: Vec<Frame> = bodies.into_iter().map(Frame::Body).collect();
            proptest::prop_assert_eq!(read, expected);
        }

        #[test]
        fn no_input_panics(bytes in proptest::collection::vec(0u8.., 0..300)) {
            let _ = decode(&bytes);
            tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(read_all(&bytes, 64));
        }
    }

    /// A reader that gives one chunk per read.
    struct Chunks(std::collections::VecDeque<std::io::Result<std::io::Cursor<Vec<u8>>>>);

    impl AsyncRead for Chunks {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            buf: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            if let Some(chunk) = self.0.pop_front() {
                buf.put_slice(chunk?.get_ref());
            }
            std::task::Poll::Ready(Ok(()))
        }
    }
}
