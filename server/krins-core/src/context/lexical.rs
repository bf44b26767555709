//! The lexical half of the ranking: what the task says, and BM25 over the chunks of every file.

use super::corpus::Corpus;
use super::maths::ln;
use crate::graph::words;
use crate::path::RelPath;
use std::collections::{BTreeMap, BTreeSet};

/// A term of the task.
#[derive(Clone, Copy, Debug)]
pub(super) struct Term {
    pub hash: u32,
    pub weight: f64,
    /// In the first line.
    pub subject: bool,
    pub form: Form,
}

/// What a term is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    /// The stem of a word, or of a part of an identifier.
    Stem,
    /// An identifier of several parts, as a whole.
    Whole,
    /// Neighbouring words written as one identifier, or a word as it stands: they can only meet whole identifiers.
    Joined,
}

/// What the task says.
pub(super) struct Wording {
    /// Sorted by hash, each once.
    pub terms: Vec<Term>,
    /// Hashes of the terms in `fix(scope):` and the like, sorted.
    pub scope: Vec<u32>,
    /// Words that look like code: `useState`, `MAX_ITEMS`, `` `any` `` in backquotes.
    pub symbols: BTreeSet<String>,
    /// Words that look like a path or a file name, in lower case.
    pub paths: Vec<String>,
    pub about_tests: bool,
}

/// Saturation of a term's count in a chunk, and how much a chunk's length counts (Robertson and Zaragoza 2009).
const K1: f64 = 1.2;
const B: f64 = 0.4;

/// A term in the file's path or the symbol's name counts as so many in the text.
const PATH_COUNT: f64 = 2.0;
const NAME_COUNT: f64 = 3.0;

/// A compound word (`parseExpression`) says more than its parts.
const WHOLE_WEIGHT: f64 = 1.5;
const JOINED_WEIGHT: f64 = 1.0;

/// What stands below the first line says less of the place.
const BODY_WEIGHT: f64 = 0.6;

/// A long task has many words; those beyond are the least telling.
const MAX_TERMS: usize = 64;

/// Verbs of requests and commit messages: they say what to do, not where.
const VERBS: &[&str] = &[
    "add", "allow", "avoid", "change", "chore", "docs", "ensure", "feat", "feature", "fix", "handle", "improve",
    "make", "perf", "prevent", "refactor", "remove", "rename", "support", "test", "update", "use",
];
const VERB_WEIGHT: f64 = 0.3;

impl Wording {
    pub fn of(intent: &str) -> Self {
        let intent = intent.trim();
        let (subject, body) = intent.split_once('\n').unwrap_or((intent, ""));
        let mut found: BTreeMap<u32, (Term, f64)> = BTreeMap::new();
        gather(subject, true, &mut found);
        gather(body, false, &mut found);
        let mut terms: Vec<Term> =
            found.into_values().map(|(term, count)| Term { weight: term.weight * (1.0 + ln(count)), ..term }).collect();
        terms.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(a.hash.cmp(&b.hash)));
        terms.truncate(MAX_TERMS);
        terms.sort_by_key(|term| term.hash);
        Self {
            terms,
            scope: scope_of(subject),
            symbols: symbols_in(intent),
            paths: paths_in(intent),
            about_tests: intent.to_lowercase().contains("test"),
        }
    }

    /// Whether the task names this path: as a whole, by its end, or by its file name.
    pub fn names_path(&self, path: &RelPath) -> bool {
        if self.paths.is_empty() {
            return false;
        }
        let lower = path.as_str().to_lowercase();
        self.paths.iter().any(|named| {
            lower == *named || lower.strip_suffix(named.as_str()).is_some_and(|before| before.ends_with('/'))
        })
    }

    /// Which of the terms are among some hashes, as bits.
    pub fn bits_of(&self, hashes: &[u32]) -> u64 {
        hashes.iter().filter_map(|hash| self.at(*hash)).fold(0, |bits, at| bits | 1 << at)
    }

    pub fn at(&self, hash: u32) -> Option<usize> {
        self.terms.binary_search_by_key(&hash, |term| term.hash).ok()
    }
}

