//! The judge: a second model looks at a change, without hearing its author. What it is shown and how its answer is read;
//! who is asked, and what follows from it, is decided elsewhere. Its answer is as untrusted as any model's: whatever is
//! not exactly a verdict is none, and none is never a pass.

use krins_core::Digest;
use krins_core::RelPath;
use krins_core::prompt::{Item, JUDGE_VERSION, Prompt};
use serde::{Deserialize, Serialize};

/// A change of more bytes than this is not judged: a judge that skims is worse than none.
pub const LONGEST: usize = 200 << 10;
/// Tokens that seven verdicts with reasons may have.
pub const ANSWER_TOKENS: u32 = 2_000;
/// Characters of a reason.
const REASON: usize = 300;
/// Bytes of an answer that are looked at.
const LONGEST_ANSWER: usize = 64 << 10;

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Checkpoint {
    Correctness,
    Security,
    Performance,
    Architecture,
    Tests,
    Scope,
    Readability,
}

impl Checkpoint {
    pub const ALL: [Checkpoint; 7] = [
        Self::Correctness,
        Self::Security,
        Self::Performance,
        Self::Architecture,
        Self::Tests,
        Self::Scope,
        Self::Readability,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Correctness => "correctness",
            Self::Security => "security",
            Self::Performance => "performance",
            Self::Architecture => "architecture",
            Self::Tests => "tests",
            Self::Scope => "scope",
            Self::Readability => "readability",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    Pass,
    Fail,
    #[default]
    Unjudged,
}

/// One checkpoint's verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub checkpoint: Checkpoint,
    pub word: Word,
    pub reason: String,
}

/// The task and the change, and nothing that the change's author says for it. `None` when it is too long to be judged.
pub fn prompt(words: &str, diff: &str) -> Option<Prompt> {
    if diff.len() > LONGEST {
        return None;
    }
    let path = RelPath::new("the-change.diff").ok()?;
    let lines = u32::try_from(diff.lines().count()).unwrap_or(u32::MAX).max(1);
    let item = Item {
        path,
        digest: Digest::of(diff),
        ranges: vec![[1, lines]],
        verbatim: true,
        text: diff.to_owned(),
        tokens: 0,
        reason: "the change".into(),
    };
    Some(Prompt { version: JUDGE_VERSION, intent: words.to_owned(), focus: None, items: vec![item] })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    correctness: Option<Said>,
    security: Option<Said>,
    performance: Option<Said>,
    architecture: Option<Said>,
    tests: Option<Said>,
    scope: Option<Said>,
    readability: Option<Said>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    verdict: String,
    #[serde(default)]
    reason: String,
}

/// Seven verdicts, whatever the answer is. A field twice, a field too many or a word around the object makes all of it none.
pub fn read(answer: &str) -> Vec<Verdict> {
    let parsed = object(answer).and_then(|text| serde_json::from_str::<Answer>(text).ok());
    let Some(parsed) = parsed else { return unjudged("the judge's answer is not in the form it was asked for") };
    let said = [
        parsed.correctness,
        parsed.security,
        parsed.performance,
        parsed.architecture,
        parsed.tests,
        parsed.scope,
        parsed.readability,
    ];
    Checkpoint::ALL.into_iter().zip(said).map(|(checkpoint, said)| verdict(checkpoint, said)).collect()
}

/// Seven times no verdict, for this reason.
pub fn unjudged(why: &str) -> Vec<Verdict> {
    let none = |checkpoint| Verdict { checkpoint, word: Word::Unjudged, reason: clean(why) };
    Checkpoint::ALL.into_iter().map(none).collect()
}

fn verdict(checkpoint: Checkpoint, said: Option<Said>) -> Verdict {
    let Some(Said { verdict, reason }) = said else {
        return Verdict { checkpoint, word: Word::Unjudged, reason: "the judge did not say".into() };
    };
    let reason = clean(&reason);
    let word = match verdict.as_str() {
        "pass" => Word::Pass,
        "fail" => Word::Fail,
        _ => Word::Unjudged,
    };
    // A failure that cannot be explained helps nobody to mend it, but it is no pass.
    let reason = if reason.is_empty() { "without a reason".to_owned() } else { reason };
    Verdict { checkpoint, word, reason }
}

