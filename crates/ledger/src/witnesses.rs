//! What witnesses are shown of this ledger, and what they gave back (docs/FORMAT.md, section 8).
//!
//! Proofs are made from tiles on disk, for the newest checkpoint that has them. They are derived, so whoever sends a
//! proof holds it against the roots first: a damaged tile is no fork.

use std::io;
use std::path::{Path, PathBuf};

use seal::Hash;
use seal::note::{SignedNote, VerifierKey};
use seal::tree::{self, Frontier, Subtrees};
use seal::witness::Succession;
use vocab::Seq;

use crate::commit::Published;
use crate::disk::{Disk, read_small, write_atomic};
use crate::inner::{Inner, lock};
use crate::ledger::{Checkpointed, Ledger};
use crate::tiles::{bundle_path, tile_path};

/// A full tile has 256 hashes.
const TILE_BYTES_MAX: u64 = 256 * 32;
/// A full bundle has 256 records, each with its length.
const BUNDLE_BYTES_MAX: u64 = 256 * (2 + crate::limits::RECORD_BYTES_MAX as u64);

/// The key turned: the `epoch` record that names the next key, and the first checkpoint over it, which is the last that
/// the key before signed. All of a ledger's turns stay in memory: one an hour and one a start, under 1 KiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    pub seq: Seq,
    pub checkpoint: Checkpointed,
}

/// A proof could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    #[error("cannot read {path}: {error}")]
    Io { path: PathBuf, error: io::Error },
    #[error("no tree of that size is in the tiles")]
    OutOfRange,
    #[error("the tiles do not hold what the segments hold: remove `tile` while the gateway is down")]
    Damaged,
}

impl Ledger {
    /// The newest checkpoint whose tiles are on disk.
    pub fn shown(&self) -> Option<Checkpointed> {
        lock(&self.inner.shown).clone()
    }

    /// The root over the first `size` records.
    pub fn root_at(&self, size: u64) -> Result<Hash, ProofError> {
        let tiles = self.inner.tiles_on_disk()?;
        if size > tiles.size { Err(ProofError::OutOfRange) } else { tree::root_at(&tiles, size) }
    }

    /// The proof that the tree of `new` records is the one of `old`, grown; held against both roots.
    pub fn consistency(&self, old: u64, new: u64, new_root: &Hash) -> Result<Vec<Hash>, ProofError> {
        let tiles = self.inner.tiles_on_disk()?;
        if new > tiles.size || old > new {
            return Err(ProofError::OutOfRange);
        }
        let proof = tree::consistency_proof(&tiles, old, new).map_err(of_tree)?;
        let holds = tree::verify_consistency(old, &tree::root_at(&tiles, old)?, new, new_root, &proof);
        if holds { Ok(proof) } else { Err(ProofError::Damaged) }
    }

    /// The turns whose checkpoint covers at least `size` records, oldest first.
    pub fn turns(&self, size: u64) -> Vec<Turn> {
        let turns = lock(&self.inner.turns);
        turns.iter().filter(|turn| turn.checkpoint.size >= size).cloned().collect()
    }

    /// What a witness that cosigned the first `size` records is told of a turn among them.
    pub fn succession(&self, turn: &Turn, size: u64) -> Result<Succession, ProofError> {
        let tiles = self.inner.tiles_on_disk()?;
        let seq = turn.seq.0;
        if size > tiles.size || seq >= size {
            return Err(ProofError::OutOfRange);
        }
        let record = tiles.record(seq)?;
        let proof = tree::inclusion_proof(&tiles, seq, size).map_err(of_tree)?;
        let (leaf, root) = (tree::leaf_hash(&record), tree::root_at(&tiles, size)?);
        if !tree::verify_inclusion(&leaf, seq, size, &proof, &root) {
            return Err(ProofError::Damaged);
        }
        Ok(Succession { origin: self.origin().to_owned(), seq, record, proof })
    }

    /// The newest checkpoint that this witness cosigned, with its signature, as it was kept.
    pub fn cosigned(&self, witness: &VerifierKey) -> Option<Checkpointed> {
        let path = self.inner.paths.cosigned(witness);
        let bytes = read_small(&*self.inner.disk, &path, seal::limits::NOTE_BYTES_MAX as u64).ok()?;
        let note = SignedNote::parse(&bytes).ok()?;
        Some(Checkpointed { size: note.checkpoint().ok()?.size, note })
    }

