//! The past of the repository that holds the root, read from Git's files alone.
//!
//! No program is started and no configuration is read: what a repository's configuration could run has no way to. No
//! network either, so what a shallow or partial clone lacks is no past. Whatever is damaged, missing or of another kind
//! (SHA-256 object names, reftables) gives a shorter history or none, never an error.
//!
//! Reading is incremental: a commit that the state directory knows is not compared again.

use crate::limits::Limits;
use crate::state::StateDir;
use crate::workspace::Root;
use gix_diff::tree::{Recorder, Visit, recorder, visit};
use gix_hash::{Kind, ObjectId};
use gix_object::bstr::{BStr, BString, ByteSlice as _};
use gix_object::{CommitRefIter, FindExt as _, TreeRefIter};
use gix_ref::file::ReferenceExt as _;
use krins_core::RelPath;
use krins_core::context::{Change, History, HistoryBuilder};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How far back a history goes: so many commits that are no merges, and so many seconds before the newest. Half of them
/// give nine tenths of what 2,000 give (recall of the files that later commits changed).
const COMMITS: usize = 1_200;
const SECONDS: i64 = 5 * 365 * 24 * 3600;
/// Whoever asks waits so long for commits that were not seen yet; the rest is read in the background. Enough for all of
/// an ordinary repository, so that the same question has the same answer from the first time on.
const PATIENCE: Duration = Duration::from_millis(400);
/// A tree that differs in more files was moved or imported as a whole.
const MOST_CHANGES: usize = 4_000;
/// Bytes of a message beyond these are a changelog.
const LONGEST_MESSAGE: usize = 4_096;
/// Bytes of unpacked trees, and of packed objects, that are kept at most while a history is read.
const CACHE: usize = 16 << 20;

/// A root's history, kept up to date with its HEAD.
#[derive(Debug)]
pub struct Past {
    root: Arc<Root>,
    state: StateDir,
    known: Mutex<Arc<History>>,
    /// A thread reads what is older.
    reading: AtomicBool,
}

impl Past {
    pub fn new(root: Arc<Root>, state: StateDir) -> Arc<Self> {
        Arc::new(Self { root, state, known: Mutex::default(), reading: AtomicBool::new(false) })
    }

    /// The history as of HEAD; blocking. Where there is more to read than [`PATIENCE`] allows, a thread reads on, and
    /// what is known so far is the answer.
    pub fn refresh(self: &Arc<Self>) -> Arc<History> {
        let Some(repository) = Repository::of(self.root.path()) else { return Arc::default() };
        let mut known = self.lock();
        if known.is_empty() {
            *known = Arc::new(stored(&self.state));
        }
        if known.head() != repository.head && !self.reading.load(Ordering::Acquire) {
            *known = Arc::new(repository.read(&known, Some(Instant::now() + PATIENCE)));
            store(&self.state, &known);
            if known.head().is_empty() {
                self.read_on();
            }
        }
        known.clone()
    }

    fn read_on(self: &Arc<Self>) {
        self.reading.store(true, Ordering::Release);
        let done = Done(self.clone());
        let started = std::thread::Builder::new().name("krins-history".to_owned()).spawn(move || {
            let past = &done.0;
            let history = read(&past.root, &past.state);
            *past.lock() = Arc::new(history);
        });
        if let Err(error) = started {
            tracing::warn!(%error, "the repository's past is not read");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Arc<History>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says that the thread has ended, however it did.
struct Done(Arc<Past>);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.reading.store(false, Ordering::Release);
    }
}

/// The history as of HEAD, as far back as it goes. Blocking; what it read is kept in the state directory.
pub fn read(root: &Root, state: &StateDir) -> History {
    let known = stored(state);
    let Some(repository) = Repository::of(root.path()) else { return History::default() };
    if known.head() == repository.head {
        return known;
    }
    let history = repository.read(&known, None);
    store(state, &history);
    history
}

/// The same at any commit, for measurements: no state is used.
pub fn read_at(git_dir: &Path, commit: &str) -> Option<History> {
    let head = ObjectId::from_hex(commit.as_bytes()).ok()?;
    let repository = Repository::open(git_dir.to_owned(), PathBuf::new(), Some(head))?;
    Some(repository.read(&History::default(), None))
}

fn stored(state: &StateDir) -> History {
    state.document("history", "commits").unwrap_or_default()
}

fn store(state: &StateDir, history: &History) {
    if let Err(error) = state.put_document("history", "commits", history) {
        tracing::warn!(%error, "the repository's past is not kept");
    }
}

/// Git's files, opened at one commit.
struct Repository {
    objects: gix_odb::Handle,
    head: ObjectId,
    /// The root's place in the work tree; empty when it is the work tree.
    below: PathBuf,
}

/// What the walk needs of a commit; newer is greater.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Node {
    /// Seconds since 1970.
    time: i64,
    id: ObjectId,
    parents: Vec<ObjectId>,
}

