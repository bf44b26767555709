//! The repository as a file system for oxc_resolver: paths and texts that are held here, and nothing else. No call
//! reaches a disk.

use super::{ResolveConfig, ancestors, join};
use crate::path::RelPath;
use oxc_resolver::{FileMetadata, FileSystem, ResolveError};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The two ways to see the repository; see the module above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Plain,
    Inferred,
}

/// What stands before the paths of each.
const ROOTS: [&str; 2] = if cfg!(windows) { ["C:/plain", "C:/inferred"] } else { ["/plain", "/inferred"] };

impl Mode {
    fn root(self) -> &'static str {
        match self {
            Self::Plain => ROOTS[0],
            Self::Inferred => ROOTS[1],
        }
    }

    /// A path from the repository's root as one of the view's.
    pub fn place(self, path: &str) -> String {
        if path.is_empty() { self.root().to_owned() } else { join(self.root(), path) }
    }
}

/// The files that there are.
#[derive(Clone, Debug, Default)]
pub(super) struct Paths {
    files: Arc<HashSet<RelPath>>,
    /// Directories with files below them.
    folders: Arc<HashSet<Box<str>>>,
    /// What is otherwise, few.
    changed: BTreeMap<RelPath, bool>,
}

/// After so many changes the sets are made anew.
const MOST_CHANGES: usize = 64;

impl Paths {
    pub fn new<'f>(files: impl IntoIterator<Item = &'f RelPath>) -> Self {
        let mut folders: HashSet<Box<str>> = HashSet::new();
        let mut known = HashSet::new();
        for file in files {
            for dir in ancestors(file.dir()) {
                if folders.contains(dir) {
                    break;
                }
                folders.insert(dir.into());
            }
            known.insert(file.clone());
        }
        Self { files: Arc::new(known), folders: Arc::new(folders), changed: BTreeMap::new() }
    }

    fn with(&self, path: &RelPath, there: bool) -> Self {
        let mut paths = self.clone();
        paths.changed.insert(path.clone(), there);
        if paths.changed.len() <= MOST_CHANGES {
            return paths;
        }
        let changed = std::mem::take(&mut paths.changed);
        let kept: Vec<&RelPath> = paths.files.iter().filter(|path| !changed.contains_key(*path)).collect();
        Self::new(kept.into_iter().chain(changed.iter().filter(|(_, there)| **there).map(|(path, _)| path)))
    }

    fn file(&self, path: &str) -> Option<RelPath> {
        match self.changed.get(path) {
            Some(there) => there.then(|| self.changed.get_key_value(path).map(|(path, _)| path.clone()))?,
            None => self.files.get(path).cloned(),
        }
    }

    fn is_file(&self, path: &str) -> bool {
        self.changed.get(path).copied().unwrap_or_else(|| self.files.contains(path))
    }

    /// A directory that has become empty still is one; nothing is found in it.
    fn is_dir(&self, path: &str) -> bool {
        self.folders.contains(path)
            || self.changed.iter().any(|(file, there)| *there && super::below(file.dir(), path).is_some())
    }
}

#[derive(Clone)]
pub(super) struct View {
    config: Arc<ResolveConfig>,
    paths: Paths,
}

/// What is at a path.
enum Node {
    File,
    Folder,
    /// A link, with the path that it leads to.
    Link(String),
}

impl View {
    pub fn new(config: Arc<ResolveConfig>, paths: Paths) -> Self {
        Self { config, paths }
    }

    pub fn config(&self) -> &Arc<ResolveConfig> {
        &self.config
    }

    pub fn with(&self, path: &RelPath, there: bool) -> Self {
        Self { config: self.config.clone(), paths: self.paths.with(path, there) }
    }

    /// The file at a path from the repository's root.
    pub fn file(&self, path: &str) -> Option<RelPath> {
        self.paths.file(path)
    }

    /// A path of the view as one from the repository's root.
    pub fn inside(&self, path: &Path) -> Option<String> {
        self.place(path).map(|(_, path)| path.into_owned())
    }

