//! The names of the gate's checks and rules, so that a policy that names another is told.

use super::table::NAMES;

/// The checks, in the order of the gate, and what is known of the names of their rules.
const CHECKS: &[(&str, Names)] = &[
    ("policy", Names::Listed(&["protected-path", "executed-path", "lock-alone", "expired-waiver", "manifest-key"])),
    ("secrets", Names::Data),
    ("licences", Names::Data),
    ("packages", Names::Data),
    ("owners", Names::Listed(&["needs-approval", "bad-line", "unreadable"])),
    ("syntax", Names::Table),
    ("sast", Names::Table),
    ("honesty", Names::Table),
    ("build", Names::Data),
    ("types", Names::Data),
    ("tests", Names::Data),
    ("spec", Names::Data),
    ("fix", Names::Data),
    ("judge", Names::Data),
];

enum Names {
    Listed(&'static [&'static str]),
    /// They are in the table of rules.
    Table,
    /// They come from rule data, or are made while the check runs.
    Data,
}

/// Rules that no policy and no waiver can soften: what they find is the gate's own state.
pub(super) const FIRM: &[&str] = &["policy/unreadable", "gate/check-failed"];

/// Whether a policy may name it: a check, or a rule of one.
pub fn is_rule(name: &str) -> bool {
    let (check, rule) = name.split_once('/').map_or((name, None), |(check, rule)| (check, Some(rule)));
    let Some((_, names)) = CHECKS.iter().find(|(known, _)| *known == check) else { return false };
    match (rule, names) {
        (None, _) => true,
        (Some(rule), Names::Listed(known)) => known.contains(&rule),
        (Some(_), Names::Table) => NAMES.contains(name),
        (Some(rule), Names::Data) => {
            let plain =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.');
            !rule.is_empty() && rule.len() <= 80 && rule.bytes().all(plain)
        }
    }
}

/// The known name that an unknown one was probably meant to be.
pub fn nearest_rule(name: &str) -> Option<String> {
    let listed = CHECKS.iter().flat_map(|(check, names)| {
        let rules: &[&str] = match names {
            Names::Listed(rules) => rules,
            Names::Table | Names::Data => &[],
        };
        std::iter::once((*check).to_owned()).chain(rules.iter().map(move |rule| format!("{check}/{rule}")))
    });
    let rest = name.split_once('/').map(|(_, rest)| rest);
    let moved = rest.into_iter().flat_map(|rest| CHECKS.iter().map(move |(check, _)| format!("{check}/{rest}")));
    let tabled = NAMES.iter().cloned();
    let near = listed.chain(tabled).chain(moved).filter(|known| is_rule(known));
    let near = near.map(|known| (strsim::damerau_levenshtein(&known, name), known)).min()?;
    (near.0 <= 3.max(name.len() / 4)).then_some(near.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_known_by_name_and_unknown_ones_have_a_neighbour() {
        for rule in ["policy", "policy/protected-path", "secrets/github-pat", "owners/needs-approval", "sast/eval"] {
            assert!(is_rule(rule), "{rule}");
        }
        for rule in ["", "polcy", "policy/protected-paths", "secrets/", "secrets/A B", "other/rule"] {
            assert!(!is_rule(rule), "{rule}");
        }
        assert_eq!(nearest_rule("policy/protected-paths").as_deref(), Some("policy/protected-path"));
        assert_eq!(nearest_rule("secret/github-pat").as_deref(), Some("secrets/github-pat"));
        assert_eq!(nearest_rule("onwers").as_deref(), Some("owners"));
        assert_eq!(nearest_rule("something-else-entirely"), None);
    }
}
