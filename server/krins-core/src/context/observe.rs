//! From a task and a graph to the columns of every candidate file and chunk.

use super::Query;
use super::corpus::Corpus;
use super::expand::{Source, Vocabulary, feedback};
use super::files::{FileScores, is_aside, package, path_weight, stem};
use super::lexical::{Form, Lexical, Wording, matches_in};
use super::maths::ln;
use super::near::{Near, likeness, stem_parts};
use super::signals::{ChunkSignals, FileSignals};
use crate::graph::{Chunk, FileFacts, SymbolKind, words};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The distance to an active file that there is not.
const UNRELATED: f32 = 9.0;

/// How many chunks speak for the rest: of all candidates, and of the active file.
const SOURCES: usize = 12;
const FOCUS_SOURCES: usize = 8;

/// A file that is looked at closely.
pub(super) struct Candidate {
    pub file: usize,
    pub facts: Arc<FileFacts>,
    pub chunks: Vec<ChunkWords>,
    pub signals: FileSignals,
    /// Which terms are in each symbol's name, as bits.
    names: Vec<u64>,
}

/// What the task's words say of one chunk.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ChunkWords {
    /// Place in [`Lexical::hits`].
    hit: Option<usize>,
    pub score: f64,
    own: u64,
    outer: u64,
}

/// Everything the models ask about.
pub(super) struct View<'g> {
    pub corpus: Corpus<'g>,
    pub wording: Wording,
    lexical: Lexical,
    scores: FileScores,
    pub focus: Option<usize>,
    /// In the order of the corpus.
    pub candidates: Vec<Candidate>,
    /// The best chunk's score.
    best: f64,
    sources: Vec<Source>,
    focus_sources: Vec<Source>,
    vocabulary: Vocabulary,
    focus_vocabulary: Vocabulary,
    feedback: Vec<Vec<f64>>,
    focus_feedback: Vec<Vec<f64>>,
    /// What the sources call or are called by, by candidate and chunk.
    references: Vec<Vec<References>>,
    near: Near,
    worked_out: WorkedOut,
}

/// What would be the same for every candidate.
#[derive(Default)]
struct WorkedOut {
    /// What a chunk would score if it held every term.
    possible: f64,
    /// The weight of all terms, and the rarity of the rarest; without joined ones.
    all: f64,
    rarest: f64,
    /// Files of the sources, sorted.
    tops: Vec<usize>,
    /// By source, the words of its file's name.
    source_stems: Vec<Vec<u32>>,
    focus_stem: Vec<u32>,
}

/// How strongly a chunk is tied to the sources by names.
#[derive(Clone, Copy, Debug, Default)]
struct References {
    /// Sources that hold the chunk's name; those among them whose file can see it.
    inward: f64,
    inward_linked: f64,
    /// Names of sources that the chunk holds.
    outward: f64,
    outward_linked: f64,
    focus_inward: f64,
    focus_outward: f64,
}

impl<'g> View<'g> {
    /// `known` are files that matter whatever they hold.
    pub fn new(query: &Query, corpus: Corpus<'g>, known: impl Iterator<Item = usize>) -> Self {
        let wording = Wording::of(&query.intent);
        let lexical = Lexical::of(&wording, &corpus);
        let scores = FileScores::of(&wording, &lexical, &corpus);
        let focus = query.focus.as_ref().and_then(|focus| corpus.number(&focus.path));
        let files = scores.candidates(&wording, &corpus, focus, known);
        let candidates: Vec<Candidate> =
            files.iter().map(|file| candidate(*file, &wording, &lexical, &scores, &corpus)).collect();
        let sources = best_chunks(&candidates, &wording, &scores, &corpus, SOURCES);
        let focus_sources = focus.map_or_else(Vec::new, |focus| {
            let at = candidates.partition_point(|candidate| candidate.file < focus);
            focus_chunks(&candidates[at])
        });
        let known: Vec<u32> = wording.terms.iter().map(|term| term.hash).collect();
        let vocabulary = Vocabulary::of(&sources, &corpus);
        let focus_vocabulary = Vocabulary::of(&focus_sources, &corpus);
        let all_chunks = candidates.iter().flat_map(|candidate| &candidate.chunks);
        let best = all_chunks.map(|chunk| chunk.score).fold(f64::MIN_POSITIVE, f64::max);
        let mut view = Self {
            feedback: shares(feedback(&vocabulary, &known, &files, &corpus, &lexical)),
            focus_feedback: shares(feedback(&focus_vocabulary, &known, &files, &corpus, &lexical)),
            references: Vec::new(),
            worked_out: WorkedOut::default(),
            near: Near::of(&candidates, &scores, &corpus, focus),
            corpus,
            wording,
            lexical,
            scores,
            focus,
            candidates,
            best,
            sources,
            focus_sources,
            vocabulary,
            focus_vocabulary,
        };
        view.references = view.references();
        view.worked_out = view.work_out();
        view.describe_files();
        view
    }

