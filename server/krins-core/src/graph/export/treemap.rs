//! Where each directory and file lies on the map: a squarified treemap (Bruls, Huizing, van Wijk 2000), directories in
//! directories, files sized by their lines.
//!
//! Arithmetic and square roots only, which IEEE 754 gives the same everywhere, so the map is the same on every machine.

use super::picture::{Node, grouped};
use std::ops::Range;

/// Of the whole map, in its own units.
const WIDTH: f64 = 135_000.0;
const HEIGHT: f64 = 100_000.0;
/// A smaller file is drawn with this many lines, or nobody could find it.
const FEWEST_LINES: u64 = 12;
/// Of a directory's shorter side: the strip of its name, and the free border.
const STRIP: f64 = 0.055;
const BORDER: f64 = 0.012;
/// As many colours as people still tell apart.
const AREAS: usize = 12;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Rect {
    x: f64,
    y: f64,
    w: f64,
    h: f64,
}

/// A directory or a file.
#[derive(Debug)]
pub struct Place {
    /// Of a directory with nothing but one directory in it: both, with a `/`.
    pub name: String,
    /// How many places follow that lie inside; 0 for a file.
    pub inside: usize,
    weight: f64,
    rect: Rect,
    parent: usize,
}

impl Place {
    fn new(name: &str, weight: f64, parent: usize) -> Self {
        Self { name: name.to_owned(), inside: 0, weight, rect: Rect::default(), parent }
    }
}

/// Every place, the root first, a directory before what is inside; those that are files are in the order of the nodes.
#[derive(Debug)]
pub struct Map {
    pub places: Vec<Place>,
    /// Left, top, width and height of each place in whole units; the corner counts from the corner of its directory.
    pub rects: Vec<i64>,
    /// The part of the repository that each node belongs to: small numbers, a colour each.
    pub areas: Vec<usize>,
}

impl Map {
    /// `nodes` are sorted by path.
    pub fn of(nodes: &[Node]) -> Self {
        let mut places = tree(nodes);
        weigh(&mut places);
        places[0].rect = Rect { x: 0.0, y: 0.0, w: WIDTH, h: HEIGHT };
        for at in 0..places.len() {
            lay_out(&mut places, at);
        }
        Self { rects: rects(&places), areas: areas(nodes), places }
    }
}

/// Directories that hold nothing but one directory are drawn as one.
fn tree(nodes: &[Node]) -> Vec<Place> {
    let mut places = vec![Place::new("", 0.0, 0)];
    let paths: Vec<Vec<&str>> = nodes.iter().map(|node| node.path.split('/').collect()).collect();
    // Each entry: the range of nodes below a directory, how many components lead there, and its place.
    let mut open: Vec<(Range<usize>, usize, usize)> = vec![(0..nodes.len(), 0, 0)];
    while let Some((range, depth, parent)) = open.pop() {
        let Some(first) = range.clone().next() else {
            continue;
        };
        let name = paths[first][depth];
        let is_file = paths[first].len() == depth + 1;
        let end = if is_file { first + 1 } else { range.start + together(&paths[range.clone()], depth) };
        if end < range.end {
            open.push((end..range.end, depth, parent));
        }
        if is_file {
            places.push(Place::new(name, nodes[first].lines.max(FEWEST_LINES) as f64, parent));
            continue;
        }
        let (name, depth) = chain(&paths[first..end], depth);
        places.push(Place::new(&name, 0.0, parent));
        open.push((first..end, depth, places.len() - 1));
    }
    places
}

/// How many of the paths, from the first on, are in the directory that the first is in at `depth`.
fn together(paths: &[Vec<&str>], depth: usize) -> usize {
    paths.iter().take_while(|path| path.len() > depth + 1 && path[depth] == paths[0][depth]).count()
}

/// The name of the directory at `depth`, drawn together with those inside it that are alone, and the depth below.
fn chain(paths: &[Vec<&str>], depth: usize) -> (String, usize) {
    let mut end = depth + 1;
    while paths.iter().all(|path| path.len() > end + 1 && path[end] == paths[0][end]) {
        end += 1;
    }
    (paths[0][depth..end].join("/"), end)
}

