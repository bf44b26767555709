//! The diff of two lists of lines: Histogram, as people read diffs, with a bound on its work.
//!
//! Histogram takes time in the square of the lines where every line is unique and many are changed. So long lists are
//! divided first, at the lines that are unique in both, and what cannot be divided is replaced as a whole. No clock is
//! asked: the same texts give the same diff everywhere.

use similar::{Algorithm, DiffOp, capture_diff_slices};
use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Range;

/// So many lines on both sides together go to Histogram as they are.
const SHORT: usize = 1_000;
/// The largest product of the sides' lines that is compared where nothing divides them, and of all lines and those that
/// are certainly changed.
const MAX_WORK: usize = 4_000_000;
const MAX_STEPS: usize = 40_000_000;
/// Lines that are unique between two anchors divide again, so often.
const MAX_DEPTH: usize = 8;

/// What turns `old` into `new`, in order.
pub(super) fn diff_lines<T: Hash + Eq + Ord>(old: &[T], new: &[T]) -> Vec<DiffOp> {
    let mut matches = Vec::new();
    pairs(old, new, [0..old.len(), 0..new.len()], 0, &mut matches);
    operations(old.len(), new.len(), &matches)
}

/// Collects runs of equal lines as (old line, new line, length), in order.
fn pairs<T: Hash + Eq + Ord>(
    old: &[T],
    new: &[T],
    [mut left, mut right]: [Range<usize>; 2],
    depth: usize,
    out: &mut Vec<(usize, usize, usize)>,
) {
    let head = old[left.clone()].iter().zip(&new[right.clone()]).take_while(|(a, b)| a == b).count();
    out.push((left.start, right.start, head));
    left.start += head;
    right.start += head;
    let tail = old[left.clone()].iter().rev().zip(new[right.clone()].iter().rev()).take_while(|(a, b)| a == b).count();
    left.end -= tail;
    right.end -= tail;
    if left.is_empty() || right.is_empty() {
        // What is left is on one side only.
    } else if left.len() + right.len() <= SHORT {
        compared(old, new, &left, &right, out);
    } else {
        let (a, b) = (&old[left.clone()], &new[right.clone()]);
        let anchors = if depth < MAX_DEPTH { anchors(a, b) } else { Vec::new() };
        if !anchors.is_empty() {
            divided(old, new, [&left, &right], &anchors, depth, out);
        } else if is_feasible(a, b) {
            compared(old, new, &left, &right, out);
        }
    }
    out.push((left.end, right.end, tail));
}

/// Whether comparing line by line comes to an end soon, as far as counting tells.
fn is_feasible<T: Hash + Eq>(old: &[T], new: &[T]) -> bool {
    if old.len().saturating_mul(new.len()) <= MAX_WORK {
        return true;
    }
    let mut counts: HashMap<&T, i64> = HashMap::new();
    old.iter().for_each(|line| *counts.entry(line).or_default() += 1);
    let mut missing = 0_usize;
    for line in new {
        let count = counts.entry(line).or_default();
        *count -= 1;
        missing += usize::from(*count < 0);
    }
    let changed = missing * 2 + old.len().abs_diff(new.len());
    (old.len() + new.len()).saturating_mul(changed + 100) <= MAX_STEPS
}

fn compared<T: Hash + Eq + Ord>(
    old: &[T],
    new: &[T],
    left: &Range<usize>,
    right: &Range<usize>,
    out: &mut Vec<(usize, usize, usize)>,
) {
    for op in capture_diff_slices(Algorithm::Histogram, &old[left.clone()], &new[right.clone()]) {
        if let DiffOp::Equal { old_index, new_index, len } = op {
            out.push((left.start + old_index, right.start + new_index, len));
        }
    }
}

/// The parts between the anchors, each on its own.
fn divided<T: Hash + Eq + Ord>(
    old: &[T],
    new: &[T],
    [left, right]: [&Range<usize>; 2],
    anchors: &[(usize, usize)],
    depth: usize,
    out: &mut Vec<(usize, usize, usize)>,
) {
    let (mut from, mut to) = (left.start, right.start);
    for (a, b) in anchors.iter().map(|(a, b)| (left.start + a, right.start + b)) {
        pairs(old, new, [from..a, to..b], depth + 1, out);
        out.push((a, b, 1));
        (from, to) = (a + 1, b + 1);
    }
    pairs(old, new, [from..left.end, to..right.end], depth + 1, out);
}

