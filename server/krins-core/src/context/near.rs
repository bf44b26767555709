//! Nearness: walks along imports, identifiers in common, and names that are alike.

use super::corpus::Corpus;
use super::files::FileScores;
use super::maths::ln;
use super::observe::Candidate;
use crate::graph::words;

/// Nearness of candidates to what the words found, and to the active file, each a share of the best.
pub(super) struct Near {
    /// Along imports in both directions, from the words' best files and from the active file.
    pub walk: Vec<f64>,
    pub focus_walk: Vec<f64>,
    /// By rare identifiers in common with the best file, and with the active file.
    pub identifiers: Vec<f64>,
    pub focus_identifiers: Vec<f64>,
}

impl Near {
    pub fn of(candidates: &[Candidate], scores: &FileScores, corpus: &Corpus<'_>, focus: Option<usize>) -> Self {
        let mut places: Vec<Option<usize>> = vec![None; corpus.len()];
        for (at, candidate) in candidates.iter().enumerate() {
            places[candidate.file] = Some(at);
        }
        let place = |file: usize| places[file];
        let edges: Vec<Vec<usize>> = candidates
            .iter()
            .map(|candidate| {
                let mut near: Vec<usize> =
                    corpus.imports(candidate.file).chain(corpus.importers(candidate.file)).filter_map(place).collect();
                near.sort_unstable();
                near.dedup();
                near
            })
            .collect();
        let seeds = candidates.iter().map(|candidate| (scores.best[candidate.file] / scores.global).powi(3)).collect();
        let focus = focus.and_then(place);
        let focus_seeds = (0..candidates.len()).map(|at| if focus == Some(at) { 1.0 } else { 0.0 }).collect();
        let best = (0..candidates.len()).max_by(|a, b| {
            let score = |at: usize| scores.best[candidates[at].file];
            score(*a).total_cmp(&score(*b)).then(b.cmp(a))
        });
        Self {
            walk: walk(seeds, &edges),
            focus_walk: walk(focus_seeds, &edges),
            identifiers: in_common(candidates, best),
            focus_identifiers: in_common(candidates, focus),
        }
    }
}

/// Personalised PageRank, a few steps of it.
fn walk(seeds: Vec<f64>, edges: &[Vec<usize>]) -> Vec<f64> {
    let total = seeds.iter().sum::<f64>().max(1e-9);
    let seeds: Vec<f64> = seeds.into_iter().map(|seed| seed / total).collect();
    let mut now = seeds.clone();
    for _ in 0..4 {
        let mut next: Vec<f64> = seeds.iter().map(|seed| seed * 0.4).collect();
        for (at, near) in edges.iter().enumerate() {
            let share = 0.6 * now[at] / near.len().max(1) as f64;
            for other in near {
                next[*other] += share;
            }
        }
        now = next;
    }
    let best = now.iter().copied().fold(1e-9, f64::max);
    now.into_iter().map(|value| value / best).collect()
}

/// How many identifiers each candidate shares with one of them, the rare ones counting for more.
fn in_common(candidates: &[Candidate], with: Option<usize>) -> Vec<f64> {
    let Some(with) = with else {
        return vec![0.0; candidates.len()];
    };
    let own = &candidates[with].facts.identifiers;
    let mut frequency = vec![0.0; own.len()];
    let shared: Vec<Vec<usize>> = candidates
        .iter()
        .map(|candidate| {
            let shared: Vec<usize> =
                candidate.facts.identifiers.iter().filter_map(|hash| own.binary_search(hash).ok()).collect();
            for at in &shared {
                frequency[*at] += 1.0;
            }
            shared
        })
        .collect();
    let all = candidates.len() as f64;
    let rarity: Vec<f64> = frequency.iter().map(|frequency| (ln(all / f64::max(*frequency, 1.0))).max(0.0)).collect();
    let mut values: Vec<f64> = candidates
        .iter()
        .zip(shared)
        .map(|(candidate, shared)| {
            let weight: f64 = shared.into_iter().map(|at| rarity[at]).sum();
            weight / (candidate.facts.identifiers.len() as f64 + 20.0).sqrt()
        })
        .collect();
    values[with] = 0.0;
    let best = values.iter().copied().fold(1e-9, f64::max);
    values.iter_mut().for_each(|value| *value /= best);
    values
}

/// The words of a file's name, sorted.
pub(super) fn stem_parts(stem: &str) -> Vec<u32> {
    let mut parts = Vec::new();
    words::terms(stem, |term, whole| {
        if !whole {
            parts.push(words::hash(term));
        }
    });
    parts.sort_unstable();
    parts.dedup();
    parts
}

/// The share of parts that two names have in common.
pub(super) fn likeness(a: &[u32], b: &[u32]) -> f64 {
    let common = a.iter().filter(|part| b.binary_search(part).is_ok()).count();
    common as f64 / (a.len() + b.len() - common).max(1) as f64
}
