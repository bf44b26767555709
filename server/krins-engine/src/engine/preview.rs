//! A task's change beside the person's working tree: to look at it, to run it, and as a branch of its own.
//!
//! What is run is what is promoted: both are one tree of git's, the commit that is checked out with the patch in it. The
//! files of a preview are written here, not by a checkout. The person's branch, index and files are not touched, nor is
//! anything that they did in a preview: a worktree is taken away only while it holds nothing but what it was made of.
//!
//! Shortcomings: what ignore rules keep out goes with the worktree. A file that git calls changed right after a checkout
//! (its line ends are not as its attributes say) keeps a worktree from being taken away.

#[cfg(test)]
mod tests;

use super::Engine;
use super::git::{Git, Index};
use crate::error::{Error, ErrorKind, Result};
use crate::state::{Lease, StateDir};
use crate::tasks::TaskState;
use crate::worktree::Written;
use krins_core::RelPath;
use krins_core::patch::{FilePatch, Patch};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Characters of a commit's first line.
const TITLE: usize = 72;
/// The kind of document that says what each preview was made of.
const MADE: &str = "previewed";
/// How long another preview or promotion of the same task is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Names that are tried for a branch, and how often one may be taken in between.
const MOST_NAMES: usize = 100;
const MOST_TRIES: usize = 3;

/// Where the change can be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// What a promotion would call it now. There is no such branch before.
    pub branch: String,
    pub worktree: PathBuf,
}

/// The change is a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promoted {
    pub branch: String,
    pub commit: String,
    /// The worktree of the preview, where it holds what is not in the commit. It stays.
    pub kept: Option<PathBuf>,
}

/// The change as git sees it: a commit, and the tree that it becomes.
struct Change {
    base: String,
    tree: String,
}

/// What a preview was made of. On record before a file of it is there, and whole when all are.
#[derive(Serialize, Deserialize)]
struct Made {
    base: String,
    tree: String,
    whole: bool,
}

/// A name for the branch.
enum Name {
    /// With its tip, which is no commit that would get lost; `""` where there is no such branch.
    Free { branch: String, tip: String },
    /// The branch is the change already.
    Done { branch: String, commit: String },
}

/// One task's preview, while nobody else is at it.
struct Place<'a> {
    state: &'a StateDir,
    id: &'a str,
    git: Git,
    /// Where the root lies in its repository.
    below: String,
    /// The worktree's top.
    dir: PathBuf,
    _turn: Lease,
}

impl Engine {
    /// Makes a worktree with the change in it, not committed and on no branch. Again it answers the same, as long as the
    /// change is the same. Blocking.
    pub fn preview(&self, task: Option<&str>) -> Result<Preview> {
        let (id, patch) = self.gated_change(task)?;
        let place = self.place(&id, PATIENCE)?;
        let change = place.change(&patch)?;
        let (Name::Free { branch, .. } | Name::Done { branch, .. }) = place.name(&change)?;
        if !place.holds(&change) {
            place.clear()?;
            place.make(&change, &patch)?;
        }
        Ok(Preview { branch, worktree: place.shown() })
    }

    /// Commits the change on a branch of its own, and takes the worktree away where nobody did anything in it. Blocking.
    pub fn promote(&self, task: Option<&str>) -> Result<Promoted> {
        let (id, patch) = self.gated_change(task)?;
        let place = self.place(&id, PATIENCE)?;
        let change = place.change(&patch)?;
        let message = message(&self.tasks().get(&id)?.intent, &id);
        let (branch, commit) = place.commit(&change, &message)?;
        // The change is a commit by now, whatever becomes of the worktree.
        let kept = place.put_away().unwrap_or_else(|error| {
            tracing::warn!(task = id, %error, "the preview was not taken away");
            Some(place.dir.clone())
        });
        Ok(Promoted { branch, commit, kept })
    }

    /// The task is done with: its worktree goes, where nobody did anything in it. Blocking.
    pub(super) fn leave_preview(&self, id: &str) {
        if self.state().documents(MADE).iter().any(|made| made == id) {
            self.put_preview_away(id);
        }
    }

    /// The same for tasks that the history has forgotten. What stays is the person's own from then on. Blocking.
    pub(super) fn leave_forgotten_previews(&self) {
        let made = self.state().documents(MADE);
        if made.is_empty() {
            return;
        }
        let known = self.state().documents("tasks");
        for id in made.iter().filter(|id| !known.contains(id)) {
            if self.put_preview_away(id) {
                self.state().remove_document(MADE, id);
            }
        }
    }

