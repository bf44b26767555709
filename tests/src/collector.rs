//! A collector of traces: takes what is exported over OTLP (HTTP, protobuf) and reads the spans in it, without any of the
//! code that wrote them. Only the fields that tests ask for are known; field numbers are those of OTLP 1.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A running collector; it lives as long as its runtime.
pub struct Collector {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Bytes>>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Of the resource: `service.name`.
    pub service: String,
    /// Of its scope.
    pub schema: String,
    pub trace: String,
    pub id: String,
    /// Empty for a root.
    pub parent: String,
    pub name: String,
    pub kind: Kind,
    pub attributes: BTreeMap<String, Value>,
    /// The status says that it failed.
    pub failed: bool,
    /// Milliseconds.
    pub took: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Unspecified,
    Internal,
    Server,
    Client,
    Producer,
    Consumer,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(String),
    Bool(bool),
    Int(i64),
    Double(f64),
    List(Vec<Value>),
    Other,
}

impl Collector {
    pub async fn start() -> Self {
        let received: Arc<Mutex<Vec<Bytes>>> = Arc::default();
        let router = Router::new().route("/v1/traces", post(take)).with_state(received.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(axum::serve(listener, router).into_future());
        Self { address, received }
    }

    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that came, as it came.
    pub fn bytes(&self) -> Vec<u8> {
        lock(&self.received).concat()
    }

    /// # Panics
    /// When something that came is no export of traces.
    pub fn spans(&self) -> Vec<Span> {
        lock(&self.received).iter().flat_map(|export| spans(export)).collect()
    }
}

async fn take(State(received): State<Arc<Mutex<Vec<Bytes>>>>, body: Bytes) -> &'static [u8] {
    lock(&received).push(body);
    // An empty ExportTraceServiceResponse.
    b""
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Span {
    /// An attribute that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.attributes.get(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn int(&self, name: &str) -> Option<i64> {
        match self.attributes.get(name)? {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    pub fn double(&self, name: &str) -> Option<f64> {
        match self.attributes.get(name)? {
            Value::Double(number) => Some(*number),
            _ => None,
        }
    }
}

/// One field of a message.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message, in order.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let field = match tag & 7 {
            0 => Field::Number(varint(&mut bytes)),
            1 => Field::Number(u64::from_le_bytes(cut(&mut bytes, 8).try_into().expect("eight bytes"))),
            2 => {
                let length = usize::try_from(varint(&mut bytes)).expect("a length");
                Field::Bytes(cut(&mut bytes, length))
            }
            5 => Field::Number(u64::from(u32::from_le_bytes(cut(&mut bytes, 4).try_into().expect("four bytes")))),
            other => panic!("no protobuf: wire type {other}"),
        };
        fields.push((tag >> 3, field));
    }
    fields
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = cut(bytes, 1)[0];
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return number;
        }
    }
    panic!("no protobuf: a number without end");
}

fn cut<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
    assert!(bytes.len() >= length, "no protobuf: it was cut off");
    let (head, tail) = bytes.split_at(length);
    *bytes = tail;
    head
}

fn parts(message: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    fields(message).into_iter().filter_map(move |(found, field)| match field {
        Field::Bytes(bytes) if found == number => Some(bytes),
        _ => None,
    })
}

fn part(message: &[u8], number: u64) -> &[u8] {
    parts(message, number).last().unwrap_or_default()
}

fn text(message: &[u8], number: u64) -> String {
    String::from_utf8_lossy(part(message, number)).into_owned()
}

fn number(message: &[u8], number: u64) -> u64 {
    let mut found = fields(message).into_iter().filter_map(|(found, field)| match field {
        Field::Number(value) if found == number => Some(value),
        _ => None,
    });
    found.next_back().unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn spans(export: &[u8]) -> Vec<Span> {
    let mut spans = Vec::new();
    for resource in parts(export, 1) {
        let about = attributes(part(resource, 1), 1);
        let service = match about.get("service.name") {
            Some(Value::Text(name)) => name.clone(),
            _ => String::new(),
        };
        for scope in parts(resource, 2) {
            let schema = text(scope, 3);
            spans.extend(parts(scope, 2).map(|bytes| span(bytes, &service, &schema)));
        }
    }
    spans
}

fn span(bytes: &[u8], service: &str, schema: &str) -> Span {
    Span {
        service: service.to_owned(),
        schema: schema.to_owned(),
        trace: hex(part(bytes, 1)),
        id: hex(part(bytes, 2)),
        parent: hex(part(bytes, 4)),
        name: text(bytes, 5),
        kind: match number(bytes, 6) {
            1 => Kind::Internal,
            2 => Kind::Server,
            3 => Kind::Client,
            4 => Kind::Producer,
            5 => Kind::Consumer,
            _ => Kind::Unspecified,
        },
        attributes: attributes(bytes, 9),
        failed: number(part(bytes, 15), 3) == 2,
        took: number(bytes, 8).saturating_sub(number(bytes, 7)) as f64 / 1e6,
    }
}

fn attributes(message: &[u8], number: u64) -> BTreeMap<String, Value> {
    parts(message, number).map(|pair| (text(pair, 1), value(part(pair, 2)))).collect()
}

fn value(message: &[u8]) -> Value {
    match fields(message).into_iter().next() {
        Some((1, Field::Bytes(text))) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        Some((2, Field::Number(flag))) => Value::Bool(flag != 0),
        Some((3, Field::Number(number))) => Value::Int(number.cast_signed()),
        Some((4, Field::Number(bits))) => Value::Double(f64::from_bits(bits)),
        Some((5, Field::Bytes(list))) => Value::List(parts(list, 1).map(value).collect()),
        _ => Value::Other,
    }
}
