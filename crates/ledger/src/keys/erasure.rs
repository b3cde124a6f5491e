//! Destroying secrets in files: the blocks are overwritten while a name still leads to them, so that a crash leaves
//! something that the next start finds, and finishes.

use std::io;
use std::path::Path;

use super::{
    CHECKPOINT_NEXT_FILE, CHECKPOINT_OLD_FILE, RUN_KEYS_FILE, RUN_KEYS_NEXT_FILE, RUN_KEYS_OLD_FILE,
};
use crate::disk::Disk;

/// What [`crate::disk::write_atomic`] leaves of a secret if a crash comes between: nobody has used it.
const STAGED: [&str; 3] = ["gateway.tmp", "checkpoint.tmp", "run-keys.tmp"];
const ZEROS: [u8; 4096] = [0; 4096];

/// Overwrites a file with zeros, durably, and then takes its name away. One that is not there is erased.
pub(super) fn erase(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    let file = match disk.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let size = file.size()?;
    for offset in (0..size).step_by(ZEROS.len()) {
        let length = (size - offset).min(ZEROS.len() as u64) as usize;
        file.write_at(&ZEROS[..length], offset)?;
    }
    file.sync_data()?;
    // Should the name come back, zeros come back.
    disk.remove(path)
}

/// Puts `next`, which is durable, in the place of `path`, and erases what stood there, which is `old` meanwhile.
pub(super) fn replace(disk: &dyn Disk, path: &Path, next: &Path, old: &Path) -> io::Result<()> {
    let sync = || path.parent().map_or(Ok(()), |dir| disk.sync_dir(dir));
    match disk.rename(path, old) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        renamed => renamed?,
    }
    sync()?;
    disk.rename(next, path)?;
    sync()?;
    erase(disk, old)
}

/// What a crash interrupted in the directory of keys. Called before any of them is read to be written.
pub(crate) fn finish(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    let [runs, next, old] = [RUN_KEYS_FILE, RUN_KEYS_NEXT_FILE, RUN_KEYS_OLD_FILE].map(|name| dir.join(name));
    let there = |path: &Path| match disk.open_read(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    };
    if !there(&runs)? && there(&old)? {
        // Between the two renames; the next file was durable before the first.
        disk.rename(if there(&next)? { &next } else { &old }, &runs)?;
        disk.sync_dir(dir)?;
    }
    erase(disk, &next)?;
    erase(disk, &old)?;
    // The key before the last one is of no use once it has this name: `checkpoint.next` signs.
    erase(disk, &dir.join(CHECKPOINT_OLD_FILE))?;
    STAGED.iter().try_for_each(|name| erase(disk, &dir.join(name)))
}

/// The next checkpoint key becomes the current one, and the old one is erased. Done twice it does nothing.
pub(super) fn promote_checkpoint_key(disk: &dyn Disk, dir: &Path, current: &Path) -> io::Result<()> {
    let next = dir.join(CHECKPOINT_NEXT_FILE);
    match disk.open_read(&next) {
        Ok(_) => replace(disk, current, &next, &dir.join(CHECKPOINT_OLD_FILE)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
