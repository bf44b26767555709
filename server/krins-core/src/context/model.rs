//! Gradient-boosted trees, as trained by `tests/scripts/context/train.py` and written down beside this file.
//!
//! A value is the sum of one leaf of each tree, in their order, in `f64`: the same bits on every machine.

use super::signals::{ChunkSignals, FileSignals};
use std::sync::OnceLock;

/// Trees over rows of `f32` columns.
pub(super) struct Model {
    /// Places of the trees' roots in `nodes`.
    roots: Vec<usize>,
    nodes: Vec<Node>,
}

#[derive(Clone, Copy, Debug)]
enum Node {
    Leaf(f32),
    /// Goes to the next node if the column is at most the threshold, else to `right`.
    Split {
        column: u16,
        threshold: f32,
        right: u32,
    },
}

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
            model.roots.push(model.nodes.len());
            model.read_node(&mut words, &columns)?;
            if words.next().is_some() {
                return None;
            }
        }
        Some(model)
    }

    fn read_node<'t>(&mut self, words: &mut impl Iterator<Item = &'t str>, columns: &[u16]) -> Option<()> {
        let word = words.next()?;
        if let Some(value) = word.strip_prefix('=') {
            self.nodes.push(Node::Leaf(value.parse().ok()?));
            return Some(());
        }
        let (column, threshold) = word.split_once(' ')?;
        let column = *columns.get(column.parse::<usize>().ok()?)?;
        let threshold = threshold.parse().ok()?;
        let at = self.nodes.len();
        self.nodes.push(Node::Split { column, threshold, right: 0 });
        self.read_node(words, columns)?;
        let right = u32::try_from(self.nodes.len()).ok()?;
        self.nodes[at] = Node::Split { column, threshold, right };
        self.read_node(words, columns)
    }

    /// The sum of the trees for a row, whose columns are in the order of the known ones.
    pub fn score(&self, row: &[f32]) -> f64 {
        self.roots.iter().map(|root| f64::from(self.leaf(*root, row))).sum()
    }

    fn leaf(&self, root: usize, row: &[f32]) -> f32 {
        let mut at = root;
        loop {
            match self.nodes[at] {
                Node::Leaf(value) => return value,
                Node::Split { column, threshold, right } => {
                    let value = row.get(usize::from(column)).copied().unwrap_or_default();
                    at = if value <= threshold { at + 1 } else { right as usize };
                }
            }
        }
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
        assert_eq!(model.score(&[1.5, 0.0]), 1.25);
        assert_eq!(model.score(&[2.0, -2.0]), 10.25);
        assert_eq!(model.score(&[2.0, 0.0]), 100.25);
        for broken in ["", "c\n=1", "a\n0 1,=1", "a\n1 1,=1,=2", "a\n0 x,=1,=2", "a\n=1,=2"] {
            assert!(Model::parse(broken, &["a", "b"]).is_none(), "{broken}");
        }
    }
}
