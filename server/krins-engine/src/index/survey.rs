//! Which files the graph is about, and how they look: the code, and what decides how it resolves, in every directory
//! that no ignore rule leaves out.
//!
//! A directory whose stamp is as it was holds the same names, so looking again costs a stat per directory and file; only
//! directories that changed are listed. When a rule changed (`.gitignore`, `.ignore`, `.krinsignore`, `info/exclude`,
//! also above the root), everything is walked anew.

use super::list::{self, Found};
use super::parallel;
use super::stamp::Stamp;
use super::watch::Watch;
use crate::workspace::{MAX_FILES, Root};
use krins_core::RelPath;
use krins_core::graph::ResolveConfig;
use krins_core::syntax::Language;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// Files with rules, in any directory.
const RULES: [&str; 3] = [".gitignore", ".ignore", ".krinsignore"];
/// More changed directories than this are cheaper to find by walking everything.
const MOST_LISTED: usize = 48;

/// A directory by its path from the root; the root is `""`.
pub(super) type Dir = Arc<str>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Directory {
    /// How it looked before it was listed; `None` when it was younger than its clock.
    stamp: Option<Stamp>,
    /// The wanted files right in it, sorted.
    files: Vec<RelPath>,
}

/// What is there.
#[derive(Clone, Debug, Default)]
pub(super) struct Survey {
    dirs: BTreeMap<Dir, Directory>,
    /// Files with rules, and how they looked; `None`: one that was looked for and is not there.
    rules: BTreeMap<PathBuf, Option<Stamp>>,
    files: BTreeMap<RelPath, Stamp>,
    /// There were more files than are taken, so that nothing is known of what was left out.
    truncated: bool,
    /// What [`Survey::to_bytes`] gives changed since [`Survey::saved`].
    changed: bool,
}

/// What events say may have changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Touched {
    pub files: BTreeSet<RelPath>,
    /// Their names changed.
    pub dirs: BTreeSet<Dir>,
    /// They are not the ones that were there before.
    pub replaced: BTreeSet<Dir>,
    /// A file with rules changed.
    pub rules: bool,
}

impl Touched {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether the graph is about such a file.
pub(super) fn is_wanted(path: &RelPath) -> bool {
    Language::of(path).is_some() || ResolveConfig::wants(path)
}

pub(super) fn is_rules(name: &str) -> bool {
    RULES.contains(&name)
}

impl Survey {
    /// Every wanted file with its stamp.
    pub fn files(&self) -> &BTreeMap<RelPath, Stamp> {
        &self.files
    }

    /// Whether it differs from what is kept.
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    pub fn saved(&mut self) {
        self.changed = false;
    }

    /// It was not saved after all.
    pub fn keep(&mut self) {
        self.changed = true;
    }

    /// Walks everything. Directories are watched before they are listed.
    pub fn walk(root: &Root, watch: Option<&Watch>) -> Self {
        let mut survey = Self { changed: true, ..Self::default() };
        let now = SystemTime::now();
        for above in root.path().ancestors().skip(1) {
            let places = RULES.iter().map(|name| above.join(name)).chain(exclude_of(above));
            survey.rules.extend(places.map(|path| rule(path, now)));
        }
        if let Some(watch) = watch {
            watch.add("");
        }
        survey.list(root, "", watch);
        if survey.files.len() > MAX_FILES {
            survey.truncated = true;
            survey.files = std::mem::take(&mut survey.files).into_iter().take(MAX_FILES).collect();
        }
        survey
    }

    /// Looks again by comparing stamps. With a watch, what is there is watched before it is compared.
    pub fn compare(&mut self, root: &Root, watch: Option<&Watch>) {
        if let Some(watch) = watch {
            self.dirs.keys().for_each(|dir| watch.add(dir));
        }
        if self.truncated || self.dirs.is_empty() || self.rules_changed() {
            *self = Self::walk(root, watch);
            return;
        }
        let dirs: Vec<(&Dir, &Directory)> = self.dirs.iter().collect();
        let stale = parallel::filter_map(&dirs, |(dir, known)| {
            let same = known.stamp.is_some() && stamp(&root.path().join(&***dir)) == known.stamp;
            (!same).then(|| (*dir).clone())
        });
        self.list_again(root, &stale, watch);
        let files: Vec<&RelPath> = self.files.keys().collect();
        let found = parallel::filter_map(&files, |path| Some(((*path).clone(), file_stamp(&root.path().join(path))?)));
        if !self.truncated {
            self.files = found.into_iter().collect();
        }
    }

