//! Runs one command of the person's in the sandbox, to its end, and keeps what it said within bounds.
//!
//! Blocking. A [`Stop`] ends it from another thread; whoever goes away without one is noticed by the helper.

mod output;

pub use output::{Captured, plain};

use crate::sandbox::{End, Enforced, Level, Readable, Spec};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A command and what it is given.
#[derive(Clone, Debug)]
pub struct Job {
    /// The program and its arguments; never a shell's line.
    pub argv: Vec<OsString>,
    pub dir: PathBuf,
    /// Beside what every command gets.
    pub env: Vec<(String, String)>,
    pub reads: Readable,
    /// What may be written: the tree.
    pub writes: Vec<PathBuf>,
    /// Private: `TMPDIR`, and `HOME` below it.
    pub tmp: PathBuf,
    pub network: bool,
    pub require: Level,
    pub timeout: Duration,
    /// Whether namespaces are used where they work.
    pub namespaces: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Ran {
    pub end: End,
    pub enforced: Enforced,
    pub stdout: Captured,
    pub stderr: Captured,
    pub millis: f64,
}

/// Why a command was not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRun {
    #[error("run a command: none is named")]
    Nothing,
    #[error("run {program}: it is not on the path")]
    NotFound { program: String },
    #[error("run {program}: {why}")]
    Failed { program: String, why: String },
    /// The sandbox cannot hold what the settings ask for.
    #[error("{0}")]
    Sandbox(String),
}

