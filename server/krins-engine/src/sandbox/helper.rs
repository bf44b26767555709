//! The program as the helper of a command: it confines, starts, watches and ends it. One process between the gate and the
//! command, so that whatever happens to the gate nothing of the command goes on.
//!
//! Its standard input is a socket: it says there what it enforced and how the command ended, and the other end closing it
//! is the order to end. Standard output and error are the command's.

use super::confine::{Around, confine};
use super::{End, Enforced, Level, Spec, Word, family, namespaces};
use rustix::process::{Pid, PidfdFlags};
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How long namespaces may take before the command begins.
const SETUP: Duration = Duration::from_secs(20);
/// The helper's own exit codes: of a command that was not started, and of a helper that was started wrongly.
const REFUSED: u8 = 125;
const MISUSED: u8 = 2;

/// `krins sandbox-helper SPEC COMMAND…`.
pub fn outer(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(spec) = args.next().and_then(|spec| read(&spec)) else { return ExitCode::from(MISUSED) };
    let argv: Vec<OsString> = args.collect();
    if argv.is_empty() {
        return ExitCode::from(MISUSED);
    }
    // A session of its own: no terminal to type into, no group that the person's keys reach.
    let _ = rustix::process::setsid();
    if let Err(error) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
        say(&Word::Refused(format!("become the reaper of the command's processes: {error}")));
        return ExitCode::from(REFUSED);
    }
    let started = match &spec.bwrap {
        Some(bwrap) => start_in_namespaces(bwrap, &spec, &argv),
        None => start(&spec, argv),
    };
    let mut child = match started {
        Ok(child) => child,
        Err(why) => {
            family::kill();
            say(&Word::Refused(why));
            return ExitCode::from(REFUSED);
        }
    };
    let end = watch(&mut child, spec.timeout, spec.bwrap.is_some());
    say(&Word::Ended(end));
    ExitCode::SUCCESS
}

/// `krins sandbox-inner SPEC COMMAND…`: already in namespaces; takes the rest away from itself and becomes the command.
pub fn inner(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(spec) = args.next().and_then(|spec| read(&spec)) else { return ExitCode::from(MISUSED) };
    let Some(program) = args.next() else { return ExitCode::from(MISUSED) };
    let enforced = confine(&spec, Around::Namespaces);
    let ready = enforced.level >= spec.require;
    say(&Word::Enforced(enforced));
    let null = std::fs::File::open("/dev/null").map_err(|error| error.to_string());
    let closed = null.and_then(|null| rustix::stdio::dup2_stdin(null).map_err(|error| error.to_string()));
    if !ready || closed.is_err() {
        return ExitCode::from(REFUSED);
    }
    // Only comes back when the program cannot be run.
    let _ = command(&spec, &program).args(args).exec();
    ExitCode::from(127)
}

fn read(spec: &OsString) -> Option<Spec> {
    serde_json::from_str(spec.to_str()?).ok()
}

/// To whoever is at the other end of standard input. Somebody who has gone does not miss it.
fn say(word: &Word) {
    let Ok(mut line) = serde_json::to_vec(word) else { return };
    line.push(b'\n');
    let mut rest = line.as_slice();
    while !rest.is_empty() {
        match rustix::io::write(rustix::stdio::stdin(), rest) {
            Ok(0) => return,
            Ok(written) => rest = &rest[written..],
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

fn command(spec: &Spec, program: &OsString) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(spec.env.iter().map(|(name, value)| (name, value))).current_dir(&spec.dir);
    command
}

/// Confines a thread, which starts the command and stays for as long as the process does.
fn start(spec: &Spec, argv: Vec<OsString>) -> Result<Child, String> {
    let (told, hear) = mpsc::channel();
    let spec = spec.clone();
    thread::spawn(move || {
        let enforced = confine(&spec, Around::Nothing);
        if let Some(why) = too_little(&enforced, spec.require) {
            return drop(told.send(Err(why)));
        }
        say(&Word::Enforced(enforced));
        let (program, rest) = argv.split_first().expect("the caller looked");
        let child = command(&spec, program).args(rest).stdin(Stdio::null()).process_group(0).spawn();
        let child = child.map_err(|error| format!("start {}: {error}", program.display()));
        drop(told.send(child));
        loop {
            thread::park();
        }
    });
    hear.recv().unwrap_or_else(|_| Err("start the command: the helper has a defect here".to_owned()))
}

fn too_little(enforced: &Enforced, require: Level) -> Option<String> {
    (enforced.level < require)
        .then(|| format!("run the command: {} is asked for, and here is {}", require.as_str(), enforced.describe()))
}

fn start_in_namespaces(bwrap: &std::path::Path, spec: &Spec, argv: &[OsString]) -> Result<Child, String> {
    let failed = |what: &str, error: std::io::Error| format!("{what}: {error}");
    let (ours, theirs) = UnixStream::pair().map_err(|error| failed("make a socket", error))?;
    let own = std::env::current_exe().map_err(|error| failed("find the program", error))?;
    let spec_text = serde_json::to_string(spec).map_err(|error| error.to_string())?;
    let mut command = Command::new(bwrap);
    command
        .args(namespaces::arguments(spec, &own))
        .arg(&own)
        .args([super::INNER, &spec_text])
        .args(argv)
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .process_group(0);
    let child = command.spawn().map_err(|error| failed("start bwrap", error))?;
    drop(command);
    ours.set_read_timeout(Some(SETUP)).map_err(|error| failed("wait for the command", error))?;
    let mut line = String::new();
    // The command itself has no way to this socket: it is gone from its descriptors before it begins.
    let heard = BufReader::new(&ours).read_line(&mut line);
    match heard.ok().and_then(|_| serde_json::from_str(&line).ok()) {
        Some(Word::Enforced(enforced)) => match too_little(&enforced, spec.require) {
            Some(why) => Err(why),
            None => {
                say(&Word::Enforced(enforced));
                Ok(child)
            }
        },
        _ => Err("start the command in namespaces: bwrap does not work here".to_owned()),
    }
}

/// Waits for the end of the command, the time-out, or the word to stop; then ends what is left.
fn watch(child: &mut Child, timeout: Duration, waits_only: bool) -> End {
    let until = Instant::now() + timeout;
    let pid = Pid::from_child(child);
    let spared = waits_only.then_some(pid);
    let Ok(process) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else {
        family::kill();
        return End::Stopped;
    };
    match family::wait(&process, rustix::stdio::stdin().as_fd(), until) {
        family::Woken::Ended => {
            // Taken before the others: whoever reaps takes everybody.
            let status = child.wait();
            family::kill();
            match status {
                Ok(status) => status.code().map_or_else(|| End::Signal(status.signal().unwrap_or(0)), End::Code),
                Err(_) => End::Stopped,
            }
        }
        family::Woken::Told => {
            family::end(spared);
            End::Stopped
        }
        family::Woken::Late => {
            family::end(spared);
            End::TimedOut
        }
    }
}
