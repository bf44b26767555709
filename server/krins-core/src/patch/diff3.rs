//! Three texts line by line: what each side did to the base, and where both did something to the same place.
//!
//! The same rules as `similar`'s `TextMerge` and git: changes that touch are one place, and two sides that did the same
//! there agree. `TextMerge` itself takes time in the square of the edits, and what it takes for long texts in no order
//! nobody can wait for. Here the work is bounded by the lines alone: long texts are compared by [`diff_lines`], which
//! finds less where little is in common, so that the merge is coarser, never wrong. No clock is asked, because the same
//! texts have to merge in the same way everywhere.

use super::diff::diff_lines;
use similar::{Algorithm, DiffOp, capture_diff_slices};
use std::collections::HashMap;
use std::ops::Range;

/// So many lines of the base and a side together are compared by Patience, which equals `git merge-file` on 1,027 real
/// merges, where Myers has needless conflicts.
const MOST_BY_PATIENCE: usize = 40_000;

/// What a side did in one place: `base` became `side`, both in lines.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Edit {
    base: Range<usize>,
    side: Range<usize>,
}

/// A stretch of the merged text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Region {
    /// What is there now: nobody changed it, or ours did, or both did the same.
    Ours(Range<usize>),
    Theirs(Range<usize>),
    Conflict(Clash),
}

/// Where the sides did different things, in lines of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Clash {
    pub base: Range<usize>,
    pub ours: Range<usize>,
    pub theirs: Range<usize>,
}

/// Three texts and how they merge.
pub(super) struct Diff3<'a> {
    pub base: Vec<&'a [u8]>,
    pub ours: Vec<&'a [u8]>,
    pub theirs: Vec<&'a [u8]>,
    regions: Vec<Region>,
}

impl<'a> Diff3<'a> {
    pub fn new(base: &'a [u8], ours: &'a [u8], theirs: &'a [u8]) -> Self {
        let [base, ours, theirs] = [base, ours, theirs].map(lines);
        let mut known = HashMap::new();
        let mut numbers = |lines: &[&'a [u8]]| -> Vec<u32> {
            let number = |line: &&'a [u8]| {
                let next = known.len() as u32;
                *known.entry(*line).or_insert(next)
            };
            lines.iter().map(number).collect()
        };
        let (old, left, right) = (numbers(&base), numbers(&ours), numbers(&theirs));
        let regions = regions(&old, &left, &right);
        Self { base, ours, theirs, regions }
    }

    pub fn conflicts(&self) -> impl Iterator<Item = &Clash> {
        self.regions.iter().filter_map(|region| match region {
            Region::Conflict(clash) => Some(clash),
            Region::Ours(_) | Region::Theirs(_) => None,
        })
    }

    /// The merged text; `conflict` writes what stands for a place of conflict.
    pub fn write(&self, conflict: &dyn Fn(&Clash, &mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.ours.iter().map(|line| line.len()).sum());
        for region in &self.regions {
            match region {
                Region::Ours(range) => out.extend(self.ours[range.clone()].iter().copied().flatten()),
                Region::Theirs(range) => out.extend(self.theirs[range.clone()].iter().copied().flatten()),
                Region::Conflict(clash) => conflict(clash, &mut out),
            }
        }
        out
    }
}

/// Lines with their ends: `\n`, `\r\n` or `\r`.
fn lines(text: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let mut start = 0;
    for (at, byte) in text.iter().enumerate() {
        if *byte == b'\n' || *byte == b'\r' && text.get(at + 1) != Some(&b'\n') {
            lines.push(&text[start..=at]);
            start = at + 1;
        }
    }
    if start < text.len() {
        lines.push(&text[start..]);
    }
    lines
}

fn edits(base: &[u32], side: &[u32]) -> Vec<Edit> {
    let ops = if base.len() + side.len() <= MOST_BY_PATIENCE {
        capture_diff_slices(Algorithm::Patience, base, side)
    } else {
        diff_lines(base, side)
    };
    let mut edits: Vec<Edit> = Vec::new();
    for op in ops.iter().filter(|op| !matches!(op, DiffOp::Equal { .. })) {
        let (base, side) = (op.old_range(), op.new_range());
        match edits.last_mut().filter(|last| last.base.end == base.start && last.side.end == side.start) {
            Some(last) => (last.base.end, last.side.end) = (base.end, side.end),
            None => edits.push(Edit { base, side }),
        }
    }
    edits
}

/// How far one side has been gone through.
struct Cursor<'a> {
    edits: std::iter::Peekable<std::slice::Iter<'a, Edit>>,
    /// The base line and the side's line behind the last edit.
    at: [usize; 2],
}

impl<'a> Cursor<'a> {
    fn new(edits: &'a [Edit]) -> Self {
        Self { edits: edits.iter().peekable(), at: [0, 0] }
    }

    fn next_start(&mut self) -> Option<usize> {
        self.edits.peek().map(|edit| edit.base.start)
    }

    /// The side's line at a base line behind the last edit.
    fn line(&self, base: usize) -> usize {
        self.at[1] + (base - self.at[0])
    }

    /// Takes the next edit where it touches the place, which then reaches to its end.
    fn take(&mut self, place: &mut Range<usize>) -> bool {
        let Some(edit) = self.edits.next_if(|edit| edit.base.start <= place.end) else { return false };
        place.end = place.end.max(edit.base.end);
        self.at = [edit.base.end, edit.side.end];
        true
    }
}