    fn work_out(&self) -> WorkedOut {
        let weights = self.wording.terms.iter().zip(&self.lexical.idf).filter(|(term, _)| term.form != Form::Joined);
        let (mut all, mut rarest) = (1e-9, 1e-9);
        for (term, idf) in weights.clone() {
            all += term.weight * idf;
            rarest = f64::max(rarest, *idf);
        }
        let mut tops: Vec<usize> = self.sources.iter().map(|source| source.file).collect();
        tops.sort_unstable();
        tops.dedup();
        let parts = |file: usize| stem_parts(stem(self.corpus.path(file)));
        WorkedOut {
            possible: weights.map(|(term, idf)| term.weight * idf * 2.2).sum::<f64>().max(1e-9),
            all,
            rarest,
            tops,
            source_stems: self.sources.iter().map(|source| parts(source.file)).collect(),
            focus_stem: self.focus.map_or_else(Vec::new, parts),
        }
    }

    fn at(&self, file: usize) -> Option<usize> {
        self.candidates.binary_search_by_key(&file, |candidate| candidate.file).ok()
    }

    /// Ties by name between the sources and every candidate's chunks.
    fn references(&self) -> Vec<Vec<References>> {
        let mut all: Vec<Vec<References>> =
            self.candidates.iter().map(|candidate| vec![References::default(); candidate.chunks.len()]).collect();
        let links = |sources: &[Source]| sources.iter().map(|source| Link::of(source.file, &self.corpus)).collect();
        let near: Vec<Link> = links(&self.sources);
        let focus_near: Vec<Link> = links(&self.focus_sources);
        for (at, candidate) in self.candidates.iter().enumerate() {
            for (number, chunk) in candidate.facts.chunks.iter().enumerate() {
                if let Some(name) = name_hash(chunk, &candidate.facts) {
                    let to = &mut all[at][number];
                    let own = |source: &Source| source.file == candidate.file && source.chunk == number;
                    for (source, link) in held(&self.vocabulary, name, &self.sources, &near) {
                        if !own(source) {
                            to.inward += source.weight;
                            to.inward_linked += if link.sees(candidate.file) { source.weight } else { 0.0 };
                        }
                    }
                    for (source, link) in held(&self.focus_vocabulary, name, &self.focus_sources, &focus_near) {
                        if !own(source) && link.sees(candidate.file) {
                            to.focus_inward += source.weight;
                        }
                    }
                }
            }
            let file = candidate.file;
            self.outward(&self.sources, &near, file, |chunk, weight, linked| {
                all[at][chunk].outward += weight;
                all[at][chunk].outward_linked += if linked { weight } else { 0.0 };
            });
            self.outward(&self.focus_sources, &focus_near, file, |chunk, weight, linked| {
                all[at][chunk].focus_outward += if linked { weight } else { 0.0 };
            });
        }
        all
    }

    /// The chunks of a file that hold the names of sources.
    fn outward(&self, sources: &[Source], links: &[Link], file: usize, mut take: impl FnMut(usize, f64, bool)) {
        for (source, link) in sources.iter().zip(links) {
            let Some(at) = self.at(source.file) else { continue };
            let facts = &self.candidates[at].facts;
            if let Some(name) = name_hash(&facts.chunks[source.chunk], facts) {
                let linked = link.seen_by(file);
                self.corpus.postings(file, name, |chunk, _| {
                    if (file, chunk) != (source.file, source.chunk) {
                        take(chunk, source.weight, linked);
                    }
                });
            }
        }
    }

    fn describe_files(&mut self) {
        let mut signals: Vec<FileSignals> = (0..self.candidates.len()).map(|at| self.file_signals(at)).collect();
        let rank = |values: Vec<f64>| ranks(&values);
        let most = signals.iter().map(|signals| signals.feedback).fold(1e-9, f32::max);
        let focus_most = signals.iter().map(|signals| signals.focus_feedback).fold(1e-9, f32::max);
        for signals in &mut signals {
            signals.feedback /= most;
            signals.focus_feedback /= focus_most;
        }
        let best = rank(self.candidates.iter().map(|c| self.scores.best[c.file]).collect());
        let whole = rank(self.candidates.iter().map(|c| self.scores.whole[c.file]).collect());
        let feedback = rank(signals.iter().map(|s| f64::from(s.feedback)).collect());
        let focus_feedback = rank(signals.iter().map(|s| f64::from(s.focus_feedback)).collect());
        let walk = rank(self.near.walk.clone());
        let focus_walk = rank(self.near.focus_walk.clone());
        for (at, signals) in signals.iter_mut().enumerate() {
            signals.walk_rank = walk[at];
            signals.focus_walk_rank = focus_walk[at];
            signals.best_rank = best[at];
            signals.file_rank = whole[at];
            signals.feedback_rank = feedback[at];
            signals.focus_feedback_rank = focus_feedback[at];
        }
        for (candidate, signals) in self.candidates.iter_mut().zip(signals) {
            candidate.signals = signals;
        }
    }

    fn file_signals(&self, at: usize) -> FileSignals {
        let mut signals = FileSignals::default();
        self.add_words(at, &mut signals);
        self.add_path(at, &mut signals);
        self.add_names(at, &mut signals);
        self.add_neighbours(at, &mut signals);
        self.add_focus(at, &mut signals);
        self.add_feedback(at, &mut signals);
        self.add_nature(at, &mut signals);
        signals
    }