    fn place<'p>(&self, path: &'p Path) -> Option<(Mode, Cow<'p, str>)> {
        let text = path.to_str()?;
        if cfg!(windows) {
            let text = text.replace('\\', "/");
            let (mode, inside) = split(&text)?;
            return Some((mode, Cow::Owned(inside.to_owned())));
        }
        split(text).map(|(mode, inside)| (mode, Cow::Borrowed(inside)))
    }

    fn node(&self, mode: Mode, path: &str) -> Option<Node> {
        let (path, imported) = match self.followed(mode, path) {
            Followed::Is(target) => return Some(Node::Link(target)),
            Followed::Leads(path) => (Cow::Owned(path), true),
            Followed::No => (Cow::Borrowed(path), false),
        };
        match self.shows(mode, &path) {
            Some(true) => return Some(Node::File),
            Some(false) => return None,
            None if self.paths.is_file(&path) => return Some(Node::File),
            None => {}
        }
        if self.paths.is_dir(&path)
            || self.config.links.folders.contains(&*path)
            || self.config.manifests.contains_key(&*path)
        {
            return Some(Node::Folder);
        }
        if mode == Mode::Plain {
            return None;
        }
        if let Some(source) = self.source(&path, imported) {
            return Some(Node::Link(source));
        }
        self.config.outputs.is_dir(&path, imported, &|path| self.paths.is_dir(path)).then_some(Node::Folder)
    }

    /// Where the file that a build would make at the path comes from.
    fn source(&self, path: &str, imported: bool) -> Option<String> {
        self.config.outputs.source(path, imported, &|path| self.paths.is_file(path))
    }

    fn followed(&self, mode: Mode, path: &str) -> Followed {
        const MODULES: &str = "node_modules/";
        let Some(at) = path.find(MODULES) else { return Followed::No };
        let name = &path[at + MODULES.len()..];
        let scope = if name.starts_with('@') { name.find('/').map_or(name.len(), |at| at + 1) } else { 0 };
        let end = name[scope..].find('/').map_or(name.len(), |at| scope + at);
        let (link, rest) = path.split_at(at + MODULES.len() + end);
        let links = &self.config.links;
        let inferred = || links.inferred.get(link).filter(|_| mode == Mode::Inferred);
        match links.plain.get(link).or_else(inferred) {
            None => Followed::No,
            Some(target) if rest.is_empty() => Followed::Is(target.clone()),
            Some(target) => Followed::Leads(join(target, rest.trim_start_matches('/'))),
        }
    }

    /// Whether a configuration file is shown at the path; `None` when it is none by its name.
    fn shows(&self, mode: Mode, path: &str) -> Option<bool> {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        match name {
            "package.json" => Some(self.config.manifests.contains_key(dir)),
            _ if name.ends_with(".json") && super::is_project(path) => {
                Some(self.config.projects.shows(path, mode == Mode::Inferred))
            }
            _ => None,
        }
    }

    /// The text of what is shown at the path.
    fn text(&self, mode: Mode, path: &str) -> Option<Cow<'_, str>> {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        if name == "package.json" {
            return self.config.manifests.get(dir).map(|manifest| Cow::Borrowed(manifest.text.as_str()));
        }
        let projects = &self.config.projects;
        if !projects.shows(path, mode == Mode::Inferred) {
            return None;
        }
        let shown = match mode {
            Mode::Plain => projects.plain(path, mode.root()),
            Mode::Inferred => projects.inferred(path, mode.root()),
        };
        shown.map(Cow::Owned)
    }
}

/// What a path has to do with links.
enum Followed {
    No,
    /// It is one, to there.
    Is(String),
    /// It goes through one, and means this.
    Leads(String),
}

fn split(path: &str) -> Option<(Mode, &str)> {
    [Mode::Plain, Mode::Inferred].into_iter().find_map(|mode| {
        let inside = path.strip_prefix(mode.root())?;
        if inside.is_empty() { Some((mode, inside)) } else { Some((mode, inside.strip_prefix('/')?)) }
    })
}

fn absent() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl FileSystem for View {
    fn new() -> Self {
        Self { config: Arc::default(), paths: Paths::default() }
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.read_to_string(path).map(String::into_bytes)
    }

    fn read_to_string(&self, path: &Path) -> io::Result<String> {
        let (mode, path) = self.place(path).ok_or_else(absent)?;
        let path = match self.followed(mode, &path) {
            Followed::Leads(path) => Cow::Owned(path),
            Followed::Is(_) | Followed::No => path,
        };
        self.text(mode, &path).map(Cow::into_owned).ok_or_else(absent)
    }

    fn metadata(&self, path: &Path) -> io::Result<FileMetadata> {
        let (mode, path) = self.place(path).ok_or_else(absent)?;
        match self.node(mode, &path) {
            Some(Node::Link(target)) => Ok(kind(self.node(mode, &target).as_ref())),
            Some(node) => Ok(kind(Some(&node))),
            None => Err(absent()),
        }
    }

    fn symlink_metadata(&self, path: &Path) -> io::Result<FileMetadata> {
        let (mode, path) = self.place(path).ok_or_else(absent)?;
        self.node(mode, &path).as_ref().map(|node| kind(Some(node))).ok_or_else(absent)
    }

    fn read_link(&self, path: &Path) -> Result<PathBuf, ResolveError> {
        let (mode, path) = self.place(path).ok_or_else(absent)?;
        let target = match self.node(mode, &path) {
            Some(Node::Link(target)) => Some(target),
            // Asked for by its real path, which does not tell that the package was named.
            _ => self.source(&path, true),
        };
        Ok(mode.place(&target.ok_or_else(absent)?).into())
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_path_buf())
    }
}

fn kind(node: Option<&Node>) -> FileMetadata {
    let (file, folder, link) = match node {
        Some(Node::File) => (true, false, false),
        Some(Node::Folder) => (false, true, false),
        Some(Node::Link(_)) => (false, false, true),
        None => (false, false, false),
    };
    FileMetadata::new(file, folder, link)
}
