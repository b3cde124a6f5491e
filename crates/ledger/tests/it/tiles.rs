//! The tiles on disk, read by an implementation that is not ours.

use std::path::{Path, PathBuf};

use ledger::Draft;
use ledger::Kind;
use seal::note::SignedNote;
use tlog_tiles::{Error, Hash, Tile, TileHashReader, TileReader, check_record, prove_record, record_hash};

use crate::harness::{DIR, Rig};

struct Directory<'a> {
    rig: &'a Rig,
}

impl Directory<'_> {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.rig.disk.content(&Path::new(DIR).join(path))
    }
}

impl TileReader for Directory<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, Error> {
        // That crate's paths have the height in them; the C2SP layout has not.
        let path = |tile: &Tile| tile.path().replacen("tile/8/", "tile/", 1);
        let read = |tile: &Tile| {
            let whole = self.read(&path(tile));
            let content = whole.unwrap_or_else(|| panic!("{} is missing", path(tile)));
            content[..tile.width() as usize * 32].to_vec()
        };
        Ok(tiles.iter().map(read).collect())
    }

    fn save_tiles(&self, _tiles: &[Tile], _data: &[Vec<u8>]) {}
}

fn published(rig: &Rig) -> (u64, [u8; 32]) {
    let note = rig.disk.content(&Path::new(DIR).join("checkpoint")).unwrap();
    let checkpoint = SignedNote::parse(&note).unwrap().checkpoint().unwrap();
    (checkpoint.size, checkpoint.root)
}

pub fn grow(ledger: &ledger::Ledger, rig: &Rig, records: u64) {
    for n in 0..records {
        let draft = Draft::new(Kind::Watch).put("who", "x").put("verb", "show").put("n", n);
        drop(ledger.append(draft).unwrap());
        if n % 40 == 39 {
            ledger.step();
        }
    }
    let _ = ledger.checkpoint().unwrap();
    rig.clock.advance(2_000);
    ledger.step();
    ledger.step();
}

#[test]
fn a_foreign_reader_proves_every_record_from_the_tiles() {
    let rig = Rig::new(1);
    let ledger = rig.open();
    for more in [5, 300, 213, 70] {
        grow(&ledger, &rig, more);
        let (size, root) = published(&rig);
        assert_eq!(size, ledger.status().records);
        let directory = Directory { rig: &rig };
        let reader = TileHashReader::new(size, Hash(root), &directory);
        for entry in rig.entries().iter().step_by(7) {
            let proof = prove_record(size, entry.seq.0, &reader).unwrap();
            check_record(&proof, size, Hash(root), entry.seq.0, record_hash(&entry.bytes)).unwrap();
        }
    }
}

#[test]
fn entry_bundles_hold_the_records() {
    let rig = Rig::new(1);
    let ledger = rig.open();
    grow(&ledger, &rig, 300);
    let directory = Directory { rig: &rig };
    let (size, _) = published(&rig);
    let mut bundles = directory.read("tile/entries/000").unwrap();
    bundles.extend(directory.read(&format!("tile/entries/001.p/{}", size - 256)).unwrap());
    let mut rest = &bundles[..];
    for entry in rig.entries() {
        let (length, after) = rest.split_first_chunk::<2>().unwrap();
        let (bytes, after) = after.split_at(usize::from(u16::from_be_bytes(*length)));
        assert_eq!(bytes, entry.bytes);
        rest = after;
    }
    assert!(rest.is_empty());
}

#[test]
fn tiles_that_are_gone_or_wrong_are_rebuilt_when_the_ledger_is_opened() {
    let rig = Rig::new(1);
    let ledger = rig.open();
    grow(&ledger, &rig, 600);
    drop(ledger);
    let tiles: Vec<PathBuf> =
        rig.disk.files().into_iter().filter(|path| path.starts_with(Path::new(DIR).join("tile"))).collect();
    let full = tiles.iter().find(|path| path.ends_with("tile/0/000")).unwrap();
    let before = rig.disk.content(full).unwrap();
    ledger::Disk::remove(&rig.disk, &tiles[0]).unwrap();
    rig.disk.put(full, &[0; 8192]);
    let ledger = rig.open();
    grow(&ledger, &rig, 1);
    assert_eq!(rig.disk.content(full).unwrap(), before);
    assert!(
        tiles
            .iter()
            .filter(|path| !path.to_string_lossy().contains(".p/"))
            .all(|path| rig.disk.content(path).is_some())
    );
    let (size, _) = published(&rig);
    assert_eq!(size, ledger.status().records);
}

#[test]
fn partial_tiles_of_old_checkpoints_do_not_pile_up() {
    let rig = Rig::new(1);
    let ledger = rig.open();
    for _ in 0..30 {
        grow(&ledger, &rig, 3);
    }
    let partial = rig.disk.files().into_iter().filter(|path| path.to_string_lossy().contains(".p/")).count();
    assert!(partial <= 8, "{partial} partial tiles");
}
