//! W3C trace context, level 2, strictly: the values, their grammar and nothing else.
//!
//! Source: <https://www.w3.org/TR/trace-context-2/>. An invalid `traceparent` (or more than one) restarts the trace and
//! hides the `tracestate`; an invalid `tracestate` is dropped and the `traceparent` kept. This module must not know
//! where the values travel, nor where random bytes come from.

use std::fmt;

/// The trace may have been recorded by the caller.
pub const SAMPLED: u8 = 0b01;
/// The trace id's last seven bytes are random (level 2).
pub const RANDOM: u8 = 0b10;

/// A whole trace: 16 bytes, not all zero; shown as 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId([u8; 16]);

/// One hop or span of a trace: 8 bytes, not all zero; shown as 16 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanId([u8; 8]);

/// The `traceparent` header. Shown as version 00, whatever version it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    pub trace_id: TraceId,
    /// The span that the bearer is a child of.
    pub parent_id: SpanId,
    /// [`SAMPLED`] and [`RANDOM`]; the other bits are always zero.
    pub flags: u8,
}

/// The `tracestate` header: at most 32 vendor entries, newest first, each key once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceState {
    members: Vec<(String, String)>,
}

/// What one request carries about its trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    pub parent: TraceParent,
    pub state: TraceState,
}

impl TraceContext {
    /// Reads every `traceparent` and `tracestate` header of a request, in order. `None` means: start a new trace.
    pub fn extract(traceparent_headers: &[&str], tracestate_headers: &[&str]) -> Option<Self> {
        let [traceparent] = traceparent_headers else {
            return None;
        };
        Some(Self {
            parent: TraceParent::parse(traceparent)?,
            state: TraceState::parse(tracestate_headers).unwrap_or_default(),
        })
    }

    /// A new trace, sampled and marked random: 16 random bytes for the trace, 8 for its first span.
    pub fn new_root(random: [u8; 24]) -> Self {
        let (mut trace_id, mut parent_id) = ([0; 16], [0; 8]);
        trace_id.copy_from_slice(&random[..16]);
        parent_id.copy_from_slice(&random[16..]);
        Self {
            parent: TraceParent {
                trace_id: TraceId::from_random(trace_id),
                parent_id: SpanId::from_random(parent_id),
                flags: SAMPLED | RANDOM,
            },
            state: TraceState::default(),
        }
    }

    /// What a span below this one carries: the same trace, flags and state, its own id.
    pub fn child(&self, span_id: SpanId) -> Self {
        Self { parent: TraceParent { parent_id: span_id, ..self.parent }, state: self.state.clone() }
    }

    /// The `traceparent` header.
    pub fn traceparent(&self) -> String {
        self.parent.to_string()
    }

    /// The `tracestate` header; `None` when there is nothing to say, for an empty header is never sent.
    pub fn tracestate(&self) -> Option<String> {
        (!self.state.is_empty()).then(|| self.state.to_string())
    }
}

impl TraceParent {
    /// Reads `00-<32 hex>-<16 hex>-<2 hex>`, lower case, with optional white space around it; of a higher version the
    /// same first 55 characters, which a `-` or the end must follow. Unknown flag bits are dropped.
    pub fn parse(header: &str) -> Option<Self> {
        let header = header.trim_matches(is_optional_space).as_bytes();
        let (known, rest) = header.split_at_checked(55)?;
        if [known[2], known[35], known[52]] != *b"---" {
            return None;
        }
        match hex::<1>(&known[..2])? {
            [0xff] => return None,
            [0] if !rest.is_empty() => return None,
            _ if rest.first().is_some_and(|&next| next != b'-') => return None,
            _ => {}
        }
        let [flags] = hex(&known[53..])?;
        Some(Self {
            trace_id: TraceId::new(hex(&known[3..35])?)?,
            parent_id: SpanId::new(hex(&known[36..52])?)?,
            flags: flags & (SAMPLED | RANDOM),
        })
    }

    pub const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    pub const fn is_random(&self) -> bool {
        self.flags & RANDOM != 0
    }
}

impl TraceState {
    /// Entries a header may hold.
    pub const MAX_MEMBERS: usize = 32;

