//! A task's change as a branch of its own, beside the person's working tree: to look at it, to run it, to push it.
//!
//! Git runs with no hook, no filter, no monitor and no system configuration; the files are written here, not by a checkout.
//! The person's branch, index and files are not touched.

use super::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::tasks::TaskState;
use krins_core::patch::Patch;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Bytes of git's words that are shown.
const SHOWN: usize = 400;
/// Characters of a commit's first line.
const TITLE: usize = 72;

/// Where the change can be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    pub branch: String,
    pub worktree: PathBuf,
}

impl Engine {
    /// Makes the branch and its worktree, with the change in it and not committed. Again it answers the same. Blocking.
    pub fn preview(&self, task: Option<&str>) -> Result<Preview> {
        let (id, patch) = self.gated_change(task)?;
        let git = Git::of(self.root().path())?;
        let preview = self.place_of(&id)?;
        if preview.worktree.is_dir() {
            return Ok(preview);
        }
        git.stands_on(&patch)?;
        let worktree = preview.worktree.display().to_string();
        git.run(&["worktree", "prune"], b"")?;
        git.run(&["worktree", "add", "--no-checkout", "--quiet", "-B", &preview.branch, "--", &worktree, "HEAD"], b"")?;
        let here = Git { dir: preview.worktree.clone(), drivers: git.drivers.clone() };
        here.run(&["reset", "--quiet", "--hard"], b"")?;
        let beneath = crate::worktree::Written::at(&preview.worktree);
        patch.files().iter().try_for_each(|file| {
            if let Some(from) = file.from.as_ref().filter(|from| **from != file.path) {
                beneath.remove(from)?;
            }
            match &file.after {
                Some(bytes) => beneath.write(&file.path, bytes, file.executable),
                None => beneath.remove(&file.path),
            }
        })?;
        Ok(preview)
    }

    /// Commits the change on its branch, and takes the worktree away. Blocking.
    pub fn promote(&self, task: Option<&str>) -> Result<(String, String)> {
        let (id, patch) = self.gated_change(task)?;
        let git = Git::of(self.root().path())?;
        git.stands_on(&patch)?;
        let place = self.place_of(&id)?;
        let index = self.state().subdir("previews")?.join(format!("{id}.index"));
        let head = git.run(&["rev-parse", "--verify", "HEAD"], b"")?;
        let with_index = |words: &[&str], input: &[u8]| git.run_with(words, input, Some(&index));
        with_index(&["read-tree", &head], b"")?;
        for file in patch.files() {
            if let Some(from) = file.from.as_ref().filter(|from| **from != file.path) {
                with_index(&["update-index", "--force-remove", "--", from.as_str()], b"")?;
            }
            match &file.after {
                Some(bytes) => {
                    let blob = git.run(&["hash-object", "-w", "--no-filters", "--stdin"], bytes)?;
                    let mode = if file.executable { "100755" } else { "100644" };
                    let info = format!("{mode},{blob},{}", file.path);
                    with_index(&["update-index", "--add", "--cacheinfo", &info], b"")?;
                }
                None => drop(with_index(&["update-index", "--force-remove", "--", file.path.as_str()], b"")?),
            }
        }
        let tree = with_index(&["write-tree"], b"")?;
        let _ = std::fs::remove_file(&index);
        let message = message(&self.tasks().get(&id)?.intent, &id);
        let commit = git.run(&["commit-tree", &tree, "-p", &head, "-F", "-"], message.as_bytes())?;
        if place.worktree.is_dir() {
            git.run(&["worktree", "remove", "--force", "--", &place.worktree.display().to_string()], b"")?;
        }
        git.run(&["update-ref", &format!("refs/heads/{}", place.branch), &commit], b"")?;
        Ok((place.branch, commit))
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

    fn place_of(&self, id: &str) -> Result<Preview> {
        Ok(Preview { branch: format!("krins/{id}"), worktree: self.state().subdir("previews")?.join(id) })
    }
}

/// The first line of the words, and which task it was.
fn message(words: &str, id: &str) -> String {
    let line = words.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("a change");
    let plain: String = line.chars().filter(|c| !c.is_control()).take(TITLE).collect();
    format!("{plain}\n\nKrins-Task: {id}\n")
}

/// Git, without anything that a repository could have it run.
struct Git {
    dir: PathBuf,
    /// The names of the filters that are configured: each is switched off.
    drivers: Vec<String>,
}

impl Git {
    fn of(root: &Path) -> Result<Self> {
        let mut git = Self { dir: root.to_owned(), drivers: Vec::new() };
        let top = git.run(&["rev-parse", "--show-toplevel"], b"")?;
        if Path::new(&top).canonicalize().ok().as_deref() != Some(root) {
            return Err(Error::new(
                ErrorKind::BadParams,
                format!("use git in {}: it is not the top of a repository", root.display()),
            )
            .hint("open the repository's own directory, or apply the change with `krins apply`"));
        }
        let names =
            git.run(&["config", "--includes", "--name-only", "--get-regexp", "^filter\\."], b"").unwrap_or_default();
        let driver = |line: &str| Some(line.strip_prefix("filter.")?.rsplit_once('.')?.0.to_owned());
        git.drivers = names.lines().filter_map(driver).collect();
        git.drivers.sort();
        git.drivers.dedup();
        Ok(git)
    }

