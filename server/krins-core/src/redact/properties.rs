//! What holds for every prompt: no value leaves, every value comes back byte for byte however the answer is cut, and an
//! answer made from the redacted text fits the file in each of the five forms.

use super::*;
use crate::digest::Digest;
use crate::patch::{self, Form};
use crate::path::RelPath;
use crate::prompt::{Item, PROMPT_VERSION};
use std::collections::BTreeMap;

/// Seeds of a run.
const SEEDS: u64 = 400;
/// Those of the long run: `cargo test --release -p krins-core --lib redact::properties -- --ignored`.
const MANY_SEEDS: u64 = 10_000;

/// Chance that a seed decides (splitmix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn of(&mut self, letters: &str, length: usize) -> String {
        (0..length).map(|_| char::from(letters.as_bytes()[self.below(letters.len())])).collect()
    }

    fn one<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
}

const WORD: &str = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";

/// A value that nobody may see, and a line of code around it.
fn planted(chance: &mut Chance) -> (String, String) {
    let user = chance.of("bcdfgmnprstvz", 6);
    let value = match chance.below(11) {
        0 => format!("ghp_{}", chance.of(WORD, 36)),
        1 => format!("AKIA{}", chance.of("ABCDEFGHJKLMNPQRSTUVWXYZ234567", 16)),
        2 => format!("sk_live_{}", chance.of(WORD, 24)),
        3 => format!("glpat-{}", chance.of(WORD, 20)),
        4 => format!("{user}.{}@{}.io", chance.of("bcdfgm", 3), chance.of("bcdfgmnprs", 5)),
        5 => format!("81.{}.{}.{}", 100 + chance.below(100), 100 + chance.below(99), 10 + chance.below(89)),
        6 => checked_card(&format!("4539{}", chance.of("0123456789", 11))),
        7 => checked_iban(&chance.of("0123456789", 18)),
        8 => format!("536-{:02}-{:04}", 1 + chance.below(98), 1 + chance.below(9998)),
        9 => user.clone(),
        _ => format!("+49 30 {}", 1_000_000 + chance.below(8_999_999)),
    };
    let line = if value == user {
        format!("const home = \"/home/{value}/code/{}\";", chance.one(&["a.ts", "é.ts", "b"]))
    } else if value.starts_with("+49") {
        format!("const contact = {{ phone: \"{value}\" }};")
    } else {
        match chance.below(5) {
            0 => format!("const value = \"{value}\";"),
            1 => format!("  // see {value}, and ask"),
            2 => format!("{{ key: '{value}', other: `{value}` }},"),
            3 => format!("\u{e9}\u{1f600} \"{value}\"\t/* {value} */"),
            _ => format!("export const x = call('{value}')"),
        }
    };
    (value, line)
}

fn checked_card(body: &str) -> String {
    let digit = |last: u32| format!("{body}{last}");
    (0..10).map(digit).find(|number| personal::tests_luhn(number)).unwrap_or_default()
}

fn checked_iban(account: &str) -> String {
    let rest = format!("{account}131400").chars().fold(0, |rest, c| (rest * 10 + c.to_digit(10).unwrap_or(0)) % 97);
    format!("DE{:02}{account}", 98 - rest)
}

/// A file with planted values, and the values.
fn file(chance: &mut Chance) -> (String, Vec<String>) {
    let (mut lines, mut values) = (Vec::new(), Vec::new());
    for at in 0..8 + chance.below(12) {
        if chance.below(3) == 0 {
            let (value, line) = planted(chance);
            values.push(value);
            lines.push(line);
        } else {
            lines.push(format!("function step{at}() {{ return {}; }}", chance.below(100)));
        }
    }
    let end = chance.one(&["\n", "\r\n"]);
    (lines.iter().map(|line| format!("{line}{end}")).collect(), values)
}

fn prompt(text: &str) -> Prompt {
    let item = Item {
        path: RelPath::new("src/a.ts").unwrap(),
        digest: Digest::of(text),
        ranges: vec![[1, text.lines().count() as u32]],
        verbatim: true,
        text: text.to_owned(),
        tokens: 0,
        reason: String::new(),
    };
    Prompt { version: PROMPT_VERSION, intent: "do it".into(), focus: None, items: vec![item] }
}