    /// Looks only at what events named.
    pub fn touch(&mut self, root: &Root, touched: &Touched, watch: Option<&Watch>) {
        if touched.rules || self.truncated {
            *self = Self::walk(root, watch);
            return;
        }
        for gone in &touched.replaced {
            self.forget(root, gone);
        }
        let mut stale: BTreeSet<Dir> = touched.dirs.clone();
        for path in &touched.files {
            let now = file_stamp(&root.path().join(path));
            match (self.files.contains_key(path), now) {
                (true, Some(now)) => drop(self.files.insert(path.clone(), now)),
                (true, None) => self.forget_file(path),
                // New, or ignored: its directory's listing tells.
                (false, Some(_)) => drop(stale.insert(path.dir().into())),
                (false, None) => {}
            }
        }
        let stale: Vec<Dir> = stale.into_iter().filter(|dir| self.dirs.contains_key(dir)).collect();
        self.list_again(root, &stale, watch);
    }

    fn forget_file(&mut self, path: &RelPath) {
        self.files.remove(path);
        if let Some(known) = self.dirs.get_mut(path.dir()) {
            known.files.retain(|file| file != path);
        }
        self.changed = true;
    }

    fn rules_changed(&self) -> bool {
        self.rules.iter().any(|(path, known)| stamp(path) != *known)
    }

    /// Whether a rule changed where nothing is watched: above the root, and in `.git`.
    pub fn outer_rules_changed(&self, root: &Root) -> bool {
        let outer = |path: &Path| {
            path.strip_prefix(root.path()).map_or(true, |inside| inside.iter().any(|part| part == ".git"))
        };
        self.rules.iter().any(|(path, known)| outer(path) && stamp(path) != *known)
    }

    fn list_again(&mut self, root: &Root, stale: &[Dir], watch: Option<&Watch>) {
        if stale.is_empty() {
            return;
        }
        if stale.len() > MOST_LISTED {
            *self = Self::walk(root, watch);
            return;
        }
        let before: Vec<PathBuf> = self.rules.keys().cloned().collect();
        for dir in stale {
            if !root.path().join(&**dir).is_dir() {
                self.forget(root, dir);
                continue;
            }
            if self.dirs.contains_key(dir) {
                self.list(root, dir, watch);
            }
        }
        self.changed = true;
        if !self.rules.keys().eq(&before) {
            *self = Self::walk(root, watch);
        }
    }

    /// Lists a directory, and everything below it that is not known yet.
    fn list(&mut self, root: &Root, dir: &str, watch: Option<&Watch>) {
        let known = self.dirs.contains_key(dir).then(|| self.children(dir));
        let found = list::list(root, dir, known.as_ref(), watch);
        self.merge(root, dir, found);
    }

    fn merge(&mut self, root: &Root, dir: &str, found: Found) {
        let gone: Vec<Dir> = self.children(dir).into_iter().filter(|child| !found.still.contains(child)).collect();
        for child in gone {
            self.forget(root, &child);
        }
        for path in self.dirs.remove(dir).into_iter().flat_map(|known| known.files) {
            self.files.remove(&path);
        }
        self.forget_rules(root, dir);
        for (dir, stamp) in found.dirs {
            self.dirs.insert(dir, Directory { stamp, files: Vec::new() });
        }
        let mut files = found.files;
        files.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (path, stamp) in files {
            if let Some(known) = self.dirs.get_mut(path.dir()) {
                known.files.push(path.clone());
                self.files.insert(path, stamp);
            }
        }
        self.rules.extend(found.rules);
    }

    /// The known directories right in one.
    fn children(&self, dir: &str) -> BTreeSet<Dir> {
        let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        let below = self.below(&prefix);
        below.filter(|path| !path.is_empty() && !path[prefix.len()..].contains('/')).cloned().collect()
    }

    fn below<'s>(&'s self, prefix: &'s str) -> impl Iterator<Item = &'s Dir> {
        let from = self.dirs.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        from.map(|(path, _)| path).take_while(move |path| path.starts_with(prefix))
    }

    fn forget(&mut self, root: &Root, dir: &str) {
        let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        let mut gone: Vec<Dir> = self.below(&prefix).cloned().collect();
        gone.push(dir.into());
        for dir in &gone {
            self.forget_rules(root, dir);
        }
        for path in gone.iter().filter_map(|dir| self.dirs.remove(dir)).flat_map(|known| known.files) {
            self.files.remove(&path);
        }
        self.changed = true;
    }

