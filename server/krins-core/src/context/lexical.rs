//! The lexical half of the ranking: BM25 over chunks, and what the task names outright.

use crate::graph::words;
use crate::graph::{Chunk, FileFacts, Lexicon};
use crate::path::RelPath;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A term of the task.
#[derive(Clone, Copy, Debug)]
pub(super) struct Term {
    pub hash: u32,
    pub weight: f64,
}

/// What the task says.
pub(super) struct Wording {
    /// Sorted by hash.
    pub terms: Vec<Term>,
    /// Words that look like code: `useState`, `MAX_ITEMS`, `` `any` `` in backquotes.
    pub symbols: BTreeSet<String>,
    /// Words that look like a path or a file name, in lower case.
    pub paths: Vec<String>,
}

/// Saturation of a term's count in a chunk, and how much a chunk's length counts (Robertson and Zaragoza 2009).
const K1: f64 = 1.2;
const B: f64 = 0.4;

/// A term in the file's path or the symbol's name counts as so many in the text.
const PATH_COUNT: f64 = 2.0;
const NAME_COUNT: f64 = 3.0;

/// A compound word (`parseExpression`) says more than its parts.
const WHOLE_WEIGHT: f64 = 1.5;

/// Verbs of requests and commit messages: they say what to do, not where.
const VERBS: &[&str] = &[
    "add", "allow", "avoid", "change", "chore", "docs", "ensure", "feat", "feature", "fix", "handle", "improve",
    "make", "perf", "prevent", "refactor", "remove", "rename", "support", "test", "update", "use",
];
const VERB_WEIGHT: f64 = 0.3;

impl Wording {
    pub fn of(intent: &str) -> Self {
        let verbs: BTreeSet<u32> = VERBS
            .iter()
            .map(|verb| {
                let mut stem = (*verb).to_owned();
                words::stem(&mut stem);
                words::hash(&stem)
            })
            .collect();
        let mut counts: BTreeMap<u32, (f64, bool)> = BTreeMap::new();
        words::terms(intent, |term, whole| {
            let entry = counts.entry(words::hash(term)).or_insert((0.0, whole));
            entry.0 += 1.0;
        });
        let terms = counts.into_iter().map(|(hash, (count, whole))| {
            let weight = if verbs.contains(&hash) {
                VERB_WEIGHT
            } else if whole {
                WHOLE_WEIGHT
            } else {
                1.0
            };
            Term { hash, weight: weight * (1.0 + f64::ln(count)) }
        });
        Self { terms: terms.collect(), symbols: symbols_in(intent), paths: paths_in(intent) }
    }

    /// Whether the task names this path: as a whole, by its end, or by its file name.
    pub fn names_path(&self, path: &RelPath) -> bool {
        let lower = path.as_str().to_lowercase();
        self.paths.iter().any(|named| {
            lower == *named || lower.strip_suffix(named.as_str()).is_some_and(|before| before.ends_with('/'))
        })
    }
}

fn symbols_in(intent: &str) -> BTreeSet<String> {
    let quoted = intent.split('`').skip(1).step_by(2).flat_map(words::words);
    let shaped = words::words(intent).filter(|word| {
        let inner_upper = word.chars().skip(1).any(char::is_uppercase) && word.chars().any(char::is_lowercase);
        word.len() > 2 && (inner_upper || word.trim_matches('_').contains('_'))
    });
    quoted.chain(shaped).map(str::to_owned).collect()
}

fn paths_in(intent: &str) -> Vec<String> {
    let mut paths: Vec<String> = intent
        .split(|c: char| c.is_whitespace() || matches!(c, '`' | '"' | '\'' | '(' | ')' | ',' | ';' | '<' | '>'))
        .map(|word| word.trim_end_matches(['.', ':', '!', '?']).trim_start_matches("./").to_lowercase())
        .filter(|word| {
            word.rsplit_once('.').is_some_and(|(stem, extension)| {
                !stem.is_empty()
                    && (1..=4).contains(&extension.len())
                    && extension.bytes().all(|b| b.is_ascii_alphabetic())
            })
        })
        .collect();
    paths.sort_unstable();
    paths.dedup();
    paths
}

/// A chunk's place: index of the file, index of the chunk in it.
pub(super) type Place = (usize, usize);

/// A file of the graph, opened for a search.
pub(super) struct OfFile<'g> {
    pub path: &'g RelPath,
    pub facts: Arc<FileFacts>,
    pub lexicon: &'g Lexicon,
}