fn regions(base: &[u32], ours: &[u32], theirs: &[u32]) -> Vec<Region> {
    let (left, right) = (edits(base, ours), edits(base, theirs));
    let (mut left, mut right) = (Cursor::new(&left), Cursor::new(&right));
    let mut regions = Vec::new();
    let mut done = 0;
    loop {
        let start = match (left.next_start(), right.next_start()) {
            (None, None) => break,
            (a, b) => a.into_iter().chain(b).min().unwrap_or(base.len()),
        };
        push_ours(&mut regions, left.line(done)..left.line(start));
        let (from, to) = (left.line(start), right.line(start));
        let mut place = start..start;
        let mut changed = [false, false];
        loop {
            let took = [left.take(&mut place), right.take(&mut place)];
            if took == [false, false] {
                break;
            }
            changed = [changed[0] | took[0], changed[1] | took[1]];
        }
        let (from, to) = (from..left.line(place.end), to..right.line(place.end));
        match changed {
            [true, false] => push_ours(&mut regions, from),
            [false, _] => regions.push(Region::Theirs(to)),
            [true, true] if ours[from.clone()] == theirs[to.clone()] => push_ours(&mut regions, from),
            [true, true] => regions.push(Region::Conflict(Clash { base: place.clone(), ours: from, theirs: to })),
        }
        done = place.end;
    }
    push_ours(&mut regions, left.line(done)..ours.len());
    regions
}

fn push_ours(regions: &mut Vec<Region>, range: Range<usize>) {
    if !range.is_empty() {
        regions.push(Region::Ours(range));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::{MarkerStyle, render_conflicts};
    use proptest::prelude::*;
    use similar::{ConflictStyle, TextMerge};

    fn texts() -> impl Strategy<Value = String> {
        let line = prop_oneof![6 => (0..8u8).prop_map(|n| n.to_string()), 3 => (0..90u8).prop_map(|n| format!("x{n}"))];
        let line = (line, prop_oneof![9 => Just("\n"), 1 => Just("\r\n"), 1 => Just("\r")]);
        (proptest::collection::vec(line, 0..40), any::<bool>()).prop_map(|(lines, whole)| {
            let text: String = lines.into_iter().flat_map(|(line, end)| [line, end.to_owned()]).collect();
            if whole { text } else { text.trim_end_matches(['\n', '\r']).to_owned() }
        })
    }

    /// Two versions of the first text, made by putting parts of the others into it.
    fn versions() -> impl Strategy<Value = [String; 3]> {
        let cuts = proptest::collection::vec((any::<prop::sample::Index>(), 0..4usize, 0..3usize), 0..4);
        (texts(), texts(), cuts.clone(), cuts).prop_map(|(base, other, ours, theirs)| {
            let spare: Vec<&str> = other.split_inclusive('\n').collect();
            let version = |cuts: &[(prop::sample::Index, usize, usize)]| {
                let mut lines: Vec<&str> = base.split_inclusive('\n').collect();
                for (at, less, more) in cuts {
                    let at = at.index(lines.len() + 1);
                    let end = (at + less).min(lines.len());
                    lines.splice(at..end, spare.iter().skip(at % 5).take(*more).copied());
                }
                lines.concat()
            };
            [base.clone(), version(&ours), version(&theirs)]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        /// The library's merge is the model: what it says, to the byte, in a time that does not grow with the square.
        #[test]
        fn it_is_the_merge_of_the_library([base, ours, theirs] in versions()) {
            let (base, ours, theirs) = (base.as_bytes(), ours.as_bytes(), theirs.as_bytes());
            let mut model = TextMerge::configure().algorithm(Algorithm::Patience).merge_lines(base, ours, theirs);
            let merge = Diff3::new(base, ours, theirs);
            let clash = |region: &similar::MergeRegion| Clash {
                base: region.base_range(),
                ours: region.ours_range(),
                theirs: region.theirs_range(),
            };
            let expected: Vec<Clash> = model.conflicts().map(clash).collect();
            prop_assert_eq!(merge.conflicts().cloned().collect::<Vec<_>>(), expected);
            for (style, ours_style) in
                [(ConflictStyle::Merge, MarkerStyle::Merge), (ConflictStyle::Diff3, MarkerStyle::Diff3)]
            {
                let mut written = Vec::new();
                model.labels("b", "o", "t").conflict_style(style).to_writer(&mut written).unwrap();
                let rendered = render_conflicts(base, ours, theirs, ["b", "o", "t"], ours_style);
                prop_assert_eq!(String::from_utf8_lossy(&rendered), String::from_utf8_lossy(&written));
            }
        }
    }

    /// Long texts are compared in a coarser way. What they have in common is still found, and nothing is lost.
    #[test]
    fn long_texts_merge_too() {
        let text = |changed: &dyn Fn(usize) -> bool| -> String {
            (0..60_000)
                .map(|n| {
                    if changed(n) { format!("new {n}\n") } else { format!("line {}\n", if n % 3 == 0 { 0 } else { n }) }
                })
                .collect()
        };
        let (base, ours, theirs) = (text(&|_| false), text(&|n| n % 97 == 3), text(&|n| n % 97 == 50));
        let merge = Diff3::new(base.as_bytes(), ours.as_bytes(), theirs.as_bytes());
        assert_eq!(merge.conflicts().count(), 0);
        let merged = merge.write(&|_, _| {});
        assert!(merged == text(&|n| n % 97 == 3 || n % 97 == 50).into_bytes());
        let noise = |mut seed: u64| -> String {
            let mut line = || {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                format!("{}\n", (seed >> 33) % 50)
            };
            (0..30_000).map(|_| line()).collect()
        };
        let (base, ours, theirs) = (noise(1), noise(3), noise(5));
        let hostile = Diff3::new(base.as_bytes(), ours.as_bytes(), theirs.as_bytes());
        assert!(hostile.conflicts().count() > 0, "it ends, and says that it does not know");
    }
}
