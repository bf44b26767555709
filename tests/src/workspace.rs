//! A throwaway workspace, with a home of its own so that no test reads or writes the developer's settings.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use tempfile::TempDir;

/// A directory of sources and, beside it, a home. Both are deleted at the end.
#[derive(Debug)]
pub struct Workspace {
    root: PathBuf,
    base: PathBuf,
    cursor: Option<(PathBuf, usize)>,
    _guard: TempDir,
}

impl Workspace {
    /// An empty one.
    pub fn empty() -> Self {
        let guard = tempfile::Builder::new().prefix("krins-").tempdir().expect("a temporary directory");
        // Editors and servers compare canonical paths; /tmp is a link on some systems.
        let base = guard.path().canonicalize().expect("the directory was just made");
        for directory in ["ws", "home", "tmp"] {
            fs::create_dir(base.join(directory)).expect("the directory is ours");
        }
        Self { root: base.join("ws"), base, cursor: None, _guard: guard }
    }

    /// Files from text: each begins with a line `//- /path/from/root.ts`. A `$0` marks the cursor and is taken out.
    pub fn from_fixture(fixture: &str) -> Self {
        let mut workspace = Self::empty();
        for (path, text) in parse_fixture(fixture) {
            let (text, cursor) = match text.find("$0") {
                Some(at) => (text.replacen("$0", "", 1), Some(at)),
                None => (text, None),
            };
            workspace.write(&path, text);
            if let Some(at) = cursor {
                workspace.cursor = Some((PathBuf::from(path), at));
            }
        }
        workspace
    }

    /// A copy of a directory, without version control and installed packages.
    pub fn copy_of(source: &Path) -> Self {
        let workspace = Self::empty();
        copy(source, &workspace.root).unwrap_or_else(|error| panic!("failed to copy {}: {error}", source.display()));
        workspace
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where `$0` was: the path from the root, and the byte offset.
    pub fn cursor(&self) -> Option<(&Path, usize)> {
        self.cursor.as_ref().map(|(path, at)| (path.as_path(), *at))
    }

    /// The absolute path of a path from the root.
    pub fn path(&self, relative: &str) -> PathBuf {
        let relative = Path::new(relative.trim_start_matches('/'));
        assert!(relative.components().all(|part| matches!(part, Component::Normal(_))), "not a path from the root");
        self.root.join(relative)
    }

    pub fn root_uri(&self) -> String {
        uri(&self.root)
    }

    pub fn uri(&self, relative: &str) -> String {
        uri(&self.path(relative))
    }

    pub fn read(&self, relative: &str) -> String {
        let path = self.path(relative);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("failed to read {}: {error}", path.display()))
    }

    pub fn write(&self, relative: &str, contents: impl AsRef<[u8]>) {
        let path = self.path(relative);
        let parent = path.parent().expect("it is under the root");
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, contents))
            .unwrap_or_else(|error| panic!("failed to write {}: {error}", path.display()));
    }

    pub fn exists(&self, relative: &str) -> bool {
        self.path(relative).exists()
    }

    /// Every file with its bytes, by path from the root: to prove that nothing changed.
    pub fn snapshot(&self) -> std::collections::BTreeMap<PathBuf, Vec<u8>> {
        let mut files = std::collections::BTreeMap::new();
        collect(&self.root, &self.root, &mut files).expect("the workspace is ours");
        files
    }

    /// The home directory a process of this workspace gets.
    pub fn home(&self) -> PathBuf {
        self.base.join("home")
    }

    /// The whole environment a process of this workspace gets: nothing of the developer's but `PATH`.
    pub fn env(&self) -> Vec<(String, String)> {
        let home = self.home();
        let under = |part: &str| home.join(part).display().to_string();
        let mut env: Vec<(String, String)> = [
            ("HOME", home.display().to_string()),
            ("XDG_CONFIG_HOME", under(".config")),
            ("XDG_DATA_HOME", under(".local/share")),
            ("XDG_STATE_HOME", under(".local/state")),
            ("XDG_CACHE_HOME", under(".cache")),
            ("TMPDIR", self.base.join("tmp").display().to_string()),
            ("RUST_BACKTRACE", "1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        if let Ok(path) = std::env::var("PATH") {
            env.push(("PATH".to_owned(), path));
        }
        env
    }
}

/// The `file:` URI of an absolute path.
pub fn uri(path: &Path) -> String {
    url::Url::from_file_path(path).expect("an absolute path").to_string()
}

/// The path of a `file:` URI.
pub fn path_of(uri: &str) -> Option<PathBuf> {
    url::Url::parse(uri).ok()?.to_file_path().ok()
}

fn parse_fixture(fixture: &str) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = Vec::new();
    for line in fixture.split_inclusive('\n') {
        match (line.strip_prefix("//- /"), files.last_mut()) {
            (Some(path), _) => files.push((path.trim_end().to_owned(), String::new())),
            (None, Some((_, text))) => text.push_str(line),
            (None, None) => assert!(line.trim().is_empty(), "a fixture begins with `//- /path`, not {line:?}"),
        }
    }
    files
}

fn copy(source: &Path, target: &Path) -> io::Result<()> {
    for entry in fs::read_dir(source)? {
        let entry = entry?;
        let (from, to) = (entry.path(), target.join(entry.file_name()));
        if entry.file_name() == ".git" || entry.file_name() == "node_modules" {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::create_dir(&to)?;
            copy(&from, &to)?;
        } else {
            fs::copy(&from, &to)?;
        }
    }
    Ok(())
}

fn collect(root: &Path, at: &Path, files: &mut std::collections::BTreeMap<PathBuf, Vec<u8>>) -> io::Result<()> {
    for entry in fs::read_dir(at)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(root, &entry.path(), files)?;
        } else if let Ok(relative) = entry.path().strip_prefix(root) {
            files.insert(relative.to_owned(), fs::read(entry.path())?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixture_becomes_files() {
        let workspace = Workspace::from_fixture("//- /src/a.ts\nlet a = $01;\n//- /b.ts\nb\r\n");
        assert_eq!(workspace.read("src/a.ts"), "let a = 1;\n");
        assert_eq!(workspace.read("/b.ts"), "b\r\n");
        assert_eq!(workspace.cursor(), Some((Path::new("src/a.ts"), 8)));
        assert_eq!(path_of(&workspace.uri("src/a.ts")), Some(workspace.path("src/a.ts")));
        assert_eq!(workspace.snapshot().len(), 2);
    }

    #[test]
    fn no_home_but_its_own() {
        let workspace = Workspace::empty();
        for (name, value) in workspace.env() {
            assert!(
                ["PATH", "RUST_BACKTRACE"].contains(&name.as_str()) || Path::new(&value).starts_with(&workspace.base),
                "{name}={value}"
            );
        }
    }
}