#[test]
fn no_value_leaves_and_every_value_comes_back_however_the_answer_is_cut() {
    round_trips(SEEDS);
}

#[test]
#[ignore = "takes minutes"]
fn no_value_leaves_with_ten_thousand_seeds() {
    round_trips(MANY_SEEDS);
    fits_in_every_form(MANY_SEEDS);
}

fn round_trips(seeds: u64) {
    let mut planted = 0;
    let mut vault = Vault::default();
    for seed in 0..seeds {
        // A session knows many values, and its vault is not to grow without an end here.
        if seed % SEEDS == 0 {
            vault = Vault::default();
        }
        let mut chance = Chance(seed);
        let (text, values) = file(&mut chance);
        planted += values.len();
        let (redacted, restorer) = redact_with(prompt(&text), &Classes::default(), &mut vault);
        let seen = &redacted.get().items[0].text;
        for value in &values {
            assert!(!seen.contains(value.as_str()), "seed {seed}: {value} in {seen}");
        }
        assert_eq!(seen.split_inclusive('\n').count(), text.split_inclusive('\n').count(), "seed {seed}");
        assert_eq!(restorer.restore(seen).as_deref(), Ok(text.as_str()), "seed {seed}");
        let mut stream = restorer.stream();
        let (mut out, mut rest) = (String::new(), seen.as_str());
        while !rest.is_empty() {
            let end = (1 + chance.below(12)..rest.len()).find(|at| rest.is_char_boundary(*at)).unwrap_or(rest.len());
            out.push_str(&stream.push(&rest[..end]).unwrap());
            rest = &rest[end..];
        }
        out.push_str(&stream.finish().unwrap());
        assert_eq!(out, text, "seed {seed}");
        let gone = irreversible(&text);
        for value in values.iter().filter(|value| !value.starts_with("81.") && value.len() > 6) {
            assert!(!gone.contains(value.as_str()), "seed {seed}: {value} in {gone}");
        }
        // A placeholder that the model altered stands for nothing, and nothing is guessed.
        if let Some(at) = seen.find("KRINS_SECRET_") {
            let altered = format!("{}KRINS_SECRET_9{}", &seen[..at], &seen[at + "KRINS_SECRET_".len()..]);
            assert!(restorer.restore(&altered).is_err(), "seed {seed}");
        }
        // What stands for a value is nobody's: redacting again changes nothing.
        let again = redact(prompt(seen));
        assert_eq!(&again.0.get().items[0].text, seen, "seed {seed}");
    }
    assert!(planted > 500, "{planted}");
}

#[test]
fn an_answer_made_from_the_redacted_text_fits_the_file_in_every_form() {
    fits_in_every_form(SEEDS / 2);
}

fn fits_in_every_form(seeds: u64) {
    let (mut done, mut failed) = (0, Vec::new());
    for seed in 0..seeds {
        let mut chance = Chance(seed ^ 0xf00d);
        let (text, _) = file(&mut chance);
        let text = text.replace("\r\n", "\n");
        let (redacted, restorer) = redact(prompt(&text));
        let seen: Vec<&str> = redacted.get().items[0].text.lines().collect();
        let at = chance.below(seen.len() - 1);
        let insert = "const added = 1; // by the answer";
        let mut wanted: Vec<&str> = text.lines().collect();
        wanted.insert(at + 1, insert);
        let wanted = format!("{}\n", wanted.join("\n"));
        for form in [Form::Unified, Form::SearchReplace, Form::V4a, Form::StrReplace, Form::WholeFile] {
            done += 1;
            let answer = answer(form, &seen, at, insert);
            match applied(&answer, &restorer, &text) {
                Ok(found) if found == wanted => {}
                other => failed.push(format!("seed {seed}, {form}: {other:?}\n{answer}")),
            }
        }
    }
    assert!(failed.len() * 1000 <= done, "{} of {done}: {}", failed.len(), failed[0]);
}

