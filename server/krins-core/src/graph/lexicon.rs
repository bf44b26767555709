//! The terms of one file's chunks as a sorted table of bytes: searched where it lies, kept as it is, never decoded whole.
//!
//! ```text
//! chunks: u16   terms: u32   length of each chunk in terms: u32 × chunks
//! hash of each term, sorted: u32 × terms   end of its postings: u32 × terms
//! postings: (chunk, count) as LEB128 pairs; chunks of a term as differences
//! ```
//!
//! All numbers are little-endian. A damaged table has no terms; it never panics.

use std::cmp::Ordering;
use std::sync::Arc;

/// Terms by chunk, with their counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lexicon {
    bytes: Arc<[u8]>,
    chunks: usize,
    terms: usize,
    /// The lengths of all chunks together.
    length: u64,
}

impl Default for Lexicon {
    fn default() -> Self {
        Self::build(std::iter::empty::<Vec<u32>>())
    }
}

impl Lexicon {
    /// From the hashes of every term of every chunk, repeats included, in any order.
    pub fn build(chunks: impl Iterator<Item = Vec<u32>>) -> Self {
        let mut lengths: Vec<u32> = Vec::new();
        // A term's hash and the chunk that holds it, in one number: sorted by term, then by chunk.
        let mut all: Vec<u64> = Vec::new();
        for (chunk, hashes) in (0u64..u64::from(u16::MAX)).zip(chunks) {
            lengths.push(u32::try_from(hashes.len()).unwrap_or(u32::MAX));
            all.extend(hashes.into_iter().map(|hash| u64::from(hash) << 32 | chunk));
        }
        all.sort_unstable();
        let (mut hashes, mut ends, mut postings) = (Vec::new(), Vec::new(), Vec::new());
        for of_term in all.chunk_by(|a, b| a >> 32 == b >> 32) {
            let mut previous = 0;
            for same in of_term.chunk_by(|a, b| a == b) {
                let chunk = same[0] as u32;
                put(&mut postings, chunk - previous);
                put(&mut postings, u32::try_from(same.len()).unwrap_or(u32::MAX));
                previous = chunk;
            }
            hashes.push((of_term[0] >> 32) as u32);
            ends.push(postings.len() as u32);
        }
        let mut bytes = Vec::with_capacity(HEAD + (lengths.len() + hashes.len() * 2) * 4 + postings.len());
        bytes.extend((lengths.len() as u16).to_le_bytes());
        bytes.extend((hashes.len() as u32).to_le_bytes());
        for number in lengths.iter().chain(&hashes).chain(&ends) {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&postings);
        let length = lengths.iter().copied().map(u64::from).sum();
        Self { bytes: bytes.into(), chunks: lengths.len(), terms: hashes.len(), length }
    }

    /// Takes what [`Lexicon::bytes`] gave.
    pub fn from_bytes(bytes: Arc<[u8]>) -> Self {
        let chunks = bytes.get(..2).map_or(0, |head| usize::from(u16::from_le_bytes([head[0], head[1]])));
        let terms = u32_at(&bytes, 2).unwrap_or_default() as usize;
        let fits = terms.checked_mul(8).is_some_and(|table| HEAD + chunks * 4 + table <= bytes.len());
        if !fits {
            return Self::default();
        }
        let length = words(&bytes, HEAD, chunks).iter().map(|four| u64::from(u32::from_le_bytes(*four))).sum();
        Self { bytes, chunks, terms, length }
    }

    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    /// How many chunks the file has.
    pub fn chunks(&self) -> usize {
        self.chunks
    }

    /// How many terms the file holds, repeats included.
    pub fn total_length(&self) -> u64 {
        self.length
    }

    /// How many terms a chunk holds, repeats included.
    pub fn length(&self, chunk: usize) -> u32 {
        if chunk < self.chunks { u32_at(&self.bytes, HEAD + chunk * 4).unwrap_or_default() } else { 0 }
    }

    /// Calls `take` with (chunk, count) for every chunk that holds the term, in order.
    pub fn postings(&self, hash: u32, take: impl FnMut(usize, u32)) {
        if let Some(at) = self.find(hash) {
            self.read_postings(at, take);
        }
    }

