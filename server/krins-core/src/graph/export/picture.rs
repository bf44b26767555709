//! What a picture shows: chosen from the graph, and drawn together into directories where files are too many.
//!
//! The only file here that reads the graph.

use super::{Format, Options};
use crate::graph::Graph;
use crate::path::RelPath;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// Above these a picture of files becomes one of at most so many directories.
#[derive(Clone, Copy)]
pub struct Limits {
    pub files: usize,
    pub edges: usize,
    pub directories: usize,
    /// Characters of the written picture.
    pub text: usize,
}

impl Limits {
    pub const NONE: Self = Self { files: usize::MAX, edges: usize::MAX, directories: usize::MAX, text: usize::MAX };
}

/// A file or a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub path: String,
    pub lines: u64,
    /// How many files it stands for.
    pub files: usize,
}

/// By index of the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    pub from: usize,
    pub to: usize,
    /// How many pairs of files it stands for.
    pub imports: usize,
}

/// Nodes sorted by path, edges sorted, each once.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    pub title: String,
    pub nodes: Vec<Node>,
    pub edges: Vec<Edge>,
    /// The edges between files that a build or an install would make true; known where the format tells them apart.
    pub inferred: BTreeSet<Edge>,
    /// Whether the nodes are directories.
    pub directories: bool,
    /// The node of the focus.
    pub focus: Option<usize>,
    /// What the person did not ask for, and got.
    pub note: Option<String>,
}

impl Picture {
    pub fn of(graph: &Graph, options: &Options) -> Self {
        let files = Self::files(graph, options);
        let format = options.format;
        if options.dirs {
            return files.directories(format);
        }
        let fits = files.nodes.len() <= format.limits().files && files.fits(format);
        let keeps = options.focus.is_some() && format == Format::Dot;
        if fits || keeps {
            return files;
        }
        let note = format!(
            "{} files and {} imports are too many for one {} picture: directories are drawn instead",
            files.nodes.len(),
            files.edges.len(),
            format.as_str()
        );
        Self { note: Some(note), ..files.within(format) }
    }

    fn files(graph: &Graph, options: &Options) -> Self {
        let chosen = chosen(graph, options);
        let ids: BTreeMap<&RelPath, usize> = chosen.iter().enumerate().map(|(id, path)| (path, id)).collect();
        let node = |path: &RelPath| Node { path: path.as_str().to_owned(), lines: lines(graph, path), files: 1 };
        let edges = chosen.iter().enumerate().flat_map(|(from, path)| {
            let targets = graph.imports(path).iter().filter_map(|target| ids.get(target));
            targets.map(move |to| Edge { from, to: *to, imports: 1 })
        });
        Self {
            title: options.title.clone(),
            nodes: chosen.iter().map(node).collect(),
            edges: edges.collect(),
            inferred: if options.format == Format::Json { inferred(graph, &chosen, &ids) } else { BTreeSet::new() },
            directories: false,
            focus: options.focus.as_ref().and_then(|focus| ids.get(focus).copied()),
            note: None,
        }
    }

    fn fits(&self, format: Format) -> bool {
        let limits = format.limits();
        self.edges.len() <= limits.edges
            && (limits.text == usize::MAX || format.write(self).chars().count() <= limits.text)
    }

    /// The same in directories, each by itself if the format can show so many.
    fn directories(&self, format: Format) -> Self {
        let all = self.in_directories(usize::MAX).nodes.len();
        let drawn = self.within(format);
        let merged = drawn.nodes.len() < all;
        let note = format!(
            "{all} directories are too many for one {} picture: small ones are drawn as the one they are in",
            format.as_str()
        );
        Self { note: merged.then_some(note), ..drawn }
    }

    /// The same in directories, as fine as the format lets it be.
    fn within(&self, format: Format) -> Self {
        let mut most = format.limits().directories;
        loop {
            let picture = self.in_directories(most);
            if picture.fits(format) || most <= 1 {
                return picture;
            }
            most = picture.nodes.len().min(most) / 2;
        }
    }

    /// The same with at most `most` directories (one at least) in place of the files; the file in focus stays itself.
    fn in_directories(&self, most: usize) -> Self {
        let paths: Vec<&str> = self.nodes.iter().map(|node| node.path.as_str()).collect();
        let mut groups = grouped(&paths, most);
        if let Some(focus) = self.focus {
            groups[focus] = self.nodes[focus].path.clone();
        }
        let names: BTreeSet<&String> = groups.iter().collect();
        let ids: BTreeMap<&String, usize> = names.iter().enumerate().map(|(id, name)| (*name, id)).collect();
        let mut nodes: Vec<Node> =
            names.iter().map(|name| Node { path: (*name).clone(), lines: 0, files: 0 }).collect();
        for (node, group) in self.nodes.iter().zip(&groups) {
            let into = &mut nodes[ids[group]];
            into.lines += node.lines;
            into.files += node.files;
        }
        Self {
            title: self.title.clone(),
            edges: self.edges_between(&groups.iter().map(|group| ids[group]).collect::<Vec<_>>()),
            focus: self.focus.map(|focus| ids[&groups[focus]]),
            nodes,
            inferred: BTreeSet::new(),
            directories: true,
            note: self.note.clone(),
        }
    }

