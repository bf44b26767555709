//! The picture as JSON, for whatever else draws graphs.

use super::picture::{self, Picture};
use serde::Serialize;

/// Of the shape; raised when a reader of the old one would be misled.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    title: &'a str,
    /// What the nodes are: `files` or `directories`.
    nodes_are: &'a str,
    focus: Option<&'a str>,
    nodes: Vec<Node<'a>>,
    /// Between files: what the TypeScript compiler finds in the repository as it lies there.
    edges: Vec<Edge>,
    /// What a build or an install would add to that.
    inferred: Vec<Edge>,
}

#[derive(Serialize)]
struct Node<'a> {
    path: &'a str,
    files: usize,
    lines: u64,
}

/// Indices into `nodes`, spelled as the common drawing libraries want them.
#[derive(Serialize)]
struct Edge {
    source: usize,
    target: usize,
    imports: usize,
}

pub fn write(picture: &Picture) -> String {
    let (inferred, edges) = picture.edges.iter().partition(|edge| picture.inferred.contains(edge));
    let document = Document {
        version: VERSION,
        title: &picture.title,
        nodes_are: if picture.directories { "directories" } else { "files" },
        focus: picture.focus.map(|focus| picture.nodes[focus].path.as_str()),
        nodes: picture.nodes.iter().map(|n| Node { path: &n.path, files: n.files, lines: n.lines }).collect(),
        edges: shown(edges),
        inferred: shown(inferred),
    };
    let mut text = serde_json::to_string(&document).expect("strings and numbers only, which JSON can always hold");
    text.push('\n');
    text
}

fn shown(edges: Vec<&picture::Edge>) -> Vec<Edge> {
    edges.into_iter().map(|edge| Edge { source: edge.from, target: edge.to, imports: edge.imports }).collect()
}
