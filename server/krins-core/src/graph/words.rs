//! Terms: how code and a task's words are made comparable.
//!
//! `calculateTotal` gives `calculatetotal`, `calcul` and `total`; `MAX_ITEMS` gives `max_items`, `max` and `item`. The
//! stemming is light: plural and verb endings only, so that two different words rarely meet.

/// Hash of a term: FNV-1a, 32 bits. The same on every machine and in every release that reads an old cache.
pub(crate) fn hash(term: &str) -> u32 {
    term.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Calls `take` with every term of a text; `whole` says whether it is a compound word itself rather than a part.
pub(crate) fn terms(text: &str, mut take: impl FnMut(&str, bool)) {
    let mut buffer = String::new();
    each_word(text, |word| {
        if word.len() <= MAX_WORD {
            word_terms(word, &mut buffer, &mut take);
        }
    });
}

/// Longer runs are data, not words.
const MAX_WORD: usize = 64;

/// Runs of letters, digits, `_` and `$`.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii() && c.is_alphanumeric()))
        .filter(|word| !word.is_empty())
}

/// Calls `take` with what [`words`] gives, fast.
pub(super) fn each_word<'t>(text: &'t str, mut take: impl FnMut(&'t str)) {
    if !text.is_ascii() {
        return words(text).for_each(take);
    }
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        while at < bytes.len() && IN_WORD[usize::from(bytes[at])] {
            at += 1;
        }
        if start < at {
            take(&text[start..at]);
        }
        at += 1;
    }
}

const IN_WORD: [bool; 256] = {
    let mut table = [false; 256];
    let mut at = 0;
    while at < 128 {
        let byte = at as u8;
        table[at] = byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$';
        at += 1;
    }
    table
};

fn word_terms(word: &str, buffer: &mut String, take: &mut impl FnMut(&str, bool)) {
    let trimmed = word.trim_matches(['_', '$']);
    let mut parts = 0;
    for part in parts_of(trimmed) {
        parts += 1;
        lower(part, buffer);
        if is_noise(buffer) {
            continue;
        }
        stem(buffer);
        take(buffer, false);
    }
    if parts > 1 {
        lower(trimmed, buffer);
        take(buffer, true);
    }
}

fn lower(word: &str, buffer: &mut String) {
    buffer.clear();
    if word.is_ascii() {
        buffer.push_str(word);
        buffer.make_ascii_lowercase();
    } else {
        buffer.extend(word.chars().flat_map(char::to_lowercase));
    }
}

/// The parts of an identifier: at `_` and `$`, before an upper-case letter that follows a lower-case one or is followed
/// by one (`HTMLElement` is `HTML`, `Element`), and where digits begin.
fn parts_of(word: &str) -> impl Iterator<Item = &str> {
    let mut rest = word;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(['_', '$', '-']);
        if rest.is_empty() {
            return None;
        }
        let end = part_end(rest);
        let (part, tail) = rest.split_at(end);
        rest = tail;
        Some(part)
    })
}

fn part_end(word: &str) -> usize {
    if word.is_ascii() {
        return ascii_part_end(word.as_bytes());
    }
    let mut chars = word.char_indices().peekable();
    let Some((_, mut previous)) = chars.next() else {
        return 0;
    };
    while let Some((at, c)) = chars.next() {
        let next_lower = chars.peek().is_some_and(|(_, next)| next.is_lowercase());
        let boundary = matches!(c, '_' | '$')
            || c.is_uppercase() && (!previous.is_uppercase() || next_lower)
            || c.is_ascii_digit() != previous.is_ascii_digit() && c.is_ascii_digit();
        if boundary {
            return at;
        }
        previous = c;
    }
    word.len()
}

/// The same for a word of ASCII characters, not empty.
fn ascii_part_end(word: &[u8]) -> usize {
    let is_boundary = |at: &usize| {
        let (previous, byte) = (word[at - 1], word[*at]);
        let next_lower = word.get(at + 1).is_some_and(u8::is_ascii_lowercase);
        matches!(byte, b'_' | b'$')
            || byte.is_ascii_uppercase() && (!previous.is_ascii_uppercase() || next_lower)
            || byte.is_ascii_digit() && !previous.is_ascii_digit()
    };
    (1..word.len()).find(is_boundary).unwrap_or(word.len())
}

/// Words that say nothing about a place in code: one letter, keywords, and the small words of English.
fn is_noise(word: &str) -> bool {
    word.len() < 2 || word.len() <= LONGEST_NOISE && PACKED_NOISE.binary_search(&packed(word.as_bytes())).is_ok()
}

/// A short word as a number: words compare as their numbers do.
const fn packed(word: &[u8]) -> u128 {
    let mut bytes = [0; LONGEST_NOISE];
    bytes.split_at_mut(word.len()).0.copy_from_slice(word);
    u128::from_be_bytes(bytes)
}

/// Bytes of a [`u128`].
const LONGEST_NOISE: usize = 16;

