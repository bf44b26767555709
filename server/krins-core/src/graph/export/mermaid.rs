//! The picture as a Mermaid flowchart.

use super::picture::{Node, Picture, parent};
use super::visible;

/// Characters of a label; a longer path keeps its end.
const LONGEST_LABEL: usize = 120;

pub fn write(picture: &Picture) -> String {
    let mut out = String::new();
    if let Some(note) = &picture.note {
        out += &format!("%% {note}\n");
    }
    out += "flowchart LR\n";
    if picture.directories {
        for (id, node) in picture.nodes.iter().enumerate() {
            let files = if node.files == 1 { "file" } else { "files" };
            out += &format!("  n{id}[\"{}<br>{} {files}\"]\n", label(&node.path), node.files);
        }
    } else {
        subgraphs(&mut out, picture);
    }
    for edge in &picture.edges {
        let count = if picture.directories { format!("|{}|", edge.imports) } else { String::new() };
        out += &format!("  n{} -->{count} n{}\n", edge.from, edge.to);
    }
    if let Some(focus) = picture.focus {
        out += &format!("  style n{focus} stroke-width:3px\n");
    }
    out
}

fn subgraphs(out: &mut String, picture: &Picture) {
    for (number, (directory, ids)) in picture.by_directory().into_iter().enumerate() {
        let name = if directory.is_empty() { "." } else { directory };
        *out += &format!("  subgraph d{number}[\"{}\"]\n", label(name));
        for id in ids {
            *out += &format!("    n{id}[\"{}\"]\n", label(file_name(&picture.nodes[id])));
        }
        *out += "  end\n";
    }
}

fn file_name(node: &Node) -> &str {
    node.path[parent(&node.path).len()..].trim_start_matches('/')
}

/// The inside of a quoted label: everything but harmless characters by its number, as Mermaid spells entities.
fn label(text: &str) -> String {
    let text = visible(text);
    let long = text.chars().count().saturating_sub(LONGEST_LABEL);
    let start = if long > 0 { "…" } else { "" };
    let mut label = start.to_owned();
    for char in text.chars().skip(long) {
        if char.is_alphanumeric() || matches!(char, ' ' | '/' | '-' | '.' | '_' | '…') {
            label.push(char);
        } else {
            label += &format!("#{};", u32::from(char));
        }
    }
    label
}
