//! `owners/*`: who has to agree, by the CODEOWNERS file of the base. What the patch itself says of owners counts for
//! nothing.

use super::{Finding, Scene, Verdict};
use crate::graph::queries::{Owners, Rule};
use crate::path::RelPath;
use crate::tree::Entry;
use std::collections::BTreeMap;

/// The forge passes over a larger file, so nobody would be asked.
const LARGEST: usize = 3 << 20;

/// `owners/*`: one finding for each file whose owners have not approved the patch.
pub fn check_owners(scene: &Scene<'_>) -> Vec<Finding> {
    let (owners, mut findings) = read(scene);
    let Some(owners) = owners else { return findings };
    let mut doubted = Vec::new();
    for file in scene.patch.files() {
        for path in [Some(&file.path), file.from.as_ref()].into_iter().flatten() {
            let bad = owners.doubted(path);
            findings.extend(missing(scene, &owners, path, &bad));
            doubted.extend(bad);
        }
    }
    doubted.sort_by_key(|rule| rule.line);
    doubted.dedup_by_key(|rule| rule.line);
    findings.extend(doubted.into_iter().map(|rule| bad_line(&owners, rule)));
    findings
}

/// The file that counts. One that is there and cannot be read must not mean that nobody is asked.
fn read(scene: &Scene<'_>) -> (Option<Owners>, Vec<Finding>) {
    let mut texts = BTreeMap::new();
    let mut findings = Vec::new();
    for place in Owners::places().filter_map(|place| RelPath::new(place).ok()) {
        let why = match scene.base.entry(&place) {
            Entry::Missing => continue,
            Entry::Refused(why) => format!("it is {why}"),
            Entry::File { bytes, .. } if bytes.len() > LARGEST => "it is larger than 3 MB".to_owned(),
            Entry::File { bytes, .. } => match std::str::from_utf8(&bytes) {
                Ok(text) => {
                    texts.insert(place, text.into());
                    continue;
                }
                Err(_) => "it is not UTF-8".to_owned(),
            },
        };
        findings.push(Finding {
            rule: "owners/unreadable".into(),
            verdict: Verdict::Block,
            message: format!("who owns the code cannot be read from {place}: {why}"),
            path: place,
            lines: None,
            fix: Some("mend the file".into()),
            link: None,
        });
    }
    (Owners::choose(&texts), findings)
}

/// What is still missing for a path: of each line that asks for owners, as many as it asks for.
fn missing(scene: &Scene<'_>, owners: &Owners, path: &RelPath, doubted: &[&Rule]) -> Option<Finding> {
    let mut asks = owners.of(path).rules;
    // A line that cannot be read may or may not take the path from others: everybody whom it could mean is asked.
    if !doubted.is_empty() {
        asks.extend(owners.of_sound(path).rules);
        asks.extend(doubted);
        asks.sort_by_key(|rule| rule.line);
        asks.dedup_by_key(|rule| rule.line);
    }
    let in_doubt = |rule: &Rule| doubted.iter().any(|doubted| doubted.line == rule.line);
    let asks = asks.into_iter().filter(|rule| !rule.optional && (rule.asks() || in_doubt(rule)));
    let missing = |rule: &&Rule| scene.approvals.count(&rule.owners) < rule.approvals.max(1) as usize;
    let open: Vec<&Rule> = asks.filter(missing).collect();
    if open.is_empty() {
        return None;
    }
    let said: Vec<String> = open.iter().map(|rule| asked(owners, rule)).collect();
    let refused: Vec<String> =
        scene.approvals.refused.iter().take(3).map(|(owner, why)| format!("{owner}: {why}")).collect();
    let refused = if refused.is_empty() { String::new() } else { format!("; not counted: {}", refused.join(", ")) };
    Some(Finding {
        rule: "owners/needs-approval".into(),
        verdict: Verdict::Warn,
        path: path.clone(),
        lines: None,
        message: format!("{path} needs the approval of {}{refused}", said.join(" and of ")),
        fix: Some(format!("an owner says: krins approve {}", scene.patch.digest())),
        link: None,
    })
}

fn asked(owners: &Owners, rule: &Rule) -> String {
    let count = match rule.approvals.max(1) {
        1 => String::new(),
        count => format!("{count} of "),
    };
    let who = if rule.owners.is_empty() { "an owner that no line names".to_owned() } else { rule.owners.join(", ") };
    format!("{count}{who} ({}:{})", owners.path, rule.line)
}