/// The longest chain, rising on both sides, of lines that are unique in both (patience sorting).
fn anchors<T: Hash + Eq>(old: &[T], new: &[T]) -> Vec<(usize, usize)> {
    let mut seen: HashMap<&T, [Option<usize>; 2]> = HashMap::with_capacity(old.len());
    let mut repeated: HashMap<&T, ()> = HashMap::new();
    for (side, lines) in [old, new].into_iter().enumerate() {
        for (at, line) in lines.iter().enumerate() {
            if seen.entry(line).or_default()[side].replace(at).is_some() {
                repeated.insert(line, ());
            }
        }
    }
    let unique = old.iter().enumerate().filter(|(_, line)| !repeated.contains_key(line));
    let common: Vec<(usize, usize)> = unique.filter_map(|(at, line)| Some((at, seen.get(line)?[1]?))).collect();
    rising(&common)
}

/// The longest subsequence whose second numbers rise; the first ones do already.
fn rising(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let mut piles: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(pairs.len());
    for (at, (_, second)) in pairs.iter().enumerate() {
        let pile = piles.partition_point(|top| pairs[*top].1 < *second);
        before.push(pile.checked_sub(1).map(|lower| piles[lower]));
        if pile == piles.len() {
            piles.push(at);
        } else {
            piles[pile] = at;
        }
    }
    let mut chain: Vec<(usize, usize)> =
        std::iter::successors(piles.last().copied(), |at| before[*at]).map(|at| pairs[at]).collect();
    chain.reverse();
    chain
}

fn operations(old_len: usize, new_len: usize, matches: &[(usize, usize, usize)]) -> Vec<DiffOp> {
    let mut ops: Vec<DiffOp> = Vec::new();
    let (mut old_index, mut new_index) = (0, 0);
    for (a, b, len) in matches.iter().copied().chain([(old_len, new_len, 0)]) {
        ops.extend(gap(old_index..a, new_index..b));
        (old_index, new_index) = (a + len, b + len);
        match ops.last_mut() {
            _ if len == 0 => {}
            Some(DiffOp::Equal { len: before, .. }) => *before += len,
            _ => ops.push(DiffOp::Equal { old_index: a, new_index: b, len }),
        }
    }
    ops
}

fn gap(old: Range<usize>, new: Range<usize>) -> Option<DiffOp> {
    let (old_index, new_index, old_len, new_len) = (old.start, new.start, old.len(), new.len());
    match (old_len, new_len) {
        (0, 0) => None,
        (_, 0) => Some(DiffOp::Delete { old_index, old_len, new_index }),
        (0, _) => Some(DiffOp::Insert { old_index, new_index, new_len }),
        _ => Some(DiffOp::Replace { old_index, old_len, new_index, new_len }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Applies the operations, and says how many lines they leave alone.
    fn check(old: &[u32], new: &[u32]) -> usize {
        let (mut made, mut equal, mut at) = (Vec::new(), 0, [0, 0]);
        for op in diff_lines(old, new) {
            assert_eq!([op.old_range().start, op.new_range().start], at, "nothing is skipped");
            at = [op.old_range().end, op.new_range().end];
            if let DiffOp::Equal { .. } = op {
                assert_eq!(old[op.old_range()], new[op.new_range()]);
                equal += op.old_range().len();
            }
            made.extend_from_slice(&new[op.new_range()]);
        }
        assert_eq!((made.as_slice(), at), (new, [old.len(), new.len()]));
        equal
    }

    #[test]
    fn short_and_long_lists_become_each_other() {
        let numbers = |len: u32, kinds: u32, step: u32| -> Vec<u32> {
            (0..len).map(|n| if n % step == step / 2 { 1_000_000 + n } else { n * 7919 % kinds }).collect()
        };
        for len in [0, 1, 10, 3_000] {
            for kinds in [2, 50, 10_007] {
                for step in [3, 40, 5_000] {
                    check(&numbers(len, kinds, 9_999), &numbers(len, kinds, step));
                    check(&numbers(len, kinds, step), &numbers(len / 2, kinds, 9_999));
                }
            }
        }
        let third = check(&numbers(9_000, 10_007, 99_999), &numbers(9_000, 10_007, 3));
        assert_eq!(third, 6_000, "every line that stays is found");
    }

    #[test]
    fn what_nothing_divides_and_little_joins_is_replaced_as_a_whole() {
        let two_kinds = |len: u32, first: u32| -> Vec<u32> { (0..len).map(|n| first + n % 2).collect() };
        let (old, new) = (two_kinds(20_000, 0), two_kinds(20_001, 5));
        assert_eq!(check(&old, &new), 0);
        assert_eq!(diff_lines(&old, &new).len(), 1);
        let mut changed = old.clone();
        changed[7_000] = 9;
        changed[12_000] = 9;
        assert_eq!(check(&old, &changed), 19_998);
    }
}
