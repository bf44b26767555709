//! What the repository's past says about its files: which change together, which change often, and which were changed
//! for tasks in similar words.
//!
//! Values only: who reads a repository hands over commits, and everything here depends on them alone (ages are counted
//! from the newest commit, never from a clock). Knows nothing of Git's storage.

use super::lexical::Wording;
use crate::graph::words;
use crate::path::RelPath;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A commit of more files says nothing about which of them belong together.
pub const MOST_FILES: usize = 40;

/// A change this much older counts half.
const HALF_LIFE: f64 = 365.0 * 24.0 * 3600.0;
/// So much weight of other commits is assumed beside those that were seen: one commit in common is no proof.
const DOUBT: f64 = 0.25;

/// Terms beyond these are a changelog, not a message.
const MOST_TERMS: usize = 96;
/// BM25 over messages, which are short and say a word once (Robertson and Zaragoza 2009).
const K1: f64 = 1.2;
const B: f64 = 0.5;
/// So many commits speak for files.
const VOICES: usize = 40;

/// The newest commits of one branch, as they concern the files below a root. The default is no history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct History {
    /// The commit that it was read at, in hexadecimal; empty without one.
    head: String,
    /// As the commits name them, sorted.
    paths: Vec<RelPath>,
    /// Newest first.
    commits: Vec<Record>,
    /// For each path: the one that it has now, after the renames since.
    now: Vec<u32>,
    /// For each path, the commits that changed it under any of its names, newest first.
    changes: Vec<Vec<u32>>,
    /// For each commit, its files under their names of now: none when there are too many.
    files: Vec<Vec<u32>>,
}

/// A commit as somebody read it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// In hexadecimal.
    pub id: String,
    /// Seconds since 1970.
    pub time: i64,
    pub message: String,
    /// Every file that it added, changed or removed.
    pub files: Vec<RelPath>,
    /// (old name, new name).
    pub moves: Vec<(RelPath, RelPath)>,
}

/// Puts a history together, newest commit first.
#[derive(Debug)]
pub struct HistoryBuilder<'h> {
    previous: &'h History,
    known: BTreeMap<&'h str, &'h Record>,
    commits: Vec<RecordOf<RelPath>>,
}

/// A commit, compactly. Paths are indices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RecordOf<P> {
    id: String,
    time: i64,
    /// Sorted hashes of the message's terms.
    terms: Vec<u32>,
    files: Vec<P>,
    moves: Vec<(P, P)>,
}

type Record = RecordOf<u32>;

/// What is kept of a history; the rest follows from it.
#[derive(Clone, Serialize, Deserialize)]
struct Stored {
    head: String,
    paths: Vec<RelPath>,
    commits: Vec<Record>,
}

impl History {
    /// The commit that it was read at, in hexadecimal; empty without one.
    pub fn head(&self) -> &str {
        &self.head
    }

    /// How many commits it holds.
    pub fn len(&self) -> usize {
        self.commits.len()
    }

    pub fn is_empty(&self) -> bool {
        self.commits.is_empty()
    }

    /// Files that changed in the same commits as `path`, best first: the share of its changes in which they did, where
    /// small and new commits count for more. In 0..1.
    pub fn cochange(&self, path: &RelPath) -> Vec<(RelPath, f64)> {
        let Some(own) = self.number(path) else { return Vec::new() };
        let mut together: BTreeMap<u32, f64> = BTreeMap::new();
        let mut all = DOUBT;
        for commit in &self.changes[own as usize] {
            let files = &self.files[*commit as usize];
            let weight = self.decay(*commit) / files.len().max(1) as f64;
            all += weight;
            for other in files.iter().filter(|other| **other != own) {
                *together.entry(*other).or_default() += weight;
            }
        }
        self.ranked(together.into_iter().map(|(file, weight)| (file, weight / all)))
    }

    /// How often and how lately a file changed, in 0..1; 0 for one without a past.
    pub fn recency(&self, path: &RelPath) -> f64 {
        let Some(number) = self.number(path) else { return 0.0 };
        let weight: f64 = self.changes[number as usize].iter().map(|commit| self.decay(*commit)).sum();
        weight / (weight + 1.0)
    }