    /// Reads the headers as one list. Of entries with one key the first is kept; empty entries are skipped. `None` when
    /// any entry breaks the grammar, or there are more than [`Self::MAX_MEMBERS`].
    pub fn parse(headers: &[&str]) -> Option<Self> {
        let mut members: Vec<(String, String)> = Vec::new();
        let entries = headers
            .iter()
            .flat_map(|header| header.split(','))
            .map(|entry| entry.trim_matches(is_optional_space))
            .filter(|entry| !entry.is_empty());
        for (count, entry) in entries.enumerate() {
            let (key, value) = entry.split_once('=')?;
            if count == Self::MAX_MEMBERS || !is_key(key) || !is_value(value) {
                return None;
            }
            if members.iter().all(|(known, _)| known != key) {
                members.push((key.to_owned(), value.to_owned()));
            }
        }
        Some(Self { members })
    }

    /// `(key, value)` pairs in header order.
    pub fn members(&self) -> impl Iterator<Item = (&str, &str)> {
        self.members.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.members().find_map(|(known, value)| (known == key).then_some(value))
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

impl TraceId {
    /// `None` for the all-zero id, which the recommendation forbids.
    pub fn new(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// As [`Self::new`], but the one forbidden value of 2^128 becomes 1.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self::new(bytes).unwrap_or(Self(1_u128.to_be_bytes()))
    }

    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl SpanId {
    /// `None` for the all-zero id, which the recommendation forbids.
    pub fn new(bytes: [u8; 8]) -> Option<Self> {
        (bytes != [0; 8]).then_some(Self(bytes))
    }

    /// As [`Self::new`], but the one forbidden value of 2^64 becomes 1.
    pub fn from_random(bytes: [u8; 8]) -> Self {
        Self::new(bytes).unwrap_or(Self(1_u64.to_be_bytes()))
    }

    pub const fn to_bytes(self) -> [u8; 8] {
        self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace_id, parent_id, flags } = self;
        write!(f, "00-{trace_id}-{parent_id}-{flags:02x}")
    }
}

impl fmt::Display for TraceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, value)) in self.members().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{key}={value}")?;
        }
        Ok(())
    }
}

/// The recommendation's `OWS`.
fn is_optional_space(character: char) -> bool {
    matches!(character, ' ' | '\t')
}

/// `[a-z0-9][a-z0-9_\-*/@]{0,255}`
fn is_key(key: &str) -> bool {
    let is_first = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    key.len() <= 256
        && key.bytes().next().is_some_and(is_first)
        && key.bytes().all(|byte| is_first(byte) || b"_-*/@".contains(&byte))
}

/// 1 to 256 printable ASCII characters without `,` and `=`; the last is not a space.
fn is_value(value: &str) -> bool {
    (1..=256).contains(&value.len())
        && !value.ends_with(' ')
        && value.bytes().all(|byte| (0x20..=0x7e).contains(&byte) && byte != b',' && byte != b'=')
}

