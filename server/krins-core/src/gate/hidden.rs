//! `honesty/hidden-unicode` and `honesty/mixed-script`: what a reader does not see.

use super::{Finding, Scene, Verdict};
use crate::path::RelPath;
use crate::syntax::Language;
use std::collections::BTreeMap;

/// `honesty/hidden-unicode`: bidirectional controls (CVE-2021-42574), tags and invisible characters that the patch adds;
/// `honesty/mixed-script`: names that look like others (CVE-2021-42694).
pub fn check_hidden_unicode(scene: &Scene<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for both in scene.reading.files() {
        let (file, before, after) = (both.file, &both.before.text, &both.after.text);
        if after.is_ascii() {
            continue;
        }
        if let Some((line, what)) = first_new(hidden(before), hidden(after)) {
            let fix = "write them as escapes such as \\u202e";
            let message = format!("the change adds {what}");
            findings.push(finding("hidden-unicode", Verdict::Block, &file.path, line, message, fix));
        }
        let is_code = Language::of(&file.path).is_some()
            || matches!(
                file.path.extension(),
                "py" | "rs"
                    | "go"
                    | "java"
                    | "rb"
                    | "c"
                    | "h"
                    | "cpp"
                    | "cs"
                    | "vue"
                    | "svelte"
                    | "json"
                    | "toml"
                    | "yaml"
                    | "yml"
                    | "sh"
            );
        if is_code && let Some((line, word)) = first_new(lookalikes(before), lookalikes(after)) {
            let fix = "write the name in one script";
            let message = format!(
                "`{}` mixes letters that look like Latin ones into a Latin name",
                word.escape_unicode_outside_ascii()
            );
            findings.push(finding("mixed-script", Verdict::Block, &file.path, line, message, fix));
        }
    }
    findings
}

trait Escape {
    fn escape_unicode_outside_ascii(&self) -> String;
}

impl Escape for String {
    /// What is not ASCII as an escape: a name that deceives must not deceive in the report.
    fn escape_unicode_outside_ascii(&self) -> String {
        self.chars().map(|c| if c.is_ascii() { c.to_string() } else { c.escape_unicode().to_string() }).collect()
    }
}

fn finding(rule: &str, verdict: Verdict, path: &RelPath, line: u32, message: String, fix: &str) -> Finding {
    Finding {
        rule: format!("honesty/{rule}"),
        verdict,
        path: path.clone(),
        lines: Some([line, line]),
        message,
        fix: Some(fix.into()),
        link: None,
    }
}

/// The first of `after` that `before` does not have as often.
fn first_new<K: Ord + Clone>(before: Vec<(u32, K)>, after: Vec<(u32, K)>) -> Option<(u32, K)> {
    let mut known: BTreeMap<K, usize> = BTreeMap::new();
    for (_, key) in before {
        *known.entry(key).or_default() += 1;
    }
    after.into_iter().find(|(_, key)| match known.get_mut(key) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    })
}

/// Characters that a reader does not see, with their lines.
fn hidden(text: &str) -> Vec<(u32, &'static str)> {
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.is_ascii()) {
        let mut before: [char; 2] = ['\0'; 2];
        let mut chars = line.chars().enumerate().peekable();
        while let Some((place, c)) = chars.next() {
            let next = chars.peek().map(|(_, next)| *next);
            if let Some(what) = why_hidden(c, before, next, at == 0 && place == 0) {
                found.push((at as u32 + 1, what));
            }
            before = [before[1], c];
        }
    }
    found
}

fn why_hidden(c: char, before: [char; 2], next: Option<char>, is_first: bool) -> Option<&'static str> {
    let is_picture =
        |c: char| matches!(c, '\u{2190}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}' | '\u{fe0f}' | '\u{20e3}');
    match c {
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => Some("characters that change the direction of the text"),
        // Scotland's flag is a black flag and tags.
        '\u{e0020}'..='\u{e007f}'
            if before[1] == '\u{1f3f4}'
                || matches!(before[1], '\u{e0020}'..='\u{e007f}') && before[0] != '\0' && is_flag(before) =>
        {
            None
        }
        '\u{e0000}'..='\u{e007f}' => Some("tag characters, which models read and people do not see"),
        '\u{e0100}'..='\u{e01ef}' => Some("selectors that carry hidden data"),
        '\u{fe00}'..='\u{fe0f}' if matches!(before[1], '\u{fe00}'..='\u{fe0f}') => {
            Some("selectors that carry hidden data")
        }
        '\u{feff}' if !is_first => Some("an invisible character"),
        '\u{200b}'
        | '\u{2060}'..='\u{2064}'
        | '\u{206a}'..='\u{206f}'
        | '\u{180e}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{3164}'
        | '\u{ffa0}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{fff9}'..='\u{fffb}' => Some("an invisible character"),
        // They join pictures and shape letters of scripts that need them.
        '\u{200c}' | '\u{200d}' => {
            let is_joined = is_picture(before[1]) || next.is_some_and(is_picture);
            let shapes = |c: char| ('\u{0600}'..='\u{109f}').contains(&c);
            (!is_joined && !shapes(before[1]) && !next.is_some_and(shapes)).then_some("an invisible character")
        }
        _ => None,
    }
}

