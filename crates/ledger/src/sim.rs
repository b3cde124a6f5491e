//! A simulated disk for tests, harsher than a real one within the contract of [`Disk`]: at a power failure each
//! 512-byte sector that was not synced is kept, lost, torn or left at any version it had, independently of all
//! others; names that were not synced are lost from some point on. A sync or write can be made to fail, and a failed
//! sync forgets what was dirty, as Linux does. With them a clock and a randomness that a seed decides.
//!
//! Simplified: directories are durable once made, and names of one directory persist in the order they were made.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seal::tree::sha256_of;
use vocab::{Tick, WallTime};

use crate::clock::{Clock, NoRandom, Random};
use crate::disk::{Disk, DiskFile};

const SECTOR: usize = 512;

/// A disk in memory. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<Sim>>);

struct Sim {
    rng: Rng,
    nodes: HashMap<u64, Node>,
    next_node: u64,
    /// Names as a process sees them, and as a power failure leaves them.
    live: BTreeMap<PathBuf, u64>,
    durable: BTreeMap<PathBuf, u64>,
    /// Changes of names that were not synced, in order.
    renames: Vec<NameChange>,
    /// What stands in blocks that lost their last name to a power failure.
    remains: Vec<Vec<u8>>,
    dirs: BTreeSet<PathBuf>,
    locks: BTreeSet<PathBuf>,
    /// Counts boots: a handle of before is dead.
    boot: u64,
    changes: u64,
    faults: Faults,
}

#[derive(Default)]
struct Faults {
    /// The power fails in place of this change.
    cut_at: Option<u64>,
    dead: bool,
    /// The sync, counted from now, that fails.
    sync_fails_in: Option<u64>,
    write_fails_in: Option<(u64, ErrorKind)>,
    /// A disk that lies: a sync does nothing and says `Ok`.
    syncs_lie: bool,
    capacity: Option<u64>,
}

#[derive(Default)]
struct Node {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// Each unsynced sector's versions since the last sync.
    dirty: BTreeMap<usize, Vec<Vec<u8>>>,
}

#[derive(Clone)]
enum NameChange {
    Link(PathBuf, u64),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl SimDisk {
    /// An empty disk; the seed decides what power failures do.
    pub fn new(seed: u64) -> SimDisk {
        SimDisk(Arc::new(Mutex::new(Sim {
            rng: Rng(seed ^ 0x9E37_79B9_7F4A_7C15),
            nodes: HashMap::new(),
            next_node: 0,
            live: BTreeMap::new(),
            durable: BTreeMap::new(),
            renames: Vec::new(),
            remains: Vec::new(),
            dirs: BTreeSet::new(),
            locks: BTreeSet::new(),
            boot: 0,
            changes: 0,
            faults: Faults::default(),
        })))
    }

    /// How many changes (writes, syncs, names) the disk has seen.
    pub fn changes(&self) -> u64 {
        self.sim().changes
    }

    /// The power fails in place of the `n`th change from now: it and everything after it is an error.
    pub fn cut_after(&self, n: u64) {
        let mut sim = self.sim();
        sim.faults.cut_at = Some(sim.changes + n);
    }

    /// The power fails now, if it has not yet, and comes back: unsynced sectors and names are lost by lot.
    pub fn power_failure(&self) {
        let mut sim = self.sim();
        sim.crash();
        sim.reboot();
    }

    /// The process dies; the operating system keeps what it has.
    pub fn kill(&self) {
        self.sim().reboot();
    }

    /// The `n`th sync of a file from now fails (1 is the next). What was dirty is forgotten, not kept for another try.
    pub fn fail_sync(&self, n: u64) {
        self.sim().faults.sync_fails_in = Some(n);
    }

    /// The `n`th write from now fails.
    pub fn fail_write(&self, n: u64, kind: ErrorKind) {
        self.sim().faults.write_fails_in = Some((n, kind));
    }

    /// From now on syncs do nothing: the mutant that every crash test must catch.
    pub fn lie_about_syncs(&self) {
        self.sim().faults.syncs_lie = true;
    }

    /// Bytes that all files together may have.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.sim().faults.capacity = bytes;
    }