    /// Whether it is known what became of it.
    fn put_preview_away(&self, id: &str) -> bool {
        match self.place(id, Duration::ZERO).and_then(|place| place.put_away()) {
            Ok(None) => true,
            Ok(Some(dir)) => {
                tracing::info!(task = id, dir = %dir.display(), "something was changed in the preview: it stays");
                true
            }
            Err(error) => {
                tracing::warn!(task = id, %error, "the preview was not taken away");
                false
            }
        }
    }

    /// The task's change without what was rejected of it, when the gate lets it pass as the policy and the files are now.
    fn gated_change(&self, task: Option<&str>) -> Result<(String, Patch)> {
        let review = self.review(task)?;
        match review.task.state {
            TaskState::Ready | TaskState::Applied | TaskState::Undone | TaskState::Blocked => {}
            _ => return Err(super::not_ready(&review.task)),
        }
        let gated = self.judged_again(&review)?;
        Ok((review.task.id, gated.value().clone()))
    }

    fn place<'a>(&'a self, id: &'a str, patience: Duration) -> Result<Place<'a>> {
        let (git, below) = Git::around(self.root().path())?;
        let started = Instant::now();
        let turn = loop {
            match self.state().hold(&format!("preview-{id}"))? {
                Some(turn) => break turn,
                None if started.elapsed() < patience => std::thread::sleep(Duration::from_millis(20)),
                None => {
                    return Err(Error::new(ErrorKind::LockHeld, format!("use the preview of task {id}: it is in use"))
                        .hint("wait for the other preview or promotion to end, and try again"));
                }
            }
        };
        let dir = self.state().subdir("previews")?.join(id);
        Ok(Place { state: self.state(), id, git, below, dir, _turn: turn })
    }
}