impl Repository {
    fn of(root: &Path) -> Option<Self> {
        let options = gix_discover::upwards::Options { dot_git_only: true, ..Default::default() };
        let (found, _trust) = gix_discover::upwards_opts(root, options).ok()?;
        let (git_dir, work_tree) = found.into_repository_and_work_tree_directories();
        let work_tree = work_tree?.canonicalize().ok()?;
        Self::open(git_dir, root.strip_prefix(&work_tree).ok()?.to_owned(), None)
    }

    fn open(git_dir: PathBuf, below: PathBuf, head: Option<ObjectId>) -> Option<Self> {
        let common = match gix_discover::path::from_plain_file_relative_to_file(&git_dir.join("commondir")) {
            Some(common) => common.ok()?,
            None => git_dir.clone(),
        };
        let head = head.or_else(|| head_of(git_dir, common.clone()))?;
        let mut objects = gix_odb::at(common.join("objects"), Kind::Sha1).ok()?;
        let cache = Limits::current().cache(CACHE);
        objects.set_pack_cache(move || Box::new(gix_pack::cache::lru::MemoryCappedHashmap::new(cache)));
        objects.set_object_cache(move || Box::new(gix_pack::cache::object::MemoryCappedHashmap::new(cache)));
        Some(Self { objects, head, below })
    }

    /// The history from HEAD on. Without a head when time was up: it lacks commits that `known` does not hold.
    fn read(&self, known: &History, until: Option<Instant>) -> History {
        let mut builder = HistoryBuilder::new(known);
        let mut whole = true;
        self.walk(&mut |id, node| {
            if builder.push_known(&id.to_string()) {
                return;
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                whole = false;
            } else if let Some(change) = self.change(id, node) {
                builder.push(change);
            }
        });
        builder.finish(if whole { self.head.to_string() } else { String::new() })
    }

    /// Shows every commit from HEAD on that is no merge (a merge repeats what its parents did), newest first, within the
    /// limits. What is not there ends its line.
    fn walk(&self, show: &mut dyn FnMut(ObjectId, &Node)) {
        let mut shown = 0;
        let mut seen = BTreeSet::from([self.head]);
        let mut queue: BinaryHeap<Node> = self.node(self.head).into_iter().collect();
        let since = queue.peek().map_or(0, |newest| newest.time.saturating_sub(SECONDS));
        while let Some(node) = queue.pop().filter(|node| node.time >= since && shown < COMMITS) {
            let unseen = node.parents.iter().filter(|parent| seen.insert(**parent));
            queue.extend(unseen.filter_map(|parent| self.node(*parent)));
            if node.parents.len() < 2 {
                shown += 1;
                show(node.id, &node);
            }
        }
    }

    fn node(&self, id: ObjectId) -> Option<Node> {
        let mut buffer = Vec::new();
        let commit = self.objects.find_commit_iter(&id, &mut buffer).ok()?;
        let time = commit.committer().ok()?.seconds();
        Some(Node { time, id, parents: commit.parent_ids().collect() })
    }

    /// What the commit changed below the root; `None` when a tree is not there, or it is the first commit.
    fn change(&self, id: ObjectId, node: &Node) -> Option<Change> {
        let parent = node.parents.first()?;
        let mut buffer = Vec::new();
        let commit = self.objects.find_commit_iter(&id, &mut buffer).ok()?;
        let message = commit.message().ok()?;
        let message = &message[..message.len().min(LONGEST_MESSAGE)];
        let mut change = Change {
            id: id.to_string(),
            time: node.time,
            message: message.to_str_lossy().into_owned(),
            ..Change::default()
        };
        let (old, new) = (self.tree_of(*parent)?, self.tree(commit)?);
        if old != new {
            let differences = self.differences(old, new)?;
            change.moves = moves(&differences);
            change.files = files(&differences);
        }
        Some(change)
    }

    fn tree_of(&self, commit: ObjectId) -> Option<ObjectId> {
        let mut buffer = Vec::new();
        self.tree(self.objects.find_commit_iter(&commit, &mut buffer).ok()?)
    }

