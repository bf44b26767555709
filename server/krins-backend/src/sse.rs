//! Server-sent events, byte for byte as the WHATWG HTML standard (§9.2.6, "Interpreting an event stream") says, fed in
//! chunks of any size. Knows nothing of providers or of HTTP.

/// One dispatched event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The `event` field; empty means `message`.
    pub name: String,
    pub data: String,
}

/// A line or an event grew past the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read an event of more than {0} bytes")]
pub struct TooLong(pub usize);

/// Lines that are no field are kept up to this many bytes: providers send error JSON bare, between events.
const STRAY_LIMIT: usize = 64 * 1024;

/// The parser. `id` and `retry` are read over: nothing here reconnects, because a repeated POST is billed twice.
#[derive(Debug)]
pub struct Parser {
    limit: usize,
    started: bool,
    /// The last byte was a CR, so a LF right after it belongs to the same line end.
    after_cr: bool,
    line: Vec<u8>,
    name: String,
    data: String,
    stray: String,
}

impl Parser {
    /// `limit`: the most bytes one line or one event may have.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            started: false,
            after_cr: false,
            line: Vec::new(),
            name: String::new(),
            data: String::new(),
            stray: String::new(),
        }
    }

    /// Takes the next bytes and gives the events that they complete. An event whose empty line never comes is never
    /// dispatched, as the standard says.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLong> {
        let mut events = Vec::new();
        let mut rest = bytes;
        if self.after_cr && !rest.is_empty() {
            self.after_cr = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(end) = memchr::memchr2(b'\n', b'\r', rest) {
            self.line.extend_from_slice(&rest[..end]);
            self.end_line(&mut events)?;
            let cr = rest[end] == b'\r';
            rest = &rest[end + 1..];
            if cr {
                self.after_cr = rest.is_empty();
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
        }
        self.line.extend_from_slice(rest);
        self.check(self.line.len())?;
        Ok(events)
    }

    /// Text of lines that are no field and no comment, since the last dispatched event; with what the unfinished line
    /// holds so far.
    pub fn stray(&self) -> String {
        let mut text = self.stray.clone();
        if text.len() + self.line.len() <= STRAY_LIMIT && !is_field(&self.line) {
            text.push_str(&String::from_utf8_lossy(&self.line));
        }
        text
    }

    fn check(&self, len: usize) -> Result<(), TooLong> {
        if len > self.limit {
            return Err(TooLong(self.limit));
        }
        Ok(())
    }

    fn end_line(&mut self, events: &mut Vec<Event>) -> Result<(), TooLong> {
        self.check(self.line.len())?;
        let line = std::mem::take(&mut self.line);
        let mut bytes = line.as_slice();
        if !self.started {
            self.started = true;
            bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        }
        let text = String::from_utf8_lossy(bytes);
        if text.is_empty() {
            events.extend(self.dispatch());
            return Ok(());
        }
        let (field, value) = text.split_once(':').unwrap_or((&text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                self.check(self.data.len() + value.len())?;
                self.data.push_str(value);
                self.data.push('\n');
            }
            "event" => self.name = value.to_owned(),
            "" | "id" | "retry" => {}
            _ => self.keep_stray(&text),
        }
        Ok(())
    }

    fn keep_stray(&mut self, line: &str) {
        if self.stray.len() + line.len() < STRAY_LIMIT {
            self.stray.push_str(line);
            self.stray.push('\n');
        }
    }

    fn dispatch(&mut self) -> Option<Event> {
        let name = std::mem::take(&mut self.name);
        let mut data = std::mem::take(&mut self.data);
        if data.is_empty() {
            return None;
        }
        data.pop();
        self.stray.clear();
        Some(Event { name, data })
    }
}

fn is_field(line: &[u8]) -> bool {
    [&b":"[..], b"data", b"event", b"id", b"retry"].iter().any(|field| line.starts_with(field))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(bytes: &[u8]) -> Vec<Event> {
        Parser::new(1 << 20).push(bytes).unwrap()
    }

    fn event(name: &str, data: &str) -> Event {
        Event { name: name.into(), data: data.into() }
    }

    /// The standard's algorithm on the whole text, written separately and as plainly as it is specified.
    fn reference(bytes: &[u8]) -> Vec<Event> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let mut lines = text.split('\n').collect::<Vec<_>>();
        lines.pop();
        let (mut name, mut data, mut events) = (String::new(), String::new(), Vec::new());
        for line in lines {
            if line.is_empty() {
                if !data.is_empty() {
                    events.push(event(&name, data.strip_suffix('\n').unwrap()));
                }
                name.clear();
                data.clear();
            } else if !line.starts_with(':') {
                let (field, value) = match line.find(':') {
                    Some(colon) => (&line[..colon], &line[colon + 1..]),
                    None => (line, ""),
                };
                let value = value.strip_prefix(' ').unwrap_or(value);
                match field {
                    "event" => name = value.to_owned(),
                    "data" => {
                        data += value;
                        data.push('\n');
                    }
                    _ => {}
                }
            }
        }
        events
    }

    #[test]
    fn the_examples_of_the_standard() {
        assert_eq!(parse(b"data: YHOO\ndata: +2\ndata: 10\n\n"), [event("", "YHOO\n+2\n10")]);
        assert_eq!(
            parse(b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n"),
            [event("", "first event"), event("", "second event")]
        );
        assert_eq!(parse(b"data\n\ndata\ndata\n\ndata:"), [event("", ""), event("", "\n")]);
        assert_eq!(parse(b"data:test\n\ndata: test\n\n"), [event("", "test"), event("", "test")]);
        assert_eq!(parse(b"event: add\ndata: 7\n\nevent: x\n\ndata: 8\n\n"), [event("add", "7"), event("", "8")]);
    }

    #[test]
    fn a_line_without_end_is_refused_at_the_limit() {
        let mut parser = Parser::new(10);
        assert_eq!(parser.push(b"data: 1234"), Ok(vec![]));
        assert_eq!(parser.push(b"5"), Err(TooLong(10)));
    }

    #[test]
    fn bare_json_between_events_is_kept_as_stray() {
        let mut parser = Parser::new(1000);
        parser.push(b"data: {}\n\n{\n  \"error\": {\n  }\n").unwrap();
        assert_eq!(parser.stray(), "{\n  \"error\": {\n  }\n");
        parser.push(b"}").unwrap();
        assert_eq!(parser.stray(), "{\n  \"error\": {\n  }\n}");
        parser.push(b"\ndata: {}\n\n").unwrap();
        assert_eq!(parser.stray(), "");
    }

    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"data".to_vec()),
            Just(b"event".to_vec()),
            Just(b"id".to_vec()),
            Just(b":".to_vec()),
            Just(b" ".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"\n\n".to_vec()),
            Just(b"\r".to_vec()),
            Just(b"\r\n".to_vec()),
            Just("\u{feff}".as_bytes().to_vec()),
            Just("é𝄞".as_bytes().to_vec()),
            Just(b"\xff\xf0\x9f".to_vec()),
            "[a-z{}]{0,4}".prop_map(String::into_bytes),
        ];
        proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn any_split_gives_what_the_standard_gives(
            bytes in stream(),
            cuts in proptest::collection::vec(0usize..200, 0..12),
        ) {
            let mut cuts = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect::<Vec<_>>();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut parser = Parser::new(1 << 20);
            let mut events = Vec::new();
            for pair in cuts.windows(2) {
                events.extend(parser.push(&bytes[pair[0]..pair[1]]).unwrap());
            }
            prop_assert_eq!(events, reference(&bytes));
        }
    }
}