fn gather(text: &str, subject: bool, found: &mut BTreeMap<u32, (Term, f64)>) {
    let place = if subject { 1.0 } else { BODY_WEIGHT };
    let mut add = |hash: u32, weight: f64, form: Form| {
        let term = Term { hash, weight: weight * place, subject, form };
        let entry = found.entry(hash).or_insert((term, 0.0));
        entry.0.form = entry.0.form.min(form);
        entry.1 += 1.0;
    };
    words::terms(text, |term, whole| match whole {
        true => add(words::hash(term), WHOLE_WEIGHT, Form::Whole),
        false => add(words::hash(term), if is_verb(term) { VERB_WEIGHT } else { 1.0 }, Form::Stem),
    });
    for joined in joined_words(text) {
        add(words::hash(&joined), JOINED_WEIGHT, Form::Joined);
    }
}

fn is_verb(stem: &str) -> bool {
    use std::sync::OnceLock;
    static STEMS: OnceLock<BTreeSet<String>> = OnceLock::new();
    let stems = STEMS.get_or_init(|| {
        let stemmed = VERBS.iter().map(|verb| {
            let mut stem = (*verb).to_owned();
            words::stem(&mut stem);
            stem
        });
        stemmed.collect()
    });
    stems.contains(stem)
}

/// `drop down menu` as somebody may have written it in code: `dropdown`, `downmenu`, `dropdownmenu`; and each longer word
/// as it is.
fn joined_words(text: &str) -> Vec<String> {
    let words: Vec<String> = words::words(text).map(str::to_lowercase).filter(|word| word.len() < 24).collect();
    let mut joined: Vec<String> = Vec::new();
    for size in 2..=3 {
        joined.extend(words.windows(size).map(|run| run.concat()).filter(|word| word.len() > 5));
    }
    joined.extend(words.into_iter().filter(|word| word.len() > 5));
    joined.extend(hyphenated(text));
    joined
}

/// `v-for` and `e-mail` as code writes them, however short: `vfor`, `email`.
fn hyphenated(text: &str) -> impl Iterator<Item = String> {
    let runs = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).map(|run| run.trim_matches('-'));
    let short = runs.filter(|run| run.contains('-')).map(|run| run.replace('-', "").to_lowercase());
    short.filter(|word| (3..=5).contains(&word.len()))
}

