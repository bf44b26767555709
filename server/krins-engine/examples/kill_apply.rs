//! Kills an apply at every file operation and at random moments, lets a new process recover, and looks whether every
//! file is wholly old or wholly new, all of them the same.
//!
//! ```text
//! cargo run --release -p krins-engine --features drivers --example kill_apply -- [random kills] [double crashes]
//! ```
//!
//! The process starts itself again as `child`, because only a killed process is a killed process. Exit status 1 and
//! the offending trees on standard error when a mixed one is found.

use krins_core::patch::{ChangeKind, Write};
use krins_core::{Entry, RelPath, Tree};
use krins_engine::apply::driver::Mortal;
use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn Error>>;
type Files = BTreeMap<String, Vec<u8>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["child", what, dir, files, at] => child(what, Path::new(dir), files.parse().unwrap_or(5), at.parse().ok()),
        numbers => {
            let number = |at: usize, default| numbers.get(at).and_then(|word| word.parse().ok()).unwrap_or(default);
            drive(number(0, 200), number(1, 200))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "kill_apply: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What the processes that are killed do.
fn child(what: &str, dir: &Path, files: usize, at: Option<u64>) -> Outcome<()> {
    let mortal = Mortal::open(&dir.join("root"), &dir.join("state"), at)?;
    match what {
        "apply" => {
            let count = mortal.apply(writes(&mortal, files)?)?;
            writeln!(std::io::stdout(), "{count}")?;
        }
        _ => {
            mortal.recover()?;
            writeln!(std::io::stdout(), "{}", mortal.operations())?;
        }
    }
    Ok(())
}

/// One file in ten is created in a new directory, one in ten deleted, the rest modified.
fn after(number: usize, before: &[u8]) -> Option<Vec<u8>> {
    match number % 10 {
        3 => None,
        _ => Some(before.iter().map(u8::to_ascii_uppercase).chain(*b"// new\n").collect()),
    }
}

fn writes(mortal: &Mortal, files: usize) -> Outcome<Vec<Write>> {
    let mut writes = Vec::new();
    for number in 0..files {
        let path = RelPath::new(&name(number))?;
        let current = match mortal.current().entry(&path) {
            Entry::File { bytes, .. } => Some(bytes),
            _ => None,
        };
        let after = after(number, current.as_deref().unwrap_or_default()).map(Into::into);
        writes.push(Write { path, kind: ChangeKind::Modify, from: None, current, after, executable: false });
    }
    Ok(writes)
}

fn name(number: usize) -> String {
    if is_created(number) { format!("made{number}/deep/f.ts") } else { format!("d{}/f{number}.ts", number % 7) }
}

fn is_created(number: usize) -> bool {
    number % 10 == 4
}

/// A prepared workspace, its old and its new content.
struct Bench {
    dir: tempfile::TempDir,
    files: usize,
    old: Files,
    new: Files,
}

impl Bench {
    fn new(files: usize) -> Outcome<Self> {
        let (mut old, mut new) = (Files::new(), Files::new());
        for number in 0..files {
            let text = format!("export const a{number} = {number};\n").repeat(200).into_bytes();
            let before = if is_created(number) { Vec::new() } else { text.clone() };
            if let Some(after) = after(number, &before) {
                new.insert(name(number), after);
            }
            if !is_created(number) {
                old.insert(name(number), text);
            }
        }
        Ok(Self { dir: tempfile::tempdir()?, files, old, new })
    }

    fn reset(&self) -> Outcome<()> {
        for part in ["root", "state"] {
            let path = self.dir.path().join(part);
            if path.exists() {
                std::fs::remove_dir_all(&path)?;
            }
            std::fs::create_dir(&path)?;
        }
        for (path, bytes) in &self.old {
            let path = self.dir.path().join("root").join(path);
            std::fs::create_dir_all(path.parent().ok_or("no parent")?)?;
            std::fs::write(path, bytes)?;
        }
        Ok(())
    }

    fn start(&self, what: &str, at: Option<u64>) -> Outcome<Child> {
        let at = at.map_or("-".to_owned(), |at| at.to_string());
        let child = Command::new(std::env::current_exe()?)
            .args(["child", what])
            .arg(self.dir.path())
            .args([self.files.to_string(), at])
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        Ok(child)
    }

    /// Runs to its end or its death; `Some(operations)` when it lived.
    fn run(&self, what: &str, at: Option<u64>) -> Outcome<Option<u64>> {
        let output = self.start(what, at)?.wait_with_output()?;
        if output.status.code().is_some_and(|code| code != 0) {
            return Err(format!("{what} failed: {}", output.status).into());
        }
        Ok(String::from_utf8(output.stdout)?.trim().parse().ok())
    }

    /// `true` for all new, `false` for all old.
    fn judge(&self, when: &str) -> Outcome<bool> {
        let found = files(&self.dir.path().join("root"))?;
        match () {
            () if found == self.new => Ok(true),
            () if found == self.old => Ok(false),
            () => {
                let state: Vec<&String> = found.keys().collect();
                Err(format!("MIXED TREE after {when}: {state:?}").into())
            }
        }
    }
}

fn files(root: &Path) -> Outcome<Files> {
    let mut into = Files::new();
    let mut dirs: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                into.insert(path.strip_prefix(root)?.display().to_string(), std::fs::read(&path)?);
            }
        }
    }
    Ok(into)
}

