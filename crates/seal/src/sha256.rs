//! SHA-256 (FIPS 180-4), of one message or of several in turn.
//!
//! One message is a chain: each round waits for the one before it, and a processor with SHA instructions does nothing for
//! half of the time. Two messages, a block of each in turn, use that half: 190 ns instead of 250 for a record of 420 bytes,
//! 56 instead of 83 for a node of the tree (AMD EPYC with `sha_ni`, one core; through ring, which gives no access to its
//! blocks, 320 and 112). Hence the compression function is that of the crate `sha2`, which was below us already (hpke).
//! Without SHA instructions it is portable code, and slower than ring's assembler would be.
//!
//! No more than the padding is done here; the tests hold it against ring's SHA-256 at each length around a block's end.

use crate::tree::Hash;
use sha2::block_api::compress256;
use std::slice::from_ref;

const BLOCK_BYTES: usize = 64;
/// What stands at the end of the last block: the message's length in bits.
const LENGTH_BYTES: usize = 8;
/// The state before the first block: FIPS 180-4, 5.3.3.
const INITIAL: State =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

type Block = [u8; BLOCK_BYTES];
type State = [u32; 8];

/// A message cut into blocks. What stands between its first and its last block is not copied.
pub(crate) struct Message<'a> {
    first: Block,
    middle: &'a [Block],
    /// The padding is in it: one block or two.
    last: [Block; 2],
    lasts: usize,
    /// Blocks before `last`: 0, or the first and those in the middle.
    whole: usize,
}

impl<'a> Message<'a> {
    /// `prefix || body`. The prefix is shorter than a block.
    pub(crate) fn new(prefix: &[u8], body: &'a [u8]) -> Message<'a> {
        let bytes = prefix.len() + body.len();
        let (head, rest) = body.split_at(body.len().min(BLOCK_BYTES - prefix.len()));
        let mut first = [0; BLOCK_BYTES];
        first[..prefix.len()].copy_from_slice(prefix);
        first[prefix.len()..][..head.len()].copy_from_slice(head);
        let (middle, end) = rest.as_chunks();
        let (whole, end) = if bytes < BLOCK_BYTES { (0, &first[..bytes]) } else { (1 + middle.len(), end) };
        let (last, lasts) = pad(end, bytes);
        Message { first, middle, last, lasts, whole }
    }

    fn blocks(&self) -> usize {
        self.whole + self.lasts
    }

    fn block(&self, at: usize) -> &Block {
        match at.checked_sub(self.whole) {
            Some(at) => &self.last[at],
            None if at == 0 => &self.first,
            None => &self.middle[at - 1],
        }
    }
}

/// The last blocks of a message that ends in `end`: FIPS 180-4, 5.1.1. `bytes` is the length of the whole.
fn pad(end: &[u8], bytes: usize) -> ([Block; 2], usize) {
    let lasts = if end.len() < BLOCK_BYTES - LENGTH_BYTES { 1 } else { 2 };
    let mut last = [[0; BLOCK_BYTES]; 2];
    let flat = last.as_flattened_mut();
    flat[..end.len()].copy_from_slice(end);
    flat[end.len()] = 0x80;
    let length = lasts * BLOCK_BYTES - LENGTH_BYTES;
    flat[length..][..LENGTH_BYTES].copy_from_slice(&(bytes as u64 * 8).to_be_bytes());
    (last, lasts)
}

/// The hash of one message.
pub(crate) fn hash(message: &Message<'_>) -> Hash {
    let mut state = INITIAL;
    if message.whole > 0 {
        compress256(&mut state, from_ref(&message.first));
        compress256(&mut state, message.middle);
    }
    compress256(&mut state, &message.last[..message.lasts]);
    digest(&state)
}

/// Appends the hashes of all messages, in their order.
pub(crate) fn hash_all<'a>(messages: impl IntoIterator<Item = Message<'a>>, out: &mut Vec<Hash>) {
    let mut messages = messages.into_iter();
    let mut next = |out: &mut Vec<Hash>| {
        let message = messages.next()?;
        out.push([0; 32]);
        Some(Lane { message, at: 0, state: INITIAL, place: out.len() - 1 })
    };
    let Some(mut one) = next(out) else { return };
    while let Some(mut other) = next(out) {
        for _ in 0..one.left().min(other.left()) {
            one.step();
            other.step();
        }
        if one.left() == 0 {
            std::mem::swap(&mut one, &mut other);
        }
        // If neither has anything left, the one that is kept gives its hash in the next round.
        other.end(out);
    }
    one.end(out);
}