/// The one JSON object that the answer is, bare or in one fence.
fn object(answer: &str) -> Option<&str> {
    if answer.len() > LONGEST_ANSWER {
        return None;
    }
    let text = answer.trim();
    let inner = match text.strip_prefix("```") {
        None => text,
        Some(rest) => {
            let (tag, body) = rest.split_once('\n')?;
            if !matches!(tag.trim(), "" | "json") {
                return None;
            }
            body.trim_end().strip_suffix("```")?.trim()
        }
    };
    (inner.starts_with('{') && inner.ends_with('}')).then_some(inner)
}

/// Fit to be shown: one line, without control characters and hidden marks, and not too long.
fn clean(text: &str) -> String {
    let spaced = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c });
    let line: String = spaced.filter(|c| !krins_core::text::is_unseen(*c)).collect();
    let mut short: String = line.trim().chars().take(REASON).collect();
    if line.trim().chars().count() > REASON {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(correctness: &str) -> String {
        let others = ["security", "performance", "architecture", "tests", "scope", "readability"];
        let others: Vec<String> =
            others.iter().map(|name| format!("\"{name}\": {{\"verdict\": \"pass\", \"reason\": \"fine\"}}")).collect();
        format!("{{\"correctness\": {correctness}, {}}}", others.join(", "))
    }

    fn first(answer: &str) -> (Word, String) {
        let verdicts = read(answer);
        assert_eq!(verdicts.len(), 7);
        (verdicts[0].word, verdicts[0].reason.clone())
    }

    #[test]
    fn verdicts_are_read_and_what_is_none_is_never_a_pass() {
        let fail = "{\"verdict\": \"fail\", \"reason\": \"off by\\n one\"}";
        assert_eq!(first(&whole(fail)), (Word::Fail, "off by  one".into()));
        assert_eq!(first(&format!("```json\n{}\n```", whole(fail))).0, Word::Fail);
        assert!(read(&whole(fail))[1..].iter().all(|verdict| verdict.word == Word::Pass));
        for odd in ["{\"verdict\": \"PASS\"}", "{\"verdict\": \"passed\"}", "{\"verdict\": \"\"}", "null"] {
            assert_eq!(first(&whole(odd)).0, Word::Unjudged, "{odd}");
        }
        let pass = whole("{\"verdict\": \"pass\"}");
        let twice =
            format!("{}, \"security\": {{\"verdict\": \"pass\"}}}}", pass.trim_end_matches('}').to_owned() + "}");
        for broken in [
            "",
            "pass",
            "true",
            "[]",
            "{}",
            &format!("All is well. {pass}"),
            &format!("{pass}{pass}"),
            &twice,
            &pass.replace("scope", "scopes"),
            &pass.replace("\"reason\": \"fine\"", "\"reason\": \"fine\", \"note\": 1"),
            &format!("```python\n{pass}\n```"),
        ] {
            assert!(read(broken).iter().all(|verdict| verdict.word == Word::Unjudged), "{broken}");
        }
        assert!(read(&pass).iter().all(|verdict| verdict.word == Word::Pass));
    }

    #[test]
    fn a_reason_is_one_clean_line_and_a_long_change_is_not_judged() {
        let reason = format!("a\\u0007b\\u202ec {}", "x".repeat(400));
        let (_, reason) = first(&whole(&format!("{{\"verdict\": \"fail\", \"reason\": \"{reason}\"}}")));
        assert!(reason.starts_with("abc xxx") && reason.chars().count() == REASON + 1, "{reason}");
        assert!(prompt("x", &"+\n".repeat(LONGEST)).is_none());
        let prompt = prompt("call it sum", "--- a/x\n+++ b/x\n").unwrap().render();
        let user = &prompt.turns[0].text;
        assert!(user.contains("call it sum") && user.contains("+++ b/x"), "{prompt:?}");
        assert!(Checkpoint::ALL.iter().all(|checkpoint| prompt.system.contains(checkpoint.name())));
    }

    proptest! {
        #[test]
        fn any_answer_gives_seven_verdicts(answer in ".{0,200}") {
            prop_assert_eq!(read(&answer).len(), 7);
        }
    }
}
