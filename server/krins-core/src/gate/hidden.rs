//! `honesty/hidden-unicode`: what a reader does not see.

use super::{Finding, Scene, Verdict, text};

/// `honesty/hidden-unicode`: bidirectional controls and invisible characters that the patch adds (CVE-2021-42574).
pub fn check_hidden_unicode(scene: &Scene<'_>) -> Vec<Finding> {
    let hidden = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}' | '\u{2060}' | '\u{e0000}'..='\u{e007f}');
    let mut findings = Vec::new();
    for file in scene.patch.files() {
        let count = |text: &str| text.chars().filter(|c| hidden(*c)).count();
        let after = text(file.after.as_deref());
        if count(&after) <= count(&text(file.before.as_deref())) {
            continue;
        }
        let line = after.lines().position(|line| line.chars().any(hidden)).map_or(1, |at| at as u32 + 1);
        findings.push(Finding {
            rule: "honesty/hidden-unicode".into(),
            verdict: Verdict::Block,
            path: file.path.clone(),
            lines: Some([line, line]),
            message: "the change adds invisible or direction-changing characters".into(),
            fix: Some("write them as escapes such as \\u202e".into()),
            link: None,
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::{judge, patch};

    #[test]
    fn hidden_characters_block_when_added() {
        assert_eq!(
            judge(&patch("a.ts", Some("a\n"), Some("a\nb\u{202e}c\n")), check_hidden_unicode)[0].lines,
            Some([2, 2])
        );
        assert!(judge(&patch("a.ts", Some("\u{202e}\n"), Some("\u{202e}x\n")), check_hidden_unicode).is_empty());
    }
}
