//! Which licence a text is, by comparing it with the texts of the usual ones.

use spdx::detection::TextData;
use std::sync::OnceLock;

/// The texts that are known, by id, from SPDX's list; each begins with a line `%%%% ID`.
const TEXTS: &str = include_str!("texts.txt");
/// Larger than any licence; what comes behind is not one.
const LONGEST: usize = 64 << 10;
/// How alike (0 to 1) the texts have to be.
const ALIKE: f32 = 0.9;

fn known() -> &'static [(&'static str, TextData)] {
    static KNOWN: OnceLock<Vec<(&'static str, TextData)>> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let parts = TEXTS.split("%%%% ").skip(1).filter_map(|part| part.split_once('\n'));
        parts.map(|(id, text)| (id.trim(), TextData::new(text))).collect()
    })
}

/// The id of the licence that the text is; `None` when it is like none of the usual ones.
pub fn detect(text: &str) -> Option<&'static str> {
    let end = (0..=LONGEST.min(text.len())).rev().find(|at| text.is_char_boundary(*at))?;
    let text = &text[..end];
    if text.split_whitespace().collect::<Vec<_>>().join(" ").to_ascii_lowercase().contains("commons clause") {
        return Some("LicenseRef-Commons-Clause");
    }
    let text = TextData::new(text);
    let mut best: Option<(f32, &'static str)> = None;
    for (id, known) in known() {
        let score = known.match_score(&text);
        if best.is_none_or(|(best, _)| score > best) {
            best = Some((score, id));
        }
    }
    best.filter(|(score, _)| *score >= ALIKE).map(|(_, id)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_itself_also_with_another_holder() {
        for part in TEXTS.split("%%%% ").skip(1) {
            let (id, text) = part.split_once('\n').unwrap();
            assert_eq!(detect(text), Some(id.trim()));
        }
        let mit = TEXTS.split("%%%% ").find(|part| part.starts_with("MIT\n")).unwrap();
        let text = mit.replace("<year>", "2024").replace("<copyright holders>", "Somebody Else <a@b.c>");
        assert_eq!(detect(text.split_once('\n').unwrap().1), Some("MIT"));
        assert_eq!(detect("You may use this on Sundays."), None);
        assert_eq!(detect(""), None);
        assert_eq!(detect("“Commons Clause” License\nCondition v1.0 …"), Some("LicenseRef-Commons-Clause"));
    }
}
