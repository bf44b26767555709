//! `patch_apply --root DIR [--base DIR] [--json] < PATCH`: the pure patch functions over plain files, for the patch
//! benchmark. No journal and no locks: only for directories that can be thrown away.
//! Exit 0 applied or nothing to do, 1 conflict, 2 refused. `micros` in the output is what parsing, placing and merging
//! took, reading of files included.
//!
//! `patch_apply --speed`: what a diff and a merge of files of 10,000 lines take, in milliseconds: the least of 21 runs and
//! their median.

use krins_core::patch::{self, Change, Merge, Patch, Refusal};
use krins_core::{Entry, RelPath, Tree};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

struct Disk(PathBuf);

impl Tree for Disk {
    fn entry(&self, path: &RelPath) -> Entry {
        let mut at = self.0.clone();
        let mut parts = path.components().peekable();
        while let Some(part) = parts.next() {
            at.push(part);
            match std::fs::symlink_metadata(&at) {
                Err(_) => return Entry::Missing,
                Ok(meta) if meta.is_symlink() => {
                    return Entry::Refused("a symbolic link, or below one".into());
                }
                Ok(meta) if meta.is_dir() && parts.peek().is_some() => {}
                Ok(meta) if meta.is_dir() => return Entry::Refused("a directory".into()),
                Ok(_) if parts.peek().is_some() => return Entry::Missing,
                Ok(meta) => return file(&at, &meta),
            }
        }
        Entry::Missing
    }
}

fn file(at: &Path, meta: &std::fs::Metadata) -> Entry {
    use std::os::unix::fs::PermissionsExt;
    match std::fs::read(at) {
        Ok(bytes) if meta.is_file() => {
            Entry::File { bytes: bytes.into(), executable: meta.permissions().mode() & 0o111 != 0 }
        }
        _ => Entry::Refused("not a readable file".into()),
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    if args.iter().any(|arg| arg == "--speed") {
        return speed();
    }
    let value = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1)).map(PathBuf::from);
    let mut answer = Vec::new();
    let Some(root) = value("--root") else { return refused(&[], "no --root") };
    if std::io::stdin().read_to_end(&mut answer).is_err() {
        return refused(&[], "unreadable input");
    }
    let Ok(answer) = String::from_utf8(answer) else {
        return refused(&[], "the answer is not UTF-8");
    };
    run(&answer, &root, value("--base"))
}

/// A text and what became of it: every `step`th line changed, of lines of which so many differ.
fn texts(lines: usize, kinds: usize, step: usize) -> [String; 2] {
    let line = |n: usize| format!("  const value{} = compute({}) // line\n", n * 7919 % kinds, n * 104_729 % kinds);
    let before: String = (0..lines).map(line).collect();
    let after = (0..lines).map(|n| if n % step == step / 2 { format!("  changed({n})\n") } else { line(n) }).collect();
    [before, after]
}

/// Lines of so many kinds in no order, another one for each seed.
fn noise(lines: usize, kinds: u64, mut seed: u64) -> String {
    let mut line = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{}\n", (seed >> 33) % kinds)
    };
    (0..lines).map(|_| line()).collect()
}

/// Texts as people change them, then those that make a diff expensive.
fn speed() -> ExitCode {
    let lines = 10_000;
    for (name, kinds, step) in
        [("few changes", 10_000, 500), ("a third changed", 10_000, 3), ("two kinds of lines", 2, 50)]
    {
        measure(name, texts(lines, kinds, step), None);
    }
    for (name, kinds) in [("noise of 2", 2), ("noise of 50", 50), ("noise of 10,000", 10_000)] {
        measure(name, [noise(lines, kinds, 1), noise(lines, kinds, 2)], Some(noise(lines, kinds, 3)));
    }
    let numbered = |order: &dyn Fn(usize) -> usize| (0..lines).map(|n| format!("{}\n", order(n))).collect::<String>();
    let [up, down, mixed] = [numbered(&|n| n), numbered(&|n| lines - n), numbered(&|n| n * 7919 % lines)];
    measure("reversed", [up.clone(), down.clone()], Some(mixed.clone()));
    measure("shuffled", [up, mixed], Some(down));
    ExitCode::SUCCESS
}

/// Without `theirs` the other side appends a line.
fn measure(name: &str, [before, after]: [String; 2], theirs: Option<String>) {
    let path = RelPath::new("a.ts").expect("a plain name");
    let theirs = theirs.unwrap_or_else(|| format!("{before}// the end\n"));
    let change = || Change {
        path: path.clone(),
        from: None,
        before: Some(before.as_bytes().into()),
        after: Some(after.as_bytes().into()),
        executable: false,
    };
    let diff = times(|| drop(Patch::between(vec![change()])));
    let merge = times(|| drop(patch::merge_texts(&path, before.as_bytes(), after.as_bytes(), theirs.as_bytes())));
    say(&serde_json::json!({"texts": name, "diff_ms": diff, "merge_ms": merge}));
}

/// Milliseconds of 21 runs: the least and the median.
fn times(run: impl Fn()) -> [f64; 2] {
    let mut times: Vec<f64> = (0..21)
        .map(|_| {
            let started = Instant::now();
            run();
            started.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    [times[0], times[10]]
}

fn run(answer: &str, root: &Path, base: Option<PathBuf>) -> ExitCode {
    let started = Instant::now();
    let parsed = match patch::parse_in(answer, &root.to_string_lossy()) {
        Ok(parsed) => parsed,
        Err(refusal) => return refused(&[refusal], ""),
    };
    let based = base.is_some();
    let placed = match patch::place(&parsed, &Disk(base.unwrap_or_else(|| root.to_owned())), based) {
        Ok(placed) => placed,
        Err(refusals) => return refused(&refusals, ""),
    };
    let merge = patch::merge(&placed, &Disk(root.to_owned()));
    let micros = started.elapsed().as_micros() as u64;
    if !merge.refusals.is_empty() {
        return refused(&merge.refusals, "");
    }
    if !merge.conflicts.is_empty() {
        say(&serde_json::json!({"outcome": "conflict", "micros": micros, "conflicts": merge.conflicts}));
        return ExitCode::from(1);
    }
    match write(root, &merge) {
        Ok(()) => {
            let levels: Vec<_> = placed.files().iter().flat_map(|file| &file.placements).collect();
            say(
                &serde_json::json!({"outcome": if merge.writes.is_empty() { "noop" } else { "applied" }, "micros": micros, "hunks": levels}),
            );
            ExitCode::SUCCESS
        }
        Err(error) => refused(&[], &error.to_string()),
    }
}

fn write(root: &Path, merge: &Merge) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    for write in &merge.writes {
        let at = root.join(&write.path);
        if let Some(from) = &write.from {
            std::fs::remove_file(root.join(from))?;
        }
        let Some(after) = &write.after else {
            std::fs::remove_file(&at)?;
            continue;
        };
        if let Some(parent) = at.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&at, after)?;
        std::fs::set_permissions(&at, std::fs::Permissions::from_mode(if write.executable { 0o755 } else { 0o644 }))?;
    }
    Ok(())
}

fn refused(refusals: &[Refusal], why: &str) -> ExitCode {
    say(&serde_json::json!({"outcome": "refused", "refusals": refusals, "why": why}));
    ExitCode::from(2)
}

fn say(value: &serde_json::Value) {
    // A closed pipe is the reader's choice.
    let _ = writeln!(std::io::stdout(), "{value}");
}
