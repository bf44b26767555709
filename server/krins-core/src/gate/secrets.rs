//! `secrets/*`: what a patch brings that must not be in a repository.

use super::{Finding, Scene, Verdict, text};
use crate::patch::FilePatch;
use crate::secrets;
use std::collections::BTreeMap;

/// `secrets/*`: secrets that the patched text holds more often than the base does.
pub fn check_secrets(scene: &Scene<'_>) -> Vec<Finding> {
    scene.patch.files().iter().flat_map(new_secrets).collect()
}

fn new_secrets(file: &FilePatch) -> Vec<Finding> {
    let (before, after) = (text(file.before.as_deref()), text(file.after.as_deref()));
    let (before, after) = (&*before, &*after);
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    for hit in secrets::scan(before) {
        *known.entry(&before[hit.range]).or_default() += 1;
    }
    let mut findings = Vec::new();
    for hit in secrets::scan(after) {
        if let Some(count) = known.get_mut(&after[hit.range.clone()]).filter(|count| **count > 0) {
            *count -= 1;
            continue;
        }
        let line = |at: usize| after[..at].matches('\n').count() as u32 + 1;
        findings.push(Finding {
            rule: format!("secrets/{}", hit.rule),
            verdict: Verdict::Block,
            path: file.path.clone(),
            lines: Some([line(hit.range.start), line(hit.range.end)]),
            message: format!("the change adds what looks like a secret ({})", hit.rule),
            fix: Some("read it from the environment or a secret store instead".into()),
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
    fn only_an_added_secret_blocks() {
        let secret = format!("const k = 'ghp_{}';\n", "q7Rf2ZkP9vXw3LmT8sNbH5cYdJ1gUa4eKo6B");
        assert!(judge(&patch("a.ts", Some(&secret), Some(&format!("{secret}x();\n"))), check_secrets).is_empty());
        let found = judge(&patch("a.ts", Some("x();\n"), Some(&format!("x();\n{secret}"))), check_secrets);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].lines, Some([2, 2]));
        assert!(!format!("{found:?}").contains("ghp_"), "a finding never repeats the secret");
    }
}
