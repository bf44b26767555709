//! Git, without anything that a repository could have it run: no hook, no filter, no monitor and no system configuration.
//!
//! It must not know what it is asked for.

use crate::error::{Error, ErrorKind, Result};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Bytes of git's words that are shown.
const SHOWN: usize = 400;
/// What is switched off for every command.
const OFF: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "commit.gpgSign=false",
    "core.untrackedCache=false",
    "gc.auto=0",
    "protocol.allow=never",
    "submodule.recurse=false",
    "core.safecrlf=false",
    "core.sparseCheckout=false",
    "core.splitIndex=false",
];
/// Variables that would lead git elsewhere, or give it other settings.
const UNSET: &[&str] = &[
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_ATTR_SOURCE",
    "GIT_EXTERNAL_DIFF",
    "GIT_SSH_COMMAND",
    "GIT_EDITOR",
    "GIT_PAGER",
    "GIT_CONFIG_PARAMETERS",
    "GIT_CONFIG_COUNT",
];

/// At the top of one working tree.
pub(super) struct Git {
    top: PathBuf,
    /// The names of the filters that are configured: each is switched off.
    drivers: Vec<String>,
}

/// What a working tree holds instead of a tree, by path; what ignore rules keep out aside.
pub(super) struct Differing {
    /// Other contents, and files that the tree does not have.
    pub changed: BTreeSet<Vec<u8>>,
    pub gone: BTreeSet<Vec<u8>>,
}

/// An index beside the repository's own. Dropping it removes it.
#[must_use = "dropping it removes the index"]
pub(super) struct Index(PathBuf);

impl Index {
    /// The place has to be nobody else's: what a killed process left there is removed.
    pub(super) fn at(path: PathBuf) -> Self {
        let index = Self(path);
        index.clear();
        index
    }

    fn clear(&self) {
        let _ = std::fs::remove_file(&self.0);
        let _ = std::fs::remove_file(self.0.with_added_extension("lock"));
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Git {
    /// In the repository around a root, and where the root lies in it: `""`, or a path with a `/` at its end.
    pub(super) fn around(root: &Path) -> Result<(Self, String)> {
        let (git, top) = Self::at_top_of(root)?;
        let elsewhere = || {
            Error::new(ErrorKind::BadParams, format!("use git in {}: its repository is elsewhere", root.display()))
                .hint("apply the change with `krins apply`")
        };
        let below = root.strip_prefix(&top).ok().and_then(Path::to_str).ok_or_else(elsewhere)?;
        let below = if below.is_empty() { String::new() } else { format!("{below}/") };
        Ok((git, below))
    }

    /// In another working tree of the same repository. The directory has to be its top: git looks for one further up, too.
    pub(super) fn beside(&self, dir: &Path) -> Result<Self> {
        let shown = dir.display();
        let foreign = || {
            Error::new(ErrorKind::Conflict, format!("use {shown} as a worktree: it is none of this repository"))
                .hint("move it away, and try again")
        };
        let (git, top) = Self::at_top_of(dir).map_err(|_| foreign())?;
        let same = Some(top) == dir.canonicalize().ok() && git.common_dir()? == self.common_dir()?;
        if same { Ok(git) } else { Err(foreign()) }
    }

    fn at_top_of(dir: &Path) -> Result<(Self, PathBuf)> {
        let mut git = Self { top: dir.to_owned(), drivers: Vec::new() };
        let top = PathBuf::from(git.run(&["rev-parse", "--show-toplevel"])?);
        let unreadable = |error| Error::new(ErrorKind::BadParams, format!("use git in {}: {error}", top.display()));
        let top = top.canonicalize().map_err(unreadable)?;
        git.top.clone_from(&top);
        git.drivers = git.drivers()?;
        Ok((git, top))
    }

    /// Every filter that a file could be sent through. One that cannot be named on a command line cannot be switched off.
    fn drivers(&self) -> Result<Vec<String>> {
        let names =
            self.bytes(&["config", "--includes", "--name-only", "--get-regexp", "^filter\\."]).unwrap_or_default();
        let refused = || {
            Error::new(ErrorKind::BadParams, "use git here: a filter of its configuration cannot be switched off")
                .hint("give the filter a plain name, or apply the change with `krins apply`")
        };
        let names = String::from_utf8(names).map_err(|_| refused())?;
        let mut drivers = BTreeSet::new();
        for line in names.lines() {
            let Some((name, _)) = line.strip_prefix("filter.").and_then(|key| key.rsplit_once('.')) else { continue };
            if name.contains('=') {
                return Err(refused());
            }
            drivers.insert(name.to_owned());
        }
        Ok(drivers.into_iter().collect())
    }

    fn common_dir(&self) -> Result<PathBuf> {
        let said = self.run(&["rev-parse", "--git-common-dir"])?;
        let dir = self.top.join(said);
        dir.canonicalize()
            .map_err(|error| Error::new(ErrorKind::BadParams, format!("use git in {}: {error}", dir.display())))
    }

    /// The commit that is checked out.
    pub(super) fn head(&self) -> Result<String> {
        self.run(&["rev-parse", "--verify", "--quiet", "HEAD^{commit}"]).map_err(|_| {
            Error::new(ErrorKind::BadParams, "use git here: the repository has no commit yet")
                .hint("make the first one (`git add`, `git commit`), or apply the change with `krins apply`")
        })
    }

    /// What the working tree holds instead of the tree.
    pub(super) fn differing(&self, tree: &str, index: &Index) -> Result<Differing> {
        self.with_index(index, &["read-tree", tree], b"")?;
        self.with_index(index, &["update-index", "-q", "--refresh"], b"")?;
        let words = ["diff-files", "--name-status", "-z", "--no-renames", "--ignore-submodules=all"];
        let said = self.start(&words, b"", Some(index))?;
        let mut differing = Differing { changed: BTreeSet::new(), gone: BTreeSet::new() };
        let mut said = parts(&said);
        while let (Some(status), Some(path)) = (said.next(), said.next()) {
            let set = if status == b"D" { &mut differing.gone } else { &mut differing.changed };
            set.insert(path.to_owned());
        }
        let others = self.start(&["ls-files", "--others", "--exclude-standard", "-z"], b"", Some(index))?;
        differing.changed.extend(parts(&others).map(<[u8]>::to_owned));
        differing.changed.extend(self.submodules(index)?);
        Ok(differing)
    }

    /// Those that were fetched: what is in them is not looked at.
    fn submodules(&self, index: &Index) -> Result<Vec<Vec<u8>>> {
        let listed = self.start(&["ls-files", "--stage", "-z"], b"", Some(index))?;
        let path = |entry: &[u8]| {
            let at = entry.iter().position(|byte| *byte == b'\t')?;
            entry.starts_with(b"160000 ").then(|| entry[at + 1..].to_owned())
        };
        let fetched = |path: &Vec<u8>| {
            let dir = self.top.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(path));
            std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some())
        };
        Ok(parts(&listed).filter_map(path).filter(fetched).collect())
    }

