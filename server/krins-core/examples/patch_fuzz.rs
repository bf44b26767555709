//! `patch_fuzz [--seconds N | --executions N] [--only TARGET] [--seed N]`: random and mutated answers, texts and
//! positions against the patch functions. A panic ends it with the seed that shows it again; so does a broken promise.
//! Says executions per second and target. `--seconds` are for all targets together, `--executions` for each.
//!
//! Targets: `unified`, `blocks`, `v4a`, `json`, `whole` (the parser of that form, each with its wrappers), `pieces` (the
//! markers of all forms in any order), `place` (the ladder), `merge`, `edit` (subsets, inverses and edited hunks),
//! `position` (lines and columns in every encoding).

use krins_core::RelPath;
use krins_core::patch::{self, Change, Patch, merge_texts, parse, parse_in, place};
use krins_core::text::{Encoding, LineIndex, Position};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

type Files = BTreeMap<RelPath, Arc<[u8]>>;

/// A promise that did not hold, and what it did not hold for.
type Broken = String;

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

const LINES: [&str; 25] = [
    "a",
    "b",
    "  c",
    "\td",
    "}",
    "    }",
    "})",
    "",
    " ",
    "export function one() {",
    "  return a(x)",
    "const x = 1;",
    "é𝄞",
    "-- a",
    "++ b",
    "@@ -1 +1 @@",
    "```",
    "=======",
    "*** End Patch",
    "// ... existing code ...",
    "x\r",
    "&lt;b&gt;",
    "  12 | a",
    "“q”",
    "\u{2028}",
];

const PIECES: [&str; 44] = [
    "--- a/a.ts\n",
    "+++ b/a.ts\n",
    "--- /dev/null\n",
    "+++ /dev/null\n",
    "diff --git a/a.ts b/a.ts\n",
    "diff --git \"a/\\303\" b/x\n",
    "@@ -1,2 +1,2 @@\n",
    "@@\n",
    "@@ -0,0 +1 @@\n",
    "@@ -3,9 +3,9 @@ function one\n",
    "-a\n",
    "+a\n",
    " a\n",
    " b\n",
    "-b\n",
    "+  z\n",
    "\n",
    "\\ No newline at end of file\n",
    "rename from a.ts\n",
    "rename to c.ts\n",
    "new file mode 100755\n",
    "deleted file mode 100644\n",
    "```\n",
    "```ts a.ts\n",
    "a.ts\n",
    "<<<<<<< SEARCH\n",
    "=======\n",
    ">>>>>>> REPLACE\n",
    "*** Begin Patch\n",
    "*** End Patch\n",
    "*** Update File: a.ts\n",
    "*** Add File: n.ts\n",
    "*** Delete File: b.ts\n",
    "*** Move to: m.ts\n",
    "*** End of File\n",
    "// ... existing code ...\n",
    " 1 | a\n",
    "\r\n",
    "\"",
    "[",
    "{\"path\":\"a.ts\",\"old_str\":\"b\",\"new_str\":\"c\"}",
    "]",
    "Binary files a/x and b/x differ\n",
    "index 1..2 100644\n",
];

fn text(random: &mut Random) -> String {
    let end = *random.one(&["\n", "\n", "\n", "\r\n"]);
    let count = random.below(30);
    let mut out: String = (0..count).map(|_| format!("{}{end}", random.one(&LINES))).collect();
    if random.below(4) == 0 {
        out.truncate(out.trim_end().len());
    }
    out
}

fn edited(random: &mut Random, text: &str) -> String {
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    for _ in 0..=random.below(4) {
        let at = random.below(lines.len() + 1);
        match random.below(3) {
            0 if at < lines.len() => {
                lines.remove(at);
            }
            1 if at < lines.len() => lines[at] = "changed\n",
            _ => lines.insert(at, "new one\n"),
        }
    }
    lines.concat()
}

/// What an answer is made as, before it is damaged.
#[derive(Clone, Copy)]
enum Made {
    Pieces,
    Blocks,
    Whole,
    Json,
    V4a,
    Unified,
}

const FORMS: [Made; 6] = [Made::Pieces, Made::Blocks, Made::Whole, Made::Json, Made::V4a, Made::Unified];