/// Terms of `scope` in `type(scope): …`, of `scope` in `scope: …`.
fn scope_of(subject: &str) -> Vec<u32> {
    let Some((head, _)) = subject.split_once(':') else {
        return Vec::new();
    };
    let scope = match head.split_once('(') {
        Some((_, scope)) => scope.trim_end_matches(')'),
        None if head.split_whitespace().count() == 1 && !is_type(head) => head,
        None => return Vec::new(),
    };
    let mut hashes = Vec::new();
    words::terms(scope, |term, _| hashes.push(words::hash(term)));
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

fn is_type(word: &str) -> bool {
    VERBS.contains(&word.trim_end_matches('!').to_lowercase().as_str())
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

/// A chunk that holds terms of the task.
#[derive(Clone, Debug)]
pub(super) struct Hit {
    pub file: usize,
    pub chunk: usize,
    /// Where its (term, count) pairs are in [`Lexical::pairs`].
    pairs: (u32, u32),
    /// BM25 over text and path, and the part of it that the first line's terms make.
    pub score: f64,
    pub subject: f64,
    /// Of the text alone.
    pub text: f64,
}

/// Everything the task's words find.
pub(super) struct Lexical {
    /// In the order of files and chunks.
    pub hits: Vec<Hit>,
    /// Term (its place in [`Wording::terms`]) and count.
    pub pairs: Vec<(u16, u16)>,
    /// By term: rarity among chunks, and among paths.
    pub idf: Vec<f64>,
    pub path_idf: Vec<f64>,
    /// By file: which terms are in its path, as bits.
    pub in_path: Vec<u64>,
    average: f64,
}

impl Lexical {
    pub fn of(wording: &Wording, corpus: &Corpus<'_>) -> Self {
        let terms = &wording.terms;
        let mut pairs = Vec::new();
        let mut hits: Vec<Hit> = Vec::new();
        let mut frequency = vec![0u32; terms.len()];
        let mut found: Vec<(u32, u16, u16)> = Vec::new();
        let mut chunks = 0;
        let mut total = 0u64;
        for file in 0..corpus.len() {
            found.clear();
            for (at, term) in terms.iter().enumerate() {
                corpus.postings(file, term.hash, |chunk, count| {
                    found.push((chunk as u32, at as u16, count.min(u32::from(u16::MAX)) as u16));
                });
            }
            found.sort_unstable();
            for of_chunk in found.chunk_by(|a, b| a.0 == b.0) {
                let start = pairs.len() as u32;
                for (_, term, count) in of_chunk {
                    frequency[usize::from(*term)] += 1;
                    pairs.push((*term, *count));
                }
                let pairs = (start, pairs.len() as u32);
                hits.push(Hit { file, chunk: of_chunk[0].0 as usize, pairs, score: 0.0, subject: 0.0, text: 0.0 });
            }
            chunks += corpus.chunks(file);
            total += corpus.total_length(file);
        }
        let in_path: Vec<u64> = (0..corpus.len()).map(|file| wording.bits_of(corpus.path_terms(file))).collect();
        let paths = |at: usize| in_path.iter().filter(|bits| *bits >> at & 1 == 1).count() as f64;
        let mut lexical = Self {
            idf: frequency.iter().map(|frequency| idf(f64::from(*frequency), chunks as f64)).collect(),
            path_idf: (0..terms.len()).map(|at| idf(paths(at), corpus.len() as f64)).collect(),
            average: (total as f64 / chunks.max(1) as f64).max(1.0),
            hits,
            pairs,
            in_path,
        };
        let mut hits = std::mem::take(&mut lexical.hits);
        for hit in &mut hits {
            let norm = lexical.norm(corpus.length(hit.file, hit.chunk));
            let extra = lexical.in_path[hit.file];
            [hit.score, hit.subject] = lexical.bm25(terms, hit, norm, &[(extra, PATH_COUNT)]);
            hit.text = if extra == 0 { hit.score } else { lexical.bm25(terms, hit, norm, &[])[0] };
        }
        lexical.hits = hits;
        lexical
    }

    /// BM25 with the terms in the names around the chunk counted too.
    pub fn with_names(&self, wording: &Wording, hit: &Hit, length: u32, names: u64) -> f64 {
        let extra = [(self.in_path[hit.file], PATH_COUNT), (names, NAME_COUNT)];
        self.bm25(&wording.terms, hit, self.norm(length), &extra)[0]
    }

    pub fn pairs_of(&self, hit: &Hit) -> &[(u16, u16)] {
        &self.pairs[hit.pairs.0 as usize..hit.pairs.1 as usize]
    }

    pub fn norm(&self, length: u32) -> f64 {
        K1 * (1.0 - B + B * f64::from(length) / self.average)
    }

    /// The score of all terms, and of those of the first line. Terms of `extra` count as so many more.
    fn bm25(&self, terms: &[Term], hit: &Hit, norm: f64, extra: &[(u64, f64)]) -> [f64; 2] {
        let mut rest = self.pairs_of(hit);
        let mut bits = extra.iter().fold(0, |bits, (more, _)| bits | more);
        bits = rest.iter().fold(bits, |bits, (at, _)| bits | 1 << at);
        let [mut score, mut subject] = [0.0; 2];
        while bits != 0 {
            let at = bits.trailing_zeros() as usize;
            bits &= bits - 1;
            let mut count = 0.0;
            if let Some((found, times)) = rest.first()
                && usize::from(*found) == at
            {
                count = f64::from(*times);
                rest = &rest[1..];
            }
            count += extra.iter().map(|(bits, value)| if bits >> at & 1 == 1 { *value } else { 0.0 }).sum::<f64>();
            let Some(term) = terms.get(at) else { continue };
            let part = term.weight * self.idf[at] * saturated(count, norm);
            score += part;
            if term.subject {
                subject += part;
            }
        }
        [score, subject]
    }
}

/// How much a count says, at most `K1 + 1`.
pub(super) fn saturated(count: f64, norm: f64) -> f64 {
    count * (K1 + 1.0) / (count + norm)
}

pub(super) fn idf(frequency: f64, all: f64) -> f64 {
    ln(1.0 + (all - frequency + 0.5).max(0.5) / (frequency + 0.5))
}

/// Which of the task's terms are in a name, as bits.
pub(super) fn matches_in(name: &str, wording: &Wording) -> u64 {
    let mut bits = 0;
    words::terms(name, |term, _| {
        if let Some(at) = wording.at(words::hash(term)) {
            bits |= 1 << at;
        }
    });
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

    #[test]
    fn short_words_with_a_hyphen_meet_what_code_calls_them() {
        let wording = Wording::of("v-for loses its e-mail");
        assert!(matches_in("transforms/vFor.ts", &wording) > 0);
        assert!(matches_in("email", &wording) > 0);
        assert_eq!(matches_in("vBind", &wording), 0);
    }
}
