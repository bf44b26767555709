//! One message a line, over the process's own ends of the pipes. A line that never ends is no message.

use crate::lsp::stdio::{Input, Output};
use futures::{Sink, Stream, sink, stream};
use std::io::{self, ErrorKind};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

/// Bytes of a line; the same as of a frame of the sidecar.
const LONGEST: u64 = 64 << 20;

/// The lines that come in, without their ends.
pub fn read(input: Input) -> impl Stream<Item = io::Result<String>> + Send + 'static {
    stream::unfold(Some(BufReader::new(input)), |reader| async move {
        let mut reader = reader?;
        match line(&mut reader).await {
            Ok(Some(line)) => Some((Ok(line), Some(reader))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
}

async fn line(reader: &mut BufReader<Input>) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    let read = (&mut *reader).take(LONGEST + 1).read_until(b'\n', &mut bytes).await?;
    if read == 0 {
        return Ok(None);
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    } else if read as u64 > LONGEST {
        return Err(io::Error::new(ErrorKind::InvalidData, "a line is longer than 64 MiB"));
    }
    // Replaced, so that one bad character is one message that cannot be read, and not the end of the connection.
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Where lines go out, each in one write. Once nobody reads them they go nowhere: the editor is gone, and what comes in ends too.
pub fn write(output: Output) -> impl Sink<String, Error = io::Error> + Send + 'static {
    sink::unfold(Some(output), |output, line: String| async move {
        let Some(mut output) = output else { return Ok(None) };
        let mut bytes = line.into_bytes();
        bytes.push(b'\n');
        match send(&mut output, &bytes).await {
            Ok(()) => Ok(Some(output)),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(None),
            Err(error) => Err(error),
        }
    })
}

async fn send(output: &mut Output, bytes: &[u8]) -> io::Result<()> {
    output.write_all(bytes).await?;
    output.flush().await
}
