//! Writes files beneath a directory while somebody turns a part of the path into a link that leads out, and back.
//!
//!     cargo run --release -p krins-engine --example link_race [TRIES]
//!
//! Prints how often a file came to lie outside: by the writer of this crate, and by one that checks the path first.

use krins_core::RelPath;
use krins_engine::worktree::Written;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tries: u64 = std::env::args().nth(1).map_or(Ok(1_000_000), |tries| tries.parse())?;
    let dir = tempfile::tempdir()?;
    let (root, outside) = (dir.path().canonicalize()?.join("root"), dir.path().canonicalize()?.join("outside"));
    fs::create_dir_all(root.join("dir"))?;
    fs::create_dir_all(&outside)?;
    std::os::unix::fs::symlink(&outside, root.join("other"))?;
    let ours = race(&root, &outside, tries, |path| {
        let written = Written::at(&root);
        RelPath::new(path).is_ok_and(|path| written.write(&path, b"x", false).is_ok())
    })?;
    let naive = race(&root, &outside, tries.min(100_000), |path| {
        let target = root.join(path);
        let inside = target.parent().and_then(|dir| dir.canonicalize().ok()).is_some_and(|dir| dir.starts_with(&root));
        inside && fs::write(target, b"x").is_ok()
    })?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "ours:  {} of {} written, {} outside", ours.0, tries, ours.1)?;
    writeln!(out, "naive: {} of {} written, {} outside", naive.0, tries.min(100_000), naive.1)?;
    if ours.1 > 0 {
        return Err("a file was written outside".into());
    }
    Ok(())
}

/// How many were written, and how many of them outside.
fn race(root: &Path, outside: &Path, tries: u64, write: impl Fn(&str) -> bool) -> std::io::Result<(u64, u64)> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let (one, two) = (root.join("dir"), root.join("other"));
                let _ = rustix::fs::renameat_with(
                    rustix::fs::CWD,
                    &one,
                    rustix::fs::CWD,
                    &two,
                    rustix::fs::RenameFlags::EXCHANGE,
                );
            }
        });
        let (mut written, mut escaped) = (0, 0);
        for number in 0..tries {
            let name = format!("f{}", number % 16);
            written += u64::from(write(&format!("dir/{name}")));
            if fs::remove_file(outside.join(&name)).is_ok() {
                escaped += 1;
            }
        }
        done.store(true, Ordering::Relaxed);
        Ok((written, escaped))
    })
}