/// Exactly `2 * N` lower-case hex digits.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "12345678901234567890123456789012";

    fn parent(headers: &[&str]) -> Option<String> {
        TraceContext::extract(headers, &[]).map(|context| context.traceparent())
    }

    fn state(headers: &[&str]) -> String {
        let parent = "00-12345678901234567890123456789012-1234567890123456-00";
        let context = TraceContext::extract(&[parent], headers).expect("the parent is valid");
        assert_eq!(context.traceparent(), parent, "tracestate never costs the parent");
        context.state.to_string()
    }

    /// One row per `traceparent` case of the public trace-context suite: what came in, and whether the trace goes on.
    const PARENTS: &[(&str, &[&str], bool)] = &[
        ("missing", &[], false),
        ("valid", &["00-12345678901234567890123456789012-1234567890123456-01"], true),
        (
            "duplicated",
            &[
                "00-12345678901234567890123456789011-1234567890123456-01",
                "00-12345678901234567890123456789012-1234567890123456-01",
            ],
            false,
        ),
        (
            "duplicated, the same",
            &[
                "00-12345678901234567890123456789012-1234567890123456-01",
                "00-12345678901234567890123456789012-1234567890123456-01",
            ],
            false,
        ),
        ("version 00, a dot behind", &["00-12345678901234567890123456789012-1234567890123456-01."], false),
        (
            "version 00, more behind",
            &["00-12345678901234567890123456789012-1234567890123456-01-what-the-future-will-be-like"],
            false,
        ),
        ("version cc", &["cc-12345678901234567890123456789012-1234567890123456-01"], true),
        (
            "version cc, more behind",
            &["cc-12345678901234567890123456789012-1234567890123456-01-what-the-future-will-be-like"],
            true,
        ),
        (
            "version cc, a dot behind",
            &["cc-12345678901234567890123456789012-1234567890123456-01.what-the-future-will-be-like"],
            false,
        ),
        ("version ff", &["ff-12345678901234567890123456789012-1234567890123456-01"], false),
        ("version .0", &[".0-12345678901234567890123456789012-1234567890123456-01"], false),
        ("version 0.", &["0.-12345678901234567890123456789012-1234567890123456-01"], false),
        ("version 000", &["000-12345678901234567890123456789012-1234567890123456-01"], false),
        ("version 0000", &["0000-12345678901234567890123456789012-1234567890123456-01"], false),
        ("version 0", &["0-12345678901234567890123456789012-1234567890123456-01"], false),
        ("trace id zero", &["00-00000000000000000000000000000000-1234567890123456-01"], false),
        ("trace id .2", &["00-.2345678901234567890123456789012-1234567890123456-01"], false),
        ("trace id 1.", &["00-1234567890123456789012345678901.-1234567890123456-01"], false),
        ("trace id long", &["00-123456789012345678901234567890123-1234567890123456-01"], false),
        ("trace id short", &["00-1234567890123456789012345678901-1234567890123456-01"], false),
        ("trace id upper case", &["00-1234567890123456789012345678901A-1234567890123456-01"], false),
        ("parent id zero", &["00-12345678901234567890123456789012-0000000000000000-01"], false),
        ("parent id .2", &["00-12345678901234567890123456789012-.234567890123456-01"], false),
        ("parent id 5.", &["00-12345678901234567890123456789012-123456789012345.-01"], false),
        ("parent id long", &["00-12345678901234567890123456789012-12345678901234567-01"], false),
        ("parent id short", &["00-12345678901234567890123456789012-123456789012345-01"], false),
        ("flags .0", &["00-12345678901234567890123456789012-1234567890123456-.0"], false),
        ("flags 0.", &["00-12345678901234567890123456789012-1234567890123456-0."], false),
        ("flags 001", &["00-12345678901234567890123456789012-1234567890123456-001"], false),
        ("flags 1", &["00-12345678901234567890123456789012-1234567890123456-1"], false),
        ("a space before", &[" 00-12345678901234567890123456789012-1234567890123456-01"], true),
        ("a tab before", &["\t00-12345678901234567890123456789012-1234567890123456-01"], true),
        ("a space behind", &["00-12345678901234567890123456789012-1234567890123456-01 "], true),
        ("a tab behind", &["00-12345678901234567890123456789012-1234567890123456-01\t"], true),
        ("both around", &["\t 00-12345678901234567890123456789012-1234567890123456-01 \t"], true),
        ("signs for digits", &["00-+2345678901234567890123456789012-1234567890123456-01"], false),
        ("not ASCII", &["00-1234567890123456789012345678901é-1234567890123456-01"], false),
        ("empty", &[""], false),
    ];

    #[test]
    fn every_traceparent_case_of_the_suite() {
        for (case, headers, goes_on) in PARENTS {
            let read = parent(headers);
            assert_eq!(read.is_some(), *goes_on, "{case}");
            if let Some(read) = read {
                assert_eq!(read, format!("00-{TRACE}-1234567890123456-01"), "{case}");
            }
        }
    }

    #[test]
    fn every_tracestate_case_of_the_suite() {
        let (long, longer) = (format!("{}=1", "z".repeat(256)), format!("{}=1", "z".repeat(257)));
        let vendor = [
            format!("{}@{}=1", "t".repeat(241), "v".repeat(14)),
            format!("{}@v=1", "t".repeat(242)),
            format!("t@{}=1", "v".repeat(15)),
        ];
        let value: String = (' '..='~').filter(|c| !",=".contains(*c)).collect();
        let all = [
            format!("abcdefghijklmnopqrstuvwxyz0123456789_-*/={value}"),
            format!("abcdefghijklmnopqrstuvwxyz0123456789_-*/@a-z0-9_-*/={value}"),
        ];
        let row = |range: std::ops::RangeInclusive<u32>| {
            let entries: Vec<String> = range.map(|n| format!("bar{n:02}={n:02}")).collect();
            entries.join(",")
        };
        let (thirty_two, thirty_three) = (row(1..=32), row(1..=33));
        let (first, second) = (row(1..=20), row(21..=32));
        let widest = format!("a={}", "v".repeat(256));
        let too_wide = format!("a={}", "v".repeat(257));
        let cases: &[(&[&str], &str)] = &[
            (&[], ""),
            (&["foo=1,bar=2"], "foo=1,bar=2"),
            (&[""], ""),
            (&["foo=1", ""], "foo=1"),
            (&["", "foo=1"], "foo=1"),
            (&["foo=1,,bar=2, ,"], "foo=1,bar=2"),
            (&["foo=1,bar=2", "rojo=1,congo=2", "baz=3"], "foo=1,bar=2,rojo=1,congo=2,baz=3"),
            (&["foo=1,foo=1"], "foo=1"),
            (&["foo=1,foo=2"], "foo=1"),
            (&["foo=1", "foo=1"], "foo=1"),
            (&["foo=1", "foo=2,bar=3"], "foo=1,bar=3"),
            (&[&all[0]], &all[0]),
            (&[&all[1]], &all[1]),
            (&["foo=1 \t , \t bar=2, \t baz=3"], "foo=1,bar=2,baz=3"),
            (&["foo=1\t \t,\t \tbar=2,\t \tbaz=3"], "foo=1,bar=2,baz=3"),
            (&[" foo=1"], "foo=1"),
            (&["\tfoo=1"], "foo=1"),
            (&["foo=1 "], "foo=1"),
            (&["foo=1\t"], "foo=1"),
            (&["\t foo=1 \t"], "foo=1"),
            (&["foo =1"], ""),
            (&["FOO=1"], ""),
            (&["foo.bar=1"], ""),
            (&["foo@=1,bar=2"], "foo@=1,bar=2"),
            (&["@foo=1,bar=2"], ""),
            (&["foo@@bar=1,bar=2"], "foo@@bar=1,bar=2"),
            (&["foo@bar@baz=1,bar=2"], "foo@bar@baz=1,bar=2"),
            (&[&thirty_two], &thirty_two),
            (&[&first, &second], &thirty_two),
            (&[&thirty_three], ""),
            (&[&thirty_two, "bar33=33"], ""),
            (&["foo=1", &long], &format!("foo=1,{long}")),
            (&["foo=1", &longer], ""),
            (&["foo=1", &vendor[0]], &format!("foo=1,{}", vendor[0])),
            (&["foo=1", &vendor[1]], &format!("foo=1,{}", vendor[1])),
            (&["foo=1", &vendor[2]], &format!("foo=1,{}", vendor[2])),
            (&["foo=bar=baz"], ""),
            (&["foo=,bar=3"], ""),
            (&["foo"], ""),
            (&["=1"], ""),
            (&["foo=é"], ""),
            (&[&widest], &widest),
            (&[&too_wide], ""),
        ];
        for (headers, expected) in cases {
            assert_eq!(state(headers), *expected, "{headers:?}");
        }
    }

    #[test]
    fn without_a_parent_the_state_is_not_looked_at() {
        assert_eq!(TraceContext::extract(&[], &["foo=1"]), None);
        assert_eq!(TraceContext::extract(&["nonsense"], &["foo=1"]), None);
    }

    #[test]
    fn flags_keep_the_two_known_bits() {
        for (flags, kept) in [("00", "00"), ("01", "01"), ("02", "02"), ("03", "03"), ("ff", "03"), ("04", "00")] {
            let header = format!("00-{TRACE}-1234567890123456-{flags}");
            assert_eq!(parent(&[&header]), Some(format!("00-{TRACE}-1234567890123456-{kept}")));
        }
    }

    #[test]
    fn a_child_changes_the_parent_id_only_and_reads_back() {
        let incoming = format!("00-{TRACE}-1234567890123456-02");
        let context = TraceContext::extract(&[&incoming], &["foo=1,bar=2"]).expect("valid");
        let child = context.child(SpanId::from_random([7; 8]));
        assert_eq!(child.traceparent(), format!("00-{TRACE}-0707070707070707-02"));
        assert_eq!(child.tracestate().as_deref(), Some("foo=1,bar=2"));
        assert_eq!(child.state.get("bar"), Some("2"));
        let (parent, state) = (child.traceparent(), child.state.to_string());
        assert_eq!(TraceContext::extract(&[&parent], &[&state]), Some(child));
    }

    #[test]
    fn a_root_is_valid_whatever_the_random_bytes_are() {
        for random in [[0; 24], [0xff; 24], [1; 24]] {
            let root = TraceContext::new_root(random);
            assert!(root.parent.is_sampled() && root.parent.is_random());
            assert_eq!(root.tracestate(), None);
            assert_eq!(TraceContext::extract(&[&root.traceparent()], &[]), Some(root));
        }
    }
}
