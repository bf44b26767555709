//! What a command of the person's may do while the gate runs it: write in its own directories, read what programs need,
//! nothing of the person's own, no network, no other process.
//!
//! Three layers, each used where it is there: `bwrap` (namespaces), Landlock (files, signals), seccomp (system calls).
//! What was really enforced is a value ([`Enforced`]) that goes with every result; a command for which less is enforced
//! than is asked for is not run. It must not know what the command is for.

#[cfg(target_os = "linux")]
mod confine;
#[cfg(target_os = "linux")]
mod family;
#[cfg(target_os = "linux")]
mod helper;
mod namespaces;
mod paths;

#[cfg(target_os = "linux")]
pub use helper::{inner, outer};
pub(crate) use namespaces::bwrap;
pub use paths::Readable;

use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// The first argument with which the program becomes the helper, and the one with which it becomes the command.
pub const HELPER: &str = "sandbox-helper";
pub const INNER: &str = "sandbox-inner";

/// Becomes the helper when the process was started as one; `None` when it was not.
pub fn helper_of(args: impl IntoIterator<Item = OsString>) -> Option<std::process::ExitCode> {
    let mut args = args.into_iter().skip(1);
    let word = args.next()?;
    #[cfg(target_os = "linux")]
    match word.to_str()? {
        HELPER => return Some(outer(args)),
        INNER => return Some(inner(args)),
        _ => {}
    }
    let _ = word;
    None
}

/// How much was enforced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    #[default]
    None,
    Partial,
    Full,
}

impl Level {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Partial => "partial",
            Self::Full => "full",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        [Self::None, Self::Partial, Self::Full].into_iter().find(|level| level.as_str() == name)
    }
}

/// One thing that the sandbox holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Guard {
    /// Nothing is written outside of the command's own directories.
    Writes,
    /// Nothing of the person's own is read.
    Reads,
    /// Nothing is reached over the network, nor through a socket of another program.
    Network,
    /// No other process is signalled, traced or looked into.
    Processes,
    /// Dangerous system calls fail.
    Syscalls,
    /// Processes, file sizes and processor time are bounded, and privileges cannot rise.
    Limits,
}

impl Guard {
    pub const ALL: [Self; 6] =
        [Self::Writes, Self::Reads, Self::Network, Self::Processes, Self::Syscalls, Self::Limits];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Writes => "writes",
            Self::Reads => "reads",
            Self::Network => "network",
            Self::Processes => "processes",
            Self::Syscalls => "syscalls",
            Self::Limits => "limits",
        }
    }
}

/// What was enforced on a command, as the helper saw it just before the command began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enforced {
    pub level: Level,
    pub held: Vec<Guard>,
    pub missing: Vec<Guard>,
    /// By what: `bwrap`, `landlock 6`, `seccomp`.
    pub by: Vec<String>,
    /// The settings allow the network.
    pub network_allowed: bool,
}

impl Enforced {
    pub(crate) fn of(mut held: Vec<Guard>, by: Vec<String>, network_allowed: bool) -> Self {
        held.sort();
        held.dedup();
        let wanted = |guard: &Guard| !(network_allowed && *guard == Guard::Network);
        let missing: Vec<Guard> =
            Guard::ALL.into_iter().filter(|guard| wanted(guard) && !held.contains(guard)).collect();
        let level = match (missing.is_empty(), held.contains(&Guard::Writes) || held.contains(&Guard::Network)) {
            (true, _) => Level::Full,
            (false, true) => Level::Partial,
            (false, false) => Level::None,
        };
        Self { level, held, missing, by, network_allowed }
    }

    /// One line for a person.
    pub fn describe(&self) -> String {
        let names = |guards: &[Guard]| guards.iter().map(|guard| guard.as_str()).collect::<Vec<_>>().join(", ");
        let missing =
            if self.missing.is_empty() { String::new() } else { format!("; not held: {}", names(&self.missing)) };
        let network = if self.network_allowed { "; network allowed by the settings" } else { "" };
        let by = if self.by.is_empty() { String::new() } else { format!(" by {}", self.by.join(", ")) };
        format!("sandbox: {}{by}{missing}{network}", self.level.as_str())
    }
}

/// What a command is allowed, and how long. Everything in it is ours or the person's; the command's own words come after.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spec {
    pub dir: PathBuf,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// Files and directories that may be read, and run.
    pub reads: Vec<PathBuf>,
    /// Directories that may be written.
    pub writes: Vec<PathBuf>,
    /// What stands at `/tmp` where namespaces allow it.
    pub tmp: PathBuf,
    pub network: bool,
    /// Less than this, and the command is not run.
    pub require: Level,
    pub timeout: Duration,
    /// `bwrap`, when it works here.
    pub bwrap: Option<PathBuf>,
}

/// What the helper says, one JSON line each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Word {
    /// Before the command begins.
    Enforced(Enforced),
    /// The command was not started.
    Refused(String),
    Ended(End),
}

/// How a command ended. Whatever it was, no process of it is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    Code(i32),
    Signal(i32),
    TimedOut,
    /// Somebody stopped it.
    Stopped,
}

impl End {
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Code(0))
    }

    pub fn describe(self) -> String {
        match self {
            Self::Code(code) => format!("ended with code {code}"),
            Self::Signal(signal) => format!("was ended by signal {signal}"),
            Self::TimedOut => "did not end in time".to_owned(),
            Self::Stopped => "was stopped".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_full_only_when_nothing_is_missing() {
        let all = Guard::ALL.to_vec();
        assert_eq!(Enforced::of(all.clone(), Vec::new(), false).level, Level::Full);
        for missing in Guard::ALL {
            let held = all.iter().copied().filter(|guard| *guard != missing).collect();
            let enforced = Enforced::of(held, Vec::new(), false);
            assert_eq!((enforced.level, enforced.missing.as_slice()), (Level::Partial, &[missing][..]));
        }
        assert_eq!(Enforced::of(vec![Guard::Limits, Guard::Reads], Vec::new(), false).level, Level::None);
        let without = all.into_iter().filter(|guard| *guard != Guard::Network).collect();
        assert_eq!(Enforced::of(without, Vec::new(), true).level, Level::Full, "what is allowed is not missing");
        assert!(Level::None < Level::Partial && Level::Partial < Level::Full);
    }
}
