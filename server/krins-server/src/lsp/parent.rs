//! Notices that the client's process is gone.
//!
//! The end of stdin is not enough: a sibling that inherited the pipe keeps it open. So a thread looks, every two seconds,
//! whether the parent is another process than it was, and whether the process named in `initialize` still runs. It is a thread and
//! not a task, so that it works while the runtime is stuck. It must not know about LSP.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;

/// How often the thread looks.
pub const PERIOD: Duration = Duration::from_secs(2);
/// How long the session has to end by itself before the thread ends the process.
const PATIENCE: Duration = Duration::from_secs(2);

/// A running watch. The thread ends with it.
#[derive(Debug)]
pub struct Watch {
    gone: watch::Receiver<bool>,
    clients: mpsc::Sender<u64>,
}

impl Watch {
    /// Starts the thread. When the client is gone and the process still runs two seconds later, it is ended with code 1.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start() -> io::Result<Self> {
        Self::with(PERIOD, || {
            thread::sleep(PATIENCE);
            std::process::exit(1);
        })
    }

    fn with(period: Duration, last: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let (gone_tx, gone) = watch::channel(false);
        let (clients, from_session) = mpsc::channel();
        let mut eye = Eye::new();
        thread::Builder::new().name("krins-parent".into()).spawn(move || {
            loop {
                match from_session.recv_timeout(period) {
                    Ok(pid) => eye.follow(pid),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                if eye.sees_an_orphan() {
                    tracing::warn!("the client's process is gone");
                    // Nobody may be listening; then the last resort is what is left.
                    let _ = gone_tx.send(true);
                    return last();
                }
            }
        })?;
        Ok(Self { gone, clients })
    }

    /// Watches the process `pid` too, if it exists now: a client in another pid namespace names a number that says nothing.
    pub fn client(&self, pid: u64) {
        // The thread is gone only when it has already told.
        let _ = self.clients.send(pid);
    }

    /// Returns when the client is gone.
    pub async fn gone(&self) {
        let mut gone = self.gone.clone();
        if gone.wait_for(|&gone| gone).await.is_err() {
            // The thread ended without having seen anything.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(unix)]
mod eye {
    use rustix::process::{Pid, getppid, test_kill_process};

    /// What a look compares with.
    pub struct Eye {
        parent: Option<Pid>,
        client: Option<Process>,
    }

    impl Eye {
        pub fn new() -> Self {
            Self { parent: getppid(), client: None }
        }

        pub fn follow(&mut self, pid: u64) {
            self.client = i32::try_from(pid).ok().and_then(Pid::from_raw).and_then(Process::running);
        }

        pub fn sees_an_orphan(&self) -> bool {
            getppid() != self.parent || self.client.as_ref().is_some_and(Process::is_gone)
        }
    }

    /// A process that ran when we first looked.
    struct Process {
        pid: Pid,
        /// Tells it from a later process with the same number, and sees a zombie as gone.
        #[cfg(target_os = "linux")]
        handle: Option<rustix::fd::OwnedFd>,
    }

    impl Process {
        fn running(pid: Pid) -> Option<Self> {
            let process = Self {
                pid,
                #[cfg(target_os = "linux")]
                handle: rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok(),
            };
            (!process.is_gone()).then_some(process)
        }

        #[cfg(target_os = "linux")]
        fn is_gone(&self) -> bool {
            use rustix::event::{PollFd, PollFlags, Timespec, poll};
            let Some(handle) = &self.handle else {
                return self.has_no_number();
            };
            let mut fds = [PollFd::new(handle, PollFlags::IN)];
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            // A pidfd becomes readable when its process ends.
            matches!(poll(&mut fds, Some(&now)), Ok(1..))
        }

        #[cfg(not(target_os = "linux"))]
        fn is_gone(&self) -> bool {
            self.has_no_number()
        }

        /// Somebody else's process is one we may not signal, and it runs.
        fn has_no_number(&self) -> bool {
            test_kill_process(self.pid) == Err(rustix::io::Errno::SRCH)
        }
    }
}

#[cfg(not(unix))]
mod eye {
    /// Elsewhere only the end of stdin tells: asking about another process takes unsafe calls.
    pub struct Eye;

    impl Eye {
        pub fn new() -> Self {
            Self
        }

        pub fn follow(&mut self, _: u64) {}

        pub fn sees_an_orphan(&self) -> bool {
            false
        }
    }
}

use eye::Eye;

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    fn sleeper() -> Child {
        Command::new("sleep").arg("60").spawn().expect("sleep runs")
    }

    #[tokio::test]
    async fn a_dead_client_is_seen_even_as_a_zombie() {
        let mut child = sleeper();
        let (told, last) = mpsc::channel();
        let watch = Watch::with(Duration::from_millis(20), move || told.send(()).unwrap()).unwrap();
        watch.client(u64::from(child.id()));
        let early = tokio::time::timeout(Duration::from_millis(100), watch.gone()).await;
        assert!(early.is_err(), "gone while it runs");
        child.kill().unwrap();
        tokio::time::timeout(Duration::from_secs(5), watch.gone()).await.expect("the death is seen");
        last.recv_timeout(Duration::from_secs(5)).unwrap();
        child.wait().unwrap();
    }

    #[tokio::test]
    async fn a_number_that_names_nothing_is_not_a_dead_client() {
        let mut child = sleeper();
        child.kill().unwrap();
        child.wait().unwrap();
        let watch = Watch::with(Duration::from_millis(10), || {}).unwrap();
        for pid in [u64::from(child.id()), 0, u64::MAX, 1 << 31] {
            watch.client(pid);
        }
        let seen = tokio::time::timeout(Duration::from_millis(150), watch.gone()).await;
        assert!(seen.is_err());
    }
}
