//! Lists directories with everything below them, as the ignore rules allow: one listing of each directory tells which
//! rules it has, so that nothing is asked about files that are not there.

use super::parallel;
use super::stamp::Stamp;
use super::survey::{Dir, exclude_of, is_rules, is_wanted, rule, stamp};
use super::watch::Watch;
use crate::exclude::{Rules, is_left_out};
use crate::workspace::{MAX_FILES, Root, is_never};
use krins_core::RelPath;
use std::collections::BTreeSet;
use std::fs::DirEntry;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// What one listing found.
#[derive(Default)]
pub(super) struct Found {
    pub dirs: Vec<(Dir, Option<Stamp>)>,
    pub files: Vec<(RelPath, Stamp)>,
    pub rules: Vec<(PathBuf, Option<Stamp>)>,
    /// Directories that were known, and are there still.
    pub still: BTreeSet<Dir>,
}

/// Lists a directory and everything below it but what is below `known` ones right in it. Directories are watched before
/// they are listed. Stops after some more files than are taken.
pub(super) fn list(root: &Root, dir: &str, known: Option<&BTreeSet<Dir>>, watch: Option<&Watch>) -> Found {
    let top = root.path().join(dir);
    let above: Vec<&Path> = top.ancestors().skip(1).collect();
    let chain = above.into_iter().rev().fold(None, |chain, dir| Chain::with(chain, Rules::read(dir)));
    let listing = Listing {
        root: root.path(),
        known,
        watch,
        queue: Mutex::new(Queue { waiting: vec![(dir.into(), chain)], working: 0 }),
        more: Condvar::new(),
        files: AtomicUsize::new(0),
    };
    // One directory is not worth a thread.
    let threads = if dir.is_empty() { parallel::workers() } else { 1 };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(|| listing.work())).collect();
        let mut found = listing.work();
        for other in others {
            let mut more = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            found.dirs.append(&mut more.dirs);
            found.files.append(&mut more.files);
            found.rules.append(&mut more.rules);
            found.still.append(&mut more.still);
        }
        found
    })
}

/// The rules of a directory and those above it that have any, the nearest first.
struct Chain {
    rules: Rules,
    above: Option<Arc<Chain>>,
}

impl Chain {
    fn with(above: Option<Arc<Self>>, rules: Rules) -> Option<Arc<Self>> {
        if rules.is_empty() { above } else { Some(Arc::new(Self { rules, above })) }
    }

    fn leaves_out(chain: Option<&Self>, path: &Path, is_dir: bool) -> bool {
        let nearest_first = std::iter::successors(chain, |chain| chain.above.as_deref());
        chain.is_some() && is_left_out(nearest_first.map(|chain| &chain.rules), path, is_dir)
    }
}

struct Queue {
    /// The deepest is taken first, so that few wait.
    waiting: Vec<(Dir, Option<Arc<Chain>>)>,
    /// Threads that may find more.
    working: usize,
}

struct Listing<'l> {
    root: &'l Path,
    known: Option<&'l BTreeSet<Dir>>,
    watch: Option<&'l Watch>,
    queue: Mutex<Queue>,
    /// A directory waits, or none will any more.
    more: Condvar,
    files: AtomicUsize,
}