/// Each two neighbours become the node above them: `H(0x01 || left || right)`. A last one without a neighbour is dropped.
pub(crate) fn fold(row: &mut Vec<Hash>) {
    let nodes = row.len() / 2;
    let mut at = 0;
    while at + 1 < nodes {
        let (one, other) = (&row[2 * at..][..2], &row[2 * at + 2..][..2]);
        let both = two_nodes((&one[0], &one[1]), (&other[0], &other[1]));
        row[at..at + 2].copy_from_slice(&both);
        at += 2;
    }
    if at < nodes {
        row[at] = node(&row[2 * at], &row[2 * at + 1]);
    }
    row.truncate(nodes);
}

/// `H(0x01 || left || right)`.
pub(crate) fn node(left: &Hash, right: &Hash) -> Hash {
    let mut state = INITIAL;
    compress256(&mut state, &node_blocks(left, right));
    digest(&state)
}

fn two_nodes(one: (&Hash, &Hash), other: (&Hash, &Hash)) -> [Hash; 2] {
    let (one, other) = (node_blocks(one.0, one.1), node_blocks(other.0, other.1));
    let mut states = [INITIAL; 2];
    for (one, other) in one.iter().zip(&other) {
        compress256(&mut states[0], from_ref(one));
        compress256(&mut states[1], from_ref(other));
    }
    states.map(|state| digest(&state))
}

/// 65 bytes, and their padding.
fn node_blocks(left: &Hash, right: &Hash) -> [Block; 2] {
    const BITS: [u8; 2] = (8u16 * 65).to_be_bytes();
    let mut blocks = [[0; BLOCK_BYTES]; 2];
    let flat = blocks.as_flattened_mut();
    flat[0] = 1;
    flat[1..33].copy_from_slice(left);
    flat[33..65].copy_from_slice(right);
    flat[65] = 0x80;
    flat[126..].copy_from_slice(&BITS);
    blocks
}

fn digest(state: &State) -> Hash {
    let mut hash = [0; 32];
    for (bytes, word) in hash.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    hash
}

/// A message that is being hashed.
struct Lane<'a> {
    message: Message<'a>,
    /// The next block.
    at: usize,
    state: State,
    /// Where its hash belongs.
    place: usize,
}

impl Lane<'_> {
    fn left(&self) -> usize {
        self.message.blocks() - self.at
    }

    fn step(&mut self) {
        compress256(&mut self.state, from_ref(self.message.block(self.at)));
        self.at += 1;
    }

    fn end(&mut self, out: &mut [Hash]) {
        while self.left() > 0 {
            self.step();
        }
        out[self.place] = digest(&self.state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::digest::{SHA256, digest as ring};

    /// Bytes that repeat at no multiple of a block.
    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|n| (n * 7 % 251) as u8).collect()
    }

    fn rings(prefix: &[u8], body: &[u8]) -> Hash {
        ring(&SHA256, &[prefix, body].concat()).as_ref().try_into().unwrap()
    }

    #[test]
    fn every_length_around_a_blocks_end_is_rings() {
        for length in (0..300).chain([1 << 12, 65_535, (1 << 20) + 28]) {
            let body = bytes(length);
            for prefix in [&[][..], &[0], &[1], b"tacho key commitment v1"] {
                assert_eq!(hash(&Message::new(prefix, &body)), rings(prefix, &body), "{length}");
            }
        }
    }

    #[test]
    fn several_in_turn_have_the_hashes_of_each_alone() {
        let lengths = [0, 1, 54, 55, 56, 63, 64, 65, 118, 119, 120, 128, 427, 428, 9_000, 3, 70_000, 0, 420];
        // Each length beside each other, as the first, the second, and after one that was shorter or longer.
        for (n, first) in lengths.iter().enumerate() {
            for second in &lengths[n..] {
                let all = [*first, *second, 428, *first, 64, *second];
                for count in 0..=all.len() {
                    let bodies: Vec<Vec<u8>> = all[..count].iter().map(|length| bytes(*length)).collect();
                    let mut out = vec![[9; 32]];
                    hash_all(bodies.iter().map(|body| Message::new(&[0], body)), &mut out);
                    let expect: Vec<Hash> = bodies.iter().map(|body| rings(&[0], body)).collect();
                    assert_eq!((out[0], &out[1..]), ([9; 32], &*expect), "{all:?}");
                }
            }
        }
    }

    #[test]
    fn a_row_folds_to_the_nodes_above_it() {
        for length in 0..20u8 {
            let row: Vec<Hash> = (0..length).map(|n| [n; 32]).collect();
            let expect: Vec<Hash> = row.chunks_exact(2).map(|two| rings(&[1], two.as_flattened())).collect();
            assert!(
                expect.iter().zip(row.chunks_exact(2)).all(|(above, two)| *above == node(&two[0], &two[1]))
            );
            let mut folded = row;
            fold(&mut folded);
            assert_eq!(folded, expect);
        }
    }
}
