//! The order in which files and chunks are wanted: what the models make of the columns.

use super::Query;
use super::corpus::Corpus;
use super::evidence::Evidence;
use super::maths::exp;
use super::model::Tuning;
use super::observe::{Candidate, View};
use super::signals::{ChunkSignals, FileSignals};
use crate::graph::{FileFacts, Graph};
use crate::path::RelPath;
use std::sync::Arc;

/// A file that has a reason to be in the pack.
pub(super) struct Ranked<'g> {
    pub path: &'g RelPath,
    pub facts: Arc<FileFacts>,
    /// How likely it is that the task changes it.
    pub score: f64,
    pub reason: &'static str,
    /// Places of its module-level symbols, the most telling first; only of those that may be shown in outline.
    pub symbols: Vec<usize>,
}

/// Everything that could go into the pack, best first.
pub(super) struct Ranking<'g> {
    pub files: Vec<Ranked<'g>>,
    /// (index in `files`, index of the chunk in it, the share of the change it is expected to hold).
    pub chunks: Vec<(usize, usize, f64)>,
}

/// Of so many files the chunks are looked at.
const DEEP: usize = 48;

/// So many files may be shown in outline.
const OUTLINED: usize = 160;

pub(super) fn rank<'g>(query: &Query, graph: &'g Graph, tuning: &Tuning) -> Ranking<'g> {
    let corpus = Corpus::new(graph);
    let evidence = Evidence::of(query, &corpus);
    let view = View::new(query, corpus, evidence.files());
    let order = file_order(&view, &evidence, tuning);
    let chunks = chunk_order(&view, &evidence, tuning, &order[..order.len().min(DEEP)]);
    let files = order.iter().enumerate().map(|(rank, (at, score))| {
        let candidate = &view.candidates[*at];
        Ranked {
            path: view.corpus.path(candidate.file),
            facts: candidate.facts.clone(),
            score: likelihood(*score),
            reason: reason(&candidate.signals),
            symbols: if rank < OUTLINED { view.telling_symbols(*at) } else { Vec::new() },
        }
    });
    Ranking { files: files.collect(), chunks }
}

/// Places of the candidates with their log-odds, best first; the active file is the first.
fn file_order(view: &View<'_>, evidence: &Evidence<'_>, tuning: &Tuning) -> Vec<(usize, f64)> {
    let rows: Vec<Vec<f32>> = view.candidates.iter().map(|candidate| candidate.signals.row()).collect();
    let learned = tuning.files.scores(&rows).into_iter().zip(&view.candidates);
    let score = |(learned, candidate): (f64, &Candidate)| {
        let near = candidate.signals.focus_out.min(candidate.signals.focus_in) <= 1.0;
        learned + evidence.of_file(candidate.file, near)
    };
    let mut order: Vec<(usize, f64)> = learned.map(score).enumerate().collect();
    let is_focus = |at: usize| view.candidates[at].signals.is_focus;
    order.sort_by(|a, b| is_focus(b.0).total_cmp(&is_focus(a.0)).then(b.1.total_cmp(&a.1)).then(a.0.cmp(&b.0)));
    order
}

/// (Place in `files`, number of the chunk, its expected share of the change), best first.
fn chunk_order(
    view: &View<'_>,
    evidence: &Evidence<'_>,
    tuning: &Tuning,
    files: &[(usize, f64)],
) -> Vec<(usize, usize, f64)> {
    let mut chunks: Vec<(usize, usize, f64)> = Vec::new();
    for (file, signals) in view.chunk_signals(files).iter().enumerate() {
        let candidate = &view.candidates[files[file].0];
        let path = view.corpus.path(candidate.file);
        let rows: Vec<Vec<f32>> = signals.iter().map(ChunkSignals::row).collect();
        let learned = tuning.chunks.scores(&rows);
        for (number, (learned, chunk)) in learned.into_iter().zip(&candidate.facts.chunks).enumerate() {
            chunks.push((file, number, exp(learned + evidence.of_chunk(path, chunk)).min(1.0)));
        }
    }
    chunks.sort_by(|a, b| b.2.total_cmp(&a.2).then((a.0, a.1).cmp(&(b.0, b.1))));
    chunks
}

fn likelihood(log_odds: f64) -> f64 {
    1.0 / (1.0 + exp(-log_odds))
}

/// The plainest of the signals that speak for a file.
fn reason(signals: &FileSignals) -> &'static str {
    let is = |value: f32| value > 0.0;
    match signals {
        s if is(s.is_focus) => "it is the active file",
        s if is(s.named_path) => "the task names it",
        s if is(s.declares_named) => "it declares what the task names",
        s if s.best > 0.5 || s.best_rank < 1.7 => "its words match the task",
        s if is(s.has_focus) && s.focus_out == 1.0 => "the active file imports it",
        s if is(s.has_focus) && s.focus_in == 1.0 => "it imports the active file",
        s if is(s.same_stem) => "it is named like the active file",
        s if s.stem_share > 0.5 => "its name matches the task",
        s if s.refs_in > 0.5 => "what matches the task uses it",
        s if s.refs_out > 0.5 => "it uses what matches the task",
        s if is(s.same_directory) => "it is in the directory of the active file",
        s if s.tops_importing + s.tops_imported > 0.0 => "it is next to a match",
        _ => "its words match the task",
    }
}

/// What the models saw of the candidates for a task, to train them on.
pub struct Observation {
    /// By file: its path and its columns. In the graph's order.
    pub files: Vec<(RelPath, Vec<f32>)>,
    /// By chunk of the likeliest files: the place of its file in `files`, its number there and its columns.
    pub chunks: Vec<(usize, usize, Vec<f32>)>,
}

impl Observation {
    /// Names of the columns of files, and of chunks.
    pub const COLUMNS: [&'static [&'static str]; 2] = [FileSignals::NAMES, ChunkSignals::NAMES];

    pub fn of(query: &Query, graph: &Graph, tuning: &Tuning) -> Self {
        let corpus = Corpus::new(graph);
        let evidence = Evidence::of(query, &corpus);
        let view = View::new(query, corpus, evidence.files());
        let order = file_order(&view, &evidence, tuning);
        let deep = &order[..order.len().min(DEEP)];
        let mut chunks = Vec::new();
        for ((file, _), signals) in deep.iter().zip(view.chunk_signals(deep)) {
            chunks.extend(signals.iter().enumerate().map(|(chunk, signals)| (*file, chunk, signals.row())));
        }
        let row = |candidate: &Candidate| (view.corpus.path(candidate.file).clone(), candidate.signals.row());
        Self { files: view.candidates.iter().map(row).collect(), chunks }
    }
}
