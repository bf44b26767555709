//! Frames as a strict client reads them: anything else on stdout is an offence.

use std::io::{self, Read};

use serde_json::Value;

/// What came.
#[derive(Debug)]
pub enum Read1 {
    Message(Value),
    End,
    /// Bytes that belong to no frame, or a body that is no JSON object.
    Stray(String),
}

/// How the words about an output that ends inside a frame's body begin.
pub const CUT: &str = "the output ended in a body";

/// A frame around a message.
pub fn encode(message: &Value) -> Vec<u8> {
    let body = message.to_string();
    format!("Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Reads one frame, to the byte as the specification writes it.
pub fn read(input: &mut impl Read) -> Read1 {
    let mut header = Vec::new();
    while !header.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match input.read(&mut byte) {
            Ok(0) if header.is_empty() => return Read1::End,
            Ok(0) => return stray(&header, "the output ended in a header"),
            Ok(_) => header.push(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return stray(&header, &error.to_string()),
        }
        if !b"Content-Length: ".starts_with(&header[..header.len().min(16)]) || header.len() > 64 {
            // Whatever it is, show more of it than its first byte.
            let mut rest = [0; 200];
            let more = input.read(&mut rest).unwrap_or(0);
            header.extend_from_slice(&rest[..more]);
            return stray(&header, "no frame");
        }
    }
    let length = std::str::from_utf8(&header[16..header.len() - 4]).ok().and_then(|digits| digits.parse().ok());
    let Some(length) = length else {
        return stray(&header, "no length");
    };
    let mut body = Vec::new();
    match input.take(length).read_to_end(&mut body) {
        Ok(read) if read as u64 == length => {}
        Ok(_) => return stray(&body, CUT),
        Err(error) => return stray(&body, &error.to_string()),
    }
    match serde_json::from_slice(&body) {
        Ok(Value::Object(message)) if message.get("jsonrpc") == Some(&Value::from("2.0")) => {
            Read1::Message(Value::Object(message))
        }
        Ok(_) | Err(_) => stray(&body, "no JSON-RPC message"),
    }
}

fn stray(bytes: &[u8], why: &str) -> Read1 {
    Read1::Stray(format!("{why}: {:?}", String::from_utf8_lossy(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_frames_pass() {
        let good = encode(&serde_json::json!({"jsonrpc": "2.0", "id": 1}));
        let mut input = [good.as_slice(), &good, b"debug\n"].concat();
        let mut input = io::Cursor::new(&mut input);
        assert!(matches!(read(&mut input), Read1::Message(_)));
        assert!(matches!(read(&mut input), Read1::Message(_)));
        assert!(matches!(read(&mut input), Read1::Stray(text) if text.contains("debug")));
        for bad in [
            "content-length: 2\r\n\r\n{}",
            "Content-Length: 2\n\n{}",
            "Content-Length: 2\r\n\r\n{}",
            "\n",
            "Content-Length: 9\r\n\r\n{}",
        ] {
            assert!(matches!(read(&mut bad.as_bytes()), Read1::Stray(_)), "{bad:?}");
        }
        assert!(matches!(read(&mut b"".as_slice()), Read1::End));
    }
}
