//! Hash tiles and entry bundles in the C2SP tlog-tiles layout, so that tools nobody here wrote can check the ledger.
//!
//! All of it is derived: deleting it loses nothing, and it is rebuilt from the segments when the ledger is opened.
//! The file `checkpoint` is written only after the tiles for its size.

use std::io;
use std::path::{Path, PathBuf};

use seal::Hash;
use seal::note::SignedNote;
use seal::tree::{Frontier, leaf_hash};

use crate::disk::{Disk, write_atomic};
use crate::inner::{Inner, lock};
use crate::keeper::Keeper;
use crate::ledger::Checkpointed;
use crate::limits::CHECKPOINT_MILLIS;
use crate::read::{Cursor, ReadError, Store};
use vocab::{Seq, Tick};

const TILE: usize = 256;
/// Records taken in per round, so that a rebuild does not starve the keeper's other work.
const RECORDS_PER_ROUND: u64 = 16_384;

/// A tile could not be written, or the ledger not be read for it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TileError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("cannot write {path}: {error}")]
    Io { path: PathBuf, error: io::Error },
}

/// The right edge of the tile tree.
pub(crate) struct Tiles {
    cursor: Cursor,
    root: PathBuf,
    /// Records taken in.
    size: u64,
    /// The hashes of each level's tile that is not full.
    levels: Vec<Vec<Hash>>,
    /// The entry bundle that is not full.
    bundle: Vec<u8>,
    /// Size of the checkpoint published last, and of the one before.
    published: [u64; 2],
    published_at: Tick,
}

impl Inner {
    pub(crate) fn new_tiles(&self) -> Tiles {
        let (disk, paths) = (self.disk.clone(), self.paths.clone());
        let store = Store::live(disk, paths, self.origin.clone(), self.watermark.clone());
        Tiles::new(store.cursor(), &self.paths.root)
    }

    /// Brings tiles and `checkpoint` up to the newest durable checkpoint, a bounded piece at a time.
    pub(crate) fn tile(&self, keeper: &mut Keeper, all: bool) -> Result<(), TileError> {
        let published = lock(&self.published).clone();
        let tiles = &mut keeper.tiles;
        let now = self.clock.tick();
        let soon = now < tiles.published_at.plus_millis(CHECKPOINT_MILLIS) && tiles.published[0] > 0;
        if published.size <= tiles.published[0] || (soon && !all) {
            return Ok(());
        }
        let until = if all { published.size } else { published.size.min(tiles.size + RECORDS_PER_ROUND) };
        tiles.advance(&*self.disk, until)?;
        if all && tiles.size < until {
            // The cursor's window was older than the last batch; now it is read anew, and there is no later round.
            tiles.advance(&*self.disk, until)?;
        }
        if tiles.size == published.size {
            tiles.publish(&*self.disk, &self.paths.checkpoint(), &published.note)?;
            tiles.published_at = now;
            let note = SignedNote::parse(&published.note).ok();
            *lock(&self.shown) = note.map(|note| Checkpointed { size: published.size, note });
        }
        Ok(())
    }
}