    /// Files of the commits whose messages are most like these words, best first; the best has 1.
    pub fn by_message(&self, words: &str) -> Vec<(RelPath, f64)> {
        let mut votes: BTreeMap<u32, f64> = BTreeMap::new();
        for (commit, score) in self.similar(words) {
            let files = &self.files[commit];
            for file in files {
                *votes.entry(*file).or_default() += score / (files.len() as f64).sqrt();
            }
        }
        let best = votes.values().copied().fold(f64::MIN_POSITIVE, f64::max);
        self.ranked(votes.into_iter().map(|(file, score)| (file, score / best)))
    }

    /// The commits whose messages are most like the words, with BM25.
    fn similar(&self, words: &str) -> Vec<(usize, f64)> {
        let terms = Wording::of(words).terms;
        let count = self.commits.len() as f64;
        let average = self.commits.iter().map(|commit| commit.terms.len()).sum::<usize>() as f64 / count.max(1.0);
        let mut scores = vec![0.0; self.commits.len()];
        for term in &terms {
            let holds = |commit: &Record| commit.terms.binary_search(&term.hash).is_ok();
            let holding: Vec<usize> = (0..scores.len()).filter(|at| holds(&self.commits[*at])).collect();
            let frequency = holding.len() as f64;
            let rarity = f64::ln(1.0 + (count - frequency + 0.5) / (frequency + 0.5));
            for at in holding {
                let length = self.commits[at].terms.len() as f64 / average.max(1.0);
                scores[at] += term.weight * rarity * (K1 + 1.0) / (1.0 + K1 * (1.0 - B + B * length));
            }
        }
        let mut found: Vec<(usize, f64)> = scores.into_iter().enumerate().filter(|(_, score)| *score > 0.0).collect();
        found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        found.truncate(VOICES);
        found
    }

    fn ranked(&self, scores: impl Iterator<Item = (u32, f64)>) -> Vec<(RelPath, f64)> {
        let mut scores: Vec<(u32, f64)> = scores.collect();
        scores.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        scores.into_iter().map(|(file, score)| (self.paths[file as usize].clone(), score)).collect()
    }

    fn number(&self, path: &RelPath) -> Option<u32> {
        self.paths.binary_search(path).ok().map(|at| at as u32)
    }

    fn decay(&self, commit: u32) -> f64 {
        let age = |of: &Record| self.commits[0].time.saturating_sub(of.time).max(0) as f64;
        0.5_f64.powf(age(&self.commits[commit as usize]) / HALF_LIFE)
    }
}

impl<'h> HistoryBuilder<'h> {
    /// `previous` is what is known already; commits that it holds need not be read again.
    pub fn new(previous: &'h History) -> Self {
        let known = previous.commits.iter().map(|commit| (&*commit.id, commit)).collect();
        Self { previous, known, commits: Vec::new() }
    }

    /// Takes over the commit that the previous history holds; `false` when it does not.
    pub fn push_known(&mut self, id: &str) -> bool {
        let Some(commit) = self.known.get(id) else { return false };
        let path = |at: &u32| self.previous.paths[*at as usize].clone();
        self.commits.push(RecordOf {
            id: commit.id.clone(),
            time: commit.time,
            terms: commit.terms.clone(),
            files: commit.files.iter().map(path).collect(),
            moves: commit.moves.iter().map(|(old, new)| (path(old), path(new))).collect(),
        });
        true
    }

    /// The next older commit.
    pub fn push(&mut self, change: Change) {
        let Change { id, time, message, mut files, moves } = change;
        // Who moves a whole directory says where its files are now, and nothing else.
        if files.len() > MOST_FILES {
            files.clear();
        }
        self.commits.push(RecordOf { id, time, terms: terms_of(&message), files, moves });
    }