/// Ends the commands that were given it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    pub fn stop(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Stops when it is dropped: for a future that nobody waits for any more.
#[derive(Debug)]
#[must_use = "dropping it stops the commands"]
pub struct StopOnDrop(pub Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[cfg(not(target_os = "linux"))]
pub fn run(job: &Job, _: &Stop) -> Result<Ran, NotRun> {
    let program = job.argv.first().ok_or(NotRun::Nothing)?.to_string_lossy().into_owned();
    let _: (fn(&Job, PathBuf) -> Spec, _) = (|job, _| spec(job), program);
    Err(NotRun::Sandbox("run a command: there is no sandbox for this system yet".to_owned()))
}

#[cfg(target_os = "linux")]
pub use linux::run;

/// What the helper is told.
fn spec(job: &Job) -> Spec {
    let home = job.tmp.join("home");
    let inherited = ["PATH", "LANG", "LC_ALL", "TZ"];
    let mut env: Vec<(String, String)> =
        inherited.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))).collect();
    let own = [("HOME", home.display().to_string()), ("TMPDIR", job.tmp.display().to_string())];
    env.extend(own.map(|(name, value)| (name.to_owned(), value)));
    let fixed = [
        ("CI", "true"),
        ("NO_COLOR", "1"),
        ("FORCE_COLOR", "0"),
        ("TERM", "dumb"),
        ("npm_config_update_notifier", "false"),
    ];
    env.extend(fixed.map(|(name, value)| (name.to_owned(), value.to_owned())));
    env.extend(job.env.iter().cloned());
    Spec {
        dir: job.dir.clone(),
        env,
        reads: job.reads.paths(),
        writes: job.writes.clone(),
        tmp: job.tmp.clone(),
        network: job.network,
        require: job.require,
        timeout: job.timeout,
        bwrap: job.namespaces.then(crate::sandbox::bwrap).flatten(),
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use super::{Captured, End, Enforced, Job, NotRun, Ran, Stop, spec};
    use crate::sandbox::{HELPER, Word};
    use rustix::event::{PollFd, PollFlags, Timespec};
    use rustix::io::Errno;
    use std::ffi::{OsStr, OsString};
    use std::os::fd::{AsFd, OwnedFd};
    use std::os::unix::net::UnixStream;
    use std::path::PathBuf;
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    /// Between two looks at the stop.
    const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    /// The helper ends everything by itself; one that does not is broken, and is ended.
    const HELPER_GRACE: Duration = Duration::from_secs(20);
    const MOST_WORDS: usize = 64 << 10;

    /// Runs the command; when this returns, nothing of it runs any more.
    pub fn run(job: &Job, stop: &Stop) -> Result<Ran, NotRun> {
        let began = Instant::now();
        let program = job.argv.first().ok_or(NotRun::Nothing)?;
        let found = find(program).ok_or_else(|| NotRun::NotFound { program: shown(program) })?;
        let failed = |why: String| NotRun::Failed { program: shown(program), why };
        let mut job = job.clone();
        if let Some(real) = found.canonicalize().ok().filter(|real| !job.writes.iter().any(|dir| real.starts_with(dir)))
        {
            let home = std::env::var_os("HOME").map(PathBuf::from);
            real.parent().into_iter().for_each(|dir| job.reads.tool(dir, home.as_deref()));
        }
        std::fs::create_dir_all(job.tmp.join("home")).map_err(|error| failed(error.to_string()))?;
        let spec = serde_json::to_string(&spec(&job)).map_err(|error| failed(error.to_string()))?;
        let (ours, theirs) = UnixStream::pair().map_err(|error| failed(error.to_string()))?;
        // The program as it runs now, also when it was replaced on disk since.
        let mut helper = Command::new("/proc/self/exe");
        helper.args([OsStr::new(HELPER), OsStr::new(&spec), found.as_os_str()]).env_clear();
        helper.args(job.argv.iter().skip(1));
        helper.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = helper.spawn().map_err(|error| failed(format!("start its helper: {error}")))?;
        // The helper's end of the socket must be the helper's alone, else its end is not noticed.
        drop(helper);
        let heard = listen(&mut child, ours, stop, began + job.timeout + HELPER_GRACE);
        let heard = heard.map_err(|error| failed(error.to_string()))?;
        let words = String::from_utf8_lossy(&heard.words).into_owned();
        let (mut enforced, mut end) = (None, None);
        for line in words.lines() {
            match serde_json::from_str(line) {
                Ok(Word::Enforced(said)) => enforced = Some(said),
                Ok(Word::Ended(said)) => end = Some(said),
                Ok(Word::Refused(why)) => {
                    let sandbox = why.contains("is asked for") || why.contains("bwrap");
                    return Err(if sandbox { NotRun::Sandbox(why) } else { failed(why) });
                }
                Err(_) => {}
            }
        }
        let lost = || failed("its helper ended without a word".to_owned());
        let end = if heard.stopped { End::Stopped } else { end.ok_or_else(lost)? };
        let enforced: Enforced = enforced.unwrap_or_default();
        Ok(Ran {
            end,
            enforced,
            stdout: heard.stdout,
            stderr: heard.stderr,
            millis: began.elapsed().as_secs_f64() * 1000.0,
        })
    }

    struct Heard {
        words: Vec<u8>,
        stdout: Captured,
        stderr: Captured,
        stopped: bool,
    }

    /// Reads all that is said until everybody has gone.
    fn listen(child: &mut Child, socket: UnixStream, stop: &Stop, until: Instant) -> std::io::Result<Heard> {
        let mut heard =
            Heard { words: Vec::new(), stdout: Captured::default(), stderr: Captured::default(), stopped: false };
        let mut out = child.stdout.take().map(OwnedFd::from);
        let mut err = child.stderr.take().map(OwnedFd::from);
        let mut words = Some(OwnedFd::from(socket.try_clone()?));
        let mut buffer = vec![0; 64 << 10];
        while out.is_some() || err.is_some() || words.is_some() {
            if stop.is_stopped() && !heard.stopped {
                heard.stopped = true;
                // Half of it, so that the helper can still say what it did: its reading end sees that nobody is there.
                let _ = socket.shutdown(std::net::Shutdown::Write);
            }
            if Instant::now() > until {
                child.kill()?;
                break;
            }
            let ready = {
                let open: Vec<&OwnedFd> = [&out, &err, &words].into_iter().flatten().collect();
                let mut watched: Vec<PollFd<'_>> = open.iter().map(|fd| PollFd::new(*fd, PollFlags::IN)).collect();
                match rustix::event::poll(&mut watched, Some(&TICK)) {
                    Ok(0) | Err(Errno::INTR) => continue,
                    Ok(_) => {}
                    Err(error) => return Err(error.into()),
                }
                watched.iter().map(|fd| !fd.revents().is_empty()).collect::<Vec<bool>>()
            };
            let mut ready = ready.into_iter();
            let mut take = |from: &mut Option<OwnedFd>, into: &mut dyn FnMut(&[u8])| {
                if from.is_none() || !ready.next().unwrap_or(false) {
                    return;
                }
                match from.as_ref().map(|fd| read(fd, &mut buffer)) {
                    Some(Ok(0) | Err(_)) | None => *from = None,
                    Some(Ok(count)) => into(&buffer[..count]),
                }
            };
            take(&mut out, &mut |bytes| heard.stdout.take(bytes));
            take(&mut err, &mut |bytes| heard.stderr.take(bytes));
            take(&mut words, &mut |bytes| {
                if heard.words.len() + bytes.len() <= MOST_WORDS {
                    heard.words.extend_from_slice(bytes);
                }
            });
        }
        child.wait()?;
        Ok(heard)
    }

    fn read(fd: impl AsFd, buffer: &mut [u8]) -> Result<usize, Errno> {
        loop {
            match rustix::io::read(&fd, &mut *buffer) {
                Err(Errno::INTR) => {}
                result => return result,
            }
        }
    }

    /// A program by its path, or by its name on the person's path.
    fn find(program: &OsStr) -> Option<PathBuf> {
        let path = PathBuf::from(program);
        if path.is_absolute() {
            return path.is_file().then_some(path);
        }
        if path.components().count() != 1 {
            return None;
        }
        let dirs: OsString = std::env::var_os("PATH")?;
        std::env::split_paths(&dirs)
            .filter(|dir| dir.is_absolute())
            .map(|dir| dir.join(program))
            .find(|path| path.is_file())
    }

    fn shown(program: &OsStr) -> String {
        program.to_string_lossy().chars().take(200).collect()
    }
}
