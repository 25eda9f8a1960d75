//! RFC 6962 Merkle trees, as Certificate Transparency uses them.
//!
//! A part's rows are the leaves. The root in its manifest fixes every row, and an audit path of logarithmic length proves
//! one row without the others.

use sha2::{Digest as _, Sha256};

use crate::format::hash::digest::Digest;

/// Returns the hash of a leaf: `SHA-256(0x00 || leaf)` (RFC 6962, section 2.1).
pub fn leaf_hash(leaf: &[u8]) -> Digest {
    let mut hash = Sha256::new();
    hash.update([0]);
    hash.update(leaf);
    Digest(hash.finalize().into())
}

/// Returns the hash of an inner node: `SHA-256(0x01 || left || right)` (RFC 6962, section 2.1).
fn node_hash(left: Digest, right: Digest) -> Digest {
    let mut hash = Sha256::new();
    hash.update([1]);
    hash.update(left.0);
    hash.update(right.0);
    Digest(hash.finalize().into())
}

/// Computes a root over leaves that arrive one at a time, with one hash in memory for each level.
///
/// # Examples
///
/// ```
/// use cxvault::format::hash::merkle::{Tree, audit_path, leaf_hash, root_by_path};
///
/// let leaves: Vec<_> = [b"a", b"b", b"c"].iter().map(|leaf| leaf_hash(*leaf)).collect();
/// let mut tree = Tree::new();
/// tree.extend(leaves.iter().copied());
/// let path = audit_path(&leaves, 1).unwrap();
/// assert_eq!(root_by_path(leaves[1], 1, 3, &path), Some(tree.root()));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// Roots of perfect subtrees, largest first. There is one of 2^k leaves where bit `k` of `leaves` is set.
    peaks: Vec<Digest>,
    leaves: u64,
}

impl Tree {
    /// Returns a tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the tree of `leaves` leaves whose perfect subtrees have these roots, largest first, so that a tree can be
    /// continued without its leaves. There must be one root for each bit that is set in `leaves`; [`Tree::is_of`] checks
    /// that.
    pub fn from_peaks(leaves: u64, peaks: Vec<Digest>) -> Tree {
        Tree { peaks, leaves }
    }

    /// Returns whether a tree of `leaves` leaves has this number of perfect subtrees.
    pub fn is_of(leaves: u64, peaks: usize) -> bool {
        leaves.count_ones() as usize == peaks
    }

    /// Returns the roots of the perfect subtrees, largest first: one for each bit that is set in the number of leaves.
    pub fn peaks(&self) -> &[Digest] {
        &self.peaks
    }

    /// Adds a leaf by its [`leaf_hash`].
    pub fn push(&mut self, leaf: Digest) {
        let mut node = leaf;
        for _ in 0..self.leaves.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                node = node_hash(left, node);
            }
        }
        self.peaks.push(node);
        self.leaves += 1;
    }

    /// Returns the number of leaves.
    pub fn leaves(&self) -> u64 {
        self.leaves
    }

    /// Returns the root. The root of no leaves is the SHA-256 of the empty string (RFC 6962, section 2.1).
    pub fn root(&self) -> Digest {
        let smallest_first = self.peaks.iter().rev().copied();
        smallest_first
            .reduce(|right, left| node_hash(left, right))
            .unwrap_or_else(|| Digest::of(b""))
    }
}

impl Extend<Digest> for Tree {
    /// Adds leaves in their order, as [`Tree::push`] does.
    fn extend<T: IntoIterator<Item = Digest>>(&mut self, leaves: T) {
        leaves.into_iter().for_each(|leaf| self.push(leaf));
    }
}

/// Returns the audit path of leaf `index` among `leaves` (hashes), nearest sibling first; `None` when there is no such
/// leaf.
pub fn audit_path(leaves: &[Digest], index: usize) -> Option<Vec<Digest>> {
    fn root(leaves: &[Digest]) -> Digest {
        let mut tree = Tree::new();
        tree.extend(leaves.iter().copied());
        tree.root()
    }
    if index >= leaves.len() {
        return None;
    }
    if leaves.len() == 1 {
        return Some(Vec::new());
    }
    let split = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(split);
    let (mut path, sibling) = if index < split {
        (audit_path(left, index)?, root(right))
    } else {
        (audit_path(right, index - split)?, root(left))
    };
    path.push(sibling);
    Some(path)
}

/// Returns the root that `path` leads to from leaf `index` of `size`; `None` when the path has the wrong length.
///
/// The algorithm is that of RFC 9162, section 2.1.3.2.
pub fn root_by_path(leaf: Digest, index: u64, size: u64, path: &[Digest]) -> Option<Digest> {
    if index >= size {
        return None;
    }
    let (mut node, mut last, mut hash) = (index, size - 1, leaf);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(*sibling, hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(hash, *sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Leaves and roots of the Certificate Transparency project's published test vectors.
    #[test]
    fn published_vectors_hold() {
        let leaves: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut tree = Tree::new();
        assert_eq!(tree.root(), Digest::of(b""));
        for (leaf, root) in leaves.into_iter().zip(roots) {
            tree.push(leaf_hash(leaf));
            assert_eq!(tree.root().hex(), root);
        }
    }

    #[test]
    fn a_tree_that_is_continued_from_its_peaks_has_the_same_roots() {
        let (mut whole, mut continued) = (Tree::new(), Tree::new());
        for leaf in 0..300_u64 {
            let leaf = leaf_hash(&leaf.to_be_bytes());
            whole.push(leaf);
            continued = Tree::from_peaks(continued.leaves(), continued.peaks().to_vec());
            continued.push(leaf);
            assert!(Tree::is_of(continued.leaves(), continued.peaks().len()));
            assert_eq!(continued.root(), whole.root());
        }
        // Of 300 = 256 + 32 + 8 + 4 leaves.
        assert_eq!(whole.peaks().len(), 4);
    }

    proptest! {
        #[test]
        fn every_leaf_has_a_path_to_the_root_and_no_other_leaf_does(size in 1usize..70, pick in any::<prop::sample::Index>()) {
            let leaves: Vec<Digest> = (0..size).map(|n| leaf_hash(&n.to_be_bytes())).collect();
            let mut tree = Tree::new();
            leaves.iter().for_each(|leaf| tree.push(*leaf));
            let index = pick.index(size);
            let path = audit_path(&leaves, index).unwrap();
            let lead = |leaf, index| root_by_path(leaf, index as u64, size as u64, &path);
            prop_assert_eq!(lead(leaves[index], index), Some(tree.root()));
            prop_assert_ne!(lead(leaf_hash(b"forged"), index), Some(tree.root()));
            if size > 1 {
                prop_assert_ne!(lead(leaves[index], (index + 1) % size), Some(tree.root()));
            }
        }
    }
}
