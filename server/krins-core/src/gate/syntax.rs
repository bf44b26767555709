//! `syntax/*`: errors that a patch brings.

use super::{Finding, Scene, Verdict, text};
use crate::patch::ChangeKind;
use crate::syntax;

/// `syntax/*`: errors that the patch brings.
pub fn check_syntax(scene: &Scene<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in scene.patch.files().iter().filter(|file| file.kind != ChangeKind::Delete) {
        let before = file.before.as_deref().map(|bytes| text(Some(bytes)));
        for error in syntax::new_errors(&file.path, before.as_deref(), &text(file.after.as_deref())) {
            findings.push(Finding {
                rule: "syntax/new-error".into(),
                verdict: Verdict::Block,
                path: file.path.clone(),
                lines: Some(error.lines),
                message: error.message,
                fix: None,
                link: None,
            });
        }
    }
    findings
}