    fn share(&self, score: f64) -> f32 {
        (score / self.scores.global) as f32
    }

    /// What a chunk would score if it held every term.
    fn possible(&self) -> f64 {
        self.worked_out.possible
    }

    fn add_words(&self, at: usize, signals: &mut FileSignals) {
        let candidate = &self.candidates[at];
        let file = candidate.file;
        signals.best = self.share(self.scores.best[file]);
        signals.second = self.share(self.scores.second[file]);
        signals.top4 = self.share(self.scores.top4[file]);
        signals.subject_best = self.share(self.scores.subject[file]);
        signals.file_bm25 = self.share(self.scores.whole[file]);
        signals.strength = (self.scores.best[file] / self.possible()) as f32;
        signals.coverage = self.scores.coverage[file] as f32;
        signals.hits = log(self.scores.hits[file].len());
        for chunk in &candidate.chunks {
            let Words { coverage, compound, rarest, .. } = self.words_of(chunk);
            signals.chunk_coverage = signals.chunk_coverage.max(coverage);
            signals.compound = signals.compound.max(compound);
            signals.rarest = signals.rarest.max(rarest);
        }
    }

    fn words_of(&self, chunk: &ChunkWords) -> Words {
        let Some(hit) = chunk.hit else {
            return Words::default();
        };
        let mut words = Words::default();
        let (mut held, mut compound) = (0.0, 0.0);
        let mut top: f64 = 0.0;
        for (at, _) in self.lexical.pairs_of(&self.lexical.hits[hit]) {
            let (term, idf) = (&self.wording.terms[usize::from(*at)], self.lexical.idf[usize::from(*at)]);
            words.terms += 1.0;
            match term.form {
                Form::Stem => held += term.weight * idf,
                Form::Whole => {
                    held += term.weight * idf;
                    compound += idf;
                }
                Form::Joined => compound += idf,
            }
            top = top.max(idf);
        }
        words.coverage = (held / self.worked_out.all) as f32;
        words.compound = (compound / 10.0) as f32;
        words.rarest = (top / self.worked_out.rarest) as f32;
        words
    }

    fn add_path(&self, at: usize, signals: &mut FileSignals) {
        let path = self.corpus.path(self.candidates[at].file);
        let bits = self.lexical.in_path[self.candidates[at].file];
        signals.path_idf = path_weight(&self.wording, &self.lexical, bits) as f32;
        signals.path_share = self.scores.path[self.candidates[at].file] as f32;
        let (bits, share) = self.match_share(stem(path));
        signals.stem_share = share;
        signals.stem_idf = path_weight(&self.wording, &self.lexical, bits) as f32;
        let holds = |text: &str| {
            let mut found: BTreeSet<u32> = BTreeSet::new();
            words::terms(text, |term, _| {
                let hash = words::hash(term);
                if self.wording.scope.binary_search(&hash).is_ok() {
                    found.insert(hash);
                }
            });
            found.len() as f32 / self.wording.scope.len().max(1) as f32
        };
        signals.scope_dir = holds(path.dir());
        signals.scope_stem = holds(stem(path));
        signals.named_path = flag(self.wording.names_path(path));
    }

    /// Which terms a name holds, and the share of its parts that are terms.
    fn match_share(&self, name: &str) -> (u64, f32) {
        let (mut parts, mut found, mut bits) = (0, 0, 0);
        words::terms(name, |term, whole| {
            let at = self.wording.at(words::hash(term));
            bits |= at.map_or(0, |at| 1 << at);
            if !whole {
                parts += 1;
                found += usize::from(at.is_some());
            }
        });
        (bits, found as f32 / parts.max(1) as f32)
    }

    fn name_weight(&self, bits: u64) -> f64 {
        if bits == 0 {
            return 0.0;
        }
        let terms = self.wording.terms.iter().zip(&self.lexical.idf).enumerate();
        terms.filter(|(at, _)| bits >> at & 1 == 1).map(|(_, (term, idf))| term.weight * idf).sum()
    }

    fn add_names(&self, at: usize, signals: &mut FileSignals) {
        let candidate = &self.candidates[at];
        let mut all = 0;
        for (symbol, bits) in candidate.facts.symbols.iter().zip(&candidate.names) {
            if self.is_named(&symbol.name, symbol.kind) {
                signals.declares_named = 1.0;
            }
            if *bits == 0 || all & bits == *bits && signals.name_share >= 1.0 {
                continue;
            }
            all |= bits;
            let (_, share) = self.match_share(&symbol.name);
            signals.name_share = signals.name_share.max(share);
            signals.name_idf = signals.name_idf.max((self.name_weight(*bits) / self.possible()) as f32);
        }
        signals.name_coverage = (self.name_weight(all) / self.possible()) as f32;
        let whole = self.wording.terms.iter().enumerate().filter(|(_, term)| term.form == Form::Whole);
        let held = whole.filter(|(term, _)| self.holds_term(candidate, *term)).count();
        signals.holds_named = held as f32;
    }

