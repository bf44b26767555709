//! What making the graph's files costs, against a bare tree-sitter parse and cursor walk of the same files on as many
//! threads: `cargo run --release -p krins-core --example index_speed -- DIRECTORY [threads] [rounds]`. Texts are read
//! beforehand; medians of the rounds.

use krins_core::graph::{Indexed, Lexicon, analyse};
use krins_core::path::RelPath;
use krins_core::syntax::{self, Language};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

type Source = (RelPath, Language, String);

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let root = arguments.next().unwrap_or_else(|| ".".into());
    let mut number = |usual| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (threads, rounds) = (number(2usize), number(5usize));
    let mut sources = Vec::new();
    collect(Path::new(&root), Path::new(&root), &mut sources)?;
    let bytes: usize = sources.iter().map(|(.., text)| text.len()).sum();
    let mut out = io::stdout().lock();
    writeln!(out, "{} files, {:.2} MB, {threads} threads, {rounds} rounds", sources.len(), bytes as f64 / 1e6)?;
    let (mut bare, mut whole, mut facts) = (Vec::new(), Vec::new(), Vec::new());
    let mut size = 0;
    for _ in 0..rounds {
        bare.push(time(threads, &sources, |(_, language, text)| bare_walk(*language, text)));
        whole.push(time(threads, &sources, |(path, _, text)| Indexed::of(path, text).to_bytes().len()));
        facts.push(time(threads, &sources, |(path, _, text)| {
            let analysis = analyse(path, text);
            analysis.facts.symbols.len() + usize::from(analysis.lexicon == Lexicon::default())
        }));
    }
    for (path, _, text) in &sources {
        size += Indexed::of(path, text).to_bytes().len();
    }
    let [bare, whole, facts] = [bare, whole, facts].map(median);
    for (what, [wall, processor]) in
        [("bare tree-sitter parse and walk", bare), ("Indexed::of and to_bytes", whole), ("of it: analyse", facts)]
    {
        writeln!(
            out,
            "{what:<32} {wall:>8.1?} {:.2} x, on the processor {processor:>8.1?} {:.2} x",
            wall.as_secs_f64() / bare[0].as_secs_f64(),
            processor.as_secs_f64() / bare[1].as_secs_f64().max(1e-9)
        )?;
    }
    writeln!(out, "encoded                          {:.2} MB", size as f64 / 1e6)
}

fn collect(root: &Path, directory: &Path, sources: &mut Vec<Source>) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            let name = entry.file_name();
            if name != "node_modules" && !name.to_string_lossy().starts_with('.') {
                collect(root, &path, sources)?;
            }
            continue;
        }
        let Ok(relative) = path.strip_prefix(root) else { continue };
        let Ok(relative) = RelPath::new(&relative.to_string_lossy()) else { continue };
        let Some(language) = Language::of(&relative) else { continue };
        if let Ok(text) = std::fs::read_to_string(&path) {
            sources.push((relative, language, text));
        }
    }
    Ok(())
}

fn bare_walk(language: Language, text: &str) -> usize {
    let tree = syntax::parse(language, text);
    let mut cursor = tree.walk();
    let mut nodes = 0;
    loop {
        nodes += usize::from(cursor.node().kind_id());
        if cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return nodes;
            }
        }
    }
}

/// Time of `work` on every source, taken from one queue by all threads: on the wall, and of all processors.
fn time(threads: usize, sources: &[Source], work: impl Fn(&Source) -> usize + Sync) -> [Duration; 2] {
    let next = AtomicUsize::new(0);
    let processor = AtomicU64::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                syntax::with_deep_stack(|| {
                    let mut sum = 0usize;
                    while let Some(source) = sources.get(next.fetch_add(1, Ordering::Relaxed)) {
                        sum = sum.wrapping_add(work(source));
                    }
                    processor.fetch_add(on_processor(), Ordering::Relaxed);
                    std::hint::black_box(sum)
                })
            });
        }
    });
    [start.elapsed(), Duration::from_nanos(processor.into_inner())]
}

/// Nanoseconds that this thread has run for, where the system tells; says more than the wall on a busy machine.
fn on_processor() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanoseconds| nanoseconds.parse().ok()).unwrap_or_default()
}

fn median(times: Vec<[Duration; 2]>) -> [Duration; 2] {
    [0, 1].map(|kind| {
        let mut times: Vec<Duration> = times.iter().map(|time| time[kind]).collect();
        times.sort();
        times[times.len() / 2]
    })
}