const PACKED_NOISE: [u128; NOISE.len()] = {
    let mut numbers = [0; NOISE.len()];
    let mut at = 0;
    while at < NOISE.len() {
        numbers[at] = packed(NOISE[at].as_bytes());
        at += 1;
    }
    numbers
};

/// Sorted.
const NOISE: &[&str] = &[
    "an",
    "and",
    "any",
    "are",
    "as",
    "async",
    "at",
    "await",
    "be",
    "but",
    "by",
    "can",
    "case",
    "catch",
    "class",
    "const",
    "do",
    "else",
    "export",
    "extends",
    "false",
    "for",
    "from",
    "function",
    "has",
    "have",
    "if",
    "implements",
    "import",
    "in",
    "into",
    "is",
    "it",
    "its",
    "let",
    "new",
    "not",
    "null",
    "number",
    "of",
    "on",
    "or",
    "private",
    "public",
    "readonly",
    "return",
    "should",
    "so",
    "string",
    "that",
    "the",
    "then",
    "there",
    "these",
    "this",
    "throw",
    "to",
    "true",
    "try",
    "type",
    "typeof",
    "undefined",
    "var",
    "void",
    "was",
    "we",
    "when",
    "which",
    "will",
    "with",
    "would",
    "you",
];

/// Cuts plural and verb endings in place: `items` `item`, `entries` `entry`, `parsing`, `parsed` and
/// `parse` `pars`.
pub(crate) fn stem(word: &mut String) {
    if !word.is_ascii() || word.len() < 4 {
        return;
    }
    if word.ends_with("ies") && word.len() > 4 {
        word.truncate(word.len() - 3);
        word.push('y');
    } else if ["sses", "shes", "ches", "xes"].iter().any(|end| word.ends_with(end)) {
        word.truncate(word.len() - 2);
    } else if word.ends_with('s') && !["ss", "us", "is"].iter().any(|end| word.ends_with(end)) {
        word.truncate(word.len() - 1);
    }
    for ending in ["ing", "ed", "er", "or", "ion"] {
        let left = word.len().saturating_sub(ending.len());
        if word.ends_with(ending) && left >= 3 && has_vowel(&word[..left]) {
            word.truncate(left);
            if !undouble(word) {
                drop_at(word);
            }
            return;
        }
    }
    if word.len() > 3 && word.ends_with('e') {
        word.truncate(word.len() - 1);
        drop_at(word);
    }
}

fn has_vowel(word: &str) -> bool {
    word.contains(['a', 'e', 'i', 'o', 'u', 'y'])
}

/// `stopp` → `stop`; gives whether it did.
fn undouble(word: &mut String) -> bool {
    let [.., a, b] = word.as_bytes() else {
        return false;
    };
    let doubled = a == b && !matches!(b, b'l' | b's' | b'z');
    if doubled {
        word.truncate(word.len() - 1);
    }
    doubled
}

/// `normalizat` (of `normalization`) → `normaliz` (of `normalize`); not `creat`, `updat`.
fn drop_at(word: &mut String) {
    if word.ends_with("at") && word.len() >= 6 {
        word.truncate(word.len() - 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        terms(text, |term, _| found.push(term.to_owned()));
        found
    }

    #[test]
    fn identifiers_fall_into_stemmed_parts_and_the_whole() {
        assert_eq!(of("calculateTotals"), ["calcul", "total", "calculatetotals"]);
        assert_eq!(of("HTMLElement2"), ["html", "element", "htmlelement2"]);
        assert_eq!(of("MAX_ITEMS"), ["max", "item", "max_items"]);
        assert_eq!(of("$_private the return"), Vec::<String>::new());
        assert_eq!(of("große Änderung"), ["große", "änderung"]);
        assert_eq!(of(&"x".repeat(100)), Vec::<String>::new());
    }

    #[test]
    fn forms_of_a_word_meet() {
        for forms in [
            &["parse", "parses", "parsed", "parsing", "parser"][..],
            &["calculate", "calculation", "calculating", "calculator"],
            &["entry", "entries"],
            &["stop", "stopped", "stopping"],
            &["normalize", "normalization", "normalized"],
            &["create", "creating", "created", "creator"],
            &["format", "formatting", "formatter"],
            &["box", "boxes"],
            &["select", "selection", "selected", "selector"],
        ] {
            let stems: Vec<_> = forms.iter().map(|form| of(form)).collect();
            assert!(stems.windows(2).all(|pair| pair[0] == pair[1]), "{stems:?}");
        }
    }

    #[test]
    fn the_noise_list_can_be_searched() {
        assert!(NOISE.is_sorted() && PACKED_NOISE.is_sorted());
        assert!(NOISE.iter().all(|word| word.len() <= LONGEST_NOISE && is_noise(word)));
        assert!(["fo", "forms", "thesis", "implementsimplements"].iter().all(|word| !is_noise(word)));
    }
}