    /// The root's tree in a commit: the empty one when the root is not in it.
    fn tree(&self, mut commit: CommitRefIter<'_>) -> Option<ObjectId> {
        let top = commit.tree_id().ok()?;
        if self.below.as_os_str().is_empty() {
            return Some(top);
        }
        let mut buffer = Vec::new();
        let mut scratch = Vec::new();
        let tree = self.objects.find_tree_iter(&top, &mut buffer).ok()?;
        match tree.lookup_entry_by_path(&self.objects, &mut scratch, &self.below).ok()? {
            Some(entry) if entry.mode.is_tree() => Some(entry.oid),
            _ => Some(ObjectId::empty_tree(Kind::Sha1)),
        }
    }

    fn entries<'b>(&self, tree: ObjectId, buffer: &'b mut Vec<u8>) -> Option<TreeRefIter<'b>> {
        // Git knows the empty tree without having it.
        if tree == ObjectId::empty_tree(Kind::Sha1) {
            return Some(TreeRefIter::from_bytes(&[], Kind::Sha1));
        }
        self.objects.find_tree_iter(&tree, buffer).ok()
    }

    fn differences(&self, old: ObjectId, new: ObjectId) -> Option<Vec<recorder::Change>> {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        let (old, new) = (self.entries(old, &mut left)?, self.entries(new, &mut right)?);
        let mut bounded = Bounded { recorder: Recorder::default() };
        match gix_diff::tree(old, new, gix_diff::tree::State::default(), &self.objects, &mut bounded) {
            Ok(()) => Some(bounded.recorder.records),
            // Too many to say anything: none.
            Err(gix_diff::tree::Error::Cancelled) => Some(Vec::new()),
            Err(gix_diff::tree::Error::Failure(_)) => None,
        }
    }
}

/// What HEAD names, through symbolic references.
fn head_of(git_dir: PathBuf, common: PathBuf) -> Option<ObjectId> {
    let store = match git_dir == common {
        true => gix_ref::file::Store::at(git_dir, Kind::Sha1),
        false => gix_ref::file::Store::for_linked_worktree(git_dir, common, Kind::Sha1),
    };
    let packed = store.open_packed_buffer().ok()?;
    let mut head = store.find("HEAD").ok()?;
    head.follow_to_object_packed(&store, packed.as_ref()).ok()
}

/// Stops a comparison that would take everything.
struct Bounded {
    recorder: Recorder,
}

impl Visit for Bounded {
    fn pop_front_tracked_path_and_set_current(&mut self) {
        self.recorder.pop_front_tracked_path_and_set_current();
    }

    fn push_back_tracked_path_component(&mut self, component: &BStr) {
        self.recorder.push_back_tracked_path_component(component);
    }

    fn push_path_component(&mut self, component: &BStr) {
        self.recorder.push_path_component(component);
    }

    fn pop_path_component(&mut self) {
        self.recorder.pop_path_component();
    }

    fn visit(&mut self, change: visit::Change) -> visit::Action {
        if self.recorder.records.len() == MOST_CHANGES {
            return ControlFlow::Break(());
        }
        self.recorder.visit(change)
    }
}

/// The files that are there afterwards: what a commit removed can no longer change with anything.
fn files(differences: &[recorder::Change]) -> Vec<RelPath> {
    let there = differences.iter().filter_map(|difference| match difference {
        recorder::Change::Addition { entry_mode, path, .. }
        | recorder::Change::Modification { entry_mode, path, .. } => {
            entry_mode.is_blob().then(|| rel_path(path)).flatten()
        }
        recorder::Change::Deletion { .. } => None,
    });
    there.collect()
}

/// Removed and added files that are one: the same content, else the only ones of their name.
fn moves(differences: &[recorder::Change]) -> Vec<(RelPath, RelPath)> {
    let mut gone = Vec::new();
    let mut come = Vec::new();
    for difference in differences {
        match difference {
            recorder::Change::Addition { entry_mode, oid, path, .. } if entry_mode.is_blob() => come.push((oid, path)),
            recorder::Change::Deletion { entry_mode, oid, path, .. } if entry_mode.is_blob() => gone.push((oid, path)),
            _ => {}
        }
    }
    let mut moves = pairs(&gone, &come, |(oid, _)| oid.as_bytes());
    let paired: BTreeSet<&BString> = moves.iter().flat_map(|(old, new)| [*old, *new]).collect();
    gone.retain(|(_, path)| !paired.contains(path));
    come.retain(|(_, path)| !paired.contains(path));
    moves.extend(pairs(&gone, &come, |(_, path)| path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)));
    moves.into_iter().filter_map(|(old, new)| Some((rel_path(old)?, rel_path(new)?))).collect()
}