fn sound(random: &mut Random, made: Made, before: &str, after: &str) -> String {
    match made {
        Made::Pieces => (0..random.below(24)).map(|_| *random.one(&PIECES)).collect(),
        Made::Blocks => format!("a.ts\n<<<<<<< SEARCH\n{before}=======\n{after}>>>>>>> REPLACE\n"),
        Made::Whole => format!("a.ts\n```ts\n{after}```\n"),
        Made::Json => serde_json::json!({"path": "a.ts", "old_str": before, "new_str": after}).to_string(),
        Made::V4a => {
            let body: String = diff(before, after).unified().lines().skip(4).map(|line| format!("{line}\n")).collect();
            format!("*** Begin Patch\n*** Update File: a.ts\n{body}*** End Patch\n")
        }
        Made::Unified => diff(before, after).unified().to_owned(),
    }
}

/// In prose, in a JSON string, or with its line ends escaped.
fn wrapped(random: &mut Random, answer: String) -> String {
    match random.below(12) {
        0 => serde_json::json!({ "patch": answer }).to_string(),
        1 => answer.replace('\n', "\\n"),
        2 => format!("Here it is:\n\n```diff\n{answer}```\n\nThat is all.\n"),
        _ => answer,
    }
}

/// An answer of that form with a few bytes changed.
fn answer(random: &mut Random, made: Made, before: &str, after: &str) -> String {
    let whole = sound(random, made, before, after);
    let mut bytes = wrapped(random, whole).into_bytes();
    for _ in 0..random.below(5) {
        let at = random.below(bytes.len() + 1);
        match random.below(4) {
            0 if at < bytes.len() => {
                bytes.remove(at);
            }
            1 if at < bytes.len() => bytes[at] = random.next() as u8,
            2 => bytes.splice(at..at, random.one(&PIECES).bytes()).for_each(drop),
            _ => bytes.truncate(bytes.len() - random.below(bytes.len() / 4 + 1)),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn path(name: &str) -> RelPath {
    RelPath::new(name).expect("a plain name")
}

fn files(before: &str) -> Files {
    [("a.ts", before), ("b.ts", "a\nb\n")].map(|(name, text)| (path(name), Arc::from(text.as_bytes()))).into()
}

fn diff(before: &str, after: &str) -> Patch {
    let bytes = |text: &str| Some(Arc::from(text.as_bytes()));
    Patch::between(vec![Change {
        path: path("a.ts"),
        from: None,
        before: bytes(before),
        after: bytes(after),
        executable: false,
    }])
}

fn promise(holds: bool, what: &str, of: &str) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(format!("{what}: {of:?}")) }
}

fn fuzz_parse(random: &mut Random, made: Made) -> Result<(), Broken> {
    let (before, after) = (text(random), text(random));
    let answer = answer(random, made, &before, &after);
    match random.below(2) {
        0 => drop(parse(&answer)),
        _ => drop(parse_in(&answer, "/root/of")),
    }
    Ok(())
}

fn fuzz_place(random: &mut Random) -> Result<(), Broken> {
    let before = text(random);
    let after = edited(random, &before);
    let made = *random.one(&FORMS);
    let answer = answer(random, made, &before, &after);
    let Ok(parsed) = parse(&answer) else { return Ok(()) };
    let base = files(&before);
    for based in [true, false] {
        let Ok(patch) = place(&parsed, &base, based) else { continue };
        let merged = patch::merge(&patch, &base);
        promise(merged.conflicts.is_empty(), "a patch conflicts with its own base", &answer)?;
        promise(patch.inverse().inverse().unified() == patch.unified(), "undo of undo", &answer)?;
    }
    Ok(())
}

fn fuzz_merge(random: &mut Random) -> Result<(), Broken> {
    let base = text(random);
    let (ours, theirs) = (edited(random, &base), edited(random, &base));
    let merge =
        |ours: &str, theirs: &str| merge_texts(&path("a.ts"), base.as_bytes(), ours.as_bytes(), theirs.as_bytes());
    let (one, two) = (merge(&ours, &theirs), merge(&theirs, &ours));
    promise(one.is_ok() == two.is_ok(), "a merge conflicts from one side only", &base)?;
    promise(one.is_err() || one == two, "a merge depends on the side", &base)?;
    promise(merge(&base, &ours) == Ok(ours.clone().into_bytes()), "a merge with nothing changes the text", &base)
}

/// A text that no policy refuses as new text: left-out code and HTML entities are asked about, not written.
fn plain_text(random: &mut Random) -> String {
    text(random).split_inclusive('\n').filter(|line| !line.contains("existing") && !line.contains('&')).collect()
}

fn fuzz_edit(random: &mut Random) -> Result<(), Broken> {
    let before = plain_text(random);
    let after = edited(random, &before);
    let patch = diff(&before, &after);
    let mask = random.next();
    let some = patch.subset(&|hunk| hunk.lines.len() as u64 & mask & 3 != 0);
    let id = format!("h{}", random.below(3) + 1);
    let changed = patch.with_hunk(&id, &plain_text(random)).unwrap_or_else(|_| patch.clone());
    for one in [&patch, &some, &changed] {
        let Some(file) = one.files().first() else { continue };
        let placed = parse(one.unified()).ok().and_then(|parsed| place(&parsed, &files(&before), true).ok());
        let said = placed.as_ref().and_then(|placed| placed.files().first()).and_then(|file| file.after.clone());
        promise(said == file.after, "a diff applied is not what it is the diff of", one.unified())?;
    }
    Ok(())
}

fn fuzz_position(random: &mut Random) -> Result<(), Broken> {
    let text = text(random);
    let index = LineIndex::new(&text);
    let encoding = *random.one(&[Encoding::Utf8, Encoding::Utf16, Encoding::Utf32]);
    let position = Position { line: random.below(40) as u32, column: random.below(60) as u32 };
    let offset = index.offset(&text, position, encoding);
    promise(text.is_char_boundary(offset), "an offset inside a character", &text)?;
    let there = index.position(&text, offset, encoding);
    promise(index.offset(&text, there, encoding) == offset, "a position does not come back", &text)
}

type Target = fn(&mut Random) -> Result<(), Broken>;

const TARGETS: [(&str, Target); 10] = [
    ("unified", |random| fuzz_parse(random, Made::Unified)),
    ("blocks", |random| fuzz_parse(random, Made::Blocks)),
    ("v4a", |random| fuzz_parse(random, Made::V4a)),
    ("json", |random| fuzz_parse(random, Made::Json)),
    ("whole", |random| fuzz_parse(random, Made::Whole)),
    ("pieces", |random| fuzz_parse(random, Made::Pieces)),
    ("place", fuzz_place),
    ("merge", fuzz_merge),
    ("edit", fuzz_edit),
    ("position", fuzz_position),
];

fn word(name: &str) -> Option<String> {
    let args: Vec<String> = std::env::args().collect();
    args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1).cloned())
}

