//! What the person's other servers mark in the open documents. A server does not see another's diagnostics but in the
//! requests that an editor sends it, for a few lines at a time: they are kept here for as long as the document stands
//! still.

use crate::documents::OpenDocuments;
use krins_core::RelPath;
use krins_core::context::Diagnostic;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// So many documents are remembered, and so much of each.
const DOCUMENTS: usize = 32;
const IN_ONE: usize = 64;
/// Bytes of a message beyond these are a compiler's essay.
const LONGEST: usize = 300;

/// The findings of one root.
#[derive(Debug, Default)]
pub struct Findings {
    /// The one that was heard of last is last.
    heard: Mutex<VecDeque<Heard>>,
}

#[derive(Debug)]
struct Heard {
    path: RelPath,
    version: i32,
    /// Sorted.
    found: Vec<Diagnostic>,
}

impl Findings {
    /// Everything that an editor knows to be found in these lines (1-based, inclusive) of this version of a document.
    pub fn note(&self, path: &RelPath, version: i32, lines: [u32; 2], found: impl IntoIterator<Item = Diagnostic>) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let known = heard.iter().position(|of| of.path == *path).and_then(|at| heard.remove(at));
        let mut all = known.filter(|of| of.version == version).map_or_else(Vec::new, |of| of.found);
        all.retain(|old| old.lines[1] < lines[0] || lines[1] < old.lines[0]);
        all.extend(found.into_iter().take(IN_ONE).map(shortened));
        all.sort();
        all.dedup();
        all.truncate(IN_ONE);
        if all.is_empty() {
            return;
        }
        if heard.len() == DOCUMENTS {
            heard.pop_front();
        }
        heard.push_back(Heard { path: path.clone(), version, found: all });
    }

    /// What is known of the documents as they are, sorted.
    pub fn of(&self, documents: &OpenDocuments) -> Vec<Diagnostic> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let current = |of: &&Heard| documents.path(&of.path).is_some_and(|document| document.version == of.version);
        let mut found: Vec<Diagnostic> = heard.iter().filter(current).flat_map(|of| of.found.iter().cloned()).collect();
        found.sort();
        found
    }
}

fn shortened(mut diagnostic: Diagnostic) -> Diagnostic {
    let end = (0..=LONGEST.min(diagnostic.message.len())).rev().find(|at| diagnostic.message.is_char_boundary(*at));
    diagnostic.message.truncate(end.unwrap_or(0));
    diagnostic
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::{Change, Documents};
    use crate::workspace::Root;
    use krins_core::text::Encoding;
    use std::sync::Arc;

    fn found(path: &RelPath, line: u32, message: &str) -> Diagnostic {
        Diagnostic { path: path.clone(), lines: [line, line], message: message.into() }
    }

    #[test]
    fn they_are_kept_by_line_and_forgotten_with_the_version() {
        let dir = tempfile::tempdir().unwrap();
        let root = Arc::new(Root::open(dir.path()).unwrap());
        let documents = Documents::new(root.clone(), Encoding::Utf16);
        let path = RelPath::new("a.ts").unwrap();
        let uri = root.uri(&path);
        documents.open(&uri, 1, "text".into());
        let findings = Findings::default();
        let messages =
            || -> Vec<String> { findings.of(&documents.snapshot()).into_iter().map(|found| found.message).collect() };
        findings.note(&path, 1, [9, 9], [found(&path, 9, "nine")]);
        findings.note(&path, 1, [1, 2], [found(&path, 2, "two"), found(&path, 1, "one")]);
        assert_eq!(messages(), ["one", "two", "nine"]);
        findings.note(&path, 1, [2, 4], []);
        assert_eq!(messages(), ["one", "nine"], "what is gone from the lines is gone");
        documents.change(&uri, 2, &[Change { range: None, text: "other".into() }]).unwrap();
        assert_eq!(messages(), Vec::<String>::new());
        findings.note(&path, 2, [1, 1], [found(&path, 1, &"é".repeat(LONGEST))]);
        assert!(messages()[0].len() <= LONGEST);
    }
}
