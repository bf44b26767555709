//! What the task's words and the graph say about files: enough of every file to choose candidates.

use super::corpus::Corpus;
use super::lexical::{Lexical, Wording, saturated};
use crate::path::RelPath;
use std::ops::Range;

/// By file, what its hits come to.
pub(super) struct FileScores {
    /// Places of the file's hits in [`Lexical::hits`].
    pub hits: Vec<Range<usize>>,
    pub best: Vec<f64>,
    pub second: Vec<f64>,
    pub top4: Vec<f64>,
    pub subject: Vec<f64>,
    /// BM25 of the file as one document.
    pub whole: Vec<f64>,
    /// Share of the task's weight that occurs in the file, and in its best chunk.
    pub coverage: Vec<f64>,
    /// Path, as a share of the task's weight.
    pub path: Vec<f64>,
    /// The best of all files.
    pub global: f64,
}

/// Generated files, and tests unless the task is about tests, have to be better to be as good.
const GENERATED: f64 = 0.2;
const TEST: f64 = 0.6;

impl FileScores {
    pub fn of(wording: &Wording, lexical: &Lexical, corpus: &Corpus<'_>) -> Self {
        let count = corpus.len();
        let mut scores = Self {
            hits: vec![0..0; count],
            best: vec![0.0; count],
            second: vec![0.0; count],
            top4: vec![0.0; count],
            subject: vec![0.0; count],
            whole: vec![0.0; count],
            coverage: vec![0.0; count],
            path: vec![0.0; count],
            global: f64::MIN_POSITIVE,
        };
        let weights: Vec<f64> = wording.terms.iter().zip(&lexical.idf).map(|(term, idf)| term.weight * idf).collect();
        let total: f64 = weights.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let average = average_length(corpus);
        let mut start = 0;
        let mut counts = vec![0.0; weights.len()];
        for of_file in lexical.hits.chunk_by(|a, b| a.file == b.file) {
            let file = of_file[0].file;
            scores.hits[file] = start..start + of_file.len();
            start += of_file.len();
            scores.add_hits(file, of_file);
            counts.fill(0.0);
            for hit in of_file {
                for (term, count) in lexical.pairs_of(hit) {
                    counts[usize::from(*term)] += f64::from(*count);
                }
            }
            let norm = 1.2 * (0.4 + 0.6 * corpus.total_length(file) as f64 / average);
            scores.whole[file] = counts.iter().zip(&weights).map(|(n, weight)| weight * saturated(*n, norm)).sum();
            let covered = counts.iter().zip(&weights).filter(|(n, _)| **n > 0.0);
            scores.coverage[file] = covered.map(|(_, weight)| weight).sum::<f64>() / total;
        }
        let path_total: f64 =
            wording.terms.iter().zip(&lexical.path_idf).map(|(term, idf)| term.weight * idf).sum::<f64>().max(1e-9);
        for file in 0..count {
            scores.path[file] = path_weight(wording, lexical, lexical.in_path[file]) / path_total;
        }
        scores.global = scores.best.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        scores
    }

    fn add_hits(&mut self, file: usize, hits: &[super::lexical::Hit]) {
        let mut all: Vec<f64> = hits.iter().map(|hit| hit.score).collect();
        all.sort_unstable_by(|a, b| b.total_cmp(a));
        self.best[file] = all[0];
        self.second[file] = all.get(1).copied().unwrap_or_default();
        self.top4[file] = all.iter().take(4).sum();
        self.subject[file] = hits.iter().map(|hit| hit.subject).fold(0.0, f64::max);
    }

