//! Tasks that are nearly the same as one whose answer was kept. Never an answer: two tasks that differ in one number look
//! alike to every measure, so this only says "there was one like it", and only when every file, number, name and negation
//! is the same.

use crate::Ask;
use krins_core::Digest;
use std::collections::{BTreeSet, VecDeque};

/// Tasks that are remembered.
const MOST: usize = 256;
/// The share of three-letter pieces that two tasks must have in common.
const ALIKE: f64 = 0.6;
/// Bytes of words that are compared.
const WORDS: usize = 8 << 10;

/// A task that is like the one that is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Suggestion {
    /// Its id.
    pub task: String,
    pub words: String,
    /// From 0 to 1.
    pub likeness: f64,
}

/// What is remembered, newest last.
#[derive(Debug, Default)]
pub struct Similar {
    known: VecDeque<Known>,
}

#[derive(Debug)]
struct Known {
    task: String,
    words: String,
    pieces: BTreeSet<[char; 3]>,
    exact: Exact,
}

/// What must be the same.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Exact {
    tenant: String,
    route: String,
    files: Digest,
    /// Numbers, names and negations, in order.
    terms: Vec<String>,
}

impl Similar {
    /// Remembers a task whose answer was kept.
    pub fn remember(&mut self, ask: &Ask, route: &str) {
        let words = words(ask);
        let exact = exact(ask, route, words);
        self.known.retain(|known| known.words != words || known.exact != exact);
        if self.known.len() >= MOST {
            self.known.pop_front();
        }
        self.known.push_back(Known { task: ask.task.clone(), words: words.to_owned(), pieces: pieces(words), exact });
    }

    /// The answer to it was no good.
    pub fn forget(&mut self, ask: &Ask) {
        self.known.retain(|known| known.task != ask.task);
    }

    /// The most similar task; of equals the newest.
    pub fn find(&self, ask: &Ask, route: &str) -> Option<Suggestion> {
        let words = words(ask);
        let (exact, pieces) = (exact(ask, route, words), pieces(words));
        let same = self.known.iter().filter(|known| known.exact == exact && known.task != ask.task);
        let near =
            same.map(|known| (likeness(&known.pieces, &pieces), known)).filter(|(likeness, _)| *likeness >= ALIKE);
        let (likeness, known) = near.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
        Some(Suggestion { task: known.task.clone(), words: known.words.clone(), likeness })
    }
}

fn words(ask: &Ask) -> &str {
    let words = ask.prompt.get().intent.trim();
    words.get(..WORDS).unwrap_or(words)
}

fn exact(ask: &Ask, route: &str, words: &str) -> Exact {
    let prompt = ask.prompt.get();
    let mut files = String::new();
    for item in &prompt.items {
        files.push_str(&format!("{}\0{}\0{:?}\0{}\n", item.path, item.digest, item.ranges, item.verbatim));
    }
    if let Some(focus) = &prompt.focus {
        files.push_str(&format!("{}\0{:?}", focus.path, focus.lines));
    }
    Exact { tenant: ask.account.tenant.clone(), route: route.to_owned(), files: Digest::of(files), terms: terms(words) }
}

/// Words that change what is asked when they change: with a digit, a capital inside, a sign inside or quotes around, and
/// those that turn a sentence around.
fn terms(words: &str) -> Vec<String> {
    const NEGATIONS: &[&str] = &[
        "no", "not", "never", "none", "without", "except", "unless", "but", "only", "instead", "cannot", "nor",
        "neither", "all", "any", "every",
    ];
    let plain = |word: &str| {
        let mut letters = word.chars();
        letters.next().is_some_and(char::is_alphabetic) && letters.all(|c| c.is_lowercase())
    };
    words
        .split_whitespace()
        .map(|word| word.trim_end_matches(['.', ',', ';', ':', '!', '?']))
        .filter(|word| !word.is_empty())
        .filter(|word| !plain(word) || NEGATIONS.contains(&word.to_lowercase().as_str()))
        .map(str::to_owned)
        .collect()
}

fn pieces(words: &str) -> BTreeSet<[char; 3]> {
    let letters: Vec<char> = words.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ").chars().collect();
    letters.windows(3).filter_map(|piece| piece.try_into().ok()).collect()
}

fn likeness(one: &BTreeSet<[char; 3]>, other: &BTreeSet<[char; 3]>) -> f64 {
    let both = one.intersection(other).count();
    let all = one.len() + other.len() - both;
    if all == 0 { 1.0 } else { both as f64 / all as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Account;
    use krins_core::RelPath;
    use krins_core::prompt::{Item, PROMPT_VERSION, Prompt};
    use krins_core::redact::redact;

    fn ask(task: &str, intent: &str, file: &str) -> Ask {
        let item = Item {
            path: RelPath::new("src/a.ts").unwrap(),
            digest: Digest::of(file),
            ranges: vec![[1, 2]],
            verbatim: true,
            text: file.into(),
            tokens: 1,
            reason: String::new(),
        };
        let prompt = Prompt { version: PROMPT_VERSION, intent: intent.into(), focus: None, items: vec![item] };
        Ask {
            task: task.into(),
            prompt: redact(prompt).0,
            provider: None,
            model: None,
            max_output_tokens: 1,
            fresh: false,
            account: Account::default(),
        }
    }

    #[test]
    fn only_what_asks_for_the_same_is_like_it() {
        let mut similar = Similar::default();
        similar.remember(&ask("t-1", "convert 100 dollars to euros in orderTotal", "x"), "p/m");
        let find = |words: &str, file: &str, route: &str| {
            similar.find(&ask("t-2", words, file), route).map(|found| found.task)
        };
        assert_eq!(find("convert the 100 dollars to euros in orderTotal", "x", "p/m").as_deref(), Some("t-1"));
        for words in [
            "convert 250 dollars to euros in orderTotal",
            "convert 100 dollars to euros in cartTotal",
            "convert 100 dollars not to euros in orderTotal",
            "convert 100 dollars to euros without orderTotal",
            "delete everything in 100 ways in orderTotal",
        ] {
            assert_eq!(find(words, "x", "p/m"), None, "{words}");
        }
        assert_eq!(find("convert 100 dollars to euros in orderTotal", "y", "p/m"), None, "another file");
        assert_eq!(find("convert 100 dollars to euros in orderTotal", "x", "p/n"), None, "another route");
    }

    #[test]
    fn what_was_no_good_is_forgotten_and_the_oldest_go() {
        let mut similar = Similar::default();
        similar.remember(&ask("t-1", "make the loop faster", "x"), "p/m");
        similar.forget(&ask("t-1", "make the loop faster", "x"));
        assert_eq!(similar.find(&ask("t-2", "make the loop faster", "x"), "p/m"), None);
        for number in 0..MOST + 5 {
            similar.remember(&ask(&format!("n-{number}"), &format!("make loop {number} faster"), "x"), "p/m");
        }
        assert_eq!(similar.known.len(), MOST);
    }
}
