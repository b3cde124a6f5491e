//! The Merkle tree of RFC 6962, section 2.1, over SHA-256.
//!
//! [`Frontier`] grows a tree in O(log n) memory; proofs are made from anything that can name the hash of a complete
//! subtree ([`Subtrees`]): a slice of leaf hashes here, tiles on disk elsewhere. Checking a proof needs nothing else.

use crate::sha256::{self, Message};
use sha2::{Digest, Sha256};
use std::convert::Infallible;

/// A SHA-256 digest.
pub type Hash = [u8; 32];

/// SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> Hash {
    sha256::hash(&Message::new(&[], bytes))
}

/// SHA-256 of the concatenation of `parts`.
pub fn sha256_of(parts: &[&[u8]]) -> Hash {
    parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part)).finalize().into()
}

/// `H(0x00 || record)`.
pub fn leaf_hash(record: &[u8]) -> Hash {
    sha256::hash(&leaf(record))
}

/// What is hashed of a record.
pub(crate) fn leaf(record: &[u8]) -> Message<'_> {
    Message::new(&[0], record)
}

/// `H(0x01 || left || right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256::node(left, right)
}

/// The root of a tree without leaves: `H("")`.
pub fn empty_root() -> Hash {
    sha256(b"")
}

/// A tree that only grows: its size and the roots of its complete subtrees, largest first, one per set bit of the size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    pub fn new() -> Frontier {
        Frontier::default()
    }

    pub fn from_leaves<'a>(leaves: impl IntoIterator<Item = &'a Hash>) -> Frontier {
        let mut frontier = Frontier::new();
        leaves.into_iter().for_each(|leaf| frontier.append(*leaf));
        frontier
    }

    /// Restores a frontier from [`Frontier::size`] and [`Frontier::peaks`]. `None` if the two do not fit each other.
    pub fn from_parts(size: u64, peaks: Vec<Hash>) -> Option<Frontier> {
        (peaks.len() == size.count_ones() as usize).then_some(Frontier { size, peaks })
    }

    /// Appends a leaf by its hash ([`leaf_hash`]).
    pub fn append(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            match self.peaks.pop() {
                Some(left) => hash = node_hash(&left, &hash),
                None => break, // one peak per set bit: not reached
            }
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// Appends leaves, in the same hashes as one by one and in two thirds of the time: level by level, so that two nodes
    /// can be hashed at once.
    pub fn extend(&mut self, leaves: &[Hash]) {
        let (mut row, mut low) = (leaves.to_vec(), Vec::new());
        let mut sizes = self.size; // in subtrees of the row's level
        while !row.is_empty() {
            if sizes & 1 == 1 {
                // One peak per set bit: there is one of this level.
                row.splice(..0, self.peaks.pop());
            }
            if row.len() % 2 == 1 {
                low.extend(row.pop());
            }
            sha256::fold(&mut row);
            sizes >>= 1;
        }
        self.peaks.extend(low.into_iter().rev());
        self.size += leaves.len() as u64;
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the complete subtrees, largest first.
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return empty_root() };
        peaks.fold(*last, |right, left| node_hash(left, &right))
    }
}

/// Leaves that wait to be appended at once.
const LAG_MAX: usize = 32;

/// A frontier whose newest leaves wait, so that they are appended several at a time ([`Frontier::extend`]).
#[derive(Clone, Debug, Default)]
pub(crate) struct Lagging {
    frontier: Frontier,
    /// Fewer than [`LAG_MAX`].
    behind: Vec<Hash>,
}

impl Lagging {
    pub(crate) fn append(&mut self, leaf: Hash) {
        self.behind.push(leaf);
        if self.behind.len() == LAG_MAX {
            self.settled();
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.frontier.size + self.behind.len() as u64
    }

    /// The frontier over all leaves.
    pub(crate) fn settled(&mut self) -> &Frontier {
        self.frontier.extend(&self.behind);
        self.behind.clear();
        &self.frontier
    }
}

/// Whatever can name the hash of a complete subtree.
pub trait Subtrees {
    type Error;

