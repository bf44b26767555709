//! An HTTP/1.1 client that sends exactly what it is told: repeated headers, odd casing, cut bodies. For asking servers
//! what no well-behaved client would.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// No answer of a test may take longer.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// In order, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|(known, value)| (known == name).then_some(value.as_str()))
    }

    /// Panics when the body is not JSON, showing it.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends one request on its own connection and reads the whole answer.
pub async fn send(to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let talking = async {
        let (answer, mut rest) = open(to, method, path, headers, body).await;
        let mut bytes = Vec::new();
        while let Some(piece) = rest.piece().await {
            bytes.extend(piece);
        }
        Answer { body: bytes, ..answer }
    };
    tokio::time::timeout(PATIENCE, talking).await.expect("an answer in time")
}

/// A JSON body with its content type.
pub async fn post_json(to: SocketAddr, path: &str, headers: &[(&str, &str)], body: &serde_json::Value) -> Answer {
    let headers: Vec<_> = headers.iter().copied().chain([("content-type", "application/json")]).collect();
    send(to, "POST", path, &headers, body.to_string().as_bytes()).await
}

/// Sends a request and reads the answer's head only; the body is read piece by piece, and dropping it closes the connection.
pub async fn open(to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (Answer, Body) {
    let mut stream = TcpStream::connect(to).await.expect("the server accepts");
    let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head += &format!("host: {to}\r\n");
    }
    if !body.is_empty() {
        head += &format!("content-length: {}\r\n", body.len());
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).await.expect("the head is taken");
    // A server may answer and close before it has read everything.
    let _ = stream.write_all(body).await;
    let mut reader = BufReader::new(stream);
    let answer = read_head(&mut reader).await;
    let chunked = answer.header("transfer-encoding") == Some("chunked");
    let left = answer.header("content-length").and_then(|length| length.parse().ok());
    (answer, Body { reader, chunked, left })
}

/// The body of an answer that is being read.
pub struct Body {
    reader: BufReader<TcpStream>,
    chunked: bool,
    left: Option<usize>,
}

impl Body {
    /// The next piece, `None` at the end.
    pub async fn piece(&mut self) -> Option<Vec<u8>> {
        if !self.chunked {
            let mut bytes = Vec::new();
            match self.left.take() {
                Some(left) => {
                    bytes.resize(left, 0);
                    self.reader.read_exact(&mut bytes).await.ok()?;
                }
                None => drop(self.reader.read_to_end(&mut bytes).await),
            }
            self.left = Some(0);
            return (!bytes.is_empty()).then_some(bytes);
        }
        let size = usize::from_str_radix(line(&mut self.reader).await?.trim(), 16).ok()?;
        let mut bytes = vec![0; size + 2];
        self.reader.read_exact(&mut bytes).await.ok()?;
        bytes.truncate(size);
        (size > 0).then_some(bytes)
    }

    /// The next server-sent event's fields or comment, as text; `None` when the stream ended.
    pub async fn event(&mut self) -> Option<String> {
        let piece = tokio::time::timeout(PATIENCE, self.piece()).await.expect("an event in time")?;
        Some(String::from_utf8_lossy(&piece).into_owned())
    }
}

async fn read_head(reader: &mut BufReader<TcpStream>) -> Answer {
    let status_line = line(reader).await.expect("a status line");
    let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status code");
    let mut headers = Vec::new();
    while let Some(header) = line(reader).await.filter(|header| !header.is_empty()) {
        let (name, value) = header.split_once(':').expect("a header");
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Answer { status, headers, body: Vec::new() }
}

async fn line(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    let read = reader.read_line(&mut line).await.ok()?;
    (read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
}