/// What came out of one series.
#[derive(Default)]
struct Tally {
    runs: u64,
    /// Killed before it was done.
    killed: u64,
    mixed_before_recovery: u64,
    old: u64,
    new: u64,
}

impl Tally {
    fn settle(&mut self, bench: &Bench, when: &str) -> Outcome<()> {
        self.mixed_before_recovery += u64::from(bench.judge(when).is_err());
        bench.run("recover", None)?;
        self.count(bench, when)
    }

    fn count(&mut self, bench: &Bench, when: &str) -> Outcome<()> {
        self.runs += 1;
        match bench.judge(when)? {
            true => self.new += 1,
            false => self.old += 1,
        }
        Ok(())
    }

    fn say(&self, what: &str) -> Outcome<()> {
        let Self { runs, killed, mixed_before_recovery, old, new } = self;
        let line = format!(
            "{what}: {runs} runs, {killed} killed, {mixed_before_recovery} mixed before recovery; after it {old} all old, {new} all new, 0 mixed"
        );
        Ok(writeln!(std::io::stdout(), "{line}")?)
    }
}

fn drive(random_kills: u64, double_crashes: u64) -> Outcome<()> {
    for files in [5, 100] {
        let bench = Bench::new(files)?;
        bench.reset()?;
        let started = Instant::now();
        let operations = bench.run("apply", None)?.ok_or("the apply without a kill died")?;
        let whole = started.elapsed();
        if !bench.judge("an apply without a kill")? {
            return Err("an apply without a kill changed nothing".into());
        }
        every_operation(&bench, operations)?
            .say(&format!("{files} files, killed before each of {operations} file operations"))?;
        at_random(&bench, random_kills, whole)?.say(&format!("{files} files, killed at random moments"))?;
        twice(&bench, double_crashes, operations)?.say(&format!("{files} files, killed again in the recovery"))?;
    }
    Ok(())
}

fn every_operation(bench: &Bench, operations: u64) -> Outcome<Tally> {
    let mut tally = Tally::default();
    for at in 0..operations {
        bench.reset()?;
        tally.killed += u64::from(bench.run("apply", Some(at))?.is_none());
        tally.settle(bench, &format!("a kill before operation {at}"))?;
    }
    Ok(tally)
}

fn at_random(bench: &Bench, runs: u64, whole: Duration) -> Outcome<Tally> {
    let mut tally = Tally::default();
    let mut random = Random(0x5EED);
    for _ in 0..runs {
        bench.reset()?;
        let wait = Duration::from_nanos(random.below(u64::try_from(whole.as_nanos())?));
        let mut child = bench.start("apply", None)?;
        std::thread::sleep(wait);
        child.kill()?;
        tally.killed += u64::from(child.wait()?.code().is_none());
        tally.settle(bench, &format!("a kill after {wait:?}"))?;
    }
    Ok(tally)
}

fn twice(bench: &Bench, runs: u64, operations: u64) -> Outcome<Tally> {
    let mut tally = Tally::default();
    let mut random = Random(0xD0B1);
    for _ in 0..runs {
        bench.reset()?;
        let (first, second) = (random.below(operations), random.below(operations));
        bench.run("apply", Some(first))?;
        tally.killed += u64::from(bench.run("recover", Some(second % 40))?.is_none());
        tally.killed += u64::from(bench.run("recover", Some(second))?.is_none());
        tally.settle(bench, &format!("kills before operations {first} and {second}"))?;
    }
    Ok(tally)
}

/// xorshift64: the same kills every time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit.max(1)
    }
}