/// One old and one new path that alone have the same key.
fn pairs<'d>(
    gone: &[(&'d ObjectId, &'d BString)],
    come: &[(&'d ObjectId, &'d BString)],
    key: impl Fn(&(&'d ObjectId, &'d BString)) -> &'d [u8],
) -> Vec<(&'d BString, &'d BString)> {
    let mut by_key: BTreeMap<&[u8], (Vec<&BString>, Vec<&BString>)> = BTreeMap::new();
    for entry in gone {
        by_key.entry(key(entry)).or_default().0.push(entry.1);
    }
    for entry in come {
        by_key.entry(key(entry)).or_default().1.push(entry.1);
    }
    let single = |(gone, come): (Vec<_>, Vec<_>)| match (&*gone, &*come) {
        ([old], [new]) => Some((*old, *new)),
        _ => None,
    };
    by_key.into_values().filter_map(single).collect()
}

fn rel_path(path: &BString) -> Option<RelPath> {
    RelPath::new(path.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// A repository, its root and its state.
    struct Sample {
        dir: tempfile::TempDir,
        /// The next commit's day.
        day: std::cell::Cell<u64>,
    }

    impl Sample {
        fn new() -> Self {
            let sample = Self { dir: tempfile::tempdir().unwrap(), day: std::cell::Cell::new(1) };
            std::fs::create_dir(sample.path()).unwrap();
            sample.git(&["init", "-q", "-b", "main"]);
            sample
        }

        fn path(&self) -> PathBuf {
            self.dir.path().join("work")
        }

        fn git(&self, arguments: &[&str]) {
            let mut git = Command::new("git");
            git.arg("-C").arg(self.path()).args(["-c", "user.name=x", "-c", "user.email=x@example.com"]);
            let date = format!("{} +0000", 1_700_000_000 + self.day.get() * 24 * 3600);
            git.env("GIT_COMMITTER_DATE", &date).env("GIT_AUTHOR_DATE", &date);
            git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
            let done = git.args(arguments).output().unwrap();
            assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        }

        /// Writes the files anew and commits.
        fn commit(&self, message: &str, files: &[&str]) {
            for file in files {
                let path = self.path().join(file);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, format!("{message} {file}")).unwrap();
            }
            self.git(&["add", "-A"]);
            self.git(&["commit", "-q", "-m", message]);
            self.day.set(self.day.get() + 1);
        }

        fn open(&self, below: &str) -> (Root, StateDir) {
            let root = Root::open(&self.path().join(below)).unwrap();
            let state = StateDir::open_at(&self.dir.path().join("state"), &root).unwrap();
            (root, state)
        }

        fn read(&self, below: &str) -> History {
            let (root, state) = self.open(below);
            read(&root, &state)
        }
    }

    fn near(history: &History, path: &str) -> Vec<String> {
        history.cochange(&RelPath::new(path).unwrap()).into_iter().map(|(path, _)| path.to_string()).collect()
    }

    fn two_commits() -> Sample {
        let sample = Sample::new();
        sample.commit("begin", &["readme.md"]);
        sample.commit("fix the parser", &["src/a.ts", "src/b.ts"]);
        sample
    }

    #[test]
    fn what_changed_together_is_read_and_a_new_head_is_noticed() {
        let sample = two_commits();
        assert_eq!(near(&sample.read(""), "src/a.ts"), ["src/b.ts"]);
        sample.commit("more", &["src/a.ts", "src/c.ts"]);
        let history = sample.read("");
        assert_eq!(near(&history, "src/a.ts"), ["src/c.ts", "src/b.ts"]);
        assert_eq!(history.by_message("a parser fix")[0].0.as_str(), "src/a.ts");
        sample.git(&["gc", "-q"]);
        std::fs::remove_dir_all(sample.dir.path().join("state")).unwrap();
        assert_eq!(sample.read(""), history, "packed or loose, known or new: the same");
    }

    /// Reading again would give the same, so the store is made to say something else.
    #[test]
    fn what_the_state_knows_is_not_read_again() {
        let sample = two_commits();
        let (root, state) = sample.open("");
        read(&root, &state);
        let path = state.path().join("history/commits.json");
        let kept = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, kept.replace("src/b.ts", "src/kept.ts")).unwrap();
        sample.commit("more", &["src/c.ts"]);
        assert_eq!(near(&read(&root, &state), "src/a.ts"), ["src/kept.ts"]);
        std::fs::write(&path, "damaged").unwrap();
        assert_eq!(near(&read(&root, &state), "src/a.ts"), ["src/b.ts"]);
    }

    #[test]
    fn a_root_below_the_work_tree_sees_its_own_files() {
        let sample = two_commits();
        sample.commit("outside", &["other/x.ts", "src/a.ts", "src/deep/c.ts"]);
        assert_eq!(near(&sample.read("src"), "a.ts"), ["deep/c.ts", "b.ts"]);
        assert!(near(&sample.read("src/deep"), "c.ts").is_empty());
    }

    #[test]
    fn linked_work_trees_and_shallow_clones_are_read_as_far_as_they_go() {
        let sample = two_commits();
        sample.commit("more", &["src/a.ts", "src/c.ts"]);
        sample.git(&["worktree", "add", "-q", "-b", "side", "../linked"]);
        let linked = sample.read("../linked");
        assert_eq!(near(&linked, "src/a.ts"), ["src/c.ts", "src/b.ts"]);
        let url = format!("file://{}", sample.path().display());
        sample.git(&["clone", "-q", "--depth", "2", &url, "../shallow"]);
        assert_eq!(near(&sample.read("../shallow"), "src/a.ts"), ["src/c.ts"]);
    }

    #[test]
    fn no_repository_an_empty_one_and_a_damaged_one_have_no_past() {
        let sample = Sample::new();
        assert!(sample.read("").is_empty());
        let bare = tempfile::tempdir().unwrap();
        let root = Root::open(bare.path()).unwrap();
        assert!(Repository::of(root.path()).is_none());
        let sample = two_commits();
        std::fs::remove_dir_all(sample.path().join(".git/objects")).unwrap();
        assert!(sample.read("").is_empty());
        std::fs::write(sample.path().join(".git/HEAD"), [0xff; 90]).unwrap();
        assert!(sample.read("").is_empty());
    }

    #[test]
    fn merges_say_nothing_and_renames_are_followed() {
        let sample = two_commits();
        sample.git(&["checkout", "-q", "-b", "side"]);
        sample.commit("side", &["src/s.ts"]);
        sample.git(&["checkout", "-q", "main"]);
        sample.commit("main", &["src/m.ts"]);
        sample.git(&["merge", "-q", "--no-ff", "-m", "merge", "side"]);
        sample.git(&["mv", "src/a.ts", "src/renamed.ts"]);
        sample.commit("rename", &[]);
        let history = sample.read("");
        assert!(near(&history, "src/s.ts").is_empty(), "the merge brought both");
        assert_eq!(near(&history, "src/renamed.ts"), ["src/b.ts"]);
    }

    #[test]
    fn whoever_has_no_time_gets_what_is_known_and_the_rest_follows() {
        let sample = two_commits();
        sample.commit("more", &["src/a.ts", "src/c.ts"]);
        let (root, state) = sample.open("");
        let repository = Repository::of(root.path()).unwrap();
        let known = read(&root, &state);
        sample.commit("newest", &["src/a.ts", "src/d.ts"]);
        let repository = Repository { head: Repository::of(root.path()).unwrap().head, ..repository };
        let partial = repository.read(&known, Some(Instant::now()));
        assert_eq!((partial.head(), near(&partial, "src/a.ts")), ("", vec!["src/c.ts".into(), "src/b.ts".into()]));
        let past = Past::new(Arc::new(root), state);
        let history = past.refresh();
        assert_eq!(near(&history, "src/a.ts")[0], "src/d.ts");
        assert!(Arc::ptr_eq(&history, &past.refresh()), "an unchanged HEAD costs nothing");
    }

    /// Configuration that would run a program, were it read.
    #[test]
    fn nothing_in_the_repository_is_run() {
        let sample = two_commits();
        let marker = sample.dir.path().join("ran");
        let command = format!("touch {}", marker.display());
        for key in ["core.fsmonitor", "diff.external", "core.pager", "filter.x.smudge", "filter.x.clean"] {
            sample.git(&["config", key, &command]);
        }
        std::fs::write(sample.path().join(".gitattributes"), "* filter=x diff=x\n").unwrap();
        let _ = std::fs::remove_file(&marker);
        assert!(!sample.read("").is_empty());
        assert!(!marker.exists());
    }
}