    /// The content of a file, as a process sees it.
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let sim = self.sim();
        Some(sim.nodes.get(sim.live.get(path)?)?.live.clone())
    }

    /// Puts a file there, durable.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let mut sim = self.sim();
        let node = sim.new_node();
        if let Some(node) = sim.nodes.get_mut(&node) {
            node.live = bytes.to_vec();
            node.durable = bytes.to_vec();
        }
        sim.live.insert(path.to_owned(), node);
        sim.durable.insert(path.to_owned(), node);
        let parents = path.ancestors().skip(1).map(Path::to_owned);
        sim.dirs.extend(parents);
    }

    /// The names of all files.
    pub fn files(&self) -> Vec<PathBuf> {
        self.sim().live.keys().cloned().collect()
    }

    /// Everything that stands on the disk, also in blocks that no name leads to any longer.
    pub fn blocks(&self) -> Vec<Vec<u8>> {
        let sim = self.sim();
        let nodes = sim.nodes.values().flat_map(|node| [&node.live, &node.durable]);
        nodes.chain(&sim.remains).cloned().collect()
    }

    fn sim(&self) -> MutexGuard<'_, Sim> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sim {
    /// Counts a change; an error once the power is gone.
    fn change(&mut self) -> io::Result<()> {
        if !self.faults.dead && self.faults.cut_at.is_some_and(|at| self.changes >= at) {
            self.faults.dead = true;
        }
        if self.faults.dead {
            return Err(io::Error::other("the power is gone"));
        }
        self.changes += 1;
        Ok(())
    }

    fn alive(&self) -> io::Result<()> {
        if self.faults.dead { Err(io::Error::other("the power is gone")) } else { Ok(()) }
    }

    fn new_node(&mut self) -> u64 {
        self.next_node += 1;
        self.nodes.insert(self.next_node, Node::default());
        self.next_node
    }

    fn node_of(&self, path: &Path) -> io::Result<u64> {
        self.live.get(path).copied().ok_or(ErrorKind::NotFound.into())
    }

    fn used(&self) -> u64 {
        let linked: BTreeSet<u64> = self.live.values().copied().collect();
        linked.iter().filter_map(|node| self.nodes.get(node)).map(|node| node.live.len() as u64).sum()
    }

    fn crash(&mut self) {
        for node in self.nodes.values_mut() {
            node.crash(&mut self.rng);
        }
        // Some prefix of each directory's unsynced changes of names is on disk.
        let mut dirs: Vec<PathBuf> = self.renames.iter().map(NameChange::dir).collect();
        dirs.sort();
        dirs.dedup();
        for dir in dirs {
            let changes: Vec<NameChange> = self.renames.iter().filter(|c| c.dir() == dir).cloned().collect();
            let kept = self.rng.below(changes.len() + 1);
            changes.iter().take(kept).for_each(|change| change.apply(&mut self.durable));
        }
        self.renames.clear();
        self.live = self.durable.clone();
        let linked: BTreeSet<u64> = self.live.values().copied().collect();
        let lost = self.nodes.extract_if(|node, _| !linked.contains(node));
        self.remains.extend(lost.map(|(_, node)| node.durable));
    }

    fn reboot(&mut self) {
        self.boot += 1;
        self.locks.clear();
        let (capacity, syncs_lie) = (self.faults.capacity, self.faults.syncs_lie);
        self.faults = Faults { capacity, syncs_lie, ..Faults::default() };
    }
}