/// BM25 of every chunk that holds a term, in the order of the files. `files` are the graph's, sorted.
pub(super) fn score(wording: &Wording, files: &[OfFile<'_>]) -> Vec<(Place, f64)> {
    let terms = &wording.terms;
    let mut frequency = vec![0u32; terms.len()];
    let mut hits: Vec<(Place, u32, Vec<f64>)> = Vec::new();
    let mut chunks = 0u64;
    let mut total_length = 0u64;
    let mut counts = vec![0.0; terms.len()];
    for (at, OfFile { path, facts, lexicon }) in files.iter().enumerate() {
        let found = count_terms(lexicon, terms);
        let in_path = matches_in(path.as_str(), terms);
        let in_names: Vec<u64> = facts.symbols.iter().map(|symbol| matches_in(&symbol.name, terms)).collect();
        for (number, chunk) in facts.chunks.iter().enumerate() {
            chunks += 1;
            let length = lexicon.length(number);
            total_length += u64::from(length);
            counts.copy_from_slice(&found[number * terms.len()..(number + 1) * terms.len()]);
            for (term, count) in counts.iter().enumerate() {
                frequency[term] += u32::from(*count > 0.0);
            }
            let names = names_of(chunk, facts, &in_names);
            add_matches(&mut counts, in_path, PATH_COUNT);
            add_matches(&mut counts, names, NAME_COUNT);
            if counts.iter().any(|count| *count > 0.0) {
                hits.push(((at, number), length, counts.clone()));
            }
        }
    }
    let average = (total_length as f64 / chunks.max(1) as f64).max(1.0);
    let rarity: Vec<f64> = frequency.iter().map(|frequency| idf(f64::from(*frequency), chunks as f64)).collect();
    hits.into_iter()
        .map(|(place, length, counts)| {
            let norm = K1 * (1.0 - B + B * f64::from(length) / average);
            let score = terms
                .iter()
                .zip(&counts)
                .zip(&rarity)
                .map(|((term, count), rarity)| term.weight * rarity * count * (K1 + 1.0) / (count + norm))
                .sum();
            (place, score)
        })
        .collect()
}

fn idf(frequency: f64, chunks: f64) -> f64 {
    f64::ln(1.0 + (chunks - frequency + 0.5) / (frequency + 0.5))
}

/// Counts by chunk and term.
fn count_terms(lexicon: &Lexicon, terms: &[Term]) -> Vec<f64> {
    let mut counts = vec![0.0; lexicon.chunks() * terms.len()];
    for (at, term) in terms.iter().enumerate() {
        lexicon.postings(term.hash, |chunk, count| counts[chunk * terms.len() + at] = f64::from(count));
    }
    counts
}

/// Which of the first 64 terms are in a name, as bits.
fn matches_in(name: &str, terms: &[Term]) -> u64 {
    let mut bits = 0;
    words::terms(name, |term, _| {
        let hash = words::hash(term);
        if let Ok(at) = terms.binary_search_by_key(&hash, |term| term.hash)
            && at < 64
        {
            bits |= 1 << at;
        }
    });
    bits
}

fn add_matches(counts: &mut [f64], bits: u64, value: f64) {
    if bits == 0 {
        return;
    }
    for (at, count) in counts.iter_mut().enumerate().take(64) {
        if bits >> at & 1 == 1 {
            *count += value;
        }
    }
}

/// Terms in the names of the chunk's symbol and of those around it.
fn names_of(chunk: &Chunk, facts: &FileFacts, in_names: &[u64]) -> u64 {
    let mut bits = 0;
    let mut symbol = chunk.symbol;
    while let Some(at) = symbol {
        bits |= in_names.get(at).copied().unwrap_or_default();
        symbol = facts.symbols.get(at).and_then(|symbol| symbol.parent).filter(|parent| *parent < at);
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_code_or_a_path_is_noticed() {
        let wording = Wording::of("fix(ssr): `render` loses useState in src/Store.ts, see MAX_ITEMS and e.g. v1.2.");
        let symbols: Vec<&str> = wording.symbols.iter().map(String::as_str).collect();
        assert_eq!(symbols, ["MAX_ITEMS", "render", "useState"]);
        assert!(wording.names_path(&RelPath::new("src/Store.ts").unwrap()));
        assert!(wording.names_path(&RelPath::new("app/src/store.ts").unwrap()));
        assert!(!wording.names_path(&RelPath::new("src/other-store.ts").unwrap()));
    }
}