    fn holds_term(&self, candidate: &Candidate, term: usize) -> bool {
        let hits = self.scores.hits[candidate.file].clone();
        self.lexical.hits[hits]
            .iter()
            .any(|hit| self.lexical.pairs_of(hit).iter().any(|(at, _)| usize::from(*at) == term))
    }

    fn is_named(&self, name: &str, kind: SymbolKind) -> bool {
        !matches!(kind, SymbolKind::Property) && self.wording.symbols.contains(name)
    }

    fn add_neighbours(&self, at: usize, signals: &mut FileSignals) {
        let file = self.candidates[at].file;
        let (best, sum) = self.best_of(self.corpus.imports(file));
        signals.imports_best = best;
        signals.imports_sum = sum;
        let (best, sum) = self.best_of(self.corpus.importers(file));
        signals.importers_best = best;
        signals.importers_sum = sum;
        let tests = self.corpus.importers(file).filter(|other| self.corpus.is_test(*other));
        signals.tests_best = self.best_of(tests).0;
        signals.walk = self.near.walk[at] as f32;
        signals.identifiers_near = self.near.identifiers[at] as f32;
        let is_top = |other: &usize| *other != file && self.worked_out.tops.binary_search(other).is_ok();
        signals.tops_importing = self.corpus.importers(file).filter(is_top).count() as f32;
        signals.tops_imported = self.corpus.imports(file).filter(is_top).count() as f32;
        let directory = self.corpus.path(file).dir();
        let siblings = self.corpus.siblings(file);
        let (best, sum, count) = siblings.fold((0.0f64, 0.0, 0), |(best, sum, count), other| {
            (best.max(self.scores.best[other]), sum + self.scores.best[other], count + 1)
        });
        signals.directory_best = self.share(best);
        signals.directory_mean = self.share(sum / f64::from(count.max(1)));
        signals.directory_files = log(count as usize);
        let package = package(self.corpus.path(file));
        let own = self.sources.iter().filter(|source| self::package(self.corpus.path(source.file)) == package);
        let all: f64 = self.sources.iter().map(|source| source.weight).sum();
        signals.package_share = (own.map(|source| source.weight).sum::<f64>() / all.max(1e-9)) as f32;
        let own = self.sources.iter().filter(|source| self.corpus.path(source.file).dir() == directory);
        signals.directory_share = (own.map(|source| source.weight).sum::<f64>() / all.max(1e-9)) as f32;
        let others = self.sources.iter().zip(&self.worked_out.source_stems).filter(|(source, _)| source.file != file);
        let parts = stem_parts(stem(self.corpus.path(file)));
        let alike = others.map(|(source, of_source)| source.weight * likeness(&parts, of_source));
        signals.stem_near = alike.fold(0.0, f64::max) as f32;
    }

    /// The best score among some files, and the sum of their scores.
    fn best_of(&self, files: impl Iterator<Item = usize>) -> (f32, f32) {
        let (best, sum) =
            files.map(|file| self.scores.best[file]).fold((0.0f64, 0.0), |(best, sum), s| (best.max(s), sum + s));
        (self.share(best), self.share(sum))
    }

    fn add_focus(&self, at: usize, signals: &mut FileSignals) {
        signals.has_focus = flag(self.focus.is_some());
        let Some(focus) = self.focus else {
            signals.focus_out = UNRELATED;
            signals.focus_in = UNRELATED;
            return;
        };
        let file = self.candidates[at].file;
        let (path, focus_path) = (self.corpus.path(file), self.corpus.path(focus));
        signals.is_focus = flag(file == focus);
        (signals.focus_out, signals.focus_in) = self.distances(file, focus);
        signals.same_directory = flag(path.dir() == focus_path.dir());
        signals.same_package = flag(package(path) == package(focus_path));
        let parts = path.dir().split('/').zip(focus_path.dir().split('/'));
        signals.common_path = parts.take_while(|(a, b)| a == b).count() as f32;
        signals.focus_walk = self.near.focus_walk[at] as f32;
        signals.focus_identifiers = self.near.focus_identifiers[at] as f32;
        signals.focus_stem = likeness(&stem_parts(stem(path)), &self.worked_out.focus_stem) as f32;
        signals.same_stem = flag(stem(path) == stem(focus_path));
        let shared = |a, b| log(in_both(a, b).count());
        signals.shared_importers = shared(self.corpus.importer_numbers(file), self.corpus.importer_numbers(focus));
        signals.shared_imports = shared(self.corpus.import_numbers(file), self.corpus.import_numbers(focus));
        signals.names_taken = log(self.names_taken(focus, file).len());
    }

    /// Names that one file imports from another.
    fn names_taken(&self, from: usize, of: usize) -> Vec<String> {
        let Some(at) = self.at(from) else {
            return Vec::new();
        };
        let imports = self.candidates[at].facts.imports.iter().zip(self.corpus.resolved(from));
        let path = self.corpus.path(of);
        let taken = imports.filter(|(_, target)| target.as_ref() == Some(path));
        taken.flat_map(|(import, _)| import.names.iter().map(|(name, _)| name.clone())).collect()
    }

