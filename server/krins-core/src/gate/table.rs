//! All rules whose text is here, for the page that lists them and for policies that name them.

use super::sast::rules::Level;
use super::{Verdict, honesty, sast, taint};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// A rule as the page shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleRow {
    /// `check/rule`.
    pub id: String,
    /// What it counts for when no policy says otherwise; a rule that passes only notes.
    pub level: Verdict,
    /// What it finds, in Markdown.
    pub title: String,
    pub fix: String,
}

/// The rules of `syntax`, `sast` and `honesty`, in the order of their data.
pub fn rule_table() -> Vec<RuleRow> {
    let row = |check: &str, id: &str, level: Verdict, title: &str, fix: &str| RuleRow {
        id: format!("{check}/{id}"),
        level,
        title: title.to_owned(),
        fix: fix.to_owned(),
    };
    let sast = |id: &str, level: Level, title: &str, fix: &str| row("sast", id, level.into(), title, fix);
    let syntax = "an error of syntax that the text did not have before";
    let mut rows = vec![row("syntax", "new-error", Verdict::Block, syntax, "close what is open")];
    rows.extend(sast::rules::written().iter().map(|rule| sast(&rule.id, rule.level, &rule.title, &rule.fix)));
    rows.extend(sast::removed::RULES.iter().map(|rule| row("sast", rule.id, rule.level, rule.title, rule.fix)));
    rows.push(row("sast", sast::NOT_WHOLE.id, sast::NOT_WHOLE.level, sast::NOT_WHOLE.title, sast::NOT_WHOLE.fix));
    rows.extend(taint::ways::written().iter().map(|rule| sast(&rule.id, rule.level, &rule.title, &rule.fix)));
    rows.extend(honesty::RULES.iter().map(|rule| row("honesty", rule.id, rule.level, rule.title, rule.fix)));
    rows
}

/// The table as a page shows it, in Markdown.
pub fn rule_page() -> String {
    let mut page = String::from("| Rule | Level | What it finds | What to do |\n|---|---|---|---|\n");
    for row in rule_table() {
        let level = match row.level {
            Verdict::Pass => "note",
            Verdict::Warn => "warn",
            Verdict::Block => "block",
        };
        page.push_str(&format!("| `{}` | {level} | {} | {} |\n", row.id, row.title, row.fix));
    }
    page
}

/// The names of [`rule_table`].
pub(super) static NAMES: LazyLock<BTreeSet<String>> =
    LazyLock::new(|| rule_table().into_iter().map(|row| row.id).collect());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_a_name_of_its_own_and_a_policy_may_use_it() {
        let rows = rule_table();
        let names: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(names.len(), rows.len());
        for row in &rows {
            assert!(crate::gate::is_rule(&row.id), "{}", row.id);
            assert!(!row.title.is_empty() && !row.fix.is_empty(), "{}", row.id);
        }
    }
}
