//! The order in which chunks and files are wanted: words, graph and mentions, fused.

use super::lexical::{self, OfFile, Place, Wording};
use super::{Query, Reach};
use crate::graph::{FileFacts, Graph, SymbolKind};
use crate::path::RelPath;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A file that has a reason to be in the pack.
pub(super) struct Ranked<'g> {
    pub path: &'g RelPath,
    pub facts: Arc<FileFacts>,
    pub score: f64,
    pub reason: &'static str,
}

/// Everything that could go into the pack, best first.
pub(super) struct Ranking<'g> {
    pub files: Vec<Ranked<'g>>,
    /// (index in `files`, index of the chunk in it, score).
    pub chunks: Vec<(usize, usize, f64)>,
}

/// How much a file's relation to the focus counts, on a scale where the best lexical match is 1.
const FOCUS: f64 = 1.0;
const IMPORTED: f64 = 0.30;
const IMPORTER: f64 = 0.20;
const TEST_OF: f64 = 0.20;
const SAME_DIRECTORY: f64 = 0.08;

/// What the words find makes its neighbours likelier: this share of the best files' scores.
const SPREAD: f64 = 0.10;
/// From so many files.
const SPREAD_FROM: usize = 8;

/// The task says it.
const NAMED_PATH: f64 = 0.9;
const NAMED_SYMBOL: f64 = 0.6;

/// How much a chunk takes from the rank of its file.
const FILE_SHARE: f64 = 0.3;

/// The second and third best chunks of a file also speak for it.
const DEPTH: [f64; 4] = [1.0, 0.35, 0.2, 0.1];

/// Nobody edits what is made by a program.
const GENERATED: f64 = 0.2;
/// The task is about the code unless it says tests.
const TEST_FILE: f64 = 0.75;

pub(super) fn rank<'g>(query: &Query, graph: &'g Graph) -> Ranking<'g> {
    let files: Vec<OfFile<'_>> = graph
        .files()
        .iter()
        .map(|(path, file)| OfFile { path, facts: file.facts(), lexicon: file.lexicon() })
        .collect();
    let numbers: BTreeMap<&RelPath, usize> = files.iter().enumerate().map(|(at, file)| (file.path, at)).collect();
    let wording = Wording::of(&query.intent);
    let mut hits = lexical::score(&wording, &files);
    damp(&mut hits, &files, query);
    let best = hits.iter().map(|(_, score)| *score).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    for (_, score) in &mut hits {
        *score /= best;
    }
    let mut scores = Scores::new(files.len());
    scores.add_words(&hits);
    scores.add_mentions(&wording, &files);
    scores.spread(&files, graph, &numbers);
    if let Some(focus) = &query.focus {
        scores.add_focus(&focus.path, query.reach, &files, graph, &numbers);
    }
    fuse(scores, hits, &files, &wording)
}