    fn forget_rules(&mut self, root: &Root, dir: &str) {
        let dir = root.path().join(dir);
        for path in RULES.iter().map(|name| dir.join(name)).chain([dir.join(".git/info/exclude")]) {
            self.rules.remove(&path);
        }
    }

    /// A form to keep. The stamps of files are not in it: they are kept with the files.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let text = |bytes: &mut Vec<u8>, text: &[u8]| {
            bytes.extend((text.len() as u32).to_le_bytes());
            bytes.extend(text);
        };
        let stamped = |bytes: &mut Vec<u8>, stamp: Option<Stamp>| {
            bytes.push(u8::from(stamp.is_some()));
            bytes.extend(stamp.map(Stamp::to_bytes).iter().flatten());
        };
        bytes.push(u8::from(self.truncated));
        bytes.extend((self.rules.len() as u32).to_le_bytes());
        for (path, stamp) in &self.rules {
            text(&mut bytes, path.as_os_str().as_encoded_bytes());
            stamped(&mut bytes, *stamp);
        }
        for (dir, known) in &self.dirs {
            text(&mut bytes, dir.as_bytes());
            stamped(&mut bytes, known.stamp);
            bytes.extend((known.files.len() as u32).to_le_bytes());
            known.files.iter().for_each(|path| text(&mut bytes, path.file_name().as_bytes()));
        }
        bytes
    }

    /// Takes what [`Survey::to_bytes`] gave. Every file has to be looked at again: [`Survey::compare`] does.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        use std::os::unix::ffi::OsStrExt as _;
        let mut rest = Reader(bytes);
        let mut survey = Self { truncated: rest.take(1)? == [1], ..Self::default() };
        for _ in 0..rest.number()? {
            let path = PathBuf::from(std::ffi::OsStr::from_bytes(rest.text()?));
            survey.rules.insert(path, rest.stamp()?);
        }
        while !rest.0.is_empty() {
            let dir = std::str::from_utf8(rest.text()?).ok()?;
            let mut known = Directory { stamp: rest.stamp()?, files: Vec::new() };
            for _ in 0..rest.number()? {
                let name = std::str::from_utf8(rest.text()?).ok()?;
                let path = if dir.is_empty() { RelPath::new(name) } else { RelPath::new(&format!("{dir}/{name}")) };
                known.files.push(path.ok()?);
            }
            survey.files.extend(known.files.iter().map(|path| (path.clone(), Stamp::NEVER)));
            survey.dirs.insert(dir.into(), known);
        }
        Some(survey)
    }
}

struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<&'b [u8]> {
        let length = self.number()? as usize;
        self.take(length)
    }

    fn stamp(&mut self) -> Option<Option<Stamp>> {
        match self.take(1)? {
            [0] => Some(None),
            _ => Stamp::from_bytes(self.take(32)?).map(Some),
        }
    }
}

/// One that is younger than its clock gets a stamp that nothing has.
pub(super) fn rule(path: PathBuf, now: SystemTime) -> (PathBuf, Option<Stamp>) {
    let stamp = stamp(&path).map(|stamp| if stamp.is_settled(now) { stamp } else { Stamp::NEVER });
    (path, stamp)
}

/// `info/exclude` of the repository whose work tree begins here.
pub(super) fn exclude_of(dir: &Path) -> Option<PathBuf> {
    let git = dir.join(".git");
    let kind = std::fs::symlink_metadata(&git).ok()?.file_type();
    if kind.is_dir() {
        return Some(git.join("info/exclude"));
    }
    let link = std::fs::read_to_string(&git).ok()?;
    let own = dir.join(link.strip_prefix("gitdir:")?.trim());
    let common = std::fs::read_to_string(own.join("commondir")).ok();
    Some(common.map_or_else(|| own.clone(), |common| own.join(common.trim())).join("info/exclude"))
}

pub(super) fn stamp(path: &Path) -> Option<Stamp> {
    std::fs::symlink_metadata(path).ok().map(|meta| Stamp::of(&meta))
}

/// `None` for what is no file.
pub(super) fn file_stamp(path: &Path) -> Option<Stamp> {
    std::fs::symlink_metadata(path).ok().filter(std::fs::Metadata::is_file).map(|meta| Stamp::of(&meta))
}
