//! `syntax/*`: errors that a patch brings.

use super::{Finding, Scene, Verdict};
use crate::patch::ChangeKind;
use crate::syntax;

/// `syntax/*`: errors that the patch brings.
pub fn check_syntax(scene: &Scene<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for both in scene.reading.files().iter().filter(|both| both.file.kind != ChangeKind::Delete) {
        let (file, is_code) = (both.file, syntax::Language::of(&both.file.path).is_some());
        // A program that every check reads is in no error: nearly every patch ends here.
        if is_code && both.code_after().is_sound {
            continue;
        }
        let before = both.before.is_there.then_some(&*both.before.text);
        for error in syntax::new_errors(&file.path, before, &both.after.text) {
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