/// Generated files, and tests unless the task is about tests, have to be better to be as good.
fn damp(hits: &mut [(Place, f64)], files: &[OfFile<'_>], query: &Query) {
    let about_tests = query.intent.to_lowercase().contains("test");
    let factors: Vec<f64> = files
        .iter()
        .map(|OfFile { path, facts, .. }| {
            let test = if !about_tests && is_test(path) { TEST_FILE } else { 1.0 };
            let generated = if facts.generated { GENERATED } else { 1.0 };
            test * generated
        })
        .collect();
    for ((file, _), score) in hits {
        *score *= factors[*file];
    }
}

/// Scores and reasons by file.
struct Scores {
    score: Vec<f64>,
    reason: Vec<&'static str>,
}

impl Scores {
    fn new(files: usize) -> Self {
        Self { score: vec![0.0; files], reason: vec![""; files] }
    }

    /// The strongest reason is the one given.
    fn add(&mut self, file: usize, score: f64, reason: &'static str) {
        if score > self.score[file] || self.reason[file].is_empty() {
            self.reason[file] = reason;
        }
        self.score[file] += score;
    }

    fn add_words(&mut self, hits: &[(Place, f64)]) {
        for of_file in hits.chunk_by(|((a, _), _), ((b, _), _)| a == b) {
            let mut scores: Vec<f64> = of_file.iter().map(|(_, score)| *score).collect();
            scores.sort_by(|a, b| b.total_cmp(a));
            let total: f64 = scores.iter().zip(DEPTH).map(|(score, share)| score * share).sum();
            self.add(of_file[0].0.0, total, "its words match the task");
        }
    }

    fn add_mentions(&mut self, wording: &Wording, files: &[OfFile<'_>]) {
        for (at, OfFile { path, facts, .. }) in files.iter().enumerate() {
            if wording.names_path(path) {
                self.add(at, NAMED_PATH, "the task names it");
            }
            let declares = facts.symbols.iter().any(|symbol| is_named(&symbol.name, symbol.kind, wording));
            if declares {
                self.add(at, NAMED_SYMBOL / 2.0, "it declares what the task names");
            }
        }
    }

    /// The neighbours of the best files.
    fn spread(&mut self, files: &[OfFile<'_>], graph: &Graph, numbers: &BTreeMap<&RelPath, usize>) {
        let mut order: Vec<usize> = (0..files.len()).filter(|at| self.score[*at] > 0.0).collect();
        order.sort_by(|a, b| by_score(self.score[*a], self.score[*b]).then(a.cmp(b)));
        order.truncate(SPREAD_FROM);
        let from: Vec<(usize, f64)> = order.into_iter().map(|at| (at, self.score[at])).collect();
        for (at, score) in from {
            let path = files[at].path;
            let near = graph.imports(path).iter().chain(graph.importers(path));
            let near: Vec<usize> = near.filter_map(|path| numbers.get(path).copied()).collect();
            let share = SPREAD * score / (1.0 + near.len() as f64 / 10.0);
            for neighbour in near {
                self.add(neighbour, share, "it is next to a match");
            }
        }
    }

    fn add_focus(
        &mut self,
        focus: &RelPath,
        reach: Reach,
        files: &[OfFile<'_>],
        graph: &Graph,
        numbers: &BTreeMap<&RelPath, usize>,
    ) {
        let far = match reach {
            Reach::Narrow => 1.5,
            Reach::Normal => 1.0,
            Reach::Broad => 0.6,
        };
        let mut add = |path: &RelPath, score: f64, reason| {
            if let Some(at) = numbers.get(path) {
                self.add(*at, score, reason);
            }
        };
        add(focus, FOCUS * 4.0, "it is the active file");
        let imports = graph.imports(focus);
        let importers = graph.importers(focus);
        for path in imports {
            add(path, IMPORTED * far / crowd(imports.len()), "the active file imports it");
        }
        for path in importers {
            add(path, IMPORTER * far / crowd(importers.len()), "it imports the active file");
        }
        for OfFile { path, .. } in files {
            if *path != focus && stem(path) == stem(focus) {
                add(path, TEST_OF * far, "it tests the active file, or is tested by it");
            } else if path.dir() == focus.dir() && *path != focus {
                add(path, SAME_DIRECTORY * far, "it is in the directory of the active file");
            }
        }
    }
}

/// One of many neighbours says less than one of few.
fn crowd(count: usize) -> f64 {
    (count as f64 / 12.0).max(1.0).sqrt()
}

fn is_named(name: &str, kind: SymbolKind, wording: &Wording) -> bool {
    !matches!(kind, SymbolKind::Property) && wording.symbols.contains(name)
}

/// Fuses the scores of chunks and files, and sorts both.
fn fuse<'g>(scores: Scores, hits: Vec<(Place, f64)>, files: &[OfFile<'g>], wording: &Wording) -> Ranking<'g> {
    let mut order: Vec<usize> = (0..files.len()).filter(|at| scores.score[*at] > 0.0).collect();
    order.sort_by(|a, b| by_score(scores.score[*a], scores.score[*b]).then(a.cmp(b)));
    let lexical: BTreeMap<Place, f64> = hits.into_iter().collect();
    let mut ranking = Ranking { files: Vec::with_capacity(order.len()), chunks: Vec::new() };
    for at in order {
        let OfFile { path, facts, .. } = &files[at];
        let number = ranking.files.len();
        for (chunk_number, chunk) in facts.chunks.iter().enumerate() {
            let words = lexical.get(&(at, chunk_number)).copied().unwrap_or_default();
            let named = chunk
                .symbol
                .and_then(|symbol| facts.symbols.get(symbol))
                .is_some_and(|symbol| is_named(&symbol.name, symbol.kind, wording));
            let mention = if named { NAMED_SYMBOL } else { 0.0 };
            let score = words + mention + FILE_SHARE * scores.score[at];
            ranking.chunks.push((number, chunk_number, score));
        }
        ranking.files.push(Ranked { path, facts: facts.clone(), score: scores.score[at], reason: scores.reason[at] });
    }
    ranking.chunks.sort_by(|a, b| by_score(a.2, b.2).then((a.0, a.1).cmp(&(b.0, b.1))));
    ranking
}

fn by_score(a: f64, b: f64) -> Ordering {
    b.total_cmp(&a)
}

/// The file name up to its first dot: `store` of `store.test.ts`.
fn stem(path: &RelPath) -> &str {
    path.file_name().split('.').next().unwrap_or_default()
}

/// Whether the path is a test's, by the usual names.
pub(super) fn is_test(path: &RelPath) -> bool {
    let in_name = path.file_name().split(['.', '-', '_']).any(|part| matches!(part, "test" | "tests" | "spec" | "e2e"));
    in_name
        || path
            .dir()
            .split('/')
            .any(|part| matches!(part, "test" | "tests" | "__tests__" | "__mocks__" | "e2e" | "spec" | "cypress"))
}