impl Place<'_> {
    fn index(&self) -> Result<Index> {
        Ok(Index::at(self.state.subdir(MADE)?.join(format!("{}.index", self.id))))
    }

    /// Where the root lies in the worktree; no `/` at its end.
    fn shown(&self) -> PathBuf {
        self.dir.join(&self.below).components().collect()
    }

    fn in_repository(&self, path: &RelPath) -> Result<RelPath> {
        RelPath::new(&format!("{}{path}", self.below))
            .map_err(|error| Error::new(ErrorKind::BadParams, format!("put the change on a branch: {error}")))
    }

    /// The tree that the commit and the patch make.
    fn change(&self, patch: &Patch) -> Result<Change> {
        let base = self.git.head()?;
        let left_alone = self.stands_on(&base, patch)?;
        let index = self.index()?;
        let with_index = |words: &[&str]| self.git.with_index(&index, words, b"");
        with_index(&["read-tree", &base])?;
        // First, so that a file can take the place of a directory that goes, and the other way round.
        for path in patch.files().iter().filter_map(left) {
            with_index(&["update-index", "--force-remove", "--", self.in_repository(path)?.as_str()])?;
        }
        for file in patch.files() {
            let Some(bytes) = &file.after else { continue };
            let path = self.in_repository(&file.path)?;
            let converted = format!("--path={path}");
            let how = if left_alone.contains(&file.path) { "--no-filters" } else { converted.as_str() };
            let blob = self.git.fed(&["hash-object", "-w", how, "--stdin"], bytes)?;
            let mode = if file.executable { "100755" } else { "100644" };
            let info = format!("{mode},{blob},{path}");
            with_index(&["update-index", "--add", "--cacheinfo", &info])?;
        }
        let tree = with_index(&["write-tree"])?;
        Ok(Change { base, tree })
    }

    /// The commit has to hold what the change was made of: what is not committed would go with it. Gives the files that are
    /// committed with the line ends of Windows, which git leaves alone.
    fn stands_on(&self, base: &str, patch: &Patch) -> Result<BTreeSet<RelPath>> {
        let refused = |what: String, hint: &str| {
            Err(Error::new(ErrorKind::Conflict, format!("put the change on a branch: {what}")).hint(hint))
        };
        let below = self.below.trim_end_matches('/');
        if !below.is_empty() && self.git.run(&["cat-file", "-e", &format!("{base}:{below}")]).is_err() {
            let hint = "commit it there first; or `git init` makes a repository of its own of it";
            return refused(format!("nothing of {below} is committed in the repository around it"), hint);
        }
        let mut left_alone = BTreeSet::new();
        for file in patch.files() {
            let path = file.from.as_ref().unwrap_or(&file.path);
            let inside = self.in_repository(path)?;
            let committed = self.git.bytes(&["cat-file", "blob", &format!("{base}:{inside}")]).ok();
            let (committed, before) = (committed.as_deref(), file.before.as_deref());
            let same = committed == before;
            if !same && !self.becomes(&inside, before, committed)? {
                let hint = "commit them first, or apply the change with `krins apply`";
                return refused(format!("{path} has changes that are not committed"), hint);
            }
            let crlf = |bytes: &[u8]| bytes.windows(2).any(|pair| pair == b"\r\n");
            if same && *path == file.path && before.is_some_and(crlf) {
                left_alone.insert(path.clone());
            }
        }
        Ok(left_alone)
    }

    /// Whether git would commit a file as these bytes: it may convert its line ends and its encoding.
    fn becomes(&self, path: &RelPath, file: Option<&[u8]>, committed: Option<&[u8]>) -> Result<bool> {
        let (Some(file), Some(committed)) = (file, committed) else { return Ok(false) };
        let named = |how: &str, bytes: &[u8]| self.git.fed(&["hash-object", how, "--stdin"], bytes);
        Ok(named(&format!("--path={path}"), file)? == named("--no-filters", committed)?)
    }

    fn made(&self) -> Option<Made> {
        self.state.document(MADE, self.id)
    }

    fn is_there(&self) -> bool {
        fs::symlink_metadata(&self.dir).is_ok()
    }

    /// The worktree was made of this change. The person may have gone on from it.
    fn holds(&self, change: &Change) -> bool {
        let same = |made: &Made| made.whole && made.base == change.base && made.tree == change.tree;
        self.is_there() && self.made().as_ref().is_some_and(same)
    }

    /// Takes the worktree away, to make it anew. It is a conflict where somebody did something in it.
    fn clear(&self) -> Result<()> {
        if !self.is_there() {
            return Ok(());
        }
        if self.is_untouched()? {
            return self.take_away();
        }
        let dir = self.dir.display();
        Err(Error::new(
            ErrorKind::Conflict,
            format!("make the preview anew: {dir} is an earlier one, and something was changed in it"),
        )
        .hint(format!("take what you need out of it, then `git worktree remove --force '{dir}'`, and preview again")))
    }

    fn make(&self, change: &Change, patch: &Patch) -> Result<()> {
        let cut_off = self.is_cut_off();
        let made = |whole| Made { base: change.base.clone(), tree: change.tree.clone(), whole };
        self.state.put_document(MADE, self.id, &made(false))?;
        let dir = self.dir.display().to_string();
        // Forced, because a worktree that somebody deleted is still on git's list.
        let mut add = vec!["worktree", "add", "--detach", "--no-checkout", "--quiet", "--force"];
        add.extend(cut_off.then_some("--force"));
        add.extend(["--", &dir, &change.base]);
        self.git.run(&add)?;
        // Asked anew: the configuration may have a part that is about this worktree alone.
        self.git.beside(&self.dir)?.run(&["reset", "--quiet", "--hard"])?;
        let beneath = Written::at(&self.dir);
        for path in patch.files().iter().filter_map(left) {
            beneath.remove(&self.in_repository(path)?)?;
        }
        for file in patch.files() {
            if let Some(bytes) = &file.after {
                beneath.write(&self.in_repository(&file.path)?, bytes, file.executable)?;
            }
        }
        Ok(self.state.put_document(MADE, self.id, &made(true))?)
    }

    /// Nothing is in the worktree that is not of what it was made of.
    fn is_untouched(&self) -> Result<bool> {
        let Some(made) = self.made() else { return Ok(false) };
        if !made.whole && self.is_bare() {
            return Ok(true);
        }
        let here = self.git.beside(&self.dir)?;
        if here.head()? != made.base {
            return Ok(false);
        }
        let index = self.index()?;
        let differing = here.differing(&made.tree, &index)?;
        if !made.whole {
            // Each file may be there as it was, as it becomes, or not at all.
            return Ok(differing.changed.is_disjoint(&here.differing(&made.base, &index)?.changed));
        }
        let staged = |tree: &str| here.run(&["diff-index", "--cached", "--quiet", tree, "--"]).is_ok();
        let same = differing.changed.is_empty() && differing.gone.is_empty();
        Ok(same && (staged(&made.base) || staged(&made.tree)))
    }

    /// Its making did not come to its end. Git locks a worktree meanwhile, which takes a second `--force`; one that is whole
    /// may be locked by the person, and stays.
    fn is_cut_off(&self) -> bool {
        self.made().is_some_and(|made| !made.whole)
    }

    /// Nothing is there yet.
    fn is_bare(&self) -> bool {
        let is_git = |entry: std::io::Result<fs::DirEntry>| entry.is_ok_and(|entry| entry.file_name() == ".git");
        fs::read_dir(&self.dir).is_ok_and(|mut entries| entries.all(is_git))
    }

    fn take_away(&self) -> Result<()> {
        let cut_off = self.is_cut_off();
        let dir = self.dir.display().to_string();
        let mut remove = vec!["worktree", "remove", "--force"];
        remove.extend(cut_off.then_some("--force"));
        remove.extend(["--", &dir]);
        let removed = self.git.run(&remove);
        if removed.is_err() && cut_off && self.is_bare() {
            // Git did not get as far as to know it.
            let _ = fs::remove_file(self.dir.join(".git"));
            let failed = |error| Error::new(ErrorKind::Internal, format!("remove {}: {error}", self.dir.display()));
            return fs::remove_dir(&self.dir).map_err(failed);
        }
        removed.map(drop)
    }

    /// Takes the worktree away; answers where it is when it stays.
    fn put_away(&self) -> Result<Option<PathBuf>> {
        if self.is_there() {
            if !self.is_untouched()? {
                return Ok(Some(self.dir.clone()));
            }
            self.take_away()?;
        }
        self.state.remove_document(MADE, self.id);
        Ok(None)
    }

    /// Only from the tip that was looked at.
    fn move_branch(&self, branch: &str, commit: &str, tip: &str) -> Result<()> {
        self.git.run(&["update-ref", "--no-deref", &format!("refs/heads/{branch}"), commit, tip]).map(drop)
    }

    /// The branch and the commit.
    fn commit(&self, change: &Change, message: &str) -> Result<(String, String)> {
        let mut made = None;
        let mut refused = None;
        for _ in 0..MOST_TRIES {
            let (branch, tip) = match self.name(change)? {
                Name::Done { branch, commit } => return Ok((branch, commit)),
                Name::Free { branch, tip } => (branch, tip),
            };
            let commit = match &made {
                Some(commit) => String::clone(commit),
                None => {
                    let words = ["commit-tree", &change.tree, "-p", &change.base, "-F", "-"];
                    made.insert(self.git.fed(&words, message.as_bytes())?).clone()
                }
            };
            match self.move_branch(&branch, &commit, &tip) {
                Ok(()) => return Ok((branch, commit)),
                // Somebody was faster, or it cannot be: the next look says which.
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.unwrap_or_else(|| Error::new(ErrorKind::Conflict, "put the change on a branch")))
    }

    /// The first name that takes no commit from anybody: of no branch yet, or of one that stands on what is checked out and
    /// is itself checked out nowhere.
    fn name(&self, change: &Change) -> Result<Name> {
        let first = format!("krins/{}", self.id);
        let format = "--format=%(refname:lstrip=2)%00%(objectname)%00%(tree)%00%(parent)%00%(symref)%(worktreepath)";
        let (one, more) = (format!("refs/heads/{first}"), format!("refs/heads/{first}-*"));
        let listed = self.git.run(&["for-each-ref", format, &one, &more])?;
        for number in 1..=MOST_NAMES {
            let branch = if number == 1 { first.clone() } else { format!("{first}-{number}") };
            let known = listed.lines().map(|line| line.split('\0').collect::<Vec<_>>()).find(|line| line[0] == branch);
            let Some(known) = known else { return Ok(Name::Free { branch, tip: String::new() }) };
            let [_, tip, tree, parent, taken] = known[..] else { continue };
            if tree == change.tree && parent == change.base {
                return Ok(Name::Done { branch, commit: tip.to_owned() });
            }
            let stands = || self.git.run(&["merge-base", "--is-ancestor", tip, &change.base]).is_ok();
            if taken.is_empty() && stands() {
                return Ok(Name::Free { branch, tip: tip.to_owned() });
            }
        }
        Err(Error::new(ErrorKind::Conflict, format!("name a branch: {first} and {MOST_NAMES} names like it are taken"))
            .hint("delete those that nobody needs"))
    }
}

/// The path at which nothing of the file is left.
fn left(file: &FilePatch) -> Option<&RelPath> {
    match &file.after {
        None => Some(&file.path),
        Some(_) => file.from.as_ref().filter(|from| **from != file.path),
    }
}

/// The first line of the words, and which task it was.
fn message(words: &str, id: &str) -> String {
    let line = words.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("a change");
    let plain: String = line.chars().filter(|c| !c.is_control()).take(TITLE).collect();
    format!("{plain}\n\nKrins-Task: {id}\n")
}