    /// Calls `take` with (hash, chunk, count) for everything in the table, sorted by hash.
    pub fn all(&self, mut take: impl FnMut(u32, usize, u32)) {
        for at in 0..self.terms {
            if let Some(hash) = u32_at(&self.bytes, self.hash_offset(at)) {
                self.read_postings(at, |chunk, count| take(hash, chunk, count));
            }
        }
    }

    /// Whether any chunk holds the term.
    pub fn holds(&self, hash: u32) -> bool {
        self.find(hash).is_some()
    }

    fn hash_offset(&self, at: usize) -> usize {
        HEAD + self.chunks * 4 + at * 4
    }

    /// Hashes are spread evenly, so a term is looked for where it should be, then a few steps around, then by halves.
    fn find(&self, hash: u32) -> Option<usize> {
        let hashes = words(&self.bytes, self.hash_offset(0), self.terms);
        let at = |at: usize| hashes.get(at).map(|four| u32::from_le_bytes(*four));
        let mut place = ((u64::from(hash) * self.terms as u64) >> 32) as usize;
        let (mut low, mut high) = (0, hashes.len());
        for _ in 0..STEPS {
            match at(place)?.cmp(&hash) {
                Ordering::Equal => return Some(place),
                Ordering::Less => low = place + 1,
                Ordering::Greater => high = place,
            }
            if low >= high {
                return None;
            }
            place = if high == place { place - 1 } else { low };
        }
        let found = hashes[low..high].binary_search_by_key(&hash, |four| u32::from_le_bytes(*four)).ok()?;
        Some(low + found)
    }

    fn read_postings(&self, at: usize, mut take: impl FnMut(usize, u32)) {
        let ends = HEAD + self.chunks * 4 + self.terms * 4;
        let end_of = |at: usize| u32_at(&self.bytes, ends + at * 4).unwrap_or_default() as usize;
        let start = if at == 0 { 0 } else { end_of(at - 1) };
        let base = ends + self.terms * 4;
        let mut rest = self.bytes.get(base + start..base + end_of(at)).unwrap_or_default();
        let mut chunk = 0;
        while let (Some(step), Some(count)) = (get(&mut rest), get(&mut rest)) {
            chunk += step as usize;
            if chunk >= self.chunks {
                return;
            }
            take(chunk, count);
        }
    }
}

const HEAD: usize = 6;

/// Steps that are tried before the table is halved.
const STEPS: usize = 8;

/// So many numbers of a table; none of them if they are not all there.
fn words(bytes: &[u8], from: usize, count: usize) -> &[[u8; 4]] {
    bytes.get(from..from + count * 4).unwrap_or_default().as_chunks().0
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map(u32::from_le_bytes)
}

fn put(into: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

fn get(bytes: &mut &[u8]) -> Option<u32> {
    let mut value = 0u32;
    for shift in (0..35).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u32::from(first & 0x7f).checked_shl(shift)?;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn it_gives_back_what_was_put_in(chunks in prop::collection::vec(prop::collection::vec(0u32..40, 0..30), 0..12)) {
            let lexicon = Lexicon::build(chunks.iter().cloned());
            let again = Lexicon::from_bytes(lexicon.bytes().clone());
            prop_assert_eq!(&again, &lexicon);
            let mut expect = BTreeMap::new();
            for (at, hashes) in chunks.iter().enumerate() {
                prop_assert_eq!(again.length(at) as usize, hashes.len());
                for hash in hashes {
                    *expect.entry((*hash, at)).or_insert(0u32) += 1;
                }
            }
            let mut found = BTreeMap::new();
            again.all(|hash, chunk, count| {
                found.insert((hash, chunk), count);
            });
            prop_assert_eq!(&found, &expect);
            for hash in 0..41 {
                let mut found = BTreeMap::new();
                again.postings(hash, |chunk, count| { found.insert((hash, chunk), count); });
                let part: BTreeMap<_, _> = expect.iter().filter(|((of, _), _)| *of == hash).map(|(k, v)| (*k, *v)).collect();
                prop_assert_eq!(found, part);
            }
        }

        #[test]
        fn damaged_bytes_are_no_trouble(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let lexicon = Lexicon::from_bytes(bytes.into());
            lexicon.all(|_, chunk, _| assert!(chunk < lexicon.chunks()));
            lexicon.postings(7, |_, _| ());
        }
    }
}
