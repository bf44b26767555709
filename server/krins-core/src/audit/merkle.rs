//! The Merkle tree hash of RFC 6962 over the records' hashes, grown record by record.

use crate::digest::Digest;

/// The roots of the full subtrees, the largest first: all that is needed to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    roots: Vec<Digest>,
}

impl Frontier {
    /// As it was written down; `None` when it cannot be one.
    pub fn of(size: u64, roots: Vec<Digest>) -> Option<Self> {
        (size.count_ones() as usize == roots.len()).then_some(Self { size, roots })
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn roots(&self) -> &[Digest] {
        &self.roots
    }

    pub fn push(&mut self, leaf: &[u8; 32]) {
        let mut bytes = [0; 33];
        bytes[1..].copy_from_slice(leaf);
        let mut root = Digest::of(bytes);
        // Each low bit that is set is a subtree as large as the one that is made.
        let mut rest = self.size;
        while rest & 1 == 1 {
            let Some(left) = self.roots.pop() else { break };
            root = node(&left, &root);
            rest >>= 1;
        }
        self.roots.push(root);
        self.size += 1;
    }

    /// The tree's root; that of no records is the hash of nothing.
    pub fn root(&self) -> Digest {
        let fold = |right: Option<Digest>, left: &Digest| Some(right.map_or(*left, |right| node(left, &right)));
        self.roots.iter().rev().fold(None, fold).unwrap_or_else(|| Digest::of(""))
    }
}

fn node(left: &Digest, right: &Digest) -> Digest {
    let mut bytes = [1; 65];
    bytes[1..33].copy_from_slice(left.as_bytes());
    bytes[33..].copy_from_slice(right.as_bytes());
    Digest::of(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the RFC defines it, from the top.
    fn slow(leaves: &[[u8; 32]]) -> Digest {
        match leaves {
            [] => Digest::of(""),
            [leaf] => Digest::of([&[0], &leaf[..]].concat()),
            leaves => {
                let half = leaves.len().next_power_of_two() / 2;
                node(&slow(&leaves[..half]), &slow(&leaves[half..]))
            }
        }
    }

    #[test]
    fn it_is_the_tree_of_the_rfc_and_can_be_taken_up_again() {
        let leaves: Vec<[u8; 32]> = (0..70u8).map(|n| [n; 32]).collect();
        let mut frontier = Frontier::default();
        for (at, leaf) in leaves.iter().enumerate() {
            assert_eq!(frontier.root(), slow(&leaves[..at]));
            frontier = Frontier::of(frontier.size(), frontier.roots().to_vec()).unwrap();
            frontier.push(leaf);
        }
        assert_eq!(Frontier::of(3, vec![Digest::of("a")]), None);
    }
}