    /// The files worth a closer look, sorted: the best by words, what is near them, what is near the focus, and what is
    /// known to matter.
    pub fn candidates(
        &self,
        wording: &Wording,
        corpus: &Corpus<'_>,
        focus: Option<usize>,
        known: impl Iterator<Item = usize>,
    ) -> Vec<usize> {
        let mut scored: Vec<(usize, f64)> = (0..corpus.len())
            .map(|file| (file, self.rough(file, wording, corpus)))
            .filter(|(_, score)| *score > 0.0)
            .collect();
        let better = |a: &(usize, f64), b: &(usize, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if scored.len() > BEST {
            scored.select_nth_unstable_by(BEST, better);
            scored.truncate(BEST);
        }
        scored.sort_unstable_by(better);
        let mut chosen: Vec<usize> = scored.iter().take(BEST).map(|(file, _)| *file).chain(known).collect();
        for (file, _) in scored.iter().take(SPREAD_FROM) {
            chosen.extend(corpus.imports(*file).take(SPREAD));
            chosen.extend(corpus.importers(*file).take(SPREAD));
        }
        if let Some(focus) = focus {
            chosen.push(focus);
            self.extend(&mut chosen, corpus.imports(focus).collect(), NEAR_FOCUS);
            self.extend(&mut chosen, corpus.importers(focus).collect(), NEAR_FOCUS);
            self.extend(&mut chosen, corpus.beside(focus).to_vec(), NEAR_FOCUS);
        }
        chosen.sort_unstable();
        chosen.dedup();
        chosen
    }

    /// The best `count` of some files.
    fn extend(&self, chosen: &mut Vec<usize>, mut files: Vec<usize>, count: usize) {
        files.sort_by(|a, b| self.best[*b].total_cmp(&self.best[*a]).then(a.cmp(b)));
        chosen.extend(files.into_iter().take(count));
    }

    /// A first guess, by words alone.
    fn rough(&self, file: usize, wording: &Wording, corpus: &Corpus<'_>) -> f64 {
        let path = corpus.path(file);
        let words = (self.best[file] + 0.15 * self.top4[file]) / self.global;
        let named = if wording.names_path(path) { 2.0 } else { 0.0 };
        (words + 0.5 * self.path[file] + 0.3 * self.coverage[file] + named) * self.damping(file, wording, corpus)
    }

    /// How much less a test or a generated file says.
    pub fn damping(&self, file: usize, wording: &Wording, corpus: &Corpus<'_>) -> f64 {
        let test = if !wording.about_tests && corpus.is_test(file) { TEST } else { 1.0 };
        test * if corpus.is_generated(file) { GENERATED } else { 1.0 }
    }
}

/// How many files are looked at for their words, for being next to how many of the best, and for being near the focus.
const BEST: usize = 240;
const SPREAD_FROM: usize = 6;
const SPREAD: usize = 16;
const NEAR_FOCUS: usize = 40;

fn average_length(corpus: &Corpus<'_>) -> f64 {
    let total: u64 = (0..corpus.len()).map(|file| corpus.total_length(file)).sum();
    (total as f64 / corpus.len().max(1) as f64).max(1.0)
}

/// The weight of the terms in some path or part of it.
pub(super) fn path_weight(wording: &Wording, lexical: &Lexical, bits: u64) -> f64 {
    if bits == 0 {
        return 0.0;
    }
    let terms = wording.terms.iter().zip(&lexical.path_idf).enumerate();
    terms.filter(|(at, _)| bits >> at & 1 == 1).map(|(_, (term, idf))| term.weight * idf).sum()
}

/// The file name up to its first dot: `store` of `store.test.ts`.
pub(super) fn stem(path: &RelPath) -> &str {
    path.file_name().split('.').next().unwrap_or_default()
}

/// Directories of what is beside the product: examples, benchmarks, documentation.
pub(super) fn is_aside(path: &RelPath) -> bool {
    let aside = |part: &str| {
        let part = part.trim_start_matches(['_', '.']);
        ["example", "playground", "bench", "doc", "website", "script", "template", "demo", "fixture", "sandbox", "dev"]
            .iter()
            .any(|name| {
                part.strip_prefix(name).is_some_and(|rest| matches!(rest, "" | "s" | "mark" | "marks" | "-app"))
            })
    };
    path.dir().split('/').any(aside)
}

/// The directory that stands for a package: under `packages/` and the like the next one, else the first.
pub(super) fn package(path: &RelPath) -> &str {
    let text = path.as_str();
    let mut slashes = text.match_indices('/').map(|(at, _)| at);
    let Some(first) = slashes.next() else {
        return "";
    };
    let grouping = ["packages", "packages-private", "apps", "libs", "modules", "plugins", "examples", "integrations"];
    let end = if grouping.contains(&&text[..first]) { slashes.next().unwrap_or(first) } else { first };
    &text[..end]
}