    /// Names the commit that it was read at; an empty name says that it is not whole.
    pub fn finish(self, head: String) -> History {
        let named = self
            .commits
            .iter()
            .flat_map(|commit| commit.files.iter().chain(commit.moves.iter().flat_map(|(old, new)| [old, new])));
        let paths: Vec<RelPath> = named.collect::<BTreeSet<_>>().into_iter().cloned().collect();
        let number = |path: &RelPath| paths.partition_point(|known| known < path) as u32;
        let commits = self.commits.iter().map(|commit| RecordOf {
            id: commit.id.clone(),
            time: commit.time,
            terms: commit.terms.clone(),
            files: commit.files.iter().map(number).collect(),
            moves: commit.moves.iter().map(|(old, new)| (number(old), number(new))).collect(),
        });
        let commits = commits.collect();
        Stored { head, commits, paths }.into()
    }
}

fn terms_of(message: &str) -> Vec<u32> {
    let mut terms = Vec::new();
    words::terms(message, |term, _| {
        if terms.len() < MOST_TERMS {
            terms.push(words::hash(term));
        }
    });
    terms.sort_unstable();
    terms.dedup();
    terms
}

impl From<History> for Stored {
    fn from(history: History) -> Self {
        Self { head: history.head, paths: history.paths, commits: history.commits }
    }
}

