//! The process's own ends of the pipes, kept for frames.
//!
//! stdout carries frames and nothing else: on unix its descriptor is moved away at start and descriptor 1 is pointed at stderr, so
//! whatever a library or a child prints cannot fall between two frames. It must not know what a frame is.

use std::io::{self, Read as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::mpsc;

/// After the end of stdin the process has this long to end by itself, runtime stuck or not.
const PATIENCE: Duration = Duration::from_secs(5);

/// Takes stdin and stdout for the session. Call it once, before anything prints and before the runtime starts threads.
///
/// # Errors
/// When the descriptors cannot be duplicated or the reading thread cannot be started.
pub fn take() -> io::Result<(Input, Output)> {
    Ok((Input::start()?, take_output()?))
}

/// Where frames are written to.
#[cfg(unix)]
pub type Output = tokio::fs::File;

#[cfg(unix)]
fn take_output() -> io::Result<Output> {
    let frames = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    let mut file = tokio::fs::File::from_std(std::fs::File::from(frames));
    // One write per batch of frames, not several of tokio's 2 MiB chunks waiting for each other.
    file.set_max_buf_size(256 * 1024);
    Ok(file)
}

#[cfg(not(unix))]
pub type Output = tokio::io::Stdout;

#[cfg(not(unix))]
fn take_output() -> io::Result<Output> {
    Ok(tokio::io::stdout())
}

/// stdin, read by a thread of its own: it may block for ever, and must not take a thread from the runtime.
#[derive(Debug)]
pub struct Input {
    chunks: mpsc::Receiver<io::Result<Vec<u8>>>,
    chunk: Vec<u8>,
    at: usize,
}

impl Input {
    fn start() -> io::Result<Self> {
        // Few chunks ahead: a client that writes faster than we read should feel it.
        let (sender, chunks) = mpsc::channel(4);
        thread::Builder::new().name("krins-stdin".into()).spawn(move || {
            pump(&sender);
            drop(sender);
            thread::sleep(PATIENCE);
            std::process::exit(1);
        })?;
        Ok(Self { chunks, chunk: Vec::new(), at: 0 })
    }
}

/// Reads until the end, an error, or until nobody takes the chunks.
fn pump(sender: &mpsc::Sender<io::Result<Vec<u8>>>) {
    let mut stdin = io::stdin().lock();
    loop {
        let mut chunk = vec![0; 64 * 1024];
        let read = match stdin.read(&mut chunk) {
            Ok(0) => return,
            Ok(length) => {
                chunk.truncate(length);
                Ok(chunk)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let failed = read.is_err();
        if sender.blocking_send(read).is_err() || failed {
            return;
        }
    }
}

impl AsyncRead for Input {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.at == self.chunk.len() {
            match ready!(self.chunks.poll_recv(cx)) {
                Some(chunk) => {
                    self.chunk = chunk?;
                    self.at = 0;
                }
                None => return Poll::Ready(Ok(())),
            }
        }
        let rest = &self.chunk[self.at..];
        let taken = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..taken]);
        self.at += taken;
        Poll::Ready(Ok(()))
    }
}

/// Sends panics to the log. The default hook prints with a macro that itself panics when stderr is a broken pipe.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let message = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        let place = info.location().map_or_else(|| "somewhere".to_owned(), ToString::to_string);
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!(thread = thread::current().name(), %backtrace, "panicked at {place}: {message}");
    }));
}