    /// The commit has to hold what the change was made of: what is not committed would go with it.
    fn stands_on(&self, patch: &Patch) -> Result<()> {
        for file in patch.files() {
            let path = file.from.as_ref().unwrap_or(&file.path);
            let committed = self.bytes(&["cat-file", "blob", &format!("HEAD:{path}")]).ok();
            if committed.as_deref() != file.before.as_deref() {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!("put the change on a branch: {path} has changes that are not committed"),
                )
                .hint("commit them first, or apply the change with `krins apply`"));
            }
        }
        Ok(())
    }

    fn run(&self, words: &[&str], input: &[u8]) -> Result<String> {
        self.run_with(words, input, None)
    }

    fn run_with(&self, words: &[&str], input: &[u8], index: Option<&Path>) -> Result<String> {
        let said = self.start(words, input, index)?;
        Ok(String::from_utf8_lossy(&said).trim().to_owned())
    }

    fn bytes(&self, words: &[&str]) -> Result<Vec<u8>> {
        self.start(words, b"", None)
    }

    fn start(&self, words: &[&str], input: &[u8], index: Option<&Path>) -> Result<Vec<u8>> {
        let failed = |why: String| {
            let what = words.first().copied().unwrap_or_default();
            Error::new(ErrorKind::BadParams, format!("run git {what}: {why}"))
                .hint("git has to be installed, and the root a repository with a commit")
        };
        let mut command = Command::new("git");
        for off in [
            "core.hooksPath=/dev/null",
            "core.fsmonitor=false",
            "core.attributesFile=/dev/null",
            "commit.gpgSign=false",
            "core.untrackedCache=false",
            "gc.auto=0",
            "protocol.allow=never",
            "submodule.recurse=false",
            "core.autocrlf=false",
        ] {
            command.args(["-c", off]);
        }
        for driver in &self.drivers {
            for (part, value) in [("smudge", ""), ("clean", ""), ("process", ""), ("required", "false")] {
                command.arg("-c").arg(format!("filter.{driver}.{part}={value}"));
            }
        }
        for name in [
            "GIT_DIR",
            "GIT_WORK_TREE",
            "GIT_INDEX_FILE",
            "GIT_OBJECT_DIRECTORY",
            "GIT_EXTERNAL_DIFF",
            "GIT_SSH_COMMAND",
            "GIT_EDITOR",
            "GIT_PAGER",
            "GIT_CONFIG_PARAMETERS",
            "GIT_CONFIG_COUNT",
        ] {
            command.env_remove(name);
        }
        command
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("LC_ALL", "C");
        if let Some(index) = index {
            command.env("GIT_INDEX_FILE", index);
        }
        command.args(words).current_dir(&self.dir).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
        let stdin = child.stdin.take();
        let output = std::thread::scope(|scope| {
            scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input)));
            child.wait_with_output()
        });
        let output = output.map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said: String = String::from_utf8_lossy(&output.stderr).trim().chars().take(SHOWN).collect();
        Err(failed(crate::runner::plain(&said)))
    }
}
