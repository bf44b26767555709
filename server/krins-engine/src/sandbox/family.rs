//! The processes that descend from this one, and their end. The helper is their reaper: whoever loses its parent comes to
//! it, so nobody gets out of sight by forking twice or by a session of its own.

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Between TERM and KILL.
const GRACE: Duration = Duration::from_secs(2);
/// Killing goes on for so long; a process that cannot die is in the kernel's hands.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

/// Asks everything but `spared` to end, then makes it: what only waits for others would take them with it too early.
pub(super) fn end(spared: Option<Pid>) {
    if !signal_all(Signal::TERM, spared) {
        return;
    }
    let since = Instant::now();
    while since.elapsed() < GRACE {
        if !reap() {
            return;
        }
        std::thread::sleep(PAUSE);
    }
    kill();
}

/// Ends everything at once. When this returns nothing is left.
pub(super) fn kill() {
    let since = Instant::now();
    while reap() && since.elapsed() < PATIENCE {
        signal_all(Signal::KILL, None);
        std::thread::sleep(PAUSE);
    }
}

/// Takes the dead; whether a child is left.
fn reap() -> bool {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// Whether there was anybody.
fn signal_all(signal: Signal, spared: Option<Pid>) -> bool {
    let family = descendants(rustix::process::getpid());
    for pid in family.iter().filter(|pid| Some(**pid) != spared) {
        // By descriptor: a number that was looked up could be somebody else's by now, so its parent is looked at again.
        let Ok(process) = rustix::process::pidfd_open(*pid, PidfdFlags::empty()) else { continue };
        if parent(*pid).is_some_and(|parent| parent == rustix::process::getpid() || family.contains(&parent)) {
            let _ = rustix::process::pidfd_send_signal(&process, signal);
        }
    }
    !family.is_empty()
}

/// Everything below a process, nearest first.
fn descendants(of: Pid) -> Vec<Pid> {
    let mut children: BTreeMap<i32, Vec<Pid>> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        if let Some((pid, parent)) = pid.and_then(|pid| Some((pid, parent(pid)?))) {
            children.entry(parent.as_raw_nonzero().get()).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut next = vec![of];
    while let Some(pid) = next.pop() {
        let below = children.remove(&pid.as_raw_nonzero().get()).unwrap_or_default();
        found.extend(&below);
        next.extend(below);
    }
    found
}

/// The fourth word of `stat`, counted behind the name, which may hold anything.
fn parent(pid: Pid) -> Option<Pid> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok().and_then(Pid::from_raw)
}

/// What a wait ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// The process has ended.
    Ended,
    /// Whoever is at the other end has gone, or wants it to end.
    Told,
    Late,
}

/// Waits for the process, a word, or the time to be over.
pub(super) fn wait(process: &OwnedFd, told: impl std::os::fd::AsFd, until: Instant) -> Woken {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout =
            Timespec { tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: left.subsec_nanos().into() };
        let mut watched = [PollFd::new(process, PollFlags::IN), PollFd::new(&told, PollFlags::IN)];
        match rustix::event::poll(&mut watched, Some(&timeout)) {
            Ok(0) => return Woken::Late,
            Ok(_) if !watched[0].revents().is_empty() => return Woken::Ended,
            Ok(_) => return Woken::Told,
            Err(Errno::INTR) => {}
            Err(_) => return Woken::Late,
        }
    }
}
