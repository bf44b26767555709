//! Gradient-boosted trees, as trained by `tests/scripts/context/train.py` and written down beside this file.
//!
//! A value is the sum of one leaf of each tree, in their order, in `f64`: the same bits on every machine.

use super::signals::{ChunkSignals, FileSignals};
use std::sync::OnceLock;

/// Trees over rows of `f32` columns.
pub(super) struct Model {
    /// Places of the trees' roots in `nodes`, and how deep each tree is.
    roots: Vec<(u32, u32)>,
    nodes: Vec<Node>,
}

/// Of a split: goes to the first of `next` if the column is at most the value, else to the second. Of a leaf: both are
/// itself, so that a walk that is long enough ends there, whichever way it came.
#[derive(Clone, Copy, Debug)]
struct Node {
    value: f32,
    column: u16,
    next: [u32; 2],
}

/// Rows whose walks go side by side: none waits for the other's memory.
const ABREAST: usize = 8;

impl Model {
    /// Reads the text form: a line of column names, then a tree a line, its nodes in depth-first order with commas between:
    /// `column threshold` for a split, `=value` for a leaf. `None` when it is something else or names an unknown column.
    fn parse(text: &str, known: &[&str]) -> Option<Self> {
        let mut lines = text.lines();
        let place = |name: &str| u16::try_from(known.iter().position(|known| *known == name)?).ok();
        let columns: Vec<u16> = lines.next()?.split(' ').map(place).collect::<Option<_>>()?;
        let mut model = Self { roots: Vec::new(), nodes: Vec::new() };
        for line in lines.filter(|line| !line.is_empty()) {
            let mut words = line.split(',');
            let root = u32::try_from(model.nodes.len()).ok()?;
            let depth = model.read_node(&mut words, &columns)?;
            model.roots.push((root, depth));
            if words.next().is_some() {
                return None;
            }
        }
        Some(model)
    }

    /// Reads a node and everything below it; gives how many steps lead to its farthest leaf.
    fn read_node<'t>(&mut self, words: &mut impl Iterator<Item = &'t str>, columns: &[u16]) -> Option<u32> {
        let word = words.next()?;
        let at = self.nodes.len();
        let own = u32::try_from(at).ok()?;
        if let Some(value) = word.strip_prefix('=') {
            self.nodes.push(Node { value: value.parse().ok()?, column: 0, next: [own; 2] });
            return Some(0);
        }
        let (column, threshold) = word.split_once(' ')?;
        let column = *columns.get(column.parse::<usize>().ok()?)?;
        self.nodes.push(Node { value: threshold.parse().ok()?, column, next: [own + 1, 0] });
        let left = self.read_node(words, columns)?;
        self.nodes[at].next[1] = u32::try_from(self.nodes.len()).ok()?;
        let right = self.read_node(words, columns)?;
        Some(1 + left.max(right))
    }

    /// Of every row, whose columns are in the order of the known ones, the sum of the trees.
    pub fn scores(&self, rows: &[Vec<f32>]) -> Vec<f64> {
        let mut scores = vec![0.0; rows.len()];
        for (rows, scores) in rows.chunks(ABREAST).zip(scores.chunks_mut(ABREAST)) {
            for (root, depth) in &self.roots {
                let mut places = [*root; ABREAST];
                for _ in 0..*depth {
                    for (place, row) in places.iter_mut().zip(rows) {
                        let node = &self.nodes[*place as usize];
                        let value = row.get(usize::from(node.column)).copied().unwrap_or_default();
                        *place = if value <= node.value { node.next[0] } else { node.next[1] };
                    }
                }
                for (score, place) in scores.iter_mut().zip(places) {
                    *score += f64::from(self.nodes[place as usize].value);
                }
            }
        }
        scores
    }
}

/// What was learned, and what was chosen by measurement.
pub struct Tuning {
    /// The likelihood, as log-odds, that the task changes a file.
    pub(super) files: Model,
    /// The logarithm of the share of the task's changed lines that a chunk holds.
    pub(super) chunks: Model,
    /// What it is worth to show a file of the change at all, against showing all of its changed lines.
    pub breadth: f64,
}

impl Tuning {
    /// What is carried in the program.
    pub fn carried() -> &'static Self {
        static CARRIED: OnceLock<Tuning> = OnceLock::new();
        CARRIED.get_or_init(|| {
            Self::parse(include_str!("models/files.txt"), include_str!("models/chunks.txt"))
                .expect("a test reads these files")
        })
    }

    /// From the text forms of both models; `None` when they are of other columns, or no models.
    pub fn parse(files: &str, chunks: &str) -> Option<Self> {
        Some(Self {
            files: Model::parse(files, FileSignals::NAMES)?,
            chunks: Model::parse(chunks, ChunkSignals::NAMES)?,
            breadth: BREADTH,
        })
    }
}

/// Chosen on half of the development tasks.
const BREADTH: f64 = 0.05;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_carried_models_are_of_these_columns() {
        let Tuning { files, chunks, .. } = Tuning::carried();
        assert!(files.roots.len() > 20 && chunks.roots.len() > 20);
    }

    #[test]
    fn a_tree_is_walked_to_its_leaf() {
        let model = Model::parse("b a\n1 1.5,=1,0 -2,=10,=100\n=0.25\n", &["a", "b"]).unwrap();
        let rows = [[1.5, 0.0], [2.0, -2.0], [2.0, 0.0]].map(Vec::from);
        assert_eq!(model.scores(&rows), [1.25, 10.25, 100.25]);
        let many: Vec<Vec<f32>> = rows.iter().cycle().take(20).cloned().collect();
        assert_eq!(model.scores(&many)[17..], [100.25, 1.25, 10.25]);
        for broken in ["", "c\n=1", "a\n0 1,=1", "a\n1 1,=1,=2", "a\n0 x,=1,=2", "a\n=1,=2"] {
            assert!(Model::parse(broken, &["a", "b"]).is_none(), "{broken}");
        }
    }
}