impl Tiles {
    pub(crate) fn new(cursor: Cursor, root: &Path) -> Tiles {
        Tiles {
            cursor,
            root: root.to_owned(),
            size: 0,
            levels: vec![Vec::new()],
            bundle: Vec::new(),
            published: [0; 2],
            published_at: Tick(0),
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    fn advance(&mut self, disk: &dyn Disk, until: u64) -> Result<(), TileError> {
        while self.size < until {
            let Some(record) = self.cursor.next_stored(Seq(self.size))? else { return Ok(()) };
            self.bundle.extend_from_slice(&(record.len() as u16).to_be_bytes());
            self.bundle.extend_from_slice(&record);
            self.levels[0].push(leaf_hash(&record));
            self.size += 1;
            self.close_full(disk)?;
        }
        Ok(())
    }

    /// Writes each tile that is full, lowest level first, and hands its root to the level above.
    fn close_full(&mut self, disk: &dyn Disk) -> Result<(), TileError> {
        let mut level = 0;
        while self.levels[level].len() == TILE {
            let index = self.index(level);
            if level == 0 {
                self.write(disk, &bundle_path(index, 0), &self.bundle)?;
                self.bundle.clear();
            }
            self.write(disk, &tile_path(level, index, 0), &self.levels[level].concat())?;
            let root = Frontier::from_leaves(&self.levels[level]).root();
            self.levels[level].clear();
            level += 1;
            if level == self.levels.len() {
                self.levels.push(Vec::new());
            }
            self.levels[level].push(root);
        }
        Ok(())
    }

    /// The number of the tile that is being filled on a level. The level above has not been told of it yet, so it
    /// is asked of the size: a tile of level `n` spans 256^(n+1) records.
    fn index(&self, level: usize) -> u64 {
        let span = 8 * (level as u32 + 1);
        self.size.saturating_sub(1).checked_shr(span).unwrap_or(0)
    }

    /// Partial tiles, then the checkpoint, then away with the partial tiles of the checkpoint before the last.
    fn publish(&mut self, disk: &dyn Disk, path: &Path, note: &[u8]) -> Result<(), TileError> {
        if !self.bundle.is_empty() {
            let index = self.size >> 8;
            self.write(disk, &bundle_path(index, self.levels[0].len()), &self.bundle)?;
        }
        for (level, hashes) in self.levels.iter().enumerate().filter(|(_, hashes)| !hashes.is_empty()) {
            let index = self.size.checked_shr(8 * (level as u32 + 1)).unwrap_or(0);
            self.write(disk, &tile_path(level, index, hashes.len()), &hashes.concat())?;
        }
        write_atomic(disk, path, note).map_err(|error| TileError::Io { path: path.to_owned(), error })?;
        let [last, before] = self.published;
        self.remove_partials(disk, before, last);
        self.published = [self.size, last];
        Ok(())
    }

    /// Removes the partial tiles of size `old` that neither `last` nor the present size needs. Best effort: they are
    /// derived, and a rebuild overwrites them.
    fn remove_partials(&self, disk: &dyn Disk, old: u64, last: u64) {
        let keep: Vec<PathBuf> = [partial_paths(last), partial_paths(self.size)].concat();
        for path in partial_paths(old).into_iter().filter(|path| !keep.contains(path)) {
            let path = self.root.join(path);
            let _ = disk.remove(&path);
            // Goes only once it is empty.
            let _ = path.parent().map(|dir| disk.remove_dir(dir));
        }
    }

    /// Leaves a file alone that holds these bytes already.
    fn write(&self, disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), TileError> {
        let path = self.root.join(path);
        let fail = |error| TileError::Io { path: path.clone(), error };
        if crate::disk::read_small(disk, &path, bytes.len() as u64).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        // In its place at once: nobody reads a tile that the file `checkpoint` does not cover yet, and one that a crash
        // cut short is not these bytes, so that it is written again.
        let made = match (disk.create(&path), path.parent()) {
            (Err(error), Some(dir)) if error.kind() == io::ErrorKind::NotFound => {
                disk.create_dir(dir).and_then(|()| disk.create(&path))
            }
            (made, _) => made,
        };
        made.and_then(|file| file.write_at(bytes, 0)).map_err(fail)
    }
}

/// The partial tiles and the partial bundle of a tree of this size.
fn partial_paths(size: u64) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    let (mut level, mut hashes) = (0, size);
    while hashes > 0 {
        let (index, width) = (hashes >> 8, (hashes & 0xFF) as usize);
        if width > 0 {
            paths.push(tile_path(level, index, width));
            if level == 0 {
                paths.push(bundle_path(index, width));
            }
        }
        level += 1;
        hashes >>= 8;
    }
    paths
}

pub(crate) fn tile_path(level: usize, index: u64, width: usize) -> PathBuf {
    PathBuf::from(format!("tile/{level}/{}", numbered(index, width)))
}

pub(crate) fn bundle_path(index: u64, width: usize) -> PathBuf {
    PathBuf::from(format!("tile/entries/{}", numbered(index, width)))
}

/// `x001/x234/067`, and `.p/W` for a partial one of `width`; 0 is a full one.
fn numbered(index: u64, width: usize) -> String {
    let mut out = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        out = format!("x{:03}/{out}", rest % 1000);
        rest /= 1000;
    }
    if width > 0 { format!("{out}.p/{width}") } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        // C2SP tlog-tiles, "Tile path": index 1234067 is x001/x234/067.
        assert_eq!(tile_path(0, 1_234_067, 0), Path::new("tile/0/x001/x234/067"));
        assert_eq!(tile_path(2, 7, 0), Path::new("tile/2/007"));
        assert_eq!(bundle_path(1_000, 5), Path::new("tile/entries/x001/000.p/5"));
    }

    #[test]
    fn a_tree_of_70000_has_three_levels_of_partial_tiles() {
        let paths = partial_paths(70_000);
        let text: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        // The example of the specification: 70,000 = 273 x 256 + 112; 273 = 1 x 256 + 17.
        assert_eq!(text, ["tile/0/273.p/112", "tile/entries/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]);
    }
}
