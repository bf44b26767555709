//! Damaged journals against the journal's reader: a panic, or a record that is not read as it is written, ends it with
//! the seed that shows it again.
//!
//! ```text
//! cargo run --release -p krins-engine --features drivers --example journal_fuzz -- [--executions N] [--seed N]
//! ```

use krins_core::RelPath;
use krins_engine::apply::driver::{read_record, record_bytes, sealed};
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

/// SplitMix64 (Steele, Lea, Flood 2014): any seed is a good one.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

const PATHS: [&str; 6] = ["a.ts", "src/b.ts", "src/deep/c.ts", "é.ts", "x y.ts", "d/e/f/g.ts"];

/// What a header may not be taken at its word for.
const PIECES: [&str; 22] = [
    "0",
    "1",
    "-1",
    "18446744073709551615",
    "1e400",
    "null",
    "true",
    "\"\"",
    "\"..\"",
    "\"../x\"",
    "\"/etc/passwd\"",
    "\"a/../../b\"",
    "\"\\u0000\"",
    "{}",
    "[]",
    ",",
    "}",
    "\"length\":",
    "\"steps\":[",
    "\"make_dirs\":[\"..\"]",
    "\"undo\"",
    "\"buffer\"",
];

fn content(random: &mut Random) -> Option<Vec<u8>> {
    (random.below(4) > 0).then(|| (0..random.below(40)).map(|_| random.next() as u8).collect())
}

fn whole(random: &mut Random) -> Vec<u8> {
    let files: Vec<_> = (0..random.below(5))
        .filter_map(|_| Some((RelPath::new(random.one::<&str>(&PATHS)).ok()?, content(random), content(random))))
        .collect();
    record_bytes(&files).unwrap_or_default()
}

fn damage(random: &mut Random, bytes: &mut Vec<u8>) {
    let at = random.below(bytes.len() + 1);
    match random.below(7) {
        0 if at < bytes.len() => bytes[at] = random.next() as u8,
        1 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
        2 => bytes.truncate(at),
        3 => bytes.splice(at..at, random.one::<&str>(&PIECES).bytes()).for_each(drop),
        4 => replace_number(random, bytes, at),
        // The length of the header.
        5 if bytes.len() > 16 => bytes[8 + random.below(8)] = random.next() as u8,
        _ => bytes.extend((0..random.below(50)).map(|_| random.next() as u8)),
    }
}

/// Another number or word in place of the digits that follow `at`.
fn replace_number(random: &mut Random, bytes: &mut Vec<u8>, at: usize) {
    let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit).map(|found| at + found) else { return };
    let end = bytes[start..].iter().position(|byte| !byte.is_ascii_digit()).map_or(bytes.len(), |found| start + found);
    bytes.splice(start..end, random.one::<&str>(&PIECES).bytes()).for_each(drop);
}

/// Whether it was read as a record.
fn execute(seed: u64) -> Result<bool, String> {
    let random = &mut Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let mut bytes = whole(random);
    for _ in 0..random.below(4) {
        damage(random, &mut bytes);
    }
    // Without the right checksum nothing behind it is ever looked at.
    if random.below(8) > 0 {
        bytes = sealed(bytes);
    }
    read_record(&bytes)
}

fn number(name: &str, default: u64) -> u64 {
    let words: Vec<String> = std::env::args().collect();
    let at = words.iter().position(|word| word == name);
    at.and_then(|at| words.get(at + 1)?.parse().ok()).unwrap_or(default)
}

fn main() -> ExitCode {
    let (executions, first) = (number("--executions", 100_000), number("--seed", 1));
    let (started, mut read) = (Instant::now(), 0_u64);
    let mut out = std::io::stdout();
    for seed in first..first.saturating_add(executions) {
        let what = match std::panic::catch_unwind(|| execute(seed)) {
            Ok(Ok(is_record)) => {
                read += u64::from(is_record);
                continue;
            }
            Ok(Err(what)) => what,
            Err(_) => "it panicked".to_owned(),
        };
        let _ = writeln!(out, "journal: --seed {seed}: {what}");
        return ExitCode::FAILURE;
    }
    let rate = executions as f64 / started.elapsed().as_secs_f64();
    let _ = writeln!(out, "journal: {executions} executions, {rate:.0} a second, {read} were read as records");
    ExitCode::SUCCESS
}