impl Node {
    fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        if self.live.len() < end {
            self.live.resize(end, 0);
        }
        self.live[offset..end].copy_from_slice(bytes);
        for sector in offset / SECTOR..end.div_ceil(SECTOR) {
            let stop = ((sector + 1) * SECTOR).min(self.live.len());
            let version = self.live[sector * SECTOR..stop].to_vec();
            self.dirty.entry(sector).or_default().push(version);
        }
    }

    fn sync(&mut self) {
        self.durable.resize(self.live.len(), 0);
        for sector in std::mem::take(&mut self.dirty).into_keys() {
            let stop = ((sector + 1) * SECTOR).min(self.live.len());
            self.durable[sector * SECTOR..stop].copy_from_slice(&self.live[sector * SECTOR..stop]);
        }
    }

    /// What was dirty reaches the disk by lot and is clean afterwards, whatever became of it.
    fn failed_sync(&mut self, rng: &mut Rng) {
        for (sector, versions) in std::mem::take(&mut self.dirty) {
            self.land(sector, &versions, rng);
        }
    }

    fn crash(&mut self, rng: &mut Rng) {
        self.failed_sync(rng);
        self.live = self.durable.clone();
    }

    fn land(&mut self, sector: usize, versions: &[Vec<u8>], rng: &mut Rng) {
        let version = &versions[rng.below(versions.len())];
        let kept = match rng.below(4) {
            0 => 0,                            // lost
            1 => rng.below(version.len() + 1), // torn
            _ => version.len(),                // whole
        };
        if kept == 0 {
            return;
        }
        let start = sector * SECTOR;
        if self.durable.len() < start + version.len() {
            self.durable.resize(start + version.len(), 0);
        }
        self.durable[start..start + kept].copy_from_slice(&version[..kept]);
    }
}

impl NameChange {
    fn dir(&self) -> PathBuf {
        let (NameChange::Link(path, _) | NameChange::Unlink(path) | NameChange::Rename(path, _)) = self;
        path.parent().map(Path::to_owned).unwrap_or_default()
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            NameChange::Link(path, node) => {
                names.insert(path.clone(), *node);
            }
            NameChange::Unlink(path) => {
                names.remove(path);
            }
            NameChange::Rename(from, to) => {
                if let Some(node) = names.remove(from) {
                    names.insert(to.clone(), node);
                }
            }
        }
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut sim = self.sim();
        if !sim.dirs.contains(path) {
            sim.change()?;
            sim.dirs.extend(path.ancestors().map(Path::to_owned));
        }
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut sim = self.sim();
        sim.change()?;
        if !path.parent().is_some_and(|dir| sim.dirs.contains(dir)) {
            return Err(ErrorKind::NotFound.into());
        }
        // An existing file is emptied by taking its name; who has it open keeps the old content.
        let node = sim.new_node();
        let change = NameChange::Link(path.to_owned(), node);
        change.apply(&mut sim.live);
        sim.renames.push(change);
        Ok(Box::new(SimFile { disk: self.clone(), node, boot: sim.boot, writable: true }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let sim = self.sim();
        sim.alive()?;
        let node = sim.node_of(path)?;
        Ok(Box::new(SimFile { disk: self.clone(), node, boot: sim.boot, writable: true }))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let sim = self.sim();
        sim.alive()?;
        let node = sim.node_of(path)?;
        Ok(Box::new(SimFile { disk: self.clone(), node, boot: sim.boot, writable: false }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut sim = self.sim();
        sim.node_of(from)?;
        sim.change()?;
        let change = NameChange::Rename(from.to_owned(), to.to_owned());
        change.apply(&mut sim.live);
        sim.renames.push(change);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut sim = self.sim();
        sim.node_of(path)?;
        sim.change()?;
        let change = NameChange::Unlink(path.to_owned());
        change.apply(&mut sim.live);
        sim.renames.push(change);
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut sim = self.sim();
        if sim.live.keys().any(|file| file.starts_with(path)) {
            return Err(ErrorKind::DirectoryNotEmpty.into());
        }
        sim.change()?;
        if sim.dirs.remove(path) { Ok(()) } else { Err(ErrorKind::NotFound.into()) }
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut sim = self.sim();
        sim.change()?;
        if sim.faults.syncs_lie {
            return Ok(());
        }
        let (synced, rest) = std::mem::take(&mut sim.renames).into_iter().partition(|c| c.dir() == path);
        sim.renames = rest;
        let synced: Vec<NameChange> = synced;
        synced.iter().for_each(|change| change.apply(&mut sim.durable));
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let sim = self.sim();
        sim.alive()?;
        let names = sim.live.keys().filter(|file| file.parent() == Some(path));
        Ok(names.filter_map(|file| file.file_name()?.to_str().map(str::to_owned)).collect())
    }

    fn free_space(&self, _path: &Path) -> io::Result<u64> {
        let sim = self.sim();
        sim.alive()?;
        Ok(sim.faults.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(sim.used())))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let mut sim = self.sim();
        sim.alive()?;
        if !sim.locks.insert(path.to_owned()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock { disk: self.clone(), path: path.to_owned(), boot: sim.boot }))
    }
}

struct SimLock {
    disk: SimDisk,
    path: PathBuf,
    boot: u64,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut sim = self.disk.sim();
        if sim.boot == self.boot {
            sim.locks.remove(&self.path);
        }
    }
}