/// An answer that adds a line behind line `at`, with everything around it as the prompt showed it.
fn answer(form: Form, seen: &[&str], at: usize, insert: &str) -> String {
    let (from, to) = (at.saturating_sub(2), (at + 3).min(seen.len()));
    let old = seen[from..to].join("\n");
    let new: Vec<&str> = [&seen[from..=at], &[insert], &seen[at + 1..to]].concat();
    let marked: String =
        new.iter().map(|line| format!("{}{line}\n", if *line == insert { '+' } else { ' ' })).collect();
    match form {
        Form::Unified => format!(
            "--- a/src/a.ts\n+++ b/src/a.ts\n@@ -{},{} +{},{} @@\n{marked}",
            from + 1,
            to - from,
            from + 1,
            to - from + 1
        ),
        Form::SearchReplace => {
            format!("src/a.ts\n<<<<<<< SEARCH\n{old}\n=======\n{}\n>>>>>>> REPLACE\n", new.join("\n"))
        }
        Form::V4a => format!("*** Begin Patch\n*** Update File: src/a.ts\n@@\n{marked}*** End Patch\n"),
        Form::StrReplace => {
            serde_json::json!({"path": "src/a.ts", "old_str": old, "new_str": new.join("\n")}).to_string()
        }
        Form::WholeFile => {
            let whole = [&seen[..=at], &[insert], &seen[at + 1..]].concat();
            format!("src/a.ts\n```ts\n{}\n```\n", whole.join("\n"))
        }
    }
}

fn applied(answer: &str, restorer: &Restorer, text: &str) -> Result<String, String> {
    let parsed = patch::parse(answer).map_err(|refusal| refusal.why)?;
    let parsed = parsed.with_texts(&mut |line| restorer.restore(line)).map_err(|error| error.to_string())?;
    let base = BTreeMap::from([(RelPath::new("src/a.ts").unwrap(), std::sync::Arc::from(text.as_bytes()))]);
    let placed = patch::place(&parsed, &base, true).map_err(|refusals| refusals[0].why.clone())?;
    let after = placed.files()[0].after.as_deref().unwrap_or_default();
    Ok(String::from_utf8_lossy(after).into_owned())
}

#[test]
fn a_value_in_json_is_escaped_as_json_asks() {
    let text = "const url = 'postgres://app:q7Rf2\\\"Zk!P9v@db.acme.io/x';\n";
    let (redacted, restorer) = redact(prompt(text));
    let seen = &redacted.get().items[0].text;
    assert!(!seen.contains("Zk!P9v"), "{seen}");
    let answer = serde_json::json!({"path": "src/a.ts", "old_str": seen.trim(), "new_str": "x"}).to_string();
    let restored: serde_json::Value = serde_json::from_str(&restorer.restore_json(&answer).unwrap()).unwrap();
    assert_eq!(restored["old_str"], text.trim());
}

#[test]
fn one_value_has_one_placeholder_in_a_session_and_only_this_prompts_values_come_back() {
    let mut vault = Vault::default();
    let (a, b) = ("jane@acme.io", "john@acme.io");
    let first = redact_with(prompt(&format!("// {a}")), &Classes::default(), &mut vault);
    let second = redact_with(prompt(&format!("// {b} {a}")), &Classes::default(), &mut vault);
    assert_eq!(first.0.get().items[0].text, "// krins_email_1@redacted.invalid");
    assert_eq!(second.0.get().items[0].text, "// krins_email_2@redacted.invalid krins_email_1@redacted.invalid");
    assert!(first.1.restore("krins_email_2@redacted.invalid").is_err(), "it was not in this prompt");
    for altered in
        ["Krins_Email_1@redacted.invalid", "krins_email_1@acme.io", "krins_email_1", "krins_email_11@redacted.invalid"]
    {
        assert!(first.1.restore(altered).is_err(), "{altered}");
    }
    let off = redact_with(prompt(&format!("// {a}")), &Classes::secrets_only(), &mut vault);
    assert_eq!(off.0.get().items[0].text, format!("// {a}"));
}

#[test]
fn what_is_gone_for_good_names_its_class() {
    let text = format!("token ghp_{} of jane@acme.io in /home/jane/x", "q7Rf2ZkP9vXw3LmT8sNbH5cYdJ1gUa4eKo6B");
    assert_eq!(irreversible(&text), "token [REDACTED:secret] of [REDACTED:email] in /home/jane/x");
    assert!(matches!(irreversible("nothing to see"), Cow::Borrowed(_)));
}