fn bad_line(owners: &Owners, rule: &Rule) -> Finding {
    let why = owners.ignored.iter().find(|(line, _)| *line == rule.line).map_or("it cannot be read", |(_, why)| why);
    Finding {
        rule: "owners/bad-line".into(),
        verdict: Verdict::Warn,
        path: owners.path.clone(),
        lines: Some([rule.line, rule.line]),
        message: format!("the line does not say who owns the change: {why}"),
        fix: Some("mend the line: until then everybody whom it could mean is asked".into()),
        link: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::patch;
    use crate::gate::{Approvals, Approved, Author, Policy};
    use std::sync::Arc;

    fn findings(files: &[(&str, &[u8])], approved: &[&str], path: &str) -> Vec<Finding> {
        let base: BTreeMap<RelPath, Arc<[u8]>> =
            files.iter().map(|(path, text)| (RelPath::new(path).unwrap(), (*text).into())).collect();
        let valid = approved.iter().map(|owner| Approved { owner: (*owner).to_owned() }).collect();
        let teams = BTreeMap::from([("@org/team".to_owned(), vec!["@ann".to_owned(), "@bob".to_owned()])]);
        let approvals = Approvals { valid, teams, ..Approvals::default() };
        let (patch, policy) = (patch(path, Some("a\n"), Some("b\n")), Policy::default());
        check_owners(&Scene {
            patch: &patch,
            policy: &policy,
            author: Author::Model,
            base: &base,
            approvals: &approvals,
            reading: &super::super::Reading::of(&patch),
        })
    }

    fn rules(files: &[(&str, &[u8])], approved: &[&str], path: &str) -> Vec<String> {
        findings(files, approved, path).into_iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn an_owner_a_member_of_a_team_and_nobody_else_can_approve() {
        let file: &[(&str, &[u8])] = &[("CODEOWNERS", b"* @ann\n/db/ @org/team\n/free/\n")];
        assert_eq!(rules(file, &[], "src/a.ts"), ["owners/needs-approval"]);
        assert_eq!(rules(file, &["@Ann"], "src/a.ts"), [] as [&str; 0]);
        assert_eq!(rules(file, &["@eve"], "src/a.ts"), ["owners/needs-approval"]);
        assert_eq!(rules(file, &["@bob"], "db/a.sql"), [] as [&str; 0]);
        assert_eq!(rules(file, &[], "free/a.ts"), [] as [&str; 0], "a pattern without owners clears");
        let message = &findings(file, &[], "db/a.sql")[0].message;
        assert!(message.contains("@org/team (CODEOWNERS:2)"), "{message}");
    }

    #[test]
    fn sections_ask_for_as_many_as_they_say_and_optional_ones_for_nobody() {
        let file: &[(&str, &[u8])] = &[("CODEOWNERS", b"[Code][2] @ann @bob @cat\n*.ts\n^[Docs]\n*.ts @doc\n")];
        assert_eq!(rules(file, &["@ann"], "a.ts").len(), 1);
        assert_eq!(rules(file, &["@ann", "@ann"], "a.ts").len(), 1, "the same twice is one");
        assert_eq!(rules(file, &["@ann", "@cat"], "a.ts").len(), 0);
        assert!(findings(file, &[], "a.ts")[0].message.contains("2 of @ann, @bob, @cat"));
    }

    #[test]
    fn what_cannot_be_read_asks_more_and_never_less() {
        let bad: &[(&str, &[u8])] = &[("CODEOWNERS", b"* @ann\n*.ts bob @cat\n*.md\n*.md nobody\n")];
        assert_eq!(rules(bad, &["@cat"], "a.ts"), ["owners/needs-approval", "owners/bad-line"]);
        assert_eq!(rules(bad, &["@cat", "@ann"], "a.ts"), ["owners/bad-line"]);
        assert_eq!(rules(bad, &["@ann"], "a.md"), ["owners/needs-approval", "owners/bad-line"]);
        assert_eq!(rules(bad, &["@ann"], "a.rs"), [] as [&str; 0]);
        assert_eq!(rules(&[("CODEOWNERS", b"\xff")], &["@ann"], "a.ts"), ["owners/unreadable"]);
        let large = vec![b'#'; LARGEST + 1];
        assert_eq!(rules(&[(".github/CODEOWNERS", &large)], &["@ann"], "a.ts"), ["owners/unreadable"]);
    }
}
