//! What the person keeps out: the same rules as the walk's (`.krinsignore`, `.ignore`, `.gitignore`, Git's own
//! `info/exclude`, and the directories that are never looked into), for one path, also for one that is not on disk.
//!
//! This is the one place that says whether a file's text may go into a prompt. A task's [`crate::base::Base`] asks it
//! for every file that it reads, so what is excluded has no way out: not as a focus, a selection or an open buffer,
//! and not as a rule or a decision either.

use crate::error::{Error, ErrorKind};
use crate::workspace::{Root, is_never};
use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use krins_core::RelPath;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// One moment of the ignore files around a root. Each is read once, when it is first asked for.
#[derive(Debug)]
pub struct Exclusions {
    root: PathBuf,
    dirs: Mutex<BTreeMap<PathBuf, Arc<Rules>>>,
}

/// The ignore files of one directory, the strongest kind first.
#[derive(Debug)]
pub(crate) struct Rules {
    krins: Gitignore,
    ignore: Gitignore,
    git: Gitignore,
    git_exclude: Gitignore,
}

impl Exclusions {
    pub fn of(root: &Root) -> Self {
        Self { root: root.path().to_owned(), dirs: Mutex::default() }
    }

    /// Whether a rule leaves the file out, or a directory that it is in, or the file that a link of this name leads to.
    pub fn hold(&self, path: &RelPath) -> bool {
        self.hold_named(path.as_ref()) || self.linked(path).is_some_and(|path| self.hold_named(&path))
    }

    /// Refuses a file that the person kept out, in words for them.
    pub fn refuse(&self, path: &RelPath) -> Result<(), Error> {
        match self.hold(path) {
            false => Ok(()),
            true => Err(Error::new(ErrorKind::PolicyBlocked, format!("use {path}: it is kept out by an ignore file"))
                .hint("ask from another file, or take it out of .krinsignore, .ignore or .gitignore")),
        }
    }

    fn hold_named(&self, path: &Path) -> bool {
        let mut at = self.root.clone();
        let mut parts = path.components().peekable();
        while let Some(part) = parts.next() {
            at.push(part);
            if is_never(part.as_os_str()) || self.matches(&at, parts.peek().is_some()) {
                return true;
            }
        }
        false
    }

    /// Where a path really leads, when that is elsewhere in the root.
    fn linked(&self, path: &RelPath) -> Option<PathBuf> {
        let real = self.root.join(path).canonicalize().ok()?;
        let real = real.strip_prefix(&self.root).ok()?;
        (real != Path::new(path.as_str())).then(|| real.to_owned())
    }

    fn matches(&self, path: &Path, is_dir: bool) -> bool {
        let rules: Vec<Arc<Rules>> = path.ancestors().skip(1).map(|dir| self.rules(dir)).collect();
        is_left_out(rules.iter().map(|rules| &**rules), path, is_dir)
    }

    fn rules(&self, dir: &Path) -> Arc<Rules> {
        let mut dirs = self.dirs.lock().unwrap_or_else(PoisonError::into_inner);
        dirs.entry(dir.to_owned()).or_insert_with(|| Arc::new(Rules::read(dir))).clone()
    }
}

/// Whether the rules of the directories above a path leave it out, the nearest directory first. The nearest file of a kind
/// that says something decides for its kind, and the strongest kind wins: as in the crate `ignore`. Like there, rules
/// above the repository count too.
pub(crate) fn is_left_out<'r>(nearest_first: impl Iterator<Item = &'r Rules>, path: &Path, is_dir: bool) -> bool {
    let mut found = [(); 4].map(|()| Match::None);
    for rules in nearest_first {
        let kinds = [&rules.krins, &rules.ignore, &rules.git, &rules.git_exclude];
        for (rules, found) in kinds.into_iter().zip(&mut found) {
            if found.is_none() {
                *found = rules.matched(path, is_dir).map(|_| ());
            }
        }
    }
    let [krins, ignore, git, git_exclude] = found;
    krins.or(ignore).or(git).or(git_exclude).is_ignore()
}

impl Rules {
    pub(crate) fn is_empty(&self) -> bool {
        [&self.krins, &self.ignore, &self.git, &self.git_exclude].into_iter().all(Gitignore::is_empty)
    }