struct SimFile {
    disk: SimDisk,
    node: u64,
    boot: u64,
    writable: bool,
}

impl SimFile {
    fn sim(&self) -> io::Result<MutexGuard<'_, Sim>> {
        let sim = self.disk.sim();
        if sim.boot == self.boot { Ok(sim) } else { Err(io::Error::other("a file of before the reboot")) }
    }
}

impl DiskFile for SimFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut sim = self.sim()?;
        if !self.writable {
            return Err(ErrorKind::PermissionDenied.into());
        }
        let mut outcome = sim.change();
        if let Some((n, kind)) = sim.faults.write_fails_in.take() {
            match n {
                0 | 1 => return Err(kind.into()),
                _ => sim.faults.write_fails_in = Some((n - 1, kind)),
            }
        }
        let offset = usize::try_from(offset).map_err(|_| io::Error::from(ErrorKind::FileTooLarge))?;
        let size = sim.nodes.get(&self.node).map_or(0, |node| node.live.len());
        let growth = (offset + bytes.len()).saturating_sub(size) as u64;
        let room = sim.faults.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(sim.used()));
        if outcome.is_ok() && growth > room {
            outcome = Err(ErrorKind::StorageFull.into());
        }
        if outcome.is_err() && growth > 0 {
            return outcome;
        }
        // A write that the power failure interrupts may have reached the disk in part.
        if let Some(node) = sim.nodes.get_mut(&self.node) {
            node.write(bytes, offset);
        }
        outcome
    }

    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        let sim = self.sim()?;
        sim.alive()?;
        let offset = usize::try_from(offset).map_err(|_| io::Error::from(ErrorKind::FileTooLarge))?;
        let content = sim.nodes.get(&self.node).map_or(&[][..], |node| &node.live);
        let found = content.get(offset..).unwrap_or_default();
        let size = found.len().min(out.len());
        out[..size].copy_from_slice(&found[..size]);
        Ok(size)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut sim = self.sim()?;
        sim.change()?;
        if sim.faults.syncs_lie {
            return Ok(());
        }
        let fails = match sim.faults.sync_fails_in.take() {
            Some(0 | 1) => true,
            Some(n) => {
                sim.faults.sync_fails_in = Some(n - 1);
                false
            }
            None => false,
        };
        let Sim { nodes, rng, .. } = &mut *sim;
        let Some(node) = nodes.get_mut(&self.node) else { return Ok(()) };
        if fails {
            node.failed_sync(rng);
            return Err(io::Error::other("simulated EIO"));
        }
        node.sync();
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        let sim = self.sim()?;
        sim.alive()?;
        Ok(sim.nodes.get(&self.node).map_or(0, |node| node.live.len() as u64))
    }
}

/// A clock that stands until it is advanced.
#[derive(Clone, Default)]
pub struct SimClock(Arc<AtomicU64>);

