//! As much HTTP/1.1 as a fake needs, and what no HTTP library does: resets, silence and cuts.

use super::Behaviour;
use super::dialect::{Dialect, Script};
use super::scenario::Ending;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(super) struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// `None` when the client closed, or sent no HTTP.
pub(super) async fn read_request(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let mut body = bytes.split_off(head + 4);
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.trim_end().split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect::<Vec<_>>();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.and_then(|(_, value)| value.parse::<usize>().ok()).unwrap_or(0);
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Request { method, path, headers, body })
}

pub(super) async fn respond(
    stream: &mut TcpStream,
    status: u16,
    headers: &[(&'static str, String)],
    body: &[u8],
) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {status} {}\r\ncontent-length: {}\r\n", reason(status), body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    stream.flush().await
}

/// RST instead of FIN: what a crashed process or a load balancer does.
pub(super) fn reset(stream: &mut TcpStream) -> io::Result<()> {
    stream.set_zero_linger()
}

/// Returns an error when the client has gone.
pub(super) async fn wait_for_leave(stream: &mut TcpStream) -> io::Result<()> {
    let mut byte = [0];
    loop {
        if stream.read(&mut byte).await? == 0 {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
    }
}

/// Waits, and notices when the client goes.
pub(super) async fn pause(stream: &mut TcpStream, time: Duration) -> io::Result<()> {
    if time.is_zero() {
        return Ok(());
    }
    tokio::select! {
        left = wait_for_leave(stream) => left,
        () = tokio::time::sleep(time) => Ok(()),
    }
}

pub(super) async fn stream(
    stream: &mut TcpStream,
    dialect: Dialect,
    script: &Script,
    ending: &Ending,
    behaviour: &Behaviour,
) -> io::Result<()> {
    begin_stream(stream, dialect).await?;
    for (at, event) in script.events.iter().enumerate() {
        if *ending == Ending::Late && at == script.first_text {
            pause(stream, behaviour.slow).await?;
        }
        if at == script.middle() && matches!(ending, Ending::Cut | Ending::CutCleanly | Ending::Stall) {
            return break_off(stream, ending).await;
        }
        for piece in event.as_bytes().chunks(behaviour.chunk.max(1)) {
            chunk(stream, piece).await?;
        }
        pause(stream, behaviour.pace).await?;
    }
    end_stream(stream).await
}

/// The head of a successful stream.
pub(super) async fn begin_stream(stream: &mut TcpStream, dialect: Dialect) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {}\r\ntransfer-encoding: chunked\r\ncache-control: no-cache\r\n{}: req_011CSHoEeqs5C35K2UUqR7Fy\r\n\r\n",
        dialect.content_type(),
        dialect.request_id_header(),
    );
    stream.write_all(head.as_bytes()).await
}

pub(super) async fn chunk(stream: &mut TcpStream, piece: &[u8]) -> io::Result<()> {
    let mut bytes = format!("{:x}\r\n", piece.len()).into_bytes();
    bytes.extend_from_slice(piece);
    bytes.extend_from_slice(b"\r\n");
    stream.write_all(&bytes).await
}

pub(super) async fn end_stream(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"0\r\n\r\n").await?;
    stream.flush().await
}

async fn break_off(stream: &mut TcpStream, ending: &Ending) -> io::Result<()> {
    stream.flush().await?;
    match ending {
        Ending::Stall => wait_for_leave(stream).await,
        Ending::CutCleanly => stream.write_all(b"0\r\n\r\n").await,
        // Closing inside a chunked body: the peer sees an end that the framing forbids.
        _ => stream.shutdown().await,
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        529 => "",
        _ => "Unknown",
    }
}
