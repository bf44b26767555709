//! Words of what was found: pseudo-relevance feedback and references, by the terms that chunks share.
//!
//! The best chunks say more about the place than the task does. Their rarest terms make a second question, and the
//! names they use or declare lead to what they call and who calls them.

use super::corpus::Corpus;
use super::lexical::{Lexical, idf, saturated};
use std::collections::HashMap;

/// File, chunk, count.
type Posting = (u32, u32, u32);

/// A chunk that speaks for the rest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    pub file: usize,
    pub chunk: usize,
    pub weight: f64,
}

/// How many terms are tried, and how many of them make the question.
const TRIED: usize = 60;
const KEPT: usize = 32;

/// How often each source holds a term.
pub(super) struct Vocabulary {
    /// By hash: which sources hold it, as bits, and the sum of their weights. Only looked up.
    terms: HashMap<u32, (u32, f64)>,
}

impl Vocabulary {
    /// At most 32 sources.
    pub fn of(sources: &[Source], corpus: &Corpus<'_>) -> Self {
        let mut terms: HashMap<u32, (u32, f64)> = HashMap::new();
        let mut files: Vec<usize> = sources.iter().map(|source| source.file).collect();
        files.sort_unstable();
        files.dedup();
        for file in files {
            let mut by_chunk: Vec<Option<usize>> = vec![None; corpus.chunks(file)];
            for (at, source) in sources.iter().enumerate().take(32).filter(|(_, source)| source.file == file) {
                by_chunk[source.chunk] = Some(at);
            }
            corpus.terms(file, |hash, chunk, count| {
                if let Some(at) = by_chunk.get(chunk).copied().flatten() {
                    let entry = terms.entry(hash).or_default();
                    entry.0 |= 1 << at;
                    entry.1 += sources[at].weight * saturated(f64::from(count), 1.5);
                }
            });
        }
        Self { terms }
    }

    /// Which sources hold a term.
    pub fn holders(&self, hash: u32) -> u32 {
        self.terms.get(&hash).map_or(0, |(bits, _)| *bits)
    }

    /// The heaviest terms; not those of the task.
    fn heaviest(&self, known: &[u32]) -> Vec<(u32, f64)> {
        let mut all: Vec<(u32, f64)> = self
            .terms
            .iter()
            .filter(|(hash, _)| known.binary_search(hash).is_err())
            .map(|(hash, (_, weight))| (*hash, *weight))
            .collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        all.truncate(TRIED * 4);
        all
    }
}

/// By candidate and chunk, how well it answers the second question. `known` are the task's terms, sorted.
pub(super) fn feedback(
    vocabulary: &Vocabulary,
    known: &[u32],
    files: &[usize],
    corpus: &Corpus<'_>,
    lexical: &Lexical,
) -> Vec<Vec<f64>> {
    let mut scores: Vec<Vec<f64>> = files.iter().map(|file| vec![0.0; corpus.chunks(*file)]).collect();
    let chunks: f64 = files.iter().map(|file| corpus.chunks(*file) as f64).sum();
    let mut tried: Vec<(f64, Vec<Posting>)> = Vec::new();
    // The frequency in every eighth candidate tells common terms from rare ones before all are searched.
    let heaviest = vocabulary.heaviest(known);
    let mut guessed: Vec<(u32, f64, f64)> = heaviest
        .into_iter()
        .map(|(hash, weight)| {
            let mut sample = 0.0;
            for file in files.iter().step_by(8) {
                corpus.postings(*file, hash, |_, _| sample += 1.0);
            }
            (hash, weight, weight * idf(sample * 8.0, chunks))
        })
        .collect();
    guessed.sort_by(|a, b| b.2.total_cmp(&a.2).then(a.0.cmp(&b.0)));
    for (hash, weight, _) in guessed.into_iter().take(TRIED) {
        let mut found = Vec::new();
        for (at, file) in files.iter().enumerate() {
            corpus.postings(*file, hash, |chunk, count| found.push((at as u32, chunk as u32, count)));
        }
        tried.push((weight * idf(found.len() as f64, chunks), found));
    }
    // Stable: ties stay in the order of their hashes' weights.
    tried.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (weight, found) in tried.into_iter().take(KEPT) {
        for (at, chunk, count) in found {
            let (at, chunk) = (at as usize, chunk as usize);
            let norm = lexical.norm(corpus.length(files[at], chunk));
            scores[at][chunk] += weight * saturated(f64::from(count), norm);
        }
    }
    scores
}