impl From<Stored> for History {
    /// Whatever another program wrote: indices that lead nowhere are no history.
    fn from(stored: Stored) -> Self {
        let Stored { head, paths, commits } = stored;
        let inside = |at: &u32| (*at as usize) < paths.len();
        let sound = |commit: &Record| {
            commit.files.iter().all(inside)
                && commit.moves.iter().all(|(old, new)| inside(old) && inside(new))
                && commit.terms.is_sorted()
        };
        if !paths.is_sorted() || !commits.iter().all(sound) {
            return Self::default();
        }
        let mut now: Vec<u32> = (0..paths.len() as u32).collect();
        let mut changes = vec![Vec::new(); paths.len()];
        let mut files = Vec::with_capacity(commits.len());
        for (number, commit) in commits.iter().enumerate() {
            let mut own: Vec<u32> = commit.files.iter().map(|file| now[*file as usize]).collect();
            own.sort_unstable();
            own.dedup();
            for file in &own {
                changes[*file as usize].push(number as u32);
            }
            files.push(own);
            // What is older than the rename happened under the old name.
            for (old, new) in &commit.moves {
                now[*old as usize] = now[*new as usize];
            }
        }
        Self { head, paths, commits, now, changes, files }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600;

    fn rel(path: &str) -> RelPath {
        RelPath::new(path).unwrap()
    }

    /// `days message: files`, newest first; `a>b` is a rename.
    fn history(commits: &[(i64, &str, &str)]) -> History {
        let none = History::default();
        let mut builder = HistoryBuilder::new(&none);
        for (number, (days, message, files)) in commits.iter().enumerate() {
            let mut change = Change { id: format!("{number:040x}"), time: -days * DAY, ..Change::default() };
            change.message = (*message).to_owned();
            for file in files.split_whitespace() {
                match file.split_once('>') {
                    Some((old, new)) => {
                        change.moves.push((rel(old), rel(new)));
                        change.files.push(rel(new));
                    }
                    None => change.files.push(rel(file)),
                }
            }
            builder.push(change);
        }
        builder.finish("head".into())
    }

    fn names(found: &[(RelPath, f64)]) -> Vec<&str> {
        found.iter().map(|(path, _)| path.as_str()).collect()
    }

    #[test]
    fn what_changed_together_lately_and_in_small_commits_is_closest() {
        let history = history(&[
            (0, "a", "a.ts near.ts"),
            (1, "b", "a.ts c.ts d.ts e.ts f.ts crowd.ts"),
            (900, "c", "a.ts old.ts"),
        ]);
        let found = history.cochange(&rel("a.ts"));
        assert_eq!(names(&found)[0], "near.ts");
        let of = |name: &str| found.iter().find(|(path, _)| path.as_str() == name).unwrap().1;
        assert!(of("near.ts") > 3.0 * of("old.ts"), "{found:?}");
        assert!(of("near.ts") > 2.0 * of("crowd.ts"), "{found:?}");
        assert!(found.iter().all(|(_, score)| (0.0..1.0).contains(score)));
        assert!(history.cochange(&rel("none.ts")).is_empty());
    }

    #[test]
    fn a_commit_of_everything_says_nothing() {
        let many: String = (0..=MOST_FILES).map(|n| format!("f{n}.ts ")).collect();
        let history = history(&[(0, "format all", &many), (1, "x", "f1.ts f2.ts")]);
        assert_eq!(names(&history.cochange(&rel("f1.ts"))), ["f2.ts"]);
        assert_eq!(history.recency(&rel("f3.ts")), 0.0);
        assert_eq!(names(&history.by_message("format all")), Vec::<&str>::new());
    }

    #[test]
    fn ages_are_counted_from_the_newest_commit() {
        let then = history(&[(5000, "x", "a.ts b.ts"), (5400, "x", "a.ts c.ts")]);
        let now = history(&[(0, "x", "a.ts b.ts"), (400, "x", "a.ts c.ts")]);
        assert_eq!(then.cochange(&rel("a.ts")), now.cochange(&rel("a.ts")));
        assert!(now.recency(&rel("a.ts")) > now.recency(&rel("b.ts")));
        assert!(now.recency(&rel("b.ts")) > now.recency(&rel("c.ts")));
    }

    #[test]
    fn the_words_of_past_fixes_lead_to_their_files() {
        let history = history(&[
            (0, "fix(ssr): hydration mismatch of styles\n\nThe server renders them first.", "hydration.ts"),
            (1, "feat: compile slots", "slots.ts"),
            (2, "fix: hydrate teleports", "hydration.ts teleport.ts"),
            (3, "chore: release", "package.json"),
        ]);
        assert_eq!(names(&history.by_message("hydrating a teleport")), ["hydration.ts", "teleport.ts"]);
        assert_eq!(history.by_message("slot compiler")[0], (rel("slots.ts"), 1.0));
        assert!(history.by_message("nothing alike").is_empty());
    }

    #[test]
    fn a_renamed_file_keeps_its_past() {
        let history = history(&[
            (0, "x", "new.ts b.ts"),
            (1, "move", "mid.ts>new.ts"),
            (2, "move", "old.ts>mid.ts"),
            (3, "x", "old.ts c.ts"),
        ]);
        assert_eq!(names(&history.cochange(&rel("new.ts"))), ["b.ts", "c.ts"]);
        assert!(history.cochange(&rel("old.ts")).is_empty());
    }

    #[test]
    fn a_stored_history_comes_back_and_a_damaged_one_is_none() {
        let whole = history(&[(0, "x", "a.ts b.ts"), (1, "move", "c.ts>a.ts")]);
        let json = serde_json::to_string(&whole).unwrap();
        assert_eq!(serde_json::from_str::<History>(&json).unwrap(), whole);
        let damaged = json.replace("\"files\":[0,1]", "\"files\":[0,9]");
        assert_ne!(damaged, json);
        assert_eq!(serde_json::from_str::<History>(&damaged).unwrap(), History::default());
    }

    #[test]
    fn known_commits_are_taken_over() {
        let old = history(&[(1, "x", "a.ts b.ts"), (2, "move", "c.ts>a.ts")]);
        let mut builder = HistoryBuilder::new(&old);
        builder.push(Change {
            id: "f".into(),
            message: "y".into(),
            files: vec![rel("0.ts"), rel("a.ts")],
            ..Change::default()
        });
        assert!(builder.push_known(&format!("{:040x}", 0)) && builder.push_known(&format!("{:040x}", 1)));
        assert!(!builder.push_known("unknown"));
        let new = builder.finish("next".into());
        assert_eq!((new.head(), new.len()), ("next", 3));
        assert_eq!(names(&new.cochange(&rel("a.ts"))), ["0.ts", "b.ts"]);
    }
}