impl Listing<'_> {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<(Dir, Option<Arc<Chain>>)> {
        let mut queue = self.lock();
        loop {
            if let Some(next) = queue.waiting.pop() {
                queue.working += 1;
                return Some(next);
            }
            if queue.working == 0 {
                return None;
            }
            queue = self.more.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&self) -> Found {
        let mut found = Found::default();
        while let Some((dir, chain)) = self.next() {
            // Whoever waits has to be told, also when this thread comes to nothing.
            let mut below = Below { listing: self, dirs: Vec::new() };
            if self.files.load(Ordering::Relaxed) <= MAX_FILES {
                self.visit(&dir, chain, &mut found, &mut below.dirs);
            }
        }
        found
    }

    fn visit(
        &self,
        dir: &Dir,
        above: Option<Arc<Chain>>,
        found: &mut Found,
        below: &mut Vec<(Dir, Option<Arc<Chain>>)>,
    ) {
        let (place, now) = (self.root.join(&**dir), SystemTime::now());
        if let Some(watch) = self.watch {
            watch.add(dir);
        }
        found.dirs.push((dir.clone(), stamp(&place).filter(|stamp| stamp.is_settled(now))));
        let Ok(entries) = std::fs::read_dir(&place) else { return };
        let entries: Vec<DirEntry> = entries.filter_map(Result::ok).collect();
        let chain =
            if self.take_rules(&place, &entries, now, found) { Chain::with(above, Rules::read(&place)) } else { above };
        for entry in entries.iter().filter(|entry| !is_never(&entry.file_name())) {
            let name = entry.file_name();
            let (Some(name), Ok(kind)) = (name.to_str(), entry.file_type()) else { continue };
            let path = if dir.is_empty() { RelPath::new(name) } else { RelPath::new(&format!("{dir}/{name}")) };
            let Ok(path) = path else { continue };
            if kind.is_dir() && !Chain::leaves_out(chain.as_deref(), &place.join(name), true) {
                match self.known.and_then(|known| known.get(path.as_str())) {
                    Some(known) => drop(found.still.insert(known.clone())),
                    None => below.push((path.as_str().into(), chain.clone())),
                }
            } else if kind.is_file()
                && is_wanted(&path)
                && !Chain::leaves_out(chain.as_deref(), &place.join(name), false)
                && let Ok(meta) = entry.metadata()
            {
                self.files.fetch_add(1, Ordering::Relaxed);
                found.files.push((path, Stamp::of(&meta)));
            }
        }
    }

    /// Notes the files with rules in a directory, and whether there may be any.
    fn take_rules(&self, place: &Path, entries: &[DirEntry], now: SystemTime, found: &mut Found) -> bool {
        let mut some = false;
        for name in entries.iter().map(DirEntry::file_name) {
            if name.to_str().is_some_and(is_rules) {
                found.rules.push(rule(place.join(&name), now));
                some = true;
            } else if name == ".git" {
                found.rules.extend(exclude_of(place).map(|path| rule(path, now)));
                some = true;
            }
        }
        some
    }
}

/// The directories that a thread found in one: they wait as soon as it is done with that.
struct Below<'l> {
    listing: &'l Listing<'l>,
    dirs: Vec<(Dir, Option<Arc<Chain>>)>,
}

impl Drop for Below<'_> {
    fn drop(&mut self) {
        let mut queue = self.listing.lock();
        queue.waiting.append(&mut self.dirs);
        queue.working -= 1;
        drop(queue);
        self.listing.more.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_what_the_walk_of_the_crate_ignore_finds() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("outer/repo");
        let rules = [
            ("../.gitignore", "*.above.ts\n"),
            (".git/info/exclude", "*.local.ts\n"),
            (".gitignore", "dist/\n*.log.ts\n!keep.log.ts\n/only-top.ts\n# comment\n[bad\n"),
            (".ignore", "*.tmp.ts\n"),
            (".krinsignore", "secret*\nprivate/\n!dist.ts\n"),
            ("src/.krinsignore", "!secret-but-fine.ts\n"),
            ("src/.gitignore", "*.made.ts\n!loud.log.ts\n"),
            ("src/deep/.git", "gitdir: ../../.git\n"),
        ];
        let names = ["a", "x.above", "x.local", "a.log", "keep.log", "loud.log", "only-top", "x.tmp", "secret"];
        let names = names.iter().chain(&["secret-but-fine", "x.made", "dist"]);
        let places = ["", "src/", "src/deep/", "dist/", "private/", "src/private/", "node_modules/p/", ".github/"];
        let files = names.flat_map(|name| places.map(|place| format!("{place}{name}.ts")));
        for (path, text) in rules.map(|(path, text)| (path.to_owned(), text)).into_iter().chain(files.map(|p| (p, "x")))
        {
            let path = top.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        std::os::unix::fs::symlink("src", top.join("linked")).unwrap();
        let root = Root::open(&top).unwrap();
        let walked = root.walk().files.into_iter().map(|file| file.path).filter(is_wanted);
        let found = list(&root, "", None, None);
        let listed: BTreeSet<RelPath> = found.files.into_iter().map(|(path, _)| path).collect();
        assert_eq!(listed, walked.collect());
        assert!(listed.len() > 12 && listed.len() < 60, "{}", listed.len());
        // Again, and only what is right in it.
        let known = BTreeSet::from(["src".into(), "gone".into()]);
        let found = list(&root, "", Some(&known), None);
        assert_eq!(found.still, BTreeSet::from(["src".into()]));
        assert!(found.files.iter().all(|(path, _)| !path.as_str().starts_with("src/")) && !found.files.is_empty());
    }
}