    /// The hash over the leaves `index << level .. (index + 1) << level`. Asked only for subtrees that lie whole
    /// within the size that the proof is for.
    fn subtree(&self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

impl Subtrees for [Hash] {
    type Error = Infallible;

    fn subtree(&self, level: u8, index: u64) -> Result<Hash, Infallible> {
        let start = (index << level) as usize;
        Ok(Frontier::from_leaves(&self[start..start + (1usize << level)]).root())
    }
}

impl Subtrees for Vec<Hash> {
    type Error = Infallible;

    fn subtree(&self, level: u8, index: u64) -> Result<Hash, Infallible> {
        self.as_slice().subtree(level, index)
    }
}

/// Why a proof could not be made.
#[derive(Debug, PartialEq, Eq)]
pub enum ProofError<E> {
    /// The index is not below the size, or the old size is above the new one.
    OutOfRange,
    /// The source of subtree hashes failed.
    Source(E),
}

impl<E> From<E> for ProofError<E> {
    fn from(error: E) -> Self {
        ProofError::Source(error)
    }
}

impl<E: std::fmt::Display> std::fmt::Display for ProofError<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ProofError::OutOfRange => f.write_str("no such leaf or size in this tree"),
            ProofError::Source(error) => error.fmt(f),
        }
    }
}

impl<E: std::fmt::Debug + std::fmt::Display> std::error::Error for ProofError<E> {}

/// The root of the first `size` leaves.
pub fn root_at<S: Subtrees + ?Sized>(source: &S, size: u64) -> Result<Hash, S::Error> {
    if size == 0 { Ok(empty_root()) } else { range_hash(source, 0, size) }
}

/// The audit path of leaf `index` in the tree of the first `size` leaves (RFC 6962, 2.1.1), leaf's sibling first.
pub fn inclusion_proof<S: Subtrees + ?Sized>(
    source: &S,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, ProofError<S::Error>> {
    if index >= size {
        return Err(ProofError::OutOfRange);
    }
    let (mut start, mut end, mut path) = (0, size, Vec::new());
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(range_hash(source, middle, end)?);
            end = middle;
        } else {
            path.push(range_hash(source, start, middle)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the first `old` leaves of the tree of `new` leaves are a tree seen earlier (RFC 6962, 2.1.2).
/// Empty if `old` is 0 or `new`.
pub fn consistency_proof<S: Subtrees + ?Sized>(
    source: &S,
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, ProofError<S::Error>> {
    if old > new {
        return Err(ProofError::OutOfRange);
    }
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let (mut start, mut end, mut path) = (0, new, Vec::new());
    while old != end {
        let middle = start + split(end - start);
        if old <= middle {
            path.push(range_hash(source, middle, end)?);
            end = middle;
        } else {
            path.push(range_hash(source, start, middle)?);
            start = middle;
        }
    }
    if start != 0 {
        path.push(range_hash(source, start, end)?);
    }
    path.reverse();
    Ok(path)
}

/// Whether `proof` shows `leaf` at `index` of the tree of `size` leaves with `root` (RFC 9162, 2.1.3.2).
#[must_use]
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut position, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if position & 1 == 1 || position == last {
            hash = node_hash(sibling, &hash);
            while position & 1 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Whether `proof` shows that the tree of `new` leaves is the one of `old` leaves, grown (RFC 9162, 2.1.4.2).
/// The empty tree is consistent with each.
#[must_use]
pub fn verify_consistency(old: u64, old_root: &Hash, new: u64, new_root: &Hash, proof: &[Hash]) -> bool {
    if old > new {
        return false;
    }
    if old == new {
        return proof.is_empty() && old_root == new_root;
    }
    if old == 0 {
        return proof.is_empty() && *old_root == empty_root();
    }
    // Where `old` is a power of two, its root is itself the first node and is left out of the proof.
    let (first, rest) = match (old.is_power_of_two(), proof) {
        (true, rest) => (old_root, rest),
        (false, [first, rest @ ..]) => (first, rest),
        (false, []) => return false,
    };
    let (mut position, mut last) = (old - 1, new - 1);
    while position & 1 == 1 {
        position >>= 1;
        last >>= 1;
    }
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return false;
        }
        if position & 1 == 1 || position == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while position & 1 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == *old_root && new_hash == *new_root
}

/// The largest power of two below `n`, for `n` of at least 2.
fn split(n: u64) -> u64 {
    1 << (63 - (n - 1).leading_zeros())
}

/// The hash over `start..end`, a range that RFC 6962's recursion reaches: each complete part of it is a subtree.
fn range_hash<S: Subtrees + ?Sized>(source: &S, start: u64, end: u64) -> Result<Hash, S::Error> {
    let size = end - start;
    if size.is_power_of_two() {
        let level = size.trailing_zeros() as u8;
        return source.subtree(level, start >> level);
    }
    let middle = start + split(size);
    Ok(node_hash(&range_hash(source, start, middle)?, &range_hash(source, middle, end)?))
}
