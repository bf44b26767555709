//! The hashes of a text's terms, fast: a word's terms are worked out once for as long as the word is remembered. Gives
//! what [`words::terms`] and [`words::hash`] give.

use super::words;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Words that are remembered; a repository uses fewer again and again.
const MAX_WORDS: usize = 1 << 15;

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::default();
}

#[derive(Default)]
struct Known {
    /// Where the hashes of a word's terms are in `hashes`.
    words: HashMap<Box<str>, (u32, u32), BuildHasherDefault<WordHasher>>,
    hashes: Vec<u32>,
}

/// Calls `take` with the hash of every term of the text, repeats included.
pub(super) fn of_terms(text: &str, mut take: impl FnMut(u32)) {
    KNOWN.with_borrow_mut(|known| words::each_word(text, |word| known.terms(word).iter().for_each(|hash| take(*hash))));
}

impl Known {
    fn terms(&mut self, word: &str) -> &[u32] {
        if let Some((start, end)) = self.words.get(word) {
            return &self.hashes[*start as usize..*end as usize];
        }
        if self.words.len() >= MAX_WORDS {
            self.words.clear();
            self.hashes.clear();
        }
        let start = self.hashes.len();
        words::terms(word, |term, _| self.hashes.push(words::hash(term)));
        self.words.insert(word.into(), (start as u32, self.hashes.len() as u32));
        &self.hashes[start..]
    }
}

/// For short words. Nothing is read out of the table in its order.
#[derive(Default)]
struct WordHasher(u64);

impl Hasher for WordHasher {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 29
    }

    fn write(&mut self, bytes: &[u8]) {
        let (eights, rest) = bytes.as_chunks::<8>();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        for eight in eights.iter().chain([&last]) {
            self.0 = (self.0.rotate_left(5) ^ u64::from_le_bytes(*eight)).wrapping_mul(0x517c_c1b7_2722_0a95);
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.0 = self.0.rotate_left(5) ^ u64::from(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_terms_are_those_of_the_words(text in "[a-zA-Z0-9_$ .\n]{0,80}|\\PC{0,40}") {
            let mut expect = Vec::new();
            words::terms(&text, |term, _| expect.push(words::hash(term)));
            for _ in 0..2 {
                let mut found = Vec::new();
                of_terms(&text, |hash| found.push(hash));
                prop_assert_eq!(&found, &expect);
            }
        }
    }
}