fn weigh(places: &mut [Place]) {
    for at in (1..places.len()).rev() {
        let (parent, weight, inside) = (places[at].parent, places[at].weight, places[at].inside);
        places[parent].weight += weight;
        places[parent].inside += inside + 1;
    }
}

/// Gives what lies directly in the directory `at` its place there.
fn lay_out(places: &mut [Place], at: usize) {
    let mut children: Vec<usize> = Vec::new();
    let mut child = at + 1;
    while child <= at + places[at].inside {
        children.push(child);
        child += places[child].inside + 1;
    }
    children.sort_by(|a, b| places[*b].weight.total_cmp(&places[*a].weight).then(a.cmp(b)));
    let mut free = interior(places[at].rect, at == 0);
    let mut rest: f64 = children.iter().map(|child| places[*child].weight).sum();
    let mut todo = &children[..];
    while !todo.is_empty() {
        let weights: Vec<f64> = todo.iter().map(|child| places[*child].weight).collect();
        let scale = free.w * free.h / rest;
        let count = row(&weights, scale, free.w.min(free.h));
        let (now, later) = todo.split_at(count);
        let sum: f64 = weights[..count].iter().sum();
        place_row(places, now, &mut free, sum, sum / rest);
        rest -= sum;
        todo = later;
    }
}

fn interior(rect: Rect, root: bool) -> Rect {
    let side = rect.w.min(rect.h);
    let (strip, border) = if root { (0.0, 0.0) } else { (side * STRIP, side * BORDER) };
    Rect { x: rect.x + border, y: rect.y + strip, w: rect.w - 2.0 * border, h: rect.h - strip - border }
}

/// How many of the weights, largest first, make a row along `side` with the best shapes.
fn row(weights: &[f64], scale: f64, side: f64) -> usize {
    let mut sum = 0.0;
    let mut best = f64::INFINITY;
    for (count, weight) in weights.iter().enumerate() {
        sum += weight;
        let thickness = sum * scale / side;
        let shape = |weight: f64| {
            let length = weight * scale / thickness;
            (length / thickness).max(thickness / length)
        };
        let worst = shape(weights[0]).max(shape(*weight));
        if worst > best {
            return count;
        }
        best = worst;
    }
    weights.len()
}

/// Cuts `share` of the free space off along its shorter side, and gives it to the row.
fn place_row(places: &mut [Place], row: &[usize], free: &mut Rect, sum: f64, share: f64) {
    let wide = free.w >= free.h;
    let thickness = share.min(1.0) * if wide { free.w } else { free.h };
    let mut along = 0.0;
    for child in row {
        let part = places[*child].weight / sum;
        places[*child].rect = if wide {
            Rect { x: free.x, y: free.y + along * free.h, w: thickness, h: part * free.h }
        } else {
            Rect { x: free.x + along * free.w, y: free.y, w: part * free.w, h: thickness }
        };
        along += part;
    }
    if wide {
        free.x += thickness;
        free.w -= thickness;
    } else {
        free.y += thickness;
        free.h -= thickness;
    }
}

fn rects(places: &[Place]) -> Vec<i64> {
    let whole = |value: f64| value.round() as i64;
    let relative = |place: &Place| {
        let (rect, from) = (place.rect, places[place.parent].rect);
        let [x, y] = [whole(rect.x), whole(rect.y)];
        // Both edges are rounded, not the width, so that neighbours stay neighbours.
        [x - whole(from.x), y - whole(from.y), whole(rect.x + rect.w) - x, whole(rect.y + rect.h) - y]
    };
    places.iter().flat_map(relative).collect()
}

fn areas(nodes: &[Node]) -> Vec<usize> {
    let paths: Vec<&str> = nodes.iter().map(|node| node.path.as_str()).collect();
    let groups = grouped(&paths, AREAS);
    let mut names: Vec<&String> = groups.iter().collect();
    names.sort();
    names.dedup();
    groups.iter().map(|group| names.binary_search(&group).unwrap_or(0)).collect()
}