    /// Steps along imports from the focus to the file, and from the file to the focus: 0, 1, 2, or 3 for more.
    fn distances(&self, file: usize, focus: usize) -> (f32, f32) {
        if file == focus {
            return (0.0, 0.0);
        }
        let steps = |from: usize, to: usize| {
            let (imports, importers) = (self.corpus.import_numbers(from), self.corpus.importer_numbers(to));
            match () {
                () if imports.binary_search(&(to as u32)).is_ok() => 1.0,
                () if in_both(imports, importers).next().is_some() => 2.0,
                () => 3.0,
            }
        };
        (steps(focus, file), steps(file, focus))
    }

    fn add_feedback(&self, at: usize, signals: &mut FileSignals) {
        signals.feedback = top_sum(&self.feedback[at]);
        signals.focus_feedback = top_sum(&self.focus_feedback[at]);
        for references in &self.references[at] {
            signals.refs_in = signals.refs_in.max(references.inward_linked as f32);
            signals.refs_out = signals.refs_out.max(references.outward_linked as f32);
        }
    }

    fn add_nature(&self, at: usize, signals: &mut FileSignals) {
        let candidate = &self.candidates[at];
        let (file, facts) = (candidate.file, &candidate.facts);
        let path = self.corpus.path(file);
        let name = stem(path);
        signals.lines = ln(f64::from(facts.lines) + 1.0) as f32;
        signals.symbols = log(facts.symbols.len());
        signals.exports = log(facts.exports.len());
        signals.imports = log(self.corpus.import_count(file));
        signals.importers = log(self.corpus.importer_count(file));
        signals.depth = path.as_str().matches('/').count() as f32;
        signals.test = flag(self.corpus.is_test(file));
        signals.types = flag(path.as_str().ends_with(".d.ts") || matches!(name, "types" | "type" | "interfaces"));
        signals.index = flag(matches!(name, "index" | "mod" | "main"));
        signals.config = flag(path.file_name().contains("config"));
        signals.generated = flag(facts.generated);
        signals.aside = flag(is_aside(path));
        signals.tsx = flag(path.extension().ends_with('x'));
        signals.script = flag(path.extension().contains('j'));
        signals.task_terms = log(self.wording.terms.len());
        signals.scope_given = flag(!self.wording.scope.is_empty());
        signals.files = log(self.corpus.len());
        signals.about_tests = flag(self.wording.about_tests);
    }

    /// The module-level symbols of a candidate that are likeliest to be meant, best first: by their names, by the words in
    /// their chunks, and those that others can name.
    pub fn telling_symbols(&self, at: usize) -> Vec<usize> {
        let candidate = &self.candidates[at];
        let facts = &candidate.facts;
        let mut text = vec![0.0f64; facts.symbols.len()];
        for (chunk, words) in facts.chunks.iter().zip(&candidate.chunks) {
            if let Some(top) = top_symbol(chunk, facts) {
                text[top] = text[top].max(words.score);
            }
        }
        let mut scored: Vec<(usize, f64)> = facts
            .symbols
            .iter()
            .enumerate()
            .filter(|(_, symbol)| symbol.parent.is_none())
            .map(|(symbol, of)| {
                let name = 2.0 * self.name_weight(candidate.names[symbol]);
                (symbol, name + text[symbol] + if of.exported { 0.1 } else { 0.0 })
            })
            .collect();
        scored.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        scored.into_iter().map(|(symbol, _)| symbol).collect()
    }

    /// The columns of every chunk of some candidates (their places), whose scores by the file model are given with
    /// them, best first.
    pub fn chunk_signals(&self, files: &[(usize, f64)]) -> Vec<Vec<ChunkSignals>> {
        let mut all: Vec<Vec<ChunkSignals>> = files
            .iter()
            .enumerate()
            .map(|(rank, (at, score))| {
                let file = self.candidates[*at].file;
                let focus = self.focus.filter(|focus| *focus != file);
                let taken = focus.map_or_else(Vec::new, |focus| self.names_taken(focus, file));
                let sheet = self.sheet(*at);
                let chunks = 0..self.candidates[*at].chunks.len();
                chunks.map(|chunk| self.chunk(*at, chunk, rank, *score, &taken, &sheet)).collect()
            })
            .collect();
        let flat = |column: fn(&ChunkSignals) -> f32| {
            ranks(&all.iter().flatten().map(|signals| f64::from(column(signals))).collect::<Vec<_>>())
        };
        let rank = flat(|signals| signals.score);
        for (signals, rank) in all.iter_mut().flatten().zip(rank) {
            signals.rank = rank;
        }
        for signals in &mut all {
            rank_within(signals, |s| s.score, |s| &mut s.rank_in_file);
            rank_within(signals, |s| s.feedback, |s| &mut s.feedback_rank);
            rank_within(signals, |s| s.focus_feedback, |s| &mut s.focus_feedback_rank);
        }
        all
    }