    pub(super) fn run(&self, words: &[&str]) -> Result<String> {
        self.fed(words, b"")
    }

    pub(super) fn fed(&self, words: &[&str], input: &[u8]) -> Result<String> {
        self.start(words, input, None).map(|said| text(&said))
    }

    pub(super) fn with_index(&self, index: &Index, words: &[&str], input: &[u8]) -> Result<String> {
        self.start(words, input, Some(index)).map(|said| text(&said))
    }

    pub(super) fn bytes(&self, words: &[&str]) -> Result<Vec<u8>> {
        self.start(words, b"", None)
    }

    fn start(&self, words: &[&str], input: &[u8], index: Option<&Index>) -> Result<Vec<u8>> {
        let what = words.first().copied().unwrap_or_default();
        let failed = |why: String| Error::new(ErrorKind::BadParams, format!("run git {what}: {why}"));
        let mut command = self.command();
        if let Some(Index(path)) = index {
            command.env("GIT_INDEX_FILE", path);
        }
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .map_err(|error| failed(error.to_string()).hint("git has to be installed, and on the path"))?;
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
        let hint = if said.contains("not a git repository") {
            "`git init` and a first commit make one, or apply the change with `krins apply`"
        } else {
            ""
        };
        Err(failed(crate::runner::plain(&said)).hint(hint))
    }

    fn command(&self) -> Command {
        let mut command = Command::new("git");
        for off in OFF {
            command.args(["-c", off]);
        }
        for driver in &self.drivers {
            for (part, value) in [("smudge", ""), ("clean", ""), ("process", ""), ("required", "false")] {
                command.arg("-c").arg(format!("filter.{driver}.{part}={value}"));
            }
        }
        for name in UNSET {
            command.env_remove(name);
        }
        command
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("LC_ALL", "C")
            .current_dir(&self.top);
        command
    }
}

fn text(said: &[u8]) -> String {
    String::from_utf8_lossy(said).trim().to_owned()
}

/// What `-z` separates.
fn parts(said: &[u8]) -> impl Iterator<Item = &[u8]> {
    said.split(|byte| *byte == 0).filter(|part| !part.is_empty())
}
