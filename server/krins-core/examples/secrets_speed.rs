//! How fast secrets are found, and what is found in a directory.
//!
//! ```text
//! cargo run --release -p krins-core --example secrets_speed -- DIR          figures, and the findings by place
//! cargo run --release -p krins-core --example secrets_speed -- DIR --json   the findings alone, one object a line
//! ```
//!
//! Times are those of the processor where Linux says them, so that a busy machine changes little; a part of 10 KB is
//! scanned five times and the shortest counts.

#![expect(clippy::print_stdout, reason = "printing is what this program does")]

use krins_core::secrets;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Larger ones are no source text.
const LARGEST: u64 = 4 << 20;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().unwrap_or_else(|| ".".into()));
    let json = arguments.next().is_some_and(|option| option == "--json");
    let mut files = Vec::new();
    collect(&directory, &directory, &mut files);
    files.sort();

    let began = Clock::start();
    secrets::scan("nothing");
    let load = began.elapsed();
    secrets::warm();
    let warm = began.elapsed();
    let (mut places, mut veiled) = (Vec::new(), Vec::new());
    let began = Clock::start();
    let mut bytes = 0;
    for (path, text) in &files {
        bytes += text.len();
        for hit in secrets::scan_file(text, Some(path), std::slice::from_ref(&(0..text.len()))) {
            let line = |at: usize| text[..at].matches('\n').count() + 1;
            places.push((path.as_str(), line(hit.range.start), line(hit.range.end), hit.rule));
        }
        veiled.push((path.as_str(), text.as_str()));
    }
    let took = began.elapsed();
    for (path, text) in veiled {
        for hit in secrets::scan_veiled(text, Some(path), std::slice::from_ref(&(0..text.len()))) {
            let line = |at: usize| text[..at].matches('\n').count() + 1;
            let place = (path, line(hit.range.start), line(hit.range.end), hit.rule);
            if !places.contains(&place) {
                places.push(place);
            }
        }
    }
    if json {
        for (path, first, last, rule) in places {
            println!("{}", serde_json::json!({"path": path, "lines": [first, last], "rule": rule}));
        }
        return;
    }
    for (path, first, _, rule) in &places {
        println!("{rule:32} {path}:{first}");
    }
    println!("{} files, {:.1} MB, {} findings", files.len(), bytes as f64 / 1e6, places.len());
    println!("load {load:.1?}, every pattern compiled and run {warm:.1?}");
    println!("{:.0} MB/s on one thread ({took:.1?})", bytes as f64 / 1e6 / took.as_secs_f64());
    parts(&files);
}

/// Times of texts of 10 KB, as a change of that size is.
fn parts(files: &[(String, String)]) {
    let mut times: Vec<Duration> = Vec::new();
    for (path, text) in files {
        let mut rest = text.as_str();
        while rest.len() >= 10_000 {
            let end = (10_000..rest.len()).find(|at| rest.is_char_boundary(*at)).unwrap_or(rest.len());
            let (part, more) = rest.split_at(end);
            let scan = || {
                let began = Instant::now();
                secrets::scan_file(part, Some(path), std::slice::from_ref(&(0..part.len())));
                secrets::scan_veiled(part, Some(path), std::slice::from_ref(&(0..part.len())));
                began.elapsed()
            };
            times.extend((0..5).map(|_| scan()).min());
            rest = more;
        }
    }
    times.sort();
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default();
    println!(
        "{} parts of 10 KB, pieces and other spellings too: p50 {:.2?}, p99 {:.2?}, worst {:.2?}",
        times.len(),
        at(0.5),
        at(0.99),
        at(0.9999)
    );
}

/// Time on the processor, of this program's only thread.
struct Clock(Instant, Option<u64>);

impl Clock {
    fn start() -> Self {
        Self(Instant::now(), on_processor())
    }

    fn elapsed(&self) -> Duration {
        match (self.1, on_processor()) {
            (Some(before), Some(now)) => Duration::from_nanos(now.saturating_sub(before)),
            _ => self.0.elapsed(),
        }
    }
}

fn on_processor() -> Option<u64> {
    // Giving way has the kernel write down what the thread used so far.
    std::thread::yield_now();
    fs::read_to_string("/proc/self/schedstat").ok()?.split(' ').next()?.parse().ok()
}

fn collect(root: &Path, directory: &Path, files: &mut Vec<(String, String)>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && entry.file_name() != ".git" {
            collect(root, &path, files);
        } else if kind.is_file()
            && entry.metadata().is_ok_and(|found| found.len() <= LARGEST)
            && let Ok(bytes) = fs::read(&path)
            && let Ok(text) = String::from_utf8(bytes)
        {
            files.push((path.strip_prefix(root).unwrap_or(&path).display().to_string(), text));
        }
    }
}