    fn sheet(&self, at: usize) -> Sheet {
        let candidate = &self.candidates[at];
        let (facts, chunks) = (&candidate.facts, &candidate.chunks);
        let mut import_lines: Vec<u32> = facts.imports.iter().map(|import| import.line).collect();
        import_lines.sort_unstable();
        let shares: Vec<f32> = chunks.iter().map(|chunk| self.chunk_share(chunk.score)).collect();
        Sheet {
            best: chunks.iter().map(|chunk| chunk.score).fold(f64::MIN_POSITIVE, f64::max),
            scored: (0..shares.len()).filter(|at| shares[*at] > 0.0).collect(),
            shares,
            in_order: facts.chunks.is_sorted_by(|a, b| a.lines[1] < b.lines[0]),
            import_lines,
        }
    }

    fn chunk(
        &self,
        at: usize,
        number: usize,
        rank: usize,
        score: f64,
        taken: &[String],
        sheet: &Sheet,
    ) -> ChunkSignals {
        let candidate = &self.candidates[at];
        let file = &candidate.signals;
        let mut signals = ChunkSignals {
            has_focus: file.has_focus,
            in_focus: file.is_focus,
            file_score: score as f32,
            file_rank: log(rank),
            file_best: file.best,
            file_bm25: file.file_bm25,
            file_lines: file.lines,
            file_chunks: log(candidate.chunks.len()),
            file_test: file.test,
            focus_out: file.focus_out,
            focus_in: file.focus_in,
            task_terms: file.task_terms,
            files: file.files,
            ..ChunkSignals::default()
        };
        self.add_chunk_words(candidate, number, sheet, &mut signals);
        self.add_chunk_names(candidate, number, &mut signals);
        add_surroundings(&candidate.facts, number, sheet, &mut signals);
        self.add_shape(candidate, number, &mut signals);
        self.add_ties(at, number, taken, &mut signals);
        signals
    }

    fn chunk_share(&self, score: f64) -> f32 {
        (score / self.best) as f32
    }

    fn add_chunk_words(&self, candidate: &Candidate, number: usize, sheet: &Sheet, signals: &mut ChunkSignals) {
        let chunk = &candidate.chunks[number];
        signals.score = sheet.shares[number];
        signals.strength = (chunk.score / self.possible()) as f32;
        signals.score_in_file = (chunk.score / sheet.best) as f32;
        if let Some(hit) = chunk.hit.map(|hit| &self.lexical.hits[hit]) {
            signals.text = self.chunk_share(hit.text);
            signals.subject = self.chunk_share(hit.subject);
        }
        let words = self.words_of(chunk);
        signals.coverage = words.coverage;
        signals.terms = words.terms;
        signals.compound = words.compound;
        signals.rarest = words.rarest;
    }

    fn add_chunk_names(&self, candidate: &Candidate, number: usize, signals: &mut ChunkSignals) {
        let words = &candidate.chunks[number];
        let (facts, chunk) = (&candidate.facts, &candidate.facts.chunks[number]);
        signals.own_name_idf = (self.name_weight(words.own) / self.possible()) as f32;
        signals.outer_name_idf = (self.name_weight(words.outer & !words.own) / self.possible()) as f32;
        if let Some(symbol) = chunk.symbol.and_then(|symbol| facts.symbols.get(symbol)) {
            signals.own_name_share = self.match_share(&symbol.name).1;
            signals.named = flag(self.is_named(&symbol.name, symbol.kind));
        }
        if let Some(hit) = words.hit {
            let pairs = self.lexical.pairs_of(&self.lexical.hits[hit]);
            let whole = pairs.iter().filter(|(at, _)| self.wording.terms[usize::from(*at)].form == Form::Whole);
            signals.holds_named = whole.count() as f32;
        }
    }

    fn add_shape(&self, candidate: &Candidate, number: usize, signals: &mut ChunkSignals) {
        let (facts, chunk) = (&candidate.facts, &candidate.facts.chunks[number]);
        let lines = chunk.lines[1] + 1 - chunk.lines[0];
        signals.lines = lines as f32;
        signals.length = log(self.corpus.length(candidate.file, number) as usize);
        signals.bytes = log(chunk.range.len());
        let Some(symbol) = chunk.symbol.and_then(|symbol| facts.symbols.get(symbol)) else {
            signals.kind = -1.0;
            return;
        };
        signals.kind = symbol.kind as u8 as f32;
        signals.exported = flag(symbol.exported);
        signals.depth =
            std::iter::successors(symbol.parent, |at| facts.symbols.get(*at)?.parent).take(9).count() as f32;
        signals.symbol_share = lines as f32 / (symbol.lines[1] + 1 - symbol.lines[0]) as f32;
    }

    fn add_ties(&self, at: usize, number: usize, taken: &[String], signals: &mut ChunkSignals) {
        signals.feedback = self.feedback[at][number] as f32;
        signals.focus_feedback = self.focus_feedback[at][number] as f32;
        let references = &self.references[at][number];
        signals.refs_in = references.inward as f32;
        signals.refs_in_linked = references.inward_linked as f32;
        signals.refs_out = references.outward as f32;
        signals.refs_out_linked = references.outward_linked as f32;
        signals.focus_refs_in = references.focus_inward as f32;
        signals.focus_refs_out = references.focus_outward as f32;
        let candidate = &self.candidates[at];
        if !taken.is_empty() {
            let chunk = &candidate.facts.chunks[number];
            let declared = candidate.facts.symbols.iter().filter(|symbol| {
                symbol.parent.is_none() && symbol.lines[0] >= chunk.lines[0] && symbol.lines[1] <= chunk.lines[1]
                    || chunk.symbol.is_some_and(|own| candidate.facts.symbols[own].name == symbol.name)
            });
            signals.taken_by_focus = declared.filter(|symbol| taken.contains(&symbol.name)).count() as f32;
        }
    }
}

