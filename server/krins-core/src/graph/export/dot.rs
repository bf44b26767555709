//! The picture as a Graphviz digraph.

use super::picture::{Picture, parent};
use super::visible;
use std::fmt::Write as _;

/// The widest line of an edge, in points.
const WIDEST: f64 = 6.0;

pub fn write(picture: &Picture) -> String {
    let mut out = String::new();
    if let Some(note) = &picture.note {
        out += &format!("// {note}\n");
    }
    out += "digraph imports {\n";
    out += &format!(
        "  graph [label={}, labelloc=t, rankdir=LR, fontname=\"sans-serif\", newrank=true];\n",
        quoted(&picture.title)
    );
    out += "  node [shape=box, style=\"rounded,filled\", fillcolor=\"#f4f6fa\", color=\"#8892a6\", fontname=\"sans-serif\", fontsize=11];\n";
    out += "  edge [color=\"#5b6780a0\", arrowsize=0.6, fontname=\"sans-serif\", fontsize=9];\n";
    if picture.directories {
        (0..picture.nodes.len()).for_each(|id| node(&mut out, picture, id, "  "));
    } else {
        clusters(&mut out, picture);
    }
    edges(&mut out, picture);
    out += "}\n";
    out
}

fn clusters(out: &mut String, picture: &Picture) {
    for (number, (directory, ids)) in picture.by_directory().into_iter().enumerate() {
        let label = if directory.is_empty() { "." } else { directory };
        *out += &format!("  subgraph cluster_{number} {{\n    label={};\n", quoted(label));
        *out += "    style=\"rounded\"; color=\"#b9c1d0\"; fontsize=10;\n";
        ids.into_iter().for_each(|id| node(out, picture, id, "    "));
        *out += "  }\n";
    }
}

fn node(out: &mut String, picture: &Picture, id: usize, indent: &str) {
    let node = &picture.nodes[id];
    let label = match node.path.strip_prefix(parent(&node.path)) {
        _ if picture.directories => quoted(&node.path),
        Some(name) => quoted(name.trim_start_matches('/')),
        None => quoted(&node.path),
    };
    *out += &format!(
        "{indent}n{id} [label={}, tooltip={}",
        label_of(&label, node.files, picture.directories),
        quoted(&node.path)
    );
    if picture.focus == Some(id) {
        *out += ", fillcolor=\"#ffe08a\", penwidth=2";
    }
    *out += "];\n";
}

/// The quoted label with the number of files on a second line, for a directory.
fn label_of(label: &str, files: usize, directory: bool) -> String {
    match (directory, label.strip_suffix('"')) {
        (true, Some(open)) => format!("{open}\\n{files} {}\"", if files == 1 { "file" } else { "files" }),
        _ => label.to_owned(),
    }
}

fn edges(out: &mut String, picture: &Picture) {
    for edge in &picture.edges {
        *out += &format!("  n{} -> n{}", edge.from, edge.to);
        if picture.directories {
            // The count is far below the 52 bits that an f64 holds exactly.
            let width = (1.0 + (edge.imports as f64).sqrt() / 4.0).min(WIDEST);
            // Writing into a String cannot fail.
            let _ = write!(out, " [label={}, penwidth={width:.2}]", edge.imports);
        }
        *out += ";\n";
    }
}

/// A double-quoted string of the DOT language, in which `\` also introduces escapes and `&` an entity.
fn quoted(text: &str) -> String {
    let inner = visible(text).replace('\\', "\\\\").replace('"', "\\\"").replace('&', "&amp;");
    format!("\"{inner}\"")
}