fn number(name: &str) -> Option<u64> {
    word(name)?.parse().ok()
}

/// How long one target runs.
#[derive(Clone, Copy)]
enum Limit {
    Time(Duration),
    Executions(u64),
}

impl Limit {
    fn is_reached(self, count: u64, started: Instant) -> bool {
        match self {
            // A clock read costs more than many a case.
            Self::Time(time) => count.is_multiple_of(64) && started.elapsed() >= time,
            Self::Executions(most) => count >= most,
        }
    }
}

/// Runs one target; `Err` names the seed that broke it.
fn run(target: Target, first: u64, limit: Limit) -> (u64, Result<(), Broken>) {
    let (started, mut count) = (Instant::now(), 0_u64);
    while !limit.is_reached(count, started) {
        let seed = first.wrapping_add(count);
        count += 1;
        let ran = std::panic::catch_unwind(|| target(&mut Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d))));
        match ran {
            Ok(Ok(())) => {}
            Ok(Err(what)) => return (count, Err(format!("--seed {seed}: {what}"))),
            Err(_) => return (count, Err(format!("--seed {seed}: it panicked"))),
        }
    }
    (count, Ok(()))
}

fn main() -> ExitCode {
    let mut out = std::io::stdout();
    let only = word("--only");
    let chosen: Vec<_> = TARGETS.iter().filter(|(name, _)| only.as_deref().is_none_or(|only| only == *name)).collect();
    let each = Duration::from_secs(number("--seconds").unwrap_or(10)) / chosen.len().max(1) as u32;
    let limit = number("--executions").map_or(Limit::Time(each), Limit::Executions);
    let mut broken = chosen.is_empty();
    for (name, target) in chosen {
        let started = Instant::now();
        let (count, outcome) = run(*target, number("--seed").unwrap_or(1), limit);
        let rate = count as f64 / started.elapsed().as_secs_f64();
        let _ = writeln!(out, "{name}: {count} executions, {rate:.0} a second");
        if let Err(what) = outcome {
            broken = true;
            let _ = writeln!(out, "{name}: {what}");
        }
    }
    if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