/// The numbers that are in both of two sorted lists.
fn in_both<'a>(a: &'a [u32], b: &'a [u32]) -> impl Iterator<Item = u32> {
    let (few, many) = if a.len() < b.len() { (a, b) } else { (b, a) };
    few.iter().copied().filter(|number| many.binary_search(number).is_ok())
}

#[derive(Clone, Copy, Debug, Default)]
struct Words {
    coverage: f32,
    terms: f32,
    compound: f32,
    rarest: f32,
}

/// What is the same for all chunks of a candidate.
struct Sheet {
    /// The best chunk's score, and every chunk's as a share of the best of all files.
    best: f64,
    shares: Vec<f32>,
    /// The chunks whose share is not nothing, in order.
    scored: Vec<usize>,
    /// Every chunk ends before the next begins.
    in_order: bool,
    /// Sorted.
    import_lines: Vec<u32>,
}

impl Sheet {
    /// The best share of the other chunks that overlap with the symbol, the sum of their shares, and how many they are.
    fn around(&self, number: usize, symbol: usize, facts: &FileFacts) -> (f32, f32, f32) {
        let add = |(best, sum): (f32, f32), at: &usize| (best.max(self.shares[*at]), sum + self.shares[*at]);
        let Some(of) = facts.symbols.get(symbol) else { return (0.0, 0.0, 0.0) };
        let overlaps = |chunk: &Chunk| chunk.lines[0] <= of.lines[1] && chunk.lines[1] >= of.lines[0];
        if !self.in_order {
            let near: Vec<usize> =
                (0..facts.chunks.len()).filter(|at| *at != number && overlaps(&facts.chunks[*at])).collect();
            let (best, sum) = near.iter().fold((0.0, 0.0), add);
            return (best, sum, near.len() as f32);
        }
        let from = facts.chunks.partition_point(|chunk| chunk.lines[1] < of.lines[0]);
        let to = facts.chunks.partition_point(|chunk| chunk.lines[0] <= of.lines[1]).max(from);
        let scored = self.scored.partition_point(|at| *at < from)..self.scored.partition_point(|at| *at < to);
        // What adds nothing is left out of the sum.
        let (best, sum) = self.scored[scored].iter().filter(|at| **at != number).fold((0.0, 0.0), add);
        (best, sum, (to - from - usize::from((from..to).contains(&number))) as f32)
    }
}

fn add_surroundings(facts: &FileFacts, number: usize, sheet: &Sheet, signals: &mut ChunkSignals) {
    let count = facts.chunks.len();
    signals.previous = if number > 0 { sheet.shares[number - 1] } else { 0.0 };
    signals.next = if number + 1 < count { sheet.shares[number + 1] } else { 0.0 };
    let outer = top_symbol(&facts.chunks[number], facts);
    let (best, sum, others) = outer.map_or((0.0, 0.0, 0.0), |outer| sheet.around(number, outer, facts));
    signals.symbol_best = best;
    signals.symbol_mean = sum / others.max(1.0);
    signals.position = number as f32 / count as f32;
    signals.index = log(number);
    signals.last = flag(number + 1 == count);
    let [first, last] = facts.chunks[number].lines;
    let before = |line: u32| sheet.import_lines.partition_point(|import| *import < line);
    signals.import_share = before(last + 1).saturating_sub(before(first)) as f32 / (last + 1 - first) as f32;
}

/// Files that a source's file imports, and those that import it.
struct Link {
    file: usize,
    imports: BTreeSet<usize>,
    importers: BTreeSet<usize>,
}

impl Link {
    fn of(file: usize, corpus: &Corpus<'_>) -> Self {
        Self { file, imports: corpus.imports(file).collect(), importers: corpus.importers(file).collect() }
    }

    fn sees(&self, file: usize) -> bool {
        file == self.file || self.imports.contains(&file)
    }

    fn seen_by(&self, file: usize) -> bool {
        file == self.file || self.importers.contains(&file)
    }
}

fn held<'a>(
    vocabulary: &Vocabulary,
    name: u32,
    sources: &'a [Source],
    links: &'a [Link],
) -> impl Iterator<Item = (&'a Source, &'a Link)> {
    let bits = vocabulary.holders(name);
    sources.iter().zip(links).enumerate().filter(move |(at, _)| bits >> at & 1 == 1).map(|(_, pair)| pair)
}

/// The term that stands for the chunk's own name: the whole of a compound one, the stem of a simple one.
fn name_hash(chunk: &Chunk, facts: &FileFacts) -> Option<u32> {
    let name = &facts.symbols.get(chunk.symbol?)?.name;
    let mut hash = None;
    words::terms(name, |term, _| hash = Some(words::hash(term)));
    hash
}