impl SimClock {
    pub fn new() -> SimClock {
        SimClock::default()
    }

    pub fn advance(&self, millis: u64) {
        self.0.fetch_add(millis * 1_000_000, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now(&self) -> WallTime {
        WallTime(1_700_000_000_000_000_000 + self.0.load(Ordering::Relaxed))
    }

    fn tick(&self) -> Tick {
        Tick(self.0.load(Ordering::Relaxed))
    }
}

/// Bytes that a seed decides: never for keys that matter.
pub struct SimRandom {
    seed: u64,
    count: AtomicU64,
}

impl SimRandom {
    pub fn new(seed: u64) -> SimRandom {
        SimRandom { seed, count: AtomicU64::new(0) }
    }
}

impl Random for SimRandom {
    fn fill(&self, out: &mut [u8]) -> Result<(), NoRandom> {
        for chunk in out.chunks_mut(32) {
            let count = self.count.fetch_add(1, Ordering::Relaxed);
            let block = sha256_of(&[b"sim", &self.seed.to_be_bytes(), &count.to_be_bytes()]);
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
        Ok(())
    }
}

/// SplitMix64.
#[derive(Clone)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `n`, which is at least 1.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next_u64() % n.max(1) as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk_with_file(seed: u64) -> (SimDisk, Box<dyn DiskFile>) {
        let disk = SimDisk::new(seed);
        disk.create_dir(Path::new("/d")).unwrap();
        let file = disk.create(Path::new("/d/f")).unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        (disk, file)
    }

    #[test]
    fn what_was_synced_survives_every_power_failure() {
        for seed in 0..200 {
            let (disk, file) = disk_with_file(seed);
            file.write_at(&[1; 2048], 0).unwrap();
            file.sync_data().unwrap();
            file.write_at(&[2; 512], 512).unwrap();
            disk.power_failure();
            let content = disk.content(Path::new("/d/f")).unwrap();
            assert_eq!((content[0], content[511], content[1024], content.len()), (1, 1, 1, 2048));
            assert!(content[512..1024].is_sorted_by(|a, b| a >= b), "new bytes, then old ones");
        }
    }

    #[test]
    fn unsynced_sectors_are_kept_lost_torn_and_reordered() {
        let mut seen = BTreeSet::new();
        for seed in 0..400 {
            let (disk, file) = disk_with_file(seed);
            file.write_at(&[0; 1024], 0).unwrap();
            file.sync_data().unwrap();
            file.write_at(&[1; 512], 0).unwrap();
            file.write_at(&[2; 512], 512).unwrap();
            disk.power_failure();
            let content = disk.content(Path::new("/d/f")).unwrap();
            let state = |sector: &[u8]| match (sector[0], sector[511]) {
                (0, 0) => "lost",
                (_, 0) => "torn",
                _ => "kept",
            };
            seen.insert((state(&content[..512]), state(&content[512..])));
        }
        assert_eq!(seen.len(), 9, "every combination: {seen:?}");
    }

    #[test]
    fn a_failed_sync_forgets_what_was_dirty() {
        let mut lost = 0;
        for seed in 0..50 {
            let (disk, file) = disk_with_file(seed);
            file.write_at(&[7; 512], 0).unwrap();
            disk.fail_sync(1);
            assert!(file.sync_data().is_err());
            assert!(file.sync_data().is_ok(), "the second try proves nothing");
            disk.power_failure();
            lost += usize::from(disk.content(Path::new("/d/f")).unwrap() != [7; 512]);
        }
        assert!(lost > 5);
    }

    #[test]
    fn an_unsynced_name_may_be_lost() {
        let kept = |seed| {
            let (disk, file) = disk_with_file(seed);
            drop(file);
            disk.rename(Path::new("/d/f"), Path::new("/d/g")).unwrap();
            disk.power_failure();
            disk.content(Path::new("/d/g")).is_some()
        };
        let kept = (0..64).filter(|seed| kept(*seed)).count();
        assert!((8..56).contains(&kept), "{kept}");
    }
}
