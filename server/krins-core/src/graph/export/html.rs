//! The picture as one HTML page: nothing is loaded, and nothing but the page's own script runs.
//!
//! File names reach the page in two ways: as JSON in an element that is not executed, and, the title alone, as text.

use super::picture::Picture;
use super::treemap::Map;
use crate::graph::components::components;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

const PAGE: &str = include_str!("view.html");
const STYLE: &str = include_str!("view.css");
const SCRIPT: &str = concat!(include_str!("view.js"), include_str!("lists.js"));

/// What `view.js` reads. Places and files are numbered in their order here.
#[derive(Serialize)]
struct Data<'a> {
    title: &'a str,
    /// Whether the files are directories, drawn as one each.
    directories: bool,
    /// The file to show first.
    focus: Option<usize>,
    /// Of each place.
    names: Vec<&'a str>,
    /// How many places are inside each; 0 for a file.
    inside: Vec<usize>,
    /// Four numbers for each place, see [`Map::rects`].
    rects: &'a [i64],
    /// Of each file.
    lines: Vec<u64>,
    areas: &'a [usize],
    /// For each file how many it imports, then which, each as the distance from the one before.
    imports: Vec<usize>,
    /// Groups of files that import each other in a ring, largest first.
    cycles: Vec<Vec<usize>>,
}

pub fn write(picture: &Picture) -> String {
    let map = Map::of(&picture.nodes);
    let mut targets = vec![Vec::new(); picture.nodes.len()];
    for edge in &picture.edges {
        targets[edge.from].push(edge.to);
    }
    let data = Data {
        title: &picture.title,
        directories: picture.directories,
        focus: picture.focus,
        names: map.places.iter().map(|place| place.name.as_str()).collect(),
        inside: map.places.iter().map(|place| place.inside).collect(),
        rects: &map.rects,
        lines: picture.nodes.iter().map(|node| node.lines).collect(),
        areas: &map.areas,
        imports: targets.iter().flat_map(|targets| distances(targets)).collect(),
        cycles: components(&targets),
    };
    let data = serde_json::to_string(&data).expect("strings and numbers only, which JSON can always hold");
    page(&picture.title, &data)
}

/// The count of the sorted numbers, then the distance of each from the one before.
fn distances(sorted: &[usize]) -> Vec<usize> {
    let before = std::iter::once(&0).chain(sorted);
    std::iter::once(sorted.len()).chain(sorted.iter().zip(before).map(|(next, last)| next - last)).collect()
}

fn page(title: &str, data: &str) -> String {
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
        hash(SCRIPT),
        hash(STYLE)
    );
    // With no `<` in it the data cannot end its element, nor open a comment in it.
    let data = data.replace('<', "\\u003c");
    // One pass: what is put in is never searched for a mark.
    let mut out = String::with_capacity(PAGE.len() + STYLE.len() + SCRIPT.len() + data.len() + 512);
    let mut rest = PAGE;
    while let Some((before, mark, after)) = next_mark(rest) {
        out += before;
        match mark {
            "policy" => out += &policy,
            "title" => out += &escaped(title),
            "style" => out += STYLE,
            "data" => out += &data,
            "script" => out += SCRIPT,
            _ => {}
        }
        rest = after;
    }
    out + rest
}

/// What is before the next `{{mark}}`, the mark, and what is after it.
fn next_mark(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("{{")?;
    let (mark, after) = rest.split_once("}}")?;
    Some((before, mark, after))
}

/// As a content security policy names a text that may run.
fn hash(text: &str) -> String {
    STANDARD.encode(Sha256::digest(text))
}

fn escaped(text: &str) -> String {
    let text = super::visible(text);
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}
