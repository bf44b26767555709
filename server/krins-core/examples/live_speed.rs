//! What a keystroke costs in a big file: `cargo run --release -p krins-core --example live_speed -- FILE [lines] [edits]`.
//! Random edits of the kinds that people make, one character at a time; each is timed until the file's facts are there.
//! Also which share of the definitions is kept in half-typed states.

use krins_core::graph::{FileFacts, LiveFile, analyse};
use krins_core::path::RelPath;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is typed at the start of a line.
const HALF_TYPED: &[&str] = &[
    "foo.",
    "if (",
    "const x = ",
    "import {",
    "return (",
    "<div",
    "foo(bar,",
    "function f(",
    "x ?",
    "{",
    "}",
    "`",
    "'",
    "(",
    "class A {",
    "export const y:",
    "async () => {",
];

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().unwrap_or_default();
    let mut number = |usual| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (lines, edits) = (number(10_000usize), number(3_000usize));
    let text = std::fs::read_to_string(&file)?;
    let name = Path::new(&file).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let path = RelPath::new(&name).map_err(io::Error::other)?;
    let text = cut(&path, &text, lines);
    let whole = analyse(&path, &text).facts;
    let mut out = io::stdout().lock();
    writeln!(out, "{name}: {} lines, {} bytes, broken: {}", whole.lines, text.len(), whole.broken)?;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut times: BTreeMap<&str, Vec<[Duration; 2]>> = BTreeMap::new();
    let mut kept: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut live = LiveFile::new(path.clone(), Arc::from(text.as_str()));
    let names = names(&whole);
    while times.get("all").map_or(0, Vec::len) < edits {
        let typed = HALF_TYPED[random.below(HALF_TYPED.len())];
        let line = random.below(whole.lines as usize);
        let at = text.split_inclusive('\n').take(line).map(str::len).sum::<usize>();
        let at = at + text[at..].len() - text[at..].trim_start_matches([' ', '\t']).len();
        let mut end = at;
        let mut took = |live: &mut LiveFile, range: std::ops::Range<usize>, typed: &str| {
            let (start, ran) = (Instant::now(), on_processor());
            std::hint::black_box(live.edit(range, typed));
            let took = [start.elapsed(), on_processor() - ran];
            let state = if live.indexed().summary().broken { "broken" } else { "valid" };
            times.entry(state).or_default().push(took);
            times.entry("all").or_default().push(took);
        };
        for c in typed.chars() {
            took(&mut live, end..end, c.encode_utf8(&mut [0; 4]));
            end += c.len_utf8();
        }
        took(&mut live, end..end, "\n");
        end += 1;
        let facts = live.indexed().facts();
        let found = self::names(&facts);
        let (all, survived) = kept.entry(typed).or_default();
        *all += names.values().sum::<usize>();
        *survived += names.iter().map(|(name, count)| found.get(name).unwrap_or(&0).min(count)).sum::<usize>();
        while end > at {
            end -= 1;
            took(&mut live, end..end + 1, "");
        }
    }
    assert!(*live.indexed().facts() == whole, "the facts are not those of the text any more");
    for (state, mut times) in times {
        times.sort();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        let (p50, p90, p99, max) = (at(0.5), at(0.9), at(0.99), at(1.0));
        writeln!(
            out,
            "{state:>7}: {:>6} edits, p50 {p50:.2?}, p90 {p90:.2?}, p99 {p99:.2?}, max {max:.2?}",
            times.len()
        )?;
    }
    let (mut all, mut survived) = (0, 0);
    for (typed, (of, kept)) in &kept {
        writeln!(out, "{typed:<16} definitions kept {:.1} %", *kept as f64 * 100.0 / *of as f64)?;
        (all, survived) = (all + of, survived + kept);
    }
    writeln!(out, "all              definitions kept {:.1} %", survived as f64 * 100.0 / all as f64)
}

/// How long this thread has run, where the system tells; says more than the wall on a busy machine.
fn on_processor() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or_default())
}

/// The statements of the text that end before the line, as far as they are valid.
fn cut(path: &RelPath, text: &str, lines: usize) -> String {
    if text.lines().count() <= lines {
        return text.to_owned();
    }
    // A class keeps its members: those that end in time, and its end.
    for line in (0..lines).rev() {
        let head: String = text.split_inclusive('\n').take(line).collect();
        let ends_member = head.ends_with("\n  }\n") || head.ends_with("\n  };\n") || head.ends_with("\n}\n");
        for end in ["", "}\n", "  }\n}\n"] {
            let candidate = format!("{head}{end}");
            if ends_member && !analyse(path, &candidate).facts.broken {
                return candidate;
            }
        }
    }
    text.to_owned()
}

fn names(facts: &FileFacts) -> BTreeMap<&str, usize> {
    let mut names = BTreeMap::new();
    for symbol in &facts.symbols {
        *names.entry(symbol.name.as_str()).or_default() += 1;
    }
    names
}

/// xorshift64*, so that every run makes the same edits.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit.max(1)
    }
}
