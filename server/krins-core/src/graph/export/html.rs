//! The picture as one HTML page ([`crate::page`]).

use super::picture::Picture;
use super::treemap::Map;
use crate::graph::components::components;
use crate::page::Page;
use serde::Serialize;

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
    Page { template: PAGE, style: STYLE, script: SCRIPT, title: &picture.title, data: &data, connect: "" }.write()
}

/// The count of the sorted numbers, then the distance of each from the one before.
fn distances(sorted: &[usize]) -> Vec<usize> {
    let before = std::iter::once(&0).chain(sorted);
    std::iter::once(sorted.len()).chain(sorted.iter().zip(before).map(|(next, last)| next - last)).collect()
}
