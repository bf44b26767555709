//! What stands in the place of a value: a text of the same kind that nobody has.
//!
//! Every form has a stem that no text of the prompt holds, in whatever case, so that restoring never touches the
//! repository's own text and an altered placeholder is seen.

use super::Class;
use aho_corasick::{AhoCorasick, MatchKind};
use std::sync::LazyLock;

/// Of the usual stems, which nearly every prompt has: it takes longer to build than most prompts take to be read.
static USUAL: LazyLock<AhoCorasick> = LazyLock::new(|| Stems::default().build_finder());

/// The stems of one prompt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stems {
    /// How often the usual stems had to give way.
    turn: usize,
}

/// Turns beyond this are not tried: numbers have no more room. A text that holds all of them is hostile, and only its own
/// author is confused by it.
const MOST_TURNS: usize = 90;

impl Stems {
    /// Stems that none of the texts holds.
    pub(super) fn free_in<'a>(texts: impl Iterator<Item = &'a str> + Clone) -> Self {
        let mut turns = (0..MOST_TURNS).map(|turn| Self { turn });
        let free = |stems: &Self| {
            let finder = stems.finder();
            !texts.clone().any(|text| finder.is_match(text))
        };
        turns.find(free).unwrap_or(Self { turn: MOST_TURNS })
    }

    /// Finds every stem, in whatever case.
    pub(super) fn finder(&self) -> AhoCorasick {
        if *self == Self::default() { USUAL.clone() } else { self.build_finder() }
    }

    fn build_finder(&self) -> AhoCorasick {
        AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::LeftmostLongest)
            .build(Class::ALL.into_iter().flat_map(|class| self.stems(class)))
            .expect("the stems are short literals")
    }

    /// `X_` for every turn that was taken.
    fn mark(&self) -> String {
        "X_".repeat(self.turn)
    }

    /// What the placeholders of a class begin with; addresses of machines have two forms.
    pub(super) fn stems(&self, class: Class) -> Vec<String> {
        let lower = self.mark().to_ascii_lowercase();
        let turn = self.turn;
        match class {
            Class::Secret => vec![format!("KRINS_SECRET_{}", self.mark())],
            Class::Email => vec![format!("krins_email_{lower}")],
            // 999 is the code of no country.
            Class::Phone => vec![format!("+999{turn:02}0")],
            // XX is set aside for users of ISO 3166.
            Class::Iban => vec![format!("XX{turn:02}KRNS")],
            // No issuer has numbers that begin so.
            Class::Card => vec![format!("94170{turn:02}0")],
            // 240/4 is reserved, 3fff::/20 is for documentation (RFC 9637).
            Class::Ip => vec![format!("240.{}.", turn + 1), format!("3fff:{:x}::", turn + 1)],
            Class::Id => vec![format!("KRINS_ID_{}", self.mark())],
            Class::User => vec![format!("krins_user_{lower}")],
            Class::Person => vec![format!("krins_person_{lower}")],
        }
    }

    /// The placeholder of the value, which has that number in its class.
    pub(super) fn placeholder(&self, class: Class, value: &str, number: usize) -> String {
        let stems = self.stems(class);
        let stem = &stems[0];
        match class {
            Class::Secret | Class::Id | Class::User | Class::Person => format!("{stem}{number}"),
            Class::Email => format!("{stem}{number}@redacted.invalid"),
            Class::Phone => format!("{stem}{number:06}"),
            Class::Iban => format!("{stem}{number:012}"),
            Class::Card => format!("{stem}{number:08}"),
            Class::Ip if value.contains(':') => format!("{}{number:x}", stems.last().unwrap_or(stem)),
            Class::Ip => format!("{stem}{}.{}", number >> 8 & 255, number & 255),
        }
    }
}

/// Whether a placeholder can go on with the character.
pub(super) fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '@' | '.' | ':' | '+')
}
