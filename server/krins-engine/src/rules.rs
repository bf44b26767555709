//! Finds the files that say how the code is to be written, near the files that a pack holds. Everything is read through
//! the task's base, which gives nothing that the person keeps out.

use crate::base::Base;
use crate::workspace::Root;
use krins_core::context::{RuleFile, rules};
use krins_core::{RelPath, Tree as _};
use std::collections::BTreeSet;

/// Directories that are looked into, and files that are read.
const DIRECTORIES: usize = 200;
const FILES: usize = 200;
/// Bytes of a file beyond which it is no text for people.
const LARGEST: usize = 256 << 10;

/// The rule files of these paths' directories and all above them, sorted by path.
pub fn near(root: &Root, chosen: &[RelPath], base: &Base) -> Vec<RuleFile> {
    let mut looked = BTreeSet::new();
    let mut found = BTreeSet::new();
    for place in chosen.iter().flat_map(rules::places) {
        if looked.len() < DIRECTORIES && looked.insert(place.clone()) {
            found.extend(names(root, &place).into_iter().filter(|path| rules::kind(path).is_some()));
        }
    }
    let read = |path: RelPath| Some(RuleFile { text: base.text(&path)?, path });
    found.into_iter().take(FILES).filter_map(read).filter(|file| file.text.len() <= LARGEST).collect()
}

/// What is in a directory: not followed, read beneath the root by whoever opens it.
fn names(root: &Root, dir: &str) -> Vec<RelPath> {
    let Ok(entries) = std::fs::read_dir(root.path().join(dir)) else { return Vec::new() };
    let rel = |entry: std::fs::DirEntry| RelPath::join_dir(dir, entry.file_name().to_str()?);
    entries.filter_map(|entry| rel(entry.ok()?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Snapshot;
    use std::sync::Arc;

    #[test]
    fn they_are_found_up_the_tree_and_nothing_that_is_kept_out() {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("AGENTS.md", "top"),
            ("packages/app/tsconfig.json", "{}"),
            ("packages/app/src/.editorconfig", "x"),
            ("packages/other/AGENTS.md", "other"),
            (".github/copilot-instructions.md", "github"),
            ("docs/adr/1.md", "one"),
            ("docs/adr/private.md", "secret"),
            ("CLAUDE.md", "secret"),
            ("readme.md", "x"),
            (".krinsignore", "private.md\nCLAUDE.md\n"),
        ] {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let root = Arc::new(Root::open(dir.path()).unwrap());
        let base = Snapshot::of_disk(&root).base();
        let found = near(&root, &[RelPath::new("packages/app/src/a.ts").unwrap()], &base);
        let found: Vec<&str> = found.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(
            found,
            [
                ".github/copilot-instructions.md",
                "AGENTS.md",
                "docs/adr/1.md",
                "packages/app/src/.editorconfig",
                "packages/app/tsconfig.json"
            ]
        );
    }
}