fn candidate(file: usize, wording: &Wording, lexical: &Lexical, scores: &FileScores, corpus: &Corpus<'_>) -> Candidate {
    let facts = corpus.outline(file);
    let names: Vec<u64> = facts.symbols.iter().map(|symbol| matches_in(&symbol.name, wording)).collect();
    let mut chunks: Vec<ChunkWords> = facts
        .chunks
        .iter()
        .map(|chunk| {
            let own = chunk.symbol.and_then(|symbol| names.get(symbol)).copied().unwrap_or_default();
            ChunkWords { own, outer: names_around(chunk, &facts, &names), ..ChunkWords::default() }
        })
        .collect();
    for at in scores.hits[file].clone() {
        let hit = &lexical.hits[at];
        let chunk = &mut chunks[hit.chunk];
        chunk.hit = Some(at);
        chunk.score = lexical.with_names(wording, hit, corpus.length(file, hit.chunk), chunk.own | chunk.outer);
    }
    Candidate { file, facts, chunks, names, signals: FileSignals::default() }
}

/// Terms in the names of the symbols around the chunk's own.
fn names_around(chunk: &Chunk, facts: &FileFacts, names: &[u64]) -> u64 {
    let parent = |at: usize| facts.symbols.get(at).and_then(|symbol| symbol.parent).filter(|parent| *parent < at);
    std::iter::successors(chunk.symbol.and_then(parent), |at| parent(*at))
        .fold(0, |bits, at| bits | names.get(at).copied().unwrap_or_default())
}

fn best_chunks(
    candidates: &[Candidate],
    wording: &Wording,
    scores: &FileScores,
    corpus: &Corpus<'_>,
    count: usize,
) -> Vec<Source> {
    let mut all: Vec<Source> = Vec::new();
    for candidate in candidates {
        let damping = scores.damping(candidate.file, wording, corpus);
        let hits = candidate.chunks.iter().enumerate().filter(|(_, chunk)| chunk.score > 0.0);
        all.extend(hits.map(|(at, chunk)| Source { file: candidate.file, chunk: at, weight: chunk.score * damping }));
    }
    heaviest(all, count)
}

/// The active file's best chunks; without any match, its first ones.
fn focus_chunks(candidate: &Candidate) -> Vec<Source> {
    let best = candidate.chunks.iter().map(|chunk| chunk.score).fold(0.0, f64::max).max(1e-9);
    let weigh = |(at, chunk): (usize, &ChunkWords)| Source {
        file: candidate.file,
        chunk: at,
        weight: 0.2 + chunk.score / best,
    };
    heaviest(candidate.chunks.iter().enumerate().map(weigh).collect(), FOCUS_SOURCES)
}

/// The best, as shares of the very best.
fn heaviest(mut all: Vec<Source>, count: usize) -> Vec<Source> {
    all.sort_by(|a, b| b.weight.total_cmp(&a.weight).then((a.file, a.chunk).cmp(&(b.file, b.chunk))));
    all.truncate(count);
    let best = all.first().map_or(1.0, |source| source.weight.max(1e-9));
    for source in &mut all {
        source.weight /= best;
    }
    all
}

/// The outermost symbol around a chunk.
fn top_symbol(chunk: &Chunk, facts: &FileFacts) -> Option<usize> {
    let parent = |at: &usize| facts.symbols.get(*at).and_then(|symbol| symbol.parent).filter(|parent| parent < at);
    std::iter::successors(chunk.symbol, parent).last()
}

/// Logarithm of the rank of each value, the highest first; equal values share a rank.
fn ranks(values: &[f64]) -> Vec<f32> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*b].total_cmp(&values[*a]).then(a.cmp(b)));
    let mut ranks = vec![0.0; values.len()];
    let mut rank = 0;
    for (place, at) in order.iter().enumerate() {
        if place > 0 && values[*at] < values[order[place - 1]] {
            rank = place;
        }
        ranks[*at] = log(rank);
    }
    ranks
}

fn rank_within(
    signals: &mut [ChunkSignals],
    value: impl Fn(&ChunkSignals) -> f32,
    to: impl Fn(&mut ChunkSignals) -> &mut f32,
) {
    let ranks = ranks(&signals.iter().map(|signals| f64::from(value(signals))).collect::<Vec<_>>());
    for (signals, rank) in signals.iter_mut().zip(ranks) {
        *to(signals) = rank;
    }
}

/// Scores as shares of the best.
fn shares(mut scores: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let best = scores.iter().flatten().copied().fold(1e-9, f64::max);
    scores.iter_mut().flatten().for_each(|score| *score /= best);
    scores
}

/// The best counts whole, the next three a little.
fn top_sum(scores: &[f64]) -> f32 {
    let mut all = scores.to_vec();
    all.sort_by(|a, b| b.total_cmp(a));
    all.iter().zip([1.0, 0.35, 0.2, 0.1]).map(|(score, share)| score * share).sum::<f64>() as f32
}

fn log(count: usize) -> f32 {
    ln(count as f64 + 1.0) as f32
}

fn flag(is: bool) -> f32 {
    if is { 1.0 } else { 0.0 }
}