    /// The edges when each node is drawn as `group[node]`.
    fn edges_between(&self, group: &[usize]) -> Vec<Edge> {
        let mut edges: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for edge in self.edges.iter().filter(|edge| group[edge.from] != group[edge.to]) {
            *edges.entry((group[edge.from], group[edge.to])).or_default() += edge.imports;
        }
        edges.into_iter().map(|((from, to), imports)| Edge { from, to, imports }).collect()
    }

    /// Indices of the nodes by directory, sorted.
    pub fn by_directory(&self) -> BTreeMap<&str, Vec<usize>> {
        let mut directories: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (id, node) in self.nodes.iter().enumerate() {
            directories.entry(parent(&node.path)).or_default().push(id);
        }
        directories
    }
}

fn lines(graph: &Graph, path: &RelPath) -> u64 {
    graph.files().get(path).map_or(0, |file| file.summary().lines.into())
}

/// The files that the options name, sorted.
fn chosen(graph: &Graph, options: &Options) -> Vec<RelPath> {
    let Some(focus) = &options.focus else {
        return graph.files().keys().cloned().collect();
    };
    let mut seen: BTreeSet<RelPath> = graph.contains(focus).then(|| focus.clone()).into_iter().collect();
    let mut front: Vec<RelPath> = seen.iter().cloned().collect();
    for _ in 0..options.depth {
        let near = front.iter().flat_map(|path| graph.imports(path).iter().chain(graph.importers(path)));
        let next: BTreeSet<RelPath> = near.filter(|path| !seen.contains(*path)).cloned().collect();
        if next.is_empty() {
            break;
        }
        seen.extend(next.iter().cloned());
        front = next.into_iter().collect();
    }
    seen.into_iter().collect()
}

/// The directory of a path, `""` for the root.
pub fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

/// A directory with files below it.
#[derive(Default)]
struct Directory<'a> {
    files_below: usize,
    own_files: usize,
    children: BTreeSet<&'a str>,
}

/// The group of each path: a directory's spelling, `.` for the root. The directory with the most files is opened as
/// long as the groups stay at most `most`, so large parts of a repository are shown in more detail than small ones.
pub fn grouped(paths: &[&str], most: usize) -> Vec<String> {
    let directories = directories(paths);
    let Some(root) = directories.get("") else {
        return Vec::new();
    };
    // Directory to whether all below it belongs to it; otherwise only its own files do.
    let mut groups: BTreeMap<&str, bool> = BTreeMap::from([("", true)]);
    let mut open = BinaryHeap::from([(root.files_below, Reverse(""))]);
    while let Some((_, Reverse(name))) = open.pop() {
        let directory = &directories[name];
        let more = directory.children.len() + usize::from(directory.own_files > 0) - 1;
        if directory.children.is_empty() || groups.len().saturating_add(more) > most {
            continue;
        }
        groups.remove(name);
        if directory.own_files > 0 {
            groups.insert(name, false);
        }
        for child in &directory.children {
            groups.insert(child, true);
            open.push((directories[child].files_below, Reverse(child)));
        }
    }
    let of = |path: &&str| {
        let own = parent(path);
        let found = ancestors(own).find(|name| groups.get(name).is_some_and(|all| *all || *name == own));
        found.filter(|name| !name.is_empty()).unwrap_or(".").to_owned()
    };
    paths.iter().map(of).collect()
}

fn directories<'a>(paths: &[&'a str]) -> BTreeMap<&'a str, Directory<'a>> {
    let mut directories: BTreeMap<&str, Directory> = BTreeMap::new();
    for path in paths {
        directories.entry(parent(path)).or_default().own_files += 1;
        let mut below = None;
        for name in ancestors(parent(path)) {
            let directory = directories.entry(name).or_default();
            directory.files_below += 1;
            directory.children.extend(below);
            below = Some(name);
        }
    }
    directories
}

/// The directory itself, then all above it, up to the root.
fn ancestors(directory: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(directory), |name| (!name.is_empty()).then(|| parent(name)))
}

fn inferred(graph: &Graph, chosen: &[RelPath], ids: &BTreeMap<&RelPath, usize>) -> BTreeSet<Edge> {
    let of = |(from, path): (usize, &RelPath)| {
        let targets: Vec<usize> = graph.inferred(path).iter().filter_map(|target| ids.get(target).copied()).collect();
        targets.into_iter().map(move |to| Edge { from, to, imports: 1 })
    };
    chosen.iter().enumerate().flat_map(of).collect()
}
