//! What an answer says beside its edits: its first sentence that says something, as one short line.
//!
//! The words are a model's: whoever shows them says so. They are never an instruction, and decide nothing.

use super::parse;
use crate::text::is_unseen;

/// The most characters that are quoted.
const LONGEST: usize = 200;
/// A sentence of fewer words is a "Sure." or a "Here you go!".
const FEWEST_WORDS: usize = 4;
/// What Markdown puts around words.
const DECORATION: [char; 5] = ['#', '>', '*', '-', '_'];

/// The first sentence of the prose around the edits. `None` where there is none, or only one that leads up to them.
pub fn said(answer: &str) -> Option<String> {
    let mut paragraph = String::new();
    for line in parse::prose(answer) {
        if line.trim().is_empty() {
            if let Some(sentence) = telling(&paragraph) {
                return Some(sentence);
            }
            paragraph.clear();
        }
        paragraph.push_str(line.trim().trim_matches(|c: char| c.is_whitespace() || DECORATION.contains(&c)));
        paragraph.push(' ');
    }
    telling(&paragraph)
}

fn telling(paragraph: &str) -> Option<String> {
    let spaced = paragraph.chars().map(|c| if c.is_whitespace() { ' ' } else { c });
    let plain: String = spaced.filter(|c| !is_unseen(*c)).collect();
    let mut rest = plain.trim();
    while !rest.is_empty() {
        let ends = |(at, c): &(usize, char)| {
            matches!(c, '.' | '!' | '?') && rest[at + c.len_utf8()..].chars().next().is_none_or(|next| next == ' ')
        };
        let end = rest.char_indices().find(ends).map_or(rest.len(), |(at, c)| at + c.len_utf8());
        let (sentence, more) = rest.split_at(end);
        // What ends with a colon is about the edits that follow it.
        if sentence.split_whitespace().count() >= FEWEST_WORDS && !sentence.ends_with(':') {
            return Some(short(sentence));
        }
        rest = more.trim_start();
    }
    None
}

fn short(sentence: &str) -> String {
    match sentence.char_indices().nth(LONGEST) {
        None => sentence.to_owned(),
        Some(_) => sentence.chars().take(LONGEST - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BLOCK: &str =
        "src/a.ts\n<<<<<<< SEARCH\nconst a = 1; // It is one. It is not two.\n=======\nconst a = 2;\n>>>>>>> REPLACE\n";

    #[test]
    fn the_first_sentence_that_says_something_is_quoted() {
        let cases = [
            (format!("Sure.\n\nThe total was\nrounded twice. I fixed `a`.\n\n{BLOCK}"), Some("The total was rounded twice.")),
            (format!("## **The total is now in cents**\n\n```ts\n{BLOCK}```\n"), Some("The total is now in cents")),
            (format!("Here are all of the changes:\n\n{BLOCK}"), None),
            (format!("{BLOCK}\nThe cart uses src/a.ts as before. Run the tests."), Some("The cart uses src/a.ts as before.")),
            (BLOCK.to_owned(), None),
            (format!("I add one line.\n\n{BLOCK}\n{BLOCK}"), Some("I add one line.")),
            (
                "Tokens are checked in one place now.\n\n*** Begin Patch\n*** Update File: a.ts\n@@\n-a\n+b\n*** End Patch\n".into(),
                Some("Tokens are checked in one place now."),
            ),
            (
                "Tokens are checked in one place now.\n--- a/a.ts\n+++ b/a.ts\n@@ -1 +1 @@\n-a\n+b\n Not these words of a line.\n".into(),
                Some("Tokens are checked in one place now."),
            ),
            ("The whole file is new.\n\nsrc/a.ts\n```ts\n// These words are in it.\n```\n".into(), Some("The whole file is new.")),
            ("{\"patch\": \"These words are in a text. \"}".into(), None),
            (String::new(), None),
        ];
        for (answer, expected) in cases {
            assert_eq!(said(&answer).as_deref(), expected, "{answer}");
        }
    }

    #[test]
    fn what_nobody_sees_and_what_is_too_long_is_taken_out() {
        let hidden = format!("It is\u{202e} one \u{1b}[31mthing\u{200b} now.\n\n{BLOCK}");
        assert_eq!(said(&hidden).unwrap(), "It is one [31mthing now.");
        let joined = "It says می\u{200c}خواهم in the menu now.";
        assert_eq!(said(&format!("{joined}\n\n{BLOCK}")).unwrap(), joined, "what joins letters stays");
        let long = said(&format!("{}\n\n{BLOCK}", "ä b ".repeat(500))).unwrap();
        assert_eq!((long.chars().count(), long.ends_with('…')), (LONGEST, true));
    }

    proptest! {
        #[test]
        fn any_answer_gives_one_short_line_or_none(before in "(.|\n){0,300}", after in "(.|\n){0,300}") {
            for answer in [before.clone(), format!("{before}\n{BLOCK}{after}")] {
                if let Some(line) = said(&answer) {
                    prop_assert!(line.chars().count() <= LONGEST && !line.chars().any(is_unseen), "{line:?}");
                }
            }
        }
    }
}