    /// Keeps a note that a witness has cosigned: in a file of the witness's own, and in `checkpoint` while that is the
    /// same checkpoint. The caller has verified the signature. Blocks.
    pub fn keep_cosigned(&self, witness: &VerifierKey, cosigned: &Checkpointed) -> io::Result<()> {
        let inner = &*self.inner;
        if self.cosigned(witness).is_some_and(|kept| kept.size > cosigned.size) {
            return Ok(());
        }
        let path = inner.paths.cosigned(witness);
        inner.disk.create_dir(&inner.paths.witnessed())?;
        write_atomic(&*inner.disk, &path, &cosigned.note.to_bytes())?;
        // The keeper writes that file, too.
        let _keeper = lock(&inner.keeper);
        let mut shown = lock(&inner.shown);
        let Some(newest) = shown.as_mut().filter(|shown| shown.note.text() == cosigned.note.text()) else {
            return Ok(());
        };
        let older: Vec<_> = newest.note.signatures().iter().filter(|s| !s.is_by(witness)).cloned().collect();
        let lines = cosigned.note.signatures().iter().filter(|s| s.is_by(witness)).cloned();
        newest.note =
            SignedNote::new(newest.note.text().to_owned(), older.into_iter().chain(lines).collect());
        write_atomic(&*inner.disk, &inner.paths.checkpoint(), &newest.note.to_bytes())
    }
}

impl Inner {
    /// Remembers the first checkpoint over the `epoch` record `seq`.
    pub(crate) fn turned(&self, seq: u64, published: &Published) {
        lock(&self.turns).extend(Turn::new(seq, published));
    }

    fn tiles_on_disk(&self) -> Result<TilesOnDisk<'_>, ProofError> {
        let size = lock(&self.shown).as_ref().map(|shown| shown.size).ok_or(ProofError::OutOfRange)?;
        Ok(TilesOnDisk { disk: &*self.disk, root: &self.paths.root, size })
    }
}

impl Turn {
    pub(crate) fn new(seq: u64, published: &Published) -> Option<Turn> {
        let note = SignedNote::parse(&published.note).ok()?;
        Some(Turn { seq: Seq(seq), checkpoint: Checkpointed { size: published.size, note } })
    }
}

/// The tiles of a tree of `size` records. The keeper removes the partial ones of a tree two checkpoints old; whoever
/// is that slow gets an error and asks again.
struct TilesOnDisk<'a> {
    disk: &'a dyn Disk,
    root: &'a Path,
    size: u64,
}

impl TilesOnDisk<'_> {
    fn record(&self, seq: u64) -> Result<Vec<u8>, ProofError> {
        let index = seq >> 8;
        let bundle = self.read(&bundle_path(index, width(self.size, index)), BUNDLE_BYTES_MAX)?;
        let mut rest = &bundle[..];
        for _ in 0..(seq & 0xFF) {
            let (_, after) = entry(rest).ok_or(ProofError::Damaged)?;
            rest = after;
        }
        entry(rest).map(|(record, _)| record.to_vec()).ok_or(ProofError::Damaged)
    }

    fn read(&self, path: &Path, max: u64) -> Result<Vec<u8>, ProofError> {
        let path = self.root.join(path);
        read_small(self.disk, &path, max).map_err(|error| ProofError::Io { path, error })
    }
}

impl Subtrees for TilesOnDisk<'_> {
    type Error = ProofError;

    fn subtree(&self, level: u8, index: u64) -> Result<Hash, ProofError> {
        let (tile_level, shift) = (u32::from(level / 8), u32::from(level % 8));
        let first = index << shift;
        let hashes = self.size.checked_shr(8 * tile_level).unwrap_or(0);
        let path = tile_path(tile_level as usize, first >> 8, width(hashes, first >> 8));
        let tile = self.read(&path, TILE_BYTES_MAX)?;
        let (from, count) = ((first & 0xFF) as usize, 1usize << shift);
        let part = tile.get(from * 32..(from + count) * 32).ok_or(ProofError::Damaged)?;
        let leaves: Vec<Hash> = part.chunks_exact(32).filter_map(|hash| hash.try_into().ok()).collect();
        Ok(Frontier::from_leaves(&leaves).root())
    }
}

/// The width in the name of the tile `index` of a level with so many hashes: 0 if it is full.
fn width(hashes: u64, index: u64) -> usize {
    let here = hashes.saturating_sub(index << 8);
    if here >= 256 { 0 } else { here as usize }
}

/// The first record of a bundle, and the rest.
fn entry(bundle: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bundle.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

fn of_tree(error: tree::ProofError<ProofError>) -> ProofError {
    match error {
        tree::ProofError::OutOfRange => ProofError::OutOfRange,
        tree::ProofError::Source(error) => error,
    }
}