    pub(crate) fn read(dir: &Path) -> Self {
        let git_dir = dir.join(".git");
        Self {
            krins: read(dir, &dir.join(".krinsignore")),
            ignore: read(dir, &dir.join(".ignore")),
            git: read(dir, &dir.join(".gitignore")),
            git_exclude: common_dir(&git_dir).map_or_else(Gitignore::empty, |git| read(dir, &git.join("info/exclude"))),
        }
    }
}

/// A line that is no pattern is left out; the others count.
fn read(dir: &Path, file: &Path) -> Gitignore {
    if !file.is_file() {
        return Gitignore::empty();
    }
    let mut builder = GitignoreBuilder::new(dir);
    builder.add(file);
    builder.build().unwrap_or_else(|_| Gitignore::empty())
}

/// The directory that a repository's work trees share.
fn common_dir(git: &Path) -> Option<PathBuf> {
    if git.is_dir() {
        return Some(git.to_owned());
    }
    let git_dir = gix_discover::path::from_gitdir_file(git).ok()?;
    gix_discover::path::from_plain_file_relative_to_file(&git_dir.join("commondir"))?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn rel(path: &str) -> RelPath {
        RelPath::new(path).unwrap()
    }

    fn write(dir: &Path, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    const FILES: &[(&str, &str)] = &[
        ("outer/.gitignore", "*.above\n"),
        ("outer/.ignore", "*.outer\n"),
        ("outer/repo/.git/info/exclude", "*.local\n"),
        ("outer/repo/.gitignore", "dist/\n*.log\n!keep.log\n/only-top.ts\n# comment\n[bad\n"),
        ("outer/repo/.ignore", "*.tmp\n"),
        ("outer/repo/.krinsignore", "secret*\nprivate/\n!dist.ts\n"),
        ("outer/repo/src/.krinsignore", "!secret-but-fine.ts\n*.key\n"),
        ("outer/repo/src/.gitignore", "*.made\n!loud.log\n"),
    ];

    const PLACES: &[&str] = &[
        "a.ts",
        "x.above",
        "x.outer",
        "x.local",
        "a.log",
        "keep.log",
        "dist/x.ts",
        "dist.ts",
        "x.tmp",
        "only-top.ts",
        "secret.ts",
        "private/a.ts",
        "private/deep/keep.log",
        "src/secret.ts",
        "src/secret-but-fine.ts",
        "src/a.key",
        "src/x.made",
        "src/only-top.ts",
        "src/loud.log",
        "src/quiet.log",
        "src/private/a.ts",
        "node_modules/p/i.ts",
        "src/deep/secrets/a.ts",
        ".git/config",
        ".github/w.yml",
        "src/dist/x.ts",
        "x.made",
        "[bad",
    ];

    #[test]
    fn one_path_is_judged_as_the_walk_judges_it() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), FILES);
        let root = dir.path().join("outer/repo");
        for place in PLACES {
            write(&root, &[(place, "x")]);
        }
        let root = Root::open(&root).unwrap();
        let walk = root.walk();
        let exclusions = Exclusions::of(&root);
        for place in PLACES {
            let walked = walk.files.iter().any(|file| file.path.as_str() == *place);
            assert_eq!(exclusions.hold(&rel(place)), !walked, "{place}");
        }
        assert!(walk.files.len() > 6, "the sample would show nothing");
        assert!(exclusions.hold(&rel("src/new/secret-plan.ts")), "also what is not on disk");
        assert!(!exclusions.hold(&rel("src/new/plan.ts")));
    }

    #[test]
    fn a_link_to_what_is_kept_out_is_kept_out() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &[(".krinsignore", "secret.ts\n"), ("secret.ts", "x"), ("open.ts", "x")]);
        for (name, target) in [("a.ts", "secret.ts"), ("b.ts", "open.ts"), ("c.ts", "none.ts")] {
            std::os::unix::fs::symlink(target, dir.path().join(name)).unwrap();
        }
        let exclusions = Exclusions::of(&Root::open(dir.path()).unwrap());
        let held: Vec<bool> = ["a.ts", "b.ts", "c.ts"].iter().map(|name| exclusions.hold(&rel(name))).collect();
        assert_eq!(held, [true, false, false]);
        let error = exclusions.refuse(&rel("a.ts")).unwrap_err();
        assert!(error.to_string().contains("a.ts"), "{error}");
    }
}