fn is_flag(before: [char; 2]) -> bool {
    before[0] == '\u{1f3f4}' || matches!(before[0], '\u{e0020}'..='\u{e007f}')
}

/// Names in which letters of other scripts stand for Latin ones, with their lines.
fn lookalikes(text: &str) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.is_ascii()) {
        let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        for word in line.split(|c: char| !is_name(c)).filter(|word| !word.is_ascii()) {
            let has_latin = word.chars().any(|c| c.is_ascii_alphabetic());
            let foreign: Vec<char> = word.chars().filter(|c| !c.is_ascii() && c.is_alphabetic()).collect();
            if has_latin && !foreign.is_empty() && foreign.iter().all(|c| looks_latin(*c)) {
                found.push((at as u32 + 1, word.to_owned()));
            }
        }
    }
    found
}

/// Letters that are drawn like Latin ones (UTS #39): Cyrillic, Greek, Armenian, Cherokee, full-width and mathematical.
fn looks_latin(c: char) -> bool {
    matches!(
        c,
        'а' | 'с' | 'ԁ' | 'е' | 'һ' | 'і' | 'ј' | 'ӏ' | 'о' | 'р' | 'ԛ' | 'ѕ' | 'у' | 'ѵ' | 'ԝ' | 'х' | 'ӓ' | 'ё' | 'ї'
            | 'А' | 'В' | 'С' | 'Е' | 'Ԍ' | 'Н' | 'І' | 'Ј' | 'К' | 'М' | 'О' | 'Р' | 'Ѕ' | 'Т' | 'Ԝ' | 'Х' | 'Ү' | 'У'
            | 'Α' | 'Β' | 'Ε' | 'Ζ' | 'Η' | 'Ι' | 'Κ' | 'Μ' | 'Ν' | 'Ο' | 'Ρ' | 'Τ' | 'Υ' | 'Χ' | 'ο' | 'ν' | 'ι' | 'ρ'
            | 'օ' | 'ո' | 'ս' | 'հ' | 'ց' | 'զ' | 'Ꭰ' | 'Ꭱ' | 'Ꭲ' | 'Ꭺ' | 'Ꮯ' | 'Ꭼ' | 'Ꮋ' | 'Ꮇ' | 'Ꮲ' | 'Ꭵ'
            | '\u{ff21}'..='\u{ff3a}' | '\u{ff41}'..='\u{ff5a}' | '\u{1d400}'..='\u{1d6a5}'
    )
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

    #[test]
    fn what_nobody_sees_is_found_in_code_and_in_rules_for_models() {
        for hidden in
            ["\u{200b}", "\u{e0041}", "\u{2066}", "\u{2063}", "\u{fe01}\u{fe02}", "a\u{200d}b", "\u{3164}", "x\u{feff}"]
        {
            for name in ["a.ts", "AGENTS.md", ".cursorrules", "a.json"] {
                let found = judge(&patch(name, Some("x\n"), Some(&format!("x\n{hidden}y\n"))), check_hidden_unicode);
                assert_eq!(found.len(), 1, "{name} {}", hidden.escape_unicode());
                assert_eq!((found[0].rule.as_str(), found[0].verdict), ("honesty/hidden-unicode", Verdict::Block));
            }
        }
        for seen in [
            "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
            "\u{1f3f4}\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
            "❤\u{fe0f}",
            "می\u{200c}خواهم",
            "größe, naïve, 日本語, привет",
        ] {
            let found = judge(&patch("a.ts", Some("x\n"), Some(&format!("x\n// {seen}\n"))), check_hidden_unicode);
            assert!(found.is_empty(), "{} {found:?}", seen.escape_unicode());
        }
        assert!(judge(&patch("a.ts", None, Some("\u{feff}const a = 1\n")), check_hidden_unicode).is_empty());
    }

    #[test]
    fn names_that_look_like_others_are_found_and_names_of_one_script_are_not() {
        for word in ["s\u{0441}ope", "is\u{0410}dmin", "p\u{03bf}rt", "\u{ff41}bc", "\u{0430}dmin"] {
            let found = judge(&patch("a.ts", Some(""), Some(&format!("const {word} = 1\n"))), check_hidden_unicode);
            assert_eq!(found.len(), 1, "{word}");
            assert!(found[0].message.is_ascii(), "the report shows what it is");
        }
        for word in ["привет", "Δx", "λ_max", "μs", "größe", "café", "naïve", "Aracı", "日本Name", "σ2", "x_π"]
        {
            let found = judge(&patch("a.ts", Some(""), Some(&format!("const {word} = 1\n"))), check_hidden_unicode);
            assert!(found.is_empty(), "{word} {found:?}");
        }
    }
}
